"""Streams: rows one by one, with back-pressure, inside and outside of a transaction."""

# ruff: noqa: PT012, PERF401 - a block that is left by an error is what is tested, and what it has done until then

import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from pgsansio.client import stream as streams
from tests.support.clients import Client, until
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]

NUMBERS = "SELECT i FROM generate_series(1, $1::int) AS i"


@contextlib.asynccontextmanager
async def place(connection: Any, inside: bool) -> AsyncIterator[None]:
    """Inside of a transaction, or outside."""
    if inside:
        async with connection.transaction():
            yield
    else:
        yield


inside_and_outside = pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])


@inside_and_outside
@pytest.mark.parametrize("prefetch", [1, 3, 9, 10, 11])
async def test_whatever_the_prefetch(connection: Any, inside: bool, prefetch: int) -> None:
    async with place(connection, inside):
        for count in (10, 0, 1):
            rows = [row async for row in connection.stream(NUMBERS, count, prefetch=prefetch)]
            assert [row["i"] for row in rows] == list(range(1, count + 1))
        assert await connection.fetchval("SELECT 1") == 1


@inside_and_outside
async def test_what_came_together(connection: Any, inside: bool) -> None:
    async with place(connection, inside):
        stream = connection.stream(NUMBERS, 7, prefetch=3)
        assert await stream.batch() == [(1,), (2,), (3,)]
        assert await stream.__anext__() == (4,)
        assert await stream.batch() == [(5,), (6,)]
        assert await stream.batch() == [(7,)]
        assert await stream.batch() == []
        assert await stream.batch() == []
        assert [row async for row in stream] == []


@pytest.mark.parametrize("settings", [{"statement_cache_size": 0}, {"pipelining": False}])
@inside_and_outside
async def test_other_settings(client: Client, connection: Any, settings: dict[str, Any], inside: bool) -> None:
    async with client.connect(**settings) as other, place(other, inside):
        for _ in range(2):
            assert len([row async for row in other.stream(NUMBERS, 5, prefetch=2)]) == 5
        assert await other.fetchval("SELECT 1") == 1


async def test_inside_other_statements_may_come_between(connection: Any) -> None:
    async with connection.transaction():
        async for row in connection.stream(NUMBERS, 5, prefetch=2):
            assert await connection.fetchval("SELECT $1::int", row[0]) == row[0]


async def test_outside_its_task_cannot_use_the_connection(connection: Any, client: Client) -> None:
    async for _ in connection.stream(NUMBERS, 1):  # however few rows there are
        for call in (
            lambda: connection.fetch("SELECT 1"),
            lambda: connection.execute("SELECT 1"),
            lambda: connection.prepare("SELECT 1"),
            connection.transaction().start,
            lambda: connection.stream(NUMBERS, 1).__anext__(),
            lambda: connection.fetchmany("SELECT 1", [()]),
        ):
            with anyio.fail_after(20), pytest.raises(client.InterfaceError, match="in the middle of another one"):
                await call()
    assert await connection.fetchval("SELECT 1") == 1


async def test_outside_other_tasks_wait(connection: Any) -> None:
    order: list[Any] = []

    async def other() -> None:
        order.append(await connection.fetchval("SELECT 'other'"))

    async with anyio.create_task_group() as tasks:
        async for row in connection.stream(NUMBERS, 4, prefetch=1):
            if row[0] == 1:
                tasks.start_soon(other)
            await anyio.lowlevel.checkpoint()
            order.append(row[0])
    assert order == [1, 2, 3, 4, "other"]


@inside_and_outside
async def test_no_more_is_computed_than_was_asked_for(connection: Any, inside: bool) -> None:
    await connection.execute("CREATE TEMP SEQUENCE s")
    async with place(connection, inside):
        async with connection.stream("SELECT nextval('s') FROM generate_series(1, 100000)", prefetch=5) as rows:
            async for row in rows:
                if row[0] == 7:
                    break
        assert await connection.fetchval("SELECT last_value FROM s") == 10


@pytest.mark.parametrize("soon", [True, False], ids=["soon", "slow"])
@inside_and_outside
async def test_reading_ahead(connection: Any, inside: bool, soon: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a transaction, from the second thousand on."""
    monkeypatch.setattr(streams, "_SOON_SECONDS", 1e6 if soon else -1)
    query, value = "SELECT nextval('s') FROM generate_series(1, 100000)", "SELECT last_value FROM s"
    await connection.execute("CREATE TEMP SEQUENCE s")
    async with place(connection, inside):
        for last, computed in ((1, 1000), (1000, 1000), (1001, 3000 if soon and not inside else 2000)):
            await connection.execute("ALTER SEQUENCE s RESTART")
            async with connection.stream(query) as rows:
                async for row in rows:
                    if row[0] == last:
                        break
            assert await connection.fetchval(value) == computed
        await connection.execute("ALTER SEQUENCE s RESTART")
        numbers = [row[0] async for row in connection.stream(query)]
        assert numbers == list(range(1, 100_001))


@pytest.mark.parametrize("how", ["aclose", "forgotten", "error"])
async def test_it_is_left_while_it_reads_ahead(connection: Any, how: str) -> None:
    """What was done is kept."""
    pid = connection.get_server_pid()
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with contextlib.suppress(LookupError):
        async with contextlib.AsyncExitStack() as stack:
            rows = connection.stream("INSERT INTO t SELECT generate_series(1, 5000) RETURNING a")
            if how == "error":
                await stack.enter_async_context(rows)
            async for row in rows:
                if row[0] == 1500:
                    break
            if how == "aclose":
                await rows.aclose()
            elif how == "error":
                raise LookupError
    del rows
    gc.collect()
    assert await connection.fetchval("SELECT count(*) FROM t") == 5000
    assert connection.get_server_pid() == pid


async def test_what_was_read_ahead_fails(connection: Any, client: Client) -> None:
    got: list[Any] = []
    with pytest.raises(client.DivisionByZeroError):
        async for row in connection.stream("SELECT i / (2500 - i) FROM generate_series(1, 9999) AS i"):
            got.append(row[0])
    assert len(got) == 2000, "those of the batches before"
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("how", ["block", "aclose", "forgotten", "error"])
@inside_and_outside
async def test_it_is_left_early(connection: Any, inside: bool, how: str) -> None:
    pid = connection.get_server_pid()
    async with place(connection, inside):
        stream = connection.stream(NUMBERS, 1000, prefetch=2)
        if how == "block":
            async with stream as rows:
                assert await rows.__anext__() == (1,)
        elif how == "error":
            with pytest.raises(LookupError):
                async with stream as rows:
                    assert await rows.__anext__() == (1,)
                    raise LookupError
        else:
            assert await stream.__anext__() == (1,)
            if how == "aclose":
                await stream.aclose()
                await stream.aclose()
                assert [row async for row in stream] == []
        del stream
        gc.collect()
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid
        assert await connection.fetch(NUMBERS, 2) == [(1,), (2,)]


async def test_outside_what_was_done_is_kept(connection: Any, observer: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    insert = "INSERT INTO t SELECT generate_series(1, 10) RETURNING a"
    async with connection.stream(insert, prefetch=2) as rows:
        assert await rows.__anext__() == (1,)
    assert await connection.fetchval("SELECT count(*) FROM t") == 10
    assert [row[0] async for row in connection.stream(insert, prefetch=2)] == list(range(1, 11))
    assert await connection.fetchval("SELECT count(*) FROM t") == 20


@inside_and_outside
async def test_the_server_refuses(connection: Any, client: Client, inside: bool) -> None:
    got: list[Any] = []
    with pytest.raises(client.DivisionByZeroError):
        async with place(connection, inside):
            async for row in connection.stream("SELECT 6 / (4 - i) FROM generate_series(1, 9) AS i", prefetch=2):
                got.append(row[0])
    assert got == [2, 3], "those of the batch before"
    with pytest.raises(client.PostgresSyntaxError) as caught:
        async with place(connection, inside):
            await connection.stream("SELEC 1").__anext__()
    assert caught.value.query == "SELEC 1"
    with pytest.raises(client.DataError):
        async with place(connection, inside):
            await connection.stream(NUMBERS, "x").__anext__()
    assert await connection.fetchval("SELECT 1") == 1


async def test_a_commit_that_fails(connection: Any, client: Client) -> None:
    await connection.execute(
        "CREATE TEMP TABLE t (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (1)"
    )
    got: list[Any] = []
    with pytest.raises(client.UniqueViolationError):
        async for row in connection.stream("INSERT INTO t SELECT generate_series(1, 3) RETURNING a"):
            got.append(row[0])
    assert got == [1, 2, 3]
    with pytest.raises(client.UniqueViolationError):
        async with connection.stream("INSERT INTO t SELECT generate_series(1, 3) RETURNING a", prefetch=1) as rows:
            await rows.__anext__()
    assert await connection.fetchval("SELECT count(*) FROM t") == 1


@inside_and_outside
async def test_time_limits(connection: Any, inside: bool) -> None:
    query = "SELECT pg_sleep(0.15) FROM generate_series(1, 4)"
    async with place(connection, inside):
        assert len([row async for row in connection.stream(query, prefetch=1, timeout=0.5)]) == 4
    with anyio.fail_after(20), pytest.raises(TimeoutError):
        async with place(connection, inside):
            async for _ in connection.stream("SELECT pg_sleep(60)", timeout=0.05):
                pass
    assert await connection.fetchval("SELECT 1") == 1


@inside_and_outside
async def test_it_is_cancelled_while_it_waits(connection: Any, observer: Any, inside: bool) -> None:
    async def read() -> None:
        async with place(connection, inside):
            async for _ in connection.stream(
                "SELECT pg_sleep((i - 1) * 60) FROM generate_series(1, 2) AS i", prefetch=1
            ):
                pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        sleeps = "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
        await until(observer, f"({sleeps})", connection.get_server_pid())
        tasks.cancel_scope.cancel()
    with anyio.fail_after(20):
        assert await connection.fetchval("SELECT 1") == 1
    assert not connection.is_in_transaction()


@inside_and_outside
async def test_it_is_cancelled_while_nothing_runs(connection: Any, inside: bool) -> None:
    pid = connection.get_server_pid()
    with anyio.CancelScope() as scope:
        async with place(connection, inside), connection.stream(NUMBERS, 100, prefetch=2) as rows:
            async for _ in rows:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert await connection.fetchval("SELECT pg_backend_pid()") == pid
    assert not connection.is_in_transaction()


async def test_a_generator_of_the_users(connection: Any) -> None:
    async def doubled(count: int) -> AsyncIterator[int]:
        async with connection.stream(NUMBERS, count, prefetch=2) as rows:
            async for row in rows:
                yield row[0] * 2

    generator = doubled(100)
    assert await generator.__anext__() == 2
    await generator.aclose()  # type: ignore[attr-defined]
    assert await connection.fetchval("SELECT 1") == 1


async def test_the_connection_ends(connection: Any, observer: Any, client: Client) -> None:
    with pytest.raises(client.ConnectionDoesNotExistError):
        async for _ in connection.stream(NUMBERS, 100, prefetch=1):
            await observer.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
    with pytest.raises(client.InterfaceError, match="connection is closed"):
        connection.stream(NUMBERS, 100)


@pytest.mark.parametrize("how", ["released", "closed"])
async def test_after_the_connection_is_gone(connection: Any, client: Client, how: str) -> None:
    async with make_pool(client) as pool:
        async with pool.acquire() as borrowed:
            pid = borrowed.get_server_pid()
            stream = borrowed.stream(NUMBERS, 100, prefetch=1)
            assert await stream.__anext__() == (1,)
            if how == "closed":
                await borrowed.close()
        with anyio.fail_after(10):
            async with pool.acquire() as borrowed:
                assert await borrowed.fetchval("SELECT 1") == 1
                assert (borrowed.get_server_pid() == pid) == (how == "released")
        with pytest.raises(
            client.InterfaceError, match=r"cannot call Stream\.__anext__\(\): the underlying connection"
        ):
            await stream.__anext__()


@inside_and_outside
async def test_a_row_that_cannot_be_decoded(connection: Any, inside: bool) -> None:
    def decode(text: str) -> int:
        return 60 // (5 - int(text))

    await connection.set_type_codec("numeric", encoder=str, decoder=decode, schema="pg_catalog")
    got: list[int] = []
    async with place(connection, inside):
        with pytest.raises(ZeroDivisionError):
            async for row in connection.stream("SELECT i::numeric FROM generate_series(1, 99) AS i", prefetch=2):
                got.append(row[0])
        assert got == [15, 20, 30, 60]
        assert await connection.fetchval("SELECT 1") == 1


@inside_and_outside
async def test_types_that_are_met_in_its_rows(connection: Any, client: Client, inside: bool) -> None:
    await connection.execute("CREATE TYPE pg_temp.mood AS ENUM ('x'); CREATE TYPE pg_temp.kind AS ENUM ('y')")
    async with place(connection, inside):
        query = "SELECT ROW(i, 'x'::pg_temp.mood) FROM generate_series(1, 5) AS i"
        assert [row[0] async for row in connection.stream(query)] == [(i, "x") for i in range(1, 6)]
        query = "SELECT ROW(i, ARRAY['y'::pg_temp.kind]) FROM generate_series(1, 5) AS i"
        stream = connection.stream(query, prefetch=2)
        if inside:
            assert [row[0] async for row in stream] == [(i, ["y"]) for i in range(1, 6)]
            return
        with pytest.raises(client.DataError, match="its type was unknown") as caught:
            await stream.__anext__()
        assert caught.value.hint == "It is known now: run the query again."
        assert [row[0] async for row in connection.stream(query, prefetch=2)] == [(i, ["y"]) for i in range(1, 6)]


async def test_a_plan_that_is_not_valid_any_more(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1), (2)")
    assert [row async for row in connection.stream("SELECT * FROM t")] == [(1,), (2,)]
    await connection.execute("ALTER TABLE t ADD b int")
    assert [row async for row in connection.stream("SELECT * FROM t", prefetch=1)] == [(1, None), (2, None)]
    await connection.execute("DEALLOCATE ALL")
    assert [row async for row in connection.stream("SELECT * FROM t", prefetch=1)] == [(1, None), (2, None)]


@inside_and_outside
@pytest.mark.parametrize("query", ["COPY (SELECT 1) TO STDOUT", "COPY t FROM STDIN"])
async def test_copy_is_none_of_its_business(connection: Any, client: Client, inside: bool, query: str) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with anyio.fail_after(20), pytest.raises(client.InterfaceError, match=r"COPY .* in a query"):
        async with place(connection, inside):
            async for _ in connection.stream(query):
                pass
    assert await connection.fetchval("SELECT 1") == 1


@inside_and_outside
async def test_statements_without_rows(connection: Any, inside: bool) -> None:
    async with place(connection, inside):
        for query in ("", "CREATE TEMP TABLE t (a int)", "INSERT INTO t VALUES (1)", "SELECT FROM t WHERE a = 2"):
            assert [row async for row in connection.stream(query)] == []
        assert await connection.fetchval("SELECT a FROM t") == 1
        assert [len(row) async for row in connection.stream("SELECT FROM t")] == [0]


async def test_a_record_class(connection: Any, client: Client) -> None:
    class Special(client.Record):  # type: ignore[misc,name-defined]
        pass

    assert {type(row) async for row in connection.stream(NUMBERS, 5, record_class=Special)} == {Special}
    with pytest.raises(client.InterfaceError, match="record_class is expected to be a subclass"):
        connection.stream(NUMBERS, 5, record_class=dict)
    for wrong in (0, -1):
        with pytest.raises(client.InterfaceError, match="prefetch argument must be greater than zero"):
            connection.stream(NUMBERS, 5, prefetch=wrong)
