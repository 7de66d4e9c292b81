"""Goal: what a host does not give is said before anything is made: one sentence with the remedy.

Method: `shmx run` with limits, cores, ports and folders that cannot be; then nothing is there.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shm_exchange.config import built_in
from shm_exchange.process_limits import descriptors_needed
from tests.process.conftest import ENGINES, METRICS, ORDER_GATEWAY, ROOT, SHARED_MEMORY, Exchange

Make = Callable[..., Exchange]
CONFIGURATION = ENGINES + ORDER_GATEWAY
LIMITS = {
    "open files": (resource.RLIMIT_NOFILE, 100, "ulimit -n, LimitNOFILE="),
    "file size": (resource.RLIMIT_FSIZE, 1 << 20, "ulimit -f, LimitFSIZE="),
    "addresses": (resource.RLIMIT_AS, 20 << 30, "ulimit -v, LimitAS="),
    "data": (resource.RLIMIT_DATA, 20 << 30, "ulimit -d, LimitDATA="),
}


def refusal(it: Exchange, code: int, limit: tuple[int, int] | None = None) -> str:
    """The one sentence with which it does not start; no trace of it is left."""

    def lower() -> None:
        if limit is not None:
            resource.setrlimit(limit[0], (limit[1], limit[1]))

    done = subprocess.run(
        it.command(),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **it.environment},
        preexec_fn=lower,
    )
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    beside = ("compiling", "nobody can trade")
    lines = done.stderr.splitlines()
    (said,) = [line for line in lines if not any(each in line for each in beside)]
    assert not it.state.exists()
    assert it.segments == [] and not (SHARED_MEMORY / f"shmx.{it.name}.info").exists()
    return said


@pytest.mark.parametrize("case", LIMITS)
def test_limits_that_are_too_low(exchange: Make, case: str) -> None:
    which, value, remedy = LIMITS[case]
    it = exchange(CONFIGURATION)
    said = refusal(it, 69, (which, value))
    assert f"a process may have {value} " in said and remedy in said


def test_a_core_that_is_not_there(exchange: Make) -> None:
    it = exchange(CONFIGURATION.replace("[[engine]]", "[[engine]]\nmatcher_core = 4095"))
    said = refusal(it, 78)
    assert "there is no core 4095 for the matcher of engine 1; usable are " in said


def test_a_folder_that_cannot_be(exchange: Make, tmp_path: Path) -> None:
    """Below a file nobody can make one, root neither."""
    it = exchange(CONFIGURATION)
    (tmp_path / "file").touch()
    it.state = tmp_path / "file" / "state"
    assert refusal(it, 69) == f"shmx: {it.state}: Not a directory; choose another --state"


def test_machine_code_that_cannot_be_kept(exchange: Make, tmp_path: Path) -> None:
    """Neither for an exchange nor for a command that compiles; the others do without."""
    (tmp_path / "file").touch()
    place = {"SHMX_CACHE_DIR": str(tmp_path / "file" / "cache")}
    it = exchange(CONFIGURATION)
    it.environment = place
    assert "machine code cannot be kept there" in refusal(it, 73)
    assert not it.state.exists()
    it.environment = {}
    it.start()

    def shmx(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "shm_exchange.cli", *arguments]
        done = subprocess.run(
            command, env={**os.environ, **place}, cwd=ROOT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    name = ("--name", it.name)
    for light in (
        ("status", *name),
        ("top", "--once", *name),
        ("halt", "AAPL", *name),
        ("resume", "AAPL", *name),
        ("limits", "T01", "open_orders=5", *name),
        ("session", "kick", "T01", *name),
        ("snapshot", *name),
        ("promote", *name),
    ):
        assert shmx(*light) == (0, ""), light
    code, said = shmx("session", "list", *name)
    assert code == 73 and len(said.splitlines()) == 1 and "machine code" in said
    assert it.stop() == 0


@pytest.mark.parametrize("table", [ORDER_GATEWAY, METRICS], ids=["gateway 1, order", "metrics"])
def test_a_port_that_is_used(exchange: Make, table: str, request: pytest.FixtureRequest) -> None:
    """It is named, and whose it was to be."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        it = exchange(ENGINES + table.replace("127.0.0.1:0", address))
        said = refusal(it, 69)
    owner = request.node.callspec.id
    assert said == f"shmx: {address} ({owner}): Address already in use; choose another address"


def test_a_soft_limit_is_raised() -> None:
    """As far as it takes: `ulimit -Sn` of a shell is no reason not to start."""
    program = (
        "import resource; from shm_exchange import config, process_limits\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))\n"
        "process_limits.check(config.built_in())\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) == descriptors_needed(built_in())
