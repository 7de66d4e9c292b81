"""Shell: what seems to be worse is measured again, before anybody is told that it is.

The rounds of one run do not show all that differs between runs: which of a shared machine's cores
are near each other, where memory lies, what a neighbour does for a minute. A regression is there
every time; these are not.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from perf.results_file import Results, load

ROOT = Path(__file__).parents[1]
AGAIN = ROOT / "perf" / "results" / "again.json"

Measure = Callable[[list[str]], Results]


def measure(names: list[str]) -> Results:
    """Run the files of these benchmarks: a baseline may stand in a test of its own.

    Raises ResultsError when they leave no results.
    """
    AGAIN.unlink(missing_ok=True)
    files = sorted({name.partition("::")[0] for name in names})
    command = [sys.executable, "-m", "pytest", "-q", *files, f"--benchmark-json={AGAIN}"]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    return load(AGAIN)


def always(
    names: Iterable[str], is_worse: Callable[[Results, str], bool], times: int, run: Measure
) -> set[str]:
    """Those of the benchmarks that are worse in each of `times` more runs."""
    left = sorted(names)
    for _ in range(times):
        if not left:
            break
        results = run(left)
        left = [name for name in left if is_worse(results, name)]
    return set(left)
