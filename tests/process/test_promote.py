"""Goal: a reign ends as planned and loses nothing, or is not ended and the reason is said.

Method: `shmx promote` and `shmx drill` as an operator types them, with a client in the middle of
things; the admin socket with whatever may be sent to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from gateways.client import Side
from shm_exchange.admin import SOCKET
from shm_exchange.journal_segment import Owner
from shm_exchange.presence import read_identity
from shm_exchange.snapshot import snapshot_paths, verify_snapshot
from tests.process.conftest import ENGINES, ROOT, Exchange
from tests.process.test_takeover import PORTION, drain, engine, feed_orders
from tests.process.trading import order_client, play, ports, running

ALONE = ENGINES.replace("[[engine]]", "[[engine]]\nstandbys = 0\nrecorder = false")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("handover")) as it:
        yield it


def shmx(it: Exchange, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Type a command for this exchange."""
    command = [sys.executable, "-m", "shm_exchange.cli", *arguments, "--name", it.name]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_orders_go_on_through_a_handover(market: Exchange) -> None:
    """Each is accepted once, in sequence; the standby is the matcher, and the next one is warm."""

    async def scenario() -> None:
        before = engine(market)
        loop = asyncio.get_running_loop()
        async with await order_client(ports(market)[0], "S01", sequence=0) as client:
            first, sent = client.next_sequence, 0
            report = loop.run_in_executor(None, shmx, market, "promote", "--json")
            while sent < 3000 or not report.done():
                for _ in range(PORTION):
                    await client.enter(Side.BUY, 1 + sent % 900, "A01", "10.00")
                    sent += 1
                await asyncio.sleep(0.02)
            heard = await drain(client)
        outcome = await report
        assert outcome.returncode == 0, outcome.stderr
        found = json.loads(outcome.stdout)
        assert (found["pid_before"], found["epoch_before"]) == (
            before["matcher_pid"],
            before["epoch"],
        )
        assert found["pid"] == before["standby_pids"][0]
        assert found["epoch"] == before["epoch"] + 1
        assert 0 < found["gap_ns"] < found["total_ns"]
        assert [each.sequence for each in heard] == list(range(first, first + sent))
        accepted = [each.message for each in heard]
        assert [each.user_ref_num for each in accepted] == list(range(1, sent + 1))
        resting = await feed_orders(market, "A01", sent)
        assert resting == {each.order_reference_number: each.quantity for each in accepted}
        assert engine(market)["matcher_pid"] == found["pid"]

    play(scenario())


def test_a_drill_says_that_all_is_well(market: Exchange) -> None:
    """Twice in a row: each waits for the standby that the next one needs."""
    for _ in range(2):
        before = engine(market)
        outcome = shmx(market, "drill", "--json")
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        found = json.loads(outcome.stdout)
        checks = ("passed", "epoch_is_next", "events_contiguous", "standby_refilled")
        assert [found[each] for each in checks] == [True] * 4
        assert found["replicas_agree"] is True
        after = engine(market)
        assert after["epoch"] == before["epoch"] + 1 == found["epoch"]
        assert after["agreement"] is True


def test_a_snapshot_when_an_operator_wants_one(market: Exchange) -> None:
    """It has all that was published, and is there when the command returns."""
    before = engine(market)["published"]
    outcome = shmx(market, "snapshot", "--json")
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert found["engine"] == 1 and found["position"] >= before > 0
    newest, path = snapshot_paths(market.state, 1)[0]
    assert newest >= found["position"]
    verify_snapshot(path, Owner.of(read_identity(market.state), 1))


def test_status_says_whether_replicas_agree(market: Exchange) -> None:
    """After a pause of the market everybody has compared the same hash."""
    found = market.wait_until(
        lambda found: all(
            each["attested"] == found["engines"][0]["published"]
            for each in found["processes"]
            if each["role"] in ("matcher", "standby")
        )
    )
    assert found["engines"][0]["attested"] == found["engines"][0]["published"]
    assert {each["differs"] for each in found["processes"]} == {None}


def refused(it: Exchange, command: str, *arguments: str) -> str:
    """The one sentence that a command ends with."""
    outcome = shmx(it, command, *arguments)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    (sentence,) = outcome.stderr.splitlines()
    return sentence


@pytest.mark.parametrize("command", ["promote", "drill"])
def test_a_stopped_standby_is_not_promoted(market: Exchange, command: str) -> None:
    """It would not come: refused, and the matcher stays."""
    before = engine(market)
    (standby,) = before["standby_pids"]
    os.kill(standby, signal.SIGSTOP)
    try:
        said = refused(market, command)
        assert f"process {standby} is stopped; try again when `shmx status` says ready" in said
    finally:
        os.kill(standby, signal.SIGCONT)
    assert engine(market)["epoch"] == before["epoch"]


def test_an_engine_that_is_not_there(market: Exchange) -> None:
    """Named with those that are."""
    assert "there is no engine 9 here; known are: 1" in refused(market, "promote", "--engine", "9")
    assert "there is no engine 9 here; known are: 1" in refused(market, "snapshot", "--engine", "9")


def test_without_a_standby_nobody_is_promoted(exchange: Callable[..., Exchange]) -> None:
    """None is configured: that is said, and of the recorder too. Without an exchange as well."""
    it = exchange(ALONE)
    it.start()
    said = refused(it, "promote")
    assert "no standby that could take over: none is configured; set `standbys` in" in said
    said = refused(it, "snapshot")
    assert "has no recorder now, and so nobody takes snapshots; set `recorder = true` in" in said
    assert it.stop() == 0
    assert "no exchange named" in refused(it, "drill")


def test_whatever_is_sent_is_answered_or_dropped(market: Exchange) -> None:
    """Rubbish, silence, half a line, too much: the exchange is asked afterwards and is well."""
    path = market.state / SOCKET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    folder = os.open(market.state, os.O_PATH)
    address = f"/proc/self/fd/{folder}/{SOCKET}"
    silent = []
    for _ in range(12):
        silent.append(socket.socket(socket.AF_UNIX))
        silent[-1].connect(address)
        silent[-1].sendall(b'{"do": "hand')
    for rubbish in (b"\n", b"[]\n", b"\xff\xfe\n", b'{"do": ["x"]}\n', b'{"do": "fly"}\n'):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(address)
            client.sendall(rubbish)
            answer = json.loads(client.recv(1 << 16))
            assert answer["ok"] is False and "known are: " in answer["reason"]
            assert client.recv(1) == b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(address)
        with pytest.raises(ConnectionError):
            while True:
                client.sendall(b"x" * 65536)
    for each in silent:
        each.close()
    os.close(folder)
    assert market.wait_ready()["state"] == "ready"
