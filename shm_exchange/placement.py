"""Shell: how the processes of an exchange share the host's cores, decided before they start."""

from __future__ import annotations

from collections.abc import Collection

from shm_exchange.config import Configuration
from shm_exchange.settings import ConfigurationError, Problem

_CORES_MIN = 4  # below this, a core for the matcher alone would starve the others


def waiting_policy(configuration: Configuration, core_count: int) -> str:
    """What `waiting = "auto"` means here: spin only if every hot process can have a core."""
    chosen = configuration.exchange.waiting
    if chosen != "auto":
        return chosen
    return "spin" if core_count >= hot_processes(configuration) + 1 else "park"


def hot_processes(configuration: Configuration) -> int:
    """How many processes would each keep a core busy: all but the recorders."""
    return len(configuration.gateways) + sum(1 + each.standbys for each in configuration.engines)


def matcher_cores(configuration: Configuration, cores: Collection[int]) -> dict[int, int | None]:
    """The core of each engine's matcher, None = any.

    An engine that names none gets the highest that nobody named, if the host is large enough to
    leave most of its cores to the others.
    """
    named = _named_cores(configuration)
    free = sorted(set(cores) - {core for core, _ in named})
    spare = len(cores) // 2 if len(cores) >= _CORES_MIN else 0
    chosen: dict[int, int | None] = {}
    for engine in configuration.engines:
        chosen[engine.id] = engine.matcher_core
        if engine.matcher_core is None and spare and free:
            chosen[engine.id] = free.pop()
            spare -= 1
    return chosen


def pinned_cores(configuration: Configuration, cores: Collection[int]) -> set[int]:
    """Every core that some role is kept on, named or chosen."""
    chosen = {core for core in matcher_cores(configuration, cores).values() if core is not None}
    return chosen | {core for core, _ in _named_cores(configuration)}


def check_cores(configuration: Configuration, cores: Collection[int]) -> None:
    """Raise ConfigurationError when a named core does not exist, or is not ours to use."""
    usable = ", ".join(map(str, sorted(cores)))
    problems = [
        Problem(0, f"there is no core {core} for {owner}; usable are {usable}")
        for core, owner in _named_cores(configuration)
        if core not in cores
    ]
    if problems:
        raise ConfigurationError("configuration", problems)


def _named_cores(configuration: Configuration) -> list[tuple[int, str]]:
    """Each with whom it is for."""
    named = [
        (core, f"the {role} of engine {engine.id}")
        for engine in configuration.engines
        for core, role in ((engine.matcher_core, "matcher"), (engine.standby_core, "standby"))
        if core is not None
    ]
    return named + [
        (each.core, f"the gateway at {each.address}")
        for each in configuration.gateways
        if each.core is not None
    ]
