"""Shell: a snapshot because an operator wants one, before an upgrade or a copy of the disk.

The supervisor stores the position that it is to have reached; the recorder, which takes snapshots
anyway, takes one as soon as what lies below is durable. Whoever asked looks for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringbuf import layout
from ringbuf.broadcast import NO_GATE, RECORDED
from shm_exchange import admin, presence, status
from shm_exchange.errors import ExchangeError
from shm_exchange.recording import COUNTER_SNAPSHOT
from shm_exchange.wiring import PROCESS_RECORDER, Wiring

DO = "snapshot"
_SECONDS = 60.0
_LOOK_SECONDS = 0.01


def begin(wirings: Mapping[int, Wiring], request: Mapping[str, Any]) -> dict[str, Any]:
    """Supervisor: ask the recorder for it. Raises ExchangeError with what forbids it."""
    engine = request.get("engine")
    if not isinstance(engine, int) or engine not in wirings:
        raise ExchangeError(f"there is no engine {engine}")
    wiring = wirings[engine]
    if int(wiring.control.processes[PROCESS_RECORDER]["state"]) != layout.STATE_READY:
        remedy = "try again when `shmx status` says ready"
        if int(wiring.ring.cursors[RECORDED]) == NO_GATE:
            remedy = "set `recorder = true` in its [[engine]] and start again"
        raise ExchangeError(
            f"engine {engine} has no recorder now, and so nobody takes snapshots; {remedy}"
        )
    position = status.published(wiring)
    wiring.control.words[layout.SNAPSHOT] = position
    return {"engine": engine, "position": position}


def take(name: str, engine: int | None) -> dict[str, Any]:
    """Take a snapshot of a running engine; where it stands. Raises ExchangeError.

    engine: None for the first. position: of the newest snapshot, which has everything that was
    published when the request came.
    """
    running = presence.find(name)
    number = running["engines"][0]["id"] if engine is None else engine
    begun = time.monotonic()
    with status.attached(name, running) as wirings:
        if number not in wirings:
            known = ", ".join(map(str, wirings))
            raise ExchangeError(f"there is no engine {number} here; known are: {known}")
        asked = admin.ask(Path(running["state_directory"]), {"do": DO, "engine": number})
        counters = wirings[number].control.processes[PROCESS_RECORDER]["counter"]
        while int(counters[COUNTER_SNAPSHOT]) < asked["position"]:
            if time.monotonic() - begun > _SECONDS:
                raise ExchangeError(
                    f"there is no snapshot after {_SECONDS:g} s: has the disk room, and is the"
                    " recorder well? `shmx status` says it"
                )
            time.sleep(_LOOK_SECONDS)
        position = int(counters[COUNTER_SNAPSHOT])
    seconds = round(time.monotonic() - begun, 3)
    return {"engine": number, "position": position, "seconds": seconds}
