"""Goal: who sleeps is woken, who is awake is left alone, and no sleep is longer than its bound.

Method: eventfds of this process, and a clock.
"""

import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from ringbuf import waiting
from ringbuf.host import register_barrier
from ringbuf.jit import COMPILED
from ringbuf.waiting import (
    KEEP_AGAIN,
    KEEP_MAX_US,
    KEEP_MIN_US,
    PARK,
    PAUSE_COUNT,
    SPIN,
    YIELD,
    YIELD_LONG_US,
    announce_sleep,
    bell_of,
    end_sleep,
    idle,
    ring_one,
    ring_others,
    sleep_on,
)

ME, OTHER, THIRD = 5, 63, 8


@pytest.fixture
def fds() -> Iterator[np.ndarray]:
    made = np.full(64, -1, np.int64)
    for number in (ME, OTHER, THIRD):
        made[number] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield made
    for number in (ME, OTHER, THIRD):
        os.close(bell_of(made[number]))


@pytest.fixture
def doorbells() -> np.ndarray:
    register_barrier()
    return np.zeros(64, np.uint8)


def _rung(fds: np.ndarray, number: int) -> bool:
    return sleep_on(fds[number], 0) == 1


def test_a_sleeper_is_rung(doorbells: np.ndarray, fds: np.ndarray) -> None:
    ring_one(doorbells, fds, OTHER)
    assert not _rung(fds, OTHER)
    for sleep in (1, 3, 5):
        announce_sleep(doorbells, OTHER)
        assert doorbells[OTHER] == sleep
        ring_one(doorbells, fds, OTHER)
        assert _rung(fds, OTHER)
        end_sleep(doorbells, OTHER)
        ring_one(doorbells, fds, OTHER)
        assert doorbells[OTHER] == sleep + 1 and not _rung(fds, OTHER)


def test_one_sleep_is_rung_once_in_a_while(doorbells: np.ndarray, fds: np.ndarray) -> None:
    announce_sleep(doorbells, OTHER)
    deadline = time.monotonic() + 10
    rings = calls = 0
    while rings < 3:
        assert time.monotonic() < deadline
        ring_others(doorbells, fds, ME)
        calls += 1
        rings += _rung(fds, OTHER)
    assert rings < calls or not COMPILED, "most calls find that they rang already"


def test_the_number_of_a_sleep_comes_round(doorbells: np.ndarray, fds: np.ndarray) -> None:
    for _ in range(300):
        announce_sleep(doorbells, OTHER)
        assert doorbells[OTHER] % 2 == 1
        ring_one(doorbells, fds, OTHER)
        assert _rung(fds, OTHER)
        end_sleep(doorbells, OTHER)
        assert doorbells[OTHER] % 2 == 0
    assert bell_of(fds[OTHER]) == int(fds[OTHER]) & 0xFFFFFF and bell_of(-1) == -1


def test_both_calls_may_be_repeated(doorbells: np.ndarray) -> None:
    """A process that was killed asleep leaves an odd byte; its successor begins anew."""
    end_sleep(doorbells, ME)
    assert doorbells[ME] == 0
    announce_sleep(doorbells, ME)
    announce_sleep(doorbells, ME)
    assert doorbells[ME] == 3
    end_sleep(doorbells, ME)
    assert doorbells[ME] == 4


def test_everybody_else_who_sleeps_is_rung(doorbells: np.ndarray, fds: np.ndarray) -> None:
    for number in (ME, OTHER, 17):  # 17 has no bell
        announce_sleep(doorbells, number)
    ring_others(doorbells, fds, ME)
    assert _rung(fds, OTHER)
    assert not _rung(fds, ME) and not _rung(fds, THIRD)


@pytest.mark.parametrize("number", range(64))
def test_every_byte_is_looked_at(fds: np.ndarray, number: int) -> None:
    doorbells = np.zeros(64, np.uint8)
    bells = np.full(64, -1, np.int64)
    bells[number] = fds[OTHER]
    announce_sleep(doorbells, number)
    ring_others(doorbells, bells, (number + 1) % 64)
    assert _rung(fds, OTHER)


def test_a_sleep_ends_at_its_bound(fds: np.ndarray) -> None:
    before = time.monotonic_ns()
    assert sleep_on(fds[ME], 20_000) == 0
    assert sleep_on(-1, 20_000) == 0, "without a bell it is a plain sleep"
    assert 40_000_000 <= time.monotonic_ns() - before < 5_000_000_000


def test_a_sleep_ends_at_the_ring(doorbells: np.ndarray, fds: np.ndarray) -> None:
    announce_sleep(doorbells, ME)
    timer = threading.Timer(0.05, lambda: ring_one(doorbells, fds, ME))
    timer.start()
    before = time.monotonic()
    assert sleep_on(fds[ME], 20_000_000) == 1
    assert time.monotonic() - before < 10
    timer.join()


def test_only_park_ever_parks() -> None:
    patience = np.zeros(2, np.int64)
    assert [idle(policy, 0, patience) for policy in (SPIN, YIELD, PARK)] == [0, 0, 0]
    assert [idle(policy, PAUSE_COUNT, patience) for policy in (SPIN, YIELD, PARK)] == [0, 0, 1]


class Clock:
    """Of a host where each yield takes as long as the test says: nobody can do so on demand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_us, self.yield_us = 1_000_000_000, 0
        self.yields = 0
        monkeypatch.setattr(waiting, "monotonic_us", lambda: self.now_us)
        monkeypatch.setattr(waiting, "sched_yield", self._yield)
        monkeypatch.setattr(waiting, "pause", lambda: None)
        self._offer = getattr(waiting._offer_core, "py_func", waiting._offer_core)
        self._patience = np.zeros(2, np.int64)

    def _yield(self) -> None:
        self.yields += 1
        self.now_us += self.yield_us

    def offers(self) -> bool:
        """Whether the core is offered now."""
        before = self.yields
        self._offer(self._patience)
        return self.yields > before

    def kept_us(self) -> int:
        """How long it is kept from now on."""
        return int(self._patience[waiting.UNTIL]) - self.now_us


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_core_that_comes_back_soon_is_always_offered(clock: Clock) -> None:
    clock.yield_us = YIELD_LONG_US - 1
    assert all(clock.offers() for _ in range(1_000))


def test_a_core_that_comes_back_late_is_kept_longer_each_time(clock: Clock) -> None:
    clock.yield_us = YIELD_LONG_US
    for doublings in range(12):
        assert clock.offers()
        kept_us = min(KEEP_MIN_US << doublings, KEEP_MAX_US)
        assert clock.kept_us() == kept_us
        assert not clock.offers()
        clock.now_us += kept_us - 1
        assert not clock.offers()
        clock.now_us += 1
    # Long after that it is another matter.
    clock.now_us += KEEP_AGAIN * KEEP_MAX_US
    assert clock.offers() and clock.kept_us() == KEEP_MIN_US
