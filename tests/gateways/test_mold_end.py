"""Goal: who lost the end of a MoldUDP64 session hears of it for a while, and can have the rest.

Method: the log of a real event stream, and an empty one of the session that follows; real UDP
sockets, and a clock of the test's own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.itch.ended_feed import EndedFeed
from gateways.itch.feed_log import COUNT
from gateways.itch.mold_packets import END_SECONDS
from gateways.itch.multicast import RETRY_AT_NS
from gateways.itch.multicast_end import repeat_end
from gateways.itch.requests import open_requests
from tests.gateways.feeds import Feed
from tests.gateways.mold_feeds import (
    HEADER,
    NAME,
    NOW_NS,
    SECOND_NS,
    Listener,
    Pump,
    desk_of,
    heard,
    logged,
    name,
    request,
)

NEXT_NAME = b"010abcdefh"
EVENTS = 1000


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    """The feed that ends."""
    it = Feed(tmp_path_factory.mktemp("mold-end"))
    it.play(EVENTS)
    name(it.market)
    return it


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Both feeds, nothing sent."""
    it = Listener()
    yield it
    it.close()


def test_the_session_ends(feed: Feed, listener: Listener) -> None:
    """What is left, then a packet that says so, with the next number."""
    listener.end(feed, NOW_NS)
    packets = listener.hear()
    ends = [each for each in packets if each[1] == 0xFFFF]
    assert ends == packets[-1:] == [(len(logged(feed)) + 1, 0xFFFF, [])]
    assert sum(each[1] for each in packets[:-1]) == len(logged(feed))


def test_the_end_is_said_for_a_while(feed: Feed, listener: Listener, tmp_path: Path) -> None:
    """In the place of heartbeats, on both feeds; the session that follows has its own."""
    listener.end(feed, NOW_NS)
    end = HEADER.pack(NAME, len(logged(feed)) + 1, 0xFFFF)
    assert [heard(each)[-1] for each in listener.sockets] == [end, end]
    following = Feed(tmp_path)
    name(following.market, NEXT_NAME)
    silence = HEADER.pack(NEXT_NAME, 1, 0)
    for second in range(1, END_SECONDS + 3):
        now_ns = NOW_NS + second * SECOND_NS
        said = [silence, end] if second <= END_SECONDS else [silence]
        for _ in range(2):
            listener.tell(following, now_ns)
            repeat_end(listener.multicast, now_ns)
            assert [heard(each) for each in listener.sockets] == [said, said]
            now_ns, said = now_ns + SECOND_NS - 1, []


def test_the_end_is_behind_what_could_not_be_sent(feed: Feed, listener: Listener) -> None:
    """A full socket takes nothing of it; who hears the end knows what to ask for."""
    listener.multicast.words[RETRY_AT_NS] = NOW_NS + SECOND_NS
    listener.end(feed, NOW_NS)
    assert listener.hear(0) == [(len(logged(feed)) + 1, 0xFFFF, [])] == listener.hear(1)[-1:]


def test_a_second_end_takes_the_place_of_the_first(
    feed: Feed, listener: Listener, tmp_path: Path
) -> None:
    """And a session without a name has no end."""
    listener.end(feed, NOW_NS)
    following = Feed(tmp_path)
    listener.end(following, NOW_NS + SECOND_NS)
    name(following.market, NEXT_NAME)
    heard(listener.sockets[0])
    repeat_end(listener.multicast, NOW_NS + SECOND_NS)
    assert listener.hear() == [(len(logged(feed)) + 1, 0xFFFF, [])]
    listener.end(following, NOW_NS + 2 * SECOND_NS)
    repeat_end(listener.multicast, NOW_NS + 3 * SECOND_NS)
    assert heard(listener.sockets[0])[-2:] == 2 * [HEADER.pack(NEXT_NAME, 1, 0xFFFF)]


def test_a_feed_that_ended_can_be_asked_for(feed: Feed, tmp_path: Path) -> None:
    """Until it is forgotten, beside the one that follows it, and each by its own name only."""
    following = Feed(tmp_path)
    following.play(60)
    name(following.market, NEXT_NAME)
    ended = EndedFeed(NAME, feed.log)
    last = int(feed.log.words[COUNT])
    server = open_requests("127.0.0.1", 0)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setblocking(False)
    with server, client:
        desk = desk_of(server, Pump(following), ended, 50)

        def told(number: int, session: bytes) -> list[bytes]:
            client.sendto(request(number, 1, session), server.getsockname())
            desk.look(1)
            return [each[22:] for each in heard(client) if each[:10] == session]

        assert told(last, NAME) == logged(feed)[-1:]
        assert told(1, NEXT_NAME) == logged(following)[:1]
        assert told(last + 1, NAME) == told(last, NEXT_NAME) == []
        ended.forget()
        assert told(last, NAME) == told(1, NAME) == []
        assert told(1, NEXT_NAME) == logged(following)[:1]
