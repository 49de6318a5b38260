"""Pipelines on a real server."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

from typing import Any

import anyio
import pytest

from tests.support.clients import PATIENCE_SECONDS, RUNS_PG_SLEEP, Client, at_once, until

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.fixture
async def table(connection: Any, observer: Any) -> Any:
    await observer.execute("DROP TABLE IF EXISTS pipelined; CREATE TABLE pipelined (a int UNIQUE)")
    yield "pipelined"
    await observer.execute("DROP TABLE IF EXISTS pipelined")


async def numbers(observer: Any) -> list[int]:
    return [row[0] for row in await observer.fetch("SELECT a FROM pipelined ORDER BY a")]


async def test_everything_that_it_can(connection: Any, observer: Any, table: str) -> None:
    async with connection.pipeline() as pipeline:
        assert await numbers(observer) == []
        one = pipeline.execute("INSERT INTO pipelined VALUES (1)")
        two = pipeline.execute("INSERT INTO pipelined VALUES ($1)", 2)
        many = pipeline.executemany("INSERT INTO pipelined VALUES ($1)", [(number,) for number in range(3, 1003)])
        rows = pipeline.fetch("SELECT a FROM pipelined WHERE a < $1 ORDER BY a", 4)
        row = pipeline.fetchrow("SELECT a, a::text AS b FROM pipelined WHERE a = 5")
        value = pipeline.fetchval("SELECT count(*) FROM pipelined")
        none = pipeline.fetchval("SELECT a FROM pipelined WHERE a < 0")
        result = pipeline.query("UPDATE pipelined SET a = -a WHERE a > $1 RETURNING a", 1001)
        empty = pipeline.execute("")
        assert await numbers(observer) == []
    assert (one.result(), two.result(), many.result()) == ("INSERT 0 1", "INSERT 0 1", None)
    assert rows.result() == [(1,), (2,), (3,)]
    assert dict(row.result()) == {"a": 5, "b": "5"}
    assert (value.result(), none.result(), empty.result()) == (1002, None, "")
    assert (result.result().rows, result.result().affected) == ([(-1002,)], 1)
    assert await value == 1002
    assert len(await numbers(observer)) == 1002


async def test_what_it_makes_is_there_for_what_comes_later(connection: Any) -> None:
    async with connection.pipeline() as pipeline:
        pipeline.execute("CREATE TEMP TABLE made (a int)")
        pipeline.execute("INSERT INTO made VALUES (1), (2)")
        await pipeline.sync()
        rows = pipeline.fetch("SELECT a FROM made WHERE a > $1", 1)
    assert rows.result() == [(2,)]


async def test_all_or_nothing(connection: Any, observer: Any, client: Client, table: str) -> None:
    with pytest.raises(client.UniqueViolationError):
        async with connection.pipeline() as pipeline:
            first = pipeline.execute("INSERT INTO pipelined VALUES (1)")
            second = pipeline.execute("INSERT INTO pipelined VALUES ($1)", 1)
            third = pipeline.fetchval("SELECT 3")
    assert await numbers(observer) == []
    with pytest.raises(client.UniqueViolationError):
        second.result()
    for handle in (first, third):
        with pytest.raises(client.PipelineAbortedError) as caught:
            handle.result()
        assert caught.value.outcome is client.Outcome.SKIPPED
        assert caught.value.safe_to_retry
    assert await connection.fetchval("SELECT 4") == 4


async def test_a_deferred_constraint(connection: Any, observer: Any, client: Client, table: str) -> None:
    await observer.execute("ALTER TABLE pipelined ADD CONSTRAINT later UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;"
                           "ALTER TABLE pipelined DROP CONSTRAINT pipelined_a_key")  # fmt: skip
    with pytest.raises(client.UniqueViolationError):
        async with connection.pipeline() as pipeline:
            handles = [pipeline.execute("INSERT INTO pipelined VALUES ($1)", 1) for _ in range(2)]
    assert await numbers(observer) == []
    for handle in handles:
        with pytest.raises(client.PipelineAbortedError):
            handle.result()


async def test_in_a_transaction(connection: Any, observer: Any, client: Client, table: str) -> None:
    async with connection.transaction():
        async with connection.pipeline() as pipeline:
            pipeline.execute("INSERT INTO pipelined VALUES (1)")
        with pytest.raises(client.DivisionByZeroError):
            async with connection.transaction(), connection.pipeline() as pipeline:
                before = pipeline.query("INSERT INTO pipelined VALUES ($1)", 2)
                pipeline.fetch("SELECT 1 / $1::int", 0)
                pipeline.execute("INSERT INTO pipelined VALUES (3)")
        assert before.result().affected == 1
        async with connection.pipeline() as pipeline:
            pipeline.execute("INSERT INTO pipelined VALUES (4)")
    assert await numbers(observer) == [1, 4]


async def test_a_transaction_that_begins_with_a_pipeline(connection: Any, observer: Any, table: str) -> None:
    with pytest.raises(LookupError):
        async with connection.transaction():
            async with connection.pipeline() as pipeline:
                handle = pipeline.fetchval("INSERT INTO pipelined VALUES ($1) RETURNING a", 5)
            assert handle.result() == 5
            assert connection.is_in_transaction()
            raise LookupError
    assert await numbers(observer) == []
    async with connection.transaction(), connection.pipeline() as pipeline:
        handle = pipeline.fetchval("INSERT INTO pipelined VALUES ($1) RETURNING a", 6)
    assert await numbers(observer) == [6]


async def test_arguments_that_are_refused(connection: Any, observer: Any, client: Client, table: str) -> None:
    async with connection.transaction():
        with pytest.raises(client.DataError):
            async with connection.pipeline() as pipeline:
                pipeline.execute("INSERT INTO pipelined VALUES (1)")
                pipeline.execute("INSERT INTO pipelined VALUES ($1)", "x")
        await connection.execute("INSERT INTO pipelined VALUES (2)")
    assert await numbers(observer) == [2]


async def test_settings_in_a_pipeline(connection: Any) -> None:
    async with connection.pipeline() as pipeline:
        pipeline.execute("SET LOCAL work_mem TO '123MB'")
        inside = pipeline.fetchval("SHOW work_mem")
    assert inside.result() == "123MB"
    assert await connection.fetchval("SHOW work_mem") != "123MB"


async def test_unknown_types(connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int, b text)")
    async with connection.pipeline() as pipeline:
        pair = pipeline.fetchval("SELECT (1, 'x')::pg_temp.pair")
        pairs = pipeline.fetchval("SELECT ARRAY[$1::pg_temp.pair]", (2, "y"))
        anonymous = pipeline.fetchval("SELECT ROW((3, 'z')::pg_temp.pair, 4)")
    assert tuple(pair.result()) == (1, "x")
    assert [tuple(one) for one in pairs.result()] == [(2, "y")]
    assert tuple(anonymous.result()[0]) == (3, "z")


async def test_a_table_that_has_changed(connection: Any, observer: Any, table: str) -> None:
    await observer.execute("INSERT INTO pipelined VALUES (1)")
    assert await connection.fetch("SELECT * FROM pipelined") == [(1,)]
    await observer.execute("ALTER TABLE pipelined ADD b int DEFAULT 7")
    async with connection.pipeline() as pipeline:
        handle = pipeline.fetch("SELECT * FROM pipelined")
        pipeline.execute("INSERT INTO pipelined VALUES (2)")
    assert handle.result() == [(1, 7)]
    assert await numbers(observer) == [1, 2]


async def test_much_both_ways(connection: Any) -> None:
    """More than what the buffers of both sides hold: who only writes, and then reads, waits for ever."""
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connection.pipeline() as pipeline:
            handles = [pipeline.fetchval("SELECT $1::bytea", bytes([n]) * 1_000_000) for n in range(24)]
    assert [handle.result() == bytes([n]) * 1_000_000 for n, handle in enumerate(handles)] == [True] * 24


async def test_many(connection: Any) -> None:
    async def group(start: int) -> list[int]:
        async with connection.pipeline() as pipeline:
            handles = [pipeline.fetchval("SELECT $1::int", start + number) for number in range(500)]
        return [handle.result() for handle in handles]

    async def single(number: int) -> int:
        return int(await connection.fetchval("SELECT $1::int", number))

    outcomes = await at_once(
        [*[lambda n=n: group(n * 1000) for n in range(4)], *[lambda n=n: single(n) for n in range(50)]]
    )
    assert outcomes == [*[list(range(n * 1000, n * 1000 + 500)) for n in range(4)], *range(50)]


async def test_cancelled(connection: Any, observer: Any, client: Client, table: str) -> None:
    handles: list[Any] = []

    async def body() -> None:
        async with connection.pipeline() as pipeline:
            handles.append(pipeline.execute("INSERT INTO pipelined VALUES (1)"))
            handles.append(pipeline.execute("SELECT pg_sleep(60)"))
            handles.append(pipeline.execute("INSERT INTO pipelined VALUES (2)"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(body)
        await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
        tasks.cancel_scope.cancel()
    with anyio.fail_after(PATIENCE_SECONDS):
        assert await connection.fetchval("SELECT 5") == 5
    assert await numbers(observer) == []
    for handle in handles:
        with pytest.raises(client.PipelineAbortedError) as caught:
            handle.result()
        assert caught.value.outcome is client.Outcome.UNKNOWN


async def test_a_time_limit(connection: Any, observer: Any, client: Client, table: str) -> None:
    with pytest.raises(TimeoutError):
        async with connection.pipeline(timeout=0.3) as pipeline:
            pipeline.execute("INSERT INTO pipelined VALUES (1)")
            pipeline.execute("SELECT pg_sleep(60)")
    assert await connection.fetchval("SELECT 5") == 5
    assert await numbers(observer) == []


async def test_the_server_ends_the_connection(connection: Any, observer: Any, client: Client, table: str) -> None:
    handles: list[Any] = []

    async def body() -> None:
        with pytest.raises(client.ConnectionDoesNotExistError):
            async with connection.pipeline() as pipeline:
                handles.append(pipeline.execute("INSERT INTO pipelined VALUES (1)"))
                handles.append(pipeline.execute("SELECT pg_sleep(60)"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(body)
        await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
        await observer.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
    for handle in handles:
        with pytest.raises(client.ConnectionDoesNotExistError):
            handle.result()
    assert await numbers(observer) == []


async def test_of_a_pools_connection(client: Client) -> None:
    async with client.create_pool(**client.settings(min_size=1, max_size=1)) as pool:
        async with pool.acquire() as connection:
            async with connection.pipeline() as pipeline:
                handle = pipeline.fetchval("SELECT 1")
            assert handle.result() == 1
            late = connection.pipeline()
            await late.__aenter__()
            handle = late.execute("SELECT 2")
        with pytest.raises(client.InterfaceError, match="released back to the pool"):
            late.execute("SELECT 3")
        with pytest.raises(client.InterfaceError, match="released back to the pool"):
            await late.__aexit__(None, None, None)
        with pytest.raises(client.PipelineAbortedError):
            handle.result()
