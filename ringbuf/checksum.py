"""Kernel: xxh3, 64 bits, of bytes in a uint8 array: what the library xxhash says of the same bytes.

For readers that check many small pieces: a call from Python costs more than a piece of some
hundred bytes. Eight sums of 64 bits are kept, one for each word of a stripe of 64 bytes. They stay
in registers and are added all at once: numba would do so lane by lane, at a seventh of the speed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from ringbuf.bits import load_raw_8, shift_right, wrapping_add, wrapping_multiply
from ringbuf.jit import COMPILED, kernel
from ringbuf.state import State

LANES = 8
STRIPE_SIZE = 8 * LANES
SECRET_SIZE = 192
_STRIPES = 16  # after so many the secret is used up, and the sums are scrambled
_BLOCK_SIZE = _STRIPES * STRIPE_SIZE
_LOW = (1 << 32) - 1


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


PRIME32_1, PRIME32_2, PRIME32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
PRIME64_1 = _signed(0x9E3779B185EBCA87)
PRIME64_2 = _signed(0xC2B2AE3D27D4EB4F)
PRIME64_3 = _signed(0x165667B19E3779F9)
PRIME64_4 = _signed(0x85EBCA77C2B2AE63)
PRIME64_5 = _signed(0x27D4EB2F165667C5)
AVALANCHE = _signed(0x165667919E3779F9)
OF_NOTHING = _signed(0x2D06800538D394C2)

_SECRET = (
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


@State.register
class Checksum(NamedTuple):
    """What the kernel needs beside the bytes; not for two threads at once."""

    secret: np.ndarray  # uint8[192], never written
    sums: np.ndarray  # int64[8], between two steps


def create_checksum() -> Checksum:
    """All of its memory. Cold."""
    secret = np.frombuffer(bytes.fromhex(_SECRET), np.uint8).copy()
    return Checksum(secret, np.zeros(LANES, np.int64))


if COMPILED:

    def _lanes(context, builder, kind, array, offset):  # type: ignore[no-untyped-def]
        """Pointer to eight words at byte `offset` of an array."""
        data = arrayobj.make_array(kind)(context, builder, array).data
        data = builder.bitcast(data, ir.IntType(8).as_pointer())
        vector = ir.VectorType(ir.IntType(64), LANES)
        return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

    def _each(value):  # type: ignore[no-untyped-def]
        return ir.Constant(ir.VectorType(ir.IntType(64), LANES), [value] * LANES)

    @intrinsic
    def _add_stripes(typing_context, sums, data, offset, count, secret, secret_offset):  # type: ignore[no-untyped-def]
        """Add `count` stripes from data[offset] on; the secret moves on by 8 bytes for each."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            number, mask = ir.IntType(64), ir.VectorType(ir.IntType(32), LANES)
            neighbour = ir.Constant(mask, [lane ^ 1 for lane in range(LANES)])
            kinds = signature.args
            held = _lanes(context, builder, kinds[0], arguments[0], number(0))
            total = cgutils.alloca_once_value(builder, builder.load(held, align=8))
            with cgutils.for_range(builder, arguments[3]) as loop:
                place = builder.add(arguments[2], builder.mul(loop.index, number(STRIPE_SIZE)))
                of_secret = builder.add(arguments[5], builder.mul(loop.index, number(8)))
                pointer = _lanes(context, builder, kinds[1], arguments[1], place)
                words = builder.load(pointer, align=1)
                pointer = _lanes(context, builder, kinds[4], arguments[4], of_secret)
                key = builder.xor(words, builder.load(pointer, align=1))
                product = builder.mul(builder.and_(key, _each(_LOW)), builder.lshr(key, _each(32)))
                swapped = builder.shuffle_vector(words, words, neighbour)
                added = builder.add(product, swapped)
                builder.store(builder.add(builder.load(total), added), total)
            builder.store(builder.load(total), held, align=8)
            return context.get_dummy_value()

        number = types.int64
        return types.void(sums, data, number, number, secret, number), generate

    @intrinsic
    def _folded_product(typing_context, left, right):  # type: ignore[no-untyped-def]
        """The two halves of a product of 128 bits, one laid over the other by exclusive or."""

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            word, wide = ir.IntType(64), ir.IntType(128)
            product = builder.mul(*(builder.zext(each, wide) for each in arguments))
            high = builder.trunc(builder.lshr(product, wide(64)), word)
            return builder.xor(builder.trunc(product, word), high)

        return types.int64(types.int64, types.int64), generate

else:

    def _add_stripes(sums, data, offset, count, secret, secret_offset):  # type: ignore[no-untyped-def]
        """Add `count` stripes from data[offset] on; the secret moves on by 8 bytes for each."""
        total = sums.view(np.uint64)
        for number in range(count):
            place, of_secret = offset + number * STRIPE_SIZE, secret_offset + number * 8
            words = data[place : place + STRIPE_SIZE].view(np.uint64)
            key = words ^ secret[of_secret : of_secret + STRIPE_SIZE].view(np.uint64)
            total += (key & np.uint64(_LOW)) * (key >> np.uint64(32))
            total += words.reshape(-1, 2)[:, ::-1].ravel()

    def _folded_product(left, right):  # type: ignore[no-untyped-def]
        """The two halves of a product of 128 bits, one laid over the other by exclusive or."""
        product = (int(left) % (1 << 64)) * (int(right) % (1 << 64))
        return _signed((product ^ (product >> 64)) % (1 << 64))


@kernel
def _avalanche(word):
    word = wrapping_multiply(word ^ shift_right(word, 37), AVALANCHE)
    return word ^ shift_right(word, 32)


@kernel
def _mixed(data, offset, secret, secret_offset):
    """Of 16 bytes."""
    return _folded_product(
        load_raw_8(data, offset) ^ load_raw_8(secret, secret_offset),
        load_raw_8(data, offset + 8) ^ load_raw_8(secret, secret_offset + 8),
    )


@kernel
def _short(data, offset, count, secret):
    """Of 17 to 128 bytes: from both ends to the middle."""
    end = offset + count
    total = wrapping_multiply(count, PRIME64_1)
    for step in range((count - 1) // 32 + 1):
        total = wrapping_add(total, _mixed(data, offset + 16 * step, secret, 32 * step))
        last = _mixed(data, end - 16 * (step + 1), secret, 32 * step + 16)
        total = wrapping_add(total, last)
    return _avalanche(total)


@kernel
def _middle(data, offset, count, secret):
    """Of 129 to 240 bytes."""
    total = wrapping_multiply(count, PRIME64_1)
    for step in range(8):
        total = wrapping_add(total, _mixed(data, offset + 16 * step, secret, 16 * step))
    total = _avalanche(total)
    for step in range(8, count // 16):
        total = wrapping_add(total, _mixed(data, offset + 16 * step, secret, 16 * (step - 8) + 3))
    last = _mixed(data, offset + count - 16, secret, 136 - 17)
    return _avalanche(wrapping_add(total, last))


@kernel
def _scramble(sums, secret):
    for lane in range(LANES):
        word = sums[lane] ^ shift_right(sums[lane], 47)
        word ^= load_raw_8(secret, SECRET_SIZE - STRIPE_SIZE + 8 * lane)
        sums[lane] = wrapping_multiply(word, PRIME32_1)


@kernel
def _long(data, offset, count, secret, sums):
    """Of more than 240 bytes."""
    sums[0], sums[1], sums[2], sums[3] = PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3
    sums[4], sums[5], sums[6], sums[7] = PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1
    whole = (count - 1) // _BLOCK_SIZE
    for number in range(whole):
        _add_stripes(sums, data, offset + number * _BLOCK_SIZE, _STRIPES, secret, 0)
        _scramble(sums, secret)
    rest = (count - 1) % _BLOCK_SIZE // STRIPE_SIZE
    _add_stripes(sums, data, offset + whole * _BLOCK_SIZE, rest, secret, 0)
    last = offset + count - STRIPE_SIZE
    _add_stripes(sums, data, last, 1, secret, SECRET_SIZE - STRIPE_SIZE - 7)
    total = wrapping_multiply(count, PRIME64_1)
    for pair in range(0, LANES, 2):
        left = sums[pair] ^ load_raw_8(secret, 11 + 8 * pair)
        right = sums[pair + 1] ^ load_raw_8(secret, 19 + 8 * pair)
        total = wrapping_add(total, _folded_product(left, right))
    return _avalanche(total)


@kernel
def xxh3(data, offset, count, checksum):
    """The checksum of data[offset : offset + count], as int64. count: 0, or 17 and more.

    data: uint8[n]. checksum: Checksum.
    """
    if count == 0:
        return OF_NOTHING
    assert count > 16
    if count <= 128:
        return _short(data, offset, count, checksum.secret)
    if count <= 240:
        return _middle(data, offset, count, checksum.secret)
    return _long(data, offset, count, checksum.secret, checksum.sums)
