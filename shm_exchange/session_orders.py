"""Kernel: the resting orders of each session: a ring of links, apart from the orders themselves.

A link is 8 bytes and its number is the order's slot. Each session has a link that is no order's,
where its ring begins and ends; the first source owns no orders, so those links lie in its range.
Whoever joins comes last. Nothing branches: the ring of a session without orders is its own link.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel


@kernel
def ring_of(session):
    """Number of the link at which the ring of `session` begins and ends."""
    return session + 1


@kernel
def join(links, slot, session):
    """Put the order in `slot` at the end of its session's ring. O(1)."""
    end = ring_of(session)
    last = np.int64(links[at(end)]["previous"])
    link = links[at(slot)]
    link["next"] = end
    link["previous"] = last
    links[at(last)]["next"] = slot
    links[at(end)]["previous"] = slot


@kernel
def leave(links, slot):
    """Take the order in `slot` out of its session's ring. O(1)."""
    link = links[at(slot)]
    before = np.int64(link["previous"])
    behind = np.int64(link["next"])
    links[at(before)]["next"] = behind
    links[at(behind)]["previous"] = before


@cold_kernel
def following(links, session, slot):
    """The resting order behind the one in `slot` (0: the first of all) of a session, or 0."""
    end = ring_of(session)
    behind = np.int64(links[at(slot if slot != 0 else end)]["next"])
    return 0 if behind == end else behind
