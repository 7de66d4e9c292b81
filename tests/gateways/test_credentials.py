"""Goal: who may log in is what is configured, and what an operator said since then.

Method: the same credentials are asked again after each change.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateways.credentials import Credentials
from shm_exchange import accounts
from shm_exchange.accounts import Account, Accounts
from shm_exchange.config import Session, built_in
from shm_exchange.errors import ExchangeError
from shm_exchange.passwords import hashed

CONFIGURED = replace(
    built_in(),
    sessions=(
        Session(username="ONE", password="first"),
        Session(username="TWO", password="second"),
        Session(username="SPARE", reserved=True),
    ),
)


def test_what_was_said_holds_over_what_is_configured() -> None:
    """Passwords, a name that a reserved session was given, and who is let in no more."""
    asked = Credentials(CONFIGURED)
    assert asked.check("one", "FIRST") == 0
    assert asked.check("SPARE", "") is None
    version = asked.version
    said = Accounts(
        sessions={
            "ONE": Account(password_hash=hashed("Other"), disabled=True),
            "SPARE": Account(username="NEW", password_hash=hashed("third")),
        }
    )
    asked.change(CONFIGURED, said)
    assert asked.version is not version
    assert [asked.check("ONE", each) for each in ("first", "other", "OTHER")] == [None, 0, 0]
    assert [asked.check(each, "third") for each in ("SPARE", "new")] == [None, 2]
    assert [asked.is_disabled(number) for number in range(3)] == [True, False, False]
    asked.change(CONFIGURED, Accounts())
    assert [asked.check("ONE", each) for each in ("first", "other")] == [0, None]


def test_it_is_kept_and_read_again(tmp_path: Path) -> None:
    """Whole, or refused with the remedy."""
    assert accounts.load(tmp_path) == Accounts()
    said = Accounts().changed(CONFIGURED.sessions[1], Account(disabled=True, kicks=3))
    accounts.save(tmp_path, said)
    assert accounts.load(tmp_path) == said and said.serial == 1
    assert said.changed(CONFIGURED.sessions[1], Account()).sessions == {}
    (tmp_path / accounts.FILE).write_text('{"serial": 1, "sessions"')
    with pytest.raises(ExchangeError, match="restore it, or remove it"):
        accounts.load(tmp_path)


def test_a_name_is_one_sessions_alone() -> None:
    """The configuration may have grown since a session was created."""
    said = Accounts(sessions={"SPARE": Account(username="two", password_hash=hashed("third"))})
    with pytest.raises(ExchangeError, match="two was created"):
        accounts.applied(CONFIGURED, said)
