"""Shell: manual pages, made of the help that the commands give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from shm_exchange.errors import (
    EXIT_ANOTHER_WRITER,
    EXIT_CONFIGURATION,
    EXIT_NO_PERMISSION,
    EXIT_UNFIT_HOST,
    ExchangeError,
)

_EXIT_STATUS = {
    0: "Done.",
    ExchangeError.exit_code: "The check or the operation failed.",
    2: "Wrong usage.",
    EXIT_UNFIT_HOST: "The host does not give what the exchange needs.",
    EXIT_ANOTHER_WRITER: "Another exchange holds the name.",
    EXIT_NO_PERMISSION: "The exchange is another user's.",
    EXIT_CONFIGURATION: "The configuration is wrong.",
}
# What a command does to end with them: by its options, which name who or what may be at fault.
_OF_OPTION = {"name": EXIT_NO_PERMISSION, "config": EXIT_CONFIGURATION, "file": EXIT_CONFIGURATION}
_OF_COMMAND = {
    "shmx run": {code: _EXIT_STATUS[code] for code in _EXIT_STATUS if code != EXIT_NO_PERMISSION},
    "shmx status": {
        0: "All is well.",
        1: "It runs, but something is missing, or it starts or drains.",
        2: "No exchange of this name runs. Wrong usage, too: that is said with a hint at --help,"
        " and never as JSON.",
        EXIT_NO_PERMISSION: "The exchange is another user's: nothing is known of it.",
    },
}
_SHORT = 200  # a short help is one sentence of that at most


def pages(command: click.Command, name: str, version: str) -> dict[str, str]:
    """File name -> text, for a command and all below it."""
    return dict(_pages(command, _context(command, name), version))


def _pages(
    command: click.Command, context: click.Context, version: str
) -> Iterator[tuple[str, str]]:
    inner = _inner(command, context)
    title = context.command_path.replace(" ", "-")
    yield f"{title}.1", _page(command, context, inner, version)
    for each in inner:
        yield from _pages(each.command, each, version)


def _context(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def _inner(command: click.Command, context: click.Context) -> list[click.Context]:
    """The commands of a group, each with its own context."""
    if not isinstance(command, click.Group):
        return []
    found = ((name, command.get_command(context, name)) for name in command.list_commands(context))
    return [
        _context(each, name, context)
        for name, each in found
        if each is not None and not each.hidden
    ]


def _page(
    command: click.Command, context: click.Context, inner: list[click.Context], version: str
) -> str:
    path = context.command_path
    title = path.replace(" ", "-")

    records = [each.get_help_record(context) for each in command.get_params(context)]
    options = [each for each in records if each is not None and each[1]]
    short = command.get_short_help_str(_SHORT).removesuffix(".")
    lines = [f'.TH "{title.upper()}" "1" "" "shm-exchange {version}" "shm-exchange"']
    lines += [".SH NAME", f"{_plain(title)} \\- {_plain(short)}"]
    usage = " ".join(command.collect_usage_pieces(context))
    lines += [".SH SYNOPSIS", f"\\fB{_plain(path)}\\fR {_plain(usage)}"]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help or "")]
    lines += _list("OPTIONS", options)
    lines += _list(
        "COMMANDS",
        [
            (f"{each.command_path.replace(' ', '-')}(1)", each.command.get_short_help_str(_SHORT))
            for each in inner
        ],
    )
    codes = _exit_status(command, path)
    lines += _list("EXIT STATUS", [(str(code), text) for code, text in codes.items()])
    if context.parent is not None:
        above = context.parent.command_path.replace(" ", "-")
        lines += [".SH SEE ALSO", f"\\fB{_plain(above)}\\fR(1)"]
    return "\n".join(lines) + "\n"


def _exit_status(command: click.Command, path: str) -> dict[int, str]:
    """The exit codes of a command; a group has those of all below it."""
    if isinstance(command, click.Group):
        return _EXIT_STATUS
    more = {_OF_OPTION[each.name] for each in command.params if each.name in _OF_OPTION}
    chosen = {0, ExchangeError.exit_code, 2} | more
    found = {code: text for code, text in _EXIT_STATUS.items() if code in chosen}
    return _OF_COMMAND.get(path, found)


def _list(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    found: list[str] = []
    for name, text in rows:
        found += [".TP", f"\\fB{_plain(name)}\\fR", _plain(text)]
    return [f".SH {title}", *found] if found else []


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield ".PP"
        yield _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    """Text in which nothing is a request to the formatter."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
