"""A client that trades by itself beside whoever misbehaves, and checks every word it is told."""

from __future__ import annotations

import threading
import time

from tests.gateways.ouch_cases import cancel, enter
from tests.process.trading import RawClient

SYMBOL = b"A40     "  # nobody else's
PRICE = 100_000


class Bystander:
    """Enters an order, hears of it, cancels it, hears of that; and so on in a thread."""

    def __init__(self, port: int, username: str) -> None:
        self._client = RawClient(port).log_in(username, sequence=0)
        self._client.say(b"Q")
        (answer,) = self._client.messages(1)
        self._number = int.from_bytes(answer[9:13], "big")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trade)
        self.latency_ns: list[int] = []
        self.fault: BaseException | None = None

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.socket.close()
        if self.fault is not None:
            raise self.fault
        assert self.rounds > 0

    @property
    def rounds(self) -> int:
        """How often it was served."""
        return len(self.latency_ns)

    def _trade(self) -> None:
        try:
            while not self._stop.is_set() or not self.latency_ns:
                started = time.perf_counter_ns()
                self._round(self._number)
                self.latency_ns.append(time.perf_counter_ns() - started)
                self._number += 1
        except BaseException as error:  # the thread that waits for us raises it
            self.fault = error

    def _round(self, number: int) -> None:
        self._client.say(enter(user_ref=number, symbol=SYMBOL, price=PRICE))
        self._client.say(cancel(number))
        accepted, cancelled = self._client.messages(2)
        assert (accepted[:1], cancelled[:1]) == (b"A", b"C")
        assert accepted[9:13] == cancelled[9:13] == number.to_bytes(4, "big")
