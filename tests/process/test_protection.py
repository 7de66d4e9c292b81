"""Goal: a market maker loses no more than his protection allows, whatever happens meanwhile.

Method: a maker and a taker on two gateways, through TCP; the matcher is killed between the trigger
and the maker's next message, and the exchange is started anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateways.client import OuchClient, Side, Tag
from gateways.ouch.typed_protection import ProtectionAnswer, ProtectionFired
from tests.process.conftest import Exchange
from tests.process.test_mass import kill_matcher
from tests.process.trading import (
    MARKET,
    RawClient,
    barrier,
    brief,
    order_client,
    play,
    ports,
    running,
    said,
    settle,
)

FROZEN, BAD_ACTION, BAD_GROUP, BAD_WINDOW = 0x8021, 0x8022, 0x8023, 0x8024
BAD_LIMIT, TOO_MANY, BAD_SYMBOL = 0x8025, 0x8026, 0x17
MINUTE = 60_000_000  # microseconds
GROUP = {Tag.GROUP_ID: 7}
CAUSE = {Tag.CAUSE: 3}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("protection"), MARKET) as it:
        yield it


async def ladder(client: OuchClient, name: str, count: int = 4) -> None:
    """Offers of ten, one cent apart from 100.00 on, and a bid below, all of group 7."""
    for number in range(count):
        await client.enter(Side.SELL, 10, name, f"100.{number:02}", tags=GROUP)
    await client.enter(Side.BUY, 10, name, "99.00", tags=GROUP)


def test_a_group_is_withdrawn_and_frozen(market: Exchange) -> None:
    """One order sweeps four offers: the second trade is the last. What is not of the group stays.
    The group is frozen after a takeover and a restart, until it is reset."""

    async def swept() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "S01", sequence=0) as maker,
            await order_client(there, "S02", sequence=0) as taker,
        ):
            await maker.protect(7, window_us=MINUTE, executions=2)
            (answer,) = await settle(maker)
            assert isinstance(answer, ProtectionAnswer) and not answer.is_frozen
            limits = (answer.window, answer.executions, answer.quantity, answer.net_quantity)
            assert limits == (MINUTE, 2, 0, 0)
            assert (answer.user_ref_num, answer.group_id, answer.symbol) == (1, 7, "")
            await ladder(maker, "A01")
            await maker.enter(Side.SELL, 10, "A01", "100.50")
            await said(maker)
            await taker.enter(Side.BUY, 100, "A01", "100.40")
            executed = [("E", 1, 10, "R"), ("E", 1, 10, "R")]
            assert await said(taker) == [("A", 1, 100), *executed]
            kill_matcher(market)
            await maker.enter(Side.SELL, 10, "A01", "100.00", tags=GROUP)
            await maker.replace(7, 5, "100.60", tags=GROUP)
            told = await settle(maker)
            fired = told[2]
            assert isinstance(fired, ProtectionFired) and fired.until_reset
            amounts = (fired.reached, fired.executions, fired.quantity, fired.net_quantity)
            assert amounts == (1, 2, 20, -20)
            assert [brief(each) for each in told[:2]] == [("E", 2, 10, "A"), ("E", 3, 10, "A")]
            gone = [("C", number, 10, "Z") for number in (4, 5, 6)]
            assert [brief(each) for each in told[3:6]] == gone
            assert all(getattr(each, "tags", None) == CAUSE for each in told[3:6])
            assert [brief(each) for each in told[6:]] == [("J", 8, FROZEN), ("J", 9, FROZEN)]
            assert await said(taker) == []

    async def reset() -> None:
        async with await order_client(ports(market)[1], "S01", sequence=0) as maker:
            await settle(maker)
            await maker.enter(Side.SELL, 10, "A01", "110.00", tags=GROUP)
            await maker.reset_protection(7)
            await maker.enter(Side.SELL, 10, "A01", "110.00", tags=GROUP)
            answers = [each for each in await settle(maker) if getattr(each, "user_ref_num", 0)]
            refused, answer, accepted = answers
            assert brief(refused) == ("J", 10, FROZEN) and brief(accepted) == ("A", 12, 10)
            assert isinstance(answer, ProtectionAnswer) and not answer.is_frozen
            assert (answer.action, answer.window, answer.executions) == ("R", MINUTE, 2)

    play(swept())
    market.wait_ready()
    assert market.stop() == 0
    market.start()
    play(reset())


def test_what_a_minimum_trades_is_counted(market: Exchange) -> None:
    """The protection fires behind it, with all of its executions."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "S21", sequence=0) as maker,
            await order_client(there, "S22", sequence=0) as taker,
        ):
            await maker.protect(7, window_us=MINUTE, quantity=10)
            for _ in range(4):
                await maker.enter(Side.SELL, 100, "A09", "100.00", tags=GROUP)
            await settle(maker)
            terms = {"time_in_force": "3", "tags": {Tag.MINIMUM_QUANTITY: 300}}
            await taker.enter(Side.BUY, 350, "A09", "100.00", **terms)
            await settle(taker)
            told = await settle(maker)
            fired = told[3]
            assert isinstance(fired, ProtectionFired)
            amounts = (fired.reached, fired.executions, fired.quantity, fired.net_quantity)
            assert amounts == (2, 3, 300, -300)
            assert [brief(each) for each in told[4:]] == [("C", 5, 100, "Z")]

    play(scenario())


def test_amounts_and_scopes(market: Exchange) -> None:
    """A quantity in one symbol, a net quantity in all; other symbols and deleted ones are free.
    A short freeze is over by the next order."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "S03", sequence=0) as maker,
            await order_client(there, "S04", sequence=0) as taker,
        ):
            settings = {"window_us": MINUTE, "frozen_us": 1}
            await maker.protect(7, quantity=15, symbol="A02", **settings)
            await ladder(maker, "A02", 2)
            await ladder(maker, "A03", 2)
            await said_briefly(maker)
            for name in ("A03", "A02"):
                await taker.enter(Side.BUY, 20, name, "100.40")
                await said(taker)
            trades = [("E", number, 10, "A") for number in (5, 6, 2, 3)]
            assert await said_briefly(maker) == [*trades, "f", ("C", 4, 10, "Z")]
            await maker.protect(7, net_quantity=10, **settings)
            await ladder(maker, "A02", 2)
            await said_briefly(maker)
            await taker.enter(Side.SELL, 10, "A03", "99.00")
            await said(taker)
            gone = [("C", number, 10, "Z") for number in (9, 10, 11)]
            assert await said_briefly(maker) == [("E", 7, 10, "A"), "f", *gone]
            await maker.delete_protection(7)
            await ladder(maker, "A03", 2)
            await said_briefly(maker)
            await taker.enter(Side.BUY, 20, "A03", "100.40")
            await said(taker)
            assert await said_briefly(maker) == [("E", 13, 10, "A"), ("E", 14, 10, "A")]

    play(scenario())


async def said_briefly(client: OuchClient) -> list[object]:
    """As `said`, with `p` and `f` by their letters."""
    own = {ProtectionAnswer: "p", ProtectionFired: "f"}
    return [own.get(type(each)) or brief(each) for each in await settle(client)]


def request(
    number: int,
    action: bytes = b"S",
    group: int = 1,
    symbol: bytes = b" " * 8,
    limits: tuple[int, ...] = (1, 1, 0, 0, 0),
) -> bytes:
    """`p` by its bytes. limits: window, executions, quantity, net, frozen."""
    sizes = zip(limits, (4, 2, 4, 4, 4), strict=True)
    head = b"p" + number.to_bytes(4, "big") + b"\0" + action + group.to_bytes(2, "big") + symbol
    return head + b"".join(value.to_bytes(size, "big") for value, size in sizes)


def test_bad_values(market: Exchange) -> None:
    """Each has its reject, and uses its number; a number is used once."""
    largest = (1 << 32) - 1
    bad = (
        (BAD_ACTION, {"action": b"Q"}),
        (BAD_GROUP, {"group": 0}),
        (BAD_GROUP, {"action": b"R"}),
        (BAD_GROUP, {"action": b"D"}),
        (BAD_SYMBOL, {"symbol": b"NONE    "}),
        (BAD_WINDOW, {"limits": (0, 1, 0, 0, 0)}),
        (BAD_LIMIT, {"limits": (1, 0, 0, 0, 1)}),
        (BAD_LIMIT, {"limits": (1, 257, 0, 0, 1)}),
        (BAD_LIMIT, {"limits": (1, 0, largest, 0, 1)}),
        (BAD_LIMIT, {"limits": (1, 0, 0, largest, 1)}),
    )
    with RawClient(ports(market)[0]) as client:
        client.log_in("S05", sequence=0)
        for number, (_, values) in enumerate(bad, 1):
            client.say(request(number, **values))  # type: ignore[arg-type]
        found = barrier(client)
        expected = [(number, code) for number, (code, _) in enumerate(bad, 1)]
        told = [(int.from_bytes(m[9:13], "big"), int.from_bytes(m[13:15], "big")) for m in found]
        assert told == expected
        for number in range(11, 20):
            client.say(request(number, group=number, limits=(largest, 256, 1, 1, largest)))
        *answers, refused = barrier(client)
        assert [each[:1] for each in answers] == [b"p"] * 8
        first = request(11, group=11, limits=(largest, 256, 1, 1, largest))
        assert answers[0][9:] == first[1:] + bytes(8)
        assert (refused[:1], refused[13:15]) == (b"J", TOO_MANY.to_bytes(2, "big"))
        client.say(request(18, b"D", group=18))
        client.say(request(20)[:-1])
        assert client.wait_closed()[-1:] != [b"S"]
