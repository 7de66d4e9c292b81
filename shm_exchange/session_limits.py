"""Shell: the limits of sessions as the configuration says them, and as kernels know them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Protocol

import numpy as np
from pydantic import BeforeValidator, Field

from shm_exchange.instruments import decimal_of
from shm_exchange.limit_kinds import Limit
from shm_exchange.market import LIMIT_COUNT
from shm_exchange.settings import Table

_PRICE_UNITS = 10_000  # of OUCH: four decimals
LARGEST = (1 << 62) - 1


class Limits(Table):
    """`limits` of a session: what it may ask at most. 0: no limit."""

    order_quantity: int = Field(default=0, ge=0, le=LARGEST)
    order_notional: Annotated[Decimal, BeforeValidator(decimal_of)] = Field(
        default=Decimal(0), ge=0, le=LARGEST // _PRICE_UNITS
    )
    price_deviation: int = Field(default=0, ge=0, le=1_000_000)
    open_orders: int = Field(default=0, ge=0, le=LARGEST)
    position: int = Field(default=0, ge=0, le=LARGEST)
    messages_per_second: int = Field(default=0, ge=0, le=LARGEST)
    symbol_messages_per_second: int = Field(default=0, ge=0, le=LARGEST)


NAMES = dict(zip(Limits.model_fields, Limit, strict=True))


class Limited(Protocol):
    """Whoever has limits."""

    @property
    def limits(self) -> Limits:
        """As configured."""
        ...


def largest(name: str) -> int:
    """The largest value of a limit, in the unit that its table has."""
    (bound,) = (each.le for each in Limits.model_fields[name].metadata if hasattr(each, "le"))
    return int(bound)


def limit_value(which: Limit, value: int | Decimal) -> int:
    """A limit as kernels know it: notional in units of 0.0001."""
    return int(value * _PRICE_UNITS) if which is Limit.ORDER_NOTIONAL else int(value)


def limit_rows(sessions: Sequence[Limited]) -> np.ndarray:
    """int64[8 * sessions], by Limit."""
    rows = np.zeros((len(sessions), LIMIT_COUNT), np.int64)
    for row, session in zip(rows, sessions, strict=True):
        for name, which in NAMES.items():
            row[which] = limit_value(which, getattr(session.limits, name))
    return rows.reshape(-1)
