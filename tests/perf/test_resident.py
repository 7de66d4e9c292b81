"""Goal: the pages that arrays lie on are counted, and add up to what the process has more.

Method: sparse memory that is written at known places; a market of one instrument.
"""

from __future__ import annotations

import mmap
from decimal import Decimal

import numpy as np

from perf import resident
from perf.resident import by_array, resident_bytes, resident_of_process
from shm_exchange.instruments import Instrument, instrument_rows
from shm_exchange.market import Market, create_market, sparse

PAGE = mmap.PAGESIZE
PAGES = 3 * resident._CHUNK // 2  # more than are looked up together
ROWS = 1 << 20  # of a market's orders


def test_only_touched_pages_count() -> None:
    """None, some on either side of a chunk, the last one; part of an array has its own."""
    memory = sparse(np.uint8, PAGES * PAGE)
    assert resident_bytes(memory) == 0
    for page in (0, resident._CHUNK - 1, resident._CHUNK, PAGES - 1):
        memory[page * PAGE] = 1
    assert resident_bytes(memory) == 4 * PAGE
    assert resident_bytes(memory[PAGE:]) == 3 * PAGE
    assert resident_bytes(memory[PAGE - 1 : PAGE + 1]) == PAGE


def test_every_array_of_a_market_is_counted() -> None:
    """What is written to one is seen in it and in no other, and in the process as much."""
    rows = instrument_rows([Instrument(symbol="A", tick=Decimal("0.01"))])
    market = create_market(rows, 1, gateway_count=1)
    before, process_before = by_array(market), resident_of_process()
    assert tuple(before) == Market._fields
    market.orders["price"][:ROWS] = 1
    after, process = by_array(market), resident_of_process()
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {"orders": ROWS * market.orders.itemsize}
    assert abs(process - process_before - grown["orders"]) < grown["orders"] // 20
