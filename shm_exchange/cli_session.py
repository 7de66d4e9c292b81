"""Shell: `shmx session`: who may log in, and who is."""

from __future__ import annotations

import sys
from typing import Any

import click

from shm_exchange.cli_options import DEFAULT_NAME, named, show, with_json

_session = click.argument("session", metavar="NAME")


@click.group(no_args_is_help=False)
def session() -> None:
    """Sessions of a running exchange: list, create, password, kick, disable, enable."""


@session.command("list")
@named
@with_json
def list_sessions(name: str | None, as_json: bool) -> None:
    """Who is connected where, how far its streams are, what it has in the market.

    `next message` is the number of the stream's next one, `last user ref` the highest UserRefNum.
    """
    from shm_exchange import session_list

    show(session_list.collect(name or DEFAULT_NAME), as_json)


@session.command()
@_session
@click.option("--firm", default="", help="Of whose reserved sessions it becomes one.")
@named
@with_json
def create(session: str, firm: str, name: str | None, as_json: bool) -> None:
    """Give a reserved session a name and a password.

    The password is asked for, or read from stdin. The session can log in when this returns.
    """
    from shm_exchange.session_requests import CREATE, check_name

    check_name(session)  # before a password is asked for
    _ask(CREATE, session, name, as_json, firm=firm, password_hash=_read_hash())


@session.command()
@_session
@click.option("--as-configured", is_flag=True, help="Back to that of the configuration.")
@named
@with_json
def password(session: str, as_configured: bool, name: str | None, as_json: bool) -> None:
    """Give a session another password.

    It is asked for, or read from stdin, and holds from the next login on, restarts included. Who is
    connected stays so: `kick` closes that.
    """
    from shm_exchange.session_requests import PASSWORD

    hashed = None if as_configured else _read_hash()
    _ask(PASSWORD, session, name, as_json, password_hash=hashed)


@session.command()
@_session
@named
@with_json
def kick(session: str, name: str | None, as_json: bool) -> None:
    """Close a session's connections, feeds included.

    It is logged out as if its client had gone, and may log in again.
    """
    from shm_exchange.session_requests import KICK

    _ask(KICK, session, name, as_json)


@session.command()
@_session
@named
@with_json
def disable(session: str, name: str | None, as_json: bool) -> None:
    """Close a session's connections, and let it log in no more."""
    from shm_exchange.session_requests import DISABLE

    _ask(DISABLE, session, name, as_json)


@session.command()
@_session
@named
@with_json
def enable(session: str, name: str | None, as_json: bool) -> None:
    """Let a session log in again."""
    from shm_exchange.session_requests import ENABLE

    _ask(ENABLE, session, name, as_json)


def _ask(do: str, session: str, name: str | None, as_json: bool, **fields: Any) -> None:
    from shm_exchange import session_list

    show(session_list.ask(name or DEFAULT_NAME, {"do": do, "session": session, **fields}), as_json)


def _read_hash() -> str:
    """The hash of a password that nobody sees: not in a list of processes, nor on the screen."""
    from shm_exchange import passwords

    if sys.stdin.isatty():
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    return passwords.hashed(given)
