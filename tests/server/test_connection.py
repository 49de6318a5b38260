"""One connection: what it tells, how it ends, what time limits and cancellations do to it."""

import asyncio
import contextlib
import functools
import io
import os
from typing import Any

import anyio
import pytest

from pgsansio.messages.frontend import Query
from pgsansio.policy.conninfo import TcpAddress
from pgsansio.testing.peer import Deaf
from pgsansio.testing.script import ScriptedBackend, error, expect, hang_up, login, send
from tests.support.clients import RUNS_PG_SLEEP, Client, at_once, eventually, until
from tests.support.pools import make_pool
from tests.support.toy_server import ToyCluster, ToyServer
from tests.support.wire import serving, tapped

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: Takes a while to end when it is cancelled once.
OBSTINATE = """
    DO $$ BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(0.15); END $$
"""
GONE = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1"


@pytest.mark.checklist("CN-1")
@pytest.mark.differs(
    asyncpg="serves one operation at a time; a second task's is refused with "
    '"cannot perform operation: another operation is in progress".',
    ours="Outside of transactions any number of tasks may use a connection at the same time: their queries are "
    "pipelined, and each gets its own result or error. `connect(pipelining=False)` gives asyncpg's behaviour.",
)
async def test_many_tasks_share_a_connection(connection: Any) -> None:
    got: dict[int, int] = {}

    async def ask(number: int) -> None:
        got[number] = await connection.fetchval("SELECT $1::int", number)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(ask, number)
    assert got == {number: number for number in range(10)}


@pytest.mark.checklist("CN-1")
async def test_one_operation_at_a_time(client: Client) -> None:
    async with client.connect(**({"pipelining": False} if client.is_ours else {})) as connection:
        outcomes = await at_once([lambda i=i: connection.fetchval("SELECT $1::int", i) for i in range(3)])
        refused = [outcome for outcome in outcomes if isinstance(outcome, client.InterfaceError)]
        assert len(refused) == 2
        assert all("cannot perform operation: another operation is in progress" in str(error) for error in refused)
        assert await connection.fetchval("SELECT 9") == 9


async def cancel_what_is_obstinate(connection: Any, observer: Any) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(functools.partial(connection.execute, OBSTINATE, timeout=60))
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
            tasks.cancel_scope.cancel()


@pytest.mark.checklist("CN-1", "T-2")
async def test_the_next_call_waits_for_a_cancellation(connection: Any, observer: Any) -> None:
    await cancel_what_is_obstinate(connection, observer)
    with anyio.fail_after(20):
        assert await connection.fetchval("SELECT 3", timeout=19) == 3


@pytest.mark.checklist("CN-2")
@pytest.mark.parametrize("way", ["close", "terminate"])
async def test_a_closed_connection(client: Client, way: str) -> None:
    async with client.connect() as connection:
        ended = getattr(connection, way)()
        if ended is not None:
            await ended
        assert connection.is_closed()
        for call in (
            lambda: connection.fetch("SELECT 1"),
            lambda: connection.fetchrow("SELECT 1"),
            lambda: connection.fetchval("SELECT 1"),
            lambda: connection.execute("SELECT 1"),
            lambda: connection.execute("SELECT $1::int", 1),
            lambda: connection.executemany("SELECT $1::int", [(1,)]),
            lambda: connection.fetchmany("SELECT $1::int", [(1,)]),
            lambda: connection.prepare("SELECT 1"),
            lambda: connection.set_type_codec("x", encoder=str, decoder=str),
            lambda: connection.add_listener("c", print),
            connection.reset,
        ):
            with pytest.raises(client.InterfaceError, match="connection is closed"):
                await call()
        with pytest.raises(client.InterfaceError, match="connection is closed"):
            connection.transaction()
        with pytest.raises(client.InterfaceError, match="connection is closed"):
            connection.cursor("SELECT 1")
        await connection.remove_listener("c", print)


@pytest.mark.checklist("CN-2")
@pytest.mark.differs(
    asyncpg="raises `AttributeError` from COPY on a connection that was terminated.",
    ours="It is the `InterfaceError` of every closed connection.",
)
async def test_a_terminated_connection_does_not_copy(client: Client) -> None:
    async with client.connect() as connection:
        connection.terminate()
        for call in (
            lambda: connection.copy_from_table("t", output=io.BytesIO()),
            lambda: connection.copy_from_query("SELECT 1", output=io.BytesIO()),
            lambda: connection.copy_to_table("t", source=io.BytesIO()),
            lambda: connection.copy_records_to_table("t", records=[]),
        ):
            with pytest.raises(client.InterfaceError, match="connection is closed"):
                await call()


@pytest.mark.checklist("CN-3", "CN-4")
async def test_what_it_tells(client: Client, connection: Any) -> None:
    assert connection.get_server_pid() == await connection.fetchval("SELECT pg_backend_pid()")
    version = connection.get_server_version()
    number = int(await connection.fetchval("SHOW server_version_num"))
    assert (version.major, version.minor, version.micro) == (number // 10000, 0, number % 10000)
    assert version.releaselevel == "final"
    assert version.major == client.server.version


@pytest.mark.checklist("CN-5")
async def test_settings(connection: Any) -> None:
    settings = connection.get_settings()
    assert settings.client_encoding == "UTF8"
    await connection.execute("SET TimeZone TO 'Asia/Tokyo'")
    assert settings.TimeZone == "Asia/Tokyo"
    assert connection.get_settings().TimeZone == "Asia/Tokyo"
    with pytest.raises(AttributeError):
        assert settings.no_such_setting
    assert "'TimeZone': 'Asia/Tokyo'" in repr(settings)
    for name in (
        "application_name", "DateStyle", "integer_datetimes", "in_hot_standby", "IntervalStyle", "is_superuser",
        "server_encoding", "server_version", "session_authorization", "standard_conforming_strings",
    ):  # fmt: skip
        assert getattr(settings, name) == await connection.fetchval("SELECT current_setting($1)", name)


@pytest.mark.checklist("CN-7", "CN-8")
async def test_close(client: Client, observer: Any) -> None:
    async with client.connect() as connection:
        pid = connection.get_server_pid()
        assert not connection.is_closed()
        await connection.close()
        assert connection.is_closed()
        await connection.close()
        await connection.close(timeout=1)
        connection.terminate()
        await until(observer, GONE, pid)


@pytest.mark.checklist("CN-8")
async def test_what_a_closed_connection_has_held_is_free(client: Client, observer: Any) -> None:
    for _ in range(10):
        async with client.connect() as connection:
            await connection.execute("SELECT pg_advisory_lock(8)")
            await connection.close()
            assert await observer.fetchval("SELECT pg_try_advisory_lock(8)")
            await observer.execute("SELECT pg_advisory_unlock(8)")


@pytest.mark.checklist("CN-8", "CN-9")
@pytest.mark.parametrize("way", ["close", "terminate"])
async def test_it_says_goodbye(client: Client, way: str) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        with wire.said() as said:
            ended = getattr(connection, way)()
            if ended is not None:
                await ended
            await eventually(lambda: wire.frames[-1].tag == "X")
    assert said == ["> X"]


@pytest.mark.checklist("CN-8")
@pytest.mark.parametrize(
    "limits", [{"timeout": 0.05}, {"command_timeout": 0.05}], ids=lambda limits: next(iter(limits))
)
async def test_closing_has_a_time_limit(client: Client, limits: dict[str, float]) -> None:
    """Close while a query runs, and nobody hears that it is to be cancelled."""
    cluster = ToyCluster()
    sessions = 0

    def make() -> ToyServer | Deaf:
        nonlocal sessions
        sessions += 1
        return cluster(TcpAddress("", 0)) if sessions == 1 else Deaf()

    of_close = {name: limit for name, limit in limits.items() if name == "timeout"}
    of_commands = {name: limit for name, limit in limits.items() if name == "command_timeout"}
    async with serving(client, make) as client, client.connect(**of_commands) as connection:

        async def sleep() -> None:
            with pytest.raises(client.ConnectionDoesNotExistError):
                await connection.execute("SLEEP", timeout=60)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await eventually(lambda: cluster.servers[0].sleeping)
            with anyio.CancelScope(deadline=anyio.current_time() + 20) as patience, pytest.raises(TimeoutError):
                await connection.close(**of_close)
            assert not patience.cancelled_caught
        assert connection.is_closed()
        await connection.close()


@pytest.mark.checklist("CN-9")
async def test_terminate(client: Client, observer: Any) -> None:
    async with client.connect() as connection:
        pid = connection.get_server_pid()
        connection.terminate()
        connection.terminate()
        assert connection.is_closed()
        await until(observer, GONE, pid)
        await connection.close()


@pytest.mark.checklist("CN-8", "CN-9", "T-7")
@pytest.mark.parametrize("way", ["close", "terminate"])
async def test_ending_it_during_an_operation(client: Client, observer: Any, way: str) -> None:
    async with client.connect() as connection:
        pid = connection.get_server_pid()
        errors: list[BaseException] = []

        async def sleep() -> None:
            # close() cancels it first, and the server's answer to that may come before the end.
            with pytest.raises((client.ConnectionDoesNotExistError, client.QueryCanceledError)) as caught:
                await connection.fetch("SELECT pg_sleep(60)")
            errors.append(caught.value)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sleep)
                await until(observer, RUNS_PG_SLEEP, pid)
                ended = getattr(connection, way)()
                if ended is not None:
                    await ended
        if way == "terminate":
            assert str(errors[0]).startswith("connection was closed in the middle of operation")
        assert connection.is_closed()
        if way == "close":
            await until(observer, GONE, pid)
        else:
            await observer.execute(f"SELECT pg_terminate_backend({pid})")


@pytest.mark.checklist("CN-10", "CN-11")
async def test_reset(connection: Any) -> None:
    await connection.execute("SET work_mem TO '100kB'; SELECT pg_advisory_lock(1)")
    await connection.execute("CREATE TEMP TABLE t (a int)")
    statement = await connection.prepare("SELECT $1::int")
    assert connection.get_reset_query() == "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"
    await connection.reset(timeout=20)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    assert await statement.fetchval(5) == 5
    assert await connection.fetchval("SHOW work_mem") == "4MB"
    assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


@pytest.mark.checklist("CN-11", "CN-15")
async def test_a_reset_query_of_the_users(client: Client) -> None:
    class Special(client.Connection):  # type: ignore[misc,name-defined]
        def get_reset_query(self) -> str:
            return super().get_reset_query() + "\nSET work_mem TO '123kB'"

    async with client.connect(connection_class=Special) as connection:
        await connection.reset()
        assert await connection.fetchval("SHOW work_mem") == "123kB"


@pytest.mark.checklist("CN-10")
@pytest.mark.parametrize("managed", [False, True])
async def test_reset_tells_of_a_transaction(
    client: Client, connection: Any, caplog: pytest.LogCaptureFixture, managed: bool
) -> None:
    text = "Resetting connection with an active transaction"
    if managed:
        # What the block then finds is its own affair.
        with contextlib.suppress(client.InterfaceError, client.PostgresError, AttributeError):
            async with connection.transaction():
                await connection.execute("SELECT 1")
                await connection.reset()
    else:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT 1")
        await connection.reset()
    assert [text in record.getMessage() for record in caplog.records] == [True] * (not managed)
    assert not connection.is_in_transaction()


@pytest.mark.checklist("CN-10")
async def test_reset_rolls_back(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    await connection.execute("BEGIN; INSERT INTO t VALUES (1)")
    await connection.reset()
    assert not connection.is_in_transaction()
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    async with connection.transaction():
        pass


@pytest.mark.checklist("CN-15")
async def test_connection_class(client: Client) -> None:
    class Special(client.Connection):  # type: ignore[misc,name-defined]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.queries: list[str] = []

        async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
            self.queries.append(query)
            return await super().fetch(query, *args, **kwargs)

        def extra(self) -> int:
            return 5

    async with client.connect(connection_class=Special) as connection:
        assert type(connection) is Special
        assert await connection.fetch("SELECT 1") == [(1,)]
        assert connection.queries == ["SELECT 1"]
        assert connection.extra() == 5
    async with make_pool(client, connection_class=Special) as pool, pool.acquire() as connection:
        assert isinstance(connection, Special)
        assert await connection.fetch("SELECT 1") == [(1,)]
        assert connection.queries == ["SELECT 1"]
        assert connection.extra() == 5
    assert not hasattr(client.Connection, "__dict__") or "__slots__" in vars(client.Connection)


@pytest.mark.checklist("CON-10")
async def test_connection_class_is_checked(client: Client) -> None:
    with pytest.raises(client.InterfaceError, match="connection_class is expected to be a subclass of"):
        async with client.connect(connection_class=dict):
            pass


# time limits and cancellation


@pytest.mark.checklist("T-1")
async def test_command_timeout(client: Client) -> None:
    # asyncpg's also bounds how long a cancellation may take.
    async with client.connect(command_timeout=0.1 if client.is_ours else 0.5) as connection:
        with anyio.fail_after(20):
            for call in (
                lambda: connection.fetch("SELECT pg_sleep(60)"),
                lambda: connection.fetchval("SELECT pg_sleep($1)", 60),
                lambda: connection.execute("SELECT pg_sleep(60)"),
                lambda: connection.executemany("SELECT pg_sleep($1)", [(60,)]),
            ):
                with pytest.raises(TimeoutError):
                    await call()
                assert await connection.fetchval("SELECT 5", timeout=30) == 5
            await connection.execute("SELECT pg_sleep(0.2)", timeout=30)


@pytest.mark.checklist("CON-7")
@pytest.mark.parametrize("wrong", [-1, 0, "a", True])
async def test_command_timeout_is_checked(client: Client, wrong: Any) -> None:
    with pytest.raises(ValueError, match="invalid command_timeout value: expected greater than 0 float"):
        async with client.connect(command_timeout=wrong):
            pass


@pytest.mark.checklist("CON-8")
@pytest.mark.parametrize(
    "name", ["statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size"]
)
@pytest.mark.parametrize("wrong", [None, -1, True])
async def test_cache_settings_are_checked(client: Client, name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is expected to be greater or equal to 0"):
        async with client.connect(**{name: wrong}):
            pass


@pytest.mark.checklist("T-1")
async def test_a_timeout_cancels_on_the_server(connection: Any, observer: Any) -> None:
    pid = connection.get_server_pid()
    with anyio.fail_after(20), pytest.raises(TimeoutError):
        await connection.fetch("SELECT pg_sleep(60)", timeout=0.1)
    await until(observer, "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $1", pid)
    assert not connection.is_closed()
    assert connection.get_server_pid() == await connection.fetchval("SELECT pg_backend_pid()")


@pytest.mark.checklist("T-2")
async def test_a_cancellation_cancels_on_the_server(connection: Any, observer: Any) -> None:
    pid = connection.get_server_pid()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.fetch, "SELECT pg_sleep(60)")
            await until(observer, RUNS_PG_SLEEP, pid)
            tasks.cancel_scope.cancel()
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid


@pytest.mark.checklist("T-3")
async def test_a_cancellation_that_fails(client: Client) -> None:
    """There is nobody any more to take the connection of a CancelRequest."""
    cluster = ToyCluster()
    async with serving(client, lambda: cluster(TcpAddress("", 0))) as client, client.connect() as connection:
        os.unlink(f"{client.server.socket_dir}/.s.PGSQL.5432")
        with pytest.raises(TimeoutError):
            await connection.execute("SLEEP", timeout=0.02)
        await eventually(connection.is_closed)
        with pytest.raises(client.InterfaceError, match="connection is closed"):
            await connection.execute("SELECT 1")


# loss


@pytest.mark.checklist("T-6")
async def test_what_a_pooler_said_last(client: Client) -> None:
    script = [
        *login(parameters={"client_encoding": "UTF8", "server_version": "16.4"}),
        expect(Query),
        send(error("08P01", "query_wait_timeout", "FATAL")),
        hang_up(),
    ]
    async with serving(client, lambda: ScriptedBackend(script)) as client, client.connect() as connection:
        with pytest.raises(client.ConnectionDoesNotExistError) as caught:
            await connection.execute("SELECT 1")
        assert "connection was closed in the middle of operation" in str(caught.value)
        assert "query_wait_timeout" in str(caught.value)
        assert isinstance(caught.value.__cause__, client.ProtocolViolationError)


@pytest.mark.checklist("T-6")
@pytest.mark.parametrize("query", ["SELECT pg_sleep(60)", "SELECT pg_sleep(60) /* simple */"])
async def test_loss_in_an_operation(client: Client, observer: Any, query: str) -> None:
    async with client.connect() as connection:
        errors: list[BaseException] = []

        async def sleep() -> None:
            method = connection.execute if "simple" in query else connection.fetch
            with pytest.raises(client.ConnectionDoesNotExistError) as caught:
                await method(query)
            errors.append(caught.value)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sleep)
                await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
                await observer.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
        text = str(errors[0])
        assert text.startswith("connection was closed in the middle of operation")
        assert "terminating connection due to administrator command" in text
        assert isinstance(errors[0].__cause__, client.AdminShutdownError)
        assert connection.is_closed()
        with pytest.raises(client.InterfaceError, match="connection is closed"):
            await connection.fetch("SELECT 1")


@pytest.mark.checklist("T-5", "CN-7")
async def test_loss_while_idle(client: Client, observer: Any) -> None:
    async with client.connect() as connection:
        pid = connection.get_server_pid()
        await observer.execute(f"SELECT pg_terminate_backend({pid})")
        await until(observer, GONE, pid)
        with anyio.fail_after(20):
            while not connection.is_closed():
                await anyio.lowlevel.checkpoint()
        with pytest.raises(client.InterfaceError, match="connection is closed"):
            await connection.fetch("SELECT 1")


@pytest.mark.checklist("CN-13")
async def test_a_forgotten_connection_is_closed(client: Client, observer: Any) -> None:
    connection = await client.module.connect(**client.settings())
    pid = connection.get_server_pid()
    assert await connection.fetchval("SELECT 1") == 1
    mode = "Python with -X dev" if client.module.__name__ == "pgsansio_trio" else "in asyncio debug mode"
    text = f"unclosed connection <.*Connection .*>; run {mode} to show the traceback of connection origin"
    with pytest.warns(ResourceWarning, match=text):
        del connection  # and at once: no cycle waits for the collector
    await until(observer, GONE, pid)


@pytest.mark.checklist("CN-13")
async def test_where_a_forgotten_connection_comes_from(client: Client, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("it asks for Python's development mode: tests/adapters/test_connect.py")
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    try:
        connection = await client.module.connect(**client.settings())
    finally:
        loop.set_debug(False)
    assert not connection.is_closed()
    with pytest.warns(ResourceWarning, match=r"(?s)unclosed connection .*; created at:\n.*test_connection\.py"):
        del connection
