"""Goal: sessions come and go, resume anywhere without gap or repeat, and harm nobody else.

Method: one exchange with two order gateways for the whole file, small rings and buffers, and
clients that are written from the specification of SoupBinTCP with `struct` alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateways.ouch_cases import cancel, enter
from tests.process.conftest import ENGINES, ORDER_GATEWAY, Exchange
from tests.process.trading import (
    MARKET,
    SESSIONS,
    RawClient,
    barrier,
    login,
    packet,
    ports,
    running,
    throw_away,
)

IOC = b"3"
BUFFER_BYTES = 1 << 16
SMALL = (
    MARKET.replace("[exchange]\n", "[exchange]\nhang_limit_ms = 60000\n")  # one is stopped here
    .replace("event_ring_records = 65536", "event_ring_records = 32768")
    .replace("command_ring_records = 4096", "command_ring_records = 1024")
    .replace('kind = "order"', f'kind = "order"\noutbound_buffer_bytes = {BUFFER_BYTES}')
)
QUERY = b"Q"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("sessions"), SMALL) as it:
        yield it


@pytest.fixture
def here(market: Exchange) -> int:
    """Port of the first order gateway."""
    return ports(market)[0]


@pytest.fixture
def there(market: Exchange) -> int:
    """Port of the second."""
    return ports(market)[1]


def order(user_ref: int, symbol: bytes = b"A01", side: bytes = b"B", **changes: object) -> bytes:
    """`O` at 10.00."""
    fixed = {"symbol": symbol.ljust(8), "side": side, "price": 100_000}
    return enter(user_ref=user_ref, **fixed | changes)


def immediate(first: int, count: int, symbol: bytes = b"A02") -> bytes:
    """Packets of orders that nobody meets: each is answered by `A` and `C`."""
    orders = (order(first + each, symbol, time_in_force=IOC) for each in range(count))
    return b"".join(packet(b"U", each) for each in orders)


def user_refs(messages: list[bytes]) -> list[int]:
    """UserRefNum of each message (all have it at the same place)."""
    return [struct.unpack_from(">I", each, 9)[0] for each in messages]


def stream(port: int, username: str, count: int, sequence: int = 1) -> list[bytes]:
    """`count` messages of a session's stream as a login gets them."""
    with RawClient(port) as client:
        return client.log_in(username, sequence=sequence).messages(count)


# ---------------------------------------------------------------- logins


def test_who_is_not_known_is_refused(here: int) -> None:
    """`J` `A` for a wrong name or password, `J` `S` for an unknown stream; then closed."""
    refused = [
        (login("S01", "wrong"), b"JA"),
        (login("NOBODY"), b"JA"),
        (login("S01", session="0199999999"), b"JS"),
        (login("S01", sequence="many"), b"JS"),
        (packet(b"L", login("S01")[3:] + b" soon"), b"JS"),
    ]
    for request, answer in refused:
        with RawClient(here) as client:
            client.send(request)
            assert client.wait_closed() == [answer]


def test_a_wrong_password_locks_nobody_else_out(there: int) -> None:
    """Twenty connections guess at one session; another one of that address is let in meanwhile."""
    with contextlib.ExitStack() as guesses:
        for _ in range(20):
            guesses.enter_context(RawClient(there)).send(login("S97", "wrong"))
        for _ in range(2):
            with RawClient(there) as client:
                client.send(login("S98"))
                assert client.packet()[:1] == b"A"


def test_nothing_comes_before_the_login(here: int) -> None:
    """Whatever else is sent first ends the connection, without an answer."""
    for kind in (b"+", b"R", b"O", b"U"):
        with RawClient(here) as client:
            client.send(packet(kind) + login("S01"))
            assert client.wait_closed() == []


def test_case_is_folded_and_names_are_padded(here: int) -> None:
    """`s01` and `S01` are one session, and so are the passwords."""
    with RawClient(here) as first, RawClient(here) as second:
        first.log_in("s01", password="DeMo").messages(1)
        second.log_in("S01", session=first.session)
        assert first.wait_closed() == []
        assert second.session == first.session and len(first.session.strip()) == 10


def test_the_requested_sequence(here: int, there: int) -> None:
    """From the start, from the middle, the last, the next, beyond, and `0`; by number or blank."""
    with RawClient(here) as client:
        client.log_in("S02")
        for each in range(1, 4):
            client.say(order(each))
        live = client.messages(4)
        name = client.session
    for port in (here, there):
        for asked, first in ((1, 1), (3, 3), (4, 4), (5, 5), (6, 5), (10**19, 5), (0, 5), ("", 5)):
            with RawClient(port) as client:
                client.log_in("S02", sequence=asked, session=name)
                assert (client.next_sequence, client.session) == (first, name)
                assert client.messages(5 - first) == live[first - 1 :]


def test_a_replay_is_what_was_heard_live(here: int, there: int) -> None:
    """Every kind of message, byte for byte, on both gateways, whichever was traded on."""
    with RawClient(here) as client, RawClient(there) as other:
        client.log_in("S03").say(QUERY)
        live = client.messages(2)
        other.log_in("S04")
        for number in range(1, 60, 2):
            client.say(order(number, b"A03", quantity=100 + number))
            client.say(cancel(number, 90))
            client.say(cancel(number, 80, b"\x00\x00"))
            client.say(order(number + 1, b"A03", quantity=0))
            other.say(order(number, b"A03", b"S", quantity=50))
        live += barrier(client)
        echo = barrier(other)
        live += barrier(client)
    assert {each[:1] for each in live} == {b"S", b"A", b"C", b"Q", b"J", b"E"}
    for port in (here, there):
        heard = [each for each in stream(port, "S03", len(live) + 1) if each[:1] != b"Q"]
        assert heard == [each for each in live if each[:1] != b"Q"]
        assert stream(port, "S04", len(echo)) == echo


def test_orders_may_follow_the_login_in_one_write(here: int) -> None:
    """What comes behind the login packet waits until the login is through."""
    with RawClient(here) as client:
        client.send(login("S05") + packet(b"U", order(1)) + packet(b"U", cancel(1)))
        assert client.packet()[:1] == b"A"
        assert [each[:1] for each in client.messages(3)] == [b"S", b"A", b"C"]


def test_a_second_login_displaces_the_first(here: int, there: int) -> None:
    """On the same gateway and on the other one; the orders stay, the stream goes on."""
    before = RawClient(here).log_in("S06", sequence=0)
    for number, port in enumerate((here, there, there, here), 1):
        client = RawClient(port).log_in("S06", sequence=0)
        client.say(order(number))
        assert user_refs(barrier(client)) == [number]
        assert before.wait_closed() == []
        before.socket.close()
        before = client
    # That the first ones are gone does not end the session of the last.
    before.say(cancel(1))
    assert user_refs(barrier(before)) == [1]
    before.socket.close()


def test_logout(here: int, there: int) -> None:
    """What was sent before is done; the connection is closed; orders rest."""
    with RawClient(here) as client:
        client.log_in("S07", sequence=0)
        client.send(packet(b"U", order(1)) + packet(b"U", order(2)) + packet(b"O"))
        client.wait_closed()
    assert user_refs(stream(there, "S07", 3)[1:]) == [1, 2]
    with RawClient(there) as client:
        client.log_in("S07", sequence=0)
        client.say(cancel(2))
        assert user_refs(barrier(client)) == [2]


def test_heartbeats(here: int) -> None:
    """A silent client hears the server and is dropped at its timeout; one that beats is not."""
    limit_ms = 3000
    with RawClient(here) as silent, RawClient(here) as beating:
        beating.log_in("S08", sequence=0, timeout_ms=limit_ms)
        silent.log_in("S09", sequence=0, timeout_ms=1)  # clamped to a second
        end = time.monotonic() + 1.3 * limit_ms / 1000
        while time.monotonic() < end:
            beating.send(packet(b"R") + packet(b"+", b"debug"))
            time.sleep(0.2)
        assert set(silent.wait_closed()) <= {b"H"}
        assert barrier(beating) == []
    with RawClient(here) as patient:
        patient.log_in("S10", sequence=0)
        assert patient.packet() == b"H"


# ---------------------------------------------------------------- bad input


def test_logins_that_are_never_completed_keep_nobody(here: int) -> None:
    """Half-open connections, some of which end, beside one that logs in."""
    halves = []
    for number in range(20):
        half = RawClient(here)
        half.send(login("S11")[:number])
        halves.append(half)
    for half in halves[::2]:
        half.socket.close()
    with RawClient(here) as client:
        assert client.log_in("S11").messages(1)[0][:1] == b"S"
    for half in halves[1::2]:
        half.socket.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00\x00",
        packet(b"U", bytes(46)),
        packet(b"L", bytes(46)),
        packet(b"L", b"\xff" * 46),
        login("S12", sequence=-1),
        login("S12", sequence="1x"),
        packet(b"L", login("S12")[3:] + b"many!"),
    ],
    ids=["http", "empty", "type", "zeros", "binary", "negative", "letters", "timeout"],
)
def test_garbage_instead_of_a_login(here: int, garbage: bytes) -> None:
    """Closed without a word, or with the reject of a name or a number that is none."""
    with RawClient(here) as client:
        client.send(garbage)
        assert client.wait_closed() in ([], [b"JA"], [b"JS"])


def test_a_malformed_packet_disconnects_its_client_alone(here: int) -> None:
    """Empty, oversized, of unknown type, a second login, an OUCH message of a wrong length."""
    bad = [
        b"\x00\x00",
        b"\xff\xff",
        packet(b"U", bytes(2000)),
        packet(b"?"),
        login("S13"),
        packet(b"S", order(9)),
        packet(b"U", order(9) + b"x"),
        packet(b"U", order(9)[:-1]),
        packet(b"U"),
    ]
    with RawClient(here) as other:
        other.log_in("S14", sequence=0)
        for number, data in enumerate(bad, 1):
            with RawClient(here) as client:
                client.log_in("S13", sequence=0)
                client.send(packet(b"U", order(number)) + data + packet(b"U", order(100)))
                said = client.wait_closed()
                assert len(said) <= 1
            other.say(order(number, b"A04"))
            assert user_refs(other.messages(1)) == [number]
    # What was sent before the bad packet was done, what came behind it was not.
    assert user_refs(stream(here, "S13", len(bad) + 1)[1:]) == list(range(1, len(bad) + 1))
    with RawClient(here) as client:
        client.log_in("S13", sequence=len(bad) + 2)
        assert barrier(client) == []


def test_a_client_that_writes_one_byte_at_a_time(here: int) -> None:
    """Login, orders, heartbeats: every packet in as many segments as it has bytes."""
    requests = [order(1), packet(b"R"), order(2), cancel(1), QUERY]
    data = login("S15", sequence=0)
    data += b"".join(each if each[:2] == b"\x00\x01" else packet(b"U", each) for each in requests)
    with RawClient(here) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(data)):
            client.send(data[place : place + 1])
        assert client.packet()[:1] == b"A"
        assert [each[:1] for each in client.messages(4)] == [b"A", b"A", b"C", b"Q"]


def test_a_client_that_never_reads_is_dropped_and_comes_back(here: int, there: int) -> None:
    """Its buffer is bounded, others do not wait; afterwards its stream has no gap, no repeat."""
    sent = 0
    with RawClient(here, receive_buffer=4096) as client, RawClient(here) as other:
        client.log_in("S16", sequence=0)  # live at once: a replay would wait for its reader
        other.log_in("S17", sequence=0)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while sent < 1_000_000:
                client.send(immediate(sent + 1, 500))
                sent += 500
        other.say(order(1))
        assert user_refs(barrier(other)) == [1]
    with RawClient(there) as client:
        messages = client.log_in("S16").messages(1)
        assert messages[0][:1] == b"S"
        done = barrier(client)
    count = len(done) // 2
    assert BUFFER_BYTES // 100 < count <= sent
    assert user_refs(done)[::2] == user_refs(done)[1::2] == list(range(1, count + 1))


def test_a_stalled_matcher_costs_no_connection(market: Exchange, here: int) -> None:
    """Input that waits is not silence: a client with a timeout of a second outlives two."""
    count = 2500  # more than the command ring holds
    matcher = market.pids()["matcher"]
    with RawClient(here) as client:
        client.log_in("S18", sequence=0, timeout_ms=1000)
        os.kill(matcher, signal.SIGSTOP)
        try:
            client.send(immediate(1, count, b"A05"))
            time.sleep(2.5)
        finally:
            os.kill(matcher, signal.SIGCONT)
        answers = client.messages(2 * count)
    assert user_refs(answers)[::2] == list(range(1, count + 1))


def test_a_flood_hides_no_silent_client(here: int) -> None:
    """Whoever says nothing is closed in its time, however much another one asks for."""
    orders = immediate(1, 20_000, b"A05")
    with RawClient(here) as silent, RawClient(here) as client:
        silent.log_in("S18", sequence=0, timeout_ms=1000)
        client.log_in("S17", sequence=0)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(throw_away, client.socket)
            silent.socket.settimeout(0.01)
            deadline = time.monotonic() + 20
            while (is_open := not is_closed(silent.socket)) and time.monotonic() < deadline:
                client.send(orders)
            client.socket.shutdown(socket.SHUT_RDWR)
    assert not is_open


def is_closed(connection: socket.socket) -> bool:
    """Whether its end has come; what it says is thrown away."""
    with contextlib.suppress(TimeoutError):
        while connection.recv(4096):
            pass
        return True
    return False


# ---------------------------------------------------------------- replays


def test_a_replay_under_trade_repeats_nothing(here: int, there: int) -> None:
    """A session logs in again and again while its resting order is traded bit by bit."""
    rounds, trades = 12, 150
    with RawClient(there) as taker:
        taker.log_in("S20", sequence=0)
        with RawClient(here) as maker:
            maker.log_in("S19", sequence=0).say(order(1, b"A06", quantity=rounds * trades))
            barrier(maker)
        sells = (order(each + 1, b"A06", b"S", quantity=1) for each in range(rounds * trades))
        packets = [packet(b"U", each) for each in sells]
        for number in range(rounds):
            taker.send(b"".join(packets[number * trades : (number + 1) * trades]))
            with RawClient((here, there)[number % 2]) as maker:
                maker.log_in("S19")
                count = 2 + (number + 1) * trades
                heard = [each for each in maker.messages(count + number + 1) if each[:1] != b"Q"]
                maker.say(QUERY)
                maker.messages(1)
            matches = [each[26:34] for each in heard if each[:1] == b"E"]
            assert len(matches) == len(set(matches)) == (number + 1) * trades
            assert matches == sorted(matches)
            taker.messages(2 * trades)


def test_a_long_stream_is_replayed_from_ring_and_journal(
    market: Exchange, here: int, there: int
) -> None:
    """More than 200,000 messages, most of them only in the journal, from both gateways.

    Another client asks for them too and never reads: nobody waits for it.
    """
    step, rounds = 500, 201
    with RawClient(here) as client:
        live = client.log_in("S21").messages(1)
        for number in range(rounds):
            client.send(immediate(1 + number * step, step))
            live += client.messages(2 * step)
    assert len(live) > 200_000
    published = market.status()["engines"][0]["published"]
    assert published > len(live) > 6 * 32_768  # a multiple of the ring
    with RawClient(there, receive_buffer=4096) as deaf:
        deaf.log_in("S21")
        with RawClient(there) as bystander:
            bystander.log_in("S23", sequence=0).say(order(1))
            assert user_refs(barrier(bystander)) == [1]
    with RawClient(there) as client:
        assert client.log_in("S21").messages(len(live)) == live
    with RawClient(here) as client:
        client.log_in("S21", sequence=100_001).say(order(rounds * step + 1, b"A07"))
        assert client.messages(len(live) - 100_000) == live[100_000:]
        assert user_refs(client.messages(1)) == [rounds * step + 1]


# ---------------------------------------------------------------- without a recorder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """One order gateway, and what is no longer in the ring is nowhere."""
    configuration = (
        ENGINES.replace("[[engine]]", "[[engine]]\nrecorder = false")
        .replace("event_ring_records = 65536", "event_ring_records = 8192")
        .replace("AAPL", "A02")
    )
    with running(tmp_path_factory.mktemp("bare"), configuration + SESSIONS + ORDER_GATEWAY) as it:
        yield it


def test_a_stream_that_is_lost_ends_its_connection_alone(bare: Exchange) -> None:
    """Who asks for what the ring has no longer is disconnected, and the gateway lives."""
    port = ports(bare)[0]
    with RawClient(port) as client:
        client.log_in("S01", sequence=0)
        for number in range(100):
            client.send(immediate(1 + 50 * number, 50))
            client.messages(100)
        gateway = bare.pids()["order"]
        with RawClient(port) as late:
            late.log_in("S02")
            assert late.wait_closed() == []
        assert barrier(client) == []
    assert bare.pids()["order"] == gateway
    assert "cannot be replayed" in bare.messages


def test_who_asks_faster_than_it_is_answered_waits(bare: Exchange) -> None:
    """Clients that ask for more events than the ring holds do not get their gateway lapped."""
    superfluous = 20_000 * packet(b"U", cancel(1, 1000))  # each is an event, but no message
    port = ports(bare)[0]
    gateway = bare.pids()["order"]

    def flood(username: str) -> list[int]:
        with RawClient(port) as client:
            client.log_in(username, sequence=0).send(packet(b"U", order(1, b"A02")) + superfluous)
            return user_refs(barrier(client))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(flood, [f"S{number}" for number in range(10, 26)]))
    assert answers == 16 * [[1]]
    assert bare.pids()["order"] == gateway
