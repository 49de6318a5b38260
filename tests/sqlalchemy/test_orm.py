"""SQLAlchemy's ORM: sessions, relationships, how related rows are loaded."""

from __future__ import annotations

import enum
from typing import ClassVar

import pytest
from sqlalchemy import ForeignKey, exc, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
)
from sqlalchemy.orm.exc import StaleDataError

from tests.sqlalchemy.drivers import recreate

pytestmark = [pytest.mark.anyio, pytest.mark.server]


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Mood(enum.Enum):
    good = "good"
    bad = "bad"


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    mood: Mapped[Mood | None]
    version: Mapped[int] = mapped_column()
    books: Mapped[list[Book]] = relationship(back_populates="author", cascade="all, delete-orphan")
    __mapper_args__: ClassVar = {"version_id_col": version}


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="books")


Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def sessions(engine: AsyncEngine) -> Sessions:
    """Three authors with 0, 1 and 2 books."""
    await recreate(engine, Base.metadata)
    made = async_sessionmaker(engine, expire_on_commit=False)
    async with made.begin() as session:
        for count, mood in enumerate((None, Mood.good, Mood.bad)):
            books = [Book(title=f"book {number}") for number in range(count)]
            session.add(Author(name=f"author {count}", mood=mood, books=books))
    return made


@pytest.mark.parametrize("load", [selectinload, joinedload, subqueryload])
async def test_loading_related_rows(sessions: Sessions, load: type) -> None:
    async with sessions() as session:
        statement = select(Author).options(load(Author.books)).order_by(Author.id)
        authors = (await session.scalars(statement)).unique().all()
        assert [author.mood for author in authors] == [None, Mood.good, Mood.bad]
        assert [[book.title for book in author.books] for author in authors] == [[], ["book 0"], ["book 0", "book 1"]]


async def test_loading_lazily_by_awaitable_attributes(sessions: Sessions) -> None:
    async with sessions() as session:
        author = await session.get_one(Author, 3)
        assert len(await author.awaitable_attrs.books) == 2
        assert await session.get(Author, 77) is None


async def test_changes_are_flushed(sessions: Sessions) -> None:
    async with sessions() as session:
        author = (await session.scalars(select(Author).options(selectinload(Author.books)).filter_by(id=3))).one()
        author.name = "renamed"
        author.books.pop()
        author.books[0].title = "retitled"
        await session.commit()
    async with sessions() as session:
        rows = await session.execute(select(Author.name, Book.title).join(Author.books).filter(Author.id == 3))
        assert [tuple(row) for row in rows] == [("renamed", "retitled")]
        await session.delete(await session.get_one(Author, 3, options=[selectinload(Author.books)]))
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(Book)) == 1


async def test_many_new_objects(sessions: Sessions) -> None:
    """One statement for all of them, which gives their keys."""
    async with sessions() as session:
        authors = [Author(name=f"new {number}") for number in range(500)]
        session.add_all(authors)
        await session.flush()
        assert [author.id for author in authors] == list(range(4, 504))


async def test_updates_of_many(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        author = await session.get_one(Author, 1)
        result = await session.execute(update(Author).where(Author.id < 3).values(mood=Mood.bad))
        assert result.rowcount == 2
        assert author.mood is Mood.bad


async def test_two_sessions_change_the_same_row(sessions: Sessions) -> None:
    """The second one finds that no row was matched: counts of rows are right."""
    async with sessions() as first, sessions() as second:
        mine, theirs = await first.get_one(Author, 1), await second.get_one(Author, 1)
        await second.commit()
        mine.name = "mine"
        await first.commit()
        theirs.name = "theirs"
        with pytest.raises(StaleDataError):
            await second.commit()


async def test_a_failed_flush_and_what_goes_on(sessions: Sessions) -> None:
    async with sessions() as session:
        with pytest.raises(exc.IntegrityError):
            async with session.begin_nested():
                session.add(Author(name="author 1"))
        session.add(Author(name="another"))
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(Author)) == 4


async def test_streaming_objects(sessions: Sessions) -> None:
    async with sessions() as session:
        statement = select(Author).options(selectinload(Author.books)).order_by(Author.id)
        stream = await session.stream_scalars(statement.execution_options(yield_per=2))
        assert [len(author.books) async for author in stream] == [0, 1, 2]


async def test_a_session_in_synchronous_code(sessions: Sessions) -> None:
    async with sessions() as session:
        titles = await session.run_sync(lambda own: [book.title for book in own.get_one(Author, 3).books])
        assert titles == ["book 0", "book 1"]


async def test_refresh(sessions: Sessions, observer: AsyncEngine) -> None:
    async with sessions() as session:
        author = await session.get_one(Author, 1)
        await session.commit()
        async with observer.connect() as connection:
            await connection.execute(text("UPDATE authors SET name = 'from outside' WHERE id = 1"))
        await session.refresh(author)
        assert author.name == "from outside"
