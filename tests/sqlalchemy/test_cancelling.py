"""Cancellation: at every step of a program, and in the middle of a statement, the pool and the database stay whole."""

import asyncio
import itertools
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.sqlalchemy.drivers import Driver, backend_pid
from tests.support.clients import PATIENCE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.server]

Program = Callable[[AsyncEngine], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
async def table(observer: AsyncEngine) -> None:
    async with observer.connect() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS pairs"))
        await connection.execute(text("CREATE TABLE pairs (a int)"))


async def write_two_rows(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO pairs VALUES (1)"))
        await session.execute(text("INSERT INTO pairs VALUES (:x)"), {"x": 2})
        await session.commit()


async def use_savepoints(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        async with connection.begin_nested():
            await connection.execute(text("INSERT INTO pairs VALUES (1)"))
        async with connection.begin_nested():
            await connection.execute(text("INSERT INTO pairs VALUES (2)"))


async def stream(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO pairs VALUES (:x)"), [{"x": 1}, {"x": 2}])
        rows = await connection.stream(text("SELECT generate_series(1, 3000)"))
        async for _ in rows.partitions(1000):
            pass


@types.coroutine
def _cancelled_at(step: int, program: Coroutine[Any, Any, None]) -> Generator[Any, Any, bool]:
    """Run this in the current task, which is cancelled where it waits for the time `step`; whether it came that far."""
    task = asyncio.current_task()
    assert task is not None
    resume: Callable[[Any], Any] = program.send
    argument: Any = None
    for count in itertools.count():
        try:
            awaited = resume(argument)
        except StopIteration:
            return count > step
        if count == step:
            asyncio.get_running_loop().call_soon(task.cancel)
        try:
            argument = yield awaited
            resume = program.send
        except BaseException as error:
            resume, argument = program.throw, error
    raise AssertionError


async def cancelled_at(step: int, program: Coroutine[Any, Any, None]) -> bool:
    """Run this in a task that is cancelled where it waits for the time `step`; whether it came that far."""

    async def run() -> bool:
        return await _cancelled_at(step, program)

    try:
        return await asyncio.create_task(run())
    except asyncio.CancelledError:
        return True


async def both_rows_or_none(engine: AsyncEngine, observer: AsyncEngine) -> None:
    """That is what is in the table, and the pool's only connection is free and works."""
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    async with asyncio.timeout(PATIENCE_SECONDS), engine.connect() as connection:
        assert (await connection.execute(text("SELECT a FROM pairs ORDER BY a"))).scalars().all() in ([], [1, 2])
    async with observer.connect() as other:
        await other.execute(text("DELETE FROM pairs"))


@pytest.mark.parametrize("program", [write_two_rows, use_savepoints, stream], ids=lambda program: program.__name__)
async def test_cancelled_at_every_step(driver: Driver, observer: AsyncEngine, program: Program) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0, pool_timeout=5)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    steps = 0
    while await cancelled_at(steps, program(engine)):
        await both_rows_or_none(engine, observer)
        steps += 1
    assert steps > 3


@pytest.mark.differs(
    asyncpg="leaves errors behind that nobody awaits ('unexpected connection_lost() call').",
    ours="Nothing is left of it.",
)
async def test_cancelled_at_every_step_of_connecting(driver: Driver, observer: AsyncEngine) -> None:
    steps = 0
    was_cancelled = True
    while was_cancelled:
        engine = driver.engine(pool_size=1, max_overflow=0, pool_timeout=5)
        was_cancelled = await cancelled_at(steps, write_two_rows(engine))
        await both_rows_or_none(engine, observer)
        await engine.dispose()
        steps += 1
    assert steps > 3


async def test_cancelled_in_the_middle_of_a_statement(driver: Driver, observer: AsyncEngine) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0)
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def sleep() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO pairs VALUES (7)"))
            started.set_result(await backend_pid(connection))
            await connection.execute(text("SELECT pg_sleep(60)"))

    task = asyncio.create_task(sleep())
    pid = await started
    asleep = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND wait_event = 'PgSleep'")
    async with observer.connect() as other, asyncio.timeout(PATIENCE_SECONDS):
        while not (await other.execute(asleep, {"pid": pid})).scalar():
            await other.execute(text("SELECT pg_sleep(0.005)"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while (await other.execute(asleep, {"pid": pid})).scalar():  # the server hears of it
            await other.execute(text("SELECT pg_sleep(0.005)"))
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM pairs"))).scalar() == 0


async def test_a_time_limit_around_a_statement(driver: Driver) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0)
    async with engine.connect() as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.execute(text("SELECT pg_sleep(60)"))
    async with asyncio.timeout(PATIENCE_SECONDS), engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1


async def test_a_time_limit_of_the_driver(driver: Driver) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0, connect_args={"command_timeout": 0.05})
    async with engine.connect() as connection:
        with pytest.raises(TimeoutError):
            await connection.execute(text("SELECT pg_sleep(60)"))
    async with asyncio.timeout(PATIENCE_SECONDS), engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
