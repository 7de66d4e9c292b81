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
            " cache; the matcher pays when it writes there again, however many readers there are."
            " That is the reading: a process that counts on that core costs {counting_costs}. 0.67"
            " in hours in which the host's cores were near each other (110 ns from order to event),"
            " 0.03 in others (661 ns)"
        ),
        "order in command ring to visible event, median": (
            "{ratio} times what C needs in the same run for a line to the other core and one back;"
            " that is 103 to 505 ns here, as the host moves the cores (289 ns where the budget was"
            " made)"
        ),
        "start to READY of a whole exchange, caches warm": (
            "two cores for all processes, each of which imports for {imports_seconds} s and loads"
            " its machine code; one build took 2.6 to 3.2 s from hour to hour"
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
            "the matcher slept and had to be woken on another core, and such an order takes 52 us"
            " instead of 20; the echo and its client are woken on one core"
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
