"""Statements through real PgBouncers, from each version: none of its users has to know what mode it is in.

1.18 knows nothing of prepared statements; 1.24 keeps track of them if it is told to; 1.26 says besides whether it does.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from pgsansio.codecs.codec_set import CodecSet
from pgsansio.policy.pooling import is_process_id
from tests.conftest import fetched_pgbouncer
from tests.support.clients import Client, at_once
from tests.support.pgbouncer import Pooler, running_pgbouncer
from tests.support.servers import Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.server,
    # What uvloop adds to asyncio is not of interest here, and there are many poolers.
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]

#: In transaction mode there are three sessions of the server, and more clients, so that transactions change places.
#: Versions and modes; the last is a transaction mode, too.
POOLERS = [
    *(("1.18", kind) for kind in ("session", "transaction")),
    *(("1.24", kind) for kind in ("transaction", "tracking")),
    *(("1.26", kind) for kind in ("session", "transaction", "tracking")),
]


@pytest.fixture(scope="module", params=POOLERS, ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    version, kind = request.param
    return fetched_pgbouncer(version), kind


@pytest.fixture(scope="module")
def pooler(kind: tuple[str, str], postgres: Server) -> Iterator[Pooler]:
    version, mode = kind
    settings = {"default_pool_size": "20" if mode == "session" else "3"}
    if version != "1.18":
        settings["max_prepared_statements"] = "50" if mode == "tracking" else "0"
    mode = mode.replace("tracking", "transaction")
    with running_pgbouncer(version, postgres, pool_mode=mode, settings=settings) as pooler:
        yield pooler


@pytest.fixture
def expected_mode(kind: tuple[str, str]) -> str:
    """The one that is found out."""
    version, mode = kind
    return "cached" if mode == "tracking" or (version, mode) == ("1.26", "session") else "unnamed"


@pytest.fixture
def table(pooler: Pooler, anyio_backend_name: str) -> str:
    return f"pooled_{pooler.port}_{anyio_backend_name}"


@pytest.fixture
async def connection(client: Client, pooler: Pooler) -> AsyncIterator[Any]:
    async with client.module.connect(pooler.dsn) as connection:
        yield connection


async def test_which_mode_is_found(connection: Any, expected_mode: str) -> None:
    for number in (1, 2, 1, 2):
        assert await connection.fetchval(f"SELECT {number} + $1::int4", 1) == number + 1
    assert connection._frontend.statement_mode.value == expected_mode


async def test_it_is_told_of_once(
    client: Client, pooler: Pooler, expected_mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pgsansio")
    connect, codecs = client.module.connect, CodecSet()
    async with connect(pooler.dsn, codecs=codecs) as one, connect(pooler.dsn, codecs=codecs) as other:
        for connection in (one, other, one):
            assert await connection.fetchval("SELECT 1") == 1
            assert await connection.fetchval("SELECT 2") == 2
    told = [record for record in caplog.records if "statement_mode='unnamed'" in record.message]
    # Where PgBouncer tells, nothing had to be found out.
    assert len(told) == (expected_mode == "unnamed" and pooler.version < (1, 26))


async def test_many_clients_at_once(client: Client, pooler: Pooler) -> None:
    """More than there are sessions of the server, in transactions and outside, with texts in common and others."""

    async def use(number: int) -> None:
        async with client.module.connect(pooler.dsn) as connection:
            for step in range(8):
                assert await connection.fetchval("SELECT $1::int4 + 1", number) == number + 1
                assert (
                    await connection.fetchval(f"SELECT {(number + step) % 5} + $1::int8", 1) == (number + step) % 5 + 1
                )
                async with connection.transaction():
                    assert await connection.fetchval("SELECT $1::text", "a") == "a"
                    await anyio.lowlevel.checkpoint()
                    assert await connection.fetch("SELECT generate_series(1, $1::int4)", 2) == [(1,), (2,)]
                assert [row async for row in connection.stream("SELECT 1 WHERE $1", True)] == [(1,)]
                await connection.executemany("SELECT $1::int4", [(1,), (2,)])

    def user(number: int) -> Any:
        return lambda: use(number)

    assert await at_once([user(number) for number in range(8)]) == [None] * 8


async def test_everything_that_a_connection_does(client: Client, table: str, connection: Any) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int4, b text); CREATE TYPE {table}_mood AS ENUM ('good', 'bad')")
    try:
        for _ in range(2):
            # types that have to be learned
            assert await connection.fetchval(f"SELECT $1::{table}_mood[]", ["good", "bad"]) == ["good", "bad"]
            # statements of one's own
            statement = await connection.prepare("SELECT $1::int4 * 2 AS double")
            assert [attribute.name for attribute in statement.get_attributes()] == ["double"]
            assert await statement.fetchval(4) == 8
            assert await statement.fetchmany([(1,), (2,)]) == [(2,), (4,)]
            # many, and their rows
            await connection.executemany(f"INSERT INTO {table} VALUES ($1, $2)", [(1, "x"), (2, None)])
            assert await connection.fetchmany("SELECT $1::text", [("a",), ("b",)]) == [("a",), ("b",)]
            # COPY
            assert await connection.copy_records_to_table(table, records=[(3, "z")], columns=["a", "b"]) == "COPY 1"
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") % 3 == 0
            # portals
            async with connection.transaction():
                rows = [row async for row in connection.cursor("SELECT generate_series(1, $1::int4)", 5, prefetch=2)]
                cursor = await connection.cursor("SELECT generate_series(1, 9)")
                assert await cursor.forward(2) == 2
                assert await statement.fetchval(1) == 2
                rows += await cursor.fetch(2)
                rows += [row async for row in statement.cursor(8)]
                rows += [row async for row in connection.stream("SELECT generate_series(1, 3)", prefetch=2)]
                assert [row[0] for row in rows] == [1, 2, 3, 4, 5, 3, 4, 16, 1, 2, 3]
            rows = [row async for row in connection.stream("SELECT generate_series(1, $1::int8)", 5, prefetch=2)]
            assert rows == [(1,), (2,), (3,), (4,), (5,)]
            # groups
            async with connection.pipeline() as pipeline:
                handles = [pipeline.fetchval("SELECT $1::int4", number) for number in (1, 2)]
                pipeline.execute(f"INSERT INTO {table} VALUES (4, 'w'), (5, 'v'), (6, 'u')")
            assert [handle.result() for handle in handles] == [1, 2]
            # errors, and what is nested
            async with connection.transaction():
                with pytest.raises(client.module.DivisionByZeroError):
                    async with connection.transaction():
                        await connection.fetchval("SELECT 1 / $1::int4", 0)
                assert await connection.fetchval("SELECT $1::int4 * 2", 1) == 2
    finally:
        await connection.execute(f"DROP TABLE {table}; DROP TYPE {table}_mood")


async def test_a_table_that_is_changed(client: Client, table: str, connection: Any) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int4); INSERT INTO {table} VALUES (1)")
    try:
        assert [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")] == [{"a": 1}]
        await connection.execute(f"ALTER TABLE {table} ADD b text DEFAULT 'x'")
        assert [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")] == [{"a": 1, "b": "x"}]
        await connection.execute(f"ALTER TABLE {table} ALTER a TYPE numeric, DROP b")
        assert str(await connection.fetchval(f"SELECT * FROM {table}")) == "1"
        assert await connection.execute(f"UPDATE {table} SET a = $1", 2) == "UPDATE 1"
        await connection.execute(f"ALTER TABLE {table} ALTER a TYPE aclitem[] USING NULL")
        await connection.execute(f"UPDATE {table} SET a = ARRAY['=r/{client.server.user}'::aclitem]")
        assert await connection.fetchval(f"SELECT * FROM {table}") == [f"=r/{client.server.user}"]
    finally:
        await connection.execute(f"DROP TABLE {table}")


async def test_a_cancelled_query(client: Client, pooler: Pooler, connection: Any, observer: Any) -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await connection.fetch("SELECT pg_sleep(30)", timeout=0.2)
        assert await connection.fetchval("SELECT $1::int4", 1) == 1
    assert not await observer.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'"
    )


async def test_listening(client: Client, kind: tuple[str, str], connection: Any) -> None:
    """It cannot work where transactions change places; PgBouncer 1.26 says so, and then so do we."""
    version, mode = kind
    if mode == "session":
        async with connection.notifications("news") as news:
            await connection.execute("NOTIFY news, 'hello'")
            assert (await anext(news)).payload == "hello"
    elif version == "1.26":
        with pytest.raises(client.module.InterfaceError, match="cannot listen through a pooler"):
            await connection.add_listener("news", print)
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_pool_through_a_pooler(client: Client, pooler: Pooler) -> None:
    async with client.module.create_pool(pooler.dsn, min_size=0, max_size=3) as pool:

        async def transact(connection: Any, number: int) -> None:
            async with connection.transaction():
                assert await connection.fetchval("SELECT $1::int4", number) == number

        async def use() -> None:
            for number in range(5):
                async with pool.acquire() as connection:
                    try:
                        await transact(connection, number)
                    except client.InvalidSQLStatementNameError as error:
                        # One of a thousand random numbers looks like that of a process: it is found out by this.
                        assert error.safe_to_retry  # noqa: PT017
                        assert is_process_id(connection.get_server_pid())
                        await transact(connection, number)
                assert await pool.fetchval("SELECT $1::int8", number) == number

        assert await at_once([use] * 6) == [None] * 6


@pytest.mark.parametrize("mode", ["cached", "unnamed", "simple"])
async def test_what_the_user_says(client: Client, pooler: Pooler, mode: str) -> None:
    """Also 'cached' where that is wrong: outside of transactions it is mended."""

    async def use() -> None:
        async with client.module.connect(pooler.dsn, statement_mode=mode) as connection:
            for number in range(10):
                assert await connection.fetchval("SELECT $1::int4", number) == number
            assert connection._frontend.statement_mode.value == mode

    assert await at_once([use] * 5) == [None] * 5
