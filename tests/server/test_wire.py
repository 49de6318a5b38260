"""What goes over the wire: round trips, formats, sizes, and what may come at any time."""

import io
import re
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pgsansio.enums import Format
from pgsansio.messages.backend import NotificationResponse, ParameterStatus
from pgsansio.messages.frontend import Query, Terminate
from pgsansio.testing.script import (
    ScriptedBackend,
    expect,
    hang_up,
    login,
    notice,
    ready,
    row,
    row_description,
    selected,
    send,
)
from tests.support.clients import Client, at_once, eventually
from tests.support.pools import make_pool
from tests.support.statements import statements
from tests.support.wire import Said, serving, tapped

pytestmark = [pytest.mark.anyio, pytest.mark.server]

CHUNK_BYTES = 524288


def texts(said: Said) -> str:
    """The letters that the client has sent."""
    return "".join(frame.tag for frame in said.frames if frame.sender == ">")


@pytest.mark.checklist("W-1")
@pytest.mark.differs(
    asyncpg="takes two round trips for a new statement: it is described before it is executed.",
    ours="Without arguments it takes one; with arguments, too, if another connection of the pool knows the statement.",
)
async def test_a_new_statement_may_take_one(client: Client) -> None:
    async with tapped(client) as (client, wire):
        async with client.connect() as connection:
            with wire.said() as said:
                assert await connection.fetch("SELECT 1") == [(1,)]
        assert re.fullmatch("PDS?BES", texts(said))
        assert said.round_trips == 1
        async with make_pool(client, 2, 2) as pool, pool.acquire() as one, pool.acquire() as other:
            assert await one.fetch("SELECT $1::int", 1) == [(1,)]
            with wire.said() as said:
                assert await other.fetch("SELECT $1::int", 2) == [(2,)]
        assert re.fullmatch("PDS?BES", texts(said))
        assert said.round_trips == 1


@pytest.mark.checklist("W-1")
async def test_a_statement_that_is_known_takes_one_round_trip(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        assert await connection.fetchval("SELECT $1::int", 1) == 1
        with wire.said() as said:
            assert await connection.fetchval("SELECT $1::int", 2) == 2
    # fetchval() asks for one row, so the portal is suspended.
    assert said == ["> BES", "< 2DsZ"]


@pytest.mark.checklist("W-1")
async def test_a_statement_that_is_new_takes_two(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        with wire.said() as said:
            assert await connection.fetch("SELECT $1::int", 1) == [(1,)]
    assert re.fullmatch("PD[HS]BES", texts(said))
    assert said.round_trips == 2


@pytest.mark.checklist("W-1", "TX-1")
@pytest.mark.differs(
    asyncpg="takes two round trips for a statement that is new.",
    ours="One is enough outside of a transaction if it has no arguments, and anywhere if another of the pool's "
    "connections has prepared it.",
)
async def test_a_new_statement_takes_one(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        with wire.said() as said:
            assert await connection.fetch("SELECT 1") == [(1,)]
    assert said.round_trips == 1


@pytest.mark.differs(
    asyncpg="takes a round trip for BEGIN.",
    ours="BEGIN goes out with the first statement of an `async with` block, in one group.",
)
async def test_a_transaction_takes_two(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        await connection.fetchval("SELECT $1::int", 1)
        with wire.said() as said:
            async with connection.transaction():
                assert await connection.fetch("SELECT $1::int", 2) == [(2,)]
    assert said.round_trips == 2
    assert texts(said) == "PBEBESQ"


@pytest.mark.checklist("W-2")
@pytest.mark.parametrize(
    ("query", "formats"),
    [
        ("SELECT 1, 'x'::text, now()", [Format.BINARY] * 3),
        ("SELECT 1, '=r/postgres'::aclitem, 2", [Format.BINARY, Format.TEXT, Format.BINARY]),
        ("SELECT '=r/postgres'::aclitem", [Format.TEXT]),
    ],
)
async def test_results_are_binary_where_they_can(client: Client, query: str, formats: list[Format]) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        with wire.said() as said:
            await connection.fetch(query)
    # One that was tried in binary, and refused, is repeated.
    asked = list(said.sent("B")[-1].result_formats)
    if len(asked) <= 1:  # one for all of them; none: text
        asked = (asked or [Format.TEXT]) * len(formats)
    assert asked == formats


@pytest.mark.checklist("W-3", "Q-8")
async def test_many_executions_have_one_sync(client: Client) -> None:
    count = 20_000
    sent_before_the_last_was_taken = 0

    async with tapped(client) as (client, wire), client.connect() as connection:
        await connection.execute("CREATE TEMP TABLE t (a text)")

        def elements() -> Iterator[tuple[str]]:
            nonlocal sent_before_the_last_was_taken
            for _ in range(count):
                yield ("x" * 100,)
            sent_before_the_last_was_taken = sum(frame.tag == "B" for frame in wire.frames)

        with wire.said() as said:
            await connection.executemany("INSERT INTO t VALUES ($1)", elements())
    assert re.fullmatch(r"P?D?[HS]?(BE){20000}S", texts(said)[-(2 * count + 4) :])
    assert sent_before_the_last_was_taken > count // 10, "they are sent while they are taken"


@pytest.mark.checklist("W-4")
async def test_copy_of_a_file(client: Client) -> None:
    data = b"1234567\n" * 200_000
    async with tapped(client) as (client, wire), client.connect() as connection:
        await connection.execute("CREATE TEMP TABLE t (a int)")
        with wire.said() as said:
            assert await connection.copy_to_table("t", source=io.BytesIO(data)) == "COPY 200000"
    assert re.fullmatch("Qd+cS?", texts(said))
    (query,) = said.sent("Q")
    assert query.query.startswith('COPY "t" FROM STDIN')
    pieces = [frame.body for frame in said.frames if frame.tag == "d"]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= CHUNK_BYTES
    assert len(pieces) < 100


@pytest.mark.checklist("W-4")
async def test_copy_of_records(client: Client) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        await connection.execute("CREATE TEMP TABLE t (a int, b text)")
        with wire.said() as said:
            records = ((n, "x" * 40) for n in range(20_000))
            assert await connection.copy_records_to_table("t", records=records) == "COPY 20000"
    assert re.search("Qd+cS?$", texts(said))
    pieces = [frame.body for frame in said.frames if frame.tag == "d"]
    assert b"".join(pieces).startswith(b"PGCOPY\n\xff\r\n\0")
    assert max(map(len, pieces)) < CHUNK_BYTES + 1000
    assert len(pieces) < 100


@pytest.mark.checklist("T-8")
@pytest.mark.parametrize("size", [1, 20_000])
async def test_a_copy_that_fails(client: Client, size: int) -> None:
    text = "y" * size

    async def source() -> AsyncIterator[bytes]:
        yield b"1\n"
        raise LookupError(text)

    async with tapped(client) as (client, wire), client.connect() as connection:
        await connection.execute("CREATE TEMP TABLE t (a int)")
        with wire.said() as said:
            with pytest.raises(LookupError, match=f"^y{{{size}}}$"):
                await connection.copy_to_table("t", source=source())
            await eventually(lambda: any(frame.tag == "f" for frame in wire.frames))
        assert await connection.fetchval("SELECT count(*) FROM t") == 0
    (fail,) = said.sent("f")
    assert text not in fail.message, "the server's log is no place for it"
    assert 0 < len(fail.message) < 10_000


@pytest.mark.checklist("W-5")
async def test_what_may_come_at_any_time(client: Client) -> None:
    told = (ParameterStatus("TimeZone", "Asia/Tokyo"), notice(), NotificationResponse(1, "c", "payload"))
    answer = [
        *told,
        row_description(("a", 23)),
        *told,
        row(b"1"),
        *told,
        selected("SELECT 1"),
        *told,
        ready(),
    ]
    script = [
        *login(parameters={"client_encoding": "UTF8", "server_version": "16.4", "TimeZone": "UTC"}),
        expect(Query),
        send(*answer),
        expect(Query),
        send(*told, selected("SELECT 0"), ready()),
        expect(Terminate),
        hang_up(),
    ]
    async with serving(client, lambda: ScriptedBackend(script)) as client, client.connect() as connection:
        assert await connection.execute("SELECT a FROM t") == "SELECT 1"
        assert connection.get_settings().TimeZone == "Asia/Tokyo"
        assert await connection.execute("SELECT a FROM t") == "SELECT 0"


@pytest.mark.checklist("W-5")
async def test_notices_between_rows(connection: Any) -> None:
    await connection.execute(
        "CREATE FUNCTION pg_temp.tell(n int) RETURNS int LANGUAGE plpgsql AS "
        "'BEGIN RAISE NOTICE ''% of them'', n; RETURN n; END'"
    )
    rows = await connection.fetch("SELECT pg_temp.tell(n) FROM generate_series(1, 100) AS n")
    assert [row[0] for row in rows] == list(range(1, 101))


@pytest.mark.checklist("W-6")
async def test_rows_are_decoded_as_they_arrive(connection: Any, observer: Any) -> None:
    decoded = 0

    def decode(text: str) -> int:
        nonlocal decoded
        decoded += 1
        return int(text)

    await connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=decode)
    await observer.execute("SELECT pg_advisory_lock(4711)")
    query = "SELECT n, CASE WHEN n = 3000 THEN pg_advisory_lock(4711) END FROM generate_series(1, 3000) AS n"

    async def let_it_go_on() -> None:
        await eventually(lambda: decoded > 1000)
        await observer.execute("SELECT pg_advisory_unlock(4711)")

    rows, _ = await at_once([lambda: connection.fetch(query), let_it_go_on])
    assert [row[0] for row in rows] == list(range(1, 3001))


@pytest.mark.checklist("W-7", "T-1")
async def test_the_protocol_is_3_0(client: Client, observer: Any) -> None:
    async with tapped(client) as (client, wire), client.connect() as connection:
        pid = connection.get_server_pid()
        (start,) = [frame for frame in wire.frames if frame.sender == ">" and not frame.tag]
        assert struct.unpack_from("!HH", start.body) == (3, 0)
        (key,) = [frame for frame in wire.frames if frame.tag == "K"]
        assert len(key.body) == 8
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.05)
        assert await connection.fetchval("SELECT 1") == 1
    requests = [frame.body for frame in wire.frames if frame.connection and frame.sender == ">"]
    assert requests
    assert set(requests) == {struct.pack("!ii", 80877102, pid) + key.body[4:]}


# transactions


@pytest.mark.checklist("TX-3", "TX-4")
async def test_the_sql_of_transactions(client: Client, connection: Any) -> None:
    async with statements(client, connection) as found:
        async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
            await connection.execute("SELECT 1")
        async with connection.transaction():
            async with connection.transaction():
                await connection.execute("SELECT 2")
            inner = connection.transaction(isolation="read_committed")
            await inner.start()
            await connection.execute("SELECT 3")
            await inner.rollback()
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        await connection.execute("SELECT 4")
        await transaction.rollback()
    savepoint = r"__(?:asyncpg|pgsansio)_savepoint_[0-9a-f]+__"
    expected = [
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE", "SELECT 1", "COMMIT",
        "BEGIN", f"SAVEPOINT {savepoint}", "SELECT 2", f"RELEASE SAVEPOINT {savepoint}",
        "SHOW transaction_isolation", f"SAVEPOINT {savepoint}", "SELECT 3",
        f"ROLLBACK TO {savepoint}(?:; RELEASE SAVEPOINT {savepoint})?", "COMMIT",
        "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 4", "ROLLBACK",
    ]  # fmt: skip
    said = [text.removesuffix(";") for text in found]
    assert len(said) == len(expected)
    for text, pattern in zip(said, expected, strict=True):
        assert re.fullmatch(pattern, text)
