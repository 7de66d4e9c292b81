"""Shell: host:port, as the configuration writes it."""

from __future__ import annotations

import ipaddress


def check_address(text: str) -> str:
    """The text itself when it is host:port. Raises ValueError with the remedy."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"'{text}' is not host:port; write for example 127.0.0.1:9001")
    return text


def split_address(address: str) -> tuple[str, int]:
    """Host without brackets, and port (0: any free port)."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this host can connect. A name other than localhost counts as reachable."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
