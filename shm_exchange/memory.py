"""Shell: the shared memory of a whole exchange: made where its journals end, removed at the end."""

from __future__ import annotations

from pathlib import Path

from ringbuf import layout
from ringbuf.errors import SegmentError
from shm_exchange import journal_ends, latencies, operator_line, wiring
from shm_exchange.config import Configuration
from shm_exchange.errors import UnfitHostError
from shm_exchange.journal_segment import Owner
from shm_exchange.journal_tail import find_tail
from shm_exchange.messages import SOURCE_GATEWAY_FIRST
from shm_exchange.presence import identity_of
from shm_exchange.snapshot import check_journal_reaches, snapshot_paths
from shm_exchange.wiring import Wiring

RESTORED = "restored"  # a file in the state directory, made by an operator: it is a backup


def create(configuration: Configuration, name: str, state_directory: Path) -> dict[int, Wiring]:
    """Shared memory of every engine, positions going on where its journal ends.

    A journal that nobody sealed, by an orderly end or from the ring that survived a crash, may lack
    what it had not synced when the power went. If messages were sent before they were synced, some
    numbers were given out that the journal does not know: the streams begin anew then. So they do
    when an operator says that the state directory is a backup, which does not know what came after,
    or when the journal ends before the position at which the exchange stopped. Each is a warning.

    Raises UnfitHostError, or JournalDamaged or LayoutError: before a recorder has cut anything.
    """
    identity = identity_of(state_directory)
    ends = journal_ends.read(state_directory)
    sources = SOURCE_GATEWAY_FIRST + len(configuration.gateways)
    wirings: dict[int, Wiring] = {}
    try:
        for engine in configuration.engines:
            owner = Owner.of(identity, engine.id)
            tail = find_tail(state_directory, owner) if engine.recorder else None
            end = tail.position if tail else 0
            if engine.recorder:
                found = snapshot_paths(state_directory, engine.id)
                check_journal_reaches(state_directory, end, found)
            wirings[engine.id] = wiring.create(
                name,
                engine.id,
                identity,
                end,
                event_records=engine.event_ring_records,
                command_records=engine.command_ring_records,
                gateway_count=len(configuration.gateways),
                gated=engine.recorder,
            )
            level = operator_line.LEVELS[configuration.exchange.log_level]
            wirings[engine.id].control.words[layout.SAID] = level
            counted = latencies.create(name, engine.id, identity, sources)
            wirings[engine.id].segments += (counted,)
            holds = configuration.exchange.durability == "disk"
            surely = holds or tail is None or tail.is_ended
            why = _why_anew(state_directory, end, ends.get(engine.id, 0), surely=surely)
            if why and engine.recorder:
                _say_anew(engine.id, why)
                wirings[engine.id].control.words[layout.BEGIN_ANEW] = 1 + end if tail else 0
    except SegmentError as error:
        remove(wirings)
        remedy = "make room in /dev/shm or configure smaller rings"
        raise UnfitHostError(f"{error}; {remedy}") from error
    except BaseException:
        remove(wirings)
        raise
    return wirings


def _why_anew(state_directory: Path, end: int, stopped: int, *, surely: bool) -> str:
    """Why the streams of a journal that ends at `end` have to begin anew; empty: they need not.

    stopped: where it ended at the last stop, as far as that is known. surely: it is known to have
    all that clients were told.
    """
    if end < stopped:
        return f"its journal had come to position {stopped} when it stopped, and ends at {end} now"
    if (state_directory / RESTORED).exists():
        return f"this is a backup, says the file `{RESTORED}`: its journal ends at position {end}"
    if not surely:
        return f"its journal was not ended in good order: it ends at position {end}"
    return ""


def _say_anew(engine: int, why: str) -> None:
    """Warn that streams begin anew, and of what may be missing: nothing else tells an operator."""
    operator_line.say(
        f"shmx: engine {engine}: {why}, and orders, trades and messages to clients that came behind"
        " that may be missing; all streams begin anew under another session id",
        operator_line.WARNING,
    )


def open_doors(wirings: dict[int, Wiring]) -> None:
    """From now on gateways let clients in."""
    for each in wirings.values():
        each.control.words[layout.OPEN] = 1


def forget_past(state_directory: Path) -> None:
    """The exchange is open: its streams have begun anew if they were to."""
    (state_directory / RESTORED).unlink(missing_ok=True)
    journal_ends.forget(state_directory)


def remove(wirings: dict[int, Wiring]) -> None:
    """Remove all of it and let go."""
    for each in wirings.values():
        for segment in each.segments:
            segment.unlink()
        each.close()
