"""Types that are asked for when they are met: arrays, composites, ranges, domains, enums."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from tests.support.clients import Client, at_once
from tests.support.pools import make_pool
from tests.support.statements import statements

pytestmark = [pytest.mark.anyio, pytest.mark.server]

TYPES = """
    CREATE TYPE pg_temp.mood AS ENUM ('sad', 'ok', '');
    CREATE DOMAIN pg_temp.positive AS int CHECK (value > 0);
    CREATE DOMAIN pg_temp.small AS pg_temp.positive CHECK (value < 10);
    CREATE TYPE pg_temp.days AS RANGE (subtype = date, multirange_type_name = pg_temp.many_days);
    CREATE TYPE pg_temp.part AS (n numeric, m pg_temp.positive[]);
    CREATE TYPE pg_temp.whole AS (p pg_temp.part[], s pg_temp.small, d pg_temp.days, e pg_temp.many_days);
"""


def questions(executed: list[str]) -> int:
    """How many of these statements ask the catalogue about types."""
    return sum("pg_type" in text for text in executed)


# how often it is asked


@pytest.mark.checklist("I-1")
async def test_all_unknown_types_of_a_statement_in_one_question(client: Client, connection: Any) -> None:
    await connection.execute(TYPES)
    query = "SELECT $1::pg_temp.whole AS w, $2::pg_temp.mood AS m, $3::pg_temp.days[] AS d, NULL::pg_temp.positive AS p"
    value = ([(Decimal("1.5"), [1, 2])], 5, client.Range(dt.date(2020, 1, 1), None), [])
    async with statements(client, connection) as executed:
        row = await connection.fetchrow(query, value, "ok", [])
        assert row == (value, "ok", [], None)
        assert await connection.fetchrow(query, value, "ok", []) == row
        assert await connection.fetchval("SELECT $1::pg_temp.whole", value) == value
    assert questions(executed) == 1


@pytest.mark.checklist("I-1")
async def test_nothing_is_asked_of_builtin_types(client: Client, connection: Any) -> None:
    async with statements(client, connection) as executed:
        await connection.fetchval("SELECT $1::int4", 1)
        await connection.fetchval("SELECT now(), '::1'::inet, '{}'::jsonb")
        await connection.fetchval("SELECT ROW(1, 'x'), '(1,2)'::point")
    assert len(executed) == 3


@pytest.mark.checklist("I-1")
@pytest.mark.differs(
    asyncpg="asks the catalogue about built-in arrays, ranges and multiranges: once on each connection.",
    ours="Nothing is asked about any built-in type.",
)
async def test_nothing_is_asked_of_any_builtin_type(client: Client, connection: Any) -> None:
    async with statements(client, connection) as executed:
        await connection.fetchval("SELECT '{[1,2)}'::int8multirange")
        await connection.fetchval("SELECT ARRAY['{[1,2)}']::nummultirange[]")
        await connection.fetchval("SELECT $1::int4[]", [1])
    assert len(executed) == 3


@pytest.mark.checklist("I-1")
@pytest.mark.differs(
    asyncpg="asks the catalogue with up to two more statements around the question, which switch the JIT off and on.",
    ours="One statement asks for all types that a query needs.",
)
async def test_nothing_but_one_question(client: Client, connection: Any) -> None:
    await connection.execute(TYPES)
    await connection.execute("SET jit = on")
    async with statements(client, connection) as executed:
        await connection.fetchrow("SELECT NULL::pg_temp.whole, NULL::pg_temp.mood, NULL::pg_temp.days[]")
    # Before the statement is executed, or behind it.
    assert sorted(questions([text]) for text in executed) == [0, 1]


@pytest.mark.checklist("I-5")
async def test_what_is_known_is_kept_until_it_is_forgotten(client: Client, connection: Any) -> None:
    await connection.execute(TYPES)
    async with statements(client, connection) as executed:
        for number in range(3):
            await connection.fetchval(f"SELECT {number}, NULL::pg_temp.part")
        await connection.reload_schema_state()
        for number in range(3):
            await connection.fetchval(f"SELECT {number}, NULL::pg_temp.part")
    assert questions(executed) == 2


@pytest.mark.checklist("I-5")
async def test_a_type_that_has_changed(client: Client, connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.part AS (a int)")
    assert await connection.fetchval("SELECT ROW(1)::pg_temp.part") == (1,)
    await connection.execute("ALTER TYPE pg_temp.part ADD ATTRIBUTE b text")
    await connection.reload_schema_state()
    value = await connection.fetchval("SELECT $1::pg_temp.part", (1, "x"))
    assert repr(value) == "<Record a=1 b='x'>"


@pytest.mark.checklist("I-5")
@pytest.mark.differs(
    asyncpg="raises `OutdatedSchemaCacheError` once a composite type has got another attribute.",
    ours="What contradicts the values that arrive is asked for again; nobody notices.",
)
async def test_a_type_that_has_changed_unnoticed(connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.part AS (a int)")
    assert await connection.fetchval("SELECT ROW(1)::pg_temp.part") == (1,)
    await connection.execute("ALTER TYPE pg_temp.part ADD ATTRIBUTE b text")
    assert await connection.fetchval("SELECT ROW(1, 'x')::pg_temp.part") == (1, "x")
    await connection.execute("ALTER TYPE pg_temp.part DROP ATTRIBUTE a")
    assert await connection.fetchval("SELECT $1::pg_temp.part", ("x",)) == ("x",)


@pytest.mark.checklist("I-3")
@pytest.mark.parametrize("size", [0, 1, 100])
async def test_whatever_the_statement_cache_holds(client: Client, size: int) -> None:
    async with client.connect(statement_cache_size=size) as connection:
        await connection.execute(TYPES)
        for _ in range(2):
            assert await connection.fetchval("SELECT $1::pg_temp.mood", "ok") == "ok"
            assert await connection.fetchval("SELECT $1::pg_temp.part", (1, [2])) == (1, [2])
            assert await connection.fetchval("SELECT ($1::pg_temp.part).n::text", {"n": 5}) == "5"
        await connection.executemany("SELECT $1::pg_temp.days", [[()], [None]])


@pytest.mark.checklist("I-3")
async def test_forgetting_while_types_are_asked_for(connection: Any) -> None:
    await connection.execute(TYPES)
    for _ in range(5):
        outcomes: list[Any] = await at_once(
            [lambda: connection.fetchval("SELECT '{}'::pg_temp.mood[]"), connection.reload_schema_state]
        )
        assert outcomes == [[], None]


@pytest.mark.checklist("I-3")
async def test_in_an_aborted_transaction(client: Client, connection: Any) -> None:
    await connection.execute(TYPES)
    transaction = connection.transaction()
    await transaction.start()
    with pytest.raises(client.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")
    with pytest.raises(client.InFailedSQLTransactionError):
        await connection.fetchval("SELECT NULL::pg_temp.mood")
    await transaction.rollback()
    assert await connection.fetchval("SELECT 'ok'::pg_temp.mood") == "ok"


@pytest.mark.checklist("I-1")
@pytest.mark.differs(
    asyncpg="asks again on every connection of a pool.",
    ours="All connections of a pool know what one of them has learned.",
)
async def test_a_pool_asks_once(client: Client, connection: Any) -> None:
    name = "types_of_a_pool"
    await connection.execute(f"CREATE TYPE {name} AS (a int)")
    try:
        async with make_pool(client, 2, 2) as pool, pool.acquire() as one, pool.acquire() as other:
            for asker, count in ((one, 1), (other, 0)):
                async with statements(client, asker) as executed:
                    assert await asker.fetchval(f"SELECT ROW(1)::{name}") == (1,)
                assert questions(executed) == count
    finally:
        await connection.execute(f"DROP TYPE {name}")


@pytest.mark.differs(
    asyncpg="cannot be told of types in advance.",
    ours="`load_types()` asks before the first query; what was learned can be exported, and given to a `CodecSet`.",
)
async def test_types_known_in_advance(client: Client, connection: Any) -> None:
    from pgsansio.codecs.codec_set import CodecSet

    name = "types_in_advance"
    await connection.execute(f"CREATE TYPE {name} AS ENUM ('a')")
    try:
        async with statements(client, connection) as executed:
            await connection.load_types(name)
            assert await connection.fetchval(f"SELECT 'a'::{name}") == "a"
        assert questions(executed) == 1
        known = CodecSet(types=connection.type_catalog.export())
        async with client.connect(codecs=known) as other:
            async with statements(client, other) as executed:
                assert await other.fetchval(f"SELECT 'a'::{name}") == "a"
            assert questions(executed) == 0
        with pytest.raises(ValueError, match=r"^unknown type: public\.nothing$"):
            await connection.load_types("nothing")
    finally:
        await connection.execute(f"DROP TYPE {name}")


# what is made of what is known


@pytest.mark.checklist("I-2")
@pytest.mark.parametrize(
    ("type_name", "values"),
    [
        ("pg_temp.mood", ["sad", ""]),
        ("pg_temp.mood[]", [["sad", None, ""], [["ok"], ["sad"]], []]),
        ("pg_temp.positive", [5]),
        ("pg_temp.small", [5]),
        ("pg_temp.small[]", [[5, None]]),
        ("pg_temp.part", [(Decimal("1.50"), [1, None]), (None, None)]),
        ("pg_temp.part[]", [[(Decimal(1), []), None]]),
        ("pg_temp.whole", [([(Decimal(1), [1])], 1, None, []), (None, None, None, None)]),
    ],
)
async def test_values_of_derived_types(client: Client, connection: Any, type_name: str, values: list[Any]) -> None:
    await connection.execute(TYPES)
    for value in values:
        assert await connection.fetchval(f"SELECT $1::{type_name}", value) == value


@pytest.mark.checklist("I-2")
async def test_ranges_and_multiranges(client: Client, connection: Any) -> None:
    await connection.execute(TYPES)
    day, later = dt.date(2020, 1, 1), dt.date(2020, 2, 1)
    one, other = client.Range(day, later), client.Range(later, None, lower_inc=False)
    assert await connection.fetchval("SELECT $1::pg_temp.days", one) == one
    assert await connection.fetchval("SELECT $1::pg_temp.days[]", [one, other, None]) == [one, other, None]
    assert await connection.fetchval("SELECT $1::pg_temp.many_days", [one, other]) == [one, other]
    assert await connection.fetchval("SELECT $1::pg_temp.many_days[]", [(one,), ()]) == [[one], []]


@pytest.mark.differs(
    asyncpg="refuses arrays of multiranges in the form in which it reads them.",
    ours="What was read can be sent back as it is.",
)
@pytest.mark.parametrize("text", ['{"{}"}', '{"{[1,2)}","{}",NULL}', '{{"{[1,2),[5,6)}"},{"{[7,8)}"}}'])
async def test_arrays_of_multiranges_as_they_were_read(connection: Any, text: str) -> None:
    read = await connection.fetchval("SELECT $1::text::int4multirange[]", text)
    assert await connection.fetchval("SELECT $1::int4multirange[]::text", read) == text


@pytest.mark.checklist("I-2")
async def test_rows_of_tables_skip_dropped_columns(connection: Any) -> None:
    await connection.execute("""
        CREATE TEMP TABLE t (a int, gone text, b text[], "odd name" date);
        ALTER TABLE t DROP COLUMN gone;
        INSERT INTO t VALUES (1, '{x}', '2020-01-02');
    """)
    row = await connection.fetchval("SELECT t FROM t")
    assert list(row.items()) == [("a", 1), ("b", ["x"]), ("odd name", dt.date(2020, 1, 2))]
    assert await connection.fetchval("SELECT array_agg(t) FROM t") == [row]
    await connection.execute("INSERT INTO t SELECT ($1::t).*", {"odd name": dt.date(2020, 1, 3), "a": 2})
    assert await connection.fetchval("SELECT $1::t", row) == row
    assert await connection.fetchval("SELECT count(*) FROM t WHERE b IS NULL") == 1


@pytest.mark.checklist("I-2")
@pytest.mark.differs(
    asyncpg="cannot read rows of `pg_range`, `pg_class` and the like: they have members in text.",
    ours="Rows of any table can be read as values, those of the catalogue, too.",
)
async def test_rows_of_the_catalogue(connection: Any) -> None:
    row = await connection.fetchval("SELECT r FROM pg_range AS r WHERE rngtypid = 'int4range'::regtype::oid")
    assert (row["rngsubtype"], type(row["rngcollation"])) == (23, int)


@pytest.mark.checklist("I-2", "I-4")
@pytest.mark.parametrize(
    "elements",
    [
        ["'a':1", "'b'"],
        ["'NULL'", None],
        [["'a'", None], ["'\"'", "'\\\\'"]],
        ["'{'", "'},'", "'a b'"],
        [],
        [[["'x'"]], [["'y'"]]],
    ],
    ids=str,
)
async def test_arrays_of_types_in_text(connection: Any, elements: list[Any]) -> None:
    read = await connection.fetchval("SELECT $1::tsvector[]", elements)
    assert read == elements
    # Lower bounds are dropped.
    assert await connection.fetchval("SELECT ('[5:6]=' || $1::text)::macaddr[]", "{08002b010203,NULL}") == [
        "08:00:2b:01:02:03",
        None,
    ]


@pytest.mark.checklist("I-4")
async def test_arrays_in_text_of_another_delimiter(client: Client, connection: Any) -> None:
    """`box` is the one built-in type whose arrays are delimited otherwise."""
    await connection.set_type_codec("box", schema="pg_catalog", encoder=str, decoder=str)
    value = ["(3,4),(1,2)", None, "(1,1),(0,0)"]
    assert await connection.fetchval("SELECT $1::box[]", value) == value
    assert await connection.fetchval("SELECT $1::box[]", [value[:1], value[2:]]) == [value[:1], value[2:]]
    assert await connection.fetchval("SELECT $1::box[]::text", value) == "{(3,4),(1,2);NULL;(1,1),(0,0)}"


@pytest.mark.checklist("I-4")
async def test_arrays_in_text_are_refused_as_others_are(client: Client, connection: Any) -> None:
    for value, told in (
        ("ab", "a sized iterable container expected"),
        ([["a"], ["b", "c"]], "non-homogeneous array"),
        ([5], "expected str, got int"),
        ([[[[[[["a"]]]]]]], r"number of array dimensions \(7\) exceed the maximum expected \(6\)"),
    ):
        with pytest.raises(client.DataError, match=told):
            await connection.fetchval("SELECT $1::tsvector[]", value)


@pytest.mark.checklist("I-2")
async def test_types_of_a_schema_in_front(client: Client, connection: Any) -> None:
    """Nobody's search_path changes what is known of a type."""
    await connection.execute(
        "CREATE SCHEMA enemy; CREATE TYPE enemy.mood AS (x int); CREATE TYPE pg_temp.mood AS ENUM ('a')"
    )
    try:
        assert await connection.fetchval("SELECT 'a'::pg_temp.mood") == "a"
        await connection.execute("SET search_path = enemy, pg_catalog")
        assert await connection.fetchval("SELECT ROW(1)::enemy.mood") == (1,)
        assert await connection.fetchval("SELECT 'a'::pg_temp.mood") == "a"
    finally:
        await connection.execute("DROP SCHEMA enemy CASCADE")
