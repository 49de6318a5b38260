"""SQLAlchemy's pool over our connections: pings, lost connections, garbage."""

import gc
from typing import Any

import pytest
from sqlalchemy import event, exc, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

from tests.sqlalchemy.drivers import Driver, backend_pid
from tests.support.clients import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.server]


async def terminate(observer: AsyncEngine, pid: int) -> None:
    """End this server process, and wait until it is gone."""
    async with observer.connect() as connection:
        assert (await connection.execute(text("SELECT pg_terminate_backend(:pid, 20000)"), {"pid": pid})).scalar()


async def is_alive(connection: AsyncConnection, pid: int) -> bool:
    found = await connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid})
    return bool(found.scalar())


async def gone(observer: AsyncEngine, pid: int) -> None:
    """Wait until the server process has noticed that its client is gone."""
    async with observer.connect() as connection:
        while await is_alive(connection, pid):
            await connection.execute(text("SELECT pg_sleep(0.005)"))


async def test_connections_are_used_again(driver: Driver) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0)
    pids = set()
    for _ in range(3):
        async with engine.connect() as connection:
            pids.add(await backend_pid(connection))
            await connection.execute(text("CREATE TEMP TABLE left_behind (a int)"))  # rolled back when it is returned
    assert len(pids) == 1


async def test_a_ping_finds_a_lost_connection(driver: Driver, observer: AsyncEngine) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0, pool_pre_ping=True)
    async with engine.connect() as connection:
        pid = await backend_pid(connection)
    await terminate(observer, pid)
    async with engine.connect() as connection:
        assert await backend_pid(connection) != pid


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
async def test_a_ping_of_a_good_connection(driver: Driver, level: str) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0, pool_pre_ping=True, isolation_level=level)
    async with engine.connect() as connection:
        pid = await backend_pid(connection)
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    async with engine.connect() as connection:
        assert await backend_pid(connection) == pid


@pytest.mark.differs(
    asyncpg="pings with three round trips: it begins a transaction, prepares an empty statement, and rolls back.",
    ours="A ping is one round trip, and leaves no transaction and no statement behind.",
)
async def test_a_ping_begins_no_transaction(driver: Driver) -> None:
    begun = []

    class Watched(driver.module.Connection):  # type: ignore[misc,name-defined]
        __slots__ = ()

        def transaction(self, **options: Any) -> Any:
            begun.append(options)
            return super().transaction(**options)

    engine = driver.engine(connect_args={"connection_class": Watched})
    async with engine.connect() as connection:
        adapted = (await connection.get_raw_connection()).dbapi_connection
        await connection.rollback()
        begun.clear()
        await connection.run_sync(lambda _: adapted.ping())
        assert begun == []
        await connection.execute(text("SELECT 1"))
        assert len(begun) == 1


async def test_a_lost_connection_invalidates_the_pool(driver: Driver, observer: AsyncEngine) -> None:
    engine = driver.engine(pool_size=2, max_overflow=0)
    async with engine.connect() as first, engine.connect() as second:
        pids = [await backend_pid(first), await backend_pid(second)]
    for pid in pids:
        await terminate(observer, pid)
    async with engine.connect() as connection:
        with pytest.raises(exc.DBAPIError) as caught:
            await connection.execute(text("SELECT 1"))
        assert caught.value.connection_invalidated
        assert connection.invalidated
        await connection.rollback()
        assert await backend_pid(connection) not in pids
    # The other one is known to be of no use, too.
    async with engine.connect() as connection, engine.connect() as other:
        assert not {await backend_pid(connection), await backend_pid(other)} & set(pids)


async def test_a_connection_lost_in_the_middle_of_a_statement(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(exc.DBAPIError) as caught:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert caught.value.connection_invalidated
        await connection.rollback()
        assert (await connection.execute(text("SELECT 2"))).scalar() == 2


async def test_invalidate(driver: Driver, observer: AsyncEngine) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0)
    async with engine.connect() as connection:
        pid = await backend_pid(connection)
        await connection.invalidate()
        await connection.rollback()
        assert await backend_pid(connection) != pid
    await gone(observer, pid)


async def test_no_pool(driver: Driver, observer: AsyncEngine) -> None:
    engine = driver.engine(poolclass=NullPool)
    async with engine.connect() as connection:
        pid = await backend_pid(connection)
    await gone(observer, pid)


async def test_dispose_closes_all(driver: Driver, observer: AsyncEngine) -> None:
    engine = driver.engine(pool_size=2)
    async with engine.connect() as first, engine.connect() as second:
        pids = [await backend_pid(first), await backend_pid(second)]
    await engine.dispose()
    for pid in pids:
        await gone(observer, pid)


@pytest.mark.filterwarnings("ignore:The garbage collector is trying to clean up:sqlalchemy.exc.SAWarning")
async def test_a_forgotten_connection_is_terminated(driver: Driver, observer: AsyncEngine) -> None:
    engine = driver.engine(pool_size=1, max_overflow=0, pool_timeout=20)
    connection = await engine.connect()
    pid = await backend_pid(connection)
    del connection
    gc.collect()
    await gone(observer, pid)
    async with engine.connect() as connection:
        assert await backend_pid(connection) != pid


async def test_events_of_the_pool(driver: Driver) -> None:
    seen = []
    engine = driver.engine(pool_size=1)

    @event.listens_for(engine.sync_engine, "connect")
    def connected(adapted: object, record: object) -> None:
        cursor = adapted.cursor()  # type: ignore[attr-defined]
        cursor.execute("SET application_name = 'by an event'")
        cursor.close()
        adapted.commit()  # type: ignore[attr-defined]
        adapted.run_async(lambda own: seen.append(type(own)) or own.execute("SET work_mem = '7MB'"))  # type: ignore[attr-defined]

    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW application_name"))).scalar() == "by an event"
        assert (await connection.execute(text("SHOW work_mem"))).scalar() == "7MB"
    assert seen == [driver.module.Connection]


async def test_the_driver_connection_takes_a_listener(driver: Driver) -> None:
    got: list[str] = []
    engine = driver.engine(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        own = (await connection.get_raw_connection()).driver_connection
        await own.add_listener("news", lambda *news: got.append(news[3]))
        await connection.execute(select(text("pg_notify('news', 'hello')")))
        await eventually(lambda: got == ["hello"])
        await own.reset()


async def test_no_server(driver: Driver) -> None:
    engine = driver.engine(connect_args={"port": 1})
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        async with engine.connect():
            pass


async def test_a_refused_password(driver: Driver) -> None:
    engine = driver.engine(connect_args={"password": "wrong"})
    with pytest.raises(exc.DBAPIError) as caught:
        async with engine.connect():
            pass
    assert isinstance(caught.value.driver_exception, driver.module.InvalidPasswordError)
