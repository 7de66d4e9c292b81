"""Shell: curves and histograms as SVG, to stand inside a page: no script, no network, no fonts."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from html import escape

import numpy as np

_WIDTH, _HEIGHT = 620, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 16, 30, 58
_COLOURS = (
    *("#0b5fa5", "#888888", "#d1702a", "#4b8b3b", "#7a4fa3", "#b03060"),
    *("#1aa3a3", "#a38f1a"),
)
_BARS = 24
_ONE_SAMPLE = 0.5  # where the axis of counts begins, so that a single one can be seen
Points = Sequence[tuple[float, float]]


def number(value: float) -> str:
    """Four digits, with a unit's letter when it is large."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            divisor = 1e3 if letter == "k" else limit
            return f"{value / divisor:.4g} {letter}"
    return f"{value:.4g}"


def percentile_curves(title: str, series: Mapping[str, Mapping[float, float]]) -> str:
    """Latency against the share of answers that were faster; each nine has the same room.

    series: of each curve, value by percent; 100 is the largest.
    """
    percents = sorted({percent for each in series.values() for percent in each})
    last = max((_nines(each) for each in percents if each < 100), default=0.0)
    places = {each: _nines(each) if each < 100 else last + 0.5 for each in percents}
    ticks = [(places[each], f"{each:g} %" if each < 100 else "max") for each in percents]
    curves = {
        label: [(places[percent], value) for percent, value in sorted(each.items())]
        for label, each in series.items()
    }
    return _plot(title, curves, ticks)


def scaling_curve(title: str, series: Mapping[str, Points]) -> str:
    """A figure against a size, both logarithmic."""
    sizes = sorted({size for each in series.values() for size, _ in each})
    ticks = [(math.log10(size), number(size)) for size in sizes]
    curves = {
        label: [(math.log10(size), value) for size, value in sorted(each)]
        for label, each in series.items()
    }
    return _plot(title, curves, ticks)


def round_curves(title: str, series: Mapping[str, Sequence[float]]) -> str:
    """Each round in its turn: what the machine did meanwhile shows in all curves."""
    count = max(len(each) for each in series.values())
    step = max(1, count // 12)
    ticks = [(float(each), str(each + 1)) for each in range(0, count, step)]
    curves = {
        label: [(float(place), value) for place, value in enumerate(each)]
        for label, each in series.items()
    }
    return _plot(title, curves, ticks)


def histogram(title: str, values: Sequence[float], unit: str) -> str:
    """How many rounds took how long."""
    counts, edges = np.histogram(values, min(_BARS, max(1, len(values) // 2)))
    width = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    room = _HEIGHT - _TOP - _BOTTOM
    parts = []
    for place, count in enumerate(counts):
        height = room * count / counts.max()
        parts.append(
            f'<rect x="{_LEFT + place * width:.1f}" y="{_HEIGHT - _BOTTOM - height:.1f}"'
            f' width="{max(width - 1, 1):.1f}" height="{height:.1f}" fill="{_COLOURS[0]}"/>'
        )
    for share in (0.0, 0.5, 1.0):
        x = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
        value = edges[0] + share * (edges[-1] - edges[0])
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, f"{number(value)} {unit}", "middle"))
    parts.append(_text(_LEFT - 8, _TOP + 10, f"{counts.max()}", "end"))
    return _frame(title, parts)


def distribution(title: str, series: Mapping[str, Points], width: float) -> str:
    """How many samples have which size, both axes logarithmic: a bar for each bucket of each set.

    series: of each set, count by the least value of a bucket, which reaches to `width` times that.
    """
    counts = [count for each in series.values() for _, count in each]
    values = [value for each in series.values() for value, _ in each]
    ladder = _steps(min(values), max(values) * width)
    low, high = math.log10(ladder[0]), math.log10(ladder[-1])

    def across(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    up, parts = _grid(_steps(_ONE_SAMPLE, max(counts)))
    for step in ladder:
        parts.append(_text(across(step), _HEIGHT - _BOTTOM + 18, number(step), "middle"))
    for order, points in enumerate(series.values()):
        for value, count in points:
            x, y = across(value), up(count)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{across(value * width) - x:.1f}"'
                f' height="{_HEIGHT - _BOTTOM - y:.1f}" fill="{_colour(order)}"'
                ' fill-opacity="0.5"/>'
            )
    return _frame(title, parts + _legend(series))


def _nines(percent: float) -> float:
    return -math.log10(1 - percent / 100)


def _plot(title: str, series: Mapping[str, Points], ticks: Points | Sequence) -> str:
    """Lines with dots; the upright axis is logarithmic, from a round value to a round value."""
    values = [value for each in series.values() for _, value in each if value > 0]
    up, parts = _grid(_steps(min(values), max(values)) if values else [1.0, 2.0])
    left, right = ticks[0][0], ticks[-1][0]

    def across(place: float) -> float:
        return _LEFT + (place - left) / ((right - left) or 1) * (_WIDTH - _LEFT - _RIGHT)

    for place, label in ticks:
        parts.append(_text(across(place), _HEIGHT - _BOTTOM + 18, label, "middle"))
    for order, points in enumerate(series.values()):
        colour = _colour(order)
        places = [(across(place), up(value)) for place, value in points]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places]
    return _frame(title, parts + _legend(series))


def _grid(steps: Sequence[float]) -> tuple[Callable[[float], float], list[str]]:
    """Where a value lies on an upright logarithmic axis, and its lines at `steps`."""
    low, high = math.log10(steps[0]), math.log10(steps[-1])

    def up(value: float) -> float:
        share = (math.log10(max(value, steps[0])) - low) / (high - low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for step in steps:
        parts.append(_line(_LEFT, up(step), _WIDTH - _RIGHT, up(step), "#dddddd"))
        parts.append(_text(_LEFT - 8, up(step) + 4, number(step), "end"))
    return up, parts


def _legend(labels: Collection[str]) -> list[str]:
    parts = []
    for order, label in enumerate(labels):
        x = 10 + order * (_WIDTH - 20) / max(4, len(labels))
        parts.append(_line(x, _HEIGHT - 14, x + 18, _HEIGHT - 14, _colour(order)))
        parts.append(_text(x + 23, _HEIGHT - 10, label, "start"))
    return parts


def _colour(order: int) -> str:
    return _COLOURS[order % len(_COLOURS)]


def _steps(low: float, high: float) -> list[float]:
    """Round values from at most `low` to at least `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ladder = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    first = max((each for each in ladder if each <= low), default=ladder[0])
    last = min((each for each in ladder if each >= high and each > first), default=10 * ladder[-1])
    found = [each for each in ladder if first <= each <= last]
    return found if len(found) <= 8 else [found[0], *found[3:-1:3], found[-1]]


def _frame(title: str, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' width="{_WIDTH}" font-family="sans-serif" font-size="11">'
    )
    axis = _line(_LEFT, _HEIGHT - _BOTTOM, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM, "#444444")
    return "\n".join([head, _text(_LEFT, 16, title, "start"), *parts, axis, "</svg>"])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
