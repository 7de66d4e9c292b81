"""Helpers where another type than int64 is needed: compiled as they are interpreted."""

import pytest

from ringbuf.bits import is_within
from ringbuf.jit import cold_kernel

LARGEST = (1 << 63) - 1


@cold_kernel
def _is_within(value, count):
    return 1 if is_within(value, count) else 0


@pytest.mark.parametrize("count", [0, 1, 2, 64, LARGEST])
@pytest.mark.parametrize("value", [-LARGEST - 1, -1, 0, 1, 2, 63, 64, LARGEST - 1, LARGEST])
def test_is_within(value: int, count: int) -> None:
    """A negative value is not, though its word is a large number without a sign."""
    assert _is_within(value, count) == (0 <= value < count)
