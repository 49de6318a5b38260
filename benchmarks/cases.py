"""What is measured: the cases, one line each. `tables.py` has what they read, `clients/` how each client does it."""

import enum
import os
from dataclasses import dataclass
from typing import Final

from benchmarks.tables import BATCH, COPIED, SCHEMA

__all__ = ["CASES", "LARGE", "LOOKUP", "PREFETCH", "Case", "Growth", "Shape"]

#: Rows of the large results.
LARGE: Final = 200_000
#: Rows that a cursor asks for at a time.
PREFETCH: Final = 1000


class Shape(enum.Enum):
    """How an operation is carried out: the method of a client that makes it has this name."""

    #: fetchval()
    VALUE = "value"
    #: fetchrow() by key, another one each time
    ROW = "row"
    #: fetch()
    ROWS = "rows"
    #: a loop over a cursor in a transaction
    CURSOR = "cursor"
    #: a loop over rows as they come
    STREAM = "stream"
    #: executemany()
    MANY = "many"
    #: records in, by COPY
    COPY_IN = "copy_in"
    #: a table's text out, by COPY
    COPY_RAW = "copy_raw"
    #: a table's values out, by COPY; by fetch() where there is no such thing
    COPY_TYPED = "copy_typed"
    #: BEGIN, ROW, COMMIT
    TRANSACTION = "transaction"
    #: ROW by many tasks at once on one connection; where that cannot be, on a pool
    TASKS = "tasks"
    #: ROW by many tasks at once on a pool
    POOL = "pool"
    #: one fetch() in a process of its own, for its memory
    MEMORY = "memory"
    #: a connection that is opened and closed
    CONNECT = "connect"
    #: a notification that is sent on one connection and received on another
    NOTIFY = "notify"


class Growth(enum.Enum):
    """What grows from one case of a series to the next; what a row or a task costs should not."""

    ROWS = "rows"
    TASKS = "tasks"


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the comparison.

    Attributes:
        rows: that one operation reads or writes; 0: that depends on the server.
        before: SQL that is run before each measured run, outside of the measured time.
        tasks: at once; each carries out `each` operations, and ends.
        connections: of the pool.
        growth: the series it belongs to.
    """

    name: str
    title: str
    shape: Shape
    sql: str = ""
    rows: int = 1
    before: str = ""
    tasks: int = 1
    each: int = 1
    connections: int = 10
    growth: Growth | None = None

    @property
    def unit(self) -> int:
        """Operations come in multiples of this."""
        return self.tasks * self.each

    @property
    def size(self) -> int:
        """The place in its series."""
        return self.rows if self.growth is Growth.ROWS else self.tasks


LOOKUP: Final = f"SELECT id, name, weight FROM {SCHEMA}.points WHERE id = $1"
_TRIPLE: Final = "SELECT i AS a, i::int8 AS b, 'row ' || i AS c FROM generate_series(1, {}) AS i"
_LARGE: Final = _TRIPLE.format(LARGE)
_COPIED: Final = f"SELECT * FROM {SCHEMA}.copied"
_TRUNCATE: Final = f"TRUNCATE {SCHEMA}.filled"
_PG_TYPE: Final = (
    "SELECT typname, typnamespace, typowner, typlen, typbyval, typcategory, typispreferred, typisdefined, "
    "typdelim, typrelid, typelem, typarray FROM pg_catalog.pg_type WHERE oid < 16384"
)
_INSERT: Final = f"INSERT INTO {SCHEMA}.filled VALUES ($1, $2, $3, $4, $5, $6, $7)"


def _rows(name: str, title: str, table: str, rows: int = 1000) -> Case:
    return Case(name, title, Shape.ROWS, f"SELECT * FROM {SCHEMA}.{table}", rows)


CASES: Final = {
    case.name: case
    for case in [
        Case("one", "select 1+1", Shape.VALUE, "select 1+1"),
        Case("lookup", "one row by its primary key", Shape.ROW, LOOKUP),
        Case("pg_type", "pg_type: all its rows, 12 columns", Shape.ROWS, _PG_TYPE, 0),
        Case("int4", "1000 rows of int4", Shape.ROWS, "SELECT generate_series(1, 1000)", 1000),
        _rows("bytea", "100 rows of 1000 bytes", "bytes", 100),
        _rows("arrays", "10 rows of 1000 int4 in an array", "arrays", 10),
        _rows("wide", "1000 rows of 9 types, 10% NULL", "wide"),
        _rows("scalars", "1000 rows of uuid, numeric, timestamptz", "scalars"),
        _rows("text", "1000 rows of 3 texts", "texts"),
        Case("large-fetch", f"{LARGE:,} rows of int4, int8, text by fetch", Shape.ROWS, _LARGE, LARGE),
        Case("large-cursor", f"the same by a cursor, {PREFETCH} at a time", Shape.CURSOR, _LARGE, LARGE),
        Case("large-stream", "the same as a stream", Shape.STREAM, _LARGE, LARGE),
        Case("copy-in", f"COPY in of {COPIED:,} records", Shape.COPY_IN, "filled", COPIED, _TRUNCATE),
        Case("copy-out-raw", f"COPY out of {COPIED:,} rows as text", Shape.COPY_RAW, _COPIED, COPIED),
        Case("copy-out-typed", "the same as values; asyncpg by fetch", Shape.COPY_TYPED, _COPIED, COPIED),
        Case("batch", f"executemany of {BATCH} rows of 7 columns", Shape.MANY, _INSERT, BATCH, _TRUNCATE),
        Case("transaction", "a transaction around one lookup", Shape.TRANSACTION, LOOKUP),
        Case("tasks", "lookups by 50 tasks on one connection", Shape.TASKS, LOOKUP, tasks=50, each=10),
        Case("pool-100", "lookups by 100 tasks on a pool of 10", Shape.POOL, LOOKUP, tasks=100, each=5),
        Case("pool-10000", "by 10,000 tasks on a pool of 20", Shape.POOL, LOOKUP, tasks=10_000, connections=20),
        Case("connect-trust", "connect and close, no authentication, Unix socket", Shape.CONNECT),
        Case("connect-scram", "connect and close, SCRAM, Unix socket", Shape.CONNECT),
        Case("connect-tls", "connect and close, SCRAM, TLS (sslmode=require)", Shape.CONNECT),
        # A channel for each process: all hear what is told on one.
        Case("notify", "a notification to another connection", Shape.NOTIFY, f"{SCHEMA}_{os.getpid()}"),
        Case("memory", f"{LARGE:,} rows of int4, int8, text", Shape.MEMORY, _LARGE, LARGE),
        *(
            Case(f"rows-{n}", f"{n:,} rows of int4, int8, text", Shape.ROWS, _TRIPLE.format(n), n, growth=Growth.ROWS)
            for n in (10**3, 10**4, 10**5, 10**6)
        ),
        *(
            Case(f"tasks-{n}", f"{n:,} tasks, pool of 10", Shape.POOL, LOOKUP, tasks=n, growth=Growth.TASKS)
            for n in (10, 10**2, 10**3, 10**4)
        ),
    ]
}
