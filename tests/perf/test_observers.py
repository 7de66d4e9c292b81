"""Goal: `python -m perf.observers` measures when it is asked to, and only then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_help_is_no_measurement() -> None:
    """What it does, at once."""
    command = [sys.executable, "-m", "perf.observers", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m perf.observers" in done.stdout and "nobody looks, or all" in done.stdout
