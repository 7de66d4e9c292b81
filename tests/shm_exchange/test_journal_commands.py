"""What `shmx journal` says is what is there; what it removes is what nobody needs.

Method: journals of a real event stream, whole, spoilt and growing.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from journal_cases import NOW_NS, events, fresh_market
from test_cli import shmx  # noqa: F401 - a fixture

from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_commands import PruneRefused, describe, dump, engines_of, prune, verify
from shm_exchange.journal_layout import PAGE_SIZE
from shm_exchange.journal_segment import JournalError, Owner
from shm_exchange.market import Market
from shm_exchange.messages import EventKind
from shm_exchange.presence import identity_of
from shm_exchange.recovery import recover
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import write_snapshot

SEGMENT_SIZE = PAGE_SIZE + 64 * 700
END = 4000


def owner_of(directory: Path) -> Owner:
    return Owner.of(identity_of(directory), 1)


def replica_at(position: int) -> Market:
    market = fresh_market()
    apply_all(market, events()[:position], 0)
    return market


def write(directory: Path, end: int = END, segment_size: int = SEGMENT_SIZE) -> list[Path]:
    """The flow's first events in appends of 100; the segments."""
    journal = Journal(directory, owner_of(directory), segment_size=segment_size)
    for first in range(0, end, 100):
        journal.append([record_bytes(events()[first : first + 100])], NOW_NS)
        journal.sync()
    journal.close(NOW_NS)
    return sorted(directory.glob("*.shmj"))


def test_verify_a_whole_one(tmp_path: Path) -> None:
    """Goal: everything was looked at, and is counted."""
    paths = write(tmp_path)
    write_snapshot(replica_at(3000), tmp_path, owner_of(tmp_path), NOW_NS)
    assert verify(tmp_path, 1) == {
        "engine": 1, "segments": len(paths), "blocks": END // 100 + len(paths), "events": END,
        "first_position": 0, "sound_until": END, "end": END, "torn_bytes": 0, "snapshots": 1,
        "fault": None,
    }  # fmt: skip


def test_verify_finds_the_first_fault(tmp_path: Path) -> None:
    """Goal: any changed byte, wherever, with file and position of the block; a missing segment; a
    damaged snapshot; a snapshot of what the journal lacks."""
    paths = write(tmp_path)
    rng = np.random.default_rng(5)
    for number, path in enumerate(paths[:-1]):
        data = path.read_bytes()
        for place in rng.integers(PAGE_SIZE, len(data) - 64, 25):
            spoilt = bytearray(data)
            spoilt[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(spoilt)
            fault = verify(tmp_path, 1)["fault"]
            block = (int(place) - PAGE_SIZE) // (64 * 101)
            assert fault["file"] == str(path) and "damaged at position" in fault["reason"]
            assert fault["position"] == int(path.stem[-20:]) + 100 * block
        path.write_bytes(data)
        assert verify(tmp_path, 1)["fault"] is None, number
    data = paths[2].read_bytes()
    paths[2].unlink()
    assert verify(tmp_path, 1)["fault"]["position"] == 1200
    paths[2].write_bytes(data)
    late = write_snapshot(replica_at(END + 10), tmp_path, owner_of(tmp_path), NOW_NS)
    assert "the journal ends before this snapshot" in verify(tmp_path, 1)["fault"]["reason"]
    late.unlink()
    path = write_snapshot(replica_at(1000), tmp_path, owner_of(tmp_path), NOW_NS)
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    assert "checksum of section" in verify(tmp_path, 1)["fault"]["reason"]


def test_verify_says_how_much_is_sound(tmp_path: Path) -> None:
    """Goal: what is before the fault is counted, also where the fault hides the journal's end."""
    (path,) = write(tmp_path, segment_size=SEGMENT_SIZE * 10)
    data = path.read_bytes()
    for number in (0, 17, 38):
        spoilt = bytearray(data)
        spoilt[PAGE_SIZE + 64 * 101 * number + 100] ^= 1
        path.write_bytes(spoilt)
        found = verify(tmp_path, 1)
        assert (found["blocks"], found["events"]) == (number, 100 * number)
        assert (found["segments"], found["first_position"], found["end"]) == (1, 0, None)
        assert found["sound_until"] == found["fault"]["position"] == 100 * number
    spoilt = bytearray(data)
    spoilt[8] ^= 16  # of the version
    path.write_bytes(spoilt)
    found = verify(tmp_path, 1)
    assert "its file header has changed" in found["fault"]["reason"]
    assert (found["events"], found["sound_until"]) == (0, None)


def test_verify_beside_a_recorder(tmp_path: Path) -> None:
    """Goal: a journal that grows, syncs and changes segments meanwhile is not called damaged."""
    stop = threading.Event()
    journal = Journal(tmp_path, owner_of(tmp_path), segment_size=SEGMENT_SIZE)
    journal.append([record_bytes(events()[:10])], NOW_NS)

    def record() -> None:
        while not stop.is_set() and journal.position < 200_000:
            first = journal.position % 3000
            journal.append([record_bytes(events()[first : first + 20])], NOW_NS)
            journal.sync()

    thread = threading.Thread(target=record)
    thread.start()
    try:
        ends = [verify(tmp_path, 1) for _ in range(10)]
        while ends[-1]["events"] == ends[0]["events"] and thread.is_alive():
            ends.append(verify(tmp_path, 1))
    finally:
        stop.set()
        thread.join()
    assert [each["fault"] for each in ends] == [None] * len(ends)
    assert ends[-1]["events"] > ends[0]["events"]
    journal.close(NOW_NS)


def test_dump(tmp_path: Path) -> None:
    """Goal: the events that were asked for, by name, numbered as in the journal."""
    write(tmp_path)
    rows = list(dump(tmp_path, 1, 95, 105))
    assert [row["position"] for row in rows] == list(range(95, 105))
    assert len(list(dump(tmp_path, 1, END - 3, None))) == 3
    kinds = [EventKind(int(each)).name for each in events()[95:105]["kind"]]
    assert [row["kind"] for row in rows] == kinds
    place = int(np.flatnonzero(events()["kind"] == EventKind.EXECUTED)[0])
    (row,) = dump(tmp_path, 1, place, place + 1)
    event = events()[place]
    for name in ("price", "quantity", "reference", "user_ref", "taker_user_ref"):
        assert row.get(name, 0) == int(event[name])
    assert row["side"] in "BS" and json.dumps(row)


def test_what_shares_bytes_has_a_name_of_its_own() -> None:
    """Goal: the bytes that are the reign of EPOCH are the state hash of ATTESTED."""
    event = np.zeros(1, events().dtype)
    event["epoch"] = 7
    for kind, name in ((EventKind.EPOCH, "epoch"), (EventKind.ATTESTED, "state_hash")):
        event["kind"] = kind
        row = describe(event[0], 3)
        assert {"epoch", "state_hash"} & set(row) == {name} and row[name] == 7


def test_every_kind_can_be_described() -> None:
    """Goal: whatever is in a journal can be printed."""
    event = np.zeros(1, events().dtype)
    event.view(np.uint8)[:] = 0x41
    for kind in EventKind:
        event["kind"] = kind
        assert json.loads(json.dumps(describe(event[0], 7)))["kind"] == kind.name


def test_prune(tmp_path: Path) -> None:
    """Goal: never what a kept snapshot needs, never the last segment, nothing without being told;
    what is left is a journal that recovers."""
    paths = write(tmp_path)
    owner = owner_of(tmp_path)
    with pytest.raises(PruneRefused, match="began at position 0 and still live"):
        prune(tmp_path, 1, None, dry_run=False)
    with pytest.raises(PruneRefused, match="there is no snapshot"):
        prune(tmp_path, 1, END, dry_run=False)
    for position in (1300, 2500, 3900):
        write_snapshot(replica_at(position), tmp_path, owner, NOW_NS)
    said = prune(tmp_path, 1, END, dry_run=True)
    assert (said["removed"], said["first_position"]) == ([each.name for each in paths[:2]], 1200)
    assert sorted(tmp_path.glob("*.shmj")) == paths
    assert prune(tmp_path, 1, 700, dry_run=False)["removed"] == [paths[0].name]
    assert prune(tmp_path, 1, END, dry_run=False)["removed"] == [paths[1].name]
    assert prune(tmp_path, 1, END, dry_run=False)["removed"] == []
    assert verify(tmp_path, 1)["fault"] is None
    for path in sorted(tmp_path.glob("*.shms"))[1:]:
        path.unlink()
    market = fresh_market()
    assert recover(market, tmp_path, owner).position == END
    assert int(market.scalars[0]["hash"]) == int(replica_at(END).scalars[0]["hash"])


def test_prune_trusts_no_damaged_snapshot(tmp_path: Path) -> None:
    """Goal: the oldest kept snapshot is proven before anything relies on it."""
    write(tmp_path)
    path = write_snapshot(replica_at(2500), tmp_path, owner_of(tmp_path), NOW_NS)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match="checksum of section"):
        prune(tmp_path, 1, END, dry_run=False)
    assert len(list(tmp_path.glob("*.shmj"))) == 7


def test_where_there_is_none(tmp_path: Path) -> None:
    """Goal: one sentence."""
    with pytest.raises(JournalError, match="there is no journal; name another"):
        engines_of(tmp_path)
    write(tmp_path)
    with pytest.raises(JournalError, match="there is no journal of engine 4"):
        engines_of(tmp_path, 4)
    assert engines_of(tmp_path) == [1]


def test_commands(tmp_path: Path, shmx) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    """Goal: exit code 1 for a fault, JSON on request, one line per event."""
    paths = write(tmp_path)
    code, out, _ = shmx("journal", "verify", "--state", tmp_path, "--json")
    assert code == 0 and json.loads(out)["journals"][0]["events"] == END
    code, out, _ = shmx("journal", "dump", "--state", tmp_path, "--from", 5, "--to", 8)
    assert code == 0 and [json.loads(line)["position"] for line in out.splitlines()] == [5, 6, 7]
    code, out, err = shmx("journal", "prune", "--state", tmp_path)
    assert (code, out) == (1, "") and "still live" in err and len(err.splitlines()) == 1
    data = bytearray(paths[0].read_bytes())
    data[PAGE_SIZE + 100] ^= 1
    paths[0].write_bytes(data)
    code, out, _ = shmx("journal", "verify", "--state", tmp_path)
    said = " ".join(out.split())  # wherever the table wraps
    assert code == 1 and "damaged at position 0" in said
    code, _, err = shmx("journal", "verify", "--state", tmp_path / "none")
    assert code == 1 and "there is no journal" in err
