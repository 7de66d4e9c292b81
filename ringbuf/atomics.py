"""Kernel: loads and stores that another process can see, in the order that we say.

The only file that knows how they are made (LLVM `load atomic`, `store atomic`, `fence`,
`cmpxchg`). Every word that another process writes is read with `load_acquire` and published with
`store_release`. Arrays are int64[n] or int32[n]; an index is not checked.

Each has an interpreted twin for NUMBA_DISABLE_JIT=1: there the interpreter's own lock and the
strong order of the supported machine (x86-64) stand in for the fences.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from ringbuf.jit import COMPILED


def _pointer(context, builder, array_type, array, index):  # type: ignore[no-untyped-def]
    data = arrayobj.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


if COMPILED:

    def _make_load(order):  # type: ignore[no-untyped-def]
        def load(typing_context, array, index):  # type: ignore[no-untyped-def]
            signature = types.int64(array, types.int64)

            def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
                array_type = signature.args[0]
                width = array_type.dtype.bitwidth
                pointer = _pointer(context, builder, array_type, *arguments)
                value = builder.load_atomic(pointer, order, width // 8)
                return value if width == 64 else builder.sext(value, ir.IntType(64))

            return signature, generate

        return load

    def _make_store(order):  # type: ignore[no-untyped-def]
        def store(typing_context, array, index, value):  # type: ignore[no-untyped-def]
            signature = types.void(array, types.int64, types.int64)

            def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
                array_type = signature.args[0]
                width = array_type.dtype.bitwidth
                pointer = _pointer(context, builder, array_type, arguments[0], arguments[1])
                value = arguments[2]
                if width != 64:
                    value = builder.trunc(value, ir.IntType(width))
                builder.store_atomic(value, pointer, order, width // 8)
                return context.get_dummy_value()

            return signature, generate

        return store

    def _make_fence(order):  # type: ignore[no-untyped-def]
        def fence(typing_context):  # type: ignore[no-untyped-def]
            def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
                builder.fence(order)
                return context.get_dummy_value()

            return types.void(), generate

        return fence

    load_acquire = intrinsic(_make_load("acquire"))
    load_relaxed = intrinsic(_make_load("monotonic"))
    store_release = intrinsic(_make_store("release"))
    store_relaxed = intrinsic(_make_store("monotonic"))
    fence_acquire = intrinsic(_make_fence("acquire"))
    fence_release = intrinsic(_make_fence("release"))
    fence_full = intrinsic(_make_fence("seq_cst"))

    @intrinsic
    def compare_exchange(typing_context, array, index, expected, desired):  # type: ignore[no-untyped-def]
        """Store `desired` if the word is `expected`; return what it was before."""
        signature = types.int64(array, types.int64, types.int64, types.int64)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
            pair = builder.cmpxchg(pointer, arguments[2], arguments[3], "acq_rel", "acquire")
            return builder.extract_value(pair, 0)

        return signature, generate

    @intrinsic
    def pause(typing_context):  # type: ignore[no-untyped-def]
        """Tell the core that this is a spin loop."""

        # The LLVM intrinsic, not inline assembly: a cached kernel with inline assembly aborts.
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            function = builder.module.declare_intrinsic(
                "llvm.x86.sse2.pause", (), ir.FunctionType(ir.VoidType(), ())
            )
            builder.call(function, ())
            return context.get_dummy_value()

        return types.void(), generate

else:

    def load_acquire(array, index):  # type: ignore[no-untyped-def]
        """Read a word; later reads and writes stay behind it."""
        return int(array[index])

    def store_release(array, index, value):  # type: ignore[no-untyped-def]
        """Write a word; earlier reads and writes stay before it."""
        array[index] = value

    load_relaxed = load_acquire
    store_relaxed = store_release

    def fence_acquire():  # type: ignore[no-untyped-def]
        """Reads before it are finished before reads and writes behind it."""

    def fence_release():  # type: ignore[no-untyped-def]
        """Reads and writes before it are finished before writes behind it."""

    def fence_full():  # type: ignore[no-untyped-def]
        """Everything before it is finished before anything behind it."""

    def compare_exchange(array, index, expected, desired):  # type: ignore[no-untyped-def]
        """Store `desired` if the word is `expected`; return what it was before."""
        before = int(array[index])
        if before == expected:
            array[index] = desired
        return before

    def pause():  # type: ignore[no-untyped-def]
        """Tell the core that this is a spin loop."""
