"""Shell: where an exchange can be reached, and logging in there, again if need be."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

from gateways.packets import (
    DEBUG_TYPE,
    HEADER_SIZE,
    LENGTH_SIZE,
    LOGIN_ACCEPTED_TYPE,
    LOGIN_REJECTED_TYPE,
    REJECT_NOT_AUTHORIZED,
    SERVER_HEARTBEAT_TYPE,
)
from gateways.sessions import ClientSession, PeerError
from shm_exchange import accounts, config, presence
from shm_exchange.addresses import split_address
from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError

_ATTEMPT_SECONDS_MIN, _ATTEMPT_SECONDS_MAX = 0.25, 5.0


class ReplayError(ExchangeError):
    """The replay cannot begin, or cannot go on."""


class Credential(NamedTuple):
    """What a session logs in with."""

    username: str
    password: str


class Door(NamedTuple):
    """The gateways of one kind that serve an engine, by the name of its streams."""

    name: str  # of the exchange
    kind: str  # "order" or "market_data"
    engine: int
    stream: str
    remedy: str = "name the exchange's configuration with --config"  # for a password that is wrong

    def addresses(self) -> list[str]:
        """As the supervisor announces them now: a gateway may have come back elsewhere."""
        found = [
            each["address"]
            for each in presence.find(self.name)["gateways"]
            if each["kind"] == self.kind and self.engine in each["engines"]
        ]
        if not found:
            raise ReplayError(
                f"the exchange named {self.name} has no gateway of kind {self.kind} for engine "
                f"{self.engine}; add one to its configuration"
            )
        return found

    def log_in(
        self, credential: Credential, sequence: int, number: int, attempt: int
    ) -> tuple[int, int] | Exception:
        """A descriptor, logged in, and the number of the next sequenced message.

        Or why that was not possible now. sequence: as in a login request. The gateways are tried in
        turn, the first one by the connection's number, and with more patience at each attempt.
        Raises ReplayError when it will never be possible.
        """
        addresses = self.addresses()
        address = addresses[(number + attempt) % len(addresses)]
        seconds = min(_ATTEMPT_SECONDS_MIN * 2.0 ** min(attempt, 8), _ATTEMPT_SECONDS_MAX)
        try:
            return self._try(address, credential, sequence, seconds)
        except (OSError, PeerError) as problem:
            return problem

    def _try(
        self, address: str, credential: Credential, sequence: int, seconds: float
    ) -> tuple[int, int]:
        session = ClientSession(*credential, self.stream, sequence)
        with socket.create_connection(split_address(address), seconds) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(session.login())
            # No byte behind the answer is taken: that belongs to the loop.
            packet = _packet(client)
            while packet[LENGTH_SIZE] in (DEBUG_TYPE, SERVER_HEARTBEAT_TYPE):
                packet = _packet(client)
            if packet[LENGTH_SIZE] == LOGIN_REJECTED_TYPE:
                if packet[HEADER_SIZE] == REJECT_NOT_AUTHORIZED:
                    raise ReplayError(
                        f"{address}: wrong password for {credential.username}, or an operator has"
                        f" disabled it; {self.remedy}, or `shmx session enable"
                        f" {credential.username}`"
                    )
                raise PeerError("the session is not available")
            if packet[LENGTH_SIZE] != LOGIN_ACCEPTED_TYPE:
                raise PeerError("the login was not answered")
            session.receive(packet)
            client.setblocking(False)
            return client.detach(), session.sequence


def _packet(client: socket.socket) -> bytes:
    """Exactly one packet."""
    header = _exactly(client, HEADER_SIZE)
    length = int.from_bytes(header[:LENGTH_SIZE], "big")
    return header + _exactly(client, length - (HEADER_SIZE - LENGTH_SIZE))


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        received = client.recv(size - len(data))
        if not received:
            raise PeerError("the connection was closed")
        data += received
    return data


def configuration_of(state_directory: Path) -> Configuration:
    """What the exchange of a state directory was started with."""
    copy = state_directory / presence.CONFIGURATION_COPY
    return accounts.running(config.load(copy if copy.exists() else None), state_directory)


def locate(configuration: Configuration, symbol: str) -> tuple[int, int]:
    """Engine of an instrument, and its number there. Raises ReplayError."""
    for engine in configuration.engines:
        for number, each in enumerate(configuration.instruments_of(engine.id)):
            if each.symbol == symbol:
                return engine.id, number
    known = ", ".join(each.symbol for each in configuration.instruments[:20])
    raise ReplayError(f"there is no instrument {symbol}; known are {known}")


def credentials_of(configuration: Configuration, count: int) -> list[Credential]:
    """The first `count` sessions whose password is known. Raises ReplayError."""
    known = [
        Credential(each.username, each.password)
        for each in configuration.sessions
        if each.password is not None
    ]
    if len(known) < count:
        raise ReplayError(
            f"the configuration has {len(known)} sessions with a password in clear, "
            f"{count} are asked for; add some or ask for fewer with --sessions"
        )
    return known[:count]
