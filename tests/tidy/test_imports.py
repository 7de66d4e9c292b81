"""Goal: who may import whom, and which few files own what the others must not touch.

Method: the import statements of every source file, also those inside functions.
"""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.tidy.source import PACKAGES, Source, sources

# What describes and rebuilds the market. A gateway must be unable to match: `promotion` is the one
# door, through which it hands over a copy of its replica.
GATEWAYS_MAY_USE = {
    f"shm_exchange.{name}"
    for name in (
        "accounts",
        "addresses",
        "config",
        "errors",
        "firms",
        "flow",
        "groups",
        "history",
        "instruments",
        "latencies",
        "journal_segment",
        "lent",
        "market",
        "messages",
        "drop_copy",
        "operator_line",
        "order_tags",
        "passwords",
        "positions",
        "presence",
        "queues",
        "quotes",
        "limit_kinds",
        "shares_ahead",
        "recovery",
        "replica",
        "roles",
        "session_limits",
        "session_orders",
        "settings",
        "slots",
        "streams",
        "promotion",
        "wiring",
    )
}
MARKET_WORDS = {
    *("ask", "bid", "book", "gateway", "instrument", "itch", "market", "matcher", "matching"),
    *("ouch", "price", "quantity", "session", "tick", "trade", "trader"),
}
OWNERS = {
    r"\bllvmlite\b": {
        *("ringbuf/atomics.py", "ringbuf/bits.py", "ringbuf/whole_record.py"),
        *("ringbuf/by_address.py", "ringbuf/inner_code.py", "ringbuf/checksum.py"),
    },
    r"\b(njit|CPUDispatcher)\b": {"ringbuf/jit.py", "ringbuf/inner_code.py"},
    r"\bExternalFunction\b": {"ringbuf/syscalls.py"},
    r"\bposix_ipc\b": {"ringbuf/segment.py"},
    r"\bjitclass\b": set(),
}


def offending_imports(package: str, *forbidden: str) -> list[str]:
    """Imports of a package that lead into one of the forbidden ones."""
    return [
        f"{each.path}:{line} {name}"
        for each in sources(package)
        for line, name in each.imports()
        if name.split(".")[0] in forbidden
    ]


def test_packages_depend_downwards_only() -> None:
    """gateways -> shm_exchange -> ringbuf; nobody depends on tests or measurements."""
    offenders = offending_imports("ringbuf", "shm_exchange", "gateways", "perf", "tests")
    offenders += offending_imports("shm_exchange", "gateways", "perf", "tests")
    offenders += offending_imports("gateways", "perf", "tests")
    assert not offenders, "\n".join(offenders)


def test_gateways_cannot_match() -> None:
    """Of shm_exchange they know what describes the market and what rebuilds it."""
    offenders = [
        f"{each.path}:{line} {name}"
        for each in sources("gateways")
        for line, name in each.imports()
        if name.startswith("shm_exchange") and name not in GATEWAYS_MAY_USE
    ]
    assert not offenders, "\n".join(offenders)


def test_the_protocols_do_not_know_each_other() -> None:
    """Order entry and market data can be changed, started and killed one without the other."""
    offenders = [
        f"{each.path}:{line} {name}"
        for this, other in (("ouch", "itch"), ("itch", "ouch"))
        for each in sources(f"gateways/{this}")
        for line, name in each.imports()
        if name.startswith(f"gateways.{other}")
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_an_order(package: str) -> None:
    """No cycle: a file stands on those above it."""
    graph = {
        each.module: {
            name for _, name in each.imports() if name.startswith(package) and name != each.module
        }
        for each in sources(package)
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"these import each other: {error.args[1]}") from None
    assert len(order) >= len(graph)


def test_imports_are_absolute() -> None:
    """A line that imports reads the same wherever it stands."""
    pattern = re.compile(r"^\s*from \.", re.MULTILINE)
    assert [each.path for each in sources() if pattern.search(each.text)] == []


@pytest.mark.parametrize("word", OWNERS)
def test_what_is_dangerous_has_one_owner(word: str) -> None:
    """How code is compiled, ordered, and calls the system is decided in one place."""
    users = {each.path for each in sources() if re.search(word, without_prose(each))}
    assert users - OWNERS[word] == set()


def without_prose(source: Source) -> str:
    """The text without docstrings and comments."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", source.text)
    return re.sub(r"#[^\n]*", "", text)


def test_ringbuf_has_no_word_of_the_market() -> None:
    """Its names would fit a ring of anything."""
    offenders = [
        f"{each.path}:{line} {name}"
        for each in sources("ringbuf")
        for line, name in each.names()
        if MARKET_WORDS & set(name.lower().split("_"))
    ]
    assert not offenders, "\n".join(offenders)
