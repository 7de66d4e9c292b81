"""Shell: the requests of an order entry client: their numbers, and which are still unanswered.

A request that raises has changed nothing: no number is used up, nothing is sent again later.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateways.client_connection import Client, Sequenced
from gateways.ouch.messages import (
    ACCOUNT_QUERY_REQUEST,
    ACCOUNT_QUERY_RESPONSE,
    APPENDAGE_LENGTH_SIZE,
)
from gateways.ouch.tag_text import Tags, pack_tags
from gateways.ouch.tags import Tag
from gateways.ouch.typed_messages import AccountQueryResponse, OuchMessage
from gateways.ouch.typed_private import DropCopy
from gateways.ouch.typed_protection import ProtectionAnswer
from gateways.ouch.typed_quotes import MassQuoteAnswer
from gateways.packets import CLIENT_MESSAGE_SIZE_MAX
from gateways.sessions import Packet
from gateways.typed import Message, pack
from gateways.unacknowledged import Request, Unacknowledged
from ringbuf.errors import UsageError

QUERY_EVERY = 10_000  # unacknowledged requests after which a query of our own is sent


class DropCopySession(UsageError):
    """The session is a drop copy: it asks account queries and questions, nothing else."""

    def __init__(self) -> None:
        super().__init__("a drop copy sends no requests: the exchange would end the connection")


class RequestClient(Client):
    """A session that sends requests, each under a UserRefNum of its channel (tag 28)."""

    def __init__(
        self, host: str, port: int, username: str, password: str, heartbeat_timeout_ms: int | None
    ) -> None:
        super().__init__(host, port, username, password, heartbeat_timeout_ms)
        self._next_user_refs: dict[int, int] = {}  # by channel; 1 where there is none
        self._answered_user_refs: dict[int, int] = {}  # by channel, as last heard
        self._unacknowledged = Unacknowledged()
        self._queries: deque[tuple[int, asyncio.Future[int]]] = deque()  # channel, and the answer
        self._sent_since_query = 0
        self._long_query = True
        self._is_drop_copy = False  # known when the first copy arrives

    @property
    def next_user_ref(self) -> int:
        """The UserRefNum that the next request in channel 0 will get."""
        return self.next_user_ref_in(0)

    @next_user_ref.setter
    def next_user_ref(self, user_ref: int) -> None:
        self._next_user_refs[0] = user_ref

    def next_user_ref_in(self, channel: int) -> int:
        """The UserRefNum that the next request in `channel` will get."""
        return self._next_user_refs.get(channel, 1)

    @property
    def unacknowledged(self) -> int:
        """Count of requests that the exchange has not been heard to process."""
        return len(self._unacknowledged)

    @property
    def unacknowledged_requests(self) -> tuple[Request, ...]:
        """The same requests, the oldest first: what `reconnect` sends again."""
        return self._unacknowledged.requests()

    def forget(self, *requests: Request) -> None:
        """Give up unacknowledged requests: `reconnect` does not send them again.

        For a request that makes the exchange end the connection whenever it arrives. One that is
        not unacknowledged any more is passed over. A request that had arrived is executed all the
        same, and its number is not used again.
        """
        self._unacknowledged.forget(requests)

    async def account_query(self, channel: int = 0) -> int:
        """Return the next usable UserRefNum of `channel`, and use it from now on.

        0: all numbers are used up. The answer is a barrier: everything sent before has been
        processed when it arrives, and what was not answered until then never will be. Raise
        ValueError, or ConnectionError when the connection is lost before; the query is not
        repeated. Go on taking messages meanwhile when very many are on their way.
        """
        queries = self._queries_of(channel)
        self._require_connection()
        return await (await self._query(channel, queries))

    async def reconnect(
        self, host: str | None = None, port: int | None = None, *, attempts: int = 100
    ) -> None:
        """As for every client; then send all unacknowledged requests again, with their numbers."""
        await super().reconnect(host, port, attempts=attempts)
        self._long_query = not self._long_query
        # All at once: what another task sends meanwhile has higher numbers and must stand behind.
        await self._connection.send(*self._unacknowledged.messages())

    async def __anext__(self) -> Sequenced:
        """The next message; a lost connection is a ConnectionError that says what is unanswered."""
        try:
            return await super().__anext__()
        except ConnectionResetError as error:
            if not self.unacknowledged:
                raise
            oldest = self._unacknowledged.requests()[0]
            raise ConnectionResetError(
                f"{error}; unacknowledged: {self.unacknowledged}, the oldest is {oldest}"
            ) from error

    def _require_connection(self) -> None:
        if not self.connected:
            raise ConnectionResetError("not connected: reconnect first")

    async def _ask(self, question: bytes) -> None:
        self._require_connection()
        await self._connection.send(question)

    async def _post_numbered(
        self, letter: str, message: bytes, channel: int, *, count: int = 1
    ) -> int:
        """Send a request that uses the next `count` UserRefNums; return the first."""
        user_ref = self.next_user_ref_in(channel)
        await self._post(letter, user_ref, message, channel, next_user_ref=user_ref + count)
        return user_ref

    async def _post(
        self,
        letter: str,
        user_ref: int,
        message: bytes,
        channel: int,
        *,
        next_user_ref: int | None = None,
    ) -> None:
        """Send a request, and remember it until it is known to have been processed.

        Whatever would make the exchange end the connection is refused first: it would be sent
        again, and end the connection again, after each `reconnect`.
        """
        self._require_connection()
        if self._is_drop_copy:
            raise DropCopySession
        if len(message) > CLIENT_MESSAGE_SIZE_MAX:
            raise ValueError(
                f"a request of {len(message)} bytes, more than {CLIENT_MESSAGE_SIZE_MAX}"
            )
        if next_user_ref is not None:
            self._next_user_refs[channel] = next_user_ref
        self._unacknowledged.add(Request(letter, user_ref, channel, message))
        self._sent_since_query += 1
        await self._connection.send(message)
        if min(self._sent_since_query, len(self._unacknowledged)) >= QUERY_EVERY and self.connected:
            await self._query(channel, self._queries_of(channel))

    def _queries_of(self, channel: int) -> list[bytes]:
        """What asks for the next number of `channel`. Raise ValueError.

        An answer of the last connection's query may still come, and is no barrier for this one:
        the two have different forms. One that names a channel has one form only, so a plain query
        stands behind it, and the answer to that one is waited for.
        """
        letter = pack(ACCOUNT_QUERY_REQUEST, "Q")
        plain = letter + (optional_appendage(None) if self._long_query else b"")
        if channel == 0:
            return [plain]
        return [letter + optional_appendage({Tag.USER_REF_INDEX: channel}), plain]

    async def _query(self, channel: int, queries: list[bytes]) -> asyncio.Future[int]:
        """Send queries; return what will be the answer of the last."""
        self._sent_since_query = 0
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda each: each.cancelled() or each.exception())
        self._queries.append((channel, answer))
        await self._connection.send(*queries)
        return answer

    def _arrived(self, packet: Packet, message: Message) -> None:
        if isinstance(message, ProtectionAnswer | MassQuoteAnswer):
            self._unacknowledged.acknowledge(message, message.user_ref_index)
        if isinstance(message, DropCopy):
            self._is_drop_copy = True
        if not isinstance(message, OuchMessage):
            return
        channel = message.tags.get(Tag.USER_REF_INDEX, 0)
        channel = channel if isinstance(channel, int) else 0
        self._unacknowledged.acknowledge(message, channel)
        if isinstance(message, AccountQueryResponse):
            self._query_answered(message.next_user_ref_num, channel)
            is_long = len(packet.payload) > ACCOUNT_QUERY_RESPONSE.size
            if channel == 0 and is_long == self._long_query:
                self._barrier_reached()

    def _query_answered(self, next_user_ref: int, channel: int) -> None:
        self._answered_user_refs[channel] = next_user_ref
        self._next_user_refs[channel] = max(self.next_user_ref_in(channel), next_user_ref)

    def _barrier_reached(self) -> None:
        """The oldest query of this connection was answered."""
        if not self._queries:
            return
        channel, waiting = self._queries.popleft()
        if not waiting.done():
            known = self.next_user_ref_in(channel)
            waiting.set_result(self._answered_user_refs.get(channel, known))

    def _lost(self) -> None:
        while self._queries:
            _, waiting = self._queries.popleft()
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("lost before the answer"))


def optional_appendage(tags: Tags | None) -> bytes:
    """Appendage length and appendage of a request that may leave both away. Raise ValueError."""
    appendage = pack_tags(tags)
    return len(appendage).to_bytes(APPENDAGE_LENGTH_SIZE, "big") + appendage
