"""A real event stream and the scenery around it, for the tests of everything on disk."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ringbuf.broadcast import NO_GATE, PUBLISHED, RECORDED, Broadcast, claim, publish
from ringbuf.layout import BROADCAST_CURSORS, WORD_SIZE
from shm_exchange.flow import generate
from shm_exchange.flow_commands import Player, Tape, market_of, tape_of
from shm_exchange.history import ring_slices
from shm_exchange.journal_segment import Owner
from shm_exchange.market import (
    FILLS_MAX,
    PROTECTION_BLOCK,
    QUOTE_IDS,
    RESTING,
    Market,
)
from shm_exchange.messages import EVENT_DTYPE, CommandFlag, EventKind
from shm_exchange.snapshot import live_slots

OWNER = Owner.of(0x1234_5678_9ABC, 1)
NOW_NS = 1_700_000_000_000_000_000
MESSAGES = 4000


@lru_cache(maxsize=1)
def tape() -> Tape:
    """The commands of a generated flow."""
    return tape_of(generate(MESSAGES, seed=7))


@lru_cache(maxsize=1)
def matched() -> tuple[np.ndarray, Market]:
    """All events of the flow, and the matcher's market at the end."""
    player = Player(tape())
    parts = [part.view(np.uint8).copy() for part in player.until(len(tape().commands))]
    return np.concatenate(parts).view(EVENT_DTYPE), player.market


def events() -> np.ndarray:
    """All events of the flow, from position 0 on."""
    return matched()[0]


def fresh_market() -> Market:
    """An empty market that can hold the flow."""
    return market_of(tape())


def make_ring(capacity: int, position: int = 0, *, gated: bool = True) -> Broadcast:
    """A ring in private memory that begins at `position`."""
    ring = Broadcast(
        cursors=np.zeros(BROADCAST_CURSORS.size // WORD_SIZE, np.int64),
        records=np.zeros(capacity, EVENT_DTYPE),
    )
    ring.cursors[:2] = position
    ring.cursors[PUBLISHED] = position
    ring.cursors[RECORDED] = position if gated else NO_GATE
    return ring


def publish_events(
    ring: Broadcast, position: int, count: int, rows: np.ndarray | None = None
) -> int:
    """Publish events [position, position + count) of the flow, or of `rows`; the new position."""
    step = len(ring.records) // 4
    data = ring.records.view(np.uint8).data
    source = (events() if rows is None else rows).view(np.uint8).data
    while count > 0:
        part = min(step, count)
        assert claim(ring, position, part), "the gate is closed"
        start = position * EVENT_DTYPE.itemsize
        for piece in ring_slices(data, len(ring.records), position, part):
            piece[:] = source[start : start + len(piece)]
            start += len(piece)
        position += part
        count -= part
        publish(ring, position)
    return position


def same_market(left: Market, right: Market) -> bool:
    """Whether every byte that has a meaning is the same."""
    slots = live_slots(left)
    if not np.array_equal(slots, live_slots(right)):
        return False
    if left.orders[slots].tobytes() != right.orders[slots].tobytes():
        return False
    resting = slots[left.orders["state"][slots] == RESTING]  # in no ring before that
    linked = np.concatenate((np.arange(len(left.sessions) + 1), resting))
    if left.session_links[linked].tobytes() != right.session_links[linked].tobytes():
        return False
    tagged = slots[left.orders["flags"][slots] & CommandFlag.TAGS != 0]
    if left.tags[tagged].tobytes() != right.tags[tagged].tobytes():
        return False
    leaves = int(max(left.scalars[0]["leaf_next"], right.scalars[0]["leaf_next"])) + 1
    nodes = int(max(left.scalars[0]["node_next"], right.scalars[0]["node_next"])) + 1
    scalars = left.scalars[0], right.scalars[0]
    blocks = 1 + int(max(each["protection_blocks"] for each in scalars))  # 0 is nobody's
    used = {
        "orders": 0,
        "session_links": 0,
        "tags": 0,
        "expiries": int(left.scalars[0]["expiries"]) + 1,
        "levels": 64 * leaves,
        "leaf_words": leaves,
        "node_words": nodes,
        "node_children": 64 * nodes,
        "protections": PROTECTION_BLOCK * blocks,
        "quotes": 2 * QUOTE_IDS * blocks,
        "fills": FILLS_MAX * PROTECTION_BLOCK * blocks,
    }
    for name in Market._fields:
        count = used.get(name, len(getattr(left, name)))
        if getattr(left, name)[:count].tobytes() != getattr(right, name)[:count].tobytes():
            return False
    return True


def with_rolls(*behind: int) -> tuple[np.ndarray, list[int]]:
    """The flow's events, but the day rolls soon behind each of these positions; and where it has.

    (What was ignored changes nothing, so ROLLED may take its place.)
    """
    found = events().view(np.uint8).copy().view(EVENT_DTYPE)
    ignored = np.flatnonzero(found["kind"] == EventKind.IGNORED)
    places = [int(ignored[ignored >= each][0]) for each in behind]
    found["kind"][places] = EventKind.ROLLED
    return found, [each + 1 for each in places]
