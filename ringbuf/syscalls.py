"""Kernel: the system calls that compiled code may make, bound to the C library by name.

Arguments are int64; addresses come from `ringbuf.bits.address`; every call returns int64, -1 for
an error, whose number `last_error()` tells when asked at once. The only file that knows how they
are bound. (Bound by name the machine code can be cached; a function pointer could not.)

The lock functions return the error number itself, as the C library does.

With NUMBA_DISABLE_JIT=1 the same functions are reached through ctypes.
"""

from __future__ import annotations

import ctypes
import threading

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ringbuf.bits import address
from ringbuf.jit import COMPILED, kernel

EAGAIN = 11
EINTR = 4
EBUSY = 16
EOWNERDEAD = 130

EPOLLIN = 1
EPOLLOUT = 4
EPOLLERR = 8
EPOLLHUP = 16
EPOLLRDHUP = 0x2000
EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3
EPOLL_CLOEXEC = 0o2000000

MSG_DONTWAIT = 0x40
MSG_NOSIGNAL = 0x4000
POLLIN = 1

CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
NS_PER_SECOND = 1_000_000_000

_SYS_MEMBARRIER = 324  # x86-64
_MEMBARRIER_GLOBAL_EXPEDITED = 2  # <linux/membarrier.h>
_POLLIN_HIGH = POLLIN << 32  # struct pollfd is one word: fd, events, revents

if COMPILED:

    def _bind(symbol, count, result):  # type: ignore[no-untyped-def]
        return types.ExternalFunction(symbol, result(*(types.int64,) * count))

    _INT, _LONG = types.int32, types.int64
    _errno_location = _bind("__errno_location", 0, types.int64)

    @intrinsic
    def _stack_words(typing_context):  # type: ignore[no-untyped-def]
        """Address of four words of the caller's stack."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            word = context.get_value_type(types.int64)
            return builder.ptrtoint(cgutils.alloca_once(builder, word, size=4), word)

        return types.int64(), generate

    @intrinsic
    def _set_word(typing_context, place, value):  # type: ignore[no-untyped-def]
        """Store an int64 at an address."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            pointer = context.get_value_type(types.CPointer(types.int64))
            builder.store(arguments[1], builder.inttoptr(arguments[0], pointer))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    @intrinsic
    def _load_word(typing_context, place):  # type: ignore[no-untyped-def]
        """Load an int64 from an address."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            pointer = context.get_value_type(types.CPointer(types.int64))
            return builder.load(builder.inttoptr(arguments[0], pointer))

        return types.int64(types.int64), generate

    @intrinsic
    def _load_int(typing_context, place):  # type: ignore[no-untyped-def]
        """Load a C int from an address."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            pointer = context.get_value_type(types.CPointer(types.int32))
            value = builder.load(builder.inttoptr(arguments[0], pointer))
            return builder.sext(value, context.get_value_type(types.int64))

        return types.int64(types.int64), generate

    @kernel
    def last_error():
        """Number of the error of this thread's last call that returned -1."""
        return _load_int(_errno_location())

else:
    _LIBRARY = ctypes.CDLL(None, use_errno=True)
    _INT, _LONG = ctypes.c_int, ctypes.c_int64
    _stack = threading.local()

    def _bind(symbol, count, result):  # type: ignore[no-untyped-def]
        function = ctypes.CFUNCTYPE(result, *(ctypes.c_int64,) * count, use_errno=True)
        return function((symbol, _LIBRARY))

    def _stack_words():  # type: ignore[no-untyped-def]
        _stack.words = np.zeros(4, np.int64)
        return _stack.words.ctypes.data

    def _set_word(place, value):  # type: ignore[no-untyped-def]
        ctypes.c_int64.from_address(place).value = value

    def _load_word(place):  # type: ignore[no-untyped-def]
        return ctypes.c_int64.from_address(place).value

    def last_error():  # type: ignore[no-untyped-def]
        """Number of the error of this thread's last call that returned -1."""
        return ctypes.get_errno()


_recv = _bind("recv", 4, _LONG)
_send = _bind("send", 4, _LONG)
_read = _bind("read", 3, _LONG)
_write = _bind("write", 3, _LONG)
_close = _bind("close", 1, _INT)
_epoll_create1 = _bind("epoll_create1", 1, _INT)
_epoll_ctl = _bind("epoll_ctl", 4, _INT)
_epoll_wait = _bind("epoll_wait", 4, _INT)
_ppoll = _bind("ppoll", 4, _INT)
_sched_yield = _bind("sched_yield", 0, _INT)
_clock_gettime = _bind("clock_gettime", 2, _INT)
_syscall = _bind("syscall", 4, _LONG)
_mutex_trylock = _bind("pthread_mutex_trylock", 1, _INT)
_mutex_consistent = _bind("pthread_mutex_consistent", 1, _INT)
_mutex_unlock = _bind("pthread_mutex_unlock", 1, _INT)


@kernel
def recv(fd, data, size, flags):
    """Read from a socket into address `data`; bytes read, 0 at the end of the stream, or -1."""
    return np.int64(_recv(fd, data, size, flags))


@kernel
def send(fd, data, size, flags):
    """Write to a socket from address `data`; bytes taken, or -1. Use MSG_NOSIGNAL."""
    return np.int64(_send(fd, data, size, flags))


@kernel
def read(fd, data, size):
    """Read from a file descriptor into address `data`; bytes read, or -1."""
    return np.int64(_read(fd, data, size))


@kernel
def write(fd, data, size):
    """Write to a file descriptor from address `data`; bytes taken, or -1."""
    return np.int64(_write(fd, data, size))


@kernel
def close(fd):
    """Close a file descriptor; 0 or -1."""
    return np.int64(_close(fd))


@kernel
def epoll_create1(flags):
    """A new epoll descriptor, or -1. Use EPOLL_CLOEXEC."""
    return np.int64(_epoll_create1(flags))


@kernel
def epoll_ctl(epoll, operation, fd, event):
    """Add, change or remove `fd`; `event` is the address of a struct epoll_event (12 bytes)."""
    return np.int64(_epoll_ctl(epoll, operation, fd, event))


@kernel
def epoll_wait(epoll, events, count, timeout_ms):
    """Ready descriptors into address `events` (12 bytes each); how many, or -1."""
    return np.int64(_epoll_wait(epoll, events, count, timeout_ms))


@kernel
def ppoll(descriptors, count, timeout, mask):
    """Wait on struct pollfd[count]; `timeout` is the address of a struct timespec, or 0."""
    return np.int64(_ppoll(descriptors, count, timeout, mask))


@kernel
def sched_yield():
    """Let another thread of this core run."""
    return np.int64(_sched_yield())


@kernel
def clock_ns(scratch):
    """Nanoseconds since the epoch (UTC), without a system call. scratch: int64[2]."""
    _clock_gettime(CLOCK_REALTIME, address(scratch, 0))
    return scratch[0] * NS_PER_SECOND + scratch[1]


@kernel
def monotonic_ns(scratch):
    """Nanoseconds since the start of the machine, without a system call. scratch: int64[2]."""
    _clock_gettime(CLOCK_MONOTONIC, address(scratch, 0))
    return scratch[0] * NS_PER_SECOND + scratch[1]


@kernel
def monotonic_us():
    """Microseconds since the start of the machine, for those who have no memory to lend."""
    words = _stack_words()
    _clock_gettime(CLOCK_MONOTONIC, words)
    return _load_word(words) * 1_000_000 + _load_word(words + 8) // 1_000


@kernel
def barrier_everywhere():
    """A full barrier on every core that runs a registered process; 0, or -1 when there is none.

    The other side of a store-load race then needs no fence of its own (`host.register_barrier`).
    """
    return np.int64(_syscall(_SYS_MEMBARRIER, _MEMBARRIER_GLOBAL_EXPEDITED, 0, 0))


@kernel
def wait_readable(fd, timeout_us):
    """Sleep until `fd` can be read, at most `timeout_us`; 1 readable, 0 timeout, -1 error.

    A negative `fd` is never readable: this sleeps.
    """
    words = _stack_words()
    _set_word(words, (fd & 0xFFFF_FFFF) | _POLLIN_HIGH)
    _set_word(words + 8, timeout_us // 1_000_000)
    _set_word(words + 16, timeout_us % 1_000_000 * 1_000)
    return ppoll(words, 1, words + 8, 0)


@kernel
def event_signal(fd):
    """Add one to an eventfd; 8, or -1."""
    word = _stack_words()
    _set_word(word, 1)
    return write(fd, word, 8)


@kernel
def event_drain(fd):
    """Set a non-blocking eventfd back to zero; 8, or -1 when it was zero."""
    return read(fd, _stack_words(), 8)


@kernel
def mutex_trylock(mutex):
    """Error number of pthread_mutex_trylock; `mutex` is an address."""
    return np.int64(_mutex_trylock(mutex))


@kernel
def mutex_consistent(mutex):
    """Error number of pthread_mutex_consistent; `mutex` is an address."""
    return np.int64(_mutex_consistent(mutex))


@kernel
def mutex_unlock(mutex):
    """Error number of pthread_mutex_unlock; `mutex` is an address."""
    return np.int64(_mutex_unlock(mutex))
