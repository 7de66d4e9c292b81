"""Shell: metrics for Prometheus, instruments and health over HTTP, by threads of the supervisor.

Everything is read from shared memory when somebody asks. There are a few threads; when all are
taken, whoever has asked for nothing for the longest time makes room, and if all have asked, whoever
does not read his answer. So nobody can keep a health check out by connecting and saying nothing.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from shm_exchange.addresses import split_address
from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError
from shm_exchange.metric_families import ExchangeCollector, Source

_SCRAPERS_MAX = 8
_REQUEST_SECONDS = 10.0
_TIMEOUT_SECONDS = 5.0
_ANSWER_SECONDS = 1.0  # within which an answer is read by whoever reads at all
_ROOM_POLL_SECONDS = 0.01
_POLL_SECONDS = 0.1  # how long `close` may wait for the listener


def instruments_json(configuration: Configuration) -> bytes:
    """What ITCH cannot say of an instrument. Prices are text: exact, whoever reads them."""
    rows = [
        {
            "symbol": each.symbol,
            "engine": each.engine,
            "tick": f"{each.tick:f}",
            "lot": each.lot,
            "price_min": f"{each.price_min_ticks * each.tick:f}",
            "price_max": f"{each.price_max_ticks * each.tick:f}",
            "quantity_max": each.quantity_max,
            "multiplier": f"{each.multiplier:f}",
        }
        for each in configuration.instruments
    ]
    return json.dumps(rows, indent=1).encode()


def _hang_up(request: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        request.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # else a burst waits a second for the kernel to try again

    def __init__(
        self, address: str, pages: dict[str, Callable[[], tuple[int, str, bytes]]]
    ) -> None:
        host, port = split_address(address)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages = pages
        self._lock = threading.Lock()
        # Connections that have a thread, oldest first: since when, and whether they have asked.
        self._served: dict[socket.socket, tuple[float, bool]] = {}
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the request; somebody else makes room if need be."""
        while not self._has_room():
            time.sleep(_ROOM_POLL_SECONDS)
        with self._lock:
            self._served[request] = time.monotonic(), False
        super().process_request(request, client_address)

    def note_asked(self, request: socket.socket) -> None:
        """A whole request has come: it is answered rather than dropped."""
        with self._lock:
            if request in self._served:
                self._served[request] = self._served[request][0], True

    def _has_room(self) -> bool:
        """Whether another one may be served; drops one if it can, who then has no place."""
        with self._lock:
            if len(self._served) < _SCRAPERS_MAX:
                return True
            late = time.monotonic() - _ANSWER_SECONDS
            silent = (each for each, (_, asked) in self._served.items() if not asked)
            slow = (each for each, (since, _) in self._served.items() if since < late)
            victim = next(silent, None) or next(slow, None)
            if victim is None:
                return False
            del self._served[victim]
        _hang_up(victim)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The whole of a request, which ends in its time also if its bytes trickle."""
        deadline = threading.Timer(_REQUEST_SECONDS, _hang_up, [request])
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            with self._lock:
                self._served.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that goes away is no event."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_SECONDS
    server: _Server

    def do_GET(self) -> None:  # noqa: N802 - the name is the library's
        """Answer with the page of this path."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:  # noqa: N802 - the name is the library's
        """The same without the page, for health checks that ask so."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        self.server.note_asked(self.connection)
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(404)
            return
        code, kind, body = page()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged."""


class MetricsServer:
    """Listens from its creation on, until `close`."""

    def __init__(
        self,
        address: str,
        configuration: Configuration,
        source: Source,
        is_alive: Callable[[], bool],
    ) -> None:
        """is_alive: whether the supervisor's loop goes round."""
        registry = CollectorRegistry()
        registry.register(ExchangeCollector(source))
        instruments = instruments_json(configuration)

        def health(good: bool, text: str) -> tuple[int, str, bytes]:
            return (200 if good else 503), "text/plain; charset=utf-8", f"{text}\n".encode()

        def readiness() -> tuple[int, str, bytes]:
            state = str(source()["state"])
            return health(state == "ready", state)

        def liveness() -> tuple[int, str, bytes]:
            alive = is_alive()
            return health(alive, "ok" if alive else "the supervisor hangs")

        pages = {
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
            "/instruments": lambda: (200, "application/json", instruments),
            "/healthz": liveness,
            "/readyz": readiness,
        }
        try:
            self._server = _Server(address, pages)
        except OSError as error:
            raise ExchangeError(
                f"metrics cannot listen at {address}: {error.strerror}; choose another address"
            ) from error
        host, port = self._server.server_address[:2]
        self.address = f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening. A request that hangs is left to its timeout."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
