"""Goal: whoever guesses passwords is slowed down, alone or in parallel, and nobody else.

Method: a clock of our own; every attempt that is due is checked and fails.
"""

from __future__ import annotations

from gateways import failed_logins
from gateways.failed_logins import FailedLogins


def guesses(attempts: int, seconds: float) -> int:
    """How many passwords `attempts` connections beside each other get checked in that time."""
    failed, now, checked = FailedLogins(), 0.0, 0
    waiting = [0.0] * attempts
    while now < seconds:
        due = [place for place, when in enumerate(waiting) if when <= now]
        begun = []
        for place in due:
            wait = failed.wait_seconds("attacker", now)
            waiting[place] = now + wait
            begun += [place] if wait == 0 else []
        for _ in begun:
            failed.checked("attacker", now, succeeded=False)
        checked += len(begun)
        now += failed_logins.LOOK_SECONDS
    return checked


def test_parallel_guesses_are_as_slow_as_one_after_the_other() -> None:
    one, many = guesses(1, 60.0), guesses(1000, 60.0)
    assert one <= 12  # 0.2 s, doubled up to 10 s
    assert many <= one + failed_logins.CHECKS_AT_ONCE_MAX


def test_a_success_forgives_and_others_never_wait() -> None:
    failed = FailedLogins()
    for _ in range(5):
        assert failed.wait_seconds("a", 0.0) == 0
    for succeeded in (False, False, True, True, True):
        failed.checked("a", 0.0, succeeded=succeeded)
    assert failed.wait_seconds("a", 0.0) == 0
    failed.checked("a", 0.0, succeeded=False)
    assert failed.wait_seconds("a", 0.0) == failed_logins.DELAY_SECONDS
    assert failed.wait_seconds("b", 0.0) == 0


def test_the_list_is_bounded() -> None:
    failed = FailedLogins()
    for number in range(failed_logins.ADDRESSES_MAX + 1):
        assert failed.wait_seconds(str(number), 0.0) == 0
        failed.checked(str(number), 0.0, succeeded=False)
    assert failed.wait_seconds("0", 0.0) == 0  # forgotten for the last one
    assert failed.wait_seconds("1", 0.0) > 0
