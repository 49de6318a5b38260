"""Queries: fetch, fetchrow, fetchval, execute, executemany."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import decimal
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.clients import Client
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.mark.checklist("Q-1")
async def test_arguments_have_the_types_that_the_server_tells(connection: Any) -> None:
    row = await connection.fetchrow(
        "SELECT $1::int8 AS a, $2 || 'x' AS b, $3::numeric", 2**40, "y", decimal.Decimal("1.50")
    )
    assert tuple(row) == (2**40, "yx", decimal.Decimal("1.50"))
    assert str(row[2]) == "1.50"


@pytest.mark.checklist("Q-2")
@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("SELECT 1", "SELECT 1"),
        ("CREATE TEMP TABLE t (a int)", "CREATE TABLE"),
        ("CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1), (2)", "INSERT 0 2"),
        (
            "CREATE TEMP TABLE t AS SELECT generate_series(1, 3) AS a; UPDATE t SET a = 0; DELETE FROM t WHERE a = 0",
            "DELETE 3",
        ),
        ("BEGIN", "BEGIN"),
        ("CREATE TEMP TABLE t (a int); COPY t TO '/dev/null'", "COPY 0"),
        ("SELECT generate_series(1, 1000); SELECT 2;", "SELECT 1"),
    ],
)
async def test_execute_returns_the_last_status(connection: Any, script: str, status: str) -> None:
    assert await connection.execute(script) == status


@pytest.mark.checklist("Q-2")
async def test_a_script_is_one_transaction(connection: Any, client: Client) -> None:
    with pytest.raises(client.DivisionByZeroError):
        await connection.execute("CREATE TEMP TABLE t (a int); SELECT 1/0")
    assert await connection.fetchval("SELECT to_regclass('pg_temp.t')::text") is None


@pytest.mark.checklist("Q-3")
async def test_execute_with_arguments(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    assert await connection.execute("INSERT INTO t SELECT generate_series(1, $1::int)", 5) == "INSERT 0 5"
    assert await connection.execute("SELECT * FROM t WHERE a > $1", 2) == "SELECT 3"
    with pytest.raises(client.PostgresSyntaxError, match="cannot insert multiple commands into a prepared statement"):
        await connection.execute("SELECT $1::int; SELECT 2", 5)


@pytest.mark.checklist("Q-4")
@pytest.mark.parametrize("method", ["fetch", "fetchrow", "fetchval"])
async def test_only_one_statement_can_be_fetched(connection: Any, client: Client, method: str) -> None:
    with pytest.raises(client.PostgresSyntaxError, match="cannot insert multiple commands into a prepared statement"):
        await getattr(connection, method)("SELECT 1; SELECT 2")
    assert await connection.fetchval("SELECT 3") == 3


@pytest.mark.checklist("Q-5")
@pytest.mark.parametrize("method", ["fetchrow", "fetchval"])
async def test_later_rows_are_not_computed(connection: Any, method: str) -> None:
    got = await getattr(connection, method)("SELECT 6 / (3 - i) AS a FROM generate_series(1, 5) AS i")
    assert got in (3, (3,))


@pytest.mark.checklist("Q-6")
async def test_fetchval_takes_a_column(connection: Any) -> None:
    query = "SELECT 1 AS a, 'x' AS b, NULL AS c"
    assert await connection.fetchval(query) == 1
    assert await connection.fetchval(query, column=1) == "x"
    assert await connection.fetchval(query, column=-2) == "x"
    assert await connection.fetchval(query, column="b") == "x"
    assert await connection.fetchval(query, column="c") is None
    assert await connection.fetchval("SELECT 1 WHERE false") is None
    with pytest.raises(IndexError, match="record index out of range"):
        await connection.fetchval(query, column=3)
    with pytest.raises(KeyError, match="z"):
        await connection.fetchval(query, column="z")
    assert await connection.fetchval("SELECT 1 WHERE false", column=7) is None


@pytest.mark.checklist("Q-7")
@pytest.mark.parametrize("empty", ["", " ", ";", "-- nothing", "/* nothing */"])
async def test_an_empty_query_has_no_rows(connection: Any, empty: str) -> None:
    assert await connection.fetch(empty) == []
    assert await connection.fetchrow(empty) is None
    assert await connection.fetchval(empty) is None


@pytest.mark.differs(
    asyncpg="raises `AttributeError` from `execute('')`, and from a text that is only a comment.",
    ours='`execute` returns `""`: there was no command, so there is no status.',
)
@pytest.mark.parametrize("empty", ["", "-- nothing"])
async def test_an_empty_script_has_no_status(connection: Any, empty: str) -> None:
    assert await connection.execute(empty) == ""


async def test_no_rows(connection: Any) -> None:
    assert await connection.fetch("SELECT 1 AS a WHERE false") == []
    assert await connection.fetchrow("SELECT 1 AS a WHERE false") is None
    (row,) = await connection.fetch("SELECT")
    assert len(row) == 0


async def test_a_statement_without_rows(connection: Any) -> None:
    assert await connection.fetch("CREATE TEMP TABLE t (a int)") == []
    assert await connection.fetch("INSERT INTO t VALUES ($1) RETURNING a + 1 AS b", 1) == [(2,)]
    assert await connection.fetchval("INSERT INTO t VALUES (1)") is None
    assert await connection.fetchval("SELECT count(*) FROM t") == 2


async def test_a_large_result(connection: Any) -> None:
    rows = await connection.fetch("SELECT i, repeat('x', 100) FROM generate_series(1, 20000) AS i")
    assert len(rows) == 20000
    assert [row[0] for row in rows] == list(range(1, 20001))


async def test_large_values_both_ways(connection: Any) -> None:
    data = bytes(range(256)) * 16384  # 4 MiB, more than any socket's buffers hold
    row = await connection.fetchrow("SELECT $1::bytea AS a, md5($1::bytea) AS b, $2::text AS c", data, "é" * 1_000_000)
    assert row["a"] == data
    assert row["c"] == "é" * 1_000_000


# executemany


@pytest.mark.checklist("Q-8")
@pytest.mark.parametrize("count", [1, 3, 20_000])
async def test_executemany_takes_any_iterable(connection: Any, count: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b text)")
    assert await connection.executemany("INSERT INTO t VALUES ($1, $2)", ((i, str(i)) for i in range(count))) is None
    assert tuple(await connection.fetchrow("SELECT count(*), sum(a), max(length(b)) FROM t")) == (
        count,
        count * (count - 1) // 2,
        len(str(count - 1)),
    )
    assert await connection.executemany("INSERT INTO t VALUES ($1, $2)", [[1, "a"], (2, "b")]) is None
    assert await connection.fetchval("SELECT count(*) FROM t") == count + 2


@pytest.mark.checklist("Q-8")
async def test_executemany_of_nothing_does_nothing(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    await connection.executemany("INSERT INTO t VALUES ($1)", [])
    await connection.executemany("INSERT INTO t VALUES ($1)", iter(()))
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("Q-8")
@pytest.mark.parametrize("good", [0, 5, 20_000])
async def test_a_bad_value_undoes_executemany(connection: Any, client: Client, good: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    values: list[Any] = [(i,) for i in range(good)] + [("x",)]
    with pytest.raises(client.DataError) as caught:
        await connection.executemany("INSERT INTO t VALUES ($1)", values)
    assert f"invalid input for query argument $1 in element #{good} of executemany() sequence: 'x'" in str(caught.value)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    assert not connection.is_in_transaction()


@pytest.mark.checklist("Q-8")
@pytest.mark.parametrize("good", [0, 5, 20_000])
async def test_an_element_must_be_a_sequence(connection: Any, client: Client, good: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    values: list[Any] = [(i,) for i in range(good)] + [7]
    with pytest.raises(client.DataError) as caught:
        await connection.executemany("INSERT INTO t VALUES ($1)", values)
    assert f"invalid input in executemany() argument sequence element #{good}: expected a sequence, got int" in str(
        caught.value
    )
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("Q-8")
@pytest.mark.parametrize("good", [0, 5, 20_000])
async def test_the_iterables_own_error_is_raised(connection: Any, good: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")

    def values() -> Iterator[tuple[int]]:
        for i in range(good):
            yield (i,)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await connection.executemany("INSERT INTO t VALUES ($1)", values())
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    assert not connection.is_in_transaction()


@pytest.mark.checklist("Q-8")
@pytest.mark.parametrize("bad", [0, 5, 15_000])
async def test_a_server_error_undoes_executemany(connection: Any, client: Client, bad: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int CHECK (a >= 0))")
    values = [(-1 if i == bad else i,) for i in range(20_000)]
    with pytest.raises(client.CheckViolationError):
        await connection.executemany("INSERT INTO t VALUES ($1)", values)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("Q-8")
async def test_a_bad_value_in_a_transaction_leaves_it_usable(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    async with connection.transaction():
        await connection.execute("INSERT INTO t VALUES (-5)")
        with pytest.raises(client.DataError):
            await connection.executemany("INSERT INTO t VALUES ($1)", [(1,), ("x",)])
        assert connection.is_in_transaction()
        await connection.execute("INSERT INTO t VALUES (-6)")
    assert await connection.fetchval("SELECT count(*) FROM t WHERE a < 0") == 2


@pytest.mark.checklist("Q-8")
async def test_a_server_error_in_executemany_aborts_the_transaction(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int CHECK (a >= 0))")
    with pytest.raises(client.InFailedSQLTransactionError):
        async with connection.transaction():
            with pytest.raises(client.CheckViolationError):
                await connection.executemany("INSERT INTO t VALUES ($1)", [(1,), (-1,)])
            await connection.fetchval("SELECT 1")
    assert not connection.is_in_transaction()


@pytest.mark.checklist("Q-10")
async def test_executemany_counts_arguments(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int, b int)")
    with pytest.raises(client.InterfaceError, match="the server expects 2 arguments for this query, 1 was passed"):
        await connection.executemany("INSERT INTO t VALUES ($1, $2)", [(1, 2), (3,)])
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.checklist("Q-8")
async def test_what_was_sent_in_a_transaction_stays(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a text)")
    async with connection.transaction():
        with pytest.raises(client.DataError, match=r"\$1 in element #20000 of executemany\(\) sequence"):
            await connection.executemany("INSERT INTO t VALUES ($1)", [*(("x" * 100,) for _ in range(20_000)), (5,)])
        assert connection.is_in_transaction()
        kept = await connection.fetchval("SELECT count(*) FROM t")
        assert 0 < kept <= 20_000
    assert await connection.fetchval("SELECT count(*) FROM t") == kept


@pytest.mark.checklist("Q-8")
async def test_a_server_error_ends_the_sending(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int CHECK (a > 0), b text)")
    endless = ((n, "x" * 1000) for n in itertools.count())
    with anyio.fail_after(20), pytest.raises(client.CheckViolationError):
        await connection.executemany("INSERT INTO t VALUES ($1, $2)", endless)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def numbers(count: int, last: object = None) -> AsyncIterator[Any]:
    for number in range(count):
        await anyio.lowlevel.checkpoint()
        yield (number,)
    if isinstance(last, Exception):
        raise last
    if last is not None:
        yield last


@pytest.mark.checklist("Q-8", "Q-9")
@pytest.mark.differs(
    asyncpg="takes no asynchronous iterable in `executemany()` and `fetchmany()`.",
    ours="Any iterable or asynchronous iterable; the error names the element.",
)
@pytest.mark.parametrize("count", [0, 1, 2, 3000])
async def test_elements_that_are_awaited(connection: Any, client: Client, count: int) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    insert = "INSERT INTO t VALUES ($1) RETURNING a"
    total = "SELECT count(*) FROM t"
    assert await connection.executemany(insert, numbers(count)) is None
    assert await connection.fetchval(total) == count
    assert [row[0] for row in await connection.fetchmany(insert, numbers(count))] == list(range(count))
    statement = await connection.prepare(insert)
    await statement.executemany(numbers(count))
    assert len(await statement.fetchmany(numbers(count))) == count
    assert await connection.fetchval(total) == 4 * count
    async with make_pool(client) as pool:
        assert len(await pool.fetchmany("SELECT $1::int", numbers(count))) == count
    for last, error, text in (
        (("x",), client.DataError, rf"\$1 in element #{count} of executemany\(\) sequence: 'x'"),
        (5, client.DataError, f"executemany\\(\\) argument sequence element #{count}: expected a sequence, got int"),
        (LookupError("mine"), LookupError, "mine"),
        ((0, 0), client.InterfaceError, "the server expects 1 argument"),
    ):
        with pytest.raises(error, match=text):
            await connection.executemany(insert, numbers(count, last))
        assert await connection.fetchval(total) == 4 * count
        assert not connection.is_in_transaction()


@pytest.mark.checklist("Q-8")
@pytest.mark.differs(
    asyncpg="takes no asynchronous iterable in `executemany()`.",
    ours="A generator is closed when it is not asked any more, and may not use the connection that waits for it.",
)
async def test_a_generator_of_elements(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int CHECK (a < 3))")
    closed = 0

    async def endless(uses_it: bool = False) -> AsyncIterator[tuple[int]]:
        nonlocal closed
        try:
            for number in itertools.count():
                yield (number,)
                await anyio.lowlevel.checkpoint()
                if uses_it:
                    await connection.fetchval("SELECT 1")
        finally:
            closed += 1

    with anyio.fail_after(20):
        with pytest.raises(client.CheckViolationError):
            await connection.executemany("INSERT INTO t VALUES ($1)", endless())
        assert closed == 1
        with pytest.raises(client.PostgresSyntaxError):
            await connection.executemany("INSER INTO t VALUES ($1)", endless())
        assert closed == 2
        with pytest.raises(client.InterfaceError, match="this task is in the middle of another one"):
            await connection.executemany("INSERT INTO t VALUES ($1)", endless(uses_it=True))
        assert closed == 3
        with anyio.move_on_after(0.01):
            await connection.executemany("SELECT $1::int", endless())
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


# values that cannot be decoded


class Undecodable:
    """A decoder that refuses a value."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, text: str) -> int:
        if text == "13":
            raise self.error
        return int(text)


@pytest.mark.checklist("Q-13")
@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("mine"), ZeroDivisionError()], ids=repr)
async def test_a_decoders_error_is_raised_as_it_is(connection: Any, error: Exception) -> None:
    await connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=Undecodable(error))
    query = "SELECT n FROM generate_series(1, 20) AS n"
    for _ in range(2):
        for method in (connection.fetch, connection.fetchmany):
            with pytest.raises(type(error)) as caught:
                await method(query, *([[()]] if method == connection.fetchmany else []))
            assert caught.value is error
        with pytest.raises(type(error)):
            await connection.fetchval("SELECT 13")
        assert await connection.fetchval("SELECT 12") == 12
    assert not connection.is_closed()


@pytest.mark.checklist("Q-13")
@pytest.mark.differs(
    asyncpg="does not say which value a decoder has refused.",
    ours="A note of the error names the column and its type.",
)
async def test_a_decoders_error_names_the_column(connection: Any) -> None:
    await connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=Undecodable(ValueError("mine")))
    with pytest.raises(ValueError, match="mine") as caught:
        await connection.fetch("SELECT 12 AS good, 13 AS bad")
    (note,) = caught.value.__notes__
    assert "bad" in note
    assert "int4" in note or "integer" in note
    assert await connection.fetchval("SELECT 1") == 1


# refused arguments


@pytest.mark.checklist("Q-10")
@pytest.mark.parametrize(
    ("query", "args", "text"),
    [
        ("SELECT 1", (1,), "the server expects 0 arguments for this query, 1 was passed"),
        ("SELECT $1::int", (), "the server expects 1 argument for this query, 0 were passed"),
        ("SELECT $1::int", (1, 2), "the server expects 1 argument for this query, 2 were passed"),
        ("SELECT $1::int, $2::int", (1,), "the server expects 2 arguments for this query, 1 was passed"),
    ],
)
async def test_the_number_of_arguments_is_checked(
    connection: Any, client: Client, query: str, args: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(client.InterfaceError) as caught:
        await connection.fetch(query, *args)
    assert caught.value.args == (text,)
    assert caught.value.hint is not None
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("Q-10")
@pytest.mark.differs(
    asyncpg="refuses more than 32767 arguments.",
    ours="takes 65535, which is what the protocol allows.",
)
async def test_many_arguments(connection: Any, client: Client) -> None:
    placeholders = ",".join(f"${i}::int" for i in range(1, 65536))
    assert await connection.fetchval(f"SELECT array_length(array[{placeholders}], 1)", *range(65535)) == 65535
    with pytest.raises(client.InterfaceError, match="the number of query arguments cannot exceed 65535"):
        await connection.fetchval("SELECT 1", *range(65536))
    assert await connection.fetchval("SELECT 1") == 1


REFUSED = [
    ("int4", "x"),
    ("int4", 2**31),
    ("int4", -(2**31) - 1),
    ("int2", 2**15),
    ("int8", 2**63),
    ("oid", -1),
    ("bool", 1),
    ("text", 5),
    ("text", b"x"),
    ("bytea", "x"),
    ("float8", "x"),
    ("date", "2024-01-01"),
    ("timestamptz", "now"),
    ("numeric", "x"),
    ("uuid", "x"),
    ("jsonb", {}),
    ("int4[]", 5),
    ("int4[]", ["x"]),
    ("int4[]", [[1], [2, 3]]),
]


@pytest.mark.checklist("Q-11")
@pytest.mark.parametrize(("type_name", "value"), REFUSED, ids=repr)
async def test_a_refused_argument_is_never_sent(connection: Any, client: Client, type_name: str, value: Any) -> None:
    async with connection.transaction():
        with pytest.raises(client.DataError) as caught:
            await connection.fetchval(f"SELECT 1::int, $1::{type_name}", value)
        shown = repr(value)
        assert str(caught.value).startswith(f"invalid input for query argument $1: {shown} (")
        assert not isinstance(caught.value, client.InterfaceError)
        assert isinstance(caught.value, client.PostgresError)
        assert caught.value.sqlstate == "22000"
        # Had it been sent, the transaction would be aborted.
        assert await connection.fetchval("SELECT 2") == 2


@pytest.mark.checklist("Q-11")
@pytest.mark.parametrize("query", ["SELECT $1::int4", "SELECT $1::int4[]"])
async def test_an_encoders_error_is_the_cause(connection: Any, client: Client, query: str) -> None:
    error = LookupError("mine")

    def encode(value: object) -> str:
        raise error

    await connection.set_type_codec("int4", schema="pg_catalog", encoder=encode, decoder=int)
    with pytest.raises(client.DataError, match=r"invalid input for query argument \$1: .*mine") as caught:
        await connection.fetch(query, [5] if "[]" in query else 5)
    assert caught.value.__cause__ is error


@pytest.mark.checklist("Q-11")
async def test_an_encoders_interface_error(connection: Any, client: Client) -> None:
    def encode(value: object) -> str:
        raise client.InterfaceError("no such thing")

    await connection.set_type_codec("int4", schema="pg_catalog", encoder=encode, decoder=int)
    with pytest.raises(client.InterfaceError, match=r"query argument \$2: no such thing"):
        await connection.fetch("SELECT $1::text, $2::int4", "a", 5)


@pytest.mark.checklist("Q-11")
async def test_a_long_value_is_cut_in_the_error(connection: Any, client: Client) -> None:
    with pytest.raises(client.DataError) as caught:
        await connection.fetchval("SELECT $1::text, $2::int", "a", "x" * 1000)
    assert f"invalid input for query argument $2: {repr('x' * 1000)[:40]}... (" in str(caught.value)


@pytest.mark.checklist("Q-12")
@pytest.mark.parametrize("method", ["fetch", "fetchrow"])
async def test_record_class(client: Client, method: str) -> None:
    class Default(client.Record):  # type: ignore[misc,name-defined]
        pass

    class Special(client.Record):  # type: ignore[misc,name-defined]
        def double(self) -> int:
            return int(self["a"]) * 2

    async with client.connect(record_class=Default) as connection:
        for _ in range(2):
            got = await getattr(connection, method)("SELECT 4 AS a")
            (row,) = got if method == "fetch" else (got,)
            assert type(row) is Default
            got = await getattr(connection, method)("SELECT 4 AS a", record_class=Special)
            (row,) = got if method == "fetch" else (got,)
            assert type(row) is Special
            assert row.double() == 8


@pytest.mark.checklist("Q-12", "CON-11")
async def test_record_class_is_checked(client: Client, connection: Any) -> None:
    class New(client.Record):  # type: ignore[misc,name-defined]
        def __new__(cls) -> Any:
            return None

    class Init(client.Record):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            pass

    with pytest.raises(client.InterfaceError, match=r"record_class is expected to be a subclass of asyncpg\.Record"):
        await connection.fetch("SELECT 1", record_class=dict)
    for wrong in (New, Init):
        with pytest.raises(client.InterfaceError, match=r"__new__|__init__"):
            await connection.fetch("SELECT 1", record_class=wrong)
    with pytest.raises(client.InterfaceError, match=r"record_class is expected to be a subclass of asyncpg\.Record"):
        async with client.connect(record_class=dict):
            pass


@pytest.mark.checklist("Q-14", "T-1")
async def test_timeout_of_a_query(connection: Any) -> None:
    for method, query in (
        ("fetch", "SELECT pg_sleep(60)"),
        ("execute", "SELECT pg_sleep(60)"),
        ("fetchval", "SELECT pg_sleep($1)"),
    ):
        args = (60,) if "$1" in query else ()
        with anyio.fail_after(20), pytest.raises(TimeoutError):
            await getattr(connection, method)(query, *args, timeout=0.05)
        assert await connection.fetchval("SELECT 7") == 7


@pytest.mark.checklist("Q-14")
@pytest.mark.parametrize("method", ["fetch", "fetchrow", "fetchval", "execute", "executemany"])
async def test_timeout_of_preparing(connection: Any, observer: Any, method: str) -> None:
    await observer.execute("DROP TABLE IF EXISTS locked; CREATE TABLE locked (a int)")
    arguments: list[Any] = [[(1,)]] if method == "executemany" else [1]
    async with observer.transaction():
        await observer.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        with anyio.fail_after(20), pytest.raises(TimeoutError):
            await getattr(connection, method)("SELECT a FROM locked WHERE a = $1", *arguments, timeout=0.02)
    assert await connection.fetchval("SELECT 7") == 7
    await observer.execute("DROP TABLE locked")


@pytest.mark.checklist("Q-14")
async def test_timeout_of_asking_about_types(connection: Any, observer: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.mood AS ENUM ('x')")
    async with observer.transaction():
        await observer.execute("SET LOCAL allow_system_table_mods TO on; LOCK TABLE pg_range IN ACCESS EXCLUSIVE MODE")
        with anyio.fail_after(20), pytest.raises(TimeoutError):
            await connection.fetch("SELECT 'x'::pg_temp.mood", timeout=0.05)
    assert await connection.fetchval("SELECT 'x'::pg_temp.mood") == "x"


@pytest.mark.checklist("Q-15")
@pytest.mark.parametrize("wrong", [True, False, "x", b"x"])
@pytest.mark.parametrize("method", ["fetch", "fetchrow", "fetchval", "execute"])
async def test_a_timeout_is_a_number(connection: Any, method: str, wrong: Any) -> None:
    with pytest.raises(
        ValueError, match=r"invalid timeout value: expected non-negative float|could not convert string"
    ):
        await getattr(connection, method)("SELECT 1", timeout=wrong)


@pytest.mark.checklist("Q-15")
@pytest.mark.differs(
    asyncpg='takes a text for a time limit, `timeout="1"`; what `float()` does not take is a `TypeError`.',
    ours="A time limit that is not a number is a `ValueError`.",
)
@pytest.mark.parametrize("wrong", ["1", b"1", [1]])
async def test_a_timeout_is_no_text(connection: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match="invalid timeout value: expected non-negative float"):
        await connection.fetch("SELECT 1", timeout=wrong)


@pytest.mark.checklist("Q-15")
@pytest.mark.parametrize("past", [0, -1, 0.0])
async def test_no_time_at_all(connection: Any, past: float) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    with pytest.raises(TimeoutError):
        await connection.fetch("INSERT INTO t VALUES (1)", timeout=past)
    with pytest.raises(TimeoutError):
        await connection.executemany("INSERT INTO t VALUES ($1)", [(1,)], timeout=past)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


# errors


async def test_an_error_of_the_server(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int CONSTRAINT positive CHECK (a > 0))")
    with pytest.raises(client.CheckViolationError) as caught:
        await connection.fetch("INSERT INTO t VALUES ($1)", -1)
    error = caught.value
    assert (error.sqlstate, error.constraint_name, error.table_name, error.severity) == (
        "23514",
        "positive",
        "t",
        "ERROR",
    )
    assert error.query == "INSERT INTO t VALUES ($1)"
    assert error.detail is not None
    assert str(error).endswith(f"DETAIL:  {error.detail}")
    assert await connection.fetchval("SELECT 1") == 1


async def test_position_of_a_syntax_error(connection: Any, client: Client) -> None:
    with pytest.raises(client.PostgresSyntaxError) as caught:
        await connection.fetch("SELECT 1 FRM x")
    assert caught.value.position == "14"


@pytest.mark.differs(
    asyncpg="sends text with U+0000 to the server, whose refusal aborts the transaction.",
    ours="Such text is refused before anything is sent.",
)
async def test_a_null_character_in_text(connection: Any, client: Client) -> None:
    async with connection.transaction():
        with pytest.raises(client.DataError):
            await connection.fetchval("SELECT $1::text", "a\0b")
        assert await connection.fetchval("SELECT 1") == 1
