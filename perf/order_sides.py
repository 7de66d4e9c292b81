"""Pump: one order after another into a command ring, each timed until its event is visible."""

import numpy as np

from ringbuf import broadcast, spsc
from ringbuf.atomics import pause
from ringbuf.bits import at, clear_record
from ringbuf.jit import kernel
from ringbuf.syscalls import monotonic_ns
from shm_exchange.messages import CommandKind, EventKind

LOGIN = int(CommandKind.LOGIN)
ENTER = int(CommandKind.ENTER)
CANCEL = int(CommandKind.CANCEL)
LOGGED_IN = int(EventKind.LOGGED_IN)
BUY, DAY, VISIBLE, PRINCIPAL = ord("B"), ord("0"), ord("Y"), ord("P")


@kernel
def _post(commands, position, kind, session, generation, slot, user_ref):
    index = position & (len(commands.records) - 1)
    clear_record(commands.records, index)
    command = commands.records[at(index)]
    command["kind"] = kind
    command["session"] = session
    command["generation"] = generation
    command["slot"] = slot
    command["user_ref"] = user_ref
    command["side"] = BUY
    command["time_in_force"] = DAY
    command["display"] = VISIBLE
    command["capacity"] = PRINCIPAL
    command["price"] = 100 + (user_ref & 15)
    command["quantity"] = 100 if kind == ENTER else 0
    command["client_order_id_0"] = user_ref
    spsc.publish(commands, position + 1)


@kernel
def _await_event(ring, position):
    while broadcast.published(ring) <= position:
        pause()


@kernel
def time_orders(commands, ring, session, slot, count, nanoseconds, clock):
    """Log in, then enter and cancel `count` times; nanoseconds[i] is enter i, posted to visible.

    commands: Spsc, empty; ring: Broadcast of a live engine with nothing else to do.
    """
    position = spsc.published(commands)
    event = broadcast.published(ring)
    _post(commands, position, LOGIN, session, 0, 0, 0)
    _await_event(ring, event)
    generation = np.int64(ring.records[at(event & (len(ring.records) - 1))]["generation"])
    position += 1
    event += 1
    for number in range(count):
        started = monotonic_ns(clock)
        _post(commands, position, ENTER, session, generation, slot, number + 1)
        _await_event(ring, event)
        nanoseconds[number] = monotonic_ns(clock) - started
        _post(commands, position + 1, CANCEL, session, generation, slot, number + 1)
        _await_event(ring, event + 1)
        position += 2
        event += 2
    return event
