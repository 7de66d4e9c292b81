"""Shell: which file system a path is on, and what device is under it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from shm_exchange.host_facts import Host, UnknownFactError

_TABLE = "/proc/self/mountinfo"


@dataclass(frozen=True)
class Mount:
    """One line of the table of mounts. device: `major:minor`."""

    point: str
    device: str
    kind: str
    source: str
    options: tuple[str, ...]


def mount_of(host: Host, path: str) -> Mount:
    """The mount that an absolute path is on; the last one wins where several cover each other."""
    found = None
    for each in map(_parse, host.text(_TABLE).splitlines()):
        inside = path == each.point or path.startswith(each.point.rstrip("/") + "/")
        if inside and (found is None or len(each.point) >= len(found.point)):
            found = each
    if found is None:
        raise UnknownFactError(f"{_TABLE} has no mount for {path}")
    return found


def is_rotational(host: Host, device: str) -> bool:
    """Whether a device is a spinning disk; of a partition, the disk. Raises UnknownFactError."""
    folder = f"/sys/dev/block/{device}"
    # A partition has no queue of its own; the link leads into the folder of its disk.
    real = os.path.realpath(host.path(folder))
    above = os.path.join("/", os.path.relpath(os.path.dirname(real), os.path.realpath(host.root)))
    for place in (folder, above):
        if host.has(f"{place}/queue/rotational"):
            return host.text(f"{place}/queue/rotational") == "1"
    raise UnknownFactError(f"{folder}/queue/rotational: no such file")


def _parse(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    words, rest = before.split(), after.split()
    point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), words[4])
    options = (*words[5].split(","), *rest[2].split(","))
    return Mount(point, words[2], rest[0], rest[1], options)
