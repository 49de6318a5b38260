"""Cursors: rows of a query little by little."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import re
from typing import Any

import anyio
import pytest

from tests.support.clients import Client
from tests.support.pools import make_pool
from tests.support.statements import statements

pytestmark = [pytest.mark.anyio, pytest.mark.server]

NUMBERS = "SELECT i FROM generate_series(1, $1::int) AS i"
PORTALS = "SELECT count(*) FROM pg_cursors WHERE name LIKE '%portal%'"


@pytest.mark.checklist("CUR-1")
@pytest.mark.parametrize("prefetch", [None, 1, 3, 10, 11])
async def test_iterating(connection: Any, prefetch: int | None) -> None:
    async with connection.transaction():
        rows = [row async for row in connection.cursor(NUMBERS, 10, prefetch=prefetch)]
        assert [row["i"] for row in rows] == list(range(1, 11))
        assert [row async for row in connection.cursor(NUMBERS, 0, prefetch=prefetch)] == []
        assert await connection.fetchval(PORTALS) == 0


@pytest.mark.checklist("CUR-1")
@pytest.mark.parametrize(("prefetch", "fetches"), [(None, 3), (40, 4), (120, 2), (121, 1)])
async def test_how_many_come_at_a_time(client: Client, connection: Any, prefetch: int | None, fetches: int) -> None:
    async with statements(client, connection) as found, connection.transaction():
        async for _ in connection.cursor(NUMBERS, 120, prefetch=prefetch):
            pass
    assert len([text for text in found if "generate_series" in text]) == fetches


@pytest.mark.checklist("CUR-1")
@pytest.mark.parametrize("prefetch", [0, -1])
async def test_a_prefetch_of_nothing(connection: Any, client: Client, prefetch: int) -> None:
    async with connection.transaction():
        with pytest.raises(client.InterfaceError, match="prefetch argument must be greater than zero"):
            async for _ in connection.cursor("SELECT 1", prefetch=prefetch):
                pass


@pytest.mark.checklist("CUR-1")
async def test_other_statements_between(connection: Any) -> None:
    async with connection.transaction():
        async for row in connection.cursor(NUMBERS, 10, prefetch=2):
            assert await connection.fetchval("SELECT $1::int", row[0]) == row[0]
            inner = [number[0] async for number in connection.cursor(NUMBERS, row[0], prefetch=2)]
            assert inner == list(range(1, row[0] + 1))


@pytest.mark.checklist("CUR-2")
async def test_a_cursor_is_asked_for_rows(connection: Any) -> None:
    async with connection.transaction():
        cursor = await connection.cursor(NUMBERS, 12)
        assert await cursor.fetchrow() == (1,)
        assert await cursor.fetch(2) == [(2,), (3,)]
        assert await cursor.forward(3) == 3
        assert await cursor.fetchrow(timeout=20) == (7,)
        assert await cursor.fetch(3, timeout=20) == [(8,), (9,), (10,)]
        assert await cursor.forward(5, timeout=20) == 2
        assert await cursor.fetch(1) == []
        assert await cursor.fetchrow() is None
        assert await cursor.forward(1) == 0


@pytest.mark.checklist("CUR-2")
async def test_exactly_as_many_as_there_are(connection: Any) -> None:
    async with connection.transaction():
        cursor = await connection.cursor(NUMBERS, 3)
        assert len(await cursor.fetch(3)) == 3
        assert "exhausted" not in repr(cursor)
        assert await cursor.fetch(3) == []
        assert "exhausted" in repr(cursor)
        cursor = await connection.cursor(NUMBERS, 3)
        assert len(await cursor.fetch(2**31 - 1)) == 3
        cursor = await connection.cursor(NUMBERS, 0)
        assert await cursor.fetchrow() is None


@pytest.mark.checklist("CUR-2")
@pytest.mark.parametrize("n", [0, -1])
async def test_a_number_that_makes_no_sense(connection: Any, client: Client, n: int) -> None:
    async with connection.transaction():
        cursor = await connection.cursor(NUMBERS, 3)
        for method in (cursor.fetch, cursor.forward):
            with pytest.raises(client.InterfaceError, match="n must be greater than zero"):
                await method(n)
        assert await cursor.fetchrow() == (1,)


@pytest.mark.checklist("CUR-3")
async def test_prefetch_is_for_iterating(connection: Any, client: Client) -> None:
    async with connection.transaction():
        with pytest.raises(client.InterfaceError, match="prefetch argument can only be specified for iterable cursor"):
            await connection.cursor("SELECT 1", prefetch=5)


@pytest.mark.checklist("CUR-4")
async def test_outside_of_a_transaction(connection: Any, client: Client) -> None:
    text = "cursor cannot be created outside of a transaction"
    with pytest.raises(client.NoActiveSQLTransactionError, match=text) as caught:
        await connection.cursor("SELECT 1")
    assert caught.value.sqlstate == "25P01"
    with pytest.raises(client.NoActiveSQLTransactionError, match=text):
        async for _ in connection.cursor("SELECT 1"):
            pass
    statement = await connection.prepare("SELECT 1")
    with pytest.raises(client.NoActiveSQLTransactionError, match=text):
        await statement.cursor()
    async with connection.transaction():
        cursor = await connection.cursor(NUMBERS, 5)
        iterator = connection.cursor(NUMBERS, 5, prefetch=1).__aiter__()
        await iterator.__anext__()
    for call in (lambda: cursor.fetch(1), cursor.fetchrow, lambda: cursor.forward(1), iterator.__anext__):
        with pytest.raises(client.NoActiveSQLTransactionError, match=text):
            await call()
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("CUR-4")
async def test_in_a_transaction_of_the_users_sql(connection: Any) -> None:
    await connection.execute("BEGIN")
    assert [row[0] async for row in connection.cursor(NUMBERS, 5, prefetch=2)] == [1, 2, 3, 4, 5]
    cursor = await connection.cursor(NUMBERS, 5)
    assert await cursor.fetchrow() == (1,)
    await connection.execute("COMMIT")


@pytest.mark.checklist("CUR-5")
async def test_after_the_connection_was_released(client: Client) -> None:
    released = "the underlying connection has been released back to the pool"
    async with make_pool(client) as pool:
        async with pool.acquire() as connection, connection.transaction():
            cursor = await connection.cursor(NUMBERS, 5)
            factory = connection.cursor(NUMBERS, 5)
            iterator = factory.__aiter__()
            await iterator.__anext__()
        async with pool.acquire() as connection, connection.transaction():
            for name, call in (
                ("Cursor.fetch", lambda: cursor.fetch(1)),
                ("Cursor.fetchrow", cursor.fetchrow),
                ("Cursor.forward", lambda: cursor.forward(1)),
                ("CursorIterator.__anext__", iterator.__anext__),
            ):
                with pytest.raises(client.InterfaceError, match=rf"cannot call {name}\(\): {released}"):
                    await call()
            with pytest.raises(client.InterfaceError, match=rf"cannot call CursorFactory\.__aiter__\(\): {released}"):
                factory.__aiter__()
            with pytest.raises(client.InterfaceError, match=rf"cannot call CursorFactory\.__await__\(\): {released}"):
                await factory


@pytest.mark.checklist("CUR-5")
async def test_after_the_connection_was_closed(client: Client) -> None:
    async with client.connect() as connection:
        transaction = connection.transaction()
        await transaction.start()
        cursor = await connection.cursor(NUMBERS, 5)
        await connection.close()
        with pytest.raises(
            client.InterfaceError, match=r"cannot call Cursor\.fetch\(\): the underlying connection is closed"
        ):
            await cursor.fetch(1)
        with pytest.raises(client.InterfaceError, match="connection is closed"):
            connection.cursor("SELECT 1")


@pytest.mark.checklist("CUR-6")
async def test_repr(connection: Any) -> None:
    query = "SELECT 'a text that is longer than thirty characters'"
    async with connection.transaction():
        cursor = await connection.cursor(query)
        name = rf'<[a-z_.]*Cursor "{re.escape(query[:30])}"'
        assert re.fullmatch(rf"{name} 0x[0-9a-f]+>", repr(cursor))
        await cursor.fetch(2)
        assert re.fullmatch(rf"{name} exhausted 0x[0-9a-f]+>", repr(cursor))


@pytest.mark.checklist("CUR-7")
@pytest.mark.parametrize("settings", [{"statement_cache_size": 0}, {"max_cacheable_statement_size": 10}, {}])
async def test_its_statement_has_a_name(client: Client, settings: dict[str, int]) -> None:
    named = "SELECT count(*) FROM pg_prepared_statements WHERE name <> '' AND statement = $1"
    async with client.connect(**settings) as connection, connection.transaction():
        cursor = await connection.cursor(NUMBERS, 5)
        assert await connection.fetchval(named, NUMBERS) == 1
        assert await cursor.fetch(2) == [(1,), (2,)]
        assert await connection.fetchval("SELECT 1") == 1
        assert await cursor.fetch(9) == [(3,), (4,), (5,)]
        del cursor
        await (await connection.prepare("SELECT 2")).fetch()
        await (await connection.prepare("SELECT 3")).fetch()
        assert await connection.fetchval(named, NUMBERS) == (0 if settings else 1)


@pytest.mark.checklist("CUR-7")
async def test_its_statement_may_be_evicted(client: Client) -> None:
    async with client.connect(statement_cache_size=1) as connection, connection.transaction():
        cursor = await connection.cursor(NUMBERS, 5)
        for number in range(3):
            await connection.fetch(f"SELECT {number}")
        assert await cursor.fetch(9) == [(1,), (2,), (3,), (4,), (5,)]


@pytest.mark.checklist("CUR-8")
async def test_a_time_limit_is_for_each_time(connection: Any) -> None:
    query = "SELECT pg_sleep(0.15) FROM generate_series(1, 4)"
    async with connection.transaction():
        assert len([row async for row in connection.cursor(query, prefetch=1, timeout=0.5)]) == 4
    with anyio.fail_after(20), pytest.raises(TimeoutError):
        async with connection.transaction():
            async for _ in connection.cursor("SELECT pg_sleep(60)", timeout=0.05):
                pass
    with anyio.fail_after(20), pytest.raises(TimeoutError):
        async with connection.transaction():
            cursor = await connection.cursor("SELECT pg_sleep(60)")
            await cursor.fetchrow(timeout=0.05)
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("Q-12")
async def test_a_record_class(connection: Any, client: Client) -> None:
    class Special(client.Record):  # type: ignore[misc,name-defined]
        pass

    async with client.connect(statement_cache_size=0) as other:
        for each in (connection, other):
            async with each.transaction():
                assert type(await (await each.cursor(NUMBERS, 5, record_class=Special)).fetchrow()) is Special
                assert {type(row) async for row in each.cursor(NUMBERS, 5, record_class=Special)} == {Special}
                with pytest.raises(client.InterfaceError, match="record_class is expected to be a subclass"):
                    await each.cursor(NUMBERS, 5, record_class=dict)


async def test_errors_of_the_server(connection: Any, client: Client) -> None:
    with pytest.raises(client.DivisionByZeroError):
        async with connection.transaction():
            async for row in connection.cursor("SELECT 1 / (3 - i) FROM generate_series(1, 9) AS i", prefetch=1):
                assert row[0] in (0, 1)
    with pytest.raises(client.PostgresSyntaxError):
        async with connection.transaction():
            await connection.cursor("SELEC 1")
    with pytest.raises(client.DataError):
        async with connection.transaction():
            await connection.cursor(NUMBERS, "x")
    with pytest.raises(client.InterfaceError, match="the server expects 1 argument"):
        async with connection.transaction():
            await connection.cursor(NUMBERS)
    async with connection.transaction():
        with pytest.raises(client.InvalidCursorNameError):
            async with connection.transaction():
                inner = connection.transaction()
                await inner.start()
                cursor = await connection.cursor(NUMBERS, 5)
                await inner.rollback()
                await cursor.fetchrow()
        assert await connection.fetchval("SELECT 1") == 1


async def test_rows_of_an_insert(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    async with connection.transaction():
        cursor = await connection.cursor("INSERT INTO t SELECT generate_series(1, 5) RETURNING a")
        assert await cursor.fetchrow() == (1,)
        assert await connection.fetchval("SELECT count(*) FROM t") == 5


@pytest.mark.differs(
    asyncpg="waits for the server to close a portal when a cursor has given its last row.",
    ours="Whatever comes next goes out behind that.",
)
async def test_closing_costs_no_round_trip(connection: Any, client: Client) -> None:
    assert client.is_ours
    async with connection.transaction():
        cursor = connection.cursor(NUMBERS, 5).__aiter__()
        for _ in range(5):
            await cursor.__anext__()
        assert connection._frontend.in_flight
        assert await connection.fetchval(PORTALS) == 0


@pytest.mark.differs(
    asyncpg="has no way to close a cursor before its transaction ends.",
    ours="`aclose()` closes it.",
)
async def test_a_cursor_that_is_closed(connection: Any) -> None:
    async with connection.transaction():
        cursor = await connection.cursor(NUMBERS, 5)
        iterator = connection.cursor(NUMBERS, 5, prefetch=2).__aiter__()
        assert await iterator.__anext__() == (1,)
        assert await connection.fetchval(PORTALS) == 2
        await cursor.aclose()
        await iterator.aclose()
        await iterator.aclose()
        assert await connection.fetchval(PORTALS) == 0
        assert await cursor.fetch(1) == []
        assert await cursor.fetchrow() is None
        assert await cursor.forward(1) == 0
        assert [row async for row in iterator] == []


@pytest.mark.differs(
    asyncpg="may go on behind the rows of a fetch that was cancelled, as if they had never been.",
    ours="A cursor whose fetch was interrupted is an `InterfaceError`: nobody knows which row is next.",
)
async def test_a_cursor_that_was_interrupted(connection: Any, client: Client) -> None:
    transaction = connection.transaction()
    await transaction.start()
    cursor = await connection.cursor("SELECT pg_sleep(60)")
    with anyio.move_on_after(0.05):
        await cursor.fetch(2)
    with pytest.raises(client.InterfaceError, match="its place is lost"):
        await cursor.fetch(2)
    await transaction.rollback()
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="gives rows little by little only inside of a transaction, by a cursor.",
    ours="`async for row in connection.stream(...)` does so anywhere, with back-pressure.",
)
async def test_rows_one_by_one(client: Client) -> None:
    async with client.connect() as connection:
        assert [row[0] async for row in connection.stream(NUMBERS, 1000)] == list(range(1, 1001))


@pytest.mark.differs(
    asyncpg="refuses an argument of a composite type that has got another attribute.",
    ours="The catalogue is asked again, by cursors and streams, too.",
)
@pytest.mark.parametrize("settings", [{}, {"statement_cache_size": 0}])
async def test_a_composite_argument_that_has_changed(client: Client, settings: dict[str, int]) -> None:
    query = "SELECT $1::pg_temp.pair"
    async with client.connect(**settings) as connection:
        await connection.execute("CREATE TYPE pg_temp.pair AS (a int)")
        assert await connection.fetchval(query, (1,)) == (1,)
        await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE b int")
        async with connection.transaction():
            assert await (await connection.cursor(query, (1, 2))).fetchrow() == ((1, 2),)
        await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE c int")
        assert [row[0] async for row in connection.stream(query, (1, 2, 3))] == [(1, 2, 3)]
        with pytest.raises(client.DataError):
            await connection.stream(query, (1, 2, 3, 4)).__anext__()
        async with connection.transaction():
            with pytest.raises(client.DataError):
                await connection.cursor(query, (1, 2, 3, 4))
            assert await connection.fetchval("SELECT 1") == 1
