"""Goal: a sample of `make soak`: whoever is killed or stopped under load, nothing is lost.

Method: the same code, a few rounds of every fault on one exchange, with a fixed seed. What the
clients know is compared order by order with the feed, with replicas and with the journal.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from pathlib import Path

from tests.process.conftest import sweep
from tests.soak.arena import Options, opened
from tests.soak.campaign import PARTS, Limits, run_rounds

ROUNDS = {
    "matcher-kills": 5,
    "stops": 1,
    "gateway-kills": 2,
    "stale": 1,
    "some-kills": 2,
    "handovers": 2,
    "kill-all": 1,
}
SEED = 3
SECONDS_MAX = 600.0  # on a machine that does other things as well
FIRST_NUMBER = 20_000  # names of exchanges differ from those of the other files

_numbers = itertools.count(FIRST_NUMBER)


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Each round ends whole; accepted once, no gap, equal books everywhere."""
    chance = random.Random(SEED)
    name = f"pt{os.getpid()}x{next(_numbers)}"
    limits = Limits(time.monotonic() + SECONDS_MAX)
    sweep()

    async def soak() -> list[dict[str, object]]:
        async with opened(tmp_path, name, chance, Options()) as arena:
            return [
                await run_rounds(arena, part, ROUNDS[part.name], chance, limits)
                for part in PARTS
                if part.name in ROUNDS
            ]

    results = asyncio.run(soak())
    assert {each["part"]: each["rounds"] for each in results} == ROUNDS
    for each in results:
        assert each["orders accepted"] and each["trades"] and each["comparisons"]
