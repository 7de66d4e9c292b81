"""Kernel: market-maker protection: what the executions of a group of orders come to in a window.

A group is what OUCH's tag 24 says, of one session, in all instruments or in one. Its window is
exact: a ring of its executions. A frozen group thaws by the matcher's stamp alone, so nobody needs
to say that it has. Replicas do the same with the same events.
"""

import numpy as np

from ringbuf.bits import at, mix, shift_left, wrapping_add, wrapping_multiply
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.book import BUY_CODE, TAGS, add_to_hash
from shm_exchange.market import FILLS_MAX, FOREVER, PROTECTION_BLOCK, PROTECTION_BLOCKS
from shm_exchange.messages import ALL_INSTRUMENTS, NONE
from shm_exchange.session_orders import following

MICROSECOND = 1_000
SET, RESET, DELETE = ord("S"), ord("R"), ord("D")  # what is asked of a protection
HAS_MINIMUM = 0x80  # beside the number in `order.protection_group`: look at each of its trades
_HASH_PROTECTION = -3750763034362895579  # an odd 64-bit constant


@kernel
def row_of_order(market, order):
    """Row of the protection that counts an order, or NONE."""
    group = np.int64(order["protection_group"]) & ~HAS_MINIMUM
    block = np.int64(market.sessions[at(np.int64(order["session"]))]["protections"])
    return block * PROTECTION_BLOCK + group - 1 if group != 0 else NONE


@cold_kernel
def find_protection(market, session, group):
    """Row of a session's protection of `group` (0: of a free row), or NONE."""
    block = np.int64(market.sessions[at(session)]["protections"])
    first = block * PROTECTION_BLOCK
    for row in range(first, first + PROTECTION_BLOCK if block != 0 else first):
        if market.protections[at(row)]["group_id"] == group:
            return row
    return NONE


@cold_kernel
def protecting(market, session, group, instrument):
    """Row of the protection that counts orders of `group` in `instrument`, or NONE."""
    row = find_protection(market, session, group) if group != 0 else NONE
    if row == NONE:
        return NONE
    scope = np.int64(market.protections[at(row)]["instrument"])
    return row if scope == ALL_INSTRUMENTS or scope == instrument else NONE


@kernel
def is_frozen(market, row):
    """1 while the group of protection `row` may not enter orders."""
    until = np.int64(market.protections[at(row)]["frozen_until_ns"])
    return 1 if until > market.scalars[0]["stamp_ns"] else 0


@cold_kernel
def join_group(market, slot, group):
    """Say by which protection the order in `slot`, of the group that tag 24 names, is counted."""
    order = market.orders[at(slot)]
    session, instrument = np.int64(order["session"]), np.int64(order["instrument"])
    row = protecting(market, session, group, instrument)
    order["protection_group"] = row % PROTECTION_BLOCK + 1 if row != NONE else 0


@cold_kernel
def _fold(value, word):
    return mix(wrapping_add(wrapping_multiply(value, _HASH_PROTECTION), word))


@cold_kernel
def settings_weight(market, row):
    """What a protection adds to the state hash, apart from its window; a free row nothing."""
    each = market.protections[at(row)]
    if each["group_id"] == 0:
        return np.int64(0)
    scope = shift_left(np.int64(each["instrument"]), 32) | shift_left(np.int64(row), 16)
    value = _fold(scope | np.int64(each["group_id"]), np.int64(each["window_ns"]))
    value = _fold(value, np.int64(each["frozen_ns"]))
    value = _fold(value, np.int64(each["frozen_until_ns"]))
    value = _fold(value, np.int64(each["execution_limit"]))
    value = _fold(value, np.int64(each["quantity_limit"]))
    return _fold(value, np.int64(each["net_limit"]))


@cold_kernel
def fill_weight(row, time_ns, quantity):
    """What an execution in the window of protection `row` adds to the state hash."""
    return _fold(_fold(np.int64(row), time_ns), quantity)


@cold_kernel
def _drop_first(market, row):
    """The oldest execution leaves the window."""
    each = market.protections[at(row)]
    first = np.int64(each["first"])
    fill = market.fills[at(row * FILLS_MAX + first)]
    quantity = np.int64(fill["quantity"])
    add_to_hash(market, fill_weight(row, np.int64(fill["time_ns"]), quantity), -1)
    each["first"] = (first + 1) % FILLS_MAX
    each["executions"] = each["executions"] - 1
    each["quantity"] = each["quantity"] - abs(quantity)
    each["net"] = each["net"] - quantity


@cold_kernel
def clear_window(market, row):
    """Nothing was executed in the window of protection `row`; nothing is due."""
    each = market.protections[at(row)]
    while each["executions"] > 0:
        _drop_first(market, row)
    each["first"] = 0
    each["quantity"] = each["net"] = 0


@cold_kernel
def limit_reached(market, row):
    """Which limit what is in the window has reached: 1 executions, 2 quantity, 3 net; or 0."""
    each = market.protections[at(row)]
    executions = np.int64(each["executions"])
    if executions >= (each["execution_limit"] if each["execution_limit"] != 0 else FILLS_MAX):
        return 1
    if each["quantity_limit"] != 0 and each["quantity"] >= each["quantity_limit"]:
        return 2
    if each["net_limit"] != 0 and abs(np.int64(each["net"])) >= each["net_limit"]:
        return 3
    return 0


@cold_kernel
def _count(market, slot, quantity):
    """An order was executed: its protection, if it has one, counts that; perhaps it is due.

    Until a protection that is due fires, what an order with a minimum trades meanwhile is counted
    as well, and nothing leaves the window; beyond FILLS_MAX executions in lots alone.
    """
    order = market.orders[at(slot)]
    row = row_of_order(market, order)
    if row == NONE:
        return
    each = market.protections[at(row)]
    scalars = market.scalars[0]
    now_ns = np.int64(scalars["stamp_ns"])
    oldest = now_ns - np.int64(each["window_ns"])
    place = row * FILLS_MAX
    while each["due"] == 0 and each["executions"] > 0:
        if market.fills[at(place + np.int64(each["first"]))]["time_ns"] > oldest:
            break
        _drop_first(market, row)
    signed = quantity if order["side"] == BUY_CODE else -quantity
    each["quantity"] = each["quantity"] + quantity
    each["net"] = each["net"] + signed
    if each["executions"] < FILLS_MAX:
        last = (np.int64(each["first"]) + np.int64(each["executions"])) % FILLS_MAX
        fill = market.fills[at(place + last)]
        fill["time_ns"] = now_ns
        fill["quantity"] = signed
        each["executions"] = each["executions"] + 1
        add_to_hash(market, fill_weight(row, now_ns, signed), 1)
    if each["due"] == 0 and limit_reached(market, row):
        each["due"] = 1
        count = np.int64(scalars["protections_due"])
        first_due = np.int64(scalars["protection_due"])
        scalars["protections_due"] = count + 1
        scalars["protection_due"] = row if count == 0 else min(row, first_due)


@cold_kernel
def count_execution(market, maker_slot, taker_slot, quantity):
    """Both sides of a trade count it, the maker first."""
    _count(market, maker_slot, quantity)
    _count(market, taker_slot, quantity)


@cold_kernel
def freeze(market, row):
    """What PROTECTION_FIRED says: the window is empty again, and the group frozen."""
    scalars = market.scalars[0]
    each = market.protections[at(row)]
    clear_window(market, row)
    add_to_hash(market, settings_weight(market, row), -1)
    length = np.int64(each["frozen_ns"])
    each["frozen_until_ns"] = scalars["stamp_ns"] + length if length != 0 else FOREVER
    add_to_hash(market, settings_weight(market, row), 1)
    each["due"] = 0
    scalars["protection_fired"] = row
    scalars["protections_due"] = scalars["protections_due"] - 1
    scalars["protection_due"] = 0
    if scalars["protections_due"] != 0:
        row += 1
        while market.protections[at(row)]["due"] == 0:
            row += 1
        scalars["protection_due"] = row


@cold_kernel
def _row_for(market, session, group):
    """Row of a session's protection of `group`, or a free one, which becomes its own."""
    row = find_protection(market, session, group)
    if row == NONE:
        row = find_protection(market, session, 0)
    if row == NONE:
        row = own_block(market, session) * PROTECTION_BLOCK
    return row


@cold_kernel
def has_block_room(market, session):
    """1 when the session has a block or may have one."""
    if market.sessions[at(session)]["protections"] != 0:
        return 1
    return 1 if market.scalars[0]["protection_blocks"] + 1 < PROTECTION_BLOCKS else 0


@cold_kernel
def own_block(market, session):
    """The block of a session's protections and quotes, taken if it has none."""
    block = np.int64(market.sessions[at(session)]["protections"])
    if block == 0:
        block = np.int64(market.scalars[0]["protection_blocks"]) + 1
        market.scalars[0]["protection_blocks"] = block
        market.sessions[at(session)]["protections"] = block
    return block


@cold_kernel
def has_protection_room(market, session, group):
    """1 when the session has a protection of `group` or may have one more."""
    if market.sessions[at(session)]["protections"] == 0:
        return has_block_room(market, session)
    known = find_protection(market, session, group) != NONE
    return 1 if known or find_protection(market, session, 0) != NONE else 0


@cold_kernel
def set_protection(market, event):
    """What PROTECTION_SET says: `S` new limits, `R` the group thaws, `D` no protection."""
    session, group = np.int64(event["session"]), np.int64(event["group_id"])
    row = _row_for(market, session, group)
    each = market.protections[at(row)]
    clear_window(market, row)
    add_to_hash(market, settings_weight(market, row), -1)
    if event["side"] == SET:
        each["session"] = session
        each["group_id"] = group
        each["instrument"] = event["instrument"]
        each["window_ns"] = np.int64(event["window_us"]) * MICROSECOND
        each["frozen_ns"] = np.int64(event["frozen_us"]) * MICROSECOND
        each["execution_limit"] = event["executions"]
        each["quantity_limit"] = event["quantity"]
        each["net_limit"] = event["price"]
    else:
        each["frozen_until_ns"] = 0
        each["group_id"] = group if event["side"] == RESET else 0
    add_to_hash(market, settings_weight(market, row), 1)
    slot = following(market.session_links, session, 0)
    while slot != 0:
        if market.orders[at(slot)]["flags"] & TAGS:
            join_group(market, slot, np.int64(market.tags[at(slot)]["group_id"]))
        slot = following(market.session_links, session, slot)
