"""What is said of built-in types, compared with the server's own catalogue."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pgsansio.codecs import catalog
from pgsansio.codecs.introspection import FIELDS, types_by_oid
from pgsansio.codecs.type_catalog import builtin_info
from pgsansio.codecs.type_info import TypeKind
from tests.support.clients import ours
from tests.support.generate_catalog import QUERY, render
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: The version that the committed file is made from.
SOURCE_VERSION = 18

COMMITTED = Path(catalog.__file__).read_text(encoding="utf-8")

#: typcategory, which other versions have otherwise ("Z", for internal use, is new in 15).
CATEGORY = 5


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return ("asyncio", {"use_uvloop": False})


@pytest.fixture
async def connection(postgres: Server) -> AsyncIterator[Any]:
    async with ours("asyncio", postgres).connect() as connection:
        yield connection


async def test_the_committed_file_is_true_of_this_server(connection: Any, postgres: Server) -> None:
    rows = [tuple(row) for row in await connection.fetch(QUERY)]
    text = render(rows)
    if postgres.version == SOURCE_VERSION:
        assert text == COMMITTED
    told = {row[0]: row[:CATEGORY] + row[CATEGORY + 1 : -1] for row in rows}
    known = {row[0]: row[:CATEGORY] + row[CATEGORY + 1 :] for row in catalog._ROWS}
    shared = told.keys() & known.keys()
    assert {oid: told[oid] for oid in shared} == {oid: known[oid] for oid in shared}
    assert len(shared) > 100


async def test_builtin_types_are_as_the_introspection_finds_them(connection: Any, postgres: Server) -> None:
    rows = await connection.fetch(
        types_by_oid(postgres.version), await connection.fetchval("SELECT array_agg(oid) FROM pg_type")
    )
    names = [field.name for field in FIELDS]
    seen = 0
    for values in rows:
        row = dict(zip(names, values, strict=True))
        info = builtin_info(row["oid"])
        if info is None:
            # Row types, the information schema's domains, and arrays of these.
            assert row["oid"] >= 10_000 or catalog.BY_OID[row["inner_oid"] or row["oid"]].typtype == "c"
            continue
        seen += 1
        kind = {"a": "array", "b": "base", "p": "pseudo", "r": "range", "m": "multirange"}[row["kind"]]
        assert (info.name, info.schema, info.sql_name) == (row["name"], row["schema"], row["sql_name"])
        assert (info.kind.value, info.delimiter, info.inner_oid) == (kind, row["delimiter"], row["inner_oid"])
        assert info.extension == row["extension"]
        assert info.kind is TypeKind.ARRAY or info.has_binary is row["has_binary"]
    assert seen > 150
