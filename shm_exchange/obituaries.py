"""Shell: tells matchers that a gateway is dead, once everything that it committed is matched.

The commands of a dead gateway count: they are in its ring and the matcher works through them. Only
then may GATEWAY_DIED come, which cancels for the sessions that are still bound to it. It travels
through the supervisor's own command ring, of which the supervisor is the only producer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ringbuf import layout, spsc
from shm_exchange.messages import (
    COMMAND_DTYPE,
    SESSION_NONE,
    SOURCE_SUPERVISOR,
    CommandKind,
)
from shm_exchange.wiring import Wiring


@dataclass(frozen=True)
class _Obituary:
    engine: int
    source: int
    incarnation: int  # which life of that gateway ended
    published: int  # what it had committed


class Obituaries:
    """Deaths that matchers have not been told yet."""

    def __init__(self, wirings: Mapping[int, Wiring], ring_matcher: Callable[[int], None]) -> None:
        """ring_matcher: wakes the matcher of an engine."""
        self._wirings = wirings
        self._ring_matcher = ring_matcher
        self._waiting: list[_Obituary] = []

    def add(self, engine: int, source: int, pid: int) -> None:
        """Take note of a death. Call it before a successor is started."""
        cursors = self._wirings[engine].command_ring(source).cursors
        # Zero: it died before it had said which life it is, and has committed nothing.
        incarnation = int(cursors[spsc.INCARNATION]) or pid
        published = int(cursors[spsc.PUBLISHED])
        self._waiting.append(_Obituary(engine, source, incarnation, published))

    def post(self) -> None:
        """Tell those matchers that are ready for it."""
        self._waiting = [each for each in self._waiting if not self._posted(each)]

    def _posted(self, obituary: _Obituary) -> bool:
        wiring = self._wirings[obituary.engine]
        if int(wiring.control.words[layout.EPOCH]) == 0:
            return False  # the positions of the rings are not known yet
        gateway = wiring.command_ring(obituary.source)
        if int(gateway.cursors[spsc.CONSUMED]) < obituary.published:
            return False
        ours = wiring.command_ring(SOURCE_SUPERVISOR)
        consumed = int(ours.cursors[spsc.CONSUMED])
        # A new ring begins where the journal ends: the first matcher says so in `consumed`.
        position = max(int(ours.cursors[spsc.PUBLISHED]), consumed)
        if position - consumed >= len(ours.records):
            return False
        command = np.zeros(1, COMMAND_DTYPE)
        command["kind"] = CommandKind.GATEWAY_DIED
        command["session"] = SESSION_NONE
        command["slot"] = obituary.source
        command["user_ref"] = obituary.incarnation
        command["received_ns"] = time.time_ns()
        ours.records[position & (len(ours.records) - 1)] = command[0]
        ours.cursors[spsc.PUBLISHED] = position + 1
        self._ring_matcher(obituary.engine)
        return True
