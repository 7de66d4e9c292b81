"""Goal: a count is the same every time, has only what lies between two calls, and shows a tenth.

Method: callgrind itself, on a small C program that is linked with the switch.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from perf.instructions import CountingError, build_switch, count, environment, missing, total

_PROGRAM = """
#include <stdlib.h>
void counting_start(void); void counting_stop(void);
static volatile long sum;
int main(int count, char **arguments) {
    const long last = count > 1 ? atol(arguments[1]) : 0;
    for (long i = 0; i < 1000000; i++) sum += i;
    if (count > 2) return atoi(arguments[2]);
    counting_start();
    for (long i = 0; i < last; i++) sum += i;
    counting_stop();
    return 0;
}
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    if lack := missing():
        pytest.skip(lack)
    library = build_switch(tmp_path)
    source, made = tmp_path / "loop.c", tmp_path / "loop"
    source.write_text(_PROGRAM)
    link = ["cc", "-O1", "-o", str(made), str(source), str(library), f"-Wl,-rpath,{tmp_path}"]
    subprocess.run(link, check=True)
    return str(made)


def test_a_count(program: str, tmp_path: Path) -> None:
    """Equal three times; a tenth more work is a tenth more; the loop before it is not in it."""
    counts = [count([program, "20000"], tmp_path) for _ in range(3)]
    assert len(set(counts)) == 1 and 20_000 < counts[0] < 1_000_000
    assert count([program, "22000"], tmp_path) / counts[0] == pytest.approx(1.1, abs=0.005)


def test_nothing_counted(program: str, tmp_path: Path) -> None:
    """A process that failed, and one that never called the switch: each says so."""
    with pytest.raises(CountingError, match="ended with 3"):
        count([program, "0", "3"], tmp_path)
    with pytest.raises(CountingError, match="counted nothing"):
        count([program, "0", "0"], tmp_path)


def test_what_callgrind_writes() -> None:
    """The sum is in the line `totals:`; a file without it, or with nothing, is an error."""
    assert total("events: Ir\nfn=(1) f\n1 5\n\ntotals: 1234567\n") == 1_234_567
    for text in ("", "events: Ir\n\ntotals: 0\n"):
        with pytest.raises(CountingError, match="counting_start"):
            total(text)


def test_machine_code_does_not_depend_on_the_machine() -> None:
    """One named processor for the kernels."""
    found = environment()
    assert found["NUMBA_CPU_NAME"] in ("x86-64-v3", "generic") and found["NUMBA_CPU_FEATURES"] == ""
