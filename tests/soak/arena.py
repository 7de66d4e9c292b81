"""An exchange, the sessions that trade on it, and the comparison of everything with everything."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from gateways.load.own_replica import OwnReplica, market_book
from shm_exchange import config
from shm_exchange.journal_segment import Owner
from shm_exchange.market import Market
from shm_exchange.presence import identity_of
from shm_exchange.recovery import empty_market, recover
from shm_exchange.wiring import ROLE_RECORDER
from tests.differential.market_equality import differences
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    ORDER_GATEWAY,
    STOP_SECONDS,
    Exchange,
    is_alive,
)
from tests.process.trading import ports
from tests.shm_exchange.journal_cases import same_market
from tests.soak.feed_follower import FeedFollower
from tests.soak.own_orders import Ledger, OwnOrders, Violation
from tests.soak.trader import SYMBOLS, Trader
from tests.soak.watch import ENGINE, Watch, strike

NAMES = ("S01", "S02", "S03", "S04", "C1", "C2")
FEED_NAME = "S99"
PATIENCE_SECONDS = 60.0  # for something that other processes do on a busy machine
POLL_SECONDS = 0.002
BLIND = (ROLE_RECORDER,)  # roles that attest nothing
PRICE_UNIT = 10_000  # of market_book


@dataclass(frozen=True)
class Options:
    """What an exchange is like."""

    standbys: int = 1
    feeds: int = 1
    durability: str = "memory"


Row = tuple[int, str, str, int, int]  # reference, symbol, side, price in 0.0001, shares


def configuration(options: Options) -> str:
    """Two instruments, two order gateways, snapshots often."""
    engine = f"[[engine]]\nstandbys = {options.standbys}\nsnapshot_every_events = 50_000\n"
    instruments = "".join(
        f'[[instrument]]\nsymbol = "{symbol}"\ntick = 0.01\n' for symbol in SYMBOLS
    )
    sessions = (
        '[[session_range]]\nprefix = "S"\nlast = 99\npassword = "demo"\n'
        '[[session_range]]\nprefix = "C"\nlast = 9\npassword = "demo"\n'
        "cancel_on_disconnect = true\n"
    )
    exchange = f'[exchange]\ndurability = "{options.durability}"\n'
    return (
        ENGINES.replace("[exchange]\n", exchange).replace("[[engine]]\n", engine)
        + instruments
        + sessions
        + 2 * ORDER_GATEWAY
        + options.feeds * MARKET_DATA_GATEWAY
    )


class Arena:
    """Everything that one exchange and its clients are."""

    def __init__(self, exchange: Exchange, chance: random.Random, options: Options) -> None:
        self.exchange = exchange
        self.options = options
        self.watch: Watch
        self.ledger = Ledger()
        self.checks = 0
        self._configuration = config.load(exchange.file)
        self._replica: OwnReplica | None = None

        def order_ports() -> list[int]:
            return ports(exchange, "order")

        def feed_ports() -> list[int]:
            return ports(exchange, "market_data")

        self.traders = [
            Trader(
                OwnOrders(name, self.ledger, cancelled_on_disconnect=name.startswith("C")),
                order_ports,
                random.Random(chance.getrandbits(64)),
            )
            for name in NAMES
        ]
        self.feed = FeedFollower(FEED_NAME, feed_ports, random.Random(chance.getrandbits(64)))

    @property
    def order_sources(self) -> list[int]:
        """Source numbers of the order gateways."""
        gateways = self.exchange.running()["gateways"]
        return [each["source"] for each in gateways if each["kind"] == "order"]

    @property
    def feed_sources(self) -> list[int]:
        """Source numbers of the market data gateways."""
        gateways = self.exchange.running()["gateways"]
        return [each["source"] for each in gateways if each["kind"] == "market_data"]

    async def start(self) -> None:
        """Start the exchange, for the first time or again."""
        # In the main thread: the kernel ends the exchange with the thread that started it.
        self.exchange.launch()
        await asyncio.to_thread(self.exchange.wait_announced)
        self.watch = Watch(self.exchange.name)

    async def until(
        self, condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for something that the exchange does. Raise Violation when it does not."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Violation(f"not within {seconds:.0f} s: {what}")
            process = self.exchange.process
            if process is None or process.poll() is not None:
                raise Violation(f"the exchange has ended, waiting for: {what}")
            await asyncio.sleep(POLL_SECONDS)

    async def whole(self) -> None:
        """Wait until every gateway serves, a matcher reigns and a standby is warm."""
        sources = self.order_sources + self.feed_sources
        await self.until(
            lambda: (
                self.watch.matcher
                and len(self.watch.standbys) >= min(1, self.options.standbys)
                and all(self.watch.gateway(each) for each in sources)
            ),
            "every role ready",
        )

    async def everybody_online(self) -> None:
        """Wait until every session is logged in."""
        await self.until(
            lambda: all(each.online.is_set() for each in self.traders), "every session logged in"
        )

    def send(self) -> None:
        """Let everybody trade."""
        for each in self.traders:
            each.sending.set()

    async def settle(self) -> None:
        """Let nobody trade, wait until everything is processed, and compare. Raise Violation."""
        for each in self.traders:
            await each.pause()
        # Twice: behind the first barrier all requests are processed, so that behind the second
        # everybody has heard what the others' requests did to him.
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            for _ in range(2):
                await asyncio.gather(*(each.barrier() for each in self.traders))
        for each in self.traders:
            each.book.settle()
        if self.ledger.half:
            raise Violation(f"heard by one side only: {self.ledger.half}")
        replica = await asyncio.to_thread(self._follow)
        await self.until(
            lambda: self.feed.next_sequence > replica.feed_messages, "the feed is complete"
        )
        self._compare(replica)
        await self._compare_positions()
        self.checks += 1

    def _follow(self) -> OwnReplica:
        """A replica of our own that has seen everything, made from journal and ring."""
        if self._replica is None:
            it = self.exchange
            self._replica = OwnReplica(self._configuration, it.name, ENGINE, it.state)
        self._replica.follow()
        return self._replica

    def _compare(self, replica: OwnReplica) -> None:
        if self.feed.next_sequence != replica.feed_messages + 1:
            raise Violation(f"feed: {self.feed.next_sequence - 1} of {replica.feed_messages}")
        if self.feed.trades != self.ledger.trades:
            raise Violation(f"{self.ledger.trades} trades heard, the feed has {self.feed.trades}")
        known = self._known(self.traders)
        fed = sorted(
            (each.reference, each.stock, each.side, _units(each.price), each.shares)
            for each in self.feed.client.book.orders.values()
        )
        _demand_equal("the clients' books", known, "the feed's book", fed)
        _demand_equal("the clients' books", known, "a replica", _rows(replica.market))
        if replica.market.scalars[0]["differs"]:
            raise Violation("our own replica is not what the matcher has")
        numbers = {each.username: row for row, each in enumerate(self._configuration.sessions)}
        for trader in self.traders:
            said = int(replica.market.sessions[numbers[trader.book.name]]["messages"])
            if said != trader.book.next_sequence - 1:
                raise Violation(f"{trader.book.name}: {trader.book.next_sequence - 1} of {said}")

    def _known(self, traders: list[Trader]) -> list[Row]:
        """The live orders of sessions, as they know them themselves."""
        return sorted(
            (order.reference, order.symbol, order.side, _units(order.price), order.leaves)
            for trader in traders
            for order in trader.book.live.values()
        )

    async def _compare_positions(self) -> None:
        """Every process is where the matcher is, and agrees with it."""

        def agree() -> bool:
            end = self.watch.published
            return all(
                int(row["position"]) == end and (row["role"] in BLIND or row["attested"] == end)
                for row in self.watch.processes()
            )

        await self.until(agree, "every process attests the same position")
        for row in self.watch.processes():
            if row["differs"]:
                raise Violation(f"process {int(row['pid'])} differs at {int(row['differs'])}")

    def compare_recovered(self) -> None:
        """A second replica, recovered from the journal and the ring now, is the same as ours."""
        it = self.exchange
        ours = self._follow()
        with OwnReplica(self._configuration, it.name, ENGINE, it.state) as other:
            ours.follow()
            other.follow()
            if not same_market(ours.market, other.market):
                found = differences(ours.market, other.market)
                raise Violation(f"recovered from the journal: {found}")

    def compare_journal(self) -> None:
        """The journal alone, from its beginning and without snapshots, gives the same books."""
        for path in self.exchange.state.glob("snapshot-*"):
            path.unlink()
        market = empty_market(self._configuration, ENGINE)
        owner = Owner.of(identity_of(self.exchange.state), ENGINE)
        found = recover(market, self.exchange.state, owner)
        if found.snapshot is not None or found.replayed != found.position:
            raise Violation(f"not from the beginning: {found}")
        kept = [each for each in self.traders if not each.book.cancelled_on_disconnect]
        _demand_equal("the clients' books", self._known(kept), "the journal", _rows(market))

    def forget_replica(self) -> None:
        """Let go of our replica and of shared memory, because the exchange is dead."""
        self.watch.close()
        if self._replica is not None:
            self._replica.__exit__(None, None, None)
            self._replica = None

    def kill_everything(self, chance: random.Random) -> None:
        """SIGKILL to every process in any order, or to the supervisor alone, which is the same."""
        process = self.exchange.process
        assert process is not None
        pids = [process.pid, *(int(row["pid"]) for row in self.watch.processes())]
        chance.shuffle(pids)
        for pid in pids if chance.random() < 0.7 else [process.pid]:
            strike(pid, signal.SIGKILL)
        self.exchange.wait()
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(is_alive, pids)):
            if time.monotonic() > deadline:
                raise Violation("killed processes do not end")
            time.sleep(0.005)

    async def kill_while_starting(self, seconds: float) -> None:
        """Start the exchange, and kill it again before long."""
        self.exchange.launch()
        await asyncio.sleep(seconds)
        process = self.exchange.process
        assert process is not None
        strike(process.pid, signal.SIGKILL)
        self.exchange.wait()


@asynccontextmanager
async def opened(
    folder: Path, name: str, chance: random.Random, options: Options
) -> AsyncIterator[Arena]:
    """A running exchange with everybody logged in; at the end it is stopped and compared again."""
    exchange = Exchange(folder, configuration(options), name)
    arena = Arena(exchange, chance, options)
    try:
        await arena.start()
        async with asyncio.TaskGroup() as group:
            await arena.feed.open()
            tasks = [group.create_task(arena.feed.listen())]
            for number, trader in enumerate(arena.traders):
                await trader.open(number % 2)
                tasks += [group.create_task(trader.listen()), group.create_task(trader.send())]
            yield arena
            for each in tasks:
                each.cancel()
        code = await asyncio.to_thread(exchange.stop)
        if code:
            raise Violation(f"the exchange ended with code {code}")
        arena.compare_journal()
        arena.forget_replica()
        if exchange.segments:
            raise Violation(f"left behind: {exchange.segments}")
    finally:
        exchange.destroy()


def _units(price: Decimal) -> int:
    return int(price * PRICE_UNIT)


def _rows(market: Market) -> list[Row]:
    rows = []
    for number, symbol in enumerate(SYMBOLS, 1):  # the first instrument is not traded
        for row in market_book(market, ENGINE, number):
            side = chr(int(row["side"]))
            price, shares = int(row["price"]), int(row["shares"])
            rows.append((int(row["reference"]), symbol, side, price, shares))
    return sorted(rows)


def _demand_equal(name: str, left: list[Row], other: str, right: list[Row]) -> None:
    if left != right:
        only, too = sorted(set(left) - set(right))[:5], sorted(set(right) - set(left))[:5]
        raise Violation(f"only in {name}: {only}; only in {other}: {too}")
