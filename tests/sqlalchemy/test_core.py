"""SQLAlchemy Core: statements, counts, errors, transactions, streams, options."""

from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    exc,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.sqlalchemy.drivers import Driver, backend_pid, recreate

pytestmark = [pytest.mark.anyio, pytest.mark.server]

metadata = MetaData()
people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(20), nullable=False, unique=True),
    Column("age", Integer, CheckConstraint("age >= 0", name="age_is_positive")),
)
pets = Table(
    "pets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "owner", ForeignKey("people.id", name="owner_exists", deferrable=True, initially="DEFERRED"), nullable=False
    ),
)


@pytest.fixture(autouse=True)
async def tables(engine: AsyncEngine) -> None:
    await recreate(engine, metadata)


async def test_the_driver(driver: Driver, engine: AsyncEngine) -> None:
    assert engine.dialect.driver == driver.name
    assert engine.dialect.is_async
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert isinstance(raw.driver_connection, driver.module.Connection)


async def test_insert_update_delete_and_their_counts(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        inserted = await connection.execute(insert(people).values(name="Ada", age=36))
        assert (inserted.rowcount, inserted.inserted_primary_key) == (1, (1,))
        await connection.execute(insert(people), [{"name": f"n{i}", "age": i} for i in range(10)])
        updated = await connection.execute(update(people).where(people.c.age < 5).values(age=people.c.age + 100))
        assert updated.rowcount == 5
        deleted = await connection.execute(delete(people).where(people.c.age > 100).returning(people.c.name))
        assert deleted.scalars().all() == ["n1", "n2", "n3", "n4"]
        nothing = await connection.execute(delete(people).where(people.c.name == "nobody"))
        assert nothing.rowcount == 0
        counted = await connection.execute(select(func.count()).select_from(people))
        assert counted.scalar_one() == 7
        selected = await connection.execute(select(people.c.id))
        assert selected.rowcount == 7


async def test_rows(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(people).values(name="Ada", age=36))
        result = await connection.execute(select(people).where(people.c.name == bindparam("who")), {"who": "Ada"})
        row = result.one()
        assert tuple(row) == (1, "Ada", 36)
        assert (row.name, row._mapping["age"]) == ("Ada", 36)
        assert list(result.keys()) == ["id", "name", "age"]
        empty = await connection.execute(select(people).where(people.c.id == 7))
        assert empty.one_or_none() is None


async def test_many_inserts_give_their_keys_in_order(engine: AsyncEngine) -> None:
    """insertmanyvalues: several statements of many rows each, RETURNING sorted to the parameters."""
    rows = [{"name": f"n{i}", "age": i} for i in range(1500)]
    async with engine.begin() as connection:
        statement = insert(people).returning(people.c.id, people.c.age, sort_by_parameter_order=True)
        result = await connection.execute(statement, rows, execution_options={"insertmanyvalues_page_size": 400})
        assert [(row.id, row.age) for row in result] == [(i + 1, i) for i in range(1500)]


async def test_many_executions_of_sql(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO people (name, age) VALUES (:name, :age)"),
            [{"name": f"n{i}", "age": i} for i in range(99)],
        )
        await connection.exec_driver_sql("UPDATE people SET age = $2 WHERE name = $1", [("n1", 7), ("n2", 7)])
        assert (await connection.execute(text("SELECT count(*) FROM people WHERE age = 7"))).scalar() == 3


@pytest.mark.differs(
    asyncpg="does not count the rows of MERGE.",
    ours="Every command tag that counts rows is `rowcount`.",
)
async def test_counts_of_other_commands(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(people), [{"name": f"n{i}", "age": i} for i in range(4)])
        merge = "MERGE INTO people USING (SELECT 1) AS one ON age > 1 WHEN MATCHED THEN UPDATE SET age = 7"
        if engine.dialect.server_version_info >= (15,):
            assert (await connection.execute(text(merge))).rowcount == 2
        assert (await connection.execute(text("CREATE TABLE copied AS SELECT * FROM people"))).rowcount == 4
        assert (await connection.execute(text("DROP TABLE copied"))).rowcount == -1
        await connection.execute(text("DECLARE c CURSOR FOR SELECT * FROM people"))
        assert (await connection.execute(text("FETCH 3 FROM c"))).rowcount == 3


async def test_upsert(engine: AsyncEngine) -> None:
    statement = postgresql.insert(people).values([{"name": "Ada", "age": 1}, {"name": "Bob", "age": 2}])
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"age": statement.excluded.age + 10})
    async with engine.begin() as connection:
        await connection.execute(insert(people).values(name="Ada", age=36))
        result = await connection.execute(statement.returning(people.c.name, people.c.age))
        assert sorted(map(tuple, result)) == [("Ada", 11), ("Bob", 2)]


@pytest.mark.parametrize(
    ("sql", "parameters", "kind", "original", "sqlstate"),
    [
        ("INSERT INTO people (name) VALUES ('Ada')", {}, exc.IntegrityError, "UniqueViolationError", "23505"),
        ("INSERT INTO people (age) VALUES (1)", {}, exc.IntegrityError, "NotNullViolationError", "23502"),
        ("INSERT INTO people (name, age) VALUES ('B', -1)", {}, exc.IntegrityError, "CheckViolationError", "23514"),
        (
            "DO $$ BEGIN RAISE 'no' USING ERRCODE = '23000'; END $$",
            {},
            exc.IntegrityError,
            "IntegrityConstraintViolationError",
            "23000",
        ),
        ("SELECT * FROM nowhere", {}, exc.ProgrammingError, "UndefinedTableError", "42P01"),
        ("SELEKT 1", {}, exc.ProgrammingError, "PostgresSyntaxError", "42601"),
        ("SELECT 1 / 0", {}, exc.DBAPIError, "DivisionByZeroError", "22012"),
        ("SELECT CAST(:x AS int)", {"x": "one"}, exc.DBAPIError, "DataError", None),
        ("DO $$ BEGIN RAISE 'no' USING ERRCODE = 'ZZ001'; END $$", {}, exc.DBAPIError, "PostgresError", "ZZ001"),
    ],
)
async def test_errors(
    driver: Driver,
    engine: AsyncEngine,
    sql: str,
    parameters: dict[str, Any],
    kind: type[exc.DBAPIError],
    original: str,
    sqlstate: str | None,
) -> None:
    async with engine.connect() as connection:
        await connection.execute(insert(people).values(name="Ada"))
        with pytest.raises(kind) as caught:
            await connection.execute(text(sql), parameters)
        assert type(caught.value) is kind
        assert isinstance(caught.value.orig, engine.dialect.dbapi.Error)
        cause = caught.value.driver_exception
        assert isinstance(cause, getattr(driver.module, original))
        assert type(cause).__module__.partition(".")[0] == driver.module.__name__.partition("_")[0]
        if sqlstate is not None:
            assert caught.value.orig.sqlstate == caught.value.orig.pgcode == cause.sqlstate == sqlstate
        assert not caught.value.connection_invalidated
        await connection.rollback()
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1


async def test_a_deferred_constraint_fails_the_commit(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(insert(pets).values(owner=7))
        with pytest.raises(exc.IntegrityError) as caught:
            await connection.commit()
        assert caught.value.driver_exception.constraint_name == "owner_exists"
        await connection.rollback()
        assert (await connection.execute(select(func.count()).select_from(pets))).scalar() == 0


async def test_transactions_and_savepoints(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        async with connection.begin():
            await connection.execute(insert(people).values(name="kept"))
            savepoint = await connection.begin_nested()
            await connection.execute(insert(people).values(name="undone"))
            await savepoint.rollback()
            with pytest.raises(exc.IntegrityError):
                async with connection.begin_nested():
                    await connection.execute(insert(people).values(name="kept"))
            async with connection.begin_nested():
                await connection.execute(insert(people).values(name="kept, too"))
        await connection.execute(insert(people).values(name="rolled back"))
        await connection.rollback()
        assert (await connection.scalars(select(people.c.name).order_by("id"))).all() == ["kept", "kept, too"]


@pytest.mark.differs(
    asyncpg="begins a transaction by a round trip of its own.",
    ours="BEGIN goes out with the transaction's first statement.",
)
async def test_begin_waits_for_the_first_statement(engine: AsyncEngine, observer: AsyncEngine) -> None:
    state = text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
    async with engine.connect() as connection, observer.connect() as other:
        pid = await backend_pid(connection)
        await connection.rollback()
        await (await connection.get_raw_connection()).dbapi_connection._start_transaction()
        assert (await other.execute(state, {"pid": pid})).scalar() == "idle"
        await connection.execute(text("SELECT 1"))
        assert (await other.execute(state, {"pid": pid})).scalar() == "idle in transaction"
        await connection.rollback()
        assert (await other.execute(state, {"pid": pid})).scalar() == "idle"


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"])
async def test_isolation_levels(engine: AsyncEngine, level: str) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level=level)
        assert (await connection.execute(text("SHOW transaction_isolation"))).scalar() == level.lower()
    async with engine.connect() as connection:
        assert await connection.get_isolation_level() == "READ COMMITTED"


async def test_autocommit(engine: AsyncEngine, observer: AsyncEngine) -> None:
    async with engine.connect() as connection, observer.connect() as other:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(insert(people).values(name="Ada"))
        assert (await other.execute(select(people.c.name))).scalar() == "Ada"
        await connection.execute(text("VACUUM people"))  # not in a transaction


async def test_readonly_and_deferrable(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(
            isolation_level="SERIALIZABLE", postgresql_readonly=True, postgresql_deferrable=True
        )
        assert (await connection.execute(text("SHOW transaction_read_only"))).scalar() == "on"
        assert (await connection.execute(text("SHOW transaction_deferrable"))).scalar() == "on"
        with pytest.raises(exc.DBAPIError, match="read-only transaction"):
            await connection.execute(insert(people).values(name="Ada"))


async def test_streaming(engine: AsyncEngine) -> None:
    numbers = select(func.generate_series(1, 2500).label("n"))
    async with engine.connect() as connection:
        assert [row.n async for row in await connection.stream(numbers)] == list(range(1, 2501))
        streamed = await connection.stream(numbers, execution_options={"yield_per": 300})
        sizes = [len(part) async for part in streamed.scalars().partitions()]
        assert sizes == [300] * 8 + [100]
        assert await (await connection.stream(numbers)).fetchmany(3) == [(1,), (2,), (3,)]
        # The cursor before was left in the middle; this connection goes on.
        assert len(await (await connection.stream_scalars(numbers)).all()) == 2500
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1


@pytest.mark.differs(
    asyncpg="lets its own exception out of a stream, which SQLAlchemy does not know.",
    ours="An error in the middle of a stream is a DBAPIError, as that of any statement.",
)
async def test_errors_in_the_middle_of_a_stream(driver: Driver, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        rows = await connection.stream(text("SELECT 1 / (200 - n) FROM generate_series(1, 300) n"))
        assert len(await rows.fetchmany(20)) == 20
        with pytest.raises(exc.DBAPIError, match="division by zero") as caught:
            await rows.all()
        assert isinstance(caught.value.driver_exception, driver.module.DivisionByZeroError)


async def test_tables_that_change_under_prepared_statements(engine: AsyncEngine) -> None:
    statement = text("SELECT * FROM people")
    async with engine.connect() as connection:
        await connection.execute(statement)
        await connection.commit()
        await connection.execute(text("ALTER TABLE people ADD COLUMN more int"))
        await connection.commit()
        with pytest.raises(exc.NotSupportedError, match="cached statement plan is invalid"):
            await connection.execute(statement)
        await connection.rollback()
        assert list((await connection.execute(statement)).keys()) == ["id", "name", "age", "more"]


@pytest.mark.parametrize("size", ["0", "2"])
async def test_the_cache_of_prepared_statements(driver: Driver, size: str) -> None:
    engine = driver.engine({"prepared_statement_cache_size": size})
    async with engine.connect() as connection:
        for _ in range(3):
            for number in range(5):
                assert (await connection.execute(text(f"SELECT {number}"))).scalar() == number
        count = text("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ '^SELECT [0-9]'")
        assert (await connection.execute(count)).scalar() <= int(size) * 1.5  # as much as theirs may be over


async def test_names_of_prepared_statements(driver: Driver) -> None:
    names = iter(f"mine_{number}" for number in range(100))
    engine = driver.engine(connect_args={"prepared_statement_name_func": lambda: next(names)})
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 'a'"))
        found = await connection.execute(
            text("SELECT name FROM pg_prepared_statements WHERE statement = 'SELECT ''a'''")
        )
        assert found.scalars().one().startswith("mine_")


async def test_settings_by_connect_args(driver: Driver) -> None:
    engine = driver.engine(connect_args={"server_settings": {"application_name": "mine"}, "command_timeout": 50})
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW application_name"))).scalar() == "mine"


async def test_a_connection_made_by_the_user(driver: Driver) -> None:
    made = []

    async def connect(**parameters: Any) -> Any:
        made.append(parameters["user"])
        return await driver.module.connect(**parameters)

    engine = driver.engine(connect_args={"async_creator_fn": connect})
    async with engine.connect() as connection:
        assert await backend_pid(connection)
    assert made == [driver.server.user]


@pytest.mark.differs(
    asyncpg="takes an option in the URL for a parameter of connect(), a text: numbers and what a DSN may have fail.",
    ours="Options are converted; what is no parameter of connect() is read as in a DSN.",
)
async def test_options_of_the_url(driver: Driver) -> None:
    query = {
        "application_name": "from the URL",
        "command_timeout": "50",
        "options": "-c work_mem=5MB -c search_path=a,public",
        "sslmode": "disable",
        "timeout": "20.5",
    }
    async with driver.engine(query).connect() as connection:
        found = [
            (await connection.execute(text(f"SHOW {name}"))).scalar()
            for name in ("application_name", "work_mem", "search_path")
        ]
    assert found == ["from the URL", "5MB", "a,public"]
