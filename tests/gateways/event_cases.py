"""Events, and the OUCH and ITCH bytes that they become: one table for both encoders.

The bytes are written with `struct` from docs/protocols.md, not from the declarations under test.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from shm_exchange.market import INSTRUMENT, WORKING
from shm_exchange.messages import EVENT_DTYPE, EventFlag, EventKind

CLIENT_ORDER_ID = b"abcdefghijklmn"
DAY_NS = 86_400 * 10**9
TIME_NS = 20_000 * DAY_NS + 0x0000_1234_5678_9ABC
MIDNIGHT_NS = 0x1234_5678_9ABC
ENGINE = 3
POSITION = 0x0000_0102_0304_0506
NUMBER = ENGINE << 48 | POSITION
MAKER_REFERENCE = 77
TICK = 500
SYMBOL = b"ETH-PERP"
LOCATE = 2


def instruments() -> np.ndarray:
    """Two instruments; the events are about the second."""
    rows = np.zeros(2, INSTRUMENT.dtype)
    for row, symbol, tick, lot in ((0, b"AAPL    ", 100, 1), (1, SYMBOL, TICK, 10)):
        rows[row]["symbol"] = int.from_bytes(symbol, "little", signed=True)
        rows[row]["tick"] = tick
        rows[row]["lot"] = lot
    return rows


def event(kind: EventKind, flags: int = 0, **fields: Any) -> np.ndarray:
    """EVENT[1] with fields that every event has, and `fields`."""
    row = np.zeros(1, EVENT_DTYPE)
    row["kind"] = kind
    row["flags"] = flags
    row["instrument"] = 1
    row["time_ns"] = TIME_NS
    for name, content in fields.items():
        row[name] = ord(content) if isinstance(content, str) else content
    return row


def with_client_order_id(row: np.ndarray) -> np.ndarray:
    """The event with CLIENT_ORDER_ID as its three words."""
    row.view(np.uint8)[48:62] = np.frombuffer(CLIENT_ORDER_ID, np.uint8)
    return row


def order(kind: EventKind, flags: int = 0, **fields: Any) -> np.ndarray:
    """ACCEPTED or REPLACED."""
    common = {
        "side": "T",
        "price": 2_000_000,
        "quantity": 999_999,
        "slot": 5,
        "user_ref": 0xFFFF_FFFE,
        "session": 4,
        "capacity": "P",
        "time_in_force": "0",
        "display": "Y",
    }
    row = event(kind, flags, **{**common, **fields})
    return row if "reference" in fields else with_client_order_id(row)


PRICE = 2_000_000 * TICK


def ouch_order(sweep: bytes, quantity: int = 999_999, display: bytes = b"Y") -> bytes:
    """What `A` and `U` have in common."""
    return struct.pack(
        ">cI8sQccQcccc14sH",
        b"T",
        quantity,
        SYMBOL,
        PRICE,
        b"0",
        display,
        NUMBER,
        b"P",
        sweep,
        b"N",
        b"L",
        CLIENT_ORDER_ID,
        0,
    )


def ouch(letter: bytes, layout: str, *fields: Any) -> bytes:
    """A sequenced packet with an OUCH message: type, timestamp, fields."""
    message = struct.pack(">cQ" + layout, letter, MIDNIGHT_NS, *fields)
    return struct.pack(">HcB", len(message) + 1, b"S", message[0]) + message[1:]


def itch(letter: bytes, layout: str, *fields: Any, locate: int = LOCATE) -> bytes:
    """A sequenced packet with an ITCH message: common bytes, fields."""
    head = struct.pack(">cHH", letter, locate, 0) + MIDNIGHT_NS.to_bytes(6, "big")
    message = head + struct.pack(">" + layout, *fields)
    return struct.pack(">Hc", len(message) + 1, b"S") + message


class Case(NamedTuple):
    """An event; per session its OUCH packets; its feed packets; the order as it was before."""

    name: str
    event: np.ndarray
    ouch: dict[int, list[bytes]]
    feed: bytes
    before: dict[str, Any] = {}
    displayed: int = 0  # lots afterwards, if not all that are open


_ADD = "QcI8sI"
_LONG = int(EventFlag.LONG_FORM)
_RESTS = int(EventFlag.RESTS)
_DONE = int(EventFlag.DONE)
_TRADE = {
    "side": "B",
    "price": 2_000_000,
    "quantity": 40,
    "user_ref": 11,
    "session": 4,
    "liquidity": "A",
    "taker_session": 6,
    "taker_liquidity": "R",
    "reference": MAKER_REFERENCE,
    "taker_user_ref": 0xFFFF_FFFD,
}
_LESS = {
    "side": "S",
    "price": 2_000_000,
    "quantity": 60,
    "user_ref": 11,
    "session": 4,
    "leaves": 15,
    "reference": MAKER_REFERENCE,
}
_ASKED = {"user_ref": 11, "session": 4, "firm_name": int.from_bytes(b"ACME", "little")}
_PLACED = (NUMBER, b"S", 999_999, SYMBOL, PRICE)
_MAKER_E = ouch(b"E", "IIQcQH", 11, 40, PRICE, b"A", NUMBER, 0)
_TAKER_E = ouch(b"E", "IIQcQH", 0xFFFF_FFFD, 40, PRICE, b"R", NUMBER, 0)
_FEED_E = itch(b"E", "QIQ", ENGINE << 48 | MAKER_REFERENCE, 40, NUMBER)
_OWN = ENGINE << 48 | MAKER_REFERENCE

_MAKER_D = ouch(b"D", "IIcIQccH", 11, 40, b"Q", 40, PRICE, b"A", b"D", 0)
_TAKER_D = ouch(b"D", "IIcIQccH", 0xFFFF_FFFD, 40, b"Q", 40, PRICE, b"R", b"D", 0)
_SELF = {**_TRADE, "reason": "Q"}
_BROKEN = {**_TRADE, "reason": "C", "liquidity": 0, "taker_liquidity": 0}


def _broken(user_ref: int) -> bytes:
    """`B`; its ClOrdID is not kept."""
    number = ENGINE << 48 | MAKER_REFERENCE
    return ouch(b"B", "IQc14sH", user_ref, number, b"C", b" " * 14, 0)


CASES = [
    Case(
        "accepted, rests",
        order(EventKind.ACCEPTED, _RESTS),
        {4: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        itch(b"A", _ADD, NUMBER, b"S", 999_999, SYMBOL, PRICE),
    ),
    Case(
        "accepted, crosses, sweeps",
        order(EventKind.ACCEPTED, EventFlag.SWEEP),
        {4: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        b"",
    ),
    Case(
        "accepted, hidden",
        order(EventKind.ACCEPTED, _RESTS, display="N"),
        {4: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        b"",
    ),
    Case(
        "accepted, a bid",
        order(EventKind.ACCEPTED, _RESTS, side="B"),
        {4: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        itch(b"A", _ADD, NUMBER, b"B", 999_999, SYMBOL, PRICE),
    ),
    Case(
        "replaced, rests",
        order(EventKind.REPLACED, _RESTS | EventFlag.SWEEP, original_user_ref=10),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        itch(b"U", "QQII", _OWN, NUMBER, 999_999, PRICE),
    ),
    Case(
        "replaced, crosses",
        order(EventKind.REPLACED, 0, original_user_ref=10),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        itch(b"D", "Q", _OWN),
    ),
    Case(
        "replaced, another attribution",
        order(EventKind.REPLACED, _RESTS, original_user_ref=10, display="A"),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        itch(b"D", "Q", _OWN) + itch(b"F", _ADD + "4s", *_PLACED, b"ACME"),
    ),
    Case(
        "replaced, the same attribution",
        order(EventKind.REPLACED, _RESTS, original_user_ref=10, display="A"),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        itch(b"U", "QQII", _OWN, NUMBER, 999_999, PRICE),
        {"display": "A"},
    ),
    Case(
        "replaced, hidden before",
        order(EventKind.REPLACED, _RESTS, original_user_ref=10),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        itch(b"A", _ADD, *_PLACED),
        {"display": "N"},
    ),
    Case(
        "replaced, hidden from now on",
        order(EventKind.REPLACED, _RESTS, original_user_ref=10, display="N"),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        itch(b"D", "Q", _OWN),
    ),
    Case(
        "replaced, hidden all the while",
        order(EventKind.REPLACED, _RESTS, original_user_ref=10, display="N"),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        b"",
        {"display": "N"},
    ),
    Case(
        "replaced, shows a part",
        order(EventKind.REPLACED, _RESTS, original_user_ref=10),
        {4: [ouch(b"U", "II", 10, 0xFFFF_FFFE)]},
        itch(b"U", "QQII", _OWN, NUMBER, 100, PRICE),
        displayed=100,
    ),
    Case(
        "accepted, attributed",
        order(EventKind.ACCEPTED, _RESTS, display="A"),
        {4: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        itch(b"F", _ADD + "4s", *_PLACED, b"ACME"),
    ),
    Case(
        "accepted, attributed, no firm",
        order(EventKind.ACCEPTED, _RESTS, display="A", session=3),
        {3: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        itch(b"A", _ADD, *_PLACED),
    ),
    Case(
        "accepted, shows a part",
        order(EventKind.ACCEPTED, _RESTS),
        {4: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        itch(b"A", _ADD, NUMBER, b"S", 100, SYMBOL, PRICE),
        displayed=100,
    ),
    Case(
        "rested",
        event(EventKind.RESTED, **{**_LESS, "display": "Y"}),
        {4: []},
        itch(b"A", _ADD, _OWN, b"S", 15, SYMBOL, PRICE),
        {"state": WORKING},
    ),
    Case(
        "carried over",
        order(EventKind.CARRIED, _RESTS, reference=MAKER_REFERENCE),
        {4: [ouch(b"A", "I", 0xFFFF_FFFE)]},
        itch(b"A", _ADD, _OWN, b"S", 999_999, SYMBOL, PRICE),
    ),
    Case(
        "rested, hidden",
        event(EventKind.RESTED, **{**_LESS, "display": "N"}),
        {4: []},
        b"",
        {"state": WORKING, "display": "N"},
    ),
    Case(
        "executed between two sessions",
        event(EventKind.EXECUTED, _DONE, **_TRADE),
        {4: [_MAKER_E], 6: [_TAKER_E]},
        _FEED_E,
    ),
    Case(
        "executed within one session",
        event(EventKind.EXECUTED, 0, **{**_TRADE, "taker_session": 4}),
        {4: [_MAKER_E, _TAKER_E]},
        _FEED_E,
    ),
    Case(
        "executed against a hidden order",
        event(EventKind.EXECUTED, EventFlag.MAKER_HIDDEN, **_TRADE),
        {4: [_MAKER_E], 6: [_TAKER_E]},
        itch(b"P", _ADD + "Q", 0, b"B", 40, SYMBOL, PRICE, NUMBER),
    ),
    Case(
        "self-matched within one session",
        event(EventKind.SELF_MATCHED, _LONG, **{**_SELF, "taker_session": 4}),
        {4: [_MAKER_D, _TAKER_D]},
        itch(b"X", "QI", _OWN, 40),
    ),
    Case(
        "self-matched between two sessions, all that was displayed",
        event(EventKind.SELF_MATCHED, _LONG, **_SELF),
        {4: [_MAKER_D], 6: [_TAKER_D]},
        itch(b"D", "Q", _OWN),
        {"displayed": 40},
    ),
    Case(
        "self-matched with a hidden order",
        event(EventKind.SELF_MATCHED, _LONG | _DONE | EventFlag.MAKER_HIDDEN, **_SELF),
        {4: [_MAKER_D], 6: [_TAKER_D]},
        b"",
        {"display": "N"},
    ),
    Case(
        "broken between two sessions",
        event(EventKind.BROKEN, _LONG, **_BROKEN),
        {4: [_broken(11)], 6: [_broken(0xFFFF_FFFD)]},
        itch(b"B", "Q", ENGINE << 48 | MAKER_REFERENCE),
    ),
    Case(
        "broken within one session",
        event(EventKind.BROKEN, _LONG, **{**_BROKEN, "taker_session": 4}),
        {4: [_broken(11), _broken(0xFFFF_FFFD)]},
        itch(b"B", "Q", ENGINE << 48 | MAKER_REFERENCE),
    ),
    Case(
        "everything cancelled",
        event(EventKind.MASS_CANCELLED, _LONG, instrument=0xFFFF, **_ASKED),
        {4: [ouch(b"X", "I4s8sH", 11, b"ACME", b" " * 8, 0)]},
        b"",
    ),
    Case(
        "one instrument cancelled",
        event(EventKind.MASS_CANCELLED, _LONG, **_ASKED),
        {4: [ouch(b"X", "I4s8sH", 11, b"ACME", SYMBOL, 0)]},
        b"",
    ),
    Case(
        "order entry disabled",
        event(EventKind.DISABLED, _LONG, **_ASKED),
        {4: [ouch(b"G", "I4sH", 11, b"ACME", 0)]},
        b"",
    ),
    Case(
        "order entry enabled",
        event(EventKind.ENABLED, _LONG, **_ASKED),
        {4: [ouch(b"K", "I4sH", 11, b"ACME", 0)]},
        b"",
    ),
    Case(
        "cancelled in part, short form",
        event(EventKind.CANCELLED, _RESTS, reason="U", **_LESS),
        {4: [ouch(b"C", "IIc", 11, 60, b"U")]},
        itch(b"X", "QI", _OWN, 60),
    ),
    Case(
        "cancelled, long form",
        event(EventKind.CANCELLED, _RESTS | _DONE | _LONG, reason="Z", **_LESS),
        {4: [ouch(b"C", "IIcH", 11, 60, b"Z", 0)]},
        itch(b"D", "Q", _OWN),
    ),
    Case(
        "cancelled, nobody asked",
        event(EventKind.CANCELLED, _RESTS | _DONE | _LONG, reason="Z", cause=1, **_LESS),
        {4: [ouch(b"C", "IIcHBBB", 11, 60, b"Z", 3, 2, 133, 1)]},
        itch(b"D", "Q", _OWN),
    ),
    Case(
        "cancelled, was not in the book",
        event(EventKind.CANCELLED, _DONE, reason="I", **_LESS),
        {4: [ouch(b"C", "IIc", 11, 60, b"I")]},
        b"",
        {"state": WORKING},
    ),
    Case(
        "cancelled, was hidden",
        event(EventKind.CANCELLED, _RESTS | _DONE, reason="U", **_LESS),
        {4: [ouch(b"C", "IIc", 11, 60, b"U")]},
        b"",
        {"display": "N"},
    ),
    Case(
        "cancelled in part, of which some was displayed",
        event(EventKind.CANCELLED, _RESTS, reason="U", **_LESS),
        {4: [ouch(b"C", "IIc", 11, 60, b"U")]},
        itch(b"X", "QI", _OWN, 10),
        {"displayed": 25},
    ),
    Case(
        "cancelled in part, none of it displayed",
        event(EventKind.CANCELLED, _RESTS, reason="U", **_LESS),
        {4: [ouch(b"C", "IIc", 11, 60, b"U")]},
        b"",
        {"displayed": 15},
    ),
    Case(
        "modified, smaller",
        event(EventKind.MODIFIED, _RESTS, **_LESS),
        {4: [ouch(b"M", "IcI", 11, b"S", 15)]},
        itch(b"X", "QI", _OWN, 60),
    ),
    Case(
        "modified, another side only",
        event(EventKind.MODIFIED, _RESTS | _LONG, **{**_LESS, "quantity": 0, "side": "E"}),
        {4: [ouch(b"M", "IcIH", 11, b"E", 15, 0)]},
        b"",
    ),
    Case(
        "rejected, long form",
        with_client_order_id(
            event(EventKind.REJECTED, _LONG, reason=0x8113, user_ref=12, session=4)
        ),
        {4: [ouch(b"J", "IH14sH", 12, 0x8113, CLIENT_ORDER_ID, 0)]},
        b"",
    ),
    Case(
        "rejected, short form",
        with_client_order_id(event(EventKind.REJECTED, 0, reason=0x0017, user_ref=12, session=4)),
        {4: [ouch(b"J", "IH14s", 12, 0x0017, CLIENT_ORDER_ID)]},
        b"",
    ),
    Case(
        "account, short form",
        event(EventKind.ACCOUNT, 0, user_ref=13, session=4),
        {4: [ouch(b"Q", "I", 13)]},
        b"",
    ),
    Case(
        "account, long form",
        event(EventKind.ACCOUNT, _LONG, user_ref=0, session=4),
        {4: [ouch(b"Q", "IH", 0, 0)]},
        b"",
    ),
    Case(
        "sessions begin",
        event(EventKind.SESSIONS, 0, session=3, quantity=2),
        {3: [ouch(b"S", "c", b"S")], 4: [ouch(b"S", "c", b"S")]},
        b"",
    ),
    Case(
        "the day ends",
        event(EventKind.SYSTEM, 0, reason="E", session=9),
        {number: [ouch(b"S", "c", b"E")] for number in (0, 3, 4, 5, 6, 7)},
        itch(b"S", "c", b"E", locate=0),
    ),
    Case(
        "the feed begins",
        event(EventKind.SYSTEM, 0, reason="O"),
        {},
        itch(b"S", "c", b"O", locate=0),
    ),
    Case(
        "listed",
        event(EventKind.LISTED),
        {},
        itch(
            b"R",
            "8sccIcc2scccccIc",
            SYMBOL,
            b"Q",
            b"N",
            10,
            b"N",
            b"C",
            b"Z ",
            b"P",
            b"N",
            b" ",
            b" ",
            b"N",
            0,
            b"N",
        ),
    ),
    Case(
        "halted",
        event(EventKind.INSTRUMENT_STATE, 0, reason="H"),
        {},
        itch(b"H", "8scc4s", SYMBOL, b"H", b" ", b"    "),
    ),
    Case(
        "closed",
        event(EventKind.INSTRUMENT_STATE, 0, reason="C"),
        {},
        itch(b"H", "8scc4s", SYMBOL, b"H", b" ", b"CLSD"),
    ),
    *(
        Case(kind.name.lower(), event(kind, 0, session=4, quantity=9), {}, b"")
        for kind in (
            EventKind.IGNORED,
            EventKind.ROLLED,
            EventKind.LOGGED_IN,
            EventKind.LOGGED_OUT,
            EventKind.GATEWAY_STARTED,
            EventKind.GATEWAY_DIED,
            EventKind.EPOCH,
            EventKind.ATTESTED,
            EventKind.CONTINUED,
            EventKind.CONTINUATION,
            EventKind.NOTHING,
        )
    ),
]


def _complete() -> None:
    """`A` and `U` of the table get what they have in common."""
    for case in CASES:
        flags = int(case.event["flags"][0])
        sweep = b"Y" if flags & EventFlag.SWEEP else b"N"
        for packets in case.ouch.values():
            for number, packet in enumerate(packets):
                if packet[3:4] in (b"A", b"U"):
                    common = ouch_order(sweep, display=bytes(case.event["display"]))
                    if case.name == "carried over":
                        old = struct.pack(">Q", ENGINE << 48 | MAKER_REFERENCE)
                        common = common.replace(struct.pack(">Q", NUMBER), old)
                        common = common.replace(CLIENT_ORDER_ID, b" " * 14)
                    side = bytes(case.event["side"])
                    message = packet[3:] + side + common[1:]
                    packets[number] = struct.pack(">Hc", len(message) + 1, b"S") + message


_complete()
