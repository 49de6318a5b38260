"""What a kernel is: the hot loops over rows, parameters and messages, as types.

Two implementations fill this contract: `pure` (the definition) and, where it was built, a compiled one with the same
results, errors, texts and limits. Everything above calls the functions through `pgsansio.kernel` and never asks which
one runs. Nothing here keeps state between calls, and no result keeps a view of a caller's buffer.

A *plan* says once, when a statement has been described, what would otherwise be asked for every value.
"""

import enum
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol, TypeAlias

from pgsansio.enums import Format, TransactionStatus
from pgsansio.errors import InterfaceError

__all__ = [
    "CONTRACT_VERSION",
    "DISCARDS_ROWS",
    "INTERNAL",
    "NULL_LENGTH",
    "ROOM_BYTES",
    "RUN_LENGTH",
    "SCRIPT",
    "SHORT_LENGTH",
    "SHORT_REST_BYTES",
    "SYNC",
    "WINDOW_BYTES",
    "Action",
    "Arguments",
    "Buffer",
    "Condition",
    "Kernel",
    "Next",
    "Opcode",
    "OutdatedTypeError",
    "ParameterPlan",
    "Row",
    "RowPlan",
    "Session",
    "UnknownTypeError",
    "ValueCodec",
    "argument_count_error",
    "column_indexes",
]

#: Raised when a signature or a meaning below changes; a compiled kernel of another version is refused at import.
CONTRACT_VERSION: Final = 9

#: The length that stands for SQL NULL in DataRow, Bind and binary COPY (manual, "Message Formats").
NULL_LENGTH: Final = -1

#: Whatever its type, a message may have this length, which counts itself; the session is asked about longer ones.
SHORT_LENGTH: Final = 2000
#: So may one of those that come in runs (`Next.RUN`), where they may come.
RUN_LENGTH: Final = 0x3FFFFFFF - 1

#: An incomplete message of fewer bytes is moved to the front of the buffer before more is read.
SHORT_REST_BYTES: Final = 1024
#: So is any, if there would be less room behind it: else reads would become small.
ROOM_BYTES: Final = 16384

#: So many bytes may be written beyond what is answered.
WINDOW_BYTES: Final = 65536

# Traits of operations; `engine.operations` has the others.
#: It ends its Sync group: a ReadyForQuery answers it.
SYNC: Final = 4
#: Its rows are not wanted.
DISCARDS_ROWS: Final = 8
#: The library's own: not subject to the rules for concurrent use in transactions, and not counted as `active`.
INTERNAL: Final = 32
#: It is told of the end of each statement in it.
SCRIPT: Final = 1024

Buffer: TypeAlias = bytes | bytearray | memoryview
Arguments: TypeAlias = Sequence[object]


class Opcode(enum.IntEnum):
    """How a kernel may handle a value without calling `ValueCodec.decode` or `encode`.

    An opcode promises that the codec's two functions do exactly what the binary form of that type means; the kernel is
    then free to inline it. `CALL` promises nothing: the kernel calls the codec's functions.
    """

    CALL = 0
    BOOL = 1
    INT2 = 2
    INT4 = 3
    INT8 = 4
    UINT4 = 5
    FLOAT4 = 6
    FLOAT8 = 7
    NUMERIC = 8
    TEXT = 9
    BYTEA = 10
    UUID = 11
    DATE = 12
    TIME = 13
    TIMETZ = 14
    TIMESTAMP = 15
    TIMESTAMPTZ = 16
    INTERVAL = 17
    #: A version byte, 1, and text: jsonb, jsonpath, ltree and its queries.
    JSONB = 18
    ARRAY = 19
    #: The type "char", one byte: bytes of length 1.
    CHAR = 20
    UINT8 = 21
    #: (block, offset): uint32 and uint16.
    TID = 22
    #: The geometric types of fixed size, as the classes of `pgsansio.types`: 2, 3, 4, 4 and 3 float8.
    POINT = 23
    LINE = 24
    LSEG = 25
    BOX = 26
    CIRCLE = 27
    #: `element` is the codec of the bounds, or of the ranges in a multirange.
    RANGE = 28
    MULTIRANGE = 29
    #: `members` and `names` say what the `Record` is made of.
    COMPOSITE = 30


class UnknownTypeError(ValueError):
    """A value holds values of types that nobody has asked the catalogue about yet: learn them and decode it again."""

    def __init__(self, msg: str = "", *, oids: frozenset[int] = frozenset()) -> None:
        super().__init__(msg)
        #: Of the types.
        self.oids = oids


class OutdatedTypeError(ValueError):
    """A value contradicts what is known of its type: the type was changed, or dropped and made again."""

    def __init__(self, msg: str = "", *, oid: int = 0) -> None:
        super().__init__(msg)
        #: Of the type that is known no longer.
        self.oid = oid


@dataclass(frozen=True, slots=True, eq=False)
class ValueCodec:
    """One PostgreSQL type as the kernel sees it: values of it to and from their wire bytes.

    Compared by identity: a registry holds one object per type and format.
    """

    #: pg_type.oid of the type.
    oid: int
    #: Its name as SQL's format_type prints it without modifiers; used in error texts.
    name: str
    opcode: Opcode
    #: What `decode` reads and `encode` writes.
    format: Format
    #: The bytes of one value, without its length, never NULL -> the Python value. Raises ValueError or a subclass, or
    #: whatever a user's codec raises.
    decode: Callable[[bytes], Any]
    #: A Python value, never None -> its bytes. Raises TypeError, ValueError or OverflowError with the reason.
    encode: Callable[[Any], bytes]
    #: The codec of what an array, a range or a multirange is made of, in the same format; else None.
    element: "ValueCodec | None" = None
    #: No decoded value can refer to another object that could refer back (so no list, dict or user object).
    atomic: bool = True
    #: Of a composite type: one codec per attribute, in the same format, and their names.
    members: "tuple[ValueCodec, ...]" = ()
    names: tuple[str, ...] = ()
    #: `decode` and `encode` are not the library's: an exception of `decode` keeps its type.
    user: bool = False


class RowPlan(Protocol):
    """How the rows of one result are decoded: one codec per column, in RowDescription order."""

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order; they may repeat."""
        ...

    @property
    def codecs(self) -> tuple[ValueCodec, ...]: ...

    @property
    def record_class(self) -> type[Any]:
        """`Record` or a subclass of it; what the rows become."""
        ...

    def record(self, values: Sequence[object]) -> Any:
        """A record of these values, one per column, already decoded."""
        ...


class ParameterPlan(Protocol):
    """How the arguments of one statement are encoded: one codec per parameter, in ParameterDescription order."""

    @property
    def codecs(self) -> tuple[ValueCodec, ...]: ...


class Next(enum.Enum):
    """Where a message leads to when that is not a fixed row of the table."""

    STEP = "the next step of the operation"
    SAME = "the same state"
    #: The action takes all messages of the type that follow, too.
    RUN = "the same state, for a run of such messages"
    END = "the operation is settled; the next one is at the head"
    #: The simple query or the next step, whichever the operation that began the COPY is.
    AFTER_COPY = "where the COPY was begun"


class Condition(enum.Enum):
    """Whether a session can be used."""

    OPEN = "open"
    #: Terminate was asked for.
    CLOSED = "closed"
    #: The server ended the connection, or it was cut.
    LOST = "lost"
    #: The server broke the protocol, or a result could not be kept: nothing more can be understood.
    BROKEN = "broken"


#: action(session, data, start, after): the body of the message is data[start:after]. Of `Next.RUN` it is
#: action(session, data, position, end): complete messages begin at `position`, and it returns where it has stopped.
Action: TypeAlias = Callable[[Any, bytearray, int, int], Any]

#: A row of the table of a session's states: what may come, by the type byte, and what it leads to. An action that is
#: None is that of a message without a body.
Row: TypeAlias = "dict[int, tuple[Action | None, Row | Next]]"


class Session(Protocol):
    """What a kernel knows of a session (`engine.session`): what is in a `SessionState`, and what it can be asked."""

    condition: Condition
    #: Bytes are being read; codecs of the user's may run.
    processing: bool
    #: Received bytes: a `BufferState`.
    buffer: Any
    #: Bytes to be written.
    outbox: bytes
    #: What may come next.
    row: Row
    #: Where nothing is in flight.
    idle_row: Row
    #: Where an operation with a BEGIN in front of it comes to the head: its step is -1 until that is answered.
    begin_row: Row
    #: Operations in flight (an `OperationState` each), and their size in bytes.
    sent: deque[Any]
    sent_bytes: int
    #: Operations that wait.
    unsent: deque[Any]
    #: Something that has to go out in front of the next operation, or says why there may be none.
    deferred: object
    #: The operation that has brought a BEGIN along, until it is settled.
    beginning: object
    #: A CancelRequest was sent, and its connection's end not seen yet.
    cancel_under_way: bool
    #: How many operations somebody waits for, and how many in flight nobody does.
    active: int
    abandoned: int
    #: Of the last ReadyForQuery.
    transaction_status: TransactionStatus
    #: Operations that are settled, or with news for their owner.
    woken: list[Any]

    def submit_by_rules(self, operation: Any) -> None:
        """Queue an operation that is not ordinary, or not alone; or refuse it."""
        ...

    def bring_along(self, operation: Any) -> None:
        """Put in front of an operation what is deferred; or refuse it."""
        ...

    def write_waiting(self) -> None:
        """Write what waits, as far as the rules allow."""
        ...

    def reading_failed(self, error: BaseException) -> None:
        """Reading has ended with this error; raises it if it is none that the server may cause."""
        ...

    def check_length(self, tag: int, length: int, row: Row) -> None:
        """Raise ProtocolError: a message with this header may not come; if it may, it is worth waiting for."""
        ...

    def refuse(self, tag: int, length: int, row: Row) -> NoReturn:
        """Raise ProtocolError: no such message may come, or none that has a body."""
        ...

    def unwanted_rows(self, data: bytearray, position: int, end: int) -> int:
        """Take a run of rows that are not decoded; returns where it ends."""
        ...

    def row_refused(self, operation: Any, error: Exception, data: bytearray, position: int, after: int) -> None:
        """In a run of messages from `position` the row of `operation` that ends at `after` cannot be decoded."""
        ...

    def statements_discarded(self) -> None:
        """CommandComplete has told that the server knows no prepared statements any more."""
        ...

    def answered(self) -> Row:
        """The operation at the head has no step left: it is settled. Returns the row of the next one."""
        ...

    def end(self) -> None:
        """ReadyForQuery of the operation at the head has come: it is settled."""
        ...

    def after_copy(self) -> Row:
        """Returns the row that follows a COPY."""
        ...


class Kernel(Protocol):
    """The module-level names of a kernel."""

    NAME: str
    CONTRACT_VERSION: int
    Record: type[Any]
    UUID: type[Any]
    #: What operations, sessions, buffers of received bytes and givers of rows keep that the kernel has to know:
    #: `pure.state`.
    OperationState: type[Any]
    SessionState: type[Any]
    BufferState: type[Any]
    ResourceState: type[Any]
    RowsState: type[Any]

    def row_plan(self, names: tuple[str, ...], codecs: tuple[ValueCodec, ...], record_class: type[Any]) -> RowPlan: ...

    def parameter_plan(self, codecs: tuple[ValueCodec, ...]) -> ParameterPlan: ...

    def decode_rows(
        self, plan: RowPlan, buffer: Buffer, start: int, end: int, rows: list[Any], max_rows: int
    ) -> tuple[int, Exception | None]:
        """Decode the run of complete DataRow messages that begins at `start`, appending to `rows`.

        Args:
            plan: one codec per column, in RowDescription order.
            buffer: received bytes; read only, no view of it is kept. Of a memoryview the bytes count, not its format.
            start, end: the part to read, 0 <= start <= end <= len(buffer); `start` is at a tag byte.
            rows: the decoded rows are appended here.
            max_rows: stop after this many rows; at least 1.
        Returns:
            The offset of the first byte not consumed (an incomplete message, another tag, or the row after the last),
            and None; or, if a value was refused, the offset just after that row and the error. The rows before it are
            appended, that row is not. The error is
                InvalidValueError, 'cannot decode column N (<name>) of type <type>: <reason>', for a ValueError of the
                library's codecs, which is its cause;
                else what the codec raised, as it is, with a note (`add_note`) that names the column and its type: what
                a user's codec raised, also inside of a container, UnknownTypeError and OutdatedTypeError.
        Raises:
            ProtocolError: a length or a column count contradicts the plan, or the message's own length.
            BufferError: the bytes of a memoryview do not lie one after the other.
        Source: manual, "Message Formats", DataRow.
        """
        ...

    def encode_bind(
        self, plan: ParameterPlan, names: bytes, arguments: Arguments, result_formats: bytes, trailer: bytes
    ) -> bytes:
        """A Bind message for these arguments, followed by `trailer`.

        Args:
            names: portal name and statement name, each with its terminating zero byte.
            arguments: as many as the plan has codecs; the caller has counted them. None is NULL.
            result_formats: the encoded end of Bind: Int16 count, then that many Int16 format codes.
            trailer: complete messages that follow (Execute and Sync, for example), or b"".
        Raises:
            DataError: 'invalid input for query argument $N: <repr, cut at 40 characters> (<reason>)', with the codec's
                error as its cause. Nothing was produced.
            InterfaceError: raised by a codec, re-raised with 'query argument $N: ' in front of its text; or the message
                would be longer than an Int32 can say.
            AssertionError, InternalClientError: raised by a codec, as they are.
        Source: manual, "Message Formats", Bind.
        """
        ...

    def encode_many(
        self,
        plan: ParameterPlan,
        names: bytes,
        elements: Iterator[object],
        result_formats: bytes,
        trailer: bytes,
        max_bytes: int,
        index: int,
    ) -> tuple[bytes, int, bool]:
        """Bind messages, each followed by `trailer`, for as many elements as fill `max_bytes`.

        Args:
            elements: each a sequence of arguments (str, bytes and mappings are not).
            max_bytes: stop when at least this many bytes have been produced.
            index: number of the first element, for error texts (the first of all is 0).
        Returns:
            The bytes, how many elements they hold, and whether `elements` is exhausted.
        Raises:
            DataError: 'invalid input in executemany() argument sequence element #N: ...' or 'invalid input for query
                argument $K in element #N of executemany() sequence: ...'. The elements before are lost to the caller.
            InterfaceError: an element has not as many arguments as the plan has codecs; and as `encode_bind`.
            Anything that the iterator raises, as it is.
        """
        ...

    def encode_copy(
        self, plan: ParameterPlan, elements: Iterator[object], max_bytes: int, index: int
    ) -> tuple[bytes, int, bool]:
        """Tuples of binary COPY data (no header, trailer or CopyData frames) for as many elements as fill `max_bytes`.

        Returns and raises as `encode_many`, with 'copy_records_to_table()' texts: DataError names row and column. An
        element of another size than the plan is a DataError, too.
        Source: manual, "COPY", Binary Format, Tuples.
        """
        ...

    def decode_copy(
        self, plan: RowPlan, buffer: Buffer, start: int, end: int, rows: list[Any], max_rows: int
    ) -> tuple[int, Exception | None]:
        """Decode the complete tuples of binary COPY data from `start`, appending to `rows`.

        Stops at an incomplete tuple, after `max_rows`, or before the trailer (an Int16 of -1), whose offset is then
        returned. Errors as for `decode_rows`.
        """
        ...

    def join_copy_data(self, data: bytes | bytearray, start: int, end: int) -> tuple[int, bytes]:
        """The bodies of the run of complete CopyData messages that begins at `start`, as one.

        Args:
            data: received bytes; read only, no view of it is kept.
            start, end: the part to read, 0 <= start <= end <= len(data); `start` is at a tag byte.
        Returns:
            The offset of the first byte not consumed (an incomplete message, another tag, or a length that no message
            has), and the bodies.
        Source: manual, "Message Formats", CopyData.
        """
        ...

    def take_messages(self, session: Session, data: bytearray, start: int, end: int) -> tuple[int, int]:
        """Take all complete messages that begin at `start`, by the table that `session.row` is a row of.

        What the table names of `pure.messages` a kernel may do itself. Actions may change the session, but `row` only
        where it follows (`Next.END`); and nobody resizes `data`.

        Args:
            session: a `SessionState`; see `Session`.
            data: received bytes; read only, no view of it is kept.
            start, end: the part to read, 0 <= start <= end <= len(data); `start` is at a tag byte.
        Returns:
            The offset of the first byte not consumed, and the size in bytes of the incomplete message there; 0 if its
            header is not complete.
        Raises:
            ProtocolError: as `Session` says, from an action, or from decode_rows. The session is of no use any more.
            Whatever else an action raises.
        Source: manual, "Message Flow".
        """
        ...


def column_indexes(names: tuple[str, ...]) -> Mapping[str, int]:
    """Column name -> position; of columns with one name the last wins, as in asyncpg."""
    return {name: position for position, name in enumerate(names)}


def argument_count_error(expected: int, passed: int) -> InterfaceError:
    """The error for a list of arguments that has not as many as the statement has parameters."""
    hint = "Check the query against the passed list of arguments."
    if expected == 0:
        hint += (
            "  Note that parameters are supported only in SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES statements, "
            "and will *not* work in statements  like CREATE VIEW or DECLARE CURSOR."
        )
    return InterfaceError(
        f"the server expects {expected} argument{'' if expected == 1 else 's'} for this query, "
        f"{passed} {'was' if passed == 1 else 'were'} passed",
        hint=hint,
    )
