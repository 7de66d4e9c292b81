"""Goal: a configuration is either exactly what was meant, or refused with line and remedy.

Method: small files with one mistake each, and one with many; the built-in exchange against
`deploy/exchange.toml`.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from shm_exchange.addresses import is_loopback, split_address
from shm_exchange.config import (
    Configuration,
    Gateway,
    SessionRange,
    built_in,
    load,
)
from shm_exchange.settings import ConfigurationError, key_lines

DEPLOY = Path(__file__).parents[2] / "deploy" / "exchange.toml"

VALID = """\
[[engine]]
id = 1

[[instrument]]
symbol = "AAPL"
tick = 0.01

[[gateway]]
kind = "order"
address = "127.0.0.1:9001"

[[session]]
username = "ACME01"
password = "secret"
"""


def write(folder: Path, text: str) -> Path:
    """`text` as a file."""
    path = folder / "exchange.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[tuple[int, str]]:
    """(line, message) of everything that `load` complains about."""
    with pytest.raises(ConfigurationError) as caught:
        load(write(folder, text))
    return [(each.line, each.message) for each in caught.value.problems]


def test_the_built_in_exchange_is_the_deployed_example() -> None:
    """Two ways to say the same: the file in deploy/ is complete and current."""
    assert load(DEPLOY) == built_in()


def test_the_built_in_exchange_is_what_the_documentation_promises() -> None:
    """Addresses, instruments and sessions that users type."""
    configuration = built_in()
    assert [(each.kind, each.address) for each in configuration.gateways] == [
        ("order", "127.0.0.1:9001"),
        ("market_data", "127.0.0.1:9002"),
    ]
    assert configuration.metrics is not None
    assert configuration.metrics.address == "127.0.0.1:9100"
    assert {each.symbol: each.tick for each in configuration.instruments} == {
        "AAPL": Decimal("0.01"),
        "BTC-PERP": Decimal("0.5"),
        "ETH-PERP": Decimal("0.05"),
        "TEST": Decimal("0.0001"),
    }
    names = [each.username for each in configuration.sessions]
    assert names == [f"T{number:03}" for number in range(1, 101)]
    assert {each.password for each in configuration.sessions} == {"demo"}
    assert not any(each.cancel_on_disconnect for each in configuration.sessions)
    (engine,) = configuration.engines
    assert (engine.id, engine.standbys, engine.recorder) == (1, 1, True)
    assert configuration.exchange.durability == "memory"
    assert configuration.exchange.day_roll == "none"


def test_no_path_means_the_built_in_exchange() -> None:
    """What `shmx run` without --config starts."""
    assert load(None) == built_in()


def test_a_small_file_gets_every_default(tmp_path: Path) -> None:
    """Only what has no sensible default must be said."""
    configuration = load(write(tmp_path, VALID))
    assert configuration.engines == built_in().engines
    assert configuration.exchange == built_in().exchange
    assert configuration.metrics is None
    assert configuration.instruments[0].engine == 1


def test_nothing_can_be_changed_after_validation() -> None:
    """A configuration is a value: what was validated is what runs."""
    configuration = built_in()
    with pytest.raises(FrozenInstanceError):
        configuration.metrics = None  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        configuration.engines[0].standbys = 3


HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQwMTIz$c29tZWhhc2gwMTIzNDU2Nzg5"
MISTAKES = {
    "unknown key": (("id = 1", "id = 1\nstandby = 1"), 3, "unknown key `standby`", "`standbys`"),
    "unknown table": (("[[session]]", "[[sessions]]"), 12, "unknown table", "`session`"),
    "wrong type": (("id = 1", 'id = "1"'), 2, "`id` is a string", "write a whole number"),
    "boolean for a number": (("id = 1", "id = true"), 2, "`id` is a boolean", "whole number"),
    "too large": (("id = 1", "id = 256"), 2, "256 is not possible", "at most 255"),
    "not a power of two": (
        ("id = 1", "event_ring_records = 3000"),
        2,
        "3000 is not a power of two",
        "2048 or 4096",
    ),
    "too many standbys": (("id = 1", "standbys = 7"), 2, "7 is not possible", "at most 6"),
    "tick too fine": (("0.01", "0.00001"), 6, "not a multiple of 0.0001", "write 0.0001"),
    "band above the wire": (
        ("tick = 0.01", "tick = 0.01\nprice_max = 200_000"),
        7,
        "200000 is not possible",
        "199999.99",
    ),
    "band between ticks": (
        ("tick = 0.01", "tick = 0.01\nprice_max = 10.005"),
        7,
        "10.005 is not a multiple of the tick",
        "write 10",
    ),
    "an optional price above the wire": (
        ("tick = 0.01", "tick = 0.01\nprice_max = 300_000"),
        7,
        "300000 is not possible",
        "at most 199999.99",
    ),
    "bands crossed": (
        ("tick = 0.01", "tick = 0.01\nprice_min = 9\nprice_max = 8"),
        8,
        "8 is below price_min 9",
        "exchange them",
    ),
    "quantity beyond the wire": (
        ("tick = 0.01", "tick = 0.01\nquantity_max = 1_000_000"),
        7,
        "1000000 is not possible",
        "999999",
    ),
    "symbol too long": (("AAPL", "AAPL-PERP"), 5, "'AAPL-PERP' is not possible", "1 to 8"),
    "no such engine": (("tick = 0.01", "tick = 0.01\nengine = 2"), 7, "no engine 2", "add it"),
    "gateway of no engine": (
        ('kind = "order"', 'kind = "order"\nengines = [1, 9]'),
        10,
        "no engine 9",
        "add it",
    ),
    "gateway of one engine twice": (
        ('kind = "order"', 'kind = "order"\nengines = [1, 1]'),
        10,
        "engine 1 is named twice",
        "name it once",
    ),
    "unknown kind": (('"order"', '"orders"'), 9, "'orders' is not possible", "'order'"),
    "no port": (("127.0.0.1:9001", "127.0.0.1"), 10, "is not host:port", "127.0.0.1:9001"),
    "username too long": (("ACME01", "ACME001"), 13, "'ACME001' is not possible", "1 to 6"),
    "no password": (('password = "secret"', ""), 12, "session", "exactly one of `password`"),
    "no hash": (
        ('password = "secret"', 'password_hash = "$argon2nonsense"'),
        14,
        "this is no argon2 hash",
        "one has the form $argon2id$",
    ),
    "a hash that no login can afford": (
        ('password = "secret"', f'password_hash = "{HASH.replace("65536", "4294967295")}"'),
        14,
        "each login would need m=4294967295 (KiB of memory)",
        "at most m=1048576, t=32, p=32",
    ),
    "a hash that takes hours": (
        ('password = "secret"', f'password_hash = "{HASH.replace("t=3", "t=100000")}"'),
        14,
        "t=100000 (passes)",
        "at most m=1048576, t=32, p=32",
    ),
    "a hash of nothing": (
        ('password = "secret"', f'password_hash = "{HASH.replace("65536", "8")}"'),
        14,
        "each login would need m=8 ",
        "m at least 8 for each lane",
    ),
    "letters of another script": (("ACME01", "\u00c41"), 13, "is not possible", "ASCII"),
    "no number": (("0.01", "nan"), 6, "`tick` = NaN is not possible", "above 0 and at most"),
    "half a pair of brackets": (("127.0.0.1:9001", "[::1:9001"), 10, "not host:port", "[::1]:9001"),
    "no brackets": (("127.0.0.1:9001", "::1:9001"), 10, "not host:port", "[::1]:9001"),
    "digits of another script": (
        ("127.0.0.1:9001", "127.0.0.1:\u0661\u0662"),
        10,
        "is not host:port",
        "127.0.0.1:9001",
    ),
    "a name with a character that ends it": (
        ("127.0.0.1:9001", "127.0.0.1\\u0000:9001"),
        10,
        "is not host:port",
        "127.0.0.1:9001",
    ),
    "limits of one number": (
        ('password = "secret"', 'password = "secret"\nlimits = 3'),
        15,
        "`limits` is an integer",
        "write a table",
    ),
    "an unknown limit": (
        ('password = "secret"', 'password = "secret"\nlimits.orders = 3'),
        15,
        "unknown key `limits.orders`",
        "`open_orders`",
    ),
    "missing key": (('username = "ACME01"', ""), 12, "`username` is missing", "add it"),
    "one table for several": (("[[engine]]", "[engine]"), 1, "may be several", "[[engine]]"),
    "feeds of an order gateway": (
        ('kind = "order"', 'kind = "order"\nglimpse_address = "127.0.0.1:9003"'),
        8,
        "`glimpse_address` is for kind `market_data`",
        "remove it",
    ),
    "a group that is a name": (
        ('kind = "order"', 'kind = "market_data"\nmulticast_a = "feed:30001"'),
        10,
        "'feed' is not an IPv4 address",
        "239.0.0.1",
    ),
    "a group that is no group": (
        ('kind = "order"', 'kind = "market_data"\nmulticast_a = "10.0.0.1:3000"'),
        10,
        "10.0.0.1:3000 is no multicast group",
        "239.255.1.1:30001",
    ),
    "a group without a port": (
        ('kind = "order"', 'kind = "market_data"\nmulticast_b = "239.255.1.1:0"'),
        10,
        "239.255.1.1:0 is no multicast group with a port",
        "239.255.1.1:30001",
    ),
    "one group for both feeds": (
        (
            'kind = "order"',
            'kind = "market_data"\nmulticast_a = "239.1.1.1:3000"\nmulticast_b = "239.1.1.1:3000"',
        ),
        11,
        "239.1.1.1:3000 is `multicast_a` already",
        "choose another",
    ),
    "refusals where nothing is refused": (
        ('kind = "order"', 'kind = "market_data"\nrefusals_per_second = 7'),
        8,
        "`refusals_per_second` is for kind `order`",
        "remove it",
    ),
    "snapshots where orders are": (
        ('kind = "order"', 'kind = "market_data"\nglimpse_address = "127.0.0.1:9001"'),
        10,
        "127.0.0.1:9001 is used already at line 11",
        "choose another",
    ),
    "no such mode": (
        ('password = "secret"', 'password = "secret"\nself_trade = "cancel"'),
        15,
        "'cancel' is not possible",
        "'cancel-resting'",
    ),
    "a firm's orders without a firm": (
        ('password = "secret"', 'password = "secret"\nself_trade_scope = "firm"'),
        12,
        "self_trade_scope is `firm`",
        "give it a `firm`",
    ),
    "a group's orders without a group": (
        ('password = "secret"', 'password = "secret"\nself_trade_scope = "group"'),
        12,
        "self_trade_scope is `group`",
        "give it a `self_trade_group`",
    ),
    "a group that does not fit": (
        ('password = "secret"', 'password = "secret"\nself_trade_group = 65_536'),
        15,
        "65536 is not possible",
        "65535",
    ),
    "no TOML": (("id = 1", "id = "), 2, "not TOML", "correct the syntax"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported_with_its_line_and_the_remedy(name: str, tmp_path: Path) -> None:
    """One mistake in an otherwise valid file: one problem, at its line, with what to do."""
    (old, new), line, cause, remedy = MISTAKES[name]
    assert old in VALID
    found = problems(tmp_path, VALID.replace(old, new))
    at_line = [message for number, message in found if number == line]
    assert len(at_line) == 1, found
    assert cause in at_line[0]
    assert remedy in at_line[0]


def test_multicast_is_of_one_engine(tmp_path: Path) -> None:
    """Two engines have two sessions, and two numberings; what tells of one has to say of which."""
    feeds = 'kind = "market_data"\nrequest_address = "127.0.0.1:9004"'
    text = VALID.replace('kind = "order"', feeds) + "[[engine]]\nid = 2\n"
    ((line, message),) = problems(tmp_path, text)
    assert line == 8 and "of one engine" in message
    chosen = load(write(tmp_path, text.replace(feeds, feeds + "\nengines = [2]")))
    assert chosen.gateways[0].request_address == "127.0.0.1:9004"
    assert load(write(tmp_path, VALID)).gateways[0].listening == []


def test_passwords_are_not_for_snapshots_from_outside(tmp_path: Path) -> None:
    """A GLIMPSE login is one like any other."""
    feeds = 'kind = "market_data"\nglimpse_address = "0.0.0.0:9003"'
    text = VALID.replace('kind = "order"', feeds).replace("secret", "demo")
    ((line, message),) = problems(tmp_path, text)
    assert line == 10 and "can be reached from outside" in message


def test_a_name_may_be_that_of_anybody(tmp_path: Path) -> None:
    """No name server is asked; that it is no address is said."""
    text = VALID.replace("127.0.0.1", "no.such.host").replace("secret", "demo")
    ((line, message),) = problems(tmp_path, text)
    assert line == 10 and "no.such.host:9001 has a name instead of an address" in message


def test_a_good_hash_is_taken(tmp_path: Path) -> None:
    """At the bounds, too."""
    for costs in ("m=65536,t=3,p=4", "m=1048576,t=32,p=32", "m=8,t=1,p=1"):
        hashed = HASH.replace("m=65536,t=3,p=4", costs)
        text = VALID.replace('password = "secret"', f'password_hash = "{hashed}"')
        assert load(write(tmp_path, text)).sessions[0].password_hash == hashed


@pytest.mark.parametrize("table", ["engine", "instrument"])
def test_the_wrong_name_of_a_table_is_one_mistake(tmp_path: Path, table: str) -> None:
    """What follows from it is not said."""
    text = VALID.replace(f"[[{table}]]", f"[[{table[:-1]}]]")
    ((_, message),) = problems(tmp_path, text)
    assert f"unknown table `{table[:-1]}`; did you mean `{table}`?" in message


def test_without_an_engine_only_that_is_said(tmp_path: Path) -> None:
    """Not of every instrument that its engine is missing."""
    text = VALID.replace("[[engine]]\nid = 1\n", "")
    ((_, message),) = problems(tmp_path, text)
    assert message == "there is no engine; add a [[engine]] table"


def test_all_mistakes_are_reported_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Nobody wants to find them one by one."""
    text = VALID.replace("id = 1", "id = 0").replace("0.01", "true").replace(":9001", "")
    found = problems(tmp_path, '[exchange]\nname = "a b"\n' + text)
    assert [line for line, _ in found] == [2, 4, 8, 12]


def test_the_text_of_the_error_names_the_file(tmp_path: Path) -> None:
    """file:line: message, as compilers do."""
    path = write(tmp_path, VALID.replace("id = 1", "id = 0"))
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert caught.value.exit_code == 78


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    """Missing, and not text."""
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load(tmp_path / "binary.toml")


def test_an_empty_file_says_what_it_needs(tmp_path: Path) -> None:
    """An exchange without an engine or without an instrument is none."""
    messages = [message for _, message in problems(tmp_path, "")]
    assert len(messages) == 2
    assert any("[[engine]]" in each for each in messages)
    assert any("[[instrument]]" in each for each in messages)


@pytest.mark.parametrize("address", ["0.0.0.0:9001", "192.0.2.7:9001", "[::]:9001", "example:1"])
def test_demo_passwords_are_refused_outside_loopback(address: str, tmp_path: Path) -> None:
    """Case does not hide it; metrics count too."""
    weak = VALID.replace("secret", "Demo")
    assert load(write(tmp_path, weak))
    assert load(write(tmp_path, VALID.replace("127.0.0.1:9001", address)))
    (problem,) = problems(tmp_path, weak.replace("127.0.0.1:9001", address))
    assert problem[0] == 10
    assert "reached from outside" in problem[1]
    (problem,) = problems(tmp_path, f'{weak}[metrics]\naddress = "{address}"\n')
    assert problem[0] == 16


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("[[engine]]\nid = 1\n", 16),
        ('[[instrument]]\nsymbol = "AAPL"\ntick = 1\n', 16),
        ('[[gateway]]\nkind = "market_data"\naddress = "127.0.0.1:9001"\n', 17),
        ('[metrics]\naddress = "127.0.0.1:9001"\n', 16),
        ('[metrics]\naddress = "localhost:9001"\n', 16),
        ("[[engine]]\nid = 2\nmatcher_core = 3\nstandby_core = 3\n", 18),
        (
            '[[engine]]\nid = 2\nstandby_core = 3\n[[gateway]]\nkind = "order"\n'
            'address = "127.0.0.1:0"\ncore = 3\n',
            21,
        ),
        ('[[session]]\nusername = "acme01"\npassword = "x"\n', 16),
        ('[[session_range]]\nprefix = "ACME"\nlast = 99\npassword = "x"\n', 13),
    ],
)
def test_what_must_be_unique_is(addition: str, line: int, tmp_path: Path) -> None:
    """Twice the same engine, symbol, address or user: told where the first one stands."""
    found = problems(tmp_path, VALID + addition)
    assert len(found) == 1
    assert found[0][0] == line
    assert "used already at line" in found[0][1]


def test_a_core_is_shared_only_where_nobody_spins(tmp_path: Path) -> None:
    """Never with a matcher: nothing is decided while another has its core."""
    shared = "standbys = 1\nstandby_core = 0\nmatcher_core = 1"
    text = VALID.replace("id = 1", shared).replace(':9001"', ':9001"\ncore = 0')
    for waiting in ("yield", "park"):
        assert load(write(tmp_path, f'[exchange]\nwaiting = "{waiting}"\n{text}'))
    for waiting in ("spin", "auto"):
        (problem,) = problems(tmp_path, f'[exchange]\nwaiting = "{waiting}"\n{text}')
        assert problem == (15, "core 0 is used already at line 5; choose another")
    other = text.replace("\ncore = 0", "\ncore = 1")
    (problem,) = problems(tmp_path, f'[exchange]\nwaiting = "park"\n{other}')
    assert problem == (15, "core 1 is used already at line 6; choose another")


def test_port_zero_may_be_used_more_than_once(tmp_path: Path) -> None:
    """It means any free port."""
    text = VALID.replace(":9001", ":0") + '[[gateway]]\nkind = "order"\naddress = "127.0.0.1:0"\n'
    assert len(load(write(tmp_path, text)).gateways) == 2


def test_a_range_of_sessions_is_its_sessions() -> None:
    """Padded to the width of the last, sharing everything but the name."""
    template = SessionRange(prefix="MM", first=8, last=11, password="x", firm="ACME")
    sessions = list(template.sessions())
    assert [each.username for each in sessions] == ["MM08", "MM09", "MM10", "MM11"]
    assert {each.firm for each in sessions} == {"ACME"}
    with pytest.raises(ValidationError, match="longer than 6"):
        SessionRange(prefix="ABCDE", last=10, password="x")
    with pytest.raises(ValidationError, match="exchange them"):
        SessionRange(prefix="A", first=10, last=9, password="x")


def two_engines(folder: Path) -> Configuration:
    """Two engines with instruments interleaved, three gateways, single sessions and a range."""
    text = (
        VALID
        + """
[[engine]]
id = 7
[[instrument]]
symbol = "OTHER"
engine = 7
tick = 1
[[instrument]]
symbol = "THIRD"
tick = 1
[[gateway]]
kind = "order"
address = "127.0.0.1:9003"
engines = [7]
[[gateway]]
kind = "market_data"
address = "127.0.0.1:9002"
[[session_range]]
prefix = "R"
last = 2
password = "x"
firm = "FIRM"
"""
    )
    return load(write(folder, text))


def test_numbers_follow_from_the_order_of_the_file(tmp_path: Path) -> None:
    """Instruments per engine, sources from 2, ranges of sessions before single ones."""
    configuration = two_engines(tmp_path)
    assert [each.symbol for each in configuration.instruments_of(1)] == ["AAPL", "THIRD"]
    assert [each.symbol for each in configuration.instruments_of(7)] == ["OTHER"]
    assert {number: each.address for number, each in configuration.sources.items()} == {
        2: "127.0.0.1:9001",
        3: "127.0.0.1:9003",
        4: "127.0.0.1:9002",
    }
    assert list(configuration.sources_of(1)) == [2, 4]
    assert list(configuration.sources_of(7)) == [2, 3, 4]
    assert configuration.engines_of(configuration.gateways[0]) == (1, 7)
    assert configuration.engines_of(configuration.gateways[1]) == (7,)
    assert [each.username for each in configuration.sessions] == ["R1", "R2", "ACME01"]
    assert configuration.firms == ("FIRM", "")
    assert configuration.engine(7).id == 7
    with pytest.raises(KeyError, match="no engine 2"):
        configuration.engine(2)


def test_addresses_are_taken_apart() -> None:
    """IPv6 in brackets, names other than localhost are not loopback."""
    assert split_address("[::1]:80") == ("::1", 80)
    assert split_address("host:0") == ("host", 0)
    assert is_loopback("127.8.9.1:1")
    assert is_loopback("[::1]:1")
    assert is_loopback("localhost:1")
    assert not is_loopback("exchange.example:1")
    with pytest.raises(ValidationError, match="host:port"):
        Gateway(kind="order", address="127.0.0.1:65536")


def test_lines_are_found_behind_values_of_several_lines() -> None:
    """Arrays, strings and comments with brackets and quotes do not confuse the count."""
    text = '''\
# [not] = "a table"
first = """
[[no]]
key = 1
"""
"second" = [  # ]
  { a = "]" },
  'x[',
]
[table."quoted name"]
inner.deep = 1
[[row]]
[[row]]
cell = "#"  # ' "
'''
    assert key_lines(text) == {
        ("first",): 2,
        ("second",): 6,
        ("table", "quoted name"): 10,
        ("table", "quoted name", "inner", "deep"): 11,
        ("row",): 12,
        ("row", 0): 12,
        ("row", 1): 13,
        ("row", 1, "cell"): 14,
    }
