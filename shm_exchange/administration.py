"""Kernel: the commands that are not orders: logins, gateways, instruments, the streams' beginnings.

None of them is on the hot path; each is one cold leaf, called by `matching.match`.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.beginning import (
    START_OF_SYSTEM,
    carry_orders,
    roll_streams,
    set_stage,
)
from shm_exchange.book import add_to_hash, generation_weight
from shm_exchange.day_end import end_day
from shm_exchange.disconnect import cancel_orders, disconnect_gateway, set_disconnected
from shm_exchange.emit import emit_ignored, emit_system, new_event
from shm_exchange.limits import limit_session
from shm_exchange.mass import manage_session
from shm_exchange.messages import (
    ROLL_DAY,
    SOURCE_SUPERVISOR,
    CommandKind,
    EventFlag,
    EventKind,
    Ignored,
)
from shm_exchange.protection_requests import manage_protection

LOGIN = int(CommandKind.LOGIN)
LOGOUT = int(CommandKind.LOGOUT)
GATEWAY_STARTED = int(CommandKind.GATEWAY_STARTED)
GATEWAY_DIED = int(CommandKind.GATEWAY_DIED)
SYSTEM = int(CommandKind.SYSTEM)
LIST = int(CommandKind.LIST)
INSTRUMENT_STATE = int(CommandKind.INSTRUMENT_STATE)
SESSIONS = int(CommandKind.SESSIONS)
PARTICIPANT = int(CommandKind.PARTICIPANT)
ROLL = int(CommandKind.ROLL)
LIMITS = int(CommandKind.LIMITS)
BUST = int(CommandKind.BUST)
BROKEN = int(EventKind.BROKEN)
LONG_FORM = int(EventFlag.LONG_FORM)
MASS_CANCEL = int(CommandKind.MASS_CANCEL)
DISABLE = int(CommandKind.DISABLE)
ENABLE = int(CommandKind.ENABLE)
PROTECTION = int(CommandKind.PROTECTION)

EVENT_LOGGED_IN = int(EventKind.LOGGED_IN)
EVENT_LOGGED_OUT = int(EventKind.LOGGED_OUT)
EVENT_GATEWAY_STARTED = int(EventKind.GATEWAY_STARTED)
EVENT_GATEWAY_DIED = int(EventKind.GATEWAY_DIED)
EVENT_SYSTEM = int(EventKind.SYSTEM)
EVENT_LISTED = int(EventKind.LISTED)
EVENT_INSTRUMENT_STATE = int(EventKind.INSTRUMENT_STATE)
EVENT_SESSIONS = int(EventKind.SESSIONS)
EVENT_PARTICIPANT = int(EventKind.PARTICIPANT)

STALE_GENERATION = int(Ignored.STALE_GENERATION)
UNKNOWN_KIND = int(Ignored.UNKNOWN_KIND)
UNKNOWN_SESSION = int(Ignored.UNKNOWN_SESSION)
ALREADY = int(Ignored.ALREADY)


@cold_kernel
def set_connected(market, session, source, connection, generation):
    """The session is logged in at `source` from now on, under a new generation."""
    row = market.sessions[at(session)]
    add_to_hash(market, generation_weight(session), generation - np.int64(row["generation"]))
    row["generation"] = generation
    row["gateway"] = source
    row["connection"] = connection
    row["connected"] = 1


@cold_kernel
def _login(market, command, source, source_next, ring, position):
    session = np.int64(command["session"])
    if session >= len(market.sessions):
        return emit_ignored(market, command, UNKNOWN_SESSION, 0, source_next, ring, position)
    generation = np.int64(market.sessions[at(session)]["generation"]) + 1
    connection = np.int64(command["slot"])
    set_connected(market, session, source, connection, generation)
    event = new_event(market, ring, position, EVENT_LOGGED_IN, source_next)
    event["slot"] = connection
    event["session"] = session
    event["generation"] = generation
    return position + 1


@cold_kernel
def _logout(market, command, source, source_next, ring, position, limit):
    session = np.int64(command["session"])
    fault = 0
    if session >= len(market.sessions):
        fault = UNKNOWN_SESSION
    elif market.sessions[at(session)]["generation"] != command["generation"]:
        fault = STALE_GENERATION
    elif market.sessions[at(session)]["gateway"] != source:
        fault = UNKNOWN_SESSION
    elif market.sessions[at(session)]["connected"] == 0:
        fault = ALREADY
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    set_disconnected(market, session)
    event = new_event(market, ring, position, EVENT_LOGGED_OUT, source_next)
    event["slot"] = command["slot"]
    event["session"] = session
    event["generation"] = command["generation"]
    return cancel_orders(market, 0, source_next, ring, position + 1, limit)


@cold_kernel
def _gateway(market, command, kind, gateway, source_next, ring, position, limit):
    """A gateway is dead, or new: whoever was logged in at the one before is no longer."""
    row = market.gateways[at(gateway)]
    incarnation = np.int64(command["user_ref"])
    if kind == EVENT_GATEWAY_DIED and (row["alive"] == 0 or row["incarnation"] != incarnation):
        return emit_ignored(market, command, ALREADY, 0, source_next, ring, position)
    row["alive"] = 1 if kind == EVENT_GATEWAY_STARTED else 0
    row["incarnation"] = incarnation
    disconnect_gateway(market, gateway)
    event = new_event(market, ring, position, kind, source_next)
    event["slot"] = gateway
    event["user_ref"] = incarnation
    return cancel_orders(market, 0, source_next, ring, position + 1, limit)


@cold_kernel
def _roll(market, command, source_next, ring, position, limit):
    """All streams end here and begin anew; the matcher goes on with `reign.open_streams`."""
    if command["reason"] == ROLL_DAY:
        return end_day(market, 0, source_next, ring, position, limit)
    return roll_streams(market, source_next, ring, position)


@cold_kernel
def _system(market, command, source_next, ring, position, limit):
    scalars = market.scalars[0]
    if command["client_order_id_0"] != 0:
        scalars["stream_0"] = command["client_order_id_0"]
        scalars["stream_1"] = command["client_order_id_1"] & 0xFFFF
    position = emit_system(market, np.int64(command["reason"]), source_next, ring, position)
    set_stage(market, command["reason"])
    if command["reason"] == START_OF_SYSTEM:
        return carry_orders(market, 0, source_next, ring, position, limit)
    return position


@cold_kernel
def _instrument(market, command, kind, source_next, ring, position):
    instrument = np.int64(command["instrument"])
    if instrument >= len(market.instruments):
        return emit_ignored(market, command, UNKNOWN_KIND, 0, source_next, ring, position)
    row = market.instruments[at(instrument)]
    if kind == EVENT_LISTED:
        row["listed"] = 1
        market.scalars[0]["instruments_listed"] = instrument + 1
    else:
        row["state"] = command["reason"]
        row["state_reason"] = command["quantity"]
    event = new_event(market, ring, position, kind, source_next)
    event["instrument"] = instrument
    event["reason"] = command["reason"]
    event["quantity"] = command["quantity"]
    return position + 1


@cold_kernel
def _bust(market, command, source_next, ring, position):
    """A trade is broken. No order changes: what it was is the supervisor's word."""
    sessions = len(market.sessions)
    if command["instrument"] >= len(market.instruments):
        return emit_ignored(market, command, UNKNOWN_KIND, 0, source_next, ring, position)
    if command["session"] >= sessions or command["taker_session"] >= sessions:
        return emit_ignored(market, command, UNKNOWN_SESSION, 0, source_next, ring, position)
    event = new_event(market, ring, position, BROKEN, source_next)
    event["flags"] = LONG_FORM
    event["side"] = command["side"]
    event["instrument"] = command["instrument"]
    event["reason"] = command["reason"]
    event["price"] = command["price"]
    event["quantity"] = command["quantity"]
    event["user_ref"] = command["user_ref"]
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["taker_session"] = command["taker_session"]
    event["taker_user_ref_index"] = command["taker_user_ref_index"]
    event["reference"] = command["reference"]
    event["taker_user_ref"] = command["taker_user_ref"]
    return position + 1


@cold_kernel
def _sessions(market, command, source_next, ring, position):
    first = np.int64(command["session"])
    count = np.int64(command["quantity"])
    if first + count > len(market.sessions):
        return emit_ignored(market, command, UNKNOWN_SESSION, 0, source_next, ring, position)
    for session in range(first, first + count):
        market.sessions[at(session)]["known"] = 1
    market.scalars[0]["sessions_known"] = first + count
    event = new_event(market, ring, position, EVENT_SESSIONS, source_next)
    event["session"] = first
    event["quantity"] = count
    return position + 1


@cold_kernel
def _participant(market, command, source_next, ring, position):
    """Only the feed says it: the event has all that it says."""
    event = new_event(market, ring, position, EVENT_PARTICIPANT, source_next)
    event["instrument"] = command["instrument"]
    event["quantity"] = command["quantity"]
    event["firm_name"] = command["firm_name"]
    return position + 1


@cold_kernel
def administer(market, command, source, source_next, ring, position, limit):
    """Carry out a command that is not an order; return the position behind its events."""
    kind = command["kind"]
    if kind == LOGIN:
        return _login(market, command, source, source_next, ring, position)
    if kind == LOGOUT:
        return _logout(market, command, source, source_next, ring, position, limit)
    if kind == GATEWAY_STARTED:
        started = EVENT_GATEWAY_STARTED
        return _gateway(market, command, started, source, source_next, ring, position, limit)
    if kind == MASS_CANCEL or kind == DISABLE or kind == ENABLE:
        return manage_session(market, command, source, source_next, ring, position, limit)
    if kind == PROTECTION:
        return manage_protection(market, command, source, source_next, ring, position)
    if source <= SOURCE_SUPERVISOR:
        # Only the matcher itself and the supervisor may say these.
        if kind == GATEWAY_DIED:
            gateway = np.int64(command["slot"]) & 63
            died = EVENT_GATEWAY_DIED
            return _gateway(market, command, died, gateway, source_next, ring, position, limit)
        if kind == SYSTEM:
            return _system(market, command, source_next, ring, position, limit)
        if kind == ROLL:
            return _roll(market, command, source_next, ring, position, limit)
        if kind == LIST:
            return _instrument(market, command, EVENT_LISTED, source_next, ring, position)
        if kind == INSTRUMENT_STATE:
            return _instrument(market, command, EVENT_INSTRUMENT_STATE, source_next, ring, position)
        if kind == BUST:
            return _bust(market, command, source_next, ring, position)
        if kind == SESSIONS:
            return _sessions(market, command, source_next, ring, position)
        if kind == LIMITS:
            return limit_session(market, command, source_next, ring, position)
        if kind == PARTICIPANT:
            return _participant(market, command, source_next, ring, position)
    return emit_ignored(market, command, UNKNOWN_KIND, 0, source_next, ring, position)
