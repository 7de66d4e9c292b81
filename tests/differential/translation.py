"""Requests of the naive exchange as COMMAND records, EVENT records as its tuples."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from ringbuf.broadcast import RECORDED, Broadcast
from shm_exchange.expiry import expiry_is_due
from shm_exchange.history import joined
from shm_exchange.market import INSTRUMENT, Market, create_market
from shm_exchange.matching import SWEEP_ROOM
from shm_exchange.messages import (
    COMMAND,
    COMMAND_DTYPE,
    COMMAND_NEXT_BITS,
    EVENT_DTYPE,
    ORDER_TAGS,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
)
from shm_exchange.order_terms import expire_next
from shm_exchange.tape import play
from tests.oracle.exchange import NOW_FIRST, Exchange, Request
from tests.oracle.protections import Settings
from tests.oracle.streams import SESSIONS, SLOTS, SOURCE_COUNT

COMMANDS_MAX = 512
TAG_FIELDS = {
    3: "minimum_quantity",
    5: "display_quantity",
    12: "post_only",
    15: "expire_seconds",
    24: "group_id",
    25: "shares_located",
    129: "post_only_reject",
    131: "self_match_mode",
    132: "self_match_group",
    143: "received_ns",
    145: "shares_ahead",
}
ENQUEUED_AFTER = 5  # ns, in the commands of these tests
UNCOUNTED = (EventKind.CONTINUED, EventKind.CONTINUATION)

KINDS = {
    "enter": CommandKind.ENTER,
    "cancel": CommandKind.CANCEL,
    "replace": CommandKind.REPLACE,
    "modify": CommandKind.MODIFY,
    "refused": CommandKind.REFUSED,
    "query": CommandKind.ACCOUNT_QUERY,
    "login": CommandKind.LOGIN,
    "logout": CommandKind.LOGOUT,
    "state": CommandKind.INSTRUMENT_STATE,
    "gateway started": CommandKind.GATEWAY_STARTED,
    "gateway died": CommandKind.GATEWAY_DIED,
    "mass cancel": CommandKind.MASS_CANCEL,
    "bust": CommandKind.BUST,
    "roll": CommandKind.ROLL,
    "disable": CommandKind.DISABLE,
    "enable": CommandKind.ENABLE,
    "protection": CommandKind.PROTECTION,
    "mass quote": CommandKind.MASS_QUOTE,
    "unheard of": 200,
}
NAMES = {int(number): name for name, number in KINDS.items()}
FLAGS = {
    "sweep": CommandFlag.SWEEP,
    "gtc": CommandFlag.GTC,
    "stay": CommandFlag.STAY_ON_DISCONNECT,
    "leave": CommandFlag.LEAVES_ON_DISCONNECT,
    "long_form": CommandFlag.LONG_FORM,
    "open_quantity": CommandFlag.OPEN_QUANTITY,
}
MARKS = (EventFlag.SWEEP, EventFlag.GTC, EventFlag.STAYS)
CLIENT_ORDER_ID = COMMAND.offset_of("client_order_id_0")  # the same bytes in EVENT


def fill_command(row: np.void, request: Request, stamp_ns: int) -> None:
    """Write a request as COMMAND."""
    row["kind"] = KINDS[request.kind]
    row["side"] = ord(request.side)
    row["time_in_force"] = ord(request.tif)
    row["display"] = ord(request.display)
    row["capacity"] = ord(request.capacity)
    row["flags"] = sum(flag for name, flag in FLAGS.items() if getattr(request, name))
    row["user_ref_index"] = request.channel
    row["session"] = request.session
    row["instrument"] = request.instrument
    row["generation"] = request.generation
    row["slot"] = request.slot
    row["user_ref"] = request.user_ref
    row["original_user_ref"] = request.original
    row["price"] = request.price
    row["quantity"] = request.quantity
    row["reason"] = request.reason
    row["received_ns"] = stamp_ns
    words = np.frombuffer(request.client_id.ljust(16), "<i8")
    row["client_order_id_0"] = words[0]
    row["client_order_id_1"] = np.int64(words[1]) << 32 >> 32
    row["client_order_id_2"] = np.int64(words[1]) << 16 >> 48
    if request.kind == "mass cancel":
        row["group_id"] = request.group
    if request.kind == "protection":
        _fill_protection(row, request.protection)
    if request.kind == "bust":
        row["reference"] = request.reference
        row["taker_session"], row["taker_user_ref_index"] = request.other_session, 0


def _fill_protection(row: np.void, asked: Settings) -> None:
    row["side"] = ord(asked.action)
    row["instrument"] = asked.instrument
    row["group_id"] = asked.group
    row["window_us"] = asked.window_us
    row["executions"] = asked.executions
    row["quantity"] = asked.quantity
    row["price"] = asked.net
    row["frozen_us"] = asked.frozen_us


def _protection(kind: EventKind, values: dict[str, int]) -> tuple[Any, ...]:
    amounts = (values["executions"], values["quantity"], values["price"])
    until = (values["frozen_us"], values["frozen_until_ns"])
    scope = (values["group_id"], values["instrument"])
    if kind is EventKind.PROTECTION_FIRED:
        said = (values["session"], *scope, values["reason"], *amounts, *until)
        return ("protection fired", *said)
    asked = (values["session"], values["user_ref_index"], values["user_ref"], chr(values["side"]))
    return ("protection set", *asked, *scope, values["window_us"], *amounts, *until)


def _bit(tag: int) -> int:
    return 1 << (tag if tag < 128 else tag - 96)


def fill_tags(row: np.ndarray, request: Request) -> None:
    """Write a request's tags as the continuation of its command. row: COMMAND[1]."""
    tags = row.view(ORDER_TAGS.dtype)[0]
    tags["kind"] = EventKind.CONTINUATION
    tags["present"] = sum(_bit(tag) for tag, _ in request.tags)
    for tag, value in request.tags:
        if tag != 145:  # a question: the matcher writes the answer
            tags[TAG_FIELDS[tag]] = ord(value) if isinstance(value, str) else value
        if tag == 143:
            tags["enqueued_ns"] = value + ENQUEUED_AFTER


def tags_said(row: np.ndarray) -> tuple[tuple[int, Any], ...]:
    """The tags of a continuation. row: EVENT[1]."""
    tags = row.view(ORDER_TAGS.dtype)[0]
    assert tags["kind"] == EventKind.CONTINUATION
    found = []
    for tag, name in TAG_FIELDS.items():
        value: Any = int(tags[name])
        if int(tags["present"]) & _bit(tag):
            found.append((tag, chr(value) if ORDER_TAGS.dtype[name] == np.uint8 else value))
        else:
            assert value == 0
    times = dict(found).get(143)
    assert tags["enqueued_ns"] == (times + ENQUEUED_AFTER if times else 0)
    return tuple(found)


def meaning(events: np.ndarray, index: int, references: list[int]) -> tuple[Any, ...]:
    """The tuple of one event. references: by position, the number that the oracle gives it."""
    event = events[index]
    kind = EventKind(int(event["kind"]))
    values: dict[str, int] = dict(zip(EVENT_DTYPE.names or (), event.item(), strict=True))
    flags = values["flags"]
    owner = tuple(values[name] for name in ("slot", "session", "user_ref_index", "user_ref"))
    about = (values["instrument"], chr(values["side"]), values["price"])
    client_id = event.tobytes()[CLIENT_ORDER_ID : CLIENT_ORDER_ID + 14]
    long_form = bool(flags & EventFlag.LONG_FORM)
    if kind in (EventKind.ACCEPTED, EventKind.REPLACED):
        letters = tuple(chr(values[name]) for name in ("time_in_force", "display", "capacity"))
        marks = tuple(bool(flags & each) for each in MARKS)
        rests = bool(flags & EventFlag.RESTS)
        identity = (client_id, values["original_user_ref"])
        behind = events[index + 1 : index + 2] if values["continuations"] else None
        tags = () if behind is None else tags_said(behind)
        return (
            *(kind.name.lower(), *owner, *about, values["quantity"]),
            *(*letters, *marks, rests, *identity, tags),
        )
    if kind in (EventKind.EXECUTED, EventKind.SELF_MATCHED):
        fields = ("taker_slot", "taker_session", "taker_user_ref_index", "taker_user_ref")
        taker = tuple(values[name] for name in fields)
        done = (bool(flags & EventFlag.DONE), bool(flags & EventFlag.TAKER_DONE))
        hidden = bool(flags & EventFlag.MAKER_HIDDEN)
        liquidity = ord("J" if hidden else "A")
        assert (values["liquidity"], values["taker_liquidity"]) == (liquidity, ord("R"))
        reference = references[values["reference"]]
        name = kind.name.lower().replace("_", " ")
        assert values["reason"] == (0 if kind is EventKind.EXECUTED else ord("Q"))
        return (name, *owner, *taker, *about, values["quantity"], reference, *done, hidden)
    if kind is EventKind.RESTATED:
        assert values["reason"] == ord("R")
        amounts = (values["leaves"], values["displayed"], references[values["reference"]])
        return ("restated", *owner, *about, *amounts)
    if kind is EventKind.RESTED:
        assert values["quantity"] == values["leaves"]
        return ("rested", *owner, *about, values["leaves"], references[values["reference"]])
    if kind is EventKind.CANCELLED:
        amounts = (values["quantity"], values["leaves"], references[values["reference"]])
        done = (bool(flags & EventFlag.DONE), bool(flags & EventFlag.RESTS))
        why = (values["reason"], values["cause"])
        return ("cancelled", *owner, *about, *amounts, *why, *done, long_form)
    if kind is EventKind.MODIFIED:
        amounts = (values["quantity"], values["leaves"], references[values["reference"]])
        return ("modified", *owner, *about, *amounts, long_form)
    return _rare(kind, values, owner, client_id, long_form)


def _rare(
    kind: EventKind, values: dict[str, int], owner: tuple[int, ...], client: bytes, long_form: bool
) -> tuple[Any, ...]:
    session = (values["session"], values["generation"], values["slot"])
    returned = bool(values["flags"] & EventFlag.SLOT_RETURNED)
    command = NAMES.get(values["command_kind"], "?")
    if kind is EventKind.REJECTED:
        return ("rejected", command, values["reason"], *owner, returned, client, long_form)
    if kind is EventKind.IGNORED:
        return ("ignored", command, values["reason"], *owner, returned)
    if kind is EventKind.ACCOUNT:
        channel, following = values["user_ref_index"], values["user_ref"]
        return ("account", values["session"], channel, following, long_form)
    if kind is EventKind.LOGGED_IN:
        return ("logged in", *session)
    if kind is EventKind.LOGGED_OUT:
        return ("logged out", *session)
    if kind in (EventKind.GATEWAY_STARTED, EventKind.GATEWAY_DIED):
        return (kind.name.lower().replace("_", " "), values["slot"], values["user_ref"])
    if kind in (EventKind.PROTECTION_SET, EventKind.PROTECTION_FIRED):
        return _protection(kind, values)
    if kind is EventKind.QUOTED:
        said = ("session", "user_ref_index", "user_ref", "group_id", "quantity")
        return ("quoted", *(values[name] for name in said))
    if kind is EventKind.BROKEN:
        assert long_form
        sides = ("session", "user_ref", "taker_session", "taker_user_ref", "instrument", "reason")
        return ("broken", *(values[name] for name in sides), values["reference"])
    if kind in (EventKind.MASS_CANCELLED, EventKind.DISABLED, EventKind.ENABLED):
        assert long_form
        asked = (values["session"], values["user_ref_index"], values["user_ref"])
        firm = client[:4].decode()
        name = kind.name.lower().replace("_", " ")
        if kind is not EventKind.MASS_CANCELLED:
            return (name, *asked, firm)
        of_orders = (values["instrument"], chr(values["side"]), firm, values["group_id"])
        return (name, *asked, *of_orders)
    if kind is EventKind.SYSTEM:
        return ("system", chr(values["reason"]))
    if kind is EventKind.ROLLED:
        return ("rolled",)
    assert kind is EventKind.INSTRUMENT_STATE, kind
    return ("state", values["instrument"], values["reason"])


def market_like(exchange: Exchange) -> Market:
    """An empty market with the instruments of a naive exchange."""
    rows = np.zeros(len(exchange.instruments), INSTRUMENT.dtype)
    for row, instrument in zip(rows, exchange.instruments, strict=True):
        row["price_min"] = instrument.price_min
        row["price_max"] = instrument.price_max
        row["quantity_max"] = instrument.quantity_max
        row["state"] = ord(instrument.state)
    market = create_market(
        rows, SESSIONS, gateway_count=SOURCE_COUNT, slots_per_gateway=SLOTS, page_limit=1 << 12
    )
    for row, session in zip(market.sessions, exchange.sessions, strict=True):
        row["cancel_on_disconnect"] = session.cancel_on_disconnect
        row["firm"] = int.from_bytes(session.firm.encode(), "little")
        row["self_trade"] = ord(session.guard.mode or "\0")
        row["self_trade_scope"] = ord(session.guard.scope[0].upper())
        row["self_trade_group"] = session.guard.group
    return market


class Bench:
    """The matcher, with the same face as the naive exchange. ring_records: a small ring makes
    large commands commit in parts."""

    def __init__(
        self, exchange: Exchange, ring_records: int = 1 << 12, commands_max: int = COMMANDS_MAX
    ) -> None:
        self.market = market_like(exchange)
        exchange.room = ring_records // 4 - SWEEP_ROOM  # of a part, as `play` cuts it
        self.events = np.zeros(0, EVENT_DTYPE)  # everything since the beginning
        self._references: list[int] = []
        self._plain = 0
        self._commands = np.zeros(commands_max, COMMAND_DTYPE)
        self._next = 0
        self._now = NOW_FIRST
        self._ring = Broadcast(np.zeros(32, np.int64), np.zeros(ring_records, EVENT_DTYPE))

    def execute(self, request: Request) -> list[tuple[Any, ...]]:
        """Match one request; return its events as the naive exchange would say them."""
        number = self._next
        self._now += 1 + request.wait
        fill_command(self._commands[number], request, self._now)
        self._next += 1
        if request.tags or request.tif == "6":
            self._commands[number]["continuations"] = 1
            self._commands[number]["flags"] |= CommandFlag.TAGS
            fill_tags(self._commands[self._next : self._next + 1], request)
            self._next += 1
        if request.kind == "mass quote":
            self._fill_quotes(number, request)
        due = self._end_what_is_due()
        events = self._play(number, request.source)
        assert len(events) > 0, "every command yields at least one event"
        source_next = request.source << COMMAND_NEXT_BITS | self._next
        heads = events["kind"] != EventKind.CONTINUATION
        assert (events["source_next"][heads] == source_next).all()
        assert (events["time_ns"][heads] == self._now).all()
        events = joined(due, events)
        self.events = joined(self.events, events)
        # These are no events of the market: the oracle's numbers do not count them.
        plain = (events["kind"] != UNCOUNTED[0]) & (events["kind"] != UNCOUNTED[1])
        for each in plain:
            self._references.append(self._plain)
            self._plain += int(each)
        wanted = np.flatnonzero(plain).tolist()
        return [meaning(events, index, self._references) for index in wanted]

    def _fill_quotes(self, number: int, request: Request) -> None:
        """The continuations of a mass quote."""
        head = self._commands[number]
        head["continuations"] = len(request.quotes)
        head["group_id"] = request.group
        for quote in request.quotes:
            row = self._commands[self._next]
            row["kind"] = CommandKind.CONTINUATION
            row["reason"], row["instrument"] = quote.number, quote.instrument
            row["slot"], row["price"], row["quantity"] = quote.bid
            row["ask_slot"], row["ask_price"], row["ask_quantity"] = quote.ask
            self._next += 1

    def _end_what_is_due(self) -> np.ndarray:
        """What the matcher does before the command whose stamp passes it."""
        market, records = self.market, self._ring.records
        parts = np.zeros(0, EVENT_DTYPE)
        while expiry_is_due(market, self._now):
            position = int(market.scalars[0]["position"])
            expire_next(market, self._now, self._ring, position)
            place = position & (len(records) - 1)
            parts = joined(parts, records[place : place + 1])
        assert (parts["time_ns"] == self._now).all()
        return parts

    def _play(self, number: int, source: int) -> np.ndarray:
        scalars = self.market.scalars
        capacity = len(self._ring.records)
        parts = []
        done = number
        while done == number or int(scalars[0]["continuing_kind"]):
            position = int(scalars[0]["position"])
            self._ring.cursors[RECORDED] = position
            done = play(
                self.market, self._commands, done, self._next, source, self._ring, position, 1
            )
            places = np.arange(position, int(scalars[0]["position"])) & (capacity - 1)
            parts.append(self._ring.records[places])
        return reduce(joined, parts)
