"""Goal: every tag of an order comes back in its `A`, and in its `U` as far as that may carry it.

Method: an appendage is decoded, kept as ORDER_TAGS as the gateway does, and written again from an
event as every gateway does; what a client reads must be what was sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateways.ouch.codec import OK, decode
from gateways.ouch.messages import OUTBOUND, OUTBOUND_SIZE_MAX
from gateways.ouch.outbound import encode
from gateways.ouch.tag_text import pack_tags, unpack_tags
from gateways.ouch.tag_words import fill_tags, has_tags
from gateways.ouch.tags import OUCH_REQUEST_DTYPE
from gateways.packets import HEADER_SIZE
from ringbuf.jit import kernel
from shm_exchange.groups import follower, whole_groups
from shm_exchange.history import joined
from shm_exchange.market import INSTRUMENT, create_market
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    ORDER_TAGS,
    USER_REF_INDEX_COUNT,
    CommandFlag,
    EventFlag,
    EventKind,
)
from shm_exchange.order_tags import clear_tags, inherit_tags, keep_tags, tags_of
from tests.gateways.event_cases import ENGINE, POSITION, instruments, order
from tests.gateways.ouch_cases import enter

EVERY = {
    2: "FIRM",
    3: 10,
    4: "R",
    5: 20,
    6: "L",
    7: 0,
    9: 0,
    10: "L",
    11: 0,
    12: "P",
    13: 0,
    14: "",
    15: 86_399,
    16: "N",
    17: "I",
    24: 0xFFFE,
    25: "N",
    129: "R",
    131: "B",
    132: 0xFFFD,
}
IN_REPLACED = (2, 3, 5, 6, 12, 15, 16, 17, 129, 131, 132)
assert USER_REF_INDEX_COUNT == 256
DAY_NS = 86_400_000_000_000


@kernel
def _fill(data, request, tags):
    if decode(data, 0, len(data), request[0]) != OK:
        return -1
    fill_tags(tags, request[0])
    return has_tags(request[0])


@kernel
def _encode(events, tags, position, rows, engine, buffer):
    tags_of(tags, events, 0)
    return encode(events[0], tags, position, 0, rows, engine, buffer, 0)


@kernel
def _inherit(market, slot, commands):
    inherit_tags(market, slot, commands[0])


def _filled(values: dict[int, Any]) -> tuple[int, np.ndarray]:
    tags = np.zeros(1, ORDER_TAGS.dtype)
    request = np.zeros(1, OUCH_REQUEST_DTYPE)
    data = np.frombuffer(enter(pack_tags(values)), np.uint8).copy()
    return _fill(data, request, tags), tags


def _appendage(kind: EventKind, tags: np.ndarray, flags: int = 0, **fields: int) -> dict[int, Any]:
    """What a client reads behind the message of an event with these tags."""
    events = joined(order(kind, flags, **fields), np.zeros(1, EVENT_DTYPE))
    events[0]["continuations"] = 1
    events[1:].view(np.uint8)[:] = tags.view(np.uint8)
    buffer = np.zeros(HEADER_SIZE + OUTBOUND_SIZE_MAX, np.uint8)
    scratch = np.zeros(1, ORDER_TAGS.dtype)
    size = _encode(events, scratch, POSITION, instruments(), ENGINE, buffer)
    message = bytes(buffer[HEADER_SIZE:size])
    assert int.from_bytes(bytes(buffer[:2]), "big") == size - 2
    fixed = OUTBOUND[chr(message[0])].size
    assert int.from_bytes(message[fixed - 2 : fixed], "big") == len(message) - fixed
    return {int(tag): value for tag, value in unpack_tags(message[fixed:]).items()}


@pytest.mark.parametrize("tag", EVERY)
def test_one_tag(tag: int) -> None:
    there, tags = _filled({tag: EVERY[tag]})
    assert there == 1
    assert _appendage(EventKind.ACCEPTED, tags) == {tag: EVERY[tag]}
    repeated = {tag: EVERY[tag]} if tag in IN_REPLACED else {}
    assert _appendage(EventKind.REPLACED, tags) == repeated


def test_all_tags_together() -> None:
    """With the two that are flags of the event; and in the order of their numbers."""
    _, tags = _filled(EVERY)
    flags = EventFlag.GTC | EventFlag.STAYS
    expected = EVERY | {128: "G", 130: "Y"}
    assert _appendage(EventKind.ACCEPTED, tags, flags) == expected
    assert list(_appendage(EventKind.ACCEPTED, tags, flags)) == sorted(expected)
    assert _appendage(EventKind.CARRIED, tags, flags, reference=1) == expected


def test_what_is_done_of_a_carried_order() -> None:
    """Behind its tags; and of an order that has none."""
    _, tags = _filled(EVERY)
    carried = {"reference": 1, "done": 999_998}
    found = _appendage(EventKind.CARRIED, tags, **carried)
    assert found == EVERY | {146: 999_998} and list(found) == sorted(found)
    tags["present"] = 0
    assert _appendage(EventKind.CARRIED, tags, **carried) == {146: 999_998}


@pytest.mark.parametrize("values", [{}, {28: 3}, {128: "G", 130: "Y"}])
def test_what_a_command_holds_needs_no_continuation(values: dict[int, Any]) -> None:
    assert _filled(values)[0] == 0


def test_a_replacement_inherits_what_it_does_not_name() -> None:
    """All but 25 and 26, and the minimum of an order that never rests."""
    market = create_market(np.zeros(1, INSTRUMENT.dtype), 1, slots_per_gateway=4)
    slot = 2 << 24
    market.tags[slot : slot + 1] = _filled(EVERY)[1]
    market.orders[slot]["flags"] = CommandFlag.TAGS
    clear_tags(market)
    market.tags[0]["present"] = 1 << 5 | 1 << 12
    market.tags[0]["display_quantity"], market.tags[0]["post_only"] = 70, ord("N")
    command = np.zeros(1, COMMAND_DTYPE)
    command["time_in_force"], command["display"] = ord("6"), ord("Y")
    _inherit(market, slot, command)
    keep_tags(market, slot)
    expected = EVERY | {5: 70, 12: "N"}
    del expected[3], expected[25]
    assert _appendage(EventKind.ACCEPTED, market.tags[slot : slot + 1]) == expected


@pytest.mark.parametrize(
    ("groups", "whole"),
    [([], 0), ([0], 1), ([0, 0], 2), ([1], 0), ([0, 1], 1), ([1, None], 2), ([0, 1, None], 3)]
    + [([2, None], 0), ([2, None, None], 3), ([None], 1), ([None, 1], 1), ([None, None], 2)],
)
def test_a_batch_ends_with_a_whole_group(groups: list[int | None], whole: int) -> None:
    """Each a head with so many continuations, or (None) a continuation."""
    events = np.zeros(4, EVENT_DTYPE)
    events["kind"] = EventKind.CONTINUATION  # what an earlier batch left in the buffer
    for row, continuations in zip(events, groups, strict=False):
        if continuations is not None:
            row["kind"], row["continuations"] = EventKind.ACCEPTED, continuations
    assert whole_groups(events, len(groups)) == whole


def test_the_record_behind_the_last_is_the_first() -> None:
    events = np.zeros(4, EVENT_DTYPE)
    assert [follower(events, index) for index in range(4)] == [1, 2, 3, 0]


def test_what_is_asked_of_an_acknowledgement_is_answered_there() -> None:
    """Times and shares ahead, of that request alone: a new stream does not say them again."""
    _, tags = _filled({**EVERY, 143: "Y", 145: "Y"})
    tags["received_ns"], tags["enqueued_ns"] = DAY_NS + 7, 3 * DAY_NS + 8
    tags["shares_ahead"] = 1_000_000_000
    times = {140: 7, 141: 8, 142: int(order(EventKind.ACCEPTED, 0)[0]["time_ns"]) % DAY_NS}
    answers = times | {144: 1_000_000_000}
    found = _appendage(EventKind.ACCEPTED, tags, EventFlag.STAYS)
    assert found == EVERY | {130: "Y"} | answers and list(found) == sorted(found)
    repeated = {tag: value for tag, value in EVERY.items() if tag in IN_REPLACED}
    assert _appendage(EventKind.REPLACED, tags) == repeated | answers
    assert _appendage(EventKind.CARRIED, tags, reference=1) == EVERY
    tags["shares_ahead"] = -1
    assert _appendage(EventKind.ACCEPTED, tags)[144] == 0xFFFF_FFFF


def test_who_asks_for_nothing_gets_nothing() -> None:
    _, tags = _filled({143: "N", 145: "N"})
    assert _appendage(EventKind.ACCEPTED, tags) == {}
