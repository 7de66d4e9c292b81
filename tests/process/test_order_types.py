"""Goal: what an order may ask for beyond price and quantity, as a client meets it through TCP.

Method: one exchange for the whole file, real TCP, the asyncio client. Every test has sessions and
an instrument of its own, and ends with an account query: behind that barrier nothing can come.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateways.client import OuchClient, Side, Tag
from gateways.ouch.typed_messages import OrderAccepted, OrderReplaced
from tests.process.conftest import Exchange
from tests.process.trading import RawClient, ports, running, settle, trade


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
    plain = {Tag.FIRM: "ABCD", Tag.CUSTOMER_TYPE: "R", Tag.GROUP_ID: 77}
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
        assert replaced.tags == {Tag.FIRM: "ABCD", Tag.TRADE_NOW: "N"}
        found = [each.tags for each in many if isinstance(each, OrderAccepted)]
        assert found == [{**plain, **private}] * 200

    trade(market, "S01", scenario)
    first, second = streams(market, "S01")
    assert len(first) == 1 + 2 * 200 + 2  # `S`, then all up to the first answer of a query
    assert second == first
