"""Goal: what an exchange knew when it ended, it knows when it starts again.

Method: a clean stop, and SIGKILL of everything, between two halves of one day's trading; streams
are compared byte for byte with what was heard before.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from pathlib import Path

from ringbuf import spsc
from shm_exchange import wiring
from shm_exchange.messages import SOURCE_GATEWAY_FIRST
from tests.gateways.ouch_cases import cancel, enter, replace
from tests.process.conftest import WAIT_SECONDS, Exchange, is_alive
from tests.process.trading import MARKET, RawClient, barrier, ports, running

SYMBOL = b"A01     "
RESTING = 40
# Whoever is stopped here stays so for as long as it takes.
PATIENT = MARKET.replace("[exchange]", "[exchange]\nhang_limit_ms = 600000")


def order(user_ref: int, side: bytes = b"B", price: int = 100_000, quantity: int = 100) -> bytes:
    """`O`."""
    return enter(user_ref=user_ref, symbol=SYMBOL, side=side, price=price, quantity=quantity)


def trade(it: Exchange) -> dict[str, list[bytes]]:
    """Trade on both gateways; return what each of two sessions heard."""
    here, there = ports(it)
    with RawClient(here) as maker, RawClient(there) as taker:
        maker.log_in("S01")
        taker.log_in("S02")
        for number in range(1, RESTING + 1):
            maker.say(order(number, price=100_000 - 100 * number))
        maker.say(replace(user_ref=41, original_user_ref=1, quantity=80, price=100_000,
                          time_in_force=b"0", display=b"Y"))  # fmt: skip
        maker.say(cancel(2, 60))
        maker.say(cancel(3))
        heard = barrier(maker)
        taker.say(order(1, b"S", 99_800, 90))  # all of 41, ten of 2
        taker.say(order(2, b"S", 101_000, 30))
        taker.say(order(7, b"S", 100_000, 0))
        return {"S02": barrier(taker), "S01": heard + barrier(maker)}


def feed(it: Exchange, count: int) -> list[bytes]:
    """The first messages of the feed."""
    with RawClient(ports(it, "market_data")[0]) as client:
        return client.log_in("S03").messages(count)


def feed_length(it: Exchange) -> int:
    """Count of messages of the feed."""
    with RawClient(ports(it, "market_data")[0]) as client:
        return client.log_in("S03", sequence=0).next_sequence - 1


def check(it: Exchange, heard: dict[str, list[bytes]], fed: list[bytes], name: str) -> None:
    """Everything is as before, and trading goes on."""
    for port in ports(it):
        for username, messages in heard.items():
            with RawClient(port) as client:
                client.log_in(username, session=name)
                replayed = client.messages(len(messages) + 1 + (username == "S01"))
            assert [each for each in replayed if each[:1] != b"Q"] == messages
    assert feed(it, len(fed)) == fed
    with RawClient(ports(it)[0]) as maker, RawClient(ports(it)[1]) as taker:
        maker.log_in("S01", sequence=0)
        taker.log_in("S02", sequence=0)
        maker.say(order(41))  # used
        maker.say(cancel(2, 45))
        maker.say(order(42, price=99_000))
        first = barrier(maker)
        assert [each[:1] for each in first] == [b"C", b"A"]
        assert struct.unpack_from(">II", first[0], 9) == (2, 15)  # ten are executed, 35 are left
        taker.say(order(7, b"S", 99_000, 35))
        taker.say(order(8, b"S", 99_800, 35))
        assert [each[:1] for each in barrier(taker)] == [b"A", b"E"]
        assert [each[:1] for each in barrier(maker)] == [b"E"]
    assert feed_length(it) > len(fed)


def kill_everything(it: Exchange) -> None:
    """SIGKILL of every process; return when they are gone."""
    assert it.process is not None
    pids = [it.process.pid, *(each["pid"] for each in it.status()["processes"])]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    it.wait()
    deadline = time.monotonic() + WAIT_SECONDS
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stopped_exchange_goes_on(tmp_path: Path) -> None:
    """Twice: orders, streams, session id, numbers and feed continue; replays are byte-identical."""
    with running(tmp_path) as it:
        heard = trade(it)
        fed = feed(it, feed_length(it))
        with RawClient(ports(it)[0]) as client:
            name = client.log_in("S04").session
        for number in range(2):
            assert it.stop() == 0
            assert it.segments == []
            it.start()
            if number:
                check(it, heard, fed, name)
        assert it.stop() == 0


def test_a_killed_exchange_goes_on(tmp_path: Path) -> None:
    """SIGKILL of every process once the journal has everything: nothing of it is lost."""
    with running(tmp_path) as it:
        heard = trade(it)
        fed = feed(it, feed_length(it))
        with RawClient(ports(it)[0]) as client:
            name = client.log_in("S04").session
        engine = it.wait_until(
            lambda found: found["engines"][0]["recorded"] == found["engines"][0]["published"]
        )["engines"][0]
        kill_everything(it)
        it.start()
        assert it.status()["engines"][0]["epoch"] > engine["epoch"]
        check(it, heard, fed, name)
        assert it.stop() == 0
        assert it.segments == []


def test_what_only_shared_memory_had_is_saved(tmp_path: Path) -> None:
    """The recorder is stopped, then trading, then the matchers are stopped, then orders that nobody
    executes, then SIGKILL of everything: every order that was acknowledged is there."""
    with running(tmp_path, PATIENT) as it:
        recorded = it.status()["engines"][0]["recorded"]
        processes = it.status()["processes"]
        os.kill(it.pids()["recorder"], signal.SIGSTOP)
        heard = trade(it)
        fed = feed(it, feed_length(it))
        with RawClient(ports(it)[0]) as client, RawClient(ports(it)[0]) as waiting:
            name = client.log_in("S04").session
            waiting.log_in("S05")
            before = it.status()["engines"][0]
            assert before["recorded"] == recorded < before["published"] - 50
            for each in processes:
                if each["role"] in ("matcher", "standby"):
                    os.kill(each["pid"], signal.SIGSTOP)
            for number in range(1, 8):
                waiting.say(order(number))
            it.wait_until(lambda _: commands_published(it) == 7 + commands_done(it))
            kill_everything(it)
        it.start()
        after = it.status()["engines"][0]
        assert after["recorded"] >= before["published"] and after["epoch"] > before["epoch"]
        assert (
            f"engine 1: saved {before['published'] - recorded} events that only shared memory had"
            f" (positions {recorded} to {before['published'] - 1}),"
            " discarded 7 commands that were never executed\n"
        ) in it.messages
        with RawClient(ports(it)[0]) as client:
            client.log_in("S05", sequence=0)
            assert barrier(client) == [], "an order that nobody executed never was"
        check(it, heard, fed, name)
        assert it.stop() == 0
        assert it.segments == []


def commands_published(it: Exchange) -> int:
    """Commands that the first gateway has published."""
    return _command_cursor(it, spsc.PUBLISHED)


def commands_done(it: Exchange) -> int:
    """Commands of the first gateway that the matcher is done with."""
    return _command_cursor(it, spsc.CONSUMED)


def _command_cursor(it: Exchange, word: int) -> int:
    found = wiring.attach(it.name, 1, read_only=True)
    value = int(found.command_ring(SOURCE_GATEWAY_FIRST).cursors[word])
    found.close()
    return value


def test_events_that_no_recorder_wrote_are_saved_at_the_end(tmp_path: Path) -> None:
    """A recorder that hangs is killed at the end; the supervisor writes what it did not."""
    with running(tmp_path, PATIENT) as it:
        os.kill(it.pids()["recorder"], signal.SIGSTOP)
        heard = trade(it)
        fed = feed(it, feed_length(it))
        with RawClient(ports(it)[0]) as client:
            name = client.log_in("S04").session
        published = it.status()["engines"][0]["published"]
        os.kill(it.pids()["recorder"], signal.SIGKILL)
        it.interrupt()
        it.wait()
        assert it.segments == []
        it.start()
        assert it.status()["engines"][0]["recorded"] >= published
        check(it, heard, fed, name)
        assert it.stop() == 0


def test_a_gateway_that_comes_back_serves_the_orders_of_its_forerunner(tmp_path: Path) -> None:
    """SIGKILL of an order gateway with resting orders: its successor knows slots and numbers."""
    with running(tmp_path) as it:
        with RawClient(ports(it)[0]) as client:
            client.log_in("S01", sequence=0)
            client.send(b"")
            for number in range(1, RESTING + 1):
                client.say(order(number))
            assert len(barrier(client)) == RESTING
            gateway = next(each for each in it.status()["gateways"] if each["kind"] == "order")
            os.kill(gateway["pid"], signal.SIGKILL)
            assert client.wait_closed() == []
        it.wait_until(
            lambda found: (
                found["state"] == "ready" and found["gateways"][0]["pid"] != gateway["pid"]
            )
        )
        for port in ports(it):
            with RawClient(port) as client:
                client.log_in("S01", sequence=0)
                for number in (1, 2, 3):
                    client.say(cancel(number + (10 if port == ports(it)[0] else 0)))
                assert [each[:1] for each in barrier(client)] == 3 * [b"C"]
        with RawClient(ports(it)[0]) as client:
            client.log_in("S01", sequence=0)
            for number in range(100, 120):  # in slots that are free, and only in those
                client.say(order(number, price=90_000))
            assert [each[:1] for each in barrier(client)] == 20 * [b"A"]
            for number in [*range(4, 11), *range(14, RESTING + 1), *range(100, 120)]:
                client.say(cancel(number))
            assert len(barrier(client)) == RESTING - 6 + 20
