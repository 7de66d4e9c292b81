"""Goal: a line to the journal has a priority and says whose it is; anywhere else it is plain text.

Method: another process whose stderr is a pipe, which $JOURNAL_STREAM names, or something else.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

from shm_exchange import operator_line
from shm_exchange.operator_line import DEBUG, ERROR, INFO, WARNING, say

SAY = """
from shm_exchange.operator_line import ERROR, say, speak_as
say("before")
speak_as("order", [1, 2])
say("one\\ntwo", ERROR)
"""


def said(stream: str | None) -> list[str]:
    """The lines. stream: what $JOURNAL_STREAM says; None: the pipe itself."""
    reading, writing = os.pipe()
    found = os.fstat(writing)
    stream = stream or f"{found.st_dev}:{found.st_ino}"
    subprocess.run(
        [sys.executable, "-c", SAY],
        env={**os.environ, "JOURNAL_STREAM": stream},
        stderr=writing,
        check=True,
    )
    os.close(writing)
    with open(reading, encoding="utf-8") as lines:
        return lines.read().splitlines()


def test_lines_of_the_journal() -> None:
    """One line each, whatever it is made of."""
    first, second = said(None)
    assert re.fullmatch(r"<6>before role=command pid=\d+", first)
    assert re.fullmatch(r"<3>one \| two role=order engine=1,2 pid=\d+", second)


@pytest.mark.parametrize("stream", ["8:1", "nonsense"])
def test_stderr_that_was_sent_elsewhere_is_plain(stream: str) -> None:
    assert said(stream) == ["before", "one", "two"]


@pytest.mark.parametrize(
    ("level", "wanted"),
    [
        ("error", ["e"]),
        ("warning", ["e", "w"]),
        ("info", ["e", "w", "i"]),
        ("debug", ["e", "w", "i", "d"]),
    ],
)
def test_what_nobody_wants_to_hear_is_not_said(
    level: str, wanted: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Asked at each line: it may change."""
    least = 0
    operator_line.heed(lambda: least)
    try:
        say("all of it")
        least = operator_line.LEVELS[level]
        for text, priority in (("e", ERROR), ("w", WARNING), ("i", INFO), ("d", DEBUG)):
            say(text, priority)
    finally:
        operator_line.heed(lambda: 0)
    assert capfd.readouterr().err.splitlines() == ["all of it", *wanted]


def test_a_line_is_one_write() -> None:
    """Processes share their stderr: a line in two parts could have another's between them."""
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reading, writing:
        subprocess.run([sys.executable, "-c", SAY], stderr=writing.fileno(), check=True)
        assert [reading.recv(100), reading.recv(100)] == [b"before\n", b"one\ntwo\n"]
