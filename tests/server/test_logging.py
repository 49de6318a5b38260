"""Notices, reported parameters, the end of a connection, and queries: told to callbacks."""

import io
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client, eventually, until
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]

RAISE = "DO $$ BEGIN RAISE {} 'told' USING DETAIL = 'more', HINT = 'try', ERRCODE = '{}'; END $$"
GONE = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1"


class Told:
    """A callback that keeps what it is called with: one value, or a tuple."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *args: Any) -> None:
        self.calls.append(args if len(args) > 1 else args[0])

    async def coroutine(self, *args: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self(*args)

    async def has(self, count: int) -> None:
        """Wait for so many calls."""
        with anyio.fail_after(PATIENCE_SECONDS):
            await eventually(lambda: len(self.calls) >= count)
        assert len(self.calls) == count

    @property
    def queries(self) -> list[str]:
        return [record.query for record in self.calls]


# Notices


@pytest.mark.checklist("L-5")
@pytest.mark.parametrize("severity", ["WARNING", "NOTICE", "INFO", "LOG", "DEBUG"])
async def test_notices(connection: Any, client: Client, severity: str) -> None:
    await connection.execute("SET client_min_messages = debug1")
    told = Told()
    connection.add_log_listener(told)
    connection.add_log_listener(told)
    await connection.execute(RAISE.format(severity, "00000"))
    await told.has(1)
    ((source, message),) = told.calls
    assert source is connection
    assert isinstance(message, client.PostgresLogMessage)
    assert message.severity_en == severity
    assert (message.message, message.detail, message.hint) == ("told", "more", "try")
    assert message.as_dict()["message"] == "told"
    assert "query" not in message.as_dict() or not client.is_ours
    with pytest.raises(TypeError):
        message.message = "changed"
    connection.remove_log_listener(told)
    connection.remove_log_listener(told)
    await connection.execute(RAISE.format(severity, "00000"))
    assert await connection.fetchval("SELECT 1") == 1
    await told.has(1)


@pytest.mark.checklist("L-5")
@pytest.mark.parametrize(
    ("severity", "sqlstate", "name"),
    [
        ("WARNING", "01000", "PostgresWarning"),
        ("NOTICE", "01004", "StringDataRightTruncation"),
        ("NOTICE", "00000", "PostgresLogMessage"),
    ],
)
async def test_the_class_of_a_notice(connection: Any, client: Client, severity: str, sqlstate: str, name: str) -> None:
    told = Told()
    connection.add_log_listener(told.coroutine)
    await connection.execute(RAISE.format(severity, sqlstate))
    await told.has(1)
    assert type(told.calls[0][1]) is getattr(client.module, name)
    assert told.calls[0][1].sqlstate == sqlstate


@pytest.mark.checklist("L-3", "L-5")
async def test_functions_are_called_in_order(connection: Any) -> None:
    told = Told()
    connection.add_log_listener(told)
    await connection.execute("DO $$ BEGIN FOR i IN 1..50 LOOP RAISE NOTICE '%', i; END LOOP; END $$")
    await told.has(50)
    assert [message.message for _, message in told.calls] == [str(number) for number in range(1, 51)]


@pytest.mark.checklist("L-4", "L-5", "L-6", "L-7")
@pytest.mark.parametrize("kind", ["log_listener", "termination_listener", "query_logger"])
async def test_callbacks_are_callable(connection: Any, client: Client, kind: str) -> None:
    for change in ("add", "remove"):
        with pytest.raises(client.InterfaceError, match="expected a callable or an `async def` function"):
            getattr(connection, f"{change}_{kind}")(5)


@pytest.mark.checklist("L-5")
async def test_a_log_listener_of_a_closed_connection(client: Client) -> None:
    async with client.connect() as connection:
        await connection.close()
        with pytest.raises(client.InterfaceError, match="connection is closed"):
            connection.add_log_listener(print)
        connection.remove_log_listener(print)


@pytest.mark.checklist("L-5", "CN-10")
async def test_reset_ends_log_listeners(connection: Any) -> None:
    told = Told()
    connection.add_log_listener(told)
    await connection.reset()
    await connection.execute(RAISE.format("WARNING", "01000"))
    assert await connection.fetchval("SELECT 1") == 1
    assert told.calls == []


# Parameters


@pytest.mark.differs(
    asyncpg="tells nobody of a setting that has changed.",
    ours="`add_parameter_listener` does, for settings that the server reports.",
)
async def test_parameters(connection: Any, client: Client) -> None:
    told = Told()
    connection.add_parameter_listener(told)
    await connection.execute("SET TimeZone = 'Asia/Tokyo'")
    await told.has(1)
    assert told.calls == [(connection, "TimeZone", "Asia/Tokyo")]
    connection.remove_parameter_listener(told)
    await connection.execute("SET TimeZone = 'UTC'")
    assert await connection.fetchval("SELECT 1") == 1
    await told.has(1)
    with pytest.raises(client.InterfaceError, match="expected a callable"):
        connection.add_parameter_listener(5)


# The end


@pytest.mark.checklist("L-6", "CN-7")
@pytest.mark.parametrize("way", ["close", "terminate", "loss"])
async def test_termination(client: Client, observer: Any, way: str) -> None:
    told = Told()
    never = Told()
    async with client.connect() as connection:
        for callback in (told, told, never, told.coroutine):
            connection.add_termination_listener(callback)
        connection.remove_termination_listener(never)
        connection.remove_termination_listener(never)
        if way == "close":
            await connection.close()
        elif way == "terminate":
            connection.terminate()
        else:
            await observer.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
        await told.has(2)
        assert connection.is_closed()
        await connection.close()
        connection.terminate()
    assert told.calls == [connection, connection]
    assert never.calls == []


# Queries


@pytest.mark.checklist("L-7")
async def test_a_query_logger(connection: Any, client: Client) -> None:
    told = Told()
    connection.add_query_logger(told)
    connection.add_query_logger(told)
    await connection.fetch("SELECT $1::int", 5)
    await told.has(1)
    (record,) = told.calls
    assert (record.query, record.args, record.timeout, record.exception) == ("SELECT $1::int", (5,), None, None)
    assert 0 < record.elapsed < PATIENCE_SECONDS
    server = client.server
    assert record.conn_addr == f"{server.socket_dir}/.s.PGSQL.{server.port}"
    assert record.conn_params.user == server.user
    assert record.conn_params.database == server.database
    assert record._fields == ("query", "args", "timeout", "elapsed", "exception", "conn_addr", "conn_params")
    connection.remove_query_logger(told)
    connection.remove_query_logger(told)
    await connection.fetch("SELECT $1::int", 5)
    await anyio.lowlevel.checkpoint()
    await told.has(1)


@pytest.mark.differs(
    asyncpg="gives query loggers the password in clear, in `conn_params`.",
    ours="`conn_params` has no password.",
)
async def test_what_is_logged_holds_no_password(client: Client) -> None:
    async with client.connect() as connection:
        told = Told()
        with connection.query_logger(told):
            await connection.fetch("SELECT 1")
        await told.has(1)
    assert client.server.password not in repr(told.calls)


@pytest.mark.checklist("L-7")
async def test_what_query_loggers_are_told_of(connection: Any) -> None:
    told = Told()
    with connection.query_logger(told):
        await connection.execute("CREATE TEMP TABLE logged(a int)")
        await connection.execute("INSERT INTO logged VALUES ($1)", 1)
        await connection.fetch("SELECT 2")
        await connection.fetch("SELECT 2")
        await connection.fetchrow("SELECT 3")
        await connection.fetchval("SELECT 4")
        await connection.executemany("INSERT INTO logged VALUES ($1)", [(1,), (2,)])
        await connection.fetchmany("SELECT $1::int", [(1,), (2,)])
    await connection.fetch("SELECT 5")
    await told.has(8)
    assert told.queries == [
        "CREATE TEMP TABLE logged(a int)",
        "INSERT INTO logged VALUES ($1)",
        "SELECT 2",
        "SELECT 2",
        "SELECT 3",
        "SELECT 4",
        "INSERT INTO logged VALUES ($1)",
        "SELECT $1::int",
    ]
    assert told.calls[-1].args == [(1,), (2,)]


@pytest.mark.checklist("L-7")
async def test_statements_that_the_library_sends(connection: Any, client: Client) -> None:
    told = Told()
    with connection.query_logger(told):
        async with connection.transaction(readonly=True):
            await connection.fetch("SELECT 1")
            with pytest.raises(client.DivisionByZeroError):
                async with connection.transaction():
                    await connection.fetch("SELECT 1/0")
        transaction = connection.transaction()
        await transaction.start()
        await transaction.rollback()
        await connection.add_listener("c", print)
        await connection.remove_listener("c", print)
        await connection.reset()
        await connection.fetch("SELECT 2")
    await eventually(lambda: "SELECT 2" in told.queries)
    queries = [query.replace('"', "").rstrip(";").split() for query in told.queries]
    assert [" ".join(words[:2]) for words in queries] == [
        "BEGIN READ",
        "SELECT 1",
        "SAVEPOINT " + queries[2][1],
        "SELECT 1/0",
        "ROLLBACK TO",
        "COMMIT",
        "BEGIN",
        "ROLLBACK",
        "LISTEN c",
        "UNLISTEN c",
        "SELECT pg_advisory_unlock_all();",
        "SELECT 2",
    ]


@pytest.mark.checklist("L-7")
async def test_a_coroutine_function_logs(connection: Any) -> None:
    told = Told()
    with connection.query_logger(told.coroutine):
        await connection.fetch("SELECT 1")
        await connection.fetch("SELECT 2")
    await told.has(2)
    assert sorted(told.queries) == ["SELECT 1", "SELECT 2"]


@pytest.mark.checklist("L-7")
async def test_a_query_that_fails_is_logged(connection: Any, client: Client) -> None:
    told = Told()
    with connection.query_logger(told):
        with pytest.raises(client.DivisionByZeroError):
            await connection.fetch("SELECT 1/0")
        with pytest.raises(TimeoutError):
            await connection.fetch("SELECT pg_sleep(60)", timeout=0.02)
        with pytest.raises(client.PostgresSyntaxError):
            await connection.execute("nonsense")
    await told.has(3)
    assert [type(record.exception) for record in told.calls[::2]] == [
        client.DivisionByZeroError,
        client.PostgresSyntaxError,
    ]
    assert isinstance(told.calls[1].exception, TimeoutError)
    assert told.calls[1].timeout == 0.02
    assert told.calls[1].elapsed > 0.01


@pytest.mark.checklist("L-7")
async def test_a_cancelled_query_is_logged(connection: Any, observer: Any) -> None:
    told = Told()
    connection.add_query_logger(told)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.fetch, "SELECT pg_sleep(60)")
        await until(observer, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        tasks.cancel_scope.cancel()
    await told.has(1)
    assert isinstance(told.calls[0].exception, anyio.get_cancelled_exc_class())


@pytest.mark.differs(
    asyncpg="gives a query logger the time limit of a call without arguments only if it was passed.",
    ours="A record's `timeout` is the limit that held, the connection's `command_timeout` as well.",
)
async def test_the_time_limit_that_is_logged(client: Client) -> None:
    async with client.connect(command_timeout=20) as connection:
        told = Told()
        with connection.query_logger(told):
            await connection.fetch("SELECT 1")
            await connection.execute("SELECT 2")
            await connection.execute("SELECT 3", timeout=19)
        await told.has(3)
    assert [record.timeout for record in told.calls] == [20, 20, 19]


@pytest.mark.differs(
    asyncpg="tells query loggers nothing of prepared statements, cursors and COPY.",
    ours="They are told of every method that runs SQL.",
)
async def test_query_loggers_are_told_of_everything(connection: Any, client: Client) -> None:
    told, copied = Told(), Told()
    await connection.execute("CREATE TEMP TABLE logged(a int)")
    with connection.query_logger(told):
        statement = await connection.prepare("SELECT $1::int")
        await statement.fetch(1)
        await statement.fetchval(2)
        await statement.fetchrow(3, timeout=10)
        await statement.executemany([(4,)])
        async with connection.transaction():
            async for _ in connection.cursor("SELECT 5"):
                pass
            cursor = await connection.cursor("SELECT generate_series(1, 9)")
            await cursor.forward(2)
            await cursor.fetch(2)
        await connection.copy_records_to_table("logged", records=[(6,)])
        await connection.copy_from_query("SELECT $1::int", 7, output=copied.coroutine)
        await connection.copy_to_table("logged", source=io.BytesIO(b"8\n"))
        await connection.fetch("SELECT 9")
    await eventually(lambda: "SELECT 9" in told.queries)
    records, queries = told.calls, told.queries
    assert sum(query.startswith("COPY") for query in queries) == 3
    assert queries.count("SELECT $1::int") == 4
    assert [record.args for record in records if record.query == "SELECT $1::int"] == [(1,), (2,), (3,), [(4,)]]
    assert "SELECT 5" in queries
    assert "MOVE FORWARD 2" in " ".join(queries)
    assert queries.count("SELECT generate_series(1, 9)") == 2
    assert [record.args for record in records if record.query.startswith("COPY (")] == [(7,)]


# In a pool


@pytest.mark.checklist("L-5", "L-6", "L-7", "P-6")
async def test_callbacks_are_given_the_proxy(client: Client) -> None:
    told, ended = Told(), Told()
    async with make_pool(client) as pool, pool.acquire() as connection:
        connection.add_log_listener(told)
        connection.add_termination_listener(ended)
        await connection.execute(RAISE.format("WARNING", "01000"))
        await told.has(1)
        connection.remove_log_listener(told)
        connection.terminate()
        await ended.has(1)
        assert told.calls[0][0] is ended.calls[0] is connection


@pytest.mark.checklist("L-8")
async def test_log_listeners_left_behind(client: Client) -> None:
    told, queries = Told(), Told()
    async with make_pool(client) as pool:
        connection = await pool.acquire()
        pid = connection.get_server_pid()
        connection.add_query_logger(queries)
        connection.add_log_listener(told)
        connection.add_log_listener(told.coroutine)
        with pytest.warns(
            client.InterfaceWarning, match="is being released to the pool but has 2 active log listeners"
        ):
            await pool.release(connection)
        async with pool.acquire() as connection:
            assert connection.get_server_pid() == pid
            before = len(queries.calls)
            await connection.execute(RAISE.format("WARNING", "01000"))
            # Query loggers stay.
            await queries.has(before + 1)
            connection.remove_query_logger(queries)
        assert told.calls == []
