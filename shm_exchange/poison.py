"""Kernel: a command that has ended two matchers is not tried again; its user is told.

What it carries is looked at as little as can be: it has killed whoever carried it out.
"""

import numpy as np

from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.admission import is_offered, session_fault, use_user_ref
from shm_exchange.emit import emit_ignored, emit_rejected
from shm_exchange.mass import reject_request
from shm_exchange.mass_quote import return_slots
from shm_exchange.messages import COMMAND_NEXT_BITS, CommandKind, EventFlag, Ignored, Reject

ENTER = int(CommandKind.ENTER)
REPLACE = int(CommandKind.REPLACE)
REFUSED = int(CommandKind.REFUSED)
MASS_CANCEL = int(CommandKind.MASS_CANCEL)
DISABLE = int(CommandKind.DISABLE)
ENABLE = int(CommandKind.ENABLE)
MASS_QUOTE = int(CommandKind.MASS_QUOTE)
PROTECTION = int(CommandKind.PROTECTION)
SLOT_RETURNED = int(EventFlag.SLOT_RETURNED)
REJECT_POISONED = int(Reject.POISONED)
IGNORED_POISONED = int(Ignored.POISONED)


@cold_kernel
def _enters(kind):
    """1 when it has a client order id."""
    return 1 if kind == ENTER or kind == REPLACE or kind == REFUSED else 0


@cold_kernel
def _manages(kind):
    """1 when it has a number and no client order id."""
    of_session = kind == MASS_CANCEL or kind == DISABLE or kind == ENABLE
    return 1 if of_session or kind == MASS_QUOTE or kind == PROTECTION else 0


@cold_kernel
def refuse_poisoned(market, commands, index, source, command_next, stamp_ns, ring, position, blind):
    """Instead of `match`: events that say so; return the position behind them.

    What has a number is rejected with a reason of its own. blind: even that ended a matcher; the
    command is ignored unread.
    """
    command = commands[at(index)]
    scalars = market.scalars[0]
    scalars["stamp_ns"] = stamp_ns
    market.gateways[at(source)]["command_next"] = command_next
    source_next = (source << COMMAND_NEXT_BITS) | command_next
    kind = np.int64(command["kind"])
    answers = not blind and (_enters(kind) == 1 or _manages(kind) == 1)
    returned = 0
    if answers and kind == ENTER and is_offered(market, np.int64(command["slot"]), source):
        returned = SLOT_RETURNED
    if answers and (session_fault(market, command, source) or not use_user_ref(market, command)):
        answers = False
    code = REJECT_POISONED
    if not answers:
        reason = IGNORED_POISONED
        end = emit_ignored(market, command, reason, returned, source_next, ring, position)
    elif _manages(kind):
        end = reject_request(market, command, code, source_next, ring, position)
    else:
        end = emit_rejected(market, command, code, returned, source_next, ring, position)
    count = np.int64(command["continuations"])
    if kind == MASS_QUOTE and not blind and index + count < len(commands):
        end = return_slots(market, commands, index, count, source, source_next, ring, end)
    scalars["position"] = end
    return end
