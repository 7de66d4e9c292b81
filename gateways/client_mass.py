"""Shell: what an order entry client asks of many orders at once, and of its order entry."""

from __future__ import annotations

from collections.abc import Mapping

from gateways.client_connection import Client
from gateways.ouch.messages import DISABLE_REQUEST, ENABLE_REQUEST, MASS_CANCEL_REQUEST
from gateways.ouch.tag_text import TagValue, pack_tags
from gateways.ouch.tags import Tag
from gateways.typed import pack


class MassClient(Client):
    """Mass cancel, and the switch of order entry. `firm`: blank means this session alone; the
    session's own firm means every session of it."""

    next_user_ref: int

    async def mass_cancel(
        self,
        *,
        firm: str = "",
        symbol: str = "",
        side: str = "",
        tags: Mapping[int, TagValue] | None = None,
    ) -> int:
        """Cancel all orders, or those in `symbol`, of `side` (`B`, or `S`: every kind of sale).

        Return the UserRefNum. Answered by MassCancelResponse, then by one OrderCanceled for each
        order, with no other event of the market in between; or by Rejected.
        """
        all_tags = dict(tags or {})
        if side:
            all_tags[Tag.SIDE] = side
        appendage = pack_tags(all_tags)
        message = pack(
            MASS_CANCEL_REQUEST,
            "C",
            user_ref_num=self.next_user_ref,
            firm=firm,
            symbol=symbol,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("C", message + appendage, all_tags)

    async def disable_entry(
        self, *, firm: str = "", tags: Mapping[int, TagValue] | None = None
    ) -> int:
        """Have orders and replaces rejected until `enable_entry`; cancels go on.

        Return the UserRefNum. Answered by DisableResponse, or by Rejected.
        """
        appendage = pack_tags(tags or {})
        message = pack(
            DISABLE_REQUEST,
            "D",
            user_ref_num=self.next_user_ref,
            firm=firm,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("D", message + appendage, tags)

    async def enable_entry(
        self, *, firm: str = "", tags: Mapping[int, TagValue] | None = None
    ) -> int:
        """Take back a `disable_entry` for the same firm, or for none.

        Return the UserRefNum. Answered by EnableResponse, or by Rejected.
        """
        appendage = pack_tags(tags or {})
        message = pack(
            ENABLE_REQUEST,
            "E",
            user_ref_num=self.next_user_ref,
            firm=firm,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("E", message + appendage, tags)

    async def _post_numbered(
        self, letter: str, message: bytes, tags: Mapping[int, TagValue] | None
    ) -> int:
        """Send a request under the next UserRefNum and remember it; return the number."""
        raise AssertionError("an order entry client posts")
