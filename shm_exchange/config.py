"""Shell: the exchange as configured, validated before any process starts.

`load(path)` reads a TOML file, `built_in()` is what runs without one; `deploy/exchange.toml` says
the same with comments. Numbers follow from order: sessions and the instruments of an engine are
known by their place in the file, gateways by a source number, so append and do not reorder while
there is state on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from shm_exchange.addresses import (
    check_address,
    is_loopback,
    spelled_one_way,
    split_address,
    who_can_reach,
)
from shm_exchange.config_checks import (
    Found,
    check_cores,
    check_distinct,
    check_engines,
    check_instruments,
)
from shm_exchange.feeds import Feeds
from shm_exchange.instruments import Instrument
from shm_exchange.messages import (
    SESSION_LIMIT,
    SLOT_INDEX_MASK,
    SOURCE_GATEWAY_FIRST,
)
from shm_exchange.mistakes import suggestion
from shm_exchange.password_hashes import check_hash
from shm_exchange.self_trade_settings import SelfTradeSettings
from shm_exchange.session_limits import Limits
from shm_exchange.settings import Document, Location, Table, read

DEMO_PASSWORD = "demo"  # of the built-in sessions: good for nothing but loopback
ENGINE_LIMIT = 255
STANDBY_LIMIT = 6  # process numbers 2-7 of an engine
GATEWAY_COUNT_MAX = 54  # process number 8 + source, of 64
USERNAME_SIZE = 6  # SoupBinTCP login request
PASSWORD_SIZE = 10
NOBODY_TRADES = "there is no gateway of kind `order`, so nobody can trade; add a [[gateway]] table"
_NAME = r"^[A-Za-z0-9_-]{1,32}$"  # it becomes part of the names of segments


def _power_of_two(count: int) -> int:
    if count & (count - 1):
        below = 1 << count.bit_length() - 1
        raise ValueError(f"{count} is not a power of two; write {below} or {2 * below}")
    return count


def _tuple(value: Any) -> Any:
    return tuple(value) if type(value) is list else value


def is_name(name: str) -> bool:
    """Whether an exchange can have this name."""
    return re.fullmatch(_NAME, name) is not None


class Exchange(Table):
    """`[exchange]`: what holds for all engines."""

    name: str = Field(
        default="main",
        pattern=_NAME,
        description="1 to 32 letters, digits, _ and -",
    )
    state_directory: str | None = Field(
        default=None, pattern=r"^[^\x00]+$", description="the path of a folder"
    )
    durability: Literal["memory", "disk"] = "memory"
    waiting: Literal["auto", "spin", "yield", "park"] = "auto"
    hang_limit_ms: int = Field(default=1000, ge=1000, le=3_600_000)
    log_level: Literal["error", "warning", "info", "debug"] = "info"
    restarts_max: int = Field(default=10, ge=0, le=1_000_000)
    restart_window_seconds: int = Field(default=60, ge=1, le=86_400)
    day_roll: str = Field(
        default="none",
        pattern=r"^(none|([01]\d|2[0-3]):[0-5]\d)$",
        description="'none' or a time of day in UTC, such as '22:00'",
    )


class Engine(Table):
    """One `[[engine]]`: one matcher, one event ring, one journal."""

    id: int = Field(default=1, ge=1, le=ENGINE_LIMIT)
    standbys: int = Field(default=1, ge=0, le=STANDBY_LIMIT)
    recorder: bool = True
    event_ring_records: int = Field(default=1 << 20, ge=1 << 10, le=1 << 28)
    command_ring_records: int = Field(default=1 << 16, ge=1 << 8, le=1 << 24)
    slots_per_gateway: int = Field(default=1 << 20, ge=1 << 8, le=SLOT_INDEX_MASK)
    snapshot_every_events: int = Field(default=4_000_000, ge=1_000)
    journal_segment_bytes: int = Field(default=1 << 27, ge=1 << 18, le=1 << 32)
    disk_reserve_bytes: int = Field(default=1 << 26, ge=0, le=1 << 40)
    matcher_core: int | None = Field(default=None, ge=0)
    standby_core: int | None = Field(default=None, ge=0)

    _rings_wrap = field_validator("event_ring_records", "command_ring_records")(_power_of_two)


ORDER_GATEWAY_KEYS = ("refusals_per_second", "fair_share_per_second")


class Gateway(Feeds):
    """One `[[gateway]]`: a process with one listening address. No engines named means all."""

    kind: Literal["order", "market_data"]
    address: str
    engines: Annotated[tuple[int, ...], BeforeValidator(_tuple)] = ()
    clients_max: int = Field(default=1024, ge=1, le=65_535)
    inbound_buffer_bytes: int = Field(default=1 << 16, ge=1 << 10, le=1 << 24)
    refusals_per_second: int = Field(default=10_000, ge=0, le=1_000_000_000)
    fair_share_per_second: int = Field(default=100_000, ge=0, le=1_000_000_000)
    outbound_buffer_bytes: int = Field(default=1 << 20, ge=1 << 14, le=1 << 30)
    core: int | None = Field(default=None, ge=0)

    _reachable = field_validator("address")(check_address)

    @model_validator(mode="after")
    def _has_only_what_its_kind_has(self) -> Gateway:
        if self.kind != "market_data" and (unused := self.unused()):
            raise ValueError(f"`{unused[0]}` is for kind `market_data`; remove it")
        for key in ORDER_GATEWAY_KEYS:
            if self.kind != "order" and key in self.model_fields_set:
                raise ValueError(f"`{key}` is for kind `order`; remove it")
        return self


class Credentials(SelfTradeSettings):
    """What a session and a range of sessions share."""

    password: str | None = Field(
        default=None,
        pattern=rf"^[!-~]{{1,{PASSWORD_SIZE}}}$",
        description=f"1 to {PASSWORD_SIZE} printable ASCII characters without spaces",
    )
    password_hash: Annotated[str, AfterValidator(check_hash)] | None = None
    reserved: bool = False
    firm: str = Field(
        default="", pattern=r"^[A-Z0-9]{0,4}$", description="at most 4 capitals and digits"
    )
    cancel_on_disconnect: bool = False
    drop_copy: bool = False
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _has_one_password(self) -> Credentials:
        if [self.password is None, self.password_hash is None, not self.reserved].count(False) != 1:
            raise ValueError("give exactly one of `password`, `password_hash`, `reserved = true`")
        if self.drop_copy and not self.firm:
            raise ValueError("a drop copy hears a firm; give it a `firm`")
        self.check_self_trade(self.firm)
        return self


class Session(Credentials):
    """One `[[session]]`: an account that can log in. Case does not matter in either word."""

    username: str = Field(
        pattern=rf"^[!-~]{{1,{USERNAME_SIZE}}}$",
        description=f"1 to {USERNAME_SIZE} printable ASCII characters without spaces",
    )


class SessionRange(Credentials):
    """One `[[session_range]]`: prefix T, 1 to 100 means the sessions T001 to T100."""

    prefix: str = Field(
        pattern=rf"^[!-~]{{1,{USERNAME_SIZE - 1}}}$",
        description=f"1 to {USERNAME_SIZE - 1} printable ASCII characters without spaces",
    )
    first: int = Field(default=1, ge=0)
    last: int = Field(ge=0, le=99_999)

    @field_validator("last")
    @classmethod
    def _names_fit(cls, last: int, known: Any) -> int:
        if last < known.data.get("first", 0):
            raise ValueError(f"{last} is below `first`; exchange them")
        if len(known.data.get("prefix", "")) + len(str(last)) > USERNAME_SIZE:
            raise ValueError(f"names are longer than {USERNAME_SIZE}; shorten prefix or range")
        return last

    def sessions(self) -> Iterator[Session]:
        """The sessions of the range, in order; numbers are padded to the width of the last."""
        shared = {name: getattr(self, name) for name in Credentials.model_fields}
        width = len(str(self.last))
        for number in range(self.first, self.last + 1):
            yield Session(username=f"{self.prefix}{number:0{width}}", **shared)


class Metrics(Table):
    """`[metrics]`: Prometheus metrics and /instruments over HTTP. Without the table: none."""

    address: str = "127.0.0.1:9100"

    _reachable = field_validator("address")(check_address)


@dataclass(frozen=True)
class Configuration:
    """A valid exchange. The subscript of a session is its number in commands and events."""

    exchange: Exchange
    engines: tuple[Engine, ...]
    instruments: tuple[Instrument, ...]
    gateways: tuple[Gateway, ...]
    sessions: tuple[Session, ...]
    metrics: Metrics | None

    def engine(self, number: int) -> Engine:
        """The engine with this id. Raises KeyError."""
        for engine in self.engines:
            if engine.id == number:
                return engine
        raise KeyError(f"there is no engine {number}")

    def instruments_of(self, engine: int) -> tuple[Instrument, ...]:
        """Instruments of an engine; the subscript is their number there."""
        return tuple(each for each in self.instruments if each.engine == engine)

    def engines_of(self, gateway: Gateway) -> tuple[int, ...]:
        """Ids of the engines that a gateway serves; a login that names none means the first."""
        return gateway.engines or tuple(engine.id for engine in self.engines)

    @property
    def takes_orders(self) -> bool:
        """Whether clients have a door; without one, engines can only be looked at."""
        return any(each.kind == "order" for each in self.gateways)

    @property
    def sources(self) -> dict[int, Gateway]:
        """Gateways by source number, which is the same in every engine."""
        return dict(enumerate(self.gateways, SOURCE_GATEWAY_FIRST))

    def sources_of(self, engine: int) -> dict[int, Gateway]:
        """The gateways that serve an engine, by source number."""
        return {
            source: gateway
            for source, gateway in self.sources.items()
            if engine in self.engines_of(gateway)
        }

    @property
    def firms(self) -> tuple[str, ...]:
        """The firms of all sessions, each once; the subscript is the firm's number."""
        return tuple(dict.fromkeys(session.firm for session in self.sessions))


def built_in() -> Configuration:
    """The exchange that runs when no file is named: loopback only."""
    sessions = SessionRange(prefix="T", first=1, last=100, password=DEMO_PASSWORD, firm="DEMO")
    ticks = {"AAPL": "0.01", "BTC-PERP": "0.5", "ETH-PERP": "0.05", "TEST": "0.0001"}
    return Configuration(
        exchange=Exchange(),
        engines=(Engine(),),
        instruments=tuple(
            Instrument.model_validate({"symbol": symbol, "tick": Decimal(tick)})
            for symbol, tick in ticks.items()
        ),
        gateways=(
            Gateway(kind="order", address="127.0.0.1:9001"),
            Gateway(kind="market_data", address="127.0.0.1:9002"),
        ),
        sessions=tuple(sessions.sessions()),
        metrics=Metrics(),
    )


# ---------------------------------------------------------------- reading a file

SINGLE_TABLES: dict[str, type[Table]] = {"exchange": Exchange, "metrics": Metrics}
REPEATED_TABLES: dict[str, type[Table]] = {
    "engine": Engine,
    "instrument": Instrument,
    "gateway": Gateway,
    "session_range": SessionRange,
    "session": Session,
}


def load(path: Path | str | None) -> Configuration:
    """The configuration of a file, or the built-in one. Raises ConfigurationError."""
    if path is None:
        return built_in()
    document = read(Path(path))
    found = _fit_tables(document)
    sessions = _expand_sessions(found)
    check_engines(document, found)
    check_cores(document, found)
    check_instruments(document, found)
    _check_addresses(document, found, sessions)
    _check_usernames(document, sessions)
    document.raise_problems()
    metrics = found["metrics"]
    return Configuration(
        exchange=found["exchange"][0][1] if found["exchange"] else Exchange(),
        engines=_models(found["engine"]),
        instruments=_models(found["instrument"]),
        gateways=_models(found["gateway"]),
        sessions=_models(sessions),
        metrics=metrics[0][1] if metrics else None,
    )


def _models(rows: list[tuple[Location, Any]]) -> tuple[Any, ...]:
    return tuple(model for _, model in rows)


def _fit_tables(document: Document) -> Found:
    """Every table that is valid by itself, with its place in the file."""
    found: Found = {name: [] for name in (*SINGLE_TABLES, *REPEATED_TABLES)}
    for name, value in document.tables.items():
        if name not in found:
            document.add((name,), f"unknown table `{name}`; {suggestion(name, list(found))}")
        elif name in SINGLE_TABLES and not isinstance(value, dict):
            document.add((name,), f"`{name}` is one table; write [{name}]")
        elif name in REPEATED_TABLES and not isinstance(value, list):
            document.add((name,), f"there may be several `{name}`; write [[{name}]]")
        elif name in SINGLE_TABLES:
            model = document.fit(SINGLE_TABLES[name], value, (name,))
            found[name] += [((name,), model)] if model else []
        else:
            for number, row in enumerate(value):
                location: Location = (name, number)
                model = document.fit(REPEATED_TABLES[name], row, location)
                found[name] += [(location, model)] if model else []
    return found


def _expand_sessions(found: Found) -> list[tuple[Location, Session]]:
    """Ranges first, so that a `[[session]]` can be appended without renumbering the others."""
    expanded = [
        (location, session)
        for location, model in found["session_range"]
        for session in model.sessions()
    ]
    return expanded + found["session"]


def _check_addresses(
    document: Document, found: Found, sessions: list[tuple[Location, Session]]
) -> None:
    """Addresses are distinct; whoever can be reached from outside has real passwords."""
    gateways = [((*at, "address"), each.address) for at, each in found["gateway"]]
    metrics = [((*at, "address"), each.address) for at, each in found["metrics"]]
    others = [((*at, key), where) for at, each in found["gateway"] for key, where in each.listening]
    rows = [row for row in gateways + others + metrics if split_address(row[1])[1] != 0]
    check_distinct(document, rows, spelled_one_way)
    if len(gateways) > GATEWAY_COUNT_MAX:
        at = gateways[GATEWAY_COUNT_MAX][0]
        document.add(at, f"more than {GATEWAY_COUNT_MAX} gateways; remove some")
    weak = any((each.password or "").casefold() == DEMO_PASSWORD for _, each in sessions)
    for location, where in gateways + others + metrics:
        if weak and not is_loopback(where):
            document.add(
                location,
                f"{where} {who_can_reach(where)} while sessions have the password "
                f"`{DEMO_PASSWORD}`; give them others or listen on 127.0.0.1",
            )


def _check_usernames(document: Document, sessions: list[tuple[Location, Session]]) -> None:
    names = [((*at, "username"), each.username.casefold()) for at, each in sessions]
    check_distinct(document, names)
    if len(sessions) > SESSION_LIMIT:
        message = f"{len(sessions)} sessions, at most {SESSION_LIMIT} are possible; remove some"
        document.add(sessions[SESSION_LIMIT][0], message)
