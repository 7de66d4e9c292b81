"""Goal: a gateway whose Python side hangs ends, so that another one is started.

Method: processes whose loop hangs, in Python or in a call that never returns, or ends in time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE_SECONDS = 60.0
PROGRAM = """
import asyncio, time
from gateways import startup
startup.LOOP_LIMIT_SECONDS = 2.0

def spin():
    while True:
        pass

async def main():
    watch = asyncio.create_task(startup.end_when_loop_hangs())
    await asyncio.sleep(3)
    {then}
    watch.cancel()

asyncio.run(main())
time.sleep(3)
print("to its end")
"""


@pytest.mark.parametrize(
    ("then", "code", "said"),
    [("spin()", 1, "in spin"), ("time.sleep(600)", 1, "in main"), ("pass", 0, "")],
)
def test_a_loop_that_hangs_ends_its_process(then: str, code: int, said: str) -> None:
    """And says where it was; one that goes on, or ends, is left alone."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(then=then)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert ("to its end" in done.stdout) == (code == 0)
