"""Shell: appendages of OUCH 5.0 as dictionaries, for Python clients."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gateways.ouch.tags import TAG_FORMATS, Tag, TagFormat
from gateways.sessions import PeerError
from gateways.typed import wire_price

TagValue = int | str | bytes | Decimal

_FORMATS: dict[int, TagFormat] = {int(each.tag): each for each in TAG_FORMATS}


def _value(form: TagFormat, value: TagValue) -> bytes:
    if isinstance(value, bytes):
        return value
    if form.kind == "a":
        return str(value).encode("ascii").ljust(form.size)
    number = wire_price(value) if isinstance(value, Decimal) else int(value)
    return number.to_bytes(form.size, "big", signed=form.kind == "i")


def pack_tags(tags: Mapping[int, TagValue]) -> bytes:
    """The concatenated tag values. A Decimal is a price. Raise ValueError when one does not fit."""
    parts = []
    for tag, value in tags.items():
        form = _FORMATS.get(int(tag))
        if form is None and not isinstance(value, bytes):
            raise ValueError(f"tag {tag} is unknown: its value must be bytes")
        try:
            data = value if form is None else _value(form, value)
        except OverflowError as error:
            raise ValueError(f"tag {tag}: {error}") from None
        assert isinstance(data, bytes)
        if form is not None and len(data) != form.size:
            raise ValueError(f"tag {tag} has {form.size} bytes, not {len(data)}")
        parts.append(bytes((1 + len(data), tag)) + data)
    return b"".join(parts)


def unpack_tags(data: bytes) -> dict[int, TagValue]:
    """The tags of an appendage by number; those that this client does not know stay bytes."""
    tags: dict[int, TagValue] = {}
    offset = 0
    while offset < len(data):
        end = offset + 1 + data[offset]
        if data[offset] < 1 or end > len(data):
            raise PeerError(f"appendage cut at byte {offset} of {len(data)}")
        tag, value = data[offset + 1], data[offset + 2 : end]
        form = _FORMATS.get(tag)
        if form is None or form.size != len(value):
            tags[tag] = value
        elif form.kind == "a":
            tags[Tag(tag)] = value.decode("latin-1").rstrip(" ")
        else:
            tags[Tag(tag)] = int.from_bytes(value, "big", signed=form.kind == "i")
        offset = end
    return tags
