"""Statements that are executed while they are prepared: what goes over the wire, and what comes of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from pgsansio.codecs.codec_set import CodecSet
from tests.support.clients import Client, at_once, ours
from tests.support.pools import make_pool
from tests.support.type_values import DDL, SCHEMA, TYPES, examples, plain
from tests.support.wire import Said, Wire, tapped

pytestmark = [pytest.mark.anyio, pytest.mark.server]

ONE, TWO = "PDBES", ["PDS", "BES"]


def asked(said: Said) -> list[str]:
    """The letters that the client has sent, turn by turn."""
    return [turn[2:] for turn in said if turn[0] == ">"]


@contextlib.asynccontextmanager
async def two(client: Client, **settings: Any) -> AsyncIterator[tuple[Any, Any, Wire]]:
    """Two connections that share what they learn."""
    codecs = settings.pop("codecs", None) or CodecSet()
    async with (
        tapped(client) as (client, wire),
        client.connect(codecs=codecs, **settings) as one,
        client.connect(codecs=codecs, **settings) as other,
    ):
        yield one, other, wire


@pytest.fixture
async def schema(connection: Any, anyio_backend_name: str) -> AsyncIterator[str]:
    """A schema of its own, gone when the test has ended."""
    name = f"first_{anyio_backend_name}"
    await connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
    yield name
    await connection.execute(f"DROP SCHEMA {name} CASCADE")


# Round trips


async def test_without_arguments_it_is_one(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        for call in (connection.fetch, connection.fetchrow, connection.fetchval, connection.query):
            with wire.said() as said:
                await call(f"SELECT 1, '{call.__name__}'::text")
            assert asked(said) == [ONE]
        with wire.said() as said:
            await connection.fetch("SELECT 1, 'fetch'::text")
        assert asked(said) == ["BES"]


async def test_with_arguments_it_is_two_unless_another_connection_knows(client: Client) -> None:
    query = "SELECT $1::int + 1, $2::text"
    async with two(client) as (one, other, wire):
        with wire.said() as said:
            assert await one.fetch(query, 1, "a") == [(2, "a")]
        assert asked(said) == TWO
        with wire.said() as said:
            assert await other.fetch(query, 2, "b") == [(3, "b")]
        assert asked(said) == [ONE]
        with wire.said() as said:
            assert await other.fetch(query, 3, "c") == [(4, "c")]
        assert asked(said) == ["BES"]


async def test_in_a_transaction_it_is_two_unless_another_connection_knows(client: Client) -> None:
    async with two(client) as (one, other, wire):
        with wire.said() as said:
            async with one.transaction():
                assert await one.fetchval("SELECT 7") == 7
        assert asked(said) == ["PBEPDS", "BES", "Q"]
        with wire.said() as said:
            async with other.transaction():
                assert await other.fetchval("SELECT 7") == 7
        assert asked(said) == ["PBEPDBES", "Q"]


async def test_a_pool_shares_what_is_known(client: Client) -> None:
    async with (
        tapped(client) as (client, wire),
        make_pool(client, 2, 2) as pool,
        pool.acquire() as one,
        pool.acquire() as other,
    ):
        await one.fetchval("SELECT $1::int", 1)
        with wire.said() as said:
            assert await other.fetchval("SELECT $1::int", 2) == 2
        assert asked(said) == [ONE]
        # The schema has changed, says somebody: nobody knows anything any more.
        await one.reload_schema_state()
        with wire.said() as said:
            assert await other.fetchval("SELECT $1::int", 2) == 2
        assert asked(said) == ["CPDS", "BES"]


@pytest.mark.parametrize("settings", [{"user": None}, {"server_settings": {"search_path": "pg_catalog"}}])
async def test_sessions_that_are_set_up_differently_share_nothing(client: Client, settings: dict[str, Any]) -> None:
    codecs = CodecSet()
    async with tapped(client) as (client, wire), client.connect(codecs=codecs) as one:
        await one.fetchval("SELECT $1::int", 1)
        if "user" in settings:
            await one.execute("DROP ROLE IF EXISTS somebody; CREATE ROLE somebody LOGIN SUPERUSER PASSWORD 'x'")
            settings = {"user": "somebody", "password": "x"}
        async with client.connect(codecs=codecs, **settings) as other:
            with wire.said() as said:
                assert await other.fetchval("SELECT $1::int", 2) == 2
            assert asked(said) == TWO
        if "user" in settings:
            await one.execute("DROP ROLE somebody")


# Names, and what is kept


async def names(connection: Any) -> list[str]:
    found = await connection.fetch(
        "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT %::int4' ORDER BY name"
    )
    return [row[0] for row in found]


async def test_what_is_evicted_is_closed(client: Client) -> None:
    async with client.connect(statement_cache_size=3) as connection:
        for number in range(10):
            assert await connection.fetchval(f"SELECT {number}::int4") == number
        assert len(await names(connection)) <= 3
        assert len(connection._frontend.statements) == 3


@pytest.mark.parametrize("settings", [{"statement_cache_size": 0}, {"max_cacheable_statement_size": 5}])
async def test_without_a_cache_they_have_no_names(client: Client, settings: dict[str, int]) -> None:
    async with tapped(client) as (client, wire), client.connect(**settings) as connection:
        with wire.said() as said:
            for _ in range(3):
                assert await connection.fetchval("SELECT 5::int4") == 5
        assert asked(said) == [ONE] * 3
        assert {message.statement for message in said.sent("P")} == {""}
        assert await names(connection) == []
        assert await connection.fetchval("SELECT $1::int4", 6) == 6
        with pytest.raises(client.InterfaceError, match="expects 1 argument"):
            await connection.fetchval("SELECT $1::int4")
        assert await connection.fetchval("SELECT '=r/postgres'::aclitem") == "=r/postgres"


# Values are those of a prepared statement


@pytest.fixture(scope="module")
def _user_types(postgres: Any) -> Any:
    async def execute(sql: str) -> None:
        async with ours("asyncio", postgres).connect() as connection:
            await connection.execute(sql)

    asyncio.run(execute(DDL))
    yield
    asyncio.run(execute(f"DROP SCHEMA {SCHEMA} CASCADE"))


def shout(text: str) -> str:
    return f"<{text}>"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def check_equal(connection: Any, query: str, *, may_fail: bool = False) -> None:
    """The same values from a first execution, the statement that it has left, and one that was prepared."""
    try:
        statement = await connection.prepare(query)
        expected = await statement.fetch()
    except Exception as error:
        if not may_fail:
            raise
        with pytest.raises(type(error)):
            await connection.fetch(query)
        return
    first = await connection.fetch(query)
    again = await connection.fetch(query)
    assert [[plain(value) for value in row] for row in first] == [[plain(value) for value in row] for row in expected]
    assert [[plain(value) for value in row] for row in again] == [[plain(value) for value in row] for row in expected]
    assert [list(row.keys()) for row in first] == [list(row.keys()) for row in expected]


@pytest.mark.parametrize("text_codecs", [False, True])
@pytest.mark.usefixtures("_user_types")
async def test_of_every_type(client: Client, text_codecs: bool) -> None:
    """With codecs of the user's as well, which are given the server's text in the session's own style."""
    settings = {"TimeZone": "Asia/Tokyo", "IntervalStyle": "iso_8601", "bytea_output": "escape"}
    names = [name for name, entry in TYPES.items() if entry.is_input and not name.startswith("_")]
    async with client.connect(server_settings=settings) as connection:
        if text_codecs:
            for name in ("int4", "numeric", "timestamptz", "interval", "bytea", "text", "float8", "bool", "jsonb"):
                await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=shout)
        for name in names:
            entry = TYPES[name]
            values = [value for value in list(examples(name))[:4] if value is not None]
            if client.server.version < 15 and name == "char":
                continue
            columns = [f"{quoted(entry.spell(value))}::{entry.sql}" for value in values]
            if columns:
                both = ", ".join(columns)
                await check_equal(connection, f"SELECT {both}, ARRAY[{both}] AS items, NULL::{entry.sql} AS none")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT '=r/postgres'::aclitem, 1",
        "SELECT ARRAY['=r/postgres'::aclitem], 1",
        "SELECT ROW(1, '=r/postgres'::aclitem), ROW(1, 2)",
        "SELECT ROW(ARRAY['=r/postgres'::aclitem])",
        "SELECT relacl, relname FROM pg_class ORDER BY oid LIMIT 20",
        "SELECT c FROM pg_class c ORDER BY oid LIMIT 5",
        "SELECT '{1,2}'::int[] AS a, '{}'::text[]",
        "SELECT '(1,2)'::point, '1'::money, 'a & b'::tsquery, '$.a'::jsonpath, pg_snapshot '10:20:10,14'",
        "SELECT 1 WHERE false",
        "SELECT '=r/postgres'::aclitem WHERE false",
        "SELECT",
        "SELECT FROM generate_series(1, 3)",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT n, n / 2.0 FROM generate_series(1, 3000) AS n",
        "SELECT 1 AS a, 2 AS a",
        "SHOW server_version",
        "EXPLAIN SELECT 1",
        "EXPLAIN (FORMAT json) SELECT 1",
        "-- nothing",
        "",
        ";",
        "SELECT 1;",
        "LISTEN a",
        "SET work_mem = '10MB'",
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "SELECT 1/0",
        "SELECT * FROM no_such_table",
        "SELECT no_such_function()",
        "SELECT 'abc'::int",
        "COPY (SELECT 1) TO STDOUT",
        "SELECT pg_sleep(0), void_function() FROM (SELECT 1) t(void_function)",
    ],
)
async def test_of_each_statement(client: Client, query: str) -> None:
    async with client.connect() as connection:
        await check_equal(connection, query, may_fail=True)
        assert await connection.fetchval("SELECT 42") == 42


async def test_a_value_that_only_the_server_understands(client: Client, connection: Any, schema: str) -> None:
    """It has no binary form that the server would take again: what only reads is executed once more."""
    await connection.execute(
        f"CREATE TABLE {schema}.t AS SELECT n AS a, n AS b FROM generate_series(1, 100) AS n;"
        f"CREATE STATISTICS {schema}.s (ndistinct) ON a, b FROM {schema}.t; ANALYZE {schema}.t"
    )
    query = "SELECT stxdndistinct FROM pg_statistic_ext_data WHERE stxdndistinct IS NOT NULL"
    async with client.connect() as fresh:
        assert await fresh.fetch(query) == [('{"1, 2": 100}',)]
        assert await fresh.fetchval(query) == '{"1, 2": 100}'
        async with fresh.transaction():
            assert await fresh.fetchval(query + " LIMIT 1") == '{"1, 2": 100}'


async def test_what_may_change_something_is_not_executed_once_more(
    client: Client, connection: Any, schema: str
) -> None:
    await connection.execute(
        f"CREATE TABLE {schema}.t AS SELECT n AS a, n AS b FROM generate_series(1, 100) AS n;"
        f"CREATE STATISTICS {schema}.s (ndistinct) ON a, b FROM {schema}.t; ANALYZE {schema}.t"
    )
    query = (
        f"WITH changed AS (UPDATE {schema}.t SET b = b + 1 RETURNING b) "
        "SELECT stxdndistinct FROM pg_statistic_ext_data WHERE stxdndistinct IS NOT NULL"
    )
    async with client.connect() as fresh:
        with pytest.raises(client.InvalidValueError, match=r"column 'stxdndistinct'.*cannot accept a value") as caught:
            await fresh.fetch(query)
        assert "next time" in caught.value.hint
        assert await connection.fetchval(f"SELECT max(b) FROM {schema}.t") == 101
        assert await fresh.fetchval(query) == '{"1, 2": 100}'
        assert await connection.fetchval(f"SELECT max(b) FROM {schema}.t") == 102


async def test_errors_say_the_same_as_of_a_prepared_statement(client: Client) -> None:
    async with client.connect() as connection:
        for query in ("SELECT 1 +", "SELECT %s", "SELECT 1; SELECT 2", "SELECT x", "SELECT 'a'::int", "SELECT \0"):
            errors = []
            for call in (connection.prepare, connection.fetch):
                with pytest.raises(Exception) as caught:
                    await call(query)
                errors.append(caught.value)
            told, expected = errors[1], errors[0]
            assert type(told) is type(expected)
            assert str(told) == str(expected)
            for name in ("query", "position", "hint", "detail"):
                assert getattr(told, name, None) == getattr(expected, name, None)


@pytest.mark.parametrize("args", [(), (1,), (1, 2, 3)])
async def test_too_few_or_too_many_arguments(client: Client, args: tuple[int, ...]) -> None:
    async with two(client) as (one, other, _):
        for connection in (one, other, one):
            with pytest.raises(client.InterfaceError, match=f"expects 2 arguments for this query, {len(args)} w"):
                await connection.fetch("SELECT $1::int, $2::int", *args)
        assert await other.fetchrow("SELECT $1::int, $2::int", 1, 2) == (1, 2)


async def test_types_of_users_and_extensions(client: Client, connection: Any, schema: str) -> None:
    await connection.execute(
        f"SET search_path = {schema}, public;"
        "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN few AS int CHECK (VALUE < 10);"
        "CREATE TYPE pair AS (a mood, b few); CREATE TYPE with_acl AS (a aclitem, b int);"
    )
    queries = [
        "SELECT 'good'::mood, '{good,NULL,bad}'::mood[], 3::few, ROW('bad', 4)::pair, ARRAY[ROW('bad', 4)::pair]",
        "SELECT ROW('=r/postgres', 1)::with_acl, ARRAY[ROW('=r/postgres', 1)::with_acl]",
        "SELECT 'good'::mood WHERE false",
        "SELECT NULL::mood, NULL::pair",
    ]
    available = "SELECT name FROM pg_available_extensions WHERE name = ANY($1::text[])"
    extensions = {
        "ltree": ["'a.b'::ltree", "'a.*'::lquery", "'{a,b.c}'::ltree[]"],
        "hstore": ["'a=>1, b=>NULL'::hstore"],
        "citext": ["'Abc'::citext", "'{A,b}'::citext[]"],
        "cube": ["'(1,2),(3,4)'::cube", "ARRAY['(1)'::cube, NULL]"],
        "isn": ["'978-0-11-000533-1'::isbn13"],
        "seg": ["'1 .. 2'::seg"],
        "intarray": ["'1&2'::query_int"],
    }
    there = [row[0] for row in await connection.fetch(available, list(extensions))]
    for name in there:
        await connection.execute(f"CREATE EXTENSION {name} SCHEMA {schema}")
        queries += [f"SELECT {value} AS value FROM generate_series(1, 3)" for value in extensions[name]]
        queries.append("SELECT " + ", ".join(extensions[name]))
    path = {"server_settings": {"search_path": f"{schema}, public"}}
    for query in queries:
        expected = None
        for prepared in (True, False):
            # Each on a connection that knows nothing.
            async with client.connect(**path) as fresh:
                if prepared:
                    expected = await (await fresh.prepare(query)).fetch()
                else:
                    assert await fresh.fetch(query) == expected
                    assert await fresh.fetch(query) == expected
    async with client.connect(**path) as fresh:
        await fresh.set_type_codec("mood", schema=schema, encoder=str, decoder=shout)
        if "ltree" in there:
            await fresh.set_type_codec("ltree", schema=schema, encoder=str, decoder=shout)
        for query in queries:
            await check_equal(fresh, query)


# Hints that are wrong


async def test_a_table_that_was_changed(client: Client, connection: Any, schema: str) -> None:
    changes = [
        f"ALTER TABLE {schema}.t ADD COLUMN d int DEFAULT 4",
        f"ALTER TABLE {schema}.t ALTER COLUMN a TYPE text",
        f"ALTER TABLE {schema}.t DROP COLUMN b",
        f"ALTER TABLE {schema}.t ALTER COLUMN c TYPE numeric USING 1.50",
        f"ALTER TABLE {schema}.t DROP COLUMN a, ADD COLUMN a uuid",
        f"DROP TABLE {schema}.t; CREATE TABLE {schema}.t (x aclitem); INSERT INTO {schema}.t VALUES ('=r/postgres')",
    ]
    query = f"SELECT * FROM {schema}.t"
    for inside in (False, True):
        await connection.execute(
            f"DROP TABLE IF EXISTS {schema}.t; CREATE TABLE {schema}.t (a int, b aclitem, c text);"
            f"INSERT INTO {schema}.t VALUES (1, '=r/postgres', 'x')"
        )
        for change in changes:
            codecs = CodecSet()
            async with client.connect(codecs=codecs) as one:
                await one.fetch(query)
            await connection.execute(change)
            async with client.connect() as fresh:
                expected = await (await fresh.prepare(query)).fetch()
            async with client.connect(codecs=codecs) as other:
                if inside:
                    try:
                        async with other.transaction():
                            assert await other.fetch(query) == expected
                    except (client.InvalidCachedStatementError, client.UndefinedFunctionError):
                        pass
                    async with other.transaction():
                        assert await other.fetch(query) == expected
                else:
                    assert await other.fetch(query) == expected
                assert await other.fetch(query) == expected


async def test_parameters_that_were_changed(client: Client, connection: Any, schema: str) -> None:
    table = f"{schema}.t"
    await connection.execute(f"CREATE TABLE {table} (id serial, a int); INSERT INTO {table} (a) VALUES (5)")
    codecs = CodecSet()
    select, insert = f"SELECT a FROM {table} WHERE a = $1", f"INSERT INTO {table} (a) VALUES ($1) RETURNING id, a"
    async with client.connect(codecs=codecs) as one:
        assert await one.fetchval(select, 5) == 5
        assert await one.fetchrow(insert, 6) == (2, 6)
        await connection.execute(f"ALTER TABLE {table} ALTER COLUMN a TYPE text")
        async with client.connect(codecs=codecs) as other:
            assert await other.fetchval(select, "5") == "5"
            assert await other.fetchrow(insert, "x") == (3, "x")
            with pytest.raises(client.DataError):
                await other.fetchval(select, 5)
        async with client.connect(codecs=codecs) as third, third.transaction():
            assert await third.fetchval(select, "5") == "5"
        assert [row[0] for row in await connection.fetch(f"SELECT a FROM {table} ORDER BY id")] == ["5", "6", "x"]


async def test_more_or_fewer_parameters(client: Client, connection: Any, schema: str) -> None:
    """Of a view's rule or the like nothing changes that; but of whoever puts a hint there."""
    codecs = CodecSet()
    async with client.connect(codecs=codecs) as one, client.connect(codecs=codecs) as other:
        await one.fetch("SELECT $1::int", 1)
        await one.fetch("SELECT 1")
        descriptions = one._frontend.descriptions
        fewer, more = descriptions.get("SELECT 1"), descriptions.get("SELECT $1::int")
        descriptions.put("SELECT $1::int + $2::int", more)
        descriptions.put("SELECT $1::int + 1", fewer)
        descriptions.put("SELECT 1 + 1", more)
        assert await other.fetchval("SELECT $1::int + $2::int", 1, 2) == 3
        assert await other.fetchval("SELECT $1::int + 1", 1) == 2
        assert await other.fetchval("SELECT 1 + 1") == 2


async def test_nothing_is_done_twice(client: Client, connection: Any, schema: str) -> None:
    table = f"{schema}.t"
    await connection.execute(f"CREATE TABLE {table} (id serial, acl aclitem); CREATE SEQUENCE {schema}.s")
    async with two(client) as (one, other, _):
        for number, user in enumerate((one, other), 1):
            query = f"INSERT INTO {table} (acl) VALUES ('=r/postgres') RETURNING acl"
            assert await user.fetchval(query) == "=r/postgres"
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == number
            assert await user.fetchval(f"SELECT nextval('{schema}.s')") == number


async def test_another_search_path(client: Client, connection: Any, schema: str) -> None:
    await connection.execute(
        f"CREATE TABLE {schema}.t (a int); INSERT INTO {schema}.t VALUES (1);"
        "CREATE TABLE public.t (a text, b int); INSERT INTO public.t VALUES ('x', 2)"
    )
    try:
        async with two(client) as (one, other, _):
            await one.execute(f"SET search_path = {schema}")
            await other.execute("SET search_path = public")
            for _ in range(2):
                assert await one.fetch("SELECT * FROM t") == [(1,)]
                assert await other.fetch("SELECT * FROM t") == [("x", 2)]
                assert await one.fetch("SELECT * FROM t WHERE a = $1", 1) == [(1,)]
                assert await other.fetch("SELECT * FROM t WHERE a = $1", "x") == [("x", 2)]
    finally:
        await connection.execute("DROP TABLE public.t")


async def test_codecs_and_classes_that_differ(client: Client) -> None:
    own: Any = type("Row", (client.Record,), {})
    query = "SELECT 1, 2.50::numeric"
    async with two(client) as (one, other, _):
        assert await one.fetch(query) == [(1, Decimal("2.50"))]
        await other.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=shout)
        assert await other.fetch(query) == [("<1>", Decimal("2.50"))]
        rows = await other.fetch("SELECT 1, 2", record_class=own)
        assert rows == [("<1>", "<2>")]
        assert type(rows[0]) is own
        assert type((await other.fetch("SELECT 1, 2"))[0]) is client.Record
        rows = await one.fetch("SELECT 1, 2", record_class=own)
        assert rows == [(1, 2)]
        assert type(rows[0]) is own
        await other.reset_type_codec("int4", schema="pg_catalog")
        assert await other.fetch(query) == [(1, Decimal("2.50"))]


# Together with others


async def test_tasks_with_new_statements_at_once(client: Client) -> None:
    async with client.connect() as connection:
        values = await at_once([lambda: connection.fetchval("SELECT 5")] * 50)
        assert values == [5] * 50
        values = await at_once([partial(connection.fetchval, f"SELECT {number} + 0") for number in range(50)])
        assert values == list(range(50))
        assert len(connection._frontend.statements) == 51


async def test_a_time_limit(client: Client) -> None:
    async with client.connect() as connection:
        with pytest.raises(TimeoutError):
            await connection.fetch("SELECT 1, pg_sleep(60)", timeout=0.05)
        assert await connection.fetchval("SELECT 2") == 2
        await connection.execute("SET statement_timeout = 50")
        with pytest.raises(client.QueryCanceledError):
            await connection.fetch("SELECT 3, pg_sleep(60)")
        await connection.execute("SET statement_timeout = 0")
        # The one that was cancelled by the client was closed, the other one is in the cache.
        kept = "SELECT statement FROM pg_prepared_statements WHERE statement ~ '^SELECT ., pg_sleep'"
        assert await connection.fetch(kept) == [("SELECT 3, pg_sleep(60)",)]


async def test_the_server_ends_the_session(client: Client) -> None:
    async with client.connect() as connection:
        with pytest.raises((client.ConnectionDoesNotExistError, client.AdminShutdownError)):
            await connection.fetch("SELECT 1, pg_terminate_backend(pg_backend_pid())")
        assert connection.is_closed()
