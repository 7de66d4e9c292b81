"""Kernel: writing one event. Every byte of it is written, so that a replay gives equal bytes."""

import numpy as np

from ringbuf.bits import at, clear_record
from ringbuf.jit import cold_kernel, kernel
from ringbuf.whole_record import part_of_word, read_word, write_words
from shm_exchange.messages import COMMAND, CommandFlag, EventFlag, EventKind

REJECTED = int(EventKind.REJECTED)
IGNORED = int(EventKind.IGNORED)
CANCELLED = int(EventKind.CANCELLED)
CONTINUED = int(EventKind.CONTINUED)
EXECUTED = int(EventKind.EXECUTED)
SYSTEM = int(EventKind.SYSTEM)
DONE = int(EventFlag.DONE)
TAKER_DONE = int(EventFlag.TAKER_DONE)
MAKER_HIDDEN = int(EventFlag.MAKER_HIDDEN)
LONG_FORM = int(EventFlag.LONG_FORM)
# What an order keeps of its command's flags, and its events repeat.
KEPT = int(CommandFlag.SWEEP | CommandFlag.GTC | CommandFlag.STAY_ON_DISCONNECT)
HIDDEN = int(CommandFlag.HIDDEN)
# Parts of words that a command, an event and an order have at the same place.
PLACE = part_of_word(COMMAND.dtype, "side", "instrument")
FLAGS_SHIFT = 8 * COMMAND.offset_of("flags")  # in the first word
REASON_SHIFT = 8 * COMMAND.offset_of("reason")
HEAD = PLACE | KEPT << FLAGS_SHIFT
ORIGIN = part_of_word(COMMAND.dtype, "session", "user_ref_index", "capacity")
LOW_HALF = 0xFFFF_FFFF
LIQUIDITY_ADDED = ord("A")
LIQUIDITY_HIDDEN = ord("J")
LIQUIDITY_REMOVED = ord("R")


@kernel
def new_event(market, ring, position, kind, source_next):
    """The cleared record at `position`, with kind, source and stamp set."""
    index = position & (len(ring.records) - 1)
    clear_record(ring.records, index)
    event = ring.records[at(index)]
    event["kind"] = kind
    event["source_next"] = source_next
    event["time_ns"] = market.scalars[0]["stamp_ns"]
    return event


@kernel
def emit_order(market, slot, kind, source_next, ring, position):
    """An event that describes the order in `slot` as it is now (no client order id)."""
    head = read_word(market.orders, slot, "state")
    write_words(
        ring.records,
        position & (len(ring.records) - 1),
        8,
        "kind:reason source_next time_ns price:quantity slot user_ref session:capacity"
        " time_in_force:display",
        (
            head & HEAD | kind,
            source_next,
            market.scalars[0]["stamp_ns"],
            read_word(market.orders, slot, "price"),
            slot,
            read_word(market.orders, slot, "user_ref") >> 32,
            read_word(market.orders, slot, "session"),
            head >> 48,
        ),
    )
    return ring.records[at(position & (len(ring.records) - 1))]


@cold_kernel
def emit_continued(market, slot, kind, source_next, ring, position):
    """CONTINUED at `position`: the command goes on with the order in `slot`, in another part.

    kind: of messages.Continuing. What goes on is remembered in the market. Returns the position
    behind the event.
    """
    event = new_event(market, ring, position, CONTINUED, source_next)
    event["slot"] = slot
    event["reason"] = kind
    scalars = market.scalars[0]
    scalars["continuing"] = slot
    scalars["continuing_kind"] = kind
    scalars["continuing_next"] = source_next
    return position + 1


@cold_kernel
def emit_system(market, code, source_next, ring, position):
    """SYSTEM with ITCH's event code and the name of the streams; the position behind it."""
    event = new_event(market, ring, position, SYSTEM, source_next)
    event["reason"] = code
    event["stream_0"] = market.scalars[0]["stream_0"]
    event["stream_1"] = market.scalars[0]["stream_1"]
    return position + 1


@kernel
def emit_cancelled(market, slot, quantity, reason, flags, source_next, ring, position):
    """CANCELLED at `position`: `quantity` lots are gone; the order's leaves are already lowered."""
    order = market.orders[at(slot)]
    return _write_cancelled(
        market,
        slot,
        read_word(market.orders, slot, "side") & PLACE
        | np.int64(flags) << FLAGS_SHIFT
        | np.int64(reason) << REASON_SHIFT,
        np.int64(order["price"]) & LOW_HALF | np.int64(quantity) << 32,
        read_word(market.orders, slot, "user_ref") & ~LOW_HALF | slot,
        np.int64(order["leaves"]),
        source_next,
        ring,
        position,
    )


@kernel
def emit_gone(market, slot, head, terms, name, source_next, ring, position):
    """CANCELLED at `position`: all that was left of an order, which has ended.

    head: flags and reason, where an event's first word has them. terms: price and leaves as they
    were; name: slot and UserRefNum: likewise in words of theirs.
    """
    head |= read_word(market.orders, slot, "side") & PLACE
    _write_cancelled(market, slot, head, terms, name, 0, source_next, ring, position)


@kernel
def _write_cancelled(market, slot, head, terms, name, leaves, source_next, ring, position):
    write_words(
        ring.records,
        position & (len(ring.records) - 1),
        8,
        "kind:reason source_next time_ns price:quantity slot:user_ref"
        " session:user_ref_index leaves reference",
        (
            head | CANCELLED,
            source_next,
            market.scalars[0]["stamp_ns"],
            terms,
            name,
            read_word(market.orders, slot, "session"),
            leaves,
            market.orders[at(slot)]["reference"],
        ),
    )
    return ring.records[at(position & (len(ring.records) - 1))]


@kernel
def emit_trade(market, maker_slot, taker_slot, quantity, source_next, ring, position):
    """Write EXECUTED for both sides; the event. The leaves of both are already lowered."""
    maker = market.orders[at(maker_slot)]
    taker = market.orders[at(taker_slot)]
    flags = DONE if maker["leaves"] == 0 else 0
    hidden = np.int64(maker["flags"]) & HIDDEN
    flags |= MAKER_HIDDEN if hidden else 0
    write_words(
        ring.records,
        position & (len(ring.records) - 1),
        8,
        "kind flags side instrument source_next time_ns price quantity slot user_ref"
        " session:user_ref_index liquidity taker_session:taker_user_ref_index taker_liquidity"
        " reference taker_slot taker_user_ref",
        (
            EXECUTED,
            flags | (TAKER_DONE if taker["leaves"] == 0 else 0),
            maker["side"],
            maker["instrument"],
            source_next,
            market.scalars[0]["stamp_ns"],
            maker["price"],
            quantity,
            maker_slot,
            maker["user_ref"],
            read_word(market.orders, maker_slot, "session"),
            LIQUIDITY_HIDDEN if hidden else LIQUIDITY_ADDED,
            read_word(market.orders, taker_slot, "session"),
            LIQUIDITY_REMOVED,
            maker["reference"],
            taker_slot,
            taker["user_ref"],
        ),
    )
    return ring.records[at(position & (len(ring.records) - 1))]


@kernel
def _about(market, command, kind, flags, source_next, ring, position):
    event = new_event(market, ring, position, kind, source_next)
    event["flags"] = flags | (command["flags"] & LONG_FORM)
    event["side"] = command["side"]
    event["instrument"] = command["instrument"]
    event["price"] = command["price"]
    event["quantity"] = command["quantity"]
    event["slot"] = command["slot"]
    event["user_ref"] = command["user_ref"]
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["original_user_ref"] = command["original_user_ref"]
    event["command_kind"] = command["kind"]
    return event


@cold_kernel
def emit_ignored(market, command, reason, flags, source_next, ring, position):
    """IGNORED: the command had no effect; returns the position behind it."""
    event = _about(market, command, IGNORED, flags, source_next, ring, position)
    event["reason"] = reason
    return position + 1


@cold_kernel
def emit_rejected(market, command, reason, flags, source_next, ring, position):
    """REJECTED: OUCH J with `reason`; returns the position behind it."""
    flags |= LONG_FORM  # it answers `O` or `U`, which always carry an appendage length
    event = _about(market, command, REJECTED, flags, source_next, ring, position)
    event["reason"] = reason
    event["client_order_id_0"] = command["client_order_id_0"]
    event["client_order_id_1"] = command["client_order_id_1"]
    event["client_order_id_2"] = command["client_order_id_2"]
    return position + 1
