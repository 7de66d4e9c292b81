"""Goal: what can be reloaded holds at once for who trades; anything else, and nothing has changed.

Method: one exchange whose file is edited, `shmx reload` and SIGHUP, and a client that stays. The
test's own socket is in the place of systemd's.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result

from shm_exchange.cli import commands
from shm_exchange.errors import ExchangeError
from shm_exchange.presence import CONFIGURATION_COPY
from tests.gateways.ouch_cases import enter
from tests.process.conftest import ENGINES, METRICS, ORDER_GATEWAY, WAIT_SECONDS, Exchange
from tests.process.test_unit import Manager
from tests.process.trading import MARKET, RawClient, barrier, login, ports, running

SESSIONS = """\
[[session]]
username = "L01"
password = "before"
limits.open_orders = 0
"""
FEWER = SESSIONS.replace("open_orders = 0", "open_orders = 2")


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Manager:
    """Hears what the unit says."""
    return Manager(tmp_path_factory.mktemp("manager"))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, manager: Manager) -> Iterator[Exchange]:
    """The exchange of this file."""
    environment = {"NOTIFY_SOCKET": manager.address}
    with running(tmp_path_factory.mktemp("reload"), MARKET + SESSIONS, environment) as it:
        yield it


def reload(it: Exchange) -> Result:
    """`shmx reload`."""
    return CliRunner().invoke(commands, ["reload", "--name", it.name, "--json"])


def is_let_in(it: Exchange, password: str) -> bool:
    """Whether L01 may log in with it."""
    with RawClient(ports(it)[0]) as client:
        client.send(login("L01", password))
        return client.packet()[:1] == b"A"


def order(user_ref: int) -> bytes:
    """`O` that rests."""
    return enter(user_ref=user_ref, symbol=b"A01     ", quantity=10, price=100_000)


def letters(client: RawClient) -> bytes:
    """Of all that was said."""
    return b"".join(each[:1] for each in barrier(client))


def test_what_can_be_reloaded_holds_at_once(market: Exchange, manager: Manager) -> None:
    """A limit for a session that is connected, at both gateways, and a password."""
    with RawClient(ports(market)[1]) as client:
        client.log_in("L01", password="before", sequence=0)
        for number in (1, 2):
            client.say(order(number))
        assert letters(client) == b"AA"
        manager.forget()
        market.file.write_text(MARKET + FEWER.replace("before", "after"))
        result = reload(market)
        assert result.exit_code == 0, result.exception
        assert '"session[0].password", "session[0].limits.open_orders"' in result.stdout
        assert manager.wait_for("RELOADING=1", WAIT_SECONDS)
        assert manager.wait_for("READY=1", WAIT_SECONDS)
        deadline = time.monotonic() + WAIT_SECONDS
        number, said = 3, b"A"
        while said == b"A":  # until the event is there that lets the gateway look
            assert time.monotonic() < deadline
            client.say(order(number))
            said = letters(client)
            number += 1
        assert said == b"J"
    assert [is_let_in(market, each) for each in ("before", "after")] == [False, True]


def test_what_needs_a_restart_changes_nothing(market: Exchange) -> None:
    """Every such line is named; what could have been reloaded is not either."""
    before = (market.state / CONFIGURATION_COPY).read_bytes()
    other = MARKET.replace("clients_max = 64", "clients_max = 65").replace(
        "slots_per_gateway = 65536", "slots_per_gateway = 131072"
    )
    market.file.write_text(
        other
        + SESSIONS.replace("before", "third")
        + '[[session]]\nusername = "N"\npassword = "x"\n'
    )
    result = reload(market)
    assert isinstance(result.exception, ExchangeError) and result.exception.exit_code == 78
    lines = str(result.exception).splitlines()
    named = [line.rpartition(market.file.name)[2] for line in lines]
    text = market.file.read_text().splitlines()
    for each in named:
        _, line, message = each.split(":", 2)
        assert "needs a restart" in message
        key = message.split("`")[1] if "`" in message else "[[session]]"
        assert key in text[int(line) - 1]
    assert len(named) == 5  # three gateways, the engine, and the session
    assert (market.state / CONFIGURATION_COPY).read_bytes() == before
    assert [is_let_in(market, each) for each in ("after", "third")] == [True, False]


def test_a_file_that_is_malformed_ends_nobody(market: Exchange) -> None:
    """A value of another type in the place of a number that others refer to."""
    text = (market.state / CONFIGURATION_COPY).read_text()
    market.file.write_text(text + "[[engine]]\nid = [3]\n")
    refused = reload(market)
    assert isinstance(refused.exception, ExchangeError) and refused.exception.exit_code == 78
    assert str(refused.exception).endswith("`id` is a list; write a whole number")
    assert market.status()["state"] == "ready"


def test_the_exchange_is_found_by_its_file(market: Exchange, tmp_path: Path) -> None:
    """Whatever name is in it by now; a file of another exchange is none of ours."""

    def ask(*arguments: object) -> Result:
        return CliRunner().invoke(commands, ["reload", *map(str, arguments)])

    market.file.write_text((market.state / CONFIGURATION_COPY).read_text())
    link = tmp_path / "link.toml"
    link.symlink_to(market.file)
    assert ask("--config", link).stdout == "nothing changed\n"
    market.file.write_text(MARKET.replace("[exchange]", '[exchange]\nname = "other"') + FEWER)
    refused = ask("--config", market.file)
    assert isinstance(refused.exception, ExchangeError) and refused.exception.exit_code == 78
    assert "`name` is another than that of the running exchange" in str(refused.exception)
    other = tmp_path / "other.toml"
    other.write_text(MARKET + FEWER)
    foreign = ask("--config", other, "--name", market.name)
    assert f"not started with {other}, but with {market.file}" in str(foreign.exception)
    assert "no exchange of this user runs here" in str(ask("--config", other).exception)
    more = MARKET.replace("[exchange]", "[exchange]\nrestarts_max = 9")
    market.file.write_text(more + FEWER.replace("before", "after"))
    assert "taken over: exchange.restarts_max\n" in ask("--name", market.name).stdout


def answers(address: str) -> int:
    """What the metrics' health check says."""
    with urlopen(f"http://{address}/readyz", timeout=WAIT_SECONDS) as answer:
        return int(answer.status)


def says_of_a_stranger(it: Exchange) -> int:
    """How many lines somebody who is not let in leads to."""
    before = len(it.messages.splitlines())
    assert not is_let_in(it, "wrong")
    return len(it.messages.splitlines()) - before


def test_how_much_is_said_how_often_saved_and_where_metrics_are(
    exchange: Callable[..., Exchange],
) -> None:
    """At once, in every process; what cannot be is refused with the rest."""
    text = ENGINES + ORDER_GATEWAY + METRICS + SESSIONS
    it = exchange(text)
    it.start()
    first = it.running()["metrics"]
    assert (answers(first), says_of_a_stranger(it)) == (200, 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        quiet = (
            text.replace("[exchange]", '[exchange]\nlog_level = "error"')
            .replace("[[engine]]", "[[engine]]\nsnapshot_every_events = 1000")
            .replace('[metrics]\naddress = "127.0.0.1:0"', f'[metrics]\naddress = "{address}"')
        )
        it.file.write_text(quiet)
        refused = reload(it)
        assert isinstance(refused.exception, ExchangeError) and refused.exception.exit_code == 1
        assert f"metrics cannot listen at {address}" in str(refused.exception)
        assert (answers(first), says_of_a_stranger(it)) == (200, 1)
        assert (it.state / CONFIGURATION_COPY).read_text() == text
    result = reload(it)
    assert result.exit_code == 0, result.exception
    assert it.running()["metrics"] == address
    assert (answers(address), says_of_a_stranger(it)) == (200, 0)
    with pytest.raises(URLError):
        answers(first)
    assert it.status()["journals"][0]["snapshot"] is None
    with RawClient(ports(it)[0]) as client:
        client.log_in("L01", password="before", sequence=0)
        for number in range(1, 1100):
            client.say(enter(user_ref=number, symbol=b"AAPL    ", quantity=1, price=100_000))
        assert letters(client) == b"A" * 1099
    it.wait_until(lambda found: found["journals"][0]["snapshot"] is not None)
    it.file.write_text(quiet.replace('"error"', '"warning"'))
    assert reload(it).exit_code == 0
    assert says_of_a_stranger(it) == 1
    assert it.stop() == 0


def test_a_hangup_reloads(market: Exchange) -> None:
    """Its outcome is in the log; a file that is wrong ends nobody."""
    assert market.process is not None
    market.file.write_text(MARKET + "[[session]]\n")
    os.kill(market.process.pid, signal.SIGHUP)
    market.wait_until(lambda _: "not reloaded: " in market.messages)
    assert "`username` is missing in session; add it" in market.messages
    market.file.write_text(MARKET.replace("[exchange]", "[exchange]\nrestarts_max = 3") + FEWER)
    os.kill(market.process.pid, signal.SIGHUP)
    market.wait_until(lambda _: "shmx: reloaded: exchange.restarts_max, session" in market.messages)
    assert is_let_in(market, "before")
    copy: Path = market.state / CONFIGURATION_COPY
    assert copy.read_bytes() == market.file.read_bytes()
    assert market.stop() == 0
