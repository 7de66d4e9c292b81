"""Goal: the codecs are the same functions when they are not compiled, and limits hold.

Method: their tests once more, in a process with NUMBA_DISABLE_JIT=1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_MODULES = (
    *("wire", "soupbintcp", "ouch_codec", "ouch_outbound", "nasdaq_generated"),
    *("itch_codec", "itch_outbound", "itch_round_trip", "mold", "mold_end"),
)


def test_codecs_uncompiled() -> None:
    files = [str(_HERE / f"test_{module}.py") for module in _MODULES]
    files.append(str(_HERE / "risk_model.py"))  # compiled, it would take minutes
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
