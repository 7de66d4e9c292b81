"""A generator of short sequences in which as many features as possible meet.

A sequence begins on whatever the ones before it have left, so that it meets what rests; who is gone
or may not trade is let in again first. What an order asks for is drawn feature by feature, and
prices lie so close together that most orders meet somebody.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.oracle.exchange import (
    ANY_SIDE,
    EVERY_INSTRUMENT,
    LAST_USER_REF,
    SLOTS_PER_SOURCE,
    Exchange,
    Request,
)
from tests.oracle.quotes import Quote, Side
from tests.oracle.streams import (
    FIRMS,
    HOSTILE_FIELDS,
    OWN,
    SESSIONS,
    SLOTS,
    SOURCES,
    WAIT,
    Action,
    request_of,
)

COMMANDS = 24  # of a sequence, besides those that let everybody in again
ROLL_SHARE = 0.4  # of the sequences end with the day
KINDS = {
    "enter": 70,
    "replace": 13,
    "cancel": 5,
    "modify": 10,
    "mass cancel": 6,
    "protection": 8,
    "mass quote": 13,
    "logout": 2,
    "login": 2,
    "gateway started": 3,
    "gateway died": 7,
    "state": 4,
    "disable": 6,
    "bust": 3,
    "query": 2,
    "refused": 2,
}
_CHOICES, _WEIGHTS = list(KINDS), list(KINDS.values())
_ABOUT_ORDERS = ("replace", "cancel", "modify")
LARGE = 100  # lots
HOSTILE_SHARE, REPAIR_SHARE = 0.04, 0.25
_OF_SESSIONS = (0, 0, 0, 1, 2, 3)  # who does more meets himself more
# A session that has used its last number could do nothing any more.
_HOSTILE = [each for each in HOSTILE_FIELDS if each != ("user_ref", LAST_USER_REF)]


def sequence(rng: random.Random, exchange: Exchange) -> Iterator[Request]:
    """One sequence; each request is made when the ones before it were carried out."""
    yield from _repairs(exchange)
    for _ in range(COMMANDS):
        yield _request(rng, exchange)
        if rng.random() < REPAIR_SHARE:
            yield from _repairs(exchange)
    if rng.random() < ROLL_SHARE:
        yield Request("roll", source=1, reason=1)


def _repairs(exchange: Exchange) -> Iterator[Request]:
    """Everybody is logged in, may enter orders, and everything is open."""
    for number, session in enumerate(exchange.sessions):
        if not session.connected:
            source = SOURCES[number % 2]
            yield Request("login", source=source, session=number, slot=number)
    for number, session in enumerate(exchange.sessions):
        for by_whom in sorted(session.disabled):
            firm = "    " if by_whom == "session" else FIRMS[number]
            yield Request(
                "enable",
                source=session.source,
                session=number,
                generation=session.generation,
                user_ref=session.last.get(0, 0) + 1,
                firm=firm,
                client_id=firm.encode() + bytes(10),
            )
    for number, instrument in enumerate(exchange.instruments):
        if instrument.state != "T":
            yield Request("state", source=1, instrument=number, reason=ord("T"))


def _request(rng: random.Random, exchange: Exchange) -> Request:
    kind = rng.choices(_CHOICES, _WEIGHTS)[0]
    wide = rng.random() < 0.1
    action = Action(
        kind=kind,
        pick=SESSIONS * (1 + rng.randrange(10)) + rng.choice(_OF_SESSIONS),
        choice=rng.randrange(8),
        instrument=int(wide),
        price=rng.randrange(11) if wide else rng.randrange(3, 8),
        quantity=1 + rng.randrange(30),
        side=rng.choice("BBBSTE"),
        tif="0",
        attributes=rng.randrange(128),
        special=rng.randrange(512) & 0b11,
        guard=15,
        hostile=rng.choice(_HOSTILE) if rng.random() < HOSTILE_SHARE else None,
    )
    request = request_of(action, exchange)
    if request.kind in ("enter", "replace"):
        request = _with_terms(rng, request)
        request = request if action.hostile else _spoilt(rng, request, exchange)
    if request.kind == "mass cancel":
        side = rng.choice((ANY_SIDE, ANY_SIDE, "B", "S"))
        request = request._replace(group=rng.choice((0, 0, 1, 2, 3)), side=side)
    if request.kind == "protection" and not action.hostile:
        settings = replace(
            request.protection,
            group=rng.choice((1, 1, 2)),
            instrument=EVERY_INSTRUMENT,
            frozen_us=rng.choice((0, 800_000, 2_000_000, 4_000_000)),
        )
        request = request._replace(protection=settings)
    if request.kind == "mass quote" and not action.hostile:
        request = request._replace(quotes=_quotes(rng, request, exchange), group=rng.randrange(4))
    if kind == "state":
        request = request._replace(reason=ord(rng.choice("HQ")))
    if rng.random() < 0.06:
        request = request._replace(wait=WAIT)
    return request


def _quotes(rng: random.Random, request: Request, exchange: Exchange) -> tuple[Quote, ...]:
    """One or two quotes, mostly good ones."""
    base = request.source * SLOTS_PER_SOURCE
    free = [base + n for n in range(1, SLOTS) if base + n not in exchange.orders]
    quotes = []
    for number in rng.sample(range(1, 5), 1 + rng.randrange(2)):
        bid = 96 + rng.randrange(6)
        sides = [
            Side(free.pop() if free else 0, price, rng.randrange(20))
            for price in (bid, bid + rng.randrange(4))
        ]
        quotes.append(Quote(number, 0, *sides))
    return tuple(quotes)


def _spoilt(rng: random.Random, request: Request, exchange: Exchange) -> Request:
    """Now and then a number that was used, a price that is none, or more than there is."""
    chance = rng.random()
    if chance < 0.03:
        last = exchange.sessions[request.session].last.get(request.channel, 0)
        return request._replace(user_ref=last)
    if chance < 0.25 and request.kind == "replace":
        return request._replace(price=0)
    if chance > 0.97 and request.kind == "replace":  # its gateway has refused it
        return request._replace(reason=0x20)
    more = chance > 0.85 and 0 < request.quantity < LARGE
    return request._replace(quantity=8 * request.quantity) if more else request


def _with_terms(rng: random.Random, request: Request) -> Request:
    """Each feature is asked for or not, whatever the others are."""

    def chance(share: float) -> bool:
        return rng.random() < share

    tif = rng.choices("036", (62, 18, 20))[0]
    display = rng.choices("YNA", (65, 20, 15))[0]
    quantity = max(1, request.quantity)
    terms: dict[int, Any] = {}
    if tif == "3" and chance(0.45):
        terms[3] = quantity if chance(0.5) else 1 + rng.randrange(quantity)
    if display != "N" and chance(0.3):
        terms[5] = 1 + rng.randrange(5)
    if chance(0.1):
        terms[12] = "P"
    if tif == "6":
        terms[15] = 1 + rng.randrange(5)
    if chance(0.5):
        terms[24] = rng.choice((1, 1, 2, 3))
    if chance(0.08):
        terms[129] = "N" if chance(0.1) else "R"
    if chance(0.6):
        terms[131] = rng.choice("RRIIIIBBBBBBDDDD")
    if chance(0.2):
        terms[132] = rng.choice((OWN, OWN, 8, 0))
    if chance(0.12):
        terms[143] = 1 + rng.randrange(9)
    if chance(0.12):
        terms[145] = "Y"
    return request._replace(
        tif=tif, display=display, gtc=tif == "0" and chance(0.3), tags=tuple(terms.items())
    )


assert len(FIRMS) == SESSIONS
