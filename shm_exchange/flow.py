"""Shell: order flows as files, and a generator for whoever has none.

A flow is an `.npz` with one entry per message, in wire order. The message number is its sequence,
counted from 0.

| column | type | meaning |
|---|---|---|
| `kind` | uint8 | 0 new, 1 cancel, 2 modify (cancel and re-enter), 3 reduce by `quantity` |
| `side` | uint8 | 0 buy, 1 sell |
| `ioc` | uint8 | 1: immediate or cancel |
| `quantity` | uint32 | lots |
| `order_id` | int32 | names the order within the flow |
| `price_ticks` | int32 | ticks |
| `time_ns` | int64 | optional: ns after midnight |
| `expected_maker` | int32 | optional: the order that the message is known to hit, or -1 |
| `nasdaq_reference` | int64, by order_id | optional: the order's number at its venue, 0 = none |
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shm_exchange.messages import QUANTITY_MAX

NEW, CANCEL, MODIFY, REDUCE = 0, 1, 2, 3
BUY, SELL = 0, 1

_REQUIRED = {
    "kind": np.uint8,
    "side": np.uint8,
    "ioc": np.uint8,
    "quantity": np.uint32,
    "order_id": np.int32,
    "price_ticks": np.int32,
}
_OPTIONAL = {"time_ns": np.int64, "expected_maker": np.int32, "nasdaq_reference": np.int64}
_BY_ORDER = {"nasdaq_reference"}  # subscripted by order_id, so not of the flow's length

# Shape of the generated market: shares of all messages, and ticks.
_NEW_SHARE, _CANCEL_SHARE = 0.50, 0.41
_IOC_SHARE = 0.15
_START_TICKS, _FLOOR_TICKS = 30_000, 1_000
_LIFE_MEAN_ORDERS = 2_000.0


class FlowError(ValueError):
    """A flow that cannot be used; the message says which entry, and why."""


class Flow(NamedTuple):
    """The columns of a flow; the optional ones may be None."""

    kind: np.ndarray
    side: np.ndarray
    ioc: np.ndarray
    quantity: np.ndarray
    order_id: np.ndarray
    price_ticks: np.ndarray
    time_ns: np.ndarray | None = None
    expected_maker: np.ndarray | None = None
    nasdaq_reference: np.ndarray | None = None

    @property
    def messages(self) -> int:
        """How many messages it has."""
        return len(self.kind)


def validate(flow: Flow) -> Flow:
    """Return `flow` with exact column types. Raises FlowError naming the first bad message."""
    columns = {}
    for name, kind in {**_REQUIRED, **_OPTIONAL}.items():
        column = getattr(flow, name)
        if column is None and name in _OPTIONAL:
            continue
        columns[name] = _exact(name, np.asarray(column), np.dtype(kind))
        if name not in _BY_ORDER and len(columns[name]) != len(flow.kind):
            raise FlowError(
                f"column {name} has {len(columns[name])} entries, kind has {len(flow.kind)}: "
                "every column needs one entry per message"
            )
    checked = Flow(**columns)
    if not checked.messages:
        raise FlowError("the flow has no message")
    _refuse(checked.kind > REDUCE, "kind is not 0 (new), 1 (cancel), 2 (modify) or 3 (reduce)")
    _refuse(checked.side > SELL, "side is neither 0 (buy) nor 1 (sell)")
    _refuse(checked.ioc > 1, "ioc is neither 0 nor 1")
    _refuse(checked.order_id < 0, "order_id is negative")
    priced = (checked.kind == NEW) | (checked.kind == MODIFY)
    sized = checked.kind != CANCEL
    _refuse(priced & (checked.price_ticks < 1), "price_ticks is below 1")
    _refuse(sized & (checked.quantity < 1), "quantity is 0")
    _refuse(sized & (checked.quantity > QUANTITY_MAX), f"quantity is above {QUANTITY_MAX:,}")
    _refuse(
        _repeated_entry(checked), "the order_id was entered before: every new order needs its own"
    )
    return checked


def load(path: str | Path) -> Flow:
    """Read and validate a flow file. Raises FlowError."""
    needed = f"a flow is an .npz with the columns {', '.join(_REQUIRED)}"
    try:
        if not zipfile.is_zipfile(path) and Path(path).stat():
            raise FlowError(f"{path} is no .npz file: {needed}")
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in (*_REQUIRED, *_OPTIONAL) if name in archive}
    except OSError as problem:
        raise FlowError(f"cannot read {path} ({problem.strerror}): name a flow file") from problem
    except (ValueError, EOFError, zipfile.BadZipFile) as problem:
        if isinstance(problem, FlowError):
            raise
        raise FlowError(f"{path} is damaged ({problem}): {needed}") from problem
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise FlowError(f"{path} has no column {', '.join(missing)}: {needed}")
    try:
        return validate(Flow(**columns))
    except FlowError as problem:
        raise FlowError(f"{path}: {problem}") from None


def save(path: str | Path, flow: Flow) -> None:
    """Write a flow file, compressed. Raises FlowError when the flow is not valid."""
    columns = {k: v for k, v in validate(flow)._asdict().items() if v is not None}
    with open(path, "wb") as file:
        np.savez_compressed(file, **columns)


def generate(messages: int, seed: int = 1) -> Flow:
    """A synthetic flow of exactly `messages` messages; the same seed gives the same flow.

    About 50 % new orders (15 % of them immediate or cancel), 41 % cancels, 9 % modifies. The mid
    price is a random walk, limits lie around it with a few beyond it, and the lifetimes of
    orders have a long tail. Some cancels find their order already executed, as real ones do.
    """
    if messages < 1:
        raise FlowError(f"cannot generate {messages} messages: ask for at least 1")
    random = np.random.default_rng(seed)
    entered = max(1, round(messages * _NEW_SHARE))
    ioc = random.random(entered) < _IOC_SHARE
    lasting = np.flatnonzero(~ioc)
    cancels, modifies = _split(messages - entered, len(lasting))
    entered = messages - cancels - modifies  # a tiny flow may have nothing to cancel
    ioc = np.resize(ioc, entered)

    born = np.arange(entered, dtype=np.float64)
    life_mean = min(_LIFE_MEAN_ORDERS, entered / 20)  # a short flow is not all tail
    ends = born + 0.5 + life_mean * random.exponential(size=entered) ** 2 / 2
    cancelled = random.permutation(lasting)[:cancels]
    modified = random.permutation(lasting)[:modifies]
    changes = born[modified] + (ends[modified] - born[modified]) * random.random(modifies)

    order = np.concatenate((np.arange(entered), cancelled, modified))
    kind = np.repeat(np.array([NEW, CANCEL, MODIFY], np.uint8), (entered, cancels, modifies))
    moment = np.concatenate((born, ends[cancelled], changes))
    sequence = np.argsort(moment, kind="stable")
    order, kind = order[sequence], kind[sequence]

    side = random.integers(0, 2, entered, dtype=np.uint8)[order]
    price = _prices(random, side, ioc[order])
    quantity = _quantities(random, messages)
    # A cancel repeats what the order was entered with: nobody reads it, but it looks right.
    latest = _latest_priced(order, kind)
    return validate(
        Flow(
            kind=kind,
            side=side,
            ioc=(ioc[order] & (kind == NEW)).astype(np.uint8),
            quantity=quantity[latest],
            order_id=(order + 1).astype(np.int32),
            price_ticks=price[latest],
        )
    )


def _split(changes: int, lasting: int) -> tuple[int, int]:
    """How many cancels and modifies, at most one of each per order that can rest."""
    cancels = min(round(changes * _CANCEL_SHARE / (1 - _NEW_SHARE)), lasting)
    return cancels, min(changes - cancels, lasting)


def _prices(random: np.random.Generator, side: np.ndarray, ioc: np.ndarray) -> np.ndarray:
    """A price per message: a limit around a wandering mid, beyond it for the impatient."""
    steps = random.choice(np.array([-1, 0, 1]), size=len(side), p=(0.02, 0.96, 0.02))
    mid = np.abs(_START_TICKS - _FLOOR_TICKS + np.cumsum(steps)) + _FLOOR_TICKS
    distance = 1 + random.geometric(0.12, size=len(side)) - (random.random(len(side)) < 0.1) * 12
    distance = np.where(ioc, -random.integers(0, 6, len(side)), distance)
    price: np.ndarray = mid + np.where(side == BUY, -distance, distance)
    return price.astype(np.int32)


def _quantities(random: np.random.Generator, count: int) -> np.ndarray:
    """Many round hundreds, many small odd numbers, a few large ones."""
    small = random.integers(1, 100, count)
    round_lots = 100 * random.geometric(0.6, count)
    return np.where(random.random(count) < 0.4, round_lots, small).astype(np.uint32)


def _latest_priced(order: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """For each message, the message that last gave its order a price: itself unless a cancel."""
    by_order = np.lexsort((np.arange(len(order)), order))
    source = np.where(kind[by_order] == CANCEL, -1, np.arange(len(order)))
    latest = np.empty(len(order), np.int64)
    latest[by_order] = by_order[np.maximum.accumulate(source)]
    return latest


def _repeated_entry(flow: Flow) -> np.ndarray:
    """Which messages enter an order_id that an earlier one entered."""
    repeated = np.zeros(flow.messages, np.bool_)
    entries = np.flatnonzero(flow.kind == NEW)
    _, first = np.unique(flow.order_id[entries], return_index=True)
    repeated[entries] = True
    repeated[entries[first]] = False
    return repeated


def _refuse(bad: np.ndarray, complaint: str) -> None:
    """Raise FlowError when any message is bad."""
    if bad.any():
        raise FlowError(f"message {int(np.argmax(bad))}: {complaint}")


def _exact(name: str, column: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`column` as `dtype`. Raises FlowError when a value would change."""
    if column.ndim != 1 or column.dtype.kind not in "biu":
        raise FlowError(f"column {name} is {column.dtype}{column.shape}: needs one row of integers")
    converted = np.ascontiguousarray(column, dtype=dtype)
    _refuse(converted != column, f"{name} does not fit {dtype}")
    return converted
