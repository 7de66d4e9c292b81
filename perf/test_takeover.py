"""From SIGKILL of the matcher to the first event of its successor, and to a client's next answer.

The first measure: matcher and standby alone, each spinning on a core of its own, commands waiting
in the ring. Included, from just before kill(): the way of the signal, the death of the matcher's
thread as far as its robust locks, the standby's poll, the lock, the committed tail, the new epoch.
The end is the stamp of the EPOCH event, read from the clock just before it is published. Checked
each time: every command was done once, in order.

Beside it, in turns on the same cores: the same with two bare C processes that share nothing but a
robust mutex, and a loop that only reads the clock, which shows what stalls the machine has of its
own. SHMX_PERF_FIFO=1 gives those who spin real-time priority: on a machine with other work that is
as near to cores of their own as can be had.

The second measure: a whole exchange, and a client in Python that sends an order at the moment of
the kill. Included: all of the first, the client, loopback TCP, the gateway. Not included: the start
of the next standby (it is waited for between kills), the recorder, a book with orders in it;
client, gateway and standby share a core. Beside it, in turns, the same order without a kill.
Percentiles are from HDR histograms; of so few kills the last ones are all the largest.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from perf import baseline, picture
from perf.exchange import Exchange, Placement, log_in, orders, running
from perf.latency_figures import figures
from perf.results_file import in_turns
from perf.takeover import pair
from shm_exchange.status import collect

KILLS = int(os.environ.get("SHMX_PERF_KILLS", "240"))
PORTIONS = 8  # ours and the baselines take turns
COMMANDS = 2_000  # in the ring at each kill
MEDIAN_BUDGET_NS, TAIL_BUDGET_NS = 100_000, 1_000_000
HICCUPS_MS = 400
CLIENT_KILLS = 12
STANDBY_CORE, MATCHER_CORE = 0, 1
FIFO = os.environ.get("SHMX_PERF_FIFO") == "1"
_HEARTBEAT = b"\0\1R"  # of SoupBinTCP: a client that says nothing is dropped
PICTURE = Path(__file__).parent / "results" / "takeover.svg"


def _bare_kills(program: Path, count: int) -> np.ndarray:
    extra = ["fifo"] if FIFO else []
    arguments = ("kill", count, MATCHER_CORE, STANDBY_CORE, *extra)
    return np.array(baseline.run(program, *arguments)["nanoseconds"])


def _hiccups(program: Path) -> np.ndarray:
    return np.array(baseline.run(program, "hiccups", HICCUPS_MS, STANDBY_CORE)["nanoseconds"])


def test_kill_to_first_event(benchmark: Any, tmp_path: Path) -> None:
    """Percentiles of all kills, beside those of bare C and of the machine's stalls; a picture."""
    program = baseline.build("takeover_baseline", tmp_path)
    ours: list[tuple[int, int]] = []
    bare: list[np.ndarray] = []
    stalls: list[np.ndarray] = []

    def measure() -> None:
        for _ in range(PORTIONS):
            bare.append(_bare_kills(program, KILLS // PORTIONS))
            stalls.append(_hiccups(program))
            ours.extend(it.strike(COMMANDS) for _ in range(KILLS // PORTIONS))

    cores = (MATCHER_CORE, STANDBY_CORE)
    with pair(tmp_path, 1 << 20, cores, fifo=FIFO) as it:
        it.strike(COMMANDS)  # whatever is done for the first time
        benchmark.pedantic(measure, rounds=1)
    events, commands = np.array(ours).T
    bare_kills, hiccups = np.concatenate(bare), np.concatenate(stalls)
    median, tail = np.percentile(events, (50, 99))
    benchmark.extra_info.update(
        {
            "kills": len(events),
            "priority": "fifo" if FIFO else "normal",
            "first_event_ns": figures(events),
            "first_command_ns": figures(commands),
            "share_below_100_us": round(float((events < 100_000).mean()), 4),
            "share_below_1_ms": round(float((events < 1_000_000).mean()), 4),
            "bare_c_ns": figures(bare_kills),
            "bare_c_share_below_1_ms": round(float((bare_kills < 1_000_000).mean()), 4),
            "machine_stalls_ns": figures(hiccups),
            "machine_share_stalled_1_ms": round(float((hiccups >= 1_000_000).mean()), 4),
            "budget_ns": {"50": MEDIAN_BUDGET_NS, "99": TAIL_BUDGET_NS},
            "met": bool(median < MEDIAN_BUDGET_NS and tail < TAIL_BUDGET_NS),
            "rounds": in_turns(
                [np.median(each) for each in np.array_split(events, PORTIONS)],
                [np.median(each) for each in bare],
            ),
        }
    )
    picture.write(
        PICTURE,
        f"SIGKILL of the matcher to the first event of its successor, {len(events)} kills",
        {
            "first event": events,
            "bare C, robust mutex": bare_kills,
            "stalls in 50 µs of a bare loop": hiccups,
        },
        {"median budget": MEDIAN_BUDGET_NS, "99 % budget": TAIL_BUDGET_NS},
    )
    assert (events > 0).all() and (commands >= events).all()


def _packet(client: socket.socket) -> bytes:
    """Type and payload of the next packet."""
    size = int.from_bytes(client.recv(2, socket.MSG_WAITALL), "big")
    return client.recv(size, socket.MSG_WAITALL)


def _ask(it: Exchange, client: socket.socket, packet: bytes, *, kills: bool) -> int:
    """Nanoseconds from the kill, if there is one, to the answer to an order sent then."""
    while (found := collect(it.name))["state"] != "ready":
        client.sendall(_HEARTBEAT)
    (engine,) = found["engines"]
    begun = time.monotonic_ns()
    if kills:
        os.kill(engine["matcher_pid"], signal.SIGKILL)
    client.sendall(packet)
    while (answer := _packet(client))[:1] == b"H":  # nothing else was said for a second
        pass
    ended = time.monotonic_ns()
    assert answer[:2] == b"SA", answer
    return ended - begun


def test_kill_to_acknowledgement(benchmark: Any, tmp_path: Path) -> None:
    """An order that is sent at the moment of the kill is acknowledged by the successor."""
    placement = Placement(
        "yield", MATCHER_CORE, STANDBY_CORE, standbys=1, standby_core=STANDBY_CORE
    )
    samples: list[int] = []
    alive: list[int] = []
    with running(tmp_path, placement) as it, log_in(it.address, "T01") as client:
        packets = orders(2 * CLIENT_KILLS)
        packets[:, 7] = np.arange(1, 2 * CLIENT_KILLS + 1)  # UserRefNum, its last byte

        def measure() -> None:
            for quiet, killing in zip(packets[::2], packets[1::2], strict=True):
                alive.append(_ask(it, client, quiet.tobytes(), kills=False))
                samples.append(_ask(it, client, killing.tobytes(), kills=True))

        benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(
        {
            "kills": len(samples),
            "acknowledgement_ns": figures(np.array(samples)),
            "without_a_kill_ns": figures(np.array(alive)),
            "all_ns": sorted(samples),
            "rounds": in_turns(samples, alive),
        }
    )
