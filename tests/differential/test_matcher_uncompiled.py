"""Goal: matcher and replica are the same functions when they are not compiled.

Method: their tests once more, in a process with NUMBA_DISABLE_JIT=1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_MODULES = ("matcher_against_oracle", "replica", "sequences", "pages")


def test_matcher_uncompiled() -> None:
    files = [str(_HERE / f"test_{module}.py") for module in _MODULES]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=_HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
