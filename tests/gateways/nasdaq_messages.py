"""OUCH 5.0 as message classes of `nasdaq-protocols`: an implementation that is not ours.

Written from docs/protocols.md. The package looks up what it decodes under the direction "outgoing"
(from the exchange), so requests are "incoming".
"""

from __future__ import annotations

import types
from typing import Any

from nasdaq_protocols import ouch
from nasdaq_protocols.common import (
    CharAscii,
    Field,
    FixedAsciiString,
    Record,
    UnsignedIntBE,
    UnsignedLongBE,
    UnsignedShortBE,
)

_KINDS: dict[str, Any] = {
    "char": CharAscii,
    "2": UnsignedShortBE,
    "4": UnsignedIntBE,
    "8": UnsignedLongBE,
    "symbol": FixedAsciiString(8),
    "id": FixedAsciiString(14),
    "firm": FixedAsciiString(4),
}

# letter: fields as "name:kind"
_REQUESTS = {
    "O": "user_ref:4 side:char quantity:4 symbol:symbol price:8 time_in_force:char display:char "
    "capacity:char sweep:char cross_type:char client_order_id:id appendage:2",
    "U": "original_user_ref:4 user_ref:4 quantity:4 price:8 time_in_force:char display:char "
    "sweep:char client_order_id:id appendage:2",
    "X": "user_ref:4 quantity:4",
    "M": "user_ref:4 side:char quantity:4",
    "C": "user_ref:4 firm:firm symbol:symbol appendage:2",
    "D": "user_ref:4 firm:firm appendage:2",
    "E": "user_ref:4 firm:firm appendage:2",
}
_ANSWERS = {
    "S": "timestamp:8 code:char",
    "A": "timestamp:8 user_ref:4 side:char quantity:4 symbol:symbol price:8 time_in_force:char "
    "display:char reference:8 capacity:char sweep:char cross_type:char state:char "
    "client_order_id:id appendage:2",
    "U": "timestamp:8 original_user_ref:4 user_ref:4 side:char quantity:4 symbol:symbol price:8 "
    "time_in_force:char display:char reference:8 capacity:char sweep:char cross_type:char "
    "state:char client_order_id:id appendage:2",
    "C": "timestamp:8 user_ref:4 quantity:4 reason:char",
    "E": "timestamp:8 user_ref:4 quantity:4 price:8 liquidity:char match_number:8 appendage:2",
    "J": "timestamp:8 user_ref:4 reason:2 client_order_id:id",
    "M": "timestamp:8 user_ref:4 side:char quantity:4",
    "Q": "timestamp:8 user_ref:4",
    "D": "timestamp:8 user_ref:4 quantity:4 reason:char prevented:4 price:8 liquidity:char "
    "strategy:char",
    "B": "timestamp:8 user_ref:4 match_number:8 reason:char client_order_id:id",
    "P": "timestamp:8 user_ref:4",
    "I": "timestamp:8 user_ref:4",
    "T": "timestamp:8 user_ref:4 price:8 display:char reference:8",
    "R": "timestamp:8 user_ref:4 reason:char appendage:2",
    "X": "timestamp:8 user_ref:4 firm:firm symbol:symbol appendage:2",
    "G": "timestamp:8 user_ref:4 firm:firm appendage:2",
    "K": "timestamp:8 user_ref:4 firm:firm appendage:2",
}


class Message(ouch.Message, app_name="shm-exchange"):
    """What the package needs to find our classes by letter."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        kwargs["app_name"] = "shm-exchange"
        super().__init_subclass__(**kwargs)


class ClientSession(ouch.ClientSession):
    """The package's OUCH client, with these messages."""

    def decode(self, bytes_: bytes) -> tuple[int, Message]:
        """Called by the package for each sequenced message."""
        return Message.from_bytes(bytes_)


def _define(letter: str, layout: str, direction: str) -> type[Message]:
    fields = [
        Field(name, _KINDS[kind]) for name, kind in (each.split(":") for each in layout.split())
    ]
    body = type("BodyRecord", (Record,), {"Fields": fields})
    name = f"{direction.title()}{letter}"

    def fill(namespace: dict[str, Any]) -> None:
        namespace["BodyRecord"] = body

    return types.new_class(
        name, (Message,), {"indicator": ord(letter), "direction": direction}, fill
    )


REQUESTS = {letter: _define(letter, text, "incoming") for letter, text in _REQUESTS.items()}
ANSWERS = {letter: _define(letter, text, "outgoing") for letter, text in _ANSWERS.items()}


def request(letter: str, **values: Any) -> bytes:
    """A request as the package writes it."""
    message = REQUESTS[letter]()
    for name, value in values.items():
        setattr(message, name, value)
    return message.to_bytes()[1]


def answer(data: bytes) -> tuple[int, dict[str, Any]]:
    """A message of the exchange as the package reads it: bytes used, and the fields."""
    size, message = Message.from_bytes(data)
    return size, dict(message.record.values)
