"""Options of pools: ages, checks, limits, lazy starts, multiplexing."""

from typing import Any

import anyio
import pytest

from tests.support.clients import Client, at_once, eventually
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.mark.differs(
    asyncpg="keeps a connection as long as it is used now and then.",
    ours="`create_pool(max_lifetime=...)` replaces connections that are too old, each at a moment of its own.",
)
async def test_ages(client: Client) -> None:
    async with make_pool(client, max_lifetime=0.1) as pool:
        pids = set()
        while len(pids) < 3:
            pids.add(await pool.fetchval("SELECT pg_backend_pid()"))
            await anyio.sleep(0.01)


@pytest.mark.differs(
    asyncpg="gives a connection to a task without asking whether it is alive.",
    ours="`create_pool(check=...)` asks those that were idle for so many seconds, or calls a function.",
)
async def test_checks(client: Client) -> None:
    seen: list[Any] = []

    async def check(connection: Any) -> None:
        seen.append(await connection.fetchval("SELECT pg_backend_pid()"))

    async with make_pool(client, check=check) as pool, pool.acquire() as connection:
        assert seen == [connection.get_server_pid()]


@pytest.mark.differs(
    asyncpg="lets any number of tasks wait for a connection.",
    ours="`create_pool(max_waiting=...)` refuses more with a `PoolExhaustedError`.",
)
async def test_too_many_wait(client: Client) -> None:
    async with make_pool(client, max_waiting=0) as pool, pool.acquire():
        with pytest.raises(client.PoolExhaustedError):
            await pool.acquire()


@pytest.mark.differs(
    asyncpg="waits for a connection without a time limit, unless `acquire()` has one; `pool.fetch()` cannot have one.",
    ours="`create_pool(acquire_timeout=...)` is the time limit of all that have none.",
)
async def test_a_time_limit_for_all(client: Client) -> None:
    async with make_pool(client, acquire_timeout=0.05) as pool, pool.acquire():
        with pytest.raises(TimeoutError):
            await pool.fetchval("SELECT 1")


@pytest.mark.differs(
    asyncpg="does not tell how many tasks wait, how long they did, or what became of the pool's connections.",
    ours="`pool.stats()` does.",
)
async def test_numbers(client: Client) -> None:
    async with make_pool(client) as pool:
        await pool.fetchval("SELECT 1")
        statistics = pool.stats()
        assert (statistics.granted, statistics.opened, statistics.waiting, statistics.lost) == (1, 1, 0, 0)


@pytest.mark.differs(
    asyncpg="cannot say when `expire_connections()` has replaced the last connection.",
    ours="`pool.drain()` returns then, and the pool goes on meanwhile.",
)
async def test_draining(client: Client) -> None:
    async with make_pool(client, 0, 2) as pool:
        drain_it = pool.drain
        connection = await pool.acquire()
        drained = False

        async def drain() -> None:
            nonlocal drained
            await drain_it()
            drained = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drain)
            assert await pool.fetchval("SELECT 1") == 1
            assert not drained
            assert await connection.fetchval("SELECT 1") == 1
            await pool.release(connection)
        assert drained


@pytest.mark.differs(
    asyncpg="calls a function for the password alone.",
    ours="`create_pool(connect_parameters=...)` is called for all arguments of `connect()`, for each new connection.",
)
async def test_parameters_from_a_function(client: Client) -> None:
    async with make_pool(
        client, connect_parameters=lambda: {"server_settings": {"application_name": "called"}}
    ) as pool:
        assert await pool.fetchval("SHOW application_name") == "called"


@pytest.mark.differs(
    asyncpg="has to be started before a pool is used.",
    ours="`create_pool(lazy=True)` starts with its first use, and again with the next one if that fails.",
)
async def test_a_lazy_pool(client: Client) -> None:
    async with make_pool(client, lazy=True) as pool:
        assert pool.get_size() == 0
        assert await at_once([lambda: pool.fetchval("SELECT 1")] * 5) == [1] * 5
        assert pool.get_size() == 1


@pytest.mark.differs(
    asyncpg="gives each query of a pool a connection of its own, and resets it afterwards.",
    ours="`create_pool(multiplex=...)` keeps some connections for single queries, which share them, pipelined.",
)
async def test_multiplexing(client: Client) -> None:
    async with make_pool(client, 0, 2, multiplex=1) as pool:
        found = await at_once([lambda: pool.fetchval("SELECT pg_backend_pid()")] * 50)
        assert len(set(found)) == 1
        await eventually(lambda: pool.get_size() == 1)
        assert pool.stats().shared == 50
