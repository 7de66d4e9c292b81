"""Goal: orders leave on schedule whatever the answers do, and latency counts from the schedule.

Method: real sockets: the compiled echo, and servers in Python that stall, reject, trade or leave.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from gateways.load.logins import ReplayError
from gateways.load.offered import immediate_order, offer
from gateways.load.open_loop import MARK_DTYPE
from gateways.load.percentiles import histogram, latencies, percentiles, stages
from gateways.ouch.messages import ENTER_ORDER, ORDER_EXECUTED, REJECTED
from gateways.packets import HEADER_SIZE, SEQUENCED_TYPE
from gateways.sessions import packet
from gateways.typed import pack

ROOT = Path(__file__).parents[2]
REQUEST = immediate_order("AAPL", Decimal("0.01"), 1)
RATE, COUNT = 2_000, 400
STALL_SECONDS = 0.1
DAY_NS = 86_400_000_000_000


@contextmanager
def served(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A descriptor whose other end `serve` has, in a thread."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs,))
    thread.start()
    with ours, theirs:
        ours.setblocking(False)
        yield ours.fileno()
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def echo(client: socket.socket, stall_after: int = -1) -> None:
    """Send back what comes; after so many bytes do nothing for a while."""
    done = 0
    while data := client.recv(1 << 16):
        if done <= stall_after < done + len(data):
            time.sleep(STALL_SECONDS)
        client.sendall(data)
        done += len(data)


def answering(message: bytes) -> Callable[[socket.socket], None]:
    """A server that answers the first order with this."""

    def serve(client: socket.socket) -> None:
        client.recv(len(REQUEST))
        client.sendall(packet(SEQUENCED_TYPE, message))
        while client.recv(1 << 16):
            pass

    return serve


def test_against_the_echo() -> None:
    """Every order is answered once, from the compiled echo in a process of its own."""
    command = [sys.executable, "-m", "gateways.load.echo", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        address = ("127.0.0.1", int(process.stdout.readline()))
        with socket.create_connection(address) as client:
            client.setblocking(False)
            marks = offer(client.fileno(), REQUEST, 7, RATE, COUNT).marks
        assert process.wait(10) == 0
    assert (np.diff(marks["due_ns"]) == 1_000_000_000 // RATE).all()
    assert (marks["sent_ns"] >= marks["due_ns"]).all()
    assert (marks["answered_ns"] > marks["sent_ns"]).all()


def test_a_stall_is_counted_by_all_that_fell_due_in_it() -> None:
    """A closed loop would have one slow order; here it is as many as the schedule has."""
    half = COUNT // 2 * len(REQUEST)
    with served(lambda client: echo(client, half)) as descriptor:
        found = latencies(offer(descriptor, REQUEST, 1, RATE, COUNT).marks)
    late = found > STALL_SECONDS * 1e9 / 2
    assert late.sum() >= RATE * STALL_SECONDS / 2 * 0.9
    assert found.max() >= STALL_SECONDS * 1e9 * 0.9


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (REJECTED, "rejected an order with reason 0013"),
        (ORDER_EXECUTED, "traded an order that should not have"),
    ],
    ids=["rejected", "traded"],
)
def test_what_must_not_happen_ends_it(message: object, said: str) -> None:
    """At the first answer, with a sentence."""
    fields = {field.name: 0 for field in message.fields}  # type: ignore[attr-defined]
    fields |= {f.name: "" for f in message.fields if f.type == "a"}  # type: ignore[attr-defined]
    letter = "J" if message is REJECTED else "E"
    fields |= {"user_ref_num": 1} | ({"reason": 0x13} if message is REJECTED else {})
    del fields["type"]
    data = pack(message, letter, **fields)  # type: ignore[arg-type]
    with served(answering(data)) as descriptor, pytest.raises(ReplayError, match=said):
        offer(descriptor, REQUEST, 1, RATE, COUNT)


def test_a_server_that_leaves() -> None:
    """Orders without an answer are no measurement."""
    with served(lambda client: client.close()) as descriptor:
        with pytest.raises(ReplayError, match="closed the connection"):
            offer(descriptor, REQUEST, 1, RATE, COUNT)


def test_the_order() -> None:
    """Immediate, so nothing of it can rest; tag 143 asks for its times."""
    fields = REQUEST[HEADER_SIZE:].view(ENTER_ORDER.dtype)[0]
    assert (fields["time_in_force"], int(fields["price"])) == (ord("3"), 100)
    timed = immediate_order("AAPL", Decimal("0.01"), 1, timed=True)
    assert bytes(timed[len(REQUEST) :]) == bytes((2, 143)) + b"Y"


def test_stages_add_up() -> None:
    """Also over midnight, and without the orders that were not told."""
    marks = np.zeros(100, MARK_DTYPE)
    marks["due_ns"] = np.arange(100) * 1_000 + 5_000
    marks["clocks_apart"] = 20_000 * DAY_NS - 60_000  # the clock of the day is near its end
    for place, name in enumerate(("received", "enqueued", "matched", "published", "left")):
        marks[name] = (marks["due_ns"] + marks["clocks_apart"] + 1_000 * (place + 1)) % DAY_NS
    marks["answered_ns"] = marks["due_ns"] + 9_000
    marks["left"][-1] = 0
    *parts, whole = stages(marks)
    assert [each["all"] for each in parts] == [1_000] * 5 + [4_000]
    assert whole == {
        "stage": "whole",
        "middle_tenth": 9_000,
        "all": 9_000,
        "slowest_hundredth": 9_000,
    }


def test_percentiles() -> None:
    """To three digits, with the largest as it is."""
    found = percentiles(histogram(np.arange(1, 100_001)))
    assert found[50.0] == pytest.approx(50_000, rel=1e-3)
    assert found[99.99] == pytest.approx(99_990, rel=1e-3)
    assert found[100.0] == pytest.approx(100_000, rel=1e-3)
