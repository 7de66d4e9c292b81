"""Shell: what must hold between the tables of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from shm_exchange.messages import INSTRUMENT_LIMIT
from shm_exchange.settings import Document, Location, Problem

Found = dict[str, list[tuple[Location, Any]]]  # by table: place in the file, and the model


def check_engines(document: Document, found: Found) -> None:
    """Engines are distinct, and whoever names one names one that exists."""
    others = [name for name in document.tables if name not in found]
    # A table that is not there because of its name is a mistake already.
    misspelled = [name for name in ("engine", "instrument") if get_close_matches(name, others)]
    for name in ("engine", "instrument"):
        if not document.tables.get(name) and name not in misspelled:
            document.problems.append(Problem(0, f"there is no {name}; add a [[{name}]] table"))
    declared = document.tables.get("engine")
    tables = declared if isinstance(declared, list) else []
    ids = [table.get("id", 1) for table in tables if isinstance(table, dict)]
    known = {number for number in ids if type(number) is int}
    check_distinct(document, [((*at, "id"), engine.id) for at, engine in found["engine"]])
    named = [((*at, "engine"), each.engine) for at, each in found["instrument"]]
    for at, gateway in found["gateway"]:
        named += [((*at, "engines"), number) for number in gateway.engines]
        for number in dict.fromkeys(gateway.engines):
            if gateway.engines.count(number) > 1:
                document.add((*at, "engines"), f"engine {number} is named twice; name it once")
    for at, gateway in found["gateway"]:
        if gateway.is_of_one_engine and len(gateway.engines or known) > 1:
            document.add(at, "multicast and requests are of one engine; name it in `engines`")
    for location, number in named:
        if known and number not in known and "engine" not in misspelled:
            document.add(location, f"there is no engine {number}; add it or name another")


def check_instruments(document: Document, found: Found) -> None:
    """Symbols are distinct, and an engine has numbers for its instruments."""
    rows = [((*at, "symbol"), each.symbol) for at, each in found["instrument"]]
    check_distinct(document, rows)
    counts: dict[int, int] = {}
    for at, instrument in found["instrument"]:
        counts[instrument.engine] = counts.get(instrument.engine, 0) + 1
        if counts[instrument.engine] == INSTRUMENT_LIMIT + 1:
            document.add(
                at, f"more than {INSTRUMENT_LIMIT} instruments on one engine; use another engine"
            )


def check_cores(document: Document, found: Found) -> None:
    """A matcher's core is its own. Others may share one only where nobody spins on it."""
    patient = any(each.waiting in ("yield", "park") for _, each in found["exchange"])
    rows = [((*at, "matcher_core"), each.matcher_core) for at, each in found["engine"]]
    others = [((*at, "standby_core"), each.standby_core) for at, each in found["engine"]]
    others += [((*at, "core"), each.core) for at, each in found["gateway"]]
    of_matchers = {core for _, core in rows}
    rows += [row for row in others if not patient or row[1] in of_matchers]
    check_distinct(document, [(at, f"core {core}") for at, core in rows if core is not None])


def check_distinct(
    document: Document,
    rows: list[tuple[Location, Any]],
    meaning: Callable[[Any], Any] = lambda value: value,
) -> None:
    """No value stands at two places. meaning: the same for what is only spelled differently."""
    first: dict[Any, Location] = {}
    for location, value in rows:
        if first.setdefault(meaning(value), location) is not location:
            line = document.line_of(first[meaning(value)])
            document.add(location, f"{value} is used already at line {line}; choose another")
