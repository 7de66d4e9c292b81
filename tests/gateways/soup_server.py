"""A SoupBinTCP server for tests: asyncio around `ServerSession`, streams in memory.

Each (session id, username) has one stream; a login is served from the requested number on. What a
client sends goes to `answer`, whose messages are appended to the client's stream.
"""

from __future__ import annotations

import asyncio
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
