"""A snapshot is the state itself, or it is refused.

Method: a replica is stopped at many positions of a real event stream, written and loaded; files are
spoilt byte by byte.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from journal_cases import NOW_NS, OWNER, events, fresh_market, matched, same_market
from xxhash import xxh3_64_intdigest

from ringbuf.errors import LayoutError
from shm_exchange.journal_layout import SNAPSHOT_HEADER
from shm_exchange.journal_segment import Owner
from shm_exchange.market import Market, create_market
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import (
    SnapshotError,
    live_slots,
    load_snapshot,
    remove_old_snapshots,
    snapshot_paths,
    write_snapshot,
)


def replica_at(position: int) -> Market:
    market = fresh_market()
    apply_all(market, events()[:position], 0)
    return market


def test_same_state_at_every_stage(tmp_path: Path) -> None:
    """Goal: loaded into a fresh market it is the same, and goes on to the same end."""
    total = len(events())
    end = replica_at(total)
    assert end.scalars[0]["hash"] == matched()[1].scalars[0]["hash"]
    for position in (0, 1, 100, total // 3, total // 2, total):
        market = replica_at(position)
        path = write_snapshot(market, tmp_path, OWNER, NOW_NS)
        loaded = fresh_market()
        assert load_snapshot(path, loaded, OWNER) == position
        assert same_market(market, loaded)
        apply_all(loaded, events()[position:], position)
        assert same_market(loaded, end)
    assert [position for position, _ in snapshot_paths(tmp_path, 1)] == [
        total, total // 2, total // 3, 100, 1, 0,
    ]  # fmt: skip


def test_it_holds_live_orders_only(tmp_path: Path) -> None:
    """Goal: orders that are gone take no room, and there were such."""
    market = replica_at(len(events()))
    slots = live_slots(market)
    high_water = int(market.gateways["slots_high_water"].sum())
    assert 0 < len(slots) < high_water
    assert len(slots) == int(np.count_nonzero(market.orders["state"][: 3 << 24]))


def test_every_byte(tmp_path: Path) -> None:
    """Goal: whichever byte of header, list or sections changed, it is refused, market untouched."""
    path = write_snapshot(replica_at(300), tmp_path, OWNER, NOW_NS)
    data = bytearray(path.read_bytes())
    loaded = fresh_market()
    before = loaded.scalars.tobytes() + loaded.sides.tobytes() + loaded.gateways.tobytes()
    sections_end = 1024 + 64 * 32
    places = [*range(96), *range(96, 1024, 37), *range(1016, 1024), *range(1024, 1024 + 64 * 12)]
    places += [*range(sections_end - 8, sections_end), 4096, 4097, len(data) // 2, len(data) - 1]
    for place in places:
        data[place] ^= 0x20
        path.write_bytes(data)
        with pytest.raises((SnapshotError, LayoutError), match=path.name):
            load_snapshot(path, loaded, OWNER)
        data[place] ^= 0x20
    path.write_bytes(data)
    assert load_snapshot(path, fresh_market(), OWNER) == 300
    after = loaded.scalars.tobytes() + loaded.sides.tobytes() + loaded.gateways.tobytes()
    assert after == before


def test_cut_short(tmp_path: Path) -> None:
    """Goal: a file that is not whole is refused, wherever it ends."""
    path = write_snapshot(replica_at(300), tmp_path, OWNER, NOW_NS)
    data = path.read_bytes()
    for length in (0, 1, 1023, 4095, 4096, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(SnapshotError, match=path.name):
            load_snapshot(path, fresh_market(), OWNER)
    path.unlink()
    with pytest.raises(SnapshotError, match="cannot be read"):
        load_snapshot(path, fresh_market(), OWNER)


@pytest.mark.parametrize("field", ["layout_digest", "version"])
def test_another_layout(tmp_path: Path, field: str) -> None:
    """Goal: a snapshot of another layout is refused by name, untouched."""
    path = write_snapshot(replica_at(10), tmp_path, OWNER, NOW_NS)
    data = bytearray(path.read_bytes())
    row = np.frombuffer(data, SNAPSHOT_HEADER.dtype, 1)
    row[field] = 99
    row["checksum"] = xxh3_64_intdigest(bytes(data[: SNAPSHOT_HEADER.size - 8]))
    path.write_bytes(data)
    with pytest.raises(LayoutError, match=path.name):
        load_snapshot(path, fresh_market(), OWNER)
    assert path.read_bytes() == data


def test_another_exchange(tmp_path: Path) -> None:
    """Goal: the snapshot of another exchange or engine is refused."""
    path = write_snapshot(replica_at(10), tmp_path, OWNER, NOW_NS)
    for owner in (Owner.of(1, 1), Owner(OWNER.identity, 2)):
        with pytest.raises(SnapshotError, match="belongs to engine 1 of exchange"):
            load_snapshot(path, fresh_market(), owner)


def test_another_configuration(tmp_path: Path) -> None:
    """Goal: instruments must be the same; sessions may have been appended."""
    market = replica_at(len(events()))
    path = write_snapshot(market, tmp_path, OWNER, NOW_NS)
    other = market.instruments.copy()
    other["price_max"] -= 1
    with pytest.raises(SnapshotError, match="price_max of instrument 0 was"):
        load_snapshot(path, create_market(other, 1), OWNER)
    more = np.concatenate([market.instruments, market.instruments])
    with pytest.raises(SnapshotError, match="has 1 instruments, configured are 2"):
        load_snapshot(path, create_market(more, 1), OWNER)
    with pytest.raises(SnapshotError, match="the configuration has room for"):
        load_snapshot(path, create_market(market.instruments, 1, page_limit=2), OWNER)
    larger = create_market(market.instruments, 5, slots_per_gateway=1 << 22)
    load_snapshot(path, larger, OWNER)
    assert larger.sessions[0] == market.sessions[0]
    assert larger.sessions[4] == create_market(market.instruments, 5).sessions[4]
    assert int(larger.scalars[0]["slots_per_gateway"]) == 1 << 22


def test_old_ones_go(tmp_path: Path) -> None:
    """Goal: the newest are kept, and one that is not behind the roll; what a writer left goes."""
    for position in (5, 10, 20, 30):
        write_snapshot(replica_at(position), tmp_path, OWNER, NOW_NS)
    (tmp_path / "snapshot-e1-00000000000000000040.new").write_bytes(b"half")
    remove_old_snapshots(tmp_path, 1, keep=2, rolled=12)
    assert sorted(tmp_path.iterdir()) == [path for _, path in snapshot_paths(tmp_path, 1)][::-1]
    assert [position for position, _ in snapshot_paths(tmp_path, 1)] == [30, 20, 10]
    remove_old_snapshots(tmp_path, 1, keep=2, rolled=25)
    assert [position for position, _ in snapshot_paths(tmp_path, 1)] == [30, 20]


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a failed write leaves nothing behind."""

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_snapshot(replica_at(10), tmp_path, OWNER, NOW_NS)
    assert not list(tmp_path.iterdir())
