"""Scripts: the results of their statements, kept apart as they come."""

from pgsansio.engine.operations import RowsKept
from pgsansio.enums import Format, Outcome
from pgsansio.errors import DivisionByZeroError, InterfaceError
from pgsansio.kernel.contract import UnknownTypeError
from pgsansio.messages.backend import CommandComplete, EmptyQueryResponse, RowDescription
from pgsansio.messages.copy import CopyData, CopyDone, CopyOutResponse
from pgsansio.testing.script import error, ready, row, selected
from tests.support.sessions import FIELDS, feed, new_session, plan_calling, script, sync


def test_each_statement_has_its_own_result() -> None:
    operation = script()
    session = new_session()
    session.submit(operation)
    feed(session, RowDescription(FIELDS), row(b"x"), selected(), CommandComplete("BEGIN"))
    assert [(one.rows, one.tag) for one in operation.statements] == [([("x",)], b"SELECT 1"), ([], b"BEGIN")]
    feed(session, RowDescription(FIELDS), row(b"y"), row(b"z"))
    assert operation.rows == [("y",), ("z",)]
    feed(session, selected("SELECT 2"), EmptyQueryResponse(), ready("T"))
    assert operation.outcome is Outcome.COMPLETED
    assert operation.rows == []
    assert [one.rows for one in operation.statements] == [[("x",)], [], [("y",), ("z",)]]
    assert all(one.settled for one in operation.statements)
    assert session.completed() == [operation]


def test_what_fails_here_is_the_statements_own() -> None:
    def decode(data: bytes) -> object:
        if data == b"unknown":
            raise UnknownTypeError("unknown", oids=frozenset([16400]))
        return int(data)

    operation = script()
    operation._plan_rows = lambda fields: plan_calling(decode)
    session = new_session()
    session.submit(operation)
    feed(session, RowDescription(FIELDS), row(b"1"), row(b"unknown"), row(b"2"), selected("SELECT 3"))
    feed(session, RowDescription(FIELDS), row(b"x"), row(b"3"), selected("SELECT 2"))
    feed(session, CopyOutResponse(Format.TEXT), CopyData(b"4"), CopyDone(), selected("COPY 1"))
    feed(session, RowDescription(FIELDS), row(b"5"), selected(), ready())
    kept, refused, copy, last = operation.statements
    assert isinstance(kept.error, RowsKept)
    assert kept.rows == [(1,)]
    assert kept.error.data == row(b"unknown").encode() + row(b"2").encode()
    assert isinstance(refused.error, ValueError)
    assert refused.rows == []
    assert isinstance(copy.error, InterfaceError)
    assert [one.outcome for one in (kept, refused, copy)] == [Outcome.FAILED] * 3
    assert (last.rows, last.error, last.outcome) == ([(5,)], None, Outcome.COMPLETED)
    assert operation.outcome is Outcome.COMPLETED


def test_the_server_ends_it() -> None:
    operation = script()
    session = new_session()
    session.submit(operation)
    feed(session, RowDescription(FIELDS), row(b"x"), selected(), RowDescription(FIELDS), row(b"y"), error(), ready())
    assert isinstance(operation.error, DivisionByZeroError)
    assert operation.outcome is Outcome.FAILED
    assert [one.rows for one in operation.statements] == [[("x",)]]


def test_nothing_is_kept_for_nobody() -> None:
    operation = script()
    session = new_session()
    session.submit(operation)
    feed(session, selected())
    session.abandon(operation)
    feed(session, RowDescription(FIELDS), row(b"x"), selected(), ready())
    assert operation.outcome is Outcome.COMPLETED
    assert len(operation.statements) == 1


def test_a_sync_by_itself() -> None:
    operation = sync()
    session = new_session()
    session.submit(operation)
    assert session.data_to_send() == b"S"
    feed(session, ready("E"))
    assert operation.outcome is Outcome.COMPLETED
    other = sync()
    session.submit_group([other])
    feed(session, error(), ready("I"))
    assert other.outcome is Outcome.FAILED
    assert session.idle
