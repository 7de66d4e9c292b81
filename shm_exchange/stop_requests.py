"""Shell: Ctrl-C and SIGTERM, counted."""

from __future__ import annotations

import signal


class StopRequests:
    """Counts Ctrl-C and SIGTERM from now on: the first drains, the second hurries."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._add)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup keeps its meaning
            signal.signal(signal.SIGHUP, self._add)

    def _add(self, *_: object) -> None:
        self.count += 1
