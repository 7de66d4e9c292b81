"""Which features of the market met, read from what the naive exchange says.

A feature takes part in a command when it shows in one of the command's events, or when one of these
events is about an order that has it. Two features meet in a command, or in a sequence of commands.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement
from typing import Any

from tests.oracle.exchange import (
    ANY_SIDE,
    CLOSED,
    DISCONNECT,
    EVERY_INSTRUMENT,
    EXPIRED,
    MASS_CANCEL,
    NO_ENTRY,
    NUMBER_USED,
    PROTECTED,
    REPLACE_FAILED,
    ROLL,
    SELF_MATCH,
    STALE,
    SUPERFLUOUS,
    Exchange,
    Order,
    Request,
)
from tests.oracle.protections import FROZEN

ORDER_FEATURES = {
    "minimum": lambda each: 0 < each.tags.get(3, 0),
    "reserve": lambda each: each.reserve > 0,
    "post-only, slides": lambda each: each.tags.get(12) == "P",
    "post-only, rejects": lambda each: each.tags.get(129) == "R",
    "group id": lambda each: 24 in each.tags,
    "own group": lambda each: each.tags.get(132, 0) > 0,
    "times asked": lambda each: 143 in each.tags,
    "shares ahead asked": lambda each: 145 in each.tags,
    "day": lambda each: each.tif == "0",
    "immediate": lambda each: each.tif == "3",
    "good till time": lambda each: each.tif == "6",
    "good till cancelled": lambda each: each.gtc,
    "stays": lambda each: each.stay,
    "hidden": lambda each: each.display == "N",
    "attributed": lambda each: each.display == "A",
}
_PLAIN = {
    "executed": "trade",
    "rested": "rests after trading",
    "restated": "refresh",
    "modified": "modify",
    "replaced": "replace",
    "self matched": "self-match, D",
    "account": "query",
    "logged in": "login",
    "logged out": "logout",
    "gateway started": "gateway starts",
    "gateway died": "gateway dies",
    "disabled": "disable",
    "enabled": "enable",
    "state": "state",
    "broken": "bust",
    "protection set": "protection",
    "quoted": "mass quote",
    "rolled": "roll",
    "protection fired": "protection fires",
}
_REJECTS = {CLOSED: "reject, halted", NO_ENTRY: "reject, disabled", FROZEN: "reject, frozen"}
_IGNORED = {STALE: "stale", NUMBER_USED: "number used", SUPERFLUOUS: "superfluous"}
_CAUSES = {DISCONNECT: "disconnect", MASS_CANCEL: "of many", EXPIRED: "expiry"}
_CAUSES |= {PROTECTED: "protected", ROLL: "ends with the day", REPLACE_FAILED: "replace fails"}
IN_PARTS, KILL = "in parts", "fill or kill"
FEATURES = (
    *ORDER_FEATURES,
    KILL,
    *_PLAIN.values(),
    *_REJECTS.values(),
    *_IGNORED.values(),
    *_CAUSES.values(),
    *("self-match, R", "self-match, I", "self-match, B", "cancel", "partial cancel"),
    *("refused by a gateway", "not enough at once", "post-only gone"),
    *("mass cancel, session", "mass cancel, firm", "mass cancel, group", "mass cancel, side"),
    *("mass cancel, symbol", IN_PARTS),
)
_TAKER = 5  # where the taker's slot is in what is said of two orders


class Meetings:
    """Counts, for every pair of features, the sequences and the commands in which they met."""

    def __init__(self) -> None:
        self.sequences: Counter[tuple[str, str]] = Counter()
        self.commands: Counter[tuple[str, str]] = Counter()
        self._known: dict[int, frozenset[str]] = {}  # by slot: of its order
        self._now: set[str] = set()

    def forget(self) -> None:
        """Another market begins."""
        self._known.clear()

    def saw(
        self, request: Request, said: list[tuple[Any, ...]], exchange: Exchange, parts: bool
    ) -> None:
        """Take note of a command and its events; `exchange` has carried it out."""
        found = {IN_PARTS} if parts else set()
        if request.kind in ("enter", "replace") and said[-1][0] not in ("ignored", "rejected"):
            found |= _of_request(request)
        for event in said:
            found |= _of_event(event)
            for place in (1, _TAKER) if event[0] in ("executed", "self matched") else (1,):
                if event[0] in _ABOUT_ORDERS:
                    found |= self._known.get(event[place], frozenset())
                    if order := exchange.orders.get(event[place]):
                        self._known[event[place]] = _of_order(order)
                        found |= self._known[event[place]]
        found |= _self_match(said)
        self._now |= found
        self.commands.update(combinations_with_replacement(sorted(found), 2))

    def end_sequence(self) -> None:
        """What was seen since the last call is one sequence."""
        self.sequences.update(combinations_with_replacement(sorted(self._now), 2))
        self._now = set()


_ABOUT_ORDERS = ("accepted", "replaced", "executed", "self matched", "cancelled", "modified")
_ABOUT_ORDERS += ("rested", "restated")


def _of_order(order: Order) -> frozenset[str]:
    return frozenset(name for name, has in ORDER_FEATURES.items() if has(order))


def _of_request(request: Request) -> set[str]:
    """Of an order that may be gone already."""
    tags = dict(request.tags)
    found = {name for tag, name in _TAG_NAMES.items() if tag in tags}
    if tags.get(12) == "P":
        found.add("post-only, slides")
    if tags.get(129) == "R":
        found.add("post-only, rejects")
    if tags.get(132):
        found.add("own group")
    if 0 < tags.get(5, 0) < request.quantity and request.display != "N":
        found.add("reserve")
    if tags.get(3) == request.quantity:
        found.add(KILL)
    found.add({"0": "day", "3": "immediate", "6": "good till time"}[request.tif])
    found |= {"good till cancelled"} if request.gtc else set()
    found |= {"stays"} if request.stay else set()
    return found | {"N": {"hidden"}, "A": {"attributed"}}.get(request.display, set())


_TAG_NAMES = {3: "minimum", 24: "group id", 143: "times asked", 145: "shares ahead asked"}


def _of_event(event: tuple[Any, ...]) -> set[str]:
    name = event[0]
    if name == "cancelled":
        return _of_cancel(event)
    if name == "mass cancelled":
        return _of_mass_cancel(event)
    if name == "rejected":
        refused = {"refused by a gateway"} if event[1] == "refused" else set()
        return refused | ({_REJECTS[event[2]]} if event[2] in _REJECTS else set())
    if name == "ignored":
        return {_IGNORED[event[2]]} if event[2] in _IGNORED else set()
    return {_PLAIN[name]} if name in _PLAIN else set()


def _of_cancel(event: tuple[Any, ...]) -> set[str]:
    reason, cause, done, rested = event[-5:-1]
    if cause:
        return {_CAUSES[cause]} if cause in _CAUSES else set()
    if reason == ord("G"):
        return {"post-only gone"}
    if reason == ord("I"):
        return {"not enough at once"}
    return {"cancel" if done else "partial cancel"} if rested else set()


def _of_mass_cancel(event: tuple[Any, ...]) -> set[str]:
    instrument, side, firm, group = event[-4:]
    found = {"mass cancel, firm" if firm.strip() else "mass cancel, session"}
    found |= {"mass cancel, side"} if side != ANY_SIDE else set()
    found |= {"mass cancel, symbol"} if instrument != EVERY_INSTRUMENT else set()
    return found | ({"mass cancel, group"} if group else set())


def _self_match(said: list[tuple[Any, ...]]) -> set[str]:
    """Modes that cancel, by who is cancelled."""
    gone = [each[-2] for each in said if each[0] == "cancelled" and each[-4] == SELF_MATCH]
    if not gone:
        return set()
    if all(gone):
        return {"self-match, R"}
    return {"self-match, B" if any(gone) else "self-match, I"}
