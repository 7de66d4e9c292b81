"""Shell: a matcher and a standby of one engine, started only to kill the first and time the second.

Both spin, each pinned to a core of its own. They are frozen between two kills, while the next
standby comes up, so that nothing but they run when it counts. Whoever kills does so from the core
of the matcher, and sleeps at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf import layout, spsc
from ringbuf.broadcast import PUBLISHED
from shm_exchange import config, memory
from shm_exchange.messages import (
    COMMAND_DTYPE,
    COMMAND_NEXT_BITS,
    COMMAND_NEXT_MASK,
    SLOT_BITS,
    SOURCE_GATEWAY_FIRST,
    CommandKind,
    EventKind,
)
from shm_exchange.wiring import PROCESS_MATCHER, PROCESS_STANDBY_FIRST

ROOT = Path(__file__).resolve().parent.parent
SOURCE = SOURCE_GATEWAY_FIRST
WAIT_SECONDS = 120.0
SETTLE_SECONDS = 0.003
_CONFIGURATION = """\
[exchange]
waiting = "spin"
hang_limit_ms = 3600000
[[engine]]
recorder = false
event_ring_records = 1048576
command_ring_records = 65536
slots_per_gateway = {slots}
[[instrument]]
symbol = "AAPL"
tick = 0.01
[[session_range]]
prefix = "T"
last = 1
password = "demo"
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
"""


class Takeover(NamedTuple):
    """What one kill led to, in ns from just before it."""

    first_event_ns: int  # the successor's EPOCH
    first_command_ns: int  # the first event of a command that the dead matcher had not begun


class Pair:
    """The matcher, its standby, and the commands that they work on."""

    def __init__(self, folder: Path, slots: int, cores: tuple[int, int], *, fifo: bool) -> None:
        """cores: of the matcher (and of whoever kills it), and of the standby."""
        self._cores = cores
        self._fifo = fifo
        self._folder = folder
        self._name = f"perf{os.getpid()}"
        self._file = folder / "takeover.toml"
        self._file.write_text(_CONFIGURATION.format(slots=slots), encoding="utf-8")
        self._wirings = memory.create(config.load(self._file), self._name, folder)
        self._wiring = self._wirings[1]
        self._commands = self._wiring.command_ring(SOURCE)
        self._position = 0
        self._user_ref = 0
        self._pids: list[int] = []
        self._matcher = 0
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "perf.zygote", str(self._file), self._name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def open(self) -> None:
        """Start the matcher, and log in."""
        self._matcher = self._start("matcher", PROCESS_MATCHER)
        self._log_in()
        _signal(self._matcher, signal.SIGSTOP)

    def close(self) -> None:
        """End everything."""
        for pid in self._pids:
            _signal(pid, signal.SIGKILL)
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(WAIT_SECONDS)
        self._zygote.stdout.close()
        memory.remove(self._wirings)

    def strike(self, count: int) -> Takeover:
        """Give the matcher `count` commands and kill it; afterwards the standby is the matcher."""
        wiring = self._wiring
        standby = self._start("standby", PROCESS_STANDBY_FIRST)
        _signal(standby, signal.SIGSTOP)
        matcher_core, standby_core = self._cores
        self._place(self._matcher, matcher_core)
        self._place(standby, standby_core)
        for pid in (standby, self._matcher):
            _signal(pid, signal.SIGCONT)
        self._preload(count)
        first = int(wiring.ring.cursors[PUBLISHED])
        epoch = int(wiring.control.words[layout.EPOCH])
        while int(wiring.control.processes[PROCESS_STANDBY_FIRST]["position"]) < first:
            time.sleep(SETTLE_SECONDS)
        time.sleep(SETTLE_SECONDS)
        first = int(wiring.ring.cursors[PUBLISHED])
        self._commands.cursors[spsc.PUBLISHED] = self._position
        begun = time.clock_gettime_ns(time.CLOCK_REALTIME)
        os.kill(self._matcher, signal.SIGKILL)
        self._await(lambda: int(self._commands.cursors[spsc.CONSUMED]) == self._position)
        # As any matcher that has lived for a moment: without the standby's watcher.
        self._await(lambda: len(os.listdir(f"/proc/{standby}/task")) == 1)
        _signal(standby, signal.SIGSTOP)
        self._release(standby)
        self._matcher = standby
        self._pids = [standby]
        return self._outcome(first, epoch + 1, count, begun)

    def _outcome(self, first: int, epoch: int, count: int, begun: int) -> Takeover:
        """Times of the events since `first`, after checking that each command was done once."""
        ring = self._wiring.ring
        places = np.arange(first, int(ring.cursors[PUBLISHED])) & (len(ring.records) - 1)
        events = ring.records[places]
        is_ours = (events["source_next"] >> COMMAND_NEXT_BITS) == SOURCE
        done = events[is_ours]["source_next"] & COMMAND_NEXT_MASK
        assert (done == np.arange(self._position - count, self._position) + 1).all()
        (begin,) = np.flatnonzero(events["kind"] == EventKind.EPOCH)
        assert events[begin]["epoch"] == epoch
        later = np.flatnonzero(is_ours & (np.arange(len(events)) > begin))
        command = events[later[0]] if len(later) else events[begin]
        return Takeover(int(events[begin]["time_ns"]) - begun, int(command["time_ns"]) - begun)

    def _start(self, role: str, process: int) -> int:
        """A process of the engine that is ready."""
        command = [role, "--name", self._name, "--state", str(self._folder), "--policy", "spin"]
        command += ["--configuration", str(self._file), "--engine", f"1:{process}:-"]
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.write(json.dumps(command) + "\n")
        self._zygote.stdin.flush()
        pid = int(self._zygote.stdout.readline())
        self._pids.append(pid)
        row = self._wiring.control.processes[process]
        self._await(lambda: row["pid"] == pid and row["state"] == layout.STATE_READY)
        return pid

    def _await(self, condition: object) -> None:
        assert callable(condition)
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(SETTLE_SECONDS)

    def _log_in(self) -> None:
        self._write(np.array([CommandKind.LOGIN]))
        self._commands.cursors[spsc.PUBLISHED] = self._position
        self._await(lambda: int(self._commands.cursors[spsc.CONSUMED]) == self._position)

    def _preload(self, count: int) -> None:
        """Orders that rest and are cancelled, in turns: written, not published."""
        kinds = np.full(count, CommandKind.ENTER)
        kinds[1::2] = CommandKind.CANCEL
        self._write(kinds)

    def _write(self, kinds: np.ndarray) -> None:
        commands = np.zeros(len(kinds), COMMAND_DTYPE)
        commands["kind"] = kinds
        commands["generation"] = np.where(kinds == CommandKind.LOGIN, 0, 1)
        commands["slot"] = (SOURCE << SLOT_BITS) + 1
        commands["user_ref"] = self._user_ref + 1 + np.arange(len(kinds)) // 2
        commands["side"], commands["time_in_force"] = ord("B"), ord("0")
        commands["display"], commands["capacity"] = ord("Y"), ord("P")
        commands["price"] = 100
        commands["quantity"] = np.where(kinds == CommandKind.ENTER, 100, 0)
        places = np.arange(self._position, self._position + len(kinds))
        self._commands.records[places & (len(self._commands.records) - 1)] = commands
        self._position += len(kinds)
        if kinds[0] == CommandKind.ENTER:
            self._user_ref += (len(kinds) + 1) // 2

    def _place(self, pid: int, core: int) -> None:
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setaffinity(thread, {core})
            if self._fifo:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(10))

    def _release(self, pid: int) -> None:
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@contextlib.contextmanager
def pair(folder: Path, slots: int, cores: tuple[int, int], *, fifo: bool) -> Iterator[Pair]:
    """A matcher that waits for its death. We run on its core meanwhile."""
    affinity = os.sched_getaffinity(0)
    it = Pair(folder, slots, cores, fifo=fifo)
    try:
        it.open()
        os.sched_setaffinity(0, {cores[0]})
        if fifo:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
        yield it
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, affinity)
        it.close()
