"""Shell: the words to a service manager such as systemd: datagrams to a socket that it names.

The protocol is that of sd_notify(3): lines of KEY=value. Without a manager nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

_FEEDS_PER_LIMIT = 4  # a few may be late


class ServiceManager:
    """The manager that started this process, if one did."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Takes its words out of the environment: no child may speak for this process."""
        path = environment.pop("NOTIFY_SOCKET", "")
        limit = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._socket: socket.socket | None = None
        self.feed_seconds: float | None = None  # how often it wants to be told that all is well
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            # A manager that does not read is not waited for: the supervisor's loop has more to do.
            self._socket.setblocking(False)
            if limit.isdecimal() and meant:
                self.feed_seconds = int(limit) / 1e6 / _FEEDS_PER_LIMIT

    @property
    def is_there(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def tell(self, *lines: str) -> bool:
        """Say `KEY=value`, one or several; whether it was heard."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False  # it restarts, or is busy: what must be known is said again
        return True

    def close(self) -> None:
        """Say no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
