"""Values both ways through a server, whose own text is the judge."""

import math
from decimal import Decimal
from typing import Any

import pytest

from tests.codecs.vectors import DECODE_ONLY, VECTORS
from tests.support.clients import Client

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: No SQL makes these of text: they exist only as arguments and results of functions, or in the catalogue.
PSEUDO_TYPES = frozenset({"cstring", "_cstring", "unknown", "pg_node_tree"})
TYPES = sorted({name for name, *_ in VECTORS} - PSEUDO_TYPES)
#: How sessions have to be set for the texts of the vectors.
SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres", "bytea_output": "hex"}


def same(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one.as_tuple() == other.as_tuple() or (one.is_nan() and other.is_nan())
    return one == other


@pytest.mark.parametrize("name", TYPES)
async def test_both_ways(client: Client, name: str) -> None:
    # Quoted, since "char" without quotes is another type.
    sql = f'pg_catalog."{name.removeprefix("_")}"' + ("[]" if name.startswith("_") else "")
    async with client.connect(server_settings=SETTINGS) as connection:
        for _, bytes_, _, value in (vector for vector in VECTORS if vector[0] == name):
            text = bytes_.decode()
            if name.endswith("char") and "377" in text and connection.get_server_version() < (15,):
                continue  # the octal notation of "char" came with PostgreSQL 15
            got = await connection.fetchval(f"SELECT $1::text::{sql}", text)
            assert same(got, value), f"{text} came as {got!r}"
            if (name, bytes_) in DECODE_ONLY:
                continue
            # What arrived, and what the server makes of its own text for it.
            arrived, meant = await connection.fetchrow(f"SELECT $1::{sql}::text, $2::text::{sql}::text", value, text)
            assert arrived == meant, f"{value!r} arrived as {arrived}"
        assert await connection.fetchval(f"SELECT $1::{sql} IS NULL", None) is True
        assert await connection.fetchval(f"SELECT NULL::{sql}") is None


async def test_types_without_a_codec_come_as_text(connection: Any) -> None:
    row = await connection.fetchrow("SELECT '08:00:2b:01:02:03'::macaddr, 'a & b'::tsquery, ROW(1, 'x')::text, 5::int4")
    assert tuple(row) == ("08:00:2b:01:02:03", "'a' & 'b'", "(1,x)", 5)
    assert await connection.fetchval("SELECT $1::macaddr::text", "08:00:2b:01:02:03") == "08:00:2b:01:02:03"
