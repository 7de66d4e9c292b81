"""Shell: how long a login waits after failed ones of its name or its address.

Every failure doubles the wait of the next attempt, up to a maximum: a long one for the same name
from the same address, which is guessing, a short one for any other name from there. So a program
with a wrong password does not lock out those who share its address, as behind a firewall, and
whoever tries name after name is slow nevertheless. Attempts from an address wait for one another as
soon as one has failed, and only a few are checked at once before that. Time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DELAY_SECONDS = 0.2
NAME_DELAY_SECONDS_MAX = 10.0
ADDRESS_DELAY_SECONDS_MAX = 1.0
DOUBLINGS_MAX = 16
CHECKS_AT_ONCE_MAX = 16  # of an address that has not failed yet
LOOK_SECONDS = 0.01
KEPT_MAX = 10_000  # addresses, and names: the one that failed longest ago is forgotten


@dataclass
class _Record:
    failures: int
    failed_at: float


@dataclass
class _Failures:
    """Of addresses, or of names from an address; the one that failed last is at the end."""

    delay_seconds_max: float
    records: dict[str, _Record] = field(default_factory=dict)

    def wait_seconds(self, key: str, now: float) -> float:
        record = self.records.get(key)
        if record is None:
            return 0.0
        doublings = min(record.failures - 1, DOUBLINGS_MAX)
        delay = min(DELAY_SECONDS * 2.0**doublings, self.delay_seconds_max)
        return max(0.0, record.failed_at + delay - now)

    def add(self, key: str, now: float) -> None:
        before = self.records.pop(key, None)
        self.records[key] = _Record(before.failures + 1 if before else 1, now)
        if len(self.records) > KEPT_MAX:
            del self.records[next(iter(self.records))]


@dataclass
class FailedLogins:
    """Who failed. name: a username, its case folded."""

    _addresses: _Failures = field(default_factory=lambda: _Failures(ADDRESS_DELAY_SECONDS_MAX))
    _names: _Failures = field(default_factory=lambda: _Failures(NAME_DELAY_SECONDS_MAX))
    _checking: dict[str, int] = field(default_factory=dict)

    def wait_seconds(self, address: str, name: str, now: float) -> float:
        """How long the login has to wait before it asks here again; 0: its turn has come.

        Whoever gets 0 is checked, and says `checked` afterwards.
        """
        wait = max(
            self._addresses.wait_seconds(address, now),
            self._names.wait_seconds(_both(address, name), now),
        )
        if wait > 0:
            return wait
        checking = self._checking.get(address, 0)
        if checking >= (1 if address in self._addresses.records else CHECKS_AT_ONCE_MAX):
            return LOOK_SECONDS
        self._checking[address] = checking + 1
        return 0.0

    def checked(self, address: str, name: str, now: float, *, succeeded: bool) -> None:
        """An attempt was right or wrong."""
        self._checking[address] -= 1
        if self._checking[address] == 0:
            del self._checking[address]
        if succeeded:
            self._addresses.records.pop(address, None)
            self._names.records.pop(_both(address, name), None)
        else:
            self._addresses.add(address, now)
            self._names.add(_both(address, name), now)


def _both(address: str, name: str) -> str:
    return f"{address} {name}"
