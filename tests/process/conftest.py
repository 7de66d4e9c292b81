"""Whole exchanges as `shmx run` starts them, each with a name, a folder and ports of its own.

They end with their test. A test that is killed takes its supervisor along (and that its roles);
what stays in shared memory then is removed by the next test that starts an exchange.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ringbuf import host
from shm_exchange.errors import NotRunningError
from shm_exchange.status import collect

ROOT = Path(__file__).parents[2]
SHARED_MEMORY = Path("/dev/shm")
START_SECONDS = 900.0  # an empty cache on a busy machine: every kernel is compiled first
STOP_SECONDS = 45.0
WAIT_SECONDS = 60.0
NOTHING: Mapping[str, str] = MappingProxyType({})
_NAME = re.compile(r"shmx\.pt(\d+)x\d+\.")

ENGINES = """\
[exchange]
[[engine]]
event_ring_records = 65536
command_ring_records = 4096
slots_per_gateway = 65536
[[instrument]]
symbol = "AAPL"
tick = 0.01
[[session_range]]
prefix = "T"
last = 10
password = "demo"
"""
METRICS = """\
[metrics]
address = "127.0.0.1:0"
"""
ORDER_GATEWAY = """\
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
clients_max = 64
"""
MARKET_DATA_GATEWAY = """\
[[gateway]]
kind = "market_data"
address = "127.0.0.1:0"
clients_max = 64
"""

_numbers = itertools.count()


class Exchange:
    """One `shmx run`."""

    def __init__(
        self,
        folder: Path,
        configuration: str,
        name: str,
        environment: Mapping[str, str] = NOTHING,
    ) -> None:
        """environment: what its processes have besides ours."""
        self.name = name
        self.environment = environment
        self.folder = folder
        self.file = folder / f"{name}.toml"
        self.file.write_text(configuration, encoding="utf-8")
        self.state = folder / f"{name}-state"
        self.ready_line = ""
        self.process: subprocess.Popen[str] | None = None

    @property
    def messages(self) -> str:
        """What it has said on stderr."""
        return (self.folder / f"{self.name}.stderr").read_text(encoding="utf-8")

    @property
    def segments(self) -> list[str]:
        """What it has in shared memory."""
        return sorted(path.name for path in SHARED_MEMORY.glob(f"shmx.{self.name}.*"))

    def command(self, **options: object) -> list[str]:
        """The command line that starts it."""
        chosen = {"config": self.file, "state": self.state, "name": self.name} | options
        command = [sys.executable, "-m", "shm_exchange.cli", "run"]
        for option, value in chosen.items():
            command += [f"--{option}", str(value)]
        return command

    def launch(self) -> None:
        """Start it, and return at once."""
        with open(self.folder / f"{self.name}.stderr", "a", encoding="utf-8") as messages:
            self.process = subprocess.Popen(
                self.command(),
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                process_group=0,
                preexec_fn=host.die_with_parent,
            )

    def start(self) -> None:
        """Start it, and return when it is READY."""
        self.launch()
        self.wait_announced()

    def wait_announced(self) -> None:
        """Return when what was launched is READY."""
        assert self.process is not None and self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        assert readable, f"not READY in time: {self.messages}"
        self.ready_line = self.process.stdout.readline()
        assert self.ready_line.startswith("READY "), self.messages

    def interrupt(self) -> None:
        """What the terminal does at Ctrl-C."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        code = self.process.wait(STOP_SECONDS)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        self.interrupt()
        return self.wait()

    def status(self) -> dict[str, Any]:
        """What `shmx status --json` shows."""
        return collect(self.name)

    def running(self) -> dict[str, Any]:
        """What the supervisor announced."""
        found: dict[str, Any] = json.loads((self.state / "running.json").read_bytes())
        return found

    def pids(self) -> dict[str, int]:
        """Role (one of each) -> process."""
        return {each["role"]: each["pid"] for each in self.status()["processes"]}

    def wait_until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status for which the condition holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = self.status()
            if condition(found):
                return found
            assert time.monotonic() < deadline, f"{found}\n{self.messages}"
            time.sleep(0.02)

    def wait_until_there(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The same of an exchange that was only launched."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(NotRunningError):
                if condition(found := self.status()):
                    return found
            assert time.monotonic() < deadline, self.messages
            time.sleep(0.02)

    def wait_ready(self) -> dict[str, Any]:
        """The status as soon as every role is ready."""
        return self.wait_until(lambda found: found["state"] == "ready")

    def destroy(self) -> None:
        """End it whatever its state, and leave nothing."""
        pids: list[int] = []
        try:
            pids = [each["pid"] for each in self.status()["processes"]]
        except NotRunningError:
            pass  # it has ended as it should
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None and self.process.stdout:
            self.process.stdout.close()
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(is_alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        for path in SHARED_MEMORY.glob(f"shmx.{self.name}.*"):
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, zombies not counted."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):  # gone before we looked, or while we read
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def sweep() -> None:
    """Remove what tests left that are no more."""
    for path in SHARED_MEMORY.glob("shmx.pt*"):
        found = _NAME.match(path.name)
        if found and not Path("/proc", found[1]).exists():
            path.unlink(missing_ok=True)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Callable[..., Exchange]]:
    """Make an exchange of a configuration; it is not started yet."""
    sweep()
    made: list[Exchange] = []

    def make(configuration: str = ENGINES) -> Exchange:
        made.append(Exchange(tmp_path, configuration, f"pt{os.getpid()}x{next(_numbers)}"))
        return made[-1]

    yield make
    for each in made:
        each.destroy()
