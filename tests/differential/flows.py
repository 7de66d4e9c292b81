"""The order flows that the tests of this folder run: the project's own, and given ones at hand."""

from __future__ import annotations

import json
from pathlib import Path

from ringbuf.jit import COMPILED
from shm_exchange.flow import Flow, generate, load

FLOWS = Path(__file__).parents[3] / "shared" / "data" / "flows"
REAL = "real-aapl-2012-06-21-first-hour"


def given(ending: str) -> list[str]:
    """Names of the synthetic flows at hand that end so; none when uncompiled: they are long."""
    return sorted(path.stem for path in FLOWS.glob(f"*{ending}.npz")) if COMPILED else []


def real() -> list[str]:
    """The real flow, if it is at hand."""
    return [REAL] if COMPILED and (FLOWS / f"{REAL}.npz").exists() else []


def read(name: str) -> Flow:
    """A given flow."""
    return load(FLOWS / f"{name}.npz")


def consensus(name: str) -> str:
    """The hash that independent engines agreed on."""
    hashes = json.loads((FLOWS / "hashes.json").read_text(encoding="utf-8"))
    return str(hashes[f"{name}.npz"]["sha256"])


def own(messages: int, seed: int, reduces: bool = False) -> Flow:
    """A generated flow; with `reduces` every fifth cancel becomes a reduce by one lot."""
    flow = generate(messages if COMPILED else min(messages, 1_500), seed)
    if reduces:
        changed = (flow.kind == 1) & (flow.order_id % 5 == 0)
        flow.kind[changed] = 3
        flow.quantity[changed] = 1
    return flow
