"""What goes from record to record by words lies at the same place of a word in all of them."""

from __future__ import annotations

import numpy as np
import pytest

from shm_exchange.market import ORDER, SESSION
from shm_exchange.messages import COMMAND_DTYPE, EVENT_DTYPE

ORDER_DTYPE = ORDER.dtype
_COPIED = (
    "price quantity slot user_ref session user_ref_index capacity original_user_ref"
    " client_order_id_0 client_order_id_1 client_order_id_2 time_in_force display"
).split()
_OF_ORDER = "flags side instrument price user_ref session user_ref_index capacity".split()


def place(dtype: np.dtype, name: str) -> tuple[np.dtype, int]:
    """Type of a field and its first byte within its word."""
    kind, offset = dtype.fields[name][:2]  # type: ignore[index]
    return kind, offset % 8


def word(dtype: np.dtype, name: str) -> int:
    return int(dtype.fields[name][1]) // 8  # type: ignore[index]


def test_the_copied_words_are_these_fields_and_no_byte_more() -> None:
    covered = []
    for name in _COPIED:
        assert COMMAND_DTYPE.fields[name] == EVENT_DTYPE.fields[name], name
        kind, offset = COMMAND_DTYPE.fields[name][:2]
        covered += range(offset, offset + kind.itemsize)
    assert covered == list(range(COMMAND_DTYPE.fields["price"][1], COMMAND_DTYPE.itemsize))
    assert word(COMMAND_DTYPE, "client_order_id_0") == 6 == COMMAND_DTYPE.itemsize // 8 - 2


@pytest.mark.parametrize("name", _OF_ORDER)
def test_an_order_has_them_too(name: str) -> None:
    assert place(ORDER_DTYPE, name) == place(COMMAND_DTYPE, name) == place(EVENT_DTYPE, name)


def test_words_of_an_order() -> None:
    """Head, terms and origin are one word each; leaves are where a command has its quantity."""
    head = {word(ORDER_DTYPE, name) for name in "state flags side instrument display".split()}
    origin = {word(ORDER_DTYPE, name) for name in "session user_ref_index capacity".split()}
    assert len(head) == len(origin) == 1
    assert word(ORDER_DTYPE, "price") == word(ORDER_DTYPE, "leaves")
    assert place(ORDER_DTYPE, "leaves") == place(COMMAND_DTYPE, "quantity")
    assert place(ORDER_DTYPE, "state") == place(EVENT_DTYPE, "kind")
    for name in ("time_in_force", "display"):  # in the last word of the others
        assert place(ORDER_DTYPE, name) == place(COMMAND_DTYPE, name) == place(EVENT_DTYPE, name)


def test_the_word_of_a_session() -> None:
    names = ("generation", "gateway", "connected", "disabled")
    assert [place(SESSION.dtype, name)[1] for name in names] == [0, 4, 6, 7]
    assert len({word(SESSION.dtype, name) for name in names}) == 1
