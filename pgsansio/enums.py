"""The protocol's small enumerations, shared by every layer."""

import enum
from typing import Final

__all__ = ["Format", "Outcome", "StatementMode", "TransactionStatus"]


class Format(enum.IntEnum):
    """Format codes of parameters and result columns (manual, "Formats and Format Codes")."""

    TEXT = 0
    BINARY = 1


class TransactionStatus(enum.Enum):
    """The status byte of ReadyForQuery (manual, "Message Formats", ReadyForQuery)."""

    IDLE = "I"
    IN_TRANSACTION = "T"
    FAILED = "E"


class StatementMode(enum.Enum):
    """How statements are sent: what a pooler between this connection and its server lets pass."""

    #: Prepared under a name, and kept for the next time.
    CACHED = "cached"
    #: Parsed anew each time, and executed under the same Sync.
    UNNAMED = "unnamed"
    #: As text with the arguments written into it, by the simple protocol.
    SIMPLE = "simple"


class Outcome(enum.Enum):
    """What became of an operation; every operation ends with exactly one of them.

    An operation starts as `PENDING`. The other members are final.
    """

    PENDING = "pending"
    #: The server carried it out and said so.
    COMPLETED = "completed"
    #: The server refused it; its error is the operation's error.
    FAILED = "failed"
    #: An earlier operation of the same Sync group failed, so the server did not look at it.
    SKIPPED = "skipped"
    #: It was dropped before a byte of it was written.
    CANCELLED = "cancelled"
    #: It was written, and nothing tells whether the server carried it out.
    UNKNOWN = "unknown"


#: Seconds a connection may take to get rid of a cancelled operation before it is given up.
CANCEL_GRACE: Final = 1.0
