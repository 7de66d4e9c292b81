"""Declaration: the limits of a session, by the numbers that commands and events say."""

from enum import IntEnum


class Limit(IntEnum):
    """What a session may be limited to: before a trade, in the gateway."""

    ORDER_QUANTITY = 0  # lots
    ORDER_NOTIONAL = 1  # price x quantity, units of 0.0001
    PRICE_DEVIATION = 2  # basis points from the reference price, in the aggressive direction
    OPEN_ORDERS = 3
    POSITION = 4  # lots of one instrument, long or short, open orders included
    MESSAGES = 5  # orders and replaces a second
    SYMBOL_MESSAGES = 6  # of one instrument
