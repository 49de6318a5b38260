"""What our pools have beyond asyncpg's, on both loops and a real server."""

import asyncio
import contextlib
from typing import Any

import anyio
import pytest
import trio

from tests.support.clients import PATIENCE_SECONDS, Client, at_once, eventually, until
from tests.support.pools import make_pool, waiting

pytestmark = [pytest.mark.anyio, pytest.mark.server]


def running_tasks(anyio_backend_name: str) -> int:
    if anyio_backend_name == "trio":
        return sum(len(nursery.child_tasks) for nursery in trio.lowlevel.current_task().child_nurseries)
    return len(asyncio.all_tasks())


async def test_no_task_outlives_any_of_it(client: Client, anyio_backend_name: str) -> None:
    before = running_tasks(anyio_backend_name)
    async with make_pool(
        client,
        2,
        4,
        max_lifetime=60,
        check=0,
        multiplex=2,
        max_waiting=100,
        acquire_timeout=PATIENCE_SECONDS,
        lazy=True,
    ) as pool:
        assert running_tasks(anyio_backend_name) == before
        assert await at_once([lambda: pool.fetchval("SELECT 1")] * 20) == [1] * 20
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT 2") == 2
        await pool.drain()
        assert pool.stats().expired >= 2
    assert running_tasks(anyio_backend_name) == before


async def test_a_lazy_pool_without_a_block(client: Client, anyio_backend_name: str) -> None:
    pool = make_pool(client, lazy=True)
    if anyio_backend_name == "trio":
        with pytest.raises(client.InterfaceError, match="on trio its tasks need one") as caught:
            await pool.fetchval("SELECT 1")
        assert "async with" in caught.value.hint
        return
    assert await at_once([lambda: pool.fetchval("SELECT 1")] * 5) == [1] * 5
    await pool.close()


async def test_a_lazy_pool_whose_server_comes_later(client: Client) -> None:
    database = "nowhere"

    async with make_pool(client, lazy=True, connect_parameters=lambda: {"database": database}) as pool:
        for _ in range(2):
            errors = await at_once([lambda: pool.fetchval("SELECT 1")] * 3)
            assert [type(error) for error in errors] == [client.InvalidCatalogNameError] * 3
        database = client.server.database
        assert await pool.fetchval("SELECT 1") == 1


async def test_credentials_that_are_rotated(client: Client, observer: Any) -> None:
    async def parameters() -> dict[str, Any]:
        return {"server_settings": {"application_name": f"version {version}"}}

    version = 1
    async with make_pool(client, 2, 3, connect_parameters=parameters) as pool:
        assert await pool.fetchval("SHOW application_name") == "version 1"
        version = 2
        await pool.drain()
        await until(observer, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'version 1'")
        assert await pool.fetchval("SHOW application_name") == "version 2"
        held = await pool.acquire()
        with pytest.raises(client.OperationTimeoutError):
            await pool.drain(timeout=0.05)
        await pool.release(held)


async def test_an_old_connection_is_replaced(client: Client) -> None:
    async with make_pool(client, max_lifetime=0.2) as pool:
        pid = await pool.fetchval("SELECT pg_backend_pid()")
        await eventually(lambda: pool.stats().expired > 0)
        assert await pool.fetchval("SELECT pg_backend_pid()") != pid


async def test_a_check_of_its_own(client: Client) -> None:
    unwanted: set[int] = set()

    async def check(connection: Any) -> bool:
        return await connection.fetchval("SELECT pg_backend_pid()") not in unwanted

    async with make_pool(client, 1, 2, check=check) as pool:
        pid = await pool.fetchval("SELECT pg_backend_pid()")
        await eventually(lambda: pool.get_idle_size() == 1 and not pool.stats().resetting)
        assert await pool.fetchval("SELECT pg_backend_pid()") == pid
        unwanted.add(pid)
        await eventually(lambda: pool.get_idle_size() == 1 and not pool.stats().resetting)
        assert await pool.fetchval("SELECT pg_backend_pid()") != pid
        assert pool.stats().check_failures == 1


async def test_too_many_wait(client: Client) -> None:
    async with make_pool(client, max_waiting=2) as pool:
        held = await pool.acquire()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(pool.fetchval, "SELECT 1")
            await eventually(lambda: waiting(client, pool) == 2)
            with pytest.raises(client.PoolExhaustedError, match="and 2 tasks wait for one already"):
                await pool.fetchval("SELECT 1")
            await pool.release(held)
        assert pool.stats().refused == 1


# multiplexing


async def test_errors_of_one_query_are_its_own(client: Client) -> None:
    async with make_pool(client, 0, 2, multiplex=1) as pool:

        async def divide(by: int) -> Any:
            return await pool.fetchval("SELECT 100 / $1::int", by)

        results = await at_once([lambda by=number % 4: divide(by) for number in range(40)])  # type: ignore[misc]
        for number, result in enumerate(results):
            if number % 4:
                assert result == 100 // (number % 4)
            else:
                assert isinstance(result, client.DivisionByZeroError)
        assert pool.get_size() == 1
        assert await pool.execute("SELECT $1::int", 5) == "SELECT 1"
        assert await pool.fetchrow("SELECT $1::int AS a", 5) == (5,)


async def test_cancelled_and_killed_while_they_share(client: Client, observer: Any) -> None:
    async with make_pool(client, 0, 4, multiplex=2) as pool:
        good = 0
        some_are_good = anyio.Event()

        async def work(number: int) -> None:
            nonlocal good
            with contextlib.suppress(client.PostgresConnectionError, client.OperatorInterventionError):
                with anyio.move_on_after(0.001 * (number % 5) if number % 3 == 0 else PATIENCE_SECONDS):
                    assert await pool.fetchval("SELECT $1::int FROM pg_sleep(0.002)", number) == number
                    good += 1
                    some_are_good.set()

        async def kill() -> None:
            # All of them may be on one connection: those behind the first ones are lost then.
            await some_are_good.wait()
            await observer.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE '%pg_sleep(0.002)%' AND pid <> pg_backend_pid() LIMIT 1"
            )

        async with anyio.create_task_group() as tasks:
            for number in range(90):
                tasks.start_soon(work, number)
            tasks.start_soon(kill)
        assert await at_once([lambda: pool.fetchval("SELECT 1")] * 50) == [1] * 50
        assert pool.get_size() <= 2


async def test_what_does_not_share_has_a_connection_for_itself(client: Client, observer: Any) -> None:
    async with make_pool(client, 0, 2, multiplex=1) as pool:
        shared = await pool.fetchval("SELECT pg_backend_pid()")
        async with pool.acquire() as connection:
            assert connection.get_server_pid() != shared
            assert await pool.fetchval("SELECT pg_backend_pid()") == shared
        await pool.execute("SET application_name = 'of its own'")
        await pool.executemany("SELECT $1::int", [(1,), (2,)])
        await until(observer, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'of its own'")
        assert await pool.fetchval("SHOW application_name") != "of its own"
