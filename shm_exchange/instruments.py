"""Shell: the instruments as configured, and their rows in the market.

Prices in the configuration are decimal; in the market they are ticks. The subscript of an
instrument is its place among those of its engine in the configuration: append new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from shm_exchange.market import INSTRUMENT
from shm_exchange.messages import QUANTITY_MAX
from shm_exchange.settings import Table

PRICE_UNIT = Decimal("0.0001")  # OUCH and ITCH prices have four implied decimals
PRICE_LIMIT = Decimal("199999.99")  # OUCH 5.0: above it, a price means "market"
SYMBOL_SIZE = 8
FIRM_SIZE = 4
STATE_OPEN = ord("T")  # ITCH H


def decimal_of(value: Any) -> Any:
    """A whole number in the file is a price like any other."""
    return Decimal(value) if type(value) is int else value


_PRICES = f"above 0 and at most {PRICE_LIMIT}"
Price = Annotated[
    Decimal, BeforeValidator(decimal_of), Field(gt=0, le=PRICE_LIMIT, description=_PRICES)
]
PriceOrNone = Annotated[Price | None, Field(description=_PRICES)]


class Instrument(Table):
    """One `[[instrument]]`. price_min and price_max are the price bands, both inclusive."""

    symbol: str = Field(
        pattern=r"^[!-~]{1,8}$", description="1 to 8 printable ASCII characters without spaces"
    )
    engine: int = Field(default=1, ge=1)
    tick: Price
    price_min: PriceOrNone = None  # None: one tick
    price_max: PriceOrNone = None  # None: the largest price that OUCH can say
    lot: int = Field(default=1, ge=1, le=QUANTITY_MAX)
    quantity_max: int = Field(default=QUANTITY_MAX, ge=1, le=QUANTITY_MAX)
    multiplier: Annotated[Decimal, BeforeValidator(decimal_of), Field(gt=0)] = Decimal(1)

    @field_validator("tick")
    @classmethod
    def _tick_fits_the_wire(cls, tick: Decimal) -> Decimal:
        if tick % PRICE_UNIT:
            near = max(1, round(tick / PRICE_UNIT)) * PRICE_UNIT
            raise ValueError(f"{tick:f} is not a multiple of {PRICE_UNIT}; write {near:f}")
        return tick

    @field_validator("price_min", "price_max")
    @classmethod
    def _band_is_a_price(cls, price: Decimal | None, known: ValidationInfo) -> Decimal | None:
        tick, price_min = known.data.get("tick"), known.data.get("price_min")
        if price is None or tick is None:
            return price
        if price % tick:
            near = max(1, round(price / tick)) * tick
            raise ValueError(f"{price:f} is not a multiple of the tick; write {near:f}")
        if price_min is not None and price < price_min:
            raise ValueError(f"{price:f} is below price_min {price_min:f}; exchange them")
        return price

    @field_validator("quantity_max")
    @classmethod
    def _largest_order_holds_a_lot(cls, quantity: int, known: ValidationInfo) -> int:
        lot = known.data.get("lot", 1)
        if quantity < lot:
            raise ValueError(f"{quantity} is less than one lot; write at least {lot}")
        return quantity

    @property
    def tick_units(self) -> int:
        """Size of a tick in units of 0.0001."""
        return int(self.tick / PRICE_UNIT)

    @property
    def price_min_ticks(self) -> int:
        """Lower band in ticks."""
        return 1 if self.price_min is None else int(self.price_min / self.tick)

    @property
    def price_max_ticks(self) -> int:
        """Upper band in ticks. Always fits 31 bits: 199,999.99 / 0.0001 does."""
        return int((self.price_max or PRICE_LIMIT) // self.tick)


def symbol_word(symbol: str) -> int:
    """The symbol as the market stores it: its 8 bytes on the wire, read as little-endian int64."""
    return int.from_bytes(symbol.encode("ascii").ljust(SYMBOL_SIZE), "little", signed=True)


def symbol_text(word: int) -> str:
    """The inverse of `symbol_word`."""
    return int(word).to_bytes(SYMBOL_SIZE, "little", signed=True).decode("ascii").rstrip()


def firm_word(firm: str) -> int:
    """The same of a firm: its 4 bytes on the wire, read as little-endian int32."""
    return int.from_bytes(firm.encode("ascii").ljust(FIRM_SIZE), "little", signed=True)


def instrument_rows(instruments: Sequence[Instrument]) -> np.ndarray:
    """INSTRUMENT[n] for `create_market`: everything open, nothing listed yet."""
    rows = np.zeros(len(instruments), INSTRUMENT.dtype)
    for row, instrument in zip(rows, instruments, strict=True):
        row["symbol"] = symbol_word(instrument.symbol)
        row["tick"] = instrument.tick_units
        row["price_min"] = instrument.price_min_ticks
        row["price_max"] = instrument.price_max_ticks
        row["lot"] = instrument.lot
        row["quantity_max"] = instrument.quantity_max
        row["state"] = STATE_OPEN
    return rows
