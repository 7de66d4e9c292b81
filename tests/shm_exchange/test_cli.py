"""Goal: `shmx` keeps its contract: names, exit codes, one sentence for an error, pure JSON.

Method: the entry point in process with stand-ins for what the commands run, and the real thing
in a process of its own where imports and exit codes are the subject.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from shm_exchange import cli, journal_commands, presence
from shm_exchange.config import built_in
from shm_exchange.doctor import subject_of
from shm_exchange.errors import AnotherWriterError, NotRunningError
from shm_exchange.flow import load as load_flow

CONFIG = """\
[exchange]
name = "other"
state_directory = "/var/lib/other"
[[engine]]
[[instrument]]
symbol = "X"
tick = 1
"""

Result = tuple[int, str, str]


class Outcome(NamedTuple):
    """What conformance finds."""

    messages: int
    sha256: str
    messages_per_second: float
    seconds: float


@pytest.fixture
def shmx(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run `shmx` with arguments; return exit code, stdout, stderr."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["shmx", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Replace `module.function` by one that returns or raises `result`; return its calls."""

    def install(module: str, function: str, result: Any) -> list[Any]:
        calls: list[Any] = []

        def act(*positional: Any, **named: Any) -> Any:
            calls.append((positional, named))
            if isinstance(result, Exception):
                raise result
            return result

        fake = ModuleType(module)
        setattr(fake, function, act)
        package, _, name = module.rpartition(".")
        monkeypatch.setitem(sys.modules, module, fake)
        monkeypatch.setattr(importlib.import_module(package), name, fake, raising=False)
        return calls

    return install


@pytest.mark.parametrize(
    "command",
    ["run", "status", "top", "replay", "conformance", "convert", "convert lobster", "generate"]
    + ["check-config", "latency", "journal", "journal verify", "journal dump", "journal prune"]
    + ["reload", "session", "session list", "session create", "session password", "session kick"]
    + ["session disable", "session enable"],
)
def test_every_command_explains_itself(command: str, shmx: Callable[..., Result]) -> None:
    """--help prints the usage and ends with 0."""
    code, out, err = shmx(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: shmx {command} ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["convert"],
        ["journal"],
        ["session"],
        ["session", "kick"],
        ["session", "password", "T001", "secret"],
        ["journal", "dump", "--from", "-1"],
        ["nothing"],
        ["run", "--nothing"],
        ["replay"],
        ["status", "--name", "a/b"],
        ["replay", "x.npz", "--sessions", "0"],
        ["generate", "x.npz", "--messages", "many"],
        ["latency", "--session", "T001", "--price", "nan"],
        ["latency", "--session", "T001", "--price", "inf"],
        ["latency", "--session", "T001", "--price", "1.234567"],
        ["latency", "--session", "T001", "--price", "0"],
        ["latency", "--session", "T001", "--price", "200000"],
        ["limits", "T01", "order_quantity"],
        ["limits", "T01", "order_quantity="],
        ["limits", "T01", "=3"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    arguments: list[str], shmx: Callable[..., Result]
) -> None:
    """The remedy is the help of the command at fault."""
    code, out, err = shmx(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("shmx: ")
    assert err.endswith("--help`.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("halt", "AAPL", "--reason", "TOOLONG"), "1 to 4 letters and digits"),
        (("limits", "T01", "open_order=1"), "there are: order_quantity, order_notional"),
        (("limits", "T01", "open_orders=x"), "give a whole number from 0 to "),
        (("session", "create", "LONGNAME"), "use 1 to 6 printable ASCII characters"),
        (("install-unit", "--user", "A B"), "use small letters, digits, -"),
    ],
)
def test_what_no_exchange_could_take_is_code_2(
    arguments: tuple[str, ...], remedy: str, shmx: Callable[..., Result], tmp_path: Path
) -> None:
    """Whether one runs or not: nobody is asked."""
    where = ("--root", tmp_path) if arguments[0] == "install-unit" else ("--name", "nobody")
    code, out, err = shmx(*arguments, *where)
    assert (code, out) == (2, "")
    assert remedy in err and err.count("\n") == 1


def test_run_uses_the_built_in_configuration(
    shmx: Callable[..., Result],
    stand_in: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Name and folder have defaults; the supervisor's code is the command's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    calls = stand_in("shm_exchange.whole_run", "run", 3)
    assert shmx("run")[0] == 3
    ((positional, _),) = calls
    assert positional == (built_in(), tmp_path / "shm-exchange" / "main", "main")


def test_run_takes_name_and_state_from_the_file_unless_told(
    shmx: Callable[..., Result], stand_in: Callable[..., list[Any]], tmp_path: Path
) -> None:
    """Options win over the file, the file over the defaults."""
    path = tmp_path / "exchange.toml"
    path.write_text(CONFIG, encoding="utf-8")
    calls = stand_in("shm_exchange.whole_run", "run", None)
    assert shmx("run", "--config", path)[0] == 0
    assert shmx("run", "--config", path, "--state", tmp_path, "--name", "mine")[0] == 0
    assert [positional[1:] for positional, _ in calls] == [
        (Path("/var/lib/other"), "other"),
        (tmp_path, "mine"),
    ]


def test_another_writer_is_code_75(
    shmx: Callable[..., Result], stand_in: Callable[..., list[Any]]
) -> None:
    """A second exchange of the same name."""
    stand_in("shm_exchange.whole_run", "run", AnotherWriterError("main is running; stop it"))
    assert shmx("run") == (75, "", "shmx: main is running; stop it\n")


def test_a_wrong_configuration_is_code_78(shmx: Callable[..., Result], tmp_path: Path) -> None:
    """For `run` and for `check-config`, with file and line."""
    path = tmp_path / "exchange.toml"
    path.write_text(CONFIG.replace("tick", "tock"), encoding="utf-8")
    for arguments in (["run", "--config"], ["check-config"]):
        code, out, err = shmx(*arguments, path)
        assert (code, out) == (78, "")
        assert f"{path}:7: unknown key `tock`" in err


def test_check_config_accepts_a_valid_file(shmx: Callable[..., Result], tmp_path: Path) -> None:
    """And says what it holds."""
    path = tmp_path / "exchange.toml"
    path.write_text(CONFIG, encoding="utf-8")
    code, out, err = shmx("check-config", path)
    assert code == 0
    assert out == f"{path}: valid. engines: 1, instruments: 1, gateways: 0, sessions: 0\n"
    assert err.startswith(f"{path}: there is no gateway of kind `order`, so nobody can trade; add")
    gateway = '[[gateway]]\nkind = "order"\naddress = "127.0.0.1:9001"\n'
    path.write_text(CONFIG + gateway, encoding="utf-8")
    assert shmx("check-config", path)[::2] == (0, "")


STATUS = {
    "state": "ready",
    "engines": [{"id": 1, "published": np.int64(12), "standby_pids": [7], "recorder_pid": None}],
    "gateways": [],
}


def test_status_prints_one_json_object(
    shmx: Callable[..., Result], stand_in: Callable[..., list[Any]]
) -> None:
    """Nothing else on stdout; numbers of numpy are numbers."""
    calls = stand_in("shm_exchange.status", "collect", STATUS)
    code, out, err = shmx("status", "--json", "--name", "x")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(STATUS, default=int))
    assert out.count("\n") == 1
    assert calls == [(("x",), {})]


def test_status_prints_a_screen(
    shmx: Callable[..., Result], stand_in: Callable[..., list[Any]]
) -> None:
    """Everything of the result is on it."""
    calls = stand_in("shm_exchange.status", "collect", STATUS)
    code, out, _ = shmx("status")
    assert code == 0
    assert "ready" in out
    assert "standby pids" in out
    assert calls == [(("main",), {})]


def test_status_of_nothing_fails(
    shmx: Callable[..., Result], stand_in: Callable[..., list[Any]]
) -> None:
    """One sentence, code 2: down; a program reads the same."""
    stand_in("shm_exchange.status", "collect", NotRunningError("x is not running; start it"))
    said = "shmx: x is not running; start it\n"
    assert shmx("status") == (2, "", said)
    assert shmx("status", "--json") == (2, '{"state": "down"}\n', said)


def test_status_of_another_user_is_neither_up_nor_down(
    shmx: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """77, and how to ask."""
    info = presence.info_path(f"cli{os.getpid()}")
    info.touch(0o600)

    def refuse(path: object, *_: object) -> int:
        raise PermissionError(13, "Permission denied", path)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(presence.os, "open", refuse)
            code, out, err = shmx("status", "--json", "--name", f"cli{os.getpid()}")
        user = info.owner()
    finally:
        info.unlink()
    assert (code, out) == (77, "")
    assert f"is that of user {user}; run this as that user: sudo -u {user} shmx" in err


@pytest.mark.parametrize(
    ("state", "code"), [("ready", 0), ("degraded", 1), ("starting", 1), ("draining", 1)]
)
def test_the_exit_code_of_a_status_says_how_it_is(
    state: str, code: int, shmx: Callable[..., Result], stand_in: Callable[..., list[Any]]
) -> None:
    """0 well, 1 degraded; what it prints is the same."""
    stand_in("shm_exchange.status", "collect", STATUS | {"state": state})
    found, out, err = shmx("status", "--json")
    assert (found, json.loads(out)["state"], err) == (code, state, "")


def test_commands_of_a_running_exchange_find_its_state(
    shmx: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, wherever that is; --state goes before, and the default is for who runs not."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    name = f"cli{os.getpid()}"
    claim = presence.Claim(name, tmp_path / "state")
    presence.identity_of(tmp_path / "state")
    claim.announce({"state": "ready", "pid": os.getpid()})
    try:
        for command in ("verify", "dump", "prune"):  # there is no journal yet; it says where
            assert f"{tmp_path / 'state'}" in shmx("journal", command, "--name", name)[2]
        running = subject_of(built_in(), name, None, tmp_path / "home")
        assert (running.state_directory, running.host.process) == (
            tmp_path / "state",
            str(os.getpid()),
        )
        chosen = subject_of(built_in(), name, tmp_path, tmp_path / "home")
        assert chosen.state_directory == tmp_path
    finally:
        claim.release()
    code, _, err = shmx("journal", "verify", "--name", name)
    assert code == 1 and str(tmp_path / "home" / "shm-exchange" / name) in err
    assert subject_of(built_in(), name, None, tmp_path).state_directory == tmp_path


@pytest.mark.parametrize(("agrees", "expected"), [(True, 0), (False, 1)])
def test_replay_hands_everything_to_its_driver(
    agrees: bool,
    expected: int,
    shmx: Callable[..., Result],
    stand_in: Callable[..., list[Any]],
) -> None:
    """The driver is found at run time; a book that differs is a failed check."""
    calls = stand_in("gateways.replay", "run", {"messages": 2, "feed_matches_book": agrees})
    code, out, _ = shmx("replay", "f.npz", "--sessions", "8", "--rate", "1e5", "--json")
    assert code == expected
    assert json.loads(out)["messages"] == 2
    ((positional, named),) = calls
    assert positional == (Path("f.npz"),)
    assert named == {
        "configuration": None,
        "name": "main",
        "sessions": 8,
        "rate": 1e5,
        "instrument": "AAPL",
        "allow_resting": False,
    }


def test_conformance_prints_the_hash(
    shmx: Callable[..., Result], stand_in: Callable[..., list[Any]], tmp_path: Path
) -> None:
    """As JSON and for people."""
    result = Outcome(messages=5, sha256="ab" * 32, messages_per_second=2e7, seconds=0.1)
    calls = stand_in("shm_exchange.conformance", "check", result)
    flow = tmp_path / "flow.npz"
    shmx("generate", flow, "--messages", 5)
    assert json.loads(shmx("conformance", flow, "--json")[1]) == result._asdict()
    assert result.sha256 in shmx("conformance", flow)[1]
    assert [positional[0].messages for positional, _ in calls] == [5, 5]


def test_a_generated_flow_is_a_flow(shmx: Callable[..., Result], tmp_path: Path) -> None:
    """The same seed gives the same file."""
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    assert shmx("generate", one, "--messages", 500, "--seed", 4) == (
        0,
        f"{one}: 500 messages\n",
        "",
    )
    assert shmx("generate", two, "--messages", 500, "--seed", 4)[0] == 0
    assert load_flow(one).messages == 500
    assert np.array_equal(load_flow(one).price_ticks, load_flow(two).price_ticks)


def test_a_lobster_file_becomes_a_flow(shmx: Callable[..., Result], tmp_path: Path) -> None:
    """Two orders and a cancellation."""
    messages, flow = tmp_path / "messages.csv", tmp_path / "flow.npz"
    messages.write_text(
        "34200.1,1,11,100,5850000,1\n34200.2,1,12,50,5851000,-1\n34200.3,3,11,100,5850000,1\n",
        encoding="ascii",
    )
    assert shmx("convert", "lobster", messages, flow) == (0, f"{flow}: 3 messages\n", "")
    assert load_flow(flow).price_ticks[:2].tolist() == [58500, 58510]


def test_a_file_that_cannot_be_used_is_one_sentence(
    shmx: Callable[..., Result], tmp_path: Path
) -> None:
    """To read and to write."""
    code, out, err = shmx("convert", "lobster", tmp_path / "none.csv", tmp_path / "flow.npz")
    assert (code, out, err.count("\n")) == (1, "", 1)
    code, out, err = shmx("generate", tmp_path / "none" / "flow.npz")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "No such file or directory" in err


def test_a_folder_that_may_not_be_read_says_who_may(
    shmx: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for an empty one, nor for wrong usage."""

    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(journal_commands.os, "listdir", refuse)
        patch.setattr(os, "access", lambda *_, **__: False)  # what click would ask
        code, out, err = shmx("journal", "verify", "--state", tmp_path)
    assert (code, out) == (77, "")
    assert err.startswith(f"shmx: {tmp_path}: Permission denied; run it as a user who may")


def test_an_option_says_what_is_meant_without_it(shmx: Callable[..., Result]) -> None:
    """One engine for most commands, all for a roll."""
    assert "Of the engine; the first by default." in shmx("promote", "--help")[1]
    assert "Only of this engine; of all by default." in shmx("roll", "--help")[1]


def test_a_fault_of_the_program_keeps_its_traceback(
    shmx: Callable[..., Result], stand_in: Callable[..., list[Any]]
) -> None:
    """Nobody can repair what is reported as a sentence only."""
    stand_in("shm_exchange.status", "collect", ZeroDivisionError("fault"))
    with pytest.raises(ZeroDivisionError, match="fault"):
        shmx("status")


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ["numba", "numpy", "pydantic", "rich"]),
        (["check-config", "deploy/exchange.toml"], ["numba", "gateways"]),
    ],
)
def test_nothing_heavy_is_imported_without_need(arguments: list[str], absent: list[str]) -> None:
    """Help answers at once, and the supervisor's imports do not reach the compiler."""
    script = (
        "import sys\nfrom shm_exchange.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([name for name in {absent} if name in sys.modules], file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert finished.stdout
    assert finished.stderr == "[]\n"
