"""Generators of requests: valid ones, and hostile ones made from them.

An action is a handful of small numbers. What it asks for is decided only when it is carried out,
against what the naive exchange knows then ("reduce the third live order by half"): so most
actions mean something, and a failing list shrinks well. A hostile action is a valid one with one
field replaced by something that no honest gateway sends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.oracle.exchange import (
    ANY_SIDE,
    EVERY_INSTRUMENT,
    LAST_USER_REF,
    SLOTS_PER_SOURCE,
    Exchange,
    Instrument,
    Request,
)
from tests.oracle.protections import Settings
from tests.oracle.quotes import Quote, Side
from tests.oracle.terms import Guard

SESSIONS = 4
SOURCES = (2, 3)
SLOTS = 32  # per source: few, so that they are reused and run out
SOURCE_COUNT = 4  # slots of sources from here on do not exist

NARROW = (90, 110)
WIDE = (1, 2_000_000_000)
# Neighbours, page borders, the ends, and borders of the tree's higher nodes.
WIDE_PRICES = (1, 2, 63, 64, 65, 4_095, 4_096, 262_143, 262_144, 16_777_216, 2_000_000_000)

KINDS = (
    *("enter",) * 10,
    *("cancel",) * 4,
    *("replace",) * 4,
    *("modify",) * 2,
    "query",
    "refused",
    "login",
    "logout",
    "state",
    "gateway started",
    "gateway died",
    *("mass cancel",) * 2,
    "disable",
    *("enable",) * 2,
    "bust",
    "roll",
    *("protection",) * 3,
    *("mass quote",) * 3,
)
FIRMS = ("ACME", "ACME", "SOLO", "ACME")  # of the sessions
OWN = 7  # a group of orders of one owner
GUARDS = (Guard(), Guard(group=OWN), Guard("D", "group", OWN), Guard("R", "firm"))

_HOSTILE = {
    "kind": ("unheard of",),
    "source": (1, 2, 3),
    "session": (SESSIONS, 0xFFFF),
    "generation": (0, 1, 2, 0xFFFF_FFFF),
    "channel": (1, 255),
    "slot": (
        0,
        -1,
        -(1 << 31),
        (1 << 31) - 1,
        2 * SLOTS_PER_SOURCE - 1,
        2 * SLOTS_PER_SOURCE + 1,
        2 * SLOTS_PER_SOURCE + SLOTS,
        3 * SLOTS_PER_SOURCE + 1,
        SOURCE_COUNT * SLOTS_PER_SOURCE + 1,
    ),
    "user_ref": (0, 1, 2, 0xFFFF_FFFF),
    "original": (0, 1, 2, 0xFFFF_FFFF),
    "instrument": (2, 0xFFFF),
    "price": (-(1 << 31), -1, 0, NARROW[0] - 1, NARROW[1] + 1, WIDE[1] + 1, (1 << 31) - 1),
    "quantity": (-(1 << 31), -1, 0, 1_001, 1_000_000, (1 << 31) - 1),
    "protection": (
        Settings("X", 1, window_us=1, executions=1),
        Settings("S", 0, window_us=1, executions=1),
        Settings("R", 9),
        Settings("S", 1, 2, window_us=1, executions=1),
        Settings("S", 1, window_us=0, executions=1),
        Settings("S", 1, window_us=1),
        Settings("S", 1, window_us=1, executions=257),
        Settings("S", 1, window_us=1, quantity=-1),
    ),
}


class Action(NamedTuple):
    """What to do next, in numbers that are read when it is done."""

    kind: str
    pick: int  # which session, slot or live order
    choice: int  # which variant of the quantity
    instrument: int
    price: int  # subscript among the prices
    quantity: int
    side: str
    tif: str
    attributes: int  # bits: display, capacity, sweep, gtc, long form, open quantity, stay
    special: int  # what the order asks for by tags
    guard: int  # and of meeting its owner
    hostile: tuple[str, Any] | None


HOSTILE_FIELDS = [(name, value) for name, values in _HOSTILE.items() for value in values]
_INSTRUMENTS = (0, 0, 0, 1)
_SIDES, _TIFS = "BBBSTE", "0003"
ACTIONS_MAX = 100
WAIT = 700_000_000  # ns


def _spread(number: int) -> int:
    """Small numbers are drawn most; all digits of what comes back depend on all of theirs."""
    for _ in range(2):
        number = (number ^ number >> 31) * 0x2545_F491_4F6C_DD1D & (1 << 64) - 1
    return number ^ number >> 29


def _decode(number: int, hostile_share: int) -> Action:
    """Read an action from a number: one draw instead of ten makes long lists cheap."""
    number = _spread(number)

    def digit(base: int) -> int:
        nonlocal number
        number, value = divmod(number, base)
        return value

    return Action(
        kind=KINDS[digit(len(KINDS))],
        pick=digit(41),
        choice=digit(8),
        instrument=_INSTRUMENTS[digit(len(_INSTRUMENTS))],
        price=digit(len(WIDE_PRICES)),
        quantity=1 + digit(30),
        side=_SIDES[digit(len(_SIDES))],
        tif=_TIFS[digit(len(_TIFS))],
        attributes=digit(128),
        special=digit(512),
        guard=digit(16),
        hostile=HOSTILE_FIELDS[digit(len(HOSTILE_FIELDS))] if digit(100) < hostile_share else None,
    )


def _actions(hostile_share: int) -> st.SearchStrategy[list[Action]]:
    """Lists of actions, `hostile_share` of a hundred of them hostile."""
    action = st.integers(0, (1 << 62) - 1).map(lambda number: _decode(number, hostile_share))
    lengths = st.integers(1, ACTIONS_MAX)
    return lengths.flatmap(lambda length: st.lists(action, min_size=length, max_size=length))


valid_actions = _actions(0)
hostile_actions = _actions(25)


def new_exchange() -> Exchange:
    """The exchange that the actions are made for."""
    narrow, wide = (Instrument(*NARROW, 1_000), Instrument(*WIDE, 999_999))
    exchange = Exchange([narrow, wide], SESSIONS, SLOTS)
    for session, firm, guard in zip(exchange.sessions, FIRMS, GUARDS, strict=True):
        session.firm, session.guard = firm, guard
    return exchange


def opening() -> list[Request]:
    """Everybody logs in."""
    return [
        Request("login", source=SOURCES[number % 2], session=number, slot=number)
        for number in range(SESSIONS)
    ]


def request_of(action: Action, exchange: Exchange) -> Request:
    """What the action asks for, as things stand."""
    live = sorted(exchange.orders.values(), key=lambda order: order.slot)
    kind = action.kind
    if kind in ("cancel", "replace", "modify") and not live:
        kind = "enter"
    if kind in ("cancel", "replace", "modify"):
        request = _about_order(action, kind, live[action.pick % len(live)], exchange)
    elif kind == "state":
        state = ord("TTTTTTQH"[action.choice])
        request = Request("state", source=1, instrument=action.instrument, reason=state)
    elif kind == "bust":
        request = _about_trade(action)
    elif kind == "roll":
        request = Request("roll", source=1, reason=1)
    elif kind.startswith("gateway"):
        request = _about_gateway(action, kind, exchange)
    else:
        request = _about_session(action, kind, exchange)
    if kind in ("enter", "replace"):
        request = _with_terms(request, action)
    if kind == "replace" and action.special == 31:  # its gateway has refused it
        request = request._replace(reason=0x20)
    if kind == "replace" and not request.stay:
        request = request._replace(leave=action.special % 2 == 1)
    if action.pick % 8 == 0:
        request = request._replace(wait=WAIT)
    return request._replace(**dict([action.hostile])) if action.hostile else request


def _with_terms(request: Request, action: Action) -> Request:
    """Half of the orders ask for something by tags, an eighth are hidden."""
    number, special = action.special, action.special >> 3
    if number & 7 == 1:
        request = request._replace(display="N")
    quantity = max(1, request.quantity)
    terms: dict[int, Any] = {}
    if 32 <= special < 38 or special == 63:
        terms[3] = max(1, quantity * (1 + number % 4) // 4)
        request = request._replace(tif="0" if special == 63 else "3")
    if 38 <= special < 44 or special == 61:
        terms[12] = "P"
    if 44 <= special < 47:
        terms[129] = "R"
    if special == 47:
        terms |= {12: "N", 129: "N"}
    if 48 <= special < 54 or special == 61:
        terms[5] = 1 + number % 5
    if 54 <= special < 60 or special == 61:
        terms[15] = 1 + number % 3
    if 54 <= special < 62:
        request = request._replace(tif="6")
    if special == 62:
        terms |= {24: number & 3, 25: "Y"}
    elif special % 2 == 0:  # a group, which may be protected
        terms[24] = 1 + number % 2
    if action.guard < 6:
        terms[131] = "RIBDDR"[action.guard]
    if 5 <= action.guard < 9:
        terms[132] = OWN if action.guard < 8 else 0
    if action.attributes & 3 == 3:  # asked about, not asked for: beside anything else
        terms |= {143: 1 + number} if number & 1 else {}
        terms |= {145: "Y"} if number & 6 else {}
    return request._replace(tags=tuple(terms.items()))


def _price(action: Action, instrument: int) -> int:
    return WIDE_PRICES[action.price] if instrument else 95 + action.price


def _number_after(last: int, step: int) -> int:
    """The next UserRefNum; when they are used up, the last one again, which is then ignored."""
    return min(last + step, LAST_USER_REF)


def _attributes(action: Action) -> dict[str, Any]:
    bits = action.attributes
    return {
        "display": "A" if bits & 1 else "Y",
        "capacity": "A" if bits & 2 else "P",
        "sweep": bool(bits & 4),
        "gtc": bool(bits & 8),
        "long_form": bool(bits & 16),
        "stay": bool(bits & 64),
        "tif": action.tif,
        "client_id": f"ID{action.pick:06d}{bits:06d}".encode(),
    }


def _about_trade(action: Action) -> Request:
    """A trade is broken, between two of the sessions or within one."""
    return Request(
        "bust",
        source=action.choice % 2,
        session=action.pick % SESSIONS,
        user_ref=action.quantity,
        original=action.price,
        other_session=action.attributes % SESSIONS,
        instrument=action.instrument,
        reason=ord("ECSX"[action.choice % 4]),
        reference=action.pick,
    )


def _about_gateway(action: Action, kind: str, exchange: Exchange) -> Request:
    """A new life of a gateway, or the end of the present one; now and then of another."""
    number = SOURCES[action.pick % 2]
    incarnation = exchange.gateways[number].incarnation
    if kind == "gateway started":
        following = _number_after(incarnation, 1)
        return Request(kind, source=number, slot=number, user_ref=following)
    wrong = 1 if action.choice == 7 else 0
    named = _number_after(incarnation, wrong)
    return Request(kind, source=action.choice % 2, slot=number, user_ref=named)


def _about_session(action: Action, kind: str, exchange: Exchange) -> Request:
    number = action.pick % SESSIONS
    session = exchange.sessions[number]
    source = session.source
    channel = 1 if action.choice == 7 else 0
    slot = action.pick  # of a login: the connection
    if kind == "login":
        source = SOURCES[action.choice % 2]
    if kind == "enter":
        base = source * SLOTS_PER_SOURCE
        free = [n for n in range(SLOTS) if base + n and base + n not in exchange.orders]
        slot = base + free[action.pick % min(4, len(free))] if free else base
    request = Request(
        kind,
        source=source,
        session=number,
        generation=session.generation,
        channel=channel,
        slot=slot,
        user_ref=_number_after(session.last.get(channel, 0), 1 + action.choice % 2),
        instrument=action.instrument,
        side=action.side,
        price=_price(action, action.instrument),
        quantity=action.quantity,
        reason=0x8003 if kind == "refused" else 0,
        **_attributes(action),
    )
    if kind == "mass quote":
        return _quotes(action, request, exchange)
    if kind == "protection":
        return _about_group(action, request)
    return _about_many(action, request) if kind in ("mass cancel", "disable", "enable") else request


def _quotes(action: Action, request: Request, exchange: Exchange) -> Request:
    """One to three quotes; of some a side is missing, some are crossed or of no instrument."""
    base = request.source * SLOTS_PER_SOURCE
    free = [base + n for n in range(SLOTS) if base + n and base + n not in exchange.orders]
    quotes = []
    for each in range(1 + action.choice % 3):
        seed = _spread(action.special + 1000 * each + 77 * action.pick)
        instrument = seed % 12 // 9 if seed % 97 else 2
        middle = 98 + seed // 16 % 8 if instrument == 0 else 100 + seed // 16 % 5000
        spread = seed // 128 % 6 - (0 if seed // 2048 % 8 else 3)
        sides = []
        for price in (middle, middle + spread):
            quantity = seed // 4096 % 20 if seed // (7 + price % 2) % 5 else 0
            sides.append(Side(free.pop() if quantity and free else 0, price, quantity))
        number = 1 + seed // 8192 % 4 if seed % 89 else 257
        quotes.append(Quote(number, instrument, *sides))
    group = action.special % 3
    return request._replace(quotes=tuple(quotes), group=group, slot=0, client_id=bytes(14))


def _about_group(action: Action, request: Request) -> Request:
    """A protection is set, with limits that are soon reached, or reset, or deleted."""
    bits = action.attributes
    asked = Settings(
        action="SSSSSSSRRD"[(action.choice + action.price) % 10],
        group=1 + action.special % (12 if bits & 64 else 2),
        instrument=EVERY_INSTRUMENT if bits & 1 else action.instrument,
        window_us=(1, 3_000_000, 60_000_000)[action.pick % 3],
        executions=1 + action.quantity % 3 if bits & 2 else 0,
        quantity=action.quantity if bits & 4 else 0,
        net=action.quantity if bits & 8 or not bits & 6 else 0,
        frozen_us=(0, 1, 1, 1, 800_000)[action.price % 5],
    )
    return request._replace(protection=asked, slot=0, client_id=bytes(14))


def _about_many(action: Action, request: Request) -> Request:
    """Of the session, of its firm or, now and then, of another one; of everything or of some."""
    firm = ("    ", "    ", "    ", "ACME", "ACME", "ACME", "SOLO", "NONE")[action.choice]
    everywhere = action.attributes & 1
    return request._replace(
        firm=firm,
        slot=0,
        instrument=EVERY_INSTRUMENT if everywhere else action.instrument,
        side=(ANY_SIDE, "B", "S", ANY_SIDE)[action.pick % 4],
        client_id=firm.encode() + bytes(10),
        group=action.special & 3 if request.kind == "mass cancel" and action.quantity < 8 else 0,
    )


def _about_order(action: Action, kind: str, order: Any, exchange: Exchange) -> Request:
    session = exchange.sessions[order.session]
    following = _number_after(session.last.get(order.channel, 0), 1)
    done = order.done
    totals = (
        0,
        done,
        done + order.leaves // 2,
        done + order.leaves - 1,
        done + order.leaves,
        done + order.leaves + 7,
        done + action.quantity,
        action.quantity,
    )
    return Request(
        kind,
        source=session.source,
        session=order.session,
        generation=session.generation,
        channel=order.channel,
        slot=order.slot,
        user_ref=following if kind == "replace" else order.user_ref,
        original=order.user_ref if kind == "replace" else 0,
        instrument=order.instrument,
        side=action.side,
        price=_price(action, order.instrument),
        quantity=totals[action.choice],
        reason=ord("U") if kind == "cancel" else 0,
        open_quantity=kind == "replace" and bool(action.attributes & 32),
        **_attributes(action),
    )
