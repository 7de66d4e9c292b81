"""Shell: draws the book of an instrument of a running exchange in the terminal, as it changes.

    python -m shm_exchange.examples.live_book AAPL --name main

Everything comes from shared memory, which is mapped read-only: the exchange does not know that
somebody looks.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shm_exchange import view
from shm_exchange.errors import ExchangeError
from shm_exchange.messages import EventKind
from shm_exchange.view import Follower, View
from shm_exchange.view_replica import Book, Replica

TRADES_SHOWN = 8
_BAR_CELLS = 24
_SVG_WIDTH = 64
_SIDES = (("asks", "red"), ("bids", "green"))


class LiveBook:
    """A book and the last trades of one instrument, and how to draw both."""

    def __init__(self, exchange: View, symbol: str, depth: int) -> None:
        self.replica: Replica = exchange.replica()
        self._events: Follower = exchange.follow()
        self._symbol = symbol
        self._depth = depth
        self._number = [each.symbol for each in exchange.instruments].index(symbol)
        self._tick = float(exchange.instruments[self._number].tick)
        self._trades: deque[tuple[float, int]] = deque(maxlen=TRADES_SHOWN)
        self._missed = 0

    def update(self) -> None:
        """Follow the market to what is published now."""
        self.replica.follow()
        while (batch := self._events.poll()) is not None:
            self._missed += batch.missed
            events = batch.events
            wanted = (events["kind"] == EventKind.EXECUTED) & (events["instrument"] == self._number)
            for each in events[wanted][-TRADES_SHOWN:]:
                self._trades.append((int(each["price"]) * self._tick, int(each["quantity"])))

    def draw(self) -> Table:
        """Both sides with a bar for each level, the best prices in the middle; the last trades."""
        book = self.replica.book(self._symbol, self._depth)
        table = Table(box=None, title=f"{self._symbol} at event {self.replica.position:,}")
        for heading in ("price", "quantity", "orders"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for name, rows in _rows(book):
            for price, quantity, orders, share in rows:
                bar = Text("█" * max(1, round(share * _BAR_CELLS)), style=name)
                table.add_row(Text(f"{price:.4f}", style=name), f"{quantity}", f"{orders}", bar)
            table.add_section()
        trades = "  ".join(f"{quantity} @ {price:.4f}" for price, quantity in self._trades)
        lost = f" ({self._missed:,} events were missed)" if self._missed else ""
        table.caption = f"last trades: {trades or 'none yet'}{lost}"
        return table


def _rows(book: Book) -> Iterator[tuple[str, list[tuple[float, int, int, float]]]]:
    """(color, levels) from the worst ask down to the worst bid; with shares of the largest."""
    largest = max((int(each["quantity"].max()) for each in book if len(each)), default=1)
    for name, color in _SIDES:
        levels: np.ndarray = getattr(book, name)
        ordered = levels[::-1] if name == "asks" else levels
        rows = [
            (
                float(row["price"]),
                int(row["quantity"]),
                int(row["orders"]),
                row["quantity"] / largest,
            )
            for row in ordered
        ]
        yield color, rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw until Ctrl-C, or until the exchange ends."""
    parser = argparse.ArgumentParser(prog="live_book", description="A live book in the terminal.")
    parser.add_argument("symbol", nargs="?", default="AAPL")
    parser.add_argument("--name", default="main", help="of the exchange")
    parser.add_argument("--depth", type=int, default=10, help="levels of each side")
    parser.add_argument("--interval", type=float, default=0.2, help="seconds")
    parser.add_argument("--once", action="store_true", help="draw it once, after an interval")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="the same, as a picture")
    chosen = parser.parse_args(arguments)
    try:
        with view.open(chosen.name, _engine_of(chosen.name, chosen.symbol)) as exchange:
            book = LiveBook(exchange, chosen.symbol, chosen.depth)
            if chosen.once or chosen.svg:
                time.sleep(chosen.interval)
                book.update()
                _draw_once(book, chosen.svg)
                return
            _run(exchange, book, chosen.interval)
    except ExchangeError as error:
        parser.exit(1, f"live_book: {error}\n")
    except KeyboardInterrupt:
        return


def _engine_of(name: str, symbol: str) -> int:
    """The engine that has the instrument."""
    with view.open(name) as exchange:
        for each in exchange.configuration.instruments:
            if each.symbol == symbol:
                return each.engine
        known = ", ".join(each.symbol for each in exchange.configuration.instruments[:20])
    raise ExchangeError(f"there is no instrument {symbol}; known are {known}")


def _draw_once(book: LiveBook, picture: Path | None) -> None:
    if picture is None:
        Console().print(book.draw())
        return
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=_SVG_WIDTH, file=nowhere, force_terminal=True)
        console.print(book.draw())
    picture.write_text(console.export_svg(title="live_book"), encoding="utf-8")


def _run(exchange: View, book: LiveBook, seconds: float) -> None:
    with Live(book.draw(), refresh_per_second=1 / seconds) as screen:
        while exchange.is_alive():
            time.sleep(seconds)
            book.update()
            screen.update(book.draw())


if __name__ == "__main__":
    main()
