"""Shell: what a process asks of the host: a core, locked memory, no core dumps, barriers.

`lacks` says in words what this host does not offer a fast exchange, for logs and reports.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ringbuf._native import ffi, lib
from ringbuf.errors import SegmentError, UsageError
from ringbuf.layout import CRASHED, EPOCH, WORD_SIZE

HUGE_PAGE_SIZE = 2 << 20
_SYS, _PROC = Path("/sys"), Path("/proc")


def cpu_count() -> int:
    """Number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def pin(cpu: int) -> None:
    """Keep the calling thread on one core. Raises UsageError when it may not run there."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        raise UsageError(f"this process may not run on core {cpu}: {error.strerror}") from error


def set_not_dumpable() -> None:
    """No core dump of this process: a dump would hold the writer lock for as long as it takes."""
    _check(lib.ringbuf_set_dumpable(0), "cannot switch core dumps off")


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends.

    It may have ended already: compare os.getppid() with what it is expected to be afterwards.
    """
    _check(lib.ringbuf_die_with_parent(), "cannot follow the parent into death")


def mark_crashes(lock: np.ndarray, words: np.ndarray) -> None:
    """From now on, if this process dies of what it does while it holds the lock, say so.

    lock: WRITER_LOCK; words: CONTROL_WORDS as int64[32]: `crashed` becomes `epoch`. A signal that
    somebody sent does not count. Raises SegmentError when a handler cannot be set.
    """
    error = lib.ringbuf_mark_crashes(
        ffi.cast("int *", lock.ctypes.data),
        ffi.cast("int64_t *", words.ctypes.data + WORD_SIZE * EPOCH),
        ffi.cast("int64_t *", words.ctypes.data + WORD_SIZE * CRASHED),
    )
    _check(error, "cannot handle crashes")


def mark_crash() -> None:
    """Say it now: this thread holds the lock and is about to end for a reason of its own."""
    lib.ringbuf_mark_crash()


def register_barrier() -> bool:
    """Let a sleeper's barrier reach this process; False when the kernel has no membarrier."""
    return int(lib.ringbuf_barrier_register()) == 0


def lock_memory(array: np.ndarray) -> None:
    """Keep the pages of an array in memory. Raises SegmentError when the limit forbids it."""
    error = lib.ringbuf_lock_memory(ffi.cast("void *", array.ctypes.data), array.nbytes)
    _check(error, f"cannot lock {array.nbytes} bytes (raise RLIMIT_MEMLOCK: ulimit -l)")


def populate(array: np.ndarray) -> None:
    """Make every page of a shared mapping exist. Raises SegmentError when memory is short."""
    start = array.ctypes.data & -4096
    size = array.ctypes.data + array.nbytes - start
    error = lib.ringbuf_populate(ffi.cast("void *", start), size)
    _check(error, f"cannot make {array.nbytes} bytes of shared memory exist")


def shared_huge_pages() -> bool:
    """True when POSIX shared memory may lie on huge pages if asked to.

    How /dev/shm is mounted decides that. The kernel's setting of shared memory is of what has no
    mount, save for its two words that override every mount.
    """
    setting = _read(_SYS / "kernel/mm/transparent_hugepage/shmem_enabled")
    if "[deny]" in setting or "[force]" in setting:
        return "[force]" in setting
    mounts = map(str.split, _read(_PROC / "self/mounts").splitlines())
    options = [each[3].split(",") for each in mounts if each[1] == "/dev/shm"]
    wanted = {f"huge={policy}" for policy in ("always", "within_size", "advise")}
    return bool(options) and not wanted.isdisjoint(options[-1])  # the last one covers the others


def isolated_cpus() -> set[int]:
    """Cores that the scheduler leaves alone."""
    cpus: set[int] = set()
    for part in filter(None, _read(_SYS / "devices/system/cpu/isolated").split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def lacks() -> list[str]:
    """What this host lacks, one sentence each; empty on a tuned host."""
    missing = []
    if cpu_count() < 4:
        missing.append(f"only {cpu_count()} cores: processes share them and must not spin")
    if not isolated_cpus():
        missing.append("no isolated cores: the scheduler may interrupt a pinned process")
    if not shared_huge_pages():
        missing.append("no huge pages for shared memory: more address translation misses")
    if not register_barrier():
        missing.append("no membarrier: a sleeper may miss a bell and sleep its full bound")
    return missing


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _check(error: int, what: str) -> None:
    if error:
        raise SegmentError(f"{what}: {os.strerror(error)}")
