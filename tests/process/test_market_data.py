"""Goal: one feed in three forms. Whoever begins with a snapshot has the book of who heard it all,
and both multicast feeds say the same numbers with the same bytes, whatever dies meanwhile.

Method: a whole exchange, a generated flow through it; snapshots all the while; both feeds
are real multicast groups on loopback; books are rebuilt with `itchfeed` and `meatpy`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.client import OuchClient
from gateways.glimpse_client import take_snapshot
from tests.gateways.feeds import Book, as_levels, by_meatpy, queues, read
from tests.process.conftest import ENGINES, ORDER_GATEWAY, ROOT, Exchange
from tests.process.trading import (
    PASSWORD,
    PATIENCE_SECONDS,
    RawClient,
    feed_client,
    listen_to,
    login,
    packet,
    ports,
    running,
    settle,
    trade,
)
from tests.process.trading import play as play_scenario

GROUPS = ("239.83.77.88", "239.83.77.89")
MESSAGES = 6_000
SYMBOL = "AAPL"
FIRMS = ("ACME", "EMCA")
HEADER = struct.Struct(">10sQH")
END_OF_SESSION = 0xFFFF
REQUESTS_PER_SECOND = 2_000


class Listener:
    """Both feeds, heard by a thread: every message under its number."""

    def __init__(self) -> None:
        self.sockets = [listen_to(group) for group in GROUPS]
        for each in self.sockets:
            each.settimeout(0.2)  # until it looks whether it is to stop
        self.messages: tuple[dict[int, bytes], ...] = ({}, {})
        self.next: list[int] = [0, 0]
        self.sessions: set[bytes] = set()
        self.differing: list[int] = []
        self.ended = [0, 0]
        self.ended_at: tuple[list[float], ...] = ([], [])
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._hear, args=(number,), daemon=True) for number in range(2)
        ]
        for each in self._threads:
            each.start()

    def addresses(self) -> list[str]:
        """Where the feeds are to be sent to."""
        names = [each.getsockname() for each in self.sockets]
        return [f"{host}:{port}" for host, port in names]

    def _hear(self, feed: int) -> None:
        while not self._stopping:
            try:
                data = self.sockets[feed].recv(2_000)
            except TimeoutError:
                continue
            assert len(data) <= 1_400
            session, number, count = HEADER.unpack_from(data)
            self.sessions.add(session)
            if count == END_OF_SESSION:
                self.ended[feed] = number
                self.ended_at[feed].append(time.monotonic())
                continue
            start = HEADER.size
            for place in range(count):
                (size,) = struct.unpack_from(">H", data, start)
                message = data[start + 2 : start + 2 + size]
                if self.messages[feed].setdefault(number + place, message) != message:
                    self.differing.append(number + place)
                start += 2 + size
            assert start == len(data)
            self.next[feed] = max(self.next[feed], number + count)

    def wait(self, feed: int, number: int) -> None:
        """Until a feed has said that `number` comes next."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.next[feed] < number:
            assert time.monotonic() < deadline, (feed, self.next, number)
            time.sleep(0.01)

    def close(self) -> None:
        """Hear no more."""
        self._stopping = True
        for each in self._threads:
            each.join()
        for each in self.sockets:
            each.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """Listens from before the exchange begins."""
    it = Listener()
    yield it
    it.close()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Exchange]:
    """The exchange of this file."""
    first, second = listener.addresses()
    gateway = (
        '[[gateway]]\nkind = "market_data"\naddress = "127.0.0.1:0"\n'
        'glimpse_address = "127.0.0.1:0"\nrequest_address = "127.0.0.1:0"\n'
        f'multicast_a = "{first}"\nmulticast_b = "{second}"\n'
        f"requests_per_second = {REQUESTS_PER_SECOND}\n"
    )
    firms = "".join(
        f'[[session]]\nusername = "{firm}01"\npassword = "{PASSWORD}"\nfirm = "{firm}"\n'
        for firm in FIRMS
    )
    folder = tmp_path_factory.mktemp("market-data")
    with running(folder, ENGINES + firms + ORDER_GATEWAY + gateway) as it:
        yield it


def port_of(it: Exchange, what: str) -> int:
    """Where something listens now, as the gateway said last."""
    return int(re.findall(rf"market data gateway: {what} at 127\.0\.0\.1:(\d+)", it.messages)[-1])


def whole_feed(it: Exchange) -> list[bytes]:
    """The feed over SoupBinTCP, as far as it is now."""
    (port,) = ports(it, "market_data")
    with RawClient(port) as probe:
        count = probe.log_in("T01", sequence=0).next_sequence - 1
    with RawClient(port) as client:
        return client.log_in("T01").messages(count)


def snapshot(it: Exchange, username: str = "T02") -> tuple[int, list[bytes]]:
    """A snapshot: number of the next message to process, and what comes before it."""
    with RawClient(port_of(it, "GLIMPSE")) as client:
        client.log_in(username)
        assert client.next_sequence == 1
        told = []
        while (each := client.messages(1)[0])[:1] != b"G":
            told.append(each)
        assert len(each) == 21
        client.send(packet(b"O"))
        assert set(client.wait_closed()) <= {b"H"}
        return int(each[1:]), told


def play(it: Exchange, folder: Path, seed: int) -> subprocess.Popen[bytes]:
    """Begin to send a generated flow."""
    flow = folder / f"{seed}.npz"
    generate = ("generate", str(flow), "--messages", str(MESSAGES), "--seed", str(seed))
    subprocess.run(
        [sys.executable, "-m", "shm_exchange.cli", *generate],
        check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    replay = ("replay", str(flow), "--name", it.name, "--instrument", SYMBOL, "--allow-resting")
    return subprocess.Popen(
        [sys.executable, "-m", "shm_exchange.cli", *replay, "--rate", "3000"],
        cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def ask(it: Exchange, listener: Listener, number: int, count: int) -> list[bytes]:
    """Messages that the re-request server says again."""
    (session,) = listener.sessions
    found: dict[int, bytes] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        while len(found) < count:
            wanted = number + len(found)
            request = HEADER.pack(session, wanted, min(count - len(found), 0xFFFF))
            client.sendto(request, ("127.0.0.1", port_of(it, "re-request server")))
            try:
                data = client.recv(2_000)
            except TimeoutError:  # the server reads so many at a time, and drops the rest
                continue
            _, first, said = HEADER.unpack_from(data)
            start = HEADER.size
            for place in range(said):
                (size,) = struct.unpack_from(">H", data, start)
                found[first + place] = data[start + 2 : start + 2 + size]
                start += 2 + size
    return [found[each] for each in sorted(found)]


def test_snapshots_under_load(market: Exchange, listener: Listener, tmp_path: Path) -> None:
    """Each is the book of the feed before its number; with the rest, that of the whole feed."""
    trading = play(market, tmp_path, 11)
    taken = []
    while trading.poll() is None:
        taken.append(snapshot(market))
    assert trading.returncode == 0
    taken.append(snapshot(market))
    feed = whole_feed(market)
    whole = read({}, feed)
    assert len(whole) > 20 and taken[-1][0] == len(feed) + 1
    assert len({number for number, _ in taken}) > 3
    prefix: Book = {}
    told = 0
    for number, messages in taken:
        read(prefix, feed[told : number - 1])
        told = number - 1
        book = read({}, messages)
        assert queues(book) == queues(prefix)
        assert queues(read(book, feed[told:])) == queues(whole)
    number, messages = taken[len(taken) // 2]
    expected = as_levels(whole)
    assert by_meatpy(feed, SYMBOL) == expected
    assert by_meatpy(messages + feed[number - 1 :], SYMBOL) == expected


def test_both_feeds_are_the_feed(market: Exchange, listener: Listener) -> None:
    """From the first message on, for whoever listens from the start."""
    feed = whole_feed(market)
    for number in range(2):
        listener.wait(number, len(feed) + 1)
        assert [listener.messages[number].get(place + 1) for place in range(len(feed))] == feed
    assert len(listener.sessions) == 1
    assert ask(market, listener, 1, min(500, len(feed))) == feed[:500]
    last = min(11, len(feed))
    assert ask(market, listener, len(feed) + 1 - last, last) == feed[-last:]


def test_our_client_begins_with_a_snapshot(market: Exchange) -> None:
    """Its book, followed from there, is the book of the whole feed."""

    async def scenario() -> None:
        found = await take_snapshot("127.0.0.1", port_of(market, "GLIMPSE"), "T06", PASSWORD)
        (port,) = ports(market, "market_data")
        async with await feed_client(
            port, "T06", session=found.session, sequence=found.next_sequence, book=found.book
        ) as client:
            assert client.next_sequence == found.next_sequence
            expected = read({}, whole_feed(market))
            levels = client.book.bids(SYMBOL) + client.book.asks(SYMBOL)
            assert sum(each.shares for each in levels) == sum(each[2] for each in expected.values())
            assert set(client.book.orders) == set(expected)

    play_scenario(scenario())


def test_firms_are_named(market: Exchange) -> None:
    """At the beginning of the feed, with the orders that want it, and in snapshots."""
    before = whole_feed(market)
    assert b"".join(each[:1] for each in before[:7]) == b"SRHLLSS"
    assert [each[11:15].decode() for each in before[3:5]] == list(FIRMS)

    async def scenario(client: OuchClient) -> None:
        await client.enter("B", 100, SYMBOL, "1.00", display="A")
        await client.replace(1, 90, "1.00", display="A")
        await client.replace(2, 80, "1.00", display="Y")
        await client.replace(3, 70, "1.00", display="A")
        await settle(client)

    trade(market, "EMCA01", scenario)
    said = whole_feed(market)[len(before) :]
    assert b"".join(each[:1] for each in said) == b"FUDADF"
    assert [each[36:] for each in said if each[:1] == b"F"] == 2 * [b"EMCA"]
    _, told = snapshot(market)
    assert [each[3:5] + each[11:] for each in told if each[:1] == b"F"] == [
        said[-1][3:5] + said[-1][11:]
    ]


def test_snapshots_that_are_not_to_be_had(market: Exchange) -> None:
    """Another session, another number, another password; a client that only connects."""
    port = port_of(market, "GLIMPSE")
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for request, reason in (
        (login("T03", sequence=2), b"JS"),
        (login("T03", session="0199999999"), b"JS"),
        (login("T03", password="wrong"), b"JA"),
    ):
        with RawClient(port) as client:
            client.send(request)
            assert client.packet() == reason
    assert snapshot(market, "T03")[1]
    for each in idle:
        each.close()


def test_a_client_that_does_not_read_its_snapshot(market: Exchange) -> None:
    """Others get theirs, and the feed goes on."""
    with RawClient(port_of(market, "GLIMPSE"), receive_buffer=2_048) as stuck:
        stuck.send(login("T04"))
        for _ in range(3):
            assert snapshot(market, "T05")[1]
        assert whole_feed(market)


def flood(it: Exchange, seconds: float) -> None:
    """Requests that are none, and requests without end."""
    address = ("127.0.0.1", port_of(it, "re-request server"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for data in (b"", os.urandom(20), os.urandom(1_400), b"\0" * 20):
                client.sendto(data, address)


def test_a_flood_of_requests(market: Exchange, listener: Listener) -> None:
    """Is dropped; the next request is answered."""
    flood(market, 0.3)
    time.sleep(1.1)
    assert ask(market, listener, 1, 3) == whole_feed(market)[:3]


@pytest.mark.parametrize("role", ["market_data", "matcher"])
def test_numbers_after_a_death(
    market: Exchange, listener: Listener, tmp_path: Path, role: str
) -> None:
    """No number is left out on either feed, and none has other bytes."""
    trading = play(market, tmp_path, len(role))
    time.sleep(1.0)
    (victim,) = [each["pid"] for each in market.status()["processes"] if each["role"] == role]
    os.kill(victim, signal.SIGKILL)
    trading.wait(PATIENCE_SECONDS)
    market.wait_until(lambda status: status["state"] == "ready")
    feed = whole_feed(market)
    for number in range(2):
        listener.wait(number, len(feed) + 1)
        assert [listener.messages[number].get(place + 1) for place in range(len(feed))] == feed
    assert listener.differing == [] and len(listener.sessions) == 1
    number, messages = snapshot(market)
    book = read(read({}, messages), feed[number - 1 :])
    assert queues(book) == queues(read({}, feed))


def test_the_end_is_told(market: Exchange, listener: Listener) -> None:
    """At a clean end both feeds say that nothing more comes, and from which number on; three times,
    not all in the same moment.
    """
    count = len(whole_feed(market))
    assert market.stop() == 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while min(map(len, listener.ended_at)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert listener.ended == [count + 1, count + 1]
    assert [len(each) for each in listener.ended_at] == [3, 3]
    assert all(each[-1] - each[0] > 0.05 for each in listener.ended_at)
