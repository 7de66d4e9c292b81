"""Kernel: subscripts, bit scans, wrapping arithmetic and unaligned bytes.

All kernel integers are int64; these few helpers are where another type is needed, each with an
interpreted twin. Bytes are a uint8 array; "big" is the byte order of a network.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from ringbuf.jit import COMPILED, kernel

_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


if COMPILED:

    @intrinsic
    def at(typing_context, position):  # type: ignore[no-untyped-def]
        """A subscript that is known not to be negative: saves the test for `array[-1]`."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return arguments[0]

        return types.uint64(types.int64), generate

    @intrinsic
    def is_within(typing_context, value, count):  # type: ignore[no-untyped-def]
        """Whether 0 <= value < count, by one comparison; count is not negative."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.icmp_unsigned("<", arguments[0], arguments[1])

        return types.boolean(types.int64, types.int64), generate

    @intrinsic
    def trailing_zeros(typing_context, word):  # type: ignore[no-untyped-def]
        """Number of zero bits below the lowest set bit; word != 0."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.int64), generate

    @intrinsic
    def leading_zeros(typing_context, word):  # type: ignore[no-untyped-def]
        """Number of zero bits above the highest set bit; word != 0."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.int64), generate

    @intrinsic
    def shift_right(typing_context, word, count):  # type: ignore[no-untyped-def]
        """Logical shift: zeros come in from the left. 0 <= count < 64."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.lshr(arguments[0], arguments[1])

        return types.int64(types.int64, types.int64), generate

    @intrinsic
    def shift_left(typing_context, word, count):  # type: ignore[no-untyped-def]
        """Shift; bits fall out on the left. 0 <= count < 64."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.shl(arguments[0], arguments[1])

        return types.int64(types.int64, types.int64), generate

    @intrinsic
    def clear_record(typing_context, records, index):  # type: ignore[no-untyped-def]
        """Zero one record of a structured array, hidden bytes included."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            array_type = signature.args[0]
            array = arrayobj.make_array(array_type)(context, builder, arguments[0])
            byte = ir.IntType(8)
            size = ir.IntType(64)(array_type.dtype.size)
            start = builder.bitcast(array.data, byte.as_pointer())
            pointer = builder.gep(start, [builder.mul(arguments[1], size)])
            fill = builder.module.declare_intrinsic(
                "llvm.memset", [byte.as_pointer(), ir.IntType(64)]
            )
            builder.call(fill, [pointer, byte(0), size, ir.IntType(1)(0)])
            return context.get_dummy_value()

        return types.void(records, types.int64), generate

    @intrinsic
    def copy_record(typing_context, target, target_index, source, source_index):  # type: ignore[no-untyped-def]
        """Copy one record between two structured arrays whose records have one size."""
        if target.dtype.size != source.dtype.size:
            raise TypeError(f"records of {source.dtype.size} and {target.dtype.size} bytes")

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            byte = ir.IntType(8)
            size = ir.IntType(64)(signature.args[0].dtype.size)
            pointers = []
            for place in (0, 2):
                made = arrayobj.make_array(signature.args[place])
                start = made(context, builder, arguments[place]).data
                start = builder.bitcast(start, byte.as_pointer())
                pointers.append(builder.gep(start, [builder.mul(arguments[place + 1], size)]))
            move = builder.module.declare_intrinsic(
                "llvm.memmove", [byte.as_pointer(), byte.as_pointer(), ir.IntType(64)]
            )
            builder.call(move, [*pointers, size, ir.IntType(1)(0)])
            return context.get_dummy_value()

        return types.void(target, types.int64, source, types.int64), generate

    @intrinsic(prefer_literal=True)
    def prefetch(typing_context, records, index, will_write):  # type: ignore[no-untyped-def]
        """Begin to bring the cache line of `records[index]`; any index is harmless.

        will_write: literal 1: this core will write it, so no other one keeps it.
        """

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            array = arrayobj.make_array(signature.args[0])(context, builder, arguments[0])
            pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte)
            kind = ir.FunctionType(ir.VoidType(), (byte, number, number, number))
            function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
            writes = number(will_write.literal_value)
            builder.call(function, [pointer, writes, number(3), number(1)])
            return context.get_dummy_value()

        return types.void(records, types.int64, will_write), generate

    @intrinsic
    def wrapping_multiply(typing_context, left, right):  # type: ignore[no-untyped-def]
        """Product modulo 2**64, as int64."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.mul(arguments[0], arguments[1])

        return types.int64(types.int64, types.int64), generate

    @intrinsic
    def wrapping_add(typing_context, left, right):  # type: ignore[no-untyped-def]
        """Sum modulo 2**64, as int64."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.add(arguments[0], arguments[1])

        return types.int64(types.int64, types.int64), generate

    @intrinsic
    def address(typing_context, array, index):  # type: ignore[no-untyped-def]
        """Address of `array[index]`, for a system call."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            data = arrayobj.make_array(signature.args[0])(context, builder, arguments[0]).data
            return builder.ptrtoint(builder.gep(data, [arguments[1]]), ir.IntType(64))

        return types.int64(array, types.int64), generate

    def _make_load(width, big):  # type: ignore[no-untyped-def]
        def load(typing_context, data, offset):  # type: ignore[no-untyped-def]
            def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
                kind = ir.IntType(width)
                base = arrayobj.make_array(signature.args[0])(context, builder, arguments[0]).data
                pointer = builder.bitcast(builder.gep(base, [arguments[1]]), kind.as_pointer())
                value = builder.load(pointer, align=1)
                if big:
                    value = builder.bswap(value)
                return value if width == 64 else builder.zext(value, ir.IntType(64))

            return types.int64(data, types.int64), generate

        return load

    def _make_store(width, big):  # type: ignore[no-untyped-def]
        def store(typing_context, data, offset, value):  # type: ignore[no-untyped-def]
            def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
                kind = ir.IntType(width)
                base = arrayobj.make_array(signature.args[0])(context, builder, arguments[0]).data
                pointer = builder.bitcast(builder.gep(base, [arguments[1]]), kind.as_pointer())
                value = arguments[2] if width == 64 else builder.trunc(arguments[2], kind)
                if big:
                    value = builder.bswap(value)
                builder.store(value, pointer, align=1)
                return context.get_dummy_value()

            return types.void(data, types.int64, types.int64), generate

        return store

    load_big_2 = intrinsic(_make_load(16, True))
    load_big_4 = intrinsic(_make_load(32, True))
    load_big_8 = intrinsic(_make_load(64, True))
    load_raw_2 = intrinsic(_make_load(16, False))
    load_raw_4 = intrinsic(_make_load(32, False))
    load_raw_8 = intrinsic(_make_load(64, False))
    store_big_2 = intrinsic(_make_store(16, True))
    store_big_4 = intrinsic(_make_store(32, True))
    store_big_8 = intrinsic(_make_store(64, True))
    store_raw_2 = intrinsic(_make_store(16, False))
    store_raw_4 = intrinsic(_make_store(32, False))
    store_raw_8 = intrinsic(_make_store(64, False))

    @intrinsic
    def copy_bytes(typing_context, target, target_offset, source, source_offset, count):  # type: ignore[no-untyped-def]
        """Copy `count` bytes between two uint8 arrays; the ranges may overlap."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            target, target_offset, source, source_offset, count = arguments
            to = arrayobj.make_array(signature.args[0])(context, builder, target).data
            start = arrayobj.make_array(signature.args[2])(context, builder, source).data
            pointer = ir.IntType(8).as_pointer()
            move = builder.module.declare_intrinsic(
                "llvm.memmove", [pointer, pointer, ir.IntType(64)]
            )
            builder.call(
                move,
                [
                    builder.bitcast(builder.gep(to, [target_offset]), pointer),
                    builder.bitcast(builder.gep(start, [source_offset]), pointer),
                    count,
                    ir.Constant(ir.IntType(1), 0),
                ],
            )
            return context.get_dummy_value()

        return types.void(target, types.int64, source, types.int64, types.int64), generate

else:

    def at(position):  # type: ignore[no-untyped-def]
        """A subscript that is known not to be negative."""
        assert position >= 0
        return int(position)

    def is_within(value, count):  # type: ignore[no-untyped-def]
        """Whether 0 <= value < count; count is not negative."""
        return 0 <= value < count

    def trailing_zeros(word):  # type: ignore[no-untyped-def]
        """Number of zero bits below the lowest set bit; word != 0."""
        word = int(word) & _MASK
        return (word & -word).bit_length() - 1

    def leading_zeros(word):  # type: ignore[no-untyped-def]
        """Number of zero bits above the highest set bit; word != 0."""
        return 64 - (int(word) & _MASK).bit_length()

    def shift_right(word, count):  # type: ignore[no-untyped-def]
        """Logical shift: zeros come in from the left."""
        return _signed((int(word) & _MASK) >> int(count))

    def shift_left(word, count):  # type: ignore[no-untyped-def]
        """Shift; bits fall out on the left."""
        return _signed(int(word) << int(count))

    def clear_record(records, index):  # type: ignore[no-untyped-def]
        """Zero one record of a structured array."""
        records[index : index + 1].view("u1")[:] = 0

    def copy_record(target, target_index, source, source_index):  # type: ignore[no-untyped-def]
        """Copy one record between two structured arrays whose records have one size."""
        assert target.itemsize == source.itemsize
        data = source[source_index : source_index + 1].view("u1").copy()
        target[target_index : target_index + 1].view("u1")[:] = data

    def prefetch(records, index, will_write):  # type: ignore[no-untyped-def]
        """Begin to bring the cache line of `records[index]`; any index is harmless."""

    def wrapping_multiply(left, right):  # type: ignore[no-untyped-def]
        """Product modulo 2**64, as int64."""
        return _signed(int(left) * int(right))

    def wrapping_add(left, right):  # type: ignore[no-untyped-def]
        """Sum modulo 2**64, as int64."""
        return _signed(int(left) + int(right))

    def address(array, index):  # type: ignore[no-untyped-def]
        """Address of `array[index]`, for a system call."""
        return int(array.ctypes.data) + int(index) * array.itemsize

    def _twin_load(width, order):  # type: ignore[no-untyped-def]
        def load(data, offset):  # type: ignore[no-untyped-def]
            return _signed(int.from_bytes(bytes(data[offset : offset + width]), order))

        return load

    def _twin_store(width, order):  # type: ignore[no-untyped-def]
        def store(data, offset, value):  # type: ignore[no-untyped-def]
            raw = (int(value) & ((1 << (8 * width)) - 1)).to_bytes(width, order)
            for place, byte in enumerate(raw):
                data[offset + place] = byte

        return store

    load_big_2, load_big_4, load_big_8 = (_twin_load(n, "big") for n in (2, 4, 8))
    load_raw_2, load_raw_4, load_raw_8 = (_twin_load(n, "little") for n in (2, 4, 8))
    store_big_2, store_big_4, store_big_8 = (_twin_store(n, "big") for n in (2, 4, 8))
    store_raw_2, store_raw_4, store_raw_8 = (_twin_store(n, "little") for n in (2, 4, 8))

    def copy_bytes(target, target_offset, source, source_offset, count):  # type: ignore[no-untyped-def]
        """Copy `count` bytes between two uint8 arrays; the ranges may overlap."""
        target[target_offset : target_offset + count] = source[
            source_offset : source_offset + count
        ].copy()


@kernel
def mix(word):
    """A 64-bit finalizer (two multiply-xorshift rounds): every input bit reaches every output."""
    word = wrapping_multiply(word ^ shift_right(word, 32), -2658756117204914263)
    word = wrapping_multiply(word ^ shift_right(word, 29), -4688146405604129537)
    return word ^ shift_right(word, 32)
