"""Goal: whatever stands in a configuration, it is used or refused with a line: never a traceback.

Method: a valid file with one of every table; each of its keys gets each of a list of values that
are of another type, out of every range, or made to break a parser, and the file is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm_exchange import cli
from shm_exchange.config import REPEATED_TABLES, SINGLE_TABLES, load
from shm_exchange.session_limits import Limits
from shm_exchange.settings import ConfigurationError

# Text of TOML: what each table needs besides the key in question.
NEEDED: dict[str, dict[str, str]] = {
    "exchange": {},
    "engine": {},
    "instrument": {"symbol": '"AAPL"', "tick": "0.01"},
    "gateway": {"kind": '"market_data"', "address": '"127.0.0.1:9001"'},
    "session_range": {"prefix": '"T"', "last": "9", "password": '"x"'},
    "session": {"username": '"ACME01"', "password": '"x"'},
    "metrics": {},
}
HASH = "$argon2id$v=19$m=65536,t=3,p=4$"
VALUES = [
    *("1", "-1", "0", "0.5", "true", "1e3", "inf", "nan", "-0.0", "1e99999999999999999999"),
    *("9223372036854775808", "1" * 4000, "1" * 5000, "2026-01-01", "07:30:00"),
    *('""', '"x"', '"none"', '"a\\u0000b"', '"a\\nb"', '"\\U0001F600"', f'"{"x" * 3000}"'),
    *("[]", "{}", "[1]", "[[1]]", '["x"]', "{ a = 1 }", "{ open_orders = {} }", "[true, 0.5, {}]"),
    *("[" * 60 + "]" * 60, "[" * 5000 + "]" * 5000, "{a=" * 3000 + "1" + "}" * 3000),
    *('"[::1:9001"', '"::1:9001"', '"127.0.0.1:\\u0661\\u0662"', '"127.0.0.1\\u0000:9001"'),
    *('"256.0.0.1:9001"', '"[::1]:9001"', '"[localhost]:9001"', '"127.0.0.1:-1"', '":9001"'),
    *('"$argon2nonsense"', f'"{HASH}"', f'"{HASH}short$short"', '"$argon2id$v=x$m=x$a$b"'),
]
# What pydantic says of Python; an operator writes TOML.
NOT_OURS = ("instance of", "dictionary", "greater than", "less than or", "Input", "String should")


def text(table: str, key: str, value: str) -> str:
    """A configuration with one of each table, and this one assignment; the last line is its."""
    lines: list[str] = []
    for name in sorted(NEEDED, key=lambda name: name == table):
        lines += [f"[{name}]" if name in SINGLE_TABLES else f"[[{name}]]"]
        given = {each: said for each, said in NEEDED[name].items() if name != table or each != key}
        lines += [f"{each} = {said}" for each, said in given.items()]
    return "\n".join([*lines, f"{key} = {value}"]) + "\n"


def cases() -> Iterator[tuple[str, str]]:
    """Every table and key that there is."""
    for name, model in (SINGLE_TABLES | REPEATED_TABLES).items():
        yield from ((name, key) for key in model.model_fields)
        if "limits" in model.model_fields:
            yield from ((name, f"limits.{key}") for key in Limits.model_fields)
    yield "session", "limits.unknown"
    yield "session", "limits." + ".".join("a" * 2000)
    yield "gateway", ".".join(["kind", *"a" * 2000])
    yield "engine", '"unknown\\nkey"'


def judge(path: Path, number: int) -> bool:
    """Whether the file is valid. If not, each problem has a line, and is said in words of ours."""
    try:
        load(path)
    except ConfigurationError as error:
        assert error.exit_code == 78
        for each in error.problems:
            assert 1 <= each.line <= number, each
        for line in str(error).splitlines():
            assert line.startswith(f"{path}:") and len(line) < 600, line
            assert not any(words in line for words in NOT_OURS), line
        return False
    return True


@pytest.mark.parametrize(("table", "key"), list(cases()), ids=lambda part: part[:40])
def test_any_value_of_any_key(table: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "exchange.toml"
    refused = 0
    for value in VALUES:
        path.write_text(said := text(table, key, value), encoding="utf-8")
        refused += not judge(path, said.count("\n"))
    assert refused >= len(VALUES) // 2


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize("table", NEEDED)
def test_any_value_of_a_table(table: str, value: str, tmp_path: Path) -> None:
    """In the place of the table itself."""
    others = "\n".join(
        each for each in text(table, "zz", "1").split("\n[")[1:] if table not in each
    )
    path = tmp_path / "exchange.toml"
    path.write_text(f"{table} = {value}\n[{others}", encoding="utf-8")
    valid = True
    try:
        load(path)
    except ConfigurationError as error:
        valid = False
        # Only that something is missing altogether has no line.
        unplaced = [each.message for each in error.problems if each.line == 0]
        assert all(each.startswith("there is no ") for each in unplaced), unplaced
        assert not any(words in str(error) for words in NOT_OURS), str(error)
    assert not valid or value in ("[]", "{}")


TEXTS = {
    "a byte order mark": (b"\xef\xbb\xbf[exchange]\n", "byte order mark (BOM)", 1),
    "brackets": (b"\n\na = " + b"[" * 5000, "nested too deeply", 3),
    "no text": (b"\xff\xfe\x00", "it is not UTF-8 text", 0),
    "digits": (b"\na = " + b"1" * 5000 + b"\n", "this number has 5000 digits", 2),
}


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize(
    "command", ["check-config", "run --config", "doctor --config", "print-config --config"]
)
def test_whoever_reads_the_file_says_it(
    case: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 78, the line and one sentence: no traceback."""
    data, words, line = TEXTS[case]
    path = tmp_path / "exchange.toml"
    path.write_bytes(data)
    monkeypatch.setattr(sys, "argv", ["shmx", *command.split(), str(path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    assert (stop.value.code, said.out) == (78, "")
    assert said.err.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert words in said.err and said.err.count("\n") == 1


def test_every_line_stands_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """FILE:LINE: as compilers write it, in each of them."""
    path = tmp_path / "exchange.toml"
    path.write_text('[exchange]\nname = 1\n[metrics]\naddress = "a\\nb"\n', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["shmx", "check-config", str(path)])
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and all(each.startswith(f"{path}:") for each in lines)
