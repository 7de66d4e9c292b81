"""Kernel: what a session may ask at most: its limits, checked before an order becomes a command.

Numbers come from events: the open orders and what they may still trade are those of the replica,
and what was asked and not answered yet is counted as if it were open, so that nobody passes a limit
by being fast. Sessions without limits are not followed. Cancels are never checked.

What an order counts for is kept by slot: taking it out again needs nobody to remember what it was.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.schema import Field, Record
from ringbuf.state import State
from shm_exchange.limit_kinds import Limit
from shm_exchange.market import FREE, LIMIT_COUNT, NO_KEY, Market, sparse
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    SLOT_BITS,
    CommandKind,
    EventKind,
    Reject,
)
from shm_exchange.positions import position_row

ORDER_QUANTITY = int(Limit.ORDER_QUANTITY)
ORDER_NOTIONAL = int(Limit.ORDER_NOTIONAL)
PRICE_DEVIATION = int(Limit.PRICE_DEVIATION)
OPEN_ORDERS = int(Limit.OPEN_ORDERS)
POSITION = int(Limit.POSITION)
MESSAGES = int(Limit.MESSAGES)
SYMBOL_MESSAGES = int(Limit.SYMBOL_MESSAGES)
RISK_QUANTITY = int(Reject.RISK_QUANTITY)
RISK_NOTIONAL = int(Reject.RISK_NOTIONAL)
RISK_FAT_FINGER = int(Reject.RISK_FAT_FINGER)
RISK_EXPOSURE = int(Reject.RISK_EXPOSURE)
RISK_PORT_RATE = int(Reject.RISK_PORT_RATE)
RISK_SYMBOL_RATE = int(Reject.RISK_SYMBOL_RATE)
TOO_MANY_ORDERS = int(Reject.TOO_MANY_ORDERS)
ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
EXECUTED = int(EventKind.EXECUTED)
CANCELLED = int(EventKind.CANCELLED)
SELF_MATCHED = int(EventKind.SELF_MATCHED)
REJECTED = int(EventKind.REJECTED)
IGNORED = int(EventKind.IGNORED)
LIMITS = int(EventKind.LIMITS)
CONTINUATION = int(EventKind.CONTINUATION)
ENTER = int(CommandKind.ENTER)
REPLACE = int(CommandKind.REPLACE)
BUY_CODE = ord("B")
BASIS_POINTS = 10_000
SECOND_NS = 1_000_000_000
NO_SLOT = 0

# Subscripts of Risk.words
ANY = 0  # 1: some session has a limit
SOURCE = 1

# Of a session's row of Risk.sessions, and of a session's row in an instrument
ROW = 4
BUYS, SELLS = 0, 1  # lots that open orders may still trade; sessions: BUYS is their count
SECOND, COUNT = 2, 3  # orders and replaces within this second

RESERVATION = Record(
    name="reservation",
    size=24,
    doc="What the order in a slot counts for. Private to one gateway.",
    fields=(
        Field("counted", "i8", doc="lots that are counted now; 0: the order is not"),
        Field("asked", "i4", doc="most lots that an unanswered request may leave open"),
        Field("flying", "i4", doc="unanswered requests"),
        Field("session", "u2"),
        Field("instrument", "u2"),
        Field("side", "a"),
        Field("reserved_0", "u1", repeat=3),
    ),
)


@State.register
class Risk(NamedTuple):
    """Private to one pump and engine."""

    words: np.ndarray  # int64[2]
    configured: np.ndarray  # int64[8 * sessions], by Limit; 0: none
    effective: np.ndarray  # int64[8 * sessions]: the same, as the operator changed them
    limited: np.ndarray  # int64[sessions]: 1 when one of them is not 0
    sessions: np.ndarray  # int64[4 * sessions]
    exposures: np.ndarray  # int64[4 * sessions * instruments]
    reservations: np.ndarray  # RESERVATION[gateways << 24], by slot


@kernel
def is_limited(risk, session):
    """1 when requests of the session are to be checked. One load for everybody else."""
    return 1 if risk.words[ANY] != 0 and risk.limited[at(session)] != 0 else 0


@cold_kernel
def _count(market, risk, slot, quantity):
    """Let the order in `slot`, whose reservation says whose it is, count for `quantity` lots."""
    row = risk.reservations[at(slot)]
    before = np.int64(row["counted"])
    session, instrument = np.int64(row["session"]), np.int64(row["instrument"])
    side = BUYS if row["side"] == BUY_CODE else SELLS
    place = ROW * position_row(market, session, instrument) + side
    risk.exposures[at(place)] += quantity - before
    risk.sessions[at(ROW * session)] += (1 if quantity else 0) - (1 if before else 0)
    row["counted"] = quantity


@cold_kernel
def _recount(market, risk, slot):
    """Bring what the order in `slot` counts for up to date with the replica."""
    if slot < 0 or slot >= len(risk.reservations):
        return
    row = risk.reservations[at(slot)]
    order = market.orders[at(slot)]
    lives = order["state"] != FREE
    quantity = np.int64(order["leaves"]) if lives else np.int64(0)
    if row["counted"] == 0:
        if quantity == 0 or risk.limited[at(np.int64(order["session"]))] == 0:
            return
        row["session"] = order["session"]
        row["instrument"] = order["instrument"]
        row["side"] = order["side"]
    if row["flying"] > 0:
        quantity = max(quantity, np.int64(row["asked"]))
    _count(market, risk, slot, quantity)


@cold_kernel
def reserve(market, risk, slot, session, instrument, side, quantity):
    """A request that may leave `quantity` lots open in `slot` is on its way to the matcher."""
    row = risk.reservations[at(slot)]
    row["asked"] = max(np.int64(row["asked"]), quantity) if row["flying"] > 0 else quantity
    row["flying"] = row["flying"] + 1
    if row["counted"] == 0:
        row["session"] = session
        row["instrument"] = instrument
        row["side"] = side
    _count(market, risk, slot, max(np.int64(row["counted"]), quantity))


@cold_kernel
def set_aside(market, risk, slot, sign):
    """Let the order in `slot`, which a mass quote replaces, count for nothing (-1), or again (1).

    With a replace on its way it goes on to count: it may be no part of its quote any more.
    """
    row = risk.reservations[at(slot)]
    if row["counted"] == 0 or row["flying"] > 0:
        return
    session, instrument = np.int64(row["session"]), np.int64(row["instrument"])
    side = BUYS if row["side"] == BUY_CODE else SELLS
    place = ROW * position_row(market, session, instrument) + side
    risk.exposures[at(place)] += sign * np.int64(row["counted"])
    risk.sessions[at(ROW * session)] += sign


@cold_kernel
def _answers(event):
    """1 when the event is the answer to an order or a replace."""
    kind = event["kind"]
    if kind == REJECTED or kind == IGNORED:
        return 1 if event["command_kind"] == ENTER or event["command_kind"] == REPLACE else 0
    if kind == CANCELLED:
        return 1 if event["unused_user_ref"] != 0 else 0
    return 1 if kind == ACCEPTED or kind == REPLACED else 0


@cold_kernel
def _end(market, risk, slot):
    """If the order in `slot` has ended, what is still asked of it comes to nothing.

    Who is offered the slot next may be of another instrument and side. The answers come in the
    order of the requests, so those that are due for the last order are not taken for his.
    """
    if slot < 0 or slot >= len(risk.reservations):
        return
    row = risk.reservations[at(slot)]
    if row["counted"] != 0 and market.orders[at(slot)]["state"] == FREE:
        row["asked"] = 0
        _count(market, risk, slot, np.int64(0))


@cold_kernel
def follow_risk(market, risk, event):
    """Bring the numbers up to date with an event that the replica has applied."""
    kind = event["kind"]
    if kind == CONTINUATION:
        return
    if kind == LIMITS:
        set_effective(market, risk, np.int64(event["session"]))
        return
    slot = np.int64(event["slot"])
    ours = np.int64(event["source_next"]) >> COMMAND_NEXT_BITS == risk.words[SOURCE]
    if ours and _answers(event) and 0 <= slot < len(risk.reservations):
        row = risk.reservations[at(slot)]
        if row["flying"] > 0:
            row["flying"] = row["flying"] - 1
    if kind == EXECUTED or kind == SELF_MATCHED or kind == CANCELLED:
        _end(market, risk, slot)
    _recount(market, risk, slot)
    if kind == EXECUTED or kind == SELF_MATCHED:
        _end(market, risk, np.int64(event["taker_slot"]))
        _recount(market, risk, np.int64(event["taker_slot"]))


@cold_kernel
def set_effective(market, risk, session):
    """A session's limits are what the operator set, otherwise what is configured."""
    limited = 0
    for which in range(LIMIT_COUNT):
        place = session * LIMIT_COUNT + which
        value = np.int64(market.limits[at(place)])
        if value == 0:
            value = np.int64(risk.configured[at(place)])
        risk.effective[at(place)] = max(0, value)
        limited |= 1 if value > 0 else 0
    begins = limited == 1 and risk.limited[at(session)] == 0
    risk.limited[at(session)] = limited
    if limited:
        risk.words[ANY] = 1
    if begins:
        _count_orders(market, risk)


@cold_kernel
def _count_orders(market, risk):
    """Count every live order of limited sessions that is not counted yet."""
    for source in range(len(market.orders) >> SLOT_BITS):
        first = source << SLOT_BITS
        used = np.int64(market.gateways[at(source)]["slots_high_water"])
        for slot in range(first, first + used):
            _recount(market, risk, slot)


@kernel
def _limit(risk, session, which):
    return risk.effective[at(session * LIMIT_COUNT + which)]


@cold_kernel
def _is_too_often(rows, row, limit, now_ns):
    """Count a message within its second; 1 when there are more than `limit` (0: no limit)."""
    second = now_ns // SECOND_NS
    if rows[at(row + SECOND)] != second:
        rows[at(row + SECOND)] = second
        rows[at(row + COUNT)] = 0
    rows[at(row + COUNT)] += 1
    return 1 if 0 < limit < rows[at(row + COUNT)] else 0


@cold_kernel
def reference_price(market, instrument):
    """Of the fat-finger check, in half ticks: last trade, else the middle of the book, else 0."""
    last = np.int64(market.instruments[at(instrument)]["price_last"])
    if last > 0:
        return 2 * last
    bids, asks = market.sides[at(2 * instrument)], market.sides[at(2 * instrument + 1)]
    if bids["best"] == NO_KEY or asks["best"] == NO_KEY:
        return 0
    return (np.int64(bids["best"]) ^ np.int64(bids["mirror"])) + np.int64(asks["best"])


@cold_kernel
def _price_is_far(market, instrument, side, price, limit):
    """1 when a buy is more than `limit` basis points above the reference, a sell below it."""
    reference = reference_price(market, instrument)
    if limit == 0 or reference == 0:
        return 0
    beyond = 2 * price - reference if side == BUY_CODE else reference - 2 * price
    return 1 if beyond * BASIS_POINTS > limit * reference else 0


@cold_kernel
def _holds_too_much(market, risk, slot, session, instrument, side, quantity):
    """1 when the position could pass its limit if all open orders of the side were executed."""
    limit = _limit(risk, session, POSITION)
    if limit == 0:
        return 0
    row = position_row(market, session, instrument)
    counted = np.int64(0)
    if slot != NO_SLOT:
        counted = np.int64(risk.reservations[at(slot)]["counted"])
    net = np.int64(market.positions[at(row)])
    if side == BUY_CODE:
        return 1 if net + risk.exposures[at(ROW * row + BUYS)] - counted + quantity > limit else 0
    return 1 if risk.exposures[at(ROW * row + SELLS)] - counted + quantity - net > limit else 0


@cold_kernel
def risk_fault(market, risk, slot, session, instrument, side, price, total, now_ns):
    """0, or the reject of the first limit that an order or replace of the session passes.

    slot: of the order to be replaced, or NO_SLOT; price: ticks; total: the chain's, lots.
    """
    row = ROW * position_row(market, session, instrument)
    often = _is_too_often(risk.sessions, ROW * session, _limit(risk, session, MESSAGES), now_ns)
    of_symbol = _limit(risk, session, SYMBOL_MESSAGES)
    symbol_often = _is_too_often(risk.exposures, row, of_symbol, now_ns)
    if often:
        return RISK_PORT_RATE
    if symbol_often:
        return RISK_SYMBOL_RATE
    limit = _limit(risk, session, ORDER_QUANTITY)
    if 0 < limit < total:
        return RISK_QUANTITY
    limit = _limit(risk, session, ORDER_NOTIONAL)
    if 0 < limit < price * total * np.int64(market.instruments[at(instrument)]["tick"]):
        return RISK_NOTIONAL
    if _price_is_far(market, instrument, side, price, _limit(risk, session, PRICE_DEVIATION)):
        return RISK_FAT_FINGER
    limit = _limit(risk, session, OPEN_ORDERS)
    if slot == NO_SLOT and 0 < limit <= risk.sessions[at(ROW * session)]:
        return TOO_MANY_ORDERS
    left = open_of_chain(market, slot, total)
    if _holds_too_much(market, risk, slot, session, instrument, side, left):
        return RISK_EXPOSURE
    return 0


@cold_kernel
def open_of_chain(market, slot, total):
    """Lots that stay open of a chain of `total`, the order in `slot` (or NO_SLOT) being its last.

    An order whose event is still on its way has traded nothing that we know of.
    """
    if slot == NO_SLOT or market.orders[at(slot)]["state"] == FREE:
        return total
    order = market.orders[at(slot)]
    return max(0, total - np.int64(order["executed"]) - np.int64(order["decremented"]))


def create_risk(market: Market, configured: np.ndarray, source: int) -> Risk:
    """The numbers as the replica shows them. configured: int64[8 * sessions]."""
    sessions = len(market.sessions)
    risk = Risk(
        words=np.array([0, source], np.int64),
        configured=configured,
        effective=np.zeros(LIMIT_COUNT * sessions, np.int64),
        limited=np.zeros(sessions, np.int64),
        sessions=np.zeros(ROW * sessions, np.int64),
        exposures=sparse(np.int64, ROW * sessions * len(market.instruments)),
        reservations=sparse(RESERVATION.dtype, len(market.orders)),
    )
    for session in range(sessions):
        risk.limited[session] = 1  # counted once, at the end
        set_effective(market, risk, session)
    if risk.words[ANY]:
        _count_orders(market, risk)
    return risk
