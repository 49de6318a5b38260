"""The table of built-in types beside the pg_type of a real server: no type is forgotten, on any version."""

# Not by way of asyncpg, which has no say in what our table holds: `postgres` is the server, and the client is ours.

import asyncio
from typing import NamedTuple

import pytest

from pgsansio.codecs.builtin import BUILTIN, PREFERRED, WITHOUT
from pgsansio.codecs.catalog import BY_OID
from pgsansio.enums import Format
from tests.support.clients import ours
from tests.support.servers import Server

pytestmark = pytest.mark.server

#: The lowest oid that initdb, and not the server's source, gave to an object (FirstGenbkiObjectId).
FIRST_MOVABLE_OID = 10_000


class Row(NamedTuple):
    oid: int
    name: str
    typtype: str
    element_oid: int
    is_array: bool
    has_binary: bool


@pytest.fixture(scope="module")
def rows(postgres: Server) -> dict[int, Row]:
    """pg_type as it comes with a new database, by oid."""

    async def fetch() -> list[Row]:
        async with ours("asyncio", postgres).connect() as connection:
            records = await connection.fetch(
                "SELECT t.oid::int8, t.typname::text, t.typtype::text, t.typelem::int8,"
                " EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid),"
                " t.typsend <> 0 AND t.typreceive <> 0"
                " FROM pg_catalog.pg_type t WHERE t.oid < 16384"
            )
        return [Row(*record) for record in records]

    return {row.oid: row for row in asyncio.run(fetch())}


def test_every_type_is_in_the_table_or_has_its_reason(rows: dict[int, Row]) -> None:
    assert len(rows) > 500
    for row in rows.values():
        if row.oid >= FIRST_MOVABLE_OID:
            # Has another oid in every version: described by its database, like a user's own.
            described = row.typtype in ("c", "d") or (row.is_array and row.element_oid in rows)
            assert described, f"{row} is neither a row type, a domain nor an array"
            continue
        assert row.oid in BY_OID, f"{row} is not in the catalogue of this package"
        assert BY_OID[row.oid].name == row.name
        assert (row.oid in PREFERRED) != (row.name in WITHOUT), f"{row} has neither codec nor reason, or both"


def test_no_type_was_made_up(rows: dict[int, Row]) -> None:
    # Every type of the table is older than the oldest version that is supported.
    assert {oid for oid, _ in BUILTIN} <= rows.keys()
    assert BY_OID.keys() <= rows.keys()


def test_binary_is_preferred_only_where_the_server_has_it(rows: dict[int, Row]) -> None:
    lacking = {
        rows[oid].name
        for oid, wire_format in PREFERRED.items()
        if wire_format is Format.BINARY and not rows[oid].has_binary
    }
    assert lacking == set()
