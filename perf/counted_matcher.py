"""Shell: plays a generated flow through the matcher, the second time with callgrind's counting on.

    python -m perf.counted_matcher LIBRARY MESSAGES SEED

The first time compiles or loads the kernels and touches the memory. Counted are the matching and
the publishing to a ring of our own without a reader, and a Python call for many thousand events.
"""

from __future__ import annotations

import ctypes
import sys

from shm_exchange.flow import generate
from shm_exchange.flow_commands import Player, Tape, tape_of


def play(tape: Tape, library: ctypes.CDLL | None) -> int:
    """The whole tape in an empty market; how many events that made."""
    player = Player(tape)
    events = 0
    if library is not None:
        library.counting_start()
    for batch in player.until(len(tape.commands)):
        events += len(batch)
    if library is not None:
        library.counting_stop()
    return events


def main(library: str, messages: str, seed: str) -> None:
    """Play it twice; the events must be as many."""
    tape = tape_of(generate(int(messages), int(seed)))
    warm = play(tape, None)
    counted = play(tape, ctypes.CDLL(library))
    assert warm == counted, f"{warm} events, then {counted}"
    print(counted)


if __name__ == "__main__":
    main(*sys.argv[1:])
