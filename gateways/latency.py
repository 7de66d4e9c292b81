"""Shell: `shmx latency`: how long a client of a live exchange waits, beside an echo on its path.

Orders are offered on a schedule (see `load/open_loop.py`), each an immediate one at a price where
nothing trades: it is acknowledged, cancelled at once, never rests, and no feed says anything of it.
At the first order that trades or is rejected the measurement ends. The same client then asks an
echo in a process of its own, at the gateway's address, so that what the host's TCP and the client
cost stands beside the exchange.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from gateways.load.logins import (
    Credential,
    Door,
    ReplayError,
    configuration_of,
    locate,
)
from gateways.load.offered import Offered, immediate_order, offer, warm_up
from gateways.load.percentiles import histogram, latencies, percentiles, stages
from gateways.ouch.messages import ACCOUNT_QUERY_RESPONSE
from gateways.packets import CLIENT_HEARTBEAT_TYPE, LOGOUT_TYPE, UNSEQUENCED_TYPE
from gateways.sessions import packet
from shm_exchange import presence
from shm_exchange.addresses import split_address
from shm_exchange.config import Configuration

WARM_UP_ORDERS = 200
TIMED_ORDERS_MAX = 5_000
_ANSWER_SECONDS = 5.0
_GONE = "the exchange closed the connection: it stops, or somebody else uses the session"
_REMEDY = "give the right one with --password or in SHMX_PASSWORD"
_PACKAGE_ROOT = Path(__file__).parents[1]
_NAMES = {50.0: "p50", 90.0: "p90", 99.0: "p99", 99.9: "p99_9", 99.99: "p99_99", 100.0: "max"}
_NEXT_REF = ACCOUNT_QUERY_RESPONSE.offset_of("next_user_ref_num")


def run(
    name: str,
    *,
    session: str,
    password: str | None = None,
    instrument: str = "AAPL",
    price: Decimal | None = None,
    rates: Sequence[float] = (1_000.0,),
    seconds: float = 2.0,
) -> dict[str, Any]:
    """Measure an exchange of this host; return the report.

    password: None for what the configuration says in clear. price: of a buy that cannot trade, None
    for the lowest that the instrument has. Raises NotRunningError, ReplayError.
    """
    configuration = configuration_of(Path(presence.find(name)["state_directory"]))
    engine, number = locate(configuration, instrument)
    row = configuration.instruments_of(engine)[number]
    price = row.tick * row.price_min_ticks if price is None else price
    requests = [immediate_order(instrument, price, row.lot, timed=timed) for timed in (False, True)]
    warm_up(requests[0])
    door = Door(name, "order", engine, "", remedy=_REMEDY)
    credential = Credential(session, password or _password(configuration, session))
    counts = [max(1, int(rate * seconds)) for rate in rates]
    with _connected(door, credential) as (client, first_ref), _echo(door) as echo:
        refs = np.cumsum([first_ref + WARM_UP_ORDERS, *counts]).tolist()
        offer(client, requests[0], first_ref, rates[0], WARM_UP_ORDERS)
        offer(echo, requests[0], 1, rates[0], WARM_UP_ORDERS)
        ours, bare = [], []
        for rate, count, ref in zip(rates, counts, refs, strict=False):
            ours.append(_row(rate, offer(client, requests[0], ref, rate, count)))
            bare.append(_row(rate, offer(echo, requests[0], 1, rate, count)))
            _heartbeat(client)
        count = min(counts[0], TIMED_ORDERS_MAX)
        timed = offer(client, requests[1], refs[-1], rates[0], count, timed=True)
    return {
        "exchange": name,
        "address": door.addresses()[0],
        "session": session,
        "order": f"immediate buy of {row.lot} {instrument} at {price}, which never rests",
        "times": "ns, from the moment that each order was due",
        "rates": ours,
        "echo": bare,
        "stages": stages(timed.marks),
    }


def _password(configuration: Configuration, username: str) -> str:
    """As the configuration says it in clear. Raises ReplayError."""
    known = {each.username: each.password for each in configuration.sessions}
    if username not in known:
        some = ", ".join(list(known)[:5])
        raise ReplayError(f"there is no session {username}; the configuration has {some} ...")
    if (password := known[username]) is not None:
        return password
    raise ReplayError(
        f"the configuration does not say the password of {username} in clear; "
        "give it with --password or in SHMX_PASSWORD"
    )


def _row(rate: float, offered: Offered) -> dict[str, Any]:
    found = percentiles(histogram(latencies(offered.marks)))
    return {
        "orders_per_second": round(rate),
        "answered_per_second": round(offered.orders_per_second),
        **{_NAMES[percent]: value for percent, value in found.items()},
    }


@contextmanager
def _connected(door: Door, credential: Credential) -> Iterator[tuple[int, int]]:
    """A descriptor that is logged in and will not block, and the session's next UserRefNum."""
    opened = door.log_in(credential, 0, 0, 0)
    if isinstance(opened, Exception):
        raise ReplayError(f"{credential.username} cannot log in ({opened}); see `shmx status`")
    with socket.socket(fileno=opened[0]) as client:
        reference = _next_reference(client)
        client.setblocking(False)
        try:
            yield client.fileno(), reference
        finally:
            with suppress(OSError):  # it may be gone, and why is told by then
                client.setblocking(True)
                client.sendall(packet(LOGOUT_TYPE))


def _heartbeat(descriptor: int) -> None:
    """Raises ReplayError."""
    try:
        os.write(descriptor, packet(CLIENT_HEARTBEAT_TYPE))
    except OSError as error:
        raise ReplayError(f"{_GONE}; see `shmx status`") from error


def _next_reference(client: socket.socket) -> int:
    """What the account query answers. Raises ReplayError."""
    try:
        client.settimeout(_ANSWER_SECONDS)
        client.sendall(packet(UNSEQUENCED_TYPE, b"Q"))
        return _read_reference(client)
    except TimeoutError:
        raise ReplayError("the account query is not answered; see `shmx status`") from None
    except OSError as error:
        raise ReplayError(f"{_GONE}; see `shmx status`") from error


def _read_reference(client: socket.socket) -> int:
    data = b""
    while True:
        received = client.recv(1 << 16)
        if not received:
            raise ConnectionResetError
        data += received
        while len(data) > 2 and len(data) >= 2 + int.from_bytes(data[:2], "big"):
            size = 2 + int.from_bytes(data[:2], "big")
            whole, data = data[:size], data[size:]
            if whole[2:4] == b"SQ":
                return int.from_bytes(whole[3 + _NEXT_REF : 7 + _NEXT_REF], "big")


@contextmanager
def _echo(door: Door) -> Iterator[int]:
    """A descriptor of a connection to an echo at the gateway's address."""
    place, _ = split_address(door.addresses()[0])
    command = [sys.executable, "-m", "gateways.load.echo", place]
    search = os.pathsep.join(filter(None, (str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": search}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise ReplayError(f"no echo could be started at {place}; see its message above")
        with socket.create_connection((place, int(line))) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            yield client.fileno()
