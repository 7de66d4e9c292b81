"""Names of segments that only one test has, and what is left of tests that were killed."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SHARED_MEMORY = Path("/dev/shm")
PREFIX = "rbtest"
ROOT = Path(__file__).resolve().parent.parent
RECORD_DTYPE = np.dtype([(f"word_{n}", "<i8") for n in range(8)])
DIGEST, IDENTITY = 0x1234, 0x5678

_numbers = itertools.count()


def sweep() -> None:
    """Remove the segments of test processes that are no more."""
    for path in SHARED_MEMORY.glob(f"{PREFIX}.*"):
        if not Path("/proc", path.name.split(".")[1]).exists():
            path.unlink(missing_ok=True)


@contextmanager
def names() -> Iterator[str]:
    """A prefix for segment names; whatever has it is removed at the end."""
    sweep()
    prefix = f"/{PREFIX}.{os.getpid()}.{next(_numbers)}"
    try:
        yield prefix
    finally:
        for path in SHARED_MEMORY.glob(f"{prefix[1:]}*"):
            path.unlink(missing_ok=True)


class Children:
    """Processes started for one test: `python -m MODULE ARGUMENT ...`, each says READY first."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def start(
        self, module: str, *arguments: object, pass_fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[str]:
        """Start a process and wait until it says READY on its standard output."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            pass_fds=pass_fds,
        )
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "READY\n", f"{module} {arguments} said {line!r}"
        return process

    @staticmethod
    def go(process: subprocess.Popen[str]) -> None:
        """Let a process that is READY begin."""
        assert process.stdin is not None
        process.stdin.write("GO\n")
        process.stdin.flush()

    @staticmethod
    def answer(process: subprocess.Popen[str]) -> list[int]:
        """The numbers of the next line that a process says."""
        assert process.stdout is not None
        return [int(word) for word in process.stdout.readline().split()]

    def kill_all(self) -> None:
        """End whatever still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def children() -> Iterator[Children]:
    """Processes that end with the test."""
    started = Children()
    try:
        yield started
    finally:
        started.kill_all()
