"""Shell: the state of a market from what is on disk, and from the ring when there is one.

The newest usable snapshot, then every event of the journal behind it, then what only the ring has.
A snapshot that is damaged or of another configuration is skipped for the one before, in the end
for the beginning of the journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf.broadcast import NO_GATE, Broadcast
from ringbuf.errors import LayoutError
from shm_exchange.config import Configuration
from shm_exchange.errors import OutgrownError
from shm_exchange.groups import whole_groups
from shm_exchange.history import History, joined
from shm_exchange.instruments import firm_word, instrument_rows
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import JournalError, Owner, segment_paths
from shm_exchange.market import Market, create_market
from shm_exchange.messages import EVENT_DTYPE
from shm_exchange.recording import recorded
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import (
    SnapshotError,
    check_journal_reaches,
    load_snapshot,
    snapshot_paths,
)

CHUNK_RECORDS = 16_384  # 1 MiB: stays in the cache between copy and use


class Recovered(NamedTuple):
    """What recovery found."""

    position: int  # of the first event that is not in the market
    snapshot: Path | None  # the one that was used
    replayed: int  # events applied on top of it
    skipped: tuple[str, ...]  # why newer snapshots were not used, a sentence each


def empty_market(configuration: Configuration, engine: int) -> Market:
    """An engine's market as configured, at position 0."""
    market = create_market(
        instrument_rows(configuration.instruments_of(engine)),
        len(configuration.sessions),
        engine=engine,
        slots_per_gateway=configuration.engine(engine).slots_per_gateway,
    )
    for row, session in zip(market.sessions, configuration.sessions, strict=True):
        row["cancel_on_disconnect"] = session.cancel_on_disconnect
        row["firm"] = firm_word(session.firm)
        row["drop_copy"] = session.drop_copy
        row["self_trade"] = session.self_trade_code
        row["self_trade_scope"] = session.self_trade_scope_code
        row["self_trade_group"] = session.self_trade_group
    _link_drop_copies(market, configuration)
    return market


def _link_drop_copies(market: Market, configuration: Configuration) -> None:
    """Whoever hears a firm is in the list of its drop copies, in the order of the sessions."""
    sessions = configuration.sessions
    for number in reversed(range(len(sessions))):
        if not sessions[number].drop_copy:
            continue
        same = [other for other, each in enumerate(sessions) if each.firm == sessions[number].firm]
        speaking = [other for other in same if not sessions[other].drop_copy]
        after = [other for other in same if sessions[other].drop_copy and other > number]
        market.sessions["copies_next"][number] = after[0] + 1 if after else 0
        market.sessions["copies"][speaking] = number + 1


def warm_up(market: Market) -> None:
    """Compile, or load, what replaying needs. Changes nothing."""
    apply_all(market, np.empty(0, EVENT_DTYPE), 0)


def recover(
    market: Market, directory: Path, owner: Owner, ring: Broadcast | None = None
) -> Recovered:
    """Bring a fresh `market` to the last event there is. Reads only.

    ring: None when nothing runs: the state then is that at the journal's last commit. With a live
    ring, that at what was published when recovery ended; go on from `position`.
    Raise JournalError (damaged, or too short), LayoutError, or OutgrownError when orders have had
    more slots than are configured now; `market` is useless then.
    """
    reader = JournalReader(directory, owner)
    try:
        found = snapshot_paths(directory, owner.engine)
        reader.refresh()
        stop = _journal_stop(reader, ring)  # looked up last: a live journal grows
        snapshot, start, skipped = _load_newest(market, owner, found, reader, stop)
        position = start
        cut = np.empty(0, EVENT_DTYPE)  # of a group that does not end in its batch
        for _, batch in reader.batches(start, stop):
            records = joined(cut, batch) if len(cut) else batch
            whole = whole_groups(records, len(records))
            position = int(apply_all(market, records[:whole], position))
            cut = records[whole:].copy()
    finally:
        reader.close()
    if ring is not None:
        position = catch_up(market, History(ring, directory, owner), position)
    _check_slots(market)
    return Recovered(position, snapshot, position - start, skipped)


def _check_slots(market: Market) -> None:
    """A gateway's orders must have places in what is configured now."""
    configured = int(market.scalars[0]["slots_per_gateway"])
    used = int(market.gateways["slots_high_water"].max())
    if used > configured:
        raise OutgrownError(
            f"slots_per_gateway = {configured} is less than the {used} slots that orders of this"
            f" exchange have had; set it to {used} or more"
        )


def load_snapshot_only(market: Market, directory: Path, owner: Owner, ring: Broadcast) -> int:
    """Bring a fresh `market` to the newest usable snapshot, beside a live ring; its position."""
    reader = JournalReader(directory, owner)
    try:
        found = snapshot_paths(directory, owner.engine)
        return _load_newest(market, owner, found, reader, _journal_stop(reader, ring))[1]
    finally:
        reader.close()


def load_snapshot_until(market: Market, directory: Path, owner: Owner, limit: int) -> int | None:
    """Bring a fresh `market` to the newest usable snapshot up to position `limit`; its position.

    0 when there is none: then it is as fresh as before. None when the journal does not go on from
    there any more.
    """
    segments = segment_paths(directory, owner.engine)
    begins = segments[0][0] if segments else 0
    found = snapshot_paths(directory, owner.engine)
    found = [(position, path) for position, path in found if begins <= position <= limit]
    path, position, _ = _load_usable(market, owner, found)
    return None if path is None and begins else position


def catch_up(market: Market, history: History, position: int, stop: int | None = None) -> int:
    """Apply everything from `position` to `stop` (None: to what is published); return the end."""
    while stop is None or position < stop:
        limit = CHUNK_RECORDS if stop is None else min(CHUNK_RECORDS, stop - position)
        records = history.read(position, limit)
        if len(records) == 0:
            break
        position = int(apply_all(market, records, position))
    return position


def _journal_stop(reader: JournalReader, ring: Broadcast | None) -> int:
    """Up to where the journal is to be replayed."""
    if ring is not None:
        written = int(recorded(ring))
        if written != NO_GATE:
            return written if reader.first_position is not None else 0
    return reader.end() or 0


def _load_newest(
    market: Market,
    owner: Owner,
    found: list[tuple[int, Path]],
    reader: JournalReader,
    stop: int,
) -> tuple[Path | None, int, tuple[str, ...]]:
    """Load the newest usable snapshot: its file, its position, and why others were not used."""
    check_journal_reaches(reader.directory, stop, found)
    path, position, skipped = _load_usable(market, owner, found)
    if path is None and reader.first_position:
        raise JournalError(
            f"{reader.directory}: the journal begins at position {reader.first_position} and there"
            f" is no usable snapshot of a later one; {'; '.join(skipped) or 'none was found'}"
        )
    return path, position, skipped


def _load_usable(
    market: Market, owner: Owner, found: list[tuple[int, Path]]
) -> tuple[Path | None, int, tuple[str, ...]]:
    """Load the first snapshot that can be used: as `_load_newest`; position 0 when none can."""
    skipped: list[str] = []
    for position, path in found:
        try:
            loaded = load_snapshot(path, market, owner)
        except (SnapshotError, LayoutError) as error:
            skipped.append(str(error))
            continue
        if loaded != position:
            raise JournalError(f"{path}: is of position {loaded}; its name says otherwise")
        return path, position, tuple(skipped)
    return None, 0, tuple(skipped)
