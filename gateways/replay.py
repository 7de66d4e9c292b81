"""Shell: `shmx replay`: a flow through real OUCH sessions, and the book that the feed then says.

Orders are spread over the sessions by their number, so an order's cancels and modifies go the way
of the order itself. With one session the outcome is exact: a modify is held back until all is
known that may change what its order has executed. A connection that is lost is opened again, here
or at another gateway, and everything unacknowledged is sent again under the same numbers.

The loop is compiled (`gateways/load/client_pump.py`); nothing here happens per message.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateways.connection import create_connections
from gateways.itch.messages import ITCH_MESSAGE_DTYPE
from gateways.load import client_pump, state
from gateways.load.live_prices import create_live_prices
from gateways.load.logins import (
    Credential,
    Door,
    ReplayError,
    configuration_of,
    credentials_of,
    locate,
)
from gateways.load.own_replica import OwnReplica, feed_book, market_book
from gateways.load.rebuilt_book import COUNT, FAULTS, create_rebuilt_book
from gateways.load.state import Load
from gateways.packets import LOGOUT_TYPE
from gateways.sessions import packet
from ringbuf.syscalls import EPOLL_CLOEXEC, epoll_create1
from shm_exchange import presence
from shm_exchange.config import Configuration
from shm_exchange.flow import BUY, MODIFY, NEW, Flow
from shm_exchange.flow import load as load_flow
from shm_exchange.instruments import symbol_text

SLICE_NS = 50_000_000  # after so long the loop lets Python look for signals
SLICE_LOST_NS = 5_000_000  # and for a gateway that takes a lost connection
_PAUSE_SECONDS = 0.02
INBOUND_SIZE, OUTBOUND_SIZE = 1 << 18, 1 << 16
FEED_SECONDS_MAX = 60.0  # how long the feed may take to say what the ring has
PATIENCE_SECONDS = 120.0  # how long a gateway may be away
LOSSES_MAX = 1_000  # two replays with the same sessions would displace each other for ever
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}
_FEED_ORDERS_MAX = 1 << 22
_PS_PER_SECOND = 1_000_000_000_000
_OUTCOMES = {
    state.VIOLATION: "sent what its protocol does not know",
    state.ENDED: "ended its session: the exchange stops, or the day has rolled",
    state.EXHAUSTED: "has no UserRefNum left; use other sessions",
}


def run(
    path: Path,
    *,
    name: str,
    configuration: Configuration | None = None,
    sessions: int = 1,
    rate: float | None = None,
    instrument: str = "AAPL",
    allow_resting: bool = False,
) -> dict[str, Any]:
    """Replay a flow file; return the report.

    configuration: None for that of the running exchange. rate: messages per second, None for as
    fast as possible. Raises FlowError, NotRunningError, ReplayError.
    """
    flow = load_flow(path)
    state_directory = Path(presence.find(name)["state_directory"])
    configuration = configuration or configuration_of(state_directory)
    engine, number = locate(configuration, instrument)
    credentials = credentials_of(configuration, sessions)
    with OwnReplica(configuration, name, engine, state_directory) as replica:
        if replica.resting(number) and not allow_resting:
            raise ReplayError(
                f"{instrument} has {replica.resting(number)} resting orders: the outcome would "
                "not be the flow's own; cancel them, or say --allow-resting"
            )
        row = replica.market.instruments[number]
        limit = min(_FEED_ORDERS_MAX, _order_limit(configuration, engine))
        load = prepare(flow, sessions, row, limit, rate, strangers=allow_resting)
        warm_up(load)
        with Driver(load, name, engine, replica.stream, credentials) as driver:
            driver.send_flow()
            matches = driver.feed_matches(replica, number)
    return report(flow, load) | {"feed_matches_book": matches}


def _order_limit(configuration: Configuration, engine: int) -> int:
    sources = configuration.sources_of(engine).values()
    gateways = sum(each.kind == "order" for each in sources)
    return max(1, gateways) * configuration.engine(engine).slots_per_gateway


def prepare(
    flow: Flow,
    sessions: int,
    instrument: np.void,
    order_limit: int,
    rate: float | None,
    *,
    strangers: bool,
) -> Load:
    """Everything the loop needs, nothing sent yet.

    instrument: INSTRUMENT row; strangers: orders of others may be in its book.
    """
    symbol = int(instrument["symbol"])
    ids, orders = np.unique(flow.order_id, return_inverse=True)
    messages = np.zeros(flow.messages, state.FLOW_MESSAGE.dtype)
    messages["kind"] = flow.kind
    messages["side"] = np.where(flow.side == BUY, ord("B"), ord("S"))
    messages["time_in_force"] = np.where(flow.ioc == 1, ord("3"), ord("0"))
    messages["session"] = flow.order_id % sessions
    messages["order"] = orders
    messages["quantity"] = flow.quantity
    messages["price"] = flow.price_ticks.astype(np.int64) * int(instrument["tick"])
    messages["order_id"] = flow.order_id
    numbered = np.isin(flow.kind, (NEW, MODIFY))
    lowest = int(flow.price_ticks[numbered].min(initial=flow.price_ticks.max()))
    messages["level"] = np.maximum(0, flow.price_ticks.astype(np.int64) - lowest)
    levels = int(messages["level"].max()) + 1
    rows = np.zeros(sessions, state.LOAD_SESSION.dtype)
    rows["owners_count"] = np.bincount(messages["session"][numbered], minlength=sessions)
    rows["owners_first"] = np.cumsum(rows["owners_count"]) - rows["owners_count"]
    load = Load(
        messages=messages,
        orders=np.zeros(len(ids), state.FLOW_ORDER.dtype),
        sessions=rows,
        requests=np.zeros(state.WINDOW * sessions, state.REQUEST.dtype),
        owners=np.zeros(int(numbered.sum()) + 1, np.int32),
        trades=np.zeros(4 * flow.messages + 1024, state.TRADE.dtype),
        latencies=np.full(flow.messages, -1, np.int64),
        live=create_live_prices(levels, flow.messages, strangers),
        book=create_rebuilt_book(symbol, order_limit),
        connections=create_connections(sessions + 1, INBOUND_SIZE, OUTBOUND_SIZE),
        words=np.zeros(state.WORD_COUNT, np.int64),
        clock=np.zeros(2, np.int64),
        ready=np.zeros(state.EPOLL_EVENT_SIZE * state.READY_PER_PASS, np.uint8),
        feed_message=np.zeros(1, ITCH_MESSAGE_DTYPE),
    )
    load.words[state.SYMBOL] = symbol
    load.words[state.FEED_STOP] = state.NO_STOP
    load.words[state.LIMIT] = max(state.WINDOW_MIN, state.WINDOW // sessions)
    load.words[state.INTERVAL_PS] = 0 if rate is None else max(1, int(_PS_PER_SECOND / rate))
    return load


def warm_up(load: Load) -> None:
    """Load the machine code of the loop before the first connection, on scratch memory."""
    scratch = load._replace(
        sessions=load.sessions[:1].copy(),
        connections=create_connections(2, INBOUND_SIZE, OUTBOUND_SIZE),
        words=load.words.copy(),
    )
    scratch.words[state.EPOLL] = -1
    assert not client_pump.attach(scratch, 0, -1, 1)
    assert client_pump.run(scratch, 0) == state.SLICE


@dataclass
class Missing:
    """A connection that is to be opened."""

    since: float
    attempts: int = 0


class Driver:
    """The loop and its connections. Use as a context manager: it closes them."""

    def __init__(
        self, load: Load, name: str, engine: int, stream: str, credentials: list[Credential]
    ) -> None:
        self._load = load
        self._stack = ExitStack()
        self._credentials = [*credentials, credentials[0]]  # connection n is the feed
        order = Door(name, "order", engine, stream)
        self._doors = [order] * len(credentials) + [Door(name, "market_data", engine, stream)]
        self._missing: dict[int, Missing] = {}
        self._losses = 0
        load.words[state.EPOLL] = epoll_create1(EPOLL_CLOEXEC)
        self._stack.callback(os.close, int(load.words[state.EPOLL]))
        self._stack.callback(self._close_connections)

    def __enter__(self) -> Driver:
        feed = len(self._doors) - 1
        try:
            # The feed from its first message: only then is the book whole.
            for number, sequence in [(feed, 1), *((number, 0) for number in range(feed))]:
                while not self._open(number, sequence):
                    time.sleep(_PAUSE_SECONDS)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send_flow(self) -> None:
        """Send everything and wait until it is settled."""
        while not self._pass():
            pass

    def feed_matches(self, replica: OwnReplica, instrument: int) -> bool:
        """Compare the feed's book and the replica's after the same number of messages."""
        load = self._load
        deadline = time.monotonic() + FEED_SECONDS_MAX
        while True:
            replica.follow()
            load.words[state.FEED_STOP] = replica.feed_messages
            while not self._pass():
                if time.monotonic() > deadline:
                    raise ReplayError(
                        f"the feed has {load.book.words[COUNT]} messages and should have "
                        f"{replica.feed_messages}; look at the market data gateway"
                    )
            if int(load.book.words[COUNT]) == replica.feed_messages:
                break
        told, own = feed_book(load.book), market_book(replica.market, replica.engine, instrument)
        faults = int(load.book.words[FAULTS])
        matches = faults == 0 and np.array_equal(told, own)
        if not matches:
            symbol = symbol_text(int(load.words[state.SYMBOL]))
            print(
                f"replay: {symbol}: the feed's book has {len(told)} orders, the exchange's "
                f"{len(own)}, {faults} messages of the feed made no sense",
                file=sys.stderr,
            )
        return bool(matches)

    def _pass(self) -> bool:
        """One slice of the loop; True when it is done."""
        outcome = client_pump.run(self._load, SLICE_LOST_NS if self._missing else SLICE_NS)
        if outcome in _OUTCOMES:
            who = int(self._load.words[state.WHO])
            raise ReplayError(
                f"the connection of {self._credentials[who].username} to the "
                f"{self._doors[who].kind} gateway {_OUTCOMES[outcome]}"
            )
        self._reopen()
        return bool(outcome == state.DONE)

    def _reopen(self) -> None:
        """Try each lost connection once, at the next number of its stream; the others go on."""
        rows = self._load.connections.rows
        for number in np.flatnonzero(rows["fd"] < 0).tolist():
            if number not in self._missing:
                self._missing[number] = Missing(time.monotonic())
                self._losses += 1
            if self._losses > LOSSES_MAX:
                raise ReplayError(
                    f"connections were lost {LOSSES_MAX} times; "
                    "does another replay use the same sessions?"
                )
            self._open(number, int(rows[number]["next_number"]))

    def _open(self, number: int, sequence: int) -> bool:
        """Log in and give the connection to the loop; False when that has to be tried again."""
        missing = self._missing.setdefault(number, Missing(time.monotonic()))
        door, credential = self._doors[number], self._credentials[number]
        opened = door.log_in(credential, sequence, number, missing.attempts)
        missing.attempts += 1
        if isinstance(opened, Exception):
            if time.monotonic() - missing.since > PATIENCE_SECONDS:
                raise ReplayError(
                    f"{credential.username} cannot log in to any {door.kind} gateway ({opened}); "
                    "see what the exchange says"
                )
            return False
        descriptor, first = opened
        if sequence and first != sequence:
            os.close(descriptor)
            raise ReplayError(
                f"message {sequence} of a stream was asked for and {first} offered: "
                "the exchange has lost something, start the replay again"
            )
        if not client_pump.attach(self._load, number, descriptor, first):
            raise ReplayError("a connection cannot be watched; raise the limit of open files")
        del self._missing[number]
        return True

    def _close_connections(self) -> None:
        rows = self._load.connections.rows
        for descriptor in rows["fd"][rows["fd"] >= 0].tolist():
            with suppress(OSError):
                os.write(descriptor, packet(LOGOUT_TYPE))
            os.close(descriptor)
        rows["fd"] = -1


def report(flow: Flow, load: Load) -> dict[str, Any]:
    """What the contract of `shmx replay` promises, but for the books."""
    words = load.words
    seconds = (int(words[state.ENDED_NS]) - int(words[state.STARTED_NS])) / 1e9
    answered = load.latencies[load.latencies >= 0]
    latency = {
        name: int(np.percentile(answered, share, method="higher")) if len(answered) else 0
        for name, share in PERCENTILES.items()
    }
    return {
        "messages": flow.messages,
        "accepted": int(words[state.ACCEPTED]),
        "trades": int(words[state.TRADES]),
        "cancelled": int(words[state.CANCELLED]),
        "rejected": int(words[state.REJECTED]),
        "ignored": int(words[state.IGNORED]),
        "resting": int((load.orders["leaves"] > 0).sum()),
        "maker_agreement": maker_agreement(flow, load.trades[: int(words[state.TRADES_KEPT])]),
        "throughput": round(flow.messages / seconds, 1),
        "latency_ns": latency,
    }


def maker_agreement(flow: Flow, trades: np.ndarray) -> list[int]:
    """[agreed, of]: messages whose first maker is the one that the flow expects.

    trades: TRADE[n]; both sides of a trade have one match number.
    """
    if flow.expected_maker is None:
        return [0, 0]
    takers, makers = trades[trades["taker"] == 1], trades[trades["taker"] == 0]
    takers = takers[np.lexsort((takers["match_number"], takers["message"]))]
    message, first = np.unique(takers["message"], return_index=True)
    match = takers["match_number"][first]
    makers = makers[np.argsort(makers["match_number"])]
    place = np.searchsorted(makers["match_number"], match)
    found = place < len(makers)
    found[found] = makers["match_number"][place[found]] == match[found]
    hit = np.full(flow.messages, -1, np.int64)
    hit[message[found]] = flow.order_id[makers["message"][place[found]]]
    expected = flow.expected_maker >= 0
    agreed = expected & (hit == flow.expected_maker)
    return [int(agreed.sum()), int(expected.sum())]
