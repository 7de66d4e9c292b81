"""Kernel: what a process does when there is nothing to do.

A policy of the process, not of the ring. SPIN never leaves the core; YIELD lets others run at once;
PARK does so briefly and then sleeps until somebody rings, or a short while (a dead writer rings no
bell).

Where there are fewer cores than processes, the one that we wait for may be waiting for our core: so
PARK, too, offers it while it looks. Beside somebody who never sleeps that is dear, since he has the
core for all of his slice, milliseconds; a yield that took that long is the last one for a while.

Each process has one byte of the doorbells (shared memory) that is odd while it sleeps, and one
eventfd, made by the supervisor and inherited by all. Whoever publishes looks at the bytes and
rings for those who sleep. The race between "I sleep" and "I published":

    sleeper                                  publisher
    byte := next odd number                  published := position
    barrier on every core                    (compiler order only)
    look at the rings once more              look at the bytes
    sleep

Without the barrier both could miss the other's store. The sleeper pays for it (membarrier), the
publisher does not. Where the barrier is missing, the bound on the sleep is what closes the race.

A sleeper that was rung may wait long for a core. So that a publisher does not ring it with every
record until then, it remembers, in the upper bits of its private `fds`, which sleep it rang and
when, and is silent for RING_AGAIN_US. (In that time a byte cannot come round to the same sleep
again: each takes a system call and two barriers.)

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
    monotonic_us,
    sched_yield,
    wait_readable,
)

SPIN, YIELD, PARK = 0, 1, 2
POLICY_NAMES = ("spin", "yield", "park")

PAUSE_COUNT = 1000  # idle looks at a ring before a park: about as long as waking up takes
YIELD_LONG_US = 2_000  # a yield of this length: somebody there does not sleep (a tick is 4 ms)
KEEP_MIN_US, KEEP_MAX_US = 10_000, 10_000_000  # how long none is tried after that
KEEP_AGAIN = 10  # within so many times the last such time it is doubled
UNTIL, KEPT = 0, 1  # subscripts of `patience`: when the next yield is due, the last such time
LOOKS_PER_YIELD = 8  # a yield is a system call even if nobody else wants the core
LOOKS_PER_PASS = 40  # what a pass of system calls counts as
RING_AGAIN_US = 200  # a sleeper that was rung is left alone for so long

# An entry of `fds`: the eventfd, above it the sleep that was rung last, above it when.
BELL_MASK = (1 << 24) - 1
SLEEP_SHIFT, BYTE_MASK = 24, 0xFF
RUNG_SHIFT, RUNG_MASK = 32, (1 << 31) - 1
ODD_BYTES = 0x0101_0101_0101_0101


@kernel
def ring_one(doorbells, fds, number):
    """Wake process `number` if it sleeps, after a publish that concerns it.

    doorbells: uint8[64], shared. fds: int64[64], private to this thread: eventfds by process in
    the lower bits (`bell_of`), -1 = none.
    """
    fence_acquire()  # keeps the compiler from looking before it publishes
    if load_relaxed(doorbells, number) & 1 != 0:
        _ring(doorbells, fds, number, monotonic_us())


@kernel
def ring_others(doorbells, fds, me):
    """Wake every process but `me` that sleeps, after a publish. One cache line is read."""
    fence_acquire()  # keeps the compiler from looking before it publishes
    asleep = load_raw_8(doorbells, 0) | load_raw_8(doorbells, 8)
    asleep |= load_raw_8(doorbells, 16) | load_raw_8(doorbells, 24)
    asleep |= load_raw_8(doorbells, 32) | load_raw_8(doorbells, 40)
    asleep |= load_raw_8(doorbells, 48) | load_raw_8(doorbells, 56)
    if asleep & ODD_BYTES != 0:
        _ring_all(doorbells, fds, me)


@cold_kernel
def _ring(doorbells, fds, number, now_us):
    """Ring for the present sleep of `number`, unless we just did."""
    sleep = load_relaxed(doorbells, number) & BYTE_MASK
    bell = fds[number]
    if bell < 0 or sleep & 1 == 0:
        return
    rung_us = bell >> RUNG_SHIFT
    silent = (now_us - rung_us) & RUNG_MASK < RING_AGAIN_US
    if silent and (bell >> SLEEP_SHIFT) & BYTE_MASK == sleep:
        return
    fds[number] = bell_of(bell) | sleep << SLEEP_SHIFT | (now_us & RUNG_MASK) << RUNG_SHIFT
    event_signal(bell_of(bell))


@cold_kernel
def _ring_all(doorbells, fds, me):
    now_us = monotonic_us()
    for number in range(PROCESS_LIMIT):
        if number != me and load_relaxed(doorbells, number) & 1 != 0:
            _ring(doorbells, fds, number, now_us)


@kernel
def bell_of(entry):
    """The eventfd of an entry of `fds`, or -1."""
    if entry < 0:
        return -1
    return entry & BELL_MASK


@kernel
def announce_sleep(doorbells, me):
    """Say that `me` is about to sleep. Look for work once more afterwards, then `sleep_on`."""
    store_release(doorbells, me, ((load_relaxed(doorbells, me) + 1) | 1) & BYTE_MASK)
    if barrier_everywhere() != 0:
        fence_full()


@kernel
def end_sleep(doorbells, me):
    """Say that `me` is awake. Look for work before the next sleep is announced."""
    store_release(doorbells, me, (load_relaxed(doorbells, me) + 1) & ~1 & BYTE_MASK)


@kernel
def sleep_on(bell, timeout_us):
    """Sleep until the bell (an entry of `fds`) is rung, at most `timeout_us`; 1 when rung."""
    fd = bell_of(bell)
    if wait_readable(fd, timeout_us) <= 0:
        return 0
    event_drain(fd)
    return 1


@kernel
def _offer_core(patience):
    """Let somebody else run, unless that took long lately."""
    now_us = monotonic_us()
    if now_us < patience[UNTIL]:
        pause()
        return
    sched_yield()
    after_us = monotonic_us()
    if after_us - now_us < YIELD_LONG_US:
        return
    # Again soon after the last time: he is still there. Else it may have been the host's doing.
    is_again = now_us - patience[UNTIL] < KEEP_AGAIN * patience[KEPT]
    patience[KEPT] = min(2 * patience[KEPT], KEEP_MAX_US) if is_again else KEEP_MIN_US
    patience[UNTIL] = after_us + patience[KEPT]


@kernel
def idle(policy, idle_count, patience):
    """Wait a moment after `idle_count` looks without work; 1 when it is time to park instead.

    A pass that makes system calls takes much longer than a look: it counts as LOOKS_PER_PASS.
    patience: int64[2], private to this thread: until when PARK keeps its core, and how long, us.
    """
    if policy == PARK and idle_count >= PAUSE_COUNT:
        return 1
    if policy == SPIN or idle_count % LOOKS_PER_YIELD != 0:
        pause()
    elif policy == YIELD:
        sched_yield()
    else:
        _offer_core(patience)
    return 0


@kernel
def give_way(policy):
    """Under YIELD, let somebody else run now: he was answered, and may be waiting for this core."""
    if policy == YIELD:
        sched_yield()
