"""Inbound OUCH messages and what they say: one table, used in every way of reading and writing.

Written with `struct` from docs/protocols.md, not from the declarations under test.
"""

from __future__ import annotations

import struct
from typing import Any

CLIENT_ORDER_ID = b"order-1/abc   "


def value(tag: int, data: bytes) -> bytes:
    """One tag value."""
    return struct.pack(">BB", 1 + len(data), tag) + data


def enter(appendage: bytes = b"", **changes: Any) -> bytes:
    """`O`."""
    fields: dict[str, Any] = {
        "user_ref": 1,
        "side": b"B",
        "quantity": 100,
        "symbol": b"AAPL    ",
        "price": 1_234_500,
        "time_in_force": b"0",
        "display": b"Y",
        "capacity": b"P",
        "sweep": b"N",
        "cross_type": b"N",
        "client_order_id": CLIENT_ORDER_ID,
        "appendage_length": len(appendage),
    }
    fields.update(changes)
    return struct.pack(">cIcI8sQccccc14sH", b"O", *fields.values()) + appendage


def replace(appendage: bytes = b"", **changes: Any) -> bytes:
    """`U`."""
    fields: dict[str, Any] = {
        "original_user_ref": 1,
        "user_ref": 2,
        "quantity": 250,
        "price": 99,
        "time_in_force": b"3",
        "display": b"N",
        "sweep": b"Y",
        "client_order_id": CLIENT_ORDER_ID,
        "appendage_length": len(appendage),
    }
    fields.update(changes)
    return struct.pack(">cIIIQccc14sH", b"U", *fields.values()) + appendage


def cancel(user_ref: int = 1, quantity: int = 0, tail: bytes = b"") -> bytes:
    """`X`; tail: appendage length and appendage."""
    return struct.pack(">cII", b"X", user_ref, quantity) + tail


def modify(user_ref: int = 1, side: bytes = b"E", quantity: int = 5, tail: bytes = b"") -> bytes:
    """`M`."""
    return struct.pack(">cIcI", b"M", user_ref, side, quantity) + tail


def mass_cancel(appendage: bytes = b"", symbol: bytes = b"        ") -> bytes:
    """`C`."""
    return struct.pack(">cI4s8sH", b"C", 9, b"FIRM", symbol, len(appendage)) + appendage


def mass_quote(user_ref: int, quotes: list[tuple[Any, ...]], group: int = 0) -> bytes:
    """`q`; of each quote its id, symbol, and price and quantity of bid and ask."""
    rows = b"".join(struct.pack(">H8sQIQI", *each, *bid, *ask) for *each, bid, ask in quotes)
    return struct.pack(">cIBHB", b"q", user_ref, 0, group, len(quotes)) + rows


def disable(letter: bytes = b"D", appendage: bytes = b"") -> bytes:
    """`D` or `E`."""
    return struct.pack(">cI4sH", letter, 0xFFFF_FFFF, b"FIRM", len(appendage)) + appendage


def tail(appendage: bytes = b"") -> bytes:
    """The appendage length and the appendage of a short message."""
    return struct.pack(">H", len(appendage)) + appendage


def raw(text: bytes) -> int:
    """Bytes as a signed word, the way they lie in memory."""
    return int.from_bytes(text, "little", signed=True)


ID = {
    "client_order_id_0": raw(CLIENT_ORDER_ID[:8]),
    "client_order_id_1": raw(CLIENT_ORDER_ID[8:12]),
    "client_order_id_2": raw(CLIENT_ORDER_ID[12:]),
}

ALL_ENTER_TAGS = b"".join(
    (
        value(2, b"FIRM"),
        value(3, struct.pack(">I", 10)),
        value(4, b"R"),
        value(5, struct.pack(">I", 20)),
        value(6, b"L"),
        value(7, struct.pack(">i", -300)),
        value(9, struct.pack(">Q", 40)),
        value(10, b"M"),
        value(11, struct.pack(">i", -1)),
        value(12, b"P"),
        value(13, struct.pack(">I", 50)),
        value(14, b"ROUT"),
        value(15, struct.pack(">I", 86_399)),
        value(16, b"Y"),
        value(17, b"I"),
        value(24, struct.pack(">H", 0xFFFE)),
        value(25, b"N"),
        value(28, b"\xff"),
        value(128, b"G"),
        value(129, b"R"),
        value(130, b"Y"),
        value(131, b"D"),
        value(132, struct.pack(">H", 0xFFFD)),
    )
)

# name, message, what the decoded request says
GOOD: list[tuple[str, bytes, dict[str, int]]] = [
    (
        "enter",
        enter(),
        {
            "type": ord("O"),
            "user_ref": 1,
            "side": ord("B"),
            "quantity": 100,
            "symbol": raw(b"AAPL    "),
            "price": 1_234_500,
            "time_in_force": ord("0"),
            "display": ord("Y"),
            "capacity": ord("P"),
            "sweep": ord("N"),
            "cross_type": ord("N"),
            "long_form": 1,
            "present": 0,
            "present_private": 0,
            "foreign_tag": 0,
            "user_ref_index": 0,
            **ID,
        },
    ),
    (
        "enter, largest values",
        enter(user_ref=0xFFFF_FFFF, quantity=0xFFFF_FFFF, price=(1 << 64) - 1),
        {"user_ref": 0xFFFF_FFFF, "quantity": 0xFFFF_FFFF, "price": -1},
    ),
    (
        "enter, every tag",
        enter(ALL_ENTER_TAGS),
        {
            "quantity": 100,
            "firm": raw(b"FIRM"),
            "minimum_quantity": 10,
            "customer_type": ord("R"),
            "maximum_floor": 20,
            "price_type": ord("L"),
            "peg_offset": -300,
            "discretion_price": 40,
            "discretion_price_type": ord("M"),
            "discretion_peg_offset": -1,
            "post_only": ord("P"),
            "random_reserves": 50,
            "route": raw(b"ROUT"),
            "expire_seconds": 86_399,
            "trade_now": ord("Y"),
            "handle_instruction": ord("I"),
            "group_id": 0xFFFE,
            "shares_located": ord("N"),
            "user_ref_index": 255,
            "good_till_cancelled": ord("G"),
            "post_only_reject": ord("R"),
            "stay_on_disconnect": ord("Y"),
            "present": sum(
                1 << tag for tag in (2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25)
            )
            + (1 << 28),
            "present_private": 31,
            "foreign_tag": 0,
        },
    ),
    (
        "enter, tags that are not its own are skipped and named",
        enter(value(27, b"B") + value(200, b"") + value(12, b"P")),
        {"foreign_tag": 27, "present": 1 << 12, "post_only": ord("P")},
    ),
    ("enter, an unknown private tag", enter(value(255, b"xyz")), {"foreign_tag": 255}),
    ("enter, tag 64 is not tag 0", enter(value(64, b"x")), {"foreign_tag": 64}),
    (
        "replace",
        replace(),
        {
            "type": ord("U"),
            "original_user_ref": 1,
            "user_ref": 2,
            "quantity": 250,
            "price": 99,
            "time_in_force": ord("3"),
            "display": ord("N"),
            "sweep": ord("Y"),
            "long_form": 1,
            **ID,
        },
    ),
    (
        "replace, locate broker",
        replace(value(26, b"BROK") + value(129, b"R")),
        {"locate_broker": raw(b"BROK"), "present": 1 << 26, "present_private": 2},
    ),
    ("replace, firm is not its own", replace(value(2, b"FIRM")), {"foreign_tag": 2}),
    (
        "cancel, short",
        cancel(7, 30),
        {"type": ord("X"), "user_ref": 7, "quantity": 30, "long_form": 0},
    ),
    ("cancel, long", cancel(7, 30, tail()), {"user_ref": 7, "quantity": 30, "long_form": 1}),
    (
        "cancel, channel",
        cancel(7, 30, tail(value(28, b"\x03"))),
        {"user_ref": 7, "user_ref_index": 3, "present": 1 << 28},
    ),
    ("cancel, good till cancelled", cancel(7, 30, tail(value(128, b"G"))), {"foreign_tag": 128}),
    (
        "modify, short",
        modify(8, b"T", 31),
        {"type": ord("M"), "user_ref": 8, "side": ord("T"), "quantity": 31, "long_form": 0},
    ),
    ("modify, long", modify(8, b"T", 31, tail()), {"quantity": 31, "long_form": 1}),
    (
        "mass cancel",
        mass_cancel(value(27, b"B") + value(24, b"\x00\x07")),
        {
            "type": ord("C"),
            "user_ref": 9,
            "firm": raw(b"FIRM"),
            "symbol": raw(b" " * 8),
            "side_filter": ord("B"),
            "group_id": 7,
        },
    ),
    (
        "disable",
        disable(b"D"),
        {"type": ord("D"), "user_ref": 0xFFFF_FFFF, "firm": raw(b"FIRM")},
    ),
    ("enable", disable(b"E"), {"type": ord("E"), "firm": raw(b"FIRM"), "long_form": 1}),
    ("account query, short", b"Q", {"type": ord("Q"), "long_form": 0}),
    ("account query, long", b"Q" + tail(), {"long_form": 1}),
    (
        "account query, channel",
        b"Q" + tail(value(28, b"\x09")),
        {"user_ref_index": 9, "long_form": 1},
    ),
]

# name, message, tag that is named
BAD_APPENDAGES: list[tuple[str, bytes, int]] = [
    ("tag 0", enter(value(0, b"x")), 0),
    ("a value that is too short", enter(value(3, b"\x00\x00\x01")), 3),
    ("a value that is too long", enter(value(12, b"PP")), 12),
    ("a value of no bytes", enter(value(12, b"")), 12),
    ("an 8-byte value for 4", enter(value(5, bytes(8))), 5),
    ("a 1-byte value for 4", enter(value(2, b"A")), 2),
    ("a 4-byte value for 1", enter(value(16, bytes(4))), 16),
    ("a 4-byte value for 8", enter(value(9, bytes(4))), 9),
    ("a 4-byte value for 2", enter(value(24, bytes(4))), 24),
    ("the same tag twice", enter(value(12, b"P") + value(12, b"N")), 12),
    ("the same private tag twice", enter(value(128, b"G") * 2), 128),
    ("the channel and half of another", enter(value(28, b"\x05") + b"\x05"), 0),
    ("the channel twice", enter(value(28, b"\x05") + value(28, b"\x06")), 28),
    ("two bad values", enter(value(3, b"") + value(12, b"PP")), 3),
]

WRONG_LENGTHS: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a letter alone", b"O"),
    ("enter, one byte short", enter()[:-1]),
    ("enter, without its appendage length", enter()[:-2]),
    ("enter, one byte long", enter() + b"\x00"),
    ("enter, appendage announced and absent", enter(appendage_length=3)),
    ("enter, appendage cut", enter(value(12, b"P"))[:-1]),
    ("replace, one byte short", replace()[:-1]),
    ("cancel, one byte short", cancel()[:-1]),
    ("cancel, half an appendage length", cancel() + b"\x00"),
    ("cancel, appendage announced and absent", cancel(tail=b"\x00\x03")),
    ("modify, one byte short", modify()[:-1]),
    ("account query, half an appendage length", b"Q\x00"),
    ("account query, bytes behind its end", b"Q\x00\x00\x00"),
    ("mass cancel, one byte short", mass_cancel()[:-1]),
    ("disable, one byte long", disable() + b"\x00"),
    ("a tag without its number", enter(b"\x01")),
    ("a tag of length 0", enter(b"\x00\x0c")),
    ("a value that runs over the end", enter(b"\x05\x03\x00\x00\x00")),
    ("a good tag and half of another", enter(value(12, b"P") + b"\x05")),
    ("cancel, a channel of two bytes", cancel(1, 0, tail(value(28, b"\x00\x01")))),
]

# A channel that follows what is wrong in an appendage is read.
FAULTS_BEFORE_CHANNEL = (
    value(3, b"\x00"),
    value(0, b"x"),
    value(12, b"P") * 2,
    value(77, b"x") + value(5, bytes(8)),
)
