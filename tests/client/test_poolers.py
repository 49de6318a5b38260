"""Behind a pooler that gives each transaction to another session of the server, and tracks no prepared statements."""

import dataclasses
import logging
import struct
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pgsansio.client import Connection, connecting
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.codecs.custom import TypeCodec
from pgsansio.enums import StatementMode
from pgsansio.errors import (
    DataError,
    DuplicatePreparedStatementError,
    InvalidCachedStatementError,
    InvalidSQLStatementNameError,
)
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    ErrorResponse,
    NoData,
    ParameterDescription,
    ParseComplete,
)
from pgsansio.messages.frontend import Bind, Close, Describe, Execute, Parse, Query, Sync
from pgsansio.messages.tags import BackendMessage
from pgsansio.policy.pooling import PROBE
from pgsansio.policy.statement_names import StatementNames
from pgsansio.testing.loop import VirtualLoop
from pgsansio.testing.script import error, expect, ready, row, row_description, selected, send
from tests.client.test_hostile_server import loop_with, settings
from tests.support.toy_pooler import PooledClient, ToyPooler

T = TypeVar("T")
CACHED, UNNAMED = StatementMode.CACHED, StatementMode.UNNAMED

#: No number of a process: 2^30 and a little.
RANDOM_KEY = (1 << 30) + 7
INT4, TEXT, ACLITEM = 23, 25, 1033
LOST = "A pooler that does not seem to keep track of prepared statements is between this client and the server"


def name_of(query: str, *oids: int) -> str:
    return StatementNames().take(query, oids)


class World:
    """Connections of one pool to one toy pooler."""

    def __init__(self, size: int = 1, *, mode: str | None = None, cache_size: int = 100, **keywords: Any) -> None:
        self.pooler = ToyPooler(**keywords)
        self.loop = VirtualLoop(self.pooler)
        self.codecs = CodecSet()
        self.settings: Any = dataclasses.replace(
            settings(statement_mode=mode),  # type: ignore[arg-type, type-var]
            statement_cache_size=cache_size,
        )
        self.connections = [self.connect() for _ in range(size)]

    def connect(self) -> Connection:
        connection: Connection = self.do(
            connecting.connect(self.loop.port, self.settings, Connection, codecs=self.codecs)
        )
        return connection

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        found: T = self.loop.finish(coroutine)
        return found

    def outcomes(self, *coroutines: Coroutine[Any, Any, Any]) -> list[BaseException | None]:
        tasks = [self.loop.start(coroutine) for coroutine in coroutines]
        self.loop.run()
        return [task.error for task in tasks]

    @property
    def modes(self) -> list[StatementMode]:
        return [connection._frontend.statement_mode for connection in self.connections]

    def sent(self, number: int = 0) -> list[Any]:
        """What a connection has sent since this was asked the last time."""
        client = self.pooler.sessions[number]
        assert isinstance(client, PooledClient)
        sent, client.received = client.received, []
        return sent

    def types(self, number: int = 0) -> list[str]:
        return [type(message).__name__ for message in self.sent(number)]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "pgsansio"]


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pgsansio")


# Lost and found: 26000 and 42P05


def test_a_statement_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    world = World(2)
    connection, other = world.connections
    world.pooler.give(0, 1)
    assert world.do(connection.fetch("SELECT 1")) == [(1,)]
    assert world.modes == [CACHED, CACHED]
    world.sent()
    assert world.do(connection.fetch("SELECT 1")) == [(1,)]
    assert world.modes == [UNNAMED, CACHED]
    assert world.types() == ["Bind", "Sync", "Parse", "Describe", "Bind", "Execute", "Sync"]
    assert [message.startswith(LOST) for message in messages(caplog)] == [True]
    # The others of the pool do not have to find out.
    world.sent(1)
    assert world.do(other.fetch("SELECT 1")) == [(1,)]
    assert world.types(1) == ["Parse", "Describe", "Bind", "Execute", "Sync"]
    assert world.modes == [UNNAMED, UNNAMED]
    assert len(messages(caplog)) == 1
    # Nor those that come later.
    world.connections.append(world.connect())
    assert world.modes[-1] is UNNAMED


def test_names_are_not_closed_where_they_may_be_others() -> None:
    world = World()
    (connection,) = world.connections
    world.pooler.give(0, 1)
    for number in (1, 1, 2, 3):
        assert world.do(connection.fetchval(f"SELECT {number}")) == number
    world.do(connection.reload_schema_state())
    assert world.do(connection.fetchval("SELECT 4")) == 4
    assert "Close" not in world.types()


def test_a_name_that_is_there_already(caplog: pytest.LogCaptureFixture) -> None:
    world = World(2)
    connection, other = world.connections
    world.pooler.give(0)
    assert world.do(connection.fetch("SELECT 1")) == [(1,)]
    assert world.do(other.fetch("SELECT 1")) == [(1,)]
    assert world.modes == [CACHED, UNNAMED]
    refused, preparation = ["Parse", "Sync"], ["Parse", "Describe", "Sync"]
    assert world.types(1) == refused + preparation + ["Parse", "Describe", "Bind", "Execute", "Sync"]
    assert len(messages(caplog)) == 1


async def prepare(connection: Connection) -> Any:
    statement = await connection.prepare("SELECT 1")
    return await statement.fetch()


async def many(connection: Connection) -> Any:
    await connection.executemany("SELECT $1", [(2,), (3,)])
    return await connection.fetchmany("SELECT $1", [(1,)])


async def stream(connection: Connection) -> Any:
    return [row async for row in connection.stream("SELECT 1")]


async def pipeline(connection: Connection) -> Any:
    async with connection.pipeline() as pipeline:
        handle = pipeline.fetch("SELECT 1")
        pipeline.executemany("SELECT $1", [(2,), (3,)])
    return handle.result()


async def fetch(connection: Connection) -> Any:
    return await connection.fetch("SELECT 1")


async def with_arguments(connection: Connection) -> Any:
    return await connection.fetch("SELECT $1", 1)


WAYS = [fetch, with_arguments, prepare, many, stream, pipeline]


@pytest.mark.parametrize("way", WAYS)
def test_names_that_are_taken_in_other_ways(way: Callable[[Connection], Coroutine[Any, Any, Any]]) -> None:
    world = World(2)
    taken = world.pooler.sessions_statements
    for statements in taken:
        statements.update({name_of(query): query for query in ("SELECT 1", "SELECT $1")})
    assert world.do(way(world.connections[0])) == [(1,)]
    assert world.modes == [UNNAMED, CACHED]
    assert world.do(way(world.connections[1])) == [(1,)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["cached", None])
def test_statements_that_are_lost_in_other_ways(
    mode: str | None, way: Callable[[Connection], Coroutine[Any, Any, Any]]
) -> None:
    world = World(mode=mode)
    (connection,) = world.connections
    world.pooler.give(0)
    statement = world.do(connection.prepare("SELECT 1"))
    assert statement.get_name() == name_of("SELECT 1")
    world.do(way(connection))
    assert world.modes == [CACHED]
    world.pooler.give(1)
    assert world.do(statement.fetch() if way is prepare else way(connection)) == [(1,)]
    assert world.modes == [CACHED if mode == "cached" else UNNAMED]


def test_a_statement_of_the_users_own_goes_on_without_its_name() -> None:
    world = World()
    (connection,) = world.connections
    world.pooler.give(0)
    statement = world.do(connection.prepare("SELECT 1"))
    world.do(connection.fetch("SELECT 2"))
    world.pooler.give(1)
    world.do(connection.fetch("SELECT 2"))
    world.sent()
    assert world.do(statement.fetch()) == [(1,)]
    assert world.types() == ["Parse", "Describe", "Bind", "Execute", "Sync"]
    world.do(statement.close())
    assert world.types() == []


def test_codecs_of_a_single_query_go_on_too() -> None:
    world = World()
    (connection,) = world.connections
    codecs = (TypeCodec("int4", encoder=bytes, decoder=bytes, format="binary", schema="pg_catalog"),)
    world.pooler.give(0)
    before = world.do(connection.fetchval("SELECT 1", codecs=codecs))
    world.do(connection.fetch("SELECT 2"))
    world.pooler.give(1)
    world.do(connection.fetch("SELECT 2"))
    world.sent()
    assert world.do(connection.fetchval("SELECT 1", codecs=codecs)) == before
    assert world.types() == ["Parse", "Describe", "Bind", "Execute", "Sync"]


def test_names_are_given_again_when_they_were_closed() -> None:
    world = World(sessions=1, cache_size=1)
    (connection,) = world.connections
    names: set[str] = set()
    for number in range(12):
        assert world.do(connection.fetchval(f"SELECT {number % 3}")) == number % 3
        names.update(world.pooler.sessions_statements[0])
        assert len(world.pooler.sessions_statements[0]) <= 2
    assert names == {name_of(f"SELECT {number}") for number in range(3)}


def test_several_tasks_that_find_it_lost() -> None:
    world = World()
    (connection,) = world.connections
    world.pooler.give(0)
    for number in range(5):
        world.do(connection.fetch(f"SELECT {number}"))
    world.pooler.give(1)
    tasks = [world.loop.start(connection.fetchval(f"SELECT {number}")) for number in range(5)]
    world.loop.run()
    assert [task.result() for task in tasks] == list(range(5))
    assert world.modes == [UNNAMED]


def test_in_a_transaction_it_is_told_and_safe_to_do_again() -> None:
    world = World()
    (connection,) = world.connections
    world.pooler.give(0)
    world.do(connection.fetch("SELECT 1"))
    world.pooler.give(1)

    async def transaction() -> Any:
        async with connection.transaction():
            await connection.execute("INSERT 5")
            return await connection.fetch("SELECT 1")

    with pytest.raises(InvalidSQLStatementNameError, match="does not exist") as caught:
        world.do(transaction())
    assert caught.value.safe_to_retry
    assert str(caught.value.hint).startswith("Run the transaction again.")
    assert world.modes == [UNNAMED]
    assert world.do(transaction()) == [(1,)]
    assert world.pooler.sessions[0].state.rows == [5]


def test_a_name_that_is_taken_in_a_transaction() -> None:
    world = World()
    (connection,) = world.connections
    world.pooler.sessions_statements[0][name_of("SELECT 1")] = "SELECT 1"

    async def transaction() -> Any:
        async with connection.transaction():
            return await connection.fetch("SELECT 1")

    with pytest.raises(DuplicatePreparedStatementError) as caught:
        world.do(transaction())
    assert caught.value.safe_to_retry
    assert world.do(transaction()) == [(1,)]


def test_a_transaction_begins_as_others_have_found_to_be_right() -> None:
    world = World(2)
    connection, other = world.connections
    world.pooler.give(0)
    world.do(connection.fetch("SELECT 1"))
    world.pooler.give(1)
    world.do(other.fetch("SELECT 2"))
    world.pooler.give(0)
    world.do(other.fetch("SELECT 2"))
    assert world.modes == [CACHED, UNNAMED]
    world.pooler.give(1)

    async def transaction() -> Any:
        async with connection.transaction():
            return await connection.fetch("SELECT 1")

    assert world.do(transaction()) == [(1,)]


@pytest.mark.parametrize("script", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE x"])
def test_what_was_discarded_proves_nothing(script: str, caplog: pytest.LogCaptureFixture) -> None:
    world = World(sessions=1)
    (connection,) = world.connections
    statement = world.do(connection.prepare("SELECT 1"))
    world.do(connection.fetch("SELECT 2"))
    world.do(connection.execute(script))
    with pytest.raises(InvalidSQLStatementNameError):
        world.do(statement.fetch())
    assert world.do(statement.fetch()) == [(1,)]
    assert world.do(connection.fetch("SELECT 2")) == [(2,)]
    assert world.modes == [CACHED]
    assert messages(caplog) == []


def test_other_statements_names_prove_nothing() -> None:
    world = World(sessions=1)
    (connection,) = world.connections
    world.pooler.sessions_statements[0]["mine"] = "SELECT 1"
    with pytest.raises(DuplicatePreparedStatementError) as caught:
        world.do(connection.prepare("SELECT 1", name="mine"))
    assert not caught.value.safe_to_retry
    assert world.modes == [CACHED]


def test_a_users_name_stays_one() -> None:
    world = World(mode="unnamed", sessions=1)
    (connection,) = world.connections
    statement = world.do(connection.prepare("SELECT 1", name="mine"))
    assert statement.get_name() == "mine"
    assert world.do(statement.fetch()) == [(1,)]
    world.do(statement.close())
    assert world.types()[-2:] == ["Close", "Sync"]


# What is told from the start


@pytest.mark.parametrize(("mode", "expected"), [("cached", CACHED), ("unnamed", UNNAMED)])
def test_what_the_user_says_holds(mode: str, expected: StatementMode) -> None:
    world = World(mode=mode, process_id=RANDOM_KEY)
    (connection,) = world.connections
    world.pooler.give(0, 1, then=[0, 1])
    for _ in range(6):
        assert world.do(connection.fetchval("SELECT 1")) == 1
    assert world.modes == [expected]
    assert all(message.query != PROBE for message in world.sent() if isinstance(message, Parse))


def test_a_key_that_is_random_is_asked_about(caplog: pytest.LogCaptureFixture) -> None:
    world = World(2, process_id=RANDOM_KEY)
    connection, other = world.connections
    assert world.modes == [UNNAMED, UNNAMED]
    assert world.types() == []
    # In front of the first statement, and nobody waits for it.
    assert world.do(connection.fetchval("SELECT 1")) == 1
    probe = ["Close", "Parse", "Bind", "Execute", "Close", "Sync"]
    assert world.types() == [*probe, "Parse", "Describe", "Bind", "Execute", "Sync"]
    assert world.do(connection.fetchval("SELECT 2")) == 2
    assert world.do(connection.fetchval("SELECT 1")) == 1
    assert world.types() == ["Parse", "Describe", "Bind", "Execute", "Sync"] * 2
    assert world.modes == [UNNAMED, UNNAMED]
    assert [message.startswith(LOST) for message in messages(caplog)] == [True]
    assert world.do(other.fetchval("SELECT 2")) == 2
    assert world.types(1) == ["Parse", "Describe", "Bind", "Execute", "Sync"]


def test_a_pooler_that_gives_names_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    world = World(2, process_id=RANDOM_KEY, sessions=1, renames=True)
    connection, other = world.connections
    for _ in range(3):
        world.sent()
        assert world.do(connection.fetchval("SELECT 1")) == 1
        assert world.do(connection.fetchval("SELECT 2")) == 2
    assert world.modes == [CACHED, UNNAMED]
    assert world.types() == ["Bind", "Execute", "Sync"] * 2
    assert world.do(other.fetchval("SELECT 1")) == 1
    assert world.modes == [CACHED, CACHED]
    assert messages(caplog) == []


def test_nothing_is_asked_in_a_transaction() -> None:
    world = World(process_id=RANDOM_KEY)
    (connection,) = world.connections

    async def transaction() -> Any:
        async with connection.transaction():
            return await connection.fetchval("SELECT 1")

    assert world.do(transaction()) == 1
    assert "Close" not in world.types()
    assert world.modes == [UNNAMED]


def test_a_question_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = World(process_id=RANDOM_KEY, probe_error=("42P01", "no such table"))
    (connection,) = world.connections
    for number in (1, 2, 1):
        assert world.do(connection.fetchval(f"SELECT {number}")) == number
    assert world.modes == [UNNAMED]
    assert sum(isinstance(message, Close) for message in world.sent()) == 1
    assert messages(caplog) == []


# Without names


def test_each_execution_is_one_round_trip() -> None:
    world = World(mode="unnamed")
    (connection,) = world.connections
    for _ in range(3):
        assert world.do(connection.fetchval("SELECT $1", 5)) == 5
    preparation = ["Parse", "Describe", "Sync"]
    execution = ["Parse", "Describe", "Bind", "Execute", "Sync"]
    sent = world.sent()
    assert [type(message).__name__ for message in sent] == preparation + execution * 3
    parses = [message for message in sent if isinstance(message, Parse)]
    assert {parse.statement for parse in parses} == {""}
    assert [parse.parameter_oids for parse in parses] == [(), (INT4,), (INT4,), (INT4,)]


def test_nothing_is_ever_named() -> None:
    world = World(mode="unnamed")
    (connection,) = world.connections

    async def transaction() -> Any:
        async with connection.transaction():
            rows = [row async for row in connection.cursor("SERIES 7", prefetch=3)]
            rows += [row async for row in connection.stream("SERIES 5", prefetch=2)]
            cursor = await connection.cursor("SERIES $1", 4)
            assert await cursor.forward(1) == 1
            rows += await cursor.fetch(2)
            return rows + await cursor.fetch(5)

    for _ in range(2):
        for way in WAYS:
            assert world.do(way(connection)) == [(1,)]
        assert world.do(transaction()) == [(n,) for n in (1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 2, 3, 4)]
    sent = world.sent()
    assert {message.statement for message in sent if isinstance(message, Parse | Bind)} == {""}
    assert {message.name for message in sent if isinstance(message, Describe)} == {""}
    assert world.pooler.sessions_statements[0].keys() | world.pooler.sessions_statements[1].keys() == {""}


numbers = st.integers(0, 3)
programs = st.lists(
    st.tuples(numbers, st.booleans(), st.lists(st.tuples(numbers, st.integers(0, len(WAYS))), max_size=4)), max_size=12
)


@hypothesis_settings(deadline=None, max_examples=40)
@given(programs, st.lists(numbers, min_size=1, max_size=5), st.sampled_from([None, "cached", "unnamed"]), st.booleans())
def test_never_another_statement(
    program: list[tuple[int, bool, list[tuple[int, int]]]], order: list[int], mode: str | None, is_random: bool
) -> None:
    """Whichever sessions the pooler gives: each result is the right one, and what is outside of a transaction has no
    error."""
    world = World(4, mode=mode, process_id=RANDOM_KEY if is_random else 1000, sessions=4)
    world.pooler.give(*order, then=order)

    async def single(connection: Connection, number: int, way: int) -> None:
        if way < len(WAYS):
            assert await WAYS[way](connection) == [(1,)]
        else:
            assert await connection.fetchval(f"SELECT {number}") == number
            assert await connection.fetchval("SELECT $1", number) == number

    async def transaction(connection: Connection, steps: Iterable[tuple[int, int]]) -> None:
        async with connection.transaction():
            for number, _ in steps:
                await single(connection, number, len(WAYS))

    for index, in_transaction, steps in program:
        connection = world.connections[index]
        if in_transaction:
            (outcome,) = world.outcomes(transaction(connection, steps))
            if outcome is not None:
                assert isinstance(outcome, InvalidSQLStatementNameError | DuplicatePreparedStatementError)
                assert outcome.safe_to_retry
                assert mode == "cached" or not is_random
        else:
            for number, way in steps:
                world.do(single(connection, number, way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("mode", "process_id"), [(None, 1000), (None, RANDOM_KEY), ("cached", 1000), ("unnamed", 1000)]
)
def test_cancelled_anywhere(
    way: Callable[[Connection], Coroutine[Any, Any, Any]], mode: str | None, process_id: int
) -> None:
    """While statements get lost: whatever was going on, what comes next is right."""
    moment = 0
    while True:
        world = World(mode=mode, process_id=process_id)
        (connection,) = world.connections
        world.pooler.give(0)
        if mode is not None or process_id != RANDOM_KEY:  # else the question is what is interrupted
            world.do(way(connection))
        world.pooler.give(1, 0, then=[1, 0])
        task = world.loop.start(way(connection))
        for _ in range(moment):
            if not task.done:
                world.loop.step()
        if task.done:
            assert task.result() == [(1,)]
            assert moment > 2
            return
        task.cancel()
        world.loop.run()
        for _ in range(2):
            assert world.do(way(connection)) == [(1,)]
            assert world.do(connection.fetchval("SELECT 2")) == 2
        moment += 1


# Another session has other columns


def described(*columns: tuple[str, int], parameters: tuple[int, ...] = ()) -> list[Any]:
    return [ParseComplete(), ParameterDescription(parameters), row_description(*columns) if columns else NoData()]


EXECUTION = [expect(Parse), expect(Describe), expect(Bind), expect(Execute), expect(Sync)]
PREPARATION = [expect(Parse), expect(Describe), expect(Sync)]
ONE = struct.pack("!i", 1)


def known_in_the_cache(*script: Any) -> tuple[VirtualLoop, Connection]:
    """A connection that knows statement "A" with an int4 in its column."""
    loop = loop_with(
        [*EXECUTION, send(*described(("a", INT4)), BindComplete(), row(ONE), selected(), ready()), *script]
    )
    connection = loop.finish(
        connecting.connect(loop.port, settings(statement_mode="unnamed"), Connection)  # type: ignore[arg-type]
    )
    assert loop.finish(connection.fetch("A")) == [(1,)]
    return loop, connection


def test_columns_of_another_type() -> None:
    loop, connection = known_in_the_cache(
        *EXECUTION,
        send(*described(("b", TEXT)), BindComplete(), row(b"x"), selected(), ready()),
        *EXECUTION,
        send(*described(("a", INT4)), BindComplete(), row(ONE), selected(), ready()),
    )
    (found,) = loop.finish(connection.fetch("A"))
    assert dict(found) == {"b": "x"}
    (found,) = loop.finish(connection.fetch("A"))
    assert dict(found) == {"a": 1}
    assert loop.ports[0].peer.done  # type: ignore[union-attr]


def test_columns_of_a_type_that_has_no_binary_form_here() -> None:
    """They were asked for in binary, since an int4 was expected: refused when it is executed, and done again."""
    refusal = ErrorResponse({**error("42883", "no binary output").fields, "R": "getTypeBinaryOutputInfo"})
    loop, connection = known_in_the_cache(
        *EXECUTION,
        send(*described(("a", ACLITEM)), refusal, ready()),
        *PREPARATION,
        send(*described(("a", ACLITEM)), ready()),
        *EXECUTION,
        send(*described(("a", ACLITEM)), BindComplete(), row(b"me=r/me"), selected(), ready()),
    )
    assert loop.finish(connection.fetch("A")) == [("me=r/me",)]


def test_more_columns() -> None:
    loop, connection = known_in_the_cache(
        *EXECUTION,
        send(*described(("a", INT4), ("b", INT4)), BindComplete(), row(ONE, ONE), selected(), ready()),
    )
    assert loop.finish(connection.fetch("A")) == [(1, 1)]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_another_number_of_columns_than_was_asked_for(in_transaction: bool) -> None:
    """Formats were asked for one by one, since one of them is text: the server refuses that."""
    both = (("a", INT4), ("b", ACLITEM))
    refusal = error("08P01", "bind message has 2 result formats but query has 1 columns")
    begin = send(ParseComplete(), BindComplete(), selected("BEGIN"), *described(("a", INT4)), refusal, ready("E"))
    script = [
        *PREPARATION,
        send(*described(*both, parameters=(INT4,)), ready()),
        *EXECUTION,
        send(*described(*both, parameters=(INT4,)), BindComplete(), row(ONE, b"x"), selected(), ready()),
    ]
    if in_transaction:
        script += [expect(Parse), expect(Bind), expect(Execute), *EXECUTION, begin]
        script += [expect(Query), send(selected("ROLLBACK"), ready())]
    else:
        script += [*EXECUTION, send(*described(("a", INT4)), refusal, ready())]
        script += [*PREPARATION, send(*described(("a", INT4), parameters=(INT4,)), ready())]
        script += [*EXECUTION, send(*described(("a", INT4)), BindComplete(), row(ONE), selected(), ready())]
    loop = loop_with(script)
    connection = loop.finish(
        connecting.connect(loop.port, settings(statement_mode="unnamed"), Connection)  # type: ignore[arg-type]
    )
    assert loop.finish(connection.fetch("A", 1)) == [(1, "x")]

    async def transaction() -> Any:
        async with connection.transaction():
            return await connection.fetch("A", 1)

    if in_transaction:
        with pytest.raises(InvalidCachedStatementError) as caught:
            loop.finish(transaction())
        assert "Run the transaction again" in str(caught.value.hint)
    else:
        assert loop.finish(connection.fetch("A", 1)) == [(1,)]
    assert loop.ports[0].peer.done  # type: ignore[union-attr]


def test_a_pooler_that_has_an_outdated_statement_of_this_text() -> None:
    """PgBouncer 1.26 answers a new Parse with what it has prepared for another client."""
    stale = ErrorResponse({**error("0A000", "changed").fields, "R": "RevalidateCachedQuery"})
    unnamed = [*EXECUTION, send(*described(("a", INT4)), BindComplete(), row(ONE), selected(), ready())]
    loop = loop_with(
        [
            *EXECUTION,
            send(ParseComplete(), ParameterDescription(()), stale, ready()),
            # What was prepared is closed, and the text has no name from now on.
            expect(Close),
            *PREPARATION,
            send(CloseComplete(), *described(("a", INT4)), ready()),
            *unnamed,
            *unnamed,
            *PREPARATION,
            send(*described(("a", INT4)), ready()),
        ]
    )
    connection = loop.finish(connecting.connect(loop.port, settings(), Connection))  # type: ignore[arg-type]
    for _ in range(2):
        assert loop.finish(connection.fetch("A")) == [(1,)]
    assert loop.finish(connection.prepare("A")).get_name() == ""
    assert loop.ports[0].peer.done  # type: ignore[union-attr]
    assert connection._frontend.statement_mode is CACHED


@pytest.mark.parametrize("mode", ["cached", "unnamed"])
def test_arguments_of_another_type(mode: str) -> None:
    """The table of a statement that is known was changed: it is refused before it is executed, and prepared again."""
    named = [expect(Bind), expect(Execute), expect(Sync)]
    answer: list[BackendMessage] = [BindComplete(), row(ONE), selected(), ready()]
    loop = loop_with(
        [
            *PREPARATION,
            send(*described(("a", INT4), parameters=(INT4,)), ready()),
            *(named if mode == "cached" else EXECUTION),
            send(*([] if mode == "cached" else described(("a", INT4), parameters=(INT4,))), *answer),
            *(named if mode == "cached" else EXECUTION),
            send(error("42883", "operator does not exist: text = integer"), ready()),
            *([expect(Close)] if mode == "cached" else []),
            *PREPARATION,
            send(
                *([CloseComplete()] if mode == "cached" else []),
                *described(("a", INT4), parameters=(TEXT,)),
                ready(),
            ),
        ]
    )
    connection = loop.finish(
        connecting.connect(loop.port, settings(statement_mode=mode), Connection)  # type: ignore[arg-type]
    )
    assert loop.finish(connection.fetch("A", 1)) == [(1,)]
    with pytest.raises(DataError, match="expected str"):
        loop.finish(connection.fetch("A", 1))
    assert loop.ports[0].peer.done  # type: ignore[union-attr]
