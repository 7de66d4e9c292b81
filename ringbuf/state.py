"""Declaration: named tuples of arrays that travel together, and that kernels pass by address.

A class is one of them by `@State.register`. A field is a one-dimensional contiguous array, another
such tuple, or an int. A kernel takes the fields by name; it cannot make such a tuple, nor return
one. What it is in machine code: ringbuf/by_address.py. This file imports nothing heavy.
"""

from abc import ABC


class State(ABC):  # noqa: B024
    """Whatever was registered."""
