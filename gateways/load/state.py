"""Declaration: everything that the loop of the load driver touches.

Connections 0 to n-1 are order sessions, connection n is the feed. A request is a flow message on
its way; the requests of a session are answered in the order in which they were sent, so an answer
to one says that those before it will not be answered any more.
"""

from typing import NamedTuple

import numpy as np

from gateways.connection import Connections
from gateways.load.live_prices import LivePrices
from gateways.load.rebuilt_book import RebuiltBook
from ringbuf.schema import Field, Record
from ringbuf.state import State

WINDOW = 512  # requests that are on their way, of all sessions about; a power of two
WINDOW_MIN = 16  # of one session, if there are many
READY_PER_PASS = 64  # sockets that one pass serves
EPOLL_EVENT_SIZE = 12
NO_STOP = 1 << 62

# Subscripts of Load.words
EPOLL = 0
CURSOR = 1  # flow messages sent so far
STARTED_NS = 2
ENDED_NS = 3
INTERVAL_PS = 4  # between two messages, picoseconds; 0: as fast as possible
SYMBOL = 5  # raw
FEED_STOP = 6  # messages of the feed that are to be read, no more
FINISHED = 7  # sessions whose every request is settled
WHO = 8  # the connection that an outcome is about
NEXT_TIMER_NS = 9
ACCEPTED = 10
TRADES = 11
CANCELLED = 12
REJECTED = 13
IGNORED = 14
TRADES_KEPT = 15
LIMIT = 16  # requests that one session may have on their way, at most WINDOW
WORD_COUNT = 32

# How the loop ends: the time slice is over, everything is done, or something happened to WHO.
SLICE, DONE, LOST, VIOLATION, ENDED, EXHAUSTED = 0, 1, 2, 3, 4, 5

# States of a session
STARTING, SENDING, CLOSING, CLOSED = 0, 1, 2, 3

FLOW_MESSAGE = Record(
    name="flow_message",
    size=40,
    doc="A message of the flow, ready to be written. Read only.",
    fields=(
        Field("kind", "u1", doc="NEW, CANCEL, MODIFY, REDUCE of a flow"),
        Field("side", "a", doc="`B` `S`"),
        Field("time_in_force", "a"),
        Field("reserved_0", "u1"),
        Field("session", "i4", doc="which session sends it"),
        Field("order", "i4", doc="subscript of its order"),
        Field("quantity", "i4"),
        Field("price", "i8", doc="units of 0.0001"),
        Field("order_id", "i8", doc="as in the flow"),
        Field("level", "i8", doc="NEW, MODIFY: price in ticks above the lowest of the flow"),
    ),
)

FLOW_ORDER = Record(
    name="flow_order",
    size=64,
    doc="An order of the flow, as its session knows it.",
    fields=(
        Field("user_ref", "i8", doc="current UserRefNum, 0 = not entered"),
        Field("total", "i8", doc="what the chain was last told to be"),
        Field("executed", "i8", doc="what the chain has traded"),
        Field("leaves", "i8", doc="what is open"),
        Field("price", "i8", doc="as last told"),
        Field("side", "i8", doc="`B` `S`"),
        Field("reserved_0", "i8", repeat=2),
    ),
)

REQUEST = Record(
    name="load_request",
    size=64,
    doc="A request that is on its way, or answered by something that more may follow.",
    fields=(
        Field("message", "i8", doc="of the flow"),
        Field("sent_ns", "i8"),
        Field("user_ref", "i8", doc="NEW, MODIFY: its own; else that of the order"),
        Field("original", "i8", doc="the order's UserRefNum when it was sent"),
        Field("quantity", "i8", doc="as sent"),
        Field("answered", "i8"),
        Field("may_take", "i8", doc="1: when it was sent it could have found somebody"),
        Field("reserved_0", "i8"),
    ),
)

LOAD_SESSION = Record(
    name="load_session",
    size=96,
    doc="An order session of the driver.",
    fields=(
        Field("first", "i8", doc="position of the oldest request that is not settled"),
        Field("next", "i8", doc="position of the next request"),
        Field("base_ref", "i8", doc="first UserRefNum of ours, 0 = not asked yet"),
        Field("next_ref", "i8"),
        Field("owners_first", "i8", doc="where its part of `owners` begins"),
        Field("owners_count", "i8"),
        Field("queries_sent", "i8"),
        Field("queries_answered", "i8"),
        Field("awaited", "i8", doc="answers to queries that make the barrier; 0 = no barrier"),
        Field("barrier", "i8", doc="requests below this position are behind the barrier"),
        Field("state", "i8"),
        Field("reserved_0", "i8"),
    ),
)

TRADE = Record(
    name="load_trade",
    size=24,
    doc="One side of a trade.",
    fields=(
        Field("match_number", "i8"),
        Field("message", "i8", doc="that gave the order its current number"),
        Field("taker", "i8"),
    ),
)


@State.register
class Load(NamedTuple):
    """Private to the driver's thread."""

    messages: np.ndarray  # FLOW_MESSAGE[messages]
    orders: np.ndarray  # FLOW_ORDER[orders]
    sessions: np.ndarray  # LOAD_SESSION[sessions]
    requests: np.ndarray  # REQUEST[WINDOW * sessions]
    owners: np.ndarray  # int32: flow message by UserRefNum, a part for each session
    trades: np.ndarray  # TRADE[n]; what does not fit is counted only
    latencies: np.ndarray  # int64[messages]: ns to the first answer, -1 = none
    live: LivePrices
    book: RebuiltBook
    connections: Connections
    words: np.ndarray  # int64[32]
    clock: np.ndarray  # int64[2]
    ready: np.ndarray  # uint8[12 * 64], struct epoll_event
    feed_message: np.ndarray  # ITCH_MESSAGE[1]
