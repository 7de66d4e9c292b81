"""Goal: MoldUDP64 says what SoupBinTCP says, under the same numbers, and answers what was missed.

Method: the log of a real event stream; packets written and read with `struct`; the feeds over real
UDP sockets of this host.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateways.itch.ended_feed import EndedFeed
from gateways.itch.feed_log import BASE, COUNT
from gateways.itch.mold import answer_request
from gateways.itch.mold_packets import PACKET_SIZE_MAX
from gateways.itch.multicast import FD, FEED_WORDS, NEXT, PACKETS_PER_PASS, STREAM
from gateways.itch.requests import REQUESTS_PER_LOOK, open_requests
from tests.gateways.feeds import Feed
from tests.gateways.mold_feeds import (
    KEY,
    NOW_NS,
    SECOND_NS,
    STREAM_0,
    STREAM_1,
    Listener,
    Pump,
    desk_of,
    heard,
    logged,
    name,
    packet_of,
    request,
)

EVENTS = 3000


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    """A log that nobody changes."""
    it = Feed(tmp_path_factory.mktemp("mold"))
    it.play(EVENTS)
    name(it.market)
    return it


# ---------------------------------------------------------------- requests


def answer(feed: Feed, data: bytes) -> bytes:
    """What the server would send."""
    packet = np.zeros(PACKET_SIZE_MAX, np.uint8)
    wanted = np.frombuffer(data, np.uint8)
    return bytes(packet[: answer_request(feed.log, STREAM_0, STREAM_1, wanted, packet)])


def test_any_message_can_be_had_again(feed: Feed) -> None:
    """From any number on, as many as fit, not more than wanted and not more than there are."""
    messages = logged(feed)
    last = len(messages)
    for number in (1, 2, 63, 64, 65, 66, last - 40, last - 1, last):
        for wanted in (1, 2, 30, 200, 0xFFFF):
            first, count, found = packet_of(answer(feed, request(number, wanted)))
            assert first == number and 1 <= count <= wanted
            assert found == messages[number - 1 : number - 1 + count]
            packed = 20 + sum(2 + len(each) for each in messages[number - 1 : number + count])
            assert count in (wanted, last - number + 1) or packed > PACKET_SIZE_MAX


@pytest.mark.parametrize(
    "data",
    [
        request(0, 1),
        request(1 << 63, 1),
        request(0xFFFF_FFFF_FFFF_FFFF, 1),
        request(1, 0),
        request(1, 1, b"          "),
        request(1, 1, b"010abcdefh"),
        request(1, 1, b"020abcdefg"),
    ],
)
def test_what_is_not_there_is_not_answered(feed: Feed, data: bytes) -> None:
    assert answer(feed, data) == b""


def test_what_lies_beyond_either_end_is_not_answered(feed: Feed) -> None:
    assert answer(feed, request(int(feed.log.words[COUNT]) + 1, 1)) == b""
    words = feed.log.words.copy()
    words[BASE] = 10
    assert answer_request(
        feed.log._replace(words=words),
        STREAM_0,
        STREAM_1,
        np.frombuffer(request(10, 1), np.uint8),
        np.zeros(PACKET_SIZE_MAX, np.uint8),
    ) == 0  # fmt: skip


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """A socket that does not wait."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as it:
        it.bind(("127.0.0.1", 0))
        it.setblocking(False)
        yield it


def test_requests_are_bounded(feed: Feed, client: socket.socket) -> None:
    """Per look, and per address and second; what is no request costs its reading only."""
    server = open_requests("127.0.0.1", 0)
    try:
        desk = desk_of(server, Pump(feed), EndedFeed(), 50)
        for data in (b"", b"x", request(1, 1) + b"x", request(1, 1)[:19], b"\0" * 65_000):
            client.sendto(data, server.getsockname())
        client.sendto(request(1, 3), server.getsockname())
        desk.look(7)
        (found,) = heard(client)
        assert packet_of(found)[2] == logged(feed)[:3]
        for _ in range(70):
            client.sendto(request(1, 1), server.getsockname())
        desk.look(7)
        assert len(heard(client)) == REQUESTS_PER_LOOK - 1
        desk.look(7)
        desk.look(7)
        assert len(heard(client)) == 50 - 1 - (REQUESTS_PER_LOOK - 1)
        client.sendto(request(1, 1), server.getsockname())
        desk.look(8)
        assert len(heard(client)) == 1
    finally:
        server.close()


# ---------------------------------------------------------------- feeds


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Both feeds, nothing sent."""
    it = Listener()
    yield it
    it.close()


def test_both_feeds_say_everything(feed: Feed, listener: Listener) -> None:
    """In bounded passes, each number once, the same packets on both."""
    passes = []
    while sent := listener.tell(feed, NOW_NS):
        passes.append(sent)
    assert max(passes) == 2 * PACKETS_PER_PASS and len(passes) > 1
    packets = listener.hear(0)
    assert packets == listener.hear(1)
    messages = logged(feed)
    assert [each for _, _, found in packets for each in found] == messages
    number = 1
    for first, count, _ in packets:
        assert first == number
        number += count
    assert listener.counters() == (len(messages) + 1, KEY)


def test_silence_is_told(tmp_path: Path, listener: Listener) -> None:
    """A heartbeat a second, with the next number; what comes in between is no silence."""
    feed = Feed(tmp_path)
    name(feed.market)
    assert listener.tell(feed, NOW_NS) == 2
    assert listener.hear() == [(1, 0, [])]
    assert listener.tell(feed, NOW_NS + SECOND_NS - 1) == 0
    feed.play(60)
    count = int(feed.log.words[COUNT])
    assert listener.tell(feed, NOW_NS + SECOND_NS - 1) > 0
    assert sum(each[1] for each in listener.hear()) == count
    assert listener.tell(feed, NOW_NS + 2 * SECOND_NS - 2) == 0
    assert listener.tell(feed, NOW_NS + 2 * SECOND_NS - 1) == 2
    assert listener.hear() == [(count + 1, 0, [])]


def test_a_full_socket_is_tried_again(feed: Feed, listener: Listener) -> None:
    """Nothing is left out, and the other feed does not wait. (A closed one takes everything.)"""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        words = listener.multicast.words
        words[FD] = left.fileno()
        now_ns, packets = NOW_NS, []
        for _ in range(10_000):
            now_ns += 2_000_000
            listener.tell(feed, now_ns)
            right.setblocking(False)
            while True:
                try:
                    packets.append(packet_of(right.recv(1 << 16)))
                except BlockingIOError:
                    break
            if words[NEXT] == feed.log.words[COUNT] + 1:
                break
        assert [each for _, _, found in packets for each in found] == logged(feed)
        assert [each for _, _, found in listener.hear(1) for each in found] == logged(feed)


def test_nobody_listens(feed: Feed, listener: Listener) -> None:
    """Unicast to a port that nobody has: told for nothing, to the end."""
    for each in listener.sockets:
        each.close()
    while listener.tell(feed, NOW_NS):
        pass
    assert listener.counters()[0] == int(feed.log.words[COUNT]) + 1


def test_one_feed_alone(feed: Feed, listener: Listener) -> None:
    for number in range(2):
        other = Listener()
        other.multicast.words[number * FEED_WORDS + FD] = -1
        while other.tell(feed, NOW_NS):
            pass
        assert other.hear(number) == []
        assert sum(each[1] for each in other.hear(1 - number)) == len(logged(feed))
        assert other.counters()[0] == len(logged(feed)) + 1
        other.close()


def test_another_stream_begins_at_one(feed: Feed, listener: Listener) -> None:
    """But a gateway that goes on with the stream of the one before goes on in it."""
    for number in range(2):
        listener.multicast.words[number * FEED_WORDS + NEXT] = 900
        listener.multicast.words[number * FEED_WORDS + STREAM] = KEY
    listener.tell(feed, NOW_NS)
    assert listener.hear()[0][0] == 900
    for number in range(2):
        listener.multicast.words[number * FEED_WORDS + STREAM] = STREAM_0 ^ int.from_bytes(
            b"gh", "little"
        )  # one second later
    listener.tell(feed, NOW_NS)
    assert listener.hear()[0][0] == 1


def test_nothing_is_said_before_the_stream_has_a_name(tmp_path: Path, listener: Listener) -> None:
    assert listener.tell(Feed(tmp_path), NOW_NS) == 0
