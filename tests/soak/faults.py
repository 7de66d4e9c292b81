"""What can be done to an exchange: one round each, under load, until it is whole again."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from shm_exchange import handover
from shm_exchange.errors import ExchangeError
from tests.process.conftest import is_alive
from tests.soak.arena import Arena
from tests.soak.own_orders import Violation
from tests.soak.watch import Watch, strike

LOAD_SECONDS_MAX = 0.3  # of trading between two faults, at random
CROWDED_SECONDS_MAX = 0.4  # how long to look for a moment of work
LOOK_SECONDS = 3e-5
SUCCESSION_SECONDS_MAX = 60.0
BACKLOG_SECONDS_MAX = 5.0


@dataclass
class Tally:
    """What the rounds of a part have seen."""

    counts: Counter[str] = field(default_factory=Counter)
    takeover_us: list[float] = field(default_factory=list)


async def kill_matcher(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """SIGKILL of the matcher, a standby being warm, at any moment or amid its work."""
    await _standby_warm(arena)
    epoch = arena.watch.epoch
    await _some_load(chance)
    struck_ns = await asyncio.to_thread(_strike_matcher, arena.watch, chance, signal.SIGKILL)
    await _succession(arena, epoch)
    tally.counts["matchers killed"] += 1
    _time_takeover(arena, epoch, struck_ns, tally)


async def promote_gateway(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """SIGKILL of the matcher where nobody stands by: a gateway's replica goes on.

    The next matcher to be killed is that gateway, whose clients then resume at the other one.
    """
    await arena.whole()
    await arena.everybody_online()
    epoch, matcher = arena.watch.epoch, arena.watch.matcher
    is_gateway = matcher in map(arena.watch.gateway, arena.order_sources)
    logins = [each.logins for each in arena.traders]
    await _some_load(chance)
    struck_ns = await asyncio.to_thread(_strike_matcher, arena.watch, chance, signal.SIGKILL)
    await _succession(arena, epoch)
    _time_takeover(arena, epoch, struck_ns, tally)
    if is_gateway:
        tally.counts["promoted gateways killed"] += 1
        return
    tally.counts["matchers killed"] += 1
    await asyncio.gather(*(each.barrier() for each in arena.traders))
    if logins != [each.logins for each in arena.traders]:
        raise Violation("a promotion has cost connections")


async def stop_matcher(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """SIGSTOP of the matcher: it is killed and succeeded, or goes on when it is woken in time."""
    await _standby_warm(arena)
    epoch, pid = arena.watch.epoch, arena.watch.matcher
    await _some_load(chance)
    struck_ns = await asyncio.to_thread(_strike_matcher, arena.watch, chance, signal.SIGSTOP)
    tally.counts["matchers stopped"] += 1
    if chance.random() < 0.2:  # about when its sentence falls
        await asyncio.sleep(chance.uniform(0.8, 1.6))
        strike(pid, signal.SIGCONT)
        tally.counts["matchers woken"] += 1
        await arena.until(lambda: _moves_on(arena, pid, epoch), "the woken one or a successor")
        if arena.watch.epoch == epoch:
            tally.counts["woken ones that went on"] += 1
            return
    await _succession(arena, epoch)
    # The lock is free once its thread is dead; the rest of the process ends a little later.
    await arena.until(lambda: not is_alive(pid), f"the end of process {pid}, which was succeeded")
    _time_takeover(arena, epoch, struck_ns, tally)


async def kill_gateway(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """SIGKILL of a gateway: its clients resume at another one, and it comes back."""
    await arena.whole()
    await arena.everybody_online()
    orders = chance.random() < 0.8
    source = chance.choice(arena.order_sources if orders else arena.feed_sources)
    pid = arena.watch.gateway(source)
    for trader in arena.traders:  # so that both have clients
        if chance.random() < 0.3:
            trader.move()
    await _some_load(chance)
    if orders and chance.random() < 0.7:
        await asyncio.to_thread(_wait_amid, lambda: arena.watch.committed(source), chance)
    strike(pid, signal.SIGKILL)
    tally.counts["order gateways killed" if orders else "market data gateways killed"] += 1
    await arena.until(lambda: arena.watch.gateway(source) not in (0, pid), "the gateway is back")
    await arena.everybody_online()


async def kill_everything(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """SIGKILL of every process, and a new start with what they left."""
    await arena.everybody_online()
    await _some_load(chance)
    if chance.random() < 0.7:
        await asyncio.to_thread(_wait_amid, lambda: arena.watch.published, chance)
    await asyncio.to_thread(arena.kill_everything, chance)
    tally.counts["exchanges killed"] += 1
    arena.forget_replica()
    if chance.random() < 0.25:
        await arena.kill_while_starting(chance.uniform(0.2, 3.0))
        tally.counts["exchanges killed while starting"] += 1
    await arena.start()
    await arena.everybody_online()


async def kill_some(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """SIGKILL of several processes within moments of each other, whoever they are."""
    await arena.whole()
    await arena.everybody_online()
    await _some_load(chance)
    for _ in range(chance.randint(1, 4)):
        victims = {
            "matchers": arena.watch.matcher,
            "standbys": chance.choice([0, *arena.watch.standbys]),
            "recorders": arena.watch.recorder,
            "order gateways": arena.watch.gateway(chance.choice(arena.order_sources)),
            "market data gateways": arena.watch.gateway(chance.choice(arena.feed_sources)),
        }
        role = chance.choice([role for role, pid in victims.items() if pid] or ["nobody"])
        if role != "nobody":
            strike(victims[role], signal.SIGKILL)
            tally.counts[f"{role} killed"] += 1
        await asyncio.sleep(chance.choice((0, 0.001, 0.02, 0.5)))


async def strand_commands(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """Stop the matcher, kill a gateway whose ring holds commands, and resend them elsewhere."""
    await arena.whole()
    await arena.everybody_online()
    for trader in arena.traders:
        if chance.random() < 0.3:
            trader.move()
    await _some_load(chance)
    await arena.everybody_online()
    epoch, matcher = arena.watch.epoch, arena.watch.matcher
    source = arena.order_sources[chance.choice(arena.traders).gateway]
    pid = arena.watch.gateway(source)
    strike(matcher, signal.SIGSTOP)
    deadline = time.monotonic() + BACKLOG_SECONDS_MAX
    wanted = chance.randint(1, 40)
    while arena.watch.backlog(source) < wanted and time.monotonic() < deadline:
        if arena.watch.epoch != epoch:
            break  # the successor was quicker than the clients
        await asyncio.sleep(0.001)
    stranded = arena.watch.backlog(source)
    strike(pid, signal.SIGKILL)
    tally.counts["commands stranded"] += stranded
    tally.counts["rounds with stranded commands"] += stranded > 0
    await _succession(arena, epoch)
    await arena.until(lambda: arena.watch.gateway(source) not in (0, pid), "the gateway is back")
    await arena.everybody_online()


async def hand_over(arena: Arena, chance: random.Random, tally: Tally) -> None:
    """A planned handover, disturbed now and then by the death of one who takes part."""
    await _standby_warm(arena)
    epoch = arena.watch.epoch
    standbys = arena.watch.standbys
    await _some_load(chance)
    asked = asyncio.create_task(
        asyncio.to_thread(handover.promote, arena.exchange.name, None), name="handover"
    )
    if chance.random() < 0.3:
        await asyncio.sleep(chance.random() * 0.003)
        strike(chance.choice([arena.watch.matcher, *standbys]), signal.SIGKILL)
        tally.counts["handovers disturbed"] += 1
    try:
        found = await asked
        tally.counts["handovers"] += 1
        tally.takeover_us.append(found["gap_ns"] / 1e3)
    except ExchangeError:
        tally.counts["handovers refused"] += 1
        return
    await _succession(arena, epoch)


async def _standby_warm(arena: Arena) -> None:
    await arena.until(
        lambda: arena.watch.matcher and arena.watch.standbys, "a matcher and a warm standby"
    )


async def _some_load(chance: random.Random) -> None:
    await asyncio.sleep(chance.random() * LOAD_SECONDS_MAX)


async def _succession(arena: Arena, epoch: int) -> None:
    await arena.until(
        lambda: arena.watch.epoch > epoch and arena.watch.matcher,
        f"a successor of epoch {epoch}",
        SUCCESSION_SECONDS_MAX,
    )


def _time_takeover(arena: Arena, epoch: int, struck_ns: int, tally: Tally) -> None:
    began_ns = arena.watch.reign_began_ns(epoch + 1)
    if began_ns is not None:
        tally.takeover_us.append((began_ns - struck_ns) / 1e3)


def _moves_on(arena: Arena, pid: int, epoch: int) -> bool:
    """Whether the matcher that was woken works again, or somebody else does."""
    if arena.watch.epoch != epoch:
        return True
    return arena.watch.matcher == pid and all(
        arena.watch.backlog(each) == 0 for each in arena.order_sources
    )


def _strike_matcher(watch: Watch, chance: random.Random, number: signal.Signals) -> int:
    """In a thread, so that the clients go on: at once, or just after something was published."""
    if chance.random() < 0.7:
        _wait_amid(lambda: watch.published, chance)
    return strike(watch.matcher, number)


def _wait_amid(count: Callable[[], int], chance: random.Random) -> None:
    """Return while something is being done: when `count` has grown by a little."""
    wanted = count() + chance.randint(1, 60)
    deadline = time.monotonic() + CROWDED_SECONDS_MAX
    while count() < wanted and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
