"""Shell: replays of a session's stream from ring or journal, for the pump's connections.

Every message is a function of one event, so a replay runs over events: backwards, counting, to
find where the wanted number is, then forwards, encoding into the pump's replay buffer, one chunk
at a time. The pump goes on by itself from where the ring has the rest. All of that in a thread of
its own: a long stream takes a while, and others log in meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gateways import mailbox as letters
from gateways.control import log
from gateways.mailbox import LETTER, post_inward
from gateways.ouch.backlog import encode_events, skip_messages
from gateways.ouch.state import SETTING_ENGINE, OrderPump
from gateways.ouch.stream import NO_POSITION
from shm_exchange.errors import ExchangeError
from shm_exchange.history import History, joined
from shm_exchange.messages import ORDER_TAGS, EventKind
from shm_exchange.streams import count_in

EVENTS_PER_READ = 16_384


def before_roll(events: np.ndarray) -> np.ndarray:
    """What comes before ROLLED: behind it is another stream, for which clients log in again."""
    rolled = np.flatnonzero(events["kind"] == EventKind.ROLLED)
    return events[: rolled[0]] if len(rolled) else events


class ReplayService:
    """Serves one pump, one chunk at a time: the buffer is the pump's until it says TAKEN."""

    def __init__(self, pump: OrderPump, history: History) -> None:
        self._mailbox = pump.mailbox
        self._buffer = pump.replay
        self._instruments = pump.market.instruments  # of it, what is configured
        self._sessions = pump.market.sessions  # likewise
        self._names = pump.names
        self._engine = int(pump.settings[SETTING_ENGINE])
        self._history = history
        self._waiting: deque[np.ndarray] = deque()
        self._busy = False
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._answer = np.zeros(1, LETTER.dtype)
        self._tags = np.zeros(1, ORDER_TAGS.dtype)

    def on_letter(self, letter: np.ndarray) -> None:
        """REPLAY: a connection wants messages. TAKEN: the buffer is free again. In a loop."""
        if letter[0]["kind"] == letters.TAKEN:
            self._busy = False
        elif letter[0]["kind"] == letters.REPLAY:
            self._waiting.append(letter.copy())
        self._serve_next()

    def _serve_next(self) -> None:
        if not self._busy and self._waiting:
            self._busy = True
            asked = self._waiting.popleft()[0]
            done = asyncio.get_running_loop().run_in_executor(self._worker, self._serve, asked)
            done.add_done_callback(self._send)

    def _send(self, done: asyncio.Future[None]) -> None:
        """Post the answer: the loop's thread alone writes letters."""
        self._busy = not done.cancelled() and bool(post_inward(self._mailbox, self._answer))

    def _serve(self, asked: np.void) -> None:
        """Fill buffer and answer; a stream that cannot be read ends the connection."""
        answer = self._answer[0]
        answer["kind"] = letters.CHUNK
        answer["connection"] = asked["connection"]
        answer["serial"] = asked["serial"]
        answer["detail"] = 1
        try:
            answer["count"], messages, answer["position"] = self._fill(asked)
            answer["number"] = int(asked["number"]) + messages
            answer["detail"] = 0
        except (ExchangeError, OSError) as error:
            log(f"a stream cannot be replayed: {error}")

    def _fill(self, asked: np.void) -> tuple[int, int, int]:
        """Bytes and messages that are in the buffer now, and the position behind them."""
        session = int(asked["session"])
        position, skip = int(asked["position"]), 0
        if position == NO_POSITION:
            position, skip = self._locate(
                session,
                int(asked["count"]) - int(asked["number"]) + 1,
                int(asked["end_position"]),
            )
        size = count = 0
        buffer = self._buffer
        while True:
            events = before_roll(self._history.read(position, EVENTS_PER_READ))
            if len(events) == 0:
                break
            done, messages, finished = encode_events(
                self._sessions,
                self._names,
                events,
                position,
                session,
                skip,
                self._instruments,
                self._engine,
                self._tags,
                buffer[size:],
            )
            size += done
            count += messages
            position += finished
            skip = 0 if finished else skip
            if finished < len(events):
                break
        return size, count, position

    def _locate(self, session: int, needed: int, end: int) -> tuple[int, int]:
        """Where the last `needed` messages below `end` begin: position, messages to skip there."""
        begin = self._history.begin()  # what was removed there is no part of a stream that lives
        while end > begin:
            first = max(begin, end - EVENTS_PER_READ)
            events = self._between(first, end)
            here = int(count_in(self._sessions, events, len(events), session))
            if here >= needed:
                index, skip = skip_messages(self._sessions, events, session, here - needed)
                return first + int(index), int(skip)
            needed -= here
            end = first
        raise ExchangeError(f"{needed} messages of it come before position {begin}")

    def _between(self, first: int, end: int) -> np.ndarray:
        """The events [first, end), both of which may lie within a group."""
        events = self._history.read(first, EVENTS_PER_READ)
        while first + len(events) < end:  # the journal and the ring each had a part
            more = self._history.read(first + len(events), EVENTS_PER_READ)
            if len(more) == 0:
                raise ExchangeError(f"there is nothing at position {first + len(events)} yet")
            events = joined(events, more)
        return events[: end - first]
