"""Kill an exchange under load, in every way, and compare what its clients know with what it says.

    python -m tests.soak [--seed S] [--seconds N] [--json] [--durability disk]
    python -m tests.soak --matcher-kills 1000 --stops 100 --gateway-kills 100 --stale 100 \\
        --some-kills 100 --handovers 100 --kill-all 100

Every part has an exchange of its own. One line for each part, and one for all; exit code 0 when
every round was done and nothing was found. What is random follows from the seed; when processes
are scheduled does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.process.conftest import sweep
from tests.soak import janitor
from tests.soak.campaign import PARTS, Limits, Part, run_part

SECONDS_MAX = 3 * 3600
INTERRUPTED = "interrupted"
SAID_MAX = 4000  # characters of what the exchange said last
DEFAULT_ROUNDS = {
    "matcher-kills": 1000, "stops": 100, "gateway-kills": 100, "stale": 100, "some-kills": 100,
    "handovers": 100,
    "promotions": 100,
    "kill-all": 100,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Entry point."""
    chosen = _parse(arguments)
    sweep()
    name = f"pt{os.getpid()}x0"
    folder = Path(tempfile.mkdtemp(prefix="shmx-soak-"))
    cleaner = janitor.start(name, folder)
    results: list[dict[str, Any]] = []
    began = time.monotonic()
    print(f"seed {chosen.seed}, in {folder}", file=sys.stderr, flush=True)
    try:
        fault = _run_parts(chosen, Limits(began + chosen.seconds), folder, name, results)
    finally:
        assert cleaner.stdin is not None
        cleaner.stdin.close()
        cleaner.wait()
    wanted = sum(_rounds(chosen, part) > 0 for part in PARTS)
    complete = len(results) == wanted and all(each["rounds"] == each["wanted"] for each in results)
    total = {
        "seed": chosen.seed,
        "complete": complete,
        "violations": int(fault not in ("", INTERRUPTED)),
        "seconds": round(time.monotonic() - began, 1),
        "fault": fault,
        "parts": results,
    }
    if fault:
        print(fault, file=sys.stderr)
    print(json.dumps(total) if chosen.json else _summary(total), flush=True)
    return 0 if complete and not fault else 1


def _run_parts(
    chosen: argparse.Namespace,
    limits: Limits,
    folder: Path,
    name: str,
    results: list[dict[str, Any]],
) -> str:
    """One part after the other; what went wrong, if anything."""
    try:
        for part in PARTS:
            rounds = _rounds(chosen, part)
            if rounds == 0 or limits.reached:
                continue
            inner = folder / part.name
            inner.mkdir()
            coroutine = run_part(part, rounds, chosen.seed, limits, inner, name, chosen.durability)
            results.append(asyncio.run(_interruptible(coroutine)))
            print(_line(results[-1]), file=sys.stderr, flush=True)
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if chosen.keep:
            shutil.copytree(
                folder, chosen.keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock")
            )
        said = sorted(folder.glob("*/*.stderr"), key=lambda path: path.stat().st_mtime)[-1:]
        last = "".join(each.read_text(encoding="utf-8")[-SAID_MAX:] for each in said)
        return "".join(traceback.format_exception(error)) + last
    return ""


def _rounds(chosen: argparse.Namespace, part: Part) -> int:
    found: int = getattr(chosen, _option(part.name))
    return found


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    for part in PARTS:
        parser.add_argument(f"--{part.name}", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX, help="no round begins later")
    parser.add_argument("--durability", choices=("memory", "disk"), default="memory")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="where to leave the files of a run that fails")
    chosen = parser.parse_args(arguments)
    if not any(getattr(chosen, _option(name)) for name in DEFAULT_ROUNDS):
        vars(chosen).update({_option(name): rounds for name, rounds in DEFAULT_ROUNDS.items()})
    return chosen


def _option(name: str) -> str:
    return name.replace("-", "_")


async def _interruptible(coroutine: Any) -> dict[str, Any]:
    """Let SIGTERM end it as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found: dict[str, Any] = await coroutine
    return found


def _line(result: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in result.items())


def _summary(total: dict[str, Any]) -> str:
    verdict = "0 violations" if not total["violations"] else "a VIOLATION"
    complete = "complete" if total["complete"] else "NOT complete"
    return f"soak: {verdict}, {complete}, {total['seconds']} s, seed {total['seed']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
