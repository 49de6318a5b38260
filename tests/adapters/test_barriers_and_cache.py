"""What nothing may overtake, COPY in a query, and the prepared statements that are kept."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import Client, at_once

pytestmark = [pytest.mark.anyio, pytest.mark.server]

PREPARED = "SELECT statement FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared%' ORDER BY prepare_time"


async def prepared(connection: Any) -> list[str]:
    # A simple query would not prepare itself, but its rows cannot be had.
    return [row[0] for row in await connection.fetch(PREPARED)]


async def test_a_setting_holds_for_what_comes_after_it(connection: Any) -> None:
    outcomes = await at_once(
        call
        for number in range(1, 20)
        for call in (
            lambda n=number: connection.execute(f"SET work_mem TO '{n}MB'"),
            lambda: connection.fetchval("SELECT current_setting('work_mem')"),
        )
    )
    assert outcomes[0::2] == ["SET"] * 19
    assert all(outcome.endswith("MB") for outcome in outcomes[1::2] if isinstance(outcome, str))


@pytest.mark.parametrize(
    ("method", "query", "direction"),
    [
        ("execute", "COPY t FROM STDIN", "FROM STDIN"),
        ("fetch", "COPY t FROM STDIN", "FROM STDIN"),
        ("fetchval", "/* x */ copy t from stdin", "FROM STDIN"),
        ("execute", "COPY t TO STDOUT", "TO STDOUT"),
        ("fetch", "COPY t TO STDOUT", "TO STDOUT"),
        ("fetchrow", "COPY (SELECT generate_series(1, 10000)) TO STDOUT", "TO STDOUT"),
        ("execute", "SELECT 1; COPY t FROM STDIN; SELECT 2", "FROM STDIN"),
        ("execute", "COPY t TO STDOUT; COPY t FROM STDIN", "TO STDOUT"),
    ],
)
async def test_copy_in_a_query(connection: Any, client: Client, method: str, query: str, direction: str) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1)")
    with anyio.fail_after(20):
        with pytest.raises(client.InterfaceError, match=f"COPY {direction} in a query") as caught:
            await getattr(connection, method)(query)
        assert caught.value.hint is not None
        assert await connection.fetchval("SELECT count(*) FROM t") == 1
        assert not connection.is_in_transaction()


async def test_copy_beside_other_queries(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with anyio.fail_after(20):
        outcomes = await at_once(
            call
            for number in range(10)
            for call in (
                lambda n=number: connection.fetchval("SELECT $1::int", n),
                lambda: connection.execute("COPY t FROM STDIN"),
            )
        )
    assert outcomes[0::2] == list(range(10))
    assert all(isinstance(outcome, client.InterfaceError) for outcome in outcomes[1::2])


async def test_a_statement_is_prepared_once(connection: Any) -> None:
    for number in range(3):
        assert await connection.fetchval("SELECT $1::int + 1", number) == number + 1
    assert await prepared(connection) == ["SELECT $1::int + 1"]
    assert await connection.execute("SELECT $1::int + 1", 5) == "SELECT 1"
    await connection.executemany("SELECT $1::int + 1", [(1,), (2,)])
    assert await prepared(connection) == ["SELECT $1::int + 1"]


async def test_an_evicted_statement_is_closed(client: Client) -> None:
    async with client.connect(statement_cache_size=3) as connection:
        for number in range(10):
            assert await connection.fetchval(f"SELECT {number}") == number
        assert len(await prepared(connection)) <= 3
        await connection.fetchval("SELECT 'last'")
        assert "SELECT 'last'" in await prepared(connection)
        assert len(await prepared(connection)) <= 3


async def test_without_a_cache(client: Client) -> None:
    async with client.connect(statement_cache_size=0) as connection:
        for number in range(3):
            assert await connection.fetchval("SELECT $1::int", number) == number
        await connection.execute("CREATE TEMP TABLE t (a int)")
        await connection.executemany("INSERT INTO t VALUES ($1)", ((i,) for i in range(20_000)))
        assert await connection.fetchval("SELECT count(*) FROM t") == 20_000
        assert await at_once(lambda n=n: connection.fetchval(f"SELECT {n} + $1::int", n) for n in range(50)) == [
            2 * n for n in range(50)
        ]
        assert await prepared(connection) == []


async def test_a_long_statement_is_not_kept(client: Client) -> None:
    async with client.connect(max_cacheable_statement_size=40) as connection:
        long = "SELECT $1::int /* " + "x" * 50 + " */"
        assert [await connection.fetchval(long, n) for n in range(3)] == [0, 1, 2]
        assert await connection.fetchval("SELECT 5") == 5
        assert "SELECT 5" in await prepared(connection)
        assert long not in await prepared(connection)


@pytest.mark.parametrize("method", ["execute", "fetch"])
@pytest.mark.parametrize("statement", ["DISCARD ALL", "DEALLOCATE ALL", "deallocate prepare all"])
async def test_discarded_statements_are_prepared_again(connection: Any, method: str, statement: str) -> None:
    for _ in range(3):
        assert await connection.fetchval("SELECT $1::int", 5) == 5
        await getattr(connection, method)(statement)
    assert await connection.fetchval("SELECT $1::int", 5) == 5


async def test_discarded_behind_our_back(connection: Any) -> None:
    assert await connection.fetchval("SELECT $1::int", 5) == 5
    await connection.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    assert await connection.fetch("SELECT $1::int", 5) == [(5,)]
    assert await connection.fetchval("SELECT $1::int", 6) == 6


async def test_a_schema_change_is_recovered_from(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t AS SELECT 1 AS a")
    for method in ("fetch", "fetchrow"):
        assert await getattr(connection, method)("SELECT * FROM t") in ([(1,)], (1,))
    await connection.execute("ALTER TABLE t ADD COLUMN b text DEFAULT 'x'")
    assert await connection.fetch("SELECT * FROM t") == [(1, "x")]
    await connection.execute("ALTER TABLE t ALTER COLUMN a TYPE text")
    assert await connection.fetchrow("SELECT * FROM t") == ("1", "x")


async def test_a_schema_change_inside_a_transaction(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t AS SELECT 1 AS a")
    await connection.fetch("SELECT * FROM t")
    with pytest.raises(client.InvalidCachedStatementError, match="cached statement plan is invalid due to a database"):
        async with connection.transaction():
            await connection.execute("ALTER TABLE t ADD COLUMN b int")
            await connection.fetch("SELECT * FROM t")
    await connection.execute("ALTER TABLE t ADD COLUMN c int")
    assert await connection.fetch("SELECT * FROM t") == [(1, None)]


async def test_a_shared_preparation_outlives_the_task_that_began_it(connection: Any) -> None:
    got: list[int] = []

    async def ask() -> None:
        got.append(await connection.fetchval("SELECT 5"))

    async with anyio.create_task_group() as tasks:
        # Behind a barrier, so that nothing is prepared before both tasks have asked.
        tasks.start_soon(connection.execute, "SET work_mem TO '1MB'; SELECT pg_sleep(0.2)")
        await anyio.lowlevel.checkpoint()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(ask)
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(ask)
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
    assert got == [5]
    assert await prepared(connection) == ["SELECT 5"]
    assert connection._preparing == {}
