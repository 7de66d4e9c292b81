"""Goal: no input makes a gateway read or write outside its memory, or say what cannot be.

Method: the generator of hostile inputs against the pump's own kernels, whose memory ends at pages
that nobody may touch; and the same inputs once more uncompiled, where every subscript is checked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.guarded import guarded

ROOT = Path(__file__).parents[2]


def fuzz(inputs: int, seed: int, **environment: str) -> dict[str, float]:
    """`python -m tests.fuzz` in a process of its own: a wild address would end it."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", str(inputs), "--seed", str(seed)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_hostile_inputs() -> None:
    """Commands and ended connections, and nothing else."""
    found = fuzz(200_000, seed=os.getpid())
    assert found["inputs"] == 200_000
    assert found["commands"] > 20_000 and found["ended"] > 20_000
    assert 5_000 < found["answers"] < found["requests"] == 20_000


def test_compiled_and_uncompiled_agree() -> None:
    """The commands of the same inputs are the same, by number and by content."""
    compiled = fuzz(800, seed=7)
    interpreted = fuzz(800, seed=7, NUMBA_DISABLE_JIT="1")
    for name in ("commands", "ended", "nonsense", "digest", "answers"):
        assert compiled[name] == interpreted[name], name


@pytest.mark.parametrize("place", [-1, 100])
def test_one_byte_too_far_ends_the_process(place: int) -> None:
    """The guard does what the other tests rely on."""
    code = (
        "import ctypes, numpy; from tests.fuzz.guarded import guarded;"
        "array = guarded(numpy.zeros(4096, numpy.uint8));"
        f"ctypes.c_char.from_address(array.ctypes.data + {place if place < 0 else 4096}).value"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -signal.SIGSEGV
    assert (guarded(np.arange(5)) == np.arange(5)).all()
