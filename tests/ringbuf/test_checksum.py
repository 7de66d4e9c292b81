"""Goal: xxh3 of the kernel is xxh3 of the library.

Method: both, of bytes of one seed, at every length up to where its rules repeat and some beyond.
"""

import numpy as np
from xxhash import xxh3_64_intdigest

from ringbuf.checksum import create_checksum, xxh3

LENGTHS = [0, *range(17, 1200), 2047, 2048, 2049, 20 * 64, 1 << 15, (1 << 20) - 64]


def test_as_the_library() -> None:
    """All lengths, at offsets that are aligned to nothing."""
    data = np.random.default_rng(1).integers(0, 256, (1 << 20) + 100).astype(np.uint8)
    checksum = create_checksum()
    for count in LENGTHS:
        offset = count % 97
        expected = xxh3_64_intdigest(data[offset : offset + count].tobytes())
        assert xxh3(data, offset, count, checksum) % (1 << 64) == expected, count
