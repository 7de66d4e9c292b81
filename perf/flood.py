"""Shell: a client that floods: orders and their cancels, as fast as its socket takes them.

Open loop: it waits for no answer, but reads all of them. `python -m perf.flood HOST:PORT USER
CORE`; each byte on its input turns the flood on or off, and is answered by a line: how many
messages were sent and answered so far.
"""

from __future__ import annotations

import os
import select
import sys
import time

import numpy as np

from gateways.ouch.messages import CANCEL_REQUEST
from gateways.packets import HEADER_SIZE, LENGTH_SIZE, UNSEQUENCED_TYPE
from perf.exchange import log_in, orders
from perf.tcp_client import GONE, USER_REF, count_packets, number_order, send_some
from ringbuf.bits import address, store_big_4
from ringbuf.jit import cold_kernel, kernel
from ringbuf.syscalls import EAGAIN, MSG_DONTWAIT, last_error, recv

PAIRS = 512  # orders with their cancels in the buffer that is sent again and again
ROUNDS = 64  # of sending and reading, before input is looked at again
PAUSE_SECONDS = 0.0005
SENT, NUMBER, END, FULL = 0, 1, 2, 3  # bytes of the buffer sent, next UserRefNum, end of the inbox


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
    return number + len(packets) // size


@cold_kernel
def flood(fd, packets, size, order_size, state, inbox, counts):
    """Some rounds; 1, 0 when there was nothing to do at the end, or GONE. state: int64[4]."""
    moved = 0
    for _ in range(ROUNDS):
        if state[SENT] == 0:
            state[NUMBER] = _renumber(packets, size, order_size, state[NUMBER])
        moved = send_some(fd, packets, state[SENT], len(packets))
        if moved < 0:
            return GONE
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


def main() -> None:
    """Until the input ends."""
    host, _, port = sys.argv[1].rpartition(":")
    os.sched_setaffinity(0, {int(sys.argv[3])})
    packets = pairs()
    size, order_size = packets.shape[1], orders(1).shape[1]
    flat = packets.reshape(-1)
    state, counts = np.zeros(4, np.int64), np.zeros(256, np.int64)
    state[NUMBER] = 1
    inbox = np.zeros(1 << 20, np.uint8)
    floods = False
    with log_in((host, int(port)), sys.argv[2]) as client:
        fd = client.fileno()
        drained(fd, state, inbox, counts)
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        poll.register(fd, select.POLLIN)
        print("ready", flush=True)
        while True:
            poll.modify(fd, select.POLLIN | (select.POLLOUT if floods else 0))
            ready = dict(poll.poll(500))
            if sys.stdin.fileno() in ready:
                if not os.read(sys.stdin.fileno(), 1):
                    return
                floods = not floods
                if state[SENT]:  # a message may be cut in the middle
                    client.sendall(flat[state[SENT] :])
                    state[SENT] = 0
                print(2 * PAIRS * (state[NUMBER] // PAIRS), int(counts.sum()), flush=True)
            if floods:
                done = flood(fd, flat, size, order_size, state, inbox, counts)
                time.sleep(PAUSE_SECONDS)  # full buffers last longer
            else:
                done = drained(fd, state, inbox, counts)
                client.sendall(b"\0\1R")
            if done == GONE:
                sys.exit("the flood lost its connection")


if __name__ == "__main__":
    main()
