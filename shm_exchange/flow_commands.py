"""Shell: a flow as the commands of one session, with slots given out as a gateway gives them out.

A modify is a replace whose quantity is what shall be open; a cancel asks for nothing to be left; a
reduce is a cancel to an intended total: what the order was last told to be, less the quantity.
The commands are learnt in a first pass through the matcher, where every order has a slot of its
own: it shows when each order ends. Then an index is given out again some messages after the end
of its order, so that the matcher works on as much memory as in production.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from ringbuf.broadcast import NO_GATE, RECORDED, Broadcast
from ringbuf.layout import BROADCAST_CURSORS, WORD_SIZE
from shm_exchange.flow import BUY, MODIFY, NEW, REDUCE, Flow, FlowError, validate
from shm_exchange.instruments import Instrument, instrument_rows
from shm_exchange.market import Market, create_market
from shm_exchange.messages import (
    COMMAND,
    COMMAND_DTYPE,
    COMMAND_NEXT_MASK,
    EVENT_DTYPE,
    REASON_USER,
    SLOT_BITS,
    SLOT_INDEX_MASK,
    SOURCE_GATEWAY_FIRST,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
)
from shm_exchange.tape import play, reuse_slots

SOURCE = SOURCE_GATEWAY_FIRST
MESSAGES_FROM = 1  # the first command is the login, the flow's messages follow
COMMANDS_PER_PUBLISH = 64
SLOT_LAG = 1_024  # commands on the way between a matcher and the gateway that reads its events
_SLOTS_MIN = 1 << 20
_RING_RECORDS = 1 << 17
_NEVER = 1 << 62
_SLOT_BASE = SOURCE << SLOT_BITS
_CLIENT_ORDER_ID = slice(
    COMMAND.offset_of("client_order_id_0"), COMMAND.offset_of("client_order_id_0") + 14
)


class Tape(NamedTuple):
    """A flow, ready to be played."""

    commands: np.ndarray  # COMMAND[1 + messages]
    order_ids: np.ndarray  # int32[messages], as in the flow
    slots: int  # slot indices that were needed
    price_max: int  # ticks


class _Orders(NamedTuple):
    """What the columns say about each order, before anything is matched."""

    entered: np.ndarray  # int64[orders]: message that enters it
    order: np.ndarray  # int64[messages]: number of the message's order, -1 = never entered
    latest: np.ndarray  # int64[messages]: message before it that last priced the order, or -1
    total: np.ndarray  # int64[messages]: of a reduce: quantity told at `latest`, less reduces


def tape_of(flow: Flow) -> Tape:
    """The commands of `flow`. Raises FlowError when the matcher refuses one of its messages."""
    orders = _study(validate(flow))
    if len(orders.entered) > SLOT_INDEX_MASK:
        raise FlowError(f"{len(orders.entered)} orders are more than {SLOT_INDEX_MASK}: cut it")
    tape = Tape(
        commands=_commands(flow, orders),
        order_ids=flow.order_id,
        slots=len(orders.entered),
        price_max=int(flow.price_ticks.max()),
    )
    ended = _learn(flow, orders, tape)
    slots = np.zeros_like(orders.entered)
    by_end = np.argsort(ended, kind="stable")
    count = reuse_slots(
        orders.entered, ended, by_end, SLOT_LAG, slots, np.zeros_like(orders.entered)
    )
    _set_slots(tape.commands, orders, slots)
    return tape._replace(slots=int(count))


def market_of(tape: Tape) -> Market:
    """An empty market that can hold the flow, its slots touched as after a warm start."""
    rows = instrument_rows([Instrument(symbol="AAPL", tick=Decimal("0.01"))])
    rows["price_max"] = max(int(rows[0]["price_max"]), tape.price_max)
    slots = max(_SLOTS_MIN, tape.slots)
    market = create_market(
        rows, 1, gateway_count=SOURCE + 1, slots_per_gateway=slots, page_limit=1 << 20
    )
    market.orders[_SLOT_BASE : _SLOT_BASE + tape.slots] = 0
    market.session_links[_SLOT_BASE : _SLOT_BASE + tape.slots] = 0
    return market


class Player:
    """A tape, a market and a private ring."""

    def __init__(self, tape: Tape) -> None:
        self.market = market_of(tape)
        self._commands = tape.commands
        self._next = 0
        self._ring = Broadcast(
            cursors=np.zeros(BROADCAST_CURSORS.size // WORD_SIZE, np.int64),
            records=np.zeros(_RING_RECORDS, EVENT_DTYPE),
        )

    def until(self, last: int) -> Iterator[np.ndarray]:
        """Play commands below `last`; yield the events, EVENT[n], valid until the next step."""
        scalars = self.market.scalars
        capacity = len(self._ring.records)
        while self._next < last or int(scalars[0]["continuing_kind"]):
            position = int(scalars[0]["position"])
            self._ring.cursors[RECORDED] = position
            self._next = play(
                self.market,
                self._commands,
                self._next,
                last,
                SOURCE,
                self._ring,
                position,
                COMMANDS_PER_PUBLISH,
            )
            first = position & (capacity - 1)
            count = int(scalars[0]["position"]) - position
            yield self._ring.records[first : first + count]
            if first + count > capacity:
                yield self._ring.records[: first + count - capacity]
        self._ring.cursors[RECORDED] = NO_GATE


def _study(flow: Flow) -> _Orders:
    """Number the orders by their entry, and find what each message refers to."""
    entered = np.flatnonzero(flow.kind == NEW)
    ids, place = np.unique(flow.order_id, return_inverse=True)
    numbers = np.full(len(ids), -1, np.int64)
    numbers[place[entered]] = np.arange(len(entered))
    order = numbers[place]

    # Side by side: the messages of one order, in their sequence.
    together = np.argsort(place, kind="stable")
    priced = np.isin(flow.kind[together], (NEW, MODIFY))
    latest_place = np.maximum.accumulate(np.where(priced, np.arange(len(together)), -1))
    before = np.concatenate(([-1], latest_place[:-1]))
    known = (before >= 0) & (place[together[before]] == place[together])
    reduced = np.cumsum(np.where(flow.kind == REDUCE, flow.quantity, 0)[together].astype(np.int64))
    latest = np.empty(flow.messages, np.int64)
    total = np.zeros(flow.messages, np.int64)
    latest[together] = np.where(known, together[before], -1)
    told = flow.quantity[together[before]].astype(np.int64)
    total[together] = told - (reduced - reduced[before])
    return _Orders(entered, order, latest, total)


def _commands(flow: Flow, orders: _Orders) -> np.ndarray:
    """COMMAND[1 + messages]: the login, then the messages, each order in a slot of its own."""
    commands = np.zeros(MESSAGES_FROM + flow.messages, COMMAND_DTYPE)
    commands[0]["kind"] = CommandKind.LOGIN
    rows = commands[MESSAGES_FROM:]
    kinds = (CommandKind.ENTER, CommandKind.CANCEL, CommandKind.REPLACE, CommandKind.CANCEL)
    sequence = np.arange(flow.messages)
    priced = np.isin(flow.kind, (NEW, MODIFY))
    rows["kind"] = np.array(kinds, np.uint8)[flow.kind]
    rows["generation"] = 1
    rows["side"] = np.where(flow.side == BUY, ord("B"), ord("S"))
    rows["time_in_force"] = np.where(flow.ioc == 1, ord("3"), ord("0"))
    rows["display"] = ord("Y")
    rows["capacity"] = ord("P")
    rows["cross_type"] = ord("N")
    rows["flags"] = np.where(flow.kind == MODIFY, CommandFlag.OPEN_QUANTITY, 0)
    rows["user_ref"] = np.where(priced, sequence, orders.latest) + 1
    rows["original_user_ref"] = np.where(flow.kind == MODIFY, orders.latest + 1, 0)
    rows["price"] = np.where(priced, flow.price_ticks, 0)
    rows["quantity"] = np.where(priced, flow.quantity, 0)
    reduces = flow.kind == REDUCE
    rows["quantity"][reduces] = np.maximum(0, orders.total[reduces])
    rows["reason"] = np.where(priced, 0, REASON_USER)
    rows["received_ns"] = sequence if flow.time_ns is None else flow.time_ns
    text = commands.view(np.uint8).reshape(-1, COMMAND.size)[MESSAGES_FROM:, _CLIENT_ORDER_ID]
    text[:] = np.frombuffer(b"FLOW0000000000", np.uint8)
    digits = flow.order_id.copy()
    for column in range(13, 3, -1):
        text[:, column] += (digits % 10).astype(np.uint8)
        digits //= 10
    _set_slots(commands, orders, np.arange(len(orders.entered)))
    return commands


def _set_slots(commands: np.ndarray, orders: _Orders, slots: np.ndarray) -> None:
    """Put each order's slot into its commands; 0, which is no slot, for one never entered."""
    known = orders.order >= 0
    commands["slot"][MESSAGES_FROM:][known] = _SLOT_BASE + slots[orders.order[known]]


def _learn(flow: Flow, orders: _Orders, tape: Tape) -> np.ndarray:
    """The message that ends each order, int64[orders]; complete reduces that follow a modify."""
    ended = np.full(len(orders.entered), _NEVER, np.int64)
    reduces = np.flatnonzero((flow.kind == REDUCE) & (orders.latest >= 0))
    reduces = reduces[flow.kind[orders.latest[reduces]] == MODIFY]
    reduces = reduces[np.argsort(orders.latest[reduces], kind="stable")]
    bases, starts = np.unique(orders.latest[reduces], return_index=True)
    player = Player(tape)
    rows = tape.commands[MESSAGES_FROM:]
    for base, its_reduces in zip(bases.tolist(), np.split(reduces, starts[1:]), strict=False):
        _note_ends(player.until(MESSAGES_FROM + base), orders, ended)
        # The chain's total, as OUCH counts it, includes what was executed before the modify.
        executed = int(player.market.orders[int(rows[base]["slot"])]["executed"])
        rows["quantity"][its_reduces] = np.maximum(0, orders.total[its_reduces] + executed)
    _note_ends(player.until(len(tape.commands)), orders, ended)
    return ended


def _note_ends(batches: Iterator[np.ndarray], orders: _Orders, ended: np.ndarray) -> None:
    """Store the sequence of each order's last event. Raises FlowError for a refused message."""
    for events in batches:
        kind, flags = events["kind"], events["flags"]
        sequence = (events["source_next"] & COMMAND_NEXT_MASK) - 1 - MESSAGES_FROM
        refused = (kind == EventKind.REJECTED) | (
            (kind == EventKind.IGNORED) & (events["command_kind"] == CommandKind.ENTER)
        )
        if refused.any():
            row = events[int(np.argmax(refused))]
            raise FlowError(
                f"message {int(sequence[np.argmax(refused)])} is refused by the matcher, "
                f"reason {int(row['reason']):#06x}"
            )
        traded = kind == EventKind.EXECUTED
        done = ((kind == EventKind.CANCELLED) | traded) & (flags & EventFlag.DONE != 0)
        ended[orders.order[events["user_ref"][done].astype(np.int64) - 1]] = sequence[done]
        done = traded & (flags & EventFlag.TAKER_DONE != 0)
        ended[orders.order[events["taker_user_ref"][done].astype(np.int64) - 1]] = sequence[done]
