"""On demand: `python -m tests.fuzz --inputs 10_000_000 --seed 1`, and through TCP with `--live`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import gateway, requests
from tests.fuzz.inputs import WILD, create_inputs
from tests.gateways.ouch_cases import GOOD


def in_process(inputs: int, seed: int) -> dict[str, float]:
    """The gateways' kernels in this process; besides, a tenth as many MoldUDP64 requests."""
    with tempfile.TemporaryDirectory() as folder:
        target, made = gateway.create_target(f"fuzz{os.getpid()}", Path(folder))
        try:
            started = time.perf_counter()
            messages = [message for _, message, _ in GOOD]
            source = create_inputs(seed, WILD, messages)
            found = gateway.run(target, source, inputs)
            asked = requests.run(source, inputs // 10)
            seconds = time.perf_counter() - started
        finally:
            for each in made.segments:
                each.unlink()
    return dict(found) | asked | {"seconds": round(seconds, 3)}


def main() -> int:
    """Run, print one JSON object; 1 when a command made no sense or a bystander was disturbed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--live", action="store_true", help="a whole exchange, through TCP")
    given = parser.parse_args()
    if given.live:
        from tests.fuzz.live import storm

        with tempfile.TemporaryDirectory() as folder:
            found = storm(Path(folder), given.inputs, given.seed)
        failed = bool(found["faults"])
    else:
        found = in_process(given.inputs, given.seed)
        failed = bool(found["nonsense"] or found["wrong"])
    print(json.dumps(found))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
