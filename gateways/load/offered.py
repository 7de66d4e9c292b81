"""Shell: orders offered to a connection at a rate, and what became of them."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from gateways.load import open_loop
from gateways.load.logins import ReplayError
from gateways.load.open_loop import MARK_DTYPE, OpenLoop
from gateways.ouch.messages import ENTER_ORDER
from gateways.ouch.tag_text import pack_tags
from gateways.ouch.tags import Tag
from gateways.packets import UNSEQUENCED_TYPE
from gateways.sessions import packet
from gateways.typed import pack
from ringbuf.waiting import YIELD

PATIENCE_SECONDS = 10.0  # beyond the schedule, for what has piled up
TOLD_SECONDS = 0.2  # for times that are told behind an answer, and may not be told at all
_OUTCOMES = {
    open_loop.LATE: "left orders unanswered; is the exchange halted?",
    open_loop.GONE: "closed the connection; does somebody else use the session?",
    open_loop.ENDED: "ended the session: it stops, or the day has rolled",
    open_loop.TRADED: "traded an order that should not have: choose a price farther away",
    open_loop.CONFUSED: "answered an order twice, or broke the protocol",
}


class Offered(NamedTuple):
    """One run. marks: MARK_DTYPE[orders], all answered."""

    marks: np.ndarray
    orders_per_second: float  # answered, from the first order's due time to the last answer


def immediate_order(
    symbol: str, price: Decimal, quantity: int, *, side: str = "B", timed: bool = False
) -> np.ndarray:
    """An order as a packet, without UserRefNum: what does not trade at once is cancelled at once.

    timed: with tag 143, which asks where its time went.
    """
    tags = pack_tags({Tag.TIMES_ASKED: "Y"}) if timed else b""
    message = pack(
        ENTER_ORDER,
        "O",
        user_ref_num=0,
        side=side,
        quantity=quantity,
        symbol=symbol,
        price=price,
        time_in_force="3",
        display="Y",
        capacity="P",
        sweep="N",
        cross_type="N",
        client_order_id="LATENCY",
        appendage_length=len(tags),
    )
    return np.frombuffer(packet(UNSEQUENCED_TYPE, message + tags), np.uint8).copy()


def offer(
    descriptor: int,
    request: np.ndarray,
    first_ref: int,
    rate: float,
    count: int,
    *,
    timed: bool = False,
    policy: int = YIELD,
) -> Offered:
    """Send `count` orders at `rate` per second, numbered from `first_ref` on. Raises ReplayError.

    descriptor: of a connection that is logged in, or to an echo. policy: how to wait.
    """
    loop = _prepare(descriptor, request, count)
    words = loop.words
    words[open_loop.FIRST_REF] = first_ref
    words[open_loop.INTERVAL_PS] = max(1, int(1e12 / rate))
    words[open_loop.POLICY] = policy
    words[open_loop.TIMED] = timed
    words[open_loop.STARTED_NS] = started = time.monotonic_ns() + 1_000_000
    seconds = count / rate + (TOLD_SECONDS if timed else PATIENCE_SECONDS)
    outcome = open_loop.run(loop, started + int(seconds * 1e9))
    answered = int(words[open_loop.COUNT_ANSWERED])
    if outcome == open_loop.REFUSED:
        raise ReplayError(
            f"the exchange rejected an order with reason {int(words[open_loop.REASON]):04X}; "
            "docs/protocols.md says what that means"
        )
    if outcome != open_loop.DONE and not (timed and answered == count):
        raise ReplayError(f"the exchange {_OUTCOMES[outcome]}")
    taken_ns = int(loop.marks["answered_ns"].max()) - started
    return Offered(loop.marks, count * 1e9 / taken_ns)


def warm_up(request: np.ndarray) -> None:
    """Load the machine code of the loop, without a connection."""
    loop = _prepare(-1, request, 1)
    loop.words[open_loop.INTERVAL_PS] = 1
    assert open_loop.run(loop, 0) == open_loop.GONE


def _prepare(descriptor: int, request: np.ndarray, count: int) -> OpenLoop:
    words = np.zeros(open_loop.WORD_COUNT, np.int64)
    words[open_loop.FD] = descriptor
    return OpenLoop(
        words=words,
        request=request,
        outbound=np.zeros(open_loop.BATCH * len(request), np.uint8),
        inbox=np.zeros(open_loop.INBOX_SIZE, np.uint8),
        marks=np.zeros(count, MARK_DTYPE),
        clock=np.zeros(2, np.int64),
    )
