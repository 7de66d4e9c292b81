"""Kernel: a market as a GLIMPSE snapshot: ITCH messages, and where the feed goes on from.

The messages say what the feed has said so far and still holds: how far the streams have begun, the
instruments with their states, the firms, and every displayed order, in the order of the queues.
Whoever processes them, and then the feed from the number in `G` on, has the book of the whole feed.
Their time is that of the last event that is in the snapshot.
"""

import numpy as np

from gateways.itch.codec import encode_system
from gateways.itch.glimpse_messages import END_OF_SNAPSHOT, END_OF_SNAPSHOT_TYPE
from gateways.itch.messages import MESSAGE_SIZE_MAX
from gateways.itch.outbound import add_directory, add_firm, add_order, add_state
from gateways.packets import HEADER_SIZE
from gateways.soupbintcp import write_sequenced_header
from gateways.wire import store_number
from ringbuf.bits import at
from ringbuf.jit import cold_kernel
from shm_exchange.firms import is_first_of_firm
from shm_exchange.market import STAGE_MARKET
from shm_exchange.messages import COMMAND_NEXT_BITS
from shm_exchange.queues import level_from

PACKET_SIZE_MAX = HEADER_SIZE + MESSAGE_SIZE_MAX
_SEQUENCE = END_OF_SNAPSHOT.offset_of("sequence")
_END_SIZE = END_OF_SNAPSHOT.size
_SEQUENCE_SIZE = _END_SIZE - _SEQUENCE
_START_OF_MESSAGES, _START_OF_SYSTEM, _START_OF_MARKET = ord("O"), ord("S"), ord("Q")


@cold_kernel
def _firm_count(market):
    """Firms of the sessions that the feed has been told of."""
    count = 0
    for session in range(np.int64(market.scalars[0]["sessions_known"])):
        count += is_first_of_firm(market, session)
    return count


@cold_kernel
def snapshot_size_max(market):
    """Bytes that a snapshot of the market has at most."""
    count = 4 + (2 + _firm_count(market)) * len(market.instruments)
    return (count + np.int64(market.scalars[0]["orders"])) * PACKET_SIZE_MAX


@cold_kernel
def _add_beginning(market, time_ns, buffer, offset):
    """The system events, the instruments and the firms."""
    offset += encode_system(buffer, offset, time_ns, _START_OF_MESSAGES)
    for index in range(len(market.instruments)):
        offset += add_directory(market, index, time_ns, buffer, offset)
    for index in range(len(market.instruments)):
        state = np.int64(market.instruments[at(index)]["state"])
        offset += add_state(market, index, state, time_ns, buffer, offset)
    for session in range(np.int64(market.scalars[0]["sessions_known"])):
        if is_first_of_firm(market, session):
            firm = np.int64(market.sessions[at(session)]["firm"])
            for index in range(len(market.instruments)):
                offset += add_firm(market, index, firm, time_ns, buffer, offset)
    offset += encode_system(buffer, offset, time_ns, _START_OF_SYSTEM)
    return offset + encode_system(buffer, offset, time_ns, _START_OF_MARKET)


@cold_kernel
def _add_side(market, number, time_ns, buffer, offset):
    """The displayed orders of one side of a book, best price first, each price in its order."""
    above = np.int64(market.scalars[0]["engine"]) << COMMAND_NEXT_BITS
    level = level_from(market, number, 0)
    while level:
        slot = np.int64(market.levels[at(level)]["first"])
        some = slot if slot else np.int64(market.levels[at(level)]["hidden_first"])
        key = np.int64(market.orders[at(some)]["price"]) ^ market.sides[at(number)]["mirror"]
        while slot != 0:
            order = market.orders[at(slot)]
            if order["displayed"] > 0:
                reference = above | np.int64(order["reference"])
                offset += add_order(market, slot, reference, time_ns, buffer, offset)
            slot = np.int64(order["next"])
        level = level_from(market, number, key + 1)
    return offset


@cold_kernel
def can_be_told(market):
    """1 when the feed has said all that it begins with: only then its orders are the market's."""
    return 1 if market.scalars[0]["stage"] == STAGE_MARKET else 0


@cold_kernel
def encode_snapshot(market, buffer):
    """Write a snapshot as SoupBinTCP `S` packets; return the bytes written.

    market: `can_be_told`; buffer: uint8, `snapshot_size_max` bytes.
    """
    time_ns = np.int64(market.scalars[0]["stamp_ns"])
    offset = _add_beginning(market, time_ns, buffer, 0)
    for number in range(len(market.sides)):
        offset = _add_side(market, number, time_ns, buffer, offset)
    start = write_sequenced_header(buffer, offset, _END_SIZE)
    buffer[at(start)] = END_OF_SNAPSHOT_TYPE
    following = np.int64(market.scalars[0]["feed_messages"]) + 1
    store_number(buffer, start + _SEQUENCE, _SEQUENCE_SIZE, following)
    return start + _END_SIZE
