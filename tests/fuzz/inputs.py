"""Kernel: hostile inputs, made from valid packets.

One input is a packet, or what pretends to be one. How it is spoilt is drawn by a table of weights,
so that the same generator serves a run in which most inputs end their connection and one in which
most are read to their end. Everything follows from the state of one pseudo-random number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ringbuf.bits import at, copy_bytes, load_big_2, store_big_2, store_big_4, store_big_8
from ringbuf.jit import cold_kernel, kernel
from ringbuf.state import State
from tests.gateways import ouch_cases

SIZE_MAX = 4096
GROWTH_MAX = 1400  # beyond what a gateway takes as one packet
HEADER = 3
ENTER, REPLACE = ord("O"), ord("U")
NUMBER_MAX = 0xFFFF_FFFF

# How an input is spoilt.
VALID, BYTE, BYTES, EDGE, CUT, GROWN, PACKET_LIE, APPENDAGE_LIE = range(8)
TAGS, TAGS_CUT, NOISE, RAW, TYPE, NUMBER, WAYS = range(8, 15)

# Weights by way. WILD: most inputs end their connection. LASTING: hardly any does.
WILD = (20, 10, 10, 20, 10, 10, 5, 10, 30, 20, 5, 3, 3, 10)
LASTING = (400, 5, 1, 60, 1, 1, 1, 1, 300, 100, 0, 0, 1, 60)

EDGES = tuple(sorted({max(0, (1 << bits) + step) for bits in range(64) for step in (-1, 0, 1)})) + (
    999_999,
    1_000_000,
    1_999_999_900,
    2_000_000_000,
    0x7735_939C,
    10_000,
    100_000,
)


@State.register
class Inputs(NamedTuple):
    """Where inputs come from."""

    random: np.ndarray  # int64[1]
    corpus: np.ndarray  # uint8[n]: valid messages, one behind the other
    starts: np.ndarray  # int64[messages + 1]
    tags: np.ndarray  # uint8[n]: valid tag values
    tag_starts: np.ndarray  # int64[tags + 1]
    ways: np.ndarray  # int64[sum of weights]: a way in each cell
    edges: np.ndarray  # int64[n]
    numbers: np.ndarray  # int64[1]: the next UserRefNum
    made: np.ndarray  # uint8[SIZE_MAX]: the input


def _packed(parts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0] + [len(each) for each in parts])
    return np.frombuffer(bytearray(b"".join(parts)), np.uint8), starts.astype(np.int64)


def create_inputs(seed: int, weights: tuple[int, ...], messages: list[bytes]) -> Inputs:
    """A generator; `messages`: valid ones, the numbers in them do not matter."""
    every = [ouch_cases.ALL_ENTER_TAGS, ouch_cases.value(5, bytes(4)), ouch_cases.value(27, b"B")]
    tags = []
    for text in every:
        while text:
            tags.append(text[: 1 + text[0]])
            text = text[1 + text[0] :]
    corpus, starts = _packed(messages)
    values, tag_starts = _packed(tags)
    ways = np.repeat(np.arange(len(weights)), weights)
    edges = np.array([each - (1 << 64) if each >> 63 else each for each in EDGES], np.int64)
    return Inputs(
        random=np.array([seed * 2_654_435_761 + 1], np.int64),
        corpus=corpus,
        starts=starts,
        tags=values,
        tag_starts=tag_starts,
        ways=ways.astype(np.int64),
        edges=edges,
        numbers=np.ones(1, np.int64),
        made=np.zeros(SIZE_MAX, np.uint8),
    )


@kernel
def draw(inputs, limit):
    """A number from 0 to limit - 1. Xorshift in 62 bits, so that no sign comes in."""
    x = np.int64(inputs.random[0])
    x ^= (x << 13) & 0x3FFF_FFFF_FFFF_FFFF
    x ^= x >> 7
    x ^= (x << 17) & 0x3FFF_FFFF_FFFF_FFFF
    inputs.random[0] = x
    return (x >> 11) % limit


@cold_kernel
def _noise(inputs, start, end):
    for place in range(start, end):
        inputs.made[at(place)] = draw(inputs, 256)


@cold_kernel
def _append_tags(inputs, end):
    """A few tag values behind `end`, perhaps the same twice; the new end."""
    for _ in range(1 + draw(inputs, 4)):
        tag = draw(inputs, len(inputs.tag_starts) - 1)
        first = np.int64(inputs.tag_starts[at(tag)])
        size = np.int64(inputs.tag_starts[at(tag + 1)]) - first
        copy_bytes(inputs.made, end, inputs.tags, first, size)
        if draw(inputs, 4) == 0:  # another value of that tag, or another tag or length
            inputs.made[at(end + draw(inputs, size))] = draw(inputs, 256)
        end += size
    return end


@cold_kernel
def _store_edge(inputs, start, end):
    value = np.int64(inputs.edges[at(draw(inputs, len(inputs.edges)))])
    width = 1 << draw(inputs, 4)
    place = start + draw(inputs, max(1, end - start - width))
    if width == 1:
        inputs.made[at(place)] = value & 0xFF
    elif width == 2:
        store_big_2(inputs.made, place, value & 0xFFFF)
    elif width == 4:
        store_big_4(inputs.made, place, value & 0xFFFF_FFFF)
    else:
        store_big_8(inputs.made, place, value)


@cold_kernel
def _store_number(inputs, way):
    """The message's UserRefNum: the next one; or, when numbers lie, an old, a far, the last one."""
    kind = inputs.made[HEADER]
    number = np.int64(inputs.numbers[0])
    place = HEADER + (5 if kind == REPLACE else 1)
    if kind == REPLACE:
        store_big_4(inputs.made, HEADER + 1, max(1, number - 1 - draw(inputs, 8)))
    if kind == ENTER or kind == REPLACE:
        inputs.numbers[0] = number + 1
    else:
        number = max(1, number - 1 - draw(inputs, 8))
    if way == NUMBER:
        choice = draw(inputs, 64)
        if choice == 0:
            number = NUMBER_MAX - draw(inputs, 2)
        elif choice < 4:
            number = 0
        else:
            number = max(1, number - draw(inputs, 40))
    if kind != ord("Q"):
        store_big_4(inputs.made, place, number)


@cold_kernel
def _frame(inputs, size, way):
    """The header of the packet whose payload ends at `size`; the size of the input."""
    length = size - 2
    if way == PACKET_LIE:
        length = (length + draw(inputs, 9) - 4) if draw(inputs, 2) else draw(inputs, 0x10000)
    store_big_2(inputs.made, 0, max(0, length))
    inputs.made[2] = draw(inputs, 256) if way == TYPE else ord("U")
    if way == RAW:
        _noise(inputs, 0, size)
    return size


@cold_kernel
def _spoil(inputs, way, end, appendage):
    """Change the message in [HEADER, end); its new end. appendage: offset of its length, or 0."""
    made = inputs.made
    if way == BYTE or way == BYTES:
        for _ in range(1 if way == BYTE else 1 + draw(inputs, 8)):
            made[at(HEADER + draw(inputs, end - HEADER))] = draw(inputs, 256)
    elif way == EDGE:
        _store_edge(inputs, HEADER, end)
    elif way == CUT:
        end = HEADER + draw(inputs, end - HEADER)
    elif way == GROWN:
        after = end + 1 + draw(inputs, GROWTH_MAX if draw(inputs, 4) == 0 else 8)
        _noise(inputs, end, after)
        end = after
    elif way == APPENDAGE_LIE and appendage:
        value = draw(inputs, 0x10000) if draw(inputs, 2) else draw(inputs, 8)
        store_big_2(made, appendage, value)
    elif way == NOISE:
        end = HEADER + draw(inputs, 80)
        _noise(inputs, HEADER, end)
    elif (way == TAGS or way == TAGS_CUT) and appendage:
        end = _append_tags(inputs, end)
        if way == TAGS_CUT:
            end -= draw(inputs, 4)
        store_big_2(made, appendage, end - appendage - 2)
    return end


@cold_kernel
def make_input(inputs):
    """Write the next input into `made`; its size."""
    number = draw(inputs, len(inputs.starts) - 1)
    first = np.int64(inputs.starts[at(number)])
    size = np.int64(inputs.starts[at(number + 1)]) - first
    copy_bytes(inputs.made, HEADER, inputs.corpus, first, size)
    end = HEADER + size
    kind = inputs.made[HEADER]
    appendage = 0
    if kind == ENTER:
        appendage = HEADER + 45
    elif kind == REPLACE:
        appendage = HEADER + 38
    elif kind == ord("C"):
        appendage = HEADER + 17
    way = np.int64(inputs.ways[at(draw(inputs, len(inputs.ways)))])
    _store_number(inputs, way)
    if appendage and load_big_2(inputs.made, appendage) != end - appendage - 2:
        appendage = 0
    return _frame(inputs, _spoil(inputs, way, end, appendage), way)
