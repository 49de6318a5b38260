"""The session in bytes: what real servers do, and what none may do."""

from typing import Any

import pytest
from hypothesis import given, settings

from pgsansio.engine.driven import CancelExchange
from pgsansio.engine.events import (
    BackendErrorReceived,
    NoticeReceived,
    ParameterChanged,
    StatementsDiscarded,
)
from pgsansio.engine.operations import BARRIER, BEGINS, ENDS, INTERNAL, SYNC, CopyDirection, Operation, SimpleQuery
from pgsansio.engine.queue import COPY_HIGH_WATER_BYTES, WINDOW_BYTES, WINDOW_OPERATIONS, Condition
from pgsansio.engine.reports import MAX_PARAMETERS
from pgsansio.engine.routes import STEPS
from pgsansio.engine.session import Session
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Format, Outcome, TransactionStatus
from pgsansio.errors import (
    AdminShutdownError,
    ConnectionDoesNotExistError,
    DivisionByZeroError,
    InterfaceError,
    PostgresError,
    ProtocolError,
)
from pgsansio.kernel.contract import RowPlan
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    EmptyQueryResponse,
    ErrorResponse,
    FunctionCallResponse,
    NoData,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    RowDescription,
)
from pgsansio.messages.copy import (
    CopyBothResponse,
    CopyData,
    CopyDone,
    CopyFail,
    CopyInResponse,
    CopyOutResponse,
)
from pgsansio.messages.frontend import FunctionCall, Query, Sync, Terminate
from pgsansio.messages.message import Message
from pgsansio.policy.cancellation import Owed
from pgsansio.testing.faults import cut
from pgsansio.testing.script import converse, error, expect, notice, pair, ready, row, selected, send
from pgsansio.types import Notification
from tests.support.any_chunking import cuts
from tests.support.sessions import (
    FIELDS,
    batch,
    copy,
    execution,
    feed,
    function_call,
    new_session,
    plan_calling,
    preparation,
    reset,
    simple_query,
)

SYNC_BYTES = Sync().encode()
FATAL = error("57P01", "terminating connection due to administrator command", "FATAL")
SENT_IN_A_QUERY = CopyFail("COPY FROM STDIN needs data").encode()


def submitted(*operations: Operation) -> Session:
    session = new_session()
    for operation in operations:
        session.submit(operation)
    session.data_to_send()
    return session


def broken(session: Session, match: str) -> None:
    assert session.condition is Condition.BROKEN
    assert isinstance(session.failure, ProtocolError)
    assert match in str(session.failure)
    assert "internal error" not in str(session.failure)


def in_transaction() -> Session:
    begin = simple_query(b"BEGIN", SYNC | BEGINS | BARRIER)
    session = submitted(begin)
    feed(session, selected("BEGIN"), ready("T"))
    assert session.in_transaction
    session.completed()
    return session


# extended query


def test_rows() -> None:
    operation = execution()
    session = submitted(operation)
    feed(session, BindComplete(), row(b"x"), row(None), selected("SELECT 2"), ready())
    assert operation.outcome is Outcome.COMPLETED
    assert [tuple(one) for one in operation.rows] == [("x",), (None,)]
    assert operation.status == "SELECT 2"
    assert session.completed() == [operation]
    assert session.completed() == []
    assert session.idle


def test_the_row_limit_equals_the_number_of_rows() -> None:
    """PortalSuspended all the same; the next Execute returns SELECT 0: a tag counts the rows of its Execute only."""
    first, second = execution(), execution()
    session = submitted(first, second)
    feed(
        session,
        BindComplete(),
        row(b"x"),
        PortalSuspended(),
        ready("T"),
        BindComplete(),
        selected("SELECT 0"),
        ready("T"),
    )
    assert first.suspended
    assert first.status is None
    assert (second.suspended, second.status, second.rows) == (False, "SELECT 0", [])


def test_an_empty_query() -> None:
    prepare, execute, simple = preparation(), execution(), simple_query()
    session = submitted(prepare, execute, simple)
    feed(session, ParseComplete(), ParameterDescription(()), NoData(), ready())
    feed(session, BindComplete(), EmptyQueryResponse(), ready(), EmptyQueryResponse(), ready())
    assert prepare.fields == ()
    assert prepare.is_parsed
    for operation in (execute, simple):
        assert (operation.outcome, operation.tag, operation.rows) == (Outcome.COMPLETED, None, [])


def test_rows_without_columns_and_values_without_bytes() -> None:
    operation = simple_query()
    session = submitted(operation)
    feed(session, RowDescription(()), row(), row(), selected("SELECT 2"), RowDescription(FIELDS), row(b""), ready())
    assert [tuple(one) for one in operation.rows] == [(), (), ("",)]


def test_a_description() -> None:
    operation = preparation(closing=("old", "older"))
    session = submitted(operation)
    feed(session, CloseComplete(), CloseComplete(), ParseComplete(), ParameterDescription((23, 25)))
    feed(session, RowDescription(FIELDS), ready())
    assert operation.parameter_oids == (23, 25)
    assert operation.fields == FIELDS


@pytest.mark.parametrize(
    ("operation", "messages"),
    [
        (execution(), [b"2\0\0\0\x05x"]),
        (execution(), [BindComplete(), b"C\0\0\0\x04"]),
        (execution(), [BindComplete(), b"C\0\0\0\x05x"]),
        (execution(), [BindComplete(), b"C\0\0\0\x06\0\0"]),
        (execution(), [BindComplete(), b"s\0\0\0\x05x"]),
        (execution(), [BindComplete(), selected(), b"Z\0\0\0\x04"]),
        (execution(), [BindComplete(), selected(), b"Z\0\0\0\x05X"]),
        (execution(), [BindComplete(), selected(), b"Z\0\0\0\x06II"]),
        (execution(), [BindComplete(), row(b"x", b"y")]),
        (execution(), [BindComplete(), b"D\0\0\0\x04"]),
        (simple_query(rows=False), [b"D\0\0\0\x05x"]),
        (preparation(), [b"1\0\0\0\x05x"]),
        (preparation(), [ParseComplete(), ParameterDescription(()), b"n\0\0\0\x05x"]),
        (batch(count=1), [BindComplete(), b"C\0\0\0\x04"]),
        (batch(count=1), [BindComplete(), b"I\0\0\0\x05x"]),
        (copy(), [CopyOutResponse(Format.TEXT), b"c\0\0\0\x05x"]),
    ],
)
def test_bodies_that_none_of_these_have(operation: Operation, messages: list[Message | bytes]) -> None:
    session = submitted(operation)
    feed(session, *messages)
    assert session.condition is Condition.BROKEN
    assert isinstance(session.failure, ProtocolError)
    assert session.failure.__cause__ is None


def test_rows_that_nobody_wants() -> None:
    operation = simple_query(rows=False)
    session = submitted(operation)
    feed(session, RowDescription(FIELDS), row(b"x"), row(b"y"), selected("SELECT 2"), ready())
    assert (operation.rows, operation.row_plan, operation.status) == ([], None, "SELECT 2")


def test_the_results_of_a_reset_are_passed_over() -> None:
    operation = reset()
    session = submitted(operation)
    assert not session.busy
    assert session.active == 0
    feed(session, RowDescription(FIELDS), row(b"x"), selected(), EmptyQueryResponse(), selected("RESET"))
    assert not operation.settled
    feed(session, ready())
    assert operation.outcome is Outcome.COMPLETED
    assert (operation.rows, operation.row_plan, session.active) == ([], None, 0)
    assert session.completed() == [operation]


def test_a_reset_that_fails() -> None:
    operation = reset()
    session = submitted(operation)
    feed(session, RowDescription(FIELDS), error(), ready())
    assert operation.outcome is Outcome.FAILED
    assert isinstance(operation.error, DivisionByZeroError)
    assert session.idle


def test_a_reset_with_a_copy_in_it() -> None:
    """Nobody has data for it, and what follows is a reset still."""
    operation = reset()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT), CopyData(b"x"), CopyDone(), selected("COPY 1"), row(b"x"), selected())
    feed(session, ready())
    assert operation.settled
    assert session.is_open
    assert session.idle


def test_a_reset_right_behind_a_query() -> None:
    session = new_session()
    first, behind = execution(b"1"), reset(b"2")
    session.submit(first)
    assert session.submit_behind(behind, first)
    assert session.data_to_send() == b"12"
    assert session.in_flight == (first, behind)
    assert (session.active, behind.written, behind.data) == (1, True, b"")
    feed(session, BindComplete(), selected(), ready())
    assert first.settled
    assert not behind.settled
    feed(session, selected("RESET"), ready())
    assert behind.settled
    assert session.idle
    assert session.sent_bytes == 0


@pytest.mark.parametrize("case", ["another one before it", "a transaction", "too much", "unsent"])
def test_a_reset_does_not_go_behind_something_else(case: str) -> None:
    session = new_session()
    first, behind = execution(b"1"), reset(b"2")
    match case:
        case "another one before it":
            session.submit(execution(b"0"))
        case "a transaction":
            first = simple_query(b"1", SYNC | BEGINS | BARRIER)
        case "too much":
            behind = reset(b"2" * (WINDOW_BYTES + 1))
        case _:
            session.submit(simple_query(b"0", SYNC | BARRIER))
    session.submit(first)
    before = session.in_flight
    assert not session.submit_behind(behind, first)
    assert not behind.written
    assert session.in_flight == before


def test_repr_says_what_became_of_it() -> None:
    operation = execution()
    session = submitted(operation)
    assert repr(operation).startswith("<Operation pending 0x")
    session.abandon(operation)
    assert repr(operation).startswith("<Operation pending abandoned 0x")


def test_rows_that_were_not_described() -> None:
    operation = simple_query()
    session = submitted(operation)
    feed(session, row(b"x"))
    broken(session, "DataRow before RowDescription")
    assert operation.outcome is Outcome.UNKNOWN


def test_a_limit_holds_however_the_bytes_arrive() -> None:
    """A command tag of 40 kB is refused whole as it is refused in pieces."""
    tag = selected("x" * 40_000).encode()
    for sizes in ([50_000], [1000]):
        session = submitted(simple_query())
        for piece in cut(tag, sizes):
            session.receive_data(piece)
        broken(session, "claims a length")


@pytest.mark.parametrize("length", [0, 3, 30001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_is_looked_at_before_its_body_is_waited_for(length: int) -> None:
    session = submitted(simple_query())
    session.receive_data(b"C" + length.to_bytes(4, "big"))
    broken(session, "claims a length")


def test_a_row_may_be_long_and_costs_what_has_arrived() -> None:
    session = submitted(simple_query())
    feed(session, RowDescription(FIELDS), b"D" + (1 << 29).to_bytes(4, "big") + b"\0\1")
    assert session.is_open
    session.get_buffer()
    assert len(session.buffer.data) <= 65536


# errors


def test_an_error_skips_to_its_sync_and_no_further() -> None:
    first, second = execution(), execution()
    session = submitted(first, second)
    feed(session, error(), ready(), BindComplete(), row(b"x"), selected(), ready())
    assert first.outcome is Outcome.FAILED
    assert isinstance(first.error, DivisionByZeroError)
    assert second.outcome is Outcome.COMPLETED


def test_a_group_is_skipped_behind_its_error() -> None:
    group = [execution(b"a", 0), execution(b"b", 0), execution(b"c", 0), execution(b"d", SYNC)]
    behind = execution(b"e")
    session = new_session()
    session.submit_group(group)
    session.submit(behind)
    assert session.data_to_send() == b"abcde"
    feed(session, BindComplete(), selected(), error(), ready("I"), BindComplete(), selected(), ready())
    assert [one.outcome for one in group] == [Outcome.COMPLETED, Outcome.FAILED, Outcome.SKIPPED, Outcome.SKIPPED]
    assert group[1].error is group[3].error
    assert behind.outcome is Outcome.COMPLETED
    assert session.completed() == [*group, behind]


def test_the_last_of_a_group_may_be_the_one_that_fails() -> None:
    group = [execution(b"a", 0), execution(b"b", SYNC)]
    session = new_session()
    session.submit_group(group)
    feed(session, BindComplete(), selected(), BindComplete(), error(), ready("I"))
    assert [one.outcome for one in group] == [Outcome.COMPLETED, Outcome.FAILED]


def test_a_group_of_copies_and_bad_values() -> None:
    """What fails on this side only does not end the group."""
    group = [execution(b"a", 0), execution(b"b", 0), execution(b"c", SYNC)]
    session = new_session()
    session.submit_group(group)
    feed(session, BindComplete(), row(b"\xff"), selected())
    feed(session, BindComplete(), CopyOutResponse(Format.TEXT), CopyData(b"x"), CopyDone(), selected("COPY 1"))
    feed(session, BindComplete(), selected(), ready())
    assert [one.outcome for one in group] == [Outcome.FAILED, Outcome.FAILED, Outcome.COMPLETED]
    assert isinstance(group[1].error, InterfaceError)


def test_a_group_is_written_at_once_or_not_at_all() -> None:
    barrier = simple_query(b"X", SYNC | BARRIER)
    group = [execution(b"a", 0), execution(b"b", INTERNAL), execution(b"c", SYNC)]
    session = submitted(barrier)
    session.submit_group(group)
    assert session.data_to_send() == b""
    assert session.abandon(group[0]) is Owed.DROP
    assert session.abandon(group[2]) is Owed.DROP
    assert not group[0].settled, "its Sync and its BEGIN are the others' too"
    feed(session, selected(), ready())
    assert session.data_to_send() == b"abc"
    assert session.draining
    feed(
        session, BindComplete(), row(b"x"), selected(), BindComplete(), selected(), BindComplete(), selected(), ready()
    )
    assert [one.outcome for one in group] == [Outcome.COMPLETED] * 3
    assert group[0].rows == []
    assert not session.draining


def test_a_group_that_nobody_waits_for_is_dropped_as_a_whole() -> None:
    before, after = execution(b"1"), execution(b"2")
    group = [execution(b"a", 0), execution(b"b", SYNC)]
    session = submitted(simple_query(b"X", SYNC | BARRIER))
    session.submit(before)
    session.submit_group(group)
    session.submit(after)
    for operation in group:
        session.abandon(operation)
    assert [one.outcome for one in group] == [Outcome.CANCELLED] * 2
    feed(session, selected(), ready())
    assert session.data_to_send() == b"12"


def test_a_late_error_of_a_commit() -> None:
    """A deferred constraint is reported by Sync itself, after CommandComplete."""
    operation = execution()
    session = submitted(operation)
    feed(session, BindComplete(), selected("INSERT 0 1"), error("23505", "duplicate"), ready())
    assert operation.outcome is Outcome.FAILED


def test_an_error_without_fields_that_matter() -> None:
    operation = execution()
    session = submitted(operation)
    feed(session, ErrorResponse({"?": "unknown"}), ready())
    assert isinstance(operation.error, PostgresError)
    assert operation.error.sqlstate is None
    session = submitted(execution())
    feed(session, b"E\0\0\0\x0bM\xff\xfeno\0\0", ready())
    assert session.is_open


def test_the_first_of_two_errors_counts() -> None:
    for operation in (execution(), simple_query()):
        session = submitted(operation)
        feed(session, error("22012"), error("25P02", "recovery"), ready("E"))
        assert isinstance(operation.error, DivisionByZeroError)
        assert session.transaction_status is TransactionStatus.FAILED


def test_a_value_that_cannot_be_decoded_costs_its_operation_only() -> None:
    first, second = execution(), execution()
    session = submitted(first, second)
    feed(session, BindComplete(), row(b"good"), row(b"\xff"), row(b"good"), selected("SELECT 3"), ready())
    feed(session, BindComplete(), row(b"x"), selected(), ready())
    assert first.outcome is Outcome.FAILED
    assert first.rows == []
    assert isinstance(first.error, Exception)
    assert second.outcome is Outcome.COMPLETED


# the end


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (execution(), []),
        (execution(), [BindComplete(), row(b"x")]),
        (execution(), [BindComplete(), row(b"\xff")]),
        (execution(), [BindComplete(), selected()]),
        (execution(), [error()]),
        (simple_query(), [error()]),
        (preparation(), [ParseComplete()]),
        (batch(), [BindComplete()]),
        (copy(), [CopyInResponse(Format.TEXT)]),
        (copy(), [CopyOutResponse(Format.TEXT), CopyData(b"x")]),
        (copy(), [CopyBothResponse(Format.TEXT)]),
        (function_call(), []),
    ],
)
@pytest.mark.parametrize("farewell", [True, False], ids=["FATAL", "EOF"])
def test_the_connection_ends_in_any_state(operation: Operation, said: list[Message], farewell: bool) -> None:
    operation = _again(operation)
    behind, unsent = execution(), execution()
    session = new_session()
    session.submit(operation)
    session.submit(behind)
    if behind.written:
        for _ in range(WINDOW_OPERATIONS):
            session.submit(execution())
    session.submit(unsent)
    feed(session, *said)
    if farewell:
        feed(session, FATAL, b"surplus")
    session.receive_eof()
    assert session.condition is Condition.LOST
    assert session.ended
    assert session.news
    if any(isinstance(one, ErrorResponse) for one in said):
        assert operation.outcome is Outcome.FAILED
        assert isinstance(operation.error, DivisionByZeroError)
    else:
        _lost(operation, Outcome.UNKNOWN, farewell)
    _lost(behind, Outcome.UNKNOWN if behind.written else Outcome.CANCELLED, farewell)
    _lost(unsent, Outcome.CANCELLED, farewell)
    with pytest.raises(InterfaceError, match="connection is closed") as caught:
        session.submit(execution())
    assert isinstance(caught.value.__cause__, AdminShutdownError) is farewell


def _again(operation: Operation) -> Operation:
    """A fresh one like this: parameters of tests live longer than one test."""
    makers: dict[str, Any] = {
        "Operation": execution,
        "SimpleQuery": simple_query,
        "Preparation": preparation,
        "Batch": batch,
        "Copy": copy,
        "FunctionCallOperation": function_call,
    }
    fresh: Operation = makers[type(operation).__name__]()
    return fresh


def _lost(operation: Operation, outcome: Outcome, farewell: bool) -> None:
    assert operation.outcome is outcome
    failure = operation.error
    assert isinstance(failure, ConnectionDoesNotExistError)
    assert failure.safe_to_retry is (outcome is Outcome.CANCELLED)
    assert failure.connection_usable is False
    assert isinstance(failure.__cause__, AdminShutdownError) is farewell
    assert operation.rows == []


def test_members_of_a_failed_group_stay_skipped_when_the_connection_ends() -> None:
    group = [execution(b"a", 0), execution(b"b", SYNC)]
    session = new_session()
    session.submit_group(group)
    feed(session, error())
    session.receive_eof()
    assert [one.outcome for one in group] == [Outcome.FAILED, Outcome.SKIPPED]


def test_an_error_while_nothing_is_asked() -> None:
    session = new_session()
    feed(session, error("57P05", "a warning of the pooler"))
    (event,) = session.events
    assert isinstance(event, BackendErrorReceived)
    assert session.is_open
    feed(session, FATAL)
    assert session.condition is Condition.LOST
    assert isinstance(session.failure, AdminShutdownError)


def test_a_transport_that_fails() -> None:
    session = submitted(execution())
    cause = OSError("reset")
    session.connection_lost(cause)
    assert session.failure is cause
    assert isinstance(session.closed_error().__cause__, OSError)


def test_goodbye() -> None:
    operation = execution()
    frontend, server = pair(expect(Query("x")), expect(Terminate()))
    query = frontend.simple_query("x")
    frontend.submit(operation)
    frontend.terminate()
    frontend.terminate()
    assert query.outcome is Outcome.UNKNOWN
    assert isinstance(query.error, ConnectionDoesNotExistError)
    assert frontend.condition is Condition.CLOSED
    frontend.receive_data(ready().encode())
    assert server.backend.phase is not None
    frontend.receive_eof()
    assert frontend.condition is Condition.LOST
    assert frontend.failure is None


def test_an_interrupt_breaks_the_session_and_is_raised() -> None:
    def interrupted(data: bytes) -> object:
        raise KeyboardInterrupt

    operation = execution(plan=plan_calling(interrupted))
    session = submitted(operation)
    with pytest.raises(KeyboardInterrupt):
        feed(session, BindComplete(), row(b"x"))
    assert session.condition is Condition.BROKEN
    assert isinstance(operation.error, ConnectionDoesNotExistError)


def test_a_defect_of_ours_breaks_the_session_and_is_told() -> None:
    def defective(fields: object) -> RowPlan:
        raise ZeroDivisionError

    operation = SimpleQuery(b"Q", STEPS(Awaiting.SIMPLE_QUERY), SYNC, defective)
    session = submitted(operation)
    feed(session, RowDescription(FIELDS))
    assert session.condition is Condition.BROKEN
    assert isinstance(operation.error, ProtocolError)
    assert isinstance(operation.error.__cause__, ZeroDivisionError)


# what comes unasked


def test_unasked_messages_come_at_any_time() -> None:
    operation = execution()
    session = submitted(operation)
    unasked = [notice("n"), NotificationResponse(7, "c", "p"), ParameterStatus("TimeZone", "UTC")]
    answers: list[Message] = [BindComplete(), row(b"x"), selected(), ready()]
    for answer in answers:
        feed(session, *unasked, answer)
    feed(session, *unasked)
    assert operation.outcome is Outcome.COMPLETED
    assert len(session.events) == 15
    first, second, third = list(session.events)[:3]
    assert isinstance(first, NoticeReceived)
    assert second == Notification(7, "c", "p")
    assert third == ParameterChanged("TimeZone", "UTC")
    assert session.parameters == {"TimeZone": "UTC"}
    assert session.news


@pytest.mark.parametrize("value", ["LATIN1", "SQL_ASCII", "EUC_JP", ""])
def test_another_encoding_breaks_the_session(value: str) -> None:
    operation = simple_query()
    session = submitted(operation)
    feed(session, ParameterStatus("client_encoding", value))
    broken(session, "UTF8")
    assert operation.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("value", ["UTF8", "utf-8", "UNICODE"])
def test_the_same_encoding_by_another_name(value: str) -> None:
    session = new_session()
    feed(session, ParameterStatus("client_encoding", value))
    assert session.is_open


def test_parameters_without_end() -> None:
    session = new_session()
    feed(session, *(ParameterStatus(str(number), "") for number in range(MAX_PARAMETERS + 1)))
    broken(session, "parameters")


@pytest.mark.parametrize("tag", ["DISCARD ALL", "DEALLOCATE", "DEALLOCATE ALL"])
def test_statements_that_are_gone(tag: str) -> None:
    session = submitted(simple_query())
    feed(session, selected(tag), selected(tag), selected("DISCARD PLANS"), ready())
    assert list(session.events) == [StatementsDiscarded()]


def test_ready_for_query_unasked() -> None:
    session = new_session()
    feed(session, ready())
    broken(session, "unexpected ReadyForQuery while the answer due was: no operation in flight")


def test_command_complete_twice() -> None:
    session = submitted(execution())
    feed(session, BindComplete(), selected(), selected())
    broken(session, "unexpected CommandComplete")


def test_a_type_that_does_not_exist() -> None:
    session = new_session()
    feed(session, b"?\0\0\0\x04")
    broken(session, "unknown type '?'")


# COPY


def test_copy_in() -> None:
    operation = copy()
    session = submitted(operation)
    assert session.exclusive is operation
    feed(session, CopyInResponse(Format.BINARY, (Format.BINARY, Format.BINARY)))
    assert (operation.direction, operation.format, len(operation.column_formats)) == (
        CopyDirection.IN,
        Format.BINARY,
        2,
    )
    assert operation.attention
    session.copy_data(operation, b"abc")
    session.copy_done(operation)
    session.copy_done(operation)
    session.copy_fail(operation, "late")
    session.copy_data(operation, b"late")
    assert session.data_to_send() == CopyData(b"abc").encode() + CopyDone().encode()
    feed(session, notice(), selected("COPY 1"), ready())
    assert operation.status == "COPY 1"
    assert session.exclusive is None


def test_a_copy_that_is_complete_before_its_data() -> None:
    session = submitted(copy())
    feed(session, CopyInResponse(Format.TEXT), selected("COPY 0"))
    broken(session, "before CopyDone")


def test_copy_in_that_the_server_ends() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyInResponse(Format.TEXT), error("22P04"))
    session.copy_data(operation, b"more")
    session.copy_done(operation)
    session.copy_fail(operation, "no")
    assert session.data_to_send() == b""
    feed(session, ready())
    assert operation.outcome is Outcome.FAILED


def test_copy_in_that_the_client_ends() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyInResponse(Format.TEXT))
    with pytest.raises(InterfaceError):
        session.copy_fail(operation, "x" * 10_000)
    session.copy_fail(operation, "because")
    assert session.data_to_send() == CopyFail("because").encode()
    feed(session, error("57014"), ready())
    assert operation.outcome is Outcome.FAILED


def test_copy_out() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT), CopyData(b"abc"), CopyData(b""), CopyData(b"de"))
    feed(session, CopyData(b"f"))
    assert operation.pending_bytes == 6
    # What came together is one: where messages end means nothing.
    assert [session.take_chunk(operation), session.take_chunk(operation)] == [b"abcde", b"f"]
    assert operation.pending_bytes == 0
    feed(session, CopyDone(), selected("COPY 2"), ready())
    assert operation.ended
    assert operation.outcome is Outcome.COMPLETED


def test_copy_out_of_nothing() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT), CopyDone(), selected("COPY 0"), ready())
    assert operation.outcome is Outcome.COMPLETED


def test_copy_data_after_copy_done() -> None:
    session = submitted(copy())
    feed(session, CopyOutResponse(Format.TEXT), CopyDone(), CopyData(b"x"))
    broken(session, "unexpected CopyData")


def test_reading_pauses_while_nobody_takes_the_data() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT), CopyData(bytes(COPY_HIGH_WATER_BYTES)))
    assert not session.reading_paused
    feed(session, CopyData(b"x"))
    assert session.reading_paused
    session.take_chunk(operation)
    assert not session.reading_paused


def test_empty_data_does_not_pile_up() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT), *[CopyData(b"")] * 1000)
    assert not operation.chunks


def test_a_run_of_data_is_one_piece_of_news() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT))
    session.completed()
    operation.attention = False
    data = b"".join(CopyData(b"%d\n" % number).encode() for number in range(3)) + CopyData(b"").encode()
    session.receive_data(data + b"d\0\0\0\x09x")
    assert session.completed() == [operation]
    assert operation.pending_bytes == 6
    session.receive_data(b"yzab")
    assert session.completed() == []  # the owner knows that there is something
    assert session.take_data(operation) == b"0\n1\n2\nxyzab"
    assert session.take_data(operation) == b""
    assert operation.pending_bytes == 0
    operation.attention = False
    feed(session, CopyData(b"more"))
    assert session.completed() == [operation]
    session.receive_data(CopyData(b"x").encode() + b"d\0\0\0\3")
    broken(session, "claims a length of 3 bytes")


def test_both_directions() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyBothResponse(Format.TEXT), CopyData(b"x"), CopyData(b""), CopyData(b"z"))
    # Each is a message of the replication protocol.
    assert list(operation.chunks) == [b"x", b"z"]
    assert operation.pending_bytes == 2
    session.copy_data(operation, b"y")
    feed(session, CopyDone())
    assert session.data_to_send() == CopyData(b"y").encode() + CopyDone().encode()
    feed(session, selected("COPY 0"), selected("START_STREAMING"), ready())
    assert operation.outcome is Outcome.COMPLETED


def test_both_directions_that_end_with_a_row() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyBothResponse(Format.TEXT), CopyDone(), RowDescription(FIELDS), row(b"2"), selected(), ready())
    assert operation.outcome is Outcome.COMPLETED


def test_a_script_goes_on_after_its_copy() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT), CopyData(b"1"), CopyDone(), selected("COPY 1"))
    feed(session, RowDescription(FIELDS), row(b"x"), selected("SELECT 1"))
    assert operation.outcome is Outcome.PENDING
    feed(session, CopyInResponse(Format.TEXT))
    assert session.data_to_send() == SENT_IN_A_QUERY
    feed(session, error("57014"), ready())
    assert isinstance(operation.error, InterfaceError)
    assert list(operation.chunks) == [b"1"]


def test_copy_of_a_statement_that_is_none() -> None:
    frontend, server = pair(expect(Query("select 1")), send(RowDescription(FIELDS), row(b"x"), selected(), ready()))
    operation = frontend.copy("select 1", owner="me")
    converse(frontend, server)
    assert operation.outcome is Outcome.COMPLETED
    assert operation.direction is None
    assert frontend.is_open


@pytest.mark.parametrize(
    ("make", "said", "answer"),
    [
        (simple_query, [], SENT_IN_A_QUERY),
        (execution, [BindComplete()], SENT_IN_A_QUERY + SYNC_BYTES),
        (lambda: batch(count=1), [BindComplete()], SENT_IN_A_QUERY + SYNC_BYTES),
        (lambda: batch(count=1, complete=False), [BindComplete()], SENT_IN_A_QUERY),
    ],
    ids=["simple", "extended", "batch", "open batch"],
)
def test_copy_from_stdin_in_a_query(make: Any, said: list[Message], answer: bytes) -> None:
    """The Sync behind its Execute was swallowed; that of an open batch is still to come."""
    operation = make()
    session = submitted(operation)
    feed(session, *said, CopyInResponse(Format.TEXT))
    assert session.data_to_send() == answer
    if operation.traits & SYNC == 0:
        session.finish(operation)
        assert session.data_to_send() == SYNC_BYTES
    feed(session, error("57014"), ready())
    assert isinstance(operation.error, InterfaceError)
    assert operation.outcome is Outcome.FAILED
    assert session.idle
    assert session.is_open


@pytest.mark.parametrize(
    ("make", "said"),
    [(simple_query, []), (execution, [BindComplete()]), (lambda: batch(count=1), [BindComplete()])],
    ids=["simple", "extended", "batch"],
)
def test_copy_to_stdout_in_a_query(make: Any, said: list[Message]) -> None:
    operation = make()
    session = submitted(operation)
    feed(session, *said, CopyOutResponse(Format.TEXT), CopyData(b"x"), CopyDone(), selected("COPY 1"), ready())
    assert session.data_to_send() == b""
    assert isinstance(operation.error, InterfaceError)
    assert session.is_open


# batches


def test_a_batch() -> None:
    operation = batch(count=3)
    session = submitted(operation)
    feed(
        session,
        ParseComplete(),
        BindComplete(),
        selected("INSERT 0 1"),
        BindComplete(),
        row(b"x"),
        selected("INSERT 0 1"),
    )
    feed(session, BindComplete(), EmptyQueryResponse(), ready())
    assert operation.completed == 3
    assert operation.outcome is Outcome.COMPLETED


def test_a_batch_that_grows() -> None:
    operation = batch(b"1", 1, complete=False)
    session = new_session()
    session.submit(operation)
    behind = execution(b"behind")
    session.submit(behind)
    session.extend(operation, b"2", 2)
    assert session.exclusive is operation
    assert session.data_to_send() == b"12"
    feed(session, *[BindComplete(), selected("INSERT 0 1")] * 3)
    session.finish(operation)
    session.finish(operation)
    assert session.data_to_send() == SYNC_BYTES
    feed(session, ready())
    assert operation.outcome is Outcome.COMPLETED
    assert session.data_to_send() == b"behind"
    session.extend(operation, b"late", 1)
    assert session.data_to_send() == b""


def test_a_batch_that_grows_before_it_is_written() -> None:
    first, operation = simple_query(b"X", SYNC | BARRIER), batch(b"1", 1, complete=False)
    session = submitted(first, operation)
    session.extend(operation, b"2", 1)
    session.finish(operation)
    feed(session, ready())
    assert session.data_to_send() == b"12" + SYNC_BYTES


def test_ready_for_query_before_the_end_of_a_batch() -> None:
    session = submitted(batch(count=2))
    feed(session, BindComplete(), selected("INSERT 0 1"), ready())
    broken(session, "after 1 of 2")
    session = submitted(batch(count=1, complete=False))
    feed(session, BindComplete(), selected("INSERT 0 1"), ready())
    broken(session, "before Sync")
    session = submitted(batch(count=1, complete=False))
    feed(session, error(), ready())
    broken(session, "before Sync")


def test_an_error_in_an_open_batch() -> None:
    operation = batch(count=1, complete=False)
    session = submitted(operation)
    feed(session, BindComplete(), error())
    assert operation.attention
    session.extend(operation, b"more", 1)
    session.give_up(operation)
    assert session.data_to_send() == SYNC_BYTES
    feed(session, ready())
    assert operation.outcome is Outcome.FAILED


def test_a_batch_given_up_outside_of_a_transaction_is_rolled_back() -> None:
    operation = batch(count=1, complete=False)
    session = submitted(operation)
    session.submit(simple_query(b"BEGIN", SYNC | BEGINS | BARRIER))
    session.give_up(operation)
    data = session.data_to_send()
    assert b"ROLLBACK" in data, "a BEGIN that waits behind it is no reason to keep what has run"
    assert data.endswith(SYNC_BYTES)
    feed(
        session, BindComplete(), selected("INSERT 0 1"), ParseComplete(), BindComplete(), selected("ROLLBACK"), ready()
    )
    assert operation.outcome is Outcome.COMPLETED


def test_a_batch_given_up_in_a_transaction_is_the_transactions() -> None:
    session = in_transaction()
    operation = batch(count=1, complete=False)
    session.submit(operation)
    session.data_to_send()
    session.give_up(operation)
    assert session.data_to_send() == SYNC_BYTES


# function calls


@pytest.mark.parametrize("value", [b"result", None])
def test_a_function_call(value: bytes | None) -> None:
    frontend, server = pair(expect(FunctionCall(1)), send(FunctionCallResponse(value), ready()))
    operation = frontend.function_call(FunctionCall(1))
    converse(frontend, server)
    assert operation.result == value
    assert operation.outcome is Outcome.COMPLETED


def test_a_function_call_that_fails() -> None:
    frontend, server = pair(expect(FunctionCall(1)), send(error(), ready()))
    operation = frontend.function_call(FunctionCall(1))
    converse(frontend, server)
    assert operation.outcome is Outcome.FAILED


# what is written, and when


def test_the_window() -> None:
    operations = [execution(b"%d," % number) for number in range(WINDOW_OPERATIONS + 2)]
    session = new_session()
    for operation in operations:
        session.submit(operation)
    assert sum(operation.written for operation in operations) == WINDOW_OPERATIONS
    assert session.busy
    feed(session, BindComplete(), selected(), ready())
    assert sum(operation.written for operation in operations) == WINDOW_OPERATIONS + 1
    large = [execution(bytes(WINDOW_BYTES - 10)), execution(bytes(10)), execution(b"x"), execution(b"")]
    session = submitted(*large)
    assert [operation.written for operation in large] == [True, True, False, False]


def test_an_operation_larger_than_the_window_goes_alone() -> None:
    small, large = execution(b"x"), execution(bytes(WINDOW_BYTES + 1))
    session = submitted(small, large)
    assert not large.written
    feed(session, BindComplete(), selected(), ready())
    assert large.written
    assert not session.busy


def test_nothing_is_written_behind_a_barrier() -> None:
    first, barrier, behind = execution(b"1"), simple_query(b"2", SYNC | BARRIER), execution(b"3")
    session = new_session()
    for operation in (first, barrier, behind):
        session.submit(operation)
    assert session.data_to_send() == b"12"
    assert not session.exclusive
    feed(session, BindComplete(), selected(), ready())
    assert session.data_to_send() == b""
    feed(session, selected(), ready())
    assert session.data_to_send() == b"3"


def test_one_at_a_time_without_pipelining() -> None:
    session = new_session()
    session.pipelining = False
    session.submit(execution())
    with pytest.raises(InterfaceError, match="another operation is in progress") as caught:
        session.submit(execution())
    assert caught.value.hint is None
    session.submit(simple_query(traits=SYNC | INTERNAL))


def test_one_at_a_time_in_a_transaction() -> None:
    session = in_transaction()
    session.submit(execution())
    with pytest.raises(InterfaceError, match="another operation is in progress") as caught:
        session.submit(execution())
    assert caught.value.hint is not None
    session.shared_transaction = True
    session.submit(execution())
    session.submit(simple_query(traits=SYNC | INTERNAL))


def test_a_transaction_begins_when_it_is_submitted() -> None:
    session = submitted(simple_query(b"BEGIN", SYNC | BEGINS | BARRIER))
    assert session.in_transaction
    with pytest.raises(InterfaceError):
        session.submit(execution())
    feed(session, error(), ready())
    assert not session.in_transaction


def test_what_comes_after_an_owed_rollback_is_outside() -> None:
    session = in_transaction()
    rollback = simple_query(b"ROLLBACK", SYNC | INTERNAL | ENDS)
    session.submit(rollback)
    assert session.predicted_status is TransactionStatus.IDLE
    assert session.transaction_status is TransactionStatus.IN_TRANSACTION
    session.submit(execution())
    session.submit(execution())
    feed(session, selected("ROLLBACK"), ready())
    assert not session.in_transaction


def test_a_codec_may_not_use_its_connection() -> None:
    session = new_session()
    operation = execution(plan=plan_calling(lambda data: session.submit(execution())))
    session.submit(operation)
    feed(session, BindComplete(), row(b"x"), selected(), ready())
    assert isinstance(operation.error, InterfaceError)
    assert "a type codec may not use" in str(operation.error)
    session.submit(execution())


# cancellation


def test_what_was_not_written_is_dropped() -> None:
    barrier, dropped, behind = simple_query(b"1", SYNC | BARRIER), execution(b"2"), execution(b"3")
    session = submitted(barrier, dropped, behind)
    assert session.abandon(dropped) is Owed.DROP
    assert session.abandon(dropped) is Owed.NOTHING
    assert (dropped.outcome, dropped.error, dropped.written) == (Outcome.CANCELLED, None, False)
    feed(session, selected(), ready())
    assert session.data_to_send() == b"3"


def test_a_dropped_operation_makes_room() -> None:
    small, large, behind = execution(b"1"), execution(bytes(WINDOW_BYTES)), execution(b"3")
    session = submitted(small, large, behind)
    session.abandon(large)
    assert session.data_to_send() == b"3"


def test_what_runs_for_others_is_drained() -> None:
    mine, theirs, later = execution(b"1"), execution(b"2"), execution(b"3")
    session = submitted(mine, theirs)
    assert session.abandon(mine) is Owed.DRAIN
    assert session.draining
    session.submit(later)
    assert session.data_to_send() == b""
    assert not session.cancel_due
    feed(session, BindComplete(), row(b"x"), selected(), ready())
    assert mine.rows == []
    assert mine.outcome is Outcome.COMPLETED
    assert session.data_to_send() == b"3"


def test_a_cancellation_is_due_when_only_abandoned_ones_are_left() -> None:
    theirs, mine = execution(), execution()
    session = submitted(theirs, mine)
    assert session.abandon(mine) is Owed.DRAIN
    session.news = False
    feed(session, BindComplete(), selected(), ready())
    assert session.cancel_due
    assert session.news
    session.cancel_began()
    assert session.cancel_under_way
    assert not session.cancel_due
    later = execution(b"later")
    session.submit(later)
    feed(session, error("57014"), ready())
    assert session.data_to_send() == b""
    session.cancel_ended()
    assert session.data_to_send() == b"later"


def test_an_abandoned_operation_with_a_trait() -> None:
    query = simple_query(traits=SYNC | INTERNAL | BARRIER)
    session = submitted(query)
    assert session.abandon(query) is Owed.CANCEL
    feed(session, selected(), ready())
    assert session.idle
    assert not session.draining


def test_an_abandoned_batch_is_given_up() -> None:
    operation = batch(count=1, complete=False)
    session = submitted(operation)
    assert session.in_flight == (operation,)
    assert session.abandon(operation) is Owed.CANCEL
    assert b"ROLLBACK" in session.data_to_send()


def test_an_abandoned_copy_in_is_given_up() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyInResponse(Format.TEXT))
    assert session.abandon(operation) is Owed.CANCEL
    assert session.data_to_send() == CopyFail("the client has given up the COPY").encode()


def test_a_copy_that_begins_after_it_was_abandoned() -> None:
    operation = copy()
    session = submitted(operation)
    session.abandon(operation)
    feed(session, CopyInResponse(Format.TEXT))
    assert session.data_to_send() == SENT_IN_A_QUERY
    feed(session, error("57014"), ready())
    assert session.idle


def test_an_abandoned_copy_out_is_discarded() -> None:
    operation = copy()
    session = submitted(operation)
    feed(session, CopyOutResponse(Format.TEXT), CopyData(bytes(COPY_HIGH_WATER_BYTES + 1)))
    session.abandon(operation)
    assert not session.reading_paused
    feed(session, CopyData(b"x"), CopyDone(), selected("COPY 1"), ready())
    assert not operation.chunks


def test_the_exchange_of_a_cancel_connection() -> None:
    frontend, _ = pair()
    exchange = frontend.cancel_exchange()
    assert isinstance(exchange, CancelExchange)
    assert exchange.data_to_send() == b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x67key!"
    assert exchange.data_to_send() == b""
    exchange.get_buffer()[:1] = b"x"
    exchange.bytes_received(1)
    assert not exchange.ended
    exchange.connection_lost(OSError("reset"))
    exchange.receive_eof()
    assert exchange.ended
    assert exchange.completed() == [exchange.operation]


# any chunking


@settings(deadline=None)
@given(sizes=cuts())
def test_a_session_does_not_depend_on_how_its_bytes_arrive(sizes: list[int]) -> None:
    assert _session(sizes) == _session([1 << 20])


def _session(sizes: list[int]) -> list[object]:
    last = copy(b"h")
    operations = [
        preparation(b"a"),
        execution(b"b"),
        simple_query(b"c"),
        batch(b"d"),
        execution(b"e"),
        function_call(b"f"),
        execution(b"g"),
        last,
    ]
    session = submitted(*operations)
    script: list[Message] = [
        *(ParseComplete(), ParameterDescription((25,)), RowDescription(FIELDS), ready()),
        *(BindComplete(), row(b"x"), notice(), row(b"y" * 3000), selected("SELECT 2"), ready()),
        *(RowDescription(FIELDS), row(None), selected(), ParameterStatus("a", "b"), selected("SET"), ready()),
        *(BindComplete(), selected("INSERT 0 1"), BindComplete(), selected("INSERT 0 1"), ready()),
        *(BindComplete(), row(b"x"), row(b"\xff"), row(b"z"), selected("SELECT 3"), ready()),
        *(FunctionCallResponse(b"value"), ready()),
        *(BindComplete(), error(), NotificationResponse(1, "c", "p"), ready()),
        *(
            CopyOutResponse(Format.TEXT),
            CopyData(b"1\n"),
            CopyData(b"2\n"),
            CopyDone(),
            selected("COPY 2"),
            ready(),
            FATAL,
        ),
    ]
    for piece in cut(b"".join(message.encode() for message in script), sizes):
        session.receive_data(piece)
    return [
        session.condition,
        session.parameters,
        [repr(event) for event in session.events if not isinstance(event, NoticeReceived | BackendErrorReceived)],
        len(session.events),
        [
            (
                one.outcome,
                repr(one.error),
                one.status,
                [tuple(found) for found in one.rows],
            )
            for one in operations
        ],
        b"".join(last.chunks),
    ]


def test_states_have_a_name_each() -> None:
    assert len({state.value for state in Awaiting}) == len(Awaiting)
