"""The pool on both loops: what is each loop's own, and load."""

import asyncio
import gc
import itertools
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from tests.support.clients import PATIENCE_SECONDS, Client, at_once, eventually, until
from tests.support.pools import at_rest, make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]


def running_tasks(anyio_backend_name: str) -> int:
    if anyio_backend_name == "trio":
        return sum(len(nursery.child_tasks) for nursery in trio.lowlevel.current_task().child_nurseries)
    return len(asyncio.all_tasks())


async def test_no_task_outlives_it(client: Client, anyio_backend_name: str) -> None:
    before = running_tasks(anyio_backend_name)
    async with make_pool(client, 2, 4, max_inactive_connection_lifetime=60) as pool:
        holders = 0
        all_are_held = anyio.Event()

        async def hold() -> None:
            nonlocal holders
            async with pool.acquire() as connection:
                holders += 1
                if holders == 4:
                    all_are_held.set()
                with anyio.fail_after(PATIENCE_SECONDS):
                    await all_are_held.wait()
                await connection.fetchval("SELECT 1")

        assert await at_once([hold] * 10) == [None] * 10
        assert pool.get_size() == 4
    assert running_tasks(anyio_backend_name) == before


@pytest.mark.checklist("P-1")
async def test_awaiting_it(client: Client, anyio_backend_name: str) -> None:
    pool = make_pool(client)
    if anyio_backend_name == "trio":
        with pytest.raises(client.InterfaceError, match="cannot await a pool: on trio its tasks need a block"):
            await pool
        return
    assert await pool is pool
    assert await pool is pool
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()
    with pytest.raises(client.InterfaceError, match="pool is closed"):
        await pool


@pytest.mark.checklist("P-16")
async def test_a_timer_does_not_keep_it(client: Client, observer: Any, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        return  # there it has a block

    there = "FROM pg_stat_activity WHERE application_name = 'timed'"

    async def use() -> None:
        pool = await make_pool(client, 1, 2, server_settings={"application_name": "timed"})
        async with pool.acquire(), pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
        await eventually(lambda: at_rest(client, pool))
        assert await observer.fetchval(f"SELECT count(*) {there}") == 2

    await use()
    with pytest.warns(ResourceWarning, match="unclosed connection"):
        gc.collect()
    await until(observer, f"SELECT count(*) = 0 {there}")


async def test_another_loop_than_was_said(client: Client, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        return
    other = asyncio.new_event_loop()
    try:
        with pytest.raises(client.InterfaceError, match="was awaited in another event loop"):
            await make_pool(client, loop=other)
    finally:
        other.close()


@pytest.mark.parametrize("error", [LookupError(), ExceptionGroup("own", [LookupError()])], ids=["error", "group"])
async def test_errors_leave_the_block_as_they_are(client: Client, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        async with make_pool(client):
            raise error
    assert caught.value is error


async def test_errors_of_connecting_come_alone(client: Client) -> None:
    with pytest.raises(OSError):
        async with make_pool(client, host="/nowhere"):
            pass


async def test_a_cancelled_block(client: Client, observer: Any) -> None:
    pool = make_pool(client, 2, 2, server_settings={"application_name": "cancelled block"})
    scope = anyio.CancelScope()

    async def use() -> None:
        with scope:
            async with pool:
                await pool.fetch("SELECT pg_sleep(60)")

    there = "FROM pg_stat_activity WHERE application_name = 'cancelled block'"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await until(observer, f"SELECT count(*) = 1 {there} AND state = 'active' AND query LIKE '%pg_sleep(60)%'")
        scope.cancel()
    assert scope.cancelled_caught
    assert pool.is_closing()
    await until(observer, f"SELECT count(*) = 0 {there}")


@pytest.mark.checklist("P-3", "P-8")
async def test_killed_backends_are_replaced_in_the_background(client: Client, observer: Any) -> None:
    async with make_pool(client, 3, 3, server_settings={"application_name": "killed"}) as pool:
        there = "FROM pg_stat_activity WHERE application_name = 'killed'"
        # One that died within a second of its opening is replaced after a pause.
        await until(observer, f"SELECT bool_and(clock_timestamp() > backend_start + interval '1 second') {there}")
        query = f"SELECT array_agg(pid ORDER BY pid) {there}"
        pids = await observer.fetchval(query)
        assert len(pids) == 3
        await observer.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)
        await until(observer, f"SELECT count(*) = 3 AND NOT bool_or(pid = ANY ($1::int[])) {there}", pids)
        # The server knows a connection before it has told the client that it may use it.
        await eventually(lambda: pool.get_size() == 3)
        assert await pool.fetchval("SELECT pg_backend_pid()") in await observer.fetchval(query)


async def test_load_with_cancellations_and_killed_backends(client: Client, observer: Any) -> None:
    """Nobody waits for ever, nobody gets another's result or transaction, and the pool is whole afterwards."""
    numbers = itertools.count()

    async def work(pool: Any, kind: int) -> None:
        number = next(numbers)
        async with pool.acquire() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SHOW search_path") != "nowhere"
            await connection.execute("SET search_path TO nowhere; BEGIN")
            try:
                if kind % 17 == 5:
                    # Once begun it is waited for, or it would be killed when another task has it.
                    with anyio.CancelScope(shield=True):
                        await observer.fetchval("SELECT pg_terminate_backend($1)", connection.get_server_pid())
                assert await connection.fetchval("SELECT $1::int FROM pg_sleep(0.001)", number) == number
            except (client.PostgresError, client.InterfaceError):
                assert kind % 17 == 5

    async def work_cancelled(pool: Any, kind: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, pool, kind)
            for _ in range((kind % 15) ** 2):  # 0 to 144: from before its acquire to its last query
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    async with make_pool(client, 2, 10) as pool:
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as tasks:
                for kind in range(100):
                    tasks.start_soon(work if kind % 3 else work_cancelled, pool, kind)
            results = await at_once([lambda: pool.fetchval("SELECT 1") for _ in range(100)])
        assert results == [1] * 100
        await eventually(lambda: pool.get_size() >= 2)  # others may be on their way still
        assert pool.get_size() <= 10


async def test_callbacks_get_the_proxy(client: Client) -> None:
    got: list[Any] = []
    async with make_pool(client) as pool, pool.acquire() as connection:
        await connection.add_listener("news", lambda *arguments: got.append(arguments))
        await connection.execute("NOTIFY news, 'payload'")
        await eventually(lambda: bool(got))
        assert got[0][0] is connection
        await connection.reset()
