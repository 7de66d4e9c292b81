"""Shell: market-maker protection, as an order entry client asks for it."""

from __future__ import annotations

from gateways.client_mass import MassClient
from gateways.ouch.private_protection import PROTECTION_REQUEST
from gateways.typed import pack


class ProtectionClient(MassClient):
    """Protections of groups: the orders with one value of tag 24 (`Tag.GROUP_ID`)."""

    async def protect(
        self,
        group: int,
        *,
        window_us: int,
        executions: int = 0,
        quantity: int = 0,
        net_quantity: int = 0,
        frozen_us: int = 0,
        symbol: str = "",
        channel: int = 0,
    ) -> int:
        """Have the group's orders cancelled, and the group frozen, when a limit is reached.

        Limits hold within any `window_us` microseconds; 0 is none. frozen_us: 0 is until
        `reset_protection`. symbol: blank means every one. Return the UserRefNum. Answered by
        ProtectionAnswer or Rejected; ProtectionFired comes when a limit is reached.
        """
        limits = (window_us, executions, quantity, net_quantity, frozen_us)
        return await self._manage("S", group, limits, symbol, channel)

    async def reset_protection(self, group: int, *, channel: int = 0) -> int:
        """Let a frozen group trade again; its window is empty. Answered as `protect` is."""
        return await self._manage("R", group, (0, 0, 0, 0, 0), "", channel)

    async def delete_protection(self, group: int, *, channel: int = 0) -> int:
        """The group is protected and frozen no longer. Answered as `protect` is."""
        return await self._manage("D", group, (0, 0, 0, 0, 0), "", channel)

    async def _manage(
        self, action: str, group: int, limits: tuple[int, ...], symbol: str, channel: int
    ) -> int:
        window, executions, quantity, net_quantity, frozen_for = limits
        message = pack(
            PROTECTION_REQUEST,
            "p",
            user_ref_num=self.next_user_ref_in(channel),
            user_ref_index=channel,
            action=action,
            group_id=group,
            symbol=symbol,
            window=window,
            executions=executions,
            quantity=quantity,
            net_quantity=net_quantity,
            frozen_for=frozen_for,
        )
        return await self._post_numbered("p", message, channel)
