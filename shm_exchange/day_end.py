"""Kernel: the day rolls: what is for the day leaves the market, and every stream ends.

Day orders are cancelled, in parts when there are many; then the system events that end a day, and
ROLLED. No other command comes in between, nor before the matcher has begun the new streams
(`reign.open_streams`). What is good till cancelled, or till a time, lives on.
"""

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.beginning import roll_streams
from shm_exchange.emit import emit_continued, emit_system
from shm_exchange.messages import Cause, CommandFlag, Continuing
from shm_exchange.order_tags import TIF_GTT
from shm_exchange.queues import first_from, following
from shm_exchange.withdrawal import withdraw

GTC = int(CommandFlag.GTC)
ROLL = int(Continuing.ROLL)
CAUSE_ROLL = int(Cause.ROLL)
REASON_CLOSED = ord("E")  # of `C`: the day is over
END_OF_MARKET, END_OF_SYSTEM, END_OF_MESSAGES = ord("M"), ord("E"), ord("C")  # ITCH 5.0, `S`


@cold_kernel
def _is_for_the_day(order):
    return 0 if order["flags"] & GTC or order["time_in_force"] == TIF_GTT else 1


@cold_kernel
def end_day(market, slot, source_next, ring, position, limit):
    """Cancel Day orders from the one in `slot` on (0: all); then ROLLED.

    In the order of the queues. Stops before `limit` with CONTINUED. Returns the position behind the
    last event.
    """
    if slot == 0:
        slot = first_from(market, 0, 0)
    while slot != 0:
        behind = following(market, slot)
        if _is_for_the_day(market.orders[at(slot)]):
            if position >= limit:
                return emit_continued(market, slot, ROLL, source_next, ring, position)
            withdraw(market, slot, REASON_CLOSED, CAUSE_ROLL, source_next, ring, position)
            position += 1
        slot = behind
    if position + 4 > limit:  # in a part of its own, that has room for all of it
        return emit_continued(market, 0, ROLL, source_next, ring, position)
    position = emit_system(market, END_OF_MARKET, source_next, ring, position)
    position = emit_system(market, END_OF_SYSTEM, source_next, ring, position)
    position = emit_system(market, END_OF_MESSAGES, source_next, ring, position)
    return roll_streams(market, source_next, ring, position)
