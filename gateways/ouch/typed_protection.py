"""Shell: what is told of market-maker protection as typed objects, for Python clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateways.ouch.private_protection import PROTECTION_ANSWER, PROTECTION_FIRED, UNTIL_RESET
from gateways.typed import Message
from ringbuf.schema import Record


@dataclass(slots=True)
class ProtectionAnswer(Message):
    """`p`: a protection as it is now (`S`, `R`) or was (`D`). Limits: 0 is none."""

    RECORD: ClassVar[Record] = PROTECTION_ANSWER

    timestamp: int
    user_ref_num: int
    user_ref_index: int
    action: str
    group_id: int
    symbol: str
    window: int
    executions: int
    quantity: int
    net_quantity: int
    frozen_for: int
    frozen_until: int

    @property
    def is_frozen(self) -> bool:
        """Whether the group could not enter orders when this was said."""
        return self.frozen_until != 0


@dataclass(slots=True)
class ProtectionFired(Message):
    """`f`: a limit was reached; the group's orders are cancelled next, and it is frozen."""

    RECORD: ClassVar[Record] = PROTECTION_FIRED

    timestamp: int
    group_id: int
    symbol: str
    reached: int
    executions: int
    quantity: int
    net_quantity: int
    frozen_for: int
    frozen_until: int

    @property
    def until_reset(self) -> bool:
        """Whether only a reset ends it."""
        return self.frozen_until == UNTIL_RESET
