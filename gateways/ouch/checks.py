"""Kernel: may this session say this now? A decoded request -> 0 or a reject code of OUCH `J`.

Only what needs no shared state: values, symbols, prices. What must be atomic with matching is
checked by the matcher.
"""

import numpy as np

from gateways.order_index import find_order
from gateways.ouch.tags import Tag
from ringbuf.bits import at
from ringbuf.jit import cold_kernel, kernel
from shm_exchange.messages import BLANK_FIRM, Reject, SelfTrade

BUY, SELL, SELL_SHORT, SELL_SHORT_EXEMPT = ord("B"), ord("S"), ord("T"), ord("E")
DAY, IMMEDIATE, GOOD_TILL_TIME = ord("0"), ord("3"), ord("6")
VISIBLE, ATTRIBUTABLE, HIDDEN = ord("Y"), ord("A"), ord("N")
POSTS, REJECTS = ord("P"), ord("R")  # tags 12 and 129
AGENCY, PRINCIPAL, RISKLESS, OTHER = ord("A"), ord("P"), ord("R"), ord("O")
CONTINUOUS = ord("N")  # cross type
YES, NO, SPACE = ord("Y"), ord("N"), ord(" ")
LIMIT_PRICE = ord("L")  # price type
GOOD_TILL_CANCELLED = ord("G")
RETAIL = ord("R")  # tag 4
HANDLE_INSTRUCTIONS = tuple(b"IOTQBDR ")  # tag 17

MARKET_PRICE_FIRST = 2_000_000_000  # OUCH 5.0: 200,000.0000 and more is a market order
QUANTITY_FIRST, QUANTITY_LAST = 1, 999_999
EXPIRE_SECONDS_LAST = 86_399

INVALID_SIDE = int(Reject.INVALID_SIDE)
INVALID_QUANTITY = int(Reject.INVALID_QUANTITY)
INVALID_SYMBOL = int(Reject.INVALID_SYMBOL)
INVALID_PRICE = int(Reject.INVALID_PRICE)
INVALID_MIN_QUANTITY = int(Reject.INVALID_MIN_QUANTITY)
INVALID_MAX_FLOOR = int(Reject.INVALID_MAX_FLOOR)
INVALID_DISPLAY = int(Reject.INVALID_DISPLAY)
INVALID_CROSS_ORDER = int(Reject.INVALID_CROSS_ORDER)
INVALID_TIME_IN_FORCE = int(Reject.INVALID_TIME_IN_FORCE)
INVALID_CAPACITY = int(Reject.INVALID_CAPACITY)
UNSUPPORTED_TAG = int(Reject.UNSUPPORTED_TAG)
OTHER_REASON = int(Reject.OTHER)
FIRM_NOT_AUTHORIZED = int(Reject.FIRM_NOT_AUTHORIZED)
CANCEL_RESTING = int(SelfTrade.CANCEL_RESTING)
CANCEL_INCOMING = int(SelfTrade.CANCEL_INCOMING)
CANCEL_BOTH = int(SelfTrade.CANCEL_BOTH)
DECREMENT_BOTH = int(SelfTrade.DECREMENT_BOTH)

TAG_MINIMUM_QUANTITY = int(Tag.MINIMUM_QUANTITY)
TAG_MAXIMUM_FLOOR = int(Tag.MAXIMUM_FLOOR)
TAG_PRICE_TYPE = int(Tag.PRICE_TYPE)
TAG_PEG_OFFSET = int(Tag.PEG_OFFSET)
TAG_DISCRETION_PRICE = int(Tag.DISCRETION_PRICE)
TAG_DISCRETION_PRICE_TYPE = int(Tag.DISCRETION_PRICE_TYPE)
TAG_DISCRETION_PEG_OFFSET = int(Tag.DISCRETION_PEG_OFFSET)
TAG_POST_ONLY = int(Tag.POST_ONLY)
TAG_RANDOM_RESERVES = int(Tag.RANDOM_RESERVES)
TAG_ROUTE = int(Tag.ROUTE)
TAG_EXPIRE_TIME = int(Tag.EXPIRE_TIME)
TAG_TRADE_NOW = int(Tag.TRADE_NOW)
TAG_CUSTOMER_TYPE = int(Tag.CUSTOMER_TYPE)
TAG_HANDLE_INSTRUCTION = int(Tag.HANDLE_INSTRUCTION)
TAG_SHARES_LOCATED = int(Tag.SHARES_LOCATED)
TAG_GOOD_TILL_CANCELLED = int(Tag.GOOD_TILL_CANCELLED)
TAG_POST_ONLY_REJECT = int(Tag.POST_ONLY_REJECT)
TAG_STAY_ON_DISCONNECT = int(Tag.STAY_ON_DISCONNECT)
TAG_FIRM = int(Tag.FIRM)
TAG_TIMES_ASKED = int(Tag.TIMES_ASKED)
TAG_SHARES_AHEAD_ASKED = int(Tag.SHARES_AHEAD_ASKED)
TAG_SELF_TRADE_MODE = int(Tag.SELF_TRADE_MODE)
PRIVATE = 128
FOUR_SPACES = 0x2020_2020


@kernel
def _has(request, tag):
    return (np.int64(request["present"]) >> tag) & 1


@kernel
def _has_private(request, tag):
    return (np.int64(request["present_private"]) >> (tag - PRIVATE)) & 1


@cold_kernel
def _expiry_fault(request):
    """0, or the reject of tag 15: less than a day, and of time in force `6` alone."""
    seconds = request["expire_seconds"]
    if request["time_in_force"] == GOOD_TILL_TIME:
        if seconds == 0:
            return INVALID_TIME_IN_FORCE
        return UNSUPPORTED_TAG + TAG_EXPIRE_TIME if seconds > EXPIRE_SECONDS_LAST else 0
    return UNSUPPORTED_TAG + TAG_EXPIRE_TIME if seconds != 0 else 0


@cold_kernel
def _is_mode(letter):
    """1 for a mode of self-trade prevention."""
    cancels = letter == CANCEL_RESTING or letter == CANCEL_INCOMING or letter == CANCEL_BOTH
    return 1 if cancels or letter == DECREMENT_BOTH else 0


@cold_kernel
def _is_handling(letter):
    """1 for `I` `O` `T` `Q` `B` `D` `R` and blank, the values of tag 17."""
    for place in range(len(HANDLE_INSTRUCTIONS)):
        if letter == HANDLE_INSTRUCTIONS[place]:
            return 1
    return 0


@cold_kernel
def _letter_fault(request):
    """0, or the reject of a tag with a letter that it does not have: 4, 16, 17, 25.

    They are taken without effect, so 16 may only say that there is none.
    """
    customer, now = request["customer_type"], request["trade_now"]
    if _has(request, TAG_CUSTOMER_TYPE) and customer != RETAIL and customer != NO:
        if customer != SPACE:
            return UNSUPPORTED_TAG + TAG_CUSTOMER_TYPE
    if _has(request, TAG_TRADE_NOW) and now != NO and now != SPACE:
        return UNSUPPORTED_TAG + TAG_TRADE_NOW
    if _has(request, TAG_HANDLE_INSTRUCTION) and not _is_handling(
        np.int64(request["handle_instruction"])
    ):
        return UNSUPPORTED_TAG + TAG_HANDLE_INSTRUCTION
    located = request["shares_located"]
    if _has(request, TAG_SHARES_LOCATED) and located != YES and located != NO:
        return UNSUPPORTED_TAG + TAG_SHARES_LOCATED
    return 0


@cold_kernel
def _asked_fault(request):
    """0, or the reject of tags 143 and 145, which ask for something in the acknowledgement."""
    times, ahead = request["times_asked"], request["shares_ahead_asked"]
    if _has_private(request, TAG_TIMES_ASKED) and times != YES and times != NO:
        return UNSUPPORTED_TAG + TAG_TIMES_ASKED
    if _has_private(request, TAG_SHARES_AHEAD_ASKED) and ahead != YES and ahead != NO:
        return UNSUPPORTED_TAG + TAG_SHARES_AHEAD_ASKED
    return 0


@cold_kernel
def tag_fault(request):
    """0, or UNSUPPORTED_TAG + the first tag that asks for what this market does not offer.

    A tag whose value asks for nothing (0, `N`, `L`, blank) is no fault.
    """
    if request["foreign_tag"] != 0:
        return UNSUPPORTED_TAG + np.int64(request["foreign_tag"])
    if _has(request, TAG_MINIMUM_QUANTITY) and request["minimum_quantity"] != 0:
        if request["time_in_force"] != IMMEDIATE:
            return INVALID_MIN_QUANTITY
        if request["minimum_quantity"] > request["quantity"]:
            return INVALID_MIN_QUANTITY
    if _has(request, TAG_MAXIMUM_FLOOR) and request["maximum_floor"] != 0:
        if request["display"] == HIDDEN:
            return INVALID_MAX_FLOOR
    if _has(request, TAG_PRICE_TYPE) and request["price_type"] != LIMIT_PRICE:
        return UNSUPPORTED_TAG + TAG_PRICE_TYPE
    if _has(request, TAG_PEG_OFFSET) and request["peg_offset"] != 0:
        return UNSUPPORTED_TAG + TAG_PEG_OFFSET
    if _has(request, TAG_DISCRETION_PRICE) and request["discretion_price"] != 0:
        return UNSUPPORTED_TAG + TAG_DISCRETION_PRICE
    if _has(request, TAG_DISCRETION_PRICE_TYPE) and request["discretion_price_type"] != LIMIT_PRICE:
        return UNSUPPORTED_TAG + TAG_DISCRETION_PRICE_TYPE
    if _has(request, TAG_DISCRETION_PEG_OFFSET) and request["discretion_peg_offset"] != 0:
        return UNSUPPORTED_TAG + TAG_DISCRETION_PEG_OFFSET
    posts = request["post_only"]
    if _has(request, TAG_POST_ONLY) and posts != NO and posts != POSTS:
        return UNSUPPORTED_TAG + TAG_POST_ONLY
    if _has(request, TAG_RANDOM_RESERVES) and request["random_reserves"] != 0:
        return UNSUPPORTED_TAG + TAG_RANDOM_RESERVES
    if _has(request, TAG_ROUTE) and request["route"] != FOUR_SPACES:
        return UNSUPPORTED_TAG + TAG_ROUTE
    if _has(request, TAG_EXPIRE_TIME):
        fault = _expiry_fault(request)
        if fault:
            return fault
    letter_fault = _letter_fault(request)
    if letter_fault:
        return letter_fault
    rejects = request["post_only_reject"]
    if _has_private(request, TAG_POST_ONLY_REJECT) and rejects != NO and rejects != REJECTS:
        return UNSUPPORTED_TAG + TAG_POST_ONLY_REJECT
    if _has_private(request, TAG_SELF_TRADE_MODE) and not _is_mode(
        np.int64(request["self_trade_mode"])
    ):
        return UNSUPPORTED_TAG + TAG_SELF_TRADE_MODE
    stays = request["stay_on_disconnect"]
    if _has_private(request, TAG_STAY_ON_DISCONNECT) and stays != YES and stays != NO:
        return UNSUPPORTED_TAG + TAG_STAY_ON_DISCONNECT
    good = request["good_till_cancelled"] == GOOD_TILL_CANCELLED and request["time_in_force"] == DAY
    if _has_private(request, TAG_GOOD_TILL_CANCELLED) and not good:
        return UNSUPPORTED_TAG + TAG_GOOD_TILL_CANCELLED
    return _asked_fault(request)


@kernel
def is_gtc(request):
    """1 when private tag 128 asks for good till cancelled."""
    return _has_private(request, TAG_GOOD_TILL_CANCELLED)


@kernel
def find_instrument(symbols, request):
    """Number of the request's instrument in this engine, or -1. symbols: an OrderIndex."""
    return find_order(symbols, np.int64(request["symbol"])) - 1


@kernel
def stays_on_disconnect(request):
    """1 when the order asks not to be cancelled because its session is disconnected."""
    return (
        1
        if _has_private(request, TAG_STAY_ON_DISCONNECT) and request["stay_on_disconnect"] == YES
        else 0
    )


@kernel
def leaves_on_disconnect(request):
    """1 when the order says that it does not stay."""
    says = _has_private(request, TAG_STAY_ON_DISCONNECT) and request["stay_on_disconnect"] == NO
    return 1 if says else 0


@kernel
def price_ticks(instruments, instrument, side, price):
    """The wire price in ticks, or -1 when it is not one. A market order gets the band's edge."""
    row = instruments[at(instrument)]
    if price >= MARKET_PRICE_FIRST or price < 0:  # unsigned on the wire, and from 2**63 up
        return np.int64(row["price_max"]) if side == BUY else np.int64(row["price_min"])
    tick = row["tick"]
    if price <= 0 or price % tick != 0:
        return -1
    ticks = price // tick
    if ticks < row["price_min"] or ticks > row["price_max"]:
        return -1
    return ticks


@kernel
def quantity_fault(instruments, instrument, quantity):
    """0, or INVALID_QUANTITY: outside 1 to 999,999, or not whole lots."""
    row = instruments[at(instrument)]
    if quantity < QUANTITY_FIRST or quantity > QUANTITY_LAST or quantity > row["quantity_max"]:
        return INVALID_QUANTITY
    return INVALID_QUANTITY if quantity % row["lot"] != 0 else 0


@kernel
def terms_fault(request):
    """0, or the reject of what `O` and `U` both say: time in force, display, sweep, tags."""
    time_in_force = request["time_in_force"]
    known = time_in_force == DAY or time_in_force == IMMEDIATE or time_in_force == GOOD_TILL_TIME
    if not known:
        return INVALID_TIME_IN_FORCE
    display = request["display"]
    if display != VISIBLE and display != ATTRIBUTABLE and display != HIDDEN:
        return INVALID_DISPLAY
    if request["sweep"] != YES and request["sweep"] != NO:
        return OTHER_REASON
    if request["present"] != 0 or request["present_private"] != 0 or request["foreign_tag"] != 0:
        return tag_fault(request)
    return 0


@kernel
def lots_fault(instruments, instrument, request):
    """0, or the reject of a displayed part or a minimum that is not whole lots.

    More than any order has is all of it, whatever the number.
    """
    if request["present"] == 0:
        return 0
    lot = np.int64(instruments[at(instrument)]["lot"])
    floor = np.int64(request["maximum_floor"])
    if _has(request, TAG_MAXIMUM_FLOOR) and floor <= QUANTITY_LAST and floor % lot != 0:
        return INVALID_MAX_FLOOR
    if _has(request, TAG_MINIMUM_QUANTITY) and np.int64(request["minimum_quantity"]) % lot != 0:
        return INVALID_MIN_QUANTITY
    return 0


@cold_kernel
def firm_fault(market, session, request):
    """0, or FIRM_NOT_AUTHORIZED: tag 2 names a firm that is not the session's."""
    if not _has(request, TAG_FIRM) or request["firm"] == BLANK_FIRM:
        return 0
    own = market.sessions[at(session)]["firm"]
    return FIRM_NOT_AUTHORIZED if request["firm"] != own else 0


@kernel
def is_side(side):
    """1 for `B` `S` `T` `E`."""
    sells = side == SELL or side == SELL_SHORT or side == SELL_SHORT_EXEMPT
    return 1 if side == BUY or sells else 0


@kernel
def enter_fault(request):
    """0, or the reject of an `O` whose symbol, price and quantity are checked elsewhere."""
    if not is_side(request["side"]):
        return INVALID_SIDE
    capacity = request["capacity"]
    known = capacity == AGENCY or capacity == PRINCIPAL or capacity == RISKLESS or capacity == OTHER
    if not known:
        return INVALID_CAPACITY
    if request["cross_type"] != CONTINUOUS:
        return INVALID_CROSS_ORDER
    if request["time_in_force"] == GOOD_TILL_TIME and not _has(request, TAG_EXPIRE_TIME):
        return INVALID_TIME_IN_FORCE
    return terms_fault(request)
