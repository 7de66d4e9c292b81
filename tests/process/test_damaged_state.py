"""Goal: a start that finds its state directory damaged says what is lost, and what to do about it.

Method: an exchange trades and stops in good order; then files of its state directory are cut or
removed, each time from the same copy, and it is started again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from shm_exchange.journal_ends import ENDS
from tests.gateways.ouch_cases import enter
from tests.process.conftest import ROOT, Exchange
from tests.process.trading import MARKET, RawClient, barrier, ports, running

ORDERS = 60
CUT = 5000  # bytes: the end marks of a good stop, and some events
BACKUP = 'docs/operations.md, "Backup and disaster recovery"'


class Stopped(NamedTuple):
    """An exchange that does not run, its state as it was left, and the name of its streams."""

    it: Exchange
    state: Path
    stream: str

    def restore(self) -> None:
        """Give it the state and the configuration that it was left with."""
        self.it.file.write_text(MARKET, encoding="utf-8")
        shutil.rmtree(self.it.state)
        shutil.copytree(self.state, self.it.state)

    def only(self, pattern: str) -> Path:
        """The newest file of a kind in its state directory."""
        return max(self.it.state.glob(pattern))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """The exchange of this file."""
    folder = tmp_path_factory.mktemp("damaged")
    with running(folder, MARKET) as it:
        with RawClient(ports(it)[0]) as client:
            stream = client.log_in("S01").session
            for number in range(1, ORDERS + 1):
                client.say(enter(user_ref=number, symbol=b"A01     ", price=100_000, quantity=10))
            barrier(client)
        assert it.stop() == 0
        shutil.copytree(it.state, folder / "left")
        yield Stopped(it, folder / "left", stream)


def news(it: Exchange, before: str) -> str:
    """What it has said since it had said `before`."""
    return it.messages.removeprefix(before)


@pytest.mark.parametrize(
    ("durability", "noted", "why"),
    [
        ("memory", False, "its journal was not ended in good order: it ends at position "),
        ("memory", True, "its journal had come to position "),
        ("disk", True, "its journal had come to position "),
    ],
)
def test_a_journal_that_lost_its_end(left: Stopped, durability: str, noted: bool, why: str) -> None:
    """Without a snapshot nothing proves the loss: it starts, warns where the journal ends, and its
    streams begin anew; the next start, behind a good stop, has nothing to say. If it is noted where
    the journal ended, that is said, and no durability of what was written is trusted."""
    left.restore()
    text = MARKET.replace("[exchange]", f'[exchange]\ndurability = "{durability}"')
    left.it.file.write_text(text, encoding="utf-8")
    left.only("snapshot-*").unlink()
    if not noted:
        left.only(ENDS).unlink()
    journal = left.only("journal-*.shmj")
    os.truncate(journal, journal.stat().st_size - CUT)
    before = left.it.messages
    left.it.start()
    (line,) = (each for each in news(left.it, before).splitlines() if "begin anew" in each)
    assert f"engine 1: {why}" in line
    assert not list(left.it.state.glob(ENDS))
    with RawClient(ports(left.it)[0]) as client:
        assert client.log_in("S01").session != left.stream
    assert left.it.stop() == 0
    before = left.it.messages
    left.it.start()
    assert left.it.stop() == 0
    assert "journal" not in news(left.it, before)


def test_a_snapshot_that_was_cut(left: Stopped) -> None:
    """It is skipped with a warning that names it, and nothing is lost."""
    left.restore()
    snapshot = left.only("snapshot-*")
    os.truncate(snapshot, snapshot.stat().st_size - 1)
    before = left.it.messages
    left.it.start()
    said = news(left.it, before)
    assert f"matcher: {snapshot}: has {snapshot.stat().st_size} bytes, its header says" in said
    assert said.count("`shmx snapshot` takes another one") == 1 and "begin anew" not in said
    with RawClient(ports(left.it)[0]) as client:
        assert client.log_in("S01").session == left.stream
    assert left.it.stop() == 0


def test_a_journal_that_ends_before_its_snapshot(left: Stopped) -> None:
    """It is refused with the remedy, and not a byte of it has changed."""
    left.restore()
    journal = left.only("journal-*.shmj")
    os.truncate(journal, journal.stat().st_size - CUT)
    evidence = journal.read_bytes()
    done = subprocess.run(left.it.command(), capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{left.it.state}: damaged at position" in line and BACKUP in line
    assert journal.read_bytes() == evidence
    assert left.it.segments == []
