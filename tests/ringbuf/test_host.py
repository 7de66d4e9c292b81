"""Goal: what is asked of the host happens, or is refused with a sentence.

Method: in a process of its own, read back through /proc.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from ringbuf import host
from ringbuf.errors import SegmentError, UsageError
from tests.shared_memory import ROOT


def _run(script: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_a_process_is_pinned_to_a_core() -> None:
    cpu = min(os.sched_getaffinity(0))
    script = f"import os; from ringbuf import host; host.pin({cpu}); print(os.sched_getaffinity(0))"
    assert _run(script) == str({cpu})


def test_a_core_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="core 1000"):
        host.pin(1000)


def test_a_process_can_refuse_to_dump() -> None:
    script = (
        "import ctypes; from ringbuf import host; before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0);"
        "host.set_not_dumpable(); print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    assert _run(script).split()[1] == "0"


def test_lists_of_cores_are_read(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "devices/system/cpu/isolated"
    path.parent.mkdir(parents=True)
    monkeypatch.setattr(host, "_SYS", tmp_path)
    assert host.isolated_cpus() == set()
    path.write_text("1,3-5\n")
    assert host.isolated_cpus() == {1, 3, 4, 5}


@pytest.mark.parametrize(
    ("setting", "mounts", "expected"),
    [
        ("always within_size [advise] never deny force", ["rw,size=1g"], False),
        ("[always] within_size advise never deny force", [], False),
        ("always within_size advise [never] deny force", ["rw,size=1g,huge=within_size"], True),
        ("always within_size advise [never] deny force", ["rw", "rw,huge=always"], True),
        ("always within_size advise [never] deny force", ["rw,huge=always", "rw"], False),
        ("always within_size advise never [deny] force", ["rw,huge=always"], False),
        ("always within_size advise never deny [force]", ["rw"], True),
    ],
    ids=["setting", "no mount", "mount", "covering", "covered", "denied", "forced"],
)
def test_huge_pages_are_the_mounts(  # type: ignore[no-untyped-def]
    tmp_path, monkeypatch: pytest.MonkeyPatch, setting: str, mounts: list[str], expected: bool
) -> None:
    """Of /dev/shm; the kernel's setting counts only where it overrides every mount."""
    path = tmp_path / "kernel/mm/transparent_hugepage/shmem_enabled"
    path.parent.mkdir(parents=True)
    path.write_text(setting + "\n")
    (tmp_path / "self").mkdir()
    lines = ["tmpfs /tmp tmpfs rw,huge=always 0 0"]
    lines += [f"tmpfs /dev/shm tmpfs {options} 0 0" for options in mounts]
    (tmp_path / "self/mounts").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(host, "_SYS", tmp_path)
    monkeypatch.setattr(host, "_PROC", tmp_path)
    assert host.shared_huge_pages() is expected
    assert any("huge pages" in sentence for sentence in host.lacks()) is not expected


def test_memory_that_is_not_there_cannot_be_made_to_exist() -> None:
    array = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (1 << 50,), (1,))
    with pytest.raises(SegmentError):
        host.populate(array)


def test_this_process_has_cores_and_barriers() -> None:
    assert host.cpu_count() == len(os.sched_getaffinity(0))
    assert host.register_barrier() in (True, False)
