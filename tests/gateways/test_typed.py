"""Goal: a value that the wire cannot carry is a ValueError that says which value, and why.

Method: prices and fields one by one; what just fits is packed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateways.ouch.messages import CANCEL_REQUEST
from gateways.ouch.private_quotes import QUOTE
from gateways.typed import PRICE_MAX, pack, to_price, wire_price


@pytest.mark.parametrize("price", ["abc", "", "100,5", None, True, "sNaN", "NaN", "inf", b"1"])
def test_what_is_no_finite_number_is_no_price(price: Any) -> None:
    for function in (to_price, wire_price):
        with pytest.raises(ValueError, match=r"^bid_price .* is no (finite )?number$"):
            function(price, "bid_price")


@pytest.mark.parametrize(
    "price", ["NaN", "sNaN", "Infinity", "-Infinity", "1e30", "-1e999999", "1e1000000"]
)
def test_decimals_beyond_the_wire(price: str) -> None:
    """Those that decimal arithmetic itself refuses too."""
    with pytest.raises(ValueError, match=r"^price .* (is no finite number|is not within .*)$"):
        wire_price(Decimal(price))


def test_the_first_and_the_last_price() -> None:
    assert wire_price(PRICE_MAX) == 2**64 - 1
    assert wire_price(-PRICE_MAX) == 1 - 2**64  # of a tag that is an offset
    for small in ("0.00001", "1e-1000000"):
        with pytest.raises(ValueError, match="more than four decimals"):
            wire_price(Decimal(small))


def test_fields_just_fit_or_are_named() -> None:
    largest = 2**32 - 1
    message = pack(CANCEL_REQUEST, "X", user_ref_num=0, quantity=largest)
    assert message == b"X" + bytes(4) + 4 * b"\xff"
    for wrong in (-1, largest + 1, 1.5, None, "7"):
        with pytest.raises(ValueError) as caught:
            pack(CANCEL_REQUEST, "X", user_ref_num=1, quantity=wrong)
        said = f"quantity {wrong!r} is not a whole number from 0 to 4294967295"
        assert str(caught.value) == said


def test_a_price_that_does_not_fit_is_said_as_a_price() -> None:
    sides = {"bid_quantity": 1, "ask_quantity": 1, "bid_price": Decimal(1)}
    with pytest.raises(
        ValueError, match=r"^ask_price -2 is not within 0 and 1844674407370955.1615$"
    ):
        pack(QUOTE, "", quote_id=1, symbol="A", ask_price=Decimal(-2), **sides)
