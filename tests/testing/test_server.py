"""A scripted server says what it was told to say, and keeps the state that a server would."""

import asyncio
import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from pgsansio import (
    AdminShutdownError,
    ConnectionDoesNotExistError,
    DivisionByZeroError,
    FeatureNotSupportedError,
    InFailedSQLTransactionError,
    InvalidSQLStatementNameError,
    QueryCanceledError,
    SerializationError,
    TooManyConnectionsError,
    UniqueViolationError,
)
from pgsansio.client import Connection
from pgsansio.messages.copy import CopyData, CopyDone, CopyFail
from pgsansio.testing import ScriptedServer, VirtualLoop


class World:
    def __init__(self, **arguments: Any) -> None:
        self.server = ScriptedServer(**arguments)
        self.loop = VirtualLoop(self.server)
        self.server.answer("SELECT $1", parameters=["int4"], columns={"n": "int4"}, rows=lambda call: [call.arguments])
        self.server.answer("numbers", columns={"n": "int8", "t": "text"}, rows=[(n, f"<{n}>") for n in range(5)])

    def connect(self) -> Connection:
        return self.loop.finish(self.loop.connect())

    def connect_simply(self) -> Connection:
        return self.loop.finish(self.loop.connect(statement_mode="simple"))

    def do(self, call: Callable[[Connection], Any], connection: Connection | None = None) -> Any:
        """What this comes to on a connection."""
        used = connection or self.connect()

        async def run() -> Any:
            return await call(used)

        try:
            return self.loop.finish(run())
        finally:
            if connection is None:
                used.terminate()
            self.loop.run()


@pytest.fixture
def world() -> World:
    return World()


ROWS = [(n, f"<{n}>") for n in range(5)]


def test_rows(world: World) -> None:
    assert world.do(lambda c: c.fetchval("SELECT $1", 7)) == 7
    assert world.do(lambda c: c.fetchval(" SELECT\n$1 ;", 7)) == 7
    assert world.do(lambda c: c.fetchval("SELECT $1", None)) is None
    assert [tuple(row) for row in world.do(lambda c: c.fetch("numbers"))] == ROWS
    assert [call.arguments for call in world.server.calls] == [(7,), (7,), (None,), ()]
    world.server.check()


def test_rows_of_the_simple_protocol(world: World) -> None:
    assert [tuple(row) for row in world.do(lambda c: c.fetch("numbers"), world.connect_simply())] == ROWS
    assert world.do(lambda c: c.execute("BEGIN; numbers; COMMIT")) == "COMMIT"
    assert world.do(lambda c: c.execute("")) == ""


def test_the_last_description_holds(world: World) -> None:
    world.server.answer(
        re.compile("^numb(?P<rest>.*)"), columns={"x": "text"}, rows=lambda call: [(call.match["rest"],)]
    )
    assert world.do(lambda c: c.fetchval("numbers")) == "ers"
    world.server.answer("numbers", columns={"x": 23}, rows=[(1,)])
    assert world.do(lambda c: c.fetchval("numbers")) == 1
    with pytest.raises(LookupError, match="no built-in type 'sometype'"):
        world.server.answer("x", columns={"x": "sometype"})


@pytest.mark.parametrize(
    ("sql", "tag"),
    [
        ("INSERT INTO a VALUES (1)", "INSERT 0 1"),
        ("UPDATE a SET b = 1", "UPDATE 1"),
        ("DELETE FROM a", "DELETE 1"),
        ("create table a (b int)", "CREATE TABLE"),
        ("SET x = 1", "SET"),
    ],
)
def test_command_tags(world: World, sql: str, tag: str) -> None:
    world.server.answer(re.compile("a"))
    assert world.do(lambda c: c.execute(sql)) == tag
    world.server.answer(sql, tag="MY TAG")
    if tag != "SET":
        assert world.do(lambda c: c.execute(sql)) == "MY TAG"


def test_a_statement_that_nobody_has_described(world: World) -> None:
    with pytest.raises(FeatureNotSupportedError, match="no answer was described for this statement: SELECT other"):
        world.do(lambda c: c.fetch("SELECT other"))
    with pytest.raises(AssertionError, match="SELECT other"):
        world.server.check()


def test_errors_and_notices(world: World) -> None:
    error = UniqueViolationError("duplicate key")
    error.detail, error.constraint_name = "it is there", "a_key"
    world.server.answer("half", columns={"n": "int4"}, rows=[(1,)], error=error, notices=["careful"])
    connection, seen = world.connect(), []

    async def listen(connection: Connection) -> None:
        connection.add_log_listener(lambda _, notice: seen.append(notice.message))

    world.do(listen, connection)
    with pytest.raises(UniqueViolationError) as caught:
        world.do(lambda c: c.fetch("half"), connection)
    assert (caught.value.detail, caught.value.constraint_name) == ("it is there", "a_key")
    assert world.do(lambda c: c.fetchval("SELECT $1", 1), connection) == 1
    world.loop.run()
    assert seen == ["careful"]
    with pytest.raises(UniqueViolationError):
        world.do(lambda c: c.execute("half; numbers"), connection)
    connection.terminate()


def test_a_function_refuses(world: World) -> None:
    def divide(call: Any) -> list[tuple[int]]:
        if call.arguments == (0,):
            raise DivisionByZeroError("division by zero")
        return [(12 // call.arguments[0],)]

    world.server.answer("SELECT 12 / $1", parameters=["int4"], columns={"n": "int4"}, rows=divide)
    assert world.do(lambda c: c.fetchval("SELECT 12 / $1", 5)) == 2
    with pytest.raises(DivisionByZeroError):
        world.do(lambda c: c.fetchval("SELECT 12 / $1", 0))


def test_a_row_of_another_length(world: World) -> None:
    world.server.answer("SELECT bad", columns={"n": "int4"}, rows=[(1, 2)])
    with pytest.raises(ValueError, match="a row of 2 values was described for 1 columns: SELECT bad"):
        world.do(lambda c: c.fetch("SELECT bad"))


def test_cursors(world: World) -> None:
    async def walk(connection: Connection) -> list[Any]:
        found: list[Any] = []
        async with connection.transaction():
            found += [row["n"] async for row in connection.cursor("numbers", prefetch=2)]
            cursor = await connection.cursor("numbers")
            found.append(await cursor.forward(3))
            found.append([row["n"] for row in await cursor.fetch(9)])
            cursor = await connection.cursor("numbers")
            found.append([row["n"] for row in await cursor.fetch(5)])
            found.append(await cursor.fetch(5))
        return found

    assert world.do(walk) == [0, 1, 2, 3, 4, 3, [3, 4], [0, 1, 2, 3, 4], []]


def test_transactions(world: World) -> None:
    world.server.answer("INSERT 1", rows=lambda call: call.session.values.__setitem__("n", 1) or ())
    world.server.answer("INSERT 2", rows=lambda call: call.session.values.__setitem__("n", 2) or ())
    world.server.answer("fail", error=DivisionByZeroError("no"))

    async def work(connection: Connection) -> None:
        session = world.server.sessions[-1]
        async with connection.transaction():
            await connection.execute("INSERT 1")
            savepoint = connection.transaction()
            await savepoint.start()
            await connection.execute("INSERT 2")
            assert session.values == {"n": 2}
            with pytest.raises(DivisionByZeroError):
                await connection.execute("fail")
            await savepoint.rollback()
            assert session.values == {"n": 1}
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT 2")
        with pytest.raises(DivisionByZeroError):
            await connection.execute("fail")
        with pytest.raises(InFailedSQLTransactionError):
            await connection.execute("INSERT 2")
        await transaction.rollback()
        assert session.values == {"n": 1}
        with pytest.raises(DivisionByZeroError):
            await connection.execute("INSERT 2; fail; INSERT 1")
        assert session.values == {"n": 1}

    world.do(work)


def test_a_commit_that_fails(world: World) -> None:
    world.server.answer("COMMIT", error=SerializationError("could not serialize access"))

    async def work(connection: Connection) -> None:
        with pytest.raises(SerializationError):
            async with connection.transaction():
                await connection.fetch("numbers")
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT $1", 1) == 1

    world.do(work)


def test_notifications(world: World) -> None:
    here, there, seen = world.connect(), world.connect(), []
    world.do(lambda c: c.add_listener("jobs", lambda *what: seen.append(what[2:])), here)
    world.server.notify("jobs", "of the test")
    world.server.notify("other", "for nobody")

    async def notify(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("NOTIFY jobs, 'of a client'")
            await connection.fetchval("SELECT $1", 1)
            assert len(seen) == 1
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("NOTIFY jobs, 'taken back'")
        await transaction.rollback()

    world.do(notify, there)
    world.loop.run()
    assert seen == [("jobs", "of the test"), ("jobs", "of a client")]
    world.do(lambda c: c.reset(), here)
    world.server.notify("jobs", "too late")
    world.loop.run()
    assert len(seen) == 2
    here.terminate()
    there.terminate()


def test_copy(world: World) -> None:
    copied: list[bytes] = []
    world.server.answer(re.compile("^COPY .* FROM STDIN"), copy_in=lambda call: copied.append(call.copied))
    world.server.answer(re.compile("^COPY .* TO STDOUT"), copy_out=lambda call: [b"1\t2\n", b"3\t4\n"])
    assert world.do(lambda c: c.copy_to_table("t", source=io.BytesIO(b"1\n2\n"))) == "COPY 2"
    assert copied == [b"1\n2\n"]
    assert world.server.calls[-1].copied == b"1\n2\n"
    output = io.BytesIO()
    assert world.do(lambda c: c.copy_from_query("SELECT 1", output=output)) == "COPY 2"
    assert output.getvalue() == b"1\t2\n3\t4\n"

    def broken() -> Any:
        yield b"1\n"
        raise RuntimeError("the source has failed")

    with pytest.raises(RuntimeError):
        world.do(lambda c: c.copy_to_table("t", source=aiter_of(broken())))
    assert len(copied) == 1


async def aiter_of(values: Any) -> Any:
    for value in values:
        yield value


@pytest.mark.parametrize("simple", [False, True])
def test_cancelling(world: World, simple: bool) -> None:
    world.server.answer("SELECT forever", columns={"n": "int4"}, waits=True)
    connection = world.connect()
    with pytest.raises(TimeoutError):
        world.do(lambda c: c.execute("SELECT forever; numbers" if simple else "SELECT forever", timeout=3), connection)
    assert world.do(lambda c: c.fetchval("SELECT $1", 1), connection) == 1
    assert world.server.cancel_requests == 1
    connection.terminate()


def test_waiting_ends_with_the_session(world: World) -> None:
    world.server.answer("SELECT forever", waits=True)
    connection = world.connect()
    task = world.loop.start(connection.execute("SELECT forever"))
    world.loop.run()
    world.server.terminate()
    world.loop.run()
    with pytest.raises(ConnectionDoesNotExistError, match="due to administrator command"):
        task.result()
    assert connection.is_closed()


def test_a_fatal_error(world: World) -> None:
    world.server.answer("SELECT last", error=AdminShutdownError("it goes down"), fatal=True)
    connection = world.connect()
    with pytest.raises(Exception, match="it goes down"):
        world.do(lambda c: c.fetch("SELECT last"), connection)
    assert connection.is_closed()


def test_refused_connections(world: World) -> None:
    world.server.refuse(TooManyConnectionsError("sorry, too many clients already"))
    with pytest.raises(TooManyConnectionsError):
        world.connect()
    world.server.refuse(None)
    assert world.do(lambda c: c.fetchval("SELECT $1", 1)) == 1


def test_prepared_statements_that_get_lost(world: World) -> None:
    async def work(connection: Connection) -> None:
        statement = await connection.prepare("SELECT $1")
        assert await statement.fetchval(1) == 1
        await connection.execute("DEALLOCATE ALL")
        world.server.sessions[-1]._statements.clear()
        try:
            assert await statement.fetchval(1) == 1  # prepared again
        except InvalidSQLStatementNameError:
            pass
        assert await connection.fetchval("SELECT $1", 2) == 2

    world.do(work)


def test_parameters_and_settings() -> None:
    world = World(parameters={"server_version": "17.2", "TimeZone": "Europe/Berlin"})
    connection = world.connect()
    assert connection.get_server_version()[:3] == (17, 0, 2)
    assert connection.get_settings().TimeZone == "Europe/Berlin"
    connection.terminate()


def test_a_pool(world: World) -> None:
    async def work() -> list[int]:
        async with world.loop.create_pool(min_size=1, max_size=2) as pool:
            async with pool.acquire() as first, pool.acquire() as second:
                found = [await first.fetchval("SELECT $1", 1), await second.fetchval("SELECT $1", 2)]
            return [*found, await pool.fetchval("SELECT $1", 3)]

    assert world.loop.finish(work()) == [1, 2, 3]
    world.loop.run()
    assert all(session.hung_up for session in world.server.sessions)
    world.server.check()


def test_an_argument_that_cannot_be_read(world: World) -> None:
    """It is the client's error; a server says so."""
    world.server.answer("SELECT $1::int", columns={"n": "int4"}, rows=[(1,)])
    assert world.do(lambda c: c.fetchval("SELECT $1::int", "text")) == 1
    assert world.server.calls[-1].arguments == ("text",)


def test_quoting_of_channels(world: World) -> None:
    connection, seen = world.connect(), []
    world.do(lambda c: c.add_listener("Two words", lambda *what: seen.append(what[3])), connection)
    world.server.notify("Two words", "x")
    world.loop.run()
    assert seen == ["x"]
    connection.terminate()


def test_on_a_loop_of_its_own() -> None:
    """Nothing of it is bound to a loop that runs."""
    assert asyncio.run(asyncio.to_thread(lambda: World().do(lambda c: c.fetchval("SELECT $1", 5)))) == 5


def test_a_cancel_request_with_another_key(world: World) -> None:
    world.server.answer("SELECT forever", waits=True)
    connection = world.connect()
    task = world.loop.start(connection.execute("SELECT forever"))
    world.loop.run()
    session = world.server.sessions[0]
    for process_id, key in ((session.process_id, "00000000"), (1, b"key!".hex())):
        stranger = world.server()
        stranger.receive_data(bytes.fromhex(f"0000001004d2162e{process_id:08x}{key}"))
        assert stranger.data_to_send() == b""
        assert stranger.hung_up
    assert session.waits
    session.interrupt()
    world.loop.run()
    with pytest.raises(QueryCanceledError):
        task.result()
    connection.terminate()


@pytest.mark.parametrize("rest", [CopyData(b"1\n"), CopyDone(), CopyFail("no more")])
def test_a_cancel_request_hits_nothing_behind_the_rest_of_a_copy(
    world: World, rest: CopyData | CopyDone | CopyFail
) -> None:
    world.server.answer("DELETE", tag="DELETE 1")
    connection = world.connect()
    session = world.server.sessions[0]
    session.receive_data(rest.encode())
    session.interrupt()
    assert session.data_to_send() == b""
    assert world.loop.finish(connection.execute("DELETE")) == "DELETE 1"
    connection.terminate()
