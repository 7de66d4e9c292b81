"""The parts of a soak: so many rounds of one fault each, compared now and then and at the end."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.soak import faults
from tests.soak.arena import Arena, Options, opened
from tests.soak.faults import Tally

CHECK_ROUNDS = 20  # rounds between two comparisons of everything with everything

Round = Callable[[Arena, random.Random, Tally], Awaitable[None]]


class Part(NamedTuple):
    """A fault. standbys, feeds: what it wants of the exchange."""

    name: str
    round: Round
    standbys: int
    feeds: int


PARTS = (
    Part("matcher-kills", faults.kill_matcher, 3, 1),
    Part("stops", faults.stop_matcher, 2, 1),
    Part("gateway-kills", faults.kill_gateway, 1, 2),
    Part("stale", faults.strand_commands, 1, 1),
    Part("some-kills", faults.kill_some, 2, 2),
    Part("handovers", faults.hand_over, 2, 1),
    Part("promotions", faults.promote_gateway, 0, 1),
    Part("kill-all", faults.kill_everything, 1, 1),
)


@dataclass(frozen=True)
class Limits:
    """How long a campaign may take: it ends early, and says so."""

    deadline: float  # of time.monotonic()

    @property
    def reached(self) -> bool:
        """Whether no further round may begin."""
        return time.monotonic() > self.deadline


async def run_rounds(
    arena: Arena, part: Part, rounds: int, chance: random.Random, limits: Limits
) -> dict[str, Any]:
    """The rounds of a part on a running exchange; what they have seen. Raise Violation."""
    tally, began = Tally(), time.monotonic()
    before = Figures.of(arena)
    done, slowest = 0, 0.0
    arena.send()
    while done < rounds and not limits.reached:
        round_began = time.monotonic()
        await part.round(arena, chance, tally)
        slowest = max(slowest, time.monotonic() - round_began)
        done += 1
        if done % CHECK_ROUNDS == 0:
            await arena.settle()
            arena.send()
    await arena.whole()
    await arena.settle()
    arena.compare_recovered()
    after = Figures.of(arena)
    return {
        "part": part.name,
        "rounds": done,
        "wanted": rounds,
        "seconds": round(time.monotonic() - began, 1),
        "seconds of the slowest round": round(slowest, 1),
        **tally.counts,
        **_takeovers(tally.takeover_us),
        **{name: after[name] - before[name] for name in after},
        "live orders at the end": sum(len(each.book.live) for each in arena.traders),
    }


class Figures:
    """What the clients have counted so far."""

    @staticmethod
    def of(arena: Arena) -> dict[str, int]:
        """Names as they are shown."""
        return {
            "orders accepted": sum(each.book.accepted for each in arena.traders),
            "trades": arena.ledger.trades,
            "messages checked": sum(each.book.next_sequence - 1 for each in arena.traders),
            "feed messages checked": arena.feed.next_sequence - 1,
            "logins again": sum(each.logins for each in arena.traders) + arena.feed.logins,
            "orders cancelled on disconnect": sum(each.book.disconnected for each in arena.traders),
            "comparisons": arena.checks,
        }


async def run_part(
    part: Part, rounds: int, seed: int, limits: Limits, folder: Path, name: str, durability: str
) -> dict[str, Any]:
    """A part on an exchange of its own."""
    chance = random.Random(f"{seed} {part.name}")
    options = Options(part.standbys, part.feeds, durability)
    async with opened(folder, name, chance, options) as arena:
        return await run_rounds(arena, part, rounds, chance, limits)


def _takeovers(found_us: list[float]) -> dict[str, float]:
    """Time from the signal to the first event of the successor."""
    if not found_us:
        return {}
    ordered = sorted(found_us)
    return {
        "takeover_us_median": round(statistics.median(ordered)),
        "takeover_us_99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]),
        "takeover_us_max": round(ordered[-1]),
    }
