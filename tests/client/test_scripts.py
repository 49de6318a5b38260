"""Scripts: the results of each statement, kept apart."""

from typing import Any

import pytest

from pgsansio.enums import Format
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    DivisionByZeroError,
    InterfaceError,
    InvalidValueError,
    PostgresSyntaxError,
    ProtocolError,
)
from pgsansio.kernel import Record
from pgsansio.messages.backend import (
    BindComplete,
    CommandComplete,
    EmptyQueryResponse,
    ErrorResponse,
)
from pgsansio.messages.copy import CopyData, CopyDone, CopyFail, CopyInResponse, CopyOutResponse
from pgsansio.messages.frontend import Query
from pgsansio.testing.script import (
    Step,
    error,
    expect,
    expect_execution,
    ready,
    row,
    row_description,
    selected,
    send,
    send_bytes,
)
from pgsansio.types import Result
from tests.client.test_cancel_everywhere import world
from tests.client.test_hostile_server import connect, executed, loop_with

INT4 = 23


def results(*steps: Step, script: str = "script", **keywords: Any) -> list[Result]:
    """What comes of a script to which a server says this."""
    loop = loop_with([expect(Query(script)), *steps])
    connection = connect(loop)
    try:
        found: list[Result] = loop.finish(connection.execute_script(script, **keywords))
        assert connection._queries == 1
        return found
    finally:
        assert not loop.failures


def test_the_statements_of_a_script_are_kept_apart() -> None:
    class Mine(Record):
        __slots__ = ()

    found = results(
        send(
            row_description(("a", INT4)), row(b"1"), row(b"2"), selected("SELECT 2"),
            CommandComplete("CREATE TABLE"),
            row_description(("b", INT4), ("c", 25)), row(b"3", None), CommandComplete("INSERT 0 1"),
            row_description(("a", INT4)), selected("SELECT 0"),
            ready(),
        ),
        record_class=Mine,
    )  # fmt: skip
    assert found == [
        Result([(1,), (2,)], "SELECT 2"),
        Result([], "CREATE TABLE"),
        Result([(3, None)], "INSERT 0 1"),
        Result([], "SELECT 0"),
    ]
    assert [result.affected for result in found] == [2, None, 1, 0]
    assert type(found[2].rows[0]) is Mine
    assert found[2].rows[0]["b"] == 3


def test_a_script_of_nothing() -> None:
    assert results(send(EmptyQueryResponse(), ready()), script="") == []


def test_rows_without_a_description_of_their_own() -> None:
    with pytest.raises(ProtocolError, match="DataRow before RowDescription"):
        results(
            send(row_description(("a", INT4)), row(b"1"), selected()),
            send_bytes(row(b"2").encode() + selected().encode() + ready().encode()),
        )


def test_an_error_names_its_statement() -> None:
    with pytest.raises(DivisionByZeroError) as caught:
        results(
            send(CommandComplete("BEGIN"), row_description(("a", INT4)), row(b"1"), selected(), error(), ready("E"))
        )
    assert caught.value.__notes__ == ["This is about statement 3 of the script."]
    assert caught.value.query == "script"


@pytest.mark.parametrize(
    ("script", "position", "number"),
    [
        ("SELECT 1; SELEC 2", 11, 2),
        ("SELECT 1; SELECT 2 2", 20, 2),
        (";; SELECT ';'; /* ; */ ;SELEC", 25, 2),
        ("SELEC", 1, 1),
        ("SELECT (", 9, 1),
    ],
)
def test_an_error_of_syntax_names_its_statement(script: str, position: int, number: int) -> None:
    fields = {"S": "ERROR", "V": "ERROR", "C": "42601", "M": "syntax error", "P": str(position)}
    with pytest.raises(PostgresSyntaxError) as caught:
        results(send(ErrorResponse(fields), ready()), script=script)
    assert caught.value.__notes__ == [f"This is about statement {number} of the script."]


@pytest.mark.parametrize("position", ["", "-1", "x", "9" * 5000, "²"])
def test_a_position_that_is_none(position: str) -> None:
    fields = {"S": "ERROR", "V": "ERROR", "C": "42601", "M": "syntax error", "P": position}
    with pytest.raises(PostgresSyntaxError) as caught:
        results(send(ErrorResponse(fields), ready()))
    assert caught.value.__notes__ == ["This is about statement 1 of the script."]


def test_the_connection_is_lost() -> None:
    with pytest.raises(ConnectionDoesNotExistError) as caught:
        results(send(CommandComplete("BEGIN"), error("57P01", "shutdown", "FATAL")))
    assert not hasattr(caught.value, "__notes__")


def test_a_value_that_cannot_be_decoded_names_its_statement_and_column() -> None:
    with pytest.raises(InvalidValueError) as caught:
        results(
            send(row_description(("a", INT4)), row(b"1"), selected()),
            send(row_description(("b", INT4)), row(b"x"), row(b"2"), selected("SELECT 2")),
            send(row_description(("c", INT4)), row(b"y"), selected(), ready()),
        )
    assert "cannot decode column 1 ('b') of type integer" in str(caught.value)
    assert caught.value.__notes__ == ["This is about statement 2 of the script."]


def test_copy_is_no_matter_for_a_script() -> None:
    with pytest.raises(InterfaceError, match="COPY TO STDOUT in a query") as caught:
        results(
            send(CommandComplete("BEGIN"), CopyOutResponse(Format.TEXT), CopyData(b"1\n"), CopyDone()),
            send(CommandComplete("COPY 1"), row_description(("a", INT4)), row(b"1"), selected(), ready()),
        )
    assert caught.value.__notes__ == ["This is about statement 2 of the script."]
    with pytest.raises(InterfaceError, match="COPY FROM STDIN in a query") as caught:
        results(
            send(CommandComplete("BEGIN"), CopyInResponse(Format.TEXT)),
            expect(CopyFail),
            send(error("57014", "COPY from stdin failed"), ready()),
        )
    assert caught.value.__notes__ == ["This is about statement 2 of the script."]


def test_nothing_is_written_behind_a_script() -> None:
    there = world()
    script = there.loop.start(there.connection.execute_script("INSERT 1; SLEEP; SELECT 2"))
    behind = there.loop.start(there.connection.fetchval("SELECT 3"))
    there.loop.run()
    assert len(there.connection._frontend.in_flight) == 1
    there.server.interrupt()
    there.loop.run(script)
    there.loop.run(behind)
    assert script.error is not None
    assert behind.result() == 3


def test_a_script_may_begin_and_end_transactions() -> None:
    there = world()
    assert [one.status for one in there.loop.finish(there.connection.execute_script("BEGIN; INSERT 1"))] == [
        "BEGIN",
        "INSERT 0 1",
    ]
    assert there.connection.is_in_transaction()
    there.loop.finish(there.connection.execute_script("COMMIT; BEGIN; INSERT 2; ROLLBACK"))
    assert not there.connection.is_in_transaction()
    assert there.server.state.rows == [1]


def test_what_is_refused() -> None:
    there = world()
    with pytest.raises(TypeError, match="query is expected to be a str"):
        there.loop.finish(there.connection.execute_script(b"SELECT 1"))  # type: ignore[arg-type]
    with pytest.raises(InterfaceError, match="record_class"):
        there.loop.finish(there.connection.execute_script("SELECT 1", record_class=dict))
    assert there.server.log == []


def test_rows_and_status_of_one_statement() -> None:
    loop = loop_with(
        [
            *executed("A", [("a", INT4)], row(b"\0\0\0\1"), CommandComplete("UPDATE 1"), ready()),
            *expect_execution(),
            send(BindComplete(), CommandComplete("UPDATE 0"), ready()),
        ]
    )
    connection = connect(loop)
    assert loop.finish(connection.query("A")) == Result([(1,)], "UPDATE 1")
    assert loop.finish(connection.query("A")) == Result([], "UPDATE 0")
