"""A program for asyncpg that a tracing library looks at: its spans are printed as JSON.

Arguments: asyncpg, or pgsansio to install this library as asyncpg; sentry or opentelemetry; a DSN; the folder of the
same server's Unix socket. Nothing is sent anywhere: spans stay in the memory of this process.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

Spans = list[dict[str, Any]]


@contextlib.contextmanager
def sentry() -> Iterator[Callable[[], Spans]]:
    """Sentry's; what a transaction would send is kept."""
    import sentry_sdk
    from sentry_sdk.integrations.asyncpg import AsyncPGIntegration
    from sentry_sdk.transport import Transport

    events: list[Any] = []

    class Memory(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            events.extend(item.payload.json for item in envelope.items if item.type == "transaction")

    sentry_sdk.init(
        dsn="http://key@localhost/1",
        transport=Memory,
        traces_sample_rate=1.0,
        integrations=[AsyncPGIntegration(record_params=True)],
        default_integrations=False,
        auto_enabling_integrations=False,
    )

    def spans() -> Spans:
        (transaction,) = events
        return [
            {
                "op": span.get("op"),
                "name": span["description"],
                "status": span.get("status"),
                # Where the cursor was in memory, and which lines of code asked.
                "data": {
                    key: value
                    for key, value in span["data"].items()
                    if not key.startswith(("code.", "thread.")) and key != "db.cursor"
                },
                "cursor": span["data"].get("db.cursor", "").rpartition(" ")[0],
            }
            for span in transaction["spans"]
        ]

    with sentry_sdk.start_transaction(name="program"):
        yield spans


@contextlib.contextmanager
def opentelemetry() -> Iterator[Callable[[], Spans]]:
    """OpenTelemetry's."""
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    # It looks for the distribution asyncpg, which need not be there.
    instrumentor = AsyncPGInstrumentor(capture_parameters=True)
    instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)

    def spans() -> Spans:
        return [
            {"name": span.name, "status": span.status.status_code.name, "data": dict(span.attributes or {})}
            for span in memory.get_finished_spans()
        ]

    yield spans
    instrumentor.uninstrument()


async def program(dsn: str, socket_dir: str) -> None:
    """Everything that is traced of asyncpg."""
    import asyncpg

    connection = await asyncpg.connect(dsn)
    await queries(connection)
    await prepared(connection)
    await transactions(connection)
    await cursors(connection)
    await copying(connection)
    await connection.close()
    port = urlsplit(dsn).port
    async with asyncpg.create_pool(dsn, host=socket_dir, port=port, min_size=1, max_size=1) as pool:
        await pool.execute("SELECT 'pool'")
        async with pool.acquire() as borrowed:
            await queries(borrowed)
            await prepared(borrowed)
            await cursors(borrowed)
        assert await pool.fetchval("SELECT $1::text", "pool") == "pool"
    with contextlib.suppress(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(dsn, database="nowhere")


async def queries(connection: Any) -> None:
    import asyncpg

    await connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS things (a int, b text)")
    await connection.execute("TRUNCATE things; SELECT 1;")
    assert await connection.execute("INSERT INTO things VALUES ($1, $2)", 1, "one") == "INSERT 0 1"
    await connection.executemany("INSERT INTO things VALUES ($1, $2)", [(2, "two"), (3, "three")])
    assert len(await connection.fetch("SELECT * FROM things WHERE a > $1", 0, timeout=30)) == 3
    assert (await connection.fetchrow("SELECT a,\n b FROM things ORDER BY a"))["b"] == "one"
    assert await connection.fetchval("/* app */ SELECT b FROM things WHERE a = $1", 2) == "two"
    assert await connection.fetchmany("SELECT $1::int", [(1,), (2,)]) == [(1,), (2,)]
    with contextlib.suppress(asyncpg.UndefinedTableError):
        await connection.fetch("SELECT * FROM nothing")
    with contextlib.suppress(asyncpg.PostgresSyntaxError):
        await connection.execute("SELEKT")
    await connection.add_listener("channel", print)
    await connection.remove_listener("channel", print)
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def prepared(connection: Any) -> None:
    statement = await connection.prepare("SELECT a FROM things WHERE a >= $1 ORDER BY a")
    assert await statement.fetch(2) == [(2,), (3,)]
    assert await statement.fetchrow(1) == (1,)
    assert await statement.fetchval(3, timeout=30) == 3
    assert await statement.fetchmany([(3,), (2,)]) == [(3,), (2,), (3,)]
    await statement.executemany([(1,), (2,)])
    async with connection.transaction():
        assert [row["a"] async for row in statement.cursor(2, prefetch=1)] == [2, 3]
        cursor = await statement.cursor(1)
        assert await cursor.fetch(5) == [(1,), (2,), (3,)]
    await statement.explain(1)


async def transactions(connection: Any) -> None:
    async with connection.transaction(isolation="serializable", readonly=True):
        await connection.fetchval("SELECT 1")
        async with connection.transaction():
            await connection.fetchval("SELECT 2")
    with contextlib.suppress(ZeroDivisionError):
        async with connection.transaction():
            with contextlib.suppress(ZeroDivisionError):
                async with connection.transaction():
                    raise ZeroDivisionError
            raise ZeroDivisionError
    transaction = connection.transaction()
    await transaction.start()
    await transaction.commit()


async def cursors(connection: Any) -> None:
    async with connection.transaction():
        cursor = await connection.cursor("SELECT generate_series(1, $1::int)", 10)
        assert await cursor.fetch(3) == [(1,), (2,), (3,)]
        assert await cursor.forward(2) == 2
        assert await cursor.fetchrow() == (6,)
        assert len(await cursor.fetch(9)) == 4
        assert [row async for row in connection.cursor("SELECT 1 WHERE false")] == []
        assert len([row async for row in connection.cursor("SELECT generate_series(1, 5)")]) == 5
        assert len([row async for row in connection.cursor("SELECT generate_series(1, 4)", prefetch=2)]) == 4


async def copying(connection: Any) -> None:
    await connection.copy_records_to_table("things", records=[(4, "four")], columns=["a", "b"])
    chunks = []

    async def take(data: bytes) -> None:
        chunks.append(data)

    await connection.copy_from_query("SELECT a FROM things WHERE a = 4", output=take)
    await connection.copy_from_table("things", output=take)
    assert chunks[0] == b"4\n"


async def main(driver: str, tracer: str, dsn: str, socket_dir: str) -> None:
    if driver == "pgsansio":
        from pgsansio_asyncio import install_as_asyncpg

        install_as_asyncpg()
    with {"sentry": sentry, "opentelemetry": opentelemetry}[tracer]() as spans:
        await program(dsn, socket_dir)
    print(json.dumps(spans()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
