"""Shell: an operator creates, disables, enables and kicks sessions, and gives them passwords.

The supervisor writes down what was said (`accounts`) and tells the gateways, which are those who
let clients in. Nothing of it passes through a matcher: a connection that is closed is logged out by
its own gateway, as if the client had gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shm_exchange import accounts
from shm_exchange.accounts import Account, Accounts
from shm_exchange.admin import Command
from shm_exchange.config import USERNAME_SIZE, Configuration, Session
from shm_exchange.errors import ArgumentError, ExchangeError
from shm_exchange.password_hashes import check_hash

CREATE, PASSWORD, KICK = "session create", "session password", "session kick"
DISABLE, ENABLE = "session disable", "session enable"
_USERNAME = re.compile(rf"[!-~]{{1,{USERNAME_SIZE}}}")


class Register:
    """Supervisor: the sessions of an exchange, as configured and as an operator changed them."""

    def __init__(self, configured: Configuration, state_directory: Path) -> None:
        """Raises ExchangeError when what was said before cannot be read."""
        self._configured = configured
        self._state_directory = state_directory
        self.tell: Callable[[], None] = lambda: None  # wakes the gateways
        self._accounts = accounts.load(state_directory)
        self.configuration = accounts.applied(configured, self._accounts)

    def requests(self) -> dict[str, Command]:
        """What the supervisor may be asked of this."""
        return {
            CREATE: self.create,
            PASSWORD: self.set_password,
            KICK: lambda request: self._kick(request, disabled=None),
            DISABLE: lambda request: self._kick(request, disabled=True),
            ENABLE: self.enable,
        }

    @property
    def serial(self) -> int:
        """Of what was said last."""
        return self._accounts.serial

    def configure(self, configured: Configuration, keep: Callable[[], object]) -> None:
        """Another configuration of the same sessions. keep: writes it down.

        Raises ExchangeError; then nothing has changed.
        """
        said = self._accounts.model_copy(update={"serial": self.serial + 1})
        self._adopt(configured, said, keep)

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give a reserved session of a firm a name and a password. Raises ExchangeError."""
        name, firm = str(request.get("session")), str(request.get("firm") or "")
        check_name(name)
        sessions = self.configuration.sessions
        if any(
            each.username.casefold() == name.casefold() and not each.reserved for each in sessions
        ):
            raise ExchangeError(f"there is a session {name} already; choose another name")
        free = [
            (place, each)
            for place, each in enumerate(sessions)
            if each.reserved and each.firm == firm
        ]
        if not free:
            raise ExchangeError(
                f"no reserved session {f'of firm {firm}' if firm else 'without a firm'} is left;"
                " add [[session]] tables with `reserved = true` at the end of the configuration"
                " and start the exchange again"
            )
        named = [place for place, each in free if each.username.casefold() == name.casefold()]
        place = (named or [free[0][0]])[0]
        session = self._configured.sessions[place]
        changes = {"username": name, "password_hash": _hash_of(request)}
        self._change(session, self._accounts.of(session).model_copy(update=changes))
        return self._answer(name) | {"number": place, "firm": firm}

    def set_password(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Another password from the next login on; None: as configured. Raises ExchangeError."""
        name, session, account = self._find(request)
        password_hash = None if request.get("password_hash") is None else _hash_of(request)
        if password_hash is None and session.reserved:
            raise ExchangeError("a reserved session has no configured password; `disable` it")
        self._change(session, account.model_copy(update={"password_hash": password_hash}))
        return self._answer(name)

    def enable(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """It may log in again. Raises ExchangeError."""
        name, session, account = self._find(request)
        self._change(session, account.model_copy(update={"disabled": False}))
        return self._answer(name)

    def _kick(self, request: Mapping[str, Any], *, disabled: bool | None) -> dict[str, Any]:
        """Close its connections; disabled: and let it log in no more."""
        name, session, account = self._find(request)
        changes: dict[str, Any] = {"kicks": account.kicks + 1}
        if disabled is not None:
            changes["disabled"] = disabled
        self._change(session, account.model_copy(update=changes))
        return self._answer(name)

    def _find(self, request: Mapping[str, Any]) -> tuple[str, Session, Account]:
        """What a session is called, how it is configured, and what was said of it."""
        name = str(request.get("session"))
        for configured, each in zip(
            self._configured.sessions, self.configuration.sessions, strict=True
        ):
            if each.username.casefold() == name.casefold() and not each.reserved:
                return each.username, configured, self._accounts.of(configured)
        raise ExchangeError(f"there is no session {name}; `shmx session list` has those there are")

    def _change(self, session: Session, account: Account) -> None:
        self._adopt(self._configured, self._accounts.changed(session, account), lambda: None)

    def _adopt(self, configured: Configuration, said: Accounts, keep: Callable[[], object]) -> None:
        """First on disk, then in force."""
        configuration = accounts.applied(configured, said)
        try:
            accounts.save(self._state_directory, said)
            keep()
        except OSError as error:  # whoever has started meanwhile may have read this number
            self._accounts = self._accounts.model_copy(update={"serial": said.serial})
            raise ExchangeError(f"{error.filename}: {error.strerror}; nothing changed") from error
        self._configured, self._accounts, self.configuration = configured, said, configuration
        self.tell()

    def _answer(self, name: str) -> dict[str, Any]:
        return {"session": name, "serial": self.serial}


def check_name(name: str) -> None:
    """Raise ArgumentError when no session can have this name."""
    if not _USERNAME.fullmatch(name):
        raise ArgumentError(
            f"{name!r} is no name of a session; use 1 to {USERNAME_SIZE} printable ASCII characters"
            " without spaces"
        )


def _hash_of(request: Mapping[str, Any]) -> str:
    found = request.get("password_hash")
    try:
        return check_hash(str(found))
    except ValueError as error:
        raise ExchangeError(
            "a password comes as its argon2 hash; `shmx session` makes one"
        ) from error
