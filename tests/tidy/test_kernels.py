"""Goal: each kernel is compiled once. A second signature means that somebody passed an `int32` or
a read-only array: the kernel then exists twice, and takes twice as long to compile.

Method: an exchange starts, so that every role has compiled what it warms up; the cache's own index
then says with which types each kernel was compiled, by roles and by the tests before this one. Only
when that shows a second signature, which may be an earlier caller's, does an exchange start again
with an empty cache.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from ringbuf.jit import cache_root, source_digest
from shm_exchange.errors import ExchangeError
from shm_exchange.status import collect

START_SECONDS_MAX = 900  # an empty cache on a busy machine
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
ROOT = Path(__file__).parents[2]
PACKAGES = ("ringbuf", "shm_exchange", "gateways")
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


def start(folder: Path, cache: Path) -> None:
    """Let a whole exchange compile or load what it needs."""
    name = f"kernels-{os.getpid()}"
    config = folder / "exchange.toml"
    config.write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "shm_exchange.cli", "run", "--name", name]
    with subprocess.Popen(
        [*command, "--config", str(config), "--state", str(folder / "state")],
        env=os.environ | {"SHMX_CACHE_DIR": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until_ready(name, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=STOP_SECONDS_MAX)
        assert process.returncode == 0, errors


def compiled(cache: Path) -> dict[str, set[tuple[str, ...]]]:
    """The signatures of each kernel of this tree as it is, by folder and name."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for source in (each for package in PACKAGES for each in (ROOT / package).rglob("*.py")):
        place = hashlib.sha1(str(source.parent).encode()).hexdigest()
        folder = cache / source_digest(str(source))
        for path in folder.glob(f"*/{source.parent.name}_{place}/{source.stem}.*.nbi"):
            with path.open("rb") as file:
                pickle.load(file)  # version of numba
                _, overloads = pickle.loads(file.read())
            kernel = f"{source.parent.name}/{path.name.split('-')[0]}"
            for key in overloads:
                types = tuple(str(each) for each in key[0])
                if source.parent.name == "ringbuf":
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


def repeated(cache: Path) -> dict[str, list[str]]:
    """The kernels with more than one signature."""
    found = compiled(cache)
    assert {kernel.split("/")[0] for kernel in found} >= {*PACKAGES, "ouch", "itch"}
    return {name: differences(each) for name, each in found.items() if len(each) > 1}


def test_each_kernel_has_one_signature(tmp_path: Path) -> None:
    """In all roles together."""
    start(tmp_path, cache_root())
    if repeated(cache_root()):
        start(tmp_path, tmp_path / "cache")
        assert repeated(tmp_path / "cache") == {}


def test_a_second_signature_is_seen(tmp_path: Path) -> None:
    """Of a kernel that somebody calls with other types."""
    code = """
import numpy
from gateways.soupbintcp import write_server_heartbeat
for offset in (0, numpy.int32(0)):
    write_server_heartbeat(numpy.zeros(8, numpy.uint8), offset)
"""
    environment = os.environ | {"SHMX_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=ROOT)
    found = compiled(tmp_path)["gateways/soupbintcp.write_server_heartbeat"]
    assert differences(found) == ["argument 1: int32, int64"]
