"""Shell: whole exchanges for the benchmarks, started as a user starts them, and a login by socket.

What is not measured can be frozen: a process that polls would take its core from what is.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateways.ouch.messages import ENTER_ORDER
from gateways.packets import (
    HEADER_SIZE,
    LENGTH_SIZE,
    LOGIN_ACCEPTED,
    LOGIN_REQUEST,
    LOGIN_REQUEST_TYPE,
    UNSEQUENCED_TYPE,
)
from shm_exchange.status import collect

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 300.0  # with an empty cache every kernel is compiled first
STOP_SECONDS = 45.0
_CONFIGURATION = """\
[exchange]
waiting = "{waiting}"
[[engine]]
standbys = {standbys}
recorder = {recorder}
{matcher}
{standby}
event_ring_records = 262144
command_ring_records = 65536
[[session_range]]
prefix = "T"
last = {sessions}
password = "demo"
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
{gateway}
"""
_INSTRUMENT = """\
[[instrument]]
symbol = "{symbol}"
tick = 0.01
"""
_GATEWAY = """\
[[gateway]]
kind = "{kind}"
address = "127.0.0.1:0"
"""


def _line(key: str, value: int | None) -> str:
    return "" if value is None else f"{key} = {value}"


@dataclass(frozen=True)
class Placement:
    """How an exchange waits, and which of its processes run where."""

    waiting: str
    matcher_core: int | None  # None: wherever the kernel lets it run
    gateway_core: int | None
    standbys: int = 0
    recorder: bool = False
    standby_core: int | None = None
    more_gateways: int = 0  # for orders, on no core of their own
    market_data: bool = False
    sessions: int = 10
    symbols: tuple[str, ...] = ("AAPL",)

    def text(self) -> str:
        """As a configuration file."""
        parts = [
            _CONFIGURATION.format(
                **vars(self) | {"recorder": str(self.recorder).lower()},
                matcher=_line("matcher_core", self.matcher_core),
                standby=_line("standby_core", self.standby_core),
                gateway=_line("core", self.gateway_core),
            )
        ]
        parts += [_INSTRUMENT.format(symbol=symbol) for symbol in self.symbols]
        parts += [_GATEWAY.format(kind="order")] * self.more_gateways
        parts += [_GATEWAY.format(kind="market_data")] * self.market_data
        return "".join(parts)


@dataclass
class Exchange:
    """One `shmx run`, ready."""

    name: str
    pids: list[int]
    address: tuple[str, int]
    ready_seconds: float  # from the command to READY

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def running(folder: Path, placement: Placement, more: str = "") -> Iterator[Exchange]:
    """An exchange with this placement; it leaves nothing behind. more: of its configuration."""
    name = f"perf-{os.getpid()}"
    file = folder / "exchange.toml"
    file.write_text(placement.text() + more, encoding="utf-8")
    command = [sys.executable, "-m", "shm_exchange.cli", "run", "--config", str(file)]
    command += ["--state", str(folder / f"state-{placement.waiting}"), "--name", name]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], START_SECONDS)[0], "not READY in time"
            assert process.stdout.readline().startswith("READY ")
            ready_seconds = time.monotonic() - began
            found = collect(name)
            host, _, port = found["gateways"][0]["address"].rpartition(":")
            pids = [process.pid, *(each["pid"] for each in found["processes"])]
            yield Exchange(name, pids, (host, int(port)), ready_seconds)
        finally:
            for pid in (process.pid,):
                os.kill(pid, signal.SIGCONT)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()  # its roles die with it


def connect(address: tuple[str, int]) -> socket.socket:
    """A blocking TCP connection that sends at once."""
    client = socket.create_connection(address)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def log_in(address: tuple[str, int], username: str, sequence: int = 0) -> socket.socket:
    """A connection whose session begins at message `sequence`; 0: at the next one."""
    request = np.zeros(1, LOGIN_REQUEST.dtype)
    request["length"] = LOGIN_REQUEST.size - LENGTH_SIZE
    request["type"] = LOGIN_REQUEST_TYPE
    texts = {"username": username, "password": "demo", "session": "", "sequence": str(sequence)}
    for name, text in texts.items():
        width = request.dtype[name].itemsize
        justified = text.rjust(width) if name in ("session", "sequence") else text.ljust(width)
        request[name] = np.frombuffer(justified.encode("ascii"), request.dtype[name].base)
    client = connect(address)
    client.sendall(request.tobytes())
    answer = client.recv(LOGIN_ACCEPTED.size, socket.MSG_WAITALL)
    assert answer[LENGTH_SIZE : LENGTH_SIZE + 1] == b"A", answer
    return client


def orders(count: int) -> np.ndarray:
    """Buy orders for AAPL as packets, uint8[count, size]: they rest, and all answers are `A`."""
    packets = np.zeros((count, HEADER_SIZE + ENTER_ORDER.size), np.uint8)
    packets[:, 1] = HEADER_SIZE - LENGTH_SIZE + ENTER_ORDER.size
    packets[:, 2] = UNSEQUENCED_TYPE
    rows = packets[:, HEADER_SIZE:].copy().view(ENTER_ORDER.dtype)[:, 0]
    rows["type"] = ord("O")
    rows["side"] = ord("B")
    rows["quantity"] = 100
    rows["symbol"] = np.frombuffer(b"AAPL    ", np.uint8)
    rows["price"] = 1_000_000 + 100 * (np.arange(count) % 64)
    rows["time_in_force"] = ord("0")
    rows["display"] = ord("Y")
    rows["capacity"] = ord("P")
    rows["sweep"] = ord("N")
    rows["cross_type"] = ord("N")
    rows["client_order_id"] = np.frombuffer(b"ORDER-00000000", np.uint8)
    packets[:, HEADER_SIZE:] = rows.view(np.uint8).reshape(count, -1)
    return packets
