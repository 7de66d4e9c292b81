"""Shell: where a gateway begins to encode the feed, so that it has it from message 1 on.

The feed that lives began at the last roll of the day, and what was before that is no part of it: so
its log can be built from a snapshot of that position, or of an earlier one, and the events from
there on. (ROLLED empties a log.) Only where there is no such snapshot the journal is needed from
its beginning.
"""

from __future__ import annotations

from gateways.itch.feed_log import BASE, COUNT
from gateways.itch.state import FeedPump
from shm_exchange.errors import ExchangeError
from shm_exchange.market import Market
from shm_exchange.recovery import empty_market, load_snapshot_only, load_snapshot_until
from shm_exchange.roles import RoleContext


def newest_market(context: RoleContext) -> Market:
    """The market of the newest snapshot; at position 0 when there is none."""
    market = empty_market(context.configuration, context.engine)
    directory, ring = context.state_directory, context.wiring.ring
    load_snapshot_only(market, directory, context.owner, ring)
    return market


def first_market(context: RoleContext, newest: Market) -> Market | None:
    """A market from which the feed that `newest` is in can be encoded; None: that is gone.

    The day may have rolled since `newest`: then the feed can be encoded from there as well.
    """
    rolled = int(newest.scalars[0]["rolled"])
    if rolled == int(newest.scalars[0]["position"]):
        return newest
    market = empty_market(context.configuration, context.engine)
    position = load_snapshot_until(market, context.state_directory, context.owner, rolled)
    return None if position is None else market


def begin_at(pump: FeedPump, market: Market) -> FeedPump:
    """A pump with a fresh log, which goes on from there."""
    pump.log.words[COUNT] = pump.log.words[BASE] = int(market.scalars[0]["feed_messages"])
    return pump._replace(market=market)


def begin_whole(context: RoleContext, pump: FeedPump) -> FeedPump:
    """A pump with a fresh log, where the feed begins; if that is gone, at the newest snapshot."""
    newest = newest_market(context)
    return begin_at(pump, first_market(context, newest) or newest)


def require_beginning(pump: FeedPump) -> None:
    """Raise ExchangeError unless the log has the feed from message 1 on."""
    if pump.log.words[BASE]:
        raise ExchangeError(
            f"the feed began at position {pump.market.scalars[0]['rolled']}, and there is neither a"
            " snapshot that can be used from before nor the journal's beginning; `shmx roll`"
            " begins another feed"
        )
