"""Goal: every message of ITCH 5.0 is the same bytes after it was read and written again.

Method: all 23 messages with random contents, by our typed objects and by `itchfeed`; those that the
feed sends also by the compiled encoders, from the fields that the compiled decoder found.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from itch.parser import MessageParser

from gateways.itch import codec
from gateways.itch.glimpse_messages import END_OF_SNAPSHOT
from gateways.itch.messages import ITCH_MESSAGE_DTYPE, MESSAGE_SIZE_MAX
from gateways.itch.typed_messages import MESSAGES, ItchMessage
from gateways.packets import HEADER_SIZE
from gateways.typed import pack, struct_of
from ringbuf.jit import kernel

ROUNDS = 30
_TEXT = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
_BITS = {"u1": 8, "u2": 16, "u4": 32, "u8": 63}


def random_message(letter: str, chance: random.Random) -> bytes:
    """Any contents that fit the fields; text is sometimes shorter than its field."""
    raw: list[bytes | int] = []
    for each in MESSAGES[letter].RECORD.fields:
        if each.name == "type":
            raw.append(letter.encode())
        elif each.type == "a":
            size = chance.randint(1, each.repeat)
            raw.append("".join(chance.choices(_TEXT, k=size)).ljust(each.repeat).encode())
        else:
            raw.append(chance.getrandbits(chance.randint(1, _BITS[each.type])))
    return struct_of(MESSAGES[letter].RECORD).pack(*raw)


def written(letter: str, message: ItchMessage) -> bytes:
    """A typed object as bytes."""
    record = MESSAGES[letter].RECORD
    values: dict[str, Any] = {
        each.name: getattr(message, each.name)
        for each in record.fields
        if each.name not in ("type", "timestamp_high", "timestamp_low")
    }
    high, low = divmod(message.timestamp, 1 << 32)
    return pack(record, letter, timestamp_high=high, timestamp_low=low, **values)


@pytest.mark.parametrize("letter", MESSAGES)
def test_typed_objects(letter: str) -> None:
    """Ours, and those of an independent reader."""
    chance = random.Random(letter)
    parser = MessageParser()
    for _ in range(ROUNDS):
        data = random_message(letter, chance)
        assert written(letter, MESSAGES[letter].decode(data)) == data
        assert parser.get_message_type(data).to_bytes() == data


@kernel
def _again(data, message, buffer):
    """Decode a message and encode what was found; bytes written, 0 for a kind that is not sent."""
    if codec.decode(data, 0, len(data) - 1, message[0]) != codec.OK:
        return 0
    row = message[0]
    kind, code = np.int64(row["type"]), np.int64(row["code"])
    time_ns, locate = np.int64(row["timestamp"]), np.int64(row["stock_locate"])
    reference, shares = np.int64(row["reference"]), np.int64(row["shares"])
    symbol, price = np.int64(row["symbol"]), np.int64(row["price"])
    side, number = np.int64(row["side"]), np.int64(row["match_number"])
    if kind == codec.SYSTEM:
        return codec.encode_system(buffer, 0, time_ns, code)
    if kind == codec.ADD:
        return codec.encode_add(buffer, 0, time_ns, locate, reference, side, shares, symbol, price)
    if kind == codec.EXECUTED:
        return codec.encode_executed(buffer, 0, time_ns, locate, reference, shares, number)
    if kind == codec.EXECUTED_WITH_PRICE:
        return codec.encode_executed_with_price(
            buffer, 0, time_ns, locate, reference, shares, number, code, price
        )
    if kind == codec.CANCEL:
        return codec.encode_cancel(buffer, 0, time_ns, locate, reference, shares)
    if kind == codec.DELETE:
        return codec.encode_delete(buffer, 0, time_ns, locate, reference)
    if kind == codec.REPLACE:
        original = np.int64(row["original_reference"])
        return codec.encode_replace(buffer, 0, time_ns, locate, original, reference, shares, price)
    if kind == codec.HIDDEN_TRADE:
        return codec.encode_trade(buffer, 0, time_ns, locate, shares, symbol, price, number)
    if kind == codec.BROKEN:
        return codec.encode_broken(buffer, 0, time_ns, locate, number)
    return 0


def _made_ours(letter: str, data: bytes) -> bytes:
    """With what our messages always have: tracking number 0, a time of day, no hidden details."""
    day = 86_400 * 10**9
    time_ns = int.from_bytes(data[5:11], "big") % day
    data = data[:3] + b"\0\0" + time_ns.to_bytes(6, "big") + data[11:]
    if letter == "S":
        data = data[:1] + b"\0\0" + data[3:]
    return data[:11] + bytes(8) + b"B" + data[20:] if letter == "P" else data


@pytest.mark.parametrize("letter", "SAECXDUPB")
def test_compiled_codec(letter: str) -> None:
    """What the feed sends, from decoded fields."""
    chance = random.Random(letter)
    row = np.zeros(1, ITCH_MESSAGE_DTYPE)
    for _ in range(ROUNDS):
        data = _made_ours(letter, random_message(letter, chance))
        buffer = np.zeros(HEADER_SIZE + MESSAGE_SIZE_MAX, np.uint8)
        size = _again(np.frombuffer(data + b"\xff", np.uint8), row, buffer)
        assert bytes(buffer[HEADER_SIZE:size]) == data


def test_the_end_of_a_snapshot() -> None:
    """`G` is the only message without the common bytes."""
    assert (END_OF_SNAPSHOT.size, END_OF_SNAPSHOT.offset_of("sequence")) == (21, 1)
    assert pack(END_OF_SNAPSHOT, "G", sequence="18".rjust(20)) == b"G" + b" " * 18 + b"18"
