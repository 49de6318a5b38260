"""Where the server is, whether it answers, stopping what it does; and closing prepared statements."""

import contextlib
from typing import Any

import pytest

from pgsansio.client import Connection, connecting
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InterfaceError,
    OperationTimeoutError,
    QueryCanceledError,
    UnsupportedServerFeatureError,
)
from pgsansio.messages.frontend import Close, Sync, Target
from pgsansio.policy.conninfo import resolve_settings
from pgsansio.testing.loop import Cancelled, VirtualLoop
from pgsansio.testing.peer import Deaf
from pgsansio.testing.script import ScriptedBackend, expect, login, ready, send
from tests.client.test_cancel_everywhere import SETTINGS, world
from tests.client.test_hostile_server import connect, loop_with
from tests.support.toy_server import ToyCluster

# Where it is


def test_where_the_server_is() -> None:
    connection = world().connection
    assert (connection.host, connection.port, connection.user, connection.database) == ("db.example", 5432, "u", "d")


def test_where_the_server_of_a_socket_is() -> None:
    settings = resolve_settings(
        "postgresql://me@/mine?host=/run/pg&port=5433",
        environment={}, os_user="u", home=None, platform="linux", timeout=None,
    )  # fmt: skip
    loop = VirtualLoop(ToyCluster())
    connection = loop.finish(connecting.connect(loop.port, settings, Connection))
    assert (connection.host, connection.port, connection.user, connection.database) == ("/run/pg", 5433, "me", "mine")


# Whether it answers


def test_a_ping_is_one_sync() -> None:
    loop = loop_with([expect(Sync), send(ready()), expect(Sync), send(ready("E"))])
    connection = connect(loop)
    loop.finish(connection.ping())
    loop.finish(connection.ping(timeout=1))
    assert connection._queries == 0


def test_a_ping_while_another_task_is_in_a_transaction() -> None:
    there = world()
    there.loop.finish(there.connection.execute("BEGIN"))
    sleeping = there.loop.start(there.connection.execute("SLEEP"))
    ping = there.loop.start(there.connection.ping())
    there.loop.run()
    assert not ping.done
    there.server.interrupt()
    there.loop.run(ping)
    ping.result()
    assert isinstance(sleeping.error, QueryCanceledError)
    there.loop.finish(there.connection.ping())  # in a failed one
    there.loop.finish(there.connection.execute("ROLLBACK"))


def test_without_pipelining_a_ping_is_one_of_many() -> None:
    there = world()
    there.connection._frontend.pipelining = False
    there.loop.finish(there.connection.ping())
    one = there.loop.start(there.connection.fetch("SELECT 1"))
    other = there.loop.start(there.connection.ping())
    there.loop.run()
    one.result()
    assert isinstance(other.error, InterfaceError)


def test_a_ping_of_one_who_would_wait_for_himself() -> None:
    there = world()

    async def body() -> None:
        async with there.connection.stream("SERIES 5", prefetch=2) as rows:
            async for _ in rows:
                with pytest.raises(InterfaceError, match="this task is in the middle of another one"):
                    await there.connection.ping()
                break

    there.loop.finish(body())


def test_a_ping_without_an_answer() -> None:
    loop = loop_with([expect(Sync)])
    connection = connect(loop)
    with pytest.raises(OperationTimeoutError):
        loop.finish(connection.ping(timeout=2))
    loop.run()
    assert connection.is_closed()


@pytest.mark.parametrize("cause", [None, ConnectionResetError(104, "reset by peer")])
def test_a_ping_of_a_lost_connection(cause: OSError | None) -> None:
    there = world()
    ping = there.loop.start(there.connection.ping())
    there.loop.step()
    there.loop.ports[0].lose(cause)
    there.loop.run(ping)
    assert isinstance(ping.error, ConnectionDoesNotExistError)
    with pytest.raises(InterfaceError, match="connection is closed"):
        there.loop.finish(there.connection.ping())


# Stopping what it does


def test_cancel_stops_what_runs() -> None:
    there = world()
    sleeping = there.loop.start(there.connection.fetch("SLEEP"))
    there.loop.run()
    there.loop.finish(there.connection.cancel())
    there.loop.run(sleeping)
    assert isinstance(sleeping.error, QueryCanceledError)
    assert there.cluster.cancel_requests == 1
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


def test_cancel_stops_a_pipeline() -> None:
    there = world()

    async def body() -> None:
        async with there.connection.pipeline() as pipeline:
            pipeline.execute("INSERT 1")
            pipeline.execute("SLEEP")
            pipeline.execute("INSERT 2")

    sleeping = there.loop.start(body())
    there.loop.run()
    there.loop.finish(there.connection.cancel())
    there.loop.run(sleeping)
    assert isinstance(sleeping.error, QueryCanceledError)
    assert there.server.state.rows == []


def test_cancel_of_nothing() -> None:
    there = world()
    there.loop.finish(there.connection.cancel())
    assert there.cluster.cancel_requests == 0
    there.loop.finish(there.connection.close())
    with pytest.raises(InterfaceError, match="connection is closed"):
        there.loop.finish(there.connection.cancel())


@pytest.mark.parametrize("how", ["close", "_leave"])
def test_the_end_cancels_again_what_was_not_running_yet(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = world()
    sleeping = there.loop.start(there.connection.fetch("SLEEP"))
    there.loop.run()
    heed, heeded = there.cluster.cancel, []

    def be_late(process_id: int) -> None:
        heeded.append(process_id)
        if len(heeded) > 2:
            heed(process_id)

    monkeypatch.setattr(there.cluster, "cancel", be_late)
    there.loop.finish(getattr(there.connection, how)())
    there.loop.run()
    assert len(heeded) == 3
    assert isinstance(sleeping.error, ConnectionDoesNotExistError)
    assert there.server.hung_up
    assert not there.server.sleeping


def test_cancel_does_not_hit_anybody_else() -> None:
    there = world()
    loop, connection = there.loop, there.connection
    loop.finish(connection.fetch("SELECT 1"))
    one = loop.start(connection.fetch("SLEEP"))
    loop.run()
    other = loop.start(connection.fetchval("SELECT 1"))
    loop.run()
    with pytest.raises(InterfaceError, match="more than one operation is in progress"):
        loop.finish(connection.cancel())
    assert there.cluster.cancel_requests == 0
    there.server.interrupt()
    loop.run(one)
    loop.run(other)
    assert other.result() == 1


def test_nothing_is_written_while_a_cancellation_is_under_way() -> None:
    servers: list[Any] = []
    cluster = ToyCluster()

    def make(address: Any) -> Any:
        servers.append(Deaf() if servers else cluster(address))
        return servers[-1]

    loop = VirtualLoop(make)
    connection = loop.finish(connecting.connect(loop.port, SETTINGS, Connection))
    sleeping = loop.start(connection.fetch("SLEEP"))
    while loop.step(time_passes=False):
        pass
    cancelling = loop.start(connection.cancel())
    while loop.step(time_passes=False):
        pass
    behind = loop.start(connection.fetch("SELECT 1"))
    while loop.step(time_passes=False):
        pass
    assert len(connection._frontend.in_flight) == 1
    with pytest.raises(InterfaceError, match="more than one operation"):
        loop.finish(connection.cancel())
    # The server never closes the connection of the request.
    loop.run(cancelling)
    assert isinstance(cancelling.error, OperationTimeoutError)
    assert connection.is_closed()
    loop.run()
    assert isinstance(sleeping.error, ConnectionDoesNotExistError)
    assert isinstance(behind.error, ConnectionDoesNotExistError)


def test_cancel_where_no_connection_can_be_made_for_it() -> None:
    servers: list[Any] = []
    cluster = ToyCluster()

    def make(address: Any) -> Any:
        if servers:
            raise ConnectionRefusedError(111, "refused")
        servers.append(cluster(address))
        return servers[-1]

    loop = VirtualLoop(make)
    connection = loop.finish(connecting.connect(loop.port, SETTINGS, Connection))
    sleeping = loop.start(connection.fetch("SLEEP"))
    loop.run()
    with pytest.raises(ConnectionRefusedError):
        loop.finish(connection.cancel())
    servers[0].interrupt()
    loop.run(sleeping)
    assert isinstance(sleeping.error, QueryCanceledError)
    assert loop.finish(connection.fetchval("SELECT 1")) == 1


def test_cancel_without_a_key() -> None:
    loop = VirtualLoop(lambda address: ScriptedBackend([*login(process_id=None)]))
    connection = connect(loop)
    asked = loop.start(connection.fetch("A"))
    loop.run()
    with pytest.raises(UnsupportedServerFeatureError, match="gave no key"):
        loop.finish(connection.cancel())
    loop.ports[0].lose()
    loop.run(asked)


@pytest.mark.parametrize("inline", [False, True])
def test_who_gives_up_while_another_one_cancels_is_not_forgotten(inline: bool) -> None:
    """Cancelling is stopped, and the operation given up, at each moment."""
    for moment in range(1, 40):
        there = world(inline=inline)
        sleeping = there.loop.start(there.connection.fetch("SLEEP"))
        there.loop.run()
        cancelling = there.loop.start(there.connection.cancel())
        for _ in range(moment):
            there.loop.step()
        sleeping.cancel()
        there.loop.run()
        assert sleeping.done
        assert cancelling.done
        cancelling.result()
        assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


def test_a_request_that_came_too_early_is_repeated_for_who_gives_up() -> None:
    there = world()
    cluster, requests = there.cluster, 0
    interrupt = cluster.cancel

    def cancel(process_id: int) -> None:
        nonlocal requests
        requests += 1
        if requests > 1:
            interrupt(process_id)

    cluster.cancel = cancel  # type: ignore[method-assign]
    sleeping = there.loop.start(there.connection.fetch("SLEEP"))
    there.loop.run()
    cancelling = there.loop.start(there.connection.cancel())
    there.loop.step()
    sleeping.cancel()
    there.loop.run()
    cancelling.result()
    assert isinstance(sleeping.error, Cancelled)
    assert requests == 2
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


def test_a_cancelled_cancellation_leaves_no_doubt() -> None:
    for moment in range(40):
        there = world()
        sleeping = there.loop.start(there.connection.fetch("SLEEP"))
        there.loop.run()
        cancelling = there.loop.start(there.connection.cancel())
        for _ in range(moment):
            there.loop.step()
        if cancelling.done:
            break
        cancelling.cancel()
        there.loop.run(cancelling)
        assert isinstance(cancelling.error, Cancelled)
        if there.connection.is_closed():
            there.loop.run(sleeping)
        else:
            there.server.interrupt()
            there.loop.run(sleeping)
            assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1
    assert moment > 2


# Closing prepared statements


def test_a_closed_statement_is_closed_on_the_server() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        statement = await connection.prepare("SELECT $1")
        name = statement.get_name()
        async with statement as same:
            assert same is statement
            assert await statement.fetchval(5) == 5
            assert name in there.server._statements
        assert name not in there.server._statements
        for call in (statement.fetch, statement.query, statement.execute, statement.fetchrow):
            with pytest.raises(InterfaceError, match="the prepared statement is closed"):
                await call(5)
        with pytest.raises(InterfaceError, match=r"cannot call PreparedStmt.get_columns\(\): the prepared"):
            statement.get_columns()
        with pytest.raises(InterfaceError, match="the prepared statement is closed"):
            await statement.__aenter__()
        await statement.close()
        assert not connection._frontend._to_close
        del statement, same
        assert not connection._frontend._to_close

    there.loop.finish(body(there.connection))


def test_a_statement_is_closed_when_there_is_an_occasion() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        first = await connection.prepare("SELECT 1")
        async with connection.stream("SERIES 5", prefetch=2) as rows:
            async for _ in rows:
                await first.close()  # of this very task
                break
        assert connection._frontend._to_close
        second = await connection.prepare("SELECT 2")
        with contextlib.suppress(OperationTimeoutError):
            await second.close(timeout=-1)
        assert connection._frontend._to_close == [second._statement.name]
        third = await connection.prepare("SELECT 3")
        with contextlib.suppress(Cancelled):
            async with third:
                raise Cancelled
        assert connection._frontend._to_close == [third._statement.name]
        await connection.close()
        await third.close()
        await second.close()

    there.loop.finish(body(there.connection))


def test_close_on_a_closed_connection_does_nothing() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        statement = await connection.prepare("SELECT 1")
        await connection.close()
        await statement.close()

    there.loop.finish(body(there.connection))


def test_close_is_one_round_trip() -> None:
    there = world()
    statement = there.loop.finish(there.connection.prepare("SELECT 1"))
    closing = there.loop.start(statement.close())
    there.loop.step()
    (operation,) = there.connection._frontend.in_flight
    message = Close(Target.STATEMENT, statement._statement.name)
    assert there.loop.ports[0].unsent == message.encode() + Sync().encode()
    there.loop.run(closing)
    assert operation.settled
