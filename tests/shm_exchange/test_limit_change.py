"""Goal: `shmx limits` takes what the configuration takes, and says what it does not.

Method: requests to the supervisor; what it would tell an engine is kept.
"""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
import pytest
from pydantic import ValidationError

from shm_exchange import limit_change
from shm_exchange.config import built_in
from shm_exchange.errors import ArgumentError
from shm_exchange.limit_kinds import Limit
from shm_exchange.session_limits import Limits
from shm_exchange.wiring import Wiring

POSITION_MAX, NOTIONAL_MAX = (1 << 62) - 1, ((1 << 62) - 1) // 10_000
NO_LIMIT, AS_CONFIGURED = -1, 0  # of a command


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(limit, value) of each command that was offered."""
    found: list[tuple[int, int]] = []

    def offer(_: Wiring, commands: np.ndarray) -> bool:
        found.extend((int(each["reason"]), int(each["client_order_id_0"])) for each in commands)
        return True

    monkeypatch.setattr(limit_change, "offer", offer)
    return found


def change(**limits: object) -> dict[str, Any]:
    """`shmx limits S01 ...`."""
    configuration = built_in()
    request = {"session": configuration.sessions[0].username, "limits": limits}
    return limit_change.begin(configuration, {1: cast(Wiring, None)}, lambda engine: None, request)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7),
        (7, 7),
        ("none", NO_LIMIT),
        ("0", NO_LIMIT),
        (0, NO_LIMIT),
        (None, AS_CONFIGURED),
    ],
)
def test_a_value(told: list[tuple[int, int]], value: object, expected: int) -> None:
    """0 is no limit, as in the configuration."""
    assert change(position=value)["changed"] == 1
    assert told == [(Limit.POSITION, expected)]


def test_an_amount(told: list[tuple[int, int]]) -> None:
    """In units of 0.0001; 0 is no limit either."""
    change(order_notional="12.5")
    change(order_notional="0.00")
    assert told == [(Limit.ORDER_NOTIONAL, 125_000), (Limit.ORDER_NOTIONAL, NO_LIMIT)]


@pytest.mark.parametrize(
    "value", ["-1", "0.5", "some", "nan", "snan", "inf", "1e999999999", "", "1.5"]
)
def test_what_is_no_value(told: list[tuple[int, int]], value: str) -> None:
    """One sentence says what is."""
    said = f"{value} is no position; give a whole number from 0 to {POSITION_MAX}, "
    with pytest.raises(ArgumentError, match=f"^{re.escape(said)}`none` or `default`$"):
        change(position=value)
    assert told == []


@pytest.mark.parametrize(
    ("name", "bound"),
    [("position", POSITION_MAX), ("order_notional", NOTIONAL_MAX), ("price_deviation", 1_000_000)],
)
def test_the_bound_is_that_of_the_configuration(
    told: list[tuple[int, int]], name: str, bound: int
) -> None:
    """The largest value passes, and whoever names a larger one is told of it."""
    change(**{name: bound})
    with pytest.raises(ArgumentError, match=f"number from 0 to {bound}, "):
        change(**{name: bound + 1})
    with pytest.raises(ValidationError):
        Limits.model_validate({name: bound + 1})
    assert len(told) == 1 and Limits.model_validate({name: bound})
