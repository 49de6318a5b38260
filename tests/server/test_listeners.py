"""Notifications by callback."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client

pytestmark = [pytest.mark.anyio, pytest.mark.server]


class Inbox:
    """A callback that keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *args: Any) -> None:
        self.calls.append(args)

    async def coroutine(self, *args: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls.append(args)

    async def has(self, count: int) -> None:
        """Wait for so many calls."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(self.calls) < count:
                await anyio.lowlevel.checkpoint()
        assert len(self.calls) == count

    @property
    def payloads(self) -> list[str]:
        return [call[3] for call in self.calls]


@pytest.mark.checklist("L-1", "L-2")
@pytest.mark.parametrize("channel", ["plain", "MiXed", 'with "quotes"', "a b; c", "ü"])
async def test_a_callback_is_called(connection: Any, observer: Any, channel: str) -> None:
    inbox = Inbox()
    await connection.add_listener(channel, inbox)
    await observer.execute("SELECT pg_notify($1, 'one')", channel)
    await inbox.has(1)
    assert inbox.calls == [(connection, observer.get_server_pid(), channel, "one")]
    await connection.remove_listener(channel, inbox)


@pytest.mark.checklist("L-1", "L-3")
async def test_a_coroutine_function_is_called(connection: Any, observer: Any) -> None:
    inbox = Inbox()
    await connection.add_listener("c", inbox.coroutine)
    await observer.execute("NOTIFY c, 'x'; NOTIFY c, 'y'")
    await inbox.has(2)
    assert sorted(inbox.payloads) == ["x", "y"]


@pytest.mark.checklist("L-1")
async def test_the_same_callback_counts_once(connection: Any, observer: Any) -> None:
    one, two = Inbox(), Inbox()
    for inbox in (one, one, two):
        await connection.add_listener("c", inbox)
    await observer.execute("NOTIFY c, 'a'")
    await one.has(1)
    await two.has(1)
    await connection.remove_listener("c", one)
    await observer.execute("NOTIFY c, 'b'")
    await two.has(2)
    assert one.payloads == ["a"]


@pytest.mark.checklist("L-1")
async def test_the_last_removal_unlistens(connection: Any) -> None:
    one, two = Inbox(), Inbox()
    listening = "SELECT count(*) FROM pg_listening_channels()"
    await connection.remove_listener("c", one)
    await connection.add_listener("c", one)
    await connection.add_listener("c", two)
    assert await connection.fetchval(listening) == 1
    await connection.remove_listener("c", one)
    assert await connection.fetchval(listening) == 1
    await connection.remove_listener("c", one)
    await connection.remove_listener("c", two)
    assert await connection.fetchval(listening) == 0


@pytest.mark.checklist("L-2")
async def test_delivered_while_a_query_runs(connection: Any, observer: Any) -> None:
    inbox = Inbox()
    await connection.add_listener("c", inbox)
    await connection.execute("NOTIFY c, 'own'")
    await connection.fetch("SELECT 1")
    await inbox.has(1)
    assert inbox.calls[0][1] == connection.get_server_pid()


@pytest.mark.checklist("L-3")
async def test_callbacks_hold_nobody_up(connection: Any, observer: Any) -> None:
    inbox, may_go_on, has_ended = Inbox(), anyio.Event(), anyio.Event()

    async def slow(*args: Any) -> None:
        inbox(*args)
        await may_go_on.wait()
        has_ended.set()

    await connection.add_listener("c", slow)
    await observer.execute("NOTIFY c, 'a'; NOTIFY c, 'b'")
    await inbox.has(2)
    assert await connection.fetchval("SELECT 1") == 1
    may_go_on.set()
    with anyio.fail_after(PATIENCE_SECONDS):
        await has_ended.wait()


@pytest.mark.checklist("L-1", "L-3")
async def test_a_callback_may_remove_itself(connection: Any, observer: Any) -> None:
    inbox = Inbox()

    async def once(*args: Any) -> None:
        await connection.remove_listener("c", once)
        inbox(*args)

    await connection.add_listener("c", once)
    await observer.execute("NOTIFY c, 'a'")
    await inbox.has(1)
    assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0


@pytest.mark.checklist("L-4")
async def test_a_callback_is_callable(connection: Any, client: Client) -> None:
    with pytest.raises(client.InterfaceError, match="expected a callable or an `async def` function"):
        await connection.add_listener("c", 5)


@pytest.mark.differs(
    asyncpg="sends LISTEN before it refuses a callback that is not callable.",
    ours="A refused callback leaves nothing behind in the server.",
)
async def test_a_refused_callback_listens_to_nothing(connection: Any, client: Client) -> None:
    with pytest.raises(client.InterfaceError):
        await connection.add_listener("c", 5)
    assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0


@pytest.mark.differs(
    asyncpg="forgets that a rollback undoes a LISTEN: the callback stays registered and is never called.",
    ours="What a rolled back transaction has undone is listened to again, so the callback is called.",
)
async def test_a_rollback_keeps_the_listener(connection: Any, observer: Any) -> None:
    inbox = Inbox()
    transaction = connection.transaction()
    await transaction.start()
    await connection.add_listener("c", inbox)
    await transaction.rollback()
    assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 1
    await observer.execute("NOTIFY c, 'x'")
    await inbox.has(1)


@pytest.mark.checklist("CN-10")
async def test_reset_drops_listeners(connection: Any) -> None:
    inbox = Inbox()
    await connection.add_listener("c", inbox)
    await connection.reset()
    assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
    await connection.execute("NOTIFY c, 'x'")
    await connection.fetch("SELECT 1")
    assert inbox.calls == []


@pytest.mark.differs(
    asyncpg="takes a channel name of more than 63 bytes, which the server cuts, so that its callback is never called.",
    ours="It is an `InterfaceError`.",
)
async def test_a_name_that_is_too_long(connection: Any, client: Client) -> None:
    with pytest.raises(client.InterfaceError, match="at most 63 bytes"):
        await connection.add_listener("x" * 64, print)


@pytest.mark.differs(
    asyncpg="has nothing to iterate over.",
    ours="`async for notification in connection.notifications(...)`; a reader that is too slow is told what it has "
    "missed.",
)
async def test_iterating(connection: Any, observer: Any) -> None:
    async with connection.notifications("a", "b") as notifications:
        await observer.execute("NOTIFY a, '1'; NOTIFY b, '2'")
        with anyio.fail_after(PATIENCE_SECONDS):
            assert [(await anext(notifications))[1:] for _ in range(2)] == [("a", "1"), ("b", "2")]


@pytest.mark.differs(
    asyncpg="leaves it to the program to connect again, to listen again, and to think of what was notified meanwhile.",
    ours="`listen()` does all of that: it yields a `Gap` when it listens again.",
)
async def test_a_loss(client: Client, observer: Any) -> None:
    settings = client.settings(server_settings={"application_name": "lost"})
    async with client.listen("a", **settings) as items:
        await observer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lost'")
        with anyio.fail_after(PATIENCE_SECONDS):
            assert isinstance(await anext(items), client.Gap)
            await observer.execute("NOTIFY a, 'x'")
            assert (await anext(items)).payload == "x"
