"""Shell: what every gateway does at its beginning and its end."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from gateways.control import Control, PumpDoor, log
from gateways.credentials import Credentials
from gateways.mailbox import Mailbox, create_mailbox
from gateways.news import News
from gateways.outcomes import LOG_FULL, STOPPED
from ringbuf import layout
from shm_exchange.config import Configuration
from shm_exchange.market import Market
from shm_exchange.operator_line import ERROR
from shm_exchange.roles import EXIT_DONE, EXIT_FAILED, RoleContext
from shm_exchange.wiring import COUNTER_PORT, COUNTER_STREAM, PROCESS_MATCHER

POLL_SECONDS = 0.001
KEEP_ALIVE_SECONDS = 0.02
LOOP_LIMIT_SECONDS = 60.0  # a host that starves us is nobody's fault
_LOOP_LOOK_SECONDS = 1.0
_JOIN_SECONDS = 5.0
_OUTCOMES = {LOG_FULL: "the feed's log is full; roll the day"}

T = TypeVar("T")
Desk = Callable[[], Coroutine[Any, Any, None]]


def stream_name(market: Market) -> str:
    """SoupBinTCP session id of the engine's streams."""
    scalars = market.scalars[0]
    raw = int(scalars["stream_0"]).to_bytes(8, "little", signed=True)
    return (raw + int(scalars["stream_1"]).to_bytes(8, "little")[:2]).decode("ascii")


def open_mailbox(capacity: int) -> Mailbox:
    """An empty mailbox with a bell of its own."""
    return create_mailbox(capacity, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))


def wait_for_matcher(context: RoleContext) -> bool:
    """Wait until the engine's matcher serves; False when the exchange stops first."""
    while context.control.processes[PROCESS_MATCHER]["state"] != layout.STATE_READY:
        if context.stopping():
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_open(contexts: Sequence[RoleContext]) -> bool:
    """Whether all engines of a gateway let clients in."""
    return all(each.is_open() for each in contexts)


class Service(ABC):
    """What a gateway does for one engine: a pump, in a thread of its own, and its Python side."""

    def __init__(self, context: RoleContext, door: PumpDoor) -> None:
        self.context = context
        self.door = door

    @abstractmethod
    def start(self) -> bool:
        """Get ready to serve, in the pump's thread; False when the exchange stops first."""

    @abstractmethod
    def run(self) -> int:
        """Pump until the exchange stops or nothing more can be done; the outcome."""

    @abstractmethod
    def follow(self, configuration: Configuration) -> None:
        """Work with what an operator changed; called while the pump runs."""

    @abstractmethod
    def finish(self) -> None:
        """Wait for whatever has to outlive the pump."""


class _Thread(threading.Thread):
    """Of a service's pump. What goes wrong in it is kept for the main thread."""

    def __init__(self, service: Service) -> None:
        super().__init__(name=f"pump {service.context.engine}", daemon=True)
        self.service = service
        self.ready = threading.Event()
        self.outcome: int | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """The pump's life."""
        try:
            if self.service.start():
                self.ready.set()
                self.outcome = self.service.run()
            else:
                self.outcome = STOPPED
        except BaseException as error:  # the main thread raises it
            self.error = error
        self.ready.set()
        os.eventfd_write(self.service.door.bell, 1)

    @property
    def ended(self) -> bool:
        """Whether it pumps no more, or never did."""
        return self.outcome is not None or self.error is not None

    def check(self) -> None:
        """Raise what went wrong in it."""
        if self.error is not None:
            raise self.error


def _report(task: asyncio.Task[None]) -> None:
    """Say what ended something that was to go on; the rest goes on without it."""
    if not task.cancelled() and task.exception() is not None:
        log(f"{task.get_name()}: ended by {task.exception()!r}")


async def end_when_loop_hangs() -> None:
    """End the process when this loop does not come round any more, and say on stderr where it was.

    The pump says that it is well, and nobody would log in there again: another process will do
    better. Nothing of Python is needed for it, so that it helps whatever the loop hangs in.
    """
    try:
        while True:
            faulthandler.dump_traceback_later(LOOP_LIMIT_SECONDS, exit=True)
            await asyncio.sleep(_LOOP_LOOK_SECONDS)
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _serve(
    control: Control,
    listener: socket.socket,
    is_over: Callable[[], bool],
    beside: Sequence[Desk],
) -> None:
    """Accept clients until it is over, and do what else there is to do meanwhile."""
    tasks = [asyncio.create_task(desk()) for desk in beside]
    for task in tasks:
        task.add_done_callback(_report)
    try:
        await control.serve(listener, is_over)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def serve_pumps(
    listener: socket.socket,
    services: Sequence[Service],
    credentials: Credentials,
    beside: Sequence[Desk] = (),
) -> int:
    """Start each service in a thread, and accept clients until a pump ends; the exit code.

    beside: what else the Python side does from then on, until it is cancelled.
    """
    threads = [_Thread(each) for each in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.ready.wait()
        thread.check()
    if any(thread.ended for thread in threads):
        return EXIT_DONE
    contexts = [each.context for each in services]
    doors = [each.door for each in services]
    for context, door in zip(contexts, doors, strict=True):
        counters = context.control.processes[context.process]["counter"]
        counters[COUNTER_PORT] = listener.getsockname()[1]
        counters[COUNTER_STREAM : COUNTER_STREAM + 2] = np.frombuffer(
            door.stream().encode("ascii").ljust(16), np.int64
        )
        context.set_state(layout.STATE_READY)

    def follow(configuration: Configuration) -> None:
        for service in services:
            service.follow(configuration)

    news = News(contexts, doors, credentials, follow)
    control = Control(credentials, doors, lambda: is_open(contexts))
    desks = (news.run, end_when_loop_hangs, *beside)
    asyncio.run(_serve(control, listener, lambda: any(thread.ended for thread in threads), desks))
    for thread in threads:
        thread.join(_JOIN_SECONDS)
        thread.check()
    outcomes = [thread.outcome for thread in threads if thread.outcome is not None]
    failures = [_OUTCOMES[outcome] for outcome in outcomes if outcome != STOPPED]
    if failures:
        log(f"{contexts[0].role} gateway: {failures[0]}", ERROR)
        return EXIT_FAILED
    for context in contexts:
        context.set_state(layout.STATE_STOPPED)
    for service in services:
        service.finish()
    return EXIT_DONE


def do_beside(work: Callable[[], T], keep_alive: Callable[[], object]) -> T:
    """Do `work` in another thread, and call `keep_alive` all the while; what `work` returned."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        future = executor.submit(work)
        while not future.done():
            keep_alive()
            wait([future], KEEP_ALIVE_SECONDS)
        return future.result()
