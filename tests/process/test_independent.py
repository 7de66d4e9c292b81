"""Goal: software that is not ours trades on this exchange and reads its feed to the last share.

Method: `nasdaq-protocols` against the live order gateway; `itchfeed` and `meatpy` over every byte
of the feed of a whole flow, and the books that they rebuild against the exchange's own replica.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from itch.parser import MessageParser
from nasdaq_protocols import soup

from gateways.load.own_replica import OwnReplica
from shm_exchange import config
from shm_exchange.market import Market
from tests.differential.book_walk import walk
from tests.gateways.feeds import Book, Order, as_levels, by_meatpy, follow, queues
from tests.gateways.nasdaq_messages import ClientSession, Message, request
from tests.process.conftest import ROOT, Exchange
from tests.process.trading import MARKET, PASSWORD, PATIENCE_SECONDS, RawClient, ports, running

REAL_FLOW = ROOT.parent / "shared" / "data" / "flows" / "real-aapl-2012-06-21-first-hour.npz"
GENERATED_MESSAGES = 20_000
OTHER = '[[instrument]]\nsymbol = "FLOW"\ntick = 0.01\n'  # without price bands
ENGINE_SHIFT = 48  # a reference number has the engine above the position

ORDER: dict[str, Any] = {
    "side": "B",
    "symbol": "A01",
    "price": 100_000,
    "quantity": 100,
    "time_in_force": "0",
    "display": "Y",
    "capacity": "P",
    "sweep": "N",
    "cross_type": "N",
    "client_order_id": "not ours",
    "appendage": 0,
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("independent"), MARKET + OTHER) as it:
        yield it


class TheirTrader:
    """A client of `nasdaq-protocols`."""

    def __init__(self, soup_session: Any) -> None:
        self._arrived: asyncio.Queue[Message] = asyncio.Queue()
        self._soup = soup_session
        self._client = ClientSession(soup_session, on_msg_coro=self._arrived.put)

    @classmethod
    async def log_in(cls, port: int, username: str, session: str = "", sequence: int = 1) -> Any:
        """Connect; ConnectionRefusedError when the login is rejected."""
        remote = ("127.0.0.1", port)
        return cls(await soup.connect_async(remote, username, PASSWORD, session, sequence=sequence))

    @property
    def session(self) -> str:
        """The id that the exchange named."""
        return str(self._soup.session_id.session)

    def say(self, letter: str, **values: Any) -> None:
        """Send a request."""
        self._soup.send_unseq_data(request(letter, **values))

    async def hear(self, count: int) -> list[Message]:
        """The next messages."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [await self._arrived.get() for _ in range(count)]

    async def close(self) -> None:
        """Log out."""
        await self._client.close()


def letters(messages: list[Message]) -> str:
    """The letter of each message."""
    return "".join(chr(each.MsgId.indicator) for each in messages)


def test_their_client_trades_here(market: Exchange) -> None:
    """Logs in, says everything there is, reads every answer; resumes elsewhere."""

    async def scenario() -> None:
        here, there = ports(market)
        trader = await TheirTrader.log_in(here, "S01")
        trader.say("O", user_ref=1, **ORDER)
        trader.say("U", original_user_ref=1, user_ref=2, **_terms(price=110_000))
        trader.say("O", user_ref=3, **ORDER | {"side": "S", "price": 110_000, "quantity": 30})
        trader.say("X", user_ref=2, quantity=50)
        trader.say("X", user_ref=2, quantity=0)
        trader.say("O", user_ref=4, **ORDER | {"symbol": "NONE"})
        trader.say("O", user_ref=5, **ORDER | {"side": "S", "price": 200_000})
        trader.say("M", user_ref=5, side="T", quantity=40)
        heard = await trader.hear(11)
        assert letters(heard) == "SAUAEECCJAM"
        accepted, replaced, trade = heard[1], heard[2], heard[4]
        assert (accepted.user_ref, accepted.client_order_id) == (1, "not ours")
        assert (accepted.symbol, accepted.price, accepted.quantity) == ("A01", 100_000, 100)
        assert (replaced.original_user_ref, replaced.user_ref, replaced.quantity) == (1, 2, 100)
        assert (trade.user_ref, trade.quantity, trade.price) == (2, 30, 110_000)
        assert trade.match_number == heard[5].match_number
        assert [(each.quantity, each.reason) for each in heard[6:8]] == [(50, "U"), (20, "U")]
        assert (heard[8].user_ref, heard[8].reason) == (4, 0x17)
        assert (heard[10].side, heard[10].quantity) == ("T", 40)
        name = trader.session
        await trader.close()
        again = await TheirTrader.log_in(there, "S01", name, 5)
        assert [each.to_bytes() for each in await again.hear(7)] == [
            each.to_bytes() for each in heard[4:]
        ]
        await again.close()

    asyncio.run(scenario())


def _terms(**changes: Any) -> dict[str, Any]:
    """The fields that a replace has of an order."""
    left_out = ("side", "symbol", "capacity", "cross_type")
    return {name: value for name, value in (ORDER | changes).items() if name not in left_out}


def test_their_client_is_refused_like_any_other(market: Exchange) -> None:
    """An unknown session id: ConnectionRefusedError."""

    async def scenario() -> None:
        with pytest.raises(ConnectionRefusedError):
            await TheirTrader.log_in(ports(market)[0], "S02", "0199999999")

    asyncio.run(scenario())


# ---------------------------------------------------------------- the feed


def shmx(*arguments: object) -> str:
    """Run a command; return what it says."""
    command = [sys.executable, "-m", "shm_exchange.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recorded_feed(it: Exchange, folder: Path, count: int) -> Path:
    """The feed's first `count` messages as the file that `itchfeed` reads."""
    file = folder / "feed.itch"
    with RawClient(ports(it, "market_data")[0]) as client, file.open("wb") as out:
        for each in client.log_in("S03").messages(count):
            out.write(len(each).to_bytes(2, "big") + each)
    return file


def messages_in(file: Path) -> Iterator[bytes]:
    """The messages of such a file."""
    with file.open("rb") as data:
        while size := data.read(2):
            yield data.read(int.from_bytes(size, "big"))


def rebuild(file: Path, symbol: bytes) -> tuple[Book, int]:
    """An instrument's orders in order of time, and how many messages were read."""
    orders: Book = {}
    count = locate = 0
    with file.open("rb") as data:
        for message in MessageParser().parse_file(data):
            count += 1
            if message.message_type == b"R" and message.stock.strip() == symbol:
                locate = message.stock_locate
            if message.stock_locate == locate:
                follow(orders, message)
    return orders, count


def replica_book(market: Market, instrument: int) -> list[tuple[int, Order]]:
    """The exchange's own orders of an instrument, in the order of their queues."""
    tick = int(market.instruments[instrument]["tick"])
    found = []
    for number, side in enumerate("BS"):
        for slot, price in walk(market, instrument, number):
            order = market.orders[slot]
            reference = (1 << ENGINE_SHIFT) | int(order["reference"])
            found.append((reference, (side, price * tick, int(order["leaves"]))))
    return found


def flows() -> list[Any]:
    """The real flow where it is, and one of our own making."""
    real = [pytest.param(REAL_FLOW, "AAPL", id="real")] if REAL_FLOW.exists() else []
    return [pytest.param(None, "FLOW", id="generated"), *real]


@pytest.mark.parametrize(("flow", "symbol"), flows())
def test_their_parser_rebuilds_the_book(
    market: Exchange, tmp_path: Path, flow: Path | None, symbol: str
) -> None:
    """Every message of the feed is one of theirs; orders, prices and shares are the replica's."""
    if flow is None:
        flow = tmp_path / "flow.npz"
        shmx("generate", flow, "--messages", GENERATED_MESSAGES)
    options = ("--name", market.name, "--instrument", symbol, "--json")
    report = json.loads(shmx("replay", flow, *options))
    configuration = config.load(market.file)
    number = [each.symbol for each in configuration.instruments].index(symbol)
    with OwnReplica(configuration, market.name, 1, market.state) as replica:
        count, book = replica.feed_messages, replica_book(replica.market, number)
    file = recorded_feed(market, tmp_path, count)
    orders, read = rebuild(file, symbol.encode())
    assert read == count
    assert len(orders) == len(book) == report["resting"]
    assert report["feed_matches_book"]
    assert queues(orders) == queues(dict(book))
    assert by_meatpy(messages_in(file), symbol) == as_levels(dict(book))
