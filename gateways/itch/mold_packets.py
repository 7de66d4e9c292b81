"""Declaration: the packets of MoldUDP64 1.00. Requests have the shape of a header."""

from ringbuf.schema import Field, Record

PACKET_SIZE_MAX = 1400  # bytes of UDP payload: no fragment on any usual network
HEARTBEAT_COUNT = 0
END_OF_SESSION_COUNT = 0xFFFF
BLOCK_HEADER_SIZE = 2  # length of the message that follows it
SESSION_SIZE = 10
END_SECONDS = 10  # that the end of a session is said again and its messages can be had

MOLD_HEADER = Record(
    name="mold_header",
    size=20,
    fields=(
        Field("session", "a", repeat=10, doc="as in the SoupBinTCP login"),
        Field("sequence", "u8", doc="of the first message; without messages: of the next one"),
        Field("count", "u2", doc="messages; 0: heartbeat; 0xFFFF: end of the session"),
    ),
    doc="Downstream packet and request; behind it each message with its length before it",
    wire=True,
)

RECORDS = (MOLD_HEADER,)
