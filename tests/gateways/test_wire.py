"""Goal: bytes on the wire are what Python's own int.to_bytes, struct and formatting give."""

from __future__ import annotations

import numpy as np
import pytest

from gateways.wire import (
    MALFORMED,
    copy_client_order_id,
    fill_spaces,
    keep_client_order_id,
    load_big_6,
    load_number,
    signed_2,
    signed_4,
    store_big_6,
    store_number,
    time_of_day,
)
from ringbuf.jit import kernel
from shm_exchange.messages import COMMAND_DTYPE


@kernel
def _through_record(records, data, source, target):
    keep_client_order_id(records[0], data, source)
    copy_client_order_id(data, target, records[0])


def test_48_bit_integers() -> None:
    data = np.zeros(16, np.uint8)
    for value in (0, 1, 0xFFFF_FFFF, 1 << 32, 86_399_999_999_999, (1 << 48) - 1):
        store_big_6(data, 3, value)
        assert bytes(data[3:9]) == value.to_bytes(6, "big")
        assert load_big_6(data, 3) == value
    assert data[2] == 0
    assert data[9] == 0


def test_time_of_day() -> None:
    day = 86_400 * 10**9
    assert time_of_day(20_000 * day) == 0
    assert time_of_day(20_000 * day + 123) == 123
    assert time_of_day(20_001 * day - 1) == day - 1


@pytest.mark.parametrize("value", [0, 1, 9, 10, 1234567890, 10**18])
@pytest.mark.parametrize("width", [20])
def test_numbers_are_padded_left(value: int, width: int) -> None:
    data = np.full(24, 0x58, np.uint8)
    store_number(data, 2, width, value)
    assert bytes(data) == b"XX" + str(value).rjust(width).encode() + b"XX"
    assert load_number(data, 2, width) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"     ", 0),
        (b"    7", 7),
        (b"7    ", 7),
        (b" 70  ", 70),
        (b"00070", 70),
        (b"99999", 99999),
        (b"7 7  ", MALFORMED),
        (b"   -1", MALFORMED),
        (b"0x10 ", MALFORMED),
        (b"\x00\x00\x00\x007", MALFORMED),
        (b"12345678901234567890", MALFORMED),
    ],
)
def test_numbers_read(text: bytes, value: int) -> None:
    data = np.frombuffer(bytearray(text), np.uint8)
    assert load_number(data, 0, len(text)) == value


def test_a_number_as_wide_as_its_field() -> None:
    data = np.zeros(3, np.uint8)
    store_number(data, 0, 3, 999)
    assert bytes(data) == b"999"


def test_spaces() -> None:
    data = np.zeros(6, np.uint8)
    fill_spaces(data, 1, 4)
    assert bytes(data) == b"\x00    \x00"


def test_sign() -> None:
    assert [signed_4(word) for word in (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)] == [
        0,
        1,
        2**31 - 1,
        -(2**31),
        -1,
    ]
    assert [signed_2(word) for word in (0, 0x7FFF, 0x8000, 0xFFFF)] == [0, 32767, -32768, -1]


@pytest.mark.parametrize("text", [b"ABCDEFGHIJKLMN", bytes(range(242, 256)), b" " * 14])
def test_client_order_id_survives_three_words(text: bytes) -> None:
    records = np.zeros(1, COMMAND_DTYPE)
    data = np.zeros(40, np.uint8)
    data[5:19] = np.frombuffer(text, np.uint8)
    _through_record(records, data, 5, 21)
    assert bytes(data[21:35]) == text
    assert data[20] == 0
    assert data[35] == 0
