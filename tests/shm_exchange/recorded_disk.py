"""A disk that remembers every write and sync, and what it may hold after a loss of power.

The real system calls are made and noted. A file is its data and its names, which are synced apart:
what a sync has covered is on disk; of what came later any part may be, a write also torn between
sectors. A sync covers what was issued before it began, not what another thread wrote meanwhile.
"""

from __future__ import annotations

import builtins
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SECTOR = 512
Chooser = Callable[[int], bool]  # number of a pending change, oldest first -> whether it is there


class Change(NamedTuple):
    """One change of a file's data. kind: write, allocate, truncate."""

    kind: str
    offset: int  # of a write; else the size
    data: bytes = b""


@dataclass(eq=False)
class File:
    """One file, whatever its names: what is on disk for certain, and what may be."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self, count: int) -> None:
        """The first `count` pending changes are on disk now."""
        for change in self.pending[:count]:
            apply_change(self.synced, change)
        del self.pending[:count]


def apply_change(data: bytearray, change: Change) -> None:
    """Make a change in a file's bytes."""
    end = change.offset + len(change.data)
    if change.kind == "truncate" and end < len(data):
        del data[end:]
    if end > len(data):
        data.extend(bytes(end - len(data)))
    data[change.offset : end] = change.data


class Rename(NamedTuple):
    """One change of the directory: a name appears (no source), moves, or goes (no target)."""

    file: File
    source: str | None
    target: str | None


class Disk:
    """The state of one directory as the disk may have it; changes are made in order of issue."""

    def __init__(self) -> None:
        self.names: dict[str, File] = {}  # as a process sees them
        self.synced: dict[str, File] = {}
        self.pending: list[Rename] = []

    def rename(self, change: Rename) -> None:
        """A change of names was issued."""
        self._apply(self.names, change)
        self.pending.append(change)

    def sync(self, count: int) -> None:
        """The first `count` pending changes of names are on disk now."""
        for change in self.pending[:count]:
            self._apply(self.synced, change)
        del self.pending[:count]

    def after_power_loss(self, rng: random.Random, variant: str) -> dict[str, bytes]:
        """Files that may be found. variant: none, all, prefix or subset of what was not synced."""
        names = dict(self.synced)
        for change in _chosen(self.pending, rng, variant):
            self._apply(names, change)
        return {name: _contents(each, rng, variant) for name, each in names.items()}

    @staticmethod
    def _apply(names: dict[str, File], change: Rename) -> None:
        if change.source is not None and names.get(change.source) is change.file:
            del names[change.source]
        if change.target is not None:
            names[change.target] = change.file


def _chosen(pending: list[Any], rng: random.Random, variant: str) -> list[Any]:
    if variant == "all":
        return pending
    if variant == "prefix":
        return pending[: rng.randint(0, len(pending))]
    if variant == "subset":
        return [each for each in pending if rng.random() < 0.5]
    return []


def _contents(file: File, rng: random.Random, variant: str) -> bytes:
    data = bytearray(file.synced)
    for change in _chosen(file.pending, rng, variant):
        for piece in _pieces(change) if variant != "all" else [change]:
            if variant == "all" or piece is change or rng.random() < 0.8:
                apply_change(data, piece)
    return bytes(data)


def _pieces(change: Change) -> list[Change]:
    """A write, as the sectors of which each may get lost by itself."""
    if change.kind != "write":
        return [change]
    pieces = []
    start = 0
    while start < len(change.data):
        size = SECTOR - (change.offset + start) % SECTOR
        pieces.append(Change("write", change.offset + start, change.data[start : start + size]))
        start += size
    return pieces


class Recording:
    """The system calls on one directory, passed on to the kernel and to a model of the disk.

    before_step: called before each change and sync. during_sync: called while a sync of a file's
    data is under way, as another thread might run then.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.disk = Disk()
        self.before_step: Callable[[], None] = lambda: None
        self.during_sync: Callable[[], None] = lambda: None
        self._files: dict[int, File | None] = {}  # by descriptor; None: the directory itself
        self._real: dict[str, Any] = {}

    @contextmanager
    def installed(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Record whatever this process does to the directory."""
        names = (
            *("open", "close", "pwrite", "pwritev", "ftruncate", "posix_fallocate"),
            *("fsync", "fdatasync", "rename", "unlink"),
        )
        with patch.context() as patched:
            for name in names:
                self._real[name] = getattr(os, name)
                patched.setattr(os, name, getattr(self, name))
            patched.setattr("shm_exchange.snapshot.open", self.open_buffered, raising=False)
            yield

    def _name(self, path: Any) -> str | None:
        folder, _, name = os.fspath(path).rpartition("/")
        return name if folder == self.directory and not name.endswith(".lock") else None

    def _change(self, descriptor: int, change: Change) -> None:
        file = self._files.get(descriptor)
        if file is not None:
            self.before_step()
            file.pending.append(change)

    def _created(self, name: str, *, truncate: bool) -> File:
        file = self.disk.names.get(name)
        if file is None:
            self.before_step()
            file = File()
            self.disk.rename(Rename(file, None, name))
        elif truncate:
            self.before_step()
            file.pending.append(Change("truncate", 0))
        return file

    # ------------------------------------------------------------ the system calls

    def open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        name = self._name(path)
        descriptor = int(self._real["open"](path, flags, *arguments, **named))
        if os.fspath(path) == self.directory:
            self._files[descriptor] = None
        elif name is not None and flags & os.O_ACCMODE != os.O_RDONLY:
            self._files[descriptor] = self._created(name, truncate=bool(flags & os.O_TRUNC))
        return descriptor

    def close(self, descriptor: int) -> None:
        self._files.pop(descriptor, None)
        self._real["close"](descriptor)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        self._change(descriptor, Change("write", offset, bytes(data)))
        return int(self._real["pwrite"](descriptor, data, offset))

    def pwritev(self, descriptor: int, buffers: list[Any], offset: int) -> int:
        data = b"".join(map(bytes, buffers))
        self._change(descriptor, Change("write", offset, data))
        return int(self._real["pwritev"](descriptor, buffers, offset))

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._change(descriptor, Change("truncate", size))
        self._real["ftruncate"](descriptor, size)

    def posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        self._change(descriptor, Change("allocate", offset + size))
        self._real["posix_fallocate"](descriptor, offset, size)

    def fsync(self, descriptor: int) -> None:
        self._sync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        self._sync(descriptor)

    def _sync(self, descriptor: int) -> None:
        if descriptor not in self._files:
            return  # of the sync itself nothing depends here: the machine does not fail
        file = self._files[descriptor]
        synced: Any = self.disk if file is None else file
        self.before_step()
        covered = len(synced.pending)
        if file is not None:
            self.during_sync()
        synced.sync(covered)

    def rename(self, source: Any, target: Any) -> None:
        name = self._name(source)
        if name is not None:
            self.before_step()
            self.disk.rename(Rename(self.disk.names[name], name, self._name(target)))
        self._real["rename"](source, target)

    def unlink(self, path: Any, **named: Any) -> None:
        name = self._name(path)
        if name is not None and name in self.disk.names:
            self.before_step()
            self.disk.rename(Rename(self.disk.names[name], name, None))
        self._real["unlink"](path, **named)

    def open_buffered(self, path: Any, mode: str, **_: Any) -> Any:
        """`open` of a file that is written from its beginning to its end; not for whom."""
        file = builtins.open(path, mode, buffering=0)
        name = self._name(path)
        assert name is not None and mode == "wb"
        self._files[file.fileno()] = self._created(name, truncate=True)
        return _Written(self, file)


class _Written:
    """A file whose writes are noted with their places."""

    def __init__(self, recording: Recording, file: Any) -> None:
        self._recording = recording
        self._file = file

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._recording._files.pop(self._file.fileno(), None)
        self._file.close()

    def write(self, data: Any) -> int:
        change = Change("write", self._file.tell(), bytes(data))
        if change.data:
            self._recording._change(self._file.fileno(), change)
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
