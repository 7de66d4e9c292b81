"""Pump: the clients of an order gateway whose replica was brought to the present without them.

Nothing of what happened meanwhile was sent. Each connection goes on where it was: who was live
catches up from there, by itself or from the journal; whose session moved is displaced; whose login
was answered is welcomed. If the day has rolled, all sessions have ended.
"""

import numpy as np

from gateways import connection as c
from gateways.ouch.clients import close_client, end_session
from gateways.ouch.state import ROWS_USED, SETTING_EPOLL, SETTING_SOURCE, UNSETTLED
from gateways.ouch.stream import is_open, welcome
from ringbuf.bits import at
from ringbuf.jit import cold_kernel


@cold_kernel
def _holds(pump, number):
    """1 when the replica says that the connection's session is logged in through it."""
    row = pump.connections.rows[at(number)]
    session = pump.market.sessions[at(np.int64(row["session"]))]
    here = session["connected"] and session["gateway"] == pump.settings[SETTING_SOURCE]
    return 1 if here and session["connection"] == number else 0


@cold_kernel
def _take_answer(pump, number, end, now_ns):
    """The LOGIN of a connection was done while nobody looked."""
    row = pump.connections.rows[at(number)]
    session = np.int64(row["session"])
    generation = np.int64(pump.market.sessions[at(session)]["generation"])
    pump.by_session[at(session)] = number + 1
    c.watch(pump.settings[SETTING_EPOLL], np.int64(row["fd"]), number, pump.ready)
    if not welcome(pump, number, generation, end):
        close_client(pump, number, c.CLOSE_NO_SESSION, now_ns)


@cold_kernel
def _go_on(pump, number, position):
    """What the session was not told begins at `position`."""
    row = pump.connections.rows[at(number)]
    pump.by_session[at(np.int64(row["session"]))] = number + 1
    if row["state"] == c.LIVE:
        row["state"] = c.CATCHING_UP
        row["position"] = position
        pump.words[UNSETTLED] = 1


@cold_kernel
def rejoin(pump, position, now_ns):
    """Let every connection go on. position: of the first event that nobody was told."""
    end = np.int64(pump.market.scalars[0]["position"])
    done = np.int64(pump.market.gateways[at(pump.settings[SETTING_SOURCE])]["command_next"])
    pump.by_session[:] = 0
    for number in range(pump.words[ROWS_USED]):
        row = pump.connections.rows[at(number)]
        if row["state"] == c.LOGGING_IN and done >= row["position"]:
            if _holds(pump, number):
                _take_answer(pump, number, end, now_ns)
            else:
                close_client(pump, number, c.CLOSE_DISPLACED, now_ns)
        elif is_open(row) and pump.market.scalars[0]["rolled"] > position:
            end_session(pump, number, now_ns)
        elif is_open(row):
            session = pump.market.sessions[at(np.int64(row["session"]))]
            if _holds(pump, number) and session["generation"] == row["generation"]:
                _go_on(pump, number, position)
            else:
                close_client(pump, number, c.CLOSE_DISPLACED, now_ns)
