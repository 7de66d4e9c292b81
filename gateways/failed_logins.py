"""Shell: how long an address waits for its next login after failed ones.

Every failure doubles the wait, up to a maximum; attempts beside each other wait for one another as
soon as one has failed, and only a few are checked at once before that. Time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DELAY_SECONDS = 0.2
DELAY_SECONDS_MAX = 10.0
DOUBLINGS_MAX = 16
CHECKS_AT_ONCE_MAX = 16  # of an address that has not failed yet
LOOK_SECONDS = 0.01
ADDRESSES_MAX = 10_000  # the one that failed longest ago is forgotten for another


@dataclass
class _Record:
    failures: int
    allowed_at: float


@dataclass
class FailedLogins:
    """Addresses that failed, the one that did so last at the end."""

    _records: dict[str, _Record] = field(default_factory=dict)
    _checking: dict[str, int] = field(default_factory=dict)

    def wait_seconds(self, address: str, now: float) -> float:
        """How long the address has to wait before it asks here again; 0: its turn has come.

        Whoever gets 0 is checked, and says `checked` afterwards.
        """
        record = self._records.get(address)
        if record is not None and record.allowed_at > now:
            return record.allowed_at - now
        checking = self._checking.get(address, 0)
        if checking >= (1 if record is not None else CHECKS_AT_ONCE_MAX):
            return LOOK_SECONDS
        self._checking[address] = checking + 1
        return 0.0

    def checked(self, address: str, now: float, *, succeeded: bool) -> None:
        """An attempt was right or wrong."""
        self._checking[address] -= 1
        if self._checking[address] == 0:
            del self._checking[address]
        before = self._records.pop(address, None)
        if succeeded:
            return
        failures = before.failures + 1 if before else 1
        doublings = min(failures - 1, DOUBLINGS_MAX)
        delay = min(DELAY_SECONDS * 2.0**doublings, DELAY_SECONDS_MAX)
        self._records[address] = _Record(failures, now + delay)
        if len(self._records) > ADDRESSES_MAX:
            del self._records[next(iter(self._records))]
