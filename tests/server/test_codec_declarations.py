"""Codecs that are declared by name: for connections, pools and single queries."""

import collections
import dataclasses
import datetime as dt
import enum
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pgsansio import CodecSet, CompositeCodec, EnumCodec, TypeCodec, json_codecs
from tests.support.clients import Client
from tests.support.pools import make_pool
from tests.support.statements import statements

pytestmark = [pytest.mark.anyio, pytest.mark.server]


class Mood(enum.Enum):
    SAD = "sad"
    HAPPY = "happy"


@dataclasses.dataclass
class Address:
    street: str
    number: int | None = None


SCHEMA = "codec_declarations"
CODECS_PAGE = Path(__file__).parents[2] / "docs" / "codecs.md"

MOOD = EnumCodec("mood", Mood, schema=SCHEMA)
ADDRESS = CompositeCodec("address", Address, schema=SCHEMA)
HOME = Address("Main Street", 7)


def octal(typename: str = "int4", schema: str = "pg_catalog") -> TypeCodec:
    """Numbers as text to the base of 8."""
    return TypeCodec(
        typename, schema=schema, encoder=lambda text: str(int(text, 8)), decoder=lambda text: f"{int(text):o}"
    )


@pytest.fixture
async def schema(connection: Any) -> AsyncIterator[str]:
    """A schema with some types in it."""
    await connection.execute(f"""
        CREATE SCHEMA {SCHEMA};
        SET search_path = {SCHEMA};
        CREATE TYPE mood AS ENUM ('sad', 'happy');
        CREATE TYPE address AS (street text, number int4);
        CREATE DOMAIN positive AS int4 CHECK (value > 0);
        CREATE TYPE numbers AS RANGE (subtype = int4, multirange_type_name = many_numbers);
        CREATE TYPE person AS (name text, home address, moods mood[], hardware macaddr, numbers numbers, age positive);
        RESET search_path;
    """)
    yield SCHEMA
    await connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


# Where they hold


@pytest.mark.differs(
    asyncpg="sets codecs on a connection that is open, with a question for each type.",
    ours="`connect(codecs=...)` takes declarations, by name, before there is a connection.",
)
async def test_of_a_connection(client: Client, schema: str) -> None:
    async with client.connect(codecs=[MOOD, ADDRESS, octal()]) as connection:
        async with statements(client, connection) as executed:
            assert await connection.fetchval(f"SELECT $1::{schema}.mood", Mood.HAPPY) is Mood.HAPPY
            home = await connection.fetchval(f"SELECT ROW('Main Street', 7)::{schema}.address")
        assert home == Address("Main Street", "7")  # type: ignore[arg-type]
        # One question for each statement that met an unknown type, none for the declarations.
        assert sum("pg_type" in text for text in executed) == 2
        assert await connection.fetchval("SELECT 8") == "10"
        connection.declare_codecs(TypeCodec("int4", schema="pg_catalog", encoder=str, decoder=float))
        assert await connection.fetchval("SELECT 8") == 8.0
        # What the connection sets itself counts more, and goes away again.
        await connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=str)
        assert await connection.fetchval("SELECT 8") == "8"
        await connection.reset_type_codec("int4", schema="pg_catalog")
        assert await connection.fetchval("SELECT 8") == 8.0
        await connection.reset()
        assert await connection.fetchval("SELECT 8") == 8.0


@pytest.mark.differs(
    asyncpg="sets codecs on one connection only: a pool's `init` has to repeat them.",
    ours="`create_pool(codecs=...)` holds for every connection of the pool, and costs it nothing.",
)
async def test_of_a_pool(client: Client, schema: str) -> None:
    async with make_pool(client, 2, 2, codecs=[MOOD], json="json") as pool:
        async with pool.acquire() as one, pool.acquire() as other:
            for connection in (one, other):
                assert await connection.fetchval(f"SELECT $1::{schema}.mood[]", [Mood.SAD, None]) == [Mood.SAD, None]
                assert await connection.fetchval("SELECT $1::jsonb", {"a": [1]}) == {"a": [1]}
            await one.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=str)
            assert await one.fetchval("SELECT '[1]'::jsonb") == "[1]"
            assert await other.fetchval("SELECT '[1]'::jsonb") == [1]
        assert await pool.fetchval(f"SELECT 'sad'::{schema}.mood") is Mood.SAD
        assert (
            await pool.fetchval(f"SELECT 'sad'::{schema}.mood", codecs=[EnumCodec("mood", Other, schema=schema)])
            is Other.UNWELL
        )


class Other(enum.Enum):
    UNWELL = "sad"
    WELL = "happy"


@pytest.mark.differs(
    asyncpg="cannot change the codecs of connections that a pool holds.",
    ours="`pool.codecs.declare()` is at once in force, also on open connections, and `retract()` takes it back.",
)
async def test_declaring_later_on(client: Client, schema: str) -> None:
    query = f"SELECT 'sad'::{schema}.mood, ARRAY['happy']::{schema}.mood[]"
    async with make_pool(client, 2, 2) as pool, pool.acquire() as one, pool.acquire() as other:
        assert await one.fetchrow(query) == await other.fetchrow(query) == ("sad", ["happy"])
        pool.codecs.declare(MOOD)
        assert await one.fetchrow(query) == await other.fetchrow(query) == (Mood.SAD, [Mood.HAPPY])
        pool.codecs.declare(EnumCodec("mood", Other, schema=schema))
        assert await other.fetchrow(query) == (Other.UNWELL, [Other.WELL])
        pool.codecs.retract("mood", schema)
        assert await one.fetchrow(query) == await other.fetchrow(query) == ("sad", ["happy"])


@pytest.mark.differs(
    asyncpg="forgets what it knows of types on one connection only.",
    ours="`pool.codecs.forget_types()` and any connection's `reload_schema_state()` do so for the whole pool.",
)
async def test_forgetting_types(client: Client, schema: str, connection: Any) -> None:
    query = f"SELECT ROW('x', 1)::{schema}.address, 'sad'::{schema}.mood"
    async with make_pool(client, 2, 2) as pool, pool.acquire() as one, pool.acquire() as other:
        for forget in (None, pool.codecs.forget_types, one.reload_schema_state):
            if forget is not None and (waiting := forget()) is not None:
                await waiting
            for asker, questions in ((other, 1), (one, 0)):
                async with statements(client, asker) as executed:
                    assert await asker.fetchrow(query) == (("x", 1), "sad")
                assert sum("pg_type" in text for text in executed) == questions


@pytest.mark.differs(
    asyncpg="keeps codecs and what is known of types on each connection.",
    ours="A `CodecSet` can be shared by several pools and connections.",
)
async def test_a_set_for_two_pools(client: Client, schema: str) -> None:
    shared = CodecSet([MOOD, *json_codecs("json")])
    query = f"SELECT 'sad'::{schema}.mood, '[1]'::json"
    async with make_pool(client, codecs=shared) as one, make_pool(client, codecs=shared) as other:
        assert one.codecs is other.codecs is shared
        async with one.acquire() as first, other.acquire() as second:
            for connection, questions in ((first, 1), (second, 0)):
                async with statements(client, connection) as executed:
                    assert await connection.fetchrow(query) == (Mood.SAD, [1])
                assert sum("pg_type" in text for text in executed) == questions
        shared.declare(octal())
        assert await one.fetchval("SELECT 8") == await other.fetchval("SELECT 8") == "10"
    async with client.connect(codecs=shared) as connection:
        assert await connection.fetchval("SELECT 8") == "10"
    with pytest.raises(client.InterfaceError, match="cannot be combined with a CodecSet"):
        async with client.connect(codecs=shared, json="json"):
            pass


@pytest.mark.differs(
    asyncpg="has no codecs for single queries.",
    ours="`fetch(..., codecs=...)` and its kin take codecs for this query alone.",
)
async def test_of_a_single_query(client: Client, schema: str) -> None:
    async with client.connect(codecs=[MOOD]) as connection:
        query = f"SELECT $1::int4 AS n, 'sad'::{schema}.mood AS m"
        assert await connection.fetchrow(query, 8) == (8, Mood.SAD)
        for _ in range(2):
            assert await connection.fetchrow(query, "10", codecs=[octal()]) == ("10", Mood.SAD)
            assert await connection.fetch(query, "10", codecs=[octal()]) == [("10", Mood.SAD)]
            assert await connection.fetchval(query, "10", codecs=(octal(),)) == "10"
        assert await connection.fetchrow(query, 8) == (8, Mood.SAD)
        await connection.execute("CREATE TEMP TABLE t (n int4)")
        await connection.execute("INSERT INTO t VALUES ($1)", "10", codecs=[octal()])
        await connection.executemany("INSERT INTO t VALUES ($1)", [("11",), ("12",)], codecs=[octal()])
        assert await connection.fetchval("SELECT array_agg(n ORDER BY n) FROM t") == [8, 9, 10]


@pytest.mark.differs(
    asyncpg="finds a type by its schema alone.",
    ours="`schema=None` declares a codec for the types of a name in any schema.",
)
async def test_of_any_schema(client: Client, schema: str) -> None:
    async with client.connect(codecs=[EnumCodec("mood", Mood, schema=None)]) as connection:
        await connection.execute("CREATE TYPE pg_temp.mood AS ENUM ('happy')")
        row = await connection.fetchrow(f"SELECT 'sad'::{schema}.mood AS a, ARRAY['happy']::pg_temp.mood[] AS b")
        assert row == (Mood.SAD, [Mood.HAPPY])


@pytest.mark.differs(
    asyncpg="shares nothing among databases.", ours="What is shared by name is kept apart by database: oids never mix."
)
async def test_a_set_for_two_databases(client: Client, schema: str, connection: Any) -> None:
    other_name = "codec_declarations_other"
    await connection.execute(f"CREATE DATABASE {other_name}")
    shared = CodecSet([MOOD])
    try:
        async with (
            client.connect(codecs=shared) as here,
            client.connect(codecs=shared, database=other_name) as there,
        ):
            await there.execute(f"CREATE SCHEMA {schema}; CREATE TYPE {schema}.mood AS ENUM ('happy')")
            await there.execute(f"CREATE TYPE {schema}.address AS (town text)")
            for _ in range(2):
                assert await here.fetchval(f"SELECT 'sad'::{schema}.mood") is Mood.SAD
                assert await there.fetchval(f"SELECT 'happy'::{schema}.mood") is Mood.HAPPY
                assert (
                    repr(await here.fetchval(f"SELECT ROW('x', 1)::{schema}.address")) == "<Record street='x' number=1>"
                )
                assert repr(await there.fetchval(f"SELECT ROW('x')::{schema}.address")) == "<Record town='x'>"
            assert here.type_catalog is not there.type_catalog
    finally:
        await connection.execute(f"DROP DATABASE {other_name} WITH (FORCE)")


# Classes


@pytest.mark.differs(asyncpg="reads enums as `str`.", ours="`EnumCodec` reads and accepts members of an `enum.Enum`.")
async def test_enums(client: Client, schema: str, connection: Any) -> None:
    async with client.connect(codecs=[MOOD]) as ours:
        for value in (Mood.SAD, "sad"):
            assert await ours.fetchval(f"SELECT $1::{schema}.mood", value) is Mood.SAD
        assert await ours.fetchval(f"SELECT ROW($1::{schema}.mood, 1)", Mood.SAD) == (Mood.SAD, 1)
        for wrong in (5, Other.WELL):
            with pytest.raises(client.DataError, match="expected Mood or str"):
                await ours.fetchval(f"SELECT $1::{schema}.mood", wrong)
        await connection.execute(f"ALTER TYPE {schema}.mood ADD VALUE 'angry'")
        with pytest.raises(ValueError, match="'angry' is not a label of Mood") as caught:
            await ours.fetchval(f"SELECT 'angry'::{schema}.mood")
        assert isinstance(caught.value, client.DataError)
        assert await ours.fetchval("SELECT 1") == 1


class Pair(NamedTuple):
    street: str
    number: int


class Attribute(NamedTuple):
    name: str
    alias: str
    init: bool = True
    default: Any = None


class LikeAttrs:
    """As attrs makes a class."""

    __attrs_attrs__ = (Attribute("_street", "street"), Attribute("number", "number"))

    def __init__(self, street: str, number: int | None) -> None:
        self._street = street
        self.number = number

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    __hash__ = object.__hash__


class Plain:
    def __init__(self, *, road: str, no: int | None = None) -> None:
        self.road = road
        self.no = no

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    __hash__ = object.__hash__


@pytest.mark.differs(
    asyncpg="reads composite types as `Record`.",
    ours="`CompositeCodec` makes instances of a dataclass, an attrs class, a `NamedTuple` or any other class.",
)
@pytest.mark.parametrize(
    ("cls", "value", "fields"),
    [
        (Address, Address("x", 1), None),
        (Pair, Pair("x", 1), None),
        (LikeAttrs, LikeAttrs("x", None), None),
        (Plain, Plain(road="x", no=1), {"street": "road", "number": "no"}),
    ],
    ids=lambda item: item.__name__ if isinstance(item, type) else "",
)
async def test_composite_types(client: Client, schema: str, cls: type[Any], value: Any, fields: Any) -> None:
    declared = CompositeCodec("address", cls, schema=schema, fields=fields)
    async with client.connect(codecs=[declared]) as connection:
        read = await connection.fetchval(f"SELECT $1::{schema}.address", value)
        assert (type(read), read) == (cls, value)
        values = await connection.fetchval(f"SELECT $1::{schema}.address[]", [value, None, ("x", 2), {"street": "y"}])
        assert (values[0], values[1], [type(item) for item in values[2:]]) == (value, None, [cls, cls])


@pytest.mark.differs(
    asyncpg="knows no classes for composite types.",
    ours="A class that does not fit its type is an `InterfaceError` that names the attribute.",
)
async def test_classes_that_do_not_fit(client: Client, schema: str) -> None:
    @dataclasses.dataclass
    class Street:
        street: str

    declared = CompositeCodec("address", Street, schema=schema)
    async with client.connect(codecs=[declared]) as connection:
        for _ in range(2):
            with pytest.raises(client.InterfaceError, match="there is no field for the attribute 'number'"):
                await connection.fetchval(f"SELECT NULL::{schema}.address")
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="does not parse JSON.", ours="`json=` names the library that reads and writes `json` and `jsonb`."
)
@pytest.mark.parametrize(
    "argument",
    ["json", json, (json.dumps, json.loads), [lambda value: json.dumps(value).encode(), json.loads]],
    ids=["name", "module", "pair", "bytes"],
)
async def test_json(client: Client, schema: str, argument: object) -> None:
    async with client.connect(json=argument) as connection:
        for value in ({"a": [1, 2.5, "é", None]}, [], "text", 5, False):
            for type_name in ("json", "jsonb"):
                read = await connection.fetchval(f"SELECT $1::{type_name}", value)
                assert (type(read), read) == (type(value), value)
        assert await connection.fetchval("SELECT $1::jsonb IS NULL", None) is True
        assert await connection.fetchval("SELECT 'null'::jsonb") is None
        documents: list[Any] = [{"a": 1}, 5, None]
        assert await connection.fetchval("SELECT $1::jsonb[]", documents) == documents
        assert await connection.fetchval("SELECT ROW($1::jsonb, $2::json)", {"a": 1}, 5) == ({"a": 1}, 5)
        with pytest.raises(client.DataError, match=r"invalid input for query argument \$1"):
            await connection.fetchval("SELECT $1::json", {1, 2})


@pytest.mark.differs(
    asyncpg="does not parse JSON.", ours="JSON's numbers can be read exactly: a pair of functions says how."
)
async def test_json_with_exact_numbers(client: Client) -> None:
    def loads(text: str) -> Any:
        return json.loads(text, parse_float=Decimal)

    async with client.connect(json=(json.dumps, loads)) as connection:
        assert await connection.fetchval("""SELECT '{"a": 1.10}'::json""") == {"a": Decimal("1.10")}


# Codecs of what is made of others


@pytest.mark.checklist("K-3")
@pytest.mark.differs(
    asyncpg="refuses codecs of arrays and ranges, and those of domains.",
    ours="Arrays, ranges, multiranges and domains may have codecs of their own, which see the whole value.",
)
@pytest.mark.parametrize(
    ("typename", "sql", "value"),
    [
        ("int4[]", "{1,NULL,3}", "{1,NULL,3}"),
        ("numbers", "[1,5)", "[1,5)"),
        ("many_numbers", "{[1,5)}", "{[1,5)}"),
        ("positive[]", "{5}", "{5}"),
    ],
)
async def test_codecs_of_containers_themselves(
    client: Client, schema: str, typename: str, sql: str, value: str
) -> None:
    builtin = typename.startswith("int4")
    type_schema = "pg_catalog" if builtin else schema
    declared = TypeCodec(
        typename, schema=type_schema, encoder=lambda pair: pair[1], decoder=lambda text: ("text", text)
    )
    async with client.connect(codecs=[declared]) as connection:
        query = f"SELECT $1::{type_schema}.{typename}"
        assert await connection.fetchval(query, ("text", sql)) == ("text", value)
        assert await connection.fetchval(f"SELECT '{sql}'::{type_schema}.{typename}") == ("text", value)
        assert await connection.fetchval(query, None) is None
        # The elements have none.
        assert await connection.fetchval("SELECT 5") == 5
    async with client.connect() as connection:
        name = typename if not builtin else "_int4"
        if "[]" not in name:
            await connection.set_type_codec(
                name, schema=type_schema, encoder=declared.encoder, decoder=declared.decoder, format="text"
            )
            assert await connection.fetchval(query, ("text", sql)) == ("text", value)


@pytest.mark.checklist("K-3")
@pytest.mark.differs(
    asyncpg="refuses codecs of domains.",
    ours="A domain may have another codec than its base type, and they do not mix.",
)
async def test_a_domain_and_its_base_type(client: Client, schema: str) -> None:
    async with client.connect() as connection:
        await connection.set_type_codec("positive", schema=schema, encoder=str, decoder=lambda text: f"<{text}>")
        await connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=lambda text: f"({text})")
        # A domain comes out of a query as its base type, except inside of something.
        row = await connection.fetchrow(
            f"SELECT ARRAY[5]::{schema}.positive[] AS a, ARRAY[5] AS b, $1::{schema}.positive AS c", 5
        )
        assert (row["a"], row["b"], row["c"]) == (["<5>"], ["(5)"], "(5)")
        assert await connection.fetchval(f"SELECT ROW(5::{schema}.positive, 5)") == ("<5>", "(5)")
        person = await connection.fetchval(f"SELECT ROW('x', ('y', 5), NULL, NULL, '[1,2)', 5)::{schema}.person")
        assert (person["age"], person["home"]["number"], person["numbers"].lower) == ("<5>", "(5)", "(1)")


@pytest.mark.differs(
    asyncpg="refuses codecs of arrays.", ours="An array type may have another codec than its elements."
)
async def test_an_array_and_its_elements(client: Client) -> None:
    array = TypeCodec("int4[]", schema="pg_catalog", encoder=str, decoder=lambda text: f"<{text}>")
    async with client.connect(codecs=[array, octal()]) as connection:
        row = await connection.fetchrow("SELECT ARRAY[8] AS a, 8 AS b, ROW(ARRAY[8], 8, ROW(ARRAY[8]))")
        assert row == ("<{8}>", "10", ("<{8}>", "10", ("<{8}>",)))
        assert await connection.fetchval("SELECT $1::int4[]", "{8}") == "<{8}>"


#: In which formats the parts of what is made of others have their codecs.
MIXTURES = {
    "text": ["text", "text"],
    "binary": ["binary", "binary"],
    "mixed": ["text", "binary"],
    "mixed the other way": ["binary", "text"],
}


def tagged(typename: str, exchange: str) -> TypeCodec:
    """Changes nothing but puts a tag around."""
    return TypeCodec(
        typename,
        schema="pg_catalog",
        encoder=lambda pair: pair[1],
        decoder=lambda data: (typename, data),
        format=exchange,  # type: ignore[arg-type]
    )


@pytest.mark.differs(
    asyncpg="cannot use a text codec in a composite type or a range.",
    ours="Codecs in text and in binary may be mixed in whatever is made of them.",
)
@pytest.mark.parametrize("mixture", MIXTURES)
async def test_mixed_formats(client: Client, schema: str, mixture: str) -> None:
    of_int, of_text = MIXTURES[mixture]
    number = ("int4", "7" if of_int == "text" else b"\0\0\0\7")
    street = ("text", "x" if of_text == "text" else b"x")
    lower, upper = (
        (("int4", "1"), ("int4", "9")) if of_int == "text" else (("int4", b"\0\0\0\1"), ("int4", b"\0\0\0\t"))
    )
    async with client.connect(codecs=[tagged("int4", of_int), tagged("text", of_text)]) as connection:
        address = (street, number)
        assert await connection.fetchval(f"SELECT $1::{schema}.address", address) == address
        assert await connection.fetchval(f"SELECT $1::{schema}.address[]", [address, None]) == [address, None]
        assert await connection.fetchval("SELECT $1::int4[]", [number, None]) == [number, None]
        numbers = client.Range(lower, upper)
        assert await connection.fetchval(f"SELECT $1::{schema}.numbers", numbers) == numbers
        assert await connection.fetchval(f"SELECT $1::{schema}.many_numbers", [numbers]) == [numbers]
        assert await connection.fetchval(f"SELECT $1::{schema}.positive[]", [number]) == [number]
        person = (street, address, ["sad"], "08:00:2b:01:02:03", numbers, number)
        assert await connection.fetchval(f"SELECT $1::{schema}.person", person) == person
        assert await connection.fetchval(f"SELECT ROW($1::{schema}.address, $2::int4)", address, number) == (
            address,
            number,
        )


@pytest.mark.differs(
    asyncpg="does not support text in composite types at all.",
    ours="Only where no format suits all parts (a binary codec beside a type that has no binary form), an "
    "`UnsupportedClientFeatureError` says which part it is.",
)
async def test_where_no_format_suits(client: Client, schema: str, connection: Any) -> None:
    await connection.execute(f"CREATE TYPE {schema}.odd AS (a aclitem, b text)")
    async with client.connect(codecs=[tagged("text", "text")]) as ours:
        assert await ours.fetchval(f"SELECT ROW('=r/pg_monitor', 'x')::{schema}.odd") == (
            "=r/pg_monitor",
            ("text", "x"),
        )

    # A codec in binary, of a type with both forms: it is given what it wants, whatever travels.
    shout = TypeCodec(
        "mood", schema=schema, encoder=str.encode, decoder=lambda data: data.decode().upper(), format="binary"
    )
    await connection.execute(f"CREATE TYPE {schema}.odder AS (a aclitem, m {schema}.mood)")
    async with client.connect(codecs=[shout]) as ours:
        assert await ours.fetchval(f"SELECT 'sad'::{schema}.mood") == "SAD"
        value = await ours.fetchval(f"SELECT ROW('=r/pg_monitor', 'sad')::{schema}.odder")
        assert value == ("=r/pg_monitor", "SAD")

    # A codec in binary, of a type of which nothing is known here but its text.
    await connection.execute(f"""
        SET search_path = {schema};
        CREATE TYPE strange;
        CREATE FUNCTION strange_in(cstring) RETURNS strange LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
        CREATE FUNCTION strange_out(strange) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
        CREATE FUNCTION strange_recv(internal) RETURNS strange LANGUAGE internal IMMUTABLE STRICT AS 'int4recv';
        CREATE FUNCTION strange_send(strange) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int4send';
        CREATE TYPE strange (
            INPUT = strange_in, OUTPUT = strange_out, SEND = strange_send, RECEIVE = strange_recv, LIKE = int4
        );
        CREATE TYPE pair AS (a strange, b int);
        CREATE TYPE impossible AS (a aclitem, s strange);
        RESET search_path;
    """)
    strange = TypeCodec("strange", schema=schema, encoder=bytes, decoder=bytes, format="binary")
    async with client.connect(codecs=[strange]) as ours:
        assert await ours.fetchval(f"SELECT $1::{schema}.pair", (b"\0\0\0\7", 1)) == (b"\0\0\0\7", 1)
        for query in (f"SELECT NULL::{schema}.impossible", f"SELECT NULL::{schema}.impossible[]"):
            with pytest.raises(client.UnsupportedClientFeatureError) as caught:
                await ours.fetchval(query)
            assert f"no format suits all parts of type {schema}.impossible" in str(caught.value)
            assert f"its part of type {schema}.strange has no codec for text" in str(caught.value)
        assert await ours.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="composes nothing: a codec sees text, bytes or a tuple.",
    ours="Declarations compose: classes within classes, members, dates of any year.",
)
async def test_all_together(client: Client, schema: str) -> None:
    @dataclasses.dataclass
    class Person:
        name: str
        home: Address
        moods: list[Mood]
        hardware: str
        numbers: Any = None
        age: int | None = None

    days = TypeCodec(
        "date",
        schema="pg_catalog",
        encoder=lambda day: (day,) if isinstance(day, int) else ((day - dt.date(2000, 1, 1)).days,),
        decoder=lambda days: days[0],
        format="tuple",
    )
    person = CompositeCodec("person", Person, schema=schema)
    async with client.connect(codecs=[person, ADDRESS, MOOD, days]) as connection:
        value = Person("Ann", HOME, [Mood.SAD, Mood.HAPPY], "08:00:2b:01:02:03", client.Range(1, 5), 30)
        assert await connection.fetchval(f"SELECT $1::{schema}.person", value) == value
        assert await connection.fetchval(f"SELECT ARRAY[$1::{schema}.person]", value) == [value]
        far = await connection.fetchrow(
            "SELECT '0044-03-15 BC'::date AS a, ARRAY['20000-01-01']::date[] AS b, $1::date AS c", 1
        )
        numbers = await connection.fetchrow(
            "SELECT '0044-03-15 BC'::date - '2000-01-01'::date, ARRAY['20000-01-01'::date - '2000-01-01'::date]"
        )
        assert far == (*numbers, 1)
        counts = collections.Counter(type(item).__name__ for item in (value, value.home))
        assert counts == {"Person": 1, "Address": 1}


@pytest.mark.differs(
    asyncpg="raises what a decoder raises, and nothing says where.", ours="A note names the column and its type."
)
async def test_what_decoders_raise(client: Client, connection: Any) -> None:
    def refuse(value: Any) -> Any:
        raise LookupError("not this one")

    await connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=refuse)
    with pytest.raises(LookupError, match="not this one") as caught:
        await connection.fetch("SELECT 'x', 8 AS n")
    assert any("column 2, 'n', of type integer" in note for note in caught.value.__notes__)
