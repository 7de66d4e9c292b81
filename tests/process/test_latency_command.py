"""Goal: `shmx latency` measures a live exchange, shows where time goes, leaves nothing behind.

Method: the command as an operator types it, against a whole exchange; another client offers the
price that must not trade; what cannot be measured ends in one sentence.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gateways.client import OuchClient, Side
from gateways.load.percentiles import ALL, STAGES, WHOLE
from tests.process.conftest import ENGINES, ORDER_GATEWAY, ROOT, Exchange
from tests.process.trading import running, settle, trade

SECONDS_MAX = 120.0
PERCENTILES = ["p50", "p90", "p99", "p99_9", "p99_99", "max"]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with running(tmp_path_factory.mktemp("latency"), ENGINES + ORDER_GATEWAY) as it:
        yield it


def latency(it: Exchange, *options: object) -> subprocess.CompletedProcess[str]:
    """`shmx latency` to its end."""
    command = [sys.executable, "-m", "shm_exchange.cli", "latency", "--name", it.name]
    return subprocess.run(
        [*command, *map(str, options)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=SECONDS_MAX,
    )


def published(it: Exchange) -> int:
    """Events so far."""
    return int(it.status()["engines"][0]["published"])


def test_a_live_exchange(market: Exchange) -> None:
    """Every order of every rate is answered and ends at once; stages add up; the echo is beside."""
    before = published(market)
    done = latency(
        market, "--session", "T01", "--rate", 500, "--rate", 2_000, "--seconds", 0.4, "--json"
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert [each["orders_per_second"] for each in found["rates"]] == [500, 2_000]
    for each in found["rates"] + found["echo"]:
        values = [each[name] for name in PERCENTILES]
        assert values == sorted(values) and values[0] > 0
    *parts, whole = found["stages"]
    assert [each["stage"] for each in parts] == [name for name, _, _ in STAGES]
    assert whole["stage"] == WHOLE
    assert abs(sum(each[ALL] for each in parts) - whole[ALL]) <= len(parts)
    # Each is accepted and cancelled: two events, of which timed ones have a continuation. Nothing
    # rests, and the session is where it was.
    orders = 200 + 200 + 800 + 200
    assert published(market) - before >= 2 * orders
    text = latency(market, "--session", "T01", "--seconds", 0.1)
    assert text.returncode == 0 and "command ring" in text.stdout and "p99 99" in text.stdout


def test_a_session_that_is_disabled(market: Exchange) -> None:
    """The wire does not say which it is: both are named, each with its remedy."""

    def operate(*words: str) -> None:
        command = [sys.executable, "-m", "shm_exchange.cli", "session", *words]
        subprocess.run([*command, "--name", market.name], check=True, cwd=ROOT)

    operate("disable", "T05")
    done = latency(market, "--session", "T05")
    operate("enable", "T05")
    assert (done.returncode, done.stdout) == (1, "")
    assert "wrong password for T05, or an operator has disabled it; " in done.stderr
    assert "--password or in SHMX_PASSWORD, or `shmx session enable T05`" in done.stderr


def test_it_ends_at_the_first_trade(market: Exchange) -> None:
    """A price that somebody sells at: one order, not as many as were asked for."""

    async def scenario(client: OuchClient) -> None:
        await client.enter(Side.SELL, 100, "AAPL", "10.00")
        await settle(client)
        done = latency(market, "--session", "T01", "--price", "10.00", "--rate", 100)
        assert done.returncode == 1 and "choose a price farther away" in done.stderr
        executed = [each for each in await settle(client) if type(each).__name__ == "OrderExecuted"]
        assert 1 <= len(executed) < 100
        await client.cancel(1)
        await settle(client)

    trade(market, "T02", scenario)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--session", "NOBODY"], "there is no session NOBODY; the configuration has T01"),
        (["--session", "T01", "--password", "wrong"], "wrong password for T01"),
        (["--session", "T01", "--instrument", "NONE"], "there is no instrument NONE"),
        (["--session", "T01", "--price", "0.015"], "rejected an order with reason"),
    ],
    ids=["session", "password", "instrument", "price"],
)
def test_what_cannot_be_measured(market: Exchange, options: list[str], said: str) -> None:
    """One sentence, exit code 1, nothing on stdout."""
    done = latency(market, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_an_exchange_that_stops(market: Exchange) -> None:
    """It says so; the last test of this file."""
    command = [sys.executable, "-m", "shm_exchange.cli", "latency", "--name", market.name]
    options = ["--session", "T01", "--rate", "200", "--seconds", "60"]
    before = published(market)
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as measuring:
        market.wait_until(lambda found: found["engines"][0]["published"] > before + 500)
        assert market.stop() == 0
        out, err = measuring.communicate(timeout=SECONDS_MAX)
    assert (measuring.returncode, out) == (1, "")
    assert err.startswith("shmx: the exchange ") and len(err.splitlines()) == 1
