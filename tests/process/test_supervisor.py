"""Goal: an exchange comes up, stays up when its processes are killed, and leaves nothing behind.

Method: `shmx run` in a process of its own, real signals, and what `shmx status` says of it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from shm_exchange.config import NOBODY_TRADES
from shm_exchange.errors import NotRunningError
from tests.process.conftest import (
    ENGINES,
    MARKET_DATA_GATEWAY,
    ORDER_GATEWAY,
    ROOT,
    WAIT_SECONDS,
    Exchange,
    is_alive,
)

Make = Callable[..., Exchange]
WITHOUT_STANDBY = ENGINES.replace("[[engine]]", "[[engine]]\nstandbys = 0")
WITHOUT_RECORDER = ENGINES.replace("[[engine]]", "[[engine]]\nrecorder = false")
TWO_ENGINES = ENGINES + '[[engine]]\nid = 2\n[[instrument]]\nsymbol = "X"\nengine = 2\ntick = 1\n'


def engine(found: dict[str, Any]) -> dict[str, Any]:
    """The first engine of a status."""
    row: dict[str, Any] = found["engines"][0]
    return row


def wait_dead(pids: list[int]) -> None:
    """Wait until the processes are gone."""
    deadline = time.monotonic() + WAIT_SECONDS
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, pids
        time.sleep(0.01)


@pytest.mark.parametrize(
    "configuration", [ENGINES, WITHOUT_RECORDER, TWO_ENGINES], ids=["usual", "memory", "two"]
)
def test_it_starts_and_stops_without_a_trace(exchange: Make, configuration: str) -> None:
    """Ctrl-C: exit code 0, no process, nothing in shared memory, nothing but READY on stdout."""
    it = exchange(configuration)
    it.start()
    found = it.status()
    assert found["state"] == "ready"
    for each in found["engines"]:
        assert each["matcher_pid"] and len(each["standby_pids"]) == 1
        assert (each["recorder_pid"] is None) == (configuration == WITHOUT_RECORDER)
    pids = [each["pid"] for each in found["processes"]]
    assert all(map(is_alive, pids))
    assert it.stop() == 0
    assert not any(map(is_alive, pids))
    assert it.segments == []
    said = [line for line in it.messages.splitlines() if "compiling" not in line]
    assert len(said) == 1 and NOBODY_TRADES in said[0]
    with pytest.raises(NotRunningError, match="no exchange named"):
        it.status()


def test_positions_go_on_after_a_restart(exchange: Make) -> None:
    """Everything published is in the journal when the exchange has ended, and the next goes on."""
    it = exchange()
    it.start()
    published = engine(it.status())["published"]
    assert published > 0
    assert it.stop() == 0
    it.start()
    # The new matcher's reign, and the state hash of each when it had nothing to do.
    assert published < engine(it.status())["published"] <= published + 3
    assert it.stop() == 0


def test_a_second_exchange_is_refused(exchange: Make) -> None:
    """The name and the state directory each have one owner: exit code 75, and no harm done."""
    it = exchange()
    it.start()
    for options, reason in (
        ({"state": it.folder / "elsewhere"}, "runs already"),
        ({"name": it.name + "b"}, "belongs to an exchange that runs"),
    ):
        second = subprocess.run(
            it.command(**options), capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (second.returncode, second.stdout) == (75, "")
        assert reason in second.stderr and len(second.stderr.splitlines()) == 1
    assert it.wait_ready()["state"] == "ready"
    assert it.stop() == 0


def test_a_standby_succeeds_the_matcher(exchange: Make) -> None:
    """Twice: the standby is the matcher, the epoch has grown, there is a new standby."""
    it = exchange()
    it.start()
    for reign in (2, 3):
        before = engine(it.wait_ready())
        os.kill(before["matcher_pid"], signal.SIGKILL)
        after = it.wait_until(
            lambda found, epoch=reign: found["state"] == "ready" and engine(found)["epoch"] == epoch
        )
        assert engine(after)["matcher_pid"] == before["standby_pids"][0]
        assert engine(after)["standby_pids"] not in ([], before["standby_pids"])
        roles = {each["process"]: each["role"] for each in after["processes"]}
        assert roles == {0: "matcher", 1: "recorder", 2: "standby"}
    assert it.stop() == 0
    assert it.segments == []


def test_several_standbys_queue(exchange: Make) -> None:
    """The writer is killed three times, faster than a process starts: each is succeeded at once."""
    it = exchange(ENGINES.replace("[[engine]]", "[[engine]]\nstandbys = 3"))
    it.start()
    found = engine(it.status())
    assert len(found["standby_pids"]) == 3
    victims = []
    for reign in (2, 3, 4):
        victims.append(found["matcher_pid"])
        os.kill(victims[-1], signal.SIGKILL)
        after = it.wait_until(
            lambda now, epoch=reign, dead=victims: (
                engine(now)["epoch"] == epoch and engine(now)["matcher_pid"] not in (None, *dead)
            )
        )
        found = engine(after)
    after = it.wait_ready()
    assert engine(after)["epoch"] == 4
    assert len(set(engine(after)["standby_pids"]) - {*victims, found["matcher_pid"]}) == 3
    assert it.stop() == 0


@pytest.mark.parametrize("configuration", [ENGINES, WITHOUT_STANDBY], ids=["both", "alone"])
def test_a_matcher_without_a_living_standby_is_restarted(
    exchange: Make, configuration: str
) -> None:
    """Whoever comes next finds the dead one's lock and goes on with its market."""
    it = exchange(configuration)
    it.start()
    before = engine(it.status())
    for pid in (*before["standby_pids"], before["matcher_pid"]):
        os.kill(pid, signal.SIGKILL)
    after = it.wait_until(lambda found: found["state"] == "ready" and engine(found)["epoch"] > 1)
    assert engine(after)["matcher_pid"] not in (None, before["matcher_pid"])
    assert engine(after)["published"] > before["published"]
    assert it.stop() == 0


def test_a_gateway_that_is_the_matcher_as_well(exchange: Make) -> None:
    """Without standbys gateways succeed: no process is started, until one of them dies.

    Then the other gateway is the matcher, and the dead one's place is filled. The end is clean: the
    gateway stays until everything is matched.
    """
    it = exchange(WITHOUT_STANDBY + 2 * ORDER_GATEWAY)
    it.start()
    gateways = {each["pid"] for each in it.status()["gateways"]}
    for reign in (2, 3):
        dead = engine(it.status())["matcher_pid"]
        os.kill(dead, signal.SIGKILL)
        after = it.wait_until(
            lambda found, epoch=reign: found["state"] == "ready" and engine(found)["epoch"] == epoch
        )
        assert engine(after)["matcher_pid"] in gateways - {dead}
        assert engine(after)["standby_pids"] == []
        assert len({each["pid"] for each in after["gateways"]} - {dead}) == 2
    restarts = it.running()["restarts"]
    assert restarts.pop("matcher of engine 1") == 0
    assert sum(restarts.values()) == 1
    assert it.stop() == 0
    assert it.segments == []


def test_a_gateway_is_the_matcher_only_until_a_standby_can_be(exchange: Make) -> None:
    """It hands over to the first that is ready, and stays a gateway. Until then: degraded."""
    it = exchange(ENGINES + ORDER_GATEWAY)
    it.start()
    before = it.status()
    gateways = {each["pid"] for each in before["gateways"]}
    supervisor = it.running()["pid"]
    os.kill(supervisor, signal.SIGSTOP)  # no standby is started meanwhile
    for pid in (*engine(before)["standby_pids"], engine(before)["matcher_pid"]):
        os.kill(pid, signal.SIGKILL)
    it.wait_until(lambda found: engine(found)["matcher_pid"] in gateways)
    os.kill(supervisor, signal.SIGCONT)
    it.wait_until(lambda found: found["state"] == "degraded")
    after = it.wait_ready()
    assert engine(after)["epoch"] == 3
    assert engine(after)["matcher_pid"] not in gateways
    assert {each["pid"] for each in after["gateways"]} == gateways
    assert len(engine(after)["standby_pids"]) == 1
    assert it.stop() == 0
    assert it.segments == []


@pytest.mark.parametrize("role", ["recorder", "standby", "order"])
def test_a_role_that_is_killed_comes_back(exchange: Make, role: str) -> None:
    """The rest is not disturbed: same matcher, same epoch."""
    it = exchange(ENGINES + ORDER_GATEWAY)
    it.start()
    before = it.pids()
    os.kill(before[role], signal.SIGKILL)
    wait_dead([before[role]])
    it.wait_until(lambda found: found["state"] == "ready" and it.pids().get(role) is not None)
    after = it.pids()
    assert after.pop(role) != before.pop(role)
    assert after == before
    assert engine(it.status())["epoch"] == 1
    assert sum(it.running()["restarts"].values()) == 1
    assert it.stop() == 0


def test_roles_die_with_the_supervisor(exchange: Make) -> None:
    """SIGKILL of the supervisor: no role lives on, and a new start of the same name works."""
    it = exchange()
    it.start()
    pids = list(it.pids().values())
    published = engine(it.status())["published"]
    assert it.process is not None
    it.process.kill()
    it.wait()
    wait_dead(pids)
    assert it.segments != []
    with pytest.raises(NotRunningError):
        it.status()
    it.start()
    assert engine(it.status())["published"] > published
    assert "left by an exchange that died" in it.messages
    assert it.stop() == 0
    assert it.segments == []


def test_an_impatient_second_interrupt_leaves_nothing(exchange: Make) -> None:
    """Two Ctrl-C, close together: everything ends, nothing stays."""
    it = exchange()
    it.start()
    pids = list(it.pids().values())
    it.interrupt()
    time.sleep(0.05)
    it.interrupt()
    it.wait()
    assert not any(map(is_alive, pids))
    assert it.segments == []


def test_an_interrupt_while_starting_leaves_nothing(exchange: Make) -> None:
    """Ctrl-C before READY: whoever is still starting is not waited for."""
    it = exchange()
    it.launch()
    deadline = time.monotonic() + WAIT_SECONDS
    while len(it.segments) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    it.interrupt()
    assert it.wait() == 0
    assert it.segments == []


def test_a_stopped_role_is_killed_in_the_end(exchange: Make) -> None:
    """A gateway that does not react does not keep the others from ending; exit code 1 says so."""
    it = exchange(ENGINES + ORDER_GATEWAY)
    it.start()
    os.kill(it.pids()["order"], signal.SIGSTOP)
    assert it.stop() == 1
    assert "did not end within 10 s" in it.messages
    assert it.segments == []


def test_who_is_still_starting_is_not_waited_for(exchange: Make) -> None:
    """A standby and a gateway that would take for ever to start: the end is prompt and clean."""
    it = exchange(ENGINES + ORDER_GATEWAY)
    it.start()
    before = it.pids()
    stopped = []
    for role in ("standby", "order"):
        os.kill(before[role], signal.SIGKILL)
        found = it.wait_until(
            lambda found, role=role: any(
                each["role"] == role and each["pid"] != before[role] for each in found["processes"]
            )
        )
        (row,) = [each for each in found["processes"] if each["role"] == role]
        os.kill(row["pid"], signal.SIGSTOP)
        stopped.append(row)
    assert {row["state"] for row in stopped} == {"starting"}
    assert it.stop() == 0
    assert "did not end" not in it.messages
    assert it.segments == []


def test_a_role_that_cannot_start_ends_the_exchange(exchange: Make) -> None:
    """A port that is taken after all were tried, and before its gateway: code 1, nothing left."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    it = exchange(ENGINES + MARKET_DATA_GATEWAY + f'glimpse_address = "{address}"\n')
    it.launch()
    deadline = time.monotonic() + WAIT_SECONDS
    while len(it.segments) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    with socket.create_server(("127.0.0.1", port)):
        assert it.wait() == 1
    assert f"market_data: {address}: Address already in use; choose another" in it.messages
    assert it.messages.splitlines()[-1] == (
        "shmx: the market data gateway at 127.0.0.1:0 cannot start; the reason is in the messages"
        " above"
    )
    assert it.segments == []
