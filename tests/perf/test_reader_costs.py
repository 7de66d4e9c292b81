"""Goal: a reader that costs the matcher something is seen, wherever among 64 its cost lies.

Method: seconds with a planted cost, on a machine whose speed differs from round to round.
"""

from __future__ import annotations

import numpy as np
import pytest

from perf.test_growth import READERS, _reader_costs

ROUNDS = 12


def seconds(*steps: float) -> np.ndarray:
    """float64[rounds, numbers of readers]; steps: of each what it adds."""
    random = np.random.default_rng(1)
    machine = 1 + random.exponential(0.3, (ROUNDS, 1))
    return machine * np.cumprod(np.array([1.0, *steps])) * np.ones((1, len(READERS)))


def test_nothing_costs_nothing() -> None:
    """However the machine's speed changes between rounds."""
    found = _reader_costs(seconds(1, 1, 1, 1))
    assert found["first_reader_costs"] == 0 and found["worst_step_costs"] == 0
    assert found["one_more_reader_costs"] == 0


@pytest.mark.parametrize("step", range(len(READERS) - 1))
def test_a_step_is_found(step: int) -> None:
    """The mean of 63 readers hides a tenth; its step does not."""
    costs = [1.0] * (len(READERS) - 1)
    costs[step] = 1.1
    found = _reader_costs(seconds(*costs))
    assert list(found["steps_cost"].values())[step] == pytest.approx(0.1)
    assert (found["first_reader_costs"] == pytest.approx(0.1)) == (step == 0)
    added = READERS[step + 1] - READERS[step]
    wanted = 0.1 / added if step else 0.0
    assert found["worst_step_costs"] == pytest.approx(wanted, abs=1e-5)
