"""Kernel: `L` Market Participant Position: which firms there are, in every instrument."""

from gateways.itch.codec import NO, PARTICIPANT, begin_message
from gateways.itch.messages import PARTICIPANT_POSITION
from gateways.packets import HEADER_SIZE
from ringbuf.bits import at, store_raw_4, store_raw_8
from ringbuf.jit import cold_kernel

_SIZE = PARTICIPANT_POSITION.size
_FIRM = PARTICIPANT_POSITION.offset_of("participant")
_STOCK = PARTICIPANT_POSITION.offset_of("stock")
_PRIMARY = PARTICIPANT_POSITION.offset_of("primary_market_maker")
_MODE = PARTICIPANT_POSITION.offset_of("market_maker_mode")
_STATE = PARTICIPANT_POSITION.offset_of("participant_state")
_NORMAL, _ACTIVE = NO, ord("A")


@cold_kernel
def encode_participant(buffer, offset, time_ns, locate, firm, symbol):
    """`L`: active, in normal mode, no primary market maker. firm: four characters, raw."""
    start = begin_message(buffer, offset, PARTICIPANT, _SIZE, locate, time_ns)
    store_raw_4(buffer, start + _FIRM, firm)
    store_raw_8(buffer, start + _STOCK, symbol)
    buffer[at(start + _PRIMARY)] = NO
    buffer[at(start + _MODE)] = _NORMAL
    buffer[at(start + _STATE)] = _ACTIVE
    return HEADER_SIZE + _SIZE
