"""Callbacks and notifications: who is told what, until when, and what is no callback."""

from collections.abc import Callable
from typing import Any

import pytest

from pgsansio.client import Connection
from pgsansio.engine.events import ParameterChanged
from pgsansio.errors import DivisionByZeroError, InterfaceError, PostgresWarning
from pgsansio.messages.backend import NoticeResponse, NotificationResponse, ParameterStatus
from pgsansio.policy.subscriptions import Overflow
from pgsansio.testing.loop import Cancelled
from pgsansio.types import LoggedQuery, Notification
from tests.client.test_cancel_everywhere import World, world

KINDS = ["log", "parameter", "termination"]


def careful() -> NoticeResponse:
    return NoticeResponse({"S": "WARNING", "V": "WARNING", "C": "01000", "M": "careful"})


def add(there: World, kind: str, callback: Any) -> None:
    there.loop.call(getattr(there.connection, f"add_{kind}_listener"), callback)


def remove(there: World, kind: str, callback: Any) -> None:
    there.loop.call(getattr(there.connection, f"remove_{kind}_listener"), callback)


def happen(there: World) -> None:
    """Each kind of thing that listeners are told of."""
    there.server.backend.send(careful(), ParameterStatus("TimeZone", "UTC"))
    there.loop.run()
    there.loop.ports[0].lose()
    there.loop.run()


class Heard:
    """What callbacks were told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> None:
        self.calls.append(arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_listener_is_told_and_that_it_may_be_removed(kind: str) -> None:
    there = world()
    connection = there.connection
    kept, removed, unknown = Heard(), Heard(), Heard()
    for callback in (kept, removed, kept):
        add(there, kind, callback)
    remove(there, kind, removed)
    remove(there, kind, unknown)
    happen(there)
    match kind:
        case "log":
            ((teller, message),) = kept.calls
            assert teller is connection
            assert isinstance(message, PostgresWarning)
            assert message.message == "careful"
        case "parameter":
            assert kept.calls == [(connection, "TimeZone", "UTC")]
            assert connection.get_settings().TimeZone == "UTC"
        case _:
            assert kept.calls == [(connection,)]
    assert removed.calls == unknown.calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_called(kind: str) -> None:
    there = world()
    for what in (add, remove):
        with pytest.raises(InterfaceError, match="expected a callable or an `async def` function, got 7"):
            what(there, kind, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_coroutine_functions_are_listeners_too(kind: str) -> None:
    there = world()
    heard = Heard()

    async def callback(*arguments: Any) -> None:
        await there.connection._port.checkpoint()
        heard(*arguments)

    add(there, kind, callback)
    happen(there)
    assert [arguments[0] for arguments in heard.calls] == [there.connection]
    assert not there.loop.failures


def test_a_closed_connection_takes_no_listeners_but_of_its_end() -> None:
    there = world()
    heard = Heard()
    there.loop.call(there.connection.terminate)
    for kind in ("log", "parameter"):
        with pytest.raises(InterfaceError, match="connection is closed"):
            add(there, kind, heard)
        remove(there, kind, heard)
    add(there, "termination", heard)
    remove(there, "termination", heard)
    assert heard.calls == []


def test_a_reset_ends_listening() -> None:
    there = world()
    heard = Heard()
    for kind in KINDS[:2]:
        add(there, kind, heard)
    there.loop.finish(there.connection.add_listener("c", heard))
    assert there.connection._end_listening() == [("notification", 1), ("log", 1), ("parameter", 1)]
    assert there.connection._end_listening() == []
    add(there, "parameter", heard)
    assert there.connection._end_listening() == [("parameter", 1)]
    add(there, "log", heard)
    there.loop.finish(there.connection.reset())
    assert there.connection._end_listening() == []
    assert there.server.state.channels == set()
    happen(there)
    assert heard.calls == []


def test_an_event_that_nobody_knows_is_passed_by() -> None:
    there = world()
    heard = Heard()
    add(there, "parameter", heard)
    there.connection._heard(object())  # type: ignore[arg-type]
    there.connection._heard(ParameterChanged("a", "b"))
    there.loop.run()
    assert heard.calls == [(there.connection, "a", "b")]


# Query loggers


def test_a_query_logger_is_told_of_each_query() -> None:
    there = world()
    connection = there.connection
    heard: list[LoggedQuery] = []

    async def body() -> None:
        await connection.execute("INSERT 1")
        with connection.query_logger(heard.append):
            await connection.fetchval("SELECT $1", 4, timeout=3)
            with pytest.raises(DivisionByZeroError):
                await connection.fetch("FAIL")
        await connection.execute("INSERT 2")

    there.loop.finish(body())
    there.loop.run()
    assert [(record.query, record.args, record.timeout) for record in heard] == [
        ("SELECT $1", (4,), 3),
        ("FAIL", (), None),
    ]
    assert heard[0].exception is None
    assert isinstance(heard[1].exception, DivisionByZeroError)
    assert heard[0].conn_addr == ("db.example", 5432)
    assert (heard[0].conn_params.user, heard[0].conn_params.database) == ("u", "d")


def test_what_is_no_query_logger() -> None:
    there = world()
    for method in (there.connection.add_query_logger, there.connection.remove_query_logger):
        with pytest.raises(InterfaceError, match="expected a callable"):
            method(None)  # type: ignore[arg-type]
    there.connection.remove_query_logger(print)
    assert not there.connection._long_way


def test_a_query_that_is_thrown_away_is_told_to_nobody() -> None:
    there = world()
    heard = Heard()
    there.connection.add_query_logger(heard)
    task = there.loop.start(there.connection.fetch("SLEEP"))
    there.loop.run()
    task.close()
    there.loop.tasks.remove(task)
    there.loop.run()
    assert heard.calls == []


# Notifications


def notify(there: World, *channels: str) -> None:
    there.server.backend.send(*(NotificationResponse(9, channel, "x") for channel in channels))
    there.loop.run()


def test_the_listeners_of_a_channel() -> None:
    there = world()
    one, other = Heard(), Heard()
    for callback in (one, other, one):
        there.loop.finish(there.connection.add_listener("c", callback))
    assert [sql for sql in there.server.log if "LISTEN" in sql] == ['LISTEN "c"']
    notify(there, "c", "d")
    there.loop.finish(there.connection.remove_listener("c", one))
    there.loop.finish(there.connection.remove_listener("d", one))
    notify(there, "c")
    assert one.calls == [(there.connection, 9, "c", "x")]
    assert other.calls == [(there.connection, 9, "c", "x")] * 2
    there.loop.finish(there.connection.remove_listener("c", other))
    assert there.server.state.channels == set()
    there.loop.call(there.connection.terminate)
    there.loop.finish(there.connection.remove_listener("c", other))
    with pytest.raises(InterfaceError, match="connection is closed"):
        there.loop.finish(there.connection.add_listener("c", other))


def test_who_cannot_listen() -> None:
    there = world()
    with pytest.raises(InterfaceError, match="expected a callable"):
        there.loop.finish(there.connection.add_listener("c", "callback"))  # type: ignore[arg-type]
    there.loop.ports[0].reads_when_idle = False
    with pytest.raises(InterfaceError, match="nobody reads this connection while it is idle") as caught:
        there.loop.finish(there.connection.add_listener("c", print))
    assert "notifications()" in str(caught.value.hint)
    with pytest.raises(InterfaceError, match=r"notifications\(\) is expected to be given a channel"):
        there.loop.call(there.connection.notifications)
    assert not there.connection._subscriptions.clear()


def test_iterating_over_notifications() -> None:
    there = world()
    found: list[object] = []

    async def body(count: int) -> None:
        async with there.connection.notifications("c", "d") as notifications:
            async with notifications:  # once is enough
                pass
            async with notifications:
                async for notification in notifications:
                    found.append(notification)
                    if len(found) == count:
                        break

    task = there.loop.start(body(3))
    there.loop.run()
    assert there.server.state.channels == {"c", "d"}
    for channel in "cdc":
        notify(there, channel)
    assert task.done
    task.result()
    assert found == [Notification(9, "c", "x"), Notification(9, "d", "x"), Notification(9, "c", "x")]
    assert there.server.state.channels == set()


def test_a_reader_that_does_not_keep_up() -> None:
    there = world()
    found: list[object] = []

    async def body() -> None:
        notifications = there.connection.notifications("c", max_queued=2)
        async for notification in notifications:
            found.append(notification)
            if len(found) == 1:
                notify_from_inside()
            elif len(found) == 4:
                break

    def notify_from_inside() -> None:
        for number in range(5):
            there.connection._notify(Notification(9, "c", str(number)))

    task = there.loop.start(body())
    there.loop.run()
    notify(there, "c")
    there.loop.run(task)
    task.result()
    assert found == [Notification(9, "c", "x"), Overflow(3), Notification(9, "c", "3"), Notification(9, "c", "4")]


def listen(there: World, found: list[object]) -> Callable[[], Any]:
    async def body() -> None:
        async with there.connection.notifications("c") as notifications:
            found.extend([notification async for notification in notifications])

    return body


def test_iteration_ends_with_a_reset_and_fails_with_the_connection() -> None:
    found: list[object] = []
    there = world()
    task = there.loop.start(listen(there, found)())
    there.loop.run()
    there.loop.finish(there.connection.reset())
    there.loop.run(task)
    task.result()
    there = world()
    task = there.loop.start(listen(there, found)())
    there.loop.run()
    there.loop.ports[0].lose(ConnectionResetError(104, "reset by peer"))
    there.loop.run(task)
    assert isinstance(task.error, InterfaceError)
    assert "connection is closed" in str(task.error)
    assert found == []


@pytest.mark.parametrize("failed", [False, True])
def test_a_block_that_an_error_leaves_waits_for_nothing(failed: bool) -> None:
    there = world()

    async def body() -> None:
        async with there.connection.notifications("c", "d"):
            if failed:
                async with there.connection.transaction():
                    await there.connection.execute("FAIL")
            raise KeyError("mine")

    with pytest.raises(DivisionByZeroError if failed else KeyError):
        there.loop.finish(body())
    there.loop.run()
    assert there.server.state.channels == set()
    assert not there.connection._subscriptions.clear()


def test_a_block_in_a_failed_transaction_keeps_its_error() -> None:
    there = world()

    async def body() -> None:
        transaction = there.connection.transaction()
        await transaction.start()
        async with there.connection.notifications("c"):
            with pytest.raises(DivisionByZeroError):
                await there.connection.execute("FAIL")
        await transaction.rollback()

    there.loop.finish(body())
    there.loop.run()
    assert there.server.state.channels == set()


def test_an_unlisten_that_is_cancelled_goes_out_all_the_same() -> None:
    there = world()

    async def body() -> None:
        async with there.connection.notifications("c", "d"):
            pass

    task = there.loop.start(body())
    while "d" not in there.server.state.channels or task.stop is None or task.stop.name != "wait":
        there.loop.step()
    while there.server.log[-1] != 'UNLISTEN "c"':
        there.loop.step()
    task.cancel()
    there.loop.run()
    assert isinstance(task.error, Cancelled)
    assert there.server.state.channels == set()
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


def test_a_listener_of_what_cannot_be_listened_to() -> None:
    there = world()
    heard = Heard()

    async def body(connection: Connection) -> None:
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(DivisionByZeroError):
            await connection.execute("FAIL")
        with pytest.raises(Exception, match="current transaction is aborted"):
            await connection.add_listener("c", heard)
        with pytest.raises(Exception, match="current transaction is aborted"):
            await anext(connection.notifications("c", "d"))
        await transaction.rollback()

    there.loop.finish(body(there.connection))
    there.loop.run()
    assert there.server.state.channels == set()
    assert not there.connection._subscriptions.clear()
