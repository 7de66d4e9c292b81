"""Declaration: why a budget is not met, where that has been found out.

By the path of the budget. The report and docs/performance.md show a reason only beside a figure
that is above its budget: what is met on one machine need not be on another.
"""

from __future__ import annotations

from types import MappingProxyType

REASONS = MappingProxyType(
    {
        "resting order, of 10 million, all that is resident": (
            "64 bytes are the order itself, one cache line; 8 more are its place in the list of its"
            " session's orders, which a mass cancel walks, and the rest is its share of the levels"
        ),
        "cost of the first reader to the matcher": (
            "whoever reads an event takes its line, and that of `published`, out of the matcher's"
            " cache; the matcher pays when it writes there again, however many readers there are"
        ),
        "TCP order to answer, polling, median": (
            "by test_stages: before the ring 0.8 us for reading, checking and placing the order,"
            " then 0.5 us for ring and matcher, which the echo does not have; what is left of the"
            " 3 us between the two is not attributed yet"
        ),
        "journal replay, smallest groups": (
            "by the slope over group sizes: about 5 us of Python for each block (header, checksum,"
            " view), 30 ns for each event in it; a block has 20 events only when next to nothing"
            " was published between two writes"
        ),
        "round trip through two rings, two cores": (
            "each way moves two lines, the record and the word that publishes it, where the"
            " ping-pong in C moves one word; beside it are the claim and the copy of 64 bytes"
        ),
    }
)
