"""Prepared statements: what they tell of themselves, what they give, and what happens when they cannot be used."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pgsansio.client import Connection, PreparedStatement
from pgsansio.errors import (
    DataError,
    DivisionByZeroError,
    InterfaceError,
    InvalidCachedStatementError,
    InvalidSQLStatementNameError,
    OperationTimeoutError,
)
from pgsansio.kernel import Record
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    ErrorResponse,
    FieldDescription,
    ParameterDescription,
    ParseComplete,
    RowDescription,
)
from pgsansio.messages.frontend import Bind, Close, Describe, Execute, Parse, Sync
from pgsansio.testing.loop import Cancelled
from pgsansio.testing.script import Step, error, expect, ready, row, row_description, send
from pgsansio.types import LoggedQuery, Result
from pgsansio.types.description import Attribute, Column, Type
from tests.client.test_cancel_everywhere import World, world
from tests.client.test_hostile_server import connect, loop_with
from tests.client.test_learning import MOODS, PAIR, PAIR_OF_THREE, TYPES, define

INT4, TEXT, VARCHAR = 23, 25, 1043
INTEGER = Type(INT4, "int4", "scalar", "pg_catalog")


def run(there: World, body: Callable[[Connection], Awaitable[Any]]) -> Any:
    return there.loop.finish(body(there.connection))  # type: ignore[arg-type]


def prepare(there: World, query: str, **keywords: Any) -> PreparedStatement:
    return there.loop.finish(there.connection.prepare(query, **keywords))


# What they tell


def test_what_a_statement_tells_of_itself() -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    assert statement.get_query() == "SELECT $1"
    assert statement.get_name() in there.server._statements
    assert statement.get_parameters() == (INTEGER,)
    assert statement.get_attributes() == (Attribute("a", INTEGER),)
    assert statement.get_columns() == (Column("a", INTEGER, None, None, None),)
    assert prepare(there, "INSERT $1", name="mine").get_name() == "mine"
    assert prepare(there, "INSERT 1").get_attributes() == ()


def test_where_columns_come_from() -> None:
    fields = (
        FieldDescription("a", 16384, 2, VARCHAR, -1, 24, 0),  # type: ignore[arg-type]
        FieldDescription("b", 0, 0, INT4, 4, -1, 0),  # type: ignore[arg-type]
    )
    loop = loop_with([
        expect(Parse), expect(Describe), expect(Sync),
        send(ParseComplete(), ParameterDescription(()), RowDescription(fields), ready()),
    ])  # fmt: skip
    statement = loop.finish(connect(loop).prepare("SELECT a, 1 AS b FROM t"))
    varchar = Type(VARCHAR, "varchar", "scalar", "pg_catalog")
    assert statement.get_columns() == (Column("a", varchar, 24, 16384, 2), Column("b", INTEGER, None, None, None))


def test_types_of_the_database_are_known_after_they_were_forgotten() -> None:
    there = world()
    define(there.cluster, *TYPES)
    statement = prepare(there, f"TYPED {MOODS} $1")
    there.loop.finish(there.connection.reload_schema_state())
    moods = Type(MOODS, "mood[]", "array", "public")
    assert statement.get_parameters() == (moods,)
    assert statement.get_attributes() == (Attribute("a", moods),)


# What they give


async def elements(count: int) -> AsyncIterator[tuple[int]]:
    for number in range(count):
        yield (number,)


def test_all_ways_to_execute_one() -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    finish = there.loop.finish
    assert statement.get_statusmsg() is None
    for timeout in (None, 3):
        assert finish(statement.fetch(1, timeout=timeout)) == [(1,)]
        assert statement.get_statusmsg() == "SELECT 1"
        assert finish(statement.fetchrow(2, timeout=timeout)) == (2,)
        assert finish(statement.fetchval(3, timeout=timeout)) == 3
        assert finish(statement.fetchval(3, column="a", timeout=timeout)) == 3
        assert finish(statement.query(4, timeout=timeout)) == Result([(4,)], "SELECT 1")
        assert finish(statement.execute(5, timeout=timeout)) == "SELECT 1"
        assert finish(statement.fetchmany([(6,), (7,)], timeout=timeout)) == [(6,), (7,)]
        assert finish(statement.fetchmany(elements(3), timeout=timeout)) == [(0,), (1,), (2,)]
        assert finish(statement.fetchmany([], timeout=timeout)) == []
    with pytest.raises(IndexError):
        finish(statement.fetchval(3, column=1))
    insert = prepare(there, "INSERT $1")
    assert finish(insert.executemany([(1,), (2,)])) is None
    assert finish(insert.fetchrow(3)) is None
    assert finish(insert.fetchval(4)) is None
    assert there.server.state.rows == [1, 2, 3, 4]


def test_rows_of_another_class() -> None:
    there = world()

    class Row(Record):
        pass

    statement = prepare(there, "SELECT $1", record_class=Row)
    for rows in (there.loop.finish(statement.fetch(1)), there.loop.finish(statement.fetchmany([(1,)]))):
        assert [type(one) for one in rows] == [Row]
    with pytest.raises(InterfaceError, match="record_class is expected to be a subclass"):
        prepare(there, "SELECT 1", record_class=tuple)


def test_a_cursor_of_one() -> None:
    there = world()
    statement = prepare(there, "SERIES $1")

    async def body(connection: Connection) -> None:
        async with connection.transaction():
            assert [one[0] async for one in statement.cursor(5, prefetch=2)] == [1, 2, 3, 4, 5]
            cursor = await statement.cursor(3)
            assert await cursor.fetch(2) == [(1,), (2,)]

    run(there, body)


def test_query_loggers_hear_of_them() -> None:
    there = world()
    heard: list[LoggedQuery] = []
    statement = prepare(there, "SELECT $1")
    there.connection.add_query_logger(heard.append)
    there.loop.finish(statement.fetchval(1))
    there.loop.finish(statement.fetchmany([(1,)]))
    there.loop.run()
    assert [(record.query, record.args) for record in heard] == [("SELECT $1", (1,)), ("SELECT $1", [(1,)])]


METHODS: dict[str, Callable[[PreparedStatement], Any]] = {
    "fetch": lambda statement: statement.fetch(),
    "fetchrow": lambda statement: statement.fetchrow(),
    "fetchval": lambda statement: statement.fetchval(),
    "query": lambda statement: statement.query(),
    "execute": lambda statement: statement.execute(),
    "executemany": lambda statement: statement.executemany([()]),
    "fetchmany": lambda statement: statement.fetchmany([()]),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_failing_one_says_what_it_is(name: str) -> None:
    there = world()
    statement = prepare(there, "FAIL")
    for _ in range(2):
        with pytest.raises(DivisionByZeroError) as caught:
            there.loop.finish(METHODS[name](statement))
        assert caught.value.query == "FAIL"
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


@pytest.mark.parametrize("name", METHODS)
def test_a_cancelled_one_is_cancelled_on_the_server(name: str) -> None:
    there = world()
    statement = prepare(there, "SLEEP")
    task = there.loop.start(METHODS[name](statement))
    there.loop.run()
    assert there.server.sleeping
    task.cancel()
    there.loop.run()
    assert isinstance(task.error, Cancelled)
    assert not there.server.sleeping
    assert there.cluster.cancel_requests == 1
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


@pytest.mark.parametrize("name", METHODS)
def test_arguments_that_are_none(name: str) -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    method = getattr(statement, name)
    arguments = [[("text",)]] if "many" in name else ["text"]
    with pytest.raises(DataError, match=r"invalid input for query argument \$1"):
        there.loop.finish(method(*arguments))
    assert there.server.log == []


def test_what_the_arguments_raise() -> None:
    there = world()
    insert = prepare(there, "INSERT $1")

    async def failing() -> AsyncIterator[tuple[int]]:
        for number in range(20_000):
            yield (number,)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        there.loop.finish(insert.executemany(failing()))
    assert there.server.state.rows == []


def test_what_the_arguments_raise_when_the_server_has_an_error_too() -> None:
    there = world()
    failing = prepare(there, "FAIL $1")

    async def body() -> AsyncIterator[tuple[int]]:
        yield (1,)
        yield (2,)
        raise KeyError("mine")

    with pytest.raises(DivisionByZeroError) as caught:
        there.loop.finish(failing.executemany(body()))
    assert isinstance(caught.value.__cause__, KeyError)


# Its end


@pytest.mark.parametrize("how", ["close", "block"])
def test_closing_one(how: str) -> None:
    there = world()

    async def body(connection: Connection) -> PreparedStatement:
        statement = await connection.prepare("SELECT $1")
        assert statement.get_name() in there.server._statements
        if how == "block":
            async with statement as inside:
                assert inside is statement
        else:
            await statement.close()
        await statement.close(timeout=1)
        return statement

    statement = run(there, body)
    assert there.server._statements == {}
    for name in (*METHODS, "explain"):
        with pytest.raises(
            InterfaceError, match=r"cannot call PreparedStmt\.\w+\(\): the prepared statement is closed"
        ):
            there.loop.finish(METHODS[name](statement) if name in METHODS else statement.explain())
    for name in ("get_name", "get_query", "get_statusmsg", "get_parameters", "get_attributes", "get_columns", "cursor"):
        with pytest.raises(InterfaceError, match="the prepared statement is closed"):
            getattr(statement, name)()


def test_an_error_closes_it_and_a_cancellation_leaves_that_for_later() -> None:
    there = world()

    async def failing(connection: Connection) -> None:
        async with await connection.prepare("SELECT $1"):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(there, failing)
    assert there.server._statements == {}

    async def cancelled() -> None:
        async with await there.connection.prepare("SLEEP") as statement:
            await statement.fetch()

    task = there.loop.start(cancelled())
    there.loop.run()
    task.cancel()
    there.loop.run()
    assert isinstance(task.error, Cancelled)
    assert list(there.server._statements.values()) == ["SLEEP"]
    prepare(there, "SELECT 2")
    assert "SLEEP" not in there.server._statements.values()

    async def cancelled_when_it_is_over() -> None:
        async with await there.connection.prepare("SELECT 3") as statement:
            await statement.close()
            raise Cancelled

    with pytest.raises(Cancelled):
        there.loop.finish(cancelled_when_it_is_over())


def test_one_that_is_forgotten_is_closed_with_the_next() -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    name = statement.get_name()
    del statement
    gc.collect()
    assert name in there.server._statements
    kept = prepare(there, "SELECT 2")
    assert list(there.server._statements) == [kept.get_name()]


def test_a_lost_connection_has_no_statements() -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    there.loop.ports[0].lose()
    with pytest.raises(InterfaceError, match=r"PreparedStatement\.fetch\(\): the underlying connection is closed"):
        there.loop.finish(statement.fetch(1))
    there.loop.finish(statement.close())
    with pytest.raises(InterfaceError, match="connection is closed"):
        prepare(there, "SELECT 1")


def test_one_of_who_had_the_connection_before() -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    there.connection._releases += 1
    with pytest.raises(InterfaceError, match="the underlying connection has been released back to the pool"):
        there.loop.finish(statement.fetch(1))
    there.loop.finish(statement.close())  # later, and not at the cost of who has it now
    assert there.server._statements
    prepare(there, "SELECT 2")
    assert list(there.server._statements.values()) == ["SELECT 2"]


def test_closing_has_a_time_limit() -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    sleeping = there.loop.start(there.connection.fetch("SLEEP"))
    there.loop.run()
    closing = there.loop.start(statement.close(timeout=2))
    there.loop.run(closing)
    assert isinstance(closing.error, OperationTimeoutError)
    there.server.interrupt()
    there.loop.run(sleeping)
    prepare(there, "SELECT 2")
    assert "SELECT $1" not in there.server._statements.values()


# What is gone, or has changed


PREPARED = [ParseComplete(), ParameterDescription(()), row_description(("a", INT4)), ready()]


def prepared(*closing: Any) -> list[Step]:
    answer = [CloseComplete(), *PREPARED] if closing else PREPARED
    return [*(expect(Close) for _ in closing), expect(Parse), expect(Describe), expect(Sync), send(*answer)]


EXECUTED = [expect(Bind), expect(Execute), expect(Sync)]
ROWS: Step = send(BindComplete(), row(b"\0\0\0\7"), CommandComplete("SELECT 1"), ready())


OUTDATED = ErrorResponse({**error("0A000", "changed").fields, "R": "RevalidateCachedQuery"})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(OUTDATED, InvalidCachedStatementError), (error("26000", "there is none"), InvalidSQLStatementNameError)],
)
@pytest.mark.parametrize("name", ["fetch", "fetchmany"])
def test_one_that_is_gone_is_told_of_and_prepared_again(
    name: str, answer: ErrorResponse, expected: type[Exception]
) -> None:
    loop = loop_with([*prepared(), *EXECUTED, send(answer, ready()), *prepared("closing"), *EXECUTED, ROWS])
    connection = connect(loop)
    statement = loop.finish(connection.prepare("SELECT a FROM t"))
    before = statement.get_name()
    with pytest.raises(expected) as caught:
        loop.finish(METHODS[name](statement))
    assert caught.value.query == "SELECT a FROM t"  # type: ignore[attr-defined]
    assert loop.finish(METHODS[name](statement)) == [(7,)]
    assert statement.get_name() != before


def test_tasks_that_find_it_gone_share_what_the_fastest_has_prepared() -> None:
    there = world()
    statement = prepare(there, "SELECT $1")
    statement._is_gone = True
    there.connection._frontend.release(statement._statement)
    tasks = [there.loop.start(statement.fetchval(number)) for number in range(3)]
    there.loop.run()
    assert [task.result() for task in tasks] == [0, 1, 2]
    prepare(there, "SELECT 2")
    assert sorted(there.server._statements.values()) == ["SELECT $1", "SELECT 2"]


def test_types_that_have_changed_are_learned_again() -> None:
    there = world()
    define(there.cluster, *TYPES)
    statement = prepare(there, f"TYPED {PAIR} $1")
    assert there.loop.finish(statement.fetchval((1, 2))) == (1, 2)
    define(there.cluster, PAIR_OF_THREE)
    assert there.loop.finish(statement.fetchval((1, 2, 3))) == (1, 2, 3)
    assert there.loop.finish(statement.fetchmany([((4, 5, 6),)])) == [((4, 5, 6),)]
    define(there.cluster, *TYPES)
    assert there.loop.finish(statement.fetchmany([((4, 5),)])) == [((4, 5),)]
    with pytest.raises(DataError):
        there.loop.finish(statement.fetch((1, 2, 3, 4)))
    with pytest.raises(DataError):
        there.loop.finish(statement.fetchmany([((1, 2, 3, 4),)]))


def test_explaining_one() -> None:
    plan = b'[{"Plan": {"Node Type": "Result"}}]'
    answer = [ParseComplete(), ParameterDescription(()), row_description(("QUERY PLAN", 114))]
    explained = [
        expect(lambda message: isinstance(message, Parse) and message.query.startswith("EXPLAIN (FORMAT JSON")),
        expect(Describe), expect(Bind), expect(Execute), expect(Sync),
        send(*answer, BindComplete(), row(plan), CommandComplete("EXPLAIN"), ready()),
    ]  # fmt: skip
    loop = loop_with([*prepared(), *explained])
    connection = connect(loop)
    statement = loop.finish(connection.prepare("SELECT 1"))
    assert loop.finish(statement.explain()) == [{"Plan": {"Node Type": "Result"}}]


def test_explaining_by_executing_is_undone() -> None:
    there = world()
    statement = prepare(there, "INSERT 1")
    assert there.loop.finish(statement.explain(analyze=True)) is None
    assert there.server.log[-3:] == ["BEGIN", "EXPLAIN (FORMAT JSON, VERBOSE, ANALYZE) INSERT 1", "ROLLBACK"]
    assert not there.connection.is_in_transaction()
