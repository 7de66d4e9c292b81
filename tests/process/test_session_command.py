"""Goal: what an operator says of sessions holds at once, at every gateway, and over a restart.

Method: `shmx session` as it is typed, on one exchange with two order gateways and a feed, and what
clients of raw bytes then may and may not do.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shm_exchange.accounts import FILE
from shm_exchange.cli import commands
from shm_exchange.errors import ExchangeError
from tests.gateways.ouch_cases import enter
from tests.process.conftest import Exchange
from tests.process.trading import MARKET, RawClient, barrier, login, packet, ports, running

RESERVED = """\
[[session]]
username = "R01"
reserved = true
[[session]]
username = "R02"
reserved = true
firm = "ACME"
cancel_on_disconnect = true
"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    with running(tmp_path_factory.mktemp("sessions"), MARKET + RESERVED) as it:
        yield it


def shmx(it: Exchange, *words: str, stdin: str = "") -> Result:
    """`shmx session WORDS`."""
    return CliRunner().invoke(commands, ["session", *words, "--name", it.name], input=stdin)


def done(it: Exchange, *words: str, stdin: str = "") -> dict[str, Any]:
    """The same with --json, when it must succeed."""
    result = shmx(it, *words, "--json", stdin=stdin)
    assert result.exit_code == 0, result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def listed(it: Exchange, session: str) -> dict[str, Any]:
    """A session's row of the list."""
    rows = done(it, "list")["sessions"]
    row: dict[str, Any] = next(each for each in rows if each["session"] == session)
    return row


def may_log_in(port: int, session: str, password: str) -> bool:
    """Whether it is let in; it is gone again afterwards."""
    with RawClient(port) as client:
        client.send(login(session, password))
        answer = client.packet()
        assert answer[:1] in b"AJ"
        return answer[:1] == b"A"


def is_out(it: Exchange, session: str) -> bool:
    """Whether the matcher has heard of its logout; waits for that."""
    it.wait_until(lambda _: not listed(it, session)["connected"])
    return True


def test_the_list_says_what_a_session_has(market: Exchange) -> None:
    """Where it is connected, its numbers, its orders; of a reserved one that it is."""
    port = ports(market)[1]
    with RawClient(port) as client:
        client.log_in("S01", sequence=0)
        client.say(enter(user_ref=7, symbol=b"A01     ", quantity=10, price=100_000))
        assert [each[:1] for each in barrier(client)] == [b"A"]
        row = listed(market, "S01")
        assert row["connected"] and row["gateway"] == f"127.0.0.1:{port}"
        assert (row["last_user_ref"], row["open_orders"]) == (7, 1)
        assert row["next_message"] == 4  # behind System Event, Accepted and the query's answer
        assert (row["account"], row["entry"]) == ("open", "enabled")
    assert is_out(market, "S01")
    assert listed(market, "R01")["account"] == "reserved"
    assert listed(market, "R02")["firm"] == "ACME"


def test_who_leaves_in_good_order_is_not_worth_a_line(market: Exchange) -> None:
    """A logout is not, a connection that is lost is."""
    port = ports(market)[0]
    with RawClient(port) as client:
        client.log_in("S02", sequence=0)
        client.send(packet(b"O"))
        client.wait_closed()
    with RawClient(port) as client:
        client.log_in("S03", sequence=0)
    market.wait_until(lambda _: "(S03): disconnected, the peer closed it" in market.messages)
    assert "(S02)" not in market.messages


def test_who_is_kicked_may_come_back(market: Exchange) -> None:
    """At orders and at the feed; everybody else stays."""
    with (
        RawClient(ports(market)[0]) as client,
        RawClient(ports(market, "market_data")[0]) as feed,
        RawClient(ports(market)[0]) as other,
    ):
        client.log_in("S02", sequence=0)
        feed.log_in("S02", sequence=0)
        other.log_in("S03", sequence=0)
        assert done(market, "kick", "s02") == {"session": "S02"}
        client.wait_closed()
        feed.wait_closed()
        assert barrier(other) == []
        line = "(S02): disconnected, an operator kicked it"
        market.wait_until(lambda _: market.messages.count(line) == 2)
        assert is_out(market, "S02")
    assert may_log_in(ports(market)[0], "S02", "demo")


def test_who_is_disabled_is_out_until_enabled(market: Exchange) -> None:
    """Also at a gateway that was started after that."""
    before = market.wait_ready()["gateways"]
    with RawClient(ports(market)[1]) as client:
        client.log_in("S04", sequence=0)
        done(market, "disable", "S04")
        client.wait_closed()
    assert listed(market, "S04")["account"] == "disabled"
    dead = before[1]["pid"]
    os.kill(dead, signal.SIGKILL)
    market.wait_until(
        lambda found: found["state"] == "ready" and found["gateways"][1]["pid"] not in (None, dead)
    )
    assert [may_log_in(port, "S04", "demo") for port in ports(market)] == [False, False]
    done(market, "enable", "S04")
    assert may_log_in(ports(market)[1], "S04", "demo")


def test_a_password_changes_at_once(market: Exchange) -> None:
    """It is read from stdin and kept as a hash that only the owner may read."""
    here, there = ports(market)
    assert may_log_in(here, "S05", "demo")
    done(market, "password", "S05", stdin="Secret\n")
    assert [may_log_in(here, "S05", each) for each in ("demo", "secret")] == [False, True]
    assert may_log_in(there, "S05", "SECRET")
    kept = market.state / FILE
    assert "$argon2" in kept.read_text() and "ecret" not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    done(market, "password", "S05", "--as-configured")
    assert [may_log_in(here, "S05", each) for each in ("demo", "secret")] == [True, False]


def test_what_cannot_be_is_refused(market: Exchange) -> None:
    """The reason with the remedy, and nothing has changed. 2: no exchange could take it."""
    before = (market.state / FILE).read_bytes()
    for words, stdin, reason in (
        (("kick", "NOBODY"), "", "there is no session NOBODY"),
        (("kick", "R01"), "", "there is no session R01"),
        (("password", "S06"), "much too long\n", "a password is 1 to 10"),
        (("password", "S06"), "Demo\n", "choose another password"),
        (("create", "S06"), "secret\n", "there is a session S06 already"),
        (("create", "TOOLONG"), "secret\n", "1 to 6 printable"),
        (("create", "NEW", "--firm", "OTHE"), "secret\n", "`reserved = true`"),
    ):
        result = shmx(market, *words, stdin=stdin)
        assert isinstance(result.exception, ExchangeError) and result.stdout == ""
        assert reason in str(result.exception)
        assert result.exception.exit_code == (2 if "TOOLONG" in words else 1)
    assert (market.state / FILE).read_bytes() == before


def test_a_reserved_session_is_created_live_and_stays(market: Exchange) -> None:
    """It trades at once, as what its row is configured to be; a second one has no room."""
    assert not may_log_in(ports(market)[0], "R02", "")
    answer = done(market, "create", "NEW", "--firm", "ACME", stdin="secret\n")
    assert answer["session"] == "NEW" and answer["firm"] == "ACME"
    with RawClient(ports(market)[0]) as client:
        client.log_in("NEW", password="secret", sequence=0)
        client.say(enter(user_ref=1, symbol=b"A02     ", quantity=10, price=100_000))
        assert [each[:1] for each in barrier(client)] == [b"A"]
        assert listed(market, "NEW")["open_orders"] == 1
        done(market, "disable", "NEW")
        client.wait_closed()
    assert is_out(market, "NEW")
    assert listed(market, "NEW")["open_orders"] == 0  # it cancels on disconnect
    refused = shmx(market, "create", "N2", "--firm", "ACME", stdin="secret\n")
    assert "no reserved session of firm ACME is left" in str(refused.exception)
    done(market, "enable", "NEW")
    assert market.stop() == 0
    market.start()
    assert may_log_in(ports(market)[0], "NEW", "secret")
    assert not may_log_in(ports(market)[0], "R02", "secret")
