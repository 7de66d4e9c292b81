"""Shell: one load through so many sessions, to an exchange and to a bare echo.

To the exchange it is a generated flow by the client of `shmx replay`; to the echo as many requests
of one size through as many connections, each with the same window.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateways import replay
from gateways.connection import watch
from gateways.load.client_pump import SENT_PER_PASS
from gateways.load.logins import configuration_of, credentials_of, locate
from gateways.load.own_replica import OwnReplica
from gateways.load.state import EPOLL_EVENT_SIZE, LIMIT, READY_PER_PASS, WINDOW, WINDOW_MIN
from perf import echo_sessions
from perf.echo_sessions import EchoLoad
from perf.exchange import connect, orders
from ringbuf.syscalls import EPOLL_CLOEXEC, epoll_create1
from shm_exchange import presence
from shm_exchange.flow import load as load_flow


class Taken(NamedTuple):
    """What became of a load. latencies: int64[n], ns from sent to the first answer."""

    messages_per_second: float
    latencies: np.ndarray


def to_exchange(flow_file: Path, name: str, sessions: int, symbol: str) -> Taken:
    """The flow to an exchange with one gateway for orders; its feed must say the same book."""
    flow = load_flow(flow_file)
    directory = Path(presence.find(name)["state_directory"])
    configuration = configuration_of(directory)
    engine, number = locate(configuration, symbol)
    credentials = credentials_of(configuration, sessions)
    limit = configuration.engine(engine).slots_per_gateway
    with OwnReplica(configuration, name, engine, directory) as replica:
        row = replica.market.instruments[number]
        load = replay.prepare(flow, sessions, row, limit, None, strangers=False)
        assert load.words[LIMIT] == window(sessions)
        replay.warm_up(load)
        with replay.Driver(load, name, engine, replica.stream, credentials) as driver:
            driver.send_flow()
            assert driver.feed_matches(replica, number)
    rate = replay.report(flow, load)["throughput"]
    return Taken(rate, load.latencies[load.latencies >= 0])


def window(sessions: int) -> int:
    """Requests that one of so many sessions may have on their way."""
    return max(WINDOW_MIN, WINDOW // sessions)


def to_echo(program: Path, core: int, sessions: int, messages: int) -> Taken:
    """As many orders to perf/c/tcp_echo.c, which sleeps on `core` when nothing comes."""
    request = orders(1)[0]
    load = EchoLoad(
        descriptors=np.zeros(sessions, np.int64),
        received=np.zeros(sessions, np.int64),
        requests=np.tile(request, SENT_PER_PASS),
        times=np.zeros(messages, np.int64),
        inbox=np.zeros(1 << 16, np.uint8),
        ready=np.zeros(EPOLL_EVENT_SIZE * READY_PER_PASS, np.uint8),
        clock=np.zeros(2, np.int64),
    )
    command = [str(program), "park", str(core), str(sessions)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
    ):
        assert process.stdout is not None
        address = ("127.0.0.1", int(process.stdout.readline()))
        epoll = epoll_create1(EPOLL_CLOEXEC)
        stack.callback(os.close, epoll)
        for number in range(sessions):
            client = stack.enter_context(connect(address))
            load.descriptors[number] = client.fileno()
            assert watch(epoll, client.fileno(), number, load.ready) == 0
        warm_up = load._replace(times=load.times[:0])
        assert echo_sessions.run(warm_up, epoll, len(request), window(sessions)) >= 0
        taken_ns = echo_sessions.run(load, epoll, len(request), window(sessions))
        assert taken_ns > 0, "the echo lost a connection"
    return Taken(messages * 1e9 / taken_ns, load.times)
