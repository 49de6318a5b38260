"""Whatever a conversation is awaiting when it is cancelled, thrown away or cut off: the connection is whole, or closed.

Each conversation is run again and again, and stopped one step later each time, where a step is a task going on, or
bytes going one way. So each await is hit, and each of them with the server at every stage of its answer.
"""

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pgsansio import simple_statement, statement
from pgsansio.client import Connection, connecting
from pgsansio.codecs.descriptions import Description
from pgsansio.enums import Format, Outcome, StatementMode, TransactionStatus
from pgsansio.errors import (
    ALL_ERRORS,
    ConnectionDoesNotExistError,
    DivisionByZeroError,
    InterfaceError,
    OperationTimeoutError,
    ProtocolError,
)
from pgsansio.messages.backend import FieldDescription
from pgsansio.policy.conninfo import Settings, resolve_settings
from pgsansio.testing.faults import Cut, Faulty, Split
from pgsansio.testing.loop import Cancelled, Task, VirtualLoop
from pgsansio.types import LoggedQuery
from tests.support.toy_server import ToyCluster, ToyServer

SETTINGS: Settings = resolve_settings(
    "postgresql://u@db.example/d", environment={}, os_user="u", home=None, platform="linux", timeout=None
)

INT4, TEXT = 23, 25


@dataclass
class World:
    """One connection to a toy server, and the loop in which it is used."""

    loop: VirtualLoop
    cluster: ToyCluster
    connection: Connection

    @property
    def server(self) -> ToyServer:
        return self.cluster.sessions[0]


def connect(loop: VirtualLoop) -> Awaitable[Connection]:
    return connecting.connect(loop.port, SETTINGS, Connection)


def world(*, inline: bool = False) -> World:
    cluster = ToyCluster()
    loop = VirtualLoop(cluster, inline=inline)
    return World(loop, cluster, loop.finish(connect(loop)))


# What is interrupted


async def fetch_uncached(connection: Connection) -> None:
    assert await connection.fetch("SELECT $1", 5) == [(5,)]


async def fetch_cached(connection: Connection) -> None:
    assert await connection.fetch("SELECT 1") == [(1,)]


async def fetch_with_a_time_limit(connection: Connection) -> None:
    assert await connection.fetch("SELECT 1", timeout=5) == [(1,)]


async def fetch_new(connection: Connection) -> None:
    assert await connection.fetch("SELECT 8") == [(8,)]


async def fetch_new_with_arguments_it_needs(connection: Connection) -> None:
    with contextlib.suppress(InterfaceError):
        await connection.fetch("SELECT $1")


async def insert_new(connection: Connection) -> None:
    assert (await connection.query("INSERT 5")).affected == 1


async def fetch_known_elsewhere(connection: Connection) -> None:
    tell(connection, "SELECT $1", [INT4], [INT4])
    assert await connection.fetch("SELECT $1", 5) == [(5,)]


async def fetch_known_elsewhere_in_a_transaction(connection: Connection) -> None:
    tell(connection, "INSERT $1", [INT4], [])
    async with connection.transaction():
        await connection.fetch("INSERT $1", 1)
        await connection.fetch("INSERT $1", 2)


async def fetch_known_wrongly(connection: Connection) -> None:
    tell(connection, "SELECT $1", [TEXT, TEXT], [TEXT])
    assert await connection.fetch("SELECT $1", 5) == [(5,)]


def tell(connection: Connection, query: str, parameters: list[int], columns: list[int]) -> None:
    """Another connection has found this."""
    fields = tuple([FieldDescription("a", 0, 0, oid, 4, -1, Format.TEXT) for oid in columns])
    now = connection._port.clock()
    connection._frontend.descriptions.put(query, Description(tuple(parameters), fields, now))


async def fetchrow(connection: Connection) -> None:
    assert await connection.fetchrow("SELECT 4") == (4,)


async def fetch_what_sleeps(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):
        await connection.fetch("SLEEP", timeout=5)


async def fetch_what_fails(connection: Connection) -> None:
    with contextlib.suppress(DivisionByZeroError):
        await connection.fetch("FAIL")


async def execute_script(connection: Connection) -> None:
    assert await connection.execute("INSERT 1; INSERT 2; SELECT 3") == "SELECT 1"


async def execute_script_that_sleeps(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):
        await connection.execute("INSERT 1; SLEEP; INSERT 2", timeout=5)


async def execute_begin(connection: Connection) -> None:
    await connection.execute("BEGIN")
    await connection.execute("ROLLBACK")


async def executemany(connection: Connection) -> None:
    await connection.executemany("INSERT $1", [(number,) for number in range(5)])


def lazily(count: int) -> Iterator[tuple[int]]:
    for number in range(count):
        yield (number,)


async def executemany_lazy(connection: Connection) -> None:
    await connection.executemany("INSERT $1", lazily(30))


async def executemany_awaited(connection: Connection) -> None:
    async def elements() -> AsyncIterator[tuple[int]]:
        for element in lazily(30):
            await connection._port.checkpoint()
            yield element

    await connection.executemany("INSERT $1", elements())


async def executemany_that_fails(connection: Connection) -> None:
    def elements() -> Iterator[tuple[int]]:
        yield from lazily(30)
        raise LookupError

    with contextlib.suppress(LookupError):
        await connection.executemany("INSERT $1", elements())


async def transaction_committed(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("INSERT 1")
        await connection.fetch("INSERT $1", 2)


async def transaction_begun_by_a_query(connection: Connection) -> None:
    async with connection.transaction():
        await connection.fetch("INSERT $1", 1)
        await connection.execute("INSERT 2")


async def transaction_begun_by_a_savepoint(connection: Connection) -> None:
    async with connection.transaction(), connection.transaction():
        await connection.fetch("INSERT $1", 1)
        await connection.executemany("INSERT $1", [(2,)])


async def transaction_rolled_back(connection: Connection) -> None:
    with contextlib.suppress(LookupError):
        async with connection.transaction():
            await connection.execute("INSERT 1")
            raise LookupError


async def transaction_nested(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("INSERT 1")
        with contextlib.suppress(DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("INSERT 2")
                await connection.fetch("FAIL")
        async with connection.transaction():
            await connection.execute("INSERT 3")


async def transaction_by_hand(connection: Connection) -> None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("INSERT 1")
    except Exception:
        await transaction.rollback()
        raise
    await transaction.commit()


async def fetchmany_lazy(connection: Connection) -> None:
    assert await connection.fetchmany("SELECT $1", lazily(30)) == [(number,) for number in range(30)]


async def prepared_statement(connection: Connection) -> None:
    statement = await connection.prepare("SELECT $1")
    assert await statement.fetch(5) == [(5,)]
    assert await statement.fetchval(6, timeout=5) == 6
    assert await statement.fetchmany([(7,), (8,)]) == [(7,), (8,)]
    del statement
    statement = await connection.prepare("SELECT 9", name="users")
    assert await statement.fetchrow() == (9,)


async def query(connection: Connection) -> None:
    result = await connection.query("INSERT $1", 5)
    assert (result.rows, result.affected) == ([], 1)


async def execute_script_for_results(connection: Connection) -> None:
    results = await connection.execute_script("INSERT 1; SELECT 2; INSERT 3")
    assert [(result.rows, result.status) for result in results] == [
        ([], "INSERT 0 1"),
        ([(2,)], "SELECT 1"),
        ([], "INSERT 0 1"),
    ]


async def ping(connection: Connection) -> None:
    await connection.ping()


async def ping_in_a_transaction(connection: Connection) -> None:
    async with connection.transaction():
        await connection.ping()
        await connection.execute("INSERT 1")


async def pipeline(connection: Connection) -> None:
    async with connection.pipeline() as pipeline:
        first = pipeline.execute("INSERT 1")
        second = pipeline.fetch("SELECT $1", 5)
        third = pipeline.executemany("INSERT $1", [(2,), (3,)])
    assert (first.result(), second.result(), await third) == ("INSERT 0 1", [(5,)], None)


async def pipeline_in_two_parts(connection: Connection) -> None:
    async with connection.pipeline() as pipeline:
        pipeline.execute("SELECT 1")
        await pipeline.sync()
        pipeline.execute("INSERT $1", 4)
        pipeline.fetchval("SELECT 1")


async def pipeline_that_fails(connection: Connection) -> None:
    with contextlib.suppress(DivisionByZeroError):
        async with connection.pipeline() as pipeline:
            pipeline.execute("INSERT 1")
            pipeline.fetch("FAIL")
            pipeline.execute("INSERT $1", 2)


async def pipeline_that_sleeps(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):
        async with connection.pipeline(timeout=5) as pipeline:
            pipeline.execute("INSERT 1")
            pipeline.fetch("SELECT $1", 1)
            pipeline.execute("SLEEP")
            pipeline.fetch("SELECT $1", 2)


async def pipeline_in_a_transaction(connection: Connection) -> None:
    async with connection.transaction():
        async with connection.pipeline() as pipeline:
            pipeline.execute("INSERT $1", 1)
            pipeline.fetchval("SELECT 7")
        with contextlib.suppress(DivisionByZeroError):
            async with connection.transaction(), connection.pipeline() as pipeline:
                pipeline.execute("INSERT 2")
                pipeline.execute("FAIL")
        await connection.execute("INSERT 3")


async def statement_closed(connection: Connection) -> None:
    async with await connection.prepare("INSERT $1") as statement:
        assert await statement.execute(5) == "INSERT 0 1"
    await statement.close()
    statement = await connection.prepare("SELECT $1")
    async with connection.transaction():
        await statement.close()
        await connection.execute("INSERT 6")


async def cursor(connection: Connection) -> None:
    async with connection.transaction():
        numbers = await connection.cursor("SERIES $1", 9)
        assert await numbers.fetch(2) == [(1,), (2,)]
        assert await connection.fetchval("SELECT 1") == 1
        assert await numbers.forward(2) == 2
        assert await numbers.fetchrow() == (5,)
        assert await numbers.fetch(9) == [(6,), (7,), (8,), (9,)]
        assert await numbers.fetchrow() is None


async def cursor_iterated(connection: Connection) -> None:
    async with connection.transaction():
        assert [row[0] async for row in connection.cursor("SERIES 5", prefetch=2)] == [1, 2, 3, 4, 5]
        assert [row[0] async for row in connection.cursor("SERIES 4", prefetch=2)] == [1, 2, 3, 4]


async def stream(connection: Connection) -> None:
    assert [row[0] async for row in connection.stream("SERIES $1", 5, prefetch=2)] == [1, 2, 3, 4, 5]
    assert [row[0] async for row in connection.stream("SERIES 4", prefetch=2)] == [1, 2, 3, 4]


async def stream_in_a_transaction(connection: Connection) -> None:
    async with connection.transaction(), connection.stream("SERIES 5", prefetch=2) as rows:
        async for row in rows:
            assert await connection.fetchval("SELECT $1", row[0]) == row[0]


async def stream_left_early(connection: Connection) -> None:
    async with connection.stream("SERIES 5", prefetch=2) as rows:
        async for row in rows:
            assert row == (1,)
            break
    assert await connection.fetchval("SELECT 1") == 1
    async for row in connection.stream("SERIES 5", prefetch=2):
        if row == (3,):
            break
    assert await connection.fetchval("SELECT 1") == 1


async def stream_with_a_time_limit(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):
        async for _ in connection.stream("SLEEP", timeout=5):
            raise AssertionError


async def add_listener(connection: Connection) -> None:
    await connection.add_listener("news", print)
    await connection.remove_listener("news", print)


async def listen_in_a_transaction(connection: Connection) -> None:
    with contextlib.suppress(LookupError):
        async with connection.transaction():
            await connection.add_listener("news", print)
            raise LookupError


async def notifications(connection: Connection) -> None:
    async with connection.notifications("news") as news:
        await connection.execute("NOTIFY news")
        async for notification in news:
            assert notification.payload == "payload"
            break


async def notifications_on_channels(connection: Connection) -> None:
    async with connection.notifications("news", "jobs", "more") as news:
        await connection.execute("NOTIFY jobs")
        async for notification in news:
            assert notification == (1000, "jobs", "payload")
            break


async def query_logger(connection: Connection) -> None:
    records: list[LoggedQuery] = []
    with connection.query_logger(records.append):
        assert await connection.fetchval("SELECT 1") == 1
        await connection.execute("INSERT 1")
        await connection.fetch("SELECT $1", 5)


async def reset(connection: Connection) -> None:
    await connection.reset()


async def reset_in_a_transaction(connection: Connection) -> None:
    await connection.execute("BEGIN")
    await connection.reset()


async def close(connection: Connection) -> None:
    await connection.close()


CONVERSATIONS = [
    fetch_uncached,
    fetch_cached,
    fetch_with_a_time_limit,
    fetch_new,
    fetch_new_with_arguments_it_needs,
    insert_new,
    fetch_known_elsewhere,
    fetch_known_elsewhere_in_a_transaction,
    fetch_known_wrongly,
    fetchrow,
    fetch_what_sleeps,
    fetch_what_fails,
    execute_script,
    execute_script_that_sleeps,
    executemany,
    executemany_lazy,
    executemany_awaited,
    executemany_that_fails,
    transaction_committed,
    transaction_begun_by_a_query,
    transaction_begun_by_a_savepoint,
    transaction_rolled_back,
    transaction_nested,
    fetchmany_lazy,
    prepared_statement,
    query,
    execute_script_for_results,
    ping,
    ping_in_a_transaction,
    pipeline,
    pipeline_in_two_parts,
    pipeline_that_fails,
    pipeline_that_sleeps,
    pipeline_in_a_transaction,
    statement_closed,
    cursor,
    cursor_iterated,
    stream,
    stream_in_a_transaction,
    stream_left_early,
    stream_with_a_time_limit,
    add_listener,
    listen_in_a_transaction,
    notifications,
    notifications_on_channels,
    query_logger,
    reset,
    close,
]
#: They begin a transaction by SQL or start(), which is theirs to end when they are cancelled.
BY_HAND = [execute_begin, transaction_by_hand, reset_in_a_transaction]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few elements make a batch of executemany(), which is all the same to it."""
    monkeypatch.setattr(statement, "BATCH_BYTES", 300)
    monkeypatch.setattr(simple_statement, "BATCH_BYTES", 300)


Conversation = Callable[[Connection], Awaitable[None]]
#: All or nothing of these rows.
ROWS = {
    insert_new: [5],
    fetch_known_elsewhere_in_a_transaction: [1, 2],
    execute_script: [1, 2],
    execute_script_that_sleeps: [],
    executemany: list(range(5)),
    executemany_lazy: list(range(30)),
    executemany_awaited: list(range(30)),
    executemany_that_fails: [],
    transaction_committed: [1, 2],
    transaction_begun_by_a_query: [1, 2],
    transaction_begun_by_a_savepoint: [1, 2],
    transaction_rolled_back: [],
    transaction_nested: [1, 3],
    execute_script_for_results: [1, 3],
    ping_in_a_transaction: [1],
    pipeline: [1, 2, 3],
    pipeline_that_fails: [],
    pipeline_that_sleeps: [],
    pipeline_in_a_transaction: [1, 3],
}


def simply(conversation: Conversation) -> Conversation:
    """The same without the extended protocol."""

    @functools.wraps(conversation)
    async def run(connection: Connection) -> None:
        connection._frontend.statements.clear()
        connection._frontend.statement_mode = StatementMode.SIMPLE
        await conversation(connection)

    run.__name__ += "_simply"
    if conversation in ROWS:
        ROWS[run] = ROWS[conversation]
    return run


CONVERSATIONS += [
    simply(conversation)
    for conversation in (
        fetch_uncached, insert_new, fetch_what_sleeps, fetch_what_fails, executemany, executemany_lazy,
        executemany_awaited, executemany_that_fails, transaction_committed, transaction_begun_by_a_savepoint,
        transaction_nested, fetchmany_lazy, ping, listen_in_a_transaction, query_logger,
    )
]  # fmt: skip


def without_names(conversation: Conversation) -> Conversation:
    """The same with statements that are parsed each time."""

    @functools.wraps(conversation)
    async def run(connection: Connection) -> None:
        connection._frontend.forget_all()
        connection._frontend.statement_mode = StatementMode.UNNAMED
        await connection.fetch("SELECT 1")
        await conversation(connection)

    run.__name__ += "_without_names"
    if conversation in ROWS:
        ROWS[run] = ROWS[conversation]
    return run


CONVERSATIONS += [
    without_names(conversation)
    for conversation in (
        fetch_uncached, fetch_cached, fetch_new, fetch_what_fails, executemany, executemany_lazy,
        executemany_that_fails, transaction_nested, pipeline, pipeline_in_a_transaction, cursor, stream_left_early,
    )
]  # fmt: skip


def moments(
    conversation: Conversation,
    *,
    inline: bool = False,
    others: int = 0,
    prepare: Callable[[World], None] = lambda there: None,
) -> Iterator[tuple[World, Task, list[Task]]]:
    """The conversation in a new world each time, stopped at its first moment, its second, and so on to its end."""
    moment = 0
    while True:
        there = world(inline=inline)
        prepare(there)
        there.loop.finish(there.connection.fetch("SELECT 1"))
        task = there.loop.start(conversation(there.connection))
        bystanders = [there.loop.start(there.connection.fetchval("SELECT $1", 70 + n)) for n in range(others)]
        for _ in range(moment):
            if not task.done:
                there.loop.step()
        if task.done:
            task.result()
            there.loop.run()
            assert moment > 2
            return
        yield there, task, bystanders
        moment += 1


def check_whole_or_closed(there: World, conversation: Conversation) -> None:
    """After everything has come to rest."""
    loop, connection, server = there.loop, there.connection, there.server
    loop.run()
    assert not loop.tasks, [task.stop and task.stop.name for task in loop.tasks]
    assert not loop.failures
    if connection.is_closed():
        assert not any(port.connected for port in loop.ports)
        loop.run()
        assert server.hung_up
        with pytest.raises(InterfaceError, match="connection is closed"):
            loop.finish(connection.fetch("SELECT 1"))
    else:
        assert loop.finish(connection.fetchval("SELECT $1", 42)) == 42
        assert loop.finish(connection.execute("SELECT 43")) == "SELECT 1"
        assert server.status is TransactionStatus.IDLE
        assert not connection.is_in_transaction()
        assert loop.finish(connection.fetchval("SELECT 1")) == 1
        loop.finish(transaction_committed(connection))
        assert server.state.rows[-2:] == [1, 2]
        del server.state.rows[-2:]
    if conversation in ROWS:
        assert server.state.rows in ([], ROWS[conversation])


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_cancelled(conversation: Conversation, inline: bool, for_good: bool) -> None:
    closed = 0
    for there, task, _ in moments(conversation, inline=inline):
        task.cancel(for_good=for_good)
        there.loop.run(task)
        # A cancellation may come too late, at an await that was the last one, but it is never lost otherwise.
        assert task.error is None or isinstance(task.error, Cancelled)
        check_whole_or_closed(there, conversation)
        closed += there.connection.is_closed()
    # No cancellation has to cost the connection.
    assert not closed or conversation is close


async def numbers_and_more(connection: Connection) -> AsyncIterator[tuple[int]]:
    """Elements that end in an await."""
    for element in lazily(20):
        yield element
    await connection._port.checkpoint()


LIMITED: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "arguments": lambda c: c.execute("INSERT $1", 5, timeout=60),
    "known": lambda c: c.fetch("INSERT 7", timeout=60),
    "script": lambda c: c.execute("INSERT 1; INSERT 2", timeout=60),
    "many": lambda c: c.executemany("INSERT $1", [(1,), (2,)], timeout=60),
    "many lazily": lambda c: c.executemany("INSERT $1", lazily(20), timeout=60),
    "many awaited": lambda c: c.executemany("INSERT $1", numbers_and_more(c), timeout=60),
    "many with rows": lambda c: c.fetchmany("INSERT $1", [(1,), (2,)], timeout=60),
}


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize("call", LIMITED.values(), ids=LIMITED.keys())
def test_a_time_limit_tells_whether_anything_may_have_been_kept(
    call: Callable[[Connection], Awaitable[object]], inline: bool
) -> None:
    outcomes = set()

    async def conversation(connection: Connection) -> None:
        await call(connection)

    for there, task, _ in moments(conversation, inline=inline):
        task.time_out()
        there.loop.run(task)
        there.loop.run()
        if isinstance(task.error, OperationTimeoutError):
            outcomes.add(task.error.outcome)
            assert task.error.safe_to_retry == (task.error.outcome is Outcome.CANCELLED)
            assert not (task.error.safe_to_retry and there.server.state.rows)
    assert Outcome.UNKNOWN in outcomes


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize("conversation", [add_listener, notifications, notifications_on_channels])
def test_who_was_cancelled_is_not_listened_for(conversation: Conversation, inline: bool, for_good: bool) -> None:
    """Neither does the server go on to notify, nor is the next one deaf who listens to the same channel."""
    for there, task, _ in moments(conversation, inline=inline):
        task.cancel(for_good=for_good)
        there.loop.run(task)
        there.loop.run()
        assert not there.server.state.channels or conversation is add_listener
        there.loop.finish(notifications(there.connection))


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize("in_savepoint", [False, True])
def test_nobody_is_deaf_after_a_rollback_that_was_cancelled(inline: bool, in_savepoint: bool) -> None:
    def heard(*_: object) -> None: ...

    async def conversation(connection: Connection) -> None:
        outer = connection.transaction()
        await outer.start()
        inner = connection.transaction() if in_savepoint else outer
        if in_savepoint:
            await inner.start()
        for channel in "abc":
            await connection.add_listener(channel, heard)
        await inner.rollback()
        if in_savepoint:
            await outer.commit()

    for there, task, _ in moments(conversation, inline=inline):
        task.cancel()
        there.loop.run(task)
        there.loop.run()
        connection = there.connection
        if connection.is_closed():
            continue
        if connection.is_in_transaction():
            there.loop.finish(connection.execute("COMMIT"))
            there.loop.run()
        wanted = {channel for channel in "abc" if connection._subscriptions.dispatch(channel, None) is not None}  # type: ignore[arg-type]
        assert wanted <= there.server.state.channels
        for channel in "abc":
            there.loop.finish(connection.remove_listener(channel, heard))
        assert not there.server.state.channels


def test_what_is_thrown_away_is_not_logged() -> None:
    """The collector may do it, in any thread."""
    there = world()
    records: list[LoggedQuery] = []
    there.connection.add_query_logger(records.append)
    task = there.loop.start(there.connection.fetch("SELECT 1"))
    there.loop.step()
    task.close()
    there.loop.tasks.remove(task)
    there.loop.run()
    assert there.connection.is_closed()
    assert records == []


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize(
    "conversation", [transaction_committed, transaction_begun_by_a_query, transaction_begun_by_a_savepoint]
)
def test_a_transaction_that_was_left_is_over_at_once(conversation: Conversation, inline: bool) -> None:
    """For whoever uses the connection next: the rollback goes out before anything else."""
    for there, task, _ in moments(conversation, inline=inline):
        task.cancel()
        there.loop.run(task)
        connection = there.connection
        if isinstance(task.error, Cancelled) and not connection.is_closed():
            assert not connection.is_in_transaction()
            others = [there.loop.start(connection.fetchval("SELECT $1", number)) for number in range(2)]
            there.loop.run()
            assert [other.result() for other in others] == [0, 1]


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
def test_a_cancelled_savepoint_is_undone_where_its_transaction_goes_on(inline: bool) -> None:
    done = False
    kept: list[list[int]] = []

    async def conversation(connection: Connection) -> None:
        nonlocal done
        done = False
        async with connection.transaction():
            await connection.execute("INSERT 1")
            with contextlib.suppress(Cancelled):
                async with connection.transaction():
                    await connection.execute("INSERT 2")
                    await connection.fetch("SELECT $1", 5)
                    done = True
            await connection.execute("INSERT 3")

    for there, task, _ in moments(conversation, inline=inline):
        task.cancel()
        there.loop.run(task)
        check_whole_or_closed(there, conversation)
        rows = there.server.state.rows
        assert rows in ([], [1, 3], [1, 2, 3])
        assert done or rows != [1, 2, 3]
        kept.append(rows)
    assert [1, 3] in kept


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
def test_so_is_one_whose_rollback_still_waits_unsent(inline: bool) -> None:
    caught = False

    async def conversation(connection: Connection) -> None:
        nonlocal caught
        caught = False
        async with connection.transaction():
            await connection.execute("INSERT 1")
            try:
                async with connection.transaction():
                    await connection.execute("INSERT 2")
                    await connection.fetch("SLEEP", timeout=5)
            except TimeoutError:
                pass
            except Cancelled:
                caught = True
            await connection.execute("INSERT 3")

    count = 0
    for there, task, _ in moments(conversation, inline=inline):
        task.cancel()
        there.loop.run(task)
        check_whole_or_closed(there, conversation)
        if caught:
            task.result()
            assert there.server.state.rows == [1, 3]
            count += 1
    assert count > 2


@pytest.mark.parametrize("conversation", BY_HAND)
def test_cancelled_where_the_user_ends_the_transaction(conversation: Conversation) -> None:
    for there, task, _ in moments(conversation):
        task.cancel()
        there.loop.run(task)
        there.loop.run()
        if not there.connection.is_closed():
            there.loop.finish(there.connection.reset())
        check_whole_or_closed(there, conversation)


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize(
    "conversation",
    [
        fetch_uncached,
        fetch_cached,
        fetch_new,
        fetch_known_elsewhere,
        fetch_what_fails,
        execute_script,
        executemany,
        executemany_lazy,
        executemany_awaited,
        execute_script_for_results,
        ping,
        pipeline,
        pipeline_that_fails,
    ],
)
def test_nobody_else_pays(conversation: Conversation, inline: bool) -> None:
    for there, task, bystanders in moments(conversation, inline=inline, others=2):
        task.cancel()
        for number, bystander in enumerate(bystanders):
            there.loop.run(bystander)
            assert bystander.result() == 70 + number
        check_whole_or_closed(there, conversation)


@pytest.mark.parametrize("conversation", [*CONVERSATIONS, *BY_HAND])
def test_thrown_away(conversation: Conversation) -> None:
    for there, task, _ in moments(conversation):
        there.loop.tasks.remove(task)
        task.close()
        there.loop.run()
        if conversation in BY_HAND and not there.connection.is_closed():
            there.loop.finish(there.connection.reset())
        check_whole_or_closed(there, conversation)


@pytest.mark.parametrize("cause", [ConnectionResetError(104, "reset by peer"), None], ids=["reset", "end"])
@pytest.mark.parametrize("conversation", [*CONVERSATIONS, *BY_HAND])
def test_connection_lost(conversation: Conversation, cause: OSError | None) -> None:
    for there, task, bystanders in moments(conversation, others=1):
        there.loop.ports[0].lose(cause)
        for one in (task, *bystanders):
            there.loop.run(one)
            if one.error is not None:
                assert isinstance(one.error, ALL_ERRORS)
            if isinstance(one.error, ConnectionDoesNotExistError):
                assert one.error.__cause__ is cause or isinstance(one.error.__cause__, LookupError)
        assert there.connection.is_closed()
        check_whole_or_closed(there, conversation)


def connections() -> Iterator[tuple[VirtualLoop, ToyCluster, Task]]:
    """connect(), stopped at each moment in turn."""
    moment = 0
    while True:
        cluster = ToyCluster()
        loop = VirtualLoop(cluster)
        task = loop.start(connect(loop))
        for _ in range(moment):
            if not task.done:
                loop.step()
        if task.done:
            assert not task.result().is_closed()
            assert moment > 3
            return
        yield loop, cluster, task
        moment += 1


def check_nothing_remains(loop: VirtualLoop, cluster: ToyCluster) -> None:
    loop.run()
    assert not loop.tasks
    assert not any(port.connected for port in loop.ports)
    assert all(server.hung_up for server in cluster.servers)


def test_connecting_cancelled() -> None:
    for loop, cluster, task in connections():
        task.cancel()
        loop.run(task)
        assert isinstance(task.error, Cancelled)
        check_nothing_remains(loop, cluster)


def test_connecting_thrown_away() -> None:
    for loop, cluster, task in connections():
        loop.tasks.remove(task)
        task.close()
        check_nothing_remains(loop, cluster)


def test_connection_lost_while_connecting() -> None:
    for loop, cluster, task in connections():
        for port in loop.ports:
            port.lose(ConnectionResetError(104, "reset by peer"))
        loop.run(task)
        if task.error is not None:
            assert isinstance(task.error, (*ALL_ERRORS, OSError))
            check_nothing_remains(loop, cluster)


# The wire is cut


async def whole_session(loop: VirtualLoop, ended: list[str]) -> None:
    """Everything once; `ended` gets the name of each call that has come to an end."""

    @contextlib.asynccontextmanager
    async def call(name: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            ended.append(name)

    async with call("connect"):
        connection = await connect(loop)
    async with call("fetch"):
        assert await connection.fetch("SELECT $1", 5) == [(5,)]
    async with call("failure"):
        with contextlib.suppress(DivisionByZeroError):
            await connection.fetch("FAIL")
    async with call("transaction"):
        await transaction_nested(connection)
    async with call("executemany"):
        await executemany_lazy(connection)
    async with call("script"):
        await execute_script_for_results(connection)
    async with call("pipeline"):
        await pipeline(connection)
    async with call("ping"):
        await connection.ping()
    async with call("notifications"):
        await notifications(connection)
    async with call("close"):
        await connection.close()


CALLS = [
    "connect",
    "fetch",
    "failure",
    "transaction",
    "executemany",
    "script",
    "pipeline",
    "ping",
    "notifications",
    "close",
]


def cut_session(size: int, piece: int = 1 << 20) -> tuple[Task, list[str], int]:
    cluster = ToyCluster()
    cut: list[Faulty] = []

    def make_peer(address: Any) -> Faulty:
        cut.append(Faulty(cluster(address), sent=[Split((piece,)), Cut(size)]))
        return cut[-1]

    loop = VirtualLoop(make_peer)
    ended: list[str] = []
    task = loop.start(whole_session(loop, ended))
    loop.run(task)
    loop.run()
    assert not loop.tasks
    assert not any(port.connected for port in loop.ports)
    return task, ended, cut[0].sent_bytes


def test_bytes_come_one_by_one() -> None:
    task, ended, size = cut_session(1 << 30, piece=1)
    task.result()
    assert ended == CALLS
    assert size > 500


def test_cut_after_every_byte() -> None:
    _, _, size = cut_session(1 << 30)
    got_to = set()
    for cut in range(size):
        task, ended, sent = cut_session(cut)
        assert sent == cut
        assert ended == CALLS[: len(ended)]  # each call ends, once, and the first that fails is the last
        got_to.add(ended[-1])
        if task.error is not None:
            # Before the start-up is over there is no connection that could have been lost.
            assert isinstance(task.error, (ConnectionDoesNotExistError, ProtocolError, InterfaceError, OSError))
    assert got_to >= set(CALLS[:-1])
