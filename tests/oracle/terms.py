"""What an order may ask for by tags, naively: values by tag number, as in the specification."""

from __future__ import annotations

from typing import Any, NamedTuple

Tags = dict[int, Any]

MINIMUM, FLOOR, POST_ONLY, EXPIRE, GROUP, LOCATED = 3, 5, 12, 15, 24, 25
POST_OR_REJECT = 129
SELF_TRADE, OWN_GROUP = 131, 132
TIMES, AHEAD = 143, 145  # asked of one acknowledgement
SECOND = 1_000_000_000
BAD_TIME_IN_FORCE, BAD_MINIMUM = 0x8003, 0x0D


class Guard(NamedTuple):
    """What a session is configured to do when its orders meet their owner."""

    mode: str = ""  # `R` `I` `B` `D`, or nothing
    scope: str = "session"
    group: int = 0


def terms_fault(tags: Tags, tif: str) -> int:
    """A time to live belongs to `6`, a minimum to an order that does not rest."""
    if tif == "6" and not tags.get(EXPIRE):
        return BAD_TIME_IN_FORCE
    return BAD_MINIMUM if tags.get(MINIMUM) and tif != "3" else 0


def inherited(old: Tags, new: Tags, tif: str, display: str) -> Tags:
    """What a replacement has: what it names, and the rest of what it replaces."""
    lost = {MINIMUM, LOCATED, TIMES, AHEAD} | ({EXPIRE} if tif != "6" else set())
    lost |= {FLOOR} if display == "N" else set()
    return {tag: value for tag, value in old.items() if tag not in lost} | new


def reserve_of(tags: Tags, display: str, quantity: int) -> int:
    """How much of the order is shown at a time; 0: it is no reserve."""
    floor = int(tags.get(FLOOR, 0))
    return floor if 0 < floor < quantity and display != "N" else 0
