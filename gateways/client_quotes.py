"""Shell: mass quotes, as an order entry client sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateways.client_protection import ProtectionClient
from gateways.ouch.private_quotes import MASS_QUOTE, QUOTE
from gateways.ouch.tags import Tag
from gateways.typed import Price, struct_of, to_price, wire_price


@dataclass(frozen=True, slots=True)
class TwoSided:
    """Both sides of one quote; a side of quantity 0 is none."""

    quote_id: int
    symbol: str
    bid_price: Price = Decimal(0)
    bid_quantity: int = 0
    ask_price: Price = Decimal(0)
    ask_quantity: int = 0

    def pack(self) -> bytes:
        """As in the message. Raise ValueError."""
        if len(self.symbol) > 8:
            raise ValueError(f"symbol {self.symbol!r} is longer than 8 characters")
        bid, ask = wire_price(to_price(self.bid_price)), wire_price(to_price(self.ask_price))
        symbol = self.symbol.encode("ascii").ljust(8)
        return struct_of(QUOTE).pack(
            self.quote_id, symbol, bid, self.bid_quantity, ask, self.ask_quantity
        )


class QuoteClient(ProtectionClient):
    """Up to 16 two-sided quotes in one message; post-only."""

    async def mass_quote(
        self, quotes: Sequence[TwoSided], *, group: int = 0, channel: int = 0
    ) -> int:
        """Replace the last quote of each quote id, all of them or none.

        Return the UserRefNum. The bid of the first quote has the next number, its ask the one
        behind, and so on. Answered by MassQuoteAnswer, then OrderCanceled for each order that there
        was and OrderAccepted for each new one, whose client order id is `Q` and the quote id; or by
        Rejected.
        """
        head = struct_of(MASS_QUOTE).pack(b"q", self.next_user_ref, channel, group, len(quotes))
        message = head + b"".join(each.pack() for each in quotes)
        number = await self._post_numbered("q", message, {Tag.USER_REF_INDEX: channel})
        self.next_user_ref = max(self.next_user_ref, number + 1 + 2 * len(quotes))
        return number
