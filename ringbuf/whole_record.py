"""Kernel: a record written as a whole, by stores of eight bytes.

A store per field costs more than it looks: while the line of a new event is on its way from a
farther cache, every store after it waits in the store buffer, and twenty narrow ones fill it three
times as fast as eight wide ones. The words are put together in registers from the layout.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from ringbuf.jit import COMPILED

_WORD = 8  # bytes

if COMPILED:

    @intrinsic(prefer_literal=True)
    def write_words(typing_context, records, index, count, names, values):  # type: ignore[no-untyped-def]
        """Write the first `count` words of a record: the named fields, and zero elsewhere.

        records: a structured array whose record is whole words; no field may cross a word.
        count and names are literals, names separated by spaces. values: a tuple of as many
        integers, each cut to its field.
        """
        named = names.literal_value.split()
        if len(named) != len(values):
            raise TypeError(f"{len(named)} names, {len(values)} values")

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            array_type = signature.args[0]
            word = ir.IntType(8 * _WORD)
            words = {}
            for place, name in enumerate(named):
                field, offset = array_type.dtype.fields[name][:2]
                bits = field.bitwidth
                value = builder.extract_value(arguments[4], place)
                value = context.cast(builder, value, signature.args[4][place], types.int64)
                if bits < word.width:
                    value = builder.and_(value, word((1 << bits) - 1))
                    value = builder.shl(value, word(8 * (offset % _WORD)))
                number = offset // _WORD
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

    def write_words(records, index, count, names, values):  # type: ignore[no-untyped-def]
        """Write the first `count` words of a record: the named fields, and zero elsewhere."""
        row = np.zeros(1, records.dtype)
        for name, value in zip(names.split(), values, strict=True):
            bits = 8 * records.dtype[name].itemsize
            low = int(value) & ((1 << bits) - 1)
            signed = records.dtype[name].kind == "i" and low >> (bits - 1)
            row[name] = low - (1 << bits) if signed else low
        copy_words(records, index, row, 0, 0, count)
