"""Shell: from which position on a start needs a journal, by the snapshots beside it.

Recovery begins with a snapshot. What sessions and the feed are told is numbered from the last roll
of the day on: a session's stream is replayed from the events behind that, the feed from the newest
snapshot that is not of a later position (`snapshotter.py` keeps one).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ringbuf.errors import LayoutError
from shm_exchange.journal_segment import Owner
from shm_exchange.snapshot import (
    Facts,
    SnapshotError,
    read_facts,
    snapshot_paths,
    verify_snapshot,
)
from shm_exchange.snapshotter import SNAPSHOTS_KEPT


class Streams(NamedTuple):
    """The streams that live, as far as the newest snapshot knows."""

    began: int  # position behind the ROLLED that they begin with; 0: no day has rolled
    kept_from: int | None  # from where on they can be told again; None: from position 0 on only


def recovery_needs(directory: Path, owner: Owner) -> int | None:
    """From where on recovery reads, even if all kept snapshots but one are damaged; None: all.

    Raises SnapshotError or LayoutError when that one is.
    """
    found = snapshot_paths(directory, owner.engine)[:SNAPSHOTS_KEPT]
    return verify_snapshot(found[-1][1], owner) if found else None


def streams_need(directory: Path, owner: Owner) -> Streams:
    """From where on gateways read. A snapshot that cannot be used is skipped for the one before."""
    newest: Facts | None = None
    for position, path in snapshot_paths(directory, owner.engine):
        if newest is not None and position > newest.rolled:
            continue
        facts = _facts(path, owner)
        if facts is None:
            continue
        newest = newest or facts
        if position <= newest.rolled and facts.fits(newest):
            return Streams(newest.rolled, position)
    return Streams(0 if newest is None else newest.rolled, None)


def _facts(path: Path, owner: Owner) -> Facts | None:
    """What a snapshot says; None when it is damaged, gone, or of another build."""
    try:
        return read_facts(path, owner)
    except (SnapshotError, LayoutError):
        return None
