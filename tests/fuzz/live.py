"""Hostile inputs through TCP, at a whole exchange, beside a client that checks its own stream."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from gateways import connection as c
from gateways.feed_book import Book
from gateways.load.own_replica import OwnReplica, market_book
from gateways.ouch.clients import PACKET_LENGTH_MAX
from gateways.ouch.codec import BAD_APPENDAGE, OK, decode
from gateways.ouch.tags import OUCH_REQUEST
from gateways.packets import (
    CLIENT_HEARTBEAT_TYPE,
    DEBUG_TYPE,
    LOGOUT_TYPE,
    UNSEQUENCED_TYPE,
)
from gateways.soupbintcp import NEEDS_MORE, next_packet
from ringbuf.bits import at, copy_bytes
from ringbuf.jit import cold_kernel
from shm_exchange import config
from tests.fuzz.inputs import LASTING, SIZE_MAX, Inputs, create_inputs, make_input
from tests.gateways.ouch_cases import GOOD
from tests.process.bystander import Bystander
from tests.process.conftest import Exchange
from tests.process.trading import (
    MARKET,
    PATIENCE_SECONDS,
    RawClient,
    feed_client,
    login,
    packet,
    ports,
    running,
)

CHUNK = 32  # inputs of one connection, then a logout
ATTACKERS = tuple(f"S{number}" for number in range(51, 67))
BYSTANDERS = ("S49", "S50")  # one at each gateway
TALKATIVE = MARKET.replace("[exchange]\n", '[exchange]\nlog_level = "debug"\n')  # of each end
SYMBOLS = (b"A01     ", b"A02     ", b"A03     ")
PRICE_UNIT = 10_000
_ENDED = re.compile(r"\((S\d\d)\): disconnected, (.*)")
ANSWERED = b"OUCDE"  # requests that are refused, and not the end, when a tag is wrong


@cold_kernel
def write_stream(inputs, buffer, starts):
    """Inputs one behind the other, as many as `starts` has room for; their size."""
    end = 0
    for place in range(len(starts)):
        starts[at(place)] = end
        size = make_input(inputs)
        copy_bytes(buffer, end, inputs.made, 0, size)
        end += size
    return end


@cold_kernel
def _closes(data, kind, offset, length, request, answered):
    """Why a packet ends its connection, or 0."""
    if kind == CLIENT_HEARTBEAT_TYPE or kind == DEBUG_TYPE:
        return 0
    if kind == LOGOUT_TYPE:
        return c.CLOSE_LOGOUT
    if kind != UNSEQUENCED_TYPE:
        return c.CLOSE_VIOLATION
    result = decode(data, offset, length, request)
    if result == OK:
        return 0
    if result == BAD_APPENDAGE:
        for each in answered:
            if each == request["type"]:
                return 0
    return c.CLOSE_OUCH


@cold_kernel
def foresee(data, size, request, answered):
    """How the connection must end that sends [0, size): why, and where the last packet begins."""
    place = 0
    while True:
        kind, payload, length, after = next_packet(data, place, size, PACKET_LENGTH_MAX)
        if kind == NEEDS_MORE:
            return c.CLOSE_PEER, place
        reason = c.CLOSE_VIOLATION
        if kind > 0:
            reason = _closes(data, kind, payload, length, request[0], answered)
        if reason:
            return reason, place
        place = after


def messages() -> list[bytes]:
    """Valid messages: every kind, and orders of both sides that meet."""
    kinds = [message for _, message, _ in GOOD if message[:1] in b"OUXMQ"]
    orders = []
    for each in (message for message in kinds if message[:1] == b"O"):
        for symbol in SYMBOLS:
            for side, price in ((b"B", 100_000), (b"S", 100_000), (b"S", 100_100), (b"B", 99_900)):
                order = each[:5] + side + (7).to_bytes(4, "big") + symbol
                orders.append(order + price.to_bytes(8, "big") + each[26:])
    return kinds + orders


class Attacker(threading.Thread):
    """One session: logs in, sends a chunk, logs out, reads until it is closed; and again."""

    def __init__(
        self, port: int, username: str, wanted: int, inputs: Inputs, stopping: threading.Event
    ) -> None:
        super().__init__()
        self.username = username
        self._port, self._wanted, self._inputs = port, wanted, inputs
        self._stopping = stopping
        self._buffer = np.zeros((CHUNK + 1) * SIZE_MAX, np.uint8)
        self._starts = np.zeros(CHUNK, np.int64)
        self._request = np.zeros(1, OUCH_REQUEST.dtype)
        self._answered = np.frombuffer(ANSWERED, np.uint8)
        self.read = 0  # inputs that have been read if the connections end as foreseen
        self.foreseen: list[str] = []  # how each connection ends
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Until enough of its inputs have been read."""
        try:
            while self.read < self._wanted and not self._stopping.is_set():
                self._attack()
        except BaseException as error:  # who waits for us says it
            self.fault = error
            self._stopping.set()

    def _attack(self) -> None:
        size = int(write_stream(self._inputs, self._buffer, self._starts))
        data = self._buffer[:size].tobytes() + packet(b"O")
        sent = np.frombuffer(data, np.uint8)
        reason, place = foresee(sent, len(sent), self._request, self._answered)
        with RawClient(self._port) as client, contextlib.suppress(ConnectionError):
            client.socket.settimeout(PATIENCE_SECONDS)
            client.send(login(self.username, sequence=0) + data)
            if reason == c.CLOSE_PEER:  # a length that lies has swallowed the logout
                client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(1 << 16):
                pass
        self.read += int((self._starts <= place).sum())
        self.foreseen.append(c.CLOSE_REASONS[reason])


def wrong_ends(it: Exchange, attackers: list[Attacker], said_before: int) -> list[str]:
    """What the gateways say of a connection's end that is not what its inputs call for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    wanted = {each.username: each.foreseen for each in attackers}
    told: dict[str, list[str]] = {}
    while time.monotonic() < deadline:
        told = {name: [] for name in wanted}
        for match in _ENDED.finditer(it.messages[said_before:]):
            if match[1] in told:
                told[match[1]].append(match[2])
        if all(len(told[name]) >= len(wanted[name]) for name in wanted):
            break
        time.sleep(0.1)
    faults = []
    for name, ends in wanted.items():
        if told[name] != ends:
            pairs = zip(told[name], ends, strict=False)
            place = next((n for n, (one, other) in enumerate(pairs) if one != other), None)
            faults.append(f"{name}: {len(ends)} ends, said {len(told[name])}; first at {place}")
    return faults


def feed_agrees(it: Exchange) -> bool:
    """Whether the book that the feed makes is the exchange's own, order by order."""
    configuration = config.load(it.file)
    with OwnReplica(configuration, it.name, 1, it.state) as replica:
        count = replica.feed_messages
        book = asyncio.run(_follow(ports(it, "market_data")[0], count))
        own = {}
        for number, instrument in enumerate(configuration.instruments_of(1)):
            for row in market_book(replica.market, 1, number):
                price = int(row["price"])
                own[int(row["reference"])] = (instrument.symbol, price, int(row["shares"]))
    told = {
        each.reference: (each.stock.strip(), int(each.price * PRICE_UNIT), each.shares)
        for each in book.orders.values()
    }
    return told == own


async def _follow(port: int, count: int) -> Book:
    book = Book()
    async with await feed_client(port) as client:
        for _ in range(count):
            book.apply((await anext(client)).message)
    return book


def attack(it: Exchange, wanted: int, seed: int) -> dict[str, Any]:
    """Send until `wanted` inputs have been read; what came of it. `faults`: all that went wrong."""
    before, pids, said_before = it.wait_ready(), it.pids(), len(it.messages)
    places = ports(it)
    stopping = threading.Event()
    share = -(-wanted // len(ATTACKERS))
    attackers = [
        Attacker(
            places[n % len(places)],
            name,
            share,
            create_inputs(seed * len(ATTACKERS) + n, LASTING, messages()),
            stopping,
        )
        for n, name in enumerate(ATTACKERS)
    ]
    with contextlib.ExitStack() as stack:
        pairs = zip(places, BYSTANDERS, strict=True)
        bystanders = [stack.enter_context(Bystander(*each)) for each in pairs]
        for each in attackers:
            each.start()
        for each in attackers:
            each.join()
    faults = [repr(each.fault) for each in attackers if each.fault is not None]
    faults += wrong_ends(it, attackers, said_before)
    after = it.wait_ready()
    if it.pids() != pids or after["engines"][0]["epoch"] != before["engines"][0]["epoch"]:
        faults.append(f"processes were restarted: {it.messages[-2000:]}")
    if not feed_agrees(it):
        faults.append("the feed's book is not the exchange's")
    latency = np.concatenate([np.array(each.latency_ns) for each in bystanders])
    percentiles = {f"p{p}": round(float(np.percentile(latency, p)) / 1000) for p in (50, 99)}
    ends = Counter(reason for each in attackers for reason in each.foreseen)
    found = {
        "read": sum(each.read for each in attackers),
        "connections": ends.total(),
        "ended_early": ends.total() - ends[c.CLOSE_REASONS[c.CLOSE_LOGOUT]],
        "rounds": len(latency),
    }
    return found | {"latency_us": percentiles, "faults": faults}


def storm(folder: Path, wanted: int, seed: int) -> dict[str, Any]:
    """The same at an exchange of its own."""
    with running(folder, TALKATIVE) as it:
        return attack(it, wanted, seed)
