"""Goal: the storm knows how a gateway must end each of its connections, and sees when it does not.

Method: streams whose end follows from docs/protocols.md; a log in which one line is another.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from gateways import connection as c
from gateways.ouch.tags import OUCH_REQUEST
from tests.fuzz.inputs import LASTING, create_inputs
from tests.fuzz.live import ANSWERED, Attacker, foresee, messages, wrong_ends
from tests.gateways.ouch_cases import cancel, enter, replace, value
from tests.process.conftest import Exchange
from tests.process.trading import packet

GOOD = packet(b"U", enter())
TWICE = 2 * value(28, b"\5")
CANCEL = cancel(1, tail=len(TWICE).to_bytes(2, "big") + TWICE)
ENDS = {
    "a logout": (packet(b"O"), c.CLOSE_LOGOUT),
    "no message of OUCH": (packet(b"U", b"Z"), c.CLOSE_OUCH),
    "an empty message": (packet(b"U"), c.CLOSE_OUCH),
    "a byte too many": (packet(b"U", cancel(1) + b"\0"), c.CLOSE_OUCH),
    "a tag twice, of what cannot be refused": (packet(b"U", CANCEL), c.CLOSE_OUCH),
    "a packet of a server": (packet(b"S", enter()), c.CLOSE_VIOLATION),
    "no length": (b"\0\0", c.CLOSE_VIOLATION),
    "a length above the largest": (b"\4\1", c.CLOSE_VIOLATION),
    "a length that is never reached": (b"\1\0" + bytes(100), c.CLOSE_PEER),
}
BORNE = {
    "orders": GOOD * 3,
    "heartbeats and debug packets": packet(b"R") + packet(b"+", b"x" * 100),
    "an order with a tag twice": packet(b"U", enter(TWICE)),
    "a replace with a tag twice": packet(b"U", replace(TWICE)),
}


def foreseen(data: bytes) -> tuple[int, int]:
    """Why the connection ends, and where the packet begins that ends it."""
    sent, request = np.frombuffer(data, np.uint8), np.zeros(1, OUCH_REQUEST.dtype)
    reason, place = foresee(sent, len(sent), request, np.frombuffer(ANSWERED, np.uint8))
    return int(reason), int(place)


@pytest.mark.parametrize("borne", BORNE)
@pytest.mark.parametrize("last", ENDS)
def test_the_end_of_a_connection(last: str, borne: str) -> None:
    """What is borne stands before, and more orders behind."""
    before, (ending, reason) = BORNE[borne], ENDS[last]
    behind = b"" if reason == c.CLOSE_PEER else GOOD
    assert foreseen(before + ending + behind) == (reason, len(before))


def test_an_end_that_was_not_foreseen(tmp_path: Path) -> None:
    """Another reason than its inputs call for, in the second connection of one session."""
    it = Exchange(tmp_path, "", "unstarted")
    attackers = [
        Attacker(0, name, 0, create_inputs(1, LASTING, messages()), threading.Event())
        for name in ("S51", "S52")
    ]
    for each in attackers:
        each.foreseen = ["logout", "a malformed message"]
    lines = [
        f"127.0.0.1 ({each.username}): disconnected, {reason}\n"
        for each in attackers
        for reason in each.foreseen
    ]
    log = tmp_path / "unstarted.stderr"
    log.write_text("".join(lines), encoding="utf-8")
    assert wrong_ends(it, attackers, 0) == []
    lines[3] = "127.0.0.1 (S52): disconnected, a malformed packet\n"
    log.write_text("".join(lines), encoding="utf-8")
    (fault,) = wrong_ends(it, attackers, 0)
    assert fault.startswith("S52: ")
