"""The guided tour: coroutines over a connection, which say what they do as they do it.

What a loop does its own way, many queries at once, is given by the adapter; so is the screen.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeAlias

from pgsansio.cli.text import Column, Table, value_text
from pgsansio.client import Connection
from pgsansio.errors import UniqueViolationError
from pgsansio.types import Notification

__all__ = ["CONCURRENT", "Screen", "Together", "seconds_text", "take"]

#: Queries of the step that shows pipelining.
CONCURRENT: Final = 50

_INSERT: Final = "INSERT INTO fruit (id, name, price) VALUES ($1, $2, $3)"
_LOOK_UP: Final = "SELECT name FROM fruit WHERE id = $1"
_NAMES: Final = ("apple", "pear", "plum", "quince", "medlar")

#: An expression of SQL for each type that the tour shows.
_TYPED: Final = (
    "42",
    "1.50::numeric(10, 2)",
    "'grün'::text",
    "true",
    "timestamptz '2026-01-31 12:00+01'",
    "date '2026-01-31'",
    "interval '1 day 2 hours'",
    "'6f2c1b3e-8d4a-4f0b-9c57-0a1b2c3d4e5f'::uuid",
    "ARRAY[1, 2, NULL]",
    "'\\xcafe'::bytea",
    "NULL::int",
)


class Screen(Protocol):
    """Where people read."""

    def heading(self, text: str) -> None: ...

    def say(self, text: str) -> None:
        """Plain words."""
        ...

    def code(self, text: str) -> None:
        """Lines as the user would write them."""
        ...

    def table(self, table: Table) -> None: ...

    def progress(self, total: int) -> AbstractContextManager[Callable[[], None]]:
        """A block in which something is done `total` times; what it gives is called once for each."""
        ...


#: Runs call(0) to call(count - 1) at the same time, each in a task of its own, until all have ended.
Together: TypeAlias = Callable[[Callable[[int], Awaitable[None]], int], Awaitable[None]]


async def take(connection: Connection, screen: Screen, rows: int, together: Together, together_code: str) -> None:
    """The whole tour.

    Args:
        rows: of its table, which is gone when the connection is closed.
        together_code: the code by which a user of this loop does what `together` does.
    Raises:
        As the methods of `Connection`.
    """
    version = connection.get_server_version()
    screen.say(f"Connected to PostgreSQL {version.major}.{version.micro}, a server of our own that is gone afterwards.")
    timings = await _fill(connection, screen, rows)
    await _types(connection, screen)
    await _savepoint(connection, screen)
    timings += await _pipeline(connection, screen, rows, together, together_code)
    timings += await _listen(connection, screen)
    screen.heading("Timings")
    screen.table(Table((Column("step"), Column("time", right=True), Column("rate", right=True)), tuple(timings)))


async def _fill(connection: Connection, screen: Screen, rows: int) -> list[tuple[str, str, str]]:
    screen.heading(f"1. {rows:,} rows by executemany()")
    screen.say("The rows come from an iterator and are taken as the server keeps up; all of them are kept, or none.")
    screen.code(f'await connection.executemany("{_INSERT}", rows)')
    await connection.execute("CREATE TEMPORARY TABLE fruit (id int PRIMARY KEY, name text NOT NULL, price float8)")

    def elements(count: Callable[[], None]) -> Iterator[Sequence[object]]:
        for number in range(rows):
            yield number, f"{_NAMES[number % len(_NAMES)]} {number}", number / 7
            count()

    began = connection._port.clock()
    with screen.progress(rows) as count:
        await connection.executemany(_INSERT, elements(count))
    seconds = connection._port.clock() - began
    stored = await connection.fetchval("SELECT count(*) FROM fruit")
    screen.say(f"The table has {stored:,} rows now.")
    return [(f"executemany, {rows:,} rows", seconds_text(seconds), _rate(rows, seconds, "rows"))]


async def _types(connection: Connection, screen: Screen) -> None:
    screen.heading("2. Values with their types")
    screen.say("Results arrive in PostgreSQL's binary format and become Python values, each of its own type.")
    screen.code(
        "row = await connection.fetchrow(\"SELECT 42, 1.50::numeric(10, 2), timestamptz '2026-01-31 12:00+01'\")"
    )
    row = await connection.fetchrow(f"SELECT {', '.join(_TYPED)}")
    screen.table(
        Table(
            (Column("SQL"), Column("Python type"), Column("value")),
            tuple(
                (expression, type(value).__name__, value_text(repr(value)))
                for expression, value in zip(_TYPED, row, strict=True)
            ),
        )
    )


async def _savepoint(connection: Connection, screen: Screen) -> None:
    screen.heading("3. A transaction, and a savepoint that is rolled back")
    screen.say(
        "A transaction() inside another one is a savepoint: what fails in it is undone, and the outer one goes on."
    )
    screen.code("async with connection.transaction(): ...")
    async with connection.transaction():
        await connection.execute("INSERT INTO fruit VALUES (-1, 'cherry', 2.5)")
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO fruit VALUES (-2, 'sloe', 0.5)")
                await connection.execute("INSERT INTO fruit VALUES (-1, 'cherry again', 2.5)")
        except UniqueViolationError as error:
            screen.say(f"The inner one failed: {error.message} (SQLSTATE {error.sqlstate}, {type(error).__name__}).")
    kept = await connection.fetch("SELECT name FROM fruit WHERE id < 0 ORDER BY id")
    screen.say(f"Kept after the commit: {', '.join(row['name'] for row in kept)}.")


async def _pipeline(
    connection: Connection, screen: Screen, rows: int, together: Together, together_code: str
) -> list[tuple[str, str, str]]:
    screen.heading(f"4. {CONCURRENT} queries at once, on this one connection")
    screen.say(
        "Tasks may share a connection: their queries are sent without waiting for each other's answers (pipelining), "
        "and an error of one does not touch the others."
    )
    screen.code(together_code)
    answers: dict[int, str] = {}

    async def look_up(number: int) -> None:
        answers[number] = await connection.fetchval(_LOOK_UP, number % rows)

    await look_up(0)  # so that neither of the two has to prepare the statement
    began = connection._port.clock()
    for number in range(CONCURRENT):
        await look_up(number)
    one_by_one = connection._port.clock() - began
    expected, answers = answers, {}
    began = connection._port.clock()
    await together(look_up, CONCURRENT)
    at_once = connection._port.clock() - began
    same = "the same" if answers == expected else "DIFFERENT"
    screen.say(
        f"One after the other: {seconds_text(one_by_one)}. At once: {seconds_text(at_once)}, with {same} answers. "
        "The server is on this machine; over a network the difference grows with the distance."
    )
    return [
        (f"{CONCURRENT} queries one by one", seconds_text(one_by_one), _rate(CONCURRENT, one_by_one, "queries")),
        (f"{CONCURRENT} queries at once", seconds_text(at_once), _rate(CONCURRENT, at_once, "queries")),
    ]


async def _listen(connection: Connection, screen: Screen) -> list[tuple[str, str, str]]:
    screen.heading("5. LISTEN and NOTIFY")
    screen.say("What any session sends to a channel arrives in an `async for`; here the connection hears itself.")
    screen.code('async for notification in connection.notifications("tour"): ...')
    async with connection.notifications("tour") as notifications:
        began = connection._port.clock()
        await connection.execute("NOTIFY tour, 'ripe'")
        notification = await anext(notifications)
        seconds = connection._port.clock() - began
    if isinstance(notification, Notification):
        screen.say(f"Received on {notification.channel!r}, from process {notification.pid}: {notification.payload!r}.")
    return [("NOTIFY to its arrival", seconds_text(seconds), "")]


def seconds_text(seconds: float) -> str:
    """Three digits and a unit: 1.23 s, 45.6 ms, 789 us."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        amount = seconds * factor
        if amount >= 1:
            return f"{amount:.{2 if amount < 10 else 1 if amount < 100 else 0}f} {unit}"
    return "0 us"


def _rate(count: int, seconds: float, what: str) -> str:
    return f"{count / seconds:,.0f} {what}/s" if seconds > 0 else ""
