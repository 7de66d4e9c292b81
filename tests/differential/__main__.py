"""On demand: `python -m tests.differential --sequences 100_000`, on `--processes 2`.

Prints how often each pair of features met: right of the diagonal in how many sequences, left of it
in how many commands, and on it in how many sequences the feature took part. Then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import get_context

from tests.differential.meetings import FEATURES, Meetings
from tests.differential.sequences import SEQUENCES_PER_MARKET, play

WANTED = 1_000  # meetings of each pair in 100,000 sequences
WANTED_OF = 100_000
MARKETS_PER_TASK = 20


def matrix(meetings: Meetings) -> str:
    """One line and one column for each feature."""
    lines = [f"{number:3} {name}" for number, name in enumerate(FEATURES)]
    lines.append("    " + "".join(f"{number:>8}" for number in range(len(FEATURES))))
    for row, name in enumerate(FEATURES):
        cells = []
        for column, other in enumerate(FEATURES):
            pair = (min(name, other), max(name, other))
            counts = meetings.commands if column < row else meetings.sequences
            cells.append(f"{counts[pair]:>8}")
        lines.append(f"{row:3} " + "".join(cells))
    return "\n".join(lines)


def main() -> int:
    """Run; 1 when something differs or a pair of features has met too seldom."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    markets = -(-given.sequences // SEQUENCES_PER_MARKET)
    firsts = range(0, markets, MARKETS_PER_TASK)
    counts = [min(MARKETS_PER_TASK, markets - first) for first in firsts]
    total = Meetings()
    sequences = commands = 0
    started = time.perf_counter()
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for done in pool.map(play, [given.seed] * len(counts), firsts, counts):
            sequences, commands = sequences + done[0], commands + done[1]
            total.sequences += done[2].sequences
            total.commands += done[2].commands
    seconds = time.perf_counter() - started
    rarest = min(total.sequences[min(pair), max(pair)] for pair in combinations(FEATURES, 2))
    print(matrix(total))
    found = {"sequences": sequences, "commands": commands, "differences": 0, "rarest": rarest}
    found |= {"features": len(FEATURES), "seconds": round(seconds)}
    print(json.dumps(found))
    return 1 if rarest * WANTED_OF < WANTED * sequences else 0


if __name__ == "__main__":
    sys.exit(main())
