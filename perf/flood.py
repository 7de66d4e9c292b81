"""Shell: a client that floods: orders and their cancels, as fast as its socket takes them.

Open loop: it waits for no answer, but reads all of them. `python -m perf.flood HOST:PORT USER PAUSE
[CORE]`: it looks at its socket every PAUSE seconds, or with 0 whenever an answer or room wakes it.
Each byte on its input says what it does from then on: `f` floods, `c` is the control, `-` is
nothing. It is answered by a line of what was since the byte before: messages answered until this
byte, messages sent and answered in all (what was on its way is waited for), the share of a core
that this process took, and the fewest messages without an answer at any look before more were sent:
above 0, the gateway always had input of it.

The control is the same loop with the same bytes, but its connection leads back into this process,
which echoes what comes. It takes as much of the core as the last flood did, and no gateway hears
of it.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Callable

import numpy as np

from gateways.ouch.messages import CANCEL_REQUEST
from gateways.ouch.state import ANSWERS_WAIT_NS
from gateways.packets import HEADER_SIZE, LENGTH_SIZE, UNSEQUENCED_TYPE
from perf.exchange import connect, log_in, orders
from perf.tcp_client import GONE, USER_REF, count_packets, number_order, send_some
from ringbuf.bits import address, store_big_4
from ringbuf.jit import cold_kernel, kernel
from ringbuf.syscalls import EAGAIN, MSG_DONTWAIT, last_error, recv

PAIRS = 512  # orders with their cancels in the buffer that is sent again and again
ROUNDS = 64  # of sending and reading, before input is looked at again
PAUSE_SECONDS = 0.02  # between two looks of whoever only waits for something
PATIENCE_SECONDS = 30.0  # for the answers that are still on their way when a flood ends
INBOX_SIZE = 1 << 20
SENT, NUMBER, END = 0, 1, 2  # bytes of the buffer sent, next UserRefNum, end of the inbox
FLOOD, CONTROL = b"f", b"c"


def pairs() -> np.ndarray:
    """Orders that rest, each with its cancel behind it, as packets: uint8[PAIRS, bytes]."""
    cancel = np.zeros((PAIRS, HEADER_SIZE + CANCEL_REQUEST.size), np.uint8)
    cancel[:, 1] = HEADER_SIZE - LENGTH_SIZE + CANCEL_REQUEST.size
    cancel[:, 2] = UNSEQUENCED_TYPE
    cancel[:, HEADER_SIZE] = ord("X")
    return np.concatenate((orders(PAIRS), cancel), axis=1)


@kernel
def _renumber(packets, size, order_size, number):
    """Give each pair a UserRefNum of its own, from `number` on."""
    for index in range(len(packets) // size):
        number_order(packets, index * size, number + index)
        store_big_4(packets, index * size + order_size + USER_REF, number + index)


@cold_kernel
def flood(fd, rounds, packets, size, order_size, state, inbox, counts):
    """Some rounds; 1, 0 when there was nothing to do at the end, or GONE. state: int64[3]."""
    moved = 0
    for _ in range(rounds):
        if state[SENT] == 0:
            _renumber(packets, size, order_size, state[NUMBER])
        moved = send_some(fd, packets, state[SENT], len(packets))
        if moved < 0:
            return GONE
        if state[SENT] == 0 and moved > 0:
            state[NUMBER] += len(packets) // size
        state[SENT] = (state[SENT] + moved) % len(packets)
        heard = drain(fd, state, inbox, counts)
        if heard < 0:
            return GONE
        if moved == 0 and heard == 0:
            return 0
    return 1


@kernel
def drain(fd, state, inbox, counts):
    """Read and count the answers that are there; their bytes, or GONE."""
    end = state[END]
    count = recv(fd, address(inbox, end), len(inbox) - end, MSG_DONTWAIT)
    if count == 0 or (count < 0 and last_error() != EAGAIN):
        return GONE
    if count < 0:
        return 0
    state[END] = count_packets(inbox, end + count, counts)
    return count if state[END] >= 0 else GONE


@cold_kernel
def drained(fd, state, inbox, counts):
    """What a flood does while it is off: bytes read, or GONE."""
    return drain(fd, state, inbox, counts)


@cold_kernel
def send_back(fd, waiting, buffer):
    """Of what came in, and of what is waiting, as much as can be sent. waiting: int64[2]."""
    if waiting[0] == waiting[1]:
        waiting[0] = 0
        waiting[1] = max(0, recv(fd, address(buffer, 0), len(buffer), MSG_DONTWAIT))
    waiting[0] += max(0, send_some(fd, buffer, waiting[0], waiting[1]))


class Line:
    """A connection, and what it sends and hears."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        packets = pairs()
        self._size, self._order_size = packets.shape[1], orders(1).shape[1]
        self._packets = packets.reshape(-1)
        self._state, self._counts = np.zeros(3, np.int64), np.zeros(256, np.int64)
        self._state[NUMBER] = 1
        self._inbox = np.zeros(INBOX_SIZE, np.uint8)

    def flood(self, rounds: int) -> None:
        """Send and read."""
        args = (self._packets, self._size, self._order_size, self._state, self._inbox, self._counts)
        _check(flood(self.connection.fileno(), rounds, *args))

    def hear(self) -> None:
        """Read what is there."""
        _check(drained(self.connection.fileno(), self._state, self._inbox, self._counts))

    def listen(self) -> None:
        """Read, and keep the connection alive."""
        self.hear()
        self.connection.sendall(b"\0\1R")

    @property
    def unanswered(self) -> int:
        """Messages that the socket took and nobody has answered."""
        cut = self._state[SENT]
        pairs = self._state[NUMBER] - 1 - (PAIRS - cut // self._size if cut else 0)
        return int(2 * pairs) - self.answered

    @property
    def sent(self) -> int:
        """Messages, while none is cut in the middle."""
        return int(2 * PAIRS * (self._state[NUMBER] // PAIRS))

    @property
    def answered(self) -> int:
        """Messages: an order is accepted, its cancel takes it out."""
        return int(self._counts.sum())

    def finish(self) -> None:
        """Send the rest of what was cut in the middle, and hear all answers."""
        if self._state[SENT]:
            self.connection.sendall(self._packets[self._state[SENT] :])
            self._state[SENT] = 0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.answered < self.sent:
            if time.monotonic() > deadline:
                sys.exit(f"of {self.sent} messages {self.answered} were answered")
            select.select([self.connection], [], [], PAUSE_SECONDS)
            self.listen()


class Control:
    """The same beside no gateway, for a share of the time."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._near = Line(connect(listener.getsockname()))
            self._far, _ = listener.accept()
        self._waiting, self._buffer = np.zeros(2, np.int64), np.zeros(1 << 16, np.uint8)
        self._near.listen()
        self.burn()  # all is compiled before a connection to the exchange could be silent for it

    def burn(self) -> None:
        """A little."""
        self._near.flood(1)
        send_back(self._far.fileno(), self._waiting, self._buffer)


def _check(done: int) -> None:
    if done == GONE:
        sys.exit("the flood lost its connection")


def _phase(poll: select.poll, work: Callable[[float], None]) -> float:
    """Work until there is input; the share of the time that it took from its core."""
    began, began_cpu = time.monotonic(), time.process_time()

    def share() -> float:
        return (time.process_time() - began_cpu) / max(1e-9, time.monotonic() - began)

    while not any(fd == sys.stdin.fileno() for fd, _ in poll.poll(0)):
        work(share())
    return share()


def main() -> None:
    """Until the input ends."""
    host, _, port = sys.argv[1].rpartition(":")
    pause_seconds = float(sys.argv[3])
    if len(sys.argv) > 4:
        os.sched_setaffinity(0, {int(sys.argv[4])})
    control = Control()
    allowed = 0.0
    with log_in((host, int(port)), sys.argv[2]) as connection:
        line = Line(connection)
        line.listen()
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        poll.register(connection, select.POLLIN)
        print("ready", flush=True)

        unanswered: list[int] = []

        def storm(_: float) -> None:
            line.hear()
            unanswered.append(line.unanswered)
            line.flood(ROUNDS)
            poll.poll(500)
            if pause_seconds:
                time.sleep(pause_seconds)

        def pretend(taken: float) -> None:
            if taken < allowed:
                control.burn()
            else:
                time.sleep(pause_seconds or ANSWERS_WAIT_NS / 1e9)

        def rest(_: float) -> None:
            poll.poll(500)
            line.listen()

        work = rest
        while True:
            poll.modify(connection, select.POLLIN | (select.POLLOUT if work is storm else 0))
            unanswered.clear()
            share = _phase(poll, work)
            said = os.read(sys.stdin.fileno(), 1)
            if not said:
                return
            by_then = line.answered
            if work is storm:
                line.finish()
                allowed = share
            work = {FLOOD: storm, CONTROL: pretend}.get(said, rest)
            least = min(unanswered[1:], default=0)  # at the first look nothing was sent yet
            print(by_then, line.sent, line.answered, f"{share:.4f}", least, flush=True)


if __name__ == "__main__":
    main()
