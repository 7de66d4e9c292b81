"""`python -m tests.simulation`: run seeds, or one seed with everything it does."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.simulation.install import MODULES
from tests.simulation.scenario import Scenario

VIOLATIONS_MAX = 3


def _trace(scenario: Scenario) -> None:
    machine = scenario.machine

    def say(memory: str, place: str, value: object) -> None:
        who = machine.current.process.name if machine.current else "-"
        thread = machine.current.name if machine.current else "-"
        print(f"{machine.turns:6} {who:12} {thread:6} {memory}.{place} = {value}")

    machine.trace = say


def run_seed(seed: int, *, trace: bool = False) -> tuple[Scenario, str]:
    """Run one seed: the scenario as it ended, and what was wrong."""
    scenario = Scenario(seed)
    if trace:
        _trace(scenario)
    try:
        scenario.run()
    except Exception as error:  # whatever a kernel raises is a finding
        place = "".join(traceback.format_tb(error.__traceback__)[-9:])
        return scenario, f"{type(error).__name__}: {error}\n{place}"
    finally:
        scenario.machine.end()
    return scenario, ""


def main() -> int:
    """Run; the exit code is 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--trace", action="store_true", help="print every store")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1 << 60)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--fault", help="plant this fault first")
    arguments = parser.parse_args()
    if arguments.fault:
        from tests.simulation import planted

        planted.plant(arguments.fault, MODULES)
    if arguments.seed is not None:
        arguments.first, arguments.seeds = arguments.seed, 1
    started = time.monotonic()
    seeds = steps = kills = events = violations = 0
    while seeds < arguments.seeds and time.monotonic() - started < arguments.seconds:
        seed = arguments.first + seeds
        scenario, wrong = run_seed(seed, trace=arguments.trace)
        seeds += 1
        steps += scenario.machine.steps
        kills += scenario.machine.kills
        events += len(scenario.checker.history)
        if wrong:
            violations += 1
            print(f"seed {seed}\n{wrong}", file=sys.stderr)
            if violations >= VIOLATIONS_MAX or arguments.fault:
                break
    elapsed = time.monotonic() - started
    print(
        f"seeds {seeds} steps {steps} events {events} crashes {kills} violations {violations}"
        f" seconds {elapsed:.1f} rate {seeds / elapsed:.1f}/s"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
