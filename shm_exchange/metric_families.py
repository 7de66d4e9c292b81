"""Shell: what `status.describe` says, as metrics by the conventions of Prometheus.

Base units, counters end in `_total` when they are exported. `docs/operations.md` says which to
watch; `deploy/grafana/shm-exchange.json` draws them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from shm_exchange.latencies import LIMITS_NS
from shm_exchange.status_storage import EVENTS

Source = Callable[[], dict[str, Any]]  # what `status.describe` returns
Row = dict[str, Any]
Table = dict[str, tuple[type[Metric], str, str]]  # name -> kind, key of a row, help

_STATES = ("starting", "ready", "degraded", "draining")
_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily

_ENGINE: Table = {
    "shmx_events_published": (_COUNTER, "published", "Events that the matcher has committed"),
    "shmx_events_recorded": (_COUNTER, "recorded", "Events that the recorder has written"),
    "shmx_events_durable": (_COUNTER, "durable", "Events that survive a loss of power"),
    "shmx_epoch": (_GAUGE, "epoch", "Number of the matcher's reign"),
    "shmx_reigns": (_COUNTER, "epoch", "Reigns of matchers: by start, takeover or handover"),
    "shmx_agreement": (
        _GAUGE,
        "agreement",
        "1 when every replica agrees with the matcher's state hashes, 0 when one differs",
    ),
    "shmx_agreement_events": (_GAUGE, "attested", "Up to where all standbys are known to agree"),
}
_PROCESS: Table = {
    "shmx_process_loops": (_COUNTER, "loops", "Passes of the process's loop"),
    "shmx_process_work": (_COUNTER, "work", "Records that the process has handled"),
    "shmx_process_errors": (_COUNTER, "errors", "Faults of peers that the process has seen"),
    "shmx_process_holds": (
        _COUNTER,
        "holds",
        "How often a client that sent more than its share was held while others traded",
    ),
    "shmx_process_lag_events": (_GAUGE, "lag", "Events published that it has not handled"),
    "shmx_process_clients": (_GAUGE, "clients", "Connections of the process"),
    "shmx_process_attested_events": (
        _GAUGE,
        "attested",
        "Where its replica last agreed with the matcher, or 0",
    ),
    "shmx_process_differs_events": (
        _GAUGE,
        "differs",
        "Where its replica differed from the matcher, or 0",
    ),
    "shmx_process_uptime_seconds": (_GAUGE, "uptime_s", "Since the process began"),
}
_COMMAND_RING: Table = {
    "shmx_commands": (_COUNTER, "published", "Commands that were asked"),
    "shmx_command_ring_depth_records": (_GAUGE, "depth", "Commands that wait for the matcher"),
    "shmx_command_ring_capacity_records": (_GAUGE, "capacity", "Commands that the ring can hold"),
}
_EVENT_RING: Table = {
    "shmx_event_ring_depth_records": (
        _GAUGE,
        "depth",
        "Events that wait for the recorder; the matcher waits when the ring is full of them",
    ),
    "shmx_event_ring_capacity_records": (_GAUGE, "capacity", "Events that the ring can hold"),
}
_JOURNAL: Table = {
    "shmx_durability_window_events": (_GAUGE, "window", "Events that a loss of power would cost"),
    "shmx_durability_window_seconds": (
        _GAUGE,
        "window_s",
        "Age of the oldest event that a loss of power would cost",
    ),
    "shmx_journal_sync_last_seconds": (_GAUGE, "sync_seconds_last", "Time of the last sync"),
    "shmx_journal_sync_longest_seconds": (
        _GAUGE,
        "sync_seconds_longest",
        "Time of the longest sync since the recorder began",
    ),
    "shmx_snapshot_age_seconds": (_GAUGE, "snapshot_age_s", "Since the newest snapshot"),
    "shmx_snapshot_position_events": (_GAUGE, "snapshot", "Position of the newest snapshot"),
}


class ExchangeCollector(Collector):
    """Turns one look at shared memory into metrics."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Called for each scrape."""
        found = self._source()
        rings = found["rings"]
        yield from _whole(found)
        yield from _families(_ENGINE, found["engines"], {"engine": "id"})
        yield from _families(
            _COMMAND_RING,
            [each for each in rings if each["ring"] != EVENTS],
            {"engine": "engine", "source": "source", "producer": "producer"},
        )
        events = [each for each in rings if each["ring"] == EVENTS]
        yield from _families(_EVENT_RING, events, {"engine": "engine"})
        yield from _journals(found["journals"])
        yield from _processes(found["processes"])
        yield _latencies(found["latencies"])


def _families(table: Table, rows: list[Row], labels: dict[str, str]) -> Iterator[Metric]:
    """A family for each line of a table, a sample for each row that knows. labels: their keys."""
    for name, (kind, key, text) in table.items():
        family = kind(name, text, labels=list(labels))  # type: ignore[call-arg, arg-type]
        for row in rows:
            if row[key] is not None:
                values = [str(row[each]) for each in labels.values()]
                family.add_metric(values, row[key])  # type: ignore[attr-defined]
        yield family


def _whole(found: dict[str, Any]) -> Iterator[Metric]:
    """What there is once."""
    ready = int(found["state"] == "ready")
    yield GaugeMetricFamily(
        "shmx_ready", "1 when orders are taken and every role is there", value=ready
    )
    state = GaugeMetricFamily(
        "shmx_state", "1 for the state that the exchange is in", labels=["state"]
    )
    for each in _STATES:
        state.add_metric([each], int(found["state"] == each))
    yield state
    restarts = CounterMetricFamily(
        "shmx_restarts", "Times that a role was started again", labels=["role"]
    )
    for role, count in found["restarts"].items():
        restarts.add_metric([role], count)
    yield restarts
    build = GaugeMetricFamily("shmx_build_info", "1; what runs", labels=["name", "version"])
    build.add_metric([found["name"], version("shm-exchange")], 1)
    yield build
    room = GaugeMetricFamily("shmx_state_free_bytes", "Room on the disk of the state directory")
    with suppress(OSError):  # a folder that somebody took away is not the scraper's concern
        disk = os.statvfs(found["state_directory"] or "")
        room.add_metric([], disk.f_bavail * disk.f_frsize)
    yield room


def _journals(rows: list[Row]) -> Iterator[Metric]:
    labels = {"engine": "engine"}
    yield from _families(_JOURNAL, rows, labels)
    syncs = SummaryMetricFamily(
        "shmx_journal_sync_seconds", "Syncs of the journal", labels=list(labels)
    )
    disk = GaugeMetricFamily(
        "shmx_disk_state",
        "1 for the state of the journal's disk: short refuses new orders, full stops the matcher",
        labels=["engine", "state"],
    )
    for row in rows:
        engine = str(row["engine"])
        syncs.add_metric([engine], row["syncs"], row["sync_seconds"])
        for each in ("ok", "short", "full"):
            disk.add_metric([engine, each], int(row["disk"] == each))
    yield syncs
    yield disk


def _processes(rows: list[Row]) -> Iterator[Metric]:
    labels = {"engine": "engine", "role": "role", "process": "process"}
    known = [
        row | {"attested": row["attested"] or 0, "differs": row["differs"] or 0} for row in rows
    ]
    yield from _families(_PROCESS, known, labels)
    age = GaugeMetricFamily(
        "shmx_process_heartbeat_age_seconds", "Since the process last said so", labels=list(labels)
    )
    for row in rows:
        values = [str(row[each]) for each in labels.values()]
        age.add_metric(values, row["heartbeat_age_ms"] / 1e3)
    yield age


def _latencies(rows: list[Row]) -> Metric:
    family = HistogramMetricFamily(
        "shmx_order_latency_seconds",
        "From the stage before until this one, of orders that were acknowledged; total: all of it",
        labels=["engine", "source", "stage"],
    )
    for row in rows:
        values = [str(row[each]) for each in ("engine", "source", "stage")]
        limits = [str(each / 1e9) for each in LIMITS_NS]
        buckets = list(zip(limits, row["not_above"], strict=True))
        family.add_metric(values, [*buckets, ("+Inf", row["count"])], row["sum_ns"] / 1e9)
    return family
