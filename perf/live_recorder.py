"""Shell: an engine's shared memory and its recorder, the real role, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from ringbuf import layout
from shm_exchange import wiring

READY_SECONDS = 60
_ROOT = Path(__file__).resolve().parent.parent


class LiveRecorder(NamedTuple):
    """It writes what is published into `folder`; the ring's gate waits for it."""

    wiring: wiring.Wiring
    process: psutil.Process
    folder: Path


@contextmanager
def recording(folder: Path, ring_records: int) -> Iterator[LiveRecorder]:
    """A recorder that is ready."""
    name = f"perf-recorder-{os.getpid()}"
    made = wiring.create(
        *(name, 1, 1, 0),
        event_records=ring_records,
        command_records=256,
        gateway_count=2,
        gated=True,
    )
    command = [sys.executable, "-m", "shm_exchange.roles", "recorder", "--name", name]
    command += ["--state", str(folder), "--engine", "1:1:", "--policy", "park"]
    child = subprocess.Popen(command, cwd=_ROOT)
    try:
        give_up = time.monotonic() + READY_SECONDS
        while made.control.processes["state"][wiring.PROCESS_RECORDER] != layout.STATE_READY:
            assert time.monotonic() < give_up and child.poll() is None
            time.sleep(0.01)
        yield LiveRecorder(made, psutil.Process(child.pid), folder)
        made.control.words[layout.STOP] = wiring.STOP_RECORDER
        assert child.wait(READY_SECONDS) == 0
    finally:
        child.kill()
        child.wait()
        made.close()
        wiring.remove(name, 1)
