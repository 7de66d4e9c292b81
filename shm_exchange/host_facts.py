"""Shell: what a host says of itself in files, and what a check finds in them.

Every path is taken below one root. `/` is the host that runs this; a folder with copies of files of
/proc and /sys is another one, so each fault can be shown without having it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shm_exchange import placement
from shm_exchange.config import Configuration

OK, WARN, FAIL = "ok", "warn", "fail"
ONLINE = "/sys/devices/system/cpu/online"  # the cores that there are
STATES = (OK, WARN, FAIL)  # from good to bad


class UnknownFactError(Exception):
    """The host does not say: the file is not there, as in many containers, or may not be read."""


@dataclass(frozen=True)
class Finding:
    """What one check found. remedy: the command that mends it, or None."""

    state: str
    found: str
    remedy: str | None = None


@dataclass(frozen=True)
class Host:
    """A host by its files. process: whose limits count, a folder of /proc."""

    root: Path = Path("/")
    process: str = "self"

    def path(self, name: str) -> Path:
        """Where an absolute path is below the root."""
        return self.root / name.lstrip("/")

    def has(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return self.path(name).exists()

    def text(self, name: str) -> str:
        """What a file says, without the white space around it. Raises UnknownFactError."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:
            raise UnknownFactError(f"{name}: {error.strerror}") from error

    def choice(self, name: str) -> str:
        """The word in brackets of a file that lists what could be chosen."""
        text = self.text(name)
        return text.partition("[")[2].partition("]")[0] or text

    def cores(self, name: str) -> set[int]:
        """The cores that a file lists, as in `0-2,5`."""
        return parse_cores(self.text(name))

    @cached_property
    def allowed_cores(self) -> set[int]:
        """The cores that this process may run on."""
        return parse_cores(self.field(f"/proc/{self.process}/status", "Cpus_allowed_list"))

    def field(self, name: str, label: str) -> str:
        """What stands behind `label:` in a file of lines. Raises UnknownFactError."""
        for line in self.text(name).splitlines():
            key, _, value = line.partition(":")
            if key.strip() == label:
                return value.strip()
        raise UnknownFactError(f"{name} has no line {label}")


@dataclass(frozen=True)
class Subject:
    """What is examined: whether this host is fit for this configuration, with its state there."""

    host: Host
    configuration: Configuration
    state_directory: Path

    @cached_property
    def pinned(self) -> set[int]:
        """The cores that some role is to have for itself, of those that there are."""
        if not self.host.has(ONLINE):
            return self.named
        return self.named & self.host.cores(ONLINE)

    @cached_property
    def named(self) -> set[int]:
        """The same, whether or not there are such cores."""
        return placement.pinned_cores(self.configuration, self.host.allowed_cores)


Check = Callable[[Subject], Finding]


def parse_cores(text: str) -> set[int]:
    """The numbers of a list such as `0-2,5`; what is no list is empty."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return found


def show_cores(cores: Collection[int]) -> str:
    """The same as a list with commas."""
    return ",".join(map(str, sorted(cores)))


def show_size(size: float) -> str:
    """A size in bytes for people."""
    unit = "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.4g} {unit}"
