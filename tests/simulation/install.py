"""Puts the simulated machine under the kernels: import this module before any of them.

The kernels run uncompiled. What they ask of the machine (atomics, unaligned bytes, system calls)
is bound by name when they are imported, so the replacements are put in place before that.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

os.environ["NUMBA_DISABLE_JIT"] = "1"

from ringbuf import atomics, bits, syscalls, whole_record  # noqa: E402
from ringbuf.jit import COMPILED  # noqa: E402
from shm_exchange.market import RECORDS  # noqa: E402
from tests.simulation.memory import Fields, Row, fields_of, signed  # noqa: E402

assert not COMPILED, "numba was imported before the simulation could say: do not compile"

EAGAIN = 11


def _names(row: Iterable[str]) -> tuple[str, ...]:
    return tuple(each for each in row if not each.startswith("reserved"))


_FIELDS = {_names(each.name for each in record.fields): fields_of(record) for record in RECORDS}


class Machine:
    """What kernels call outside; the world of the seed that runs sets itself here."""

    world: Any = None


def _load(array: Any, index: int) -> int:
    return array[index]  # type: ignore[no-any-return]


def _store(array: Any, index: int, value: int) -> None:
    array[index] = value


def _at(position: int) -> int:
    assert position >= 0
    return position


def _pause(*_: int) -> int:
    Machine.world.idle()
    return 0


def _clock(scratch: Any = None) -> int:
    return Machine.world.clock()  # type: ignore[no-any-return]


def _copy(target: Any, target_offset: int, source: Any, source_offset: int, count: int) -> None:
    items = [source[source_offset + number] for number in range(count)]
    for number, item in enumerate(items):
        target[target_offset + number] = item


def _load_raw_8(data: Any, offset: int) -> int:
    """Eight bytes of the doorbells, in one load."""
    found = data.words if hasattr(data, "words") else data
    data[offset]  # the place where the process may be stopped
    return bits._signed(int.from_bytes(bytes(found[offset : offset + 8]), "little"))


def _write_words(records: Any, index: int, count: int, names: str, values: Any) -> None:
    is_private = not hasattr(records, "write_words")  # nobody sees it before it is whole
    fields = _fields_of(records[index]) if is_private else records.fields
    words = [0] * count
    for name, value in zip(names.split(), values, strict=True):
        first, _, last = name.partition(":")
        number, shift, _, _ = fields[first]
        _, last_shift, last_mask, _ = fields[last or first]
        words[number] |= (value & (1 << last_shift - shift + last_mask.bit_length()) - 1) << shift
    if not is_private:
        records.write_words(index, 0, words)
        return
    row = Row(words, 0, fields)
    records[index].update({name: row[name] for name in fields})


def _read_word(records: Any, index: int, name: str) -> int:
    row = records[index]
    if not isinstance(row, dict):
        return row.word(name)  # type: ignore[no-any-return]
    fields = _fields_of(row)
    number = fields[name][0]
    parts = (
        (row[each], mask, shift) for each, (at, shift, mask, _) in fields.items() if at == number
    )
    return signed(sum((value & mask) << shift for value, mask, shift in parts))


def _fields_of(row: dict[str, int]) -> Fields:
    """Of a private record, which is a dictionary of a record without unions."""
    return _FIELDS[_names(row)]


def _copy_words(to: Any, to_index: int, of: Any, of_index: int, first: int, count: int) -> None:
    words = of[of_index].copy_words(first + count)
    to.write_words(to_index, first, words[first:])


def _forward(name: str) -> Any:
    def call(*arguments: Any) -> Any:
        return getattr(Machine.world, name)(*arguments)

    return call


atomics.load_acquire = atomics.load_relaxed = _load
atomics.store_release = atomics.store_relaxed = _store
atomics.fence_acquire = atomics.fence_release = atomics.fence_full = lambda: None
atomics.pause = _pause
bits.at = _at
bits.clear_record = lambda records, index: records.clear(index)
bits.copy_record = lambda target, place, source, index: target.__setitem__(place, source[index])
whole_record.write_words = _write_words
whole_record.copy_words = _copy_words
whole_record.read_word = _read_word
bits.address = lambda array, index: (array, index)
bits.load_raw_8 = _load_raw_8
bits.load_raw_4 = _load
bits.store_raw_4 = bits.store_raw_8 = _store
bits.copy_bytes = _copy
syscalls.clock_ns = syscalls.monotonic_ns = _clock
syscalls.monotonic_us = lambda: Machine.world.clock() // 1000
syscalls.sched_yield = _pause
syscalls.barrier_everywhere = lambda: 0
syscalls.last_error = lambda: EAGAIN
for _name in (
    "wait_readable", "event_signal", "event_drain", "recv", "send", "close", "epoll_ctl",
    "epoll_wait", "mutex_trylock", "mutex_consistent", "mutex_unlock",
):  # fmt: skip
    setattr(syscalls, _name, _forward(_name))

# Scalars that kernels make are Python's own: nothing here is wider than 64 bits but by mistake.
_NUMPY = SimpleNamespace(int64=int, ndarray=object)

_KERNELS = (
    "ringbuf.broadcast", "ringbuf.spsc", "ringbuf.writer_lock", "ringbuf.waiting",
    "shm_exchange.session_orders",
    "shm_exchange.groups", "shm_exchange.order_tags", "shm_exchange.expiry",
    "shm_exchange.queues", "shm_exchange.reserve_orders", "shm_exchange.order_terms",
    "shm_exchange.book", "shm_exchange.admission", "shm_exchange.emit", "shm_exchange.sweep",
    "shm_exchange.price_tree", "shm_exchange.order_entry", "shm_exchange.fetching",
    "shm_exchange.starting", "shm_exchange.entering", "shm_exchange.replacing",
    "shm_exchange.matching", "shm_exchange.administration", "shm_exchange.replica",
    "shm_exchange.streams", "shm_exchange.engine", "shm_exchange.reign", "shm_exchange.lifetime",
    "shm_exchange.slots", "gateways.order_index", "gateways.connection", "gateways.mailbox",
    "gateways.stream_name", "gateways.ouch.checks", "gateways.ouch.inbound",
    "gateways.ouch.mass_requests",
    "gateways.ouch.follow",
    "gateways.ouch.stream", "gateways.ouch.clients", "gateways.ouch.backpressure",
    "gateways.ouch.shares", "gateways.ouch.intake", "gateways.ouch.pump",
    "gateways.ouch.rejoin", "gateways.ouch.questions", "gateways.ouch.order_times",
    "shm_exchange.shares_ahead",
    "shm_exchange.attestation", "shm_exchange.withdrawal", "shm_exchange.disconnect",
    "shm_exchange.mass", "shm_exchange.protection", "shm_exchange.protection_cancels",
    "shm_exchange.protection_requests", "shm_exchange.session_answers",
    "gateways.ouch.protection_requests", "gateways.ouch.quote_requests",
    "shm_exchange.quotes", "shm_exchange.mass_quote", "shm_exchange.poison",
    "shm_exchange.beginning", "shm_exchange.day_end",
    "shm_exchange.limits", "shm_exchange.positions", "gateways.risk",
    "shm_exchange.drop_copy", "gateways.ouch.copies",
)  # fmt: skip


def install() -> dict[str, Any]:
    """Import every kernel over the simulated machine; the modules by their last names."""
    found = {}
    for name in _KERNELS:
        module = importlib.import_module(name)
        if hasattr(module, "np"):
            module.np = _NUMPY  # type: ignore[attr-defined]
        found[name.rsplit(".", 1)[1]] = module
    for name in ("shm_exchange.recording", "shm_exchange.recorder"):
        found[name.rsplit(".", 1)[1]] = importlib.import_module(name)
    found["waiting"].PAUSE_COUNT = 4
    found["engine"].ATTEST_EVERY = 24
    found["beginning"].MILLISECOND = 1
    found["reign"].PROCESS_LIMIT = 14
    found["attestation"].GATEWAY_LIMIT = 6
    found["engine"].SWEEP_ROOM = 4  # so that a part fits into a ring of 64 events
    return found


MODULES = install()
