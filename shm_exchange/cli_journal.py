"""Shell: `shmx journal`: verify, print and prune what is on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from shm_exchange.cli_options import (
    DEFAULT_NAME,
    in_state,
    named,
    show,
    state_directory_named,
    with_json,
)


@click.group(no_args_is_help=False)
def journal() -> None:
    """Verify, print and prune what is on disk.

    Beside a running exchange, too.
    """


def _of_journal(command: Any) -> Any:
    """The options that name a journal."""
    engine = click.option("--engine", type=click.IntRange(1), metavar="E", help="Only this one.")
    return named(in_state(engine(command)))


@journal.command()
@_of_journal
@with_json
def verify(name: str | None, state: Path | None, engine: int | None, as_json: bool) -> None:
    """Prove every block and every snapshot; exit code 1 when one is damaged."""
    from shm_exchange import journal_commands

    directory = state_directory_named(name or DEFAULT_NAME, state)
    engines = journal_commands.engines_of(directory, engine)
    rows = [journal_commands.verify(directory, each) for each in engines]
    show({"state": str(directory), "journals": rows}, as_json)
    sys.exit(1 if any(each["fault"] for each in rows) else 0)


@journal.command()
@_of_journal
@click.option("--from", "start", type=click.IntRange(0), default=0, metavar="P", help="Position.")
@click.option("--to", "stop", type=click.IntRange(0), metavar="P", help="Position behind the last.")
def dump(
    name: str | None, state: Path | None, engine: int | None, start: int, stop: int | None
) -> None:
    """Print events, one JSON object a line."""
    from shm_exchange import journal_commands

    directory = state_directory_named(name or DEFAULT_NAME, state)
    for each in journal_commands.engines_of(directory, engine):
        for row in journal_commands.dump(directory, each, start, stop):
            click.echo(json.dumps(row))


@journal.command()
@_of_journal
@click.option(
    "--before",
    type=click.IntRange(0),
    metavar="P",
    help="Remove what lies before this position, although streams need it.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed.")
@with_json
def prune(
    name: str | None, state: Path | None, engine: int | None, as_json: bool, **options: Any
) -> None:
    """Remove segments that nobody needs any more.

    What clients may still be told of since the day rolled is needed, and what kept snapshots need.
    """
    from shm_exchange import journal_commands

    directory = state_directory_named(name or DEFAULT_NAME, state)
    engines = journal_commands.engines_of(directory, engine)
    rows = [journal_commands.prune(directory, each, **options) for each in engines]
    show({"state": str(directory), "journals": rows}, as_json)
