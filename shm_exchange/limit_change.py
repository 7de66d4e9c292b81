"""Shell: an operator changes the limits of a session while it trades: `shmx limits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from shm_exchange.config import Configuration
from shm_exchange.errors import ArgumentError, ExchangeError
from shm_exchange.limit_kinds import Limit
from shm_exchange.messages import CommandKind
from shm_exchange.session_limits import NAMES, largest, limit_value
from shm_exchange.supervisor_commands import new_command, offer
from shm_exchange.wiring import Wiring

DO = "limits"
NONE = "none"
_NO_LIMIT, _AS_CONFIGURED = -1, 0  # of a command
_SPARE = 7  # a place that is no limit's: all of the session's are looked at, none is set


def begin(
    configuration: Configuration,
    wirings: Mapping[int, Wiring],
    ring_matcher: Callable[[int], None],
    request: Mapping[str, Any],
) -> dict[str, Any]:
    """Supervisor: tell every engine. Raises ExchangeError with what is wrong with the request.

    limits: as `check` wants them.
    """
    session = _number_of(configuration, request.get("session"))
    wanted = request.get("limits")
    commands = _commands(session, wanted if isinstance(wanted, dict) else {})
    for engine, wiring in wirings.items():
        if not offer(wiring, commands):
            raise ExchangeError(f"engine {engine} takes no commands now; try again")
        ring_matcher(engine)
    return {"session": configuration.sessions[session].username, "changed": len(commands)}


def check(wanted: Mapping[str, Any]) -> None:
    """Raise ArgumentError when these are no limits.

    wanted: by name; a number, "none" or 0 for no limit, None for what is configured.
    """
    _commands(0, wanted)


def again(session: int) -> np.ndarray:
    """COMMAND[1]: gateways look at what is configured for the session."""
    command = new_command(CommandKind.LIMITS)
    command["session"] = session
    command["reason"] = _SPARE
    return command


def _number_of(configuration: Configuration, name: object) -> int:
    for number, session in enumerate(configuration.sessions):
        if session.username.casefold() == str(name).casefold():
            return number
    raise ExchangeError(f"there is no session {name}; sessions are those of the configuration")


def _commands(session: int, wanted: Mapping[str, Any]) -> np.ndarray:
    """COMMAND[n], one of each limit. Raises ArgumentError."""
    if not wanted:
        raise ArgumentError(f"name a limit to change; there are: {', '.join(NAMES)}")
    return np.concatenate([_command(session, name, value) for name, value in wanted.items()])


def _command(session: int, name: str, value: object) -> np.ndarray:
    which = NAMES.get(name)
    if which is None:
        raise ArgumentError(f"there is no limit {name}; there are: {', '.join(NAMES)}")
    command = new_command(CommandKind.LIMITS)
    command["session"] = session
    command["reason"] = which
    command["client_order_id_0"] = _value(which, name, value)
    return command


def _value(which: Limit, name: str, value: object) -> int:
    if value is None:
        return _AS_CONFIGURED
    if value == NONE:
        return _NO_LIMIT
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal(-1)
    if number.is_finite() and number == 0:  # as in the configuration
        return _NO_LIMIT
    # Compared before it is an integer: 1e999999999 would be one that no memory holds.
    within = number.is_finite() and 0 < number <= largest(name)
    limit = limit_value(which, number) if within else 0
    whole = within and (number == int(number) or which is Limit.ORDER_NOTIONAL)
    if not whole or limit == 0:
        kind = "number" if which is Limit.ORDER_NOTIONAL else "whole number"
        raise ArgumentError(
            f"{value} is no {name}; give a {kind} from 0 to {largest(name)}, `none` or `default`"
        )
    return limit
