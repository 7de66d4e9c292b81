"""Whether two markets are equal byte for byte, and if not, where."""

from __future__ import annotations

import numpy as np

from shm_exchange.market import Market
from shm_exchange.messages import SLOT_BITS, CommandFlag

# Counted by replicas alone.
_OWN = {
    "sessions": "messages",
    "scalars": "feed_messages",
    "instruments": "price_last",
    "positions": "",
}


def differences(market: Market, replica: Market) -> list[str]:
    """One line for every field that differs, with its first place; empty when all are equal.

    Looks at everything that was ever used: all slots of the partitions, all pages of the trees.
    """
    lines: list[str] = []
    for name, left, right in _parts(market, replica):
        for field in left.dtype.names or ("",):
            if _OWN.get(name) == field:
                continue
            mine, theirs = (left[field], right[field]) if field else (left, right)
            unequal = np.flatnonzero(mine != theirs)
            if len(unequal):
                place = unequal[0]
                lines.append(f"{name}[{place}].{field}: {mine[place]} != {theirs[place]}")
    return lines


def _parts(market: Market, replica: Market) -> list[tuple[str, np.ndarray, np.ndarray]]:
    scalars = market.scalars[0]
    used = {
        "levels": 64 * int(scalars["leaf_next"]),
        "expiries": int(scalars["expiries"]) + 1,
        "protections": 8 * (int(scalars["protection_blocks"]) + 1),
        "fills": 8 * 256 * (int(scalars["protection_blocks"]) + 1),
        "quotes": 512 * (int(scalars["protection_blocks"]) + 1),
        "leaf_words": int(scalars["leaf_next"]),
        "node_words": int(scalars["node_next"]),
        "node_children": 64 * int(scalars["node_next"]),
    }
    parts = []
    for name in Market._fields:
        left, right = getattr(market, name), getattr(replica, name)
        if name not in ("orders", "session_links", "tags"):
            parts.append((name, left[: used.get(name)], right[: used.get(name)]))
    own = slice(0, len(market.sessions) + 1)
    parts.append(("session rings", market.session_links[own], replica.session_links[own]))
    for source in range(len(market.orders) >> SLOT_BITS):
        first = source << SLOT_BITS
        last = first + int(market.gateways[source]["slots_high_water"])
        parts.append((f"orders+{first}", market.orders[first:last], replica.orders[first:last]))
        links = market.session_links[first:last], replica.session_links[first:last]
        parts.append((f"session_links+{first}", *links))
        tagged = first + np.flatnonzero(market.orders["flags"][first:last] & CommandFlag.TAGS)
        parts.append((f"tags of {first}", market.tags[tagged], replica.tags[tagged]))
    return parts
