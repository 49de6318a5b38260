"""Notifications: iterating over them, callbacks beside it, and what a rollback does to LISTEN."""

import asyncio

# ruff: noqa: PT012 - a block that is left by an error is what is tested
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client, until

pytestmark = [pytest.mark.anyio, pytest.mark.server]

CHANNELS = "SELECT coalesce(array_agg(c ORDER BY c), '{}') FROM pg_listening_channels() AS c"


async def test_iterating(connection: Any, observer: Any, client: Client) -> None:
    async with connection.notifications("c") as notifications:
        assert await connection.fetchval(CHANNELS) == ["c"]
        for payload in ("a", "b", ""):
            await observer.fetch("SELECT pg_notify('c', $1)", payload)
        with anyio.fail_after(PATIENCE_SECONDS):
            got = [await anext(notifications) for _ in range(3)]
        pid = observer.get_server_pid()
        assert got == [client.Notification(pid, "c", payload) for payload in ("a", "b", "")]
    assert await connection.fetchval(CHANNELS) == []


async def test_iterating_without_a_block(connection: Any, observer: Any) -> None:
    async def notify() -> None:
        await until(observer, "true")
        await observer.execute("SELECT pg_notify('c', i::text) FROM generate_series(1, 5) AS i")

    got: list[str] = []
    notifications = connection.notifications("c")
    await notifications.__aenter__()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(notify)
            async for notification in notifications:
                got.append(notification.payload)
                if len(got) == 5:
                    break
    assert got == ["1", "2", "3", "4", "5"]


async def test_on_a_connection_without_a_block(client: Client, observer: Any) -> None:
    """On trio nobody reads it while it is idle; iterating reads."""
    connection = await client.module.connect(**client.settings())
    try:
        async with connection.notifications("c") as notifications:
            await observer.execute("NOTIFY c, 'x'")
            with anyio.fail_after(PATIENCE_SECONDS):
                assert (await anext(notifications)).payload == "x"
    finally:
        await connection.close()


async def test_a_callback_needs_a_reader(client: Client, anyio_backend_name: str) -> None:
    connection = await client.module.connect(**client.settings())
    try:
        if anyio_backend_name == "trio":
            with pytest.raises(client.InterfaceError, match="nobody reads this connection while it is idle"):
                await connection.add_listener("c", print)
        else:
            await connection.add_listener("c", print)
    finally:
        await connection.close()


async def test_several_readers_and_a_callback(connection: Any, observer: Any) -> None:
    called: list[str] = []
    await connection.add_listener("c", lambda _connection, _pid, _channel, payload: called.append(payload))
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connection.notifications("c") as one, connection.notifications("c") as two:
            await observer.execute("NOTIFY c, 'x'")
            assert (await anext(one)).payload == (await anext(two)).payload == "x"
        while called != ["x"]:
            await anyio.lowlevel.checkpoint()
    # The callback still listens.
    assert await connection.fetchval(CHANNELS) == ["c"]


async def test_a_callback_that_fails(client: Client, observer: Any, anyio_backend_name: str) -> None:
    """On asyncio the loop's exception handler is told; on trio the error goes up, through the connection's block."""
    called = anyio.Event()

    def fail(*_: object) -> None:
        called.set()
        raise ZeroDivisionError("the callback's own")

    if anyio_backend_name == "trio":
        with pytest.raises(ZeroDivisionError, match="the callback's own"), anyio.fail_after(PATIENCE_SECONDS):
            async with client.connect() as connection:
                await connection.add_listener("c", fail)
                await observer.execute("NOTIFY c")
                await anyio.sleep_forever()
        assert connection.is_closed()
        return
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with client.connect() as connection:
        await connection.add_listener("c", fail)
        with anyio.fail_after(PATIENCE_SECONDS):
            await observer.execute("NOTIFY c")
            await called.wait()
        assert await connection.fetchval("SELECT 1") == 1
    assert [str(context["exception"]) for context in told] == ["the callback's own"]


async def test_a_slow_reader_finds_a_mark(connection: Any, observer: Any, client: Client) -> None:
    async with connection.notifications("c", max_queued=3) as notifications:
        await observer.execute("SELECT pg_notify('c', i::text) FROM generate_series(1, 10) AS i")
        # Its answer comes after the notifications, so they are all here.
        await until(observer, "true")
        await connection.execute("NOTIFY d")
        with anyio.fail_after(PATIENCE_SECONDS):
            first = await anext(notifications)
            assert isinstance(first, client.Overflow)
            got = [(await anext(notifications)).payload for _ in range(3)]
    assert got == ["8", "9", "10"]


async def test_queries_while_iterating(connection: Any) -> None:
    got: list[str] = []

    async def read() -> None:
        async with connection.notifications("c") as notifications:
            ready.set()
            async for notification in notifications:
                got.append(notification.payload)
                if len(got) == 20:
                    return

    ready = anyio.Event()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await ready.wait()
            for number in range(20):
                await connection.fetch("SELECT pg_notify('c', $1)", str(number))
                assert await connection.fetchval("SELECT $1::int", number) == number
    assert got == [str(number) for number in range(20)]


async def test_closing_ends_the_iteration(client: Client) -> None:
    async with client.connect() as connection:
        ready = anyio.Event()

        async def read() -> None:
            async with connection.notifications("c") as notifications:
                ready.set()
                await anext(notifications)

        with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await ready.wait()
                await connection.close()
        assert caught.group_contains(client.InterfaceError, match="connection is closed")


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
async def test_listen_in_a_transaction(connection: Any, observer: Any, outcome: str) -> None:
    transaction = connection.transaction()
    await transaction.start()
    notifications = connection.notifications("c")
    await notifications.__aenter__()
    await getattr(transaction, outcome)()
    assert await connection.fetchval(CHANNELS) == ["c"]
    await observer.execute("NOTIFY c, 'x'")
    with anyio.fail_after(PATIENCE_SECONDS):
        assert (await anext(notifications)).payload == "x"
    await notifications.__aexit__(None, None, None)
    assert await connection.fetchval(CHANNELS) == []


async def test_listen_in_a_savepoint_that_is_rolled_back(connection: Any) -> None:
    async with connection.transaction():
        inner = connection.transaction()
        await inner.start()
        await connection.add_listener("c", print)
        await inner.rollback()
    assert await connection.fetchval(CHANNELS) == ["c"]
    await connection.remove_listener("c", print)


async def test_unlisten_in_a_transaction_that_is_rolled_back(connection: Any) -> None:
    await connection.add_listener("c", print)
    transaction = connection.transaction()
    await transaction.start()
    await connection.remove_listener("c", print)
    await transaction.rollback()
    assert await connection.fetchval(CHANNELS) == []
