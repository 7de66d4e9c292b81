"""Kernel: a record written as a whole, by stores of eight bytes.

A store per field costs more than it looks: while the line of a new event is on its way from a
farther cache, every store after it waits in the store buffer, and twenty narrow ones fill it three
times as fast as eight wide ones. The words are put together in registers from the layout, and what
two records have in common in one word goes from one to the other as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from ringbuf.jit import COMPILED

_WORD = 8  # bytes


def _span(dtype: Any, name: str) -> tuple[int, int, int]:
    """Word of a field, its first bit there, its bits; `first:last` is all from one to another.

    dtype: what `fields` of a numpy dtype or of numba's record type gives. Raises ValueError when
    it crosses a word.
    """
    first, _, last = name.partition(":")
    start = dtype.fields[first][1]
    kind, offset = dtype.fields[last or first][:2]
    end = offset + (kind.itemsize if isinstance(kind, np.dtype) else kind.bitwidth // 8)
    if start // _WORD != (end - 1) // _WORD:
        raise ValueError(f"{name}: not within one word")
    return start // _WORD, 8 * (start % _WORD), 8 * (end - start)


def part_of_word(dtype: np.dtype, *names: str) -> int:
    """The bits of these fields in the word that they share, as int64. Raises ValueError."""
    spans = [_span(dtype, name) for name in names]
    if len({word for word, _, _ in spans}) > 1:
        raise ValueError(f"{names}: not in one word")
    mask = sum(((1 << bits) - 1) << shift for _, shift, bits in spans)
    return mask - (1 << 64) if mask >> 63 else mask


if COMPILED:

    @intrinsic(prefer_literal=True)
    def write_words(typing_context, records, index, count, names, values):  # type: ignore[no-untyped-def]
        """Write the first `count` words of a record: the named fields, and zero elsewhere.

        records: a structured array whose record is whole words. count and names are literals,
        names separated by spaces; `first:last` takes all from one field to another of its word.
        values: a tuple of as many integers, each cut to its place.
        """
        named = names.literal_value.split()
        if len(named) != len(values):
            raise TypeError(f"{len(named)} names, {len(values)} values")

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            array_type = signature.args[0]
            word = ir.IntType(8 * _WORD)
            words = {}
            for place, name in enumerate(named):
                number, shift, bits = _span(array_type.dtype, name)
                value = builder.extract_value(arguments[4], place)
                value = context.cast(builder, value, signature.args[4][place], types.int64)
                if bits < word.width:
                    value = builder.and_(value, word((1 << bits) - 1))
                    value = builder.shl(value, word(shift))
                words[number] = builder.or_(words[number], value) if number in words else value
            size = array_type.dtype.size
            data = arrayobj.make_array(array_type)(context, builder, arguments[0]).data
            start = builder.bitcast(data, word.as_pointer())
            first = builder.mul(arguments[1], word(size // _WORD))
            for number in range(count.literal_value):
                pointer = builder.gep(start, [builder.add(first, word(number))])
                builder.store(words.get(number, word(0)), pointer, align=_WORD)
            return context.get_dummy_value()

        return types.void(records, types.int64, count, names, values), generate

    @intrinsic(prefer_literal=True)
    def read_word(typing_context, records, index, name):  # type: ignore[no-untyped-def]
        """The word of a record that the named field (a literal) is in, as int64."""
        number = _span(records.dtype, name.literal_value)[0]

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            word = ir.IntType(8 * _WORD)
            kind = signature.args[0]
            data = arrayobj.make_array(kind)(context, builder, arguments[0]).data
            place = builder.mul(arguments[1], word(kind.dtype.size // _WORD))
            start = builder.bitcast(data, word.as_pointer())
            pointer = builder.gep(start, [builder.add(place, word(number))])
            return builder.load(pointer, align=_WORD)

        return types.int64(records, types.int64, name), generate

    @intrinsic(prefer_literal=True)
    def copy_words(typing_context, target, target_index, source, source_index, first, count):  # type: ignore[no-untyped-def]
        """Copy words first ... first + count - 1 of a record; first and count are literals."""
        numbers = range(first.literal_value, first.literal_value + count.literal_value)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            word = ir.IntType(8 * _WORD)
            begins = []
            for place in (0, 2):
                kind = signature.args[place]
                data = arrayobj.make_array(kind)(context, builder, arguments[place]).data
                index = builder.mul(arguments[place + 1], word(kind.dtype.size // _WORD))
                begins.append((builder.bitcast(data, word.as_pointer()), index))
            (to, to_index), (of, of_index) = begins
            values = []
            for number in numbers:
                pointer = builder.gep(of, [builder.add(of_index, word(number))])
                values.append(builder.load(pointer, align=_WORD))
            for number, value in zip(numbers, values, strict=True):
                pointer = builder.gep(to, [builder.add(to_index, word(number))])
                builder.store(value, pointer, align=_WORD)
            return context.get_dummy_value()

        return types.void(target, types.int64, source, types.int64, first, count), generate

else:

    def copy_words(target, target_index, source, source_index, first, count):  # type: ignore[no-untyped-def]
        """Copy words first ... first + count - 1 of a record; first and count are literals."""
        bytes_of = [
            each.view(np.uint8).reshape(len(each), -1)[:, _WORD * first : _WORD * (first + count)]
            for each in (target, source)
        ]
        bytes_of[0][target_index] = bytes_of[1][source_index]

    def read_word(records, index, name):  # type: ignore[no-untyped-def]
        """The word of a record that the named field (a literal) is in, as int64."""
        return records[index : index + 1].view(np.int64)[_span(records.dtype, name)[0]]

    def write_words(records, index, count, names, values):  # type: ignore[no-untyped-def]
        """Write the first `count` words of a record: the named fields, and zero elsewhere."""
        words = [0] * count
        for name, value in zip(names.split(), values, strict=True):
            number, shift, bits = _span(records.dtype, name)
            words[number] |= (int(value) & ((1 << bits) - 1)) << shift
        row = np.array(words, np.uint64).view(np.int64)
        records[index : index + 1].view(np.int64)[:count] = row
