"""Kernel: a command or an event and its continuations are one group: nobody handles half of it.

The matcher publishes whole commands, so a group is never cut but by a reader's own limit. Whoever
reads a bounded batch gives back what belongs to a group that does not end in it.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import EventKind

CONTINUATION = int(EventKind.CONTINUATION)


@cold_kernel
def whole_groups(events, count):
    """How many of events[0:count] are whole groups. O(longest group).

    events: EVENT[n]. When the batch has only the end of a group, all of it counts.
    """
    head = count - 1
    while head >= 0 and events[at(head)]["kind"] == CONTINUATION:
        head -= 1
    if head < 0:
        return count
    return count if head + 1 + np.int64(events[at(head)]["continuations"]) <= count else head


@cold_kernel
def _counted(commands, index):
    return 1 + np.int64(commands[at(index)]["continuations"])


@kernel
def records_of(commands, index):
    """How many records the command at `commands[index]` has, itself and its continuations.

    A branch and no addition: the place of the next command must not depend on what is read here,
    or the processor could not begin with it before that has come.
    """
    if commands[at(index)]["continuations"] != 0:
        return np.int64(_counted(commands, index))
    return 1


@kernel
def follower(events, index):
    """Subscript of the record behind `index` in an array of any length, a ring's too."""
    return index + 1 if index + 1 < len(events) else 0
