"""Packets of MoldUDP64, and two feeds of it with the sockets that they go to."""

from __future__ import annotations

import socket
import struct

import numpy as np

from gateways.itch.ended_feed import EndedFeed
from gateways.itch.feed_log import SIZE
from gateways.itch.mold_packets import PACKET_SIZE_MAX
from gateways.itch.multicast import (
    ENDED_WORDS,
    FD,
    FEED_WORDS,
    NEXT,
    PLACE,
    Multicast,
    tell,
)
from gateways.itch.multicast_end import end_session
from gateways.itch.requests import RequestServer
from ringbuf.layout import PROCESS_COUNTER
from shm_exchange.market import Market
from shm_exchange.wiring import COUNTER_MULTICAST_NEXT, COUNTER_MULTICAST_STREAM
from tests.gateways.feeds import Feed, messages_of

NAME = b"010abcdefg"
STREAM_0, STREAM_1 = struct.unpack("<qh", NAME)
KEY = STREAM_0 ^ STREAM_1
SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
HEADER = struct.Struct(">10sQH")


def packet_of(data: bytes) -> tuple[int, int, list[bytes]]:
    """Number, count and messages of a packet."""
    session, number, count = HEADER.unpack_from(data)
    assert session == NAME and len(data) <= PACKET_SIZE_MAX
    found, start = [], 20
    while start < len(data):
        (size,) = struct.unpack_from(">H", data, start)
        found.append(data[start + 2 : start + 2 + size])
        start += 2 + size
    assert start == len(data) and len(found) == (0 if count == 0xFFFF else count)
    return number, count, found


def name(market: Market, stream: bytes = NAME) -> None:
    """Give the stream its name."""
    scalars = market.scalars[0]
    scalars["stream_0"], scalars["stream_1"] = struct.unpack("<qh", stream)


def logged(feed: Feed) -> list[bytes]:
    """All messages of the log."""
    return messages_of(bytes(feed.log.data[: feed.log.words[SIZE]]))


def request(number: int, count: int, session: bytes = NAME) -> bytes:
    """A request packet."""
    return HEADER.pack(session, number, count)


class Pump:
    """What the server has of a pump."""

    def __init__(self, feed: Feed) -> None:
        self.market, self.log = feed.market, feed.log


def desk_of(server: socket.socket, pump: Pump, ended: EndedFeed, rate_max: int) -> RequestServer:
    """The server of a pump, and of the feed that ended before it."""
    return RequestServer(server, lambda: pump, lambda: ended, rate_max)  # type: ignore[arg-type, return-value]


def heard(client: socket.socket) -> list[bytes]:
    """Everything that has arrived."""
    found = []
    while True:
        try:
            found.append(client.recv(1 << 16))
        except BlockingIOError:
            return found


class Listener:
    """Two feeds by unicast, and the sockets that they go to."""

    def __init__(self) -> None:
        self.sockets = []
        self.senders = []
        words = np.zeros(2 * FEED_WORDS, np.int64)
        for number in range(2):
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            receiver.bind(("127.0.0.1", 0))
            receiver.setblocking(False)
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender.connect(receiver.getsockname())
            self.sockets.append(receiver)
            self.senders.append(sender)
            words[number * FEED_WORDS + FD] = sender.fileno()
            words[number * FEED_WORDS + NEXT] = 1
            words[number * FEED_WORDS + PLACE] = -1
        ended, packet = np.zeros(ENDED_WORDS, np.int64), np.zeros(PACKET_SIZE_MAX, np.uint8)
        self.multicast = Multicast(words, ended, packet)
        self.process_words = np.zeros(32, np.int64)

    def tell(self, feed: Feed, now_ns: int) -> int:
        """One pass."""
        return int(
            tell(self.multicast, feed.log, feed.market.scalars[0], self.process_words, 0, now_ns)
        )

    def end(self, feed: Feed, now_ns: int) -> None:
        """The session ends."""
        scalars = feed.market.scalars[0]
        end_session(self.multicast, feed.log, scalars, self.process_words, 0, now_ns)

    def hear(self, number: int = 0) -> list[tuple[int, int, list[bytes]]]:
        """The packets that have arrived on a feed."""
        return [packet_of(each) for each in heard(self.sockets[number])]

    def counters(self) -> tuple[int, int]:
        """What the process line says: next number, stream."""
        line = self.process_words[PROCESS_COUNTER:]
        return int(line[COUNTER_MULTICAST_NEXT]), int(line[COUNTER_MULTICAST_STREAM])

    def close(self) -> None:
        """Close everything."""
        for each in self.sockets + self.senders:
            each.close()
