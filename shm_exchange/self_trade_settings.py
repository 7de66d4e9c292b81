"""Shell: self-trade prevention of a session, as configured and as kernels know it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shm_exchange.messages import SelfTrade
from shm_exchange.settings import Table

MODES = {
    "off": 0,
    "cancel-resting": int(SelfTrade.CANCEL_RESTING),
    "cancel-incoming": int(SelfTrade.CANCEL_INCOMING),
    "cancel-both": int(SelfTrade.CANCEL_BOTH),
    "decrement-both": int(SelfTrade.DECREMENT_BOTH),
}
SCOPES = {"session": ord("S"), "firm": ord("F"), "group": ord("G")}


class SelfTradeSettings(Table):
    """What happens when an order meets one of the same owner, and who is the owner."""

    self_trade: Literal[
        "off", "cancel-resting", "cancel-incoming", "cancel-both", "decrement-both"
    ] = "off"
    self_trade_scope: Literal["session", "firm", "group"] = "session"
    self_trade_group: int = Field(default=0, ge=0, le=65_535)

    def check_self_trade(self, firm: str) -> None:
        """Raise ValueError when the scope has nothing to go by. firm: of the session."""
        if self.self_trade_scope == "firm" and not firm:
            raise ValueError("self_trade_scope is `firm`; give it a `firm`")
        if self.self_trade_scope == "group" and not self.self_trade_group:
            raise ValueError("self_trade_scope is `group`; give it a `self_trade_group`")

    @property
    def self_trade_code(self) -> int:
        """SESSION.self_trade."""
        return MODES[self.self_trade]

    @property
    def self_trade_scope_code(self) -> int:
        """SESSION.self_trade_scope."""
        return SCOPES[self.self_trade_scope]
