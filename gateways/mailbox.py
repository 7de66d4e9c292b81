"""Kernel: letters between the two threads of a gateway: its Python side and its pump.

Two bounded queues in private memory, with the same rules as a ring between processes, so that
neither thread ever waits for the other (nor for the interpreter's lock). The Python side sleeps
until its bell is rung: if it looked now and then instead, it would disturb the pump of its core.
"""

from typing import NamedTuple

import numpy as np

from ringbuf import spsc
from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.schema import Field, Record
from ringbuf.spsc import Spsc
from ringbuf.state import State
from ringbuf.syscalls import event_signal

# Python -> pump
OPEN = 1  # a client logged in: fd, session, asked sequence, silence limit
CHUNK = 2  # replayed messages lie in the replay buffer
# pump -> Python
CLOSED = 3  # fd, reason
REPLAY = 4  # replay messages of a session
TAKEN = 5  # the replay buffer is free again

LETTER = Record(
    name="letter",
    size=64,
    doc="One letter. Which fields count depends on its kind.",
    fields=(
        Field("kind", "i4"),
        Field("connection", "i4"),
        Field("fd", "i4"),
        Field("session", "i4"),
        Field("number", "i8", doc="asked sequence number; first number to replay"),
        Field("position", "i8", doc="event position"),
        Field("end_position", "i8"),
        Field("count", "i8", doc="messages so far; bytes of a chunk"),
        Field("detail", "i8", doc="silence limit in ns; reason; 1: there is no chunk"),
        Field("serial", "i8"),
    ),
)


@State.register
class Mailbox(NamedTuple):
    """Both directions, and each side's private cursors."""

    inward: Spsc  # Python -> pump
    outward: Spsc  # pump -> Python
    cursors: np.ndarray  # int64[5]: POST_IN, TAKE_OUT of Python, the others of the pump


POST_IN, TAKE_IN, POST_OUT, TAKE_OUT = 0, 1, 2, 3
BELL = 4  # eventfd that wakes the Python side, or -1


def create_mailbox(capacity: int, bell: int) -> Mailbox:
    """An empty mailbox; `capacity`, a power of two, bounds either direction."""
    return Mailbox(
        inward=Spsc(np.zeros(32, np.int64), np.zeros(capacity, LETTER.dtype)),
        outward=Spsc(np.zeros(32, np.int64), np.zeros(capacity, LETTER.dtype)),
        cursors=np.array([0, 0, 0, 0, bell], np.int64),
    )


@kernel
def _post(queue, cursors, cursor, letter):
    position = cursors[cursor]
    if spsc.room(queue, position) <= 0:
        return 0
    queue.records[at(position & (len(queue.records) - 1))] = letter[0]
    cursors[cursor] = position + 1
    spsc.publish(queue, position + 1)
    return 1


@kernel
def _take(queue, cursors, cursor, letter):
    position = cursors[cursor]
    if position >= spsc.published(queue):
        return 0
    letter[0] = queue.records[at(position & (len(queue.records) - 1))]
    cursors[cursor] = position + 1
    spsc.consume(queue, position + 1)
    return 1


@cold_kernel
def post_inward(mailbox, letter):
    """Python's side: send letter[0] to the pump; 0 when the queue is full."""
    return _post(mailbox.inward, mailbox.cursors, POST_IN, letter)


@kernel
def take_inward(mailbox, letter):
    """The pump's side: receive into letter[0]; 0 when there is none."""
    return _take(mailbox.inward, mailbox.cursors, TAKE_IN, letter)


@cold_kernel
def post_outward(mailbox, letter):
    """The pump's side: send letter[0] to Python and wake it; 0 when the queue is full."""
    done = _post(mailbox.outward, mailbox.cursors, POST_OUT, letter)
    event_signal(mailbox.cursors[BELL])
    return done


@cold_kernel
def take_outward(mailbox, letter):
    """Python's side: receive into letter[0]; 0 when there is none."""
    return _take(mailbox.outward, mailbox.cursors, TAKE_OUT, letter)
