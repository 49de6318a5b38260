"""What all clients have in common."""

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.answers import check
from benchmarks.cases import Case, Shape
from benchmarks.loops import Loop
from benchmarks.tables import POINTS

__all__ = ["Client", "Operation"]

#: One operation, again and again. It is the library's own bound method wherever that is possible.
Operation = Callable[[], Awaitable[Any]]


class Client:
    """A library, in the process that measures it.

    A subclass has a method for each Shape that it can do, with its name: `async def rows(self, case) -> Operation`.
    """

    def __init__(self, dsn: str, places: Mapping[str, str], stack: AsyncExitStack, loop: Loop) -> None:
        self.dsn = dsn
        #: Connection strings of the cases of connecting.
        self.places = places
        #: What has to be closed in the end.
        self.stack = stack
        #: What has to be closed before the next case: a server has only so many connections.
        self.of_case = AsyncExitStack()
        self.loop = loop

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        """What it can do."""
        return frozenset(shape for shape in Shape if hasattr(cls, shape.value))

    async def start(self) -> None:
        """Connect; what belongs to a case is closed before that connection is."""
        await self.open()
        self.stack.push_async_callback(self.of_case.aclose)

    async def open(self) -> None:
        """Make the connection that most operations use."""

    async def execute(self, sql: str) -> None:
        """Run a statement; its time does not matter."""
        raise NotImplementedError

    async def query(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Rows of a query; its time does not matter."""
        raise NotImplementedError

    def plain(self, rows: Any) -> list[tuple[Any, ...]]:
        """Rows as the library gives them, as tuples."""
        return [tuple(row) for row in rows]

    def keys(self) -> Iterator[int]:
        """Of point lookups; tasks share one."""
        return itertools.cycle(range(1, POINTS + 1))

    async def prepare(self, case: Case) -> tuple[Operation, int]:
        """An operation that has been seen to give the right answer, and its rows."""
        await self.of_case.aclose()
        operation: Operation = await getattr(self, case.shape.value)(case)
        if case.shape is Shape.MEMORY:
            return operation, case.rows  # that result would already have been in memory once
        await self.before(case)
        return operation, await check(case, await operation(), self.plain, self.query)

    async def before(self, case: Case) -> None:
        """Undo what former operations have left."""
        if case.before:
            await self.execute(case.before)
