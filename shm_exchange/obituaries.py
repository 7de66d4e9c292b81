"""Shell: tells matchers that a gateway is dead, once everything that it committed is matched.

The commands of a dead gateway count: they are in its ring and the matcher works through them. Only
then may GATEWAY_DIED come, which cancels for the sessions that are still bound to it. It travels
through the supervisor's own command ring, of which the supervisor is the only producer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ringbuf import layout, spsc
from shm_exchange.messages import CommandKind
from shm_exchange.supervisor_commands import new_command, offer
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
        command = new_command(CommandKind.GATEWAY_DIED)
        command["slot"] = obituary.source
        command["user_ref"] = obituary.incarnation
        if not offer(wiring, command):
            return False
        self._ring_matcher(obituary.engine)
        return True
