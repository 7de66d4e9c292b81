"""Shell: what an exchange that died left behind: roles that are still ending, and segments.

Its events are saved first, into the journal of the state directory whose identity the segments
carry. Call it only as the holder of the name's claim: then nobody makes segments of that name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from ringbuf import layout, segment
from ringbuf.errors import LayoutError, SegmentError
from shm_exchange import salvage, wiring
from shm_exchange.errors import AnotherWriterError
from shm_exchange.journal_segment import Owner
from shm_exchange.presence import (
    IDENTITY,
    SHARED_MEMORY,
    Claim,
    directory_of,
    held,
    identity_of,
    info_path,
)
from shm_exchange.wiring import DIGEST, prefix

_PATIENCE_SECONDS = 5.0  # the roles of a dead supervisor are killed; large mappings take a moment
_CLOCK_SLACK_SECONDS = 2.0  # between a process's start and its own word about it


def segments_of(name: str) -> list[str]:
    """The segments of an exchange that exist, without the one that claims its name."""
    found = SHARED_MEMORY.glob(f"{prefix(name)[1:]}*")
    return sorted(f"/{path.name}" for path in found if path != info_path(name))


def settle(claim: Claim) -> list[str]:
    """Save and remove what dead exchanges left; what was done, a sentence each.

    Those of the claimed name, and those that ran on the claimed state directory by another name.
    Raises AnotherWriterError, LayoutError or JournalError when that cannot be done without a loss:
    then the segments stay as they are.
    """
    identity = identity_of(claim.state_directory)
    said = _settle(claim.name, claim, identity)
    for name in sorted(_names_of(identity) - {claim.name}):
        if _is_of_copy(name, claim.state_directory, identity):
            continue
        with held(name):
            said += _settle(name, claim, identity)
    claim.set_settled()
    return said


def remove(name: str) -> list[str]:
    """Remove what a dead exchange left; return the names of the segments.

    Raises AnotherWriterError when its roles live on, LayoutError when a segment is another
    build's: then nothing is touched.
    """
    _wait_for_roles(name)
    found = segments_of(name)
    for each in found:  # events last: without them there is nothing to save
        segment.remove(each)
    return found


def _settle(name: str, claim: Claim, identity: int) -> list[str]:
    _wait_for_roles(name)
    said = []
    for engine in _engines_of(name):
        try:
            found = wiring.attach(name, engine, read_only=True)
        except SegmentError:
            continue  # its maker died before all were there, so nothing was ever published
        try:
            theirs = int(found.segments[1].header[0]["identity"])
            if theirs == identity:
                saved = salvage.save(found, name, claim.state_directory, Owner.of(identity, engine))
                said += [str(saved)] if saved.events or saved.commands else []
            else:
                _refuse_foreign(name, claim, salvage.unrecorded(found))
        finally:
            found.close()
    return said + [f"removed {each}, left by an exchange that died" for each in remove(name)]


def _refuse_foreign(name: str, claim: Claim, lost: int) -> None:
    """Raise AnotherWriterError when another state directory may still need its segments."""
    former = claim.former
    if lost == 0 or (former is not None and not Path(former).exists()):
        return
    where = f"with --state {former}" if former else "with its own --state"
    raise AnotherWriterError(
        f"an exchange named {name} that used another state directory died with {lost} events that"
        f" only shared memory has; start it once {where}, choose another --name, or remove"
        f" /dev/shm{prefix(name)}* if nobody needs them"
    )


def _engines_of(name: str) -> list[int]:
    """Engines whose event ring exists."""
    numbers = (each.removeprefix(prefix(name)).split(".") for each in segments_of(name))
    return sorted(int(parts[0][1:]) for parts in numbers if parts[-1] == "events")


def _names_of(identity: int) -> set[str]:
    """Names under which exchanges of a state directory left segments."""
    names = set()
    for path in SHARED_MEMORY.glob("shmx.*.events"):
        try:
            header = np.fromfile(path, layout.SEGMENT_HEADER.dtype, 1)
        except OSError:
            continue  # another user's, or just removed
        if len(header) and header[0]["magic"] == layout.MAGIC:
            if int(header[0]["identity"]) == identity:
                names.add(path.name.split(".")[1])
    return names


def _is_of_copy(name: str, ours: Path, identity: int) -> bool:
    """Whether an exchange's state directory is another than ours, and still there.

    One of the two is a copy of the other, as of a backup: each has its own exchange.
    """
    theirs = directory_of(name)
    if theirs is None or not (theirs / IDENTITY).exists() or theirs.samefile(ours):
        return False
    return identity_of(theirs) == identity


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
