"""Types of extensions.

They are in a schema that no search_path names. Skipped where the server has them not.
"""

import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pgsansio.codecs.contrib import CUBE, HSTORE, vector_codecs
from pgsansio.types.cube import Cube
from pgsansio.types.sparse_vector import SparseVector
from tests.support.clients import Client

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@contextlib.asynccontextmanager
async def installed(client: Client, extension: str) -> AsyncIterator[str]:
    """The schema in which the extension is."""
    schema = f"contrib_{extension}"
    async with client.connect() as connection:
        if not await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = $1", extension):
            pytest.skip(f"the server has no extension {extension}")
        await connection.execute(f"CREATE SCHEMA {schema}; CREATE EXTENSION {extension} SCHEMA {schema}")
        try:
            yield schema
        finally:
            await connection.execute(f"DROP SCHEMA {schema} CASCADE")


async def comes_back(connection: Any, type_name: str, value: object) -> None:
    assert await connection.fetchval(f"SELECT $1::{type_name}", value) == value
    # A list in a list would be another dimension.
    element = tuple(value) if isinstance(value, list) else value
    assert await connection.fetchval(f"SELECT $1::{type_name}[]", [element, None]) == [value, None]


@pytest.mark.checklist("K-6", "15 hstore")
async def test_hstore_by_its_codecs_name(client: Client) -> None:
    async with installed(client, "hstore") as schema, client.connect() as connection:
        await connection.set_builtin_type_codec("hstore", schema=schema, codec_name="pg_contrib.hstore")
        for value in ({}, {"": "x", "a": '"\\,=> ', "é": "NULL", "b": None}):
            await comes_back(connection, f"{schema}.hstore", value)
        query = f"SELECT $1::{schema}.hstore"
        assert await connection.fetchval(query, [("a", "1")]) == {"a": "1"}
        for value, reason in (
            ({None: "x"}, "null value not allowed in hstore key"),
            ({"a": 1}, "expected str, got int"),
            ([("a",)], "need more than 1 value to unpack"),
            (5, r"object of type 'int' has no len\(\)"),
        ):
            with pytest.raises(client.DataError, match=rf"invalid input for query argument \$1: .*\({reason}\)"):
                await connection.fetchval(query, value)


@pytest.mark.checklist("15 hstore")
async def test_hstore_is_str_unless_registered(client: Client) -> None:
    async with installed(client, "hstore") as schema, client.connect() as connection:
        assert await connection.fetchval(f"SELECT $1::{schema}.hstore", "a=>1") == '"a"=>"1"'


@pytest.mark.checklist("15 any other type of an extension")
@pytest.mark.parametrize(
    ("extension", "type_name", "value"),
    [
        ("citext", "citext", "Ä b"),
        ("ltree", "ltree", "a.b.c"),
        ("ltree", "lquery", "a.*{1,2}.b|c"),
        ("ltree", "ltxtquery", "a & b"),
        ("cube", "cube", "(1, 2),(3, 4)"),
    ],
)
async def test_others_are_str(client: Client, extension: str, type_name: str, value: str) -> None:
    async with installed(client, extension) as schema, client.connect() as connection:
        await comes_back(connection, f"{schema}.{type_name}", value)


async def test_empty_texts_in_arrays(client: Client) -> None:
    if not client.is_ours:
        pytest.skip("asyncpg puts a NULL pointer into the list, and touching it ends the process")
    async with (
        installed(client, "citext") as citext,
        installed(client, "ltree") as ltree,
        installed(client, "hstore") as hstore,
        client.connect() as connection,
    ):
        for type_name in (f"{citext}.citext", f"{ltree}.ltree", f"{hstore}.hstore"):
            await comes_back(connection, type_name, "")
            assert await connection.fetchval(f"SELECT ARRAY['', NULL, '']::{type_name}[]") == ["", None, ""]


@pytest.mark.differs(
    asyncpg="cannot read or write a composite type with a `citext` or an `ltree` in it.",
    ours="Composite types may hold types of extensions.",
)
async def test_composites_of_them(client: Client) -> None:
    async with (
        installed(client, "citext") as citext,
        installed(client, "ltree") as ltree,
        client.connect() as connection,
    ):
        await connection.execute(f"CREATE TYPE {citext}.both AS (t {citext}.citext, l {ltree}.ltree)")
        value = await connection.fetchval(f"SELECT $1::{citext}.both", ("Ä b", "a.b"))
        assert tuple(value) == ("Ä b", "a.b")


@pytest.mark.differs(
    asyncpg="knows hstore alone of these types, and only after `set_builtin_type_codec` on every connection.",
    ours="`connect(codecs=[HSTORE, CUBE])`, and the same of a pool, finds the types by their extension, in any schema.",
)
async def test_declared_types(client: Client) -> None:
    async with (
        installed(client, "hstore") as hstore,
        installed(client, "cube") as cube,
        client.connect(codecs=[HSTORE, CUBE]) as connection,
    ):
        await comes_back(connection, f"{hstore}.hstore", {"a": "1", "b": None})
        await comes_back(connection, f"{cube}.cube", Cube((1, 2), (3, 4)))
        await connection.execute("CREATE TYPE pg_temp.cube AS (a int)")
        assert tuple(await connection.fetchval("SELECT row(1)::pg_temp.cube")) == (1,)


@pytest.mark.checklist("K-1")
async def test_pgvector_as_its_own_package_sets_it(client: Client) -> None:
    def encode(value: list[float]) -> bytes:
        return struct.pack(f">HH{len(value)}f", len(value), 0, *value)

    def decode(data: bytes) -> list[float]:
        count, _ = struct.unpack_from(">HH", data)
        return list(struct.unpack_from(f">{count}f", data, 4))

    async with installed(client, "vector") as schema, client.connect() as connection:
        await connection.set_type_codec("vector", schema=schema, encoder=encode, decoder=decode, format="binary")
        with pytest.raises(ValueError, match=r"^unknown type: public\.vector$"):
            await connection.set_type_codec("vector", schema="public", encoder=encode, decoder=decode, format="binary")
        await comes_back(connection, f"{schema}.vector", [1.0, -0.5])
        await connection.execute(f"CREATE TEMP TABLE items (id int, embedding {schema}.vector(2))")
        await connection.executemany("INSERT INTO items VALUES ($1, $2)", [(1, [1, 2]), (2, None)])
        assert await connection.fetch("SELECT * FROM items ORDER BY id") == [(1, [1.0, 2.0]), (2, None)]


@pytest.mark.differs(asyncpg="reads pgvector's types as `str`.", ours="`PGVECTOR` declares lists for them.")
async def test_pgvector(client: Client) -> None:
    async with installed(client, "vector") as schema, client.connect(codecs=vector_codecs()) as connection:
        await comes_back(connection, f"{schema}.vector", [1.0, -0.5])
        await comes_back(connection, f"{schema}.halfvec", [65504.0, 0.5])
        await comes_back(connection, f"{schema}.sparsevec", SparseVector({0: 1.5, 999_999_999: -2}, 1_000_000_000))
        with pytest.raises(client.DataError, match=r"NaN not allowed in vector \(at index 1\)"):
            await connection.fetchval(f"SELECT $1::{schema}.vector", [1, float("nan")])


@pytest.mark.differs(
    asyncpg="reads pgvector's types as `str`.", ours="`vector_codecs(numpy=numpy)` makes numpy's arrays of them."
)
async def test_pgvector_as_arrays(client: Client) -> None:
    numpy = pytest.importorskip("numpy")
    async with installed(client, "vector") as schema, client.connect(codecs=vector_codecs(numpy=numpy)) as connection:
        for name, dtype in (("vector", numpy.float32), ("halfvec", numpy.float16)):
            value = numpy.array([1, -0.5], dtype)
            back = await connection.fetchval(f"SELECT $1::{schema}.{name}", value)
            assert back.dtype == dtype
            assert (back == value).all()
