"""The processes of one simulated engine. Their loops are the real ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ringbuf import layout
from ringbuf.broadcast import Broadcast
from shm_exchange import engine as states
from shm_exchange.market import Market
from shm_exchange.messages import COMMAND, COMMAND_NEXT_BITS, EVENT
from shm_exchange.wiring import (
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    STOP_RECORDER,
)
from tests.simulation.checker import Checker
from tests.simulation.install import MODULES
from tests.simulation.memory import Records, Row, fields_of
from tests.simulation.private import Settings, new_market
from tests.simulation.shared import Disk, Journal, Shared, bells, ring_slices
from tests.simulation.world import Machine, Process

EVENT_FIELDS, COMMAND_FIELDS = fields_of(EVENT), fields_of(COMMAND)
_LIFETIME = MODULES["lifetime"]
_BROADCAST = MODULES["broadcast"]
_APPLY = MODULES["replica"].apply
CHUNK = 64


class HistoryGone(Exception):
    """Neither ring nor journal has the events: the process ends, and is started again."""


class Exchange:
    """Everything that outlives a process: what the roles are given."""

    def __init__(self, machine: Machine, settings: Settings, checker: Checker) -> None:
        self.machine, self.settings, self.checker = machine, settings, checker
        self.disk = Disk()
        self.holds = machine.random.random() < 0.5  # durability "disk"
        self.shared: Shared = None  # type: ignore[assignment]
        self.policies: dict[int, int] = {}
        self.sweeps = 0.1  # how many orders take more than one part
        self.poison = 0  # how many of the next commands end their matchers
        self.poisoned: set[tuple[int, bool]] = set()  # the command; whether in a later part
        self.tasted: set[tuple[int, bool]] = set()  # those not poisoned stay so
        _Poison.exchange = self

    # ------------------------------------------------------------ recovery

    def recover(self, market: Market) -> int:
        """What `recovery.recover` does: the journal, then what only the ring has."""
        recorded = MODULES["recording"].recorded(self.shared.ring)
        for position, words in enumerate(self.disk.read(0, recorded)):
            _APPLY(market, [Row(list(words), 0, EVENT_FIELDS)], 0, position)
        return self.catch_up(market)

    def catch_up(self, market: Market, *, held: bool = False) -> int:
        """Apply everything that is there."""
        while True:
            position = market.scalars[0]["position"]
            records = self.read(position, CHUNK, held=held)
            if not records:
                return int(position)
            for place, words in enumerate(records):
                event = Row(list(words), 0, EVENT_FIELDS)
                self.checker.applied(list(words), position + place, "recovery")
                _APPLY(market, [event], 0, position + place)

    def end(self, *, held: bool) -> int:
        """What `History.end` does. held: nothing is there before it is durable."""
        ring = self.shared.ring
        return int(MODULES["recording"].durable(ring) if held else _BROADCAST.published(ring))

    def read(self, position: int, limit: int, *, held: bool = False) -> list[tuple[int, ...]]:
        """What `History.read` does: events from the ring, or else from the journal."""
        ring = self.shared.ring
        count = min(limit, self.end(held=held) - position)
        if count <= 0:
            return []
        if not _BROADCAST.overwritten(ring, position):
            records = ring_slices(ring.records, len(ring.records), position, count)[0]  # type: ignore[arg-type]
            if not _BROADCAST.overwritten(ring, position):
                return records
        recorded = MODULES["recording"].recorded(ring)
        found = self.disk.read(position, min(count, recorded - position))
        if not found:
            raise HistoryGone
        return found

    # ------------------------------------------------------------ matcher and standby

    def build_engine(self, market: Market, number: int, first: bool) -> Any:
        """What `primary.build_engine` does."""
        shared = self.shared
        settings = [0] * states.SETTING_COUNT
        settings[states.SETTING_PROCESS] = number
        settings[states.SETTING_POLICY] = self.policies.get(number, 0)
        settings[states.SETTING_FIRST] = int(first)
        settings[states.SETTING_PID] = self.machine.new_identifier()
        settings[states.SETTING_ENGINE] = 1
        return states.Engine(
            market=market,
            ring=shared.ring,
            command_cursors=shared.command_cursors,  # type: ignore[arg-type]
            commands=shared.commands,  # type: ignore[arg-type]
            lock=shared.lock,  # type: ignore[arg-type]
            doorbells=shared.doorbells,  # type: ignore[arg-type]
            words=shared.words,  # type: ignore[arg-type]
            processes=shared.processes,  # type: ignore[arg-type]
            process_words=shared.process_words,  # type: ignore[arg-type]
            bells=bells(),  # type: ignore[arg-type]
            settings=settings,  # type: ignore[arg-type]
            patience=[0, 0],  # type: ignore[arg-type]
            clock=[0, 0],  # type: ignore[arg-type]
            own=Records(COMMAND_FIELDS, 8, 1),  # type: ignore[arg-type]
            copied=Records(EVENT_FIELDS, 8, states.BATCH_EVENTS),  # type: ignore[arg-type]
        )

    def start_engine(self, number: int, *, first: bool) -> Process:
        """A matcher, or a process that stands by."""
        process = Process(self.machine, "matcher" if first else f"standby {number}", number)
        line = self.shared.processes[number]
        process.private = SimpleNamespace(market=None)

        def body() -> object:
            line["pid"] = process.threads[0].identifier
            outcome = _LIFETIME.LAPPED
            while outcome in (_LIFETIME.LAPPED, getattr(_LIFETIME, "DIFFERS", -1)):
                market = new_market(self.settings)
                try:
                    self.recover(market)
                except HistoryGone:
                    return outcome
                process.private.market = market
                if not first:
                    line["state"] = layout.STATE_READY
                outcome = _LIFETIME.run(self.build_engine(market, number, first))
            return outcome

        process.start("pump", body)
        return process

    # ------------------------------------------------------------ recorder

    def start_recorder(self) -> Process:
        """The real recorder's core, and the loop and the sync thread of its process."""
        number = PROCESS_RECORDER
        process = Process(self.machine, "recorder", number)
        shared = self.shared
        done: list[int] = []

        def body() -> object:
            recorder = MODULES["recorder"].Recorder(
                Broadcast(shared.ring.cursors, _Bytes(shared.ring.records)),  # type: ignore[arg-type]
                Journal(self.disk, self.machine),  # type: ignore[arg-type]
            )
            recorder.start()
            process.private = recorder
            shared.processes[number]["state"] = layout.STATE_READY
            process.start("sync", lambda: self._sync(recorder, done))
            while True:
                stopping = shared.words[layout.STOP] >= STOP_RECORDER
                if recorder.step(self.machine.clock()) == 0:
                    if stopping and not recorder.full:
                        break
                    self.machine.idle()
            done.append(1)
            recorder.sync()
            return 0

        process.start("append", body)
        return process

    def _sync(self, recorder: Any, done: list[int]) -> object:
        while not done:
            if recorder.journal.position == recorder.journal.durable:
                self.machine.idle()
            else:
                recorder.sync()
                # In another thread: nothing says when it looks again.
                self.machine.idle()
        return 0


class _Poison:
    """Commands that end the matcher that matches them."""

    exchange: Exchange

    @classmethod
    def taste(cls, attempt: int, *, is_later_part: bool = False) -> None:
        """The matcher begins with a command, or goes on with it."""
        exchange = cls.exchange
        machine, words = exchange.machine, exchange.shared.words.words
        taste = (attempt, is_later_part)
        chance = 0.9 if is_later_part else 0.4  # few commands have later parts
        if exchange.poison and taste not in exchange.tasted and machine.random.random() < chance:
            exchange.poison -= 1
            exchange.poisoned.add(taste)
        exchange.tasted.add(taste)
        if taste in exchange.poisoned:
            assert words[layout.ATTEMPTING] == attempt
            if machine.random.random() < 0.5:
                words[layout.CRASHED] = words[layout.EPOCH]  # what the crash handler does
            else:  # it looped, and a watcher killed it
                number = machine.random.randint(PROCESS_STANDBY_FIRST, PROCESS_SOURCE_FIRST - 1)
                place = number * layout.PROCESS_WORDS + layout.PROCESS_CONDEMNED
                exchange.shared.process_words.words[place] = words[layout.EPOCH]
            exchange.checker.died_of(attempt)
            machine.die()


_MATCH, _RESUME = MODULES["matching"].match, MODULES["sweep"].resume


def _match(market: Any, commands: Any, index: int, source: int, after: int, *rest: Any) -> Any:
    _Poison.taste((source << COMMAND_NEXT_BITS) | after)
    return _MATCH(market, commands, index, source, after, *rest)


def _resume(market: Any, *rest: Any) -> Any:
    _Poison.taste(market.scalars[0]["continuing_next"], is_later_part=True)
    return _RESUME(market, *rest)


# The matchers' own: what the checker calls is the original.
MODULES["engine"].match, MODULES["engine"].resume = _match, _resume


class _Bytes:
    """The records of a ring, for a recorder that wants to view them as bytes."""

    def __init__(self, records: Any) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def view(self, _: object) -> Any:
        """What the replaced `ring_slices` is given."""
        return SimpleNamespace(data=self.records)


MODULES["recorder"].ring_slices = ring_slices
