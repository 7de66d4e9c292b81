"""Shell: wire records as Python objects, and back. For clients and tools, not for pumps.

How bytes become values is rendered from the Record and from the annotations of the class: `str`
loses its padding, `Decimal` is a price with four implied decimals, `int` is itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Self, SupportsIndex, get_type_hints

from gateways.sessions import PeerError
from ringbuf.schema import Field, Record

PRICE_SCALE = Decimal(10_000)
PRICE_QUANTUM = Decimal("0.0001")
PRICE_MAX = ((1 << 64) - 1) * PRICE_QUANTUM  # of 8 bytes on the wire
Price = Decimal | str | int | float  # what a caller may give

_STRUCT = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_STRUCTS: dict[str, struct.Struct] = {}  # rendered records, by name
_NOT_SHOWN = ("type", "appendage_length")


def to_price(price: Price, name: str = "price") -> Decimal:
    """The price as an exact Decimal; a float means what it prints as. Raise ValueError."""
    try:
        exact = price if isinstance(price, Decimal) else Decimal(str(price))
    except InvalidOperation:
        raise ValueError(f"{name} {price!r} is no number") from None
    if not exact.is_finite():
        raise ValueError(f"{name} {price!r} is no finite number")
    return exact


def wire_price(price: Price, name: str = "price") -> int:
    """Units of 0.0001. Raise ValueError when the wire has no such price."""
    exact = to_price(price, name)
    if exact.copy_abs() > PRICE_MAX:  # before it is scaled, which has limits of its own
        raise ValueError(f"{name} {exact} is not within {-PRICE_MAX} and {PRICE_MAX}")
    scaled = exact * PRICE_SCALE
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{name} {exact} has more than four decimals")
    return int(scaled)


def struct_of(record: Record) -> struct.Struct:
    """The whole record as a `struct`; a field of ASCII is bytes."""
    known = _STRUCTS.get(record.name)
    if known is None:
        parts: list[str] = []
        for each in record.fields:
            parts.append(f"{each.repeat}s" if each.type == "a" else _STRUCT[each.type])
        known = _STRUCTS[record.name] = struct.Struct(">" + "".join(parts))
    return known


def pack(record: Record, letter: str, **values: Any) -> bytes:
    """A message as bytes. Text is padded right, a Decimal is a price.

    Raise ValueError that names the field whose value does not fit.
    """
    raw: list[bytes | int] = []
    for each in record.fields:
        value: Any = letter if each.name == "type" else values.pop(each.name)
        if each.type == "a":
            raw.append(_text(each, value))
        else:
            raw.append(wire_price(value, each.name) if isinstance(value, Decimal) else value)
    if values:
        raise ValueError(f"{record.name} has no {', '.join(values)}")
    try:
        return struct_of(record).pack(*raw)
    except struct.error:
        raise ValueError(_misfit(record, raw)) from None


def _text(field: Field, value: Any) -> bytes:
    """ASCII, padded right. Raise ValueError."""
    if not isinstance(value, str) or not value.isascii():
        raise ValueError(f"{field.name} {value!r} is no ASCII text")
    if len(value) > field.repeat:
        raise ValueError(f"{field.name} {value!r} is longer than {field.repeat} characters")
    return value.encode("ascii").ljust(field.repeat)


def _bounds(field: Field) -> tuple[int, int]:
    """The smallest and the largest value of a field of integers."""
    bits = 8 * field.size
    if field.type.startswith("i"):
        return -1 << (bits - 1), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def _misfit(record: Record, raw: Sequence[Any]) -> str:
    """What is wrong with the first value that does not fit its field.

    A message is packed first, and looked at only when that has failed: most never are.
    """
    for each, value in zip(record.fields, raw, strict=True):
        if each.type == "a":
            continue
        low, high = _bounds(each)
        is_whole = isinstance(value, SupportsIndex)
        if is_whole and low <= int(value) <= high:
            continue
        if is_whole and each.name.endswith("price"):
            shown = [Decimal(number) / PRICE_SCALE for number in (value, low, high)]
            return "{} {} is not within {} and {}".format(each.name, *shown)
        return f"{each.name} {value!r} is not a whole number from {low} to {high}"
    raise AssertionError(f"{record.name}: every value fits")


@dataclass(slots=True)
class Message:
    """A message of a protocol. Subclasses name their record; their fields are the record's."""

    RECORD: ClassVar[Record]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message. Raise PeerError when it has a wrong length."""
        return cls._decode_fixed(data)

    @classmethod
    def _decode_fixed(cls, data: bytes) -> Self:
        layout = _LAYOUTS.get(cls) or _layout(cls)
        try:
            raw = layout.struct.unpack_from(data)
        except struct.error:
            raise PeerError(f"{cls.RECORD.name}: {len(data)} bytes are too few") from None
        return cls(*[convert(raw) for convert in layout.converters])


@dataclass(slots=True)
class Unknown(Message):
    """A message of a type that this client does not know."""

    type: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Layout:
    struct: struct.Struct
    converters: tuple[Callable[[tuple[Any, ...]], Any], ...]


_LAYOUTS: dict[type[Message], _Layout] = {}


def _converter(index: int, kind: object) -> Callable[[tuple[Any, ...]], Any]:
    if kind is str:
        return lambda raw: raw[index].decode("latin-1").rstrip(" ")
    if kind is Decimal:
        return lambda raw: raw[index] * PRICE_QUANTUM
    return lambda raw: raw[index]


def _two_parts(low: int) -> Callable[[tuple[Any, ...]], Any]:
    return lambda raw: raw[low - 1] << 32 | raw[low]


def _layout(cls: type[Message]) -> _Layout:
    """Render how `cls` is read, once."""
    hints = get_type_hints(cls)
    converters: list[Callable[[tuple[Any, ...]], Any]] = []
    for index, each in enumerate(cls.RECORD.fields):
        if each.name.endswith("_high"):  # a 48-bit integer is declared in two parts
            continue
        if each.name.endswith("_low"):
            converters.append(_two_parts(index))
        elif each.name not in _NOT_SHOWN:
            converters.append(_converter(index, hints[each.name]))
    _LAYOUTS[cls] = layout = _Layout(struct_of(cls.RECORD), tuple(converters))
    return layout


def decode(catalogue: Mapping[str, type[Message]], data: bytes) -> Message:
    """The message in `data`, by its first letter. Raise PeerError when it is empty or too short."""
    if not data:
        raise PeerError("a message of no bytes")
    letter = chr(data[0])
    known = catalogue.get(letter)
    return known.decode(data) if known else Unknown(letter, data)
