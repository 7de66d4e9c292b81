"""Shell: an exchange looked at again and again, and how fast its counters grow meanwhile.

Attached once, read-only; a look reads a few hundred words and asks nobody.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from shm_exchange import latencies, presence, status
from shm_exchange.latencies import Histograms
from shm_exchange.top_screen import frame
from shm_exchange.wiring import Wiring

_PIPE_WIDTH = 120
_ONCE_SECONDS_MAX = 1.0  # how long a single frame counts for its rates, at most
# Lists of a status, what a row is known by, and which of its counters have a rate.
_RATES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("engines", ("id",), ("published",)),
    ("processes", ("engine", "process", "pid"), ("work", "loops")),
    ("rings", ("engine", "ring", "source"), ("published",)),
    ("journals", ("engine",), ("syncs", "sync_seconds")),
)


class Watch:
    """Looks at the exchange of a name, whoever has it. Use as a context manager."""

    def __init__(self, name: str) -> None:
        """Raises NotRunningError."""
        self._name = name
        self._segments = ExitStack()
        self._supervisor = 0
        self._wirings: dict[int, Wiring] = {}
        self._before: dict[str, Any] | None = None
        self._since = 0.0
        self._counted: dict[int, Histograms] = {}
        self.look()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._segments.close()

    def look(self) -> dict[str, Any]:
        """The status of this moment, with the rates since the last look; see `add_rates`.

        Raises NotRunningError once the exchange has ended.
        """
        running = presence.find(self._name)
        if running["pid"] != self._supervisor:  # another one, with segments of its own
            self._segments.close()
            self._wirings = self._segments.enter_context(status.attached(self._name, running))
            self._supervisor, self._before, self._counted = running["pid"], None, {}
        found = status.describe(running, self._wirings, time.time_ns())
        now = time.monotonic()
        add_rates(found, self._before, now - self._since)
        found["latencies"] = self._latencies()
        self._before, self._since = found, now
        return found

    def _latencies(self) -> list[dict[str, Any]]:
        """Those of orders since the last look."""
        before, self._counted = (
            self._counted,
            {number: latencies.read(self._name, number) for number in self._wirings},
        )
        return [
            row
            for number, counted in self._counted.items()
            for row in latencies.rows(number, latencies.since(counted, before.get(number, {})))
        ]


def add_rates(found: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> None:
    """Give each counter its growth per second as NAME_rate; None for who was not there before."""
    for name, keys, counters in _RATES:
        rows = before[name] if before else []
        earlier = {tuple(row[key] for key in keys): row for row in rows}
        for row in found[name]:
            old = earlier.get(tuple(row[key] for key in keys))
            for counter in counters:  # those of a process that was started again begin at 0
                growth = None if old is None else max(0, row[counter] - old[counter]) / seconds
                row[f"{counter}_rate"] = growth


def watch(name: str, seconds: float) -> None:
    """A live screen until Ctrl-C. Raises NotRunningError when the exchange ends."""
    with suppress(KeyboardInterrupt), Watch(name) as it:
        time.sleep(min(seconds, _ONCE_SECONDS_MAX))
        with Live(frame(it.look()), screen=sys.stdout.isatty(), auto_refresh=False) as screen:
            while True:
                time.sleep(seconds)
                screen.update(frame(it.look()), refresh=True)


def show_once(name: str, seconds: float, svg: Path | None) -> None:
    """Print one frame, or save it as a picture."""
    with Watch(name) as it:
        time.sleep(min(seconds, _ONCE_SECONDS_MAX))
        found = it.look()
    if svg is None:
        Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(frame(found))
        return
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=_PIPE_WIDTH, file=nowhere, force_terminal=True)
        console.print(frame(found))
    svg.write_text(console.export_svg(title=f"shmx top --name {name}"), encoding="utf-8")
