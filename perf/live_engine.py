"""Pump: a real matcher on a core of its own, with its rings and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ringbuf import layout
from ringbuf.atomics import store_release
from ringbuf.jit import kernel
from shm_exchange import wiring
from shm_exchange.wiring import STOP_RECORDER, Wiring

_ROOT = Path(__file__).resolve().parent.parent


@kernel
def _stop(words, value):
    store_release(words, layout.STOP, value)


def engine_cores() -> tuple[int, int]:
    """Our core and the matcher's, of those that this machine has."""
    first, second = range(os.cpu_count() or 1)[:2]
    return first, second


class LiveEngine(NamedTuple):
    """A matcher that runs."""

    wiring: Wiring
    process: subprocess.Popen[bytes]

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It takes no core meanwhile: a baseline has both."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def spinning_engine(gateway_count: int = 1) -> Iterator[LiveEngine]:
    """Its shared memory; the matcher spins on the second core, this process is on the first."""
    name = f"perf{os.getpid()}"
    before = os.sched_getaffinity(0)
    ours, other = engine_cores()
    made = wiring.create(
        name,
        1,
        os.getpid(),
        0,
        event_records=1 << 16,
        command_records=1 << 12,
        gateway_count=gateway_count,
        gated=False,
    )
    command = [sys.executable, "-m", "perf.engine_side", name, str(other)]
    with subprocess.Popen(command, cwd=_ROOT) as process:
        try:
            while made.control.processes[0]["state"] != layout.STATE_READY:
                assert process.poll() is None
                os.sched_yield()
            os.sched_setaffinity(0, {ours})
            yield LiveEngine(made, process)
        finally:
            os.sched_setaffinity(0, before)
            _stop(made.control.words, STOP_RECORDER)
            wiring.remove(name, 1)
            process.wait(30)
