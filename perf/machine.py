"""Shell: the machine that a figure was measured on, and whether two of them may be compared.

A figure without its machine says nothing, and two figures of unlike machines say nothing about the
code. What a host does not tell, as in many containers, is noted as "unknown" and counts as such.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shm_exchange.host_facts import Host, UnknownFactError

KEY = "shm_exchange"  # our part of pytest-benchmark's `machine_info`
UNKNOWN = "unknown"
# Versions that decide which machine code is made, hence how many instructions a message takes.
TOOLCHAIN = ("architecture", "python", "numba", "llvmlite")
# What must be the same before times are compared.
DECIDING = (
    *("cpu", "cores", "smt", "isolated", "nohz_full", "governor", "clock_source"),
    *("transparent_huge_pages", "kernel", "hypervisor", "numpy", *TOOLCHAIN),
)
_ROOT = Path(__file__).resolve().parent.parent
_CPU = "/sys/devices/system/cpu"
_CLOCK = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def describe(host: Host | None = None) -> dict[str, Any]:
    """Everything about this machine and this tree that a reader of a figure has to know."""
    host = host or Host()
    return {
        "cpu": _field(host, "/proc/cpuinfo", "model name"),
        "cores": os.cpu_count() or 0,
        "smt": _text(host, f"{_CPU}/smt/active"),
        "isolated": _text(host, f"{_CPU}/isolated"),
        "nohz_full": _text(host, f"{_CPU}/nohz_full"),
        "governor": _text(host, f"{_CPU}/cpu0/cpufreq/scaling_governor"),
        "clock_source": _text(host, _CLOCK),
        "transparent_huge_pages": _choice(host, "/sys/kernel/mm/transparent_hugepage/enabled"),
        "kernel": platform.release(),
        "hypervisor": "hypervisor" in _field(host, "/proc/cpuinfo", "flags").split(),
        "memory_mib": _memory_mib(host),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "llvmlite")},
        **commit(_ROOT),
        "load_average": round(os.getloadavg()[0], 2),
    }


def commit(folder: Path) -> dict[str, Any]:
    """What git says of a tree: `commit`, and `dirty` when files differ from it; else unknown."""
    command = ["git", "-C", str(folder)]
    try:
        head = _output([*command, "rev-parse", "HEAD"])
        changed = _output([*command, "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.CalledProcessError):
        return {"commit": UNKNOWN, "dirty": UNKNOWN}
    return {"commit": head, "dirty": bool(changed)}


def of_run(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The machine that a file of results carries; empty in one that is older than this module."""
    found: Mapping[str, Any] = run.get("machine_info", {}).get(KEY, {})
    return found


def fingerprint(machine: Mapping[str, Any]) -> str:
    """The same for machines whose times may be compared."""
    text = json.dumps([machine.get(name, UNKNOWN) for name in DECIDING])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, ...] = DECIDING
) -> list[str]:
    """What of `names` differs, in words."""
    pairs = [(name, one.get(name, UNKNOWN), other.get(name, UNKNOWN)) for name in names]
    return [
        f"{name}: {first!r}, now {second!r}" for name, first, second in pairs if first != second
    ]


def is_quiet(machine: Mapping[str, Any]) -> bool | None:
    """Whether nothing else kept half a core busy when the run began; None: nobody looked."""
    load = machine.get("load_average")
    return None if load is None else float(load) < 0.5


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _text(host: Host, name: str) -> str:
    try:
        return host.text(name)
    except UnknownFactError:
        return UNKNOWN


def _choice(host: Host, name: str) -> str:
    return host.choice(name) if host.has(name) else UNKNOWN


def _field(host: Host, name: str, label: str) -> str:
    try:
        return host.field(name, label)
    except UnknownFactError:
        return UNKNOWN


def _memory_mib(host: Host) -> int:
    amount = _field(host, "/proc/meminfo", "MemTotal").partition(" ")[0]
    return int(amount) // 1024 if amount.isdecimal() else 0
