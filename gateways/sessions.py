"""Shell: the two ends of a SoupBinTCP connection, in Python, without a socket or a clock.

Bytes in, packets out; what has to be sent comes back as bytes. Time is an argument. For logins,
the client library and tests; the compiled pumps use `gateways/soupbintcp.py`, which is driven by
the same declarations (`gateways/packets.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from gateways.packets import (
    CLIENT_HEARTBEAT_TYPE,
    CLIENT_TYPES,
    END_OF_SESSION_TYPE,
    HEADER_SIZE,
    HEARTBEAT_INTERVAL_NS,
    LENGTH_SIZE,
    LOGIN_ACCEPTED,
    LOGIN_ACCEPTED_TYPE,
    LOGIN_LIMIT_NS,
    LOGIN_REJECTED,
    LOGIN_REJECTED_TYPE,
    LOGIN_REQUEST,
    LOGIN_REQUEST_4_10,
    LOGIN_REQUEST_TYPE,
    LOGOUT_TYPE,
    PACKET_LENGTH_MAX,
    SEQUENCED_TYPE,
    SERVER_HEARTBEAT_TYPE,
    SERVER_TYPES,
    SILENCE_LIMIT_MS_MAX,
    SILENCE_LIMIT_MS_MIN,
    SILENCE_LIMIT_NS,
    UNSEQUENCED_TYPE,
)
from ringbuf.schema import Record

_MS_IN_NS = 1_000_000


class PeerError(Exception):
    """The other end of a connection broke the protocol, or is gone. Disconnect it."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that has arrived. `sequence` is that of an `S` packet, otherwise 0."""

    type: str
    payload: bytes = b""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A decoded `L`. Case of name and password is folded to upper, as the protocol ignores it."""

    username: str
    password: str
    session: str
    sequence: int
    heartbeat_timeout_ms: int | None = None  # of SoupBinTCP 4.10, within its limits


def packet(kind: int, payload: bytes = b"") -> bytes:
    """One packet as bytes."""
    length = HEADER_SIZE - LENGTH_SIZE + len(payload)
    if length > PACKET_LENGTH_MAX:
        raise ValueError(f"a payload of {len(payload)} bytes does not fit a packet")
    return length.to_bytes(LENGTH_SIZE, "big") + bytes((kind,)) + payload


def _text(record: Record, data: bytes, name: str) -> str:
    """The text of a field; `data` is a whole packet."""
    start = record.offset_of(name)
    size = next(field.size for field in record.fields if field.name == name)
    try:
        return data[start : start + size].decode("ascii").strip(" ")
    except UnicodeDecodeError:
        raise PeerError(f"{record.name}: {name} is not ASCII") from None


def _number(record: Record, data: bytes, name: str) -> int:
    text = _text(record, data, name)
    if text and not text.isdigit():
        raise PeerError(f"{record.name}: {name} is {text!r}, not a number")
    return int(text or 0)


def parse_login(payload: bytes) -> LoginRequest:
    """Decode the payload of `L`, of 3.00 or 4.10. Raise PeerError when it is neither."""
    data = packet(LOGIN_REQUEST_TYPE, payload)
    if len(data) not in (LOGIN_REQUEST.size, LOGIN_REQUEST_4_10.size):
        raise PeerError(f"a login request of {len(data)} bytes")
    timeout = None
    if len(data) == LOGIN_REQUEST_4_10.size:
        if _text(LOGIN_REQUEST_4_10, data, "heartbeat_timeout"):
            wished = _number(LOGIN_REQUEST_4_10, data, "heartbeat_timeout")
            timeout = min(max(wished, SILENCE_LIMIT_MS_MIN), SILENCE_LIMIT_MS_MAX)
    return LoginRequest(
        username=_text(LOGIN_REQUEST, data, "username").upper(),
        password=_text(LOGIN_REQUEST, data, "password").upper(),
        session=_text(LOGIN_REQUEST, data, "session"),
        sequence=_number(LOGIN_REQUEST, data, "sequence"),
        heartbeat_timeout_ms=timeout,
    )


def _padded(record: Record, name: str, text: str, *, right: bool) -> bytes:
    size = next(field.size for field in record.fields if field.name == name)
    if len(text) > size or not text.isascii():
        raise ValueError(f"{name} {text!r} does not fit {size} ASCII characters")
    return (text.ljust(size) if right else text.rjust(size)).encode("ascii")


def login_request(request: LoginRequest) -> bytes:
    """`L` as bytes; of 4.10 when it names a heartbeat timeout."""
    payload = (
        _padded(LOGIN_REQUEST, "username", request.username, right=True)
        + _padded(LOGIN_REQUEST, "password", request.password, right=True)
        + _padded(LOGIN_REQUEST, "session", request.session, right=False)
        + _padded(LOGIN_REQUEST, "sequence", str(request.sequence), right=False)
    )
    if request.heartbeat_timeout_ms is not None:
        wished = str(request.heartbeat_timeout_ms)
        payload += _padded(LOGIN_REQUEST_4_10, "heartbeat_timeout", wished, right=False)
    return packet(LOGIN_REQUEST_TYPE, payload)


class _Connection(ABC):
    """What both ends do: framing, heartbeats, silence."""

    _heartbeat: int
    _allowed: frozenset[str]

    def __init__(self, length_max: int) -> None:
        self._buffer = bytearray()
        self._length_max = length_max
        self._sent = True  # since the last tick
        self._heard = True
        self._sent_ns = 0
        self._heard_ns = 0
        self.silence_limit_ns = SILENCE_LIMIT_NS
        self.ended = False  # nothing more will come

    def receive(self, data: bytes) -> list[Packet]:
        """Return every packet completed by `data`. Raise PeerError if the peer broke the rules.

        Heartbeats and debug packets are not returned.
        """
        self._buffer += data
        if data:
            self._heard = True
        packets = []
        while (found := self._next_packet()) is not None:
            kind, payload = found
            if kind not in self._allowed:
                raise PeerError(f"a packet of type {kind!r}")
            if self.ended:
                raise PeerError(f"a packet of type {kind!r} after the end of the session")
            arrived = self._arrived(kind, payload)
            if arrived is not None:
                packets.append(arrived)
        return packets

    def _next_packet(self) -> tuple[str, bytes] | None:
        if len(self._buffer) < LENGTH_SIZE:
            return None
        length = int.from_bytes(self._buffer[:LENGTH_SIZE], "big")
        if not 1 <= length <= self._length_max:
            raise PeerError(f"packet length {length} outside 1..{self._length_max}")
        end = LENGTH_SIZE + length
        if len(self._buffer) < end:
            return None
        kind = chr(self._buffer[LENGTH_SIZE])
        payload = bytes(self._buffer[HEADER_SIZE:end])
        del self._buffer[:end]
        return kind, payload

    @abstractmethod
    def _arrived(self, kind: str, payload: bytes) -> Packet | None:
        """Judge a packet; return it unless it is of no interest above."""

    def heard(self) -> None:
        """The peer is known to be there although nothing was received: we did not read."""
        self._heard = True

    def _send(self, kind: int, payload: bytes = b"") -> bytes:
        self._sent = True
        return packet(kind, payload)

    def tick(self, now_ns: int) -> bytes:
        """What has to be sent now: nothing or a heartbeat. Call it about four times a second.

        Raise PeerError when the peer has been silent for too long.
        """
        if self._heard:
            self._heard, self._heard_ns = False, now_ns
        if now_ns - self._heard_ns > self.silence_limit_ns:
            raise PeerError(f"silent for {(now_ns - self._heard_ns) / 1e9:.1f} s")
        if self._sent:
            self._sent, self._sent_ns = False, now_ns
        if now_ns - self._sent_ns >= HEARTBEAT_INTERVAL_NS:
            self._sent_ns = now_ns
            return packet(self._heartbeat)
        return b""


class ClientSession(_Connection):
    """The client's end. `sequence` is the number of the next sequenced message."""

    _heartbeat = CLIENT_HEARTBEAT_TYPE
    _allowed = SERVER_TYPES

    def __init__(
        self,
        username: str,
        password: str,
        session: str = "",
        sequence: int = 1,
        *,
        heartbeat_timeout_ms: int | None = None,
    ) -> None:
        super().__init__(PACKET_LENGTH_MAX)
        self._request = LoginRequest(username, password, session, sequence, heartbeat_timeout_ms)
        self.logged_in = False
        self.session = session
        self.sequence = sequence

    def login(self) -> bytes:
        """The first bytes to send."""
        self._sent = True
        return login_request(self._request)

    def send(self, message: bytes) -> bytes:
        """An application message as `U`."""
        return self._send(UNSEQUENCED_TYPE, message)

    def logout(self) -> bytes:
        """The last bytes to send."""
        return self._send(LOGOUT_TYPE)

    def _arrived(self, kind: str, payload: bytes) -> Packet | None:
        letter = ord(kind)
        if letter == LOGIN_ACCEPTED_TYPE and not self.logged_in:
            self._accepted(payload)
            return Packet(kind, payload)
        if letter == LOGIN_REJECTED_TYPE and not self.logged_in:
            if len(payload) != LOGIN_REJECTED.size - HEADER_SIZE:
                raise PeerError(f"a login rejection of {len(payload)} bytes")
            self.ended = True
            return Packet(kind, payload)
        if kind == "+" or letter == SERVER_HEARTBEAT_TYPE:
            return None
        if not self.logged_in or letter in (LOGIN_ACCEPTED_TYPE, LOGIN_REJECTED_TYPE):
            raise PeerError(f"a packet of type {kind!r} out of turn")
        if letter == SEQUENCED_TYPE:
            self.sequence += 1
            return Packet(kind, payload, self.sequence - 1)
        if letter == END_OF_SESSION_TYPE:
            self.ended = True
        return Packet(kind, payload)

    def _accepted(self, payload: bytes) -> None:
        data = packet(LOGIN_ACCEPTED_TYPE, payload)
        if len(data) != LOGIN_ACCEPTED.size:
            raise PeerError(f"a login acceptance of {len(data)} bytes")
        self.session = _text(LOGIN_ACCEPTED, data, "session")
        self.sequence = _number(LOGIN_ACCEPTED, data, "sequence")
        self.logged_in = True


class ServerSession(_Connection):
    """The server's end. `sequence` is the number of the next sequenced message that it sends."""

    _heartbeat = SERVER_HEARTBEAT_TYPE
    _allowed = CLIENT_TYPES

    def __init__(self, *, length_max: int = PACKET_LENGTH_MAX) -> None:
        super().__init__(length_max)
        self.request: LoginRequest | None = None
        self.logged_in = False
        self.sequence = 0
        self._since_ns: int | None = None

    def accept(self, session: str, sequence: int) -> bytes:
        """Answer the login: `A`. sequence: of the first `S` that will follow."""
        self.logged_in, self.sequence = True, sequence
        wished = self.request.heartbeat_timeout_ms if self.request else None
        if wished is not None:
            self.silence_limit_ns = wished * _MS_IN_NS
        payload = _padded(LOGIN_ACCEPTED, "session", session, right=False)
        payload += _padded(LOGIN_ACCEPTED, "sequence", str(sequence), right=False)
        return self._send(LOGIN_ACCEPTED_TYPE, payload)

    def reject(self, reason: str) -> bytes:
        """Answer the login: `J` with reason `A` (not authorized) or `S` (no such session)."""
        self.ended = True
        return self._send(LOGIN_REJECTED_TYPE, reason.encode("ascii"))

    def send(self, message: bytes) -> bytes:
        """The next sequenced message: `S`."""
        self.sequence += 1
        return self._send(SEQUENCED_TYPE, message)

    def end(self) -> bytes:
        """The last bytes of the session: `Z`."""
        self.ended = True
        return self._send(END_OF_SESSION_TYPE)

    def tick(self, now_ns: int) -> bytes:
        """As for both ends; and a connection that does not log in is given up."""
        if self._since_ns is None:
            self._since_ns = now_ns
        if self.logged_in:
            return super().tick(now_ns)
        if now_ns - self._since_ns > LOGIN_LIMIT_NS:
            raise PeerError(f"no login within {LOGIN_LIMIT_NS / 1e9:.0f} s")
        return b""

    def _arrived(self, kind: str, payload: bytes) -> Packet | None:
        letter = ord(kind)
        if kind == "+" or letter == CLIENT_HEARTBEAT_TYPE:
            return None
        if letter == LOGIN_REQUEST_TYPE:
            if self.request is not None:
                raise PeerError("a second login request")
            self.request = parse_login(payload)
        elif not self.logged_in:
            raise PeerError(f"a packet of type {kind!r} before the login")
        elif letter == LOGOUT_TYPE:
            self.ended = True
        return Packet(kind, payload)
