"""Shell: what an exchange looks like from outside, read from shared memory and nothing else.

Nothing here costs a hot process anything: words are read, none is written, nobody is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ringbuf import layout
from ringbuf.broadcast import DURABLE, NO_GATE, PUBLISHED, RECORDED
from ringbuf.errors import SegmentError
from shm_exchange import fitness, latencies, presence, wiring
from shm_exchange.errors import NotRunningError
from shm_exchange.status_storage import disk_of, journal_of, rings_of
from shm_exchange.wiring import (
    COUNTER_HOLDS,
    COUNTER_STREAM,
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    ROLE_NAMES,
    ROLE_ORDER,
    Wiring,
)

_RATE_SECONDS = 0.2  # how long events are counted for a rate


def collect(name: str) -> dict[str, Any]:
    """The state of a running exchange. Raises NotRunningError.

    engines: epoch, positions, rate (events per second), who plays which role, whether all replicas
    agree with the matcher. gateways: sessions and lag (events published but not handled yet).
    processes: every role's own line. rings: how full each is. journals: syncs, snapshots, disk.
    restarts: how often each role was started again. latencies: of orders, stage by stage, of each
    gateway, since the exchange began.
    """
    running = presence.find(name)
    with attached(name, running) as wirings:
        before = {number: published(each) for number, each in wirings.items()}
        since = time.monotonic()
        time.sleep(_RATE_SECONDS)
        found = describe(presence.find(name), wirings, time.time_ns())
        seconds = time.monotonic() - since
    for row in found["latencies"]:
        del row["not_above"]  # for metrics
    for row in found["engines"]:
        row["rate"] = round((row["published"] - before[row["id"]]) / seconds)
    return found


@contextmanager
def attached(name: str, running: Mapping[str, Any]) -> Iterator[dict[int, Wiring]]:
    """The shared memory of all engines, read-only. Raises NotRunningError."""
    wirings: dict[int, Wiring] = {}
    try:
        for engine in running["engines"]:
            wirings[engine["id"]] = wiring.attach(name, engine["id"], read_only=True)
        yield wirings
    except SegmentError as error:
        raise NotRunningError(f"the exchange named {name} is just ending: {error}") from error
    finally:
        for each in wirings.values():
            each.close()


def published(engine: Wiring) -> int:
    """Position of the next event."""
    return int(engine.ring.cursors[PUBLISHED])


def describe(
    running: Mapping[str, Any], wirings: Mapping[int, Wiring], now_ns: int
) -> dict[str, Any]:
    """The same from segments that are attached already. running: what the supervisor announced."""
    processes = [
        row for number, each in wirings.items() for row in _processes(number, each, now_ns)
    ]
    engines = [_engine(number, each, processes) for number, each in wirings.items()]
    gateways = [_gateway(each, processes) for each in running["gateways"]]
    complete = all(
        each["matcher_pid"]
        and len(each["standby_pids"]) >= wanted["standbys"]
        and (each["recorder_pid"] or not wanted["recorder"])
        for each, wanted in zip(engines, running["engines"], strict=True)
    ) and all(each["pid"] for each in gateways)
    agreeing = all(each["agreement"] is not False for each in engines)
    with_room = all(fitness.has_room(each) for each in wirings.values())
    silent = any(fitness.is_silent(row["heartbeat_age_ms"], row["state"]) for row in processes)
    # A death is visible here before the supervisor has heard of it.
    good = complete and agreeing and with_room and not silent
    state = "degraded" if running["state"] == "ready" and not good else running["state"]
    return {
        "name": running["name"],
        "state": state,
        "metrics": running["metrics"],
        "engines": engines,
        "gateways": gateways,
        "processes": processes,
        "rings": [row for number, each in wirings.items() for row in rings_of(number, each)],
        "journals": [
            journal_of(number, each, now_ns)
            for number, each in wirings.items()
            if int(each.ring.cursors[RECORDED]) != NO_GATE
        ],
        "latencies": [
            row
            for number in wirings
            for row in latencies.rows(number, latencies.read(running["name"], number))
        ],
        "restarts": running.get("restarts", {}),
        "state_directory": running.get("state_directory"),
    }


def _engine(number: int, engine: Wiring, everybody: list[dict[str, Any]]) -> dict[str, Any]:
    cursors, processes = engine.ring.cursors, engine.control.processes
    recorded = int(cursors[RECORDED])
    standbys = processes[PROCESS_STANDBY_FIRST:PROCESS_SOURCE_FIRST]
    replicas = [each for each in everybody if each["engine"] == number and each["process"]]
    return {
        "id": number,
        "epoch": int(engine.control.words[layout.EPOCH]),
        "published": published(engine),
        "recorded": None if recorded == NO_GATE else recorded,
        "durable": int(cursors[DURABLE]),
        "disk": None if recorded == NO_GATE else disk_of(processes[PROCESS_RECORDER]["counter"]),
        "matcher_pid": living_pid(processes[PROCESS_MATCHER]),
        "standby_pids": [pid for row in standbys if (pid := living_pid(row)) is not None],
        "recorder_pid": living_pid(processes[PROCESS_RECORDER]),
        "attested": _attested([each for each in replicas if each["role"] == "standby"]),
        "agreement": _agreement(replicas),
        "session": _stream(processes[PROCESS_SOURCE_FIRST:]),
    }


def _attested(standbys: list[dict[str, Any]]) -> int | None:
    """Up to where every standby is known to be what the matcher is; None: it is not known."""
    places = [each["attested"] for each in standbys]
    return min(places) if places and None not in places else None


def _agreement(replicas: list[dict[str, Any]]) -> bool | None:
    """Whether the replicas agree with the matcher's state hashes; None: nobody compared yet."""
    if any(each["differs"] is not None for each in replicas):
        return False
    return True if any(each["attested"] is not None for each in replicas) else None


def _stream(gateways: np.ndarray) -> str | None:
    """SoupBinTCP session id of the engine's streams, as one of its gateways says it."""
    for row in gateways:
        if living_pid(row) is not None and row["state"] == layout.STATE_READY:
            words = row["counter"][COUNTER_STREAM : COUNTER_STREAM + 2]
            return words.tobytes().decode("ascii").strip()
    return None


def _gateway(announced: Mapping[str, Any], processes: list[dict[str, Any]]) -> dict[str, Any]:
    """A gateway's line of each engine, as one."""
    number = PROCESS_SOURCE_FIRST + announced["source"]
    lines = [each for each in processes if each["process"] == number]
    return {
        "kind": announced["kind"],
        "pid": lines[0]["pid"] if lines else None,
        "address": announced["address"],
        "sessions": sum(each["clients"] for each in lines),
        "lag": max((each["lag"] for each in lines), default=None),
        "engines": announced["engines"],
    }


def _processes(number: int, engine: Wiring, now_ns: int) -> Iterator[dict[str, Any]]:
    """Every process that lives and belongs to an engine."""
    for process, row in enumerate(engine.control.processes):
        pid = living_pid(row)
        if pid is None:
            continue
        position = int(row["position"])  # before `published`, so that no lag is negative
        yield {
            "engine": number,
            "process": process,
            "role": ROLE_NAMES[row["role"]],
            "pid": pid,
            "state": layout.STATE_NAMES[row["state"]],
            "position": position,
            "lag": max(0, published(engine) - position),
            "uptime_s": max(0, now_ns - int(row["started_ns"])) // 1_000_000_000,
            "heartbeat_age_ms": max(0, now_ns - fitness.heard_ns(row)) // 1_000_000,
            "loops": int(row["loops"]),
            "work": int(row["work"]),
            "clients": int(row["clients"]),
            "errors": int(row["errors"]),
            "holds": int(row["counter"][COUNTER_HOLDS]) if row["role"] == ROLE_ORDER else None,
            "attested": int(row["attested"]) or None,
            "differs": int(row["differs"]) or None,
        }


def living_pid(row: np.void) -> int | None:
    """The process of a PROCESS line, if there is one and it lives."""
    pid = int(row["pid"])
    return pid if pid and Path(f"/proc/{pid}").exists() else None
