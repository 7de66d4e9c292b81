"""Goal: every event becomes the ITCH message of the specification, or none.

Method: the table of event_cases, whose bytes are written with `struct`; and each message through
the independent decoder of `itchfeed`.
"""

from __future__ import annotations

import numpy as np
import pytest
from itch.parser import MessageParser

from gateways.itch.messages import MESSAGE_SIZE_MAX, MESSAGES
from gateways.itch.outbound import encode_feed, feed_count
from gateways.packets import HEADER_SIZE
from ringbuf.jit import kernel
from shm_exchange.messages import EventFlag, EventKind
from tests.gateways.event_cases import (
    CASES,
    ENGINE,
    MIDNIGHT_NS,
    NUMBER,
    POSITION,
    PRICE,
    SYMBOL,
    Case,
    instruments,
    itch,
    order,
)

_IDS = [case.name for case in CASES]


# Rows of EVENT overlap and cannot be handed over from Python: these take the array.
@kernel
def _count(events):
    return feed_count(events[0])


@kernel
def _encode(events, position, rows, engine, original, was_resting, buffer, offset):
    return encode_feed(events[0], position, rows, engine, original, was_resting, buffer, offset)


def _written(row: np.ndarray, original: int, was_resting: int, offset: int) -> bytes:
    buffer = np.full(offset + HEADER_SIZE + MESSAGE_SIZE_MAX + 3, 0x2A, np.uint8)
    size = _encode(row, POSITION, instruments(), ENGINE, original, was_resting, buffer, offset)
    assert bytes(buffer[:offset]) == b"*" * offset
    assert set(bytes(buffer[offset + size :])) == {0x2A}
    return bytes(buffer[offset : offset + size])


@pytest.mark.parametrize("case", CASES, ids=_IDS)
@pytest.mark.parametrize("offset", [0, 1, 17])
def test_bytes(case: Case, offset: int) -> None:
    assert _count(case.event) == int(bool(case.feed))
    assert _written(case.event, case.original_reference, 1, offset) == case.feed


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_sizes_are_the_declared_ones(case: Case) -> None:
    if case.feed:
        assert len(case.feed) - HEADER_SIZE == MESSAGES[chr(case.feed[3])].size


def test_a_replace_of_an_order_that_the_feed_does_not_know_is_an_add() -> None:
    row = order(EventKind.REPLACED, int(EventFlag.RESTS), original_user_ref=10)
    expected = itch(b"A", "QcI8sI", NUMBER, b"S", 999_999, SYMBOL, PRICE)
    assert _written(row, 77, 0, 0) == expected


@pytest.mark.parametrize("case", [case for case in CASES if case.feed], ids=lambda case: case.name)
def test_itchfeed_reads_the_same(case: Case) -> None:
    """An independent decoder finds the same symbols, quantities, prices and numbers."""
    packet = _written(case.event, case.original_reference, 1, 0)
    message = MessageParser().get_message_type(packet[HEADER_SIZE:])
    assert message.message_type == packet[3:4]
    assert message.timestamp == MIDNIGHT_NS
    row = case.event[0]
    expected = {
        "order_reference_number": int.from_bytes(packet[14:22], "big"),
        "match_number": NUMBER,
        "stock": SYMBOL,
        "price": 0 if message.message_type == b"D" else PRICE,
        "event_code": bytes([int(row["reason"]) & 0xFF]),
        "trading_state": b"H",
    }
    for name, value in expected.items():
        if name in vars(message):
            assert getattr(message, name) == value, name
    for name in ("shares", "executed_shares", "cancelled_shares", "new_shares"):
        if name in vars(message):
            leaves = case.name == "rested"
            assert getattr(message, name) == int(row["leaves" if leaves else "quantity"]), name
