"""Goal: a drop copy hears exactly what the sessions of its firm are told, from any number on.

Method: sessions of two firms trade at random, with each other and within a firm, through two
gateways. What a drop copy got is compared, session by session, with the streams of the sessions
themselves; then again after a takeover, the death of a gateway and a restart.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest

from shm_exchange import handover
from tests.gateways.ouch_cases import cancel, enter
from tests.process.conftest import Exchange
from tests.process.trading import MARKET, RawClient, barrier, packet, ports, running

FIRMS = {"ACME": ("ACM01", "ACM02"), "BETA": ("BET01",)}
LISTENERS = {"ACMDC": "ACME", "ACMD2": "ACME", "BETDC": "BETA"}


def _session(name: str, firm: str, more: str = "") -> str:
    return f'[[session]]\nusername = "{name}"\npassword = "demo"\nfirm = "{firm}"\n{more}'


CONFIGURATION = (
    MARKET
    + "".join(_session(name, firm) for firm, names in FIRMS.items() for name in names)
    + "".join(_session(name, firm, "drop_copy = true\n") for name, firm in LISTENERS.items())
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("copies"), CONFIGURATION) as it:
        yield it


def trade(market: Exchange, seed: int) -> None:
    """Random orders and cancels of all sessions, at both gateways."""
    draw = random.Random(seed)
    clients = {}
    for name in (each for names in FIRMS.values() for each in names):
        clients[name] = RawClient(draw.choice(ports(market))).log_in(name, sequence=0)
    for number in range(1, 61):
        name = draw.choice(list(clients))
        client = clients[name]
        symbol, side = b"A%02d     " % draw.randint(1, 2), draw.choice((b"B", b"S"))
        terms: dict[str, object] = {"symbol": symbol, "side": side}
        price = draw.randint(9_995, 10_005) * 100
        terms |= {"price": price, "quantity": draw.randint(1, 9)}
        data = packet(b"U", enter(user_ref=1000 * seed + number, **terms))
        if draw.random() < 0.3:
            data += packet(b"U", cancel(user_ref=1000 * seed + draw.randint(1, number)))
        client.send(data)
    for client in clients.values():
        barrier(client)
        client.socket.close()


def stream(port: int, name: str, sequence: int = 1) -> list[bytes]:
    """All messages of a session from a number on."""
    with RawClient(port) as client:
        following = client.log_in(name, sequence=0).next_sequence
    with RawClient(port) as client:
        return client.log_in(name, sequence=sequence).messages(following - sequence)


def check(market: Exchange) -> None:
    """Every listener, at every gateway, from the first number and from later ones."""
    told = {
        name: stream(ports(market)[0], name)[1:] for names in FIRMS.values() for name in names
    }  # without `S`
    for listener, firm in LISTENERS.items():
        heard = [stream(port, listener) for port in ports(market)]
        assert heard[0] == heard[1]
        copies = heard[0][1:]
        assert heard[0][0][:1] == b"S" and {each[:1] for each in copies} == {b"c"}
        for name in FIRMS[firm]:
            mine = [each[7:] for each in copies if each[1:7] == f"{name:<6}".encode()]
            assert mine == told[name]
        assert len(copies) == sum(len(told[name]) for name in FIRMS[firm])
        for first in (2, len(copies) // 2, len(copies)):
            assert stream(ports(market)[0], listener, first) == heard[0][first - 1 :]


def test_live_and_replayed(market: Exchange) -> None:
    """Who listens while it happens gets the same."""
    with RawClient(ports(market)[1]) as client:
        client.log_in("ACMDC")
        assert client.messages(1)[0][:1] == b"S"
        trade(market, 1)
        live = client.messages(len(stream(ports(market)[0], "ACMD2")) - 1)
    assert live == stream(ports(market)[0], "ACMD2")[1:]
    check(market)
    matches = [each[33:41] for each in live if each[7:8] == b"E"]
    assert len(matches) > len(set(matches)), "no trade within the firm"


def test_after_a_takeover_and_the_death_of_a_gateway(market: Exchange) -> None:
    market.wait_ready()
    with RawClient(ports(market)[0]) as client:
        following = client.log_in("BETDC", sequence=0).next_sequence
        handover.promote(market.name, None)
        trade(market, 2)
        live = client.messages(20)
    assert live == stream(ports(market)[1], "BETDC", following)[:20]
    market.wait_ready()
    before = {each["pid"] for each in market.status()["gateways"] if each["kind"] == "order"}
    os.kill(next(iter(before)), signal.SIGKILL)
    market.wait_until(
        lambda found: (
            found["state"] == "ready"
            and before != {each["pid"] for each in found["gateways"] if each["kind"] == "order"}
        )
    )
    trade(market, 3)
    check(market)


def test_who_listens_asks_nothing(market: Exchange) -> None:
    """But an account query; an order ends the connection, and nothing of it is in the market."""
    with RawClient(ports(market)[0]) as client:
        client.log_in("ACMDC", sequence=0)
        assert barrier(client) == []
        client.say(enter(user_ref=1))
        assert [each for each in client.wait_closed() if each[:1] == b"S"] == []


def test_after_a_restart(market: Exchange) -> None:
    before = stream(ports(market)[0], "ACMD2")
    assert market.stop() == 0
    market.start()
    assert stream(ports(market)[0], "ACMD2") == before
    trade(market, 4)
    check_copies_go_on(market, before)


def check_copies_go_on(market: Exchange, before: list[bytes]) -> None:
    """Nothing that was there has changed, and more came behind it."""
    after = stream(ports(market)[1], "ACMD2")
    assert after[: len(before)] == before and len(after) > len(before)
