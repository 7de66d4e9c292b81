"""The order flows that the tests of this folder run: the project's own, and given ones at hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ringbuf.jit import COMPILED
from shm_exchange.flow import CANCEL, REDUCE, Flow, generate, load
from tests.oracle.flow_book import canonical_lines, flow_book

FLOWS = Path(__file__).parents[3] / "shared" / "data" / "flows"
OWN = "own-"
REAL = "real-aapl-2012-06-21-first-hour"


def given(ending: str) -> list[str]:
    """Names of the synthetic flows at hand that end so; an own one where there are none, and
    uncompiled, where those would take too long."""
    names = sorted(path.stem for path in FLOWS.glob(f"*{ending}.npz")) if COMPILED else []
    return names or [f"{OWN}20000"]


def real() -> list[str]:
    """The real flow, if it is at hand."""
    return [REAL] if COMPILED and (FLOWS / f"{REAL}.npz").exists() else []


def read(name: str) -> Flow:
    """A flow by its name; an own one is named by its length."""
    if name.startswith(OWN):
        return own(int(name.removeprefix(OWN)), seed=7)
    return load(FLOWS / f"{name}.npz")


def consensus(name: str) -> str:
    """The hash that independent engines agreed on; of an own flow, that of a naive book."""
    if name.startswith(OWN):
        lines = canonical_lines(flow_book(columns(read(name))))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    hashes = json.loads((FLOWS / "hashes.json").read_text(encoding="utf-8"))
    return str(hashes[f"{name}.npz"]["sha256"])


def own(messages: int, seed: int, reduces: bool = False) -> Flow:
    """A generated flow; with `reduces` every fifth cancel becomes a reduce by one lot."""
    flow = generate(messages if COMPILED else min(messages, 1_500), seed)
    if reduces:
        changed = (flow.kind == CANCEL) & (flow.order_id % 5 == 0)
        flow.kind[changed] = REDUCE
        flow.quantity[changed] = 1
    return flow


def columns(flow: Flow) -> list[list[int]]:
    """What a naive book takes."""
    return [column.tolist() for column in flow[:6]]
