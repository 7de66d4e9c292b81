"""Goal: every event becomes the ITCH message of the specification, or none.

Method: the table of event_cases, whose bytes are written with `struct`; and each message through
the independent decoder of `itchfeed`.
"""

from __future__ import annotations

import numpy as np
import pytest
from itch.parser import MessageParser

from gateways.itch.messages import MESSAGE_SIZE_MAX, MESSAGES
from gateways.itch.outbound import KNOWN_COUNT, KNOWN_WORDS, encode_feed, note
from gateways.packets import HEADER_SIZE
from ringbuf.jit import kernel
from shm_exchange.market import RESTING, Market, create_market
from shm_exchange.messages import EventKind
from tests.gateways.event_cases import (
    CASES,
    ENGINE,
    MAKER_REFERENCE,
    MIDNIGHT_NS,
    NUMBER,
    POSITION,
    PRICE,
    SYMBOL,
    Case,
    event,
    instruments,
    itch,
    order,
)

_IDS = [case.name for case in CASES]


# Rows of EVENT overlap and cannot be handed over from Python: these take the array.
@kernel
def _note(market, events, known):
    note(market, events[0], known)


@kernel
def _encode(events, position, market, known, part, buffer, offset):
    return encode_feed(events[0], position, market, known, part, buffer, offset)


def _order_before(market: Market, case: Case) -> None:
    """The order that the event is about: rests and is displayed, if nothing else is said."""
    row = case.event[0]
    order = market.orders[int(row["slot"])]
    order["state"], order["reference"], order["display"] = RESTING, MAKER_REFERENCE, ord("Y")
    order["leaves"] = int(row["quantity"]) + 15
    order["displayed"] = order["leaves"]
    for name, content in case.before.items():
        order[name] = ord(content) if isinstance(content, str) else content


def _order_after(market: Market, case: Case) -> None:
    """What the replica does with the fields that the feed's messages need."""
    row = case.event[0]
    order = market.orders[int(row["slot"])]
    for name in ("side", "price", "instrument", "session"):
        order[name] = row[name]
    kind = int(row["kind"])
    if kind in (EventKind.ACCEPTED, EventKind.REPLACED):
        order["display"] = row["display"]
    leaves = int(row["leaves" if kind == EventKind.RESTED else "quantity"])
    order["displayed"] = case.displayed or leaves


def _written(case: Case, offset: int) -> bytes:
    """All messages of the event, at an offset of the buffer."""
    market = create_market(instruments(), 10, engine=ENGINE, gateway_count=1, page_limit=4)
    market.sessions["firm"][4] = int.from_bytes(b"ACME", "little")
    known = np.zeros(KNOWN_WORDS, np.int64)
    _order_before(market, case)
    _note(market, case.event, known)
    _order_after(market, case)
    written = b""
    for part in range(known[KNOWN_COUNT]):
        buffer = np.full(offset + HEADER_SIZE + MESSAGE_SIZE_MAX + 3, 0x2A, np.uint8)
        size = _encode(case.event, POSITION, market, known, part, buffer, offset)
        assert bytes(buffer[:offset]) == b"*" * offset
        assert set(bytes(buffer[offset + size :])) == {0x2A}
        written += bytes(buffer[offset : offset + size])
    return written


def _packets(data: bytes) -> list[bytes]:
    """The packets of a feed."""
    found = []
    while data:
        size = 2 + int.from_bytes(data[:2], "big")
        found.append(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("case", CASES, ids=_IDS)
@pytest.mark.parametrize("offset", [0, 1, 17])
def test_bytes(case: Case, offset: int) -> None:
    assert _written(case, offset) == case.feed


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_sizes_are_the_declared_ones(case: Case) -> None:
    for packet in _packets(case.feed):
        assert len(packet) - HEADER_SIZE == MESSAGES[chr(packet[3])].size


def test_a_number_is_not_taken_for_a_display() -> None:
    """The UserRefNum of a replace that failed lies where other events have the display."""
    case = next(case for case in CASES if case.name == "cancelled, long form")
    number = ord("N") << 24 | 5
    row = case.event.copy()
    row["unused_user_ref"] = number
    assert _written(case._replace(event=row), 0) == case.feed


# What was said of a trade that is broken: no order of the feed is touched.
BROKEN = event(EventKind.BROKEN, reason="E", reference=MAKER_REFERENCE)
REFRESHED = order(EventKind.RESTATED)


def test_a_broken_trade_is_named_by_its_match_number() -> None:
    case = Case("broken", BROKEN, {}, b"")
    assert _written(case, 0) == itch(b"B", "Q", ENGINE << 48 | MAKER_REFERENCE)


def test_a_firm_is_told_of_in_every_instrument() -> None:
    row = event(EventKind.PARTICIPANT, 0, quantity=2, firm_name=int.from_bytes(b"ACME", "little"))
    row["instrument"] = 0
    first = itch(b"L", "4s8sccc", b"ACME", b"AAPL    ", b"N", b"N", b"A", locate=1)
    second = itch(b"L", "4s8sccc", b"ACME", SYMBOL, b"N", b"N", b"A")
    assert _written(Case("participant", row, {}, b""), 0) == first + second


@pytest.mark.parametrize("display", ["Y", "A", "N"])
def test_a_refreshed_reserve_is_another_order(display: str) -> None:
    case = Case("restated", REFRESHED, {}, b"", {"display": display}, displayed=100)
    add = (NUMBER, b"S", 100, SYMBOL, PRICE)
    expected = {
        "Y": itch(b"A", "QcI8sI", *add),
        "A": itch(b"F", "QcI8sI4s", *add, b"ACME"),
        "N": b"",
    }
    assert _written(case, 0) == expected[display]


def _shares(packet: bytes) -> bytes:
    """Where a message has its shares."""
    start = HEADER_SIZE + {b"A": 20, b"F": 20, b"P": 20, b"U": 27}.get(packet[3:4], 19)
    return packet[start : start + 4]


@pytest.mark.parametrize("case", [case for case in CASES if case.feed], ids=lambda case: case.name)
def test_itchfeed_reads_the_same(case: Case) -> None:
    """An independent decoder finds the same symbols, quantities, prices and numbers."""
    packet = _packets(_written(case, 0))[-1]
    message = MessageParser().get_message_type(packet[HEADER_SIZE:])
    assert message.message_type == packet[3:4]
    assert message.timestamp == MIDNIGHT_NS
    row = case.event[0]
    expected = {
        "order_reference_number": int.from_bytes(packet[14:22], "big"),
        "match_number": ENGINE << 48 | MAKER_REFERENCE if message.message_type == b"B" else NUMBER,
        "stock": SYMBOL,
        "price": 0 if message.message_type == b"D" else PRICE,
        "event_code": bytes([int(row["reason"]) & 0xFF]),
        "trading_state": b"H",
        "attribution": b"ACME",
    }
    for name, value in expected.items():
        if name in vars(message):
            assert getattr(message, name) == value, name
    for name in ("shares", "executed_shares", "cancelled_shares", "new_shares"):
        if name in vars(message):
            leaves = case.name == "rested"
            lots = int(row["leaves" if leaves else "quantity"])
            assert getattr(message, name) == int.from_bytes(_shares(packet), "big"), name
            assert getattr(message, name) <= lots
