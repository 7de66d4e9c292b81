"""Shell: matching engines and ITCH readers of others, from the extra `peers`, on our flows.

Each engine takes new orders and cancels; what an engine has no word for is put together from these,
as its user would: immediate-or-cancel is an order and a cancel, a modify is a cancel and an order.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

from shm_exchange.flow import CANCEL, MODIFY, NEW, Flow

REMEDY = "is not installed: .venv/bin/python -m pip install -e '.[peers]'"


class PeerMissingError(Exception):
    """A package of the extra `peers` is not there; the message says how to install it."""


class Engine(Protocol):
    """What an engine of somebody else is asked to do."""

    def add(self, side: int, price: int, quantity: int) -> tuple[Any, int]:
        """Trade, rest; what cancels it later, and lots traded."""

    def cancel(self, handle: Any) -> bool:
        """Take it out; whether it was still there."""


def package(name: str) -> Any:
    """The module. Raises PeerMissingError."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PeerMissingError(f"{name} {REMEDY}") from error


class LightMatchingEngine:
    """`lightmatchingengine`: plain Python, dictionaries of lists."""

    PACKAGE = "lightmatchingengine"

    def __init__(self) -> None:
        self._engine = package("lightmatchingengine.lightmatchingengine").LightMatchingEngine()

    def add(self, side: int, price: int, quantity: int) -> tuple[Any, int]:
        """side 0 buys."""
        order, _ = self._engine.add_order("AAPL", price, quantity, 1 + side)
        return order, order.cum_qty

    def cancel(self, handle: Any) -> bool:
        """It keeps filled orders, and must not be asked for them."""
        if not handle.leaves_qty:
            return False
        return self._engine.cancel_order(handle.order_id, "AAPL") is not None


class LiteBook:
    """`litebook`: Rust below Python."""

    PACKAGE = "litebook"

    def __init__(self) -> None:
        module = package("litebook")
        self._book = module.OrderBook(tick_size=1.0)
        self._sides = (module.OrderType.Buy, module.OrderType.Sell)

    def add(self, side: int, price: int, quantity: int) -> tuple[Any, int]:
        """side 0 buys."""
        order = self._book.create_order(self._sides[side], float(price), float(quantity))
        fills = self._book.add(order)
        return order.id, round(sum(fill.quantity for fill in fills))

    def cancel(self, handle: Any) -> bool:
        """It knows which are still there."""
        return bool(self._book.cancel(handle))


ENGINES: tuple[type[LightMatchingEngine] | type[LiteBook], ...] = (LightMatchingEngine, LiteBook)


def play(engine: Engine, flow: Flow) -> int:
    """The whole flow; lots traded."""
    lots, handles = 0, {}
    rows = zip(
        flow.kind.tolist(),
        flow.side.tolist(),
        flow.ioc.tolist(),
        flow.quantity.tolist(),
        flow.order_id.tolist(),
        flow.price_ticks.tolist(),
        strict=True,
    )
    for kind, side, ioc, quantity, number, price in rows:
        assert kind in (NEW, CANCEL, MODIFY)
        if kind != NEW:
            found = handles.pop(number, None)
            was_there = found is not None and engine.cancel(found)
            if kind == CANCEL or not was_there:
                continue
        handle, traded = engine.add(side, price, quantity)
        lots += traded
        if ioc:
            engine.cancel(handle)
        elif traded < quantity:
            handles[number] = handle
    return lots


def _by_stream(module: str) -> Callable[[list[bytes]], int]:
    parser = package(module).MessageParser()

    def read(messages: list[bytes]) -> int:
        stream = b"".join(len(each).to_bytes(2, "big") + each for each in messages)
        return sum(1 for _ in parser.parse_stream(stream))

    return read


def _by_meatpy() -> Callable[[list[bytes]], int]:
    processor = package("meatpy.itch50").ITCH50MarketProcessor
    message = package("meatpy.itch50.itch50_market_message").ITCH50MarketMessage

    def read(messages: Iterable[bytes]) -> int:
        book, count = processor("AAPL", datetime(2026, 1, 1)), 0
        for each in messages:
            book.process_message(message.from_bytes(each))
            count += 1
        return count

    return read


READERS: dict[str, Callable[[], Callable[[list[bytes]], int]]] = {
    "itchfeed": lambda: _by_stream("itch.parser"),
    "itchcpp": lambda: _by_stream("itchcpp"),
    "meatpy": _by_meatpy,
}
