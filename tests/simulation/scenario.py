"""One seed: an exchange, its clients, and what befalls them."""

from __future__ import annotations

from typing import Any

from ringbuf import layout
from shm_exchange.messages import (
    ROLL_DAY,
    SOURCE_GATEWAY_FIRST,
    SOURCE_SUPERVISOR,
    CommandKind,
)
from shm_exchange.wiring import (
    PROCESS_MATCHER,
    PROCESS_RECORDER,
    PROCESS_SOURCE_FIRST,
    PROCESS_STANDBY_FIRST,
    STOP_GATEWAYS,
    STOP_MATCHER,
    STOP_RECORDER,
)
from tests.simulation.checker import Checker, show
from tests.simulation.install import MODULES
from tests.simulation.install import Machine as Kernels
from tests.simulation.order_gateway import Gateway, start_gateway
from tests.simulation.private import Settings, difference
from tests.simulation.roles import Exchange
from tests.simulation.shared import BELL_FIRST, Shared
from tests.simulation.traders import Trader
from tests.simulation.world import Machine, Process, Violation

TURNS_MAX = 60_000
FAULTS = (
    "kill writer", "kill writer", "kill writer", "kill writer", "hot", "hot", "hot", "hot",
    "parts", "parts", "kill standby", "kill recorder", "kill gateway", "kill gateway", "pause",
    "pause", "fence writer", "kill all", "lose power", "full disk", "hand over", "hand over",
    "poison", "poison", "roll", "roll", "full disk", "full disk",
)  # fmt: skip


class Scenario:
    """The supervisor and whoever does harm; the only one that is not simulated."""

    def __init__(self, seed: int) -> None:
        machine = self.machine = Machine(seed)
        Kernels.world = machine
        random = self.random = machine.random
        machine.mean_turn = random.choice((1, 2, 4, 8, 16, 40, 120))
        self.gateways = random.choice((1, 2))
        self.standbys = random.choice((1, 1, 2, 3))
        self.sources = SOURCE_GATEWAY_FIRST + self.gateways
        self.events = random.choice((64, 64, 128))
        self.commands = random.choice((8, 16, 32))
        sessions = random.choice((1, 2, 3))
        settings = Settings(sessions, tuple(random.randint(0, 1) for _ in range(sessions)))
        self.checker = Checker(machine, self.events, self.sources, settings)
        self.exchange = Exchange(machine, settings, self.checker)
        self.checker.disk, self.checker.holds = self.exchange.disk, self.exchange.holds
        policy = random.choice((0, 1, 2, 2, None))
        for number in range(PROCESS_SOURCE_FIRST + self.sources):
            chosen = random.randint(0, 2) if policy is None else policy
            self.exchange.policies[number] = chosen
        self.traders = [Trader(self.exchange, number) for number in range(settings.sessions)]
        self.requests = random.choice((10, 20, 30, 60, 100))
        self.harm = [random.choice(FAULTS) for _ in range(random.choice((0, 1, 1, 2, 2, 3, 4, 6)))]
        often = "parts" in self.harm or "poison" in self.harm
        self.exchange.sweeps = 0.2 if often else random.choice((0.05, 0.1, 0.2))
        self.rolls = 0  # of the day, that the matcher was not told yet
        self.hot = 0  # processes that are to die a few accesses behind a store that matters
        # Writers that are to die while a command is in the middle.
        self.parts = 4 * self.harm.count("parts")
        self.harm = [each for each in self.harm if each != "parts"]
        self.full_until = 0
        self.starts = 0
        self.dead: dict[int, int] = {}  # gateways to be declared dead, and their incarnations
        machine.on_change = self._maybe_kill
        machine.on_death = self._noticed

    # ------------------------------------------------------------ the supervisor

    def _open(self, position: int, *, anew: bool = False) -> None:
        """New shared memory, as at a start; the processes follow. anew: so do all streams."""
        shared = Shared(self.machine, position, self.sources, self.events, self.commands)
        self.exchange.shared = shared
        shared.words.words[layout.BEGIN_ANEW] = 1 + position if anew else 0
        self.checker.watch_ring(shared.ring.cursors, shared.ring.records)  # type: ignore[arg-type]
        self.checker.watch_commands(shared.command_cursors, shared.commands, self.commands)
        self.starts += 1
        # What was not executed is discarded, and its positions are given out again.
        self.exchange.poisoned.clear()
        self.exchange.tasted.clear()
        self.checker.deaths.clear()
        self.exchange.start_engine(PROCESS_MATCHER, first=True)
        self._supervise()

    def writer(self) -> Process | None:
        """Whoever holds the lock."""
        holder = self.machine.lock_words[0]
        for thread in self.machine.threads:
            if thread.identifier == holder:
                return thread.process
        return None

    def _engines(self) -> list[Process]:
        return [each for each in self.machine.alive() if each.number < PROCESS_SOURCE_FIRST
                and each.number != PROCESS_RECORDER]  # fmt: skip

    def _supervise(self) -> None:
        """Start what is missing."""
        stop = self.exchange.shared.word(layout.STOP)
        alive = {each.number for each in self.machine.alive()}
        if PROCESS_RECORDER not in alive:
            self.exchange.start_recorder()
        engines = self._engines()
        # The first matcher may die before it has the lock: nobody can stand by for it yet.
        begun = self.exchange.shared.word(layout.EPOCH) or self.machine.lock_words[0]
        is_first = not begun and PROCESS_MATCHER not in alive
        if (not engines or is_first) and (stop < STOP_MATCHER or self._unanswered()):
            self.exchange.start_engine(PROCESS_MATCHER, first=True)
        elif len(engines) < 1 + self.standbys and stop == 0:
            self._start_standby(engines)
        for source in range(SOURCE_GATEWAY_FIRST, self.sources):
            if PROCESS_SOURCE_FIRST + source not in alive and stop == 0:
                start_gateway(self.exchange, source)
        self.machine.changed()

    def _noticed(self, process: Process) -> None:
        """A process was killed."""
        if process.number < PROCESS_SOURCE_FIRST and self.random.random() < 0.5:
            for trader in self.traders:  # what comes while nobody matches
                if trader.socket is not None and self.requests > 0:
                    self.requests -= 1
                    trader.send()
        source = process.number - PROCESS_SOURCE_FIRST
        if source >= 0:
            words = self.exchange.shared.command_cursors.words
            self.dead[source] = words[32 * source + MODULES["spsc"].INCARNATION]

    def _start_standby(self, engines: list[Process]) -> None:
        lines = self.exchange.shared.processes
        writer = lines.raw(0)[0]
        taken = {each.number for each in engines if each.threads[0].identifier != writer}
        free = [n for n in range(PROCESS_STANDBY_FIRST, 8) if n not in taken]
        self.exchange.start_engine(free[0], first=False)

    # ------------------------------------------------------------ the clients

    def _open_gateways(self) -> list[Gateway]:
        found = [each.private.gateway for each in self.machine.alive()
                 if each.number >= PROCESS_SOURCE_FIRST]  # fmt: skip
        return [each for each in found if each is not None]

    def _trade(self) -> None:
        trader = self.random.choice(self.traders)
        gateways = self._open_gateways()
        if trader.socket is None:
            if gateways:
                trader.connect(self.random.choice(gateways))
            return
        draw = self.random.random()
        if draw < 0.02:
            trader.leave()
        elif draw < 0.06 and gateways:
            trader.connect(self.random.choice(gateways))
        elif self.requests > 0:
            for _ in range(self.random.choice((1, 1, 3))):
                self.requests -= 1
                trader.send()

    # ------------------------------------------------------------ harm

    def _maybe_kill(self) -> None:
        """At a store that matters: perhaps this process dies a few accesses later."""
        current = self.machine.current
        if current is None or self.machine.doomed is not None:
            return
        in_the_middle = self.checker.market.scalars[0]["continuing_kind"] != 0
        if self.parts and in_the_middle and self.machine.lock_words[0] == current.identifier:
            self.parts -= 1
            self.machine.doom(current.process, self.random.choice((0, 3, 30, 60)))
        elif self.hot and self.random.random() < 0.1:
            self.hot -= 1
            self.machine.doom(current.process, self.random.randint(0, 3))

    def _do_harm(self) -> None:
        kind = self.harm.pop()
        machine, random = self.machine, self.random
        writer = self.writer()
        alive = machine.alive()
        if kind == "hot":
            self.hot += random.choice((1, 1, 3))
        elif kind == "kill writer" and writer is not None:
            machine.doom(writer, random.randint(0, 200))
        elif kind == "fence writer" and writer is not None:
            writer.stopped_until = machine.turns + random.randint(1, 2000)
            self.fence = (writer, machine.turns + random.randint(1, 2000))
        elif kind == "pause" and alive:
            paused = random.choice(alive)
            paused.stopped_until = machine.turns + random.choice((50, 500, 3000, 10_000))
        elif kind == "hand over":
            words = self.exchange.shared.words
            words[layout.HANDOVER] = words[layout.EPOCH]
            machine.changed()
        elif kind == "poison":
            self.exchange.poison += random.choice((1, 2, 4))
        elif kind == "roll":
            machine.now_ns += 1  # streams are called by the time
            self.rolls += 1
        elif kind == "kill all":
            self._end_all(power=False)
        elif kind == "lose power":
            self._end_all(power=True)
        elif kind == "full disk":
            self.full_until = machine.turns + random.choice((100, 500, 3000))
            self.exchange.disk.full = True
        else:
            wanted = {
                "kill standby": [each for each in self._engines() if each is not writer],
                "kill recorder": [each for each in alive if each.number == PROCESS_RECORDER],
                "kill gateway": [each for each in alive if each.number >= PROCESS_SOURCE_FIRST],
            }.get(kind, [])
            if wanted:
                machine.doom(random.choice(wanted), random.randint(0, 200))

    def _end_all(self, *, power: bool) -> None:
        """Nothing runs any more; then the next start."""
        shared, disk = self.exchange.shared, self.exchange.disk
        for process in self.machine.alive():
            self.machine.kill(process)
        disk.full = False
        self.dead.clear()
        if power:
            end = disk.lose_power(self.machine)
            self.checker.forget(end)
            stream = self.checker.market.scalars[0]["stream_0"]
            for trader in self.traders:
                kept = len(self.checker.streams[trader.session])
                self.checker.demand(
                    trader.stream != stream or trader.highest <= kept or not self.exchange.holds,
                    f"session {trader.session}: {trader.highest} messages were told, {kept} kept",
                )
                trader.highest = trader.highest if self.exchange.holds else 0
        else:
            mask = self.events - 1
            for position in range(len(disk.records), shared.published()):
                disk.records.append(shared.ring.records.raw(position & mask))  # type: ignore[attr-defined]
            disk.synced = len(disk.records)
            self._journal_is_whole()
        self._open(len(disk.records), anew=power and not self.exchange.holds)

    # ------------------------------------------------------------ the run

    def run(self) -> None:
        """From the first start to an orderly end."""
        self.fence: tuple[Process, int] | None = None
        self._open(0)
        machine = self.machine
        trading = self.random.choice((0.02, 0.05, 0.1))
        harming = len(self.harm) / (self.requests * 40)
        quiet = 0
        while quiet < 6:
            self._limit()
            draw = self.random.random()
            if self.harm and draw < harming:
                self._do_harm()
            elif draw < harming + trading and self.requests > 0:
                self._trade()
            self._every_turn()
            runnable = machine.runnable()
            if runnable:
                machine.turn(self.random.choice(runnable))
                continue
            if self.requests > 0:
                self._trade()
            elif self.harm:
                self._do_harm()
            else:
                quiet += 1
            self._pass_time()
        self._stop()
        self._compare()

    def _declare(self) -> None:
        """Say of a gateway that died that it is dead, once its ring has drained."""
        shared, market = self.exchange.shared, self.checker.market
        if shared.word(layout.STOP) == STOP_RECORDER:
            return  # nobody matches any more; the next life of the gateway will say it
        for source, incarnation in list(self.dead.items()):
            published = shared.command_cursors.words[32 * source + MODULES["spsc"].PUBLISHED]
            if published > market.gateways[source]["command_next"]:
                continue
            died = {"kind": CommandKind.GATEWAY_DIED, "slot": source, "user_ref": incarnation}
            if self._offer(died):
                del self.dead[source]

    def _offer(self, fields: dict[str, int]) -> bool:
        """What `supervisor_commands.offer` does."""
        shared, market = self.exchange.shared, self.checker.market
        ring = shared.command_ring(SOURCE_SUPERVISOR)
        consumed = market.gateways[SOURCE_SUPERVISOR]["command_next"]
        position = max(ring.cursors[MODULES["spsc"].PUBLISHED], consumed)
        mask = self.commands - 1
        rolls = any(
            ring.records[place & mask]["kind"] == int(CommandKind.ROLL)
            for place in range(consumed, position)
        )
        if rolls or MODULES["spsc"].room(ring, position) < 1 or not shared.word(layout.EPOCH):
            return False
        ring.records.clear(position & mask)  # type: ignore[attr-defined]
        command = ring.records[position & mask]
        for name, value in fields.items():
            command[name] = int(value)
        MODULES["spsc"].publish(ring, position + 1)
        self.machine.event_signal(BELL_FIRST)
        return True

    def _limit(self) -> None:
        if self.machine.turns > TURNS_MAX:
            raise Violation("it does not come to an end")

    def _every_turn(self) -> None:
        machine = self.machine
        if machine.turns % 16:
            return
        if self.fence is not None and machine.turns > self.fence[1]:
            machine.kill(self.fence[0])
            self.fence = None
        if self.full_until and machine.turns > self.full_until:
            self.full_until = 0
            self.exchange.disk.full = False
        for gateway in self._open_gateways():
            if gateway.process.stopped_until <= machine.turns:
                gateway.step()
        if machine.turns % 64 == 0:
            self._supervise()
            self._declare()
            if self.rolls and self._offer({"kind": CommandKind.ROLL, "reason": ROLL_DAY}):
                self.rolls -= 1

    def _pass_time(self) -> None:
        """Nobody has anything to do: time goes on, and those who sleep wake up."""
        machine = self.machine
        machine.turns += 64 - machine.turns % 64
        machine.now_ns += self.random.choice((1_000_000, 3_000_000, 60_000_000))
        if self.requests <= 0 and not self.harm:
            for process in machine.alive():
                process.stopped_until = min(process.stopped_until, machine.turns + 100)
        machine.changed()

    def _stop(self) -> None:
        """What the supervisor does at the end."""
        words = self.exchange.shared.words
        self.hot = self.parts = self.rolls = 0
        self.machine.doomed = None
        self.exchange.poison = 0
        for word, first, last in (
            (STOP_GATEWAYS, PROCESS_SOURCE_FIRST, 64),
            (STOP_MATCHER, PROCESS_MATCHER, PROCESS_SOURCE_FIRST),
            (STOP_RECORDER, PROCESS_RECORDER, PROCESS_STANDBY_FIRST),
        ):
            words[layout.STOP] = word
            self.machine.changed()
            while any(
                first <= each.number < last and (each.number != 1 or word == STOP_RECORDER)
                for each in self.machine.alive()
            ) or (word == STOP_MATCHER and self._unanswered()):
                self._limit()
                self._every_turn()
                runnable = self.machine.runnable()
                if runnable:
                    self.machine.turn(self.random.choice(runnable))
                else:
                    self._pass_time()

    def _journal_is_whole(self) -> None:
        written, history = self.exchange.disk.records, self.checker.history
        for position, (mine, theirs) in enumerate(zip(written, history, strict=False)):
            if mine != theirs:
                self.checker.fail(f"journal: {position} is {show(mine)}, not {show(theirs)}")
        self.checker.demand(
            len(written) == len(history), f"journal ends at {len(written)}, not {len(history)}"
        )

    def _compare(self) -> None:
        """Everything that is left says the same."""
        checker = self.checker
        self._journal_is_whole()
        for process in self.machine.ended:
            market: Any = getattr(process.private, "market", None)
            if market is None or market.scalars[0]["position"] != len(checker.history):
                continue
            found = difference(market, checker.market, replicas=False)
            checker.demand(not found, f"{process.name} differs from plain matching: {found}")
        checker.demand(not self._unanswered(), "there are commands that nobody answered")

    def _unanswered(self) -> bool:
        """Whether a command was asked that no event answers."""
        words, gateways = self.exchange.shared.command_cursors.words, self.checker.market.gateways
        return any(
            words[32 * source + MODULES["spsc"].PUBLISHED] > gateways[source]["command_next"]
            for source in range(1, self.sources)
        )
