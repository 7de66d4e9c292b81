"""The invariants, checked at every store that matters.

The checker is no part of the exchange. It sees each store of a cursor, keeps the history that was
committed, and runs the same commands through plain matching, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringbuf.broadcast import CLAIMED, NO_GATE, PUBLISHED, RECORDED
from ringbuf.spsc import CONSUMED
from ringbuf.spsc import PUBLISHED as COMMANDS_PUBLISHED
from shm_exchange.market import STAGE_MARKET
from shm_exchange.messages import (
    COMMAND,
    COMMAND_NEXT_BITS,
    COMMAND_NEXT_MASK,
    EVENT,
    Cause,
    CommandFlag,
    CommandKind,
    EventKind,
    Ignored,
    Reject,
)
from tests.simulation.install import MODULES
from tests.simulation.memory import Records, Row, SharedRecords, SharedWords, fields_of
from tests.simulation.private import new_market
from tests.simulation.world import Machine, Violation

EVENT_FIELDS, COMMAND_FIELDS = fields_of(EVENT), fields_of(COMMAND)
MAKER, TAKER = 0, 1
_ORDERS = {
    int(kind)
    for kind in (
        CommandKind.ENTER, CommandKind.CANCEL, CommandKind.REPLACE, CommandKind.MODIFY,
        CommandKind.REFUSED, CommandKind.ACCOUNT_QUERY,
    )
}  # fmt: skip
_KINDS = {int(kind) for kind in EventKind} - {int(EventKind.NOTHING)}
_EPOCH, _ATTESTED = int(EventKind.EPOCH), int(EventKind.ATTESTED)
_DIED = int(EventKind.GATEWAY_DIED)
_GOING = {int(EventKind.LOGGED_OUT), int(EventKind.GATEWAY_STARTED), _DIED}
_ANSWERS = {
    int(EventKind.REJECTED): int(Reject.POISONED),
    int(EventKind.IGNORED): int(Ignored.POISONED),
}
_POISONED = int(Cause.POISONED)
STRIKES = 2  # so many matchers may a command end
_MATCH = MODULES["matching"].match
_NOTE_PROGRESS = MODULES["matching"].note_progress
_RESUME = MODULES["sweep"].resume
_GIVE_UP = MODULES["sweep"].give_up
_REFUSE = MODULES["poison"].refuse_poisoned
_ATTESTATION = MODULES["attestation"].attestation
_STAY = int(CommandFlag.STAY_ON_DISCONNECT)
_APPLY = MODULES["replica"].apply
_PART_LIMIT = MODULES["engine"].part_limit
_SESSION_MESSAGES = MODULES["streams"].session_messages


class OneRing:
    """What `match` writes into when nobody shares it."""

    def __init__(self, capacity: int) -> None:
        self.records = Records(EVENT_FIELDS, 8, capacity)
        self.cursors: list[int] = []


class Checker:
    """Watches one exchange, over every start and end of it."""

    def __init__(self, machine: Machine, capacity: int, sources: int, settings: Any) -> None:
        self.machine = machine
        self.capacity = capacity
        self.settings = settings
        self.history: list[tuple[int, ...]] = []
        self.streams: list[list[tuple[int, int]]] = [[] for _ in range(settings.sessions)]
        # The streams that a roll of the day has ended, and where.
        self.eras: list[tuple[int, list[list[tuple[int, int]]]]] = []
        self.commands: list[dict[int, tuple[int, ...]]] = [{} for _ in range(sources)]
        self.market = new_market(settings)
        self.generations = [0] * settings.sessions
        self.holds = False  # nothing is told before it would survive a loss of power
        self.disk: Any = None
        self.bound: list[int | None] = [None] * settings.sessions  # where it is logged in
        self.deaths: dict[int, int] = {}  # matchers that a command has ended, by `attempting`
        self._spared: set[tuple[int, int]] = set()  # (slot, user_ref): a cancel was given up
        self._expected: list[tuple[int, ...]] = []
        self._ring = OneRing(capacity)
        self._command = Records(COMMAND_FIELDS, 8, 256)

    def fail(self, text: str) -> None:
        """An invariant does not hold."""
        raise Violation(text)

    def demand(self, holds: bool, text: str) -> None:
        """Fail unless it holds."""
        if not holds:
            self.fail(text)

    # ------------------------------------------------------------ the event ring

    def watch_ring(self, cursors: SharedWords, records: SharedRecords) -> None:
        """Check every store to a ring that was just made."""
        self.cursors, self.records = cursors, records
        cursors.watchers[CLAIMED] = self._claimed
        cursors.watchers[PUBLISHED] = self._published
        records.guard = self._record_is_written

    def _writer(self) -> int:
        current = self.machine.current
        who = current.identifier if current else 0
        self.demand(
            self.machine.lock_words[0] == who, f"thread {who} writes events and has no lock"
        )
        return who

    def _claimed(self, old: int, new: int) -> None:
        self._writer()
        self.demand(new >= old, f"claimed was lowered from {old} to {new}")
        limit = self.cursors.words[RECORDED]
        if limit != NO_GATE:
            self.demand(new <= limit + self.capacity, f"claimed {new}, recorded {limit}")
        self.machine.changed()

    def _record_is_written(self, base: int) -> None:
        self._writer()
        published = self.cursors.words[PUBLISHED]
        position = published + ((base // 8 - published) & (self.capacity - 1))
        claimed = self.cursors.words[CLAIMED]
        self.demand(position < claimed, f"record {position} is written, claimed is {claimed}")

    def _published(self, old: int, new: int) -> None:
        self._writer()
        self.demand(old == len(self.history), f"published was {old}, not {len(self.history)}")
        self.demand(new >= old, f"published was lowered from {old} to {new}")
        self.demand(new <= self.cursors.words[CLAIMED], f"published {new} above claimed")
        for position in range(old, new):
            self._commit(position, self.records.raw(position & (self.capacity - 1)))
        self.demand(not self._expected, f"half a command was committed at {new}")
        self.machine.changed()

    # ------------------------------------------------------------ the history

    def _commit(self, position: int, words: tuple[int, ...]) -> None:
        """One event was committed: it must be what plain matching of the commands gives."""
        event = Row(list(words), 0, EVENT_FIELDS)
        self.demand(event["kind"] in _KINDS, f"an event of kind {event['kind']} was committed")
        if not self._expected:
            self._expected = self._next_part(position, event)
        if self._expected:
            expected = self._expected.pop(0)
            if words != expected:
                self.fail(f"event {position} is {show(words)}, matching gives {show(expected)}")
        self.history.append(words)
        self._count(event, position)
        if not self._expected and self.market.scalars[0]["continuing_kind"] == 0:
            self._nobody_is_left(event)

    def _next_part(self, position: int, event: Row) -> list[tuple[int, ...]]:
        """What is to be committed from `position` on; nothing: the matcher said it by itself."""
        market, scalars = self.market, self.market.scalars[0]
        limit = _PART_LIMIT(self._ring, position)
        if event["kind"] in (_EPOCH, _ATTESTED):
            self._said_by_itself(position, event)
            return []
        if scalars["continuing_kind"] != 0:
            struck = self.deaths.get(scalars["continuing_next"], 0)
            says_so = event["kind"] == int(EventKind.IGNORED) or event["cause"] == _POISONED
            if struck >= STRIKES and says_so:
                end = _GIVE_UP(market, self._ring, position)
                self._spared |= {(slot, order["user_ref"]) for slot, order in self._left()}
            else:
                end = _RESUME(market, self._ring, position, limit)
            scalars["position"] = end
        elif event["source_next"] >> COMMAND_NEXT_BITS != 0:
            end = self._match_command(position, event, limit)
        elif event["kind"] == _DIED:
            end = self._bury(position, event, limit)
        else:
            _APPLY(market, [event], 0, position)
            return []
        return [
            tuple(self._ring.records[place & (self.capacity - 1)].words)
            for place in range(position, end)
        ]

    def _said_by_itself(self, position: int, event: Row) -> None:
        scalars = self.market.scalars[0]
        if event["kind"] == _EPOCH:
            self.demand(event["epoch"] > scalars["epoch"], f"reign {event['epoch']} again")
            scalars["epoch"] = event["epoch"]
            for source, row in enumerate(self.market.gateways[: len(self.commands)]):
                found = self.command_cursors.words[32 * source + CONSUMED]
                self.demand(found == row["command_next"], f"consumed of {source} is {found}")
        else:
            self.demand(
                event["epoch"] == _ATTESTATION(self.market), f"{position} attests another state"
            )
            scalars["attested"] = position + 1
        scalars["stamp_ns"], scalars["position"] = event["time_ns"], position + 1

    def _bury(self, position: int, event: Row, limit: int) -> int:
        """A matcher declares at its first reign what the journal left alive dead."""
        command = self._command[0]
        self._command.clear(0)
        command["kind"], command["slot"] = int(CommandKind.GATEWAY_DIED), event["slot"]
        command["user_ref"] = event["user_ref"]
        after = event["source_next"] & COMMAND_NEXT_MASK
        stamp = event["time_ns"]
        end = _MATCH(self.market, self._command, 0, 0, after, 1, stamp, self._ring, position, limit)
        _NOTE_PROGRESS(self.market, 0, after, end)
        return int(end)

    def _nobody_is_left(self, event: Row) -> None:
        """Cancel on disconnect: whose session is gone has no order that did not opt out."""
        if event["kind"] not in _GOING and event["kind"] != int(EventKind.CANCELLED):
            return
        for slot, order in self._left():
            if (slot, order["user_ref"]) not in self._spared:
                self.fail(f"order {slot:x} of session {order['session']} stays: nobody is there")

    def _left(self) -> Iterator[tuple[int, Row]]:
        """Orders that did not opt out, of sessions that are gone."""
        for slot, order in self.market.orders.rows.items():  # type: ignore[attr-defined]
            session = order["session"]
            goes = self.settings.cancels(session) and self.bound[session] is None
            if order["state"] and goes and not order["flags"] & _STAY:
                yield slot, order

    def _match_command(self, position: int, event: Row, limit: int) -> int:
        source = event["source_next"] >> COMMAND_NEXT_BITS
        first = self.market.gateways[source]["command_next"]
        after = event["source_next"] & COMMAND_NEXT_MASK
        stage = self.market.scalars[0]["stage"]
        self.demand(stage == STAGE_MARKET, f"event {position}: no stream has begun")
        words = self.commands[source].get(first)
        self.demand(words is not None, f"event {position} answers {source}:{first}, never asked")
        assert words is not None
        command = Row(list(words), 0, COMMAND_FIELDS)
        records = 1 + command["continuations"]
        self.demand(
            after == first + records,
            f"event {position} answers {source}:{after}, the next command is {first}+{records}",
        )
        for number in range(records):
            self._command[number].words[:] = self.commands[source][first + number]
        stale = command["generation"] != self.generations[command["session"]]
        if command["kind"] in _ORDERS and stale:
            ignored = event["kind"] == int(EventKind.IGNORED)
            self.demand(ignored, f"event {position}: a command of a stale generation had effect")
        stamp = event["time_ns"]
        self.demand(stamp >= self.market.scalars[0]["stamp_ns"], f"event {position}: time ran back")
        where = (self.market, self._command, 0, source, after)
        when = (stamp, self._ring, position)
        struck = self.deaths.get(event["source_next"], 0)
        if event["reason"] == _ANSWERS.get(event["kind"]):
            self.demand(struck >= STRIKES, f"{source}:{after} was refused after {struck} deaths")
            return int(_REFUSE(*where, *when, int(struck > STRIKES)))
        self.demand(struck < STRIKES, f"{source}:{after} was tried again after {struck} deaths")
        end = _MATCH(*where, 1, *when, limit)
        _NOTE_PROGRESS(self.market, source, after, end)
        return int(end)

    def _count(self, event: Row, position: int) -> None:
        """Which messages of which streams the event is."""
        kind = event["kind"]
        if kind == int(EventKind.LOGGED_IN):
            self.generations[event["session"]] = event["generation"]
            self.bound[event["session"]] = event["source_next"] >> COMMAND_NEXT_BITS
        elif kind == int(EventKind.LOGGED_OUT):
            self.bound[event["session"]] = None
        elif kind in _GOING:
            gone = event["slot"]
            self.bound = [None if source == gone else source for source in self.bound]
        if kind == int(EventKind.ROLLED):
            self.eras.append((position, self.streams))
            self.streams = [[] for _ in self.streams]
        for session, stream in enumerate(self.streams):
            count = _SESSION_MESSAGES(event, session)
            if count == 0:
                continue
            if kind == int(EventKind.EXECUTED):
                if event["session"] == session:
                    stream.append((position, MAKER))
                if event["taker_session"] == session:
                    stream.append((position, TAKER))
            else:
                stream.append((position, MAKER))

    # ------------------------------------------------------------ the command rings

    def watch_commands(self, cursors: SharedWords, records: SharedRecords, capacity: int) -> None:
        """Check every store to the cursors of the command rings."""
        self.command_cursors = cursors
        for source in range(len(self.commands)):
            base = 32 * source
            cursors.watchers[base + COMMANDS_PUBLISHED] = self._asking(source, records, capacity)
            cursors.watchers[base + CONSUMED] = self._consuming(source)

    def _asking(self, source: int, records: SharedRecords, capacity: int) -> Any:
        def published(old: int, new: int) -> None:
            self.demand(new >= old, f"source {source}: published was lowered to {new}")
            for position in range(old, new):
                index = source * capacity + (position & (capacity - 1))
                self.commands[source][position] = records.raw(index)
            self.machine.changed()

        return published

    def _consuming(self, source: int) -> Any:
        def consumed(old: int, new: int) -> None:
            done = self.market.gateways[source]["command_next"]
            self.demand(new <= done, f"source {source}: consumed {new} before it was committed")
            self.demand(new >= old, f"source {source}: consumed was lowered to {new}")
            self.machine.changed()

        return consumed

    # ------------------------------------------------------------ readers

    def applied(self, words: list[int], position: int, who: str) -> None:
        """A reader takes this for the event at `position`."""
        if position >= len(self.history):
            self.fail(f"{who} applied {position}, which is not committed")
        if tuple(words) != self.history[position]:
            found, right = show(tuple(words)), show(self.history[position])
            self.fail(f"{who} applied {found} at {position}, committed is {right}")

    def delivered(self, session: int, number: int, position: int, which: int, words: Any) -> None:
        """A client got this message under this number of its stream."""
        streams = next((each for end, each in self.eras if position < end), self.streams)
        stream = streams[session]
        self.demand(
            0 < number <= len(stream), f"session {session}: message {number} of {len(stream)}"
        )
        right = stream[number - 1]
        self.demand(
            right == (position, which),
            f"session {session}: message {number} is of event {position}/{which}, not {right}",
        )
        self.applied(words, position, f"a client of session {session}")
        if self.holds:
            self.demand(position < self.disk.synced, f"event {position} was told, and is not safe")

    def died_of(self, attempt: int) -> None:
        """A command has ended its matcher."""
        struck = self.deaths[attempt] = self.deaths.get(attempt, 0) + 1
        self.demand(struck <= STRIKES, f"command {attempt:x} has ended {struck} matchers")

    def forget(self, position: int) -> None:
        """A loss of power: the history ends there now."""
        del self.history[position:]
        self._expected = []
        self.market = new_market(self.settings)
        self.streams = [[] for _ in self.streams]
        self.eras = []
        self.generations = [0] * len(self.generations)
        self.bound = [None] * len(self.bound)
        for place, words in enumerate(self.history):
            event = Row(list(words), 0, EVENT_FIELDS)
            _APPLY(self.market, [event], 0, place)
            self._count(event, place)


def show(words: tuple[int, ...]) -> str:
    """An event, readable."""
    row = Row(list(words), 0, EVENT_FIELDS)
    kind = row["kind"]
    name = EventKind(kind).name if kind in set(EventKind) else str(kind)
    source_next = row["source_next"]
    return (
        f"{name} {source_next >> COMMAND_NEXT_BITS}:{source_next & COMMAND_NEXT_MASK}"
        f" flags {row['flags']} reason {row['reason']} session {row['session']}"
        f" user_ref {row['user_ref']} slot {row['slot']:x} quantity {row['quantity']}"
        f" price {row['price']} time {row['time_ns']}"
    )
