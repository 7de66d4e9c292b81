"""Traders for whole exchanges: a module's exchange, clients on asyncio, a client of raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateways.client import ItchClient, OuchClient
from gateways.client_connection import Client
from gateways.ouch.typed_messages import MESSAGES, AccountQueryResponse
from gateways.typed import Message
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    NOTHING,
    ORDER_GATEWAY,
    Exchange,
    sweep,
)

PATIENCE_SECONDS = 60.0  # a step of a scenario, on a machine that does other things as well
FIRST_NUMBER = 10_000  # names of exchanges differ from those of the fixture `exchange`
SESSION_COUNT = 99
INSTRUMENT_COUNT = 40
PASSWORD = "demo"

_numbers = itertools.count(FIRST_NUMBER)


def instruments(engine: int, letter: str, count: int = INSTRUMENT_COUNT) -> str:
    """Tables of instruments A01, A02 ... : tick 0.01, prices from 1.00 to 1,000.00."""
    return "".join(
        f'[[instrument]]\nsymbol = "{letter}{number:02}"\nengine = {engine}\ntick = 0.01\n'
        f"price_min = 1.00\nprice_max = 1000.00\n"
        for number in range(1, count + 1)
    )


SESSIONS = f'[[session_range]]\nprefix = "S"\nlast = {SESSION_COUNT}\npassword = "{PASSWORD}"\n'
MARKET = ENGINES + SESSIONS + instruments(1, "A") + 2 * ORDER_GATEWAY + MARKET_DATA_GATEWAY


@contextmanager
def running(
    folder: Path, configuration: str = MARKET, environment: Mapping[str, str] = NOTHING
) -> Iterator[Exchange]:
    """An exchange that is READY; afterwards it is gone, whatever has happened."""
    sweep()
    it = Exchange(folder, configuration, f"pt{os.getpid()}x{next(_numbers)}", environment)
    try:
        it.start()
        yield it
    finally:
        it.destroy()


def ports(it: Exchange, kind: str = "order") -> list[int]:
    """Where the gateways of a kind listen, in the order of the configuration."""
    addresses = [each["address"] for each in it.running()["gateways"] if each["kind"] == kind]
    return [int(each.rpartition(":")[2]) for each in addresses]


def listen_to(group: str) -> socket.socket:
    """A socket that hears a multicast group, on loopback, at any free port."""
    it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    it.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    it.bind((group, 0))
    membership = socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
    it.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    it.settimeout(PATIENCE_SECONDS)
    return it


def play(scenario: Coroutine[Any, Any, None], seconds: float = 3 * PATIENCE_SECONDS) -> None:
    """Run a scenario to its end."""

    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await scenario

    asyncio.run(limited())


async def order_client(port: int, username: str, **options: Any) -> OuchClient:
    """Log in for order entry."""
    return await OuchClient.connect("127.0.0.1", port, username, PASSWORD, **options)


async def feed_client(port: int, username: str = "S01", **options: Any) -> ItchClient:
    """Log in for market data."""
    return await ItchClient.connect("127.0.0.1", port, username, PASSWORD, **options)


def trade(
    it: Exchange, username: str, scenario: Callable[[OuchClient], Coroutine[Any, Any, None]]
) -> None:
    """Run a scenario with a client of the first order gateway that hears what is new."""

    async def logged_in() -> None:
        async with await order_client(ports(it)[0], username, sequence=0) as client:
            await scenario(client)

    play(logged_in())


async def take(client: Client, count: int) -> list[Message]:
    """The next `count` messages."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [(await anext(client)).message for _ in range(count)]


async def settle(client: OuchClient) -> list[Message]:
    """Everything that what was sent has led to, without the answer of the barrier behind it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.account_query()
        found: list[Message] = []
        while not isinstance(message := (await anext(client)).message, AccountQueryResponse):
            found.append(message)
        return found


async def said(client: OuchClient) -> list[tuple[Any, ...]]:
    """The same in brief: letter of the message, UserRefNum, and what matters most in it."""
    return [brief(each) for each in await settle(client)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other processes do."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


_BRIEF = {
    "A": ("user_ref_num", "quantity"),
    "U": ("original_user_ref_num", "user_ref_num", "quantity"),
    "C": ("user_ref_num", "quantity", "reason"),
    "D": ("user_ref_num", "decrement_shares", "liquidity_flag"),
    "E": ("user_ref_num", "quantity", "liquidity_flag"),
    "J": ("user_ref_num", "reason"),
    "M": ("user_ref_num", "side", "quantity"),
    "Q": ("next_user_ref_num",),
    "R": ("user_ref_num", "reason"),
    "S": ("event_code",),
    "X": ("user_ref_num", "symbol"),
    "G": ("user_ref_num", "firm"),
    "K": ("user_ref_num", "firm"),
}
_LETTERS = {cls: letter for letter, cls in MESSAGES.items()}


def brief(message: Message) -> tuple[Any, ...]:
    """The letter of an OUCH message, and what matters most in it."""
    letter = _LETTERS[type(message)]
    return (letter, *(getattr(message, each) for each in _BRIEF[letter]))


# ---------------------------------------------------------------- raw bytes


def login(
    username: str,
    password: str = PASSWORD,
    session: str = "",
    sequence: int | str = 1,
    timeout_ms: int | None = None,
) -> bytes:
    """A login request of SoupBinTCP 3.00, or 4.10 with a heartbeat timeout."""
    payload = f"{username:<6}{password:<10}{session:>10}{sequence:>20}".encode("ascii")
    return packet(b"L", payload + (b"" if timeout_ms is None else b"%5d" % timeout_ms))


def throw_away(connection: socket.socket) -> None:
    """Read whatever comes until the end."""
    with contextlib.suppress(OSError):
        while connection.recv(1 << 18):
            pass


def packet(kind: bytes, payload: bytes = b"") -> bytes:
    """A SoupBinTCP packet."""
    return struct.pack(">Hc", 1 + len(payload), kind) + payload


class RawClient:
    """A blocking socket, and packets as they are."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.session = ""
        self.next_sequence = 0
        self._buffer = b""
        self._start = 0

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.socket.sendall(data)

    def say(self, message: bytes) -> None:
        """An application message."""
        self.send(packet(b"U", message))

    def log_in(self, username: str, **options: Any) -> RawClient:
        """Log in; must be accepted."""
        self.send(login(username, **options))
        answer = self.packet()
        assert answer[:1] == b"A" and len(answer) == 31, answer
        self.session = answer[1:11].decode("ascii")
        self.next_sequence = int(answer[11:])
        return self

    def packet(self) -> bytes:
        """Type and payload of the next packet; empty: the server closed. TimeoutError."""
        while (found := self._complete()) is None:
            try:
                data = self.socket.recv(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                data = b""
            if not data:
                return b""
            self._buffer = self._buffer[self._start :] + data
            self._start = 0
        return found

    def _complete(self) -> bytes | None:
        """The next packet that has arrived whole."""
        start = self._start + 2
        end = start + int.from_bytes(self._buffer[self._start : start], "big")
        if len(self._buffer) < start or len(self._buffer) < end:
            return None
        self._start = end
        return self._buffer[start:end]

    def messages(self, count: int) -> list[bytes]:
        """The next `count` sequenced messages; heartbeats are passed over."""
        found: list[bytes] = []
        while len(found) < count:
            each = self.packet()
            assert each, f"the server closed after {len(found)} of {count} messages"
            if each[:1] == b"S":
                found.append(each[1:])
        self.next_sequence += count
        return found

    def wait_closed(self) -> list[bytes]:
        """Every packet until the server closes."""
        found = []
        while each := self.packet():
            found.append(each)
        return found


def barrier(client: RawClient) -> list[bytes]:
    """What has been said until the answer of an account query, without it."""
    client.say(b"Q")
    found = []
    while (each := client.messages(1)[0])[:1] != b"Q":
        found.append(each)
    return found
