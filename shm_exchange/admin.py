"""Shell: the supervisor's ear: an operator's requests, by a unix socket in the state directory.

One line of JSON is asked, one is answered, and the connection is closed. The server lives in the
supervisor's own loop: nothing here waits, so a client that says nothing keeps nobody.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shm_exchange.errors import ExchangeError

SOCKET = "admin.sock"
_MODE = 0o600
_LINE_SIZE_MAX = 1 << 16
_CONNECTIONS_MAX = 8  # one more, and the oldest is closed
_ANSWER_SECONDS = 10.0
_REASON_SIZE_MAX = 1000
_FRAMES_MAX = 20  # of a traceback: a recursion has a thousand

Request = Mapping[str, Any]
Command = Callable[[Request], dict[str, Any]]
Say = Callable[[str], None]


def answer_to(command: Command, request: Request, say: Say) -> dict[str, Any]:
    """What `command` makes of a request, or why not: no request ends the market.

    say: a fault of the program is told here, once and with its traceback.
    """
    try:
        return {"ok": True, **command(request)}
    except ExchangeError as error:
        return {"ok": False, "reason": str(error), "exit_code": error.exit_code}
    except Exception as error:  # of one request, while everybody trades
        say(f"the request `{request['do']}` failed; the exchange goes on\n{_traceback(error)}")
        reason = f"`{request['do']}` failed: {type(error).__name__}: {error}; see the log"
        return {"ok": False, "reason": reason[:_REASON_SIZE_MAX]}


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error, limit=-_FRAMES_MAX)).rstrip()


@contextlib.contextmanager
def _address(state_directory: Path) -> Iterator[str]:
    """A short name of the socket: a path may be longer than an address has room for."""
    folder = os.open(state_directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


class AdminServer:
    """Listens from its creation on, until `close`. `selector` calls what is registered with it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        state_directory: Path,
        commands: Mapping[str, Command],
        say: Say,
    ) -> None:
        """commands: by the request's `do`; an error is an answer too. say: hears of faults."""
        self._selector = selector
        self._path = state_directory / SOCKET
        self._commands = commands
        self._say = say
        self._connections: deque[_Connection] = deque()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._path.unlink(missing_ok=True)  # of one that died; the directory is ours
        before = os.umask(0o777 & ~_MODE)
        try:
            with _address(state_directory) as address:
                self._listener.bind(address)
        finally:
            os.umask(before)
        self._listener.listen()  # a full backlog refuses at once whoever has a timeout
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Hear nobody any more."""
        for each in list(self._connections):
            self._drop(each)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            accepted, _ = self._listener.accept()
            accepted.setblocking(False)
            connection = _Connection(accepted)
            self._connections.append(connection)
            self._selector.register(accepted, selectors.EVENT_READ, lambda: self._hear(connection))
            if len(self._connections) > _CONNECTIONS_MAX:
                self._drop(self._connections[0])

    def _hear(self, connection: _Connection) -> None:
        """Take what has come; a whole line is answered."""
        if connection not in self._connections:
            return  # it made room for another since the selector looked
        try:
            data = connection.socket.recv(_LINE_SIZE_MAX)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        connection.heard += data
        line, newline, _ = connection.heard.partition(b"\n")
        if newline:
            answer = json.dumps(self._answer(line)).encode() + b"\n"
            with contextlib.suppress(OSError):  # it is gone, or does not read
                connection.socket.send(answer, socket.MSG_NOSIGNAL)
        if newline or not data or len(connection.heard) > _LINE_SIZE_MAX:
            self._drop(connection)

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["do"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            known = ", ".join(sorted(self._commands))
            return {"ok": False, "reason": f"this is no request; known are: {known}"}
        return answer_to(command, request, self._say)

    def _drop(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._connections.remove(connection)


class _Connection:
    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.heard = b""


def ask(state_directory: Path, request: Request) -> dict[str, Any]:
    """The supervisor's answer. Raises ExchangeError with its reason, or when there is none."""
    try:
        with (
            _address(state_directory) as address,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client,
        ):
            client.settimeout(_ANSWER_SECONDS)
            client.connect(address)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline(_LINE_SIZE_MAX))
    except (OSError, ValueError) as error:
        raise ExchangeError(
            f"the supervisor does not answer at {state_directory / SOCKET} ({error});"
            " is it the user's own exchange, and does it run?"
        ) from error
    if not answer.pop("ok"):
        refusal = ExchangeError(str(answer["reason"]))
        refusal.exit_code = int(answer.get("exit_code", ExchangeError.exit_code))
        raise refusal
    return answer
