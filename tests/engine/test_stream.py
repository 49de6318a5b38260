"""A stream: some rows at a time in a group that stays open; and portals, which have a Sync each time."""

import pytest

from pgsansio.engine.operations import BEGINS, RowStream
from pgsansio.engine.queue import Condition
from pgsansio.engine.session import Session
from pgsansio.enums import Format, Outcome
from pgsansio.errors import DivisionByZeroError, InterfaceError, ProtocolError
from pgsansio.frontend import Frontend
from pgsansio.kernel import Record
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    EmptyQueryResponse,
    NoData,
    ParameterDescription,
    ParseComplete,
    PortalSuspended,
)
from pgsansio.messages.copy import CopyData, CopyDone, CopyFail, CopyInResponse, CopyOutResponse
from pgsansio.messages.frontend import Bind, Close, Describe, Execute, Flush, Parse, Sync, Target
from pgsansio.messages.tags import BackendMessage
from pgsansio.policy.cancellation import Owed
from pgsansio.testing.script import converse, error, expect, pair, ready, row, row_description, selected, send
from tests.support.sessions import execution, feed, new_session, plan_calling, stream

SYNC_BYTES = Sync().encode()


def begun(operation: RowStream) -> Session:
    session = new_session()
    session.submit(operation)
    session.data_to_send()
    return session


def test_rows_come_as_they_are_asked_for() -> None:
    operation = stream()
    session = begun(operation)
    assert session.exclusive is operation
    assert operation.is_asked
    feed(session, BindComplete(), row(b"1"), row(b"2"), PortalSuspended())
    assert operation.attention
    assert (operation.is_asked, operation.is_complete, operation.suspended) == (False, False, True)
    assert operation.rows == [("1",), ("2",)]
    operation.rows = []
    session.more_rows(operation, b"EH")
    session.more_rows(operation, b"EH")
    assert session.data_to_send() == b"EH"
    feed(session, row(b"3"), selected("SELECT 1"))
    assert (operation.is_asked, operation.is_complete, operation.suspended) == (False, True, False)
    assert operation.rows == [("3",)]
    assert not operation.settled
    session.finish(operation)
    session.finish(operation)
    assert session.data_to_send() == SYNC_BYTES
    feed(session, ready())
    assert operation.outcome is Outcome.COMPLETED
    assert session.exclusive is None
    session.more_rows(operation, b"EH")
    assert session.data_to_send() == b""


def test_nobody_elses_is_written_until_its_end() -> None:
    operation, behind = stream(), execution(b"behind")
    session = begun(operation)
    session.submit(behind)
    feed(session, BindComplete(), row(b"1"), PortalSuspended())
    assert session.data_to_send() == b""
    session.finish(operation)
    assert session.data_to_send() == SYNC_BYTES
    feed(session, ready())
    assert session.data_to_send() == b"behind"


def test_one_that_waits_for_others() -> None:
    first, operation = execution(), stream()
    session = new_session()
    session.submit(first)
    session.submit(operation)
    session.submit(execution(b"behind"))
    assert session.data_to_send() == b"BESBEH"
    feed(session, BindComplete(), selected(), ready(), BindComplete(), row(b"1"), PortalSuspended())
    assert operation.rows == [("1",)]


def test_rows_that_nobody_has_asked_for() -> None:
    session = begun(stream())
    feed(session, BindComplete(), row(b"1"), PortalSuspended(), row(b"2"))
    assert session.condition is Condition.BROKEN
    assert "unexpected DataRow" in str(session.failure)


def test_ready_for_query_before_its_sync() -> None:
    operation = stream()
    session = begun(operation)
    feed(session, BindComplete(), row(b"1"), PortalSuspended(), ready())
    assert session.condition is Condition.BROKEN
    assert operation.outcome is Outcome.UNKNOWN
    assert isinstance(operation.error, ProtocolError)


@pytest.mark.parametrize("paused", [False, True])
def test_an_error_ends_it(paused: bool) -> None:
    operation = stream()
    session = begun(operation)
    feed(session, BindComplete(), row(b"1"))
    if paused:
        feed(session, PortalSuspended())
    feed(session, error())
    assert session.data_to_send() == SYNC_BYTES, "nobody has to ask for that"
    feed(session, ready())
    assert operation.outcome is Outcome.FAILED
    assert isinstance(operation.error, DivisionByZeroError)


def test_a_value_that_cannot_be_decoded() -> None:
    def decode(data: bytes) -> object:
        raise LookupError(data)

    operation = stream(plan=plan_calling(decode))
    session = begun(operation)
    feed(session, BindComplete(), row(b"1"), row(b"2"), PortalSuspended())
    assert isinstance(operation.error, LookupError)
    assert operation.rows == []
    session.finish(operation)
    feed(session, ready())
    assert operation.outcome is Outcome.FAILED
    assert session.is_open


def test_an_empty_query() -> None:
    operation = stream()
    session = begun(operation)
    feed(session, BindComplete(), EmptyQueryResponse())
    assert operation.is_complete
    session.finish(operation)
    feed(session, ready())
    assert operation.outcome is Outcome.COMPLETED
    session = begun(stream())
    feed(session, BindComplete(), b"I\0\0\0\x05x")
    assert session.condition is Condition.BROKEN


def test_copy_is_none_of_its_business() -> None:
    operation = stream()
    session = begun(operation)
    feed(session, BindComplete(), CopyInResponse(Format.TEXT))
    assert session.data_to_send() == CopyFail("COPY FROM STDIN needs data").encode()
    feed(session, error("57014"))
    assert session.data_to_send() == SYNC_BYTES
    feed(session, ready())
    assert isinstance(operation.error, InterfaceError)
    operation = stream()
    session = begun(operation)
    feed(session, BindComplete(), CopyOutResponse(Format.TEXT), CopyData(b"x"), CopyDone(), selected("COPY 1"))
    assert operation.attention
    session.finish(operation)
    feed(session, ready())
    assert isinstance(operation.error, InterfaceError)
    assert session.idle


def test_one_that_is_abandoned_while_nothing_runs() -> None:
    operation = stream()
    session = begun(operation)
    feed(session, BindComplete(), row(b"1"), PortalSuspended())
    assert session.abandon(operation) is Owed.DRAIN, "the server waits for us: there is nothing to cancel"
    assert session.data_to_send() == SYNC_BYTES
    session.submit(execution(b"behind"))
    assert session.data_to_send() == b""
    feed(session, ready())
    assert session.data_to_send() == b"behind"


def test_one_that_is_abandoned_while_it_runs() -> None:
    operation = stream()
    session = begun(operation)
    assert session.abandon(operation) is Owed.CANCEL
    assert session.data_to_send() == SYNC_BYTES
    feed(session, BindComplete(), row(b"1"), PortalSuspended(), ready())
    assert operation.rows == []
    assert session.idle
    assert not session.draining


def test_one_that_is_abandoned_while_it_reads_ahead() -> None:
    operation = stream()
    session = begun(operation)
    feed(session, BindComplete(), row(b"1"), PortalSuspended())
    session.more_rows(operation, b"EH")
    operation.is_ahead = True
    assert session.abandon(operation) is Owed.DRAIN, "nobody waits for these: what was done is to be kept"
    assert session.data_to_send() == b"EH" + SYNC_BYTES
    feed(session, row(b"2"), PortalSuspended(), ready())
    assert session.idle


def test_one_that_is_abandoned_unsent() -> None:
    first, operation = stream(), stream()
    session = begun(first)
    session.submit(operation)
    assert session.abandon(operation) is Owed.DROP
    session.finish(first)
    feed(session, BindComplete(), selected(), ready())
    assert session.idle


def test_a_transaction_may_begin_in_it() -> None:
    operation = stream()
    operation.traits |= BEGINS
    session = begun(operation)
    assert session.in_transaction
    session.finish(operation)
    feed(session, BindComplete(), selected("BEGIN"), ready("T"))
    assert session.in_transaction


# as a frontend asks for it


def prepared(frontend: Frontend, query: str, *, named: bool = True, keep: bool = True) -> tuple[str, object]:
    operation = frontend.prepare(query, named=named)
    frontend.receive_data(
        ParseComplete().encode()
        + ParameterDescription(()).encode()
        + row_description(("a", 25)).encode()
        + ready().encode()
    )
    frontend.data_to_send()
    return operation.name, frontend.prepared(query, operation, 0.0, keep=keep)


@pytest.mark.parametrize("named", [True, False])
def test_the_messages_of_a_stream(named: bool) -> None:
    frontend, server = pair()
    name, statement = prepared(frontend, "select 1", named=named)
    parse = [] if named else [expect(Parse("", "select 1")), expect(Describe(Target.STATEMENT, ""))]
    complete: list[BackendMessage] = [ParseComplete(), ParameterDescription(()), row_description(("a", 25))] * (
        not named
    )
    server.then(
        *parse,
        expect(Bind("", name, (), (), (Format.BINARY,))),
        expect(Execute("", 7)),
        expect(Flush()),
        send(*complete, BindComplete(), row(b"1"), PortalSuspended()),
        expect(Execute("", 9)),
        expect(Flush()),
        send(row(b"2"), selected()),
        expect(Sync()),
        send(ready()),
    )
    operation = frontend.stream(statement, (), 7, None, owner=1)  # type: ignore[arg-type]
    converse(frontend, server)
    frontend.stream_on(operation, 9)
    converse(frontend, server)
    frontend.finish(operation)
    converse(frontend, server)
    assert server.done
    assert operation.rows == [("1",), ("2",)]
    assert operation.outcome is Outcome.COMPLETED


class Special(Record):
    pass


@pytest.mark.parametrize("named", [True, False])
def test_the_messages_of_a_portal(named: bool) -> None:
    frontend, server = pair()
    name, statement = prepared(frontend, "select 1", named=named)
    parse = [] if named else [expect(Parse("", "select 1")), expect(Describe(Target.STATEMENT, ""))]
    complete: list[BackendMessage] = [ParseComplete(), ParameterDescription(()), row_description(("a", 25))] * (
        not named
    )
    portals = [f"__pgsansio_portal_{number:x}__" for number in (1, 2)]
    server.then(
        *parse,
        expect(Bind(portals[0], name, (), (), (Format.BINARY,))),
        expect(Sync()),
        send(*complete, BindComplete(), ready("T")),
        expect(Execute(portals[0], 2)),
        expect(Sync()),
        send(row(b"1"), row(b"2"), PortalSuspended(), ready("T")),
        expect(Close(Target.PORTAL, portals[0])),
        expect(Sync()),
        *parse,
        expect(Bind(portals[1], name, (), (), (Format.BINARY,))),
        expect(Execute(portals[1], 3)),
        expect(Sync()),
        send(CloseComplete(), ready("T"), *complete, BindComplete(), row(b"3"), selected(), ready("T")),
    )
    portal, operation = frontend.open_portal(statement, (), 0, None)  # type: ignore[arg-type]
    assert portal == portals[0]
    converse(frontend, server)
    assert operation.outcome is Outcome.COMPLETED
    operation = frontend.fetch_portal(statement, portal, 2, statement.rows_as(Special))  # type: ignore[arg-type,attr-defined]
    converse(frontend, server)
    assert operation.suspended
    assert [type(record) for record in operation.rows] == [Special] * 2
    frontend.close_portal(portal)
    frontend.open_portal(statement, (), 3, None)  # type: ignore[arg-type]
    converse(frontend, server)
    assert server.done


# statements that are somebody's own


def test_a_released_statement_is_closed_with_the_next_one() -> None:
    frontend, server = pair()
    name, statement = prepared(frontend, "select 1", keep=False)
    assert len(frontend.statements) == 0
    frontend.release(statement)  # type: ignore[arg-type]
    assert frontend.data_to_send() == b""
    server.then(
        expect(Close(Target.STATEMENT, name)),
        expect(Parse("users", "select 2")),
        expect(Describe(Target.STATEMENT, "users")),
        expect(Sync()),
    )
    frontend.prepare("select 2", named=False, name="users")
    converse(frontend, server)
    assert server.done


def test_what_could_not_be_closed_is_closed_later() -> None:
    frontend, _ = pair()
    name, statement = prepared(frontend, "select 1", keep=False)
    frontend.release(statement)  # type: ignore[arg-type]
    frontend.pipelining = False
    busy = frontend.simple_query("select 1")
    with pytest.raises(InterfaceError, match="another operation"):
        frontend.prepare("select 2", named=True)
    frontend.receive_data(selected().encode() + ready().encode())
    assert busy.settled
    frontend.data_to_send()
    operation = frontend.prepare("select 2", named=True)
    assert operation.closing == (name,)


@pytest.mark.parametrize("refused", [False, True])
def test_a_users_name_is_closed_only_if_it_was_taken(refused: bool) -> None:
    """Else it is that of another statement, which is none of ours."""
    frontend, _ = pair()
    operation = frontend.prepare("select 1", named=False, name="users")
    frontend.data_to_send()
    frontend.abandon(operation)
    answer = [error("42P05", "exists")] if refused else [ParseComplete(), ParameterDescription(()), NoData()]
    frontend.receive_data(b"".join(message.encode() for message in answer) + ready().encode())
    assert frontend.prepare("select 2", named=True).closing == (() if refused else ("users",))


def test_what_was_to_be_closed_by_what_was_not_sent() -> None:
    frontend, _ = pair()
    name, statement = prepared(frontend, "select 1", keep=False)
    frontend.simple_query("SET x")
    frontend.release(statement)  # type: ignore[arg-type]
    operation = frontend.prepare("select 2", named=True)
    assert operation.closing == (name,)
    frontend.abandon(operation)
    # Nor is a name kept that was to be given.
    again = frontend.prepare("select 2", named=True)
    assert (again.closing, again.name) == ((name,), operation.name)
