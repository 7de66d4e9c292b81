"""Shell: what every gateway does at its beginning and its end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from gateways.control import Control, PumpDoor
from gateways.credentials import Credentials
from gateways.mailbox import Mailbox, create_mailbox
from ringbuf import layout
from shm_exchange.market import Market
from shm_exchange.roles import EXIT_DONE, EXIT_FAILED, RoleContext
from shm_exchange.wiring import COUNTER_PORT, COUNTER_STREAM, PROCESS_MATCHER

POLL_SECONDS = 0.001
_JOIN_SECONDS = 5.0

# How a pump ends.
STOPPED, LAPPED, LOG_FULL = 0, 1, 2
_OUTCOMES = {
    LAPPED: "it was lapped by the matcher and starts anew",
    LOG_FULL: "the feed's log is full; roll the day",
}


def stream_name(market: Market) -> str:
    """SoupBinTCP session id of the engine's streams."""
    scalars = market.scalars[0]
    raw = int(scalars["stream_0"]).to_bytes(8, "little", signed=True)
    return (raw + int(scalars["stream_1"]).to_bytes(8, "little")[:2]).decode("ascii")


def open_mailbox(capacity: int) -> Mailbox:
    """An empty mailbox with a bell of its own."""
    return create_mailbox(capacity, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))


def wait_for_matcher(context: RoleContext) -> bool:
    """Wait until the engine's matcher serves; False when the exchange stops first."""
    while context.control.processes[PROCESS_MATCHER]["state"] != layout.STATE_READY:
        if context.stopping():
            return False
        time.sleep(POLL_SECONDS)
    return True


def serve_pumps(
    contexts: list[RoleContext],
    listener: socket.socket,
    doors: list[PumpDoor],
    runs: Sequence[Callable[[], int]],
) -> int:
    """Run each pump in a thread of its own and accept clients until one ends; the exit code."""
    outcomes: list[int] = []

    def pump(run: Callable[[], int], door: PumpDoor) -> None:
        outcomes.append(run())
        os.eventfd_write(door.bell, 1)

    threads = [
        threading.Thread(target=pump, args=each, daemon=True)
        for each in zip(runs, doors, strict=True)
    ]
    for thread in threads:
        thread.start()
    for context, door in zip(contexts, doors, strict=True):
        counters = context.control.processes[context.process]["counter"]
        counters[COUNTER_PORT] = listener.getsockname()[1]
        counters[COUNTER_STREAM : COUNTER_STREAM + 2] = np.frombuffer(
            door.stream().encode("ascii").ljust(16), np.int64
        )
        context.set_state(layout.STATE_READY)
    control = Control(Credentials(contexts[0].configuration), doors)
    asyncio.run(control.serve(listener, lambda: bool(outcomes)))
    for thread in threads:
        thread.join(_JOIN_SECONDS)
    failures = [_OUTCOMES[outcome] for outcome in outcomes if outcome != STOPPED]
    if failures:
        print(f"{contexts[0].role} gateway: {failures[0]}", file=sys.stderr)
        return EXIT_FAILED
    for context in contexts:
        context.set_state(layout.STATE_STOPPED)
    return EXIT_DONE
