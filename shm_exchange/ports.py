"""Shell: that the addresses of an exchange can be had, tried before anything is made."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

from shm_exchange.addresses import split_address
from shm_exchange.config import Configuration, Gateway
from shm_exchange.errors import UnfitHostError


def check(configuration: Configuration) -> None:
    """Raise UnfitHostError when somebody has one already, or we may not have it.

    Each is kept until all are tried, so that one address by two names is found, too. Whoever takes
    one afterwards is met by the gateway itself.
    """
    with ExitStack() as tried:
        for number, gateway in enumerate(configuration.gateways, 1):
            owner = f"gateway {number}, {gateway.kind}"
            tried.enter_context(_listen(gateway.address, owner))
            for each in _try_feeds(gateway, owner):
                tried.enter_context(each)
        if configuration.metrics is not None:
            tried.enter_context(_listen(configuration.metrics.address, "metrics"))


def _try_feeds(gateway: Gateway, owner: str) -> Iterator[socket.socket]:
    """What a market-data gateway has beside its own address."""
    if gateway.glimpse_address is not None:
        yield _listen(gateway.glimpse_address, f"{owner}, glimpse_address")
    if gateway.request_address is not None:
        yield _bind_requests(gateway.request_address, f"{owner}, request_address")
    for key in ("multicast_a", "multicast_b"):
        group = getattr(gateway, key)
        if group is not None:
            yield _reach(group, gateway.multicast_interface, f"{owner}, {key}")


def _listen(address: str, owner: str) -> socket.socket:
    host, port = split_address(address)
    tried = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does
        tried.bind((host, port))
        tried.listen()  # with that option only one that listens is in the way of another
    except OSError as error:
        tried.close()
        raise _refusal(address, owner, error) from error
    return tried


def _bind_requests(address: str, owner: str) -> socket.socket:
    tried = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        tried.bind(split_address(address))
    except OSError as error:
        tried.close()
        raise _refusal(address, owner, error) from error
    return tried


def _reach(group: str, interface: str, owner: str) -> socket.socket:
    tried = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        own = socket.inet_aton(interface)
        tried.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        tried.connect(split_address(group))
    except OSError as error:
        tried.close()
        raise _refusal(f"{group} by {interface}", owner, error) from error
    return tried


def _refusal(address: str, owner: str, error: OSError) -> UnfitHostError:
    return UnfitHostError(f"{address} ({owner}): {error.strerror}; choose another address")
