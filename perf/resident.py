"""Shell: how much memory a market takes: of each array the pages that exist; of the process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import psutil

from shm_exchange.market import Market

_PAGEMAP = Path("/proc/self/pagemap")  # a word for each page (Linux, admin-guide/mm/pagemap.rst)
_PRESENT = np.uint64(1 << 63)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CHUNK = 1 << 16  # pages that are looked up together: this must not take memory itself


def resident_bytes(array: np.ndarray) -> int:
    """Size of the pages that exist among those that a contiguous array lies on.

    Small arrays may share a page, which then counts for each. A page that was only read counts too,
    though it is the kernel's page of zeros.
    """
    first = array.ctypes.data // _PAGE
    behind = -(-(array.ctypes.data + array.nbytes) // _PAGE)
    pages = 0
    with _PAGEMAP.open("rb") as file:
        file.seek(first * 8)
        for chunk in range(first, behind, _CHUNK):
            words = np.frombuffer(file.read(min(_CHUNK, behind - chunk) * 8), np.uint64)
            pages += np.count_nonzero(words & _PRESENT)
    return int(pages) * _PAGE


def by_array(market: Market) -> dict[str, int]:
    """Resident bytes of each array, by its name."""
    return {name: resident_bytes(array) for name, array in market._asdict().items()}


def resident_of_process() -> int:
    """Resident bytes of this process, once libc has given back what is free."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)
