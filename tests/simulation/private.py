"""Private memory of the simulated processes: markets, and what an order gateway keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from shm_exchange import market as declared
from shm_exchange.market import Market
from shm_exchange.messages import ORDER_TAGS
from tests.simulation.memory import DenseRows, SparseRows, SparseWords, zero_row

SLOTS_PER_GATEWAY = 24
INSTRUMENTS = 2
PRICE_FIRST, PRICE_LAST = 1, 400
SYMBOLS = (0x2020_2020_2020_4141, 0x2020_2020_2020_4242)
_COUNTS = {"orders": 64 << 24, "levels": 64 << 20, "page_limit": 1 << 20}


@dataclass(frozen=True)
class Settings:
    """What a configuration would say."""

    sessions: int
    cancel_on_disconnect: tuple[int, ...]

    def cancels(self, session: int) -> bool:
        """Whether the orders of a session go with its login."""
        return bool(self.cancel_on_disconnect[session])


def _rows(array: np.ndarray) -> DenseRows:
    names = [name for name in array.dtype.names or () if array.dtype[name].shape == ()]
    return DenseRows({name: int(row[name]) for name in names} for row in array)


@cache
def _template(sessions: int) -> dict[str, Any]:
    """What `create_market` makes, as far as it is not zero."""
    instruments = np.zeros(INSTRUMENTS, declared.INSTRUMENT.dtype)
    for row, symbol in zip(instruments, SYMBOLS, strict=True):
        row["symbol"], row["tick"], row["lot"] = symbol, 100, 1
        row["price_min"], row["price_max"] = PRICE_FIRST, PRICE_LAST
        row["quantity_max"], row["state"] = 999_999, ord("T")
    made = declared.create_market(
        instruments,
        sessions,
        gateway_count=2,
        slots_per_gateway=SLOTS_PER_GATEWAY,
        page_limit=64,
    )
    names = ("sides", "instruments", "sessions", "gateways", "scalars")
    return {name: _rows(getattr(made, name)) for name in names}


def new_market(settings: Settings) -> Market:
    """An empty market, as configured."""
    template = _template(settings.sessions)
    pages = 1 << 20
    links = SparseRows(zero_row(declared.SESSION_LINK), 64 << 24)
    for own in range(1, settings.sessions + 1):
        links[own]["next"] = links[own]["previous"] = own
    market = Market(
        session_links=links,  # type: ignore[arg-type]
        orders=SparseRows(zero_row(declared.ORDER), 64 << 24),  # type: ignore[arg-type]
        levels=SparseRows(zero_row(declared.LEVEL), 64 * pages),  # type: ignore[arg-type]
        leaf_words=SparseWords(pages),  # type: ignore[arg-type]
        node_words=SparseWords(pages),  # type: ignore[arg-type]
        node_children=SparseWords(64 * pages),  # type: ignore[arg-type]
        branches=SparseRows(zero_row(declared.BRANCH), 64 * INSTRUMENTS),  # type: ignore[arg-type]
        tags=SparseRows(zero_row(ORDER_TAGS), 64 << 24),  # type: ignore[arg-type]
        expiries=SparseRows(zero_row(declared.EXPIRY), 1 << 10),  # type: ignore[arg-type]
        protections=SparseRows(zero_row(declared.PROTECTION), 1 << 13),  # type: ignore[arg-type]
        fills=SparseRows(zero_row(declared.FILL), 1 << 21),  # type: ignore[arg-type]
        quotes=SparseWords(1 << 19),  # type: ignore[arg-type]
        user_refs=SparseWords(256 * settings.sessions),  # type: ignore[arg-type]
        positions=SparseWords(settings.sessions * INSTRUMENTS),  # type: ignore[arg-type]
        limits=SparseWords(declared.LIMIT_COUNT * settings.sessions),  # type: ignore[arg-type]
        **{name: DenseRows(map(dict, rows)) for name, rows in template.items()},
    )
    for row, value in zip(market.sessions, settings.cancel_on_disconnect, strict=True):
        row["cancel_on_disconnect"] = value
    return market


def difference(market: Market, other: Market, *, replicas: bool) -> str:
    """Where two markets differ, or nothing. replicas: both of them count messages."""
    market_rows = ("orders", "session_links", "levels", "branches", "tags", "expiries")
    for name in (*market_rows, "protections", "fills"):
        mine, theirs = getattr(market, name).touched(), getattr(other, name).touched()
        if mine != theirs:
            return f"{name}: {_first_difference(mine, theirs)}"
    trees = ("leaf_words", "node_words", "node_children")
    words = (*trees, "user_refs", "limits", "quotes")
    for name in words + (("positions",) if replicas else ()):
        mine, theirs = getattr(market, name).touched(), getattr(other, name).touched()
        if mine != theirs:
            return f"{name}: {_first_difference(mine, theirs)}"
    for name in ("sides", "instruments", "sessions", "gateways", "scalars"):
        own = ("messages", "feed_messages", "attested", "differs", "price_last")
        counted = () if replicas else own
        mine = _numbered(getattr(market, name), counted)
        theirs = _numbered(getattr(other, name), counted)
        if mine != theirs:
            return f"{name}: {_first_difference(mine, theirs)}"
    return ""


def _numbered(rows: Any, without: tuple[str, ...]) -> dict[int, dict[str, int]]:
    return {
        number: {name: value for name, value in row.items() if name not in without}
        for number, row in enumerate(rows)
    }


def _first_difference(mine: dict[int, Any], theirs: dict[int, Any]) -> str:
    for number in sorted(mine.keys() | theirs.keys()):
        if mine.get(number) != theirs.get(number):
            return f"{number}: {mine.get(number)} and {theirs.get(number)}"
    return ""
