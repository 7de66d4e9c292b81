"""How long an exchange takes to start when its journal is long and a snapshot is near its end.

    python -m perf.long_journal FOLDER [--events N] [--snapshot-before N] [--market-data]

With a market-data gateway: also how long a login takes that wants the feed from now on, and one
that wants it from its first message.

Method: a first start of the real exchange writes the beginning of a journal. The real matcher then
trades with itself in this process, and what it publishes is written by the real `Journal` (64 bytes
an event: 100 million are 6.4 GB). Then the exchange is started again and timed from the command to
READY, and recovery by itself in this process. The folder is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from perf.exchange import log_in
from ringbuf.broadcast import Broadcast, record_until
from ringbuf.layout import BROADCAST_CURSORS, WORD_SIZE
from shm_exchange.addresses import split_address
from shm_exchange.config import load
from shm_exchange.journal import Journal, record_bytes
from shm_exchange.journal_segment import Owner
from shm_exchange.market import Market
from shm_exchange.messages import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    SLOT_BITS,
    SOURCE_GATEWAY_FIRST,
    CommandKind,
)
from shm_exchange.presence import identity_of
from shm_exchange.recovery import empty_market, recover, warm_up
from shm_exchange.replica import apply_all
from shm_exchange.snapshot import write_snapshot
from shm_exchange.tape import play

NAME = "perf-long-journal"
SOURCE = SOURCE_GATEWAY_FIRST
RING_RECORDS = 1 << 17
ROUND_ORDERS = 4096  # of one round: pairs that trade, and as many that are entered and cancelled
CONFIGURATION = """\
[exchange]
[[engine]]
slots_per_gateway = 65536
[[instrument]]
symbol = "AAPL"
tick = 0.01
[[session_range]]
prefix = "T"
last = 10
password = "demo"
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
"""
MARKET_DATA = """\
[[gateway]]
kind = "market_data"
address = "127.0.0.1:0"
"""


def round_of_commands() -> np.ndarray:
    """Orders that trade in pairs, and orders that are cancelled: COMMAND[n], the book empty after.

    As many kinds of event as a day has: each pair gives two acceptances and a trade.
    """
    pairs = ROUND_ORDERS // 2
    commands = np.zeros(4 * pairs, COMMAND_DTYPE)
    commands["kind"] = np.tile([CommandKind.ENTER] * 3 + [CommandKind.CANCEL], pairs)
    commands["side"] = np.tile(np.frombuffer(b"BSBB", np.uint8), pairs)
    numbers = np.arange(pairs)
    refs = np.stack([3 * numbers, 3 * numbers + 1, 3 * numbers + 2, 3 * numbers + 2], axis=1)
    commands["user_ref"] = 1 + refs.ravel()
    commands["slot"] = (
        (SOURCE << SLOT_BITS) + np.tile([0, 1, 2, 2], pairs) + 4 * np.repeat(numbers % 512, 4)
    )
    prices = 15_000 + numbers % 256
    commands["price"] = np.stack([prices, prices, prices - 300, 0 * prices], axis=1).ravel()
    commands["quantity"] = np.tile([100, 100, 50, 0], pairs)
    commands["time_in_force"] = ord("0")
    commands["display"] = ord("Y")
    commands["capacity"] = ord("P")
    commands["cross_type"] = ord("N")
    commands["generation"] = 1
    return commands


def opening() -> np.ndarray:
    """What comes before the first order: a gateway, and a session that logs in."""
    commands = np.zeros(2, COMMAND_DTYPE)
    commands["kind"] = (CommandKind.GATEWAY_STARTED, CommandKind.LOGIN)
    commands["user_ref"] = (1, 0)
    return commands


class Writer:
    """The matcher's events, written to a journal, and a replica, as a recorder has one."""

    def __init__(self, directory: Path, market: Market, replica: Market, owner: Owner) -> None:
        self.market = market
        self.replica = replica
        self.journal = Journal(directory, owner)
        self._ring = Broadcast(
            np.zeros(BROADCAST_CURSORS.size // WORD_SIZE, np.int64),
            np.zeros(RING_RECORDS, EVENT_DTYPE),
        )
        self._ring.cursors[:] = self.journal.position

    def play_round(self, commands: np.ndarray) -> None:
        """Match what `round_of_commands` made, and make it another round."""
        commands["received_ns"] = time.time_ns()
        self.play(commands)
        commands["user_ref"] += 3 * (ROUND_ORDERS // 2)

    def play(self, commands: np.ndarray) -> None:
        """Match all of them."""
        done = 0
        while done < len(commands):
            begin = self.journal.position
            record_until(self._ring, begin)
            done = int(
                play(self.market, commands, done, len(commands), SOURCE, self._ring, begin, 1024)
            )
            first = begin & (RING_RECORDS - 1)
            count = int(self.market.scalars[0]["position"]) - begin
            pieces = [self._ring.records[first : first + count]]
            pieces.append(self._ring.records[: max(0, first + count - RING_RECORDS)])
            slices = [record_bytes(each) for each in pieces if len(each)]
            self.journal.append(slices, time.time_ns())
            for each in pieces:
                begin = int(apply_all(self.replica, each, begin))


def write_day(directory: Path, configuration: Path, events: int, snapshot_before: int) -> Owner:
    """Extend the journal to `events`, with one snapshot."""
    owner = Owner.of(identity_of(directory), 1)
    market = empty_market(load(configuration), 1)
    recover(market, directory, owner)
    replica = empty_market(load(configuration), 1)
    recover(replica, directory, owner)
    writer = Writer(directory, market, replica, owner)
    writer.play(opening())
    commands = round_of_commands()
    written = False
    while writer.journal.position < events:
        if not written and writer.journal.position >= events - snapshot_before:
            writer.journal.sync()
            write_snapshot(replica, directory, owner, time.time_ns())
            written = True
        writer.play_round(commands)
    writer.journal.close(time.time_ns())
    return owner


def start(folder: Path, configuration: Path) -> tuple[subprocess.Popen[str], float]:
    """`shmx run`, and the seconds until it is READY."""
    command = [sys.executable, "-m", "shm_exchange.cli", "run", "--config", str(configuration)]
    command += ["--state", str(folder / "state"), "--name", NAME]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    seconds = time.monotonic() - began
    assert line.startswith("READY"), "it cannot start; the reason is in the messages above"
    return process, seconds


def stop(process: subprocess.Popen[str]) -> None:
    """End it in good order."""
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def measure(folder: Path, events: int, snapshot_before: int, market_data: bool) -> dict[str, float]:
    """Build and start; the figures."""
    folder.mkdir(parents=True)
    configuration = folder / "exchange.toml"
    configuration.write_text(CONFIGURATION + (MARKET_DATA if market_data else ""))
    first, empty_seconds = start(folder, configuration)
    stop(first)
    again, warm_seconds = start(folder, configuration)
    stop(again)
    state = folder / "state"
    began = time.monotonic()
    owner = write_day(state, configuration, events, snapshot_before)
    found = {"events": events, "write_seconds": time.monotonic() - began}
    market = empty_market(load(configuration), 1)
    warm_up(market)
    began = time.monotonic()
    recovered = recover(market, state, owner)
    found |= {
        "recover_seconds": time.monotonic() - began,
        "replayed": recovered.replayed,
        "start_seconds_without_journal": warm_seconds,
    }
    process, found["start_seconds"] = start(folder, configuration)
    if market_data:
        began = time.monotonic()
        running = json.loads((state / "running.json").read_bytes())
        address = split_address(running["gateways"][-1]["address"])
        log_in(address, "T01").close()
        found["feed_login_seconds"] = time.monotonic() - began
        log_in(address, "T01", sequence=1).close()
        found["feed_past_seconds"] = time.monotonic() - began
    stop(process)
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Measure with and without a market-data gateway, which reads all of the journal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--snapshot-before", type=int, default=1_000_000)
    parser.add_argument("--market-data", action="store_true")
    given = parser.parse_args()
    try:
        found = measure(given.folder, given.events, given.snapshot_before, given.market_data)
        print(json.dumps(found))
    finally:
        shutil.rmtree(given.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
