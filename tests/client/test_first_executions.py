"""Statements that are executed while they are prepared: what is taken for granted, and what a server makes of that."""

from typing import Any

import pytest

from pgsansio.client import Connection
from pgsansio.codecs.custom import TypeCodec
from pgsansio.codecs.descriptions import Description
from pgsansio.enums import Format
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InterfaceError,
    InvalidCachedStatementError,
    ProtocolError,
    UndefinedFunctionError,
    UndefinedTableError,
    UniqueViolationError,
)
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    ErrorResponse,
    FieldDescription,
    NoData,
    ParameterDescription,
    ParseComplete,
)
from pgsansio.messages.frontend import Bind, Close, Parse, Sync
from pgsansio.messages.tags import BackendMessage
from pgsansio.policy.statement_names import StatementNames
from pgsansio.testing.loop import VirtualLoop
from pgsansio.testing.script import (
    Step,
    error,
    expect,
    expect_execution,
    expect_first_execution,
    ready,
    row,
    row_description,
    selected,
    send,
    send_bytes,
)
from tests.client.test_hostile_server import connect, executed, loop_with, prepared

INT4, TEXT, ACLITEM = 23, 25, 1033
ONE, SEVEN = b"\0\0\0\1", b"\0\0\0\7"


def field(oid: int) -> FieldDescription:
    return FieldDescription("a", 0, 0, oid, -1, -1, Format.TEXT)


def tell(connection: Connection, query: str, parameters: list[int], columns: list[int]) -> None:
    """Another connection has found this."""
    description = Description(tuple(parameters), tuple(map(field, columns)), connection._port.clock())
    connection._frontend.descriptions.put(query, description)


def refused(sqlstate: str, function: str | None = None) -> ErrorResponse:
    fields = error(sqlstate, "no").fields
    return ErrorResponse(fields if function is None else {**fields, "R": function})


def connected(*script: Step) -> tuple[VirtualLoop, Connection]:
    loop = loop_with(script)
    return loop, connect(loop)


def left(loop: VirtualLoop) -> Any:
    """Whether the script has come to its end."""
    return loop.ports[0].peer.done  # type: ignore[union-attr]


# What is asked for


@pytest.mark.parametrize("max_rows", [0, 1])
def test_the_columns_that_nobody_knows_come_in_binary(max_rows: int) -> None:
    loop, connection = connected(*executed("A", [("a", INT4)], row(ONE), selected(), ready()))
    assert loop.finish(connection.fetchrow("A") if max_rows else connection.fetch("A")) == (
        (1,) if max_rows else [(1,)]
    )
    parse, _, bind, execute, _ = loop.ports[0].peer.messages[-5:]  # type: ignore[union-attr]
    assert parse == Parse(StatementNames().take("A", ()), "A")
    assert bind.result_formats == (Format.BINARY,)
    assert execute.max_rows == max_rows


def test_what_is_known_is_asked_for_as_it_is_known() -> None:
    loop, connection = connected(
        *expect_first_execution("A", SEVEN),
        send(ParseComplete(), ParameterDescription((INT4,)), row_description(("a", ACLITEM), ("b", INT4))),
        send(BindComplete(), row(b"x", ONE), selected(), ready()),
        *expect_execution(SEVEN),
        send(BindComplete(), row(b"y", ONE), selected(), ready()),
    )
    tell(connection, "A", [INT4], [ACLITEM, INT4])
    assert loop.finish(connection.fetch("A", 7)) == [("x", 1)]
    parse, _, bind, *_ = loop.ports[0].peer.messages[-5:]  # type: ignore[union-attr]
    assert parse.parameter_oids == (INT4,)
    assert bind.result_formats == (Format.TEXT, Format.BINARY)
    assert loop.finish(connection.fetch("A", 7)) == [("y", 1)]


def test_a_hint_grows_no_older_by_being_used() -> None:
    loop, connection = connected(
        *expect_first_execution("A", SEVEN),
        send(ParseComplete(), ParameterDescription((INT4,)), NoData(), BindComplete(), selected(), ready()),
    )
    tell(connection, "A", [INT4], [])
    since = loop.now
    loop.now += 299
    loop.finish(connection.fetch("A", 7))
    descriptions = connection._frontend.descriptions
    assert descriptions._entries["A"].since == since
    loop.now += 2
    assert connection._frontend.description("A", loop.now) is None


def test_what_does_not_fit_the_hint_goes_the_long_way() -> None:
    for args in ((), (1, 2), ("x",)):
        loop, connection = connected(
            *prepared("A", ("a", INT4)), *expect_execution(), send(BindComplete(), selected("SELECT 0"), ready())
        )
        tell(connection, "A", [INT4], [INT4])
        if args:
            with pytest.raises(InterfaceError, match="0 arguments"):
                loop.finish(connection.fetch("A", *args))
        else:
            assert loop.finish(connection.fetch("A")) == []


# What is refused


@pytest.mark.parametrize("function", ["getTypeBinaryOutputInfo", "array_send", "get_range_io_data", None])
def test_a_column_without_a_binary_form(function: str | None) -> None:
    loop, connection = connected(
        *expect_first_execution("A"),
        send(ParseComplete(), ParameterDescription(()), row_description(("a", ACLITEM))),
        send(BindComplete(), refused("42883", function), ready()),
        expect(lambda message: isinstance(message, Bind) and message.result_formats in ((), (Format.TEXT,))),
        *expect_execution()[1:],
        send(BindComplete(), row(b"x"), selected(), ready()),
    )
    assert loop.finish(connection.fetchval("A")) == "x"
    assert left(loop)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("sqlstate", "function"), [("42883", "ParseFuncOrColumn"), ("42P01", None), ("08P01", None), ("23505", None)]
)
def test_an_error_of_the_execution_is_the_users(known: bool, sqlstate: str, function: str | None) -> None:
    # A function has called what does not exist. Nothing of what was assumed has to do with that.
    loop, connection = connected(
        *executed("A", [("a", INT4)], refused(sqlstate, function), ready()),
        *expect_execution(),
        send(BindComplete(), row(ONE), selected(), ready()),
    )
    if known:
        tell(connection, "A", [], [INT4])
    with pytest.raises(Exception, match="no") as caught:
        loop.finish(connection.fetch("A"))
    assert caught.value.sqlstate == sqlstate  # type: ignore[attr-defined]
    assert caught.value.query == "A"  # type: ignore[attr-defined]
    # It is prepared all the same.
    assert loop.finish(connection.fetch("A")) == [(1,)]
    assert left(loop)


@pytest.mark.parametrize("sqlstate", ["08P01", "22P03", "42883", "42804", "42P01", "XX000"])
def test_a_wrong_hint_outside_of_a_transaction(sqlstate: str) -> None:
    loop, connection = connected(
        *expect_first_execution("A", SEVEN),
        send(ParseComplete(), ParameterDescription((INT4,)), row_description(("a", INT4))),
        send(refused(sqlstate), ready()),
        # What was prepared under it is of no use.
        expect(Close),
        expect(lambda message: message == Parse(StatementNames().take("A", ()), "A")),
        *prepared("A")[1:-1],
        send(CloseComplete(), ParseComplete(), ParameterDescription((TEXT,)), row_description(("a", TEXT)), ready()),
        *expect_execution(b"7"),
        send(BindComplete(), row(b"x"), selected(), ready()),
    )
    tell(connection, "A", [INT4], [INT4])

    with pytest.raises(Exception, match="expected str"):
        loop.finish(connection.fetch("A", 7))
    assert connection._frontend.descriptions.get("A") == Description((TEXT,), (field(TEXT),), loop.now)
    assert loop.finish(connection.fetch("A", "7")) == [("x",)]
    assert left(loop)


def test_a_number_of_columns_that_the_server_refuses_when_it_has_told_them() -> None:
    loop, connection = connected(
        *expect_first_execution("A"),
        send(ParseComplete(), ParameterDescription(()), row_description(("a", INT4), ("b", INT4), ("c", INT4))),
        send(refused("08P01"), ready()),
        expect(Close),
        *prepared("A")[:-1],
        send(CloseComplete(), ParseComplete(), ParameterDescription(()), row_description(("a", INT4)), ready()),
        *expect_execution(),
        send(BindComplete(), row(ONE), selected(), ready()),
    )
    tell(connection, "A", [], [ACLITEM, INT4])
    assert loop.finish(connection.fetch("A")) == [(1,)]
    assert left(loop)


def test_a_server_that_does_not_refuse_it() -> None:
    loop, connection = connected(
        *executed("A", [("a", INT4), ("b", INT4), ("c", INT4)], row(ONE, ONE, ONE), selected(), ready())
    )
    tell(connection, "A", [], [ACLITEM, INT4])
    with pytest.raises(ProtocolError, match="DataRow before RowDescription"):
        loop.finish(connection.fetch("A"))
    assert connection.is_closed()


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("08P01", InvalidCachedStatementError),
        ("22P03", InvalidCachedStatementError),
        ("42P01", UndefinedTableError),
        ("42883", UndefinedFunctionError),
        ("23505", UniqueViolationError),
    ],
)
def test_a_wrong_hint_in_a_transaction(sqlstate: str, expected: type[Exception]) -> None:
    loop, connection = connected(
        expect(lambda message: isinstance(message, Parse) and message.query.startswith("BEGIN")),
        *expect_execution()[:-1],
        send(ParseComplete(), BindComplete(), selected("BEGIN")),
        *expect_first_execution("A", SEVEN),
        send(ParseComplete(), ParameterDescription((INT4,)), row_description(("a", INT4))),
        send(refused(sqlstate), ready("E")),
        expect(lambda message: "ROLLBACK" in message.query),  # type: ignore[union-attr]
        send(selected("ROLLBACK"), ready()),
    )
    tell(connection, "A", [INT4], [INT4])

    async def body() -> None:
        async with connection.transaction():
            await connection.fetch("A", 7)

    with pytest.raises(expected) as caught:
        loop.finish(body())
    assert type(caught.value) is expected
    assert (connection._frontend.descriptions.get("A") is None) is (sqlstate != "23505")
    assert left(loop)


# What goes wrong


ANSWER: list[BackendMessage] = [
    ParseComplete(),
    ParameterDescription(()),
    row_description(("a", INT4)),
    BindComplete(),
    row(ONE),
    selected(),
]


@pytest.mark.parametrize("size", range(len(ANSWER) + 1))
def test_the_connection_ends_in_the_middle(size: int) -> None:
    loop, connection = connected(*expect_first_execution("A"), send(*ANSWER[:size]))
    task = loop.start(connection.fetch("A"))
    loop.run()
    loop.ports[0].lose(None)
    loop.run(task)
    assert isinstance(task.error, ConnectionDoesNotExistError)
    assert not connection._introduced


@pytest.mark.parametrize("missing", range(len(ANSWER)))
def test_an_answer_that_lacks_something(missing: int) -> None:
    answer = [message for number, message in enumerate(ANSWER) if number != missing]
    answer.append(ready())
    data = b"".join(message.encode() for message in answer)
    loop, connection = connected(*expect_first_execution("A"), send_bytes(data))
    if missing == len(ANSWER) - 2:
        assert loop.finish(connection.fetch("A")) == []
        return
    with pytest.raises(ProtocolError):
        loop.finish(connection.fetch("A"))
    assert connection.is_closed()


def test_tasks_that_ask_for_the_same_text_at_once() -> None:
    loop, connection = connected(
        *expect_first_execution("A"),
        *prepared("A")[:-1],
        send(*ANSWER, ready()),
        send(*ANSWER[:3], ready()),
        *expect_execution() * 2,
        send(*[BindComplete(), row(SEVEN), selected(), ready()] * 2),
        # One of the two that were prepared is closed when there is an occasion.
        expect(lambda message: isinstance(message, Close) and message.name == StatementNames().take("A", ())),
        *expect_first_execution("B"),
    )
    tasks = [loop.start(connection.fetchval("A")) for _ in range(3)]
    loop.run()
    assert [task.result() for task in tasks] == [1, 7, 7]
    loop.start(connection.fetch("B"))
    loop.run()
    assert left(loop)


def test_a_zero_byte_is_refused_before_anything_is_sent() -> None:
    loop, connection = connected()
    with pytest.raises(InterfaceError, match="zero byte"):
        loop.finish(connection.fetch("SELECT \0"))
    assert not any(isinstance(message, Sync) for message in loop.ports[0].peer.messages)  # type: ignore[union-attr]


def test_codecs_that_change_while_it_is_under_way() -> None:
    loop, connection = connected(*expect_first_execution("A"), send(*ANSWER[:4]))
    task = loop.start(connection.fetch("A"))
    loop.run()
    codec = TypeCodec("int4", schema="pg_catalog", encoder=str, decoder=lambda text: f"<{text}>", format="text")
    connection._frontend.registry.declare([codec])
    loop.ports[0].peer.then(  # type: ignore[union-attr]
        send(*ANSWER[4:], ready()), *expect_execution(), send(BindComplete(), row(b"5"), selected(), ready())
    )
    loop.run()
    assert task.result() == [(1,)]
    assert loop.finish(connection.fetch("A")) == [("<5>",)]
