"""Shell: the GLIMPSE endpoint of a market-data gateway: a login, a snapshot, goodbye.

It lives on the Python side alone, beside the pumps: none of its clients is seen by a pump.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateways.control import Control, PumpDoor, log
from gateways.credentials import Credentials
from gateways.itch.follower import Follower
from gateways.login_request import Login
from gateways.packets import (
    CLIENT_HEARTBEAT_TYPE,
    DEBUG_TYPE,
    HEADER_SIZE,
    HEARTBEAT_INTERVAL_NS,
    LENGTH_SIZE,
    LOGIN_ACCEPTED,
    LOGIN_ACCEPTED_TYPE,
    REJECT_NO_SESSION,
    SERVER_HEARTBEAT_TYPE,
    SILENCE_LIMIT_NS,
)
from gateways.startup import open_mailbox
from shm_exchange.errors import ExchangeError

FIRST = 1  # a snapshot is told from its first message on
CLIENTS_MAX = 64  # per engine
READ_SECONDS = 60.0  # a client has so long to read a snapshot
GOODBYE_SECONDS = SILENCE_LIMIT_NS / 1e9  # and so long to leave afterwards
_HEARTBEAT_SECONDS = HEARTBEAT_INTERVAL_NS / 1e9
_PACKET_LENGTH_MAX = 1024
HEARTBEAT = (1).to_bytes(2, "big") + bytes([SERVER_HEARTBEAT_TYPE])
_STILL_HERE = (CLIENT_HEARTBEAT_TYPE, DEBUG_TYPE)


def login_accepted(session: str) -> bytes:
    """`A`: the snapshot begins with number 1."""
    length = LOGIN_ACCEPTED.size - LENGTH_SIZE
    text = f"{session:>10}{FIRST:>20}"
    return length.to_bytes(2, "big") + bytes([LOGIN_ACCEPTED_TYPE]) + text.encode("ascii")


def says_goodbye(data: bytearray) -> bool:
    """Whether whole packets at the beginning of `data` end the connection; others are removed."""
    while len(data) >= HEADER_SIZE:
        length = int.from_bytes(data[:LENGTH_SIZE], "big")
        if data[LENGTH_SIZE] not in _STILL_HERE or not 1 <= length <= _PACKET_LENGTH_MAX:
            return True
        if LENGTH_SIZE + length > len(data):
            return False
        del data[: LENGTH_SIZE + length]
    return False


async def say_goodbye(client: socket.socket) -> None:
    """Return when the client leaves; meanwhile say every second that we are here."""
    loop = asyncio.get_running_loop()
    received, said = bytearray(), loop.time()
    while not says_goodbye(received):
        try:
            async with asyncio.timeout_at(said + _HEARTBEAT_SECONDS):
                await asyncio.sleep(0)  # whoever sends without end keeps nobody else waiting
                data = await loop.sock_recv(client, _PACKET_LENGTH_MAX)
        except TimeoutError:
            await loop.sock_sendall(client, HEARTBEAT)
            said = loop.time()
            continue
        if not data:
            return
        received += data


class Source(NamedTuple):
    """What a GLIMPSE endpoint has of one engine."""

    door: PumpDoor  # of the feed
    follower: Follower


class Glimpse(Control):
    """Accepts connections for snapshots of the engines of one gateway."""

    def __init__(
        self,
        credentials: Credentials,
        listener: socket.socket,
        sources: Sequence[Source],
        is_open: Callable[[], bool],
    ) -> None:
        doors = [
            PumpDoor(
                engine=each.door.engine,
                mailbox=open_mailbox(1),  # its bell is never rung
                stream=each.door.stream,
                free=list(range(CLIENTS_MAX)),
            )
            for each in sources
        ]
        super().__init__(credentials, doors, is_open)
        self._listener = listener
        self._followers = {each.door.engine: each.follower for each in sources}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await self.serve(self._listener, lambda: False)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def hand_over(
        self, door: PumpDoor, client: socket.socket, session: int, login: Login, address: str
    ) -> int:
        """Give a client what it came for. Only a snapshot from its beginning can be asked for."""
        if login.sequence > FIRST:
            log(f"{address}: snapshot for {login.username} refused: it begins with number 1")
            return REJECT_NO_SESSION
        task = asyncio.create_task(self._serve(door, door.free.pop(), client, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return 0

    async def _serve(
        self, door: PumpDoor, number: int, client: socket.socket, address: str
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(READ_SECONDS):
                snapshot = await asyncio.wrap_future(self._followers[door.engine].ask())
                await loop.sock_sendall(client, login_accepted(door.stream()))
                await loop.sock_sendall(client, snapshot.data)
            del snapshot  # others may be taken once this one is sent
            async with asyncio.timeout(GOODBYE_SECONDS):
                await say_goodbye(client)
        except TimeoutError:
            log(f"{address}: disconnected, it did not read its snapshot or did not leave")
        except (ExchangeError, OSError) as error:
            log(f"{address}: disconnected, no snapshot: {error}")
        finally:
            client.close()
            door.free.append(number)
