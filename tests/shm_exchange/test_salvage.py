"""What only shared memory has when everything is dead is saved, or the start is refused.

Method: segments as an exchange leaves them at SIGKILL, a journal that ends earlier, and the cases
in which the two do not belong together.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from journal_cases import NOW_NS, events, publish_events

from ringbuf.broadcast import CLAIMED, NO_GATE, PUBLISHED, RECORDED
from shm_exchange import leftovers, presence, wiring
from shm_exchange.errors import AnotherWriterError
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_layout import PAGE_SIZE
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import JournalDamaged, JournalError, Owner
from shm_exchange.messages import COMMAND_NEXT_BITS, EVENT_DTYPE, CommandKind, EventKind
from shm_exchange.presence import Claim, identity_of, info_path
from shm_exchange.wiring import Wiring

CAPACITY = 1024
GATEWAY = 3  # source of a gateway that the flow does not use
_numbers = count()


@pytest.fixture
def name() -> Iterator[str]:
    """A name of an exchange; what has it, or begins with it, is removed at the end."""
    chosen = f"sv{os.getpid()}x{next(_numbers)}"
    yield chosen
    for path in presence.SHARED_MEMORY.glob(f"shmx.{chosen}*"):
        path.unlink()


def left_behind(
    name: str,
    directory: Path,
    journal: int,
    published: int,
    *,
    first: int = 0,
    recorder: bool = True,
) -> Wiring:
    """An exchange that died: its journal ends at `journal`, its ring at `published`."""
    identity = identity_of(directory)
    if journal:
        write_journal(directory, journal)
    made = wiring.create(
        name, 1, identity, first,
        event_records=CAPACITY, command_records=256, gateway_count=2, gated=recorder,
    )  # fmt: skip
    position = first
    while position < published:
        lost = published > journal + CAPACITY
        made.ring.cursors[RECORDED] = position if lost else min(position, journal)
        position = publish_events(made.ring, position, min(100, published - position))
    made.ring.cursors[RECORDED] = journal if recorder else NO_GATE
    return made


def write_journal(directory: Path, end: int) -> None:
    journal = Journal(directory, Owner.of(identity_of(directory), 1))
    for first in range(journal.position, end, 50):
        journal.append([record_bytes(events()[first : min(end, first + 50)])], NOW_NS)
    journal.abandon()


def journal_end(directory: Path) -> int:
    """Where the journal ends, once all of it was compared with the flow."""
    reader = JournalReader(directory, Owner.of(identity_of(directory), 1))
    end = reader.end() or 0
    assert reader.read(0, end + 1).tobytes() == events()[:end].tobytes()
    reader.close()
    return end


@contextmanager
def start(name: str, directory: Path) -> Iterator[list[str]]:
    """The first thing that a supervisor does."""
    claim = Claim(name, directory)
    try:
        yield leftovers.settle(claim)
    finally:
        claim.release()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("journal", "published"), [(0, 700), (300, 301), (300, 1300), (1000, 2024), (1500, 1500)]
)
def test_what_the_journal_lacks_is_saved(
    name: str, tmp_path: Path, journal: int, published: int
) -> None:
    """Goal: also around the wrap, also a whole ring, also when nothing was written yet; the next
    start finds nothing more to save."""
    left_behind(name, tmp_path, journal, published).close()
    with start(name, tmp_path) as said:
        assert journal_end(tmp_path) == published
        assert leftovers.segments_of(name) == []
    if journal == published:
        assert not any("saved" in line for line in said)
    else:
        expected = f"engine 1: saved {published - journal} events that only shared memory had"
        assert said[0] == f"{expected} (positions {journal} to {published - 1})"
    assert sum("left by an exchange that died" in line for line in said) == 3
    with start(name, tmp_path) as said:
        assert said == []


def test_commands_that_nobody_executed_are_counted(name: str, tmp_path: Path) -> None:
    """Goal: what `consumed` says, or what the events say when that is more; parts of a command are
    not commands of their own."""
    made = left_behind(name, tmp_path, 100, 120)
    commands = made.command_ring(GATEWAY)
    commands.records["kind"][:12] = CommandKind.ENTER
    commands.records["kind"][8] = CommandKind.CONTINUATION
    commands.cursors[0] = 12
    made.ring.records["source_next"][119] = GATEWAY << COMMAND_NEXT_BITS | 7
    made.ring.records["kind"][118] = EventKind.CONTINUATION
    made.ring.records["source_next"][118] = GATEWAY << COMMAND_NEXT_BITS | 11
    made.close()
    claim = Claim(name, tmp_path)
    said = leftovers.settle(claim)
    claim.release()
    assert said[0].endswith("discarded 4 commands that were never executed")


def test_nothing_is_expected_of_a_ring_without_recorder(name: str, tmp_path: Path) -> None:
    """Goal: an engine that records nothing leaves nothing, and starts again."""
    left_behind(name, tmp_path, 0, 3000, recorder=False).close()
    with start(name, tmp_path) as said:
        assert len(said) == 3
    assert not list(tmp_path.glob("*.shmj"))


def test_a_ring_that_begins_too_late(name: str, tmp_path: Path) -> None:
    """Goal: a gap between journal and ring is refused by name and position; the ring stays."""
    left_behind(name, tmp_path, 100, 3000).close()
    expected = (
        f"{name}.e1.events: begins at position [0-9]+, but the journal .* ends at position 100"
    )
    with pytest.raises(JournalError, match=expected), start(name, tmp_path):
        pass
    assert len(leftovers.segments_of(name)) == 3
    assert journal_end(tmp_path) == 100


def test_a_ring_of_another_run(name: str, tmp_path: Path) -> None:
    """Goal: events that contradict the journal are not appended to it."""
    made = left_behind(name, tmp_path, 300, 400)
    made.ring.records["price"][299] += 1
    made.close()
    with (
        pytest.raises(JournalError, match="before position 300 are not those of the journal"),
        start(name, tmp_path),
    ):
        pass
    assert len(leftovers.segments_of(name)) == 3
    assert journal_end(tmp_path) == 300


def test_a_journal_that_knows_more(name: str, tmp_path: Path) -> None:
    """Goal: a ring whose events are all in the journal is removed; one that differs is not."""
    made = left_behind(name, tmp_path, 200, 250)
    write_journal(tmp_path, 400)
    made.ring.records["price"][249] += 1
    with pytest.raises(JournalError, match="before position 250"), start(name, tmp_path):
        pass
    made.ring.records["price"][249] -= 1
    made.close()
    with start(name, tmp_path) as said:
        assert len(said) == 3
    assert journal_end(tmp_path) == 400


def test_impossible_cursors(name: str, tmp_path: Path) -> None:
    """Goal: a ring that was overwritten by something else is refused, not believed."""
    made = left_behind(name, tmp_path, 200, 250)
    for word, value in ((PUBLISHED, 199), (CLAIMED, 249), (RECORDED, -1)):
        before = int(made.ring.cursors[word])
        made.ring.cursors[word] = value
        with pytest.raises(JournalError, match="its cursors cannot be"), start(name, tmp_path):
            pass
        made.ring.cursors[word] = before
    made.close()
    with start(name, tmp_path) as said:
        assert "saved 50 events" in said[0]


def test_records_that_were_never_published(name: str, tmp_path: Path) -> None:
    """Goal: what a dying matcher wrote and did not publish never happened."""
    made = left_behind(name, tmp_path, 100, 150)
    made.ring.records[150:200] = np.ones(50, EVENT_DTYPE)
    made.close()
    with start(name, tmp_path):
        assert journal_end(tmp_path) == 150


def test_a_damaged_journal_is_not_continued(name: str, tmp_path: Path) -> None:
    """Goal: the ring stays until the journal is itself again."""
    write_journal(tmp_path, 200)
    journal = Journal(tmp_path, Owner.of(identity_of(tmp_path), 1))
    journal.sync()
    journal.append([record_bytes(events()[200:210])], NOW_NS)
    journal.abandon()
    left_behind(name, tmp_path, 210, 300).close()
    (path,) = tmp_path.glob("*.shmj")
    with open(path, "r+b") as file:
        file.seek(PAGE_SIZE + 64 * 20)
        file.write(b"\xff")
    with pytest.raises(JournalDamaged, match="damaged at position 0"), start(name, tmp_path):
        pass
    assert len(leftovers.segments_of(name)) == 3


def test_no_room_to_save(name: str, tmp_path: Path) -> None:
    """Goal: the sentence says what to do; with room nothing has been lost."""
    left_behind(name, tmp_path, 100, 900).close()
    with (
        file_size_limit(1 << 16),
        pytest.raises(JournalError, match="800 events of the last run are only in shared memory"),
        start(name, tmp_path),
    ):
        pass
    with start(name, tmp_path):
        assert journal_end(tmp_path) == 900


def test_a_foreign_ring(name: str, tmp_path: Path) -> None:
    """Goal: what another state directory still needs is not removed for a name; the sentence says
    which one; what it does not need is in nobody's way."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    dead = Claim(name, theirs)
    left_behind(name, theirs, 100, 150).close()
    os.close(dead._info)  # as if it had been killed
    os.close(dead._state)
    for _ in range(2):
        with (
            pytest.raises(AnotherWriterError, match=f"50 events .* once with --state {theirs},"),
            start(name, ours),
        ):
            pass
    assert len(leftovers.segments_of(name)) == 3
    with start(name, theirs) as said:
        assert "saved 50 events" in said[0]
    assert not info_path(name).exists()
    left_behind(name, theirs, 150, 150).close()
    with start(name, ours) as said:
        assert len(said) == 3
    assert not list(ours.glob("*.shmj"))


def test_a_foreign_ring_that_nobody_can_use(name: str, tmp_path: Path) -> None:
    """Goal: once its state directory is gone, a ring is rubbish."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    left_behind(name, theirs, 100, 150).close()
    info_path(name).write_text(f'{{"state_directory": "{theirs}"}}')
    theirs.rename(tmp_path / "moved")
    with start(name, tmp_path / "ours") as said:
        assert len(said) == 3


def test_another_name_for_the_same_state(name: str, tmp_path: Path) -> None:
    """Goal: who starts the same state by another name still finds what it left in memory."""
    left_behind(name + "b", tmp_path, 100, 150).close()
    with start(name, tmp_path) as said:
        assert "saved 50 events" in said[0]
    assert leftovers.segments_of(name + "b") == []
    assert not info_path(name + "b").exists()
    assert journal_end(tmp_path) == 150


def test_a_copy_leaves_the_rings_of_its_original_alone(name: str, tmp_path: Path) -> None:
    """Goal: a backup that is started by another name takes nothing from the exchange that it is a
    backup of, be that dead or alive; that one still finds what it left."""
    original, copy = tmp_path / "original", tmp_path / "copy"
    dead = Claim(name, original)
    left_behind(name, original, 100, 150).close()
    shutil.copytree(original, copy)
    with start(name + "b", copy) as said:  # its original runs
        assert said == []
    os.close(dead._info)  # as if it had been killed
    os.close(dead._state)
    with start(name + "b", copy) as said:
        assert said == []
    with start(name, original) as said:
        assert "saved 50 events" in said[0]
    assert journal_end(original) == 150
