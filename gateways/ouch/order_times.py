"""Pump: the times of an order that asked for them by tag 143 (docs/protocols.md, Our own messages).

Read and enqueued travel with the command and come back in its event. When the acknowledgement was
published and sent is known to one gateway alone, so it is told unsequenced.
"""

import numpy as np

from gateways.connection import LIVE, commit_output, reserve_output
from gateways.ouch.private_messages import ORDER_TIMES
from gateways.ouch.state import TIMED_COUNT, TIMED_LIMIT
from gateways.packets import HEADER_SIZE
from gateways.soupbintcp import write_unsequenced_header
from gateways.wire import time_of_day
from ringbuf.bits import at, copy_record, store_big_4, store_big_8
from ringbuf.jit import cold_kernel
from ringbuf.syscalls import clock_ns
from shm_exchange.messages import CommandFlag, EventKind
from shm_exchange.order_tags import TIMES_ASKED

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
FLAG_TAGS = int(CommandFlag.TAGS)
TYPE_T = ord("t")

_SIZE = ORDER_TIMES.size
_SEQUENCE = ORDER_TIMES.offset_of("sequence")
_USER_REF = ORDER_TIMES.offset_of("user_ref_num")
_CHANNEL = ORDER_TIMES.offset_of("user_ref_index")
_PUBLISHED = ORDER_TIMES.offset_of("published")
_SENT = ORDER_TIMES.offset_of("sent")


@cold_kernel
def note_times(pump, number, position):
    """The command just written at `position` has a continuation: if asked, when it came."""
    tags, records = pump.desk.tags, pump.desk.commands.records
    mask = len(records) - 1
    if np.int64(records[at(position & mask)]["flags"]) & FLAG_TAGS == 0:
        return
    if np.int64(tags[0]["present"]) & TIMES_ASKED == 0:
        return
    tags[0]["received_ns"] = pump.connections.rows[at(number)]["received_ns"]
    tags[0]["enqueued_ns"] = clock_ns(pump.clock)
    copy_record(records, (position + 1) & mask, tags, 0)


@cold_kernel
def follow_times(pump, event, session):
    """An event with a continuation (pump.tags) was told to its session: remember when, if asked."""
    if event["kind"] != ACCEPTED and event["kind"] != REPLACED:
        return
    number = np.int64(pump.by_session[at(session)]) - 1
    count = pump.words[TIMED_COUNT]
    if np.int64(pump.tags[0]["present"]) & TIMES_ASKED == 0 or number < 0 or count == TIMED_LIMIT:
        return
    connection = pump.connections.rows[at(number)]
    if connection["state"] != LIVE:
        return
    row = pump.timed[at(count)]
    row["connection"] = number
    row["serial"] = connection["serial"]
    row["sequence"] = connection["next_number"] - 1
    row["published_ns"] = clock_ns(pump.clock)
    row["sent_ns"] = 0
    row["user_ref"] = event["user_ref"]
    row["user_ref_index"] = event["user_ref_index"]
    pump.words[TIMED_COUNT] = count + 1


@cold_kernel
def _tell(pump, row):
    """Write one `t`; a client that has no room for it goes without."""
    number = np.int64(row["connection"])
    offset = reserve_output(pump.connections, number, HEADER_SIZE + _SIZE)
    if offset < 0:
        return
    buffer = pump.connections.outbound
    start = write_unsequenced_header(buffer, offset, _SIZE)
    buffer[at(start)] = TYPE_T
    store_big_8(buffer, start + _SEQUENCE, np.int64(row["sequence"]))
    store_big_4(buffer, start + _USER_REF, np.int64(row["user_ref"]))
    buffer[at(start + _CHANNEL)] = row["user_ref_index"]
    store_big_8(buffer, start + _PUBLISHED, time_of_day(np.int64(row["published_ns"])))
    store_big_8(buffer, start + _SENT, time_of_day(np.int64(row["sent_ns"])))
    commit_output(pump.connections, number, HEADER_SIZE + _SIZE)


@cold_kernel
def tell_times(pump):
    """Output was sent: tell the times of every acknowledgement that has left; the others wait."""
    now_ns = clock_ns(pump.clock)
    count = pump.words[TIMED_COUNT]
    for place in range(count):  # all of them first: a `t` is output too
        row = pump.timed[at(place)]
        connection = pump.connections.rows[at(np.int64(row["connection"]))]
        if connection["out_start"] == connection["out_end"]:
            row["sent_ns"] = now_ns
    kept = 0
    for place in range(count):
        row = pump.timed[at(place)]
        connection = pump.connections.rows[at(np.int64(row["connection"]))]
        if connection["serial"] != row["serial"] or connection["state"] != LIVE:
            continue
        if row["sent_ns"] != 0:
            _tell(pump, row)
            continue
        copy_record(pump.timed, kept, pump.timed, place)
        kept += 1
    pump.words[TIMED_COUNT] = kept
