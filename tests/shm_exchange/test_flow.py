"""Goal: a flow file is read exactly or refused by name; a generated flow looks like a market.

Method: write, read and damage small flows; count what the generator makes.
"""

from pathlib import Path

import numpy as np
import pytest

from shm_exchange.flow import CANCEL, MODIFY, NEW, REDUCE, Flow, FlowError, generate, load, save


def small() -> Flow:
    """Two orders, a reduce, a modify, a cancel."""
    return Flow(
        kind=np.array([NEW, NEW, REDUCE, MODIFY, CANCEL], np.uint8),
        side=np.array([0, 1, 0, 1, 0], np.uint8),
        ioc=np.array([0, 0, 0, 0, 0], np.uint8),
        quantity=np.array([10, 20, 3, 5, 0], np.uint32),
        order_id=np.array([7, 8, 7, 8, 7], np.int32),
        price_ticks=np.array([100, 101, 0, 102, 0], np.int32),
    )


def same(left: Flow, right: Flow) -> bool:
    """Whether all columns are equal, types included."""
    pairs = zip(left, right, strict=True)
    return all(
        (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """Both without and with the optional columns."""
    full = small()._replace(
        time_ns=np.arange(5, dtype=np.int64),
        expected_maker=np.array([-1, 7, -1, -1, -1], np.int32),
        nasdaq_reference=np.arange(9, dtype=np.int64),
    )
    for flow in (small(), full):
        save(tmp_path / "flow.npz", flow)
        assert same(load(tmp_path / "flow.npz"), flow)


@pytest.mark.parametrize(
    ("column", "place", "value", "words"),
    [
        ("kind", 1, 4, "message 1: kind"),
        ("side", 2, 2, "message 2: side"),
        ("ioc", 0, 2, "message 0: ioc"),
        ("quantity", 0, 0, "message 0: quantity is 0"),
        ("quantity", 3, 1_000_000, "message 3: quantity is above 999,999"),
        ("price_ticks", 3, 0, "message 3: price_ticks"),
        ("order_id", 4, -1, "message 4: order_id is negative"),
        ("order_id", 1, 7, "message 1: the order_id was entered before"),
    ],
)
def test_a_bad_message_is_named(column: str, place: int, value: int, words: str) -> None:
    """One wrong value in one message: refused, and the message number is in the text."""
    flow = small()
    getattr(flow, column)[place] = value
    with pytest.raises(FlowError, match=words):
        save("/dev/null", flow)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """No file, no archive, a missing column, columns of unequal length, numbers that do not fit."""
    path = tmp_path / "flow.npz"
    with pytest.raises(FlowError, match="cannot read .*No such file"):
        load(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(FlowError, match="no .npz file"):
        load(path)
    save(path, small())
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(FlowError, match="is damaged"):
        load(path)
    columns = {name: column for name, column in small()._asdict().items() if column is not None}
    np.savez(path, **{name: columns[name] for name in columns if name != "side"})
    with pytest.raises(FlowError, match="no column side"):
        load(path)
    np.savez(path, **{**columns, "side": columns["side"][:3]})
    with pytest.raises(FlowError, match="column side has 3 entries"):
        load(path)
    np.savez(path, **{**columns, "side": columns["side"].astype(np.float64)})
    with pytest.raises(FlowError, match="column side is float64"):
        load(path)
    np.savez(path, **{**columns, "price_ticks": columns["price_ticks"].astype(np.int64) << 32})
    with pytest.raises(FlowError, match="price_ticks does not fit int32"):
        load(path)


@pytest.mark.parametrize("messages", [1, 2, 3, 10, 999, 50_000])
def test_a_generated_flow_has_the_length_asked_for(messages: int) -> None:
    """And the same seed gives the same flow, another seed another."""
    flow = generate(messages, seed=5)
    assert flow.messages == messages
    assert same(flow, generate(messages, seed=5))
    if messages > 10:
        assert not same(flow, generate(messages, seed=6))


def test_a_generated_flow_has_the_mix_of_a_market() -> None:
    """Half of the messages enter, 15 % of those at once or never; changes follow their entry."""
    flow = generate(100_000, seed=2)
    shares = np.bincount(flow.kind, minlength=4) / flow.messages
    assert np.allclose(shares, [0.50, 0.41, 0.09, 0.0], atol=0.005)
    entered = flow.kind == NEW
    assert abs(flow.ioc[entered].mean() - 0.15) < 0.01
    assert not flow.ioc[~entered].any()
    first = np.full(flow.order_id.max() + 1, flow.messages)
    first[flow.order_id[entered]] = np.flatnonzero(entered)
    assert (first[flow.order_id] <= np.arange(flow.messages)).all()


def test_no_messages_are_refused() -> None:
    """A flow has at least one message."""
    with pytest.raises(FlowError, match="at least 1"):
        generate(0)
