"""The reader of MoldUDP64 requests, against requests that lie; its log and packet are guarded."""

from __future__ import annotations

import struct

import numpy as np

from gateways.itch.feed_log import COUNT, LIMIT, SIZE, STRIDE_BITS, WORD_COUNT, FeedLog
from gateways.itch.mold import MOLD_HEADER_SIZE, answer_request
from gateways.itch.mold_packets import PACKET_SIZE_MAX
from ringbuf.bits import at, store_big_2, store_big_8, store_raw_2, store_raw_8
from ringbuf.jit import cold_kernel
from tests.fuzz.guarded import guarded
from tests.fuzz.inputs import Inputs, draw

MESSAGES = 300
STREAM_0 = int.from_bytes(b"01FUZZ00", "little")
STREAM_1 = int.from_bytes(b"00", "little")
ASKED, ANSWERED, WRONG = range(3)


def create_log() -> FeedLog:
    """A feed of messages of every length from 12 to 50, that ends where its memory ends."""
    data, offsets = b"", []
    for number in range(MESSAGES):
        if number % (1 << STRIDE_BITS) == 0:
            offsets.append(len(data))
        size = 12 + number % 39
        data += struct.pack(">HcI", size + 1, b"S", number) + bytes(size - 4)
    words = np.zeros(WORD_COUNT, np.int64)
    words[SIZE] = words[LIMIT] = len(data)
    words[COUNT] = MESSAGES
    return FeedLog(
        data=guarded(np.frombuffer(data, np.uint8)),
        offsets=guarded(np.array(offsets, np.int64)),
        words=guarded(words),
    )


@cold_kernel
def ask(log, inputs, request, packet, counts, count):
    """Ask `count` times; counts: asked, answered, and answers that cannot be right."""
    for _ in range(count):
        store_raw_8(request, 0, STREAM_0)
        store_raw_2(request, 8, STREAM_1)
        sequence = draw(inputs, MESSAGES + 20)
        if draw(inputs, 4) == 0:
            sequence = np.int64(inputs.edges[at(draw(inputs, len(inputs.edges)))])
        wanted = draw(inputs, 0x10000) if draw(inputs, 2) else draw(inputs, 40)
        store_big_8(request, 10, sequence)
        store_big_2(request, 18, wanted)
        if draw(inputs, 8) == 0:
            request[at(draw(inputs, 20))] = draw(inputs, 256)
        size = answer_request(log, STREAM_0, STREAM_1, request, packet)
        counts[ASKED] += 1
        counts[ANSWERED] += 1 if size else 0
        if size and (size <= MOLD_HEADER_SIZE or size > PACKET_SIZE_MAX):
            counts[WRONG] += 1


def run(inputs: Inputs, count: int) -> dict[str, int]:
    """Requests without end, but for `count`."""
    counts = np.zeros(3, np.int64)
    request = guarded(np.zeros(MOLD_HEADER_SIZE, np.uint8))
    packet = guarded(np.zeros(PACKET_SIZE_MAX, np.uint8))
    ask(create_log(), inputs, request, packet, counts, count)
    return dict(zip(("requests", "answers", "wrong"), counts.tolist(), strict=True))
