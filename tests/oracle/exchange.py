"""The rules of the market once more, naively: dictionaries, sorted lists, whole integers.

Nothing here is shared with the matcher, not even the numbers of kinds, reasons and states: a
request and an event are plain values, and whoever compares translates. One method per request,
written in the order in which the rules are told.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import astuple, dataclass, field, replace
from typing import Any, NamedTuple

from tests.oracle.protections import FOREVER, FROZEN, Protection, Protections, Settings
from tests.oracle.quotes import Quote, mass_quote
from tests.oracle.terms import (
    AHEAD,
    EXPIRE,
    GROUP,
    MINIMUM,
    OWN_GROUP,
    POST_ONLY,
    POST_OR_REJECT,
    SECOND,
    SELF_TRADE,
    Guard,
    Tags,
    inherited,
    reserve_of,
    terms_fault,
)

SLOTS_PER_SOURCE = 1 << 24
LAST_USER_REF = 0xFFFF_FFFF
MATCHER, SUPERVISOR = 0, 1
NOW_FIRST = 1_000
EXPIRED, SELF_MATCH, ROLL, REPLACE_FAILED = 4, 5, 8, 10  # private tag 133

# Why a request is ignored.
STALE, NUMBER_USED, NOT_LIVE, SUPERFLUOUS = 1, 2, 3, 4
UNKNOWN_KIND, UNKNOWN_SESSION, ALREADY = 5, 6, 7
DISCONNECT, MASS_CANCEL, PROTECTED = (
    1,
    2,
    3,
)  # why an order was cancelled although nobody asked for just that
# Why an order is rejected: OUCH's codes, and our own for a slot.
BAD_SLOT, BAD_SYMBOL, CLOSED, BAD_PRICE, BAD_QUANTITY = 0x8002, 0x17, 0x07, 0x1D, 0x13
NOT_YOUR_FIRM, NO_ENTRY = 0x0C, 0x8020
EVERY_INSTRUMENT = 0xFFFF
ANY_SIDE = "\0"


class Request(NamedTuple):
    """What is asked of the exchange. Every field has a value, whether it means something or not."""

    kind: str
    source: int = 2
    session: int = 0
    generation: int = 1
    channel: int = 0
    slot: int = 0
    user_ref: int = 0
    original: int = 0  # the number that a replace refers to
    instrument: int = 0
    side: str = "B"
    price: int = 0
    quantity: int = 0
    tif: str = "0"
    display: str = "Y"
    capacity: str = "P"
    reason: int = 0
    client_id: bytes = b" " * 14
    sweep: bool = False
    gtc: bool = False
    stay: bool = False  # not cancelled on disconnect
    leave: bool = False  # of a replace: it does not stay, whatever its original does
    long_form: bool = False
    open_quantity: bool = False
    other_session: int = 0  # of a broken trade: the taker's; its number is `original`
    reference: int = 0  # of a broken trade: where it was said
    firm: str = "    "  # of a request about many orders; blank: about the session's own
    group: int = 0  # of a mass cancel: of the orders that are meant; 0: all
    tags: tuple[tuple[int, Any], ...] = ()
    wait: int = 0  # ns that pass before it
    protection: Settings = Settings()
    quotes: tuple[Quote, ...] = ()


@dataclass
class Order:
    """A live order."""

    slot: int
    session: int
    channel: int
    user_ref: int
    instrument: int
    side: str
    price: int
    leaves: int
    reference: int
    tif: str
    display: str
    capacity: str
    sweep: bool
    gtc: bool
    stay: bool
    tags: Tags = field(default_factory=dict)
    quote: int = 0  # of which it is a side
    reserve: int = 0  # how much of it is shown at a time; 0: all, or nothing
    shown: int = 0  # of a resting one: what trades before it loses its place
    due: int = 0  # when it ends by itself
    executed: int = 0
    decremented: int = 0  # what it did not trade with its owner
    minimum: int = 0  # what the chain must have executed before anybody is protected from it
    resting: bool = False

    @property
    def done(self) -> int:
        """What counts of the chain's total."""
        return self.executed + self.decremented

    @property
    def owner(self) -> tuple[int, int, int, int]:
        """How every event names an order."""
        return (self.slot, self.session, self.channel, self.user_ref)

    @property
    def urgency(self) -> tuple[int, bool, int]:
        """Sorts the orders of one side: better price, displayed before hidden, older reference."""
        price = -self.price if self.side == "B" else self.price
        return (price, self.display == "N", self.reference)


@dataclass
class Instrument:
    """Limits of an instrument, and its two queues, each in the order of execution."""

    price_min: int
    price_max: int
    quantity_max: int
    state: str = "T"
    buys: list[Order] = field(default_factory=list)
    sells: list[Order] = field(default_factory=list)

    def queue(self, side: str) -> list[Order]:
        """Where orders of this side rest."""
        return self.buys if side == "B" else self.sells


@dataclass
class Session:
    """Who may trade, from where, under which generation."""

    generation: int = 0
    source: int = 0
    connected: bool = False
    cancel_on_disconnect: bool = False
    firm: str = "    "
    guard: Guard = Guard()
    disabled: set[str] = field(default_factory=set)  # by whom: "session", "firm"
    last: dict[int, int] = field(default_factory=dict)  # by channel: last UserRefNum
    resting: list[Order] = field(default_factory=list)  # what rests longest first


@dataclass
class Gateway:
    """A source of requests, as it said itself."""

    incarnation: int = 0
    alive: bool = False


class Exchange:
    """Takes requests, keeps the book, returns events as plain tuples: (name, values...)."""

    def __init__(self, instruments: list[Instrument], sessions: int, slots: int) -> None:
        self.instruments = instruments
        self.sessions = [Session(cancel_on_disconnect=n > 0) for n in range(sessions)]
        self.gateways = [Gateway() for _ in range(64)]
        self.slots = slots  # how many each source owns
        self.orders: dict[int, Order] = {}  # live ones, by slot
        self.protections = Protections()
        self.room = 1 << 20  # events of a mass quote
        self.events: list[tuple[Any, ...]] = []  # everything since the beginning
        self.now = NOW_FIRST

    def execute(self, request: Request) -> list[tuple[Any, ...]]:
        """Carry out one request; return its events."""
        before = len(self.events)
        self.now += 1 + request.wait
        self._end_what_is_due()
        getattr(self, f"_{request.kind}".replace(" ", "_"), self._unknown)(request)
        return self.events[before:]

    # ------------------------------------------------------------------ requests about orders

    def _enter(self, request: Request) -> None:
        free = self._slot_is_free(request)
        if fault := self.session_fault(request) or self.number_fault(request):
            return self.ignore(request, fault, returned=free)
        self.use_number(request)
        if reason := self._entry_fault(request, free):
            return self.reject(request, reason, returned=free)
        self.admit("accepted", self.new_order(request), request)

    def new_order(self, request: Request) -> Order:
        """A live order that is in no queue yet."""
        order = Order(
            slot=request.slot,
            session=request.session,
            channel=request.channel,
            user_ref=request.user_ref,
            instrument=request.instrument,
            side=request.side,
            price=request.price,
            leaves=request.quantity,
            reference=len(self.events),
            tif=request.tif,
            display=request.display,
            capacity=request.capacity,
            sweep=request.sweep,
            gtc=request.gtc,
            stay=request.stay,
            tags=dict(request.tags),
        )
        self.orders[order.slot] = order
        return order

    def _cancel(self, request: Request) -> None:
        if fault := self.session_fault(request) or self._live_fault(request, request.user_ref):
            return self.ignore(request, fault)
        order = self.orders[request.slot]
        left = max(0, request.quantity - order.done)
        if left >= order.leaves:
            return self.ignore(request, SUPERFLUOUS)
        self.reduce(order, left, request.reason, long_form=request.long_form)

    def _replace(self, request: Request) -> None:
        fault = self.session_fault(request) or self._live_fault(request, request.original)
        if fault := fault or self.number_fault(request):
            return self.ignore(request, fault)
        order = self.orders[request.slot]
        if reason := request.reason or self.closed(request.session, order.instrument):
            self.use_number(request)
            return self.reject(request, reason, returned=False)
        left = request.quantity - (0 if request.open_quantity else order.done)
        tags = inherited(order.tags, dict(request.tags), request.tif, request.display)
        fault = self.limits_fault(order.instrument, request.price, max(1, left))
        if fault or terms_fault(tags, request.tif):
            return self.reduce(order, 0, ord("Z"), long_form=True, cause=REPLACE_FAILED)
        if left <= 0:
            return self.reduce(order, 0, ord("U"), long_form=True)
        self.use_number(request)
        if self.is_frozen(order.session, tags, order.instrument):
            return self.reject(request, FROZEN, returned=False)
        self._take_out(order)
        order.user_ref = request.user_ref
        order.price = request.price
        order.leaves = left
        order.reference = len(self.events)
        order.tif, order.display, order.tags = request.tif, request.display, tags
        order.quote = 0
        order.sweep = request.sweep
        order.gtc = request.gtc or (order.gtc and request.tif == "0")
        order.stay = request.stay or (order.stay and not request.leave)
        self.admit("replaced", order, request)

    def _modify(self, request: Request) -> None:
        if fault := self.session_fault(request) or self._live_fault(request, request.user_ref):
            return self.ignore(request, fault)
        order = self.orders[request.slot]
        left = min(order.leaves, max(0, request.quantity - order.done))
        side_changes = request.side != order.side
        if side_changes and "B" in (request.side, order.side):
            return self.ignore(request, SUPERFLUOUS)
        if left == order.leaves and not side_changes:
            return self.ignore(request, SUPERFLUOUS)
        if left == 0:
            return self.reduce(order, 0, ord("U"), long_form=request.long_form)
        taken, order.leaves, order.side = order.leaves - left, left, request.side
        order.shown = min(order.shown, left)
        about = (order.instrument, order.side, order.price, taken, left, order.reference)
        self.say("modified", *order.owner, *about, request.long_form)

    def _refused(self, request: Request) -> None:
        if fault := self.session_fault(request) or self.number_fault(request):
            return self.ignore(request, fault)
        self.use_number(request)
        self.reject(request, request.reason, returned=False)

    def _query(self, request: Request) -> None:
        if fault := self.session_fault(request):
            return self.ignore(request, fault)
        last = self.sessions[request.session].last.get(request.channel, 0)
        following = 0 if last == LAST_USER_REF else last + 1
        self.say("account", request.session, request.channel, following, request.long_form)

    # ------------------------------------------------------------------ requests about sessions

    def _login(self, request: Request) -> None:
        if request.session >= len(self.sessions):
            return self.ignore(request, UNKNOWN_SESSION)
        session = self.sessions[request.session]
        session.generation += 1
        session.source = request.source
        session.connected = True
        self.say("logged in", request.session, session.generation, request.slot)

    def _logout(self, request: Request) -> None:
        if request.session >= len(self.sessions):
            return self.ignore(request, UNKNOWN_SESSION)
        session = self.sessions[request.session]
        if session.generation != request.generation:
            return self.ignore(request, STALE)
        if session.source != request.source:
            return self.ignore(request, UNKNOWN_SESSION)
        if not session.connected:
            return self.ignore(request, ALREADY)
        session.connected = False
        self.say("logged out", request.session, session.generation, request.slot)
        self._cancel_for_the_gone()

    def _gateway_started(self, request: Request) -> None:
        self._gateway(request, request.source, alive=True)

    def _gateway_died(self, request: Request) -> None:
        if request.source not in (MATCHER, SUPERVISOR):
            return self._unknown(request)
        number = request.slot % 64
        gateway = self.gateways[number]
        if not gateway.alive or gateway.incarnation != request.user_ref:
            return self.ignore(request, ALREADY)
        self._gateway(request, number, alive=False)

    def _gateway(self, request: Request, number: int, *, alive: bool) -> None:
        """Whoever was logged in there is not any more."""
        self.gateways[number] = Gateway(request.user_ref, alive)
        for session in self.sessions:
            if session.connected and session.source == number:
                session.connected = False
        self.say(request.kind, number, request.user_ref)
        self._cancel_for_the_gone()

    def _cancel_for_the_gone(self) -> None:
        """Nobody who is logged in nowhere keeps an order that he does not want to stay."""
        for session in self.sessions:
            if session.cancel_on_disconnect and not session.connected:
                for order in [each for each in session.resting if not each.stay]:
                    self.reduce(order, 0, ord("Z"), long_form=True, cause=DISCONNECT)

    # ------------------------------------------------------------------ the day

    def _roll(self, request: Request) -> None:
        """What is not good till cancelled, or till a time, ends; then the streams do."""
        if request.source not in (MATCHER, SUPERVISOR):
            return self._unknown(request)
        for instrument in self.instruments:
            for order in [*instrument.buys, *instrument.sells]:
                if not order.gtc and order.tif != "6":
                    self.reduce(order, 0, ord("E"), long_form=True, cause=ROLL)
        for code in "MEC":
            self.say("system", code)
        self.say("rolled")

    # ------------------------------------------------------------------ many orders at once

    def _mass_cancel(self, request: Request) -> None:
        if not self._may_manage(request):
            return
        everywhere = request.instrument == EVERY_INSTRUMENT
        if not everywhere and request.instrument >= len(self.instruments):
            return self._reject_management(request, BAD_SYMBOL)
        asked = (request.instrument, request.side, request.firm, request.group)
        self.say("mass cancelled", request.session, request.channel, request.user_ref, *asked)
        for session in self._meant(request):
            for order in list(session.resting):
                of_instrument = everywhere or order.instrument == request.instrument
                of_side = request.side == ANY_SIDE or (request.side == "B") == (order.side == "B")
                of_group = request.group in (0, order.tags.get(GROUP, 0))
                if of_instrument and of_side and of_group:
                    self.reduce(order, 0, ord("U"), long_form=True, cause=MASS_CANCEL)

    def _disable(self, request: Request) -> None:
        self._allow_entry(request, "disabled")

    def _enable(self, request: Request) -> None:
        self._allow_entry(request, "enabled")

    def _allow_entry(self, request: Request, answer: str) -> None:
        """What a session forbids for itself and what is forbidden for the firm are kept apart."""
        if not self._may_manage(request):
            return
        by_whom = "firm" if request.firm.strip() else "session"
        self.say(answer, request.session, request.channel, request.user_ref, request.firm)
        for session in self._meant(request):
            if answer == "disabled":
                session.disabled.add(by_whom)
            else:
                session.disabled.discard(by_whom)

    def _may_manage(self, request: Request) -> bool:
        if fault := self.session_fault(request) or self.number_fault(request):
            self.ignore(request, fault)
            return False
        self.use_number(request)
        if request.firm.strip() and request.firm != self.sessions[request.session].firm:
            self._reject_management(request, NOT_YOUR_FIRM)
            return False
        return True

    def _meant(self, request: Request) -> list[Session]:
        if not request.firm.strip():
            return [self.sessions[request.session]]
        return [each for each in self.sessions if each.firm == request.firm]

    def _reject_management(self, request: Request, reason: int) -> None:
        self.reject(request._replace(client_id=b" " * 14), reason, returned=False)

    # ------------------------------------------------------------------ market-maker protection

    def _protection(self, request: Request) -> None:
        if not self._may_manage(request):
            return
        asked = request.protection
        if reason := self.protections.fault(request.session, asked, len(self.instruments)):
            return self._reject_management(request, reason)
        settings = self.protections.change(request.session, asked)
        protection = self.protections.named(request.session, asked.group)
        frozen_until = protection.frozen_until if protection else 0
        said = (*astuple(settings)[1:], frozen_until if frozen_until > self.now else 0)
        about = (request.session, request.channel, request.user_ref)
        self.say("protection set", *about, asked.action, *said)

    def _counts(self, order: Order) -> Protection | None:
        return self.protections.of(order.session, order.tags.get(GROUP, 0), order.instrument)

    def is_frozen(self, session: int, tags: Tags, instrument: int) -> bool:
        """Whether orders of the group cannot be entered."""
        protection = self.protections.of(session, tags.get(GROUP, 0), instrument)
        return protection is not None and protection.frozen_until > self.now

    def _protect(self, taker: Order) -> None:
        """Fire what is due, unless the taker has not got his minimum yet."""
        while taker.executed >= taker.minimum and (protection := self.protections.due()):
            settings, reached = protection.settings, protection.reached()
            length = 1000 * settings.frozen_us
            protection.frozen_until = self.now + length if length else FOREVER
            about = (protection.session, settings.group, settings.instrument, reached)
            until = (settings.frozen_us, protection.frozen_until)
            self.say("protection fired", *about, *protection.amounts(), *until)
            protection.executed, protection.due = [], False
            for order in list(self.sessions[protection.session].resting):
                if self._counts(order) is protection:
                    self.reduce(order, 0, ord("Z"), long_form=True, cause=PROTECTED)
        if taker.leaves and self.is_frozen(taker.session, taker.tags, taker.instrument):
            self.reduce(taker, 0, ord("Z"), long_form=True, cause=PROTECTED)

    def _mass_quote(self, request: Request) -> None:
        mass_quote(self, request)

    # ------------------------------------------------------------------ instruments

    def _state(self, request: Request) -> None:
        if request.source not in (MATCHER, SUPERVISOR):
            return self._unknown(request)
        if request.instrument >= len(self.instruments):
            return self._unknown(request)
        self.instruments[request.instrument].state = chr(request.reason)
        self.say("state", request.instrument, request.reason)

    def _bust(self, request: Request) -> None:
        """No order changes: it is told to those who traded, who the supervisor says they are."""
        if request.source not in (MATCHER, SUPERVISOR) or request.instrument >= len(
            self.instruments
        ):
            return self._unknown(request)
        if max(request.session, request.other_session) >= len(self.sessions):
            return self.ignore(request, UNKNOWN_SESSION)
        sides = (request.session, request.user_ref, request.other_session, request.original)
        self.say("broken", *sides, request.instrument, request.reason, request.reference)

    def _unknown(self, request: Request) -> None:
        self.ignore(request, UNKNOWN_KIND)

    # ------------------------------------------------------------------ matching

    def admit(self, name: str, order: Order, request: Request) -> None:
        """Announce an order, let it trade, then rest it or cancel what is left."""
        other = self.instruments[order.instrument].queue("S" if order.side == "B" else "B")
        order.reserve = reserve_of(order.tags, order.display, order.leaves)
        order.due = self.now + order.tags[EXPIRE] * SECOND if order.tif == "6" else 0
        order.minimum = order.executed + min(order.tags.get(MINIMUM, 0), order.leaves)
        fate = self._fate(order, other)
        crosses = bool(other) and self._crosses(order, other[0])
        rests = order.tif != "3" and not crosses and not fate
        marks = (order.sweep, order.gtc, order.stay)
        attributes = (order.tif, order.display, order.capacity, *marks)
        about = (order.instrument, order.side, order.price, order.leaves)
        identity = (request.client_id, request.original if name == "replaced" else 0)
        if AHEAD in order.tags:
            order.tags[AHEAD] = self._ahead(order)
        tags = tuple(sorted(order.tags.items()))
        self.say(name, *order.owner, *about, *attributes, rests, *identity, tags)
        if fate:
            return self.reduce(order, 0, fate, long_form=True)
        if rests:
            return self._rest(order)
        while order.leaves and other and self._crosses(order, other[0]):
            if self._guard(order) and self._is_own(order, other[0]):
                self._keep_apart(other[0], order)
            else:
                self._trade(other[0], order)
        if not order.leaves:
            return
        if order.tif == "3":
            return self.reduce(order, 0, ord("I"), long_form=True)
        self._rest(order)
        about = (order.instrument, order.side, order.price, order.leaves, order.reference)
        self.say("rested", *order.owner, *about)

    def _fate(self, order: Order, other: list[Order]) -> int:
        """Why an order is cancelled at once, or 0. A post-only one may get another price."""
        refuses = order.tags.get(POST_OR_REJECT) == "R"
        posts = order.tags.get(POST_ONLY) == "P" or refuses
        if posts and other and self._crosses(order, other[0]):
            price = other[0].price + (-1 if order.side == "B" else 1)
            limits = self.instruments[order.instrument]
            possible = limits.price_min <= price <= limits.price_max
            if refuses or not possible:
                return ord("G")
            order.price = price
        wanted = min(order.tags.get(MINIMUM, 0), order.leaves)
        return ord("I") if wanted and self._fillable(order, other) < wanted else 0

    def _fillable(self, order: Order, other: list[Order]) -> int:
        """How much of it others would trade at once: played with a copy of their queue."""
        queue = [replace(each) for each in other if self._crosses(order, each)]
        left = order.leaves
        while queue and left:
            maker = queue[0]
            if (mode := self._guard(order)) and self._is_own(order, maker):
                if mode != "R":  # what is behind it may or may not trade: it does not count
                    break
                queue.pop(0)
                continue
            left -= (quantity := min(maker.shown, left))
            maker.leaves -= quantity
            maker.shown -= quantity
            if maker.shown == 0:
                queue.pop(0)
                if maker.leaves:
                    maker.shown = min(maker.reserve, maker.leaves)
                    maker.reference = len(self.events) + order.leaves - left
                    insort(queue, maker, key=_urgency)
        return order.leaves - left

    # ------------------------------------------------------------------ self-trade prevention

    def _guard(self, order: Order) -> str:
        """What an order that comes in says of meeting its owner: a mode, or nothing."""
        return str(order.tags.get(SELF_TRADE, self.sessions[order.session].guard.mode))

    def _is_own(self, order: Order, maker: Order) -> bool:
        """Whether a resting order is of the owner of one that comes in, as that one sees it."""
        session, other = self.sessions[order.session], self.sessions[maker.session]
        same_firm = session is other or (bool(session.firm.strip()) and session.firm == other.firm)
        if own_group := order.tags.get(OWN_GROUP):
            return same_firm and own_group == maker.tags.get(OWN_GROUP, other.guard.group)
        if OWN_GROUP in order.tags or session.guard.scope == "session":
            return session is other
        if session.guard.scope == "firm":
            return same_firm
        return same_firm and session.guard.group == maker.tags.get(OWN_GROUP, other.guard.group)

    def _keep_apart(self, maker: Order, taker: Order) -> None:
        """They would trade, and do not."""
        mode = self._guard(taker)
        if mode == "D":
            return self._meet("self matched", maker, taker)
        why = {"long_form": True, "cause": SELF_MATCH}
        if mode in "RB":
            self.reduce(maker, 0, ord("Q"), **why)
        if mode in "IB":
            self.reduce(taker, 0, ord("Q"), **why)

    def _ahead(self, order: Order) -> int:
        """Lots of the order's price that trade before it if it rests now.

        Displayed lots; before a hidden order also what the reserves of displayed ones still have.
        """
        queue = self.instruments[order.instrument].queue(order.side)
        there = [each for each in queue if each.price == order.price]
        if order.display == "N":
            return sum(each.leaves for each in there)
        return sum(each.shown for each in there if each.display != "N")

    def _end_what_is_due(self) -> None:
        """Orders that end by themselves, the earliest first."""
        mortal = [order for order in self.orders.values() if 0 < order.due <= self.now]
        for order in sorted(mortal, key=lambda order: (order.due, order.slot)):
            self.reduce(order, 0, ord("T"), long_form=True, cause=EXPIRED)

    def _crosses(self, taker: Order, maker: Order) -> bool:
        if taker.side == "B":
            return taker.price >= maker.price
        return taker.price <= maker.price

    def _trade(self, maker: Order, taker: Order) -> None:
        quantity = min(maker.shown, taker.leaves)
        self._meet("executed", maker, taker)
        for order in (maker, taker):
            if protection := self._counts(order):
                protection.count(self.now, quantity if order.side == "B" else -quantity)
        self._protect(taker)

    def _meet(self, name: str, maker: Order, taker: Order) -> None:
        quantity = min(maker.shown, taker.leaves)
        maker.shown -= quantity
        for order in (maker, taker):
            order.leaves -= quantity
            if name == "executed":
                order.executed += quantity
            else:
                order.decremented += quantity
            if not order.leaves:
                self._take_out(order)
                del self.orders[order.slot]
        about = (maker.instrument, maker.side, maker.price, quantity, maker.reference)
        done = (maker.leaves == 0, taker.leaves == 0)
        hidden = maker.display == "N"
        self.say(name, *maker.owner, *taker.owner, *about, *done, hidden)
        if maker.leaves and not maker.shown:
            self._take_out(maker)
            maker.reference = len(self.events)
            self._rest(maker)
            about = (maker.instrument, maker.side, maker.price)
            self.say("restated", *maker.owner, *about, maker.leaves, maker.shown, maker.reference)

    def reduce(
        self, order: Order, left: int, reason: int, *, long_form: bool = False, cause: int = 0
    ) -> None:
        """Lower what is open to `left`; 0 ends the order. cause: 0 when its client asked."""
        taken, order.leaves = order.leaves - left, left
        order.shown = min(order.shown, left)
        was_resting = order.resting
        if not left:
            self._take_out(order)
            del self.orders[order.slot]
        about = (order.instrument, order.side, order.price, taken, left, order.reference)
        how = (reason, cause, left == 0, was_resting, long_form)
        self.say("cancelled", *order.owner, *about, *how)

    def _rest(self, order: Order) -> None:
        order.resting = True
        order.shown = min(order.reserve, order.leaves) if order.reserve else order.leaves
        self.sessions[order.session].resting.append(order)
        insort(self.instruments[order.instrument].queue(order.side), order, key=_urgency)

    def _take_out(self, order: Order) -> None:
        if order.resting:
            self.instruments[order.instrument].queue(order.side).remove(order)
            order.resting = False
            self.sessions[order.session].resting.remove(order)

    # ------------------------------------------------------------------ checks

    def session_fault(self, request: Request) -> int:
        """Why a request of the session from there is ignored, or 0."""
        if request.session >= len(self.sessions):
            return UNKNOWN_SESSION
        session = self.sessions[request.session]
        if session.generation != request.generation or not session.connected:
            return STALE
        return 0 if session.source == request.source else UNKNOWN_SESSION

    def number_fault(self, request: Request) -> int:
        """NUMBER_USED, or 0."""
        last = self.sessions[request.session].last.get(request.channel, 0)
        return 0 if request.user_ref > last else NUMBER_USED

    def use_number(self, request: Request) -> None:
        """The number is the session's last one."""
        self.sessions[request.session].last[request.channel] = request.user_ref

    def _live_fault(self, request: Request, user_ref: int) -> int:
        order = self.orders.get(request.slot)
        asked = (request.slot, request.session, request.channel, user_ref)
        return 0 if order is not None and order.owner == asked else NOT_LIVE

    def _slot_is_free(self, request: Request) -> bool:
        return self.owns_free(request.source, request.slot)

    def owns_free(self, source: int, slot: int) -> bool:
        """Whether a slot is the source's own and holds no order."""
        owner, index = divmod(slot, SLOTS_PER_SOURCE)
        return slot > 0 and owner == source and index < self.slots and slot not in self.orders

    def _entry_fault(self, request: Request, slot_is_free: bool) -> int:
        if not slot_is_free:
            return BAD_SLOT
        if request.instrument >= len(self.instruments):
            return BAD_SYMBOL
        if reason := self.closed(request.session, request.instrument):
            return reason
        fault = self.limits_fault(request.instrument, request.price, request.quantity)
        if fault := fault or terms_fault(dict(request.tags), request.tif):
            return fault
        frozen = self.is_frozen(request.session, dict(request.tags), request.instrument)
        return FROZEN if frozen else 0

    def closed(self, session: int, instrument: int) -> int:
        """Why no order can be entered or replaced now: by the session, in the instrument."""
        if self.sessions[session].disabled:
            return NO_ENTRY
        return 0 if self.instruments[instrument].state == "T" else CLOSED

    def limits_fault(self, instrument: int, price: int, quantity: int) -> int:
        """What is outside the instrument's limits, or 0."""
        limits = self.instruments[instrument]
        if not limits.price_min <= price <= limits.price_max:
            return BAD_PRICE
        return 0 if 1 <= quantity <= limits.quantity_max else BAD_QUANTITY

    # ------------------------------------------------------------------ what is said

    def say(self, name: str, *values: Any) -> None:
        """An event."""
        self.events.append((name, *values))

    def ignore(self, request: Request, reason: int, *, returned: bool = False) -> None:
        """The request had no effect."""
        owner = (request.slot, request.session, request.channel, request.user_ref)
        self.say("ignored", request.kind, reason, *owner, returned)

    def reject(self, request: Request, reason: int, *, returned: bool) -> None:
        """The request is rejected."""
        owner = (request.slot, request.session, request.channel, request.user_ref)
        about = (request.client_id, True)  # it answers `O` or `U`: always the long form
        self.say("rejected", request.kind, reason, *owner, returned, *about)


def _urgency(order: Order) -> tuple[int, bool, int]:
    return order.urgency
