"""Shell: how much shared memory an exchange takes, told without a compiler before it starts."""

from __future__ import annotations

from ringbuf import layout
from shm_exchange.config import Configuration
from shm_exchange.messages import COMMAND_DTYPE, EVENT_DTYPE, SOURCE_GATEWAY_FIRST

_STAGES = 4  # of an order's latency, a histogram each


def shared_bytes(configuration: Configuration) -> int:
    """Bytes of all segments of an exchange of this configuration."""
    sources = SOURCE_GATEWAY_FIRST + len(configuration.gateways)
    per_source = layout.SPSC_CURSORS.size + layout.WRITER_LOCK.size
    total = 0
    for each in configuration.engines:
        commands = per_source + each.command_ring_records * COMMAND_DTYPE.itemsize
        events = layout.BROADCAST_CURSORS.size + each.event_ring_records * EVENT_DTYPE.itemsize
        counted = sources * _STAGES * layout.HISTOGRAM.size
        bodies = (layout.CONTROL.size, events, sources * commands, counted)
        total += sum(layout.SEGMENT_HEADER.size + body for body in bodies)
    return total
