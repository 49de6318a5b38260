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
    #: a loop over rows as they come; over a cursor where there is no such thing
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
        about: seconds of `unit` operations, where they are not far below a round's; to say how long a run will take.
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
    about: float = 0.01

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


def _series(*, rows: int = 1, tasks: int = 1) -> Case:
    if tasks == 1:
        title, sql, about = f"{rows:,} rows of int4, int8, text", _TRIPLE.format(rows), rows * 1.2e-6
        return Case(f"rows-{rows}", title, Shape.ROWS, sql, rows, growth=Growth.ROWS, about=about)
    title = f"{tasks:,} tasks, pool of 10"
    about = tasks * 2e-4
    return Case(f"tasks-{tasks}", title, Shape.POOL, LOOKUP, tasks=tasks, growth=Growth.TASKS, about=about)


#: In the order in which they are measured: first what the targets are about.
CASES: Final = {
    case.name: case
    for case in [
        Case("one", "select 1+1", Shape.VALUE, "select 1+1"),
        Case("lookup", "one row by its primary key", Shape.ROW, LOOKUP),
        Case("pg_type", "pg_type: all its rows, 12 columns", Shape.ROWS, _PG_TYPE, 0),
        Case("int4", "1000 rows of int4", Shape.ROWS, "SELECT generate_series(1, 1000)", 1000),
        _rows("wide", "1000 rows of 9 types, 10% NULL", "wide"),
        _rows("scalars", "1000 rows of uuid, numeric, timestamptz", "scalars"),
        _rows("arrays", "10 rows of 1000 int4 in an array", "arrays", 10),
        _rows("bytea", "100 rows of 1000 bytes", "bytes", 100),
        _rows("text", "1000 rows of 3 texts", "texts"),
        Case("large-fetch", f"{LARGE:,} rows of int4, int8, text by fetch", Shape.ROWS, _LARGE, LARGE, about=0.3),
        Case("large-cursor", f"the same by a cursor, {PREFETCH} at a time", Shape.CURSOR, _LARGE, LARGE, about=0.4),
        Case("large-stream", "the same as a stream; asyncpg by a cursor", Shape.STREAM, _LARGE, LARGE, about=0.4),
        Case("memory", "the same by fetch, once in a fresh process", Shape.MEMORY, _LARGE, LARGE, about=0.5),
        Case("copy-in", f"COPY in of {COPIED:,} records", Shape.COPY_IN, "filled", COPIED, _TRUNCATE),
        Case("batch", f"executemany of {BATCH} rows of 7 columns", Shape.MANY, _INSERT, BATCH, _TRUNCATE),
        Case("copy-out-raw", f"COPY out of {COPIED:,} rows as text", Shape.COPY_RAW, _COPIED, COPIED),
        Case("copy-out-typed", "the same as values; asyncpg by fetch", Shape.COPY_TYPED, _COPIED, COPIED),
        Case("transaction", "a transaction around one lookup", Shape.TRANSACTION, LOOKUP),
        Case("pool-100", "lookups by 100 tasks on a pool of 10", Shape.POOL, LOOKUP, tasks=100, each=5, about=0.1),
        Case("pool-10000", "by 10,000 tasks on a pool of 20", Shape.POOL, LOOKUP, tasks=10**4, connections=20, about=2),
        Case("tasks", "lookups by 50 tasks on one connection", Shape.TASKS, LOOKUP, tasks=50, each=10, about=0.1),
        Case("connect-trust", "connect and close, no authentication, Unix socket", Shape.CONNECT),
        Case("connect-scram", "connect and close, SCRAM, Unix socket", Shape.CONNECT),
        Case("connect-tls", "connect and close, SCRAM, TLS (sslmode=require)", Shape.CONNECT),
        # A channel for each process: all hear what is told on one.
        Case("notify", "a notification to another connection", Shape.NOTIFY, f"{SCHEMA}_{os.getpid()}"),
        *(_series(rows=n) for n in (10**3, 10**4, 10**5, 10**6)),
        *(_series(tasks=n) for n in (10, 10**2, 10**3, 10**4)),
    ]
}
