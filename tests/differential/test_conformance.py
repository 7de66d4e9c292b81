"""Goal: the matcher's canonical reports are those of everybody else.

Method: the hashes that independent engines agreed on, for the flows at hand; for generated flows
(with reduces, which those do not have) the text of a naive book of a few lines, line by line.
"""

import hashlib
import os

import numpy as np
import pytest

from shm_exchange.conformance import canonical_text, check, measure
from shm_exchange.flow import BUY, MODIFY, NEW, REDUCE, Flow, FlowError
from shm_exchange.flow_commands import SLOT_LAG, tape_of
from tests.differential.flows import columns, consensus, given, own, read, real
from tests.oracle.flow_book import FlowBook, canonical_lines, flow_book


def text_of(flow: Flow) -> bytes:
    """The matcher's report stream."""
    return b"".join(canonical_text(tape_of(flow)))


@pytest.mark.parametrize("name", given("-60000"))
def test_the_consensus_is_reproduced(name: str) -> None:
    """Public scenarios, known hashes."""
    assert hashlib.sha256(text_of(read(name))).hexdigest() == consensus(name)


@pytest.mark.parametrize("reduces", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_flows_agree_with_a_naive_book(seed: int, reduces: bool) -> None:
    """Line by line, so that a difference shows where it begins."""
    flow = own(20_000, seed, reduces)
    expected = canonical_lines(flow_book(columns(flow)))
    assert text_of(flow).decode().split("\n") == expected


def test_the_real_flow_agrees_with_the_venue() -> None:
    """Where it is at hand: trades, ignored requests and resting orders are those that were counted
    by others; the first maker is the one that the venue named, save where hidden orders were hit.
    """
    for name in real():
        flow = read(name)
        book = flow_book(columns(flow))
        assert text_of(flow).decode().split("\n") == canonical_lines(book)
        kinds = np.array([report[0] for report in book.reports])
        assert np.count_nonzero(kinds == 1) == 4_118
        assert np.count_nonzero(kinds == 4) == 4
        assert len(book.resting) == 380
        assert makers_agreed(flow, book) == (3_999, 4_067)


def makers_agreed(flow: Flow, book: FlowBook) -> tuple[int, int]:
    """Count of executions whose first maker is the one that the venue named, and of all."""
    first_maker: dict[int, int] = {}
    for report in book.reports:
        if report[0] == 1:
            first_maker.setdefault(report[1], report[4])
    assert flow.expected_maker is not None
    executions = np.flatnonzero(flow.expected_maker >= 0).tolist()
    agreed = sum(first_maker.get(place) == flow.expected_maker[place] for place in executions)
    return agreed, len(executions)


def test_slots_are_reused_as_by_a_gateway() -> None:
    """An index is out for its order's life and the lag, never twice at a time."""
    flow = own(20_000, 4)
    tape = tape_of(flow)
    entered = np.flatnonzero(flow.kind == NEW)
    assert tape.slots < len(entered) // 2 or len(entered) < 2 * SLOT_LAG
    slots = tape.commands["slot"][1 + entered]
    last_used: dict[int, int] = {}
    for place, slot in zip(entered.tolist(), slots.tolist(), strict=True):
        assert place - last_used.get(slot, -SLOT_LAG) >= SLOT_LAG
        last_used[slot] = place
    numbers = tape.commands["user_ref"][1:][np.isin(flow.kind, (NEW, MODIFY))].astype(np.int64)
    assert (np.diff(numbers) > 0).all()


def test_orders_that_were_never_entered() -> None:
    """Cancels, modifies and reduces of unknown orders are reported as such."""
    flow = Flow(
        kind=np.array([1, MODIFY, NEW, REDUCE, REDUCE], np.uint8),
        side=np.full(5, BUY, np.uint8),
        ioc=np.zeros(5, np.uint8),
        quantity=np.array([0, 5, 7, 2, 9], np.uint32),
        order_id=np.array([9, 9, 2_000_000_000, 9, 2_000_000_000], np.int32),
        price_ticks=np.array([0, 10, 11, 0, 0], np.int32),
    )
    expected = b"4,0,9\n5,1,9\n0,2,0,2000000000,11,7\n4,3,9\n2,4,0,2000000000,11"
    assert text_of(flow) == expected
    assert "\n".join(canonical_lines(flow_book(columns(flow)))).encode() == expected


def test_the_speed_is_measured_with_a_reader() -> None:
    """The reader copies every record of every run; nothing stays in shared memory."""
    flow = own(5_000, 5)
    outcome = check(flow, runs=2)
    assert outcome.messages == flow.messages
    assert outcome.sha256 == hashlib.sha256(text_of(flow)).hexdigest()
    assert outcome.records_read == 2 * outcome.events > 2 * flow.messages
    assert outcome.messages_per_second == pytest.approx(flow.messages / outcome.seconds)
    assert not [name for name in os.listdir("/dev/shm") if f".{os.getpid()}." in name]


def test_one_core_is_enough() -> None:
    """Publisher and reader share a core, as on the smallest machine."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        speed = measure(tape_of(own(5_000, 6)), runs=1)
    finally:
        os.sched_setaffinity(0, before)
    assert speed.records_read == speed.events


def test_an_empty_flow_is_refused() -> None:
    """There is nothing to play."""
    with pytest.raises(FlowError, match="no message"):
        tape_of(Flow(*(np.zeros(0, np.int64) for _ in range(6))))
