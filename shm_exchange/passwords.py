"""Shell: a password as it is kept: an argon2 hash, of small letters (SoupBinTCP folds case)."""

from __future__ import annotations

import re

from argon2 import PasswordHasher

from shm_exchange.config import DEMO_PASSWORD, PASSWORD_SIZE
from shm_exchange.errors import ExchangeError


def folded(text: str) -> str:
    """A name or a password as it is compared."""
    return text.strip().casefold()


def hashed(password: str) -> str:
    """Raises ExchangeError when nobody could log in with it, or everybody."""
    if not re.fullmatch(rf"[!-~]{{1,{PASSWORD_SIZE}}}", password):
        raise ExchangeError(
            f"a password is 1 to {PASSWORD_SIZE} printable ASCII characters without spaces: a login"
            " has no room for more"
        )
    if folded(password) == DEMO_PASSWORD:
        raise ExchangeError(f"`{password}` is what everybody tries first; choose another password")
    return PasswordHasher().hash(folded(password))
