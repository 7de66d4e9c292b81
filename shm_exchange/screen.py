"""Shell: results for people: every list of rows becomes a table, everything else a line."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 200


def show(result: dict[str, Any]) -> None:
    """Print a result as tables."""
    # A pipe has no width: nothing is cut there.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(highlight=False, markup=False, width=width)
    facts = {name: value for name, value in result.items() if not _is_rows(value)}
    longest = max(map(len, facts), default=0)
    for name, value in facts.items():
        # Soft: a hash is longer than the room beside its name and must stay in one piece.
        console.print(f"{name.replace('_', ' '):{longest}}  {_text(value)}", soft_wrap=True)
    for name, rows in result.items():
        if _is_rows(rows):
            console.print(_rows(name, rows))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _rows(name: str, rows: list[dict[str, Any]]) -> Table:
    """One line per row; the columns are the keys of all rows in the order of their appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=name, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        numeric = all(type(row.get(column, 0)) in (int, float) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    return table


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value) or "-"
    return str(value)
