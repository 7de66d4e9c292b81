"""Shell: the answer to a mass quote as a typed object, for Python clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateways.ouch.private_quotes import MASS_QUOTE_ANSWER
from gateways.typed import Message
from ringbuf.schema import Record


@dataclass(slots=True)
class MassQuoteAnswer(Message):
    """`q`: the whole message was good; what it cancels and enters follows."""

    RECORD: ClassVar[Record] = MASS_QUOTE_ANSWER

    timestamp: int
    user_ref_num: int
    user_ref_index: int
    group_id: int
    count: int
