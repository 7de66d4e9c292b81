"""Engines and ITCH readers of others, from PyPI, on the same flow as ours. Needs the extra `peers`.

    .venv/bin/python -m pip install -e '.[peers]'

Engines: every message of a generated flow, one after the other. Of a peer is included what its user
pays for: the call from Python and the objects it makes. Ours matches compiled commands from memory,
keeps the state hash and sessions, makes the events, and publishes them to a ring without a reader;
not included are sockets and codecs. So the ratio says what another one costs a Python program, not
how good its algorithm is. Whether a peer has traded as many lots as ours is noted with each.

Readers: the feed of the same flow as bytes, message by message into objects; `meatpy` rebuilds its
book as well. Ours decodes into a record. Not included: sockets and packets. In turns; the best
round of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from gateways.itch.codec import OK, decode
from gateways.itch.feed_log import FILE, LIMIT, SIZE, STRIDE_BITS, WORD_COUNT, FeedLog, append
from gateways.itch.messages import ITCH_MESSAGE_DTYPE
from gateways.itch.outbound import KNOWN_WORDS, note
from gateways.packets import HEADER_SIZE, LENGTH_SIZE
from perf.flow_events import events_of
from perf.peers import ENGINES, READERS, PeerMissingError, play
from perf.results_file import in_turns
from ringbuf.bits import at, load_big_2
from ringbuf.jit import kernel
from shm_exchange.flow import Flow, generate
from shm_exchange.flow_commands import Player, Tape, market_of, tape_of
from shm_exchange.messages import EventKind
from shm_exchange.replica import apply

MESSAGES = 20_000
ROUNDS = 5
ROWS = 64


@kernel
def _feed(market, events, log, known):
    for index in range(len(events)):
        note(market, events[at(index)], known)
        apply(market, events, index, index)
        append(log, events[at(index)], index, market, known)


@kernel
def _read(data, end, rows):
    """How many messages of the packets in [0, end) were good."""
    offset, good = 0, 0
    while offset < end:
        length = load_big_2(data, offset)
        start = offset + HEADER_SIZE
        row = rows[at(good & (ROWS - 1))]
        good += decode(data, start, length - (HEADER_SIZE - LENGTH_SIZE), row) == OK
        offset += LENGTH_SIZE + length
    return good


@lru_cache(maxsize=1)
def _flow() -> tuple[Flow, Tape]:
    flow = generate(MESSAGES, 1)
    return flow, tape_of(flow)


def _match(tape: Tape) -> float:
    """Seconds of ours."""
    player = Player(tape)
    began = time.perf_counter()
    for _ in player.until(len(tape.commands)):
        pass
    return time.perf_counter() - began


def _seconds(work: Callable[[], int], wanted: int) -> tuple[float, bool]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found == wanted


@pytest.mark.parametrize("peer", ENGINES, ids=[each.PACKAGE for each in ENGINES])
def test_engine(benchmark: Any, peer: Any) -> None:
    """Messages per second."""
    try:
        peer()
    except PeerMissingError as error:
        pytest.skip(str(error))
    flow, tape = _flow()
    events = events_of(tape)
    lots = int(events["quantity"][events["kind"] == EventKind.EXECUTED].sum())
    ours, theirs, agrees = [], [], True

    def measure() -> None:
        nonlocal agrees
        for _ in range(ROUNDS):
            ours.append(_match(tape))
            engine = peer()
            seconds, same = _seconds(lambda engine=engine: play(engine, flow), lots)
            theirs.append(seconds)
            agrees = agrees and same

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(_noted(ours, theirs), same_lots_traded=agrees)
    assert lots > 0


@lru_cache(maxsize=1)
def _feed_of_the_flow() -> tuple[np.ndarray, list[bytes]]:
    """As packets, uint8[n], and as messages."""
    _, tape = _flow()
    events = events_of(tape)
    size = 256 * len(events)
    log = FeedLog(np.zeros(size, np.uint8), np.zeros(size >> STRIDE_BITS, np.int64), _words(size))
    _feed(market_of(tape), events, log, np.zeros(KNOWN_WORDS, np.int64))
    data, messages, offset = log.data[: int(log.words[SIZE])].copy(), [], 0
    while offset < len(data):
        end = offset + LENGTH_SIZE + int.from_bytes(data[offset : offset + LENGTH_SIZE], "big")
        messages.append(data[offset + HEADER_SIZE : end].tobytes())
        offset = end
    return data, messages


def _words(size: int) -> np.ndarray:
    words = np.zeros(WORD_COUNT, np.int64)
    words[LIMIT], words[FILE] = size, -1
    return words


@pytest.mark.parametrize("peer", READERS)
def test_reader(benchmark: Any, peer: str) -> None:
    """Feed messages per second."""
    try:
        read = READERS[peer]()
    except PeerMissingError as error:
        pytest.skip(str(error))
    data, messages = _feed_of_the_flow()
    rows = np.zeros(ROWS, ITCH_MESSAGE_DTYPE)
    assert _read(data, len(data), rows) == len(messages)
    ours, theirs = [], []

    def measure() -> None:
        for _ in range(ROUNDS):
            count = len(messages)
            ours.append(_seconds(lambda: int(_read(data, len(data), rows)), count)[0])
            seconds, whole = _seconds(lambda: read(messages), count)
            theirs.append(seconds)
            assert whole

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(_noted(ours, theirs, len(messages)))


def _noted(ours: list[float], theirs: list[float], count: int = MESSAGES) -> dict[str, Any]:
    return {
        "messages_per_second": round(count / min(ours)),
        "peer_messages_per_second": round(count / min(theirs)),
        "times_as_fast": round(min(theirs) / min(ours), 1),
        "rounds": in_turns(ours, theirs),
    }
