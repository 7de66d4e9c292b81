"""Goal: a reload is all or nothing for the supervisor too.

Method: an exchange without processes; a file that may not be replaced, a configuration without one.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from shm_exchange import accounts
from shm_exchange.children import Bells
from shm_exchange.config import load
from shm_exchange.day_roll import DayRoll
from shm_exchange.errors import ExchangeError
from shm_exchange.notify_socket import ServiceManager
from shm_exchange.presence import CONFIGURATION_COPY
from shm_exchange.reload import Reload
from shm_exchange.running_configuration import keep
from shm_exchange.session_requests import Register
from shm_exchange.unit_report import UnitReport

TEXT = """\
[exchange]
restarts_max = 5
[[engine]]
[[instrument]]
symbol = "A"
tick = 1
"""


def reload_of(source: Path | None, register: Register, folder: Path) -> Reload:
    """Of an exchange of which nothing runs."""
    day = DayRoll("none", {}, lambda engine: None)
    report = UnitReport(ServiceManager({}), {}, compiling=False)
    bells = Bells([])
    return Reload(source, folder, register, [], {}, bells, day, report, lambda _: nullcontext())


def test_what_is_taken_over_holds(tmp_path: Path) -> None:
    """And what cannot be written down is not taken over."""
    source = tmp_path / "some.toml"
    source.write_text(TEXT)
    state = tmp_path / "state"
    state.mkdir()
    keep(source, state)
    register = Register(load(source), state)
    asked = reload_of(source, register, state)
    source.write_text(TEXT.replace("5", "6"))
    assert asked.begin({}) == {"changed": ["exchange.restarts_max"], "serial": 1}
    assert register.configuration.exchange.restarts_max == 6
    assert (state / CONFIGURATION_COPY).read_bytes() == source.read_bytes()
    assert accounts.load(state).serial == 1

    source.write_text(TEXT.replace("5", "7"))
    (state / f"{accounts.FILE}.new").mkdir()  # where it would be written first
    with pytest.raises(ExchangeError, match=r"accounts\.json: Is a directory; nothing changed"):
        asked.begin({})
    assert register.configuration.exchange.restarts_max == 6
    said: list[str] = []
    asked.begin_unasked(said.append, said.append)
    assert said[0].startswith("not reloaded: ") and len(said) == 1


def test_without_a_file_there_is_nothing_to_reload(tmp_path: Path) -> None:
    register = Register(load(None), tmp_path)
    with pytest.raises(ExchangeError, match="start it with --config FILE"):
        reload_of(None, register, tmp_path).begin({})


def test_a_fault_while_reloading_is_told_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP must not end the market, whatever is wrong with the program."""
    asked = reload_of(tmp_path / "some.toml", Register(load(None), tmp_path), tmp_path)
    said: list[str] = []
    monkeypatch.setattr(asked, "_take_over", lambda: [][1])
    asked.begin_unasked(said.append, said.append)
    fault, outcome = said
    assert "the request `reload` failed" in fault and "IndexError" in fault and "line" in fault
    assert outcome.startswith("not reloaded: `reload` failed: IndexError")
