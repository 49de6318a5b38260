"""What executemany() executes a statement with: a batch at a time, from an iterable or an asynchronous one."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from pgsansio.client.port import Port
from pgsansio.simple_statement import SimpleStatement
from pgsansio.statement import BATCH_BYTES, Statement

__all__ = ["Arguments", "Elements"]

Arguments: TypeAlias = Iterable[Sequence[object]] | AsyncIterable[Sequence[object]]


class Elements:
    """The elements that are not taken yet, in a block.

    It begins by waiting for the first one, if they are awaited, so that nothing is waited for between preparing the
    statement and executing it. When it is left, a generator that is not at its end closes what it has opened.

    Attributes:
        are_awaited: they come from an asynchronous iterable.
    """

    __slots__ = ("_is_at_end", "_iterator", "_port", "_source", "are_awaited")

    def __init__(self, port: Port, args: Arguments) -> None:
        self._port = port
        self._source: AsyncIterator[object] | None = None
        self._iterator: Iterator[object] = iter(())
        if isinstance(args, AsyncIterable):
            self._source = aiter(args)
        else:
            self._iterator = iter(args)
        self.are_awaited = self._source is not None
        self._is_at_end = False

    async def __aenter__(self) -> Self:
        if self.are_awaited:
            self._iterator = iter(await self._next())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        aclose = getattr(self._source, "aclose", None)
        # After a cancellation nothing may be awaited; the loop sees to what is left.
        if aclose is not None and not self._is_at_end and (exc is None or isinstance(exc, Exception)):
            await self._port.call_user(aclose)

    async def take(self, statement: Statement | SimpleStatement, index: int, *, first: bool) -> tuple[bytes, int, bool]:
        """The messages of a batch, the number of its elements, and whether they were the last ones.

        Args:
            index: of the next element.
            first: the statement was not executed yet; of elements that are awaited this takes the one that is there.
        Raises:
            DataError, InterfaceError: as `Statement.many`. And whatever the iterable does.
        """
        if first or not self.are_awaited:
            data, count, exhausted = statement.many(self._iterator, index, first=first)
            return data, count, exhausted and (not self.are_awaited or self._is_at_end)
        batch: list[bytes] = []
        size = 0
        while size < BATCH_BYTES and (element := await self._next()):
            data, _, _ = statement.many(iter(element), index + len(batch), first=False)
            batch.append(data)
            size += len(data)
        return b"".join(batch), len(batch), self._is_at_end

    async def _next(self) -> list[object]:
        """The next element of those that are awaited, or none."""
        assert self._source is not None
        try:
            return [await self._port.call_user(self._source.__anext__)]
        except StopAsyncIteration:
            self._is_at_end = True
            return []
