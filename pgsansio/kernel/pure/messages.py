"""Messages that answer operations: the loop that takes them, and what is done with the frequent ones.

The functions before `first_row` are actions of the table: a compiled kernel recognizes them in it, and does itself
what they do; except for what is rare, for which it calls them.
"""

import struct
from typing import Any, Final

from pgsansio.enums import Outcome, TransactionStatus
from pgsansio.errors import ProtocolError
from pgsansio.kernel.contract import DISCARDS_ROWS, INTERNAL, RUN_LENGTH, SCRIPT, SHORT_LENGTH, SYNC, Next, Row, Session
from pgsansio.kernel.pure.rows import decode_rows

__all__ = [
    "batch_complete",
    "batch_empty",
    "command_complete",
    "first_row",
    "is_ordinary",
    "join_copy_data",
    "passed_over",
    "portal_suspended",
    "ready",
    "statement_complete",
    "take_messages",
    "take_rows",
]

_ALL_ROWS: Final = (1 << 63) - 1
_HEADER_BYTES: Final = 5
_header: Final = struct.Struct("!BI").unpack_from
_STATUSES: Final = {ord(status.value): status for status in TransactionStatus}
_FIRST_OF_DISCARDS: Final = ord("D")
_COPY_DATA: Final = ord("d")
_COMPLETED: Final = Outcome.COMPLETED

#: What changes nothing about how an operation is submitted and settled, but for who counts it.
_ORDINARY: Final = ~(DISCARDS_ROWS | INTERNAL | SCRIPT)

_STEP: Final = Next.STEP
_SAME: Final = Next.SAME
_RUN: Final = Next.RUN
_END: Final = Next.END
_AFTER_COPY: Final = Next.AFTER_COPY


def take_rows(session: Session, data: bytearray, position: int, end: int) -> int:
    """DataRow."""
    operation = session.sent[0]
    plan = operation.row_plan
    if plan is None or operation.error is not None or operation.traits & DISCARDS_ROWS:
        return session.unwanted_rows(data, position, end)
    after, error = decode_rows(plan, data, position, end, operation.rows, _ALL_ROWS)
    if error is not None:
        session.row_refused(operation, error, data, position, after)
    return after


def passed_over(session: Session, data: bytearray, start: int, after: int) -> None:
    """What is in it matters to nobody."""


def portal_suspended(session: Session, data: bytearray, start: int, after: int) -> None:
    if after != start:
        raise ProtocolError("PortalSuspended with a body")
    session.sent[0].suspended = True


def command_complete(session: Session, data: bytearray, start: int, after: int) -> None:
    end = after - 1
    if data.find(0, start, after) != end:
        raise ProtocolError("CommandComplete: the command tag is not one terminated string")
    session.sent[0].tag = tag = data[start:end]
    if data[start] == _FIRST_OF_DISCARDS and tag.startswith((b"DISCARD ALL", b"DEALLOCATE")):
        session.statements_discarded()


def statement_complete(session: Session, data: bytearray, start: int, after: int) -> None:
    """CommandComplete in the simple protocol."""
    command_complete(session, data, start, after)
    operation = session.sent[0]
    if operation.traits & SCRIPT:
        operation.statement_completed()


def batch_complete(session: Session, data: bytearray, start: int, after: int) -> None:
    """CommandComplete of one of the executions of a batch."""
    command_complete(session, data, start, after)
    session.sent[0].completed += 1


def batch_empty(session: Session, data: bytearray, start: int, after: int) -> None:
    """EmptyQueryResponse in its place."""
    if after != start:
        raise ProtocolError("EmptyQueryResponse with a body")
    session.sent[0].completed += 1


def ready(session: Session, data: bytearray, start: int, after: int) -> None:
    status = _STATUSES.get(data[start]) if after - start == 1 else None
    if status is None:
        raise ProtocolError(f"ReadyForQuery with the status {bytes(data[start:after])!r}")
    sent = session.sent
    operation = sent[0]
    traits = operation.traits
    if not is_ordinary(traits) or operation.abandoned or session.abandoned or operation.error is not None:
        if not traits & SYNC:
            raise ProtocolError("ReadyForQuery before Sync")
        session.transaction_status = status
        session.end()
        return
    session.transaction_status = status
    # What that does of an ordinary operation.
    sent.popleft()
    session.sent_bytes -= operation.size_bytes
    session.row = first_row(session, sent[0]) if sent else session.idle_row
    if not traits & INTERNAL:
        session.active -= 1
    if operation is session.beginning:
        session.beginning = None
    operation.outcome = _COMPLETED
    session.woken.append(operation)


def join_copy_data(data: bytes | bytearray, start: int, end: int) -> tuple[int, bytes]:
    """See `pgsansio.kernel.contract`."""
    view = memoryview(data)
    bodies: list[memoryview] = []
    while end - start >= _HEADER_BYTES:
        tag, length = _header(view, start)
        after = start + 1 + length
        if tag != _COPY_DATA or after > end or length < 4:
            break
        bodies.append(view[start + _HEADER_BYTES : after])
        start = after
    return start, b"".join(bodies)


def is_ordinary(traits: int) -> bool:
    """Whether nothing more than usual has to be done when an operation is submitted or settled."""
    return traits & _ORDINARY == SYNC


def first_row(session: Session, operation: Any) -> Row:
    """What comes first for an operation that is at the head."""
    row: Row = operation.steps[0] if operation.step == 0 else session.begin_row
    return row


def take_messages(session: Session, data: bytearray, start: int, end: int) -> tuple[int, int]:
    """See `pgsansio.kernel.contract`."""
    row = session.row
    sent = session.sent
    expected = 0
    while end - start >= _HEADER_BYTES:
        tag, length = _header(data, start)
        after = start + 1 + length
        if after > end or not 4 <= length <= SHORT_LENGTH:
            known = row.get(tag)
            if known is None or known[1] is not _RUN or not 4 <= length <= RUN_LENGTH:
                session.check_length(tag, length, row)
            if after > end:
                expected = length + 1
                break
        entry = row.get(tag)
        if entry is None:
            session.refuse(tag, length, row)
        action, following = entry
        if following is _RUN:
            start = action(session, data, start, end)  # type: ignore[misc] # a run has one
            continue
        if action is None:
            if length != 4:
                session.refuse(tag, length, row)
            start = after
        else:
            action(session, data, start + _HEADER_BYTES, after)
            start = after
        if following is _STEP:
            operation = sent[0]
            step = operation.step = operation.step + 1
            try:
                row = operation.steps[step]
            except IndexError:
                row = session.answered()
        elif following is _END:
            row = session.row
        elif following is _AFTER_COPY:
            row = session.after_copy()
        elif following is not _SAME:
            row = following
    session.row = row
    return start, expected
