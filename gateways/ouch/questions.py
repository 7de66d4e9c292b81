"""Pump: questions that a gateway answers from its replica, at once and unsequenced.

Only a session whose stream is live is answered: its replica is exactly as far as what the client
was sent, so that every answer is exact at a sequence number.
"""

import numpy as np

from gateways.connection import LIVE, commit_output, reserve_output
from gateways.order_index import find_order, order_key
from gateways.ouch.checks import find_instrument
from gateways.ouch.codec import LIMITS_QUERY, OPEN_ORDERS_QUERY
from gateways.ouch.outbound import public_number
from gateways.ouch.private_messages import (
    LIMITS_ANSWER,
    OPEN_ORDER,
    OPEN_ORDERS_ANSWER,
    SHARES_AHEAD_ANSWER,
)
from gateways.ouch.state import SETTING_ENGINE
from gateways.packets import HEADER_SIZE
from gateways.risk import BUYS, ROW, SELLS, reference_price
from gateways.soupbintcp import write_unsequenced_header
from gateways.wire import time_of_day
from ringbuf.bits import at, store_big_4, store_big_8, store_raw_8
from ringbuf.jit import cold_kernel
from shm_exchange.market import LIMIT_COUNT, RESTING
from shm_exchange.positions import position_row
from shm_exchange.session_orders import following
from shm_exchange.shares_ahead import lots_before

NO_SLOT = 0
WALK_MAX = 4096  # orders of a queue that a question may look at: others wait meanwhile
YES, NO, MORE = ord("Y"), ord("N"), ord("M")
TYPE_L, TYPE_O, TYPE_R, TYPE_A = ord("l"), ord("o"), ord("r"), ord("a")
LIMITS_SHOWN = 7

_LIMITS_SIZE = LIMITS_ANSWER.size
_LIMITS_SYMBOL = LIMITS_ANSWER.offset_of("symbol")
_LIMITS_NEXT = LIMITS_ANSWER.offset_of("next_sequence")
_LIMITS_FIRST = LIMITS_ANSWER.offset_of("order_quantity")
_LIMITS_OPEN = LIMITS_ANSWER.offset_of("open_orders")
_LIMITS_POSITION = LIMITS_ANSWER.offset_of("position")
_LIMITS_BUYS = LIMITS_ANSWER.offset_of("open_buys")
_LIMITS_SELLS = LIMITS_ANSWER.offset_of("open_sells")
_LIMITS_REFERENCE = LIMITS_ANSWER.offset_of("reference_price")
_TIME = LIMITS_ANSWER.offset_of("timestamp")

_ORDERS_SIZE = OPEN_ORDERS_ANSWER.size
_ORDERS_NEXT = OPEN_ORDERS_ANSWER.offset_of("next_sequence")
_ORDERS_COUNT = OPEN_ORDERS_ANSWER.offset_of("count")
_ORDERS_COMPLETE = OPEN_ORDERS_ANSWER.offset_of("complete")

_ORDER_SIZE = OPEN_ORDER.size
_ORDER_USER_REF = OPEN_ORDER.offset_of("user_ref_num")
_ORDER_CHANNEL = OPEN_ORDER.offset_of("user_ref_index")
_ORDER_SIDE = OPEN_ORDER.offset_of("side")
_ORDER_QUANTITY = OPEN_ORDER.offset_of("quantity")
_ORDER_EXECUTED = OPEN_ORDER.offset_of("executed")
_ORDER_SYMBOL = OPEN_ORDER.offset_of("symbol")
_ORDER_PRICE = OPEN_ORDER.offset_of("price")
_ORDER_TIME_IN_FORCE = OPEN_ORDER.offset_of("time_in_force")
_ORDER_DISPLAY = OPEN_ORDER.offset_of("display")
_ORDER_REFERENCE = OPEN_ORDER.offset_of("order_reference_number")

_AHEAD_SIZE = SHARES_AHEAD_ANSWER.size
_AHEAD_NEXT = SHARES_AHEAD_ANSWER.offset_of("next_sequence")
_AHEAD_USER_REF = SHARES_AHEAD_ANSWER.offset_of("user_ref_num")
_AHEAD_CHANNEL = SHARES_AHEAD_ANSWER.offset_of("user_ref_index")
_AHEAD_STATE = SHARES_AHEAD_ANSWER.offset_of("state")
_AHEAD_SHARES = SHARES_AHEAD_ANSWER.offset_of("shares")


@cold_kernel
def _begin(pump, number, offset, kind, size, place_of_next):
    """Header, type, time and exactness of an answer at `offset`; where the message begins."""
    buffer = pump.connections.outbound
    start = write_unsequenced_header(buffer, offset, size)
    for place in range(start, start + size):
        buffer[at(place)] = 0
    buffer[at(start)] = kind
    store_big_8(buffer, start + _TIME, time_of_day(pump.market.scalars[0]["stamp_ns"]))
    row = pump.connections.rows[at(number)]
    store_big_8(buffer, start + place_of_next, np.int64(row["next_number"]))
    return start


@cold_kernel
def _tell_limits(pump, number, session, request):
    offset = reserve_output(pump.connections, number, HEADER_SIZE + _LIMITS_SIZE)
    if offset < 0:
        return
    buffer, risk, market = pump.connections.outbound, pump.desk.risk, pump.market
    start = _begin(pump, number, offset, TYPE_L, _LIMITS_SIZE, _LIMITS_NEXT)
    store_raw_8(buffer, start + _LIMITS_SYMBOL, np.int64(request["symbol"]))
    for which in range(LIMITS_SHOWN):
        limit = np.int64(risk.effective[at(session * LIMIT_COUNT + which)])
        store_big_8(buffer, start + _LIMITS_FIRST + 8 * which, limit)
    store_big_4(buffer, start + _LIMITS_OPEN, _count_orders(market, session))
    instrument = find_instrument(pump.desk.symbols, request)
    if instrument >= 0:
        place = position_row(market, session, instrument)
        exposures = risk.exposures
        store_big_8(buffer, start + _LIMITS_POSITION, np.int64(market.positions[at(place)]))
        store_big_8(buffer, start + _LIMITS_BUYS, np.int64(exposures[at(ROW * place + BUYS)]))
        store_big_8(buffer, start + _LIMITS_SELLS, np.int64(exposures[at(ROW * place + SELLS)]))
        tick = np.int64(market.instruments[at(instrument)]["tick"])
        reference = reference_price(market, instrument) * tick // 2
        store_big_8(buffer, start + _LIMITS_REFERENCE, reference)
    commit_output(pump.connections, number, HEADER_SIZE + _LIMITS_SIZE)


@cold_kernel
def _count_orders(market, session):
    count = 0
    slot = following(market.session_links, session, 0)
    while slot != 0:
        count += 1
        slot = following(market.session_links, session, slot)
    return count


@cold_kernel
def _write_order(pump, slot, offset):
    buffer = pump.connections.outbound
    order = pump.market.orders[at(slot)]
    instrument = pump.market.instruments[at(np.int64(order["instrument"]))]
    start = write_unsequenced_header(buffer, offset, _ORDER_SIZE)
    buffer[at(start)] = TYPE_R
    store_big_4(buffer, start + _ORDER_USER_REF, np.int64(order["user_ref"]))
    buffer[at(start + _ORDER_CHANNEL)] = order["user_ref_index"]
    buffer[at(start + _ORDER_SIDE)] = order["side"]
    store_big_4(buffer, start + _ORDER_QUANTITY, np.int64(order["leaves"]))
    store_big_4(buffer, start + _ORDER_EXECUTED, np.int64(order["executed"]))
    store_raw_8(buffer, start + _ORDER_SYMBOL, np.int64(instrument["symbol"]))
    price = np.int64(order["price"]) * np.int64(instrument["tick"])
    store_big_8(buffer, start + _ORDER_PRICE, price)
    buffer[at(start + _ORDER_TIME_IN_FORCE)] = order["time_in_force"]
    buffer[at(start + _ORDER_DISPLAY)] = order["display"]
    reference = public_number(pump.settings[SETTING_ENGINE], np.int64(order["reference"]))
    store_big_8(buffer, start + _ORDER_REFERENCE, reference)


@cold_kernel
def _tell_open_orders(pump, number, session):
    """All of them in one go, or none: what a client has is never half of a state."""
    market = pump.market
    count = _count_orders(market, session)
    head, each = HEADER_SIZE + _ORDERS_SIZE, HEADER_SIZE + _ORDER_SIZE
    complete = YES
    offset = reserve_output(pump.connections, number, head + count * each)
    if offset < 0:
        complete = NO
        offset = reserve_output(pump.connections, number, head)
        if offset < 0:
            return
    buffer = pump.connections.outbound
    start = _begin(pump, number, offset, TYPE_O, _ORDERS_SIZE, _ORDERS_NEXT)
    store_big_4(buffer, start + _ORDERS_COUNT, count)
    buffer[at(start + _ORDERS_COMPLETE)] = complete
    size = head
    slot = following(market.session_links, session, 0) if complete == YES else NO_SLOT
    while slot != NO_SLOT:
        _write_order(pump, slot, offset + size)
        size += each
        slot = following(market.session_links, session, slot)
    commit_output(pump.connections, number, size)


@cold_kernel
def _tell_shares_ahead(pump, number, session, request):
    offset = reserve_output(pump.connections, number, HEADER_SIZE + _AHEAD_SIZE)
    if offset < 0:
        return
    buffer, market = pump.connections.outbound, pump.market
    channel, user_ref = np.int64(request["user_ref_index"]), np.int64(request["user_ref"])
    start = _begin(pump, number, offset, TYPE_A, _AHEAD_SIZE, _AHEAD_NEXT)
    store_big_4(buffer, start + _AHEAD_USER_REF, user_ref)
    buffer[at(start + _AHEAD_CHANNEL)] = channel
    state = NO
    slot = find_order(pump.desk.order_index, order_key(session, channel, user_ref))
    order = market.orders[at(slot)]
    if slot != NO_SLOT and order["state"] == RESTING and order["user_ref"] == user_ref:
        shares, more = lots_before(market, slot, WALK_MAX)
        state = MORE if more else YES
        store_big_8(buffer, start + _AHEAD_SHARES, shares)
    buffer[at(start + _AHEAD_STATE)] = state
    commit_output(pump.connections, number, HEADER_SIZE + _AHEAD_SIZE)


@cold_kernel
def answer(pump, number):
    """Answer the question in pump.request, unless the client does not read or is replayed to."""
    row = pump.connections.rows[at(number)]
    if row["state"] != LIVE:
        return
    request, session = pump.request[0], np.int64(row["session"])
    kind = request["type"]
    if kind == LIMITS_QUERY:
        _tell_limits(pump, number, session, request)
    elif kind == OPEN_ORDERS_QUERY:
        _tell_open_orders(pump, number, session)
    else:
        _tell_shares_ahead(pump, number, session, request)
