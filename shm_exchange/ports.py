"""Shell: that the addresses of an exchange can be had, tried before anything is started."""

from __future__ import annotations

import socket

from shm_exchange.addresses import split_address
from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError


def check(configuration: Configuration) -> None:
    """Raise ExchangeError when somebody has one already, or we may not have it.

    Where clients connect. Whoever takes it afterwards is met by the gateway itself.
    """
    wanted = [
        (each.address, f"gateway {number}, {each.kind}")
        for number, each in enumerate(configuration.gateways, 1)
    ]
    if configuration.metrics is not None:
        wanted.append((configuration.metrics.address, "metrics"))
    for address, owner in wanted:
        _try(address, owner)


def _try(address: str, owner: str) -> None:
    host, port = split_address(address)
    if port == 0:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does
        try:
            tried.bind((host, port))
        except OSError as error:
            raise ExchangeError(
                f"{address} ({owner}): {error.strerror}; choose another address"
            ) from error
