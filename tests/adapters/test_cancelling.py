"""Cancelling: at whatever moment, the connection is usable or closed afterwards, and nothing hangs."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import RUNS_PG_SLEEP, Client, at_once, ours, until

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def client(request: pytest.FixtureRequest, anyio_backend_name: str) -> Client:
    """In plain text over a Unix socket, and encrypted over TCP."""
    server = request.getfixturevalue("tls_postgres" if request.param else "postgres")
    return ours(anyio_backend_name, server, encrypted=request.param)


CALLS: dict[str, Callable[[Any], Any]] = {
    "new statement": lambda c: c.fetch("SELECT count(*) FROM generate_series(1, 20000)"),
    "simple": lambda c: c.execute("SELECT count(*) FROM generate_series(1, 20000); SELECT 2"),
    "rows": lambda c: c.fetch("SELECT generate_series(1, 5000)"),
    "arguments": lambda c: c.fetchval("SELECT $1::bytea", b"x" * 300_000),
    "many": lambda c: c.executemany("SELECT $1::int", ((i,) for i in range(10_000))),
    "barrier": lambda c: c.execute("SET work_mem TO '1MB'"),
    "copy": lambda c: c.fetch("COPY (SELECT 1) TO STDOUT"),
}


async def cancelled_after(connection: Any, call: Callable[[Any], Any], checkpoints: int) -> bool:
    """Cancel a call after so many turns of the loop; whether it was still running."""
    over = False

    async def run() -> None:
        nonlocal over
        try:
            await call(connection)
        except Exception:
            pass
        over = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for _ in range(checkpoints):
            await anyio.lowlevel.checkpoint()
        was_running = not over
        tasks.cancel_scope.cancel()
    return was_running


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_at_any_moment(client: Client, call: Callable[[Any], Any]) -> None:
    with anyio.fail_after(60):
        for checkpoints in (0, 1, 2, 3, 4, 6, 9, 15, 30, 100):
            async with client.connect() as connection:
                await cancelled_after(connection, call, checkpoints)
                assert await connection.fetchval("SELECT $1::int + 1", checkpoints) == checkpoints + 1
                assert not connection.is_in_transaction()
                # Once more on the same connection, whose statements are prepared by now.
                await cancelled_after(connection, call, checkpoints)
                assert await connection.fetchval("SELECT $1::int + 1", checkpoints) == checkpoints + 1


async def transact(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO t VALUES (1)")
        async with connection.transaction():
            await connection.fetchval("SELECT $1::int", 5)


async def test_a_transaction_at_any_moment(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with anyio.fail_after(60):
        for checkpoints in [*range(12), 20, 40, 80]:
            await cancelled_after(connection, transact, checkpoints)
            # A transaction of its own proves that no other one is open.
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (2)")
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT count(*) FROM t WHERE a = 2") == 1
            await connection.execute("DELETE FROM t")


async def test_a_savepoint_is_undone_and_its_transaction_goes_on(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with anyio.fail_after(60):
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1)")
            for query in (None, "SELECT pg_sleep(60)"):
                with anyio.move_on_after(0.05):
                    async with connection.transaction():
                        await connection.execute("INSERT INTO t VALUES (2)")
                        await (anyio.sleep(60) if query is None else connection.execute(query))
            await connection.execute("INSERT INTO t VALUES (3)")
    assert await connection.fetch("SELECT a FROM t ORDER BY a") == [(1,), (3,)]


async def test_again_and_again(connection: Any, observer: Any) -> None:
    pid = connection.get_server_pid()
    with anyio.fail_after(60):
        for number in range(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(connection.fetch, "SELECT pg_sleep(60)")
                await until(observer, RUNS_PG_SLEEP, pid)
                tasks.cancel_scope.cancel()
            assert await connection.fetchval("SELECT $1::int", number) == number
    assert connection.get_server_pid() == pid


async def test_all_of_many(connection: Any, observer: Any) -> None:
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            # Each that sleeps takes a CancelRequest of its own, and on trio a second is all that they have together.
            for number in range(100):
                tasks.start_soon(connection.fetch, "SELECT pg_sleep(60)" if number < 5 else "SELECT 1")
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
            tasks.cancel_scope.cancel()
        assert await at_once(lambda n=n: connection.fetchval("SELECT $1::int", n) for n in range(50)) == list(range(50))


async def test_the_next_query_is_never_hit(connection: Any) -> None:
    """A late CancelRequest would cancel the query that follows."""
    with anyio.fail_after(60):
        for number in range(30):
            with pytest.raises(TimeoutError):
                await connection.fetch("SELECT pg_sleep(60)", timeout=0.002)
            assert await connection.fetchval("SELECT $1::int FROM pg_sleep(0.003)", number) == number


async def test_a_timeout_says_what_is_known(connection: Any, client: Client) -> None:
    await connection.fetch("SELECT pg_sleep($1)", 0)  # prepared, so that the next one is sent at once
    with pytest.raises(client.OperationTimeoutError) as caught:
        await connection.fetch("SELECT pg_sleep($1)", 60, timeout=0.05)
    assert caught.value.outcome is client.Outcome.UNKNOWN
    assert not caught.value.safe_to_retry
    assert caught.value.connection_usable
    with pytest.raises(client.OperationTimeoutError) as caught:
        await connection.fetch("SELECT 1", timeout=0)
    assert caught.value.outcome is client.Outcome.CANCELLED
    assert caught.value.safe_to_retry


async def test_a_timeout_of_executemany(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with anyio.fail_after(60):
        with pytest.raises(TimeoutError):
            await connection.executemany(
                "INSERT INTO t SELECT $1 FROM pg_sleep(0.001)", ((i,) for i in range(1_000_000)), timeout=0.2
            )
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_the_server_ends_it_while_tasks_wait(client: Client, observer: Any) -> None:
    async with client.connect() as connection:
        pid = connection.get_server_pid()

        async def others() -> list[Any]:
            await until(observer, RUNS_PG_SLEEP, pid)
            return await at_once([*[lambda: connection.fetchval("SELECT 1")] * 100, end])

        async def end() -> None:
            await observer.execute(f"SELECT pg_terminate_backend({pid})")

        await connection.fetchval("SELECT 1")
        with anyio.fail_after(30):
            error, outcomes = await at_once([lambda: connection.fetch("SELECT pg_sleep(60)"), others])
        assert isinstance(error, client.ConnectionDoesNotExistError)
        assert not error.safe_to_retry
        # On trio tasks start in any order, so a few may come when it is over; what was never written can be done again.
        ended = (client.ConnectionDoesNotExistError, client.InterfaceError)
        assert all(isinstance(outcome, ended) for outcome in outcomes[:-1])
        written = [outcome for outcome in outcomes[:-1] if not getattr(outcome, "safe_to_retry", False)]
        assert sum(isinstance(outcome, client.ConnectionDoesNotExistError) for outcome in written) <= 32
        assert connection.is_closed()
