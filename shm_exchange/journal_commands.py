"""Shell: what an operator does with a journal: verify, dump, prune. Works beside a live exchange.

`verify` reads everything and proves every block; `dump` prints events; `prune` removes segments
that nobody needs any more. None of them waits for the recorder or makes it wait.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ringbuf.errors import LayoutError
from shm_exchange import journal_needs
from shm_exchange.errors import ExchangeError
from shm_exchange.journal_kept import recovery_needs, streams_need
from shm_exchange.journal_layout import BLOCK_SEAL, PAGE_SIZE
from shm_exchange.journal_needs import Need
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_runs import read_runs
from shm_exchange.journal_segment import (
    JournalDamaged,
    JournalError,
    Owner,
    read_header,
    segment_paths,
    sync_directory,
)
from shm_exchange.journal_tail import Tail, find_tail
from shm_exchange.messages import COMMAND_NEXT_BITS, COMMAND_NEXT_MASK, EVENT, EventKind
from shm_exchange.presence import read_identity
from shm_exchange.snapshot import SnapshotError, snapshot_paths, verify_snapshot

_LOOK_AGAIN_SECONDS = 0.1


class PruneRefused(ExchangeError):
    """What was to be removed is still needed."""


def engines_of(directory: Path, only: int | None = None) -> list[int]:
    """Engines that have a journal in a state directory, or that one. Raises JournalError."""
    if directory.is_dir():
        os.listdir(directory)  # that it may not be read is an error, which a pattern hides
    found = (path.name.removeprefix("journal-e") for path in directory.glob("journal-e*-*.shmj"))
    numbers = sorted({int(name.partition("-")[0]) for name in found})
    if only is not None:
        numbers = [each for each in numbers if each == only]
    if not numbers:
        whose = "" if only is None else f" of engine {only}"
        raise JournalError(f"{directory}: there is no journal{whose}; name another --state")
    return numbers


def owner_of(directory: Path, engine: int) -> Owner:
    """Whose journals a state directory has. Raises ExchangeError."""
    return Owner.of(read_identity(directory), engine)


# ------------------------------------------------------------ verify


def verify(directory: Path, engine: int) -> dict[str, Any]:
    """Prove every segment, block and snapshot of an engine's journal.

    `fault` is the first one: file, position, reason; or None. What a crash may have torn off is no
    fault; `torn_bytes` says how much that is (of a live journal: what is being written). Counted is
    what proves right, up to position `sound_until`, and the segment in which that ends. `end` is
    None when a fault hides where the journal ends.
    """
    owner = owner_of(directory, engine)
    found: dict[str, Any] = {"engine": engine, "segments": 0, "blocks": 0, "events": 0}
    found |= {"first_position": None, "sound_until": None, "end": None}
    found |= {"torn_bytes": 0, "snapshots": 0, "fault": None}
    try:
        try:
            tail = _tail(directory, owner)
        except JournalDamaged as error:  # but what is before that may be sound, or damaged earlier
            _verify_segments(directory, owner, error.position, found)
            raise
        if tail is not None:
            found["end"], found["torn_bytes"] = tail.position, tail.torn_bytes
            _verify_segments(directory, owner, tail.position, found)
        for position, path in snapshot_paths(directory, engine):
            _verify_snapshot(path, position, owner, found)
    except (ExchangeError, LayoutError) as error:
        found["fault"] = {
            "file": str(error.path) if isinstance(error, JournalDamaged) else None,
            "position": error.position if isinstance(error, JournalDamaged) else None,
            "reason": str(error),
        }
    return found


def _tail(directory: Path, owner: Owner) -> Tail | None:
    """Where the journal ends. Raises JournalDamaged when that is the same fault twice.

    A live recorder may write blocks behind a place that was looked at before they were there.
    """
    before: JournalDamaged | None = None
    while True:
        try:
            return find_tail(directory, owner)
        except JournalDamaged as error:
            if before is not None and (before.path, before.position) == (
                error.path,
                error.position,
            ):
                raise
            before = error
        time.sleep(_LOOK_AGAIN_SECONDS)


class _Chain(NamedTuple):
    """Where a segment ended: what the next one must begin with."""

    position: int
    checksums: tuple[int, ...]


def _verify_segments(directory: Path, owner: Owner, end: int, found: dict[str, Any]) -> None:
    """Prove what is before position `end`, which was looked up before: a live journal grows."""
    paths = [path for _, path in segment_paths(directory, owner.engine)]
    chain: _Chain | None = None
    for number, path in enumerate(paths):
        last = number == len(paths) - 1
        with open(path, "rb") as file:
            header = read_header(file.fileno(), path, owner)
            if chain is not None and header.first_position != chain.position:
                raise JournalDamaged(path, chain.position, "a segment is missing before it")
            if chain is not None and header.previous_checksum not in chain.checksums:
                raise JournalDamaged(path, chain.position, "does not follow the segment before it")
            if chain is None:
                found["first_position"] = found["sound_until"] = header.first_position
            chain = _verify_blocks(file.fileno(), header.first_position, header.checksum, found)
        found["segments"] += 1
        if chain.position >= end:
            return
        if last or not _follows(paths[number + 1], chain.position):
            raise JournalDamaged(path, chain.position, f"ends here; it must reach {end}")


def _follows(path: Path, position: int) -> bool:
    return int(path.stem.rsplit("-", 1)[1]) == position


def _verify_blocks(descriptor: int, position: int, checksum: int, found: dict[str, Any]) -> _Chain:
    chain = _Chain(position, (checksum,))
    for run in read_runs(descriptor, PAGE_SIZE, position, checksum):
        block = run.block(-1)
        before = block.previous_checksum if block.kind == BLOCK_SEAL else block.checksum
        chain = _Chain(block.end_position, (block.checksum, before))
        found["blocks"] += len(run.headers)
        found["events"] += int(run.headers["count"].sum())
        found["sound_until"] = block.end_position
    return chain


def _verify_snapshot(path: Path, position: int, owner: Owner, found: dict[str, Any]) -> None:
    try:
        named = verify_snapshot(path, owner)
    except SnapshotError:
        if path.exists():
            raise
        return  # a newer one took its place meanwhile
    if named != position:
        raise JournalDamaged(path, named, f"its name says position {position}")
    if position > (found["end"] or 0):
        tail = _tail(path.parent, owner)
        if tail is None or position > tail.position:
            raise JournalDamaged(path, found["end"] or 0, "the journal ends before this snapshot")
    found["snapshots"] += 1


# ------------------------------------------------------------ dump

_COMMON = (
    *("flags", "continuations", "side", "instrument", "reason", "time_ns", "price", "quantity"),
    *("slot", "user_ref", "session", "user_ref_index"),
)
_ORDER = ("capacity", "original_user_ref", "client_order_id", "time_in_force", "display")
_MAKER_AND_TAKER = (
    *("liquidity", "reference", "taker_session", "taker_user_ref_index", "taker_liquidity"),
    *("taker_slot", "taker_user_ref"),
)
# Several layouts share the bytes behind the common ones.
_FIELDS = {
    EventKind.ACCEPTED: _ORDER,
    EventKind.REPLACED: _ORDER,
    EventKind.EXECUTED: _MAKER_AND_TAKER,
    EventKind.SELF_MATCHED: _MAKER_AND_TAKER,
    EventKind.CANCELLED: ("reference", "leaves", "unused_user_ref"),
    EventKind.MODIFIED: ("reference", "leaves"),
    EventKind.RESTED: ("reference", "leaves"),
    EventKind.REJECTED: ("client_order_id", "command_kind"),
    EventKind.IGNORED: ("command_kind",),
    EventKind.LOGGED_IN: ("generation",),
    EventKind.LOGGED_OUT: ("generation",),
    EventKind.EPOCH: ("epoch", "process"),
    EventKind.ATTESTED: ("state_hash",),
    EventKind.SYSTEM: ("stream",),
}
_TEXTS = {
    "client_order_id": ("client_order_id_0", "client_order_id_1", "client_order_id_2"),
    "stream": ("stream_0", "stream_1"),
}
_STORED_AS = {"state_hash": "epoch"}  # the field of the record that has its bytes
_CHARACTERS = {each.name for each in EVENT.fields if each.type == "a"}


def dump(directory: Path, engine: int, start: int, stop: int | None) -> Iterator[dict[str, Any]]:
    """The events of [start, stop), one dictionary each; stop None: to the end of the journal."""
    reader = JournalReader(directory, owner_of(directory, engine))
    try:
        end = reader.end() or 0
        first = max(start, reader.first_position or 0)
        for position, batch in reader.batches(first, end if stop is None else min(stop, end)):
            for offset, event in enumerate(batch):
                yield describe(event, position + offset)
    finally:
        reader.close()


def describe(event: np.void, position: int) -> dict[str, Any]:
    """An event by the names of its fields, without those that are zero."""
    kind = EventKind(int(event["kind"]))
    source_next = int(event["source_next"])
    row: dict[str, Any] = {"position": position, "kind": kind.name}
    if kind == EventKind.CONTINUATION:
        return row | {"bytes": event.tobytes().hex()}
    row["source"] = source_next >> COMMAND_NEXT_BITS
    row["command_next"] = source_next & COMMAND_NEXT_MASK
    for name in (*_COMMON, *_FIELDS.get(kind, ())):
        if name in _TEXTS:
            text = b"".join(event[part].tobytes() for part in _TEXTS[name])
            row[name] = text.rstrip(b"\0").decode("ascii", "replace")
        elif value := event[_STORED_AS.get(name, name)].item():
            row[name] = chr(value) if name in _CHARACTERS else value
    return row


# ------------------------------------------------------------ prune


def prune(directory: Path, engine: int, before: int | None, *, dry_run: bool) -> dict[str, Any]:
    """Remove segments that nobody needs; what was removed.

    Streams are kept from their first message on, so that a gateway can start at any time; those
    that live began at the last roll of the day. `before`: what lies before this position goes,
    although streams need it. A segment that the oldest kept snapshot needs is never removed, nor
    one that a process of a running exchange may still read, nor the last one. `kept_for`: who reads
    furthest back, if that is what counts. Raises PruneRefused when everything is needed.
    """
    owner = owner_of(directory, engine)
    paths = segment_paths(directory, engine)
    wanted = _streams_from(directory, owner) if before is None else before
    limit = min(wanted, _recovery_from(directory, owner))
    reader = min(journal_needs.needs(directory, engine), key=_position_of, default=None)
    kept_for = None
    if reader is not None and reader.position < limit:
        limit, kept_for = reader.position, reader._asdict()
    removed = [path for (_, path), (end, _) in zip(paths, paths[1:], strict=False) if end <= limit]
    freed = sum(path.stat().st_blocks * 512 for path in removed)
    if not dry_run:
        for path in removed:  # oldest first: the rest is a whole journal at any time
            path.unlink()
        sync_directory(directory)
    return {
        "engine": engine,
        "removed": [path.name for path in removed],
        "bytes": freed,
        "first_position": paths[len(removed)][0],
        "kept_for": kept_for,
        "dry_run": dry_run,
    }


def _position_of(need: Need) -> int:
    return need.position


def _streams_from(directory: Path, owner: Owner) -> int:
    """From where on gateways need the journal. Raises PruneRefused: from its beginning on."""
    streams = streams_need(directory, owner)
    if streams.kept_from is None:
        which = " and no snapshot that can be used is from before" if streams.began else ""
        raise PruneRefused(
            f"{directory}: the streams of engine {owner.engine} began at position {streams.began}"
            f" and still live{which}, so all of its journal is needed to replay them; `shmx roll`"
            " begins others, and a snapshot with them; with --before POSITION what lies before it"
            " is removed all the same, and until the next roll no market data gateway can start"
        )
    return streams.kept_from


def _recovery_from(directory: Path, owner: Owner) -> int:
    """From where on recovery needs the journal. Raises PruneRefused: from its beginning on."""
    position = recovery_needs(directory, owner)
    if position is None:
        raise PruneRefused(
            f"{directory}: there is no snapshot of engine {owner.engine}, so recovery needs all of"
            " the journal; stop the exchange once, which takes one, and prune then"
        )
    return position
