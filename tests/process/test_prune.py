"""Goal: what `shmx journal prune` removes beneath a running exchange is what nobody there reads.

Method: a ring of 1,024 events and segments of 4,096. A gateway is stopped until it is many segments
behind, snapshots are taken meanwhile, and everything is to be removed; then it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateways.client import OuchClient, Side, TimeInForce
from gateways.ouch.typed_messages import OrderExecuted
from shm_exchange import snapshot_request
from shm_exchange.journal_commands import prune
from shm_exchange.snapshotter import SNAPSHOTS_KEPT
from tests.process.conftest import Exchange
from tests.process.test_rejoin import SMALL, gateway, stopped
from tests.process.trading import order_client, play, ports, settle, take

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
