"""Goal: what `shmx print-config` prints is what runs, and each value names its origin.

Method: the text is read again and means the same; lines are looked up in the file that was given.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shm_exchange import effective
from shm_exchange.config import Configuration, built_in, load
from shm_exchange.settings import ConfigurationError

TEXT = """\
[[engine]]
id = 7
standbys = 2
[[engine]]
id = 9
matcher_core = 3
[[instrument]]
symbol = "A\\"B"
engine = 7
tick = 0.0001
[exchange]
durability = "disk"
[[gateway]]
kind = "market_data"
address = "127.0.0.1:0"
engines = [
    7,
]
[[session]]
username = "ACME"
password = "topsecret"
limits.open_orders = 5
limits.order_notional = 12.5
"""


def write(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def without_passwords(configuration: Configuration) -> Configuration:
    """The same, as it can be shown."""
    hidden = {"password": None, "password_hash": None}
    sessions = tuple(each.model_copy(update=hidden) for each in configuration.sessions)
    return replace(configuration, sessions=sessions)


@pytest.mark.parametrize("text", [TEXT, None])
def test_the_output_is_a_configuration_that_means_the_same(
    text: str | None, tmp_path: Path
) -> None:
    """Whatever the order of its tables, and also without any file."""
    given = write(tmp_path, text) if text else None
    printed = tmp_path / "printed.toml"
    printed.write_text(effective.text(effective.values(given)), encoding="utf-8")
    assert without_passwords(load(printed)) == without_passwords(load(given))


def test_each_value_names_its_line_or_that_nobody_gave_it(tmp_path: Path) -> None:
    """The line at which the key stands, also of nested ones."""
    path = write(tmp_path, TEXT)
    found = {row["key"]: row for row in effective.rows(effective.values(path))}
    lines = TEXT.splitlines()
    for key, value, line in (
        ("engine[0].standbys", 2, "standbys = 2"),
        ("engine[1].matcher_core", 3, "matcher_core = 3"),
        ("exchange.durability", "disk", 'durability = "disk"'),
        ("instrument[0].tick", "0.0001", "tick = 0.0001"),
        ("gateway[0].engines", (7,), "engines = ["),
        ("session[0].limits.open_orders", 5, "limits.open_orders = 5"),
    ):
        assert found[key] == {
            "key": key,
            "value": value,
            "origin": f"{path}:{lines.index(line) + 1}",
        }
    for key, value in (("exchange.name", "main"), ("engine[1].standbys", 1)):
        assert found[key] == {"key": key, "value": value, "origin": "default"}
    assert found["engine[0].matcher_core"]["value"] is None


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    """Neither to people nor to programs."""
    found = effective.values(write(tmp_path, TEXT))
    assert "topsecret" not in effective.text(found) + json.dumps(effective.rows(found))
    assert "(hidden)" in effective.text(found)


def test_every_key_is_there() -> None:
    """Of the built-in configuration, with where it is from."""
    found = effective.values(None)
    names = {each.name for each in found}
    assert {f"engine[0].{key}" for key in type(built_in().engines[0]).model_fields} <= names
    assert {each.origin for each in found} == {"built in"}


def test_what_is_wrong_is_not_printed(tmp_path: Path) -> None:
    """The errors are those of `check-config`, also those between tables."""
    with pytest.raises(ConfigurationError, match="toml:9: there is no engine 8"):
        effective.values(write(tmp_path, TEXT.replace("engine = 7", "engine = 8")))


def test_the_command_prints_both_ways(tmp_path: Path) -> None:
    """Text for people, one object for programs, 78 for a file that is wrong."""
    path = write(tmp_path, TEXT)
    command = [sys.executable, "-m", "shm_exchange.cli", "print-config", "--config", str(path)]

    def call(*more: str) -> Any:
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=60)

    assert 'durability = "disk"' in call().stdout
    assert json.loads(call("--json").stdout)["file"] == str(path)
    path.write_text("[exchange]\nnothing = 1\n", encoding="utf-8")
    done = call()
    assert (done.returncode, done.stdout) == (78, "")
    assert f"{path}:2: unknown key `nothing`" in done.stderr
