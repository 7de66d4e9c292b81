"""Goal: a gateway, recorder or standby that hangs is ended and started again; nobody else is.

Method: a running exchange of which one process is stopped, as a hang from outside.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

from tests.process.conftest import ENGINES, MARKET_DATA_GATEWAY, ORDER_GATEWAY, Exchange

ROLES = ("order", "market_data", "recorder", "standby")
NAMES = ("order gateway", "market data gateway", "recorder", "standby")


def test_who_is_stopped_is_started_again(exchange: Callable[..., Exchange]) -> None:
    """All four at once; the matcher goes on as it is, and the new standby can succeed it.

    Each line to the journal has its priority and says whose it is.
    """
    it = exchange(ENGINES + ORDER_GATEWAY + MARKET_DATA_GATEWAY)
    log = it.folder / f"{it.name}.stderr"
    log.touch()
    it.environment = {"JOURNAL_STREAM": f"{log.stat().st_dev}:{log.stat().st_ino}"}
    it.start()
    before = it.pids()
    for role in ROLES:
        os.kill(before[role], signal.SIGSTOP)
    it.wait_until(
        lambda found: all(
            each["pid"] != before[each["role"]]
            for each in found["processes"]
            if each["role"] in ROLES
        )
    )
    it.wait_ready()
    after = it.pids()
    assert {role for role in before if before[role] != after[role]} == set(ROLES)
    for role, name in zip(ROLES, NAMES, strict=True):
        (said,) = [line for line in it.messages.splitlines() if f"killing the {name}" in line]
        assert f"process {before[role]}" in said and "no progress for 5 s" in said
        assert said.startswith("<4>") and "role=supervisor engine=1 pid=" in said
    os.kill(after["matcher"], signal.SIGKILL)
    it.wait_until(lambda found: found["engines"][0]["matcher_pid"] == after["standby"])
    it.wait_ready()
    assert it.stop() == 0
    for line in it.messages.splitlines():
        assert re.fullmatch(r"<[346]>.+ role=\w+ engine=1 pid=\d+", line), line
