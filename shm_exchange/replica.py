"""Kernel: event -> state. The same Market that the matcher has, rebuilt from its events alone.

`apply` uses the book's own kernels, so after the last event of a command the replica equals the
matcher's market byte for byte, the pools of the price trees included; only `sessions.messages` and
`scalars.feed_messages` are counted by replicas alone.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.whole_record import read_word
from shm_exchange.administration import set_connected
from shm_exchange.admission import count_slot
from shm_exchange.attestation import compare
from shm_exchange.beginning import end_streams, set_stage
from shm_exchange.book import add_to_hash, end_order, reduce, remove, rest, take, user_ref_weight
from shm_exchange.disconnect import disconnect_gateway, set_disconnected
from shm_exchange.emit import HEAD, ORIGIN
from shm_exchange.groups import follower
from shm_exchange.limits import set_limit
from shm_exchange.market import WORKING
from shm_exchange.mass import set_disabled, set_filter
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    COMMAND_NEXT_MASK,
    SLOT_BITS,
    CommandFlag,
    EventFlag,
    EventKind,
)
from shm_exchange.order_entry import hidden_flag, set_order
from shm_exchange.order_tags import take_tags
from shm_exchange.order_terms import release_terms, take_terms
from shm_exchange.positions import count_broken, count_trade
from shm_exchange.protection import count_execution, freeze, set_protection
from shm_exchange.quotes import begin_quotes
from shm_exchange.reserve_orders import refresh
from shm_exchange.streams import count_messages

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
RESTED = int(EventKind.RESTED)
EXECUTED = int(EventKind.EXECUTED)
CANCELLED = int(EventKind.CANCELLED)
RESTATED = int(EventKind.RESTATED)
MODIFIED = int(EventKind.MODIFIED)
SELF_MATCHED = int(EventKind.SELF_MATCHED)
REJECTED = int(EventKind.REJECTED)
IGNORED = int(EventKind.IGNORED)
LOGGED_IN = int(EventKind.LOGGED_IN)
LOGGED_OUT = int(EventKind.LOGGED_OUT)
GATEWAY_STARTED = int(EventKind.GATEWAY_STARTED)
GATEWAY_DIED = int(EventKind.GATEWAY_DIED)
SYSTEM = int(EventKind.SYSTEM)
LISTED = int(EventKind.LISTED)
INSTRUMENT_STATE = int(EventKind.INSTRUMENT_STATE)
SESSIONS = int(EventKind.SESSIONS)
EPOCH = int(EventKind.EPOCH)
CONTINUED = int(EventKind.CONTINUED)
ATTESTED = int(EventKind.ATTESTED)
ROLLED = int(EventKind.ROLLED)
LIMITS = int(EventKind.LIMITS)
BROKEN = int(EventKind.BROKEN)
MASS_CANCELLED = int(EventKind.MASS_CANCELLED)
DISABLED = int(EventKind.DISABLED)
ENABLED = int(EventKind.ENABLED)
PROTECTION_SET = int(EventKind.PROTECTION_SET)
QUOTED = int(EventKind.QUOTED)
PROTECTION_FIRED = int(EventKind.PROTECTION_FIRED)
CONTINUATION = int(EventKind.CONTINUATION)

DONE = int(EventFlag.DONE)
TAKER_DONE = int(EventFlag.TAKER_DONE)
RESTS = int(EventFlag.RESTS)
TAGS = int(CommandFlag.TAGS)


@kernel
def _see_user_ref(market, event):
    """The matcher used this UserRefNum."""
    row = np.int64(event["session"]) * 256 + np.int64(event["user_ref_index"])
    number = np.int64(event["user_ref"])
    last = np.int64(market.user_refs[at(row)])
    if number > last:
        market.user_refs[at(row)] = number
        add_to_hash(market, user_ref_weight(row), number - last)


@kernel
def _place(market, events, index, position, chain):
    """ACCEPTED or REPLACED. chain: lots that were executed, and decremented."""
    event = events[at(index)]
    slot = np.int64(event["slot"])
    head = read_word(events, index, "kind") & HEAD | hidden_flag(event["display"])
    user_ref = read_word(events, index, "user_ref")
    origin = read_word(events, index, "session") & ORIGIN
    terms = read_word(events, index, "price")
    ways = read_word(events, index, "display")
    nowhere = np.int64(0), np.int64(0)
    set_order(market, slot, WORKING, position, head, user_ref, origin, terms, ways, chain, nowhere)
    if event["continuations"]:
        take_tags(market, slot, events, follower(events, index))
        market.orders[at(slot)]["flags"] |= TAGS
        take_terms(market, slot)
    _see_user_ref(market, event)
    if event["flags"] & RESTS:
        rest(market, slot)


@kernel
def _accepted(market, events, index, position):
    slot = np.int64(events[at(index)]["slot"])
    count_slot(market, slot >> SLOT_BITS, slot)
    _place(market, events, index, position, (np.int64(0), np.int64(0)))


@kernel
def _replaced(market, events, index, position):
    slot = np.int64(events[at(index)]["slot"])
    order = market.orders[at(slot)]
    remove(market, slot)
    if order["flags"] & TAGS:
        release_terms(market, slot)
    chain = np.int64(order["executed"]), np.int64(order["decremented"])
    _place(market, events, index, position, chain)


@kernel
def _executed(market, event):
    count_trade(market, event)
    quantity = np.int64(event["quantity"])
    maker = market.orders[at(np.int64(event["slot"]))]
    taker = market.orders[at(np.int64(event["taker_slot"]))]
    taker["executed"] = taker["executed"] + quantity
    maker["executed"] = maker["executed"] + quantity
    _lower_both(market, event, quantity)
    if maker["protection_group"] | taker["protection_group"]:
        slots = np.int64(event["slot"]), np.int64(event["taker_slot"])
        count_execution(market, slots[0], slots[1], quantity)


@cold_kernel
def _self_matched(market, event):
    quantity = np.int64(event["quantity"])
    maker = market.orders[at(np.int64(event["slot"]))]
    taker = market.orders[at(np.int64(event["taker_slot"]))]
    taker["decremented"] = taker["decremented"] + quantity
    maker["decremented"] = maker["decremented"] + quantity
    _lower_both(market, event, quantity)


@kernel
def _lower_both(market, event, quantity):
    """Maker and taker have so much less open, and end when nothing is left."""
    maker_slot = np.int64(event["slot"])
    taker_slot = np.int64(event["taker_slot"])
    taker = market.orders[at(taker_slot)]
    taker["leaves"] = taker["leaves"] - quantity
    taker["displayed"] = taker["leaves"]
    if event["flags"] & DONE:
        remove(market, maker_slot)
        end_order(market, maker_slot)
    else:
        take(market, maker_slot, quantity)
    if event["flags"] & TAKER_DONE:
        end_order(market, taker_slot)


@kernel
def _cancelled(market, event):
    slot = np.int64(event["slot"])
    if not event["flags"] & DONE:
        reduce(market, slot, np.int64(event["quantity"]))
        return
    if event["flags"] & RESTS:
        remove(market, slot)
    end_order(market, slot)


@cold_kernel
def _modified(market, event):
    slot = np.int64(event["slot"])
    order = market.orders[at(slot)]
    order["side"] = event["side"]
    if event["quantity"] > 0:
        reduce(market, slot, np.int64(event["quantity"]))


@cold_kernel
def _of_protection(market, event, kind):
    if kind == PROTECTION_FIRED:
        freeze(market, np.int64(event["slot"]))
        return
    if kind == QUOTED:
        begin_quotes(market, event)
        return
    _see_user_ref(market, event)
    set_protection(market, event)


@cold_kernel
def _apply_rare(market, event, kind, position):
    """Everything that is not about one order."""
    scalars = market.scalars[0]
    session = np.int64(event["session"])
    if kind == LOGGED_IN:
        source = shift_source(event)
        connection = np.int64(event["slot"])
        set_connected(market, session, source, connection, np.int64(event["generation"]))
    elif kind == LOGGED_OUT:
        set_disconnected(market, session)
    elif kind == GATEWAY_STARTED or kind == GATEWAY_DIED:
        gateway = np.int64(event["slot"])
        disconnect_gateway(market, gateway)
        row = market.gateways[at(gateway)]
        row["alive"] = 1 if kind == GATEWAY_STARTED else 0
        row["incarnation"] = event["user_ref"]
    elif kind == SYSTEM:
        scalars["stream_0"] = event["stream_0"]
        scalars["stream_1"] = event["stream_1"]
        set_stage(market, event["reason"])
    elif kind == LISTED:
        instrument = np.int64(event["instrument"])
        market.instruments[at(instrument)]["listed"] = 1
        scalars["instruments_listed"] = instrument + 1
    elif kind == INSTRUMENT_STATE:
        row = market.instruments[at(np.int64(event["instrument"]))]
        row["state"] = event["reason"]
        row["state_reason"] = event["quantity"]
    elif kind == SESSIONS:
        count = np.int64(event["quantity"])
        for each in range(session, session + count):
            market.sessions[at(each)]["known"] = 1
        scalars["sessions_known"] = session + count
    elif kind == EPOCH:
        scalars["epoch"] = event["epoch"]
    elif kind == MASS_CANCELLED:
        _see_user_ref(market, event)
        set_filter(market, event)
    elif kind == DISABLED or kind == ENABLED:
        _see_user_ref(market, event)
        set_disabled(market, session, np.int64(event["firm_name"]), 1 if kind == DISABLED else 0)
    elif kind == PROTECTION_SET or kind == PROTECTION_FIRED or kind == QUOTED:
        _of_protection(market, event, kind)
    elif kind == CONTINUED:
        scalars["continuing"] = event["slot"]
        scalars["continuing_kind"] = event["reason"]
        scalars["continuing_next"] = event["source_next"]
    elif kind == ROLLED:
        end_streams(market, position)
    elif kind == BROKEN:
        count_broken(market, event)
    elif kind == LIMITS:
        set_limit(market, session, np.int64(event["reason"]), np.int64(event["limit"]))
    elif kind == ATTESTED:
        compare(market, event, position)


@kernel
def shift_source(event):
    """The source of the command that the event answers."""
    return np.int64(event["source_next"]) >> COMMAND_NEXT_BITS


@kernel
def apply(market, events, index, position):
    """Apply the event at `events[index]`, whose position in the stream is `position`.

    events: EVENT[n], its continuations follow it. Positions are applied in order and each once.
    Not applied yet is exactly what lies at or above `market.scalars[0]["position"]`.
    """
    event = events[at(index)]
    kind = event["kind"]
    scalars = market.scalars[0]
    scalars["position"] = position + 1
    if kind == CONTINUATION:
        return
    scalars["stamp_ns"] = event["time_ns"]
    source_next = np.int64(event["source_next"])
    gateway = market.gateways[at(source_next >> COMMAND_NEXT_BITS)]
    gateway["command_next"] = source_next & COMMAND_NEXT_MASK
    if scalars["continuing_kind"] != 0 and kind != EPOCH:  # a successor finishes it, or his does
        scalars["continuing"] = 0
        scalars["continuing_kind"] = 0
    count_messages(market, event)
    if kind == ACCEPTED:
        _accepted(market, events, index, position)
    elif kind == EXECUTED:
        _executed(market, event)
    elif kind == CANCELLED:
        _cancelled(market, event)
    elif kind == REPLACED:
        _replaced(market, events, index, position)
    elif kind == RESTED:
        rest(market, np.int64(event["slot"]))
    elif kind == REJECTED:
        _see_user_ref(market, event)
    elif kind == IGNORED:
        return
    elif kind == RESTATED:
        refresh(market, np.int64(event["slot"]), position)
    elif kind == MODIFIED:
        _modified(market, event)
    elif kind == SELF_MATCHED:
        _self_matched(market, event)
    else:
        _apply_rare(market, event, kind, position)


@kernel
def apply_all(market, events, position):
    """Apply the whole array of events (any length), the first of which is at `position`."""
    for index in range(len(events)):
        apply(market, events, index, position + index)
    return position + len(events)
