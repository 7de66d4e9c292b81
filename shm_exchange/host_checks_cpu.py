"""Shell: whether the cores are there, and left alone for the roles that are pinned to them."""

from __future__ import annotations

from shm_exchange import placement
from shm_exchange.host_facts import FAIL, OK, ONLINE, WARN, Check, Finding, Subject, show_cores
from shm_exchange.settings import ConfigurationError

_CPU = "/sys/devices/system/cpu"
_PARTITIONS = "/sys/fs/cgroup/cpuset.cpus.isolated"
_NAME_CORES = (
    "name cores of their own in the configuration: `matcher_core`, `standby_core` of an [[engine]],"
    " `core` of a [[gateway]]"
)


def _cores(subject: Subject) -> Finding:
    """Enough of them, and those that are named may be used."""
    host, configuration = subject.host, subject.configuration
    allowed = host.allowed_cores
    try:
        placement.check_cores(configuration, allowed)
    except ConfigurationError as error:
        online = host.cores(ONLINE)
        if subject.named <= online:  # isolated cores are nobody's unless he asks for them
            remedy = (
                "systemctl edit shm-exchange, with [Service] and"
                f" CPUAffinity={show_cores(allowed | subject.pinned)}"
                f"; in a shell: taskset -c {show_cores(allowed | subject.pinned)} shmx run"
            )
            return Finding(FAIL, str(error), remedy)
        return Finding(FAIL, str(error), f"name cores that exist: {show_cores(online)}")
    hot = placement.hot_processes(configuration)
    policy = placement.waiting_policy(configuration, len(allowed))
    found = f"{len(allowed)} for {hot} processes that answer at once; they {policy}"
    if len(allowed) > hot:
        return Finding(OK, found)
    if policy == "spin":
        remedy = 'set waiting = "auto" in [exchange], or give the host more cores'
        return Finding(FAIL, f"{found} and starve each other", remedy)
    return Finding(WARN, found, f"give the host {hot + 1} cores; until then latency is shared")


def _isolation(subject: Subject) -> Finding:
    """The scheduler puts nobody else on the pinned cores."""
    host, pinned = subject.host, subject.pinned
    isolated = host.cores(f"{_CPU}/isolated")
    if host.has(_PARTITIONS):
        isolated |= host.cores(_PARTITIONS)
    found = f"isolated: {show_cores(isolated) or 'none'}; pinned: {show_cores(pinned) or 'none'}"
    if not pinned:
        return Finding(WARN, found, _NAME_CORES)
    if pinned <= isolated:
        return Finding(OK, found)
    return Finding(WARN, found, _at_boot(f"isolcpus=managed_irq,domain,{show_cores(pinned)}"))


def _tick(subject: Subject) -> Finding:
    """The timer does not interrupt a pinned core that runs one thread."""
    pinned = subject.pinned
    without = subject.host.cores(f"{_CPU}/nohz_full")
    found = f"without tick: {show_cores(without) or 'none'}; pinned: {show_cores(pinned) or 'none'}"
    if pinned and pinned <= without:
        return Finding(OK, found)
    if not pinned:
        return Finding(WARN, found, _NAME_CORES)
    cores = show_cores(pinned)
    return Finding(WARN, found, _at_boot(f"nohz_full={cores} rcu_nocbs={cores}"))


def _smt(subject: Subject) -> Finding:
    """A pinned core shares its execution units with no other thread."""
    host, pinned = subject.host, subject.pinned
    if not pinned:
        if host.text(f"{_CPU}/smt/active") == "0":
            return Finding(OK, "no core has a sibling that runs")
        return Finding(WARN, "siblings run, and no core is pinned", _NAME_CORES)
    online = host.cores(ONLINE)
    siblings: set[int] = set()
    for core in sorted(pinned):
        siblings |= host.cores(f"{_CPU}/cpu{core}/topology/thread_siblings_list") - {core}
    siblings &= online
    if not siblings:
        return Finding(OK, f"pinned cores {show_cores(pinned)} share with nobody")
    found = f"pinned cores {show_cores(pinned)} share with their siblings {show_cores(siblings)}"
    if siblings <= pinned:
        return Finding(WARN, found, f"{_NAME_CORES}; one of each pair of siblings")
    switch = "; ".join(f"echo 0 > {_CPU}/cpu{core}/online" for core in sorted(siblings - pinned))
    return Finding(WARN, found, switch)


def _at_boot(words: str) -> str:
    return (
        f"append `{words}` to GRUB_CMDLINE_LINUX in /etc/default/grub, then: update-grub && reboot"
    )


CHECKS: dict[str, Check] = {
    "cores": _cores,
    "isolation": _isolation,
    "tick": _tick,
    "smt": _smt,
}
