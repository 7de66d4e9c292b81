"""Shell: whether cores keep their speed, wake at once, and can tell the time cheaply."""

from __future__ import annotations

import struct

from shm_exchange.host_facts import OK, WARN, Check, Finding, Host, Subject, UnknownFactError

_CPU = "/sys/devices/system/cpu"
_CLOCK = "/sys/devices/system/clocksource/clocksource0"
_LATENCY = "/dev/cpu_dma_latency"
_WAKE_US_MAX = 10  # a core that sleeps deeper is late by more than a matched order takes


def _governor(subject: Subject) -> Finding:
    """Cores run at one speed."""
    host = subject.host
    cores = sorted(subject.pinned or host.allowed_cores)
    found = {host.text(f"{_CPU}/cpu{core}/cpufreq/scaling_governor") for core in cores}
    if found == {"performance"}:
        return Finding(OK, "performance")
    return Finding(WARN, ", ".join(sorted(found)), "cpupower frequency-set -g performance")


def _sleep(subject: Subject) -> Finding:
    """A core that has nothing to do is back soon."""
    host = subject.host
    cores = sorted(subject.pinned or host.allowed_cores)
    states = [each for core in cores for each in _sleep_states(host, core)]
    if not states:
        raise UnknownFactError(f"{_CPU}/cpu{cores[0]}/cpuidle: no such states")
    latency, name = max(states)
    found = f"deepest state {name} takes {latency} us to leave"
    bound = _latency_bound(host)
    if bound is not None and bound < latency:
        found += f", bounded to {bound} us by {_LATENCY}"
        latency = bound
    if latency <= _WAKE_US_MAX:
        return Finding(OK, found)
    remedy = (
        f"cpupower idle-set -D {_WAKE_US_MAX}; for good: boot with"
        " `intel_idle.max_cstate=1 processor.max_cstate=1`"
    )
    return Finding(WARN, found, remedy)


def _sleep_states(host: Host, core: int) -> list[tuple[int, str]]:
    """(microseconds to leave it, name) of every state that is not switched off."""
    folder = host.path(f"{_CPU}/cpu{core}/cpuidle")
    names = [f"{_CPU}/cpu{core}/cpuidle/{each.name}" for each in folder.glob("state*")]
    return [
        (int(host.text(f"{name}/latency")), host.text(f"{name}/name"))
        for name in names
        if host.text(f"{name}/disable") == "0"
    ]


def _latency_bound(host: Host) -> int | None:
    """What some process demands of all cores, in microseconds; None: it cannot be told."""
    try:
        return int(struct.unpack("i", host.path(_LATENCY).read_bytes()[:4])[0])
    except (OSError, struct.error):
        return None  # root's to read; the states themselves say enough


def _clock(subject: Subject) -> Finding:
    """The time is read from the core, without a call into the system."""
    host = subject.host
    current = host.text(f"{_CLOCK}/current_clocksource")
    if current == "tsc":
        return Finding(OK, current)
    if "tsc" in host.text(f"{_CLOCK}/available_clocksource").split():
        return Finding(WARN, current, f"echo tsc > {_CLOCK}/current_clocksource")
    return Finding(WARN, f"{current}, and tsc is not offered", "boot with `tsc=reliable`")


CHECKS: dict[str, Check] = {"governor": _governor, "c-states": _sleep, "clock": _clock}
