"""Pump: one pass of a matcher: poll every source's commands in turn, match, publish.

Events of all commands that one poll gave are published by one store; `consumed` follows it. A
command that needs more room than a part goes on in the next part, before any other command.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.atomics import load_acquire, store_relaxed, store_release
from ringbuf.bits import at
from ringbuf.broadcast import Broadcast, claim, publish
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import ATTEMPTING
from ringbuf.spsc import CONSUMED, PUBLISHED
from ringbuf.state import State
from ringbuf.syscalls import clock_ns
from ringbuf.waiting import ring_others
from shm_exchange.attestation import attestation
from shm_exchange.emit import new_event
from shm_exchange.expiry import expiry_is_due
from shm_exchange.fetching import COMMANDS_AHEAD, fetch_event, fetch_order
from shm_exchange.groups import records_of
from shm_exchange.market import STAGE_NONE, Market
from shm_exchange.matching import SWEEP_ROOM, match, note_progress
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    COMMAND_NEXT_MASK,
    SOURCE_MATCHER,
    EventKind,
)
from shm_exchange.order_terms import expire_next
from shm_exchange.poison import refuse_poisoned
from shm_exchange.sweep import resume

WORDS_PER_SOURCE = 32  # of SPSC_CURSORS, and of a PROCESS line
BATCH_COMMANDS = 64  # commands of one source that one publish may cover
BATCH_EVENTS = 256  # events that a standby copies at a time
EVENTS_PER_PART_MAX = 4096  # a command that needs more goes on in the next part
WRITER = 0  # process number of whoever is the matcher
ATTEST_EVERY = 1 << 16  # events between two state hashes
EVENT_ATTESTED = int(EventKind.ATTESTED)

# Subscripts of Engine.settings.
SETTING_PROCESS = 0  # process number
SETTING_POLICY = 1
SETTING_FIRST = 2  # 1: take the lock if it is free (the first matcher), do not wait for a death
SETTING_ENGINE = 3  # number of the engine
SETTING_PID = 4
SETTING_POISON = 5  # the command that has ended two matchers, as `attempting` named it, or 0
SETTING_BLIND = 6  # 1: refusing it ended a third
SETTING_KEEPS_LINE = 7  # 1: a gateway's thread, whose process goes on under its own number
SETTING_FRESH = 8  # 1: its reign is the first over this shared memory, and has just begun
SETTING_SUSPECT = 9  # the command that ended the last writer, while it is still to come, or 0
SETTING_COUNT = 10


@State.register
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
    settings: np.ndarray  # int64[11], private
    patience: np.ndarray  # int64[2], private: of `ringbuf.waiting.idle`
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
def stamp_now(engine):
    """A stamp: the clock, but never below the last stamp."""
    return max(np.int64(engine.market.scalars[0]["stamp_ns"]), clock_ns(engine.clock))


@kernel
def publish_events(engine, position):
    """Commit every event below `position` by one store, and wake whoever sleeps."""
    publish(engine.ring, position)
    ring_others(engine.doorbells, engine.bells, WRITER)


@cold_kernel
def finish_command(engine):
    """Go on with a command that was too large for a part, until it is finished or has no room."""
    scalars = engine.market.scalars[0]
    while scalars["continuing_kind"] != 0:
        store_relaxed(engine.words, ATTEMPTING, np.int64(scalars["continuing_next"]))
        position = np.int64(scalars["position"])
        if not has_room(engine.ring, position):
            return
        limit = part_limit(engine.ring, position)
        position = resume(engine.market, engine.ring, position, limit)
        scalars["position"] = position
        publish_events(engine, position)


@cold_kernel
def attest(engine):
    """Publish the state hash between two commands, when there is room."""
    market = engine.market
    scalars = market.scalars[0]
    position = np.int64(scalars["position"])
    if not has_room(engine.ring, position):
        return
    source_next = (SOURCE_MATCHER << COMMAND_NEXT_BITS) | np.int64(
        market.gateways[at(SOURCE_MATCHER)]["command_next"]
    )
    event = new_event(market, engine.ring, position, EVENT_ATTESTED, source_next)
    event["epoch"] = attestation(market)
    scalars["position"] = position + 1
    scalars["attested"] = position + 1
    publish_events(engine, position + 1)


@cold_kernel
def end_what_is_due(engine, now_ns):
    """End every order whose time has come by `now_ns`; 0 when there is no room for it yet."""
    market = engine.market
    begin = position = np.int64(market.scalars[0]["position"])
    room = 1
    while expiry_is_due(market, now_ns):
        if position - begin == BATCH_EVENTS:
            publish_events(engine, position)
            begin = position
        room = has_room(engine.ring, position)
        if not room:
            break
        attempt = np.int64(market.gateways[at(SOURCE_MATCHER)]["command_next"]) + 1
        store_relaxed(engine.words, ATTEMPTING, (SOURCE_MATCHER << COMMAND_NEXT_BITS) | attempt)
        position = expire_next(market, now_ns, engine.ring, position)
    if position != begin:
        publish_events(engine, position)
    return room


@cold_kernel
def _refuse(engine, index, source, command_next, stamp_ns, position):
    blind = engine.settings[SETTING_BLIND]
    market, ring = engine.market, engine.ring
    return refuse_poisoned(
        market, engine.commands, index, source, command_next, stamp_ns, ring, position, blind
    )


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
    stamp = stamp_now(engine)
    if expiry_is_due(market, stamp) and not end_what_is_due(engine, stamp):
        return 0
    position = np.int64(scalars["position"])
    begin = position
    poison = engine.settings[SETTING_POISON]
    done = 0
    while done < BATCH_COMMANDS and ready > 0:
        if not has_room(engine.ring, position):
            break
        index = source * capacity + (command_next & (capacity - 1))
        records = records_of(engine.commands, index)
        if records > ready:
            break  # its producer publishes a command whole or not at all
        follower = source * capacity + ((command_next + 1) & (capacity - 1))
        if ready > COMMANDS_AHEAD:
            ahead = (command_next + COMMANDS_AHEAD) & (capacity - 1)
            fetch_order(market, engine.commands, source * capacity + ahead)
        fetch_event(engine.ring, position)
        command_next += records
        ready -= records
        attempt = (source << COMMAND_NEXT_BITS) | command_next
        store_relaxed(engine.words, ATTEMPTING, attempt)  # our death would be charged to it
        done += 1
        if attempt == poison:
            position = _refuse(engine, index, source, command_next, stamp, position)
            break  # committed before another is tried: that one's strikes would hide this one's
        limit = part_limit(engine.ring, position)
        position = match(
            market,
            engine.commands,
            index,
            source,
            command_next,
            follower,
            stamp,
            engine.ring,
            position,
            limit,
        )
        if scalars["continuing_kind"] != 0:
            break
    if position != begin:
        note_progress(market, source, command_next, position)
        publish_events(engine, position)
        if scalars["continuing_kind"] != 0:
            finish_command(engine)
        store_release(cursors, base + CONSUMED, command_next)
    return done


@cold_kernel
def _look_for_suspect(engine, suspect):
    """Poll the other sources again once the command that ended the last writer is done with."""
    gateway = engine.market.gateways[at(suspect >> COMMAND_NEXT_BITS)]
    if gateway["command_next"] >= suspect & COMMAND_NEXT_MASK:
        engine.settings[SETTING_SUSPECT] = 0


@kernel
def step(engine):
    """One pass over all sources; return the number of commands done."""
    if engine.market.scalars[0]["continuing_kind"] != 0:
        finish_command(engine)
        if engine.market.scalars[0]["continuing_kind"] != 0:
            return 0  # the recorder is behind; no other command may come between
        if engine.market.scalars[0]["stage"] == STAGE_NONE:
            return 0
    done = 0
    if engine.market.scalars[0]["expiries"] != 0:
        before = np.int64(engine.market.scalars[0]["expiries"])
        end_what_is_due(engine, stamp_now(engine))
        done = before - np.int64(engine.market.scalars[0]["expiries"])
    suspect = engine.settings[SETTING_SUSPECT]
    for source in range(1, len(engine.command_cursors) // WORDS_PER_SOURCE):
        if suspect == 0 or source == suspect >> COMMAND_NEXT_BITS:
            done += _poll(engine, source)
            if engine.market.scalars[0]["stage"] == STAGE_NONE:
                return done  # the day has rolled: nothing comes before the new streams
    if suspect != 0:
        _look_for_suspect(engine, suspect)
    scalars = engine.market.scalars[0]
    if scalars["position"] - scalars["attested"] >= ATTEST_EVERY and not scalars["continuing_kind"]:
        attest(engine)
    return done
