"""Kernel: the requests of a session: written, answered, settled.

An account query is the barrier: when its answer is there, everything sent before it has been
processed, and what was not answered never will be. Of queries that were sent over a lost
connection nobody knows whether they will be answered; a barrier therefore sends one more query
than may be outstanding, and waits for as many answers: the last of them can only be a new one's.
"""

import numpy as np

from gateways.connection import commit_output, reserve_output
from gateways.load.client_codec import (
    REQUEST_SIZE_MAX,
    TYPE_ACCEPTED,
    TYPE_ACCOUNT,
    TYPE_CANCELED,
    TYPE_EXECUTED,
    TYPE_REJECTED,
    TYPE_REPLACED,
    answer_match_number,
    answer_next_ref,
    answer_quantity,
    answer_user_ref,
    is_remainder,
    is_taker,
    is_whole,
    write_cancel,
    write_enter,
    write_query,
    write_replace,
)
from gateways.load.live_prices import count_gone, count_live, may_take
from gateways.load.state import (
    ACCEPTED,
    CANCELLED,
    CLOSED,
    CLOSING,
    EXHAUSTED,
    FINISHED,
    IGNORED,
    REJECTED,
    SENDING,
    STARTING,
    SYMBOL,
    TRADES,
    TRADES_KEPT,
    VIOLATION,
    WINDOW,
)
from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.flow import CANCEL, MODIFY, NEW, REDUCE

SIDE_BUY = ord("B")
IMMEDIATE = ord("3")  # time in force
NOT_OURS = -1


@kernel
def _request(load, number, position):
    return load.requests[at(number * WINDOW + (position & (WINDOW - 1)))]


@kernel
def _write(load, number, request):
    """The bytes of a request, the first time or again: 0 when the buffer is full."""
    offset = reserve_output(load.connections, number, REQUEST_SIZE_MAX)
    if offset < 0:
        return 0
    data = load.connections.outbound
    message = load.messages[at(request["message"])]
    user_ref, quantity = request["user_ref"], request["quantity"]
    if message["kind"] == NEW:
        size = write_enter(data, offset, user_ref, quantity, load.words[SYMBOL], message)
    elif message["kind"] == MODIFY:
        size = write_replace(data, offset, request["original"], user_ref, quantity, message)
    else:
        size = write_cancel(data, offset, user_ref, quantity)
    commit_output(load.connections, number, size)
    return 1


@kernel
def _number_request(load, session, index, request):
    """Give `O` and `U` the session's next UserRefNum."""
    user_ref = session["next_ref"] + 0
    session["next_ref"] = user_ref + 1
    load.owners[at(session["owners_first"] + user_ref - session["base_ref"])] = index
    request["user_ref"] = user_ref
    return user_ref


@kernel
def _message_of(load, number, user_ref):
    """The flow message that was sent under this UserRefNum, or NOT_OURS: of an earlier run."""
    session = load.sessions[at(number)]
    place = user_ref - session["base_ref"]
    if place < 0 or user_ref >= session["next_ref"]:
        return NOT_OURS
    return np.int64(load.owners[at(session["owners_first"] + place)])


@kernel
def _gone(load, index):
    """Nothing is open any more at the price that message `index` gave its order."""
    message = load.messages[at(index)]
    count_gone(load.live, index, np.int64(message["side"]), message["level"])


@kernel
def send_message(load, number, index, now_ns):
    """Send message `index` of the flow: 0 when the connection has no room for it."""
    session = load.sessions[at(number)]
    message = load.messages[at(index)]
    order = load.orders[at(np.int64(message["order"]))]
    request = _request(load, number, session["next"])
    quantity = np.int64(message["quantity"])
    if reserve_output(load.connections, number, REQUEST_SIZE_MAX) < 0:
        return 0
    kind = message["kind"]
    request["message"] = index
    request["sent_ns"] = now_ns
    request["answered"] = 0
    request["original"] = order["user_ref"]
    request["user_ref"] = order["user_ref"]
    if kind == NEW or kind == MODIFY:
        total = quantity + (order["executed"] if kind == MODIFY else 0)
        order["user_ref"] = _number_request(load, session, index, request)
        order["total"] = total
        order["price"] = message["price"]
        order["side"] = message["side"]
        side, level = np.int64(message["side"]), message["level"]
        request["may_take"] = may_take(load.live, side, level)
        if message["time_in_force"] != IMMEDIATE:
            count_live(load.live, index, side, level)
    elif kind == REDUCE:
        total = max(0, order["total"] - quantity)
        order["total"] = total
    else:
        total = 0
    if kind == MODIFY or total == 0:  # whatever comes later will not find it where it is
        before = _message_of(load, number, request["original"] + 0)
        if before != NOT_OURS:
            _gone(load, before)
    request["quantity"] = total
    _write(load, number, request)
    session["next"] = session["next"] + 1
    return 1


@kernel
def _may_hit(load, request, which):
    """1 while a request that was sent may trade, or have traded unheard, with order `which`."""
    message = load.messages[at(request["message"])]
    if message["kind"] == CANCEL or message["kind"] == REDUCE or request["may_take"] == 0:
        return 0
    own = np.int64(message["order"])
    if request["answered"] and load.orders[at(own)]["leaves"] == 0:
        return 0  # all that it did has been told
    order = load.orders[at(which)]
    if own == which:
        return 1
    if message["side"] == order["side"]:
        return 0
    if order["side"] == SIDE_BUY:
        return 1 if message["price"] <= order["price"] else 0
    return 1 if message["price"] >= order["price"] else 0


@kernel
def must_wait(load, number, index):
    """1 when an answer on its way may change what the order of a modify has executed."""
    session = load.sessions[at(number)]
    which = np.int64(load.messages[at(index)]["order"])
    for position in range(session["first"], session["next"]):
        if _may_hit(load, _request(load, number, position), which):
            return 1
    return 0


@cold_kernel
def ask_barrier(load, number):
    """Send account queries so that everything before them will be known to be settled."""
    session = load.sessions[at(number)]
    outstanding = session["queries_sent"] - session["queries_answered"]
    session["awaited"] = session["queries_sent"] + 1
    session["barrier"] = session["next"]
    for _ in range(outstanding + 1):
        offset = reserve_output(load.connections, number, REQUEST_SIZE_MAX)
        if offset < 0:
            return 0
        size = write_query(load.connections.outbound, offset)
        commit_output(load.connections, number, size)
        session["queries_sent"] = session["queries_sent"] + 1
    return 1


@cold_kernel
def send_again(load, number):
    """After a reconnect: everything that is not answered, under the same numbers."""
    session = load.sessions[at(number)]
    for position in range(session["first"], session["next"]):
        request = _request(load, number, position)
        if not request["answered"] and not _write(load, number, request):
            return 0
    if session["awaited"] or session["state"] == STARTING:
        return ask_barrier(load, number)
    return 1


@kernel
def _settle(load, number, position):
    """The requests below `position` will not be answered any more."""
    session = load.sessions[at(number)]
    for each in range(session["first"], position):
        request = _request(load, number, each)
        if not request["answered"]:
            load.words[IGNORED] += 1
            _gone(load, request["message"] + 0)
    session["first"] = max(session["first"], position)


@kernel
def _answer(load, number, position, now_ns):
    """The first answer to the request at `position`."""
    _settle(load, number, position)
    request = _request(load, number, position)
    request["answered"] = 1
    load.latencies[at(request["message"])] = now_ns - request["sent_ns"]


@kernel
def _find_numbered(load, number, user_ref):
    """Position of the unanswered `O` or `U` of this UserRefNum, or NOT_OURS."""
    session = load.sessions[at(number)]
    for position in range(session["first"], session["next"]):
        request = _request(load, number, position)
        if request["user_ref"] == user_ref and not request["answered"]:
            kind = load.messages[at(request["message"])]["kind"]
            if kind == NEW or kind == MODIFY:
                return position
    return NOT_OURS


@kernel
def _find_ending(load, number, user_ref):
    """Position of the oldest unanswered request that may have cancelled, or NOT_OURS."""
    session = load.sessions[at(number)]
    for position in range(session["first"], session["next"]):
        request = _request(load, number, position)
        if request["original"] == user_ref and not request["answered"]:
            if load.messages[at(request["message"])]["kind"] != NEW:
                return position
    return NOT_OURS


@kernel
def _accepted(load, number, position, quantity, now_ns):
    """The order is entered, or lives on in another place."""
    _answer(load, number, position, now_ns)
    request = _request(load, number, position)
    order = load.orders[at(np.int64(load.messages[at(request["message"])]["order"]))]
    order["leaves"] = quantity


@kernel
def _executed(load, data, offset, index):
    order = load.orders[at(np.int64(load.messages[at(index)]["order"]))]
    quantity = answer_quantity(data, offset)
    order["executed"] = order["executed"] + quantity
    order["leaves"] = order["leaves"] - quantity
    if order["leaves"] == 0:
        _gone(load, index)
    taker = is_taker(data, offset)
    load.words[TRADES] += taker
    place = load.words[TRADES_KEPT]
    if place < len(load.trades):
        trade = load.trades[at(place)]
        trade["match_number"] = answer_match_number(data, offset)
        trade["message"] = index
        trade["taker"] = taker
        load.words[TRADES_KEPT] = place + 1


@kernel
def _canceled(load, number, data, offset, index, now_ns):
    order = load.orders[at(np.int64(load.messages[at(index)]["order"]))]
    order["leaves"] = order["leaves"] - answer_quantity(data, offset)
    if order["leaves"] == 0:
        load.words[CANCELLED] += 1
        _gone(load, index)
    if is_remainder(data, offset):
        return
    position = _find_ending(load, number, answer_user_ref(data, offset))
    if position != NOT_OURS:
        _answer(load, number, position, now_ns)


@cold_kernel
def _rejected(load, number, user_ref, now_ns):
    load.words[REJECTED] += 1
    position = _find_numbered(load, number, user_ref)
    if position == NOT_OURS:
        return
    request = _request(load, number, position)
    message = load.messages[at(request["message"])]
    if message["kind"] == MODIFY:  # the order lives on under its number
        order = load.orders[at(np.int64(message["order"]))]
        if order["user_ref"] == user_ref:
            order["user_ref"] = request["original"]
            before = _message_of(load, number, request["original"] + 0)
            if before != NOT_OURS:
                original = load.messages[at(before)]
                count_live(load.live, before, np.int64(original["side"]), original["level"])
    _gone(load, request["message"] + 0)
    _answer(load, number, position, now_ns)


@cold_kernel
def _queried(load, number, next_ref):
    """The answer to an account query; 0, or EXHAUSTED."""
    session = load.sessions[at(number)]
    session["queries_answered"] = session["queries_answered"] + 1
    if session["awaited"] == 0 or session["queries_answered"] < session["awaited"]:
        return 0
    _settle(load, number, session["barrier"] + 0)
    session["awaited"] = 0
    if session["state"] == STARTING:
        if next_ref == 0:
            return EXHAUSTED
        session["base_ref"] = next_ref
        session["next_ref"] = next_ref
        session["state"] = SENDING
    elif session["state"] == CLOSING:
        session["state"] = CLOSED
        load.words[FINISHED] += 1
    return 0


@kernel
def take_answer(load, number, data, offset, length, now_ns):
    """What one sequenced message says: 0, VIOLATION or EXHAUSTED."""
    if not is_whole(data, offset, length):
        return VIOLATION
    kind = data[at(offset)]
    if kind == TYPE_ACCOUNT:
        return _queried(load, number, answer_next_ref(data, offset))
    if kind == TYPE_ACCEPTED or kind == TYPE_REPLACED:
        user_ref = answer_user_ref(data, offset)
        position = _find_numbered(load, number, user_ref)
        if position != NOT_OURS:
            _accepted(load, number, position, answer_quantity(data, offset), now_ns)
            load.words[ACCEPTED] += 1 if kind == TYPE_ACCEPTED else 0
    elif kind == TYPE_EXECUTED or kind == TYPE_CANCELED:
        index = _message_of(load, number, answer_user_ref(data, offset))
        if index != NOT_OURS and kind == TYPE_EXECUTED:
            _executed(load, data, offset, index)
        elif index != NOT_OURS:
            _canceled(load, number, data, offset, index, now_ns)
    elif kind == TYPE_REJECTED:
        _rejected(load, number, answer_user_ref(data, offset), now_ns)
    return 0
