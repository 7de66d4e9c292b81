"""Shell: the process of an order gateway: one pump per engine, each in a thread, and Python.

A gateway that comes after a dead one of the same number first waits until the matcher has done
what that one had published: only then does its replica say which slots are free. A replica that
was lapped, or is not what the matcher has, is brought up to date in place: the clients stay
connected, wait, and miss nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import numpy as np

from gateways.connection import create_connections
from gateways.control import PumpDoor, listen, log
from gateways.mailbox import LETTER, Mailbox
from gateways.news import credentials_of
from gateways.order_index import OrderIndex, create_order_index, index_slots, insert_order
from gateways.ouch import pump as loop
from gateways.ouch import state
from gateways.ouch.follow import follow_all
from gateways.ouch.inbound import Desk, blank_command
from gateways.ouch.rejoin import rejoin
from gateways.ouch.replay import ReplayService
from gateways.ouch.state import Latencies, OrderPump
from gateways.ouch.tags import OUCH_REQUEST_DTYPE
from gateways.outcomes import DIFFERS, LAPPED, STOPPED, SUCCEEDS
from gateways.risk import create_risk
from gateways.startup import (
    POLL_SECONDS,
    Service,
    do_beside,
    open_mailbox,
    serve_pumps,
    stream_name,
    wait_for_matcher,
)
from ringbuf import layout, spsc
from ringbuf.broadcast import DURABLE, PUBLISHED, Broadcast
from ringbuf.errors import SegmentError
from ringbuf.spsc import Spsc
from ringbuf.syscalls import EPOLL_CLOEXEC, epoll_create1
from ringbuf.waiting import SPIN
from ringbuf.writer_lock import BROKEN, BUSY, owner_died, try_lock, unlock
from shm_exchange import latencies
from shm_exchange.addresses import split_address
from shm_exchange.config import USERNAME_SIZE, Configuration, Gateway, Session
from shm_exchange.errors import ExchangeError
from shm_exchange.history import History
from shm_exchange.market import Market, sparse
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    ORDER_TAGS,
    SLOT_BITS,
    CommandKind,
)
from shm_exchange.operator_line import INFO
from shm_exchange.promotion import Promotion
from shm_exchange.recovery import catch_up, empty_market, recover
from shm_exchange.roles import RoleContext
from shm_exchange.session_limits import limit_rows
from shm_exchange.slots import create_slots

NS_PER_SECOND = 1_000_000_000
MAILBOX_LETTERS = 1 << 14
EVENTS_PER_READ = 16_384
INDEX_CELLS_MIN = 1 << 12
GATEWAY_STARTED = int(CommandKind.GATEWAY_STARTED)


def symbol_index(market: Market) -> OrderIndex:
    """Raw symbol -> instrument + 1."""
    cells = max(64, 1 << (4 * len(market.instruments)).bit_length())
    index = create_order_index(cells)
    for number, row in enumerate(market.instruments):
        insert_order(index, int(row["symbol"]), number + 1)
    return index


def names_of(sessions: Sequence[Session]) -> np.ndarray:
    """int64[sessions]: six characters each, raw."""
    names = [each.username.encode("ascii").ljust(USERNAME_SIZE) for each in sessions]
    return np.array([int.from_bytes(each, "little") for each in names], np.int64)


def build_desk(context: RoleContext, market: Market, limits: np.ndarray) -> Desk:
    """Index and slots as the replica shows them. limits: int64[8 * sessions], as configured."""
    limit = int(market.scalars[0]["slots_per_gateway"])
    served = context.configuration.sources_of(context.engine).items()
    owners = {source for source, gateway in served if gateway.kind == "order"}
    owners.update(np.flatnonzero(market.gateways["slots_high_water"]).tolist())
    cells = max(INDEX_CELLS_MIN, 1 << (2 * limit * len(owners) - 1).bit_length())
    index = create_order_index(cells)
    for source, row in enumerate(market.gateways):
        index_slots(index, market.orders, source << SLOT_BITS, int(row["slots_high_water"]))
    offered = sparse(np.int32, limit)
    used = int(market.gateways[context.source]["slots_high_water"])
    own = market.orders[context.source << SLOT_BITS :][:used]
    offered[:used] = (own["instrument"].astype(np.int32) << 8) | own["side"]
    return Desk(
        commands=context.wiring.command_ring(context.source),
        order_index=index,
        symbols=symbol_index(market),
        slots=create_slots(market, context.source),
        instruments=market.instruments,
        offered=offered,
        tags=np.zeros(1, ORDER_TAGS.dtype),
        risk=create_risk(market, limits, context.source),
    )


def set_gateway(settings: np.ndarray, gateway: Gateway) -> None:
    """What of a gateway's configuration can be reloaded."""
    share = gateway.fair_share_per_second
    settings[state.SETTING_REFUSALS] = gateway.refusals_per_second
    settings[state.SETTING_INTERVAL_NS] = NS_PER_SECOND // share if share else 0


def build_pump(
    context: RoleContext, market: Market, gateway: Gateway, mailbox: Mailbox
) -> OrderPump:
    """Everything the loop touches."""
    settings = np.zeros(state.SETTING_COUNT, np.int64)
    settings[state.SETTING_SOURCE] = context.source
    settings[state.SETTING_PROCESS] = context.process
    settings[state.SETTING_POLICY] = context.policy
    settings[state.SETTING_ENGINE] = context.engine
    settings[state.SETTING_EPOLL] = epoll_create1(EPOLL_CLOEXEC)
    set_gateway(settings, gateway)
    settings[state.SETTING_COPIES] = int(market.sessions["drop_copy"].max(initial=0))
    settings[state.SETTING_VISIBLE] = DURABLE if context.holds else PUBLISHED
    return OrderPump(
        market=market,
        ring=context.wiring.ring,
        desk=build_desk(context, market, limit_rows(context.configuration.sessions)),
        connections=create_connections(
            gateway.clients_max, gateway.inbound_buffer_bytes, gateway.outbound_buffer_bytes
        ),
        mailbox=mailbox,
        by_session=np.zeros(len(market.sessions), np.int32),
        doorbells=context.control.doorbells,
        control_words=context.control.words,
        process_words=context.wiring.process_words,
        bells=context.bells,
        patience=np.zeros(2, np.int64),
        lock=context.control.lock,
        succession=np.ones(1, np.int64),
        settings=settings,
        words=np.zeros(state.WORD_COUNT, np.int64),
        clock=np.zeros(2, np.int64),
        request=np.zeros(1, OUCH_REQUEST_DTYPE),
        letter=np.zeros(1, LETTER.dtype),
        copied=np.zeros(state.EVENTS_PER_PASS, EVENT_DTYPE),
        passed=np.zeros(state.EVENTS_PER_PASS, EVENT_DTYPE),
        ready=np.zeros(state.EPOLL_EVENT_SIZE * state.READY_PER_PASS, np.uint8),
        tags=np.zeros(1, ORDER_TAGS.dtype),
        timed=np.zeros(state.TIMED_LIMIT, state.TIMED_ORDER.dtype),
        answered=np.zeros(2 * state.EVENTS_PER_PASS, np.int64),
        latencies=Latencies(*latencies.attach(context.name, context.engine, context.source)),
        names=names_of(context.configuration.sessions),
        replay=np.zeros(gateway.outbound_buffer_bytes // 2, np.uint8),
    )


def warm_up(pump: OrderPump) -> None:
    """Load the machine code of the loop, on scratch memory that says: stop at once."""
    words = np.zeros_like(pump.control_words)
    words[layout.STOP] = 1
    settings = pump.settings.copy()
    settings[state.SETTING_EPOLL] = -1
    settings[state.SETTING_PROCESS] = 0
    settings[state.SETTING_POLICY] = SPIN
    scratch = pump._replace(
        ring=Broadcast(np.zeros_like(pump.ring.cursors), np.zeros(64, EVENT_DTYPE)),
        desk=pump.desk._replace(commands=Spsc(np.zeros(32, np.int64), np.zeros(64, COMMAND_DTYPE))),
        control_words=words,
        process_words=np.zeros(layout.PROCESS_LIMIT * layout.PROCESS_WORDS, np.int64),
        doorbells=np.zeros_like(pump.doorbells),
        bells=np.full_like(pump.bells, -1),
        lock=np.zeros_like(pump.lock),
        settings=settings,
        words=np.zeros_like(pump.words),
    )
    assert loop.run(scratch) == STOPPED
    loop.keep_alive(scratch)
    follow_all(scratch.market, scratch.desk, pump.copied[:0], 0)
    rejoin(scratch, 0, 0)


class OrderService(Service):
    """An order gateway for one engine."""

    pump: OrderPump

    def __init__(self, context: RoleContext, gateway: Gateway) -> None:
        super().__init__(
            context,
            PumpDoor(
                engine=context.engine,
                mailbox=open_mailbox(MAILBOX_LETTERS),
                stream=lambda: stream_name(self.pump.market),
                free=list(range(gateway.clients_max - 1, -1, -1)),
            ),
        )
        self._gateway = gateway
        self._commands = context.wiring.command_ring(context.source)
        self._lock = context.wiring.producer_lock(context.source)

    def start(self) -> bool:
        """Be the only producer of our commands, have a replica that has seen them all."""
        context = self.context
        empty = empty_market(context.configuration, context.engine)
        pump = build_pump(context, empty, self._gateway, self.door.mailbox)
        warm_up(pump)  # first: where it must be compiled, the matcher compiles beside us
        if not self._take_lock() or not wait_for_matcher(context):
            return False
        history = self._history()
        market = self._replica(history)
        if market is None:
            return False
        desk = build_desk(context, market, pump.desk.risk.configured)
        self.pump = pump._replace(market=market, desk=desk)
        # After a restart the ring is a new one, but its positions go on where the journal ends.
        first = int(market.gateways[context.source]["command_next"])
        self.pump.words[state.COMMAND_POSITION] = first
        self.pump.words[state.COMMAND_PUBLISHED] = first
        self._promotion = Promotion(context)
        self.pump.settings[state.SETTING_GRACE_NS] = self._promotion.grace_ns
        self.pump = self.pump._replace(succession=self._promotion.words)
        self._say_started()
        self.door.on_letter = ReplayService(self.pump, history).on_letter
        self.door.is_bound = self._is_bound
        return True

    def run(self) -> int:
        """Pump until the exchange stops."""
        while True:
            outcome = loop.run(self.pump)
            if outcome == STOPPED:
                unlock(self._lock)
                return STOPPED
            if outcome == SUCCEEDS:
                self._succeed()
            else:
                self._catch_up(outcome)

    def follow(self, configuration: Configuration) -> None:
        """Names, which drop copies say; limits, which the pump looks at when LIMITS says so."""
        self.pump.names[:] = names_of(configuration.sessions)
        self.pump.desk.risk.configured[:] = limit_rows(configuration.sessions)
        set_gateway(self.pump.settings, configuration.sources[self.context.source])

    def finish(self) -> None:
        """Our copy may be the matcher: then the process lives as long as that."""
        self._promotion.wait()

    def _succeed(self) -> None:
        """Nobody matches: a copy of our replica may, while we go on as before."""
        if not self._promotion.is_due():
            self.pump.words[state.WRITER_DEAD_NS] = 0  # asks again after the same grace
            return
        self._promotion.begin(self.pump.market)
        position = int(self.pump.market.scalars[0]["position"])
        log(f"order gateway: no matcher and no standby at position {position}; a copy takes over")

    def _history(self) -> History:
        context = self.context
        directory, owner = context.state_directory, context.owner
        return History(context.wiring.ring, directory, owner, held=context.holds)

    def _take_lock(self) -> bool:
        """Wait until no other process offers commands under our number; False: stopping.

        In the pump's own thread: the lock is free for others when that is dead, and not before.
        """
        while (code := try_lock(self._lock)) == BUSY:
            if self.context.stopping():
                return False
            time.sleep(POLL_SECONDS)
        if code == BROKEN:
            raise SegmentError(f"the lock of command ring {self.context.source} is unusable")
        return True

    def _replica(self, history: History) -> Market | None:
        """A replica that has seen all that was ever asked under our number; None: stopping."""
        context = self.context
        market = empty_market(context.configuration, context.engine)
        ring = context.wiring.ring
        position = recover(market, context.state_directory, context.owner, ring).position
        asked = int(spsc.published(self._commands))
        gateway = market.gateways[context.source : context.source + 1]
        while int(gateway["command_next"][0]) < asked or history.end() < position:
            if context.stopping():
                return None
            time.sleep(POLL_SECONDS)
            position = catch_up(market, history, position)
        if market.scalars[0]["differs"]:
            raise ExchangeError(
                f"what snapshot and journal give differs at position {market.scalars[0]['differs']}"
                " from what the matcher had: one of them is damaged"
            )
        return market

    def _is_bound(self, session: int) -> bool:
        """Whether a session's last gateway is dead, and the market has not heard of it."""
        market, wiring = self.pump.market, self.context.wiring
        row = market.sessions[session]
        source = int(row["gateway"])
        gateway = market.gateways[source]
        if not row["connected"] or source == self.context.source or not gateway["alive"]:
            return False
        lives = int(wiring.command_ring(source).cursors[spsc.INCARNATION])
        return bool(owner_died(wiring.producer_lock(source)) or lives != gateway["incarnation"])

    def _say_started(self) -> None:
        """The first command of this life. Nothing of an earlier life counts after it."""
        known = int(self.pump.market.gateways[self.context.source]["incarnation"])
        incarnation = max(known, int(self._commands.cursors[spsc.INCARNATION])) + 1
        self._commands.cursors[spsc.INCARNATION] = incarnation
        position = int(self.pump.words[state.COMMAND_POSITION])
        blank_command(self.pump.desk, position, GATEWAY_STARTED, 0, 0, time.time_ns())
        records = self._commands.records  # what a kernel returns to Python is a copy
        records[position & (len(records) - 1)]["user_ref"] = incarnation
        self.pump.words[state.COMMAND_POSITION] = position + 1

    def _catch_up(self, outcome: int) -> None:
        """Bring the replica to the present, and let the clients go on where they were."""
        started = time.monotonic()
        told = int(self.pump.market.scalars[0]["position"])
        if outcome == LAPPED:
            log(f"order gateway: lapped at position {told}; its clients wait until it caught up")
        else:
            log(f"order gateway: its replica differs at position {told}; building another one")
        found = do_beside(lambda: self._present(outcome), lambda: loop.keep_alive(self.pump))
        if found is None:
            return  # the loop will see that the exchange stops
        self.pump = found
        rejoin(found, told, time.time_ns())
        position = int(found.market.scalars[0]["position"])
        seconds = time.monotonic() - started
        log(f"order gateway: serving again at position {position}, after {seconds:.3f} s", INFO)

    def _present(self, outcome: int) -> OrderPump | None:
        """The pump with all that has happened in its replica; None: stopping. In another thread."""
        pump, context = self.pump, self.context
        history = self._history()
        with contextlib.closing(history):
            behind = history.end() - int(pump.market.scalars[0]["position"])
            every = context.configuration.engine(context.engine).snapshot_every_events
            if outcome == DIFFERS or behind > every:  # the newest snapshot is nearer than we are
                market = self._replica(history)
                if market is None:
                    return None
                desk = build_desk(context, market, pump.desk.risk.configured)
                pump = pump._replace(market=market, desk=desk)
            while not context.stopping():
                position = int(pump.market.scalars[0]["position"])
                events = history.read(position, EVENTS_PER_READ)
                if len(events) == 0:
                    return pump
                follow_all(pump.market, pump.desk, events, position)
                if pump.market.scalars[0]["differs"]:
                    return self._present(DIFFERS)
        return None


def run(contexts: list[RoleContext]) -> int:
    """The gateway, until the exchange stops or a pump fails; the exit code."""
    gateway = contexts[0].configuration.sources[contexts[0].source]
    credentials = credentials_of(contexts[0])
    listener = listen(*split_address(gateway.address))
    services = [OrderService(context, gateway) for context in contexts]
    return serve_pumps(listener, services, credentials)
