"""Goal: scrapers that hang, in whatever way, keep nobody from being answered.

Method: the server in this process, with a shorter patience, and as many dead sockets as it bears.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.core import GaugeMetricFamily

from shm_exchange import metrics
from shm_exchange.config import built_in
from shm_exchange.instruments import Instrument
from shm_exchange.metrics import MetricsServer

PATIENCE_SECONDS = 0.2
PROMPT_SECONDS = 2.0  # on a busy machine
PAGES = ("/healthz", "/readyz", "/metrics", "/instruments")
WAIT_SECONDS = 30.0
ONE_FAMILY = (GaugeMetricFamily("shmx_ready", "Of no meaning.", 1),)
INSTRUMENTS = 40_000  # their page does not fit into the buffers of a socket


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Where a server listens that has large pages."""
    monkeypatch.setattr(metrics._Handler, "timeout", PATIENCE_SECONDS)
    monkeypatch.setattr(metrics, "_REQUEST_SECONDS", 2 * PATIENCE_SECONDS)
    one = Instrument.model_validate({"symbol": "A", "tick": Decimal(1)})
    configuration = replace(built_in(), instruments=(one,) * INSTRUMENTS)
    state: dict[str, Any] = {"state": "ready"}
    monkeypatch.setattr(metrics.ExchangeCollector, "collect", lambda _: iter(ONE_FAMILY))
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


def test_idle_connections_keep_nobody_out(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once while all places are taken by who says nothing: answered at once, each time."""
    monkeypatch.setattr(metrics._Handler, "timeout", WAIT_SECONDS)
    monkeypatch.setattr(metrics, "_REQUEST_SECONDS", WAIT_SECONDS)
    for _ in range(3):
        clients = hanging(address)
        time.sleep(PATIENCE_SECONDS)  # they have their places
        url = f"http://{address[0]}:{address[1]}/readyz"
        with urlopen(url, timeout=PROMPT_SECONDS) as answer:
            assert answer.read() == b"ready\n"
        for client in clients:
            client.close()


def test_who_does_not_read_makes_room(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places are taken by who has asked and does not read: one of them is dropped soon."""
    monkeypatch.setattr(metrics._Handler, "timeout", WAIT_SECONDS)
    monkeypatch.setattr(metrics, "_REQUEST_SECONDS", WAIT_SECONDS)
    clients = hanging(address)
    for client in clients:
        client.sendall(b"GET /instruments HTTP/1.0\r\n\r\n")
    time.sleep(PATIENCE_SECONDS)
    url = f"http://{address[0]}:{address[1]}/readyz"
    with urlopen(url, timeout=PROMPT_SECONDS + metrics._ANSWER_SECONDS) as answer:
        assert answer.read() == b"ready\n"
    for client in clients:
        client.close()


@pytest.mark.parametrize("page", PAGES)
def test_head_is_get_without_the_page(address: tuple[str, int], page: str) -> None:
    """Same code, same length, no byte of it."""
    said = []
    for method in ("GET", "HEAD"):
        connection = http.client.HTTPConnection(*address, timeout=WAIT_SECONDS)
        connection.request(method, page)
        answer = connection.getresponse()
        said.append((answer.status, answer.getheader("Content-Type")))
        body = answer.read()
        assert (body == b"") == (method == "HEAD")
        connection.close()
    assert said[0] == said[1] and said[0][0] == 200
