"""The statement cache: what is kept, for how long, and what becomes of what is not."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from pgsansio.messages.frontend import Target
from tests.support.clients import PATIENCE_SECONDS, Client
from tests.support.wire import Said, tapped

pytestmark = [pytest.mark.anyio, pytest.mark.server]


def prepared(said: Said) -> list[str]:
    """The texts of statements that were given a name."""
    return [message.query for message in said.sent("P") if message.statement]


def anonymous(said: Said) -> list[str]:
    return [message.query for message in said.sent("P") if not message.statement]


def closed(said: Said) -> int:
    """How many statements were closed."""
    return sum(message.target is Target.STATEMENT and message.name != "" for message in said.sent("C"))


@pytest.mark.checklist("SC-1")
async def test_the_least_recently_used_goes_first(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect(statement_cache_size=2) as connection:
        with wire.said() as said:
            for number in (1, 2, 1, 3, 1, 2):
                assert await connection.fetchval(f"SELECT {number}") == number
    assert prepared(said) == ["SELECT 1", "SELECT 2", "SELECT 3", "SELECT 2"]


@pytest.mark.checklist("SC-1")
async def test_a_hundred_are_kept(connection: Any) -> None:
    for number in range(105):
        await connection.execute(f"SELECT {number} WHERE $1", True)
    kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%WHERE $1'"
    assert await connection.fetchval(kept) in (99, 100), "this one needs a place, too"


@pytest.mark.checklist("SC-1")
async def test_without_a_cache_nothing_has_a_name(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect(statement_cache_size=0) as connection:
        for _ in range(3):
            with wire.said() as said:
                assert await connection.fetchval("SELECT $1::int", 5) == 5
            assert prepared(said) == []
            assert "SELECT $1::int" in anonymous(said), "each time before it is executed"
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


@pytest.mark.checklist("SC-1")
async def test_a_record_class_and_another(client: Client, connection: Any) -> None:
    class Special(client.Record):  # type: ignore[misc,name-defined]
        pass

    for record_class in (None, Special, None):
        row = await connection.fetchrow("SELECT 1 AS a", record_class=record_class)
        assert type(row) is (record_class or client.Record)


USES: dict[str, Callable[[Any], Awaitable[object]]] = {
    "fetch": lambda connection: connection.fetch("SELECT $1::int", 1),
    "fetchrow": lambda connection: connection.fetchrow("SELECT $1::int", 1),
    "fetchval": lambda connection: connection.fetchval("SELECT $1::int", 1),
    "execute": lambda connection: connection.execute("SELECT $1::int", 1),
    "executemany": lambda connection: connection.executemany("SELECT $1::int", [(1,)]),
    "fetchmany": lambda connection: connection.fetchmany("SELECT $1::int", [(1,)]),
    "cursor": lambda connection: connection.cursor("SELECT $1::int", 1),
}


@pytest.mark.checklist("SC-2")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_what_uses_it(client: Client, use: Callable[[Any], Awaitable[object]]) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection, connection.transaction():
        await use(connection)
        with wire.said() as said:
            await use(connection)
    assert said.sent("P") == []


@pytest.mark.checklist("SC-2")
@pytest.mark.differs(
    asyncpg="looks at a table once for `copy_records_to_table()`: a column that was added later is not there for it.",
    ours="Each copy asks for the columns as they are.",
)
async def test_records_for_a_table_that_has_changed(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    await connection.copy_records_to_table("t", records=[(1,)])
    await connection.execute("ALTER TABLE t ADD b int")
    await connection.copy_records_to_table("t", records=[(1, 2)])
    assert await connection.fetch("SELECT a, b FROM t") == [(1, None), (1, 2)]


@pytest.mark.checklist("SC-2")
async def test_prepare_does_not_use_it(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        with wire.said() as said:
            await connection.fetch("SELECT 1")
            statement = await connection.prepare("SELECT 1")
            await statement.fetch()
            await connection.fetch("SELECT 1")
    assert prepared(said) == ["SELECT 1", "SELECT 1"]


@pytest.mark.checklist("SC-3")
@pytest.mark.parametrize(("limit", "is_kept"), [(20, False), (21, True), (0, True)])
async def test_long_statements(client: Client, limit: int, is_kept: bool) -> None:
    query = "SELECT 1234567890 + 1"
    assert len(query) == 21
    async with tapped(client) as (client, wire), client.connect(max_cacheable_statement_size=limit) as connection:
        with wire.said() as said:
            for _ in range(2):
                assert await connection.fetchval(query) == 1234567891
    assert prepared(said) == [query] * is_kept
    assert set(anonymous(said)) == ({query} if not is_kept else set())


@pytest.mark.checklist("SC-3")
async def test_fifteen_kilobytes_are_long(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        with wire.said() as said:
            for size in (15 * 1024, 15 * 1024 + 1):
                query = "SELECT 1".ljust(size)
                assert await connection.fetchval(query) == 1
    assert [len(query) for query in prepared(said)] == [15 * 1024]


@pytest.mark.checklist("SC-4")
async def test_an_old_statement_is_prepared_again(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect(max_cached_statement_lifetime=0.05) as connection:
        await connection.fetch("SELECT 1")
        hits, start = 0, len(wire.frames)
        with anyio.fail_after(PATIENCE_SECONDS):
            # That it is in use all the time makes it no younger.
            while not any(frame.tag == "P" for frame in wire.frames[start:]):
                await connection.fetch("SELECT 1")
                await anyio.sleep(0.005)
                hits += 1
    assert hits > 1


@pytest.mark.checklist("SC-4")
async def test_without_a_lifetime_it_stays(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect(max_cached_statement_lifetime=0) as connection:
        with wire.said() as said:
            await connection.fetch("SELECT 1")
            await anyio.sleep(0.02)
            await connection.fetch("SELECT 1")
    assert prepared(said) == ["SELECT 1"]


@pytest.mark.checklist("SC-5")
async def test_what_was_evicted_is_closed_with_the_next_one(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect(statement_cache_size=1) as connection:
        with wire.said() as said:
            await connection.fetch("SELECT 1")
            await connection.fetch("SELECT 2")
            await connection.fetch("SELECT 2")
        before = closed(said)
        with wire.said() as said:
            await connection.fetch("SELECT 3")
        assert before + closed(said) >= 1
        names = "SELECT statement FROM pg_prepared_statements ORDER BY 1"
        assert "SELECT 1" not in [row[0] for row in await connection.fetch(names)]


@pytest.mark.checklist("SC-5")
@pytest.mark.differs(
    asyncpg="closes evicted statements in round trips of their own.",
    ours="Their Close goes along with the Parse of the next statement.",
)
async def test_closing_takes_no_round_trip(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect(statement_cache_size=1) as connection:
        trips = []
        for number in range(4):
            with wire.said() as said:
                await connection.fetch(f"SELECT {number}")
            trips.append(said.round_trips)
        assert closed(said) == 1
        assert len(set(trips)) == 1


@pytest.mark.checklist("SC-6")
async def test_the_schema_is_reloaded(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        await connection.fetch("SELECT 1")
        await connection.reload_schema_state()
        with wire.said() as said:
            await connection.fetch("SELECT 1")
    assert prepared(said) == ["SELECT 1"]


@pytest.mark.checklist("CN-14")
async def test_types_are_asked_for_again(connection: Any) -> None:
    await connection.execute(PAIR)
    assert await connection.fetchval("SELECT a FROM t") == (1,)
    await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE b int")
    await connection.reload_schema_state()
    assert await connection.fetchval("SELECT a FROM t") == (1, None)
    assert await connection.fetchval("SELECT $1::pg_temp.pair", (1, 2)) == (1, 2)


@pytest.mark.checklist("SC-6")
async def test_a_codec_holds_for_statements_that_are_kept(connection: Any) -> None:
    query = "SELECT $1::numeric"
    assert str(await connection.fetchval(query, 5)) == "5"
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=float)
    assert type(await connection.fetchval(query, 5)) is float
    await connection.reset_type_codec("numeric", schema="pg_catalog")
    assert type(await connection.fetchval(query, 5)) is not float


@pytest.mark.checklist("SC-6", "SC-7")
async def test_an_invalid_plan_outside_of_a_transaction(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        await connection.execute("CREATE TEMP TABLE t (a int)")
        assert await connection.fetch("SELECT * FROM t") == []
        await connection.fetch("SELECT 1")
        await connection.execute("ALTER TABLE t ADD b int; INSERT INTO t VALUES (1, 2)")
        with wire.said() as said:
            assert await connection.fetch("SELECT * FROM t") == [(1, 2)]
    assert prepared(said) == ["SELECT * FROM t"]


@pytest.mark.checklist("SC-6", "SC-7")
async def test_an_invalid_plan_in_a_transaction(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    assert await connection.fetch("SELECT * FROM t") == []
    text = "cached statement plan is invalid due to a database schema or configuration change"
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("ALTER TABLE t ADD b int")
    with pytest.raises(client.InvalidCachedStatementError, match=text):
        await connection.fetch("SELECT * FROM t")
    await transaction.rollback()
    await connection.execute("ALTER TABLE t ADD b int")
    async with connection.transaction():
        assert await connection.fetch("SELECT * FROM t") == []


PAIR = "CREATE TYPE pg_temp.pair AS (a int); CREATE TEMP TABLE t (a pg_temp.pair); INSERT INTO t VALUES (ROW(1))"


@pytest.mark.checklist("SC-8")
@pytest.mark.differs(
    asyncpg="raises `OutdatedSchemaCacheError` when a composite type has got another attribute; only the next call "
    "works.",
    ours="What has changed is asked for, and the rows are decoded by it; nobody notices.",
)
async def test_a_composite_type_has_changed(connection: Any) -> None:
    await connection.execute(PAIR)
    assert await connection.fetchval("SELECT a FROM t") == (1,)
    await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE b int")
    assert await connection.fetchval("SELECT a FROM t") == (1, None)


@pytest.mark.checklist("SC-8")
async def test_the_call_after_a_composite_type_has_changed(connection: Any, client: Client) -> None:
    await connection.execute(PAIR)
    assert await connection.fetchval("SELECT a FROM t") == (1,)
    await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE b int")
    try:
        await connection.fetchval("SELECT a FROM t")
    except client.OutdatedSchemaCacheError:
        assert not client.is_ours
    assert await connection.fetchval("SELECT a FROM t") == (1, None)


@pytest.mark.checklist("SC-9", "E-7")
async def test_hints_at_poolers(connection: Any, client: Client) -> None:
    statement = await connection.prepare("SELECT 1", name="users")
    with pytest.raises(client.DuplicatePreparedStatementError, match=r"(?s)pgbouncer.*statement_cache_size") as caught:
        await connection.prepare("SELECT 2", name="users")
    assert caught.value.sqlstate == "42P05"
    with pytest.raises(client.InvalidSQLStatementNameError, match=r"(?s)pgbouncer.*statement_cache_size") as caught:
        await connection.execute("EXECUTE nothing")
    assert caught.value.sqlstate == "26000"
    assert await statement.fetchval() == 1
