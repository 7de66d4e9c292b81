"""Shell: what a login request says; SoupBinTCP 3.00, or 4.10 with its heartbeat timeout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateways.packets import (
    LOGIN_REQUEST,
    LOGIN_REQUEST_4_10,
    LOGIN_REQUEST_TYPE,
    REJECT_NO_SESSION,
    REJECT_NOT_AUTHORIZED,
    SILENCE_LIMIT_MS_MAX,
    SILENCE_LIMIT_MS_MIN,
    SILENCE_LIMIT_NS,
)

_SEQUENCE_MAX = 1 << 62


@dataclass
class Login:
    """A login request, parsed."""

    username: str
    password: str
    session: str
    sequence: int
    silence_limit_ns: int


def _text(row: np.void, name: str) -> str | None:
    """A field of a login request; None when it is not ASCII."""
    try:
        return bytes(row[name]).decode("ascii").strip()
    except UnicodeDecodeError:
        return None


def _silence_limit_ns(text: str | None) -> int | None:
    """The heartbeat timeout of 4.10, within its limits; blank: that of 3.00. None: no number."""
    if text == "":
        return SILENCE_LIMIT_NS
    if text is None or not text.isdecimal():
        return None
    return min(max(int(text), SILENCE_LIMIT_MS_MIN), SILENCE_LIMIT_MS_MAX) * 1_000_000


def parse_login(packet: bytes) -> Login | int | None:
    """The fields of a login request packet (its length included).

    The reason of its reject when a field is none; None when the packet is no login request.
    """
    record = LOGIN_REQUEST if len(packet) == LOGIN_REQUEST.size else LOGIN_REQUEST_4_10
    row = np.frombuffer(packet, record.dtype)[0]
    if int(row["type"]) != LOGIN_REQUEST_TYPE:
        return None
    username, password = _text(row, "username"), _text(row, "password")
    if username is None or password is None:
        return REJECT_NOT_AUTHORIZED
    wished = _text(row, "heartbeat_timeout") if record is LOGIN_REQUEST_4_10 else ""
    silence_limit_ns = _silence_limit_ns(wished)
    session, number = _text(row, "session"), _text(row, "sequence")
    if silence_limit_ns is None or session is None:
        return REJECT_NO_SESSION
    if number is None or not (number or "0").isdecimal():
        return REJECT_NO_SESSION
    # No stream is that long: further beyond the end is as far.
    sequence = min(int(number or "0"), _SEQUENCE_MAX)
    return Login(username, password, session, sequence, silence_limit_ns)
