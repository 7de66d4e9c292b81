"""Goal: scrapers that hang, in whatever way, keep nobody from being answered.

Method: the server in this process, with a shorter patience, and as many dead sockets as it bears.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

import pytest

from shm_exchange import metrics
from shm_exchange.config import built_in
from shm_exchange.instruments import Instrument
from shm_exchange.metrics import MetricsServer

PATIENCE_SECONDS = 0.2
WAIT_SECONDS = 30.0
INSTRUMENTS = 40_000  # their page does not fit into the buffers of a socket


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Where a server listens that has large pages."""
    monkeypatch.setattr(metrics._Handler, "timeout", PATIENCE_SECONDS)
    monkeypatch.setattr(metrics, "_REQUEST_SECONDS", 2 * PATIENCE_SECONDS)
    one = Instrument.model_validate({"symbol": "A", "tick": Decimal(1)})
    configuration = replace(built_in(), instruments=(one,) * INSTRUMENTS)
    state: dict[str, Any] = {"state": "ready"}
    server = MetricsServer("127.0.0.1:0", configuration, lambda: state, lambda: True)
    host, _, port = server.address.rpartition(":")
    yield host, int(port)
    server.close()


def hanging(address: tuple[str, int]) -> list[socket.socket]:
    """As many clients as there are places, with little room for what they do not read."""
    clients = []
    for _ in range(metrics._SCRAPERS_MAX):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address)
        clients.append(client)
    return clients


def wait_answered(address: tuple[str, int]) -> bytes:
    """What an honest scraper is told in the end."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with urlopen(f"http://{address[0]}:{address[1]}/readyz", timeout=1) as answer:
                found: bytes = answer.read()
                return found
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /instru", b"GET /instruments HTTP/1.0\r\n\r\n"],
    ids=["silent", "half", "not reading"],
)
def test_who_hangs_is_dropped(address: tuple[str, int], said: bytes) -> None:
    """Every place is taken by one that hangs; afterwards somebody else is answered."""
    clients = hanging(address)
    for client in clients:
        client.sendall(said)
    assert wait_answered(address) == b"ready\n"
    for client in clients:
        client.close()


def test_who_trickles_is_dropped(address: tuple[str, int]) -> None:
    """A byte now and then is not enough to keep a place."""
    clients = hanging(address)

    over = threading.Event()

    def trickle() -> None:
        while not over.wait(PATIENCE_SECONDS / 10):
            for client in clients:
                with contextlib.suppress(OSError):  # dropped
                    client.send(b"G", socket.MSG_NOSIGNAL)

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        assert wait_answered(address) == b"ready\n"
    finally:
        over.set()
        thread.join()
    for client in clients:
        client.close()
