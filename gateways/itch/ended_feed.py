"""Shell: a feed that has ended, whose messages can be had for a while: its end may be heard late.

Its log takes room on the disk for so long; when the next feed needs that, it is forgotten at once.
"""

from __future__ import annotations

import threading

from gateways.itch.feed_log import FeedLog
from gateways.itch.mold_packets import END_SECONDS
from gateways.itch.state import FeedPump
from gateways.startup import stream_name


class EndedFeed:
    """Kept by the pump's thread, read by that of the requests."""

    def __init__(self, name: bytes = b"", log: FeedLog | None = None) -> None:
        self.name = name
        self.log = log

    def forget(self) -> None:
        """Whoever asks for it gets no answer any more."""
        self.log = None


def keep_feed(pump: FeedPump) -> EndedFeed:
    """The pump's feed, for a while. The pump goes on with another log."""
    ended = EndedFeed(stream_name(pump.market).encode(), pump.log)
    timer = threading.Timer(END_SECONDS, ended.forget)
    timer.daemon = True
    timer.start()
    return ended
