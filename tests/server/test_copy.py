"""COPY: tables, queries and records, to and from files, functions and iterables."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import contextlib
import datetime
import decimal
import io
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import RUNS_PG_SLEEP, Client, until

pytestmark = [pytest.mark.anyio, pytest.mark.server]


async def fill(connection: Any, count: int = 100) -> None:
    await connection.execute(
        "CREATE TEMP TABLE t (a int, b text);"
        f"INSERT INTO t SELECT i, 'text ' || i FROM generate_series(1, {count}) AS i"
    )


class Sink:
    """A coroutine function that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""

    async def __call__(self, data: bytes) -> None:
        self.data += data


# tables and queries to somewhere


@pytest.mark.checklist("CP-1")
@pytest.mark.parametrize("count", [0, 1, 5000])
async def test_a_table_to_a_function(connection: Any, count: int) -> None:
    await fill(connection, count)
    sink = Sink()
    assert await connection.copy_from_table("t", output=sink) == f"COPY {count}"
    assert sink.data == b"".join(b"%d\ttext %d\n" % (i, i) for i in range(1, count + 1))


@pytest.mark.checklist("CP-1", "CP-7")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, b"1\tx,y\n2\t\\N\n"),
        ({"columns": ["b"]}, b"x,y\n\\N\n"),
        ({"columns": ("b", "a")}, b"x,y\t1\n\\N\t2\n"),
        ({"schema_name": "pg_temp"}, b"1\tx,y\n2\t\\N\n"),
        ({"delimiter": "|", "null": "NULL"}, b"1|x,y\n2|NULL\n"),
        ({"delimiter": "'"}, b"1'x,y\n2'\\N\n"),
        ({"format": "csv"}, b'1,"x,y"\n2,\n'),
        ({"format": "csv", "header": True}, b'a,b\n1,"x,y"\n2,\n'),
        ({"format": "csv", "header": False, "quote": "|"}, b"1,|x,y|\n2,\n"),
        ({"format": "csv", "force_quote": True}, b'"1","x,y"\n"2",\n'),
        ({"format": "csv", "force_quote": False}, b'1,"x,y"\n2,\n'),
        ({"format": "csv", "force_quote": ["a"], "escape": "!"}, b'"1","x,y"\n"2",\n'),
        ({"encoding": "latin1"}, b"1\tx,y\n2\t\\N\n"),
    ],
)
async def test_options(connection: Any, options: dict[str, Any], expected: bytes) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x,y'), (2, NULL)")
    sink = Sink()
    assert await connection.copy_from_table("t", output=sink, **options) == "COPY 2"
    assert sink.data == expected


@pytest.mark.checklist("CP-7")
async def test_names_are_quoted(connection: Any, client: Client) -> None:
    await connection.execute('CREATE TEMP TABLE "T.""x" ("A b" int); INSERT INTO "T.""x" VALUES (1)')
    sink = Sink()
    assert await connection.copy_from_table('T."x', columns=["A b"], output=sink) == "COPY 1"
    assert await connection.copy_to_table('T."x', columns=["A b"], source=bytearray(b"2\n")) == "COPY 1"
    assert await connection.copy_records_to_table('T."x', columns=["A b"], records=[(3,)]) == "COPY 1"
    with pytest.raises(client.UndefinedTableError):
        await connection.copy_from_table('pg_temp.T."x', output=sink)
    assert await connection.fetchval('SELECT sum("A b") FROM "T.""x"') == 6


@pytest.mark.checklist("CP-2")
async def test_a_query_to_a_function(connection: Any) -> None:
    sink = Sink()
    status = await connection.copy_from_query("SELECT i, i * 2 FROM generate_series(1, 3) AS i", output=sink)
    assert status == "COPY 3"
    assert sink.data == b"1\t2\n2\t4\n3\t6\n"


@pytest.mark.checklist("CP-2")
@pytest.mark.parametrize(
    ("query", "args", "expected"),
    [
        ("SELECT $1::text", ("it's \\ $2",), b"it's \\\\ $2\n"),
        ("SELECT $1::text, $2::int, $1::text", (None, 5), b"\\N\t5\t\\N\n"),
        ("SELECT i FROM generate_series($1::int, $2::int) AS i", (1, 3), b"1\n2\n3\n"),
        ("SELECT $1::bytea, $2::timestamptz", (b"\0\xff", datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
         b"\\\\x00ff\t2024-01-02 00:00:00+00\n"),
        ("SELECT a FROM unnest($1::text[]) AS a", (["x", None, "'"],), b"x\n\\N\n'\n"),
        ("SELECT $1 + 1, $2::numeric", (41, decimal.Decimal("1.50")), b"42\t1.50\n"),
    ],
)  # fmt: skip
async def test_a_query_with_arguments(connection: Any, query: str, args: Any, expected: bytes) -> None:
    await connection.execute("SET timezone = 'UTC'")
    sink = Sink()
    await connection.copy_from_query(query, *args, output=sink)
    assert sink.data == expected


@pytest.mark.checklist("CP-2")
@pytest.mark.differs(
    asyncpg="puts the arguments of `copy_from_query` also into strings and comments that hold `$1`.",
    ours="Only parameters are replaced.",
)
async def test_what_is_no_parameter(connection: Any) -> None:
    sink = Sink()
    await connection.copy_from_query("SELECT '$1', $1::text, $$ $1 $$ -- $1", "a", output=sink)
    assert sink.data == b"$1\ta\t $1 \n"


@pytest.mark.checklist("CP-2")
async def test_a_wrong_number_of_arguments(connection: Any, client: Client) -> None:
    with pytest.raises(client.InterfaceError, match="the server expects 1 argument for this query, 2 were passed"):
        await connection.copy_from_query("SELECT $1::int", 1, 2, output=Sink())


@pytest.mark.checklist("CP-5")
async def test_outputs(connection: Any, tmp_path: Path) -> None:
    await fill(connection, 3)
    expected = b"1\ttext 1\n2\ttext 2\n3\ttext 3\n"
    file = io.BytesIO()
    for output in (tmp_path / "a", str(tmp_path / "b"), bytes(tmp_path / "c"), file):
        assert await connection.copy_from_table("t", output=output) == "COPY 3"
    assert [(tmp_path / name).read_bytes() for name in "abc"] == [expected] * 3
    assert file.getvalue() == expected
    with (tmp_path / "d").open("wb") as opened:
        await connection.copy_from_table("t", output=opened)
        assert not opened.closed
    assert (tmp_path / "d").read_bytes() == expected


@pytest.mark.checklist("CP-5")
async def test_what_is_no_output(connection: Any) -> None:
    await fill(connection)
    text = "output is expected to be a file-like object, a path-like object or a coroutine function"
    with pytest.raises(TypeError, match=text):
        await connection.copy_from_table("t", output=1)
    with pytest.raises(FileNotFoundError):
        await connection.copy_from_table("t", output="/nowhere/at/all")
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("CP-5")
@pytest.mark.differs(
    asyncpg="drops what a file without a buffer has not taken in one `write`.",
    ours="The rest is written, too.",
)
async def test_a_file_that_takes_little_at_a_time(connection: Any) -> None:
    class Raw(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data[:7]
            return min(len(data), 7)

    await fill(connection, 3)
    file = Raw()
    await connection.copy_from_table("t", output=file)
    assert file.data == b"1\ttext 1\n2\ttext 2\n3\ttext 3\n"


# to a table


@pytest.mark.checklist("CP-3", "CP-6")
async def test_sources(connection: Any, tmp_path: Path) -> None:
    data = b"1\tx\n2\t\\N\n"
    path = tmp_path / "data"
    path.write_bytes(data)

    async def chunks() -> AsyncIterator[bytes | bytearray | memoryview]:
        yield data[:3]
        yield b""
        yield bytearray(data[3:5])
        yield memoryview(data)[5:]

    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    with path.open("rb") as opened:
        for source in (path, str(path), opened, io.BytesIO(data), bytearray(data), memoryview(data), chunks()):
            assert await connection.copy_to_table("t", source=source) == "COPY 2"
            rows = await connection.fetch("DELETE FROM t RETURNING *")
            assert [tuple(row) for row in rows] == [(1, "x"), (2, None)]
        assert not opened.closed


@pytest.mark.checklist("CP-6")
@pytest.mark.differs(
    asyncpg="takes a `bytes` source for the name of a file.",
    ours="`bytes` are the data; a path is a `str` or has `__fspath__`.",
)
async def test_bytes_are_data(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    assert await connection.copy_to_table("t", source=b"1\tx\n2\ty\n") == "COPY 2"


@pytest.mark.checklist("CP-6")
async def test_what_is_no_source(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    with pytest.raises(TypeError):
        await connection.copy_to_table("t", source=5)
    with pytest.raises(FileNotFoundError):
        await connection.copy_to_table("t", source="/nowhere/at/all")
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("CP-3")
@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (b"1\tx\n", {}, [(1, "x")]),
        (b"x\n", {"columns": ["b"]}, [(None, "x")]),
        (b"1|NULL\n", {"delimiter": "|", "null": "NULL"}, [(1, None)]),
        (b"a,b\n1,x\n", {"format": "csv", "header": True}, [(1, "x")]),
        (b'1,""\n', {"format": "csv", "force_null": ["b"]}, [(1, None)]),
        (b"1,\n", {"format": "csv", "force_not_null": ["b"]}, [(1, "")]),
        (b"1,|x|\n", {"format": "csv", "quote": "|", "escape": "!"}, [(1, "x")]),
        (b"1\t\xe4\n", {"encoding": "latin1"}, [(1, "\u00e4")]),
        (b"", {}, []),
    ],
)
async def test_options_of_copy_to_table(
    connection: Any, data: bytes, options: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    assert await connection.copy_to_table("t", source=bytearray(data), **options) == f"COPY {len(expected)}"
    assert [tuple(row) for row in await connection.fetch("TABLE t")] == expected


@pytest.mark.checklist("CP-3")
async def test_freeze(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute("CREATE TEMP TABLE t (a int)")
        assert await connection.copy_to_table("t", source=bytearray(b"1\n"), freeze=True) == "COPY 1"


@pytest.mark.checklist("CP-3")
@pytest.mark.parametrize(
    ("version", "data", "options", "expected"),
    [
        (15, b"a,b\n1,x\n", {"header": "match"}, [(1, "x")]),
        (16, b"1,D\n", {"default": "D"}, [(1, "by default")]),
        (17, b"1,x\ny,z\n", {"on_error": "ignore", "log_verbosity": "default"}, [(1, "x")]),
        (17, b'1,""\n', {"force_null": True}, [(1, None)]),
        (18, b"1,x\ny,z\n", {"on_error": "ignore", "reject_limit": 1}, [(1, "x")]),
    ],
)
async def test_newer_options(
    connection: Any, client: Client, version: int, data: bytes, options: dict[str, Any], expected: Any
) -> None:
    if not client.is_ours or connection.get_server_version().major < version:
        return  # asyncpg has no such arguments
    await connection.execute("CREATE TEMP TABLE t (a int, b text DEFAULT 'by default')")
    await connection.copy_to_table("t", source=data, format="csv", **options)
    assert [tuple(row) for row in await connection.fetch("TABLE t")] == expected


@pytest.mark.checklist("CP-8")
async def test_where(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    assert await connection.copy_to_table("t", source=bytearray(b"1\tx\n2\ty\n3\tz\n"), where="a > 1") == "COPY 2"
    assert await connection.copy_records_to_table("t", records=[(1, "x"), (2, "y")], where="b = 'x'") == "COPY 1"
    assert await connection.fetchval("SELECT array_agg(a ORDER BY a) FROM t") == [1, 2, 3]


# records


@pytest.mark.checklist("CP-4")
@pytest.mark.parametrize("count", [0, 1, 30_000])
@pytest.mark.parametrize("kind", ["list", "iterator", "asynchronous"])
async def test_records(connection: Any, kind: str, count: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text, c float8)")

    def rows() -> Iterator[tuple[int, str | None, float]]:
        for number in range(count):
            yield number, None if number % 3 == 0 else f"text {number}", number / 2

    async def later() -> AsyncIterator[tuple[int, str | None, float]]:
        for number, row in enumerate(rows()):
            if number % 1000 == 0:
                await anyio.lowlevel.checkpoint()
            yield row

    records: Any = {"list": list(rows()), "iterator": rows(), "asynchronous": later()}[kind]
    assert await connection.copy_records_to_table("t", records=records) == f"COPY {count}"
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM t ORDER BY a")] == list(rows())


@pytest.mark.checklist("CP-4")
async def test_records_of_many_types(connection: Any) -> None:
    await connection.execute(
        "CREATE TEMP TABLE t (a int8, b numeric, c uuid, d timestamptz, e date, f bytea, g bool, h int[], i jsonb)"
    )
    row = (
        2**40, decimal.Decimal("1.50"), uuid.uuid4(), datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC),
        datetime.date(2024, 1, 2), b"\0x", True, [1, None, 3], '{"a": 1}',
    )  # fmt: skip
    await connection.copy_records_to_table("t", records=[row, list(row), [None] * 9])
    assert [tuple(found) for found in await connection.fetch("TABLE t")] == [row, row, (None,) * 9]
    assert await connection.copy_records_to_table("t", columns=["c", "a"], records=[(row[2], 1)]) == "COPY 1"
    records = await connection.fetch("SELECT * FROM t WHERE a > 1")
    assert await connection.copy_records_to_table("t", records=records) == "COPY 2"


@pytest.mark.checklist("CP-4")
async def test_records_with_a_codec(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b bytea, c int[])")
    await connection.set_type_codec(
        "int4",
        schema="pg_catalog",
        encoder=lambda value: int(value, 2).to_bytes(4, "big"),
        decoder=lambda data: bin(int.from_bytes(data, "big")),
        format="binary",
    )
    await connection.copy_records_to_table("t", records=[("101", b"x", ["11", None])])
    assert await connection.fetchval("SELECT t::text FROM t") == '(5,"\\\\x78","{3,NULL}")'


@pytest.mark.checklist("CP-4", "CP-11")
@pytest.mark.differs(
    asyncpg="raises `InternalClientError: no binary format encoder for type ...` where a column's type or codec has no "
    "binary form: tsvector, aclitem, a codec for text.",
    ours="The records are sent as text then, or the codec's text goes into the binary form.",
)
async def test_records_whose_codecs_have_only_text(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b tsvector, c text, d macaddr, e int[])")
    await connection.copy_records_to_table(
        "t", records=[(1, "'x'", "a\tb\\\r\n\\N", "08:00:2b:01:02:03", [1]), (2, None, "", None, None)]
    )
    assert [tuple(row) for row in await connection.fetch("TABLE t")] == [
        (1, "'x'", "a\tb\\\r\n\\N", "08:00:2b:01:02:03", [1]),
        (2, None, "", None, None),
    ]
    await connection.set_type_codec("int4", schema="pg_catalog", encoder=lambda value: str(len(value)), decoder=str)
    await connection.copy_records_to_table("t", columns=["a", "e"], records=[("xxx", ["x", "xx"])])
    assert tuple(await connection.fetchrow("SELECT a, e::text FROM t WHERE b IS NULL AND c IS NULL")) == ("3", "{1,2}")


@pytest.mark.checklist("CP-4", "CP-11")
@pytest.mark.differs(
    asyncpg="cannot write types of extensions without a codec, citext for example.",
    ours="Every type can be written.",
)
async def test_records_of_an_enum_and_a_composite_and_a_domain(connection: Any) -> None:
    await connection.execute(
        "DROP TYPE IF EXISTS copy_pair; DROP TYPE IF EXISTS copy_mood CASCADE; DROP DOMAIN IF EXISTS copy_vector;"
        "CREATE TYPE copy_mood AS ENUM ('sad', 'happy'); CREATE TYPE copy_pair AS (a int, b copy_mood);"
        "CREATE DOMAIN copy_vector AS tsvector;"
        "CREATE TEMP TABLE t (a copy_mood, b copy_pair, c copy_mood[], d copy_vector)"
    )
    await connection.copy_records_to_table("t", records=[("sad", (1, "happy"), ["sad", None], "'x'")])
    assert tuple(await connection.fetchrow("TABLE t")) == ("sad", (1, "happy"), ["sad", None], "'x'")


@pytest.mark.checklist("CP-4")
@pytest.mark.differs(
    asyncpg="cuts a record that is too long, raises `IndexError` for one that is too short, and names neither the row "
    "nor the column of a value that cannot be encoded.",
    ours="A `DataError` names the record, and the column; nothing is copied.",
)
@pytest.mark.parametrize(
    ("record", "message"),
    [
        ((1,), "record #2: expected 2 values, got 1"),
        ((1, "x", 3), "record #2: expected 2 values, got 3"),
        (("x", "x"), r"column 1 in record #2 of .*'x' \('str' object cannot be interpreted as an integer\)"),
        (5, "record #2"),
    ],
)
async def test_records_that_are_refused(connection: Any, client: Client, record: Any, message: str) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    with pytest.raises(client.DataError, match=message):
        await connection.copy_records_to_table("t", records=[(1, "x"), (2, "y"), record])
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("CP-4")
async def test_records_for_a_table_with_generated_columns(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) STORED)")
    with pytest.raises((client.PostgresError, client.InterfaceError)):
        await connection.copy_records_to_table("t", records=[(1, 2)])
    assert await connection.copy_records_to_table("t", columns=["a"], records=[(1,)]) == "COPY 1"


# errors


@pytest.mark.checklist("CP-10")
async def test_the_server_refuses(connection: Any, client: Client, tmp_path: Path) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int PRIMARY KEY, b text)")
    with pytest.raises(client.UndefinedTableError):
        await connection.copy_from_table("nothing", output=tmp_path / "a")
    with pytest.raises(client.UndefinedTableError):
        await connection.copy_to_table("nothing", source=bytearray(b"1\tx\n"))
    with pytest.raises(client.UndefinedTableError):
        await connection.copy_records_to_table("nothing", records=[(1, "x")])
    with pytest.raises(client.DivisionByZeroError):
        await connection.copy_from_query("SELECT 1/0", output=Sink())
    with pytest.raises(client.InvalidTextRepresentationError) as caught:
        await connection.copy_to_table("t", source=bytearray(b"1\tx\ny\tx\n"))
    assert caught.value.context == 'COPY t, line 2, column a: "y"'
    with pytest.raises(client.UniqueViolationError):
        await connection.copy_records_to_table("t", records=[(1, "x"), (1, "y")])
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("CP-10")
async def test_the_server_refuses_in_the_middle(connection: Any, client: Client) -> None:
    """It stops taking anything long before the source is at its end."""
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    given = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 3000:
            given += 1
            yield b"x\ty\n" * 10_000

    with pytest.raises(client.InvalidTextRepresentationError):
        await connection.copy_to_table("t", source=chunks())
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    if client.is_ours:
        assert given < 3000


class Refused(Exception):
    pass


@pytest.mark.checklist("CP-10")
@pytest.mark.parametrize("count", [0, 5])
async def test_a_source_fails(connection: Any, count: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"1\tx\n" * 50_000
        raise Refused

    def records() -> Iterator[tuple[int, str]]:
        yield from [(1, "x")] * count * 1000
        raise Refused

    async def later() -> AsyncIterator[tuple[int, str]]:
        for record in records():
            yield record

    with pytest.raises(Refused):
        await connection.copy_to_table("t", source=chunks())
    for given in (records(), later()):
        with pytest.raises(Refused):
            await connection.copy_records_to_table("t", records=given)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    assert await connection.copy_to_table("t", source=bytearray(b"1\tx\n")) == "COPY 1"


@pytest.mark.checklist("CP-10")
async def test_a_sink_fails(connection: Any) -> None:
    async def sink(data: bytes) -> None:
        raise Refused

    for _ in range(3):
        with pytest.raises(Refused):
            await connection.copy_from_query(
                "SELECT i, repeat('x', 100) FROM generate_series(1, 1000000) i", output=sink
            )
        assert await connection.fetchval("SELECT 5") == 5


async def chunk_and_sleep() -> AsyncIterator[bytes]:
    yield b"1\n"
    await anyio.sleep(60)


@pytest.mark.checklist("CP-10")
@pytest.mark.parametrize("what", ["source", "server"])
async def test_a_time_limit(connection: Any, what: str) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(TimeoutError):
        if what == "source":
            await connection.copy_to_table("t", source=chunk_and_sleep(), timeout=0.1)
        else:
            await connection.copy_from_query("SELECT pg_sleep(60)", output=Sink(), timeout=0.1)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("CP-10")
@pytest.mark.parametrize("what", ["source", "sink", "server"])
async def test_a_cancellation(connection: Any, observer: Any, what: str) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    begun = anyio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"1\n"
        begun.set()
        await anyio.sleep(60)

    async def sink(data: bytes) -> None:
        begun.set()
        await anyio.sleep(60)

    async def copy() -> None:
        if what == "source":
            await connection.copy_to_table("t", source=chunks())
        elif what == "sink":
            await connection.copy_from_query("SELECT i FROM generate_series(1, 10000000) i", output=sink)
        else:
            await connection.copy_from_query("SELECT pg_sleep(60)", output=sink)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy)
        if what == "server":
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
        else:
            await begun.wait()
        tasks.cancel_scope.cancel()
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("CP-10")
async def test_in_a_transaction(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with contextlib.suppress(Refused):
        async with connection.transaction():
            await connection.copy_records_to_table("t", records=[(1,)])
            raise Refused
    async with connection.transaction():
        await connection.copy_records_to_table("t", records=[(2,)])
        with pytest.raises(client.DataError):
            async with connection.transaction():
                await connection.copy_to_table("t", source=bytearray(b"x\n"))
    assert await connection.fetchval("SELECT array_agg(a) FROM t") == [2]


@pytest.mark.checklist("CP-9")
async def test_a_slow_sink_holds_up_the_server(connection: Any, observer: Any) -> None:
    """The server has not produced all of it while the sink has seen only its beginning."""
    pid = connection.get_server_pid()
    received = 0
    waits = "SELECT wait_event = 'ClientWrite' FROM pg_stat_activity WHERE pid = $1"

    async def sink(data: bytes) -> None:
        nonlocal received
        if not received:
            await until(observer, waits, pid)
        received += len(data)

    await connection.copy_from_query("SELECT repeat('x', 99999) FROM generate_series(1, 300)", output=sink)
    assert received == 300 * 100_000


@pytest.mark.checklist("CP-9")
async def test_a_slow_server_holds_up_the_source(connection: Any, observer: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a text)")
    await observer.execute("DROP TABLE IF EXISTS copy_slow; CREATE TABLE copy_slow (a text)")
    given = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(300):
            given += 1
            yield b"x" * 99_999 + b"\n"

    async with anyio.create_task_group() as tasks:
        await observer.execute("BEGIN; LOCK TABLE copy_slow IN ACCESS EXCLUSIVE MODE")
        tasks.start_soon(lambda: connection.copy_to_table("copy_slow", source=chunks()))
        locked = "SELECT count(*) = 1 FROM pg_locks WHERE pid = $1 AND NOT granted"
        await until(observer, locked, connection.get_server_pid())
        assert given < 300
        await observer.execute("COMMIT")
    assert given == 300
    assert await observer.fetchval("SELECT sum(length(a)) FROM copy_slow") == 300 * 99_999
    await observer.execute("DROP TABLE copy_slow")


# in a query, and beside other operations


@pytest.mark.checklist("CP-10")
@pytest.mark.differs(
    asyncpg="hangs, or drops the data without a word, when a query is a COPY FROM STDIN or COPY TO STDOUT.",
    ours="An `InterfaceError` names the method to use, and the connection goes on.",
)
async def test_copy_in_a_query(connection: Any, client: Client) -> None:
    await fill(connection)
    with anyio.move_on_after(5):
        for method in ("execute", "fetch"):
            with pytest.raises(client.InterfaceError, match="COPY TO STDOUT in a query") as caught:
                await getattr(connection, method)("COPY t TO STDOUT")
            assert "copy_from_table()" in caught.value.hint
            with pytest.raises(client.InterfaceError, match="COPY FROM STDIN in a query") as caught:
                await getattr(connection, method)("COPY t FROM STDIN")
            assert "copy_to_table()" in caught.value.hint
        assert await connection.fetchval("SELECT count(*) FROM t") == 100
        return
    raise AssertionError("it hangs")


@pytest.mark.checklist("CP-10")
async def test_the_connection_is_busy_with_a_copy(connection: Any, client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"1\n"
        await connection.fetchval("SELECT 1")

    await connection.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(client.InterfaceError, match="cannot perform operation: "):
        await connection.copy_to_table("t", source=chunks())
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("CP-1", "CP-2", "CP-3", "CP-4")
async def test_copy_of_a_pool(client: Client) -> None:
    sink = Sink()
    async with client.create_pool(**client.settings(min_size=1, max_size=1)) as pool:
        await pool.execute("DROP TABLE IF EXISTS copy_pool; CREATE TABLE copy_pool (a int)")
        assert await pool.copy_records_to_table("copy_pool", records=[(1,), (2,)]) == "COPY 2"
        assert await pool.copy_to_table("copy_pool", source=bytearray(b"3\n")) == "COPY 1"
        assert await pool.copy_from_table("copy_pool", output=sink) == "COPY 3"
        assert await pool.copy_from_query("SELECT $1::int", 4, output=sink) == "COPY 1"
        async with pool.acquire() as connection:
            assert await connection.copy_from_table("copy_pool", output=sink) == "COPY 3"
        await pool.execute("DROP TABLE copy_pool")
    assert sink.data == b"1\n2\n3\n4\n1\n2\n3\n"
