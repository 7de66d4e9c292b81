"""Shell: what an order entry client asks of many orders at once, and of its order entry."""

from __future__ import annotations

from gateways.client_requests import RequestClient
from gateways.ouch.messages import DISABLE_REQUEST, ENABLE_REQUEST, MASS_CANCEL_REQUEST
from gateways.ouch.tag_text import Tags, TagValue, channel_of, pack_tags
from gateways.ouch.tags import Tag
from gateways.typed import pack


class MassClient(RequestClient):
    """Mass cancel, and the switch of order entry. `firm`: blank means this session alone; the
    session's own firm means every session of it."""

    async def mass_cancel(
        self,
        *,
        firm: str = "",
        symbol: str = "",
        side: str = "",
        tags: Tags | None = None,
    ) -> int:
        """Cancel all orders, or those in `symbol`, of `side` (`B`, or `S`: every kind of sale).

        Return the UserRefNum. Answered by MassCancelResponse, then by one OrderCanceled for each
        order, with no other event of the market in between; or by Rejected. As every request, it
        raises ValueError, DropCopySession or ConnectionError before anything is sent.
        """
        all_tags: dict[int, TagValue] = {int(tag): value for tag, value in (tags or {}).items()}
        if side:
            all_tags[Tag.SIDE] = side
        appendage, channel = pack_tags(all_tags), channel_of(all_tags)
        message = pack(
            MASS_CANCEL_REQUEST,
            "C",
            user_ref_num=self.next_user_ref_in(channel),
            firm=firm,
            symbol=symbol,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("C", message + appendage, channel)

    async def disable_entry(self, *, firm: str = "", tags: Tags | None = None) -> int:
        """Have orders and replaces rejected until `enable_entry`; cancels go on.

        Return the UserRefNum. Answered by DisableResponse, or by Rejected.
        """
        appendage, channel = pack_tags(tags), channel_of(tags)
        message = pack(
            DISABLE_REQUEST,
            "D",
            user_ref_num=self.next_user_ref_in(channel),
            firm=firm,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("D", message + appendage, channel)

    async def enable_entry(self, *, firm: str = "", tags: Tags | None = None) -> int:
        """Take back a `disable_entry` for the same firm, or for none.

        Return the UserRefNum. Answered by EnableResponse, or by Rejected.
        """
        appendage, channel = pack_tags(tags), channel_of(tags)
        message = pack(
            ENABLE_REQUEST,
            "E",
            user_ref_num=self.next_user_ref_in(channel),
            firm=firm,
            appendage_length=len(appendage),
        )
        return await self._post_numbered("E", message + appendage, channel)
