"""Goal: replica(events(match(commands))) == the matcher's market, byte for byte.

Method: the same requests as against the naive exchange, and whole flows; after every command its
events are applied to a second market, whose state hash must equal the matcher's. At the end, and
at intervals, all arrays are compared: orders living and dead, queues, trees, pools, sessions,
numbers, cursors.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ringbuf.broadcast import Broadcast
from ringbuf.jit import COMPILED
from shm_exchange.flow_commands import Player, market_of, tape_of
from shm_exchange.market_copy import copy_market
from shm_exchange.messages import (
    COMMAND_DTYPE,
    COMMAND_NEXT_BITS,
    EVENT_DTYPE,
    CommandKind,
    Continuing,
    EventKind,
)
from shm_exchange.replica import apply_all
from shm_exchange.tape import play
from tests.differential.book_walk import hash_from_scratch
from tests.differential.flows import given as given_flows
from tests.differential.flows import own, read, real
from tests.differential.market_equality import differences
from tests.differential.translation import Bench, market_like
from tests.oracle.exchange import Exchange, Request
from tests.oracle.streams import (
    SESSIONS,
    Action,
    hostile_actions,
    new_exchange,
    opening,
    request_of,
    valid_actions,
)

LARGE_RING, SMALL_RING = 1 << 12, 64
FULL_EVERY = 16  # requests between two comparisons of all arrays
EXAMPLES = settings(
    max_examples=250 if COMPILED else 10,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def follow(actions: list[Action], ring_records: int) -> Iterator[tuple[Request, int, int]]:
    """Match the actions one by one, with a replica behind: both hashes after each.

    At intervals and at the end all arrays are compared.
    """
    exchange = new_exchange()
    bench = Bench(exchange, ring_records)
    replica = market_like(exchange)
    for number, request in enumerate(_requests(actions, exchange)):
        before = len(bench.events)
        bench.execute(request)
        exchange.execute(request)
        apply_all(replica, bench.events[before:].copy(), before)
        yield request, int(replica.scalars[0]["hash"]), int(bench.market.scalars[0]["hash"])
        if number % FULL_EVERY == 0:
            assert differences(bench.market, replica) == []
    assert differences(bench.market, replica) == []
    copy = market_like(exchange)
    copy_market(bench.market, copy)
    assert hash_from_scratch(copy) == int(bench.market.scalars[0]["hash"])


ADMINISTRATION = (
    {
        "kind": CommandKind.SYSTEM,
        "reason": ord("O"),
        "client_order_id_0": 7,
        "client_order_id_1": 8,
    },
    {"kind": CommandKind.LIST, "instrument": 0},
    {"kind": CommandKind.LIST, "instrument": 1},
    {"kind": CommandKind.LIST, "instrument": 2},
    {"kind": CommandKind.INSTRUMENT_STATE, "instrument": 1, "reason": ord("H"), "quantity": 5},
    {"kind": CommandKind.SESSIONS, "session": 0, "quantity": SESSIONS},
    {"kind": CommandKind.SESSIONS, "session": 1, "quantity": SESSIONS},
    {"kind": CommandKind.GATEWAY_STARTED, "slot": 1, "user_ref": 3},
    {"kind": CommandKind.GATEWAY_DIED, "slot": 3, "user_ref": 4},
    {"kind": CommandKind.SYSTEM, "reason": ord("S")},
    {"kind": CommandKind.LOGIN, "session": 1, "slot": 6},
    {"kind": CommandKind.LOGOUT, "session": 1, "generation": 1, "slot": 6},
)


def test_a_new_reign_does_not_end_the_command_in_the_middle() -> None:
    """Should the successor die too before it has finished it, the next one must."""
    market = market_like(new_exchange())
    events = np.zeros(2, EVENT_DTYPE)
    events["kind"] = (EventKind.CONTINUED, EventKind.EPOCH)
    events["source_next"] = (2 << COMMAND_NEXT_BITS | 7, 3)
    events[0]["slot"], events[0]["reason"] = 5, Continuing.SWEEP
    events[1]["epoch"] = 2
    apply_all(market, events, 0)
    scalars = market.scalars[0]
    assert (scalars["continuing"], scalars["continuing_kind"]) == (5, Continuing.SWEEP)
    assert scalars["continuing_next"] == 2 << COMMAND_NEXT_BITS | 7


@pytest.mark.parametrize("source", [0, 1, 2])
def test_administration(source: int) -> None:
    """Streams, instruments, sessions, gateways: from who may say so, and from a gateway."""
    exchange = new_exchange()
    market, replica = market_like(exchange), market_like(exchange)
    commands = np.zeros(len(ADMINISTRATION), COMMAND_DTYPE)
    for row, fields in zip(commands, ADMINISTRATION, strict=True):
        for name, value in fields.items():
            row[name] = value
    ring = Broadcast(np.zeros(32, np.int64), np.zeros(1 << 12, EVENT_DTYPE))
    for number in range(len(commands)):
        position = int(market.scalars[0]["position"])
        play(market, commands, number, number + 1, source, ring, position, 1)
        events = ring.records[position : int(market.scalars[0]["position"])]
        assert len(events) == 1
        apply_all(replica, events.copy(), position)
        assert differences(market, replica) == []


def _requests(actions: list[Action], exchange: Exchange) -> Iterator[Request]:
    """Each is made when the ones before it were carried out."""
    yield from opening()
    for action in actions:
        yield request_of(action, exchange)


@EXAMPLES
@given(valid_actions)
def test_valid_requests(actions: list[Action]) -> None:
    """What honest gateways send."""
    for request, followed, written in follow(actions, LARGE_RING):
        assert followed == written, request


@EXAMPLES
@given(hostile_actions)
def test_hostile_requests(actions: list[Action]) -> None:
    """What others send."""
    for request, followed, written in follow(actions, LARGE_RING):
        assert followed == written, request


@EXAMPLES
@given(valid_actions)
def test_commands_in_parts(actions: list[Action]) -> None:
    """Parts of a command, each ending with CONTINUED."""
    for request, followed, written in follow(actions, SMALL_RING):
        assert followed == written, request


@pytest.mark.parametrize("name", ["reduces", *given_flows("normal-seed23-60000"), *real()])
def test_hash_after_every_command_of_a_flow(name: str) -> None:
    """A whole flow, command by command."""
    tape = tape_of(own(30_000, 11, reduces=True) if name == "reduces" else read(name))
    player, replica = Player(tape), market_of(tape)
    position = 0
    for number in range(1, len(tape.commands) + 1):
        for events in player.until(number):
            position = apply_all(replica, events, position)
        assert replica.scalars[0]["hash"] == player.market.scalars[0]["hash"], number
        if number % 10_000 == 0:
            assert differences(player.market, replica) == []
    assert differences(player.market, replica) == []


@pytest.mark.parametrize("name", given_flows("-60000"))
def test_the_public_flows(name: str) -> None:
    """In large batches, compared after each."""
    tape = tape_of(read(name))
    player, replica = Player(tape), market_of(tape)
    position = 0
    for number in np.linspace(1, len(tape.commands), 7).astype(int).tolist():
        for events in player.until(number):
            position = apply_all(replica, events, position)
        assert differences(player.market, replica) == []
    assert int((tape.commands["kind"] == CommandKind.REPLACE).sum()) > 0
