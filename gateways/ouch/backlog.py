"""Kernel: what past events said to one session: where a message is, and its bytes once more."""

import numpy as np

from gateways.ouch.outbound import MAKER, TAKER, encode
from gateways.ouch.stream import MESSAGE_SIZE_MAX
from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.order_tags import tags_of
from shm_exchange.streams import is_two_sided, session_messages


@cold_kernel
def skip_messages(events, session, count):
    """Subscript of the event with message `count` (from 0) of the session, and which of its own."""
    seen = 0
    for index in range(len(events)):
        here = session_messages(events[at(index)], session)
        if seen + here > count:
            return index, count - seen
        seen += here
    return len(events), 0


@cold_kernel
def encode_events(events, position, session, skip, instruments, engine, tags, buffer):
    """Encode what `events`, the first at `position`, say to a session, while there is room.

    skip: messages of the first event to leave out; tags: ORDER_TAGS[1], scratch. Returns bytes,
    messages, events finished.
    """
    size = 0
    count = 0
    for index in range(len(events)):
        event = events[at(index)]
        here = session_messages(event, session)
        if size + here * MESSAGE_SIZE_MAX > len(buffer):
            return size, count, index
        for place in range(here):
            if index == 0 and place < skip:
                continue
            which = MAKER
            if is_two_sided(np.int64(event["kind"])) and (
                event["session"] != session or place == 1
            ):
                which = TAKER
            tags_of(tags, events, index)
            size += encode(event, tags, position + index, which, instruments, engine, buffer, size)
            count += 1
    return size, count, len(events)
