"""Shell: mass quotes, as an order entry client sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateways.client_protection import ProtectionClient
from gateways.ouch.private_quotes import MASS_QUOTE, QUOTE, QUOTES_MAX
from gateways.typed import Price, pack, to_price


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
        return pack(
            QUOTE,
            "",
            quote_id=self.quote_id,
            symbol=self.symbol,
            bid_price=to_price(self.bid_price, "bid_price"),
            bid_quantity=self.bid_quantity,
            ask_price=to_price(self.ask_price, "ask_price"),
            ask_quantity=self.ask_quantity,
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
        Rejected. As every request, it raises ValueError (also when there are no quotes, or more
        than 16), DropCopySession or ConnectionError before anything is sent.
        """
        count = len(quotes)
        if not 1 <= count <= QUOTES_MAX:
            raise ValueError(f"{count} quotes: a message has 1 to {QUOTES_MAX}")
        head = pack(
            MASS_QUOTE,
            "q",
            user_ref_num=self.next_user_ref_in(channel),
            user_ref_index=channel,
            group_id=group,
            count=count,
        )
        message = head + b"".join(each.pack() for each in quotes)
        return await self._post_numbered("q", message, channel, count=1 + 2 * count)
