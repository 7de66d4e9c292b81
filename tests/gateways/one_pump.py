"""The pump of an order gateway in this process: real sockets and rings, and nobody who matches."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gateways import connection as c
from gateways.ouch import state
from gateways.ouch.process import build_pump
from gateways.ouch.state import OrderPump
from gateways.startup import open_mailbox
from ringbuf import spsc
from ringbuf.waiting import SPIN
from shm_exchange import config, wiring
from shm_exchange.recovery import empty_market
from shm_exchange.roles import RoleContext

SOURCE = 2
PROCESS = wiring.PROCESS_SOURCE_FIRST + SOURCE
CONFIGURATION = """\
[[engine]]
event_ring_records = 1024
command_ring_records = 8192
slots_per_gateway = 16384
[[instrument]]
symbol = "AAPL"
tick = 0.01
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
clients_max = 4
{more}
[[session_range]]
prefix = "S"
last = 4
password = "demo"
"""


class Pump:
    """A pump with clients that are logged in."""

    def __init__(self, pump: OrderPump) -> None:
        self.pump = pump
        self.clients: list[socket.socket] = []

    def connect(self, now_ns: int) -> socket.socket:
        """The next client; its number is that of its session too."""
        near, far = socket.socketpair()
        near.setblocking(False)
        number = len(self.clients)
        self.clients.append(near)
        pump, fd = self.pump, far.detach()
        c.reset(pump.connections, number, fd, number, 1 << 60, 0, now_ns)
        pump.connections.rows["state"][number] = c.LIVE
        c.watch(pump.settings[state.SETTING_EPOLL], fd, number, pump.ready)
        pump.words[state.ROWS_USED] = number + 1
        return near

    def close(self) -> None:
        """All that is open."""
        for client in self.clients:
            client.close()
        for fd in self.pump.connections.rows["fd"]:
            if fd >= 0:
                os.close(int(fd))
        os.close(int(self.pump.settings[state.SETTING_EPOLL]))

    @property
    def commands(self) -> int:
        """How many records the clients' requests have become."""
        return int(self.pump.words[state.COMMAND_POSITION])

    def all_done(self) -> None:
        """As if the matcher had done every command, and its events had been seen."""
        done = self.commands
        self.pump.market.gateways["command_next"][SOURCE] = done
        self.pump.desk.commands.cursors[spsc.CONSUMED] = done


def pump_of(
    name: str, file: Path, bells: np.ndarray, source: int = SOURCE
) -> tuple[OrderPump, wiring.Wiring]:
    """The pump of a configuration's only gateway. name: of the segments, which are the caller's."""
    configuration = config.load(file)
    engine = configuration.engines[0]
    made = wiring.create(
        *(name, 1, 1, 0),
        event_records=engine.event_ring_records,
        command_records=engine.command_ring_records,
        gateway_count=1,
        gated=False,
    )
    context = RoleContext(
        name=name,
        engine=1,
        role="order",
        process=wiring.PROCESS_SOURCE_FIRST + source,
        source=source,
        configuration=configuration,
        state_directory=file.parent,
        policy=SPIN,
        wiring=made,
        bells=bells,
    )
    market, gateway = empty_market(configuration, 1), configuration.sources[source]
    return build_pump(context, market, gateway, open_mailbox(64)), made


@contextmanager
def one_pump(name: str, directory: Path, more: str = "") -> Iterator[Pump]:
    """No client yet. name: of the segments, which are the caller's; more: of the gateway's keys."""
    file = directory / "one.toml"
    file.write_text(CONFIGURATION.format(more=more), encoding="utf-8")
    bells = np.full(64, -1, np.int64)
    bells[PROCESS] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    made_pump, made = pump_of(name, file, bells)
    pump = Pump(made_pump)
    try:
        yield pump
    finally:
        pump.close()
        os.close(int(bells[PROCESS]))
        wiring.remove(name, 1)
        made.close()
