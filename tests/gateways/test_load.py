"""Goal: the load driver's own parts say the truth: its book, its prices, what must wait, what is
sent again.

Method: random feeds and orders against plain dictionaries, and a driver without sockets whose
answers are written here.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import numpy as np

from gateways.connection import reset
from gateways.itch.messages import ITCH_MESSAGE_DTYPE
from gateways.load import requests, state
from gateways.load.live_prices import count_gone, count_live, create_live_prices, may_take
from gateways.load.own_replica import feed_book
from gateways.load.rebuilt_book import FAULTS, RebuiltBook, create_rebuilt_book, follow_feed
from gateways.load.state import Load
from gateways.ouch import messages as ouch
from gateways.replay import maker_agreement, prepare
from gateways.typed import pack
from ringbuf.schema import Record
from shm_exchange.flow import CANCEL, MODIFY, NEW, REDUCE, Flow
from shm_exchange.instruments import Instrument, instrument_rows, symbol_word

BUY, SELL = ord("B"), ord("S")
SYMBOL = symbol_word("AAPL")
OURS = 2  # stock locate
FIRST_REF = 7  # next UserRefNum of the session
SILENCE_NS = 1 << 62


def tell(book: RebuiltBook, kind: str, locate: int = OURS, **fields: int) -> None:
    """Apply one message of the feed."""
    row = np.zeros(1, ITCH_MESSAGE_DTYPE)
    row["type"], row["stock_locate"] = ord(kind), locate
    for name, value in fields.items():
        row[name] = value
    follow_feed(book, row[0])


def listed_book(limit: int = 4_096) -> RebuiltBook:
    """A book whose instrument is the second in the directory."""
    book = create_rebuilt_book(SYMBOL, limit)
    tell(book, "R", 1, symbol=symbol_word("IBM"))
    tell(book, "R", OURS, symbol=SYMBOL)
    return book


def test_the_book_is_what_the_feed_says() -> None:
    """Two thousand random messages against a dictionary, which keeps the order of time."""
    random = np.random.default_rng(11)
    book = listed_book()
    orders: dict[int, list[int]] = {}
    for reference in range(1 << 48, (1 << 48) + 2_000):
        kind = str(random.choice(list("AAAEXDU"))) if orders else "A"
        price, shares = int(random.integers(100, 110)), int(random.integers(1, 50))
        old = int(random.choice(list(orders))) if orders else 0
        if kind == "A":
            side = int(random.choice([BUY, SELL]))
            tell(book, kind, reference=reference, side=side, shares=shares, price=price)
            orders[reference] = [side, price, shares]
        elif kind == "U":
            fields = {"original_reference": old, "reference": reference}
            tell(book, kind, **fields, shares=shares, price=price)
            orders[reference] = [orders.pop(old)[0], price, shares]
        else:
            shares = orders[old][2] if kind == "D" else min(shares, orders[old][2])
            tell(book, kind, reference=old, shares=0 if kind == "D" else shares)
            orders[old][2] -= shares
            if orders[old][2] == 0:
                del orders[old]
        tell(book, "A", 1, reference=reference, side=BUY, shares=1, price=1)  # another instrument
    queues: Counter[tuple[int, int]] = Counter()
    wanted = []
    for reference, (side, price, shares) in orders.items():
        wanted.append((side, price, queues[side, price], reference, shares))
        queues[side, price] += 1
    assert book.words[FAULTS] == 0
    assert feed_book(book).tolist() == sorted(wanted)


def test_the_book_notices_nonsense() -> None:
    """An unknown order, more shares than there are, an order too many."""
    book = listed_book(limit=2)
    tell(book, "D", reference=5)
    tell(book, "A", reference=1, side=BUY, shares=10, price=100)
    tell(book, "E", reference=1, shares=11)
    tell(book, "U", original_reference=9, reference=10, shares=1, price=1)
    assert book.words[FAULTS] == 3
    tell(book, "A", reference=2, side=BUY, shares=10, price=100)
    tell(book, "A", reference=3, side=BUY, shares=10, price=100)
    assert book.words[FAULTS] == 4
    assert len(feed_book(book)) == 2


def test_who_may_take() -> None:
    """Random orders come and go: the same as looking at all of them."""
    random = np.random.default_rng(5)
    live = create_live_prices(40, 3_000, False)
    counted: dict[int, tuple[int, int]] = {}
    for index in range(3_000):
        side, level = int(random.choice([BUY, SELL])), int(random.integers(0, 40))
        others = [each for other, each in counted.values() if other != side]
        crosses = any(each <= level if side == BUY else each >= level for each in others)
        assert may_take(live, side, level) == crosses
        count_live(live, index, side, level)
        counted[index] = side, level
        while len(counted) > random.integers(0, 8):
            gone = int(random.choice(list(counted)))
            count_gone(live, gone, *counted.pop(gone))
            count_gone(live, gone, side, level)  # a second time is no harm
    assert may_take(create_live_prices(40, 1, True), BUY, 0) == 1


# ---------------------------------------------------------------- a driver without sockets


def driver(*rows: tuple[int, int, int, int, int]) -> Load:
    """One session that is about to send (kind, side, quantity, order_id, price) messages."""
    kind, side, quantity, order_id, price = (np.array(column) for column in zip(*rows, strict=True))
    flow = Flow(kind, side, np.zeros(len(rows), np.uint8), quantity, order_id, price)
    instrument = instrument_rows([Instrument(symbol="AAPL", tick=Decimal("0.01"))])[0]
    load = prepare(flow, 1, instrument, 64, None, strangers=False)
    reset(load.connections, 0, 99, 0, SILENCE_NS, 0, 1)
    return load


def answer(load: Load, record: Record, letter: str, **fields: object) -> int:
    """The exchange says something; what the driver makes of it."""
    values: dict[str, object] = {}
    for each in record.fields:
        values[each.name] = "" if each.type == "a" else 0
    del values["type"]
    data = np.frombuffer(pack(record, letter, **(values | fields)), np.uint8).copy()
    return int(requests.take_answer(load, 0, data, 0, len(data), 1_000))


def queried(load: Load, next_ref: int = FIRST_REF) -> int:
    """The answer to an account query."""
    return answer(load, ouch.ACCOUNT_QUERY_RESPONSE, "Q", next_user_ref_num=next_ref)


def started(*rows: tuple[int, int, int, int, int]) -> Load:
    """A driver that knows its next UserRefNum."""
    load = driver(*rows)
    assert requests.ask_barrier(load, 0)
    assert queried(load) == 0
    assert load.sessions[0]["state"] == state.SENDING
    drain(load)
    return load


def drain(load: Load) -> bytes:
    """What it has sent since it was asked last."""
    row = load.connections.rows[0]
    sent = load.connections.outbound[row["out_start"] : row["out_end"]].tobytes()
    row["out_start"] = row["out_end"]
    return sent


def send(load: Load, count: int) -> None:
    """Send messages 0 to count - 1."""
    for index in range(count):
        assert requests.send_message(load, 0, index, 500)


def test_a_session_without_numbers_is_exhausted() -> None:
    """An account query that is answered by 0."""
    load = driver((NEW, 0, 10, 1, 100))
    requests.ask_barrier(load, 0)
    assert queried(load, 0) == state.EXHAUSTED


def test_a_modify_of_an_order_that_cannot_trade_goes_at_once() -> None:
    """Nothing on its way crosses it; its total counts what was executed."""
    load = started((NEW, 0, 10, 1, 100), (NEW, 1, 5, 2, 101), (MODIFY, 0, 8, 1, 99))
    send(load, 2)
    assert not requests.must_wait(load, 0, 2)
    answer(load, ouch.ORDER_ACCEPTED, "A", user_ref_num=FIRST_REF, quantity=10)
    fields = {"user_ref_num": FIRST_REF, "quantity": 4, "match_number": 1}
    answer(load, ouch.ORDER_EXECUTED, "E", liquidity_flag="A", **fields)
    requests.send_message(load, 0, 2, 500)
    assert load.requests[2]["quantity"] == 12
    assert load.orders[0]["executed"] == 4 and load.orders[0]["leaves"] == 6


def test_a_modify_waits_for_whoever_may_hit_its_order() -> None:
    """Until a barrier has shown that it did not; or until it is known to be finished."""
    rows = ((NEW, 0, 10, 1, 100), (NEW, 1, 5, 2, 100), (MODIFY, 0, 8, 1, 99))
    load = started(*rows)
    send(load, 2)
    assert requests.must_wait(load, 0, 2)
    requests.ask_barrier(load, 0)
    queried(load)
    assert not requests.must_wait(load, 0, 2)
    load = started(*rows)
    send(load, 2)
    answer(load, ouch.ORDER_ACCEPTED, "A", user_ref_num=FIRST_REF, quantity=10)
    answer(load, ouch.ORDER_ACCEPTED, "A", user_ref_num=FIRST_REF + 1, quantity=5)
    assert requests.must_wait(load, 0, 2)
    fields = {"user_ref_num": FIRST_REF + 1, "quantity": 5, "match_number": 1}
    answer(load, ouch.ORDER_EXECUTED, "E", liquidity_flag="R", **fields)
    assert not requests.must_wait(load, 0, 2)
    assert load.words[state.TRADES] == 1


def test_what_is_passed_over_was_ignored() -> None:
    """Answers come in the order of the requests: an answer settles those before it."""
    rows = ((NEW, 0, 10, 1, 100), (CANCEL, 0, 0, 1, 0), (CANCEL, 0, 0, 1, 0), (NEW, 0, 1, 2, 90))
    load = started(*rows)
    send(load, 4)
    answer(load, ouch.ORDER_ACCEPTED, "A", user_ref_num=FIRST_REF, quantity=10)
    fields = {"user_ref_num": FIRST_REF, "quantity": 10}
    answer(load, ouch.ORDER_CANCELED, "C", reason="U", **fields)
    assert load.words[state.IGNORED] == 0
    answer(load, ouch.ORDER_ACCEPTED, "A", user_ref_num=FIRST_REF + 1, quantity=1)
    assert load.words[state.IGNORED] == 1
    assert load.words[state.CANCELLED] == 1
    assert load.latencies.tolist() == [500, 500, -1, 500]


def test_a_reduce_lowers_the_chain() -> None:
    """Its total is what the order was last told to be, less the quantity, never below 0."""
    load = started((NEW, 0, 10, 1, 100), (REDUCE, 0, 4, 1, 0), (REDUCE, 0, 9, 1, 0))
    send(load, 3)
    assert load.requests["quantity"][:3].tolist() == [10, 6, 0]


def test_everything_unanswered_is_sent_again_under_its_numbers() -> None:
    """The same bytes; what was answered is not sent, and a barrier needs one answer more."""
    rows = ((NEW, 0, 10, 1, 100), (NEW, 0, 3, 2, 99), (CANCEL, 0, 0, 2, 0))
    load = started(*rows)
    send(load, 1)
    drain(load)
    for index in (1, 2):
        requests.send_message(load, 0, index, 500)
    first = drain(load)
    answer(load, ouch.ORDER_ACCEPTED, "A", user_ref_num=FIRST_REF, quantity=10)
    assert requests.send_again(load, 0)
    assert drain(load) == first

    requests.ask_barrier(load, 0)
    query = drain(load)
    assert requests.send_again(load, 0)  # the connection is lost again before the answer
    assert drain(load) == first + 2 * query
    queried(load)
    assert load.sessions[0]["awaited"]  # this may have been the answer to the lost one's query
    queried(load)
    assert not load.sessions[0]["awaited"]
    assert load.words[state.IGNORED] == 2


def test_a_message_cut_short_is_a_violation() -> None:
    """Of every kind that is read."""
    load = started((NEW, 0, 10, 1, 100))
    for letter in "AUCEJQ":
        data = np.frombuffer(letter.encode() + bytes(9), np.uint8).copy()
        assert requests.take_answer(load, 0, data, 0, len(data), 1) == state.VIOLATION


def test_the_first_maker_counts() -> None:
    """Of two makers the one with the lower match number; a maker that we do not know is none."""
    columns = [np.zeros(4, np.int64) for _ in range(6)]
    flow = Flow(*columns)._replace(
        order_id=np.array([10, 11, 12, 13]), expected_maker=np.array([-1, -1, 11, 10])
    )
    trades = np.zeros(5, state.TRADE.dtype)
    trades["match_number"] = [7, 7, 5, 5, 9]
    trades["message"] = [0, 2, 1, 2, 3]
    trades["taker"] = [0, 1, 0, 1, 1]
    assert maker_agreement(flow, trades) == [1, 2]
    assert maker_agreement(flow._replace(expected_maker=None), trades) == [0, 0]
