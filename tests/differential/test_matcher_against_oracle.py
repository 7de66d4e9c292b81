"""Goal: the compiled matcher and the naive exchange say the same, whatever is asked of them.

Method: hypothesis makes lists of valid and of hostile requests; both get each request, and the
meaning of every event is compared, then the books: both queues of every instrument, order by
order, and what the arrays promise about themselves (tree, queues, pools, state hash).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ringbuf.jit import COMPILED
from shm_exchange.market import BUY, SELL
from shm_exchange.messages import Cause, Continuing, EventKind
from tests.differential.book_walk import (
    hash_from_scratch,
    live_slots,
    pages_in_use,
    session_ring,
    walk,
)
from tests.differential.translation import Bench
from tests.oracle.exchange import SLOTS_PER_SOURCE, Exchange, Request
from tests.oracle.protections import Settings
from tests.oracle.streams import (
    Action,
    hostile_actions,
    new_exchange,
    opening,
    request_of,
    valid_actions,
)

LARGE_RING, SMALL_RING = 1 << 12, 64  # in the small one a sweep is committed in parts
EXAMPLES = settings(
    max_examples=250 if COMPILED else 20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def compare_books(exchange: Exchange, bench: Bench) -> None:
    """The same orders in the same queues with the same quantities, and sound arrays."""
    market = bench.market
    assert live_slots(market) == sorted(exchange.orders)
    pages = set()
    for number, instrument in enumerate(exchange.instruments):
        for side, queue in ((BUY, instrument.buys), (SELL, instrument.sells)):
            seen = walk(market, number, side)
            assert seen == [(order.slot, order.price) for order in queue]
            pages |= {(number, side, order.price ^ _mirror(bench, number, side)) for order in queue}
    for slot, order in exchange.orders.items():
        row = market.orders[slot]
        assert (order.leaves, order.shown) == (row["leaves"], row["displayed"])
        done = (row["executed"], row["decremented"])
        assert (order.executed, order.decremented) == done
        assert ord(order.side) == row["side"]
        identity = (row["session"], row["user_ref_index"], row["user_ref"], row["instrument"])
        assert identity == (order.session, order.channel, order.user_ref, order.instrument)
    for number, session in enumerate(exchange.sessions):
        assert session_ring(market, number) == [order.slot for order in session.resting]
    assert hash_from_scratch(market) == int(market.scalars[0]["hash"])
    resting = sum(len(session.resting) for session in exchange.sessions)
    assert resting == int(market.scalars[0]["orders"])
    assert pages_in_use(market) == _pages_needed(bench, pages)


def _mirror(bench: Bench, instrument: int, side: int) -> int:
    return int(bench.market.sides[2 * instrument + side]["mirror"])


def _pages_needed(bench: Bench, keys: set[tuple[int, int, int]]) -> tuple[int, int]:
    """Leaves and inner nodes that the occupied keys need, and not one more."""
    leaves = {(number, side, key >> 6) for number, side, key in keys}
    nodes = set()
    for number, side, key in keys:
        top = int(bench.market.sides[2 * number + side]["top_shift"])
        nodes |= {(number, side, shift, key >> shift) for shift in range(12, top + 1, 6)}
    return len(leaves), len(nodes)


def run(
    actions: list[Action], ring_records: int = LARGE_RING
) -> Iterator[tuple[Request, Any, Any]]:
    """Both get the same requests: each request, what the matcher says and what the oracle says.

    After the last their books are compared.
    """
    exchange = new_exchange()
    bench = Bench(exchange, ring_records)
    for request in opening():
        yield request, bench.execute(request), exchange.execute(request)
    for action in actions:
        request = request_of(action, exchange)
        yield request, bench.execute(request), exchange.execute(request)
    compare_books(exchange, bench)


@EXAMPLES
@given(valid_actions)
def test_valid_requests(actions: list[Action]) -> None:
    """What honest gateways send."""
    for request, said, expected in run(actions):
        assert said == expected, request


@EXAMPLES
@given(hostile_actions)
def test_hostile_requests(actions: list[Action]) -> None:
    """One field in three requests is what no honest gateway sends."""
    for request, said, expected in run(actions):
        assert said == expected, request


@EXAMPLES
@given(valid_actions)
def test_commands_in_parts(actions: list[Action]) -> None:
    """With a ring so small that a sweep needs several batches, the market is the same."""
    for request, said, expected in run(actions, SMALL_RING):
        assert said == expected, request


@pytest.mark.parametrize("ring_records", [LARGE_RING, SMALL_RING])
def test_a_sweep_through_many_orders(ring_records: int) -> None:
    """Thirty makers at ten prices, one taker: every part goes on where the one before stopped."""
    exchange = new_exchange()
    bench = Bench(exchange, ring_records)
    requests = opening()
    for number in range(30):
        requests.append(
            Request(
                "enter",
                slot=2 * SLOTS_PER_SOURCE + number,
                user_ref=number + 1,
                side="S",
                price=95 + number % 10,
                quantity=5,
            )
        )
    taker = {"slot": 2 * SLOTS_PER_SOURCE + 30, "user_ref": 31, "price": 104, "quantity": 152}
    requests.append(Request("enter", **taker))
    for request in requests:
        assert bench.execute(request) == exchange.execute(request)
    compare_books(exchange, bench)
    parts = int(np.count_nonzero(bench.events["kind"] == EventKind.CONTINUED))
    assert (parts > 0) == (ring_records == SMALL_RING)


@pytest.mark.parametrize("ring_records", [LARGE_RING, SMALL_RING])
def test_a_protection_of_many_orders(ring_records: int) -> None:
    """A group of thirty orders on both sides, swept: the second trade freezes it, and in however
    many parts its orders go, the sweep meets only what is behind them."""
    exchange = new_exchange()
    bench = Bench(exchange, ring_records)
    settings = Settings("S", 7, window_us=1_000_000, executions=2)
    requests = [*opening(), Request("protection", user_ref=1, protection=settings)]
    for number in range(30):
        side, price = ("S", 95 + number % 5) if number % 2 else ("B", 94)
        requests.append(
            Request(
                "enter",
                slot=2 * SLOTS_PER_SOURCE + number,
                user_ref=number + 2,
                side=side,
                price=price,
                quantity=5,
                tags=((24, 7),),
            )
        )
    other = {"source": 3, "session": 1}
    for number, side in enumerate("SB"):
        slot = 3 * SLOTS_PER_SOURCE + number
        terms = {"side": side, "price": 100, "quantity": 7 + 93 * number}
        requests.append(Request("enter", **other, slot=slot, user_ref=number + 1, **terms))
    for request in requests:
        assert bench.execute(request) == exchange.execute(request)
    compare_books(exchange, bench)
    assert int(np.count_nonzero(bench.events["kind"] == EventKind.EXECUTED)) == 3
    assert int(np.count_nonzero(bench.events["cause"] == Cause.PROTECTION)) == 28
    parts = bench.events["kind"] == EventKind.CONTINUED
    firing = bench.events["reason"][parts] == Continuing.PROTECTION
    assert bool(firing.any()) == (ring_records == SMALL_RING)
