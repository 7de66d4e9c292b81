"""Shell: appendages of OUCH 5.0 as dictionaries, for Python clients."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gateways.ouch.tags import TAG_FORMATS, Tag, TagFormat
from gateways.packets import CLIENT_MESSAGE_SIZE_MAX
from gateways.sessions import PeerError
from gateways.typed import wire_price

TAG_MAX = 0xFF  # a tag is one byte, and 0 is none
VALUE_SIZE_MAX = 0xFE  # the byte in front of a tag counts the tag too

TagValue = int | str | bytes | Decimal
# Keys of a Mapping are invariant: a dictionary of `Tag` is none of `int`.
Tags = Mapping[int, TagValue] | Mapping[Tag, TagValue]

_FORMATS: dict[int, TagFormat] = {int(each.tag): each for each in TAG_FORMATS}


def _value(tag: int, value: TagValue) -> bytes:
    """The value as it stands in the appendage. Raise ValueError."""
    if not 1 <= tag <= TAG_MAX:
        raise ValueError(f"tag {tag} is not within 1 and {TAG_MAX}")
    form = _FORMATS.get(tag)
    if form is None and not isinstance(value, bytes):
        raise ValueError(f"tag {tag} is unknown: its value must be bytes")
    data = value if isinstance(value, bytes) or form is None else _formatted(form, value)
    assert isinstance(data, bytes)
    if form is not None and len(data) != form.size:
        raise ValueError(f"tag {tag} {value!r} has {len(data)} bytes, not {form.size}")
    if len(data) > VALUE_SIZE_MAX:
        raise ValueError(f"tag {tag} has {len(data)} bytes, more than {VALUE_SIZE_MAX}")
    return data


def _formatted(form: TagFormat, value: TagValue) -> bytes:
    name = f"tag {int(form.tag)}"
    if form.kind == "a":
        if not str(value).isascii():
            raise ValueError(f"{name} {value!r} is no ASCII text")
        return str(value).encode("ascii").ljust(form.size)
    if isinstance(value, Decimal):
        number = wire_price(value, name)
    else:
        try:
            number = int(str(value))
        except ValueError:
            raise ValueError(f"{name} {value!r} is no whole number") from None
    try:
        return number.to_bytes(form.size, "big", signed=form.kind == "i")
    except OverflowError:
        raise ValueError(f"{name} {value!r} does not fit {form.size} bytes") from None


def pack_tags(tags: Tags | None) -> bytes:
    """The concatenated tag values; None: no tags. A Decimal is a price.

    Raise ValueError, which names the tag, when one does not fit, or when they fill more than a
    message.
    """
    parts = []
    for tag, value in (tags or {}).items():
        data = _value(int(tag), value)
        parts.append(bytes((1 + len(data), tag)) + data)
    appendage = b"".join(parts)
    if len(appendage) > CLIENT_MESSAGE_SIZE_MAX:
        raise ValueError(f"tags of {len(appendage)} bytes, more than {CLIENT_MESSAGE_SIZE_MAX}")
    return appendage


def channel_of(tags: Tags | None) -> int:
    """The channel that an appendage of `tags` names: its UserRefIdx, or 0. Raise ValueError."""
    value = (tags or {}).get(Tag.USER_REF_INDEX, 0)
    return _value(Tag.USER_REF_INDEX, value)[0]


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
