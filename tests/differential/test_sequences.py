"""Goal: a sample of the sequences that `make oracle` plays, and proof that it would notice.

Method: a few markets, in which every feature has to take part; then the naive exchange is given a
fault, one at a time, and the difference must be found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.differential.meetings import FEATURES
from tests.differential.sequences import Difference, play
from tests.oracle.exchange import Exchange

SEED, MARKETS = 4, 10

FAULTS: dict[str, Callable[..., Any]] = {
    "_is_own": lambda exchange, order, maker: False,
    "_guard": lambda exchange, order: "R" if order.tags.get(131) else "",
    "_fillable": lambda exchange, order, other: order.leaves,
    "_cancel_for_the_gone": lambda exchange: None,
}


def test_every_feature_takes_part_and_nothing_differs() -> None:
    """Not only are all asked for: each of them happens."""
    sequences, _, meetings = play(SEED, 0, MARKETS)
    missing = [name for name in FEATURES if meetings.sequences[name, name] < sequences // 100]
    assert not missing


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong on one side only, wherever it is."""
    monkeypatch.setattr(Exchange, name, FAULTS[name])
    with pytest.raises(Difference, match=f"seed {SEED}, market "):
        play(SEED, 0, MARKETS)
