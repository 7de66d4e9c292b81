"""Goal: one unit, as an operator installs it, under a real systemd: nothing that happens to its
processes costs a client anything.

Method: a container boots Debian's systemd; a client trades through everything and compares at the
end what it was told with what it sent. Long (a first time compiles): `make test-systemd` runs it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.systemd.container import PREFIX, PYTHON, Container, require

ASKED_FOR = "SHMX_TEST_SYSTEMD"
START_SECONDS = 900
UNIT = "shm-exchange.service"
SHMX = f"{PREFIX}/bin/shmx"
# Short, so that the test need not wait for half a minute.
DROP_IN = "[Service]\nWatchdogSec=15\n"


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """A booted one, with the package installed."""
    if ASKED_FOR not in os.environ:
        pytest.skip("it boots a container and takes minutes: make test-systemd")
    require()
    made = Container(tmp_path, f"shmx-{os.getpid()}")
    try:
        made.install()
        yield made
    finally:
        made.close()


def properties(container: Container, *names: str) -> list[str]:
    """What systemd knows of the unit."""
    options = [f"--property={name}" for name in names]
    text = container.run("systemctl", "show", UNIT, *options).stdout
    found = dict(line.split("=", 1) for line in text.splitlines())
    return [found[name] for name in names]


def status(container: Container) -> dict[str, Any]:
    """What `shmx status` says; nothing while there is nobody."""
    done = container.run(SHMX, "status", "--json", check=False)
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"state": "down"}
    return found


def wait_ready(container: Container, restarts: int, role: str = "matcher", former: int = 0) -> None:
    """Return when all is well, after so many restarts by systemd, and `role` is another process."""

    def is_ready() -> bool:
        there = properties(container, "NRestarts", "ActiveState") == [str(restarts), "active"]
        found = status(container) if there else {}
        return found.get("state") == "ready" and pid_of(found, role) not in (0, former)

    container.wait_until(is_ready, 120)


def journal(container: Container) -> str:
    """What the unit said."""
    return container.run("journalctl", f"--unit={UNIT}", "--no-pager").stdout


def pid_of(found: dict[str, Any], role: str) -> int:
    """The process of a role (one of each), as numbered inside; 0: nobody."""
    return next((int(row["pid"]) for row in found["processes"] if row["role"] == role), 0)


def strike(container: Container, role: str, name: str = "KILL") -> None:
    """A signal to a role; return when another process has its place and all is well."""
    pid = pid_of(status(container), role)
    container.run("kill", f"-{name}", pid)
    wait_ready(container, 0, role, pid)


def strike_supervisor(container: Container, name: str, restarts: int) -> None:
    """A signal to the supervisor; return when systemd has started another and all is well."""
    pid = pid_of(status(container), "matcher")
    container.run("kill", f"-{name}", *properties(container, "MainPID"))
    wait_ready(container, restarts, "matcher", pid)


def test_a_unit_from_installation_to_its_end(container: Container) -> None:
    """Installed, started, every role and the supervisor killed, both hung, promoted, drained."""
    container.run(SHMX, "install-unit")
    container.run("sh", "-c", "systemd-sysusers && systemd-tmpfiles --create")
    container.write(f"/etc/systemd/system/{UNIT}.d/test.conf", DROP_IN)
    container.run("systemctl", "daemon-reload")
    started = container.run("systemctl", "start", UNIT, check=False, seconds=START_SECONDS)
    assert started.returncode == 0, started.stderr + journal(container)

    # It returned: whoever logs in now is served.
    trader = subprocess.Popen(
        container.enter(PYTHON, f"{PREFIX}/source/tests/systemd/steady_trader.py"),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trader.stdout is not None
    assert trader.stdout.readline() == "trading\n"
    (line,) = properties(container, "StatusText")
    assert re.match(r"ready: engine 1: matcher \d+, standbys 1, epoch 1, sequence \d+, ", line)

    for role in ("matcher", "standby", "recorder", "order", "market_data"):
        strike(container, role)
    strike(container, "matcher", "STOP")  # its watchers kill it
    before = pid_of(status(container), "matcher")
    container.run(SHMX, "promote")
    wait_ready(container, 0, "matcher", before)
    strike_supervisor(container, "KILL", restarts=1)
    strike_supervisor(container, "STOP", restarts=2)  # the watchdog aborts it
    assert "Watchdog timeout" in journal(container)

    time.sleep(1)
    psutil.Process(trader.pid).children()[0].terminate()  # what nsenter started
    told, _ = trader.communicate(timeout=120)
    report = json.loads(told)
    assert report["sent"] > 100
    wrong = {name: report[name] for name in ("twice", "missing", "gap")}
    assert wrong == {"twice": 0, "missing": [], "gap": False}

    container.run("systemctl", "stop", UNIT, seconds=90)
    assert properties(container, "Result", "ExecMainStatus") == ["success", "0"]
    assert container.run("ls", "/dev/shm").stdout == ""
    verified = container.run(SHMX, "journal", "verify", "--state", "/var/lib/shm-exchange")
    assert verified.returncode == 0
