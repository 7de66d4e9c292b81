"""Shell: the sockets of the feeds A and B, where a gateway begins to send and how it stops."""

from __future__ import annotations

import socket
import time

import numpy as np

from gateways.itch.feed_log import BASE, COUNT
from gateways.itch.mold_packets import PACKET_SIZE_MAX
from gateways.itch.multicast import (
    ENDED_LEFT,
    ENDED_WORDS,
    FD,
    FEED_COUNT,
    FEED_WORDS,
    NEXT,
    PLACE,
    STREAM,
    Multicast,
    stream_key,
)
from gateways.itch.multicast_end import say_end
from gateways.itch.state import FeedPump
from ringbuf.layout import PROCESS_COUNTER
from shm_exchange.addresses import split_address
from shm_exchange.config import Gateway
from shm_exchange.wiring import COUNTER_MULTICAST_NEXT, COUNTER_MULTICAST_STREAM

# A gateway that does not know how far the one before it was sends so many messages again: whoever
# listens from the start of an exchange hears everything.
BACKLOG = 4_096
STOP_REPEATS = 2  # of the end of session, when the exchange stops
STOP_PAUSE_SECONDS = 0.05  # before each: what loses one packet loses those close to it
_SEND_BUFFER_SIZE = 1 << 22


def open_feed(gateway: Gateway, group: str) -> int:
    """The descriptor of a socket whose packets go to `group`. Raises OSError."""
    feed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        feed.setblocking(False)
        feed.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_SIZE)
        feed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, gateway.multicast_ttl)
        feed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        own = socket.inet_aton(gateway.multicast_interface)
        feed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        feed.connect(split_address(group))
    except OSError as error:
        feed.close()
        raise OSError(error.errno, f"{group}: {error.strerror}; choose another group") from error
    return feed.detach()


def _multicast_of(words: np.ndarray) -> Multicast:
    """No session has ended yet."""
    return Multicast(words, np.zeros(ENDED_WORDS, np.int64), np.zeros(PACKET_SIZE_MAX, np.uint8))


def open_multicast(gateway: Gateway) -> Multicast:
    """Both feeds as configured, nothing sent yet."""
    words = np.zeros(FEED_COUNT * FEED_WORDS, np.int64)
    for feed, group in enumerate((gateway.multicast_a, gateway.multicast_b)):
        words[feed * FEED_WORDS + FD] = -1 if group is None else open_feed(gateway, group)
    return _multicast_of(words)


def closed_multicast() -> Multicast:
    """No feed."""
    words = np.zeros(FEED_COUNT * FEED_WORDS, np.int64)
    words[FD::FEED_WORDS] = -1
    return _multicast_of(words)


def begin_feeds(pump: FeedPump, line: np.ndarray) -> None:
    """Go on where the gateway before was. The log has what was said so far; line: its PROCESS."""
    scalars = pump.market.scalars[0]
    stream_0, stream_1 = int(scalars["stream_0"]), int(scalars["stream_1"])
    stream = int(stream_key(stream_0, stream_1)) if stream_0 else 0
    count, base = int(pump.log.words[COUNT]), int(pump.log.words[BASE])
    first = count + 1 - BACKLOG
    if stream and line[PROCESS_COUNTER + COUNTER_MULTICAST_STREAM] == stream:
        first = int(line[PROCESS_COUNTER + COUNTER_MULTICAST_NEXT])
    words = pump.multicast.words
    words[NEXT::FEED_WORDS] = max(base + 1, min(first, count + 1))
    words[PLACE::FEED_WORDS] = -1
    words[STREAM::FEED_WORDS] = stream


def end_again(multicast: Multicast) -> None:
    """The exchange stops and the end was said once: say it again, a little later."""
    if multicast.ended[ENDED_LEFT]:
        for _ in range(STOP_REPEATS):
            time.sleep(STOP_PAUSE_SECONDS)
            say_end(multicast)
