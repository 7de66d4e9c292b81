"""Recovery gives the one state that the events give, whatever of snapshots and journal is left.

Method: a real event stream in journal and ring, snapshots at several positions, some spoilt.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
from journal_cases import (
    NOW_NS,
    OWNER,
    events,
    fresh_market,
    make_ring,
    publish_events,
    same_market,
)

from shm_exchange.config import built_in
from shm_exchange.errors import OutgrownError
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_layout import PAGE_SIZE
from shm_exchange.journal_segment import JournalDamaged, JournalError
from shm_exchange.market import Market
from shm_exchange.recorder import Recorder
from shm_exchange.recovery import empty_market, recover, warm_up
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import snapshot_path, write_snapshot

END = 4000


@lru_cache(maxsize=8)
def replica_at(position: int) -> Market:
    market = fresh_market()
    apply_all(market, events()[:position], 0)
    return market


def write_journal(directory: Path, end: int = END, **options: int) -> None:
    """The flow's first events in appends of 100."""
    journal = Journal(directory, OWNER, **options)
    for first in range(journal.position, end, 100):
        journal.append([record_bytes(events()[first : min(end, first + 100)])], NOW_NS)
        journal.sync()
    journal.close(NOW_NS)


def test_nothing_at_all(tmp_path: Path) -> None:
    """Goal: an empty directory is an empty market."""
    market = fresh_market()
    assert recover(market, tmp_path, OWNER) == (0, None, 0, ())
    assert same_market(market, fresh_market())


def test_journal_alone(tmp_path: Path) -> None:
    """Goal: the whole journal, over several segments, gives the state."""
    write_journal(tmp_path, segment_size=PAGE_SIZE + 64 * 700)
    market = fresh_market()
    assert recover(market, tmp_path, OWNER) == (END, None, END, ())
    assert same_market(market, replica_at(END))


def test_snapshot_and_journal(tmp_path: Path) -> None:
    """Goal: the newest snapshot saves the replay of what is before it."""
    write_journal(tmp_path)
    for position in (1000, 3000):
        write_snapshot(replica_at(position), tmp_path, OWNER, NOW_NS)
    market = fresh_market()
    path = snapshot_path(tmp_path, 1, 3000)
    assert recover(market, tmp_path, OWNER) == (END, path, 1000, ())
    assert same_market(market, replica_at(END))


def test_damaged_snapshots_are_skipped(tmp_path: Path) -> None:
    """Goal: the one before is used, in the end the beginning of the journal; it is said why."""
    write_journal(tmp_path)
    paths = [
        write_snapshot(replica_at(position), tmp_path, OWNER, NOW_NS) for position in (1000, 3000)
    ]
    for spoilt in (1, 2):
        path = paths[-spoilt]
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        market = fresh_market()
        found = recover(market, tmp_path, OWNER)
        assert found.position == END
        assert found.snapshot == (paths[0] if spoilt == 1 else None)
        assert len(found.skipped) == spoilt
        assert "checksum" in found.skipped[0] and paths[1].name in found.skipped[0]
        assert same_market(market, replica_at(END))


def test_snapshot_of_another_layout(tmp_path: Path) -> None:
    """Goal: another build's is said to be skipped, and the journal is replayed from its start."""
    write_journal(tmp_path)
    path = write_snapshot(replica_at(1000), tmp_path, OWNER, NOW_NS)
    data = bytearray(path.read_bytes())
    data[8] = 9  # the version
    path.write_bytes(data)
    recovered = recover(fresh_market(), tmp_path, OWNER)
    assert recovered.snapshot is None
    assert [path.name in each for each in recovered.skipped] == [True]


def test_fewer_slots_than_orders_have_had(tmp_path: Path) -> None:
    """Goal: a smaller partition is refused with what is needed before any gateway starts."""
    write_journal(tmp_path)
    market = fresh_market()
    market.scalars["slots_per_gateway"] = 3
    used = int(replica_at(len(events())).gateways["slots_high_water"].max())
    with pytest.raises(OutgrownError, match=f"set it to {used} or more"):
        recover(market, tmp_path, OWNER)


def test_snapshot_beyond_the_journal(tmp_path: Path) -> None:
    """Goal: a journal that lost what a snapshot knows to have been durable is refused."""
    write_journal(tmp_path, 2000)
    write_snapshot(replica_at(3000), tmp_path, OWNER, NOW_NS)
    with pytest.raises(JournalDamaged, match="damaged at position 2000: the journal ends here"):
        recover(fresh_market(), tmp_path, OWNER)


def test_misnamed_snapshot(tmp_path: Path) -> None:
    """Goal: a snapshot under the name of another position is refused."""
    write_journal(tmp_path)
    path = write_snapshot(replica_at(1000), tmp_path, OWNER, NOW_NS)
    path.rename(snapshot_path(tmp_path, 1, 2000))
    with pytest.raises(JournalError, match="is of position 1000; its name says otherwise"):
        recover(fresh_market(), tmp_path, OWNER)


def test_journal_without_its_beginning(tmp_path: Path) -> None:
    """Goal: a pruned journal needs a snapshot; the error says so."""
    write_journal(tmp_path, segment_size=PAGE_SIZE + 64 * 700)
    min(tmp_path.glob("*.shmj")).unlink()
    with pytest.raises(JournalError, match="begins at position 600 and there is no usable"):
        recover(fresh_market(), tmp_path, OWNER)
    write_snapshot(replica_at(1000), tmp_path, OWNER, NOW_NS)
    market = fresh_market()
    assert recover(market, tmp_path, OWNER).position == END
    assert same_market(market, replica_at(END))


def test_damaged_journal(tmp_path: Path) -> None:
    """Goal: damage in the part that is needed is refused by position; before a snapshot it is
    not looked at."""
    write_journal(tmp_path, segment_size=PAGE_SIZE + 64 * 700)
    path = min(tmp_path.glob("*.shmj"))
    data = bytearray(path.read_bytes())
    data[PAGE_SIZE + 64 * 150] ^= 1  # within the second block, positions 100-199
    path.write_bytes(data)
    with pytest.raises(JournalDamaged, match="damaged at position 100"):
        recover(fresh_market(), tmp_path, OWNER)
    write_snapshot(replica_at(1000), tmp_path, OWNER, NOW_NS)
    market = fresh_market()
    recover(market, tmp_path, OWNER)
    assert same_market(market, replica_at(END))


def test_torn_tail(tmp_path: Path) -> None:
    """Goal: a journal with a torn tail gives the state at its last commit; nothing is touched."""
    journal = Journal(tmp_path, OWNER)
    journal.append([record_bytes(events()[:100])], NOW_NS)
    journal.append([record_bytes(events()[100:200])], NOW_NS)
    journal.abandon()
    (path,) = tmp_path.glob("*.shmj")
    with open(path, "r+b") as file:
        file.truncate(PAGE_SIZE + 64 * 180)
    market = fresh_market()
    assert recover(market, tmp_path, OWNER).position == 100
    assert same_market(market, replica_at(100))
    assert path.stat().st_size == PAGE_SIZE + 64 * 180


def test_with_a_live_ring(tmp_path: Path) -> None:
    """Goal: what only the ring has is applied too, whether or not the journal has its tail."""
    ring = make_ring(64)
    journal = Journal(tmp_path, OWNER)
    recorder = Recorder(ring, journal)
    recorder.start()
    market = fresh_market()
    assert recover(market, tmp_path, OWNER, ring).position == 0
    position = publish_events(ring, 0, 5)
    market = fresh_market()
    assert recover(market, tmp_path, OWNER, ring) == (5, None, 5, ())
    while position < 2000:
        recorder.step(NOW_NS)
        position = publish_events(ring, position, 8)
    for snapshot in (None, 1000, 1800):
        if snapshot is not None:
            write_snapshot(replica_at(snapshot), tmp_path, OWNER, NOW_NS)
        market = fresh_market()
        found = recover(market, tmp_path, OWNER, ring)
        assert found.position == position
        assert found.replayed == position - (snapshot or 0)
        assert same_market(market, replica_at(position))
    journal.abandon()


def test_ring_without_recorder(tmp_path: Path) -> None:
    """Goal: an engine without a recorder can be joined while the ring has everything."""
    ring = make_ring(64, gated=False)
    publish_events(ring, 0, 40)
    market = fresh_market()
    assert recover(market, tmp_path, OWNER, ring).position == 40
    publish_events(ring, 40, 100)
    with pytest.raises(JournalError, match="no recorder"):
        recover(fresh_market(), tmp_path, OWNER, ring)


def test_empty_market_as_configured() -> None:
    """Goal: an engine's market has its instruments, sessions and slots; warming up changes none."""
    configuration = built_in()
    market = empty_market(configuration, 1)
    assert len(market.instruments) == 4
    assert len(market.sessions) == 100
    assert int(market.scalars[0]["slots_per_gateway"]) == configuration.engines[0].slots_per_gateway
    warm_up(market)
    assert same_market(market, empty_market(configuration, 1))
