"""Shell: that this process may have what an exchange needs, asked before anything is made.

A limit that is too low would else show itself in some role, as an error that names no limit.
"""

from __future__ import annotations

import resource
from typing import NamedTuple

from shm_exchange.config import Configuration
from shm_exchange.errors import UnfitHostError
from shm_exchange.footprint import shared_bytes

DESCRIPTORS_OF_OURS = 128  # of a process: segments, doorbells, the journal, the interpreter
_DESCRIPTORS_PER_GATEWAY = 4  # of the supervisor
# Pools are reserved whole, and only what is used takes memory: 140 to 220 GB in each process.
_RESERVED_PER_ENGINE = 1 << 38


def descriptors_needed(configuration: Configuration) -> int:
    """Open files of whoever has most: a gateway with all its clients, or the supervisor."""
    clients = max((each.clients_max for each in configuration.gateways), default=0)
    return DESCRIPTORS_OF_OURS + max(
        clients, _DESCRIPTORS_PER_GATEWAY * len(configuration.gateways)
    )


class Need(NamedTuple):
    """What an exchange must be allowed to have."""

    which: int  # of setrlimit(2)
    label: str  # in /proc/PID/limits
    what: str
    least: int
    option: str  # of ulimit
    setting: str  # of a unit
    otherwise: str  # what else helps, or why so much


def needs(configuration: Configuration) -> list[Need]:
    """All limits that count."""
    largest = max(each.journal_segment_bytes for each in configuration.engines)
    file = max(largest, shared_bytes(configuration))
    reserved = _RESERVED_PER_ENGINE * len(configuration.engines)
    files = descriptors_needed(configuration)
    smaller = " or configure smaller rings and journal segments"
    unused = ": they are reserved, not used"
    return [
        Need(resource.RLIMIT_NOFILE, "Max open files", "open files", files,
             "-n", "LimitNOFILE", " or lower `clients_max`"),
        Need(resource.RLIMIT_FSIZE, "Max file size", "bytes of a file", file,
             "-f", "LimitFSIZE", smaller),
        Need(resource.RLIMIT_AS, "Max address space", "bytes of addresses", reserved,
             "-v", "LimitAS", unused),
        Need(resource.RLIMIT_DATA, "Max data size", "bytes of data", reserved,
             "-d", "LimitDATA", unused),
    ]  # fmt: skip


def check(configuration: Configuration) -> None:
    """Raise UnfitHostError when a limit is too low; a soft one is raised as far as it takes."""
    for need in needs(configuration):
        _require(need)


def _require(need: Need) -> None:
    soft, hard = resource.getrlimit(need.which)
    if _is_enough(soft, need.least):
        return
    if not _is_enough(hard, need.least):
        raise UnfitHostError(
            f"a process may have {hard} {need.what} here, and this exchange needs {need.least};"
            f" raise that limit (ulimit {need.option}, {need.setting}= of the unit){need.otherwise}"
        )
    resource.setrlimit(need.which, (need.least, hard))


def _is_enough(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
