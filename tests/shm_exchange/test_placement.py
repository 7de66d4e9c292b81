"""Goal: processes wait and are pinned as the host allows, and impossible cores are refused.

Method: configurations on hosts of different sizes; nothing is pinned here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shm_exchange.config import Configuration, Engine, Exchange, built_in
from shm_exchange.placement import check_cores, matcher_cores, waiting_policy
from shm_exchange.settings import ConfigurationError


def configured(*engines: dict[str, Any], waiting: str = "auto") -> Configuration:
    """The built-in configuration with other engines."""
    return replace(
        built_in(),
        exchange=Exchange.model_validate({"waiting": waiting}),
        engines=tuple(Engine.model_validate(each) for each in engines or ({},)),
    )


@pytest.mark.parametrize(
    ("waiting", "core_count", "policy"),
    [
        ("auto", 2, "park"),
        ("auto", 4, "park"),  # matcher, standby, two gateways: one core too few
        ("auto", 5, "spin"),
        ("spin", 2, "spin"),
        ("yield", 64, "yield"),
        ("park", 64, "park"),
    ],
)
def test_waiting_follows_from_the_cores(waiting: str, core_count: int, policy: str) -> None:
    """Spinning is for hosts where each hot process has a core, and one is left."""
    assert waiting_policy(configured(waiting=waiting), core_count) == policy


@pytest.mark.parametrize(
    ("engines", "cores", "expected"),
    [
        ([{}], range(2), {1: None}),
        ([{}], range(4), {1: 3}),
        ([{}], (0, 1, 4, 9), {1: 9}),
        ([{"matcher_core": 1}], range(2), {1: 1}),
        ([{"matcher_core": 3}, {"id": 2}], range(4), {1: 3, 2: 2}),
        ([{}, {"id": 2}, {"id": 3}], range(4), {1: 3, 2: 2, 3: None}),
        ([{"standby_core": 3}], range(4), {1: 2}),
    ],
)
def test_matchers_get_the_highest_cores(
    engines: list[dict[str, Any]], cores: tuple[int, ...], expected: dict[int, int | None]
) -> None:
    """Named cores first; the others only on a host that can spare them."""
    assert matcher_cores(configured(*engines), cores) == expected


def test_a_core_that_does_not_exist_is_refused() -> None:
    """With the role it was meant for and those that can be named."""
    check_cores(configured({"matcher_core": 1}), (0, 1))
    with pytest.raises(
        ConfigurationError, match="no core 7 for the standby of engine 1; usable are 0, 1"
    ):
        check_cores(configured({"standby_core": 7}), (0, 1))
