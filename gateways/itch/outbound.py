"""Kernel: EVENT -> the feed.

An event gives the feed at most one message, and whether it gives one is a function of the event
alone, so that everybody numbers the feed alike. Only ITCH's replace needs more than the event: the
reference number that the order had before, which the replica knows by slot.

An order is on the feed from the event that says that it rests (ACCEPTED or REPLACED with RESTS,
RESTED) until it is used up or taken out. Hidden orders never are: their fills are `P`.
"""

from __future__ import annotations

from gateways.itch.codec import (
    BUY,
    SELL,
    encode_action,
    encode_add,
    encode_cancel,
    encode_delete,
    encode_directory,
    encode_executed,
    encode_replace,
    encode_system,
    encode_trade,
)
from ringbuf.bits import at
from ringbuf.jit import kernel
from shm_exchange.messages import COMMAND_NEXT_BITS, EventFlag, EventKind

_ACCEPTED = int(EventKind.ACCEPTED)
_REPLACED = int(EventKind.REPLACED)
_RESTED = int(EventKind.RESTED)
_CARRIED = int(EventKind.CARRIED)
_EXECUTED = int(EventKind.EXECUTED)
_CANCELLED = int(EventKind.CANCELLED)
_MODIFIED = int(EventKind.MODIFIED)
_SYSTEM = int(EventKind.SYSTEM)
_LISTED = int(EventKind.LISTED)
_INSTRUMENT_STATE = int(EventKind.INSTRUMENT_STATE)
_DONE = int(EventFlag.DONE)
_RESTS = int(EventFlag.RESTS)
_MAKER_HIDDEN = int(EventFlag.MAKER_HIDDEN)

_SIDE_BUY = ord("B")  # of an order; `S`, `T` and `E` sell
_HIDDEN = ord("N")  # display


@kernel
def feed_side(side):
    """ITCH knows two sides."""
    return BUY if side == _SIDE_BUY else SELL


@kernel
def feed_count(event):
    """How many messages `event` gives to the feed: 0 or 1."""
    kind = int(event["kind"])
    rests = int(event["flags"]) & _RESTS
    if kind == _EXECUTED or kind == _REPLACED:
        return 1
    if kind == _ACCEPTED or kind == _CANCELLED:
        return int(rests != 0 and event["display"] != _HIDDEN)
    if kind == _RESTED or kind == _CARRIED:
        return int(event["display"] != _HIDDEN)
    if kind == _MODIFIED:
        return int(rests != 0 and event["display"] != _HIDDEN and event["quantity"] > 0)
    return int(kind == _SYSTEM or kind == _LISTED or kind == _INSTRUMENT_STATE)


@kernel
def _add(event, reference, shares, instrument, locate, buffer, offset):
    """An order comes to rest."""
    price = int(event["price"]) * instrument["tick"]
    side = feed_side(int(event["side"]))
    symbol = instrument["symbol"]
    return encode_add(
        buffer, offset, event["time_ns"], locate, reference, side, shares, symbol, price
    )


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
def _cancelled(event, reference, locate, buffer, offset):
    """A resting order is taken out, or made smaller."""
    time_ns, shares = event["time_ns"], int(event["quantity"])
    if int(event["kind"]) == _CANCELLED and int(event["flags"]) & _DONE:
        return encode_delete(buffer, offset, time_ns, locate, reference)
    return encode_cancel(buffer, offset, time_ns, locate, reference, shares)


@kernel
def _replaced(event, reference, original, original_was_resting, instrument, locate, buffer, offset):
    """A resting order is replaced: by one that rests, or first of all by nothing."""
    time_ns, shares = event["time_ns"], int(event["quantity"])
    rests = int(event["flags"]) & _RESTS != 0 and event["display"] != _HIDDEN
    if rests and original_was_resting != 0:
        price = int(event["price"]) * instrument["tick"]
        return encode_replace(buffer, offset, time_ns, locate, original, reference, shares, price)
    if rests:
        return _add(event, reference, shares, instrument, locate, buffer, offset)
    return encode_delete(buffer, offset, time_ns, locate, original)


@kernel
def _of_order(
    event, position, instruments, engine, original_reference, original_was_resting, buffer, offset
):
    """The message of an event about one order; `feed_count` said that there is one."""
    above = engine << COMMAND_NEXT_BITS
    kind = int(event["kind"])
    index = int(event["instrument"])
    instrument = instruments[at(index)]
    locate = index + 1
    own, named = above | position, above | event["reference"]
    if kind == _EXECUTED:
        return _executed(event, own, named, instrument, locate, buffer, offset)
    if kind == _ACCEPTED:
        shares = int(event["quantity"])
        return _add(event, own, shares, instrument, locate, buffer, offset)
    if kind == _RESTED:
        return _add(event, named, int(event["leaves"]), instrument, locate, buffer, offset)
    if kind == _CARRIED:
        return _add(event, named, int(event["quantity"]), instrument, locate, buffer, offset)
    if kind == _REPLACED:
        original = above | original_reference
        return _replaced(
            event, own, original, original_was_resting, instrument, locate, buffer, offset
        )
    return _cancelled(event, named, locate, buffer, offset)


@kernel
def encode_feed(
    event, position, instruments, engine, original_reference, original_was_resting, buffer, offset
):
    """Write the feed's message of `event` as a SoupBinTCP `S` packet; return the bytes written.

    event: EVENT row, read at `position` of `engine`'s ring; instruments: INSTRUMENT[n];
    original_reference: REPLACED only, the reference that its slot had before the event;
    original_was_resting: 1 when the feed knows that order; buffer: uint8 with at least
    HEADER_SIZE + MESSAGE_SIZE_MAX bytes free at `offset`. 0 when `feed_count(event)` is 0.
    """
    if feed_count(event) == 0:
        return 0
    kind = int(event["kind"])
    time_ns = event["time_ns"]
    code = int(event["reason"]) & 0xFF
    if kind == _SYSTEM:
        return encode_system(buffer, offset, time_ns, code)
    if kind == _LISTED or kind == _INSTRUMENT_STATE:
        index = int(event["instrument"])
        symbol = instruments[at(index)]["symbol"]
        if kind == _INSTRUMENT_STATE:
            return encode_action(buffer, offset, time_ns, index + 1, symbol, code)
        lot = int(instruments[at(index)]["lot"])
        return encode_directory(buffer, offset, time_ns, index + 1, symbol, lot)
    return _of_order(
        event,
        position,
        instruments,
        engine,
        original_reference,
        original_was_resting,
        buffer,
        offset,
    )
