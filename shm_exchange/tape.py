"""Kernel: a tape of commands, matched and published as the engine does, without its queues."""

from ringbuf.bits import at
from ringbuf.broadcast import claim, publish, published, record_until
from ringbuf.jit import kernel
from shm_exchange.fetching import COMMANDS_AHEAD, fetch_event, fetch_order
from shm_exchange.groups import records_of
from shm_exchange.matching import SWEEP_ROOM, match, note_progress
from shm_exchange.sweep import resume

RECORDS_PER_RELEASE = 1_024  # a reader that moves the gate more often only moves cache lines


@kernel
def play(market, commands, first, last, source, ring, position, batch):
    """Match commands[first:last] and publish every `batch` of them; return the next command.

    commands: COMMAND[n] with their continuations; the stamp of each is its `received_ns`.
    source: whose commands they are. ring: Broadcast; position: of the first event; the position
    behind the last is `market.scalars[0]["position"]`. Ends early, perhaps within a command, when
    the ring's gate is reached: call it again once the gate has moved.
    """
    scalars = market.scalars[0]
    room = len(ring.records) // 4
    while first < last or scalars["continuing_kind"] != 0:
        if not claim(ring, position, room):
            break
        limit = position + room - SWEEP_ROOM
        if scalars["continuing_kind"] != 0:
            position = resume(market, ring, position, limit)
            scalars["position"] = position
        else:
            # The last few are a batch of their own, for which nothing is asked ahead: no command
            # needs a comparison for that.
            ahead = COMMANDS_AHEAD if first + COMMANDS_AHEAD < last else 0
            batch_last = min(last - ahead, first + batch)
            while first < batch_last and position < limit:
                stamp_ns = max(scalars["stamp_ns"] + 0, commands[at(first)]["received_ns"] + 0)
                following = first + records_of(commands, first)
                fetch_order(market, commands, first + ahead)
                fetch_event(ring, position)
                position = match(
                    market,
                    commands,
                    first,
                    source,
                    following,
                    first + 1,
                    stamp_ns,
                    ring,
                    position,
                    limit,
                )
                first = following
            note_progress(market, source, first, position)
        publish(ring, position)
    return first


@kernel
def drain(ring, position, looks, records):
    """Copy records from `position` on, one by one, into a small ring; return the next position.

    records: EVENT[n], n a power of two. (Into a single record, all but the last copy of a look
    would be dead, and the compiler leaves it out.)

    Ends after `looks` looks at the ring. The caller is the ring's gating reader: it is never
    lapped, and lets the publisher go on after at most RECORDS_PER_RELEASE records.
    """
    for _ in range(looks):
        last = min(published(ring), position + RECORDS_PER_RELEASE)
        while position < last:
            records[at(position & (len(records) - 1))] = ring.records[
                at(position & (len(ring.records) - 1))
            ]
            position += 1
        record_until(ring, position)
    return position


@kernel
def reuse_slots(entered, ended, by_end, lag, slots, stack):
    """Give every order a slot index as a gateway does; return how many indices were needed.

    entered, ended: int64[orders], message that enters the order and message that ends it.
    by_end: the orders sorted by `ended`. An index is free again `lag` messages after the end of
    its order, and the one freed last is taken first. slots: int64[orders], filled here.
    stack: int64[orders], scratch.
    """
    high_water = 0
    free = 0
    waiting = 0
    for order in range(len(entered)):
        now = entered[at(order)]
        while waiting < len(by_end) and ended[at(by_end[at(waiting)])] + lag <= now:
            stack[at(free)] = slots[at(by_end[at(waiting)])]
            free += 1
            waiting += 1
        if free > 0:
            free -= 1
            slots[at(order)] = stack[at(free)]
        else:
            slots[at(order)] = high_water
            high_water += 1
    return high_water
