"""Goal: what an order may ask for beyond price and quantity, as a client meets it through TCP.

Method: one exchange for the whole file, real TCP, the asyncio client. Every test has sessions and
an instrument of its own, and ends with an account query: behind that barrier nothing can come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from gateways.client import OuchClient, Sequenced, Side, Tag, TimeInForce
from gateways.ouch.typed_messages import MESSAGES as OUCH_MESSAGES
from gateways.ouch.typed_messages import (
    AccountQueryResponse,
    OrderAccepted,
    OrderCanceled,
    OrderReplaced,
    OrderRestated,
    Rejected,
)
from gateways.ouch.typed_private import OrderTimes, SharesAheadAnswer
from gateways.typed import Message
from shm_exchange import handover
from shm_exchange.latencies import STAGES
from tests.process.conftest import Exchange
from tests.process.trading import (
    RawClient,
    brief,
    feed_client,
    play,
    ports,
    running,
    said,
    settle,
    take,
    trade,
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("order_types")) as it:
        yield it


def streams(it: Exchange, username: str) -> list[list[bytes]]:
    """The whole stream of a session, as each order gateway replays it."""
    found = []
    for port in ports(it):
        with RawClient(port) as client:
            client.log_in(username)
            client.say(b"Q")
            messages: list[bytes] = []
            while not messages or messages[-1][:1] != b"Q":
                messages += client.messages(1)
            found.append(messages[:-1])
    return found


def test_tags_come_back(market: Exchange) -> None:
    """`A` and `U` repeat them, a replacement inherits; replays give the same bytes elsewhere."""
    plain = {Tag.FIRM: "", Tag.CUSTOMER_TYPE: "R", Tag.GROUP_ID: 77}
    private = {Tag.GOOD_TILL_CANCELLED: "G", Tag.STAY_ON_DISCONNECT: "Y"}

    async def scenario(client: OuchClient) -> None:
        for _ in range(200):  # many in one batch: some groups end where a batch does
            tags = {**plain, **private}
            order = await client.enter(Side.SELL, 10, "A01", "10.00", tags=tags)
            await client.cancel(order)
        order = await client.enter(Side.SELL, 10, "A01", "10.00", tags=plain)
        await client.replace(order, 20, "11.00", tags={Tag.TRADE_NOW: "N"})
        *many, accepted, replaced = await settle(client)
        assert isinstance(accepted, OrderAccepted) and isinstance(replaced, OrderReplaced)
        assert accepted.tags == plain
        assert replaced.tags == {Tag.FIRM: "", Tag.TRADE_NOW: "N"}
        found = [each.tags for each in many if isinstance(each, OrderAccepted)]
        assert found == [{**plain, **private}] * 200

    trade(market, "S01", scenario)
    first, second = streams(market, "S01")
    assert len(first) == 1 + 2 * 200 + 2  # `S`, then all up to the first answer of a query
    assert second == first


IOC, GTT = TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.GOOD_TILL_TIME


def test_a_minimum_is_filled_at_once_or_nothing_is(market: Exchange) -> None:
    """Fill or kill is a minimum of the whole quantity; hidden and reserved lots count."""

    async def scenario(client: OuchClient) -> None:
        first = await client.enter(Side.SELL, 30, "A02", "10.00")
        second = await client.enter(Side.SELL, 50, "A02", "10.01", display="N")
        await client.enter(Side.SELL, 90, "A02", "10.02")
        assert len(await said(client)) == 3
        options = {"time_in_force": IOC}
        kill = {"tags": {Tag.MINIMUM_QUANTITY: 81}} | options
        order = await client.enter(Side.BUY, 81, "A02", "10.01", **kill)
        assert await said(client) == [("A", order, 81), ("C", order, 81, "I")]
        fill = {"tags": {Tag.MINIMUM_QUANTITY: 80}} | options
        order = await client.enter(Side.BUY, 100, "A02", "10.01", **fill)
        assert await said(client) == [
            *(("A", order, 100), ("E", first, 30, "A"), ("E", order, 30, "R")),
            *(("E", second, 50, "J"), ("E", order, 50, "R"), ("C", order, 20, "I")),
        ]

    trade(market, "S02", scenario)


def test_post_only(market: Exchange) -> None:
    """Slides once to the nearest price that does not cross, or is refused; hidden contras count."""

    async def scenario(client: OuchClient) -> None:
        hidden = await client.enter(Side.SELL, 30, "A03", "10.00", display="N")
        slides = {"tags": {Tag.POST_ONLY: "P"}}
        order = await client.enter(Side.BUY, 10, "A03", "10.05", **slides)
        _, accepted = await settle(client)
        assert isinstance(accepted, OrderAccepted)
        assert (accepted.user_ref_num, accepted.price) == (order, Decimal("9.99"))
        refuses = {"tags": {Tag.POST_ONLY_REJECT: "R"}}
        refused = await client.enter(Side.BUY, 10, "A03", "10.00", **refuses)
        stands = await client.enter(Side.BUY, 10, "A03", "9.98", **refuses)
        assert await said(client) == [
            *(("A", refused, 10), ("C", refused, 10, "G"), ("A", stands, 10)),
        ]
        stays = await client.replace(stands, 10, "9.99")  # a replacement is as the order was
        leaves = await client.replace(stays, 5, "9.97", tags={Tag.POST_ONLY_REJECT: "N"})
        now = await client.replace(
            leaves, 5, "10.00"
        )  # it says for itself that it is not, for good
        assert await said(client) == [
            *(("U", stands, stays, 10), ("U", stays, leaves, 5), ("U", leaves, now, 5)),
            *(("E", hidden, 5, "J"), ("E", now, 5, "R")),
        ]
        new = await client.replace(order, 10, "10.01")  # inherits: it slides as well
        (replaced,) = await settle(client)
        assert isinstance(replaced, OrderReplaced) and replaced.price == Decimal("9.99")
        assert replaced.tags == {Tag.POST_ONLY: "P"}
        plain = await client.replace(new, 10, "10.00", tags={Tag.POST_ONLY: "N"})
        assert await said(client) == [
            *(("U", new, plain, 10), ("E", hidden, 10, "J"), ("E", plain, 10, "R")),
        ]

    trade(market, "S03", scenario)


def test_an_order_ends_at_its_time(market: Exchange) -> None:
    """`C` `T` with its cause, without any message after it; a replacement begins its time anew."""

    async def scenario(client: OuchClient) -> None:
        lasting = {"time_in_force": GTT}
        soon = await client.enter(Side.SELL, 5, "A04", "10", tags={Tag.EXPIRE_TIME: 1}, **lasting)
        late = await client.enter(Side.SELL, 6, "A04", "10", tags={Tag.EXPIRE_TIME: 99}, **lasting)
        never = await client.enter(Side.SELL, 7, "A04", "10", tags={Tag.EXPIRE_TIME: 1}, **lasting)
        never = await client.replace(never, 7, "11")
        accepted = (await settle(client))[0]
        (ended,) = await take(client, 1)
        assert isinstance(accepted, OrderAccepted) and isinstance(ended, OrderCanceled)
        assert (ended.user_ref_num, ended.quantity, ended.reason) == (soon, 5, "T")
        assert ended.tags == {Tag.CAUSE: 4}
        assert ended.timestamp - accepted.timestamp >= 1_000_000_000
        new = await client.replace(late, 6, "10", tags={Tag.EXPIRE_TIME: 1}, **lasting)
        replaced, ended = await take(client, 2)
        assert isinstance(replaced, OrderReplaced) and isinstance(ended, OrderCanceled)
        assert (ended.user_ref_num, ended.reason) == (new, "T")
        assert ended.timestamp - replaced.timestamp >= 1_000_000_000
        await client.cancel(never)
        assert await said(client) == [("C", never, 7, "U")]

    trade(market, "S04", scenario)


def test_a_reserve_shows_a_part(market: Exchange) -> None:
    """Refreshed behind the others under a new number, and hit again by the same order."""

    async def scenario(client: OuchClient) -> None:
        reserve = await client.enter(Side.SELL, 25, "A05", "10.00", tags={Tag.MAXIMUM_FLOOR: 10})
        other = await client.enter(Side.SELL, 5, "A05", "10.00")
        hidden = await client.enter(Side.SELL, 3, "A05", "10.00", display="N")
        assert len(await said(client)) == 3
        taker = await client.enter(Side.BUY, 27, "A05", "10.00")
        messages = await settle(client)
        notices = [each for each in messages if isinstance(each, OrderRestated)]
        assert [each.reason for each in notices] == ["R", "R"]
        assert [each.tags[Tag.DISPLAY_QUANTITY] for each in notices] == [10, 5]
        assert [each.tags[Tag.DISPLAY_PRICE] for each in notices] == [100_000, 100_000]
        numbers = [each.tags[Tag.SECONDARY_ORDER_REFERENCE] for each in notices]
        assert len(set(numbers)) == 2
        await client.enter(Side.BUY, 8, "A05", "10.00")
        makers = [(reserve, 10), (other, 5), (reserve, 10), (reserve, 2), (reserve, 3), (hidden, 3)]
        found = [
            each for each in [*messages, *await settle(client)] if hasattr(each, "match_number")
        ]
        traded = [(each.user_ref_num, each.quantity) for each in found[::2]]
        assert traded == makers
        assert found[1].user_ref_num == taker

    trade(market, "S05", scenario)


def test_the_feed_of_hidden_and_reserve_orders(market: Exchange) -> None:
    """The book of the feed has the displayed parts alone."""

    async def scenario() -> None:
        port, feed_port = ports(market)[0], ports(market, "market_data")[0]
        async with (
            await OuchClient.connect("127.0.0.1", port, "S06", "demo", sequence=0) as client,
            await feed_client(feed_port, sequence=0) as feed,
        ):
            await client.enter(Side.SELL, 25, "A06", "10.00", tags={Tag.MAXIMUM_FLOOR: 10})
            await client.enter(Side.SELL, 9, "A06", "10.00", display="N")
            await client.enter(Side.BUY, 12, "A06", "10.00")
            await settle(client)
            messages = await take(feed, 4)
            assert [type(each).__name__ for each in messages] == [
                *("AddOrder", "OrderExecuted", "AddOrder", "OrderExecuted"),
            ]
            assert [getattr(each, "shares", 0) for each in messages][::2] == [10, 10]

    play(scenario())


TIMES, AHEAD = {Tag.TIMES_ASKED: "Y"}, {Tag.SHARES_AHEAD_ASKED: "Y"}
TIME_TAGS = [Tag.RECEIVED, Tag.ENQUEUED, Tag.MATCHED]
ENDLESS = 0xFFFF_FFFF


def test_where_an_order_has_spent_its_time(market: Exchange) -> None:
    """Three times in its acknowledgement, two behind it, for the one request that asks."""

    async def scenario(client: OuchClient) -> None:
        order = await client.enter(Side.SELL, 10, "A07", "10.00", tags=TIMES)
        plain = await client.replace(order, 10, "11.00")
        silent = await client.enter(
            Side.SELL, 10, "A07", "10.00", tags={Tag.TIMES_ASKED: "N", Tag.GROUP_ID: 3}
        )
        asked = await client.replace(plain, 10, "12.00", tags=TIMES)
        wrong = await client.enter(Side.SELL, 10, "A07", "10.00", tags={Tag.TIMES_ASKED: "X"})
        found = [await anext(client)]
        while sum(isinstance(each.message, OrderTimes) for each in found) < 2:
            found.append(await anext(client))
        found += [item async for item in rest(client)]
        said = {
            each.message.user_ref_num: each
            for each in found
            if isinstance(each.message, OrderAccepted | OrderReplaced)
        }
        told = [each.message for each in found if isinstance(each.message, OrderTimes)]
        assert [each.sequence for each in found if each.message in told] == [0, 0]
        assert [each.user_ref_num for each in told] == [order, asked]
        for times in told:
            message = said[times.user_ref_num].message
            assert isinstance(message, OrderAccepted | OrderReplaced)
            assert times.sequence == said[times.user_ref_num].sequence
            assert list(message.tags) == TIME_TAGS
            moments = [int(str(message.tags[each])) for each in TIME_TAGS]
            assert moments[-1] == message.timestamp
            moments += [times.published, times.sent]
            assert moments == sorted(moments) and moments[-1] - moments[0] < 60_000_000_000
        assert isinstance(first := said[plain].message, OrderReplaced) and not first.tags
        assert isinstance(other := said[silent].message, OrderAccepted)
        assert other.tags == {Tag.GROUP_ID: 3}
        (reject,) = (each.message for each in found if isinstance(each.message, Rejected))
        assert (reject.user_ref_num, reject.reason) == (wrong, 0x8100 + Tag.TIMES_ASKED)

    trade(market, "S07", scenario)


def counted(market: Exchange) -> dict[str, tuple[int, int]]:
    """Stage -> how many orders of all gateways were counted, and the sum of their times in ns."""
    rows = market.status()["latencies"]
    return {
        stage: tuple(
            sum(row[key] for row in rows if row["stage"] == stage) for key in ("count", "sum_ns")
        )
        for stage in STAGES
    }


def test_the_latencies_of_orders_are_counted(market: Exchange) -> None:
    """Each order and replace once, with the times that tag 143 says; nothing else."""
    spent: list[list[int]] = []

    async def scenario(client: OuchClient) -> None:
        order = await client.enter(Side.SELL, 10, "A29", "10.00", tags=TIMES)
        order = await client.replace(order, 10, "11.00", tags=TIMES)
        await client.cancel(order)
        await client.enter(Side.SELL, 10, "A29", "10.00", tags={Tag.TIMES_ASKED: "X"})
        moments: dict[int, list[int]] = {}
        while len(spent) < 2:
            message = (await anext(client)).message
            if isinstance(message, OrderAccepted | OrderReplaced):
                tags = message.tags
                moments[message.user_ref_num] = [int(str(tags[each])) for each in TIME_TAGS]
            elif isinstance(message, OrderTimes):
                begin, _, matched = moments[message.user_ref_num]
                spent.append([each - begin for each in (matched, message.published, message.sent)])

    before = counted(market)
    trade(market, "S29", scenario)
    after = counted(market)
    grown = {name: after[name][0] - before[name][0] for name in STAGES}
    assert grown == dict.fromkeys(STAGES, 2)
    matched, published, sent, total = (after[name][1] - before[name][1] for name in STAGES)
    told_matched, told_published, told_sent = map(sum, zip(*spent, strict=True))
    assert matched == told_matched
    # What is told was read from the clock a moment after what is counted.
    assert matched < matched + published <= told_published
    assert matched + published < total == matched + published + sent <= told_sent


async def rest(client: OuchClient) -> AsyncIterator[Sequenced]:
    """What comes up to the answer of a barrier, without it."""
    await client.account_query()
    while not isinstance((item := await anext(client)).message, AccountQueryResponse):
        yield item


def ahead(messages: list[Message]) -> list[int]:
    """What each acknowledgement says of the lots ahead."""
    return [
        int(str(each.tags[Tag.SHARES_AHEAD]))
        for each in messages
        if isinstance(each, OrderAccepted | OrderReplaced) and Tag.SHARES_AHEAD in each.tags
    ]


def test_shares_ahead_in_the_acknowledgement(market: Exchange) -> None:
    """As the question at the same moment says; what a reserve does not show comes later."""

    async def scenario(client: OuchClient) -> None:
        async def asked(order: int) -> int:
            await client.ask_shares_ahead(order)
            answer = (await anext(client)).message
            assert isinstance(answer, SharesAheadAnswer) and answer.state == "Y"
            return answer.shares

        await client.enter(Side.SELL, 25, "A08", "10.00", tags={Tag.MAXIMUM_FLOOR: 10})
        await client.enter(Side.SELL, 7, "A08", "10.00")
        await client.enter(Side.SELL, 3, "A08", "10.00", display="N")
        await client.enter(Side.SELL, 50, "A08", "9.99")
        assert len(await said(client)) == 4
        order = await client.enter(Side.SELL, 5, "A08", "10.00", tags=AHEAD)
        assert ahead(await settle(client)) == [17]
        assert await asked(order) == 17
        hidden = await client.enter(Side.SELL, 5, "A08", "10.00", display="N", tags=AHEAD)
        assert ahead(await settle(client)) == [25 + 7 + 5 + 3]
        assert await asked(hidden) == 40
        order = await client.replace(order, 5, "9.99", tags=AHEAD)
        assert ahead(await settle(client)) == [50]
        await client.replace(order, 5, "9.98")
        crossing = await client.enter(Side.BUY, 70, "A08", "9.99", tags=AHEAD)
        await client.enter(Side.BUY, 1, "A08", "9.99", tags=AHEAD)
        found = await settle(client)
        assert ahead(found) == [0, 70 - 55]
        assert ("A", crossing, 70) in [brief(each) for each in found if not_private(each)]

    trade(market, "S08", scenario)


def not_private(message: Message) -> bool:
    """OUCH's own."""
    return type(message) in OUCH_MESSAGES.values()


def test_too_many_to_be_counted(market: Exchange) -> None:
    """The matcher looks at 256 orders of a queue; a question at 4,096."""

    async def scenario(client: OuchClient) -> None:
        for _ in range(255):
            await client.enter(Side.SELL, 2, "A09", "10.00")
        await client.enter(Side.SELL, 2, "A09", "10.00", tags=AHEAD)
        order = await client.enter(Side.SELL, 2, "A09", "10.00", tags=AHEAD)
        assert ahead(await settle(client)) == [2 * 255, ENDLESS]
        await client.ask_shares_ahead(order)
        answer = (await anext(client)).message
        assert isinstance(answer, SharesAheadAnswer)
        assert (answer.state, answer.shares) == ("Y", 2 * 256)

    trade(market, "S09", scenario)


def test_a_replay_says_the_same_times(market: Exchange) -> None:
    """Also under another matcher, which had none of it from a command, and at another gateway."""
    before = {name: streams(market, name) for name in ("S07", "S08", "S09")}
    assert all(first == second[: len(first)] for first, second in before.values())
    market.wait_ready()
    handover.promote(market.name, None)
    for name, (first, _) in before.items():
        for stream in streams(market, name):
            assert stream[: len(first)] == first
