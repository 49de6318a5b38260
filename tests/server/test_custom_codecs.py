"""Codecs that are set on a connection."""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.support.clients import Client
from tests.support.statements import statements

pytestmark = [pytest.mark.anyio, pytest.mark.server]


def nothing(value: Any) -> Any:
    return value


async def set_codec(connection: Any, name: str, schema: str = "pg_catalog", **settings: Any) -> None:
    """A codec that changes nothing, except as `settings` say."""
    await connection.set_type_codec(name, schema=schema, **{"encoder": nothing, "decoder": nothing, **settings})


@pytest.fixture
async def temporary(connection: Any) -> str:
    """The connection's own schema: its real name, since that is what codecs are set by."""
    await connection.execute("CREATE TYPE pg_temp.first AS (a int)")
    name: str = await connection.fetchval("SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()")
    return name


# the three formats


@pytest.mark.checklist("K-1")
async def test_text(connection: Any) -> None:
    await set_codec(connection, "json", encoder=json.dumps, decoder=json.loads)
    assert await connection.fetchval("SELECT $1::json", {"a": [1, None]}) == {"a": [1, None]}
    assert await connection.fetchval("SELECT '1'::json") == 1
    await set_codec(connection, "int4", encoder=lambda value: f"{value:o}", decoder=lambda text: f"<{text}>")
    assert await connection.fetchval("SELECT $1::int4", 8) == "<10>"
    assert await connection.fetchval("SELECT -1") == "<-1>"
    # The default is text.
    await connection.set_type_codec("bool", schema="pg_catalog", encoder=nothing, decoder=nothing)
    assert await connection.fetchval("SELECT $1::bool", "yes") == "t"


@pytest.mark.checklist("K-1")
async def test_binary(connection: Any) -> None:
    await set_codec(connection, "int4", format="binary")
    assert await connection.fetchval("SELECT $1::int4", b"\0\0\1\0") == b"\0\0\1\0"
    await set_codec(
        connection, "uuid", encoder=lambda value: value.to_bytes(16), decoder=int.from_bytes, format="binary"
    )
    assert await connection.fetchval("SELECT $1::uuid", 5) == 5
    # Of json the text, of jsonb a version byte in front of it.
    await set_codec(connection, "json", format="binary")
    await set_codec(connection, "jsonb", format="binary")
    row = await connection.fetchrow("SELECT $1::json AS a, $2::jsonb AS b", b'{"a":1}', b'\x01{"a":1}')
    assert row == (b'{"a":1}', b'\x01{"a": 1}')


#: Type -> values in SQL, as tuples.
LAYOUTS = {
    "interval": {"1 year 2 months 3 days 4.5 s": (14, 3, 4_500_000), "-1 month": (-1, 0, 0)},
    "date": {
        "2000-01-02": (1,),
        "1999-12-31": (-1,),
        "infinity": (2**31 - 1,),
        "-infinity": (-(2**31),),
        "0001-12-31 BC": (-730_120,),
    },
    "timestamp": {
        "2000-01-01 00:00:01": (1_000_000,),
        "infinity": (2**63 - 1,),
        "-infinity": (-(2**63),),
        "20000-01-01": (568_025_136_000_000_000,),
    },
    "timestamptz": {"2000-01-01 01:00:00+01": (0,), "infinity": (2**63 - 1,), "-infinity": (-(2**63),)},
    "time": {"00:00:01.5": (1_500_000,), "24:00:00": (86_400_000_000,)},
    "timetz": {"00:00:01+02": (1_000_000, -7200), "24:00:00-00:00:15": (86_400_000_000, 15)},
}


@pytest.mark.checklist("K-2")
@pytest.mark.parametrize("type_name", LAYOUTS)
async def test_layouts_of_tuples(connection: Any, type_name: str) -> None:
    await set_codec(connection, type_name, format="tuple")
    for text, numbers in LAYOUTS[type_name].items():
        assert await connection.fetchval(f"SELECT '{text}'::{type_name}") == numbers
        assert await connection.fetchval(f"SELECT $1::{type_name} = '{text}'", numbers) is True
        assert await connection.fetchval(f"SELECT $1::{type_name}[]", [numbers, None]) == [numbers, None]


@pytest.mark.checklist("K-2")
async def test_tuples_of_composite_types(connection: Any, temporary: str) -> None:
    await connection.execute("CREATE TYPE pg_temp.complex AS (r float8, i float8)")
    await connection.execute("CREATE TYPE pg_temp.pair AS (a pg_temp.complex, b text)")
    await set_codec(
        connection,
        "complex",
        temporary,
        encoder=lambda value: (value.real, value.imag),
        decoder=lambda parts: complex(parts[0], parts[1]),
        format="tuple",
    )
    assert await connection.fetchval("SELECT $1::pg_temp.complex", 1 - 2j) == 1 - 2j
    assert await connection.fetchval("SELECT $1::pg_temp.complex[]", [1j, None]) == [1j, None]
    assert await connection.fetchval("SELECT $1::pg_temp.pair", (1j, "x")) == (1j, "x")


# what cannot have one


@pytest.mark.checklist("K-2", "K-3")
@pytest.mark.parametrize("type_name", ["int4", "text", "uuid", "numeric"])
async def test_types_without_a_layout(client: Client, connection: Any, type_name: str) -> None:
    with pytest.raises(client.InterfaceError, match=f"{type_name} type does not support the 'tuple' exchange format"):
        await set_codec(connection, type_name, format="tuple")
    await connection.fetchval(f"SELECT NULL::{type_name}")


@pytest.mark.checklist("K-3")
async def test_enums_and_domains(client: Client, connection: Any, temporary: str) -> None:
    await connection.execute("CREATE TYPE pg_temp.mood AS ENUM ('sad'); CREATE DOMAIN pg_temp.positive AS int")
    await set_codec(connection, "mood", temporary, encoder=str.lower, decoder=str.upper)
    assert await connection.fetchval("SELECT $1::pg_temp.mood", "Sad") == "SAD"
    assert await connection.fetchval("SELECT $1::pg_temp.mood[]", ["Sad", None]) == ["SAD", None]


@pytest.mark.checklist("K-3")
@pytest.mark.parametrize("format_name", ["text", "binary"])
async def test_composite_types_take_tuples_only(
    client: Client, connection: Any, temporary: str, format_name: str
) -> None:
    with pytest.raises(client.UnsupportedClientFeatureError) as caught:
        await set_codec(connection, "first", temporary, format=format_name)
    assert str(caught.value).startswith("only tuple-format codecs can be used on composite types")
    assert "Use `set_type_codec(..., format='tuple')`" in caught.value.hint


@pytest.mark.checklist("K-3")
@pytest.mark.parametrize("type_name", ["_int4", "int4range", "int4multirange"])
async def test_tuples_of_containers(client: Client, connection: Any, type_name: str) -> None:
    told = rf"cannot use custom codec on type pg_catalog.{type_name}: it is neither a scalar type nor a composite type"
    with pytest.raises(client.InterfaceError, match=told):
        await set_codec(connection, type_name, format="tuple")


@pytest.mark.checklist("K-3")
@pytest.mark.parametrize(
    ("name", "schema"), [("nothing", "public"), ("int4", "public"), ("nothing", "pg_catalog"), ("x", "no_schema")]
)
async def test_unknown_types(client: Client, connection: Any, name: str, schema: str) -> None:
    for call in (
        lambda: set_codec(connection, name, schema),
        lambda: connection.reset_type_codec(name, schema=schema),
        lambda: connection.set_builtin_type_codec(name, schema=schema, codec_name="int"),
    ):
        with pytest.raises(ValueError, match=rf"^unknown type: {schema}\.{name}$"):
            await call()
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("K-3")
async def test_unknown_formats(client: Client, connection: Any) -> None:
    told = "invalid `format` argument, expected 'text', 'binary' or 'tuple', got 'json'"
    with pytest.raises(client.InterfaceError, match=told):
        await set_codec(connection, "json", format="json")


# where they hold, and from when on


@pytest.mark.checklist("K-4")
async def test_arrays_and_domains_follow_at_once(connection: Any) -> None:
    await connection.execute("CREATE DOMAIN pg_temp.positive AS int CHECK (value > 0)")
    queries = {
        "SELECT $1::int4": 5,
        "SELECT $1::int4[]": [5, None],
        "SELECT $1::int4[][]": [[5], [6]],
        "SELECT $1::pg_temp.positive": 7,
        "SELECT $1::pg_temp.positive[]": [7],
    }
    for query, value in queries.items():
        assert await connection.fetchval(query, value) == value
    await set_codec(connection, "int4", encoder=lambda value: str(value[1]), decoder=lambda text: ("int", int(text)))

    def coded(value: Any) -> Any:
        if isinstance(value, list):
            return [coded(item) for item in value]
        return value if value is None else ("int", value)

    for query, value in queries.items():
        assert await connection.fetchval(query, coded(value)) == coded(value)
    await connection.reset_type_codec("int4", schema="pg_catalog")
    for query, value in queries.items():
        assert await connection.fetchval(query, value) == value


@pytest.mark.checklist("K-4")
async def test_cached_statements_are_dropped_and_prepared_ones_keep_their_codecs(
    client: Client, connection: Any
) -> None:
    if not hasattr(connection, "prepare"):
        pytest.xfail("there are no prepared statements yet")
    statement = await connection.prepare("SELECT $1::int4")
    assert await connection.fetchval("SELECT $1::int4", 1) == 1
    await set_codec(connection, "int4")
    assert await connection.fetchval("SELECT $1::int4", "1") == "1"
    assert await statement.fetchval(1) == 1
    assert await (await connection.prepare("SELECT $1::int4")).fetchval("1") == "1"


@pytest.mark.checklist("K-4")
async def test_they_are_the_connections_own(client: Client, connection: Any, observer: Any) -> None:
    await set_codec(connection, "int4")
    assert await observer.fetchval("SELECT $1::int4", 1) == 1
    assert await connection.fetchval("SELECT $1::int4", "1") == "1"


@pytest.mark.checklist("K-4", "K-5")
async def test_resetting_the_connection_keeps_them(connection: Any) -> None:
    await set_codec(connection, "int4")
    await connection.reset()
    assert await connection.fetchval("SELECT $1::int4", "1") == "1"


@pytest.mark.checklist("K-5")
async def test_taking_one_back(connection: Any) -> None:
    for _ in range(2):
        await set_codec(connection, "numeric", decoder=float)
        assert type(await connection.fetchval("SELECT 1.5")) is float
        await set_codec(connection, "numeric", decoder=len)
        assert await connection.fetchval("SELECT 1.5") == 3
        await connection.reset_type_codec("decimal", schema="pg_catalog")
        assert await connection.fetchval("SELECT 1.5") == Decimal("1.5")
    # Nothing happens if there was none.
    await connection.reset_type_codec("numeric", schema="pg_catalog")
    assert await connection.fetchval("SELECT $1::numeric", 1) == 1


# those of the library


@pytest.mark.checklist("K-6")
async def test_the_codec_of_another_type(client: Client, connection: Any, temporary: str) -> None:
    await connection.execute("CREATE DOMAIN pg_temp.year AS int; CREATE TYPE pg_temp.mood AS ENUM ('1', '2')")
    await connection.set_builtin_type_codec("mood", schema=temporary, codec_name="text")
    assert await connection.fetchval("SELECT $1::pg_temp.mood", "1") == "1"
    # A type of four bytes, as another one of four bytes.
    await connection.set_builtin_type_codec("oid", schema="pg_catalog", codec_name="int")
    assert await connection.fetchval("SELECT $1::oid", -1) == -1
    await connection.reset_type_codec("oid", schema="pg_catalog")
    assert await connection.fetchval("SELECT 4294967295::oid") == 2**32 - 1
    await connection.set_builtin_type_codec("int4", schema="pg_catalog", codec_name="text", format="text")
    assert await connection.fetchval("SELECT $1::int4", "12") == "12"


@pytest.mark.checklist("K-6")
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"codec_name": "int"}, r"cannot alias non-scalar type \w+\.first"),
        ({"codec_name": "pg_contrib.hstore"}, r"cannot alias non-scalar type \w+\.first"),
    ],
)
async def test_only_scalars_can_be_like_others(
    client: Client, connection: Any, temporary: str, settings: Any, told: str
) -> None:
    with pytest.raises(client.InterfaceError, match=told):
        await connection.set_builtin_type_codec("first", schema=temporary, **settings)


@pytest.mark.checklist("K-6")
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"codec_name": "nothing"}, r"cannot alias \S*int4 to nothing"),
        ({"codec_name": "regclass", "format": "binary"}, r"cannot alias \S*int4 to regclass"),
    ],
)
async def test_codecs_that_are_not_there(client: Client, connection: Any, settings: Any, told: str) -> None:
    with pytest.raises(client.InterfaceError, match=told):
        await connection.set_builtin_type_codec("int4", schema="pg_catalog", **settings)


NAMES = {
    "int": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "double precision": "float8",
    "real": "float4",
    "decimal": "numeric",
    "character varying": "varchar",
    "timestamp with timezone": "timestamptz",
    "time with timezone": "timetz",
    "bit varying": "varbit",
    "numeric": "numeric",
    "jsonb": "jsonb",
}


@pytest.mark.checklist("K-7")
async def test_names_of_builtin_types_need_no_query(client: Client, connection: Any) -> None:
    async with statements(client, connection) as executed:
        for name in NAMES:
            await set_codec(connection, name, decoder=lambda text: ("decoded", text))
    assert executed == []
    for name, catalogue in NAMES.items():
        value = await connection.fetchval(f"SELECT $1::{catalogue}", {"jsonb": "[]"}.get(catalogue))
        assert value is None or value[0] == "decoded", name
    for catalogue in ("int4", "float8", "timestamptz"):
        value = await connection.fetchval(f"SELECT $1::{catalogue}", "2020-01-01" if "time" in catalogue else "1")
        assert value[0] == "decoded", catalogue


@pytest.mark.checklist("K-7")
@pytest.mark.differs(
    asyncpg="knows `double precision` and `timestamp with timezone`, but not `boolean` and `timestamp with time zone`.",
    ours="`set_type_codec` knows all names that a built-in type has in SQL.",
)
@pytest.mark.parametrize(
    ("name", "catalogue"),
    [("boolean", "bool"), ("timestamp with time zone", "timestamptz"), ("time without time zone", "time")],
)
async def test_more_names_as_in_sql(connection: Any, name: str, catalogue: str) -> None:
    await set_codec(connection, name, decoder=len)
    value = await connection.fetchval(f"SELECT {'true' if catalogue == 'bool' else 'now()'}::{catalogue}")
    assert type(value) is int


@pytest.mark.checklist("K-7")
async def test_other_names_are_looked_up_exactly(client: Client, connection: Any, temporary: str) -> None:
    await connection.execute("""
        CREATE TYPE pg_temp."Odd name" AS ENUM ('a'); CREATE TYPE pg_temp.odd AS ENUM ('a');
    """)
    for name in ("odd name", "Odd", '"Odd name"'):
        with pytest.raises(ValueError, match="unknown type: "):
            await set_codec(connection, name, temporary)
    async with statements(client, connection) as executed:
        await set_codec(connection, "Odd name", temporary, decoder=str.upper)
    assert len(executed) == 1
    assert await connection.fetchval("""SELECT 'a'::pg_temp."Odd name" """) == "A"
    assert await connection.fetchval("SELECT 'a'::pg_temp.odd") == "a"


@pytest.mark.checklist("K-8")
@pytest.mark.parametrize("format_name", ["text", "binary"])
async def test_questions_about_types_go_past_them(client: Client, connection: Any, format_name: str) -> None:
    def refuse(value: object) -> object:
        raise RuntimeError("never called")

    for name in ("oid", "text", "name", "bool", "char", "int2", "int4"):
        await set_codec(connection, name, encoder=refuse, decoder=refuse, format=format_name)
    await connection.execute("""
        CREATE TYPE pg_temp.pair AS (n numeric[], d date);
        CREATE TYPE pg_temp.days AS RANGE (subtype = date);
        CREATE DOMAIN pg_temp.day AS date;
    """)
    value = ([Decimal(1), None], dt.date(2020, 1, 2))
    assert await connection.fetchval("SELECT $1::pg_temp.pair", value) == value
    assert await connection.fetchval("SELECT $1::pg_temp.day", value[1]) == value[1]
    empty = client.Range(empty=True)
    assert await connection.fetchval("SELECT $1::pg_temp.days", empty) == empty
    with pytest.raises(Exception, match="never called"):
        await connection.fetchval("SELECT 1")


@pytest.mark.checklist("K-9")
@pytest.mark.parametrize("format_name", ["text", "binary", "tuple"])
async def test_null_never_reaches_them(connection: Any, format_name: str) -> None:
    def seen(value: Any) -> Any:
        assert value is not None
        return value

    await connection.execute("CREATE TYPE pg_temp.pair AS (d date, n int)")
    await set_codec(connection, "date", encoder=seen, decoder=seen, format=format_name)
    assert await connection.fetchval("SELECT $1::date", None) is None
    assert await connection.fetchval("SELECT $1::date[]", [None]) == [None]
    if format_name != "text":
        assert await connection.fetchval("SELECT $1::pg_temp.pair", (None, 1)) == (None, 1)


# what they return and raise


@pytest.mark.checklist("K-1")
@pytest.mark.parametrize(
    ("format_name", "result", "told"),
    [("text", 5, "expected str, got int"), ("binary", "x", "a bytes-like object is required, not 'str'")],
)
async def test_an_encoder_that_returns_something_else(
    client: Client, connection: Any, format_name: str, result: object, told: str
) -> None:
    await set_codec(connection, "int4", encoder=lambda value: result, format=format_name)
    with pytest.raises(client.DataError, match=told):
        await connection.fetchval("SELECT $1::int4", 1)
    assert await connection.fetchval("SELECT 'x'") == "x"


@pytest.mark.checklist("K-1")
async def test_what_they_raise(client: Client, connection: Any) -> None:
    def refuse(value: Any) -> Any:
        raise LookupError(f"not this one: {value}")

    await set_codec(connection, "int4", encoder=refuse, decoder=refuse)
    with pytest.raises(
        client.DataError, match=r"invalid input for query argument \$1: 7 \(.*not this one: 7"
    ) as caught:
        await connection.fetchval("SELECT $1::int4", 7)
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(LookupError, match="not this one: 8"):
        await connection.fetchval("SELECT 8")
    assert await connection.fetchval("SELECT 'x'") == "x"


@pytest.mark.checklist("K-2")
@pytest.mark.parametrize(
    ("type_name", "length"),
    [("date", 1), ("time", 1), ("timestamp", 1), ("timestamptz", 1), ("timetz", 2), ("interval", 3)],
)
async def test_tuples_of_another_length(client: Client, connection: Any, type_name: str, length: int) -> None:
    await set_codec(connection, type_name, format="tuple")
    with pytest.raises(
        client.DataError, match=rf"tuple encoder: expecting {length} element\S* in tuple, got {length + 1}"
    ):
        await connection.fetchval(f"SELECT $1::{type_name}", (1,) * (length + 1))
    assert await connection.fetchval(f"SELECT $1::{type_name}", (1,) * length) == (1,) * length


@pytest.mark.differs(
    asyncpg="lets the server refuse a tuple of the wrong length for a composite type, which aborts the transaction.",
    ours="It is a `DataError` before anything is sent.",
)
async def test_attributes_that_are_missing(client: Client, connection: Any, temporary: str) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int, b text)")
    await set_codec(connection, "pair", temporary, encoder=lambda value: (value,), format="tuple")
    with pytest.raises(client.DataError, match="wrong number of columns: 1, expected 2"):
        await connection.fetchval("SELECT $1::pg_temp.pair", 5)


@pytest.mark.differs(
    asyncpg="notices when a value is written that a codec has no encoder: `InternalClientError`.",
    ours="`TypeCodec(encoder=None)` is for values that are only read; writing is an `UnsupportedClientFeatureError`.",
)
async def test_one_way_only(client: Client, connection: Any) -> None:
    await set_codec(connection, "int4", encoder=None, decoder=len)
    assert await connection.fetchval("SELECT 1234") == 4
    with pytest.raises(client.UnsupportedClientFeatureError, match="the custom codec of type integer has no encoder"):
        await connection.fetchval("SELECT $1::int4", 1)
    assert await connection.fetchval("SELECT $1::int4", None) is None


@pytest.mark.differs(
    asyncpg="sets what cannot be called as a codec, and fails when it is used.", ours="It is a `TypeError` at once."
)
async def test_what_is_no_function(connection: Any) -> None:
    with pytest.raises(TypeError, match="decoder must be callable, got str"):
        await set_codec(connection, "int4", decoder="len")
    assert await connection.fetchval("SELECT $1::int4", 1) == 1


@pytest.mark.checklist("K-6")
async def test_formats_of_the_librarys_codecs(client: Client, connection: Any) -> None:
    with pytest.raises(
        client.InterfaceError, match=r"invalid `format` argument, expected 'text' or 'binary', got 'tuple'"
    ):
        await connection.set_builtin_type_codec("int4", schema="pg_catalog", codec_name="text", format="tuple")


@pytest.mark.differs(
    asyncpg="raises an `AssertionError` from its own code if a type's bytes are not what `codec_name` says.",
    ours="They are an `InvalidValueError`, a `DataError` that names the column.",
)
async def test_a_type_that_is_not_like_the_other(client: Client, connection: Any, temporary: str) -> None:
    await connection.execute("CREATE TYPE pg_temp.mood AS ENUM ('sad')")
    await connection.set_builtin_type_codec("mood", schema=temporary, codec_name="pg_contrib.hstore")
    with pytest.raises(client.DataError, match=r"cannot decode column 1 \('mood'\)"):
        await connection.fetchval("SELECT 'sad'::pg_temp.mood")
    assert await connection.fetchval("SELECT 1") == 1


# Software that uses them


@pytest.mark.checklist("K-1")
async def test_as_sqlalchemy_sets_them(connection: Any) -> None:
    """Raw bytes of jsonb and json, whose text its own types make; text of addresses."""

    def with_version(value: str) -> bytes:
        return b"\x01" + value.encode()

    def without_version(data: bytes) -> str:
        assert data[:1] == b"\x01"
        return data[1:].decode()

    await set_codec(connection, "jsonb", encoder=with_version, decoder=without_version, format="binary")
    await set_codec(connection, "json", encoder=str.encode, decoder=bytes.decode, format="binary")
    await set_codec(connection, "inet", format="text")
    await set_codec(connection, "cidr", format="text")
    row = await connection.fetchrow(
        "SELECT $1::jsonb AS a, $2::json AS b, $3::inet AS c, $4::cidr AS d, $5::inet[] AS e, $6::jsonb[] AS f",
        *('{"a":1}', '{"a":1}', "10.0.0.1", "10.0.0.0/8", ["::1", None], ["[]", None]),
    )
    assert row == ('{"a": 1}', '{"a":1}', "10.0.0.1", "10.0.0.0/8", ["::1", None], ["[]", None])
    await connection.execute("CREATE TYPE pg_temp.doc AS (j jsonb, n int)")
    assert await connection.fetchval("SELECT $1::pg_temp.doc", ("[1]", 1)) == ("[1]", 1)


@pytest.mark.checklist("K-3")
async def test_as_pgvector_sets_them(client: Client, connection: Any, temporary: str) -> None:
    """A type that an extension may have brought or not, tried by name; only one error text is forgiven."""

    async def register(
        name: str, schema: str, encoder: Callable[[Any], bytes], decoder: Callable[[bytes], Any]
    ) -> bool:
        try:
            await connection.set_type_codec(name, schema=schema, encoder=encoder, decoder=decoder, format="binary")
        except ValueError as error:
            if not str(error).startswith("unknown type:"):
                raise
            return False
        return True

    assert not await register("sparsevec", "public", bytes, bytes)
    await connection.execute("CREATE TYPE pg_temp.vector AS ENUM ('[1,2]')")
    assert await register(
        "vector", temporary, lambda value: json.dumps(value, separators=(",", ":")).encode(), json.loads
    )
    assert await connection.fetchval("SELECT $1::pg_temp.vector", [1, 2]) == [1, 2]
