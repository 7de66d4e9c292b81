"""Goal: nothing that is sent to the admin socket, in whatever order, ends the supervisor's loop.

Method: the server in a selector of the test, whose events are handled in the order that hurts.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringbuf import layout
from shm_exchange import operations, wiring
from shm_exchange.admin import SOCKET, AdminServer, Command
from shm_exchange.config import built_in
from shm_exchange.session_requests import Register

CONNECTIONS = 9  # one more than are kept


def connect(folder: Path) -> socket.socket:
    """A client that has sent half a line."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(folder / SOCKET))
    client.sendall(b'{"do": ')
    return client


def test_who_makes_room_for_another_is_heard_no_more(tmp_path: Path) -> None:
    """The oldest has sent something and is dropped before its turn, in one look at the selector."""
    with selectors.DefaultSelector() as selector:
        server = AdminServer(selector, tmp_path, {}, print)
        clients = []
        for _ in range(CONNECTIONS - 1):
            clients.append(connect(tmp_path))
            for key, _ in selector.select(10):
                key.data()
        clients.append(connect(tmp_path))
        for each in clients[:-1]:
            each.sendall(b"and more")
        events = sorted(selector.select(10), key=lambda event: event[0].fd)
        assert len(events) == CONNECTIONS  # the listener, and everybody who is connected
        for key, _ in events:
            key.data()
        with pytest.raises(ConnectionResetError):  # dropped, unread
            clients[0].recv(1)
        clients[-1].sendall(b"1}\n")
        while selector.select(0):
            for key, _ in selector.select(0):
                key.data()
        assert b"this is no request" in clients[-1].recv(1000)
        server.close()
        for each in clients:
            each.close()


KEYS = ["engine", "limits", "password_hash", "reason", "session", "state", "symbol", "trade"]
VALUES: list[Any] = [[1], {}, {"order_quantity": [1]}, {"order_quantity": "1e999999999999"}]
VALUES += [None, True, -1, 1 << 70, 1.5, "", "\ud800", "T001", "AAPL", float("inf")]
GOOD = {"symbol": "AAPL", "state": "halted", "reason": "", "engine": 1, "session": "T001"}


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[dict[str, Command]]:
    """All that may be asked of an exchange of which nothing runs."""
    name = f"ad{os.getpid()}"
    engine = wiring.create(
        name, 1, 1, 0, event_records=1024, command_records=256, gateway_count=0, gated=False
    )
    engine.control.words[layout.EPOCH] = 1
    yield operations.of([], Register(built_in(), tmp_path), {1: engine}, lambda number: None)
    for each in engine.segments:
        each.unlink()
    engine.close()


def answers(folder: Path, commands: dict[str, Command], lines: list[bytes]) -> list[Any]:
    """What the server answers to each line."""
    found = []
    with selectors.DefaultSelector() as selector:
        server = AdminServer(selector, folder, commands, lambda text: None)
        for line in lines:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(folder / SOCKET))
                client.sendall(line + b"\n")
                client.setblocking(False)
                data = b""
                while not data.endswith(b"\n"):
                    for key, _ in selector.select(0):
                        key.data()
                    try:
                        data += client.recv(1 << 16)
                    except BlockingIOError:
                        continue
            found.append(json.loads(data))
        server.close()
    return found


def test_a_value_of_another_type_is_refused(commands: dict[str, Command], tmp_path: Path) -> None:
    """In every field of every request; what was asked is answered, and so is the next one."""
    lines = [
        json.dumps(GOOD | {"do": do, key: value}).encode()
        for do in commands
        for key in KEYS
        for value in VALUES
    ]
    found = answers(tmp_path, commands, lines)
    assert len(found) == len(lines)
    assert {each["ok"] for each in found} == {True, False}
    refused = [each["reason"] for each in found if not each["ok"]]
    assert all(0 < len(each) <= 1000 for each in refused)


def test_what_is_no_request_is_refused(tmp_path: Path) -> None:
    """Brackets that no parser follows, text that is none, and what nobody can be asked."""
    lines = [b"[" * 60_000, b"\xff", b"{}", b"1", b'{"do": [1]}', b'{"do": {}}', b'"do"']
    for each in answers(tmp_path, {}, lines):
        assert each["ok"] is False and "this is no request" in each["reason"]


def test_a_fault_of_the_program_is_told_once_and_answered(tmp_path: Path) -> None:
    """With the request's name and a traceback in the log; the exchange goes on."""
    said: list[str] = []
    with selectors.DefaultSelector() as selector:
        server = AdminServer(selector, tmp_path, {"some": lambda request: {}[1]}, said.append)
        client = connect(tmp_path)
        client.sendall(b'"some"}\n')
        while not said:
            for key, _ in selector.select(1):
                key.data()
        answer = json.loads(client.recv(1 << 16))
        server.close()
        client.close()
    (line,) = said
    assert "the request `some` failed" in line and "KeyError" in line
    assert answer["ok"] is False and "`some` failed: KeyError" in answer["reason"]
