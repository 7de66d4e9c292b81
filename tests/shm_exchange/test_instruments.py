"""Goal: what is configured in decimals reaches the market in ticks, exactly.

Method: rows of chosen instruments, and symbols there and back under hypothesis.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shm_exchange.config import built_in
from shm_exchange.instruments import (
    PRICE_LIMIT,
    PRICE_UNIT,
    Instrument,
    instrument_rows,
    symbol_text,
    symbol_word,
)
from shm_exchange.market import INSTRUMENT, create_market


def instrument(**values: Any) -> Instrument:
    """An instrument of `values`, otherwise symbol X with tick 0.01."""
    return Instrument.model_validate({"symbol": "X", "tick": Decimal("0.01")} | values)


def test_rows_of_the_built_in_instruments() -> None:
    """Tick in 0.0001, bands in ticks from one tick to the last price that OUCH can say."""
    rows = instrument_rows(built_in().instruments)
    assert rows.dtype == INSTRUMENT.dtype
    assert rows["symbol"].tobytes() == b"AAPL    BTC-PERPETH-PERPTEST    "
    assert rows["tick"].tolist() == [100, 5000, 500, 1]
    assert rows["price_min"].tolist() == [1, 1, 1, 1]
    assert rows["price_max"].tolist() == [19_999_999, 399_999, 3_999_999, 1_999_999_900]
    assert set(rows["quantity_max"]) == {999_999}
    assert set(rows["state"]) == {ord("T")}
    assert not rows["listed"].any()


def test_bands_in_ticks() -> None:
    """Whole numbers and decimals alike."""
    each = instrument(tick=Decimal("0.25"), price_min=5, price_max=Decimal("7.5"))
    assert (each.tick_units, each.price_min_ticks, each.price_max_ticks) == (2500, 20, 30)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"symbol": ""}, "pattern"),
        ({"symbol": "A B"}, "pattern"),
        ({"symbol": "Ä"}, "pattern"),
        ({"tick": Decimal(0)}, "greater than 0"),
        ({"tick": 0.01}, "Decimal"),
        ({"tick": True}, "Decimal"),
        ({"tick": Decimal("NaN")}, "finite"),
        ({"tick": Decimal("200000")}, "less than or equal"),
        ({"price_min": Decimal("0.005")}, "write 0.01"),
        ({"price_max": Decimal("200000")}, "less than or equal"),
        ({"price_min": 2, "price_max": 1}, "exchange them"),
        ({"lot": 100, "quantity_max": 99}, "at least 100"),
        ({"lot": 0}, "greater than or equal to 1"),
    ],
)
def test_what_the_wire_cannot_say_is_refused(values: dict[str, Any], complaint: str) -> None:
    """Before any process starts."""
    with pytest.raises(ValidationError, match=complaint):
        instrument(**values)


@given(st.from_regex(r"[!-~]{1,8}", fullmatch=True))
def test_a_symbol_survives_the_market(symbol: str) -> None:
    """Eight bytes, padded with spaces, as one word and back."""
    word = symbol_word(symbol)
    assert -(1 << 63) <= word < 1 << 63
    assert symbol_text(word) == symbol


@given(st.integers(1, 10_000))
def test_the_default_bands_are_the_widest(tick: int) -> None:
    """The upper band is on a tick, within the limit, and one tick more would not be."""
    each = instrument(tick=tick * PRICE_UNIT)
    highest = each.price_max_ticks * each.tick
    assert highest <= PRICE_LIMIT < highest + each.tick
    assert each.price_max_ticks < 1 << 31


def test_a_market_of_the_rows_can_be_created() -> None:
    """The widest book fits the price trees."""
    market = create_market(instrument_rows(built_in().instruments), 1, page_limit=1 << 10)
    assert len(market.sides) == 8
