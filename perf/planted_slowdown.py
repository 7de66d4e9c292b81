"""Shell: whether `make bench-compare` sees a tenth more work in the matcher, and nothing in none.

    python -m perf.planted_slowdown [--times N]

Measures this tree by instructions per message and compares it N times with itself: each must pass.
Then a copy of the tree, in whose `match` stand as many loads as are a tenth of the instructions of
a message, is compared with the same figures: that must fail. Both are compiled, which takes some
minutes. Needs Debian's package valgrind. Exit code 0 when all was as it must be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from perf import instructions
from perf.results_file import INSTRUCTIONS

SHARE = 0.1  # more work
_ROOT = Path(__file__).resolve().parent.parent
_MATCHING = Path("shm_exchange", "matching.py")
_RESULT = Path("perf", "results", "benchmark.json")
_IMPORTS = "from ringbuf.bits import at\n"
_BEGIN = '    if read_word(commands, index, "kind") & _KIND_AND_TAGS == ENTER:\n'
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "results", "__pycache__", ".*_cache")


def plant(source: str, count: int) -> str:
    """The text of matching.py with `count` loads more in `match`. Raises ValueError.

    A load with acquire order may not be left out, and the line that it loads is in the first cache.
    """
    if source.count(_IMPORTS) != 1 or source.count(_BEGIN) != 1:
        raise ValueError("matching.py has changed: say here where its match begins")
    loads = "    load_acquire(ring.cursors, 0)\n" * count
    imports = "from ringbuf.atomics import load_acquire\n" + _IMPORTS
    return source.replace(_IMPORTS, imports).replace(_BEGIN, loads + _BEGIN)


def compare(tree: Path, baseline: Path) -> tuple[int, str]:
    """`make bench-compare` of the matcher's instructions; exit code and the verdict's line."""
    command = ["make", "bench-compare", f"BASELINE={baseline}", "ARGS=--partial"]
    command += ["BENCH_FLAGS=-k instructions_per_message"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    verdict = [line for line in done.stdout.splitlines() if "test_instructions_per_message" in line]
    return done.returncode, (verdict or [done.stdout + done.stderr])[-1]


def measured(tree: Path) -> float:
    """Instructions per message, as `make bench` notes them."""
    command = ["make", "bench", "BENCH_FLAGS=-k instructions_per_message"]
    subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    (only,) = json.loads((tree / _RESULT).read_text(encoding="utf-8"))["benchmarks"]
    return float(only["extra_info"][INSTRUCTIONS])


def copy(target: Path) -> None:
    """This tree without its results, with the same virtual environment."""
    shutil.copytree(_ROOT, target, ignore=_LEFT_OUT, symlinks=True)
    os.symlink(_ROOT / ".venv", target / ".venv")


@click.command()
@click.option("--times", type=click.IntRange(1), default=3, show_default=True, metavar="N")
def main(times: int) -> None:
    """Show that a planted slowdown is seen, and that an unchanged tree passes."""
    if lack := instructions.missing():
        raise click.ClickException(lack)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHMX_CACHE_DIR"] = str(Path(folder, "cache"))  # of the copies' machine code
        unchanged, planted = Path(folder, "unchanged"), Path(folder, "planted")
        copy(unchanged)
        found = measured(unchanged)
        baseline = Path(folder, "baseline.json")
        shutil.copy(unchanged / _RESULT, baseline)
        click.echo(f"{found:.2f} instructions per message")
        right = True
        for _ in range(times):
            code, verdict = compare(unchanged, baseline)
            click.echo(f"unchanged, exit code {code}: {verdict}")
            right &= code == 0
        copy(planted)
        count = round(SHARE * found)
        text = (planted / _MATCHING).read_text(encoding="utf-8")
        (planted / _MATCHING).write_text(plant(text, count), encoding="utf-8")
        code, verdict = compare(planted, baseline)
        click.echo(f"{count} loads more in match, exit code {code}: {verdict}")
        right &= code != 0 and verdict.startswith("WORSE")
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
