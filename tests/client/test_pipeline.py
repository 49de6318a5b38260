"""Pipelines: what is sent when, and what each handle is told."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.client import Connection, Pipeline, PipelineResult, Transaction, connecting
from pgsansio.enums import Outcome
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    DataError,
    DivisionByZeroError,
    ForeignKeyViolationError,
    InterfaceError,
    InvalidCachedStatementError,
    InvalidValueError,
    OperationTimeoutError,
    PipelineAbortedError,
    ProtocolError,
    ReadOnlySQLTransactionError,
    UndefinedTableError,
)
from pgsansio.kernel import Record
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    ErrorResponse,
    NoData,
    ParameterDescription,
    ParseComplete,
)
from pgsansio.messages.frontend import Bind, Close, Describe, Execute, Parse, Query, Sync
from pgsansio.policy.conninfo import resolve_settings
from pgsansio.policy.statement_names import StatementNames
from pgsansio.testing.loop import Cancelled, VirtualLoop
from pgsansio.testing.script import (
    Step,
    error,
    expect,
    expect_first_execution,
    ready,
    row,
    row_description,
    selected,
    send_bytes,
)
from pgsansio.testing.script import send as say
from pgsansio.types import Result
from tests.client.test_cancel_everywhere import World, world
from tests.client.test_hostile_server import connect, loop_with
from tests.client.test_learning import GOODS, MOODS, TYPES, check_no_statement_is_left, define
from tests.support.toy_server import ToyCluster

INT4 = 23


def run(there: World, body: Callable[[Connection], Awaitable[Any]]) -> Any:
    return there.loop.finish(body(there.connection))  # type: ignore[arg-type]


def outcome(handle: PipelineResult[Any]) -> Any:
    """What it is, or its error."""
    try:
        return handle.result()
    except Exception as error:
        return error


def aborted(handle: PipelineResult[Any], outcome: Outcome, cause: type[BaseException]) -> bool:
    """Whether it has this to say of another one's failure."""
    with pytest.raises(PipelineAbortedError) as caught:
        handle.result()
    assert isinstance(caught.value.__cause__, cause)
    assert caught.value.safe_to_retry == (outcome is not Outcome.UNKNOWN)
    assert caught.value.connection_usable
    return caught.value.outcome is outcome


# What is sent


def described(*parameters: int, rows: bool = True) -> list[Any]:
    """The answer to Parse and Describe."""
    return [
        ParseComplete(),
        ParameterDescription(parameters),
        row_description(("a", INT4)) if rows else NoData(),
    ]


def expect_parse(query: str) -> list[Step]:
    return [expect(lambda message: isinstance(message, Parse) and message.query == query), expect(Describe)]


def expect_bind(*parameters: bytes | None) -> list[Step]:
    return [expect(lambda message: isinstance(message, Bind) and message.parameters == parameters), expect(Execute)]


FIVE = b"\0\0\0\5"
SIX = b"\0\0\0\6"


def test_one_round_trip_to_prepare_and_one_for_all() -> None:
    loop = loop_with(
        [
            *expect_parse("A $1"),
            *expect_parse("B"),
            expect(Sync),
            say(*described(INT4), *described(), ready()),
            *expect_bind(FIVE),
            *expect_bind(),
            *expect_bind(SIX),
            expect(lambda message: isinstance(message, Parse) and message.query == "C"),
            *expect_bind(),
            expect(Sync),
            say(BindComplete(), row(FIVE), selected()),
            say(BindComplete(), row(SIX), selected()),
            say(BindComplete(), selected("SELECT 0")),
            say(ParseComplete(), BindComplete(), selected("INSERT 0 7"), ready()),
            # All of them are known now.
            *expect_bind(),
            *expect_bind(FIVE),
            expect(Sync),
            say(BindComplete(), selected("SELECT 0")),
            say(BindComplete(), selected("SELECT 0"), ready()),
        ]
    )
    connection = connect(loop)

    async def body() -> list[Any]:
        async with connection.pipeline() as pipeline:
            handles = [
                pipeline.fetch("A $1", 5),
                pipeline.fetchval("B"),
                pipeline.query("A $1", 6),
                pipeline.execute("C"),
            ]
            assert not connection._frontend.in_flight
            assert connection._frontend.idle
        async with connection.pipeline() as pipeline:
            handles += [pipeline.execute("B"), pipeline.fetchrow("A $1", 5)]
        return [handle.result() for handle in handles]

    assert loop.finish(body()) == [[(5,)], 6, Result([], "SELECT 0"), "INSERT 0 7", "SELECT 0", None]
    assert connection._queries == 6


def test_a_statement_that_is_not_cached_is_parsed_in_the_group() -> None:
    cluster = ToyCluster()
    loop = VirtualLoop(cluster)
    resolved = resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home=None, platform="linux", timeout=None,
        statement_cache_size=0,
    )  # fmt: skip
    connection = loop.finish(connecting.connect(loop.port, resolved, Connection))

    async def body() -> Any:
        async with connection.pipeline() as pipeline:
            handles = [pipeline.fetchval("SELECT $1", 1), pipeline.fetchval("SELECT 2"), pipeline.fetchval("SELECT 3")]
            many = pipeline.executemany("INSERT $1", [(1,), (2,)])
        assert many.result() is None
        return [handle.result() for handle in handles]

    assert loop.finish(body()) == [1, 2, 3]
    assert cluster.sessions[0].state.rows == [1, 2]
    assert list(cluster.sessions[0]._statements) == [""]


def test_more_new_statements_than_the_cache_keeps() -> None:
    cluster = ToyCluster()
    loop = VirtualLoop(cluster)
    resolved = resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home=None, platform="linux", timeout=None,
        statement_cache_size=2,
    )  # fmt: skip
    connection = loop.finish(connecting.connect(loop.port, resolved, Connection))

    async def body() -> Any:
        async with connection.pipeline() as pipeline:
            handles = [pipeline.fetchval(f"SELECT {number}") for number in range(10)]
        return [handle.result() for handle in handles]

    assert loop.finish(body()) == list(range(10))
    frontend = connection._frontend
    known = {statement.name for statement, _ in frontend.statements._entries.values()} | set(frontend._to_close)
    assert {name for name in cluster.sessions[0]._statements if name} == known


def test_what_was_released_is_closed_with_the_next_preparation() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        statement = await connection.prepare("SELECT 8")
        name = statement.get_name()
        del statement
        assert name in there.server._statements
        async with connection.pipeline() as pipeline:
            pipeline.fetch("SELECT 9")
        assert name not in there.server._statements

    run(there, body)
    check_no_statement_is_left(there.cluster, there.connection)


def test_parts() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            first = pipeline.execute("INSERT 1")
            await pipeline.sync()
            assert first.result() == await first == "INSERT 0 1"
            await pipeline.sync()  # of nothing
            assert there.server.state.rows == [1]
            with pytest.raises(DivisionByZeroError):
                await failing(pipeline)
            assert there.server.state.rows == [1]
            last = pipeline.execute("INSERT 3")
        assert last.result() == "INSERT 0 1"
        assert there.server.state.rows == [1, 3]

    async def failing(pipeline: Any) -> None:
        pipeline.execute("INSERT 2")
        pipeline.execute("FAIL")
        await pipeline.sync()

    run(there, body)


def test_an_empty_pipeline_and_an_empty_executemany() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.pipeline():
            pass
        async with connection.pipeline() as pipeline:
            handle = pipeline.executemany("INSERT $1", [])
            pipeline.executemany("INSERT $1", iter(()))
        assert handle.result() is None
        async with connection.pipeline() as pipeline:
            pipeline.executemany("INSERT $1", [])
            value = pipeline.fetchval("SELECT 1")
        assert value.result() == 1

    run(there, body)
    assert there.server.state.rows == []


def test_rows_as_they_are_wanted() -> None:
    class Mine(Record):
        __slots__ = ()

    there = world()

    async def body(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            rows = pipeline.fetch("SERIES 3", record_class=Mine)
            first = pipeline.fetchrow("SERIES 3")
            value = pipeline.fetchval("SERIES 3", column="a")
            wrong = pipeline.fetchval("SERIES 3", column=1)
            none = pipeline.fetchval("SERIES 0")
            status = pipeline.execute("SERIES 3")
        assert [type(row) for row in rows.result()] == [Mine] * 3
        assert (first.result(), value.result(), none.result()) == ((1,), 1, None)
        assert status.result() == "SELECT 3"
        with pytest.raises(IndexError):
            wrong.result()

    run(there, body)


# What is refused


def test_a_result_is_not_there_before_it_is() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            handle = pipeline.fetchval("SELECT 1")
            assert "not known yet" in repr(handle)
            with pytest.raises(InterfaceError, match="not known yet"):
                handle.result()
            with pytest.raises(InterfaceError, match="not known yet"):
                await handle
        assert "completed" in repr(handle)

    run(there, body)


BARRIERS = ["COPY t TO STDOUT", "BEGIN", "start transaction", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT a",
            "RELEASE a", "PREPARE a AS SELECT 1", "/* so */ DISCARD ALL", "DEALLOCATE ALL", "CALL p()"]  # fmt: skip


@pytest.mark.parametrize("query", BARRIERS)
def test_statements_that_are_none_for_a_pipeline(query: str) -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            with pytest.raises(InterfaceError, match="cannot be part of a pipeline") as caught:
                pipeline.execute(query)
            assert caught.value.hint
            pipeline.execute("INSERT 1")

    run(there, body)
    assert there.server.state.rows == [1]


def test_settings_are_changed_before_anything_else_is_written() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            pipeline.execute("SET a = 1")
            pipeline.execute("RESET a")

    task = there.loop.start(body(there.connection))
    while not there.connection._frontend.in_flight:
        there.loop.step()
    sync = there.connection._frontend.in_flight[-1]
    behind = there.loop.start(there.connection.fetch("SELECT 1"))
    while not sync.settled:
        there.loop.step()
        assert len(there.connection._frontend.in_flight) <= 3
    there.loop.run(task)
    there.loop.run(behind)
    task.result()
    assert there.server.log[:3] == ["SET a = 1", "RESET a", "SELECT 1"]


def test_it_is_used_within_its_block() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        pipeline = connection.pipeline()
        with pytest.raises(InterfaceError, match="within its `async with` block"):
            pipeline.fetch("SELECT 1")
        with pytest.raises(InterfaceError, match="within its `async with` block"):
            await pipeline.sync()
        async with pipeline:
            with pytest.raises(InterfaceError, match="already in"):
                await pipeline.__aenter__()
            with pytest.raises(TypeError, match="query is expected to be a str"):
                pipeline.fetch(b"SELECT 1")  # type: ignore[arg-type]
            with pytest.raises(InterfaceError, match="record_class"):
                pipeline.fetch("SELECT 1", record_class=dict)
            with pytest.raises(InterfaceError, match="cannot exceed 65535"):
                pipeline.fetch("SELECT 1", *range(65536))
        with pytest.raises(InterfaceError, match="within its `async with` block"):
            pipeline.fetch("SELECT 1")
        async with pipeline:
            value = pipeline.fetchval("SELECT 1")
        assert value.result() == 1

    run(there, body)


def test_a_closed_connection() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        pipeline = connection.pipeline()
        await pipeline.__aenter__()
        handle = pipeline.execute("INSERT 1")
        await connection.close()
        with pytest.raises(InterfaceError, match="is closed"):
            await pipeline.__aexit__(None, None, None)
        assert aborted(handle, Outcome.CANCELLED, InterfaceError)
        with pytest.raises(InterfaceError, match="is closed"):
            connection.pipeline()
        with pytest.raises(InterfaceError, match="is closed"):
            await pipeline.__aenter__()

    run(there, body)


def test_an_exception_discards_what_was_not_sent() -> None:
    there = world()
    handles: list[PipelineResult[Any]] = []

    async def body(connection: Connection) -> None:
        with contextlib.suppress(LookupError):
            async with connection.pipeline() as pipeline:
                handles.append(pipeline.execute("INSERT 1"))
                await pipeline.sync()
                handles.append(pipeline.execute("INSERT 2"))
                raise LookupError
        assert await connection.fetchval("SELECT 1") == 1

    run(there, body)
    assert there.server.state.rows == [1]
    assert handles[0].result() == "INSERT 0 1"
    assert aborted(handles[1], Outcome.CANCELLED, LookupError)


def test_a_task_that_would_wait_for_itself() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        handles: list[PipelineResult[Any]] = []
        async with connection.stream("SERIES 5", prefetch=2) as rows:
            async for _ in rows:
                with pytest.raises(InterfaceError, match="this task is in the middle of another one"):
                    await add(connection, handles)
                break
        assert aborted(handles[0], Outcome.CANCELLED, InterfaceError)

    async def add(connection: Connection, handles: list[PipelineResult[Any]]) -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.execute("INSERT 1"))

    run(there, body)
    assert there.server.state.rows == []


@pytest.mark.parametrize("shared", [False, True])
def test_another_task_in_a_transaction(shared: bool) -> None:
    there = world()
    loop, connection = there.loop, there.connection

    async def pipelined() -> Any:
        async with connection.pipeline() as pipeline:
            handle = pipeline.fetchval("SELECT $1", 5)
            pipeline.execute("INSERT 1")
        return handle.result()

    async def begin() -> Transaction:
        transaction = connection.transaction(shared=shared)
        await transaction.start()
        return transaction

    transaction = loop.finish(begin())
    loop.finish(connection.fetch("SELECT 6"))
    one, other = loop.start(connection.fetchval("SELECT 6")), loop.start(pipelined())
    loop.run()
    assert one.result() == 6
    if shared:
        assert other.result() == 5
    else:
        assert isinstance(other.error, InterfaceError)
        assert "another operation is in progress" in str(other.error)
    loop.finish(transaction.commit())
    assert there.server.state.rows == [1] * shared


# What fails


def test_outside_of_a_transaction_all_or_nothing() -> None:
    there = world()
    handles: list[PipelineResult[Any]] = []

    async def body(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.execute("INSERT 1"))
            handles.append(pipeline.execute("FAIL"))
            handles.append(pipeline.fetchval("SELECT $1", 3))

    with pytest.raises(DivisionByZeroError) as caught:
        run(there, body)
    assert caught.value.query == "FAIL"
    assert there.server.state.rows == []
    assert outcome(handles[1]) is caught.value
    assert "failed" in repr(handles[1])
    assert aborted(handles[0], Outcome.SKIPPED, DivisionByZeroError)
    assert aborted(handles[2], Outcome.SKIPPED, DivisionByZeroError)
    assert run(there, lambda connection: connection.fetchval("SELECT 1")) == 1


def test_in_a_transaction_what_was_before_has_happened() -> None:
    there = world()
    handles: list[PipelineResult[Any]] = []

    async def body(connection: Connection) -> None:
        async with connection.transaction(), connection.pipeline() as pipeline:
            handles.append(pipeline.execute("INSERT 1"))
            handles.append(pipeline.fetch("FAIL"))
            handles.append(pipeline.execute("INSERT 3"))

    with pytest.raises(DivisionByZeroError):
        run(there, body)
    assert handles[0].result() == "INSERT 0 1"
    assert isinstance(outcome(handles[1]), DivisionByZeroError)
    assert aborted(handles[2], Outcome.SKIPPED, DivisionByZeroError)
    assert there.server.state.rows == []


def test_an_element_of_executemany_fails() -> None:
    there = world()
    handles: list[PipelineResult[Any]] = []

    async def body(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.executemany("INSERT $1", [(1,), ("x",)]))
            handles.append(pipeline.execute("INSERT 2"))

    with pytest.raises(DataError, match=r"in element #1 of executemany\(\) sequence"):
        run(there, body)
    assert isinstance(outcome(handles[0]), DataError)
    assert aborted(handles[1], Outcome.CANCELLED, DataError)
    assert there.server.log == []


@pytest.mark.parametrize(
    ("args", "expected"), [(("x",), DataError), ((), InterfaceError), ((1, 2), InterfaceError)], ids=str
)
def test_an_argument_that_is_refused_keeps_all_from_being_sent(args: tuple[object, ...], expected: type) -> None:
    there = world()
    handles: list[PipelineResult[Any]] = []

    async def body(connection: Connection) -> None:
        async with connection.transaction():
            with pytest.raises(expected):
                await add(connection)
            await connection.execute("INSERT 3")

    async def add(connection: Connection) -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.execute("INSERT 1"))
            handles.append(pipeline.fetch("SELECT $1", *args))
            handles.append(pipeline.execute("INSERT 2"))

    run(there, body)
    assert there.server.state.rows == [3]
    assert isinstance(outcome(handles[1]), expected)
    assert aborted(handles[0], Outcome.CANCELLED, expected)
    assert aborted(handles[2], Outcome.CANCELLED, expected)


def test_a_statement_that_is_refused_keeps_all_from_being_sent() -> None:
    loop = loop_with(
        [
            *expect_parse("A"),
            *expect_parse("B"),
            *expect_parse("C"),
            expect(Sync),
            say(*described(), error("42P01", "there is no such table"), ready()),
            # The one that was prepared is of no use for anybody.
            expect(lambda message: isinstance(message, Close) and message.name == StatementNames().take("A", ())),
            *expect_first_execution("D"),
        ]
    )
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.fetch("A"))
            handles.append(pipeline.fetch("B"))
            handles.append(pipeline.fetch("C"))

    with pytest.raises(UndefinedTableError) as caught:
        loop.finish(body())
    assert caught.value.query == "B"
    assert outcome(handles[1]) is caught.value
    assert aborted(handles[0], Outcome.CANCELLED, UndefinedTableError)
    assert aborted(handles[2], Outcome.CANCELLED, UndefinedTableError)
    loop.start(connection.fetch("D"))
    loop.run()


def test_the_commit_fails() -> None:
    loop = loop_with(
        [
            expect(Parse),
            *expect_bind(),
            expect(Parse),
            *expect_bind(),
            expect(Sync),
            say(ParseComplete(), BindComplete(), selected("INSERT 0 1")),
            say(ParseComplete(), BindComplete(), selected("INSERT 0 2"), error("23503", "deferred"), ready()),
        ]
    )
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.execute("A"))
            handles.append(pipeline.execute("B"))

    with pytest.raises(ForeignKeyViolationError):
        loop.finish(body())
    assert aborted(handles[0], Outcome.SKIPPED, ForeignKeyViolationError)
    assert aborted(handles[1], Outcome.SKIPPED, ForeignKeyViolationError)


def test_the_connection_ends_before_the_sync_is_answered() -> None:
    loop = loop_with(
        [
            expect(Parse),
            *expect_bind(),
            expect(Parse),
            *expect_bind(),
            expect(Sync),
            say(ParseComplete(), BindComplete(), selected("INSERT 0 1")),
        ]
    )
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.execute("A"))
            handles.append(pipeline.execute("B"))

    task = loop.start(body())
    loop.run()
    loop.ports[0].lose(ConnectionResetError(104, "reset by peer"))
    loop.run(task)
    assert isinstance(task.error, ConnectionDoesNotExistError)
    assert not task.error.safe_to_retry
    assert outcome(handles[0]) is task.error
    assert outcome(handles[1]) is task.error


def test_a_server_that_answers_too_little() -> None:
    loop = loop_with([*expect_parse("A"), expect(Sync), say(*described(), ready()), *expect_bind(), expect(Sync),
                      send_bytes(BindComplete().encode() + ready().encode())])  # fmt: skip
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.fetch("A"))

    with pytest.raises(ProtocolError):
        loop.finish(body())
    assert isinstance(outcome(handles[0]), ProtocolError)
    assert connection.is_closed()


def test_a_value_that_cannot_be_decoded_is_its_own_operations() -> None:
    loop = loop_with(
        [
            *expect_parse("A"),
            expect(Sync),
            say(*described(), ready()),
            *expect_bind(),
            *expect_bind(),
            expect(Sync),
            say(BindComplete(), row(b"xx"), selected(), BindComplete(), row(FIVE), selected(), ready()),
        ]
    )
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.fetch("A"))
            handles.append(pipeline.fetch("A"))

    with pytest.raises(InvalidValueError):
        loop.finish(body())
    assert isinstance(outcome(handles[0]), InvalidValueError)
    assert handles[1].result() == [(5,)]


OUTDATED = ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "0A000", "M": "cached plan", "R": "RevalidateCachedQuery"})


def test_an_outdated_statement_is_prepared_anew_and_all_is_sent_again() -> None:
    loop = loop_with(
        [
            *expect_parse("A $1"),
            expect(Sync),
            say(*described(INT4), ready()),
            *expect_bind(FIVE),
            *expect_bind(SIX),
            expect(Sync),
            say(BindComplete(), row(FIVE), selected(), OUTDATED, ready()),
            *again(),
            *expect_bind(FIVE),
            *expect_bind(SIX),
            expect(Sync),
            say(BindComplete(), row(FIVE), selected(), BindComplete(), row(SIX), selected(), ready()),
        ]
    )
    connection = connect(loop)

    async def body() -> Any:
        async with connection.pipeline() as pipeline:
            handles = [pipeline.fetchval("A $1", 5), pipeline.fetchval("A $1", 6)]
        return [handle.result() for handle in handles]

    assert loop.finish(body()) == [5, 6]


def again() -> list[Step]:
    return [expect(Close), *expect_parse("A $1"), expect(Sync), say(CloseComplete(), *described(INT4), ready())]


def test_once_and_not_in_a_transaction() -> None:
    loop = loop_with(
        [
            *expect_parse("A $1"),
            expect(Sync),
            say(*described(INT4), ready()),
            *expect_bind(FIVE),
            expect(Sync),
            say(OUTDATED, ready()),
            *again(),
            *expect_bind(FIVE),
            expect(Sync),
            say(OUTDATED, ready()),
        ]
    )
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.fetchval("A $1", 5))

    with pytest.raises(InvalidCachedStatementError):
        loop.finish(body())
    assert isinstance(outcome(handles[0]), InvalidCachedStatementError)


# Types


def test_types_are_asked_for_together() -> None:
    there = world()
    define(there.cluster, *TYPES)

    async def body(connection: Connection) -> Any:
        async with connection.pipeline() as pipeline:
            handles = [pipeline.fetchval(GOODS), pipeline.fetchval(GOODS + " "), pipeline.fetchval("SELECT 1")]
        return [handle.result() for handle in handles]

    assert run(there, body) == [["good", "bad"], ["good", "bad"], 1]
    assert there.cluster.questions == [(MOODS,)]


def test_a_question_about_types_that_is_refused() -> None:
    there = world()
    define(there.cluster, *TYPES)
    there.cluster.question_error = ("42501", "permission denied")
    handles: list[PipelineResult[Any]] = []

    async def body(connection: Connection) -> Any:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.fetchval(GOODS))

    with pytest.raises(Exception, match="permission denied"):
        run(there, body)
    assert isinstance(outcome(handles[0]), PipelineAbortedError)
    there.cluster.question_error = None
    check_no_statement_is_left(there.cluster, there.connection)


# Many, and others


def test_a_group_larger_than_the_window_beside_others() -> None:
    there = world()
    loop, connection = there.loop, there.connection
    loop.finish(connection.fetch("SELECT $1", 0))
    before = [loop.start(connection.fetchval("SELECT $1", number)) for number in range(40)]

    async def body() -> Any:
        async with connection.pipeline() as pipeline:
            handles = [pipeline.fetchval("SELECT $1", number) for number in range(500)]
        return [handle.result() for handle in handles]

    task = loop.start(body())
    loop.step()
    after = [loop.start(connection.fetchval("SELECT $1", number)) for number in range(40)]
    loop.run()
    assert task.result() == list(range(500))
    assert [one.result() for one in before + after] == [*range(40), *range(40)]


def test_a_group_given_up_while_it_waits_unsent() -> None:
    there = world()
    loop, connection = there.loop, there.connection
    sleeping = loop.start(connection.execute("SLEEP; SELECT 1"))
    loop.run()
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.extend(pipeline.execute(f"INSERT {number}") for number in range(3))

    task = loop.start(body())
    loop.run()
    task.cancel()
    loop.run(task)
    assert isinstance(task.error, Cancelled)
    assert all(aborted(handle, Outcome.CANCELLED, Cancelled) for handle in handles)
    there.server.interrupt()
    loop.run(sleeping)
    assert loop.finish(connection.fetchval("SELECT 1")) == 1
    assert there.server.state.rows == []
    assert there.cluster.cancel_requests == 0


def test_a_group_given_up_when_it_was_sent() -> None:
    there = world()
    handles: list[PipelineResult[Any]] = []

    async def body(connection: Connection) -> None:
        async with connection.pipeline(timeout=5) as pipeline:
            handles.append(pipeline.execute("INSERT 1"))
            handles.append(pipeline.execute("SLEEP"))
            handles.append(pipeline.execute("INSERT 2"))

    with pytest.raises(OperationTimeoutError) as caught:
        run(there, body)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert all(aborted(handle, Outcome.UNKNOWN, OperationTimeoutError) for handle in handles)
    assert run(there, lambda connection: connection.fetchval("SELECT 1")) == 1
    assert there.server.state.rows == []


def test_each_operation_is_logged() -> None:
    there = world()
    logged: list[Any] = []

    async def body(connection: Connection) -> None:
        connection.add_query_logger(logged.append)
        with contextlib.suppress(DivisionByZeroError):
            async with connection.pipeline() as pipeline:
                pipeline.fetch("SELECT $1", 5)
                pipeline.execute("FAIL")

    run(there, body)
    there.loop.run()
    assert [(record.query, record.args, type(record.exception)) for record in logged] == [
        ("SELECT $1", (5,), PipelineAbortedError),
        ("FAIL", (), DivisionByZeroError),
    ]


def test_a_value_that_cannot_be_decoded_before_what_the_server_refuses() -> None:
    loop = loop_with(
        [
            *expect_parse("A"),
            expect(Sync),
            say(*described(), ready("T")),
            *expect_bind(),
            *expect_bind(),
            *expect_bind(),
            *expect_bind(),
            expect(Sync),
            say(BindComplete(), row(FIVE), selected(), BindComplete(), row(b"xx"), selected()),
            say(BindComplete(), error(), ready("E")),
        ]
    )
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.extend(pipeline.fetchval("A") for _ in range(4))

    with pytest.raises(DivisionByZeroError):
        loop.finish(body())
    assert handles[0].result() == 5
    assert isinstance(outcome(handles[1]), InvalidValueError)
    assert isinstance(outcome(handles[2]), DivisionByZeroError)
    assert aborted(handles[3], Outcome.SKIPPED, DivisionByZeroError)


def test_a_transaction_that_cannot_begin() -> None:
    loop = loop_with(
        [
            expect(lambda message: isinstance(message, Parse) and message.query == "BEGIN;"),
            *expect_bind(),
            expect(lambda message: isinstance(message, Parse) and message.query == "A"),
            *expect_bind(),
            expect(Sync),
            say(error("25006", "read only"), ready()),
        ]
    )
    connection = connect(loop)
    handles: list[PipelineResult[Any]] = []

    async def body() -> None:
        async with connection.transaction(), connection.pipeline() as pipeline:
            handles.append(pipeline.execute("A"))

    with pytest.raises(ReadOnlySQLTransactionError):
        loop.finish(body())
    assert aborted(handles[0], Outcome.SKIPPED, ReadOnlySQLTransactionError)


def test_a_transaction_begins_in_the_group_of_its_pipeline() -> None:
    loop = loop_with(
        [
            expect(lambda message: isinstance(message, Parse) and message.query == "BEGIN;"),
            *expect_bind(),
            expect(lambda message: isinstance(message, Parse) and message.query == "A"),
            *expect_bind(),
            expect(Sync),
            say(ParseComplete(), BindComplete(), CommandComplete("BEGIN")),
            say(ParseComplete(), BindComplete(), selected("INSERT 0 1"), ready("T")),
            expect(lambda message: isinstance(message, Query) and message.query == "COMMIT;"),
            say(CommandComplete("COMMIT"), ready()),
        ]
    )
    connection = connect(loop)

    async def body() -> Any:
        async with connection.transaction(), connection.pipeline() as pipeline:
            handle = pipeline.execute("A")
        return handle.result()

    assert loop.finish(body()) == "INSERT 0 1"


# Anything


@dataclass(frozen=True)
class Asked:
    """An operation, what it gives, and the rows that it inserts; None for both: it fails."""

    ask: Callable[[Pipeline], PipelineResult[Any]]
    gives: Any
    inserts: list[int] | None


NUMBERS = st.integers(0, 9)
ASKED = st.one_of(
    NUMBERS.map(lambda n: Asked(lambda pipeline: pipeline.execute(f"INSERT {n}"), "INSERT 0 1", [n])),
    NUMBERS.map(lambda n: Asked(lambda pipeline: pipeline.execute("INSERT $1", n), "INSERT 0 1", [n])),
    NUMBERS.map(lambda n: Asked(lambda pipeline: pipeline.query("INSERT $1", n), Result([], "INSERT 0 1"), [n])),
    NUMBERS.map(lambda n: Asked(lambda pipeline: pipeline.fetchval("SELECT $1", n), n, [])),
    NUMBERS.map(lambda n: Asked(lambda pipeline: pipeline.fetchrow(f"SELECT {n}"), (n,), [])),
    NUMBERS.map(lambda n: Asked(lambda pipeline: pipeline.fetch(f"SERIES {n}"), [(i + 1,) for i in range(n)], [])),
    st.lists(NUMBERS, max_size=4).map(
        lambda some: Asked(lambda pipeline: pipeline.executemany("INSERT $1", [(n,) for n in some]), None, some)
    ),
    st.sampled_from(["execute", "fetch"]).map(
        lambda method: Asked(lambda pipeline: getattr(pipeline, method)("FAIL"), None, None)
    ),
)


@given(
    groups=st.lists(st.lists(ASKED, max_size=6), min_size=1, max_size=4),
    inside=st.booleans(),
    others=st.integers(0, 3),
    cache=st.sampled_from([0, 1, 100]),
)
@settings(max_examples=150, deadline=None)
def test_any_pipeline(groups: list[list[Asked]], inside: bool, others: int, cache: int) -> None:
    cluster = ToyCluster()
    loop = VirtualLoop(cluster)
    resolved = resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home=None, platform="linux", timeout=None,
        statement_cache_size=cache,
    )  # fmt: skip
    connection = loop.finish(connecting.connect(loop.port, resolved, Connection))
    kept: list[int] = []
    told: list[list[PipelineResult[Any]]] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            for group in groups:
                told.append([one.ask(pipeline) for one in group])
                await pipeline.sync()
                kept.extend(n for one in group for n in one.inserts or ())

    async def within() -> None:
        async with connection.transaction():
            await body()

    task = loop.start(within() if inside else body())
    beside = [loop.start(connection.fetchval("SELECT $1", 70 + n)) for n in range(0 if inside else others)]
    loop.run()
    fails = any(one.inserts is None for group in groups for one in group)
    assert isinstance(task.error, DivisionByZeroError) == fails
    assert [one.result() for one in beside] == [70 + n for n in range(len(beside))]
    assert cluster.sessions[0].state.rows == ([] if inside and fails else kept)
    for group, handles in zip(groups, told, strict=False):
        failed = next((index for index, one in enumerate(group) if one.inserts is None), None)
        for index, (one, handle) in enumerate(zip(group, handles, strict=True)):
            if failed is None or (inside and index < failed):
                assert handle.result() == one.gives
            elif index == failed:
                assert isinstance(outcome(handle), DivisionByZeroError)
            else:
                assert aborted(handle, Outcome.SKIPPED, DivisionByZeroError)
    assert loop.finish(connection.fetchval("SELECT 1")) == 1
