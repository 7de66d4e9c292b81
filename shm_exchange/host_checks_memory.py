"""Shell: whether shared memory has room for the rings, stays in memory and is near its users."""

from __future__ import annotations

import os

from shm_exchange.footprint import shared_bytes
from shm_exchange.host_facts import (
    FAIL,
    OK,
    WARN,
    Check,
    Finding,
    Subject,
    UnknownFactError,
    parse_cores,
    show_cores,
    show_size,
)
from shm_exchange.host_mounts import mount_of

_SHARED_MEMORY = "/dev/shm"
_PAGES = "/sys/kernel/mm/transparent_hugepage"
_NODES = "/sys/devices/system/node"


def _shared_memory(subject: Subject) -> Finding:
    """Room for every ring. What an exchange of this name has there already counts as free."""
    host, name = subject.host, subject.configuration.exchange.name
    folder = host.path(_SHARED_MEMORY)
    needed = shared_bytes(subject.configuration)
    try:
        room = os.statvfs(folder)
        ours = sum(each.stat().st_size for each in folder.glob(f"shmx.{name}.*"))
    except OSError as error:
        raise UnknownFactError(f"{_SHARED_MEMORY}: {error.strerror}") from error
    size, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize + ours
    found = f"{show_size(free)} of {show_size(size)} free; the rings take {show_size(needed)}"
    if needed <= free:
        return Finding(OK, found)
    wanted = 2 * max(needed, 1 << 30) >> 30
    remedy = f"mount -o remount,size={wanted}G {_SHARED_MEMORY}, or configure smaller rings"
    return Finding(FAIL, found, remedy)


def _memory(subject: Subject) -> Finding:
    """Memory behind the shared memory."""
    words = subject.host.field("/proc/meminfo", "MemAvailable").split()
    available, needed = int(words[0]) << 10, shared_bytes(subject.configuration)
    found = f"{show_size(available)} available; the rings alone take {show_size(needed)}"
    if needed <= available:
        return Finding(OK, found)
    return Finding(FAIL, found, "give the host more memory, or configure smaller rings")


def _huge_pages(subject: Subject) -> Finding:
    """Rings lie on huge pages. For POSIX shared memory it is the mount that says so."""
    override = subject.host.choice(f"{_PAGES}/shmem_enabled")
    mount = mount_of(subject.host, _SHARED_MEMORY)
    policy = next((word[5:] for word in mount.options if word.startswith("huge=")), "never")
    found = f"{_SHARED_MEMORY} is mounted with huge={policy}"
    if override in ("force", "deny"):
        found += f", overridden by shmem_enabled={override}"
    if override == "force" or (override != "deny" and policy in ("always", "within_size")):
        return Finding(OK, found)
    remedy = f"mount -o remount,huge=within_size {_SHARED_MEMORY} before the exchange starts"
    if override == "deny":
        remedy = f"echo never > {_PAGES}/shmem_enabled; {remedy}"
    return Finding(WARN, found, remedy)


def _thp(subject: Subject) -> Finding:
    """Private memory is not compacted behind the back of who uses it."""
    policy = subject.host.choice(f"{_PAGES}/enabled")
    if policy != "always":
        return Finding(OK, policy)
    return Finding(WARN, f"{policy}: page faults may compact", f"echo madvise > {_PAGES}/enabled")


def _numa(subject: Subject) -> Finding:
    """Pinned roles are of one node, and pages stay where they are."""
    host, pinned = subject.host, subject.pinned
    nodes = parse_cores(host.text(f"{_NODES}/online"))
    if len(nodes) == 1:
        return Finding(OK, "one node")
    used = {node for node in nodes if pinned & host.cores(f"{_NODES}/node{node}/cpulist")}
    found = f"{len(nodes)} nodes; pinned cores are of node {show_cores(used) or 'none'}"
    if len(used) != 1:
        cores = show_cores(host.cores(f"{_NODES}/node{min(used or nodes)}/cpulist"))
        return Finding(WARN, found, f"pin all roles to cores of one node, for example of {cores}")
    if host.text("/proc/sys/kernel/numa_balancing") != "0":
        return Finding(WARN, f"{found}; pages are moved", "sysctl -w kernel.numa_balancing=0")
    return Finding(OK, found)


def _swap(subject: Subject) -> Finding:
    """Nothing of the exchange can be paged out."""
    areas = [line.split()[0] for line in subject.host.text("/proc/swaps").splitlines()[1:]]
    if not areas:
        return Finding(OK, "none")
    return Finding(
        WARN,
        f"{', '.join(areas)}: rings and books can be paged out",
        "swapoff -a, and remove it from /etc/fstab; or MemorySwapMax=0 in the unit",
    )


CHECKS: dict[str, Check] = {
    "shared-memory": _shared_memory,
    "memory": _memory,
    "huge-pages": _huge_pages,
    "thp": _thp,
    "numa": _numa,
    "swap": _swap,
}
