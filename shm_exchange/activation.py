"""Shell: the last part of an installation: systemd is told of the files, and runs the exchange.

Only on a host that systemd has booted, as root; anywhere else the commands are there to be read. An
exchange that was installed before goes on as it is: whether it runs, and begins with the host, is
its operator's to say.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from shm_exchange.errors import ExchangeError

Command = tuple[str, ...]

_BOOTED = Path("/run/systemd/system")  # as sd_booted(3) looks
_FILES: tuple[Command, ...] = (
    ("systemd-sysusers", "/etc/sysusers.d/shm-exchange.conf"),
    ("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/shm-exchange.conf"),
    ("systemctl", "daemon-reload"),
)
_START: Command = ("systemctl", "enable", "--now", "shm-exchange")


def commands(*, is_new: bool) -> list[Command]:
    """What there is to do once the files are there, all of it as often as one likes.

    is_new: there was no unit before.
    """
    return [*_FILES, _START] if is_new else list(_FILES)


def is_possible(root: Path) -> bool:
    """Whether that can be done from here. root: where the files are."""
    return root == Path("/") and os.geteuid() == 0 and _BOOTED.is_dir()


def activate(todo: Sequence[Command], say: Callable[[str], None]) -> None:
    """Do it, and say each command before it. Raises ExchangeError with the first that fails."""
    for number, command in enumerate(todo):
        say(shlex.join(command))
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise ExchangeError(_failure(todo[number:], str(error.strerror))) from error
        if done.returncode:
            reason = done.stderr.strip() or f"it ended with code {done.returncode}"
            raise ExchangeError(_failure(todo[number:], " ".join(reason.split())))


def _failure(left: Sequence[Command], reason: str) -> str:
    remaining = " && ".join(shlex.join(each) for each in left)
    return f"`{shlex.join(left[0])}` failed: {reason}; what remains then is: {remaining}"
