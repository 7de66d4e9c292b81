"""Goal: `shmx top` shows what shared memory says: rates from two looks, lags, rings, and who is
missing; and it ends, or goes on with the next one, when the exchange does.

Method: the memory of an engine under a name that is really claimed; the test is who counts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ringbuf import layout
from ringbuf.broadcast import PUBLISHED, RECORDED
from shm_exchange import cli, presence, wiring
from shm_exchange.errors import NotRunningError
from shm_exchange.latencies import PERCENTS
from shm_exchange.recording import COUNTER_SYNC_NS, COUNTER_SYNCS
from shm_exchange.top import Watch, add_rates
from shm_exchange.top_screen import frame
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    ROLE_MATCHER,
    ROLE_ORDER,
    ROLE_RECORDER,
    Wiring,
)

SOURCE = 2
ROLES = {
    PROCESS_MATCHER: ROLE_MATCHER,
    PROCESS_RECORDER: ROLE_RECORDER,
    PROCESS_SOURCE_FIRST + SOURCE: ROLE_ORDER,
}
GATEWAY = {"kind": "order", "source": SOURCE, "address": "127.0.0.1:9001", "engines": [1]}


class Market:
    """A claimed name with an engine behind it."""

    def __init__(self, folder: Path) -> None:
        self.name = f"top{os.getpid()}"
        self.claim = presence.Claim(self.name, folder)
        self.engine: Wiring = self.create()
        self.announce(os.getpid())

    def create(self) -> Wiring:
        """Segments in which everybody lives."""
        made = wiring.create(
            self.name, 1, 5, 0, event_records=1024, command_records=256, gateway_count=1, gated=True
        )
        for number, role in ROLES.items():
            row = made.control.processes[number]
            row["pid"], row["role"], row["state"] = os.getpid(), role, layout.STATE_READY
            row["started_ns"] = row["heartbeat_ns"] = time.time_ns()
        return made

    def announce(self, pid: int, state: str = "ready") -> None:
        """What the supervisor says."""
        self.claim.announce(
            {
                "name": self.name,
                "pid": pid,
                "state": state,
                "metrics": None,
                "restarts": {"matcher of engine 1": 3},
                "engines": [{"id": 1, "standbys": 0, "recorder": True}],
                "gateways": [GATEWAY],
            }
        )

    def work(self, events: int, commands: int) -> None:
        """Count up."""
        self.engine.ring.cursors[PUBLISHED] += events
        rows = self.engine.command_cursors.view(layout.SPSC_CURSORS.dtype)
        rows["published"][SOURCE] += commands
        counters = self.engine.control.processes["counter"][PROCESS_RECORDER]
        counters[COUNTER_SYNCS] += 4
        counters[COUNTER_SYNC_NS] += 8_000_000

    def remove(self) -> None:
        """Leave nothing."""
        wiring.remove(self.name, 1)
        self.engine.close()


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    """One that is ready."""
    made = Market(tmp_path)
    try:
        yield made
    finally:
        made.remove()
        made.claim.set_settled()
        made.claim.release()


def drawn(found: dict[str, Any]) -> str:
    """A frame as text."""
    console = Console(width=120, record=True, file=open(os.devnull, "w", encoding="utf-8"))
    with console.file:
        console.print(frame(found))
    return console.export_text()


def line_with(text: str, *words: str) -> list[str]:
    """The cells of the one line that has all the words."""
    (found,) = [each for each in text.splitlines() if all(word in each for word in words)]
    return found.split()


def test_rates_come_from_two_looks(market: Market) -> None:
    """Growth by time; a counter that began again has grown by nothing; a newcomer has no rate."""
    with Watch(market.name) as it:
        before = it.look()
        market.work(events=500, commands=60)
        found = it.look()
    add_rates(found, before, seconds=2.0)
    assert found["engines"][0]["published_rate"] == 250
    assert [row["published_rate"] for row in found["rings"]] == [250, 0, 30]
    assert found["journals"][0]["syncs_rate"] == 2
    assert found["journals"][0]["sync_seconds_rate"] == pytest.approx(0.004)
    found["processes"][0] |= {"work": 5}
    before["processes"][0] |= {"work": 9}
    before["processes"][1] |= {"pid": -1}
    add_rates(found, before, seconds=2.0)
    assert [row["work_rate"] for row in found["processes"]] == [0, None, 0]
    add_rates(found, None, seconds=2.0)
    assert found["engines"][0]["published_rate"] is None


def test_a_frame_has_everything(market: Market) -> None:
    """Rates, lags, depths, heartbeats, syncs, sessions: each where its reader looks for it."""
    order = market.engine.control.processes[PROCESS_SOURCE_FIRST + SOURCE]
    with Watch(market.name) as it:
        before = it.look()
        market.work(events=512, commands=64)
        order["clients"], order["position"] = 7, 12
        market.engine.ring.cursors[RECORDED] = 448
        found = it.look()
    add_rates(found, before, seconds=1.0)
    for row in found["processes"]:
        row["uptime_s"] = 3601
    found["processes"][2]["heartbeat_age_ms"] = 43
    found["latencies"] = [
        {"engine": 1, "source": SOURCE, "stage": "total", "count": 4_321}
        | dict.fromkeys(PERCENTS, 2_500)
        | {"max_ns": 7_000_000}
    ]
    text = drawn(found)
    assert f"{market.name}  ready  up 01:00:01, 7 sessions, 3 restarts" in text
    engine = line_with(text, "512", "64", "2.0 ms")
    assert engine[:5] == ["1", "0", "512", "64", "512"]
    gateway = line_with(text, "order", str(os.getpid()), "43 ms")
    assert (gateway[6], gateway[-2:]) == ("500", ["7", "0"])
    assert line_with(text, "events", "matcher", "1,024")[3] == "64"
    assert line_with(text, "commands 2", "order")[4] == "64"
    assert line_with(text, "127.0.0.1:9001")[3:] == ["7", "500"]
    cells = line_with(text, "gateway 2", "total")
    assert cells[3:] == ["total", "4,321", *("2.5", "µs") * 4, "7.0", "ms"]


def test_who_is_missing_is_seen(market: Market) -> None:
    """The state is degraded, and a gateway without a process says so."""
    market.engine.control.processes[PROCESS_SOURCE_FIRST + SOURCE]["pid"] = 0
    with Watch(market.name) as it:
        text = drawn(it.look())
    assert "degraded" in text.splitlines()[0]
    assert "none" in line_with(text, "127.0.0.1:9001")


def test_it_goes_on_with_the_next_exchange_of_the_name(market: Market) -> None:
    """Other segments, another supervisor: no rate across them."""
    with Watch(market.name) as it:
        market.work(events=100, commands=0)
        wiring.remove(market.name, 1)
        market.engine.close()
        market.engine = market.create()
        market.work(events=7, commands=0)
        market.announce(os.getppid())
        found = it.look()
        assert found["engines"][0]["published"] == 7
        assert found["engines"][0]["published_rate"] is None
        market.claim.release()
        with pytest.raises(NotRunningError):
            it.look()
    market.claim = presence.Claim(market.name, market.claim.state_directory)


def test_once_prints_a_frame_and_svg_saves_one(
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it is typed: into a pipe, and as a picture; nobody there is one sentence."""

    def top(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["shmx", "top", "--interval", "0.05", *arguments])
        cli.main()
        said = capsys.readouterr()
        return said.out, said.err

    output, errors = top("--name", market.name, "--once")
    assert line_with(output, "commands 2", "order")
    picture = tmp_path / "top.svg"
    assert (errors, top("--name", market.name, "--svg", str(picture))) == ("", ("", ""))
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(SystemExit) as ended:
        top("--name", "nobody", "--once")
    assert ended.value.code == 1
    sentence = "shmx: no exchange named nobody runs here; `shmx run` starts one\n"
    assert capsys.readouterr() == ("", sentence)
