"""Goal: a segment is whole before anybody sees it, and what is not ours is refused by name.

Method: make segments, spoil one field of the header at a time, and attach; a small tmpfs stands
for a full /dev/shm.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ringbuf import layout, segment
from ringbuf.broadcast import NO_GATE, RECORDED
from ringbuf.errors import LayoutError, SegmentError, UsageError
from ringbuf.layout import PROCESS, PROCESS_POSITION, SEGMENT_HEADER
from ringbuf.spsc import offer, poll
from ringbuf.writer_lock import ACQUIRED, try_lock, unlock
from tests.shared_memory import DIGEST, IDENTITY, RECORD_DTYPE, ROOT, SHARED_MEMORY


def test_what_is_written_is_read_by_whoever_attaches(segment_name: str) -> None:
    made = segment.create_segment(segment_name, 5000, DIGEST, IDENTITY)
    assert made.size == 5000 + SEGMENT_HEADER.size and len(made.bytes) == 5000
    assert not made.bytes.any()
    made.bytes[4999] = 77
    seen = segment.attach_segment(segment_name, DIGEST, IDENTITY)
    assert seen.bytes[4999] == 77 and seen.size == made.size
    seen.bytes[0] = 5
    assert made.bytes[0] == 5


def test_a_read_only_attachment_cannot_be_written(segment_name: str) -> None:
    segment.create_segment(segment_name, 100, DIGEST, IDENTITY)
    seen = segment.attach_segment(segment_name, DIGEST, read_only=True)
    with pytest.raises(ValueError):
        seen.bytes[0] = 1


def test_a_name_is_made_once(segment_name: str) -> None:
    made = segment.create_segment(segment_name, 100, DIGEST, IDENTITY)
    made.bytes[0] = 9
    with pytest.raises(SegmentError, match="exists"):
        segment.create_segment(segment_name, 100, DIGEST, IDENTITY)
    assert segment.attach_segment(segment_name, DIGEST).bytes[0] == 9


@pytest.mark.parametrize("field", ["magic", "version", "frame_digest", "segment_size", "digest"])
def test_what_differs_is_named_and_left_alone(segment_name: str, field: str) -> None:
    made = segment.create_segment(segment_name, 100, DIGEST, IDENTITY)
    made.header[0][field] += 1
    before = (SHARED_MEMORY / segment_name[1:]).read_bytes()
    with pytest.raises(LayoutError, match=f"{segment_name} has {field}"):
        segment.attach_segment(segment_name, DIGEST, IDENTITY)
    assert (SHARED_MEMORY / segment_name[1:]).read_bytes() == before


def test_another_owners_segment_is_refused(segment_name: str) -> None:
    segment.create_segment(segment_name, 100, DIGEST, IDENTITY)
    with pytest.raises(LayoutError, match="identity"):
        segment.attach_segment(segment_name, DIGEST, IDENTITY + 1)
    assert segment.attach_segment(segment_name, DIGEST).size > 100


def test_a_missing_a_short_and_an_unfinished_segment(segment_name: str) -> None:
    with pytest.raises(SegmentError, match="does not run"):
        segment.attach_segment(segment_name, DIGEST)
    path = SHARED_MEMORY / segment_name[1:]
    path.write_bytes(b"short")
    with pytest.raises(SegmentError, match="5 bytes"):
        segment.attach_segment(segment_name, DIGEST)
    path.write_bytes(bytes(4096))
    with pytest.raises(SegmentError, match="being made"):
        segment.attach_segment(segment_name, DIGEST)


def test_a_truncated_segment_is_refused_before_it_is_touched(segment_name: str) -> None:
    segment.create_segment(segment_name, 100_000, DIGEST, IDENTITY)
    os.truncate(SHARED_MEMORY / segment_name[1:], 8192)
    with pytest.raises(LayoutError, match="segment_size"):
        segment.attach_segment(segment_name, DIGEST)


def test_the_memory_is_there_before_it_is_used(segment_name: str) -> None:
    size = 3 << 20
    segment.create_segment(segment_name, size, DIGEST, IDENTITY)
    status = os.stat(SHARED_MEMORY / segment_name[1:])
    assert status.st_blocks * 512 >= size
    assert stat.S_IMODE(status.st_mode) == 0o600


def test_too_little_memory_is_an_error_at_the_start(segment_name: str) -> None:
    total = os.statvfs(SHARED_MEMORY)
    size = total.f_blocks * total.f_frsize + (1 << 20)  # more than there can ever be
    with pytest.raises(SegmentError, match=f"no room for {segment_name}"):
        segment.create_segment(segment_name, size, DIGEST, IDENTITY)
    assert not segment.exists(segment_name)


_CREATE_BEYOND_A_LIMIT = """
import resource, signal, sys
from ringbuf.errors import SegmentError
from ringbuf.segment import create_segment
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    create_segment(sys.argv[1], 2 << 20, 1, 1, huge=sys.argv[2] == "True")
except SegmentError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("huge", [False, True])
def test_a_refusal_leaves_no_name(segment_name: str, huge: bool) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _CREATE_BEYOND_A_LIMIT, segment_name, str(huge)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result
    assert result.stderr.startswith(f"no room for {segment_name}")
    assert not segment.exists(segment_name)


def test_huge_pages_may_be_asked_for_everywhere(segment_name: str) -> None:
    made = segment.create_segment(segment_name, 4 << 20, DIGEST, IDENTITY, huge=True)
    made.bytes[-1] = 1
    assert segment.attach_segment(segment_name, DIGEST).bytes[-1] == 1


def test_memory_that_may_not_be_locked_is_an_error(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(array: np.ndarray) -> None:
        raise SegmentError(f"cannot lock {array.nbytes} bytes")

    monkeypatch.setattr("ringbuf.host.lock_memory", refuse)
    with pytest.raises(SegmentError, match="cannot lock 4096 bytes"):
        segment.create_segment(segment_name, 4096, DIGEST, IDENTITY, lock=True)
    assert not segment.exists(segment_name)


def test_locked_memory_counts_as_locked(segment_name: str) -> None:
    made = segment.create_segment(segment_name, 1 << 20, DIGEST, IDENTITY, lock=True)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    locked = next(line for line in status.splitlines() if line.startswith("VmLck"))
    assert int(locked.split()[1]) >= 1024 and made.size > 1 << 20


def test_a_broadcast_ring_is_the_same_to_both(segment_name: str) -> None:
    made, ring = segment.create_broadcast(segment_name, RECORD_DTYPE, 32, DIGEST, IDENTITY)
    assert ring.cursors[RECORDED] == NO_GATE and len(ring.records) == 32
    assert ring.records.ctypes.data % 64 == 0, "a record is one cache line"
    ring.records[31]["word_7"] = 3
    _, seen = segment.attach_broadcast(segment_name, RECORD_DTYPE, DIGEST, IDENTITY)
    assert seen.records[31]["word_7"] == 3 and len(seen.cursors) == 32
    made.unlink()
    assert not segment.exists(segment_name) and not segment.remove(segment_name)


def test_a_queue_is_the_same_to_both(segment_name: str) -> None:
    made, ring = segment.create_spsc(segment_name, RECORD_DTYPE, 32, DIGEST, IDENTITY)
    out = np.ones(1, RECORD_DTYPE)
    assert offer(ring, 0, out) == 1
    attached, seen = segment.attach_spsc(segment_name, RECORD_DTYPE, DIGEST)
    out[:] = 0
    assert poll(seen, 0, out) == 0 and out[0]["word_7"] == 1
    lock = segment.producer_lock(made)
    assert try_lock(lock) == ACQUIRED and segment.producer_lock(attached)[0] == lock[0]
    unlock(lock)


def test_a_ring_of_another_kind_or_record_is_refused(segment_name: str) -> None:
    segment.create_spsc(segment_name, RECORD_DTYPE, 32, DIGEST, IDENTITY)
    with pytest.raises(LayoutError, match="kind"):
        segment.attach_broadcast(segment_name, RECORD_DTYPE, DIGEST)
    with pytest.raises(LayoutError, match="record_size"):
        segment.attach_spsc(segment_name, np.dtype("<i8"), DIGEST)


@pytest.mark.parametrize("capacity", [0, 4, 33, -8])
def test_a_capacity_is_a_power_of_two(segment_name: str, capacity: int) -> None:
    with pytest.raises(UsageError):
        segment.create_broadcast(segment_name, RECORD_DTYPE, capacity, DIGEST, IDENTITY)
    assert not segment.exists(segment_name)


def test_control_holds_lock_doorbells_words_and_processes(segment_name: str) -> None:
    _, control = segment.create_control(segment_name, DIGEST, IDENTITY)
    assert control.lock.shape == (32,) and control.doorbells.shape == (64,)
    assert control.words.shape == (32,) and control.processes.shape == (64,)
    assert control.processes.dtype == PROCESS.dtype
    line = segment.process_line(control, 63)
    line[PROCESS_POSITION] = 12
    control.words[layout.EPOCH] = 4
    _, seen = segment.attach_control(segment_name, DIGEST, read_only=True)
    assert seen.processes[63]["position"] == 12 and seen.words[layout.EPOCH] == 4
    assert try_lock(control.lock) == ACQUIRED and unlock(control.lock) == 0


def test_arrays_outlive_close(segment_name: str) -> None:
    made, ring = segment.create_broadcast(segment_name, RECORD_DTYPE, 32, DIGEST, IDENTITY)
    made.close()
    made.close()
    ring.records[0]["word_0"] = 1
    assert ring.records[0]["word_0"] == 1
