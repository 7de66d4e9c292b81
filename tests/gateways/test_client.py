"""Goal: the Python clients say and hear what the protocols say, over real sockets, and come back.

Method: a server on the loopback (soup_server) whose application is a few lines of `struct`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Coroutine
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from gateways import client_connection
from gateways.client import (
    Book,
    ItchClient,
    Level,
    LoginRejected,
    OuchClient,
    PeerError,
    Side,
    Tag,
    TimeInForce,
    Unknown,
)
from gateways.itch import messages as itch_records
from gateways.itch import typed_messages as itch
from gateways.ouch import messages as ouch_records
from gateways.ouch import typed_messages as ouch
from gateways.ouch.tag_text import pack_tags, unpack_tags
from gateways.sessions import packet
from gateways.typed import decode, wire_price
from gateways.unacknowledged import Request, Unacknowledged
from tests.gateways.event_cases import CASES
from tests.gateways.ouch_cases import cancel, enter, modify, replace, tail, value
from tests.gateways.soup_server import SESSION_ID, SoupServer, TinyExchange, running


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """A scenario, which must not take long."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await scenario

    asyncio.run(limited())


async def _connect(server: SoupServer, **options: Any) -> OuchClient:
    return await OuchClient.connect("127.0.0.1", server.port, "t001", "demo", **options)


# ---------------------------------------------------------------- typed messages


def _packets(of: str) -> list[bytes]:
    if of == "ouch":
        return [each[3:] for case in CASES for packets in case.ouch.values() for each in packets]
    return [case.feed[3:] for case in CASES if case.feed]


@pytest.mark.parametrize("message", _packets("ouch"), ids=lambda data: chr(data[0]))
def test_ouch_messages_are_read_by_their_declaration(message: bytes) -> None:
    """Every field of the record, with its value, in the object."""
    decoded = decode(ouch.MESSAGES, message)
    letter = chr(message[0])
    record = ouch_records.OUTBOUND[letter]
    for each in record.fields:
        if each.name in ("type", "appendage_length"):
            continue
        start = record.offset_of(each.name)
        raw = message[start : start + each.size]
        found = getattr(decoded, each.name)
        if isinstance(found, str):
            assert found == raw.decode().rstrip()
        else:
            scale = 10_000 if isinstance(found, Decimal) else 1
            assert int(found * scale) == int.from_bytes(raw, "big")


def test_every_message_has_a_class_with_the_fields_of_its_record() -> None:
    for module, records in ((ouch, ouch_records.OUTBOUND), (itch, itch_records.MESSAGES)):
        assert set(module.MESSAGES) == set(records)
        for letter, record in records.items():
            cls = module.MESSAGES[letter]
            assert cls.RECORD is record
            ours = {each.name for each in fields(cls)} - {"tags"}
            declared = {each.name for each in record.fields} - {"type", "appendage_length"}
            if "timestamp_high" in declared:
                declared = declared - {"timestamp_high", "timestamp_low"} | {"timestamp"}
            assert ours == declared
            assert decode(module.MESSAGES, letter.encode() + bytes(record.size - 1)) is not None


def test_lengths_are_judged() -> None:
    accepted = next(message for message in _packets("ouch") if message[:1] == b"A")
    for bad in (b"", accepted[:-1], accepted + b"x", accepted[:-1] + b"\x01"):
        with pytest.raises(PeerError):
            decode(ouch.MESSAGES, bad)
    with pytest.raises(PeerError):
        decode(itch.MESSAGES, b"D" + bytes(19))
    assert decode(itch.MESSAGES, b"?x") == Unknown("?", b"?x")


def test_tags_both_ways() -> None:
    tags = {
        Tag.MINIMUM_QUANTITY: 5,
        Tag.PEG_OFFSET: Decimal("-0.0300"),
        Tag.FIRM: "AB",
        Tag.GOOD_TILL_CANCELLED: "G",
        200: b"xyz",
    }
    data = pack_tags(tags)
    assert data == (
        value(3, struct.pack(">I", 5))
        + value(7, struct.pack(">i", -300))
        + value(2, b"AB  ")
        + value(128, b"G")
        + value(200, b"xyz")
    )
    assert unpack_tags(data) == {**tags, Tag.PEG_OFFSET: -300}
    accepted = next(message for message in _packets("ouch") if message[:1] == b"A")
    tagged = accepted[:-2] + struct.pack(">H", len(data)) + data
    assert decode(ouch.MESSAGES, tagged).tags[Tag.FIRM] == "AB"
    with pytest.raises(PeerError, match="appendage"):
        unpack_tags(data[:-1])
    for bad in ({3: 1 << 32}, {2: "ABCDE"}, {99: 1}):
        with pytest.raises(ValueError, match="tag"):
            pack_tags(bad)


def test_prices() -> None:
    assert [wire_price(each) for each in ("101.25", 101.25, Decimal("101.2500"), 7)] == [
        1_012_500,
        1_012_500,
        1_012_500,
        70_000,
    ]
    with pytest.raises(ValueError, match="four decimals"):
        wire_price("0.00001")


# ---------------------------------------------------------------- order entry


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_requests_and_answers(chunk: int) -> None:
    """Every request byte by byte as the specification says; answers however TCP cuts them."""

    async def scenario() -> None:
        exchange = TinyExchange()
        server = SoupServer(exchange.answer)
        server.chunk = chunk
        async with running(server), await _connect(server) as client:
            assert client.session == SESSION_ID
            first = await client.enter(
                Side.BUY, 100, "AAPL", "123.45", client_order_id="order-1/abc"
            )
            second = await client.enter(
                Side.SELL,
                100,
                "AAPL",
                Decimal("123.45"),
                time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
                display="N",
                capacity="A",
                sweep=True,
                client_order_id="order-1/abc",
                tags={Tag.POST_ONLY: "P"},
            )
            third = await client.replace(first, 250, "0.0099", time_in_force="3", display="N")
            await client.cancel(second, 30)
            await client.modify(second, Side.SELL_SHORT_EXEMPT, 5)
            assert await client.account_query() == 3
            assert (first, second, third) == (1, 2, 3)
            assert server.received == [
                enter(),
                enter(
                    value(12, b"P"),
                    user_ref=2,
                    side=b"S",
                    time_in_force=b"3",
                    display=b"N",
                    capacity=b"A",
                    sweep=b"Y",
                ),
                replace(user_ref=3, sweep=b"N", client_order_id=b" " * 14),
                cancel(2, 30, tail()),
                modify(2, b"E", 5, tail()),
                b"Q" + tail(),
            ]
            arrived = [await anext(client) for _ in range(4)]
            assert [each.sequence for each in arrived] == [1, 2, 3, 4]
            accepted = arrived[0].message
            assert isinstance(accepted, ouch.OrderAccepted)
            assert accepted.user_ref_num == 1
            assert accepted.price == Decimal("123.45")
            assert accepted.client_order_id == "order-1/abc"
            assert isinstance(arrived[2].message, ouch.OrderCanceled)
            assert client.next_sequence == 5

    run(scenario())


def test_values_that_do_not_fit_are_refused_before_anything_is_sent() -> None:
    async def scenario() -> None:
        server = SoupServer()
        async with running(server), await _connect(server) as client:
            for bad in (
                {"symbol": "TOOLONGER"},
                {"quantity": 1 << 32},
                {"price": "0.00001"},
                {"client_order_id": "x" * 15},
            ):
                wanted: dict[str, Any] = {"symbol": "A", "quantity": 1, "price": 1, **bad}
                with pytest.raises(ValueError, match=r"."):
                    await client.enter(Side.BUY, **wanted)
            assert client.next_user_ref == 1
            assert client.unacknowledged == 0
            assert server.received == []

    run(scenario())


def test_a_timeout_that_no_login_can_say_is_refused() -> None:
    """Before anything is connected: nobody listens there."""

    async def scenario() -> None:
        for wrong in (-1, 100_000, 10**9):
            for kind in (OuchClient, ItchClient):
                with pytest.raises(ValueError, match=f"heartbeat_timeout_ms {wrong} is not within"):
                    await kind.connect("127.0.0.1", 1, "T001", "demo", heartbeat_timeout_ms=wrong)

    run(scenario())


def test_refused_logins() -> None:
    async def scenario() -> None:
        async with running(SoupServer()) as server:
            with pytest.raises(LoginRejected, match="wrong username or password"):
                await OuchClient.connect("127.0.0.1", server.port, "T001", "wrong")
            with pytest.raises(LoginRejected) as caught:
                await _connect(server, session="OTHER")
            assert caught.value.reason == "S"
        with pytest.raises(OSError, match=r"."):
            await _connect(server)

    run(scenario())


def test_the_stream_is_replayed_from_the_number_asked_for() -> None:
    async def scenario() -> None:
        server = SoupServer()
        server.streams["T001"] = [b"Q" + struct.pack(">QI", 0, each) for each in range(1, 1001)]
        async with running(server):
            for wanted, first in ((1, 1), (1000, 1000), (37, 37)):
                async with await _connect(server, sequence=wanted) as client:
                    sequence, message = await anext(client)
                    assert isinstance(message, ouch.AccountQueryResponse)
                    assert (sequence, message.next_user_ref_num) == (first, first)
            for wanted in (0, 5_000):
                async with await _connect(server, sequence=wanted) as client:
                    assert client.next_sequence == 1001

    run(scenario())


def test_the_end_of_the_session_ends_the_iteration() -> None:
    async def scenario() -> None:
        server = SoupServer()
        server.streams["T001"] = [b"S" + struct.pack(">Qc", 0, b"S")]
        async with running(server), await _connect(server) as client:
            assert (await anext(client)).message == ouch.SystemEvent(0, "S")
            await server.end_day()
            assert [each async for each in client] == []
            assert not client.connected
            with pytest.raises(ConnectionResetError):
                await client.cancel(1)

    run(scenario())


def test_closing_logs_out_and_keeps_what_has_arrived() -> None:
    async def scenario() -> None:
        server = SoupServer()
        server.streams["T001"] = [b"S" + struct.pack(">Qc", each, b"S") for each in range(3)]
        async with running(server):
            client = await _connect(server)
            await anext(client)
            await client.close()
            assert [sequence async for sequence, _ in client] == [2, 3]
            await client.close()
            assert server.errors == []

    run(scenario())


def test_reconnect_resends_with_the_same_numbers() -> None:
    """The connection is cut while half of the requests were never read: each works once."""

    async def scenario() -> None:
        exchange = TinyExchange()
        server = SoupServer(exchange.answer)
        async with running(server), await _connect(server) as client:
            for _ in range(3):
                await client.enter(Side.BUY, 1, "AAPL", 1)
            await client.account_query()
            assert client.unacknowledged == 0
            server.mute = True
            for _ in range(5):
                await client.enter(Side.BUY, 1, "AAPL", 1)
            lost = asyncio.create_task(client.account_query())
            await asyncio.sleep(0.1)
            server.drop()
            with pytest.raises(ConnectionResetError, match="before the answer"):
                await lost
            server.mute = False
            arrived = []
            with pytest.raises(ConnectionResetError, match="connection lost"):
                while True:
                    arrived.append(await anext(client))
            assert client.unacknowledged == 5
            with pytest.raises(ConnectionResetError):
                await client.enter(Side.BUY, 1, "AAPL", 1)
            exchange.last = 5  # as if the last three had not arrived, nor the query
            del server.streams["T001"][6:]
            await client.reconnect()
            assert server.logins[-1] == (SESSION_ID, 5)
            assert await client.account_query() == 9
            assert client.unacknowledged == 0
            while arrived[-1].sequence < client.next_sequence - 1:
                arrived.append(await anext(client))
            assert [each.sequence for each in arrived] == list(range(1, len(arrived) + 1))
            numbers = [
                each.message.user_ref_num
                for each in arrived
                if isinstance(each.message, ouch.OrderAccepted)
            ]
            assert numbers == [1, 2, 3, 4, 5, 6, 7, 8]

    run(scenario())


def test_what_is_sent_during_a_reconnect_stands_behind_what_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than a socket takes at once is sent again; another task sends as soon as it may.

    The exchange ignores a number that is not above the last one, so the order matters.
    """
    count = 3_000
    connect = asyncio.open_connection

    async def connect_narrowly(host: str, port: int) -> Any:
        reader, writer = await connect(host, port)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return reader, writer

    monkeypatch.setattr(asyncio, "open_connection", connect_narrowly)

    async def scenario() -> None:
        async with running(SoupServer()) as server:
            server.mute = True
            client = await _connect(server)

            async def send_soon() -> None:
                await asyncio.sleep(0)
                while not client.connected:
                    await asyncio.sleep(0)
                await client.enter(Side.BUY, 1, "AAPL", 1)

            for _ in range(count):
                await client.enter(Side.BUY, 1, "AAPL", 1)
            while len(server.received) < count:
                await asyncio.sleep(0.001)
            server.drop()
            server.received.clear()
            while client.connected:
                await asyncio.sleep(0)
            await asyncio.gather(client.reconnect(), send_soon())
            while len(server.received) <= count:
                await asyncio.sleep(0.001)
            numbers = [int.from_bytes(each[1:5], "big") for each in server.received]
            assert numbers == list(range(1, count + 2))
            await client.close()

    run(scenario())


def test_an_answer_to_an_older_query_is_no_barrier() -> None:
    """The query of the lost connection is answered after the reconnect, before the new one."""

    async def scenario() -> None:
        exchange = TinyExchange()
        server = SoupServer(exchange.answer)
        async with running(server), await _connect(server) as client:
            server.mute = True
            lost = asyncio.create_task(client.account_query())
            await asyncio.sleep(0.05)
            await client.enter(Side.BUY, 1, "AAPL", 1)
            await asyncio.sleep(0.05)
            assert len(server.received) == 2
            server.drop()
            with pytest.raises(ConnectionResetError):
                await lost
            server.mute = False
            await client.reconnect()
            assert await client.account_query() == 2
            forms = [len(each) for each in server.streams["T001"] if each[:1] == b"Q"]
            assert forms == [15, 13]

    run(scenario())


def test_reconnect_to_another_gateway() -> None:
    async def scenario() -> None:
        exchange = TinyExchange()
        one, other = SoupServer(exchange.answer), SoupServer(exchange.answer)
        other.streams = one.streams
        async with running(one), running(other):
            client = await _connect(one)
            await client.enter(Side.BUY, 1, "AAPL", 1)
            await client.account_query()
            one.drop()
            await client.reconnect("127.0.0.1", other.port)
            await client.enter(Side.BUY, 1, "AAPL", 1)
            await client.account_query()
            await client.close()
            assert [sequence async for sequence, _ in client] == [1, 2, 3, 4]

    run(scenario())


def test_many_unacknowledged_requests_cause_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        server = SoupServer(TinyExchange().answer)
        async with running(server), await _connect(server) as client:
            for _ in range(25):
                await client.replace(77, 1, 1)  # of an order that is not there: never answered
            await asyncio.sleep(0.2)
            assert [each[:1] for each in server.received].count(b"Q") == 2
            assert await client.account_query() == 1

    monkeypatch.setattr("gateways.client_requests.QUERY_EVERY", 10)
    run(scenario())


def test_a_slow_taker_holds_the_server_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        server = SoupServer()
        server.streams["T001"] = [b"S" + struct.pack(">Qc", each, b"S") for each in range(500)]
        async with running(server), await _connect(server) as client:
            await asyncio.sleep(0.6)
            assert client.connected
            assert client.next_sequence == 11
            taken = [(await anext(client)).sequence for _ in range(20)]
            assert taken == list(range(1, 21))
            await client.reconnect()
            taken = [(await anext(client)).sequence for _ in range(480)]
            assert taken == list(range(21, 501))

    monkeypatch.setattr(client_connection, "QUEUE_LIMIT", 10)
    run(scenario())


def test_a_busy_taker_keeps_its_connection_alive() -> None:
    """Whoever works long on each of many messages that have arrived awaits nothing."""

    async def scenario() -> None:
        server = SoupServer()
        server.streams["T001"] = [b"S" + struct.pack(">Qc", each, b"S") for each in range(40)]
        async with running(server), await _connect(server) as client:
            while client.next_sequence <= 40:
                await asyncio.sleep(0.01)
            others_turn = asyncio.Event()
            asyncio.get_running_loop().call_soon(others_turn.set)
            for _ in range(40):
                await anext(client)
                time.sleep(client_connection.TURN_SECONDS / 4)
            assert others_turn.is_set()

    run(scenario())


def test_heartbeats_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle client stays; a silent server is given up."""

    async def scenario() -> None:
        server = SoupServer()
        async with running(server), await _connect(server, heartbeat_timeout_ms=1_200) as client:
            await asyncio.sleep(2.0)
            assert client.connected
            assert server.errors == []
            client._connection._soup.silence_limit_ns = 1
            server.mute = True
            with pytest.raises(ConnectionResetError, match="silent"):
                await anext(client)

    monkeypatch.setattr(client_connection, "TICK_SECONDS", 0.02)
    run(scenario())


def test_a_server_that_breaks_the_rules() -> None:
    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(packet(ord("A"), SESSION_ID.encode() + b"1".rjust(20)))
            writer.write(packet(ord("S"), b"A too short"))
            await writer.drain()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        client = await OuchClient.connect("127.0.0.1", port, "T001", "demo")
        with pytest.raises(ConnectionResetError, match="too few"):
            await anext(client)
        await client.close()
        listener.close()

    run(scenario())


# ---------------------------------------------------------------- what is unacknowledged


def _filled(*requests: tuple[str, int, int]) -> Unacknowledged:
    pending = Unacknowledged()
    for number, (letter, user_ref, channel) in enumerate(requests):
        pending.add(Request(letter, user_ref, channel, bytes((number,))))
    return pending


def _accepted(user_ref: int) -> ouch.OuchMessage:
    return ouch.Rejected(0, user_ref, 1, "")


def test_an_answer_covers_everything_before_it() -> None:
    pending = _filled(("O", 1, 0), ("X", 1, 0), ("O", 2, 0), ("X", 2, 0), ("O", 1, 9))
    pending.acknowledge(_accepted(2))
    assert pending.messages() == [b"\x03", b"\x04"]
    pending.acknowledge(_accepted(2))
    assert len(pending) == 2
    pending.acknowledge(_accepted(1), 9)
    assert len(pending) == 0


def test_a_query_covers_the_numbers_below_its_answer() -> None:
    pending = _filled(("O", 1, 0), ("U", 2, 0), ("X", 1, 0), ("O", 3, 0))
    pending.acknowledge(ouch.AccountQueryResponse(0, 3))
    assert pending.messages() == [b"\x02", b"\x03"]
    pending.acknowledge(ouch.AccountQueryResponse(0, 0))
    assert pending.messages() == []


def test_a_modification_is_answered_by_itself() -> None:
    pending = _filled(("M", 5, 0), ("M", 6, 0))
    pending.acknowledge(ouch.OrderModified(0, 5, "S", 1))
    assert pending.messages() == [b"\x01"]


# ---------------------------------------------------------------- market data


def _feed(letter: bytes, layout: str, *values: Any) -> bytes:
    return struct.pack(">cHHHI", letter, 1, 0, 0, 9) + struct.pack(">" + layout, *values)


STOCK = b"AAPL    "
FEED = [
    _feed(b"S", "c", b"O"),
    _feed(
        b"R",
        "8sccIcc2scccccIc",
        STOCK,
        *(b"Q", b"N", 100, b"N", b"C", b"Z ", b"P", b"N", b" ", b" ", b"N", 0, b"N"),
    ),
    _feed(b"H", "8scc4s", STOCK, b"T", b" ", b"    "),
    _feed(b"A", "QcI8sI", 11, b"B", 100, STOCK, 1_000_000),
    _feed(b"A", "QcI8sI", 12, b"B", 50, STOCK, 1_000_000),
    _feed(b"A", "QcI8sI", 13, b"B", 70, STOCK, 990_000),
    _feed(b"A", "QcI8sI", 21, b"S", 30, STOCK, 1_010_000),
    _feed(b"E", "QIQ", 11, 40, 500),
    _feed(b"X", "QI", 12, 20),
    _feed(b"U", "QQII", 11, 14, 60, 1_000_000),
    _feed(b"D", "Q", 13),
    _feed(b"E", "QIQ", 21, 30, 501),
]


def test_the_feed_and_its_book() -> None:
    async def scenario() -> None:
        server = SoupServer()
        server.streams["T001"] = list(FEED)
        server.chunk = 5
        async with running(server):
            feed = await ItchClient.connect("127.0.0.1", server.port, "T001", "demo")
            seen = []
            for _ in FEED[:7]:
                seen.append(await anext(feed))
            assert feed.book.best("AAPL") == (
                Level(Decimal("100"), 150, 2),
                Level(Decimal("101"), 30, 1),
            )
            assert [each.price for each in feed.book.bids("AAPL")] == [100, 99]
            server.drop()
            with pytest.raises(ConnectionResetError):
                while True:
                    seen.append(await anext(feed))
            await feed.reconnect()
            while len(seen) < len(FEED):
                seen.append(await anext(feed))
            assert [each.sequence for each in seen] == list(range(1, len(FEED) + 1))
            book = feed.book
            assert [(each.reference, each.shares) for each in book.orders.values()] == [
                (12, 30),
                (14, 60),
            ]
            assert book.bids("AAPL") == [Level(Decimal("100"), 90, 2)]
            assert book.asks("AAPL") == []
            assert book.best("AAPL") == (Level(Decimal("100"), 90, 2), None)
            assert book.states == {"AAPL": "T"}
            assert book.lots == {"AAPL": 100}
            assert book.stocks == {1: "AAPL"}
            await feed.close()

    run(scenario())


def test_the_book_says_when_the_feed_cannot_be_right() -> None:
    book = Book()
    with pytest.raises(KeyError):
        book.apply(decode(itch.MESSAGES, FEED[7]))
