"""Kernel: what a process does when there is nothing to do.

A policy of the process, not of the ring. SPIN never leaves the core; YIELD lets others run; PARK
spins briefly and then sleeps until somebody rings, or a short while (a dead writer rings no bell).

Each process has one byte of the doorbells (shared memory) that is 1 while it sleeps, and one
eventfd, made by the supervisor and inherited by all. Whoever publishes looks at the bytes and
rings for those who sleep. The race between "I sleep" and "I published":

    sleeper                                  publisher
    byte := 1                                published := position
    barrier on every core                    (compiler order only)
    look at the rings once more              look at the bytes
    sleep

Without the barrier both could miss the other's store. The sleeper pays for it (membarrier), the
publisher does not. Where the barrier is missing, the bound on the sleep is what closes the race.

    announce_sleep(doorbells, me)
    if nothing_to_do():
        sleep_on(fd, timeout_us)
    end_sleep(doorbells, me)
"""

from __future__ import annotations

from ringbuf.atomics import fence_acquire, fence_full, load_relaxed, pause, store_release
from ringbuf.bits import load_raw_8
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import PROCESS_LIMIT
from ringbuf.syscalls import (
    barrier_everywhere,
    event_drain,
    event_signal,
    sched_yield,
    wait_readable,
)

SPIN, YIELD, PARK = 0, 1, 2
POLICY_NAMES = ("spin", "yield", "park")

PAUSE_COUNT = 200  # idle passes before a yield or a park: some microseconds


@kernel
def ring_one(doorbells, fds, number):
    """Wake process `number` if it sleeps, after a publish that concerns it.

    doorbells: uint8[64], shared. fds: int64[64], private, eventfds by process, -1 = none.
    """
    fence_acquire()  # keeps the compiler from looking before it publishes
    if load_relaxed(doorbells, number) != 0:
        _ring(doorbells, fds, number)


@kernel
def ring_others(doorbells, fds, me):
    """Wake every process but `me` that sleeps, after a publish. One cache line is read."""
    fence_acquire()  # keeps the compiler from looking before it publishes
    asleep = load_raw_8(doorbells, 0) | load_raw_8(doorbells, 8)
    asleep |= load_raw_8(doorbells, 16) | load_raw_8(doorbells, 24)
    asleep |= load_raw_8(doorbells, 32) | load_raw_8(doorbells, 40)
    asleep |= load_raw_8(doorbells, 48) | load_raw_8(doorbells, 56)
    if asleep != 0:
        _ring_all(doorbells, fds, me)


@cold_kernel
def _ring(doorbells, fds, number):
    if fds[number] >= 0:
        event_signal(fds[number])


@cold_kernel
def _ring_all(doorbells, fds, me):
    for number in range(PROCESS_LIMIT):
        if number != me and load_relaxed(doorbells, number) != 0:
            _ring(doorbells, fds, number)


@kernel
def announce_sleep(doorbells, me):
    """Say that `me` is about to sleep. Look for work once more afterwards, then `sleep_on`."""
    store_release(doorbells, me, 1)
    if barrier_everywhere() != 0:
        fence_full()


@kernel
def end_sleep(doorbells, me):
    """Say that `me` is awake."""
    store_release(doorbells, me, 0)


@kernel
def sleep_on(fd, timeout_us):
    """Sleep until the eventfd `fd` is rung, at most `timeout_us`; 1 when it was rung."""
    if wait_readable(fd, timeout_us) <= 0:
        return 0
    event_drain(fd)
    return 1


@kernel
def idle(policy, idle_count):
    """Wait a moment after `idle_count` passes without work; 1 when it is time to park instead."""
    if policy == SPIN or idle_count < PAUSE_COUNT:
        pause()
        return 0
    if policy == YIELD:
        sched_yield()
        return 0
    return 1
