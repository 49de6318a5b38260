"""What is learned of a database's types: who asks, how often, and what becomes of it when something goes wrong."""

import contextlib
import dataclasses
import gc
import itertools
import struct
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from pgsansio.client import Connection, connecting
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.codecs.custom import TypeCodec
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Outcome
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    DataError,
    InsufficientPrivilegeError,
    InterfaceError,
    InvalidValueError,
    OperationTimeoutError,
    ProtocolError,
    UnsupportedClientFeatureError,
)
from pgsansio.messages.backend import BindComplete, ErrorResponse, ParameterDescription, ParseComplete
from pgsansio.messages.frontend import Bind, Execute, Parse, Sync
from pgsansio.testing.faults import Faulty, Split
from pgsansio.testing.loop import Cancelled, VirtualLoop
from pgsansio.testing.script import (
    error,
    expect,
    expect_execution,
    expect_first_execution,
    ready,
    row,
    row_description,
    selected,
    send,
)
from tests.client.test_cancel_everywhere import SETTINGS, World, check_whole_or_closed, moments
from tests.client.test_hostile_server import connect, executed, loop_with
from tests.support.toy_server import ToyCluster

INT4, TEXT, RECORD, RECORD_ARRAY = 23, 25, 2249, 2287
MOOD, MOODS, PAIR, PAIRS = 16400, 16401, 16410, 16411


def enum(oid: int, name: str) -> TypeInfo:
    return TypeInfo(oid, name, "public", name, TypeKind.ENUM)


def array_of(oid: int, inner: TypeInfo) -> TypeInfo:
    return TypeInfo(oid, f"_{inner.name}", inner.schema, f"{inner.sql_name}[]", TypeKind.ARRAY, inner_oid=inner.oid)


def composite(oid: int, name: str, *attributes: tuple[str, int]) -> TypeInfo:
    return TypeInfo(oid, name, "public", name, TypeKind.COMPOSITE, attributes=attributes)


def define(cluster: ToyCluster, *infos: TypeInfo) -> None:
    cluster.types |= {info.oid: info for info in infos}


PAIR_OF_TWO = composite(PAIR, "pair", ("x", INT4), ("y", INT4))
PAIR_OF_THREE = composite(PAIR, "pair", ("x", INT4), ("y", INT4), ("z", INT4))
TYPES = (enum(MOOD, "mood"), array_of(MOODS, enum(MOOD, "mood")), PAIR_OF_TWO, array_of(PAIRS, PAIR_OF_TWO))


def members(*items: tuple[int, bytes]) -> bytes:
    """A composite's or a record's value."""
    return struct.pack(">i", len(items)) + b"".join(struct.pack(">Ii", oid, len(data)) + data for oid, data in items)


def numbers(*values: int) -> bytes:
    return members(*((INT4, struct.pack(">i", value)) for value in values))


def array(oid: int, *items: bytes) -> bytes:
    data = b"".join(struct.pack(">i", len(item)) + item for item in items)
    return struct.pack(">iiIii", 1, 0, oid, len(items), 1) + data


def typed(oid: int, *values: bytes) -> str:
    """A statement whose result these values of one type are."""
    return f"TYPED {oid} {' '.join(value.hex() for value in values)}"


GOOD = typed(MOOD, b"good")
GOODS = typed(MOODS, array(MOOD, b"good", b"bad"))
PAIRS_OF_TWO = typed(PAIRS, array(PAIR, numbers(1, 2)))
PAIRS_OF_THREE = typed(PAIRS, array(PAIR, numbers(1, 2, 3)))


def pool_world(*types: TypeInfo, size: int = 1, **keywords: Any) -> tuple[VirtualLoop, ToyCluster, list[Connection]]:
    """Connections that share a CodecSet."""
    cluster = ToyCluster()
    define(cluster, *(types or TYPES))
    loop = VirtualLoop(cluster)
    codecs = CodecSet(**keywords)
    connections = [loop.finish(connecting.connect(loop.port, SETTINGS, Connection, codecs=codecs)) for _ in range(size)]
    return loop, cluster, connections


#: For texts that nobody has prepared yet.
_NUMBERS = itertools.count(1000)


def check_no_statement_is_left(cluster: ToyCluster, connection: Connection) -> None:
    """The server has those that the cache has, and no others, as soon as there is an occasion to close them."""
    prepared_now = f"SELECT {next(_NUMBERS)}"
    connection._port.loop.finish(connection.fetch(prepared_now))  # type: ignore[attr-defined]
    cached = {statement.name for statement, _ in connection._frontend.statements._entries.values()}
    assert {name for name in cluster.sessions[0]._statements if name} == cached


# How many questions


def test_tasks_that_prepare_the_same_statement_ask_once() -> None:
    loop, cluster, (connection,) = pool_world()
    query = f"TYPED {MOODS} $1"
    tasks = [loop.start(connection.fetchval(query, ["good", "bad"])) for _ in range(5)]
    loop.run()
    assert [task.result() for task in tasks] == [["good", "bad"]] * 5
    assert cluster.questions == [(MOODS,)]
    assert loop.finish(connection.fetchval(GOOD)) == "good"
    assert cluster.questions == [(MOODS,)]


def test_what_one_connection_has_learned_all_of_the_pool_know() -> None:
    loop, cluster, connections = pool_world(size=3)
    for connection in connections:
        assert loop.finish(connection.fetchval(GOODS)) == ["good", "bad"]
    assert cluster.questions == [(MOODS,)]
    # At once, each has to ask for itself; that is all.
    loop.finish(connections[0].reload_schema_state())
    tasks = [loop.start(connection.fetchval(GOODS)) for connection in connections for _ in range(3)]
    loop.run()
    assert [task.result() for task in tasks] == [["good", "bad"]] * 9
    assert set(cluster.questions) == {(MOODS,)}
    assert 1 < len(cluster.questions) <= 4


def test_built_in_types_need_no_question() -> None:
    loop, cluster, (connection,) = pool_world()
    assert loop.finish(connection.fetchval(typed(1007, array(INT4, b"\0\0\0\1")))) == [1]
    assert loop.finish(connection.fetchval(typed(RECORD, numbers(1, 2)))) == (1, 2)
    assert not cluster.questions


def test_databases_do_not_share_what_was_learned() -> None:
    cluster, other = ToyCluster(), ToyCluster()
    define(cluster, *TYPES)
    define(other, composite(MOOD, "mood", ("a", INT4)))
    codecs = CodecSet()
    values = []
    for server, name in ((cluster, "one"), (other, "two"), (cluster, "one")):
        loop = VirtualLoop(server)
        settings = dataclasses.replace(SETTINGS, database=name)
        connection = loop.finish(connecting.connect(loop.port, settings, Connection, codecs=codecs))
        values.append(loop.finish(connection.fetchval(typed(MOOD, numbers(1) if server is other else b"good"))))
    assert values == ["good", (1,), "good"]
    assert cluster.questions == other.questions == [(MOOD,)]


@pytest.mark.parametrize("query", [GOODS, typed(RECORD, members((MOOD, b"good")))])
def test_in_a_transaction_others_are_refused_while_a_question_is_under_way(query: str) -> None:
    # And not the task that asks, when it goes on.
    loop, cluster, (connection,) = pool_world()

    async def use() -> object:
        async with connection.transaction():
            value = await connection.fetchval(query)
            assert await connection.fetchval("SELECT 7") == 7
            return value

    task = loop.start(use())
    while not cluster.questions:
        loop.step()
    calls = (connection.fetchval("SELECT 5"), connection.load_types("mood"), connection.execute("INSERT 1"))
    others = [loop.start(call) for call in calls]
    loop.run()
    assert task.result() in (["good", "bad"], ("good",))
    for refused in others:
        with pytest.raises(InterfaceError, match="another operation is in progress"):
            refused.result()


# What was known is outdated


@pytest.mark.parametrize("others", [0, 2])
def test_a_type_that_was_altered(others: int) -> None:
    loop, cluster, connections = pool_world(size=1 + others)
    for connection in connections:
        assert loop.finish(connection.fetchval(PAIRS_OF_TWO)) == [(1, 2)]
    define(cluster, PAIR_OF_THREE)
    for connection in connections:
        (pair,) = loop.finish(connection.fetchval(PAIRS_OF_THREE))
        assert dict(pair) == {"x": 1, "y": 2, "z": 3}
    # Rows that were decoded before it was noticed, and after: one question each.
    assert cluster.questions == [(PAIRS,), (PAIR,)]


def test_a_type_that_was_altered_in_the_middle_of_a_result() -> None:
    loop, cluster, (connection,) = pool_world()
    assert loop.finish(connection.fetchval(PAIRS_OF_TWO)) == [(1, 2)]
    define(cluster, PAIR_OF_THREE)
    rows = [typed(PAIR, numbers(1, 2, 3), numbers(4, 5, 6)), typed(PAIR, numbers(1, 2, 3), numbers(1, 2))]
    assert loop.finish(connection.fetch(rows[0])) == [((1, 2, 3),), ((4, 5, 6),)]
    # Nothing that the catalogue could say would make this right.
    with pytest.raises(InvalidValueError, match="2 attributes instead of 3"):
        loop.finish(connection.fetch(rows[1]))
    assert cluster.questions == [(PAIRS,), (PAIR,), (PAIR,)]
    assert loop.finish(connection.fetch(rows[0])) == [((1, 2, 3),), ((4, 5, 6),)]


@pytest.mark.parametrize("how", ["fetch", "cached", "many", "iterator"])
def test_an_argument_of_a_type_that_was_altered(how: str) -> None:
    loop, cluster, (connection,) = pool_world()
    query = f"TYPED {PAIR} $1"
    assert loop.finish(connection.fetchval(query, (1, 2))) == (1, 2)
    define(cluster, PAIR_OF_THREE)
    values = [((1, 2, 3),), ((4, 5, 6),)]
    match how:
        case "fetch":
            assert loop.finish(connection.fetchval(query, (1, 2, 3), timeout=5)) == (1, 2, 3)
        case "cached":
            assert loop.finish(connection.fetchval(query, (1, 2, 3))) == (1, 2, 3)
        case "many":
            loop.finish(connection.executemany(query, values))
        case _:
            # What an iterator has given is gone; but the next one finds the type as it is.
            with pytest.raises(DataError, match="wrong number of columns"):
                loop.finish(connection.executemany(query, iter(values)))
            loop.finish(connection.executemany(query, iter(values)))
    assert cluster.questions == [(PAIR,), (PAIR,)]


@pytest.mark.parametrize("many", [False, True])
def test_a_wrong_argument_costs_a_question_and_no_statement(many: bool) -> None:
    loop, cluster, connections = pool_world(size=2)
    query = f"TYPED {PAIR} $1"
    for connection in connections:
        assert loop.finish(connection.fetchval(query, (1, 2))) == (1, 2)
    one, other = connections
    statements = [connection._frontend.cached(query, 0.0) for connection in connections]
    with pytest.raises(DataError, match="wrong number of columns: 3, expected 2"):
        loop.finish(one.executemany(query, [((1, 2, 3),)]) if many else one.fetchval(query, (1, 2, 3)))
    assert [connection._frontend.cached(query, 0.0) for connection in connections] == statements
    assert loop.finish(other.fetchval(query, (1, 2))) == (1, 2)
    assert cluster.questions == [(PAIR,), (PAIR,)]


def test_a_wrong_argument_in_a_failed_transaction_asks_nothing() -> None:
    loop, cluster, (connection,) = pool_world()
    query = f"TYPED {PAIR} $1"
    loop.finish(connection.fetchval(query, (1, 2)))

    async def fail() -> None:
        async with connection.transaction():
            with contextlib.suppress(Exception):
                await connection.fetch("FAIL")
            await connection.fetchval(query, (1, 2, 3))

    with pytest.raises(DataError, match="wrong number of columns"):
        loop.finish(fail())
    assert cluster.questions == [(PAIR,)]


def test_a_name_that_another_type_has_by_now() -> None:
    loop, cluster, (connection,) = pool_world()
    assert loop.finish(connection.fetchval(GOOD)) == "good"
    renamed = enum(MOOD, "temper")
    define(cluster, renamed, array_of(MOODS, renamed), enum(17000, "mood"))

    async def declare() -> None:
        await connection.set_type_codec("mood", encoder=str, decoder=lambda text: f"mood {text}")

    loop.finish(declare())
    assert loop.finish(connection.fetchval(typed(17000, b"good"))) == "mood good"
    assert loop.finish(connection.fetchval(GOOD)) == "good"
    assert loop.finish(connection.fetchval(GOODS)) == ["good", "bad"]
    with pytest.raises(ValueError, match=r"unknown type: public\.moody"):
        loop.finish(connection.load_types("moody"))


def test_types_that_were_forgotten_while_a_question_was_under_way() -> None:
    # The second task joins the first, whose question was about less than what is unknown now.
    loop, cluster, (connection,) = pool_world()
    query = f"TYPED {PAIR} $1"
    define(cluster, composite(PAIR, "pair", ("x", MOOD)))
    assert loop.finish(connection.fetchval(GOOD)) == "good"
    first = loop.start(connection.fetchval(query, ("good",)))
    while not cluster.questions[1:]:
        loop.step()
    connection.type_catalog.clear()
    second = loop.start(connection.fetchval(query, ("bad",)))
    loop.run()
    assert (first.result(), second.result()) == (("good",), ("bad",))
    info = connection.type_catalog.info(MOOD)
    assert info is not None
    assert info.kind is TypeKind.ENUM


# What the database does not tell of


def test_a_type_that_the_database_does_not_have() -> None:
    loop, cluster, (connection,) = pool_world()
    for _ in range(2):
        assert loop.finish(connection.fetchval(typed(17000, b"abc"))) == "abc"
        assert loop.finish(connection.fetchval(typed(RECORD, members((17001, b"abc"), (INT4, b"\0\0\0\1"))))) == (
            "abc",
            1,
        )
    assert cluster.questions == [(17000,), (17001,)]


def test_in_a_transaction_that_is_not_learned() -> None:
    # Its snapshot may be older than the type; others would have text for ever.
    loop, cluster, (connection, other) = pool_world(size=2)
    moods, mood = cluster.types.pop(MOODS), cluster.types.pop(MOOD)
    pair = typed(RECORD, members((MOOD, b"good"), (MOOD, b"bad")))

    async def in_transaction() -> None:
        async with connection.transaction():
            assert await connection.fetchval(typed(MOODS, b"{good,bad}")) == "{good,bad}"
            assert await connection.fetchval(typed(RECORD, members((MOODS, b"{good}"), (MOOD, b"bad")))) == (
                "{good}",
                "bad",
            )
            assert await connection.fetchval(pair) == ("good", "bad")

    loop.finish(in_transaction())
    define(cluster, mood, moods)
    assert loop.finish(other.fetchval(GOODS)) == ["good", "bad"]
    assert loop.finish(other.fetchval(typed(RECORD, members((MOODS, array(MOOD, b"good")))))) == (["good"],)


@pytest.mark.parametrize("gone", [[PAIR], [PAIRS], [PAIR, PAIRS]])
def test_a_type_that_is_dropped_before_its_values_are_understood(gone: list[int]) -> None:
    loop, cluster, (connection,) = pool_world()
    assert loop.finish(connection.fetchval(PAIRS_OF_TWO)) == [(1, 2)]
    task = loop.start(connection.fetchval(PAIRS_OF_THREE))
    while cluster.typed < 2:
        loop.step()
    for oid in gone:
        del cluster.types[oid]
    if gone == [PAIRS]:  # another connection has found out what became of the other one
        connection.type_catalog.forget([PAIR])
    loop.run()
    # Its bytes are no answer.
    with pytest.raises(InvalidValueError, match="3 attributes instead of 2"):
        task.result()
    assert loop.finish(connection.fetchval(GOODS)) == ["good", "bad"]


# Rows that were kept

KEPT = [
    (typed(RECORD, numbers(1), members((MOOD, b"good")), numbers(2)), [((1,),), (("good",),), ((2,),)]),
    (
        typed(RECORD, members((MOOD, b"good")), members((PAIR, numbers(1, 2))), members((MOODS, array(MOOD, b"bad")))),
        [(("good",),), (((1, 2),),), ((["bad"],),)],
    ),
    (
        typed(RECORD_ARRAY, array(RECORD, members((MOOD, b"good")), members((PAIR, numbers(1, 2))))),
        [([("good",), ((1, 2),)],)],
    ),
]


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(("query", "rows"), KEPT)
def test_rows_are_kept_however_they_arrive(query: str, rows: list[object], piece: int) -> None:
    cluster = ToyCluster()
    define(cluster, *TYPES)
    loop = VirtualLoop(lambda address: Faulty(cluster(address), sent=[Split((piece,))]))
    connection = loop.finish(connecting.connect(loop.port, SETTINGS, Connection))
    assert loop.finish(connection.fetch(query)) == rows
    asked = len(cluster.questions)
    assert 0 < asked <= 3
    assert loop.finish(connection.fetch(query)) == rows
    assert loop.finish(connection.fetchval(query)) == rows[0][0]  # type: ignore[index]
    assert len(cluster.questions) == asked


def test_rows_are_kept_by_the_short_way_too() -> None:
    loop, _, (connection,) = pool_world()
    query = f"TYPED {RECORD} {members((MOOD, b'good')).hex()}"
    assert loop.finish(connection.fetch(query)) == [(("good",),)]
    connection.type_catalog.clear()
    loop.finish(connection.fetch(query))
    tasks = [loop.start(connection.fetch(query)) for _ in range(3)]
    loop.run()
    assert [task.result() for task in tasks] == [[(("good",),)]] * 3


def test_executed_and_not_fetched() -> None:
    loop, cluster, (connection,) = pool_world()
    record = typed(RECORD, members((MOOD, b"good")))
    assert loop.finish(connection.execute(f"SELECT 1; {record}")) == "SELECT 1"
    loop.finish(connection.executemany(f"TYPED {PAIR} $1", [((1, 2),)]))
    assert loop.finish(connection.execute(f"TYPED {PAIR} $1", (1, 2))) == "SELECT 1"
    assert cluster.questions == [(PAIR,)]


RECORD_WITH_MOOD = row(members((MOOD, b"good")))


def test_an_error_of_the_server_behind_rows_that_were_kept() -> None:
    loop = loop_with(
        [
            *executed(
                "SELECT 1",
                [("a", RECORD)],
                *(row(numbers(1)), RECORD_WITH_MOOD, row(numbers(1)), error("22012", "no"), ready()),
            )
        ]
    )
    connection = connect(loop)
    with pytest.raises(DataError, match="no"):
        loop.finish(connection.fetch("SELECT 1"))
    assert not connection.is_closed()


def test_the_end_of_the_connection_behind_rows_that_were_kept() -> None:
    loop = loop_with(executed("SELECT 1", [("a", RECORD)], RECORD_WITH_MOOD))
    connection = connect(loop)
    task = loop.start(connection.fetch("SELECT 1"))
    loop.run()
    loop.ports[0].lose(None)
    loop.run(task)
    assert isinstance(task.error, ConnectionDoesNotExistError)


@pytest.mark.parametrize("question", ["not asked yet", "under way"])
def test_a_connection_that_ends_before_kept_rows_are_understood_is_no_reason_to_try_again(question: str) -> None:
    loop, cluster, (connection,) = pool_world()
    connection._frontend.pipelining = False
    task = loop.start(connection.fetch(KEPT[0][0]))
    while not (cluster.questions if question == "under way" else cluster.typed):
        loop.step()
    loop.ports[0].lose(None)
    loop.run(task)
    assert isinstance(task.error, ConnectionDoesNotExistError | InterfaceError)
    assert not task.error.safe_to_retry


# Questions that fail


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("query", [GOODS, KEPT[0][0]])
def test_a_question_that_is_refused(query: str, in_transaction: bool) -> None:
    loop, cluster, (connection,) = pool_world()
    cluster.question_error = ("42501", "permission denied for pg_type")

    async def ask() -> None:
        if in_transaction:
            async with connection.transaction():
                await connection.fetch(query)
        else:
            await connection.fetch(query)

    with pytest.raises(InsufficientPrivilegeError, match="permission denied") as caught:
        loop.finish(ask())
    assert caught.value.__notes__ == ["The catalogue was asked about types that the statement uses and nobody knew."]
    check_no_statement_is_left(cluster, connection)
    cluster.question_error = None
    assert loop.finish(connection.fetchval(GOODS)) == ["good", "bad"]


def test_an_error_of_a_question_belongs_to_one_task() -> None:
    loop, cluster, (connection,) = pool_world()
    cluster.question_error = ("42501", "permission denied for pg_type")
    tasks = [loop.start(connection.fetchval(GOODS)) for _ in range(3)]
    while not any(task.done for task in tasks):
        loop.step()
    cluster.question_error = None
    loop.run()
    failed = [task for task in tasks if task.error is not None]
    assert len(failed) == 1
    assert [task.result() for task in tasks if task not in failed] == [["good", "bad"]] * 2
    check_no_statement_is_left(cluster, connection)


def test_a_codec_that_no_format_suits_leaves_nothing_behind() -> None:
    declarations = [
        TypeCodec("text_only", encoder=str, decoder=str, format="text"),
        TypeCodec("binary_only", encoder=bytes, decoder=bytes, format="binary"),
    ]
    loop, cluster, (connection,) = pool_world(
        TypeInfo(16500, "binary_only", "public", "binary_only", TypeKind.BASE),
        TypeInfo(16501, "text_only", "public", "text_only", TypeKind.BASE),
        composite(17001, "both", ("a", 16501), ("b", 16500)),
        declarations=declarations,
    )
    for _ in range(2):
        with pytest.raises(UnsupportedClientFeatureError, match="no format suits all parts"):
            loop.finish(connection.fetchval(typed(17001, members((16501, b"a"), (16500, b"b")))))
        assert not connection._preparing
    check_no_statement_is_left(cluster, connection)


def test_a_time_limit_that_passes_during_a_question() -> None:
    loop, cluster, (connection,) = pool_world()
    task = loop.start(connection.fetch(KEPT[0][0], timeout=5))
    while not cluster.questions:
        loop.step()
    task.expire(task.deadlines[-1])
    loop.run(task)
    # The statement has run: the answer to the question is all that is missing.
    assert isinstance(task.error, OperationTimeoutError)
    assert task.error.outcome is Outcome.UNKNOWN
    assert not task.error.safe_to_retry
    assert loop.finish(connection.fetchval(GOOD)) == "good"


# Stopped anywhere


async def fetch_unknown(connection: Connection) -> None:
    assert await connection.fetchval(GOODS) == ["good", "bad"]


async def fetch_unknown_in_a_transaction(connection: Connection) -> None:
    async with connection.transaction():
        assert await connection.fetchval(GOODS) == ["good", "bad"]


async def fetch_kept(connection: Connection) -> None:
    assert await connection.fetch(KEPT[1][0]) == KEPT[1][1]


async def fetch_altered(connection: Connection) -> None:
    define(CLUSTERS[-1], PAIR_OF_TWO)
    assert await connection.fetchval(f"TYPED {PAIR} $1", (1, 2)) == (1, 2)
    define(CLUSTERS[-1], PAIR_OF_THREE)
    assert await connection.fetchval(PAIRS_OF_THREE) == [(1, 2, 3)]


async def declare_by_name(connection: Connection) -> None:
    await connection.set_type_codec("mood", encoder=str, decoder=str)


CLUSTERS: list[ToyCluster] = []
CONVERSATIONS: list[Callable[[Connection], Any]] = [
    fetch_unknown,
    fetch_unknown_in_a_transaction,
    fetch_kept,
    fetch_altered,
    declare_by_name,
]


def stopped(conversation: Callable[[Connection], Any], **keywords: Any) -> Iterator[tuple[World, Any, Any]]:
    yield from moments(conversation, prepare=lambda there: adopt(there.cluster), **keywords)


def adopt(cluster: ToyCluster) -> None:
    CLUSTERS[:] = [cluster]
    define(cluster, *TYPES)


def check(there: World, conversation: Callable[[Connection], Any]) -> None:
    check_whole_or_closed(there, conversation)
    if not there.connection.is_closed():
        there.loop.finish(conversation(there.connection))
        assert not there.connection._preparing
        check_no_statement_is_left(there.cluster, there.connection)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_cancelled(conversation: Callable[[Connection], Any], inline: bool, for_good: bool) -> None:
    for there, task, _ in stopped(conversation, inline=inline):
        task.cancel(for_good=for_good)
        there.loop.run(task)
        assert task.error is None or isinstance(task.error, Cancelled)
        assert not there.connection.is_closed()
        check(there, conversation)


@pytest.mark.parametrize("conversation", [fetch_unknown, fetch_kept])
def test_nobody_else_pays(conversation: Callable[[Connection], Any]) -> None:
    for there, task, bystanders in stopped(conversation, others=2):
        same = there.loop.start(conversation(there.connection))
        task.cancel()
        for number, bystander in enumerate(bystanders):
            there.loop.run(bystander)
            assert bystander.result() == 70 + number
        there.loop.run(same)
        same.result()
        check(there, conversation)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_thrown_away(conversation: Callable[[Connection], Any]) -> None:
    for there, task, _ in stopped(conversation):
        there.loop.tasks.remove(task)
        task.close()
        there.loop.run()
        check(there, conversation)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_connection_lost(conversation: Callable[[Connection], Any]) -> None:
    for there, task, bystanders in stopped(conversation, others=1):
        there.loop.ports[0].lose(ConnectionResetError(104, "reset by peer"))
        for one in (task, *bystanders):
            there.loop.run(one)
            assert one.error is None or isinstance(one.error, ConnectionDoesNotExistError | InterfaceError)
        check(there, conversation)


# A server that lies

QUESTION = [expect(Parse), expect(Bind), expect(Execute), expect(Sync)]


def bad(**keywords: Any) -> TypeInfo:
    return TypeInfo(**{"oid": MOOD, "name": "a", "schema": "s", "sql_name": "a", "kind": TypeKind.ENUM, **keywords})


@pytest.mark.parametrize(
    "answer",
    [
        [composite(MOOD, "a", ("x", MOOD))],
        [composite(MOOD, "a", ("x", PAIR)), composite(PAIR, "b", ("x", MOOD))],
        [composite(MOOD, "a", ("x", 99_999))],
        [composite(MOOD, "a", *((f"x{number}", INT4) for number in range(1601)))],
        [composite(MOOD + n, f"a{n}", ("x", MOOD + n + 1)) for n in range(100)] + [enum(MOOD + 100, "e")],
        [bad(kind=TypeKind.ARRAY, inner_oid=PAIR), bad(oid=PAIR, name="b", kind=TypeKind.ARRAY, inner_oid=INT4)],
        [bad(kind=TypeKind.MULTIRANGE, inner_oid=INT4)],
        [bad(name="")],
        [bad(delimiter=",,")],
        [bad(schema="unknown", name="type 16500", kind=TypeKind.COMPOSITE, attributes=(("x", 16500),))],
    ],
)
@pytest.mark.parametrize("query", [typed(MOOD, b"abc"), typed(RECORD, members((MOOD, b"abc")))])
def test_an_impossible_answer(answer: Iterable[TypeInfo], query: str) -> None:
    loop, cluster, (connection,) = pool_world(*answer)
    for _ in range(2):
        with pytest.raises(ProtocolError, match="description of types is wrong"):
            loop.finish(connection.fetch(query))
        check_no_statement_is_left(cluster, connection)
    assert connection.type_catalog.export() == []


@pytest.mark.parametrize("oid", [0, 2**32 - 1])
def test_an_impossible_oid(oid: int) -> None:
    loop, _, (connection,) = pool_world()
    for query in (typed(oid, b"abc"), typed(RECORD, members((oid, b"abc")))):
        with pytest.raises(ProtocolError) if oid == 0 else contextlib.nullcontext():
            loop.finish(connection.fetch(query))
    assert loop.finish(connection.fetchval(GOOD)) == "good"


def test_an_answer_of_other_columns() -> None:
    loop = loop_with(
        [
            *executed("SELECT 1", [("a", MOOD)], row(b"good"), selected(), ready()),
            *QUESTION,
            send(ParseComplete(), BindComplete(), row(b"\0\0\0\1"), selected(), ready()),
        ]
    )
    connection = connect(loop)
    with pytest.raises(ProtocolError):
        loop.finish(connection.fetch("SELECT 1"))


def test_an_answer_with_an_array_of_another_type() -> None:
    names = array(INT4, b"\0\0\0\1")
    values = (struct.pack(">i", MOOD), b"a", b"s", b"a", b"c", b",", b"\0\0\0\0", names, names, b"", b"\1", b"\1")
    loop = loop_with(
        [
            *executed("SELECT 1", [("a", MOOD)], row(b"good"), selected(), ready()),
            *QUESTION,
            send(ParseComplete(), BindComplete(), row(*values), selected(), ready()),
        ]
    )
    connection = connect(loop)
    with pytest.raises(InvalidValueError, match="array of type 23 instead of 25"):
        loop.finish(connection.fetch("SELECT 1"))
    assert not connection.is_closed()


# What the server's errors say


@pytest.mark.parametrize("function", ["getTypeBinaryOutputInfo", "ParseFuncOrColumn"])
def test_records_come_as_text_only_where_they_have_to(function: str) -> None:
    # A function that a statement calls may call one that does not exist: that says nothing of its columns.
    fields = {**error("42883", "no binary output function available").fields, "R": function}
    undefined = ErrorResponse(fields)
    text = function == "getTypeBinaryOutputInfo"
    again = [*expect_execution(), send(BindComplete(), row(b"(1)"), selected(), ready())]
    loop = loop_with(
        [
            *expect_first_execution("SELECT 1"),
            send(ParseComplete(), ParameterDescription(()), row_description(("a", RECORD))),
            send(BindComplete(), undefined, ready()),
            *(again if text else []),
            *expect_execution(),
            send(BindComplete(), row(b"(1)" if text else numbers(1)), selected(), ready()),
        ]
    )
    connection = connect(loop)
    if text:
        assert loop.finish(connection.fetchval("SELECT 1")) == ("1",)
        # Also with other codecs, without failing once more.
        codecs = [TypeCodec("int4", schema="pg_catalog", encoder=str, decoder=int, format="text")]
        assert loop.finish(connection.fetchval("SELECT 1", codecs=codecs)) == ("1",)
    else:
        with pytest.raises(Exception, match="no binary output"):
            loop.finish(connection.fetchval("SELECT 1"))
        assert loop.finish(connection.fetchval("SELECT 1")) == (1,)


# What is kept alive


def test_a_connection_that_has_learned_goes_without_the_collector() -> None:
    loop, cluster, (connection, other) = pool_world(size=2)
    codec = TypeCodec("mood", encoder=str, decoder=str)

    async def use(connection: Connection) -> None:
        await connection.set_type_codec("pair", encoder=tuple, decoder=tuple, format="tuple")
        await connection.fetchval(GOOD, codecs=[codec])
        await connection.fetchval(KEPT[1][0])
        await connection.close()

    loop.finish(use(connection))
    loop.run()
    loop.ports.clear()
    cluster.servers.pop(0)
    gc.collect()
    gc.disable()
    try:
        frontend, connection_ref = weakref.ref(connection._frontend.registry), weakref.ref(connection)
        connection._port = None  # type: ignore[assignment]
        del connection
        assert connection_ref() is None
    finally:
        gc.enable()
    gc.collect()
    assert frontend() is None
    assert len(other._frontend.registry._below._above) == 1  # type: ignore[union-attr]


def test_codecs_of_single_queries_do_not_pile_up() -> None:
    loop, _, (connection,) = pool_world()
    for _ in range(100):
        codec = TypeCodec("mood", encoder=str, decoder=str.upper)
        assert loop.finish(connection.fetchval(GOOD, codecs=[codec])) == "GOOD"
    statement = connection._frontend.cached(GOOD, 0.0)
    assert statement is not None
    assert len(connection._layers) <= 32
    assert len(statement._variants) <= 8
    gc.collect()
    assert len(connection._frontend.registry._above) <= 40
