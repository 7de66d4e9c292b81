"""Pump: the loop of a matcher, and of the standby that becomes one.

One compiled function runs for the life of the process: it applies events until the thread that
holds the writer lock dies, takes the lock, finishes the committed tail, and goes on with the next
command. Between two lives nothing is allocated, compiled or opened, and Python is not entered.

    stand_by  ->  take_over  ->  serve            (the first matcher finds the lock free)

Events of all commands that one poll gave are published by one store; `consumed` follows it.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.atomics import load_acquire, store_relaxed, store_release
from ringbuf.bits import at
from ringbuf.broadcast import Broadcast, claim, overwritten, publish, published
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import (
    PROCESS_EPOCH,
    PROCESS_HEARTBEAT,
    PROCESS_LOOPS,
    PROCESS_POSITION,
    PROCESS_WORK,
    STATE_NONE,
    STATE_READY,
    STOP,
)
from ringbuf.spsc import CONSUMED, PUBLISHED
from ringbuf.syscalls import clock_ns
from ringbuf.waiting import announce_sleep, end_sleep, idle, ring_others, sleep_on
from ringbuf.writer_lock import BROKEN, BUSY, begin_reign, owner_died, try_lock, unlock
from shm_exchange.emit import new_event
from shm_exchange.market import Market
from shm_exchange.matching import SWEEP_ROOM, match, resume
from shm_exchange.messages import COMMAND_NEXT_BITS, SOURCE_MATCHER, CommandKind, EventKind
from shm_exchange.replica import apply
from shm_exchange.wiring import ROLE_MATCHER, STOP_MATCHER

WORDS_PER_SOURCE = 32
BATCH_COMMANDS = 64  # commands of one source that one publish may cover
BATCH_EVENTS = 256  # events that a standby copies at a time
EVENTS_PER_PART_MAX = 4096  # a command that needs more goes on in the next part
SLEEP_US = 1000  # a sleep is bounded: a dead writer rings no bell
WRITER = 0  # process number of whoever is the matcher

# How the loop ends.
STOPPED, LAPPED, LOCK_BROKEN, LOCK_HELD = 0, 1, 2, 3

# Subscripts of Engine.settings.
SETTING_PROCESS = 0  # process number
SETTING_POLICY = 1
SETTING_FIRST = 2  # 1: take the lock if it is free (the first matcher), do not wait for a death
SETTING_STREAM_0 = 3  # name of the stream, should none have begun
SETTING_STREAM_1 = 4
SETTING_PID = 5
SETTING_COUNT = 8

EVENT_EPOCH = int(EventKind.EPOCH)
LIST = int(CommandKind.LIST)
INSTRUMENT_STATE = int(CommandKind.INSTRUMENT_STATE)
SYSTEM = int(CommandKind.SYSTEM)
SESSIONS = int(CommandKind.SESSIONS)
START_OF_MESSAGES, START_OF_SYSTEM, START_OF_MARKET = ord("O"), ord("S"), ord("Q")
OPEN = ord("T")


class Engine(NamedTuple):
    """Everything that the loop touches."""

    market: Market
    ring: Broadcast
    command_cursors: np.ndarray  # int64[32 * sources], SPSC_CURSORS of each
    commands: np.ndarray  # COMMAND[capacity * sources]
    lock: np.ndarray  # int32[32]
    doorbells: np.ndarray  # uint8[64]
    words: np.ndarray  # int64[32], CONTROL_WORDS
    processes: np.ndarray  # PROCESS[64]
    process_words: np.ndarray  # int64[32 * 64], the same bytes
    bells: np.ndarray  # int64[64], eventfds by process, private
    settings: np.ndarray  # int64[8], private
    clock: np.ndarray  # int64[2], private scratch
    own: np.ndarray  # COMMAND[1], private scratch
    copied: np.ndarray  # EVENT[256], private scratch


@kernel
def part_limit(ring, position):
    """Where the events of a command that starts at `position` must pause."""
    return position + min(EVENTS_PER_PART_MAX, len(ring.records) // 8) - SWEEP_ROOM


@kernel
def has_room(ring, position):
    """1 when a whole part may be written from `position` on; claims it."""
    return claim(ring, position, min(EVENTS_PER_PART_MAX, len(ring.records) // 8))


@kernel
def _now(engine):
    """A stamp: the clock, but never below the last stamp."""
    return max(np.int64(engine.market.scalars[0]["stamp_ns"]), clock_ns(engine.clock))


@kernel
def _publish(engine, position):
    publish(engine.ring, position)
    ring_others(engine.doorbells, engine.bells, WRITER)


@cold_kernel
def _finish(engine):
    """Go on with a command that was too large for a part, until it is finished or has no room."""
    scalars = engine.market.scalars[0]
    while scalars["continuing"] != 0:
        position = np.int64(scalars["position"])
        if not has_room(engine.ring, position):
            return
        limit = part_limit(engine.ring, position)
        position = resume(engine.market, engine.ring, position, limit)
        scalars["position"] = position
        _publish(engine, position)


@kernel
def _poll(engine, source):
    """Match up to BATCH_COMMANDS commands of one source and publish once; return how many."""
    market = engine.market
    scalars = market.scalars[0]
    cursors = engine.command_cursors
    base = source * WORDS_PER_SOURCE
    command_next = np.int64(market.gateways[at(source)]["command_next"])
    ready = load_acquire(cursors, base + PUBLISHED) - command_next
    if ready <= 0:
        return 0
    capacity = len(engine.commands) // (len(cursors) // WORDS_PER_SOURCE)
    stamp = _now(engine)
    position = np.int64(scalars["position"])
    begin = position
    done = 0
    while done < BATCH_COMMANDS and ready > 0:
        if not has_room(engine.ring, position):
            break
        index = source * capacity + (command_next & (capacity - 1))
        records = 1 + np.int64(engine.commands[at(index)]["continuations"])
        if records > ready:
            break  # its producer publishes a command whole or not at all
        command_next += records
        ready -= records
        limit = part_limit(engine.ring, position)
        position = match(
            market,
            engine.commands,
            index,
            source,
            command_next,
            stamp,
            engine.ring,
            position,
            limit,
        )
        done += 1
        if scalars["continuing"] != 0:
            break
    if position != begin:
        _publish(engine, position)
        if scalars["continuing"] != 0:
            _finish(engine)
        store_release(cursors, base + CONSUMED, command_next)
    return done


@kernel
def step(engine):
    """One pass over all sources; return the number of commands done."""
    if engine.market.scalars[0]["continuing"] != 0:
        _finish(engine)
        if engine.market.scalars[0]["continuing"] != 0:
            return 0  # the recorder is behind; no other command may come between
    done = 0
    for source in range(1, len(engine.command_cursors) // WORDS_PER_SOURCE):
        done += _poll(engine, source)
    return done


@kernel
def _beat(engine, number, loops, work):
    """Store what the process says of itself."""
    words = engine.process_words
    base = number * WORDS_PER_SOURCE
    store_relaxed(words, base + PROCESS_HEARTBEAT, clock_ns(engine.clock))
    store_relaxed(words, base + PROCESS_POSITION, np.int64(engine.market.scalars[0]["position"]))
    store_relaxed(words, base + PROCESS_EPOCH, np.int64(engine.market.scalars[0]["epoch"]))
    store_relaxed(words, base + PROCESS_LOOPS, loops)
    store_relaxed(words, base + PROCESS_WORK, work)


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
def serve(engine):
    """Be the matcher until the stop word is set and every command is done. Holder of the lock."""
    policy = engine.settings[SETTING_POLICY]
    loops = work = idle_count = 0
    while True:
        stopping = load_acquire(engine.words, STOP) >= STOP_MATCHER
        done = step(engine)
        loops += 1
        work += done
        if done:
            idle_count = 0
        elif stopping and _nothing_published(engine):
            return STOPPED
        else:
            idle_count += 1
        if done or idle_count & 255 == 1:
            _beat(engine, WRITER, loops, work)
        if not done and idle(policy, idle_count):
            _park_writer(engine)
            _beat(engine, WRITER, loops, work)


@cold_kernel
def _execute_own(engine):
    """Match `engine.own[0]` as a command of the matcher itself and publish its events."""
    market = engine.market
    scalars = market.scalars[0]
    position = np.int64(scalars["position"])
    if not has_room(engine.ring, position):
        return
    command_next = np.int64(market.gateways[at(SOURCE_MATCHER)]["command_next"]) + 1
    limit = part_limit(engine.ring, position)
    position = match(
        market,
        engine.own,
        0,
        SOURCE_MATCHER,
        command_next,
        _now(engine),
        engine.ring,
        position,
        limit,
    )
    _publish(engine, position)


@cold_kernel
def _say_system(engine, code):
    own = engine.own[0]
    own["kind"] = SYSTEM
    own["reason"] = code
    _execute_own(engine)


@cold_kernel
def open_streams(engine):
    """Begin the streams: system events, instruments and sessions that were not known before."""
    scalars = engine.market.scalars[0]
    own = engine.own[0]
    first = scalars["stream_0"] == 0
    own["client_order_id_0"] = 0
    own["client_order_id_1"] = 0
    if first:
        own["client_order_id_0"] = engine.settings[SETTING_STREAM_0]
        own["client_order_id_1"] = engine.settings[SETTING_STREAM_1]
        _say_system(engine, START_OF_MESSAGES)
        own["client_order_id_0"] = 0
    listed = np.int64(scalars["instruments_listed"])
    for pass_kind in range(2):
        for instrument in range(listed, len(engine.market.instruments)):
            own["kind"] = LIST if pass_kind == 0 else INSTRUMENT_STATE
            own["instrument"] = instrument
            own["reason"] = OPEN
            own["firm"] = 0
            _execute_own(engine)
    if first:
        _say_system(engine, START_OF_SYSTEM)
        _say_system(engine, START_OF_MARKET)
    known = np.int64(scalars["sessions_known"])
    if known < len(engine.market.sessions):
        own["kind"] = SESSIONS
        own["session"] = known
        own["quantity"] = len(engine.market.sessions) - known
        _execute_own(engine)


@cold_kernel
def take_over(engine):
    """Become the matcher: the lock is ours, the old writer is dead or there was none."""
    market = engine.market
    scalars = market.scalars[0]
    end = published(engine.ring)
    mask = len(engine.ring.records) - 1
    while scalars["position"] < end:  # nobody writes: what is committed is intact
        position = np.int64(scalars["position"])
        apply(market, engine.ring.records, position & mask, position)
    for source in range(len(engine.command_cursors) // WORDS_PER_SOURCE):
        done = np.int64(market.gateways[at(source)]["command_next"])
        store_release(engine.command_cursors, source * WORDS_PER_SOURCE + CONSUMED, done)
    epoch = begin_reign(engine.words)
    scalars["epoch"] = epoch
    position = np.int64(scalars["position"])
    if has_room(engine.ring, position):
        command_next = np.int64(market.gateways[at(SOURCE_MATCHER)]["command_next"])
        source_next = (SOURCE_MATCHER << COMMAND_NEXT_BITS) | command_next
        scalars["stamp_ns"] = _now(engine)
        event = new_event(market, engine.ring, position, EVENT_EPOCH, source_next)
        event["epoch"] = epoch
        event["process"] = engine.settings[SETTING_PID]
        scalars["position"] = position + 1
        _publish(engine, position + 1)
    me = engine.settings[SETTING_PROCESS]
    if me != WRITER:
        engine.processes[WRITER] = engine.processes[at(me)]
        engine.processes[WRITER]["role"] = ROLE_MATCHER
        engine.processes[at(me)]["state"] = STATE_NONE
        engine.processes[at(me)]["pid"] = 0
        end_sleep(engine.doorbells, me)
    _finish(engine)


@kernel
def _follow(engine):
    """Apply what is published, a copied batch at a time: count of events, or -1 when lapped."""
    market = engine.market
    ring = engine.ring
    position = np.int64(market.scalars[0]["position"])
    count = min(published(ring) - position, BATCH_EVENTS)
    if count <= 0:
        return 0
    mask = len(ring.records) - 1
    for offset in range(count):
        engine.copied[at(offset)] = ring.records[at((position + offset) & mask)]
    if overwritten(ring, position):
        return -1
    for offset in range(count):
        apply(market, engine.copied, offset, position + offset)
    return count


@cold_kernel
def _park_standby(engine, me):
    announce_sleep(engine.doorbells, me)
    caught_up = published(engine.ring) == engine.market.scalars[0]["position"]
    stopping = load_acquire(engine.words, STOP) >= STOP_MATCHER
    if caught_up and not owner_died(engine.lock) and not stopping:
        sleep_on(engine.bells[me], SLEEP_US)
    end_sleep(engine.doorbells, me)


@cold_kernel
def stand_by(engine):
    """Follow until the lock is ours: BUSY never, STOPPED, LAPPED, LOCK_BROKEN, or -1: it is."""
    me = engine.settings[SETTING_PROCESS]
    policy = engine.settings[SETTING_POLICY]
    first = engine.settings[SETTING_FIRST] != 0
    loops = work = idle_count = 0
    while True:
        count = _follow(engine)
        if count < 0:
            return LAPPED
        loops += 1
        work += count
        if count:
            idle_count = 0
        else:
            if first or owner_died(engine.lock):
                code = try_lock(engine.lock)
                if code == BROKEN:
                    return LOCK_BROKEN
                if code != BUSY:
                    return -1
                if first:
                    return LOCK_HELD
            if load_acquire(engine.words, STOP) >= STOP_MATCHER:
                return STOPPED
            idle_count += 1
        if idle_count & 255 == 1:
            _beat(engine, me, loops, work)
        if not count and idle(policy, idle_count):
            _park_standby(engine, me)
            _beat(engine, me, loops, work)


@cold_kernel
def run(engine):
    """Stand by, take over, serve; return how it ended. Runs in the thread that owns the lock."""
    code = stand_by(engine)
    if code >= 0:
        return code
    take_over(engine)
    open_streams(engine)
    engine.processes[WRITER]["state"] = STATE_READY
    code = serve(engine)
    unlock(engine.lock)
    return code
