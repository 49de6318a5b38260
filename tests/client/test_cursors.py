"""Cursors and streams: which rows they give, where they stand, and when they end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgsansio.client import Connection, connecting
from pgsansio.client.cursor import BaseCursor, Cursor
from pgsansio.errors import (
    DataError,
    DivisionByZeroError,
    InterfaceError,
    NoActiveSQLTransactionError,
    OperationTimeoutError,
)
from pgsansio.kernel import Record
from pgsansio.policy.conninfo import resolve_settings
from pgsansio.testing.loop import Cancelled
from pgsansio.types import LoggedQuery
from tests.client.test_cancel_everywhere import World, world
from tests.client.test_learning import PAIR, PAIR_OF_THREE, TYPES, define


def in_transaction(there: World, body: Callable[[Connection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with there.connection.transaction():
            return await body(there.connection)

    return there.loop.finish(run())


def rows(*numbers: int) -> list[tuple[int]]:
    return [(number,) for number in numbers]


# A cursor that is asked


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_cursor_gives_what_is_asked_for(timeout: float | None) -> None:
    there = world()

    async def body(connection: Connection) -> None:
        cursor = await connection.cursor("SERIES $1", 9)
        assert await cursor.fetch(2, timeout=timeout) == rows(1, 2)
        assert await cursor.fetchrow(timeout=timeout) == (3,)
        assert await cursor.forward(2, timeout=timeout) == 2
        assert repr(cursor).startswith('<pgsansio.client.cursor.Cursor "SERIES $1" 0x')
        assert await cursor.fetch(9, timeout=timeout) == rows(6, 7, 8, 9)
        assert await cursor.fetch(9) == []
        assert await cursor.fetchrow() is None
        assert '"SERIES $1" exhausted 0x' in repr(cursor)

    in_transaction(there, body)


def test_the_end_of_a_cursor() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        empty = await connection.cursor("SERIES 0")
        assert await empty.fetchrow() is None
        skipping = await connection.cursor("SERIES 3")
        assert await skipping.forward(7) == 3
        assert await skipping.fetchrow() is None
        closed = await connection.cursor("SERIES 3")
        assert await closed.fetchrow() == (1,)
        for _ in range(2):
            await closed.aclose()
            assert await closed.fetch(1) == []
            assert await closed.forward(1) == 0

    in_transaction(there, body)


def test_what_a_cursor_refuses() -> None:
    there = world()
    there.loop.finish(there.connection.execute("INSERT 1"))

    async def body(connection: Connection) -> Cursor:
        cursor = await connection.cursor("SERIES 3")
        for method in (cursor.fetch, cursor.forward):
            with pytest.raises(InterfaceError, match="n must be greater than zero"):
                await method(0)
        with pytest.raises(InterfaceError, match="prefetch argument can only be specified for iterable cursor"):
            await connection.cursor("SERIES 3", prefetch=2)
        with pytest.raises(InterfaceError, match="prefetch argument must be greater than zero"):
            aiter(connection.cursor("SERIES 3", prefetch=0))
        with pytest.raises(InterfaceError, match="cursor already has an open portal"):
            await cursor._bind(None)
        unbound = BaseCursor(connection, "SERIES 3", None, (), None)
        with pytest.raises(InterfaceError, match="cursor does not have an open portal"):
            await unbound._exec(1, None)
        assert await unbound._bind_exec(2, None) == rows(1, 2)
        await unbound.aclose()
        return cursor

    cursor = in_transaction(there, body)
    with pytest.raises(NoActiveSQLTransactionError, match="cursor cannot be created outside of a transaction"):
        there.loop.finish(cursor.fetch(1))
    there.loop.finish(cursor.aclose())  # its portal went with its transaction

    async def outside() -> None:
        await there.connection.cursor("SERIES 3")

    with pytest.raises(NoActiveSQLTransactionError):
        there.loop.finish(outside())
    there.loop.call(there.connection.terminate)
    for use in (lambda: cursor.fetch(1), cursor.fetchrow, lambda: cursor.forward(1)):
        with pytest.raises(InterfaceError, match=r"cannot call Cursor\.\w+\(\): the underlying connection is closed"):
            there.loop.finish(use())


@pytest.mark.parametrize("method", ["fetch", "forward"])
def test_the_place_of_a_cursor_is_lost_by_a_cancellation(method: str) -> None:
    there = world()
    cursors: list[Cursor] = []

    async def body() -> None:
        async with there.connection.transaction():
            cursors.append(await there.connection.cursor("SERIES 5"))
            cursor = cursors[0]
            async with there.connection._limit(there.loop.now + 5):
                await getattr(cursor, method)(2)

    task = there.loop.start(body())
    while not cursors or task.stop is None or task.stop.name != "wait":
        there.loop.step()
    there.loop.step()
    task.cancel()
    there.loop.run()
    if isinstance(task.error, Cancelled):
        assert cursors[0]._is_lost

    async def lost(connection: Connection) -> None:
        with pytest.raises(InterfaceError, match="its place is lost, since fetching from it was interrupted"):
            await cursors[0].fetch(1)

    assert isinstance(task.error, Cancelled)
    in_transaction(there, lost)


def test_an_error_while_fetching() -> None:
    there = world()
    statement = there.loop.finish(there.connection.prepare("FAIL"))

    async def body(connection: Connection) -> None:
        async for _ in statement.cursor():
            raise AssertionError

    with pytest.raises(DivisionByZeroError) as caught:
        in_transaction(there, body)
    assert caught.value.query == "FAIL"

    async def unprepared(connection: Connection) -> None:
        async for _ in connection.cursor("FAIL"):
            raise AssertionError

    with pytest.raises(DivisionByZeroError):
        in_transaction(there, unprepared)


def test_statements_that_are_not_cached() -> None:
    there = world()
    settings = resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home=None, platform="linux", statement_cache_size=0
    )
    there.connection = there.loop.finish(connecting.connect(there.loop.port, settings, Connection))

    async def body(connection: Connection) -> None:
        assert [one async for one in connection.cursor("SERIES 3", prefetch=2)] == rows(1, 2, 3)
        cursor = await connection.cursor("SERIES 4")
        assert await cursor.fetch(2) == rows(1, 2)
        await cursor.aclose()

    in_transaction(there, body)


def test_iterating_over_a_cursor() -> None:
    there = world()
    heard: list[LoggedQuery] = []

    class Row(Record):
        pass

    async def body(connection: Connection) -> None:
        factory = connection.cursor("SERIES 7", prefetch=3, timeout=5, record_class=Row)
        iterator = aiter(factory)
        assert aiter(iterator) is iterator
        found = [one async for one in iterator]
        assert found == rows(*range(1, 8))
        assert {type(one) for one in found} == {Row}
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
        early = aiter(connection.cursor("SERIES 7", prefetch=3))
        assert await anext(early) == (1,)
        await early.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(early)

    with there.connection.query_logger(heard.append):
        in_transaction(there, body)
    there.loop.run()
    assert [record.query for record in heard].count("SERIES 7") == 4


def test_types_that_changed_before_a_cursor() -> None:
    there = world()
    define(there.cluster, *TYPES)
    query = f"TYPED {PAIR} $1"
    prepared = there.loop.finish(there.connection.prepare(query))
    assert there.loop.finish(there.connection.fetchval(query, (1, 2))) == (1, 2)
    define(there.cluster, PAIR_OF_THREE)

    async def body(connection: Connection) -> None:
        assert [one async for one in prepared.cursor((1, 2, 3))] == [((1, 2, 3),)]
        assert [one async for one in connection.cursor(query, (4, 5, 6))] == [((4, 5, 6),)]
        with pytest.raises(DataError):
            await connection.cursor(query, (1, 2))

    in_transaction(there, body)


# Streams


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("timeout", [None, 5])
def test_a_stream(inside: bool, timeout: float | None) -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.stream("SERIES 7", prefetch=3, timeout=timeout) as stream:
            assert await stream.batch() == rows(1, 2, 3)
            assert await anext(stream) == (4,)
            assert await stream.batch() == rows(5, 6)
            assert [one async for one in stream] == rows(7)
            assert await stream.batch() == []
            await stream.aclose()
        stream = connection.stream("SERIES 7", prefetch=3, timeout=timeout)
        assert await anext(stream) == (1,)
        await stream.aclose()
        await stream.aclose()
        assert await stream.batch() == []
        assert await connection.fetchval("SELECT 1") == 1

    if inside:
        in_transaction(there, body)
    else:
        there.loop.finish(body(there.connection))  # type: ignore[arg-type]


def test_a_stream_that_an_error_leaves() -> None:
    there = world()

    async def body() -> None:
        async with there.connection.stream("SERIES 7", prefetch=3) as stream:
            await anext(stream)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        there.loop.finish(body())
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1
    with pytest.raises(InterfaceError, match="prefetch argument must be greater than zero"):
        there.loop.call(there.connection.stream, "SERIES 7", prefetch=0)


def test_a_stream_of_what_fails() -> None:
    there = world()

    async def body(timeout: float | None) -> None:
        async for _ in there.connection.stream("FAIL", timeout=timeout):
            raise AssertionError

    for timeout in (None, 5):
        with pytest.raises(DivisionByZeroError):
            there.loop.finish(body(timeout))

    async def sleeping() -> None:
        async for _ in there.connection.stream("SLEEP", timeout=5):
            raise AssertionError

    with pytest.raises(OperationTimeoutError):
        there.loop.finish(sleeping())
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


def test_types_that_changed_before_a_stream() -> None:
    there = world()
    define(there.cluster, *TYPES)
    query = f"TYPED {PAIR} $1"
    assert there.loop.finish(there.connection.fetchval(query, (1, 2))) == (1, 2)
    define(there.cluster, PAIR_OF_THREE)

    async def body(value: tuple[int, ...]) -> list[Any]:
        return [row async for row in there.connection.stream(query, value)]

    assert there.loop.finish(body((1, 2, 3))) == [((1, 2, 3),)]
    with pytest.raises(DataError):
        there.loop.finish(body((1, 2)))
