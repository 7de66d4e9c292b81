"""Pump: how long orders take at this gateway: counted when their acknowledgements have left.

When an order was received is still in its command's record, which nobody but this gateway writes;
when it was matched is in its event. Two readings of the clock in each pass that acknowledges
orders do for the rest, so the matcher has no part in it and an order costs a few nanoseconds.
Meanings of the stages: docs/protocols.md, tag 143.
"""

import numpy as np

from gateways.ouch.state import ANSWERED, EVENTS_PER_PASS, READ_NS, SETTING_SOURCE
from ringbuf.bits import at
from ringbuf.counters import observe
from ringbuf.jit import cold_kernel, kernel
from ringbuf.syscalls import clock_ns
from shm_exchange.messages import CommandKind, EventKind
from shm_exchange.replica import shift_source

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
ENTER = int(CommandKind.ENTER)
REPLACE = int(CommandKind.REPLACE)


@kernel
def note_answer(pump, event):
    """An event was read: if it acknowledges an order that came through us, remember when."""
    if event["kind"] != ACCEPTED and event["kind"] != REPLACED:
        return
    count = pump.words[ANSWERED]
    if shift_source(event) != pump.settings[SETTING_SOURCE] or count == EVENTS_PER_PASS:
        return  # full only after a pass that ended early
    records = pump.desk.commands.records
    behind = np.int64(event["source_next"]) - 1 - np.int64(event["continuations"])
    command = records[at(behind & (len(records) - 1))]
    kind = command["kind"]
    if (kind != ENTER and kind != REPLACE) or command["user_ref"] != event["user_ref"]:
        return  # one of several, as a mass quote makes them
    if count == 0:
        pump.words[READ_NS] = clock_ns(pump.clock)
    pump.answered[at(2 * count)] = command["received_ns"]
    pump.answered[at(2 * count + 1)] = event["time_ns"]
    pump.words[ANSWERED] = count + 1


@kernel
def count_answers(pump):
    """What this pass wrote was sent: count where its orders have spent their time.

    That of a client which does not read, or is at the end of its share, may leave later: that wait
    is the client's doing, and not counted.
    """
    if pump.words[ANSWERED] != 0:
        _count(pump)


@cold_kernel
def _count(pump):
    latencies = pump.latencies
    sent_ns = clock_ns(pump.clock)
    read_ns = pump.words[READ_NS]
    for place in range(pump.words[ANSWERED]):
        received_ns = pump.answered[at(2 * place)]
        matched_ns = pump.answered[at(2 * place + 1)]
        observe(latencies.matched, max(0, matched_ns - received_ns))
        observe(latencies.published, max(0, read_ns - matched_ns))
        observe(latencies.sent, max(0, sent_ns - read_ns))
        observe(latencies.total, max(0, sent_ns - received_ns))
    pump.words[ANSWERED] = 0
