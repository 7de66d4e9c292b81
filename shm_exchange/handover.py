"""Shell: the planned end of a matcher's reign: who may ask for it, how it is done, what it cost.

The supervisor stores the number of the reign that is to end; the matcher ends it between two
commands and gives up the lock, and a standby that has caught up takes it. Whoever asked reads the
rest from shared memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ringbuf import layout
from ringbuf.broadcast import CLAIMED
from shm_exchange import admin, presence, status
from shm_exchange.children import Post
from shm_exchange.errors import ExchangeError
from shm_exchange.messages import COMMAND_NEXT_BITS, COMMAND_NEXT_MASK, EventKind
from shm_exchange.wiring import Wiring

DO = "handover"
LAG_MAX = 4096  # events; a standby is back at zero within a millisecond
_CHANGE_SECONDS = 10.0
_REFILL_SECONDS = 120.0
_AGREE_SECONDS = 5.0
_LOOK_SECONDS = 0.001
_CONFIGURE = "set `standbys` in its [[engine]] and start again"
_COMMAND_RECORDS_MAX = 2  # a command, and the tags of an order
_QUOTE_RECORDS_MAX = 17  # a mass quote, and its quotes
_OF_QUOTES = (EventKind.QUOTED, EventKind.REJECTED, EventKind.IGNORED)  # its first event
_WINDOW = 1 << 15  # events before and after the change of reign that are looked at


def begin(
    posts: Iterable[Post], wirings: Mapping[int, Wiring], request: Mapping[str, Any]
) -> dict[str, Any]:
    """Supervisor: tell the matcher to end its reign. Raises ExchangeError with what forbids it."""
    engine = request.get("engine")
    if not isinstance(engine, int) or engine not in wirings:
        raise ExchangeError(
            f"there is no engine {engine}; known are: {', '.join(map(str, wirings))}"
        )
    wiring = wirings[engine]
    words = wiring.control.words
    epoch = int(words[layout.EPOCH])
    mine = [each for each in posts if engine in [number for number, _ in each.lines]]
    matcher = next(each for each in mine if each.role == "matcher")
    if not matcher.is_ready(wirings):
        raise ExchangeError(f"engine {engine} has no matcher now; try again when it is ready")
    if int(words[layout.HANDOVER]) == epoch:
        raise ExchangeError(f"engine {engine} is just being handed over; wait for its end")
    standbys = [each for each in mine if each.role == "standby"]
    faults = {each: _unfit(each, wirings) for each in standbys}
    fit = [each for each, fault in faults.items() if fault is None]
    if not fit:
        reasons = "; ".join(fault for fault in faults.values() if fault) or "none is configured"
        remedy = "try again when `shmx status` says ready" if standbys else _CONFIGURE
        raise ExchangeError(
            f"engine {engine} has no standby that could take over: {reasons}; {remedy}"
        )
    words[layout.HANDOVER] = epoch
    return {"engine": engine, "epoch": epoch, "pid": matcher.pid, "standbys": [e.pid for e in fit]}


def _unfit(post: Post, wirings: Mapping[int, Wiring]) -> str | None:
    """Why a standby must not be relied on, or None."""
    engine, number = post.lines[0]
    wiring = wirings[engine]
    row = wiring.control.processes[number]
    if not post.is_ready(wirings):
        return f"the standby with number {number} is not ready"
    if row["differs"]:
        return f"process {post.pid} has a replica that differs from the matcher's"
    if _is_stopped(post.pid):
        return f"process {post.pid} is stopped"
    lag = status.published(wiring) - int(row["position"])
    if lag > LAG_MAX:
        return f"process {post.pid} is {lag} events behind"
    return None


def _is_stopped(pid: int | None) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return True
    return text.rpartition(")")[2].split()[0] in "tTZX"


def promote(name: str, engine: int | None) -> dict[str, Any]:
    """Hand a running engine over to a standby; what came of it. Raises ExchangeError.

    engine: None for the first. gap_ns: from the last instant of one reign to the first of the next.
    """
    running = presence.find(name)
    number = running["engines"][0]["id"] if engine is None else engine
    with status.attached(name, running) as wirings:
        if number not in wirings:
            known = ", ".join(map(str, wirings))
            raise ExchangeError(f"there is no engine {number} here; known are: {known}")
        wiring = wirings[number]
        since = status.published(wiring)
        begun = time.monotonic_ns()
        asked = admin.ask(Path(running["state_directory"]), {"do": DO, "engine": number})
        position, event = _await_reign(wiring, since, asked["epoch"] + 1)
        ended_ns = int(wiring.control.words[layout.ENDED])
        return {
            "engine": number,
            "epoch_before": asked["epoch"],
            "epoch": int(event["epoch"]),
            "pid_before": asked["pid"],
            "pid": int(event["process"]),
            "position": position,
            "gap_ns": int(event["time_ns"]) - ended_ns,
            "total_ns": time.monotonic_ns() - begun,
        }


def _await_reign(wiring: Wiring, since: int, epoch: int) -> tuple[int, np.void]:
    """Position and event of the beginning of a reign that begins after `since`."""
    deadline = time.monotonic() + _CHANGE_SECONDS
    while time.monotonic() < deadline:
        end = status.published(wiring)
        events = _events(wiring, since, end)
        is_it = (events["kind"] == EventKind.EPOCH) & (events["epoch"] == epoch)
        if is_it.any():
            place = int(np.flatnonzero(is_it)[0])
            return end - len(events) + place, events[place]
        since = end
        time.sleep(_LOOK_SECONDS)
    raise ExchangeError(
        f"nobody began reign {epoch} within {_CHANGE_SECONDS:g} s; `shmx status` shows who is there"
    )


def _events(wiring: Wiring, start: int, end: int) -> np.ndarray:
    """A copy of the events [start, end), without those that are overwritten already."""
    ring = wiring.ring
    capacity = len(ring.records)
    start = max(start, end - capacity)
    found = ring.records[np.arange(start, end) & (capacity - 1)]
    lost = max(0, int(ring.cursors[CLAIMED]) - capacity - start)
    kept: np.ndarray = found[lost:]
    return kept


def drill(name: str, engine: int | None) -> dict[str, Any]:
    """Promote a standby and check that nothing is amiss afterwards. `passed` says the outcome."""
    begun = time.monotonic()
    report = promote(name, engine)
    running = presence.find(name)
    with status.attached(name, running) as wirings:
        wiring = wirings[report["engine"]]
        events = _around(wiring, report["position"])
    refilled = _await_status(name, report["engine"], _REFILL_SECONDS, _is_refilled)
    agreeing = refilled and _await_status(
        name,
        report["engine"],
        _AGREE_SECONDS,
        lambda row, _: row["attested"] is not None and row["attested"] > report["position"],
    )
    row = _engine_row(status.collect(name), report["engine"])
    checks = {
        "epoch_is_next": report["epoch"] == report["epoch_before"] + 1,
        "events_contiguous": is_contiguous(events),
        "standby_refilled": refilled,
        # Under a slow load that never pauses, the next state hash may be minutes away.
        "replicas_agree": True if agreeing else row["agreement"],
    }
    passed = all(value is not False for value in checks.values())
    seconds = round(time.monotonic() - begun, 3)
    return {"passed": passed, **report, **checks, "seconds": seconds}


def _around(wiring: Wiring, position: int) -> np.ndarray:
    """Events before and after the beginning of a reign, those that the ring still has."""
    end = min(status.published(wiring), position + _WINDOW)
    return _events(wiring, max(0, position - _WINDOW), end)


def is_contiguous(events: np.ndarray) -> bool:
    """Whether stamps never fall, and no source goes back or jumps over commands."""
    events = events[events["kind"] != EventKind.CONTINUATION]
    sources = events["source_next"] >> COMMAND_NEXT_BITS
    nexts = events["source_next"] & COMMAND_NEXT_MASK
    may_be_long = np.isin(events["kind"], _OF_QUOTES)
    limits = np.where(may_be_long, _QUOTE_RECORDS_MAX, _COMMAND_RECORDS_MAX)
    good = True
    for each in np.unique(sources):
        steps = np.diff(nexts[sources == each])
        good &= bool(((steps >= 0) & (steps <= limits[sources == each][1:])).all())
    return good and bool((np.diff(events["time_ns"]) >= 0).all())


def _is_refilled(row: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return found["state"] == "ready" and row["agreement"] is not False


def _await_status(name: str, engine: int, seconds: float, holds: Any) -> bool:
    """Whether something becomes true of an engine's row of the status."""
    deadline = time.monotonic() + seconds
    while True:
        found = status.collect(name)
        if holds(_engine_row(found, engine), found):
            return True
        if time.monotonic() > deadline:
            return False


def _engine_row(found: Mapping[str, Any], engine: int) -> dict[str, Any]:
    row: dict[str, Any] = next(each for each in found["engines"] if each["id"] == engine)
    return row
