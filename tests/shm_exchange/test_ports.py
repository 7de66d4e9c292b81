"""Goal: an address that cannot be had is named before anything is made, whatever it is for.

Method: sockets of the test on the addresses of a configuration that nobody starts.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm_exchange import ports
from shm_exchange.config import Configuration, load
from shm_exchange.errors import UnfitHostError

TEXT = """\
[[engine]]
[[instrument]]
symbol = "AAPL"
tick = 1
[[gateway]]
kind = "market_data"
address = "127.0.0.1:0"
"""


def configured(folder: Path, more: str) -> Configuration:
    """One market-data gateway with these lines more."""
    path = folder / "exchange.toml"
    path.write_text(f"{TEXT}{more}\n", encoding="utf-8")
    return load(path)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on, by TCP and by UDP."""
    with socket.create_server(("127.0.0.1", 0)) as stream:
        port: int = stream.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", port))
            yield port


@pytest.mark.parametrize("key", ["glimpse_address", "request_address"])
def test_what_a_feed_has_beside_its_address(key: str, taken: int, tmp_path: Path) -> None:
    """Snapshots and requests have addresses of their own."""
    address = f"127.0.0.1:{taken}"
    with pytest.raises(
        UnfitHostError,
        match=rf"{address} \(gateway 1, market_data, {key}\): Address already in use",
    ):
        ports.check(configured(tmp_path, f'{key} = "{address}"'))
    ports.check(configured(tmp_path, f'{key} = "127.0.0.1:0"'))


def test_an_interface_that_is_not_there(tmp_path: Path) -> None:
    """Multicast needs one."""
    more = 'multicast_a = "239.255.1.1:30001"\nmulticast_interface = '
    with pytest.raises(
        UnfitHostError, match=r"239\.255\.1\.1:30001 by 192\.0\.2\.7 .*, multicast_a\)"
    ):
        ports.check(configured(tmp_path, f'{more}"192.0.2.7"'))
    ports.check(configured(tmp_path, f'{more}"127.0.0.1"'))


def test_one_address_by_two_names(taken: int, tmp_path: Path) -> None:
    """Each is free while the other is not there yet."""
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    more = f'glimpse_address = "127.0.0.1:{port}"\n[metrics]\naddress = "0.0.0.0:{port}"'
    with pytest.raises(UnfitHostError, match=rf"0\.0\.0\.0:{port} \(metrics\): Address already"):
        ports.check(configured(tmp_path, more))


def test_what_was_tried_is_given_back(tmp_path: Path) -> None:
    """Twice in a row."""
    found = configured(tmp_path, 'request_address = "127.0.0.1:0"')
    ports.check(found)
    ports.check(found)
    assert found.gateways[0].request_address == "127.0.0.1:0"
