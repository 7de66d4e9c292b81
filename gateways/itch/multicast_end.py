"""Pump: the end of a MoldUDP64 session, said again for a while in the place of its heartbeats.

The next session begins on the same feeds meanwhile: a listener tells the two by their ids.
"""

from gateways.itch.feed_log import COUNT
from gateways.itch.mold import MOLD_HEADER_SIZE, write_mold_header
from gateways.itch.mold_packets import END_OF_SESSION_COUNT, END_SECONDS
from gateways.itch.multicast import (
    ENDED_DUE_NS,
    ENDED_LEFT,
    ENDED_NEXT,
    ENDED_STREAM_0,
    ENDED_STREAM_1,
    FD,
    FEED_COUNT,
    FEED_WORDS,
    STREAM,
    send_packet,
    tell,
)
from gateways.packets import HEARTBEAT_INTERVAL_NS
from ringbuf.jit import cold_kernel, kernel

END_REPEATS = END_SECONDS * 1_000_000_000 // HEARTBEAT_INTERVAL_NS
END_TRIES = 100  # passes that what is left over gets at the end


@cold_kernel
def say_end(multicast):
    """Say on each feed, once, that nothing more comes in the session that ended last."""
    ended = multicast.ended
    stream_0, stream_1, number = ended[ENDED_STREAM_0], ended[ENDED_STREAM_1], ended[ENDED_NEXT]
    write_mold_header(multicast.packet, stream_0, stream_1, number, END_OF_SESSION_COUNT)
    for feed in range(FEED_COUNT):
        fd = multicast.words[feed * FEED_WORDS + FD]
        if fd >= 0:
            send_packet(fd, multicast, MOLD_HEADER_SIZE)


@kernel
def _has_begun(multicast):
    """1 when something of the session was, or is to be, sent on a feed."""
    for feed in range(FEED_COUNT):
        base = feed * FEED_WORDS
        if multicast.words[base + FD] >= 0 and multicast.words[base + STREAM] != 0:
            return 1
    return 0


@cold_kernel
def end_session(multicast, log, scalars, process_words, process, now_ns):
    """Send what is left, then that nothing more comes: behind all there was, sent or not."""
    for _ in range(END_TRIES):
        if tell(multicast, log, scalars, process_words, process, now_ns) == 0:
            break
    if scalars["stream_0"] == 0 or not _has_begun(multicast):
        return
    ended = multicast.ended
    ended[ENDED_STREAM_0] = scalars["stream_0"]
    ended[ENDED_STREAM_1] = scalars["stream_1"]
    ended[ENDED_NEXT] = log.words[COUNT] + 1
    ended[ENDED_LEFT] = END_REPEATS
    ended[ENDED_DUE_NS] = now_ns + HEARTBEAT_INTERVAL_NS
    say_end(multicast)


@kernel
def repeat_end(multicast, now_ns):
    """Say it again, if it is time: one packet may be lost, and so may what was before it."""
    ended = multicast.ended
    if ended[ENDED_LEFT] == 0 or now_ns < ended[ENDED_DUE_NS]:
        return
    ended[ENDED_LEFT] -= 1
    ended[ENDED_DUE_NS] = now_ns + HEARTBEAT_INTERVAL_NS
    say_end(multicast)
