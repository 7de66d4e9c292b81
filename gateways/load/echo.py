"""Pump: what the path alone costs: a server that sends back what it is sent.

`python -m gateways.load.echo ADDRESS` listens there on a port of its own, prints it, serves one
client until that leaves, and ends. It polls, as a gateway that spins or yields does.
"""

from __future__ import annotations

import socket
import sys

import numpy as np

from ringbuf import host
from ringbuf.bits import address
from ringbuf.jit import cold_kernel
from ringbuf.syscalls import (
    EAGAIN,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    last_error,
    recv,
    sched_yield,
    send,
)

CLIENT_SECONDS_MAX = 60.0  # how long it waits for its client
_BUFFER_SIZE = 1 << 16


@cold_kernel
def serve(fd, buffer):
    """Until the client leaves."""
    start = end = 0
    while True:
        if start == end:
            start = 0
            end = recv(fd, address(buffer, 0), len(buffer), MSG_DONTWAIT)
            if end == 0 or (end < 0 and last_error() != EAGAIN):
                return
            if end < 0:
                end = 0
        if start < end:
            count = send(fd, address(buffer, start), end - start, MSG_DONTWAIT | MSG_NOSIGNAL)
            if count < 0 and last_error() != EAGAIN:
                return
            start += max(0, count)
        else:
            sched_yield()


def main(place: str) -> None:
    """Compile, say the port, serve."""
    host.die_with_parent()
    buffer = np.zeros(_BUFFER_SIZE, np.uint8)
    serve(-1, buffer)
    with socket.create_server((place, 0)) as listener:
        listener.settimeout(CLIENT_SECONDS_MAX)
        print(listener.getsockname()[1], flush=True)
        client, _ = listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            serve(client.fileno(), buffer)


if __name__ == "__main__":
    main(sys.argv[1])
