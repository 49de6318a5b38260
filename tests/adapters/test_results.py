"""What a connection has to tell beyond rows: status, scripts' results, signs of life, columns; on a real server."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import datetime
import decimal
from typing import Any

import anyio
import pytest

from tests.support.clients import PATIENCE_SECONDS, RUNS_PG_SLEEP, Client, until

pytestmark = [pytest.mark.anyio, pytest.mark.server]


async def test_rows_and_status(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    for _ in range(2):  # prepared now, and known the second time
        result = await connection.query("INSERT INTO t SELECT generate_series(1, $1::int) RETURNING a", 3)
        assert result == client.Result([(1,), (2,), (3,)], "INSERT 0 3")
        assert result.affected == 3
    assert (await connection.query("UPDATE t SET a = a WHERE a > 1")).affected == 4
    assert (await connection.query("DELETE FROM t WHERE a = 1", timeout=5)).affected == 2
    assert await connection.query("") == client.Result([], "")
    assert (await connection.query("CREATE TEMP TABLE u (a int)")).affected is None
    assert client.affected_rows(await connection.execute("DELETE FROM t")) == 4
    with pytest.raises(client.DivisionByZeroError):
        await connection.query("SELECT 1 / $1::int", 0)


async def test_a_script_and_its_results(connection: Any) -> None:
    results = await connection.execute_script(
        """
        -- what is made
        CREATE TEMP TABLE t (a int, b numeric, c timestamptz);;
        INSERT INTO t VALUES (1, 1.50, '2026-01-01 00:00:00+00'), (2, NULL, 'infinity') RETURNING a;
        SELECT * FROM t ORDER BY a;
        SELECT ARRAY[1, NULL], '{"a": 1}'::jsonb, int4range(1, 5), 'x;y' AS semicolon;
        SELECT WHERE false; -- the end
        """
    )
    assert [result.status for result in results] == ["CREATE TABLE", "INSERT 0 2", "SELECT 2", "SELECT 1", "SELECT 0"]
    assert [result.affected for result in results] == [None, 2, 2, 1, 0]
    assert results[1].rows == [(1,), (2,)]
    new_year = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert results[2].rows[0] == (1, decimal.Decimal("1.50"), new_year)
    assert str(results[2].rows[0]["b"]) == "1.50"
    assert results[3].rows[0][:2] == ([1, None], '{"a": 1}')
    assert results[3].rows[0]["semicolon"] == "x;y"
    assert results[4].rows == []
    assert await connection.execute_script("-- nothing") == []


async def test_unknown_types_in_a_script(connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int, b text)")
    results = await connection.execute_script(
        "SELECT (1, 'x')::pg_temp.pair; SELECT 2; SELECT ARRAY[(3, 'y, \"z\"')::pg_temp.pair]"
    )
    assert tuple(results[0].rows[0][0]) == (1, "x")
    assert results[1].rows == [(2,)]
    assert [tuple(one) for one in results[2].rows[0][0]] == [(3, 'y, "z"')]


async def test_a_script_that_fails(connection: Any, client: Client) -> None:
    with pytest.raises(client.DivisionByZeroError) as caught:
        await connection.execute_script("CREATE TEMP TABLE t (a int); SELECT 1; SELECT 1 / 0; SELECT 3")
    assert caught.value.__notes__ == ["This is about statement 3 of the script."]
    with pytest.raises(client.PostgresSyntaxError) as caught:
        await connection.execute_script("SELECT 1; SELECT ';'; SELEC 3")
    assert caught.value.__notes__ == ["This is about statement 3 of the script."]
    with pytest.raises(client.UndefinedColumnError) as caught:
        await connection.execute_script("SELECT 1; SELECT nonsense; SELECT 3")
    assert caught.value.__notes__ == ["This is about statement 2 of the script."]
    assert await connection.fetchval("SELECT to_regclass('pg_temp.t') IS NULL")


async def test_copy_in_a_script(connection: Any, client: Client) -> None:
    for script in ("SELECT 1; COPY (SELECT 2) TO STDOUT; SELECT 3",
                   "CREATE TEMP TABLE t (a int); COPY t FROM STDIN; SELECT 3"):  # fmt: skip
        with pytest.raises(client.InterfaceError, match="in a query") as caught:
            await connection.execute_script(script)
        assert caught.value.__notes__ == ["This is about statement 2 of the script."]
        assert await connection.fetchval("SELECT 4") == 4


async def test_a_script_with_transactions_of_its_own(connection: Any, client: Client) -> None:
    with pytest.raises(client.DivisionByZeroError) as caught:
        await connection.execute_script(
            "CREATE TEMP TABLE t (a int); BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); SELECT 1/0"
        )
    assert caught.value.__notes__ == ["This is about statement 6 of the script."]
    assert await connection.fetch("SELECT a FROM t") == [(1,)]
    await connection.execute_script("BEGIN; INSERT INTO t VALUES (3)")
    assert connection.is_in_transaction()
    await connection.execute_script("ROLLBACK")
    assert await connection.fetch("SELECT a FROM t") == [(1,)]


async def test_a_script_with_a_time_limit(connection: Any) -> None:
    with pytest.raises(TimeoutError):
        await connection.execute_script("SELECT 1; SELECT pg_sleep(60)", timeout=0.3)
    assert await connection.fetchval("SELECT 2") == 2


async def test_a_sign_of_life(connection: Any, client: Client) -> None:
    await connection.ping()
    await connection.ping(timeout=PATIENCE_SECONDS)
    with pytest.raises(client.DivisionByZeroError):
        async with connection.transaction():
            with pytest.raises(client.DivisionByZeroError):
                await connection.fetch("SELECT 1 / 0")
            await connection.ping()
            raise client.DivisionByZeroError
    await connection.close()
    with pytest.raises(client.InterfaceError, match="connection is closed"):
        await connection.ping()


async def test_no_sign_of_life(client: Client, connection: Any, observer: Any) -> None:
    await observer.fetchval("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    await until(observer, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", connection.get_server_pid())
    with pytest.raises((client.ConnectionDoesNotExistError, client.InterfaceError)):
        await connection.ping()
    assert connection.is_closed()


async def test_where_it_is(connection: Any, client: Client) -> None:
    server = client.server
    assert connection.host == server.socket_dir
    assert (connection.port, connection.user, connection.database) == (server.port, server.user, server.database)
    assert connection.tls is None


async def test_cancelling_by_hand(client: Client, observer: Any) -> None:
    async with client.connect(host=client.server.host) as connection:
        assert connection.host == client.server.host
        caught: list[Exception] = []

        async def sleep() -> None:
            try:
                await connection.fetch("SELECT pg_sleep(60)")
            except client.QueryCanceledError as error:
                caught.append(error)

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sleep)
                await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
                await connection.cancel()
        assert len(caught) == 1
        await connection.cancel()
        assert await connection.fetchval("SELECT 1") == 1


async def test_what_was_prepared_is_closed(connection: Any, client: Client) -> None:
    names = "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int %'"
    async with await connection.prepare("SELECT $1::int AS closed") as statement:
        assert await statement.execute(5) == "SELECT 1"
        assert await statement.query(6) == client.Result([(6,)], "SELECT 1")
        assert len(await connection.fetch(names)) == 1
    assert await connection.fetch(names) == []
    with pytest.raises(client.InterfaceError, match="the prepared statement is closed"):
        await statement.fetch(7)
    statement = await connection.prepare("SELECT $1::int AS closed", name="mine")
    with pytest.raises(client.DivisionByZeroError):
        async with connection.transaction():
            with pytest.raises(client.DivisionByZeroError):
                await connection.fetch("SELECT 1 / 0")
            await statement.close()  # in a failed transaction
            raise client.DivisionByZeroError
    assert await connection.fetch(names) == []


async def test_where_columns_come_from(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b varchar(5), c numeric(10, 2))")
    table = await connection.fetchval("SELECT 't'::regclass::oid")
    statement = await connection.prepare("SELECT c, b AS other, a + 1 AS sum, a FROM t")
    columns = statement.get_columns()
    assert [(column.name, column.table_oid, column.column_number) for column in columns] == [
        ("c", table, 3),
        ("other", table, 2),
        ("sum", None, None),
        ("a", table, 1),
    ]
    assert [(column.type.name, column.type_modifier) for column in columns] == [
        ("numeric", (10 << 16 | 2) + 4),
        ("varchar", 9),
        ("int4", None),
        ("int4", None),
    ]
    assert [tuple(one) for one in statement.get_attributes()] == [(column.name, column.type) for column in columns]


async def test_on_connections_of_a_pool(client: Client) -> None:
    async with client.create_pool(**client.settings(min_size=1, max_size=2)) as pool:
        assert await pool.query("SELECT $1::int AS a", 5) == client.Result([(5,)], "SELECT 1")
        results = await pool.execute_script("SELECT 1; SELECT 'x'")
        assert [result.rows for result in results] == [[(1,)], [("x",)]]
        assert pool.get_idle_size() == pool.get_size()
        with pytest.raises(client.DivisionByZeroError):
            await pool.execute_script("SELECT 1; SELECT 1 / 0")
