"""What a connection tells of itself, and methods that others build on: queries, transactions, types."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgsansio.client import Connection
from pgsansio.client.connection import check_connection_class
from pgsansio.codecs.custom import TypeCodec
from pgsansio.errors import (
    DivisionByZeroError,
    InterfaceError,
    InterfaceWarning,
    OperationTimeoutError,
    ProtocolError,
)
from pgsansio.kernel import Record
from pgsansio.messages.backend import ParameterStatus
from pgsansio.testing.loop import Cancelled
from pgsansio.types import LoggedQuery, Result
from tests.client.test_cancel_everywhere import World, world
from tests.client.test_learning import GOOD, MOOD, PAIR, PAIR_OF_THREE, TYPES, define

INT4 = 23


def run(there: World, body: Callable[[Connection], Awaitable[Any]]) -> Any:
    return there.loop.finish(body(there.connection))  # type: ignore[arg-type]


# What it tells


def test_settings_are_live() -> None:
    there = world()
    settings = there.connection.get_settings()
    assert settings.client_encoding == "UTF8"
    assert repr(settings).startswith("<ConnectionSettings {'client_encoding': 'UTF8'")
    for name in ("TimeZone", "_parameter", "nothing"):
        with pytest.raises(AttributeError, match=name):
            getattr(settings, name)
    there.server.backend.send(ParameterStatus("TimeZone", "UTC"))
    there.loop.run()
    assert settings.TimeZone == "UTC"


def test_what_the_server_is() -> None:
    there = world()
    assert there.connection.get_server_pid() == 1000
    version = there.connection.get_server_version()
    assert (version.major, version.micro) == (16, 4)
    assert there.connection.tls is None
    assert repr(there.connection).startswith("<pgsansio.client.connection.Connection 0x")
    there.loop.call(there.connection.terminate)
    assert repr(there.connection).startswith("<pgsansio.client.connection.Connection closed 0x")


def test_classes_of_connections() -> None:
    class Mine(Connection):
        pass

    check_connection_class(Mine)
    for wrong in (dict, Record, 7):
        with pytest.raises(InterfaceError, match=r"is expected to be a subclass of asyncpg\.Connection"):
            check_connection_class(wrong)


@pytest.mark.parametrize("timeout", [True, "1", float("nan"), [1]])
def test_time_limits_that_are_none(timeout: Any) -> None:
    there = world()
    for call in (
        there.connection.close,
        there.connection.reset,
        lambda timeout: there.connection.fetch("SELECT 1", timeout=timeout),
    ):
        with pytest.raises(ValueError, match="invalid timeout value: expected non-negative float"):
            there.loop.finish(call(timeout=timeout))
    assert not there.connection.is_closed()


def test_closing_within_the_time_limit_of_commands() -> None:
    there = world()
    there.connection._command_timeout = 3
    there.loop.finish(there.connection.close())
    assert there.server.hung_up


def test_a_reset_says_what_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    there = world()

    async def body(connection: Connection) -> None:
        await connection.execute("BEGIN")
        await connection.execute("INSERT 1")
        await connection.reset()

    run(there, body)
    assert caplog.messages == ["Resetting connection with an active transaction"]
    assert there.server.state.rows == []
    assert not there.connection.is_in_transaction()
    heard: list[LoggedQuery] = []
    with there.connection.query_logger(heard.append):
        there.loop.finish(there.connection.reset(timeout=2))
    there.loop.run()
    assert [record.query for record in heard] == [there.connection.get_reset_query()]


def test_a_reset_of_nothing() -> None:
    there = world()
    there.connection._reset_query = ""
    log = list(there.server.log)
    there.loop.finish(there.connection.reset())
    assert there.server.log == log
    assert there.connection._reset_alone() is None


# Queries


class Row(Record):
    pass


WAYS: dict[str, tuple[Callable[..., Any], Any]] = {
    "fetch": (lambda connection, *args, **options: connection.fetch("SELECT $1", *args, **options), [(7,)]),
    "fetchrow": (lambda connection, *args, **options: connection.fetchrow("SELECT $1", *args, **options), (7,)),
    "fetchval": (lambda connection, *args, **options: connection.fetchval("SELECT $1", *args, **options), 7),
    "query": (
        lambda connection, *args, **options: connection.query("SELECT $1", *args, **options),
        Result([(7,)], "SELECT 1"),
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_query_that_is_known_or_not_with_and_without_a_time_limit(name: str) -> None:
    there = world()
    way, expected = WAYS[name]
    for options in ({}, {}, {"timeout": 3}):
        assert there.loop.finish(way(there.connection, 7, **options)) == expected
    codec = TypeCodec("int4", schema="pg_catalog", encoder=str, decoder=lambda text: -int(text))
    minus = there.loop.finish(way(there.connection, 7, codecs=(codec,)))
    assert minus in ([(-7,)], (-7,), -7, Result([(-7,)], "SELECT 1"))


@pytest.mark.parametrize("name", WAYS)
def test_a_known_query_that_is_cancelled(name: str) -> None:
    there = world()
    way, expected = WAYS[name]
    there.loop.finish(way(there.connection, 7))
    task = there.loop.start(way(there.connection, 7))
    there.loop.step()
    task.cancel()
    there.loop.run()
    assert isinstance(task.error, Cancelled)
    assert there.loop.finish(way(there.connection, 7)) == expected


@pytest.mark.parametrize("name", ["fetch", "fetchrow", "fetchval", "query"])
def test_a_known_query_that_fails(name: str) -> None:
    there = world()
    for _ in range(3):
        with pytest.raises(DivisionByZeroError) as caught:
            there.loop.finish(getattr(there.connection, name)("FAIL"))
        assert caught.value.query == "FAIL"


def test_too_many_arguments() -> None:
    there = world()
    there.loop.finish(there.connection.fetch("SELECT 1", timeout=3))
    with pytest.raises(InterfaceError, match="the number of query arguments cannot exceed 65535"):
        there.loop.finish(there.connection.fetch("SELECT 1", *range(65536), timeout=3))


@pytest.mark.parametrize("name", ["fetch", "fetchrow", "query"])
def test_rows_of_another_class(name: str) -> None:
    there = world()
    for timeout in (None, 3):
        found = there.loop.finish(getattr(there.connection, name)("SELECT 7", record_class=Row, timeout=timeout))
        if name == "query":
            found = found.rows
        assert isinstance(found if name == "fetchrow" else found[0], Row)
    for wrong in (tuple, 7, type("Other", (Record,), {"__init__": lambda self: None})):
        with pytest.raises(InterfaceError, match="record_class"):
            there.loop.finish(getattr(there.connection, name)("SELECT 7", record_class=wrong))


def test_many_elements_of_nothing_and_what_they_raise() -> None:
    there = world()
    assert there.loop.finish(there.connection.fetchmany("SELECT $1", [])) == []
    assert there.loop.finish(there.connection.fetchmany("SELECT $1", [(1,), (2,)], record_class=Row)) == [(1,), (2,)]
    with pytest.raises(DivisionByZeroError):
        there.loop.finish(there.connection.executemany("FAIL $1", [(1,)]))


def test_arguments_of_a_type_that_has_changed() -> None:
    there = world()
    define(there.cluster, *TYPES)
    query = f"TYPED {PAIR} $1"
    assert there.loop.finish(there.connection.fetchval(query, (1, 2))) == (1, 2)
    define(there.cluster, PAIR_OF_THREE)
    assert there.loop.finish(there.connection.fetchval(query, (1, 2, 3))) == (1, 2, 3)
    define(there.cluster, *TYPES)
    assert there.loop.finish(there.connection.fetchmany(query, [((1, 2),)])) == [((1, 2),)]


# Transactions


def test_what_a_transaction_says_of_itself() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        transaction = connection.transaction(isolation="serializable", readonly=True)
        assert repr(transaction).startswith("<pgsansio.client.transaction.Transaction ")
        assert "serializable" in repr(transaction)
        await transaction.start()
        await transaction.rollback()

    run(there, body)


def test_by_hand() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        transaction = connection.transaction()
        with pytest.raises(InterfaceError, match="cannot commit"):
            await transaction.commit()
        await transaction.start()
        with pytest.raises(InterfaceError, match="cannot start; the transaction is already started"):
            await transaction.start()
        await connection.execute("INSERT 1")
        await transaction.commit()
        other = connection.transaction()
        await other.start()
        with pytest.raises(DivisionByZeroError):
            await connection.execute("FAIL")
        with pytest.warns(InterfaceWarning, match="the transaction was rolled back instead of committed"):
            await other.commit()

    run(there, body)
    assert there.server.state.rows == [1]


def test_with_a_time_limit_of_commands_and_somebody_who_listens() -> None:
    there = world()
    heard: list[LoggedQuery] = []
    there.connection.add_query_logger(heard.append)
    there.connection._command_timeout = 5
    there.connection._long_way = True

    async def body(connection: Connection) -> None:
        transaction = connection.transaction()
        await transaction.start()
        async with connection.transaction():
            await connection.execute("INSERT 1")
        await transaction.commit()
        async with connection.transaction():
            await connection.execute("INSERT 2")

    run(there, body)
    there.loop.run()
    assert there.server.state.rows == [1, 2]
    words = [record.query.split()[0].rstrip(";") for record in heard]
    assert words == ["BEGIN", "SAVEPOINT", "INSERT", "RELEASE", "COMMIT", "BEGIN", "INSERT", "COMMIT"]


def test_a_commit_that_takes_too_long() -> None:
    there = world()
    there.connection._command_timeout = 5

    async def body(connection: Connection) -> None:
        transaction = connection.transaction()
        await transaction.start()
        there.loop.ports[0].carry = lambda: False  # type: ignore[method-assign]
        try:
            await transaction.commit()
        finally:
            there.loop.ports[0].__dict__.pop("carry")

    with pytest.raises(OperationTimeoutError):
        run(there, body)
    there.loop.run()
    assert not there.connection.is_in_transaction()
    assert not there.loop.failures


def test_a_begin_that_the_server_refuses() -> None:
    there = world()
    heard: list[LoggedQuery] = []
    there.connection.add_query_logger(heard.append)
    ran = there.server._run

    def refuse(sql: str, parameters: tuple[bytes | None, ...]) -> tuple[str | None, bytes | None]:
        return ran("FAIL" if sql.startswith("BEGIN") else sql, parameters)

    there.server._run = refuse  # type: ignore[method-assign]

    async def by_hand(connection: Connection) -> None:
        await connection.transaction().start()

    async def block(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("INSERT 1")

    async def hidden(connection: Connection) -> None:
        async with connection.transaction():
            with pytest.raises(DivisionByZeroError):
                await connection.execute("INSERT 1")
            await connection.ping()
            with pytest.raises(InterfaceError, match="the transaction could not begin"):
                await connection.execute("INSERT 2")

    for body in (by_hand, block):
        with pytest.raises(DivisionByZeroError):
            run(there, body)
        assert not there.connection.is_in_transaction()
    with pytest.raises(InterfaceError, match="cannot commit; the transaction could not begin") as caught:
        run(there, hidden)
    there.loop.run()
    assert isinstance(caught.value.__cause__, DivisionByZeroError)
    assert there.server.state.rows == []
    assert isinstance(heard[0].exception, DivisionByZeroError)


def test_isolation_inside_of_what_the_user_has_begun() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.transaction(), connection.transaction(isolation="serializable"):
            raise AssertionError

    with pytest.raises(ProtocolError, match="the answer to SHOW transaction_isolation is not a text"):
        run(there, body)
    assert there.server.log[-1] == "ROLLBACK"


def test_prepared_transactions() -> None:
    there = world()
    run(there, lambda connection: connection.commit_prepared("it's"))
    run(there, lambda connection: connection.rollback_prepared("other", timeout=3))
    assert there.server.log[-2:] == ["COMMIT PREPARED 'it''s'", "ROLLBACK PREPARED 'other'"]

    async def body(connection: Connection) -> None:
        async with connection.transaction(prepare_as="mine"):
            pass

    run(there, body)
    assert there.server.log[-1] == "PREPARE TRANSACTION 'mine'"


def test_a_commit_with_an_error_is_told_to_who_listens() -> None:
    there = world()
    heard: list[LoggedQuery] = []
    there.connection.add_query_logger(heard.append)

    async def body(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("DEFER 22012")

    with pytest.raises(DivisionByZeroError):
        run(there, body)
    there.loop.run()
    assert heard[-1].query.startswith("COMMIT")
    assert isinstance(heard[-1].exception, DivisionByZeroError)


def test_a_block_on_a_connection_that_is_closed_in_it() -> None:
    there = world()

    async def body(connection: Connection) -> None:
        async with connection.transaction():
            connection.terminate()

    with pytest.raises(InterfaceError, match="connection is closed"):
        run(there, body)


# Types


def test_codecs_of_a_connection() -> None:
    there = world()
    define(there.cluster, *TYPES)
    connection = there.connection
    finish = there.loop.finish
    assert finish(connection.fetchval(GOOD)) == "good"
    finish(connection.set_type_codec("mood", encoder=str.lower, decoder=str.upper))
    assert finish(connection.fetchval(GOOD)) == "GOOD"
    finish(connection.reset_type_codec("mood"))
    assert finish(connection.fetchval(GOOD)) == "good"
    there.loop.call(connection.declare_codecs, TypeCodec("mood", encoder=str, decoder=len))
    assert finish(connection.fetchval(GOOD)) == 4
    finish(connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=lambda text: -int(text)))
    assert finish(connection.fetchval("SELECT $1", 7)) == -7
    finish(connection.reset_type_codec("int4", schema="pg_catalog"))
    assert finish(connection.fetchval("SELECT $1", 7)) == 7


def test_types_that_do_not_exist() -> None:
    there = world()
    for call in (
        there.connection.reset_type_codec("mood"),
        there.connection.set_type_codec("mood", encoder=str, decoder=str),
        there.connection.load_types("mood"),
    ):
        with pytest.raises(ValueError, match=r"unknown type: public\.mood"):
            there.loop.finish(call)
    there.cluster.question_error = ("22012", "no")
    with pytest.raises(DivisionByZeroError):
        there.loop.finish(there.connection.load_types("mood"))


def test_types_that_are_asked_for_beforehand() -> None:
    there = world()
    define(there.cluster, *TYPES)
    there.loop.finish(there.connection.load_types())
    assert there.cluster.questions == []
    there.loop.finish(there.connection.load_types("mood", "pair"))
    questions = list(there.cluster.questions)
    assert len(questions) == 2
    assert there.loop.finish(there.connection.fetchval(GOOD)) == "good"
    assert there.cluster.questions == questions
    there.loop.finish(there.connection.reload_schema_state())
    assert there.loop.finish(there.connection.fetchval(GOOD)) == "good"
    assert there.cluster.questions == [*questions, (MOOD,)]


def test_the_codec_of_a_core_type() -> None:
    there = world()
    define(there.cluster, *TYPES)
    with pytest.raises(InterfaceError):
        there.loop.finish(there.connection.set_builtin_type_codec("pair", codec_name="int"))
    with pytest.raises(InterfaceError, match="no_such"):
        there.loop.finish(there.connection.set_builtin_type_codec("mood", codec_name="no_such"))
    with pytest.raises(ValueError, match=r"unknown type: public\.nothing"):
        there.loop.finish(there.connection.set_builtin_type_codec("nothing", codec_name="text"))


def plus(number: int, text: str) -> int:
    return int(text) + number


def test_codecs_of_single_queries_are_kept_for_some_of_them() -> None:
    there = world()
    for number in range(300):
        codec = TypeCodec(
            "int4", schema="pg_catalog", encoder=str, decoder=lambda text, number=number: int(text) + number
        )  # type: ignore[misc]
        for codecs in ((codec,), [codec]):
            assert there.loop.finish(there.connection.fetchval("SELECT $1", 1, codecs=codecs)) == 1 + number
    assert len(there.connection._layers) < 300
    assert there.loop.finish(there.connection.fetchval("SELECT $1", 1, codecs=[])) == 1
