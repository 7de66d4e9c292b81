"""Goal: one unit, as an operator installs it, under a real systemd: nothing that happens to its
processes costs a client anything; nobody is let in before READY or after the drain has begun.

Method: a container boots Debian's systemd and installs a wheel of this tree; two clients trade with
each other through everything and compare at the end what they were told with what they sent, with
each other and with the book. Long (a first time compiles): `make test-systemd` runs it, and prints
how long each step took.
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

from tests.systemd import wheel
from tests.systemd.container import CACHE, PREFIX, PYTHON, SOURCE, Container, require
from tests.systemd.leave_orders import GOES, LOTS, STAYS
from tests.systemd.steady_traders import GATEWAY

ASKED_FOR = "SHMX_TEST_SYSTEMD"
START_SECONDS = 1800  # one that compiles, on a machine that does other things as well
READY_SECONDS = 300
UNIT = "shm-exchange.service"
USER = "shm-exchange"
SHMX = f"{PREFIX}/bin/shmx"
CONFIGURATION = "/etc/shm-exchange/exchange.toml"
STATE = "/var/lib/shm-exchange"
TRIAL = "/etc/shm-exchange/trial.toml"
# Short, so that the test need not wait for half a minute; and so that a start which compiles, when
# it takes longer than a minute, must have asked for more.
DROP_IN = "[Service]\nWatchdogSec=15\nTimeoutStartSec=60\n"
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups")
ENVIRONMENT = ("env", f"SHMX_CACHE_DIR={CACHE}", "PYTHONDONTWRITEBYTECODE=1")
SESSION = f"""
[[session]]
username = "{GOES}"
password = "demo"
cancel_on_disconnect = true
"""
ROLES = ("matcher", "standby", "recorder", "order", "market_data")


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """A booted one, with an interpreter."""
    if ASKED_FOR not in os.environ:
        pytest.skip("it boots a container and takes minutes: make test-systemd")
    require()
    made = Container(tmp_path, f"shmx-{os.getpid()}")
    try:
        made.make_environment()
        yield made
        print(journal(made))  # shown when it failed
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


def journal(container: Container) -> str:
    """What the unit said."""
    return container.run("journalctl", f"--unit={UNIT}", "--no-pager").stdout


def pids_of(container: Container) -> dict[str, int]:
    """The process of each role (there is one of each), as numbered inside."""
    return {row["role"]: int(row["pid"]) for row in status(container).get("processes", [])}


class Unit:
    """The unit, and what is done to it; each step is timed until all is well again."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.restarts = 0  # by systemd

    def wait_ready(self, role: str, former: int) -> None:
        """Return when all is well and `role` is another process."""

        def is_ready() -> bool:
            counts = properties(self.container, "NRestarts", "ActiveState")
            found = status(self.container) if counts == [str(self.restarts), "active"] else {}
            living = {row["role"]: row["pid"] for row in found.get("processes", [])}
            return found.get("state") == "ready" and living.get(role) not in (None, former)

        self.container.wait_until(is_ready, READY_SECONDS)

    def do(self, step: str, role: str, *command: object) -> None:
        """Run a command that gives `role` another process."""
        former = pids_of(self.container)[role]
        since = time.monotonic()
        self.container.run(*command)
        self.wait_ready(role, former)
        print(f"{step}: {time.monotonic() - since:.1f} s", flush=True)

    def strike(self, role: str, name: str = "KILL") -> None:
        """A signal to a role."""
        pid = pids_of(self.container)[role]
        self.do(f"SIG{name} to the {role}", role, "kill", f"-{name}", pid)

    def strike_supervisor(self, name: str) -> None:
        """A signal to the supervisor, which systemd must start again."""
        (pid,) = properties(self.container, "MainPID")
        self.restarts += 1
        self.do(f"SIG{name} to the supervisor", "matcher", "kill", f"-{name}", pid)


def configure(container: Container) -> None:
    """The configuration as it is written where there is none, with a session more."""
    image = "/tmp/image"
    container.run(SHMX, "install-unit", "--root", image)
    text = container.run("cat", f"{image}{CONFIGURATION}").stdout
    container.write(CONFIGURATION, text + SESSION)
    container.write(f"/etc/systemd/system/{UNIT}.d/test.conf", DROP_IN)


def start(container: Container) -> None:
    """One command, as an operator types it; meanwhile somebody tries to log in."""
    knocker = launch(container, "knocker", *map(str, GATEWAY), UNIT, who=())
    assert knocker.stdout is not None
    since = time.monotonic()
    started = container.run(SHMX, "install-unit", check=False, seconds=START_SECONDS)
    assert started.returncode == 0, started.stderr + journal(container)
    assert f"kept       {CONFIGURATION}" in started.stdout
    print(f"install-unit: {time.monotonic() - since:.1f} s", flush=True)
    before = []
    while (line := knocker.stdout.readline()) != "A active\n":
        before.append(line)
    assert before and {line[0] for line in before} == {"-"}  # nobody was let in before
    terminate(knocker)
    install_again(container)


def install_again(container: Container) -> None:
    """As after an upgrade: nothing happens to what runs, nor is what was stopped started."""
    former = properties(container, "MainPID", "ActiveState", "UnitFileState")
    said = json.loads(container.run(SHMX, "install-unit", "--json").stdout)
    assert (said["is_new"], said["remaining"], len(said["done"])) == (False, [], 3)
    assert {row["done"] for row in said["files"]} <= {"unchanged", "kept", "written"}
    assert properties(container, "MainPID", "ActiveState", "UnitFileState") == former
    assert former[2] == "enabled"


def launch(
    container: Container, program: str, *arguments: str, who: tuple[str, ...] = AS_USER
) -> subprocess.Popen[str]:
    """One of our own programs, inside; who: the unit's user, or root."""
    command = (PYTHON, f"{SOURCE}/tests/systemd/{program}.py", *arguments)
    return subprocess.Popen(
        container.enter(*who, *ENVIRONMENT, *command),
        stdout=subprocess.PIPE,
        text=True,
    )


def terminate(program: subprocess.Popen[str]) -> str:
    """Tell it to end; what it has said since."""
    psutil.Process(program.pid).children()[0].terminate()  # what nsenter started
    told, _ = program.communicate(timeout=READY_SECONDS)
    return told


def drain(container: Container) -> None:
    """`systemctl stop`, with orders in the market; somebody tries to log in all the while."""
    resting = launch(container, "leave_orders", *map(str, GATEWAY))
    assert resting.stdout is not None
    assert resting.stdout.readline() == "resting\n"
    knocker = launch(container, "knocker", *map(str, GATEWAY), UNIT)
    assert knocker.stdout is not None
    assert knocker.stdout.readline() == "A active\n"
    since = time.monotonic()
    container.run("systemctl", "stop", UNIT, seconds=90)
    print(f"systemctl stop: {time.monotonic() - since:.1f} s", flush=True)
    tries = terminate(knocker).splitlines()
    # Once it has begun nobody is let in any more.
    assert re.fullmatch("A*-+", "".join(line[0] for line in tries)), tries
    assert "- deactivating" in tries
    resting.communicate(timeout=READY_SECONDS)
    assert properties(container, "Result", "ExecMainStatus") == ["success", "0"]
    assert container.run("ls", "/dev/shm").stdout == ""
    what_it_left(container)


def what_it_left(container: Container) -> None:
    """Every event is on disk, and in a snapshot; who cancels on disconnect has no order."""
    verified = container.run(SHMX, "journal", "verify", "--state", STATE, "--json").stdout
    (found,) = json.loads(verified)["journals"]
    assert (found["fault"], found["torn_bytes"]) == (None, 0)
    # A snapshot is only taken of what is synced.
    snapshots = container.run("ls", STATE).stdout.split()
    assert (
        max(int(re.findall(r"\d+", each)[-1]) for each in snapshots if ".shms" in each)
        == (found["end"])
    )
    first = ("--from", max(0, found["end"] - 1000))
    dumped = container.run(SHMX, "journal", "dump", "--state", STATE, *first).stdout
    rows = [json.loads(line) for line in dumped.splitlines()]
    entered = [row for row in rows if row["kind"] == "ACCEPTED"][-2:]
    session = {row["quantity"]: row["session"] for row in entered}
    behind = [row for row in rows if row["position"] > entered[1]["position"]]
    gone = [row.get("session") for row in behind if row["kind"] == "CANCELLED"]
    assert session[LOTS[GOES]] in gone and session[LOTS[STAYS]] not in gone


def reload(container: Container, key: str, value: str) -> subprocess.CompletedProcess[str]:
    """Edit a value of the configuration and ask systemd to have it taken over."""
    container.run("sed", "-i", f"s/^{key} = [^ ]*/{key} = {value}/", CONFIGURATION)
    return container.run("systemctl", "reload", UNIT, check=False)


def hand_over(container: Container, unit: Unit, folder: Path) -> None:
    """A newer build takes over role by role, as docs/operations.md says."""
    container.run(SHMX, "snapshot")
    container.install(wheel.build(folder, f"{wheel.this_version()}.post1"))
    install_again(container)
    ports = 's/^address = "127.0.0.1:.*"/address = "127.0.0.1:0"/'
    container.run("sh", "-c", f"sed '{ports}' {CONFIGURATION} > {TRIAL}")
    # It returns when the trial is ready: what is still to be compiled is compiled then.
    command = ("systemd-run", "--unit=trial", "--service-type=notify", f"--uid={USER}")
    command += (f"--setenv=SHMX_CACHE_DIR={CACHE}", "--property=StateDirectory=trial")
    command += (SHMX, "run", "--name", "trial", "--config", TRIAL, "--state", "/var/lib/trial")
    container.run(*command, seconds=START_SECONDS)
    container.run("systemctl", "stop", "trial")
    unit.strike("standby")
    unit.do("promote", "matcher", SHMX, "promote")
    for role in ("recorder", "order", "market_data"):
        unit.strike(role)


def test_a_unit_from_installation_to_its_end(container: Container, tmp_path: Path) -> None:
    """Installed, started, reloaded, all killed, matcher and supervisor hung, upgraded, drained."""
    container.install(wheel.build(tmp_path, wheel.this_version()))
    configure(container)
    start(container)

    # It returned: whoever logs in now is served.
    traders = launch(container, "steady_traders")
    assert traders.stdout is not None
    assert traders.stdout.readline() == "trading\n"
    (line,) = properties(container, "StatusText")
    assert re.match(r"ready: engine 1: matcher \d+, standbys 1, epoch 1, sequence \d+, ", line)

    refused = reload(container, "hang_limit_ms", "2000")
    assert refused.returncode != 0 and "hang_limit_ms" in journal(container)
    assert reload(container, "hang_limit_ms", "1000").returncode == 0
    done = reload(container, "limits.order_quantity", "5000")
    assert (done.returncode, "order_quantity" in journal(container)) == (0, True), done.stderr

    unit = Unit(container)
    for role in ROLES:
        unit.strike(role)
    unit.strike("matcher", "STOP")  # its watchers kill it
    unit.strike_supervisor("KILL")
    unit.strike_supervisor("STOP")  # the watchdog aborts it
    assert "Watchdog timeout" in journal(container)
    former = pids_of(container)
    hand_over(container, unit, tmp_path)
    assert not set(former.values()) & set(pids_of(container).values())
    assert ".post1" in container.run(SHMX, "--version").stdout
    unit.restarts = 0  # systemd counts anew
    unit.do("systemctl restart", "matcher", "systemctl", "restart", UNIT)

    told = terminate(traders)
    report = json.loads(told)
    print(told)
    assert report["trades"] > 500
    assert report["wrong"] == {
        "missing": [[], []],
        "twice": [[], []],
        "one-sided": [],
        "position": 0,
        "book": [[], []],
    }

    drain(container)
    install_again(container)
