"""Records written by words are those that field by field would be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import kernel
from ringbuf.whole_record import copy_words, part_of_word, read_word, write_words

_HERE = Path(__file__).parent
_RECORD = np.dtype(
    {
        "names": ["kind", "flags", "session", "price", "position", "quantity", "code"],
        "formats": ["u1", "u1", "<u2", "<i4", "<i8", "<u4", "<i2"],
        "offsets": [0, 1, 2, 4, 8, 16, 22],
        "itemsize": 24,
    }
)
_WORDS = st.integers(-(1 << 63), (1 << 63) - 1)


@kernel
def _write(records, index, kind, session, price, position, quantity, code):
    write_words(
        records,
        index,
        3,
        "kind session price position quantity code",
        (kind, session, price, position, quantity, code),
    )


@kernel
def _write_spans(records, index, first, price, second):
    write_words(
        records, index, 3, "kind:session price position quantity:code", (first, price, 0, second)
    )


@kernel
def _read(records, index):
    return read_word(records, index, "session"), read_word(records, index, "code")


@kernel
def _copy(records, to, of):
    copy_words(records, to, records, of, 1, 2)


def _garbage() -> np.ndarray:
    records = np.zeros(3, _RECORD)
    records.view(np.uint8)[:] = 0xA5
    return records


@settings(deadline=None)
@given(values=st.tuples(_WORDS, _WORDS, _WORDS, _WORDS, _WORDS, _WORDS))
def test_each_value_is_cut_to_its_field_and_the_rest_is_zero(values: tuple[int, ...]) -> None:
    records = _garbage()
    _write(records, 1, *values)
    expected = np.zeros(1, _RECORD)
    names = ("kind", "session", "price", "position", "quantity", "code")
    for name, value in zip(names, values, strict=True):
        kind = _RECORD[name]
        expected[name] = np.array([value], np.int64).view(np.uint8)[: kind.itemsize].view(kind)[0]
    assert records[1].tobytes() == expected[0].tobytes()
    assert records[0].tobytes() == records[2].tobytes() == b"\xa5" * 24


@settings(deadline=None)
@given(first=_WORDS, price=_WORDS, second=_WORDS)
def test_fields_beside_each_other_are_written_and_read_as_one(
    first: int, price: int, second: int
) -> None:
    records = _garbage()
    _write_spans(records, 1, first, price, second)
    head = (first & 0xFFFF_FFFF) | (price & 0xFFFF_FFFF) << 32
    words = (head, 0, second & (1 << 64) - 1)
    assert records[1].tobytes() == b"".join(each.to_bytes(8, "little") for each in words)
    found = _read(records, 1)
    assert [int(each) & (1 << 64) - 1 for each in found] == [head, second & (1 << 64) - 1]
    assert records[0].tobytes() == records[2].tobytes() == b"\xa5" * 24


def test_the_bits_of_fields_in_their_word() -> None:
    assert part_of_word(_RECORD, "flags", "session") == 0xFFFF_FF00
    assert part_of_word(_RECORD, "code") == -(1 << 48)
    with pytest.raises(ValueError, match="not in one word"):
        part_of_word(_RECORD, "kind", "quantity")
    with pytest.raises(ValueError, match="not within one word"):
        part_of_word(_RECORD, "price:position")


@settings(deadline=None)
@given(data=st.binary(min_size=72, max_size=72))
def test_words_are_copied_and_nothing_beside_them(data: bytes) -> None:
    records = np.frombuffer(bytearray(data), _RECORD)
    _copy(records, 2, 0)
    assert records.tobytes() == data[:56] + data[8:24]


def test_interpreted_code_does_the_same() -> None:
    program = (
        "import numpy as np\n"
        "from test_whole_record import _RECORD, _copy, _garbage, _read, _write, _write_spans\n"
        "records = _garbage()\n"
        "_write(records, 1, 300, -1, -5, -(1 << 63), 1 << 40, 40_000)\n"
        "_copy(records, 2, 1)\n"
        "_write_spans(records, 0, -3, 1 << 31, -(1 << 63))\n"
        "print([int(each) for each in _read(records, 0)])\n"
        "print(records.tobytes().hex())\n"
    )
    texts = []
    for interpreted in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=_HERE,
            env={**os.environ, "NUMBA_DISABLE_JIT": interpreted},
        )
        texts.append(done.stdout)
    assert texts[0] == texts[1]
