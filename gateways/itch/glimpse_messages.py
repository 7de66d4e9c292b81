"""Declaration: the one message of GLIMPSE 5.0 that ITCH 5.0 does not have."""

from ringbuf.schema import Field, Record

END_OF_SNAPSHOT_TYPE = ord("G")

END_OF_SNAPSHOT = Record(
    name="glimpse_end_of_snapshot",
    size=21,
    fields=(
        Field("type", "a"),
        Field(
            "sequence",
            "a",
            repeat=20,
            doc="number of the next ITCH message to process, ASCII, padded left",
        ),
    ),
    doc="`G` End of Snapshot",
    wire=True,
)

RECORDS = (END_OF_SNAPSHOT,)
