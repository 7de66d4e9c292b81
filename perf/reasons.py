"""Declaration: why a budget is not met, where that has been found out.

By the path of the budget. The report and docs/performance.md show a reason only beside a figure
that is above its budget: what is met on one machine need not be on another. A name in braces stands
for what the budget's benchmark noted under it in the same run; without that there is no reason.
"""

from __future__ import annotations

from types import MappingProxyType

REASONS = MappingProxyType(
    {
        "resting order, of 10 million, all that is resident": (
            "by the pages of each array that exist: {bytes_by_array_at_10_million}. `orders` has"
            " the order itself, one cache line, `session_links` its place in the list of its"
            " session's orders, which a mass cancel walks, `levels` the queues of all prices; what"
            " is in no array is the process's own"
        ),
        "cost of the first reader to the matcher": (
            "whoever reads an event takes its line, and that of `published`, out of the matcher's"
            " cache; the matcher pays when it writes there again, however many readers there are"
        ),
        "TCP order to answer, polling, median": (
            "`send` takes as long as the echo's (4.27 against 4.24 us, traced), and from the end of"
            " `recv` to the begin of `send` are 0.6 us that the echo has not: decoding, both rings,"
            " the matcher, encoding; the rest is the gateway's pass around it (clock, letters,"
            " timers, every eighth time epoll), in which the client waits for their core"
        ),
        "TCP order to answer, polling, 99 %": (
            "an order needs two cores at the same moment, the echo one: all of the tail is between"
            " the end of `recv` and the begin of `send` (traced: 99 % 22 to 72 us on a busy"
            " machine, the echo's 0.9), where the gateway waits for the matcher, whose core"
            " somebody else had"
        ),
        "TCP order to answer, parking, 99 %": (
            "the matcher slept and had to be woken on another core: the gateway rang it for 16 to"
            " 18 of 100 orders, and as many took 52 us instead of 20; the echo and its client are"
            " woken on one core. To look four times as long before a sleep makes it 0 to 8 of 100,"
            " and the 99 % worse (84 to 116 us): the gateway then keeps the client's core"
        ),
        "TCP order to answer beside a flood, 99 %": (
            "the control, a process that takes the same share of the same core"
            " ({control_core_share}, the flood {flood_core_share}) but talks to itself, has a tail"
            " of its own: by the exchange it is {tail_by_the_exchange} times as long, by the"
            " process on two cores {tail_by_the_process} times"
        ),
        "journal replay, smallest groups": (
            "a block is walked by a kernel: 0.9 us for one of 20 events, of which 0.3 us are to"
            " apply them; all are proven twice, the first time to find where the journal ends"
        ),
        "broadcast ring, one reader, record by record": (
            "the reader copies each record out and judges it, and the publisher looks at its claim,"
            " which a queue of C need not; alone, a record takes 0.65 ns to publish, 0.86 to read"
        ),
        "round trip through two rings, two cores": (
            "each way moves two lines, the record and the word that publishes it, where the"
            " ping-pong in C moves one word: a program in C that moves a record as well takes as"
            " long as ours (`c_with_records_ns`)"
        ),
    }
)
