"""Market-maker protection, naively: the executions of a group are a list, its window a filter.

A session has eight places for protections, numbered as they are taken; protections that are due
together fire by session (the one that was protected first comes first) and place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PLACES, SESSIONS_MAX, EXECUTIONS_MAX = 8, 1023, 256
EVERY_INSTRUMENT = 0xFFFF
FOREVER = 1 << 62
FROZEN = 0x8021
BAD_SYMBOL, BAD_ACTION, BAD_GROUP, BAD_WINDOW, BAD_LIMIT, TOO_MANY = (
    0x17,
    *(0x8022, 0x8023, 0x8024, 0x8025, 0x8026),
)


@dataclass(frozen=True)
class Settings:
    """What a client asks of a protection. Limits: 0 is none."""

    action: str = "S"
    group: int = 0
    instrument: int = EVERY_INSTRUMENT
    window_us: int = 0
    executions: int = 0
    quantity: int = 0
    net: int = 0
    frozen_us: int = 0


@dataclass
class Protection:
    """One group of a session, what was executed of it, and until when it is frozen."""

    session: int
    settings: Settings
    frozen_until: int = 0
    executed: list[tuple[int, int]] = field(default_factory=list)  # (time, lots, sold: negative)
    due: bool = False

    def count(self, now: int, lots: int) -> None:
        """Count an execution; once a limit is reached nothing is forgotten until it fires."""
        since = now - 1000 * self.settings.window_us
        self.executed = [each for each in self.executed if self.due or each[0] > since]
        self.executed.append((now, lots))
        self.due = self.due or self.reached() > 0

    def amounts(self) -> tuple[int, int, int]:
        """Executions, lots, and lots bought less sold."""
        lots = [each for _, each in self.executed]
        return min(len(lots), EXECUTIONS_MAX), sum(map(abs, lots)), sum(lots)

    def reached(self) -> int:
        """Which limit is reached, or 0."""
        executions, quantity, net = self.amounts()
        if executions >= (self.settings.executions or EXECUTIONS_MAX):
            return 1
        if self.settings.quantity and quantity >= self.settings.quantity:
            return 2
        return 3 if self.settings.net and abs(net) >= self.settings.net else 0


class Protections:
    """All protections of an exchange."""

    def __init__(self) -> None:
        self.by_session: dict[int, list[Protection | None]] = {}  # in the order of their first one

    def take_block(self, session: int) -> None:
        """A session's eight places, for whatever it needs them."""
        self.by_session.setdefault(session, [None] * PLACES)

    def named(self, session: int, group: int) -> Protection | None:
        """A session's protection of a group."""
        for each in self.by_session.get(session, []):
            if each and group and each.settings.group == group:
                return each
        return None

    def of(self, session: int, group: int, instrument: int) -> Protection | None:
        """The protection that counts orders of a group in an instrument."""
        found = self.named(session, group)
        wanted = (EVERY_INSTRUMENT, instrument)
        return found if found and found.settings.instrument in wanted else None

    def due(self) -> Protection | None:
        """The one that fires next."""
        places = [each for session in self.by_session.values() for each in session]
        return next((each for each in places if each and each.due), None)

    def fault(self, session: int, asked: Settings, instruments: int) -> int:
        """Why a request is rejected, or 0."""
        if asked.action not in "SRD":
            return BAD_ACTION
        known = self.named(session, asked.group) is not None
        if asked.group == 0 or (asked.action != "S" and not known):
            return BAD_GROUP
        if asked.action != "S":
            return 0
        if asked.instrument != EVERY_INSTRUMENT and asked.instrument >= instruments:
            return BAD_SYMBOL
        if asked.window_us == 0:
            return BAD_WINDOW
        limits = (asked.executions, asked.quantity, asked.net)
        if not any(limits) or min(limits) < 0 or asked.executions > EXECUTIONS_MAX:
            return BAD_LIMIT
        is_full = session in self.by_session and None not in self.by_session[session]
        return TOO_MANY if is_full and not known else 0

    def change(self, session: int, asked: Settings) -> Settings:
        """Do what is asked, which has no fault; return what the protection is or was."""
        places = self.by_session.setdefault(session, [None] * PLACES)
        before = self.named(session, asked.group)
        if before is None:
            places[places.index(None)] = Protection(session, asked)
            return asked
        before.executed = []
        if asked.action == "S":
            before.settings = asked
        else:
            before.frozen_until = 0
        if asked.action == "D":
            places[places.index(before)] = None
        return before.settings
