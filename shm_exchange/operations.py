"""Shell: what an operator may ask of a running supervisor, by the name of the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from shm_exchange import handover, limit_change, market_operations, snapshot_request
from shm_exchange.admin import Command, Request
from shm_exchange.children import Post
from shm_exchange.session_requests import Register
from shm_exchange.wiring import Wiring


def of(
    posts: Iterable[Post],
    register: Register,
    wirings: Mapping[int, Wiring],
    ring_matcher: Callable[[int], None],
) -> dict[str, Command]:
    """Every operation. ring_matcher: wakes the matcher of an engine."""

    def change_limits(request: Request) -> dict[str, Any]:
        return limit_change.begin(register.configuration, wirings, ring_matcher, request)

    return {
        handover.DO: partial(handover.begin, posts, wirings),
        limit_change.DO: change_limits,
        snapshot_request.DO: partial(snapshot_request.begin, wirings),
        **register.requests(),
        **market_operations.requests(register.configuration, wirings, ring_matcher),
    }
