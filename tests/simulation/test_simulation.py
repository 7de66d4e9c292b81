"""Goal: no acknowledged order is lost and no command is executed twice, wherever a process dies.

Method: the real loops of matcher, standbys, recorder and order gateways, uncompiled, in one
process under a seeded scheduler that may stop each of them between any two accesses to shared
memory. Every store of a cursor is checked, and every committed event against plain matching of the
same commands. A seed that fails replays exactly: `python -m tests.simulation --seed N --trace`.

Real are the kernels and pumps. Simulated are the host (clock, robust locks, eventfds, scheduling),
the journal's files, and of a gateway the bytes on the wire and its Python side.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
SEEDS = 1500  # `make simulate` runs as many as there is time for


def _simulate(*arguments: object) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *map(str, arguments)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_thousands_of_seeds_hold_every_invariant() -> None:
    said = _simulate("--seeds", SEEDS)
    numbers = {name: int(value) for name, value in re.findall(r"([a-z]+) (\d+)\b", said)}
    assert numbers["seeds"] == SEEDS and numbers["violations"] == 0
    assert numbers["crashes"] > SEEDS, "harm was done"
    assert numbers["events"] > 20 * SEEDS, "the exchange went on"


def test_a_seed_is_one_history() -> None:
    first, second = (_simulate("--seed", 7, "--trace").splitlines()[:-1] for _ in range(2))
    assert first == second and len(first) > 100
