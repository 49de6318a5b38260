"""The pool: acquire and release, hooks, sizes, closing."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import functools
import gc
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskStatus

from tests.support.clients import PATIENCE_SECONDS, RUNS_PG_SLEEP, Client, at_once, eventually, until
from tests.support.pools import at_rest, make_pool, waiting

pytestmark = [pytest.mark.anyio, pytest.mark.server]


# starting


@pytest.mark.checklist("P-1")
async def test_before_it_has_started(client: Client) -> None:
    pool = make_pool(client)
    for call in (pool.acquire, pool.close, lambda: pool.fetch("SELECT 1")):
        with pytest.raises(client.InterfaceError, match="pool is not initialized"):
            await call()
    with pytest.raises(client.InterfaceError, match="pool is not initialized"):
        pool.terminate()


@pytest.mark.checklist("P-1")
async def test_a_start_that_fails(client: Client) -> None:
    pool = client.create_pool(**client.settings(min_size=1, max_size=1, database="nowhere"))
    with pytest.raises(client.InvalidCatalogNameError):
        async with pool:
            pass
    with pytest.raises(client.InterfaceError, match="pool is closed"):
        await pool.acquire()


@pytest.mark.checklist("P-1")
async def test_a_start_in_two_tasks(client: Client) -> None:
    entered, told = anyio.Event(), anyio.Event()

    async def connect(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        await told.wait()
        return await client.module.connect(*args, **kwargs)

    pool = make_pool(client, connect=connect)

    async def start() -> None:
        async with pool:
            await pool.fetchval("SELECT 1")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await entered.wait()
        with pytest.raises(client.InterfaceError, match="pool is being initialized in another task"):
            await pool.__aenter__()
        with pytest.raises(client.InterfaceError, match="pool is being initialized, but not yet ready"):
            await pool.acquire()
        told.set()


@pytest.mark.checklist("P-2")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"max_size": 0}, "max_size is expected to be greater than zero"),
        ({"min_size": -1}, "min_size is expected to be greater or equal to zero"),
        ({"min_size": 3, "max_size": 2}, "min_size is greater than max_size"),
        ({"init_size": 1, "min_size": 2, "max_size": 3}, "init_size"),
        ({"init_size": 4, "min_size": 2, "max_size": 3}, "init_size"),
        ({"max_queries": 0}, "max_queries is expected to be greater than zero"),
        (
            {"max_inactive_connection_lifetime": -1},
            "max_inactive_connection_lifetime is expected to be greater or equal",
        ),
    ],
)
async def test_numbers_that_contradict_each_other(client: Client, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        client.create_pool(**{"min_size": 0, "max_size": 10, **arguments})


@pytest.mark.checklist("P-2")
async def test_classes_that_do_not_fit(client: Client) -> None:
    with pytest.raises(TypeError, match=r"connection_class is expected to be a subclass of asyncpg\.Connection"):
        client.create_pool(connection_class=int)
    with pytest.raises(TypeError, match=r"record_class is expected to be a subclass of asyncpg\.Record"):
        client.create_pool(record_class=int)


@pytest.mark.checklist("P-3", "P-12")
async def test_sizes(client: Client) -> None:
    async with make_pool(client, 2, 5, init_size=3) as pool:
        assert (pool.get_init_size(), pool.get_min_size(), pool.get_max_size()) == (3, 2, 5)
        assert (pool.get_size(), pool.get_idle_size()) == (3, 3)
        async with pool.acquire():
            assert (pool.get_size(), pool.get_idle_size()) == (3, 2)
        assert not pool.is_closing()
    assert pool.is_closing()
    assert pool.get_size() == 0


# acquiring and releasing


@pytest.mark.checklist("P-4")
async def test_the_connection_used_last_is_used_next(client: Client) -> None:
    async with make_pool(client, 3, 3) as pool:
        pids = []
        for _ in range(5):
            async with pool.acquire() as connection:
                pids.append(connection.get_server_pid())
            await eventually(lambda: at_rest(client, pool))
        assert len(set(pids)) == 1


@pytest.mark.checklist("P-4")
async def test_first_come_first_served(client: Client) -> None:
    order: list[int] = []
    async with make_pool(client) as pool:

        async def take(number: int) -> None:
            async with pool.acquire():
                order.append(number)

        held = await pool.acquire()
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(take, number)
                # Trio begins tasks in any order.
                await eventually(lambda: waiting(client, pool) == number + 1)  # noqa: B023
            assert order == []
            await pool.release(held)
        assert order == list(range(10))


@pytest.mark.checklist("P-4", "P-14")
async def test_many_tasks_on_few_connections(client: Client) -> None:
    async with make_pool(client, 0, 10) as pool:
        results = await at_once([functools.partial(pool.fetchval, "SELECT $1::int", n) for n in range(100)])
        assert results == list(range(100))
        assert pool.get_size() <= 10


@pytest.mark.checklist("P-5")
async def test_nothing_is_free_in_time(client: Client) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=0.02)
        async with pool.acquire(timeout=PATIENCE_SECONDS) as connection:
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("P-5")
async def test_the_time_limit_covers_setup(client: Client) -> None:
    slow = True

    async def setup(connection: Any) -> None:
        if slow:
            await anyio.sleep_forever()

    async with make_pool(client, setup=setup) as pool:
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.05)
        slow = False
        assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.checklist("P-5")
async def test_an_acquire_is_entered_once(client: Client) -> None:
    async with make_pool(client) as pool:
        acquire = pool.acquire()
        async with acquire:
            with pytest.raises(client.InterfaceError, match="a connection is already acquired"):
                await acquire.__aenter__()


@pytest.mark.checklist("P-5")
async def test_cancelled_acquires_leak_nothing(client: Client) -> None:
    async with make_pool(client) as pool:

        async def take() -> None:
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 1")

        for steps in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144):
            held = await pool.acquire()
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(take)
                await eventually(lambda: waiting(client, pool) == 3)
                await pool.release(held)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            with anyio.fail_after(PATIENCE_SECONDS):
                assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.checklist("P-6", "PKG-6")
async def test_the_proxy_looks_like_the_connection(client: Client) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as connection:
            assert isinstance(connection, client.Connection)
            assert repr(connection).startswith("<PoolConnectionProxy <")
            assert connection.fetch.__name__ == "fetch"
            assert connection.fetch.__doc__ == client.Connection.fetch.__doc__
            own = inspect.signature(client.Connection.fetch).parameters
            assert list(inspect.signature(connection.fetch).parameters)[-3:] == list(own)[-3:]
        assert repr(connection).startswith("<PoolConnectionProxy [released] 0x")
        with pytest.raises(
            client.InterfaceError,
            match=r"cannot call Connection\.fetch\(\): connection has been released back to the pool",
        ):
            await connection.fetch("SELECT 1")
        with pytest.raises(client.InterfaceError, match=r"cannot call Connection\.is_closed\(\)"):
            connection.is_closed()


@pytest.mark.checklist("P-6", "P-9")
async def test_isinstance_of_the_pools_class(client: Client) -> None:
    class Mine(client.Connection):  # type: ignore[misc, name-defined]
        async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
            return "mine", await super().fetchval(query, *args, **options)

        def answer(self) -> int:
            return 42

    async with make_pool(client, connection_class=Mine) as pool, pool.acquire() as connection:
        assert isinstance(connection, Mine)
        assert await connection.fetchval("SELECT 1") == ("mine", 1)
        assert connection.answer() == 42


@pytest.mark.checklist("P-7")
async def test_a_release_resets(client: Client) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as connection:
            await connection.execute("SET search_path TO nowhere; SELECT pg_advisory_lock(77); LISTEN news")
            await connection.execute("BEGIN")
        async with pool.acquire() as connection:
            assert await connection.fetchval("SHOW search_path") != "nowhere"
            assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
            assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
            assert not connection.is_in_transaction()


@pytest.mark.checklist("P-7")
async def test_a_failed_transaction_is_rolled_back(client: Client) -> None:
    async with make_pool(client) as pool:
        with pytest.raises(client.DivisionByZeroError):
            async with pool.acquire() as connection:
                await connection.execute("BEGIN")
                await connection.fetch("SELECT 1/0")
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("P-7")
async def test_what_is_released(client: Client) -> None:
    async with make_pool(client) as pool, make_pool(client) as other:
        connection = await pool.acquire()
        with pytest.raises(client.InterfaceError, match="is not a member of this pool"):
            await other.release(connection)
        with pytest.raises(client.InterfaceError, match="is not a member of this pool"):
            await pool.release(object())
        await pool.release(connection)
        await pool.release(connection)
        assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.checklist("P-7", "P-8")
async def test_a_release_after_a_cancellation(client: Client, observer: Any) -> None:
    async with make_pool(client) as pool:

        async def use(*, task_status: TaskStatus[int]) -> None:
            async with pool.acquire() as connection:
                task_status.started(connection.get_server_pid())
                await connection.fetch("SELECT pg_sleep(60)")

        async with anyio.create_task_group() as tasks:
            await until(observer, RUNS_PG_SLEEP, await tasks.start(use))
            tasks.cancel_scope.cancel()
        with anyio.fail_after(PATIENCE_SECONDS):
            assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.checklist("P-8")
async def test_max_queries(client: Client) -> None:
    async with make_pool(client, max_queries=3) as pool:
        pids = [await pool.fetchval("SELECT pg_backend_pid()") for _ in range(8)]
        assert len(set(pids)) > 2


@pytest.mark.checklist("P-8", "P-3")
async def test_a_dead_connection_is_replaced(client: Client, observer: Any) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as connection:
            pid, idle = connection.get_server_pid(), connection._con
        await eventually(lambda: at_rest(client, pool))
        await observer.fetchval("SELECT pg_terminate_backend($1)", pid)
        await eventually(idle.is_closed)
        assert await pool.fetchval("SELECT pg_backend_pid()") != pid


@pytest.mark.checklist("P-8")
async def test_one_that_dies_in_use_is_replaced(client: Client) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as connection:
            # It ends itself: an end that comes when asyncpg has not yet begun is an InternalClientError now and then.
            with pytest.raises((client.PostgresError, client.InterfaceError)):
                await connection.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
        assert await pool.fetchval("SELECT 1") == 1
        assert pool.get_size() == 1


# hooks


@pytest.mark.checklist("P-9")
async def test_hooks(client: Client) -> None:
    calls: list[str] = []

    async def connect(*args: Any, **kwargs: Any) -> Any:
        assert kwargs["connection_class"] is client.Connection
        assert kwargs["record_class"] is client.Record
        calls.append("connect")
        return await client.module.connect(*args, **kwargs)

    async def init(connection: Any) -> None:
        assert type(connection) is client.Connection
        calls.append("init")

    async def setup(connection: Any) -> None:
        assert type(connection) is not client.Connection
        assert await connection.fetchval("SELECT 1") == 1
        calls.append("setup")

    async def reset(connection: Any) -> None:
        assert type(connection) is client.Connection
        assert await connection.fetchval("SHOW search_path") == "nowhere"
        calls.append("reset")

    async with make_pool(client, connect=connect, init=init, setup=setup, reset=reset) as pool:
        assert calls == ["connect", "init"]
        for _ in range(2):
            async with pool.acquire() as connection:
                await connection.execute("SET search_path TO nowhere")
            del connection
        assert calls == ["connect", "init", "setup", "reset", "setup", "reset"]


@pytest.mark.checklist("P-9")
async def test_connect_must_return_a_connection(client: Client) -> None:
    async def connect(*args: Any, **kwargs: Any) -> Any:
        return 1

    with pytest.raises(
        client.InterfaceError,
        match=r"expected pool connect callback to return an instance of '.*\.connection\.Connection', got 'int'",
    ):
        async with make_pool(client, connect=connect):
            pass


@pytest.mark.checklist("P-9")
@pytest.mark.parametrize("hook", ["init", "setup"])
async def test_errors_of_hooks_reach_who_acquires(client: Client, hook: str) -> None:
    fails = True

    async def call(connection: Any) -> None:
        if fails:
            raise LookupError

    async with make_pool(client, 0, 1, **{hook: call}) as pool:
        for _ in range(2):
            with pytest.raises(LookupError):
                await pool.acquire()
        fails = False
        assert await pool.fetchval("SELECT 1") == 1
        assert pool.get_size() == 1


@pytest.mark.checklist("P-9")
async def test_an_error_of_reset_reaches_who_releases(client: Client) -> None:
    async def reset(connection: Any) -> None:
        raise LookupError

    async with make_pool(client, reset=reset) as pool:
        connection = await pool.acquire()
        pid = connection.get_server_pid()
        with pytest.raises(LookupError):
            await pool.release(connection)
        connection = await pool.acquire()
        assert connection.get_server_pid() != pid
        with pytest.raises(LookupError):
            await pool.release(connection)


@pytest.mark.checklist("P-10")
async def test_idle_connections_above_min_size_are_closed(client: Client) -> None:
    async with make_pool(client, 1, 3, max_inactive_connection_lifetime=0.1) as pool:
        async with pool.acquire(), pool.acquire(), pool.acquire():
            assert pool.get_size() == 3
        await eventually(lambda: pool.get_size() == 1)


@pytest.mark.checklist("P-11")
async def test_expired_connections_are_replaced(client: Client) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
            pool.set_connect_args(**client.settings(server_settings={"application_name": "other"}))
            await pool.expire_connections()
            assert await connection.fetchval("SELECT 1") == 1
        async with pool.acquire() as connection:
            assert connection.get_server_pid() != pid
            assert await connection.fetchval("SHOW application_name") == "other"


# ending


@pytest.mark.checklist("P-13")
async def test_close_waits_for_releases(client: Client) -> None:
    async with make_pool(client) as pool:
        closed = False

        async def close() -> None:
            nonlocal closed
            await pool.close()
            closed = True

        connection = await pool.acquire()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close)
            await eventually(pool.is_closing)
            with pytest.raises(client.InterfaceError, match="pool is clos"):
                await pool.acquire()
            assert await connection.fetchval("SELECT 1") == 1
            assert not closed
            await pool.release(connection)
        assert closed
        with pytest.raises(client.InterfaceError, match="pool is closed"):
            await pool.fetch("SELECT 1")
        await pool.close()


@pytest.mark.checklist("P-13")
async def test_a_cancelled_close_terminates(client: Client) -> None:
    async with make_pool(client) as pool:
        connection = await pool.acquire()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.close)
            await eventually(pool.is_closing)
            tasks.cancel_scope.cancel()
        with pytest.raises(client.InterfaceError, match="pool is closed"):
            await pool.acquire()
        with pytest.raises(client.InterfaceError):
            await connection.fetch("SELECT 1")
        await pool.release(connection)


@pytest.mark.checklist("P-13")
async def test_terminate(client: Client, observer: Any) -> None:
    async with make_pool(client) as pool:
        connection = await pool.acquire()

        async def wait() -> None:
            with pytest.raises((client.PostgresError, client.InterfaceError)):
                await connection.fetch("SELECT pg_sleep(60)")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
            pool.terminate()
        with pytest.raises(client.InterfaceError):
            await connection.fetch("SELECT 1")
        pool.terminate()


@pytest.mark.checklist("P-14")
async def test_shortcuts(client: Client) -> None:
    async with make_pool(client) as pool:
        await pool.execute("CREATE TEMP TABLE t (a int)")
        await pool.executemany("INSERT INTO t VALUES ($1)", [(1,), (2,)])
        assert await pool.execute("INSERT INTO t VALUES ($1)", 3) == "INSERT 0 1"
        assert await pool.fetch("SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]
        assert await pool.fetchrow("SELECT a, a + 1 FROM t") == (1, 2)
        assert await pool.fetchval("SELECT a, a + 1 AS b FROM t", column="b") == 2
        with pytest.raises(TimeoutError):
            await pool.fetch("SELECT pg_sleep(60)", timeout=0.05)
        assert await pool.fetchval("SELECT 1") == 1


# what all of them share


async def with_statement(client: Client, pool: Any, use: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Two connections of the pool that both know a statement, and a table that was changed since."""
    async with client.connect() as owner:
        await owner.execute("DROP TABLE IF EXISTS grows; CREATE TABLE grows (a int)")
        try:
            async with pool.acquire() as one, pool.acquire() as other:
                for connection in (one, other):
                    assert await connection.fetch("SELECT * FROM grows") == []
                await owner.execute("ALTER TABLE grows ADD COLUMN b int")
                await use(one, other)
        finally:
            await owner.execute("DROP TABLE grows")


@pytest.mark.checklist("P-15", "SC-6")
async def test_what_one_connection_finds_outdated_is_outdated_for_all(client: Client) -> None:
    async def use(one: Any, other: Any) -> None:
        async with other.transaction():
            await other.execute("SELECT 1")
            assert await one.fetch("SELECT * FROM grows") == []  # asked again at once
            assert await other.fetch("SELECT * FROM grows") == []  # not possible in a transaction

    async with make_pool(client, 2, 2) as pool:
        await with_statement(client, pool, use)


@pytest.mark.checklist("P-15", "CN-14")
async def test_a_schema_that_is_reloaded_is_reloaded_for_all(client: Client) -> None:
    async def use(one: Any, other: Any) -> None:
        await one.reload_schema_state()
        async with other.transaction():
            assert await other.fetch("SELECT * FROM grows") == []

    async with make_pool(client, 2, 2) as pool:
        await with_statement(client, pool, use)


@pytest.mark.checklist("P-16")
async def test_a_forgotten_pool_is_collected(client: Client, observer: Any, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        return  # there it has a block

    there = "FROM pg_stat_activity WHERE application_name = 'forgotten'"

    async def use() -> None:
        # Without a timer, which keeps asyncpg's.
        settings = {"application_name": "forgotten"}
        pool = await make_pool(client, 1, 2, max_inactive_connection_lifetime=0, server_settings=settings)
        async with pool.acquire(), pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
        await eventually(lambda: at_rest(client, pool))
        assert await observer.fetchval(f"SELECT count(*) {there}") == 2

    await use()
    with pytest.warns(ResourceWarning, match="unclosed connection"):
        gc.collect()
    await until(observer, f"SELECT count(*) = 0 {there}")


@pytest.mark.checklist("P-17")
async def test_a_subclass(client: Client) -> None:
    class Mine(client.Pool):  # type: ignore[misc, name-defined]
        pass

    pool = Mine(
        min_size=0,
        max_size=1,
        max_queries=10,
        max_inactive_connection_lifetime=0,
        connection_class=client.Connection,
        record_class=client.Record,
        **({} if client.module.__name__.endswith("trio") else {"loop": None}),
        **client.settings(),
    )
    async with pool:
        assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.checklist("L-2", "L-8")
async def test_listeners_left_behind(client: Client) -> None:
    got: list[Any] = []

    def callback(*args: Any) -> None:
        got.append(args)

    async with make_pool(client) as pool:
        connection = await pool.acquire()
        await connection.add_listener("news", callback)
        await connection.execute("NOTIFY news, 'payload'")
        await eventually(lambda: bool(got))
        assert got[0][0] is connection
        with pytest.warns(
            client.InterfaceWarning,
            match="is being released to the pool but has 1 active notification listener",
        ):
            await pool.release(connection)
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
