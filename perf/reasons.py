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
        "round trip through two rings, two cores": (
            "each way moves two lines, the record and the word that publishes it, where the"
            " ping-pong in C moves one word; beside it are the claim and the copy of 64 bytes"
        ),
    }
)
