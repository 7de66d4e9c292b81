"""Shell: `shmx check-config` and `shmx print-config`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from shm_exchange.cli_options import configured, with_json


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
def check_config(file: Path) -> None:
    """Validate a configuration, every error with its line."""
    from shm_exchange.config import NOBODY_TRADES, load

    configuration = load(file)
    counts = ", ".join(
        f"{name}: {len(getattr(configuration, name))}"
        for name in ("engines", "instruments", "gateways", "sessions")
    )
    click.echo(f"{file}: valid. {counts}")
    if not configuration.takes_orders:
        click.echo(f"{file}: {NOBODY_TRADES}", err=True)


@click.command("print-config")
@configured
@with_json
def print_config(config: Path | None, as_json: bool) -> None:
    """Print every value, and where it came from.

    The output is a configuration that means the same; passwords are hidden.
    """
    from shm_exchange import effective

    found = effective.values(config)
    if as_json:
        file = None if config is None else str(config)
        click.echo(json.dumps({"file": file, "values": effective.rows(found)}))
    else:
        click.echo(effective.text(found))
