"""Shell: the process of a market-data gateway: one pump per engine, each in a thread, and Python.

The feed is served from its first message, so its log is built before the first client is let in,
from where the day rolled (`gateways/itch/feed_start.py`). Where that takes long it begins with the
newest snapshot: whoever asks for what is before that waits until another thread has the whole log
(`gateways/itch/past.py`). When it was lapped it goes on with the log from the journal; when its
replica is not what the matcher has, it builds another log.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence

import numpy as np

from gateways.connection import create_connections
from gateways.control import PumpDoor, listen, log
from gateways.credentials import Credentials
from gateways.itch import pump as loop
from gateways.itch import state
from gateways.itch.ended_feed import EndedFeed, keep_feed
from gateways.itch.feed_log import BASE, COUNT, SIZE, FeedLog
from gateways.itch.feed_start import begin_whole, require_beginning
from gateways.itch.follower import Follower
from gateways.itch.glimpse import Glimpse, Source
from gateways.itch.log_file import close_feed_log, create_feed_log, extend, is_exhausted
from gateways.itch.multicast_end import say_end
from gateways.itch.multicast_sockets import (
    begin_feeds,
    closed_multicast,
    end_again,
    open_multicast,
)
from gateways.itch.outbound import KNOWN_WORDS
from gateways.itch.past import Past, begin_late, take_place
from gateways.itch.requests import RequestServer, open_requests
from gateways.itch.state import FeedPump
from gateways.mailbox import LETTER, Mailbox
from gateways.news import credentials_of
from gateways.outcomes import DIFFERS, FEED_ENDS, HISTORY, LAPPED, LOG_FULL, STOPPED
from gateways.startup import (
    Desk,
    Service,
    do_beside,
    is_open,
    open_mailbox,
    serve_pumps,
    stream_name,
    wait_for_matcher,
)
from ringbuf import layout
from ringbuf.broadcast import DURABLE, PUBLISHED, Broadcast
from ringbuf.syscalls import EPOLL_CLOEXEC, epoll_create1
from ringbuf.waiting import SPIN
from shm_exchange.addresses import split_address
from shm_exchange.config import Configuration, Gateway
from shm_exchange.errors import ExchangeError
from shm_exchange.history import History
from shm_exchange.market import Market
from shm_exchange.messages import EVENT_DTYPE
from shm_exchange.operator_line import INFO
from shm_exchange.recovery import empty_market
from shm_exchange.roles import RoleContext
from shm_exchange.wiring import COUNTER_PAST

MAILBOX_LETTERS = 1 << 14
EVENTS_PER_READ = 16_384
INBOUND_SIZE = 1 << 12  # a client's heartbeats
OUTBOUND_SIZE = 1 << 12  # login accepted and heartbeats; the feed comes from the log
ROOM_RETRY_SECONDS = 0.02
COMPARED_SIZE = 1 << 20  # bytes of two logs that are compared in one go
_FAILURES = {
    LOG_FULL: "the feed's log is full; roll the day",
    DIFFERS: "what the journal gives differs from what the matcher had: it is damaged",
}


def build_pump(context: RoleContext, gateway: Gateway, mailbox: Mailbox) -> FeedPump:
    """Everything the loop touches, at position 0."""
    settings = np.zeros(state.SETTING_COUNT, np.int64)
    settings[state.SETTING_PROCESS] = context.process
    settings[state.SETTING_POLICY] = context.policy
    settings[state.SETTING_ENGINE] = context.engine
    settings[state.SETTING_EPOLL] = epoll_create1(EPOLL_CLOEXEC)
    settings[state.SETTING_VISIBLE] = DURABLE if context.holds else PUBLISHED
    return FeedPump(
        market=empty_market(context.configuration, context.engine),
        ring=context.wiring.ring,
        log=create_feed_log(context.state_directory),
        known=np.zeros(KNOWN_WORDS, np.int64),
        connections=create_connections(gateway.clients_max, INBOUND_SIZE, OUTBOUND_SIZE),
        multicast=open_multicast(gateway),
        mailbox=mailbox,
        doorbells=context.control.doorbells,
        control_words=context.control.words,
        process_words=context.wiring.process_words,
        bells=context.bells,
        patience=np.zeros(2, np.int64),
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
        multicast=closed_multicast(),
        words=np.zeros_like(pump.words),
    )
    assert loop.run(scratch) == STOPPED
    loop.keep_alive(scratch)
    loop.send_on(scratch)
    loop.change_log(scratch, 0)
    loop.end_feed(scratch)
    say_end(scratch.multicast)


def same_bytes(first: FeedLog, second: FeedLog) -> int:
    """How many bytes two logs have in common from the beginning on; -1: they begin elsewhere."""
    if first.words[BASE] != second.words[BASE]:
        return -1
    size = int(min(first.words[SIZE], second.words[SIZE]))
    for start in range(0, size, COMPARED_SIZE):
        end = min(size, start + COMPARED_SIZE)
        differing = np.flatnonzero(first.data[start:end] != second.data[start:end])
        if len(differing):
            return start + int(differing[0])
    return size


class FeedService(Service):
    """A market-data gateway for one engine."""

    pump: FeedPump

    def __init__(self, context: RoleContext, gateway: Gateway) -> None:
        super().__init__(
            context,
            PumpDoor(
                engine=context.engine,
                mailbox=open_mailbox(MAILBOX_LETTERS),
                stream=lambda: stream_name(self.pump.market),
                free=list(range(gateway.clients_max - 1, -1, -1)),
                is_early=lambda number: 0 < number <= int(self.pump.log.words[BASE]),
            ),
        )
        self.ended = EndedFeed()
        self._gateway = gateway
        self.follower = Follower(context, self._told, log)
        self._past: Past | None = None

    def start(self) -> bool:
        """Have the feed so far in the log."""
        self.pump = build_pump(self.context, self._gateway, self.door.mailbox)
        warm_up(self.pump)  # first: where it must be compiled, the matcher compiles beside us
        if not wait_for_matcher(self.context):
            return False
        if self._gateway.glimpse_address is not None:
            self.follower.start()
        self.pump, first = begin_late(self.context, self.pump)
        if first is not None:
            self._past = Past(self.context, self.pump, first)
        self._say_past(first or self.pump.market)
        self._ingest_all(self.pump)
        if self.context.stopping():
            return False
        if self._past is None:
            require_beginning(self.pump)
            self._say_past(None)
        begin_feeds(self.pump, self.context.line)
        if self._past is not None:
            self._past.start()
        return True

    def run(self) -> int:
        """Pump until the exchange stops, or the log is full."""
        while True:
            outcome = loop.run(self.pump)
            if outcome == LOG_FULL and self._extend(self.pump):
                continue
            if outcome == FEED_ENDS:
                self._end_feed()
                continue
            if outcome == HISTORY:
                outcome = self._prepend()
                if outcome == 0:
                    continue
            if outcome == LAPPED:
                outcome = self._catch_up()
                if outcome == 0:
                    continue
            if outcome != DIFFERS:
                return outcome
            self._build_anew()

    def follow(self, configuration: Configuration) -> None:
        """The feed says nothing of what may be changed."""

    def finish(self) -> None:
        """The end of the multicast session, said more than once."""
        end_again(self.pump.multicast)

    def _say_past(self, first: Market | None) -> None:
        """We read the journal from this market on; None: from where the pump is."""
        row = self.context.control.processes[self.context.process]
        position = -1 if first is None else int(first.scalars[0]["position"])
        row["counter"][COUNTER_PAST] = 1 + position

    def _told(self) -> int:
        """Messages of the feed that its clients may have by now."""
        return int(self.pump.log.words[COUNT])

    def _prepend(self) -> int:
        """Serve from the whole log: 0, or an outcome. Nobody else runs the pump now."""
        assert self._past is not None
        if self._past.error is not None:
            raise self._past.error
        whole = self._past.pump
        outcome = self._ingest_until(whole, int(self.pump.market.scalars[0]["position"]))
        if outcome == 0:
            old, self.pump, self._past = self.pump, take_place(self.pump, whole), None
            self._say_past(None)
            close_feed_log(old.log)
            log("market data gateway: the feed is there from its first message on", INFO)
        return outcome

    def _ingest_until(self, pump: FeedPump, stop: int) -> int:
        """The same as `_ingest`, up to a position that another pump has reached."""
        context = self.context
        ring, directory = context.wiring.ring, context.state_directory
        history = History(ring, directory, context.owner, held=context.holds)
        with contextlib.closing(history):
            while (position := int(pump.market.scalars[0]["position"])) < stop:
                events = history.read(position, min(EVENTS_PER_READ, stop - position))
                outcome = int(loop.ingest(pump, events, len(events), position))
                if outcome and not (outcome == LOG_FULL and self._extend(pump)):
                    return outcome
        return 0

    def _ingest(self, pump: FeedPump, meanwhile: Callable[[FeedPump], object]) -> int:
        """Encode all that has happened since, or until the exchange stops: 0, or an outcome.

        meanwhile: called with the serving pump now and then.
        """
        context = self.context
        directory, owner = context.state_directory, context.owner
        history = History(context.wiring.ring, directory, owner, held=context.holds)
        with contextlib.closing(history):
            while not context.stopping():
                position = int(pump.market.scalars[0]["position"])
                events = history.read(position, EVENTS_PER_READ)
                outcome = int(loop.ingest(pump, events, len(events), position))
                if outcome == LOG_FULL and self._extend(pump):
                    continue
                if outcome == FEED_ENDS:
                    self._end_feed()
                    pump = self.pump
                    continue
                if outcome or len(events) == 0:
                    return outcome
                meanwhile(self.pump)
        return 0

    def _extend(self, pump: FeedPump) -> bool:
        """Make its log longer, once the disk has room for that; False when it cannot be longer."""
        waiting = False
        while not is_exhausted(pump.log):
            if extend(pump.log) or self.context.stopping():
                if waiting:
                    log("market data gateway: there is room on the disk again", INFO)
                return True
            if not waiting:
                waiting = True
                self.ended.forget()
                log("market data gateway: no room on the disk for the feed's log: waiting")
            loop.keep_alive(self.pump)
            loop.send_on(self.pump)
            time.sleep(ROOM_RETRY_SECONDS)
        return False

    def _ingest_all(self, pump: FeedPump) -> None:
        """The same into a new log. Raises ExchangeError when it cannot be had."""
        outcome = self._ingest(pump, loop.keep_alive)
        if outcome:
            raise ExchangeError(_FAILURES[outcome])

    def _end_feed(self) -> None:
        """The day has rolled: the clients of this feed are told; the next has a log of its own."""
        old = self.pump
        if self._past is not None:
            self._past.give_up()
            self._past = None
            self._say_past(None)
        loop.end_feed(old)
        self.ended.forget()
        self.ended = keep_feed(old)
        self.pump = old._replace(log=create_feed_log(self.context.state_directory))
        close_feed_log(old.log)
        log("market data gateway: the day has rolled; another feed begins", INFO)

    def _catch_up(self) -> int:
        """What the ring no longer has is in the journal; clients are sent it as it is encoded."""
        began = int(self.pump.market.scalars[0]["position"])
        log(f"market data gateway: lapped at position {began}; catching up")

        def send(pump: FeedPump) -> None:
            loop.keep_alive(pump)
            loop.send_on(pump)

        outcome = self._ingest(self.pump, send)
        if outcome == 0:
            position = int(self.pump.market.scalars[0]["position"])
            log(f"market data gateway: serving again at position {position}", INFO)
        return outcome

    def _build_anew(self) -> None:
        """Another replica, another log. Who has read what is not in that has to come again."""
        started = time.monotonic()
        old = self.pump
        if self._past is not None:
            self._past.give_up()
            self._past = None
            self._say_past(None)
        differs = int(old.market.scalars[0]["differs"])
        log(f"market data gateway: its replica differs at position {differs}; building another one")
        empty = old._replace(log=create_feed_log(self.context.state_directory))
        new = do_beside(lambda: begin_whole(self.context, empty), lambda: loop.keep_alive(old))
        self._say_past(new.market)
        self._ingest_all(new)
        if self.context.stopping():
            return
        require_beginning(new)
        self._say_past(None)
        self.pump = new
        loop.change_log(new, same_bytes(old.log, new.log))
        close_feed_log(old.log)
        seconds = time.monotonic() - started
        position = int(new.market.scalars[0]["position"])
        log(
            f"market data gateway: serving again at position {position}, after {seconds:.3f} s",
            INFO,
        )


def _glimpse(
    listener: socket.socket, services: Sequence[FeedService], credentials: Credentials
) -> Desk:
    """The endpoint that gives snapshots of the same engines."""
    sources = [Source(each.door, each.follower) for each in services]
    host, port = listener.getsockname()[:2]
    log(f"market data gateway: GLIMPSE at {host}:{port}", INFO)
    contexts = [each.context for each in services]
    return Glimpse(credentials, listener, sources, lambda: is_open(contexts)).run


def _requests(server: socket.socket, service: FeedService, rate_max: int) -> Desk:
    """The server that says again what a listener of the multicast feeds missed."""
    host, port = server.getsockname()
    log(f"market data gateway: re-request server at {host}:{port}", INFO)
    return RequestServer(server, lambda: service.pump, lambda: service.ended, rate_max).run


def run(contexts: list[RoleContext]) -> int:
    """The gateway, until the exchange stops or a pump fails; the exit code."""
    gateway = contexts[0].configuration.sources[contexts[0].source]
    credentials = credentials_of(contexts[0])
    listener = listen(*split_address(gateway.address))
    services = [FeedService(context, gateway) for context in contexts]
    beside: list[Desk] = []
    if gateway.glimpse_address is not None:
        snapshots = listen(*split_address(gateway.glimpse_address))
        beside.append(_glimpse(snapshots, services, credentials))
    if gateway.request_address is not None:
        server = open_requests(*split_address(gateway.request_address))
        beside.append(_requests(server, services[0], gateway.requests_per_second))
    return serve_pumps(listener, services, credentials, beside)
