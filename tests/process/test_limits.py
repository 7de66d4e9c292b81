"""Goal: nobody passes his limits, whatever gateway he comes through, and cancels always pass.

Method: one exchange with two order gateways; a session for each limit. What a session holds is
brought to a limit, the next request is refused with that limit's own code, and the refused session
goes on at the other gateway with the same numbers.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from argon2 import PasswordHasher

from gateways.ouch.state import SHARE_BURST
from shm_exchange import handover
from shm_exchange.admin import ask
from tests.gateways.ouch_cases import cancel, enter, replace
from tests.process.conftest import Exchange
from tests.process.trading import MARKET, RawClient, barrier, login, packet, ports, running

HASHED = "H01", "correct"
_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(HASHED[1])
SHARE = 1_000  # commands a second: less than any host does
LIMITS = {
    "L01": "order_quantity = 1000",
    "L02": "order_notional = 50000.5",
    "L03": "price_deviation = 500",
    "L04": "open_orders = 2",
    "L05": "position = 100",
    "L06": "messages_per_second = 5",
    "L07": "symbol_messages_per_second = 3",
    "L08": "",
}
GATEWAY = f"refusals_per_second = 20\nfair_share_per_second = {SHARE}"
CONFIGURATION = (
    MARKET.replace('kind = "order"', f'kind = "order"\n{GATEWAY}')
    + "".join(
        f'[[session]]\nusername = "{name}"\npassword = "demo"\nlimits = {{ {limit} }}\n'
        for name, limit in LIMITS.items()
    )
    + f'[[session]]\nusername = "{HASHED[0]}"\npassword_hash = "{_HASH}"\n'
)
PRICE = 100_000  # 10.00


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("limits"), CONFIGURATION) as it:
        yield it


def order(user_ref: int, symbol: str, side: bytes = b"B", **changes: object) -> bytes:
    """`O`, 10 lots at 10.00 unless `changes` says otherwise."""
    fixed = {"symbol": f"{symbol:<8}".encode(), "side": side, "price": PRICE, "quantity": 10}
    return enter(user_ref=user_ref, **fixed | changes)


def better(original: int, user_ref: int, quantity: int, price: int) -> bytes:
    """`U`."""
    numbers = {"original_user_ref": original, "user_ref": user_ref}
    terms = {"time_in_force": b"0", "display": b"Y", "sweep": b"N"}
    return replace(quantity=quantity, price=price, **numbers, **terms)


def said(client: RawClient) -> list[str]:
    """Letter and UserRefNum of each message, of a reject its reason too."""
    found = []
    for each in barrier(client):
        letter, user_ref = each[:1].decode(), struct.unpack_from(">I", each, 9)[0]
        reason = f" {each[13:15].hex()}" if letter == "J" else ""
        found.append(f"{letter}{user_ref}{reason}")
    return found


def ask_limits(client: RawClient, symbol: str) -> tuple[int, ...]:
    """The answer to `l`, from the first limit on."""
    client.say(b"l" + f"{symbol:<8}".encode())
    while (each := client.packet())[:2] != b"Ul":
        assert each[:1] in b"SH"
    assert len(each) == 118 and each[10:18] == f"{symbol:<8}".encode()
    return struct.unpack(">7QIqQQQ", each[26:])


def test_a_hashed_password(market: Exchange) -> None:
    """An argon2 hash: case is folded, the second login is remembered, a wrong one is refused."""
    port = ports(market)[0]
    for password in (HASHED[1], HASHED[1].upper()):
        with RawClient(port) as client:
            client.log_in(HASHED[0], password=password)
    with RawClient(port) as client:
        client.send(login(HASHED[0], "wrong"))
        assert client.wait_closed() == [b"JA"]


def test_size_and_notional(market: Exchange) -> None:
    with RawClient(ports(market)[0]) as client:
        client.log_in("L01", sequence=0)
        client.say(order(1, "A01", quantity=1000))
        client.say(order(2, "A01", quantity=1001))
        client.say(better(1, 3, 1001, PRICE))
        client.say(better(1, 4, 1000, PRICE + 100))
        assert said(client) == ["A1", "J2 0031", "J3 0031", "U1"]
        client.say(cancel(user_ref=4))
        assert said(client) == ["C4"]
    with RawClient(ports(market)[0]) as client:
        client.log_in("L02", sequence=0)
        client.say(order(1, "A01", quantity=5000))
        client.say(order(2, "A01", quantity=5001))
        client.say(cancel(user_ref=1))
        assert said(client) == ["A1", "J2 0030", "C1"]


def test_fat_finger(market: Exchange) -> None:
    """No reference, then the middle of the book, then the last trade; passive prices are free."""
    here, there = ports(market)
    with RawClient(here) as other, RawClient(here) as client:
        other.log_in("S01", sequence=0)
        client.log_in("L03", sequence=0)
        client.say(order(1, "A02", price=90_000))
        assert said(client) == ["A1"]
        other.say(order(1, "A02", b"S", price=110_000))
        assert said(other) == ["A1"]
        client.say(order(2, "A02", b"S", price=94_900, quantity=1))  # 5.1 % below 10.00
        client.say(order(3, "A02", price=105_100))
        client.say(order(4, "A02", price=50_000))
        assert said(client) == ["J2 0026", "J3 0026", "A4"]
        other.say(order(2, "A02", b"S", price=90_000))
        assert said(other) == ["A2", "E2"]
    with RawClient(there) as client:
        client.log_in("L03", sequence=0)
        assert ask_limits(client, "A02")[-1] == 90_000
        client.say(order(5, "A02", price=94_600))
        client.say(order(6, "A02", price=94_500))
        client.say(order(7, "A02", price=2_000_000_000))  # at the market: up to the band
        assert said(client) == ["J5 0026", "A6", "J7 0026"]


def test_open_orders(market: Exchange) -> None:
    """Those that are on their way count, at any gateway; a cancel makes room."""
    here, there = ports(market)
    with RawClient(here) as client:
        client.log_in("L04", sequence=0)
        client.send(b"".join(packet(b"U", order(each, "A03")) for each in range(1, 6)))
        assert said(client) == ["A1", "A2", "J3 8007", "J4 8007", "J5 8007"]
    with RawClient(there) as client:
        client.log_in("L04", sequence=0)
        client.say(order(6, "A03"))
        client.say(better(1, 7, 10, PRICE + 100))
        client.say(cancel(user_ref=7))
        assert said(client) == ["J6 8007", "U1", "C7"]
        client.say(order(8, "A03"))
        assert said(client) == ["A8"]
        assert ask_limits(client, "A03")[7] == 2


def test_position(market: Exchange) -> None:
    """What was executed and what may be; less of it is always allowed."""
    here, there = ports(market)
    with RawClient(here) as other, RawClient(here) as client:
        other.log_in("S02", sequence=0)
        client.log_in("L05", sequence=0)
        client.say(order(1, "A04", quantity=60))
        client.say(order(2, "A04", quantity=41))
        client.say(order(3, "A04", quantity=40))
        client.say(order(4, "A05", quantity=100))
        client.say(order(5, "A04", b"S", quantity=100, price=PRICE + 100))
        assert said(client) == ["A1", "J2 0020", "A3", "A4", "A5"]
        other.say(order(1, "A04", b"S", quantity=70))
        assert said(other) == ["A1", "E1", "E1"]
    with RawClient(there) as client:
        client.log_in("L05", sequence=0)
        assert ask_limits(client, "A04")[7:11] == (3, 70, 30, 100)
        client.say(order(6, "A04", quantity=1))
        client.say(better(3, 7, 41, PRICE))
        client.say(order(8, "A04", b"S", quantity=70, price=PRICE + 100))
        client.say(order(9, "A04", b"S", quantity=1, price=PRICE + 100))
        assert said(client) == ["J6 0020", "J7 0020", "A8", "J9 0020"]


def test_rates(market: Exchange) -> None:
    """At the port, and of one symbol; cancels do not count."""
    for name, refused, allowed in (("L06", "0029", 5), ("L07", "0028", 3)):
        with RawClient(ports(market)[0]) as client:
            client.log_in(name, sequence=0)
            count = 2 * allowed + 2  # in two seconds at most: so one of them is refused
            client.send(b"".join(packet(b"U", order(each + 1, "A06")) for each in range(count)))
            client.send(b"".join(packet(b"U", cancel(user_ref=each + 1)) for each in range(count)))
            found = said(client)
            accepted = [each for each in found if each[0] == "A"]
            assert allowed <= len(accepted) <= 2 * allowed
            rejected = [each for each in found if each[0] == "J"]
            assert len(rejected) == count - len(accepted)
            assert {each.split()[1] for each in rejected} == {refused}
            assert [each[1:] for each in found if each[0] == "C"] == [each[1:] for each in accepted]


def test_limits_change_while_the_session_trades(market: Exchange) -> None:
    """`shmx limits`: for what is open already too, at both gateways; then as configured again."""
    here, there = ports(market)

    def change(**limits: float | None) -> None:
        ask(market.state, {"do": "limits", "session": "L08", "limits": limits})

    with RawClient(here) as client:
        client.log_in("L08", sequence=0)
        client.say(order(1, "A07"))
        assert said(client) == ["A1"]
        change(open_orders=1, order_quantity=20)
        _wait(client, 3, 1)
        client.say(order(2, "A07"))
        client.say(cancel(user_ref=1))
        assert said(client) == ["J2 8007", "C1"]
    with RawClient(there) as client:
        client.log_in("L08", sequence=0)
        assert ask_limits(client, "A07")[:4] == (20, 0, 0, 1)
        client.say(order(3, "A07", quantity=21))
        client.say(order(4, "A07", quantity=20))
        assert said(client) == ["J3 0031", "A4"]
        change(open_orders=None, order_quantity=None)
        _wait(client, 0, 0)
        client.say(order(5, "A07", quantity=21))
        assert said(client) == ["A5"]


def _wait(client: RawClient, which: int, expected: int) -> None:
    """Until the gateway has heard of a limit."""
    for _ in range(1000):
        if ask_limits(client, "A07")[which] == expected:
            return
        time.sleep(0.01)
    raise AssertionError("the limit does not come")


def unsequenced(client: RawClient, count: int) -> list[bytes]:
    """The next so many answers of a gateway; nothing but heartbeats comes between."""
    found: list[bytes] = []
    while len(found) < count:
        each = client.packet()
        assert each[:1] in (b"U", b"H"), each
        found += [each[1:]] if each[:1] == b"U" else []
    return found


def test_open_orders_are_exact_at_a_sequence_number(market: Exchange) -> None:
    """`o` behind a barrier: what the stream has led to, at any gateway; `a` for each of them."""
    here, there = ports(market)
    with RawClient(here) as other, RawClient(here) as client:
        other.log_in("S05", sequence=0)
        client.log_in("S06", sequence=0)
        other.say(order(1, "A09", quantity=7))
        assert said(other) == ["A1"]
        for number in range(1, 5):
            client.say(order(number, "A09" if number < 4 else "A10", quantity=10 * number))
        client.say(cancel(user_ref=2))
        assert said(client) == ["A1", "A2", "A3", "A4", "C2"]
        other.say(order(2, "A10", b"S", quantity=15))
        assert said(other) == ["A2", "E2"]
    for port in (there, here):
        with RawClient(port) as client:
            following = client.log_in("S06", sequence=0).next_sequence
            client.say(b"o")
            head, *orders = unsequenced(client, 4)
            assert (head[:1], *struct.unpack(">QIc", head[9:])) == (b"o", following, 3, b"Y")
            found = [struct.unpack(">cIBcII8sQccQ", each)[1:9] for each in orders]
            assert [each[:5] + (each[5].strip(), each[6]) for each in found] == [
                (1, 0, b"B", 10, 0, b"A09", PRICE),
                (3, 0, b"B", 30, 0, b"A09", PRICE),
                (4, 0, b"B", 25, 15, b"A10", PRICE),
            ]
            for user_ref, state, shares in (
                (1, b"Y", 7),
                (3, b"Y", 17),
                (4, b"Y", 0),
                (2, b"N", 0),
            ):
                client.say(struct.pack(">cIB", b"a", user_ref, 0))
                answer = unsequenced(client, 1)[0]
                expected = (following, user_ref, 0, state, shares)
                assert struct.unpack(">QIBcQ", answer[9:]) == expected


def test_limits_and_positions_survive_a_takeover(market: Exchange) -> None:
    market.wait_ready()
    with RawClient(ports(market)[1]) as client:
        client.log_in("L05", sequence=0)
        before = ask_limits(client, "A04")
        handover.promote(market.name, None)
        market.wait_ready()
        barrier(client)
        assert ask_limits(client, "A04") == before
        client.say(order(10, "A04", quantity=1))
        assert said(client) == ["J10 0020"]


def test_who_is_refused_too_often_is_disconnected(market: Exchange) -> None:
    """More than 20 rejects within a second; the others do not notice."""
    with RawClient(ports(market)[0]) as other, RawClient(ports(market)[0]) as client:
        other.log_in("S03", sequence=0)
        client.log_in("S04", sequence=0)
        bad = (packet(b"U", order(each + 1, "NOBODY")) for each in range(100))
        client.send(b"".join(bad))
        client.wait_closed()
        market.wait_until(  # the log follows the socket
            lambda _: "too many of its orders were refused" in market.messages
        )
        other.say(order(1, "A08"))
        assert said(other) == ["A1"]
    with RawClient(ports(market)[0]) as client:
        count = client.log_in("S04", sequence=0).next_sequence - 1
        assert 1 + 20 < count <= 1 + 100


def held(market: Exchange) -> int:
    """How often clients had to wait for their share."""
    return sum(int(each["holds"] or 0) for each in market.status()["processes"])


def test_a_flood_is_held_while_another_client_trades_and_loses_nothing(market: Exchange) -> None:
    """Orders and their cancels, all sent at once; beside them an order at a time.

    For most of it the flood waits in its socket. Then nobody trades any more, and it goes on.
    """
    pairs = range(1, 5_001)
    flood = b"".join(packet(b"U", order(n, "A08")) + packet(b"U", cancel(n)) for n in pairs)
    before = held(market)
    trades, ends = threading.Event(), threading.Event()

    def quote(client: RawClient) -> None:
        for number in count(1):
            client.say(order(number, "A09"))
            assert [each[:1] for each in client.messages(1)] == [b"A"]
            trades.set()
            if ends.wait(0.005):
                return

    with (
        RawClient(ports(market)[0]) as flooding,
        RawClient(ports(market)[0]) as quoting,
        ThreadPoolExecutor() as threads,
    ):
        flooding.log_in("S11", sequence=0)
        quoting.log_in("S12", sequence=0)
        quotes = threads.submit(quote, quoting)
        try:
            assert trades.wait(60), "the flood is to begin while another client trades"
            sends = threads.submit(flooding.send, flood)
            told = flooding.messages(SHARE_BURST + 200)
        finally:
            ends.set()
        told += flooding.messages(2 * len(pairs) - len(told))
        sends.result()
        quotes.result()
    assert held(market) > before
    assert [each[:1] for each in told] == [b"A", b"C"] * len(pairs)
    of_orders = [struct.unpack_from(">I", each, 9)[0] for each in told]
    assert of_orders == [number for number in pairs for _ in range(2)]
