"""Goal: what a session asks of many orders reaches exactly those, and outlives the matcher.

Method: sessions of two firms on two gateways, through TCP; the matcher is killed between what
triggers and the client's next message. What rests is read by a replica of the market.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.client import OuchClient, Side, Tag
from gateways.itch.typed_messages import BrokenTrade as FeedBrokenTrade
from gateways.itch.typed_messages import TradingAction
from gateways.ouch.typed_messages import BrokenTrade, OrderExecuted
from tests.process.conftest import ROOT, Exchange
from tests.process.test_disconnect import symbol
from tests.process.trading import (
    MARKET,
    RawClient,
    barrier,
    feed_client,
    order_client,
    play,
    ports,
    running,
    said,
    settle,
    take,
)

FIRMS = MARKET + "".join(
    f'[[session_range]]\nprefix = "{prefix}"\nlast = 20\npassword = "demo"\nfirm = "{firm}"\n'
    for prefix, firm in (("A", "ACME"), ("B", "BETA"))
)
HALTED = 0x07
NOT_YOUR_FIRM, BAD_SIDE, BAD_SYMBOL, NO_ENTRY = 0x0C, 0x09, 0x17, 0x8020
CAUSE_APPENDAGE = b"\0\3\2\x85\2"  # private tag 133: a mass cancel


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("mass"), FIRMS) as it:
        yield it


def shmx(*words: str) -> subprocess.CompletedProcess[str]:
    """The command with these words."""
    command = [sys.executable, "-m", "shm_exchange.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def kill_matcher(it: Exchange) -> None:
    """A standby takes over."""
    found = it.wait_ready()["engines"][0]
    os.kill(found["matcher_pid"], signal.SIGKILL)
    it.wait_until(lambda now: now["engines"][0]["epoch"] > found["epoch"])


async def quote(client: OuchClient, name: str, price: str = "100.00") -> None:
    """A bid and an offer, twenty apart, of ten shares."""
    await client.enter(Side.BUY, 10, name, price)
    await client.enter(Side.SELL_SHORT, 10, name, str(float(price) + 20))


def test_what_is_chosen_goes_and_nothing_else(market: Exchange) -> None:
    """By side, by symbol, everything; an order of the firm's other session stays."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "A01", sequence=0) as client,
            await order_client(there, "A02", sequence=0) as sibling,
        ):
            await quote(sibling, "A01")
            await said(sibling)
            await quote(client, "A01")
            await quote(client, "A02")
            await said(client)
            await client.mass_cancel(symbol="A01", side=Side.SELL)
            assert await said(client) == [("X", 5, "A01"), ("C", 2, 10, "U")]
            await client.mass_cancel(symbol="A02")
            assert await said(client) == [("X", 6, "A02"), ("C", 3, 10, "U"), ("C", 4, 10, "U")]
            await client.mass_cancel()
            await client.mass_cancel()
            assert await said(client) == [("X", 7, ""), ("C", 1, 10, "U"), ("X", 8, "")]
            assert await said(sibling) == []

    play(scenario())


def test_a_group(market: Exchange) -> None:
    """Orders that carry the group id of tag 24, and not those of another or of none."""

    async def scenario() -> None:
        async with await order_client(ports(market)[1], "A12", sequence=0) as client:
            for group in (7, 8, 0, 7):
                tags = {Tag.GROUP_ID: group} if group else {}
                await client.enter(Side.BUY, 10, "A12", "100.00", tags=tags)
            await said(client)
            await client.mass_cancel(tags={Tag.GROUP_ID: 7})
            assert await said(client) == [("X", 5, ""), ("C", 1, 10, "U"), ("C", 4, 10, "U")]

    play(scenario())


def test_the_whole_firm(market: Exchange) -> None:
    """A sibling's orders are cancelled too, in its own stream; another firm is none of ours."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "A03", sequence=0) as client,
            await order_client(there, "A04", sequence=0) as sibling,
            await order_client(there, "B03", sequence=0) as stranger,
        ):
            for each in (client, sibling, stranger):
                await quote(each, "A03")
                await said(each)
            await client.mass_cancel(firm="BETA")
            assert await said(client) == [("J", 3, NOT_YOUR_FIRM)]
            await client.mass_cancel(firm="ACME", symbol="A03")
            assert await said(client) == [("X", 4, "A03"), ("C", 1, 10, "U"), ("C", 2, 10, "U")]
            assert await said(sibling) == [("C", 1, 10, "U"), ("C", 2, 10, "U")]
            assert await said(stranger) == []

    play(scenario())


def test_numbers_and_bad_requests(market: Exchange) -> None:
    """A number is used once, refused or not; a lower one is silent. All bytes of the answers."""
    with RawClient(ports(market)[0]) as client:
        client.log_in("A05", sequence=0)
        many = b"C%b    %b\0\0"
        client.say(many % ((5).to_bytes(4, "big"), b" " * 8))
        assert [each[9:] for each in barrier(client)] == [b"\0\0\0\5" + b" " * 12 + b"\0\0"]
        client.say(many % ((5).to_bytes(4, "big"), b" " * 8))
        client.say(many % ((4).to_bytes(4, "big"), b"NONE    "))
        assert barrier(client) == []
        client.say(many % ((6).to_bytes(4, "big"), b"NONE    "))
        client.say(b"C\0\0\0\7" + b" " * 12 + b"\0\3\2\x1bX")  # side `X`
        client.say(b"C\0\0\0\x08" + b" " * 12 + b"\0\3\2\x18\1")  # a group in one byte
        client.say(b"D\0\0\0\x09BETA\0\0")
        client.say(b"E\0\0\0\x0a    \0\3\2\x1bB")  # a tag that it may not carry
        codes = (BAD_SYMBOL, BAD_SIDE, 0x8118, NOT_YOUR_FIRM, 0x811B)
        expected = [
            number.to_bytes(4, "big") + code.to_bytes(2, "big") + b" " * 14 + b"\0\0"
            for number, code in enumerate(codes, 6)
        ]
        assert [each[9:] for each in barrier(client)] == expected


def test_a_mass_cancel_and_a_takeover(market: Exchange) -> None:
    """The matcher dies behind the trigger: everything is cancelled once, and says why."""
    count = 300
    with RawClient(ports(market)[0]) as client:
        client.log_in("A06", sequence=0)
        for number in range(1, count + 1):
            head = b"O" + number.to_bytes(4, "big") + b"B" + (10).to_bytes(4, "big")
            price = (100_000 + 100 * number).to_bytes(8, "big")
            client.say(head + symbol(6) + price + b"0YPNN" + b" " * 14 + b"\0\0")
        assert len(barrier(client)) == count
        client.say(b"C" + (count + 1).to_bytes(4, "big") + b" " * 12 + b"\0\0")
        kill_matcher(market)
        answer, *cancels = barrier(client)
        assert answer[:1] == b"X"
        numbers = [int.from_bytes(each[9:13], "big") for each in cancels]
        assert numbers == list(range(1, count + 1))
        assert {(each[:1], each[13:]) for each in cancels} == {
            (b"C", b"\0\0\0\x0aU" + CAUSE_APPENDAGE)
        }


def test_order_entry_stays_disabled(market: Exchange) -> None:
    """Orders and replaces are refused, cancels work: after a takeover, elsewhere, and restarted."""

    async def refused(client: OuchClient, resting: int) -> None:
        await said(client)
        first = client.next_user_ref
        await client.enter(Side.BUY, 10, "A07", "100.00")
        await client.replace(resting, 5, "99.00")
        assert (await said(client))[-2:] == [("J", first, NO_ENTRY), ("J", first + 1, NO_ENTRY)]

    async def disable() -> None:
        async with await order_client(ports(market)[0], "A07", sequence=0) as client:
            await quote(client, "A07")
            await client.disable_entry()
            assert (await said(client))[-1] == ("G", 3, "")
            kill_matcher(market)
            await refused(client, 1)
            await client.cancel(2)
            assert await said(client) == [("C", 2, 10, "U")]

    async def enable() -> None:
        async with await order_client(ports(market)[1], "A07", sequence=0) as client:
            await refused(client, 1)
            await client.enable_entry()
            await client.replace(1, 5, "99.00")
            number = client.next_user_ref
            assert await said(client) == [("K", number - 2, ""), ("U", 1, number - 1, 5)]

    play(disable())
    market.wait_ready()
    assert market.stop() == 0
    market.start()
    play(enable())


def test_the_firms_switch(market: Exchange) -> None:
    """One session switches all of its firm off; a session's own switch does not undo that."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "A08", sequence=0) as risk,
            await order_client(there, "A09", sequence=0) as trader,
            await order_client(there, "B09", sequence=0) as stranger,
        ):
            await risk.disable_entry(firm="ACME")
            assert await said(risk) == [("G", 1, "ACME")]
            await trader.enable_entry()
            await trader.enter(Side.BUY, 10, "A08", "100.00")
            assert await said(trader) == [("K", 1, ""), ("J", 2, NO_ENTRY)]
            await stranger.enter(Side.BUY, 10, "A08", "100.00")
            assert await said(stranger) == [("A", 1, 10)]
            await trader.enable_entry(firm="ACME")
            await trader.enter(Side.BUY, 10, "A08", "100.00")
            assert await said(trader) == [("K", 3, "ACME"), ("A", 4, 10)]

    play(scenario())


def operate(it: Exchange, *words: str) -> dict[str, object]:
    """What `shmx` answers to an operator."""
    done = shmx(*words, "--name", it.name, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_an_instrument_is_halted(market: Exchange) -> None:
    """Orders and replaces are refused, cancels work, also after a takeover; the feed shows it."""

    async def scenario() -> None:
        async with (
            await order_client(ports(market)[0], "A10", sequence=0) as client,
            await feed_client(ports(market, "market_data")[0], sequence=0) as feed,
        ):
            await quote(client, "A10")
            await said(client)
            assert operate(market, "halt", "A10", "--reason", "T1")["state"] == "halted"
            kill_matcher(market)
            await client.enter(Side.BUY, 10, "A10", "100.00")
            await client.replace(1, 5, "99.00")
            await client.cancel(2)
            expected = [("J", 3, HALTED), ("J", 4, HALTED), ("C", 2, 10, "U")]
            assert await said(client) == expected
            operate(market, "halt", "A10", "--state", "closed")
            operate(market, "halt", "A10", "--state", "cancel-only")
            assert operate(market, "resume", "A10")["state"] == "open"
            await client.replace(1, 5, "99.00")
            assert await said(client) == [("U", 1, 5, 5)]
            seen: list[tuple[str, str]] = []
            while not seen or seen[-1][0] != "T":
                (message,) = await take(feed, 1)
                if isinstance(message, TradingAction) and message.stock == "A10":
                    seen.append((message.trading_state, message.reason))
            assert seen == [("H", "T1"), ("H", "CLSD"), ("Q", ""), ("T", "")]

    play(scenario())


def test_a_trade_is_broken_once(market: Exchange) -> None:
    """`B` to both sides with the match number of their `E`, and on the feed."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "A11", sequence=0) as maker,
            await order_client(there, "B11", sequence=0) as taker,
            await feed_client(ports(market, "market_data")[0], sequence=0) as feed,
        ):
            await maker.enter(Side.SELL, 10, "A11", "100.00")
            await said(maker)
            await taker.enter(Side.BUY, 4, "A11", "100.00")
            trade = (await settle(taker))[-1]
            assert isinstance(trade, OrderExecuted)
            number = str(trade.match_number)
            assert operate(market, "bust", number, "--reason", "consent")["reason"] == "consent"
            for client, user_ref in ((maker, 1), (taker, 1)):
                broken = (await settle(client))[-1]
                assert isinstance(broken, BrokenTrade)
                told = (broken.user_ref_num, broken.match_number, broken.reason)
                assert told == (user_ref, trade.match_number, "C")
            (message,) = await take(feed, 1)
            while not isinstance(message, FeedBrokenTrade):
                (message,) = await take(feed, 1)
            assert message.match_number == trade.match_number

    play(scenario())


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("halt", "NONE"), 1, "no instrument NONE"),
        (("halt", "A12", "--reason", "too long"), 2, "1 to 4 letters and digits"),
        (("bust", str(1 << 48)), 1, "no trade's"),
        (("bust", str(9 << 48)), 1, "no engine here; executions on OUCH and the feed name theirs"),
    ],
)
def test_what_an_operator_cannot_do(
    market: Exchange, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """One sentence; exit code 2 when no exchange could do it."""
    done = shmx(*words, "--name", market.name)
    assert done.returncode == code
    assert sentence in done.stderr and done.stderr.count("\n") == 1


def test_the_configuration_names_the_firm(tmp_path: Path) -> None:
    """What a file says arrives in the market as the four characters on the wire."""
    from shm_exchange.config import load
    from shm_exchange.recovery import empty_market

    file = tmp_path / "exchange.toml"
    file.write_text(FIRMS, encoding="utf-8")
    sessions = empty_market(load(file), 1).sessions["firm"]
    found = {int(each).to_bytes(4, "little") for each in sessions}
    assert found == {b"    ", b"ACME", b"BETA"}
