"""Goal: `shmx install-unit` gives a host a unit that systemd accepts, and what belongs to it.

Method: it writes below a folder; systemd, man, bash and the rest judge what is there. Where one of
them is not installed, the test says which package has it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from shm_exchange import activation
from shm_exchange.cli import commands
from shm_exchange.config import Exchange, built_in, load
from shm_exchange.errors import (
    EXIT_ANOTHER_WRITER,
    EXIT_CONFIGURATION,
    EXIT_UNFIT_HOST,
    ExchangeError,
)
from shm_exchange.installation import Installation

EXPOSURE_MAX = 2.0
UNIT = "etc/systemd/system/shm-exchange.service"
MANUAL = "usr/local/share/man/man1"
EXECUTABLE = Path(sys.executable).with_name("shmx")


def tool(name: str, package: str) -> str:
    """Where a program is; without it the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there: apt-get install {package}")
    return found


def run(*command: object, **more: str) -> subprocess.CompletedProcess[str]:
    """What a program says."""
    environment = os.environ | {"SYSTEMD_COLORS": "0", "LC_ALL": "C"} | more
    return subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host that was given everything."""
    Installation(tmp_path, "shm-exchange", EXECUTABLE).install(commands)
    return tmp_path


def test_systemd_accepts_the_unit(root: Path) -> None:
    """Not a word from `systemd-analyze verify`, which also looks for the manual that it names."""
    tool("man", "man-db")
    pages = {"MANPATH": str(root / MANUAL.removesuffix("/man1"))}
    done = run(tool("systemd-analyze", "systemd"), "verify", root / UNIT, **pages)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_exposes_little(root: Path) -> None:
    """As little as numba allows: `systemd-analyze security`, at most 2.0."""
    analyze = tool("systemd-analyze", "systemd")
    done = run(analyze, "security", "--offline=true", "--no-pager", root / UNIT)
    exposure = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX


def test_the_unit_leaves_what_the_exchange_needs(root: Path) -> None:
    """What hardening would take away without a word, and only be missed by a running exchange."""
    text = (root / UNIT).read_text(encoding="utf-8")
    said = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert said["Type"] == "notify"
    assert said["RemoveIPC"] == "no"  # the rings survive a crash
    # numba; roles that see each other; shared memory as it is; a network; cores of one's own
    forbidden = {"MemoryDenyWriteExecute", "ProtectProc", "PrivateNetwork", "InaccessiblePaths"}
    assert not forbidden & set(said)
    assert "@resources" not in "".join(re.findall(r"^SystemCallFilter=~(.*)$", text, re.MULTILINE))
    assert said["LimitCORE"] == "0"
    assert " --name main " in said["ExecStart"] and said["ExecReload"].endswith(" --name main")
    codes = {EXIT_UNFIT_HOST, EXIT_ANOTHER_WRITER, EXIT_CONFIGURATION, 2, 73}  # the same again
    assert set(map(int, said["RestartPreventExitStatus"].split())) == codes


def test_its_executable_user_and_folders_belong_together(tmp_path: Path) -> None:
    """A user of another name owns everything."""
    Installation(tmp_path, "market-1", EXECUTABLE).install(commands)
    unit = (tmp_path / UNIT).read_text(encoding="utf-8")
    assert "User=market-1\nGroup=market-1\n" in unit
    file = "/etc/shm-exchange/exchange.toml"
    assert f"ExecStart={EXECUTABLE} run --name main --config {file}" in unit
    users = (tmp_path / "etc/sysusers.d/shm-exchange.conf").read_text(encoding="utf-8")
    assert re.search(r'^u market-1 - "shm-exchange" /var/lib/shm-exchange$', users, re.MULTILINE)
    folders = (tmp_path / "etc/tmpfiles.d/shm-exchange.conf").read_text(encoding="utf-8")
    assert "d /var/lib/shm-exchange 0700 market-1 market-1\n" in folders


@pytest.mark.parametrize("program", ["systemd-sysusers", "systemd-tmpfiles"])
def test_users_and_folders_are_understood(program: str, root: Path) -> None:
    """By the programs that will make them, below the same folder."""
    if os.geteuid() != 0:
        pytest.skip("only root may make users and give folders away")
    users = root / "etc/sysusers.d/shm-exchange.conf"
    done = run(tool("systemd-sysusers", "systemd"), f"--root={root}", users)
    assert done.returncode == 0, done.stderr
    assert "shm-exchange" in (root / "etc/passwd").read_text(encoding="utf-8")
    if program == "systemd-tmpfiles":
        folders = root / "etc/tmpfiles.d/shm-exchange.conf"
        done = run(tool(program, "systemd"), "--create", f"--root={root}", folders)
        assert done.returncode == 0, done.stderr
        assert (root / "var/lib/shm-exchange").stat().st_mode & 0o777 == 0o700
        assert (root / "etc/shm-exchange/exchange.toml").stat().st_mode & 0o777 == 0o640


def test_the_configuration_is_the_built_in_one_and_never_touched(root: Path) -> None:
    """Whatever an operator wrote into it stays, also when the unit is renewed."""
    path = root / "etc/shm-exchange/exchange.toml"
    there = replace(built_in(), exchange=Exchange(state_directory="/var/lib/shm-exchange"))
    assert load(path) == there
    path.write_text("# mine\n", encoding="utf-8")
    (root / UNIT).write_text("old", encoding="utf-8")
    report = Installation(root, "shm-exchange", EXECUTABLE).install(commands)
    done = {row["file"]: row["done"] for row in report["files"]}
    assert done.pop(str(path)) == "kept"
    assert done.pop(str(root / UNIT)) == "written"
    assert set(done.values()) == {"unchanged"}
    assert path.read_text(encoding="utf-8") == "# mine\n"


def test_every_command_has_a_page(root: Path) -> None:
    """Its own, that names its options; the formatter has nothing to complain of."""
    formatter = tool("groff", "groff")
    pages = sorted((root / MANUAL).iterdir())
    assert {"shmx.1", "shmx-run.1", "shmx-journal-verify.1"} <= {each.name for each in pages}
    done = run(formatter, "-man", "-ww", "-Tutf8", "-P-cbou", *pages)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--allow-resting" in done.stdout.replace("‐", "-").replace("−", "-")


def test_a_page_has_the_exit_codes_of_its_command(root: Path) -> None:
    """2 means `down` for status alone; who has no configuration cannot have a wrong one."""

    def codes(page: str) -> str:
        text = (root / MANUAL / f"{page}.1").read_text(encoding="utf-8")
        return text.partition(".SH EXIT STATUS")[2].partition(".SH")[0]

    assert "No exchange of this name runs" in codes("shmx-status")
    assert "78" not in codes("shmx-status") and "77" in codes("shmx-status")
    assert "78" in codes("shmx-check-config") and "75" not in codes("shmx-check-config")
    assert all(each in codes("shmx-run") for each in ("69", "75", "78"))
    assert "Wrong usage" in codes("shmx-halt")


def test_a_shell_completes_commands(root: Path) -> None:
    """The script is bash, and what it calls answers."""
    script = root / "usr/local/share/bash-completion/completions/shmx"
    assert run(tool("bash", "bash"), "-n", script).returncode == 0
    done = run(EXECUTABLE, _SHMX_COMPLETE="bash_complete", COMP_WORDS="shmx print", COMP_CWORD="1")
    assert done.stdout == "plain,print-config\n"


def test_what_a_unit_cannot_start_is_refused(tmp_path: Path) -> None:
    """An executable that its own hardening hides, and words that the unit would misread."""
    with pytest.raises(ExchangeError, match="hidden from the unit"):
        Installation(Path("/"), "shm-exchange", Path("/home/me/venv/bin/shmx"))
    with pytest.raises(ExchangeError, match="no name of a user"):
        Installation(tmp_path, "me; rm", EXECUTABLE)
    with pytest.raises(ExchangeError, match="plainer path"):
        Installation(tmp_path, "me", Path("/opt/my files/shmx"))


def test_the_command_says_what_remains(tmp_path: Path) -> None:
    """For people and for programs; an executable within an image is named as seen from there."""
    command = [EXECUTABLE, "install-unit", "--root", tmp_path]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("  systemctl enable --now shm-exchange\n")
    assert "running" not in done.stdout  # this is not the host that is installed
    report = json.loads(run(*command, "--json").stdout)
    assert (report["is_new"], report["done"]) == (False, [])
    assert report["remaining"] == [
        "systemd-sysusers /etc/sysusers.d/shm-exchange.conf",
        "systemd-tmpfiles --create /etc/tmpfiles.d/shm-exchange.conf",
        "systemctl daemon-reload",
    ]  # whoever stopped an exchange may want it so
    inside = Installation(tmp_path, "shm-exchange", tmp_path / "opt/bin/shmx")
    assert "ExecStart=/opt/bin/shmx run" in inside.files(commands)[UNIT]


def test_what_is_done_is_said_and_what_fails_is_named() -> None:
    """With what remains; nothing is run behind it."""
    said: list[str] = []
    todo = [("true", "a b"), ("false",), ("no-such-program",)]
    with pytest.raises(ExchangeError, match="`false` failed: .* code 1; .*: false && no-such-"):
        activation.activate(todo, said.append)
    assert said == ["true 'a b'", "false"]
    with pytest.raises(ExchangeError, match="`no-such-program` failed: No such file"):
        activation.activate(todo[2:], said.append)
    assert not activation.is_possible(Path("/somewhere"))


def test_a_folder_that_cannot_be_written_is_named() -> None:
    """With the remedy; nobody can write to /proc, not even root."""
    with pytest.raises(ExchangeError, match="^/proc/etc/.* cannot be written: .*--root DIR"):
        Installation(Path("/proc"), "shm-exchange", EXECUTABLE).install(commands)
