"""Shell: a strict TOML file. Every mistake is reported with its line and the remedy.

`Document` knows at which line each key stands; `Table` is the base of the models that a table of
the file must fit: an unknown key, a wrong type or an impossible value is a `Problem`, and all
problems of a file are reported together.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shm_exchange.errors import ExchangeError

Location = tuple[str | int, ...]

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]|\n',
    re.DOTALL,
)
_KEY = r"(?:\"[^\"]*\"|'[^']*'|[\w-]+)"
_PATH = re.compile(rf"\s*(\[{{0,2}})\s*({_KEY}(?:\s*\.\s*{_KEY})*)")
_SYNTAX_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")
_TYPE_NAMES = {
    bool: "a boolean",
    int: "an integer",
    Decimal: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}
_WANTED = {
    "bool_type": "true or false",
    "decimal_type": "a number, such as 0.01",
    "int_type": "a whole number",
    "string_type": "a string in quotes",
    "tuple_type": "a list in brackets",
}


class Table(BaseModel):
    """A table of the file: immutable, no key beyond the declared ones, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Model = TypeVar("Model", bound=Table)


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake. `line` counts from 1; 0 is the file as a whole."""

    line: int
    message: str


class ConfigurationError(ExchangeError):
    """The configuration cannot be used. The text has one line per problem."""

    exit_code = 78

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = sorted(set(problems))
        super().__init__(
            "\n".join(
                f"{path}:{each.line}: {each.message}" if each.line else f"{path}: {each.message}"
                for each in self.problems
            )
        )


@dataclass
class Document:
    """A parsed file: its tables, the line of each key, and the problems found so far."""

    path: str
    tables: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, location: Location) -> int:
        """Line of the key, or of the nearest table around it; 0 when there is none."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 0)

    def add(self, location: Location, message: str) -> None:
        """Record a problem at the line of `location`."""
        self.problems.append(Problem(self.line_of(location), message))

    def fit(self, model: type[Model], value: Any, location: Location) -> Model | None:
        """The table as `model`, or None after its problems are recorded."""
        try:
            return model.model_validate(value)
        except ValidationError as errors:
            for error in errors.errors():
                self.add((*location, *error["loc"]), _explain(model, location, error))
            return None

    def raise_problems(self) -> None:
        """Raise ConfigurationError when anything was recorded."""
        if self.problems:
            raise ConfigurationError(self.path, self.problems)


def read(path: Path) -> Document:
    """Parse a file. Raises ConfigurationError when it cannot be read or is not TOML."""
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        problem = Problem(0, f"cannot be read: {reason}; name a file that you may read")
        raise ConfigurationError(name, [problem]) from error
    return parse(name, text)


def parse(name: str, text: str) -> Document:
    """Parse what a file says. Raises ConfigurationError when it is not TOML."""
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX_LINE.search(str(error))
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        reason = _SYNTAX_LINE.sub("", str(error))
        problem = Problem(line, f"this is not TOML: {reason}; correct the syntax")
        raise ConfigurationError(name, [problem]) from error
    return Document(name, tables, key_lines(text))


def suggestion(key: str, known: list[str]) -> str:
    """What to write instead of an unknown key."""
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(sorted(known))}"


def key_lines(text: str) -> dict[Location, int]:
    """Line of every table and key of a valid TOML text; arrays of tables count from 0."""
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    for line, statement in _statements(text):
        found = _PATH.match(statement)
        if found is None:
            continue
        names: Location = tuple(
            name.strip("\"'") if name[0] in "\"'" else name for name in re.findall(_KEY, found[2])
        )
        if found[1] == "[[":
            counts[names] = counts.get(names, -1) + 1
            table = (*names, counts[names])
            lines.setdefault(names, line)
        elif found[1] == "[":
            table = names
        lines[table if found[1] else table + names] = line
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each header and assignment; a value of several lines is one statement."""
    depth = begin = 0
    line = begin_line = 1
    for token in _TOKEN.finditer(text + "\n"):
        word = token[0]
        if word in "[{":
            depth += 1
        elif word in "]}":
            depth -= 1
        elif word == "\n" and depth == 0:
            yield begin_line, text[begin : token.start()]
            begin, begin_line = token.end(), line + 1
        line += word.count("\n")


def _explain(model: type[Table], location: Location, error: Any) -> str:
    """One pydantic error as a sentence with the remedy."""
    key = ".".join(str(part) for part in error["loc"])
    kind, value = error["type"], error["input"]
    table = str(location[0]) if location else "the file"
    if kind == "extra_forbidden":
        return f"unknown key `{key}` in {table}; {suggestion(key, list(model.model_fields))}"
    if kind == "missing":
        return f"`{key}` is missing in {table}; add it"
    if kind in _WANTED:
        given = _TYPE_NAMES.get(type(value), type(value).__name__)
        return f"`{key}` is {given}; write {_WANTED[kind]}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = re.sub(r"Decimal\('(.*?)'\)", r"\1", message)
    if kind == "value_error":
        return f"`{key}`: {message}" if key else f"{table}: {message}"
    shown = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    declared = model.model_fields.get(str(error["loc"][0]))
    if declared is not None and declared.description:
        message = declared.description
    return f"`{key}` = {shown} is not possible; it must be {message}"
