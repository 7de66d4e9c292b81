"""Goal: generated OUCH messages are the same to `nasdaq-protocols` and to us, both ways.

Method: values over the whole range of each field. A request is written by the package, read by our
compiled codec, and written again from what was read; an answer is written by the package, read by
our typed messages and by the package, and written again by ours. The bytes must be the same.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from gateways.ouch.codec import OK, decode
from gateways.ouch.messages import OUTBOUND
from gateways.ouch.tags import OUCH_REQUEST, OUCH_REQUEST_DTYPE
from gateways.ouch.typed_messages import MESSAGES
from gateways.typed import pack
from tests.gateways.nasdaq_messages import ANSWERS, REQUESTS, answer

COUNT = 200
LETTERS = string.ascii_letters + string.digits
WIDTHS = {"CharAscii": 1, "UnsignedShortBE": 2, "UnsignedIntBE": 4, "UnsignedLongBE": 8}
SIZES = {"symbol": 8, "client_order_id": 14, "firm": 4}


def text(chance: random.Random, size: int) -> str:
    """Some characters, at most `size`, none of them padding."""
    count = 1 if size == 1 else chance.randint(0, size)
    return "".join(chance.choice(LETTERS) for _ in range(count))


def number(chance: random.Random, size: int) -> int:
    """Of `size` bytes: anything, or an edge."""
    limit = 1 << (8 * size)
    edges = (0, 1, limit - 1, limit // 2, limit // 2 - 1)
    return chance.choice(edges) if chance.random() < 0.3 else chance.randrange(limit)


def filled(cls: Any, chance: random.Random) -> tuple[bytes, dict[str, Any]]:
    """A message of the package with generated values: its bytes, and the values."""
    message = cls()
    values: dict[str, Any] = {}
    for each in cls.BodyRecord.Fields:
        kind = getattr(each.type, "__name__", type(each.type).__name__)
        if each.name == "appendage":
            values[each.name] = 0
        elif each.name in SIZES:
            values[each.name] = text(chance, SIZES[each.name])
        elif kind == "CharAscii":
            values[each.name] = text(chance, 1)
        else:
            values[each.name] = number(chance, WIDTHS[kind])
        setattr(message, each.name, values[each.name])
    return bytes(message.to_bytes()[1]), values


def raw(request: np.ndarray, name: str, size: int) -> bytes:
    """The bytes of a field of a decoded request, from its first word on."""
    start = OUCH_REQUEST.offset_of("client_order_id_0" if name == "client_order_id" else name)
    return bytes(request.view(np.uint8)[start : start + size])


def written_again(letter: str, request: np.ndarray, values: dict[str, Any]) -> bytes:
    """The request as `struct` would write what our codec has read."""
    parts = [letter.encode()]
    sizes = {"price": 8, "appendage": 2}
    for name in values:
        if name == "appendage":
            parts.append(bytes(2))
        elif name in SIZES or isinstance(values[name], str):
            parts.append(raw(request, name, SIZES.get(name, 1)))
        else:
            size = sizes.get(name, 4)
            value = int(request[0][name]) % (1 << 8 * size)
            parts.append(value.to_bytes(size, "big"))
    return b"".join(parts)


@pytest.mark.parametrize("letter", sorted(REQUESTS))
def test_requests(letter: str) -> None:
    chance = random.Random(letter)
    for _ in range(COUNT):
        message, values = filled(REQUESTS[letter], chance)
        request = np.zeros(1, OUCH_REQUEST_DTYPE)
        data = np.frombuffer(bytearray(message), np.uint8)
        assert decode(data, 0, len(data), request[0]) == OK
        assert written_again(letter, request, values) == message, values


@pytest.mark.parametrize("letter", sorted(OUTBOUND))
def test_answers(letter: str) -> None:
    chance = random.Random(letter)
    record = OUTBOUND[letter]
    for _ in range(COUNT):
        message, values = filled(ANSWERS[letter], chance)
        assert len(message) == record.size
        read = MESSAGES[letter].decode(message)
        found = {
            each.name: getattr(read, each.name)
            for each in record.fields
            if each.name not in ("type", "appendage_length")
        }
        size, theirs = answer(message)
        assert size == len(message) and theirs == values
        without = [name for name in values if name != "appendage"]
        for ours, name in zip(found.values(), without, strict=True):
            value = ours.scaleb(4) if isinstance(ours, Decimal) else ours
            assert value == values[name], name
        extra = {"appendage_length": 0} if "appendage" in values else {}
        assert pack(record, letter, **found, **extra) == message


def test_every_kind_is_generated() -> None:
    """But for the account query, which has no fields."""
    assert set(ANSWERS) == set(OUTBOUND)
    kinds: Callable[[str], bool] = REQUESTS.__contains__
    assert all(map(kinds, "OUXMCDE"))
