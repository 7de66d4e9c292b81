"""Goal: a mass quote is carried out whole or not at all, and its orders are orders.

Method: a maker and a taker through TCP, with a takeover and a protection between the quotes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateways.client import OuchClient, Side
from gateways.client_quotes import TwoSided
from gateways.ouch.typed_messages import OrderAccepted
from gateways.ouch.typed_private import MESSAGES
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
    take,
)

OWN = {cls: letter for letter, cls in MESSAGES.items()}
FROZEN, BAD_COUNT, BAD_ID, CROSSED = 0x8021, 0x8030, 0x8031, 0x8032
BAD_SYMBOL, BAD_PRICE, BAD_QUANTITY = 0x17, 0x1D, 0x13


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("quotes"), MARKET) as it:
        yield it


async def told(client: OuchClient) -> list[object]:
    """As `said`; our own messages by their letters."""
    return [OWN.get(type(each)) or brief(each) for each in await settle(client)]


def two_sided(number: int, bid: str, ask: str, size: int = 10) -> TwoSided:
    """Of the instrument with the quote's number."""
    return TwoSided(number, f"A{number:02}", bid, size, ask, size)


def test_quotes_replace_the_last_ones(market: Exchange) -> None:
    """Also after a takeover; one side, none, a side that would cross, and a frozen group."""

    async def scenario() -> None:
        here, there = ports(market)
        async with (
            await order_client(here, "S01", sequence=0) as maker,
            await order_client(there, "S02", sequence=0) as taker,
        ):
            await maker.protect(7, window_us=60_000_000, quantity=15)
            first = await maker.mass_quote(
                [two_sided(each, "99.00", "101.00") for each in (1, 2)], group=7
            )
            assert (first, maker.next_user_ref) == (2, 7)
            messages = await settle(maker)
            accepted = [each for each in messages if isinstance(each, OrderAccepted)]
            names = [(each.user_ref_num, each.side, each.client_order_id) for each in accepted]
            assert names == [(3, "B", "Q001"), (4, "S", "Q001"), (5, "B", "Q002"), (6, "S", "Q002")]
            assert accepted[0].tags == {12: "P", 24: 7}
            kill_matcher(market)
            await maker.mass_quote([two_sided(1, "98.00", "102.00"), TwoSided(2, "A02")], group=7)
            gone = [("C", number, 10, "U") for number in (3, 4, 5, 6)]
            assert await told(maker) == ["q", *gone, ("A", 8, 10), ("A", 9, 10)]
            await taker.enter(Side.BUY, 5, "A01", "102.00")
            await taker.enter(Side.SELL, 5, "A02", "103.00")
            await said(taker)
            await maker.mass_quote([TwoSided(2, "A02", "103.00", 10)], group=7)
            answers = await settle(maker)
            slid = answers[-1]
            assert isinstance(slid, OrderAccepted) and str(slid.price) == "102.9900"
            await taker.enter(Side.BUY, 5, "A01", "102.00")
            await taker.enter(Side.SELL, 5, "A02", "102.99")
            await said(taker)
            gone = [("C", 8, 10, "Z"), ("C", 13, 5, "Z")]
            fills = [("E", 9, 5, "A"), ("E", 13, 5, "A")]
            assert await told(maker) == [*fills, "f", *gone]
            number = await maker.mass_quote([two_sided(3, "99.00", "101.00")], group=7)
            assert await told(maker) == [("J", number, FROZEN)]

    play(scenario())


def quote(number: int, symbol: bytes, *terms: int) -> bytes:
    """Bytes of one quote. terms: price and quantity of the bid, and of the ask."""
    sizes = zip(terms, (8, 4, 8, 4), strict=True)
    return number.to_bytes(2, "big") + symbol + b"".join(v.to_bytes(n, "big") for v, n in sizes)


def mass_quote(number: int, *quotes: bytes) -> bytes:
    """Bytes of the message, without a group."""
    return b"q" + number.to_bytes(4, "big") + bytes(3) + bytes([len(quotes)]) + b"".join(quotes)


def test_all_or_nothing(market: Exchange) -> None:
    """One bad quote behind a good one: its reject, and what was quoted stays. Numbers are used
    once, and slots are given back: so often that there would be none left."""
    good = (1_000_000, 10, 1_010_000, 10)
    bad = (
        (BAD_ID, quote(0, b"A05     ", *good)),
        (BAD_ID, quote(257, b"A05     ", *good)),
        (BAD_ID, quote(5, b"A05     ", *good)),
        (BAD_SYMBOL, quote(6, b"NONE    ", *good)),
        (BAD_PRICE, quote(6, b"A05     ", 1_000_001, *good[1:])),
        (BAD_QUANTITY, quote(6, b"A05     ", *good[:3], 1_000_000)),
        (CROSSED, quote(6, b"A05     ", *good[:2], *good[:2])),
    )
    with RawClient(ports(market)[0]) as client:
        client.log_in("S03", sequence=0)
        client.say(mass_quote(1, quote(5, b"A05     ", *good)))
        assert [each[:1] for each in barrier(client)] == [b"q", b"A", b"A"]
        for number, (code, each) in enumerate(bad, 10):
            client.say(mass_quote(number, quote(5, b"A05     ", *good), each))
            (reject,) = barrier(client)
            assert (reject[:1], reject[13:15]) == (b"J", code.to_bytes(2, "big"))
        client.say(mass_quote(20))
        client.say(mass_quote(21, *(quote(each, b"A05     ", *good) for each in range(1, 18))))
        client.say(mass_quote((1 << 32) - 2, quote(5, b"A05     ", *good)))
        assert {each[13:15] for each in barrier(client)[:2]} == {BAD_COUNT.to_bytes(2, "big")}
    with RawClient(ports(market)[1]) as client:
        client.log_in("S04", sequence=0)
        sixteen = [quote(each, b"A06     ", *good) for each in range(1, 17)]
        for _ in range(240):  # a command ring's end comes by, and behind it the next
            for number in range(10):
                client.say(mass_quote(1 + 100 * number, *sixteen[:-1], bad[3][1]))
            barrier(client)
        client.say(mass_quote(2_000, *sixteen))
        assert [each[:1] for each in barrier(client)] == [b"q"] + 32 * [b"A"]
        client.say(mass_quote(2_000, *sixteen) + b"x")
        client.wait_closed()


def test_a_stream_of_long_groups_is_replayed(market: Exchange) -> None:
    """Its end is found from behind, in steps that begin and end within the events of a quote.

    More of them than a gateway looks through at once; both gateways give all, and go on serving.
    """
    quotes, rounds = 16, 700

    async def scenario() -> None:
        here, there = ports(market)
        async with await order_client(here, "S05", sequence=0) as maker:
            for size in range(1, rounds + 1):
                await maker.mass_quote(
                    [two_sided(each, "50.00", "150.00", size) for each in range(1, quotes + 1)]
                )
            live = await settle(maker)
        for port in (there, here):
            async with await order_client(port, "S05", sequence=1) as again:
                assert (await take(again, len(live) + 1))[1:] == live  # the first is `S`
            async with await order_client(port, "S06", sequence=0) as other:
                assert await settle(other) == []

    play(scenario())
