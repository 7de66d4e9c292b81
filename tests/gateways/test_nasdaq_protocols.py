"""Goal: an implementation of OUCH and SoupBinTCP that is not ours understands us, and we it.

Method: `nasdaq-protocols` writes requests that our codec reads, reads what our encoder writes, and
talks through its own client to our end of SoupBinTCP over a socket.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from nasdaq_protocols import soup

from gateways.client import OuchClient, Side
from gateways.ouch.codec import OK, decode
from gateways.ouch.outbound import encode
from gateways.ouch.tags import OUCH_REQUEST, OUCH_REQUEST_DTYPE
from ringbuf.jit import kernel
from shm_exchange.messages import ALL_INSTRUMENTS, ORDER_TAGS
from tests.gateways.event_cases import (
    CASES,
    CLIENT_ORDER_ID,
    ENGINE,
    MAKER_REFERENCE,
    MIDNIGHT_NS,
    NUMBER,
    POSITION,
    PRICE,
    SYMBOL,
    Case,
    instruments,
)
from tests.gateways.nasdaq_messages import ClientSession, Message, answer, request
from tests.gateways.ouch_cases import raw
from tests.gateways.soup_server import SESSION_ID, SoupServer, TinyExchange, running

NO_TAGS = np.zeros(1, ORDER_TAGS.dtype)
ORDER: dict[str, Any] = {
    "user_ref": 7,
    "quantity": 999_999,
    "price": 1_999_999_900,
    "time_in_force": "3",
    "display": "Y",
    "sweep": "N",
    "client_order_id": "client/7",
    "appendage": 0,
}
ENTER = {**ORDER, "side": "T", "symbol": "ETH-PERP", "capacity": "A", "cross_type": "N"}
REQUESTS = [
    ("O", ENTER),
    ("U", {**ORDER, "original_user_ref": 6}),
    ("X", {"user_ref": 7, "quantity": 12}),
    ("M", {"user_ref": 7, "quantity": 12, "side": "E"}),
    ("C", {"user_ref": 7, "firm": "FIRM", "symbol": "", "appendage": 0}),
    ("D", {"user_ref": 7, "firm": "FIRM", "appendage": 0}),
    ("E", {"user_ref": 7, "firm": "FIRM", "appendage": 0}),
]
_WIDTHS = {"symbol": 8, "firm": 4}


@kernel
def _encode(events, tags, position, which, rows, engine, buffer, offset):
    return encode(events[0], tags, position, which, rows, engine, buffer, offset)


@pytest.mark.parametrize(("letter", "values"), REQUESTS, ids=[each[0] for each in REQUESTS])
def test_we_read_its_requests(letter: str, values: dict[str, Any]) -> None:
    data = np.frombuffer(bytearray(request(letter, **values)), np.uint8)
    decoded = np.zeros(1, OUCH_REQUEST_DTYPE)
    assert decode(data, 0, len(data), decoded[0]) == OK
    for name, value in values.items():
        if name == "client_order_id":
            start = OUCH_REQUEST.offset_of("client_order_id_0")
            found = decoded.view(np.uint8)[start : start + 14]
            assert bytes(found) == value.ljust(14).encode()
        elif name != "appendage":
            text = isinstance(value, str)
            width = _WIDTHS.get(name, 1)
            wanted = raw(value.ljust(width).encode()) if text else value
            assert int(decoded[0][name]) == wanted, name


@pytest.mark.parametrize("case", [each for each in CASES if each.ouch], ids=lambda each: each.name)
def test_it_reads_our_messages(case: Case) -> None:
    row = case.event[0]
    buffer = np.zeros(128, np.uint8)
    packets = [(which, each) for all_ in case.ouch.values() for which, each in enumerate(all_)]
    for which, _ in packets:
        size = _encode(case.event, NO_TAGS, POSITION, which, instruments(), ENGINE, buffer, 0)
        used, fields = answer(bytes(buffer[3:size]))
        long_form = bool(row["flags"] & 64) and chr(buffer[3]) in "BCDJMQ"
        cancelled = chr(buffer[3]) == "C"
        appendage = 3 if cancelled and row["cause"] else 0  # it stops before tags that are ours
        assert used == size - 3 - 2 * long_form - appendage
        assert fields["timestamp"] == MIDNIGHT_NS
        modified = chr(buffer[3]) == "M"
        broken = chr(buffer[3]) == "B"
        carried = case.name == "carried over"  # under its old reference; its ClOrdID is not kept
        expected = {
            "price": PRICE,
            "symbol": "" if row["instrument"] == ALL_INSTRUMENTS else SYMBOL.decode(),
            "firm": "ACME",
            "quantity": int(row["leaves" if modified else "quantity"]),
            "reference": ENGINE << 48 | MAKER_REFERENCE if carried else NUMBER,
            "match_number": ENGINE << 48 | MAKER_REFERENCE if broken else NUMBER,
            "client_order_id": "" if carried or broken else CLIENT_ORDER_ID.decode(),
            "appendage": 0,
            "state": "L",
            "cross_type": "N",
            "side": chr(row["side"]),
        }
        for name, value in expected.items():
            if name in fields:
                assert fields[name] == value, name


def test_its_client_and_our_end() -> None:
    """Log in, enter, cancel, read the answers, come back and read the stream again."""

    async def scenario() -> None:
        server = SoupServer(TinyExchange().answer)
        async with running(server):
            remote = ("127.0.0.1", server.port)
            arrived: asyncio.Queue[Message] = asyncio.Queue()
            connected = await soup.connect_async(remote, "T001", "demo", "", sequence=1)
            assert connected.session_id.session == SESSION_ID
            client = ClientSession(connected, on_msg_coro=arrived.put)
            for number in (1, 2):
                values = {**ENTER, "user_ref": number}
                connected.send_unseq_data(request("O", **values))
            connected.send_unseq_data(request("X", user_ref=1, quantity=0))
            answers = [await arrived.get() for _ in range(3)]
            assert [chr(each.MsgId.indicator) for each in answers] == ["A", "A", "C"]
            assert [each.user_ref for each in answers] == [1, 2, 1]
            assert answers[0].client_order_id == "client/7"
            assert answers[0].price == 1_999_999_900
            await client.close()
            arrived = asyncio.Queue()
            again = await soup.connect_async(remote, "T001", "demo", SESSION_ID, sequence=2)
            client = ClientSession(again, on_msg_coro=arrived.put)
            repeated = [await arrived.get() for _ in range(2)]
            assert [each.user_ref for each in repeated] == [2, 1]
            await client.close()
            with pytest.raises(ConnectionRefusedError):
                await soup.connect_async(remote, "T001", "wrong")

    asyncio.run(asyncio.wait_for(scenario(), 20))


class _TheirServer(soup.SoupServerSession, session_type="server"):
    """The package's server: accepts everybody, repeats what it hears."""

    async def on_login(self, msg: soup.LoginRequest) -> soup.LoginAccepted:
        return soup.LoginAccepted("THEIRS", 1)

    async def on_unsequenced(self, msg: soup.UnSequencedData) -> None:
        self.send_seq_msg(b"Q" + bytes(8) + msg.data[1:5])


def test_our_client_and_its_server() -> None:
    """Our client logs in at a server that is not ours and hears its own numbers back."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        sessions: list[_TheirServer] = []

        def accept() -> _TheirServer:
            sessions.append(_TheirServer())
            return sessions[-1]

        listener = await loop.create_server(accept, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with await OuchClient.connect("127.0.0.1", port, "T001", "demo") as client:
            assert client.session == "THEIRS"
            for number in (1, 2):
                assert await client.enter(Side.SELL, 1, "AAPL", "1.5") == number
                sequence, message = await anext(client)
                assert sequence == message.next_user_ref_num == number
        listener.close()
        for each in sessions:
            await each.close()
        # Its tasks end by themselves or never: some bear no cancelling. Two are ours.
        while len(asyncio.all_tasks()) > 2:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scenario(), 20))
