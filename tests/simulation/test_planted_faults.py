"""Goal: the simulation finds what it is there to find.

Method: each fault is a small change to one kernel, planted before the first seed; the simulation
must stop at a violation within a thousand seeds. Some are faults that it has found. (It runs one
process at a time, so it finds what is stored in a wrong order, not a fence that is missing: that
is for tests/litmus.)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent.parent
SEEDS = 1000
FAULTS = (
    "commit_before_the_last_record",
    "consumed_before_published",
    "succeed_the_living",
    "generation_is_not_checked",
    "claimed_is_lowered",
    "consumed_is_not_rewritten",
    "tail_is_not_applied",
    "overwritten_is_not_asked",
    "gate_is_not_asked",
    "epoch_ends_the_command",
    "refusal_is_committed_later",
    "death_is_charged_twice",
    "suspect_waits_for_its_turn",
    "only_sweeps_are_given_up",
    "handover_leaves_half_a_command",
    "orders_of_the_dead_stay",
    "commands_come_before_the_new_streams",
    "clients_stay_when_the_day_rolls",
)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS), "--fault", fault],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1 and "violations 1" in finished.stdout, finished.stderr
    assert "seed " in finished.stderr and "Violation" in finished.stderr
