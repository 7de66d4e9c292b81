"""Pump: what a client may send while others trade at the same gateway.

A client that floods takes time from everybody: the gateway's and the matcher's, and on a host with
few cores that of every process which follows the events. So each connection has a share, commands
a second (`fair_share_per_second`). While another connection trades that is modest, one that had
more than its share is held: what it sends waits in its socket, and the kernel stops it when that is
full. Nothing is refused. A client alone, and clients that all send more, are not held. Answers to
one that is about to be may wait a moment for more of them: each `send` wakes whoever reads, and
its process takes a core from somebody.

What a connection had is one word, `share_ns`: when all of it would have been done at the rate of a
share (the generic cell rate algorithm of ITU-T I.371, with SHARE_BURST as its tolerance). Modest is
who is not half as far ahead, and stays so up to the tolerance: a flood that is let go on for a
moment is not modest in that moment, or floods would hold each other in turns.
"""

import numpy as np

from gateways import connection as c
from gateways.ouch.state import (
    ANSWERS_WAIT_NS,
    HELD,
    HOLDS,
    MODEST,
    MODEST_FOR_NS,
    MODEST_NS,
    PENDING,
    RELEASE_NS,
    ROWS_USED,
    SETTING_EPOLL,
    SETTING_INTERVAL_NS,
    SHARE_BURST,
    SHARE_PORTION,
    SHARES_INTERVAL_NS,
    SHARES_NS,
    TIMED_COUNT,
    TIMED_LIMIT,
)
from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from ringbuf.syscalls import EPOLLIN

# What a connection's `pending` says of its input.
NOTHING, WAITS, IS_HELD = 0, 1, 2
NEVER_NS = 1 << 62


@kernel
def _ahead_ns(pump, number, now_ns):
    """How far a connection is ahead of its share."""
    return np.int64(pump.connections.rows[at(number)]["share_ns"]) - now_ns


@kernel
def _burst_ns(pump):
    return SHARE_BURST * pump.settings[SETTING_INTERVAL_NS]


@kernel
def _somebody_is_modest(pump, now_ns):
    return 1 if pump.words[MODEST] != 0 and now_ns < pump.words[MODEST_NS] else 0


@kernel
def use_share(pump, number, commands, now_ns):
    """A connection sent something that became `commands` records, 0 when it became none.

    One modest connection that trades is remembered, as long as it goes on: that is enough to know
    that somebody does. What a connection had while nobody needed it is not held against it later.
    """
    words = pump.words
    row = pump.connections.rows[at(number)]
    burst_ns = _burst_ns(pump)
    ahead_ns = min(max(_ahead_ns(pump, number, now_ns), 0), burst_ns)
    ahead_ns += max(1, commands) * pump.settings[SETTING_INTERVAL_NS]
    row["share_ns"] = now_ns + ahead_ns
    is_remembered = words[MODEST] == number + 1
    if is_remembered and ahead_ns > burst_ns:
        words[MODEST] = 0
    elif commands and (
        is_remembered or (2 * ahead_ns <= burst_ns and not _somebody_is_modest(pump, now_ns))
    ):
        words[MODEST] = number + 1
        words[MODEST_NS] = now_ns + MODEST_FOR_NS


@kernel
def is_to_be_held(pump, number, now_ns):
    """1 when a connection had more than its share, and another one that is modest trades."""
    if not _somebody_is_modest(pump, now_ns):
        return 0
    return 1 if _ahead_ns(pump, number, now_ns) > _burst_ns(pump) else 0


@kernel
def answers_wait(pump, number, now_ns):
    """1 when what is to be sent to a connection may wait for more: it is at the end of its share.

    And another one is modest and trades. For ANSWERS_WAIT_NS after the last that was sent, but for
    no more than half of the tolerance, so that whoever waits for answers still has its share; nor
    once an eighth of the buffer is full, or half of the places for times that are to be told.
    """
    if pump.words[MODEST] == number + 1 or not _somebody_is_modest(pump, now_ns):
        return 0
    row = pump.connections.rows[at(number)]
    burst_ns = _burst_ns(pump)
    is_at_end = _ahead_ns(pump, number, now_ns) > burst_ns - burst_ns // 8
    since_ns = now_ns - np.int64(row["sent_ns"])  # below 0: the clock was set back
    is_soon = since_ns >= 0 and since_ns < min(ANSWERS_WAIT_NS, burst_ns // 2)
    waiting = np.int64(row["out_end"]) - np.int64(row["out_start"])
    has_room = 8 * waiting < c.outbound_size(pump.connections)
    has_room = has_room and 2 * pump.words[TIMED_COUNT] < TIMED_LIMIT
    return 1 if is_at_end and is_soon and has_room else 0


@cold_kernel
def hold(pump, number):
    """Leave what a connection sends in its socket from now on."""
    row = pump.connections.rows[at(number)]
    if row["pending"] == WAITS:
        pump.words[PENDING] -= 1
    row["pending"] = IS_HELD
    c.expect(pump.settings[SETTING_EPOLL], np.int64(row["fd"]), number, 0, pump.ready)
    first_ns = pump.words[RELEASE_NS] if pump.words[HELD] else NEVER_NS
    pump.words[RELEASE_NS] = min(first_ns, _release_ns(pump, number))
    pump.words[HELD] += 1
    pump.words[HOLDS] += 1


@kernel
def _release_ns(pump, number):
    """When a connection may go on: not for a message at a time, each with its own calls."""
    share_ns = np.int64(pump.connections.rows[at(number)]["share_ns"])
    return share_ns - (SHARE_BURST - SHARE_PORTION) * pump.settings[SETTING_INTERVAL_NS]


@cold_kernel
def _release(pump, now_ns):
    words = pump.words
    words[RELEASE_NS] = NEVER_NS
    for number in range(words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["pending"] != IS_HELD:
            continue
        release_ns = _release_ns(pump, number)
        if release_ns > now_ns and _somebody_is_modest(pump, now_ns):
            words[RELEASE_NS] = min(words[RELEASE_NS], release_ns)
            continue
        row["pending"] = WAITS
        words[PENDING] += 1
        words[HELD] -= 1
        c.expect(pump.settings[SETTING_EPOLL], np.int64(row["fd"]), number, EPOLLIN, pump.ready)


@cold_kernel
def _begin_anew(pump):
    """The clock was set back, or a share is another one: nobody has had anything yet."""
    for number in range(pump.words[ROWS_USED]):
        pump.connections.rows[at(number)]["share_ns"] = 0
    pump.words[MODEST] = 0
    pump.words[SHARES_INTERVAL_NS] = pump.settings[SETTING_INTERVAL_NS]


@kernel
def release_held(pump, now_ns):
    """Let those go on whose time has come, or all when nobody is modest any more."""
    words = pump.words
    if now_ns < words[SHARES_NS] or words[SHARES_INTERVAL_NS] != pump.settings[SETTING_INTERVAL_NS]:
        _begin_anew(pump)
    words[SHARES_NS] = now_ns
    if words[HELD] and (now_ns >= words[RELEASE_NS] or not _somebody_is_modest(pump, now_ns)):
        _release(pump, now_ns)
