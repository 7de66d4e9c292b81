"""Shell: a process that holds a writer lock and then does what it is told, until it is killed.

`python -m tests.shm_exchange.hanging_writer NAME loop|beat|block`: run without a pass of a loop,
beat until somebody stops it, or wait in the system for something that does not come.
"""

from __future__ import annotations

import os
import signal
import sys

from ringbuf.writer_lock import ACQUIRED, begin_reign, try_lock
from shm_exchange import wiring


def main(name: str, how: str) -> None:
    """Take the lock of engine 1, say READY, and hang."""
    attached = wiring.attach(name, 1)
    control = attached.control
    row = control.processes[wiring.PROCESS_MATCHER]
    row["pid"] = os.getpid()
    assert try_lock(control.lock) == ACQUIRED
    begin_reign(control.words)
    print("READY", flush=True)
    if how == "block":
        signal.sigwait([signal.SIGUSR1])
    while True:
        if how == "beat":
            row["loops"] += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
