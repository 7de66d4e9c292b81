"""Kernel: a gateway says in its process line what its streams are called: they end with the day."""

import numpy as np

from ringbuf.atomics import store_relaxed
from ringbuf.jit import cold_kernel
from ringbuf.layout import PROCESS_COUNTER
from shm_exchange.wiring import COUNTER_STREAM

_BLANKS = int.from_bytes(b"\0\0      ", "little")


@cold_kernel
def say_stream(process_words, line, scalars):
    """Store the SoupBinTCP session id, padded with blanks. line: first word of the process."""
    if scalars["stream_0"] == 0:
        return  # the old streams have ended and the new have not begun
    place = line + PROCESS_COUNTER + COUNTER_STREAM
    store_relaxed(process_words, place, np.int64(scalars["stream_0"]))
    last = np.int64(scalars["stream_1"]) & 0xFFFF
    store_relaxed(process_words, place + 1, last | _BLANKS)
