"""Goal: who is started how, in which order, and how often at most.

Method: posts and command lines of configurations; nothing is started.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from shm_exchange import wiring
from shm_exchange.children import Bells, Child, Launcher, posts_of
from shm_exchange.config import Engine, Exchange, built_in
from shm_exchange.errors import ExchangeError
from shm_exchange.roles import ROLES

ENGINES = (
    Engine(standbys=2, standby_core=1),
    Engine(id=7, standbys=0, recorder=False),
)
CONFIGURATION = replace(built_in(), engines=ENGINES)


def test_every_post_has_a_number_of_its_own() -> None:
    """Matcher 0, recorder 1, standbys from 2, gateways from 10, in each engine that they serve."""
    posts = posts_of(CONFIGURATION, {1: 0, 7: None})
    assert [(post.role, post.lines, post.core) for post in posts] == [
        ("matcher", ((1, 0),), 0),
        ("recorder", ((1, 1),), None),
        ("standby", ((1, 2),), 1),
        ("standby", ((1, 3),), 1),
        ("matcher", ((7, 0),), None),
        ("order", ((1, 10), (7, 10)), None),
        ("market_data", ((1, 11), (7, 11)), None),
    ]
    assert {post.role for post in posts} == set(ROLES)
    lines = [line for post in posts for line in post.lines]
    assert len(set(lines)) == len(lines)


def test_a_command_line_names_the_bells_of_all() -> None:
    """One list per engine, by process number; the descriptors exist and do not block."""
    posts = posts_of(CONFIGURATION, {1: 0, 7: None})
    bells = Bells(posts)
    launcher = Launcher("x", Path("/state"), None, "park", bells)
    command = launcher.command(posts[-1])
    assert command[command.index("--source") + 1] == str(posts[-1].source)
    assert command[command.index("--supervisor") + 1] == str(os.getpid())
    assert "--core" not in command and "--configuration" not in command
    assert launcher.command(posts[0])[-4:-2] == ["--core", "0"]
    texts = [
        each for before, each in zip(command, command[1:], strict=False) if before == "--engine"
    ]
    for engine, text in zip((1, 7), texts, strict=True):
        number, process, fds = text.split(":")
        assert (int(number), int(process)) == (engine, 11)
        named = [int(each) for each in fds.split(",") if each != "-"]
        assert named == list(bells.descriptors(engine))
        for descriptor in named:
            assert not os.get_blocking(descriptor)
    bells.ring()
    assert os.eventfd_read(bells.descriptors(1)[0]) == 1
    bells.close()


def test_a_relief_is_a_standby_with_a_bell_of_its_own() -> None:
    """A new matcher stands by first, in an engine without standbys too: somebody may be faster."""
    posts = posts_of(CONFIGURATION, {1: 0, 7: None})
    bells = Bells(posts)
    command = Launcher("x", Path("/state"), None, "park", bells).command(posts[4], relief=True)
    assert command[3] == "standby"
    engine, number, fds = command[-1].split(":")
    assert (int(engine), int(number)) == (7, wiring.PROCESS_RELIEF)
    assert int(fds.split(",")[wiring.PROCESS_RELIEF]) in bells.descriptors(7)
    bells.close()


def test_failures_are_limited() -> None:
    """As many within the window as allowed, however long it goes on; one more is too many."""
    post = posts_of(CONFIGURATION, {1: 0, 7: None})[0]
    limits = Exchange(restarts_max=3, restart_window_seconds=60)
    now = 0.0
    for _ in range(15):
        post.count_failure(now, limits)
        now += 20.1
    with pytest.raises(ExchangeError, match="matcher of engine 1 failed 4 times within 60 s"):
        for _ in range(4):
            post.count_failure(now, limits)


@pytest.mark.parametrize(
    ("was_ready", "code", "age", "failed"),
    [
        (False, -signal.SIGKILL, 100, True),  # it never got there
        (False, 1, 100, True),
        (True, -signal.SIGKILL, 1, False),  # from outside
        (True, -signal.SIGSEGV, 1, True),  # of itself, and at once
        (True, -signal.SIGSEGV, 100, False),  # after it had worked for long
        (True, 1, 1, True),
        (True, 0, 1, False),  # it handed over
    ],
)
def test_a_kill_from_outside_is_no_failure(
    was_ready: bool, code: int, age: float, failed: bool
) -> None:
    """Only what would happen again to the next one is counted."""
    with subprocess.Popen(["true"]) as process:
        child = Child(process, -1, started=50.0, was_ready=was_ready)
        assert child.has_failed(code, 50.0 + age) == failed


def test_the_stop_word_rises_past_every_role() -> None:
    """Gateways end before matchers, matchers before recorders."""
    ends = {role: value for role, (_, _, value) in ROLES.items()}
    assert ends["order"] == ends["market_data"] == wiring.STOP_GATEWAYS
    assert ends["matcher"] == ends["standby"] == wiring.STOP_MATCHER > wiring.STOP_GATEWAYS
    assert ends["recorder"] == wiring.STOP_RECORDER > wiring.STOP_MATCHER
