"""Many tasks on one connection: each gets what is its own."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

from typing import Any

import anyio
import pytest

from tests.support.clients import RUNS_PG_SLEEP, Client, at_once, until

pytestmark = [pytest.mark.anyio, pytest.mark.server]


async def test_more_tasks_than_the_window(connection: Any) -> None:
    numbers = range(500)
    assert await at_once(lambda n=n: connection.fetchval("SELECT $1::int", n) for n in numbers) == list(numbers)


async def test_new_statements_by_many_tasks(connection: Any) -> None:
    numbers = range(100)
    got = await at_once(lambda n=n: connection.fetchval(f"SELECT {n % 20} + $1::int", 1000) for n in numbers)
    assert got == [1000 + n % 20 for n in numbers]


async def test_large_results_and_arguments(connection: Any) -> None:
    async def echo(number: int) -> bool:
        data = bytes([number]) * 500_000
        return bool(await connection.fetchval("SELECT $1::bytea", data) == data)

    with anyio.fail_after(60):
        assert await at_once(lambda n=n: echo(n) for n in range(20)) == [True] * 20


async def test_an_error_is_its_own_tasks(connection: Any, client: Client) -> None:
    async def call(number: int) -> int:
        match number % 5:
            case 0:
                return int(await connection.fetchval("SELECT 1 / $1::int", 0))
            case 1:
                return int(await connection.fetchval("SELECT $1::int", "x"))
            case 2:
                return int(await connection.fetchval(f"SELECT nonsense{number}"))
            case _:
                return int(await connection.fetchval("SELECT $1::int", number))

    outcomes = await at_once(lambda n=n: call(n) for n in range(100))
    kinds = {0: client.DivisionByZeroError, 1: client.DataError, 2: client.UndefinedColumnError}
    for number, outcome in enumerate(outcomes):
        expected = kinds.get(number % 5)
        assert outcome == number if expected is None else isinstance(outcome, expected), number


async def test_simple_and_extended_and_many(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    outcomes = await at_once(
        [
            lambda: connection.execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)"),
            lambda: connection.executemany("INSERT INTO t VALUES ($1)", ((i,) for i in range(30_000))),
            lambda: connection.fetchval("SELECT 5"),
            lambda: connection.execute("INSERT INTO t VALUES ($1)", 3),
            lambda: connection.execute("SET work_mem TO '1MB'"),
            lambda: connection.fetchval("SHOW work_mem"),
        ]
    )
    assert sorted(str(outcome) for outcome in outcomes[:5]) == ["5", "INSERT 0 1", "INSERT 0 1", "None", "SET"]
    assert outcomes[5] in ("1MB", "4MB")
    assert await connection.fetchval("SELECT count(*) FROM t") == 30_003


async def test_a_cancelled_task_leaves_the_others_alone(connection: Any, observer: Any) -> None:
    got: list[Any] = []

    async def ask(number: int) -> None:
        got.append(await connection.fetchval("SELECT $1::int", number))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(ask, number)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:
                    # Others are written behind it, and a CancelRequest might hit them: it runs to its end, unheard.
                    await observer.execute("SELECT pg_advisory_lock(5)")
                    inner.start_soon(connection.fetch, "SELECT pg_advisory_lock(5)")
                    await until(
                        observer,
                        "SELECT count(*) = 1 FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND NOT granted",
                        connection.get_server_pid(),
                    )
                    for number in range(3, 100):
                        tasks.start_soon(ask, number)
                    await until(observer, "true")
                    scope.cancel()
            await observer.execute("SELECT pg_advisory_unlock(5)")
    assert sorted(got) == list(range(100))


async def test_what_waits_unsent_is_dropped(connection: Any, observer: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            # SET is a barrier, so what comes after it waits unsent.
            tasks.start_soon(connection.execute, "SET work_mem TO '1MB'; SELECT pg_sleep(60)")
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
            with anyio.move_on_after(0.05) as scope:
                await connection.execute("INSERT INTO t VALUES (1)")
            assert scope.cancelled_caught
            tasks.cancel_scope.cancel()
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_without_pipelining(client: Client) -> None:
    async with client.connect(pipelining=False) as connection:
        outcomes = await at_once(lambda n=n: connection.fetchval("SELECT $1::int", n) for n in range(5))
        assert sum(isinstance(outcome, client.InterfaceError) for outcome in outcomes) == 4
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_shared_transaction(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")

    class Mine(Exception):
        pass

    with pytest.raises(Mine):
        async with connection.transaction(shared=True):
            assert (
                await at_once(lambda n=n: connection.execute("INSERT INTO t VALUES ($1)", n) for n in range(50))
                == ["INSERT 0 1"] * 50
            )
            assert await connection.fetchval("SELECT count(*) FROM t") == 50
            raise Mine
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_a_second_transaction_of_another_task_is_refused(connection: Any, client: Client) -> None:
    async def transact() -> str:
        async with connection.transaction():
            await connection.fetchval("SELECT 1")
        return "done"

    outcomes = await at_once([transact, transact])
    assert "done" in outcomes
    assert sum(isinstance(outcome, client.InterfaceError) for outcome in outcomes) <= 1
    assert not connection.is_in_transaction()
    assert await connection.fetchval("SELECT 1") == 1


async def test_the_task_that_feeds_a_batch_may_not_wait_for_itself(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")

    def values() -> Any:
        for number in range(20_000):
            if number == 10_000:
                coroutine = connection.fetchval("SELECT 1")
                try:
                    coroutine.send(None)
                finally:
                    coroutine.close()
            yield (number,)

    with pytest.raises(client.InterfaceError, match="this task is in the middle of another one"):
        await connection.executemany("INSERT INTO t VALUES ($1)", values())
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_much_goes_both_ways_at_once(connection: Any) -> None:
    """16 MiB up and as much down: the server stops reading while it cannot write, so we read while we write."""
    value = bytes(1 << 20)
    with anyio.fail_after(60):
        await connection.executemany("SELECT $1::bytea", ((value,) for _ in range(16)))
        assert await connection.fetchval("SELECT $1::bytea", value * 16) == value * 16
