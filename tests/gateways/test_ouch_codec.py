"""Goal: every inbound OUCH message is read as the specification says, and nothing else is.

Method: one table of messages written with `struct` (ouch_cases), read whole, behind other bytes,
with other bytes after it, cut at every length, and packet by packet from a stream that arrives one
byte at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.ouch.codec import BAD_APPENDAGE, OK, UNKNOWN_TYPE, WRONG_LENGTH, decode
from gateways.ouch.messages import INBOUND, INBOUND_SHORT
from gateways.ouch.tag_values import store_tag
from gateways.ouch.tags import (
    ENTER_TAGS,
    MASS_CANCEL_TAGS,
    ORDER_PRIVATE_TAGS,
    OUCH_REQUEST_DTYPE,
    REPLACE_TAGS,
    TAG_FORMATS,
)
from gateways.soupbintcp import NEEDS_MORE, next_packet
from tests.gateways.ouch_cases import (
    BAD_APPENDAGES,
    FAULTS_BEFORE_CHANNEL,
    GOOD,
    WRONG_LENGTHS,
    enter,
    replace,
    value,
)

OURS = "aolpq"  # our own letters


def _decode(message: bytes, before: bytes = b"", after: bytes = b"") -> tuple[int, np.ndarray]:
    data = np.frombuffer(bytearray(before + message + after + b"\xff"), np.uint8)
    request = (
        np.full(1, 0x55, np.uint8).repeat(OUCH_REQUEST_DTYPE.itemsize).view(OUCH_REQUEST_DTYPE)
    )
    return decode(data, len(before), len(message), request[0]), request


@pytest.mark.parametrize(("name", "message", "expected"), GOOD, ids=[case[0] for case in GOOD])
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b"abc", b""), (b"", b"O" * 60)])
def test_good(name: str, message: bytes, expected: dict, before: bytes, after: bytes) -> None:
    code, request = _decode(message, before, after)
    assert code == OK
    assert {key: int(request[0][key]) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "message", "tag"), BAD_APPENDAGES, ids=[case[0] for case in BAD_APPENDAGES]
)
def test_bad_appendage(name: str, message: bytes, tag: int) -> None:
    code, request = _decode(message, b"", b"\x05\x03\x00\x00\x00\x01")
    assert code == BAD_APPENDAGE
    assert request[0]["bad_tag"] == tag
    assert request[0]["user_ref"] == 1


@pytest.mark.parametrize("fault", FAULTS_BEFORE_CHANNEL)
def test_the_channel_behind_a_bad_tag(fault: bytes) -> None:
    """A replace of another channel's order would be a cancel of one in channel 0."""
    code, request = _decode(replace(fault + value(28, b"\x05")))
    assert code == BAD_APPENDAGE and request[0]["user_ref_index"] == 5


@pytest.mark.parametrize(
    ("name", "message"), WRONG_LENGTHS, ids=[case[0] for case in WRONG_LENGTHS]
)
def test_wrong_length(name: str, message: bytes) -> None:
    assert _decode(message, b"", b"\x00" * 60)[0] == WRONG_LENGTH


def test_every_letter() -> None:
    for letter in range(256):
        code, request = _decode(bytes([letter]) + bytes(63))
        assert (code == UNKNOWN_TYPE) == (chr(letter) not in OURS + "".join(INBOUND))
        assert request[0]["type"] == letter


def test_every_cut_is_a_wrong_length() -> None:
    for _, message, _ in GOOD:
        letter = chr(message[0])
        fixed = INBOUND[letter].size
        for length in range(len(message)):
            code, _ = _decode(message[:length])
            allowed = letter in INBOUND_SHORT and length == fixed
            assert (code == OK) == allowed, (letter, length)


def test_a_stream_byte_by_byte() -> None:
    """The same messages as packets; the buffer grows by one byte at a time."""
    messages = [message for _, message, _ in GOOD]
    stream = b"".join(
        (len(message) + 1).to_bytes(2, "big") + b"U" + message for message in messages
    )
    data = np.frombuffer(bytearray(stream), np.uint8)
    request = np.zeros(1, OUCH_REQUEST_DTYPE)
    offset, found = 0, []
    for end in range(len(stream) + 1):
        kind, start, length, after = next_packet(data, offset, end, 1000)
        if kind == NEEDS_MORE:
            assert after == offset
            continue
        assert kind == ord("U")
        assert decode(data, start, length, request[0]) == OK
        found.append(bytes(data[start : start + length]))
        offset = after
    assert found == messages


def test_tag_sizes_are_the_declared_ones() -> None:
    """`store_tag` knows exactly the tags of requests, each with the size of TAG_FORMATS."""
    inbound = {
        tag for tag in range(64) if (ENTER_TAGS | REPLACE_TAGS | MASS_CANCEL_TAGS) >> tag & 1
    }
    inbound |= {128 + bit for bit in range(64) if ORDER_PRIVATE_TAGS >> bit & 1}
    sizes = {int(each.tag): each.size for each in TAG_FORMATS}
    data = np.zeros(16, np.uint8)
    request = np.zeros(1, OUCH_REQUEST_DTYPE)
    for tag in range(256):
        for size in range(10):
            stored = store_tag(data, 0, tag, size, request[0])
            assert stored == int(tag in inbound and sizes[tag] == size), (tag, size)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_hostile_appendages(appendage: bytes, announce: bool) -> None:
    """Any bytes as appendage: a code, and nothing read behind the message."""
    message = enter(appendage) if announce else enter(appendage, appendage_length=0)
    results = {_decode(message, b"", after)[0] for after in (b"", b"\x00" * 9, b"\x02\x0cP" * 3)}
    assert len(results) == 1
    code = results.pop()
    if announce or not appendage:
        assert code in (OK, BAD_APPENDAGE, WRONG_LENGTH)
    else:
        assert code == WRONG_LENGTH


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_hostile_messages(message: bytes) -> None:
    """Any bytes as a message: one of the codes, and never a crash."""
    assert _decode(message)[0] in (OK, WRONG_LENGTH, UNKNOWN_TYPE, BAD_APPENDAGE)
