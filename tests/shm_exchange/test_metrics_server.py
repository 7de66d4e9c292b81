"""Goal: scrapers that hang, in whatever way, keep nobody from being answered.

Method: the server in this process, with a shorter patience, and as many dead sockets as it bears.
"""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

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
    one = Instrument.model_validate({"symbol": "A", "tick": Decimal(1)})
    configuration = replace(built_in(), instruments=(one,) * INSTRUMENTS)
    state: dict[str, Any] = {"state": "ready"}
    server = MetricsServer("127.0.0.1:0", configuration, lambda: state, lambda: True)
    host, _, port = server.address.rpartition(":")
    yield host, int(port)
    server.close()


@pytest.mark.parametrize(
    "request_line",
    [b"", b"GET /instru", b"GET /instruments HTTP/1.0\r\n\r\n"],
    ids=["silent", "half", "not reading"],
)
def test_who_hangs_is_dropped(address: tuple[str, int], request_line: bytes) -> None:
    """Every place is taken by one that hangs; afterwards somebody else is answered."""
    hanging = []
    for _ in range(metrics._SCRAPERS_MAX):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address)
        client.sendall(request_line)
        hanging.append(client)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(
                f"http://{address[0]}:{address[1]}/readyz", timeout=10
            ) as answer:
                assert answer.read() == b"ready\n"
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    for client in hanging:
        client.close()
