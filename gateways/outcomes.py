"""Declaration: how the loop of a gateway ends, and what its Python side has to do then."""

STOPPED = 0  # the exchange stops
LAPPED = 1  # the matcher was a ring ahead: what is missing is in the journal
LOG_FULL = 2  # a market-data gateway's: the feed's log has no room
DIFFERS = 3  # the state hash is not the matcher's: the replica is worth nothing
SUCCEEDS = 4  # an order gateway's: the matcher is dead, nobody took over, our replica may
HISTORY = 5  # a market-data gateway's: the log from message 1 on is there
FEED_ENDS = 6  # a market-data gateway's: the day has rolled, another feed begins
