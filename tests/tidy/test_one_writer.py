"""Goal: every word that processes share names its one writer.

Method: the declarations of ringbuf; a container is described by the records that lie in it.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from ringbuf.layout import CONTROL, RECORDS
from ringbuf.schema import Field, Record
from shm_exchange.messages import COMMAND, EVENT

LINE_SIZE = 64
LOCK_ORDER = "compare-exchange"  # the lock word is the one word that several may write
SHARED = [record for record in RECORDS if record is not CONTROL]


def used(record: Record) -> list[tuple[Field, int]]:
    """(field, offset) of the fields that are not padding."""
    return [
        (field, offset)
        for field, offset in zip(record.fields, record.offsets, strict=True)
        if not field.name.startswith("reserved_")
    ]


@pytest.mark.parametrize("record", SHARED, ids=lambda record: record.name)
def test_each_field_names_exactly_one_writer(record: Record) -> None:
    """No list of writers, none left out; the lock word alone is changed by compare-exchange."""
    offenders = [
        f"{record.name}.{field.name}: {field.writer!r}"
        for field, _ in used(record)
        if field.order != LOCK_ORDER
        and (not field.writer or any(word in field.writer for word in (",", "/", " or ", " and ")))
    ]
    assert not offenders, "\n".join(offenders)


def test_only_the_lock_word_has_several_writers() -> None:
    """There is one such word in all declarations."""
    words = [
        f"{record.name}.{field.name}"
        for record in RECORDS
        for field in record.fields
        if field.order == LOCK_ORDER
    ]
    assert words == ["writer_lock.word"]


def test_a_container_is_described_by_other_records() -> None:
    """The parts of the control segment are records of their own, of the same size."""
    sizes = {record.name.upper(): record.size for record in SHARED}
    for field, _ in used(CONTROL):
        name = field.doc.partition(",")[0]
        assert name in sizes
        assert field.size % sizes[name] == 0


@pytest.mark.parametrize("record", SHARED, ids=lambda record: record.name)
def test_running_writers_do_not_share_a_cache_line(record: Record) -> None:
    """Two processes that store all the time must not pull a line from each other.

    Words without an order are written once, before anybody else attaches.
    """
    writers = defaultdict(set)
    for field, offset in used(record):
        if field.order:
            writers[offset // LINE_SIZE].add(field.writer)
    if record.name != "writer_lock":  # its first line belongs to the C library's mutex
        assert [line for line, names in writers.items() if len(names) > 1] == []
    assert writers


@pytest.mark.parametrize("record", [COMMAND, EVENT], ids=lambda record: record.name)
def test_the_records_of_a_ring_name_their_writer(record: Record) -> None:
    """A slot of a ring is written as a whole, by the ring's one publisher."""
    assert "Written by" in record.doc
    assert record.size == LINE_SIZE
