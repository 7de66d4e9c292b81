"""Shell: what an operator's host is given: unit, user, folders, configuration, completion, manual.

All of it is text: the files of `deploy/` with this host's paths, and what click knows of the
commands. A configuration that is there already is never touched.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from shm_exchange import activation, deployment, man_pages
from shm_exchange.errors import ArgumentError, ExchangeError

USER = "shm-exchange"
_UNIT = "shm-exchange.service"
_UNIT_PATH = f"etc/systemd/system/{_UNIT}"
_CONFIGURATION = "etc/shm-exchange/exchange.toml"
_EXECUTABLE = "/usr/local/bin/shmx"
_DROPPED_IN = {"sysusers.d/shm-exchange.conf": "etc", "tmpfiles.d/shm-exchange.conf": "etc"}
_COMPLETIONS = {
    "bash": "usr/local/share/bash-completion/completions/shmx",
    "zsh": "usr/local/share/zsh/site-functions/_shmx",
    "fish": "usr/local/share/fish/vendor_completions.d/shmx.fish",
}
_MANUAL = "usr/local/share/man/man1"
# ProtectHome= and PrivateTmp= hide these from the unit.
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


@dataclass(frozen=True)
class Installation:
    """Where to, for whom, and what is to be started."""

    root: Path
    user: str
    executable: Path

    def __post_init__(self) -> None:
        """Raise ExchangeError for what a unit cannot run."""
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", self.user):
            raise ArgumentError(f"{self.user!r} is no name of a user; use small letters, digits, -")
        place = str(self.executable)
        if re.search(r"[\s%\"'\\]", place):
            raise ExchangeError(f"a unit cannot start {place!r}; install into a plainer path")
        if self.root == Path("/") and place.startswith(tuple(f"{each}/" for each in _HIDDEN)):
            raise ExchangeError(
                f"{place} is hidden from the unit, as all homes are; install it for the host, for"
                " example with: python3 -m venv /opt/shm-exchange"
            )

    def files(self, commands: click.Command) -> dict[str, str]:
        """Path below the root -> text."""
        name = "shmx"
        found = {_UNIT_PATH: self._unit()}
        for path, folder in _DROPPED_IN.items():
            found[f"{folder}/{path}"] = self._owned(deployment.read(path))
        found[_CONFIGURATION] = _with_state(deployment.read(deployment.CONFIGURATION))
        for shell, path in _COMPLETIONS.items():
            kind = get_completion_class(shell)
            assert kind is not None
            completion = kind(commands, {}, name, "_SHMX_COMPLETE")
            found[path] = completion.source_template % completion.source_vars()
        for path, text in man_pages.pages(commands, name, version("shm-exchange")).items():
            found[f"{_MANUAL}/{path}"] = text
        return found

    def install(self, commands: click.Command) -> dict[str, Any]:
        """Write what is missing or old; what was done, and the commands that remain."""
        is_new = not (self.root / _UNIT_PATH).exists()
        rows = [
            {"file": str(self.root / path), "done": self._write(self.root / path, text)}
            for path, text in self.files(commands).items()
        ]
        remaining = [shlex.join(each) for each in activation.commands(is_new=is_new)]
        return {"files": rows, "is_new": is_new, "remaining": remaining}

    def _unit(self) -> str:
        place = self.executable
        if self.root != Path("/") and place.is_relative_to(self.root):
            place = Path("/") / place.relative_to(self.root)  # of an image that is being built
        text = deployment.read(_UNIT).replace(_EXECUTABLE, str(place))
        return re.sub(r"^(User|Group)=.*$", rf"\1={self.user}", text, flags=re.MULTILINE)

    def _owned(self, text: str) -> str:
        """The same for our user; folders keep their names."""
        return re.sub(rf"(?<![\w/-]){USER}(?![\w./-])(?!\")", self.user, text)

    def _write(self, path: Path, text: str) -> str:
        if path.exists():
            if path.read_text(encoding="utf-8") == text:
                return "unchanged"
            if path == self.root / _CONFIGURATION:
                return "kept"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ExchangeError(
                f"{path} cannot be written: {error.strerror}; run it as root, or with --root DIR"
            ) from error
        if path == self.root / _CONFIGURATION:
            path.chmod(0o640)  # it will have passwords
        return "written"


def _with_state(configuration: str) -> str:
    """The same with the unit's state directory: whoever names the file finds the journal, too."""
    return re.sub(r"^# (state_directory = )", r"\1", configuration, count=1, flags=re.MULTILINE)
