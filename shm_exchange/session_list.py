"""Shell: `shmx session`: what an operator asks of sessions, from outside of the exchange.

The list is a replica's: it has seen every event, so it says what the matcher has, and nobody who
trades is asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ringbuf import layout
from shm_exchange import accounts, admin, config, presence, status, view
from shm_exchange.accounts import COUNTER_ACCOUNTS, Accounts
from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError
from shm_exchange.market import Market
from shm_exchange.mass import BY_FIRM, BY_SESSION
from shm_exchange.messages import USER_REF_INDEX_COUNT
from shm_exchange.status import living_pid
from shm_exchange.wiring import PROCESS_SOURCE_FIRST

_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 0.002
_ENTRY = {0: "enabled", BY_SESSION: "disabled by itself", BY_FIRM: "disabled by its firm"}


def ask(name: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Have the supervisor change a session, and return when every gateway acts on it.

    Raises ExchangeError.
    """
    running = presence.find(name)
    answer = admin.ask(Path(running["state_directory"]), request)
    serial = answer.pop("serial")
    deadline = time.monotonic() + _ANSWER_SECONDS
    with status.attached(name, running) as wirings:
        for gateway in running["gateways"]:
            for engine in gateway["engines"]:
                processes = wirings[engine].control.processes
                row = processes[PROCESS_SOURCE_FIRST + gateway["source"]]
                # Whoever starts meanwhile reads what holds then.
                while _serves(row) and int(row["counter"][COUNTER_ACCOUNTS]) < serial:
                    if time.monotonic() > deadline:
                        raise ExchangeError(
                            f"it is written down, but the gateway at {gateway['address']} does not"
                            " act on it; `shmx status` shows whether it hangs"
                        )
                    time.sleep(_LOOK_SECONDS)
    return answer


def _serves(row: np.void) -> bool:
    return bool(row["state"] == layout.STATE_READY and living_pid(row) is not None)


def collect(name: str) -> dict[str, Any]:
    """Every session of a running exchange, once for each engine. Raises ExchangeError."""
    running = presence.find(name)
    directory = Path(running["state_directory"])
    copy = directory / presence.CONFIGURATION_COPY
    configured = config.load(copy if copy.exists() else None)
    said = accounts.load(directory)
    rows = []
    for engine in (each["id"] for each in running["engines"]):
        with view.open(name, engine) as seen:
            replica = seen.replica()
            try:
                names, counts = np.unique(replica.orders()["session"], return_counts=True)
                orders = dict(zip(names.tolist(), counts.tolist(), strict=True))
                rows += _rows(configured, said, engine, replica.market, orders, running)
            finally:
                replica.close()
    return {"sessions": rows}


def _rows(
    configured: Configuration,
    said: Accounts,
    engine: int,
    market: Market,
    orders: Mapping[str, int],
    running: Mapping[str, Any],
) -> list[dict[str, Any]]:
    addresses = {each["source"]: each["address"] for each in running["gateways"]}
    sessions = zip(configured.sessions, accounts.applied(configured, said).sessions, strict=True)
    rows = []
    for number, (session, each) in enumerate(sessions):
        row = market.sessions[number]
        first = number * USER_REF_INDEX_COUNT
        rows.append(
            {
                "session": each.username,
                "number": number,
                "engine": engine,
                "firm": each.firm,
                "account": _account(each.reserved, said.of(session).disabled),
                "connected": bool(row["connected"]),
                "gateway": addresses.get(int(row["gateway"])) if row["connected"] else None,
                "next_message": int(row["messages"]) + 1,
                "last_user_ref": int(market.user_refs[first : first + USER_REF_INDEX_COUNT].max()),
                "open_orders": orders.get(each.username, 0),
                "entry": _ENTRY.get(int(row["disabled"]), "disabled by itself and its firm"),
            }
        )
    return rows


def _account(reserved: bool, disabled: bool) -> str:
    if reserved:
        return "reserved"
    return "disabled" if disabled else "open"
