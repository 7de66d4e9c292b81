"""Declaration: the bytes of journal segments and snapshots on disk.

A journal segment is a header of one page, then blocks: a block header and as many EVENT records as
it says. Everything is a multiple of 64 bytes, so a file is an array of cache lines. A snapshot is a
header of one page that lists its sections, then the sections.
"""

from ringbuf.schema import Field, Record, combined_digest
from shm_exchange.market import RECORDS as MARKET_RECORDS
from shm_exchange.messages import EVENT

JOURNAL_VERSION = 1
SNAPSHOT_VERSION = 2  # 2: CommandFlag's bits
CELL_SIZE = 64  # everything in these files begins at a multiple of it
PAGE_SIZE = 4096
IDENTITY_SIZE = 16
STREAM_SIZE = 16
SECTION_LIMIT = 32
SECTION_NAME_SIZE = 24
BLOCK_RECORDS_MAX = 16_384  # 1 MiB: what a reader must hold to check a block

JOURNAL_MAGIC = int.from_bytes(b"SHMXJRNL", "little")
BLOCK_MAGIC = int.from_bytes(b"BLK\x9e", "little")
SNAPSHOT_MAGIC = int.from_bytes(b"SHMXSNAP", "little")

BLOCK_EVENTS = 1  # block kinds: records of the ring
BLOCK_SEAL = 2  # no records: everything before it was synced (a clean end)
BLOCK_COMMIT = 1  # block flags: last block of one append, so a place where the journal may end
BLOCK_ENDED = 2  # block flags: of a seal at which writing ended in good order: nothing is missing

JOURNAL_HEADER = Record(
    name="journal_header",
    size=PAGE_SIZE,
    doc="First page of a journal segment. Written once, before the segment has its name.",
    fields=(
        Field("magic", "i8", doc="SHMXJRNL", writer="the recorder"),
        Field("version", "u4", doc="JOURNAL_VERSION"),
        Field("record_size", "u4", doc="bytes of an EVENT"),
        Field("layout_digest", "i8", doc="digest of EVENT: another one is another layout"),
        Field("identity", "u1", repeat=IDENTITY_SIZE, doc="identity of the state directory"),
        Field("engine", "i8", doc="number of the engine"),
        Field("first_position", "i8", doc="position of the segment's first record"),
        Field("created_ns", "i8", doc="ns since the epoch"),
        Field("previous_checksum", "u8", doc="checksum of the last block header before it, or 0"),
        Field("stream", "u1", repeat=STREAM_SIZE, doc="SoupBinTCP session id then, or zeros"),
        Field("reserved_0", "u1", repeat=PAGE_SIZE - 96),
        Field("checksum", "u8", doc="xxh3 of everything before it"),
    ),
)

BLOCK_HEADER = Record(
    name="block_header",
    size=CELL_SIZE,
    doc="Before the records of a block.",
    fields=(
        Field("magic", "u4", doc="BLOCK_MAGIC", writer="the recorder"),
        Field("kind", "u1", doc="BLOCK_EVENTS, BLOCK_SEAL"),
        Field("flags", "u1", doc="BLOCK_COMMIT, BLOCK_ENDED"),
        Field("reserved_0", "u2"),
        Field("first_position", "i8", doc="position of the first record"),
        Field("count", "u4", doc="records that follow, at most BLOCK_RECORDS_MAX"),
        Field("reserved_1", "u4"),
        Field("written_ns", "i8", doc="ns since the epoch"),
        Field("durable", "i8", doc="positions below this were synced when it was written"),
        Field("records_checksum", "u8", doc="xxh3 of the records"),
        Field("previous_checksum", "u8", doc="`checksum` of the block (or file) header before it"),
        Field("checksum", "u8", doc="xxh3 of the 56 bytes before it"),
    ),
)

SNAPSHOT_HEADER = Record(
    name="snapshot_header",
    size=1024,
    doc="Begin of a snapshot; its sections are listed behind it, in the same file.",
    fields=(
        Field("magic", "i8", doc="SHMXSNAP", writer="the recorder"),
        Field("version", "u4", doc="SNAPSHOT_VERSION"),
        Field("section_count", "u4"),
        Field("layout_digest", "i8", doc="digest of the market's records"),
        Field("identity", "u1", repeat=IDENTITY_SIZE, doc="identity of the state directory"),
        Field("engine", "i8", doc="number of the engine"),
        Field("position", "i8", doc="position of the first event that is not in it"),
        Field("created_ns", "i8", doc="ns since the epoch"),
        Field("file_size", "i8", doc="bytes of the whole file"),
        Field("sections_checksum", "u8", doc="xxh3 of the list of sections"),
        Field("reserved_0", "u1", repeat=1024 - 88),
        Field("checksum", "u8", doc="xxh3 of everything before it"),
    ),
)

SNAPSHOT_SECTION = Record(
    name="snapshot_section",
    size=CELL_SIZE,
    doc="One array of the market, as far as it was ever used.",
    fields=(
        Field("name", "u1", repeat=SECTION_NAME_SIZE, doc="ASCII, zero-padded"),
        Field("item_size", "i8", doc="bytes of one item"),
        Field("items", "i8", doc="how many"),
        Field("offset", "i8", doc="bytes from the start of the file"),
        Field("checksum", "u8", doc="xxh3 of the items"),
        Field("reserved_0", "i8"),
    ),
)

JOURNAL_DIGEST = EVENT.digest
SNAPSHOT_DIGEST = combined_digest(*MARKET_RECORDS)
RECORDS = (JOURNAL_HEADER, BLOCK_HEADER, SNAPSHOT_HEADER, SNAPSHOT_SECTION)
