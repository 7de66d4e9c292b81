"""Shell: the re-request server of MoldUDP64: what a listener missed, from the feed's log.

Between two short rests it reads a bounded number of requests, and answers a bounded number to each
address and second; what comes beyond that is dropped, by the kernel or here. Who asks for what is
not there, or in another form, gets no answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import numpy as np

from gateways.itch.ended_feed import EndedFeed
from gateways.itch.feed_log import FeedLog
from gateways.itch.mold import MOLD_HEADER_SIZE, answer_request
from gateways.itch.mold_packets import PACKET_SIZE_MAX, SESSION_SIZE
from gateways.itch.state import FeedPump
from gateways.startup import stream_name

REQUESTS_PER_LOOK = 32
LOOK_SECONDS = 0.005
_RECEIVE_BUFFER_SIZE = 1 << 16
_NAME = struct.Struct("<qh")  # ten characters, raw: stream_0 and stream_1


def open_requests(host: str, port: int) -> socket.socket:
    """The server's socket. Raises OSError naming the address."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.setblocking(False)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_SIZE)
        server.bind((host, port))
    except OSError as error:
        server.close()
        raise OSError(
            error.errno, f"{host}:{port}: {error.strerror}; choose another address"
        ) from error
    return server


class RequestServer:
    """Answers from the log that the pump of one engine serves from, and from that before it."""

    def __init__(
        self,
        server: socket.socket,
        pump: Callable[[], FeedPump],
        ended: Callable[[], EndedFeed],
        rate_max: int,
    ) -> None:
        """rate_max: requests of one address that are answered in a second."""
        self._server = server
        self._pump = pump
        self._ended = ended
        self._rate_max = rate_max
        self._second = -1
        self._counts: dict[str, int] = {}
        self._packet = np.zeros(PACKET_SIZE_MAX, np.uint8)

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    request, address = await loop.sock_recvfrom(self._server, MOLD_HEADER_SIZE + 1)
                except OSError:  # of an answer that did not arrive
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                self.answer(request, address, int(loop.time()))
                self.look(int(loop.time()))
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._server.close()

    def look(self, second: int) -> None:
        """Answer what has arrived, within bounds."""
        for _ in range(REQUESTS_PER_LOOK - 1):
            try:
                request, address = self._server.recvfrom(MOLD_HEADER_SIZE + 1)
            except OSError:  # there is no more, or an answer found nobody
                return
            self.answer(request, address, second)

    def answer(self, request: bytes, address: tuple[str, int], second: int) -> None:
        """Answer one request, if it is one and its address has not had its share."""
        if len(request) != MOLD_HEADER_SIZE or not self.may_ask(address[0], second):
            return
        name, log = self._feed_of(request)
        if log is None:
            return
        stream_0, stream_1 = _NAME.unpack(name)
        data = np.frombuffer(request, np.uint8)
        size = int(answer_request(log, stream_0, stream_1, data, self._packet))
        if size:
            try:
                self._server.sendto(self._packet[:size].data, address)
            except OSError:  # no room, or nobody there: it will ask again
                return

    def _feed_of(self, request: bytes) -> tuple[bytes, FeedLog | None]:
        """Name and log of the feed that ended last, if it is the one that is named, or of today's.

        The name is read first: when the day rolls the feed that ends is kept, then the pump has
        another log, and then another name.
        """
        name = stream_name(self._pump().market).encode()
        log = self._pump().log
        ended = self._ended()
        if request[:SESSION_SIZE] == ended.name:
            return ended.name, ended.log
        return name, log

    def may_ask(self, host: str, second: int) -> bool:
        """Count a request of this second; False when there were too many."""
        if second != self._second:
            self._second = second
            self._counts.clear()
        count = self._counts.get(host, 0) + 1
        self._counts[host] = count
        return count <= self._rate_max
