"""Shell: that a text is the argon2 hash of some password, and that a login can afford to check it.

A gateway computes a hash at each login. One that asks for more memory than the host has would
refuse the right password, or end the gateway.
"""

from __future__ import annotations

import re

_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}")  # of salt and hash; a salt has 8 bytes at least

MEMORY_KIB_MAX = 1 << 20  # 1 GiB
PASSES_MAX = LANES_MAX = 32
_MEMORY_KIB_OF_LANE = 8  # at least; argon2 computes nothing with less


def check_hash(text: str) -> str:
    """The text itself. Raises ValueError with the remedy; the text is not repeated."""
    from argon2 import extract_parameters

    try:
        costs = extract_parameters(text)
        is_hash = all(map(_BASE64.fullmatch, text.split("$")[-2:]))
    except ValueError:
        is_hash = False
    if not is_hash:
        raise ValueError(
            "this is no argon2 hash; one has the form $argon2id$v=19$m=65536,t=3,p=4$SALT$HASH"
        )
    lanes, memory_kib = costs.parallelism, costs.memory_cost
    affordable = (
        1 <= lanes <= LANES_MAX
        and 1 <= costs.time_cost <= PASSES_MAX
        and _MEMORY_KIB_OF_LANE * lanes <= memory_kib <= MEMORY_KIB_MAX
    )
    if not affordable:
        raise ValueError(
            f"each login would need m={memory_kib} (KiB of memory), t={costs.time_cost} (passes),"
            f" p={lanes} (lanes); make a hash with at most m={MEMORY_KIB_MAX}, t={PASSES_MAX},"
            f" p={LANES_MAX}, and with m at least {_MEMORY_KIB_OF_LANE} for each lane"
        )
    return text
