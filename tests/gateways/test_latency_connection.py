"""Goal: `shmx latency` says why it ended, whatever the exchange's end of the connection did.

Method: a door whose other end is here, and is closed at a moment of the test's choice.
"""

from __future__ import annotations

import socket
import threading
from typing import cast

import pytest

from gateways import latency
from gateways.load.logins import Credential, Door, ReplayError
from gateways.packets import SEQUENCED_TYPE
from gateways.sessions import packet

ANSWER = packet(SEQUENCED_TYPE, b"Q" + bytes(20))


class Ends:
    """Both ends of a connection, and a door that leads to one of them."""

    def __init__(self) -> None:
        self.client, self.server = socket.socketpair()

    def log_in(self, *_: object) -> tuple[int, int]:
        """As `Door.log_in`."""
        return self.client.detach(), 1


def connected(ends: Ends) -> object:
    """Logged in."""
    return latency._connected(cast(Door, ends), Credential("T01", "demo"))


@pytest.fixture
def ends() -> Ends:
    """An exchange that answers the account query."""
    it = Ends()
    it.server.sendall(ANSWER)
    return it


def test_why_it_ended_is_not_hidden_by_the_logout(ends: Ends) -> None:
    """Nobody reads it any more."""
    with pytest.raises(ReplayError, match="said before"), connected(ends):
        ends.server.close()
        raise ReplayError("said before")


def test_a_heartbeat_that_nobody_reads(ends: Ends) -> None:
    """A sentence, not a broken pipe, which click takes for the end of our own output."""
    with pytest.raises(ReplayError, match="closed the connection.*shmx status"):
        with connected(ends) as (client, _):
            ends.server.close()
            latency._heartbeat(client)


@pytest.mark.parametrize("answered", [b"", ANSWER[:9]], ids=["nothing", "a part"])
def test_an_account_query_that_is_cut_off(answered: bytes) -> None:
    """Closed in the middle, with the query unread or read."""
    ends = Ends()
    ends.server.sendall(answered)
    closing = threading.Timer(0.05, ends.server.close)
    closing.start()
    with pytest.raises(ReplayError, match="closed the connection.*shmx status"), connected(ends):
        pass
    closing.join()
