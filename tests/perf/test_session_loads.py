"""Goal: the echo beside the sessions of an exchange answers every message of every session.

Method: the C program itself, with numbers of sessions that do and do not divide the messages.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateways.load.state import WINDOW, WINDOW_MIN
from perf import baseline
from perf.session_loads import to_echo, window


@pytest.mark.parametrize(("sessions", "messages"), [(1, 2_000), (3, 2_000), (200, 7_001), (50, 7)])
def test_every_message_is_answered(sessions: int, messages: int, tmp_path: Path) -> None:
    """More than the windows hold; and fewer messages than sessions."""
    program = baseline.build("tcp_echo", tmp_path)
    taken = to_echo(program, 0, sessions, messages)
    assert len(taken.latencies) == messages and taken.messages_per_second > 0
    # Not a moment of the clock, which stands there until the answer has come.
    assert (taken.latencies > 0).all() and (taken.latencies < 60e9).all()


def test_windows() -> None:
    """Of all sessions together about as much as one may have, but some for each."""
    assert window(1) == WINDOW and window(10) == WINDOW // 10 and window(1_000) == WINDOW_MIN
