"""Shell: every file of results carries its machine; every run says at its end what it took."""

from __future__ import annotations

import time
from typing import Any

from perf import machine

SECONDS_MAX = 1200  # of everything, on two cores
_began = time.monotonic()
_seconds: dict[str, float] = {}


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Add what pytest-benchmark does not know of a machine."""
    machine_info[machine.KEY] = machine.describe()


def pytest_runtest_logreport(report: Any) -> None:
    """Add up each file's tests, with what they set up: starts and compilation are most of it."""
    path = report.nodeid.partition("::")[0]
    _seconds[path] = _seconds.get(path, 0.0) + report.duration


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What each file took, and all of them."""
    total = time.monotonic() - _began
    for path, seconds in sorted(_seconds.items(), key=lambda each: -each[1]):
        terminalreporter.write_line(f"{seconds:7.1f} s  {path}")
    limit = f"a whole run has to end within {SECONDS_MAX / 60:.0f} minutes on two quiet cores"
    terminalreporter.write_line(f"{total:7.1f} s  in all, {total / 60:.1f} minutes; {limit}")
