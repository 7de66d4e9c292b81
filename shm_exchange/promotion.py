"""Shell: a process that holds a replica for another purpose succeeds the matcher with a copy of it.

The one door between a gateway and the matcher. The thread that will be the matcher exists from the
beginning, parked, with everything compiled and loaded; it is given a copy, taken between two
batches, and runs the loop of any other successor: the lock decides who wins. The process goes on
with its replica as before.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import replace

import numpy as np

from ringbuf import layout
from shm_exchange import lifetime, placement
from shm_exchange.engine import SETTING_KEEPS_LINE
from shm_exchange.fencing import Watcher
from shm_exchange.market import Market
from shm_exchange.market_copy import copy_market
from shm_exchange.operator_line import ERROR, say
from shm_exchange.primary import build_engine, run_loop, warm_up
from shm_exchange.recovery import empty_market
from shm_exchange.roles import RoleContext
from shm_exchange.status import living_pid
from shm_exchange.wiring import PROCESS_SOURCE_FIRST, PROCESS_STANDBY_FIRST

GRACE_NS = 50_000_000  # how long a dead matcher's standbys have before anybody else tries
STARVED_SECONDS = 1.0  # how long they have when one lives, and only gets no core
_LOST = (lifetime.LOCK_HELD, lifetime.LAPPED)  # somebody was faster
_PROBLEMS = {
    lifetime.LOCK_BROKEN: "the writer lock is unusable; stop the exchange and start it again",
    lifetime.DIFFERS: "the replica differs from what the matcher had",
}


class Promotion:
    """A thread that can be the matcher of an engine."""

    def __init__(self, context: RoleContext) -> None:
        # What a thread knows of whom it rang is its own.
        self._context = replace(context, bells=context.bells.copy())
        self.words = np.zeros(1, np.int64)  # 1 from `begin` on until the thread is parked again
        market = empty_market(context.configuration, context.engine)
        self._engine = build_engine(self._context, market, first=True)
        self._engine.settings[SETTING_KEEPS_LINE] = 1
        warm_up(self._engine)
        copy_market(market, market)  # of nothing: loads its machine code
        self._asked = (0, 0.0)  # of which reign's end `is_due` was asked first, and when
        self._wanted = threading.Event()
        self._parked = threading.Event()
        self._parked.set()
        threading.Thread(target=self._live, name="promotion", daemon=True).start()
        if not self.grace_ns:  # then nobody else watches over the matcher
            limit_ms = context.configuration.exchange.hang_limit_ms
            Watcher(context.wiring, context.process, limit_ms, context.role, stays=True).start()

    @property
    def grace_ns(self) -> int:
        """How long the owner of the replica waits before it calls `begin`."""
        standbys = self._context.configuration.engine(self._context.engine).standbys
        return GRACE_NS if standbys else 0

    def is_due(self) -> bool:
        """Whether to `begin`: the matcher is dead and no standby lives that was merely slow."""
        control = self._context.control
        reign = int(control.words[layout.EPOCH])
        if self._asked[0] != reign:
            self._asked = (reign, time.monotonic())
        standbys = control.processes[PROCESS_STANDBY_FIRST:PROCESS_SOURCE_FIRST]
        is_helped = any(
            row["state"] == layout.STATE_READY and living_pid(row) is not None for row in standbys
        )
        return not is_helped or time.monotonic() - self._asked[1] > STARVED_SECONDS

    def begin(self, market: Market) -> None:
        """Try to succeed with a copy of `market`, which nobody changes meanwhile."""
        copy_market(market, self._engine.market)
        self._parked.clear()
        self.words[0] = 1
        self._wanted.set()

    def wait(self) -> None:
        """Until the thread is not the matcher (any more)."""
        self._parked.wait()

    def _live(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            self._take_core()
            outcome = run_loop(self._engine, self._context)
            if outcome in _PROBLEMS:
                say(f"promotion: {_PROBLEMS[outcome]}", ERROR)
            context = self._context
            market = empty_market(context.configuration, context.engine)
            self._engine = self._engine._replace(market=market)
            self._parked.set()  # first: `begin` may be called as soon as the word says so
            self.words[0] = 0

    def _take_core(self) -> None:
        """To the matcher's core, or away from the one that the process was given."""
        cores = os.sched_getaffinity(os.getppid())  # the supervisor's: all that may be used
        core = placement.matcher_cores(self._context.configuration, cores)[self._context.engine]
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores if core is None else {core})
