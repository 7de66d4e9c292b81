"""Shell: what an operator said of sessions: passwords, names, who may log in.

`accounts.json` in the state directory, by the name that the configuration gives a session. It holds
over the configuration until somebody says otherwise, restarts included. The supervisor is its only
writer and replaces it as a whole; gateways read it at their start and when they are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from shm_exchange import presence
from shm_exchange.config import Configuration, Session
from shm_exchange.errors import ExchangeError

FILE = "accounts.json"
COUNTER_ACCOUNTS = 5  # of a gateway's PROCESS.counter: `Accounts.serial` that it acts on


class Account(BaseModel):
    """What was said of one session; what was not is as configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str | None = None  # of a reserved session, since it was created
    password_hash: str | None = None
    disabled: bool = False
    kicks: int = 0  # how often its connections were closed: each time once, by every gateway


UNTOUCHED = Account()


class Accounts(BaseModel):
    """Of all sessions, by configured name. serial: grows with every change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial: int = 0
    sessions: Mapping[str, Account] = {}

    def of(self, session: Session) -> Account:
        """Of a session as configured."""
        return self.sessions.get(session.username, UNTOUCHED)

    def changed(self, session: Session, account: Account) -> Accounts:
        """The same with another account of a session."""
        kept = {name: each for name, each in self.sessions.items() if name != session.username}
        if account != UNTOUCHED:
            kept[session.username] = account
        return Accounts(serial=self.serial + 1, sessions=kept)


def load(state_directory: Path) -> Accounts:
    """What was said so far. Raises ExchangeError when that cannot be read."""
    path = state_directory / FILE
    try:
        return Accounts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Accounts()
    except ValidationError as error:
        raise ExchangeError(
            f"{path} is not what was written there; restore it, or remove it: passwords are those"
            " of the configuration then, and nobody is disabled"
        ) from error


def save(state_directory: Path, accounts: Accounts) -> None:
    """Replace what was said, durably: a password that was taken away must not come back."""
    presence.write_durably(state_directory / FILE, accounts.model_dump_json(indent=1).encode())


def applied(configuration: Configuration, accounts: Accounts) -> Configuration:
    """The configuration with what was said of its sessions. Raises ExchangeError."""
    sessions = tuple(_applied(each, accounts.of(each)) for each in configuration.sessions)
    seen: set[str] = set()
    for each in sessions:
        if each.username.casefold() in seen:
            raise ExchangeError(
                f"{each.username} was created by `shmx session create`, and the configuration"
                " has it as well; give one of them another name"
            )
        seen.add(each.username.casefold())
    return replace(configuration, sessions=sessions)


def running(configuration: Configuration, state_directory: Path) -> Configuration:
    """The same from a state directory."""
    return applied(configuration, load(state_directory))


def _applied(session: Session, account: Account) -> Session:
    changes: dict[str, object] = {}
    if account.username is not None:
        changes["username"] = account.username
    if account.password_hash is not None:
        changes |= {"password_hash": account.password_hash, "password": None, "reserved": False}
    return session.model_copy(update=changes)
