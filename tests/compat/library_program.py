"""Programs of libraries that import asyncpg: what one of them found is printed as JSON.

Arguments: asyncpg, or pgsansio to install this library as asyncpg; the library, a function of this module; the DSN of
a superuser; the database that is made for the program, and dropped.
"""

import asyncio
import contextlib
import json
import logging
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DRIVER, LIBRARY, DSN, DATABASE = sys.argv[1:]
if DRIVER == "pgsansio":
    from pgsansio_asyncio import install_as_asyncpg

    install_as_asyncpg()

import asyncpg  # noqa: E402

#: The DSN of the program's own database.
OWN = urlsplit(DSN)._replace(path=f"/{DATABASE}").geturl()


async def failure(awaitable: Awaitable[Any]) -> list[Any]:
    """The error, what it is of asyncpg's, and what libraries read of it."""
    try:
        await awaitable
    except Exception as error:
        bases = [base.__name__ for base in type(error).__mro__ if not base.__name__.startswith("_")]
        return [bases, str(error), getattr(error, "sqlstate", None), getattr(error, "constraint_name", None)]
    return ["nothing"]


@contextlib.asynccontextmanager
async def observer() -> AsyncIterator[Any]:
    connection = await asyncpg.connect(OWN, server_settings={"application_name": "observer"})
    try:
        yield connection
    finally:
        await connection.close()


async def until(connection: Any, condition: str, *arguments: object) -> int:
    """Wait for a session of which that holds: its process."""
    query = f"SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {condition}"
    while (pid := await connection.fetchval(query, *arguments)) is None:
        pass
    assert isinstance(pid, int)
    return pid


@contextlib.contextmanager
def folder_of(files: dict[str, str]) -> Iterator[Path]:
    """A folder with these files in it."""
    with tempfile.TemporaryDirectory() as name:
        for path, text in files.items():
            Path(name, path).parent.mkdir(exist_ok=True)
            Path(name, path).write_text(text)
        yield Path(name)


async def databases() -> Any:
    import sqlalchemy as sa
    from databases import Database

    metadata = sa.MetaData()
    notes = sa.Table(
        "notes",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.String(100), unique=True),
        sa.Column("done", sa.Boolean, server_default=sa.true()),
        sa.Column("document", sa.JSON),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.Column("day", sa.Date),
        sa.Column("size", sa.Enum("small", "large", name="note_size")),
        sa.Column("key", sa.Uuid),
    )
    found: list[Any] = []
    async with Database(
        f"{OWN}?min_size=1&max_size=3&ssl=false", command_timeout=60, statement_cache_size=5
    ) as database:
        await database.execute("CREATE TYPE note_size AS ENUM ('small', 'large')")
        await database.execute(sa.schema.CreateTable(notes))
        values = {
            "text": "first",
            "document": {"a": [1, None]},
            "price": Decimal("1.50"),
            "at": datetime(2024, 1, 2, 3, 4, 5, 6, UTC),
            "day": date(2024, 2, 29),
            "size": "large",
            "key": uuid.UUID(int=5),
        }
        found.append(await database.execute(notes.insert().values(**values)))
        await database.execute_many(notes.insert(), [{"text": f"note {n}", "done": False} for n in range(5)])
        found.append(await database.execute("INSERT INTO notes (text) VALUES (:text) RETURNING id", {"text": "raw"}))
        row = await database.fetch_one(notes.select().where(notes.c.text == "first"))
        assert row is not None
        found.append([repr(dict(row._mapping)), repr(row[1]), row.size, len(row), list(row._mapping.keys())])
        rows = await database.fetch_all(notes.select().order_by(notes.c.id.desc()))
        found.append([(one.id, one["text"], one.done) for one in rows])
        raw = await database.fetch_all("SELECT id, text FROM notes WHERE id > :least ORDER BY id", {"least": 2})
        found.append([(one["id"], one[1], repr(tuple(one))) for one in raw])
        found.append(await database.fetch_val(notes.select(), column="document"))
        found.append(await database.fetch_val("SELECT count(*) FROM notes"))
        found.append(await database.fetch_one(notes.select().where(notes.c.id == -1)))
        async with database.transaction():
            found.append([one.text async for one in database.iterate(notes.select().order_by(notes.c.id))])

        with contextlib.suppress(ZeroDivisionError):
            async with database.transaction(isolation="serializable"):
                await database.execute(notes.insert(), {"text": "never"})
                raise ZeroDivisionError
        async with database.transaction():
            await database.execute(notes.insert(), {"text": "outer"})
            with contextlib.suppress(asyncpg.UniqueViolationError):
                async with database.transaction():
                    await database.execute(notes.insert(), {"text": "inner"})
                    await database.execute(notes.insert(), {"text": "outer"})

        @database.transaction()
        async def add(text: str) -> Any:
            return await database.execute(notes.insert(), {"text": text})

        await add("decorated")
        transaction = await database.transaction()
        await add("by hand")
        await transaction.rollback()
        found.append(sorted([one["text"] for one in await database.fetch_all("SELECT text FROM notes")]))
        found.append(await failure(add("outer")))
        found.append(await failure(database.fetch_all("SELECT nothing FROM notes")))
        found.append(await failure(database.execute(notes.insert(), {"id": "x"})))
        found.append(await asyncio.gather(*(database.fetch_val("SELECT :n ::int", {"n": n}) for n in range(10))))
        async with database.connection() as connection:
            raw_connection = connection.raw_connection
            found.append(isinstance(raw_connection, asyncpg.Connection))
            found.append(await raw_connection.fetchval("SELECT $1::text[]", ["a"]))
    async with Database(OWN, force_rollback=True, min_size=1) as database:
        await database.execute(notes.insert(), {"text": "rolled back"})
        found.append(await database.fetch_val("SELECT count(*) FROM notes"))
    async with Database(OWN, min_size=1) as database:
        found.append(await database.fetch_val("SELECT count(*) FROM notes"))
    return found


async def pgqueuer() -> Any:
    from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, Queries, QueueManager
    from pgqueuer.adapters.connections import connect_asyncpg, create_asyncpg_pool
    from pgqueuer.domain.settings import ConnectionSettings
    from pgqueuer.domain.types import QueueExecutionMode

    found: list[Any] = [type(asyncio.get_running_loop()).__module__.partition(".")[0]]
    settings = ConnectionSettings(connect_timeout=30, application_name="queue", pool_min_size=2, pool_max_size=4)

    async def use(driver: Any) -> None:
        queries = Queries(driver)
        await queries.install()
        found.append([await queries.schema_is_installed(), await queries.has_table("pgqueuer")])
        manager = QueueManager(queries)
        done: list[tuple[str, bytes | None]] = []

        @manager.entrypoint("work")
        async def work(job: Any) -> None:
            done.append((job.entrypoint, job.payload))
            if job.payload == b"bad":
                raise ZeroDivisionError

        ids = await queries.enqueue(["work"] * 20, [str(n).encode() for n in range(20)], [0] * 20)
        found.append(len(ids))
        await queries.enqueue("work", b"bad", dedupe_key="bad", headers={"a": "b"})
        found.append(await failure(queries.enqueue("work", None, dedupe_key="bad")))
        found.append(await queries.enqueue(["work"], [None], [0], dedupe_key=["bad"], on_conflict="skip"))
        found.append(sorted((one.entrypoint, one.status, one.count) for one in await queries.queue_size()))
        await manager.run(mode=QueueExecutionMode.drain, batch_size=5)
        found.append(sorted(repr(one) for one in done))
        found.append(sorted((one.entrypoint, one.status, one.count) for one in await queries.queue_size()))
        found.append(sorted((str(log.job_id), log.status) for log in await queries.queue_log()))
        await queries.clear_queue()

        # A worker that waits hears of a job that comes.
        manager = QueueManager(queries)
        heard = asyncio.Event()

        @manager.entrypoint("later")
        async def later(job: Any) -> None:
            done.append((job.entrypoint, job.payload))
            heard.set()
            manager.shutdown.set()

        worker = asyncio.create_task(manager.run(dequeue_timeout=timedelta(seconds=60)))
        async with observer() as connection:
            await until(connection, "query LIKE 'LISTEN%' OR query LIKE '%pgqueuer%'")
            await Queries(AsyncpgDriver(connection)).enqueue("later", b"now")
        await asyncio.wait_for(heard.wait(), 30)
        await worker
        found.append(repr(done[-1]))

        received: list[str] = []
        arrived = asyncio.Event()

        class Callback:
            """Equal to others, as pgqueuer's own are."""

            def __eq__(self, other: object) -> bool:
                return isinstance(other, Callback)

            def __hash__(self) -> int:
                return 1

            def __call__(self, payload: Any) -> None:
                received.append(payload)
                arrived.set()

        async with driver:
            await driver.add_listener("mine", Callback())
            await driver.notify("mine", "one")
            await asyncio.wait_for(arrived.wait(), 30)
            await driver.remove_listener("mine", Callback())
            await driver.notify("mine", "two")
            await driver.fetch("SELECT 1")
        found.append(received)
        found.append(await driver.fetch("SELECT $1::int AS a, now() > '2000-01-01' AS b", 1))
        found.append(await driver.execute("SELECT 1; SELECT 2, 3"))
        await queries.uninstall()
        found.append(await queries.has_table("pgqueuer"))

    async with connect_asyncpg(OWN, settings) as connection:
        found.append(await connection.fetchval("SHOW application_name"))
        await use(AsyncpgDriver(connection))
    async with create_asyncpg_pool(OWN, settings) as pool:
        found.append(pool.get_max_size())
        await use(AsyncpgPoolDriver(pool))
    return found


async def buildpg() -> Any:
    import buildpg
    from buildpg import S, V, Values
    from buildpg import asyncpg as extended

    found: list[Any] = [extended.Connection is asyncpg.Connection, extended.UniqueViolationError.__name__]
    printed: list[str] = []

    async def use(client: Any) -> None:
        await client.execute("CREATE TABLE IF NOT EXISTS t (a int UNIQUE, b text); TRUNCATE t")
        found.append(await client.execute_b("INSERT INTO t (:values__names) VALUES :values", values=Values(a=1, b="x")))
        many = [Values(a=n, b=f"b{n}") for n in range(2, 6)]
        await client.executemany_b("INSERT INTO t (:values__names) VALUES :values", many)
        where = V("a") > S(2)
        rows = await client.fetch_b("SELECT * FROM t WHERE :where ORDER BY a", where=where, _timeout=60)
        found.append([repr(row) for row in rows])
        row = await client.fetchrow_b("SELECT * FROM t WHERE a = :a", a=1, print_=printed.append)
        found.append([row["b"], tuple(row), dict(row)])
        found.append(await client.fetchval_b("SELECT a, b FROM t WHERE a = :a", a=3, _column=1, _timeout=60))
        found.append(await client.fetchval_b("SELECT a FROM t WHERE a = :a", a=-1))
        found.append(await failure(client.execute_b("INSERT INTO t VALUES (:a)", a=1)))
        found.append(await failure(client.fetch_b("SELECT :a::int", a="one")))

    connection = await extended.connect_b(OWN, timeout=60)
    found.append([isinstance(connection, asyncpg.Connection), type(connection).__name__])
    await use(connection)
    async with connection.transaction():
        query = "SELECT a FROM t WHERE a >= :a ORDER BY a"
        found.append([row["a"] async for row in connection.cursor_b(query, a=2, _prefetch=2, _timeout=60)])
        cursor = await connection.cursor_b(query, a=2)
        found.append([len(await cursor.fetch(2)), await cursor.forward(1), (await cursor.fetchrow())["a"]])
    await connection.close()

    inited: list[str] = []

    async def init(connection: Any) -> None:
        inited.append(type(connection).__name__)

    async def setup(connection: Any) -> None:
        inited.append(type(connection).__name__)

    async with extended.create_pool_b(OWN, min_size=1, max_size=2, init=init, setup=setup, timeout=60) as pool:
        found.append([type(pool).__name__, isinstance(pool, asyncpg.Pool), pool.get_max_size()])
        await use(pool)
        async with pool.acquire() as connection:
            await use(connection)
            found.append([type(connection).__name__, isinstance(connection, asyncpg.Connection)])
    found.append([printed, sorted(set(inited)), buildpg.render("SELECT :a", a=1)])
    return found


async def asyncpg_listen() -> Any:
    from asyncpg_listen import ListenPolicy, Notification, NotificationListener, connect_func

    settings = {"application_name": "listener"}
    listener = NotificationListener(connect_func(OWN, server_settings=settings, timeout=60), reconnect_delay=0)
    found: list[str] = []
    arrived: asyncio.Queue[None] = asyncio.Queue()

    async def handle(notification: Any) -> None:
        # It tells of three seconds without one, too, and looks at the connection every second.
        if isinstance(notification, Notification):
            found.append(repr(notification))
            arrived.put_nowait(None)

    task = asyncio.create_task(
        listener.run({"one": handle, "two": handle}, policy=ListenPolicy.ALL, notification_timeout=3)
    )
    alive = "application_name = 'listener' AND query = 'SELECT 1' AND state = 'idle'"
    async with observer() as connection:
        pids = []
        for attempt in range(2):
            pids.append(pid := await until(connection, alive))
            for channel in ("one", "two", "three"):
                await connection.execute("SELECT pg_notify($1, $2)", channel, f"payload {attempt}")
                if channel != "three":
                    await asyncio.wait_for(arrived.get(), 30)
            # It is cut, and connects again.
            await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        assert pids[0] != pids[1]
        await until(connection, alive)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with observer() as connection:
        while await connection.fetchval("SELECT 1 FROM pg_stat_activity WHERE application_name = 'listener'"):
            pass
    return found


async def apscheduler() -> Any:
    import anyio
    from apscheduler import ScheduleAdded, ScheduleRemoved
    from apscheduler._exceptions import SerializationError
    from apscheduler.eventbrokers.asyncpg import AsyncpgEventBroker
    from sqlalchemy.ext.asyncio import create_async_engine

    found: list[Any] = []
    logger = logging.getLogger("apscheduler")
    engine = create_async_engine(OWN.replace("postgresql://", "postgresql+asyncpg://"))

    def broker(name: str) -> Any:
        options = {"server_settings": {"application_name": name}, "timeout": 60}
        return AsyncpgEventBroker.from_async_sqla_engine(engine, options, channel="events", max_idle_time=0.05)

    async def converse(one: Any, two: Any) -> None:
        heard: dict[str, list[str]] = {"one": [], "two": []}
        last = {"one": anyio.Event(), "two": anyio.Event()}

        def note(name: str) -> Callable[[Any], None]:
            def take(event: Any) -> None:
                heard[name].append(f"{type(event).__name__} {event.schedule_id}")
                if isinstance(event, ScheduleRemoved):
                    last[name].set()

            return take

        one.subscribe(note("one"), {ScheduleAdded, ScheduleRemoved}, is_async=False)
        two.subscribe(note("two"), {ScheduleAdded, ScheduleRemoved}, is_async=False)
        for number in range(5):
            await one.publish(ScheduleAdded(schedule_id=f"schedule {number}", task_id="task", next_fire_time=None))
        await one.publish(ScheduleRemoved(schedule_id="schedule", task_id="task", finished=False))
        with anyio.fail_after(30):
            for event in last.values():
                await event.wait()
        with contextlib.suppress(SerializationError):
            await one.publish(ScheduleAdded(schedule_id="x" * 8000, task_id="task", next_fire_time=None))
            raise AssertionError
        found.append(sorted(heard["one"]))
        found.append(sorted(heard["two"]))

    # Left as its blocks end; then by a cancellation, which under anyio comes again at each await.
    for cancel in (False, True):
        with anyio.CancelScope() as scope:
            async with contextlib.AsyncExitStack() as stack:
                one, two = broker("one"), broker("two")
                await one.start(stack, logger)
                await two.start(stack, logger)
                await converse(one, two)
                if cancel:
                    scope.cancel()
        found.append(scope.cancelled_caught)
    await engine.dispose()

    connection = await asyncpg.connect(OWN, server_settings={"application_name": "one"})
    async with observer() as other, anyio.create_task_group() as group:

        async def work() -> None:
            try:
                await connection.execute("SELECT pg_sleep($1)", 60)
            finally:
                with anyio.move_on_after(5, shield=True):
                    await connection.close(timeout=3)

        group.start_soon(work)
        await until(other, "wait_event = 'PgSleep'")
        group.cancel_scope.cancel()
    found.append(connection.is_closed())
    async with observer() as other:
        while await other.fetchval("SELECT 1 FROM pg_stat_activity WHERE application_name = ANY($1)", ["one", "two"]):
            pass
    return found


async def piccolo() -> Any:
    from piccolo.columns import JSONB, UUID, Array, ForeignKey, Integer, Numeric, Text, Timestamptz, Varchar
    from piccolo.columns.readable import Readable
    from piccolo.engine.postgres import PostgresEngine
    from piccolo.query.functions.aggregate import Count, Sum
    from piccolo.table import Table, create_db_tables, drop_db_tables

    parts = urlsplit(OWN)
    config = {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": parts.password,
        "database": DATABASE,
    }
    engine = PostgresEngine(config, extensions=("plpgsql",))

    class Manager(Table, db=engine):
        name = Varchar(length=50, unique=True)
        key = UUID()

        @classmethod
        def get_readable(cls) -> Any:
            return Readable(template="%s", columns=[cls.name])

    class Band(Table, db=engine):
        name = Varchar(length=50)
        manager = ForeignKey(references=Manager)
        popularity = Integer(default=0)
        price = Numeric(digits=(5, 2), null=True, default=None)
        notes = Text(null=True, default=None)
        document = JSONB(null=True, default=None)
        labels: Any = Array(base_column=Varchar())
        at = Timestamptz(default=datetime(2024, 1, 2, tzinfo=UTC))

    found: list[Any] = []
    await engine.prep_database()
    found.append(await engine.get_version() >= 10)

    async def use() -> None:
        await create_db_tables(Manager, Band, if_not_exists=True)
        manager = Manager(name="Guido", key=uuid.UUID(int=7))
        await manager.save()
        rows = await Manager.select(Manager.name, Manager.key).where(Manager.key == uuid.UUID(int=7))
        found.append([repr(row) for row in rows])
        assert rows[0]["key"] == uuid.UUID(int=7)
        again = await Manager.objects().get(Manager.name == "Guido")
        found.append([isinstance(again.key, uuid.UUID), again == manager])
        bands = [
            Band(
                name=f"band {n}", manager=manager, popularity=n, price=Decimal(n), labels=["a", "b"], document={"n": n}
            )
            for n in range(10)
        ]
        await Band.insert(*bands)
        found.append(await Band.count().where(Band.popularity > 4))
        found.append(
            repr(
                await Band.select(Band.name, Band.manager.name, Band.price, Band.labels, Band.document, Band.at)
                .where((Band.popularity >= 8) & Band.labels.any("a"))
                .order_by(Band.name)
                .output(load_json=True)
            )
        )
        found.append(repr(await Band.select(Count(), Sum(Band.popularity)).first()))
        await Band.update({Band.popularity: Band.popularity + 100}).where(Band.name == "band 3")
        found.append(await Band.select(Band.popularity).where(Band.name == "band 3").output(as_list=True))
        found.append(repr(await Band.delete().where(Band.popularity < 2).returning(Band.name)))
        found.append(await Band.raw("SELECT name FROM band WHERE popularity > {} ORDER BY 1", 5))
        found.append(await failure(Manager(name="Guido", key=uuid.uuid4()).save().run()))
        found.append(await failure(Band.raw("SELECT nothing FROM band").run()))
        with contextlib.suppress(ZeroDivisionError):
            async with engine.transaction():
                await Band.delete(force=True)
                raise ZeroDivisionError
        async with engine.transaction() as transaction:
            await Band.update({Band.notes: "kept"}, force=True)
            savepoint = await transaction.savepoint()
            await Band.delete(force=True)
            await savepoint.rollback_to()
        found.append(await Band.count().where(Band.notes == "kept"))
        atomic = engine.atomic()
        atomic.add(
            Band.update({Band.notes: "twice"}, force=True), Manager.insert(Manager(name="Guido", key=uuid.uuid4()))
        )
        found.append((await failure(atomic.run()))[0][0])
        found.append(await Band.count().where(Band.notes == "kept"))
        async with await Band.select(Band.name).order_by(Band.name).batch(batch_size=3) as batch:
            found.append([[row["name"] for row in rows] async for rows in batch])
        found.append(await Band.exists().where(Band.name == "band 5"))
        got = await Manager.objects().get_or_create(Manager.name == "new", defaults={Manager.key: uuid.UUID(int=1)})
        found.append([got._was_created, str(got.key)])
        await drop_db_tables(Manager, Band)

    await use()
    await engine.start_connection_pool(min_size=1, max_size=3)
    await use()
    found.append(await asyncio.gather(*(engine._run_in_pool("SELECT 1") for _ in range(9))) == [[(1,)]] * 9)
    await engine.close_connection_pool()
    return found


async def pgvector() -> Any:
    from pgvector import Vector
    from pgvector.asyncpg import register_vector

    found: list[Any] = []
    connection = await asyncpg.connect(OWN)
    found.append(await failure(register_vector(connection)))
    found.append(await failure(asyncpg.create_pool(OWN, min_size=1, init=register_vector)))
    # A type of that name and none of the others, without the extension: its binary form is what it is given.
    await connection.execute(
        """
        CREATE SCHEMA vectors;
        CREATE TYPE vectors.vector;
        CREATE FUNCTION vectors.i(cstring) RETURNS vectors.vector AS 'byteain' LANGUAGE internal IMMUTABLE STRICT;
        CREATE FUNCTION vectors.o(vectors.vector) RETURNS cstring AS 'byteaout' LANGUAGE internal IMMUTABLE STRICT;
        CREATE FUNCTION vectors.r(internal) RETURNS vectors.vector AS 'bytearecv' LANGUAGE internal IMMUTABLE STRICT;
        CREATE FUNCTION vectors.s(vectors.vector) RETURNS bytea AS 'byteasend' LANGUAGE internal IMMUTABLE STRICT;
        CREATE TYPE vectors.vector (INPUT = vectors.i, OUTPUT = vectors.o, RECEIVE = vectors.r, SEND = vectors.s);
        CREATE TABLE items (id int, embedding vectors.vector);
        """
    )

    async def register(connection: Any) -> None:
        await register_vector(connection, schema="vectors")

    await register(connection)
    await connection.execute("INSERT INTO items VALUES (1, $1), (2, NULL)", [1, 2.5, -3])
    await connection.executemany("INSERT INTO items VALUES ($1, $2)", [(3, Vector([4])), (4, [0, 0])])
    await connection.copy_records_to_table("items", records=[(5, [5, 6])])
    rows = await connection.fetch("SELECT * FROM items ORDER BY id")
    assert rows[0]["embedding"] == Vector([1, 2.5, -3])
    found.append([repr(row) for row in rows])
    found.append(repr(await connection.fetchval("SELECT array_agg(embedding ORDER BY id) FROM items")))
    found.append(repr(await connection.fetchval("SELECT $1::vectors.vector[]", [Vector([1]), Vector([2])])))
    found.append((await failure(connection.execute("INSERT INTO items VALUES (6, $1)", "text")))[:1])
    await connection.close()
    async with asyncpg.create_pool(OWN, min_size=1, max_size=2, init=register) as pool:
        found.append(repr(await pool.fetchval("SELECT embedding FROM items WHERE id = 1")))
    return found


async def taskiq_pg() -> Any:
    from taskiq.receiver import Receiver
    from taskiq_pg import AsyncpgBroker, AsyncpgResultBackend

    results: Any = AsyncpgResultBackend(lambda: OWN, keep_results=False, min_size=1, max_size=2)
    broker = AsyncpgBroker(
        OWN,
        connection_kwargs={"server_settings": {"application_name": "reader"}},
        pool_kwargs={"min_size": 1, "max_size": 2},
    ).with_result_backend(results)

    @broker.task(task_name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    found: list[Any] = []
    await broker.startup()
    receiver = Receiver(broker, run_startup=False)
    tasks = [await add.kiq(n, 1) for n in range(3)] + [await add.kiq(1, "x")]  # type: ignore[arg-type]
    found.append([await results.is_result_ready(task.task_id) for task in tasks])
    messages = broker.listen()
    for task in tasks:
        message = await asyncio.wait_for(anext(messages), 30)
        await receiver.callback(message, raise_err=False)
        result = await task.wait_result(timeout=30)
        found.append([result.is_err, result.return_value, repr(result.error)])
        found.append((await failure(results.get_result(task.task_id)))[0][0])
    delayed = await add.kicker().with_labels(delay=0).kiq(5, 6)
    await receiver.callback(await asyncio.wait_for(anext(messages), 30), raise_err=False)
    found.append((await delayed.wait_result(timeout=30)).return_value)
    async with observer() as connection:
        found.append(await connection.fetchval("SELECT count(*) FROM taskiq_messages"))
        found.append(await connection.fetchval("SELECT count(*) FROM taskiq_results"))
    await messages.aclose()
    await broker.shutdown()
    return found


async def asyncpg_trek() -> Any:
    from asyncpg_trek import Direction, execute, plan
    from asyncpg_trek.asyncpg import AsyncpgBackend

    found: list[Any] = []
    connection = await asyncpg.connect(OWN)
    backend = AsyncpgBackend(connection, schema="migrated")
    files = {
        "20240101_initial_up_a.sql": "CREATE TABLE people (id int);\nINSERT INTO people VALUES (1); SELECT 'a;b';",
        "20240102_a_up_b.py": "async def run_migration(connection):\n"
        "    await connection.execute('ALTER TABLE people ADD COLUMN name text')\n"
        "    await connection.executemany('INSERT INTO people VALUES ($1, $2)', [(2, 'x'), (3, None)])\n",
        "20240103_b_up_c.sql": "DROP TABLE people; SELECT 1 / 0;",
        "20240102_b_down_a.sql": "ALTER TABLE people DROP COLUMN name",
    }
    with folder_of(files) as folder:
        for target, direction in (("a", Direction.up), ("b", Direction.up), ("c", Direction.up), ("a", Direction.down)):
            planned = await plan(backend, folder, target_revision=target, direction=direction)
            found.append([f"{migration.from_rev} {migration.to_rev}" for migration in planned])
            found.append(await failure(execute(backend, planned)))
            found.append([repr(row) for row in await connection.fetch("SELECT * FROM people ORDER BY id")])
        query = "SELECT from_revision, to_revision FROM migrated.migrations ORDER BY id"
        found.append([tuple(row) for row in await connection.fetch(query)])
    await connection.close()
    return found


async def quart_db() -> Any:
    import enum

    from quart import Quart, g
    from quart_db import QuartDB
    from quart_db.interfaces import UndefinedParameterError

    class Mood(enum.Enum):
        SAD = "sad"
        HAPPY = "happy"

    found: list[Any] = []
    files = {
        "migrations/0.py": "async def migrate(connection):\n"
        "    await connection.execute(\"CREATE TYPE mood AS ENUM ('sad', 'happy')\")\n"
        "    await connection.execute('CREATE TABLE people (id int UNIQUE, mood mood, document jsonb)')\n"
        "async def valid_migration(connection):\n"
        "    return await connection.fetch_val('SELECT count(*) FROM people') == 0\n",
        "data.py": "async def execute(connection):\n"
        "    await connection.execute('INSERT INTO people VALUES (:id, :mood, :document)',\n"
        "        {'id': 1, 'mood': 'sad', 'document': {'a': 1}})\n",
    }
    with folder_of(files) as folder:
        app = Quart("program", root_path=folder)
        database = QuartDB(
            app, url=OWN, data_path="data.py", backend_options={"min_size": 1, "max_size": 3, "command_timeout": 60}
        )
        database.set_converter("mood", lambda mood: mood.value, Mood)

        @app.get("/<int:number>")
        async def get(number: int) -> Any:
            row = await g.connection.fetch_first("SELECT * FROM people WHERE id = :id", {"id": number})
            return {**row, "mood": row["mood"].name}

        @app.post("/<int:number>")
        async def post(number: int) -> Any:
            async with g.connection.transaction():
                await g.connection.execute(
                    "INSERT INTO people VALUES (:id, :mood, :document)",
                    {"id": number, "mood": Mood.HAPPY, "document": [number]},
                )
            return {}

        async with app.test_app():
            client = app.test_client()
            found.append([(await client.post(f"/{number}")).status_code for number in (2, 3, 2)])
            answers = await asyncio.gather(*(client.get(f"/{number}") for number in (1, 2, 3, 1, 2, 3)))
            found.append([await answer.get_json() for answer in answers])
            async with database.connection() as connection:
                await connection.execute_many(
                    "INSERT INTO people (id, mood) VALUES (:id, :mood)",
                    [{"id": n, "mood": Mood.SAD} for n in range(10, 15)],
                )
                query = "SELECT id, mood FROM people WHERE id >= :id ORDER BY id"
                found.append([repr(tuple(row)) async for row in connection.iterate(query, {"id": 10})])
                found.append(await connection.fetch_val("SELECT $1::jsonb", [{"x": [1, None]}]))
                found.append(repr(await connection.fetch_val("SELECT array_agg(mood) FROM people WHERE id < 4")))
                found.append((await failure(connection.fetch_all("SELECT $0")))[0][0])
                found.append((await failure(connection.fetch_val("SELECT $1", [])))[0][0])
                found.append(issubclass(UndefinedParameterError, Exception))
                transaction = connection.transaction(force_rollback=True)
                async with transaction:
                    await connection.execute("DELETE FROM people")
                found.append(await connection.fetch_val("SELECT count(*) FROM people"))
        found.append(await migrated())
    return found


async def migrated() -> Any:
    async with observer() as connection:
        return dict(await connection.fetchrow("SELECT * FROM schema_migration"))


PROGRAMS: dict[str, Callable[[], Awaitable[Any]]] = {
    program.__name__: program
    for program in (
        apscheduler,
        asyncpg_listen,
        asyncpg_trek,
        buildpg,
        databases,
        pgqueuer,
        pgvector,
        piccolo,
        quart_db,
        taskiq_pg,
    )
}


async def main() -> None:
    # What libraries log of connections that were cut is not wanted on stderr.
    logging.getLogger().addHandler(logging.NullHandler())
    connection = await asyncpg.connect(DSN)
    await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    try:
        found = await PROGRAMS[LIBRARY]()
    finally:
        await connection.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')
        await connection.close()
    print(json.dumps(found, default=repr))


if __name__ == "__main__":
    if LIBRARY == "pgqueuer":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
