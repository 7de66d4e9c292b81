"""Arrays whose last byte is the last of a page, with pages behind and before that nobody may touch.

A compiled kernel checks no bounds; here one byte too far ends the process.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

_PAGE = mmap.PAGESIZE
_PROT_NONE = 0
_LIBC = ctypes.CDLL(None, use_errno=True)
_kept: list[mmap.mmap] = []  # an array does not keep its mapping alive by itself


def guarded(original: np.ndarray) -> np.ndarray:
    """A copy of an array between two forbidden pages, flush with the second."""
    pages = max(1, -(-original.nbytes // _PAGE))
    memory = mmap.mmap(-1, (pages + 2) * _PAGE)
    _kept.append(memory)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for place in (base, base + (pages + 1) * _PAGE):
        if _LIBC.mprotect(ctypes.c_void_p(place), _PAGE, _PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = (pages + 1) * _PAGE - original.nbytes
    copy = np.frombuffer(memory, original.dtype, len(original), start)
    copy.view(np.uint8)[:] = original.view(np.uint8)
    return copy


def guard(value: Any, size_max: int) -> Any:
    """A named tuple with every array of at most `size_max` bytes guarded, at any depth."""
    if isinstance(value, np.ndarray):
        return guarded(value) if 0 < value.nbytes <= size_max else value
    return type(value)(*(guard(each, size_max) for each in value))
