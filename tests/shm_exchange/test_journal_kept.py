"""What `shmx journal prune` keeps unasked is what the streams that live can be told from.

Method: a journal of a flow in which days roll, and snapshots of it, whole, spoilt and of others.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_cases import NOW_NS, fresh_market, with_rolls

from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_commands import PruneRefused, prune
from shm_exchange.journal_kept import Streams, recovery_needs, streams_need
from shm_exchange.journal_layout import PAGE_SIZE
from shm_exchange.journal_segment import Owner, segment_paths
from shm_exchange.market import Market
from shm_exchange.presence import identity_of
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import remove_old_snapshots, snapshot_path, write_snapshot

END = 4000
APPENDED = 100
ROWS, (FIRST, LAST) = with_rolls(1000, 2000)


def owner_of(directory: Path) -> Owner:
    return Owner.of(identity_of(directory), 1)


def market_at(position: int) -> Market:
    market = fresh_market()
    apply_all(market, ROWS[:position], 0)
    return market


def write(directory: Path, *snapshots: int) -> None:
    """The journal, in segments of 600 events, and those snapshots."""
    owner = owner_of(directory)
    journal = Journal(directory, owner, segment_size=PAGE_SIZE + 64 * 700)
    for first in range(0, END, APPENDED):
        journal.append([record_bytes(ROWS[first : first + APPENDED])], NOW_NS)
        journal.sync()
    journal.close(NOW_NS)
    for position in snapshots:
        write_snapshot(market_at(position), directory, owner, NOW_NS)


def spoil(directory: Path, position: int) -> None:
    path = snapshot_path(directory, 1, position)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def kept(directory: Path) -> int:
    """Position where the journal begins once what nobody needs is removed."""
    said = prune(directory, 1, None, dry_run=False)
    assert segment_paths(directory, 1)[0][0] == said["first_position"]
    return int(said["first_position"])


def begin_of(position: int) -> int:
    """Where the segment begins that has it."""
    return position // 600 * 600


def test_from_the_roll_on(tmp_path: Path) -> None:
    """Goal: all of the day stays, and nothing of the day before; asked again nothing happens."""
    write(tmp_path, LAST, 3000, 3900)
    assert streams_need(tmp_path, owner_of(tmp_path)) == Streams(LAST, LAST)
    assert prune(tmp_path, 1, None, dry_run=True)["removed"]
    assert kept(tmp_path) == begin_of(LAST)
    assert prune(tmp_path, 1, None, dry_run=False)["removed"] == []


def test_from_a_snapshot_that_is_older(tmp_path: Path) -> None:
    """Goal: without one of the roll itself the newest before it counts, and it is kept."""
    write(tmp_path, 700, 1500, 3000, 3500, 3900)
    remove_old_snapshots(tmp_path, 1, keep=3, rolled=LAST)
    owner = owner_of(tmp_path)
    assert streams_need(tmp_path, owner) == Streams(LAST, 1500)
    assert recovery_needs(tmp_path, owner) == 3000
    assert kept(tmp_path) == begin_of(1500)


def test_what_recovery_needs_stays(tmp_path: Path) -> None:
    """Goal: as before: even if all kept snapshots but the oldest are damaged."""
    write(tmp_path, 700, LAST, 3900)
    assert kept(tmp_path) == begin_of(700)


def test_of_a_roll_that_no_snapshot_knows(tmp_path: Path) -> None:
    """Goal: what a gateway that begins with the newest snapshot may ask for."""
    write(tmp_path, FIRST, 1500, 1700)
    assert streams_need(tmp_path, owner_of(tmp_path)) == Streams(FIRST, FIRST)
    assert kept(tmp_path) == begin_of(FIRST)


@pytest.mark.parametrize("newest", [900, 0])
def test_without_a_roll(tmp_path: Path, newest: int) -> None:
    """Goal: refused with the remedy."""
    write(tmp_path, *([newest] if newest else []))
    with pytest.raises(PruneRefused, match="began at position 0 and still live, so .* `shmx roll`"):
        prune(tmp_path, 1, None, dry_run=False)
    assert segment_paths(tmp_path, 1)[0][0] == 0


def test_without_a_snapshot_from_before(tmp_path: Path) -> None:
    """Goal: the journal's beginning is needed; likewise when it is damaged or of another market."""
    write(tmp_path, 3000, 3900)
    refused = f"began at position {LAST} and still live and no snapshot that can be used"
    with pytest.raises(PruneRefused, match=refused):
        prune(tmp_path, 1, None, dry_run=False)
    write_snapshot(market_at(1500), tmp_path, owner_of(tmp_path), NOW_NS)
    spoil(tmp_path, 1500)
    with pytest.raises(PruneRefused, match=refused):
        prune(tmp_path, 1, None, dry_run=False)
    other = market_at(1400)
    other.instruments["lot"] += 1
    write_snapshot(other, tmp_path, owner_of(tmp_path), NOW_NS)
    with pytest.raises(PruneRefused, match=refused):
        prune(tmp_path, 1, None, dry_run=False)
    assert segment_paths(tmp_path, 1)[0][0] == 0
    write_snapshot(market_at(1300), tmp_path, owner_of(tmp_path), NOW_NS)
    for position in (1400, 1500):
        snapshot_path(tmp_path, 1, position).rename(tmp_path / f"{position}.aside")
    write_snapshot(market_at(3500), tmp_path, owner_of(tmp_path), NOW_NS)
    assert kept(tmp_path) == begin_of(1300)


def test_a_damaged_newest_one_says_nothing(tmp_path: Path) -> None:
    """Goal: the one before it says where the streams began."""
    write(tmp_path, FIRST, 1500, 3900)
    spoil(tmp_path, 3900)
    assert streams_need(tmp_path, owner_of(tmp_path)) == Streams(FIRST, FIRST)
