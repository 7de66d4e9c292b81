"""Shell: `shmx doctor` and `shmx install-unit`: what a host needs before an exchange runs on it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from shm_exchange.cli_options import (
    configured,
    in_state,
    named,
    show,
    state_directory_of,
    with_json,
)


@click.command()
@configured
@in_state
@named
@with_json
def doctor(config: Path | None, state: Path | None, name: str | None, as_json: bool) -> None:
    """Say whether this host is fit for an exchange.

    If the exchange runs, its own limits and its state directory are looked at. Each line is OK,
    WARN or FAIL with what was found, and the command that mends it. Exit code 1 when a check
    failed.
    """
    from shm_exchange import doctor as examiner
    from shm_exchange.config import load

    configuration = load(config)
    name = name or configuration.exchange.name
    otherwise = state_directory_of(configuration, state)
    subject = examiner.subject_of(configuration, name, state, otherwise)
    report = examiner.examine(subject)
    text = json.dumps(report) if as_json else "\n".join(examiner.lines(report))
    click.echo(text)
    sys.exit(1 if report["state"] == "fail" else 0)


@click.command("install-unit")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    show_default=True,
    help="Of the host, or of an image of one.",
)
@click.option("--user", default="shm-exchange", show_default=True, metavar="NAME")
@click.option("--no-activate", is_flag=True, help="Write the files only; systemd is told nothing.")
@with_json
@click.pass_context
def install_unit(
    context: click.Context, root: Path, user: str, no_activate: bool, as_json: bool
) -> None:
    """Put the systemd unit in place, with all that belongs to it, and start it.

    Writes the unit, its user and folders, a commented configuration if there is none, completion
    for shells, and manual pages. As root on a host that systemd runs it then makes user and
    folders, and enables and starts the unit; one that was here before is left running, or not, as
    it is. Elsewhere it prints the commands that remain.
    """
    from shm_exchange import activation
    from shm_exchange.installation import Installation

    beside = Path(sys.executable).with_name("shmx")
    found = beside if beside.exists() else Path(shutil.which("shmx") or sys.argv[0])
    installation = Installation(root.absolute(), user, found.absolute())
    report = installation.install(context.find_root().command)
    if not as_json:
        for row in report["files"]:
            click.echo(f"{row['done']:9}  {row['file']}")
    report["done"] = []
    if not no_activate and activation.is_possible(installation.root):
        say = (lambda _: None) if as_json else (lambda text: click.echo(f"{'running':9}  {text}"))
        activation.activate(activation.commands(is_new=report["is_new"]), say)
        report["done"], report["remaining"] = report["remaining"], []
    if as_json:
        show(report, as_json)
        return
    if report["remaining"]:
        click.echo("Now:")
    for command in report["remaining"]:
        click.echo(f"  {command}")
    if not report["is_new"]:
        click.echo(
            "The unit was here before, and runs or not as it did: systemctl restart shm-exchange"
        )
