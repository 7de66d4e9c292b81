"""Kernel: what a session asks of many orders at once: mass cancel, and the end of order entry.

OUCH 5.0, Mass Cancel Request, Disable and Enable Order Entry Request. Each has a UserRefNum like
an order. A blank firm means the session itself; the session's own firm means every session of it.
A mass cancel that does not fit into one part goes on before any other command.
"""

import numpy as np

from ringbuf.bits import at, mix
from ringbuf.jit import cold_kernel
from shm_exchange.admission import session_fault, use_user_ref
from shm_exchange.book import add_to_hash
from shm_exchange.emit import emit_continued, emit_ignored, emit_rejected, new_event
from shm_exchange.messages import (
    ALL_INSTRUMENTS,
    BLANK_FIRM,
    BLANK_SYMBOL,
    REASON_USER,
    Cause,
    CommandFlag,
    CommandKind,
    Continuing,
    EventFlag,
    EventKind,
    Ignored,
    Reject,
)
from shm_exchange.session_orders import following
from shm_exchange.withdrawal import withdraw

MASS_CANCELLED = int(EventKind.MASS_CANCELLED)
DISABLED = int(EventKind.DISABLED)
ENABLED = int(EventKind.ENABLED)
COMMAND_MASS_CANCEL = int(CommandKind.MASS_CANCEL)
COMMAND_DISABLE = int(CommandKind.DISABLE)
MASS_CANCEL = int(Continuing.MASS_CANCEL)
CAUSE_MASS_CANCEL = int(Cause.MASS_CANCEL)
LONG_FORM = int(EventFlag.LONG_FORM)
TAGS = int(CommandFlag.TAGS)
USER_REF_USED = int(Ignored.USER_REF_USED)
FIRM_NOT_AUTHORIZED = int(Reject.FIRM_NOT_AUTHORIZED)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
SIDE_BUY = ord("B")
BY_SESSION, BY_FIRM = 1, 2  # bits of SESSION.disabled: who forbade order entry
_DISABLED_SALT = 1 << 32


@cold_kernel
def set_filter(market, event):
    """Remember what the mass cancel that `event` (MASS_CANCELLED) announces is to cancel."""
    scalars = market.scalars[0]
    scalars["mass_session"] = event["session"]
    scalars["mass_firm"] = event["firm_name"]
    scalars["mass_instrument"] = event["instrument"]
    scalars["mass_group"] = event["group_id"]
    scalars["mass_side"] = event["side"]


@cold_kernel
def set_disabled(market, session, firm, value):
    """Set (1) or clear (0) the bit of a session, or with a firm that of all its sessions."""
    bit = BY_SESSION if firm == BLANK_FIRM else BY_FIRM
    for each in range(len(market.sessions)):
        row = market.sessions[at(each)]
        if row["firm"] == firm if firm != BLANK_FIRM else each == session:
            before = np.int64(row["disabled"])
            after = before | bit if value else before & ~bit
            row["disabled"] = after
            add_to_hash(market, disabled_weight(each), after - before)


@cold_kernel
def disabled_weight(session):
    """Weight of a session's `disabled` in the state hash."""
    return mix(session + 1 + _DISABLED_SALT)


@cold_kernel
def _is_chosen(market, slot):
    order = market.orders[at(slot)]
    scalars = market.scalars[0]
    group = np.int64(scalars["mass_group"])
    if group != 0 and not (order["flags"] & TAGS and market.tags[at(slot)]["group_id"] == group):
        return 0
    instrument = np.int64(scalars["mass_instrument"])
    if instrument != ALL_INSTRUMENTS and order["instrument"] != instrument:
        return 0
    side = np.int64(scalars["mass_side"])
    if side != 0 and (order["side"] == SIDE_BUY) != (side == SIDE_BUY):
        return 0
    return 1


@cold_kernel
def cancel_chosen(market, slot, source_next, ring, position, limit):
    """Cancel what the filter says, from the order in `slot` on (0: from the first).

    In the order of the sessions, of each the order that rests longest first. Stops before `limit`
    with CONTINUED. Returns the position behind the last event.
    """
    asking = np.int64(market.scalars[0]["mass_session"])
    firm = np.int64(market.scalars[0]["mass_firm"])
    first = np.int64(market.orders[at(slot)]["session"]) if slot != 0 else 0
    for session in range(first, len(market.sessions)):
        meant = market.sessions[at(session)]["firm"] == firm
        if not (meant if firm != BLANK_FIRM else session == asking):
            continue
        if slot == 0:
            slot = following(market.session_links, session, 0)
        while slot != 0:
            behind = following(market.session_links, session, slot)
            if _is_chosen(market, slot):
                if position >= limit:
                    return emit_continued(market, slot, MASS_CANCEL, source_next, ring, position)
                withdraw(market, slot, REASON_USER, CAUSE_MASS_CANCEL, source_next, ring, position)
                position += 1
            slot = behind
    return position


@cold_kernel
def _answer(market, command, kind, source_next, ring, position):
    """The event that becomes `X`, `G` or `K`."""
    event = new_event(market, ring, position, kind, source_next)
    event["flags"] = LONG_FORM
    event["session"] = command["session"]
    event["user_ref_index"] = command["user_ref_index"]
    event["user_ref"] = command["user_ref"]
    event["side"] = command["side"] if kind == MASS_CANCELLED else 0
    event["instrument"] = command["instrument"] if kind == MASS_CANCELLED else 0
    event["firm_name"] = command["firm_name"]
    event["group_id"] = command["group_id"] if kind == MASS_CANCELLED else 0
    return event


@cold_kernel
def reject_request(market, command, code, source_next, ring, position):
    """OUCH J; what was asked has no client order id."""
    end = emit_rejected(market, command, code, 0, source_next, ring, position)
    event = ring.records[at(position & (len(ring.records) - 1))]
    event["client_order_id_0"] = BLANK_SYMBOL
    event["client_order_id_1"] = BLANK_FIRM
    event["client_order_id_2"] = BLANK_FIRM & 0xFFFF
    return end


@cold_kernel
def manage_session(market, command, source, source_next, ring, position, limit):
    """MASS_CANCEL, DISABLE, ENABLE; return the position behind the events."""
    fault = session_fault(market, command, source)
    if not fault and not use_user_ref(market, command):
        fault = USER_REF_USED
    if fault:
        return emit_ignored(market, command, fault, 0, source_next, ring, position)
    session = np.int64(command["session"])
    firm = np.int64(command["firm_name"])
    kind = command["kind"]
    code = 0
    if firm != BLANK_FIRM and firm != market.sessions[at(session)]["firm"]:
        code = FIRM_NOT_AUTHORIZED
    elif kind == COMMAND_MASS_CANCEL:
        instrument = np.int64(command["instrument"])
        if instrument != ALL_INSTRUMENTS and instrument >= len(market.instruments):
            code = INVALID_SYMBOL
    if code:
        return reject_request(market, command, code, source_next, ring, position)
    if kind == COMMAND_MASS_CANCEL:
        event = _answer(market, command, MASS_CANCELLED, source_next, ring, position)
        set_filter(market, event)
        return cancel_chosen(market, 0, source_next, ring, position + 1, limit)
    value = 1 if kind == COMMAND_DISABLE else 0
    _answer(market, command, DISABLED if value else ENABLED, source_next, ring, position)
    set_disabled(market, session, firm, value)
    return position + 1
