"""Shell: the command `shmx`.

Each command imports what it runs when it runs: `shmx --help` answers at once, and the supervisor
never loads a compiler. Nothing of `gateways` is imported by name here; `replay` finds its driver
at run time.

An error that this project declares is meant for whoever typed the command: one sentence and its
exit code. Any other exception is a fault of the program and keeps its traceback.
"""

from __future__ import annotations

import errno
import importlib
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from shm_exchange import operator_line
from shm_exchange.cli_configuration import check_config, print_config
from shm_exchange.cli_host import doctor, install_unit
from shm_exchange.cli_journal import journal
from shm_exchange.cli_latency import latency
from shm_exchange.cli_options import (
    DEFAULT_NAME,
    configured,
    default_state_directory,
    in_state,
    named,
    of_engine,
    of_engines,
    show,
    with_json,
)
from shm_exchange.cli_session import session
from shm_exchange.cli_status import status, top
from shm_exchange.errors import EXIT_CONFIGURATION, EXIT_NO_PERMISSION

_PACKAGES = ("ringbuf", "shm_exchange", "gateways")
_FLOW_MESSAGES = 100_000
_HALTS = ("cancel-only", "halted", "closed")
_BUSTS = ("erroneous", "consent", "supervisory", "external")
_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EACCES: "run it as a user who may, such as the exchange's own",
}
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


_flow = click.argument("flow", metavar="FLOW.npz", type=click.Path(path_type=Path))


@click.group(context_settings=_CONTEXT, no_args_is_help=False)
@click.version_option(package_name="shm-exchange")
def commands() -> None:
    """A complete exchange on one Linux host.

    Exit codes: 0 done, 1 the check or the operation failed, 2 wrong usage, 69 the host does not
    give what is needed, 73 no place for machine code, 75 another exchange holds the name, 77 the
    exchange or a file is another user's, 78 the configuration is wrong.
    """


@commands.command()
@configured
@in_state
@named
def run(config: Path | None, state: Path | None, name: str | None) -> None:
    """Run the exchange in the foreground.

    Ctrl-C and SIGTERM drain it and stop it.
    """
    from shm_exchange.config import load

    configuration = load(config)
    from shm_exchange import whole_run

    name = name or configuration.exchange.name
    named = configuration.exchange.state_directory
    directory = state or (Path(named) if named else default_state_directory(name))
    sys.exit(whole_run.run(configuration, directory, name, source=config) or 0)


@commands.command()
@named
@of_engine
@with_json
def promote(name: str | None, engine: int | None, as_json: bool) -> None:
    """Let a standby succeed the matcher, as planned.

    The matcher ends between two commands. Prints who it was and who it is, and the gap between
    their reigns.
    """
    from shm_exchange import handover

    show(handover.promote(name or DEFAULT_NAME, engine), as_json)


@commands.command()
@named
@of_engine
@with_json
def snapshot(name: str | None, engine: int | None, as_json: bool) -> None:
    """Take a snapshot now: the next start has nothing to replay.

    Returns when it is on disk. Trading goes on meanwhile.
    """
    from shm_exchange import snapshot_request

    show(snapshot_request.take(name or DEFAULT_NAME, engine), as_json)


@commands.command()
@named
@of_engine
@with_json
def drill(name: str | None, engine: int | None, as_json: bool) -> None:
    """Promote a standby, and check that nothing is amiss.

    Waits until there is a new standby that agrees. Exit code 1 when a check failed.
    """
    from shm_exchange import handover

    report = handover.drill(name or DEFAULT_NAME, engine)
    show(report, as_json)
    sys.exit(0 if report["passed"] else 1)


@commands.command()
@click.argument("session")
@click.argument("changes", metavar="LIMIT=VALUE...", nargs=-1, required=True)
@named
@with_json
def limits(session: str, changes: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Change what a session may ask, while it trades.

    LIMIT is a key of `limits` in the configuration; VALUE a number, 0 or `none` for no limit, or
    `default` for what is configured. It holds until it is changed again, restarts included.
    """
    from shm_exchange import limit_change, presence
    from shm_exchange.admin import ask

    for each in changes:
        if not all(each.partition("=")):
            said = f"{each!r} is not LIMIT=VALUE, such as open_orders=100."
            raise click.BadParameter(said, click.get_current_context())
    pairs = (each.partition("=")[::2] for each in changes)
    wanted = {key: None if value == "default" else value for key, value in pairs}
    limit_change.check(wanted)
    directory = Path(presence.find(name or DEFAULT_NAME)["state_directory"])
    show(ask(directory, {"do": limit_change.DO, "session": session, "limits": wanted}), as_json)


@commands.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file that the exchange was started with: to find it by.",
)
@named
@with_json
def reload(config: Path | None, name: str | None, as_json: bool) -> None:
    """Take over what has changed in the configuration.

    Passwords, limits and a few settings; when anything else has changed too, nothing is taken over
    and every such line is named, with exit code 78. Returns when the gateways work with it.
    """
    from shm_exchange import reload, running_configuration, session_list

    name = name or (running_configuration.name_of(config) if config else DEFAULT_NAME)
    file = {"file": str(config.absolute())} if config else {}
    changed = session_list.ask(name, {"do": reload.DO, **file})["changed"]
    if as_json:
        show({"changed": changed}, as_json)
    else:
        click.echo("\n".join(f"taken over: {each}" for each in changed) or "nothing changed")


@commands.command()
@named
@of_engines
@with_json
def roll(name: str | None, engine: int | None, as_json: bool) -> None:
    """Roll the day: Day orders end, and every stream does and begins anew.

    Clients are told `Z` and log in again.
    """
    from shm_exchange import day_roll

    show(day_roll.roll(name or DEFAULT_NAME, engine), as_json)


@commands.command()
@click.argument("symbol")
@click.option("--state", type=click.Choice(_HALTS), default="halted", show_default=True)
@click.option("--reason", default="", metavar="TEXT", help="1 to 4 letters and digits.")
@named
@with_json
def halt(symbol: str, state: str, reason: str, name: str | None, as_json: bool) -> None:
    """Stop trading in an instrument.

    Orders and replaces are rejected, cancels go on. The feed is told.
    """
    from shm_exchange import market_operations

    show(market_operations.change_state(name or DEFAULT_NAME, symbol, state, reason), as_json)


@commands.command()
@click.argument("symbol")
@named
@with_json
def resume(symbol: str, name: str | None, as_json: bool) -> None:
    """Open an instrument for trading again."""
    from shm_exchange.market_operations import OPEN, change_state

    show(change_state(name or DEFAULT_NAME, symbol, OPEN), as_json)


@commands.command()
@click.argument("match_number", type=click.IntRange(0))
@click.option("--reason", type=click.Choice(_BUSTS), default="erroneous", show_default=True)
@named
@with_json
def bust(match_number: int, reason: str, name: str | None, as_json: bool) -> None:
    """Break a trade: both sides and the feed are told, once.

    MATCH_NUMBER is what an execution on OUCH (`E`) or the feed says. The books stay as they are.
    """
    from shm_exchange import market_operations

    show(market_operations.bust(name or DEFAULT_NAME, match_number, reason), as_json)


commands.add_command(status)
commands.add_command(top)
commands.add_command(journal)
commands.add_command(latency)
commands.add_command(session)
commands.add_command(doctor)
commands.add_command(install_unit)
commands.add_command(check_config)
commands.add_command(print_config)


@commands.command()
@_flow
@configured
@click.option("--sessions", type=click.IntRange(1), default=1, show_default=True, metavar="N")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="R",
    help="Messages per second; without it as fast as possible.",
)
@named
@click.option("--instrument", default="AAPL", show_default=True, help="That the flow is for.")
@click.option("--allow-resting", is_flag=True, help="Go on when the instrument has orders already.")
@with_json
def replay(
    flow: Path, config: Path | None, name: str | None, as_json: bool, **options: Any
) -> None:
    """Send a flow through OUCH over TCP and compare feed and book.

    The flow goes through N sessions. The book is rebuilt from the ITCH feed; exit code 1 when it
    differs from the exchange's own.
    """
    from shm_exchange.config import load

    configuration = load(config) if config else None  # None: that of the running exchange
    driver = importlib.import_module("gateways.replay")
    name = name or (configuration.exchange.name if configuration else DEFAULT_NAME)
    report = driver.run(flow, configuration=configuration, name=name, **options)
    show(report, as_json)
    sys.exit(0 if report["feed_matches_book"] else 1)


@commands.command()
@_flow
@with_json
def conformance(flow: Path, as_json: bool) -> None:
    """Print the hash of what the matcher reports for a flow."""
    from shm_exchange.conformance import check
    from shm_exchange.flow import load

    show(check(load(flow))._asdict(), as_json)


@commands.group(no_args_is_help=False)
def convert() -> None:
    """Turn other people's data into flows."""


@convert.command()
@click.argument("messages", metavar="MESSAGES.csv", type=click.Path(path_type=Path))
@_flow
def lobster(messages: Path, flow: Path) -> None:
    """Turn a LOBSTER message file into a flow."""
    from shm_exchange import flow as flows
    from shm_exchange import lobster as converter

    converted = converter.convert(messages)
    flows.save(flow, converted)
    click.echo(f"{flow}: {converted.messages} messages")


@commands.command()
@_flow
@click.option(
    "--messages", type=click.IntRange(1), default=_FLOW_MESSAGES, show_default=True, metavar="N"
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, metavar="S")
def generate(flow: Path, messages: int, seed: int) -> None:
    """Write a synthetic flow of our own making."""
    from shm_exchange import flow as flows

    generated = flows.generate(messages, seed)
    flows.save(flow, generated)
    click.echo(f"{flow}: {generated.messages} messages")


def _fail(message: str, code: int) -> NoReturn:
    operator_line.say(message, operator_line.ERROR)
    sys.exit(code)


def _sentence(error: Exception) -> str:
    """The text of an error; a system error without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        remedy = _REMEDIES.get(error.errno or 0, "choose another path")
        return f"{error.filename}: {error.strerror}; {remedy}."
    return str(error)


def _is_ours(error: Exception) -> bool:
    """Whether the error is a report to the user rather than a fault of the program."""
    kind = type(error)
    declared_here = kind.__module__.split(".")[0] in _PACKAGES
    return isinstance(error, OSError) or (declared_here and kind.__name__ != "UsageError")


def main() -> None:
    """Entry point of the console script."""
    try:
        commands.main(prog_name="shmx", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "shmx"
        _fail(f"shmx: {error.format_message()} See `{path} --help`.", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("shmx: interrupted", 130)
    except Exception as error:
        if not _is_ours(error):
            raise
        forbidden = EXIT_NO_PERMISSION if isinstance(error, PermissionError) else 1
        code = getattr(error, "exit_code", forbidden)
        # Each line of what is wrong with a configuration begins with its file.
        prefix = "" if code == EXIT_CONFIGURATION else "shmx: "
        _fail(f"{prefix}{_sentence(error)}", code)


if __name__ == "__main__":
    main()
