"""Shell: that a text is the argon2 hash of some password."""

from __future__ import annotations

import re

_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}")  # of salt and hash; a salt has 8 bytes at least


def check_hash(text: str) -> str:
    """The text itself. Raises ValueError with the remedy; the text is not repeated."""
    from argon2 import extract_parameters

    try:
        extract_parameters(text)
        is_hash = all(map(_BASE64.fullmatch, text.split("$")[-2:]))
    except ValueError:
        is_hash = False
    if not is_hash:
        raise ValueError(
            "this is no argon2 hash; one has the form $argon2id$v=19$m=65536,t=3,p=4$SALT$HASH"
        )
    return text
