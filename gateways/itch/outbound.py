"""Kernel: EVENT -> the feed.

An event gives the feed as many messages as `streams.feed_messages` says (mostly none or one), from
the event and the order as the replica had it before the event, so that everybody numbers the feed
alike. `note` keeps what has to be known from before.

An order is on the feed from the event that says that it rests (ACCEPTED or REPLACED with RESTS,
RESTED) until it is used up or taken out, with the lots that are displayed. Hidden orders never are:
their fills are `P`. A reserve that is refreshed (RESTATED) comes as another order.
"""

from __future__ import annotations

import numpy as np

from gateways.itch.codec import (
    BUY,
    SELL,
    encode_action,
    encode_add,
    encode_add_attributed,
    encode_broken,
    encode_cancel,
    encode_delete,
    encode_directory,
    encode_executed,
    encode_replace,
    encode_system,
    encode_trade,
)
from gateways.itch.participant import encode_participant
from gateways.wire import SPACES_4
from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import BLANK_FIRM, COMMAND_NEXT_BITS, EventFlag, EventKind
from shm_exchange.streams import feed_messages, is_shown, shown_less

_REPLACED = int(EventKind.REPLACED)
_EXECUTED = int(EventKind.EXECUTED)
_CANCELLED = int(EventKind.CANCELLED)
_MODIFIED = int(EventKind.MODIFIED)
_ACCEPTED = int(EventKind.ACCEPTED)
_RESTATED = int(EventKind.RESTATED)
_SELF_MATCHED = int(EventKind.SELF_MATCHED)
_BROKEN = int(EventKind.BROKEN)
_PARTICIPANT = int(EventKind.PARTICIPANT)
_SYSTEM = int(EventKind.SYSTEM)
_LISTED = int(EventKind.LISTED)
_INSTRUMENT_STATE = int(EventKind.INSTRUMENT_STATE)
_DONE = int(EventFlag.DONE)
_RESTS = int(EventFlag.RESTS)
_MAKER_HIDDEN = int(EventFlag.MAKER_HIDDEN)

_SIDE_BUY = ord("B")  # of an order; `S`, `T` and `E` sell
_HIDDEN, _ATTRIBUTED = ord("N"), ord("A")  # display
_HALTED, _CLOSED = ord("H"), ord("C")  # states of an instrument; ITCH knows no closed one
CLOSED_TEXT = int.from_bytes(b"CLSD", "little")  # reason of the `H` of an instrument that is closed

# Subscripts of `known`: what was known of an event's order before the event.
KNOWN_COUNT = 0  # messages of the event
KNOWN_SHOWN = 1  # 1: the feed has the order
KNOWN_REFERENCE = 2
KNOWN_LESS = 3  # displayed lots that the event takes away
KNOWN_LEFT = 4  # SELF_MATCHED: displayed lots that it leaves
KNOWN_WORDS = 8


@kernel
def note(market, event, known):
    """Keep what the event's messages need of the market before it. known: int64[8], written."""
    known[KNOWN_COUNT] = feed_messages(market, event)
    kind = int(event["kind"])
    if kind == _REPLACED or kind == _CANCELLED or kind == _MODIFIED:
        order = market.orders[at(np.int64(event["slot"]))]
        known[KNOWN_SHOWN] = is_shown(order)
        known[KNOWN_REFERENCE] = order["reference"]
        known[KNOWN_LESS] = shown_less(order, event)
    elif kind == _SELF_MATCHED:
        order = market.orders[at(np.int64(event["slot"]))]
        known[KNOWN_LESS] = event["quantity"]
        known[KNOWN_LEFT] = np.int64(order["displayed"]) - np.int64(event["quantity"])


@kernel
def feed_side(side):
    """ITCH knows two sides."""
    return BUY if side == _SIDE_BUY else SELL


@kernel
def add_order(market, slot, reference, time_ns, buffer, offset):
    """`A`: an order comes to rest; `F` with the firm of its session. Return the bytes written."""
    order = market.orders[at(slot)]
    index = int(order["instrument"])
    instrument = market.instruments[at(index)]
    price = int(order["price"]) * instrument["tick"]
    side = feed_side(int(order["side"]))
    shares, symbol = int(order["displayed"]), instrument["symbol"]
    attribution = np.int64(BLANK_FIRM)
    if order["display"] == _ATTRIBUTED:
        attribution = np.int64(market.sessions[at(np.int64(order["session"]))]["firm"])
    locate = index + 1
    if attribution != BLANK_FIRM:
        return encode_add_attributed(
            buffer, offset, time_ns, locate, reference, side, shares, symbol, price, attribution
        )
    return encode_add(buffer, offset, time_ns, locate, reference, side, shares, symbol, price)


@kernel
def _executed(event, match_number, reference, instrument, locate, buffer, offset):
    """A resting order trades."""
    time_ns, shares = event["time_ns"], int(event["quantity"])
    if int(event["flags"]) & _MAKER_HIDDEN:
        price = int(event["price"]) * instrument["tick"]
        symbol = instrument["symbol"]
        return encode_trade(buffer, offset, time_ns, locate, shares, symbol, price, match_number)
    return encode_executed(buffer, offset, time_ns, locate, reference, shares, match_number)


@kernel
def _replaced(event, own, market, known, part, locate, buffer, offset):
    """A resting order is replaced: by one that rests, or first of all by nothing."""
    slot, time_ns = np.int64(event["slot"]), event["time_ns"]
    original = (own >> COMMAND_NEXT_BITS) << COMMAND_NEXT_BITS | known[KNOWN_REFERENCE]
    rests = int(event["flags"]) & _RESTS != 0 and event["display"] != _HIDDEN
    if rests and known[KNOWN_SHOWN] != 0 and known[KNOWN_COUNT] == 1:
        price = int(event["price"]) * market.instruments[at(np.int64(event["instrument"]))]["tick"]
        shares = int(market.orders[at(slot)]["displayed"])
        return encode_replace(buffer, offset, time_ns, locate, original, own, shares, price)
    if rests and part == known[KNOWN_COUNT] - 1:
        return add_order(market, slot, own, time_ns, buffer, offset)
    return encode_delete(buffer, offset, time_ns, locate, original)


@kernel
def _of_order(event, position, market, known, part, buffer, offset):
    """A message of an event about one order; `note` said that there is one."""
    above = np.int64(market.scalars[0]["engine"]) << COMMAND_NEXT_BITS
    kind, time_ns = int(event["kind"]), event["time_ns"]
    index = int(event["instrument"])
    locate = index + 1
    own, named = above | position, above | event["reference"]
    if kind == _EXECUTED:
        instrument = market.instruments[at(index)]
        return _executed(event, own, named, instrument, locate, buffer, offset)
    if kind == _REPLACED:
        return _replaced(event, own, market, known, part, locate, buffer, offset)
    if kind == _CANCELLED and int(event["flags"]) & _DONE:
        return encode_delete(buffer, offset, time_ns, locate, named)
    if kind == _CANCELLED or kind == _MODIFIED:
        return encode_cancel(buffer, offset, time_ns, locate, named, known[KNOWN_LESS])
    if kind == _SELF_MATCHED:
        if known[KNOWN_LEFT] == 0:
            return encode_delete(buffer, offset, time_ns, locate, named)
        return encode_cancel(buffer, offset, time_ns, locate, named, known[KNOWN_LESS])
    reference = own if kind == _ACCEPTED or kind == _RESTATED else named
    slot = np.int64(event["slot"])
    return add_order(market, slot, reference, time_ns, buffer, offset)


@cold_kernel
def add_state(market, index, state, time_ns, buffer, offset):
    """`H`: an instrument's state. Return the bytes written."""
    symbol = market.instruments[at(index)]["symbol"]
    shown = _HALTED if state == _CLOSED else state
    text = np.int64(market.instruments[at(index)]["state_reason"])
    if text == 0:
        text = CLOSED_TEXT if state == _CLOSED else SPACES_4
    return encode_action(buffer, offset, time_ns, index + 1, symbol, shown, text)


@cold_kernel
def add_directory(market, index, time_ns, buffer, offset):
    """`R`: an instrument. Return the bytes written."""
    row = market.instruments[at(index)]
    lot = int(row["lot"])
    return encode_directory(buffer, offset, time_ns, index + 1, row["symbol"], lot)


@cold_kernel
def add_firm(market, index, firm, time_ns, buffer, offset):
    """`L`: a firm in an instrument. Return the bytes written."""
    symbol = market.instruments[at(index)]["symbol"]
    return encode_participant(buffer, offset, time_ns, index + 1, firm, symbol)


@cold_kernel
def _of_market(event, kind, market, part, buffer, offset):
    """A message of an event that is not about one order."""
    time_ns, code = event["time_ns"], int(event["reason"]) & 0xFF
    index = np.int64(event["instrument"])
    if kind == _SYSTEM:
        return encode_system(buffer, offset, time_ns, code)
    if kind == _PARTICIPANT:
        return add_firm(market, index + part, event["firm_name"], time_ns, buffer, offset)
    if kind == _LISTED:
        return add_directory(market, index, time_ns, buffer, offset)
    if kind == _BROKEN:
        above = np.int64(market.scalars[0]["engine"]) << COMMAND_NEXT_BITS
        return encode_broken(buffer, offset, time_ns, index + 1, above | event["reference"])
    return add_state(market, index, code, time_ns, buffer, offset)


@kernel
def encode_feed(event, position, market, known, part, buffer, offset):
    """Write message `part` of `event` as a SoupBinTCP `S` packet; return the bytes written.

    event: EVENT row, read at `position`, applied to `market` already; known: what `note` kept
    before that, which has the count of parts; buffer: uint8 with at least HEADER_SIZE +
    MESSAGE_SIZE_MAX bytes free at `offset`.
    """
    kind = int(event["kind"])
    if kind == _SYSTEM or kind == _LISTED or kind == _INSTRUMENT_STATE or kind == _BROKEN:
        return _of_market(event, kind, market, part, buffer, offset)
    if kind == _PARTICIPANT:
        return _of_market(event, kind, market, part, buffer, offset)
    return _of_order(event, position, market, known, part, buffer, offset)
