"""Shell: who may log in. Case does not matter in either word (SoupBinTCP, Login Request)."""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from shm_exchange import accounts
from shm_exchange.accounts import Accounts
from shm_exchange.config import Configuration, Session
from shm_exchange.passwords import folded


class _Known(NamedTuple):
    """What holds at a time: replaced as a whole, so a thread that checks has all of it."""

    sessions: tuple[Session, ...]
    numbers: dict[str, int]
    disabled: frozenset[int]
    verified: dict[int, bytes]  # digests of passwords that were right
    nobody: str  # a hash that is nobody's, when there are hashes


class Credentials:
    """The sessions of a configuration by name, as an operator changed them."""

    def __init__(self, configured: Configuration, said: Accounts | None = None) -> None:
        self._hasher = PasswordHasher()
        self._known = _Known((), {}, frozenset(), {}, "")
        self.change(configured, said or Accounts())

    @property
    def version(self) -> object:
        """Another object whenever anything has changed."""
        return self._known

    def change(self, configured: Configuration, said: Accounts) -> None:
        """This holds from now on."""
        before = self._known
        sessions = accounts.applied(configured, said).sessions
        nobody = before.nobody
        if not nobody and any(each.password_hash for each in sessions):
            nobody = self._hasher.hash("nobody")
        self._known = _Known(
            sessions=sessions,
            numbers={folded(each.username): number for number, each in enumerate(sessions)},
            disabled=frozenset(
                number for number, each in enumerate(configured.sessions) if said.of(each).disabled
            ),
            verified={
                number: digest
                for number, digest in before.verified.items()
                if sessions[number].password_hash == before.sessions[number].password_hash
            },
            nobody=nobody,
        )

    def is_disabled(self, number: int) -> bool:
        """Whether an operator lets the session log in no more."""
        return number in self._known.disabled

    def check(self, username: str, password: str) -> int | None:
        """Number of the session, or None when name or password is wrong.

        A hash is slow to verify on purpose: what succeeded once is remembered by its digest.
        """
        known = self._known
        number = known.numbers.get(folded(username))
        if number is None:
            self._is(known.nobody, password)  # an unknown name takes as long as a wrong password
            return None
        session = known.sessions[number]
        given = folded(password)
        if session.password is not None:
            same = hmac.compare_digest(given.encode(), folded(session.password).encode())
            return number if same else None
        digest = hashlib.sha256(given.encode()).digest()
        if hmac.compare_digest(known.verified.get(number, b""), digest):
            return number
        if not self._is(session.password_hash or known.nobody, given) or session.reserved:
            return None
        known.verified[number] = digest
        return number

    def _is(self, known: str, given: str) -> bool:
        """Whether `known` is a hash of the password."""
        try:
            return bool(known) and self._hasher.verify(known, given)
        except (Argon2Error, InvalidHashError):
            return False
