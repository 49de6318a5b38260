"""docs/cancellation.md, cell for cell: a state, what ends it, and what became of the operation and of its connection.

What is expected is read from the document's table; a test's id is a row's name.
"""

import asyncio
import contextlib
import itertools
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from pgsansio.testing.faults import Cut, Faulty, Stall
from pgsansio.testing.script import ScriptedBackend, login
from tests.support.clients import PATIENCE_SECONDS, Client, eventually, ours, until
from tests.support.mock_server import speaking
from tests.support.pools import at_rest, make_pool, waiting
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: Of a time limit that is to pass while something is in a certain state: that is reached sooner.
LIMIT_SECONDS: Final = 0.25

LOOPS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
LOOPS_OF_ASYNCIO: Final = [LOOPS["asyncio"], LOOPS["uvloop"]]

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "cancellation.md"


@dataclass(frozen=True)
class Row:
    """A row of the table, as far as it can be tested; None: there is nothing to say."""

    outcome: str
    safe_to_retry: bool | None
    is_usable: bool | None
    raises: str | None


def _rows() -> dict[str, Row]:
    words = {"yes": True, "no": False, "usable": True, "closed": False}
    rows: dict[str, Row] = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 7:
            name, _, outcome, raises, safe, afterwards, _ = cells
            error = re.search(r"`(\w+)`", raises)
            rows[name.strip("`")] = Row(outcome, words.get(safe), words.get(afterwards), error and error[1])
    return rows


ROWS: Final = _rows()

Cause = str
CAUSES: Final = ("cancelled", "time_limit", "lost")


@dataclass
class Stage:
    """Something that is under way and can be ended.

    Attributes:
        call: what; with a time limit in seconds, or without one.
        reached: waits until it is in its state.
        lose: takes its connection away.
        usable: whether the connection it was on can go on.
    """

    call: Callable[[float | None], Awaitable[Any]]
    reached: Callable[[], Awaitable[Any]]
    lose: Callable[[], Awaitable[Any]]
    usable: Callable[[], Awaitable[bool]] | None = None


class World:
    """What the states need: two connections, one of them to look on, and a table that only this test knows."""

    _numbers = itertools.count()

    def __init__(self, client: Client, observer: Any) -> None:
        self.client = client
        self.observer = observer
        self.table = f"contract_{next(self._numbers)}"

    async def rows(self) -> list[int]:
        return [row[0] for row in await self.observer.fetch(f"SELECT a FROM {self.table} ORDER BY a")]

    async def kill(self, connection: Any) -> None:
        await self.observer.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")

    async def waits(self, connection: Any, event: str) -> None:
        """Until its backend waits for this."""
        await until(
            self.observer,
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1 AND state LIKE 'active' AND wait_event = $2",
            connection.get_server_pid(),
            event,
        )

    async def is_at_rest(self, pid: int) -> None:
        """Until the server has nothing more to do for this session, if it is still there."""
        await until(
            self.observer,
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1 AND state IN ('active', 'idle in transaction')",
            pid,
        )


@contextlib.asynccontextmanager
async def of_a_connection(world: World, **settings: Any) -> AsyncIterator[Any]:
    """A connection on which something is to happen."""
    async with world.client.connect(**settings) as connection:
        yield connection


async def answers(connection: Any) -> bool:
    """Whether it can go on; then it has no transaction left, and no answer of another's."""
    if connection.is_closed():
        return False
    assert await connection.fetchval("SELECT $1::int", 4711) == 4711
    assert not connection.is_in_transaction()
    return True


@contextlib.asynccontextmanager
async def running(world: World, cause: Cause) -> AsyncIterator[Stage]:
    async with of_a_connection(world) as connection:
        query = f"INSERT INTO {world.table} SELECT 1 FROM pg_sleep($1)"
        pid = connection.get_server_pid()
        await (await connection.prepare(query)).close()
        await connection.fetch(query, 0)
        await connection.execute(f"TRUNCATE {world.table}")
        yield Stage(
            lambda timeout: connection.execute(query, 60, timeout=timeout),
            partial(world.waits, connection, "PgSleep"),
            partial(world.kill, connection),
            partial(answers, connection),
        )
        await world.is_at_rest(pid)
        assert await world.rows() == []


@contextlib.asynccontextmanager
async def held_up(world: World, connection: Any, query: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Another task's statement on this connection, which ends when what it gives is called, or at the end."""
    await world.observer.execute("SELECT pg_advisory_lock(4711)")
    is_held = True
    ends: list[Any] = []

    async def run() -> None:
        try:
            ends.append(await connection.execute(query))
        except Exception as error:
            ends.append(error)

    async def let_go() -> None:
        nonlocal is_held
        if is_held:
            is_held = False
            await world.observer.execute("SELECT pg_advisory_unlock(4711)")

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await world.waits(connection, "advisory")
            yield let_go
            await let_go()
    finally:
        with anyio.CancelScope(shield=True):
            await let_go()
    # Whoever is in front never pays.
    assert connection.is_closed() == isinstance(ends[0], Exception), ends


@contextlib.asynccontextmanager
async def behind(world: World, blocker: str, expected: list[int]) -> AsyncIterator[Stage]:
    """An INSERT behind another task's statement."""
    async with of_a_connection(world) as connection:
        query = f"INSERT INTO {world.table} VALUES ($1::int)"
        await connection.execute(query, 0)
        await connection.execute(f"TRUNCATE {world.table}")
        await connection.execute("SELECT pg_advisory_lock(4712)")
        async with held_up(world, connection, blocker) as let_go:

            async def usable() -> bool:
                if connection.is_closed():
                    return False
                await let_go()
                return await answers(connection)

            yield Stage(
                lambda timeout: connection.execute(query, 1, timeout=timeout),
                anyio.lowlevel.checkpoint,
                partial(world.kill, connection),
                usable,
            )
        was_lost = connection.is_closed()
        if not was_lost:
            await connection.fetchval("SELECT 1")
        # What was lost may have been carried out or not.
        assert await world.rows() in ([expected, []] if was_lost else [expected])


def not_sent(world: World, cause: Cause) -> AbstractAsyncContextManager[Stage]:
    # A script lets nothing go out behind it.
    return behind(world, "SELECT pg_advisory_lock(4711); SELECT pg_advisory_unlock(4711)", [])


def queued(world: World, cause: Cause) -> AbstractAsyncContextManager[Stage]:
    return behind(world, "SELECT pg_advisory_lock(4711)", [1])


@contextlib.asynccontextmanager
async def pipeline(world: World, cause: Cause) -> AsyncIterator[Stage]:
    async with of_a_connection(world) as connection:
        handles: list[Any] = []

        async def call(timeout: float | None) -> None:
            handles.clear()
            async with connection.pipeline(timeout=timeout) as pipeline:
                handles.append(pipeline.execute(f"INSERT INTO {world.table} VALUES (1)"))
                handles.append(pipeline.execute("SELECT pg_sleep(60)"))
                handles.append(pipeline.execute(f"INSERT INTO {world.table} VALUES (2)"))

        yield Stage(
            call,
            partial(world.waits, connection, "PgSleep"),
            partial(world.kill, connection),
            partial(answers, connection),
        )
        for handle in handles:
            with pytest.raises((world.client.PipelineAbortedError, world.client.ConnectionDoesNotExistError)) as caught:
                handle.result()
            assert not caught.value.safe_to_retry
        assert await world.rows() == []


@contextlib.asynccontextmanager
async def copy_in(world: World, cause: Cause) -> AsyncIterator[Stage]:
    async with of_a_connection(world) as connection:
        begun, lost, closed = anyio.Event(), anyio.Event(), False

        async def source() -> AsyncIterator[bytes]:
            nonlocal closed
            try:
                yield b"1\n" * 100_000
                yield b"1\n" * 100_000
                begun.set()
                # It is the user's, and noticed to be without an end when it has something to give.
                await lost.wait()
                while True:
                    yield b"1\n" * 100_000
            finally:
                closed = True

        async def lose() -> None:
            await world.kill(connection)
            lost.set()

        yield Stage(
            lambda timeout: connection.copy_to_table(world.table, source=source(), timeout=timeout),
            begun.wait,
            lose,
            partial(answers, connection),
        )
        assert closed
        assert await world.rows() == []


@contextlib.asynccontextmanager
async def copy_out(world: World, cause: Cause) -> AsyncIterator[Stage]:
    async with of_a_connection(world) as connection:

        async def sink(data: bytes) -> None:
            del data

        yield Stage(
            lambda timeout: connection.copy_from_query("SELECT 1 FROM pg_sleep(60)", output=sink, timeout=timeout),
            partial(world.waits, connection, "PgSleep"),
            partial(world.kill, connection),
            partial(answers, connection),
        )


@contextlib.asynccontextmanager
async def cursor(world: World, cause: Cause) -> AsyncIterator[Stage]:
    async with of_a_connection(world) as connection:

        async def call(timeout: float | None) -> None:
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {world.table} VALUES (1)")
                rows = await connection.cursor("SELECT pg_sleep((i - 1) * 60) FROM generate_series(1, 3) i")
                assert len(await rows.fetch(1)) == 1
                await rows.fetch(1, timeout=timeout)

        yield Stage(
            call,
            partial(world.waits, connection, "PgSleep"),
            partial(world.kill, connection),
            partial(answers, connection),
        )
        assert await world.rows() == []


@contextlib.asynccontextmanager
async def in_transaction(world: World, cause: Cause) -> AsyncIterator[Stage]:
    async with of_a_connection(world) as connection:
        pid = connection.get_server_pid()

        async def call(timeout: float | None) -> None:
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {world.table} VALUES (1)")
                await connection.execute("SELECT pg_sleep(60)", timeout=timeout)

        yield Stage(
            call,
            partial(world.waits, connection, "PgSleep"),
            partial(world.kill, connection),
            partial(answers, connection),
        )
        await world.is_at_rest(pid)
        assert await world.rows() == []


@contextlib.asynccontextmanager
async def committing(world: World, cause: Cause) -> AsyncIterator[Stage]:
    await world.observer.execute(f"""
        CREATE FUNCTION {world.table}_slow() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {world.table} DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION {world.table}_slow();
    """)
    try:
        limit = LIMIT_SECONDS if cause == "time_limit" else None
        async with of_a_connection(world, command_timeout=limit) as connection:
            pid = connection.get_server_pid()

            async def call(timeout: float | None) -> None:
                del timeout
                async with connection.transaction():
                    await connection.execute(f"INSERT INTO {world.table} VALUES (1)")

            yield Stage(
                call,
                partial(world.waits, connection, "PgSleep"),
                partial(world.kill, connection),
                partial(answers, connection),
            )
            await world.is_at_rest(pid)
            assert await world.rows() == []
    finally:
        with anyio.CancelScope(shield=True):
            await world.observer.execute(f"DROP FUNCTION {world.table}_slow() CASCADE")


@contextlib.asynccontextmanager
async def connecting(world: World, cause: Cause) -> AsyncIterator[Stage]:
    # A server that hangs up in the middle of its welcome, or says nothing more then.
    silent = cause != "lost"
    reached = anyio.Event()

    def speak() -> Any:
        reached.set()
        return Faulty(ScriptedBackend(login()), sent=[Stall(20) if silent else Cut(20)])

    async with speaking(speak) as arguments:
        yield Stage(
            lambda timeout: world.client.module.connect(**arguments, timeout=timeout),
            reached.wait,
            anyio.lowlevel.checkpoint,
        )


@contextlib.asynccontextmanager
async def acquiring(world: World, cause: Cause) -> AsyncIterator[Stage]:
    async with make_pool(world.client, 0, 1) as pool:
        held = await pool.acquire()

        async def call(timeout: float | None) -> None:
            async with pool.acquire(timeout=timeout) as connection:
                assert await answers(connection)

        async def reached() -> None:
            while waiting(world.client, pool) == 0:
                await anyio.lowlevel.checkpoint()

        async def lose() -> None:
            await world.kill(held)
            # Noticed by the statement, or before.
            with pytest.raises((world.client.ConnectionDoesNotExistError, world.client.InterfaceError)):
                await held.fetchval("SELECT pg_sleep(60)")
            await pool.release(held)

        async def usable() -> bool:
            await pool.release(held)
            return bool(await pool.fetchval("SELECT true"))

        yield Stage(call, reached, lose, usable)
        assert waiting(world.client, pool) == 0


@contextlib.asynccontextmanager
async def releasing(world: World, cause: Cause) -> AsyncIterator[Stage]:
    resets = 0

    async def reset(connection: Any) -> None:
        nonlocal resets
        resets += 1
        if resets == 1:
            await connection.fetchval("SELECT true FROM pg_advisory_lock(4711)")
            await connection.fetchval("SELECT pg_advisory_unlock_all()")

    async with make_pool(world.client, 0, 1, reset=reset) as pool:
        held = await pool.acquire()
        raw = held._con
        pid = held.get_server_pid()
        await world.observer.execute("SELECT pg_advisory_lock(4711)")

        async def reached() -> None:
            await until(
                world.observer,
                "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'advisory'",
                pid,
            )

        async def usable() -> bool:
            await world.observer.execute("SELECT pg_advisory_unlock_all()")
            assert await pool.fetchval("SELECT true")
            return not raw.is_closed()

        yield Stage(
            lambda timeout: pool.release(held, timeout=timeout),
            reached,
            lambda: world.observer.execute(f"SELECT pg_terminate_backend({pid})"),
            usable,
        )
        with anyio.fail_after(PATIENCE_SECONDS):
            while pool.get_idle_size() != 1:
                await anyio.lowlevel.checkpoint()
        assert at_rest(world.client, pool)


@contextlib.asynccontextmanager
async def closing(world: World, cause: Cause) -> AsyncIterator[Stage]:
    # A server that hears the goodbye and does nothing; or one that ends the session itself.
    server = ScriptedBackend(login())

    async with speaking(lambda: server) as arguments:
        connection = await world.client.module.connect(**arguments)

        async def reached() -> None:
            while connection._frontend.is_open:
                await anyio.lowlevel.checkpoint()

        async def lose() -> None:
            server.hung_up = True

        async def usable() -> bool:
            return not connection.is_closed()

        yield Stage(lambda timeout: connection.close(timeout=timeout), reached, lose, usable)
        server.hung_up = True


STATES: dict[str, Callable[[World, Cause], AbstractAsyncContextManager[Stage]]] = {
    "not_sent": not_sent,
    "queued": queued,
    "running": running,
    "pipeline": pipeline,
    "copy_in": copy_in,
    "copy_out": copy_out,
    "cursor": cursor,
    "in_transaction": in_transaction,
    "committing": committing,
    "connecting": connecting,
    "acquiring": acquiring,
    "releasing": releasing,
    "closing": closing,
}


async def end(stage: Stage, cause: Cause) -> Exception | None:
    """Begin it, end it, and what it has raised."""
    error: Exception | None = None

    async def run() -> None:
        nonlocal error
        try:
            await stage.call(LIMIT_SECONDS if cause == "time_limit" else None)
        except Exception as raised:
            error = raised

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        if cause != "time_limit":
            await stage.reached()
        if cause == "cancelled":
            tasks.cancel_scope.cancel()
        elif cause == "lost":
            await stage.lose()
    return error


@pytest.fixture
async def world(client: Client, observer: Any) -> AsyncIterator[World]:
    world = World(client, observer)
    await observer.execute(f"CREATE TABLE {world.table} (a int)")
    yield world
    await observer.execute(f"SELECT pg_advisory_unlock_all(); DROP TABLE {world.table}")


@pytest.mark.parametrize("row", [f"{state}-{cause}" for state in STATES for cause in CAUSES])
async def test_contract(world: World, row: str) -> None:
    state, cause = row.split("-")
    expected = ROWS[row]
    with anyio.fail_after(PATIENCE_SECONDS):
        async with STATES[state](world, cause) as stage:
            error = await end(stage, cause)
            assert (type(error).__name__ if error else None) == expected.raises
            if stage.usable is not None:
                assert await stage.usable() is expected.is_usable
    if error is None:
        return
    assert error.safe_to_retry is expected.safe_to_retry  # type: ignore[attr-defined]
    assert error.connection_usable in (expected.is_usable, None)  # type: ignore[attr-defined]
    if isinstance(error, world.client.OperationTimeoutError):
        assert error.outcome.value == expected.outcome
    elif state != "connecting":
        assert isinstance(error.__cause__, world.client.AdminShutdownError)
        assert "terminating connection due to administrator command" in str(error)


def test_outcomes_and_what_follows_from_them() -> None:
    """Whatever was not sent can be done again, nothing else."""
    for name, row in ROWS.items():
        assert row.outcome in {"completed", "failed", "skipped", "cancelled", "unknown"}, name
        if row.raises is not None:
            assert row.safe_to_retry is (row.outcome == "cancelled"), name


# Ways to be cancelled

SLEEP: Final = "SELECT pg_sleep(60)"

#: Runs until it is cancelled; waits until that can be done.
Sleep = Callable[[], Awaitable[Any]]


class Boom(Exception):
    """What ends the others of a group."""


async def by_task_cancel(sleep: Sleep, sleeping: Sleep) -> None:
    task = asyncio.ensure_future(sleep())
    await sleeping()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_task_cancel_repeated(sleep: Sleep, sleeping: Sleep) -> None:
    async def sleep_on() -> None:
        try:
            await sleep()
        finally:
            # As whoever cleans up with awaits.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            await asyncio.sleep(60)

    task = asyncio.ensure_future(sleep_on())
    await sleeping()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_wait_for(sleep: Sleep, sleeping: Sleep) -> None:
    del sleeping
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sleep(), LIMIT_SECONDS)


async def by_timeout(sleep: Sleep, sleeping: Sleep) -> None:
    del sleeping
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LIMIT_SECONDS):
            await sleep()


async def by_task_group(sleep: Sleep, sleeping: Sleep) -> None:
    async def fail() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleep())  # type: ignore[arg-type]
            await sleeping()
            raise Boom

    with pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert [type(error) for error in caught.value.exceptions] == [Boom]


async def by_cancel_scope(sleep: Sleep, sleeping: Sleep) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep)
        await sleeping()
        tasks.cancel_scope.cancel()


async def by_move_on_after(sleep: Sleep, sleeping: Sleep) -> None:
    del sleeping
    with anyio.move_on_after(LIMIT_SECONDS) as scope:
        await sleep()
    assert scope.cancelled_caught


async def by_nursery(sleep: Sleep, sleeping: Sleep) -> None:
    async def fail() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await sleeping()
            raise Boom

    with pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert [type(error) for error in caught.value.exceptions] == [Boom]


OF_ASYNCIO = [by_task_cancel, by_task_cancel_repeated, by_wait_for, by_timeout, by_task_group]
OF_ALL = [by_cancel_scope, by_move_on_after, by_nursery]


async def cancelled_by(world: World, way: Callable[[Sleep, Sleep], Awaitable[None]]) -> None:
    """A statement, then one in a transaction; the connection goes on."""
    async with of_a_connection(world) as connection:
        pid = connection.get_server_pid()

        async def transact() -> None:
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {world.table} VALUES (1)")
                await connection.execute(SLEEP)

        await connection.execute("SELECT pg_sleep(0)")
        for sleep in (lambda: connection.execute(SLEEP), transact):
            with anyio.fail_after(PATIENCE_SECONDS):
                await way(sleep, partial(world.waits, connection, "PgSleep"))
                assert await answers(connection)
        assert connection.get_server_pid() == pid
        assert await world.rows() == []


@pytest.mark.parametrize("way", OF_ALL, ids=lambda way: way.__name__.removeprefix("by_"))
async def test_ways(world: World, way: Callable[[Sleep, Sleep], Awaitable[None]]) -> None:
    await cancelled_by(world, way)


@pytest.mark.parametrize("way", OF_ASYNCIO, ids=lambda way: way.__name__.removeprefix("by_"))
@pytest.mark.parametrize("anyio_backend", LOOPS_OF_ASYNCIO, ids=["asyncio", "uvloop"])
async def test_ways_of_asyncio(world: World, way: Callable[[Sleep, Sleep], Awaitable[None]]) -> None:
    await cancelled_by(world, way)


@pytest.mark.parametrize("anyio_backend", LOOPS_OF_ASYNCIO, ids=["asyncio", "uvloop"])
async def test_way_thrown_away(world: World) -> None:
    async with of_a_connection(world) as connection:
        pid = connection.get_server_pid()
        task = asyncio.ensure_future(connection.execute(SLEEP))
        await world.waits(connection, "PgSleep")
        # As the collector does with a task that its loop has left behind.
        task.get_coro().close()  # type: ignore[union-attr]
        await eventually(connection.is_closed)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await task
        await world.observer.execute(f"SELECT pg_terminate_backend({pid})")


def run(loop: str, main: Callable[[], Awaitable[None]]) -> None:
    backend, options = LOOPS[loop]
    anyio.run(main, backend=backend, backend_options=options)


async def use_a_connection(client: Client, name: str, then: Callable[[], Any]) -> None:
    """Something runs on a connection, and something runs in a transaction on another one, when `then` is called."""
    settings = {"server_settings": {"application_name": name}}

    async def transact() -> None:
        async with client.connect(**settings) as connection, connection.transaction():
            await connection.execute(SLEEP)

    async def sleep() -> None:
        async with client.connect(**settings) as connection:
            await connection.execute(SLEEP)

    async with client.connect() as observer, anyio.create_task_group() as tasks:
        tasks.start_soon(transact)
        tasks.start_soon(sleep)
        await until(
            observer,
            "SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'",
            name,
        )
        then()
        await anyio.sleep_forever()


def is_gone(client: Client, name: str) -> None:
    async def look() -> None:
        async with client.connect() as observer:
            await until(observer, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = $1", name)

    run("asyncio" if client.module.__name__.endswith("asyncio") else "trio", look)


@pytest.mark.usefixtures("nothing_unraisable")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_way_keyboard_interrupt(postgres: Server, loop: str) -> None:
    client = ours(LOOPS[loop][0], postgres)
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:  # trio's nursery makes a group of it
        run(loop, lambda: use_a_connection(client, f"ctrl-c {loop}", lambda: signal.raise_signal(signal.SIGINT)))
    assert isinstance(caught.value, KeyboardInterrupt) or caught.value.split(KeyboardInterrupt)[1] is None
    is_gone(client, f"ctrl-c {loop}")


@pytest.mark.usefixtures("nothing_unraisable")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_way_end_of_loop(postgres: Server, loop: str) -> None:
    client = ours("asyncio", postgres)

    async def main() -> None:
        may_end = asyncio.Event()
        main.task = asyncio.ensure_future(use_a_connection(client, f"end of {loop}", may_end.set))  # type: ignore[attr-defined]
        await may_end.wait()

    run(loop, main)
    is_gone(client, f"end of {loop}")


WAYS: Final = {
    *(way.__name__.removeprefix("by_") for way in (*OF_ASYNCIO, *OF_ALL)),
    *("thrown_away", "keyboard_interrupt", "end_of_loop"),
}


def test_the_document_names_the_tests() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert list(ROWS) == [f"{state}-{cause}" for state in STATES for cause in CAUSES]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == WAYS
