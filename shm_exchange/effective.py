"""Shell: every value that a configuration has in the end, and where it came from.

The text is itself a configuration that means the same, but for passwords: they are hidden.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from shm_exchange import deployment
from shm_exchange.config import (
    ORDER_GATEWAY_KEYS,
    REPEATED_TABLES,
    SINGLE_TABLES,
    Gateway,
    load,
)
from shm_exchange.feeds import Feeds
from shm_exchange.settings import Document, Location, Table, parse, read

DEFAULT, BUILT_IN = "default", "built in"
_HIDDEN = {"password": "(hidden)", "password_hash": "$argon2(hidden)"}
_NOTE_COLUMN = 44


@dataclass(frozen=True)
class Value:
    """One key. table: such as `engine` and its place; value None: not set."""

    location: Location
    value: Any
    origin: str

    @property
    def key(self) -> str:
        """What the file calls it within its table."""
        first = 1 if self.location[0] in SINGLE_TABLES else 2
        return ".".join(map(str, self.location[first:]))

    @property
    def name(self) -> str:
        """The whole of it, such as `engine[0].standbys`."""
        table, place = self.location[:2]
        return f"{table}.{self.key}" if table in SINGLE_TABLES else f"{table}[{place}].{self.key}"


def values(path: Path | None) -> list[Value]:
    """Every key of every table, in the order of the file. Raises ConfigurationError."""
    load(path)  # with every check of what stands between tables
    if path is None:
        document = parse(BUILT_IN, deployment.read(deployment.CONFIGURATION))
    else:
        document = read(path)
    names = dict.fromkeys(("exchange", *document.tables))  # the one table that may be left out
    return [value for name in names for value in _of_tables(document, name)]


def _of_tables(document: Document, name: str) -> Iterator[Value]:
    if name in SINGLE_TABLES:
        table = document.tables.get(name, {})
        yield from _of_table(document, SINGLE_TABLES[name].model_validate(table), table, (name,))
        return
    for place, table in enumerate(document.tables[name]):
        model = REPEATED_TABLES[name].model_validate(table)
        yield from _of_table(document, model, table, (name, place))


def _of_table(
    document: Document, model: Table, given: dict[str, Any], at: Location
) -> Iterator[Value]:
    for key in _keys(model):
        value, location = getattr(model, key), (*at, key)
        if isinstance(value, Table):
            yield from _of_table(document, value, given.get(key, {}), location)
        elif document.path == BUILT_IN:
            yield Value(location, value, BUILT_IN)
        elif key in given:
            yield Value(location, value, f"{document.path}:{document.line_of(location)}")
        else:
            yield Value(location, value, DEFAULT)


def _keys(model: Table) -> list[str]:
    """The keys that such a table may have."""
    keys = list(type(model).model_fields)
    if not isinstance(model, Gateway):
        return keys
    others = ORDER_GATEWAY_KEYS if model.kind == "market_data" else tuple(Feeds.model_fields)
    return [key for key in keys if key not in others]


def text(found: list[Value]) -> str:
    """All of it as a configuration, each value with where it came from."""
    lines: list[str] = []
    table: Location = ()
    for each in found:
        single = each.location[0] in SINGLE_TABLES
        here = each.location[: 1 if single else 2]
        if here != table:
            table = here
            header = f"[{here[0]}]" if single else f"[[{here[0]}]]"
            lines += [header] if not lines else ["", header]
        said = f"{each.key} = {_toml(each)}" if each.value is not None else f"# {each.key}"
        lines.append(f"{said:{_NOTE_COLUMN}}  # {each.origin}")
    return "\n".join(lines)


def _toml(each: Value) -> str:
    value = _HIDDEN.get(str(each.location[-1]), each.value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, ensure_ascii=False)  # of these types TOML writes the same


def rows(found: list[Value]) -> list[dict[str, Any]]:
    """The same for programs. Prices are text: exact, whoever reads them."""
    return [{"key": each.name, "value": _plain(each), "origin": each.origin} for each in found]


def _plain(each: Value) -> Any:
    value = each.value
    if value is not None:
        value = _HIDDEN.get(str(each.location[-1]), value)
    return f"{value:f}" if isinstance(value, Decimal) else value
