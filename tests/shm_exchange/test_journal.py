"""The journal keeps what it was given, ends where it must, and refuses what was changed.

Method: write blocks, spoil the files byte by byte and bit by bit, and open them again.
"""

import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from ringbuf.errors import LayoutError
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_layout import CELL_SIZE, JOURNAL_HEADER, PAGE_SIZE
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import JournalDamaged, JournalError, JournalFull, Owner
from shm_exchange.messages import EVENT_DTYPE

OWNER = Owner(bytes(range(16)), 1)
NOW_NS = 1_700_000_000_000_000_000


def make_events(first: int, count: int) -> np.ndarray:
    """Records of which each byte is a function of the position."""
    words = np.arange(first * 8, (first + count) * 8, dtype=np.int64) * 0x9E3779B97F4A7C1
    return words.view(EVENT_DTYPE)


def append(journal: Journal, count: int) -> int:
    return journal.append([record_bytes(make_events(journal.position, count))], NOW_NS)


def same(found: np.ndarray, first: int, count: int) -> bool:
    return found.tobytes() == make_events(first, count).tobytes()


def write(directory: Path, counts: list[int], *, sync: bool = False, **options: int) -> Path:
    """A journal whose appends have these sizes, not closed; its last file."""
    journal = Journal(directory, OWNER, **options)
    for count in counts:
        append(journal, count)
        if sync:
            journal.sync()
    journal.abandon()
    return sorted(directory.glob("journal-*.shmj"))[-1]


def overwrite(path: Path, data: bytes | bytearray) -> None:
    """Change bytes in place: cheaper for the file system than a new file."""
    with open(path, "r+b") as file:
        file.write(data)


def read_all(directory: Path) -> np.ndarray:
    reader = JournalReader(directory, OWNER)
    found = reader.read(reader.first_position or 0, 1 << 30)
    reader.close()
    return found


def test_append_and_read(tmp_path: Path) -> None:
    """Goal: what was appended is read back from every position, across blocks and slices."""
    journal = Journal(tmp_path, OWNER)
    records = make_events(0, 50_000)
    assert journal.append([record_bytes(records[:7]), record_bytes(records[7:40_000])], 1) == 40_000
    assert journal.append([], 2) == 40_000
    assert append(journal, 10_000) == 50_000
    reader = JournalReader(tmp_path, OWNER)
    assert reader.first_position == 0
    for first, count in ((0, 50_000), (0, 1), (6, 2), (16_383, 3), (39_999, 2), (49_999, 9)):
        assert same(reader.read(first, count), first, min(count, 50_000 - first))
    assert len(reader.read(50_000, 5)) == 0
    append(journal, 3)
    assert same(reader.read(50_000, 5), 50_000, 3)
    assert reader.end() == 50_003
    reader.close()
    journal.close(NOW_NS)


def test_close_and_reopen(tmp_path: Path) -> None:
    """Goal: a journal continues after a clean end, and the file takes only what it needs."""
    for round_number in range(3):
        journal = Journal(tmp_path, OWNER)
        assert journal.position == journal.durable == round_number * 10
        assert journal.torn_bytes == 0
        append(journal, 10)
        assert journal.durable == round_number * 10
        assert journal.sync() == journal.position
        journal.close(NOW_NS)
    (path,) = tmp_path.glob("*.shmj")
    assert path.stat().st_size == PAGE_SIZE + 3 * (12 * CELL_SIZE)
    assert same(read_all(tmp_path), 0, 30)


def test_segments(tmp_path: Path) -> None:
    """Goal: segments follow each other without a gap; an append larger than one gets its own."""
    journal = Journal(tmp_path, OWNER, segment_size=PAGE_SIZE + 64 * CELL_SIZE, first_position=5)
    for count in (30, 30, 30, 500, 1, 62, 63):
        append(journal, count)
    assert len(list(tmp_path.glob("*.shmj"))) == 6
    assert journal.durable == 5
    assert journal.sync() == 721
    reader = JournalReader(tmp_path, OWNER)
    assert same(reader.read(5, 1000), 5, 716)
    gathered = b""
    for first, batch in reader.batches(37, 700):
        assert first == 37 + len(gathered) // CELL_SIZE
        gathered += batch.tobytes()
    assert gathered == make_events(37, 700 - 37).tobytes()
    with pytest.raises(JournalError, match="begins at position 5; position 4"):
        reader.read(4, 1)
    with pytest.raises(JournalDamaged, match="ends here; it must reach 722"):
        list(reader.batches(5, 722))
    reader.close()
    journal.close(NOW_NS)
    again = Journal(tmp_path, OWNER, segment_size=PAGE_SIZE + 64 * CELL_SIZE)
    assert again.position == 721
    again.close(NOW_NS)


def test_batches_of_large_and_small_blocks(tmp_path: Path) -> None:
    """Goal: gathered and direct batches come in order, with nothing lost between them."""
    counts = [1, 2000, 2048, 3, 40_000, 16_384, 5, 2047, 1, 9000]
    write(tmp_path, counts)
    total = sum(counts)
    reader = JournalReader(tmp_path, OWNER)
    for start, stop in ((0, total), (1, total - 1), (2049, 2050), (4052, 30_000), (0, 0)):
        position = start
        for first, batch in reader.batches(start, stop):
            assert first == position
            assert same(batch, first, len(batch))
            assert batch.flags.writeable, "a read-only array would be another signature"
            position += len(batch)
        assert position == stop
    reader.close()


def test_torn_tail_cut_at_every_byte(tmp_path: Path) -> None:
    """Goal: wherever the file was cut, the journal ends at the last whole append before."""
    source = tmp_path / "source"
    source.mkdir()
    path = write(source, [3, 2, 4])
    ends = [PAGE_SIZE]
    for count in (3, 2, 4):
        ends.append(ends[-1] + CELL_SIZE * (count + 1))
    positions = [0, 3, 5, 9]
    data = path.read_bytes()[: ends[-1]]
    copy = tmp_path / path.name
    for length in range(PAGE_SIZE, ends[-1] + 1):
        whole = max(number for number, end in enumerate(ends) if end <= length)
        copy.write_bytes(data[:length])
        reader = JournalReader(tmp_path, OWNER)
        assert reader.end() == positions[whole]
        reader.close()
        assert copy.stat().st_size == length, "a reader touches nothing"
        journal = Journal(tmp_path, OWNER)
        assert journal.position == positions[whole]
        append(journal, 1)
        journal.abandon()
        assert same(read_all(tmp_path), 0, positions[whole] + 1)


def test_torn_append_of_several_blocks(tmp_path: Path) -> None:
    """Goal: whole blocks of an append that is not whole are cut too: no half of a commit."""
    path = write(tmp_path, [4, 40_000])
    size = PAGE_SIZE + CELL_SIZE * (4 + 40_000 + 4)
    with open(path, "r+b") as file:
        file.truncate(size - 1)
    journal = Journal(tmp_path, OWNER)
    assert journal.position == 4
    assert journal.torn_records == 2 * 16_384
    assert journal.torn_bytes > 39_000 * CELL_SIZE
    journal.close(NOW_NS)


def test_garbage_behind_the_end(tmp_path: Path) -> None:
    """Goal: a tail of rubbish instead of zeros is a torn tail."""
    path = write(tmp_path, [3])
    with open(path, "r+b") as file:
        file.seek(PAGE_SIZE + 4 * CELL_SIZE)
        file.write(os.urandom(5000))
    journal = Journal(tmp_path, OWNER)
    assert (journal.position, journal.torn_records) == (3, 0)
    assert 4900 < journal.torn_bytes <= 5000
    journal.close(NOW_NS)


@pytest.mark.parametrize("sealed", [False, True])
def test_every_bit_of_a_synced_block(tmp_path: Path, sealed: bool) -> None:
    """Goal: a flipped bit in a block that was synced is refused, with file and position."""
    journal = Journal(tmp_path, OWNER)
    for count in (3, 2, 4):
        append(journal, count)
        journal.sync()
    if sealed:
        journal.close(NOW_NS)
    else:
        journal.abandon()
    (path,) = tmp_path.glob("*.shmj")
    os.truncate(path, PAGE_SIZE + 13 * CELL_SIZE)
    data = bytearray(path.read_bytes())
    start = PAGE_SIZE + 4 * CELL_SIZE  # the block of positions 3 and 4
    for bit in range(8 * 3 * CELL_SIZE):
        data[start + bit // 8] ^= 1 << bit % 8
        overwrite(path, data)
        with pytest.raises(JournalDamaged, match="damaged at position 3") as caught:
            Journal(tmp_path, OWNER)
        assert caught.value.path == path
        assert path.read_bytes() == data, "refused, and untouched"
        data[start + bit // 8] ^= 1 << bit % 8


def test_every_bit_of_the_last_block(tmp_path: Path) -> None:
    """Goal: a flipped bit in the last block, which nothing vouches for, cuts it off."""
    path = write(tmp_path, [3, 2], sync=True)
    os.truncate(path, PAGE_SIZE + 7 * CELL_SIZE)
    data = bytearray(path.read_bytes())
    start = PAGE_SIZE + 4 * CELL_SIZE
    for bit in range(8 * 3 * CELL_SIZE):
        data[start + bit // 8] ^= 1 << bit % 8
        overwrite(path, data)
        reader = JournalReader(tmp_path, OWNER)
        assert reader.end() == 3
        assert same(reader.read(0, 9), 0, 3)
        reader.close()
        data[start + bit // 8] ^= 1 << bit % 8


def test_unsynced_blocks_may_reach_the_disk_in_any_order(tmp_path: Path) -> None:
    """Goal: after a loss of power a hole among blocks that were never synced is a torn tail."""
    path = write(tmp_path, [3, 2, 4])
    with open(path, "r+b") as file:
        file.seek(PAGE_SIZE + 4 * CELL_SIZE)
        file.write(bytes(3 * CELL_SIZE))
    journal = Journal(tmp_path, OWNER)
    assert journal.position == 3
    journal.close(NOW_NS)


def test_every_byte_of_the_file_header(tmp_path: Path) -> None:
    """Goal: a damaged file header is refused as that, whatever byte it is."""
    path = write(tmp_path, [3, 3], sync=True, segment_size=PAGE_SIZE + 10 * CELL_SIZE)
    data = bytearray(path.read_bytes())
    for place in [*range(128), *range(128, PAGE_SIZE, 61), *range(PAGE_SIZE - 8, PAGE_SIZE)]:
        data[place] ^= 0x10
        overwrite(path, data)
        with pytest.raises(JournalDamaged, match=path.name):
            JournalReader(tmp_path, OWNER).end()
        assert path.read_bytes() == data
        data[place] ^= 0x10


def _rewrite_header(path: Path, field: str, value: int) -> None:
    data = bytearray(path.read_bytes())
    row = np.frombuffer(data, JOURNAL_HEADER.dtype, 1)
    row[field] = value
    row["checksum"] = xxh3_64_intdigest(bytes(data[: PAGE_SIZE - 8]))
    path.write_bytes(data)


@pytest.mark.parametrize("field", ["layout_digest", "version", "record_size"])
def test_another_layout(tmp_path: Path, field: str) -> None:
    """Goal: a journal of another layout is refused by name, untouched."""
    path = write(tmp_path, [3])
    _rewrite_header(path, field, 77)
    before = path.read_bytes()
    with pytest.raises(LayoutError, match=path.name):
        Journal(tmp_path, OWNER)
    assert path.read_bytes() == before


def test_another_exchange(tmp_path: Path) -> None:
    """Goal: the journal of another exchange, or of another engine, is refused by name."""
    path = write(tmp_path, [3])
    with pytest.raises(JournalError, match="belongs to exchange 0001"):
        Journal(tmp_path, Owner(bytes(16), 1))
    shutil.copy(path, tmp_path / path.name.replace("e1", "e2"))
    with pytest.raises(JournalError, match="is of engine 1"):
        Journal(tmp_path, Owner(OWNER.identity, 2))


def _three_segments(directory: Path, *, sync: bool = True) -> list[Path]:
    write(directory, [30, 20, 30, 30], sync=sync, segment_size=PAGE_SIZE + 60 * CELL_SIZE)
    return sorted(directory.glob("*.shmj"))


def test_missing_segment(tmp_path: Path) -> None:
    """Goal: a journal with a segment missing in the middle is refused."""
    _three_segments(tmp_path)[1].unlink()
    with pytest.raises(JournalDamaged, match="damaged at position 50: what was synced there"):
        Journal(tmp_path, OWNER)


def test_shortened_segment(tmp_path: Path) -> None:
    """Goal: a segment that has lost its end, with another behind it, was damaged, not torn; one
    that has lost its seal only has lost nothing."""
    path = _three_segments(tmp_path)[0]
    size = path.stat().st_size
    os.truncate(path, size - CELL_SIZE)
    journal = Journal(tmp_path, OWNER)
    assert journal.position == 110
    journal.close(NOW_NS)
    assert path.stat().st_size == size, "sealed again"
    os.truncate(path, size - 2 * CELL_SIZE)
    with pytest.raises(JournalDamaged, match="damaged at position 30: what was synced"):
        Journal(tmp_path, OWNER)


def test_segments_that_were_never_synced(tmp_path: Path) -> None:
    """Goal: a killed recorder may leave several segments without a seal; nothing is lost."""
    for path in _three_segments(tmp_path, sync=False):
        assert path.stat().st_size == PAGE_SIZE + 60 * CELL_SIZE
    assert JournalReader(tmp_path, OWNER).end() == 110
    assert same(read_all(tmp_path), 0, 110)
    journal = Journal(tmp_path, OWNER)
    assert (journal.position, journal.torn_bytes) == (110, 0)
    append(journal, 5)
    journal.close(NOW_NS)
    assert same(read_all(tmp_path), 0, 115)
    reader = JournalReader(tmp_path, OWNER)
    assert sum(len(batch) for _, batch in reader.batches(0, 115)) == 115
    reader.close()


def test_power_lost_before_segments_were_synced(tmp_path: Path) -> None:
    """Goal: of segments that were never synced any part may be missing: the journal ends at the
    last commit before the first hole, and what is behind goes."""
    first, second, third = _three_segments(tmp_path, sync=False)
    whole = {path: path.read_bytes() for path in (first, second, third)}
    page, zeros = bytes(PAGE_SIZE), bytes(len(whole[first]))
    hole = PAGE_SIZE + 33 * CELL_SIZE  # within the second append of the first segment
    cases = [
        ({third: page + whole[third][PAGE_SIZE:]}, 80),
        ({third: zeros}, 80),
        ({second: zeros}, 50),
        ({second: page + whole[second][PAGE_SIZE:], third: zeros}, 50),
        ({first: whole[first][:hole] + zeros[hole:]}, 30),
        ({first: zeros, second: zeros, third: zeros}, 0),
        ({first: zeros}, 0),
    ]
    for spoilt, position in cases:
        for path, data in whole.items():
            path.write_bytes(spoilt.get(path, data))
        reader = JournalReader(tmp_path, OWNER)
        assert (reader.end() or 0) == position
        reader.close()
        journal = Journal(tmp_path, OWNER)
        assert journal.position == position
        append(journal, 7)
        journal.close(NOW_NS)
        assert same(read_all(tmp_path), 0, position + 7)
        for path in tmp_path.glob("*.shmj"):
            path.unlink()


def test_killed_while_it_sealed(tmp_path: Path) -> None:
    """Goal: a segment whose seal was written, but not yet cut behind it, is not sealed again: the
    next segment names the block before the seal."""
    path = _three_segments(tmp_path)[0]
    sealed = path.stat().st_size
    os.truncate(path, sealed + 10 * CELL_SIZE)
    for _ in range(3):
        journal = Journal(tmp_path, OWNER)
        assert journal.position == 110
        journal.abandon()
        assert path.stat().st_size == sealed
    assert same(read_all(tmp_path), 0, 110)


def test_names_are_synced_after_an_append_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a segment that was made for an append that then found no room is named on disk before
    anything in it is durable."""
    calls: list[Path] = []
    monkeypatch.setattr("shm_exchange.journal.sync_directory", calls.append)
    journal = Journal(tmp_path, OWNER)
    real = os.pwritev

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", fail)
    with pytest.raises(JournalFull):
        append(journal, 3)
    assert (journal.sync(), calls) == (0, [])
    monkeypatch.setattr(os, "pwritev", real)
    append(journal, 3)
    assert (journal.sync(), calls) == (3, [tmp_path])
    journal.close(NOW_NS)


def test_damage_in_an_old_segment_is_found_by_reading(tmp_path: Path) -> None:
    """Goal: opening does not read all, but nothing that is damaged is ever handed out."""
    path = _three_segments(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[PAGE_SIZE + 10 * CELL_SIZE] ^= 1
    path.write_bytes(data)
    Journal(tmp_path, OWNER).close(NOW_NS)
    reader = JournalReader(tmp_path, OWNER)
    assert same(reader.read(0, 110), 0, 50)
    with pytest.raises(JournalDamaged, match="damaged at position 50"):
        list(reader.batches(0, 110))
    assert same(reader.read(80, 110), 80, 30)
    reader.close()


def test_interrupted_creation(tmp_path: Path) -> None:
    """Goal: a segment that never got its name is removed."""
    write(tmp_path, [3])
    (tmp_path / "journal-e1-00000000000000000003.new").write_bytes(b"half")
    journal = Journal(tmp_path, OWNER)
    assert not list(tmp_path.glob("*.new"))
    append(journal, 2)
    journal.close(NOW_NS)
    assert same(read_all(tmp_path), 0, 5)


def test_two_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a second recorder on the same journal is refused."""
    monkeypatch.setattr("shm_exchange.journal._LOCK_WAIT_SECONDS", 0.05)
    journal = Journal(tmp_path, OWNER)
    with pytest.raises(JournalError, match="another recorder"):
        Journal(tmp_path, OWNER)
    journal.close(NOW_NS)
    Journal(tmp_path, OWNER).close(NOW_NS)


def test_missing_directory(tmp_path: Path) -> None:
    """Goal: a directory that cannot be written is an error that names the file."""
    with pytest.raises(JournalError, match="nowhere/journal-e1.lock: cannot be written"):
        Journal(tmp_path / "nowhere", OWNER)


@contextmanager
def file_size_limit(size: int):
    """No file may grow beyond `size` bytes: what a full disk looks like to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk(tmp_path: Path) -> None:
    """Goal: an append that the disk takes only half of changes nothing, and works later."""
    journal = Journal(tmp_path, OWNER, segment_size=PAGE_SIZE + 100 * CELL_SIZE)
    append(journal, 40)
    with file_size_limit(PAGE_SIZE + 50 * CELL_SIZE):
        with pytest.raises(JournalFull, match="File too large"):
            append(journal, 40)
        assert same(read_all(tmp_path), 0, 40)
    append(journal, 45)
    journal.close(NOW_NS)
    assert same(read_all(tmp_path), 0, 85)


def test_full_disk_at_a_new_segment(tmp_path: Path) -> None:
    """Goal: no room for a new segment: nothing is lost, and the same append works later."""
    journal = Journal(tmp_path, OWNER, segment_size=PAGE_SIZE + 40 * CELL_SIZE)
    append(journal, 30)
    with file_size_limit(PAGE_SIZE + 30 * CELL_SIZE):
        for _ in range(3):
            with pytest.raises(JournalFull, match="File too large"):
                append(journal, 30)
        assert journal.position == 30
    assert not list(tmp_path.glob("*.new"))
    append(journal, 30)
    append(journal, 2)
    journal.close(NOW_NS)
    assert same(read_all(tmp_path), 0, 62)
    assert Journal(tmp_path, OWNER).position == 62


def test_the_seal_is_not_repeated(tmp_path: Path) -> None:
    """Goal: opening and closing without an append does not grow the journal."""
    path = write(tmp_path, [3])
    Journal(tmp_path, OWNER).close(NOW_NS)
    size = path.stat().st_size
    Journal(tmp_path, OWNER).close(NOW_NS)
    assert path.stat().st_size == size == PAGE_SIZE + 5 * CELL_SIZE


def test_failed_sync_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a failed fdatasync reaches the caller and moves nothing."""
    journal = Journal(tmp_path, OWNER)
    append(journal, 3)

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            journal.sync()
    assert journal.durable == 0
    journal.abandon()


def test_after_a_failed_sync_everything_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: the next recorder does not believe a sync that finds nothing to do: what nobody sealed
    goes to the disk once more, in every segment; a journal that ended well is left alone."""
    paths = _three_segments(tmp_path, sync=False)
    ends = [PAGE_SIZE + 52 * CELL_SIZE, PAGE_SIZE + 31 * CELL_SIZE, PAGE_SIZE + 31 * CELL_SIZE]
    real = os.pwrite
    written: dict[str, int] = {}

    def note(descriptor: int, data: bytes, offset: int) -> int:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        assert written.get(name, 0) == offset, "from the beginning on, without a gap"
        written[name] = offset + len(data)
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", note)
    journal = Journal(tmp_path, OWNER)
    seals = [CELL_SIZE, CELL_SIZE, 0]
    expected = [end + seal for end, seal in zip(ends, seals, strict=True)]
    assert [written[path.name] for path in paths] == expected
    monkeypatch.setattr(os, "pwrite", real)
    journal.close(NOW_NS)
    written.clear()
    monkeypatch.setattr(os, "pwrite", note)
    Journal(tmp_path, OWNER).close(NOW_NS)
    assert written == {}
    assert same(read_all(tmp_path), 0, 110)
