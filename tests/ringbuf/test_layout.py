"""Goal: words of different writers do not share a line, and kernels' subscripts are declared."""

from ringbuf import broadcast, layout, spsc
from ringbuf.layout import (
    BROADCAST_CURSORS,
    CONTROL,
    CONTROL_WORDS,
    DOORBELLS,
    PROCESS,
    PROCESS_LIMIT,
    RECORDS,
    SPSC_CURSORS,
    WRITER_LOCK,
)

LINE_PAIR = 128


def test_words_of_different_writers_are_two_lines_apart() -> None:
    for record in (BROADCAST_CURSORS, SPSC_CURSORS, CONTROL_WORDS):
        placed = zip(record.fields, record.offsets, strict=True)
        words = [(each.writer, offset) for each, offset in placed if each.writer]
        for writer, offset in words:
            for other, other_offset in words:
                if writer != other:
                    assert offset // LINE_PAIR != other_offset // LINE_PAIR, record.name


def test_the_claim_is_not_on_the_line_of_every_publish() -> None:
    assert broadcast.CLAIMED * 8 // 64 != broadcast.PUBLISHED * 8 // 64


def test_each_shared_word_names_its_writer() -> None:
    silent = [
        f"{record.name}.{each.name}"
        for record in RECORDS
        for each in record.fields
        if not each.writer and not each.name.startswith("reserved_") and record is not CONTROL
    ]
    assert silent == []


def test_the_parts_of_control_are_the_records_it_names() -> None:
    sizes = {each.name: each.size for each in CONTROL.fields}
    assert sizes["lock"] == WRITER_LOCK.size
    assert sizes["doorbells"] == DOORBELLS.size
    assert sizes["words"] == CONTROL_WORDS.size
    assert sizes["processes"] == PROCESS_LIMIT * PROCESS.size
    assert all(CONTROL.offset_of(name) % LINE_PAIR == 0 for name in sizes if "reserved" not in name)


def test_a_line_of_a_process_is_its_own() -> None:
    assert PROCESS.size % LINE_PAIR == 0
    assert layout.PROCESS_COUNTER * 8 == PROCESS.offset_of("counter")


def test_cursors_fit_their_arrays() -> None:
    assert BROADCAST_CURSORS.size == SPSC_CURSORS.size == 32 * 8
    assert spsc.PUBLISHED == 0 and spsc.CONSUMED == 16
