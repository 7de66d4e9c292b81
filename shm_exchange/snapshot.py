"""Shell: the whole state of one engine at a position, in one file.

Only what was ever used is written: live orders, and the pools of the price trees up to their high
water. A snapshot gets its name when it is whole and on disk. Loaded into a fresh Market of the same
configuration it gives the same bytes wherever a byte has a meaning.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from ringbuf.errors import LayoutError
from shm_exchange.errors import ExchangeError
from shm_exchange.journal_layout import (
    CELL_SIZE,
    PAGE_SIZE,
    SECTION_LIMIT,
    SECTION_NAME_SIZE,
    SNAPSHOT_DIGEST,
    SNAPSHOT_HEADER,
    SNAPSHOT_MAGIC,
    SNAPSHOT_SECTION,
    SNAPSHOT_VERSION,
)
from shm_exchange.journal_segment import JournalDamaged, Owner, sync_directory
from shm_exchange.market import (
    FILLS_MAX,
    FREE,
    INSTRUMENT,
    PROTECTION_BLOCK,
    QUOTE_IDS,
    SCALARS,
    Market,
)
from shm_exchange.messages import SLOT_BITS, CommandFlag
from shm_exchange.presence import open_private

ORDER_SLOTS = "order_slots"  # the slots of the section "orders", in the same order
SESSION_RINGS = "session_rings"  # the links of the sessions themselves
TAG_SLOTS = "tag_slots"  # likewise of the section "tags": orders that have any
BY_SLOT = ("orders", "session_links", "tags")  # of these only the rows of live orders are kept
POSITION_ROWS = "position_rows"  # the subscripts of the section "positions"
_APART = (*BY_SLOT, "positions")
# What the configuration says of an instrument; another value means another market.
_CONFIGURED = ("symbol", "tick", "price_min", "price_max", "lot", "quantity_max")
# What the configuration says of a session; it may change from start to start.
SESSION_CONFIGURED = (
    *("cancel_on_disconnect", "firm", "copies", "copies_next", "drop_copy"),
    *("self_trade", "self_trade_scope", "self_trade_group"),
)
_SCAN_ORDERS = 1 << 16  # orders looked at in one go, so that other threads get their turn


class SnapshotError(ExchangeError):
    """A snapshot that cannot be used: damaged, or of another exchange. The message names it."""


class Section(NamedTuple):
    """Where the items of one array stand in the file."""

    name: str
    item_size: int
    items: int
    offset: int
    checksum: int


class Facts(NamedTuple):
    """What a proven snapshot says of its market."""

    position: int
    rolled: int  # position behind the last ROLLED
    instruments: bytes  # what the configuration said of them
    sessions: int

    def fits(self, market: Facts) -> bool:
        """Whether it can be loaded where the snapshot of that market can."""
        return self.instruments == market.instruments and self.sessions <= market.sessions


def snapshot_path(directory: Path, engine: int, position: int) -> Path:
    """The file of the snapshot at `position`."""
    return directory / f"snapshot-e{engine}-{position:020d}.shms"


def snapshot_paths(directory: Path, engine: int) -> list[tuple[int, Path]]:
    """(position, file) of every snapshot of an engine, newest first."""
    found = []
    for path in directory.glob(f"snapshot-e{engine}-*.shms"):
        number = path.stem.rsplit("-", 1)[1]
        if number.isdigit():
            found.append((int(number), path))
    return sorted(found, reverse=True)


def check_journal_reaches(directory: Path, end: int, found: list[tuple[int, Path]]) -> None:
    """Raise JournalDamaged when a journal that ends at position `end` ends before a snapshot.

    found: as `snapshot_paths` has it. A snapshot is only taken of what was synced, so the journal
    has lost something then.
    """
    if found and found[0][0] > end:
        reason = f"the journal ends here, but {found[0][1].name} is of a later position"
        raise JournalDamaged(directory, end, reason)


def write_snapshot(market: Market, directory: Path, owner: Owner, now_ns: int) -> Path:
    """Write the market's state at its position, durably; return the file. Raise OSError."""
    position = int(market.scalars[0]["position"])
    path = snapshot_path(directory, owner.engine, position)
    aside = path.with_suffix(".new")
    sections: list[Section] = []
    try:
        with open(aside, "wb", opener=open_private) as file:
            file.write(bytes(PAGE_SIZE))
            for name, array in _used(market):
                file.write(bytes(-file.tell() % CELL_SIZE))
                data = array.view(np.uint8).data
                sections.append(
                    Section(name, array.itemsize, len(array), file.tell(), xxh3_64_intdigest(data))
                )
                file.write(data)
            size = file.tell()
            file.seek(0)
            file.write(_header(owner, position, now_ns, size, sections))
            file.flush()
            os.fsync(file.fileno())
        os.rename(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_directory(directory)
    return path


def load_snapshot(path: Path, market: Market, owner: Owner) -> int:
    """Fill a fresh `market` with the state in `path`; return its position.

    Everything is checked before the first byte of `market` changes. Raise SnapshotError when the
    file is damaged, of another exchange or of another configuration; LayoutError when another
    layout wrote it.
    """
    position, arrays = _read(path, owner)
    slots = _take(path, arrays, ORDER_SLOTS, np.dtype(np.int32))
    fields = [name for name in Market._fields if name not in _APART]
    loaded = {name: _take(path, arrays, name, getattr(market, name).dtype) for name in fields}
    orders = _take(path, arrays, "orders", market.orders.dtype)
    links = _take(path, arrays, "session_links", market.session_links.dtype)
    rings = _take(path, arrays, SESSION_RINGS, market.session_links.dtype)
    tag_slots = _take(path, arrays, TAG_SLOTS, np.dtype(np.int32))
    tags = _take(path, arrays, "tags", market.tags.dtype)
    held = _take(path, arrays, POSITION_ROWS, np.dtype(np.int64))
    positions = _take(path, arrays, "positions", market.positions.dtype)
    _check_room(path, market, loaded, slots, orders)
    if len(tags) != len(tag_slots) or not np.isin(tag_slots, slots).all():
        raise SnapshotError(f"{path}: has tags of orders that it does not have")
    slots_per_gateway = int(market.scalars[0]["slots_per_gateway"])
    configured = {name: market.sessions[name].copy() for name in SESSION_CONFIGURED}
    for name, array in loaded.items():
        getattr(market, name)[: len(array)] = array
    market.orders[slots] = orders
    market.session_links[slots] = links
    market.session_links[: len(rings)] = rings
    market.tags[tag_slots] = tags
    market.positions[held] = positions
    # What the configuration says now: a partition grows without moving anything.
    market.scalars[0]["slots_per_gateway"] = slots_per_gateway
    for name, values in configured.items():
        market.sessions[name] = values
    return position


def verify_snapshot(path: Path, owner: Owner) -> int:
    """Prove every byte of a snapshot; return its position. Raises as `load_snapshot` does."""
    return _read(path, owner)[0]


def read_facts(path: Path, owner: Owner) -> Facts:
    """Prove every byte of a snapshot; what it says. Raises as `load_snapshot` does."""
    position, arrays = _read(path, owner)
    scalars = _take(path, arrays, "scalars", SCALARS.dtype)
    instruments = _take(path, arrays, "instruments", INSTRUMENT.dtype)
    configured = b"".join(instruments[field].tobytes() for field in _CONFIGURED)
    sessions = arrays["sessions"][0].items
    return Facts(position, int(scalars[0]["rolled"]), configured, sessions)


def remove_old_snapshots(directory: Path, engine: int, keep: int, rolled: int) -> list[Path]:
    """Delete all but the `keep` newest snapshots, and what an interrupted writer left behind.

    The newest up to position `rolled`, behind which the feed begins, is kept as well.
    """
    found = snapshot_paths(directory, engine)
    first = next((path for position, path in found if position <= rolled), None)
    removed = [path for _, path in found[keep:] if path != first]
    removed += directory.glob(f"snapshot-e{engine}-*.new")
    for path in removed:
        path.unlink(missing_ok=True)
    return removed


# ------------------------------------------------------------ within


def _read(path: Path, owner: Owner) -> tuple[int, dict[str, tuple[Section, np.ndarray]]]:
    """Position and proven sections of a snapshot, by name."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read: {error.strerror}") from error
    position = _check_header(path, data, owner)
    arrays = {}
    for section in _sections(data):
        content = data[section.offset : section.offset + section.item_size * section.items]
        if xxh3_64_intdigest(content.data) != section.checksum:
            raise SnapshotError(f"{path}: the checksum of section {section.name} is wrong")
        arrays[section.name] = (section, content)
    return position, arrays


def live_slots(market: Market) -> np.ndarray:
    """Slots of all live orders, ascending: int32[n]."""
    found = []
    for number, gateway in enumerate(market.gateways):
        first = number << SLOT_BITS
        end = first + int(gateway["slots_high_water"])
        for start in range(first, end, _SCAN_ORDERS):
            states = market.orders["state"][start : min(end, start + _SCAN_ORDERS)]
            found.append(np.flatnonzero(states != FREE) + start)
    return np.concatenate([np.empty(0, np.int64), *found]).astype(np.int32)


def used_counts(market: Market) -> dict[str, int]:
    """Of the arrays that fill up from the beginning: how many items were ever used."""
    scalars = market.scalars[0]
    leaves, nodes = int(scalars["leaf_next"]), int(scalars["node_next"])
    protections = PROTECTION_BLOCK * (int(scalars["protection_blocks"]) + 1)
    return {
        "levels": 64 * leaves,
        "leaf_words": leaves,
        "node_words": nodes,
        "node_children": 64 * nodes,
        "expiries": int(scalars["expiries"]) + 1,
        "protections": protections,
        "fills": FILLS_MAX * protections,
        "quotes": 2 * QUOTE_IDS * (int(scalars["protection_blocks"]) + 1),
    }


def _used(market: Market) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of the market, as far as it was ever used."""
    counts = used_counts(market)
    slots = live_slots(market)
    yield ORDER_SLOTS, slots
    yield "orders", _rows(market.orders, slots)
    yield "session_links", _rows(market.session_links, slots)
    yield SESSION_RINGS, market.session_links[: len(market.sessions) + 1]
    tag_slots = slots[_rows(market.orders["flags"], slots) & CommandFlag.TAGS != 0]
    yield TAG_SLOTS, tag_slots
    yield "tags", _rows(market.tags, tag_slots)
    for name in Market._fields:
        if name == "positions":
            held = np.flatnonzero(market.positions)
            yield POSITION_ROWS, held
            yield name, market.positions[held]
        elif name not in BY_SLOT:
            array = getattr(market, name)
            yield name, array[: counts.get(name, len(array))]


def _rows(array: np.ndarray, subscripts: np.ndarray) -> np.ndarray:
    """array[subscripts], in pieces, so that other threads get their turn."""
    rows = np.empty(len(subscripts), array.dtype)
    for start in range(0, len(subscripts), _SCAN_ORDERS):
        rows[start : start + _SCAN_ORDERS] = array[subscripts[start : start + _SCAN_ORDERS]]
    return rows


def _header(owner: Owner, position: int, now_ns: int, size: int, sections: list[Section]) -> bytes:
    assert len(sections) <= SECTION_LIMIT
    table = np.zeros(SECTION_LIMIT, SNAPSHOT_SECTION.dtype)
    for line, section in zip(table, sections, strict=False):
        name = section.name.encode("ascii").ljust(SECTION_NAME_SIZE, b"\0")
        line["name"] = np.frombuffer(name, np.uint8)
        for field in ("item_size", "items", "offset", "checksum"):
            line[field] = getattr(section, field)
    page = np.zeros(1, SNAPSHOT_HEADER.dtype)
    row = page[0]
    row["magic"] = SNAPSHOT_MAGIC
    row["version"] = SNAPSHOT_VERSION
    row["section_count"] = len(sections)
    row["layout_digest"] = SNAPSHOT_DIGEST
    row["identity"] = np.frombuffer(owner.identity, np.uint8)
    row["engine"] = owner.engine
    row["position"] = position
    row["created_ns"] = now_ns
    row["file_size"] = size
    row["sections_checksum"] = xxh3_64_intdigest(table.tobytes())
    row["checksum"] = xxh3_64_intdigest(page.tobytes()[:-8])
    return page.tobytes() + table.tobytes()


def _check_header(path: Path, data: np.ndarray, owner: Owner) -> int:
    if len(data) < PAGE_SIZE:
        raise SnapshotError(f"{path}: this is not a snapshot")
    row = data[: SNAPSHOT_HEADER.size].view(SNAPSHOT_HEADER.dtype)[0]
    table = data[SNAPSHOT_HEADER.size :][: SECTION_LIMIT * SNAPSHOT_SECTION.size]
    if int(row["magic"]) != SNAPSHOT_MAGIC:
        raise SnapshotError(f"{path}: this is not a snapshot")
    # Before anything else is believed: it stands at the end of the header in every version.
    if xxh3_64_intdigest(row.tobytes()[:-8]) != int(row["checksum"]):
        raise SnapshotError(f"{path}: the checksum of the header is wrong")
    if int(row["version"]) != SNAPSHOT_VERSION:
        raise LayoutError(
            f"{path}: snapshot version {row['version']}, this build reads {SNAPSHOT_VERSION}"
        )
    if int(row["layout_digest"]) != SNAPSHOT_DIGEST:
        raise LayoutError(
            f"{path}: written with another layout of the market (digest"
            f" {int(row['layout_digest']):x}, this build has {SNAPSHOT_DIGEST:x})"
        )
    if row["identity"].tobytes() != owner.identity or int(row["engine"]) != owner.engine:
        raise SnapshotError(
            f"{path}: belongs to engine {row['engine']} of exchange"
            f" {row['identity'].tobytes().hex()}"
        )
    if xxh3_64_intdigest(table.data) != int(row["sections_checksum"]):
        raise SnapshotError(f"{path}: the checksum of the list of sections is wrong")
    if int(row["file_size"]) != len(data):
        raise SnapshotError(f"{path}: has {len(data)} bytes, its header says {row['file_size']}")
    return int(row["position"])


def _sections(data: np.ndarray) -> Iterator[Section]:
    row = data[: SNAPSHOT_HEADER.size].view(SNAPSHOT_HEADER.dtype)[0]
    table = data[SNAPSHOT_HEADER.size :][: SECTION_LIMIT * SNAPSHOT_SECTION.size]
    for line in table.view(SNAPSHOT_SECTION.dtype)[: int(row["section_count"])]:
        name = line["name"].tobytes().rstrip(b"\0").decode("ascii")
        yield Section(
            name,
            int(line["item_size"]),
            int(line["items"]),
            int(line["offset"]),
            int(line["checksum"]),
        )


def _take(
    path: Path, arrays: dict[str, tuple[Section, np.ndarray]], name: str, dtype: np.dtype
) -> np.ndarray:
    section, content = arrays.get(name, (None, None))
    if section is None or content is None or section.item_size != dtype.itemsize:
        raise SnapshotError(f"{path}: section {name} is missing or has items of another size")
    return content.view(dtype)


def _check_room(
    path: Path,
    market: Market,
    loaded: dict[str, np.ndarray],
    slots: np.ndarray,
    orders: np.ndarray,
) -> None:
    """The configured market must be the one of the snapshot, or larger where that is harmless."""
    for name, array in loaded.items():
        if len(array) > len(getattr(market, name)):
            raise SnapshotError(
                f"{path}: has {len(array)} {name}, the configuration has room for"
                f" {len(getattr(market, name))}"
            )
    if len(slots) != len(orders) or (len(slots) and int(slots[-1]) >= len(market.orders)):
        raise SnapshotError(f"{path}: has orders in slots that the configuration does not have")
    before, now = loaded["instruments"], market.instruments
    if len(before) != len(now):
        raise SnapshotError(f"{path}: has {len(before)} instruments, configured are {len(now)}")
    for field in _CONFIGURED:
        changed = np.flatnonzero(before[field] != now[field])
        if len(changed):
            raise SnapshotError(
                f"{path}: {field} of instrument {changed[0]} was {before[field][changed[0]]},"
                f" configured is {now[field][changed[0]]}"
            )
