"""Shell: how long the syncs of a journal take. One thread observes, any other reads."""

from __future__ import annotations


class SyncTimes:
    """All since the recorder's start, in ns."""

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.last_ns = 0
        self.longest_ns = 0

    def observe(self, duration_ns: int) -> None:
        """A sync took so long."""
        self.total_ns += duration_ns
        self.last_ns = duration_ns
        self.longest_ns = max(self.longest_ns, duration_ns)
        self.count += 1

    def words(self) -> tuple[int, int, int, int]:
        """As `recording.COUNTER_SYNCS` and the three behind it have them."""
        return self.count, self.total_ns, self.last_ns, self.longest_ns
