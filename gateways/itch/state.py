"""Declaration: everything that the loop of a market-data gateway touches, for one engine."""

from typing import NamedTuple

import numpy as np

from gateways.connection import Connections
from gateways.itch.feed_log import FeedLog
from gateways.itch.multicast import Multicast
from gateways.mailbox import Mailbox
from ringbuf.broadcast import Broadcast
from ringbuf.state import State
from shm_exchange.market import Market

# Subscripts of FeedPump.words
NEXT_TIMER_NS = 0
LOOPS = 1
WORK = 2
ROWS_USED = 3  # no connection ever had this number or a larger one
CLIENTS = 4
FAULTS = 5
BEHIND = 6  # connections that have not been sent all there is
LEAVE = 7  # not 0: the loop is to end with HISTORY; stored by the thread that has it
ENDING_NS = 8  # not 0: the day has rolled; until then clients are sent the rest of the feed
ENDED = 9  # 1: the feed has ended, and the next has no name yet: who logs in waits
WORD_COUNT = 16

# Subscripts of FeedPump.settings
SETTING_PROCESS = 0
SETTING_POLICY = 1
SETTING_ENGINE = 2
SETTING_EPOLL = 3
SETTING_VISIBLE = 4  # cursor below which events may be told: PUBLISHED, or DURABLE
SETTING_COUNT = 8

WORDS_PER_LINE = 32
EVENTS_PER_PASS = 256  # events that one pass copies and applies
READY_PER_PASS = 64  # sockets that one pass serves
BYTES_PER_PASS = 1 << 18  # bytes that one pass sends to one client
EPOLL_EVENT_SIZE = 12
BELL = (1 << 31) - 1  # epoll data of the doorbell


@State.register
class FeedPump(NamedTuple):
    """Private to the pump's thread, but for ring, doorbells and the process line."""

    market: Market
    ring: Broadcast
    log: FeedLog
    known: np.ndarray  # int64[8], scratch: `outbound.KNOWN_*`
    connections: Connections
    multicast: Multicast
    mailbox: Mailbox
    doorbells: np.ndarray  # uint8[64]
    control_words: np.ndarray  # int64[32], CONTROL_WORDS
    process_words: np.ndarray  # int64[32 * 64]
    bells: np.ndarray  # int64[64]
    patience: np.ndarray  # int64[2], of `ringbuf.waiting.idle`
    settings: np.ndarray  # int64[8]
    words: np.ndarray  # int64[16]
    clock: np.ndarray  # int64[2]
    letter: np.ndarray  # LETTER[1]
    copied: np.ndarray  # EVENT[256]
    ready: np.ndarray  # uint8[12 * 64], struct epoll_event
