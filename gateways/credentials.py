"""Shell: who may log in. Case does not matter in either word (SoupBinTCP, Login Request)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from shm_exchange.config import Configuration


def _folded(text: str) -> str:
    return text.strip().casefold()


@dataclass
class Credentials:
    """The sessions of a configuration by name."""

    configuration: Configuration
    _numbers: dict[str, int] = field(init=False)
    _verified: dict[int, bytes] = field(init=False, default_factory=dict)
    _hasher: PasswordHasher = field(init=False, default_factory=PasswordHasher)
    _nobody: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._numbers = {
            _folded(session.username): number
            for number, session in enumerate(self.configuration.sessions)
        }
        if any(session.password_hash for session in self.configuration.sessions):
            self._nobody = self._hasher.hash("nobody")

    def check(self, username: str, password: str) -> int | None:
        """Number of the session, or None when name or password is wrong.

        A hash is slow to verify on purpose: what succeeded once is remembered by its digest.
        """
        number = self._numbers.get(_folded(username))
        if number is None:
            self._is(self._nobody, password)  # an unknown name takes as long as a wrong password
            return None
        session = self.configuration.sessions[number]
        given = _folded(password)
        if session.password is not None:
            same = hmac.compare_digest(given.encode(), _folded(session.password).encode())
            return number if same else None
        digest = hashlib.sha256(given.encode()).digest()
        if hmac.compare_digest(self._verified.get(number, b""), digest):
            return number
        if not self._is(session.password_hash or "", given):
            return None
        self._verified[number] = digest
        return number

    def _is(self, known: str, given: str) -> bool:
        """Whether `known` is a hash of the password."""
        try:
            return bool(known) and self._hasher.verify(known, given)
        except (Argon2Error, InvalidHashError):
            return False
