"""Goal: nothing that is sent to the admin socket, in whatever order, ends the supervisor's loop.

Method: the server in a selector of the test, whose events are handled in the order that hurts.
"""

from __future__ import annotations

import selectors
import socket
from pathlib import Path

import pytest

from shm_exchange.admin import SOCKET, AdminServer

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
        server = AdminServer(selector, tmp_path, {})
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
