"""Goal: the system calls do what the C library's do, compiled and uncompiled, errors included.

Method: the Python library's own calls beside ours, on a socket pair, a pipe and an epoll.
"""

import errno
import os
import socket
import struct
import time

import numpy as np
import pytest

from ringbuf import syscalls
from ringbuf.bits import address
from ringbuf.jit import kernel
from ringbuf.syscalls import (
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLLIN,
    EPOLLOUT,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    clock_ns,
    close,
    epoll_create1,
    epoll_ctl,
    epoll_wait,
    last_error,
    monotonic_ns,
    read,
    recv,
    sched_yield,
    send,
    wait_readable,
    write,
)


@kernel
def _place(array, index):
    return address(array, index)


@kernel
def _recv_error(fd, data):
    if recv(fd, address(data, 0), len(data), MSG_DONTWAIT) == -1:
        return last_error()
    return 0


@kernel
def _close_error(fd):
    if close(fd) == -1:
        return last_error()
    return 0


def test_bytes_through_a_socket() -> None:
    left, right = socket.socketpair()
    with left, right:
        data = np.arange(10, dtype=np.uint8)
        assert send(left.fileno(), _place(data, 2), 5, MSG_NOSIGNAL) == 5
        got = np.zeros(16, np.uint8)
        assert recv(right.fileno(), _place(got, 1), 15, 0) == 5
        assert got.tolist() == [0, 2, 3, 4, 5, 6, *[0] * 10]
        left.close()
        assert recv(right.fileno(), _place(got, 0), 16, 0) == 0


def test_errors_have_their_numbers() -> None:
    left, right = socket.socketpair()
    with left, right:
        data = np.zeros(4, np.uint8)
        assert _recv_error(left.fileno(), data) == errno.EAGAIN == syscalls.EAGAIN
        assert _recv_error(1 << 20, data) == errno.EBADF
    assert _close_error(1 << 20) == errno.EBADF
    assert close(-1) == -1, "the sign of a C int survives"


def test_bytes_through_a_pipe() -> None:
    reader, writer = os.pipe()
    data = np.frombuffer(bytearray(b"abcdef"), np.uint8)
    assert write(writer, _place(data, 1), 3) == 3
    assert read(reader, _place(data, 0), 6) == 3
    assert data.tobytes() == b"bcddef"
    assert close(writer) == 0 and close(reader) == 0
    with pytest.raises(OSError):
        os.fstat(reader)


def test_epoll_tells_who_is_ready() -> None:
    left, right = socket.socketpair()
    epoll = epoll_create1(EPOLL_CLOEXEC)
    event = np.frombuffer(bytearray(struct.pack("=IQ", EPOLLIN, 1234)), np.uint8)
    ready = np.zeros(24, np.uint8)
    with left, right:
        assert epoll_ctl(epoll, EPOLL_CTL_ADD, right.fileno(), _place(event, 0)) == 0
        assert epoll_wait(epoll, _place(ready, 0), 2, 0) == 0
        left.send(b"x")
        assert epoll_wait(epoll, _place(ready, 0), 2, 1000) == 1
        flags, user = struct.unpack("=IQ", ready[:12].tobytes())
        assert flags & EPOLLIN and not flags & EPOLLOUT and user == 1234
        assert epoll_ctl(epoll, EPOLL_CTL_DEL, right.fileno(), 0) == 0
        assert epoll_wait(epoll, _place(ready, 0), 2, 0) == 0
    assert not os.get_inheritable(epoll)
    close(epoll)


def test_clocks_are_pythons() -> None:
    scratch = np.zeros(2, np.int64)
    for ours, theirs in ((clock_ns, time.time_ns), (monotonic_ns, time.monotonic_ns)):
        ours(scratch)
        before = theirs()
        now = ours(scratch)
        assert before <= now <= theirs()


def test_waiting_for_a_byte() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert wait_readable(right.fileno(), 0) == 0
        left.send(b"x")
        assert wait_readable(right.fileno(), 10_000_000) == 1


def test_events_count_until_drained() -> None:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    assert syscalls.event_drain(fd) == -1
    assert syscalls.event_signal(fd) == 8 and syscalls.event_signal(fd) == 8
    assert syscalls.event_drain(fd) == 8
    assert syscalls.event_drain(fd) == -1
    os.close(fd)


def test_yield_returns() -> None:
    assert sched_yield() == 0
