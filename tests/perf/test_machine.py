"""Goal: a result carries its machine, and only like machines are compared.

Method: this machine; copies of /proc and /sys files of another one; a real run of pytest-benchmark.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from perf import machine
from shm_exchange.host_facts import Host

ROOT = Path(__file__).parents[2]
FILES = {
    "proc/cpuinfo": "processor : 0\nmodel name\t: Fast 9000\nflags\t\t: fpu hypervisor tsc\n",
    "proc/meminfo": "MemTotal:        2097152 kB\n",
    "sys/devices/system/cpu/isolated": "2-5\n",
    "sys/devices/system/cpu/smt/active": "1\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
}


def planted(root: Path, **changed: str) -> Host:
    """A host made of files; changed: other text for the files whose name ends so."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.name, text))
    return Host(root)


def test_what_the_files_say(tmp_path: Path) -> None:
    """Each fact from its file; a file that is not there is unknown, not an error."""
    found = machine.describe(planted(tmp_path))
    assert found["cpu"] == "Fast 9000" and found["hypervisor"] is True
    assert found["isolated"] == "2-5" and found["smt"] == "1" and found["memory_mib"] == 2048
    assert found["governor"] == "performance" and found["transparent_huge_pages"] == "madvise"
    assert found["nohz_full"] == found["clock_source"] == machine.UNKNOWN


def test_this_machine_is_like_itself() -> None:
    """Load and commit may change between two runs: they decide nothing."""
    one = machine.describe()
    other = {**one, "commit": "0" * 40, "dirty": True, "load_average": 25.0}
    assert set(machine.DECIDING) < set(one)
    assert machine.differences(one, other) == []
    assert machine.fingerprint(one) == machine.fingerprint(other)
    assert machine.is_quiet(other) is False and machine.is_quiet({}) is None


@pytest.mark.parametrize("name", machine.DECIDING)
def test_unlike_machines(name: str) -> None:
    """Whatever decides makes another fingerprint, and is named."""
    one = dict.fromkeys(machine.DECIDING, "this")
    other = {**one, name: "that"}
    assert machine.differences(one, other) == [f"{name}: 'this', now 'that'"]
    assert machine.fingerprint(one) != machine.fingerprint(other)
    assert machine.fingerprint({}) != machine.fingerprint(one)


def test_a_tree_and_what_is_changed_in_it(tmp_path: Path) -> None:
    """No repository, a commit, and a file that differs from it."""
    assert machine.commit(tmp_path) == {"commit": machine.UNKNOWN, "dirty": machine.UNKNOWN}
    (tmp_path / "file").write_text("one")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    clean = machine.commit(tmp_path)
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "file").write_text("two")
    assert machine.commit(tmp_path) == {**clean, "dirty": True}


def test_a_result_carries_it(tmp_path: Path) -> None:
    """A real run with perf's hooks writes the machine into its JSON."""
    (tmp_path / "test_one.py").write_text("def test_one(benchmark):\n    benchmark(sum, [1, 2])\n")
    written = tmp_path / "results.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "perf.conftest", str(tmp_path)]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(tmp_path)]
    command += ["--benchmark-max-time=0.01", f"--benchmark-json={written}"]
    # A worker of xdist measures nothing, and says so to its children by the environment.
    alone = {name: each for name, each in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    found = machine.of_run(json.loads(written.read_text()))
    assert machine.fingerprint(found) == machine.fingerprint(machine.describe())
    assert found["commit"] == machine.commit(ROOT)["commit"]
