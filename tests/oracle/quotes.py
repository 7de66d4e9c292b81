"""Mass quotes, naively: all is checked, then every old side goes, then every new one is entered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange, Request

QUOTES_MAX, IDS_MAX = 16, 256
BAD_COUNT, BAD_ID, CROSSED, BAD_SYMBOL, BAD_SLOT = 0x8030, 0x8031, 0x8032, 0x17, 0x8002
FROZEN = 0x8021
LAST_USER_REF = 0xFFFF_FFFF
NO_ROOM = 0x8001
SUPERFLUOUS = 4


class Side(NamedTuple):
    """What is offered on one side; quantity 0: nothing."""

    slot: int = 0
    price: int = 0
    quantity: int = 0


class Quote(NamedTuple):
    """Both sides of one quote."""

    number: int
    instrument: int
    bid: Side
    ask: Side

    @property
    def sides(self) -> tuple[tuple[str, Side], tuple[str, Side]]:
        """In the order in which they are entered."""
        return ("B", self.bid), ("S", self.ask)


def mass_quote(exchange: Exchange, request: Request) -> None:
    """Carry out the request, or nothing of it."""
    reason = exchange.session_fault(request) or exchange.number_fault(request)
    if reason:
        exchange.ignore(request, reason)
        return _give_back(exchange, request)
    exchange.use_number(request)
    if reason := _fault(exchange, request):
        exchange.reject(request._replace(client_id=b" " * 14), reason, returned=False)
        return _give_back(exchange, request)
    about = (request.session, request.channel, request.user_ref)
    exchange.say("quoted", *about, request.group, len(request.quotes))
    last = request.user_ref + 2 * len(request.quotes)
    exchange.sessions[request.session].last[request.channel] = last
    exchange.protections.take_block(request.session)
    for quote in request.quotes:
        for side, _ in quote.sides:
            for order in list(exchange.sessions[request.session].resting):
                if order.quote == quote.number and (order.side == "B") == (side == "B"):
                    exchange.reduce(order, 0, ord("U"), long_form=True)
    number = request.user_ref
    for quote in request.quotes:
        for side, terms in quote.sides:
            number += 1
            if terms.quantity and exchange.owns_free(request.source, terms.slot):
                _enter(exchange, request, quote, side, terms, number)
    return None


def _give_back(exchange: Exchange, request: Request) -> None:
    number = request.user_ref
    for quote in request.quotes:
        for _, terms in quote.sides:
            number += 1
            if exchange.owns_free(request.source, terms.slot):
                wrapped = number % (LAST_USER_REF + 1)
                owner = (terms.slot, request.session, request.channel, wrapped)
                exchange.say("ignored", "enter", SUPERFLUOUS, *owner, True)


def _fault(exchange: Exchange, request: Request) -> int:
    count = len(request.quotes)
    if not 0 < count <= QUOTES_MAX or request.user_ref + 2 * count > LAST_USER_REF:
        return BAD_COUNT
    if request.reason:
        return request.reason
    seen: set[int] = set()
    for quote in request.quotes:
        if reason := _quote_fault(exchange, request, quote):
            return reason
        if quote.number in seen:
            return BAD_ID
        seen.add(quote.number)
    return NO_ROOM if 1 + 8 * count > exchange.room else 0


def _quote_fault(exchange: Exchange, request: Request, quote: Quote) -> int:
    if not 0 < quote.number <= IDS_MAX:
        return BAD_ID
    if quote.instrument >= len(exchange.instruments):
        return BAD_SYMBOL
    wanted = [terms for _, terms in quote.sides if terms.quantity]
    if not wanted:
        return 0
    if exchange.sessions[request.session].disabled:
        return 0x8020
    if exchange.is_frozen(request.session, {24: request.group}, quote.instrument):
        return FROZEN
    if reason := exchange.closed(request.session, quote.instrument):
        return reason
    for terms in wanted:
        if not exchange.owns_free(request.source, terms.slot):
            return BAD_SLOT
        if reason := exchange.limits_fault(quote.instrument, terms.price, terms.quantity):
            return reason
    crossed = len(wanted) == 2 and quote.bid.price >= quote.ask.price
    return CROSSED if crossed else 0


def _enter(
    exchange: Exchange, request: Request, quote: Quote, side: str, terms: Side, number: int
) -> None:
    """Like an order with tags 12 = `P` and 24."""
    tags: dict[int, Any] = {12: "P"} | ({24: request.group} if request.group else {})
    order = exchange.new_order(
        request._replace(
            slot=terms.slot,
            user_ref=number,
            instrument=quote.instrument,
            side=side,
            price=terms.price,
            quantity=terms.quantity,
            tif="0",
            display="Y",
            capacity="P",
            sweep=False,
            gtc=False,
            tags=tuple(tags.items()),
        )
    )
    order.quote = quote.number
    named = request._replace(client_id=f"Q{quote.number:03}".encode().ljust(14))
    exchange.admit("accepted", order, named)
