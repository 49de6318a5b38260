"""What COPY can do beyond asyncpg: records out, by loops that pull, between two connections, with progress."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import io
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from pgsansio.codecs.custom import TypeCodec
from tests.support.clients import Client, until
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]

MANY = "SELECT i, repeat('x', 100) AS b FROM generate_series(1, 100000) AS i"


class Refused(Exception):
    pass


async def drop(data: bytes) -> None:
    pass


# records out


async def test_records_of_a_query(connection: Any) -> None:
    records = connection.copy_records_from_query(
        "SELECT i AS a, CASE WHEN i % 3 > 0 THEN 'text ' || i END AS b FROM generate_series(1, $1::int) AS i", 5000
    )
    found = [(record["a"], record.get("b")) async for record in records]
    assert found == [(i, None if i % 3 == 0 else f"text {i}") for i in range(1, 5001)]
    assert records.status == "COPY 5000"
    assert [record async for record in records] == []
    assert await records.batch() == []


@pytest.mark.parametrize("count", [0, 1, 2, 7])
async def test_batches(connection: Any, count: int) -> None:
    records = connection.copy_records_from_query("SELECT * FROM generate_series(1, $1::int)", count, batch_size=2)
    batches = []
    while batch := await records.batch():
        batches.append([value for (value,) in batch])
    numbers = list(range(1, count + 1))
    assert batches == [numbers[start : start + 2] for start in range(0, count, 2)]
    assert records.status == f"COPY {count}"


async def test_records_of_a_table(connection: Any, client: Client) -> None:
    class Row(client.Record):  # type: ignore[name-defined, misc]
        pass

    await connection.execute('CREATE TEMP TABLE "T" (a int, b text); INSERT INTO "T" VALUES (1, \'x\'), (2, NULL)')
    assert [tuple(record) async for record in connection.copy_records_from_table("T")] == [(1, "x"), (2, None)]
    records = connection.copy_records_from_table("T", columns=["b"], schema_name="pg_temp", record_class=Row)
    first = await anext(records)
    assert type(first) is Row
    assert first["b"] == "x"
    assert await records.batch() == [(None,)]
    with pytest.raises(client.InterfaceError, match="record_class"):
        await anext(connection.copy_records_from_table("T", record_class=int))
    with pytest.raises(client.UndefinedTableError):
        await anext(connection.copy_records_from_table("t"))
    with pytest.raises(ValueError, match="batch_size"):
        connection.copy_records_from_table("T", batch_size=0)
    assert await connection.fetchval("SELECT 1") == 1


async def test_columns_that_are_text(connection: Any) -> None:
    """Types without a binary form, and codecs for text, beside others: as a query has them."""
    query = """SELECT 'a'::tsvector AS a, 1 AS b, NULL::tsquery AS c, '{b,c}'::tsvector[] AS d, true AS b,
        (SELECT relacl FROM pg_class WHERE relacl IS NOT NULL LIMIT 1) AS e, '10.0.0.1'::inet AS f"""
    expected = await connection.fetch(query)
    assert [record async for record in connection.copy_records_from_query(query)] == expected
    for name in ("bool", "inet"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=lambda text: f"<{text}>")
    found = [record async for record in connection.copy_records_from_query(query)]
    assert found == await connection.fetch(query)
    assert found[0][4] == "<t>"
    assert found[0]["f"] == "<10.0.0.1>"


async def test_records_of_what_a_statement_returns(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b tsvector)")
    query = "INSERT INTO t VALUES (1, 'x'), (2, NULL) RETURNING a, b -- and a comment"
    found = [tuple(record) async for record in connection.copy_records_from_query(query)]
    assert found == [(1, "'x'"), (2, None)]
    assert await connection.fetchval("SELECT count(*) FROM t") == 2


async def test_codecs_of_one_copy(connection: Any) -> None:
    codecs = [
        TypeCodec("int4", schema="pg_catalog", encoder=lambda value: str(-value), decoder=lambda text: -int(text))
    ]
    await connection.execute("CREATE TEMP TABLE t (a int, b int[])")
    await connection.copy_records_to_table("t", records=[(1, [2]), (3, None)], codecs=codecs)
    assert await connection.fetch("TABLE t") == [(-1, [-2]), (-3, None)]
    found = [tuple(record) async for record in connection.copy_records_from_table("t", codecs=codecs)]
    assert found == [(1, [2]), (3, None)]
    assert await connection.copy_records_to_table("t", records=[(5, None)]) == "COPY 1"
    assert await connection.fetchval("SELECT max(a) FROM t") == 5
    query = "SELECT $1::int, a FROM t LIMIT 1"
    assert [r async for r in connection.copy_records_from_query(query, 7, codecs=codecs)] == [(7, 1)]


async def test_a_value_that_python_does_not_have(connection: Any, client: Client) -> None:
    """Those before it come; then its error, and the connection goes on."""
    records = connection.copy_records_from_query("SELECT d FROM (VALUES ('2024-01-01'::date), ('20000-01-01')) v(d)")
    assert [await anext(records)]
    with pytest.raises(client.DataError, match="date"):
        await anext(records)
    with pytest.raises(StopAsyncIteration):
        await anext(records)
    assert await connection.fetchval("SELECT 1") == 1


async def test_types_that_nobody_knows(connection: Any, observer: Any) -> None:
    await observer.execute(
        "DROP TYPE IF EXISTS copied; DROP TYPE IF EXISTS copied_mood; CREATE TYPE copied_mood AS ENUM ('sad');"
        "CREATE TYPE copied AS (a int, b copied_mood[])"
    )
    query = "SELECT (1, '{sad}')::copied, '{sad}'::copied_mood[]"
    found = [tuple(record) async for record in connection.copy_records_from_query(query)]
    assert found == [((1, ["sad"]), ["sad"])]
    await observer.execute("ALTER TYPE copied ADD ATTRIBUTE c text")
    query = "SELECT (1, '{sad}', 'x')::copied"
    with pytest.raises(ValueError, match="cannot decode a value of a COPY") as caught:
        await anext(connection.copy_records_from_query(query))
    assert "run the COPY again" in str(caught.value.hint)  # type: ignore[attr-defined]
    assert [tuple(r) async for r in connection.copy_records_from_query(query)] == [((1, ["sad"], "x"),)]
    await observer.execute("DROP TYPE copied; DROP TYPE copied_mood")


# leaving early


@pytest.mark.parametrize("how", ["break", "aclose", "block", "error", "forgotten"])
@pytest.mark.parametrize("kind", ["records", "chunks"])
async def test_left_early(connection: Any, how: str, kind: str) -> None:
    for _ in range(3):
        stream = getattr(connection, f"copy_{kind}_from_query")(MANY)
        if how == "break":
            async for _item in stream:
                break
        elif how == "aclose":
            await anext(stream)
            await stream.aclose()
            await stream.aclose()
        elif how == "block":
            async with stream:
                pass
        elif how == "error":
            with pytest.raises(Refused):
                async with stream as entered:
                    async for _item in entered:
                        raise Refused
        else:
            await anext(stream)
        if how == "aclose":
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        del stream
        assert await connection.fetchval("SELECT 5") == 5
    assert not connection.is_in_transaction()


@pytest.mark.parametrize("kind", ["chunks", "records"])
async def test_left_open_at_a_release(client: Client, kind: str) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as borrowed:
            pid = borrowed.get_server_pid()
            stream = getattr(borrowed, f"copy_{kind}_from_query")(MANY)
            assert await stream.__anext__()
        # Nobody waits for the time limit of the reset.
        with anyio.fail_after(10):
            assert await pool.fetchval("SELECT pg_backend_pid()") == pid
        with pytest.raises(client.InterfaceError, match="has been released back to the pool"):
            while True:
                await stream.__anext__()


async def test_never_begun(connection: Any) -> None:
    stream = connection.copy_chunks_from_query(MANY)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert stream.status is None
    del stream
    assert await connection.fetchval("SELECT 5") == 5


async def test_a_time_limit_of_a_stream(connection: Any) -> None:
    stream = connection.copy_records_from_query("SELECT pg_sleep(60)", timeout=0.05)
    with pytest.raises(TimeoutError):
        await anext(stream)
    assert await connection.fetchval("SELECT 5") == 5
    stream = connection.copy_chunks_from_query("SELECT i, pg_sleep(60) FROM generate_series(1, 2) i", timeout=0.05)
    with pytest.raises(TimeoutError):
        async for _ in stream:
            pass
    assert await connection.fetchval("SELECT 5") == 5


async def test_the_loop_uses_the_connection_itself(connection: Any, client: Client) -> None:
    with pytest.raises(client.InterfaceError, match="in the middle of another one") as caught:
        async for _ in connection.copy_records_from_query(MANY):
            await connection.fetchval("SELECT 1")
    assert "COPY" in str(caught.value)
    assert await connection.fetchval("SELECT 5") == 5


async def test_others_wait(connection: Any) -> None:
    count = 0
    values = []

    async def other() -> None:
        values.append((await connection.fetchval("SELECT 5"), count))

    async with anyio.create_task_group() as tasks:
        async for _ in connection.copy_records_from_query(MANY):
            if not count:
                tasks.start_soon(other)
                await anyio.lowlevel.checkpoint()
            count += 1
    assert count == 100_000
    ((value, seen),) = values
    # Not before all data has come, the last of which is still to be decoded.
    assert value == 5
    assert seen > 50_000


# between connections


@pytest.mark.parametrize("copy_format", ["text", "binary", "csv"])
async def test_from_one_connection_to_another(connection: Any, observer: Any, copy_format: str) -> None:
    await observer.execute("CREATE TEMP TABLE t (a int, b text)")
    source = connection.copy_chunks_from_query(MANY, format=copy_format)
    assert await observer.copy_to_table("t", source=source, format=copy_format) == "COPY 100000"
    assert await observer.fetchval("SELECT sum(a) + sum(length(b)) FROM t") == 100_000 * 100_001 // 2 + 10**7
    assert source.status == "COPY 100000"


async def test_records_from_one_connection_to_another(connection: Any, observer: Any) -> None:
    await observer.execute("CREATE TEMP TABLE t (a int8, b text)")
    records = connection.copy_records_from_query(MANY)
    assert await observer.copy_records_to_table("t", records=records) == "COPY 100000"


@pytest.mark.parametrize("who", ["source", "target"])
async def test_one_of_two_fails(connection: Any, observer: Any, client: Client, who: str) -> None:
    await observer.execute("CREATE TEMP TABLE t (a int, b text)")
    query = "SELECT i, 10 / (50000 - i) FROM generate_series(1, 100000) AS i" if who == "source" else MANY
    if who == "target":
        await observer.execute("ALTER TABLE t ADD CHECK (a < 50000)")
    error = client.DivisionByZeroError if who == "source" else client.CheckViolationError
    with pytest.raises(error):
        await observer.copy_to_table("t", source=connection.copy_chunks_from_query(query))
    assert await observer.fetchval("SELECT count(*) FROM t") == 0
    assert await connection.fetchval("SELECT 5") == 5


async def test_one_of_two_is_slow(connection: Any, observer: Any, client: Client) -> None:
    """While the target waits for a lock, the source's server has to wait, too."""
    await observer.execute(
        "DROP TABLE IF EXISTS copy_lock; CREATE TABLE copy_lock (a int); CREATE TEMP TABLE t (a text)"
    )
    await observer.execute(
        "CREATE OR REPLACE FUNCTION pg_temp.wait() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN LOCK TABLE public.copy_lock; RETURN NEW; END';"
        "CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.wait()"
    )
    query = "SELECT repeat('x', 99999) FROM generate_series(1, 300)"
    waits = "SELECT wait_event = 'ClientWrite' FROM pg_stat_activity WHERE pid = $1"
    async with client.connect() as third:
        await third.execute("BEGIN; LOCK TABLE copy_lock")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                lambda: observer.copy_to_table("t", source=connection.copy_chunks_from_query(query), columns=["a"])
            )
            await until(third, waits, connection.get_server_pid())
            await third.execute("COMMIT")
        assert await observer.fetchval("SELECT count(*) FROM t") == 300
        await third.execute("DROP TABLE copy_lock")


async def test_a_connection_is_not_its_own_source(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    with pytest.raises(client.InterfaceError, match="in the middle of another one"):
        await connection.copy_to_table("t", source=connection.copy_chunks_from_query(MANY))
    async with connection.copy_chunks_from_query(MANY) as chunks:
        with pytest.raises(client.InterfaceError, match="in the middle of another one"):
            await connection.copy_to_table("t", source=chunks)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


# progress


async def test_progress(connection: Any, tmp_path: Path) -> None:
    told: list[tuple[int | None, int]] = []

    async def later(rows: int | None, size_bytes: int) -> None:
        await anyio.lowlevel.checkpoint()
        told.append((rows, size_bytes))

    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    rows = [(i, "x" * 100) for i in range(10_000)]
    await connection.copy_records_to_table("t", records=rows, progress=later)
    counts = [count for count, _ in told if count is not None]
    assert counts == sorted(counts)
    assert counts[-1] == 10_000
    assert len(counts) > 10
    size_bytes = 10_000 * (2 + 8 + 4 + 100) + 19 + 2
    assert told[-1][1] == size_bytes

    for call in (
        connection.copy_from_table("t", output=tmp_path / "a", format="binary", progress=later),
        connection.copy_to_table("t", source=tmp_path / "a", format="binary", progress=later),
    ):
        told.clear()
        await call
        assert [count for count, _ in told if count is not None] == []
        assert [size for _, size in told] == sorted({size for _, size in told})
        assert told[-1][1] == size_bytes

    told.clear()
    async for _ in connection.copy_chunks_from_table("t", format="binary", progress=later):
        pass
    assert told[-1] == (None, 2 * size_bytes - 21)
    told.clear()
    async for _ in connection.copy_records_from_table("t", progress=later):
        pass
    assert told[-1][0] == 20_000


@pytest.mark.parametrize("method", ["in", "out", "records", "chunks"])
async def test_progress_fails(connection: Any, method: str) -> None:
    def refuse(rows: int | None, size_bytes: int) -> None:
        raise Refused

    await connection.execute("CREATE TEMP TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(Refused):
        if method == "in":
            await connection.copy_to_table("t", source=b"1\tx\n" * 1_000_000, progress=refuse)
        elif method == "out":
            await connection.copy_from_table("t", output=drop, progress=refuse)
        else:
            await anext(getattr(connection, f"copy_{method}_from_table")("t", progress=refuse))
    assert await connection.fetchval("SELECT count(*) FROM t") == 1


# files


async def test_text_files_are_refused(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    with pytest.raises(TypeError, match="output is expected to be a file opened in binary mode"):
        await connection.copy_from_table("t", output=io.StringIO())
    with pytest.raises(TypeError, match="source is expected to be a file opened in binary mode"):
        await connection.copy_to_table("t", source=io.StringIO("1\tx\n"))
    with pytest.raises(TypeError, match="columns is expected to be a list of column names, got 'ab'"):
        await connection.copy_from_table("t", columns="ab", output=drop)


async def test_asynchronous_files(connection: Any, tmp_path: Path) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x')")
    async with await anyio.open_file(tmp_path / "a", "wb") as output:
        assert await connection.copy_from_table("t", output=output) == "COPY 1"
    async with await anyio.open_file(tmp_path / "a", "rb") as source:
        assert await connection.copy_to_table("t", source=source) == "COPY 1"
    assert await connection.fetch("TABLE t") == [(1, "x")] * 2


async def test_files_are_used_off_the_loop(connection: Any) -> None:
    here = threading.get_ident()
    threads = set()

    class File(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            threads.add(threading.get_ident())
            return super().read(size)

        def write(self, data: Any, /) -> int:
            threads.add(threading.get_ident())
            return super().write(data)

    await connection.execute("CREATE TEMP TABLE t (a int)")
    await connection.copy_to_table("t", source=File(b"1\n"))
    await connection.copy_from_table("t", output=File())
    assert threads
    assert here not in threads


async def test_a_source_that_gives_text(connection: Any) -> None:
    async def chunks() -> AsyncIterator[Any]:
        yield "1\n"

    class File:
        def read(self, size: int) -> Any:
            return "1\n"

    await connection.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(TypeError, match="a COPY source is expected to yield bytes, got str"):
        await connection.copy_to_table("t", source=chunks())
    with pytest.raises(TypeError, match=r"read\(\) of a COPY source is expected to return bytes, got str"):
        await connection.copy_to_table("t", source=File())
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_a_cancelled_copy_closes_its_file(connection: Any, observer: Any, tmp_path: Path) -> None:
    """A file left open would be a ResourceWarning, which fails the test."""
    path = tmp_path / "a"
    path.write_bytes(b"1\tx\n" * 1_000_000)
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    for number in range(8):
        with anyio.move_on_after(0.002 * number):
            await connection.copy_to_table("t", source=path)
        with anyio.move_on_after(0.002 * number):
            await connection.copy_from_query(MANY, output=tmp_path / "b")
    assert await connection.fetchval("SELECT 5") == 5


async def test_an_iterator_of_a_copy_that_fails_is_closed(connection: Any, client: Client) -> None:
    closed = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x\n" * 100_000
        finally:
            closed.append("chunks")

    async def records() -> AsyncIterator[tuple[Any]]:
        try:
            while True:
                yield ("x",)
        finally:
            closed.append("records")

    await connection.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(client.InvalidTextRepresentationError):
        await connection.copy_to_table("t", source=chunks())
    with pytest.raises(client.DataError):
        await connection.copy_records_to_table("t", records=records())
    assert closed == ["chunks", "records"]
    with pytest.raises(TypeError):
        await connection.copy_records_to_table("t", records=5)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


# cancellation and time


async def test_a_time_limit_holds_for_the_sink_too(connection: Any) -> None:
    async def sink(data: bytes) -> None:
        await anyio.sleep(60)

    with pytest.raises(TimeoutError):
        await connection.copy_from_query("SELECT 1", output=sink, timeout=0.05)
    assert await connection.fetchval("SELECT 5") == 5


async def test_cancelled_at_any_time(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    rows = [(i, "x") for i in range(100_000)]
    for number in range(10):
        for call in (
            lambda: connection.copy_records_to_table("t", records=rows),
            lambda: connection.copy_from_query(MANY, output=drop),
            lambda: connection.copy_from_query("SELECT $1::int, pg_sleep(60)", 1, output=drop),
        ):
            with anyio.move_on_after(0.003 * number):
                await call()
    assert not connection.is_closed()
    assert await connection.fetchval("SELECT 5") == 5
    assert await connection.fetchval("SELECT count(*) % 100000 FROM t") == 0


async def test_records_for_a_table_with_generated_columns(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) STORED)")
    with pytest.raises(client.InterfaceError, match="the table has 2 columns, of which COPY takes 1"):
        await connection.copy_records_to_table("t", records=[(1, 2)])
    assert [tuple(r) async for r in connection.copy_records_from_table("t")] == []
    assert await connection.copy_records_to_table("t", columns=["a"], records=[(1,)]) == "COPY 1"
    assert [tuple(r) async for r in connection.copy_records_from_table("t")] == [(1, 2)]
