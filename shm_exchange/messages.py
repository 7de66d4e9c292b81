"""Declaration: what gateways ask (COMMAND) and what the matcher answers (EVENT).

Both are one cache line. What is rare travels in continuation records that follow in the same
batch (`continuations` says how many). Several layouts share the bytes of an event behind
`instrument`; `kind` says which one holds. The client's own order id (14 ASCII bytes) is three
words, so that copying it is three moves.

Prices are ticks, quantities are lots, times are ns since the epoch (UTC). Characters are the
codes of OUCH 5.0 (side `B` `S` `T` `E`, time in force `0` `3` `6`, display `Y` `N` `A` ...).

An order event alone says everything that its OUCH message says; only ITCH's replace needs the
replica (the reference number that the slot had before).
"""

from enum import IntEnum

from ringbuf.schema import Field, Record

# ---------------------------------------------------------------- limits and numberings

GATEWAY_LIMIT = 64  # sources of commands in one engine: 0 matcher, 1 supervisor, 2.. gateways
SOURCE_MATCHER = 0
SOURCE_SUPERVISOR = 1
SOURCE_GATEWAY_FIRST = 2
SLOT_BITS = 24  # slot = gateway << SLOT_BITS | index: growing a partition moves nothing
SLOT_INDEX_MASK = (1 << SLOT_BITS) - 1
SESSION_LIMIT = 65_535  # 0xFFFF means "no session"
SESSION_NONE = 0xFFFF
USER_REF_INDEX_COUNT = 256  # OUCH tag 28: order flow channels of one session
USER_REF_MAX = 0xFFFF_FFFF
INSTRUMENT_LIMIT = 65_535  # ITCH's stock locate
COMMAND_NEXT_BITS = 48  # source_next = source << 48 | position after the command's last record
COMMAND_NEXT_MASK = (1 << COMMAND_NEXT_BITS) - 1
QUANTITY_MAX = 999_999  # OUCH 5.0, section "Data types": shares of an order
NONE = -1  # no slot, no level, no instrument
ALL_INSTRUMENTS = 0xFFFF  # of a mass cancel
BLANK_FIRM = 0x2020_2020  # four spaces
BLANK_SYMBOL = 0x2020_2020_2020_2020


class CommandKind(IntEnum):
    """What a gateway, the supervisor or the matcher itself asks for."""

    NOTHING = 0
    ENTER = 1  # OUCH O
    CANCEL = 2  # OUCH X; quantity = intended total of the chain, 0 = all; reason = cancel reason
    REPLACE = 3  # OUCH U; quantity = total of the chain, or what is open by a flag; reason = reject
    MODIFY = 4  # OUCH M; side and intended total
    REFUSED = 5  # a gateway's own reject: becomes a sequenced J; reason = reject code
    ACCOUNT_QUERY = 6  # OUCH Q: the barrier
    LOGIN = 7  # slot = connection; raises the session's generation
    LOGOUT = 8  # slot = connection
    GATEWAY_DIED = 9  # slot = gateway, user_ref = incarnation
    MASS_CANCEL = 10  # OUCH C
    DISABLE = 11  # OUCH D
    ENABLE = 12  # OUCH E
    MASS_QUOTE = 13  # our `q`: each continuation is a COMMAND too: both sides of one quote
    PROTECTION = 14  # our `p`: side = what to do, the rest as said there
    OPEN_ORDERS = 15
    INSTRUMENT_STATE = 16  # reason = state character of ITCH H
    BUST = 17
    ROLL = 18
    SYSTEM = 19  # reason = event code of ITCH S
    LIST = 20  # make an instrument known
    EXPIRE = 21  # the matcher's own, never in a ring
    UNFREEZE = 22  # the matcher's own
    GATEWAY_STARTED = 23  # first command of a gateway: user_ref = incarnation
    LIMITS = 24  # reason = Limit, client_order_id_0 = the limit; the supervisor's
    SESSIONS = 25  # sessions [session, session + quantity) begin their streams
    PARTICIPANT = 26  # a firm is there, in instruments [instrument, instrument + quantity)
    CONTINUATION = 255


class EventKind(IntEnum):
    """What happened. Every command yields at least one."""

    NOTHING = 0
    ACCEPTED = 1  # RESTS: it is in the book with its whole quantity
    REPLACED = 2  # likewise
    RESTED = 3  # what a crossing order had left entered the book
    EXECUTED = 4  # one trade, for both sides
    CANCELLED = 5  # quantity less; DONE: the order is finished
    MODIFIED = 6
    REJECTED = 7  # OUCH J, user reference consumed
    IGNORED = 8  # nothing on any wire; command_kind says what was ignored
    ACCOUNT = 9  # OUCH Q: user_ref = next usable
    LOGGED_IN = 10
    LOGGED_OUT = 11
    GATEWAY_STARTED = 12
    GATEWAY_DIED = 13
    SYSTEM = 14
    LISTED = 15
    INSTRUMENT_STATE = 16
    SESSIONS = 17
    EPOCH = 18  # a writer begins its reign
    ATTESTED = 19  # state hash
    CONTINUED = 20
    SELF_MATCHED = 21  # no trade, both lose the quantity: OUCH D; laid out as EXECUTED
    RESTATED = 22  # OUCH R
    PRIORITY_UPDATED = 23  # OUCH T
    BROKEN = 24  # OUCH B, ITCH B
    MASS_CANCELLED = 25  # OUCH X
    DISABLED = 26  # OUCH G
    ENABLED = 27  # OUCH K
    QUOTED = 28  # our `q`: quantity = quotes; what they say follows
    PROTECTION_SET = 29  # our `p`: the answer, side = what was done
    PROTECTION_FIRED = 30  # our `f`: orders of a group are cancelled, and it is frozen
    OPEN_ORDERS = 31
    ROLLED = 32
    LIMITS = 34
    CARRIED = 35  # an order that lives on into a new stream: OUCH A, ITCH A
    PARTICIPANT = 36  # a firm is there: ITCH L for `quantity` instruments from `instrument` on
    CONTINUATION = 255


class CommandFlag(IntEnum):
    """Bits of COMMAND.flags and ORDER.flags. What an event repeats has EventFlag's bits."""

    TAGS = 1  # the first continuation is ORDER_TAGS
    OPEN_QUANTITY = 2  # of REPLACE: quantity is the new open quantity, not the chain's total
    RESERVE = 4  # of an order only: it shows a part of itself
    LEAVES_ON_DISCONNECT = 4  # of REPLACE: the opt-out of its original is not inherited
    HIDDEN = 8  # of an order only: display is `N`
    STAY_ON_DISCONNECT = 16  # opt-out of cancel on disconnect
    SWEEP = 32  # inter-market sweep eligible (`Y`)
    LONG_FORM = 64  # the request carried an appendage length: so does the answer
    GTC = 128  # private tag 128 = `G`


class EventFlag(IntEnum):
    """Bits of EVENT.flags. Which are used depends on the kind."""

    DONE = 1  # CANCELLED: the order is finished; EXECUTED: the maker is
    TAKER_DONE = 2  # EXECUTED
    RESTS = 4  # ACCEPTED, REPLACED: in the book, whole; CANCELLED: it was in the book
    SLOT_RETURNED = 8  # REJECTED, IGNORED: the slot that the command offered is free again
    MAKER_HIDDEN = 16  # EXECUTED
    STAYS = 16  # ACCEPTED, REPLACED, CARRIED: not cancelled on disconnect
    SWEEP = 32  # ACCEPTED, REPLACED: as entered
    LONG_FORM = 64  # the request carried an appendage length
    GTC = 128  # ACCEPTED, REPLACED


class Reject(IntEnum):
    """OUCH 5.0 reject codes (specification, Rejected Order Message) that this market uses."""

    INVALID_DISPLAY = 0x0003
    INVALID_MAX_FLOOR = 0x0004
    INVALID_PEG = 0x0005
    HALTED = 0x0007
    INVALID_SIDE = 0x0009
    PROCESSING_ERROR = 0x000A
    FIRM_NOT_AUTHORIZED = 0x000C
    INVALID_MIN_QUANTITY = 0x000D
    OTHER = 0x000F
    PEGGING_NOT_ALLOWED = 0x0011
    INVALID_QUANTITY = 0x0013
    INVALID_CROSS_ORDER = 0x0014
    REPLACE_NOT_ALLOWED = 0x0015
    ROUTING_NOT_ALLOWED = 0x0016
    INVALID_SYMBOL = 0x0017
    INVALID_PRICE = 0x001D
    RISK_EXPOSURE = 0x0020  # the session's limits, in this order: position, ...
    RISK_FAT_FINGER = 0x0026
    RISK_SYMBOL_RATE = 0x0028
    RISK_PORT_RATE = 0x0029
    RISK_NOTIONAL = 0x0030
    RISK_QUANTITY = 0x0031
    # Ours, from 0x8000 up, so that no code of the specification is taken.
    NO_CAPACITY = 0x8001  # the book's pages or the gateway's slots are used up
    INVALID_SLOT = 0x8002  # a gateway offered a slot that is not its own or not free
    INVALID_TIME_IN_FORCE = 0x8003
    INVALID_CAPACITY = 0x8004
    POISONED = 0x8005  # the command ended two matchers and is not tried again
    NO_SPACE = 0x8006  # the disk is nearly full: cancels only
    TOO_MANY_ORDERS = 0x8007  # the session's limit of open orders
    ENTRY_DISABLED = 0x8020  # the session, or its firm, has disabled order entry
    PROTECTION_FROZEN = 0x8021  # the order's group is frozen by its protection
    PROTECTION_ACTION = 0x8022  # of a protection: neither `S`, `R` nor `D`
    PROTECTION_GROUP = 0x8023  # the group is 0, or has no protection to reset or delete
    PROTECTION_WINDOW = 0x8024
    PROTECTION_LIMIT = 0x8025  # there is none, or one is too large
    PROTECTION_COUNT = 0x8026  # the session has as many protections as it may have
    QUOTE_COUNT = 0x8030  # of a mass quote: none, too many, or too few numbers are left
    QUOTE_ID = 0x8031  # 0, too large, or twice in one message
    QUOTE_CROSSED = 0x8032  # its bid is not below its ask
    UNSUPPORTED_TAG = 0x8100  # + the tag's number


class Ignored(IntEnum):
    """Why a command had no effect. Never on a wire."""

    STALE_GENERATION = 1
    USER_REF_USED = 2
    NOT_LIVE = 3
    SUPERFLUOUS = 4
    UNKNOWN_KIND = 5
    UNKNOWN_SESSION = 6
    ALREADY = 7
    POISONED = 8  # it ended two matchers and is not tried again


class Cause(IntEnum):
    """Why an order was cancelled although its client did not ask for it: private tag 133."""

    DISCONNECT = 1
    MASS_CANCEL = 2
    PROTECTION = 3
    EXPIRY = 4
    SELF_MATCH = 5
    ROLL = 8
    POISONED = 9  # it ended two matchers while it was being matched
    REPLACE_FAILED = 10  # its replace did not pass a check


REASON_USER, REASON_SYSTEM = ord("U"), ord("Z")  # OUCH 5.0, cancel reasons
ROLL_DAY = 1  # COMMAND.reason of ROLL: Day orders end; 0: only the streams do


class SelfTrade(IntEnum):
    """What happens when an order meets one of the same owner: private tag 131."""

    CANCEL_RESTING = ord("R")
    CANCEL_INCOMING = ord("I")
    CANCEL_BOTH = ord("B")
    DECREMENT_BOTH = ord("D")


class Continuing(IntEnum):
    """What a command that did not fit into one part is in the middle of."""

    NOTHING = 0
    SWEEP = 1  # the order in the slot trades on
    DISCONNECT = 2  # orders of sessions that are gone are cancelled, from the slot on
    CARRY = 3  # orders are told to the new streams, from the slot on
    ROLL = 4  # Day orders are cancelled, from the slot on; then the streams end
    MASS_CANCEL = 10  # the orders that the filter of the last MASS_CANCELLED chooses
    PROTECTION = 11  # the orders of the group that was frozen last; then the order in the slot


# ---------------------------------------------------------------- byte maps

_CLIENT_ORDER_ID = (
    Field("client_order_id_0", "i8", doc="OUCH ClOrdID, bytes 0-7, echoed", offset=48),
    Field("client_order_id_1", "i4", doc="ClOrdID, bytes 8-11", offset=56),
    Field("client_order_id_2", "i2", doc="ClOrdID, bytes 12-13", offset=60),
)

COMMAND = Record(
    name="command",
    size=64,
    doc="One command, or a continuation of one. Written by one gateway, read by the matcher.",
    fields=(
        Field("kind", "u1", doc="CommandKind"),
        Field("flags", "u1", doc="CommandFlag"),
        Field("continuations", "u1", doc="how many continuation records follow"),
        Field("side", "a", doc="`B` `S` `T` `E`"),
        Field("instrument", "u2", doc="index of the instrument within its engine"),
        Field("reason", "u2", doc="REFUSED, REPLACE, CANCEL, SYSTEM, INSTRUMENT_STATE: the code"),
        Field("generation", "u4", doc="the session's generation that the gateway knows"),
        Field("firm", "u2", doc="index of the firm"),
        Field("cross_type", "a", doc="`N`"),
        Field("customer_type", "a", doc="tag 4, or space"),
        Field("received_ns", "i8", doc="when the gateway read it, ns since the epoch"),
        # From here on as in EVENT: the matcher copies it, word by word.
        Field("price", "i4", doc="ticks"),
        Field("quantity", "i4", doc="lots"),
        Field("slot", "i4", doc="slot of the order (new or existing); connection of a LOGIN"),
        Field("user_ref", "u4", doc="UserRefNum of this request"),
        Field("session", "u2", doc="index of the session in the configuration"),
        Field("user_ref_index", "u1", doc="OUCH tag 28"),
        Field("capacity", "a", doc="`A` `P` `R` `O`"),
        Field("original_user_ref", "u4", doc="REPLACE: OrigUserRefNum; else 0"),
        *_CLIENT_ORDER_ID,
        Field("time_in_force", "a", doc="`0` `3` `6`"),
        Field("display", "a", doc="`Y` `N` `A`"),
        # MASS_CANCEL (side of the orders, or 0; instrument, or all), DISABLE, ENABLE, PARTICIPANT
        Field("firm_name", "i4", doc="as on the wire: four characters", offset=48),
        Field("group_id", "u2", doc="MASS_CANCEL: of orders, 0 = any; PROTECTION", offset=52),
        # PROTECTION: price = limit of the net quantity, quantity = limit of the quantity
        Field("window_us", "u4", doc="PROTECTION: the rolling window", offset=48),
        Field("executions", "u2", doc="PROTECTION: limit of executions, or 0", offset=54),
        Field("frozen_us", "u4", doc="PROTECTION: how long; 0: until a reset", offset=56),
        # A continuation of MASS_QUOTE: instrument, reason = quote id; its bid above, its ask here
        Field("ask_slot", "i4", offset=48),
        Field("ask_price", "i4", offset=52),
        Field("ask_quantity", "i4", offset=56),
        # BUST: the maker is above, as in its trade's event; the taker here
        Field("reference", "i8", doc="BUST: position of the trade's event", offset=48),
        Field("taker_session", "u2", doc="BUST", offset=56),
        Field("taker_user_ref_index", "u1", doc="BUST", offset=58),
        Field("taker_user_ref", "u4", doc="BUST", offset=44),
    ),
)

ORDER_TAGS = Record(
    name="order_tags",
    size=64,
    doc="The rare attributes of an order: continuation of ENTER, REPLACE, ACCEPTED, REPLACED and "
    "CARRIED. A field without its tag is 0.",
    fields=(
        Field("kind", "u1", doc="CONTINUATION"),
        Field("protection_group", "u1", doc="market-maker protection group"),
        Field("self_match_mode", "a", doc="private tag 131: `R` `I` `B` `D`"),
        Field("customer_type", "a", doc="tag 4"),
        Field("group_id", "u2", doc="tag 24"),
        Field("self_match_group", "u2", doc="private tag 132"),
        Field("present", "i8", doc="bit n: tag n was there; bit 32 + n: private tag 128 + n"),
        Field("minimum_quantity", "i4", doc="tag 3, lots"),
        Field("display_quantity", "i4", doc="tag 5 MaxFloor, lots"),
        Field("expire_seconds", "i4", doc="tag 15"),
        Field("firm", "i4", doc="tag 2, four characters"),
        Field("locate_broker", "i4", doc="tag 26, four characters"),
        Field("handle_instruction", "a", doc="tag 17"),
        Field("trade_now", "a", doc="tag 16"),
        Field("shares_located", "a", doc="tag 25"),
        Field("post_only", "a", doc="tag 12"),
        Field("shares_ahead", "i4", doc="private tag 144, lots; -1: not counted"),
        Field("post_only_reject", "a", doc="private tag 129"),
        Field("reserved_0", "u1"),
        Field("quote_id", "u2", doc="of a mass quote, or 0"),
        Field("received_ns", "i8", doc="tag 143: read from the socket, ns since the epoch"),
        Field("enqueued_ns", "i8", doc="tag 143: its command was written"),
    ),
)

EVENT = Record(
    name="event",
    size=64,
    doc="One event, or a continuation of one. Written by the matcher, read by everybody.",
    fields=(
        Field("kind", "u1", doc="EventKind"),
        Field("flags", "u1", doc="EventFlag"),
        Field("continuations", "u1", doc="how many continuation records follow"),
        Field("side", "a", doc="of the order; EXECUTED: of the maker"),
        Field("instrument", "u2", doc="index of the instrument within its engine"),
        Field("reason", "u2", doc="reject code, cancel reason, system code, state"),
        Field("source_next", "i8", doc="source << 48 | position after the command's last record"),
        Field("time_ns", "i8", doc="the command's stamp, ns since the epoch, never decreasing"),
        Field("price", "i4", doc="ticks"),
        Field("quantity", "i4", doc="lots: accepted, traded, taken away, or outstanding"),
        Field("slot", "i4", doc="the order's slot; EXECUTED: the maker's"),
        Field("user_ref", "u4", doc="UserRefNum; EXECUTED: the maker's"),
        Field("session", "u2", doc="the order's session; EXECUTED: the maker's"),
        Field("user_ref_index", "u1", doc="its order flow channel"),
        Field("capacity", "a", doc="ACCEPTED, REPLACED"),
        Field("original_user_ref", "u4", doc="REPLACED: OrigUserRefNum"),
        *_CLIENT_ORDER_ID,
        Field("time_in_force", "a", doc="ACCEPTED, REPLACED"),
        Field("display", "a", doc="ACCEPTED, REPLACED"),
        # EXECUTED: the maker is above, the taker here; the match number is the position.
        Field("liquidity", "a", doc="EXECUTED: maker's liquidity flag", offset=43),
        Field("taker_session", "u2", doc="EXECUTED", offset=44),
        Field("taker_user_ref_index", "u1", doc="EXECUTED", offset=46),
        Field("taker_liquidity", "a", doc="EXECUTED: taker's liquidity flag", offset=47),
        Field("reference", "i8", doc="EXECUTED, CANCELLED, MODIFIED, RESTED, CARRIED", offset=48),
        Field("taker_slot", "i4", doc="EXECUTED", offset=56),
        Field("taker_user_ref", "u4", doc="EXECUTED", offset=60),
        # CANCELLED, MODIFIED, RESTED
        Field("leaves", "i4", doc="CANCELLED, MODIFIED, RESTED: what is still open", offset=44),
        Field(
            "unused_user_ref",
            "u4",
            doc="CANCELLED by a replace that failed: the replace's UserRefNum; otherwise 0",
            offset=60,
        ),
        Field("cause", "u1", doc="CANCELLED: Cause, 0 when the client asked", offset=43),
        Field("displayed", "i4", doc="RESTATED: lots displayed now", offset=56),
        Field("done", "i4", doc="CARRIED: lots of the chain that are gone already", offset=56),
        # IGNORED, REJECTED
        Field("command_kind", "u1", doc="IGNORED, REJECTED: CommandKind", offset=63),
        # LOGGED_IN, LOGGED_OUT, GATEWAY_STARTED, GATEWAY_DIED
        Field("generation", "u4", doc="LOGGED_IN: the session's new generation", offset=44),
        # EPOCH, ATTESTED
        Field("epoch", "i8", doc="EPOCH: number of the reign; ATTESTED: state hash", offset=48),
        Field("process", "i8", doc="EPOCH: process id of the writer", offset=56),
        Field("limit", "i8", doc="LIMITS: the limit, -1 none, 0 as configured", offset=48),
        # CONTINUED: slot = where it goes on, reason = Continuing
        # BROKEN: as EXECUTED, with reference = position of the trade's event, reason as in OUCH `B`
        # MASS_CANCELLED (side and instrument as asked), DISABLED, ENABLED, PARTICIPANT
        Field("firm_name", "i4", doc="as on the wire: four characters", offset=48),
        Field("group_id", "u2", doc="MASS_CANCELLED, PROTECTION_*: as asked", offset=52),
        # PROTECTION_SET: price, quantity, executions = the limits. PROTECTION_FIRED: slot = row of
        # the protection, reason = what was reached; price, quantity, executions = how much.
        Field("window_us", "u4", doc="PROTECTION_SET", offset=48),
        Field("executions", "u2", doc="PROTECTION_SET, PROTECTION_FIRED", offset=54),
        Field("frozen_us", "u4", doc="PROTECTION_SET, PROTECTION_FIRED: how long", offset=44),
        Field("frozen_until_ns", "i8", doc="PROTECTION_*: 0: not frozen", offset=56),
        # SYSTEM: the name of the stream
        Field("stream_0", "i8", doc="SYSTEM `O`: SoupBinTCP session id, bytes 0-7", offset=48),
        Field("stream_1", "i2", doc="SYSTEM `O`: session id, bytes 8-9", offset=56),
    ),
)

COMMAND_DTYPE = COMMAND.dtype
EVENT_DTYPE = EVENT.dtype
RECORDS = (COMMAND, ORDER_TAGS, EVENT)
