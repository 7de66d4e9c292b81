"""Shell: is this host fit for this exchange? Every check, and a report of what they found."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from shm_exchange import (
    host_checks_clock,
    host_checks_cpu,
    host_checks_groups,
    host_checks_limits,
    host_checks_memory,
    host_checks_storage,
    presence,
)
from shm_exchange.config import Configuration
from shm_exchange.errors import ForeignExchangeError, NotRunningError
from shm_exchange.host_facts import (
    OK,
    STATES,
    WARN,
    Check,
    Finding,
    Host,
    Subject,
    UnknownFactError,
)

CHECKS: dict[str, Check] = {
    **host_checks_cpu.CHECKS,
    **host_checks_clock.CHECKS,
    **host_checks_memory.CHECKS,
    **host_checks_storage.CHECKS,
    **host_checks_limits.CHECKS,
    **host_checks_groups.CHECKS,
}


def examine(subject: Subject) -> dict[str, Any]:
    """The worst state, and of each check its name, state, what was found and the remedy."""
    rows = [{"name": name, **asdict(run_check(check, subject))} for name, check in CHECKS.items()]
    worst = max((STATES.index(row["state"]) for row in rows), default=0)
    return {"state": STATES[worst], "checks": rows}


def run_check(check: Check, subject: Subject) -> Finding:
    """What a check finds; that it cannot know is a warning."""
    try:
        return check(subject)
    except UnknownFactError as error:
        return Finding(WARN, f"cannot be told here: {error}")


def subject_of(
    configuration: Configuration, name: str, chosen: Path | None, otherwise: Path
) -> Subject:
    """This host. If an exchange of this name runs, its own limits count, not those of who asks.

    Its state directory, too, unless one is `chosen`; `otherwise`: where it would be.
    """
    process, directory = "self", chosen or otherwise
    try:
        running = presence.find(name)
    except (NotRunningError, ForeignExchangeError):
        pass
    else:
        process = str(running["pid"])
        directory = chosen or Path(running["state_directory"])
    return Subject(Host(process=process), configuration, directory)


def lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    found = []
    width = max(len(row["name"]) for row in report["checks"])
    for row in report["checks"]:
        found.append(f"{row['state'].upper():4}  {row['name']:{width}}  {row['found']}")
        if row["remedy"] and row["state"] != OK:
            found.append(f"{'':{width + 6}}  -> {row['remedy']}")
    return found
