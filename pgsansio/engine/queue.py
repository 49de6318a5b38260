"""Operations: which are in flight, which wait unsent, and what becomes of them.

How this works. `submit` queues an operation; it is written as soon as the rules allow (`write_waiting`), and stands in
`sent` until its ReadyForQuery. What answers it is `session`'s.

The rules for writing:
* at most `WINDOW_OPERATIONS` operations or `WINDOW_BYTES` beyond what is answered;
* nothing behind a barrier or an exclusive operation until it is answered;
* nothing while an abandoned operation is in flight, or a CancelRequest under way (it would hit whatever runs).
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from pgsansio.engine.operations import (
    BARRIER,
    BEGINS,
    DISCARDS_ROWS,
    ENDS,
    EXCLUSIVE,
    FOLLOWS,
    GROUPED,
    INTERNAL,
    SYNC,
    TELLS,
    Batch,
    Copy,
    CopyDirection,
    Operation,
    RowStream,
)
from pgsansio.engine.routes import BEGIN, IDLE, ROWS, STEPS, in_simple_protocol
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Outcome, TransactionStatus
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InterfaceError,
    InvalidValueError,
    PostgresError,
    ProtocolError,
)
from pgsansio.kernel import SessionState
from pgsansio.kernel.contract import WINDOW_BYTES, Condition
from pgsansio.kernel.pure.messages import first_row
from pgsansio.messages.copy import CopyDone, CopyFail
from pgsansio.messages.frontend import Bind, Execute, Parse, Sync
from pgsansio.policy.cancellation import Owed, owed_for
from pgsansio.wire.framing import frame

__all__ = ["COPY_HIGH_WATER_BYTES", "WINDOW_BYTES", "WINDOW_OPERATIONS", "Condition", "Queue", "outcome_of"]

#: Design: what is written beyond this, or WINDOW_BYTES, waits unsent, where it can still be dropped without a trace.
WINDOW_OPERATIONS: Final = 32
#: COPY data that nobody has taken: above this the transport should stop reading.
COPY_HIGH_WATER_BYTES: Final = 1 << 20

_SYNC: Final = Sync().encode()
_ROLLBACK: Final = Parse("", "ROLLBACK").encode() + Bind("", "").encode() + Execute("").encode()
_COPY_DONE: Final = CopyDone().encode()
_READY: Final = STEPS(Awaiting.READY)

# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_OPEN: Final = Condition.OPEN
_CLOSED: Final = Condition.CLOSED
_PENDING: Final = Outcome.PENDING
_COMPLETED: Final = Outcome.COMPLETED
_NO_TRANSACTION: Final = TransactionStatus.IDLE


def _loss(cause: BaseException | None, *, safe_to_retry: bool) -> BaseException:
    """What an operation is told that the connection's end left unanswered."""
    if isinstance(cause, ProtocolError):
        error: ProtocolError | ConnectionDoesNotExistError = ProtocolError(str(cause))
        error.__cause__ = cause.__cause__
    else:
        text = "connection was closed in the middle of operation"
        error = ConnectionDoesNotExistError(f"{text}: {cause}" if isinstance(cause, PostgresError) else text)
        error.__cause__ = cause
    error.connection_usable = False
    error.safe_to_retry = safe_to_retry
    return error


def outcome_of(operation: Operation) -> Outcome:
    """Of an operation with an error, at its ReadyForQuery."""
    return Outcome.SKIPPED if operation.step < 0 else Outcome.FAILED


class Queue(SessionState):
    """The operations of one session, and its end towards whoever asks for them.

    Attributes:
        transaction_status: of the last ReadyForQuery.
        woken: operations settled, or with news for their owner, since somebody took this list.
        condition, failure: whether the session is usable, and what ended it.
        news: events wait, the connection has ended, or a cancellation is due.
        pipelining: False lets only one operation at a time in, as asyncpg does.
        shared_transaction: concurrent operations are allowed in the present transaction.
        outbox: bytes to be written.
    """

    failure: BaseException | None = None
    #: How many of those in `unsent` were dropped; the first one never is.
    _dropped = 0
    #: Settled when the server has hung up after it was told goodbye.
    _farewell: Operation | None = None

    def __init__(self) -> None:
        self.transaction_status = _NO_TRANSACTION
        self.woken: list[Operation] = []
        self.condition = _OPEN
        self.news = False
        self.pipelining = True
        self.shared_transaction = False
        # (Adding to empty bytes copies nothing, and the window bounds what piles up.)
        self.outbox = b""
        self.sent: deque[Operation] = deque()
        self.sent_bytes = 0
        self.unsent: deque[Operation] = deque()
        #: Operations that somebody waits for.
        self.active = 0
        #: How many that are not settled begin a transaction.
        self._begins = 0
        #: How many are a rollback that nobody waits for, of a transaction that was left by a cancellation.
        self._ends = 0
        #: Why nothing may be written at present: a barrier or an exclusive operation in flight.
        self._barrier: Operation | None = None
        #: The messages of a BEGIN that waits for the first operation of its transaction, without Sync; or why the
        #: server has refused it.
        self.deferred: bytes | BaseException | None = None
        #: The one that was last, for it may have to wait again; and whether anybody minds if it is refused.
        self._begin = b""
        self._minds_begin = False
        #: The operation that has brought it along, until it is settled; of a group the last one.
        self.beginning: Operation | None = None
        self.abandoned = 0
        #: A CancelRequest was sent, and its connection's end not seen yet.
        self.cancel_under_way = False
        #: What may come next, and what it leads to.
        self.row = self.idle_row = IDLE
        self.begin_row = BEGIN
        #: Bytes are being read; codecs of the user's may run.
        self.processing = False

    # what the user's side asks

    @property
    def is_open(self) -> bool:
        return self.condition is _OPEN

    @property
    def in_transaction(self) -> bool:
        """In a transaction block for whoever submits now: by the last ReadyForQuery and what is queued."""
        if not self._ends:
            begins = self.beginning is not None or type(self.deferred) is bytes or self._begins > 0
            return begins or self.transaction_status is not _NO_TRANSACTION
        # A rollback is on its way: what begins a transaction behind it counts, and nothing in front of it.
        if self.begin_is_due:
            return True
        for operation in (*reversed(self.unsent), *reversed(self.sent)):
            if operation is self.beginning:
                return True
            if operation.outcome is _PENDING and operation.traits & (BEGINS | ENDS):
                return not operation.traits & ENDS
        return False

    @property
    def predicted_status(self) -> TransactionStatus:
        """`transaction_status` as it will be when a rollback that is owed has been carried out."""
        return _NO_TRANSACTION if self._ends else self.transaction_status

    @property
    def idle(self) -> bool:
        """Nothing is in flight and nothing waits."""
        return not self.sent and not self.unsent

    @property
    def busy(self) -> bool:
        """Somebody waits for more than one operation."""
        return self.active > 1

    @property
    def exclusive(self) -> Batch | Copy | RowStream | None:
        """The operation whose group is open while user code runs."""
        barrier = self._barrier
        return barrier if isinstance(barrier, Batch | Copy | RowStream) and barrier.traits & EXCLUSIVE else None

    @property
    def in_flight(self) -> tuple[Operation, ...]:
        return tuple(self.sent)

    @property
    def cancel_due(self) -> bool:
        """Only abandoned operations are in flight, and no CancelRequest is under way."""
        return (
            self.abandoned > 0
            and self.abandoned == len(self.sent)
            and not self.cancel_under_way
            and self.condition is _OPEN
        )

    @property
    def draining(self) -> bool:
        """Something abandoned, or its cancellation, is under way: what is submitted now waits unsent."""
        return self.abandoned > 0 or self.cancel_under_way

    def submit_by_rules(self, operation: Operation) -> None:
        """What `submit` does."""
        if self.condition is not _OPEN or self.processing:
            raise self._unusable()
        if self.deferred is not None:
            self.bring_along(operation)
        elif self.active and not operation.traits & (INTERNAL | FOLLOWS) and not self.may_join:
            raise self._in_progress()
        self._note(operation, operation.traits)
        if self.unsent or not self._may_write(operation):
            self._queue(operation)
        else:
            self._write(operation)

    def _unusable(self) -> InterfaceError:
        if self.condition is not _OPEN:
            return self.closed_error()
        return InterfaceError("cannot perform operation: a type codec may not use the connection that it decodes for")

    def _in_progress(self) -> InterfaceError:
        return InterfaceError(
            "cannot perform operation: another operation is in progress",
            hint="In a transaction a connection serves one task at a time; use a connection for each task, "
            "or transaction(shared=True)."
            if self.pipelining
            else None,
        )

    # a BEGIN that goes with the first statement of its transaction

    def defer_begin(self, data: bytes) -> None:
        """From now on in a transaction, whose BEGIN is written in front of the next operation, in its Sync group.

        If the server refuses BEGIN, that operation ends with the same error, and no other is taken until `drop_begin`.

        Args:
            data: BEGIN in the extended protocol, without Sync.
        Raises:
            InterfaceError: as `submit`.
        """
        if self.condition is not _OPEN or self.processing:
            raise self._unusable()
        if self.active and not self.may_join:
            raise self._in_progress()
        self.deferred = self._begin = data

    @property
    def begin_is_due(self) -> bool:
        """Whether a BEGIN waits for the first operation of its transaction."""
        return type(self.deferred) is bytes

    @property
    def begin_error(self) -> BaseException | None:
        """Why the server has refused a BEGIN that was deferred."""
        return self.deferred if isinstance(self.deferred, BaseException) else None

    def begin_now(self) -> Operation:
        """Write the BEGIN that is due in a group of its own, for what cannot share one.

        Raises:
            InterfaceError: the server has refused it; or as `submit`.
        """
        operation = Operation(_SYNC, _READY, SYNC | BARRIER | DISCARDS_ROWS)
        self.submit(operation)
        return operation

    def drop_begin(self) -> None:
        """The transaction has ended, or is about to: nothing waits for its BEGIN, and nobody minds its error."""
        self.deferred = None
        self._minds_begin = False

    def bring_along(self, operation: Operation, last: Operation | None = None) -> None:
        """Put the BEGIN that is due in front of an operation that is about to be queued; `last` is that of its group.

        Operations that are in progress were there before the transaction, so they are in nobody's way.
        """
        data = self.deferred
        if not isinstance(data, bytes):
            error = InterfaceError(
                "cannot perform operation: the transaction could not begin", hint="Leave the transaction block first."
            )
            raise error from data
        if self.active and not self.pipelining:
            raise self._in_progress()
        if last is None:
            last = operation
        if in_simple_protocol(last.steps):
            raise InterfaceError("a BEGIN is due, which cannot share a group with the simple protocol: begin_now()")
        self.deferred = None
        # Only the ReadyForQuery behind it tells of the transaction.
        self.beginning = last
        self._minds_begin = True
        operation.step = -1
        operation.data = data + operation.data
        operation.size_bytes += len(data)

    @property
    def may_join(self) -> bool:
        """Whether an operation may be submitted while another one is in progress."""
        return self.pipelining and (self.shared_transaction or not self.in_transaction)

    def _queue(self, operation: Operation) -> None:
        """It has to wait unsent."""
        unsent = self.unsent
        if unsent and not unsent[-1].traits & (SYNC | EXCLUSIVE):
            operation.traits |= GROUPED
        unsent.append(operation)

    def _note(self, operation: Operation, traits: int) -> None:
        if not traits & INTERNAL:
            self.active += 1
        if traits & BEGINS:
            self._begins += 1
        elif traits & ENDS:
            self._ends += 1

    def submit_group(self, operations: Sequence[Operation]) -> None:
        """Queue operations that share one Sync group; only the last has SYNC. They are written together.

        Each is settled when it was answered. Outside of a transaction block the server undoes all of them when one
        fails. An unsent one that is abandoned goes out with the others all the same, unless all of them are abandoned.

        Raises:
            InterfaceError: as `submit`, before any of them is queued.
        """
        first, *others = operations
        if self.deferred is not None and self.condition is _OPEN and not self.processing:
            self.bring_along(first, operations[-1])
            first.traits |= FOLLOWS  # BEGIN was let in, so it is
        self.submit(first)
        for operation in others:
            self._note(operation, operation.traits)
            self._queue(operation)
        self.write_waiting()

    def extend(self, operation: Batch, data: bytes, count: int) -> None:
        """Write more of an open batch: `count` executions."""
        if operation.outcome is _PENDING and not operation.refused:
            operation.submitted += count
            if operation.written:
                self.outbox += data
            else:
                operation.data += data

    def more_rows(self, operation: RowStream, data: bytes) -> None:
        """Ask a stream whose rows are at their limit for more: `data` is Execute and Flush."""
        waits = not (operation.is_asked or operation.is_complete or operation.finished)
        if waits and operation.outcome is _PENDING:
            operation.is_asked = True
            operation.suspended = False
            # It is at the head: its last answer was that the limit is reached.
            self.row = ROWS[Awaiting.STREAM_ROWS]
            self.outbox += data

    def finish(self, operation: Batch | RowStream, trailer: bytes = b"") -> None:
        """End an open batch or stream with `trailer` and Sync; its ReadyForQuery settles it."""
        if operation.outcome is not _PENDING or operation.finished:
            return
        operation.finished = True
        operation.traits |= SYNC
        if operation.written:
            self.outbox += trailer + _SYNC
        else:
            operation.data += trailer + _SYNC

    def give_up(self, operation: Batch) -> None:
        """End an open batch early: outside a transaction block nothing of it is kept, inside one what was sent so
        far."""
        # Not `in_transaction`: a BEGIN that waits behind it says nothing about this batch.
        if self.predicted_status is not _NO_TRANSACTION:
            self.finish(operation)
        elif not operation.finished and not operation.refused:
            # Without a block, Sync would commit what has run; ROLLBACK aborts the group's implicit transaction.
            operation.submitted += 1
            self.finish(operation, _ROLLBACK)
        else:
            self.finish(operation)

    def copy_data(self, operation: Copy, data: bytes) -> None:
        """Send CopyData, if the COPY still runs."""
        if operation.outcome is _PENDING and operation.error is None and not operation.sent_end:
            self.outbox += frame(b"d", data)

    def copy_done(self, operation: Copy) -> None:
        """End a COPY IN (or our half of a COPY BOTH) with success."""
        if operation.outcome is _PENDING and operation.error is None and not operation.sent_end:
            operation.sent_end = True
            self.outbox += _COPY_DONE

    def copy_fail(self, operation: Copy, reason: str) -> None:
        """End a COPY IN with failure; the server answers with an error that holds `reason`.

        Raises:
            InterfaceError: `reason` is longer than 9995 bytes, or holds a zero byte.
        """
        if operation.outcome is _PENDING and operation.error is None and not operation.sent_end:
            self.outbox += CopyFail(reason).encode()
            operation.sent_end = True

    def take_chunk(self, operation: Copy) -> bytes:
        """The oldest of its chunks."""
        chunk = operation.chunks.popleft()
        operation.pending_bytes -= len(chunk)
        return chunk

    def take_data(self, operation: Copy) -> bytes:
        """All that was not taken, as one; b"" if there is nothing."""
        chunks = operation.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        operation.pending_bytes = 0
        return data

    def _drop_alone(self, operation: Operation) -> None:
        """It keeps its place, for to look for it would take the longer the more operations wait."""
        operation.data = b""
        self._settle(operation, Outcome.CANCELLED)
        self._dropped += 1
        unsent = self.unsent
        if self._dropped > len(unsent) // 2:
            waiting = [other for other in unsent if other.outcome is _PENDING]
            unsent.clear()
            unsent.extend(waiting)
            self._dropped = 0
        self.write_waiting()

    @property
    def reading_paused(self) -> bool:
        """Somebody has to take COPY data before more is read."""
        head = self.sent[0] if self.sent else None
        return isinstance(head, Copy) and head.pending_bytes > COPY_HIGH_WATER_BYTES and not head.abandoned

    def abandon(self, operation: Operation) -> Owed:
        """Nobody waits for this operation any more; what has to be done about it."""
        if operation.abandoned or operation.outcome is not _PENDING:
            return Owed.NOTHING
        owed = owed_for(
            settled=False,
            written=operation.written,
            in_flight_abandoned=(other.abandoned or other is operation for other in self.sent),
            cancel_under_way=self.cancel_under_way,
        )
        if not operation.traits & INTERNAL:
            self.active -= 1
        operation.abandoned = True
        operation.traits |= DISCARDS_ROWS
        if owed is Owed.DROP:
            is_group = operation.traits & GROUPED or operation is self.beginning
            if operation.traits & (SYNC | EXCLUSIVE) and not is_group:
                self._drop_alone(operation)
                return owed
            group = self._group_of(operation)
            if all(member.abandoned for member in group):
                if group[-1] is self.beginning and self._minds_begin:
                    # The transaction goes on: BEGIN waits for another operation.
                    self.deferred = self._begin
                for member in group:
                    self.unsent.remove(member)
                    self._settle(member, Outcome.CANCELLED)
                self.write_waiting()
            return owed
        self.abandoned += 1
        operation.rows = []
        if isinstance(operation, Batch):
            self.give_up(operation)
        elif isinstance(operation, RowStream):
            if owed is Owed.CANCEL and (operation.is_ahead or not operation.is_asked):
                # The server is waiting for us; or it comes to an end soon, and what it has done is kept.
                owed = Owed.DRAIN
            self.finish(operation)
        elif isinstance(operation, Copy):
            operation.chunks.clear()
            operation.pending_bytes = 0
            if operation.direction in (CopyDirection.IN, CopyDirection.BOTH):
                self.copy_fail(operation, "the client has given up the COPY")
        return owed

    def cancel_began(self) -> None:
        """A CancelRequest is about to be sent: nothing is written until its connection is seen closed."""
        self.cancel_under_way = True

    def cancel_ended(self) -> None:
        """The server closed the connection that carried the CancelRequest, so it has been handed on."""
        self.cancel_under_way = False
        self.write_waiting()

    def close(self, data: bytes) -> None:
        """Ask for the end with these last bytes (Terminate); what is not settled ends as lost."""
        if self.condition is _OPEN:
            self.condition = _CLOSED
            self.outbox += data
            self._settle_all(None)

    def say_goodbye(self, data: bytes) -> Operation:
        """As `close`, but the transport stays until the server has hung up, as it does when its session has ended.

        Returns:
            What is settled then.
        """
        farewell = Operation(b"", (), INTERNAL)
        if self.condition is _OPEN:
            self._farewell = farewell
            self.close(data)
        else:
            self._settle(farewell, Outcome.COMPLETED)
        return farewell

    def closed_error(self) -> InterfaceError:
        error = InterfaceError("connection is closed")
        if self.failure is not None:
            error.__cause__ = self.failure
        return error

    # inside

    def _group_of(self, operation: Operation) -> list[Operation]:
        """What has to be written together with this unsent operation, itself included."""
        unsent = list(self.unsent)
        first = last = unsent.index(operation)
        while first and not unsent[first - 1].traits & (SYNC | EXCLUSIVE):
            first -= 1
        while not unsent[last].traits & (SYNC | EXCLUSIVE):
            last += 1
        return unsent[first : last + 1]

    def _may_write(self, operation: Operation) -> bool:
        in_flight = self.sent
        if not in_flight:
            return not self.cancel_under_way
        if not in_flight[-1].traits & (SYNC | EXCLUSIVE):
            return True  # the rest of a group: without its Sync nothing would ever be answered
        return (
            self._barrier is None
            and not self.abandoned
            and not self.cancel_under_way
            and len(in_flight) < WINDOW_OPERATIONS
            and self.sent_bytes + operation.size_bytes <= WINDOW_BYTES
        )

    def _write(self, operation: Operation) -> None:
        in_flight = self.sent
        if not in_flight:
            self.row = first_row(self, operation)
        in_flight.append(operation)
        self.sent_bytes += operation.size_bytes
        operation.written = True
        if operation.traits & (BARRIER | EXCLUSIVE):
            self._barrier = operation
            if operation.traits & EXCLUSIVE:
                self._wake(operation)
        self.outbox += operation.data
        operation.data = b""

    def write_waiting(self) -> None:
        unsent = self.unsent
        while unsent:
            operation = unsent[0]
            if operation.outcome is not _PENDING:
                unsent.popleft()
                self._dropped -= 1
                continue
            if self.condition is not _OPEN or not self._may_write(operation):
                break
            unsent.popleft()
            if operation.abandoned:  # one of a group
                self.abandoned += 1
            self._write(operation)

    def _pop(self) -> None:
        """The head leaves the queue; the next operation's first answer is due."""
        in_flight = self.sent
        operation = in_flight.popleft()
        self.sent_bytes -= operation.size_bytes
        if operation is self._barrier:
            self._barrier = None
        if operation.abandoned:
            self.abandoned -= 1
        if self.abandoned and self.cancel_due:
            self.news = True
        self.row = first_row(self, in_flight[0]) if in_flight else IDLE

    def _settle(self, operation: Operation, outcome: Outcome) -> None:
        operation.outcome = outcome
        if not operation.abandoned and not operation.traits & INTERNAL:
            self.active -= 1
        if operation.traits & BEGINS:
            self._begins -= 1
        elif operation.traits & (ENDS | TELLS):
            if operation.traits & ENDS:
                self._ends -= 1
            else:
                self.news = True
        if operation is self.beginning:
            self.beginning = None
        self.woken.append(operation)

    def _wake(self, operation: Operation) -> None:
        operation.attention = True
        self.woken.append(operation)

    def _settle_all(self, cause: BaseException | None) -> None:
        """The connection is gone: every operation ends, and knows whether the server may have seen it."""
        self.news = True
        for operation in self.sent:
            # A value that was refused here is no word of the server's.
            answered = isinstance(operation.error, PostgresError) and not isinstance(operation.error, InvalidValueError)
            if not answered:
                operation.error = _loss(cause, safe_to_retry=False)
            operation.rows = []
            self._settle(operation, outcome_of(operation) if answered else Outcome.UNKNOWN)
        for operation in self.unsent:
            if operation.outcome is _PENDING:
                operation.error = _loss(cause, safe_to_retry=True)
                self._settle(operation, Outcome.CANCELLED)
        self.drop_begin()
        self.sent.clear()
        self.unsent.clear()
        self._dropped = 0
        self.sent_bytes = 0
        self.abandoned = 0
        self._barrier = None
        self.row = IDLE
