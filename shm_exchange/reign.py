"""Pump: how a reign begins: the committed tail, the epoch, and streams that are new.

The lock is held. Nothing here allocates or calls what could wait, save for room in the ring, which
the recorder makes.
"""

import numpy as np

from ringbuf.atomics import load_acquire, load_relaxed, store_release
from ringbuf.bits import at
from ringbuf.broadcast import published
from ringbuf.counters import add
from ringbuf.jit import cold_kernel
from ringbuf.layout import (
    ATTEMPTING,
    BEGIN_ANEW,
    CRASHED,
    EPOCH,
    PROCESS_CONDEMNED,
    PROCESS_LIMIT,
    PROCESS_LOOPS,
    PROCESS_WORDS,
    STATE_NONE,
    STOP,
    STRIKES,
    STRIKES_BITS,
    STRIKES_MASK,
    SUSPECT,
)
from ringbuf.spsc import CONSUMED
from ringbuf.syscalls import sched_yield
from ringbuf.waiting import end_sleep
from ringbuf.writer_lock import begin_reign
from shm_exchange.beginning import (
    START_OF_MARKET,
    START_OF_MESSAGES,
    START_OF_SYSTEM,
    name_stream,
)
from shm_exchange.emit import new_event
from shm_exchange.engine import (
    SETTING_BLIND,
    SETTING_ENGINE,
    SETTING_FRESH,
    SETTING_KEEPS_LINE,
    SETTING_PID,
    SETTING_POISON,
    SETTING_PROCESS,
    SETTING_SUSPECT,
    WORDS_PER_SOURCE,
    WRITER,
    finish_command,
    has_room,
    part_limit,
    publish_events,
    stamp_now,
)
from shm_exchange.firms import is_first_of_firm
from shm_exchange.market import STAGE_MARKET, STAGE_MESSAGES, STAGE_SYSTEM
from shm_exchange.matching import match, note_progress
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    SOURCE_MATCHER,
    CommandKind,
    EventKind,
)
from shm_exchange.replica import apply
from shm_exchange.sweep import give_up
from shm_exchange.wiring import ROLE_MATCHER, STOP_RECORDER

EVENT_EPOCH = int(EventKind.EPOCH)
LIST = int(CommandKind.LIST)
INSTRUMENT_STATE = int(CommandKind.INSTRUMENT_STATE)
SYSTEM = int(CommandKind.SYSTEM)
SESSIONS = int(CommandKind.SESSIONS)
PARTICIPANT = int(CommandKind.PARTICIPANT)
GATEWAY_DIED = int(CommandKind.GATEWAY_DIED)
STRIKES_MAX = 2  # so many matchers may a command end
ROLL = int(CommandKind.ROLL)


@cold_kernel
def _wait_for_room(engine, position):
    """Until the recorder has made room: these events may not be left out."""
    while not has_room(engine.ring, position):
        add(engine.process_words, WRITER * PROCESS_WORDS + PROCESS_LOOPS, 1)  # not hung: waiting
        assert load_acquire(engine.words, STOP) < STOP_RECORDER
        sched_yield()


@cold_kernel
def _finish_now(engine):
    """End the command that is in the middle; waits for room as often as it takes."""
    scalars = engine.market.scalars[0]
    while scalars["continuing_kind"] != 0:
        _wait_for_room(engine, np.int64(scalars["position"]))
        finish_command(engine)


@cold_kernel
def _execute_own(engine):
    """Match `engine.own[0]` as a command of the matcher itself and publish its events."""
    market = engine.market
    scalars = market.scalars[0]
    position = np.int64(scalars["position"])
    _wait_for_room(engine, position)
    command_next = np.int64(market.gateways[at(SOURCE_MATCHER)]["command_next"]) + 1
    limit = part_limit(engine.ring, position)
    position = match(
        market,
        engine.own,
        0,
        SOURCE_MATCHER,
        command_next,
        0,  # ours have no continuation
        stamp_now(engine),
        engine.ring,
        position,
        limit,
    )
    note_progress(market, SOURCE_MATCHER, command_next, position)
    publish_events(engine, position)
    _finish_now(engine)


@cold_kernel
def _bury_gateways(engine):
    """At the first reign of a run: what the journal left alive is dead, and its logins with it."""
    gateways = engine.market.gateways
    own = engine.own[0]
    for gateway in range(len(gateways)):
        if gateways[at(gateway)]["alive"]:
            own["kind"] = GATEWAY_DIED
            own["slot"] = gateway
            own["user_ref"] = gateways[at(gateway)]["incarnation"]
            _execute_own(engine)
            own["slot"] = 0
            own["user_ref"] = 0


@cold_kernel
def _say_system(engine, code):
    own = engine.own[0]
    own["kind"] = SYSTEM
    own["reason"] = code
    _execute_own(engine)


@cold_kernel
def _say_firms(engine, first, last, instrument):
    """Tell the feed of the firms of sessions [first, last), in the instruments from one on."""
    own = engine.own[0]
    own["instrument"] = instrument
    own["quantity"] = len(engine.market.instruments) - instrument
    for session in range(first, last):
        if own["quantity"] > 0 and is_first_of_firm(engine.market, session):
            own["kind"] = PARTICIPANT
            own["firm_name"] = engine.market.sessions[at(session)]["firm"]
            _execute_own(engine)
    own["client_order_id_0"] = 0


@cold_kernel
def open_streams(engine):
    """Say of the streams what was not said yet: system events, instruments, sessions, orders."""
    scalars = engine.market.scalars[0]
    own = engine.own[0]
    if engine.settings[SETTING_FRESH] == 1:
        engine.settings[SETTING_FRESH] = 0
        _bury_gateways(engine)
    anew = load_acquire(engine.words, BEGIN_ANEW)
    if anew > scalars["rolled"]:  # even if nothing had begun: else the next reign would do it
        own["kind"] = ROLL
        own["reason"] = 0  # the day goes on
        _execute_own(engine)
    own["client_order_id_0"] = 0
    own["client_order_id_1"] = 0
    if scalars["stage"] < STAGE_MESSAGES:
        name_stream(own, engine.settings[SETTING_ENGINE], stamp_now(engine))
        _say_system(engine, START_OF_MESSAGES)
        own["client_order_id_0"] = 0
    listed = np.int64(scalars["instruments_listed"])
    for pass_kind in range(2):
        for instrument in range(listed, len(engine.market.instruments)):
            own["kind"] = LIST if pass_kind == 0 else INSTRUMENT_STATE
            own["instrument"] = instrument
            own["reason"] = engine.market.instruments[at(instrument)]["state"]
            own["quantity"] = engine.market.instruments[at(instrument)]["state_reason"]
            _execute_own(engine)
    known = np.int64(scalars["sessions_known"])
    _say_firms(engine, 0, known, listed)
    _say_firms(engine, known, len(engine.market.sessions), 0)
    if known < len(engine.market.sessions):
        own["kind"] = SESSIONS
        own["session"] = known
        own["quantity"] = len(engine.market.sessions) - known
        _execute_own(engine)
    if scalars["stage"] < STAGE_SYSTEM:
        _say_system(engine, START_OF_SYSTEM)
    if scalars["stage"] < STAGE_MARKET:
        _say_system(engine, START_OF_MARKET)


@cold_kernel
def _charge(engine):
    """If the last writer died of its command, count that against the command.

    It did when its crash handler said so, or when it was killed because it looped. A signal from
    outside is nobody's fault.
    """
    words = engine.words
    reign = load_acquire(words, EPOCH)
    guilty = load_relaxed(words, CRASHED) == reign
    for number in range(PROCESS_LIMIT):
        condemned = load_relaxed(
            engine.process_words, number * WORDS_PER_SOURCE + PROCESS_CONDEMNED
        )
        guilty = guilty or condemned == reign
    if reign == 0 or not guilty:
        return
    attempt = load_relaxed(words, ATTEMPTING)
    if load_relaxed(words, SUSPECT) != attempt:
        store_release(words, STRIKES, 0)
        store_release(words, SUSPECT, attempt)
    strikes = load_relaxed(words, STRIKES)
    # We may die before our reign begins: whoever comes next must not count this death again.
    if strikes >> STRIKES_BITS != reign:
        store_release(words, STRIKES, reign << STRIKES_BITS | (strikes & STRIKES_MASK) + 1)


@cold_kernel
def _know_poison(engine):
    """Whether a command has ended so many matchers that it must not be tried again."""
    strikes = load_relaxed(engine.words, STRIKES) & STRIKES_MASK
    engine.settings[SETTING_POISON] = 0
    # It is tried before those of other sources: the deaths of one command only are remembered.
    suspect = load_relaxed(engine.words, SUSPECT)
    engine.settings[SETTING_SUSPECT] = suspect if suspect >> COMMAND_NEXT_BITS > 0 else 0
    if strikes >= STRIKES_MAX:
        engine.settings[SETTING_POISON] = load_relaxed(engine.words, SUSPECT)
        engine.settings[SETTING_BLIND] = 1 if strikes > STRIKES_MAX else 0


@cold_kernel
def _finish(engine):
    """End the command that the last writer was in the middle of, unless that is what killed it."""
    scalars = engine.market.scalars[0]
    poison = engine.settings[SETTING_POISON]
    is_unfinished = scalars["continuing_kind"] != 0
    if is_unfinished and poison != 0 and scalars["continuing_next"] == poison:
        position = np.int64(scalars["position"])
        _wait_for_room(engine, position)
        position = give_up(engine.market, engine.ring, position)
        scalars["position"] = position
        publish_events(engine, position)
    _finish_now(engine)


@cold_kernel
def take_over(engine):
    """Become the matcher: the lock is ours, the old writer is dead or there was none."""
    market = engine.market
    _charge(engine)
    _know_poison(engine)
    engine.settings[SETTING_FRESH] = 1 if load_acquire(engine.words, EPOCH) == 0 else 0
    scalars = market.scalars[0]
    end = published(engine.ring)
    mask = len(engine.ring.records) - 1
    while scalars["position"] < end:  # nobody writes: what is committed is intact
        position = np.int64(scalars["position"])
        apply(market, engine.ring.records, position & mask, position)
    for source in range(len(engine.command_cursors) // WORDS_PER_SOURCE):
        done = np.int64(market.gateways[at(source)]["command_next"])
        store_release(engine.command_cursors, source * WORDS_PER_SOURCE + CONSUMED, done)
    if load_acquire(engine.words, EPOCH) < scalars["epoch"]:
        store_release(engine.words, EPOCH, np.int64(scalars["epoch"]))  # the journal knows more
    epoch = begin_reign(engine.words)
    scalars["epoch"] = epoch
    position = np.int64(scalars["position"])
    _wait_for_room(engine, position)
    command_next = np.int64(market.gateways[at(SOURCE_MATCHER)]["command_next"])
    source_next = (SOURCE_MATCHER << COMMAND_NEXT_BITS) | command_next
    scalars["stamp_ns"] = stamp_now(engine)
    event = new_event(market, engine.ring, position, EVENT_EPOCH, source_next)
    event["epoch"] = epoch
    event["process"] = engine.settings[SETTING_PID]
    scalars["position"] = position + 1
    publish_events(engine, position + 1)
    me = engine.settings[SETTING_PROCESS]
    if me != WRITER:
        engine.processes[WRITER] = engine.processes[at(me)]
        engine.processes[WRITER]["role"] = ROLE_MATCHER
        if engine.settings[SETTING_KEEPS_LINE] == 0:
            engine.processes[at(me)]["state"] = STATE_NONE
            engine.processes[at(me)]["pid"] = 0
            end_sleep(engine.doorbells, me)
    _finish(engine)
