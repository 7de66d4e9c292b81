"""The shared memory of one simulated engine, and its disk."""

from __future__ import annotations

from typing import Any

from ringbuf import layout
from ringbuf.broadcast import CLAIMED, DURABLE, NO_GATE, PUBLISHED, RECORDED, Broadcast
from ringbuf.spsc import Spsc
from shm_exchange.journal_segment import JournalFull
from shm_exchange.messages import COMMAND, EVENT
from shm_exchange.wiring import PROCESS_SOURCE_FIRST
from tests.simulation.memory import (
    SharedPart,
    SharedRecords,
    SharedSlice,
    SharedWords,
    fields_of,
)
from tests.simulation.world import Machine

EVENT_FIELDS, COMMAND_FIELDS = fields_of(EVENT), fields_of(COMMAND)
PROCESS_FIELDS = fields_of(layout.PROCESS)
PROCESSES = 14
BELL_FIRST = 10  # descriptors of the eventfds


class Shared:
    """Made by the supervisor; survives every process but not the machine."""

    def __init__(
        self, machine: Machine, position: int, sources: int, events: int, commands: int
    ) -> None:
        self.sources, self.event_capacity, self.command_capacity = sources, events, commands
        assert PROCESS_SOURCE_FIRST + sources <= PROCESSES
        cursors = SharedWords(machine, "ring", [0] * 32)
        cursors.words[CLAIMED] = position + events
        cursors.words[PUBLISHED] = cursors.words[DURABLE] = cursors.words[RECORDED] = position
        records = SharedRecords(machine, "event", [0] * (8 * events), EVENT_FIELDS, 8)
        self.ring = Broadcast(cursors, records)  # type: ignore[arg-type]
        self.command_cursors = SharedWords(machine, "cursors", [0] * (32 * sources))
        self.commands = SharedRecords(
            machine, "command", [0] * (8 * commands * sources), COMMAND_FIELDS, 8
        )
        self.lock = SharedWords(machine, "lock", [0] * 32)
        self.doorbells = SharedWords(machine, "bell", [0] * 64)
        self.words = SharedWords(machine, "words", [0] * 32)
        lines = [0] * (32 * PROCESSES)
        self.process_words = SharedWords(machine, "line", lines)
        self.processes = SharedRecords(machine, "process", lines, PROCESS_FIELDS, 32)
        self.producer_locks = [
            SharedWords(machine, f"producer {source}", [0] * 32) for source in range(sources)
        ]
        machine.lock_words = self.lock.words
        machine.locks = [self.lock.words, *(each.words for each in self.producer_locks)]

    def command_ring(self, source: int) -> Spsc:
        """The queue of one source of commands."""
        return Spsc(
            cursors=SharedPart(self.command_cursors, 32 * source, 32),  # type: ignore[arg-type]
            records=SharedSlice(  # type: ignore[arg-type]
                self.commands, source * self.command_capacity, self.command_capacity
            ),
        )

    def word(self, index: int) -> int:
        """A control word, for those who watch."""
        return self.words.words[index]

    def published(self) -> int:
        """What is committed, for those who watch."""
        return self.ring.cursors.words[PUBLISHED]  # type: ignore[attr-defined,no-any-return]

    def recorded(self) -> int:
        """What is in the journal, for those who watch."""
        found = self.ring.cursors.words[RECORDED]  # type: ignore[attr-defined]
        return 0 if found == NO_GATE else int(found)


def bells() -> list[int]:
    """Eventfds by process."""
    return [BELL_FIRST + number for number in range(64)]


class Disk:
    """A journal as the recorder sees it. What is not synced may be lost, from the end."""

    directory = "disk"

    def __init__(self) -> None:
        self.records: list[tuple[int, ...]] = []
        self.appends: list[int] = []  # where each append ended
        self.synced = 0
        self.full = False

    def read(self, position: int, limit: int) -> list[tuple[int, ...]]:
        """Records from a position on."""
        return self.records[position : position + limit]

    def lose_power(self, machine: Machine) -> int:
        """Keep what was synced, and perhaps some whole appends more; where it ends now."""
        ends = [end for end in self.appends if end > self.synced]
        end = machine.random.choice([self.synced, *ends])
        del self.records[end:]
        self.synced = end
        self.appends = []
        return end


class Journal:
    """The recorder's hold on the disk: private memory of one recorder."""

    def __init__(self, disk: Disk, machine: Machine) -> None:
        self.directory = disk.directory
        self.disk = disk
        self.machine = machine
        self.position = self.durable = len(disk.records)
        disk.synced = max(disk.synced, self.position)  # opening a journal syncs its end

    def append(self, slices: Any, now_ns: int) -> int:
        """Write records as one commit."""
        if self.disk.full:
            raise JournalFull("no room")
        for each in slices:
            self.disk.records.extend(each)
        self.position = len(self.disk.records)
        self.disk.appends.append(self.position)
        return self.position

    def sync(self) -> int:
        """Make what is written survive."""
        end = self.position
        self.machine.idle()  # it takes a while, and the process may die in it
        self.disk.synced = max(self.disk.synced, end)
        self.disk.appends = [place for place in self.disk.appends if place > end]
        self.durable = end
        return end


def ring_slices(
    records: SharedRecords, capacity: int, position: int, count: int
) -> list[list[tuple[int, ...]]]:
    """What `history.ring_slices` gives: the records, read word by word."""
    return [
        [
            tuple(records[(position + number) & (capacity - 1)].copy_words(8))
            for number in range(count)
        ]
    ]
