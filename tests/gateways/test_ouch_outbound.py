"""Goal: every event becomes the OUCH messages of the specification, in the right number.

Method: the table of event_cases, whose bytes are written with `struct`; each at several offsets of
a buffer whose other bytes must stay as they are.
"""

from __future__ import annotations

import numpy as np
import pytest

from gateways.ouch.messages import OUTBOUND, OUTBOUND_SHORT, OUTBOUND_SIZE_MAX
from gateways.ouch.outbound import encode, message_count, message_which, public_number
from gateways.ouch.tag_text import unpack_tags
from gateways.ouch.tags import Tag
from gateways.packets import HEADER_SIZE
from ringbuf.jit import kernel
from shm_exchange.messages import ORDER_TAGS, EventFlag, EventKind
from tests.gateways.event_cases import CASES, ENGINE, POSITION, Case, event, instruments, order

NO_TAGS = np.zeros(1, ORDER_TAGS.dtype)
_IDS = [case.name for case in CASES]


# Rows of EVENT overlap and cannot be handed over from Python: these take the array.
@kernel
def _count(events, session):
    return message_count(events[0], session)


@kernel
def _which(events, session, number):
    return message_which(events[0], session, number)


@kernel
def _encode(events, tags, position, which, rows, engine, buffer, offset):
    return encode(events[0], tags, position, which, rows, engine, buffer, offset)


def _written(case: Case, which: int, offset: int) -> bytes:
    buffer = np.full(offset + HEADER_SIZE + OUTBOUND_SIZE_MAX + 3, 0x2A, np.uint8)
    size = _encode(case.event, NO_TAGS, POSITION, which, instruments(), ENGINE, buffer, offset)
    assert bytes(buffer[:offset]) == b"*" * offset
    assert set(bytes(buffer[offset + size :])) == {0x2A}
    return bytes(buffer[offset : offset + size])


@pytest.mark.parametrize("case", CASES, ids=_IDS)
@pytest.mark.parametrize("offset", [0, 1, 17])
def test_bytes(case: Case, offset: int) -> None:
    for session, packets in case.ouch.items():
        assert _count(case.event, session) == len(packets)
        for number, packet in enumerate(packets):
            which = _which(case.event, session, number)
            assert _written(case, which, offset) == packet


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_other_sessions_get_nothing(case: Case) -> None:
    named = set(case.ouch)
    everybody = case.name == "the day ends"
    for session in (0, 2, 3, 4, 5, 6, 7, 65_534):
        if session not in named:
            assert _count(case.event, session) == int(everybody)


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_events_without_a_message_write_nothing(case: Case) -> None:
    if not any(case.ouch.values()):
        assert _written(case, 0, 2) == b""


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_sizes_are_the_declared_ones(case: Case) -> None:
    for packets in case.ouch.values():
        for packet in packets:
            letter = chr(packet[3])
            size = OUTBOUND[letter].size
            sizes = {size}
            if letter in OUTBOUND_SHORT and len(packet) > HEADER_SIZE + size:
                announced = packet[HEADER_SIZE + size : HEADER_SIZE + size + 2]
                sizes = {size + 2 + int.from_bytes(announced, "big")}
            assert len(packet) - HEADER_SIZE in sizes


def test_a_trade_with_itself_is_two_messages_maker_first() -> None:
    case = next(case for case in CASES if case.name == "executed within one session")
    assert [_which(case.event, 4, number) for number in (0, 1)] == [0, 1]
    between = next(case for case in CASES if case.name == "executed between two sessions")
    assert _which(between.event, 4, 0) == 0
    assert _which(between.event, 6, 0) == 1


def test_public_numbers_keep_an_engine_that_is_there() -> None:
    assert public_number(2, 5) == 2 << 48 | 5
    assert public_number(2, public_number(2, 5)) == 2 << 48 | 5


def test_answers_about_many_orders_repeat_their_tags() -> None:
    """Channel and side of a mass cancel; the channel of the switch."""
    tags = {"user_ref_index": 3, "side": "B", "group_id": 258, "firm_name": 0x20202020}
    for kind, letter, size, expected in (
        (EventKind.MASS_CANCELLED, b"X", 27, b"\0\x0a\2\x1c\3\2\x1bB\3\x18\1\2"),
        (EventKind.DISABLED, b"G", 19, b"\0\3\2\x1c\3"),
        (EventKind.ENABLED, b"K", 19, b"\0\3\2\x1c\3"),
    ):
        buffer = np.zeros(80, np.uint8)
        written = _encode(event(kind, 64, **tags), NO_TAGS, 1, 0, instruments(), 1, buffer, 0)
        assert bytes(buffer[3:4]) == letter
        assert bytes(buffer[HEADER_SIZE + size - 2 : written]) == expected


def test_the_largest_price() -> None:
    """A price of 199,999.99 in ticks of 0.0001 needs more than 31 bits on the wire."""
    rows = instruments()
    rows["tick"] = 10_000
    row = event(EventKind.EXECUTED, 0, price=199_999, quantity=1, session=1, taker_session=2)
    buffer = np.zeros(80, np.uint8)
    _encode(row, NO_TAGS, 1, 0, rows, 1, buffer, 0)
    assert int.from_bytes(bytes(buffer[20:28]), "big") == 1_999_990_000


@pytest.mark.parametrize("kind", [EventKind.ACCEPTED, EventKind.REPLACED])
@pytest.mark.parametrize("channel", [0, 3])
def test_an_order_that_stays_says_so(kind: EventKind, channel: int) -> None:
    """Tag 130 in the appendage of `A` and `U`, alone or behind the channel; the rest is equal."""
    plain = order(kind, 0, user_ref_index=channel)
    stays = order(kind, EventFlag.STAYS, user_ref_index=channel)
    size = OUTBOUND["A" if kind == EventKind.ACCEPTED else "U"].size
    messages = []
    for row in (plain, stays):
        buffer = np.zeros(HEADER_SIZE + OUTBOUND_SIZE_MAX, np.uint8)
        written = _encode(row, NO_TAGS, POSITION, 0, instruments(), ENGINE, buffer, 0)
        assert int.from_bytes(bytes(buffer[:2]), "big") == written - 2
        messages.append(bytes(buffer[HEADER_SIZE:written]))
    assert messages[0][: size - 2] == messages[1][: size - 2]
    tags = {Tag.USER_REF_INDEX: channel} if channel else {}
    for message, expected in zip(messages, (tags, tags | {130: "Y"}), strict=True):
        assert int.from_bytes(message[size - 2 : size], "big") == len(message) - size
        assert unpack_tags(message[size:]) == expected
