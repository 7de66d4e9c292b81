"""Shell: a running exchange takes over a part of its configuration: `shmx reload`, SIGHUP.

Checked as a whole first; then passwords and limits reach the gateways as what an operator says of
sessions does (`session_requests`). Limits have one more step: what a session may do is looked at
again when an event says so, in each gateway's own thread, and that event may come only once every
gateway has the new numbers. How much is said and how often a snapshot is taken are words in shared
memory, which every process looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from ringbuf import layout
from shm_exchange import config, operator_line, presence, running_configuration
from shm_exchange.accounts import COUNTER_ACCOUNTS
from shm_exchange.admin import Say, answer_to
from shm_exchange.children import Bells, Post
from shm_exchange.config import Configuration
from shm_exchange.day_roll import DayRoll
from shm_exchange.effective import Value
from shm_exchange.errors import ExchangeError
from shm_exchange.limit_change import again
from shm_exchange.session_requests import Register
from shm_exchange.supervisor_commands import offer
from shm_exchange.unit_report import UnitReport
from shm_exchange.wiring import Wiring

DO = "reload"
_NAMES_MAX = 100  # an operator's answer has a limit
_SESSIONS_AT_ONCE = 64  # the smallest ring has room for them


class Reload:
    """The supervisor's part."""

    def __init__(
        self,
        source: Path | None,
        state_directory: Path,
        register: Register,
        posts: Iterable[Post],
        wirings: Mapping[int, Wiring],
        bells: Bells,
        day: DayRoll,
        report: UnitReport,
        move_metrics: Callable[[Configuration], AbstractContextManager[None]],
    ) -> None:
        """source: None for the built-in configuration.

        move_metrics: around what may fail; afterwards metrics are where the configuration says.
        """
        self._source = source
        self._state_directory = state_directory
        self._register = register
        self._posts = [each for each in posts if each.source]
        self._wirings = wirings
        self._bells = bells
        self._day = day
        self._report = report
        self._move_metrics = move_metrics
        self._limited: dict[int, set[int]] = {}  # engine -> sessions to be looked at again

    def begin(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take over what has changed, or nothing. Raises ExchangeError.

        file: what whoever asks takes for our configuration, if he names one.
        """
        file = request.get("file")
        if file is not None and (
            self._source is None or not running_configuration.is_same(self._source, Path(file))
        ):
            raise ExchangeError(
                f"this exchange was not started with {file}, but with"
                f" {self._source or 'the built-in configuration'}; edit that, or start it anew"
            )
        self._report.say_reloading()
        try:
            changed = self._take_over()
        finally:
            self._report.say_ready()
        names = [each.name for each in changed]
        if len(names) > _NAMES_MAX:
            names[_NAMES_MAX:] = [f"and {len(names) - _NAMES_MAX} more"]
        return {"changed": names, "serial": self._register.serial}

    def begin_unasked(self, say: Say, warn: Say) -> None:
        """The same for somebody who cannot be answered: say what came of it."""
        answer = answer_to(self.begin, {"do": DO}, say)
        if answer["ok"]:
            say(f"reloaded: {', '.join(answer['changed']) or 'nothing has changed'}")
        else:
            for line in answer["reason"].splitlines():  # each of a configuration stands by itself
                warn(f"not reloaded: {line}")

    def _take_over(self) -> list[Value]:
        if self._source is None:
            raise ExchangeError(
                "the exchange runs with the built-in configuration, which has no file; start it"
                " with --config FILE to be able to reload that"
            )
        copy = self._state_directory / presence.CONFIGURATION_COPY
        changed = running_configuration.changes(copy, self._source)
        configured = config.load(self._source)
        before = self._register.configuration.sessions
        source = self._source
        with self._move_metrics(configured):
            self._register.configure(
                configured, lambda: running_configuration.keep(source, self._state_directory)
            )
        sessions = zip(before, configured.sessions, strict=True)
        others = {number for number, (was, now) in enumerate(sessions) if was.limits != now.limits}
        if others:
            for engine in self._wirings:
                self._limited.setdefault(engine, set()).update(others)
        self._day.change(configured.exchange.day_roll)
        level = operator_line.LEVELS[configured.exchange.log_level]
        operator_line.heed(lambda: level)
        for engine, each in self._wirings.items():
            words = each.control.words
            words[layout.SAID] = level
            words[layout.SNAPSHOT_EVERY] = configured.engine(engine).snapshot_every_events
        return changed

    def post(self) -> None:
        """Once every gateway has the new limits, have them look at those."""
        if not self._limited or not all(map(self._acts, self._posts)):
            return
        for engine, sessions in list(self._limited.items()):
            some = sorted(sessions)[:_SESSIONS_AT_ONCE]
            if offer(self._wirings[engine], np.concatenate([again(each) for each in some])):
                self._bells.ring_matcher(engine)
                sessions.difference_update(some)
            if not sessions:
                del self._limited[engine]

    def _acts(self, post: Post) -> bool:
        """Whether a gateway has what was said last; whoever starts now reads it."""
        if post.child is None:
            return True
        rows = [self._wirings[engine].control.processes[number] for engine, number in post.lines]
        return all(
            int(row["pid"]) == post.child.pid
            and int(row["counter"][COUNTER_ACCOUNTS]) >= self._register.serial
            for row in rows
        )
