"""Goal: each thing that a host may lack is found, and named with what mends it.

Method: a planted host, a folder of files that lacks nothing, and the same with one fault at a time.
What no file can plant is real: a state directory that cannot be written, a disk that syncs late, a
process that may not make memory executable.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shm_exchange import memory, sync_time
from shm_exchange.config import Configuration, load
from shm_exchange.doctor import CHECKS, examine, lines, run_check
from shm_exchange.footprint import shared_bytes
from shm_exchange.host_checks_storage import judge
from shm_exchange.host_facts import Finding, Host, Subject, parse_cores
from tests.shm_exchange.planted_host import (
    CLOCK,
    CONFIGURATION,
    CORES,
    CPU,
    LATENCY,
    MOUNTS,
    NODES,
    PAGES,
    SLICE,
    UNIT,
    limits,
    mounts,
    plant,
    status,
)

MEASURED = ("sync-time", "sync-time-under-load")  # of the real disk, whatever the files say
HUGE = "[[engine]]\nid = {0}\nevent_ring_records = 268_435_456\n"
SYMBOL = '[[instrument]]\nsymbol = "X"\ntick = 1\n'
PR_SET_MDWE = 65
Changes = dict[str, str | None]


def configured(folder: Path, text: str = CONFIGURATION) -> Configuration:
    """A configuration from its text."""
    path = folder / "exchange.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def find(name: str, folder: Path, changes: Changes, text: str = CONFIGURATION) -> Finding:
    """What one check finds on a planted host."""
    plant(folder / "host", changes)
    subject = Subject(Host(folder / "host"), configured(folder, text), folder)
    return run_check(CHECKS[name], subject)


def test_a_host_that_lacks_nothing_is_fit(tmp_path: Path) -> None:
    """Every check is OK, except what a test machine's disk decides."""
    plant(tmp_path / "host", {})
    found = examine(Subject(Host(tmp_path / "host"), configured(tmp_path), tmp_path))["checks"]
    assert [each for each in found if each["state"] != "ok" and each["name"] not in MEASURED] == []
    assert [each["name"] for each in found] == list(CHECKS)


FAULTS: list[tuple[str, str, Changes, str, str]] = [
    ("cores", "isolated", {"/proc/self/status": status("0-1,4-7")}, "fail", "CPUAffinity=0,1,2,3"),
    (
        "cores",
        "missing",
        {"/proc/self/status": status("0-1"), f"{CPU}/online": "0-1"},
        "fail",
        "0,1",
    ),
    ("cores", "few", {"/proc/self/status": status("2-3")}, "warn", "give the host 4 cores"),
    ("isolation", "none", {f"{CPU}/isolated": "\n"}, "warn", "isolcpus=managed_irq,domain,2,3"),
    ("isolation", "one", {f"{CPU}/isolated": "2"}, "warn", "update-grub"),
    ("tick", "ticks", {f"{CPU}/nohz_full": "(null)\n"}, "warn", "nohz_full=2,3 rcu_nocbs=2,3"),
    (
        "smt",
        "shared",
        {f"{CPU}/cpu2/topology/thread_siblings_list": "2,6"},
        "warn",
        f"echo 0 > {CPU}/cpu6/online",
    ),
    (
        "smt",
        "both pinned",
        {f"{CPU}/cpu{core}/topology/thread_siblings_list": "2-3" for core in (2, 3)},
        "warn",
        "one of each pair",
    ),
    (
        "governor",
        "saves",
        {f"{CPU}/cpu3/cpufreq/scaling_governor": "powersave"},
        "warn",
        "cpupower",
    ),
    ("c-states", "deep", {f"{CPU}/cpu2/cpuidle/state2/disable": "0"}, "warn", "idle-set -D 10"),
    ("clock", "hpet", {f"{CLOCK}/current_clocksource": "hpet"}, "warn", "echo tsc > "),
    (
        "clock",
        "no tsc",
        {f"{CLOCK}/current_clocksource": "hpet", f"{CLOCK}/available_clocksource": "hpet"},
        "warn",
        "tsc=reliable",
    ),
    ("memory", "short", {"/proc/meminfo": "MemAvailable: 1024 kB"}, "fail", "more memory"),
    ("huge-pages", "small", {MOUNTS: mounts(shared="rw")}, "warn", "huge=within_size /dev/shm"),
    ("huge-pages", "advised", {MOUNTS: mounts(shared="rw,huge=advise")}, "warn", "within_size"),
    ("huge-pages", "denied", {f"{PAGES}/shmem_enabled": "never [deny]"}, "warn", "echo never"),
    ("thp", "always", {f"{PAGES}/enabled": "[always] madvise never"}, "warn", "echo madvise"),
    (
        "numa",
        "apart",
        {f"{NODES}/node0/cpulist": "0-2", f"{NODES}/node1/cpulist": "3-7"},
        "warn",
        "one node",
    ),
    ("numa", "moved", {"/proc/sys/kernel/numa_balancing": "1"}, "warn", "numa_balancing=0"),
    ("swap", "file", {"/proc/swaps": "Filename\n/swap.img file 1 0 -2"}, "warn", "swapoff -a"),
    ("journal", "tmpfs", {MOUNTS: mounts("tmpfs")}, "warn", "solid-state"),
    ("journal", "nfs", {MOUNTS: mounts("nfs4")}, "warn", "--state DIR"),
    ("journal", "overlay", {MOUNTS: mounts("overlay")}, "warn", "--state DIR"),
    ("journal", "turns", {"/sys/block/sda/queue/rotational": "1"}, "warn", "solid-state"),
    ("memlock", "clipped", {"/proc/self/limits": limits(locked="65536")}, "warn", "LimitMEMLOCK="),
    ("open-files", "clipped", {"/proc/self/limits": limits(files="1024")}, "fail", "LimitNOFILE="),
    (
        "process-limits",
        "file",
        {"/proc/self/limits": limits(file="1048576")},
        "fail",
        "ulimit -f unlimited",
    ),
    (
        "process-limits",
        "addresses",
        {"/proc/self/limits": limits(addresses="20000000000")},
        "fail",
        "LimitAS=infinity",
    ),
    (
        "process-limits",
        "data",
        {"/proc/self/limits": limits(data="20000000000")},
        "fail",
        "ulimit -d unlimited",
    ),
    (
        "group-memory",
        "unit",
        {f"{UNIT}/memory.max": "268435456"},
        "fail",
        "systemctl set-property shm-exchange.service MemoryMax=infinity",
    ),
    (
        "group-memory",
        "slice",
        {f"{SLICE}/memory.max": "268435456"},
        "fail",
        "systemctl set-property system.slice MemoryMax=infinity",
    ),
    (
        "group-cpu",
        "throttled",
        {f"{UNIT}/cpu.max": "150000 100000"},
        "warn",
        "systemctl set-property shm-exchange.service CPUQuota=",
    ),
    ("group-tasks", "few", {f"{UNIT}/pids.max": "20"}, "fail", "TasksMax=infinity"),
    (
        "group-tasks",
        "container",
        {
            "/proc/self/cgroup": "0::/\n",
            "/sys/fs/cgroup/pids.max": "20",
        },
        "fail",
        "raise it for /sys/fs/cgroup",
    ),
    ("core-dumps", "on", {"/proc/self/limits": limits(core="unlimited")}, "warn", "LimitCORE=0"),
    ("remove-ipc", "by default", {"/proc/self/status": status(user=1000)}, "fail", "install-unit"),
    (
        "remove-ipc",
        "said",
        {
            "/proc/self/status": status(user=1000),
            "/etc/systemd/logind.conf": "[Login]\nRemoveIPC=no\n",
            "/etc/systemd/logind.conf.d/ipc.conf": "[Login]\nRemoveIPC=yes\n",
        },
        "fail",
        "RemoveIPC=no",
    ),
]


@pytest.mark.parametrize(
    ("name", "changes", "state", "remedy"),
    [(name, *rest) for name, _, *rest in FAULTS],
    ids=[f"{name}-{kind}" for name, kind, *_ in FAULTS],
)
def test_a_planted_fault_is_found(
    name: str, changes: Changes, state: str, remedy: str, tmp_path: Path
) -> None:
    """By its own check, with its remedy."""
    row = find(name, tmp_path, changes)
    assert row.state == state, row
    assert row.remedy is not None and remedy in row.remedy


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cores", "/proc/self/status"),
        ("isolation", f"{CPU}/isolated"),
        ("tick", f"{CPU}/nohz_full"),
        ("smt", f"{CPU}/cpu2/topology/thread_siblings_list"),
        ("governor", f"{CPU}/cpu2/cpufreq/scaling_governor"),
        ("clock", f"{CLOCK}/current_clocksource"),
        ("memory", "/proc/meminfo"),
        ("huge-pages", f"{PAGES}/shmem_enabled"),
        ("thp", f"{PAGES}/enabled"),
        ("numa", f"{NODES}/online"),
        ("swap", "/proc/swaps"),
        ("journal", MOUNTS),
        ("memlock", "/proc/self/limits"),
        ("process-limits", "/proc/self/limits"),
        ("group-memory", "/proc/self/cgroup"),
    ],
)
def test_what_the_host_does_not_say_is_no_fault(name: str, path: str, tmp_path: Path) -> None:
    """In a container, for example: a warning that says which file is not there."""
    row = find(name, tmp_path, {path: None})
    assert row.state == "warn"
    assert row.found.startswith(f"cannot be told here: {path}")


def test_a_demanded_latency_keeps_cores_awake(tmp_path: Path) -> None:
    """Whoever holds /dev/cpu_dma_latency open bounds what deep states may cost."""
    plant(tmp_path, {f"{CPU}/cpu2/cpuidle/state2/disable": "0"})
    (tmp_path / LATENCY.lstrip("/")).write_bytes(struct.pack("i", 0))
    row = CHECKS["c-states"](Subject(Host(tmp_path), configured(tmp_path), tmp_path))
    assert (row.state, "bounded to 0 us" in row.found) == ("ok", True)


def test_rings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """More shared memory than any host of today has."""
    text = "".join(HUGE.format(number) for number in range(1, 256)) + SYMBOL
    row = find("shared-memory", tmp_path, {}, text)
    assert row.state == "fail"
    assert row.remedy is not None and "remount,size=" in row.remedy


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    """A reserve that no disk has."""
    text = "[[engine]]\ndisk_reserve_bytes = 1_099_511_627_776\n"
    many = "".join(f"{text}id = {number}\n" for number in range(1, 256))
    row = find("disk-space", tmp_path, {}, many + SYMBOL)
    assert row.state == "fail"
    assert row.remedy is not None and "shmx journal prune" in row.remedy


def test_a_state_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    """It has passwords."""
    tmp_path.chmod(0o700)
    assert find("privacy", tmp_path, {}).state == "ok"
    tmp_path.chmod(0o750)
    row = run_check(CHECKS["privacy"], Subject(Host(tmp_path), configured(tmp_path), tmp_path))
    assert (row.state, row.remedy) == ("warn", f"chmod 700 {tmp_path}")


@pytest.mark.parametrize("name", ["isolation", "tick"])
def test_nothing_is_advised_for_a_core_that_is_not_there(name: str, tmp_path: Path) -> None:
    """The check of the cores names it."""
    text = CONFIGURATION.replace("matcher_core = 2", "matcher_core = 77")
    changes: Changes = {f"{CPU}/isolated": "\n", f"{CPU}/nohz_full": "(null)\n"}
    row = find(name, tmp_path, changes, text)
    assert row.state == "warn" and row.remedy is not None
    assert "3`" in row.remedy and "77" not in row.remedy
    (tmp_path / "again").mkdir()
    assert "77" in find("cores", tmp_path / "again", {}, text).found


def test_a_journal_in_memory_cannot_hold_messages(tmp_path: Path) -> None:
    """Durability `disk` on a file system that a loss of power empties is a promise broken."""
    text = '[exchange]\ndurability = "disk"\n' + CONFIGURATION
    row = find("journal", tmp_path, {MOUNTS: mounts("tmpfs")}, text)
    assert row.state == "fail"


def test_spinning_on_shared_cores_is_refused(tmp_path: Path) -> None:
    """Three that spin on two cores starve each other."""
    text = '[exchange]\nwaiting = "spin"\n' + CONFIGURATION
    row = find("cores", tmp_path, {"/proc/self/status": status("2-3")}, text)
    assert (row.state, row.remedy is not None and 'waiting = "auto"' in row.remedy) == (
        "fail",
        True,
    )


@pytest.mark.parametrize("name", ["isolation", "tick", "smt"])
def test_nobody_pinned_is_a_warning(name: str, tmp_path: Path) -> None:
    """On two cores no one gets a core by himself."""
    row = find(name, tmp_path, {"/proc/self/status": status("0-1")}, SYMBOL + "[[engine]]\n")
    assert row.state == "warn"
    assert row.remedy is not None and "matcher_core" in row.remedy


def test_a_state_directory_that_cannot_be_written_fails(tmp_path: Path) -> None:
    """Nobody can write to /proc, not even root."""
    subject = Subject(Host(), configured(tmp_path), Path("/proc/self/task"))
    found = CHECKS["sync-time"](subject)
    assert found.state == "fail"
    assert found.remedy is not None and "--state" in found.remedy


@pytest.mark.parametrize(("milliseconds", "state"), [(0, "ok"), (15, "warn")])
def test_a_disk_that_syncs_late_is_seen(milliseconds: int, state: str, tmp_path: Path) -> None:
    """The time of each sync is taken, and the late ones decide."""

    def sync(_: int) -> None:
        time.sleep(milliseconds / 1000)

    times = sync_time.measure(tmp_path, loaded=False, sync=sync)
    assert judge(times).state == state
    assert f"the slowest {times[-1] * 1e3:.2f} ms of 48 syncs" in judge(times).found
    assert judge([*times, 0.3]).state == "fail"
    assert list(tmp_path.iterdir()) == []


def test_the_load_runs_beside_the_syncs(tmp_path: Path) -> None:
    """Another thread writes for as long as it is measured, and nothing stays."""
    before = len(os.listdir("/proc/self/task"))
    during: list[int] = []
    times = sync_time.measure(
        tmp_path, loaded=True, sync=lambda _: during.append(len(os.listdir("/proc/self/task")))
    )
    assert max(during) > before
    assert (len(times), list(tmp_path.iterdir())) == (48, [])


def test_memory_that_may_not_be_executed_is_seen() -> None:
    """In a process that has given up the right to it, as a unit's MemoryDenyWriteExecute does."""
    code = f"""
import ctypes, json, sys
if ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0):
    sys.exit(3)
from pathlib import Path
from shm_exchange.config import built_in
from shm_exchange.host_checks_limits import CHECKS
from shm_exchange.host_facts import Host, Subject
found = CHECKS["machine-code"](Subject(Host(), built_in(), Path("/")))
print(json.dumps([found.state, found.remedy]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    if done.returncode == 3:
        pytest.skip("the kernel is older than 6.3: a process cannot give up executable memory")
    assert done.returncode == 0, done.stderr
    state, remedy = json.loads(done.stdout)
    assert (state, "MemoryDenyWriteExecute" in remedy) == ("fail", True)


def test_the_size_is_that_of_the_real_segments(tmp_path: Path) -> None:
    """What is counted before a start is what the start takes, to the byte."""
    text = CONFIGURATION.replace("[[engine]]", "[[engine]]\nevent_ring_records = 1024")
    configuration = configured(
        tmp_path, text.replace("[[inst", "command_ring_records = 256\n[[inst")
    )
    wirings = memory.create(configuration, f"doctor-{os.getpid()}", tmp_path)
    try:
        taken = sum(segment.size for each in wirings.values() for segment in each.segments)
    finally:
        memory.remove(wirings)
    assert shared_bytes(configuration) == taken


def test_the_command_reports_and_ends_by_the_worst(tmp_path: Path) -> None:
    """One JSON object; exit code 1 when a check failed; the lines say the same."""
    command = [sys.executable, "-m", "shm_exchange.cli", "doctor", "--state", str(tmp_path)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["state"] == "fail" else 0), done.stderr
    assert [set(row) for row in report["checks"]] == [{"name", "state", "found", "remedy"}] * len(
        CHECKS
    )
    text = lines(report)
    assert [line[:4].strip().lower() for line in text if line[:4].strip()] == [
        row["state"] for row in report["checks"]
    ]
    missing = tmp_path / "named.toml"
    missing.write_text(CONFIGURATION.replace("matcher_core = 2", "matcher_core = 4095"))
    done = subprocess.run([*command, "--config", missing], capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAIL  cores" in done.stdout


def test_lists_of_cores_are_read() -> None:
    """As the kernel writes them, also when there is none."""
    assert parse_cores("0-2,5\n") == {0, 1, 2, 5}
    assert parse_cores("(null)") == set()
    assert max(parse_cores(f"0-{CORES - 1}")) == CORES - 1
