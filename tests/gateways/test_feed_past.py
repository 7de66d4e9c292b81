"""A feed that begins at a snapshot is the feed: its past is put before it, byte for byte.

Method: the feed service of a gateway in this process, on a journal, a snapshot and a ring of a real
event stream; its pump is stepped, not run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from gateways import connection as c
from gateways.itch import past, state
from gateways.itch import process as module
from gateways.itch.feed_log import BASE, COUNT, SIZE, seek
from gateways.itch.process import FeedService
from gateways.outcomes import HISTORY
from ringbuf import layout
from ringbuf.waiting import PARK
from shm_exchange import wiring
from shm_exchange.config import built_in
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_segment import Owner
from shm_exchange.recovery import empty_market
from shm_exchange.replica import apply_all
from shm_exchange.roles import RoleContext
from shm_exchange.snapshot import write_snapshot

sys.path.append(str(Path(__file__).parents[1] / "shm_exchange"))
from journal_cases import NOW_NS, events  # noqa: E402

IDENTITY = 77
SNAPSHOT = 2000
END = 4000
SOURCE = 3  # the built-in market data gateway


def prepare(directory: Path, name: str) -> wiring.Wiring:
    """Journal and snapshot of the flow, and shared memory whose ring is empty behind them."""
    owner = Owner.of(IDENTITY, 1)
    journal = Journal(directory, owner)
    journal.append([record_bytes(events()[:END])], NOW_NS)
    journal.close(NOW_NS)
    market = empty_market(built_in(), 1)
    apply_all(market, events()[:SNAPSHOT], 0)
    write_snapshot(market, directory, owner, NOW_NS)
    made = wiring.create(
        name, 1, IDENTITY, END,
        event_records=1024, command_records=256, gateway_count=2, gated=True,
    )  # fmt: skip
    made.control.processes["state"][wiring.PROCESS_MATCHER] = layout.STATE_READY
    return made


def service_of(made: wiring.Wiring, directory: Path) -> FeedService:
    """The gateway's Python side, started."""
    configuration = built_in()
    context = RoleContext(
        name="test",
        engine=1,
        role="market_data",
        process=wiring.PROCESS_SOURCE_FIRST + SOURCE,
        source=SOURCE,
        configuration=configuration,
        state_directory=directory,
        policy=PARK,
        wiring=made,
        bells=np.full(64, -1, np.int64),
    )
    service = FeedService(context, configuration.sources[SOURCE])
    assert service.start()
    return service


def test_the_past_is_put_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the same log as without a snapshot; clients stay where they were in the feed; whoever
    asks for the past waits until it is there."""
    monkeypatch.setattr(past, "LATE_EVENTS", 1 << 40)
    name = f"test-past-{os.getpid()}"
    made = prepare(tmp_path, name)
    try:
        whole = service_of(made, tmp_path)
        assert whole.pump.log.words[BASE] == 0
        monkeypatch.setattr(past, "LATE_EVENTS", 1)
        late = service_of(made, tmp_path)
        base, count = (int(late.pump.log.words[word]) for word in (BASE, COUNT))
        assert 0 < base < count == whole.pump.log.words[COUNT]
        is_early = late.door.is_early
        assert is_early is not None
        assert [is_early(each) for each in (0, 1, base, base + 1)] == [False, True, True, False]
        for number in (base + 1, base + 70, count, count + 1):
            place, there = seek(late.pump.log, number), seek(whole.pump.log, number)
            assert whole.pump.log.words[SIZE] - there == late.pump.log.words[SIZE] - place

        rows = late.pump.connections.rows
        rows["state"][0] = c.LIVE
        rows["position"][0] = seek(late.pump.log, base + 70)
        assert late._past is not None
        late._past.join()
        assert module.loop.run(late.pump) == HISTORY
        assert late._prepend() == 0
        log, expected = late.pump.log, whole.pump.log
        size = int(expected.words[SIZE])
        assert (int(log.words[SIZE]), int(log.words[BASE])) == (size, 0)
        assert bytes(log.data[:size]) == bytes(expected.data[:size])
        assert rows["position"][0] == seek(expected, base + 70)
        assert late.pump.words[state.LEAVE] == 0 and not is_early(1)
    finally:
        made.close()
        wiring.remove(name, 1)
