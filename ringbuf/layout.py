"""Declaration: every word that two processes share through ringbuf.

A segment is its header, then what its kind says:

    broadcast   header | cursors | records
    spsc        header | cursors | producer lock, padding | records
    control     header | control (writer lock, doorbells, words, one line per process)
    plain       header | whatever the caller declares

Words of different writers never share a pair of cache lines (128 bytes: the prefetcher of this
machine class fetches lines in pairs).
"""

from ringbuf.schema import Field, Record, combined_digest

MAGIC = 0x3130_4655_4247_4E52  # the bytes `RNGBUF01`
VERSION = 1
PROCESS_LIMIT = 64  # processes that one control segment knows
WORD_SIZE = 8  # cursors and counters are int64

KIND_PLAIN, KIND_BROADCAST, KIND_SPSC, KIND_CONTROL = 0, 1, 2, 3
KIND_NAMES = ("plain", "broadcast", "spsc", "control")

# States of a process, in PROCESS.state.
STATE_NONE, STATE_STARTING, STATE_READY, STATE_DRAINING, STATE_STOPPED, STATE_FAILED = range(6)
STATE_NAMES = ("none", "starting", "ready", "draining", "stopped", "failed")

SEGMENT_HEADER = Record(
    name="segment_header",
    size=256,
    doc="Begins every segment. Written once by the creator; `magic` last, so that whoever sees it "
    "sees the rest.",
    fields=(
        Field("magic", "i8", writer="the creator", order="last", doc="`RNGBUF01`"),
        Field("version", "i8", writer="the creator", order="before magic", doc="of this layout"),
        Field("segment_size", "i8", writer="the creator", order="before magic", doc="whole"),
        Field("kind", "i8", writer="the creator", order="before magic", doc="KIND_*"),
        Field("digest", "i8", writer="the creator", order="before magic", doc="of the contents"),
        Field("frame_digest", "i8", writer="the creator", order="before magic", doc="of this file"),
        Field("identity", "i8", writer="the creator", order="before magic", doc="whose it is"),
        Field("capacity", "i8", writer="the creator", order="before magic", doc="records"),
        Field("record_size", "i8", writer="the creator", order="before magic", doc="bytes"),
        Field("created_ns", "i8", writer="the creator", order="before magic", doc="since epoch"),
        Field("creator", "i8", writer="the creator", order="before magic", doc="process id"),
        Field("reserved_0", "u1", repeat=168),
    ),
)

BROADCAST_CURSORS = Record(
    name="broadcast_cursors",
    size=256,
    doc="The words that coordinate a broadcast ring.",
    fields=(
        Field(
            "claimed",
            "i8",
            writer="the publisher",
            order="before the records",
            doc="positions below it may be in the middle of being overwritten (less a capacity); "
            "never decreases, not under a new publisher either",
        ),
        Field("reserved_0", "u1", repeat=56, doc="a line that is seldom stored: both may keep it"),
        Field(
            "published",
            "i8",
            writer="the publisher",
            order="release",
            doc="positions below it are complete",
        ),
        Field("reserved_1", "u1", repeat=56),
        Field(
            "recorded",
            "i8",
            writer="the gating reader",
            order="release",
            doc="positions below it may be overwritten by the publisher (1 << 62: no gate)",
        ),
        Field(
            "durable",
            "i8",
            writer="the gating reader",
            order="release",
            doc="positions below it survive a loss of power",
        ),
        Field("reserved_2", "u1", repeat=112, doc="keeps the reader's line to itself"),
    ),
)

SPSC_CURSORS = Record(
    name="spsc_cursors",
    size=256,
    doc="The words that coordinate a bounded queue of one producer and one consumer.",
    fields=(
        Field(
            "published",
            "i8",
            writer="the producer",
            order="release",
            doc="positions below it are complete",
        ),
        Field(
            "incarnation",
            "i8",
            writer="the producer",
            order="release",
            doc="number of the producer's life; grows when a new process takes its place",
        ),
        Field("reserved_0", "u1", repeat=112, doc="keeps the producer's line to itself"),
        Field(
            "consumed",
            "i8",
            writer="the consumer",
            order="release",
            doc="positions below it are finished with, and may be overwritten",
        ),
        Field("reserved_1", "u1", repeat=120, doc="keeps the consumer's line to itself"),
    ),
)

WRITER_LOCK = Record(
    name="writer_lock",
    size=128,
    doc="A robust, process-shared pthread mutex (the C library's layout, checked by a test).",
    fields=(
        Field(
            "word",
            "i4",
            writer="whoever locks it, and the kernel",
            order="compare-exchange",
            doc="thread id of the owner; bit 30: the owner died; bit 31: somebody waits",
        ),
        Field("mutex", "i4", repeat=15, writer="the C library", doc="the rest of the mutex"),
        Field("reserved_0", "i4", repeat=16),
    ),
)

DOORBELLS = Record(
    name="doorbells",
    size=64,
    doc="Who is asleep. A publisher reads it as eight words.",
    fields=(
        Field(
            "asleep",
            "u1",
            repeat=PROCESS_LIMIT,
            writer="process n its own byte",
            order="before a full barrier",
            doc="odd while process n sleeps or is about to; each sleep has the next odd number",
        ),
    ),
)

CONTROL_WORDS = Record(
    name="control_words",
    size=256,
    doc="The single words of a control segment.",
    fields=(
        Field("stop", "i8", writer="the supervisor", order="release", doc="not 0: drain and end"),
        Field(
            "handover",
            "i8",
            writer="the supervisor",
            order="release",
            doc="number of a reign that is to end: its writer gives up the lock between two "
            "commands, and who stands by takes it",
        ),
        Field(
            "begin_anew",
            "i8",
            writer="the supervisor",
            order="before the first writer",
            doc="1 + position from which all sequences of messages begin anew, because some that "
            "were given out may be missing; 0: they go on",
        ),
        Field(
            "snapshot",
            "i8",
            writer="the supervisor",
            order="relaxed",
            doc="position that the newest snapshot is to have reached: the recorder takes one "
            "before it is due",
        ),
        Field(
            "open",
            "i8",
            writer="the supervisor",
            order="release",
            doc="1 from READY on: gateways let clients in",
        ),
        Field(
            "said",
            "i8",
            writer="the supervisor",
            order="relaxed",
            doc="the least important lines that a process says to its operator, as a priority of "
            "syslog(3); 0: all",
        ),
        Field(
            "snapshot_every",
            "i8",
            writer="the supervisor",
            order="relaxed",
            doc="events between two snapshots; 0: as configured",
        ),
        Field("reserved_0", "i8", repeat=9),
        Field(
            "epoch",
            "i8",
            writer="the holder of the writer lock",
            order="release",
            doc="number of the writer's reign; grows by one at each take-over",
        ),
        Field(
            "attempting",
            "i8",
            writer="the holder of the writer lock",
            order="relaxed",
            doc="what the writer is about to do, so that its death can be charged to it",
        ),
        Field(
            "crashed",
            "i8",
            writer="the holder of the writer lock",
            order="plain",
            doc="number of a reign whose writer died of what it did, not of a signal from outside; "
            "its crash handler stores it",
        ),
        Field(
            "suspect",
            "i8",
            writer="the holder of the writer lock",
            order="relaxed",
            doc="value of `attempting` that killed a writer last",
        ),
        Field(
            "strikes",
            "i8",
            writer="the holder of the writer lock",
            order="relaxed",
            doc="how many writers `suspect` has killed; from bit 8 on: the reign whose end was "
            "counted last",
        ),
        Field(
            "ended_ns",
            "i8",
            writer="the holder of the writer lock",
            order="relaxed",
            doc="when the last reign that was handed over ended, ns since the epoch",
        ),
        Field("reserved_1", "i8", repeat=10),
    ),
)

PROCESS = Record(
    name="process",
    size=256,
    doc="What a process says of itself. Each has one line and is its only writer.",
    fields=(
        Field("pid", "i8", writer="process n", order="relaxed", doc="process id, 0 = nobody"),
        Field("started_ns", "i8", writer="process n", order="relaxed", doc="ns since the epoch"),
        Field("role", "u1", writer="process n", order="plain", doc="numbers are the user's"),
        Field("policy", "u1", writer="process n", order="plain", doc="SPIN, YIELD, PARK"),
        Field("state", "u1", writer="process n", order="plain", doc="STATE_*"),
        Field("reserved_0", "u1"),
        Field("source", "u2", writer="process n", order="plain", doc="the queue it produces into"),
        Field("engine", "u2", writer="process n", order="plain"),
        Field("position", "i8", writer="process n", order="relaxed", doc="its next position"),
        Field("heartbeat_ns", "i8", writer="process n", order="relaxed", doc="ns since the epoch"),
        Field("epoch", "i8", writer="process n", order="relaxed", doc="the reign it serves"),
        Field("loops", "i8", writer="process n", order="relaxed", doc="passes of its loop"),
        Field("work", "i8", writer="process n", order="relaxed", doc="records handled"),
        Field("clients", "i8", writer="process n", order="relaxed", doc="connections now"),
        Field("errors", "i8", writer="process n", order="relaxed", doc="faults of peers"),
        Field(
            "attested",
            "i8",
            writer="process n",
            order="relaxed",
            doc="position behind the last state hash that its replica agreed with",
        ),
        Field(
            "differs",
            "i8",
            writer="process n",
            order="relaxed",
            doc="position of the state hash that its replica did not agree with, 0 = none",
        ),
        Field(
            "condemned",
            "i8",
            writer="process n",
            order="relaxed",
            doc="number of a reign whose writer it killed because that looped",
        ),
        Field("reserved_1", "i8", repeat=3),
        Field("counter", "i8", repeat=16, writer="process n", order="relaxed", doc="the user's"),
    ),
)

CONTROL = Record(
    name="control",
    size=640 + 256 * PROCESS_LIMIT,
    doc="Body of a control segment.",
    fields=(
        Field("lock", "i4", repeat=32, doc="WRITER_LOCK"),
        Field("reserved_0", "u1", repeat=128, doc="the lock's neighbours poll it"),
        Field("doorbells", "u1", repeat=PROCESS_LIMIT, doc="DOORBELLS"),
        Field("reserved_1", "u1", repeat=64),
        Field("words", "i8", repeat=32, doc="CONTROL_WORDS"),
        Field("processes", "i8", repeat=32 * PROCESS_LIMIT, doc="PROCESS, one for each process"),
    ),
)

COUNTER = Record(
    name="counter",
    size=64,
    doc="One named counter: a cache line, one writer.",
    fields=(
        Field("value", "i8", writer="its owner", order="relaxed"),
        Field("owner", "i8", writer="the creator", doc="number of the process"),
        Field("label", "a", repeat=48, writer="the creator", doc="name, filled with zeros"),
    ),
)

HISTOGRAM_BITS = 5  # 32 linear steps per power of two: an error of at most 3.2 %
HISTOGRAM_VALUE_BITS = 40  # values up to 18 minutes in ns; larger ones count as the largest
HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS

HISTOGRAM = Record(
    name="histogram",
    size=128 + WORD_SIZE * HISTOGRAM_BUCKETS,
    doc="A log-linear histogram of latencies in ns; one writer.",
    fields=(
        Field("count", "i8", writer="its owner", order="relaxed"),
        Field("total", "i8", writer="its owner", order="relaxed", doc="sum of the values"),
        Field("maximum", "i8", writer="its owner", order="relaxed"),
        Field("owner", "i8", writer="the creator", doc="number of the process"),
        Field("label", "a", repeat=48, writer="the creator", doc="name, filled with zeros"),
        Field("reserved_0", "i8", repeat=6),
        Field("buckets", "i8", repeat=HISTOGRAM_BUCKETS, writer="its owner", order="relaxed"),
    ),
)

RECORDS = (
    SEGMENT_HEADER,
    BROADCAST_CURSORS,
    SPSC_CURSORS,
    WRITER_LOCK,
    DOORBELLS,
    CONTROL_WORDS,
    PROCESS,
    CONTROL,
    COUNTER,
    HISTOGRAM,
)
FRAME_DIGEST = combined_digest(*RECORDS)

# Subscripts of words, for kernels.
STOP = CONTROL_WORDS.offset_of("stop") // WORD_SIZE
EPOCH = CONTROL_WORDS.offset_of("epoch") // WORD_SIZE
HANDOVER = CONTROL_WORDS.offset_of("handover") // WORD_SIZE
SNAPSHOT = CONTROL_WORDS.offset_of("snapshot") // WORD_SIZE
OPEN = CONTROL_WORDS.offset_of("open") // WORD_SIZE
SAID = CONTROL_WORDS.offset_of("said") // WORD_SIZE
SNAPSHOT_EVERY = CONTROL_WORDS.offset_of("snapshot_every") // WORD_SIZE
BEGIN_ANEW = CONTROL_WORDS.offset_of("begin_anew") // WORD_SIZE
CRASHED = CONTROL_WORDS.offset_of("crashed") // WORD_SIZE
SUSPECT = CONTROL_WORDS.offset_of("suspect") // WORD_SIZE
STRIKES = CONTROL_WORDS.offset_of("strikes") // WORD_SIZE
STRIKES_BITS = 8  # of `strikes`; above them is the reign whose end was counted last
STRIKES_MASK = (1 << STRIKES_BITS) - 1
ENDED = CONTROL_WORDS.offset_of("ended_ns") // WORD_SIZE
ATTEMPTING = CONTROL_WORDS.offset_of("attempting") // WORD_SIZE
PROCESS_WORDS = PROCESS.size // WORD_SIZE
PROCESS_POSITION = PROCESS.offset_of("position") // WORD_SIZE
PROCESS_HEARTBEAT = PROCESS.offset_of("heartbeat_ns") // WORD_SIZE
PROCESS_EPOCH = PROCESS.offset_of("epoch") // WORD_SIZE
PROCESS_LOOPS = PROCESS.offset_of("loops") // WORD_SIZE
PROCESS_WORK = PROCESS.offset_of("work") // WORD_SIZE
PROCESS_CLIENTS = PROCESS.offset_of("clients") // WORD_SIZE
PROCESS_ERRORS = PROCESS.offset_of("errors") // WORD_SIZE
PROCESS_ATTESTED = PROCESS.offset_of("attested") // WORD_SIZE
PROCESS_DIFFERS = PROCESS.offset_of("differs") // WORD_SIZE
PROCESS_CONDEMNED = PROCESS.offset_of("condemned") // WORD_SIZE
PROCESS_COUNTER = PROCESS.offset_of("counter") // WORD_SIZE
COUNTER_WORDS = COUNTER.size // WORD_SIZE
HISTOGRAM_WORDS = HISTOGRAM.size // WORD_SIZE
