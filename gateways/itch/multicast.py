"""Pump: the feeds A and B of a market-data gateway, MoldUDP64 packets from its log.

Each feed goes on by itself: one whose socket is full is tried again later, and nothing is left out.
How far both are stands in the process line, so that the gateway that comes next under this number
goes on from there; what was sent already and is sent again has the same number and the same bytes.
"""

from typing import NamedTuple

import numpy as np

from gateways.itch.feed_log import BASE, COUNT, seek
from gateways.itch.mold import MOLD_HEADER_SIZE, write_blocks, write_mold_header
from gateways.itch.mold_packets import HEARTBEAT_COUNT
from gateways.packets import HEADER_SIZE, HEARTBEAT_INTERVAL_NS, LENGTH_SIZE
from ringbuf.atomics import store_relaxed
from ringbuf.bits import address
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import PROCESS_COUNTER
from ringbuf.state import State
from ringbuf.syscalls import EAGAIN, EINTR, MSG_DONTWAIT, MSG_NOSIGNAL, last_error, send
from shm_exchange.wiring import COUNTER_MULTICAST_NEXT, COUNTER_MULTICAST_STREAM

FEED_COUNT = 2  # A and B
PACKETS_PER_PASS = 32  # that one pass sends on one feed
RETRY_NS = 1_000_000  # a socket that was full is left alone for so long
WORDS_PER_LINE = 32

# Subscripts of Multicast.words, per feed: descriptor or -1, number of the next message (0: nothing
# is to be sent yet), where that begins in the log or -1, when something was sent, when to try
# again, `stream_key` of the stream.
FD, NEXT, PLACE, SENT_NS, RETRY_AT_NS, STREAM = range(6)
FEED_WORDS = 8
# Subscripts of Multicast.ended: id and next number of the session that ended last, how often that
# is to be said again, and when next.
ENDED_STREAM_0, ENDED_STREAM_1, ENDED_NEXT, ENDED_LEFT, ENDED_DUE_NS = range(5)
ENDED_WORDS = 8


@State.register
class Multicast(NamedTuple):
    """Private to the pump of one engine."""

    words: np.ndarray  # int64[2 * 8]
    ended: np.ndarray  # int64[8]
    packet: np.ndarray  # uint8[PACKET_SIZE_MAX]


@kernel
def stream_key(stream_0, stream_1):
    """One word for the ten characters of a stream's id, other for every stream of an engine.

    (The last two characters are laid over the first two, which are the engine's number.)
    """
    return stream_0 ^ (stream_1 & 0xFFFF)


@cold_kernel
def lose_place(multicast):
    """The log is another one: where a number is in it has to be looked up."""
    for feed in range(FEED_COUNT):
        multicast.words[feed * FEED_WORDS + PLACE] = -1


@kernel
def _write_header(multicast, scalars, number, count):
    stream_0, stream_1 = np.int64(scalars["stream_0"]), np.int64(scalars["stream_1"])
    write_mold_header(multicast.packet, stream_0, stream_1, number, count)


@kernel
def send_packet(fd, multicast, size):
    """Send the packet: 1, or 0 when the socket has no room now.

    An error tells of an earlier packet (nobody listened at a unicast address): once more, then.
    """
    for _ in range(2):
        if send(fd, address(multicast.packet, 0), size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0:
            return 1
        error = last_error()
        if error == EAGAIN or error == EINTR:
            return 0
    return 1


@cold_kernel
def _begin_stream(multicast, base, stream):
    """Another stream: number 1 comes next. At the very start the number is known already."""
    if multicast.words[base + STREAM] != 0:
        multicast.words[base + NEXT] = 1
    multicast.words[base + STREAM] = stream
    multicast.words[base + PLACE] = -1


@kernel
def _find_place(multicast, log, base):
    words = multicast.words
    words[base + NEXT] = max(words[base + NEXT], log.words[BASE] + 1)
    words[base + PLACE] = seek(log, words[base + NEXT])


@kernel
def _tell_feed(multicast, base, log, scalars, now_ns):
    """Send a bounded number of packets on one feed: how many."""
    words = multicast.words
    sent = 0
    while sent < PACKETS_PER_PASS:
        if words[base + PLACE] < 0:
            _find_place(multicast, log, base)
        number = words[base + NEXT]
        left = log.words[COUNT] - number + 1
        count, size = write_blocks(log, words[base + PLACE], left, multicast.packet)
        if count == 0 and now_ns - words[base + SENT_NS] < HEARTBEAT_INTERVAL_NS:
            break
        _write_header(multicast, scalars, number, count)
        if not send_packet(words[base + FD], multicast, size):
            words[base + RETRY_AT_NS] = now_ns + RETRY_NS
            break
        blocks = size - MOLD_HEADER_SIZE
        words[base + NEXT] = number + count
        words[base + PLACE] += blocks + count * (HEADER_SIZE - LENGTH_SIZE)
        words[base + SENT_NS] = now_ns
        sent += 1
        if count == HEARTBEAT_COUNT:
            break
    return sent


@kernel
def tell(multicast, log, scalars, process_words, process, now_ns):
    """Send what the log has on both feeds, within bounds, or heartbeats: packets sent."""
    words = multicast.words
    if scalars["stream_0"] == 0:
        return 0
    stream = stream_key(np.int64(scalars["stream_0"]), np.int64(scalars["stream_1"]))
    sent = 0
    for feed in range(FEED_COUNT):
        base = feed * FEED_WORDS
        if words[base + FD] < 0 or words[base + NEXT] == 0 or words[base + RETRY_AT_NS] > now_ns:
            continue
        if words[base + STREAM] != stream:
            _begin_stream(multicast, base, stream)
        sent += _tell_feed(multicast, base, log, scalars, now_ns)
    if sent:
        line = process * WORDS_PER_LINE + PROCESS_COUNTER
        other = FEED_WORDS if words[FEED_WORDS + FD] >= 0 else 0
        least = min(words[NEXT] if words[FD] >= 0 else words[other + NEXT], words[other + NEXT])
        store_relaxed(process_words, line + COUNTER_MULTICAST_STREAM, stream)
        store_relaxed(process_words, line + COUNTER_MULTICAST_NEXT, least)
    return sent
