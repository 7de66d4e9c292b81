"""Shell: the requests of an OUCH session that the exchange has not been heard to process.

A connection is first in, first out, and so is the way to the matcher: an answer to one request says
that all requests before it were processed as well. What is left after a reconnect may or may not
have arrived; sending it again with the same numbers is harmless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from gateways.ouch.typed_messages import (
    AccountQueryResponse,
    DisableResponse,
    EnableResponse,
    MassCancelResponse,
    OrderAccepted,
    OrderModified,
    OrderReplaced,
    Rejected,
)
from gateways.ouch.typed_protection import ProtectionAnswer
from gateways.ouch.typed_quotes import MassQuoteAnswer
from gateways.typed import Message

NUMBERED = "OUCDEpq"  # requests that use up a UserRefNum
_ANSWERS = (
    OrderAccepted,
    OrderReplaced,
    Rejected,
    MassCancelResponse,
    DisableResponse,
    EnableResponse,
    ProtectionAnswer,
    MassQuoteAnswer,
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was sent. `user_ref`: its own number, or that of the order it is about."""

    letter: str
    user_ref: int
    channel: int
    message: bytes

    def __str__(self) -> str:
        channel = f" in channel {self.channel}" if self.channel else ""
        return f"{self.letter} of UserRefNum {self.user_ref}{channel}"


class Unacknowledged:
    """Requests in the order of sending, from the oldest that may not have been processed."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> None:
        """Remember a request that is about to be sent."""
        self._requests.append(request)

    def messages(self) -> list[bytes]:
        """What has to be sent again after a reconnect, in order."""
        return [each.message for each in self._requests]

    def requests(self) -> tuple[Request, ...]:
        """All of them, the oldest first."""
        return tuple(self._requests)

    def forget(self, requests: Iterable[Request]) -> None:
        """Give up some of them; others that are named are passed over."""
        given_up = set(requests)
        self._requests = deque(each for each in self._requests if each not in given_up)

    def acknowledge(self, message: Message, channel: int = 0) -> None:
        """Forget what `message` shows to have been processed."""
        if isinstance(message, _ANSWERS):
            self._forget(NUMBERED, message.user_ref_num, channel)
        elif isinstance(message, OrderModified):
            self._forget("M", message.user_ref_num, channel)
        elif isinstance(message, AccountQueryResponse):
            self._forget_below(message.next_user_ref_num, channel)

    def _forget(self, letters: str, user_ref: int, channel: int) -> None:
        for count, each in enumerate(self._requests, 1):
            if each.letter in letters and (each.user_ref, each.channel) == (user_ref, channel):
                self._forget_first(count)
                return

    def _forget_below(self, user_ref: int, channel: int) -> None:
        """The exchange has processed all numbers below `user_ref`; 0: all numbers there are."""
        last = 0
        for count, each in enumerate(self._requests, 1):
            numbered = each.letter in NUMBERED and each.channel == channel
            if numbered and (each.user_ref < user_ref or user_ref == 0):
                last = count
        self._forget_first(last)

    def _forget_first(self, count: int) -> None:
        for _ in range(count):
            self._requests.popleft()
