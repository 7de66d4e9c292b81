"""Goal: no client takes from the others more than its share, and none is held when nobody needs it.

Method: the pump's own kernels on real sockets, at times that the test says; nobody matches, so what
a client's requests have become can be counted in the command ring.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD

import numpy as np
import pytest

from gateways import connection as c
from gateways.control import listen
from gateways.ouch import state
from gateways.ouch.clients import close_client
from gateways.ouch.intake import take_input
from gateways.ouch.messages import ENTER_ORDER
from gateways.ouch.pump import send_output, step
from gateways.ouch.shares import is_to_be_held, use_share
from gateways.packets import HEADER_SIZE, LENGTH_SIZE, UNSEQUENCED_TYPE
from tests.gateways.one_pump import PROCESS, Pump, one_pump

SHARE = 100_000  # commands a second, the default
INTERVAL_NS = 1_000_000_000 // SHARE
START_NS = 18 * 10**17  # of this century: eight times as much is more than 63 bits
PASS_NS = 1_000
PASSES_MAX = 100_000
HEARTBEAT = b"\0\1R"
HALF_SECOND_NS = 500_000_000


@pytest.fixture
def pump(tmp_path: Path) -> Iterator[Pump]:
    with one_pump(f"intake{os.getpid()}", tmp_path) as made:
        yield made


def orders(first: int, count: int) -> bytes:
    """New orders as packets, numbered from `first` on."""
    packets = np.zeros(
        count, np.dtype([("header", "u1", HEADER_SIZE), ("order", ENTER_ORDER.dtype)])
    )
    packets["header"][:, 1] = HEADER_SIZE - LENGTH_SIZE + ENTER_ORDER.size
    packets["header"][:, 2] = UNSEQUENCED_TYPE
    rows = packets["order"]
    rows["type"], rows["side"], rows["quantity"] = ord("O"), ord("B"), 100
    rows["user_ref_num"] = np.arange(first, first + count)
    rows["symbol"] = np.frombuffer(b"AAPL    ", np.uint8)
    rows["price"] = 1_000_000
    rows["time_in_force"], rows["display"], rows["capacity"] = b"0YP"
    rows["sweep"] = rows["cross_type"] = ord("N")
    rows["client_order_id"] = np.frombuffer(b"ORDER-00000000", np.uint8)
    return packets.tobytes()


def run(pump: Pump, now_ns: int, until_ns: int, pass_ns: int = PASS_NS) -> int:
    """Passes, one each `pass_ns`, as if the matcher were there at once; when the last one was."""
    while now_ns < until_ns:
        take_input(pump.pump, now_ns, 0)
        pump.all_done()
        now_ns += pass_ns
    return now_ns


def send(client: socket.socket, data: bytes) -> bytes:
    """What the socket did not take."""
    try:
        return data[client.send(data) :]
    except BlockingIOError:
        return data


def flood(pump: Pump, client: socket.socket, data: bytes, now_ns: int, until_ns: int) -> int:
    """Passes beside a client that always has something to send; when the last one was."""
    while now_ns < until_ns:
        data = send(client, data)
        now_ns = run(pump, now_ns, now_ns + 10 * PASS_NS)
    assert data, "the flood was over before the time was"
    return now_ns


def test_a_client_alone_is_not_held(pump: Pump) -> None:
    client = pump.connect(START_NS)
    waiting, now_ns = orders(1, 6_000), START_NS
    while waiting:
        waiting, now_ns = send(client, waiting), run(pump, now_ns, now_ns + 10 * PASS_NS)
    assert run(pump, now_ns, now_ns + 10_000 * PASS_NS) - START_NS < 6_000 * INTERVAL_NS
    assert pump.commands == 6_000 and pump.pump.words[state.HELD] == 0


def test_a_flood_is_held_to_its_share_while_another_client_trades(pump: Pump) -> None:
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    now_ns = START_NS
    send(quoting, orders(1, 1))
    now_ns = run(pump, now_ns, now_ns + PASS_NS)
    assert pump.commands == 1
    now_ns = flood(pump, flooding, orders(1, 10_000), now_ns, START_NS + 20_000_000)
    share = state.SHARE_BURST + 20_000_000 // INTERVAL_NS
    assert share - state.SHARE_PORTION <= pump.commands <= share + 2
    # Whoever keeps within his share is taken in the pass in which he comes.
    before = pump.commands
    take_input(pump.pump, now_ns, 0)
    pump.all_done()
    send(quoting, orders(2, 1))
    take_input(pump.pump, now_ns, 0)
    assert before < pump.commands <= before + 1 + 2 * state.MESSAGES_CONTENDED


def test_what_is_held_sleeps_until_its_time(pump: Pump) -> None:
    """It is in its socket, epoll says nothing of it, and nothing of it is lost."""
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    send(quoting, orders(1, 1))
    run(pump, START_NS, START_NS + PASS_NS)
    waiting, now_ns = orders(1, 3_000), START_NS
    while not pump.pump.words[state.HELD]:
        waiting = send(flooding, waiting)
        now_ns = run(pump, now_ns, now_ns + PASS_NS)
        assert now_ns < START_NS + PASSES_MAX * PASS_NS
    assert pump.pump.words[state.PENDING] == 0
    share = state.SHARE_BURST + (now_ns - START_NS) // INTERVAL_NS
    assert share <= pump.commands <= share + 2
    before = pump.commands
    for _ in range(5):
        assert take_input(pump.pump, now_ns, 1) == 0, "no socket is ready"
    release_ns = int(pump.pump.words[state.RELEASE_NS])
    assert take_input(pump.pump, release_ns - 1, 0) == 0 and pump.commands == before
    assert take_input(pump.pump, release_ns, 0) == 1 and pump.commands > before
    now_ns = release_ns
    while waiting:
        waiting, now_ns = send(flooding, waiting), run(pump, now_ns, now_ns + PASS_NS)
    run(pump, now_ns, now_ns + 4_000 * INTERVAL_NS)
    assert pump.commands == 3_001


def test_nobody_is_held_for_one_who_does_not_trade(pump: Pump) -> None:
    """Heartbeats are no trade, nor is an order of a second ago."""
    flooding, other = pump.connect(START_NS), pump.connect(START_NS)
    send(other, orders(1, 1))
    now_ns = run(pump, START_NS, START_NS + PASS_NS) + state.MODEST_FOR_NS
    waiting = orders(1, 5_000)
    begun_ns = now_ns
    while waiting:
        send(other, HEARTBEAT)
        waiting, now_ns = send(flooding, waiting), run(pump, now_ns, now_ns + 10 * PASS_NS)
    now_ns = run(pump, now_ns, now_ns + 3_000 * PASS_NS)
    assert pump.commands == 5_001 and now_ns - begun_ns < 2_000 * INTERVAL_NS


def test_what_nobody_needed_is_not_held_against_a_client(pump: Pump) -> None:
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    waiting, now_ns = orders(1, 6_000), START_NS
    while waiting:
        waiting, now_ns = send(flooding, waiting), run(pump, now_ns, now_ns + 10 * PASS_NS)
    send(quoting, orders(1, 1))
    now_ns = run(pump, now_ns, now_ns + 100 * PASS_NS)
    before = pump.commands
    now_ns = flood(pump, flooding, orders(6_001, 2_000), now_ns, now_ns + 100 * INTERVAL_NS)
    assert 100 - state.SHARE_PORTION <= pump.commands - before <= 100 + state.SHARE_PORTION


def test_floods_do_not_hold_each_other(pump: Pump) -> None:
    """Neither when they begin, one after the other, nor when the one goes who had them held."""
    floods = [pump.connect(START_NS), pump.connect(START_NS)]
    quoting = pump.connect(START_NS)
    left, now_ns = [orders(1, 60_000), orders(1, 60_000)], START_NS
    left[0] = send(floods[0], left[0])
    now_ns = run(pump, now_ns, now_ns + 700 * PASS_NS)
    left = [send(*each) for each in zip(floods, left, strict=True)]
    now_ns = _both_go_on(pump, floods, left, now_ns)
    send(quoting, orders(1, 1))
    for _ in range(100):
        left = [send(*each) for each in zip(floods, left, strict=True)]
        now_ns = run(pump, now_ns, now_ns + 10 * PASS_NS)
    assert pump.pump.words[state.HELD] == 2
    _both_go_on(pump, floods, left, now_ns + state.MODEST_FOR_NS)


def _both_go_on(pump: Pump, floods: list[socket.socket], left: list[bytes], now_ns: int) -> int:
    """Once it is known that both are floods; when that was shown."""
    holds = []
    for _ in range(300):
        left[:] = [send(*each) for each in zip(floods, left, strict=True)]
        now_ns = run(pump, now_ns, now_ns + 40 * PASS_NS, 20 * PASS_NS)
        holds.append(int(pump.pump.words[state.HOLDS]))
    assert all(left) and pump.pump.words[state.HELD] == 0
    assert holds[100:] == holds[100:101] * 200
    return now_ns


@pytest.mark.parametrize("change", ["the clock is set back", "no shares", "a larger share"])
def test_held_clients_go_on_when_shares_begin_anew(pump: Pump, change: str) -> None:
    """Nobody waits for a time, or at a rate, that holds no more."""
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    pump.pump.settings[state.SETTING_INTERVAL_NS] = 1_000 * INTERVAL_NS
    now_ns = run(pump, START_NS, START_NS + PASS_NS)
    send(quoting, orders(1, 1))
    waiting = send(flooding, orders(1, 1_400))
    now_ns = run(pump, now_ns, now_ns + 1_000 * PASS_NS)
    assert pump.pump.words[state.HELD] == 1 and not waiting
    if change == "the clock is set back":
        now_ns -= 3_600_000_000_000
    else:
        interval_ns = 0 if change == "no shares" else 100 * INTERVAL_NS
        pump.pump.settings[state.SETTING_INTERVAL_NS] = interval_ns
    run(pump, now_ns, now_ns + 1_000 * PASS_NS)
    assert pump.commands == 1_401


def test_quotes_are_not_had_beyond_the_share(pump: Pump) -> None:
    """However a client divides what it sends: large requests do not hide behind the tolerance."""
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    send(quoting, orders(1, 1))
    now_ns = run(pump, START_NS, START_NS + PASS_NS)
    words, number = pump.pump.words, 0
    for _ in range(state.SHARE_BURST):
        use_share(pump.pump, number, 1, now_ns)
    used, until_ns = 0, now_ns + 10_000 * INTERVAL_NS
    while now_ns < until_ns:
        for commands in (*[1] * 16, 33):
            if not is_to_be_held(pump.pump, number, now_ns):
                use_share(pump.pump, number, commands, now_ns)
                used += commands
        now_ns += INTERVAL_NS
        words[state.MODEST], words[state.MODEST_NS] = 2, until_ns
    assert used <= 10_000 + 33
    assert flooding.fileno() >= 0


def test_a_flood_of_what_is_no_request_is_held_too(pump: Pump) -> None:
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    send(quoting, orders(1, 1))
    now_ns = run(pump, START_NS, START_NS + PASS_NS)
    for _ in range(4):
        send(flooding, 1_000 * HEARTBEAT)
        now_ns = run(pump, now_ns, now_ns + 200 * PASS_NS)
    assert pump.pump.words[state.HELD] == 1 and pump.commands == 1


def at_end_of_share(pump: Pump, now_ns: int) -> int:
    """That client 0 goes on flooding; the time."""
    pump.pump.connections.rows["share_ns"][0] = now_ns + state.SHARE_BURST * INTERVAL_NS
    return now_ns


def answer(pump: Pump, number: int, size: int = 64) -> None:
    """Something to send to a client."""
    assert c.reserve_output(pump.pump.connections, number, size) >= 0
    c.commit_output(pump.pump.connections, number, size)


def received(client: socket.socket) -> int:
    """Bytes that a client has."""
    try:
        return len(client.recv(1 << 20))
    except BlockingIOError:
        return 0


@pytest.fixture
def beside_a_flood(pump: Pump) -> tuple[Pump, socket.socket, socket.socket, int]:
    """A flood that is held, a client that quotes, and when that is."""
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    send(quoting, orders(1, 1))
    now_ns = flood(pump, flooding, orders(1, 10_000), START_NS, START_NS + state.ANSWERS_WAIT_NS)
    assert pump.pump.words[state.HELD] == 1
    return pump, flooding, quoting, now_ns


def test_answers_to_a_flood_wait_for_more(
    beside_a_flood: tuple[Pump, socket.socket, socket.socket, int],
) -> None:
    """Not those to whoever trades beside it; and none for longer than was said."""
    pump, flooding, quoting, now_ns = beside_a_flood
    answer(pump, 0)
    send_output(pump.pump, now_ns)
    assert received(flooding) == 64, "nothing was sent for a while: there is no reason to wait"
    last_ns = at_end_of_share(pump, now_ns + state.ANSWERS_WAIT_NS - 1)
    for _ in range(10):
        answer(pump, 0)
        answer(pump, 1)
        send_output(pump.pump, last_ns)
        assert received(flooding) == 0 and received(quoting) == 64
    send_output(pump.pump, at_end_of_share(pump, last_ns + 1))
    assert received(flooding) == 640
    answer(pump, 0, c.outbound_size(pump.pump.connections) // 8)
    send_output(pump.pump, last_ns + 1)
    assert received(flooding) > 0, "as many do not wait"


def test_answers_do_not_wait_without_a_flood(pump: Pump) -> None:
    """Nor to who is silent, whatever others do; nor to one that is alone, whatever it does."""
    alone, silent = pump.connect(START_NS), pump.connect(START_NS)
    send(alone, orders(1, 1))
    now_ns = run(pump, START_NS, START_NS + PASS_NS)
    answer(pump, 1)
    send_output(pump.pump, now_ns)
    assert received(silent) == 64
    for _ in range(960):  # all of a tolerance but the last
        use_share(pump.pump, 0, 1, now_ns)
        answer(pump, 0)
        send_output(pump.pump, now_ns)
        assert received(alone) == 64
    assert pump.pump.words[state.MODEST] == 1


@pytest.mark.parametrize("ends", ["the connection", "flooding", "trading", "the time", "room"])
def test_answers_that_wait_are_not_lost(
    beside_a_flood: tuple[Pump, socket.socket, socket.socket, int], ends: str
) -> None:
    pump, flooding, _, now_ns = beside_a_flood
    at_end_of_share(pump, now_ns)
    answer(pump, 0)
    send_output(pump.pump, now_ns)
    answer(pump, 0)
    send_output(pump.pump, now_ns)
    assert received(flooding) == 64
    if ends == "the connection":
        close_client(pump.pump, 0, c.CLOSE_DRAIN, now_ns)
    elif ends == "trading":
        pump.pump.words[state.MODEST_NS] = now_ns
    elif ends == "the time":  # the clock was set back
        now_ns -= 1
    elif ends == "room":  # half of the places for times that others want to be told too (tag 143)
        pump.pump.words[state.TIMED_COUNT] = state.TIMED_LIMIT // 2
    else:
        now_ns += state.SHARE_BURST * INTERVAL_NS // 8
    send_output(pump.pump, now_ns)
    assert received(flooding) == 64


@pytest.mark.parametrize("held", [False, True])
def test_a_connection_that_has_ended(pump: Pump, *, held: bool) -> None:
    """At once when it is held: its session may have orders that go with it."""
    flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
    if held:
        send(quoting, orders(1, 1))
    now_ns = run(pump, START_NS, START_NS + PASS_NS)
    send(flooding, orders(1, 1_400))
    now_ns = run(pump, now_ns, now_ns + 1_000 * PASS_NS)
    assert pump.pump.words[state.HELD] == int(held)
    before = pump.commands
    flooding.close()
    take_input(pump.pump, now_ns, 1 if held else 0)
    assert pump.pump.words[state.HELD] == pump.pump.words[state.PENDING] == 0
    assert pump.pump.connections.rows["state"][0] == c.UNUSED
    assert pump.commands == before


def test_shares_can_be_switched_off(tmp_path: Path) -> None:
    with one_pump(f"intake{os.getpid()}", tmp_path, "fair_share_per_second = 0") as pump:
        flooding, quoting = pump.connect(START_NS), pump.connect(START_NS)
        send(quoting, orders(1, 1))
        now_ns = run(pump, START_NS, START_NS + PASS_NS)
        waiting = orders(1, 5_000)
        while waiting:
            waiting, now_ns = send(flooding, waiting), run(pump, now_ns, now_ns + 10 * PASS_NS)
        now_ns = run(pump, now_ns, now_ns + 3_000 * PASS_NS)
        assert pump.commands == 5_001 and now_ns - START_NS < 2_000 * INTERVAL_NS


def test_who_waits_for_the_matcher_sleeps_until_it_rings(pump: Pump) -> None:
    """A gateway that looked on instead would keep the core that the matcher may be waiting for."""
    client = pump.connect(START_NS)
    send(client, orders(1, 200))
    while pump.commands < state.COMMANDS_UNDER_WAY:
        step(pump.pump, 0)
    bell = int(pump.pump.bells[PROCESS])
    os.eventfd_write(bell, 1)
    step(pump.pump, 1)
    with pytest.raises(BlockingIOError):  # it was slept on, and heard
        os.eventfd_read(bell)


def test_what_nobody_reads_is_bounded_by_its_socket() -> None:
    """A receive buffer that the kernel may enlarge takes tens of megabytes of a flood at once."""
    data = bytes(1 << 22)
    with listen("127.0.0.1", 0) as listener:
        listener.settimeout(10)
        with socket.create_connection(listener.getsockname()) as client:
            client.setblocking(False)
            accepted, _ = listener.accept()
            with accepted:
                for _ in range(20):  # all is read that is sent: that makes buffers grow
                    left = len(data) - len(send(client, data))
                    while left:
                        left -= len(accepted.recv(left))
                while len(send(client, data)) < len(data):
                    pass
                waiting = array("i", [0])
                ioctl(accepted, FIONREAD, waiting)
                assert 0 < waiting[0] <= 1 << 18
