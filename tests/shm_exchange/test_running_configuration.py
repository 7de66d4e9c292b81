"""Goal: a reload takes over exactly what it may, and names every line that it may not.

Method: pairs of files, compared.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shm_exchange.limit_change import again
from shm_exchange.limit_kinds import Limit
from shm_exchange.messages import CommandKind
from shm_exchange.running_configuration import changes, keep
from shm_exchange.settings import ConfigurationError

TEXT = """\
[exchange]
restarts_max = 5
[[engine]]
[[instrument]]
symbol = "A"
tick = 1
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
[[session_range]]
prefix = "T"
last = 3
password = "one"
[[session]]
username = "X"
password = "two"
"""
RELOADED = {
    "nothing": ("", "", []),
    "a comment": ("[exchange]", "# new\n[exchange]", []),
    "a default that is said": ("[[engine]]", "[[engine]]\nid = 1", []),
    "a default again": ("restarts_max = 5\n", "", ["exchange.restarts_max"]),
    "the day": ("[exchange]", '[exchange]\nday_roll = "22:00"', ["exchange.day_roll"]),
    "how much is said": (
        "[exchange]",
        '[exchange]\nlog_level = "error"',
        ["exchange.log_level"],
    ),
    "how often": (
        "[[engine]]",
        "[[engine]]\nsnapshot_every_events = 1000",
        ["engine[0].snapshot_every_events"],
    ),
    "refusals": (":0", ':0"\nrefusals_per_second = 7 #', ["gateway[0].refusals_per_second"]),
    "shares": (":0", ':0"\nfair_share_per_second = 7 #', ["gateway[0].fair_share_per_second"]),
    "a range": ('"one"', '"other"\nlimits.position = 9', None),
    "another kind of password": (
        'password = "two"',
        'password_hash = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2g"',
        ["session[0].password", "session[0].password_hash"],
    ),
}
RESTARTED = {
    "a tick": ("tick = 1", "tick = 2", 6, "`tick` is another than that of the running"),
    "an address": ("127.0.0.1:0", "127.0.0.1:9", 9, "`address`"),
    "what was left out": ("[[engine]]", "[[engine]]\nstandbys = 2", 4, "`standbys`"),
    "a session's firm": ('"two"', '"two"\nfirm = "A"', 17, "`firm`"),
    "another session": (
        '"two"',
        '"two"\n[[session]]\nusername = "Y"\npassword = "x"',
        17,
        "is new",
    ),
    "one session less": ('[[session]]\nusername = "X"\npassword = "two"\n', "", 0, "is gone"),
    "metrics": ("[exchange]", '[metrics]\naddress = "127.0.0.1:0"\n[exchange]', 2, "`address`"),
}


def files(folder: Path, old: str, new: str) -> tuple[Path, Path]:
    """The running one, and the same with `new` for `old`."""
    assert old in TEXT
    before, after = folder / "before.toml", folder / "after.toml"
    before.write_text(TEXT)
    after.write_text(TEXT.replace(old, new, 1))
    return before, after


@pytest.mark.parametrize("case", RELOADED)
def test_what_may_be_reloaded(tmp_path: Path, case: str) -> None:
    old, new, wanted = RELOADED[case]
    found = [each.name for each in changes(*files(tmp_path, old, new))]
    assert found == (
        wanted
        if wanted is not None
        else ["session_range[0].password", "session_range[0].limits.position"]
    )


@pytest.mark.parametrize("case", RESTARTED)
def test_what_needs_a_restart_is_named(tmp_path: Path, case: str) -> None:
    """Beside what may be reloaded."""
    old, new, line, message = RESTARTED[case]
    before, after = files(tmp_path, old, new)
    after.write_text(after.read_text().replace("restarts_max = 5", "restarts_max = 6"))
    with pytest.raises(ConfigurationError) as refusal:
        changes(before, after)
    assert [each.line for each in refusal.value.problems] == [line]
    assert message in str(refusal.value) and "needs a restart" in str(refusal.value)


def test_very_many_are_counted(tmp_path: Path) -> None:
    """The first hundred are named."""
    one = '[[instrument]]\nsymbol = "I{}"\ntick = {}\n'
    before, after = (tmp_path / f"{tick}.toml" for tick in (1, 2))
    for path, tick in ((before, 1), (after, 2)):
        path.write_text(TEXT + "".join(one.format(number, tick) for number in range(103)))
    with pytest.raises(ConfigurationError, match="and 3 more changes need a restart") as refusal:
        changes(before, after)
    assert len(refusal.value.problems) == 101


def test_the_copy_is_what_was_read(tmp_path: Path) -> None:
    """And is gone where the built-in configuration runs."""
    before, _ = files(tmp_path, "", "")
    copy = keep(before, tmp_path)
    assert copy is not None and copy.read_text() == TEXT
    assert keep(None, tmp_path) is None and not copy.exists()


def test_looking_again_sets_no_limit() -> None:
    """The place that its command names is none of those that there are."""
    command = again(5)[0]
    assert command["kind"] == CommandKind.LIMITS and command["session"] == 5
    assert command["reason"] not in set(Limit) and command["client_order_id_0"] == 0
