"""On trio every async method is a checkpoint, also where nothing has to be sent; but for rows that are there already.

They are found by introspection, and none is left out. A case prepares something and returns the call under test. Cases
of `Connection` run on a pool's connection, too.
"""

import contextlib
import inspect
import operator
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self, cast

import pytest
import trio
import trio.testing

import pgsansio_trio
from pgsansio.client.copy_stream import CopyChunks, CopyRecords
from pgsansio.client.cursor import Cursor, CursorFactory, CursorIterator
from pgsansio.client.listener import Notifications
from pgsansio.client.pipeline import Pipeline, PipelineResult
from pgsansio.client.pool_proxy import PoolAcquireContext, PoolConnectionProxy
from pgsansio.client.retrying import RetriedTransaction, Retrying
from pgsansio.client.rows import ROWS_PER_CHECKPOINT
from pgsansio.client.statement import PreparedStatement
from pgsansio.client.stream import Stream
from pgsansio.client.transaction import Transaction
from pgsansio_trio.connection import ConnectRequest
from tests.support.clients import PATIENCE_SECONDS, Client, ours
from tests.support.pools import make_pool
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: What a block, a loop and an `await` call.
SPECIAL = ("__aenter__", "__aexit__", "__anext__", "__await__")
CLASSES: list[type[Any]] = [
    pgsansio_trio.Connection, pgsansio_trio.Pool, pgsansio_trio.Listener, ConnectRequest, PoolAcquireContext,
    Transaction, RetriedTransaction, Retrying, PreparedStatement, CursorFactory, Cursor, CursorIterator, Stream,
    Notifications, Pipeline, PipelineResult, CopyChunks, CopyRecords,
]  # fmt: skip

#: Their blocks have to be inside of the scope as a whole; see `test_tasks.py`.
CLOSE_A_NURSERY = ("ConnectRequest.__aexit__", "Pool.__aexit__")

Call = Callable[[], Awaitable[object]]
LEFT = (None, None, None)
MANY_ROWS = "SELECT generate_series(1, 10)"
LARGE = "SELECT generate_series(1, 200)"


class Scene:
    """What the cases have to work with."""

    def __init__(self, client: Client, connection: Any, pool: Any, stack: contextlib.AsyncExitStack) -> None:
        self.client = client
        self.connection = connection
        self.pool = pool
        self.enter = stack.enter_async_context
        self._stack = stack

    def later(self, call: Callable[..., Awaitable[Any]], *args: object) -> None:
        """At the end."""

        async def call_it() -> None:
            with contextlib.suppress(pgsansio_trio.InterfaceError):  # a cancelled case has not begun it
                await call(*args)

        self._stack.push_async_callback(call_it)

    async def begin(self) -> Any:
        """A transaction with a table `item` of one column, which has one row."""
        await self.connection.execute("CREATE TEMP TABLE IF NOT EXISTS item (a int)")
        await self.enter(self.connection.transaction())
        await self.connection.execute("INSERT INTO item VALUES (1)")
        return self.connection


Case = Callable[[Scene], Awaitable[Call]]
CASES: dict[str, list[Case]] = {}


def case(*names: str) -> Callable[[Case], Case]:
    def add(function: Case) -> Case:
        for name in names:
            CASES.setdefault(name, []).append(function)
        return function

    return add


def simple(name: str, call: Callable[[Any], Awaitable[Any]], *, about: str = "") -> None:
    """A case that needs a connection, or whatever `name` begins with, and nothing else."""

    async def make(scene: Scene) -> Call:
        subject = await SUBJECTS[name.partition(".")[0]](scene)
        return lambda: call(subject)

    make.__name__ = about or "as_usual"
    CASES.setdefault(name, []).append(make)


def calling(method: str, *args: object) -> Callable[[Any], Awaitable[Any]]:
    return operator.methodcaller(method, *args)


# subjects


async def a_connection(scene: Scene) -> Any:
    return await scene.begin()


async def a_pool(scene: Scene) -> Any:
    return scene.pool


async def a_statement(scene: Scene) -> Any:
    connection = await scene.begin()
    return await connection.prepare("SELECT a FROM item WHERE a >= $1")


async def a_cursor(scene: Scene) -> Any:
    connection = await scene.begin()
    return await connection.cursor(MANY_ROWS)


async def a_pipeline(scene: Scene) -> Any:
    return await scene.enter(scene.connection.pipeline())


async def a_listener(scene: Scene) -> Any:
    return await scene.enter(scene.client.listen("jobs", **scene.client.settings()))


SUBJECTS: dict[str, Callable[[Scene], Awaitable[Any]]] = {
    "Connection": a_connection,
    "Pool": a_pool,
    "PreparedStatement": a_statement,
    "Cursor": a_cursor,
    "Pipeline": a_pipeline,
    "Listener": a_listener,
}


class Awaited:
    """An asynchronous iterable, no generator: nobody has to close it."""

    def __init__(self, *items: object) -> None:
        self._items = iter(items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> object:
        for item in self._items:
            return item
        raise StopAsyncIteration


async def sink(data: bytes) -> None:
    del data


def callback(*args: object) -> None:
    del args


# Connection: queries

for about, query in (("new", "SELECT 4711"), ("known", "SELECT a FROM item"), ("no_rows", "SELECT 1 WHERE false")):
    for method in ("fetch", "fetchrow", "fetchval", "query", "execute", "execute_script"):

        async def known(scene: Scene, method: str = method, query: str = query, about: str = about) -> Call:
            connection = await scene.begin()
            if about == "known":
                await getattr(connection, method)(query)
            return lambda: cast(Awaitable[object], getattr(connection, method)(query))

        known.__name__ = about
        CASES.setdefault(f"Connection.{method}", []).append(known)

simple("Connection.execute", lambda one: one.execute("SELECT $1::int", 1), about="arguments")
simple("Connection.execute", lambda one: one.execute(""), about="nothing")
simple("Connection.execute_script", lambda one: one.execute_script(""), about="nothing")
for method, query in (("executemany", "INSERT INTO item VALUES ($1)"), ("fetchmany", "SELECT $1::int")):
    for about, make_elements in (
        ("none", list),
        ("one", lambda: [(1,)]),
        ("iterator_of_none", lambda: iter(())),
        ("awaited_none", Awaited),
        ("awaited", lambda: Awaited((1,))),
        ("many", lambda: [(1,)] * 10_000),
        ("many_of_an_iterator", lambda: iter([(1,)] * 10_000)),
    ):

        async def many(
            scene: Scene, method: str = method, query: str = query, elements: Callable[[], Any] = make_elements
        ) -> Call:
            connection = await scene.begin()
            if method == "executemany":
                await connection.executemany(query, [(1,)])
            else:
                await connection.fetchmany(query, [(1,)])
            return lambda: cast(Awaitable[object], getattr(connection, method)(query, elements()))

        many.__name__ = about
        CASES.setdefault(f"Connection.{method}", []).append(many)

simple("Connection.prepare", lambda one: one.prepare("SELECT 4712"))
simple("Connection.ping", lambda one: one.ping())
simple("Connection.cancel", lambda one: one.cancel(), about="nothing_runs")
simple("Connection.reload_schema_state", lambda one: one.reload_schema_state())
simple("Connection.load_types", lambda one: one.load_types("int4", schema="pg_catalog"), about="built_in")
simple("Connection.load_types", lambda one: one.load_types("pg_am", schema="pg_catalog"))
simple("Connection.load_types", lambda one: one.load_types(), about="none")
simple(
    "Connection.set_type_codec",
    lambda one: one.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=int),
)
simple("Connection.reset_type_codec", lambda one: one.reset_type_codec("int4", schema="pg_catalog"))
simple(
    "Connection.set_builtin_type_codec",
    lambda one: one.set_builtin_type_codec("oid", schema="pg_catalog", codec_name="int"),
)
simple("Connection.prepared_transactions", lambda one: one.prepared_transactions())
simple(
    "Connection.copy_from_query", lambda one: one.copy_from_query("SELECT 1 WHERE false", output=sink), about="no_rows"
)
simple("Connection.copy_from_query", lambda one: one.copy_from_query("SELECT $1::int", 1, output=sink))
simple("Connection.copy_from_table", lambda one: one.copy_from_table("item", output=sink))
simple("Connection.copy_to_table", lambda one: one.copy_to_table("item", source=Awaited()), about="nothing")
simple("Connection.copy_to_table", lambda one: one.copy_to_table("item", source=Awaited(b"1\n")))
simple("Connection.copy_records_to_table", lambda one: one.copy_records_to_table("item", records=[]), about="none")
simple("Connection.copy_records_to_table", lambda one: one.copy_records_to_table("item", records=[(1,)]))


@case("Connection.commit_prepared", "Connection.rollback_prepared")
async def of_a_missing_one(scene: Scene) -> Call:
    async def end() -> None:
        with pytest.raises((pgsansio_trio.UndefinedObjectError, pgsansio_trio.ObjectNotInPrerequisiteStateError)):
            await scene.connection.commit_prepared("no such")

    return end


@case("Connection.add_listener")
async def first(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.connection.add_listener("jobs", callback))


@case("Connection.add_listener")
async def same_again(scene: Scene) -> Call:
    await scene.connection.add_listener("jobs", callback)
    return lambda: cast(Awaitable[object], scene.connection.add_listener("jobs", callback))


@case("Connection.remove_listener")
async def the_last(scene: Scene) -> Call:
    await scene.connection.add_listener("jobs", callback)
    return lambda: cast(Awaitable[object], scene.connection.remove_listener("jobs", callback))


@case("Connection.remove_listener")
async def one_of_two(scene: Scene) -> Call:
    await scene.connection.add_listener("jobs", callback)
    await scene.connection.add_listener("jobs", print)
    return lambda: cast(Awaitable[object], scene.connection.remove_listener("jobs", callback))


@case("Connection.remove_listener")
async def an_unknown_one(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.connection.remove_listener("jobs", callback))


@case("Connection.remove_listener")
async def of_a_closed_connection(scene: Scene) -> Call:
    await scene.connection.close()
    return lambda: cast(Awaitable[object], scene.connection.remove_listener("jobs", callback))


@case("Connection.close")
async def open_one(scene: Scene) -> Call:
    return cast(Call, scene.connection.close)


@case("Connection.close")
async def second_time(scene: Scene) -> Call:
    await scene.connection.close()
    return cast(Call, scene.connection.close)


@case("Connection.reset")
async def reset_it(scene: Scene) -> Call:
    return cast(Call, scene.connection.reset)


# ConnectRequest


@case("ConnectRequest.__await__")
async def connect(scene: Scene) -> Call:
    async def call() -> None:
        connection = await scene.client.module.connect(**scene.client.settings())
        scene.later(connection.close)

    return call


@case("ConnectRequest.__aenter__")
async def enter_connect(scene: Scene) -> Call:
    request = scene.client.module.connect(**scene.client.settings())

    async def call() -> None:
        await scene.enter(request)

    return call


@case("ConnectRequest.__aexit__")
async def leave_connect(scene: Scene) -> Call:
    request = scene.client.module.connect(**scene.client.settings())
    await request.__aenter__()
    return lambda: cast(Awaitable[object], request.__aexit__(*LEFT))


@case("ConnectRequest.__aexit__")
async def leave_connect_closed(scene: Scene) -> Call:
    request = scene.client.module.connect(**scene.client.settings())
    await (await request.__aenter__()).close()
    return lambda: cast(Awaitable[object], request.__aexit__(*LEFT))


# Transaction, Retrying


@case("Transaction.__aenter__")
async def outermost(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(scene.connection.transaction()))


@case("Transaction.__aenter__")
async def shared(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(scene.connection.transaction(shared=True)))


@case("Transaction.__aenter__")
async def savepoint(scene: Scene) -> Call:
    await scene.begin()
    return lambda: cast(Awaitable[object], scene.enter(scene.connection.transaction()))


@case("Transaction.__aenter__")
async def savepoint_at_once(scene: Scene) -> Call:
    await scene.enter(scene.connection.transaction())
    return lambda: cast(Awaitable[object], scene.enter(scene.connection.transaction()))


@case("Transaction.__aexit__")
async def empty(scene: Scene) -> Call:
    transaction = scene.connection.transaction()
    await transaction.__aenter__()
    return lambda: cast(Awaitable[object], transaction.__aexit__(*LEFT))


@case("Transaction.__aexit__")
async def used(scene: Scene) -> Call:
    transaction = scene.connection.transaction()
    await transaction.__aenter__()
    await scene.connection.fetchval("SELECT 1")
    return lambda: cast(Awaitable[object], transaction.__aexit__(*LEFT))


@case("Transaction.__aexit__")
async def with_an_error(scene: Scene) -> Call:
    transaction = scene.connection.transaction()
    await transaction.__aenter__()
    return lambda: cast(Awaitable[object], transaction.__aexit__(ValueError, ValueError(), None))


@case("Transaction.start")
async def manual(scene: Scene) -> Call:
    transaction = scene.connection.transaction()
    scene.later(transaction.rollback)
    return cast(Call, transaction.start)


@case("Transaction.commit")
async def commit(scene: Scene) -> Call:
    transaction = scene.connection.transaction()
    await transaction.start()
    return cast(Call, transaction.commit)


@case("Transaction.rollback")
async def rollback(scene: Scene) -> Call:
    transaction = scene.connection.transaction()
    await transaction.start()
    return cast(Call, transaction.rollback)


@case("Retrying.__anext__")
async def first_attempt(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], anext(scene.connection.retrying()))


@case("Retrying.__anext__")
async def last_of_attempts(scene: Scene) -> Call:
    attempts = scene.connection.retrying()
    async with await anext(attempts):
        pass
    return lambda: at_the_end(attempts)


@case("Retrying.__anext__")
async def second_attempt(scene: Scene) -> Call:
    attempts = scene.connection.retrying(delay=0)
    transaction = await anext(attempts)
    await transaction.__aenter__()
    await transaction.__aexit__(pgsansio_trio.SerializationError, pgsansio_trio.SerializationError(), None)
    return lambda: cast(Awaitable[object], anext(attempts))


for about, failure in (("empty", None), ("hides", pgsansio_trio.SerializationError)):

    async def leave_attempt(scene: Scene, failure: type[Exception] | None = failure) -> Call:
        transaction = await anext(scene.connection.retrying())
        await transaction.__aenter__()
        error = None if failure is None else failure()
        return lambda: cast(Awaitable[object], transaction.__aexit__(failure, error, None))

    leave_attempt.__name__ = about
    CASES.setdefault("RetriedTransaction.__aexit__", []).append(leave_attempt)

for method in ("__aenter__", "start", "commit", "rollback"):
    CASES[f"RetriedTransaction.{method}"] = CASES[f"Transaction.{method}"]


# PreparedStatement

for method in ("fetch", "fetchrow", "fetchval", "query", "execute"):
    simple(f"PreparedStatement.{method}", calling(method, 1))
simple("PreparedStatement.fetchmany", lambda one: one.fetchmany([]), about="none")
simple("PreparedStatement.fetchmany", lambda one: one.fetchmany([(1,)]))
simple("PreparedStatement.executemany", lambda one: one.executemany([]), about="none")
simple("PreparedStatement.executemany", lambda one: one.executemany([(1,)]))
simple("PreparedStatement.explain", lambda one: one.explain(1))
simple("PreparedStatement.explain", lambda one: one.explain(1, analyze=True), about="analyze")
simple("PreparedStatement.close", lambda one: one.close())
simple("PreparedStatement.__aenter__", lambda one: one.__aenter__())
simple("PreparedStatement.__aexit__", lambda one: one.__aexit__(*LEFT))


@case("PreparedStatement.close")
async def closed_twice(scene: Scene) -> Call:
    statement = await a_statement(scene)
    await statement.close()
    return cast(Call, statement.close)


# cursors


@case("CursorFactory.__await__")
async def make_cursor(scene: Scene) -> Call:
    connection = await scene.begin()

    async def call() -> None:
        await connection.cursor(MANY_ROWS)

    return call


simple("Cursor.fetch", lambda one: one.fetch(1))
simple("Cursor.fetchrow", lambda one: one.fetchrow())
simple("Cursor.forward", lambda one: one.forward(1))
simple("Cursor.aclose", lambda one: one.aclose())
for method, args in (("fetch", (1,)), ("fetchrow", ()), ("forward", (1,)), ("aclose", ())):

    async def exhausted(scene: Scene, method: str = method, args: tuple[object, ...] = args) -> Call:
        cursor = await a_cursor(scene)
        await cursor.fetch(100)
        return lambda: cast(Awaitable[object], getattr(cursor, method)(*args))

    async def closed(scene: Scene, method: str = method, args: tuple[object, ...] = args) -> Call:
        cursor = await a_cursor(scene)
        await cursor.aclose()
        return lambda: cast(Awaitable[object], getattr(cursor, method)(*args))

    CASES[f"Cursor.{method}"] += [exhausted, closed]


async def at_the_end(iterator: Any) -> None:
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)


def iterating(name: str, make: Callable[[Any], Any], make_large: Callable[[Any], Any]) -> None:
    """The first row, one of those that are there already, the end, and what comes after it."""

    async def first_row(scene: Scene) -> Call:
        rows = aiter(make(await scene.begin()))
        return lambda: cast(Awaitable[object], anext(rows))

    async def fiftieth_row_at_hand(scene: Scene) -> Call:
        rows = aiter(make_large(await scene.begin()))
        for _ in range(ROWS_PER_CHECKPOINT):
            await anext(rows)
        return lambda: cast(Awaitable[object], anext(rows))

    async def the_end(scene: Scene) -> Call:
        rows = aiter(make(await scene.begin()))
        for _ in range(10):
            await anext(rows)
        return lambda: at_the_end(rows)

    async def behind_the_end(scene: Scene) -> Call:
        rows = aiter(make(await scene.begin()))
        async for _ in rows:
            pass
        return lambda: at_the_end(rows)

    async def aclose(scene: Scene) -> Call:
        rows = aiter(make(await scene.begin()))
        await anext(rows)
        return cast(Call, rows.aclose)

    async def aclose_unused(scene: Scene) -> Call:
        return cast(Call, aiter(make(await scene.begin())).aclose)

    async def aclose_again(scene: Scene) -> Call:
        rows = aiter(make(await scene.begin()))
        await anext(rows)
        await rows.aclose()
        return cast(Call, rows.aclose)

    CASES.setdefault(f"{name}.__anext__", []).extend([first_row, fiftieth_row_at_hand, the_end, behind_the_end])
    CASES.setdefault(f"{name}.aclose", []).extend([aclose, aclose_unused, aclose_again])


def batches(name: str, make: Callable[[Any], Any]) -> None:
    async def first_batch(scene: Scene) -> Call:
        return cast(Call, make(await scene.begin()).batch)

    async def rest_of_a_batch(scene: Scene) -> Call:
        rows = make(await scene.begin())
        await anext(rows)
        return cast(Call, rows.batch)

    async def last_batch(scene: Scene) -> Call:
        rows = make(await scene.begin())
        while await rows.batch():
            pass
        return cast(Call, rows.batch)

    CASES.setdefault(f"{name}.batch", []).extend([first_batch, rest_of_a_batch, last_batch])


def blocks(name: str, make: Callable[[Any], Any]) -> None:
    async def enter(scene: Scene) -> Call:
        rows = make(await scene.begin())
        scene.later(rows.aclose)
        return cast(Call, rows.__aenter__)

    async def leave_unused(scene: Scene) -> Call:
        rows = make(await scene.begin())
        await rows.__aenter__()
        return lambda: cast(Awaitable[object], rows.__aexit__(*LEFT))

    async def leave_early(scene: Scene) -> Call:
        rows = make(await scene.begin())
        await rows.__aenter__()
        await anext(rows)
        return lambda: cast(Awaitable[object], rows.__aexit__(*LEFT))

    async def leave_at_the_end(scene: Scene) -> Call:
        rows = make(await scene.begin())
        await rows.__aenter__()
        async for _ in rows:
            pass
        return lambda: cast(Awaitable[object], rows.__aexit__(*LEFT))

    CASES.setdefault(f"{name}.__aenter__", []).append(enter)
    CASES.setdefault(f"{name}.__aexit__", []).extend([leave_unused, leave_early, leave_at_the_end])


#: By class: ten rows, some at a time; and many at once.
ROWS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "CursorIterator": (
        lambda connection: connection.cursor(MANY_ROWS, prefetch=3),
        lambda connection: connection.cursor(LARGE, prefetch=1000),
    ),
    "Stream": (
        lambda connection: connection.stream(MANY_ROWS, prefetch=3),
        lambda connection: connection.stream(LARGE, prefetch=1000),
    ),
    "CopyRecords": (
        lambda connection: connection.copy_records_from_query(MANY_ROWS, batch_size=3),
        lambda connection: connection.copy_records_from_query(LARGE, batch_size=1000),
    ),
}
iterating("CursorIterator", *ROWS["CursorIterator"])
for about_class in ("Stream", "CopyRecords"):
    make_rows, _ = ROWS[about_class]
    iterating(about_class, *ROWS[about_class])
    batches(about_class, make_rows)
    blocks(about_class, make_rows)


def chunks(connection: Any) -> Any:
    return connection.copy_chunks_from_query(MANY_ROWS)


blocks("CopyChunks", chunks)


@case("CopyChunks.__anext__")
async def first_chunk(scene: Scene) -> Call:
    copy = chunks(await scene.begin())
    scene.later(copy.aclose)
    return lambda: cast(Awaitable[object], anext(copy))


@case("CopyChunks.__anext__")
async def behind_the_last_chunk(scene: Scene) -> Call:
    copy = chunks(await scene.begin())
    async for _ in copy:
        pass
    return lambda: at_the_end(copy)


@case("CopyChunks.aclose")
async def unused_chunks(scene: Scene) -> Call:
    return cast(Call, chunks(await scene.begin()).aclose)


@case("Stream.__anext__")
async def outside_of_a_transaction(scene: Scene) -> Call:
    async def call() -> None:
        async with scene.connection.stream(MANY_ROWS) as rows:
            await anext(rows)

    return call


# Notifications


async def said(scene: Scene) -> Any:
    """Notifications on a channel, two of which are there."""
    items = await scene.enter(scene.connection.notifications("jobs"))
    await scene.connection.execute("NOTIFY jobs, 'a'; NOTIFY jobs, 'b'")
    await anext(items)
    return items


@case("Notifications.__anext__")
async def first_notification(scene: Scene) -> Call:
    items = scene.connection.notifications("jobs")
    await scene.connection.add_listener("jobs", callback)

    async def call() -> None:
        with trio.move_on_after(0):
            await anext(items)

    return call


@case("Notifications.__anext__")
async def notification_at_hand(scene: Scene) -> Call:
    items = await said(scene)
    return lambda: cast(Awaitable[object], anext(items))


@case("Notifications.__anext__")
async def after_a_reset(scene: Scene) -> Call:
    items = await said(scene)
    await anext(items)
    await scene.connection.reset()
    return lambda: at_the_end(items)


@case("Notifications.__aenter__")
async def second_reader(scene: Scene) -> Call:
    await scene.enter(scene.connection.notifications("jobs"))
    return lambda: cast(Awaitable[object], scene.enter(scene.connection.notifications("jobs")))


@case("Notifications.__aenter__")
async def entered_again(scene: Scene) -> Call:
    items = await scene.enter(scene.connection.notifications("jobs"))
    return cast(Call, items.__aenter__)


@case("Notifications.__aexit__")
async def one_of_two_readers(scene: Scene) -> Call:
    await scene.enter(scene.connection.notifications("jobs"))
    items = scene.connection.notifications("jobs")
    await items.__aenter__()
    return lambda: cast(Awaitable[object], items.__aexit__(*LEFT))


@case("Notifications.__aexit__")
async def the_last_reader(scene: Scene) -> Call:
    items = scene.connection.notifications("jobs")
    await items.__aenter__()
    return lambda: cast(Awaitable[object], items.__aexit__(*LEFT))


@case("Notifications.__aexit__")
async def left_twice(scene: Scene) -> Call:
    items = scene.connection.notifications("jobs")
    await items.__aenter__()
    await items.__aexit__(*LEFT)
    return lambda: cast(Awaitable[object], items.__aexit__(*LEFT))


# Listener


@case("Listener.__aenter__")
async def listen(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(scene.client.listen("jobs", **scene.client.settings())))


@case("Listener.__aexit__")
async def leave_listener(scene: Scene) -> Call:
    items = scene.client.listen("jobs", **scene.client.settings())
    await items.__aenter__()
    return lambda: cast(Awaitable[object], items.__aexit__(*LEFT))


@case("Listener.__aexit__")
async def leave_listener_twice(scene: Scene) -> Call:
    items = scene.client.listen("jobs", **scene.client.settings())
    await items.__aenter__()
    await items.__aexit__(*LEFT)
    return lambda: cast(Awaitable[object], items.__aexit__(*LEFT))


@case("Listener.__anext__")
async def closed_listener(scene: Scene) -> Call:
    items = scene.client.listen("jobs", **scene.client.settings())
    await items.__aenter__()
    await items.__aexit__(*LEFT)
    return lambda: at_the_end(items)


@case("Listener.__anext__")
async def heard(scene: Scene) -> Call:
    items = await a_listener(scene)
    await scene.connection.execute("NOTIFY jobs, 'a'; NOTIFY jobs, 'b'")
    await anext(items)
    return lambda: cast(Awaitable[object], anext(items))


simple("Listener.add", lambda one: one.add("news"))
simple("Listener.add", lambda one: one.add("jobs"), about="known")
simple("Listener.remove", lambda one: one.remove("jobs"))
simple("Listener.remove", lambda one: one.remove("no such"), about="unknown")


# Pipeline


@case("Pipeline.__aenter__")
async def enter_pipeline(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(scene.connection.pipeline()))


@case("Pipeline.__aexit__")
async def empty_pipeline(scene: Scene) -> Call:
    pipeline = scene.connection.pipeline()
    await pipeline.__aenter__()
    return lambda: cast(Awaitable[object], pipeline.__aexit__(*LEFT))


@case("Pipeline.__aexit__")
async def pipeline_of_nothing(scene: Scene) -> Call:
    pipeline = scene.connection.pipeline()
    await pipeline.__aenter__()
    pipeline.executemany("SELECT $1::int", [])
    return lambda: cast(Awaitable[object], pipeline.__aexit__(*LEFT))


@case("Pipeline.__aexit__", "Pipeline.sync")
async def one_statement(scene: Scene) -> Call:
    pipeline = await a_pipeline(scene)
    pipeline.fetch(MANY_ROWS)
    return cast(Call, pipeline.sync)


simple("Pipeline.sync", lambda one: one.sync(), about="empty")


@case("PipelineResult.__await__")
async def result(scene: Scene) -> Call:
    async with scene.connection.pipeline() as pipeline:
        handle = pipeline.fetch(MANY_ROWS)

    async def call() -> None:
        await handle

    return call


# Pool

for method in ("fetch", "fetchrow", "fetchval", "query", "execute", "execute_script"):
    simple(f"Pool.{method}", calling(method, "SELECT 1"))
for method in ("executemany", "fetchmany"):
    for about, elements in (("none", []), ("one", [(1,)])):
        simple(
            f"Pool.{method}",
            calling(method, "SELECT $1::int", elements),
            about=about,
        )
simple("Pool.copy_from_query", lambda one: one.copy_from_query("SELECT 1", output=sink))
simple("Pool.copy_from_table", lambda one: one.copy_from_table("pg_am", output=sink))
simple("Pool.expire_connections", lambda one: one.expire_connections())
simple("Pool.drain", lambda one: one.drain())
simple("Pool.close", lambda one: one.close())


@case("Pool.copy_to_table", "Pool.copy_records_to_table")
async def copy_by_a_pool(scene: Scene) -> Call:
    async def init(connection: Any) -> None:
        await connection.execute("CREATE TEMP TABLE IF NOT EXISTS item (a int)")

    pool = await scene.enter(make_pool(scene.client, init=init))

    async def call() -> None:
        await pool.copy_records_to_table("item", records=[])
        await pool.copy_to_table("item", source=Awaited())

    return call


@case("Pool.fetch")
async def beside_others(scene: Scene) -> Call:
    pool = await scene.enter(make_pool(scene.client, 2, 2, multiplex=1))
    await pool.fetch("SELECT 1")
    return lambda: cast(Awaitable[object], pool.fetch("SELECT 1"))


for method in ("expire_connections", "drain", "close"):

    async def never_used(scene: Scene, method: str = method) -> Call:
        return cast(Call, getattr(await scene.enter(make_pool(scene.client, lazy=True)), method))

    async def idle(scene: Scene, method: str = method) -> Call:
        pool = await scene.enter(make_pool(scene.client, min_size=0))
        return cast(Call, getattr(pool, method))

    CASES[f"Pool.{method}"] += [never_used, idle]


@case("Pool.close")
async def closed_pool(scene: Scene) -> Call:
    await scene.pool.close()
    return cast(Call, scene.pool.close)


@case("Pool.__aenter__")
async def enter_pool(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(make_pool(scene.client)))


@case("Pool.__aenter__")
async def enter_pool_of_none(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(make_pool(scene.client, min_size=0)))


@case("Pool.__aenter__")
async def enter_lazy_pool(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(make_pool(scene.client, lazy=True)))


@case("Pool.__await__")
async def await_started(scene: Scene) -> Call:
    async def call() -> None:
        await scene.pool

    return call


for about, arguments in (("used", {}), ("lazy", {"lazy": True}), ("none", {"min_size": 0})):

    async def leave_pool(scene: Scene, arguments: dict[str, Any] = arguments) -> Call:
        pool = make_pool(scene.client, **arguments)
        await pool.__aenter__()
        return lambda: cast(Awaitable[object], pool.__aexit__(*LEFT))

    leave_pool.__name__ = about
    CASES.setdefault("Pool.__aexit__", []).append(leave_pool)


@case("Pool.__aexit__")
async def leave_closed_pool(scene: Scene) -> Call:
    pool = make_pool(scene.client)
    await pool.__aenter__()
    await pool.close()
    return lambda: cast(Awaitable[object], pool.__aexit__(*LEFT))


@case("Pool.release")
async def release(scene: Scene) -> Call:
    connection = await scene.pool.acquire()
    return lambda: cast(Awaitable[object], scene.pool.release(connection))


@case("Pool.release")
async def release_twice(scene: Scene) -> Call:
    connection = await scene.pool.acquire()
    await scene.pool.release(connection)
    return lambda: cast(Awaitable[object], scene.pool.release(connection))


@case("Pool.release")
async def release_closed(scene: Scene) -> Call:
    connection = await scene.pool.acquire()
    await connection.close()
    return lambda: cast(Awaitable[object], scene.pool.release(connection))


@case("PoolAcquireContext.__await__")
async def acquire(scene: Scene) -> Call:
    async def call() -> None:
        scene.later(scene.pool.release, await scene.pool.acquire())

    return call


@case("PoolAcquireContext.__aenter__")
async def enter_acquire(scene: Scene) -> Call:
    return lambda: cast(Awaitable[object], scene.enter(scene.pool.acquire()))


@case("PoolAcquireContext.__aexit__")
async def leave_acquire(scene: Scene) -> Call:
    acquiring = scene.pool.acquire()
    await acquiring.__aenter__()
    return lambda: cast(Awaitable[object], acquiring.__aexit__(*LEFT))


# the tests


def async_methods(one: type[Any]) -> set[str]:
    def is_async(name: str) -> bool:
        method = inspect.unwrap(getattr(one, name))
        return inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)

    public = {name for name in dir(one) if not name.startswith("_") and is_async(name)}
    return public | {name for name in SPECIAL if hasattr(one, name)}


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


@pytest.fixture
def client(postgres: Server) -> Client:
    return ours("trio", postgres)


def test_no_method_is_left_out() -> None:
    assert set(CASES) == {f"{one.__name__}.{name}" for one in CLASSES for name in async_methods(one)}
    assert async_methods(PoolConnectionProxy) == async_methods(pgsansio_trio.Connection)


async def _without_listeners(connection: Any) -> None:
    if not connection.is_closed():
        await connection.reset()


@contextlib.asynccontextmanager
async def staged(client: Client, name: str, *, pooled: bool = False) -> AsyncIterator[Scene]:
    """What a case of this name needs."""
    with trio.fail_after(PATIENCE_SECONDS):
        async with contextlib.AsyncExitStack() as stack:
            pool = await stack.enter_async_context(make_pool(client)) if name.startswith("Pool") else None
            if pooled:
                other = await stack.enter_async_context(make_pool(client))
                connection = await stack.enter_async_context(other.acquire())
            else:
                connection = await stack.enter_async_context(client.connect())
            stack.push_async_callback(_without_listeners, connection)
            yield Scene(client, connection, pool, stack)


@pytest.mark.parametrize(
    ("name", "pooled"),
    [
        *(pytest.param(name, False, id=name) for name in CASES),
        *(pytest.param(name, True, id=f"{name}-pooled") for name in CASES if name.startswith("Connection.")),
    ],
)
async def test_it_is_a_checkpoint(client: Client, name: str, pooled: bool) -> None:
    silent: list[str] = []
    for make in CASES[name]:
        async with staged(client, name, pooled=pooled) as scene:
            call = await make(scene)
            try:
                with trio.testing.assert_checkpoints():
                    await call()
            except AssertionError:
                silent.append(make.__name__)
    assert not silent


@pytest.mark.parametrize("name", ROWS)
async def test_rows_at_hand_are_given_at_once(client: Client, name: str) -> None:
    """All but every fiftieth; to pass the turn on costs as much as dozens of rows."""
    _, make_large = ROWS[name]
    async with client.connect() as connection, connection.transaction():
        rows = aiter(make_large(connection))
        given = []
        for number in range(200):
            is_due = number % ROWS_PER_CHECKPOINT == 0
            with trio.testing.assert_checkpoints() if is_due else trio.testing.assert_no_checkpoints():
                given.append((await anext(rows))[0])
        assert given == list(range(1, 201))
        await at_the_end(rows)


@pytest.mark.parametrize("name", ["Stream", "CopyRecords"])
async def test_a_batch_is_the_rest_of_what_is_there(client: Client, name: str) -> None:
    _, make_large = ROWS[name]
    async with client.connect() as connection, connection.transaction():
        rows = make_large(connection)
        for _ in range(ROWS_PER_CHECKPOINT + 10):
            last = await anext(rows)
        assert last == (ROWS_PER_CHECKPOINT + 10,)
        assert [row[0] for row in await rows.batch()] == list(range(ROWS_PER_CHECKPOINT + 11, 201))
        assert await rows.batch() == []
        await at_the_end(rows)


async def test_a_cancelled_cursor_loses_no_row(client: Client) -> None:
    """Nothing has happened at the checkpoint between two rows that are there."""
    async with client.connect() as connection, connection.transaction():
        rows = aiter(ROWS["CursorIterator"][1](connection))
        for _ in range(ROWS_PER_CHECKPOINT):
            await anext(rows)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(rows)
        assert scope.cancelled_caught
        assert await anext(rows) == (ROWS_PER_CHECKPOINT + 1,)


@pytest.mark.filterwarnings("ignore:the transaction was rolled back")
@pytest.mark.parametrize("name", [name for name in CASES if name not in CLOSE_A_NURSERY])
async def test_a_cancellation_comes_through(client: Client, name: str) -> None:
    """The scope was cancelled before; afterwards the connection goes on, or is closed, and the pool goes on."""
    deaf: list[str] = []
    before = running_tasks()
    for make in CASES[name]:
        async with staged(client, name) as scene:
            call = await make(scene)
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
            if not scope.cancelled_caught:
                deaf.append(make.__name__)
            if not scene.connection.is_closed():
                await scene.connection.ping()
            if scene.pool is not None and not scene.pool.is_closing():
                assert await scene.pool.fetchval("SELECT 1") == 1
        assert running_tasks() == before
    assert not deaf


def running_tasks() -> int:
    """How many tasks the test has begun."""
    return sum(len(nursery.child_tasks) for nursery in trio.lowlevel.current_task().child_nurseries)
