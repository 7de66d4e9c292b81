"""Messages of OUCH and ITCH from bytes and into bytes, beside Python's `struct` on the same bytes.

Included: each field found, turned round and stored where the gateway has it; of what is written the
packet header too; in OUCH the checks of lengths and the client's own order id. Not included:
sockets, framing, the checks of values, the replica that knows the order. `struct` packs or unpacks
the same fields with one call and one compiled format for each message, and checks nothing: that is
the least that a Python program can do. Messages differ by one number only: what the compiled side
finds in its caches, and its branches, are the best case. Rounds take turns, the best one of each
counts.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from gateways.itch.codec import encode_add
from gateways.itch.messages import ADD_ORDER
from gateways.ouch.codec import OK, decode
from gateways.ouch.messages import ENTER_ORDER, ORDER_ACCEPTED
from gateways.ouch.outbound import encode
from gateways.ouch.tags import OUCH_REQUEST_DTYPE
from gateways.packets import HEADER_SIZE
from perf.exchange import orders
from perf.results_file import in_turns
from ringbuf.bits import at
from ringbuf.jit import kernel
from shm_exchange.instruments import Instrument, instrument_rows
from shm_exchange.messages import EVENT_DTYPE, ORDER_TAGS, EventKind

ROUNDS = 9
MESSAGES = 20_000  # of a round
REQUESTS = 64
ENGINE = 1
NS = 1_000_000_000
SYMBOL = b"AAPL    "
ENTER = struct.Struct(">cIcI8sQccccc14sH")
ACCEPTED = struct.Struct(">HccQIcI8sQccQcccc14sH")
ADD = struct.Struct(">HccHHHIQcI8sI")


@kernel
def _decode_all(packets, size, requests):
    """How many of the packets, uint8[n * size], were good messages.

    requests: OUCH_REQUEST[REQUESTS]. Into a single one, all but the last would be dead stores.
    """
    good = 0
    for number in range(len(packets) // size):
        start = number * size + HEADER_SIZE
        request = requests[at(number & (REQUESTS - 1))]
        good += decode(packets, start, size - HEADER_SIZE, request) == OK
    return good


@kernel
def _encode_all(events, tags, instruments, buffer):
    """Bytes written: an OUCH message of each event."""
    offset = 0
    for number in range(len(events)):
        event = events[at(number)]
        offset += encode(event, tags, number, 0, instruments, ENGINE, buffer, offset)
    return offset


@kernel
def _add_all(count, symbol, buffer):
    """Bytes written: so many ITCH Add Order messages."""
    offset = 0
    for number in range(count):
        offset += encode_add(buffer, offset, NS, 1, number, 66, 100, symbol, 1_000_000)
    return offset


def _measure(benchmark: Any, ours: Callable[[], Any], bare: Callable[[], Any]) -> None:
    """Both in turns; ns of a message each."""
    ours()
    times: dict[Callable[[], Any], list[float]] = {ours: [], bare: []}

    def measure() -> None:
        for _ in range(ROUNDS):
            for side, found in times.items():
                began = time.perf_counter()
                side()
                found.append((time.perf_counter() - began) / MESSAGES * 1e9)

    benchmark.pedantic(measure, rounds=1)
    best, struct_best = min(times[ours]), min(times[bare])
    benchmark.extra_info.update(
        ns_per_message=round(best, 1),
        struct_ns_per_message=round(struct_best, 1),
        times_as_fast=round(struct_best / best, 1),
        rounds=in_turns(times[ours], times[bare]),
    )


def test_ouch_decode(benchmark: Any) -> None:
    """Enter Order, as a gateway takes it from its socket's buffer."""
    packets = orders(MESSAGES)
    size = packets.shape[1]
    flat, requests = packets.reshape(-1), np.zeros(REQUESTS, OUCH_REQUEST_DTYPE)
    data = flat.tobytes()
    places = range(HEADER_SIZE, len(data), size)
    assert ENTER.size == ENTER_ORDER.size
    assert _decode_all(flat, size, requests) == MESSAGES
    assert (
        ENTER.unpack_from(data, places[-1])[5] == requests[(MESSAGES - 1) & (REQUESTS - 1)]["price"]
    )
    _measure(
        benchmark,
        lambda: _decode_all(flat, size, requests),
        lambda: [ENTER.unpack_from(data, place) for place in places],
    )


def _accepted_events() -> np.ndarray:
    events = np.zeros(MESSAGES, EVENT_DTYPE)
    events["kind"] = EventKind.ACCEPTED
    events["time_ns"] = NS
    events["side"], events["time_in_force"], events["display"] = ord("B"), ord("0"), ord("Y")
    events["capacity"] = ord("P")
    events["price"], events["quantity"] = 100, 100
    events["user_ref"] = np.arange(MESSAGES)
    return events


def test_ouch_encode(benchmark: Any) -> None:
    """Order Accepted, from an event of the ring."""
    events, tags = _accepted_events(), np.zeros(1, ORDER_TAGS.dtype)
    rows = instrument_rows([Instrument(symbol="AAPL", tick=Decimal("0.01"))])
    size = HEADER_SIZE + ORDER_ACCEPTED.size
    buffer, bare = np.zeros((MESSAGES + 4) * size, np.uint8), bytearray(MESSAGES * size)
    own = bytes(14)

    def pack() -> None:
        for number in range(MESSAGES):
            ACCEPTED.pack_into(
                *(bare, number * size, size - 2, b"S", b"A", NS, number, b"B", 100, SYMBOL),
                *(10_000, b"0", b"Y", ENGINE << 48 | number, b"P", b"N", b"N", b"L", own, 0),
            )

    assert _encode_all(events, tags, rows, buffer) == MESSAGES * size == len(bare)
    pack()
    assert buffer[: len(bare)].tobytes() == bytes(bare)
    _measure(benchmark, lambda: _encode_all(events, tags, rows, buffer), pack)


def test_itch_encode(benchmark: Any) -> None:
    """Add Order."""
    size = HEADER_SIZE + ADD_ORDER.size
    buffer, bare = np.zeros(MESSAGES * size, np.uint8), bytearray(MESSAGES * size)
    symbol = int.from_bytes(SYMBOL, "little", signed=True)

    def pack() -> None:
        for number in range(MESSAGES):
            ADD.pack_into(
                *(bare, number * size, size - 2, b"S", b"A", 1, 0, NS >> 32, NS & 0xFFFFFFFF),
                *(number, b"B", 100, SYMBOL, 1_000_000),
            )

    assert _add_all(MESSAGES, symbol, buffer) == len(bare)
    pack()
    assert buffer.tobytes() == bytes(bare)
    _measure(benchmark, lambda: _add_all(MESSAGES, symbol, buffer), pack)
