"""Shell: what an operator may ask of a running supervisor, by the name of the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from shm_exchange import handover, limit_change, market_operations, snapshot_request
from shm_exchange.admin import Command
from shm_exchange.children import Post
from shm_exchange.config import Configuration
from shm_exchange.wiring import Wiring


def of(
    posts: Iterable[Post],
    configuration: Configuration,
    wirings: Mapping[int, Wiring],
    ring_matcher: Callable[[int], None],
) -> dict[str, Command]:
    """Every operation. ring_matcher: wakes the matcher of an engine."""
    return {
        handover.DO: partial(handover.begin, posts, wirings),
        limit_change.DO: partial(limit_change.begin, configuration, wirings, ring_matcher),
        snapshot_request.DO: partial(snapshot_request.begin, wirings),
        **market_operations.requests(configuration, wirings, ring_matcher),
    }
