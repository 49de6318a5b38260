"""Prepared statements as objects."""

import decimal
import functools
import gc
import re
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.support.clients import Client, at_once
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]

NAMES = "SELECT name FROM pg_prepared_statements WHERE NOT statement LIKE '%pg_prepared_statements%' ORDER BY name"
INVALID = "cached statement plan is invalid due to a database schema or configuration change"
METHODS = [
    "get_name", "get_query", "get_statusmsg", "get_parameters", "get_attributes", "cursor", "explain", "fetch",
    "fetchrow", "fetchval", "fetchmany", "executemany",
]  # fmt: skip


async def call(statement: Any, method: str) -> Any:
    result = getattr(statement, method)(*([[]] if method.endswith("many") else []))
    return await result if hasattr(result, "__await__") and method != "cursor" else result


@pytest.mark.checklist("PS-1")
async def test_it_is_a_new_one_each_time(connection: Any) -> None:
    await connection.fetch("SELECT 1")
    one, two = await connection.prepare("SELECT 1"), await connection.prepare("SELECT 1")
    names = {one.get_name(), two.get_name()}
    assert len(names) == 2
    assert all(re.fullmatch(r"__asyncpg_stmt_[0-9a-f]+__|__pgsansio_[0-9a-f]{24}(_\d+)?", name) for name in names)
    assert names < {row[0] for row in await connection.fetch(NAMES)}


@pytest.mark.checklist("PS-1")
async def test_a_name_of_the_users(connection: Any, client: Client) -> None:
    statement = await connection.prepare("SELECT $1::int + 1 AS a", name="plus one")
    assert statement.get_name() == "plus one"
    assert await connection.execute('EXECUTE "plus one" (4)') == "SELECT 1"
    with pytest.raises(client.DuplicatePreparedStatementError):
        await connection.prepare("SELECT 2", name="plus one")
    assert await statement.fetchval(5) == 6


@pytest.mark.checklist("PS-1")
async def test_without_a_cache_it_has_no_name(client: Client) -> None:
    async with client.connect(statement_cache_size=0) as connection:
        statement = await connection.prepare("SELECT $1::int AS a")
        assert statement.get_name() == ""
        assert await statement.fetchval(5) == 5
        named = await connection.prepare("SELECT $1::int AS a", name="x")
        assert named.get_name() == "x"
        assert await named.fetchval(6) == 6


@pytest.mark.checklist("PS-1")
async def test_without_a_name_it_stays_itself(client: Client) -> None:
    async with client.connect(statement_cache_size=0) as connection:
        one = await connection.prepare("SELECT 1 AS a")
        await connection.prepare("SELECT 2 AS a")
        assert await one.fetchval() == 1


@pytest.mark.checklist("PS-1")
async def test_what_is_no_statement(connection: Any, client: Client) -> None:
    with pytest.raises(client.PostgresSyntaxError):
        await connection.prepare("SELEC 1")
    with pytest.raises(client.PostgresSyntaxError, match="cannot insert multiple commands"):
        await connection.prepare("SELECT 1; SELECT 2")
    with pytest.raises(client.InterfaceError, match="record_class is expected to be a subclass"):
        await connection.prepare("SELECT 1", record_class=dict)
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("PS-2")
async def test_its_methods(connection: Any) -> None:
    query = "SELECT i, $1::text AS b FROM generate_series(1, $2::int) AS i"
    statement = await connection.prepare(query)
    assert statement.get_query() == query
    assert statement.get_statusmsg() is None
    assert await statement.fetch("x", 2) == [(1, "x"), (2, "x")]
    assert statement.get_statusmsg() == "SELECT 2"
    assert await statement.fetchrow("y", 3) == (1, "y")
    assert await statement.fetchrow("y", 0) is None
    assert await statement.fetchval("y", 3) == 1
    assert await statement.fetchval("y", 3, column=1) == "y"
    assert await statement.fetchval("y", 3, column="b") == "y"
    assert await statement.fetchval("y", 0) is None
    with pytest.raises(IndexError):
        await statement.fetchval("y", 3, column=2)
    assert await statement.fetchmany([("a", 1), ("b", 2)]) == [(1, "a"), (1, "b"), (2, "b")]
    async with connection.transaction():
        assert [row[0] async for row in statement.cursor("c", 3, prefetch=2)] == [1, 2, 3]
        cursor = await statement.cursor("c", 3)
        assert await cursor.fetch(2) == [(1, "c"), (2, "c")]


@pytest.mark.checklist("PS-2")
async def test_its_status(connection: Any) -> None:
    create = await connection.prepare("CREATE TEMP TABLE t (a int)")
    assert await create.fetch() == []
    assert create.get_statusmsg() == "CREATE TABLE"
    insert = await connection.prepare("INSERT INTO t SELECT generate_series(1, $1::int) RETURNING a")
    assert await insert.fetch(3) == [(1,), (2,), (3,)]
    assert insert.get_statusmsg() == "INSERT 0 3"
    assert await insert.fetchval(2) == 1
    assert insert.get_statusmsg() is None, "the server has stopped at the first row"
    await insert.executemany([(1,)])
    assert insert.get_statusmsg() is None


@pytest.mark.checklist("PS-2", "Q-8")
async def test_executemany(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int PRIMARY KEY)")
    statement = await connection.prepare("INSERT INTO t VALUES ($1)")
    await statement.executemany((n,) for n in range(50_000))
    assert await connection.fetchval("SELECT count(*) FROM t") == 50_000
    with pytest.raises(client.UniqueViolationError):
        await statement.executemany([(-1,), (1,)])
    with pytest.raises(client.DataError, match=r"\$1 in element #1 of executemany\(\) sequence"):
        await statement.executemany([(-1,), ("x",)])
    with pytest.raises(client.DataError, match="sequence element #0: expected a sequence"):
        await statement.executemany([5])
    assert await connection.fetchval("SELECT count(*) FROM t") == 50_000


@pytest.mark.checklist("PS-2")
async def test_wrong_arguments(connection: Any, client: Client) -> None:
    statement = await connection.prepare("SELECT $1::int")
    for args in ((), (1, 2)):
        with pytest.raises(client.InterfaceError, match="the server expects 1 argument for this query"):
            await statement.fetch(*args)
    with pytest.raises(client.DataError, match="invalid input for query argument \\$1: 'x'"):
        await statement.fetch("x")
    assert await statement.fetchval(7) == 7


@pytest.mark.checklist("PS-2", "T-1")
async def test_time_limits(connection: Any, client: Client) -> None:
    statement = await connection.prepare("SELECT pg_sleep($1::float8)::text, 5")
    for method in ("fetch", "fetchrow", "fetchval"):
        with anyio.fail_after(20), pytest.raises(TimeoutError):
            await getattr(statement, method)(60.0, timeout=0.05)
    with anyio.fail_after(20), pytest.raises(TimeoutError):
        await statement.executemany([(60.0,)], timeout=0.05)
    assert await statement.fetchval(0.0, column=1, timeout=20) == 5
    async with client.connect(command_timeout=0.05) as hasty:
        statement = await hasty.prepare("SELECT pg_sleep(60)")
        with anyio.fail_after(20), pytest.raises(TimeoutError):
            await statement.fetch()


@pytest.mark.checklist("PS-2", "Q-12")
async def test_a_record_class(connection: Any, client: Client) -> None:
    class Special(client.Record):  # type: ignore[misc,name-defined]
        pass

    statement = await connection.prepare("SELECT $1::int AS a", record_class=Special)
    assert type(await statement.fetchrow(1)) is Special
    assert [type(row) for row in await statement.fetch(1)] == [Special]
    assert [type(row) for row in await statement.fetchmany([(1,)])] == [Special]
    async with connection.transaction():
        assert [type(row) async for row in statement.cursor(1)] == [Special]


@pytest.mark.checklist("PS-3")
@pytest.mark.parametrize(
    ("sql_type", "name", "kind"),
    [
        ("int4", "int4", "scalar"),
        ("timestamptz", "timestamptz", "scalar"),
        ("int4[]", "int4[]", "array"),
        ("int4[][]", "int4[]", "array"),
        ("int4range", "int4range", "range"),
        ("int4multirange", "int4multirange", "multirange"),
        ("varchar(5)", "varchar", "scalar"),
    ],
)
async def test_types_that_are_built_in(connection: Any, sql_type: str, name: str, kind: str) -> None:
    statement = await connection.prepare(f"SELECT $1::{sql_type} AS a")
    (parameter,) = statement.get_parameters()
    (attribute,) = statement.get_attributes()
    assert (parameter.name, parameter.kind, parameter.schema) == (name, kind, "pg_catalog")
    assert attribute == ("a", parameter)
    assert attribute.name == "a"
    assert attribute.type.oid == parameter.oid
    assert await connection.fetchval("SELECT $1::regtype::oid", sql_type) == parameter.oid


@pytest.mark.checklist("PS-3")
@pytest.mark.parametrize(
    ("sql_type", "name", "kind"),
    [
        ("mood", "mood", "scalar"),
        ("mood[]", "mood[]", "array"),
        ("pair", "pair", "composite"),
        ("pair[]", "pair[]", "array"),
        ("span", "span", "range"),
        ("domains[]", "domains[]", "array"),
    ],
)
async def test_types_of_the_database(connection: Any, sql_type: str, name: str, kind: str) -> None:
    await connection.execute(
        "CREATE TYPE pg_temp.mood AS ENUM ('x'); CREATE DOMAIN pg_temp.domains AS int;"
        "CREATE TYPE pg_temp.pair AS (a pg_temp.mood, b int); CREATE TYPE pg_temp.span AS RANGE (subtype = float8)"
    )
    statement = await connection.prepare(f"SELECT $1::pg_temp.{sql_type} AS a")
    (parameter,) = statement.get_parameters()
    (attribute,) = statement.get_attributes()
    assert (parameter.name, parameter.kind) == (name, kind)
    assert parameter.schema.startswith("pg_temp")
    assert attribute.type == parameter


@pytest.mark.differs(
    asyncpg="raises `InternalClientError` from `get_parameters()` and its like after `reload_schema_state()`.",
    ours="A `PreparedStatement` goes on to know its types.",
)
async def test_types_that_were_forgotten(connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int, b int)")
    statement = await connection.prepare("SELECT $1::pg_temp.pair AS a")
    (parameter,) = statement.get_parameters()
    await connection.reload_schema_state()
    assert statement.get_parameters() == (parameter,)
    assert statement.get_attributes() == (("a", parameter),)
    assert await statement.fetchval((1, 2)) == (1, 2)


@pytest.mark.checklist("PS-3")
async def test_a_domain_is_what_it_is_based_on(connection: Any) -> None:
    await connection.execute(
        "CREATE DOMAIN pg_temp.one AS int[]; CREATE DOMAIN pg_temp.two AS pg_temp.one CHECK (VALUE IS NOT NULL)"
    )
    statement = await connection.prepare("SELECT $1::pg_temp.two AS a")
    (parameter,) = statement.get_parameters()
    (attribute,) = statement.get_attributes()
    assert parameter[1:] == ("int4[]", "array", "pg_catalog")
    assert attribute.type[1:] == ("int4[]", "array", "pg_catalog")
    assert attribute.type.oid == 1007


@pytest.mark.checklist("PS-3")
async def test_a_statement_without_rows(connection: Any) -> None:
    statement = await connection.prepare("CREATE TEMP TABLE t (a int)")
    assert statement.get_parameters() == ()
    assert statement.get_attributes() == ()
    statement = await connection.prepare("")
    assert await statement.fetch() == []
    assert statement.get_attributes() == ()


@pytest.mark.checklist("PS-4")
async def test_explain(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    statement = await connection.prepare("INSERT INTO t VALUES ($1) RETURNING a")
    (plan,) = await statement.explain(5)
    assert plan["Plan"]["Node Type"] == "ModifyTable"
    assert plan["Plan"]["Output"] == ["t.a"]
    (plan,) = await statement.explain(5, analyze=True)
    assert plan["Plan"]["Actual Rows"] == 1
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    async with connection.transaction():
        await statement.fetch(1)
        await statement.explain(5, analyze=True)
        assert await connection.fetchval("SELECT count(*) FROM t") == 1
    with pytest.raises(client.DataError):
        await statement.explain("x", analyze=True)
    assert not connection.is_in_transaction()


@pytest.mark.differs(
    asyncpg="fails to `explain()` when JSON is parsed by a codec: `TypeError`.",
    ours="`explain()` works whatever codec reads JSON.",
)
async def test_explain_with_a_codec_for_json(connection: Any) -> None:
    await connection.set_type_codec("json", encoder=str, decoder=lambda text: [text], schema="pg_catalog")
    statement = await connection.prepare("SELECT 1")
    assert "Node Type" in (await statement.explain())[0]


@pytest.mark.checklist("PS-5")
async def test_it_is_closed_when_it_is_forgotten(connection: Any) -> None:
    await connection.fetch(NAMES)
    statement = await connection.prepare("SELECT 1", name="one")
    async with connection.transaction():
        iterator = statement.cursor().__aiter__()
        del statement
        gc.collect()
        await connection.fetch("SELECT 2")
        assert await iterator.__anext__() == (1,), "the cursor needs it"
        del iterator
    gc.collect()
    assert ("one",) in await connection.fetch(NAMES), "until there is an occasion"
    await connection.fetch("SELECT 3")
    assert ("one",) not in await connection.fetch(NAMES)


@pytest.mark.differs(
    asyncpg="closes a forgotten statement only after the next one was prepared, which therefore cannot have its name.",
    ours="It is closed before.",
)
async def test_it_is_no_part_of_a_cycle(connection: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            statement = await connection.prepare("SELECT 1", name="one")
            assert await statement.fetchval() == 1
            del statement
    finally:
        gc.enable()


@pytest.mark.checklist("PS-6")
@pytest.mark.parametrize("method", METHODS)
async def test_after_the_connection_was_closed(client: Client, method: str) -> None:
    async with client.connect() as connection:
        statement = await connection.prepare("SELECT 1")
    with pytest.raises(
        client.InterfaceError,
        match=rf"cannot call PreparedStatement\.{method}\(\): the underlying connection is closed",
    ):
        await call(statement, method)


@pytest.mark.checklist("PS-6")
async def test_after_it_was_closed(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int); CREATE TEMP TABLE t (a pg_temp.pair)")
    await connection.execute("INSERT INTO t VALUES (ROW(1))")
    statement = await connection.prepare("SELECT a FROM t")
    if client.is_ours:
        await statement.close()
    else:  # there is no other way
        assert await statement.fetch() == [((1,),)]
        await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE b int")
        with pytest.raises(client.OutdatedSchemaCacheError):
            await statement.fetch()
    for method in METHODS:
        with pytest.raises(
            client.InterfaceError, match=rf"cannot call PreparedStmt\.{method}\(\): the prepared statement is closed"
        ):
            await call(statement, method)


@pytest.mark.checklist("PS-6")
async def test_after_the_connection_was_released(client: Client) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as connection:
            statement = await connection.prepare("SELECT 1")
            assert await statement.fetchval() == 1
        async with pool.acquire():
            for method in METHODS:
                with pytest.raises(
                    client.InterfaceError,
                    match=rf"cannot call PreparedStatement\.{method}\(\): the underlying connection has been released "
                    "back to the pool",
                ):
                    await call(statement, method)


@pytest.mark.checklist("PS-6")
async def test_one_of_the_pools_init(client: Client) -> None:
    statements: list[Any] = []

    async def init(connection: Any) -> None:
        statements.append(await connection.prepare("SELECT 1"))

    async with make_pool(client, init=init) as pool:
        async with pool.acquire():
            assert await statements[0].fetchval() == 1
        async with pool.acquire():
            with pytest.raises(client.InterfaceError, match="has been released back to the pool"):
                await statements[0].fetchval()


@pytest.mark.checklist("PS-7")
async def test_it_keeps_its_codecs(connection: Any) -> None:
    statement = await connection.prepare("SELECT $1::numeric")
    await connection.set_type_codec("numeric", encoder=str, decoder=float, schema="pg_catalog")
    value = await statement.fetchval(decimal.Decimal("1.5"))
    assert type(value) is decimal.Decimal
    assert type(await connection.fetchval("SELECT 1.5")) is float


@pytest.mark.checklist("PS-8")
async def test_its_columns_have_changed(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    statement = await connection.prepare("SELECT * FROM t")
    assert await statement.fetch() == []
    await connection.execute("ALTER TABLE t ADD b int")
    with pytest.raises(client.InvalidCachedStatementError, match=INVALID):
        await statement.fetch()
    await connection.reload_schema_state()
    again = await connection.prepare("SELECT * FROM t")
    assert [attribute.name for attribute in again.get_attributes()] == ["a", "b"]
    assert await again.fetch() == []


@pytest.mark.checklist("PS-8")
@pytest.mark.differs(
    asyncpg="raises `InvalidCachedStatementError` each time, once the columns of a `PreparedStatement` have changed.",
    ours="It is raised once; then the statement is prepared again, under its name.",
)
@pytest.mark.parametrize("name", [None, "users"])
async def test_its_columns_have_changed_and_it_goes_on(connection: Any, client: Client, name: str | None) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1)")
    statement = await connection.prepare("SELECT * FROM t", name=name)
    for number, method in enumerate(["fetch", "fetchrow", "fetchval", "fetchmany", "executemany"]):
        await connection.execute(f"ALTER TABLE t ADD b{number} int")
        arguments = [[()]] if method.endswith("many") else []
        with pytest.raises(client.InvalidCachedStatementError, match=INVALID):
            await getattr(statement, method)(*arguments)
        assert await statement.fetch() == [(1, *[None] * (number + 1))]
        assert len(statement.get_attributes()) == number + 2
        await connection.execute(f"ALTER TABLE t ALTER b{number} TYPE int8")
        async with connection.transaction():
            with pytest.raises(client.InvalidCachedStatementError, match=INVALID):
                async with connection.transaction():
                    await statement.cursor()
            assert len(await (await statement.cursor()).fetchrow()) == number + 2
    if name is not None:
        assert statement.get_name() == name
    assert len(await connection.fetch(NAMES)) == 1


@pytest.mark.differs(
    asyncpg="cannot use a `PreparedStatement` any more after `DEALLOCATE ALL` or `DISCARD ALL`.",
    ours="The server's error arrives once; then the statement is prepared again.",
)
async def test_the_server_has_forgotten_it(connection: Any, client: Client) -> None:
    statement = await connection.prepare("SELECT $1::int", name="users")
    await connection.execute("DEALLOCATE ALL")
    with pytest.raises(client.InvalidSQLStatementNameError):
        await statement.fetchval(1)
    assert await statement.fetchval(2) == 2
    assert statement.get_name() == "users"


@pytest.mark.checklist("PS-8")
@pytest.mark.differs(
    asyncpg="closes a `PreparedStatement` when a composite type of its result has changed: `OutdatedSchemaCacheError`.",
    ours="What has changed is asked for; nobody notices.",
)
async def test_a_composite_type_has_changed(connection: Any) -> None:
    await connection.execute(
        "CREATE TYPE pg_temp.pair AS (a int, b text); CREATE TEMP TABLE t (a pg_temp.pair);"
        "INSERT INTO t VALUES (ROW(1, 'x'))"
    )
    statement = await connection.prepare("SELECT a FROM t")
    many = await connection.prepare("SELECT $1::pg_temp.pair")
    one = await connection.prepare("SELECT $1::pg_temp.pair")
    assert await statement.fetchval() == (1, "x")
    assert await many.fetchmany([((2, "y"),)]) == [((2, "y"),)]
    assert await one.fetchval((2, "y")) == (2, "y")
    await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE c int")
    before = statement._statement
    assert await statement.fetchval() == (1, "x", None)
    renewed = statement._statement
    assert renewed is not before
    assert await statement.fetch() == [((1, "x", None),)]
    assert statement._statement is renewed, "it has not been in need of that again"
    assert await many.fetchmany([(None,), ((2, "y", 3),)]) == [(None,), ((2, "y", 3),)]
    assert await one.fetchval((2, "y", 3)) == (2, "y", 3)
    await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE d int")
    async with connection.transaction():
        assert await (await one.cursor((2, "y", 3, 4))).fetchrow() == ((2, "y", 3, 4),)
    await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE e int")
    assert await one.fetchval((2, "y", 3, 4, 5)) == (2, "y", 3, 4, 5)
    await connection.execute("DROP TABLE t; ALTER TYPE pg_temp.pair ALTER ATTRIBUTE c TYPE int8")
    assert await one.fetchval((2, "y", 3, 4, 5)) == (2, "y", 3, 4, 5), "the server has refused it first"
    assert await many.fetchmany([((2, "y", 3, 4, 5),)]) == [((2, "y", 3, 4, 5),)]


@pytest.mark.checklist("PS-8")
async def test_it_outlives_transactions(connection: Any, client: Client) -> None:
    async with connection.transaction():
        statement = await connection.prepare("SELECT 5 / $1::int")
        assert await statement.fetchval(1) == 5
    with pytest.raises(client.DivisionByZeroError) as caught:
        async with connection.transaction():
            await statement.fetchval(0)
    assert caught.value.sqlstate == "22012"
    assert await statement.fetchval(5) == 1


@pytest.mark.differs(
    asyncpg="refuses a `PreparedStatement` to a second task at the same time.",
    ours="Several tasks may use one at once, outside of transactions.",
)
async def test_in_several_tasks(connection: Any, client: Client) -> None:
    statement = await connection.prepare("SELECT $1::int + 1")
    fetches = [functools.partial(statement.fetchval, number) for number in range(50)]
    assert await at_once(fetches) == list(range(1, 51))
    await connection.execute("DEALLOCATE ALL")
    with pytest.raises(client.InvalidSQLStatementNameError):
        await statement.fetchval(1)
    assert await at_once(fetches[:5]) == list(range(1, 6))
    await connection.fetch("SELECT 1")
    assert len(await connection.fetch(NAMES)) == 2, "one of them, and SELECT 1"


# fetchmany of a connection


@pytest.mark.checklist("Q-9")
async def test_fetchmany(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int PRIMARY KEY, b text)")
    insert = "INSERT INTO t SELECT i, $2 FROM generate_series(1, $1::int) AS i RETURNING a, b"
    rows = await connection.fetchmany("INSERT INTO t VALUES ($1, $2) RETURNING a, b", [(1, "x"), (2, "y")])
    assert rows == [(1, "x"), (2, "y")]
    assert type(rows[0]) is client.Record
    await connection.execute("DELETE FROM t")
    with pytest.raises(client.UniqueViolationError):
        await connection.fetchmany(insert, [(2, "x"), (1, "y")])
    assert await connection.fetchmany("SELECT a FROM t WHERE a = $1", [(1,), (2,)]) == []
    assert await connection.fetchmany(insert, []) == []
    assert await connection.fetchmany(insert, [(2, "x"), (0, "y")]) == [(1, "x"), (2, "x")]


@pytest.mark.checklist("Q-8", "Q-9")
async def test_fetchmany_takes_its_arguments_lazily(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    insert = "INSERT INTO t VALUES ($1) RETURNING a"
    rows = await connection.fetchmany(insert, ((n,) for n in range(30_000)))
    assert [row["a"] for row in rows] == list(range(30_000))


@pytest.mark.checklist("Q-8", "Q-9")
@pytest.mark.differs(
    asyncpg="raises `TypeError` from `fetchmany()` when its iterable raises.",
    ours="What the iterable raises is raised.",
)
async def test_an_iterable_of_fetchmany_that_fails(connection: Any) -> None:
    def half() -> Iterator[tuple[int]]:
        yield from ((n,) for n in range(20_000))
        raise LookupError

    await connection.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(LookupError):
        await connection.fetchmany("INSERT INTO t VALUES ($1) RETURNING a", half())
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("Q-9", "Q-12")
async def test_the_records_of_fetchmany(connection: Any, client: Client) -> None:
    class Special(client.Record):  # type: ignore[misc,name-defined]
        pass

    rows = await connection.fetchmany("SELECT $1::int AS a", [(1,), (2,)], record_class=Special, timeout=20)
    assert [type(row) for row in rows] == [Special, Special]
    with pytest.raises(client.InterfaceError, match="record_class is expected to be a subclass"):
        await connection.fetchmany("SELECT 1", [()], record_class=dict)
    with pytest.raises(TimeoutError):
        await connection.fetchmany("SELECT pg_sleep($1)", [(60,)], timeout=0.05)
    async with make_pool(client) as pool:
        assert await pool.fetchmany("SELECT $1::int", [(1,), (2,)]) == [(1,), (2,)]


async def test_a_row_of_fetchmany_that_cannot_be_decoded(connection: Any) -> None:
    def decode(text: str) -> Any:
        raise LookupError(text)

    await connection.set_type_codec("numeric", encoder=str, decoder=decode, schema="pg_catalog")
    with pytest.raises(LookupError):
        await connection.fetchmany("SELECT $1::int::numeric", [(1,), (2,)])
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="keeps what was sent when a row of a long `fetchmany()` cannot be decoded.",
    ours="All of it is executed, as with a short one, and then the error is raised.",
)
async def test_a_row_of_a_long_fetchmany_that_cannot_be_decoded(connection: Any) -> None:
    def decode(text: str) -> Any:
        raise LookupError(text)

    await connection.execute("CREATE TEMP TABLE t (a int)")
    await connection.set_type_codec("numeric", encoder=str, decoder=decode, schema="pg_catalog")
    with pytest.raises(LookupError):
        await connection.fetchmany("INSERT INTO t VALUES ($1) RETURNING a::numeric", ((n,) for n in range(30_000)))
    assert await connection.fetchval("SELECT count(*) FROM t") == 30_000


@pytest.mark.differs(
    asyncpg="has 'no decoder' for types that are first met in rows of a `fetchmany()` or a `PreparedStatement`.",
    ours="They are asked for, and nothing is executed twice.",
)
async def test_types_that_are_met_in_rows(connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.mood AS ENUM ('x'); CREATE TYPE pg_temp.kind AS ENUM ('y')")
    rows = await connection.fetchmany(
        "SELECT ROW($1::int, 'x'::pg_temp.mood, 'y'::pg_temp.kind)", ((n,) for n in range(20_000))
    )
    assert [row[0] for row in rows] == [(n, "x", "y") for n in range(20_000)]
    statement = await connection.prepare("SELECT ROW(1, '{x}'::pg_temp.mood[])")
    assert await statement.fetch() == [((1, ["x"]),)]
