"""Shell: starts an exchange, watches over its processes, restarts them with a limit, drains it.

    roles -> READY -> watch
    -> stop word 1: gateways, 2: matchers and standbys, 3: recorders -> remove

A matcher that dies is succeeded without the supervisor (`succession` says by whom); what it does is
to fill the posts that are empty afterwards, and to tell matchers which gateways died.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringbuf import layout
from ringbuf.errors import LayoutError
from shm_exchange import (
    announcement,
    day_roll,
    journal_ends,
    machine_code,
    memory,
    operations,
    operator_line,
    placement,
    presence,
    reload,
    salvage,
    status,
    wiring,
)
from shm_exchange.admin import AdminServer
from shm_exchange.children import Bells, Child, Launcher, Post, posts_of
from shm_exchange.config import Configuration
from shm_exchange.day_roll import DayRoll
from shm_exchange.errors import ExchangeError
from shm_exchange.fitness import Opening, has_room, silent
from shm_exchange.journal_segment import Owner
from shm_exchange.notify_socket import ServiceManager
from shm_exchange.obituaries import Obituaries
from shm_exchange.operator_line import ERROR, INFO, WARNING
from shm_exchange.presence import Claim
from shm_exchange.reload import Reload
from shm_exchange.roles import EXIT_FAILED, ROLES
from shm_exchange.session_requests import Register
from shm_exchange.signals import Signals
from shm_exchange.standstill import Standstills
from shm_exchange.succession import Succession
from shm_exchange.unit_report import UnitReport
from shm_exchange.wiring import Wiring

if TYPE_CHECKING:
    from shm_exchange.metrics import MetricsServer

# How long a role may take to end before it is killed, by the value of the stop word: the recorder
# has the most to do and is the last to be lost.
_PATIENCE_SECONDS = {wiring.STOP_GATEWAYS: 10, wiring.STOP_MATCHER: 10, wiring.STOP_RECORDER: 30}
_WAIT_SECONDS = {"starting": 0.005, "degraded": 0.01, "draining": 0.01, "ready": 0.1}
_HANGING_SECONDS = 5.0


def say(text: str, priority: int = INFO) -> None:
    """One line for the operator."""
    operator_line.say(f"shmx: {text}", priority)


class Supervisor:
    """One exchange from its first process to its last."""

    def __init__(
        self,
        configuration: Configuration,
        claim: Claim,
        wirings: dict[int, Wiring],
        signals: Signals,
        cores: Iterable[int],
        source: Path | None,
        register: Register,
    ) -> None:
        self._configuration = configuration
        self._claim = claim
        self._wirings = wirings
        self._signals = signals
        cores = set(cores)
        self._posts = posts_of(configuration, placement.matcher_cores(configuration, cores))
        self._bells = Bells(self._posts)
        policy = placement.waiting_policy(configuration, len(cores))
        self._source = source
        self._register = register
        register.tell = self._bells.tell_gateways
        state_directory = claim.state_directory
        copy = state_directory / presence.CONFIGURATION_COPY if source else None
        self._launcher = Launcher(claim.name, state_directory, copy, policy, self._bells)
        self._succession = Succession(self._posts, wirings, say)
        self._obituaries = Obituaries(wirings, self._bells.ring_matcher)
        self._day = DayRoll(configuration.exchange.day_roll, wirings, self._bells.ring_matcher)
        self._compiling = not machine_code.is_complete()
        self._report = UnitReport(ServiceManager(os.environ), wirings, compiling=self._compiling)
        self._reload = Reload(
            source,
            state_directory,
            register,
            self._posts,
            wirings,
            self._bells,
            self._day,
            self._report,
            self._moved_metrics,
        )
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []  # everybody who is not reaped, in a post or succeeded
        self._state = "starting"
        self._opened = False
        self._opening = Opening(wirings)
        limit_ms = configuration.exchange.hang_limit_ms
        self._standstills = Standstills(self._posts, wirings, limit_ms)
        self._beat = time.monotonic()
        self._admin: AdminServer | None = None
        self._metrics: MetricsServer | None = None
        self._running: dict[str, Any] = {}

    def run(self) -> int:
        """Start, watch, drain; the exit code."""
        if self._compiling:
            say("compiling: the first start of a build takes a minute or two")
        try:
            self._announce()
            self._fill()  # first: roles take their time, and what follows can use it
            self._listen()
            while not self._signals.stops:
                self._fill()
                self._pass()
        finally:
            clean = self._end()
        return 0 if clean else 1

    # ------------------------------------------------------------ watching

    def _listen(self) -> None:
        """Let operators and scrapers ask."""
        wake = self._bells.ring_matcher
        commands = operations.of(self._posts, self._register, self._wirings, wake)
        commands |= {day_roll.DO: self._day.begin, reload.DO: self._reload.begin}
        folder = self._claim.state_directory
        self._admin = AdminServer(self._selector, folder, commands, say)
        if self._configuration.metrics is not None:
            self._metrics = self._metrics_at(self._configuration.metrics.address)
            self._announce()

    def _metrics_at(self, address: str) -> MetricsServer:
        """Metrics that are served at an address. Raises ExchangeError."""

        def source() -> dict[str, Any]:
            return status.describe(self._running, self._wirings, time.time_ns())

        def is_alive() -> bool:
            return time.monotonic() - self._beat < _HANGING_SECONDS

        from shm_exchange.metrics import MetricsServer

        return MetricsServer(address, self._configuration, source, is_alive)

    @contextmanager
    def _moved_metrics(self, wanted: Configuration) -> Iterator[None]:
        """Once what is done within has succeeded, metrics are where they are wanted.

        Raises ExchangeError when they cannot be there.
        """
        before, after = self._register.configuration.metrics, wanted.metrics
        if after is None or before == after:  # whether there are any is not changed by a reload
            yield
            return
        old, new = self._metrics, self._metrics_at(after.address)
        try:
            yield
        except BaseException:
            new.close()
            raise
        self._metrics = new
        if old is not None:
            old.close()
        self._announce()

    def _fill(self) -> None:
        """Start a process for every empty post that nobody will fill by himself."""
        for post in self._posts:
            if post.child is not None or not self._may_fill(post):
                continue
            relief = post.role == "matcher" and self._succession.has_begun(post)
            child = self._launcher.start(post, relief=relief)
            self._children.append(child)
            self._selector.register(child.descriptor, selectors.EVENT_READ, child)

    def _may_fill(self, post: Post) -> bool:
        """Whether to start a process for an empty post now."""
        if self._compiling and not self._opened:  # one first that compiles what others load
            first = next(each for each in self._posts if _kernels(each) == _kernels(post))
            if first is not post and not first.is_ready(self._wirings):
                return False
        return self._succession.may_fill(post)

    def _pass(self) -> None:
        """Wait for something to happen, and take note of it."""
        ended = self._selector.select(_WAIT_SECONDS[self._state])
        self._beat = time.monotonic()
        for child in self._succession.observe():
            child.dismissed = True
            child.kill()
        for post in self._posts:
            if post.child is not None and post.is_ready(self._wirings):
                post.child.was_ready = True
        for key, _ in ended:
            if isinstance(key.data, Child):
                self._reap(key.data)
            else:
                key.data()
        self._obituaries.post()
        self._day.post()
        if self._signals.take_reload():
            self._reload.begin_unasked(say, partial(say, priority=WARNING))
        self._reload.post()
        self._succession.isolate()
        self._end_standstills()
        self._judge()
        self._report.tell(self._state, opened=self._opened, now=self._beat)
        if self._opened:  # behind READY: nobody logs in before it
            memory.open_doors(self._wirings)

    def _reap(self, child: Child) -> None:
        """Take note that a process ended."""
        self._selector.unregister(child.descriptor)
        os.close(child.descriptor)
        code = child.process.wait()
        self._children.remove(child)
        posts = [each for each in self._posts if each.child is child]
        for post in posts:
            post.child = None
        if child.dismissed or (self._state == "draining" and code == 0):
            return
        label = " and ".join(each.label for each in posts) or "matcher that was succeeded"
        say(f"{label} (process {child.pid}) {_outcome(code)}", WARNING)
        if code == EXIT_FAILED and not self._opened and self._state == "starting":
            raise ExchangeError(f"the {label} cannot start; the reason is in the messages above")
        if self._state != "draining":
            self._mourn(child, posts, code)

    def _mourn(self, child: Child, posts: list[Post], code: int) -> None:
        """Tell those who must know, and count what speaks against whoever comes next."""
        now = time.monotonic()
        for post in posts:
            if post.role == "order":
                for engine, _ in post.lines:
                    self._obituaries.add(engine, post.source, child.pid)
            if child.has_failed(code, now):
                post.count_failure(now, self._register.configuration.exchange)

    def _judge(self) -> None:
        """Say what state the exchange is in, when that has changed."""
        if self._state == "draining":
            return
        complete = all(
            post.is_ready(self._wirings) and not self._succession.is_makeshift(post)
            for post in self._posts
        )
        opens = not self._opened and complete and self._opening.is_over()
        self._opened |= opens
        state = "starting"
        if self._opened:
            state = "ready" if complete and self._is_well() else "degraded"
        changed = state != self._state
        self._state = state
        if changed:
            self._announce()
        if opens:
            machine_code.set_complete()
            memory.forget_past(self._claim.state_directory)
            announcement.say_ready(self._running)

    def _is_well(self) -> bool:
        """Whether orders are taken and everybody gives a sign of life."""
        now_ns = time.time_ns()
        return all(map(has_room, self._wirings.values())) and not any(
            silent(self._wirings[engine].control.processes[number], now_ns)
            for post in self._posts
            for engine, number in post.lines
        )

    def _end_standstills(self) -> None:
        """Kill whom nobody succeeds and who makes no progress; his post is filled again."""
        if self._opened and self._state != "draining":
            for child, sentence in self._standstills.look():
                say(sentence, WARNING)
                child.kill()

    def _announce(self) -> None:
        where = self._metrics.address if self._metrics else None
        exchange = self._claim, self._configuration, self._posts, self._wirings
        self._running = announcement.describe(*exchange, self._state, where, self._source)
        self._claim.announce(self._running)

    # ------------------------------------------------------------ ending

    def _end(self) -> bool:
        """Drain, and remove what was made; False when something was killed or lost."""
        self._state = "draining"
        clean = True
        try:
            if self._admin:
                self._admin.close()
            self._announce()
            for value in _PATIENCE_SECONDS:
                clean &= self._stop(value)
        finally:
            if self._metrics:
                self._metrics.close()
            for child in list(self._children):
                child.dismissed = True  # its end is no news: it is ours
                child.kill()
                self._reap(child)
            self._bells.close()
            self._report.close()
            self._selector.close()
            clean &= self._settle()
        return clean

    def _stop(self, value: int) -> bool:
        """Raise the stop word and wait for those whom it ends; False when one had to be killed."""
        for each in self._wirings.values():
            each.control.words[layout.STOP] = value
        self._bells.ring()
        patience = _PATIENCE_SECONDS[value]
        deadline = time.monotonic() + patience
        killed: set[int] = set()
        while waiting := [
            (post, post.child)
            for post in self._posts
            if post.child is not None
            and ROLES[post.role][2] == value
            # A gateway that is the matcher as well has more to do.
            and (value == wiring.STOP_MATCHER or not self._is_matcher(post.child))
        ]:
            late = time.monotonic() > deadline
            for post, child in waiting:
                if self._opened and self._succession.is_superfluous(post):
                    child.dismissed = True
                    child.kill()
                elif child.pid not in killed and (late or self._may_hurry(post)):
                    if late:
                        say(f"{post.label} did not end within {patience} s: killing it", WARNING)
                    killed.add(child.pid)
                    child.dismissed = not late
                    child.kill()
            self._pass()
        return not killed or not self._opened

    def _is_matcher(self, child: Child) -> bool:
        return any(each.role == "matcher" and each.child is child for each in self._posts)

    def _may_hurry(self, post: Post) -> bool:
        """Whether to kill instead of to wait. A recorder has something to finish."""
        if not self._opened:
            return True
        return self._signals.stops > 1 and post.role != "recorder"

    def _settle(self) -> bool:
        """Save what no recorder wrote and remove the segments; False when they must stay."""
        try:
            for number, each in self._wirings.items():
                if salvage.unrecorded(each):
                    owner = Owner.of(int(each.segments[1].header[0]["identity"]), number)
                    name, directory = self._claim.name, self._claim.state_directory
                    say(str(salvage.save(each, name, directory, owner)), WARNING)
        except (ExchangeError, LayoutError, OSError) as error:
            say(f"{error}; what it holds stays in shared memory for the next start", ERROR)
            self._claim.former = str(self._claim.state_directory)
            return False
        journal_ends.keep(self._wirings, self._claim.state_directory)
        memory.remove(self._wirings)
        return True


def _kernels(post: Post) -> str:
    """The role whose machine code a process of this post runs."""
    return "matcher" if post.role == "standby" else post.role


def _outcome(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return f"was killed by {signal.Signals(-code).name}"
