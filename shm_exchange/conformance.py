"""Shell: a flow through the matcher in this process: its canonical reports, and its speed.

The report stream is that of the public benchmark (see `canonical`): lines sorted stably by
sequence and type, joined by newlines, hashed with SHA-256. The speed is that of matching every
command and publishing its events to a ring in shared memory while another process, on another
core where there is one, copies every record: the best of several runs.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ringbuf.broadcast import Broadcast, published
from ringbuf.host import pin
from ringbuf.schema import combined_digest
from ringbuf.segment import create_broadcast
from shm_exchange.canonical import LINE_SIZE_MAX, REPORT_VALUES, report_all, write_lines
from shm_exchange.flow import Flow
from shm_exchange.flow_commands import (
    COMMANDS_PER_PUBLISH,
    MESSAGES_FROM,
    SOURCE,
    Player,
    Tape,
    market_of,
    tape_of,
)
from shm_exchange.market import Market
from shm_exchange.messages import EVENT, EVENT_DTYPE
from shm_exchange.tape import play

RUNS = 9  # the best one counts: a busy machine disturbs most of them
_RING_RECORDS = 1 << 16  # 4 MiB: as small as an engine's ring would reasonably be


class Speed(NamedTuple):
    """The best run, and what the reader beside it copied in all runs."""

    seconds: float
    events: int  # of one run
    records_read: int


class Conformance(NamedTuple):
    """The outcome for one flow."""

    messages: int
    sha256: str
    messages_per_second: float
    seconds: float
    events: int
    records_read: int


def check(flow: Flow, runs: int = RUNS) -> Conformance:
    """Run a flow: hash and speed. Raises FlowError when the flow cannot be run."""
    tape = tape_of(flow)
    digest = hashlib.sha256()
    for text in canonical_text(tape):
        digest.update(text)
    speed = measure(tape, runs)
    return Conformance(
        messages=flow.messages,
        sha256=digest.hexdigest(),
        messages_per_second=flow.messages / speed.seconds,
        **speed._asdict(),
    )


def canonical_text(tape: Tape) -> Iterator[bytes]:
    """The canonical report stream, in pieces."""
    player = Player(tape)
    rows = np.zeros((0, REPORT_VALUES), np.int64)
    text = np.zeros(0, np.uint8)
    separator = 0  # the newline that the piece before has kept back
    for events in player.until(len(tape.commands)):
        more = np.zeros((len(events), REPORT_VALUES), np.int64)
        count = report_all(events, MESSAGES_FROM, tape.order_ids, more)
        assert count >= 0, "the matcher refused a command that it took before"
        rows = np.concatenate((rows, more[:count]))
        # The message that comes last may have more events in the next batch.
        whole = int(np.searchsorted(rows[:, 0] >> 3, rows[-1, 0] >> 3)) if len(rows) else 0
        size, text = _lines(rows[:whole], text)
        if size:
            yield text[1 - separator : size].tobytes()
            separator = 1
        rows = rows[whole:]
    size, text = _lines(rows, text)
    if size:
        yield text[1 - separator : size].tobytes()


def _lines(rows: np.ndarray, text: np.ndarray) -> tuple[int, np.ndarray]:
    """A newline and the lines of `rows` in their order, without the last newline; their size."""
    if not len(rows):
        return 0, text
    needed = 1 + len(rows) * LINE_SIZE_MAX
    if len(text) < needed:
        text = np.zeros(needed, np.uint8)
    order = np.argsort(rows[:, 0], kind="stable")
    text[0] = ord("\n")
    return int(write_lines(rows, order, text[1:])), text


def measure(tape: Tape, runs: int = RUNS) -> Speed:
    """Time the tape, with a reader in another process."""
    before = os.sched_getaffinity(0)
    cpus = sorted(before)
    name = f"/shmx.conformance.{os.getpid()}.events"
    segment, ring = create_broadcast(
        name, EVENT_DTYPE, _RING_RECORDS, combined_digest(EVENT), os.getpid()
    )
    try:
        with _reader(name, cpus[0] if len(cpus) > 1 else -1) as process:
            if len(cpus) > 1:
                pin(cpus[1])
            best, first = float("inf"), int(published(ring))
            for _ in range(max(1, runs)):
                market = market_of(tape)
                best = min(best, _play_once(market, tape, ring, process))
            events = (int(published(ring)) - first) // max(1, runs)
            records_read = _records_read(process)
    finally:
        os.sched_setaffinity(0, before)
        del ring
        segment.unlink()
        segment.close()
    return Speed(best, events, records_read)


def _play_once(market: Market, tape: Tape, ring: Broadcast, reader: subprocess.Popen[str]) -> float:
    """Seconds that the whole tape takes. Raises RuntimeError when the reader has gone."""
    done, position, count = 0, int(published(ring)), len(tape.commands)
    start = time.perf_counter()
    while True:
        done = play(
            market, tape.commands, done, count, SOURCE, ring, position, COMMANDS_PER_PUBLISH
        )
        if done == count and not int(market.scalars[0]["continuing_kind"]):
            return time.perf_counter() - start
        if reader.poll() is not None:
            raise RuntimeError("the process that reads the ring ended early; see its message")
        position = int(market.scalars[0]["position"])
        os.sched_yield()


@contextmanager
def _reader(name: str, cpu: int) -> Iterator[subprocess.Popen[str]]:
    """A process that reads the ring, ready. Ask `_records_read` for its outcome."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "shm_exchange.tape_reader", name, str(cpu)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        if _pipe(process.stdout).readline() != "ready\n":
            raise RuntimeError("the process that reads the ring did not start; see its message")
        yield process
    finally:
        _pipe(process.stdin).close()
        process.wait()
        _pipe(process.stdout).close()


def _records_read(process: subprocess.Popen[str]) -> int:
    """End the reader and return how many records it copied."""
    _pipe(process.stdin).close()
    return int(_pipe(process.stdout).read())


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None  # Popen made it: we asked for it
    return pipe
