"""Kernel: events as the lines of the public benchmark's report stream.

A report is a row of int64[6]: key = sequence << 3 | type, how many values follow, up to four
values. Its line is `type,sequence,value,...`. Types: 0 accepted, 1 trade, 2 cancelled,
3 modified, 4 cancel of an order that is not resting, 5 modify of such an order. A reduce that
leaves something is reported as modified, with the price unchanged and the remaining quantity.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import kernel
from shm_exchange.messages import COMMAND_NEXT_MASK, CommandKind, EventFlag, EventKind

REPORT_VALUES = 6  # words of a row
LINE_SIZE_MAX = 128  # six numbers of at most 20 characters, and their commas
SIDE_BUY = ord("B")
COMMA = ord(",")
NEWLINE = ord("\n")
DIGIT_ZERO = ord("0")

REPORT_ACCEPTED, REPORT_TRADE, REPORT_CANCELLED, REPORT_MODIFIED = 0, 1, 2, 3
REPORT_CANCEL_MISSED, REPORT_MODIFY_MISSED = 4, 5

ACCEPTED = int(EventKind.ACCEPTED)
REPLACED = int(EventKind.REPLACED)
EXECUTED = int(EventKind.EXECUTED)
CANCELLED = int(EventKind.CANCELLED)
IGNORED = int(EventKind.IGNORED)
REJECTED = int(EventKind.REJECTED)
COMMAND_CANCEL = int(CommandKind.CANCEL)
COMMAND_REPLACE = int(CommandKind.REPLACE)
DONE = int(EventFlag.DONE)


@kernel
def _put(rows, row, key, values, first, second, third, fourth):
    rows[at(row), 0] = key
    rows[at(row), 1] = values
    rows[at(row), 2] = first
    rows[at(row), 3] = second
    rows[at(row), 4] = third
    rows[at(row), 5] = fourth


@kernel
def report(event, sequence, order_ids, rows, row):
    """Fill rows[row] from one event; return 1, 0 for no report, -1 for a refused message.

    sequence: of the message that the event answers. order_ids: int32[messages]; the UserRefNum
    of an order is the sequence of the message that set it, plus one.
    """
    kind = event["kind"]
    order_id = np.int64(order_ids[at(sequence)])
    side = 0 if event["side"] == SIDE_BUY else 1
    price = np.int64(event["price"])
    quantity = np.int64(event["quantity"])
    key = sequence << 3
    if kind == EXECUTED:
        maker = np.int64(order_ids[at(np.int64(event["user_ref"]) - 1)])
        _put(rows, row, key | REPORT_TRADE, 4, price, quantity, maker, order_id)
    elif kind == ACCEPTED:
        _put(rows, row, key | REPORT_ACCEPTED, 4, side, order_id, price, quantity)
    elif kind == CANCELLED and event["flags"] & DONE:
        _put(rows, row, key | REPORT_CANCELLED, 3, side, order_id, price, 0)
    elif kind == CANCELLED:
        leaves = np.int64(event["leaves"])
        _put(rows, row, key | REPORT_MODIFIED, 4, side, order_id, price, leaves)
    elif kind == REPLACED:
        _put(rows, row, key | REPORT_MODIFIED, 4, side, order_id, price, quantity)
    elif kind == IGNORED and event["command_kind"] == COMMAND_CANCEL:
        _put(rows, row, key | REPORT_CANCEL_MISSED, 1, order_id, 0, 0, 0)
    elif kind == IGNORED and event["command_kind"] == COMMAND_REPLACE:
        _put(rows, row, key | REPORT_MODIFY_MISSED, 1, order_id, 0, 0, 0)
    elif kind == IGNORED or kind == REJECTED:
        return -1
    else:
        return 0
    return 1


@kernel
def report_all(events, first_command, order_ids, rows):
    """Turn EVENT[n] into rows; return their count, or -1 - index of an event that refuses.

    first_command: commands before the flow's first message. rows: int64[n, REPORT_VALUES].
    """
    count = 0
    for index in range(len(events)):
        event = events[at(index)]
        command_next = np.int64(event["source_next"]) & COMMAND_NEXT_MASK
        sequence = command_next - 1 - first_command
        if sequence < 0:
            continue
        added = report(event, sequence, order_ids, rows, count)
        if added < 0:
            return -1 - index
        count += added
    return count


@kernel
def _digits(value, text, size):
    """Write 0 <= value < 10**18 in decimal at text[size]; return the new size."""
    width = 1
    bound = 10
    while value >= bound:
        width += 1
        bound *= 10
    place = size + width
    for _ in range(width):
        place -= 1
        text[at(place)] = DIGIT_ZERO + value % 10
        value //= 10
    return size + width


@kernel
def write_lines(rows, order, text):
    """Write the lines of rows[order], a newline after each, into uint8 `text`; return the size.

    text: at least len(order) * LINE_SIZE_MAX bytes.
    """
    size = 0
    for index in range(len(order)):
        row = order[at(index)]
        key = rows[at(row), 0]
        text[at(size)] = DIGIT_ZERO + (key & 7)
        text[at(size + 1)] = COMMA
        size = _digits(key >> 3, text, size + 2)
        for value in range(2, 2 + rows[at(row), 1]):
            text[at(size)] = COMMA
            size = _digits(rows[at(row), at(value)], text, size + 1)
        text[at(size)] = NEWLINE
        size += 1
    return size
