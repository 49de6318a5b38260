"""Notifications: iterating over them, callbacks beside it, and what a rollback does to LISTEN."""

import asyncio
from contextvars import ContextVar

# ruff: noqa: PT012 - a block that is left by an error is what is tested
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client, eventually, until
from tests.support.pools import make_pool

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


async def test_what_a_callback_sets_in_its_context_is_its_own(connection: Any, observer: Any) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")
    found: list[str] = []

    def callback(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
        found.append(variable.get())
        variable.set(payload)

    await connection.add_listener("c", callback)
    await observer.execute("NOTIFY c, 'a'; NOTIFY c, 'b'")
    with anyio.fail_after(PATIENCE_SECONDS):
        await eventually(lambda: len(found) == 2)
        await observer.execute("NOTIFY c, 'd'")
        await eventually(lambda: len(found) == 3)
    assert found == ["", "", ""]


async def test_a_callback_may_end_its_connection(client: Client, observer: Any) -> None:
    called: list[str] = []

    def callback(connection: Any, _pid: int, _channel: str, payload: str) -> None:
        called.append(payload)
        connection.terminate()

    async with client.connect() as connection:
        await connection.add_listener("c", callback)
        await observer.execute("NOTIFY c, 'a'; NOTIFY c, 'b'")
        with anyio.fail_after(PATIENCE_SECONDS):
            await eventually(lambda: len(called) == 2)
        assert connection.is_closed()
    assert called == ["a", "b"], "what has come is told"


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


@pytest.mark.parametrize("is_caught", [False, True])
async def test_a_block_in_a_transaction_that_fails(connection: Any, client: Client, is_caught: bool) -> None:
    """Leaving it raises nothing else."""
    await connection.add_listener("b", print)
    with pytest.raises(client.DivisionByZeroError):
        async with connection.transaction():
            error: Exception | None = None
            async with connection.notifications("a", "b"), connection.notifications("c"):
                try:
                    await connection.fetch("SELECT 1/0")
                except client.DivisionByZeroError as caught:
                    if not is_caught:
                        raise
                    error = caught
            assert error is not None
            raise error
    assert await connection.fetchval(CHANNELS) == ["b"]


async def test_unlisten_in_a_transaction_that_is_rolled_back(connection: Any) -> None:
    await connection.add_listener("c", print)
    transaction = connection.transaction()
    await transaction.start()
    await connection.remove_listener("c", print)
    await transaction.rollback()
    assert await connection.fetchval(CHANNELS) == []


async def test_several_channels(connection: Any, observer: Any, client: Client) -> None:
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connection.notifications("a", "b") as both, connection.notifications("b") as one:
            assert await connection.fetchval(CHANNELS) == ["a", "b"]
            await observer.execute("NOTIFY a, '1'; NOTIFY b, '2'")
            assert [(await anext(both)).payload for _ in range(2)] == ["1", "2"]
            assert (await anext(one)).channel == "b"
        assert await connection.fetchval(CHANNELS) == []
    with pytest.raises(client.InterfaceError, match="expected to be given a channel"):
        connection.notifications()


async def test_a_channel_that_cannot_be_leaves_no_other(connection: Any, client: Client) -> None:
    with pytest.raises(client.InterfaceError, match="channel name"):
        async with connection.notifications("a", ""):
            raise AssertionError
    assert await connection.fetchval(CHANNELS) == []
    assert len(connection._subscriptions) == 0


async def test_reset_ends_the_iteration(connection: Any) -> None:
    got: list[Any] = []

    async def read() -> None:
        async with connection.notifications("c") as notifications:
            ready.set()
            async for notification in notifications:
                got.append(notification)  # noqa: PERF401

    ready = anyio.Event()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await ready.wait()
            await connection.reset()
    assert got == []
    assert await connection.fetchval(CHANNELS) == []


@pytest.mark.filterwarnings("ignore:.*is being released to the pool")
async def test_release_ends_the_iteration(client: Client) -> None:
    async def read() -> None:
        async with connection.notifications("c") as notifications:
            ready.set()
            async for _ in notifications:
                raise AssertionError

    ready = anyio.Event()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with make_pool(client) as pool:
            connection = await pool.acquire()
            later = connection.notifications("d")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await ready.wait()
                await pool.release(connection)
            # It is somebody else's now.
            async with pool.acquire() as connection:
                with pytest.raises(client.InterfaceError, match="released back to the pool"):
                    await anext(later)
                assert await connection.fetchval(CHANNELS) == []


async def test_two_tasks_that_iterate(connection: Any, observer: Any) -> None:
    """Each notification goes to one of them."""
    got: list[str] = []

    async def read() -> None:
        got.append((await anext(notifications)).payload)

    with anyio.fail_after(PATIENCE_SECONDS):
        async with connection.notifications("c") as notifications, anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(read)
            await observer.execute("NOTIFY c, '1'")
            await observer.execute("NOTIFY c, '2'")
    assert sorted(got) == ["1", "2"]


async def test_a_cancelled_block_listens_no_more(connection: Any, observer: Any) -> None:
    with anyio.move_on_after(0.02):
        async with connection.notifications("a", "b") as notifications:
            await anext(notifications)
    assert await connection.fetchval(CHANNELS) == []
    # The iteration itself can be cancelled and taken up again.
    async with connection.notifications("a") as notifications:
        for _ in range(3):
            with anyio.move_on_after(0.001):
                await anext(notifications)
        await observer.execute("NOTIFY a, 'x'")
        with anyio.fail_after(PATIENCE_SECONDS):
            assert (await anext(notifications)).payload == "x"


@pytest.mark.checklist("L-3")
async def test_functions_are_called_in_order(connection: Any, observer: Any) -> None:
    called: list[str] = []
    await connection.add_listener("c", lambda _connection, _pid, _channel, payload: called.append(payload))
    await observer.execute("SELECT pg_notify('c', i::text) FROM generate_series(1, 200) AS i")
    await eventually(lambda: len(called) == 200)
    assert called == [str(number) for number in range(1, 201)]


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_callbacks_that_fail_do_not_stop_the_others(
    client: Client, observer: Any, anyio_backend_name: str, is_coroutine: bool
) -> None:
    called: list[str] = []

    def fail(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
        called.append(payload)
        raise ZeroDivisionError(payload)

    async def fail_later(*arguments: Any) -> None:
        fail(*arguments)

    told: list[dict[str, Any]] = []
    if anyio_backend_name == "asyncio":
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    errors: list[BaseException] = []
    try:
        async with client.connect() as connection:
            await connection.add_listener("c", fail_later if is_coroutine else fail)
            await observer.execute("NOTIFY c, '1'; NOTIFY c, '2'")
            await eventually(lambda: len(called) == 2)
            if anyio_backend_name == "asyncio":
                await eventually(lambda: len(told) == 2)
    except* ZeroDivisionError as group:
        errors = list(group.exceptions)
    assert sorted(called) == ["1", "2"]
    failures = errors if anyio_backend_name == "trio" else [context["exception"] for context in told]
    assert {type(error) for error in failures} == {ZeroDivisionError}
    assert connection.is_closed()


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_callbacks_of_a_connection_without_a_block(
    client: Client, caplog: pytest.LogCaptureFixture, anyio_backend_name: str, is_coroutine: bool
) -> None:
    """On trio there is no block that an error could leave: it is logged."""
    called: list[Any] = []

    async def tell(*arguments: Any) -> None:
        await anyio.lowlevel.checkpoint()
        called.append(arguments)

    def tell_at_once(*arguments: Any) -> None:
        called.append(arguments)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("the callback's own")

    connection = await client.module.connect(**client.settings())
    callback = tell if is_coroutine else tell_at_once
    if anyio_backend_name == "trio":
        connection.add_log_listener(fail)
    for add in (connection.add_log_listener, connection.add_termination_listener, connection.add_query_logger):
        add(callback)
    await connection.execute("DO $$ BEGIN RAISE WARNING 'told'; END $$")
    await eventually(lambda: len(called) == 2)
    connection.terminate()
    await eventually(lambda: len(called) == 3)
    assert {len(arguments) for arguments in called} == {1, 2}
    assert called[2] == (connection,)
    assert ("the callback's own" in caplog.text) == (anyio_backend_name == "trio")


@pytest.mark.parametrize("way", ["connection", "pool"])
async def test_the_end_of_a_block_is_told(client: Client, way: str) -> None:
    ended: list[Any] = []
    if way == "connection":
        async with client.connect() as connection:
            connection.add_termination_listener(ended.append)
    else:
        async with make_pool(client) as pool, pool.acquire() as connection:
            connection.add_termination_listener(ended.append)
    await eventually(lambda: len(ended) == 1)
    assert ended[0].is_closed()


async def test_a_loss_that_nobody_reads(client: Client, observer: Any) -> None:
    """Without a block trio notices it when the connection is used, or asked."""
    ended: list[Any] = []
    connection = await client.module.connect(**client.settings())
    connection.add_termination_listener(ended.append)
    await observer.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
    await eventually(connection.is_closed)
    await eventually(lambda: ended == [connection])


async def test_logging_costs_the_short_way_only_while_somebody_is_told(client: Client) -> None:
    async with client.connect() as connection:
        assert not connection._long_way
        with connection.query_logger(print), connection.query_logger(repr):
            assert connection._long_way
            connection.remove_query_logger(print)
            assert connection._long_way
        assert not connection._long_way
    async with client.connect(command_timeout=5) as connection:
        with connection.query_logger(print):
            assert connection._long_way
        assert connection._long_way
