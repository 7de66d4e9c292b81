"""Kernel: the resting orders of one side: price levels in a tree, a queue in each level.

A tree of 64-way nodes, one bit per occupied child, so that the best price is found by counting
trailing zeros on the way down. A leaf is a page of 64 price levels. Nodes and leaves come from
pools when a page is first used and go back when it empties: memory follows the occupied prices.

Keys, not prices: `key = price ^ mirror`, so that on either side the smaller key is the better
price, and everything here is written once.
"""

import numpy as np

from ringbuf.bits import (
    at,
    mix,
    shift_left,
    trailing_zeros,
    wrapping_add,
    wrapping_multiply,
)
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.expiry import drop_expiry
from shm_exchange.market import FREE, NO_KEY, NO_SLOT, RESTING
from shm_exchange.messages import CommandFlag
from shm_exchange.order_tags import tags_weight
from shm_exchange.session_orders import join, leave

NODES_PER_PATH_MAX = 6  # a key has at most 31 bits: a leaf and five inner nodes, one spare
BUY_CODE = 66  # `B`; every other side code sells
TAGS = int(CommandFlag.TAGS)
HIDDEN = int(CommandFlag.HIDDEN)
RESERVE = int(CommandFlag.RESERVE)

_HASH_ORDER = -7046029254386353131  # odd 64-bit constants: 2**64 / golden ratio, and two of the
_HASH_TERMS = -4417276706812531889  # same kind, so that the terms of a sum do not cancel
_HASH_USER_REF = 1609587929392839161


@kernel
def side_number(instrument, side):
    """Subscript in `sides` of the orders with side code `side` (`B`, or one that sells)."""
    return 2 * np.int64(instrument) + (1 if side != BUY_CODE else 0)


@kernel
def has_pages(market):
    """1 when a new price page can be made for certain, whatever its key."""
    scalars = market.scalars[0]
    leaves = scalars["leaf_free"] != 0 or scalars["leaf_next"] < len(market.leaf_words)
    nodes = scalars["node_next"] + NODES_PER_PATH_MAX <= len(market.node_words)
    return 1 if leaves and nodes else 0


@kernel
def order_weight(market, order, slot):
    """Weight of one open lot of an order in the state hash: identity and place in the queue."""
    flags = np.int64(order["flags"])
    identity = wrapping_multiply(order["reference"], _HASH_ORDER) ^ slot ^ shift_left(flags, 40)
    terms = np.int64(order["price"]) ^ shift_left(np.int64(order["user_ref"]), 32)
    weight = wrapping_multiply(identity ^ wrapping_multiply(terms, _HASH_TERMS), _HASH_ORDER) | 1
    if flags & TAGS:
        weight = tags_weight(market, slot, weight)
    return weight


@kernel
def add_to_hash(market, weight, count):
    """Fold `count` times `weight` into the state hash. O(1); the order of calls does not matter."""
    scalars = market.scalars[0]
    scalars["hash"] = wrapping_add(scalars["hash"], wrapping_multiply(weight, count))


@kernel
def user_ref_weight(row):
    """Weight of a session's last UserRefNum in the state hash. row: session << 8 | channel."""
    return wrapping_multiply(row + row + 1, _HASH_USER_REF)


@kernel
def generation_weight(session):
    """Weight of a session's generation in the state hash."""
    return mix(session + 1)


@cold_kernel
def _take_node(market):
    """An empty inner node from the pool; `has_pages` was asked before."""
    scalars = market.scalars[0]
    node = scalars["node_free"] + 0
    if node:
        scalars["node_free"] = market.node_children[at(64 * node)]
        market.node_children[at(64 * node)] = 0
        return node
    node = scalars["node_next"] + 0
    assert node < len(market.node_words)
    scalars["node_next"] = node + 1
    return node


@cold_kernel
def _take_leaf(market):
    """An empty leaf from the pool; `has_pages` was asked before."""
    scalars = market.scalars[0]
    leaf = scalars["leaf_free"] + 0
    if leaf:
        scalars["leaf_free"] = market.leaf_words[at(leaf)]
        market.leaf_words[at(leaf)] = 0
        return leaf
    leaf = scalars["leaf_next"] + 0
    assert leaf < len(market.leaf_words)
    scalars["leaf_next"] = leaf + 1
    return leaf


@cold_kernel
def _leaf_of(market, number, key):
    """The leaf of `key` on side `number`, made with its path if need be."""
    side = market.sides[at(number)]
    node = side["root"] + 0
    shift = side["top_shift"] + 0
    while True:
        digit = (key >> shift) & 63
        place = 64 * node + digit
        child = market.node_children[at(place)] + 0
        if child == 0:
            child = _take_leaf(market) if shift == 6 else _take_node(market)
            market.node_children[at(place)] = child
            market.node_words[at(node)] |= shift_left(1, digit)
        if shift == 6:
            return child
        node = child
        shift -= 6


@cold_kernel
def _give_back(market, number, key):
    """Free the empty leaf of `key` and every inner node that has nothing else."""
    side = market.sides[at(number)]
    scalars = market.scalars[0]
    # First way down: the last node that keeps another child. What hangs below it goes.
    node = keep = side["root"] + 0
    shift = keep_shift = side["top_shift"] + 0
    while shift > 6:
        digit = (key >> shift) & 63
        if market.node_words[at(node)] & ~shift_left(1, digit):
            keep = node
            keep_shift = shift
        node = market.node_children[at(64 * node + digit)] + 0
        shift -= 6
    if market.node_words[at(node)] & ~shift_left(1, (key >> 6) & 63):
        keep = node
        keep_shift = 6
    node = keep
    shift = keep_shift
    while True:
        digit = (key >> shift) & 63
        place = 64 * node + digit
        child = market.node_children[at(place)] + 0
        market.node_children[at(place)] = 0
        market.node_words[at(node)] &= ~shift_left(1, digit)
        if node != keep:
            market.node_children[at(64 * node)] = scalars["node_free"]
            scalars["node_free"] = node
        if shift == 6:
            market.leaf_words[at(child)] = scalars["leaf_free"]
            scalars["leaf_free"] = child
            return
        node = child
        shift -= 6


@cold_kernel
def _best_from_root(market, number):
    """Set `best` and `best_level` of a side by the leftmost way down its tree."""
    side = market.sides[at(number)]
    node = side["root"] + 0
    shift = side["top_shift"] + 0
    if market.node_words[at(node)] == 0:
        side["best"] = NO_KEY
        side["best_level"] = 0
        return
    key = 0
    while True:
        digit = trailing_zeros(market.node_words[at(node)])
        key |= digit << shift
        node = market.node_children[at(64 * node + digit)] + 0
        if shift == 6:
            break
        shift -= 6
    digit = trailing_zeros(market.leaf_words[at(node)])
    side["best"] = key | digit
    side["best_level"] = 64 * node + digit


@kernel
def displayed_weight(weight):
    """Weight of a displayed lot of a reserve order, beside that of an open one."""
    return mix(weight) | 1


@cold_kernel
def _show(market, slot):
    """The next displayed part of a reserve order."""
    order = market.orders[at(slot)]
    shown = min(np.int64(order["display_quantity"]), np.int64(order["leaves"]))
    order["displayed"] = shown
    _count_displayed(market, slot, shown)


@cold_kernel
def _count_displayed(market, slot, count):
    """Fold displayed lots of a reserve order into the state hash."""
    weight = order_weight(market, market.orders[at(slot)], slot)
    add_to_hash(market, displayed_weight(weight), count)


@cold_kernel
def _append_hidden(market, slot, place):
    """Put a hidden order behind the others of its level; 0 when the level was empty."""
    order = market.orders[at(slot)]
    level = market.levels[at(place)]
    last = np.int64(level["hidden_last"])
    order["previous"] = last
    level["hidden_last"] = slot
    if last:
        market.orders[at(last)]["next"] = slot
        return last
    level["hidden_first"] = slot
    return np.int64(level["first"])


@cold_kernel
def _unlink_hidden(market, slot):
    """Take a hidden order out of the queue of its level; 1 when the level is empty now."""
    order = market.orders[at(slot)]
    level = market.levels[at(np.int64(order["level"]))]
    before, behind = np.int64(order["previous"]), np.int64(order["next"])
    if before:
        market.orders[at(before)]["next"] = behind
    else:
        level["hidden_first"] = behind
    if behind:
        market.orders[at(behind)]["previous"] = before
    else:
        level["hidden_last"] = before
    return 1 if level["first"] == 0 and level["hidden_first"] == 0 else 0


@kernel
def rest(market, slot):
    """Put an order (its fields are set) at the back of its level's queue. O(1), amortised."""
    order = market.orders[at(slot)]
    number = side_number(np.int64(order["instrument"]), order["side"])
    side = market.sides[at(number)]
    key = np.int64(order["price"]) ^ side["mirror"]
    if side["cached_page"] == key >> 6:
        leaf = side["cached_leaf"] + 0
    else:
        leaf = _leaf_of(market, number, key) + 0
        side["cached_page"] = key >> 6
        side["cached_leaf"] = leaf
    place = 64 * leaf + (key & 63)
    level = market.levels[at(place)]
    order["level"] = place
    order["next"] = NO_SLOT
    order["state"] = RESTING
    if order["flags"] & HIDDEN:
        last = _append_hidden(market, slot, place)
    else:
        last = level["last"] + 0
        order["previous"] = last
        level["last"] = slot
        if last:
            market.orders[at(last)]["next"] = slot
        else:
            level["first"] = slot
    if last == 0:
        market.leaf_words[at(leaf)] |= shift_left(1, key & 63)
        if key < side["best"]:
            side["best"] = key
            side["best_level"] = place
    side["orders"] += 1
    join(market.session_links, slot, np.int64(order["session"]))
    add_to_hash(market, order_weight(market, order, slot), np.int64(order["leaves"]))
    if order["flags"] & RESERVE:
        _show(market, slot)


@kernel
def _level_emptied(market, number, place, key):
    """Clear the level's bit; give the page back when it was the last; find the new best."""
    side = market.sides[at(number)]
    leaf = place >> 6
    word = market.leaf_words[at(leaf)] & ~shift_left(1, place & 63)
    market.leaf_words[at(leaf)] = word
    if word == 0:
        _give_back(market, number, key)
        if side["cached_leaf"] == leaf:
            side["cached_page"] = -1
            side["cached_leaf"] = 0
    if side["best_level"] == place:
        if word:
            # Every other page has larger keys, so the best is in this one.
            digit = trailing_zeros(word)
            side["best"] = (key & ~63) | digit
            side["best_level"] = 64 * leaf + digit
        else:
            _best_from_root(market, number)


@kernel
def _unlink(market, order, place):
    """Take a displayed order out of the queue of its level; 1 when the level is empty now."""
    before = order["previous"] + 0
    behind = order["next"] + 0
    level = market.levels[at(place)]
    if before:
        market.orders[at(before)]["next"] = behind
    else:
        level["first"] = behind
    if behind:
        market.orders[at(behind)]["previous"] = before
    else:
        level["last"] = before
    return 1 if before == 0 and behind == 0 and level["hidden_first"] == 0 else 0


@kernel
def remove(market, slot):
    """Take a resting order out of its queue; its remaining lots leave the state hash."""
    order = market.orders[at(slot)]
    leave(market.session_links, slot)
    add_to_hash(market, order_weight(market, order, slot), -np.int64(order["leaves"]))
    number = side_number(np.int64(order["instrument"]), order["side"])
    place = order["level"] + 0
    flags = np.int64(order["flags"])
    if flags & RESERVE:
        _count_displayed(market, slot, -np.int64(order["displayed"]))
    if flags & HIDDEN:
        is_empty = _unlink_hidden(market, slot)
    else:
        is_empty = _unlink(market, order, place)
    market.sides[at(number)]["orders"] -= 1
    if is_empty:
        key = np.int64(order["price"]) ^ market.sides[at(number)]["mirror"]
        _level_emptied(market, number, place, key)


@kernel
def take(market, slot, quantity):
    """A resting order that keeps its place trades. quantity <= displayed, < leaves."""
    order = market.orders[at(slot)]
    add_to_hash(market, order_weight(market, order, slot), -quantity)
    order["leaves"] = order["leaves"] - quantity
    order["displayed"] = order["displayed"] - quantity
    if order["flags"] & RESERVE:
        _count_displayed(market, slot, -quantity)


@kernel
def reduce(market, slot, quantity):
    """Lower the open quantity of a resting order that keeps its place. quantity < leaves.

    What a reserve order does not show goes first.
    """
    order = market.orders[at(slot)]
    add_to_hash(market, order_weight(market, order, slot), -quantity)
    order["leaves"] = order["leaves"] - quantity
    shown = max(np.int64(0), np.int64(order["displayed"]) - np.int64(order["leaves"]))
    order["displayed"] = order["displayed"] - shown
    if order["flags"] & RESERVE:
        _count_displayed(market, slot, -shown)


@kernel
def end_order(market, slot):
    """The order, which is in no queue, is finished: its slot is free again."""
    order = market.orders[at(slot)]
    order["leaves"] = 0
    order["displayed"] = 0
    order["state"] = FREE
    if order["expiry"]:
        drop_expiry(market, slot)


@kernel
def best_price(market, number):
    """Best price of a side in ticks, or -1 when it is empty."""
    side = market.sides[at(number)]
    if side["best"] == NO_KEY:
        return -1
    return side["best"] ^ side["mirror"]
