"""Connections that do without the extended protocol: what works, what is refused, and where there is none."""

import enum
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from pgsansio.codecs.custom import EnumCodec, TypeCodec
from tests.support.clients import PATIENCE_SECONDS, RUNS_PG_SLEEP, Client, until
from tests.support.pgbouncer import Pooler, running_pgbouncer
from tests.support.pools import make_pool
from tests.support.servers import Server
from tests.support.wire import tapped

pytestmark = [pytest.mark.anyio, pytest.mark.server, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]

SIMPLE: dict[str, Any] = {"statement_mode": "simple"}


@pytest.fixture
async def connection(client: Client) -> AsyncIterator[Any]:
    async with client.connect(**SIMPLE) as connection:
        await connection.execute("CREATE TEMP TABLE things (number int, name text)")
        yield connection


async def test_what_is_sent(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect(**SIMPLE) as connection:
        with wire.said() as said:
            async with connection.transaction():
                assert await connection.fetchval("SELECT $1::int + 1", 1) == 2
                async with connection.transaction():
                    await connection.executemany("SELECT $1", [("a",), ("b",)])
            await connection.fetchmany("SELECT $1", [("a",), ("b",)])
            await connection.ping()
            await connection.load_types("pg_am", schema="pg_catalog")
            await connection.reset()
    assert {frame.tag for frame in said.frames if frame.sender == ">"} == {"Q"}


async def test_methods(client: Client, connection: Any) -> None:
    await connection.executemany("INSERT INTO things VALUES ($1, $2)", [(1, "it's"), (2, None)])
    assert await connection.execute("UPDATE things SET name = $1 WHERE number = $2", "\\ ' $1", 1) == "UPDATE 1"
    rows = await connection.fetch("SELECT * FROM things ORDER BY number")
    assert rows == [(1, "\\ ' $1"), (2, None)]
    assert rows[0]["name"] == "\\ ' $1"
    assert await connection.fetchrow("SELECT * FROM things WHERE number = $1", 2) == (2, None)
    assert await connection.fetchrow("SELECT * FROM things WHERE number = $1", 3) is None
    assert await connection.fetchval("SELECT * FROM things WHERE number = ANY($1)", [2, 3]) == 2
    assert (await connection.query("DELETE FROM things RETURNING number")).affected == 2
    inserted = await connection.fetchmany("INSERT INTO things VALUES ($1) RETURNING number", [(1,), (2,)])
    assert inserted == [(1,), (2,)]
    assert [len(result.rows) for result in await connection.execute_script("SELECT 1; SELECT 2")] == [1, 1]


async def test_errors(client: Client, connection: Any) -> None:
    with pytest.raises(client.UndefinedColumnError) as caught:
        await connection.fetch("SELECT $1, nowhere", "a long text")
    assert (caught.value.query, caught.value.position) == ("SELECT $1, nowhere", "12")
    with pytest.raises(client.InterfaceError, match="the server expects 1 argument for this query, 2 were passed"):
        await connection.fetch("SELECT $1", 1, 2)
    with pytest.raises(client.DataError, match=r"query argument \$1: \{'a': 1\} .*without a codec for json"):
        await connection.fetch("SELECT $1::json", {"a": 1})
    with pytest.raises(client.InterfaceError, match="several statements"):
        await connection.fetch("SELECT 1; SELECT 2")
    await connection.execute("SET standard_conforming_strings = off; SET backslash_quote = on")
    with pytest.raises(client.InterfaceError, match="standard_conforming_strings is not on"):
        await connection.fetch("SELECT '\\' || $1", "x")
    for text in ("\\'", "\\", "' || 1/0 --", "\\' || 1/0 --"):
        assert await connection.fetchval("SELECT $1", text) == text


@pytest.mark.parametrize("count", [10, 5_000])
async def test_all_elements_or_none(client: Client, connection: Any, count: int) -> None:
    elements: list[tuple[object, str]] = [(number, "x") for number in range(count)]
    await connection.executemany("INSERT INTO things VALUES ($1, $2)", elements)
    assert await connection.fetchval("SELECT count(*) FROM things") == count
    with pytest.raises(client.InvalidTextRepresentationError):
        await connection.executemany("INSERT INTO things VALUES ($1, $2)", [*elements, ("y", "y")])
    with pytest.raises(client.DataError, match=rf"element #{count}"):
        await connection.executemany("INSERT INTO things VALUES ($1, $2)", [*elements, (1, object())])

    async def source() -> AsyncIterator[tuple[object, str]]:
        for element in elements[:10]:
            yield element
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await connection.executemany("INSERT INTO things VALUES ($1, $2)", source())
    assert await connection.fetchval("SELECT count(*) FROM things") == count
    assert not connection.is_in_transaction()


async def test_a_transaction(client: Client, connection: Any) -> None:
    async def divide() -> None:
        async with connection.transaction():
            await connection.fetch("SELECT 1 / $1::int", 0)

    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO things VALUES ($1)", 1)
    with pytest.raises(client.DivisionByZeroError):
        await divide()
    assert await connection.fetchval("SELECT count(*) FROM things") == 1
    await transaction.rollback()
    assert await connection.fetchval("SELECT count(*) FROM things") == 0


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


async def test_types_of_the_database(client: Client, observer: Any) -> None:
    await observer.execute(
        "CREATE SCHEMA simple CREATE TABLE held (mood text);"
        "CREATE TYPE simple.mood AS ENUM ('good', 'bad');"
        "CREATE TYPE simple.pair AS (mood simple.mood, moods simple.mood[], at tsrange)"
    )
    try:
        async with client.connect(**SIMPLE) as connection:
            row = await connection.fetchrow("SELECT $1::simple.pair AS pair", ("good", ["bad", None], None))
            assert row["pair"]["moods"] == ["bad", None]
            assert await connection.fetch("SELECT $1::simple.mood[]", [["good"], ["bad"]]) == [([["good"], ["bad"]],)]
            connection.declare_codecs(EnumCodec("mood", Mood, schema="simple"))
            pair = await connection.fetchval("SELECT $1::simple.pair", (Mood.GOOD, [Mood.BAD], None))
            assert tuple(pair) == (Mood.GOOD, [Mood.BAD], None)
            await connection.set_type_codec("mood", schema="simple", encoder=str, decoder=str.upper)
            assert await connection.fetchval("SELECT $1::simple.mood", "good") == "GOOD"
            with pytest.raises(ValueError, match=r"unknown type: simple\.nothing"):
                await connection.load_types("nothing", schema="simple")
            await connection.reload_schema_state()
            await connection.load_types("pair", schema="simple")
    finally:
        await observer.execute("DROP SCHEMA simple CASCADE")


async def test_a_codec_for_binary_alone(client: Client, connection: Any) -> None:
    """Values travel as text; where the library has no codec for both forms, none can be made of the other."""
    own = TypeCodec("bool", schema="pg_catalog", encoder=bytes, decoder=list, format="binary")
    assert await connection.fetchval("SELECT true", codecs=[own]) == [1]
    own = TypeCodec("aclitem", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
    query = "SELECT 'pg_monitor=r/pg_monitor'::aclitem"
    with pytest.raises(client.UnsupportedClientFeatureError, match="declared for type aclitem has no form for text"):
        await connection.fetch(query, codecs=[own])
    assert await connection.fetchval(query) == "pg_monitor=r/pg_monitor"
    assert await connection.fetchval("SELECT NULL::aclitem", codecs=[own]) is None


async def test_json(client: Client) -> None:
    async with client.connect(**SIMPLE, json=json) as connection:
        value = {"a": ["it's", {"b": None}]}
        assert await connection.fetchval("SELECT $1::jsonb", value) == value
        assert await connection.fetchval("SELECT to_jsonb($1::int[])", [1, 2]) == [1, 2]
        with pytest.raises(client.DataError, match="JSON's object"):
            await connection.fetchval("SELECT $1::int[]", [])


async def test_a_moment_keeps_its_zone_wherever_it_goes(client: Client, connection: Any) -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    await connection.execute("SET timezone = 'Asia/Tokyo'")
    assert await connection.fetchval("SELECT $1::timestamptz", moment) == moment
    # As any instant that is stored without its zone, by the session's.
    assert await connection.fetchval("SELECT $1::timestamp", moment) == datetime(2026, 7, 1, 21)
    assert await connection.fetchval("SELECT $1::timestamp", moment.replace(tzinfo=None)) == datetime(2026, 7, 1, 12)
    with pytest.raises(client.DatatypeMismatchError, match="of type bytea"):
        await connection.execute("INSERT INTO things (number) VALUES ($1)", b"1")


async def test_copy(client: Client, connection: Any) -> None:
    assert await connection.copy_records_to_table("things", records=[(1, "a"), (2, None)]) == "COPY 2"
    output = io.BytesIO()
    assert await connection.copy_from_query("SELECT $1, name FROM things", "it's", output=output) == "COPY 2"
    assert output.getvalue() == b"it's\ta\nit's\t\\N\n"
    chunks = [chunk async for chunk in connection.copy_chunks_from_query("SELECT $1::int", 5)]
    assert b"".join(chunks) == b"5\n"
    assert await connection.copy_to_table("things", source=b"3\tc\n") == "COPY 1"
    with pytest.raises(client.UnsupportedClientFeatureError, match="copy_records_from"):
        connection.copy_records_from_table("things")
    with pytest.raises(client.DataError, match=r"query argument \$1"):
        await connection.copy_from_query("SELECT $1", object(), output=output)
    assert await connection.fetchval("SELECT count(*) FROM things") == 3


async def test_time_limits_and_cancelling(client: Client, connection: Any, observer: Any) -> None:
    with pytest.raises(TimeoutError):
        await connection.fetch("SELECT pg_sleep($1)", 60, timeout=0.05)
    with anyio.move_on_after(0.05):
        await connection.fetch("SELECT pg_sleep($1)", 60)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.fetch, "SELECT pg_sleep(60)")
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
            tasks.cancel_scope.cancel()
    assert await connection.fetchval("SELECT 1") == 1


async def test_many_tasks_and_notifications(connection: Any) -> None:
    found: list[object] = []

    async def ask(number: int) -> None:
        found.append(await connection.fetchval("SELECT $1::int", number))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
    assert sorted(found, key=str) == sorted(range(20), key=str)
    async with connection.notifications("simple_channel") as notifications:
        await connection.execute("SELECT pg_notify($1, $2)", "simple_channel", "it's")
        async for notification in notifications:
            assert notification.payload == "it's"
            break


async def test_a_pool(client: Client) -> None:
    async with make_pool(client, max_size=2, check=0.0, **SIMPLE) as pool:
        assert await pool.fetchval("SELECT $1::int", 1) == 1
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
            await connection.execute("SET search_path = nowhere")
        async with pool.acquire() as connection:
            assert connection.get_server_pid() == pid
            assert await connection.fetchval("SHOW search_path") != "nowhere"


async def test_a_role_can_be_asked_for(client: Client) -> None:
    async with client.connect(**SIMPLE, target_session_attrs="primary") as connection:
        assert await connection.fetchval("SELECT 1") == 1


# Where there is no other protocol: nobody has to say so


@pytest.mark.parametrize("kind", ["database", "true"])
async def test_a_replication_connection(client: Client, kind: str) -> None:
    async with client.connect(server_settings={"replication": kind}) as connection:
        found = await connection.fetchrow("IDENTIFY_SYSTEM")
        assert found["timeline"] == 1
        assert found["dbname"] == (client.server.database if kind == "database" else None)
        await connection.ping()
        if kind == "database":
            assert await connection.fetchval("SELECT $1::int", 1) == 1
            slot = await connection.fetchrow('CREATE_REPLICATION_SLOT "simple" TEMPORARY PHYSICAL')
            assert slot["slot_name"] == "simple"
            await connection.execute('DROP_REPLICATION_SLOT "simple"')
        else:
            with pytest.raises(client.FeatureNotSupportedError, match="cannot execute SQL"):
                await connection.fetch("SELECT 1")
        assert await connection.fetchval("SHOW port") == str(client.server.port)


@pytest.fixture(scope="module")
def pooler(pgbouncer_version: str, postgres: Server) -> Iterator[Pooler]:
    with running_pgbouncer(pgbouncer_version, postgres) as pooler:
        yield pooler


async def test_the_console_of_pgbouncer(client: Client, pooler: Pooler) -> None:
    async with client.module.connect(pooler.admin_dsn) as console:
        assert "bouncer" in console.get_settings().server_version
        (pool,) = [row for row in await console.fetch("SHOW POOLS") if row["database"] == "pgbouncer"]
        assert pool["cl_active"] >= 1
        assert (await console.fetchval("SHOW VERSION")).startswith("PgBouncer")
        assert await console.execute("RELOAD") == "RELOAD"
        with pytest.raises(client.PostgresError, match="invalid command 'SELECT 1'"):
            await console.fetch("SELECT 1")
        await console.ping()
        await console.reset()
    async with client.module.create_pool(pooler.admin_dsn, min_size=1, max_size=1) as pool:
        async with pool.acquire() as console:
            clients = await console.fetch("SHOW CLIENTS")
        async with pool.acquire() as console:
            # It is the same connection, which needed nothing to be as new.
            assert [row["port"] for row in await console.fetch("SHOW CLIENTS")] == [row["port"] for row in clients]


async def test_through_pgbouncer(client: Client, pooler: Pooler) -> None:
    async with client.module.connect(pooler.dsn, **SIMPLE) as connection:
        async with connection.transaction():
            assert await connection.fetchval("SELECT $1::int", 1) == 1
        await connection.executemany("SELECT $1", [(number,) for number in range(5_000)])
        assert await connection.fetchval("SELECT $1", "\\ '") == "\\ '"
