"""One side of a race: `python -m tests.litmus.racers KIND SEGMENT ARGUMENT ...`.

Every kind warms its kernel, says READY, waits for a line, races, and says what it saw as numbers.
The words of a record are a function of its position and of its writer's epoch, so that a record
which is half one and half another cannot look right.
"""

import ctypes
import signal
import sys

import numpy as np

from ringbuf import broadcast, spsc
from ringbuf.atomics import load_acquire, pause
from ringbuf.bits import at, wrapping_multiply
from ringbuf.broadcast import LAPPED, READY
from ringbuf.jit import COMPILED, kernel
from ringbuf.layout import STOP
from ringbuf.segment import attach_broadcast, attach_control, attach_spsc
from ringbuf.waiting import announce_sleep, end_sleep, ring_one, sleep_on
from ringbuf.writer_lock import ACQUIRED, OWNER_DIED, begin_reign, owner_died, try_lock
from tests.shared_memory import DIGEST, RECORD_DTYPE

BATCH = 4  # records per commit: word_6 says where the commit ends
SPREAD = 0x5DEECE66D
SLEEPER, BELL_BOUND_US = 7, 3_000_000


def scaled(count: int) -> int:
    """So many steps of a race, or fewer when the kernels are interpreted."""
    return count if COMPILED else max(400, count // 1000)


@kernel
def fill(record, position, epoch, commit_end):
    """Write a record that can be checked."""
    record["word_0"] = position
    record["word_1"] = epoch
    record["word_2"] = wrapping_multiply(position, SPREAD)
    record["word_3"] = position ^ epoch
    record["word_4"] = ~position
    record["word_5"] = wrapping_multiply(epoch, SPREAD)
    record["word_6"] = commit_end
    record["word_7"] = position + epoch


@kernel
def is_whole(record, position):
    """1 when every word is of this position and of one epoch."""
    epoch = record["word_1"]
    if record["word_0"] != position or record["word_4"] != ~position:
        return 0
    if record["word_2"] != wrapping_multiply(position, SPREAD):
        return 0
    if record["word_5"] != wrapping_multiply(epoch, SPREAD):
        return 0
    if record["word_3"] != position ^ epoch or record["word_7"] != position + epoch:
        return 0
    return 1


@kernel
def publish_commits(ring, words, position, count, epoch):
    """Publish `count` records from `position` on, BATCH by BATCH, until stopped; where it ended."""
    limit = position + count
    while position < limit and load_acquire(words, STOP) == 0:
        while broadcast.claim(ring, position, BATCH) == 0:
            pause()
        for offset in range(BATCH):
            place = position + offset
            record = ring.records[at(place & (len(ring.records) - 1))]
            fill(record, place, epoch, position + BATCH)
        position += BATCH
        broadcast.publish(ring, position)
    return position


@kernel
def read_all(ring, limit, out, seen):
    """Read up to `limit`, skipping what was lapped. seen: whole, torn, lapped, half commits."""
    position = 0
    while position < limit:
        ready = broadcast.published(ring)
        if ready % BATCH != 0:
            seen[3] += 1
        code = broadcast.poll(ring, position, out)
        if code == READY:
            seen[0] += is_whole(out[0], position)
            seen[1] += 1 - is_whole(out[0], position)
            position += 1
        elif code == LAPPED:
            seen[2] += 1  # the oldest that may be left: the publisher is at our heels
            position = load_acquire(ring.cursors, broadcast.CLAIMED) - len(ring.records) + 1
        else:
            pause()
    return position


@kernel
def read_gated(ring, limit, out, seen):
    """Read everything; the publisher may not pass us. seen: whole, torn, lapped."""
    position = 0
    while position < limit:
        code = broadcast.poll(ring, position, out)
        if code == READY:
            seen[0] += is_whole(out[0], position)
            seen[1] += 1 - is_whole(out[0], position)
            position += 1
            broadcast.record_until(ring, position)
        elif code == LAPPED:
            seen[2] += 1
            position += 1
        else:
            pause()
    return position


@kernel
def produce(ring, count, record):
    """Offer `count` records, each when there is room."""
    position = 0
    while position < count:
        fill(record[0], position, 1, 0)
        after = spsc.offer(ring, position, record)
        if after == spsc.FULL:
            pause()
        else:
            position = after
    return position


@kernel
def take(ring, count, out):
    """Take `count` records; how many were whole and in their place."""
    position = right = 0
    while position < count:
        if spsc.poll(ring, position, out) == spsc.READY:
            right += is_whole(out[0], position)
            position += 1
            spsc.consume(ring, position)
        else:
            pause()
    return right


@kernel
def reign(control, ring, limit):
    """Wait for the lock, then publish until killed or `limit`; how the lock was got."""
    code = ACQUIRED
    while load_acquire(control.words, STOP) == 0:
        if owner_died(control.lock) != 0 or load_acquire(control.lock, 0) == 0:
            code = try_lock(control.lock)
            if code == ACQUIRED or code == OWNER_DIED:
                epoch = begin_reign(control.words)
                position = broadcast.published(ring)
                publish_commits(ring, control.words, position, limit - position, epoch)
                return code
        pause()
    return -1


@kernel
def nap(control, ring, count, fd, seen):
    """Take `count` records, asleep whenever there is none. seen: sleeps, rung, missed."""
    position = 0
    while position < count:
        if spsc.published(ring) > position:
            position += 1
            spsc.consume(ring, position)
            continue
        announce_sleep(control.doorbells, SLEEPER)
        if spsc.published(ring) == position:
            seen[0] += 1
            rung = sleep_on(fd, BELL_BOUND_US)
            seen[1] += rung
            if rung == 0 and spsc.published(ring) > position:
                seen[2] += 1
        end_sleep(control.doorbells, SLEEPER)
    return position


@kernel
def disturb(control, ring, count, fds):
    """Publish `count` records, each some moments after the last was taken, and ring."""
    for position in range(count):
        while spsc.consumed(ring) < position:
            pause()
        for _ in range(position * 37 % 401):  # meets the sleeper at every step of its way
            pause()
        spsc.publish(ring, position + 1)
        ring_one(control.doorbells, fds, SLEEPER)
    return count


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG


def _start() -> None:
    print("READY", flush=True)
    sys.stdin.readline()


def _say(*numbers: object) -> None:
    print(*(int(number) for number in numbers), flush=True)  # type: ignore[call-overload]


def main(kind: str, name: str, *arguments: str) -> None:
    """Run one side of a race."""
    out, seen = np.zeros(1, RECORD_DTYPE), np.zeros(4, np.int64)
    numbers = [int(argument) for argument in arguments]
    if kind in ("produce", "take"):
        _, queue = attach_spsc(name, RECORD_DTYPE, DIGEST)
        side = produce if kind == "produce" else take
        side(queue, 0, out)
        _start()
        _say(side(queue, numbers[0], out))
    elif kind in ("nap", "disturb"):
        _, control = attach_control(name + ".control", DIGEST)
        _, queue = attach_spsc(name, RECORD_DTYPE, DIGEST)
        fds = np.full(64, -1, np.int64)
        fds[SLEEPER] = numbers[1]
        side, last = (nap, (numbers[1], seen)) if kind == "nap" else (disturb, (fds,))
        side(control, queue, 0, *last)
        _start()
        _say(side(control, queue, numbers[0], *last), *seen)
    else:
        _, control = attach_control(name + ".control", DIGEST)
        _, ring = attach_broadcast(name, RECORD_DTYPE, DIGEST)
        _race_on_broadcast(kind, control, ring, numbers[0], out, seen)


def _race_on_broadcast(kind, control, ring, limit, out, seen):  # type: ignore[no-untyped-def]
    if kind == "publish":
        publish_commits(ring, control.words, 0, 0, 1)
        _start()
        _say(publish_commits(ring, control.words, 0, limit, 1))
    elif kind == "reign":
        stopped = control.words.copy()
        stopped[STOP] = 1
        reign(control._replace(words=stopped), ring, 0)
        _start()
        _say(reign(control, ring, limit))
    else:
        side = read_all if kind == "read" else read_gated
        side(ring, 0, out, seen)
        _start()
        _say(side(ring, limit, out, seen), *seen)


if __name__ == "__main__":
    _die_with_parent()
    main(*sys.argv[1:])
