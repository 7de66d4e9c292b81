"""The book of a Market, read naively from its arrays, with every invariant checked on the way."""

from __future__ import annotations

import numpy as np

from shm_exchange.book import (
    displayed_weight,
    generation_weight,
    order_weight,
    user_ref_weight,
)
from shm_exchange.expiry import expiry_weight
from shm_exchange.market import FILLS_MAX, FREE, NO_KEY, RESTING, Market
from shm_exchange.mass import disabled_weight
from shm_exchange.messages import SLOT_BITS, CommandFlag
from shm_exchange.protection import fill_weight, settings_weight


def walk(market: Market, instrument: int, side: int) -> list[tuple[int, ...]]:
    """(slot, price) of every resting order of one side, best first. Asserts the structure."""
    row = market.sides[2 * instrument + side]
    found: list[tuple[int, ...]] = []
    keys: list[int] = []

    def visit(node: int, shift: int, key: int) -> None:
        word = int(market.node_words[node]) & (1 << 64) - 1
        for digit in range(64):
            child = int(market.node_children[64 * node + digit])
            occupied = bool(word >> digit & 1)
            assert occupied == (child != 0), "a bit says what the child says"
            if occupied and shift > 6:
                visit(child, shift - 6, key | digit << shift)
            elif occupied:
                levels = int(market.leaf_words[child]) & (1 << 64) - 1
                assert levels, "an empty leaf is given back"
                for place in range(64):
                    queue(64 * child + place, key | digit << 6 | place, bool(levels >> place & 1))

    def queue(place: int, key: int, occupied: bool) -> None:
        level = market.levels[place]
        assert occupied == bool(level["first"] or level["hidden_first"])
        if occupied:
            keys.append(key)
            if len(keys) == 1:
                assert int(row["best_level"]) == place
        chain(place, key, "", hidden=False)
        chain(place, key, "hidden_", hidden=True)

    def chain(place: int, key: int, prefix: str, *, hidden: bool) -> None:
        level = market.levels[place]
        slot, before = int(level[f"{prefix}first"]), 0
        while slot:
            order = market.orders[slot]
            assert bool(order["flags"] & CommandFlag.HIDDEN) == hidden
            assert bool(order["display"] == ord("N")) == hidden
            assert (int(order["level"]), int(order["previous"])) == (place, before)
            assert int(order["price"]) ^ int(row["mirror"]) == key
            assert order["state"] == RESTING and order["leaves"] > 0
            found.append((slot, int(order["price"])))
            slot, before = int(order["next"]), slot
        assert int(level[f"{prefix}last"]) == before

    visit(int(row["root"]), int(row["top_shift"]), 0)
    assert keys == sorted(keys)
    assert int(row["best"]) == (keys[0] if keys else NO_KEY)
    return found


def session_ring(market: Market, session: int) -> list[int]:
    """Slots of a session's resting orders in the order of its ring. Asserts both directions."""
    own = session + 1
    found: list[int] = []
    slot, before = int(market.session_links[own]["next"]), own
    while slot != own:
        assert int(market.session_links[slot]["previous"]) == before
        assert market.orders[slot]["session"] == session
        found.append(slot)
        slot, before = int(market.session_links[slot]["next"]), slot
    assert int(market.session_links[own]["previous"]) == before
    return found


def live_slots(market: Market) -> list[int]:
    """Slots that hold an order."""
    slots = int(market.scalars[0]["slots_per_gateway"])
    live = []
    for source in range(len(market.orders) >> SLOT_BITS):
        base = source << SLOT_BITS
        state = market.orders[base : base + slots]["state"]
        live += [base + int(index) for index in np.flatnonzero(state != FREE)]
    return live


def hash_from_scratch(market: Market) -> int:
    """What the state hash must be, summed over everything that is there."""
    total = 0
    for slot in live_slots(market):
        order = market.orders[slot]
        weight = order_weight(market, order, slot)
        total += int(weight) * int(order["leaves"])
        if order["flags"] & CommandFlag.RESERVE and order["state"] == RESTING:
            total += int(displayed_weight(weight)) * int(order["displayed"])
    for entry in market.expiries[1 : int(market.scalars[0]["expiries"]) + 1]:
        total += int(expiry_weight(int(entry["due_ns"]), int(entry["slot"])))
    for row in np.flatnonzero(market.user_refs).tolist():
        total += int(user_ref_weight(row)) * int(market.user_refs[row])
    for number, session in enumerate(market.sessions):
        total += int(generation_weight(number)) * int(session["generation"])
        total += int(disabled_weight(number)) * int(session["disabled"])
    for row in np.flatnonzero(market.protections["group_id"]).tolist():
        protection = market.protections[row]
        total += int(settings_weight(market, row))
        for number in range(int(protection["executions"])):
            place = (int(protection["first"]) + number) % FILLS_MAX
            fill = market.fills[row * FILLS_MAX + place]
            total += int(fill_weight(row, int(fill["time_ns"]), int(fill["quantity"])))
    total &= (1 << 64) - 1
    return total - (1 << 64) if total >> 63 else total


def pages_in_use(market: Market) -> tuple[int, int]:
    """(leaves, inner nodes) that are not in the pools; roots are not counted."""
    scalars = market.scalars[0]
    leaves, leaf = int(scalars["leaf_next"]) - 1, int(scalars["leaf_free"])
    while leaf:
        leaves, leaf = leaves - 1, int(market.leaf_words[leaf])
    nodes, node = int(scalars["node_next"]) - len(market.sides) - 1, int(scalars["node_free"])
    while node:
        nodes, node = nodes - 1, int(market.node_children[64 * node])
    assert leaves + 1 == int(scalars["pages"])
    return leaves, nodes
