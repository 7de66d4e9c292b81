"""Shell: that an exchange of some name is there, where its state is, and that it is the only one.

Two locks that the kernel gives back when their holder dies: one on `/shmx.NAME.info` in shared
memory (the name), one on `exchange.lock` in the state directory. The first holds a line of JSON
that leads to the second, where `running.json` says what shared memory does not: addresses, and
what the supervisor thinks of the exchange.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shm_exchange.errors import (
    AnotherWriterError,
    ExchangeError,
    ForeignExchangeError,
    NotRunningError,
)

SHARED_MEMORY = Path("/dev/shm")
CONFIGURATION_COPY = "configuration.toml"  # in the state directory: what the roles read
_MODE = 0o600
RUNNING = "running.json"  # there too: what the supervisor announces
_LOCK, IDENTITY = "exchange.lock", "identity"
_INFO_SIZE_MAX = 1 << 16
_FLOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, process


def info_path(name: str) -> Path:
    """The file in shared memory that claims a name."""
    return SHARED_MEMORY / f"shmx.{name}.info"


def names() -> list[str]:
    """Names that somebody claims here, or claimed and died."""
    return sorted(each.name.split(".")[1] for each in SHARED_MEMORY.glob("shmx.*.info"))


def write_file(path: Path, data: bytes) -> None:
    """Replace a file, for our user alone, as a whole: readers see the old one or the new one."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with _naming(path), open(aside, "wb", opener=open_private) as file:
            file.write(data)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    os.replace(aside, path)


def write_durably(path: Path, data: bytes) -> None:
    """Make a file, for our user alone, that a loss of power leaves whole or not at all."""
    aside = path.with_name(f"{path.name}.new")
    with _naming(path), open(aside, "wb", opener=open_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    _sync_directory(path.parent)


def open_private(path: str, flags: int) -> int:
    """An opener of files for our user alone: passwords and what sessions do is in them."""
    return os.open(path, flags, _MODE)


def is_open_to_others(directory: Path) -> bool:
    """Whether another user than ours may look into a folder."""
    return directory.is_dir() and bool(directory.stat().st_mode & 0o077)


def identity_of(state_directory: Path) -> int:
    """The number that segments and files of this state directory carry; made at the first call."""
    path = state_directory / IDENTITY
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        text = f"{secrets.randbits(62) + 1}\n"
        write_durably(path, text.encode("ascii"))
    if not text.strip().isdecimal():
        raise ExchangeError(f"{path} is not what was written there; restore it or start elsewhere")
    return int(text)


def read_identity(state_directory: Path) -> int:
    """The same of a state directory that has one. Raises ExchangeError; makes nothing."""
    path = state_directory / IDENTITY
    if not path.exists():
        raise ExchangeError(f"{state_directory} is not the state directory of an exchange")
    return identity_of(state_directory)


class Claim:
    """A name and a state directory, held by the one supervisor until `release`."""

    def __init__(self, name: str, state_directory: Path) -> None:
        """Raises AnotherWriterError, or OSError when the directory cannot be written."""
        self.name = name
        self.state_directory = state_directory.absolute()
        missing = [
            each
            for each in (self.state_directory, *self.state_directory.parents)
            if not each.exists()
        ]
        files = [self.state_directory / each for each in (_LOCK, IDENTITY, CONFIGURATION_COPY)]
        # What was not there before, to be removed if it comes to nothing: innermost first.
        self._new = [each for each in files if not each.exists()] + missing
        try:
            self.state_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            for each in missing:  # a loss of power must not take the folder with all that is in it
                _sync_directory(each.parent)
            self._state = self._take_state()
        except BaseException:
            self._remove(missing)
            raise
        try:
            self._info = _take_name(name)
        except BaseException:
            self._remove(self._new)
            os.close(self._state)
            raise
        left = _read_json(self._info)
        # The state directory of an exchange that died by this name, until its segments are settled.
        self.former: str | None = left.get("former") or left.get("state_directory")
        try:
            with self.undone_on_failure():
                self._say_who()
        except BaseException:
            self.release()
            raise

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Let a start that fails within leave no more on disk than it has found there."""
        try:
            yield
        except BaseException:
            self._remove(self._new)
            raise

    @staticmethod
    def _remove(made: Iterable[Path]) -> None:
        """Files and empty folders; whatever cannot be removed stays."""
        for each in made:
            with suppress(OSError):
                each.rmdir() if each.is_dir() else each.unlink()

    def set_settled(self) -> None:
        """Forget the exchange that died by this name: nothing of it is left."""
        self.former = None
        self._say_who()

    def announce(self, running: Mapping[str, Any]) -> None:
        """Publish what shared memory does not say; without room on the disk the old text stays."""
        try:
            write_file(self.state_directory / RUNNING, json.dumps(running, indent=1).encode())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def release(self) -> None:
        """Give both up and leave nothing in shared memory."""
        (self.state_directory / RUNNING).unlink(missing_ok=True)
        if self.former is None:
            info_path(self.name).unlink(missing_ok=True)
        else:  # its segments are still there, and this says whose they are
            _write_json(self._info, {"state_directory": self.former})
        os.close(self._info)
        os.close(self._state)

    def _say_who(self) -> None:
        fact = {"pid": os.getpid(), "state_directory": str(self.state_directory)}
        with _naming(self.state_directory):
            _write_json(self._state, fact)
        with _naming(SHARED_MEMORY):
            _write_json(self._info, fact | ({"former": self.former} if self.former else {}))

    def _take_state(self) -> int:
        path = self.state_directory / _LOCK
        with _naming(path):
            descriptor = _open(path)
        while _lock(descriptor):
            if _is_file_of(path, descriptor):
                return descriptor
            os.close(descriptor)  # its maker failed to start, and has removed it meanwhile
            descriptor = _open(path)
        holder = _read_json(descriptor).get("pid", "unknown")
        os.close(descriptor)
        raise AnotherWriterError(
            f"{self.state_directory} belongs to an exchange that runs (process {holder});"
            " stop it or choose another --state"
        )


def directory_of(name: str) -> Path | None:
    """The state directory of an exchange that runs or died by this name; None: nobody says."""
    try:
        descriptor = os.open(info_path(name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        said = _read_json(descriptor)
    finally:
        os.close(descriptor)
    directory = said.get("former") or said.get("state_directory")
    return None if directory is None else Path(directory)


@contextmanager
def held(name: str) -> Iterator[None]:
    """Hold a name for a moment, so that nobody starts by it. Raises AnotherWriterError."""
    descriptor = _take_name(name)
    try:
        yield
        info_path(name).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def find(name: str) -> dict[str, Any]:
    """What the supervisor of a running exchange announced, and its `state_directory`.

    Raises NotRunningError, or ForeignExchangeError when it is another user's.
    """
    try:
        return _find(name)
    except PermissionError as error:
        user = _owner_of(info_path(name))
        raise ForeignExchangeError(
            f"the exchange named {name} is that of user {user}; run this as that user:"
            f" sudo -u {user} shmx ..."
        ) from error


def _owner_of(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):  # a user of a container has no name here
        return f"'#{path.stat().st_uid}'" if path.exists() else "another"


def _find(name: str) -> dict[str, Any]:
    missing = NotRunningError(f"no exchange named {name} runs here; `shmx run` starts one")
    try:
        descriptor = os.open(info_path(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing from None
    try:
        if not _is_locked(descriptor):
            raise missing
        directory = _read_json(descriptor).get("state_directory")
    finally:
        os.close(descriptor)
    if directory is None:
        raise missing
    try:
        running: dict[str, Any] = json.loads((Path(directory) / RUNNING).read_bytes())
    except FileNotFoundError:
        raise missing from None
    return running | {"state_directory": directory}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an error of a write say what could not be written."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)


def _is_file_of(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that the path names now."""
    return path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino


def _take_name(name: str) -> int:
    """Lock the file that claims a name; its descriptor. Raises AnotherWriterError."""
    path = info_path(name)
    while True:
        try:
            descriptor = _open(path)
        except PermissionError as error:
            raise AnotherWriterError(
                f"the name {name} is taken by an exchange of user {_owner_of(path)};"
                " choose another --name"
            ) from error
        if not _lock(descriptor):
            holder = _read_json(descriptor).get("pid", "unknown")
            os.close(descriptor)
            raise AnotherWriterError(
                f"an exchange named {name} runs already (process {holder});"
                " stop it or choose another --name"
            )
        # A holder that ended meanwhile has removed the file that we locked.
        if _is_file_of(path, descriptor):
            return descriptor
        os.close(descriptor)


def _write_json(descriptor: int, fact: Mapping[str, Any]) -> None:
    """Replace what a lock file says."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(fact).encode(), 0)


def _read_json(descriptor: int) -> dict[str, Any]:
    """What a lock file says; nothing while its holder has not written it."""
    try:
        found = json.loads(os.pread(descriptor, _INFO_SIZE_MAX, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as the descriptor is open; False when somebody else holds it.

    A lock of the open file, not of the process: closing another descriptor does not drop it.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        return False
    return True


def _is_locked(descriptor: int) -> bool:
    """Whether somebody holds the lock; takes nothing."""
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, request)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
