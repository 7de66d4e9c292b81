"""Kernel: what past events said to one session: where a message is, and its bytes once more."""

from gateways.ouch.copies import encode_message
from gateways.ouch.stream import MESSAGE_SIZE_MAX
from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.order_tags import tags_of
from shm_exchange.streams import stream_messages


@cold_kernel
def skip_messages(sessions, events, session, count):
    """Subscript of the event with message `count` (from 0) of the session, and which of its own."""
    seen = 0
    for index in range(len(events)):
        here = stream_messages(sessions, events[at(index)], session)
        if seen + here > count:
            return index, count - seen
        seen += here
    return len(events), 0


@cold_kernel
def encode_events(
    sessions, names, events, position, session, skip, instruments, engine, tags, buffer
):
    """Encode what `events`, the first at `position`, say to a session, while there is room.

    sessions: SESSION[n]; names: int64[n], theirs; skip: messages of the first event to leave out;
    tags: ORDER_TAGS[1], scratch. Returns bytes, messages, events finished.
    """
    size = 0
    count = 0
    for index in range(len(events)):
        event = events[at(index)]
        here = stream_messages(sessions, event, session)
        if size + here * MESSAGE_SIZE_MAX > len(buffer):
            return size, count, index
        for place in range(here):
            if index == 0 and place < skip:
                continue
            tags_of(tags, events, index)
            size += encode_message(
                sessions,
                names,
                event,
                tags,
                position + index,
                session,
                place,
                instruments,
                engine,
                buffer,
                size,
            )
            count += 1
    return size, count, len(events)
