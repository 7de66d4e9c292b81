"""Goal: what monitoring asks over HTTP is answered, and nobody who asks badly does harm.

Method: a running exchange, urllib as the scraper, prometheus_client's own parser, dead sockets.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateways.client import OuchClient, Side
from shm_exchange import snapshot_request
from tests.process.conftest import ENGINES, METRICS, ORDER_GATEWAY, Exchange
from tests.process.trading import settle, trade
from tests.shm_exchange.test_metric_families import alarm_expressions, expressions, promtool


def test_monitoring(exchange: Callable[..., Exchange]) -> None:
    """Metrics parse and agree with the status; health; instruments; scrapers that hang."""
    it = exchange(ENGINES + METRICS + ORDER_GATEWAY)
    it.start()
    address = it.status()["metrics"]
    assert f"metrics at http://{address}/metrics" in it.ready_line

    def get(page: str) -> str:
        with urllib.request.urlopen(f"http://{address}{page}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(get("/metrics"))
        for sample in family.samples
    }
    assert values[("shmx_ready",)] == 1
    assert values[("shmx_events_published_total", "1")] == it.status()["engines"][0]["published"]
    assert values[("shmx_epoch", "1")] == 1
    assert values[("shmx_process_lag_events", "1", "2", "standby")] == 0
    assert values[("shmx_durability_window_events", "1")] >= 0
    assert get("/healthz") == "ok\n"
    assert get("/readyz") == "ready\n"
    (instrument,) = json.loads(get("/instruments"))
    assert instrument["symbol"] == "AAPL"
    assert (instrument["tick"], instrument["engine"]) == ("0.01", 1)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get("/nothing")

    async def scenario(client: OuchClient) -> None:
        await client.enter(Side.BUY, 1, "AAPL", "1.00")
        await settle(client)

    trade(it, "T01", scenario)
    snapshot_request.take(it.name, None)
    it.wait_until(lambda found: found["engines"][0]["agreement"] is True)
    text = get("/metrics")
    (journal,) = it.status()["journals"]
    assert journal["snapshot"] > 0 and 0 < journal["sync_seconds_last"] <= journal["sync_seconds"]
    exported = set(re.findall(r"^(shmx_\w+)[ {]", text, re.MULTILINE))
    texts = [*expressions(), *alarm_expressions()]
    asked = {name for each in texts for name in re.findall(r"\bshmx_\w+", each)}
    assert asked and asked <= exported
    if shutil.which("promtool"):  # tests/shm_exchange/test_metric_families.py says where it is not
        checked = promtool("check", "metrics", text=text.encode())
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")

    host, _, port = address.rpartition(":")
    hanging = [socket.create_connection((host, int(port))) for _ in range(20)]
    assert it.wait_ready()["state"] == "ready"
    assert it.stop() == 0
    for each in hanging:
        each.close()
