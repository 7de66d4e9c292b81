"""Shell: `shmx doctor`: what can be asked of a host before an exchange runs on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from shm_exchange.cli_options import configured, in_state, state_directory_of, with_json


@click.command()
@configured
@in_state
@with_json
def doctor(config: Path | None, state: Path | None, as_json: bool) -> None:
    """Say whether this host is fit for an exchange.

    Each line is OK, WARN or FAIL with what was found, and the command that mends it. Exit code 1
    when a check failed.
    """
    from shm_exchange import doctor as examiner
    from shm_exchange.config import load

    configuration = load(config)
    subject = examiner.subject_of(configuration, state_directory_of(configuration, state))
    report = examiner.examine(subject)
    text = json.dumps(report) if as_json else "\n".join(examiner.lines(report))
    click.echo(text)
    sys.exit(1 if report["state"] == "fail" else 0)
