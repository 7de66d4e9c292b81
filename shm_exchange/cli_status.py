"""Shell: `shmx status` and `shmx top`: what an exchange does, from its shared memory alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from shm_exchange.cli_options import DEFAULT_NAME, named, show, with_json
from shm_exchange.errors import NotRunningError

WELL, DEGRADED, DOWN = 0, 1, 2


@click.command()
@named
@with_json
def status(name: str | None, as_json: bool) -> None:
    """Show roles, positions, lags and rates of an exchange.

    Exit codes: 0 all is well, 1 it runs but something is missing (a role, agreement of the
    replicas, room on the disk, a sign of life) or it starts or drains, 2 no exchange of this name,
    77 it is another user's.
    """
    from shm_exchange import status as reader

    try:
        found = reader.collect(name or DEFAULT_NAME)
    except NotRunningError as error:
        click.echo(f"shmx: {error}", err=True)
        if as_json:
            show({"state": "down"}, as_json)
        sys.exit(DOWN)
    show(found, as_json)
    sys.exit(exit_code(found))


def exit_code(found: dict[str, Any]) -> int:
    """What a status means to a script. found: what `status.collect` returns."""
    return WELL if found["state"] == "ready" else DEGRADED


@click.command()
@named
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Print one frame and end.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Save one frame as a picture and end.",
)
def top(name: str | None, interval: float, once: bool, svg: Path | None) -> None:
    """Watch an exchange: rates, lags, rings, heartbeats, syncs, sessions.

    A live screen until Ctrl-C. It reads shared counters; nobody waits for it.
    """
    from shm_exchange import top as watcher

    name = name or DEFAULT_NAME
    if once or svg:
        watcher.show_once(name, interval, svg)
    else:
        watcher.watch(name, interval)
