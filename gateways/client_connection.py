"""Shell: a logged-in SoupBinTCP connection over asyncio, with its heartbeats.

The common part of the Python clients: it logs in, keeps the connection alive in the background and
queues what arrives, up to a limit; beyond it the socket is not read, and TCP holds the server back.
What has arrived outlives the connection, so that the next one continues behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import ClassVar, Generic, NamedTuple, Self, TypeVar

from gateways.sessions import ClientSession, Packet, PeerError
from gateways.typed import Message, decode

QUEUE_LIMIT = 65_536  # messages that have arrived and were not yet taken
READ_SIZE = 262_144
TICK_SECONDS = 0.25
LOGIN_TIMEOUT_SECONDS = 30.0
CLOSE_TIMEOUT_SECONDS = 5.0
RECONNECT_PAUSE_SECONDS = 0.05
TIMEOUT_MS_MAX = 99_999  # a login has five characters for it
TURN_SECONDS = 0.05  # for which one who takes may keep the event loop to himself

_REASONS = {"A": "not authorized: wrong username or password", "S": "no such session"}

Item = TypeVar("Item")


class LoginRejected(ConnectionError):
    """The server refused the login; `reason` is its letter, `A` or `S`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"login rejected: {_REASONS.get(reason, reason)}")
        self.reason = reason


class Connection(Generic[Item]):
    """One TCP connection of a session at a time. `take()` returns what `convert` made of a packet.

    `convert` is called for each application packet in order of arrival, before anybody takes it;
    `lost` is called when a connection is over.
    """

    def __init__(self, convert: Callable[[Packet], Item], lost: Callable[[], None]) -> None:
        self.session = ""  # the id that the server named
        self.next_sequence = 0  # number of the next message to arrive
        self._convert = convert
        self._call_when_lost = lost
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()  # something to take, or nothing more will come
        self._room = asyncio.Event()
        self._waits_for_room = False
        self._turn_ends = 0.0
        self._over = True
        self._error: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._soup: ClientSession
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self, host: str, port: int, soup: ClientSession) -> None:
        """Connect and log in. Raise LoginRejected, PeerError, TimeoutError or OSError."""
        async with asyncio.timeout(LOGIN_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                early = await _log_in(soup, reader, writer)
            except BaseException:
                writer.close()
                raise
        self._soup, self._reader, self._writer = soup, reader, writer
        self.session = soup.session
        self.next_sequence = soup.sequence - sum(each.type == "S" for each in early)
        self._over, self._error = False, None
        self._tasks = [
            asyncio.create_task(self._read(early)),
            asyncio.create_task(self._keep_alive()),
        ]

    async def _read(self, packets: list[Packet]) -> None:
        try:
            while True:
                for packet in packets:
                    await self._deliver(packet)
                if self._soup.ended:
                    return
                data = await self._reader.read(READ_SIZE)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                packets = self._soup.receive(data)
        except (PeerError, OSError) as error:
            self._error = self._error or error
        finally:
            self._end()

    def _end(self) -> None:
        """The connection is over: say so once, to whoever waits."""
        if self._over:
            return
        self._over = True
        self._writer.close()
        self._arrived.set()
        self._call_when_lost()

    async def _deliver(self, packet: Packet) -> None:
        if packet.type not in ("S", "U"):
            return
        while len(self._items) >= QUEUE_LIMIT:
            self._waits_for_room = True
            self._room.clear()
            await self._room.wait()
            self._waits_for_room = False
        self._items.append(self._convert(packet))
        if packet.sequence:
            self.next_sequence = packet.sequence + 1
        self._arrived.set()

    async def _keep_alive(self) -> None:
        while not self._over:
            await asyncio.sleep(TICK_SECONDS)
            if self._waits_for_room:
                self._soup.heard()  # the silence is ours
            try:
                data = self._soup.tick(time.monotonic_ns())
            except PeerError as error:
                self._error = error
                self._writer.transport.abort()
                return
            if data and not self._writer.is_closing():
                self._writer.write(data)

    @property
    def connected(self) -> bool:
        """Whether what is sent now has a chance to arrive."""
        return not self._over and not self._writer.is_closing()

    async def send(self, *messages: bytes) -> None:
        """Send application messages; waits while the socket is full.

        They are on their way before anything is awaited. That the connection is lost is said by
        `take`.
        """
        self._writer.write(b"".join(map(self._soup.send, messages)))
        try:
            await self._writer.drain()
        except OSError as error:
            self._error = self._error or error

    async def take(self) -> Item | None:
        """The next item; None after the end of the session. ConnectionError: connection lost."""
        while not self._items:
            if self._over and self._error is not None:
                raise ConnectionResetError(f"connection lost: {self._error}") from self._error
            if self._over:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        if time.monotonic() >= self._turn_ends:
            # Whoever works off a long queue awaits nothing: without this no heartbeat would leave.
            await asyncio.sleep(0)
            self._turn_ends = time.monotonic() + TURN_SECONDS
        self._room.set()
        return self._items.popleft()

    async def close(self) -> None:
        """Log out and close. What was not taken is still there."""
        if self.connected:
            self._writer.write(self._soup.logout())
        await self.abandon()

    async def abandon(self) -> None:
        """Close without a word."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._tasks:
            return
        self._tasks = []
        self._end()  # a task that is cancelled before its first turn does nothing, not even this
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


async def _log_in(
    soup: ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> list[Packet]:
    """Log in; return what arrived behind the server's answer."""
    writer.write(soup.login())
    while True:
        data = await reader.read(READ_SIZE)
        if not data:
            raise ConnectionResetError("the server closed the connection during the login")
        packets = soup.receive(data)
        if packets and packets[0].type == "J":
            raise LoginRejected(packets[0].payload.decode("latin-1"))
        if packets:
            return packets[1:]


class Sequenced(NamedTuple):
    """A message with its number in the stream; 0: an unsequenced one."""

    sequence: int
    message: Message


class Client:
    """What both clients do: log in, deliver, reconnect."""

    catalogue: ClassVar[Mapping[str, type[Message]]]

    def __init__(
        self, host: str, port: int, username: str, password: str, heartbeat_timeout_ms: int | None
    ) -> None:
        if heartbeat_timeout_ms is not None and not 0 <= heartbeat_timeout_ms <= TIMEOUT_MS_MAX:
            raise ValueError(
                f"heartbeat_timeout_ms {heartbeat_timeout_ms} is not within 0 and {TIMEOUT_MS_MAX}"
            )
        self._host, self._port = host, port
        self._username, self._password = username, password
        self._heartbeat_timeout_ms = heartbeat_timeout_ms
        self._connection = Connection(self._convert, self._lost)

    @property
    def session(self) -> str:
        """The stream's id, as the server named it."""
        return self._connection.session

    @property
    def next_sequence(self) -> int:
        """Number of the next message that will arrive."""
        return self._connection.next_sequence

    @property
    def connected(self) -> bool:
        """False once the connection is lost or closed."""
        return self._connection.connected

    def _convert(self, packet: Packet) -> Sequenced:
        message = decode(self.catalogue, packet.payload)
        self._arrived(packet, message)
        return Sequenced(packet.sequence, message)

    def _arrived(self, packet: Packet, message: Message) -> None:
        """Called for each message in order of arrival."""

    def _lost(self) -> None:
        """Called when a connection is over."""

    async def _open(self, session: str, sequence: int) -> None:
        soup = ClientSession(
            self._username,
            self._password,
            session,
            sequence,
            heartbeat_timeout_ms=self._heartbeat_timeout_ms,
        )
        await self._connection.open(self._host, self._port, soup)

    async def reconnect(
        self, host: str | None = None, port: int | None = None, *, attempts: int = 100
    ) -> None:
        """Log in again, here or elsewhere, and continue at the next number of the same stream.

        What has arrived and was not taken yet is kept. Raise LoginRejected, or what the last
        attempt failed with; ValueError when there is to be no attempt.
        """
        if attempts < 1:
            raise ValueError(f"attempts {attempts}: at least one is needed")
        self._host, self._port = host or self._host, port or self._port
        await self._connection.abandon()
        for attempt in range(1, attempts + 1):
            try:
                await self._open(self.session, self.next_sequence)
                return
            except LoginRejected:
                raise
            except (OSError, PeerError):
                if attempt == attempts:
                    raise
                await asyncio.sleep(RECONNECT_PAUSE_SECONDS)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequenced:
        """The next message. Ends with the session; a lost connection is a ConnectionError."""
        item = await self._connection.take()
        if item is None:
            raise StopAsyncIteration
        return item

    async def close(self) -> None:
        """Log out. What has arrived can still be taken."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
