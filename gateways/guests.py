"""Shell: who is connected to a pump, and how one is shown out: its socket belongs to the pump."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any


@dataclass
class Guest:
    """A client that was handed over."""

    label: str  # for the log
    session: int
    descriptor: int  # the pump's, which closes it when it likes
    peer: Any  # address of the other end, or None: it was gone already
    reason: str = ""  # why we showed it out


def welcome(client: socket.socket, label: str, session: int) -> Guest:
    """The guest that this socket will be."""
    try:
        peer = client.getpeername()
    except OSError:
        peer = None
    return Guest(label, session, client.fileno(), peer)


def show_out(guest: Guest, reason: str) -> bool:
    """End the connection: the pump reads its end, as if the client had gone. False: it is gone.

    The number of the descriptor may be somebody else's by now, so that it is first held and looked
    at: a connection is named by the addresses of its ends.
    """
    try:
        held = os.dup(guest.descriptor)
    except OSError:
        return False
    try:
        connection = socket.socket(fileno=held)
    except OSError:  # no socket any more
        os.close(held)
        return False
    with connection:
        try:
            if guest.peer is None or connection.getpeername() != guest.peer:
                return False
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
    guest.reason = reason
    return True
