"""The matcher on the five scenarios, publishing to a ring that a reader on another core drains.

Included: taking a command from memory, every check of the matcher, matching, the events with client
order ids, the state hash, one publish per 64 commands, and the reader's pull on the line. Not
included: sockets, command rings, the clock, the recorder. The baseline is a plain Python engine on
the head of the same flow, in the same run; the budget is absolute (20 M messages/s on the slowest).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from perf.naive_engine import NaiveEngine
from shm_exchange.conformance import measure
from shm_exchange.flow import Flow, generate, load
from shm_exchange.flow_commands import tape_of

SCENARIOS = ("static", "normal", "swing-25", "swing-40", "flash-crash")
BUDGET = 20_000_000  # messages/s
RUNS = 9
NAIVE_MESSAGES = 100_000
GENERATED_MESSAGES = 1_000_000
_FLOWS = Path(__file__).resolve().parents[2] / "shared" / "data" / "flows"


def _flow(scenario: str) -> tuple[Flow, str]:
    path = _FLOWS / f"{scenario}-seed23-1000000.npz"
    if path.exists():
        return load(path), path.name
    seed = SCENARIOS.index(scenario)
    return generate(GENERATED_MESSAGES, seed), f"generated, seed {seed}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_matcher(benchmark: Any, scenario: str) -> None:
    """Messages per second, best of several runs, and the naive engine beside it."""
    flow, source = _flow(scenario)
    tape = tape_of(flow)
    started = time.perf_counter()
    NaiveEngine().play(flow, NAIVE_MESSAGES)
    naive = NAIVE_MESSAGES / (time.perf_counter() - started)
    speed = benchmark.pedantic(measure, args=(tape, RUNS), rounds=1)
    rate = flow.messages / speed.seconds
    benchmark.extra_info.update(
        {
            "flow": source,
            "messages_per_second": round(rate),
            "naive_messages_per_second": round(naive),
            "ratio": round(rate / naive, 1),
            "budget": BUDGET,
            "met": bool(rate >= BUDGET),
            "records_read": speed.records_read,
        }
    )
    assert speed.records_read >= speed.events
