"""Shell: what an operator changes while a gateway serves: sessions, and what can be reloaded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from gateways.control import PumpDoor, log
from gateways.credentials import Credentials
from gateways.guests import show_out
from shm_exchange import accounts, config
from shm_exchange.accounts import COUNTER_ACCOUNTS, Accounts
from shm_exchange.config import Configuration
from shm_exchange.errors import ExchangeError
from shm_exchange.roles import RoleContext


def credentials_of(context: RoleContext) -> Credentials:
    """As they are now. Raises ExchangeError."""
    said = accounts.load(context.state_directory)
    return Credentials(context.configured or context.configuration, said)


class News:
    """Reads accounts and configuration whenever the supervisor says that they have changed."""

    def __init__(
        self,
        contexts: Sequence[RoleContext],
        doors: Sequence[PumpDoor],
        credentials: Credentials,
        follow: Callable[[Configuration], None],
    ) -> None:
        """follow: told of the configuration with every change."""
        self._contexts = contexts
        self._doors = doors
        self._credentials = credentials
        self._follow = follow
        self._configured = contexts[0].configured or contexts[0].configuration
        self._version: tuple[int, int] | None = None  # of the file that was loaded
        self._said: Accounts | None = None

    async def run(self) -> None:
        """Listen until cancelled."""
        bell = self._contexts[0].news
        self._read()
        if bell < 0:
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(bell, self._hear, bell)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(bell)

    def _hear(self, bell: int) -> None:
        os.eventfd_read(bell)
        self._read()

    def _read(self) -> None:
        """Act on what holds now, and say that we do."""
        context = self._contexts[0]
        try:
            said = accounts.load(context.state_directory)
            self._configured = self._load()
            configuration = accounts.applied(self._configured, said)
        except (ExchangeError, OSError) as error:
            log(f"{context.role} gateway: what an operator changed cannot be read: {error}")
            return
        self._credentials.change(self._configured, said)
        for each in self._contexts:
            each.configuration = configuration
        self._follow(configuration)
        self._show_out(said)
        self._said = said
        for each in self._contexts:
            each.control.processes[each.process]["counter"][COUNTER_ACCOUNTS] = said.serial

    def _load(self) -> Configuration:
        """What is configured now: it is replaced by another file when an operator reloads."""
        file = self._contexts[0].configuration_file
        version = None if file is None else (file.stat().st_ino, file.stat().st_mtime_ns)
        if file is None or version == self._version:
            return self._configured
        configured = config.load(file)
        self._version = version
        return configured

    def _show_out(self, said: Accounts) -> None:
        """Close the connections of sessions that were kicked since we looked, or are disabled."""
        before = self._said or said
        sessions = self._configured.sessions
        for door in self._doors:
            for guest in door.guests.values():
                now, then = said.of(sessions[guest.session]), before.of(sessions[guest.session])
                if now.disabled or now.kicks != then.kicks:
                    done = "disabled" if now.disabled else "kicked"
                    show_out(guest, f"an operator {done} it")
