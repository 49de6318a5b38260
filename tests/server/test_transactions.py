"""Transactions: async with, start/commit/rollback, savepoints, misuse."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.support.clients import RUNS_PG_SLEEP, Client, at_once, until
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.fixture
async def table(connection: Any) -> str:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    return "t"


async def content(connection: Any) -> list[int]:
    return [row["a"] for row in await connection.fetch("SELECT a FROM t ORDER BY a")]


class Mine(Exception):
    pass


@pytest.mark.checklist("TX-1")
async def test_a_block_commits(connection: Any, table: str) -> None:
    async with connection.transaction() as entered:
        assert entered is None
        assert connection.is_in_transaction()
        await connection.execute("INSERT INTO t VALUES (1)")
    assert not connection.is_in_transaction()
    assert await content(connection) == [1]


@pytest.mark.checklist("TX-1")
async def test_an_exception_rolls_back(connection: Any, client: Client, table: str) -> None:
    with pytest.raises(Mine):
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1)")
            raise Mine
    with pytest.raises(client.DivisionByZeroError):
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (2)")
            await connection.fetch("SELECT 1/0")
    assert not connection.is_in_transaction()
    assert await content(connection) == []


@pytest.mark.checklist("TX-1")
@pytest.mark.differs(
    asyncpg="does not roll back when an anyio cancel scope cancels the block, since its ROLLBACK is cancelled, too: "
    "the connection stays in the aborted transaction.",
    ours="A cancellation, of a task or by a cancel scope, rolls the transaction back.",
)
async def test_a_cancellation_rolls_back(connection: Any, observer: Any, table: str) -> None:
    scope = anyio.CancelScope()

    async def insert_and_sleep() -> None:
        with scope:
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (1)")
                await connection.fetch("SELECT pg_sleep(60)")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(insert_and_sleep)
            await until(observer, RUNS_PG_SLEEP, connection.get_server_pid())
            scope.cancel()
        assert scope.cancelled_caught
        assert await content(connection) == []
        assert not connection.is_in_transaction()


@pytest.mark.checklist("TX-2")
async def test_by_hand(connection: Any, table: str) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO t VALUES (1)")
    await transaction.rollback()
    assert await content(connection) == []
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO t VALUES (2)")
    await transaction.commit()
    assert await content(connection) == [2]


@pytest.mark.checklist("TX-2")
async def test_not_by_hand_within_a_block(connection: Any, client: Client) -> None:
    transaction = connection.transaction()
    async with transaction:
        with pytest.raises(client.InterfaceError, match="cannot manually commit from within an `async with` block"):
            await transaction.commit()
        with pytest.raises(client.InterfaceError, match="cannot manually rollback from within an `async with` block"):
            await transaction.rollback()
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("TX-3")
@pytest.mark.parametrize("isolation", ["serializable", "repeatable_read", "read_committed", "read_uncommitted"])
async def test_isolation(connection: Any, isolation: str) -> None:
    async with connection.transaction(isolation=isolation):
        assert await connection.fetchval("SHOW transaction_isolation") == isolation.replace("_", " ")


@pytest.mark.checklist("TX-3")
async def test_default_isolation_is_the_sessions(connection: Any) -> None:
    await connection.execute("SET default_transaction_isolation TO 'repeatable read'")
    async with connection.transaction():
        assert await connection.fetchval("SHOW transaction_isolation") == "repeatable read"


@pytest.mark.checklist("TX-3")
async def test_unknown_isolation(connection: Any) -> None:
    with pytest.raises(ValueError, match="isolation is expected to be either of"):
        connection.transaction(isolation="none")


@pytest.mark.checklist("TX-3")
async def test_readonly_and_deferrable(connection: Any, client: Client, table: str) -> None:
    async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
        assert await connection.fetchval("SHOW transaction_read_only") == "on"
        assert await connection.fetchval("SHOW transaction_deferrable") == "on"
    with pytest.raises(client.ReadOnlySQLTransactionError):
        async with connection.transaction(readonly=True):
            await connection.execute("CREATE TABLE never (a int)")


@pytest.mark.checklist("TX-4")
async def test_nested_blocks_are_savepoints(connection: Any, client: Client, table: str) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO t VALUES (1)")
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (2)")
            with pytest.raises(client.DivisionByZeroError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (3)")
                    await connection.fetch("SELECT 1/0")
            await connection.execute("INSERT INTO t VALUES (4)")
        with pytest.raises(Mine):
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (5)")
                raise Mine
    assert await content(connection) == [1, 2, 4]


@pytest.mark.checklist("TX-4")
async def test_the_outer_rollback_takes_the_inner_with_it(connection: Any, table: str) -> None:
    with pytest.raises(Mine):
        async with connection.transaction():
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (1)")
            raise Mine
    assert await content(connection) == []


@pytest.mark.checklist("TX-4")
async def test_nested_isolation_has_to_be_the_outer_one(connection: Any, client: Client) -> None:
    text = "nested transaction has a different isolation level: current 'serializable' != outer 'read_committed'"
    for outer in ("read_committed", None):
        async with connection.transaction(isolation=outer):
            async with connection.transaction(isolation="read_committed"):
                pass
            with pytest.raises(client.InterfaceError, match=re.escape(text)):
                async with connection.transaction(isolation="serializable"):
                    pass
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("TX-4")
async def test_readonly_of_a_nested_block_is_ignored(connection: Any, table: str) -> None:
    async with connection.transaction(), connection.transaction(readonly=True, deferrable=True):
        await connection.execute("INSERT INTO t VALUES (1)")
    assert await content(connection) == [1]


@pytest.mark.differs(
    asyncpg="leaves the savepoint of each nested block that fails in the server until the transaction ends.",
    ours="A nested block that fails releases its savepoint, too.",
)
async def test_failing_nested_blocks_pile_up_nothing(connection: Any, client: Client) -> None:
    with pytest.raises(client.InvalidSavepointSpecificationError):
        async with connection.transaction():
            inner = connection.transaction()
            with pytest.raises(Mine):
                async with inner:
                    name = inner._level.savepoint if client.is_ours else inner._id
                    raise Mine
            await connection.execute(f"ROLLBACK TO {name}")


@pytest.mark.checklist("TX-5", "CN-6")
async def test_after_a_manual_begin(connection: Any, client: Client) -> None:
    await connection.execute("BEGIN")
    assert connection.is_in_transaction()
    with pytest.raises(
        client.InterfaceError, match=re.escape("cannot use Connection.transaction() in a manually started transaction")
    ):
        async with connection.transaction():
            pass
    await connection.execute("ROLLBACK")
    assert not connection.is_in_transaction()
    async with connection.transaction():
        pass


@pytest.mark.checklist("TX-6")
async def test_misuse(connection: Any, client: Client) -> None:
    async def refused(call: Any, text: str) -> None:
        with pytest.raises(client.InterfaceError) as caught:
            await call()
        assert caught.value.args[0] == text

    new = connection.transaction()
    await refused(new.commit, "cannot commit; the transaction is not yet started")
    await refused(new.rollback, "cannot rollback; the transaction is not yet started")
    await new.start()
    await refused(new.start, "cannot start; the transaction is already started")
    await new.commit()
    await refused(new.start, "cannot start; the transaction is already committed")
    await refused(new.commit, "cannot commit; the transaction is already committed")
    await refused(new.rollback, "cannot rollback; the transaction is already committed")

    rolled_back = connection.transaction()
    await rolled_back.start()
    await rolled_back.rollback()
    await refused(rolled_back.start, "cannot start; the transaction is already rolled back")
    await refused(rolled_back.commit, "cannot commit; the transaction is already rolled back")
    await refused(rolled_back.rollback, "cannot rollback; the transaction is already rolled back")

    failed = connection.transaction()
    await failed.start()
    await connection.execute(
        "SET CONSTRAINTS ALL DEFERRED; CREATE TEMP TABLE d (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    )
    await connection.execute("INSERT INTO d VALUES (1), (1)")
    with pytest.raises(client.UniqueViolationError):
        await failed.commit()
    await refused(failed.start, "cannot start; the transaction is in error state")
    await refused(failed.commit, "cannot commit; the transaction is in error state")
    await refused(failed.rollback, "cannot rollback; the transaction is in error state")
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("TX-6")
async def test_a_block_is_entered_once(connection: Any, client: Client) -> None:
    transaction = connection.transaction()
    async with transaction:
        with pytest.raises(client.InterfaceError) as caught:
            async with transaction:
                pass
        assert caught.value.args[0] == "cannot enter context: already in an `async with` block"
        assert await connection.fetchval("SELECT 1") == 1
    assert not connection.is_in_transaction()


@pytest.mark.checklist("TX-8")
async def test_representation(connection: Any) -> None:
    transaction = connection.transaction(isolation="serializable", readonly=True, deferrable=True)
    assert re.fullmatch(r"<\S+\.Transaction state:new serializable readonly deferrable 0x\w+>", repr(transaction))
    await transaction.start()
    assert re.fullmatch(r"<\S+\.Transaction state:started serializable readonly deferrable 0x\w+>", repr(transaction))
    await transaction.rollback()
    assert re.fullmatch(
        r"<\S+\.Transaction state:rolledback serializable readonly deferrable 0x\w+>", repr(transaction)
    )
    transaction = connection.transaction()
    await transaction.start()
    await transaction.commit()
    assert re.fullmatch(r"<\S+\.Transaction state:committed 0x\w+>", repr(transaction))


@pytest.mark.checklist("TX-8")
async def test_representation_after_a_failure(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE d (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO d VALUES (1), (1)")
    with pytest.raises(client.UniqueViolationError):
        await transaction.commit()
    assert re.fullmatch(r"<\S+\.Transaction state:failed 0x\w+>", repr(transaction))


@pytest.mark.checklist("TX-1")
@pytest.mark.parametrize("way", ["block", "by hand"])
@pytest.mark.differs(
    asyncpg="says nothing when the server rolls a transaction back instead of committing it, since an error in it was "
    "swallowed.",
    ours="An `InterfaceWarning` says that nothing was committed.",
)
async def test_an_error_that_was_swallowed(connection: Any, client: Client, table: str, way: str) -> None:
    transaction = connection.transaction()

    async def work() -> None:
        await connection.execute("INSERT INTO t VALUES (1)")
        with contextlib.suppress(client.DivisionByZeroError):
            await connection.fetch("SELECT 1/0")

    text = "the transaction was rolled back instead of committed"
    if way == "block":
        with pytest.warns(client.InterfaceWarning, match=text):
            async with transaction:
                await work()
    else:
        await transaction.start()
        await work()
        with pytest.warns(client.InterfaceWarning, match=text) as warned:
            await transaction.commit()
        assert warned[0].filename == __file__
    assert "state:rolledback" in repr(transaction)
    assert await content(connection) == []


@pytest.mark.checklist("TX-7")
async def test_a_generator_that_outlives_its_connection(client: Client) -> None:
    async def rows(connection: Any) -> AsyncIterator[Any]:
        async with connection.transaction():
            async for row in connection.cursor("SELECT n FROM generate_series(1, 100) AS n", prefetch=1):
                yield row

    async with make_pool(client) as pool:
        connection = await pool.acquire()
        pid = connection.get_server_pid()
        generator = rows(connection)
        assert await anext(generator) == (1,)
        await pool.release(connection)
        async with pool.acquire() as another, another.transaction():
            assert another.get_server_pid() == pid
            await another.execute("CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1)")
            await generator.aclose()
            assert another.is_in_transaction()
            assert await another.fetchval("SELECT a FROM t") == 1
        assert await pool.fetchval("SELECT pg_backend_pid()") == pid


@pytest.mark.checklist("CN-6")
async def test_in_a_failed_block(connection: Any, client: Client) -> None:
    with pytest.raises(Mine):
        async with connection.transaction():
            with pytest.raises(client.DivisionByZeroError):
                await connection.fetch("SELECT 1/0")
            assert connection.is_in_transaction()
            with pytest.raises(client.InFailedSQLTransactionError):
                await connection.fetch("SELECT 1")
            raise Mine
    assert not connection.is_in_transaction()


async def test_levels_end_in_their_order(connection: Any, client: Client) -> None:
    outer, inner = connection.transaction(), connection.transaction()
    await outer.start()
    await inner.start()
    await inner.rollback()
    await outer.commit()
    assert not connection.is_in_transaction()


@pytest.mark.differs(
    asyncpg="lets the outer of two transactions end first; the inner one then fails in the server.",
    ours="Ending a transaction that is not the innermost one is an `InterfaceError`; nothing is sent.",
)
async def test_the_innermost_level_ends_first(connection: Any, client: Client) -> None:
    outer, inner = connection.transaction(), connection.transaction()
    await outer.start()
    await inner.start()
    try:
        with pytest.raises(client.InterfaceError, match="cannot commit; the transaction is not the innermost one"):
            await outer.commit()
        with pytest.raises(client.InterfaceError, match="cannot rollback; the transaction is not the innermost one"):
            await outer.rollback()
        await inner.commit()
    finally:
        if connection.is_in_transaction():
            await outer.commit()
    assert not connection.is_in_transaction()


@pytest.mark.checklist("CN-1")
async def test_one_task_at_a_time_in_a_transaction(connection: Any, client: Client) -> None:
    async with connection.transaction():
        outcomes = await at_once([lambda i=i: connection.fetchval("SELECT $1::int", i) for i in range(3)])
        refused = [outcome for outcome in outcomes if isinstance(outcome, client.InterfaceError)]
        assert len(refused) == 2
        assert all("cannot perform operation: another operation is in progress" in str(error) for error in refused)
        assert await connection.fetchval("SELECT 9") == 9


@pytest.mark.checklist("T-4")
async def test_a_timeout_aborts_the_transaction(connection: Any, client: Client, table: str) -> None:
    with pytest.raises(client.InFailedSQLTransactionError):
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1)")
            await connection.fetch("SELECT pg_sleep($1)", 0)  # prepared, so that the next one is sent at once
            with pytest.raises(TimeoutError):
                await connection.fetch("SELECT pg_sleep($1)", 60, timeout=0.05)
            await connection.fetch("SELECT 1")
    assert await content(connection) == []
