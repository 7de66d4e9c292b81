"""Shell: a running exchange as typed numpy arrays, for whoever wants to look and must not touch.

    with shm_exchange.view.open("main") as exchange:
        exchange.processes["heartbeat_ns"]      # shared memory itself, read-only
        exchange.events(0, 100)                 # copies that were proven whole
        for batch in exchange.follow(): ...
        exchange.replica().book("AAPL", 5)

Segments are mapped read-only, so nothing can be written, by a kernel neither. No reader is
registered anywhere, so nobody waits for this process: who is too slow is told that he was lapped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from ringbuf import layout
from ringbuf.broadcast import CLAIMED, NO_GATE, overwritten, published
from ringbuf.errors import SegmentError
from ringbuf.segment import Segment
from shm_exchange import accounts, config, presence, wiring
from shm_exchange.errors import ExchangeError, NotRunningError
from shm_exchange.groups import whole_groups
from shm_exchange.history import History, ring_slices
from shm_exchange.journal_segment import Owner
from shm_exchange.lent import lend_ring
from shm_exchange.messages import EVENT_DTYPE, EventKind
from shm_exchange.recording import durable, recorded
from shm_exchange.view_replica import Replica

BATCH_RECORDS = 16_384
INTERVAL_SECONDS = 0.001  # how often a follower looks when there is nothing
_ALIVE_SECONDS = 0.5  # how often it asks whether the exchange still runs


class LappedError(ExchangeError):
    """The ring no longer has events that were asked for. `oldest`: the first that it has."""

    def __init__(self, first: int, oldest: int) -> None:
        super().__init__(
            f"the event at position {first} was overwritten, the ring begins at {oldest}; begin"
            " there, or take what the journal has (`tape`)"
        )
        self.oldest = oldest


class Batch(NamedTuple):
    """Events in order. `missed` of them, just before these, were overwritten before we came."""

    position: int  # of the first
    events: np.ndarray  # EVENT[n], a copy
    missed: int


def open(name: str = "main", engine: int | None = None) -> View:
    """Look at an engine (the first if none is named) of a running exchange.

    Raises NotRunningError, ExchangeError without such an engine, SegmentError of another user's,
    LayoutError of another build's.
    """
    running = presence.find(name)
    engines = [each["id"] for each in running["engines"]]
    chosen = engines[0] if engine is None else engine
    if chosen not in engines:
        raise ExchangeError(f"exchange {name} has no engine {chosen}; it has {engines}")
    return View(name, chosen, running)


class View:
    """One engine of an exchange. Arrays stay valid as long as they are held, and then are still."""

    def __init__(self, name: str, engine: int, running: dict[str, Any]) -> None:
        """running: what `presence.find` returned."""
        self.name = name
        self.engine = engine
        self.engines: tuple[int, ...] = tuple(each["id"] for each in running["engines"])
        self.state_directory = Path(running["state_directory"])
        copy = self.state_directory / presence.CONFIGURATION_COPY
        configured = config.load(copy if copy.exists() else None)
        self.configuration = accounts.running(configured, self.state_directory)
        self.instruments = self.configuration.instruments_of(engine)
        self._supervisor = running["pid"]
        try:
            self._wiring = wiring.attach(name, engine, read_only=True)
        except SegmentError as error:
            raise NotRunningError(f"the exchange named {name} is just ending: {error}") from error
        self._owner = Owner.of(int(self.segments[0].header[0]["identity"]), engine)
        self._ring = lend_ring(self._wiring.ring)
        self._data = self._wiring.ring.records.view(np.uint8).data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the segments; arrays that somebody holds keep theirs."""
        self._wiring.close()

    # ------------------------------------------------------------ shared memory as it is

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Control, events and commands, mapped read-only."""
        return self._wiring.segments

    @property
    def ring(self) -> np.ndarray:
        """The event ring, EVENT[capacity]: the event at `position` is at position % capacity.

        Records change while you look; `events` and `follow` give copies that did not.
        """
        return self._wiring.ring.records

    @property
    def cursors(self) -> np.ndarray:
        """The words of the event ring, BROADCAST_CURSORS[1]."""
        return self._wiring.ring.cursors.view(layout.BROADCAST_CURSORS.dtype)

    @property
    def processes(self) -> np.ndarray:
        """What every process says of itself, PROCESS[64]; pid 0: nobody."""
        return self._wiring.control.processes

    @property
    def words(self) -> np.ndarray:
        """Epoch, stop word and the rest of the single words, CONTROL_WORDS[1]."""
        return self._wiring.control.words.view(layout.CONTROL_WORDS.dtype)

    @property
    def command_cursors(self) -> np.ndarray:
        """The words of the command rings by source, SPSC_CURSORS[sources]."""
        return self._wiring.command_cursors.view(layout.SPSC_CURSORS.dtype)

    @property
    def commands(self) -> np.ndarray:
        """The command rings by source, COMMAND[sources, capacity]."""
        return self._wiring.commands.reshape(len(self.command_cursors), -1)

    @property
    def published(self) -> int:
        """Position behind the last event that the matcher has committed; acquire."""
        return int(published(self._ring))

    @property
    def recorded(self) -> int | None:
        """Position behind the last event that is in the journal; None without a recorder."""
        found = int(recorded(self._ring))
        return None if found == NO_GATE else found

    @property
    def durable(self) -> int:
        """Position behind the last event that survives a loss of power."""
        return int(durable(self._ring))

    # ------------------------------------------------------------ events

    @property
    def oldest(self) -> int:
        """About the first position that the ring still has. The matcher may be past it already."""
        # No order is needed of this word: whoever reads there checks what he has read.
        return max(0, int(self._ring.cursors[CLAIMED]) - len(self.ring))

    def events(self, first: int, last: int | None = None) -> np.ndarray:
        """A copy of the events from position `first` up to `last`, as far as they are published.

        EVENT[n]; proven whole after they were copied. Raises LappedError.
        """
        if first < 0:
            raise ValueError(f"positions begin at 0, {first} is none")
        end = self.published if last is None else min(last, self.published)
        records = self._copy(first, end - first)
        if records is None:
            raise LappedError(first, self.oldest)
        return records

    def tape(self, first: int, last: int | None = None) -> np.ndarray:
        """The same, and from the journal what the ring no longer has: EVENT[n], a copy.

        Raises JournalError when neither has it.
        """
        end = self.published if last is None else min(last, self.published)
        history = History(self._ring, self.state_directory, self._owner)
        records = np.empty(max(0, end - first), EVENT_DTYPE)
        target, position = records.view(np.uint8), first
        try:
            while position < end:
                found = history.read(position, BATCH_RECORDS)[: end - position].view(np.uint8)
                start = (position - first) * EVENT_DTYPE.itemsize
                target[start : start + len(found)] = found
                position += len(found) // EVENT_DTYPE.itemsize
        finally:
            history.close()
        return records

    def follow(self, first: int | None = None) -> Follower:
        """All events from `first` on; without it those that come from now on."""
        return Follower(self, self.published if first is None else first)

    def replica(self) -> Replica:
        """The market of this moment, rebuilt here from snapshot, journal and ring.

        Raises JournalError when they do not reach back to the beginning, or are damaged.
        """
        return Replica(
            self.configuration, self.engine, self.state_directory, self._owner, self._ring
        )

    def is_alive(self) -> bool:
        """Whether the exchange that was opened still runs (another one may have its name)."""
        try:
            return bool(presence.find(self.name)["pid"] == self._supervisor)
        except NotRunningError:
            return False

    def _copy(self, position: int, count: int) -> np.ndarray | None:
        """Events that are published; None when the matcher may have been over one meanwhile."""
        records = np.empty(max(0, count), EVENT_DTYPE)
        if count > len(self.ring) or overwritten(self._ring, position):
            return None if count > 0 else records
        target, start = records.view(np.uint8).data, 0
        for piece in ring_slices(self._data, len(self.ring), position, len(records)):
            target[start : start + len(piece)] = piece
            start += len(piece)
        return None if overwritten(self._ring, position) else records


class Follower:
    """Events as they come. An iterator that waits, and ends when the exchange has ended.

    Batches hold whole commands' events or whole groups of them: a record and its continuations.
    """

    def __init__(self, view: View, position: int) -> None:
        self.position = position  # of the next event
        self._view = view
        self._missed = 0

    def poll(self, limit: int = BATCH_RECORDS) -> Batch | None:
        """What there is by now, at most `limit` events; None when that is nothing. Never waits."""
        view = self._view
        while True:
            count = min(view.published - self.position, limit)
            if count <= 0:
                return None
            records = view._copy(self.position, count)
            if records is not None:
                return self._batch(records)
            # Not to the oldest: the matcher would be over it before it is copied.
            half = view.published - len(view.ring) // 2
            first = max(self.position + 1, view.oldest, half)
            self._missed += first - self.position
            self.position = first

    def _batch(self, records: np.ndarray) -> Batch:
        whole = records[: whole_groups(records, len(records))]
        cut = 0  # what is left of a group whose beginning was overwritten
        if self._missed:
            others = np.flatnonzero(whole["kind"] != EventKind.CONTINUATION)
            cut = int(others[0]) if len(others) else len(whole)
        found = Batch(self.position + cut, whole[cut:], self._missed + cut)
        self.position += len(whole)
        self._missed = 0
        return found

    def __iter__(self) -> Iterator[Batch]:
        checked = time.monotonic()
        alive = True
        while True:
            found = self.poll()
            if found is not None:
                yield found
            elif not alive:
                return
            else:
                time.sleep(INTERVAL_SECONDS)
                if time.monotonic() - checked > _ALIVE_SECONDS:
                    checked = time.monotonic()
                    alive = self._view.is_alive()  # what came before its end is still read
