"""What is measured: the cases, the tables they read, and how an operation of each is carried out."""

import enum
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

__all__ = ["CASES", "DROP", "POINTS", "SETUP", "TASKS", "Case", "Client", "Shape", "check", "elements", "run"]

#: Rows of the table of the point lookups; their keys are 1 to this.
POINTS: Final = 10_000
#: Tasks of the case that has many of them.
TASKS: Final = 50
_MANY: Final = 10_000


class Shape(enum.Enum):
    """How an operation is carried out."""

    #: fetchval()
    VALUE = "value"
    #: fetchrow() with another key each time
    ROW = "row"
    #: fetch()
    ROWS = "rows"
    #: ROW by many tasks at once; an operation is one lookup
    TASKS = "tasks"
    #: executemany()
    MANY = "many"
    #: one fetch() in a process of its own, for its memory
    MEMORY = "memory"
    #: a connection that is opened and closed
    CONNECT = "connect"


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the comparison.

    Attributes:
        rows: that one operation fetches or writes.
        before: SQL that is run before each measured run, outside of the measured time.
        growth: it is one of the sizes whose cost per row is compared, to see that it does not grow.
    """

    name: str
    title: str
    shape: Shape
    sql: str
    rows: int = 1
    before: str = ""
    growth: bool = False


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

SETUP: Final = f"""
DROP SCHEMA IF EXISTS pgsansio_benchmarks CASCADE;
CREATE SCHEMA pgsansio_benchmarks;
CREATE TABLE pgsansio_benchmarks.points AS
    SELECT i AS id, 'name of ' || lpad(i::text, 8, '0') AS name, i * 1.5::float8 AS weight
    FROM generate_series(1, {POINTS}) AS i;
ALTER TABLE pgsansio_benchmarks.points ADD PRIMARY KEY (id);
CREATE TABLE pgsansio_benchmarks.wide AS
    SELECT {
    ", ".join(
        f"CASE WHEN (i + {index}) % 10 <> 0 THEN {expression} END AS {name}"
        for index, (name, expression) in enumerate(_WIDE.items())
    )
}
    FROM generate_series(1, 1000) AS i;
CREATE UNLOGGED TABLE pgsansio_benchmarks.many (a int4, b text, c float8);
VACUUM ANALYZE pgsansio_benchmarks.points, pgsansio_benchmarks.wide;
"""

DROP: Final = "DROP SCHEMA IF EXISTS pgsansio_benchmarks CASCADE"

_LOOKUP: Final = "SELECT id, name, weight FROM pgsansio_benchmarks.points WHERE id = $1"
_TRIPLE: Final = "SELECT i AS a, i::int8 AS b, 'row ' || i AS c FROM generate_series(1, {}) AS i"


def _growth(rows: int) -> Case:
    return Case(f"rows-{rows}", f"{rows} rows of int4, int8, text", Shape.ROWS, _TRIPLE.format(rows), rows, growth=True)


CASES: Final = {
    case.name: case
    for case in [
        Case("one", "select 1+1", Shape.VALUE, "select 1+1"),
        Case("lookup", "one row by its primary key", Shape.ROW, _LOOKUP),
        Case(
            "pg_type",
            "pg_type: all its rows, 12 columns",
            Shape.ROWS,
            "SELECT typname, typnamespace, typowner, typlen, typbyval, typcategory, typispreferred, typisdefined, "
            "typdelim, typrelid, typelem, typarray FROM pg_catalog.pg_type WHERE oid < 16384",
            0,
        ),
        Case("int4", "1000 rows of int4", Shape.ROWS, "SELECT generate_series(1, 1000)", 1000),
        Case("wide", "1000 rows of 9 types, 10% NULL", Shape.ROWS, "SELECT * FROM pgsansio_benchmarks.wide", 1000),
        Case("tasks", f"{TASKS} tasks, each its lookups", Shape.TASKS, _LOOKUP),
        Case(
            "many",
            f"executemany of {_MANY} rows of int4, text, float8",
            Shape.MANY,
            "INSERT INTO pgsansio_benchmarks.many VALUES ($1, $2, $3)",
            _MANY,
            before="TRUNCATE pgsansio_benchmarks.many",
        ),
        Case("connect-trust", "connect and close, no authentication, Unix socket", Shape.CONNECT, ""),
        Case("connect-scram", "connect and close, SCRAM, Unix socket", Shape.CONNECT, ""),
        Case("connect-tls", "connect and close, SCRAM, TLS (sslmode=require)", Shape.CONNECT, ""),
        Case("memory", "200,000 rows of int4, int8, text", Shape.MEMORY, _TRIPLE.format(200_000), 200_000),
        *(_growth(10**exponent) for exponent in (3, 4, 5)),
    ]
}


class Client(Protocol):
    """A connection with asyncpg's methods, and its loop's way to run tasks."""

    #: Connection strings of the cases of connecting, by their names.
    places: Mapping[str, str]
    connection: Any
    #: What many tasks share: a pool, or the connection itself.
    shared: Any

    async def fan_out(self, worker: Callable[[], Awaitable[None]], tasks: int) -> None:
        """Run so many tasks of this until all have ended."""
        ...

    async def connect_and_close(self, dsn: str) -> None:
        """Open another connection, and close it."""
        ...


def elements() -> list[tuple[int, str, float]]:
    """The arguments of executemany()."""
    return [(i, f"text number {i}", i * 0.5) for i in range(_MANY)]


async def run(client: Client, case: Case, count: int) -> None:
    """Carry out `count` operations."""
    connection, sql = client.connection, case.sql
    match case.shape:
        case Shape.VALUE:
            for _ in range(count):
                await connection.fetchval(sql)
        case Shape.ROW:
            for index in range(count):
                await connection.fetchrow(sql, index % POINTS + 1)
        case Shape.ROWS | Shape.MEMORY:
            for _ in range(count):
                await connection.fetch(sql)
        case Shape.TASKS:
            shared, keys = client.shared, itertools.islice(itertools.cycle(range(1, POINTS + 1)), count)

            async def worker() -> None:
                for key in keys:
                    await shared.fetchrow(sql, key)

            await client.fan_out(worker, TASKS)
        case Shape.MANY:
            arguments = elements()
            for _ in range(count):
                await connection.executemany(sql, arguments)
        case Shape.CONNECT:
            dsn = client.places[case.name]
            for _ in range(count):
                await client.connect_and_close(dsn)


async def check(client: Client, case: Case) -> int:
    """See that a client gets the right answer before it is measured; returns the rows of an operation.

    Raises:
        AssertionError: it does not.
    """
    connection = client.connection
    rows = case.rows
    match case.shape:
        case Shape.VALUE:
            right = await connection.fetchval(case.sql) == 2
        case Shape.ROW | Shape.TASKS:
            row = await client.shared.fetchrow(case.sql, 7)
            right = tuple(row) == (7, "name of 00000007", 10.5)
        case Shape.MANY:
            await connection.execute(case.before)
            await connection.executemany(case.sql, elements())
            row = await connection.fetchrow("SELECT count(*), sum(a), sum(c) FROM pgsansio_benchmarks.many")
            right = tuple(row) == (_MANY, sum(range(_MANY)), sum(range(_MANY)) * 0.5)
        case Shape.ROWS | Shape.MEMORY:
            fetched = await connection.fetch(case.sql)
            right = len(fetched) == rows if rows else len(fetched) > 100
            rows = len(fetched)
        case Shape.CONNECT:
            await client.connect_and_close(client.places[case.name])
            right = True
    if not right:
        raise AssertionError(f"wrong answer to the case {case.name!r}")
    return rows
