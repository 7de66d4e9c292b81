"""Shell: what an exchange that died left behind: roles that are still ending, and segments.

Call it only as the holder of the name's claim: then nobody makes segments of that name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil

from ringbuf import segment
from ringbuf.errors import LayoutError, SegmentError
from shm_exchange.errors import AnotherWriterError
from shm_exchange.presence import SHARED_MEMORY, info_path
from shm_exchange.wiring import DIGEST, prefix

_PATIENCE_SECONDS = 5.0  # the roles of a dead supervisor are killed; large mappings take a moment
_CLOCK_SLACK_SECONDS = 2.0  # between a process's start and its own word about it


def segments_of(name: str) -> list[str]:
    """The segments of an exchange that exist, without the one that claims its name."""
    found = SHARED_MEMORY.glob(f"{prefix(name)[1:]}*")
    return sorted(f"/{path.name}" for path in found if path != info_path(name))


def remove(name: str) -> list[str]:
    """Remove what a dead exchange left; return the names of the segments.

    Raises AnotherWriterError when its roles live on, LayoutError when a segment is another
    build's: then nothing is touched.
    """
    _wait_for_roles(name)
    found = segments_of(name)
    for each in found:
        segment.remove(each)
    return found


def _wait_for_roles(name: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while living := sorted(set(_living(name))):
        if time.monotonic() > deadline:
            pids = ", ".join(map(str, living))
            raise AnotherWriterError(
                f"processes of an exchange named {name} still run ({pids});"
                " end them or choose another --name"
            )
        time.sleep(0.02)


def _living(name: str) -> Iterator[int]:
    """Process ids in the control segments that are still those processes."""
    for each in segments_of(name):
        if not each.endswith(".control"):
            continue
        try:
            owned, control = segment.attach_control(each, DIGEST, read_only=True)
        except SegmentError:
            continue  # its maker died before it was finished, so nobody ever attached
        except LayoutError as error:
            raise LayoutError(
                f"{error}; end it, or remove /dev/shm{prefix(name)}* if nothing needs it"
            ) from error
        rows = [(int(row["pid"]), int(row["started_ns"])) for row in control.processes]
        owned.close()
        yield from (pid for pid, started_ns in rows if pid and _is_alive(pid, started_ns))


def _is_alive(pid: int, started_ns: int) -> bool:
    """Whether the process that registered then still runs; its number may be another's by now."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(process.create_time() <= started_ns / 1e9 + _CLOCK_SLACK_SECONDS)
    except psutil.NoSuchProcess:
        return False
