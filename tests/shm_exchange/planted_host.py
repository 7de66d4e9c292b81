"""A host that is fit for an exchange, as a folder of files, and ways to take that away from it."""

from __future__ import annotations

import struct
from pathlib import Path

CPU = "/sys/devices/system/cpu"
CLOCK = "/sys/devices/system/clocksource/clocksource0"
PAGES = "/sys/kernel/mm/transparent_hugepage"
NODES = "/sys/devices/system/node"
LATENCY = "/dev/cpu_dma_latency"
MOUNTS = "/proc/self/mountinfo"
SLICE = "/sys/fs/cgroup/system.slice"
UNIT = f"{SLICE}/shm-exchange.service"
CORES = 8
CONFIGURATION = """\
[[engine]]
matcher_core = 2
standby_core = 3
[[instrument]]
symbol = "AAPL"
tick = 0.01
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
clients_max = 1000
"""
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max file size             unlimited            {file:<20} bytes
Max data size             unlimited            {data:<20} bytes
Max core file size        {core:<20} unlimited            bytes
Max open files            1024                 {files:<20} files
Max locked memory         {locked:<20} {locked:<20} bytes
Max address space         unlimited            {addresses:<20} bytes
"""


def mounts(kind: str = "ext4", shared: str = "rw,size=8G,huge=within_size") -> str:
    """A table of mounts: the kind of the one file system, and the options of shared memory."""
    return (
        f"22 1 8:1 / / rw,relatime - {kind} /dev/sda1 rw\n"
        f"23 22 0:21 / /dev/shm rw,nosuid shared:2 - tmpfs tmpfs {shared}\n"
    )


def limits(**changes: str) -> str:
    """What a process says of its limits: core, file, files, data, addresses, locked."""
    fit = {"core": "0", "files": "65536"}
    fit |= dict.fromkeys(("file", "data", "addresses", "locked"), "unlimited")
    return LIMITS.format(**fit | changes)


def status(cores: str = "0-7", user: int = 999) -> str:
    """What a process says of itself."""
    return f"Name:\tshmx\nUid:\t{user}\t{user}\t{user}\t{user}\nCpus_allowed_list:\t{cores}\n"


def fit_files() -> dict[str, str]:
    """Every file that the checks read, as it is on a host that lacks nothing."""
    files = {
        "/proc/self/status": status(),
        "/proc/self/limits": limits(),
        "/proc/self/cgroup": "1:name=old:/\n0::/system.slice/shm-exchange.service\n",
        f"{UNIT}/memory.max": "max\n",
        f"{UNIT}/cpu.max": "max 100000\n",
        f"{UNIT}/pids.max": "max\n",
        f"{SLICE}/memory.max": "68719476736\n",
        f"{SLICE}/pids.max": "19000\n",
        "/proc/meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\n",
        "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
        "/proc/sys/kernel/numa_balancing": "0\n",
        MOUNTS: mounts(),
        f"{CPU}/online": "0-7\n",
        f"{CPU}/isolated": "2-3\n",
        f"{CPU}/nohz_full": "2-3\n",
        f"{CPU}/smt/active": "1\n",
        f"{CLOCK}/current_clocksource": "tsc\n",
        f"{CLOCK}/available_clocksource": "tsc hpet acpi_pm\n",
        f"{PAGES}/enabled": "always [madvise] never\n",
        f"{PAGES}/shmem_enabled": "always within_size advise [never] deny force\n",
        f"{NODES}/online": "0-1\n",
        f"{NODES}/node0/cpulist": "0-3\n",
        f"{NODES}/node1/cpulist": "4-7\n",
        "/sys/block/sda/queue/rotational": "0\n",
        "/sys/block/sda/sda1/size": "1\n",
        "/usr/lib/systemd/systemd-logind": "",
        "/dev/shm/other": "",
    }
    for core in range(CORES):
        each = f"{CPU}/cpu{core}"
        files[f"{each}/cpufreq/scaling_governor"] = "performance\n"
        # Cores 0 and 4, 1 and 5 ... are siblings; those of the pinned ones are switched off.
        files[f"{each}/topology/thread_siblings_list"] = f"{core}\n"
        for state, (name, latency) in enumerate((("POLL", 0), ("C1", 2), ("C6", 133))):
            files[f"{each}/cpuidle/state{state}/name"] = f"{name}\n"
            files[f"{each}/cpuidle/state{state}/latency"] = f"{latency}\n"
            files[f"{each}/cpuidle/state{state}/disable"] = f"{int(name == 'C6')}\n"
    return files


def plant(root: Path, changes: dict[str, str | None]) -> None:
    """Make the host with some files changed, or taken away (None)."""
    for name, text in (fit_files() | changes).items():
        if text is not None:
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    link = root / "sys/dev/block/8:1"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../block/sda/sda1")
    (root / LATENCY.lstrip("/")).write_bytes(struct.pack("i", 2_000_000_000))
