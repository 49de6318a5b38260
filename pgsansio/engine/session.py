"""Phase 3: the messages that answer the operations in flight.

How this works. `bytes_received` cuts the received bytes into messages and looks each up in the row of the table for the
state in which the session is; a state is the answer that the operation at the head of the queue awaits. The table is
`states.SESSION`, compiled once to plain dictionaries, so that the steady state costs a lookup per message. The loop is
the kernel's, in `kernel.pure.messages` and in C, and so is what it does with the frequent messages; what is done with
all others is here.
"""

import struct
from collections import deque
from functools import lru_cache
from typing import Final, NoReturn, TypeGuard

from pgsansio.engine.events import (
    BackendErrorReceived,
    Event,
    NoticeReceived,
    ParameterChanged,
    StatementsDiscarded,
)
from pgsansio.engine.operations import (
    DISCARDS_ROWS,
    EXCLUSIVE,
    SYNC,
    Batch,
    Copy,
    CopyDirection,
    FunctionCallOperation,
    Operation,
    RowsKept,
    RowStream,
)
from pgsansio.engine.queue import COPY_HIGH_WATER_BYTES, Condition, Queue, outcome_of
from pgsansio.engine.reports import keep_parameter
from pgsansio.engine.routes import ROWS, STEPS, in_simple_protocol
from pgsansio.engine.states import ANY_TIME, SESSION, Awaiting
from pgsansio.enums import Outcome
from pgsansio.errors import InterfaceError, PostgresError, ProtocolError, error_from_fields, notice_from_fields
from pgsansio.kernel import join_copy_data
from pgsansio.kernel.contract import OutdatedTypeError, Row, UnknownTypeError
from pgsansio.kernel.pure import messages
from pgsansio.messages.backend import (
    ErrorResponse,
    FieldDescription,
    FunctionCallResponse,
    NoticeResponse,
    ParameterDescription,
    ParameterStatus,
    RowDescription,
    notification,
)
from pgsansio.messages.copy import CopyBothResponse, CopyFail, CopyInResponse, CopyOutResponse
from pgsansio.messages.frontend import Sync
from pgsansio.messages.tags import BACKEND_LIMITS
from pgsansio.types import Notification
from pgsansio.wire.framing import HEADER_BYTES, ReceiveBuffer, last_frame

__all__ = ["Session", "is_refused_before"]

#: Events that nobody has taken: above this what comes is dropped. A transport that asks for them after each feed never
#: has so many; one that never asks must not fill the memory.
MAX_EVENTS_BYTES: Final = 256 << 20
#: About what an event takes beside its texts.
_EVENT_BYTES: Final = 256
#: Longer ones are not worth the memory that keeping them takes.
_SHORT_DESCRIPTION_BYTES: Final = 4096

_header: Final = struct.Struct("!BI").unpack_from
_FATAL: Final = ("FATAL", "PANIC")
#: The step of an operation that the server skipped, for a BEGIN in front of it, too.
_SKIPPED: Final = -1
_DATA_ROW: Final = ord("D")
_COPY_DATA: Final = ord("d")
_SYNC: Final = Sync().encode()

# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_OPEN: Final = Condition.OPEN
_LOST: Final = Condition.LOST
_BROKEN: Final = Condition.BROKEN
_COMPLETED: Final = Outcome.COMPLETED


def _fields(body: bytes) -> tuple[FieldDescription, ...]:
    return RowDescription.decode(body).fields


#: A statement that is parsed each time is described each time, mostly as it was before.
_known_fields: Final = lru_cache(maxsize=256)(_fields)


def is_refused_before(operation: Operation) -> bool:
    """Whether an operation with an error of the server's was refused before anything of it was executed."""
    return operation.step >= 0 and any(operation.steps[operation.step] is row for row in _BEFORE_EXECUTION)


def _takes_data(operation: Operation) -> TypeGuard[Copy]:
    """Whether somebody wants the CopyData that this operation is sent."""
    wanted = operation.error is None and not operation.abandoned
    return wanted and isinstance(operation, Copy) and not operation.sent_end


class _Farewell(Exception):
    """A FATAL or PANIC error: the server is closing the connection, and says nothing more."""

    def __init__(self, error: PostgresError) -> None:
        self.error = error


class Session(Queue):
    """The client's end of one connection after start-up: bytes in, operations settled, bytes out.

    Attributes:
        parameters: what the server reported by ParameterStatus.
        events: rare events since somebody took them; `events_dropped` of them were more than are kept.
    """

    events_dropped = 0
    #: What `events` take, counted since it was empty.
    _events_bytes = 0

    def __init__(self, buffer: ReceiveBuffer) -> None:
        super().__init__()
        self.buffer = buffer
        self.parameters: dict[str, str] = {}
        self.events: deque[Event] = deque()

    # what the transport's side tells and asks (`Engine`)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Feed these bytes, as `get_buffer` and `bytes_received` would."""
        view = memoryview(data)
        while view:
            size = self.buffer.feed(view)
            view = view[size:]
            self.bytes_received(0)

    def receive_eof(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, cause: BaseException | None) -> None:
        self.lost(cause)

    @property
    def ended(self) -> bool:
        return self.condition is not _OPEN and (self._farewell is None or self._farewell.settled)

    def lost(self, cause: BaseException | None = None) -> None:
        """The connection ended: end of stream, or an error of the transport."""
        condition = self.condition
        if condition is _LOST or condition is _BROKEN:
            return
        self.condition = _LOST
        self.buffer.clear()
        self.news = True
        if condition is _OPEN:  # else all is settled
            self.failure = cause
            self._settle_all(cause)
        if self._farewell is not None:
            self._settle(self._farewell, _COMPLETED)

    # what the kernel asks (`kernel.contract.Session`)

    def reading_failed(self, error: BaseException) -> None:
        if isinstance(error, _Farewell):
            self.lost(error.error)
        elif isinstance(error, ProtocolError):
            self._break(error)
        elif isinstance(error, Exception):
            # A bug of ours or of something we call; what it left half done cannot be trusted.
            wrapped = ProtocolError(f"internal error while reading the server's answer: {error!r}")
            wrapped.__cause__ = error
            self._break(wrapped)
        else:
            self._break(error)
            raise error

    def check_length(self, tag: int, length: int, row: Row) -> None:
        if tag not in row:
            self.refuse(tag, length, row)
        if not 4 <= length <= BACKEND_LIMITS[tag] + 4:
            raise ProtocolError(f"{_TAG_NAMES[tag]} claims a length of {length} bytes, which no such message can have")

    def refuse(self, tag: int, length: int, row: Row) -> NoReturn:
        if tag in row:
            raise ProtocolError(f"{_TAG_NAMES[tag]} of {length - 4} bytes, expected none")
        known = _TAG_NAMES.get(tag)
        what = known if known is not None else f"a message of unknown type {chr(tag)!r}"
        raise ProtocolError(f"unexpected {what} while the answer due was: {_NAMES[id(row)]}")

    def unwanted_rows(self, data: bytearray, position: int, end: int) -> int:
        """Skip a run of rows that nobody asked for, or behind one that failed."""
        operation = self.sent[0]
        start = position
        if operation.row_plan is None and operation.error is None and not operation.traits & DISCARDS_ROWS:
            raise ProtocolError("DataRow before RowDescription")
        while end - position >= HEADER_BYTES:
            tag, length = _header(data, position)
            after = position + 1 + length
            if tag != _DATA_ROW or after > end:
                break
            if length < 6:
                raise ProtocolError("DataRow without a column count")
            position = after
        if type(operation.error) is RowsKept and not operation.abandoned:
            operation.error.data += data[start:position]
        return position

    def row_refused(self, operation: Operation, error: Exception, data: bytearray, position: int, after: int) -> None:
        """The operation fails, or waits until its types are known."""
        if not isinstance(error, UnknownTypeError | OutdatedTypeError):
            operation.error = error
            operation.rows = []
            return
        operation.error = RowsKept(error, data[last_frame(data, position, after) : after])

    def statements_discarded(self) -> None:
        if not (self.events and isinstance(self.events[-1], StatementsDiscarded)):
            self._tell(StatementsDiscarded())  # never dropped, and one is as good as many

    def answered(self) -> Row:
        """A member of a group has been answered; the ReadyForQuery is for the last one."""
        self.end()
        return self.row

    def end(self) -> None:
        operation = self.sent[0]
        self._pop()
        self._settle(operation, _COMPLETED if operation.error is None else outcome_of(operation))

    def after_copy(self) -> Row:
        operation = self.sent[0]
        if in_simple_protocol(operation.steps):
            return ROWS[Awaiting.SIMPLE_QUERY]
        if isinstance(operation, Batch):
            operation.completed += 1
            return ROWS[Awaiting.BATCH_BIND]
        if isinstance(operation, RowStream):
            self._stream_answered(is_complete=True)
        step = operation.step = operation.step + 1
        return operation.steps[step] if step < len(operation.steps) else self.answered()

    # actions: each is given the body as data[start:after]. Those of `kernel` are what a kernel knows and may do itself.

    _rows = messages.take_rows
    _portal_suspended = messages.portal_suspended
    _command_complete = messages.command_complete
    _statement_complete = messages.statement_complete
    _batch_complete = messages.batch_complete
    _batch_empty = messages.batch_empty
    _ready = messages.ready
    _passed_over = messages.passed_over

    def _parsed(self, data: bytearray, start: int, after: int) -> None:
        if after != start:
            raise ProtocolError("ParseComplete with a body")
        self.sent[0].parsed()

    def _parameter_description(self, data: bytearray, start: int, after: int) -> None:
        self.sent[0].parameters_described(ParameterDescription.decode(bytes(data[start:after])).type_oids)

    def _row_description(self, data: bytearray, start: int, after: int) -> None:
        body = bytes(data[start:after])
        decode = _known_fields if len(body) <= _SHORT_DESCRIPTION_BYTES else _fields
        self.sent[0].described(decode(body))

    def _no_data(self, data: bytearray, start: int, after: int) -> None:
        if after != start:
            raise ProtocolError("NoData with a body")
        self.sent[0].described(())

    def _stream_paused(self, data: bytearray, start: int, after: int) -> None:
        self._portal_suspended(data, start, after)
        self._stream_answered(is_complete=False)

    def _stream_complete(self, data: bytearray, start: int, after: int) -> None:
        self._command_complete(data, start, after)
        self._stream_answered(is_complete=True)

    def _stream_empty(self, data: bytearray, start: int, after: int) -> None:
        if after != start:
            raise ProtocolError("EmptyQueryResponse with a body")
        self._stream_answered(is_complete=True)

    def _stream_answered(self, *, is_complete: bool) -> None:
        operation = self.sent[0]
        assert isinstance(operation, RowStream)  # the table leads only streams here
        operation.is_asked = False
        operation.is_complete = is_complete
        self._wake(operation)

    def _batch_ready(self, data: bytearray, start: int, after: int) -> None:
        operation = self.sent[0]
        assert isinstance(operation, Batch)
        if not operation.finished or operation.completed != operation.submitted:
            raise ProtocolError(
                f"ReadyForQuery after {operation.completed} of {operation.submitted} executions"
                + ("" if operation.finished else ", before Sync")
            )
        self._ready(data, start, after)

    def _error(self, data: bytearray, start: int, after: int) -> None:
        error = error_from_fields(ErrorResponse.decode(bytes(data[start:after])).fields)
        if error.severity_en in _FATAL or error.severity in _FATAL:
            raise _Farewell(error)
        in_flight = self.sent
        operation = in_flight[0]
        begins = operation.step < 0
        if operation.error is None or type(operation.error) is RowsKept:
            operation.error = error
        # The server skips to the next Sync, so what has none of its own is answered by nothing.
        while not operation.traits & (SYNC | EXCLUSIVE):
            self._pop()
            self._settle(operation, outcome_of(operation))
            operation = in_flight[0]
            operation.error = error
            operation.step = _SKIPPED
        if begins and operation is self.beginning and self._minds_begin:
            # Whatever comes next in the block would be outside of a transaction.
            self.deferred = error
        if isinstance(operation, Copy | Batch):
            if isinstance(operation, Batch):
                operation.refused = True
            self._wake(operation)
        elif isinstance(operation, RowStream):
            self.finish(operation)

    def _further_error(self, data: bytearray, start: int, after: int) -> None:
        """Of several errors the first one counts, except that the last may be the server's farewell."""
        error = error_from_fields(ErrorResponse.decode(bytes(data[start:after])).fields)
        if error.severity_en in _FATAL or error.severity in _FATAL:
            raise _Farewell(error)

    def _idle_error(self, data: bytearray, start: int, after: int) -> None:
        error = error_from_fields(ErrorResponse.decode(bytes(data[start:after])).fields)
        self._tell(BackendErrorReceived(error), after - start)
        if error.severity_en in _FATAL or error.severity in _FATAL:
            raise _Farewell(error)

    def _notice(self, data: bytearray, start: int, after: int) -> None:
        notice = notice_from_fields(NoticeResponse.decode(bytes(data[start:after])).fields)
        self._tell(NoticeReceived(notice), after - start)

    def _notification(self, data: bytearray, start: int, after: int) -> None:
        self._tell(Notification(*notification(bytes(data[start:after]))), after - start)

    def _parameter_status(self, data: bytearray, start: int, after: int) -> None:
        message = ParameterStatus.decode(bytes(data[start:after]))
        # Rows that came before this message may already be in another encoding: there is no way back.
        keep_parameter(self.parameters, message)
        self._tell(ParameterChanged(message.name, message.value), after - start)

    def _function_result(self, data: bytearray, start: int, after: int) -> None:
        operation = self.sent[0]
        assert isinstance(operation, FunctionCallOperation)
        operation.result = FunctionCallResponse.decode(bytes(data[start:after])).value

    # COPY

    def _copy_in(self, data: bytearray, start: int, after: int) -> None:
        message = CopyInResponse.decode(bytes(data[start:after]))
        self._copy_began(CopyDirection.IN, message)

    def _copy_out(self, data: bytearray, start: int, after: int) -> None:
        message = CopyOutResponse.decode(bytes(data[start:after]))
        self._copy_began(CopyDirection.OUT, message)

    def _copy_both(self, data: bytearray, start: int, after: int) -> None:
        message = CopyBothResponse.decode(bytes(data[start:after]))
        self._copy_began(CopyDirection.BOTH, message)

    def _copy_began(
        self, direction: CopyDirection, message: CopyInResponse | CopyOutResponse | CopyBothResponse
    ) -> None:
        operation = self.sent[0]
        if isinstance(operation, Copy) and operation.direction is None:
            operation.direction = direction
            operation.format = message.format
            operation.column_formats = message.column_formats
            if not operation.abandoned:
                self._wake(operation)
                return
        # Nobody gives or takes its data: a COPY in a query, a second one in a script, or one that was abandoned.
        if operation.error is None and not operation.abandoned:
            operation.error = InterfaceError(
                f"COPY {'TO STDOUT' if direction is CopyDirection.OUT else 'FROM STDIN'} in a query",
                hint="Use copy_from_query() or copy_from_table() for it."
                if direction is CopyDirection.OUT
                else "Use copy_to_table() or copy_records_to_table() for it.",
            )
        if isinstance(operation, Copy):
            operation.sent_end = True
        if direction is not CopyDirection.OUT:
            # In the extended protocol the Sync behind Execute, if it was sent, was swallowed by the copy-in mode.
            swallowed = operation.traits & SYNC and not in_simple_protocol(operation.steps)
            self.outbox += CopyFail("COPY FROM STDIN needs data").encode() + (_SYNC if swallowed else b"")

    def _copy_in_complete(self, data: bytearray, start: int, after: int) -> None:
        operation = self.sent[0]
        if not isinstance(operation, Copy) or operation.error is not None:
            # It would go on for ever: each COPY that is begun anew is refused by another CopyFail.
            raise ProtocolError("CommandComplete of a COPY FROM STDIN after CopyFail")
        if not operation.sent_end:
            raise ProtocolError("CommandComplete of a COPY FROM STDIN before CopyDone")
        self._command_complete(data, start, after)

    def _copy_out_data(self, data: bytearray, position: int, end: int) -> int:
        """Take a run of complete CopyData messages: where one ends means nothing."""
        after, joined = join_copy_data(data, position, end)
        operation = self.sent[0]
        if joined and _takes_data(operation):
            operation.chunks.append(joined)
            self._copied(operation, len(joined))
        return after

    def _copy_both_data(self, data: bytearray, position: int, end: int) -> int:
        """Take a run of complete CopyData messages, each of which is one of the replication protocol."""
        operation = self.sent[0]
        size_bytes = 0
        while end - position >= HEADER_BYTES:
            tag, length = _header(data, position)
            after = position + 1 + length
            if tag != _COPY_DATA or after > end or length < 4:
                break
            # An empty one says nothing, and any number of them would fit below the high water mark.
            if length > 4 and _takes_data(operation):
                operation.chunks.append(bytes(data[position + HEADER_BYTES : after]))
                size_bytes += length - 4
            position = after
        if size_bytes:
            assert isinstance(operation, Copy)
            self._copied(operation, size_bytes)
        return position

    def _copied(self, operation: Copy, size_bytes: int) -> None:
        """So much has come, for whoever takes it."""
        operation.pending_bytes += size_bytes
        if not operation.attention:
            self._wake(operation)
        if operation.pending_bytes > COPY_HIGH_WATER_BYTES:
            self.news = True

    def _copy_done(self, data: bytearray, start: int, after: int) -> None:
        if after != start:
            raise ProtocolError("CopyDone with a body")
        operation = self.sent[0]
        if isinstance(operation, Copy):
            operation.ended = True
            if operation.direction is CopyDirection.BOTH:
                self.copy_done(operation)
            self._wake(operation)

    def _tell(self, event: Event, size_bytes: int = 0) -> None:
        """Keep an event made from a body of this size; of 0 for one that may not be dropped."""
        if not self.events:
            self._events_bytes = 0
        self._events_bytes += size_bytes + _EVENT_BYTES
        self.news = True
        if size_bytes and self._events_bytes > MAX_EVENTS_BYTES:
            self._events_bytes -= size_bytes + _EVENT_BYTES
            self.events_dropped += 1
        else:
            self.events.append(event)

    def _break(self, error: BaseException) -> None:
        self.condition = _BROKEN
        self.failure = error
        self.buffer.clear()
        self._settle_all(error)


# The tables as the loop wants them: plain dictionaries from tag to (function, row that follows).


def _fill_rows() -> None:
    for state, entries in SESSION.items():
        for message, transition in {**ANY_TIME, **entries}.items():
            action = getattr(Session, f"_{transition.action}") if transition.action is not None else None
            following = transition.following
            ROWS[state][message.TAG[0]] = (action, ROWS[following] if isinstance(following, Awaiting) else following)


_fill_rows()
_NAMES: Final = {id(row): state.value for state, row in ROWS.items()}
_TAG_NAMES: Final = {
    message.TAG[0]: message.__name__ for entries in [*SESSION.values(), ANY_TIME] for message in entries
}


_BEFORE_EXECUTION: Final = STEPS(
    Awaiting.PARSE_COMPLETE, Awaiting.PARAMETER_DESCRIPTION, Awaiting.ROW_DESCRIPTION, Awaiting.BIND_COMPLETE
)
