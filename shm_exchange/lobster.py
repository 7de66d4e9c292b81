"""Shell: LOBSTER message files (lobsterdata.com) as flows.

A line is `time, type, order id, size, price, direction`: seconds after midnight, 1 new, 2 partial
cancel, 3 delete, 4 visible execution, 5 hidden execution, 6 cross, 7 halt; the price in units of
0.0001 dollars; direction 1 for a buy order, -1 for a sell order.

- An execution of a visible order becomes an immediate-or-cancel order of that price and size from
  the other side, and `expected_maker` is the order that was hit.
- A file shows an order only once it comes near enough to the top of the book: an order whose first
  line is not type 1 is entered just before that line, with all that its lines account for.
- A partial cancel becomes a reduce, a delete a cancel.
- Hidden executions, crosses and halts say nothing about an order that the file shows: they are
  left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shm_exchange.flow import BUY, CANCEL, NEW, REDUCE, SELL, Flow, FlowError, validate
from shm_exchange.messages import QUANTITY_MAX

SUBMISSION, PARTIAL_CANCEL, DELETION, EXECUTION = 1, 2, 3, 4
HIDDEN_EXECUTION, CROSS, HALT = 5, 6, 7
_LEFT_OUT = (HIDDEN_EXECUTION, CROSS, HALT)
_PRICE_UNITS_PER_TICK = 100  # a tick is 0.01 dollars, the file counts in 0.0001
_DECIMALS = 9
_NO_MAKER = -1


class Line(NamedTuple):
    """One line about a visible order."""

    number: int
    time_ns: int
    type: int
    reference: int
    size: int
    price_ticks: int
    side: int


class LobsterError(FlowError):
    """A message file that cannot be converted; the message names file and line."""


def convert(path: str | Path) -> Flow:
    """The flow of a LOBSTER message file. Raises LobsterError naming the line."""
    try:
        with open(path, encoding="ascii") as file:
            return flow_of(file)
    except LobsterError as problem:
        raise LobsterError(f"{path}, {problem}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise LobsterError(f"cannot read the message file {path}: {problem}") from problem


def flow_of(text: Iterable[str]) -> Flow:
    """The flow of the lines of a message file. Raises LobsterError naming the line."""
    lines = list(_lines(text))
    if not lines:
        raise LobsterError("line 1: no line about a visible order: is this a message file?")
    rows: list[tuple[int, ...]] = []
    references: list[int] = []  # by order_id
    order_ids: dict[int, int] = {}
    totals = _totals(lines)

    def enter(line: Line, size: int, side: int, *, reference: int, maker: int) -> None:
        ioc = int(maker != _NO_MAKER)
        rows.append((NEW, side, ioc, size, len(references), line.price_ticks, line.time_ns, maker))
        references.append(reference)

    for line in lines:
        known = line.reference in order_ids
        if line.type == SUBMISSION and known:
            raise LobsterError(f"line {line.number}: order {line.reference} is submitted twice")
        if not known:
            size = line.size if line.type == SUBMISSION else totals[line.reference]
            if size > QUANTITY_MAX:
                raise LobsterError(f"line {line.number}: an order of {size} is too large")
            order_ids[line.reference] = len(references)
            enter(line, size, line.side, reference=line.reference, maker=_NO_MAKER)
        order_id = order_ids[line.reference]
        if line.type == EXECUTION:
            enter(line, line.size, 1 - line.side, reference=0, maker=order_id)
        elif line.type != SUBMISSION:
            kind, size = (CANCEL, 0) if line.type == DELETION else (REDUCE, line.size)
            rows.append((kind, line.side, 0, size, order_id, 0, line.time_ns, _NO_MAKER))
    return _flow(rows, references)


def _flow(rows: list[tuple[int, ...]], references: list[int]) -> Flow:
    """Rows as columns."""
    table = np.array(rows, np.int64).T
    columns = ("kind", "side", "ioc", "quantity", "order_id", "price_ticks", "time_ns")
    flow = Flow(
        **dict(zip((*columns, "expected_maker"), table, strict=True)),
        nasdaq_reference=np.array(references, np.int64),
    )
    return validate(flow)


def _totals(lines: list[Line]) -> dict[int, int]:
    """By reference: the lots that the order's lines account for, its submission left out."""
    totals: dict[int, int] = {}
    for line in lines:
        if line.type != SUBMISSION:
            totals[line.reference] = totals.get(line.reference, 0) + line.size
    return totals


def _lines(text: Iterable[str]) -> Iterator[Line]:
    """Parse; lines about no visible order are checked for their shape and left out."""
    before = 0
    for number, raw in enumerate(text, start=1):
        if not raw.strip():
            continue
        fields = raw.split(",")
        if len(fields) < 6:
            raise LobsterError(f"line {number}: {len(fields)} columns, needs 6")
        try:
            time_ns = _nanoseconds(fields[0].strip())
            kind, reference, size, price, direction = (int(each) for each in fields[1:6])
        except ValueError:
            raise LobsterError(f"line {number}: not a number in {raw.strip()!r}") from None
        if not SUBMISSION <= kind <= HALT:
            raise LobsterError(f"line {number}: type {kind} is not one of 1 to 7")
        if time_ns < before:
            raise LobsterError(f"line {number}: the time is before that of the line above")
        before = time_ns
        if kind in _LEFT_OUT:
            continue
        _check(number, reference, size, price, direction)
        side = BUY if direction == 1 else SELL
        yield Line(number, time_ns, kind, reference, size, price // _PRICE_UNITS_PER_TICK, side)


def _check(number: int, reference: int, size: int, price: int, direction: int) -> None:
    """Refuse what no line about a visible order can say."""
    if reference < 1:
        raise LobsterError(f"line {number}: order id {reference} is not positive")
    if not 1 <= size <= QUANTITY_MAX:
        raise LobsterError(f"line {number}: size {size} is outside 1 to {QUANTITY_MAX}")
    if price < _PRICE_UNITS_PER_TICK or price % _PRICE_UNITS_PER_TICK:
        raise LobsterError(
            f"line {number}: price {price} is not a positive multiple of 0.01 dollars"
        )
    if direction not in (1, -1):
        raise LobsterError(f"line {number}: direction {direction} is neither 1 nor -1")


def _nanoseconds(text: str) -> int:
    """`34200.004241176` as ns, exactly. Raises ValueError."""
    whole, _, fraction = text.partition(".")
    if len(fraction) > _DECIMALS or not whole.isdigit() or not (fraction + "0").isdigit():
        raise ValueError(text)
    return int(whole + fraction.ljust(_DECIMALS, "0"))
