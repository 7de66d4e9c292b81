"""Goal: a note of where journals ended says what was there, or nothing: no start fails of it.

Method: rings in private memory, and files that no exchange has written.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from journal_cases import make_ring, publish_events

from shm_exchange import journal_ends


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    """Of engines with a recorder, until it is forgotten."""
    wirings: dict[int, Any] = {
        number: SimpleNamespace(ring=make_ring(1024, 100 * number, gated=number != 2))
        for number in (1, 2, 3)
    }
    publish_events(wirings[3].ring, 300, 20)
    journal_ends.keep(wirings, tmp_path)
    assert journal_ends.read(tmp_path) == {1: 100, 3: 320}
    journal_ends.forget(tmp_path)
    assert journal_ends.read(tmp_path) == {}
    journal_ends.forget(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"1": []}', '{"one": 1}', '{"1": 1', "\0"])
def test_what_is_no_note_says_nothing(tmp_path: Path, text: str) -> None:
    """An empty file is what a loss of power may leave."""
    (tmp_path / journal_ends.ENDS).write_text(text, encoding="ascii")
    assert journal_ends.read(tmp_path) == {}


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    """The stop goes on."""
    journal_ends.keep({}, tmp_path / "none")
    assert journal_ends.read(tmp_path / "none") == {}
