"""Shell: distributions as a picture: the share of samples up to a size, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

_WIDTH, _HEIGHT = 900, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 60
_COLOURS = ("#0b5fa5", "#888888", "#d1702a", "#4b8b3b")
# Shares on the upright axis: the tail has as much room as the middle.
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
_HEIGHTS = (0.0, 0.4, 0.65, 0.85, 1.0)


def write(
    path: Path, title: str, samples_ns: Mapping[str, np.ndarray], marks_ns: Mapping[str, float]
) -> None:
    """Draw one curve for each set of samples (ns) and an upright line for each mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.concatenate([np.maximum(each, 1) for each in samples_ns.values()])
    low = np.floor(np.log10(max(values.min(), 1_000)))
    high = np.ceil(np.log10(max(values.max(), low * 10, *marks_ns.values())))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="28" font-size="16">{title}</text>',
        *_axes(low, high),
    ]
    for label, mark in marks_ns.items():
        x = _x(mark, low, high)
        parts.append(_line(x, _TOP, x, _HEIGHT - _BOTTOM, "#c00000", dashed=True))
        text = (
            f'<text x="{x - 4:.1f}" y="{_TOP - 4}" text-anchor="end" fill="#c00000">{label}</text>'
        )
        parts.append(text)
    for number, (label, samples) in enumerate(samples_ns.items()):
        parts += _curve(label, number, np.sort(samples), low, high)
    path.write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


def _x(value_ns: float, low: float, high: float) -> float:
    place = (np.log10(max(value_ns, 1)) - low) / (high - low)
    return float(_LEFT + np.clip(place, 0, 1) * (_WIDTH - _LEFT - _RIGHT))


def _y(share: float) -> float:
    return float(_HEIGHT - _BOTTOM - np.interp(share, _SHARES, _HEIGHTS) * _room())


def _room() -> int:
    return _HEIGHT - _TOP - _BOTTOM


def _axes(low: float, high: float) -> list[str]:
    parts = []
    for share in _SHARES:
        y = _y(share)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "#dddddd"))
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.1%}</text>')
    for power in range(int(low), int(high) + 1):
        x = _x(10.0**power, low, high)
        parts.append(_line(x, _TOP, x, _HEIGHT - _BOTTOM, "#dddddd"))
        text = f"{10 ** (power - 3):,} µs" if power >= 3 else f"{10**power} ns"
        y = _HEIGHT - _BOTTOM + 18
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{text}</text>')
    return parts


def _curve(label: str, number: int, samples: np.ndarray, low: float, high: float) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    shares = (np.arange(len(samples)) + 1) / len(samples)
    # A long set needs no more points than there are pixels.
    chosen = np.unique(np.linspace(0, len(samples) - 1, 2_000).astype(int))
    points = " ".join(f"{_x(samples[i], low, high):.1f},{_y(shares[i]):.1f}" for i in chosen)
    y = _HEIGHT - 14
    x = _LEFT + number * 270
    return [
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
        _line(x, y - 4, x + 24, y - 4, colour),
        f'<text x="{x + 30}" y="{y}">{label} ({len(samples)})</text>',
    ]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5,4"' if dashed else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'
    )
