"""Types that change, that are called alike, or that not everybody sees: what was learned of them is only a hint."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pgsansio import CodecSet, TypeCodec
from pgsansio.errors import DataError, UndefinedFunctionError
from tests.support.clients import Client, ours
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

SCHEMA = "learning"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return (request.param, {})


@pytest.fixture
async def here(postgres: Server, anyio_backend_name: str) -> AsyncIterator[Client]:
    """Our client; there is an empty schema `learning`."""
    client = ours(anyio_backend_name, postgres)
    async with client.connect() as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
        yield client
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


@pytest.fixture
async def connections(here: Client) -> AsyncIterator[list[Any]]:
    """Three of them that share what they learn, as a pool's."""
    codecs = CodecSet()
    path = {"search_path": f"{SCHEMA}, public"}
    async with (
        here.connect(codecs=codecs, server_settings=path) as one,
        here.connect(codecs=codecs, server_settings=path) as two,
        here.connect(codecs=codecs, server_settings=path, statement_cache_size=0) as three,
    ):
        yield [one, two, three]


async def test_attributes_are_added_and_dropped(connections: list[Any]) -> None:
    one, *_ = connections
    await one.execute("CREATE TYPE pair AS (x int, y text)")
    values: list[tuple[Any, ...]] = [(1, "a"), (1, "a", 2.5), (1, 2.5), (1, 2)]
    changes = ["", "ADD ATTRIBUTE z float8", "DROP ATTRIBUTE y", "ALTER ATTRIBUTE z TYPE int"]
    rows = ["(1,'a')", "(1,'a',2.5)", "(1,2.5)", "(1,2)"]
    for change, value, row in zip(changes, values, rows, strict=True):
        if change:
            await one.execute(f"ALTER TYPE pair {change}")
        for connection in connections:
            # As a result that was planned before, as an argument, and as elements of both.
            assert await connection.fetchval(f"SELECT ROW{row}::pair") == value
            assert await connection.fetchval("SELECT $1::pair", value) == value
            assert await connection.fetchval("SELECT $1::pair[]", [value, None]) == [value, None]
            async with connection.transaction():
                assert await connection.fetch("SELECT ARRAY[$1::pair]", value) == [([value],)]
    (pair,) = await one.fetchval("SELECT ARRAY[ROW(1,2)::pair]")
    assert dict(pair) == {"x": 1, "z": 2}


async def test_the_same_statement_after_a_change(connections: list[Any]) -> None:
    one, *_ = connections
    await one.execute("CREATE TYPE pair AS (x int); CREATE TABLE pairs (p text, q text)")
    insert, select = (
        "INSERT INTO pairs VALUES ($1::pair::text, $2::pair[]::text)",
        "SELECT p::pair, q::pair[] FROM pairs",
    )
    for connection in connections:
        await connection.executemany(insert, [((1,), [(2,)]), (None, None)])
        assert await connection.fetch(select)
    await one.execute("TRUNCATE pairs; ALTER TYPE pair ADD ATTRIBUTE y text")
    for connection in connections:
        await connection.executemany(insert, [((1, "a"), [(2, "b")])])
        assert (await connection.fetch(select))[0] == ((1, "a"), [(2, "b")])
    await one.execute("TRUNCATE pairs; ALTER TYPE pair ALTER ATTRIBUTE x TYPE text")
    for connection in connections:
        # Nothing here shows that the attribute is no number any more: the server says it.
        with pytest.raises(DataError, match="str"):
            await connection.execute(insert, (1, "a"), None)
        await connection.executemany(insert, [(("1", "a"), [("2", "b")])])
        assert (await connection.fetch(select))[0] == (("1", "a"), [("2", "b")])


async def test_a_renamed_attribute(connections: list[Any]) -> None:
    one, two, _ = connections
    await one.execute("CREATE TYPE pair AS (x int)")
    assert dict(await one.fetchval("SELECT ROW(1)::pair")) == {"x": 1}
    await one.execute("ALTER TYPE pair RENAME ATTRIBUTE x TO renamed")
    # No value shows that: whoever changes the schema says so, on one connection for all.
    await two.reload_schema_state()
    for connection in connections:
        assert dict(await connection.fetchval("SELECT ROW(1)::pair")) == {"renamed": 1}


async def test_labels_are_added_to_an_enum(connections: list[Any]) -> None:
    one, *_ = connections
    await one.execute("CREATE TYPE mood AS ENUM ('good')")
    for connection in connections:
        assert await connection.fetchval("SELECT $1::mood", "good") == "good"
    await one.execute("ALTER TYPE mood ADD VALUE 'bad'; ALTER TYPE mood RENAME VALUE 'good' TO 'great'")
    for connection in connections:
        assert await connection.fetchval("SELECT $1::mood[]", ["bad", "great"]) == ["bad", "great"]


async def test_a_type_that_is_made_anew_under_its_name(here: Client) -> None:
    codecs = CodecSet([TypeCodec("mood", schema=SCHEMA, encoder=str.lower, decoder=str.upper)])
    async with here.connect(codecs=codecs) as one, here.connect(codecs=codecs) as two:
        for definition in ("ENUM ('good')", "ENUM ('bad', 'good')"):
            await one.execute(f"DROP TYPE IF EXISTS {SCHEMA}.mood; CREATE TYPE {SCHEMA}.mood AS {definition}")
            for connection in (one, two):
                assert await connection.fetchval(f"SELECT $1::{SCHEMA}.mood", "GOOD") == "GOOD"
                assert await connection.fetchval(f"SELECT ARRAY[$1::{SCHEMA}.mood]", "GOOD") == ["GOOD"]
        await one.execute(f"ALTER TYPE {SCHEMA}.mood RENAME TO temper; CREATE TYPE {SCHEMA}.mood AS ENUM ('good')")
        await two.set_type_codec("mood", schema=SCHEMA, encoder=str, decoder=lambda text: f"<{text}>")
        assert await two.fetchval(f"SELECT 'good'::{SCHEMA}.mood") == "<good>"
        assert await two.fetchval(f"SELECT 'good'::{SCHEMA}.temper") == "good"
        assert await one.fetchval(f"SELECT 'good'::{SCHEMA}.mood") == "GOOD"


async def test_types_of_the_same_name_in_two_schemas(here: Client) -> None:
    codecs = CodecSet()
    async with here.connect(codecs=codecs) as one, here.connect(codecs=codecs) as two:
        await one.execute(
            f"CREATE TYPE {SCHEMA}.thing AS (a int); DROP TYPE IF EXISTS public.thing;"
            "CREATE TYPE public.thing AS (b text)"
        )
        try:
            for _ in range(2):
                for path, value in ((SCHEMA, (1,)), ("public", ("x",))):
                    await one.execute(f"SET search_path = {path}")
                    await two.execute(f"SET search_path = {path}")
                    for connection in (one, two):
                        # The statement's text is the same, and the type is another one.
                        await connection.execute("DEALLOCATE ALL")
                        assert await connection.fetchval("SELECT $1::thing", value) == value
                        assert await connection.fetchval("SELECT ARRAY[$1::thing]", value) == [value]
        finally:
            await one.execute("DROP TYPE public.thing")


async def test_types_of_the_same_name_in_two_databases(here: Client) -> None:
    codecs = CodecSet()
    async with here.connect(codecs=codecs) as one:
        await one.execute("DROP DATABASE IF EXISTS learning_too")
        await one.execute("CREATE DATABASE learning_too")
        try:
            await one.execute(f"CREATE TYPE {SCHEMA}.thing AS (a int)")
            async with here.connect(codecs=codecs, database="learning_too") as two:
                await two.execute(f"CREATE SCHEMA {SCHEMA}; CREATE TYPE {SCHEMA}.thing AS (b text, c text)")
                for _ in range(2):
                    assert dict(await one.fetchval(f"SELECT ROW(1)::{SCHEMA}.thing")) == {"a": 1}
                    assert dict(await two.fetchval(f"SELECT ROW(1, 2)::{SCHEMA}.thing")) == {"b": "1", "c": "2"}
                assert one.type_catalog is not two.type_catalog
        finally:
            await one.execute("DROP DATABASE learning_too")


@pytest.mark.parametrize("settings", [{}, {"statement_cache_size": 0}])
@pytest.mark.parametrize("isolation", [None, "repeatable_read", "serializable"])
async def test_a_question_in_a_transaction(here: Client, isolation: str | None, settings: dict[str, Any]) -> None:
    async with here.connect(**settings) as connection:
        await connection.execute(f"CREATE TYPE {SCHEMA}.thing AS (a int)")
        for shared in (False, True):
            await connection.reload_schema_state()
            async with connection.transaction(isolation=isolation, shared=shared):
                await connection.execute(f"CREATE TYPE {SCHEMA}.mine AS (t {SCHEMA}.thing[])")
                assert await connection.fetchval(f"SELECT $1::{SCHEMA}.mine", ([(1,)],)) == ([(1,)],)
                assert await connection.fetchval(f"SELECT ROW(ROW(1)::{SCHEMA}.thing, 2)") == ((1,), 2)
                await connection.execute(f"DROP TYPE {SCHEMA}.mine")


async def test_a_type_that_a_snapshot_does_not_show(connections: list[Any]) -> None:
    one, two, three = connections
    async with one.transaction(isolation="repeatable_read"):
        await one.fetchval("SELECT 1")
        await two.execute("CREATE TYPE thing AS (a int)")
        # The parser sees the type, and a query for it does not.
        assert await one.fetchval("SELECT ARRAY[ROW(1)::thing]") in ("{(1)}", [(1,)])
        assert await one.fetchval("SELECT ROW(ROW(1)::thing, 2)") is not None
    for connection in (two, three, one):
        assert await connection.fetchval("SELECT ARRAY[ROW(1)::thing]") == [(1,)]
        assert await connection.fetchval("SELECT ROW(ROW(1)::thing, 2)") == ((1,), 2)


async def test_a_type_whose_making_was_rolled_back(connections: list[Any]) -> None:
    one, two, _ = connections
    await two.execute("CREATE TYPE thing AS (a int)")
    assert await two.fetchval("SELECT $1::thing", (1,)) == (1,)
    transaction = one.transaction()
    await transaction.start()
    await one.execute("DROP TYPE thing; CREATE TYPE thing AS (a text, b text)")
    assert await one.fetchval("SELECT $1::thing", ("x", "y")) == ("x", "y")
    await transaction.rollback()
    for connection in connections:
        assert await connection.fetchval("SELECT $1::thing", (1,)) == (1,)


async def test_a_role_that_may_not_use_the_schema(connections: list[Any]) -> None:
    one, two, _ = connections
    await one.execute("CREATE TYPE thing AS (a int); CREATE TABLE things AS SELECT ROW(1)::thing AS thing")
    await two.execute(
        f"DROP ROLE IF EXISTS learning_reader; CREATE ROLE learning_reader; GRANT SELECT ON things TO learning_reader;"
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO learning_reader"
    )
    try:
        await one.fetchval("SELECT 1 FROM things")
        await two.execute("SET ROLE learning_reader; SET search_path = pg_catalog")
        assert await two.fetchval(f"SELECT thing FROM {SCHEMA}.things") == (1,)
    finally:
        await two.execute("RESET ROLE; DROP OWNED BY learning_reader; DROP ROLE learning_reader")


async def test_records_that_the_server_cannot_send_in_binary(connections: list[Any]) -> None:
    one, *_ = connections
    await one.execute("CREATE FUNCTION call() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN nothing_like_it(); END'")
    for connection in connections:
        for _ in range(2):
            # aclitem has no binary form.
            (text, number) = await connection.fetchval("SELECT ROW((acldefault('r', 10))[1], 2)")
            assert (type(text), number) == (str, "2")
        with pytest.raises(UndefinedFunctionError, match="nothing_like_it"):
            await connection.fetchval("SELECT ROW(CASE WHEN $1 THEN call() ELSE 1 END)", True)
        # That was no reason to have text from now on.
        assert await connection.fetchval("SELECT ROW(CASE WHEN $1 THEN call() ELSE 1 END)", False) == (1,)
