"""Removes what a soak leaves when it is killed itself: `python -m tests.soak.janitor NAME FOLDER`.

It waits for the end of its standard input, which is the end of whoever started it. The exchange's
processes die with that one; what remains is shared memory and a folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.process.conftest import ROOT, SHARED_MEMORY

PATIENCE_SECONDS = 5.0  # the processes of the exchange are still ending


def start(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start one that outlives us; it ends when its `stdin` is closed."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.soak.janitor", name, str(folder)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,  # Ctrl-C is not for it
    )


def main(name: str, folder: Path) -> None:
    """Wait, then tidy up; when nothing was left there is nothing to do."""
    sys.stdin.buffer.read()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists() or any(SHARED_MEMORY.glob(f"shmx.{name}.*")):
        for path in SHARED_MEMORY.glob(f"shmx.{name}.*"):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
