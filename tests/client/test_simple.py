"""Statements without the extended protocol: what is sent, and what is made of the answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.client import Connection
from pgsansio.codecs.registry import Registry
from pgsansio.errors import (
    DataError,
    DivisionByZeroError,
    InterfaceError,
    InvalidValueError,
    PostgresSyntaxError,
    ProtocolError,
    UndefinedColumnError,
    UnsupportedClientFeatureError,
)
from pgsansio.kernel import Record
from pgsansio.messages.backend import CommandComplete, EmptyQueryResponse, ErrorResponse
from pgsansio.messages.frontend import Query
from pgsansio.simple_statement import SimpleStatement
from pgsansio.testing.loop import VirtualLoop
from pgsansio.testing.script import (
    ScriptedBackend,
    Step,
    error,
    expect,
    login,
    ready,
    row,
    row_description,
    selected,
    send,
)
from pgsansio.types import Result
from tests.client.test_hostile_server import connect

INT4, TEXT, JSONB = 23, 25, 3802
ON = {"standard_conforming_strings": "on"}
OFF = {"standard_conforming_strings": "off"}
IN_TRANSACTION, FAILED, IDLE = "T", "E", "I"


def statement(query: str, reported: dict[str, str] = ON) -> SimpleStatement:
    return SimpleStatement(query, Registry(), reported)


# The text


@pytest.mark.parametrize(
    ("query", "arguments", "text"),
    [
        ("SELECT 1", (), "SELECT 1"),
        ("SELECT $1", ("a",), "SELECT ('a')"),
        ("SELECT -$1", (-5,), "SELECT -('-5')"),
        ("SELECT $2, $1, $2 -- $1", (None, "'"), "SELECT (''''), (NULL), ('''') -- $1"),
        ("SELECT 'a'\n$1", ("b",), "SELECT 'a'\n('b')"),
        ("SELECT $1 $2$3", ("a",), "SELECT ('a') $2$3"),
        ("SELECT $1", ("$1 $2 ' \\",), "SELECT ( E'$1 $2 '' \\\\')"),
        ("SELECT $1::int;", (1,), "SELECT ('1')::int;"),
        ("", (), ""),
    ],
)
def test_the_text(query: str, arguments: tuple[object, ...], text: str) -> None:
    assert statement(query).text(arguments) == text


@pytest.mark.parametrize(
    ("query", "arguments", "expected"),
    [
        ("SELECT $1", (), "expects 1 argument for this query, 0 were passed"),
        ("SELECT $1, $3", (1, 2), "expects 3 arguments for this query, 2 were passed"),
        ("SELECT 1", (1,), "expects 0 arguments for this query, 1 was passed"),
        ("SELECT '$1'", (1,), "expects 0 arguments"),
        ("SELECT %s", (1,), r"(?s)expects 0 arguments.*parameters are written \$1"),
    ],
)
def test_the_number_of_arguments(query: str, arguments: tuple[object, ...], expected: str) -> None:
    with pytest.raises(InterfaceError, match=expected):
        statement(query).text(arguments)


def test_an_argument_that_is_no_sql() -> None:
    with pytest.raises(DataError, match=r"invalid input for query argument \$2: <object .*\(a value of type object"):
        statement("SELECT $1, $2").text((1, object()))
    with pytest.raises(DataError, match=r"query argument \$1: 'a\\x00' \(text cannot hold the character U\+0000"):
        statement("SELECT $1").text(("a\0",))


@pytest.mark.parametrize("query", ["SELECT 1; SELECT 2", "SELECT $1; DELETE FROM t", ";SELECT 1;;SELECT 2"])
def test_several_statements_are_refused(query: str) -> None:
    with pytest.raises(InterfaceError, match="cannot execute several statements here"):
        statement(query)


@pytest.mark.parametrize("query", ["SELECT 1;", "SELECT ';'", "SELECT 1 -- ;\n", "BEGIN ATOMIC SELECT 1; END", ""])
def test_one_statement_with_semicolons(query: str) -> None:
    assert statement(query).text(()) == query


@pytest.mark.parametrize("reported", [OFF, {}])
def test_what_is_quoted_has_to_be_known(reported: dict[str, str]) -> None:
    for query in ("SELECT '\\' || $1", "SELECT $1 -- \\"):
        with pytest.raises(InterfaceError, match="standard_conforming_strings is not on"):
            statement(query, reported)
        statement(query)
    assert statement("SELECT '\\'", reported).text(()) == "SELECT '\\'"
    # The argument's own backslashes are written so that both settings read them alike.
    assert statement("SELECT $1", reported).text(("\\'",)) == "SELECT ( E'\\\\''')"


def test_a_batch() -> None:
    many = statement("INSERT INTO t VALUES ($1, $2) --")
    data, count, exhausted = many.many(iter([(1, "a"), (None, ";")]), 0, first=True)
    assert (count, exhausted) == (2, True)
    assert data.decode() == ("INSERT INTO t VALUES (('1'), ('a')) --\n;\nINSERT INTO t VALUES ((NULL), (';')) --\n;\n")
    assert many.many(iter([]), 0, first=True) == (b"", 0, True)
    with pytest.raises(DataError, match=r"argument \$1 in element #3 of executemany\(\) sequence"):
        many.many(iter([(object(), 1)]), 3, first=False)
    with pytest.raises(DataError, match="element #0: expected a sequence, got int"):
        many.many(iter([1]), 0, first=True)
    with pytest.raises(InterfaceError, match="expects 2 arguments for this query, 1 was passed"):
        many.many(iter([(1,)]), 0, first=True)
    data, count, exhausted = statement("SELECT 1").many(iter([(), ()]), 0, first=True)
    assert (data, count, exhausted) == (b"SELECT 1\n;\nSELECT 1\n;\n", 2, True)


@pytest.mark.parametrize(
    "query", ["SELECT $1 /* x", "SELECT $1, 'x", "SELECT $1, $$x", 'SELECT $1 "x', "SELECT $1, E'\\'"]
)
def test_a_batch_of_what_has_no_end(query: str) -> None:
    """The next statement would begin in what is quoted, and its argument could end that."""
    with pytest.raises(InterfaceError, match="a quote or a comment in the query has no end"):
        statement(query).many(iter([("*/ 'x",), ("*/ 'x",)]), 0, first=True)


@pytest.mark.parametrize("padding", [0, 1000, 200_000])
def test_a_batch_has_an_end(padding: int) -> None:
    query = f"SELECT $1 /* {'x' * padding} */"
    data, count, exhausted = statement(query).many(iter([("a",)] * 100_000), 0, first=True)
    assert not exhausted
    assert count >= 1
    assert len(data) < 4 * 65536 or count == 1
    assert data.count(b";") == count


@given(st.lists(st.sampled_from(["$1", "$2", "a", " ", "'$1'", "é", "\n"])), st.tuples(st.text("ab'"), st.text("ab'")))
def test_positions(parts: list[str], arguments: tuple[str, str]) -> None:
    query = "".join([*parts, " $1 $2"])
    made = statement(query)
    pieces = made.pieces(arguments)
    text = "".join(pieces)
    found = [made.position_of(position, pieces) for position in range(1, len(text) + 2)]
    assert found == sorted(found)
    assert found[0] == 1
    assert found[-1] == len(query) + 1
    at = 0
    for index, piece in enumerate(pieces):
        for offset, character in enumerate(piece):
            there = query[found[at + offset] - 1]
            assert there == (character if index % 2 == 0 else "$")
        at += len(piece)


# A server


def simple(*steps: Step) -> tuple[VirtualLoop, Connection]:
    loop = VirtualLoop(lambda address: ScriptedBackend([*login(), *steps]))
    return loop, connect(loop, statement_mode="simple")


def answered(text: str, *answer: Any, status: str = IDLE) -> list[Step]:
    return [expect(Query(text)), send(*answer, ready(status))]


def ends(loop: VirtualLoop) -> None:
    """It did all that was expected, and nothing else."""
    loop.run()
    assert not loop.failures
    (port,) = loop.ports
    server = port.peer
    assert isinstance(server, ScriptedBackend)
    assert server.done


def test_fetch_and_its_kin() -> None:
    columns = row_description(("a", INT4), ("b", TEXT))
    rows = (columns, row(b"1", b"x"), row(b"2", None), selected("SELECT 2"))

    class Mine(Record):
        __slots__ = ()

    loop, connection = simple(
        *answered("SELECT ('x')", *rows),
        *answered("SELECT 1", *rows),
        *answered("SELECT 1", *rows),
        *answered("SELECT 1", *rows),
        *answered("UPDATE t SET a = ('1')", CommandComplete("UPDATE 3")),
        *answered("SELECT 1", columns, selected("SELECT 0")),
        *answered("", EmptyQueryResponse()),
    )
    found = loop.finish(connection.fetch("SELECT $1", "x", record_class=Mine))
    assert found == [(1, "x"), (2, None)]
    assert type(found[0]) is Mine
    assert loop.finish(connection.fetchrow("SELECT 1")) == (1, "x")
    assert loop.finish(connection.fetchval("SELECT 1", column="b")) == "x"
    assert loop.finish(connection.query("SELECT 1")) == Result([(1, "x"), (2, None)], "SELECT 2")
    assert loop.finish(connection.execute("UPDATE t SET a = $1", 1)) == "UPDATE 3"
    assert loop.finish(connection.fetchrow("SELECT 1")) is None
    assert loop.finish(connection.query("")) == Result([], "")
    assert connection._queries == 7
    ends(loop)


def test_an_error_is_told_in_the_words_of_the_query() -> None:
    fields = {"S": "ERROR", "V": "ERROR", "C": "42703", "M": "no", "P": "21"}
    loop, connection = simple(
        *answered("SELECT ('long'), nowhere", ErrorResponse(fields)),
        *answered("SELECT ('long'), nowhere", ErrorResponse(fields | {"P": "9" * 5000})),
        *answered("SELECT ('long')", ErrorResponse(fields | {"P": "9", "C": "42601"})),
        *answered("INSERT INTO t VALUES (('long'))\n;\n", ErrorResponse(fields)),
    )
    query = "SELECT $1, nowhere"
    with pytest.raises(UndefinedColumnError) as caught:
        loop.finish(connection.fetch(query, "long"))
    assert (caught.value.query, caught.value.position) == (query, "15")
    with pytest.raises(UndefinedColumnError) as caught:
        loop.finish(connection.fetch(query, "long"))
    assert caught.value.position is None
    with pytest.raises(PostgresSyntaxError) as syntax:
        loop.finish(connection.fetch("SELECT $1", "long"))
    assert syntax.value.position == "8"
    with pytest.raises(UndefinedColumnError) as caught:
        loop.finish(connection.executemany("INSERT INTO t VALUES ($1)", [("long",)]))
    assert (caught.value.query, caught.value.position) == ("INSERT INTO t VALUES ($1)", None)
    ends(loop)


def test_a_value_that_is_none() -> None:
    loop, connection = simple(
        *answered("SELECT 1", row_description(("a", INT4)), row(b"x"), selected()),
        *answered("SELECT 2", row_description(("a", INT4)), row(b"2"), selected()),
    )
    with pytest.raises(InvalidValueError, match="cannot decode column 1"):
        loop.finish(connection.fetch("SELECT 1"))
    assert loop.finish(connection.fetchval("SELECT 2")) == 2
    ends(loop)


def test_what_is_refused_is_not_sent() -> None:
    loop, connection = simple(*answered("SELECT 1", row_description(("a", INT4)), row(b"1"), selected()))
    with pytest.raises(DataError):
        loop.finish(connection.fetch("SELECT $1", object()))
    with pytest.raises(InterfaceError):
        loop.finish(connection.fetch("SELECT 1; SELECT 2"))
    with pytest.raises(InterfaceError, match="zero byte"):
        loop.finish(connection.fetch("SELECT '\0'"))
    with pytest.raises(TypeError, match="query is expected to be a str"):
        loop.finish(connection.fetch(b"SELECT 1"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="query is expected to be a str"):
        loop.finish(connection.executemany(None, []))  # type: ignore[arg-type]
    assert loop.finish(connection.fetchval("SELECT 1")) == 1
    ends(loop)


@pytest.mark.parametrize("method", ["prepare", "cursor", "stream", "pipeline", "copy_records_from_query"])
def test_what_needs_the_extended_protocol(method: str) -> None:
    loop, connection = simple(*answered("SELECT 1", row_description(("a", INT4)), row(b"1"), selected()))
    arguments = () if method == "pipeline" else ("SELECT 1",)

    async def call() -> None:
        await getattr(connection, method)(*arguments)

    with pytest.raises(UnsupportedClientFeatureError, match="statement_mode='simple'") as caught:
        loop.finish(call())
    assert caught.value.hint
    assert loop.finish(connection.fetchval("SELECT 1")) == 1
    ends(loop)


def test_a_transaction_begins_at_once() -> None:
    columns = row_description(("a", INT4))
    loop, connection = simple(
        *answered("BEGIN;", CommandComplete("BEGIN"), status=IN_TRANSACTION),
        *answered("SELECT ('1')", columns, row(b"1"), selected(), status=IN_TRANSACTION),
        expect(lambda message: isinstance(message, Query) and message.query.startswith("SAVEPOINT")),
        send(CommandComplete("SAVEPOINT"), ready(IN_TRANSACTION)),
        expect(lambda message: isinstance(message, Query) and message.query.startswith("RELEASE")),
        send(CommandComplete("RELEASE"), ready(IN_TRANSACTION)),
        *answered("COMMIT;", CommandComplete("COMMIT")),
    )

    async def run() -> None:
        async with connection.transaction():
            assert await connection.fetchval("SELECT $1", 1) == 1
            async with connection.transaction():
                pass

    loop.finish(run())
    ends(loop)


def elements(count: int) -> Iterator[tuple[int]]:
    yield from ((number,) for number in range(count))


def test_executemany_is_one_script() -> None:
    inserted = CommandComplete("INSERT 0 1")
    insert = "INSERT INTO t VALUES (('{}'))\n;\n"
    returned = (row_description(("a", INT4)), row(b"1"), CommandComplete("INSERT 0 1"))
    loop, connection = simple(
        *answered(insert.format(0) + insert.format(1), inserted, inserted),
        *answered(insert.format(0) + insert.format(1), *returned, *returned),
    )
    assert loop.finish(connection.executemany("INSERT INTO t VALUES ($1)", elements(2))) is None
    assert loop.finish(connection.executemany("INSERT INTO t VALUES ($1)", [])) is None
    assert loop.finish(connection.fetchmany("INSERT INTO t VALUES ($1)", [(0,), (1,)])) == [(1,), (1,)]
    ends(loop)


def scripts(texts: list[str]) -> Step:
    """Each of any number of scripts is carried out."""

    def step(server: ScriptedBackend) -> bool:
        message = server.take()
        while isinstance(message, Query) and message.query.startswith("INSERT"):
            texts.append(message.query)
            server.backend.send(CommandComplete("INSERT 0 1"), ready(IN_TRANSACTION))
            message = server.take()
        if message is not None:
            server._waiting.insert(0, message)
        return message is not None

    return step


def test_more_than_one_script_is_a_transaction() -> None:
    texts: list[str] = []
    begin = answered("BEGIN;", CommandComplete("BEGIN"), status=IN_TRANSACTION)
    rollback = answered("ROLLBACK;", CommandComplete("ROLLBACK"))
    loop, connection = simple(
        *begin, scripts(texts), *answered("COMMIT;", CommandComplete("COMMIT")),
        *begin, expect(Query), send(error("22012"), ready(FAILED)), *rollback,
        *begin, scripts([]), *rollback,
    )  # fmt: skip
    query = "INSERT INTO t VALUES ($1)"
    loop.finish(connection.executemany(query, elements(3000)))
    assert len(texts) > 1
    assert "".join(texts).count(";") == 3000
    with pytest.raises(DivisionByZeroError):
        loop.finish(connection.executemany(query, elements(3000)))

    def broken() -> Iterator[tuple[object]]:
        yield from elements(2990)
        yield (object(),)

    with pytest.raises(DataError, match="element #2990"):
        loop.finish(connection.executemany(query, broken()))
    assert not connection.is_in_transaction()
    ends(loop)


def test_in_a_transaction_there_is_no_other_one() -> None:
    texts: list[str] = []
    loop, connection = simple(
        *answered("BEGIN;", CommandComplete("BEGIN"), status=IN_TRANSACTION),
        scripts(texts),
        *answered("COMMIT;", CommandComplete("COMMIT")),
    )

    async def run() -> None:
        async with connection.transaction():
            await connection.executemany("INSERT INTO t VALUES ($1)", elements(3000))

    loop.finish(run())
    assert "".join(texts).count(";") == 3000
    ends(loop)


def test_a_sign_of_life() -> None:
    loop, connection = simple(
        *answered("", EmptyQueryResponse()),
        *answered("", error("08P01")),
    )
    loop.finish(connection.ping())
    loop.finish(connection.ping())
    ends(loop)


@pytest.mark.parametrize("answer", [EmptyQueryResponse(), CommandComplete("SELECT 0")])
def test_columns_that_are_not_described(answer: Any) -> None:
    loop, connection = simple(
        *answered('SELECT * FROM "t" LIMIT 0', answer),
        *answered("SELECT 1", row_description(("a", INT4)), row(b"1"), selected()),
    )
    with pytest.raises(ProtocolError, match="no description of its columns"):
        loop.finish(connection.copy_records_to_table("t", records=[]))
    assert loop.finish(connection.fetchval("SELECT 1")) == 1
    ends(loop)


def test_a_rule_makes_several_statements_of_one() -> None:
    columns = row_description(("a", INT4))
    loop, connection = simple(
        *answered("INSERT INTO v VALUES (1)", columns, row(b"1"), selected(), CommandComplete("INSERT 0 1")),
    )
    assert loop.finish(connection.query("INSERT INTO v VALUES (1)")) == Result([], "INSERT 0 1")
    ends(loop)
