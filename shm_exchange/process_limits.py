"""Shell: that this process may have what an exchange needs, asked before anything is made.

A limit that is too low would else show itself in some role, as an error that names no limit.
"""

from __future__ import annotations

import resource

from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError
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


def check(configuration: Configuration) -> None:
    """Raise ExchangeError when a limit is too low; a soft one is raised as far as it takes."""
    largest = max(each.journal_segment_bytes for each in configuration.engines)
    wanted: list[tuple[int, str, int, str]] = [
        (
            resource.RLIMIT_NOFILE,
            "open files",
            descriptors_needed(configuration),
            "(ulimit -n, LimitNOFILE= of the unit) or lower `clients_max`",
        ),
        (
            resource.RLIMIT_FSIZE,
            "bytes of a file",
            max(largest, shared_bytes(configuration)),
            "(ulimit -f, LimitFSIZE= of the unit) or configure smaller rings and journal segments",
        ),
    ]
    reserved = _RESERVED_PER_ENGINE * len(configuration.engines)
    for which, what, option in (
        (resource.RLIMIT_AS, "bytes of addresses", "(ulimit -v, LimitAS="),
        (resource.RLIMIT_DATA, "bytes of data", "(ulimit -d, LimitDATA="),
    ):
        remedy = f"{option} of the unit): they are reserved, not used"
        wanted.append((which, what, reserved, remedy))
    for which, what, needed, remedy in wanted:
        _require(which, what, needed, remedy)


def _require(which: int, what: str, needed: int, remedy: str) -> None:
    soft, hard = resource.getrlimit(which)
    if _is_enough(soft, needed):
        return
    if not _is_enough(hard, needed):
        raise ExchangeError(
            f"a process may have {hard} {what} here, and this exchange needs {needed}; raise that"
            f" limit {remedy}"
        )
    resource.setrlimit(which, (needed, hard))


def _is_enough(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
