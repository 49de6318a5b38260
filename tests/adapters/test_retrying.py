"""Transactions that are run again when another one was in their way, and two-phase commit."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from pgsansio.statement import unnamed
from tests.support.clients import Client

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.fixture
async def table(connection: Any) -> AsyncIterator[str]:
    await connection.execute("CREATE TABLE retried (a int, b int); INSERT INTO retried VALUES (1, 0), (2, 0)")
    yield "retried"
    await connection.execute("DROP TABLE retried")


async def content(connection: Any) -> list[tuple[int, int]]:
    return [tuple(row) for row in await connection.fetch("SELECT a, b FROM retried ORDER BY a")]


async def test_two_that_are_in_each_others_way(client: Client, connection: Any, observer: Any, table: str) -> None:
    """Each reads what the other one writes: one of them has to begin anew."""
    begun = [anyio.Event(), anyio.Event()]
    attempts = [0, 0]

    async def swap(who: int, mine: Any) -> None:
        async for transaction in mine.retrying(isolation="serializable", delay=0):
            async with transaction:
                attempts[who] += 1
                total = await mine.fetchval("SELECT sum(b) FROM retried")
                begun[who].set()
                await begun[1 - who].wait()
                await mine.execute("UPDATE retried SET b = $1 WHERE a = $2", total + 1, who + 1)

    async with anyio.create_task_group() as group:
        group.start_soon(swap, 0, connection)
        group.start_soon(swap, 1, observer)
    assert sorted(attempts) == [1, 2]
    assert sorted(b for _, b in await content(connection)) == [1, 2], "the second one has seen the first"


async def test_other_errors_leave_the_loop(client: Client, connection: Any, table: str) -> None:
    attempts = 0
    with pytest.raises(client.DivisionByZeroError):
        async for transaction in connection.retrying():
            async with transaction:
                attempts += 1
                await connection.execute("UPDATE retried SET b = 1")
                await connection.fetch("SELECT 1/0")
    assert attempts == 1
    assert await content(connection) == [(1, 0), (2, 0)]
    assert not connection.is_in_transaction()


RAISES = "DO $$ BEGIN RAISE EXCEPTION 'serialize' USING ERRCODE = '40001'; END $$"


async def test_the_last_error_is_raised(client: Client, connection: Any, table: str) -> None:
    attempts = 0
    with pytest.raises(client.SerializationError, match="serialize"):
        async for transaction in connection.retrying(attempts=3, delay=0.001):
            async with transaction:
                attempts += 1
                await connection.execute("UPDATE retried SET b = 1")
                await connection.execute(RAISES)
    assert attempts == 3
    assert await content(connection) == [(1, 0), (2, 0)]
    assert not connection.is_in_transaction()


async def test_an_error_of_commit_counts(client: Client, connection: Any, table: str) -> None:
    await connection.execute(
        "CREATE SEQUENCE pg_temp.tries; "
        "CREATE FUNCTION pg_temp.once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('pg_temp.tries') = 1 THEN RAISE EXCEPTION 'late' USING ERRCODE = '40P01'; END IF; "
        "RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON retried DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION pg_temp.once()"
    )
    attempts = 0
    async for transaction in connection.retrying(delay=0):
        async with transaction:
            attempts += 1
            await connection.execute("UPDATE retried SET b = $1 WHERE a = 1", attempts)
    assert attempts == 2
    assert await content(connection) == [(1, 2), (2, 0)]


async def test_what_is_retried_can_be_chosen(client: Client, connection: Any) -> None:
    attempts = 0
    async for transaction in connection.retrying(retry_on=[client.DivisionByZeroError], delay=0):
        async with transaction:
            attempts += 1
            await connection.fetch("SELECT 1 / $1::int", attempts - 1)
    assert attempts == 2


async def test_options_of_the_transaction(client: Client, connection: Any) -> None:
    async for transaction in connection.retrying(isolation="repeatable_read", readonly=True):
        async with transaction:
            assert await connection.fetchval("SHOW transaction_isolation") == "repeatable read"
            assert await connection.fetchval("SHOW transaction_read_only") == "on"


async def test_leaving_the_loop(client: Client, connection: Any, table: str) -> None:
    async for transaction in connection.retrying():
        async with transaction:
            await connection.execute("UPDATE retried SET b = 5")
            break
    assert await content(connection) == [(1, 5), (2, 5)], "break is no error"


async def test_misuse(client: Client, connection: Any) -> None:
    with pytest.raises(ValueError, match="attempts is expected to be at least 1, got 0"):
        connection.retrying(attempts=0)
    with pytest.raises(ValueError, match="delay is expected"):
        connection.retrying(delay=float("nan"))
    with pytest.raises(ValueError, match="isolation is expected"):
        connection.retrying(isolation="none")
    with pytest.raises(client.InterfaceError, match="was not used"):
        async for _ in connection.retrying():
            pass
    async with connection.transaction():
        with pytest.raises(client.InterfaceError, match="inside of another one"):
            async for _ in connection.retrying():
                pass
    await connection.close()
    with pytest.raises(client.InterfaceError, match="connection is closed"):
        connection.retrying()


async def test_a_lost_connection_is_not_tried_again(client: Client, connection: Any, observer: Any) -> None:
    attempts = 0
    with pytest.raises((client.ConnectionDoesNotExistError, client.InterfaceError)):
        async for transaction in connection.retrying(retry_on=[client.PostgresError]):
            async with transaction:
                attempts += 1
                await connection.fetch("SELECT 1")
                assert await observer.fetchval("SELECT pg_terminate_backend($1)", connection.get_server_pid())
                await connection.fetch("SELECT pg_sleep(60)")
    assert attempts == 1


async def test_a_cancellation_while_it_waits(client: Client, connection: Any) -> None:
    waiting = anyio.Event()

    async def run() -> None:
        async for transaction in connection.retrying(delay=1000):
            async with transaction:
                await connection.fetch("SELECT 1")
                waiting.set()
                await connection.execute(RAISES)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await waiting.wait()
        while connection.is_in_transaction():
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert await connection.fetchval("SELECT 1") == 1


# two-phase commit


GID = "it's a \\ gid"


@pytest.fixture
async def prepares(connection: Any) -> AsyncIterator[None]:
    yield
    for left in await connection.prepared_transactions():
        await connection.rollback_prepared(left.gid)


@pytest.mark.parametrize("commit", [True, False])
async def test_two_phases(
    client: Client, connection: Any, observer: Any, table: str, prepares: None, commit: bool
) -> None:
    async with connection.transaction(prepare_as=GID):
        await connection.execute("UPDATE retried SET b = 7")
    assert not connection.is_in_transaction()
    assert await content(observer) == [(1, 0), (2, 0)]
    (waiting,) = await observer.prepared_transactions()
    assert (waiting.gid, waiting.owner, waiting.database) == (GID, client.server.user, client.server.database)
    assert waiting.prepared_at.tzinfo is not None
    if commit:
        await observer.commit_prepared(GID)
        assert await content(connection) == [(1, 7), (2, 7)]
    else:
        await observer.rollback_prepared(GID)
        assert await content(connection) == [(1, 0), (2, 0)]
    assert await connection.prepared_transactions() == []
    with pytest.raises(client.UndefinedObjectError):
        await connection.commit_prepared(GID)


async def test_by_hand(client: Client, connection: Any, table: str, prepares: None) -> None:
    transaction = connection.transaction(prepare_as="by hand")
    await transaction.start()
    await connection.execute("UPDATE retried SET b = 8")
    await transaction.commit()
    assert "state:prepared" in repr(transaction)
    with pytest.raises(client.InterfaceError, match="already prepared"):
        await transaction.rollback()
    await connection.commit_prepared("by hand")
    assert await content(connection) == [(1, 8), (2, 8)]


async def test_an_empty_one_is_prepared_too(client: Client, connection: Any, prepares: None) -> None:
    async with connection.transaction(prepare_as="empty"):
        pass
    assert [waiting.gid for waiting in await connection.prepared_transactions()] == ["empty"]
    await connection.commit_prepared("empty")


async def test_one_that_fails_is_not_prepared(client: Client, connection: Any, prepares: None) -> None:
    with pytest.raises(client.DivisionByZeroError):
        async with connection.transaction(prepare_as="failing"):
            await connection.fetch("SELECT 1/0")
    transaction = connection.transaction(prepare_as="refused")
    await transaction.start()
    await connection.execute("LISTEN channel")
    with pytest.raises(client.FeatureNotSupportedError):
        await transaction.commit()
    assert not connection.is_in_transaction()
    assert await connection.prepared_transactions() == []


async def test_a_savepoint_cannot_be_prepared(client: Client, connection: Any) -> None:
    async with connection.transaction():
        with pytest.raises(client.InterfaceError, match="only the outermost transaction can be prepared"):
            async with connection.transaction(prepare_as="inner"):
                pass
        assert await connection.fetchval("SELECT 1") == 1


async def test_ending_one_within_a_transaction(client: Client, connection: Any) -> None:
    async with connection.transaction():
        with pytest.raises(client.ActiveSQLTransactionError):
            async with connection.transaction():
                await connection.rollback_prepared("any")


async def test_begin_is_refused_to_an_empty_one(client: Client, connection: Any) -> None:
    with pytest.raises(client.FeatureNotSupportedError):
        async with connection.transaction(prepare_as="empty", isolation="serializable", shared=False):
            connection._frontend.deferred = refused_begin()
    assert not connection.is_in_transaction()
    async with connection.transaction():
        assert await connection.fetchval("SELECT 1") == 1


def refused_begin() -> bytes:
    """What a standby would do with BEGIN ISOLATION LEVEL SERIALIZABLE."""
    return unnamed("DO $$ BEGIN RAISE 'cannot' USING ERRCODE = '0A000'; END $$")
