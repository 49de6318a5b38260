"""The classes that are asyncpg's after install_as_asyncpg(): private names, and what users make of them."""

import gc
import inspect
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import asyncpg as their_asyncpg
import pytest

from pgsansio_asyncio.compat import asyncpg_tree
from tests.support.clients import Client
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session", params=[pytest.param({"use_uvloop": False}, id="asyncio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", request.param


@pytest.fixture(params=["asyncpg", "ours"])
def asyncpg(request: pytest.FixtureRequest) -> ModuleType:
    """asyncpg itself, and what it is after install_as_asyncpg(), both in this process."""
    return their_asyncpg if request.param == "asyncpg" else asyncpg_tree()["asyncpg"]


@pytest.fixture
def settings(asyncpg: ModuleType, postgres: Server) -> dict[str, Any]:
    return Client(asyncpg, postgres).settings()


@pytest.fixture
async def connection(asyncpg: ModuleType, settings: dict[str, Any]) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**settings)
    yield connection
    await connection.close()


async def test_execute(connection: Any) -> None:
    assert await connection._execute("SELECT 1", (), 0, None) == [(1,)]
    assert await connection._execute("SELECT generate_series(1, 3)", (), 2, None) == [(1,), (2,)]
    assert await connection._execute("SELECT $1::int", (2,), 0, 30, return_status=True) == ([(2,)], b"SELECT 1", True)
    assert await connection._execute("SELECT generate_series(1, 3)", (), 1, None, return_status=True) == (
        [(1,)],
        None,
        False,
    )


async def test_execute_many(connection: Any) -> None:
    assert await connection._executemany("SELECT $1::int", [(1,), (2,)], None) is None
    assert await connection._executemany("SELECT $1::int", [(1,), (2,)], None, True) == [(1,), (2,)]


async def test_what_tracers_read(connection: Any, settings: dict[str, Any], postgres: Server) -> None:
    assert connection._addr == f"{postgres.socket_dir}/.s.PGSQL.{postgres.port}"
    assert (connection._params.user, connection._params.database) == (postgres.user, postgres.database)
    assert connection._params.password == postgres.password
    if not isinstance(connection._params, tuple):  # asyncpg's, whose repr has it
        assert postgres.password not in repr(connection._params)
    statement = await connection.prepare("SELECT 1")
    assert (statement._query, statement._connection) == ("SELECT 1", connection)
    async with connection.transaction():
        cursor = await connection.cursor("SELECT $1::int", 5)
        assert (cursor._query, cursor._args, cursor._connection) == ("SELECT $1::int", (5,), connection)


async def test_the_host_is_the_one_that_was_asked_for(asyncpg: ModuleType, postgres: Server) -> None:
    connection = await asyncpg.connect(
        host="localhost",
        port=postgres.port,
        user=postgres.user,
        password=postgres.password,
        database=postgres.database,
        ssl=False,
    )
    assert connection._addr == ("localhost", postgres.port)
    await connection.close()


@pytest.mark.checklist("CUR-6", "P-6")
async def test_representations(asyncpg: ModuleType, connection: Any, settings: dict[str, Any]) -> None:
    assert repr(connection).startswith("<asyncpg.connection.Connection ")
    transaction = connection.transaction()
    assert repr(transaction).startswith("<asyncpg.Transaction state:new 0x")
    async with transaction:
        cursor = await connection.cursor("SELECT 1 AS a_name_that_is_quite_long")
        assert repr(cursor).startswith('<asyncpg.Cursor "SELECT 1 AS a_name_that_is_qui" 0x')
        await cursor.fetch(2)
        assert repr(cursor).startswith('<asyncpg.Cursor "SELECT 1 AS a_name_that_is_qui" exhausted 0x')
    async with asyncpg.create_pool(**settings, min_size=1, max_size=1) as pool:
        async with pool.acquire() as borrowed:
            assert repr(borrowed).startswith("<PoolConnectionProxy <asyncpg.connection.Connection ")
        assert repr(borrowed).startswith("<PoolConnectionProxy [released] 0x")


@pytest.mark.checklist("PKG-6", "CON-10", "P-17")
async def test_subclasses_with_a_pool(asyncpg: ModuleType, settings: dict[str, Any]) -> None:
    calls = []

    class Connection(asyncpg.Connection):  # type: ignore[misc, name-defined]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.own = 1

        async def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
            calls.append(query)
            return await super().execute(query, *args, **kwargs)

        async def double(self, value: int) -> Any:
            return await self.fetchval("SELECT 2 * $1::int", value)

    class Pool(asyncpg.Pool):  # type: ignore[misc, name-defined]
        pass

    pool = Pool(
        connection_class=Connection,
        min_size=1,
        max_size=1,
        max_queries=100,
        loop=None,
        setup=None,
        init=None,
        max_inactive_connection_lifetime=0,
        record_class=asyncpg.Record,
        **settings,
    )
    async with pool, pool.acquire() as borrowed:
        assert isinstance(borrowed, Connection)
        assert isinstance(borrowed, asyncpg.Connection)
        assert (await borrowed.double(21), borrowed.own) == (42, 1)
        assert await borrowed.execute("SELECT $1::int", 1) == "SELECT 1"
    assert calls[0] == "SELECT $1::int"


async def test_a_release_waits_for_the_reset(asyncpg: ModuleType, settings: dict[str, Any]) -> None:
    """So that the next one to acquire a connection gets the one that was released last."""
    async with asyncpg.create_pool(**settings, min_size=3, max_size=3) as pool:
        await pool.execute("CREATE TEMPORARY TABLE here (a int)")
        assert [await pool.fetchval("SELECT count(*) FROM here") for _ in range(5)] == [0] * 5
        pids = set()
        for _ in range(5):
            async with pool.acquire() as connection:
                pids.add(await connection.fetchval("SELECT pg_backend_pid()"))
        assert len(pids) == 1


async def test_signatures_that_are_looked_at(asyncpg: ModuleType) -> None:
    for function in (asyncpg.connect, asyncpg.create_pool):
        parameters = inspect.signature(function).parameters
        assert parameters["connection_class"].default is asyncpg.Connection
        assert {"dsn", "loop", "record_class"} <= set(parameters)


async def test_a_method_that_was_replaced_is_called_once(
    asyncpg: ModuleType, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []

    def count(name: str) -> None:
        original = getattr(asyncpg.Connection, name)

        async def replacement(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
            calls.append((name, query))
            return await original(self, query, *args, **kwargs)

        monkeypatch.setattr(asyncpg.Connection, name, replacement)

    for name in ("execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval", "_execute", "_executemany"):
        count(name)
    await connection.execute("SELECT 1")
    await connection.execute("SELECT $1::int", 2)
    await connection.fetch("SELECT 3")
    await connection.fetchrow("SELECT 4")
    await connection.fetchval("SELECT 5")
    await connection.executemany("SELECT $1::int", [(6,)])
    await connection.fetchmany("SELECT $1::int", [(7,)])
    async with connection.transaction():
        await connection.fetchval("SELECT 8")
    assert calls == [
        ("execute", "SELECT 1"),
        ("execute", "SELECT $1::int"),
        ("_execute", "SELECT $1::int"),
        ("fetch", "SELECT 3"),
        ("_execute", "SELECT 3"),
        ("fetchrow", "SELECT 4"),
        ("_execute", "SELECT 4"),
        ("fetchval", "SELECT 5"),
        ("_execute", "SELECT 5"),
        ("executemany", "SELECT $1::int"),
        ("_executemany", "SELECT $1::int"),
        ("fetchmany", "SELECT $1::int"),
        ("_executemany", "SELECT $1::int"),
        ("execute", "BEGIN;"),
        ("fetchval", "SELECT 8"),
        ("_execute", "SELECT 8"),
        ("execute", "COMMIT;"),
    ]


@pytest.mark.checklist("TX-4")
async def test_the_isolation_of_the_outer_transaction_is_asked_for(connection: Any) -> None:
    async with connection.transaction(), connection.transaction(isolation="read_committed"):
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("PKG-5")
async def test_replaced_methods_of_the_protocol(
    asyncpg: ModuleType, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ddtrace does it."""
    calls: list[tuple[str, str]] = []
    protocol = asyncpg.protocol.Protocol

    def count(name: str) -> None:
        original = getattr(protocol, name)

        async def replacement(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append((name, state if isinstance(state, str) else state.query))
            return await original(self, state, *args, **kwargs)

        monkeypatch.setattr(protocol, name, replacement)

    for name in ("execute", "bind_execute", "query", "bind_execute_many"):
        count(name)
    assert isinstance(connection._protocol, protocol)
    await connection.execute("SELECT 1")
    await connection.execute("SELECT $1::int", 2)
    await connection.fetch("SELECT 3", timeout=30)
    await connection.fetchrow("SELECT 4")
    await connection.fetchval("SELECT 5")
    await connection.executemany("SELECT $1::int", [(6,)])
    await connection.fetchmany("SELECT $1::int", [(7,)])
    statement = await connection.prepare("SELECT $1::int AS a")
    await statement.fetch(8)
    await statement.fetchrow(9)
    await statement.fetchval(10, column="a")
    assert await statement.fetchmany([(11,)]) == [(11,)]
    await statement.executemany([(12,)])
    async with connection.transaction():
        assert [row async for row in connection.cursor("SELECT generate_series(1, 3)", prefetch=2)] == [
            (1,),
            (2,),
            (3,),
        ]
        cursor = await connection.cursor("SELECT 13")
        assert await cursor.fetch(2) == [(13,)]
    assert calls == [
        ("query", "SELECT 1"),
        ("bind_execute", "SELECT $1::int"),
        ("bind_execute", "SELECT 3"),
        ("bind_execute", "SELECT 4"),
        ("bind_execute", "SELECT 5"),
        ("bind_execute_many", "SELECT $1::int"),
        ("bind_execute_many", "SELECT $1::int"),
        ("bind_execute", "SELECT $1::int AS a"),
        ("bind_execute", "SELECT $1::int AS a"),
        ("bind_execute", "SELECT $1::int AS a"),
        ("bind_execute_many", "SELECT $1::int AS a"),
        ("bind_execute_many", "SELECT $1::int AS a"),
        ("query", "BEGIN;"),
        ("bind_execute", "SELECT generate_series(1, 3)"),
        ("execute", "SELECT generate_series(1, 3)"),
        ("execute", "SELECT 13"),
        ("query", "COMMIT;"),
    ]


@pytest.mark.checklist("CN-13")
async def test_a_forgotten_connection_is_not_kept(postgres: Server) -> None:
    """By nothing that it has for others: there is no cycle."""
    asyncpg = asyncpg_tree()["asyncpg"]
    connection = await asyncpg.connect(**Client(asyncpg, postgres).settings())
    await connection.fetchval("SELECT 1")
    gc.collect()
    gc.disable()
    try:
        with pytest.warns(ResourceWarning, match="unclosed connection <asyncpg.connection.Connection"):
            del connection
    finally:
        gc.enable()


async def test_warnings_name_the_line_of_the_user(postgres: Server) -> None:
    asyncpg = asyncpg_tree()["asyncpg"]
    connection = await asyncpg.connect(**Client(asyncpg, postgres).settings())
    transaction = connection.transaction()
    await transaction.start()
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.execute("SELECT * FROM nothing")
    with pytest.warns(asyncpg.InterfaceWarning, match="rolled back instead of committed") as warned:
        await transaction.commit()
    assert warned[0].filename == __file__
    await connection.close()


async def test_every_method_is_described(asyncpg: ModuleType) -> None:
    for cls in (asyncpg.Connection, asyncpg.prepared_stmt.PreparedStatement, asyncpg.cursor.Cursor, asyncpg.Pool):
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            assert name.startswith("_") or method.__doc__, name
