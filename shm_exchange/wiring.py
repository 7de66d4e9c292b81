"""Shell: the shared memory of one engine: what it is called, made, attached and removed.

The supervisor makes it, every process of the engine attaches to all of it. Cursors begin where
the journal ends, so positions go on over a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ringbuf import broadcast, layout, segment
from ringbuf.broadcast import Broadcast
from ringbuf.schema import combined_digest
from ringbuf.segment import Control, Segment
from ringbuf.spsc import Spsc
from ringbuf.writer_lock import initialise
from shm_exchange import market, messages
from shm_exchange.messages import COMMAND_DTYPE, EVENT_DTYPE, SOURCE_GATEWAY_FIRST

DIGEST = combined_digest(*messages.RECORDS, *market.RECORDS)

PROCESS_MATCHER, PROCESS_RECORDER, PROCESS_STANDBY_FIRST = 0, 1, 2
PROCESS_RELIEF = PROCESS_STANDBY_FIRST  # of a new matcher that must first learn what there is
PROCESS_SOURCE_FIRST = 8  # a gateway's number is this + its source

ROLE_NAMES = ("none", "matcher", "standby", "recorder", "order", "market_data")
ROLE_NONE, ROLE_MATCHER, ROLE_STANDBY, ROLE_RECORDER, ROLE_ORDER, ROLE_MARKET_DATA = range(6)

# The stop word rises: nobody takes orders, then what was taken is matched, then all is recorded.
STOP_GATEWAYS, STOP_MATCHER, STOP_RECORDER = 1, 2, 3

# Of a gateway's PROCESS.counter.
COUNTER_PORT = 0  # the port it listens on
COUNTER_STREAM = 1  # and 2: id of the engine's streams, ten characters and spaces
COUNTER_MULTICAST_NEXT = 3  # number of the next message on the multicast feeds
COUNTER_MULTICAST_STREAM = 4  # of which stream: a word that no other of the engine has
# 5 is accounts.COUNTER_ACCOUNTS
COUNTER_PAST = 6  # while the journal is read for a feed's past: 1 + the position from which on
COUNTER_HOLDS = 7  # how often a client was held to its share (gateways/ouch/shares.py)

# Of a recorder's PROCESS.counter (`recording` has the others).
COUNTER_DISK_FULL = 1  # 1 while the disk has no room at all: the matcher will wait
COUNTER_DISK_SHORT = 5  # 1 while the disk has no room but the reserve: no new orders

_LOCK_WORDS = layout.WRITER_LOCK.size // 4
_CURSOR_WORDS = layout.SPSC_CURSORS.size // layout.WORD_SIZE


def prefix(name: str) -> str:
    """What the names of all segments of an exchange begin with."""
    return f"/shmx.{name}."


def segment_names(name: str, engine: int) -> tuple[str, str, str]:
    """Control, events and commands of one engine."""
    base = f"{prefix(name)}e{engine}."
    return base + "control", base + "events", base + "commands"


@dataclass
class Wiring:
    """One engine's shared memory, attached. Keep it as long as its arrays are used."""

    segments: tuple[Segment, ...]
    control: Control
    ring: Broadcast
    command_cursors: np.ndarray  # int64[32 * sources]
    commands: np.ndarray  # COMMAND[capacity * sources]
    producer_locks: np.ndarray  # int32[32 * sources]

    @property
    def process_words(self) -> np.ndarray:
        """PROCESS lines as int64[32 * 64]."""
        return self.control.processes.view(np.int64)

    def command_ring(self, source: int) -> Spsc:
        """The command ring of one source, for its producer."""
        sources = len(self.command_cursors) // _CURSOR_WORDS
        capacity = len(self.commands) // sources
        return Spsc(
            cursors=self.command_cursors[source * _CURSOR_WORDS :][:_CURSOR_WORDS],
            records=self.commands[source * capacity :][:capacity],
        )

    def producer_lock(self, source: int) -> np.ndarray:
        """The robust lock of a source's producer, int32[32]."""
        return self.producer_locks[source * _LOCK_WORDS :][:_LOCK_WORDS]

    def close(self) -> None:
        """Let go of the segments."""
        for each in self.segments:
            each.close()


def create(
    name: str,
    engine: int,
    identity: int,
    position: int,
    *,
    event_records: int,
    command_records: int,
    gateway_count: int,
    gated: bool,
) -> Wiring:
    """Make an engine's segments, empty, the next event at `position`. Raises SegmentError.

    gated: a recorder will run; the matcher does not overwrite what it has not written.
    """
    control_name, events_name, commands_name = segment_names(name, engine)
    sources = SOURCE_GATEWAY_FIRST + gateway_count
    made: list[Segment] = []
    try:
        control_segment, control = segment.create_control(control_name, DIGEST, identity)
        made.append(control_segment)
        events_segment, ring = segment.create_broadcast(
            events_name, EVENT_DTYPE, event_records, DIGEST, identity
        )
        made.append(events_segment)
        size = sources * (
            layout.SPSC_CURSORS.size
            + layout.WRITER_LOCK.size
            + command_records * COMMAND_DTYPE.itemsize
        )
        commands_segment = segment.create_segment(
            commands_name,
            size,
            DIGEST,
            identity,
            capacity=command_records,
            record_size=COMMAND_DTYPE.itemsize,
        )
        made.append(commands_segment)
    except BaseException:
        for each in made:
            each.close()
            each.unlink()
        raise
    # A whole ring is claimed at once: what lies below `position` is in the journal alone.
    ring.cursors[broadcast.CLAIMED] = position + event_records
    ring.cursors[broadcast.PUBLISHED] = position
    ring.cursors[broadcast.DURABLE] = position
    ring.cursors[broadcast.RECORDED] = position if gated else broadcast.NO_GATE
    wiring = _wire(tuple(made), control, ring)
    for source in range(sources):
        initialise(wiring.producer_lock(source))
    return wiring


def attach(name: str, engine: int, *, read_only: bool = False) -> Wiring:
    """Attach to a running engine. Raises SegmentError or LayoutError."""
    control_name, events_name, commands_name = segment_names(name, engine)
    control_segment, control = segment.attach_control(control_name, DIGEST, read_only=read_only)
    events_segment, ring = segment.attach_broadcast(
        events_name, EVENT_DTYPE, DIGEST, read_only=read_only
    )
    commands_segment = segment.attach_segment(commands_name, DIGEST, read_only=read_only)
    return _wire((control_segment, events_segment, commands_segment), control, ring)


def _wire(segments: tuple[Segment, ...], control: Control, ring: Broadcast) -> Wiring:
    commands = segments[2]
    capacity = int(commands.header[0]["capacity"])
    per_source = (
        layout.SPSC_CURSORS.size + layout.WRITER_LOCK.size + capacity * COMMAND_DTYPE.itemsize
    )
    sources = len(commands.bytes) // per_source
    cursors_end = sources * layout.SPSC_CURSORS.size
    locks_end = cursors_end + sources * layout.WRITER_LOCK.size
    return Wiring(
        segments=segments,
        control=control,
        ring=ring,
        command_cursors=commands.bytes[:cursors_end].view(np.int64),
        commands=commands.bytes[locks_end:][: sources * capacity * COMMAND_DTYPE.itemsize].view(
            COMMAND_DTYPE
        ),
        producer_locks=commands.bytes[cursors_end:locks_end].view(np.int32),
    )


def remove(name: str, engine: int) -> None:
    """Remove an engine's segments, those that are there."""
    for each in segment_names(name, engine):
        segment.remove(each)
