"""Shell: whether what is written to the state directory survives, and how long that takes."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from shm_exchange import sync_time
from shm_exchange.host_facts import (
    FAIL,
    OK,
    WARN,
    Check,
    Finding,
    Subject,
    UnknownFactError,
    show_size,
)
from shm_exchange.host_mounts import is_rotational, mount_of
from shm_exchange.presence import is_open_to_others

_VOLATILE = {"tmpfs", "ramfs", "devtmpfs"}
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"}
_LAYERED = {"overlay", "aufs"}
# Of the slowest of a hundred group commits, in seconds. Up to the first nobody notices; from the
# second on the recorder falls behind a busy matcher.
_SYNC_GOOD, _SYNC_BAD = 0.01, 0.25


def existing(directory: Path) -> Path:
    """The directory, or the nearest above it that is there already."""
    directory = directory.absolute()
    return next(each for each in (directory, *directory.parents) if each.is_dir())


def _journal(subject: Subject) -> Finding:
    """The journal is on a local disk that keeps what it is given and need not turn."""
    host = subject.host
    place = os.path.realpath(existing(subject.state_directory))
    mount = mount_of(host, place)
    found = f"{place} is on {mount.kind} ({mount.source})"
    holds = subject.configuration.exchange.durability == "disk"
    remedy = "choose a folder on a local solid-state disk: `--state DIR` or `state_directory`"
    if mount.kind in _VOLATILE:
        return Finding(FAIL if holds else WARN, f"{found}: gone when the power is", remedy)
    if mount.kind in _REMOTE:
        return Finding(WARN, f"{found}: every sync is a journey", remedy)
    if mount.kind in _LAYERED:
        return Finding(WARN, f"{found}: gone with the container", remedy)
    if is_rotational(host, mount.device):
        return Finding(WARN, f"{found}, which calls itself a disk that turns", remedy)
    return Finding(OK, f"{found}, which does not turn")


def _disk_space(subject: Subject) -> Finding:
    """Room for the journal's next files and the reserve of every engine that is recorded."""
    place = existing(subject.state_directory)
    recorded = [each for each in subject.configuration.engines if each.recorder]
    needed = sum(each.disk_reserve_bytes + 2 * each.journal_segment_bytes for each in recorded)
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize
    found = f"{show_size(free)} free at {place}; at least {show_size(needed)} are needed"
    if free < needed:
        return Finding(FAIL, found, "make room (`shmx journal prune`), or choose another `--state`")
    return Finding(OK, found)


def _sync(subject: Subject, *, loaded: bool) -> Finding:
    """A group commit is soon durable, also while snapshots are written."""
    place = existing(subject.state_directory)
    try:
        times = sync_time.measure(place, loaded=loaded)
    except OSError as error:
        remedy = f"install -d -m 700 -o $USER {subject.state_directory}, or choose another --state"
        return Finding(FAIL, f"{place} cannot be written: {error.strerror}", remedy)
    return judge(times)


def judge(times: list[float]) -> Finding:
    """What sorted times of syncs, in seconds, mean. Of so few the slowest is the only late one."""
    middle, late = sync_time.at(times, 0.5), times[-1]
    found = (
        f"p50 {middle * 1e3:.2f} ms, the slowest {late * 1e3:.2f} ms of {len(times)} syncs of 4 KiB"
    )
    if late <= _SYNC_GOOD:
        return Finding(OK, found)
    remedy = "put the journal on a disk of its own, with power-loss protection: `--state DIR`"
    return Finding(FAIL if late > _SYNC_BAD else WARN, found, remedy)


def _privacy(subject: Subject) -> Finding:
    """What is in the state directory, passwords and orders, is for our user alone."""
    place = subject.state_directory
    try:
        is_open = is_open_to_others(place)
    except PermissionError as error:
        raise UnknownFactError(f"{place}: {error.strerror}") from error
    if is_open:
        return Finding(WARN, f"other users may look into {place}", f"chmod 700 {place}")
    return Finding(OK, f"{place} is for its user alone")


CHECKS: dict[str, Check] = {
    "privacy": _privacy,
    "journal": _journal,
    "disk-space": _disk_space,
    "sync-time": partial(_sync, loaded=False),
    "sync-time-under-load": partial(_sync, loaded=True),
}
