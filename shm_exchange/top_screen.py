"""Shell: one frame of `shmx top`: a status with rates, as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shm_exchange.latencies import PERCENTS, TOTAL_STAGE
from shm_exchange.status_storage import EVENTS

Row = dict[str, Any]

_COLORS = {
    **{"ready": "green", "ok": "green", "degraded": "red", "starting": "yellow"},
    **{"draining": "yellow", "short": "yellow", "full": "red", "failed": "red"},
}
_BAR_CELLS = 12
_HIGH, _TOO_HIGH = 0.1, 0.5  # parts of a ring
_STALE_MS = 1_000  # of a heartbeat: nothing has hung for less
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_DAY = 86_400


def frame(found: dict[str, Any]) -> RenderableType:
    """Everything of one look. found: what `top.Watch.look` returned."""
    parts: list[RenderableType] = [_title(found)]
    for table in (_engines(found), _processes(found), _rings(found), _gateways(found)):
        parts += ["", table]
    if found["latencies"]:
        parts += ["", _latencies(found)]
    return Group(*parts)


def _title(found: dict[str, Any]) -> Text:
    oldest = max((row["uptime_s"] for row in found["processes"]), default=0)
    restarts = sum(found["restarts"].values())
    sessions = sum(row["sessions"] for row in found["gateways"])
    text = Text.assemble((found["name"], "bold"), "  ", _state(found["state"]))
    return text.append(f"  up {_age(oldest)}, {sessions} sessions, {restarts} restarts")


def _engines(found: dict[str, Any]) -> Table:
    """Rates, durability, agreement: a row for each engine."""
    table = _table("engine", "epoch", "events/s", "commands/s", "published", "not durable", "sync")
    for name in ("longest", "syncs/s", "disk", "snapshot", "agree"):
        table.add_column(name, justify="right")
    journals = {row["engine"]: row for row in found["journals"]}
    for row in found["engines"]:
        journal = journals.get(row["id"])
        table.add_row(
            str(row["id"]),
            str(row["epoch"]),
            _short(row["published_rate"]),
            _short(_commands_rate(found, row["id"])),
            f"{row['published']:,}",
            *(_journal_cells(journal) if journal else ["-"] * 6),
            Text("-") if row["agreement"] is None else _yes(row["agreement"]),
        )
    return table


def _commands_rate(found: dict[str, Any], engine: int) -> float | None:
    rates = [
        row["published_rate"]
        for row in found["rings"]
        if row["engine"] == engine and row["ring"] != EVENTS
    ]
    known = [each for each in rates if each is not None]
    return sum(known) if known else None


def _journal_cells(row: Row) -> list[RenderableType]:
    """Window, mean sync since the last look (or the last one), longest, rate, disk, snapshot."""
    count, seconds = row["syncs_rate"], row["sync_seconds_rate"]
    mean = seconds / count if count else row["sync_seconds_last"]
    age = row["snapshot_age_s"]
    return [
        f"{row['window']:,}",
        _duration(mean),
        _duration(row["sync_seconds_longest"]),
        _short(count),
        _state(row["disk"]),
        "-" if age is None else f"{_age(age)} ago",
    ]


def _processes(found: dict[str, Any]) -> Table:
    """Who runs, how far behind he is, and when he was last heard of."""
    table = _table("engine", "role", "pid", "state", "heartbeat", "lag", "", "records/s")
    for name in ("passes/s", "clients", "errors"):
        table.add_column(name, justify="right")
    capacities = {row["engine"]: row["capacity"] for row in found["rings"] if row["ring"] == EVENTS}
    for row in found["processes"]:
        age = row["heartbeat_age_ms"]
        table.add_row(
            str(row["engine"]),
            Text(row["role"], style="bold" if row["role"] == "matcher" else ""),
            str(row["pid"]),
            _state(row["state"]),
            Text(f"{age} ms", style="red" if age > _STALE_MS else ""),
            f"{row['lag']:,}",
            _bar(row["lag"] / capacities[row["engine"]]),
            _short(row["work_rate"]),
            _short(row["loops_rate"]),
            str(row["clients"]),
            str(row["errors"]),
        )
    return table


def _rings(found: dict[str, Any]) -> Table:
    """How full each ring is; of an event ring: what the recorder has not written."""
    table = _table("engine", "ring", "producer", "depth", "", "capacity", "records/s")
    for row in found["rings"]:
        table.add_row(
            str(row["engine"]),
            row["ring"] if row["ring"] == EVENTS else f"{row['ring']} {row['source']}",
            row["producer"],
            f"{row['depth']:,}",
            _bar(row["depth"] / row["capacity"]),
            f"{row['capacity']:,}",
            _short(row["published_rate"]),
        )
    return table


def _gateways(found: dict[str, Any]) -> Table:
    """Where clients are."""
    table = _table("gateway", "address", "pid", "sessions", "lag")
    for row in found["gateways"]:
        lag = "-" if row["lag"] is None else f"{row['lag']:,}"
        pid = str(row["pid"]) if row["pid"] else Text("none", style="red")
        table.add_row(row["kind"], row["address"], pid, str(row["sessions"]), lag)
    return table


def _latencies(found: Row) -> Table:
    """Where orders have spent their time since the last look, a line for each stage."""
    table = _table(
        "engine", "orders of", "until", "orders", "50 %", "90 %", "99 %", "99.9 %", "max"
    )
    for row in found["latencies"]:
        table.add_row(
            str(row["engine"]),
            f"gateway {row['source']}",
            Text(row["stage"], style="bold" if row["stage"] == TOTAL_STAGE else ""),
            f"{row['count']:,}",
            *(_duration(row[percent] / 1e9) for percent in PERCENTS),
        )
    return table


_LEFT = ("role", "state", "ring", "producer", "gateway", "address", "orders of", "until", "")


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for each in headings:
        table.add_column(each, justify="left" if each in _LEFT else "right", no_wrap=True)
    return table


def _state(state: str) -> Text:
    return Text(state, style=_COLORS.get(state, ""))


def _yes(value: bool) -> Text:
    return Text("yes", style="green") if value else Text("NO", style="bold red")


def _bar(part: float) -> Text:
    """How full something is; whatever is not empty shows at least a little."""
    part = min(1.0, part)
    color = "green" if part < _HIGH else "yellow" if part < _TOO_HIGH else "red"
    cells = max(1, round(part * _BAR_CELLS)) if part else 0
    return Text.assemble(("━" * cells, color), ("━" * (_BAR_CELLS - cells), "grey23"))


def _short(value: float | None) -> str:
    """A rate in a few characters."""
    if value is None:
        return "-"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {letter}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    for size, unit in _SECONDS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e6:.1f} µs"


def _age(seconds: float) -> str:
    """Since when, as a clock shows it."""
    days, rest = divmod(int(seconds), _DAY)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock
