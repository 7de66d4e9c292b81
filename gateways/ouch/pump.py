"""Pump: the loop of an order gateway for one engine: sockets <-> rings, nothing of it in Python.

One pass: letters from the Python side, ready sockets (receive, frame, decode, check, command),
new events (index, slots, replica, OUCH bytes), output, and now and then the timers. Work per pass
and per connection is bounded, so that no client can keep the others waiting.
"""

import numpy as np

from gateways import connection as c
from gateways import mailbox as letters
from gateways.mailbox import take_inward
from gateways.ouch.backpressure import awaited, is_full, visible
from gateways.ouch.clients import (
    close_client,
    count_refusal,
    end_session,
    logged_in,
    login_ignored,
    open_client,
    publish_commands,
    settle_closed,
)
from gateways.ouch.follow import keep_books
from gateways.ouch.intake import take_input
from gateways.ouch.latency import count_answers, note_answer
from gateways.ouch.order_times import tell_times
from gateways.ouch.shares import answers_wait
from gateways.ouch.state import (
    BELL,
    CLIENTS,
    COMMAND_POSITION,
    COMMANDS_AWAITED,
    EVENTS_PER_PASS,
    FAULTS,
    HOLDS,
    LOOKS_AWAITING,
    LOOPS,
    NEXT_TIMER_NS,
    PENDING,
    POLLED,
    ROWS_USED,
    SETTING_EPOLL,
    SETTING_GRACE_NS,
    SETTING_POLICY,
    SETTING_PROCESS,
    TAKEN_DUE,
    TIMED_COUNT,
    UNSETTLED,
    WORDS_PER_LINE,
    WORK,
    WRITER_DEAD_NS,
)
from gateways.ouch.stream import catch_up, deliver, is_open, say_taken, take_chunk
from gateways.outcomes import DIFFERS, LAPPED, STOPPED, SUCCEEDS
from gateways.packets import HEADER_SIZE, HEARTBEAT_INTERVAL_NS, SILENCE_LIMIT_NS
from gateways.risk import ANY as ANY_LIMIT
from gateways.risk import LIMITS, follow_risk
from gateways.soupbintcp import write_server_heartbeat
from gateways.stream_name import say_stream
from ringbuf import spsc
from ringbuf.atomics import load_acquire, pause, store_relaxed
from ringbuf.bits import at
from ringbuf.broadcast import TORN, read_batch
from ringbuf.counters import beat
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import (
    PROCESS_ATTESTED,
    PROCESS_CLIENTS,
    PROCESS_COUNTER,
    PROCESS_DIFFERS,
    PROCESS_ERRORS,
    STOP,
)
from ringbuf.syscalls import clock_ns
from ringbuf.waiting import (
    LOOKS_PER_PASS,
    announce_sleep,
    bell_of,
    end_sleep,
    give_way,
    idle,
    sleep_on,
)
from ringbuf.writer_lock import owner_died
from shm_exchange.groups import whole_groups
from shm_exchange.messages import CommandKind, EventKind
from shm_exchange.replica import apply
from shm_exchange.wiring import COUNTER_HOLDS

LOGIN = int(CommandKind.LOGIN)
LOGGED_IN = int(EventKind.LOGGED_IN)
IGNORED = int(EventKind.IGNORED)
ATTESTED = int(EventKind.ATTESTED)
REJECTED = int(EventKind.REJECTED)
ROLLED = int(EventKind.ROLLED)
TIMER_INTERVAL_NS = 50_000_000
DEAF_NS = 1_000_000_000  # a timer that is later than this: the process did not run
US_PER_MS = 1_000
SLEEP_MS = 1  # a sleep is bounded: a dead writer rings no bell


@kernel
def _read_letters(pump, now_ns):
    """Take what the Python side sent."""
    while True:
        if spsc.room(pump.desk.commands, pump.words[COMMAND_POSITION]) < 1:
            return
        if not take_inward(pump.mailbox, pump.letter):
            return
        if pump.letter[0]["kind"] == letters.OPEN:
            open_client(pump, now_ns)
        elif pump.letter[0]["kind"] == letters.CHUNK:
            lost = take_chunk(pump)
            if lost >= 0:
                close_client(pump, lost, c.CLOSE_NO_SESSION, now_ns)


@kernel
def _await_answers(pump):
    """Look at the event ring for a moment while a few commands are on their way.

    Their events come sooner than another pass over the sockets would end.
    """
    count = awaited(pump)
    if count <= 0 or count > COMMANDS_AWAITED or pump.words[PENDING]:
        return
    position = np.int64(pump.market.scalars[0]["position"])
    for _ in range(LOOKS_AWAITING):
        if visible(pump) != position:
            return
        pause()


@cold_kernel
def _settle(pump, now_ns):
    """Connections that catch up, that do not read, and closed ones that still owe a LOGOUT."""
    pump.words[UNSETTLED] = 0
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["state"] == c.CATCHING_UP:
            if not catch_up(pump, number):
                close_client(pump, number, c.CLOSE_NO_SESSION, now_ns)
            elif row["state"] == c.CATCHING_UP:
                pump.words[UNSETTLED] = 1
        elif row["state"] == c.OVERFLOWED:
            close_client(pump, number, c.CLOSE_SLOW, now_ns)
        elif row["state"] == c.CLOSING and not settle_closed(pump, number, now_ns):
            pump.words[UNSETTLED] = 1


@cold_kernel
def _end_sessions(pump, now_ns):
    """ROLLED was applied: every stream that a client is in has ended."""
    for number in range(pump.words[ROWS_USED]):
        if is_open(pump.connections.rows[at(number)]):
            end_session(pump, number, now_ns)


@kernel
def _follow(pump, now_ns):
    """Apply a few new events and send what they say: how many, or minus why the loop must end."""
    market = pump.market
    position = np.int64(market.scalars[0]["position"])
    limit = min(visible(pump) - position, EVENTS_PER_PASS)
    count = read_batch(pump.ring, position, limit, pump.copied)
    if count == TORN:
        return -LAPPED
    count = whole_groups(pump.copied, count)
    for offset in range(count):
        event = pump.copied[at(offset)]
        keep_books(market, pump.desk, event)
        note_answer(pump, event)
        apply(market, pump.copied, offset, position + offset)
        if pump.desk.risk.words[ANY_LIMIT] != 0 or event["kind"] == LIMITS:
            follow_risk(market, pump.desk.risk, event)
        if event["kind"] == LOGGED_IN:
            logged_in(pump, event, position + offset, now_ns)
        elif event["kind"] == IGNORED and event["command_kind"] == LOGIN:
            login_ignored(pump, event, now_ns)
        elif event["kind"] == ATTESTED:
            if market.scalars[0]["differs"] != 0:
                return -DIFFERS
        elif event["kind"] == ROLLED:
            _end_sessions(pump, now_ns)
        else:
            deliver(pump, pump.copied, offset, position + offset)
            if event["kind"] == REJECTED:
                count_refusal(pump, event, now_ns)
    return count


@kernel
def send_output(pump, now_ns):
    """Send what is waiting; the list keeps those whose sockets are full, or whose answers wait."""
    dirty = pump.connections.dirty
    last = len(pump.connections.rows)
    kept = 0
    for place in range(np.int64(dirty[at(last)])):
        number = np.int64(dirty[at(place)])
        row = pump.connections.rows[at(number)]
        done = 1
        if row["fd"] >= 0 and answers_wait(pump, number, now_ns):
            done = 0
        elif row["fd"] >= 0:
            done = c.flush(pump.connections, number, now_ns)
            if done < 0:
                close_client(pump, number, c.CLOSE_PEER, now_ns)
        if done == 0:
            dirty[at(kept)] = number
            kept += 1
        else:
            row["dirty"] = 0
    dirty[at(last)] = kept


@cold_kernel
def _tick(pump, now_ns):
    """Heartbeats, silent clients, and what the process says of itself."""
    # Whoever did not listen, because it was stopped or is behind, calls nobody silent.
    deaf = now_ns - pump.words[NEXT_TIMER_NS] > DEAF_NS or pump.words[POLLED] == 0
    pump.words[POLLED] = 0
    pump.words[NEXT_TIMER_NS] = now_ns + TIMER_INTERVAL_NS
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if deaf or row["pending"]:  # nor one whose input waits here
            row["received_ns"] = now_ns
        if not is_open(row) or row["fd"] < 0:
            continue
        output_waits = row["out_start"] != row["out_end"]
        if now_ns - row["received_ns"] > row["silence_limit_ns"]:
            close_client(pump, number, c.CLOSE_SILENT, now_ns)
        elif output_waits and now_ns - row["sent_ns"] > SILENCE_LIMIT_NS:
            close_client(pump, number, c.CLOSE_SLOW, now_ns)
        elif now_ns - row["sent_ns"] >= HEARTBEAT_INTERVAL_NS and row["dirty"] == 0:
            offset = c.reserve_output(pump.connections, number, HEADER_SIZE)
            write_server_heartbeat(pump.connections.outbound, offset)
            c.commit_output(pump.connections, number, HEADER_SIZE)
    line = pump.settings[SETTING_PROCESS] * WORDS_PER_LINE
    words = pump.process_words
    position = np.int64(pump.market.scalars[0]["position"])
    beat(words, line, now_ns, position, pump.words[LOOPS], pump.words[WORK])
    store_relaxed(words, line + PROCESS_CLIENTS, pump.words[CLIENTS])
    store_relaxed(words, line + PROCESS_ERRORS, pump.words[FAULTS])
    store_relaxed(words, line + PROCESS_ATTESTED, np.int64(pump.market.scalars[0]["attested"]))
    store_relaxed(words, line + PROCESS_DIFFERS, np.int64(pump.market.scalars[0]["differs"]))
    store_relaxed(words, line + PROCESS_COUNTER + COUNTER_HOLDS, pump.words[HOLDS])
    say_stream(words, line, pump.market.scalars[0])


@cold_kernel
def keep_alive(pump):
    """While the loop does not run: output, heartbeats, and what the process says of itself."""
    now_ns = clock_ns(pump.clock)
    for number in range(pump.words[ROWS_USED]):
        pump.connections.rows[at(number)]["received_ns"] = now_ns  # it is not heard, not silent
    send_output(pump, now_ns)
    if now_ns >= pump.words[NEXT_TIMER_NS]:
        _tick(pump, now_ns)


@kernel
def step(pump, timeout_ms):
    """One pass; return how much was done, or minus the outcome when the loop must end."""
    now_ns = clock_ns(pump.clock)
    _read_letters(pump, now_ns)
    done = 0
    # Whoever asks faster than the answers can be sent waits: else the matcher would lap us.
    if not is_full(pump, now_ns):
        pump.words[POLLED] = 1
        done = take_input(pump, now_ns, timeout_ms)
    elif timeout_ms:
        sleep_on(pump.bells[pump.settings[SETTING_PROCESS]], US_PER_MS * timeout_ms)
    _await_answers(pump)
    events = _follow(pump, now_ns)
    if events < 0:
        publish_commands(pump)
        return events
    if pump.words[TAKEN_DUE]:
        say_taken(pump)
    if pump.words[UNSETTLED]:
        _settle(pump, now_ns)
    publish_commands(pump)
    send_output(pump, now_ns)
    count_answers(pump)
    if pump.words[TIMED_COUNT] != 0:
        tell_times(pump)
    if now_ns >= pump.words[NEXT_TIMER_NS]:
        _tick(pump, now_ns)
    pump.words[LOOPS] += 1
    pump.words[WORK] += events
    return done + events


@cold_kernel
def _close_all(pump):
    now_ns = clock_ns(pump.clock)
    for number in range(pump.words[ROWS_USED]):
        close_client(pump, number, c.CLOSE_DRAIN, now_ns)
    publish_commands(pump)


@cold_kernel
def _may_succeed(pump):
    """1 when the matcher is dead, and whoever comes before us has had time to take over."""
    now_ns = clock_ns(pump.clock)
    if pump.words[WRITER_DEAD_NS] == 0:
        pump.words[WRITER_DEAD_NS] = now_ns
    if now_ns - pump.words[WRITER_DEAD_NS] < pump.settings[SETTING_GRACE_NS]:
        return 0
    return 1 if load_acquire(pump.succession, 0) == 0 else 0


@kernel
def _nobody_matches(pump):
    """1 when our replica is to take over."""
    if owner_died(pump.lock):
        return _may_succeed(pump)
    pump.words[WRITER_DEAD_NS] = 0
    return 0


@cold_kernel
def run(pump):
    """Pump until the stop word is set (STOPPED), or LAPPED, DIFFERS, SUCCEEDS: call it again."""
    me = pump.settings[SETTING_PROCESS]
    policy = pump.settings[SETTING_POLICY]
    idle_count = 0
    c.watch(pump.settings[SETTING_EPOLL], bell_of(pump.bells[me]), BELL, pump.ready)
    while load_acquire(pump.control_words, STOP) == 0:
        done = step(pump, 0)
        if done < 0:
            return -done
        if _nobody_matches(pump):
            return SUCCEEDS
        idle_count = 0 if done else idle_count + LOOKS_PER_PASS
        if done and awaited(pump) == 0:
            give_way(policy)
        if done or not idle(policy, idle_count, pump.patience):
            continue
        announce_sleep(pump.doorbells, me)
        timeout_ms = SLEEP_MS if visible(pump) == pump.market.scalars[0]["position"] else 0
        done = step(pump, timeout_ms)
        end_sleep(pump.doorbells, me)
        if done < 0:
            return -done
        idle_count = 0 if done else idle_count
    _close_all(pump)
    return STOPPED
