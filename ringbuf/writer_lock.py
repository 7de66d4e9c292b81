"""Kernel: the writer lock, a robust process-shared mutex, and the epoch it protects.

Whoever holds it is the only writer of a broadcast ring. When the thread that holds it dies, the
kernel of the operating system marks the lock word before it tears the address space down; the
others see that with one load in their polling loop, and exactly one of them takes it over.

The thread that will own the lock must take it itself: ownership belongs to a thread, not to a
process. A holder that unmaps the lock before it ends never releases it: unlock first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ringbuf._native import ffi, lib
from ringbuf.atomics import load_acquire, store_release
from ringbuf.bits import address
from ringbuf.errors import SegmentError, UsageError
from ringbuf.jit import kernel
from ringbuf.layout import EPOCH, WRITER_LOCK
from ringbuf.syscalls import (
    EBUSY,
    EOWNERDEAD,
    mutex_consistent,
    mutex_trylock,
    mutex_unlock,
)

ACQUIRED, BUSY, OWNER_DIED = 0, 1, 2
BROKEN = 3  # the C library refuses the lock for ever: it was never initialised, or is damaged

LOCK_WORD = WRITER_LOCK.offset_of("word") // 4
OWNER_DIED_BIT = 0x4000_0000  # FUTEX_OWNER_DIED
OWNER_MASK = 0x3FFF_FFFF  # FUTEX_TID_MASK


@kernel
def try_lock(lock):
    """Take the lock if it is free or its owner died: ACQUIRED, BUSY, OWNER_DIED or BROKEN.

    lock: int32[32]. OWNER_DIED means that we have it, and that it is consistent again.
    """
    error = mutex_trylock(address(lock, 0))
    if error == 0:
        return ACQUIRED
    if error == EBUSY:
        return BUSY
    if error == EOWNERDEAD and mutex_consistent(address(lock, 0)) == 0:
        return OWNER_DIED
    return BROKEN


@kernel
def unlock(lock):
    """Give the lock back: 0, or an error number when this thread does not hold it."""
    return mutex_unlock(address(lock, 0))


@kernel
def owner_died(lock):
    """1 when the thread that held the lock is dead and nobody took it over. One load."""
    if load_acquire(lock, LOCK_WORD) & OWNER_DIED_BIT:
        return 1
    return 0


@kernel
def owner(lock):
    """Thread id of the (living or dead) owner, or 0."""
    return load_acquire(lock, LOCK_WORD) & OWNER_MASK


@kernel
def epoch(words):
    """Number of the present reign. words: CONTROL_WORDS as int64[32]; acquire."""
    return load_acquire(words, EPOCH)


@kernel
def begin_reign(words):
    """Raise the epoch by one and return it. Holder of the lock only; release."""
    number = load_acquire(words, EPOCH) + 1
    store_release(words, EPOCH, number)
    return number


def initialise(lock: np.ndarray) -> None:
    """Make a new, free lock of int32[32]. Raises SegmentError while a living thread holds it."""
    if lock.dtype != np.int32 or lock.nbytes < WRITER_LOCK.size or not lock.flags.writeable:
        raise UsageError("a lock is a writable int32[32]")
    word = int(lock[LOCK_WORD])
    holder = word & OWNER_MASK
    if holder and not word & OWNER_DIED_BIT and Path(f"/proc/{holder}").exists():
        raise SegmentError(f"the writer lock is held by thread {holder}: stop it first")
    error = lib.ringbuf_lock_initialise(ffi.cast("void *", lock.ctypes.data))
    if error:
        raise SegmentError(f"the C library cannot make a robust lock: error {error}")
