"""Shell: how a market-data gateway tells its feed beside SoupBinTCP, as configured."""

from __future__ import annotations

import ipaddress
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from shm_exchange.addresses import check_address, spelled_one_way, split_address
from shm_exchange.settings import Table


class Feeds(Table):
    """Of a `[[gateway]]` of kind market_data. Multicast and requests: of its one engine."""

    LISTENING: ClassVar = ("glimpse_address", "request_address")

    glimpse_address: str | None = None  # TCP; None: no snapshots
    multicast_a: str | None = None  # group:port of MoldUDP64, feed A; None: no such feed
    multicast_b: str | None = None
    multicast_interface: str = "127.0.0.1"  # address of the interface that the groups are on
    multicast_ttl: int = Field(default=1, ge=0, le=255)
    request_address: str | None = None  # UDP; None: no re-request server
    requests_per_second: int = Field(default=1000, ge=1, le=1_000_000)  # of one address

    @field_validator("glimpse_address")
    @classmethod
    def _can_be_reached(cls, address: str | None) -> str | None:
        return None if address is None else check_address(address)

    @field_validator("multicast_a", "multicast_b", "request_address")
    @classmethod
    def _numeric(cls, address: str | None) -> str | None:
        if address is None:
            return None
        cls._is_numeric(split_address(check_address(address))[0])
        return address

    @field_validator("multicast_a", "multicast_b")
    @classmethod
    def _is_a_group(cls, address: str | None, known: ValidationInfo) -> str | None:
        if address is None:
            return None
        host, port = split_address(address)
        if not ipaddress.IPv4Address(host).is_multicast or port == 0:
            raise ValueError(
                f"{address} is no multicast group with a port; write for example 239.255.1.1:30001"
            )
        other = known.data.get("multicast_a")  # not there while that is looked at itself
        if other is not None and spelled_one_way(other) == spelled_one_way(address):
            raise ValueError(f"{address} is `multicast_a` already; choose another group or port")
        return address

    @field_validator("multicast_interface")
    @classmethod
    def _is_numeric(cls, host: str) -> str:
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(
                f"{host!r} is not an IPv4 address; write for example 239.0.0.1"
            ) from None
        return host

    @property
    def listening(self) -> list[tuple[str, str]]:
        """Key and address of what can be reached from outside."""
        found = [(key, getattr(self, key)) for key in self.LISTENING]
        return [(key, address) for key, address in found if address is not None]

    @property
    def is_of_one_engine(self) -> bool:
        """Whether something is configured that has no place for a second engine."""
        return (self.multicast_a or self.multicast_b or self.request_address) is not None

    def unused(self) -> list[str]:
        """Keys that were given although only a market-data gateway has them."""
        return [key for key in Feeds.model_fields if key in self.model_fields_set]
