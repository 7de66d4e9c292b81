"""Shell: the processes of an exchange as the supervisor sees them: places, who fills them, bells.

A post is a place with a number in shared memory; whoever dies is succeeded in the same post.
Everything is started by command line, never forked: a fork would share the writer lock's
ownership and every descriptor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringbuf import layout
from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    Wiring,
)

RESTARTS_MAX = 10
RESTART_WINDOW_SECONDS = 60.0
_LABELS = {"order": "order gateway", "market_data": "market data gateway"}


@dataclass(eq=False)
class Child:
    """One process that was started."""

    process: subprocess.Popen[bytes]
    descriptor: int  # its pidfd

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL. Not reaped yet, so the number is still its own."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@dataclass(eq=False)
class Post:
    """A place to be filled by one process. lines: (engine, number of its PROCESS line)."""

    role: str
    lines: tuple[tuple[int, int], ...]
    source: int = 0
    core: int | None = None
    address: str = ""
    child: Child | None = None
    starts: int = 0
    recent: deque[float] = field(default_factory=deque)  # when it was filled again

    @property
    def engine(self) -> int:
        """The engine, of a post that has one."""
        return self.lines[0][0]

    @property
    def label(self) -> str:
        """What it is called in messages."""
        if self.role in _LABELS:
            return f"{_LABELS[self.role]} at {self.address}"
        return f"{self.role} of engine {self.engine}"

    def is_ready(self, wirings: Mapping[int, Wiring]) -> bool:
        """Whether the process that fills it says READY in all its lines."""
        if self.child is None:
            return False
        rows = (wirings[engine].control.processes[number] for engine, number in self.lines)
        pid = self.child.pid
        return all(int(row["pid"]) == pid and row["state"] == layout.STATE_READY for row in rows)

    def count_start(self, now: float) -> None:
        """Raise ExchangeError when it had to be filled again too often."""
        self.starts += 1
        if self.starts == 1:
            return
        self.recent.append(now)
        while self.recent[0] < now - RESTART_WINDOW_SECONDS:
            self.recent.popleft()
        if len(self.recent) > RESTARTS_MAX:
            raise ExchangeError(
                f"the {self.label} ended {len(self.recent)} times within"
                f" {RESTART_WINDOW_SECONDS:.0f} s; the reason is in the messages above"
            )


def posts_of(configuration: Configuration, cores: Mapping[int, int | None]) -> list[Post]:
    """Every post, in the order in which they are filled. cores: of the matchers."""
    posts = []
    for engine in configuration.engines:
        number = engine.id
        posts.append(Post("matcher", ((number, PROCESS_MATCHER),), core=cores[number]))
        if engine.recorder:
            posts.append(Post("recorder", ((number, PROCESS_RECORDER),)))
        for standby in range(engine.standbys):
            line = (number, PROCESS_STANDBY_FIRST + standby)
            posts.append(Post("standby", (line,), core=engine.standby_core))
    for source, gateway in configuration.sources.items():
        engines = configuration.engines_of(gateway)
        lines = tuple((engine, PROCESS_SOURCE_FIRST + source) for engine in engines)
        posts.append(Post(gateway.kind, lines, source, gateway.core, gateway.address))
    return posts


class Bells:
    """The eventfds that wake sleepers, one for each line of each engine."""

    def __init__(self, posts: list[Post]) -> None:
        self._bells: dict[int, dict[int, int]] = {}
        for engine, number in (line for post in posts for line in post.lines):
            descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._bells.setdefault(engine, {})[number] = descriptor

    def descriptors(self, engine: int) -> tuple[int, ...]:
        """All of an engine, to be inherited."""
        return tuple(self._bells[engine].values())

    def text(self, engine: int) -> str:
        """The descriptors by number, as a role's command line has them."""
        bells = self._bells[engine]
        return ",".join(str(bells.get(number, "-")) for number in range(max(bells) + 1))

    def ring(self) -> None:
        """Wake everybody."""
        for bells in self._bells.values():
            for descriptor in bells.values():
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(descriptor, 1)

    def close(self) -> None:
        """Close all."""
        for bells in self._bells.values():
            for descriptor in bells.values():
                os.close(descriptor)


@dataclass(frozen=True)
class Launcher:
    """What all command lines have in common."""

    name: str
    state_directory: Path
    configuration: Path | None
    policy: str
    bells: Bells

    def command(self, post: Post) -> list[str]:
        """The command line of a role."""
        options = {
            "--name": self.name,
            "--state": self.state_directory,
            "--policy": self.policy,
            "--source": post.source,
            "--supervisor": os.getpid(),
            "--core": post.core,
            "--configuration": self.configuration,
        }
        command = [sys.executable, "-m", "shm_exchange.roles", post.role]
        for option, value in options.items():
            if value is not None:
                command += [option, str(value)]
        for engine, number in post.lines:
            command += ["--engine", f"{engine}:{number}:{self.bells.text(engine)}"]
        return command

    def start(self, post: Post) -> None:
        """Fill a post. Call it in the main thread: a role dies with the thread that started it."""
        post.count_start(time.monotonic())
        engines = {engine for engine, _ in post.lines}
        process = subprocess.Popen(
            self.command(post),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            pass_fds=[each for engine in engines for each in self.bells.descriptors(engine)],
            # Ctrl-C at the terminal reaches the supervisor alone: it decides who ends when.
            process_group=0,
            # numpy would start a thread per core for linear algebra that nobody does.
            env={"OPENBLAS_NUM_THREADS": "1", **os.environ},
        )
        post.child = Child(process, os.pidfd_open(process.pid))
