"""Shell: the sockets of the feeds A and B, and where a gateway begins to send."""

from __future__ import annotations

import socket

import numpy as np

from gateways.itch.feed_log import BASE, COUNT
from gateways.itch.mold_packets import PACKET_SIZE_MAX
from gateways.itch.multicast import (
    FD,
    FEED_COUNT,
    FEED_WORDS,
    NEXT,
    PLACE,
    STREAM,
    Multicast,
    stream_key,
)
from gateways.itch.state import FeedPump
from ringbuf.layout import PROCESS_COUNTER
from shm_exchange.addresses import split_address
from shm_exchange.config import Gateway
from shm_exchange.wiring import COUNTER_MULTICAST_NEXT, COUNTER_MULTICAST_STREAM

# A gateway that does not know how far the one before it was sends so many messages again: whoever
# listens from the start of an exchange hears everything.
BACKLOG = 4_096
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


def open_multicast(gateway: Gateway) -> Multicast:
    """Both feeds as configured, nothing sent yet."""
    words = np.zeros(FEED_COUNT * FEED_WORDS, np.int64)
    for feed, group in enumerate((gateway.multicast_a, gateway.multicast_b)):
        words[feed * FEED_WORDS + FD] = -1 if group is None else open_feed(gateway, group)
    return Multicast(words, np.zeros(PACKET_SIZE_MAX, np.uint8))


def closed_multicast() -> Multicast:
    """No feed."""
    words = np.zeros(FEED_COUNT * FEED_WORDS, np.int64)
    words[FD::FEED_WORDS] = -1
    return Multicast(words, np.zeros(PACKET_SIZE_MAX, np.uint8))


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
