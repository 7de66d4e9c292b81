"""Declaration: the packets of SoupBinTCP 3.00, with the login of 4.10.

A packet is: two bytes length (of what follows), one byte type, the payload. Text is padded right
with spaces, numbers in ASCII are padded left. Letters are used in both directions.
"""

from ringbuf.schema import Field, Record

HEADER_SIZE = 3  # length and type
LENGTH_SIZE = 2
PACKET_LENGTH_MAX = 0xFFFF
CLIENT_PACKET_LENGTH_MAX = 1024  # a gateway ends a connection whose client sends a longer one
CLIENT_MESSAGE_SIZE_MAX = CLIENT_PACKET_LENGTH_MAX - 1  # without the packet's type

# Packet types, client -> server
LOGIN_REQUEST_TYPE = ord("L")
UNSEQUENCED_TYPE = ord("U")  # in 4.00 also server -> client
CLIENT_HEARTBEAT_TYPE = ord("R")
LOGOUT_TYPE = ord("O")
# server -> client
LOGIN_ACCEPTED_TYPE = ord("A")
LOGIN_REJECTED_TYPE = ord("J")
SEQUENCED_TYPE = ord("S")
SERVER_HEARTBEAT_TYPE = ord("H")
END_OF_SESSION_TYPE = ord("Z")
# both
DEBUG_TYPE = ord("+")

CLIENT_TYPES = frozenset("LURO+")
SERVER_TYPES = frozenset("AJSHZU+")

REJECT_NOT_AUTHORIZED = ord("A")
REJECT_NO_SESSION = ord("S")

HEARTBEAT_INTERVAL_NS = 1_000_000_000  # each side sends one after so long without sending
SILENCE_LIMIT_NS = 15_000_000_000  # a peer silent for so long is gone
SILENCE_LIMIT_MS_MIN = 1_000  # the 4.10 login chooses between these
SILENCE_LIMIT_MS_MAX = 60_000
LOGIN_LIMIT_NS = 30_000_000_000  # a connection has so long to log in

_LENGTH = Field("length", "u2", doc="bytes that follow it")
_TYPE = Field("type", "a")
_LOGIN_FIELDS = (
    _LENGTH,
    _TYPE,
    Field("username", "a", repeat=6, doc="padded right; case is folded"),
    Field("password", "a", repeat=10, doc="padded right; case is folded"),
    Field("session", "a", repeat=10, doc="padded left; blank: the current one"),
    Field("sequence", "a", repeat=20, doc="next wanted, ASCII; 0: the next to be generated"),
)

PACKET_HEADER = Record(
    name="soup_packet_header",
    size=3,
    fields=(_LENGTH, _TYPE),
    doc="Every packet; `+` `S` `U` `R` `O` `H` `Z` have nothing more of their own",
    wire=True,
)
LOGIN_REQUEST = Record(
    name="soup_login_request",
    size=49,
    fields=_LOGIN_FIELDS,
    doc="`L` Login Request",
    wire=True,
)
LOGIN_REQUEST_4_10 = Record(
    name="soup_login_request_4_10",
    size=54,
    fields=(
        *_LOGIN_FIELDS,
        Field("heartbeat_timeout", "a", repeat=5, doc="ms, ASCII: silence that the server bears"),
    ),
    doc="`L` Login Request of SoupBinTCP 4.10",
    wire=True,
)
LOGIN_ACCEPTED = Record(
    name="soup_login_accepted",
    size=33,
    fields=(
        _LENGTH,
        _TYPE,
        Field("session", "a", repeat=10, doc="padded left"),
        Field("sequence", "a", repeat=20, doc="of the next sequenced packet, ASCII, padded left"),
    ),
    doc="`A` Login Accepted",
    wire=True,
)
LOGIN_REJECTED = Record(
    name="soup_login_rejected",
    size=4,
    fields=(
        _LENGTH,
        _TYPE,
        Field("reason", "a", doc="`A` not authorized, `S` session not available"),
    ),
    doc="`J` Login Rejected",
    wire=True,
)

RECORDS = (PACKET_HEADER, LOGIN_REQUEST, LOGIN_REQUEST_4_10, LOGIN_ACCEPTED, LOGIN_REJECTED)
