"""Shell: what looking at an exchange takes from it: `python -m perf.observers`.

A whole exchange under a generated flow through TCP, in turns of a few seconds: nobody looks, or all
do (`shmx top` twice a second, a scraper each second, a `view` that follows and copies all events).
Those who look are processes that are stopped while nobody does, so each turn has the same machine.
On a machine whose cores are all in use they take processor time from the exchange like any other
process, so the rate falls; what the matcher itself needs for an event shows what being read costs.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from perf.exchange import ROOT, Placement, running
from shm_exchange.flow import generate, save
from shm_exchange.presence import find
from shm_exchange.status import attached, published
from shm_exchange.wiring import PROCESS_MATCHER

TURNS, TURN_SECONDS, SETTLE_SECONDS = 4, 1.0, 0.3
MESSAGES = 2_500_000
SESSIONS = 6
FOLLOW = """
import sys
from shm_exchange import view
with view.open(sys.argv[1]) as exchange:
    for batch in exchange.follow():
        pass
"""
SCRAPE = """
import sys, time, urllib.request
while True:
    urllib.request.urlopen(f"http://{sys.argv[1]}/metrics").read()
    time.sleep(1)
"""


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process without a voice, until the end."""
    command = [sys.executable, *arguments]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


class Turn(NamedTuple):
    """What one turn came to."""

    rate: float  # events a second
    matcher_ns: float  # that the matcher ran for an event


def _ran_ns(pid: int) -> int:
    """How long all threads of a process have run."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text("ascii").split()[0]) for each in threads)


def measure(folder: Path) -> tuple[list[Turn], list[Turn]]:
    """The turns alone, and looked at."""
    flow = folder / "flow.npz"
    save(flow, generate(MESSAGES, 1))
    placement = Placement("park", 1, 0, market_data=True, sessions=SESSIONS + 2)
    shell = ["-m", "shm_exchange.cli"]
    alone: list[Turn] = []
    observed: list[Turn] = []
    with running(folder, placement, '[metrics]\naddress = "127.0.0.1:0"\n') as exchange:
        name, metrics = exchange.name, find(exchange.name)["metrics"]
        with ExitStack() as stack, attached(name, find(name)) as wirings:
            load = [*shell, "replay", str(flow), "--sessions", str(SESSIONS), "--name", name]
            loading = stack.enter_context(_process(*load))
            looking = [
                stack.enter_context(_process(*shell, "top", "--interval", "0.5", "--name", name)),
                stack.enter_context(_process("-c", SCRAPE, metrics)),
                stack.enter_context(_process("-c", FOLLOW, name)),
            ]
            while published(wirings[1]) < MESSAGES // 50:
                assert loading.poll() is None
                time.sleep(0.1)
            for turn in range(2 * TURNS):
                for each in looking:
                    assert each.poll() is None, each.args
                    os.kill(each.pid, signal.SIGCONT if turn % 2 else signal.SIGSTOP)
                time.sleep(SETTLE_SECONDS)
                matcher = int(wirings[1].control.processes[PROCESS_MATCHER]["pid"])
                before, ran, began = published(wirings[1]), _ran_ns(matcher), time.monotonic()
                time.sleep(TURN_SECONDS)
                events, seconds = published(wirings[1]) - before, time.monotonic() - began
                found = Turn(events / seconds, (_ran_ns(matcher) - ran) / events)
                assert loading.poll() is None, "the flow has ended before the last turn"
                (observed if turn % 2 else alone).append(found)
    return alone, observed


def main() -> None:
    """Print a line for each way."""
    argparse.ArgumentParser(
        "python -m perf.observers", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alone, observed = measure(Path(folder))
    for label, turns in (("alone", alone), ("top, scraper and view", observed)):
        rates, times = ([each[place] for each in turns] for place in (0, 1))
        print(
            f"{label}: median {median(rates):,.0f} events/s ({min(rates):,.0f} to"
            f" {max(rates):,.0f}); the matcher ran {median(times):,.0f} ns for an event"
            f" ({min(times):,.0f} to {max(times):,.0f})"
        )
    print(f"on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
