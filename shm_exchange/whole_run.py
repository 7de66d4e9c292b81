"""Shell: an exchange from its claim of a name to the end of its shared memory.

    what the host must give -> claim the name -> save and remove what a dead exchange left
    -> shared memory -> the supervisor -> release

A start that fails has made nothing, or takes back what it made.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringbuf.jit import check_cache
from shm_exchange import (
    leftovers,
    memory,
    operator_line,
    placement,
    ports,
    presence,
    process_limits,
    running_configuration,
)
from shm_exchange.config import NOBODY_TRADES, Configuration
from shm_exchange.errors import UnfitHostError
from shm_exchange.operator_line import WARNING
from shm_exchange.presence import Claim
from shm_exchange.session_requests import Register
from shm_exchange.signals import Signals
from shm_exchange.supervisor import Supervisor, say


def run(
    configuration: Configuration, state_directory: Path, name: str, source: Path | None = None
) -> int:
    """Run the exchange until it is told to stop; the exit code. source: the configuration's file.

    Raises AnotherWriterError, ConfigurationError, SegmentError ... when it cannot start, and
    ExchangeError when it had to give up; nothing is left behind then.
    """
    signals = Signals()
    cores = os.sched_getaffinity(0)
    operator_line.heed(lambda: operator_line.LEVELS[configuration.exchange.log_level])
    operator_line.speak_as("supervisor", [each.id for each in configuration.engines])
    placement.check_cores(configuration, cores)
    check_cache()
    process_limits.check(configuration)
    with _blaming_the_host():
        claim = Claim(name, state_directory)
    folder = claim.state_directory
    try:
        if presence.is_open_to_others(folder):
            text = f"other users may look into {folder}, which has passwords: chmod 700 {folder}"
            say(text, WARNING)
        if not configuration.takes_orders:
            say(NOBODY_TRADES, WARNING)
        with claim.undone_on_failure(), _blaming_the_host():
            for each in leftovers.settle(claim):
                say(each, WARNING)
            ports.check(configuration)  # now that what had them may have ended
            register = Register(configuration, folder)
            running_configuration.keep(source, folder)
            wirings = memory.create(configuration, name, folder)
        supervisor = Supervisor(configuration, claim, wirings, signals, cores, source, register)
        return supervisor.run()
    finally:
        claim.release()


@contextmanager
def _blaming_the_host() -> Iterator[None]:
    """An error of a file is the host's: it says which, and what to do."""
    try:
        yield
    except OSError as error:
        remedy = "make room" if error.errno == errno.ENOSPC else "choose another --state"
        if error.errno == errno.EACCES:
            remedy = f"run it as the exchange's user, or {remedy}"
        raise UnfitHostError(f"{error.filename}: {error.strerror}; {remedy}") from error
