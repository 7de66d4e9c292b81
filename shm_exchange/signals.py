"""Shell: Ctrl-C and SIGTERM, counted; SIGHUP, noted."""

from __future__ import annotations

import os
import signal


class Signals:
    """From now on: the first Ctrl-C or SIGTERM drains, the second hurries; SIGHUP reloads.

    Where a terminal is the standard input, SIGHUP is that terminal's end, and drains too.
    """

    def __init__(self) -> None:
        self.stops = 0
        self._reload = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._add)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup keeps its meaning
            signal.signal(signal.SIGHUP, self._add if os.isatty(0) else self._hang_up)

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self._reload = self._reload, False
        return asked

    def _add(self, *_: object) -> None:
        self.stops += 1

    def _hang_up(self, *_: object) -> None:
        self._reload = True
