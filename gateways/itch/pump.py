"""Pump: the loop of a market-data gateway for one engine: event ring -> feed log -> sockets.

One pass: letters from the Python side, ready sockets (heartbeats and logouts), new events (replica
and feed log), then every client that is behind is sent a bounded piece of the log. A client that
does not read stays behind by itself: it has no buffer that could fill.
"""

import numpy as np

from gateways import connection as c
from gateways import mailbox as letters
from gateways.itch.clients import (
    close_client,
    end_sessions,
    open_client,
    report_closed,
    serve_input,
)
from gateways.itch.feed_log import SERVED, SIZE, append, begin_anew, has_room_for
from gateways.itch.multicast import lose_place, tell
from gateways.itch.multicast_end import end_session, repeat_end
from gateways.itch.outbound import KNOWN_COUNT, note
from gateways.itch.state import (
    BEHIND,
    BELL,
    BYTES_PER_PASS,
    CLIENTS,
    ENDED,
    ENDING_NS,
    EPOLL_EVENT_SIZE,
    EVENTS_PER_PASS,
    FAULTS,
    LEAVE,
    LOOPS,
    NEXT_TIMER_NS,
    READY_PER_PASS,
    ROWS_USED,
    SETTING_EPOLL,
    SETTING_POLICY,
    SETTING_PROCESS,
    SETTING_VISIBLE,
    WORDS_PER_LINE,
    WORK,
)
from gateways.mailbox import take_inward
from gateways.outcomes import DIFFERS, FEED_ENDS, HISTORY, LAPPED, LOG_FULL, STOPPED
from gateways.packets import (
    HEADER_SIZE,
    HEARTBEAT_INTERVAL_NS,
)
from gateways.soupbintcp import (
    write_server_heartbeat,
)
from gateways.stream_name import say_stream
from ringbuf.atomics import load_acquire, store_relaxed
from ringbuf.bits import address, at, load_raw_4
from ringbuf.broadcast import TORN, read_batch
from ringbuf.counters import beat
from ringbuf.jit import cold_kernel, kernel
from ringbuf.layout import (
    PROCESS_ATTESTED,
    PROCESS_CLIENTS,
    PROCESS_DIFFERS,
    PROCESS_ERRORS,
    STOP,
)
from ringbuf.syscalls import clock_ns, epoll_wait, event_drain
from ringbuf.waiting import LOOKS_PER_PASS, announce_sleep, bell_of, end_sleep, idle
from shm_exchange.groups import whole_groups
from shm_exchange.messages import EventKind
from shm_exchange.replica import apply

ATTESTED = int(EventKind.ATTESTED)
ROLLED = int(EventKind.ROLLED)
TIMER_INTERVAL_NS = 50_000_000
RETRY_NS = 1_000_000  # a socket that was full is left alone for so long
ENDING_LIMIT_NS = 1_000_000_000  # who has not read the rest of a day's feed by then loses it
SLEEP_MS = 1  # a sleep is bounded: a dead writer rings no bell


@kernel
def _read_letters(pump, now_ns):
    while pump.words[ENDED] == 0 and take_inward(pump.mailbox, pump.letter):
        if pump.letter[0]["kind"] == letters.OPEN:
            open_client(pump, now_ns)


@kernel
def _poll_sockets(pump, now_ns, timeout_ms):
    epoll = pump.settings[SETTING_EPOLL]
    count = epoll_wait(epoll, address(pump.ready, 0), READY_PER_PASS, timeout_ms)
    for place in range(count):
        number = load_raw_4(pump.ready, place * EPOLL_EVENT_SIZE + 4)
        if number == BELL:
            event_drain(bell_of(pump.bells[pump.settings[SETTING_PROCESS]]))
        elif pump.connections.rows[at(number)]["state"] == c.LIVE:
            serve_input(pump, number, now_ns)
    return max(0, count)


@kernel
def ingest(pump, events, count, position):
    """Apply and encode `count` events, the first at `position`: 0, or why the loop must end."""
    market, known = pump.market, pump.known
    for index in range(count):
        event = events[at(index)]
        if event["kind"] == ROLLED and pump.log.words[SERVED] != 0:
            return FEED_ENDS  # with another log it goes on from this event
        note(market, event, known)
        if not has_room_for(pump.log, known[KNOWN_COUNT]):
            return LOG_FULL  # with room it goes on from this event
        apply(market, events, index, position + index)
        if event["kind"] == ROLLED:
            begin_anew(pump.log)
        append(pump.log, event, position + index, market, known)
        if event["kind"] == ATTESTED and market.scalars[0]["differs"] != 0:
            return DIFFERS
    return 0


@kernel
def visible(pump):
    """Count of events that may be told: those published or, in disk mode, those on disk."""
    return load_acquire(pump.ring.cursors, pump.settings[SETTING_VISIBLE])


@cold_kernel
def _may_end(pump):
    """ROLLED is next: 1 when every client was sent the whole feed, or had a moment to read it."""
    now_ns = clock_ns(pump.clock)
    if pump.words[ENDING_NS] == 0:
        pump.words[ENDING_NS] = now_ns + ENDING_LIMIT_NS
    is_told = 1
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        waits = row["out_start"] != row["out_end"] or row["position"] != pump.log.words[SIZE]
        if row["state"] == c.LIVE and waits:
            is_told = 0
    return 1 if is_told or now_ns >= pump.words[ENDING_NS] else 0


@kernel
def _follow(pump):
    """Copy, apply and encode a bounded number of new events: how many, or minus the outcome."""
    position = np.int64(pump.market.scalars[0]["position"])
    limit = min(visible(pump) - position, EVENTS_PER_PASS)
    count = read_batch(pump.ring, position, limit, pump.copied)
    if count == TORN:
        return -LAPPED
    count = whole_groups(pump.copied, count)
    if count == 0:
        return 0
    outcome = ingest(pump, pump.copied, count, position)
    pump.words[BEHIND] = 1
    if outcome == FEED_ENDS and not _may_end(pump):
        return np.int64(pump.market.scalars[0]["position"]) - position
    if outcome != 0:
        return -outcome
    pump.log.words[SERVED] = 1
    if pump.market.scalars[0]["stream_0"] != 0:
        pump.words[ENDED] = 0
    return count


@kernel
def _send_log(pump, number, now_ns):
    """Send a client what it has not been sent: 1 when some is left."""
    row = pump.connections.rows[at(number)]
    done = c.flush(pump.connections, number, now_ns)
    if done < 0:
        close_client(pump, number, c.CLOSE_PEER)
        return 0
    if done == 0:
        row["asked"] = now_ns + RETRY_NS
        return 1
    position = np.int64(row["position"])
    size = min(pump.log.words[SIZE] - position, BYTES_PER_PASS)
    if size == 0:
        return 0
    count = c.send_bytes(np.int64(row["fd"]), pump.log.data, position, size)
    if count < 0:
        close_client(pump, number, c.CLOSE_PEER)
        return 0
    if count == 0:
        row["asked"] = now_ns + RETRY_NS
        return 1
    row["position"] = position + count
    row["sent_ns"] = now_ns
    return 1 if position + count < pump.log.words[SIZE] else 0


@kernel
def _send_all(pump, now_ns):
    """Send every client that is behind a piece; how many sends were made."""
    behind = 0
    sent = 0
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["state"] != c.LIVE:
            continue
        if row["asked"] > now_ns:
            behind = 1
            continue
        if row["out_start"] != row["out_end"] or row["position"] != pump.log.words[SIZE]:
            behind |= _send_log(pump, number, now_ns)
            sent += 1
    pump.words[BEHIND] = behind
    return sent


@kernel
def _tell(pump, now_ns):
    """Send the multicast feeds a piece; packets sent."""
    process = pump.settings[SETTING_PROCESS]
    scalars = pump.market.scalars[0]
    return tell(pump.multicast, pump.log, scalars, pump.process_words, process, now_ns)


@cold_kernel
def _tick(pump, now_ns):
    """Heartbeats, silent clients, and what the process says of itself."""
    pump.words[NEXT_TIMER_NS] = now_ns + TIMER_INTERVAL_NS
    repeat_end(pump.multicast, now_ns)
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["state"] == c.CLOSING:
            report_closed(pump, number)
        if row["state"] != c.LIVE:
            continue
        caught_up = row["position"] == pump.log.words[SIZE] and row["out_start"] == row["out_end"]
        if now_ns - row["received_ns"] > row["silence_limit_ns"]:
            close_client(pump, number, c.CLOSE_SILENT)
        elif caught_up and now_ns - row["sent_ns"] >= HEARTBEAT_INTERVAL_NS:
            offset = c.reserve_output(pump.connections, number, HEADER_SIZE)
            write_server_heartbeat(pump.connections.outbound, offset)
            row["out_end"] = row["out_end"] + HEADER_SIZE
            pump.words[BEHIND] = 1
    line = pump.settings[SETTING_PROCESS] * WORDS_PER_LINE
    words = pump.process_words
    position = np.int64(pump.market.scalars[0]["position"])
    beat(words, line, now_ns, position, pump.words[LOOPS], pump.words[WORK])
    store_relaxed(words, line + PROCESS_CLIENTS, pump.words[CLIENTS])
    store_relaxed(words, line + PROCESS_ERRORS, pump.words[FAULTS])
    store_relaxed(words, line + PROCESS_ATTESTED, np.int64(pump.market.scalars[0]["attested"]))
    store_relaxed(words, line + PROCESS_DIFFERS, np.int64(pump.market.scalars[0]["differs"]))
    say_stream(words, line, pump.market.scalars[0])


@cold_kernel
def keep_alive(pump):
    """While the loop does not run: heartbeats, and what the process says of itself."""
    now_ns = clock_ns(pump.clock)
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        row["received_ns"] = now_ns  # it is not heard, not silent
        if row["state"] == c.LIVE and c.flush(pump.connections, number, now_ns) < 0:
            close_client(pump, number, c.CLOSE_PEER)
    _tell(pump, now_ns)
    if now_ns >= pump.words[NEXT_TIMER_NS]:
        _tick(pump, now_ns)


@cold_kernel
def send_on(pump):
    """While past events are ingested: what the log has by now."""
    now_ns = clock_ns(pump.clock)
    _tell(pump, now_ns)
    _send_all(pump, now_ns)


@cold_kernel
def change_log(pump, same):
    """The log is another one, of which only `same` bytes are as they were: who read on is cut."""
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["state"] == c.LIVE and row["position"] > same:
            close_client(pump, number, c.CLOSE_DIFFERED)
    lose_place(pump.multicast)
    pump.words[BEHIND] = 1


@kernel
def step(pump, timeout_ms):
    """One pass; return how much was done, or minus the outcome when the loop must end."""
    done = _poll_sockets(pump, clock_ns(pump.clock), timeout_ms)
    now_ns = clock_ns(pump.clock)
    _read_letters(pump, now_ns)
    events = _follow(pump)
    if events < 0:
        return events
    done += _tell(pump, now_ns)
    if pump.words[BEHIND]:
        done += _send_all(pump, now_ns)
    if now_ns >= pump.words[NEXT_TIMER_NS]:
        _tick(pump, now_ns)
    pump.words[LOOPS] += 1
    pump.words[WORK] += events
    return done + events


@cold_kernel
def _end_multicast(pump):
    process = pump.settings[SETTING_PROCESS]
    scalars, now_ns = pump.market.scalars[0], clock_ns(pump.clock)
    end_session(pump.multicast, pump.log, scalars, pump.process_words, process, now_ns)


@cold_kernel
def end_feed(pump):
    """The day has rolled: say so on every way; the feed that comes next has another log."""
    _end_multicast(pump)
    end_sessions(pump, clock_ns(pump.clock))
    lose_place(pump.multicast)
    pump.words[ENDING_NS] = 0
    pump.words[ENDED] = 1


@cold_kernel
def _close_all(pump):
    _end_multicast(pump)
    for number in range(pump.words[ROWS_USED]):
        if pump.connections.rows[at(number)]["state"] == c.LIVE:
            _send_log(pump, number, clock_ns(pump.clock))
        if pump.connections.rows[at(number)]["state"] == c.LIVE:
            close_client(pump, number, c.CLOSE_DRAIN)


@cold_kernel
def run(pump):
    """Pump until the stop word is set (STOPPED), or LAPPED, DIFFERS, LOG_FULL, or HISTORY."""
    me = pump.settings[SETTING_PROCESS]
    policy = pump.settings[SETTING_POLICY]
    idle_count = 0
    c.watch(pump.settings[SETTING_EPOLL], bell_of(pump.bells[me]), BELL, pump.ready)
    while load_acquire(pump.control_words, STOP) == 0:
        done = step(pump, 0)
        if done < 0:
            return -done
        if load_acquire(pump.words, LEAVE) != 0:
            return HISTORY
        idle_count = 0 if done else idle_count + LOOKS_PER_PASS
        if done or not idle(policy, idle_count, pump.patience):
            continue
        announce_sleep(pump.doorbells, me)
        work_waits = visible(pump) != pump.market.scalars[0]["position"]
        done = step(pump, 0 if work_waits else SLEEP_MS)
        end_sleep(pump.doorbells, me)
        if done < 0:
            return -done
        idle_count = 0 if done else idle_count
    _close_all(pump)
    return STOPPED
