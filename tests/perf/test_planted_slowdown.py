"""Goal: the slowdown that `python -m perf.planted_slowdown` plants is in the matcher that there is.

Method: the source of today's matcher. That the comparison sees it takes minutes: that is the
script's.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from perf.planted_slowdown import plant

MATCHING = Path(__file__).parents[2] / "shm_exchange" / "matching.py"


def test_it_lies_in_match() -> None:
    """As many loads as were asked for, imported, each on every command's way."""
    tree = ast.parse(plant(MATCHING.read_text(encoding="utf-8"), 30))
    (match,) = [each for each in tree.body if getattr(each, "name", None) == "match"]
    loads = [
        each
        for each in ast.iter_child_nodes(match)
        if isinstance(each, ast.Expr) and "load_acquire" in ast.unparse(each)
    ]
    assert len(loads) == 30
    imported = [each for each in tree.body if isinstance(each, ast.ImportFrom)]
    assert any(each.module == "ringbuf.atomics" for each in imported)


def test_a_matcher_that_begins_otherwise() -> None:
    """Says what to do instead of measuring an unchanged tree."""
    with pytest.raises(ValueError, match="has changed"):
        plant("def match(): ...", 30)
