"""Shell: the process of an order gateway: one pump per engine, each in a thread, and Python.

A gateway that comes after a dead one of the same number first waits until the matcher has done
what that one had published: only then does its replica say which slots are free.
"""

from __future__ import annotations

import os
import time
from functools import partial

import numpy as np

from gateways.connection import create_connections
from gateways.control import PumpDoor, listen
from gateways.mailbox import LETTER
from gateways.order_index import OrderIndex, create_order_index, index_slots, insert_order
from gateways.ouch import pump as loop
from gateways.ouch import state
from gateways.ouch.inbound import Desk, blank_command
from gateways.ouch.replay import ReplayService
from gateways.ouch.state import OrderPump
from gateways.ouch.tags import OUCH_REQUEST_DTYPE
from gateways.startup import POLL_SECONDS, open_mailbox, serve_pumps, stream_name, wait_for_matcher
from ringbuf import layout, spsc
from ringbuf.broadcast import Broadcast
from ringbuf.spsc import Spsc
from ringbuf.syscalls import EPOLL_CLOEXEC, epoll_create1
from ringbuf.waiting import SPIN
from shm_exchange.addresses import split_address
from shm_exchange.config import Gateway
from shm_exchange.history import History
from shm_exchange.market import Market, sparse
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    SLOT_BITS,
    CommandKind,
)
from shm_exchange.recovery import catch_up, empty_market, recover
from shm_exchange.roles import EXIT_DONE, RoleContext
from shm_exchange.slots import create_slots

MAILBOX_LETTERS = 1 << 14
INDEX_CELLS_MIN = 1 << 12
GATEWAY_STARTED = int(CommandKind.GATEWAY_STARTED)


def symbol_index(market: Market) -> OrderIndex:
    """Raw symbol -> instrument + 1."""
    cells = max(64, 1 << (4 * len(market.instruments)).bit_length())
    index = create_order_index(cells)
    for number, row in enumerate(market.instruments):
        insert_order(index, int(row["symbol"]), number + 1)
    return index


def build_desk(context: RoleContext, market: Market) -> Desk:
    """Index and slots as the replica shows them."""
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
    )


def build_pump(context: RoleContext, market: Market, gateway: Gateway) -> OrderPump:
    """Everything the loop touches."""
    settings = np.zeros(state.SETTING_COUNT, np.int64)
    settings[state.SETTING_SOURCE] = context.source
    settings[state.SETTING_PROCESS] = context.process
    settings[state.SETTING_POLICY] = context.policy
    settings[state.SETTING_ENGINE] = context.engine
    settings[state.SETTING_EPOLL] = epoll_create1(EPOLL_CLOEXEC)
    return OrderPump(
        market=market,
        ring=context.wiring.ring,
        desk=build_desk(context, market),
        connections=create_connections(
            gateway.clients_max, gateway.inbound_buffer_bytes, gateway.outbound_buffer_bytes
        ),
        mailbox=open_mailbox(MAILBOX_LETTERS),
        by_session=np.zeros(len(market.sessions), np.int32),
        doorbells=context.control.doorbells,
        control_words=context.control.words,
        process_words=context.wiring.process_words,
        bells=context.bells,
        settings=settings,
        words=np.zeros(state.WORD_COUNT, np.int64),
        clock=np.zeros(2, np.int64),
        request=np.zeros(1, OUCH_REQUEST_DTYPE),
        letter=np.zeros(1, LETTER.dtype),
        copied=np.zeros(state.EVENTS_PER_PASS, EVENT_DTYPE),
        passed=np.zeros(state.EVENTS_PER_PASS, EVENT_DTYPE),
        ready=np.zeros(state.EPOLL_EVENT_SIZE * state.READY_PER_PASS, np.uint8),
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
        settings=settings,
        words=np.zeros_like(pump.words),
    )
    assert loop.run(scratch) == loop.STOPPED


def start_pump(context: RoleContext, gateway: Gateway) -> tuple[OrderPump, PumpDoor] | None:
    """A pump whose replica has seen all that its number ever asked for; None: stopping."""
    if not wait_for_matcher(context):
        return None
    market = empty_market(context.configuration, context.engine)
    ring = context.wiring.ring
    position = recover(market, context.state_directory, context.owner, ring).position
    history = History(ring, context.state_directory, context.owner)
    commands = context.wiring.command_ring(context.source)
    left = int(spsc.published(commands))
    while int(market.gateways[context.source]["command_next"]) < left:
        time.sleep(POLL_SECONDS)
        position = catch_up(market, history, position)
    # After a restart the ring is a new one, but its positions go on where the journal ends.
    start = int(market.gateways[context.source]["command_next"])
    pump = build_pump(context, market, gateway)
    warm_up(pump)
    command = blank_command(pump.desk, start, GATEWAY_STARTED, 0, 0, time.time_ns())
    command["user_ref"] = os.getpid()
    pump.words[state.COMMAND_POSITION] = start + 1
    pump.words[state.COMMAND_PUBLISHED] = start
    door = PumpDoor(
        engine=context.engine,
        mailbox=pump.mailbox,
        stream=lambda: stream_name(market),
        free=list(range(gateway.clients_max - 1, -1, -1)),
        on_letter=ReplayService(pump, history).on_letter,
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
