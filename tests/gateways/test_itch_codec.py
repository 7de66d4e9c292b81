"""Goal: what the encoders write is what the specification, `itchfeed` and our decoder read.

Method: one table of calls; bytes written with `struct`, decoded by both decoders.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from itch.parser import MessageParser

from gateways.itch.codec import (
    OK,
    UNKNOWN_TYPE,
    WRONG_LENGTH,
    decode,
    encode_action,
    encode_add,
    encode_add_attributed,
    encode_broken,
    encode_cancel,
    encode_delete,
    encode_directory,
    encode_executed,
    encode_executed_with_price,
    encode_replace,
    encode_system,
    encode_trade,
    message_size,
)
from gateways.itch.messages import ITCH_MESSAGE_DTYPE, MESSAGE_SIZE_MAX, MESSAGES
from gateways.itch.participant import encode_participant

DAY_NS = 86_400 * 10**9
MIDNIGHT_NS = DAY_NS - 1
TIME_NS = 19_999 * DAY_NS + MIDNIGHT_NS
SYMBOL = b"BTC-PERP"
RAW_SYMBOL = int.from_bytes(SYMBOL, "little", signed=True)
FIRM = b"MPID"
RAW_FIRM = int.from_bytes(FIRM, "little", signed=True)
REFERENCE, ORIGINAL, MATCH = (1 << 63) - 2, 3 << 48 | 9, 5 << 48 | 0xFFFF_FFFF_FFFF
PRICE, SHARES = 1_999_999_900, 0xFFFF_FFFF

# letter, encoder, its arguments, layout behind the common bytes, fields, decoded fields
CASES: list[tuple[str, Callable[..., int], tuple, str, tuple, dict[str, int]]] = [
    ("S", encode_system, (ord("Q"),), "c", (b"Q",), {"code": ord("Q")}),
    (
        "R",
        encode_directory,
        (65_535, RAW_SYMBOL, 100),
        "8sccIcc2scccccIc",
        (SYMBOL, b"Q", b"N", 100, b"N", b"C", b"Z ", b"P", b"N", b" ", b" ", b"N", 0, b"N"),
        {"symbol": RAW_SYMBOL, "shares": 100},
    ),
    (
        "H",
        encode_action,
        (65_535, RAW_SYMBOL, ord("T"), int.from_bytes(b"CLSD", "little")),
        "8scc4s",
        (SYMBOL, b"T", b" ", b"CLSD"),
        {"symbol": RAW_SYMBOL, "code": ord("T")},
    ),
    (
        "L",
        encode_participant,
        (65_535, int.from_bytes(b"ACME", "little"), RAW_SYMBOL),
        "4s8sccc",
        (b"ACME", SYMBOL, b"N", b"N", b"A"),
        {"symbol": RAW_SYMBOL},
    ),
    (
        "A",
        encode_add,
        (65_535, REFERENCE, ord("S"), SHARES, RAW_SYMBOL, PRICE),
        "QcI8sI",
        (REFERENCE, b"S", SHARES, SYMBOL, PRICE),
        {
            "reference": REFERENCE,
            "side": ord("S"),
            "shares": SHARES,
            "symbol": RAW_SYMBOL,
            "price": PRICE,
        },
    ),
    (
        "F",
        encode_add_attributed,
        (65_535, REFERENCE, ord("B"), 1, RAW_SYMBOL, 1, RAW_FIRM),
        "QcI8sI4s",
        (REFERENCE, b"B", 1, SYMBOL, 1, FIRM),
        {"reference": REFERENCE, "side": ord("B"), "shares": 1, "price": 1},
    ),
    (
        "E",
        encode_executed,
        (65_535, REFERENCE, 7, MATCH),
        "QIQ",
        (REFERENCE, 7, MATCH),
        {"reference": REFERENCE, "shares": 7, "match_number": MATCH},
    ),
    (
        "C",
        encode_executed_with_price,
        (65_535, REFERENCE, 7, MATCH, ord("N"), PRICE),
        "QIQcI",
        (REFERENCE, 7, MATCH, b"N", PRICE),
        {"reference": REFERENCE, "shares": 7, "match_number": MATCH, "code": ord("N")},
    ),
    (
        "X",
        encode_cancel,
        (65_535, REFERENCE, 8),
        "QI",
        (REFERENCE, 8),
        {"reference": REFERENCE, "shares": 8},
    ),
    ("D", encode_delete, (65_535, REFERENCE), "Q", (REFERENCE,), {"reference": REFERENCE}),
    (
        "U",
        encode_replace,
        (65_535, ORIGINAL, REFERENCE, 9, PRICE),
        "QQII",
        (ORIGINAL, REFERENCE, 9, PRICE),
        {"original_reference": ORIGINAL, "reference": REFERENCE, "shares": 9, "price": PRICE},
    ),
    (
        "P",
        encode_trade,
        (65_535, 10, RAW_SYMBOL, PRICE, MATCH),
        "QcI8sIQ",
        (0, b"B", 10, SYMBOL, PRICE, MATCH),
        {"reference": 0, "side": ord("B"), "shares": 10, "price": PRICE, "match_number": MATCH},
    ),
    ("B", encode_broken, (65_535, MATCH), "Q", (MATCH,), {"match_number": MATCH}),
]
_IDS = [case[0] for case in CASES]
_OWN_FIELDS = (
    "side code reference original_reference match_number symbol shares price".split()
)  # those that are 0 unless the kind has them


def _encoded(encoder: Callable[..., int], arguments: tuple, offset: int = 0) -> bytes:
    buffer = np.full(offset + 3 + MESSAGE_SIZE_MAX + 2, 0x2A, np.uint8)
    size = encoder(buffer, offset, TIME_NS, *arguments)
    assert bytes(buffer[:offset]) == b"*" * offset
    assert set(bytes(buffer[offset + size :])) == {0x2A}
    return bytes(buffer[offset : offset + size])


def _expected(letter: str, layout: str, fields: tuple) -> bytes:
    locate = 0 if letter == "S" else 65_535
    head = struct.pack(">cHH", letter.encode(), locate, 0) + MIDNIGHT_NS.to_bytes(6, "big")
    return head + struct.pack(">" + layout, *fields)


def _decode(message: bytes, before: bytes = b"", after: bytes = b"") -> tuple[int, np.ndarray]:
    data = np.frombuffer(bytearray(before + message + after + b"\xff"), np.uint8)
    row = np.full(ITCH_MESSAGE_DTYPE.itemsize, 0x55, np.uint8).view(ITCH_MESSAGE_DTYPE)
    return decode(data, len(before), len(message), row[0]), row


@pytest.mark.parametrize("case", CASES, ids=_IDS)
@pytest.mark.parametrize("offset", [0, 5])
def test_encoders(case: tuple, offset: int) -> None:
    letter, encoder, arguments, layout, fields, _ = case
    message = _expected(letter, layout, fields)
    packet = struct.pack(">Hc", len(message) + 1, b"S") + message
    assert _encoded(encoder, arguments, offset) == packet
    assert len(message) == MESSAGES[letter].size == message_size(ord(letter))


@pytest.mark.parametrize("case", CASES, ids=_IDS)
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b"xyz", b""), (b"", b"A" * 60)])
def test_decoder(case: tuple, before: bytes, after: bytes) -> None:
    letter, _, _, layout, fields, decoded = case
    code, row = _decode(_expected(letter, layout, fields), before, after)
    assert code == OK
    assert row[0]["timestamp"] == MIDNIGHT_NS
    assert row[0]["stock_locate"] == (0 if letter == "S" else 65_535)
    assert {key: int(row[0][key]) for key in decoded} == decoded
    absent = set(_OWN_FIELDS) - set(decoded) - {"symbol", "price"}
    assert {key: int(row[0][key]) for key in absent} == dict.fromkeys(absent, 0)


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_every_cut_and_every_addition_is_a_wrong_length(case: tuple) -> None:
    letter, _, _, layout, fields, _ = case
    message = _expected(letter, layout, fields)
    for length in range(len(message)):
        assert _decode(message[:length], b"", message[length:])[0] == WRONG_LENGTH
    assert _decode(message + b"\x00")[0] == WRONG_LENGTH


def test_other_letters_are_unknown() -> None:
    known = {case[0] for case in CASES}
    for letter in range(256):
        if chr(letter) not in known:
            assert _decode(bytes([letter]) + bytes(40))[0] == UNKNOWN_TYPE
            assert message_size(letter) == 0


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_itchfeed_reads_the_same_bytes(case: tuple) -> None:
    """An independent decoder; what it reads it also writes back unchanged."""
    letter, encoder, arguments, _, _, decoded = case
    body = _encoded(encoder, arguments)[3:]
    message = MessageParser().get_message_type(body)
    assert message.message_type == letter.encode()
    assert message.timestamp == MIDNIGHT_NS
    assert message.to_bytes() == body
    assert message.stock_locate == (0 if letter == "S" else 65_535)
    values: dict[str, Any] = vars(message)
    if "stock" in values:
        assert values["stock"] == SYMBOL
    replaces = letter == "U"
    for ours, theirs in (
        ("original_reference", "order_reference_number"),
        ("reference", "new_order_reference_number" if replaces else "order_reference_number"),
        ("match_number", "match_number"),
        ("price", "price"),
    ):
        if ours in decoded and theirs in values:
            assert values[theirs] == decoded[ours]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_hostile_messages(message: bytes) -> None:
    """Any bytes as a message: one of the codes, and never a crash."""
    assert _decode(message)[0] in (OK, WRONG_LENGTH, UNKNOWN_TYPE)
