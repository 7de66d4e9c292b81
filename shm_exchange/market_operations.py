"""Shell: what an operator does to the market: halt and resume an instrument, break a trade.

The supervisor posts the command and says where it stands in its ring; whoever asked reads from the
event ring what the matcher made of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ringbuf import spsc
from ringbuf.broadcast import Broadcast
from shm_exchange import admin, presence, status
from shm_exchange.config import Configuration
from shm_exchange.errors import ArgumentError, ExchangeError
from shm_exchange.history import History
from shm_exchange.journal_segment import Owner
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    COMMAND_NEXT_MASK,
    SOURCE_SUPERVISOR,
    CommandKind,
    EventKind,
)
from shm_exchange.supervisor_commands import new_command, offer
from shm_exchange.wiring import Wiring

DO_STATE, DO_BUST = "state", "bust"
OPEN = "open"
STATES = {OPEN: "T", "cancel-only": "Q", "halted": "H", "closed": "C"}  # ITCH H; closed is ours
BUST_REASONS = {"erroneous": "E", "consent": "C", "supervisory": "S", "external": "X"}
REASON_SIZE = 4
# Of the trade's event: what its broken trade's command says again.
_MAKER = ("session", "user_ref", "user_ref_index", "side", "instrument", "price", "quantity")
_TAKER = ("taker_session", "taker_user_ref", "taker_user_ref_index")
_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 0.001
_EVENTS_PER_READ = 1 << 16


class Operator:
    """Supervisor: carries out requests of the admin socket."""

    def __init__(
        self,
        configuration: Configuration,
        wirings: Mapping[int, Wiring],
        ring_matcher: Callable[[int], None],
    ) -> None:
        """ring_matcher: wakes the matcher of an engine."""
        self._configuration = configuration
        self._wirings = wirings
        self._ring_matcher = ring_matcher

    def set_state(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Halt or resume an instrument. Raises ExchangeError."""
        symbol, state = request.get("symbol"), request.get("state")
        engine, index = self._find(symbol)
        if not isinstance(state, str) or state not in STATES:
            raise ExchangeError(f"there is no state {state}; known are: {', '.join(STATES)}")
        reason = _reason_word(request.get("reason"))
        fields = {"instrument": index, "reason": ord(STATES[state]), "quantity": reason}
        return self._post(engine, CommandKind.INSTRUMENT_STATE, **fields)

    def bust(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Break a trade, whose event the request repeats. Raises ExchangeError."""
        trade, engine = request.get("trade"), request.get("engine")
        reason = request.get("reason")
        names = (*_MAKER, *_TAKER, "reference")
        complete = isinstance(trade, dict) and all(isinstance(trade.get(n), int) for n in names)
        known = [number for number in self._wirings if number == engine]
        if not known or str(reason) not in BUST_REASONS or not complete:
            raise ExchangeError("this is no request to break a trade; `shmx bust` makes one")
        assert isinstance(trade, dict)
        fields = {name: trade[name] for name in (*_MAKER, *_TAKER, "reference")}
        fields["reason"] = ord(BUST_REASONS[str(reason)])
        try:
            return self._post(known[0], CommandKind.BUST, **fields)
        except OverflowError as error:
            raise ExchangeError(f"this is no trade: {error}") from error

    def _find(self, symbol: Any) -> tuple[int, int]:
        for engine in self._wirings:
            for index, each in enumerate(self._configuration.instruments_of(engine)):
                if each.symbol == symbol:
                    return engine, index
        raise ExchangeError(
            f"there is no instrument {symbol} here; the configuration lists those that there are"
        )

    def _post(self, engine: int, kind: CommandKind, **fields: Any) -> dict[str, Any]:
        wiring = self._wirings[engine]
        command = new_command(kind)
        for name, value in fields.items():
            command[name] = value
        if not offer(wiring, command):
            raise ExchangeError(
                f"engine {engine} takes no commands now; try again when `shmx status` says ready"
            )
        self._ring_matcher(engine)
        following = int(wiring.command_ring(SOURCE_SUPERVISOR).cursors[spsc.PUBLISHED])
        return {"engine": engine, "command_next": following}


def requests(
    configuration: Configuration,
    wirings: Mapping[int, Wiring],
    ring_matcher: Callable[[int], None],
) -> dict[str, admin.Command]:
    """What the supervisor may be asked of this, by the request's `do`."""
    operator = Operator(configuration, wirings, ring_matcher)
    return {DO_STATE: operator.set_state, DO_BUST: operator.bust}


def _reason_word(text: Any) -> int:
    """Four characters as ITCH's `H` has them, read as a little-endian int32; nothing is 0."""
    if not text:
        return 0
    data = text.encode("ascii", "replace") if isinstance(text, str) else b""
    if not 1 <= len(data) <= REASON_SIZE or not data.isalnum():
        raise ArgumentError(f"a reason is 1 to {REASON_SIZE} letters and digits, not {text!r}")
    return int.from_bytes(data.ljust(REASON_SIZE), "little", signed=True)


# ------------------------------------------------------------ whoever asks


def change_state(name: str, symbol: str, state: str, reason: str = "") -> dict[str, Any]:
    """Bring an instrument of a running exchange into a state; what came of it.

    reason: nothing, or 1 to 4 letters and digits. Raises ExchangeError.
    """
    _reason_word(reason)
    running = presence.find(name)
    request = {"do": DO_STATE, "symbol": symbol, "state": state, "reason": reason}
    with status.attached(name, running) as wirings:
        position = _carry_out(running, wirings, request)[1]
    return {"symbol": symbol, "state": state, "reason": reason, "position": position}


def bust(name: str, match_number: int, reason: str) -> dict[str, Any]:
    """Break the trade with this match number: both sides and the feed are told.

    Raises ExchangeError.
    """
    running = presence.find(name)
    engine, position = match_number >> COMMAND_NEXT_BITS, match_number & COMMAND_NEXT_MASK
    with status.attached(name, running) as wirings:
        if engine not in wirings:
            raise ExchangeError(
                f"match number {match_number} is of no engine here; executions on OUCH and the"
                " feed name theirs, which is no position of the journal"
            )
        trade = _find_trade(running, wirings[engine], engine, position)
        request = {"do": DO_BUST, "engine": engine, "trade": trade, "reason": reason}
        _, broken = _carry_out(running, wirings, request)
    return {"match_number": match_number, "reason": reason, "position": broken}


def _find_trade(
    running: Mapping[str, Any], wiring: Wiring, engine: int, position: int
) -> dict[str, int]:
    """The event of a trade that is not broken yet, from ring or journal."""
    identity = int(wiring.segments[1].header[0]["identity"])
    directory = Path(running["state_directory"])
    history = History(wiring.ring, directory, Owner.of(identity, engine))
    try:
        found = history.read(position, 1)
        if len(found) == 0 or found[0]["kind"] != EventKind.EXECUTED:
            raise ExchangeError(
                f"match number {engine << COMMAND_NEXT_BITS | position} is no trade's; executions"
                " on OUCH and the feed name theirs"
            )
        looked_at = position
        while len(events := history.read(looked_at, _EVENTS_PER_READ)):
            broken = (events["kind"] == EventKind.BROKEN) & (events["reference"] == position)
            if broken.any():
                raise ExchangeError("this trade is broken already; nothing was done")
            looked_at += len(events)
    finally:
        history.close()
    return {name: int(found[0][name]) for name in (*_MAKER, *_TAKER)} | {"reference": position}


def _carry_out(
    running: Mapping[str, Any], wirings: Mapping[int, Wiring], request: Mapping[str, Any]
) -> tuple[int, int]:
    """Ask the supervisor; engine and position of the event that the matcher made of it."""
    before = {number: status.published(each) for number, each in wirings.items()}
    answer = admin.ask(Path(running["state_directory"]), request)
    engine = int(answer["engine"])
    source_next = SOURCE_SUPERVISOR << COMMAND_NEXT_BITS | int(answer["command_next"])
    event, position = await_event(
        wirings[engine], before[engine], lambda events: events["source_next"] == source_next
    )
    if event["kind"] == EventKind.IGNORED:
        raise ExchangeError("the matcher ignored this: the exchange has another configuration")
    return engine, position


def await_event(
    wiring: Wiring,
    since: int,
    is_it: Callable[[np.ndarray], np.ndarray],
    seconds: float = _ANSWER_SECONDS,
) -> tuple[np.void, int]:
    """The first event from position `since` on that `is_it`, and its position.

    is_it: of each of EVENT[n]. Raises ExchangeError.
    """
    ring: Broadcast = wiring.ring
    capacity = len(ring.records)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        end = status.published(wiring)
        since = max(since, end - capacity // 2)
        events = ring.records[np.arange(since, end) & (capacity - 1)]
        places = np.flatnonzero(is_it(events))
        if len(places):
            return events[places[0]], since + int(places[0])
        since = end
        time.sleep(_LOOK_SECONDS)
    raise ExchangeError(
        f"the matcher did not answer within {seconds:g} s; `shmx status` shows who is there"
    )
