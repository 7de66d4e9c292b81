"""Shell: every file of results carries the machine that it was made on."""

from __future__ import annotations

from typing import Any

from perf import machine


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Add what pytest-benchmark does not know of a machine."""
    machine_info[machine.KEY] = machine.describe()
