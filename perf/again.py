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
from tempfile import TemporaryFile

import click

from perf.results_file import Results, load

ROOT = Path(__file__).parents[1]
AGAIN = ROOT / "perf" / "results" / "again.json"

Measure = Callable[[list[str]], Results]


def measure(names: list[str]) -> Results:
    """Run the files of these benchmarks: a baseline may stand in a test of its own.

    What the run says is shown only if it fails. Raises ResultsError when it leaves no results.
    """
    AGAIN.unlink(missing_ok=True)
    files = sorted({name.partition("::")[0] for name in names})
    command = [sys.executable, "-m", "pytest", "-q", *files, f"--benchmark-json={AGAIN}"]
    # A file, not a pipe: whatever the run might leave behind would keep a pipe open.
    with TemporaryFile() as said:
        done = subprocess.run(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            said.seek(0)
            click.echo(said.read(), err=True)
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
