"""Goal: the checks before a trade refuse exactly what passes a limit, whatever is on its way.

Method: random requests of a session with limits and one without go through a gateway's kernels and
the matcher, answered now or later; a naive model that knows the rules of docs/protocols.md and
nothing of slots says for each request which limit it passes. `test_uncompiled` runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.order_index import create_order_index, insert_order
from gateways.ouch.codec import decode
from gateways.ouch.follow import follow_all
from gateways.ouch.inbound import FOR_MANY, SAID, SILENT, Desk, take_request
from gateways.ouch.quote_requests import take_mass_quote
from gateways.ouch.tags import OUCH_REQUEST_DTYPE
from gateways.risk import BUYS, ROW, SELLS, Risk, create_risk
from ringbuf.broadcast import Broadcast
from ringbuf.spsc import Spsc
from shm_exchange.limit_kinds import Limit
from shm_exchange.market import INSTRUMENT, LIMIT_COUNT, Market, create_market
from shm_exchange.matching import match, note_progress
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    ORDER_TAGS,
    SOURCE_SUPERVISOR,
    CommandKind,
    EventKind,
)
from shm_exchange.slots import create_slots
from tests.gateways.ouch_cases import cancel, enter, mass_quote, replace

SOURCE, LIMITED, FREE_SESSION = 2, 0, 1
SECOND_NS = 10**9
SYMBOLS = (b"AAA     ", b"BBB     ")
PRICES = (95, 100, 105)
CODES = {
    Limit.MESSAGES: 0x29,
    Limit.SYMBOL_MESSAGES: 0x28,
    Limit.ORDER_QUANTITY: 0x31,
    Limit.ORDER_NOTIONAL: 0x30,
    Limit.PRICE_DEVIATION: 0x26,
    Limit.OPEN_ORDERS: 0x8007,
    Limit.POSITION: 0x20,
}


def new_market() -> Market:
    rows = np.zeros(len(SYMBOLS), INSTRUMENT.dtype)
    for row, symbol in zip(rows, SYMBOLS, strict=True):
        row["symbol"] = int.from_bytes(symbol, "little")
        row["tick"], row["lot"], row["price_min"], row["price_max"] = 10_000, 1, 1, 1000
        row["quantity_max"], row["state"] = 999_999, ord("T")
    market = create_market(rows, 2, gateway_count=4, slots_per_gateway=256, page_limit=64)
    for number in (LIMITED, FREE_SESSION):
        row = market.sessions[number]
        row["generation"], row["connected"], row["gateway"], row["known"] = 1, 1, SOURCE, 1
    return market


@dataclass
class Chain:
    """An order and its replacements, as its owner sees them."""

    instrument: int
    side: str
    user_ref: int
    open: int = 0
    executed: int = 0
    unanswered: int = 0
    asked: int = 0
    quote_id: int = 0
    ended: bool = False  # then what is still asked of it comes to nothing

    @property
    def counted(self) -> int:
        if self.ended:
            return 0
        return max(self.open, self.asked) if self.unanswered else self.open

    def ask(self, quantity: int) -> None:
        self.asked = max(self.asked, quantity) if self.unanswered else quantity
        self.unanswered += 1


@dataclass
class Model:
    """The rules, naively."""

    limits: dict[Limit, int]
    chains: dict[int, Chain] = field(default_factory=dict)  # by every number ever asked
    positions: list[int] = field(default_factory=lambda: [0, 0])
    last: list[int] = field(default_factory=lambda: [0, 0])
    asked_at: list[tuple[int, int]] = field(default_factory=list)  # second, instrument
    quotes: dict[tuple[int, str], Chain] = field(default_factory=dict)  # of each id and side
    aside: list[Chain] = field(default_factory=list)  # what the message being checked replaces

    def orders(self) -> list[Chain]:
        unique = {id(each): each for each in self.chains.values()}
        unique = {key: each for key, each in unique.items() if not self.is_aside(each)}
        return [each for each in unique.values() if each.counted]

    def is_aside(self, chain: Chain) -> bool:
        return any(each is chain for each in self.aside)

    def quoted(self, quote_id: int, side: str) -> list[Chain]:
        """The order that rests as this side of a quote, unless a replace of it is on its way."""
        chain = self.quotes.get((quote_id, side))
        return [chain] if chain and chain.open and not chain.unanswered else []

    def exposure(self, instrument: int, side: str, but: Chain | None = None) -> int:
        mine = [each for each in self.orders() if each is not but]
        return sum(e.counted for e in mine if (e.instrument, e.side) == (instrument, side))

    def fault(
        self, instrument: int, side: str, price: int, total: int, replaced: Chain | None, mid: float
    ) -> int:
        """The code of the first limit that a request passes, or 0."""
        now = self.asked_at[-1][0]
        left = max(0, total - replaced.executed) if replaced else total
        sign = 1 if side == "B" else -1
        reference = self.last[instrument] or mid
        beyond = sign * (price - reference) / reference * 10_000 if reference else 0
        passed = {
            Limit.MESSAGES: sum(second == now for second, _ in self.asked_at),
            Limit.SYMBOL_MESSAGES: self.asked_at.count((now, instrument)),
            Limit.ORDER_QUANTITY: total,
            Limit.ORDER_NOTIONAL: total * price * 10_000,
            Limit.PRICE_DEVIATION: beyond,
            Limit.OPEN_ORDERS: 0 if replaced else len(self.orders()) + 1,
            Limit.POSITION: sign * self.positions[instrument]
            + self.exposure(instrument, side, replaced)
            + left,
        }
        for which, code in CODES.items():
            if self.limits.get(which, 0) and passed[which] > self.limits[which]:
                return code
        return 0

    def hear(self, event: np.void) -> None:
        """Take note of an event."""
        kind = EventKind(int(event["kind"]))
        if kind is EventKind.EXECUTED:
            self.last[event["instrument"]] = int(event["price"])
            maker = "B" if event["side"] == ord("B") else "S"
            self._trade(event, "session", "user_ref", maker)
            self._trade(event, "taker_session", "taker_user_ref", "S" if maker == "B" else "B")
        if event["session"] != LIMITED or kind is EventKind.EXECUTED:
            return
        chain = self.chains.get(int(event["user_ref"]))
        if chain is None:
            return
        if kind in (EventKind.ACCEPTED, EventKind.REPLACED):
            chain.open = int(event["quantity"])
            chain.unanswered -= 1
            if chain.quote_id and kind is EventKind.ACCEPTED:
                self.quotes[chain.quote_id, chain.side] = chain
            elif self.quotes.get((chain.quote_id, chain.side)) is chain:
                del self.quotes[chain.quote_id, chain.side]
        elif kind is EventKind.CANCELLED:
            chain.open = int(event["leaves"])
            chain.ended = chain.open == 0
            chain.unanswered -= int(event["unused_user_ref"] != 0)
        elif kind in (EventKind.REJECTED, EventKind.IGNORED):
            numbered = (CommandKind.ENTER, CommandKind.REPLACE)
            chain.unanswered -= int(event["command_kind"] in numbered)

    def _trade(self, event: np.void, session: str, user_ref: str, side: str) -> None:
        if event[session] == LIMITED:
            chain, quantity = self.chains[int(event[user_ref])], int(event["quantity"])
            chain.open -= quantity
            chain.ended = chain.open == 0
            chain.executed += quantity
            self.positions[event["instrument"]] += quantity if side == "B" else -quantity


Side = tuple[int, int]  # price and quantity
Quote = tuple[int, int, Side, Side]  # id, instrument, bid, ask


class Exchange:
    """A gateway's kernels and a matcher, joined by arrays."""

    def __init__(self, limits: dict[Limit, int]) -> None:
        self.market, self.replica = new_market(), new_market()
        self.configured = np.zeros(2 * LIMIT_COUNT, np.int64)
        for which, value in limits.items():
            self.configured[which] = value
        symbols = create_order_index(64)
        for number, symbol in enumerate(SYMBOLS):
            insert_order(symbols, int.from_bytes(symbol, "little"), number + 1)
        fields: dict[str, Any] = {
            "commands": Spsc(np.zeros(32, np.int64), np.zeros(1024, COMMAND_DTYPE)),
            "order_index": create_order_index(1024),
            "symbols": symbols,
            "slots": create_slots(self.replica, SOURCE),
            "instruments": self.replica.instruments,
            "offered": np.zeros(256, np.int32),
            "tags": np.zeros(1, ORDER_TAGS.dtype),
            "risk": self.new_risk(),
        }
        self.desk = Desk(**fields)
        self.ring = Broadcast(np.zeros(32, np.int64), np.zeros(4096, EVENT_DTYPE))
        self.model = Model(limits)
        self.asked = self.done = self.supervisor = self.position = 0
        self.now_ns = SECOND_NS
        self.numbers = [0, 0]

    def new_risk(self) -> Risk:
        return create_risk(self.replica, self.configured, SOURCE)

    def say(self, session: int, message: bytes) -> int:
        """A request, up to the command ring."""
        request = np.zeros(1, OUCH_REQUEST_DTYPE)
        data = np.frombuffer(message, np.uint8)
        result = decode(data, 0, len(message), request[0])
        desk, now = self.desk, self.now_ns
        said = take_request(self.replica, desk, request[0], result, self.asked, session, 1, now)
        if said == FOR_MANY:
            arguments = (data, 0, request[0], result, self.asked, session, 1, now)
            self.asked += int(take_mass_quote(self.replica, desk, *arguments))
        self.asked += said == SAID
        return int(said)

    def answer(self, count: int) -> None:
        """Match that many commands, and let the gateway hear of it."""
        for _ in range(count):
            if self.done == self.asked:
                return
            records, index = self.desk.commands.records, self.done & 1023
            self.done += 1 + int(records[index]["continuations"])
            self._match(records, index, SOURCE, self.done)

    def limit(self, which: Limit, value: int) -> None:
        """What an operator sets."""
        command = np.zeros(1, COMMAND_DTYPE)
        command["kind"], command["reason"] = CommandKind.LIMITS, which
        command["session"], command["client_order_id_0"] = LIMITED, value
        self.supervisor += 1
        self._match(command, 0, SOURCE_SUPERVISOR, self.supervisor)
        self.model.limits[which] = value or int(self.configured[which])

    def _match(self, commands: np.ndarray, index: int, source: int, following: int) -> None:
        first, end = self.position, self.position + 2048
        ring, now = self.ring, self.now_ns
        arguments = (commands, index, source, following, index + 1, now, ring, first, end)
        self.position = int(match(self.market, *arguments))
        note_progress(self.market, source, following, self.position)
        places = np.arange(first, self.position) & 4095
        events = self.ring.records[places]
        follow_all(self.replica, self.desk, events, first)
        for event in events:
            self.model.hear(event)

    def mid(self, instrument: int) -> float:
        orders = self.replica.orders
        live = orders[SOURCE << 24 : (SOURCE << 24) + 256]
        live = live[(live["state"] == 2) & (live["instrument"] == instrument)]
        bids = live["price"][live["side"] == ord("B")]
        asks = live["price"][live["side"] == ord("S")]
        return (int(bids.max()) + int(asks.min())) / 2 if len(bids) and len(asks) else 0.0

    def enter(self, session: int, instrument: int, side: str, price: int, total: int) -> None:
        self.numbers[session] += 1
        number = self.numbers[session]
        fields = {"user_ref": number, "side": side.encode(), "symbol": SYMBOLS[instrument]}
        message = enter(price=price * 10_000, quantity=total, **fields)
        if session == FREE_SESSION:
            assert self.say(session, message) == SAID
            return
        model = self.model
        model.asked_at.append((self.now_ns // SECOND_NS, instrument))
        expected = model.fault(instrument, side, price, total, None, self.mid(instrument))
        assert self.say(session, message) == SAID
        assert self.refusal() == expected
        if expected == 0:
            model.chains[number] = Chain(instrument, side, number)
            model.chains[number].ask(total)

    def replace(self, chain: Chain, price: int, total: int) -> None:
        number = self.numbers[LIMITED] + 1
        terms = {"price": price * 10_000, "time_in_force": b"0", "display": b"Y", "sweep": b"N"}
        numbers = {"original_user_ref": chain.user_ref, "user_ref": number}
        message = replace(quantity=total, **numbers, **terms)
        model, instrument = self.model, chain.instrument
        model.asked_at.append((self.now_ns // SECOND_NS, instrument))
        expected = model.fault(instrument, chain.side, price, total, chain, self.mid(instrument))
        if self.say(LIMITED, message) == SILENT:
            model.asked_at.pop()
            return
        self.numbers[LIMITED] = number
        assert self.refusal() == expected
        model.chains[number] = chain
        chain.ask(max(0, total - chain.executed) if expected == 0 else 0)
        if expected == 0:
            chain.user_ref = number

    def quote(self, quotes: Sequence[Quote]) -> int:
        """A mass quote: its first reject, or 0."""
        first = self.numbers[LIMITED] + 1
        self.numbers[LIMITED] = first + 2 * len(quotes)
        model, expected = self.model, 0
        model.aside = [c for each in quotes for side in "BS" for c in model.quoted(each[0], side)]
        for place, (quote_id, instrument, *sides) in enumerate(quotes):
            for number, (side, (price, quantity)) in enumerate(zip("BS", sides, strict=True)):
                if expected or not quantity:
                    continue
                model.asked_at.append((self.now_ns // SECOND_NS, instrument))
                mid = self.mid(instrument)
                expected = model.fault(instrument, side, price, quantity, None, mid)
                if expected == 0:
                    user_ref = first + 2 * place + number + 1
                    chain = Chain(instrument, side, user_ref, quote_id=quote_id)
                    model.chains[user_ref] = chain
                    chain.ask(quantity)
        model.aside = []
        command = self.asked
        rows = [
            (quote_id, SYMBOLS[instrument], *((10_000 * price, size) for price, size in sides))
            for quote_id, instrument, *sides in quotes
        ]
        assert self.say(LIMITED, mass_quote(first, rows)) == FOR_MANY
        assert self.desk.commands.records[command & 1023]["reason"] == expected
        return expected

    def refusal(self) -> int:
        """Why the last command is a refusal; 0 when it is none."""
        command = self.desk.commands.records[(self.asked - 1) & 1023]
        refused = command["kind"] in (CommandKind.REFUSED, CommandKind.REPLACE)
        return int(command["reason"]) if refused else 0

    def counted(self) -> list[int]:
        """The gateway's numbers: open orders, then of each instrument exposures and position."""
        risk = self.desk.risk
        numbers = [risk.sessions[ROW * LIMITED]]
        for instrument in range(len(SYMBOLS)):
            row = ROW * instrument
            numbers += [risk.exposures[row + BUYS], risk.exposures[row + SELLS]]
            numbers.append(self.replica.positions[instrument])
        return [int(number) for number in numbers]

    def expected(self) -> list[int]:
        """The same numbers by the model."""
        model = self.model
        numbers = [len(model.orders())]
        for instrument in range(len(SYMBOLS)):
            numbers += [model.exposure(instrument, "B"), model.exposure(instrument, "S")]
            numbers.append(model.positions[instrument])
        return numbers

    def check_successor(self) -> None:
        """A gateway that starts now finds the same numbers. Everything is answered."""
        risk, fresh = self.desk.risk, self.new_risk()
        assert np.array_equal(fresh.effective, risk.effective)
        assert fresh.sessions[ROW * LIMITED] == risk.sessions[ROW * LIMITED]
        for place in (BUYS, SELLS, ROW + BUYS, ROW + SELLS):
            assert fresh.exposures[place] == risk.exposures[place]


ACTION = st.tuples(
    st.sampled_from(
        ("enter", "enter", "trade", "quote", "quote", "replace", "cancel", "answer", "limit")
    ),
    st.integers(0, 7),
    st.sampled_from("BS"),
    st.sampled_from(PRICES),
    st.integers(1, 12),
)


def perform(exchange: Exchange, action: tuple[str, int, str, int, int]) -> None:
    what, number, side, price, quantity = action
    live = exchange.model.orders()
    if what == "enter":
        exchange.enter(LIMITED, number % 2, side, price, quantity)
    elif what == "trade":
        exchange.enter(FREE_SESSION, number % 2, side, price, quantity)
    elif what == "quote":
        ask = 0 if number > 5 else quantity
        first = (1 + number % 2, number // 2 % 2, (price - 10, quantity), (price + 10, ask))
        second = (3, number // 4, (price - 5, ask // 2), (price + 10, quantity // 2))
        exchange.quote([first, second] if side == "B" else [first])
    elif what == "replace" and live:
        exchange.replace(live[number % len(live)], price, quantity)
    elif what == "cancel" and live:
        intended = quantity if number > 3 else 0
        exchange.say(LIMITED, cancel(live[number % len(live)].user_ref, intended))
    elif what == "limit":
        which = list(CODES)[number % len(CODES)]
        scale = {Limit.ORDER_NOTIONAL: 10**7, Limit.PRICE_DEVIATION: 100}.get(which, 2)
        exchange.limit(which, quantity * scale if quantity < 10 else 0)
    else:
        exchange.answer(number + 1)
        exchange.now_ns += number * SECOND_NS // 4


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTION, max_size=40))
def test_limits_against_a_naive_model(actions: list[tuple[str, int, str, int, int]]) -> None:
    limits = dict.fromkeys(CODES, 0) | {Limit.OPEN_ORDERS: 5, Limit.POSITION: 20}
    exchange = Exchange(limits)
    for action in actions:
        perform(exchange, action)
        assert exchange.counted() == exchange.expected()
    exchange.answer(len(actions))
    assert exchange.counted() == exchange.expected()
    exchange.check_successor()


def limited(**limits: int) -> Exchange:
    return Exchange({Limit[which.upper()]: value for which, value in limits.items()})


NOTHING = (0, 0)


def test_what_a_quote_has_traded_is_held() -> None:
    exchange = limited(position=100)
    assert exchange.quote([(1, 0, (100, 60), NOTHING)]) == 0
    exchange.enter(FREE_SESSION, 0, "S", 100, 50)
    exchange.answer(2)
    assert exchange.quote([(1, 0, (100, 60), NOTHING)]) == CODES[Limit.POSITION]
    exchange.answer(1)
    assert exchange.quote([(1, 0, (100, 50), NOTHING)]) == 0


def test_a_quote_that_moves_to_another_symbol() -> None:
    exchange = limited(position=100)
    assert exchange.quote([(1, 0, (100, 100), NOTHING)]) == 0
    assert exchange.quote([(2, 1, (100, 100), NOTHING)]) == 0
    exchange.answer(2)
    assert exchange.quote([(1, 1, (95, 100), NOTHING)]) == CODES[Limit.POSITION]
    exchange.answer(1)
    assert exchange.counted() == [2, 100, 0, 0, 100, 0, 0]


def test_quotes_at_their_limit_are_said_again() -> None:
    exchange = limited(position=100, open_orders=3)
    quotes = [(1, 0, (100, 50), (105, 100)), (2, 0, (99, 50), NOTHING)]
    for _ in range(3):
        assert exchange.quote(quotes) == 0
        exchange.answer(1)
        assert exchange.counted() == exchange.expected() == [3, 100, 100, 0, 0, 0, 0]
    assert exchange.quote([*quotes, (3, 1, (1, 1), NOTHING)]) == CODES[Limit.OPEN_ORDERS]


def test_a_quote_named_twice_is_set_aside_once() -> None:
    exchange = limited(position=100)
    assert exchange.quote([(1, 0, (100, 60), NOTHING)]) == 0
    exchange.answer(1)
    twice = [(1, 0, (100, 60), NOTHING), (1, 0, (100, 60), NOTHING)]
    assert exchange.quote(twice) == CODES[Limit.POSITION]
    exchange.answer(1)
    assert exchange.counted() == exchange.expected() == [1, 60, 0, 0, 0, 0, 0]


def test_a_refused_replace_is_looked_at_by_the_matcher() -> None:
    """Of an order that has ended it says nothing and its number is free; else its reject."""
    exchange = limited(order_quantity=50)
    for _ in range(2):
        exchange.enter(LIMITED, 0, "B", 100, 10)
    exchange.answer(2)
    exchange.say(LIMITED, cancel(1))
    exchange.replace(exchange.model.chains[1], 100, 60)
    assert exchange.refusal() == CODES[Limit.ORDER_QUANTITY]
    exchange.answer(2)
    assert exchange.market.user_refs[0] == 2
    exchange.replace(exchange.model.chains[2], 100, 60)
    exchange.answer(1)
    assert exchange.market.user_refs[0] == 4
    assert exchange.ring.records[exchange.position - 1]["kind"] == EventKind.REJECTED
    assert exchange.counted() == exchange.expected() == [1, 10, 0, 0, 0, 0, 0]


def test_a_slot_that_is_taken_again_while_its_last_order_is_replaced() -> None:
    exchange = limited(position=100)
    exchange.enter(LIMITED, 0, "S", 100, 50)
    exchange.enter(FREE_SESSION, 0, "B", 100, 50)
    exchange.answer(1)
    exchange.replace(exchange.model.chains[1], 105, 60)
    exchange.asked, waiting = exchange.asked - 1, exchange.asked
    exchange.answer(1)  # it is executed
    exchange.asked = waiting
    exchange.enter(LIMITED, 1, "B", 100, 80)
    assert exchange.counted() == exchange.expected() == [1, 0, 0, -50, 80, 0, 0]
    exchange.answer(2)
    assert exchange.counted() == exchange.expected() == [1, 0, 0, -50, 80, 0, 0]
