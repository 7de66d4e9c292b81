"""Goal: cancel on disconnect fires whenever a session is gone, and at no other time.

Method: a session of a range that has it configured enters two orders, one of them with tag 130; it
goes away in every way there is. What rests afterwards is read by a replica of the market.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from gateways.load.own_replica import OwnReplica, market_book
from shm_exchange import config
from tests.gateways.ouch_cases import enter, replace, value
from tests.process.conftest import WAIT_SECONDS, Exchange
from tests.process.trading import MARKET, RawClient, barrier, packet, ports, running

CANCELLING = MARKET + (
    '[[session_range]]\nprefix = "C"\nlast = 20\npassword = "demo"\ncancel_on_disconnect = true\n'
)
GOES, STAYS = 10, 11  # shares of the two orders
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: reset instead of goodbye


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("disconnect"), CANCELLING) as it:
        yield it


def symbol(number: int) -> bytes:
    """Of instrument `number`."""
    return b"A%02d     " % number


def enter_both(client: RawClient, number: int) -> None:
    """One order that goes with its session, one that stays."""
    terms = {"symbol": symbol(number), "price": 100_000}
    client.say(enter(user_ref=1, quantity=GOES, **terms))
    client.say(enter(value(130, b"Y"), user_ref=2, quantity=STAYS, **terms))
    assert [each[:1] for each in client.messages(2)] == [b"A", b"A"]


def wait_resting(it: Exchange, number: int, expected: list[int]) -> None:
    """Return once these shares rest in instrument `number`."""
    deadline = time.monotonic() + WAIT_SECONDS
    with OwnReplica(config.load(it.file), it.name, 1, it.state) as replica:
        while True:
            replica.follow()
            found = market_book(replica.market, 1, number)["shares"].tolist()
            if found == expected:
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.01)


def say_goodbye(client: RawClient) -> None:
    client.send(packet(b"O"))


def break_off(client: RawClient) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    client.socket.close()


def fall_silent(client: RawClient) -> None:
    assert set(client.wait_closed()) <= {b"H"}


WAYS = [(say_goodbye, 1), (break_off, 2), (fall_silent, 3)]


@pytest.mark.parametrize(("leave", "number"), WAYS)
def test_a_session_that_leaves(
    market: Exchange, leave: Callable[[RawClient], None], number: int
) -> None:
    """Logout, loss of the socket, idle timeout: `C` `Z` for the one, the other stays."""
    here, there = ports(market)
    with RawClient(here) as client:
        client.log_in(f"C{number:02}", sequence=0, timeout_ms=1000)
        enter_both(client, number)
        leave(client)
        wait_resting(market, number, [STAYS])
    with RawClient(there) as again:
        *_, last = again.log_in(f"C{number:02}").messages(4)
        assert (last[:1], last[9:13]) == (b"C", (1).to_bytes(4, "big"))
        assert last[17:] == b"Z" + struct.pack(">HBBB", 3, 2, 133, 1)  # cause: disconnect


def test_what_a_replacement_inherits(market: Exchange) -> None:
    """That it stays, unless 130 is `N`; and good till cancelled, with time in force `0` alone."""
    here, there = ports(market)
    stays, good = value(130, b"Y"), value(128, b"G")
    terms = {"symbol": symbol(10), "price": 100_000}
    changed = {"price": 100_000, "time_in_force": b"0", "display": b"Y"}

    def change(number: int, tags: bytes = b"", **fields: object) -> bytes:
        numbers = {"original_user_ref": number, "user_ref": number + 3}
        return replace(tags, quantity=10 + number, **(numbers | changed | fields))

    with RawClient(here) as client:
        client.log_in("C10", sequence=0)
        for number, tags in ((1, stays), (2, stays + good), (3, good)):
            client.say(enter(tags, user_ref=number, quantity=30, **terms))
        assert len(barrier(client)) == 3
        client.say(change(1))
        client.say(change(2, value(130, b"N")))
        client.say(change(3, time_in_force=b"3"))
        *replaced, cancelled = barrier(client)
        assert [each[68:] for each in replaced] == [stays, good, b""]
        assert cancelled[:1] == b"C" and cancelled[17:18] == b"I"
        say_goodbye(client)
        wait_resting(market, 10, [11])


def test_sessions_that_do_not_ask_for_it(market: Exchange) -> None:
    """Nothing happens to the orders of a session without the setting."""
    here, there = ports(market)
    with RawClient(here) as client:
        enter_both(client.log_in("S01", sequence=0), 4)
    with RawClient(there) as again:
        again.log_in("S01", sequence=0)
        assert barrier(again) == []
        wait_resting(market, 4, [GOES, STAYS])


def test_displacement_and_takeover_cancel_nothing(market: Exchange) -> None:
    """The session logs in elsewhere, the matcher dies: the orders rest, and can be changed."""
    here, there = ports(market)
    with RawClient(here) as client, RawClient(there) as again:
        enter_both(client.log_in("C05", sequence=0), 5)
        again.log_in("C05", sequence=0)
        assert set(client.wait_closed()) <= {b"H"}
        found = market.wait_ready()["engines"][0]
        os.kill(found["matcher_pid"], signal.SIGKILL)
        market.wait_until(lambda now: now["engines"][0]["epoch"] > found["epoch"])
        assert barrier(again) == []
        wait_resting(market, 5, [GOES, STAYS])


def test_the_gateway_is_killed(market: Exchange) -> None:
    """It fires before the next login is accepted; not for a session that had moved before."""
    here, there = ports(market)
    market.wait_ready()
    with RawClient(here) as client, RawClient(here) as moving, RawClient(there) as moved:
        enter_both(client.log_in("C06", sequence=0), 6)
        enter_both(moving.log_in("C07", sequence=0), 7)
        moved.log_in("C07", sequence=0)
        assert set(moving.wait_closed()) <= {b"H"}
        os.kill(market.status()["gateways"][0]["pid"], signal.SIGKILL)
        with RawClient(there) as again:
            again.log_in("C06", sequence=0)
            assert again.next_sequence == 5  # `S`, twice `A`, and `C`
            wait_resting(market, 6, [STAYS])
        assert barrier(moved) == []
        wait_resting(market, 7, [GOES, STAYS])
    wait_resting(market, 7, [STAYS])
    market.wait_ready()


def test_drain_and_start(market: Exchange) -> None:
    """A stop in order disconnects everybody, and so does a crash of everything."""
    for number, end in ((8, "drain"), (9, "crash")):
        market.wait_ready()
        with RawClient(ports(market)[0]) as client:
            enter_both(client.log_in(f"C{number:02}", sequence=0), number)
            if end == "drain":
                assert market.stop() == 0
            else:
                pids = [each["pid"] for each in market.status()["processes"]]
                assert market.process is not None
                market.process.kill()
                for pid in pids:
                    while os.path.exists(f"/proc/{pid}"):
                        time.sleep(0.01)
                market.wait()
            market.start()
            wait_resting(market, number, [STAYS])
