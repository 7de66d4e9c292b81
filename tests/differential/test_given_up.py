"""Goal: whatever kind of command has ended two matchers, its user is told and nothing leaks.

Method: the refusal in place of matching, in a market with orders. The events are compared by kind
and reason, and a replica that applies them must have the same arrays.
"""

import numpy as np
import pytest

from ringbuf.broadcast import Broadcast
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    CommandKind,
    Continuing,
    EventFlag,
    EventKind,
    Ignored,
    Reject,
)
from shm_exchange.poison import refuse_poisoned
from shm_exchange.replica import apply_all
from shm_exchange.sweep import give_up
from tests.differential.market_equality import differences
from tests.differential.translation import Bench, fill_command, market_like
from tests.oracle.exchange import SLOTS_PER_SOURCE, Request
from tests.oracle.streams import new_exchange, opening

SOURCE = 2
FIRST_SLOT = SOURCE * SLOTS_PER_SOURCE
REJECTED = (EventKind.REJECTED, Reject.POISONED)
IGNORED = (EventKind.IGNORED, Ignored.POISONED)
OFFERED = 3  # slots of the mass quote


class Place:
    """A market with an order, a replica of it, and a ring for what is said next."""

    def __init__(self) -> None:
        exchange = new_exchange()
        bench = Bench(exchange)
        for request in (
            *opening(),
            Request("enter", slot=FIRST_SLOT, user_ref=1, price=100, quantity=5),
        ):
            bench.execute(request)
        self.market, self.replica = bench.market, market_like(exchange)
        self.ring = Broadcast(np.zeros(32, np.int64), np.zeros(1 << 10, EVENT_DTYPE))
        self.position = apply_all(self.replica, bench.events, 0)

    def refuse(self, kind: CommandKind, user_ref: int, blind: int) -> np.ndarray:
        """A mass quote of two quotes, or any other command."""
        commands = np.zeros(3, COMMAND_DTYPE)
        fill_command(commands[0], Request("enter", slot=FIRST_SLOT + 1, user_ref=user_ref), 1)
        commands["kind"][0] = kind
        if kind == CommandKind.MASS_QUOTE:
            commands["continuations"][0] = 2
            commands["slot"][1:] = FIRST_SLOT + 1, FIRST_SLOT + 3
            commands["ask_slot"][1] = FIRST_SLOT + 2
        after = int(self.market.gateways[SOURCE]["command_next"]) + 3
        where = (self.ring, self.position, blind)
        refuse_poisoned(self.market, commands, 0, SOURCE, after, 1, *where)
        return self.followed(int(self.market.scalars[0]["position"]))

    def followed(self, end: int) -> np.ndarray:
        """The events below `end`, which the replica has applied."""
        places = np.arange(self.position, end) & (len(self.ring.records) - 1)
        events = self.ring.records[places]
        self.market.scalars[0]["position"] = end
        self.position = apply_all(self.replica, events, self.position)
        return events


def said(events: np.ndarray) -> list[tuple[int, int]]:
    """Kind and reason of each."""
    return list(zip(events["kind"].tolist(), events["reason"].tolist(), strict=True))


NUMBERED = (
    CommandKind.ENTER,
    CommandKind.REPLACE,
    CommandKind.REFUSED,
    CommandKind.MASS_CANCEL,
    CommandKind.DISABLE,
    CommandKind.ENABLE,
    CommandKind.PROTECTION,
    CommandKind.MASS_QUOTE,
)


@pytest.mark.parametrize("kind", NUMBERED)
def test_what_has_a_number_is_rejected(kind: CommandKind) -> None:
    """The number is used; slots that were offered go back."""
    place = Place()
    events = place.refuse(kind, 2, blind=0)
    assert said(events)[0] == REJECTED and events["user_ref"][0] == 2
    returned = events["slot"][events["flags"] & EventFlag.SLOT_RETURNED != 0].tolist()
    offered = {CommandKind.ENTER: 1, CommandKind.MASS_QUOTE: OFFERED}.get(kind, 0)
    assert returned == [FIRST_SLOT + 1 + each for each in range(offered)]
    assert differences(place.market, place.replica) == []
    assert said(place.refuse(CommandKind.ENTER, 2, blind=0)) == [IGNORED]
    assert said(place.refuse(CommandKind.ENTER, 3, blind=0)) == [REJECTED]


@pytest.mark.parametrize("kind", [*NUMBERED, CommandKind.CANCEL, CommandKind.LOGOUT])
def test_what_even_the_refusal_cannot_read_is_ignored(kind: CommandKind) -> None:
    """One event, whatever is in it."""
    place = Place()
    assert said(place.refuse(kind, 2, blind=1)) == [IGNORED]
    assert differences(place.market, place.replica) == []


@pytest.mark.parametrize(
    "kind", [Continuing.DISCONNECT, Continuing.MASS_CANCEL, Continuing.PROTECTION]
)
def test_a_later_part_is_given_up(kind: Continuing) -> None:
    """The order that could not be withdrawn stays; nothing is in the middle any more."""
    place = Place()
    for market in (place.market, place.replica):
        market.scalars[0]["continuing"] = FIRST_SLOT
        market.scalars[0]["continuing_kind"] = kind
    events = place.followed(give_up(place.market, place.ring, place.position))
    assert said(events) == [IGNORED]
    assert place.market.scalars[0]["continuing_kind"] == 0
    assert int(place.market.orders[FIRST_SLOT]["leaves"]) > 0
    assert differences(place.market, place.replica) == []
