"""Declaration: everything that the loop of an order gateway touches, for one engine."""

from typing import NamedTuple

import numpy as np

from gateways.connection import Connections
from gateways.mailbox import Mailbox
from gateways.ouch.inbound import Desk
from ringbuf.broadcast import Broadcast
from ringbuf.schema import Field, Record
from ringbuf.state import State
from shm_exchange.market import Market

# Subscripts of OrderPump.words
COMMAND_POSITION = 0  # of the next command
COMMAND_PUBLISHED = 1  # commands below it are visible
NEXT_TIMER_NS = 2
LOOPS = 3
WORK = 4
ROWS_USED = 5  # no connection ever had this number or a larger one
PENDING = 6  # connections whose input waits in their buffer
UNSETTLED = 7  # 1: some catch up, do not read, or owe a LOGOUT
TAKEN_DUE = 8  # 1: the Python side is to be told that the replay buffer is free
CLIENTS = 9
FAULTS = 10
LAST_SERVED = 11  # the connection that was served last: its number + 1, or 0
WRITER_DEAD_NS = 12  # since when the matcher is known to be dead, or 0
TIMED_COUNT = 13  # orders in `timed`
LAST_HEARD = 14  # the connection whose input was handled last: its number + 1, or 0
CONTENDED_NS = 15  # until then connections are taken to compete for us
POLLED = 16  # sockets were asked since the last tick
ANSWERED = 17  # orders in `answered`
READ_NS = 18  # when the first of their events was read
HELD = 19  # connections that had more than their share, whose input waits in their sockets
RELEASE_NS = 20  # when the first of them may go on
MODEST = 21  # a connection that trades and keeps within its share: its number + 1, or 0
MODEST_NS = 22  # until then it is taken to trade
HOLDS = 23  # how often a connection was held
SHARES_NS = 24  # when shares were looked at last
SHARES_INTERVAL_NS = 25  # what SETTING_INTERVAL_NS was then
WORD_COUNT = 26

# Subscripts of OrderPump.settings
SETTING_SOURCE = 0
SETTING_PROCESS = 1
SETTING_POLICY = 2
SETTING_ENGINE = 3
SETTING_EPOLL = 4
SETTING_VISIBLE = 5  # cursor below which events may be told: PUBLISHED, or DURABLE
SETTING_GRACE_NS = 6  # how long the standbys have to take over from a dead matcher
SETTING_REFUSALS = 7  # rejects within a second that end a connection; 0: none do
SETTING_COPIES = 8  # 1: some session is a drop copy
SETTING_INTERVAL_NS = 9  # of a command, at the rate of a share; 0: there are no shares
SETTING_COUNT = 10

WORDS_PER_LINE = 32
EVENTS_PER_PASS = 256  # events that one pass copies and applies
MESSAGES_PER_PASS = 64  # messages of one connection that one pass reads
MESSAGES_CONTENDED = 8  # the same while others send too: who sends one message waits for a pass
CONTENTION_NS = 10_000_000  # how long two connections that take turns are remembered
COMMANDS_UNDER_WAY = 128  # with more, no input is read: what waits in the ring waits for everybody
COMMANDS_CONTENDED = 24  # the same while connections compete: each waits for what is under way
SHARE_BURST = 1024  # commands that a connection may be ahead of its share
SHARE_PORTION = 16  # commands that it must have got back before it goes on
ANSWERS_WAIT_NS = 5_000_000  # how long answers at the end of a share wait for more
MODEST_FOR_NS = 1_000_000_000  # how long a connection is taken to trade after a request
READY_PER_PASS = 64  # sockets that one pass serves
PASSES_PER_POLL = 8  # how often epoll is asked while the client served last goes on sending
COMMANDS_AWAITED = 16  # while so few commands are on their way, their events are waited for
LOOKS_AWAITING = 64  # at the event ring: a microsecond or two
EPOLL_EVENT_SIZE = 12
TIMED_LIMIT = 256  # acknowledgements whose times are still to be told; more are not told
BELL = (1 << 31) - 1  # epoll data of the doorbell


TIMED_ORDER = Record(
    name="timed_order",
    size=48,
    doc="An acknowledgement whose times its session asked for. Private to one pump.",
    fields=(
        Field("connection", "i8"),
        Field("serial", "i8", doc="the connection's"),
        Field("sequence", "i8", doc="number of the message"),
        Field("published_ns", "i8", doc="its event was read"),
        Field("sent_ns", "i8", doc="it was sent, or 0"),
        Field("user_ref", "u4"),
        Field("user_ref_index", "u4"),
    ),
)


@State.register
class Latencies(NamedTuple):
    """How long orders take to each stage from the one before, and in all: int64[1168], HISTOGRAM.

    Shared memory: this pump counts, anybody reads (shm_exchange/latencies.py).
    """

    matched: np.ndarray
    published: np.ndarray
    sent: np.ndarray
    total: np.ndarray


@State.register
class OrderPump(NamedTuple):
    """Private to the pump's thread, but for rings, doorbells, the process line and latencies."""

    market: Market
    ring: Broadcast
    desk: Desk
    connections: Connections
    mailbox: Mailbox
    by_session: np.ndarray  # int32[sessions]: connection + 1, or 0
    doorbells: np.ndarray  # uint8[64]
    control_words: np.ndarray  # int64[32], CONTROL_WORDS
    process_words: np.ndarray  # int64[32 * 64]
    bells: np.ndarray  # int64[64]
    patience: np.ndarray  # int64[2], of `ringbuf.waiting.idle`
    lock: np.ndarray  # int32[32], the writer lock
    succession: np.ndarray  # int64[1]: 1 while our copy takes over, or has; the Python side's
    settings: np.ndarray  # int64[10]
    words: np.ndarray  # int64[26]
    clock: np.ndarray  # int64[2]
    request: np.ndarray  # OUCH_REQUEST[1]
    letter: np.ndarray  # LETTER[1]: being read or written
    copied: np.ndarray  # EVENT[256]
    passed: np.ndarray  # EVENT[256]: for connections that catch up
    ready: np.ndarray  # uint8[12 * 64], struct epoll_event
    tags: np.ndarray  # ORDER_TAGS[1]: of the event that is being encoded
    timed: np.ndarray  # TIMED_ORDER[256]
    answered: np.ndarray  # int64[2 * 256]: of each order of this pass, received and matched
    latencies: Latencies
    names: np.ndarray  # int64[sessions]: six characters each, raw
    replay: np.ndarray  # uint8[chunk size]: replayed messages, filled by the Python side
