"""Shell: read-only shared memory for kernels, without a second compilation of each.

To a compiled kernel a read-only array is of another type than a writable one, and it would be
compiled once more for it. What is lent has the writable type; the pages stay protected, and a store
would end the process. So lend to kernels that only read, and hand it to nobody else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ringbuf.broadcast import Broadcast


class _Lent:
    """Memory of a read-only array under the type of a writable one."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.__array_interface__: dict[str, Any] = {
            "shape": (array.size * array.itemsize,),
            "typestr": "|u1",
            "data": (array.ctypes.data, False),
            "version": 3,
        }


def lend_ring(ring: Broadcast) -> Broadcast:
    """A ring that was attached read-only, for kernels that read."""
    return Broadcast(*(np.asarray(_Lent(each)).view(each.dtype) for each in ring))
