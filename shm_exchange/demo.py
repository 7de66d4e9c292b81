"""Shell: the demonstration behind `make demo`.

Starts a whole exchange of its own, sends it an order flow through real TCP sessions, kills the
matcher half-way with SIGKILL, and reports: was anything lost, who took over and how soon, is
anything left behind? Everything happens through `shmx`, as a user would do it. What the flow must
give is computed beside it, by the same matcher in this process, undisturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shm_exchange import flow as flows
from shm_exchange import screen, wiring
from shm_exchange.errors import ExchangeError
from shm_exchange.flow_commands import Player, tape_of
from shm_exchange.messages import EventKind
from shm_exchange.status import collect

MESSAGES = 200_000
RATE = 40_000  # messages per second: slow enough to be killed half-way
START_SECONDS_MAX = 180  # the first start compiles every kernel
REPLAY_SECONDS_MAX = 300
STOP_SECONDS_MAX = 30
POLL_SECONDS = 0.02
_SHARED_MEMORY = Path("/dev/shm")

# Ports that are free: an exchange of the user may have the usual ones.
CONFIGURATION = """\
[exchange]
[[engine]]
[[instrument]]
symbol = "AAPL"
tick = 0.01
[[session_range]]
prefix = "T"
last = 100
password = "demo"
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
[[gateway]]
kind = "market_data"
address = "127.0.0.1:0"
"""


class DemoError(ExchangeError):
    """The demonstration cannot go on."""


def _shmx(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "shm_exchange.cli", *map(str, arguments)]


def _say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def _exchange(name: str, state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running exchange; killed with everything it started when the block fails."""
    # A session of its own: Ctrl-C reaches the demonstration, which then stops the exchange.
    configuration = state.with_suffix(".toml")
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    process = subprocess.Popen(
        _shmx("run", "--name", name, "--state", state, "--config", configuration),
        start_new_session=True,
    )
    try:
        _wait_ready(name, process)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()  # its roles die with it
                process.wait()


def _wait_ready(name: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while _status(name).get("state") != "ready":
        if process.poll() is not None:
            raise DemoError(f"the exchange ended with code {process.returncode}; see above")
        if time.monotonic() > deadline:
            raise DemoError(f"the exchange is not ready after {START_SECONDS_MAX} s; see above")
        time.sleep(POLL_SECONDS)


def _status(name: str) -> dict[str, Any]:
    try:
        return collect(name)
    except (ExchangeError, OSError):
        return {}  # not there yet


def _engine(name: str) -> dict[str, Any]:
    engines = _status(name).get("engines")
    if not engines:
        raise DemoError("the exchange is gone; see above")
    found: dict[str, Any] = engines[0]
    return found


def _kill_half_way(name: str, messages: int, replay: subprocess.Popen[str]) -> dict[str, Any]:
    """SIGKILL the matcher once half of the flow has become events; return who it was, and when."""
    begin = _engine(name)["published"]
    while True:
        engine = _engine(name)
        if engine["published"] - begin >= messages // 2:
            killed_ns = time.time_ns()
            os.kill(engine["matcher_pid"], signal.SIGKILL)
            return engine | {"killed_ns": killed_ns}
        if replay.poll() is not None:
            raise DemoError("the replay ended before half of it was seen; see above")
        time.sleep(POLL_SECONDS)


def _wait_replaced(name: str, victim: dict[str, Any]) -> dict[str, Any]:
    """The engine once another matcher reigns and a new standby stands by."""
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while time.monotonic() < deadline:
        engine = _engine(name)
        if engine["epoch"] > victim["epoch"] and engine["standby_pids"]:
            return engine
        time.sleep(POLL_SECONDS)
    raise DemoError(f"nobody took over within {STOP_SECONDS_MAX} s; see above")


def _takeover_us(name: str, victim: dict[str, Any]) -> float:
    """Microseconds from the signal to the first event of the successor, by its stamp."""
    attached = wiring.attach(name, victim["id"], read_only=True)
    events = attached.ring.records
    begins = events[(events["kind"] == EventKind.EPOCH) & (events["epoch"] > victim["epoch"])]
    first_ns = int(begins["time_ns"].min(initial=np.iinfo(np.int64).max))
    del events
    attached.close()
    return round((first_ns - int(victim["killed_ns"])) / 1e3, 1)


def _expected(flow: Path) -> dict[str, int]:
    """What the flow gives when nobody is killed."""
    tape = tape_of(flows.load(flow))
    player = Player(tape)
    trades = sum(
        int((events["kind"] == EventKind.EXECUTED).sum())
        for events in player.until(len(tape.commands))
    )
    return {"trades": trades, "resting": int(player.market.scalars[0]["orders"])}


def _left_behind(name: str) -> list[str]:
    """Names in shared memory that should be gone."""
    return sorted(each.name for each in _SHARED_MEMORY.glob(f"shmx.{name}.*"))


def demonstrate(flow: Path, messages: int, rate: float, state: Path) -> dict[str, Any]:
    """Run it all; return the report of the replay and what happened around it."""
    name = f"demo-{os.getpid()}"
    expected = _expected(flow)
    with _exchange(name, state) as exchange:
        _say(f"\nSending {messages:,} messages at {rate:,.0f}/s through TCP ...")
        command = _shmx("replay", flow, "--name", name, "--rate", rate, "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replay:
            victim = _kill_half_way(name, messages, replay)
            _say(f"Half-way: SIGKILL to the matcher, process {victim['matcher_pid']}.")
            successor = _wait_replaced(name, victim)
            _say(f"Process {successor['matcher_pid']} is the matcher now; a standby is back.\n")
            output, _ = replay.communicate(timeout=REPLAY_SECONDS_MAX)
            takeover_us = _takeover_us(name, victim)
        if not output:
            raise DemoError(f"the replay failed with code {replay.returncode}; see above")
        report: dict[str, Any] = json.loads(output)
        exchange.send_signal(signal.SIGINT)
        exchange.wait(STOP_SECONDS_MAX)
    return report | {
        "expected": expected,
        "matcher_killed": victim["matcher_pid"],
        "matcher_after": successor["matcher_pid"],
        "takeover_us": takeover_us,
        "epochs": f"{victim['epoch']} -> {successor['epoch']}",
        "exit_code": exchange.returncode,
        "left_behind": _left_behind(name),
    }


def main() -> int:
    """Entry point; 0 when nothing was lost and nothing is left."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--rate", type=float, default=RATE)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shmx-demo-") as folder:
        flow = Path(folder) / "flow.npz"
        subprocess.run(_shmx("generate", flow, "--messages", chosen.messages), check=True)
        try:
            report = demonstrate(flow, chosen.messages, chosen.rate, Path(folder) / "state")
        except ExchangeError as error:
            print(f"demo: {error}", file=sys.stderr)
            return error.exit_code
    screen.show(report)
    lost = {name for name, number in report["expected"].items() if report[name] != number}
    good = report["feed_matches_book"] and not lost
    good = good and not report["exit_code"] and not report["left_behind"]
    _say("\nNothing was lost." if good else "\nSomething is wrong: see the report.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
