"""Shell: the matcher's process: recovers the market, then runs the engine until the end.

A standby is the same process with another beginning: it waits for the writer to die, the matcher
takes the lock at once. Both run the whole loop in one compiled call, on the thread that will own
the lock.
"""

from __future__ import annotations

import os
import traceback

import numpy as np

from ringbuf import host
from ringbuf.broadcast import Broadcast
from ringbuf.layout import (
    PROCESS_LIMIT,
    PROCESS_WORDS,
    STATE_FAILED,
    STATE_READY,
    STATE_STARTING,
    STATE_STOPPED,
)
from ringbuf.layout import STOP as STOP_WORD
from ringbuf.waiting import POLICY_NAMES
from shm_exchange import engine as states
from shm_exchange import lifetime as loop
from shm_exchange.engine import Engine
from shm_exchange.fencing import Watcher
from shm_exchange.market import Market
from shm_exchange.messages import COMMAND_DTYPE, EVENT_DTYPE
from shm_exchange.operator_line import ERROR, WARNING, say
from shm_exchange.recovery import Recovered, empty_market, recover
from shm_exchange.roles import EXIT_DONE, EXIT_FAILED, RoleContext

_OUTCOMES = {
    loop.DIFFERS: "its replica is not what the matcher says; it starts anew",
    loop.LAPPED: "it was lapped by the matcher",
    loop.LOCK_BROKEN: "the writer lock is unusable; stop the exchange and start it again",
    loop.LOCK_HELD: "another process holds the writer lock",
}
_BEGIN_AGAIN = (loop.LAPPED, loop.DIFFERS)


def build_engine(context: RoleContext, market: Market, *, first: bool) -> Engine:
    """Everything the loop touches."""
    settings = np.zeros(states.SETTING_COUNT, np.int64)
    settings[states.SETTING_PROCESS] = context.process
    settings[states.SETTING_POLICY] = context.policy
    settings[states.SETTING_FIRST] = int(first)
    settings[states.SETTING_PID] = os.getpid()
    settings[states.SETTING_ENGINE] = context.engine
    return Engine(
        market=market,
        ring=context.wiring.ring,
        command_cursors=context.wiring.command_cursors,
        commands=context.wiring.commands,
        lock=context.control.lock,
        doorbells=context.control.doorbells,
        words=context.control.words,
        processes=context.control.processes,
        process_words=context.wiring.process_words,
        bells=context.bells,
        settings=settings,
        patience=np.zeros(2, np.int64),
        clock=np.zeros(2, np.int64),
        own=np.zeros(1, COMMAND_DTYPE),
        copied=np.zeros(states.BATCH_EVENTS, EVENT_DTYPE),
    )


def warm_up(engine: Engine) -> None:
    """Load the machine code of the loop, on scratch memory that says: stop at once."""
    words = np.zeros_like(engine.words)
    words[STOP_WORD] = 1 << 30
    settings = engine.settings.copy()
    settings[states.SETTING_PROCESS] = settings[states.SETTING_FIRST] = 0
    settings[states.SETTING_POLICY] = 0
    cursors = np.zeros_like(engine.ring.cursors)
    cursors[:2] = int(engine.market.scalars[0]["position"])
    scratch = engine._replace(
        ring=Broadcast(cursors, np.zeros(1024, EVENT_DTYPE)),
        command_cursors=np.zeros_like(engine.command_cursors),
        commands=np.zeros(len(engine.command_cursors), COMMAND_DTYPE),
        lock=np.zeros_like(engine.lock),
        doorbells=np.zeros_like(engine.doorbells),
        words=words,
        processes=np.zeros_like(engine.processes),
        process_words=np.zeros(PROCESS_LIMIT * PROCESS_WORDS, np.int64),
        settings=settings,
    )
    assert loop.run(scratch) == loop.STOPPED


def run_loop(engine: Engine, context: RoleContext) -> int:
    """The loop; what it dies of is told to the successor."""
    host.mark_crashes(context.control.lock, context.control.words)
    try:
        return int(loop.run(engine))
    except BaseException:
        # A broken invariant. This thread ends, and with it the lock's ownership.
        host.mark_crash()
        traceback.print_exc()
        os._exit(EXIT_FAILED)


def _say_skipped(context: RoleContext, found: Recovered) -> None:
    """Warn of each snapshot that could not be used: its file, what is wrong, what to do."""
    begin = found.snapshot.name if found.snapshot else "the beginning of the journal"
    for each in found.skipped:
        say(
            f"{context.role}: {each}; skipped: the state is that of {begin} and {found.replayed}"
            " events behind it. `shmx snapshot` takes another one; if nobody has changed the file,"
            " the configuration or the build, look at the disk",
            WARNING,
        )


def follow_and_serve(context: RoleContext, *, first: bool) -> int:
    """Recover, then run the loop to its end; the exit code of the process."""
    market = empty_market(context.configuration, context.engine)
    engine = build_engine(context, market, first=first)
    warm_up(engine)
    if not first:
        limit_ms = context.configuration.exchange.hang_limit_ms
        Watcher(context.wiring, context.process, limit_ms, context.role).start()
    outcome = loop.LAPPED
    while outcome in _BEGIN_AGAIN:
        if not first:
            context.set_state(STATE_STARTING)  # it takes its time, and cannot succeed meanwhile
        market = empty_market(context.configuration, context.engine)
        found = recover(market, context.state_directory, context.owner, context.wiring.ring)
        if first:  # once: all others find the same
            _say_skipped(context, found)
        engine = engine._replace(market=market)
        if not first:
            context.set_state(STATE_READY)
        outcome = run_loop(engine, context)
        if outcome == loop.DIFFERS:
            place = int(engine.market.scalars[0]["differs"])
            say(f"{context.role}: position {place}: {_OUTCOMES[outcome]}", ERROR)
    if outcome == loop.HANDED_OVER:
        return EXIT_DONE  # the lines in shared memory are the successor's
    # A standby that became the matcher speaks under the matcher's number.
    line = 0 if int(context.control.processes[0]["pid"]) == os.getpid() else context.process
    context.control.processes[line]["state"] = (
        STATE_STOPPED if outcome == loop.STOPPED else STATE_FAILED
    )
    if outcome == loop.STOPPED:
        return EXIT_DONE
    policy = POLICY_NAMES[context.policy]
    say(f"{context.role} ({policy}): {_OUTCOMES[outcome]}", ERROR)
    return EXIT_FAILED


def run(context: RoleContext) -> int:
    """The matcher of an engine that has none: takes the lock at once."""
    return follow_and_serve(context, first=True)
