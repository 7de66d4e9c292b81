"""Hostile inputs through TCP, at a whole exchange, beside a client that checks its own stream."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np

from gateways.feed_book import Book
from gateways.load.own_replica import OwnReplica, market_book
from ringbuf.bits import copy_bytes
from ringbuf.jit import cold_kernel
from shm_exchange import config
from tests.fuzz.inputs import LASTING, SIZE_MAX, Inputs, create_inputs, make_input
from tests.gateways.ouch_cases import GOOD
from tests.process.bystander import Bystander
from tests.process.conftest import Exchange
from tests.process.trading import (
    PATIENCE_SECONDS,
    RawClient,
    feed_client,
    login,
    packet,
    ports,
    running,
)

CHUNK = 32  # inputs of one connection, then a logout
CHUNKS_PER_ROUND = 50
ATTACKERS = ("S51", "S52", "S53", "S54")
BYSTANDER = "S50"
SYMBOLS = (b"A01     ", b"A02     ", b"A03     ")
PRICE_UNIT = 10_000
_ENDED = re.compile(r"\((S5[1-4])\): disconnected, (.*)")


@cold_kernel
def write_stream(inputs, buffer, count):
    """`count` inputs one behind the other; their size."""
    end = 0
    for _ in range(count):
        size = make_input(inputs)
        copy_bytes(buffer, end, inputs.made, 0, size)
        end += size
    return end


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
    """One session: logs in, sends a chunk, logs out, reads until it is closed."""

    def __init__(self, port: int, username: str, chunks: int, inputs: Inputs) -> None:
        super().__init__()
        self._port, self._username, self._chunks = port, username, chunks
        self._inputs = inputs
        self._buffer = np.zeros((CHUNK + 1) * SIZE_MAX, np.uint8)
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Its chunks."""
        try:
            for _ in range(self._chunks):
                self._attack()
        except BaseException as error:  # the round's thread raises it
            self.fault = error

    def _attack(self) -> None:
        size = int(write_stream(self._inputs, self._buffer, CHUNK))
        data = login(self._username, sequence=0) + self._buffer[:size].tobytes() + packet(b"O")
        with RawClient(self._port) as client, contextlib.suppress(ConnectionError):
            client.socket.settimeout(PATIENCE_SECONDS)
            client.send(data)
            while client.socket.recv(1 << 16):
                pass


def read_inputs(it: Exchange) -> tuple[int, int]:
    """How many inputs were read for certain, and how many connections ended before their end."""
    reasons = [match[2] for match in _ENDED.finditer(it.messages)]
    whole = sum(each == "logout" for each in reasons)
    return whole * CHUNK + len(reasons) - whole, len(reasons) - whole


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
    before, pids = it.wait_ready(), it.pids()
    sources = [create_inputs(seed + n, LASTING, messages()) for n in range(len(ATTACKERS))]
    faults: list[str] = []
    with Bystander(ports(it)[0], BYSTANDER) as bystander:
        while not faults and (read := read_inputs(it))[0] < wanted:
            missing = (wanted - read[0]) // CHUNK // len(ATTACKERS)
            faults = _round(it, sources, min(CHUNKS_PER_ROUND, 1 + missing))
    after = it.wait_ready()
    if it.pids() != pids or after["engines"][0]["epoch"] != before["engines"][0]["epoch"]:
        faults.append(f"processes were restarted: {it.messages[-2000:]}")
    if not feed_agrees(it):
        faults.append("the feed's book is not the exchange's")
    latency = np.array(bystander.latency_ns)
    percentiles = {f"p{p}": round(float(np.percentile(latency, p)) / 1000) for p in (50, 99)}
    found = {"read": read[0], "ended_early": read[1], "rounds": len(latency)}
    return found | {"latency_us": percentiles, "faults": faults}


def _round(it: Exchange, sources: list[Inputs], chunks: int) -> list[str]:
    """Some chunks of every attacker; what went wrong."""
    places = ports(it)
    threads = [
        Attacker(places[n % len(places)], name, chunks, source)
        for n, (name, source) in enumerate(zip(ATTACKERS, sources, strict=True))
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return [repr(each.fault) for each in threads if each.fault is not None]


def storm(folder: Path, wanted: int, seed: int) -> dict[str, Any]:
    """The same at an exchange of its own."""
    with running(folder) as it:
        return attack(it, wanted, seed)
