"""The matcher by instructions per message, where time is too noisy to show a few percent.

Included: every check of the matcher, matching, the events, the state hash, publishing to a ring
that nobody reads. Not included: what memory and other cores cost; sockets, command rings, recorder.
Kernels are compiled for a processor that valgrind knows, not for this one. No baseline stands
beside it: a count is the same whatever else the machine does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perf import instructions
from perf.results_file import INSTRUCTIONS

MESSAGES = 50_000
SEED = 1
_ROOT = Path(__file__).resolve().parent.parent


def test_instructions_per_message(benchmark: Any, tmp_path: Path) -> None:
    """One generated flow; `make bench-compare` judges the matcher by it."""
    if lack := instructions.missing():
        pytest.skip(lack)
    library = instructions.build_switch(tmp_path)
    command = [sys.executable, "-m", "perf.counted_matcher", str(library), str(MESSAGES), str(SEED)]
    variables = instructions.environment()
    # Compiled into the cache first: under valgrind the compiler itself would be slow.
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, env=variables, cwd=_ROOT
    )
    found = benchmark.pedantic(instructions.count, args=(command, tmp_path, variables), rounds=1)
    benchmark.extra_info.update(
        {INSTRUCTIONS: round(found / MESSAGES, 2), "messages": MESSAGES, "events": int(said.stdout)}
    )
    assert found > MESSAGES
