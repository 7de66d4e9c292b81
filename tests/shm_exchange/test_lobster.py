"""Goal: LOBSTER's lines become the flow that the rules say, and a bad line is named.

Method: lines by hand for each rule and each complaint. Where the real flow is at hand, its lines
are written again, those that a file limited in depth would lack are left out, and the conversion
must give the flow back.
"""

from pathlib import Path

import numpy as np
import pytest

from shm_exchange.flow import CANCEL, NEW, REDUCE, Flow, load
from shm_exchange.lobster import LobsterError, convert, flow_of

REAL = (
    Path(__file__).parents[3] / "shared" / "data" / "flows" / "real-aapl-2012-06-21-first-hour.npz"
)

LINES = """\
34200.000000001,1,11,100,5850000,1
34200.5,1,12,50,5860000,-1
34200.500000000,4,12,20,5860000,-1
34201,2,11,40,5850000,1
34201.1,5,0,7,5855500,1
34201.2,4,13,5,5850100,1
34201.3,6,-1,300,5850000,-1
34201.4,7,0,0,-1,-1
34201.5,3,13,9,5850100,1
34202.25,3,11,60,5850000,1
"""


def test_every_rule_by_hand() -> None:
    """New, execution, partial cancel, delete, an order seen late; 5, 6 and 7 are left out."""
    flow = flow_of(LINES.splitlines(keepends=True))
    rows = list(
        zip(
            flow.kind.tolist(),
            flow.side.tolist(),
            flow.ioc.tolist(),
            flow.quantity.tolist(),
            flow.order_id.tolist(),
            flow.price_ticks.tolist(),
            flow.expected_maker.tolist() if flow.expected_maker is not None else [],
            strict=True,
        )
    )
    assert rows == [
        (NEW, 0, 0, 100, 0, 58500, -1),
        (NEW, 1, 0, 50, 1, 58600, -1),
        (NEW, 0, 1, 20, 2, 58600, 1),
        (REDUCE, 0, 0, 40, 0, 0, -1),
        (NEW, 0, 0, 14, 3, 58501, -1),  # first seen by its execution: 5 executed and 9 deleted
        (NEW, 1, 1, 5, 4, 58501, 3),
        (CANCEL, 0, 0, 0, 3, 0, -1),
        (CANCEL, 0, 0, 0, 0, 0, -1),
    ]
    assert flow.nasdaq_reference is not None
    assert flow.nasdaq_reference.tolist() == [11, 12, 0, 13, 0]
    assert flow.time_ns is not None
    assert flow.time_ns.tolist()[:4] == [
        34_200_000_000_001,
        34_200_500_000_000,
        34_200_500_000_000,
        34_201_000_000_000,
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("34200.1,1,11,100,5850000", "line 2: 5 columns"),
        ("34200.1,1,11,ten,5850000,1", "line 2: not a number"),
        ("34200.1x,1,11,10,5850000,1", "line 2: not a number"),
        ("34200.0000000001,1,11,10,5850000,1", "line 2: not a number"),
        ("34200.1,8,11,10,5850000,1", "line 2: type 8"),
        ("34200.1,1,-1,10,5850000,1", "line 2: order id"),
        ("34200.1,1,11,0,5850000,1", "line 2: size 0"),
        ("34200.1,1,11,1000000,5850000,1", "line 2: size 1000000"),
        ("34200.1,1,11,10,5850050,1", "line 2: price 5850050"),
        ("34200.1,1,11,10,-100,1", "line 2: price -100"),
        ("34200.1,1,11,10,5850000,0", "line 2: direction 0"),
        ("34199.9,1,11,10,5850000,1", "line 2: the time is before"),
        ("34200.1,1,10,10,5850000,1", "line 2: order 10 is submitted twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    """One good line, one bad one: the complaint has file and line."""
    path = tmp_path / "messages.csv"
    path.write_text(f"34200.0,1,10,10,5850000,1\n{line}\n")
    with pytest.raises(LobsterError, match=f"messages.csv, {words}"):
        convert(path)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Missing, empty, binary."""
    with pytest.raises(LobsterError, match="cannot read"):
        convert(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(LobsterError, match="no line about a visible order"):
        convert(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LobsterError, match="cannot read"):
        convert(tmp_path / "binary.csv")


def lines_of(flow: Flow) -> tuple[list[str], int]:
    """A flow as LOBSTER's lines, and how many submissions were left out.

    A submission whose order is mentioned again at the same instant by the next message, and whose
    lines account for all of it, is left out: the conversion must enter it by itself.
    """
    assert flow.time_ns is not None
    assert flow.expected_maker is not None
    assert flow.nasdaq_reference is not None
    entered = flow.kind == NEW
    price = np.zeros(len(flow.nasdaq_reference), np.int64)
    price[flow.order_id[entered]] = flow.price_ticks[entered]
    left = np.zeros(len(price), np.int64)
    left[flow.order_id[entered]] = flow.quantity[entered]
    subject = np.where(flow.expected_maker >= 0, flow.expected_maker, flow.order_id)
    lines = []
    waiting = []  # (line number, order) of submissions that may be left out
    for place in range(flow.messages):
        order, size = int(subject[place]), int(flow.quantity[place])
        side = int(flow.side[place])
        if flow.expected_maker[place] >= 0:
            kind, side = 4, 1 - side
        elif flow.kind[place] == NEW:
            kind = 1
            following = place + 1
            if (
                following < flow.messages
                and subject[following] == order
                and flow.time_ns[following] == flow.time_ns[place]
            ):
                waiting.append((len(lines), order))
        else:
            kind = 3 if flow.kind[place] == CANCEL else 2
            size = int(left[order]) if kind == 3 else size
        if kind != 1:
            left[order] -= size
        stamp = int(flow.time_ns[place])
        lines.append(
            f"{stamp // 10**9}.{stamp % 10**9:09d},{kind},{flow.nasdaq_reference[order]},{size},"
            f"{price[order] * 100},{1 if side == 0 else -1}\n"
        )
    dropped = {number for number, order in waiting if left[order] == 0}
    return [line for number, line in enumerate(lines) if number not in dropped], len(dropped)


def test_the_real_flow_comes_back(tmp_path: Path) -> None:
    """The real flow where it is at hand; else one written by hand. All columns must be equal."""
    if REAL.exists():
        flow, omitted_min = load(REAL), 80
    else:
        flow, omitted_min = flow_of(LINES.splitlines(keepends=True)), 1
    lines, omitted = lines_of(flow)
    path = tmp_path / "messages.csv"
    path.write_text("".join(lines))
    back = convert(path)
    assert omitted >= omitted_min
    for name in Flow._fields:
        assert np.array_equal(getattr(back, name), getattr(flow, name)), name
