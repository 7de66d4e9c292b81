"""Shell: host:port, as the configuration writes it."""

from __future__ import annotations

import ipaddress
import re

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})", re.A)


def check_address(text: str) -> str:
    """The text itself when it is host:port. Raises ValueError with the remedy."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[2]) > 65_535 or not _is_host(found[1]):
        raise ValueError(
            f"{text!r} is not host:port; write for example 127.0.0.1:9001 or [::1]:9001"
        )
    return text


def _is_host(host: str) -> bool:
    """Whether it is a name, or an address that there can be."""
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif not re.search(r"[A-Za-z]", host):
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def spelled_one_way(address: str) -> tuple[str, int]:
    """Host and port, the same for what is the same without asking a name server."""
    host, port = split_address(address)
    if host.lower() == "localhost":
        return "127.0.0.1", port
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        return host.lower(), port


def split_address(address: str) -> tuple[str, int]:
    """Host without brackets, and port (0: any free port)."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def who_can_reach(address: str) -> str:
    """What is to be feared of an address that is not loopback; no name server is asked."""
    host, _ = split_address(address)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "has a name instead of an address, so it may be reached from outside"
    return "can be reached from outside"


def is_loopback(address: str) -> bool:
    """Whether only this host can connect. A name other than localhost counts as reachable."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
