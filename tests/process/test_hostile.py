"""Goal: each kind of bad input gets its specified answer, and nobody else notices.

Method: a whole exchange and clients of raw bytes. A bystander trades beside whoever misbehaves, and
every message that it is told is checked.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from gateways.ouch.tags import ENTER_TAGS, ORDER_PRIVATE_TAGS, TAG_FORMATS, Tag
from shm_exchange.messages import Reject
from tests.fuzz.live import TALKATIVE, attack
from tests.gateways.ouch_cases import cancel, enter, modify, replace, tail, value
from tests.process.bystander import Bystander
from tests.process.conftest import Exchange
from tests.process.trading import RawClient, barrier, login, packet, ports, running, throw_away

CONNECTIONS = 10_000
BAND_MAX = 10_000_000  # 1,000.00
PRICE = 100_000  # 10.00
DEFAULTS = {6: b"L", 9: bytes(8), 12: b"N", 14: b"    ", 16: b"N", 25: b"N", 128: b"G", 2: b"    "}
QUANTITIES = [0, 1, 999_999, 1_000_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
PRICES = [0, 1, PRICE - 1, PRICE + 1, 9_999, 10_000, BAND_MAX, BAND_MAX + 100]
PRICES += [1_999_999_900, 1_999_999_999, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file. At the end nobody has restarted and replicas agree."""
    with running(tmp_path_factory.mktemp("hostile"), TALKATIVE) as it:
        before = it.pids()
        yield it
        it.wait_ready()
        assert it.pids() == before
        assert all(each["differs"] in (0, None, False) for each in differences(it))


def differences(it: Exchange) -> list[dict[str, object]]:
    """What each process says of its replica."""
    return [{"differs": each.get("differs", 0)} for each in it.status()["processes"]]


@pytest.fixture
def here(market: Exchange) -> int:
    """The first order gateway's port."""
    return ports(market)[0]


def code_of(message: bytes) -> int:
    """The reason of a `J`."""
    assert message[:1] == b"J", message
    return int.from_bytes(message[13:15], "big")


# ---------------------------------------------------------------- what is said


def test_what_is_passed_over(here: int) -> None:
    """Debug packets and heartbeats, empty or as long as a packet may be, between orders."""
    with RawClient(here) as client:
        client.log_in("S01", sequence=0)
        for number in range(1, 20):
            client.send(packet(b"+", b"x" * (50 * number)) + packet(b"R") + packet(b"+"))
            client.say(enter(user_ref=number, symbol=b"A01     ", price=PRICE))
        assert [each[:1] for each in barrier(client)] == [b"A"] * 19


def test_every_tag(here: int) -> None:
    """All 256 tags in an order: taken with a value that asks for nothing, or rejected by name."""
    sizes = {int(each.tag): each.size for each in TAG_FORMATS}
    with RawClient(here) as client, Bystander(here, "S02"):
        client.log_in("S03", sequence=0)
        number = 0
        for tag in range(1, 256):
            allowed = ENTER_TAGS >> tag & 1 if tag < 128 else ORDER_PRIVATE_TAGS >> (tag - 128) & 1
            size = sizes.get(tag, 3)
            good = DEFAULTS.get(tag, bytes(size))
            for data in (good, good + b"\0", good[:-1]):
                if tag == Tag.USER_REF_INDEX and len(data) != size:
                    continue  # ends the connection: below
                number += 1
                order = enter(value(tag, data), user_ref=number, symbol=b"A02     ", price=PRICE)
                client.say(order)
                answers = barrier(client)
                assert answers, tag
                if not allowed or len(data) != size:
                    assert code_of(answers[0]) == Reject.UNSUPPORTED_TAG + tag
                elif tag in DEFAULTS:
                    assert answers[0][:1] == b"A", (tag, answers)
                else:  # a value of zeros: nothing is asked for, or it is no value
                    assert answers[0][:1] == b"A" or code_of(answers[0])


CHANNEL = value(Tag.USER_REF_INDEX, b"\0")
CUT = b"\x05\x0c"
BAD = [(CHANNEL * 2, 0x811C), (CHANNEL + CUT, 0x8100), (CHANNEL * 2 + CUT, 0x811C)]
BAD += [(value(0, b"x"), 0x8100)]
BAD_IN_CANCELS = [*(tags for tags, _ in BAD), CHANNEL[:-1]]


def test_bad_appendages(here: int) -> None:
    """A request with a number is rejected in its channel, one without ends its connection."""
    with Bystander(here, "S02"):
        with RawClient(here) as client:
            client.log_in("S16", sequence=0)
            for number, (tags, code) in enumerate(BAD, 1):
                client.say(enter(tags, user_ref=2 * number, symbol=b"A02     ", price=PRICE))
                client.say(b"C%b" % (2 * number + 1).to_bytes(4, "big") + b" " * 12 + tail(tags))
                assert [code_of(each) for each in barrier(client)] == [code, code]
            client.say(cancel(1, 0, tail(value(77, b"x"))))  # does not belong there
            assert barrier(client) == []
        for tags in BAD_IN_CANCELS:
            behind = tail(tags)
            for message in (cancel(1, 0, behind), modify(1, b"B", 1, behind), b"Q" + behind):
                with RawClient(here) as client:
                    client.log_in("S16", sequence=0).say(message)
                    assert client.wait_closed() == []


@pytest.mark.parametrize("side", [b"B", b"S", b"T", b"E"])
def test_every_enumeration(here: int, side: bytes) -> None:
    """Each byte of an order that chooses among letters, with each of 256: `A` or a `J`."""
    session = {b"B": "S04", b"S": "S05", b"T": "S06", b"E": "S07"}[side]
    fields = ("side", "time_in_force", "display", "capacity", "sweep", "cross_type")
    with RawClient(here) as client, Bystander(here, "S02"):
        client.log_in(session, sequence=0)
        number = 0
        for name in fields:
            for letter in range(256):
                number += 1
                terms = {"side": side, "symbol": b"A03     ", "price": PRICE, "quantity": 1}
                client.say(enter(**(terms | {name: bytes([letter]), "user_ref": number})))
        said = barrier(client)
    first: dict[int, bytes] = {}
    for each in said:
        first.setdefault(int.from_bytes(each[9:13], "big"), each[:1])
    assert sorted(first) == list(range(1, number + 1))
    assert set(first.values()) == {b"A", b"J"}


def test_quantities_at_the_edges(here: int) -> None:
    """Of orders, cancels, modifies and replaces."""
    with RawClient(here) as client, Bystander(here, "S02"):
        client.log_in("S08", sequence=0)
        order = {"symbol": b"A04     ", "price": PRICE}
        for number, quantity in enumerate(QUANTITIES, 1):
            client.say(enter(user_ref=number, quantity=quantity, **order))
            (said,) = barrier(client)
            if 1 <= quantity <= 999_999:
                assert said[:1] == b"A" and said[14:18] == quantity.to_bytes(4, "big")
            else:
                assert code_of(said) == Reject.INVALID_QUANTITY
        client.say(enter(user_ref=100, quantity=50, **order))
        barrier(client)
        for quantity in QUANTITIES[2:]:  # not below what is open: superfluous
            client.say(cancel(100, quantity))
            client.say(modify(100, b"B", quantity))
        assert all(each[:1] == b"M" for each in barrier(client))
        for step, quantity in enumerate(QUANTITIES):
            original = 200 + 2 * step
            client.say(enter(user_ref=original, quantity=50, **order))
            terms = {"price": PRICE, "time_in_force": b"0", "display": b"Y", "sweep": b"N"}
            numbers = {"original_user_ref": original, "user_ref": original + 1}
            client.say(replace(**numbers, **terms, quantity=quantity))
            fine = 1 <= quantity <= 999_999
            assert [each[:1] for each in barrier(client)] == [b"A", b"U" if fine else b"C"]
            client.say(cancel(original + 1))
            assert [each[:1] for each in barrier(client)] == ([b"C"] if fine else [])


@pytest.mark.parametrize(("side", "session"), [(b"B", "S09"), (b"S", "S10")])
def test_prices_at_the_edges(here: int, side: bytes, session: str) -> None:
    """Outside the band or between ticks: `J` 001D; from 200,000.0000 up: collared to the band."""
    with RawClient(here) as client, Bystander(here, "S02"):
        client.log_in(session, sequence=0)
        for number, price in enumerate(PRICES, 1):
            client.say(enter(user_ref=number, side=side, symbol=b"A05     ", price=price))
            client.say(cancel(number))
            said = barrier(client)
            at_market = price >= 2_000_000_000
            if at_market or (price % 100 == 0 and 10_000 <= price <= BAND_MAX):
                assert said[0][:1] == b"A", price
                collar = BAND_MAX if side == b"B" else 10_000
                shown = int.from_bytes(said[0][26:34], "big")
                assert shown == (collar if at_market else price)
            else:
                assert code_of(said[0]) == Reject.INVALID_PRICE, price


def test_every_message_at_every_wrong_length(here: int) -> None:
    """Each ends its own connection and nobody else's."""
    whole = [enter(), replace(), cancel(), modify(), b"Q"]
    fixed = {47, 40, 9, 11, 10, 12, 1, 3}
    with Bystander(here, "S02"):
        for message in whole:
            for length in range(len(message) + 4):
                if length in fixed or length == len(message):
                    continue
                with RawClient(here) as client:
                    client.log_in("S11", sequence=0)
                    client.say((message + bytes(4))[:length])
                    assert all(each[:1] != b"S" for each in client.wait_closed())


def test_hostile_inputs(market: Exchange) -> None:
    """A sample of `python -m tests.fuzz --live`: nothing restarts, books and feed agree."""
    found = attack(market, 4000, seed=os.getpid())
    assert found["faults"] == []
    assert found["read"] >= 4000 and found["ended_early"] > 0


# ---------------------------------------------------------------- who says it


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Enough of them for all the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_ten_thousand_connections_that_never_log_in(here: int) -> None:
    """They are borne up to the limit, then the oldest are closed; who logs in gets in at once."""
    with contextlib.ExitStack() as stack, Bystander(here, "S02"):
        connections = []
        for number in range(CONNECTIONS + 200):
            each = stack.enter_context(socket.socket())
            each.connect(("127.0.0.1", here))
            if number % 2:
                each.send(login("S12")[: number % 49])
            connections.append(each)
            if number % 2000 == 0:
                with RawClient(here) as client:
                    client.log_in("S12", sequence=0)
        with RawClient(here) as client:
            client.log_in("S12", sequence=0).say(b"Q")
            assert client.messages(1)[0][:1] == b"Q"
        poller = select.poll()
        for each in connections[:50]:
            poller.register(each, select.POLLIN)
        assert poller.poll(60_000), "the oldest were closed"


def test_a_client_that_reads_a_byte_a_second(here: int) -> None:
    """Its buffer fills and it is dropped, or it is served as slowly as it likes; nobody waits."""
    orders = b"".join(
        packet(b"U", enter(user_ref=n, symbol=b"A06     ", price=PRICE)) for n in range(1, 20_001)
    )
    with RawClient(here, receive_buffer=4096) as client, Bystander(here, "S02") as bystander:
        client.log_in("S13", sequence=0)
        client.socket.settimeout(1.0)
        for place in range(0, len(orders), 1 << 16):
            try:
                client.send(orders[place : place + (1 << 16)])
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                break
            client.socket.recv(1)
        rounds = bystander.rounds
        for _ in range(3):
            with contextlib.suppress(ConnectionResetError):
                client.socket.recv(1)
            time.sleep(1)
        assert bystander.rounds > rounds


@pytest.mark.parametrize(
    "flood",
    [packet(b"R"), packet(b"+", b"x" * 1000), packet(b"U", cancel(1)), packet(b"U", b"Q")],
    ids=["heartbeats", "debug", "superfluous cancels", "queries"],
)
def test_floods(here: int, flood: bytes) -> None:
    """As fast as the socket takes it, for a moment: the bystander is served all the while."""
    data = flood * (200_000 // len(flood))
    with RawClient(here) as client, Bystander(here, "S02") as bystander:
        client.log_in("S14", sequence=0)
        reader = threading.Thread(target=throw_away, args=(client.socket,))
        reader.start()
        rounds = bystander.rounds
        for _ in range(10):
            client.send(data)
        deadline = time.monotonic() + 60
        while bystander.rounds < rounds + 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert bystander.rounds >= rounds + 5
        client.socket.shutdown(socket.SHUT_RDWR)
        reader.join()


def test_connections_that_are_reset(here: int) -> None:
    """In the middle of a login, of a packet, of an answer: RST instead of an orderly end."""
    with Bystander(here, "S02") as bystander:
        for size in range(0, 120, 3):
            with RawClient(here) as client:
                client.send((login("S15", sequence=0) + packet(b"U", enter(user_ref=9)))[:size])
                linger = struct.pack("ii", 1, 0)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert bystander.rounds > 0
