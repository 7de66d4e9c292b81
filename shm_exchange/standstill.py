"""Shell: finds whoever stands still although he could go on, for a kill: all but the matcher.

A matcher that hangs is killed by whoever may succeed it (`fencing`); gateways and recorders have no
successor, and a standby is one, so the supervisor looks. Whose words do not move is judged by its
threads: of a recorder the first, which appends, and of a standby, which follows; of a gateway all,
since any may be its pump.

- runnable (R): it may be starved, which is nobody's fault; only what it has run counts;
- waiting for a device (D): the disk is slow or full, and a new process would wait as well;
- stopped (T, t): it counts, and so does sleep (S) in a gateway or a standby, whose loops never
  sleep for longer than a moment. A recorder may: some file systems let it while they wait for
  their disk.

Who is still starting compiles or recovers, and is not looked at. Nor is a standby that has the
writer lock: it is about to be the matcher, may have to wait for the disk, and has other words for
that.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ringbuf.writer_lock import LOCK_WORD, OWNER_MASK
from shm_exchange.children import Child, Post
from shm_exchange.fencing import INTERVAL_SECONDS, LOOPING, PROGRESS, TICK_NS, Suspicion
from shm_exchange.wiring import Wiring

LIMIT_SECONDS_MIN = 5.0  # a gateway's Python side may hold everything up for a moment
_INTERVAL_NS = int(INTERVAL_SECONDS * 1e9)
_NS = 1_000_000_000
_LOOKED_AT = ("order", "market_data", "recorder", "standby")
_APPENDS, _STANDS_BY = "recorder", "standby"

Words = tuple[int, ...]


def words_of(engine: Wiring, number: int) -> Words:
    """What a process stores when it goes on."""
    row = engine.control.processes[number]
    return tuple(int(row[name]) for name in PROGRESS)


def posture(pid: int, role: str) -> tuple[str, int]:
    """State of a process as its threads are, and what they have run, in ns. OSError: it is gone.

    The state is D if any waits for a device, else R if any is runnable, else that of the first.
    """
    states, cpu_ns = [], 0
    first = Path(f"/proc/{pid}/task/{pid}")
    one = role in (_APPENDS, _STANDS_BY)
    for path in [first] if one else sorted(first.parent.iterdir()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended
            fields = (path / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
            states.append(fields[0])
            cpu_ns += (int(fields[11]) + int(fields[12])) * TICK_NS
    if not states:
        raise ProcessLookupError(pid)
    return next((each for each in "DR" if each in states), states[0]), cpu_ns


def writes(engine: Wiring, pid: int) -> bool:
    """Whether a thread of the process holds the writer lock."""
    owner = int(engine.control.lock[LOCK_WORD]) & OWNER_MASK
    return owner != 0 and Path(f"/proc/{pid}/task/{owner}").exists()


@dataclass
class _Watched:
    """One line of a process, since it was seen to move."""

    pid: int
    suspicion: Suspicion
    words: Words = ()
    cpu_ns: int = -1  # what the process had run at the last look; -1: it was not looked at yet
    looked_ns: int = 0

    def verdict(self, words: Words, role: str, now_ns: int) -> str | None:
        """As `Suspicion.verdict`."""
        if words != self.words:
            self.words, self.cpu_ns = words, -1
            self.suspicion.clear()
            return None
        state, cpu_ns = posture(self.pid, role)
        waits = state == "D" or (state == "S" and role == _APPENDS)
        before, self.cpu_ns = self.cpu_ns, cpu_ns
        elapsed_ns, self.looked_ns = now_ns - self.looked_ns, now_ns
        if before < 0 or waits:
            return None
        return self.suspicion.verdict(elapsed_ns, state, cpu_ns - before)


@dataclass
class Standstills:
    """Of all gateways, recorders and standbys. limit_ms: `hang_limit_ms`."""

    posts: Sequence[Post]
    wirings: Mapping[int, Wiring]
    limit_ms: int
    _watched: dict[tuple[int, int], _Watched] = field(default_factory=dict)
    _looked_ns: int = 0

    def look(self) -> Iterator[tuple[Child, str]]:
        """Look, if it is time; whom to kill, and the sentence that says why."""
        now_ns = time.monotonic_ns()
        if now_ns - self._looked_ns < _INTERVAL_NS:
            return
        self._looked_ns = now_ns
        for post in self.posts:
            if post.role not in _LOOKED_AT:
                continue
            if post.child is None or not self._is_at_work(post, post.child):
                for line in post.lines:
                    self._watched.pop(line, None)
                continue
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends by itself
                verdicts = [
                    self._verdict(post.child.pid, post, line, now_ns) for line in post.lines
                ]
                verdict = next(filter(None, verdicts), None)
                if verdict:
                    post.child.looped = verdict == LOOPING
                    yield post.child, self._sentence(post, verdict)

    def _is_at_work(self, post: Post, child: Child) -> bool:
        """Whether his words move as long as nothing is amiss."""
        if post.role == _STANDS_BY and writes(self.wirings[post.engine], child.pid):
            return False
        return post.is_ready(self.wirings)

    def _verdict(self, pid: int, post: Post, line: tuple[int, int], now_ns: int) -> str | None:
        watched = self._watched.get(line)
        if watched is None or watched.pid != pid:
            limit_ns = max(int(LIMIT_SECONDS_MIN * _NS), self.limit_ms * 1_000_000)
            watched = self._watched[line] = _Watched(pid, Suspicion(limit_ns))
        return watched.verdict(words_of(self.wirings[line[0]], line[1]), post.role, now_ns)

    def _sentence(self, post: Post, verdict: str) -> str:
        seconds = max(LIMIT_SECONDS_MIN, self.limit_ms / 1e3)
        how = "while it ran" if verdict == LOOPING else "while it did not run"
        return (
            f"killing the {post.label} (process {post.pid}): it made no progress for"
            f" {seconds:g} s {how}"
        )
