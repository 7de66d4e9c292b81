"""The matcher on the five scenarios, publishing to a ring that a reader on another core drains.

Included: taking a command from memory, every check of the matcher, matching, the events with client
order ids, the state hash, one publish per 64 commands, and the reader's pull on the line. Not
included: sockets, command rings, the clock, the recorder. The baseline is a plain Python engine on
the head of the same flow, in turns with ours; the best run of each counts. The budget is absolute
(20 M messages/s on the slowest).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from perf.naive_engine import NaiveEngine
from perf.results_file import MORE, in_turns
from shm_exchange.conformance import Speed, measure
from shm_exchange.flow import Flow, generate, load
from shm_exchange.flow_commands import tape_of

SCENARIOS = ("static", "normal", "swing-25", "swing-40", "flash-crash")
BUDGET = 20_000_000  # messages/s
TURNS, RUNS = 5, 2  # a turn starts a reader of its own
NAIVE_MESSAGES = 50_000
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
    ours: list[Speed] = []
    naive_rates: list[float] = []

    def turns() -> None:
        for _ in range(TURNS):
            ours.append(measure(tape, RUNS))
            started = time.perf_counter()
            NaiveEngine().play(flow, NAIVE_MESSAGES)
            naive_rates.append(NAIVE_MESSAGES / (time.perf_counter() - started))

    benchmark.pedantic(turns, rounds=1)
    rates = [flow.messages / each.seconds for each in ours]
    rate, naive = max(rates), max(naive_rates)
    benchmark.extra_info.update(
        {
            "flow": source,
            "messages_per_second": round(rate),
            "naive_messages_per_second": round(naive),
            "ratio": round(rate / naive, 1),
            "budget": BUDGET,
            "met": bool(rate >= BUDGET),
            "records_read": sum(each.records_read for each in ours),
            "rounds": in_turns(rates, naive_rates, MORE),
        }
    )
    assert all(each.records_read >= each.events for each in ours)
