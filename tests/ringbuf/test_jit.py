"""Goal: where machine code cannot be kept, that is said in one sentence, by whoever compiles only.

Method: other processes, whose cache folder is to be below a file: nobody can make it, root neither.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALL = """
import numpy as np
from ringbuf import spsc
from ringbuf.errors import CacheError
print("imported")
try:
    spsc.published(spsc.Spsc(np.zeros(32, np.int64), np.zeros(64, np.int64)))
except CacheError as error:
    print(error.exit_code, error)
"""


def test_what_cannot_be_kept_is_not_compiled(tmp_path: Path) -> None:
    """Imports work; the first call names the folder and the remedy; nothing lies beside sources."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "cache"
    before = set(ROOT.glob("ringbuf/__pycache__/*.nb?"))
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        env={**os.environ, "SHMX_CACHE_DIR": str(folder), "NUMBA_DISABLE_JIT": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    imported, said = done.stdout.splitlines()
    assert (done.returncode, done.stderr, imported) == (0, "", "imported")
    assert said.startswith(f"73 {folder}/") and "machine code cannot be kept there" in said
    assert f"set SHMX_CACHE_DIR to a folder that it may write, or `chown -R` {folder}" in said
    assert set(ROOT.glob("ringbuf/__pycache__/*.nb?")) == before
