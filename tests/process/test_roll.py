"""Goal: the day rolls while everybody is connected: what is for the day ends, what is not lives on.

Method: a whole exchange, clients of raw bytes on both protocols, and `shmx roll` as an operator
calls it. The new streams are compared with what the old ones said.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateways.glimpse_client import take_snapshot
from gateways.itch.mold_packets import END_SECONDS
from gateways.ouch.tags import Tag
from shm_exchange.day_roll import roll
from tests.gateways.ouch_cases import cancel, enter, replace, value
from tests.process.conftest import ROOT, Exchange
from tests.process.trading import (
    MARKET,
    PASSWORD,
    PATIENCE_SECONDS,
    RawClient,
    barrier,
    listen_to,
    login,
    ports,
    running,
)

GTC = value(Tag.GOOD_TILL_CANCELLED, b"G")
HEADER = struct.Struct(">10sQH")  # MoldUDP64: session, number, count
END_OF_SESSION = 0xFFFF
CAUSE_ROLL = value(Tag.CAUSE, b"\x08")


@pytest.fixture(scope="module")
def feed_a() -> Iterator[socket.socket]:
    """Where the exchange sends its feed A to."""
    with listen_to("239.83.77.90") as feed:
        yield feed


@pytest.fixture(scope="module")
def feed_b() -> Iterator[socket.socket]:
    """And its feed B."""
    with listen_to("239.83.77.91") as feed:
        yield feed


@pytest.fixture(scope="module")
def market(
    tmp_path_factory: pytest.TempPathFactory, feed_a: socket.socket, feed_b: socket.socket
) -> Iterator[Exchange]:
    """The exchange of this file."""
    feeds = 'glimpse_address = "127.0.0.1:0"\nrequest_address = "127.0.0.1:0"\n'
    for letter, feed in (("a", feed_a), ("b", feed_b)):
        host, port = feed.getsockname()
        feeds += f'multicast_{letter} = "{host}:{port}"\n'
    with running(tmp_path_factory.mktemp("roll"), MARKET + feeds) as it:
        yield it


def order(
    user_ref: int, symbol: bytes, side: bytes = b"B", quantity: int = 10, tags: bytes = b""
) -> bytes:
    """`O` at 10.00."""
    padded = symbol.ljust(8)
    terms = {"symbol": padded, "side": side, "price": 100_000, "quantity": quantity}
    return enter(tags, user_ref=user_ref, **terms)


def feed_of(it: Exchange, username: str = "S30") -> RawClient:
    """A client of the feed from its first message on."""
    return RawClient(ports(it, "market_data")[0]).log_in(username)


def read_day(client: RawClient) -> list[bytes]:
    """Every message up to `Z`, after which the server has nothing more to say."""
    packets = [each for each in client.wait_closed() if each[:1] in b"SZ"]
    assert packets[-1] == b"Z" and {each[:1] for each in packets[:-1]} == {b"S"}
    return [each[1:] for each in packets[:-1]]


def live_in(messages: list[bytes]) -> dict[int, int]:
    """Lots by order reference, as the feed's own messages leave them."""
    live: dict[int, int] = {}
    for each in messages:
        reference = int.from_bytes(each[11:19], "big")
        if each[:1] in (b"A", b"F"):
            live[reference] = int.from_bytes(each[20:24], "big")
        elif each[:1] in (b"E", b"C", b"X"):
            live[reference] -= int.from_bytes(each[19:23], "big")
        elif each[:1] == b"D":
            del live[reference]
    return {reference: lots for reference, lots in live.items() if lots}


def test_orders_and_streams(market: Exchange) -> None:
    """Day orders end, with the cause; a GTC order is what the new streams begin with."""
    with (
        RawClient(ports(market)[0]) as maker,
        RawClient(ports(market)[1]) as taker,
        feed_of(market) as feed,
    ):
        old = maker.log_in("S01").session
        taker.log_in("S02", sequence=0)
        maker.say(order(1, b"A01"))
        maker.say(order(2, b"A01", tags=GTC))
        maker.say(order(3, b"A02", tags=GTC))
        opened = barrier(maker)
        taker.say(order(1, b"A01", b"S", 14))
        assert [each[:1] for each in barrier(taker)] == [b"A", b"E", b"E"]
        accepted = [each for each in opened if each[:1] == b"A"]
        references = {struct.unpack_from(">I", each, 9)[0]: each[36:44] for each in accepted}
        assert [each[:1] for each in barrier(maker)] == [b"E", b"E"]
        maker.say(order(4, b"A03"))
        maker.say(order(5, b"A03", tags=GTC))
        maker.say(cancel(5))
        barrier(maker)
        result = roll(market.name, None)
        last = read_day(maker)
        assert [each[:1] for each in last] == [b"C", b"S"]
        assert struct.unpack_from(">II", last[0], 9) == (4, 10)
        assert last[0][17:18] == b"E" and CAUSE_ROLL in last[0]
        assert last[1][9:10] == b"E"
        assert [each[:1] for each in read_day(taker)] == [b"S"]
        day = read_day(feed)
    assert [each[11:12] for each in day[-3:]] == [b"M", b"E", b"C"]
    kept = {int.from_bytes(references[number], "big"): lots for number, lots in ((2, 6), (3, 10))}
    assert live_in(day) == kept
    (engine,) = result["engines"]
    with RawClient(ports(market)[0]) as client:
        client.send(login("S01", session=old))
        assert client.packet() == b"JS"
    with RawClient(ports(market)[1]) as maker, feed_of(market) as feed:
        maker.log_in("S01")
        assert maker.session == engine["stream"] != old
        begin, *told = maker.messages(3)
        assert begin[:1] == b"S" and begin[9:10] == b"S"
        assert [struct.unpack_from(">I", each, 9)[0] for each in told] == [2, 3]
        assert [struct.unpack_from(">I", each, 14)[0] for each in told] == [6, 10]
        assert [each[36:44] for each in told] == [references[2], references[3]]
        # UserRefNums go on; what lives on trades as ever.
        maker.say(order(5, b"A01"))
        maker.say(order(6, b"A04"))
        maker.say(cancel(3))
        accepted, cancelled = barrier(maker)
        assert (accepted[:1], cancelled[:1]) == (b"A", b"C")
        assert struct.unpack_from(">I", accepted, 9)[0] == 6
        assert feed.session == maker.session
        begun = feed.messages(1)
        while begun[-1][:1] != b"D":
            begun += feed.messages(1)
    assert begun[0][:1] == b"S" and begun[0][11:12] == b"O"
    assert len(live_in(begun)) == 2


def test_a_total_means_the_same_behind_a_roll(market: Exchange) -> None:
    """A replace that was not acknowledged is sent again: nothing beyond its total is executed.

    So after a takeover, behind a second roll, and for a cancel; a self-match counts as well.
    """
    here, there = ports(market)
    total = {"quantity": 100, "price": 100_000, "time_in_force": b"0", "display": b"Y"}
    again = replace(GTC, original_user_ref=1, user_ref=4, sweep=b"N", **total)
    decrement = value(Tag.SELF_TRADE_MODE, b"D")
    with RawClient(here) as maker, RawClient(there) as taker:
        maker.log_in("S08", sequence=0)
        taker.log_in("S09", sequence=0)
        maker.say(order(1, b"A08", quantity=100, tags=GTC))
        maker.say(order(2, b"A08", b"S", 15, tags=decrement))
        maker.say(order(3, b"A08", quantity=7, tags=GTC))
        barrier(maker)
        taker.say(order(1, b"A08", b"S", 25))
        barrier(taker)
        roll(market.name, None)
        read_day(maker)
    epoch = market.wait_ready()["engines"][0]["epoch"]
    os.kill(market.wait_ready()["engines"][0]["matcher_pid"], signal.SIGKILL)
    market.wait_until(lambda found: found["engines"][0]["epoch"] > epoch)
    with RawClient(there) as maker:
        maker.log_in("S08")
        first, second = maker.messages(3)[1:]
        assert struct.unpack_from(">I", first, 14)[0] == 60
        assert value(Tag.CHAIN_DONE, b"\0\0\0\x28") in first
        assert bytes((Tag.CHAIN_DONE,)) not in second[64:]
        roll(market.name, None)
        read_day(maker)
    with RawClient(here) as maker:
        maker.log_in("S08")
        maker.messages(3)
        maker.say(again)
        (replaced,) = barrier(maker)
        assert replaced[:1] == b"U" and struct.unpack_from(">I", replaced, 18)[0] == 60
        maker.say(cancel(4, 50))
        (cancelled,) = barrier(maker)
        assert struct.unpack_from(">II", cancelled, 9) == (4, 50)
        maker.say(cancel(4))
        maker.say(cancel(3))
        assert [each[:1] for each in barrier(maker)] == [b"C", b"C"]


def test_a_successor_knows_the_new_day(market: Exchange) -> None:
    """The matcher dies behind a roll, and again in front of one; a restart goes on with the day."""
    with RawClient(ports(market)[0]) as client:
        client.log_in("S05", sequence=0)
        client.say(order(1, b"A05", tags=GTC))
        barrier(client)
        roll(market.name, None)
        read_day(client)
    before = market.wait_ready()["engines"][0]
    os.kill(before["matcher_pid"], signal.SIGKILL)
    market.wait_until(lambda found: found["engines"][0]["epoch"] > before["epoch"])
    with RawClient(ports(market)[0]) as client:
        client.log_in("S05")
        assert [each[:1] for each in client.messages(2)] == [b"S", b"A"]
        second = roll(market.name, 1)["engines"][0]["stream"]
        assert read_day(client)[-1][:1] == b"S"
    with RawClient(ports(market)[1]) as client:
        assert client.log_in("S05").session == second
        assert [each[:1] for each in client.messages(2)] == [b"S", b"A"]
        client.say(cancel(1))
        assert [each[:1] for each in barrier(client)] == [b"C"]
    assert market.stop() == 0
    market.start()
    with RawClient(ports(market)[1]) as client:
        assert client.log_in("S05").session == second
        assert [each[:1] for each in client.messages(3)] == [b"S", b"A", b"C"]


def test_the_command(market: Exchange) -> None:
    """What an operator types; an engine that does not exist is named."""
    finished = shmx("roll", "--name", market.name, "--json")
    assert finished.returncode == 0, finished.stderr
    (row,) = json.loads(finished.stdout)["engines"]
    assert row["engine"] == 1 and row["open"] > row["ended"]
    wrong = shmx("roll", "--name", market.name, "--engine", "7")
    assert wrong.returncode == 1 and "no engine 7" in wrong.stderr


def shmx(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "shm_exchange.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def heard(feed: socket.socket, session: bytes, last: int) -> tuple[list[int], list[int]]:
    """What a MoldUDP64 session says until its end, or its message `last`: numbers, and its end."""
    numbers: list[int] = []
    ends: list[int] = []
    while not ends and (not last or last not in numbers):
        named, number, count = HEADER.unpack_from(feed.recv(2000))
        if named == session and count == END_OF_SESSION:
            ends.append(number)
        elif named == session:
            numbers += range(number, number + count)
    return numbers, ends


def test_multicast_and_snapshots(market: Exchange, feed_a: socket.socket) -> None:
    """The old MoldUDP64 session ends behind its last message; snapshots are of the new feed."""
    with RawClient(ports(market)[0]) as client, feed_of(market) as feed:
        client.log_in("S06", sequence=0)
        client.say(order(1, b"A06", tags=GTC))
        client.say(order(2, b"A06"))
        barrier(client)
        old, started = feed.session.encode(), feed.next_sequence
        new = roll(market.name, None)["engines"][0]["stream"]
        count = started - 1 + len(read_day(feed))
    numbers, ends = heard(feed_a, old, 0)
    assert ends == [count + 1] and numbers[-1] == count
    assert numbers == list(range(numbers[0], count + 1))
    with feed_of(market) as feed:
        assert feed.session == new
        begun = feed.messages(1)
        while begun[-1][:1] != b"S" or begun[-1][11:12] != b"Q":  # behind the live orders
            begun += feed.messages(1)
    assert heard(feed_a, new.encode(), len(begun))[0] == list(range(1, len(begun) + 1))
    (port,) = re.findall(r"GLIMPSE at 127\.0\.0\.1:(\d+)", market.messages)[-1:]
    found = asyncio.run(take_snapshot("127.0.0.1", int(port), "S07", PASSWORD))
    assert found.session == new and found.next_sequence == len(begun) + 1
    assert set(found.book.orders) == set(live_in(begun)) != set()


def asked(it: Exchange, session: str, number: int) -> list[bytes]:
    """What the re-request server says of a session from a number on: messages, in one packet."""
    (port,) = re.findall(r"re-request server at 127\.0\.0\.1:(\d+)", it.messages)[-1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.sendto(HEADER.pack(session.encode(), number, 100), ("127.0.0.1", int(port)))
        try:
            data = client.recv(2000)
        except TimeoutError:
            return []
    named, first, count = HEADER.unpack_from(data)
    assert (named, first) == (session.encode(), number)
    found, start = [], HEADER.size
    for _ in range(count):
        (size,) = struct.unpack_from(">H", data, start)
        found.append(data[start + 2 : start + 2 + size])
        start += 2 + size
    return found


def said_on(feed: socket.socket, ended: str, new: str) -> list[int]:
    """The numbers that the packets of a session's end name, two of them, and beside them others.

    Fails unless the new session says nothing but that it is there.
    """
    feed.settimeout(PATIENCE_SECONDS)
    found: list[int] = []
    beside = 0
    while len(found) < 2 or beside == 0:
        session, number, count = HEADER.unpack_from(feed.recv(2000))
        if session.decode() == new:
            beside += count == 0
        elif session.decode() == ended and count == END_OF_SESSION:
            found.append(number)
    return found


def asked_soon(it: Exchange, session: str, number: int) -> list[bytes]:
    """The same, asked again until it is answered: the processes share few cores."""
    for _ in range(6):
        if found := asked(it, session, number):
            return found
    return []


def is_quiet(feed: socket.socket, ended: str, seconds: float) -> bool:
    """Whether none of what comes from now on, for so long, is of the session that has ended."""
    feed.settimeout(0.01)
    with suppress(TimeoutError):
        while True:
            feed.recv(2000)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        feed.settimeout(left)
        with suppress(TimeoutError):
            if feed.recv(2000).startswith(ended.encode()):
                return False
    return True


def test_the_old_session_can_be_asked_for(
    market: Exchange, feed_a: socket.socket, feed_b: socket.socket
) -> None:
    """For a while, and its end is said so long, beside the new session; so behind a second roll."""
    ended: list[str] = []
    for user_ref in (1, 2):
        with RawClient(ports(market)[0]) as client, feed_of(market) as feed:
            client.log_in("S10", sequence=0)
            client.say(order(user_ref, b"A10"))
            barrier(client)
            new = roll(market.name, None)["engines"][0]["stream"]
            day = read_day(feed)
            ended.append(feed.session)
        assert asked_soon(market, ended[-1], len(day) - 2) == day[-3:]
        for each in (feed_a, feed_b):
            assert said_on(each, ended[-1], new) == 2 * [len(day) + 1]
        with feed_of(market) as feed:
            begun = feed.messages(3)
        assert asked_soon(market, new, 1)[:3] == begun
    assert asked(market, ended[0], 1) == []
    end = time.monotonic() + END_SECONDS + PATIENCE_SECONDS
    while not is_quiet(feed_a, ended[1], 2.5):
        assert time.monotonic() < end
    assert asked(market, ended[1], 1) == []
    assert asked_soon(market, new, 1)[:3] == begun
