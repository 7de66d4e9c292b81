"""Goal: a service manager is told the truth: ready means open, fed means that matchers move.

Method: `shmx run` with a datagram socket of the test in the place of systemd's.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.process.conftest import (
    ENGINES,
    ORDER_GATEWAY,
    START_SECONDS,
    WAIT_SECONDS,
    Exchange,
    is_alive,
)

FEED_SECONDS = 0.25
WATCHDOG_USEC = str(int(4e6 * FEED_SECONDS))


class Manager:
    """Hears what a unit says."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = str(folder / "notify")
        self.socket.bind(self.address)
        self.lines: list[str] = []

    def wait_for(self, pattern: str, seconds: float) -> str:
        """The next line that begins as the pattern says."""
        deadline = time.monotonic() + seconds
        while True:
            for place, line in enumerate(self.lines):
                if re.match(pattern, line):
                    del self.lines[: place + 1]
                    return line
            self.lines.clear()
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            self.lines = self.socket.recv(65536).decode().splitlines()

    def is_fed_within(self, seconds: float) -> bool:
        """Whether the watchdog is fed from now on."""
        self.forget()
        try:
            self.wait_for("WATCHDOG=1", seconds)
        except TimeoutError:
            return False
        return True

    def forget(self) -> None:
        """What was said until now."""
        self.lines.clear()
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(65536)
        except BlockingIOError:
            pass


def test_a_unit_says_ready_feeds_and_stops(
    exchange: Callable[..., Exchange], tmp_path: Path
) -> None:
    """From its start to its end, with a matcher that is killed and a supervisor that hangs."""
    manager = Manager(tmp_path)
    unit = exchange(ENGINES + ORDER_GATEWAY)
    unit.environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": WATCHDOG_USEC}
    unit.launch()
    assert manager.wait_for("STATUS=", START_SECONDS).startswith("STATUS=starting: engine 1: ")
    who, where = r"engine 1: matcher \d+, standbys 1", r"epoch 1, sequence \d+, \d+ events/s$"
    manager.wait_for(f"STATUS=ready: {who}, {where}", START_SECONDS)
    assert manager.lines == ["READY=1"]  # in the same breath
    found = unit.status()
    host, port = found["gateways"][0]["address"].rsplit(":", 1)
    socket.create_connection((host, int(port)), timeout=5).close()  # open, not only said so
    assert unit.process is not None
    os.kill(unit.pids()["matcher"], signal.SIGKILL)
    manager.wait_for("STATUS=.* epoch 2, ", WAIT_SECONDS)  # whether there is a new standby or not
    assert manager.is_fed_within(WAIT_SECONDS)

    os.kill(unit.process.pid, signal.SIGSTOP)
    assert not manager.is_fed_within(8 * FEED_SECONDS)
    os.kill(unit.process.pid, signal.SIGCONT)
    assert manager.is_fed_within(WAIT_SECONDS)

    pids = unit.pids().values()
    unit.interrupt()
    manager.wait_for("STOPPING=1", WAIT_SECONDS)
    assert unit.wait() == 0
    assert not any(map(is_alive, pids))
    manager.socket.close()
