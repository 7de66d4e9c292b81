"""Shell: files of results as pytest-benchmark writes them, small, for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perf import machine

HERE = {**dict.fromkeys(machine.DECIDING, "this"), "commit": "c" * 40, "dirty": False}


def benchmark(name: str, data: list[float], **extra: Any) -> dict[str, Any]:
    """One entry, with the fields of the real format that are read."""
    return {"fullname": name, "name": name, "extra_info": extra, "stats": {"data": data}}


def write(path: Path, *benchmarks: dict[str, Any], **changed: Any) -> Path:
    """A file of these benchmarks; changed: facts of the machine that differ."""
    run = {
        "machine_info": {"node": "vm", machine.KEY: {**HERE, **changed}},
        "datetime": "2026-11-22T13:43:19.170888+00:00",
        "benchmarks": list(benchmarks),
    }
    path.write_text(json.dumps(run))
    return path
