"""Shell: a file of results as `make bench` writes it, and what of each benchmark is comparable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from perf import machine

ROUNDS = "rounds"  # in `extra_info`: what `in_turns` makes
INSTRUCTIONS = "instructions_per_message"  # in `extra_info`
CURVES = "curves"  # in `extra_info`: what `curve` makes
DISTRIBUTIONS = "distributions"  # in `extra_info`: what perf/latency_figures.py makes
LESS, MORE = "less", "more"  # which is better
_BASELINE = "_baseline"  # a test of this ending stands beside those of the same beginning


class ResultsError(Exception):
    """A file that is no file of results."""


@dataclass(frozen=True)
class Benchmark:
    """One figure. extra: what its test noted; seconds: float64[rounds].

    costs: of each round, relative to `baseline`, which is the median of the other side's rounds.
    """

    name: str
    extra: Mapping[str, Any]
    seconds: np.ndarray
    costs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    baseline: float = 0.0

    @property
    def instructions(self) -> float | None:
        """Per message, or None where they were not counted."""
        found = self.extra.get(INSTRUCTIONS)
        return None if found is None else float(found)


@dataclass(frozen=True)
class Results:
    """One run of `make bench`."""

    machine: Mapping[str, Any]
    taken: str  # date and time
    benchmarks: Mapping[str, Benchmark]


def in_turns(ours: Any, bare: Any, better: str = LESS) -> dict[str, Any]:
    """For `extra_info`: our rounds and those of the baseline that were taken between them."""
    assert better in (LESS, MORE)
    return {"ours": _numbers(ours), "baseline": _numbers(bare), "better": better}


def curve(title: str, lines: Mapping[str, Mapping[float, float]]) -> dict[str, Any]:
    """For `extra_info`: a figure by a size. lines: of each its label, and value by size."""
    made = {
        label: [[float(size), float(value)] for size, value in sorted(each.items())]
        for label, each in lines.items()
    }
    return {CURVES: {title: made}}


def load(path: Path) -> Results:
    """Read a file. Raises ResultsError with the reason and the remedy."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        found = [
            Benchmark(each["fullname"], each["extra_info"], np.array(each["stats"]["data"], float))
            for each in run["benchmarks"]
        ]
        taken = str(run["datetime"])
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; write it with `make bench`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{path} is no JSON of pytest-benchmark ({error!r}); write it with `make bench`"
        ) from error
    by_name = {each.name: each for each in found}
    with_costs = {name: _with_costs(each, by_name) for name, each in by_name.items()}
    return Results(machine.of_run(run), taken, with_costs)


def _with_costs(each: Benchmark, others: Mapping[str, Benchmark]) -> Benchmark:
    """Add the cost of each round relative to the baseline of the same run: less is better."""
    rounds = each.extra.get(ROUNDS)
    if rounds:
        ours, bare = np.array(rounds["ours"]), np.array(rounds["baseline"])
        # Rounds side by side share what the machine did to both.
        ratios = ours / (bare if len(bare) == len(ours) else np.median(bare))
        costs = ratios if rounds["better"] == LESS else 1 / ratios
        return replace(each, costs=costs, baseline=float(np.median(bare)))
    beside = others.get(each.name.partition("[")[0] + _BASELINE)
    if beside is None or not len(each.seconds):
        return each
    baseline = float(np.median(beside.seconds))
    return replace(each, costs=each.seconds / baseline, baseline=baseline)


def _numbers(values: Any) -> list[float]:
    return [float(each) for each in np.asarray(values).reshape(-1)]
