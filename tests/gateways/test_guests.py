"""Goal: whoever is shown out is the guest that was meant, never whoever has his descriptor now.

Method: real connections over loopback, whose descriptors are closed and taken by others.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from gateways.guests import Guest, show_out, welcome

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as it:
        yield it


def connected(listener: socket.socket) -> Pair:
    """Both ends of a connection: the client's, ours."""
    client = socket.create_connection(listener.getsockname())
    client.settimeout(10)
    return client, listener.accept()[0]


def handed_over(listener: socket.socket) -> tuple[socket.socket, Guest]:
    """A client, and the guest that it is once its descriptor is the pump's."""
    client, ours = connected(listener)
    guest = welcome(ours, "somebody", 7)
    ours.detach()
    return client, guest


def test_the_connection_ends_and_the_descriptor_stays(listener: socket.socket) -> None:
    """For the pump to read the end, and to close."""
    client, guest = handed_over(listener)
    assert show_out(guest, "an operator kicked it")
    assert client.recv(1) == b""
    assert os.read(guest.descriptor, 1) == b""
    assert guest.reason == "an operator kicked it"
    os.close(guest.descriptor)
    client.close()


def test_whoever_has_the_descriptor_now_is_left_alone(listener: socket.socket) -> None:
    """Another connection, a file, nobody: the guest had left by itself."""
    client, guest = handed_over(listener)
    other, ours = connected(listener)
    os.dup2(ours.fileno(), guest.descriptor)
    assert not show_out(guest, "an operator kicked it")
    ours.sendall(b"x")
    assert other.recv(1) == b"x"

    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, guest.descriptor)
    assert not show_out(guest, "an operator kicked it")
    os.close(null)
    os.close(guest.descriptor)
    assert not show_out(guest, "an operator kicked it")
    assert guest.reason == ""
    for each in (client, other, ours):
        each.close()


def test_who_is_gone_before_he_is_handed_over_is_no_guest(listener: socket.socket) -> None:
    """There is no address to know him by."""
    with socket.socket() as never_connected:
        guest = welcome(never_connected, "somebody", 7)
        assert guest.peer is None and not show_out(guest, "an operator kicked it")
