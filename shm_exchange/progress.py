"""Shell: whether the matchers of an exchange make progress, by the words that they store.

A matcher that is there must move. Where there is none, somebody is on his way to be it, and the
supervisor counts how often that fails; only if nobody comes at all is that a standstill as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringbuf import layout
from ringbuf.broadcast import PUBLISHED
from shm_exchange.status import living_pid
from shm_exchange.wiring import PROCESS_MATCHER, Wiring

_WORDS = ("heartbeat_ns", "loops", "work", "position")
_VACANT_SECONDS_MAX = 300.0  # more than any recovery takes


class Progress:
    """Of all engines, since `mark`."""

    def __init__(self, wirings: Mapping[int, Wiring]) -> None:
        self._wirings = wirings
        self._marked: dict[int, tuple[int, ...]] = {}
        self._vacant_since: dict[int, float] = {}

    def mark(self) -> None:
        """Count from now on."""
        self._marked = {number: _words(each) for number, each in self._wirings.items()}

    def everywhere(self, now: float) -> bool:
        """Whether no engine stands still. now: of a clock that goes on."""
        return all([self._of(number, each, now) for number, each in self._wirings.items()])

    def _of(self, number: int, engine: Wiring, now: float) -> bool:
        row = engine.control.processes[PROCESS_MATCHER]
        if living_pid(row) is None or row["state"] != layout.STATE_READY:
            return now - self._vacant_since.setdefault(number, now) < _VACANT_SECONDS_MAX
        self._vacant_since.pop(number, None)
        return _words(engine) != self._marked.get(number)


def _words(engine: Wiring) -> tuple[int, ...]:
    """What a matcher stores in every pass, and whose reign it is."""
    row = engine.control.processes[PROCESS_MATCHER]
    epoch = int(engine.control.words[layout.EPOCH])
    return (int(engine.ring.cursors[PUBLISHED]), epoch, *(int(row[name]) for name in _WORDS))
