"""Shell: the feed before a gateway's snapshot, encoded by a thread while the gateway serves.

A feed that began long ago takes a while to encode. The gateway begins with the market of the newest
snapshot and the messages from there on; this thread encodes everything from the first message into
another log. When it has come as far as the first, the pump goes on with the whole log: what was
sent is the same in both, only further behind, so that every client's place moves by the same
distance.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

import numpy as np

from gateways import connection as c
from gateways.itch import pump as loop
from gateways.itch import state
from gateways.itch.feed_log import COUNT, SIZE
from gateways.itch.feed_start import begin_at, first_market, newest_market
from gateways.itch.log_file import close_feed_log, create_feed_log, extend
from gateways.itch.multicast import lose_place
from gateways.itch.state import FeedPump
from gateways.outcomes import LOG_FULL
from shm_exchange.errors import ExchangeError
from shm_exchange.history import History
from shm_exchange.market import Market
from shm_exchange.roles import RoleContext

LATE_EVENTS = 1_000_000  # before a snapshot: fewer are encoded sooner than anybody asks
EVENTS_PER_READ = 16_384
_NICENESS = 5  # the matcher and the pumps come first
_ROOM_RETRY_SECONDS = 0.05


def begin_late(context: RoleContext, pump: FeedPump) -> tuple[FeedPump, Market | None]:
    """A fresh pump at the newest snapshot, if that saves much, and where its past is encoded from.

    Else one where the feed begins, and None; at the newest snapshot when that beginning is gone.
    """
    newest = newest_market(context)
    first = first_market(context, newest)
    if first is None:
        return begin_at(pump, newest), None
    late = int(newest.scalars[0]["position"]) - int(first.scalars[0]["position"])
    if late < LATE_EVENTS:
        return begin_at(pump, first), None
    return begin_at(pump, newest), first


def take_place(serving: FeedPump, whole: FeedPump) -> FeedPump:
    """The serving pump with the whole log, which has come as far. Nobody runs either now.

    Raises ExchangeError when the two do not tell the same.
    """
    if serving.log.words[COUNT] != whole.log.words[COUNT]:
        raise ExchangeError(
            f"the feed has {whole.log.words[COUNT]} messages by the journal and"
            f" {serving.log.words[COUNT]} by the snapshot: one of them is damaged"
        )
    rows = serving.connections.rows
    rows["position"][rows["state"] == c.LIVE] += whole.log.words[SIZE] - serving.log.words[SIZE]
    lose_place(serving.multicast)
    serving.words[state.LEAVE] = 0
    serving.words[state.BEHIND] = 1
    return serving._replace(market=whole.market, log=whole.log)


class Past(threading.Thread):
    """Encodes the feed from its beginning until it has almost caught up with a serving pump."""

    def __init__(self, context: RoleContext, serving: FeedPump, first: Market) -> None:
        """first: the market where it begins."""
        super().__init__(name="past", daemon=True)
        self.error: Exception | None = None
        log = create_feed_log(context.state_directory)
        own = serving._replace(log=log, known=np.zeros_like(serving.known))
        self.pump = begin_at(own, first)
        self._context = context
        self._serving = serving
        self._given_up = False

    def run(self) -> None:
        """Encode, then ask the serving loop to take over what is here."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            self.encode()
        except (ExchangeError, OSError) as error:
            self.error = error
        if not self._given_up:
            self._serving.words[state.LEAVE] = 1

    def encode(self) -> None:
        """Come as far as the serving pump is, but for what it gets meanwhile."""
        context = self._context
        ring, directory = context.wiring.ring, context.state_directory
        history = History(ring, directory, context.owner, held=context.holds)
        serving = self._serving.market.scalars
        with contextlib.closing(history):
            while not self._given_up and not context.stopping():
                position = int(self.pump.market.scalars[0]["position"])
                count = min(EVENTS_PER_READ, int(serving[0]["position"]) - position)
                events = history.read(position, count)
                outcome = int(loop.ingest(self.pump, events, len(events), position))
                if outcome == LOG_FULL:
                    if not extend(self.pump.log):
                        time.sleep(_ROOM_RETRY_SECONDS)
                elif outcome:
                    raise ExchangeError("the journal is not what the matcher had: it is damaged")
                elif len(events) < EVENTS_PER_READ:
                    return

    def give_up(self) -> None:
        """Stop: nobody needs it any more."""
        self._given_up = True
        self.join()
        self._serving.words[state.LEAVE] = 0
        close_feed_log(self.pump.log)
