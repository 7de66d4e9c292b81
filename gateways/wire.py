"""Kernel: what protocols put on a wire, as loads and stores on a uint8 array.

Integers of 2, 4 and 8 bytes are `ringbuf.bits.load_big_*`; text of fixed width is compared and
copied as a raw word (`load_raw_*`), never byte by byte. Here is what is built from these: 48-bit
timestamps, padded text and ASCII numbers. Offsets are not checked.
"""

from __future__ import annotations

from ringbuf.bits import (
    at,
    load_big_2,
    load_big_4,
    load_raw_2,
    load_raw_4,
    load_raw_8,
    shift_right,
    store_big_2,
    store_big_4,
    store_raw_2,
    store_raw_4,
    store_raw_8,
)
from ringbuf.jit import kernel

SPACE = 0x20
ZERO = 0x30
SPACES_2 = 0x2020
SPACES_4 = 0x2020_2020
SPACES_8 = 0x2020_2020_2020_2020
NANOSECONDS_PER_DAY = 86_400_000_000_000
MALFORMED = -1
NUMBER_MAX = 1 << 60  # numbers in ASCII above it are refused: they could not be multiplied by ten


@kernel
def load_big_6(data, offset):
    """The unsigned 48-bit integer at `offset`."""
    return (load_big_2(data, offset) << 32) | load_big_4(data, offset + 2)


@kernel
def store_big_6(data, offset, value):
    """Store the low 48 bits of `value`."""
    store_big_2(data, offset, shift_right(value, 32))
    store_big_4(data, offset + 2, value)


@kernel
def time_of_day(time_ns):
    """ns since midnight UTC of a time in ns since the epoch."""
    return time_ns % NANOSECONDS_PER_DAY


@kernel
def fill_spaces(data, offset, count):
    """Store `count` spaces."""
    for place in range(count):
        data[at(offset + place)] = SPACE


@kernel
def copy_client_order_id(data, offset, record):
    """Store the 14 bytes that `record` keeps as three words."""
    store_raw_8(data, offset, record["client_order_id_0"])
    store_raw_4(data, offset + 8, record["client_order_id_1"])
    store_raw_2(data, offset + 12, record["client_order_id_2"])


@kernel
def keep_client_order_id(record, data, offset):
    """Keep 14 bytes in `record` as three words."""
    record["client_order_id_0"] = load_raw_8(data, offset)
    record["client_order_id_1"] = signed_4(load_raw_4(data, offset + 8))
    record["client_order_id_2"] = signed_2(load_raw_2(data, offset + 12))


@kernel
def signed_4(word):
    """The low 32 bits of `word` as a signed integer."""
    return ((word & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000


@kernel
def signed_2(word):
    """The low 16 bits of `word` as a signed integer."""
    return ((word & 0xFFFF) ^ 0x8000) - 0x8000


@kernel
def store_number(data, offset, width, value):
    """Store a number that is not negative as `width` ASCII characters, padded left with spaces."""
    place = offset + width - 1
    data[at(place)] = ZERO + value % 10
    value //= 10
    while value > 0 and place > offset:
        place -= 1
        data[at(place)] = ZERO + value % 10
        value //= 10
    fill_spaces(data, offset, place - offset)


@kernel
def load_number(data, offset, width):
    """Return the ASCII number in `width` characters, padded on either side with spaces.

    All blank is 0. Anything else is MALFORMED.
    """
    value = 0
    first, last = offset, offset + width
    while first < last and data[at(first)] == SPACE:
        first += 1
    while last > first and data[at(last - 1)] == SPACE:
        last -= 1
    for place in range(first, last):
        digit = int(data[at(place)]) - ZERO
        if digit < 0 or digit > 9 or value > NUMBER_MAX:
            return MALFORMED
        value = value * 10 + digit
    return value
