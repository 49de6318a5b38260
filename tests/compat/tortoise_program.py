"""A program of Tortoise ORM's: what its sections found is printed as JSON.

Arguments: asyncpg, or pgsansio to install this library as asyncpg; then a server's host, port, user and password; the
database that the program makes and drops.
"""

import asyncio
import contextlib
import enum
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

DRIVER, HOST, PORT, USER, PASSWORD, DATABASE = sys.argv[1:]
if DRIVER == "pgsansio":
    from pgsansio_asyncio import install_as_asyncpg

    install_as_asyncpg()

import asyncpg  # noqa: E402
from tortoise import Tortoise, connections, fields  # noqa: E402
from tortoise.contrib.postgres.fields import ArrayField  # noqa: E402
from tortoise.exceptions import (  # noqa: E402
    DBConnectionError,
    DoesNotExist,
    IntegrityError,
    MultipleObjectsReturned,
    OperationalError,
    TransactionManagementError,
)
from tortoise.expressions import Case, F, Q, RawSQL, Subquery, When  # noqa: E402
from tortoise.functions import Avg, Coalesce, Count, Lower, Max, Min, Sum  # noqa: E402
from tortoise.models import Model  # noqa: E402
from tortoise.query_utils import Prefetch  # noqa: E402
from tortoise.transactions import atomic, in_transaction  # noqa: E402


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Color(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Everything(Model):
    id = fields.BigIntField(primary_key=True)
    small = fields.SmallIntField(null=True)
    number = fields.IntField(null=True)
    big = fields.BigIntField(null=True)
    text = fields.TextField(null=True)
    char = fields.CharField(max_length=30, null=True)
    truth = fields.BooleanField(null=True)
    real = fields.FloatField(null=True)
    exact = fields.DecimalField(max_digits=12, decimal_places=3, null=True)
    instant = fields.DatetimeField(null=True)
    day = fields.DateField(null=True)
    clock = fields.TimeField(null=True)
    lasting = fields.TimeDeltaField(null=True)
    key = fields.UUIDField(null=True)
    document: Any = fields.JSONField(null=True)
    data = fields.BinaryField(null=True)
    size: Any = fields.IntEnumField(Size, null=True)
    color: Any = fields.CharEnumField(Color, null=True)
    numbers: Any = ArrayField("int", null=True)
    texts: Any = ArrayField("text", null=True)

    class Meta:
        table_description = "one column of each type"


class Author(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=50, unique=True)
    born = fields.DateField(null=True)
    books: Any


class Tag(Model):
    id = fields.UUIDField(primary_key=True)
    name = fields.CharField(max_length=20)
    books: Any


class Book(Model):
    id = fields.IntField(primary_key=True)
    title = fields.CharField(max_length=100, db_index=True)
    price = fields.DecimalField(max_digits=8, decimal_places=2)
    pages = fields.IntField(default=0)
    author: Any = fields.ForeignKeyField("models.Author", related_name="books", on_delete=fields.CASCADE)
    tags: Any = fields.ManyToManyField("models.Tag", related_name="books", through="book_tag")
    created = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("title", "author"),)


class Cover(Model):
    book: Any = fields.OneToOneField("models.Book", related_name="cover", primary_key=True)
    image = fields.BinaryField()


SECTIONS: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {}


def section(function: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], Coroutine[Any, Any, Any]]:
    SECTIONS[function.__name__] = function
    return function


def database() -> Any:
    return connections.get("default")


async def failure(awaitable: Any) -> list[Any]:
    """What the ORM makes of an error, and what it makes it of."""
    try:
        await awaitable
    except Exception as error:
        cause = error.__cause__
        return [
            type(error).__name__,
            str(error),
            [base.__name__ for base in type(cause).__mro__ if not base.__name__.startswith("_")],
            getattr(cause, "sqlstate", None),
            getattr(cause, "constraint_name", None),
            getattr(cause, "detail", None),
        ]
    return ["nothing"]


async def library() -> list[Author]:
    """Three authors with their books."""
    tags = [await Tag.create(id=uuid.UUID(int=n), name=name) for n, name in enumerate(("dark", "short", "old"))]
    authors = []
    for count, name in enumerate(("Ann", "Bob", "Cid"), 1):
        authors.append(author := await Author.create(name=name, born=date(1900 + count, 1, count)))
        for number in range(count):
            book = await Book.create(
                title=f"{name} {number}", price=Decimal(5 * count) + Decimal("0.25"), pages=number * 100, author=author
            )
            await book.tags.add(*tags[: number + 1])
    return authors


@section
async def schema() -> Any:
    columns = await database().execute_query_dict(
        """
        SELECT c.relname, a.attname, a.attnum, a.atttypid::regtype::text AS type, a.atttypmod, a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid) AS default, a.attidentity
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 ORDER BY 1, 3
        """
    )
    assert len(columns) > 30
    indexes = await database().execute_query_dict("SELECT indexdef FROM pg_indexes WHERE schemaname = $1", ["public"])
    comment = await database().execute_query_dict("SELECT obj_description($1::text::regclass) AS it", ["everything"])
    assert comment[0]["it"] == "one column of each type"
    # Again, with tables that are there.
    await Tortoise.generate_schemas(safe=True)
    again = await failure(Tortoise.generate_schemas(safe=False))
    assert again[0] == "OperationalError"
    return columns, sorted(index["indexdef"] for index in indexes), again


@section
async def all_fields() -> Any:
    zone = timezone(timedelta(hours=5, minutes=30))
    rows: list[dict[str, Any]] = [
        {},
        {
            "small": -32768,
            "number": 2147483647,
            "big": -(2**63),
            "text": "häßlich ' \\ \n \U0001f600",
            "char": "",
            "truth": True,
            "real": 0.1,
            "exact": Decimal("123456789.125"),
            "instant": datetime(2024, 2, 29, 23, 59, 59, 999999, zone),
            "day": date(1, 1, 1),
            "clock": time(23, 59, 59, 999999, zone),
            "lasting": timedelta(days=-1, microseconds=1),
            "key": uuid.UUID(int=2**128 - 1),
            "document": {"a": [1, 2.5, None, True, {"ü": "ß"}], "b": "\\u0041"},
            "data": bytes(range(256)),
            "size": Size.LARGE,
            "color": Color.BLUE,
            "numbers": [1, 2, 3],
            "texts": ["a", "", "'\"{},"],
        },
        {
            "small": 0,
            "number": 0,
            "big": 0,
            "truth": False,
            "real": float("inf"),
            "exact": Decimal(0),
            "instant": datetime(9999, 12, 31, tzinfo=UTC),
            "day": date.max,
            "clock": time(0, 0, tzinfo=UTC),
            "lasting": timedelta(0),
            "key": uuid.UUID(int=0),
            "document": [],
            "data": b"",
            "size": Size.SMALL,
            "color": Color.RED,
            "numbers": [],
            "texts": [],
        },
    ]
    found = []
    for row in rows:
        made = await Everything.create(**row)
        read = await Everything.get(id=made.id)
        for name, value in row.items():
            if name != "clock":
                assert getattr(read, name) == value, (name, getattr(read, name))
        found.append([(name, repr(getattr(read, name))) for name in Everything._meta.fields_map])
    assert await Everything.filter(key=uuid.UUID(int=2**128 - 1)).count() == 1
    assert await Everything.filter(color=Color.RED, size__in=[Size.SMALL, Size.LARGE]).count() == 1
    assert await Everything.filter(lasting__lt=timedelta(0), exact__gt=Decimal(1)).count() == 1
    found.append(
        [repr(row) for row in await Everything.all().order_by("id").values_list("id", "key", "instant", "exact")]
    )
    found.append(
        [
            await Everything.filter(**condition).values_list("id", flat=True)
            for condition in (
                {"document__contains": {"b": "\\u0041"}},
                {"document__filter": {"b__contains": "0041"}},
                {"numbers__contains": [2]},
                {"numbers__overlap": [3, 4]},
                {"numbers__len": 3},
                {"instant__year": 2024},
                {"instant__day": 29},
                {"text__icontains": "HÄSS"},
                {"text__posix_regex": "h.*ch"},
                {"data": b""},
                {"texts": ["a", "", "'\"{},"]},
            )
        ]
    )
    # Values of a wrong type.
    wrong = ({"number": 2**31}, {"day": "tomorrow"}, {"numbers": ["x"]}, {"char": "x" * 31}, {"real": "much"})
    found.append([(await failure(Everything.create(**values)))[0] for values in wrong])
    found.append(await failure(database().execute_query("SELECT $1::int", ["one"])))
    found.append(await failure(database().execute_query("SELECT $1::int, $2::int", [1])))
    # asyncpg has the words of Python's own error for what is expected of a date.
    found.append((await failure(database().execute_query("SELECT $1::date", [5])))[2:])
    return found


@section
async def relations() -> Any:
    ann, bob, cid = await library()
    found: list[Any] = []
    books = await Book.all().order_by("id").prefetch_related("tags", "author")
    found.append([(book.title, book.author.name, sorted(tag.name for tag in book.tags)) for book in books])
    assert found[0][-1] == ("Cid 2", "Cid", ["dark", "old", "short"])
    authors = (
        await Author.all()
        .order_by("name")
        .prefetch_related(
            Prefetch("books", queryset=Book.filter(pages__gt=0).order_by("-title"), to_attr="thick"), "books__tags"
        )
    )
    found.append([(author.name, [book.title for book in author.thick], len(author.books)) for author in authors])  # type: ignore[attr-defined]
    found.append([book.title async for book in bob.books.order_by("title")])
    found.append(await Author.filter(books__tags__name="old").distinct().values_list("name", flat=True))
    book = await Book.get(title="Cid 2").select_related("author")
    await Cover.create(book=book, image=b"\x89PNG")
    found.append(repr((await Cover.get(book__author__name="Cid").prefetch_related("book__author")).book.author.name))
    found.append((await book.cover).image.hex())
    await book.tags.remove(await Tag.get(name="old"))
    found.append(sorted([tag.name async for tag in book.tags]))
    await book.tags.clear()
    found.append(await book.tags.all().count())
    found.append(await (await Tag.get(name="dark")).books.all().count())
    await cid.fetch_related("books")
    found.append(len(cid.books))
    await cid.delete()  # and its books, by the database
    found.append([await Book.all().count(), await Cover.all().count()])
    book.author = ann
    assert await Book.filter(author=ann).count() == 1
    await bob.refresh_from_db(fields=["name"])
    found.append(bob.name)
    return found


@section
async def queries() -> Any:
    await library()
    titles = Book.all().order_by("title")
    found: list[Any] = [
        await titles.filter(Q(title__startswith="Ann") | Q(pages__gte=200)).values_list("title", flat=True),
        await titles.filter(~Q(author__name="Cid"), pages__lt=100).values_list("title", "pages"),
        await titles.exclude(title__icontains="BOB").values("title", writer="author__name"),
        await titles.filter(pages__in=[100, 200]).count(),
        await titles.filter(pages__range=(50, 150)).exists(),
        await titles.filter(author__born__isnull=True).exists(),
        await titles.limit(2).offset(1).values_list("title", flat=True),
        repr(
            await Book.annotate(total=Sum("price"), mean=Avg("pages"), most=Max("price"), least=Min("pages"))
            .group_by()
            .values("total", "mean", "most", "least")
        ),
        repr(
            await Author.annotate(count=Count("books"), total=Sum("books__price"), mean=Avg("books__pages"))
            .filter(count__gte=2)
            .order_by("-count")
            .values("name", "count", "total", "mean")
        ),
        repr(
            await Book.annotate(count=Count("id"))
            .group_by("author__name")
            .order_by("author__name")
            .values_list("author__name", "count")
        ),
        await Author.annotate(lower=Lower("name")).filter(lower="ann").values_list("lower", flat=True),
        await Book.annotate(
            kind=Case(When(pages__gte=200, then="thick"), When(pages__gte=100, then="fine"), default="thin")
        )
        .order_by("title")
        .values_list("title", "kind"),
        await Book.filter(author_id__in=Subquery(Author.filter(name="Bob").values("id"))).count(),
        await Book.annotate(twice=RawSQL("pages * 2")).filter(twice__gt=300).values_list("twice", flat=True),
        [book.title for book in await Book.raw("SELECT * FROM book WHERE pages = 0 ORDER BY title")],
        await Author.annotate(least=Coalesce("born", "1999-01-01")).order_by("name").values_list("name", flat=True),
        await Author.filter(name="Ann").union(Author.filter(name="Cid")).order_by("name").count(),
        repr(await Author.all().order_by("-name").first()),
        repr(await Author.get_or_none(name="nobody")),
        repr(sorted((await Author.in_bulk(["Ann", "Cid"], "name")).items())),
        [book.title async for book in Book.filter(pages=0).order_by("-title")],
        (await titles.only("title").first()).title,
    ]
    (plan,) = await Book.filter(pages=0).explain(output_fmt="json")
    found.append(json.loads(plan["QUERY PLAN"])[0]["Plan"]["Filter"])
    return found


@section
async def bulk() -> Any:
    found: list[Any] = []
    authors = [Author(name=f"author {number:03}", born=date(1950, 1, 1)) for number in range(250)]
    await Author.bulk_create(authors, batch_size=100)
    found.append(await Author.all().count())
    await Author.bulk_create([Author(name="author 000"), Author(name="new")], ignore_conflicts=True)
    found.append(await Author.all().count())
    await Author.bulk_create(
        [Author(name="author 001", born=date(1960, 1, 1)), Author(name="newer")],
        on_conflict=["name"],
        update_fields=["born"],
    )
    found.append(
        repr(await Author.filter(name__in=["author 001", "newer"]).order_by("name").values_list("name", "born"))
    )
    some = await Author.filter(name__startswith="author 1").order_by("id")
    for author in some:
        author.born = date(1970, 1, 1)
    found.append(await Author.bulk_update(some, fields=["born"], batch_size=30))
    found.append(await Author.filter(born__year=1970).count())
    found.append([(made.name, is_new) for made, is_new in [await Author.get_or_create(name="one") for _ in range(2)]])
    author, is_new = await Author.update_or_create(name="one", defaults={"born": date(2000, 1, 1)})
    found.append([str(author.born), is_new])
    found.append(await Author.filter(name="one").update(name="two"))
    found.append(await Author.filter(name="nobody").update(name="three"))
    author = await Author.get(name="two")
    author.name = "three"
    await author.save(update_fields=["name"])
    book = await Book.create(title="t", price=Decimal(1), author=author)
    assert await Book.filter(id=book.id).update(pages=F("pages") + 7) == 1
    await book.refresh_from_db()
    found.append(book.pages)
    found.append(await Author.filter(name__startswith="author 2").delete())
    found.append(await Author.all().delete())
    found.append(await failure(Author.bulk_create([Author(name="same"), Author(name="same")])))
    found.append(await Author.all().count())
    await database().execute_many("INSERT INTO author (name) VALUES ($1)", [[f"many {n}"] for n in range(20)])
    found.append(await failure(database().execute_many("INSERT INTO author (name) VALUES ($1)", [["a"], ["many 3"]])))
    found.append(await failure(database().execute_many("INSERT INTO author (name) VALUES ($1)", [["a"], [3]])))
    found.append(await Author.all().count())
    return found


@section
async def errors() -> Any:
    ann = await Author.create(name="Ann")
    await Book.create(title="t", price=Decimal(1), author=ann)
    found = [
        await failure(attempt)
        for attempt in (
            Author.create(name="Ann"),
            Book.create(title="t", price=Decimal(2), author_id=ann.id),
            Book.create(title="t", price=Decimal(2), author_id=-1),
            database().execute_query("INSERT INTO author (name) VALUES (NULL)"),
            Author.get(name="nobody"),
            Everything.get(id=-1),
            database().execute_query("SELEKT 1"),
            database().execute_query("SELECT * FROM nowhere"),
            database().execute_query("SELECT 1 / 0"),
            database().execute_script("SELECT 1; SELECT nothing; SELECT 2"),
            database().execute_script("COMMIT PREPARED 'nothing'"),
            database().execute_query_dict("SELECT 'x'::text::int"),
            database().execute_query(
                "DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'ZZ001', DETAIL = 'it'; END $$"
            ),
        )
    ]
    assert [error[0] for error in found[:4]] == ["IntegrityError"] * 4
    # Constraints are checked at commit, too.
    await database().execute_script(
        "ALTER TABLE author ADD CONSTRAINT late UNIQUE (born) DEFERRABLE INITIALLY DEFERRED"
    )

    async def too_late() -> None:
        async with in_transaction():
            await Author.create(name="Bob", born=date(2000, 1, 1))
            await Author.create(name="Cid", born=date(2000, 1, 1))

    found.append(await failure(too_late()))
    await database().execute_script("ALTER TABLE author DROP CONSTRAINT late")
    found.append([author.name for author in await Author.all()])
    await Author.create(name="Bob", born=date(2000, 1, 1))
    await Author.create(name="Cid", born=date(2000, 1, 1))
    with contextlib.suppress(MultipleObjectsReturned):
        await Author.get(born=date(2000, 1, 1))
        raise AssertionError
    for expected, attempt in (
        (DoesNotExist, Author.get(name="nobody")),
        (IntegrityError, Author.create(name="Ann")),
        (OperationalError, database().execute_query("SELECT")),
    ):
        with contextlib.suppress(expected):
            await attempt
    return found


@section
async def transactions() -> Any:
    async def names() -> list[str]:
        return sorted(await Author.all().values_list("name", flat=True))

    found: list[Any] = []
    async with in_transaction() as connection:
        await Author.create(name="a", using_db=connection)
        found.append(await Author.all().count())
    with contextlib.suppress(ZeroDivisionError):
        async with in_transaction():
            await Author.create(name="b")
            raise ZeroDivisionError
    found.append(await names())
    async with in_transaction():
        await Author.create(name="c")
        with contextlib.suppress(ZeroDivisionError):
            async with in_transaction():
                await Author.create(name="d")
                async with in_transaction():
                    await Author.create(name="e")
                raise ZeroDivisionError
        async with in_transaction():
            await Author.create(name="f")
        with contextlib.suppress(IntegrityError):
            async with in_transaction():
                await Author.create(name="a")
        found.append(await names())
    found.append(await names())

    @atomic()
    async def add(name: str, *, fail: bool) -> None:
        await Author.create(name=name)
        if fail:
            raise KeyError(name)

    await add("g", fail=False)
    with contextlib.suppress(KeyError):
        await add("h", fail=True)
    found.append(await names())
    async with in_transaction() as connection:
        await Author.create(name="i")
        await connection.rollback()
        found.append(await failure(connection.rollback()))
    async with in_transaction() as connection:
        await Author.create(name="j")
        await connection.commit()
        with contextlib.suppress(TransactionManagementError):
            await connection.commit()
            raise AssertionError
    found.append(await names())

    # Tasks, each with a transaction and a connection of its own, and some that share one.
    async def work(number: int) -> None:
        async with in_transaction():
            await Author.create(name=f"task {number}")
            if number % 2:
                raise ZeroDivisionError

    outcomes = await asyncio.gather(*(work(number) for number in range(12)), return_exceptions=True)
    found.append([type(outcome).__name__ for outcome in outcomes])
    async with in_transaction():
        await asyncio.gather(*(Author.create(name=f"shared {number}") for number in range(10)))
    found.append(await names())

    # Row locks.
    async with in_transaction():
        locked = await Author.filter(name="a").select_for_update().get()
        outside = await asyncio.create_task(others_see(locked.id))
        found.append(outside)
    # A whole transaction that fails at a query is of no use any more, until it ends.
    async with in_transaction() as connection:
        found.append(await failure(connection.execute_query("SELECT 1 / 0")))
        found.append((await failure(connection.execute_query("SELECT 1")))[:2])
        await connection.rollback()
    found.append(await Author.all().count())
    return found


async def others_see(author_id: int) -> Any:
    """Who waits for a locked row; in a connection of its own, since the tasks of a transaction share one."""
    async with other_client() as other:
        dialect = "SELECT id FROM author WHERE id = $1 FOR UPDATE"
        rows = await other.execute_query_dict(f"{dialect} SKIP LOCKED", [author_id])
        return rows, await failure(other.execute_query_dict(f"{dialect} NOWAIT", [author_id]))


def credentials(**changes: Any) -> dict[str, Any]:
    return {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, **changes}


@contextlib.asynccontextmanager
async def other_client(**changes: Any) -> AsyncIterator[Any]:
    """A client with its own pool, beside the one of the models."""
    from tortoise.backends.asyncpg import AsyncpgDBClient

    client = AsyncpgDBClient(connection_name="other", **credentials(**changes))
    try:
        yield client
    finally:
        await client.close()


async def backends(name: str) -> list[int]:
    rows = await database().execute_query_dict(
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid", [name]
    )
    return [row["pid"] for row in rows]


async def asleep(name: str) -> None:
    """Wait until somebody of that name is in the middle of pg_sleep()."""
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'"
    while not await database().execute_query_dict(query, [name]):
        pass


@section
async def pool() -> Any:
    found: list[Any] = []
    asked: list[str] = []

    async def password() -> str:
        asked.append("password")
        return PASSWORD

    options = {
        "minsize": "2",
        "maxsize": 3,
        "application_name": "pooled",
        "schema": "elsewhere",
        "server_settings": {"jit": "off", "TimeZone": "Asia/Tokyo"},
        "timeout": 30,
        "ssl": False,
        "statement_cache_size": 10,
        "max_inactive_connection_lifetime": 100.0,
        "password": password,
    }
    await database().execute_script("CREATE SCHEMA IF NOT EXISTS elsewhere")
    async with other_client(**options) as client:
        await client.execute_query("SELECT 1")
        found.append([len(await backends("pooled")), len(asked)])
        assert found[-1] == [2, 2]
        barrier = asyncio.Barrier(3)

        async def borrow() -> int:
            async with client._in_transaction() as connection:
                await barrier.wait()
                (row,) = await connection.execute_query_dict("SELECT pg_backend_pid() AS pid")
                return int(row["pid"])

        # Twice as many as there are connections.
        pids = set(await asyncio.gather(*(borrow() for _ in range(6))))
        found.append([len(pids), len(await backends("pooled")), len(asked)])
        assert found[-1] == [3, 3, 3]
        found.append(await client.execute_query_dict("SELECT current_schema() AS it, current_setting('jit') AS jit"))
        found.append((await client.execute_query_dict("SHOW timezone"))[0])
        # Connections are new after they have expired, and what they set goes when they are released.
        await client._expire_connections()
        (row,) = await client.execute_query_dict("SELECT pg_backend_pid() AS pid")
        assert row["pid"] not in pids
        await client.execute_script("SET work_mem = '1MB'; CREATE TEMPORARY TABLE t AS SELECT 1 AS a")
        found.append(await client.execute_query_dict("SELECT current_setting('work_mem') AS it"))
    assert await backends("pooled") == []

    # Closed twice, and opened again.
    async with other_client(application_name="pooled") as client:
        await client.execute_query("SELECT 1")
        await client.close()
        await client.close()
        found.append([dict(row) for row in (await client.execute_query("SELECT 2 AS two"))[1]])
    for changes in ({"database": "nowhere"}, {"password": "wrong"}, {"user": "nobody"}, {"port": 1}):
        async with other_client(**changes) as client:
            error = await failure(client.execute_query("SELECT 1"))
            found.append([error[0], None if changes == {"port": 1} else error[1:]])
    assert found[-4][0] == DBConnectionError.__name__
    return found


@section
async def lost_connections() -> Any:
    found: list[Any] = []
    async with other_client(minsize=1, maxsize=2, application_name="lost") as client:

        async def terminate() -> None:
            for pid in await backends("lost"):
                await database().execute_query("SELECT pg_terminate_backend($1, 5000)", [pid])

        async def recovered() -> list[Any]:
            # At the first attempt the loss need not have been noticed yet.
            for _ in range(10):
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    return await client.execute_query_dict("SELECT 'alive' AS it")
            raise AssertionError

        # An idle one.
        await client.execute_query("SELECT 1")
        await terminate()
        found.append(await recovered())

        # In a query.
        waiting = asyncio.create_task(client.execute_query("SELECT pg_sleep(60)"))
        await asleep("lost")
        await terminate()
        try:
            await waiting
        except asyncpg.PostgresError as error:
            found.append([type(error).__name__, error.sqlstate])
        found.append(await recovered())

        # In a transaction.
        try:
            async with client._in_transaction() as connection:
                await connection.execute_query("SELECT 1")
                await terminate()
                await connection.execute_query("SELECT 2")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            found.append("lost")
        found.append(await recovered())
    return found


@section
async def cancelled() -> Any:
    found: list[Any] = []
    await Author.create(name="before")

    async def query() -> None:
        await database().execute_query("SELECT pg_sleep(60)")

    async def transaction() -> None:
        async with in_transaction():
            await Author.create(name="during")
            await query()

    async def nested_transaction() -> None:
        async with in_transaction():
            await transaction()

    for work in (query, transaction, nested_transaction):
        task = asyncio.create_task(work())
        await asleep("models")
        task.cancel()
        found.append(repr((await asyncio.gather(task, return_exceptions=True))[0]))
    found.append(await Author.all().values_list("name", flat=True))
    return found


async def main() -> None:
    config = {
        "connections": {
            "default": {
                "engine": "tortoise.backends.asyncpg",
                "credentials": credentials(minsize=1, maxsize=5, application_name="models"),
            }
        },
        "apps": {"models": {"models": ["__main__"], "default_connection": "default"}},
        "use_tz": True,
        "timezone": "Europe/Berlin",
    }
    found = {}
    await Tortoise.init(config=config, _create_db=True)
    await Tortoise.generate_schemas()
    for name, function in SECTIONS.items():
        found[name] = await function()
        tables = ", ".join(f'"{model._meta.db_table}"' for model in (Everything, Author, Tag, Book, Cover))
        await database().execute_script(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    await Tortoise._drop_databases()
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    asyncio.run(main())
