"""Shell: kills a writer that hangs, so that the kernel of the host lets another succeed it.

Whoever could be the next writer runs a `Watcher` beside its loop. It looks at the words that the
writer stores in every pass. When none has moved for the limit the writer may still be starved of
its core, and a starved writer goes on by itself; so two clocks run beside the words:

- halted: at every look its thread was off the core without waiting for it: stopped by a signal or
  a debugger (T, t), or blocked in the system (D: its memory comes back from disk, S). A writer
  never blocks for longer than a millisecond, and a starved thread is runnable (R);
- looping: what its thread has had of its core since a word moved. A pass takes microseconds.

Either clock at the limit condemns it. A watcher that was itself kept from looking counts no more
than two intervals, so a pause of the whole host condemns nobody.

The kill goes through a pidfd that was opened while the lock word named the process: a number that
the host gave to somebody else cannot be hit. Killing is all: who succeeds is decided by the lock
word alone, and a process that has been sent SIGKILL executes no further instruction of its own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringbuf import layout
from ringbuf.broadcast import PUBLISHED
from ringbuf.writer_lock import LOCK_WORD, OWNER_DIED_BIT, OWNER_MASK
from shm_exchange.operator_line import WARNING, say
from shm_exchange.wiring import PROCESS_MATCHER, Wiring

INTERVAL_SECONDS = 0.05
_SELF_INTERVAL_SECONDS = 1.0  # between looks while the writer is this very process
_NS = 1_000_000_000
TICK_NS = _NS // os.sysconf("SC_CLK_TCK")
_HALTED_STATES = "TtDS"
PROGRESS = ("heartbeat_ns", "loops", "work", "position")
HALTED, LOOPING = "halted", "looping"


@dataclass
class Suspicion:
    """How long a writer has done nothing although it could have."""

    limit_ns: int
    halted_ns: int = 0
    looping_ns: int = 0

    def clear(self) -> None:
        """It made progress, or is another one."""
        self.halted_ns = self.looping_ns = 0

    def verdict(self, elapsed_ns: int, state: str, cpu_ns: int) -> str | None:
        """HALTED, LOOPING or None, after a look that saw no progress since the one before.

        elapsed_ns: between the two looks; state: of the thread, as in /proc; cpu_ns: what the
        thread has run meanwhile.
        """
        elapsed_ns = min(elapsed_ns, int(2 * INTERVAL_SECONDS * _NS))
        self.looping_ns += min(cpu_ns, elapsed_ns)
        self.halted_ns = self.halted_ns + elapsed_ns if state in _HALTED_STATES else 0
        if self.halted_ns >= self.limit_ns:
            return HALTED
        if self.looping_ns >= self.limit_ns:
            return LOOPING
        return None


@dataclass(frozen=True)
class Writer:
    """The process whose thread holds the lock."""

    thread: int
    pid: int
    descriptor: int  # its pidfd

    def times(self) -> tuple[str, int]:
        """State of the thread and the time for which it ran, in ns. OSError when it is gone."""
        text = Path(f"/proc/{self.pid}/task/{self.thread}/stat").read_text(encoding="ascii")
        fields = text.rpartition(")")[2].split()
        return fields[0], (int(fields[11]) + int(fields[12])) * TICK_NS


class Watcher:
    """A thread that looks after the writer of one engine until its process ends."""

    def __init__(
        self, wiring: Wiring, process: int, limit_ms: int, label: str, *, stays: bool = False
    ) -> None:
        """process: number of our own PROCESS line; label: what we are called in messages.

        stays: go on when the writer is this very process. One that will not be a standby again
        needs no watcher then, and dies faster without: the threads of a killed process that sleep
        on the writer's core get it before the writer, and only then is the lock given up.
        """
        self._wiring = wiring
        self._lock = wiring.control.lock
        self._line = wiring.control.processes[process : process + 1]
        self._label = label
        self._stays = stays
        self._suspicion = Suspicion(limit_ms * 1_000_000)
        self._writer: Writer | None = None
        self._seen: tuple[int, ...] = ()
        self._cpu_ns = self._looked_ns = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()
        self._forget()

    def _run(self) -> None:
        pause = INTERVAL_SECONDS
        while not self._ended.wait(pause):
            ours = self._look()
            if ours and not self._stays:
                return
            pause = _SELF_INTERVAL_SECONDS if ours else INTERVAL_SECONDS

    def _look(self) -> bool:
        """One look; True when the writer is this process."""
        owner = self._owner()
        if self._writer is None or owner != self._writer.thread:
            self._forget()
            if Path(f"/proc/self/task/{owner}").exists():
                return True
            self._writer = self._identify(owner) if owner else None
        if self._writer is None:
            return False
        try:
            self._judge(self._writer)
        except (FileNotFoundError, ProcessLookupError):
            self._forget()  # it has just died by itself
        return False

    def _owner(self) -> int:
        """Thread that holds the lock and is not dead, or 0."""
        word = int(self._lock[LOCK_WORD])
        return 0 if word & OWNER_DIED_BIT else word & OWNER_MASK

    def _epoch(self) -> int:
        return int(self._wiring.control.words[layout.EPOCH])

    def _identify(self, thread: int) -> Writer | None:
        """The writer by its thread. Its number is its own: it held the lock before and after."""
        epoch = self._epoch()
        try:
            status = Path(f"/proc/{thread}/status").read_text(encoding="utf-8")
            pid = next(
                int(line.split()[1]) for line in status.splitlines() if line.startswith("Tgid:")
            )
            descriptor = os.pidfd_open(pid)
        except (FileNotFoundError, ProcessLookupError):
            return None
        if self._owner() != thread or self._epoch() != epoch:
            os.close(descriptor)
            return None
        return Writer(thread, pid, descriptor)

    def _forget(self) -> None:
        if self._writer is not None:
            os.close(self._writer.descriptor)
        self._writer = None
        self._seen = ()
        self._suspicion.clear()

    def _judge(self, writer: Writer) -> None:
        """Look at what the writer has done since the last look, and kill it if that is nothing."""
        row = self._wiring.control.processes[PROCESS_MATCHER]
        seen = (
            int(self._wiring.ring.cursors[PUBLISHED]),
            self._epoch(),
            *(int(row[name]) for name in PROGRESS),
        )
        state, cpu_ns = writer.times()
        now_ns = time.monotonic_ns()
        if seen != self._seen:
            self._suspicion.clear()
            verdict = None
        else:
            verdict = self._suspicion.verdict(
                now_ns - self._looked_ns, state, cpu_ns - self._cpu_ns
            )
        self._seen, self._looked_ns, self._cpu_ns = seen, now_ns, cpu_ns
        if verdict:
            self._kill(writer, verdict, state)

    def _kill(self, writer: Writer, verdict: str, state: str) -> None:
        """End a writer that hangs; whoever stands by succeeds as if it had died by itself."""
        row = self._wiring.control.processes[PROCESS_MATCHER]
        if verdict == LOOPING and int(row["pid"]) == writer.pid:
            # Before the kill: the successor must find it when it looks for who is to blame.
            self._line["condemned"][0] = np.int64(self._epoch())
        signal.pidfd_send_signal(writer.descriptor, signal.SIGKILL)
        self._suspicion.clear()
        how = "while it ran" if verdict == LOOPING else f"while it did not run (state {state})"
        say(
            f"{self._label}: killed the matcher, process {writer.pid}: it made no progress for"
            f" {self._suspicion.limit_ns / _NS:g} s {how}",
            WARNING,
        )
