"""Shell: whether the hot loops of an exchange make progress, by the words that they store.

A matcher that is there must move. Where there is none, somebody is on his way to be it, and the
supervisor counts how often that fails; only if nobody comes at all is that a standstill as well.

A recorder and a gateway must move while they say that they are ready, or wait for the disk. What
they do in an empty post, to compile or to recover, takes as long as it takes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringbuf import layout
from ringbuf.broadcast import PUBLISHED
from shm_exchange.standstill import Words, posture, words_of
from shm_exchange.status import living_pid
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    ROLE_NAMES,
    Wiring,
)

_VACANT_SECONDS_MAX = 300.0  # more than any recovery takes


class Progress:
    """Of all engines, since `mark`."""

    def __init__(self, wirings: Mapping[int, Wiring]) -> None:
        self._wirings = wirings
        self._marked: dict[int, Words] = {}
        self._beside: dict[tuple[int, int], Words] = {}  # of recorders and gateways, by line
        self._vacant_since: dict[int, float] = {}

    def mark(self) -> None:
        """Count from now on."""
        self._marked = {number: _words(each) for number, each in self._wirings.items()}
        self._beside = {
            (number, line): words_of(each, line)
            for number, each in self._wirings.items()
            for line in _others(each)
        }

    def everywhere(self, now: float) -> bool:
        """Whether no engine stands still. now: of a clock that goes on."""
        matchers = [self._of(number, each, now) for number, each in self._wirings.items()]
        return all(matchers) and all(
            words_of(each, line) != self._beside.get((number, line)) or _waits(each, line)
            for number, each in self._wirings.items()
            for line in _others(each)
        )

    def _of(self, number: int, engine: Wiring, now: float) -> bool:
        row = engine.control.processes[PROCESS_MATCHER]
        if living_pid(row) is None or row["state"] != layout.STATE_READY:
            return now - self._vacant_since.setdefault(number, now) < _VACANT_SECONDS_MAX
        self._vacant_since.pop(number, None)
        return _words(engine) != self._marked.get(number)


def _others(engine: Wiring) -> list[int]:
    """Lines of the recorder and the gateways that are ready."""
    rows = engine.control.processes
    return [
        line
        for line in (PROCESS_RECORDER, *range(PROCESS_SOURCE_FIRST, len(rows)))
        if rows[line]["state"] == layout.STATE_READY and living_pid(rows[line]) is not None
    ]


def _waits(engine: Wiring, line: int) -> bool:
    """Whether a process waits for the disk, or is gone."""
    row = engine.control.processes[line]
    try:
        return posture(int(row["pid"]), ROLE_NAMES[row["role"]])[0] == "D"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _words(engine: Wiring) -> Words:
    """What a matcher stores in every pass, and whose reign it is."""
    epoch = int(engine.control.words[layout.EPOCH])
    return (int(engine.ring.cursors[PUBLISHED]), epoch, *words_of(engine, PROCESS_MATCHER))
