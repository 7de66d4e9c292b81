"""Shell: what several commands of `shmx` share: options, and how a result is printed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from shm_exchange.config import Configuration

DEFAULT_NAME = "main"


def _check_name(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    from shm_exchange.config import is_name

    if name is not None and not is_name(name):
        raise click.BadParameter("use 1 to 32 letters, digits, _ and -.", context, option)
    return name


named = click.option("--name", callback=_check_name, help="Of the exchange; `main` by default.")
in_state = click.option(
    "--state",
    # Whether it may be read is not click's to say: what tries to says it with the remedy.
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    help="Where journal and snapshots are.",
)
configured = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file; without it the built-in configuration.",
)
with_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _of_engine(text: str) -> Callable[[Any], Any]:
    return click.option("--engine", type=click.IntRange(1), metavar="ID", help=text)


of_engine = _of_engine("Of the engine; the first by default.")
of_engines = _of_engine("Only of this engine; of all by default.")


def default_state_directory(name: str) -> Path:
    """Where an exchange keeps its state when nobody says: the user's state folder."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "shm-exchange" / name


def state_directory_named(name: str, chosen: Path | None) -> Path:
    """Where the exchange of this name keeps its state; `chosen` overrides it.

    One that runs says where, wherever that is; else it is where it is when nobody says.
    """
    from shm_exchange import presence
    from shm_exchange.errors import NotRunningError

    if chosen is not None:
        return chosen
    try:
        return Path(presence.find(name)["state_directory"])
    except NotRunningError:
        return default_state_directory(name)


def state_directory_of(configuration: Configuration, chosen: Path | None) -> Path:
    """Where an exchange of this configuration keeps its state; `chosen` overrides it."""
    named = configuration.exchange.state_directory
    return chosen or (
        Path(named) if named else default_state_directory(configuration.exchange.name)
    )


def show(result: dict[str, Any], as_json: bool) -> None:
    """Print a result: as one JSON object, or for a reader."""
    if as_json:
        click.echo(json.dumps(result, default=_plain))
        return
    from shm_exchange import screen

    screen.show(result)


def _plain(value: Any) -> Any:
    """numpy's scalars as Python's; anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)
