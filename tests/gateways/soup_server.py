"""A SoupBinTCP server for tests: asyncio around `ServerSession`, streams in memory.

Each (session id, username) has one stream; a login is served from the requested number on. What a
client sends goes to `answer`, whose messages are appended to the client's stream.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateways.sessions import PeerError, ServerSession

SESSION_ID = "S000000001"
Answer = Callable[[str, bytes], list[bytes]]


class SoupServer:
    """The streams and the connections to them."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.streams: dict[str, list[bytes]] = {}
        self.received: list[bytes] = []
        self.errors: list[str] = []
        self.logins: list[tuple[str, int]] = []
        self.chunk = 1 << 20  # bytes written at a time
        self.mute = False  # no heartbeats, no answers
        self.port = 0
        self._answer = answer or (lambda username, message: [])
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        self._writers.add(writer)
        session = ServerSession()
        beat = asyncio.create_task(self._beat(session, writer))
        try:
            while data := await reader.read(65_536):
                for packet in session.receive(data):
                    if packet.type == "L":
                        await self._log_in(session, writer)
                    elif packet.type == "U":
                        self.received.append(packet.payload)
                        self.post(session.request.username, packet.payload)
                if session.ended:
                    break
                await self._flush(session, writer)
        except (PeerError, OSError) as error:
            self.errors.append(str(error))
        finally:
            beat.cancel()
            self._writers.discard(writer)
            writer.close()

    def post(self, username: str, message: bytes) -> None:
        """Let `answer` answer."""
        self.streams.setdefault(username, []).extend(self._answer(username, message))

    async def _log_in(self, session: ServerSession, writer: asyncio.StreamWriter) -> None:
        request = session.request
        self.logins.append((request.session, request.sequence))
        if request.password != "DEMO":
            await self._write(writer, session.reject("A"))
        elif request.session not in ("", SESSION_ID):
            await self._write(writer, session.reject("S"))
        else:
            end = len(self.streams.setdefault(request.username, [])) + 1
            wanted = request.sequence
            first = wanted if 0 < wanted < end else end
            await self._write(writer, session.accept(SESSION_ID, first))

    async def _flush(self, session: ServerSession, writer: asyncio.StreamWriter) -> None:
        if not session.logged_in or self.mute:
            return
        stream = self.streams[session.request.username]
        data = b"".join(session.send(message) for message in stream[session.sequence - 1 :])
        await self._write(writer, data)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for start in range(0, len(data), self.chunk):
            writer.write(data[start : start + self.chunk])
            await writer.drain()
            if self.chunk < 100:
                await asyncio.sleep(0)

    async def _beat(self, session: ServerSession, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(0.05)
            if session.logged_in and not self.mute:
                writer.write(session.tick(time.monotonic_ns()))
                await self._flush(session, writer)

    async def end_day(self) -> None:
        """Say `Z` to everybody."""
        for writer in list(self._writers):
            writer.write(b"\x00\x01Z")
            await writer.drain()

    def drop(self) -> None:
        """Cut every connection."""
        for writer in list(self._writers):
            writer.transport.abort()


@asynccontextmanager
async def running(server: SoupServer) -> AsyncIterator[SoupServer]:
    """The server on a free port of the loopback."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        server.drop()
        await asyncio.sleep(0)


class TinyExchange:
    """Accepts each number once, cancels what it is told to, answers queries. Never trades."""

    def __init__(self) -> None:
        self.last = 0

    def answer(self, username: str, message: bytes) -> list[bytes]:
        """The sequenced messages that answer `message`."""
        letter = message[:1]
        if letter == b"O":
            (number,) = struct.unpack_from(">I", message, 1)
            if number <= self.last:
                return []
            self.last = number
            head = b"A" + struct.pack(">QI", 123, number)
            reference = struct.pack(">Q", 1 << 48 | number)
            order = message[5:28] + reference + message[28:31] + b"L" + message[31:45]
            return [head + order + b"\x00\x00"]
        if letter == b"X":
            (number,) = struct.unpack_from(">I", message, 1)
            return [b"C" + struct.pack(">QIIc", 124, number, 100, b"U") + message[9:11]]
        if letter == b"Q":
            return [b"Q" + struct.pack(">QI", 125, self.last + 1) + message[1:3]]
        return []
