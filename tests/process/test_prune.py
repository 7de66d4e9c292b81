"""Goal: what `shmx journal prune` removes beneath a running exchange is what nobody there reads.

Method: a ring of 1,024 events and segments of 4,096. A gateway is stopped until it is many segments
behind, snapshots are taken meanwhile, and everything is to be removed; then it goes on. And: the
day rolls, what was before is removed, and gateways are killed and started on what is left.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from gateways.client import OuchClient, Side, TimeInForce
from gateways.glimpse_client import Snapshot, take_snapshot
from gateways.ouch.tags import Tag
from gateways.ouch.typed_messages import OrderExecuted
from shm_exchange import snapshot_request
from shm_exchange.day_roll import roll
from shm_exchange.journal_commands import PruneRefused, prune
from shm_exchange.snapshotter import SNAPSHOTS_KEPT
from tests.process.conftest import MARKET_DATA_GATEWAY, Exchange
from tests.process.test_rejoin import SMALL, gateway, stopped
from tests.process.test_roll import live_in
from tests.process.trading import (
    PASSWORD,
    RawClient,
    order_client,
    play,
    ports,
    settle,
    take,
)

TRADES = 6_000
AT_ONCE = 100
SEGMENTS = SMALL.replace("[[engine]]", "[[engine]]\njournal_segment_bytes = 262144")


async def hit(taker: OuchClient, count: int) -> None:
    """Take one share after the other of whoever sells."""
    for first in range(0, count, AT_ONCE):
        some = min(AT_ONCE, count - first)
        for _ in range(some):
            await taker.enter(
                Side.BUY, 1, "A01", "10.00", time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL
            )
        await take(taker, 2 * some)


def remove_all(it: Exchange) -> dict[str, Any]:
    """Whatever may be removed."""
    return prune(it.state, 1, it.status()["engines"][0]["published"], dry_run=False)


def test_who_is_behind_goes_on(exchange: Callable[..., Exchange]) -> None:
    """At the same connection, with every execution; what it does not need any more goes then."""
    it = exchange(SEGMENTS)
    it.start()
    here, there = ports(it)
    before = {each["pid"] for each in it.status()["processes"]}

    async def scenario() -> None:
        maker = await order_client(here, "S01", sequence=0)
        taker = await order_client(there, "S02", sequence=0)
        await maker.enter(Side.SELL, TRADES + SNAPSHOTS_KEPT, "A01", "10.00")
        await take(maker, 1)
        pid = gateway(it, "order")
        with stopped(pid):
            await hit(taker, TRADES)
            for _ in range(SNAPSHOTS_KEPT):
                await hit(taker, 1)
                snapshot_request.take(it.name, None)
            said = remove_all(it)
            assert (said["kept_for"]["role"], said["kept_for"]["pid"]) == ("order", pid)
            assert said["first_position"] <= said["kept_for"]["position"]
        heard = await take(maker, TRADES + SNAPSHOTS_KEPT)
        assert {type(each) for each in heard} == {OrderExecuted}
        await settle(maker)
        for each in (maker, taker):
            await each.close()

    play(scenario())
    published = it.status()["engines"][0]["published"]
    it.wait_until(lambda found: all(each["position"] >= published for each in found["processes"]))
    said = remove_all(it)
    assert said["kept_for"] is None and said["removed"]
    assert {each["pid"] for each in it.wait_ready()["processes"]} == before
    assert it.stop() == 0


def whole_feed(it: Exchange, number: int) -> tuple[str, list[bytes]]:
    """A feed's session, and what its gateway says from message 1 on."""
    with RawClient(ports(it, "market_data")[number]) as probe:
        count = probe.log_in("S31", sequence=0).next_sequence - 1
    with RawClient(ports(it, "market_data")[number]) as client:
        return client.log_in("S30").session, client.messages(count)


def glimpse(it: Exchange) -> Snapshot:
    """A snapshot of the gateway that was started last."""
    port = re.findall(r"GLIMPSE at 127\.0\.0\.1:(\d+)", it.messages)[-1]
    return asyncio.run(take_snapshot("127.0.0.1", int(port), "S32", PASSWORD))


def check(it: Exchange, session: str, fed: list[bytes], told: list[bytes]) -> None:
    """Both gateways tell the same feed of the day, GLIMPSE its book, and a session its stream."""
    assert [whole_feed(it, number) for number in range(2)] == [(session, fed)] * 2
    found, book = glimpse(it), live_in(fed)
    assert (found.session, found.next_sequence) == (session, len(fed) + 1)
    assert {each.reference: each.shares for each in found.book.orders.values()} == book
    with RawClient(ports(it)[1]) as client:
        assert client.log_in("S01").messages(len(told)) == told


async def a_day(here: int, there: int) -> None:
    """Orders, one of which lives on, and many more events than the ring has places."""
    maker = await order_client(here, "S01", sequence=0)
    taker = await order_client(there, "S02", sequence=0)
    for each in (maker, taker):
        await settle(each)  # it learns its next UserRefNum
    await maker.enter(Side.SELL, 7, "A02", "12.00", tags={Tag.GOOD_TILL_CANCELLED: b"G"})
    await maker.enter(Side.SELL, TRADES, "A01", "10.00")
    await take(maker, 2)
    await hit(taker, TRADES // 2)
    await settle(maker)
    for each in (maker, taker):
        await each.close()


def test_the_day_is_told_again(exchange: Callable[..., Exchange]) -> None:
    """Behind a roll, all that was before it goes unasked; gateways start, and so does everything.

    The feed is the same from message 1 on as that of a gateway that was never started again.
    """
    it = exchange(SEGMENTS + 'glimpse_address = "127.0.0.1:0"\n' + MARKET_DATA_GATEWAY)
    it.start()
    play(a_day(*ports(it)))
    with pytest.raises(PruneRefused, match="still live"):
        prune(it.state, 1, None, dry_run=False)
    (rolled,) = roll(it.name, None)["engines"]
    play(a_day(*ports(it)))
    for _ in range(SNAPSHOTS_KEPT):
        play(a_day(*ports(it)))
        snapshot_request.take(it.name, None)
    published = it.status()["engines"][0]["published"]
    it.wait_until(lambda found: all(each["position"] >= published for each in found["processes"]))
    session, fed = whole_feed(it, 1)
    assert session == rolled["stream"] and fed[0][11:12] == b"O"
    with RawClient(ports(it)[0]) as client:
        told = client.log_in("S01").messages(2 * TRADES)
    first = prune(it.state, 1, None, dry_run=False)["first_position"]
    assert 0 < first <= rolled["ended"]
    pid = gateway(it, "market_data")
    os.kill(pid, signal.SIGKILL)
    it.wait_until(lambda found: found["state"] == "ready" and gateway(it, "market_data") != pid)
    check(it, session, fed, told)
    assert it.stop() == 0
    it.start()
    assert prune(it.state, 1, None, dry_run=False)["first_position"] == first
    check(it, session, fed, told)
    play(a_day(*ports(it)))
    assert whole_feed(it, 0) == whole_feed(it, 1)
    assert it.stop() == 0
