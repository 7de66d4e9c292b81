"""Shell: what a supervisor says of its exchange: to whoever looks (`running.json`), and READY."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shm_exchange.addresses import split_address
from shm_exchange.children import Post
from shm_exchange.config import Configuration
from shm_exchange.presence import Claim
from shm_exchange.wiring import COUNTER_PORT, Wiring

_PROTOCOLS = {"order": "OUCH", "market_data": "ITCH"}


def describe(
    claim: Claim,
    configuration: Configuration,
    posts: Sequence[Post],
    wirings: Mapping[int, Wiring],
    state: str,
    metrics: str | None,
    source: Path | None,
) -> dict[str, Any]:
    """What shared memory does not say.

    metrics: the address where they are, if they are. source: the file of the configuration, if any.
    """
    restarts: dict[str, int] = {}
    for post in posts:
        restarts[post.label] = restarts.get(post.label, 0) + max(0, post.starts - 1)
    return {
        "name": claim.name,
        "pid": os.getpid(),
        "state": state,
        "metrics": metrics,
        "state_directory": str(claim.state_directory),
        "configuration": str(source.absolute()) if source else None,
        "engines": [
            {"id": each.id, "standbys": each.standbys, "recorder": each.recorder}
            for each in configuration.engines
        ],
        "gateways": [
            {
                "kind": post.role,
                "source": post.source,
                "address": _address(post, wirings),
                "engines": [engine for engine, _ in post.lines],
            }
            for post in posts
            if post.role in _PROTOCOLS
        ],
        "restarts": restarts,
    }


def _address(post: Post, wirings: Mapping[int, Wiring]) -> str:
    """Where a gateway listens; the port that it found if any was to be taken."""
    host, port = split_address(post.address)
    engine, number = post.lines[0]
    port = port or int(wirings[engine].control.processes[number]["counter"][COUNTER_PORT])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def say_ready(running: Mapping[str, Any]) -> None:
    """One line on stdout: where to connect. running: as described."""
    places = [f"{_PROTOCOLS[each['kind']]} at {each['address']}" for each in running["gateways"]]
    if running["metrics"]:
        places.append(f"metrics at http://{running['metrics']}/metrics")
    places.append(f"state in {running['state_directory']}")
    with contextlib.suppress(BrokenPipeError):
        print(f"READY {running['name']}: {', '.join(places)}", flush=True)
