"""The feed is encoded from where the day rolled: the same bytes as by all of the journal.

Method: the feed service of a gateway in this process, on a journal of a real event stream in which
the day rolls twice. The journal has small segments, so that its beginning can be removed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.itch import past
from gateways.itch import process as module
from gateways.itch.feed_log import BASE, SIZE
from gateways.itch.process import FeedService
from gateways.outcomes import HISTORY
from ringbuf import layout
from shm_exchange import wiring
from shm_exchange.config import built_in
from shm_exchange.errors import ExchangeError
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_layout import PAGE_SIZE
from shm_exchange.journal_segment import Owner, segment_paths
from shm_exchange.recovery import empty_market
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import write_snapshot
from tests.gateways.test_feed_past import IDENTITY, SOURCE, service_of

sys.path.append(str(Path(__file__).parents[1] / "shm_exchange"))
from journal_cases import NOW_NS, with_rolls  # noqa: E402

END = 4000
APPENDED = 100
OWNER = Owner.of(IDENTITY, 1)


class State:
    """A state directory and the shared memory of an engine whose ring has nothing of it."""

    def __init__(self, directory: Path, made: wiring.Wiring) -> None:
        self.rows, (self.first, self.rolled) = with_rolls(1000, 2000)
        self._directory = directory
        self._made = made
        journal = Journal(directory, OWNER, segment_size=PAGE_SIZE + 64 * 350)
        for begin in range(0, END, APPENDED):
            journal.append([record_bytes(self.rows[begin : begin + APPENDED])], NOW_NS)
        journal.close(NOW_NS)
        self.whole = self.feed(self.start())
        assert len(self.whole) > 10_000

    def snapshot(self, *positions: int) -> None:
        """Take snapshots."""
        for position in positions:
            market = empty_market(built_in(), 1)
            apply_all(market, self.rows[:position], 0)
            write_snapshot(market, self._directory, OWNER, NOW_NS)

    def remove_before(self, position: int) -> None:
        """What `shmx journal prune` does."""
        paths = segment_paths(self._directory, 1)
        for (_, path), (end, _) in zip(paths, paths[1:], strict=False):
            if end <= position:
                path.unlink()
        assert 0 < segment_paths(self._directory, 1)[0][0] <= position

    def start(self) -> FeedService:
        """A gateway's service that has all there is."""
        return service_of(self._made, self._directory)

    def needed_from(self) -> int:
        """Whence the gateway says that it reads the journal; -1: from where its pump is."""
        row = self._made.control.processes[wiring.PROCESS_SOURCE_FIRST + SOURCE]
        return int(row["counter"][wiring.COUNTER_PAST]) - 1

    @staticmethod
    def feed(service: FeedService) -> bytes:
        """What its log has, from message 1 on."""
        log = service.pump.log
        assert log.words[BASE] == 0
        return bytes(log.data[: int(log.words[SIZE])])


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """With a journal, and no snapshot."""
    name = f"test-start-{os.getpid()}"
    made = wiring.create(
        name, 1, IDENTITY, END,
        event_records=1024, command_records=256, gateway_count=2, gated=True,
    )  # fmt: skip
    made.control.processes["state"][wiring.PROCESS_MATCHER] = layout.STATE_READY
    try:
        yield State(tmp_path, made)
    finally:
        made.close()
        wiring.remove(name, 1)


@pytest.mark.parametrize("before", [0, 1, 300])
def test_from_a_snapshot_that_is_not_behind_the_roll(state: State, before: int) -> None:
    """Goal: the whole feed of the day, although the journal of the days before is gone."""
    state.snapshot(state.rolled - before, 3000, 3900)
    state.remove_before(state.rolled - before)
    assert state.feed(state.start()) == state.whole
    assert state.needed_from() == -1


def test_the_past_begins_there(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a long day is served from the newest snapshot and encoded from the roll meanwhile."""
    state.snapshot(state.rolled, 3000)
    state.remove_before(state.rolled)
    monkeypatch.setattr(past, "LATE_EVENTS", 1)
    late = state.start()
    assert late.pump.log.words[BASE] > 0 and late._past is not None
    assert state.needed_from() == state.rolled
    late._past.join()
    assert module.loop.run(late.pump) == HISTORY
    assert late._prepend() == 0
    assert state.feed(late) == state.whole
    assert state.needed_from() == -1


def test_the_day_has_rolled_since(state: State) -> None:
    """Goal: the newest snapshot is of the day before, whose beginning is gone: it will do."""
    state.snapshot(1500)
    state.remove_before(1500)
    assert state.feed(state.start()) == state.whole


def test_without_such_a_snapshot(state: State) -> None:
    """Goal: then by the journal's beginning; when that is gone, a sentence with the remedy."""
    state.snapshot(3000)
    assert state.feed(state.start()) == state.whole
    state.remove_before(3000)
    with pytest.raises(ExchangeError, match=f"began at position {state.rolled}, .* `shmx roll`"):
        state.start()


def test_another_log_begins_there_too(state: State) -> None:
    """Goal: a gateway whose replica differs builds the same log from what is left."""
    state.snapshot(state.rolled, 3000)
    service = state.start()
    state.remove_before(state.rolled)
    before = service.pump
    service._build_anew()
    assert service.pump is not before
    assert state.feed(service) == state.whole
    assert state.needed_from() == -1
