"""Shell: the day rolls when an operator wants it, and each day at the configured time.

The supervisor posts ROLL to every engine; the matcher does the rest (`day_end.py`,
`reign.open_streams`). Whoever asked reads from the event rings what came of it. A roll that was due
while the exchange was not running is not made up for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shm_exchange import admin, presence, status
from shm_exchange.errors import ExchangeError
from shm_exchange.market_operations import await_event
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    ROLL_DAY,
    SOURCE_SUPERVISOR,
    CommandKind,
    EventKind,
)
from shm_exchange.supervisor_commands import new_command, offer, published
from shm_exchange.wiring import Wiring

DO = "roll"
NEVER = "none"
_DAY_SECONDS = 86_400
_SECONDS = 60.0
_START_OF_MARKET = ord("Q")  # ITCH 5.0, `S`


def next_time(day_roll: str, now: float) -> float:
    """When the day rolls next, in seconds since 1970. day_roll: `HH:MM` in UTC, or `none`."""
    if day_roll == NEVER:
        return float("inf")
    hours, minutes = map(int, day_roll.split(":"))
    due = now - now % _DAY_SECONDS + 3600 * hours + 60 * minutes
    return due if due > now else due + _DAY_SECONDS


class DayRoll:
    """The supervisor's part."""

    def __init__(
        self,
        day_roll: str,
        wirings: Mapping[int, Wiring],
        ring_matcher: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """ring_matcher: wakes the matcher of an engine."""
        self._day_roll = day_roll
        self._wirings = wirings
        self._ring_matcher = ring_matcher
        self._clock = clock
        self._next = next_time(day_roll, clock())
        self._waiting: list[int] = []  # engines that took no command when it was time

    def change(self, day_roll: str) -> None:
        """Roll at another time from now on."""
        if day_roll != self._day_roll:
            self._day_roll = day_roll
            self._next = next_time(day_roll, self._clock())

    def begin(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Roll now. Raises ExchangeError when an engine takes no commands; the others roll."""
        engine = request.get("engine")
        engines = list(self._wirings) if engine is None else [engine]
        for each in engines:
            if not isinstance(each, int) or each not in self._wirings:
                known = ", ".join(map(str, self._wirings))
                raise ExchangeError(f"there is no engine {each} here; known are: {known}")
        left = [each for each in engines if not self._post(each)]
        if left:
            raise ExchangeError(
                f"engine {left[0]} takes no commands now, the others roll: when `shmx status` says"
                f" ready, roll it with --engine {left[0]}"
            )
        return {"engines": {str(each): published(self._wirings[each]) for each in engines}}

    def post(self) -> None:
        """Roll if it is time."""
        now = self._clock()
        if now >= self._next:
            self._next = next_time(self._day_roll, now)
            self._waiting = list(self._wirings)
        self._waiting = [each for each in self._waiting if not self._post(each)]

    def _post(self, engine: int) -> bool:
        command = new_command(CommandKind.ROLL)
        command["reason"] = ROLL_DAY
        if not offer(self._wirings[engine], command):
            return False
        self._ring_matcher(engine)
        return True


# ------------------------------------------------------------ whoever asks


def roll(name: str, engine: int | None) -> dict[str, Any]:
    """Roll the day of a running exchange; of each engine where its new streams begin.

    engine: None for all. Raises ExchangeError.
    """
    running = presence.find(name)
    begun = time.monotonic()
    with status.attached(name, running) as wirings:
        before = {number: status.published(each) for number, each in wirings.items()}
        asked = admin.ask(Path(running["state_directory"]), {"do": DO, "engine": engine})
        rows = [
            _result(wirings[int(number)], int(number), before[int(number)], following)
            for number, following in asked["engines"].items()
        ]
    return {"engines": rows, "seconds": round(time.monotonic() - begun, 3)}


def _result(wiring: Wiring, engine: int, since: int, following: int) -> dict[str, Any]:
    """Wait until an engine's market is open again."""
    source_next = SOURCE_SUPERVISOR << COMMAND_NEXT_BITS | following

    def has_ended(events: np.ndarray) -> np.ndarray:
        of_ours = events["source_next"] == source_next
        over = (events["kind"] == EventKind.ROLLED) | (events["kind"] == EventKind.IGNORED)
        ended: np.ndarray = of_ours & over
        return ended

    def is_open(events: np.ndarray) -> np.ndarray:
        opened: np.ndarray = (events["kind"] == EventKind.SYSTEM) & (
            events["reason"] == _START_OF_MARKET
        )
        return opened

    event, position = await_event(wiring, since, has_ended, _SECONDS)
    if event["kind"] == EventKind.IGNORED:
        raise ExchangeError(
            f"engine {engine} could not end its day: it ended two matchers and was given up;"
            " look at the log, the market goes on as it was"
        )
    event, opened = await_event(wiring, position, is_open, _SECONDS)
    name = int(event["stream_0"]).to_bytes(8, "little", signed=True)
    name += int(event["stream_1"]).to_bytes(2, "little", signed=True)
    return {"engine": engine, "ended": position, "open": opened, "stream": name.decode("ascii")}
