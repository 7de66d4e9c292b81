"""Kernel: (market, command) -> events. Every rule that must be atomic is here.

`match` writes the events of one command into the ring from `position` on and returns the position
behind them; nothing is visible until the caller publishes. The same commands give the same bytes,
today and in a replay: time comes in as the stamp, and every byte of an event is written.

Rules: OUCH 5.0 (user reference numbers, replace and its outcomes, cancel to an intended size), and
price-time priority. What a gateway should have checked is checked again where a wrong value could
hurt somebody else.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.whole_record import part_of_word, read_word
from shm_exchange.administration import administer
from shm_exchange.admission import LOGGED_IN, is_live, session_fault, speaks
from shm_exchange.book import end_order, reduce, remove
from shm_exchange.emit import FLAGS_SHIFT, emit_cancelled, emit_gone, emit_ignored, emit_order
from shm_exchange.entering import enter, enter_special
from shm_exchange.mass_quote import mass_quote
from shm_exchange.messages import (
    COMMAND,
    COMMAND_NEXT_BITS,
    REASON_USER,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    Ignored,
)
from shm_exchange.replacing import replace
from shm_exchange.session_answers import query_account, refuse

SIDE_BUY = ord("B")
SWEEP_ROOM = 8  # events that a command may need besides its trades

ENTER = int(CommandKind.ENTER)
CANCEL = int(CommandKind.CANCEL)
REPLACE = int(CommandKind.REPLACE)
MODIFY = int(CommandKind.MODIFY)
REFUSED = int(CommandKind.REFUSED)
ACCOUNT_QUERY = int(CommandKind.ACCOUNT_QUERY)
MASS_QUOTE = int(CommandKind.MASS_QUOTE)

MODIFIED = int(EventKind.MODIFIED)
DONE = int(EventFlag.DONE)
RESTS = int(EventFlag.RESTS)
LONG_FORM = int(EventFlag.LONG_FORM)
_REPEATED = part_of_word(COMMAND.dtype, "reason") | LONG_FORM << FLAGS_SHIFT  # of a cancel
_KIND_AND_TAGS = part_of_word(COMMAND.dtype, "kind") | int(CommandFlag.TAGS) << FLAGS_SHIFT
_GONE = (RESTS | DONE) << FLAGS_SHIFT

NOT_LIVE = int(Ignored.NOT_LIVE)
SUPERFLUOUS = int(Ignored.SUPERFLUOUS)


@cold_kernel
def _ignore_cancel(market, command, source, source_next, ring, position):
    """Say why a cancel has no effect; the position behind the event."""
    fault = session_fault(market, command, source)
    fault = fault if fault else NOT_LIVE
    return emit_ignored(market, command, fault, 0, source_next, ring, position)


@kernel
def cancel(market, commands, index, source, source_next, ring, position):
    """OUCH X: lower the chain to an intended total; 0 = everything that is open."""
    command = commands[at(index)]
    is_ours = speaks(market, command, source, LOGGED_IN)
    if not is_ours or not is_live(market, commands, index, command["user_ref"]):
        return _ignore_cancel(market, command, source, source_next, ring, position)
    if command["quantity"] > 0:
        return _cancel_down(market, commands, index, source_next, ring, position)
    return _cancel_all(market, commands, index, source_next, ring, position)


@kernel
def _cancel_all(market, commands, index, source_next, ring, position):
    slot = np.int64(commands[at(index)]["slot"])
    head = read_word(commands, index, "kind") & _REPEATED | _GONE
    terms = read_word(market.orders, slot, "price")
    name = read_word(commands, index, "slot")
    remove(market, slot)
    end_order(market, slot)
    emit_gone(market, slot, head, terms, name, source_next, ring, position)
    return position + 1


@cold_kernel
def _cancel_down(market, commands, index, source_next, ring, position):
    """An intended total that is not zero: perhaps the chain has traded that much by now."""
    command = commands[at(index)]
    slot = np.int64(command["slot"])
    order = market.orders[at(slot)]
    leaves = np.int64(order["leaves"])
    left = command["quantity"] - np.int64(order["executed"]) - np.int64(order["decremented"])
    if left >= leaves:
        return emit_ignored(market, command, SUPERFLUOUS, 0, source_next, ring, position)
    if left <= 0:
        return _cancel_all(market, commands, index, source_next, ring, position)
    reduce(market, slot, leaves - left)
    flags = RESTS | (command["flags"] & LONG_FORM)
    reason = np.int64(command["reason"])
    emit_cancelled(market, slot, leaves - left, reason, flags, source_next, ring, position)
    return position + 1


@cold_kernel
def modify(market, commands, index, source, source_next, ring, position):
    """OUCH M: another sell side, or a smaller total; keeps its place; increases are ignored."""
    command = commands[at(index)]
    fault = session_fault(market, command, source)
    if not fault and not is_live(market, commands, index, command["user_ref"]):
        fault = NOT_LIVE
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    slot = np.int64(command["slot"])
    order = market.orders[at(slot)]
    leaves = np.int64(order["leaves"])
    done = np.int64(order["executed"]) + np.int64(order["decremented"])
    left = min(leaves, max(0, command["quantity"] - done))
    both_sell = order["side"] != SIDE_BUY and command["side"] != SIDE_BUY
    changes_side = order["side"] != command["side"]
    if (changes_side and not both_sell) or (left == leaves and not changes_side):
        return emit_ignored(market, command, SUPERFLUOUS, 0, source_next, ring, position)
    flags = RESTS | (command["flags"] & LONG_FORM)
    if left == 0:
        remove(market, slot)
        end_order(market, slot)
        emit_cancelled(market, slot, leaves, REASON_USER, flags | DONE, source_next, ring, position)
        return position + 1
    order["side"] = command["side"]
    if left < leaves:
        reduce(market, slot, leaves - left)
    event = emit_order(market, slot, MODIFIED, source_next, ring, position)
    event["flags"] = flags
    event["quantity"] = leaves - left
    event["reference"] = order["reference"]
    event["leaves"] = left
    return position + 1


@cold_kernel
def _match_rarer(market, commands, index, follower, source, source_next, ring, position, limit):
    """`match` of what makes up little of any flow: three kinds are compared, not looked up."""
    command = commands[at(index)]
    kind = command["kind"]
    if kind == ENTER:
        return enter_special(
            market, commands, index, follower, source, source_next, ring, position, limit
        )
    if kind == MODIFY:
        return modify(market, commands, index, source, source_next, ring, position)
    if kind == REFUSED:
        return refuse(market, command, source, source_next, ring, position)
    if kind == ACCOUNT_QUERY:
        return query_account(market, command, source, source_next, ring, position)
    if kind == MASS_QUOTE:
        return mass_quote(market, commands, index, source, source_next, ring, position, limit)
    return administer(market, command, source, source_next, ring, position, limit)


@kernel
def match(market, commands, index, source, command_next, follower, stamp_ns, ring, position, limit):
    """Match the command at `commands[index]`; return the position behind its last event.

    commands: COMMAND[n]. source: whose ring it came from. follower: subscript of its continuation,
    if it has one.
    command_next: position in that ring behind it. stamp_ns: not below the last stamp.
    ring: has `records`, EVENT[capacity]; position: of the first event; limit: a sweep stops there
    (at most SWEEP_ROOM events more are written, so the caller reserves that much).

    At the end of a batch the caller says by `note_progress` where the market stands.
    """
    command = commands[at(index)]
    market.scalars[0]["stamp_ns"] = stamp_ns
    source_next = (source << COMMAND_NEXT_BITS) | command_next
    if read_word(commands, index, "kind") & _KIND_AND_TAGS == ENTER:
        return enter(market, commands, index, follower, source, source_next, ring, position, limit)
    kind = command["kind"]
    if kind == CANCEL:
        return cancel(market, commands, index, source, source_next, ring, position)
    if kind == REPLACE:
        return replace(
            market, commands, index, follower, source, source_next, ring, position, limit
        )
    return _match_rarer(
        market, commands, index, follower, source, source_next, ring, position, limit
    )


@kernel
def note_progress(market, source, command_next, position):
    """Behind a batch: events below `position` are written, commands below `command_next` done."""
    market.gateways[at(source)]["command_next"] = command_next
    market.scalars[0]["position"] = position
