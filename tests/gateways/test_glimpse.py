"""Goal: a snapshot and the feed from its number on are the whole feed, wherever it was taken.

Method: a real event stream; snapshots at many of its positions, read by `itchfeed`; what a client
may say after its snapshot, byte by byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from pathlib import Path

import pytest

from gateways.itch.feed_log import COUNT, SIZE
from gateways.itch.follower import take_snapshot
from gateways.itch.glimpse import HEARTBEAT, say_goodbye, says_goodbye
from gateways.itch.snapshot import can_be_told
from shm_exchange.market import STAGE_MARKET, STAGE_SYSTEM
from tests.gateways.feeds import Book, Feed, events, messages_of, queues, read

SNAPSHOTS = 40


def test_a_snapshot_and_the_rest_are_the_whole(tmp_path: Path) -> None:
    """Orders, shares and priorities."""
    feed = Feed(tmp_path)
    taken = []
    for number in range(SNAPSHOTS + 1):
        feed.play(len(events()) * number // SNAPSHOTS)
        taken.append((int(feed.log.words[COUNT]), take_snapshot(feed.market)))
    messages = messages_of(bytes(feed.log.data[: feed.log.words[SIZE]]))
    whole = read({}, messages)
    assert len(messages) == feed.log.words[COUNT] and len(whole) > 20
    prefix: Book = {}
    told = 0
    for count, snapshot in taken:
        *told_here, last = messages_of(bytes(snapshot.data))
        assert (snapshot.messages, last) == (count, b"G%20d" % (count + 1))
        read(prefix, messages[told:count])
        told = count
        book = read({}, told_here)
        assert queues(book) == queues(prefix)
        assert queues(read(book, messages[count:])) == queues(whole)


def test_a_snapshot_begins_like_the_feed(tmp_path: Path) -> None:
    """System events, directory, states; then orders only; the end is the end."""
    feed = Feed(tmp_path)
    feed.play(len(events()) // 2)
    feed.market.instruments[0]["state"] = ord("Q")
    feed.market.scalars[0]["sessions_known"] = len(feed.market.sessions)
    told = messages_of(bytes(take_snapshot(feed.market).data))
    letters = b"".join(each[:1] for each in told)
    assert letters == b"SRHLSS" + b"A" * (len(told) - 7) + b"G"
    assert [told[place][11:12] for place in (0, 4, 5)] == [b"O", b"S", b"Q"]
    assert told[2][19:20] == b"Q"
    locates = {int.from_bytes(each[1:3], "big") for each in told[6:-1]}
    assert locates == {1} == {int.from_bytes(told[place][1:3], "big") for place in (1, 2, 3)}
    assert told[3][11:15] == b"ACME"


def test_what_is_not_displayed_is_not_told(tmp_path: Path) -> None:
    """A reserve that waits for its refreshment, and an attributed order."""
    feed = Feed(tmp_path)
    feed.play(len(events()) // 2)
    before = messages_of(bytes(take_snapshot(feed.market).data))
    slot = int(feed.market.levels[int(feed.market.sides[0]["best_level"])]["first"])
    feed.market.orders[slot]["display"] = ord("A")
    attributed = messages_of(bytes(take_snapshot(feed.market).data))
    assert attributed[5] == b"F" + before[5][1:] + b"ACME"
    feed.market.orders[slot]["displayed"] = 0
    assert messages_of(bytes(take_snapshot(feed.market).data)) == [
        *before[:5],
        *before[6:],
    ]


def test_a_feed_that_has_not_begun_cannot_be_told(tmp_path: Path) -> None:
    """While orders are carried into a new stream, it has not said them all."""
    market = Feed(tmp_path).market
    for stage in (STAGE_SYSTEM, STAGE_MARKET):
        market.scalars[0]["stage"] = stage
        assert can_be_told(market) == (stage == STAGE_MARKET)


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        (b"", False),
        (b"\0", False),
        (b"\0\1R", False),
        (b"\0\1R\0\3+hi\0", False),
        (b"\0\1O", True),
        (b"\0\1R\0\1O", True),
        (b"\0\5U", True),
        (b"\0\0R", True),
        (b"\xff\xff+", True),
        (b"\4\0+", False),
    ],
)
def test_who_says_anything_else_than_being_there_leaves(said: bytes, leaves: bool) -> None:
    """Whole, and one byte after the other."""
    assert says_goodbye(bytearray(said)) == leaves
    data = bytearray()
    assert leaves == any([says_goodbye(data) for byte in said if data.append(byte) is None])


def test_who_talks_without_end_hears_that_we_are_here() -> None:
    """Every second, as if it were silent; and who comes meanwhile has his turn."""

    async def talk(client: socket.socket) -> bytes:
        """As much as goes in, until two heartbeats are heard; then goodbye."""
        heard, waiting = b"", b""
        while len(heard) < 2 * len(HEARTBEAT):
            waiting = waiting or 1000 * b"\0\1R"
            with contextlib.suppress(BlockingIOError):
                waiting = waiting[client.send(waiting) :]
            with contextlib.suppress(BlockingIOError):
                heard += client.recv(100)
            await asyncio.sleep(0)
        await asyncio.get_running_loop().sock_sendall(client, waiting + b"\0\1O")
        return heard

    async def scenario() -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        for each in itertools.chain(*pairs):
            each.setblocking(False)
        (ours, talks), (others, leaves) = pairs
        with ours, talks, others, leaves:
            serving = asyncio.create_task(say_goodbye(ours))
            talking = asyncio.create_task(talk(talks))
            leaves.send(b"\0\1O")
            await say_goodbye(others)
            assert not serving.done()
            assert await talking == 2 * HEARTBEAT
            await serving

    asyncio.run(asyncio.wait_for(scenario(), 60))
