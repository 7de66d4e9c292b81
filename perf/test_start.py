"""From `shmx run` to READY, of a whole exchange, with warm caches; beside a bare interpreter.

Included: the interpreter and its imports, the configuration, all shared memory, every process that
an ordinary exchange has: matcher, standby, recorder, order gateway, market-data gateway, metrics;
each loads its machine code from the cache and runs its kernels once on scratch memory; the first
snapshot, the sockets, and READY on standard output, when clients can trade. Not included: compiling
(an unmeasured start before it does that), a journal to be replayed (`test_growth_exchange.py`), the
stop. The baseline, in turns, is a Python process that imports the same packages and ends.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from perf.exchange import ROOT, Placement, running
from perf.results_file import in_turns

BUDGET_SECONDS = 3.0
STARTS = 5
_IMPORTS = "import numba, numpy, pydantic, click, argon2, prometheus_client, psutil"


def _import_seconds() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True, cwd=ROOT)
    return time.perf_counter() - began


def test_start(benchmark: Any, tmp_path: Path) -> None:
    """Seconds until READY: the best start, and all of them."""
    placement = Placement(
        *("park", 1, 0), standbys=1, recorder=True, market_data=True, sessions=100
    )
    ours: list[float] = []
    bare: list[float] = []

    def start(name: str) -> float:
        folder = tmp_path / name
        folder.mkdir()
        with running(folder, placement) as exchange:
            return exchange.ready_seconds

    def measure() -> None:
        for number in range(STARTS):
            ours.append(start(str(number)))
            bare.append(_import_seconds())

    start("cold")
    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(
        ready_seconds=round(min(ours), 2),
        all_ready_seconds=[round(each, 2) for each in ours],
        imports_seconds=round(min(bare), 2),
        budget_seconds=BUDGET_SECONDS,
        met=min(ours) < BUDGET_SECONDS,
        rounds=in_turns(ours, bare),
    )
    assert len(ours) == STARTS
