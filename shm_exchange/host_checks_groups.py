"""Shell: what the control groups (cgroup v2) of the process allow, which no other file shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from shm_exchange.config import Configuration
from shm_exchange.footprint import shared_bytes
from shm_exchange.host_facts import (
    FAIL,
    OK,
    WARN,
    Check,
    Finding,
    Host,
    Subject,
    UnknownFactError,
    show_size,
)

_ROOT = "/sys/fs/cgroup"
_TASKS_PER_PROCESS = 16  # threads, those of libraries included
_PRIVATE_BYTES = 256 << 20  # of each process: the interpreter, its libraries, a small market


def _groups(host: Host) -> list[PurePosixPath]:
    """The process's group and those around it. Raises UnknownFactError."""
    name = f"/proc/{host.process}/cgroup"
    for line in host.text(name).splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            if ".." in path:  # of another namespace
                break
            inner = PurePosixPath(_ROOT, path.lstrip("/"))
            return [each for each in (inner, *inner.parents) if each.is_relative_to(_ROOT)]
    raise UnknownFactError(f"{name} names no group of version 2")


def _limits(host: Host, name: str) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Each limit of this kind: the group, and the words of the file."""
    for group in _groups(host):
        path = str(group / name)
        if host.has(path):
            words = host.text(path).split()
            if words and words[0] != "max":
                yield group, words


def _process_count(configuration: Configuration) -> int:
    """The supervisor and all roles."""
    roles = sum(1 + each.standbys + each.recorder for each in configuration.engines)
    return 1 + roles + len(configuration.sources)


def _remedy(group: PurePosixPath, setting: str, value: object) -> str:
    unit = group.name or "-.slice"
    if group.suffix in (".service", ".slice", ".scope"):
        return f"systemctl set-property {unit} {setting}={value}"
    return f"raise it for {group}: it is the container's or its manager's"


def _group_memory(subject: Subject) -> Finding:
    """Rings and processes fit: what does not is killed by the kernel, one process at a time."""
    count = _process_count(subject.configuration)
    needed = shared_bytes(subject.configuration) + count * _PRIVATE_BYTES
    limits = [(int(words[0]), group) for group, words in _limits(subject.host, "memory.max")]
    if not limits:
        return Finding(OK, "no limit")
    limit, group = min(limits)
    found = f"{show_size(limit)} in {group}; rings and {count} processes take {show_size(needed)}"
    if limit >= needed:
        return Finding(OK, found)
    return Finding(FAIL, found, _remedy(group, "MemoryMax", "infinity"))


def _group_cpu(subject: Subject) -> Finding:
    """Nobody is held off its core for the rest of a period: orders would wait for that."""
    limits = [
        (int(words[0]) / int(words[1]), group)
        for group, words in _limits(subject.host, "cpu.max")
        if len(words) == 2
    ]
    if not limits:
        return Finding(OK, "no limit")
    share, group = min(limits)
    found = f"{share:g} cores' worth of time in {group}, then everybody stands still for a while"
    return Finding(WARN, found, _remedy(group, "CPUQuota", ""))


def _group_tasks(subject: Subject) -> Finding:
    """As many threads as all processes begin."""
    needed = _process_count(subject.configuration) * _TASKS_PER_PROCESS
    limits = [(int(words[0]), group) for group, words in _limits(subject.host, "pids.max")]
    if not limits:
        return Finding(OK, "no limit")
    limit, group = min(limits)
    found = f"{limit} threads in {group}; this exchange begins up to {needed}"
    if limit >= needed:
        return Finding(OK, found)
    return Finding(FAIL, found, _remedy(group, "TasksMax", "infinity"))


CHECKS: dict[str, Check] = {
    "group-memory": _group_memory,
    "group-cpu": _group_cpu,
    "group-tasks": _group_tasks,
}
