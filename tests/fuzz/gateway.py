"""An order gateway's own kernels, from bytes to commands, in this process and without a socket.

What is called is the pump's `serve_input`: framing, decoding, checks, command, and the end of a
connection that broke the rules. Its memory is guarded; the market and the rings are real and empty.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateways import connection as c
from gateways.ouch import state
from gateways.ouch.clients import serve_input
from gateways.ouch.state import OrderPump
from ringbuf import spsc
from ringbuf.bits import at, copy_bytes
from ringbuf.jit import cold_kernel
from ringbuf.state import State
from shm_exchange import wiring
from shm_exchange.messages import SLOT_BITS, CommandKind
from tests.fuzz.guarded import guard, guarded
from tests.fuzz.inputs import Inputs, make_input
from tests.gateways.one_pump import pump_of

SOURCE = 2
CONFIGURATION = """\
[[engine]]
event_ring_records = 1024
command_ring_records = 256
slots_per_gateway = 4096
[[instrument]]
symbol = "AAPL"
tick = 0.01
[[instrument]]
symbol = "TEST"
tick = 0.0001
[[gateway]]
kind = "order"
address = "127.0.0.1:0"
clients_max = 1
inbound_buffer_bytes = 4096
[[session]]
username = "S01"
password = "demo"
"""
GUARDED_MAX = 1 << 20
NO_FILE = 1 << 30  # a descriptor that no process has
BATCH = 4096
QUANTITY_MAX = 999_999

_ENTER, _REPLACE = int(CommandKind.ENTER), int(CommandKind.REPLACE)
_KINDS = max(int(each) for each in CommandKind)

# Subscripts of `counts`: inputs, commands, connections ended, commands that make no sense.
INPUTS, COMMANDS, ENDED, NONSENSE, DIGEST = range(5)
_DIGEST_MASK = (1 << 40) - 1
_WORD_MASK = (1 << 32) - 1


@State.register
class Target(NamedTuple):
    """The pump, and what it was like before."""

    pump: OrderPump
    counts: np.ndarray  # int64[5]


def create_target(name: str, directory: Path) -> tuple[Target, wiring.Wiring]:
    """A gateway of its own configuration. name: of the segments, which are the caller's."""
    file = directory / "fuzz.toml"
    file.write_text(CONFIGURATION, encoding="utf-8")
    pump, made = pump_of(name, file, np.full(64, -1, np.int64), SOURCE)
    os.close(int(pump.settings[state.SETTING_EPOLL]))
    pump.settings[state.SETTING_EPOLL] = -1
    return Target(_guard(pump), np.zeros(5, np.int64)), made


def _guard(pump: OrderPump) -> OrderPump:
    connections = pump.connections._replace(
        rows=guarded(pump.connections.rows), inbound=guarded(pump.connections.inbound)
    )
    return pump._replace(
        desk=guard(pump.desk, GUARDED_MAX),
        connections=connections,
        request=guarded(pump.request),
        words=guarded(pump.words),
    )


@cold_kernel
def _judge(target, first, last):
    """Count what the commands in [first, last) say, and those that say what cannot be."""
    records = target.pump.desk.commands.records
    counts = target.counts
    for position in range(first, last):
        command = records[at(position & (len(records) - 1))]
        kind = np.int64(command["kind"])
        slot, quantity = np.int64(command["slot"]), np.int64(command["quantity"])
        fine = 0 < kind <= _KINDS
        if kind == _ENTER:
            fine = slot >> SLOT_BITS == SOURCE and 0 < quantity <= QUANTITY_MAX
            fine = fine and command["price"] > 0
            fine = fine and np.int64(command["instrument"]) < len(target.pump.desk.instruments)
        elif kind == _REPLACE:
            fine = slot > 0 and quantity >= 0 and command["price"] >= 0
        counts[NONSENSE] += 0 if fine else 1
        counts[COMMANDS] += 1
        user_ref, reason = np.int64(command["user_ref"]), np.int64(command["reason"])
        for word in (kind, slot, quantity, user_ref, reason, np.int64(command["price"])):
            counts[DIGEST] = (counts[DIGEST] * 8191 + (word & _WORD_MASK)) & _DIGEST_MASK


@cold_kernel
def storm(target, inputs, count):
    """Let the gateway read `count` inputs, each from a new client, flush with its buffer's end."""
    pump = target.pump
    letters = pump.mailbox.outward.cursors
    row = pump.connections.rows[0]
    size_max = len(pump.connections.inbound)
    for _ in range(count):
        size = make_input(inputs)
        copy_bytes(pump.connections.inbound, size_max - size, inputs.made, 0, size)
        row["fd"] = NO_FILE
        row["state"] = c.LIVE
        row["pending"] = 0
        row["logged_in"] = 0
        row["in_start"] = size_max - size
        row["in_end"] = size_max
        first = pump.words[state.COMMAND_POSITION]
        serve_input(pump, 0, 0)
        last = pump.words[state.COMMAND_POSITION]
        _judge(target, first, last)
        spsc.consume(pump.desk.commands, last)
        target.counts[INPUTS] += 1
        if row["fd"] < 0:
            target.counts[ENDED] += 1
            letters[spsc.CONSUMED] = letters[spsc.PUBLISHED]


def run(target: Target, inputs: Inputs, count: int) -> Counter[str]:
    """Read `count` inputs. Orders that were entered are forgotten now and then."""
    desk = target.pump.desk
    kept = [desk.order_index, desk.slots]
    before = [[array.copy() for array in each] for each in kept]
    for start in range(0, count, BATCH):
        storm(target, inputs, min(BATCH, count - start))
        for each, copies in zip(kept, before, strict=True):
            for array, copy in zip(each, copies, strict=True):
                array[:] = copy
    names = ("inputs", "commands", "ended", "nonsense", "digest")
    return Counter(dict(zip(names, target.counts.tolist(), strict=True)))
