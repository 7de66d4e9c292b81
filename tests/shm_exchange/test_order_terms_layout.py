"""What the matcher copies from a command into an event lies at the same place in both."""

from __future__ import annotations

from shm_exchange.messages import COMMAND_DTYPE, EVENT_DTYPE
from shm_exchange.order_entry import TERMS, TERMS_COUNT

_COPIED = (
    "price quantity slot user_ref session user_ref_index capacity original_user_ref"
    " client_order_id_0 client_order_id_1 client_order_id_2 time_in_force display"
).split()


def test_the_copied_words_are_these_fields_and_no_byte_more() -> None:
    assert COMMAND_DTYPE.itemsize == EVENT_DTYPE.itemsize == 8 * (TERMS + TERMS_COUNT)
    covered = []
    for name in _COPIED:
        assert COMMAND_DTYPE.fields[name] == EVENT_DTYPE.fields[name], name
        kind, offset = COMMAND_DTYPE.fields[name][:2]
        covered += range(offset, offset + kind.itemsize)
    assert covered == list(range(8 * TERMS, COMMAND_DTYPE.itemsize))
