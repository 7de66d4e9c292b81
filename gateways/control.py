"""Shell: the Python side of a gateway: accepts, logs in, hands sockets to pumps, writes the log.

Nobody is accepted before the exchange is open: who comes too early waits in the listener's queue.
A connection belongs to Python until its login packet is there and right; then its descriptor goes
to the pump of the engine that the login names. A connection that never logs in costs the pump
nothing.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from gateways import mailbox as letters
from gateways.connection import CLOSE_DRAIN, CLOSE_LOGOUT, CLOSE_REASONS, CLOSE_ROLLED
from gateways.credentials import Credentials
from gateways.failed_logins import FailedLogins
from gateways.guests import Guest, welcome
from gateways.login_request import Login, parse_login
from gateways.mailbox import BELL, LETTER, Mailbox, post_inward, take_outward
from gateways.packets import (
    LENGTH_SIZE,
    LOGIN_LIMIT_NS,
    LOGIN_REJECTED,
    LOGIN_REJECTED_TYPE,
    LOGIN_REQUEST,
    LOGIN_REQUEST_4_10,
    REJECT_NO_SESSION,
    REJECT_NOT_AUTHORIZED,
)
from shm_exchange.operator_line import DEBUG, WARNING, say
from shm_exchange.passwords import folded

_LOGIN_SIZES = (LOGIN_REQUEST.size, LOGIN_REQUEST_4_10.size)
_BACKLOG = 1024
_RECEIVE_BUFFER_SIZE = 1 << 17  # of a client's socket, which the kernel doubles for its own needs
_PENDING_LOGINS_MAX = 10_000
_EVICTIONS_SAID_EVERY_SECONDS = 1.0
_DESCRIPTORS_WANTED = 65_536
_DESCRIPTORS_OF_OURS = 128  # segments, doorbells, the journal, the interpreter
_DEAD_SECONDS_MAX = 5.0  # how long a login waits for its session's last gateway to be declared dead
_EARLY_LOOK_SECONDS = 0.02
_DEAD_LOOK_SECONDS = 0.002
_OPEN_LOOK_SECONDS = 0.002
_IN_GOOD_ORDER = (CLOSE_LOGOUT, CLOSE_DRAIN, CLOSE_ROLLED)  # nobody has to act on these ends


@dataclass
class PumpDoor:
    """What the Python side knows of one pump."""

    engine: int
    mailbox: Mailbox
    stream: Callable[[], str]  # SoupBinTCP session id of the engine now
    free: list[int]  # connection numbers that nobody has
    guests: dict[int, Guest] = field(default_factory=dict)  # by connection number
    on_letter: Callable[[np.ndarray], None] | None = None  # letters that are not about closing
    is_bound: Callable[[int], bool] | None = None  # whether a dead gateway still has the session
    is_early: Callable[[int], bool] | None = None  # whether a message is not to be had yet

    @property
    def bell(self) -> int:
        """The eventfd that the pump rings: it wrote letters, or it has ended."""
        return int(self.mailbox.cursors[BELL])


def log(message: str, priority: int = WARNING) -> None:
    """One line on stderr for somebody who may have to act on it."""
    say(message, priority)


class Control:
    """Accepts connections for the pumps of one gateway."""

    def __init__(
        self, credentials: Credentials, doors: list[PumpDoor], is_open: Callable[[], bool]
    ) -> None:
        """is_open: whether clients may be let in; once they may, they always may."""
        self._credentials = credentials
        self._doors = doors
        self._is_open = is_open
        self._waiting = 0
        self._silent: dict[asyncio.Task[None], None] = {}  # no login request yet; oldest first
        self._silent_max = _descriptors_to_spare(doors)
        self._evicted = 0
        self._evictions_said = 0.0
        self._failures = FailedLogins()
        # One thread: a flood of passwords takes no more than a part of one core from the pumps.
        self._verifier = ThreadPoolExecutor(max_workers=1)
        self._letter = np.zeros(1, LETTER.dtype)

    async def serve(self, listener: socket.socket, stopping: Callable[[], bool]) -> None:
        """Accept until `stopping()`; the listener is closed then."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        accepting = asyncio.create_task(self._accept(loop, listener, tasks))
        ended = asyncio.Event()

        def answer(door: PumpDoor) -> None:
            os.eventfd_read(door.bell)
            self._read_letters(door)
            if stopping():
                ended.set()

        for door in self._doors:
            loop.add_reader(door.bell, answer, door)
        try:
            await ended.wait()
        finally:
            for door in self._doors:
                loop.remove_reader(door.bell)
            accepting.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(accepting, *tasks, return_exceptions=True)
            self._verifier.shutdown(wait=False, cancel_futures=True)
            listener.close()

    async def _accept(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        while not self._is_open():
            await asyncio.sleep(_OPEN_LOOK_SECONDS)
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors: those who leave make room
                log(f"a connection could not be accepted: {error.strerror}")
                await asyncio.sleep(0.1)
                continue
            if len(self._silent) >= self._silent_max:
                self._evict_oldest()
            elif self._waiting >= self._silent_max:
                client.close()
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.create_task(self._login(loop, client, str(address[0])))
            self._silent[task] = None
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _evict_oldest(self) -> None:
        """Whoever connects and says nothing makes room for whoever comes and logs in."""
        oldest = next(iter(self._silent))
        self._silent.pop(oldest)
        oldest.cancel()
        self._evicted += 1
        if time.monotonic() - self._evictions_said > _EVICTIONS_SAID_EVERY_SECONDS:
            log(f"too many connections without a login: {self._evicted} of the oldest were closed")
            self._evicted, self._evictions_said = 0, time.monotonic()

    async def _login(
        self, loop: asyncio.AbstractEventLoop, client: socket.socket, address: str
    ) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._waiting += 1
        handed_over = False
        try:
            async with asyncio.timeout(LOGIN_LIMIT_NS / 1e9) as limit:
                packet = await self._read_login(loop, client)
                self._silent.pop(this, None)
                login = parse_login(packet) if packet else None
                if login is None:
                    log(f"{address}: disconnected, no well-formed login request")
                    return
                if isinstance(login, int):
                    log(f"{address}: login refused: its name or its number is none")
                    await loop.sock_sendall(client, _rejected(login))
                    return
                reject = await self._decide(loop, client, login, address, limit)
                handed_over = reject == 0
                if reject:
                    await loop.sock_sendall(client, _rejected(reject))
        except (TimeoutError, OSError):
            log(f"{address}: disconnected before its login was complete")
        finally:
            self._waiting -= 1
            self._silent.pop(this, None)
            if not handed_over:
                client.close()

    async def _read_login(
        self, loop: asyncio.AbstractEventLoop, client: socket.socket
    ) -> bytes | None:
        """Exactly the login packet: what follows it belongs to the pump. None: it is not one."""
        data = b""
        wanted = LENGTH_SIZE
        while len(data) < wanted:
            received = await loop.sock_recv(client, wanted - len(data))
            if not received:
                return None
            data += received
            if len(data) == LENGTH_SIZE:
                wanted = LENGTH_SIZE + int.from_bytes(data, "big")
                if wanted not in _LOGIN_SIZES:
                    return None
        return data

    async def _decide(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        login: Login,
        address: str,
        limit: asyncio.Timeout,
    ) -> int:
        """Hand the client to a pump and return 0, or return the reason of the reject."""
        session = await self._verify(loop, login, address)
        if session is None:
            log(f"{address}: login of {login.username!r} refused: wrong name or password")
            return REJECT_NOT_AUTHORIZED
        door = self._door_of(login.session)
        if door is None:
            log(f"{address}: login of {login.username} refused: no session {login.session!r}")
            return REJECT_NO_SESSION
        await self._outwait_the_dead(door, session, login.username)
        await self._outwait_the_past(door, login.sequence, limit)
        if self._credentials.is_disabled(session):
            log(f"{address}: login of {login.username} refused: an operator disabled it")
            return REJECT_NOT_AUTHORIZED
        if not door.free:
            log(f"{address}: login of {login.username} refused: too many clients")
            return REJECT_NO_SESSION
        return self.hand_over(door, client, session, login, address)

    async def _verify(
        self, loop: asyncio.AbstractEventLoop, login: Login, address: str
    ) -> int | None:
        """The session that the login may have, when its turn has come."""
        who = address, folded(login.username)
        while (seconds := self._failures.wait_seconds(*who, time.monotonic())) > 0:
            await asyncio.sleep(seconds)
        session = version = None
        try:
            while version is not self._credentials.version:  # else it was changed meanwhile
                version = self._credentials.version
                session = await loop.run_in_executor(
                    self._verifier, self._credentials.check, login.username, login.password
                )
        finally:
            self._failures.checked(*who, time.monotonic(), succeeded=session is not None)
        return session

    async def _outwait_the_past(
        self, door: PumpDoor, sequence: int, limit: asyncio.Timeout
    ) -> None:
        """Hold a login until the message that it asks for is there, however long that takes."""
        if door.is_early is None or not door.is_early(sequence):
            return
        limit.reschedule(None)
        self._waiting -= 1  # it is in nobody's way
        try:
            while door.is_early(sequence):
                await asyncio.sleep(_EARLY_LOOK_SECONDS)
        finally:
            self._waiting += 1

    async def _outwait_the_dead(self, door: PumpDoor, session: int, username: str) -> None:
        """Hold a login until what its session left at a gateway that died is dealt with."""
        deadline = time.monotonic() + _DEAD_SECONDS_MAX
        while door.is_bound is not None and door.is_bound(session):
            if time.monotonic() > deadline:
                log(f"{username}: logs in although its last gateway is not declared dead")
                return
            await asyncio.sleep(_DEAD_LOOK_SECONDS)

    def _door_of(self, session: str) -> PumpDoor | None:
        """The pump whose stream is called `session`; blank is the gateway's first engine."""
        if not session:
            return self._doors[0]
        for door in self._doors:
            if door.stream().strip() == session.strip():
                return door
        return None

    def hand_over(
        self, door: PumpDoor, client: socket.socket, session: int, login: Login, address: str
    ) -> int:
        """Give a client that logged in to its pump: 0, or the reason of the reject."""
        number = door.free.pop()
        guest = welcome(client, f"{address} ({login.username})", session)
        letter = self._letter[0]
        letter["kind"] = letters.OPEN
        letter["connection"] = number
        letter["fd"] = client.fileno()
        letter["session"] = session
        letter["number"] = login.sequence
        letter["detail"] = login.silence_limit_ns
        if not post_inward(door.mailbox, self._letter):
            door.free.append(number)
            return REJECT_NO_SESSION
        client.detach()
        door.guests[number] = guest
        return 0

    def _read_letters(self, door: PumpDoor) -> None:
        while take_outward(door.mailbox, self._letter):
            letter = self._letter[0]
            if letter["kind"] == letters.CLOSED:
                number = int(letter["connection"])
                guest = door.guests.pop(number)
                door.free.append(number)
                detail = int(letter["detail"])
                reason = guest.reason or CLOSE_REASONS[detail]
                in_order = detail in _IN_GOOD_ORDER and not guest.reason
                log(f"{guest.label}: disconnected, {reason}", DEBUG if in_order else WARNING)
            elif door.on_letter is not None:
                door.on_letter(self._letter)


def _rejected(reason: int) -> bytes:
    row = np.zeros(1, LOGIN_REJECTED.dtype)
    row["length"] = LOGIN_REJECTED.size - LENGTH_SIZE
    row["type"] = LOGIN_REJECTED_TYPE
    row["reason"] = reason
    return row.tobytes()


def _descriptors_to_spare(doors: list[PumpDoor]) -> int:
    """How many connections without a login this process can bear beside its clients."""
    unlimited = resource.RLIM_INFINITY
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = _DESCRIPTORS_WANTED if hard == unlimited else min(hard, _DESCRIPTORS_WANTED)
    if soft != unlimited and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        soft = possible
    if soft == unlimited:
        return _PENDING_LOGINS_MAX
    clients = sum(len(door.free) for door in doors)
    return max(16, min(_PENDING_LOGINS_MAX, soft - clients - _DESCRIPTORS_OF_OURS))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError naming the address when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Each connection has it from here: set, it does not grow by itself to tens of megabytes.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_SIZE)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno, f"{host}:{port}: {error.strerror}; choose another address"
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
