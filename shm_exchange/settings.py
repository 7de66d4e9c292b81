"""Shell: a strict TOML file. Every mistake is reported with its line and the remedy.

`Document` knows at which line each key stands; `Table` is the base of the models that a table of
the file must fit: an unknown key, a wrong type or an impossible value is a `Problem`, and all
problems of a file are reported together.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shm_exchange.errors import EXIT_CONFIGURATION, ExchangeError
from shm_exchange.mistakes import explain

Location = tuple[str | int, ...]

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]|\n',
    re.DOTALL,
)
_KEY = r"(?:\"[^\"]*\"|'[^']*'|[\w-]+)"
_PATH = re.compile(rf"\s*(\[{{0,2}})\s*({_KEY}(?:\s*\.\s*{_KEY})*)")
_SYNTAX_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")
_BYTE_ORDER_MARK = "\ufeff"
_MESSAGE_SIZE_MAX = 400
_DEPTH_MAX = 100  # of brackets; a parser follows some hundreds
_LONG_NUMBER = re.compile(r"[\d_]{4300,}")  # what Python does not read


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

    exit_code = EXIT_CONFIGURATION

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = sorted(set(problems))
        super().__init__("\n".join(self._line(each) for each in self.problems))

    def _line(self, problem: Problem) -> str:
        """It stands by itself; a key or a value may have line ends of its own."""
        place = f"{self.path}:{problem.line}" if problem.line else self.path
        message = problem.message
        if len(message) > _MESSAGE_SIZE_MAX:  # what is in the middle comes from the file
            half = _MESSAGE_SIZE_MAX // 2
            message = f"{message[:half]}...{message[-half:]}"
        text = f"{place}: {message}"
        return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


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
                self.add((*location, *error["loc"]), explain(model, location, error))
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
    if text.startswith(_BYTE_ORDER_MARK):
        problem = Problem(
            1, "the file begins with a byte order mark (BOM); save it as UTF-8 without one"
        )
        raise ConfigurationError(name, [problem])
    try:
        tables = tomllib.loads(text, parse_float=_decimal)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(name, [_not_toml(text, error)]) from error
    return Document(name, tables, key_lines(text))


def _decimal(text: str) -> Decimal:
    """A number of a file; one whose exponent no number has is none that a key can want."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def _not_toml(text: str, error: Exception) -> Problem:
    """What a parser could not read, and where."""
    if isinstance(error, RecursionError):
        return Problem(_deep_line(text), "brackets are nested too deeply; write fewer")
    if not isinstance(error, tomllib.TOMLDecodeError) and (long := _LONG_NUMBER.search(text)):
        line = text.count("\n", 0, long.start()) + 1
        return Problem(line, f"this number has {len(long[0])} digits; write a smaller one")
    found = _SYNTAX_LINE.search(str(error))
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    reason = _SYNTAX_LINE.sub("", str(error))
    return Problem(line, f"this is not TOML: {reason}; correct the syntax")


def _deep_line(text: str) -> int:
    """Line of the first bracket that is nested too deeply."""
    depth, line = 0, 1
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth > _DEPTH_MAX:
            break
        line += token[0].count("\n")
    return line


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
