"""The simulated machine: threads that can be stopped anywhere, a clock, a robust lock, sockets.

Threads are greenlets. One runs until its turn (a number of accesses to shared memory) is over or
until it waits; then the hub decides who is next. Everything random comes from one generator, so a
seed is one history.

A thread that found nothing to do is not run again before a word that others wait for has changed,
or time has passed: what it would do meanwhile is look again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import greenlet

from ringbuf.syscalls import EPOLL_CTL_DEL
from tests.simulation.memory import World

OWNER_DIED = 0x4000_0000
EBUSY, EOWNERDEAD, EPERM = 16, 130, 1
NEVER = 1 << 62
TICK_NS = 2_000  # of a turn
FIRST_NS = 1_700_000_000_000_000_000


class Violation(Exception):
    """An invariant does not hold."""


class Thread:
    """One thread of a simulated process."""

    def __init__(self, process: Process, name: str, body: Callable[[], object]) -> None:
        self.process, self.name, self.body = process, name, body
        self.identifier = process.machine.new_identifier()
        self.looked = -1  # value of `changes` when it began to look for something to do
        self.blocked = -1  # value of `changes` at which there is nothing to do for it
        self.wakes_ns = 0  # asleep until then
        self.rung: Callable[[], bool] | None = None  # or until this says so
        self.outcome: object = None
        self.ended = False
        self.greenlet = greenlet.greenlet(self._run)

    def _run(self) -> None:
        self.outcome = self.body()
        self.ended = True
        self.process.machine.thread_ended(self)


class Process:
    """A simulated process: its threads live and die together."""

    def __init__(self, machine: Machine, name: str, number: int) -> None:
        self.machine, self.name, self.number = machine, name, number
        self.threads: list[Thread] = []
        self.alive = True
        machine.started.append(self)
        self.stopped_until = 0  # turns; SIGSTOP
        self.private: Any = None  # what its role keeps for the watchers

    def start(self, name: str, body: Callable[[], object]) -> Thread:
        """One more thread."""
        thread = Thread(self, name, body)
        self.threads.append(thread)
        self.machine.threads.append(thread)
        return thread

    @property
    def ended(self) -> bool:
        """Whether every thread has returned."""
        return all(thread.ended for thread in self.threads)


class Machine(World):
    """The hub."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = greenlet.getcurrent()
        self.threads: list[Thread] = []
        self.started: list[Process] = []
        self.current: Thread | None = None
        self.now_ns = FIRST_NS
        self.changes = 0
        self.turns = 0
        self.steps = 0
        self.kills = 0
        self.doomed: tuple[Process, int] | None = None
        self.mean_turn = 8
        self.on_change: Callable[[], None] | None = None
        self.on_death: Callable[[Process], None] | None = None
        self.ended: list[Process] = []
        self.lock_words: list[int] = []  # of the writer lock
        self.locks: list[list[int]] = []
        self.bells: set[int] = set()
        self.sockets: dict[int, Any] = {}
        self.readiness: dict[int, dict[int, int]] = {}
        self.identifiers = 100

    def new_identifier(self) -> int:
        """A thread id, or a descriptor."""
        self.identifiers += 1
        return self.identifiers

    def changed(self) -> None:
        """Something that others may wait for has happened."""
        self.changes += 1
        if self.on_change is not None:
            self.on_change()

    def alive(self) -> list[Process]:
        """Every process that runs or is stopped."""
        return [each for each in self.started if each.alive]

    def end(self) -> None:
        """Let go of everything."""
        self.on_change = self.on_death = None
        for process in self.alive():
            self.kill(process)

    def thread_ended(self, thread: Thread) -> None:
        """A thread has returned; the last one ends its process."""
        process = thread.process
        self.threads.remove(thread)
        self._release(thread)
        if process.ended:
            process.alive = False
            self.started.remove(process)
            self.ended.append(process)
            self._close_sockets(process)
        self.changed()

    def _release(self, thread: Thread) -> None:
        """What the kernel of the host does to the robust locks of a thread that ends."""
        for words in self.locks:
            if words[0] == thread.identifier:
                words[0] = OWNER_DIED

    def _close_sockets(self, process: Process) -> None:
        for number, socket in list(self.sockets.items()):
            if socket.process is process:
                self.close(number)

    # ------------------------------------------------------------ the hub

    def switch(self) -> None:
        """The turn is over. In the hub itself there are no turns."""
        if self.current is None:
            self.budget = NEVER
            return
        self.hub.switch()

    def runnable(self) -> list[Thread]:
        """Who could go on now."""
        found = []
        for thread in self.threads:
            if thread.ended or thread.process.stopped_until > self.turns:
                continue
            if thread.rung is not None:
                if thread.wakes_ns > self.now_ns and not thread.rung():
                    continue
            elif thread.blocked == self.changes:
                continue
            found.append(thread)
        return found

    def turn(self, thread: Thread) -> None:
        """Let a thread run for a while."""
        self.turns += 1
        self.now_ns += TICK_NS
        draw = self.random.random()
        budget = 1 + int(draw * draw * draw * self.mean_turn * 4)
        if self.doomed is not None and self.doomed[0] is thread.process:
            budget = min(budget, self.doomed[1] + 1)
        self.budget = budget
        self.current = thread
        try:
            thread.greenlet.switch()
        finally:
            self.current = None
        used = budget - max(0, self.budget)
        self.steps += used
        if self.doomed is not None and self.doomed[0] is thread.process:
            left = self.doomed[1] - used
            self.doomed = (thread.process, left)
            if left < 0:
                self.doomed = None
                self.kill(thread.process)

    def kill(self, process: Process) -> None:
        """SIGKILL: its memory is gone, what it shares stays as it is."""
        if not process.alive:
            return
        process.alive = False
        self.kills += 1
        if self.trace is not None:
            self.trace("kill", process.name, process.number)
        for thread in process.threads:
            if thread in self.threads:
                self.threads.remove(thread)
            if thread.greenlet and not thread.ended:
                thread.greenlet.throw(greenlet.GreenletExit)
            self._release(thread)
        self._close_sockets(process)
        self.started.remove(process)
        if self.on_death is not None:
            self.on_death(process)
        self.changed()

    def die(self) -> None:
        """The running process ends itself here, by what it does."""
        thread = self.current
        assert thread is not None
        self.doomed = (thread.process, 0)
        self.budget = -1  # used up, and one more
        self.hub.switch()

    def doom(self, process: Process, accesses: int) -> None:
        """It will be killed after so many accesses to shared memory."""
        if self.doomed is None and process.alive:
            self.doomed = (process, accesses)

    # ------------------------------------------------------------ what kernels call

    def clock(self) -> int:
        """Time, of every kind of clock."""
        return self.now_ns

    def idle(self) -> None:
        """The thread found nothing to do."""
        thread = self.current
        if thread is None:
            return
        if thread.looked == self.changes:
            thread.blocked = self.changes
        thread.looked = self.changes
        self.hub.switch()

    def _sleep(self, rung: Callable[[], bool], timeout_ns: int) -> None:
        thread = self.current
        if thread is None or rung():
            return
        thread.rung, thread.wakes_ns = rung, self.now_ns + timeout_ns
        self.hub.switch()
        thread.rung = None

    def wait_readable(self, bell: int, timeout_us: int) -> int:
        """Sleep on an eventfd."""
        self._sleep(lambda: bell in self.bells, timeout_us * 1000)
        return int(bell in self.bells)

    def event_signal(self, bell: int) -> int:
        """Ring an eventfd."""
        if bell >= 0:
            self.bells.add(bell)
        return 8

    def event_drain(self, bell: int) -> int:
        """Set an eventfd back."""
        self.bells.discard(bell)
        return 8

    def mutex_trylock(self, place: tuple[Any, int]) -> int:
        """Take a robust mutex."""
        lock, index = place
        lock[index]  # a place to be stopped; what follows is one instruction
        word = lock.words[index]
        assert self.current is not None
        if word != 0 and not word & OWNER_DIED:
            return EBUSY
        lock.words[index] = self.current.identifier
        self.changed()
        return EOWNERDEAD if word & OWNER_DIED else 0

    def mutex_consistent(self, place: tuple[Any, int]) -> int:
        """Declare a mutex whole whose owner died."""
        return 0

    def mutex_unlock(self, place: tuple[Any, int]) -> int:
        """Give a mutex back."""
        lock, index = place
        assert self.current is not None
        if lock[index] != self.current.identifier:
            return EPERM
        lock.words[index] = 0
        self.changed()
        return 0

    # ------------------------------------------------------------ sockets

    def recv(self, descriptor: int, place: tuple[Any, int], size: int, flags: int) -> int:
        """Messages that a client sent: their count, 0 when it has gone, -1 when there is none."""
        socket = self.sockets.get(descriptor)
        if socket is None or socket.closed:
            return 0
        if not socket.inbound:
            return -1
        data, offset = place
        count = min(size, len(socket.inbound), self.random.randint(1, 4))
        for number in range(count):
            data[offset + number] = socket.inbound.pop(0)
        return count

    def send(self, descriptor: int, place: tuple[Any, int], size: int, flags: int) -> int:
        """Messages to a client: how many it took."""
        socket = self.sockets.get(descriptor)
        if socket is None or socket.closed:
            return -1
        data, offset = place
        count = size if self.random.random() < 0.8 else self.random.randint(1, size)
        for number in range(count):
            socket.receive(data[offset + number])
        return count

    def close(self, descriptor: int) -> int:
        """The gateway's end of a connection is gone."""
        socket = self.sockets.pop(descriptor, None)
        if socket is not None:
            socket.lost()
        for watched in self.readiness.values():
            watched.pop(descriptor, None)
        return 0

    def epoll_ctl(self, epoll: int, operation: int, descriptor: int, event: object) -> int:
        """Watch a descriptor; `event` holds what is waited for, and the descriptor's number."""
        watched = self.readiness.setdefault(epoll, {})
        array, _ = event if operation != EPOLL_CTL_DEL else ([0], 0)  # type: ignore[misc]
        if array[0] != 0:
            watched[descriptor] = array[4]
        else:
            watched.pop(descriptor, None)
        return 0

    def epoll_wait(self, epoll: int, place: tuple[Any, int], count: int, timeout_ms: int) -> int:
        """Numbers of the descriptors that have something; sleeps on the process's bell."""
        ready = self._ready(epoll)
        if not ready and timeout_ms:
            self._sleep(lambda: bool(self._ready(epoll)), timeout_ms * 1_000_000)
            ready = self._ready(epoll)
        array, offset = place
        for number, descriptor in enumerate(ready[:count]):
            array[offset + 12 * number + 4] = self.readiness[epoll][descriptor]
        return min(count, len(ready))

    def _ready(self, epoll: int) -> list[int]:
        found = []
        for descriptor in self.readiness.get(epoll, {}):
            socket = self.sockets.get(descriptor)
            if descriptor in self.bells or (socket is not None and socket.readable):
                found.append(descriptor)
        return found
