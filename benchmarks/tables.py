"""The tables that the cases read and write, and the rows that are in them: what is right is known without asking."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

__all__ = [
    "BATCH",
    "COPIED",
    "DROP",
    "POINTS",
    "RECORD",
    "SCHEMA",
    "SETUP",
    "point",
    "scalar_rows",
    "text_rows",
    "wide_rows",
]

SCHEMA: Final = "pgsansio_benchmarks"
#: Rows of the table of the point lookups; their keys are 1 to this.
POINTS: Final = 10_000
#: The row that MagicStack's pgbench copies and inserts, and how many of them.
RECORD: Final = (10, 11, 10, "TESTTESTTEST", 10.333, 12341234, "123412341234")
COPIED: Final = 10_000
BATCH: Final = 1000

#: One row of the wide case has all these columns; every tenth value is NULL, each row's at other columns.
_WIDE: Final = {
    "whole": "i",
    "real": "i * 1.25::float8",
    "flag": "i % 2 = 0",
    "label": "repeat('x', i % 20) || 'label ' || i",
    "id": "md5(i::text)::uuid",
    "at": "'2024-01-01 00:00:00+00'::timestamptz + i * interval '17 minutes 1.5 seconds'",
    "day": "'2000-01-01'::date + i",
    "amount": "(i * 1234567 % 10000000)::numeric / 100",
    "raw": "decode(md5(i::text), 'hex')",
}
_WIDE_COLUMNS: Final = ", ".join(
    f"CASE WHEN (i + {index}) % 10 <> 0 THEN {expression} END AS {name}"
    for index, (name, expression) in enumerate(_WIDE.items())
)
_COLUMNS: Final = "a int4, b int4, c int4, d text, e float8, f int4, g text"

SETUP: Final = f"""
DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.points AS
    SELECT i AS id, 'name of ' || lpad(i::text, 8, '0') AS name, i * 1.5::float8 AS weight
    FROM generate_series(1, {POINTS}) AS i;
ALTER TABLE {SCHEMA}.points ADD PRIMARY KEY (id);
CREATE TABLE {SCHEMA}.wide AS SELECT {_WIDE_COLUMNS} FROM generate_series(1, 1000) AS i;
CREATE TABLE {SCHEMA}.scalars AS
    SELECT {_WIDE["id"]} AS id, {_WIDE["amount"]} AS amount, {_WIDE["at"]} AS at FROM generate_series(1, 1000) AS i;
CREATE TABLE {SCHEMA}.texts AS
    SELECT 'row ' || i AS a, repeat('y', i % 50) || i AS b, repeat('ü', i % 10) || i AS c
    FROM generate_series(1, 1000) AS i;
CREATE TABLE {SCHEMA}.bytes AS SELECT repeat('a', 1000)::bytea AS b FROM generate_series(1, 100);
CREATE TABLE {SCHEMA}.arrays AS
    SELECT (SELECT array_agg(i) FROM generate_series(1, 1000) AS i) AS a FROM generate_series(1, 10);
CREATE TABLE {SCHEMA}.copied ({_COLUMNS});
INSERT INTO {SCHEMA}.copied SELECT {", ".join(repr(value) for value in RECORD)} FROM generate_series(1, {COPIED});
CREATE UNLOGGED TABLE {SCHEMA}.filled ({_COLUMNS});
VACUUM ANALYZE;
"""

DROP: Final = f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"


def point(key: int) -> tuple[Any, ...]:
    """The row of a point lookup."""
    return key, f"name of {key:08}", key * 1.5


def _wide_row(i: int) -> tuple[Any, ...]:
    digest = hashlib.md5(str(i).encode(), usedforsecurity=False).digest()
    return (
        i,
        i * 1.25,
        i % 2 == 0,
        "x" * (i % 20) + f"label {i}",
        UUID(bytes=digest),
        datetime(2024, 1, 1, tzinfo=UTC) + i * timedelta(minutes=17, seconds=1.5),
        date(2000, 1, 1) + timedelta(i),
        Decimal(i * 1234567 % 10000000) / 100,
        digest,
    )


def wide_rows() -> list[tuple[Any, ...]]:
    return [
        tuple(value if (i + index) % 10 else None for index, value in enumerate(_wide_row(i))) for i in range(1, 1001)
    ]


def scalar_rows() -> list[tuple[Any, ...]]:
    return [(row[4], row[7], row[5]) for row in map(_wide_row, range(1, 1001))]


def text_rows() -> list[tuple[Any, ...]]:
    return [(f"row {i}", "y" * (i % 50) + str(i), "ü" * (i % 10) + str(i)) for i in range(1, 1001)]
