"""A simulated order gateway: the real pump; above it clients instead of sockets and bytes.

One message is one item of a connection's buffer, whatever its size on the wire would be.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateways import connection as c
from gateways import mailbox as letters
from gateways.connection import CONNECTION, Connections
from gateways.mailbox import LETTER, Mailbox
from gateways.order_index import OrderIndex
from gateways.ouch import state
from gateways.ouch.inbound import Desk
from gateways.ouch.outbound import MAKER, TAKER
from gateways.ouch.state import OrderPump
from gateways.ouch.tags import OUCH_REQUEST
from gateways.outcomes import DIFFERS, LAPPED, STOPPED
from gateways.risk import Risk
from ringbuf import layout
from ringbuf.broadcast import DURABLE, PUBLISHED
from ringbuf.spsc import Spsc
from shm_exchange.market import FREE, Market
from shm_exchange.messages import SLOT_BITS, CommandKind, EventKind
from shm_exchange.slots import DEPTH, LIMIT, SOURCE, UNUSED, Slots
from shm_exchange.wiring import PROCESS_SOURCE_FIRST
from tests.simulation.install import MODULES
from tests.simulation.memory import Records, Row, SparseWords, Words, dense, zero_row
from tests.simulation.private import SLOTS_PER_GATEWAY, new_market
from tests.simulation.roles import CHUNK, EVENT_FIELDS, Exchange, HistoryGone
from tests.simulation.shared import BELL_FIRST, bells
from tests.simulation.world import TICK_NS, Process

CLIENTS = 4
INBOUND, OUTBOUND = 16, 64  # items
LETTERS = 16
INDEX_CELLS = 512
UNSEQUENCED = ord("U")
NEEDS_MORE = 0
SILENCE_NS = 10**15
INTERVAL_NS = 50 * TICK_NS  # so that a client which sends many requests is held now and then
_PUMP = MODULES["pump"]
_INDEX = MODULES["order_index"]
_MAILBOX = MODULES["mailbox"]
_LOCK = MODULES["writer_lock"]


# ---------------------------------------------------------------- instead of bytes


def _next_packet(data: Any, offset: int, end: int, limit: int) -> tuple[int, int, int, int]:
    if offset >= end:
        return NEEDS_MORE, offset, 0, offset
    return data[offset]["packet"], offset, 1, offset + 1


def _decode(data: Any, offset: int, length: int, request: dict[str, int]) -> int:
    request.update(data[offset])
    return 0


def _encode(
    event: Any,
    tags: None,
    position: int,
    which: int,
    instruments: Any,
    engine: int,
    data: Any,
    offset: int,
) -> int:
    data[offset] = ("event", position, which, tuple(event.words))
    return 1


def _login_accepted(data: Any, offset: int, stream_0: int, stream_1: int, first: int) -> None:
    data[offset] = ("accepted", first, stream_0)


def _end_of_session(data: Any, offset: int) -> None:
    data[offset] = ("end",)


def _heartbeat(data: Any, offset: int) -> None:
    data[offset] = ("heartbeat",)


MODULES["clients"].next_packet = _next_packet
MODULES["clients"].decode = _decode
MODULES["clients"].write_end_of_session = _end_of_session
MODULES["clients"].HEADER_SIZE = 1
MODULES["stream"].encode = _encode
MODULES["stream"].write_login_accepted = _login_accepted
MODULES["stream"].LOGIN_ACCEPTED_SIZE = MODULES["stream"].MESSAGE_SIZE_MAX = 1
MODULES["pump"].write_server_heartbeat = _heartbeat
MODULES["pump"].HEADER_SIZE = 1
# One pass takes less, so that a pass can be met by others.
MODULES["pump"].EVENTS_PER_PASS = MODULES["backpressure"].EVENTS_PER_PASS = 8
MODULES["stream"].EVENTS_PER_PASS = 8
MODULES["pump"].LOOKS_AWAITING = 2
MODULES["clients"].MESSAGES_PER_PASS, MODULES["clients"].MESSAGES_CONTENDED = 4, 2
MODULES["shares"].SHARE_BURST, MODULES["shares"].SHARE_PORTION = 4, 2
MODULES["backpressure"].COMMANDS_UNDER_WAY, MODULES["backpressure"].COMMANDS_CONTENDED = 16, 8


# ---------------------------------------------------------------- private memory


def _queue() -> Spsc:
    return Spsc([0] * 32, dense(zero_row(LETTER), LETTERS))  # type: ignore[arg-type]


def _index() -> OrderIndex:
    return OrderIndex(keys=SparseWords(INDEX_CELLS), slots=SparseWords(INDEX_CELLS))  # type: ignore[arg-type]


def _slots(market: Market, source: int) -> Slots:
    """What `create_slots` does."""
    used = market.gateways[source]["slots_high_water"]
    first = source << SLOT_BITS
    free = [slot for slot in range(first, first + used) if market.orders[slot]["state"] == FREE]
    words = [0] * 4
    words[DEPTH], words[UNUSED] = len(free), used
    words[LIMIT], words[SOURCE] = SLOTS_PER_GATEWAY, source
    stack = free[::-1] + [0] * (SLOTS_PER_GATEWAY - len(free))
    return Slots(stack=stack, words=words)  # type: ignore[arg-type]


def _no_limits(source: int, sessions: int) -> Risk:
    """What `create_risk` makes when no session has a limit."""
    none: Any = [0] * (8 * sessions)
    return Risk([0, source], none, none, none, none, none, none)  # type: ignore[arg-type]


def _desk(exchange: Exchange, market: Market, source: int) -> Desk:
    """What `process.build_desk` does."""
    index, symbols = _index(), _index()
    for number, row in enumerate(market.gateways):
        _INDEX.index_slots(index, market.orders, number << SLOT_BITS, row["slots_high_water"])
    for number, row in enumerate(market.instruments):
        _INDEX.insert_order(symbols, row["symbol"], number + 1)
    offered = SparseWords(SLOTS_PER_GATEWAY)
    for number in range(market.gateways[source]["slots_high_water"]):
        order = market.orders[(source << SLOT_BITS) + number]
        offered[number] = (order["instrument"] << 8) | order["side"]
    return Desk(
        commands=exchange.shared.command_ring(source),
        order_index=index,
        symbols=symbols,
        slots=_slots(market, source),
        instruments=market.instruments,
        offered=offered,  # type: ignore[arg-type]
        tags=None,  # type: ignore[arg-type]
        risk=_no_limits(source, exchange.settings.sessions),
    )


def build_pump(exchange: Exchange, market: Market, source: int) -> OrderPump:
    """What `process.build_pump` does."""
    shared = exchange.shared
    number = PROCESS_SOURCE_FIRST + source
    settings = [0] * state.SETTING_COUNT
    settings[state.SETTING_SOURCE], settings[state.SETTING_PROCESS] = source, number
    settings[state.SETTING_POLICY] = exchange.policies.get(number, 0)
    settings[state.SETTING_EPOLL] = exchange.machine.new_identifier()
    settings[state.SETTING_INTERVAL_NS] = INTERVAL_NS
    settings[state.SETTING_VISIBLE] = DURABLE if exchange.holds else PUBLISHED
    rows = dense(zero_row(CONNECTION), CLIENTS)
    for row in rows:
        row["fd"] = -1
    fields: dict[str, Any] = {
        "market": market,
        "ring": shared.ring,
        "desk": _desk(exchange, market, source),
        "connections": Connections(
            rows, [None] * (CLIENTS * INBOUND), [None] * (CLIENTS * OUTBOUND), [0] * (CLIENTS + 1)
        ),
        "mailbox": Mailbox(_queue(), _queue(), [0, 0, 0, 0, -1]),  # type: ignore[arg-type]
        "by_session": Words([0] * exchange.settings.sessions),
        "doorbells": shared.doorbells,
        "control_words": shared.words,
        "process_words": shared.process_words,
        "bells": bells(),
        "patience": [0, 0],
        "lock": shared.lock,
        "succession": [1],
        "settings": settings,
        "words": [0] * state.WORD_COUNT,
        "clock": [0, 0],
        "request": dense(zero_row(OUCH_REQUEST), 1),
        "letter": dense(zero_row(LETTER), 1),
        "copied": Records(EVENT_FIELDS, 8, state.EVENTS_PER_PASS),
        "passed": Records(EVENT_FIELDS, 8, state.EVENTS_PER_PASS),
        "ready": SparseWords(state.EPOLL_EVENT_SIZE * state.READY_PER_PASS),
        "tags": None,
        "timed": None,
        "answered": [0] * (2 * state.EVENTS_PER_PASS),
        "latencies": state.Latencies(*([0] * layout.HISTOGRAM_WORDS for _ in range(4))),
        "names": [0] * exchange.settings.sessions,
        "replay": [None] * (OUTBOUND // 2),
    }
    return OrderPump(**fields)


class Gateway:
    """What a gateway's Python side keeps: it is private memory, and dies with the process."""

    def __init__(self, exchange: Exchange, pump: OrderPump, process: Process) -> None:
        self.exchange, self.pump, self.process = exchange, pump, process
        self.free = list(range(CLIENTS))
        self.taken: set[int] = set()
        self.waiting: list[dict[str, int]] = []
        self.busy = False
        self.letter = dense(zero_row(LETTER), 1)

    def log_in(self, socket: Any, session: int, asked: int) -> bool:
        """A client's login; False: no place for it now, or it has to wait."""
        if not self.free or self._is_bound(session):
            return False
        letter = self.letter[0]
        letter.update(kind=letters.OPEN, connection=self.free[-1], fd=socket.number)
        letter.update(session=session, number=asked, detail=SILENCE_NS)
        if not _MAILBOX.post_inward(self.pump.mailbox, self.letter):
            return False
        self.taken.add(self.free.pop())
        self._ring()
        return True

    def _is_bound(self, session: int) -> bool:
        """Whether a session's last gateway is dead, and the market has not heard of it."""
        market, shared = self.pump.market, self.exchange.shared
        row = market.sessions[session]
        source = row["gateway"]
        gateway = market.gateways[source]
        ours = self.process.number - PROCESS_SOURCE_FIRST
        if not row["connected"] or source == ours or not gateway["alive"]:
            return False
        lives = shared.command_ring(source).cursors[MODULES["spsc"].INCARNATION]
        dead = _LOCK.owner_died(shared.producer_locks[source])
        return bool(dead or lives != gateway["incarnation"])

    def _ring(self) -> None:
        self.exchange.machine.event_signal(BELL_FIRST + self.process.number)
        self.exchange.machine.changed()

    def step(self) -> None:
        """Read the letters of the pump; serve one replay."""
        while _MAILBOX.take_outward(self.pump.mailbox, self.letter):
            letter = self.letter[0]
            if letter["kind"] == letters.CLOSED:
                self.taken.discard(letter["connection"])
                self.free.append(letter["connection"])
            elif letter["kind"] == letters.TAKEN:
                self.busy = False
            elif letter["kind"] == letters.REPLAY:
                self.waiting.append(dict(letter))
        if self.waiting and not self.busy:
            self._serve(self.waiting.pop(0))

    def _serve(self, asked: dict[str, int]) -> None:
        """What `ReplayService` does."""
        answer = self.letter[0]
        answer.update(kind=letters.CHUNK, connection=asked["connection"], serial=asked["serial"])
        answer["detail"] = 0
        try:
            items, answer["position"] = self._fill(asked)
            answer["count"] = len(items)
            answer["number"] = asked["number"] + len(items)
            self.pump.replay[: len(items)] = items
        except HistoryGone:
            answer["detail"] = 1
        self.busy = bool(_MAILBOX.post_inward(self.pump.mailbox, self.letter))
        self._ring()

    def _locate(self, session: int, needed: int, end: int) -> tuple[int, int]:
        """Where the last `needed` messages below `end` begin: position, messages to skip there."""
        while end > 0:
            end -= 1
            found = self.exchange.read(end, 1, held=self.exchange.holds)
            needed -= len(_messages(found[0], end, session))
            if needed <= 0:
                return end, -needed
        return 0, 0

    def _fill(self, asked: dict[str, int]) -> tuple[list[Any], int]:
        session, position, skip = asked["session"], asked["position"], 0
        if position < 0:
            needed = asked["count"] - asked["number"] + 1
            position, skip = self._locate(session, needed, asked["end_position"])
        items: list[Any] = []
        while True:
            found = self.exchange.read(position, 1, held=self.exchange.holds)
            if not found or found[0][0] & 0xFF == int(EventKind.ROLLED):
                return items, position
            messages = _messages(found[0], position, session)
            if skip >= len(messages):
                skip -= len(messages)
                messages = []
            if len(items) + len(messages) - skip > len(self.pump.replay):
                return items, position
            items += messages[skip:] if messages else []
            skip = 0 if messages else skip
            position += 1


def _messages(words: tuple[int, ...], position: int, session: int) -> list[Any]:
    row = Records(EVENT_FIELDS, 8, 1)[0]
    row.words[:] = words
    count = MODULES["streams"].session_messages(row, session)
    if count == 0:
        return []
    sides = [MAKER]
    if MODULES["streams"].is_two_sided(row["kind"]):
        sides = [MAKER] if row["session"] == session else []
        sides += [TAKER] if row["taker_session"] == session else []
    return [("event", position, side, tuple(words)) for side in sides]


class Service:
    """What `process.OrderService` does, in the pump's thread."""

    def __init__(self, exchange: Exchange, source: int, process: Process) -> None:
        self.exchange, self.source, self.process = exchange, source, process
        self.lock = exchange.shared.producer_locks[source]
        self.commands = exchange.shared.command_ring(source)

    def run(self) -> object:
        """From the lock to the end."""
        words = self.exchange.shared.words
        while _LOCK.try_lock(self.lock) == _LOCK.BUSY:
            if words[layout.STOP] != 0:
                return STOPPED
            self.exchange.machine.idle()
        if not _wait_for_matcher(self.exchange):
            return STOPPED
        try:
            return self._serve()
        except HistoryGone:
            return LAPPED

    def _serve(self) -> object:
        market = self._replica()
        if market is None:
            return STOPPED
        self.pump = build_pump(self.exchange, market, self.source)
        first = market.gateways[self.source]["command_next"]
        self.pump.words[state.COMMAND_POSITION] = self.pump.words[state.COMMAND_PUBLISHED] = first
        self._say_started(first)
        private = self.process.private
        private.gateway = Gateway(self.exchange, self.pump, self.process)
        while True:
            private.market = self.pump.market
            outcome = _PUMP.run(self.pump)
            if outcome == STOPPED:
                _LOCK.unlock(self.lock)
                return STOPPED
            self._catch_up(outcome)

    def _replica(self) -> Market | None:
        exchange, held = self.exchange, self.exchange.holds
        market = new_market(exchange.settings)
        position = exchange.recover(market)
        asked = MODULES["spsc"].published(self.commands)
        gateway = market.gateways[self.source]
        while gateway["command_next"] < asked or exchange.end(held=held) < position:
            if exchange.shared.words[layout.STOP] != 0:
                return None
            exchange.machine.idle()
            position = exchange.catch_up(market, held=held)
        return market

    def _say_started(self, position: int) -> None:
        pump = self.pump
        known = pump.market.gateways[self.source]["incarnation"]
        incarnation = max(known, self.commands.cursors[MODULES["spsc"].INCARNATION]) + 1
        self.commands.cursors[MODULES["spsc"].INCARNATION] = incarnation
        kind, now_ns = int(CommandKind.GATEWAY_STARTED), self.exchange.machine.clock()
        command = MODULES["inbound"].blank_command(pump.desk, position, kind, 0, 0, now_ns)
        command["user_ref"] = incarnation
        pump.words[state.COMMAND_POSITION] = position + 1

    def _catch_up(self, outcome: int) -> None:
        told = self.pump.market.scalars[0]["position"]
        _PUMP.keep_alive(self.pump)
        found = self._present(outcome)
        if found is not None:
            self.pump = found
            self.process.private.gateway.pump = found
            MODULES["rejoin"].rejoin(found, told, self.exchange.machine.clock())

    def _present(self, outcome: int) -> OrderPump | None:
        pump, exchange = self.pump, self.exchange
        # Sometimes the newest snapshot is nearer.
        if outcome == DIFFERS or exchange.machine.random.random() < 0.3:
            market = self._replica()
            if market is None:
                return None
            pump = pump._replace(market=market, desk=_desk(exchange, market, self.source))
        while exchange.shared.words[layout.STOP] == 0:
            position = pump.market.scalars[0]["position"]
            records = exchange.read(position, CHUNK, held=exchange.holds)
            if not records:
                return pump
            events = [Row(list(words), 0, EVENT_FIELDS) for words in records]
            MODULES["follow"].follow_all(pump.market, pump.desk, events, position)
        return None


def start_gateway(exchange: Exchange, source: int) -> Process:
    """A process of one order gateway."""
    number = PROCESS_SOURCE_FIRST + source
    process = Process(exchange.machine, f"gateway {source}", number)
    process.private = SimpleNamespace(market=None, gateway=None)
    process.start("pump", lambda: Service(exchange, source, process).run())
    return process


def _wait_for_matcher(exchange: Exchange) -> bool:
    """Until somebody reigns; False: the exchange stops."""
    shared = exchange.shared
    while shared.processes[0]["state"] != layout.STATE_READY:
        if shared.words[layout.STOP] != 0:
            return False
        exchange.machine.idle()
    return True


IS_OPEN = (c.LIVE, c.CATCHING_UP, c.REPLAYING)
