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
from shm_exchange.config import Configuration, Exchange
from shm_exchange.errors import ExchangeError
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_RELIEF,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    Wiring,
)

_STABLE_SECONDS = 10.0
_LABELS = {"order": "order gateway", "market_data": "market data gateway"}


@dataclass(eq=False)
class Child:
    """One process that was started."""

    process: subprocess.Popen[bytes]
    descriptor: int  # its pidfd
    started: float  # by the monotonic clock
    was_ready: bool = False
    relief: bool = False  # a standby that is to fill the matcher's post, where none was configured
    dismissed: bool = False  # killed because nobody needs it any more
    looped: bool = False  # killed because it ran without end

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def has_failed(self, code: int, now: float) -> bool:
        """Whether its end speaks against it rather than against whoever killed it.

        Whoever was never READY, ran without end, or crashed soon after it began, would do so again.
        What is killed while it works is worth another start, however often that happens.
        """
        if not self.was_ready or self.looped:
            return True
        crashed = code not in (0, -signal.SIGKILL)
        return crashed and now - self.started < _STABLE_SECONDS

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
    failures: deque[float] = field(default_factory=deque)  # when, of those that count

    @property
    def engine(self) -> int:
        """The engine, of a post that has one."""
        return self.lines[0][0]

    @property
    def pid(self) -> int | None:
        """Process id of whoever fills it."""
        return self.child.pid if self.child else None

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

    def count_failure(self, now: float, limits: Exchange) -> None:
        """Raise ExchangeError when whoever fills it failed too often."""
        self.failures.append(now)
        while self.failures[0] < now - limits.restart_window_seconds:
            self.failures.popleft()
        if len(self.failures) > limits.restarts_max:
            raise ExchangeError(
                f"the {self.label} failed {len(self.failures)} times within"
                f" {limits.restart_window_seconds} s; the reason is in the messages above"
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
    """The eventfds that wake sleepers, one for each line of each engine.

    `news`: one for the Python side of each gateway, by source.
    """

    def __init__(self, posts: list[Post]) -> None:
        self._bells: dict[int, dict[int, int]] = {}
        reliefs = {(post.engine, PROCESS_RELIEF) for post in posts if post.role == "matcher"}
        lines = {line for post in posts for line in post.lines}
        for engine, number in sorted(lines | reliefs):
            descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._bells.setdefault(engine, {})[number] = descriptor
        self.news = {
            post.source: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            for post in posts
            if post.source
        }

    def descriptors(self, engine: int) -> tuple[int, ...]:
        """All of an engine, to be inherited."""
        return tuple(self._bells[engine].values())

    def text(self, engine: int) -> str:
        """The descriptors by number, as a role's command line has them."""
        bells = self._bells[engine]
        return ",".join(str(bells.get(number, "-")) for number in range(max(bells) + 1))

    def ring_matcher(self, engine: int) -> None:
        """Wake the matcher of an engine."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._bells[engine][PROCESS_MATCHER], 1)

    def tell_gateways(self) -> None:
        """Have the Python side of every gateway look at what an operator changed."""
        for descriptor in self.news.values():
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(descriptor, 1)

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
        for descriptor in self.news.values():
            os.close(descriptor)


@dataclass(frozen=True)
class Launcher:
    """What all command lines have in common."""

    name: str
    state_directory: Path
    configuration: Path | None
    policy: str
    bells: Bells

    def command(self, post: Post, *, relief: bool = False) -> list[str]:
        """The command line of a role. relief: of a standby that is to become the matcher."""
        role = "standby" if relief else post.role
        lines = ((post.engine, PROCESS_RELIEF),) if relief else post.lines
        options = {
            "--name": self.name,
            "--state": self.state_directory,
            "--policy": self.policy,
            "--source": post.source,
            "--news": self.bells.news.get(post.source),
            "--supervisor": os.getpid(),
            "--core": post.core,
            "--configuration": self.configuration,
        }
        command = [sys.executable, "-m", "shm_exchange.roles", role]
        for option, value in options.items():
            if value is not None:
                command += [option, str(value)]
        for engine, number in lines:
            command += ["--engine", f"{engine}:{number}:{self.bells.text(engine)}"]
        return command

    def start(self, post: Post, *, relief: bool = False) -> Child:
        """Fill a post. Call it in the main thread: a role dies with the thread that started it."""
        post.starts += 1
        engines = {engine for engine, _ in post.lines}
        inherited = [each for engine in engines for each in self.bells.descriptors(engine)]
        if post.source:
            inherited.append(self.bells.news[post.source])
        process = subprocess.Popen(
            self.command(post, relief=relief),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            pass_fds=inherited,
            # Ctrl-C at the terminal reaches the supervisor alone: it decides who ends when.
            process_group=0,
            # numpy would start a thread per core for linear algebra that nobody does.
            env={"OPENBLAS_NUM_THREADS": "1", **os.environ},
        )
        descriptor = os.pidfd_open(process.pid)
        post.child = Child(process, descriptor, time.monotonic(), relief=relief)
        return post.child
