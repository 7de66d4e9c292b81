"""Goal: SoupBinTCP as a stream of bytes means the same to both ends, however it is cut.

Method: client and server joined by bytes, whole and one byte at a time; packets against layouts
written with `struct`; the compiled framing against the Python one on the same streams.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.packets import LOGIN_LIMIT_NS, SILENCE_LIMIT_NS
from gateways.sessions import (
    ClientSession,
    LoginRequest,
    Packet,
    PeerError,
    ServerSession,
    login_request,
    packet,
    parse_login,
)
from gateways.soupbintcp import (
    NEEDS_MORE,
    VIOLATION,
    next_packet,
    write_client_heartbeat,
    write_end_of_session,
    write_login_accepted,
    write_login_rejected,
    write_sequenced_header,
    write_server_heartbeat,
    write_unsequenced_header,
)

SECOND = 10**9


def _login(username: str = "T001  ", sequence: str = "1") -> bytes:
    return struct.pack(
        ">Hc6s10s10s20s",
        47,
        b"L",
        username.encode(),
        b"demo      ",
        b" " * 10,
        sequence.rjust(20).encode(),
    )


def _accept(session: str = "", sequence: int = 1) -> bytes:
    return struct.pack(
        ">Hc10s20s", 31, b"A", session.rjust(10).encode(), str(sequence).rjust(20).encode()
    )


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# ---------------------------------------------------------------- bytes of single packets


def test_login_request() -> None:
    client = ClientSession("T001", "demo")
    assert client.login() == _login()
    assert parse_login(_login()[3:]) == LoginRequest("T001", "DEMO", "", 1)


def test_login_request_4_10() -> None:
    client = ClientSession("T001", "demo", "S000000001", 77, heartbeat_timeout_ms=15_000)
    data = client.login()
    assert data == (
        struct.pack(">Hc", 52, b"L") + b"T001  demo      S000000001                  7715000"
    )
    assert parse_login(data[3:]) == LoginRequest("T001", "DEMO", "S000000001", 77, 15_000)


@pytest.mark.parametrize(
    ("wished", "given"), [("    1", 1_000), ("99999", 60_000), ("    0", 1_000), ("     ", None)]
)
def test_heartbeat_timeout_is_clamped(wished: str, given: int | None) -> None:
    payload = _login()[3:] + wished.encode()
    assert parse_login(payload).heartbeat_timeout_ms == given


@pytest.mark.parametrize("sequence", ["1", "0", "", "123456789"])
def test_padding_on_either_side_is_read(sequence: str) -> None:
    right = _login()[3:29] + sequence.ljust(20).encode()
    left = _login(sequence=sequence)[3:]
    assert parse_login(right) == parse_login(left)
    assert parse_login(left).sequence == int(sequence or 0)


@pytest.mark.parametrize(
    "payload",
    [b"", _login()[3:-1], _login()[3:] + b"1", _login("\x7f")[3:] + b"abcde", b"\xff" * 46],
)
def test_bad_logins(payload: bytes) -> None:
    with pytest.raises(PeerError):
        parse_login(payload)


def test_a_sequence_that_is_no_number() -> None:
    with pytest.raises(PeerError, match="not a number"):
        parse_login(_login(sequence="-1")[3:])


def test_texts_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="username"):
        login_request(LoginRequest("TOOLONG", "x", "", 1))
    with pytest.raises(ValueError, match="does not fit a packet"):
        packet(ord("U"), bytes(65_535))


def test_compiled_writers() -> None:
    session = b"   S000001"
    session_0 = int.from_bytes(session[:8], "little", signed=True)
    session_1 = int.from_bytes(session[8:], "little", signed=True)
    for offset in (0, 3):
        buffer = np.full(64, 0x2A, np.uint8)

        def written(end: int, offset: int = offset, buffer: np.ndarray = buffer) -> bytes:
            assert set(bytes(buffer[end:])) == {0x2A}
            return bytes(buffer[offset:end])

        assert written(write_server_heartbeat(buffer, offset)) == b"\x00\x01H"
        assert written(write_client_heartbeat(buffer, offset)) == b"\x00\x01R"
        assert written(write_end_of_session(buffer, offset)) == b"\x00\x01Z"
        assert written(write_sequenced_header(buffer, offset, 300)) == b"\x01\x2dS"
        assert written(write_unsequenced_header(buffer, offset, 0)) == b"\x00\x01U"
        assert written(write_login_rejected(buffer, offset, ord("S"))) == b"\x00\x02JS"
        end = write_login_accepted(buffer, offset, session_0, session_1, 1234)
        assert written(end) == _accept("S000001", 1234)


# ---------------------------------------------------------------- compiled framing

STREAM = [b"\x00\x01H", packet(ord("S"), b"A" * 64), packet(ord("S"), b""), packet(ord("U"), b"x")]


def _frames(data: bytes, step: int, length_max: int = 100) -> list[tuple[int, bytes]]:
    """Every packet of `data`, which arrives in steps."""
    array = np.frombuffer(bytearray(data + b"\xff\xff"), np.uint8)
    found, offset = [], 0
    for end in [*range(0, len(data), step), len(data)]:
        while True:
            kind, start, length, after = next_packet(array, offset, end, length_max)
            if kind == NEEDS_MORE:
                assert (length, after) == (0, offset)
                break
            if kind == VIOLATION:
                assert (length, after) == (0, offset)
                return [*found, (VIOLATION, b"")]
            found.append((kind, data[start : start + length]))
            offset = after
    return found


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_framing(step: int) -> None:
    expected = [(each[2], each[3:]) for each in STREAM]
    assert _frames(b"".join(STREAM), step) == expected
    assert _frames(b"".join(STREAM) + b"\x00\x05Sabc", step) == expected


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("bad", [b"\x00\x00", b"\x00\x00S", b"\xff\xff", b"\x00\x65S"])
def test_framing_violations(step: int, bad: bytes) -> None:
    assert _frames(STREAM[0] + bad, step)[-1] == (VIOLATION, b"")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("SUHZ"), st.binary(max_size=20))), st.integers(1, 30))
def test_both_framings_agree(packets: list[tuple[str, bytes]], step: int) -> None:
    stream = b"".join(packet(ord(kind), payload) for kind, payload in packets)
    assert _frames(stream, step) == [(ord(kind), payload) for kind, payload in packets]
    client = ClientSession("a", "b")
    client.receive(_accept())
    seen: list[Packet] = []
    usable = [(kind, payload) for kind, payload in packets if kind != "Z"]
    for piece in _pieces(b"".join(packet(ord(k), p) for k, p in usable), step):
        seen += client.receive(piece)
    assert [(each.type, each.payload) for each in seen] == [
        (kind, payload) for kind, payload in usable if kind != "H"
    ]


# ---------------------------------------------------------------- sessions in pairs


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_a_whole_session(size: int) -> None:
    client, server = ClientSession("t001", "demo", "", 5), ServerSession()
    arrived: list[Packet] = []

    def to_server(data: bytes) -> list[Packet]:
        return [each for piece in _pieces(data, size) for each in server.receive(piece)]

    def to_client(data: bytes) -> None:
        for piece in _pieces(data, size):
            arrived.extend(client.receive(piece))

    assert [each.type for each in to_server(client.login())] == ["L"]
    assert server.request == LoginRequest("T001", "DEMO", "", 5)
    to_client(server.accept("S000000001", 5))
    assert (client.logged_in, client.session, client.sequence) == (True, "S000000001", 5)
    sent = client.send(b"one") + packet(ord("+"), b"debug") + client.send(b"two")
    assert to_server(sent) == [Packet("U", b"one"), Packet("U", b"two")]
    to_client(server.send(b"x" * 100) + packet(ord("H")) + server.send(b"") + server.end())
    assert arrived[1:] == [Packet("S", b"x" * 100, 5), Packet("S", b"", 6), Packet("Z")]
    assert client.ended
    assert client.sequence == 7 == server.sequence
    with pytest.raises(PeerError, match="after the end"):
        client.receive(server.send(b"late"))


def test_rejected_login() -> None:
    client, server = ClientSession("T001", "wrong"), ServerSession()
    server.receive(client.login())
    assert client.receive(server.reject("A")) == [Packet("J", b"A")]
    assert client.ended
    assert not client.logged_in


def test_logout() -> None:
    client, server = ClientSession("T001", "demo"), ServerSession()
    server.receive(client.login())
    client.receive(server.accept("", 1))
    assert server.receive(client.logout()) == [Packet("O")]
    assert server.ended


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00",
        b"\x00\x01U",
        b"\x00\x01O",
        b"\x00\x01S",
        b"\x00\x01\xff",
        _login() + _login(),
        _login()[:2] + b"M" + _login()[3:],
    ],
)
def test_clients_that_break_the_rules(data: bytes) -> None:
    with pytest.raises(PeerError):
        ServerSession().receive(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00",
        b"\x00\x02Sx",
        b"\x00\x01Z",
        b"\x00\x01L",
        b"\x00\x01J",
        _accept() + _accept(),
        _accept()[:2] + b"J" + _accept()[3:],
        b"\x00\x02Ax",
        _accept(sequence=1)[:-1] + b"x",
    ],
)
def test_servers_that_break_the_rules(data: bytes) -> None:
    with pytest.raises(PeerError):
        ClientSession("a", "b").receive(data)


def test_a_packet_above_the_limit() -> None:
    server = ServerSession(length_max=50)
    with pytest.raises(PeerError, match="outside 1..50"):
        server.receive(b"\x00\x33")


# ---------------------------------------------------------------- time


def _pair() -> tuple[ClientSession, ServerSession]:
    client, server = ClientSession("T001", "demo"), ServerSession()
    server.receive(client.login())
    client.receive(server.accept("", 1))
    return client, server


def test_heartbeats_only_when_nothing_else_is_sent() -> None:
    for end, beat in zip(_pair(), (b"\x00\x01R", b"\x00\x01H"), strict=True):
        assert end.tick(100 * SECOND) == b""
        assert end.tick(101 * SECOND - 1) == b""
        assert end.tick(101 * SECOND) == beat
        assert end.tick(101 * SECOND + 1) == b""
        end.send(b"message")
        assert end.tick(102 * SECOND) == b""
        assert end.tick(103 * SECOND) == beat


def test_silence_ends_the_session() -> None:
    for end in _pair():
        end.tick(100 * SECOND)
        end.tick(100 * SECOND + SILENCE_LIMIT_NS)
        end.receive(b"\x00")
        end.tick(101 * SECOND + SILENCE_LIMIT_NS)
        with pytest.raises(PeerError, match="silent"):
            end.tick(102 * SECOND + 2 * SILENCE_LIMIT_NS)


def test_the_client_chooses_how_much_silence_the_server_bears() -> None:
    client = ClientSession("T001", "demo", heartbeat_timeout_ms=2_000)
    server = ServerSession()
    server.receive(client.login())
    server.accept("", 1)
    server.tick(SECOND)
    server.tick(3 * SECOND)
    with pytest.raises(PeerError, match="silent"):
        server.tick(3 * SECOND + 1)


def test_a_connection_that_does_not_log_in() -> None:
    server = ServerSession()
    assert server.tick(SECOND) == b""
    assert server.tick(SECOND + LOGIN_LIMIT_NS) == b""
    with pytest.raises(PeerError, match="no login"):
        server.tick(SECOND + LOGIN_LIMIT_NS + 1)
