"""Shell: what a running exchange works with: a copy of the file, made at its start.

A part of it can be reloaded. What may not be is refused with its line, all of it or nothing.
"""

from __future__ import annotations

from pathlib import Path

from shm_exchange import effective, presence, settings
from shm_exchange.effective import Value
from shm_exchange.errors import ForeignExchangeError, NotRunningError
from shm_exchange.settings import Location

_PROBLEMS_MAX = 100  # an operator's answer has a limit
# By table: what a running exchange takes over.
RELOADABLE = {
    "exchange": ("restarts_max", "restart_window_seconds", "day_roll", "log_level"),
    "engine": ("snapshot_every_events",),
    "metrics": ("address",),
    "gateway": ("refusals_per_second", "fair_share_per_second"),
    "session": ("password", "password_hash", "limits"),
    "session_range": ("password", "password_hash", "limits"),
}


def keep(source: Path | None, state_directory: Path) -> Path | None:
    """What the roles read, so that editing the file does not reach a running exchange."""
    copy = state_directory / presence.CONFIGURATION_COPY
    if source is None:
        copy.unlink(missing_ok=True)
        return None
    text = source.read_bytes()
    if not copy.exists() or copy.read_bytes() != text:  # a full disk is no reason not to start
        presence.write_file(copy, text)
    copy.chmod(0o600)  # earlier builds let others read it
    return copy


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are of one file, whichever of them has a link."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there any more
        return one.absolute() == other.absolute()


def name_of(source: Path) -> str:
    """Of the running exchange that was started with this file, whatever name is in it by now.

    Raises NotRunningError.
    """
    for name in presence.names():
        try:
            started = presence.find(name).get("configuration")
        except (NotRunningError, ForeignExchangeError):
            continue
        if started is not None and is_same(Path(started), source):
            return name
    raise NotRunningError(
        f"no exchange of this user runs here that was started with {source}; name the file that it"
        " was started with, or the exchange with --name"
    )


def changes(copy: Path, source: Path) -> list[Value]:
    """The values that are others in `source`. Raises ConfigurationError for all that may not be."""
    before = {each.location: each for each in effective.values(copy)}
    after = {each.location: each for each in effective.values(source)}
    document = settings.read(source)
    tables = [
        {location[:2] for location in each if _is_repeated(location)} for each in (before, after)
    ]
    for table in tables[0] ^ tables[1]:
        done = "is new" if table in tables[1] else "is gone"
        document.add(
            table, f"[[{table[0]}]] number {int(table[1]) + 1} {done}, which needs a restart"
        )
    changed = []
    for location in dict.fromkeys((*before, *after)):
        was, now = before.get(location), after.get(location)
        if location[:2] in tables[0] ^ tables[1] or (was and now and was.value == now.value):
            continue
        if was and now and is_reloadable(location):
            changed.append(now)
            continue
        named = now or was
        document.add(
            location,
            f"`{named.key if named else location[-1]}` is another than that of the running exchange"
            f" ({was.value if was else 'none'}), which needs a restart; undo that, or restart",
        )
    more = len(document.problems) - _PROBLEMS_MAX
    if more > 0:
        document.problems = sorted(document.problems)[:_PROBLEMS_MAX]
        document.add((), f"and {more} more changes need a restart")
    document.raise_problems()
    return changed


def is_reloadable(location: Location) -> bool:
    """Whether a running exchange takes this key over."""
    place = 2 if _is_repeated(location) else 1
    return location[place] in RELOADABLE.get(str(location[0]), ())


def _is_repeated(location: Location) -> bool:
    return isinstance(location[1], int)
