"""Goal: what a gateway noted of its own requests is taken back only for its own requests.

Method: the index and slots of a gateway follow one event that says that a replace had no effect:
its own, and the same request that a client had sent through another gateway before that died.
"""

from __future__ import annotations

import numpy as np
import pytest

from gateways.order_index import create_order_index, find_order, insert_order, order_key
from gateways.ouch.follow import follow_all
from gateways.ouch.inbound import Desk
from gateways.risk import create_risk
from ringbuf.spsc import Spsc
from shm_exchange.market import INSTRUMENT, create_market
from shm_exchange.messages import (
    COMMAND_DTYPE,
    COMMAND_NEXT_BITS,
    EVENT_DTYPE,
    ORDER_TAGS,
    SLOT_BITS,
    CommandKind,
    EventKind,
    Ignored,
)
from shm_exchange.slots import create_slots

OURS, THEIRS = 3, 2
SESSION, USER_REF = 1, 6486
SLOT = THEIRS << SLOT_BITS | 5  # the order came by the other gateway


@pytest.mark.parametrize("source", [OURS, THEIRS])
def test_a_replace_without_effect(source: int) -> None:
    """A session moved here and sent its replace again; the stale one is ignored meanwhile."""
    market = create_market(np.zeros(1, INSTRUMENT.dtype), 4, slots_per_gateway=16)
    desk = Desk(
        commands=Spsc(np.zeros(32, np.int64), np.zeros(64, COMMAND_DTYPE)),
        order_index=create_order_index(64),
        symbols=create_order_index(64),
        slots=create_slots(market, OURS),
        instruments=market.instruments,
        offered=np.zeros(16, np.int32),
        tags=np.zeros(1, ORDER_TAGS.dtype),
        risk=create_risk(market, np.zeros(8 * 4, np.int64), OURS),
    )
    key = order_key(SESSION, 0, USER_REF)
    assert insert_order(desk.order_index, key, SLOT)
    events = np.zeros(1, EVENT_DTYPE)
    events["kind"] = EventKind.IGNORED
    events["reason"] = Ignored.STALE_GENERATION
    events["command_kind"] = CommandKind.REPLACE
    events["source_next"] = source << COMMAND_NEXT_BITS | 9
    events["session"], events["user_ref"], events["slot"] = SESSION, USER_REF, SLOT
    follow_all(market, desk, events, 0)
    expected = 0 if source == OURS else SLOT
    assert find_order(desk.order_index, key) == expected
