"""The introspection's SQL on a real server.

What the tests make is made in a transaction and undone with it.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import asyncpg
import pytest

from pgsansio.codecs.introspection import (
    FIELDS,
    NAME_PARAMETER_OIDS,
    PARAMETER_OIDS,
    asked_oids,
    name_arguments,
    read_types,
    types_by_name,
    types_by_oid,
)
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.errors import ProtocolError
from tests.support.clients import Client, ours
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: jit_above_cost of a server as it comes.
JIT_ABOVE_COST = 100_000


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    """The SQL is the same on every loop."""
    return ("asyncio", {"use_uvloop": False})


class Asker:
    """A connection, and the two queries on it."""

    def __init__(self, connection: Any, version: int) -> None:
        self.connection = connection
        self.version = version

    async def rows(self, oids: Iterable[int]) -> list[Any]:
        rows: list[Any] = await self.connection.fetch(types_by_oid(self.version), list(oids))
        return rows

    async def oids(self, *names: str) -> list[int]:
        """The oids of these types, named as in SQL."""
        return [await self.connection.fetchval("SELECT $1::text::regtype::oid", name) for name in names]

    async def types(self, *names: str) -> list[TypeInfo]:
        """What is told of these types, named as in SQL, and of all that they are made of."""
        return read_types(await self.rows(await self.oids(*names)))

    async def one(self, name: str) -> TypeInfo:
        """What is told of this type."""
        (oid,) = await self.oids(name)
        return {info.oid: info for info in await self.types(name)}[oid]

    async def named(self, schema: str | None, name: str) -> tuple[list[TypeInfo], list[TypeInfo]]:
        """What is told of a type and all that it is made of, by its name; and of it alone."""
        rows = await self.connection.fetch(types_by_name(self.version), *name_arguments(schema, name))
        types, asked = read_types(rows), asked_oids(rows)
        return types, [info for info in types if info.oid in asked]


@pytest.fixture
async def ask(postgres: Server) -> AsyncIterator[Asker]:
    async with ours("asyncio", postgres).connect() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield Asker(connection, postgres.version)
        await transaction.rollback()


def names(infos: Iterable[TypeInfo]) -> list[str]:
    return sorted(info.name for info in infos)


def sorted_by_oid(infos: Iterable[TypeInfo]) -> list[TypeInfo]:
    return sorted(infos, key=lambda info: info.oid)


# What the statements are


@pytest.mark.parametrize(("by", "parameters"), [(types_by_oid, PARAMETER_OIDS), (types_by_name, NAME_PARAMETER_OIDS)])
async def test_parameters_and_columns_need_not_be_asked_for(
    ask: Asker, postgres: Server, by: Any, parameters: tuple[int, ...]
) -> None:
    async with Client(asyncpg, postgres).connect() as connection:
        statement = await connection.prepare(by(ask.version))
        assert tuple(type.oid for type in statement.get_parameters()) == parameters
        told = [(attribute.name, attribute.type.oid) for attribute in statement.get_attributes()]
        assert told == [(field.name, field.type_oid) for field in FIELDS]
    sizes = await ask.connection.fetch("SELECT oid::int8, typlen FROM pg_type")
    assert {field.type_oid: field.type_size for field in FIELDS}.items() <= dict(map(tuple, sizes)).items()


async def test_the_query_for_older_servers_runs_as_well(ask: Asker) -> None:
    await ask.connection.execute("CREATE TYPE r AS RANGE (subtype = text); CREATE TABLE t (a r[], b int)")
    rows = await ask.connection.fetch(types_by_oid(13), await ask.oids("t"))
    assert read_types(rows) == await ask.types("t")
    rows = await ask.connection.fetch(types_by_name(13), *name_arguments(None, "t[]"))
    assert names(read_types(rows)) == ["_r", "_t", "r", "t"]


@pytest.mark.parametrize("count", [1, 10, 1000])
async def test_the_planner_never_thinks_of_jit(ask: Asker, count: int) -> None:
    oids = await ask.connection.fetchval("SELECT array_agg(oid) FROM (SELECT oid FROM pg_type LIMIT $1) AS t", count)
    plans = [
        await ask.connection.fetchval(f"EXPLAIN (FORMAT json) {types_by_oid(ask.version)}", oids),
        await ask.connection.fetchval(f"EXPLAIN (FORMAT json) {types_by_name(ask.version)}", "x", "public", False),
        await ask.connection.fetchval(f"EXPLAIN (FORMAT json) {types_by_name(ask.version)}", "x", None, True),
    ]
    for plan in plans:
        cost = float(plan.split('"Total Cost":')[1].split(",")[0])
        # Measured: 2300 to 2800, on a fresh server as well as with 20,000 tables.
        assert 0 < cost < JIT_ABOVE_COST / 10


# What they tell


async def test_all_types_of_a_server_are_told_at_once(ask: Asker) -> None:
    rows = await ask.rows(await ask.connection.fetchval("SELECT array_agg(oid) FROM pg_type"))
    types = read_types(rows)
    catalog = TypeCatalog()
    catalog.learn(types)
    assert catalog.missing(asked_oids(rows)) == frozenset()
    assert catalog.find("pg_catalog", "pg_class") is not None
    assert catalog.find("information_schema", "sql_identifier") is not None
    assert catalog.find("information_schema", "sql_identifier[]") is not None


async def test_what_does_not_exist_gives_no_row(ask: Asker) -> None:
    assert await ask.rows([]) == []
    assert await ask.rows([0, 4_000_000_000]) == []
    assert await ask.named("public", "no such type") == ([], [])
    assert await ask.named(None, "no such type[]") == ([], [])
    assert await ask.named("no such schema", "int4") == ([], [])
    assert await ask.named("public", "x" * 100) == ([], [])


@pytest.mark.checklist("I-1", "I-2")
async def test_a_domain_over_a_composite_with_an_array_of_enums(ask: Asker) -> None:
    await ask.connection.execute("""
        CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TYPE pair AS (name text, "the moods" mood[], at timestamptz);
        CREATE DOMAIN checked AS pair CHECK ((value).name <> '');
        CREATE DOMAIN twice AS checked NOT NULL;
    """)
    types = await ask.types("twice[]")
    assert [info.name for info in types] == ["mood", "_mood", "pair", "checked", "twice", "_twice"]
    mood, moods, pair, checked, twice, array = types
    assert mood == TypeInfo(mood.oid, "mood", "public", "mood", TypeKind.ENUM)
    assert moods == TypeInfo(moods.oid, "_mood", "public", "mood[]", TypeKind.ARRAY, ",", mood.oid)
    assert (pair.kind, pair.attributes) == (
        TypeKind.COMPOSITE,
        (("name", 25), ("the moods", moods.oid), ("at", 1184)),
    )
    assert (checked.kind, checked.inner_oid) == (TypeKind.DOMAIN, pair.oid)
    assert (twice.kind, twice.inner_oid) == (TypeKind.DOMAIN, checked.oid)
    assert (array.kind, array.inner_oid) == (TypeKind.ARRAY, twice.oid)
    assert asked_oids(await ask.rows([array.oid, mood.oid])) == {array.oid, mood.oid}


async def test_types_of_the_same_name_in_two_schemas(ask: Asker) -> None:
    await ask.connection.execute("""
        CREATE SCHEMA one; CREATE TYPE one.thing AS ENUM ('a');
        CREATE SCHEMA two; CREATE TYPE two.thing AS (a one.thing[]);
    """)
    one, two = await ask.one("one.thing"), await ask.one("two.thing")
    assert (one.schema, one.name, one.kind, one.sql_name) == ("one", "thing", TypeKind.ENUM, "one.thing")
    assert (two.schema, two.name, two.kind) == ("two", "thing", TypeKind.COMPOSITE)
    assert (await ask.named("one", "thing"))[1] == [one]
    types, asked = await ask.named("two", "thing")
    assert asked == [two]
    assert [(info.schema, info.name) for info in types] == [("one", "thing"), ("one", "_thing"), ("two", "thing")]
    catalog = TypeCatalog()
    catalog.learn([*types, *await ask.types("one.thing[]", "two.thing[]")])
    for schema in ("one", "two"):
        (array,) = (await ask.named(schema, "thing[]"))[1]
        assert (array.kind, array.schema) == (TypeKind.ARRAY, schema)
        assert catalog.find(schema, "thing[]") == array
    assert catalog.find("public", "thing") is None


async def test_without_a_schema_a_name_means_what_it_means_to_the_session(ask: Asker) -> None:
    await ask.connection.execute("""
        CREATE SCHEMA one; CREATE TYPE one.thing AS ENUM ('a');
        CREATE SCHEMA two; CREATE TYPE two.thing AS ENUM ('b');
        CREATE SCHEMA three; CREATE TYPE three.thing AS ENUM ('c');
    """)
    assert await ask.named(None, "thing") == ([], [])
    await ask.connection.execute("SET LOCAL search_path = two, one")
    assert [info.schema for info in (await ask.named(None, "thing"))[1]] == ["two"]
    assert [info.schema for info in (await ask.named(None, "thing[]"))[1]] == ["two"]
    await ask.connection.execute("CREATE TEMP TABLE thing (a int)")
    (temporary,) = (await ask.named(None, "thing"))[1]
    assert (temporary.kind, temporary.schema[:8]) == (TypeKind.COMPOSITE, "pg_temp_")
    # Exactly so, and not as SQL reads it.
    assert await ask.named(None, "THING") == ([], [])


async def test_dropped_columns_and_the_row_types_of_tables(ask: Asker) -> None:
    await ask.connection.execute("""
        CREATE TYPE gone AS ENUM ('a');
        CREATE TABLE t (a int, b gone, c text, d int);
        ALTER TABLE t DROP COLUMN b, DROP COLUMN d;
        ALTER TABLE t ADD d date[];
    """)
    table = await ask.one("t")
    assert (table.kind, table.attributes) == (TypeKind.COMPOSITE, (("a", 23), ("c", 25), ("d", 1182)))
    assert names(await ask.types("t")) == ["t"]
    await ask.connection.execute("ALTER TABLE t DROP a, DROP c, DROP d")
    assert (await ask.one("t")).attributes == ()
    await ask.connection.execute(
        "CREATE VIEW v AS SELECT 1 AS n, NULL::t AS t; CREATE TABLE p (a v) PARTITION BY LIST (a)"
    )
    assert [info.name for info in await ask.types("p")] == ["t", "v", "p"]


async def test_the_row_types_of_the_catalogue_itself(ask: Asker) -> None:
    types = {info.name: info for info in await ask.types("pg_class", "pg_type", "pg_statistic", "pg_class[]")}
    assert set(types) == {"pg_class", "pg_type", "pg_statistic", "_pg_class"}
    assert dict(types["pg_class"].attributes)["relname"] == 19
    # relacl is an array of aclitem, which has no binary form.
    assert [types[name].has_binary for name in ("pg_class", "_pg_class", "pg_type", "pg_statistic")] == [False] * 3 + [
        True
    ]
    assert types["_pg_class"].inner_oid == 83


async def test_ranges_and_multiranges_of_users(ask: Asker) -> None:
    await ask.connection.execute("""
        CREATE TYPE step AS ENUM ('a', 'b');
        CREATE DOMAIN checked AS step;
        CREATE TYPE steps AS RANGE (subtype = checked, multirange_type_name = many_steps);
    """)
    types = await ask.types("many_steps[]")
    assert [info.name for info in types] == ["step", "checked", "steps", "many_steps", "_many_steps"]
    step, checked, steps, many, array = types
    assert [info.kind for info in types] == [
        *(TypeKind.ENUM, TypeKind.DOMAIN, TypeKind.RANGE, TypeKind.MULTIRANGE, TypeKind.ARRAY)
    ]
    assert (steps.inner_oid, many.inner_oid, array.inner_oid) == (checked.oid, steps.oid, many.oid)
    assert step.inner_oid == 0
    assert (await ask.named("public", "many_steps[]"))[1] == [array]


async def test_array_types_are_told_by_what_they_are_and_not_by_their_names(ask: Asker) -> None:
    await ask.connection.execute("""
        CREATE TYPE _mood AS ENUM ('none of mood');
        CREATE TYPE mood AS ENUM ('a');
        CREATE DOMAIN list AS mood[];
    """)
    (array,) = (await ask.named("public", "mood[]"))[1]
    # _mood_1 or, before 15, ___mood.
    assert (array.name.strip("_1"), array.kind) == ("mood", TypeKind.ARRAY)
    assert array.name not in ("_mood", "__mood")
    assert (await ask.one("mood[]")) == array
    assert (await ask.one("_mood")).kind is TypeKind.ENUM
    assert ((await ask.one("list")).kind, (await ask.one("list")).inner_oid) == (TypeKind.DOMAIN, array.oid)
    assert names(await ask.types("list")) == sorted([array.name, "list", "mood"])
    catalog = TypeCatalog()
    catalog.learn(await ask.types("list", "_mood"))
    found = catalog.find("public", "mood[]")
    assert found == array
    # The longest possible name: its array's is cut.
    await ask.connection.execute(f"CREATE TYPE {'x' * 63} AS ENUM ('a')")
    (array,) = (await ask.named("public", "x" * 63 + "[]"))[1]
    assert (array.name, array.kind) == ("_" + "x" * 62, TypeKind.ARRAY)


async def test_types_that_can_be_subscripted_are_no_arrays(ask: Asker) -> None:
    await ask.connection.execute("""
        CREATE TYPE shell;
        CREATE FUNCTION base_in(cstring) RETURNS shell LANGUAGE internal IMMUTABLE STRICT AS 'int2vectorin';
        CREATE FUNCTION base_out(shell) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int2vectorout';
    """)
    (shell,) = (await ask.named("public", "shell"))[1]
    assert (shell.kind, shell.has_binary, shell.inner_oid) == (TypeKind.PSEUDO, False, 0)
    await ask.connection.execute("""
        CREATE TYPE shell (INPUT = base_in, OUTPUT = base_out, INTERNALLENGTH = 16, ELEMENT = int2, DELIMITER = ';')
    """)
    base = await ask.one("shell")
    assert (base.kind, base.has_binary, base.inner_oid, base.delimiter) == (TypeKind.BASE, False, 0, ";")
    array = await ask.one("shell[]")
    assert (array.kind, array.has_binary, array.inner_oid, array.delimiter) == (TypeKind.ARRAY, False, base.oid, ";")


@pytest.mark.parametrize("extension", ["hstore", "citext", "ltree", "cube", "pg_stat_statements"])
async def test_types_of_extensions(ask: Asker, extension: str) -> None:
    available = await ask.connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = $1", extension)
    if not available:
        pytest.skip(f"this server has no {extension}")
    await ask.connection.execute(f"CREATE SCHEMA ext; CREATE EXTENSION {extension} SCHEMA ext")
    if extension == "pg_stat_statements":
        # A view: its row type belongs to the extension by way of the view.
        types = await ask.types("ext.pg_stat_statements[]")
        assert [info.kind for info in types] == [TypeKind.COMPOSITE, TypeKind.ARRAY]
        assert {(info.extension, info.schema) for info in types} == {(extension, "ext")}
        return
    await ask.connection.execute(f"CREATE DOMAIN own AS ext.{extension}; CREATE TYPE of AS (a ext.{extension}[])")
    types = {info.name: info for info in await ask.types("own", "of")}
    assert set(types) == {extension, f"_{extension}", "own", "of"}
    assert {name: info.extension for name, info in types.items()} == {
        extension: extension, f"_{extension}": extension, "own": "", "of": "",
    }  # fmt: skip
    assert types[extension].kind is TypeKind.BASE
    assert types[extension].schema == "ext"
    assert types[extension].has_binary


async def test_deep_types_take_one_query_too(ask: Asker) -> None:
    await ask.connection.execute("CREATE TYPE c0 AS (a int)")
    for number in range(1, 30):
        await ask.connection.execute(f"CREATE TYPE c{number} AS (a int, b c{number - 1}[])")
    types = await ask.types("c29")
    assert len(types) == 30 + 29
    catalog = TypeCatalog()
    catalog.learn(types)
    assert catalog.missing(await ask.oids("c29")) == frozenset()


async def test_a_damaged_catalogue_ends_in_an_error(ask: Asker) -> None:
    await ask.connection.execute("""
        SET LOCAL statement_timeout = '20s';
        CREATE DOMAIN d AS int; CREATE DOMAIN e AS d;
        UPDATE pg_type SET typbasetype = (SELECT oid FROM pg_type WHERE typname = 'e') WHERE typname = 'd';
    """)
    oids = await ask.connection.fetchval("SELECT array_agg(oid) FROM pg_type WHERE typname = 'e'")
    rows = await ask.rows(oids)
    assert len(rows) == 2
    with pytest.raises(ProtocolError, match="is made of itself"):
        read_types(rows)


# Who asks with a search_path of an enemy's


HOSTILE = """
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.hijacked() RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'hijacked'; END$$;
    CREATE FUNCTION evil.format_type(oid, int) RETURNS text LANGUAGE sql AS 'SELECT evil.hijacked()::pg_catalog.text';
    CREATE FUNCTION evil.unnest(oid[]) RETURNS SETOF oid
        LANGUAGE sql AS 'SELECT 1::pg_catalog.oid WHERE evil.hijacked()';
    CREATE FUNCTION evil.pg_type_is_visible(oid) RETURNS bool LANGUAGE sql AS 'SELECT evil.hijacked()';
    CREATE FUNCTION evil.array_in(int) RETURNS int LANGUAGE sql AS 'SELECT 1 WHERE evil.hijacked()';
    CREATE FUNCTION evil.step(text[], text) RETURNS text[]
        LANGUAGE sql AS 'SELECT NULL::pg_catalog.text[] WHERE evil.hijacked()';
    CREATE FUNCTION evil.step(oid[], oid) RETURNS oid[]
        LANGUAGE sql AS 'SELECT NULL::pg_catalog.oid[] WHERE evil.hijacked()';
    CREATE AGGREGATE evil.array_agg(text) (SFUNC = evil.step, STYPE = text[]);
    CREATE AGGREGATE evil.array_agg(oid) (SFUNC = evil.step, STYPE = oid[]);
    CREATE DOMAIN evil.text AS pg_catalog.int4 CHECK (evil.hijacked());
    CREATE DOMAIN evil.oid AS pg_catalog.int4 CHECK (evil.hijacked());
    CREATE DOMAIN evil.bool AS pg_catalog.int4 CHECK (evil.hijacked());
    CREATE DOMAIN evil.int2 AS pg_catalog.int4 CHECK (evil.hijacked());
    CREATE DOMAIN evil.regproc AS pg_catalog.int4 CHECK (evil.hijacked());
    CREATE DOMAIN evil.regclass AS pg_catalog.int4 CHECK (evil.hijacked());
    CREATE DOMAIN evil."char" AS pg_catalog.int4 CHECK (evil.hijacked());
"""

OPERANDS = [
    *(("oid", "oid"), ("regproc", "regproc"), ("regproc", "oid"), ("oid", "regclass"), ('"char"', '"char"')),
    *(("int2", "int2"), ("int2", "int4"), ("name", "text"), ("name", "name"), ("text", "text"), ("oid[]", "oid[]")),
]
TABLES = ["pg_type", "pg_attribute", "pg_range", "pg_namespace", "pg_depend", "pg_extension", "levels", "asked"]


async def test_a_hostile_search_path_changes_nothing(ask: Asker) -> None:
    execute = ask.connection.execute
    await execute("""
        CREATE TYPE mood AS ENUM ('a');
        CREATE TYPE moods AS RANGE (subtype = mood, multirange_type_name = many_moods);
        CREATE TABLE t (a mood[], b many_moods, c text);
        CREATE DOMAIN d AS t;
    """)
    oids = await ask.oids("d[]", "t[]", "int4", "pg_class")
    expected = read_types(await ask.rows(oids))
    cases = [(schema, name) for schema in (None, "public") for name in ("d[]", "moods")]
    by_name = [list(map(sorted_by_oid, await ask.named(*case))) for case in cases]

    await execute(HOSTILE)
    for number, (left, right) in enumerate(OPERANDS):
        left, right = f"pg_catalog.{left}", f"pg_catalog.{right}"
        await execute(f"""
            CREATE FUNCTION evil.compare{number}({left}, {right}) RETURNS pg_catalog.bool
            LANGUAGE sql AS 'SELECT evil.hijacked()'
        """)
        for operator in ("=", "<>", ">", "||"):
            arguments = f"FUNCTION = evil.compare{number}, LEFTARG = {left}, RIGHTARG = {right}"
            await execute(f"CREATE OPERATOR evil.{operator} ({arguments})")
    for table in TABLES:
        await execute(f"CREATE TABLE evil.{table} (oid pg_catalog.oid, typname pg_catalog.name)")
        await execute(f"CREATE TEMP TABLE {table} (oid pg_catalog.oid, typname pg_catalog.name)")
    await execute("SET LOCAL search_path = pg_temp, evil, pg_catalog, public")

    # The enemy is where he should be.
    for trap in ("1::pg_catalog.oid = 1::pg_catalog.oid", "format_type(1, 1) = ''", "1::regclass = 1"):
        with pytest.raises(Exception, match="hijacked"):
            async with ask.connection.transaction():
                await ask.connection.fetch(f"SELECT {trap}")
    assert await ask.connection.fetch("SELECT typname FROM pg_type") == []

    assert sorted_by_oid(read_types(await ask.rows(oids))) == sorted_by_oid(expected)
    assert [list(map(sorted_by_oid, await ask.named(*case))) for case in cases] == by_name
