"""Shell: what every process of an exchange is given, and how a role begins and ends.

The supervisor starts `python -m shm_exchange.roles ROLE ...` (or `python -m gateways...`); the
arguments name the exchange, and the role attaches to shared memory by itself. A role ends when the
stop word is set, and dies with the supervisor (the kernel sees to that).
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ringbuf import host, layout
from ringbuf.errors import CacheError, LayoutError, SegmentError, UsageError
from ringbuf.segment import Control
from ringbuf.waiting import PARK, POLICY_NAMES
from shm_exchange import accounts, config, wiring
from shm_exchange.errors import ExchangeError
from shm_exchange.journal_segment import Owner
from shm_exchange.operator_line import ERROR, heed, say, speak_as
from shm_exchange.wiring import Wiring

BELL_COUNT = layout.PROCESS_LIMIT
EXIT_DONE, EXIT_FAILED = 0, 1

# Role name -> module with `run(context) -> exit code`, number in PROCESS.role, and the value of the
# stop word that ends it.
ROLES = {
    "matcher": ("shm_exchange.primary", wiring.ROLE_MATCHER, wiring.STOP_MATCHER),
    "standby": ("shm_exchange.standby", wiring.ROLE_STANDBY, wiring.STOP_MATCHER),
    "recorder": ("shm_exchange.recorder", wiring.ROLE_RECORDER, wiring.STOP_RECORDER),
    "order": ("gateways.ouch.process", wiring.ROLE_ORDER, wiring.STOP_GATEWAYS),
    "market_data": ("gateways.itch.process", wiring.ROLE_MARKET_DATA, wiring.STOP_GATEWAYS),
}


@dataclass
class RoleContext:
    """One role of one engine (a gateway has one of these for each engine that it serves)."""

    name: str
    engine: int
    role: str
    process: int  # number in PROCESS and doorbells
    source: int  # of a gateway's commands; 0 for the others
    configuration: config.Configuration
    state_directory: Path
    policy: int
    wiring: Wiring
    bells: np.ndarray = field(repr=False)  # int64[64], eventfds by process number, -1 = none
    news: int = -1  # of a gateway: eventfd, rung when an operator changed something; -1 = none
    # Of a gateway: what is configured, without what an operator said of sessions, and where.
    configured: config.Configuration | None = None
    configuration_file: Path | None = None

    @property
    def control(self) -> Control:
        """Control segment of the engine."""
        return self.wiring.control

    @property
    def line(self) -> np.ndarray:
        """This process's PROCESS line as int64[32] (`layout.PROCESS_*`)."""
        start = self.process * layout.PROCESS_WORDS
        return self.wiring.process_words[start : start + layout.PROCESS_WORDS]

    @property
    def owner(self) -> Owner:
        """Whose journal and snapshots are this engine's."""
        identity = int(self.wiring.segments[0].header[0]["identity"])
        return Owner.of(identity, self.engine)

    @property
    def holds(self) -> bool:
        """True when nobody may be told of an event before it survives a loss of power."""
        recorded = self.configuration.engine(self.engine).recorder
        return recorded and self.configuration.exchange.durability == "disk"

    def stopping(self) -> bool:
        """True once the stop word has reached the value that ends this role."""
        return int(self.control.words[layout.STOP]) >= ROLES[self.role][2]

    def is_open(self) -> bool:
        """True from READY on: clients may be let in."""
        return int(self.control.words[layout.OPEN]) != 0

    def set_state(self, state: int) -> None:
        """Say STATE_STARTING, STATE_READY ... in the PROCESS line: a sign of life as well."""
        row = self.control.processes[self.process]
        row["heartbeat_ns"] = time.time_ns()  # before: who is ready is never silent since its start
        row["state"] = state

    def register(self) -> None:
        """Fill the PROCESS line: who we are, starting."""
        row = self.control.processes[self.process]
        for name in ("position", "heartbeat_ns", "epoch", "loops", "work", "clients", "errors"):
            row[name] = 0
        row["role"] = ROLES[self.role][1]
        row["source"] = self.source
        row["engine"] = self.engine
        row["policy"] = self.policy
        row["started_ns"] = time.time_ns()
        row["state"] = layout.STATE_STARTING
        row["pid"] = os.getpid()


def parse(arguments: list[str]) -> list[RoleContext]:
    """The contexts that a command line names: one, or one per engine of a gateway."""
    parser = argparse.ArgumentParser(prog="role")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--name", required=True)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--configuration", type=Path, default=None)
    parser.add_argument("--policy", choices=POLICY_NAMES, default=POLICY_NAMES[PARK])
    parser.add_argument("--source", type=int, default=0)
    parser.add_argument("--news", type=int, default=-1, help="eventfd")
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--supervisor", type=int, default=None, help="process id")
    parser.add_argument(
        "--engine",
        action="append",
        required=True,
        help="ENGINE:PROCESS:BELL,BELL,... eventfds by process number, - = none",
    )
    given = parser.parse_args(arguments)
    if given.supervisor is not None and given.supervisor != os.getppid():
        raise SegmentError("the supervisor that started this process is gone")
    if given.core is not None:
        host.pin(given.core)
    configured = config.load(given.configuration)
    configuration = accounts.running(configured, given.state)
    contexts = []
    for text in given.engine:
        engine, process, bells = text.split(":")
        numbers = np.full(BELL_COUNT, -1, np.int64)
        for place, fd in enumerate(bells.split(",")):
            numbers[place] = -1 if fd in ("", "-") else int(fd)
        contexts.append(
            RoleContext(
                name=given.name,
                engine=int(engine),
                role=given.role,
                process=int(process),
                source=given.source,
                configuration=configuration,
                state_directory=given.state,
                policy=POLICY_NAMES.index(given.policy),
                wiring=wiring.attach(given.name, int(engine)),
                bells=numbers,
                news=given.news,
                configured=configured,
                configuration_file=given.configuration,
            )
        )
    return contexts


def _sentence(error: Exception) -> str:
    """The text of an error; a system error without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def main(arguments: list[str]) -> int:
    """Run a role to its end; the reason of a failure goes to stderr as one line."""
    host.die_with_parent()
    host.set_not_dumpable()
    # Ctrl-C reaches the whole group; only the supervisor decides when a role ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        contexts = parse(arguments)
        speak_as(contexts[0].role, [each.engine for each in contexts])
        heed(lambda: int(contexts[0].control.words[layout.SAID]))
        for context in contexts:
            context.register()
        module = importlib.import_module(ROLES[contexts[0].role][0])
        if contexts[0].role in ("order", "market_data"):
            return int(module.run(contexts))
        return int(module.run(contexts[0]))
    except (ExchangeError, CacheError, LayoutError, SegmentError, UsageError, OSError) as error:
        say(f"{arguments[0]}: {_sentence(error)}", ERROR)
        return EXIT_FAILED


if __name__ == "__main__":
    outcome = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter's own end takes a third of a second of a core, only to free what goes anyway.
    os._exit(outcome)
