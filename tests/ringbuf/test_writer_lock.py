"""Goal: the lock has one owner, its death is seen, and its word is where we look for it.

Method: threads of one process here (ownership belongs to threads); real processes that are killed
in tests/litmus.
"""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ringbuf._native import lib
from ringbuf.errors import SegmentError, UsageError
from ringbuf.layout import EPOCH, WRITER_LOCK
from ringbuf.writer_lock import (
    ACQUIRED,
    BROKEN,
    BUSY,
    LOCK_WORD,
    OWNER_DIED,
    begin_reign,
    epoch,
    initialise,
    owner,
    owner_died,
    try_lock,
    unlock,
)


@pytest.fixture
def lock() -> np.ndarray:
    words = np.zeros(32, np.int32)
    initialise(words)
    return words


def _in_a_thread(function, *arguments):  # type: ignore[no-untyped-def]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function(*arguments)))
    thread.start()
    task = Path(f"/proc/self/task/{thread.native_id}")
    thread.join()
    while task.exists():  # Python lets go of a thread before the kernel is done with it
        time.sleep(0.001)
    return answers[0]


def test_the_word_is_where_the_declaration_says() -> None:
    assert lib.ringbuf_lock_word_offset() == WRITER_LOCK.offset_of("word") == 4 * LOCK_WORD
    assert lib.ringbuf_lock_size() <= 64 <= WRITER_LOCK.size


def test_one_owner_at_a_time(lock: np.ndarray) -> None:
    assert owner(lock) == 0
    assert try_lock(lock) == ACQUIRED
    assert owner(lock) == threading.get_native_id()
    assert try_lock(lock) == BUSY
    assert _in_a_thread(try_lock, lock) == BUSY
    assert owner_died(lock) == 0
    assert unlock(lock) == 0
    assert owner(lock) == 0


def test_only_the_owner_unlocks(lock: np.ndarray) -> None:
    try_lock(lock)
    assert _in_a_thread(unlock, lock) != 0
    assert owner(lock) == threading.get_native_id()
    assert unlock(lock) == 0
    assert unlock(lock) != 0


def test_a_dead_thread_is_seen_and_succeeded(lock: np.ndarray) -> None:
    assert _in_a_thread(try_lock, lock) == ACQUIRED
    assert owner_died(lock) == 1
    assert try_lock(lock) == OWNER_DIED
    assert owner_died(lock) == 0
    assert owner(lock) == threading.get_native_id()
    assert unlock(lock) == 0
    assert try_lock(lock) == ACQUIRED, "it is consistent again"
    unlock(lock)


def test_memory_that_is_no_lock_is_not_taken() -> None:
    words = np.full(32, -1, np.int32)
    assert try_lock(words) in (BUSY, BROKEN)


def test_a_held_lock_is_not_made_anew(lock: np.ndarray) -> None:
    try_lock(lock)
    with pytest.raises(SegmentError, match=str(threading.get_native_id())):
        initialise(lock)
    unlock(lock)
    initialise(lock)


def test_the_lock_of_the_dead_may_be_made_anew(lock: np.ndarray) -> None:
    _in_a_thread(try_lock, lock)
    initialise(lock)
    assert owner_died(lock) == 0 and try_lock(lock) == ACQUIRED
    unlock(lock)


@pytest.mark.parametrize("wrong", [np.zeros(16, np.int32), np.zeros(32, np.int64)])
def test_only_a_lock_is_initialised(wrong: np.ndarray) -> None:
    with pytest.raises(UsageError):
        initialise(wrong)


def test_each_reign_has_a_larger_number() -> None:
    words = np.zeros(32, np.int64)
    assert [begin_reign(words) for _ in range(3)] == [1, 2, 3]
    assert epoch(words) == words[EPOCH] == 3
    assert np.count_nonzero(words) == 1
