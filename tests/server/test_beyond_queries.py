"""Results, scripts, pipelines and signs of life: what there is of them."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

from typing import Any

import anyio
import pytest

from tests.support.clients import PATIENCE_SECONDS, RUNS_PG_SLEEP, Client, until

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.mark.differs(
    asyncpg="gives either the rows of a statement or its status, and the status as a text.",
    ours="`query()` gives a `Result`: `rows`, `status`, and `affected`, the number of rows; `affected_rows(status)` is "
    "the number in a status.",
)
async def test_rows_and_status(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    result = await connection.query("INSERT INTO t SELECT generate_series(1, $1::int) RETURNING a", 3)
    assert (result.rows, result.status, result.affected) == ([(1,), (2,), (3,)], "INSERT 0 3", 3)
    assert client.affected_rows(await connection.execute("DELETE FROM t")) == 3


@pytest.mark.differs(
    asyncpg="discards the rows of a script, and all of its statuses but the last.",
    ours="`execute_script()` gives a `Result` for each statement. An error says which statement it is about.",
)
async def test_the_results_of_a_script(connection: Any, client: Client) -> None:
    first, second = await connection.execute_script("SELECT 1 AS a; SELECT 'x' AS b")
    assert (first.rows, second.rows) == ([(1,)], [("x",)])
    with pytest.raises(client.DivisionByZeroError) as caught:
        await connection.execute_script("SELECT 1; SELECT 1 / 0")
    assert caught.value.__notes__ == ["This is about statement 2 of the script."]


@pytest.mark.differs(
    asyncpg="waits for each answer before it sends the next statement.",
    ours="`pipeline()` sends what was collected together: one round trip, and outside of a transaction all or nothing.",
)
async def test_a_pipeline(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int UNIQUE)")
    async with connection.pipeline() as pipeline:
        pipeline.execute("INSERT INTO t VALUES ($1)", 1)
        count = pipeline.fetchval("SELECT count(*) FROM t")
    assert count.result() == 1
    with pytest.raises(client.UniqueViolationError):
        async with connection.pipeline() as pipeline:
            pipeline.execute("INSERT INTO t VALUES ($1)", 2)
            pipeline.execute("INSERT INTO t VALUES ($1)", 1)
    assert await connection.fetchval("SELECT count(*) FROM t") == 1


@pytest.mark.differs(
    asyncpg="needs a query to find out whether a connection is alive, which fails in a failed transaction.",
    ours="`ping()` is one round trip that does nothing, and may be called at any time.",
)
async def test_a_sign_of_life(connection: Any, client: Client) -> None:
    await connection.ping()
    transaction = connection.transaction()
    await transaction.start()
    with pytest.raises(client.DivisionByZeroError):
        await connection.fetch("SELECT 1 / 0")
    await connection.ping()
    await transaction.rollback()


@pytest.mark.differs(
    asyncpg="cancels what runs only when its task is cancelled.",
    ours="`cancel()` cancels it for any task, if there is no other operation that could be hit.",
)
async def test_cancelling_by_hand(connection: Any, observer: Any, client: Client) -> None:
    caught: list[Exception] = []

    async def sleep() -> None:
        try:
            await connection.fetch("SELECT pg_sleep(60)")
        except client.QueryCanceledError as error:
            caught.append(error)

    cancel = connection.cancel
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
            await cancel()
    assert len(caught) == 1


@pytest.mark.differs(
    asyncpg="does not say where a connection leads to.",
    ours="`host`, `port`, `user`, `database` and `tls` do.",
)
async def test_where_it_is(connection: Any, client: Client) -> None:
    server = client.server
    found = (connection.host, connection.port, connection.user, connection.database, connection.tls)
    assert found == (server.socket_dir, server.port, server.user, server.database, None)


@pytest.mark.differs(
    asyncpg="keeps a prepared statement until it is collected.",
    ours="`close()` closes it at once, and so does `async with await connection.prepare(...)`.",
)
async def test_closing_a_statement(connection: Any, client: Client) -> None:
    names = "SELECT count(*) FROM pg_prepared_statements WHERE name = $1"
    async with await connection.prepare("SELECT 1") as statement:
        name = statement.get_name()
        assert await connection.fetchval(names, name) == 1
    assert await connection.fetchval(names, name) == 0
    with pytest.raises(client.InterfaceError):
        await statement.fetch()


@pytest.mark.differs(
    asyncpg="tells of a statement's columns their names and types.",
    ours="`get_columns()` also tells their type modifiers, and the table and column that each comes from.",
)
async def test_columns(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b varchar(5))")
    statement = await connection.prepare("SELECT b, a + 1 FROM t")
    known, computed = statement.get_columns()
    table = await connection.fetchval("SELECT 't'::regclass::oid")
    assert (known.type_modifier, known.table_oid, known.column_number) == (9, table, 2)
    assert (computed.type_modifier, computed.table_oid, computed.column_number) == (None, None, None)
