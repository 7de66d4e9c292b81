"""Shell: saves what the event ring of a dead exchange holds beyond the end of its journal.

Nobody writes to these segments any more, so their words are read plainly, and what is published is
whole: a command that was half done when its matcher died was never published. Commands that were
never executed are counted and left: nobody was told anything about them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf.broadcast import CLAIMED, NO_GATE, PUBLISHED, RECORDED, Broadcast
from ringbuf.spsc import CONSUMED
from ringbuf.spsc import PUBLISHED as COMMANDS_PUBLISHED
from shm_exchange.history import ring_slices
from shm_exchange.journal import Journal
from shm_exchange.journal_reader import JournalReader
from shm_exchange.journal_segment import JournalError, JournalFull, Owner
from shm_exchange.messages import (
    COMMAND_NEXT_BITS,
    COMMAND_NEXT_MASK,
    SOURCE_MATCHER,
    CommandKind,
    EventKind,
)
from shm_exchange.wiring import Wiring, segment_names

OVERLAP = 1024  # records that journal and ring both have and must agree on


class Saved(NamedTuple):
    """What was saved of one engine, and what was given up."""

    engine: int
    first: int  # position of the first event that the journal lacked
    events: int
    commands: int  # published by gateways, never executed

    def __str__(self) -> str:
        parts = []
        if self.events:
            parts.append(
                f"saved {self.events} events that only shared memory had"
                f" (positions {self.first} to {self.first + self.events - 1})"
            )
        if self.commands:
            parts.append(f"discarded {self.commands} commands that were never executed")
        return f"engine {self.engine}: {', '.join(parts) or 'nothing was missing'}"


def unrecorded(found: Wiring) -> int:
    """Events that were published but, as far as the ring knows, not written; 0 without recorder."""
    cursors = found.ring.cursors
    recorded = int(cursors[RECORDED])
    return 0 if recorded == NO_GATE else max(0, int(cursors[PUBLISHED]) - recorded)


def save(found: Wiring, name: str, state_directory: Path, owner: Owner) -> Saved:
    """Append to the journal what the ring of an engine has beyond it, durably.

    Everything of the dead exchange must have ended. Raises JournalError when ring and journal do
    not meet or the disk has no room (nothing is lost then: the segments stay).
    """
    ring, events = found.ring, segment_names(name, owner.engine)[1]
    commands = unexecuted(found)
    published, recorded = int(ring.cursors[PUBLISHED]), int(ring.cursors[RECORDED])
    if recorded == NO_GATE:  # no recorder: these events were never meant to last
        return Saved(owner.engine, published, 0, commands)
    if not 0 <= recorded <= published <= int(ring.cursors[CLAIMED]):
        raise JournalError(
            f"{events}: its cursors cannot be (published {published}, recorded {recorded});"
            f" remove /dev/shm{events} to go on from the journal alone"
        )
    reader = JournalReader(state_directory, owner)
    try:
        end = reader.end() or 0
        _check_same_run(reader, ring, min(end, published), events)
    finally:
        reader.close()
    if end >= published:
        _seal(state_directory, owner)
        return Saved(owner.engine, published, 0, commands)
    first = _first_intact(ring)
    if first > end:
        raise JournalError(
            f"{events}: begins at position {first}, but the journal in {state_directory} ends at"
            f" position {end}; restore the journal, or remove /dev/shm{events} to go on without"
            " what lies between"
        )
    _append(ring, state_directory, owner, end, published)
    return Saved(owner.engine, end, published - end, commands)


def unexecuted(found: Wiring) -> int:
    """Commands in the rings of all sources that no event answers."""
    ring = found.ring
    first, published = _first_intact(ring), int(ring.cursors[PUBLISHED])
    events = ring.records[_indices(ring, first, published)]
    events = events[events["kind"] != EventKind.CONTINUATION]
    sources = events["source_next"] >> COMMAND_NEXT_BITS
    nexts = events["source_next"] & COMMAND_NEXT_MASK
    total = 0
    for source in range(SOURCE_MATCHER + 1, len(found.producer_locks) // 32):
        commands = found.command_ring(source)
        # `consumed` is stored behind `published`, and a crash may have come between.
        answered = int(nexts[sources == source].max(initial=0))
        done = max(int(commands.cursors[CONSUMED]), answered)
        left = int(commands.cursors[COMMANDS_PUBLISHED]) - done
        if 0 < left <= len(commands.records):
            indices = (np.arange(done, done + left)) & (len(commands.records) - 1)
            kinds = commands.records["kind"][indices]
            total += int(np.count_nonzero(kinds != CommandKind.CONTINUATION))
    return total


def _first_intact(ring: Broadcast) -> int:
    """The oldest position that the ring still has."""
    return max(0, int(ring.cursors[CLAIMED]) - len(ring.records))


def _indices(ring: Broadcast, first: int, end: int) -> np.ndarray:
    return np.arange(first, end) & (len(ring.records) - 1)


def _check_same_run(reader: JournalReader, ring: Broadcast, end: int, events: str) -> None:
    """Raise JournalError when journal and ring differ below `end`, where both have records."""
    kept = reader.first_position
    first = max(end - OVERLAP, _first_intact(ring), end if kept is None else kept)
    if first >= end:
        return
    ours = reader.read(first, end - first).view(np.uint8)
    theirs = ring.records[_indices(ring, first, end)].view(np.uint8)
    if not np.array_equal(ours, theirs):
        raise JournalError(
            f"{events}: its events before position {end} are not those of the journal in"
            f" {reader.directory}; restore the journal that belongs to it, or remove"
            f" /dev/shm{events} to go on from this journal alone"
        )


def _seal(directory: Path, owner: Owner) -> None:
    """Say in the journal that nothing is missing at its end: the ring has proved it."""
    journal = Journal(directory, owner)
    try:
        journal.close(time.time_ns())
    finally:
        journal.abandon()


def _append(ring: Broadcast, directory: Path, owner: Owner, first: int, end: int) -> None:
    """Append the ring's [first, end) to the journal, and seal it."""
    journal = Journal(directory, owner)
    try:
        data = ring.records.view(np.uint8).data
        journal.append(ring_slices(data, len(ring.records), first, end - first), time.time_ns())
        journal.close(time.time_ns())
    except JournalFull as error:
        raise JournalFull(
            f"{error}; {end - first} events of the last run are only in shared memory: make room"
            " and start again"
        ) from error
    finally:
        journal.abandon()
