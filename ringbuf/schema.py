"""Declaration: a byte layout, declared once.

Every byte that two processes, or a process and a wire or a file, agree on is a `Field` of one
`Record`. The numpy dtype, the C header, the documentation table and the digest are rendered from
it, so there is no second copy that could disagree. Padding is a named field. Fields may share
bytes (a union) only where the declaration says so by giving an explicit `offset`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

_C_TYPES = {
    "i1": "int8_t",
    "u1": "uint8_t",
    "i2": "int16_t",
    "u2": "uint16_t",
    "i4": "int32_t",
    "u4": "uint32_t",
    "i8": "int64_t",
    "u8": "uint64_t",
}


@dataclass(frozen=True)
class Field:
    """One field. `type` is a numpy type without byte order ("i8", "u2"); "a" is one ASCII byte.

    repeat: number of elements (0 and 1 both mean a scalar).
    writer: the only party that stores to it; order: how ("release", "plain", "before publish").
    offset: None = right after the field before it; a number = these bytes (declares a union).
    """

    name: str
    type: str
    repeat: int = 1
    writer: str = ""
    order: str = ""
    doc: str = ""
    offset: int | None = None

    @property
    def base(self) -> str:
        """The numpy type of one element."""
        return "u1" if self.type == "a" else self.type

    @property
    def size(self) -> int:
        """Bytes of the whole field."""
        return int(self.base[1:]) * max(1, self.repeat)


@dataclass(frozen=True)
class Record:
    """A fixed-size layout. Raises ValueError when the declared size is not what the fields give.

    wire=True: big-endian and unaligned, as on a network; otherwise little-endian, and every
    field must be naturally aligned, so that no compiler adds a hidden byte.
    """

    name: str
    size: int
    fields: tuple[Field, ...]
    doc: str = ""
    wire: bool = False
    offsets: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        offsets = []
        position = end = 0
        names = set()
        for each in self.fields:
            if each.name in names:
                raise ValueError(f"{self.name}: field {each.name} is declared twice")
            names.add(each.name)
            position = position if each.offset is None else each.offset
            width = int(each.base[1:])
            if not self.wire and position % width:
                raise ValueError(f"{self.name}.{each.name}: offset {position} is not aligned")
            offsets.append(position)
            position += each.size
            end = max(end, position)
        if end != self.size:
            raise ValueError(f"{self.name}: the fields take {end} bytes, declared are {self.size}")
        object.__setattr__(self, "offsets", tuple(offsets))

    @cached_property
    def dtype(self) -> np.dtype:
        """The numpy dtype; a repeated field is a sub-array."""
        prefix = ">" if self.wire else "<"
        formats: list[object] = []
        for each in self.fields:
            base = prefix + each.base
            formats.append((base, (each.repeat,)) if each.repeat > 1 else base)
        return np.dtype(
            {
                "names": [each.name for each in self.fields],
                "formats": formats,
                "offsets": list(self.offsets),
                "itemsize": self.size,
            }
        )

    def offset_of(self, name: str) -> int:
        """Bytes from the start of the record to the field `name`."""
        for each, offset in zip(self.fields, self.offsets, strict=True):
            if each.name == name:
                return offset
        raise KeyError(f"{self.name} has no field {name}")

    @cached_property
    def digest(self) -> int:
        """63-bit digest of names, types and offsets: two builds agree on it or on nothing."""
        text = f"{self.name}:{self.size}:{self.wire}:" + ",".join(
            f"{each.name}/{each.type}x{each.repeat}@{offset}"
            for each, offset in zip(self.fields, self.offsets, strict=True)
        )
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1

    def c_struct(self) -> str:
        """The layout as C: offset assertions, so that a compiler can contradict us."""
        macro = self.name.upper()
        lines = [f"#define {macro}_SIZE {self.size}"]
        for each, offset in zip(self.fields, self.offsets, strict=True):
            lines.append(f"#define {macro}_{each.name.upper()} {offset}")
        overlaid = any(each.offset is not None for each in self.fields)
        if not overlaid and not self.wire:
            lines.append(f"struct {self.name} {{")
            for each in self.fields:
                many = f"[{each.repeat}]" if each.repeat > 1 else ""
                lines.append(f"    {_C_TYPES[each.base]} {each.name}{many};")
            lines.append("};")
            lines.append(f'_Static_assert(sizeof(struct {self.name}) == {self.size}, "size");')
        return "\n".join(lines) + "\n"

    def table(self) -> str:
        """The layout as a Markdown table."""
        lines = [f"### {self.name} ({self.size} bytes)", ""]
        if self.doc:
            lines += [self.doc, ""]
        lines += ["| offset | size | field | type | writer | order | meaning |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for each, offset in zip(self.fields, self.offsets, strict=True):
            kind = f"{each.type}×{each.repeat}" if each.repeat > 1 else each.type
            lines.append(
                f"| {offset} | {each.size} | `{each.name}` | {kind} | {each.writer} "
                f"| {each.order} | {each.doc} |"
            )
        return "\n".join(lines) + "\n"


def combined_digest(*records: Record) -> int:
    """63-bit digest of several records, for the header of a segment or a file."""
    text = ",".join(f"{record.name}={record.digest}" for record in records)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
