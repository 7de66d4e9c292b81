"""Pump: the life of a matcher's process, and of a standby's that becomes one, in one compiled call.

    stand_by  ->  take_over  ->  serve            (the first matcher finds the lock free)

It applies events until the thread that holds the writer lock dies, or hands over, takes the lock,
finishes the committed tail, and goes on with the next command. On the way nothing is allocated,
compiled or opened, and Python is not entered.
"""

import numpy as np

from ringbuf.atomics import load_acquire, store_relaxed
from ringbuf.bits import at
from ringbuf.broadcast import TORN, published, read_batch
from ringbuf.counters import beat
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import (
    ENDED,
    EPOCH,
    HANDOVER,
    PROCESS_ATTESTED,
    PROCESS_DIFFERS,
    PROCESS_EPOCH,
    STATE_READY,
    STATE_STOPPED,
    STOP,
)
from ringbuf.spsc import PUBLISHED
from ringbuf.syscalls import clock_ns
from ringbuf.waiting import announce_sleep, end_sleep, idle, ring_others, sleep_on
from ringbuf.writer_lock import BROKEN, BUSY, owner_died, try_lock, unlock
from shm_exchange.engine import (
    BATCH_EVENTS,
    SETTING_FIRST,
    SETTING_POLICY,
    SETTING_PROCESS,
    WORDS_PER_SOURCE,
    WRITER,
    attest,
    step,
)
from shm_exchange.groups import whole_groups
from shm_exchange.market import STAGE_NONE
from shm_exchange.reign import open_streams, take_over
from shm_exchange.replica import apply
from shm_exchange.wiring import STOP_MATCHER

SLEEP_US = 1000  # a sleep is bounded: a dead writer rings no bell
QUIET_NS = 100_000_000  # after so long without work the matcher says its state hash

# How it ends.
OURS = -1  # of `stand_by`: the lock is ours
STOPPED, LAPPED, LOCK_BROKEN, LOCK_HELD, HANDED_OVER, DIFFERS = range(6)


@kernel
def _beat(engine, number, loops, work):
    """Store what the process says of itself; return the time."""
    words = engine.process_words
    base = number * WORDS_PER_SOURCE
    scalars = engine.market.scalars[0]
    now_ns = clock_ns(engine.clock)
    beat(words, base, now_ns, np.int64(scalars["position"]), loops, work)
    store_relaxed(words, base + PROCESS_EPOCH, np.int64(scalars["epoch"]))
    store_relaxed(words, base + PROCESS_ATTESTED, np.int64(scalars["attested"]))
    store_relaxed(words, base + PROCESS_DIFFERS, np.int64(scalars["differs"]))
    return now_ns


@cold_kernel
def _nothing_published(engine):
    """1 when no source has a command that is not done."""
    for source in range(1, len(engine.command_cursors) // WORDS_PER_SOURCE):
        base = source * WORDS_PER_SOURCE
        done = np.int64(engine.market.gateways[at(source)]["command_next"])
        if load_acquire(engine.command_cursors, base + PUBLISHED) > done:
            return 0
    return 1


@cold_kernel
def _park_writer(engine):
    announce_sleep(engine.doorbells, WRITER)
    if _nothing_published(engine) and load_acquire(engine.words, STOP) < STOP_MATCHER:
        sleep_on(engine.bells[WRITER], SLEEP_US)
    end_sleep(engine.doorbells, WRITER)


@cold_kernel
def _rest(engine, loops, work, worked_ns):
    """What a matcher does now and then while there is nothing to do, since `worked_ns`."""
    now_ns = _beat(engine, WRITER, loops, work)
    scalars = engine.market.scalars[0]
    is_between = scalars["continuing_kind"] == 0
    if is_between and now_ns - worked_ns > QUIET_NS and scalars["position"] != scalars["attested"]:
        attest(engine)


@cold_kernel
def serve(engine):
    """Be the matcher until the stop word is set and every command is done, or to the handover.

    Holder of the lock. Returns STOPPED or HANDED_OVER.
    """
    policy = engine.settings[SETTING_POLICY]
    reign = load_acquire(engine.words, EPOCH)
    worked_ns = clock_ns(engine.clock)
    loops = work = idle_count = 0
    while True:
        stopping = load_acquire(engine.words, STOP) >= STOP_MATCHER
        ending = load_acquire(engine.words, HANDOVER) == reign
        if ending and engine.market.scalars[0]["continuing_kind"] == 0:
            store_relaxed(engine.words, ENDED, clock_ns(engine.clock))
            return HANDED_OVER
        done = step(engine)
        if engine.market.scalars[0]["stage"] == STAGE_NONE:
            open_streams(engine)
        loops += 1
        work += done
        if done:
            idle_count = 0
        elif stopping and _nothing_published(engine):
            return STOPPED
        else:
            idle_count += 1
        if done:
            worked_ns = _beat(engine, WRITER, loops, work)
        elif loops & 255 == 1:
            _rest(engine, loops, work, worked_ns)
        if not done and idle(policy, idle_count, engine.patience):
            _park_writer(engine)
            _rest(engine, loops, work, worked_ns)


@kernel
def _follow(engine):
    """Apply what is published, a copied batch at a time: count of events, or TORN."""
    market = engine.market
    position = np.int64(market.scalars[0]["position"])
    count = read_batch(engine.ring, position, BATCH_EVENTS, engine.copied)
    if count > 0:
        count = whole_groups(engine.copied, count)
    for offset in range(count):
        apply(market, engine.copied, offset, position + offset)
    return count


@kernel
def _is_vacant(engine):
    """1 when the writer is dead, or is told to hand over: the lock is to be tried."""
    if owner_died(engine.lock):
        return 1
    reign = load_acquire(engine.words, HANDOVER)
    return 1 if reign != 0 and reign == load_acquire(engine.words, EPOCH) else 0


@cold_kernel
def _park_standby(engine, me):
    announce_sleep(engine.doorbells, me)
    caught_up = published(engine.ring) == engine.market.scalars[0]["position"]
    stopping = load_acquire(engine.words, STOP) >= STOP_MATCHER
    if caught_up and not _is_vacant(engine) and not stopping:
        sleep_on(engine.bells[me], SLEEP_US)
    end_sleep(engine.doorbells, me)


@cold_kernel
def stand_by(engine):
    """Follow until the lock is ours (OURS); or STOPPED, LAPPED, DIFFERS, LOCK_BROKEN, LOCK_HELD."""
    me = engine.settings[SETTING_PROCESS]
    policy = engine.settings[SETTING_POLICY]
    first = engine.settings[SETTING_FIRST] != 0
    loops = work = idle_count = 0
    while True:
        count = _follow(engine)
        if count == TORN:
            return LAPPED
        if engine.market.scalars[0]["differs"] != 0:
            _beat(engine, me, loops, work)
            return DIFFERS
        loops += 1
        work += count
        if count:
            idle_count = 0
        else:
            if first or _is_vacant(engine):
                code = try_lock(engine.lock)
                if code == BROKEN:
                    return LOCK_BROKEN
                if code != BUSY:
                    return OURS
                if first:
                    return LOCK_HELD
            if load_acquire(engine.words, STOP) >= STOP_MATCHER:
                return STOPPED
            idle_count += 1
        if loops & 255 == 1 and not first:  # who is first speaks when it is the matcher
            _beat(engine, me, loops, work)
        if not count and idle(policy, idle_count, engine.patience):
            _park_standby(engine, me)
            _beat(engine, me, loops, work)


@cold_kernel
def run(engine):
    """Stand by, take over, serve; return how it ended. Runs in the thread that owns the lock."""
    code = stand_by(engine)
    if code != OURS:
        return code
    take_over(engine)
    open_streams(engine)
    engine.processes[WRITER]["state"] = STATE_READY
    code = serve(engine)
    engine.processes[WRITER]["state"] = STATE_STOPPED
    unlock(engine.lock)
    ring_others(engine.doorbells, engine.bells, WRITER)
    return code
