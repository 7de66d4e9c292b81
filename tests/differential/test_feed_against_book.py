"""Goal: after every event the feed's book is what the replica displays, and so is a snapshot.

Method: the random requests of the naive exchange, with everything an order can ask for; the feed of
their events is read by `itchfeed`, event by event, and compared with the displayed queues.
"""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from itch.parser import MessageParser

from gateways.itch.feed_log import COUNT, SIZE, WORD_COUNT, FeedLog, append
from gateways.itch.follower import take_snapshot
from gateways.itch.outbound import KNOWN_WORDS, note
from ringbuf.jit import COMPILED, kernel
from shm_exchange.market import Market
from shm_exchange.messages import COMMAND_NEXT_BITS, EVENT_DTYPE
from shm_exchange.replica import apply
from tests.differential.book_walk import walk
from tests.differential.translation import Bench, market_like
from tests.gateways.feeds import FIRM, Book, follow, messages_of, queues, read
from tests.oracle.streams import Action, new_exchange, opening, request_of, valid_actions

RING = 1 << 12
LOG_SIZE = 1 << 20
HIDDEN = ord("N")
TICK = 1
EXAMPLES = settings(
    max_examples=40 if COMPILED else 10,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@kernel
def _tell(market, events, index, log, known):
    note(market, events[index], known)
    apply(market, events, index, index)
    append(log, events[index], index, market, known)


def displayed(market: Market) -> list[tuple[int, tuple[str, int, int]]]:
    """What a market displays, as the feed would say it, in the order of the queues."""
    above = int(market.scalars[0]["engine"]) << COMMAND_NEXT_BITS
    book: Book = {}
    for number in range(len(market.instruments)):
        tick = int(market.instruments[number]["tick"])
        for side, letter in enumerate("BS"):
            for slot, price in walk(market, number, side):
                order = market.orders[slot]
                if order["display"] != HIDDEN and order["displayed"] > 0:
                    told = (letter, price * tick, int(order["displayed"]))
                    book[above | int(order["reference"])] = told
    return queues(book)


def events_of(actions: list[Action]) -> tuple[np.ndarray, Market]:
    """The events of the requests, and an empty market of the same kind."""
    exchange = new_exchange()
    bench = Bench(exchange, RING)
    for request in opening():
        exchange.execute(request)
        bench.execute(request)
    for action in actions:
        request = request_of(action, exchange)
        exchange.execute(request)
        bench.execute(request)
    market = market_like(exchange)
    market.instruments["tick"] = TICK
    market.sessions["firm"][0] = FIRM
    return bench.events.view(np.uint8).copy().view(EVENT_DTYPE), market


@EXAMPLES
@given(valid_actions)
def test_the_feed_is_what_is_displayed(actions: list[Action]) -> None:
    """Hidden orders, reserves, attribution, replaces of all of them: after every event."""
    # Whoever rolls tells the new feed of what lives on: the matcher's process, not its kernel.
    events, market = events_of([each for each in actions if each.kind != "roll"])
    words = np.zeros(WORD_COUNT, np.int64)
    log = FeedLog(np.zeros(LOG_SIZE, np.uint8), np.zeros(LOG_SIZE >> 6, np.int64), words)
    known = np.zeros(KNOWN_WORDS, np.int64)
    parser, book = MessageParser(), {}
    for index in range(len(events)):
        start = int(words[SIZE])
        _tell(market, events, index, log, known)
        for each in messages_of(bytes(log.data[start : words[SIZE]])):
            follow(book, parser.get_message_type(each))
        assert words[COUNT] == market.scalars[0]["feed_messages"]
        assert queues(book) == displayed(market), index
    told = messages_of(bytes(take_snapshot(market).data))
    assert queues(read({}, told[:-1])) == queues(book)
