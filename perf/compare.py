"""Shell: whether a run of the benchmarks is worse than a stored one, beyond noise.

    python -m perf.compare BASELINE.json [NEW.json]
    python -m perf.compare BASELINE.json --check      whether the next run can be compared with it

Two things are compared, never a time by itself:

- instructions per message, where they were counted: they are the same from run to run, so one
  hundredth more is a regression. They decide for the matcher, and a run that cannot say them is no
  whole one: it fails unless only a part was asked for.
- cost relative to the baseline in the same run, round by round: a regression when the median has
  grown by more than a fifth *and* the 99 % bound of a bootstrap over the rounds of both runs lies
  above no change. The fifth is there because the rounds of one run do not show what differs
  between runs: where memory lies, and what a neighbour on a shared machine does.

What is a regression by its times is measured again, alone, as often as `--again` says, and must be
one each time (perf/again.py).

Times of unlike machines are not compared, nor counts of unlike toolchains. A machine whose baseline
itself takes three times as long is another one, whatever it says of itself: a host that moves its
guest's cores apart makes a ping-pong in C five times as slow, and a ratio to it says nothing.

Exit codes: 0 no worse, 1 worse or incomplete, 2 there is nothing that could be compared, or no
baseline.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from perf import again as repeated
from perf import machine
from perf.results_file import Benchmark, Results, ResultsError, load

COUNT_LIMIT = 0.01  # more instructions per message
TIME_LIMIT = 0.20  # more cost relative to the baseline
MOVED_LIMIT = 3.0  # of a baseline between two runs
ROUNDS_MIN = 5  # fewer do not show their noise
_CONFIDENCE = 0.99
_DRAWS = 2_000
NEW = Path(__file__).parent / "results" / "benchmark.json"

SAME, BETTER, WORSE, NOT_COMPARED = "same", "better", "WORSE", "not compared"
NOT_JUDGED = "NOT JUDGED"


@dataclass(frozen=True)
class Verdict:
    """What became of one benchmark. change: 0.1 is a tenth more cost."""

    name: str
    state: str
    change: float | None
    reason: str

    def __str__(self) -> str:
        change = "" if self.change is None else f"{self.change:+.1%}"
        return f"{self.state:12} {change:>8}  {self.name}: {self.reason}"


def compare(before: Results, after: Results) -> list[Verdict]:
    """One verdict for each benchmark that both runs have."""
    unlike = machine.differences(before.machine, after.machine)
    unlike_code = machine.differences(before.machine, after.machine, machine.TOOLCHAIN)
    if not before.machine or not after.machine:
        unlike = unlike_code = ["a run does not say on which machine it was made"]
    found = []
    for name, one in before.benchmarks.items():
        other = after.benchmarks.get(name)
        if other is None:
            continue
        if one.instructions is not None and other.instructions is not None:
            found.append(_counts(one, other, unlike_code))
        else:
            found.append(_times(one, other, unlike))
    return found


def missing(before: Results, after: Results) -> list[str]:
    """Benchmarks that the new run has lost: what is not measured cannot be said to be no worse."""
    return [name for name in before.benchmarks if name not in after.benchmarks]


def uncounted(before: Results, after: Results, verdicts: list[Verdict]) -> str | None:
    """Why nothing was said of the matcher by its instructions; None when something was."""
    counted = [_counts_of(each) for each in (before, after)]
    both = counted[0] & counted[1]
    if any(each.name in both and each.state != NOT_COMPARED for each in verdicts):
        return None
    if both:
        return "its instructions were counted with unlike toolchains: measure both with the same"
    sides = ("the baseline", "this run")
    lacking = [side for side, found in zip(sides, counted, strict=True) if not found]
    where = " and ".join(lacking) or "one of the two runs, benchmark by benchmark,"
    return f"{where} did not count its instructions: install Debian's package valgrind"


def _counts_of(results: Results) -> set[str]:
    return {name for name, each in results.benchmarks.items() if each.instructions is not None}


def unfit(baseline: Path, new: Path) -> str | None:
    """Why a run that writes `new` cannot be compared with `baseline`; None when it can."""
    if baseline.resolve() == new.resolve():
        return (
            f"{baseline} is what the next run replaces: copy it to another name,"
            " and give that one as BASELINE"
        )
    try:
        found = load(baseline)
    except ResultsError as error:
        return str(error)
    return None if found.benchmarks else f"{baseline} has no benchmark; write it with `make bench`"


def grown(before: np.ndarray, after: np.ndarray, seed: int = 1) -> tuple[float, float, float]:
    """Change of the median, and the two bounds that a bootstrap over both samples gives it."""
    random = np.random.default_rng(seed)
    medians = [
        np.median(random.choice(each, (_DRAWS, len(each))), axis=1) for each in (before, after)
    ]
    change = float(np.median(after) / np.median(before)) - 1
    low, high = np.quantile(medians[1] / medians[0], (1 - _CONFIDENCE, _CONFIDENCE)) - 1
    return change, float(low), float(high)


def _counts(one: Benchmark, other: Benchmark, unlike: list[str]) -> Verdict:
    if unlike:
        return Verdict(one.name, NOT_COMPARED, None, "unlike toolchains, " + unlike[0])
    before, after = float(one.instructions or 0), float(other.instructions or 0)
    change = after / before - 1
    state = WORSE if change > COUNT_LIMIT else BETTER if change < -COUNT_LIMIT else SAME
    return Verdict(one.name, state, change, f"{before:.1f} -> {after:.1f} instructions per message")


def _times(one: Benchmark, other: Benchmark, unlike: list[str]) -> Verdict:
    if unlike:
        return Verdict(one.name, NOT_COMPARED, None, "unlike machines, " + unlike[0])
    rounds = min(len(one.costs), len(other.costs))
    if rounds < ROUNDS_MIN:
        what = "no baseline in turns" if not rounds else f"only {rounds} rounds"
        return Verdict(one.name, NOT_COMPARED, None, what)
    moved = other.baseline / one.baseline
    if not 1 / MOVED_LIMIT < moved < MOVED_LIMIT:
        what = f"another machine: its baseline went from {one.baseline:.3g} to {other.baseline:.3g}"
        return Verdict(one.name, NOT_COMPARED, None, what)
    change, low, high = grown(one.costs, other.costs)
    state = SAME
    if change > TIME_LIMIT and low > 0:
        state = WORSE
    elif change < -TIME_LIMIT and high < 0:
        state = BETTER
    reason = f"{np.median(one.costs):.3g} -> {np.median(other.costs):.3g} times the baseline"
    return Verdict(one.name, state, change, f"{reason}, noise {low:+.1%} to {high:+.1%}")


def confirmed(before: Results, verdicts: list[Verdict], times: int) -> list[Verdict]:
    """The verdicts, once what is worse by its times was measured again. Raises ResultsError."""
    suspects = {
        each.name
        for each in verdicts
        if each.state == WORSE and before.benchmarks[each.name].instructions is None
    }

    def is_worse(results: Results, name: str) -> bool:
        found = [each.state for each in compare(before, results) if each.name == name]
        return found in ([], [WORSE])

    still = repeated.always(suspects, is_worse, times, repeated.measure)
    found = []
    for each in verdicts:
        if each.name in suspects - still:
            each = replace(each, state=SAME, reason=f"{each.reason}; not when measured again")
        found.append(each)
    return found


@click.command(help="Compare a run of the benchmarks with a stored one.")
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path), default=NEW)
@click.option("--partial", is_flag=True, help="Do not ask for every benchmark of the baseline.")
@click.option(
    "--again", default=0, help="Measure what is worse so often again; each must be worse."
)
@click.option("--check", is_flag=True, help="Only say whether NEW, once written, can be compared.")
def main(baseline: Path, new: Path, partial: bool, again: int, check: bool) -> None:
    """Print one line for each benchmark; the exit code says whether any is worse."""
    if check:
        if lack := unfit(baseline, new):
            click.echo(lack, err=True)
            sys.exit(2)
        return
    try:
        before, after = load(baseline), load(new)
        verdicts = confirmed(before, compare(before, after), again)
    except ResultsError as error:
        click.echo(error, err=True)
        sys.exit(2)
    for verdict in verdicts:
        click.echo(verdict)
    lost = [] if partial else missing(before, after)
    for name in lost:
        click.echo(f"{'MISSING':12} {'':>8}  {name}: was not measured this time (see --partial)")
    if all(each.state == NOT_COMPARED for each in verdicts):
        click.echo("Nothing could be compared: run `make bench` on this machine before", err=True)
        sys.exit(2)
    unjudged = None if partial else uncounted(before, after, verdicts)
    if unjudged:
        click.echo(f"{NOT_JUDGED:12} {'':>8}  the matcher: {unjudged} (see --partial)")
    worse = any(each.state == WORSE for each in verdicts)
    sys.exit(1 if lost or unjudged or worse else 0)


if __name__ == "__main__":
    main()
