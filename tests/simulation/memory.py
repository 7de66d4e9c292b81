"""Memory of simulated processes: shared words that the scheduler watches, and private ones.

Every load and store of shared memory first gives the scheduler the chance to stop the process
there. One word (8 bytes) or one field is one access; a record that is cleared or copied is eight.
Private memory is plain Python and is never a place to stop.

Words are kept as signed integers of 64 bits, as the kernels see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ringbuf.schema import Record

FULL = (1 << 64) - 1
SIGN = 1 << 63
WORD_BITS = 64

Fields = dict[str, tuple[int, int, int, int]]  # name -> word, shift, mask, sign bit or 0


def signed(value: int) -> int:
    """The value modulo 2**64, as int64."""
    value &= FULL
    return value - (1 << WORD_BITS) if value & SIGN else value


def fields_of(record: Record) -> Fields:
    """Where each scalar field of a record is, as word, shift and mask."""
    found: Fields = {}
    for each, offset in zip(record.fields, record.offsets, strict=True):
        if each.repeat > 1:
            continue
        width = 8 * int(each.base[1:])
        mask = (1 << width) - 1
        sign = 1 << (width - 1) if each.base.startswith("i") else 0
        found[each.name] = (offset // 8, 8 * (offset % 8), mask, sign)
    return found


class Row:
    """One record of private memory."""

    __slots__ = ("base", "fields", "words")

    def __init__(self, words: list[int], base: int, fields: Fields) -> None:
        self.words, self.base, self.fields = words, base, fields

    def __getitem__(self, name: str) -> int:
        word, shift, mask, sign = self.fields[name]
        value = (self.words[self.base + word] >> shift) & mask
        return value - mask - 1 if value & sign else value

    def __setitem__(self, name: str, value: int) -> None:
        word, shift, mask, _ = self.fields[name]
        place = self.base + word
        value = (self.words[place] & ~(mask << shift)) | ((value & mask) << shift)
        self.words[place] = signed(value)

    def word(self, name: str) -> int:
        """The word that a field is in."""
        return self.words[self.base + self.fields[name][0]]

    def copy_words(self, count: int) -> list[int]:
        """The record's words."""
        return self.words[self.base : self.base + count]


class Records:
    """An array of private records; those never touched cost nothing."""

    def __init__(self, fields: Fields, words_each: int, count: int) -> None:
        self.fields, self.words_each, self.count = fields, words_each, count
        self._rows: dict[int, Row] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Row:
        row = self._rows.get(index)
        if row is None:
            row = self._rows[index] = Row([0] * self.words_each, 0, self.fields)
        return row

    def __setitem__(self, index: int, source: Any) -> None:
        self[index].words[:] = source.copy_words(self.words_each)

    def write_words(self, index: int, first: int, words: list[int]) -> None:
        """Store words of one record, from number `first` on."""
        self[index].words[first : first + len(words)] = words

    def clear(self, index: int) -> None:
        """Zero one record."""
        self[index].words[:] = [0] * self.words_each


class World:
    """What shared memory asks of the scheduler."""

    budget = 0
    trace: Callable[[str, str, object], None] | None = None

    def switch(self) -> None:
        """The running process has used up its turn."""


class SharedWords:
    """An array of shared words. `watchers`: called with (old, new) when that word is stored."""

    __slots__ = ("name", "watchers", "words", "world")

    def __init__(self, world: World, name: str, words: list[int]) -> None:
        self.world, self.name, self.words = world, name, words
        self.watchers: dict[int, Callable[[int, int], None]] = {}

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> int:
        world = self.world
        world.budget -= 1
        if world.budget < 0:
            world.switch()
        return self.words[index]

    def __setitem__(self, index: int, value: int) -> None:
        world = self.world
        world.budget -= 1
        if world.budget < 0:
            world.switch()
        if world.trace is not None:
            world.trace(self.name, str(index), value)
        old = self.words[index]
        self.words[index] = value
        watcher = self.watchers.get(index)
        if watcher is not None:
            watcher(old, value)


class SharedRow:
    """One record of shared memory."""

    __slots__ = ("base", "owner")

    def __init__(self, owner: SharedRecords, base: int) -> None:
        self.owner, self.base = owner, base

    def __getitem__(self, name: str) -> int:
        owner = self.owner
        world = owner.world
        world.budget -= 1
        if world.budget < 0:
            world.switch()
        word, shift, mask, sign = owner.fields[name]
        value = (owner.words[self.base + word] >> shift) & mask
        return value - mask - 1 if value & sign else value

    def __setitem__(self, name: str, value: int) -> None:
        owner = self.owner
        world = owner.world
        world.budget -= 1
        if world.budget < 0:
            world.switch()
        word, shift, mask, _ = owner.fields[name]
        place = self.base + word
        if owner.guard is not None:
            owner.guard(self.base)
        if world.trace is not None:
            world.trace(owner.name, f"{self.base // owner.words_each}.{name}", value)
        value = (owner.words[place] & ~(mask << shift)) | ((value & mask) << shift)
        owner.words[place] = signed(value)

    def word(self, name: str) -> int:
        """The word that a field is in, in one load."""
        return self.owner.load(self.base + self.owner.fields[name][0])

    def copy_words(self, count: int) -> list[int]:
        """The record's words, read one by one."""
        return [self.owner.load(self.base + number) for number in range(count)]


class SharedRecords:
    """An array of shared records. `guard`: called with the first word's place before a store."""

    def __init__(
        self, world: World, name: str, words: list[int], fields: Fields, words_each: int
    ) -> None:
        self.world, self.name, self.words = world, name, words
        self.fields, self.words_each = fields, words_each
        self.guard: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self.words) // self.words_each

    def __getitem__(self, index: int) -> SharedRow:
        return SharedRow(self, index * self.words_each)

    def __setitem__(self, index: int, source: Any) -> None:
        for number, word in enumerate(source.copy_words(self.words_each)):
            self._store(index * self.words_each, number, word)

    def clear(self, index: int) -> None:
        """Zero one record, word by word."""
        self.write_words(index, 0, [0] * self.words_each)

    def write_words(self, index: int, first: int, words: list[int]) -> None:
        """Store words of one record, from number `first` on."""
        for number, word in enumerate(words, first):
            self._store(index * self.words_each, number, word)

    def load(self, place: int) -> int:
        """One word."""
        world = self.world
        world.budget -= 1
        if world.budget < 0:
            world.switch()
        return self.words[place]

    def _store(self, base: int, number: int, value: int) -> None:
        world = self.world
        world.budget -= 1
        if world.budget < 0:
            world.switch()
        if self.guard is not None:
            self.guard(base)
        if world.trace is not None:
            world.trace(self.name, f"{base // self.words_each}[{number}]", value)
        self.words[base + number] = value

    def raw(self, index: int) -> tuple[int, ...]:
        """A record as it is, for those who watch."""
        start = index * self.words_each
        return tuple(self.words[start : start + self.words_each])


class SharedSlice:
    """A part of an array of shared records: one producer's commands."""

    def __init__(self, whole: SharedRecords, first: int, count: int) -> None:
        self.whole, self.first, self.count = whole, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> SharedRow:
        return self.whole[self.first + index]

    def clear(self, index: int) -> None:
        """Zero one record, word by word."""
        self.whole.clear(self.first + index)


class SharedPart:
    """A part of an array of shared words: one producer's cursors."""

    def __init__(self, whole: SharedWords, first: int, count: int) -> None:
        self.whole, self.first, self.count = whole, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return self.whole[self.first + index]

    def __setitem__(self, index: int, value: int) -> None:
        self.whole[self.first + index] = value


class SparseRows:
    """Private records as dictionaries, made when first touched: the fastest that Python has."""

    __slots__ = ("count", "rows", "template")

    def __init__(self, template: dict[str, int], count: int) -> None:
        self.template, self.count = template, count
        self.rows: dict[int, dict[str, int]] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, int]:
        row = self.rows.get(index)
        if row is None:
            row = self.rows[index] = dict(self.template)
        return row

    def touched(self) -> dict[int, dict[str, int]]:
        """The records that are not zero."""
        return {number: row for number, row in sorted(self.rows.items()) if any(row.values())}


class Words(list):  # type: ignore[type-arg]
    """Private words that can be filled with one value, as an array can."""

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            value = [value] * len(self[index])
        super().__setitem__(index, value)


class DenseRows(list):  # type: ignore[type-arg]
    """Private records as dictionaries; assigning one copies it."""

    def __setitem__(self, index: Any, row: Any) -> None:
        self[index].update(row)


class SparseWords(dict[int, int]):
    """Private words; those never touched are zero."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __missing__(self, index: int) -> int:
        return 0

    def __len__(self) -> int:
        return self.count

    def touched(self) -> dict[int, int]:
        """The words that are not zero."""
        return {number: word for number, word in sorted(self.items()) if word}


def dense(template: dict[str, int], count: int) -> DenseRows:
    """`count` records like the template."""
    return DenseRows(dict(template) for _ in range(count))


def zero_row(record: Record) -> dict[str, int]:
    """A record of zeros as a dictionary."""
    return {each.name: 0 for each in record.fields if each.repeat <= 1}


def words_of(rows: Iterator[Row]) -> list[tuple[int, ...]]:
    """The words of some rows."""
    return [tuple(row.words) for row in rows]
