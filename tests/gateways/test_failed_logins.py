"""Goal: whoever guesses passwords is slowed down, alone or in parallel, and hardly anybody else.

Method: a clock of our own; every attempt that is due is checked and fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from gateways import failed_logins
from gateways.failed_logins import FailedLogins


def one_name() -> Iterator[str]:
    """The same again and again."""
    return itertools.repeat("S01")


def ever_others() -> Iterator[str]:
    """Never the same twice."""
    return map(str, itertools.count())


class Guessing:
    """Connections beside each other that try passwords from one address, on a clock of ours."""

    def __init__(self, attempts: int, names: Iterator[str]) -> None:
        self.failed, self.now, self.checked = FailedLogins(), 0.0, 0
        self._names = names
        self._waiting = [(0.0, next(names)) for _ in range(attempts)]

    def look(self) -> None:
        """Whose time has come asks, and is wrong; time goes on."""
        begun = []
        for place, (when, name) in enumerate(self._waiting):
            if when <= self.now:
                wait = self.failed.wait_seconds("attacker", name, self.now)
                self._waiting[place] = (self.now + wait, name)
                begun += [place] if wait == 0 else []
        for place in begun:
            name = self._waiting[place][1]
            self.failed.checked("attacker", name, self.now, succeeded=False)
            self._waiting[place] = (self.now, next(self._names))
        self.checked += len(begun)
        self.now += failed_logins.LOOK_SECONDS

    def until(self, seconds: float) -> int:
        """How many were checked until then."""
        while self.now < seconds:
            self.look()
        return self.checked


def test_parallel_guesses_are_as_slow_as_one_after_the_other() -> None:
    """Of one name: 0.2 s, doubled up to 10 s."""
    one, many = (Guessing(attempts, one_name()).until(60.0) for attempts in (1, 1000))
    assert one <= 12
    assert many <= one + failed_logins.CHECKS_AT_ONCE_MAX


def test_another_name_each_time_is_slow_too() -> None:
    """About one a second, whatever the number of connections."""
    for attempts in (1, 100):
        assert (
            Guessing(attempts, ever_others()).until(60.0) <= 64 + failed_logins.CHECKS_AT_ONCE_MAX
        )


def test_who_shares_the_address_waits_for_a_second() -> None:
    """A program with a wrong password, on twenty connections, locks nobody out."""
    guessing = Guessing(20, one_name())
    asked = guessing.until(60.0) and guessing.now
    while (wait := guessing.failed.wait_seconds("attacker", "S99", guessing.now)) > 0:
        guessing.until(guessing.now + wait)
    assert guessing.now - asked <= 2 * failed_logins.ADDRESS_DELAY_SECONDS_MAX


def test_a_success_forgives_its_name_and_others_never_wait() -> None:
    """Another name that failed from there still waits as long as before."""
    failed = FailedLogins()
    for _ in range(5):
        assert failed.wait_seconds("a", "S01", 0.0) == 0
    for succeeded in (False, False, True, True, True):
        failed.checked("a", "S01", 0.0, succeeded=succeeded)
    assert failed.wait_seconds("a", "S01", 0.0) == 0
    failed.checked("a", "S01", 0.0, succeeded=False)
    assert failed.wait_seconds("a", "S01", 0.0) == failed_logins.DELAY_SECONDS
    assert failed.wait_seconds("b", "S01", 0.0) == 0
    assert failed.wait_seconds("a", "S02", 1.0) == 0
    failed.checked("a", "S02", 1.0, succeeded=False)
    assert failed.wait_seconds("a", "S01", 2.0) == 0
    failed.checked("a", "S01", 2.0, succeeded=True)
    assert failed.wait_seconds("a", "S02", 1.0) > 0


def test_the_list_is_bounded() -> None:
    failed = FailedLogins()
    for number in range(failed_logins.KEPT_MAX + 1):
        assert failed.wait_seconds(str(number), "S01", 0.0) == 0
        failed.checked(str(number), "S01", 0.0, succeeded=False)
    assert failed.wait_seconds("0", "S01", 0.0) == 0  # forgotten for the last one
    assert failed.wait_seconds("1", "S01", 0.0) > 0
