"""Goal: docs/conformance.md speaks of every message and tag, and of tests that exist.

Method: the first column of each table is compared with the byte maps; what its last column names is
looked up in the sources of the tests.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from gateways.itch.glimpse_messages import END_OF_SNAPSHOT_TYPE
from gateways.itch.messages import MESSAGES
from gateways.ouch.messages import INBOUND, OUTBOUND
from gateways.ouch.tags import Tag
from gateways.ouch.typed_private import MESSAGES as OWN_MESSAGES
from gateways.packets import CLIENT_TYPES, SERVER_TYPES

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
EXPECTED = {
    "SoupBinTCP, client to server": set(CLIENT_TYPES),
    "SoupBinTCP, server to client": set(SERVER_TYPES),
    "OUCH 5.0, client to exchange": set(INBOUND),
    "OUCH 5.0, exchange to client": set(OUTBOUND),
    "Tags": {str(int(each)) for each in Tag},
    "Our own messages": set(OWN_MESSAGES),
    "TotalView-ITCH 5.0": set(MESSAGES),
    "MoldUDP64 1.00": {"messages", "heartbeat", "end of session", "request"},
    "GLIMPSE 5.0": {*"SRHLAF", chr(END_OF_SNAPSHOT_TYPE)},
}


@cache
def sections() -> dict[str, str]:
    """The text behind each heading."""
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its two lines of heading."""
    lines = [line for line in sections()[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def names_in(file: str) -> set[str]:
    """The tests of a file under tests/."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


@pytest.mark.parametrize("section", EXPECTED)
def test_every_message_has_a_row(section: str) -> None:
    """And no row is of anything else, and none is there twice."""
    found = [cells[0].strip("`") for cells in rows(section)]
    assert sorted(found) == sorted(EXPECTED[section])


def test_every_row_names_tests_that_exist() -> None:
    """In the last column; and so does the text around the tables."""
    for section in sections():
        for cells in rows(section):
            assert NAMED.search(cells[-1]), f"{section}, {cells[0]}: no test"
        for file, name in NAMED.findall(sections()[section]):
            assert name in names_in(file), f"{section}: there is no {name} in {file}"
