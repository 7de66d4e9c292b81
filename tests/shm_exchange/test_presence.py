"""Goal: a name and a state directory have one owner, found by whoever asks, gone when it is dead.

Method: claims in this process and in others, under names that only one test has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ringbuf import layout, segment
from ringbuf.errors import LayoutError
from shm_exchange import leftovers, presence, running_configuration, wiring
from shm_exchange.errors import AnotherWriterError, ExchangeError, NotRunningError
from shm_exchange.presence import Claim, find, identity_of, info_path

_numbers = count()
HOLDER = """
import sys, time
from pathlib import Path
from shm_exchange.presence import Claim
claim = Claim(sys.argv[1], Path(sys.argv[2]))
claim.announce({"state": "ready"})
print("READY", flush=True)
time.sleep(60)
"""


@pytest.fixture
def name() -> Iterator[str]:
    """A name of an exchange; what has it is removed at the end."""
    chosen = f"pr{os.getpid()}x{next(_numbers)}"
    yield chosen
    for path in presence.SHARED_MEMORY.glob(f"shmx.{chosen}.*"):
        path.unlink()


def create(name: str) -> wiring.Wiring:
    """The shared memory of a small engine."""
    return wiring.create(
        name, 1, 1, 0, event_records=1024, command_records=256, gateway_count=0, gated=False
    )


def test_a_claim_excludes_others(name: str, tmp_path: Path) -> None:
    """Not the name elsewhere, not the folder under another name; `release` frees both."""
    claim = Claim(name, tmp_path / "a")
    with pytest.raises(AnotherWriterError, match=f"named {name} runs already.*{os.getpid()}"):
        Claim(name, tmp_path / "b")
    with pytest.raises(AnotherWriterError, match="belongs to an exchange that runs"):
        Claim(name + "b", tmp_path / "a")
    assert not info_path(name + "b").exists()
    claim.release()
    assert not info_path(name).exists()
    Claim(name, tmp_path / "b").release()
    Claim(name, tmp_path / "a").release()


def test_a_name_of_another_user(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another --state does not help, another --name does; nothing is made."""
    info_path(name).touch(0o600)
    really_open = os.open

    def refuse(path: str | Path, *rest: int) -> int:
        if path == info_path(name):
            raise PermissionError(13, "Permission denied", path)
        return really_open(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(presence.os, "open", refuse)
        user = info_path(name).owner()
        with pytest.raises(AnotherWriterError, match=f"of user {user}; choose another --name"):
            Claim(name, tmp_path / "new" / "state")
    assert not (tmp_path / "new").exists()


def test_a_dead_owner_owns_nothing(name: str, tmp_path: Path) -> None:
    """What it announced is found while it lives, and not a moment longer."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, name, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"READY\n"
        assert find(name)["state"] == "ready"
        holder.kill()
    assert info_path(name).exists()
    with pytest.raises(NotRunningError, match=f"no exchange named {name}"):
        find(name)
    Claim(name, tmp_path).release()


def test_nobody_is_found_where_nobody_was(name: str) -> None:
    """A name that was never used."""
    with pytest.raises(NotRunningError):
        find(name)


def test_a_reader_does_not_disturb_the_lock(name: str, tmp_path: Path) -> None:
    """Looking opens and closes the locked file; the lock stays."""
    claim = Claim(name, tmp_path)
    claim.announce({"state": "starting"})
    assert find(name)["state"] == "starting"
    with pytest.raises(AnotherWriterError):
        Claim(name, tmp_path / "b")
    claim.release()


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    """It fits the header of a segment, stays, and differs between folders."""
    first = identity_of(tmp_path)
    assert 0 < first < 1 << 63
    assert identity_of(tmp_path) == first
    (tmp_path / "other").mkdir()
    assert identity_of(tmp_path / "other") != first
    (tmp_path / "identity").write_text("garbage", encoding="ascii")
    with pytest.raises(ExchangeError, match="identity is not what was written there"):
        identity_of(tmp_path)


def test_an_identity_that_was_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, or out of power, before the number was whole: the next one makes it anew."""

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            identity_of(tmp_path)
    assert identity_of(tmp_path) == identity_of(tmp_path) > 0


def test_segments_of_the_dead_are_removed(name: str) -> None:
    """All of them, also one whose maker died before it was finished; others' stay."""
    create(name).close()
    other = create(name + "b")
    unfinished = wiring.segment_names(name, 2)[0]
    segment.create_segment(unfinished, 64, 0, 0, kind=layout.KIND_CONTROL).close()
    assert leftovers.remove(name) == sorted([*wiring.segment_names(name, 1), unfinished])
    assert leftovers.segments_of(name) == []
    assert len(leftovers.segments_of(name + "b")) == 3
    other.close()
    leftovers.remove(name + "b")


def test_segments_of_the_living_are_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that still runs is waited for; a process that merely has its number is not."""
    monkeypatch.setattr(leftovers, "_PATIENCE_SECONDS", 0.1)
    made = create(name)
    row = made.control.processes[0]
    row["pid"] = os.getpid()
    row["started_ns"] = time.time_ns()
    with pytest.raises(AnotherWriterError, match=f"still run \\({os.getpid()}\\)"):
        leftovers.remove(name)
    assert len(leftovers.segments_of(name)) == 3
    row["started_ns"] = 1
    assert len(leftovers.remove(name)) == 3
    made.close()


def test_segments_of_another_build_are_not_touched(name: str) -> None:
    """Named in the error, with what to do."""
    control = wiring.segment_names(name, 1)[0]
    segment.create_control(control, 12345, 1)[0].close()
    with pytest.raises(LayoutError, match=f"{control}.*remove /dev/shm/shmx.{name}"):
        leftovers.remove(name)
    assert leftovers.segments_of(name) == [control]


def test_a_start_that_fails_leaves_what_it_found(name: str, tmp_path: Path) -> None:
    """New folders and files go again; what was there stays, and what somebody else put there."""
    folder = tmp_path / "new" / "state"
    claim = Claim(name, folder)
    with pytest.raises(ZeroDivisionError), claim.undone_on_failure():
        identity_of(folder)
        presence.write_file(folder / presence.CONFIGURATION_COPY, b"x")
        raise ZeroDivisionError
    claim.release()
    assert list(tmp_path.iterdir()) == []

    first = Claim(name, folder)
    number = identity_of(folder)
    with pytest.raises(AnotherWriterError, match="runs already"):
        Claim(name, tmp_path / "other" / "state")
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]
    first.release()
    second = Claim(name, folder)
    with pytest.raises(ZeroDivisionError), second.undone_on_failure():
        raise ZeroDivisionError
    second.release()
    assert identity_of(folder) == number


def test_files_are_for_their_user_alone(name: str, tmp_path: Path) -> None:
    """Also where others may look into the folder; that is found."""
    tmp_path.chmod(0o755)
    assert presence.is_open_to_others(tmp_path)
    source = tmp_path / "some.toml"
    source.write_text("x", encoding="ascii")
    copy = running_configuration.keep(source, tmp_path)
    assert copy is not None and copy.stat().st_mode & 0o777 == 0o600
    copy.chmod(0o644)  # as an earlier build made it
    running_configuration.keep(source, tmp_path)
    assert copy.stat().st_mode & 0o777 == 0o600
    claim = Claim(name, tmp_path / "new")
    assert not presence.is_open_to_others(tmp_path / "new")
    claim.release()
