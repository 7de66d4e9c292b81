"""Goal: what a gateway makes of a login request, and of one that is none.

Method: packets by hand, of both sizes.
"""

from __future__ import annotations

import pytest

from gateways.login_request import Login, parse_login
from gateways.packets import REJECT_NO_SESSION, REJECT_NOT_AUTHORIZED

SECOND_NS = 10**9


def request(
    name: bytes = b"S01   ",
    session: bytes = b"",
    number: bytes = b"1",
    timeout: bytes | None = None,
) -> bytes:
    """A packet; timeout: of 4.10."""
    payload = b"L" + name + b"demo      " + session.rjust(10) + number.rjust(20)
    payload += b"" if timeout is None else timeout.rjust(5)
    return len(payload).to_bytes(2, "big") + payload


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(None, 15), (b"", 15), (b"0", 1), (b"500", 1), (b"2000", 2), (b"99999", 60)],
)
def test_how_long_a_client_may_be_silent(timeout: bytes | None, seconds: int) -> None:
    """Blank is as in 3.00; any number is kept within the limits, 0 too."""
    login = parse_login(request(timeout=timeout))
    assert login == Login("S01", "demo", "", 1, seconds * SECOND_NS)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (request(name=b"S\xff1   "), REJECT_NOT_AUTHORIZED),
        (request(number=b"abc"), REJECT_NO_SESSION),
        (request(number=b"-1"), REJECT_NO_SESSION),
        (request(session=b"\xff"), REJECT_NO_SESSION),
        (request(timeout=b"soon"), REJECT_NO_SESSION),
        (request(timeout=b"-500"), REJECT_NO_SESSION),
        (request(timeout=b"+500"), REJECT_NO_SESSION),
        (request(timeout=b"\xff"), REJECT_NO_SESSION),
        (request(name=b"S\xff1   ", timeout=b"soon"), REJECT_NOT_AUTHORIZED),
        (request().replace(b"L", b"M", 1), None),
    ],
)
def test_what_is_no_login(packet: bytes, reason: int | None) -> None:
    assert parse_login(packet) == reason


def test_no_stream_is_that_long() -> None:
    login = parse_login(request(number=b"9" * 20))
    assert isinstance(login, Login) and login.sequence > 10**18
