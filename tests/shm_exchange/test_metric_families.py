"""Goal: metrics say what shared memory says, promtool finds nothing to improve, and the dashboard
asks for nothing that is not exported.

Method: the memory of an engine whose lines the test fills; the real collector over it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ringbuf import layout
from ringbuf.broadcast import CLAIMED, DURABLE, PUBLISHED, RECORDED
from ringbuf.counters import observe
from shm_exchange import latencies, wiring
from shm_exchange.metric_families import ExchangeCollector
from shm_exchange.recording import (
    COUNTER_SNAPSHOT,
    COUNTER_SNAPSHOT_TIME_NS,
    COUNTER_SYNC_LAST_NS,
    COUNTER_SYNC_LONGEST_NS,
    COUNTER_SYNC_NS,
    COUNTER_SYNCS,
)
from shm_exchange.status import describe
from shm_exchange.status_storage import window_seconds
from shm_exchange.wiring import (
    COUNTER_DISK_SHORT,
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    ROLE_MATCHER,
    ROLE_ORDER,
    ROLE_RECORDER,
    ROLE_STANDBY,
    Wiring,
)

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "shm-exchange.json"
ALARMS = ROOT / "deploy" / "prometheus" / "shm-exchange.rules.yml"
SCRAPE = ROOT / "deploy" / "prometheus" / "scrape.yml"
NAME = f"metr{os.getpid()}"
NOW_NS = 5_000_000_000_000
ORDER = PROCESS_SOURCE_FIRST + 2
ROLES = {
    PROCESS_MATCHER: ROLE_MATCHER,
    PROCESS_RECORDER: ROLE_RECORDER,
    PROCESS_STANDBY_FIRST: ROLE_STANDBY,
    ORDER: ROLE_ORDER,
}
_NAME = re.compile(r"\bshmx_\w+")


def running(state_directory: Path) -> dict[str, object]:
    """What the supervisor would announce."""
    return {
        "name": NAME,
        "state": "ready",
        "metrics": None,
        "restarts": {"standby of engine 1": 2},
        "state_directory": str(state_directory),
        "engines": [{"id": 1, "standbys": 1, "recorder": True}],
        "gateways": [{"kind": "order", "source": 2, "address": "a:1", "engines": [1]}],
    }


@pytest.fixture
def engine() -> Iterator[Wiring]:
    """An engine in which everything has a value."""
    made = wiring.create(
        NAME, 1, 5, 0, event_records=1024, command_records=256, gateway_count=1, gated=True
    )
    for number, role in ROLES.items():
        row = made.control.processes[number]
        row["pid"], row["role"], row["state"] = os.getpid(), role, layout.STATE_READY
        row["position"], row["attested"], row["clients"] = 90, 80, 3
        row["heartbeat_ns"], row["started_ns"] = NOW_NS - 250_000_000, NOW_NS - 60_000_000_000
    for word, value in ((PUBLISHED, 100), (RECORDED, 70), (DURABLE, 60)):
        made.ring.cursors[word] = value
    made.ring.records["time_ns"][60] = NOW_NS - 400_000_000
    rows = made.command_cursors.view(layout.SPSC_CURSORS.dtype)
    rows["published"][2], rows["consumed"][2] = 40, 33
    made.control.words[layout.EPOCH] = 4
    counters = made.control.processes["counter"][PROCESS_RECORDER]
    counters[COUNTER_SYNCS], counters[COUNTER_SYNC_NS] = 8, 2_000_000_000
    counters[COUNTER_SYNC_LAST_NS], counters[COUNTER_SYNC_LONGEST_NS] = 1_500_000, 900_000_000
    counters[COUNTER_SNAPSHOT], counters[COUNTER_SNAPSHOT_TIME_NS] = 50, NOW_NS - 7_000_000_000
    counters[COUNTER_DISK_SHORT] = 1
    counted = latencies.create(NAME, 1, 5, 3)
    for histogram in latencies.attach(NAME, 1, 2):
        for each in (1_500, 5_000_000):
            observe(histogram, each)
    try:
        yield made
    finally:
        counted.unlink()
        wiring.remove(NAME, 1)
        made.close()


def exposed(engine: Wiring, state_directory: Path) -> bytes:
    """What a scraper would be given."""
    registry = CollectorRegistry()
    found = describe(running(state_directory), {1: engine}, NOW_NS)
    registry.register(ExchangeCollector(lambda: found))
    return generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """(name, values of its labels in the order of their names) -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_they_say_what_memory_says(engine: Wiring, tmp_path: Path) -> None:
    """Every word that the test has filled, in base units."""
    found = samples(exposed(engine, tmp_path))
    expected = {
        ("shmx_ready",): 0,  # the disk is short
        ("shmx_state", "ready"): 0,
        ("shmx_state", "degraded"): 1,
        ("shmx_restarts_total", "standby of engine 1"): 2,
        ("shmx_events_published_total", "1"): 100,
        ("shmx_events_recorded_total", "1"): 70,
        ("shmx_reigns_total", "1"): 4,
        ("shmx_agreement", "1"): 1,
        ("shmx_agreement_events", "1"): 80,
        ("shmx_durability_window_events", "1"): 40,
        ("shmx_durability_window_seconds", "1"): 0.4,
        ("shmx_event_ring_depth_records", "1"): 30,
        ("shmx_event_ring_capacity_records", "1"): 1024,
        ("shmx_commands_total", "1", "order", "2"): 40,
        ("shmx_command_ring_depth_records", "1", "order", "2"): 7,
        ("shmx_command_ring_depth_records", "1", "supervisor", "1"): 0,
        ("shmx_command_ring_capacity_records", "1", "order", "2"): 256,
        ("shmx_journal_sync_seconds_count", "1"): 8,
        ("shmx_journal_sync_seconds_sum", "1"): 2,
        ("shmx_journal_sync_last_seconds", "1"): 0.0015,
        ("shmx_journal_sync_longest_seconds", "1"): 0.9,
        ("shmx_snapshot_age_seconds", "1"): 7,
        ("shmx_snapshot_position_events", "1"): 50,
        ("shmx_disk_state", "1", "short"): 1,
        ("shmx_disk_state", "1", "ok"): 0,
        ("shmx_process_lag_events", "1", "2", "standby"): 10,
        ("shmx_process_clients", "1", "10", "order"): 3,
        ("shmx_process_heartbeat_age_seconds", "1", "0", "matcher"): 0.25,
        ("shmx_process_uptime_seconds", "1", "0", "matcher"): 60,
        ("shmx_order_latency_seconds_count", "1", "2", "sent"): 2,
        ("shmx_order_latency_seconds_sum", "1", "2", "sent"): 0.0050015,
        ("shmx_order_latency_seconds_bucket", "1", "1e-06", "2", "sent"): 0,
        ("shmx_order_latency_seconds_bucket", "1", "2e-06", "2", "sent"): 1,
        ("shmx_order_latency_seconds_bucket", "1", "+Inf", "2", "sent"): 2,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found[("shmx_state_free_bytes",)] > 0


def test_the_window_in_seconds(engine: Wiring) -> None:
    """Nothing to lose is 0; what the ring no longer has is not known."""
    assert window_seconds(engine, NOW_NS) == 0.4
    engine.ring.cursors[CLAIMED] = 60 + 1024 + 1
    assert window_seconds(engine, NOW_NS) is None
    engine.ring.cursors[DURABLE] = 100
    assert window_seconds(engine, NOW_NS) == 0


def test_what_is_not_known_is_not_said(engine: Wiring, tmp_path: Path) -> None:
    """No snapshot, no comparison, no folder: no sample, rather than one that lies."""
    engine.control.processes["counter"][PROCESS_RECORDER] = 0
    engine.control.processes["attested"] = 0
    found = samples(exposed(engine, tmp_path / "none"))
    names = {key[0] for key in found}
    absent = {"shmx_snapshot_age_seconds", "shmx_agreement", "shmx_state_free_bytes"}
    assert not absent & names
    assert "shmx_journal_sync_seconds_count" in names


def promtool(*arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Prometheus's own tool; the test is skipped where it is not."""
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool here: install Debian's package `prometheus`")
    return subprocess.run(["promtool", *arguments], input=text, capture_output=True, timeout=60)


def test_promtool_finds_nothing_to_improve(engine: Wiring, tmp_path: Path) -> None:
    """Names, units, help; and it does find something when there is."""
    text = exposed(engine, tmp_path)
    checked = promtool("check", "metrics", text=text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    worse = text.replace(b"shmx_restarts_total", b"shmx_restarts_milliseconds")
    assert promtool("check", "metrics", text=worse).returncode != 0


def expressions() -> list[str]:
    """What the panels of the dashboard ask for."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [each["expr"] for panel in panels for each in panel.get("targets", [])]


def test_the_dashboard_asks_for_what_is_exported(engine: Wiring, tmp_path: Path) -> None:
    """Every name in its expressions; each row has panels."""
    exported = {key[0] for key in samples(exposed(engine, tmp_path))}
    asked = {name for each in expressions() for name in _NAME.findall(each)}
    assert len(asked) > 20
    assert asked - exported == set()
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    rows = [each["title"] for each in panels if each["type"] == "row"]
    assert rows == ["Market", "Rings and lags", "Durability", "Processes", "Sessions"]


def test_the_dashboard_shows_what_is_exported(engine: Wiring, tmp_path: Path) -> None:
    """Nothing is counted that nobody looks at; of a histogram its buckets will do."""
    exported = {key[0] for key in samples(exposed(engine, tmp_path))}
    asked = {name for each in expressions() for name in _NAME.findall(each)}
    unasked = {name.removesuffix("_sum").removesuffix("_count") for name in exported - asked}
    assert unasked <= {name.removesuffix("_bucket") for name in asked}


def test_the_dashboards_expressions_are_valid(tmp_path: Path) -> None:
    """Prometheus parses each, the dashboard's variables filled in."""
    rules = [
        {"record": f"panel:{number}", "expr": _filled(each)}
        for number, each in enumerate(expressions())
    ]
    file = tmp_path / "rules.json"  # YAML reads JSON
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stderr.decode()
    assert f"{len(rules)} rules found" in checked.stdout.decode()


def test_alarms_are_of_what_is_exported(engine: Wiring, tmp_path: Path) -> None:
    """Every name in the rules; promtool parses them."""
    exported = {key[0] for key in samples(exposed(engine, tmp_path))}
    asked = {name for each in alarm_expressions() for name in _NAME.findall(each)}
    assert len(asked) >= 16
    assert asked - exported == set()
    assert promtool("check", "rules", str(ALARMS)).returncode == 0


ALARM = """\
rule_files: ["{rules}"]
evaluation_interval: 1s
tests:
  - interval: 1s
    input_series:
      - series: 'shmx_ready{{instance="x"}}'
        values: "1x20 0x20"
      - series: 'shmx_process_lag_events{{instance="x", engine="1", role="order", process="10"}}'
        values: "511x20 513x20"
      - series: 'shmx_event_ring_capacity_records{{instance="x", engine="1"}}'
        values: "1024x40"
      - series: 'shmx_events_recorded_total{{instance="none", engine="1"}}'
        values: "51000000x400"
      - series: 'shmx_events_recorded_total{{instance="few", engine="1"}}'
        values: "49000000x400"
      - series: 'shmx_events_published_total{{instance="unrecorded", engine="1"}}'
        values: "51000000x400"
      - series: 'shmx_events_recorded_total{{instance="new", engine="1"}}'
        values: "51000000x400"
      - series: 'shmx_snapshot_age_seconds{{instance="new", engine="1"}}'
        values: "5x400"
      - series: 'shmx_events_published_total{{instance="old", engine="1"}}'
        values: "51000000x400"
      - series: 'shmx_events_recorded_total{{instance="old", engine="1"}}'
        values: "51000000x400"
      - series: 'shmx_snapshot_position_events{{instance="old", engine="1"}}'
        values: "1000x400"
      - series: 'shmx_snapshot_age_seconds{{instance="old", engine="1"}}'
        values: "86401x400"
    alert_rule_test:
      - eval_time: 350s
        alertname: SnapshotIsOld
        exp_alerts:
          - exp_labels: {{severity: ticket, instance: none, engine: "1"}}
            exp_annotations:
              summary: "none, engine 1: the next start has much to replay; `shmx snapshot`"
          - exp_labels: {{severity: ticket, instance: old, engine: "1"}}
            exp_annotations:
              summary: "old, engine 1: the next start has much to replay; `shmx snapshot`"
      - eval_time: 20s
        alertname: ExchangeNotReady
      - eval_time: 35s
        alertname: ExchangeNotReady
        exp_alerts:
          - exp_labels: {{severity: page, instance: x}}
            exp_annotations:
              summary: "x: not ready; `shmx status` says why"
      - eval_time: 20s
        alertname: ReaderLags
      - eval_time: 35s
        alertname: ReaderLags
        exp_alerts:
          - exp_labels: {{severity: ticket, instance: x, engine: "1", role: order, process: "10"}}
            exp_annotations:
              summary: "x: order 10 will be lapped"
"""


def test_alarms_fire_when_they_should(tmp_path: Path) -> None:
    """Prometheus's own rule tests: a role that is missing, a reader that will be lapped, a
    snapshot that is old or has never been: nobody's who does not record.
    """
    file = tmp_path / "alarms.yml"
    file.write_text(ALARM.format(rules=ALARMS), encoding="utf-8")
    checked = promtool("test", "rules", str(file))
    assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()


def alarm_expressions() -> list[str]:
    """What the alarms ask for."""
    return re.findall(r"^ *expr: (.+)$", ALARMS.read_text(encoding="utf-8"), re.MULTILINE)


def alarms() -> list[str]:
    """Their names."""
    return re.findall(r"^ *- alert: (\w+)$", ALARMS.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_alarm_has_its_answer() -> None:
    """A heading of its name in the manual, with a text, in the same order; and no other."""
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#### (\w+)\n\n(Page|Ticket)\. \S", manual, re.MULTILINE)
    rules = ALARMS.read_text(encoding="utf-8")
    severities = re.findall(r"severity: (\w+)", rules)
    assert len(alarms()) >= 16
    assert headings == [
        (name, severity.capitalize()) for name, severity in zip(alarms(), severities, strict=True)
    ]


def test_the_job_is_the_one_that_is_looked_for(tmp_path: Path) -> None:
    """ExchangeDown asks for the name that the example gives; promtool reads the example."""
    (job,) = re.findall(r"job_name: (\S+)", SCRAPE.read_text(encoding="utf-8"))
    assert f'up{{job="{job}"}}' in ALARMS.read_text(encoding="utf-8")
    file = tmp_path / "prometheus.yml"
    text = SCRAPE.read_text(encoding="utf-8")
    file.write_text(text.replace("/etc/prometheus/shm-exchange.rules.yml", str(ALARMS)))
    checked = promtool("check", "config", str(file))
    assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()


def _filled(expression: str) -> str:
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".+")
