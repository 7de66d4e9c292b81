"""Simulated clients: each has one session, sends orders, and remembers every message it got."""

from __future__ import annotations

from typing import Any

from gateways.ouch import codec
from gateways.ouch.tags import OUCH_REQUEST
from tests.simulation.memory import zero_row
from tests.simulation.order_gateway import UNSEQUENCED, Gateway
from tests.simulation.private import SYMBOLS
from tests.simulation.roles import Exchange

_BLANK = {**zero_row(OUCH_REQUEST), "packet": UNSEQUENCED}
_TERMS = {"display": ord("Y"), "sweep": ord("N"), "capacity": ord("A"), "cross_type": ord("N")}
LOGOUT = ord("O")
TICK = 100  # of a price on the wire


class Socket:
    """A client's end of one connection."""

    def __init__(self, trader: Trader, gateway: Gateway, number: int, asked: int) -> None:
        self.trader, self.process, self.number, self.asked = trader, gateway.process, number, asked
        self.stream = trader.stream  # of which `asked` is a number
        self.inbound: list[Any] = []
        self.next = 0  # number of the next message, once accepted
        self.closed = False

    @property
    def readable(self) -> bool:
        """Whether a receive would give something."""
        return self.closed or bool(self.inbound)

    def receive(self, item: Any) -> None:
        """A message from the gateway."""
        checker = self.trader.exchange.checker
        if item[0] == "accepted":
            self.next = item[1]
            if item[2] != self.trader.stream:  # the day has rolled, or power was lost
                self.trader.stream, self.trader.highest = item[2], self.next - 1
            if self.asked and item[2] == self.stream:
                checker.demand(
                    self.next == self.asked,
                    f"session {self.trader.session}: asked for {self.asked}, got {self.next}",
                )
        elif item[0] == "event":
            checker.demand(self.next > 0, "a message before the login was accepted")
            _, position, which, words = item
            checker.delivered(self.trader.session, self.next, position, which, words)
            self.next += 1
            self.trader.highest = max(self.trader.highest, self.next - 1)
            self.trader.position = max(self.trader.position, position)

    def lost(self) -> None:
        """The gateway has closed it, or is dead."""
        self.closed = True
        if self.trader.socket is self:
            self.trader.socket = None


class Trader:
    """One session."""

    def __init__(self, exchange: Exchange, session: int) -> None:
        self.exchange, self.session = exchange, session
        self.random = exchange.machine.random
        self.socket: Socket | None = None
        self.stream = 0  # name of the stream that it knows
        self.highest = 0  # of the messages that it got
        self.position = -1  # of the last event that it knows of
        self.used = 0  # UserRefNum
        self.orders: list[int] = []

    def connect(self, gateway: Gateway) -> bool:
        """Log in; a connection that it has goes on until the exchange ends it."""
        machine = self.exchange.machine
        asked = self.highest + 1
        if self.highest and self.random.random() < 0.2:
            asked = self.random.randint(1, self.highest)
        socket = Socket(self, gateway, machine.new_identifier(), asked)
        machine.sockets[socket.number] = socket
        if not gateway.log_in(socket, self.session, asked):
            del machine.sockets[socket.number]
            return False
        self.socket = socket
        return True

    def leave(self) -> None:
        """End the connection, politely or not."""
        socket = self.socket
        if socket is None:
            return
        if self.random.random() < 0.5:
            socket.closed = True
            self.socket = None
        else:
            socket.inbound.append({"packet": LOGOUT})
        self.exchange.machine.changed()

    def send(self) -> None:
        """One more request, whatever became of the others."""
        assert self.socket is not None
        draw = self.random.random()
        if draw < 0.6 or not self.orders:
            request = self._enter()
        elif draw < 0.8:
            user_ref = self.random.choice(self.orders)
            quantity = self.random.choice((0, 0, 1, 5))
            request = {"type": codec.CANCEL, "user_ref": user_ref, "quantity": quantity}
        elif draw < 0.95:
            request = self._replace()
        else:
            request = {"type": codec.ACCOUNT_QUERY}
        self.socket.inbound.append({**_BLANK, **request})
        self.exchange.machine.changed()

    def _price(self, side: int) -> int:
        reach = 0 if self.exchange.sweeps > 0.15 else 5  # a deep book has something to sweep
        if side == ord("B"):
            return self.random.randint(94, 100 + reach) * TICK
        return self.random.randint(100 - reach, 106) * TICK

    def _next_number(self) -> int:
        self.used += 0 if self.used and self.random.random() < 0.03 else 1
        self.orders.append(self.used)
        return self.used

    def _enter(self) -> dict[str, int]:
        sweeps = self.random.random() < self.exchange.sweeps
        side = self.random.choice((ord("B"), ord("S")))
        price = (110 if side == ord("B") else 90) * TICK if sweeps else self._price(side)
        return {
            **_TERMS,
            "type": codec.ENTER,
            "user_ref": self._next_number(),
            "side": side,
            "symbol": self.random.choice(SYMBOLS[:1] * 3 + SYMBOLS),
            "price": price,
            "quantity": 60 if sweeps else self.random.randint(1, 4),
            "time_in_force": ord("3") if self.random.random() < 0.2 else ord("0"),
        }

    def _replace(self) -> dict[str, int]:
        return {
            **_TERMS,
            "type": codec.REPLACE,
            "original_user_ref": self.random.choice(self.orders),
            "user_ref": self._next_number(),
            "price": self._price(self.random.choice((ord("B"), ord("S")))),
            "quantity": self.random.randint(1, 6),
            "time_in_force": ord("0"),
        }
