"""Goal: kernels that call kernels work in every process, whoever has compiled which part.

Method: the kernels of linked_kernels, uncompiled as the model, and processes that share a cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ringbuf.jit import INNER, OUTER
from tests.ringbuf.linked_kernels import Inner, Outer, add_two, add_up

ROOT = Path(__file__).parents[2]
ROW = np.dtype([("small", "i4"), ("total", "i8")])
ALONE = """
from tests.ringbuf.test_inner_code import new_state
from tests.ringbuf.linked_kernels import add_up, count_up, lower_or_count
add_up(new_state(), 0)
for each in (add_up, lower_or_count):
    print(len(each.signatures), len(each.inner.signatures))
print(count_up(new_state(), 3), len(count_up.signatures), len(count_up.inner.signatures))
"""
WRONG = """
import sys
import numpy as np
from tests.ringbuf.linked_kernels import Inner, add_two
from tests.ringbuf.test_inner_code import new_state
gaps = np.arange(20, dtype=np.int64)[::2]
changes = {"words": gaps} if sys.argv[1] == "words" else {"inner": Inner(gaps)}
try:
    add_two(new_state()._replace(**changes))
except TypeError as error:
    print(f"{sys.argv[1]}: " in str(error), "cannot be passed by address" in str(error))
"""
MISSING = """
from tests.ringbuf.test_inner_code import new_state
from tests.ringbuf.linked_kernels import add_up, lower_or_count
import numba
state = new_state()
lower_or_count.inner.compile((numba.typeof(state), numba.int64))
library = lower_or_count.inner.overloads[(numba.typeof(state), numba.int64)].library
library._linking_libraries = []
try:
    add_up(state, 0)
except AssertionError as error:
    print("count_up" in str(error))
"""
CALL = """
import sys
from ringbuf.inner_code import InnerCode
from tests.ringbuf import linked_kernels
from tests.ringbuf.test_inner_code import new_state
state = new_state()
if sys.argv[1] == "add_up":
    print(linked_kernels.add_up(state, 0))
else:
    print(linked_kernels.add_two(state))
inner = (linked_kernels.lower_or_count.inner, linked_kernels.count_up.inner)
print(sum(sum(each.stats.cache_misses.values()) for each in inner))
"""


def new_state() -> Outer:
    """The same every time."""
    counts = Inner(np.arange(10, dtype=np.int64) * 30)
    return Outer(np.arange(10, dtype=np.int64), counts, np.zeros(3, ROW), 7)


def expected(first: int) -> int:
    """What `add_up` gives, said in another way."""
    rest = [min(30 * index + 7, 100) for index in range(max(first, 3), first + 4)]
    return sum(index + 3 for index in range(first, min(3, first + 4))) + sum(rest)


def run(code: str, cache: Path, *arguments: str) -> list[str]:
    """What a process prints that compiles into `cache`."""
    environment = {**os.environ, "SHMX_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_state_is_read_and_written_through_all_calls(first: int) -> None:
    """Its arrays, those of the state within it, its records and its number."""
    state = new_state()
    assert add_up(state, first) == expected(first)
    assert state.rows["total"].tolist() == [0, expected(first), 0]
    changed = range(max(first, 3), first + 4)
    assert state.inner.counts.tolist() == [
        30 * index + 7 * (index in changed) for index in range(10)
    ]
    assert add_two(new_state()) == 1 + 3 + 100


def test_an_assertion_in_a_callee_reaches_the_caller() -> None:
    """Through kernels that are inlined, and one that is called."""
    with pytest.raises(AssertionError):
        add_up(new_state(), 4)


def test_only_the_outermost_kernel_becomes_machine_code(tmp_path: Path) -> None:
    """A callee has LLVM's form alone until Python calls it, too."""
    assert run(ALONE, tmp_path) == ["1 0", "0 1", "97 1 1"]


def test_processes_share_what_they_have_compiled(tmp_path: Path) -> None:
    """One compiles the callees for its own kernel, the other finds them, under the same names."""
    assert run(CALL, tmp_path, "add_up") == [str(expected(0)), "2"]
    assert run(CALL, tmp_path, "add_two") == [str(1 + 3 + 100), "0"]
    files = [path.parts[-3] for path in tmp_path.rglob("linked_kernels.*.nbc")]
    assert sorted(files) == [INNER, INNER, OUTER, OUTER]


def test_code_that_is_missing_is_noticed(tmp_path: Path) -> None:
    """Before it is called: that would be a call of address 0."""
    assert run(MISSING, tmp_path) == ["True"]


@pytest.mark.parametrize("field", ["words", "counts"])
def test_a_state_of_other_arrays_is_refused(tmp_path: Path, field: str) -> None:
    """What is not contiguous would be read wrong."""
    assert run(WRONG, tmp_path, field) == ["True True"]
