"""Goal: a full disk stops new orders, not the exchange; when there is room again all goes on.

Method: `shmx run` with its state on a file system of a few megabytes, which a large file fills.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from shm_exchange.journal import Journal
from shm_exchange.journal_layout import JOURNAL_HEADER, PAGE_SIZE
from shm_exchange.journal_segment import Owner
from shm_exchange.presence import identity_of
from tests.gateways.ouch_cases import cancel, enter, replace
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    METRICS,
    ORDER_GATEWAY,
    ROOT,
    Exchange,
)
from tests.process.trading import RawClient, _numbers, barrier, ports
from tests.small_disk import fill, may_mount, small_disk

SYMBOL = b"AAPL    "
RING = 4096
CONFIGURATION = (
    ENGINES.replace("event_ring_records = 65536", f"event_ring_records = {RING}").replace(
        "[[engine]]",
        "[[engine]]\njournal_segment_bytes = 262144\ndisk_reserve_bytes = 262144",
    )
    + ORDER_GATEWAY
    + MARKET_DATA_GATEWAY
)
NO_SPACE = 0x8006
PER_BARRIER = 100


def order(user_ref: int) -> bytes:
    """An order that rests."""
    return enter(user_ref=user_ref, symbol=SYMBOL, side=b"B", price=100_000, quantity=100)


def reason(message: bytes) -> int:
    """Of a reject."""
    assert message[:1] == b"J"
    return int(struct.unpack_from(">H", message, 13)[0])


def test_a_disk_that_fills_up(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Refused orders, cancels that work, a matcher that waits, and everything after that."""
    if not may_mount(request):
        return
    it = Exchange(tmp_path, CONFIGURATION, f"pt{os.getpid()}x{next(_numbers)}")
    with small_disk(it.state, 12 << 20):
        try:
            it.start()
            assert it.status()["engines"][0]["disk"] == "ok"
            _fill_up(it)
            assert it.stop() == 0
        finally:
            it.destroy()


def _fill_up(it: Exchange) -> None:
    ballast = fill(it.state)
    with RawClient(ports(it)[0]) as client:
        client.log_in("T01")
        number = 0
        heard: list[bytes] = []
        while number < 20_000 and not any(each[:1] == b"J" for each in heard[-PER_BARRIER:]):
            for _ in range(PER_BARRIER):
                number += 1
                client.say(order(number))
            heard += barrier(client)
        accepted = sum(each[:1] == b"A" for each in heard)
        assert reason(heard[-1]) == NO_SPACE and accepted > PER_BARRIER
        assert it.status()["engines"][0]["disk"] == "short"
        number += 1
        client.say(replace(user_ref=number, original_user_ref=1, quantity=50, price=100_000,
                           time_in_force=b"0", display=b"Y"))  # fmt: skip
        client.say(cancel(1, 60))
        client.say(cancel(1))
        refused, reduced, cancelled = barrier(client)
        assert reason(refused) == NO_SPACE
        assert (reduced[:1], cancelled[:1]) == (b"C", b"C"), "the original was still there"

        # Until nothing moves: refusals use the reserve up, then the ring.
        for _ in range(3 * RING):
            number += 1
            client.say(order(number))
        client.say(b"Q")
        found = it.wait_until(
            lambda found: (
                found["engines"][0]["published"] > found["engines"][0]["recorded"] + RING // 2
            )
        )
        assert found["engines"][0]["disk"] == "full" and found["state"] == "degraded"
        ballast.unlink()
        while (message := client.messages(1)[0])[:1] != b"Q":
            assert reason(message) == NO_SPACE
        it.wait_until(lambda found: found["engines"][0]["disk"] == "ok")
        accepted = [b"J"]
        for _ in range(100):  # the feed's log wants room as well
            number += 1
            client.say(order(number))
            accepted = [each[:1] for each in barrier(client)]
            if accepted == [b"A"]:
                break
            time.sleep(0.1)
        assert accepted == [b"A"]
        total = client.next_sequence - 1
    assert "new orders are refused" in it.messages and "there is room again" in it.messages
    assert it.stop() == 0
    it.start()
    with RawClient(ports(it)[0]) as client:
        assert client.log_in("T01", sequence=0).next_sequence == total + 1
        client.say(cancel(number))
        assert [each[:1] for each in barrier(client)] == [b"C"]


def in_small_memory(it: Exchange, size: int) -> subprocess.CompletedProcess[str]:
    """Start it where /dev/shm has room for `size` bytes."""
    options = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    command = ["unshare", *options, "sh", "-c", f'{mount} && exec "$@"', "sh", *it.command()]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("size", [1 << 12, 1 << 20])
def test_no_room_in_shared_memory(exchange: Callable[..., Exchange], size: int) -> None:
    """Known before any process starts: one sentence with the remedy, exit code 69."""
    it = exchange(CONFIGURATION)
    done = in_small_memory(it, size)
    assert (done.returncode, done.stdout) == (69, "")
    assert not it.state.exists()
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device; make room in /dev/shm or configure smaller" in done.stderr


def test_no_room_at_the_start(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One sentence with the remedy, exit code 69, nothing left behind."""
    if not may_mount(request):
        return
    it = Exchange(tmp_path, CONFIGURATION, f"pt{os.getpid()}x{next(_numbers)}")
    with small_disk(it.state, 1 << 20):
        fill(it.state)
        done = subprocess.run(it.command(), capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.endswith("No space left on device; make room\n")
    assert len(done.stderr.splitlines()) == 1
    assert it.segments == []


def test_a_disk_that_is_full_from_the_start(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """No READY, and no 200 at /readyz, before an order can be taken; with room it opens."""
    if not may_mount(request):
        return
    configuration = CONFIGURATION.replace("= 262144", "= 4194304") + METRICS
    it = Exchange(tmp_path, configuration, f"pt{os.getpid()}x{next(_numbers)}")
    with small_disk(it.state, 16 << 20):
        try:
            ballast = fill(it.state, left=128 << 10)  # what is written beside the journal
            it.launch()
            it.wait_until_there(lambda found: found["engines"][0]["disk"] == "full")
            found = it.wait_until(
                lambda found: all(each["state"] == "ready" for each in found["processes"])
            )
            time.sleep(0.5)
            assert it.process is not None and it.process.stdout is not None
            assert not select.select([it.process.stdout], [], [], 0)[0]
            assert found["state"] == "starting"
            with pytest.raises(HTTPError, match="503"):
                urlopen(f"http://{found['metrics']}/readyz", timeout=5)
            ballast.unlink()
            it.wait_announced()
            it.wait_ready()
            with urlopen(f"http://{it.status()['metrics']}/readyz", timeout=5) as answer:
                assert answer.status == 200
            assert it.stop() == 0
        finally:
            it.destroy()


def refusal(it: Exchange, code: int = 1) -> str:
    """The sentence with which it does not start; nothing is left in shared memory."""
    done = subprocess.run(it.command(), capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert it.segments == []
    return done.stderr


def test_a_state_directory_that_cannot_be_written(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It is named, with the remedy."""
    if not may_mount(request):
        return
    it = Exchange(tmp_path, CONFIGURATION, f"pt{os.getpid()}x{next(_numbers)}")
    with small_disk(it.state, 1 << 20):
        subprocess.run(["mount", "-o", "remount,ro", str(it.state)], check=True)
        assert refusal(it, 69).endswith("Read-only file system; choose another --state\n")


def test_a_journal_that_is_not_its_own(exchange: Callable[..., Exchange]) -> None:
    """Of another exchange, of another layout, damaged: refused by file and reason, untouched."""
    it = exchange(CONFIGURATION)
    it.state.mkdir(mode=0o700)
    journal = Journal(it.state, Owner(bytes(16), 1))
    for _ in range(3):
        journal.append([memoryview(bytes(64 * 10))], 1)
        journal.sync()
    journal.close(1)
    (path,) = it.state.glob("*.shmj")
    written = path.read_bytes()
    assert f"{path}: belongs to exchange 00000000" in (said := refusal(it))
    assert said.endswith("; name the --state that it came from\n")

    header = np.frombuffer(bytearray(written[:PAGE_SIZE]), JOURNAL_HEADER.dtype).copy()
    header["identity"] = np.frombuffer(Owner.of(identity_of(it.state), 1).identity, np.uint8)
    for field, value, reason in (
        ("layout_digest", 5, "written with another layout of events"),
        ("version", 9, "journal version 9, this build reads"),
    ):
        other = header.copy()
        other[field] = value
        path.write_bytes(with_checksum(other) + written[PAGE_SIZE:])
        before = path.read_bytes()
        assert (
            f"{path}: {reason}" in (said := refusal(it)) and "use the build that wrote it" in said
        )
        assert path.read_bytes() == before

    damaged = bytearray(with_checksum(header) + written[PAGE_SIZE:])
    damaged[PAGE_SIZE + 100] ^= 1
    path.write_bytes(damaged)
    assert f"{path}: damaged at position 0" in refusal(it)


def with_checksum(header: np.ndarray) -> bytes:
    """The first page of a segment, made good again."""
    header["checksum"] = xxh3_64_intdigest(header.tobytes()[:-8])
    return header.tobytes()
