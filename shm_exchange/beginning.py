"""Kernel: how the streams of an engine begin, and begin anew with the orders that live on.

ROLLED ends every stream: numbers start again at 1 under a new name. Then come the system events,
the instruments, the sessions, and one CARRIED for every live order, in the order of the queues, so
that whoever rebuilds the book from the new stream has the same priorities. Which of that was said
is part of the state (`stage`, `instruments_listed`, `sessions_known`), so a successor goes on.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.emit import emit_continued, emit_order, new_event
from shm_exchange.market import STAGE_MARKET, STAGE_MESSAGES, STAGE_NONE, STAGE_SYSTEM
from shm_exchange.messages import CommandFlag, Continuing, EventFlag, EventKind
from shm_exchange.order_tags import emit_tags
from shm_exchange.queues import first_from, following

TAGS = int(CommandFlag.TAGS)
CARRIED = int(EventKind.CARRIED)
ROLLED = int(EventKind.ROLLED)
RESTS = int(EventFlag.RESTS)
CARRY = int(Continuing.CARRY)
MILLISECOND = 1_000_000
START_OF_MESSAGES, START_OF_SYSTEM, START_OF_MARKET = ord("O"), ord("S"), ord("Q")


@cold_kernel
def end_streams(market, position):
    """What ROLLED at `position` says: nothing of the new streams was said yet."""
    scalars = market.scalars[0]
    scalars["stream_0"] = 0
    scalars["stream_1"] = 0
    scalars["feed_messages"] = 0
    scalars["instruments_listed"] = 0
    scalars["sessions_known"] = 0
    scalars["rolled"] = position + 1
    scalars["stage"] = STAGE_NONE
    for instrument in range(len(market.instruments)):
        market.instruments[at(instrument)]["listed"] = 0
    for session in range(len(market.sessions)):
        market.sessions[at(session)]["known"] = 0
        market.sessions[at(session)]["messages"] = 0


@cold_kernel
def roll_streams(market, source_next, ring, position):
    """ROLLED: all streams end here; the position behind it."""
    end_streams(market, position)
    new_event(market, ring, position, ROLLED, source_next)
    return position + 1


@cold_kernel
def _digit(number):
    return number + (ord("0") if number < 10 else ord("A") - 10)


@cold_kernel
def name_stream(command, engine, now_ns):
    """Write a new SoupBinTCP session id into SYSTEM: engine in hexadecimal, time in base 36.

    Eight digits of milliseconds: they last until 2059.
    """
    word = np.int64(0)
    last = np.int64(0)
    left = now_ns // MILLISECOND
    for place in range(9, 1, -1):
        digit = np.int64(_digit(left % 36))
        left //= 36
        if place >= 8:
            last |= digit << (8 * (place - 8))
        else:
            word |= digit << (8 * place)
    word |= np.int64(_digit(engine >> 4)) | np.int64(_digit(engine & 15)) << 8
    command["client_order_id_0"] = word
    command["client_order_id_1"] = last


@cold_kernel
def set_stage(market, code):
    """What a system event says of how far the streams are."""
    if code == START_OF_MESSAGES:
        market.scalars[0]["stage"] = STAGE_MESSAGES
    elif code == START_OF_SYSTEM:
        market.scalars[0]["stage"] = STAGE_SYSTEM
    elif code == START_OF_MARKET:
        market.scalars[0]["stage"] = STAGE_MARKET


@cold_kernel
def carry(market, order, event):
    """What CARRIED says of an order, besides what it is now.

    Its chain goes on: a total that its client named before means the same now, so the client is
    told what of it is done.
    """
    event["flags"] |= RESTS
    event["reference"] = order["reference"]
    event["done"] = order["executed"] + order["decremented"]


@cold_kernel
def carry_orders(market, slot, source_next, ring, position, limit):
    """Tell the new streams of every live order from `slot` on (0: from the first).

    Stops before `limit` with CONTINUED. Returns the position behind the last event.
    """
    if slot == 0:
        slot = first_from(market, 0, 0)
    while slot != 0:
        if position >= limit:
            return emit_continued(market, slot, CARRY, source_next, ring, position)
        event = emit_order(market, slot, CARRIED, source_next, ring, position)
        carry(market, market.orders[at(slot)], event)
        position += 1
        if market.orders[at(slot)]["flags"] & TAGS:
            position = emit_tags(market, slot, event, ring, position)
        slot = following(market, slot)
    return position
