"""Shell: who may fill the matcher's post and the standbys', and who fills it already.

The lock word alone decides who writes. The supervisor only starts candidates and reads from the
matcher's line in shared memory who succeeded:

- at the beginning of a run a matcher is started, which takes the free lock at once;
- afterwards nobody is started *as* the matcher: standbys are, also where none is configured (a
  relief), because whoever comes may find that another was faster;
- a gateway whose replica was promoted fills both its own post and the matcher's; where standbys
  are configured, it hands over to the first that is ready, so that the matcher is alone again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping

from ringbuf import layout
from ringbuf.writer_lock import LOCK_WORD, OWNER_DIED_BIT
from shm_exchange import handover
from shm_exchange.children import Child, Post
from shm_exchange.errors import ExchangeError
from shm_exchange.messages import COMMAND_NEXT_BITS, COMMAND_NEXT_MASK
from shm_exchange.wiring import PROCESS_MATCHER, Wiring

# How long a gateway's replica has to take over before a new process is started to do so.
_PROMOTION_SECONDS = 1.0


class Succession:
    """Matchers and standbys of all engines, over the supervisor's posts."""

    def __init__(
        self, posts: list[Post], wirings: Mapping[int, Wiring], say: Callable[[str], None]
    ) -> None:
        self._posts = posts
        self._wirings = wirings
        self._say = say
        self._vacant_since: dict[int, float] = {}  # engine -> when nobody was seen to write
        self._blamed: dict[int, tuple[int, int]] = {}  # engine -> command, strikes

    def has_begun(self, post: Post) -> bool:
        """Whether the engine had a matcher in this run: who comes now succeeds somebody."""
        return int(self._wirings[post.engine].control.words[layout.EPOCH]) > 0

    def may_fill(self, post: Post) -> bool:
        """Whether to start a process for an empty post now."""
        if post.role not in ("matcher", "standby"):
            return True
        lock = int(self._wirings[post.engine].control.lock[LOCK_WORD])
        dead = bool(lock & OWNER_DIED_BIT)
        if self.has_begun(post):
            return post.role == "standby" or self._needs_relief(post, vacant=dead or lock == 0)
        if post.role == "matcher":
            return lock == 0 or not self._is_filled("standby", post.engine)
        return not dead or not self._is_filled("matcher", post.engine)

    def is_superfluous(self, post: Post) -> bool:
        """Whether, at the end of a run, a process is still starting that nothing depends on.

        A standby counts if the writer died or handed over: it may be who does what is left.
        """
        if post.child is None or post.role in ("matcher", "recorder"):
            return False
        control = self._wirings[post.engine].control
        died = int(control.lock[LOCK_WORD]) & OWNER_DIED_BIT != 0
        handed_over = int(control.words[layout.HANDOVER]) == int(control.words[layout.EPOCH])
        is_needed = post.role == "standby" and (died or handed_over)
        return not (is_needed or post.child.was_ready or post.is_ready(self._wirings))

    def observe(self) -> list[Child]:
        """Move whoever took over to the matcher's post; those whom nobody needs any more."""
        unneeded = []
        for post in self._posts:
            if post.role != "matcher":
                continue
            row = self._wirings[post.engine].control.processes[PROCESS_MATCHER]
            pid = int(row["pid"])
            writer = next((each for each in self._candidates(post) if each.pid == pid), None)
            if writer is not None:
                unneeded += self._install(post, writer)
            elif post.child is not None and post.child.relief and post.child.pid == pid:
                post.child.relief = False
                self._announce(post)
        return unneeded

    def isolate(self) -> None:
        """Let a gateway that had to become the matcher hand over as soon as a standby is ready."""
        for post in self._posts:
            if self.is_makeshift(post):
                # Not yet: no standby is fit, or the last request is just being met.
                with contextlib.suppress(ExchangeError):
                    handover.begin(self._posts, self._wirings, {"engine": post.engine})

    def is_makeshift(self, post: Post) -> bool:
        """Whether a gateway is the matcher although the engine is to have standbys for that."""
        engine = post.engine
        return (
            post.role == "matcher"
            and any(
                each.role == "order" and each.child is post.child and post.child is not None
                for each in self._posts
            )
            and any(each.role == "standby" and each.engine == engine for each in self._posts)
        )

    def _candidates(self, matcher: Post) -> list[Post]:
        """The posts of the engine whose processes can become its matcher, and are not."""
        return [
            each
            for each in self._posts
            if each.role in ("standby", "order")
            and each.child is not None
            and each.child is not matcher.child
            and matcher.engine in (engine for engine, _ in each.lines)
        ]

    def _install(self, post: Post, writer: Post) -> list[Child]:
        """Let the process of `writer` fill the matcher's post; whom it makes superfluous."""
        before, post.child = post.child, writer.child
        if writer.role == "standby":
            writer.child = None
            assert post.child is not None
            _pin_again(post.child, post.core)
        self._announce(post)
        return [before] if before is not None and before.relief else []

    def _announce(self, post: Post) -> None:
        assert post.child is not None
        self._vacant_since.pop(post.engine, None)
        words = self._wirings[post.engine].control.words
        epoch = int(words[layout.EPOCH])
        self._say(f"process {post.child.pid} is the {post.label} now, epoch {epoch}")
        blame = int(words[layout.SUSPECT]), int(words[layout.STRIKES]) & layout.STRIKES_MASK
        if blame[1] and blame != self._blamed.get(post.engine):
            source, position = blame[0] >> COMMAND_NEXT_BITS, blame[0] & COMMAND_NEXT_MASK
            self._say(
                f"engine {post.engine}: the command of source {source} that ends at position"
                f" {position} has ended {blame[1]} matchers"
            )
        self._blamed[post.engine] = blame

    def _needs_relief(self, post: Post, *, vacant: bool) -> bool:
        """Whether nobody writes, nobody stands by, and no gateway was promoted in time."""
        roles = [each.role for each in self._posts if each.engine == post.engine]
        if "standby" in roles:
            return False  # whoever fills that post will be the matcher
        if not vacant:
            self._vacant_since.pop(post.engine, None)
            return False
        since = self._vacant_since.setdefault(post.engine, time.monotonic())
        patience = _PROMOTION_SECONDS if self._is_filled("order", post.engine) else 0.0
        return time.monotonic() - since >= patience

    def _is_filled(self, role: str, engine: int) -> bool:
        return any(
            each.role == role
            and each.child is not None
            and engine in (number for number, _ in each.lines)
            for each in self._posts
        )


def _pin_again(child: Child, core: int | None) -> None:
    """Move all threads of a process to the matcher's core, which is free now."""
    if core is None:
        return
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{child.pid}/task"):
            os.sched_setaffinity(int(thread), {core})
