"""Shell: one line for each thing that an operator may have to act on, on stderr.

Where stderr is the journal ($JOURNAL_STREAM names it, see sd-daemon(3)), each line begins with its
priority and ends with who says it: `<4>... role=recorder engine=1 pid=4711`. Anywhere else, as on a
terminal, it is the plain text. What is less important than the operator wants to hear is not said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import cache

# Of syslog(3): something ended; something is wrong; it is news; all is as it should be.
ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7

# As a configuration names them.
LEVELS = {"error": ERROR, "warning": WARNING, "info": INFO, "debug": DEBUG}

_speaker = "role=command"
_least: Callable[[], int] = lambda: 0  # noqa: E731 - what `heed` was given


def speak_as(role: str, engines: Iterable[int]) -> None:
    """Who this process is, in every line from now on."""
    global _speaker
    _speaker = f"role={role} engine={','.join(map(str, engines)) or '-'}"


def heed(least: Callable[[], int]) -> None:
    """What this process says from now on. least: asked at each line for the priority of the least
    important ones that are to be said; 0: all.
    """
    global _least
    _least = least


def say(text: str, priority: int = INFO) -> None:
    """One line, in one write: the processes of an exchange share their stderr.

    text: a sentence that makes sense without the rest of the line.
    """
    if 0 < _least() < priority:
        return
    sys.stderr.write(_line(text, priority) + "\n")
    sys.stderr.flush()


def _line(text: str, priority: int) -> str:
    if not _is_journal(os.environ.get("JOURNAL_STREAM", "")):
        return text
    return f"<{priority}>{' | '.join(text.splitlines())} {_speaker} pid={os.getpid()}"


@cache
def _is_journal(stream: str) -> bool:
    """Whether `stream` (device:inode) is our stderr: it may have been sent elsewhere since."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"
