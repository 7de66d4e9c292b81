"""Declaration: the state of one engine's market, as the matcher and every replica hold it.

All arrays are allocated once. Addresses are indices: an order is known by its slot, a price
level by its number, a tree node by its number. `orders` is sparse (64 << 24 slots are reserved,
and only the touched pages exist), so a gateway's partition can grow without moving anything.

One price tree per side of a book: bids are entered under the mirrored price, so that on either
side the smaller key is the better price, and the book is written once.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

import numpy as np

from ringbuf.schema import Field, Record
from ringbuf.state import State
from shm_exchange.messages import (
    BLANK_FIRM,
    GATEWAY_LIMIT,
    NONE,
    ORDER_TAGS,
    SLOT_BITS,
    USER_REF_INDEX_COUNT,
)

PROTECTION_BLOCK = 8  # protections of a session
PROTECTION_BLOCKS = 1 << 10  # sessions of an engine that have any, and one unused
QUOTE_IDS = 256  # of a session: 1 to this
FILLS_MAX = 256  # executions in a protection's window
FOREVER = 1 << 62  # a freeze that only a reset ends
EXPIRY_LIMIT = 1 << 20  # orders that end at a time, at one time in one engine
NO_KEY = 1 << 40  # larger than every key: an empty side
BRANCH_SHIFT = 12  # keys that agree above it hang below one lowest inner node
NODES_PER_PAGE = 4  # a key has at most 31 bits: a leaf, a root and so many inner nodes between
BOUGH_SHIFT = 18  # likewise below one inner node of the next level
BRANCHES = 8  # inner nodes of each of these levels that a side remembers, a power of two
NO_SLOT = 0  # source 0 owns no orders, so that zeroed memory is an empty book
_MAP_NORESERVE = 0x4000  # Linux, <bits/mman.h>; Python 3.11 does not name it
BUY, SELL = 0, 1  # subscripts of a book's sides
LIMIT_COUNT = 8  # limits of a session, one to spare

# How far the streams have begun: not, messages, system, market.
STAGE_NONE, STAGE_MESSAGES, STAGE_SYSTEM, STAGE_MARKET = 0, 1, 2, 3

# Order states
FREE = 0
WORKING = 1  # accepted, being matched, not in the book
RESTING = 2

ORDER = Record(
    name="order",
    size=64,
    doc="A live order. One cache line; what matching never reads is not here. What a command or an "
    "event has too is at the same place of a word, so that words are copied.",
    fields=(
        Field("reference", "i8", doc="position of the event that gave it its place in the queue"),
        Field("state", "u1", doc="FREE, WORKING, RESTING"),
        Field("flags", "u1", doc="of CommandFlag: what lasts, RESERVE, HIDDEN and TAGS"),
        Field("protection_group", "u1", doc="its session's protection that counts it, or 0"),
        Field("side", "a", doc="`B` `S` `T` `E`"),
        Field("instrument", "u2"),
        Field("time_in_force", "a"),
        Field("display", "a"),
        Field("price", "i4", doc="ticks"),
        Field("leaves", "i4", doc="lots still open"),
        Field("next", "i4", doc="slot of the order behind it in its level, or 0"),
        Field("user_ref", "u4", doc="current UserRefNum"),
        Field("session", "u2"),
        Field("user_ref_index", "u1"),
        Field("capacity", "a"),
        Field("executed", "i4", doc="lots that the chain has traded"),
        Field("previous", "i4", doc="slot of the order before it, or 0; matched: its minimum"),
        Field("level", "i4", doc="the level it queues in"),
        Field("displayed", "i4", doc="lots that trade before it is refreshed, or all"),
        Field("decremented", "i4", doc="lots that the chain has lost to self-match prevention"),
        Field("expiry", "i4", doc="subscript in `expiries`, or 0"),
        Field("display_quantity", "i4", doc="MaxFloor of a reserve order, lots; else 0"),
    ),
)

EXPIRY = Record(
    name="expiry",
    size=16,
    doc="An order that ends at a time: an entry of a heap.",
    fields=(
        Field("due_ns", "i8", doc="ns since the epoch"),
        Field("slot", "i4"),
        Field("reserved_0", "i4"),
    ),
)

PROTECTION = Record(
    name="protection",
    size=80,
    doc="Market-maker protection of one group of one session. The window is a ring of FILLs.",
    fields=(
        Field("window_ns", "i8"),
        Field("frozen_ns", "i8", doc="how long it freezes; 0: until a reset"),
        Field("frozen_until_ns", "i8", doc="ns since the epoch, FOREVER: until a reset; 0: not"),
        Field("quantity", "i8", doc="lots executed in the window"),
        Field("net", "i8", doc="lots bought less sold in the window"),
        Field("execution_limit", "i4", doc="0: none, as in the other limits"),
        Field("quantity_limit", "i4"),
        Field("net_limit", "i4", doc="long or short"),
        Field("first", "i4", doc="subscript of the oldest fill in the window"),
        Field("executions", "i4", doc="in the window"),
        Field("session", "u2"),
        Field("group_id", "u2", doc="tag 24 of its orders; 0: the row is free"),
        Field("instrument", "u2", doc="the one whose orders it counts, or ALL_INSTRUMENTS"),
        Field("due", "u1", doc="1: a limit is reached, and it has not fired yet"),
        Field("reserved_0", "u1"),
        Field("reserved_1", "i4"),
        Field("reserved_2", "i8"),
    ),
)

FILL = Record(
    name="fill",
    size=16,
    doc="One execution in the window of a protection.",
    fields=(
        Field("time_ns", "i8"),
        Field("quantity", "i4", doc="lots; sold: negative"),
        Field("reserved_0", "i4"),
    ),
)

SESSION_LINK = Record(
    name="session_link",
    size=8,
    doc="Place of a resting order in the ring of its session's orders, by slot.",
    fields=(
        Field("next", "i4", doc="slot of the order behind it; of the last: the session's own link"),
        Field("previous", "i4", doc="slot of the order before it, likewise"),
    ),
)

LEVEL = Record(
    name="level",
    size=16,
    doc="The queue of one price on one side: displayed before hidden, then time.",
    fields=(
        Field("first", "i4", doc="slot of the first displayed order, or 0"),
        Field("last", "i4", doc="slot of the last displayed order, or 0"),
        Field("hidden_first", "i4"),
        Field("hidden_last", "i4"),
    ),
)

BRANCH = Record(
    name="branch",
    size=8,
    doc="An inner node that a side remembers, see shm_exchange.price_tree.",
    fields=(
        Field("upper", "i4", doc="1 + what the keys below it have in common; 0: nothing yet"),
        Field("node", "i4"),
    ),
)

BOOK_SIDE = Record(
    name="book_side",
    size=64,
    doc="One side of one instrument's book.",
    fields=(
        Field("best", "i8", doc="smallest occupied key, or NO_KEY"),
        Field("mirror", "i8", doc="key = price ^ mirror: 0 for asks, all ones for bids"),
        Field("root", "i4", doc="number of the root node"),
        Field("top_shift", "i4", doc="6 * height: shift that selects the root's child"),
        Field("best_level", "i4", doc="level of the best key, or 0"),
        Field("reserved_0", "i4"),
        Field("reserved_1", "i8", repeat=4),
    ),
)

INSTRUMENT = Record(
    name="instrument",
    size=64,
    doc="An instrument as configured: prices are ticks, quantities lots.",
    fields=(
        Field("symbol", "i8", doc="8 ASCII characters as on the wire"),
        Field("tick", "i8", doc="size of a tick in units of 0.0001"),
        Field("price_min", "i4", doc="lower band, ticks"),
        Field("price_max", "i4", doc="upper band, ticks"),
        Field("lot", "i4", doc="round lot of ITCH R"),
        Field("quantity_max", "i4", doc="largest order, lots"),
        Field("state", "a", doc="ITCH H: `T` open, `Q` cancel-only, `H` halted"),
        Field("listed", "u1", doc="1 once its LISTED event is out"),
        Field("reserved_0", "u1", repeat=2),
        Field("price_last", "i4", doc="replicas: price of the last trade, ticks; 0: none yet"),
        Field("state_reason", "i4", doc="four characters of ITCH H, or 0"),
        Field("reserved_1", "i4"),
        Field("reserved_2", "i8", repeat=2),
    ),
)

SESSION = Record(
    name="session",
    size=64,
    doc="A session of this engine.",
    fields=(
        Field("messages", "i8", doc="replicas: sequenced messages of its stream so far"),
        Field("generation", "u4", doc="raised by every LOGIN"),
        Field("gateway", "u2", doc="where it is logged in"),
        Field("connected", "u1"),
        Field("disabled", "u1", doc="order entry: bit 0 by the session itself, bit 1 by its firm"),
        Field("connection", "i4", doc="connection number at its gateway, or -1"),
        Field("known", "u1", doc="1 once its stream has begun"),
        Field("cancel_on_disconnect", "u1", doc="as configured"),
        Field("self_trade", "a", doc="as configured: mode of self-trade prevention, or 0"),
        Field("self_trade_scope", "a", doc="as configured: who is the owner, `S` `F` `G`"),
        Field("firm", "i4", doc="as configured: four characters"),
        Field("self_trade_group", "u2", doc="as configured: group of its orders, or 0"),
        Field("protections", "u2", doc="block of its protections and quotes, or 0"),
        Field("reserved_2", "i8", repeat=3),
        Field("copies", "u2", doc="as configured: first drop copy of what it is told + 1, or 0"),
        Field("copies_next", "u2", doc="of a drop copy: the next one of its firm + 1, or 0"),
        Field("drop_copy", "u1", doc="as configured: 1: it hears its firm and asks nothing"),
        Field("reserved_3", "u1", repeat=3),
    ),
)

GATEWAY = Record(
    name="gateway",
    size=64,
    doc="A source of commands.",
    fields=(
        Field("command_next", "i8", doc="position of its next command"),
        Field("incarnation", "i8"),
        Field("slots_high_water", "i4", doc="no order ever had this index or a larger one"),
        Field("alive", "i4"),
        Field("reserved_0", "i8", repeat=5),
    ),
)

SCALARS = Record(
    name="scalars",
    size=192,
    doc="The single values of a market.",
    fields=(
        Field("position", "i8", doc="position of the next event"),
        Field("stamp_ns", "i8", doc="stamp of the last command"),
        Field("hash", "i8", doc="state hash: live orders, sessions, user references"),
        Field("epoch", "i8"),
        Field("feed_messages", "i8", doc="replicas: ITCH messages so far"),
        Field("trades", "i8"),
        Field("orders", "i8", doc="count of resting orders"),
        Field("node_free", "i4", doc="first free inner node, or 0"),
        Field("node_next", "i4", doc="inner nodes from here on were never used"),
        Field("leaf_free", "i4"),
        Field("leaf_next", "i4"),
        Field("stream_0", "i8", doc="SoupBinTCP session id, bytes 0-7"),
        Field("stream_1", "i8", doc="SoupBinTCP session id, bytes 8-9"),
        Field("slots_per_gateway", "i4"),
        Field("engine", "i4", doc="number of the engine"),
        Field("continuing", "i4", doc="where a command goes on in the next part: a slot"),
        Field("instruments_listed", "i4", doc="instruments whose LISTED event is out"),
        Field("continuing_next", "i8", doc="source_next of that order's command"),
        Field("sessions_known", "i8", doc="sessions whose streams have begun"),
        Field("attested", "i8", doc="position behind the last ATTESTED"),
        Field("differs", "i8", doc="replicas: position of an ATTESTED that was not theirs, or 0"),
        Field("continuing_kind", "i8", doc="Continuing: what goes on before any other command"),
        Field("rolled", "i8", doc="position behind the last ROLLED"),
        Field("stage", "i4", doc="how far the streams have begun: STAGE_*"),
        Field("pages", "i4", doc="leaves in use, and leaf 0, which never is"),
        Field("mass_firm", "i4", doc="filter of the last MASS_CANCELLED: blank: own session only"),
        Field("mass_instrument", "u2", doc="likewise, or ALL_INSTRUMENTS"),
        Field("mass_session", "u2", doc="likewise: who asked"),
        Field("mass_group", "u2", doc="likewise, or 0"),
        Field("mass_side", "a", doc="likewise: `B` or `S`, or 0"),
        Field("reserved_0", "u1"),
        Field("protections_due", "u2", doc="protections whose limit is reached, not yet fired"),
        Field("protection_due", "u2", doc="row of the first of them"),
        Field("expiries", "i8", doc="entries of the heap of orders that end at a time"),
        Field("protection_blocks", "i4", doc="blocks of protections and quotes in use"),
        Field("protection_fired", "i4", doc="row of the protection that fired last"),
    ),
)

RECORDS = (
    ORDER,
    EXPIRY,
    PROTECTION,
    FILL,
    SESSION_LINK,
    LEVEL,
    BRANCH,
    BOOK_SIDE,
    INSTRUMENT,
    SESSION,
    GATEWAY,
    SCALARS,
)


@State.register
class Market(NamedTuple):
    """The state of one engine. Every kernel of matching and replica takes it first."""

    orders: np.ndarray  # ORDER[gateways << 24], by slot
    session_links: np.ndarray  # SESSION_LINK[gateways << 24], by slot; from 1 on: of the sessions
    levels: np.ndarray  # LEVEL[64 * leaves]
    leaf_words: np.ndarray  # int64[leaves]: bit n = level n of the leaf is occupied
    node_words: np.ndarray  # int64[nodes]: bit n = child n has something
    node_children: np.ndarray  # int32[64 * nodes]
    branches: np.ndarray  # BRANCH[16 * sides]: inner nodes used last
    sides: np.ndarray  # BOOK_SIDE[2 * instruments]: BUY, SELL of each
    instruments: np.ndarray  # INSTRUMENT[instruments]
    sessions: np.ndarray  # SESSION[sessions]
    user_refs: np.ndarray  # uint32[256 * sessions]: last UserRefNum per session and channel
    positions: np.ndarray  # int64[sessions * instruments]: lots bought less sold; replicas
    limits: np.ndarray  # int64[8 * sessions]: set by an operator, -1 none, 0 as configured
    gateways: np.ndarray  # GATEWAY[64]
    scalars: np.ndarray  # SCALARS[1]
    tags: np.ndarray  # ORDER_TAGS[as orders]: rare attributes, of orders with the flag TAGS
    expiries: np.ndarray  # EXPIRY[limit + 1]: a heap from 1 on, the earliest on top
    protections: np.ndarray  # PROTECTION[blocks * 8], those of a session together
    quotes: np.ndarray  # int32[blocks * 512]: slot of the bid and of the ask of each quote id
    fills: np.ndarray  # FILL[as protections * 256]: the window of each, a ring


def sparse(dtype: np.dtype | type, count: int) -> np.ndarray:
    """Zeroed memory whose untouched pages do not exist. Raises OSError when refused."""
    dtype = np.dtype(dtype)
    size = max(1, count) * dtype.itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), dtype=dtype, count=count)


def create_market(
    instruments: np.ndarray,
    session_count: int,
    *,
    engine: int = 1,
    gateway_count: int = GATEWAY_LIMIT,
    slots_per_gateway: int = 1 << 20,
    page_limit: int = 1 << 20,
) -> Market:
    """An empty market: no order, no event, position 0.

    instruments: INSTRUMENT[n] as configured. page_limit: pages of 64 price levels. They and the
    inner nodes of the trees, enough for any keys, are virtual memory until used.
    """
    node_count = NODES_PER_PAGE * page_limit + 2 * len(instruments) + 1
    market = Market(
        orders=sparse(ORDER.dtype, gateway_count << SLOT_BITS),
        session_links=sparse(SESSION_LINK.dtype, gateway_count << SLOT_BITS),
        levels=sparse(LEVEL.dtype, 64 * page_limit),
        leaf_words=sparse(np.int64, page_limit),
        node_words=sparse(np.int64, node_count),
        node_children=sparse(np.int32, 64 * node_count),
        branches=np.zeros(2 * BRANCHES * 2 * len(instruments), BRANCH.dtype),
        sides=np.zeros(2 * len(instruments), BOOK_SIDE.dtype),
        instruments=instruments.copy(),
        sessions=np.zeros(session_count, SESSION.dtype),
        user_refs=np.zeros(session_count * USER_REF_INDEX_COUNT, np.uint32),
        positions=sparse(np.int64, session_count * len(instruments)),
        limits=np.zeros(LIMIT_COUNT * session_count, np.int64),
        gateways=np.zeros(GATEWAY_LIMIT, GATEWAY.dtype),
        scalars=np.zeros(1, SCALARS.dtype),
        tags=sparse(ORDER_TAGS.dtype, gateway_count << SLOT_BITS),
        expiries=sparse(EXPIRY.dtype, EXPIRY_LIMIT + 1),
        protections=sparse(PROTECTION.dtype, PROTECTION_BLOCKS * PROTECTION_BLOCK),
        quotes=sparse(np.int32, PROTECTION_BLOCKS * QUOTE_IDS * 2),
        fills=sparse(FILL.dtype, PROTECTION_BLOCKS * PROTECTION_BLOCK * FILLS_MAX),
    )
    market.sessions["connection"] = NONE
    market.sessions["firm"] = BLANK_FIRM
    own_links = np.arange(1, session_count + 1)
    market.session_links["next"][own_links] = own_links
    market.session_links["previous"][own_links] = own_links
    scalars = market.scalars[0]
    scalars["slots_per_gateway"] = slots_per_gateway
    scalars["engine"] = engine
    for number, instrument in enumerate(instruments):
        bits = max(7, int(instrument["price_max"]).bit_length())
        for side in (BUY, SELL):
            row = market.sides[2 * number + side]
            row["best"] = NO_KEY
            row["mirror"] = (1 << bits) - 1 if side == BUY else 0
            row["root"] = 2 * number + side + 1
            row["top_shift"] = 6 * ((bits - 1) // 6)
    scalars["node_next"] = 2 * len(instruments) + 1  # node 0 is never used: 0 means none
    scalars["leaf_next"] = scalars["pages"] = 1  # leaf 0 is never used: 0 means none
    return market
