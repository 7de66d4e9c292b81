"""Kernel: the resting orders of one side: price levels in a tree, a queue in each level.

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
from ringbuf.whole_record import part_of_word, read_word
from shm_exchange.expiry import drop_expiry
from shm_exchange.market import FREE, NO_KEY, NO_SLOT, ORDER, RESTING
from shm_exchange.messages import CommandFlag
from shm_exchange.order_tags import tags_weight
from shm_exchange.price_tree import best_in, give_back, leaf_of
from shm_exchange.session_orders import join, leave

BUY_CODE = 66  # `B`; every other side code sells
TAGS = int(CommandFlag.TAGS)
HIDDEN = int(CommandFlag.HIDDEN)
RESERVE = int(CommandFlag.RESERVE)
# What few orders have. The others are asked for all of it at once, and the code for them asks no
# more: it is compiled with `special` = 0.
SPECIAL = TAGS | HIDDEN | RESERVE

USER_REF = part_of_word(ORDER.dtype, "user_ref")

_HASH_ORDER = -7046029254386353131  # odd 64-bit constants: 2**64 / golden ratio, and two of the
_HASH_TERMS = -4417276706812531889  # same kind, so that the terms of a sum do not cancel
_HASH_USER_REF = 1609587929392839161


@kernel
def side_number(instrument, side):
    """Subscript in `sides` of the orders with side code `side` (`B`, or one that sells)."""
    return 2 * np.int64(instrument) + (1 if side != BUY_CODE else 0)


@kernel
def order_weight(market, order, slot):
    """Weight of one open lot of an order in the state hash: identity and place in the queue."""
    flags = np.int64(order["flags"])
    return _weight(market, order, slot, flags, flags)


@kernel
def _weight(market, order, slot, flags, special):
    user_ref = read_word(market.orders, slot, "user_ref") & USER_REF
    price = np.int64(order["price"])
    weight = plain_weight(slot, order["reference"] + 0, flags, price, user_ref)
    if special & TAGS:
        weight = tags_weight(market, slot, weight)
    return weight


@kernel
def plain_weight(slot, reference, flags, price, user_ref):
    """The weight of an order without tags. user_ref: in the upper half of a word."""
    identity = wrapping_multiply(reference, _HASH_ORDER) ^ slot ^ shift_left(flags, 40)
    terms = wrapping_multiply(price ^ user_ref, _HASH_TERMS)
    return wrapping_multiply(identity ^ terms, _HASH_ORDER) | 1


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
    rest_on(market, side_number(np.int64(order["instrument"]), order["side"]), slot)


@kernel
def rest_on(market, number, slot):
    """`rest`, for a caller that knows the number of the order's side."""
    flags = np.int64(market.orders[at(slot)]["flags"])
    if flags & SPECIAL:
        _rest_special(market, number, slot, flags)
    else:
        _put(market, number, slot, flags, 0)


@cold_kernel
def _rest_special(market, number, slot, flags):
    _put(market, number, slot, flags, flags)
    if flags & RESERVE:
        _show(market, slot)


@kernel
def _put(market, number, slot, flags, special):
    order = market.orders[at(slot)]
    key = np.int64(order["price"]) ^ market.sides[at(number)]["mirror"]
    session = np.int64(order["session"])
    weight = _weight(market, order, slot, flags, special)
    add_to_hash(market, weight, np.int64(order["leaves"]))
    _queue(market, number, slot, key, session, special)


@kernel
def rest_plain(market, number, slot, position, flags, terms, user_ref, session):
    """`rest` of an order that is about to begin and has nothing SPECIAL; nothing of it is touched.

    position: of its event. terms: its word with price and leaves. user_ref: in the upper half.
    Returns the slot of the order before it, or 0, and its level.
    """
    price = terms & 0xFFFF_FFFF
    weight = plain_weight(slot, position, flags, price, user_ref)
    add_to_hash(market, weight, terms >> 32)
    market.scalars[0]["orders"] += 1
    join(market.session_links, slot, session)
    return _append(market, number, slot, price ^ market.sides[at(number)]["mirror"])


@kernel
def _append(market, number, slot, key):
    """Put a displayed order behind the others of its price: the one before it, and the level."""
    leaf = leaf_of(market, number, key)
    place = 64 * leaf + (key & 63)
    level = market.levels[at(place)]
    last = np.int64(level["last"])
    level["last"] = slot
    if last:
        market.orders[at(last)]["next"] = slot
    else:
        level["first"] = slot
        _level_filled(market, number, leaf, place, key)
    return last, place


@kernel
def _level_filled(market, number, leaf, place, key):
    """Set the level's bit; its price may be the best."""
    side = market.sides[at(number)]
    market.leaf_words[at(leaf)] |= shift_left(1, key & 63)
    if key < side["best"]:
        side["best"] = key
        side["best_level"] = place


@kernel
def _queue(market, number, slot, key, session, special):
    """Put the order at the back of the queue of its price and of its session's orders."""
    order = market.orders[at(slot)]
    order["next"] = NO_SLOT
    order["state"] = RESTING
    if special & HIDDEN:
        leaf = leaf_of(market, number, key)
        place = 64 * leaf + (key & 63)
        if _append_hidden(market, slot, place) == 0:
            _level_filled(market, number, leaf, place, key)
    else:
        last, place = _append(market, number, slot, key)
        order["previous"] = last
    order["level"] = place
    market.scalars[0]["orders"] += 1
    join(market.session_links, slot, session)


@kernel
def _level_emptied(market, number, place, key):
    """Clear the level's bit; give the page back when it was the last; find the new best."""
    side = market.sides[at(number)]
    leaf = place >> 6
    word = market.leaf_words[at(leaf)] & ~shift_left(1, place & 63)
    market.leaf_words[at(leaf)] = word
    is_best = side["best_level"] == place
    if word == 0:
        left, node = give_back(market, number, key)
        if is_best:
            best_in(market, number, key, left, node)
    elif is_best:
        # Every other page has larger keys, so the best is in this one.
        digit = trailing_zeros(word)
        side["best"] = (key & ~63) | digit
        side["best_level"] = 64 * leaf + digit


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
    flags = np.int64(market.orders[at(slot)]["flags"])
    if flags & SPECIAL:
        _remove_special(market, slot, flags)
    else:
        _withdraw(market, slot, flags, 0)


@cold_kernel
def _remove_special(market, slot, flags):
    if flags & RESERVE:
        _count_displayed(market, slot, -np.int64(market.orders[at(slot)]["displayed"]))
    _withdraw(market, slot, flags, flags)


@kernel
def _withdraw(market, slot, flags, special):
    order = market.orders[at(slot)]
    leave(market.session_links, slot)
    weight = _weight(market, order, slot, flags, special)
    add_to_hash(market, weight, -np.int64(order["leaves"]))
    market.scalars[0]["orders"] -= 1
    place = order["level"] + 0
    if special & HIDDEN:
        is_empty = _unlink_hidden(market, slot)
    else:
        is_empty = _unlink(market, order, place)
    if is_empty:
        number = side_number(np.int64(order["instrument"]), order["side"])
        key = np.int64(order["price"]) ^ market.sides[at(number)]["mirror"]
        _level_emptied(market, number, place, key)


@kernel
def take(market, slot, quantity):
    """A resting order that keeps its place trades. quantity <= displayed, < leaves."""
    flags = np.int64(market.orders[at(slot)]["flags"])
    if flags & SPECIAL:
        _take_special(market, slot, flags, quantity)
    else:
        _lower(market, slot, flags, 0, quantity)


@cold_kernel
def _take_special(market, slot, flags, quantity):
    _lower(market, slot, flags, flags, quantity)
    if flags & RESERVE:
        _count_displayed(market, slot, -quantity)


@kernel
def _lower(market, slot, flags, special, quantity):
    order = market.orders[at(slot)]
    add_to_hash(market, _weight(market, order, slot, flags, special), -quantity)
    order["leaves"] = order["leaves"] - quantity
    order["displayed"] = order["displayed"] - quantity


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
