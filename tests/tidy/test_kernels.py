"""Goal: each kernel is compiled once. A second signature means that somebody passed an `int32` or
a read-only array: the kernel then exists twice, and takes twice as long to compile.

Method: an exchange starts with an empty cache, so that every role compiles what it warms up; the
cache's own index then says with which types each kernel was compiled.
"""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm_exchange.errors import ExchangeError
from shm_exchange.status import collect

START_SECONDS_MAX = 300
STOP_SECONDS_MAX = 60
CONFIG = """\
[[engine]]
id = 1
event_ring_records = 65_536
command_ring_records = 1_024

[[instrument]]
symbol = "AAPL"
tick = 0.01

[[gateway]]
kind = "order"
address = "127.0.0.1:0"

[[gateway]]
kind = "market_data"
address = "127.0.0.1:0"

[[session]]
username = "T001"
password = "demo"
"""
# Rings carry any record: there, one signature for each record is one signature.
RECORDS = re.compile(r"(unaligned )?array\(Record\(.*?\), 1d, \w\)|Record\(.*?\)\)")


def wait_until_ready(name: str, process: subprocess.Popen[str]) -> None:
    """Return when the exchange serves; fail with what it printed."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if collect(name)["state"] == "ready":
                return
        except ExchangeError:
            pass  # not there yet
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    raise AssertionError(process.communicate(timeout=STOP_SECONDS_MAX)[1])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a whole exchange has compiled by the time it is ready."""
    folder = tmp_path_factory.mktemp("kernels")
    name = f"kernels-{os.getpid()}"
    config = folder / "exchange.toml"
    config.write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "shm_exchange.cli", "run", "--name", name]
    with subprocess.Popen(
        [*command, "--config", str(config), "--state", str(folder / "state")],
        env=os.environ | {"SHMX_CACHE_DIR": str(folder / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until_ready(name, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=STOP_SECONDS_MAX)
        assert process.returncode == 0, errors
    yield folder / "cache"


def compiled(cache: Path) -> dict[str, set[tuple[str, ...]]]:
    """The signatures of each kernel, by folder and name."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for path in cache.rglob("*.nbi"):
        with path.open("rb") as file:
            pickle.load(file)  # version of numba
            _, overloads = pickle.loads(file.read())
        package = path.parent.name.rpartition("_")[0]
        kernel = f"{package}/{path.name.split('-')[0]}"
        for key in overloads:
            types = tuple(str(each) for each in key[0])
            if package == "ringbuf":
                types = tuple(RECORDS.sub("records", each) for each in types)
            found.setdefault(kernel, set()).add(types)
    return found


def differences(signatures: set[tuple[str, ...]]) -> list[str]:
    """Of each argument that has several types: which ones, without the length of records."""
    columns = zip(*signatures, strict=True)
    return [
        f"argument {place}: " + ", ".join(sorted(each[:80] for each in set(column)))
        for place, column in enumerate(columns)
        if len(set(column)) > 1
    ]


def test_each_kernel_has_one_signature(cache: Path) -> None:
    """In all roles together."""
    found = compiled(cache)
    packages = {kernel.split("/")[0] for kernel in found}
    assert packages >= {"ringbuf", "shm_exchange", "gateways", "ouch", "itch"}
    offenders = {name: differences(each) for name, each in found.items() if len(each) > 1}
    assert offenders == {}
