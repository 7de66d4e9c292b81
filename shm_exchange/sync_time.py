"""Shell: how long a disk takes to make small writes durable, measured where the journal will be."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

_COUNT = 48
_SMALL = b"\0" * 4096  # what a group commit of a few dozen events takes
_LARGE = b"\0" * (1 << 20)  # what a snapshot writes at a time
_LARGE_BLOCKS = 8
_SECONDS_MAX = 3.0  # a slow disk is judged by fewer writes

Sync = Callable[[int], None]


def measure(directory: Path, *, loaded: bool, sync: Sync = os.fdatasync) -> list[float]:
    """Seconds of each small write with its sync, sorted. Raises OSError; leaves nothing.

    loaded: while another thread writes large blocks to the same directory and syncs them. sync:
    what makes a file durable.
    """
    with (
        tempfile.TemporaryFile(dir=directory) as small,
        tempfile.TemporaryFile(dir=directory) as large,
    ):
        over = threading.Event()
        thread = threading.Thread(target=_load, args=(large.fileno(), over), daemon=True)
        if loaded:
            thread.start()
        try:
            return _time(small.fileno(), sync)
        finally:
            over.set()
            if loaded:
                thread.join()


def at(times: list[float], share: float) -> float:
    """The value below which this share of the sorted times lies."""
    return times[min(len(times) - 1, int(share * len(times)))]


def _time(descriptor: int, sync: Sync) -> list[float]:
    times: list[float] = []
    begin = time.monotonic()
    while len(times) < _COUNT and time.monotonic() - begin < _SECONDS_MAX:
        before = time.monotonic()
        os.write(descriptor, _SMALL)
        sync(descriptor)
        times.append(time.monotonic() - before)
    return sorted(times)


def _load(descriptor: int, over: threading.Event) -> None:
    """Write and sync until it is over, the same few blocks again and again."""
    for count in itertools.count():
        if over.is_set():
            return
        try:
            os.pwrite(descriptor, _LARGE, count % _LARGE_BLOCKS * len(_LARGE))
            os.fdatasync(descriptor)
        except OSError:
            return  # no room for the load; the small writes say so themselves
