"""Shell: the process of a market-data gateway: one pump per engine, each in a thread, and Python.

It begins at position 0, whatever the time of day: the feed is served from its first message, so
its log is built from the journal before the first client is let in.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from gateways.connection import create_connections
from gateways.control import PumpDoor, listen
from gateways.itch import pump as loop
from gateways.itch import state
from gateways.itch.feed_log import create_feed_log
from gateways.itch.state import FeedPump
from gateways.mailbox import LETTER
from gateways.startup import open_mailbox, serve_pumps, stream_name, wait_for_matcher
from ringbuf import layout
from ringbuf.broadcast import Broadcast
from ringbuf.syscalls import EPOLL_CLOEXEC, epoll_create1
from ringbuf.waiting import SPIN
from shm_exchange.addresses import split_address
from shm_exchange.config import Gateway
from shm_exchange.errors import ExchangeError
from shm_exchange.history import History
from shm_exchange.messages import EVENT_DTYPE
from shm_exchange.recovery import empty_market
from shm_exchange.roles import EXIT_DONE, RoleContext

MAILBOX_LETTERS = 1 << 14
EVENTS_PER_READ = 16_384
INBOUND_SIZE = 1 << 12  # a client's heartbeats
OUTBOUND_SIZE = 1 << 12  # login accepted and heartbeats; the feed comes from the log


def build_pump(context: RoleContext, gateway: Gateway) -> FeedPump:
    """Everything the loop touches, at position 0."""
    settings = np.zeros(state.SETTING_COUNT, np.int64)
    settings[state.SETTING_PROCESS] = context.process
    settings[state.SETTING_POLICY] = context.policy
    settings[state.SETTING_ENGINE] = context.engine
    settings[state.SETTING_EPOLL] = epoll_create1(EPOLL_CLOEXEC)
    return FeedPump(
        market=empty_market(context.configuration, context.engine),
        ring=context.wiring.ring,
        log=create_feed_log(context.state_directory),
        connections=create_connections(gateway.clients_max, INBOUND_SIZE, OUTBOUND_SIZE),
        mailbox=open_mailbox(MAILBOX_LETTERS),
        doorbells=context.control.doorbells,
        control_words=context.control.words,
        process_words=context.wiring.process_words,
        bells=context.bells,
        settings=settings,
        words=np.zeros(state.WORD_COUNT, np.int64),
        clock=np.zeros(2, np.int64),
        letter=np.zeros(1, LETTER.dtype),
        copied=np.zeros(state.EVENTS_PER_PASS, EVENT_DTYPE),
        ready=np.zeros(state.EPOLL_EVENT_SIZE * state.READY_PER_PASS, np.uint8),
    )


def warm_up(pump: FeedPump) -> None:
    """Load the machine code of the loop, on scratch memory that says: stop at once."""
    words = np.zeros_like(pump.control_words)
    words[layout.STOP] = 1
    settings = pump.settings.copy()
    settings[state.SETTING_EPOLL] = -1
    settings[state.SETTING_PROCESS] = 0
    settings[state.SETTING_POLICY] = SPIN
    scratch = pump._replace(
        ring=Broadcast(np.zeros_like(pump.ring.cursors), np.zeros(64, EVENT_DTYPE)),
        control_words=words,
        process_words=np.zeros(layout.PROCESS_LIMIT * layout.PROCESS_WORDS, np.int64),
        doorbells=np.zeros_like(pump.doorbells),
        bells=np.full_like(pump.bells, -1),
        settings=settings,
    )
    assert loop.run(scratch) == loop.STOPPED


def build_log(pump: FeedPump, history: History) -> None:
    """Encode everything that has happened so far. Raises ExchangeError when it is not there."""
    position = 0
    while True:
        events = history.read(position, EVENTS_PER_READ)
        if len(events) == 0:
            return
        if not loop.ingest(pump, events, len(events), position):
            raise ExchangeError("the feed's log is full; roll the day")
        position += len(events)


def start_pump(context: RoleContext, gateway: Gateway) -> tuple[FeedPump, PumpDoor] | None:
    """A pump with the feed so far in its log; None when the exchange stops first."""
    if not wait_for_matcher(context):
        return None
    pump = build_pump(context, gateway)
    warm_up(pump)
    history = History(context.wiring.ring, context.state_directory, context.owner)
    build_log(pump, history)
    history.close()
    door = PumpDoor(
        engine=context.engine,
        mailbox=pump.mailbox,
        stream=lambda: stream_name(pump.market),
        free=list(range(gateway.clients_max - 1, -1, -1)),
    )
    return pump, door


def run(contexts: list[RoleContext]) -> int:
    """The gateway, until the exchange stops or a pump fails; the exit code."""
    gateway = contexts[0].configuration.sources[contexts[0].source]
    listener = listen(*split_address(gateway.address))
    started = [start_pump(context, gateway) for context in contexts]
    pumps = [each for each in started if each is not None]
    if len(pumps) < len(contexts):
        return EXIT_DONE
    runs = [partial(loop.run, pump) for pump, _ in pumps]
    return serve_pumps(contexts, listener, [door for _, door in pumps], runs)
