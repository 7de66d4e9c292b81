"""Goal: rows become exactly the text that Python would format.

Method: numbers of every width; the whole path from events to text is compared in
tests/differential/test_conformance.py.
"""

import numpy as np

from shm_exchange.canonical import LINE_SIZE_MAX, REPORT_VALUES, write_lines

EDGES = [0, 1, 9, 10, 99, 100, 12_345, 999_999_999, 2**31 - 1, 10**12, 10**18 - 1]


def test_lines_are_decimal_text() -> None:
    """Every type, every count of values, numbers of one to eighteen digits, in the order asked."""
    rows = np.zeros((60, REPORT_VALUES), np.int64)
    expected = []
    for number in range(len(rows)):
        values = [EDGES[(number + place) % len(EDGES)] for place in range(number % 5)]
        rows[number, :2] = (number << 3 | number % 6, len(values))
        rows[number, 2 : 2 + len(values)] = values
        expected.append(",".join(map(str, (number % 6, number, *values))) + "\n")
    order = np.arange(len(rows))[::-1].copy()
    text = np.zeros(len(rows) * LINE_SIZE_MAX, np.uint8)
    size = write_lines(rows, order, text)
    assert text[:size].tobytes().decode() == "".join(reversed(expected))
