"""Streams: the rows of a query one by one, with back-pressure.

How this works. The server is asked for so many rows, and for as many again when those are used up. Inside of a
transaction that is a portal, as for a cursor. Outside of one a portal does not survive a Sync: there the stream is one
group that stays open, with Flush in the place of Sync, and everybody else's operations wait unsent until it ends. There
it may also ask for more rows while the user looks at those that are there, so that the server need not wait.
"""

from collections.abc import Sequence
from contextlib import suppress
from operator import length_hint
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pgsansio.client.cursor import BaseCursor
from pgsansio.client.resource import Resource
from pgsansio.client.rows import next_turn
from pgsansio.engine.operations import RowsKept, RowStream
from pgsansio.errors import DataError, InterfaceError, InvalidValueError
from pgsansio.kernel import RowsState
from pgsansio.statement import Statement

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["STREAM_PREFETCH", "Stream"]

#: Enough to make a round trip cheap, and rows of a kilobyte are a megabyte.
STREAM_PREFETCH: Final = 1000
#: Rows that somebody had to wait for longer than this are not asked for ahead: who leaves would have to wait for them.
_SOON_SECONDS: Final = 0.05


class Stream(RowsState, Resource):
    """Made by `Connection.stream()`: `async for row in connection.stream("SELECT ..."): ...`.

    `batch()` gives the rows that came together, which is faster. As `async with` it also ends: leaving early ends the
    statement, and what it has done so far outside of a transaction is kept. One task iterates.
    """

    __slots__ = ("_args", "_ended", "_prefetch", "_query", "_record_class", "_rows", "_source", "_timeout")

    def __init__(
        self,
        connection: "Connection",
        query: str,
        args: Sequence[object],
        prefetch: int | None,
        timeout: float | None,
        record_class: type[Any] | None,
    ) -> None:
        super().__init__(connection)
        if prefetch is not None and prefetch <= 0:
            raise InterfaceError("prefetch argument must be greater than zero")
        self._query = query
        self._args = args
        #: None: so many as is best.
        self._prefetch = prefetch
        self._timeout = timeout
        self._record_class = record_class
        self._source: BaseCursor | _OpenGroup | None = None
        self._ended = False
        #: Rows that are there, and those of them that may be given before the next checkpoint.
        self._rows = self._turn = iter(())

    def __del__(self) -> None:
        self._forget()

    def __aiter__(self) -> Self:
        return self

    async def _further(self) -> Any:
        if length_hint(self._rows):
            await self._checkpoint()
        else:
            self._rows = iter(await self._next("__anext__"))
        self._turn = next_turn(self._rows, self._connection._port)
        for row in self._turn:
            return row
        raise StopAsyncIteration

    async def batch(self) -> list[Any]:
        """The next rows, at most `prefetch`; [] at the end."""
        if length_hint(self._rows):
            await self._checkpoint()
            return list(self._rows)
        return await self._next("batch")

    async def aclose(self) -> None:
        """End it early. Does nothing if it has ended.

        Raises:
            PostgresError: the server's word about what was done so far.
        """
        self._rows = self._turn = iter(())
        if not self._ended:
            self._ended = True
            if isinstance(self._source, BaseCursor):
                await self._source.aclose()
            elif self._source is not None:
                await self._source.close(self._timeout)
        await self._connection._port.checkpoint()

    async def __aenter__(self) -> Self:
        await self._connection._port.checkpoint()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            await self.aclose()
        else:
            self._forget()

    async def _checkpoint(self) -> None:
        try:
            await self._connection._port.checkpoint()
        except BaseException:
            self._forget()  # as where it is cancelled while it waits for rows
            raise

    def _forget(self) -> None:
        """Leave it without waiting; a portal ends with its transaction."""
        source: BaseCursor | _OpenGroup | None = getattr(self, "_source", None)
        if isinstance(source, _OpenGroup) and not self._ended:
            source.forget()
        self._ended = True

    async def _next(self, method: str) -> list[Any]:
        connection = self._connection
        connection._port.poll()
        was_cut = isinstance(self._source, _OpenGroup) and self._source.was_cut
        if self._ended or not was_cut or connection._releases != self._releases:
            self._check(method)
        if self._ended:
            await connection._port.checkpoint()
            return []
        if self._source is None:
            if connection.is_in_transaction():
                self._source = BaseCursor(connection, self._query, None, self._args, self._record_class)
            else:
                self._source = _OpenGroup(
                    connection, self._query, self._args, self._record_class, may_read_ahead=self._prefetch is None
                )
        max_rows = STREAM_PREFETCH if self._prefetch is None else self._prefetch
        rows: list[Any] = []
        try:
            if isinstance(self._source, BaseCursor):
                rows = await self._source._more(max_rows, self._timeout)
            else:
                rows = await self._source.more(max_rows, self._timeout)
        finally:
            self._ended = not rows
        return rows


class _OpenGroup:
    """Outside of a transaction: a Sync group that stays open while the user looks at rows."""

    __slots__ = (
        "_args", "_connection", "_is_soon", "_may_read_ahead", "_operation", "_query", "_record_class", "_statement",
    )  # fmt: skip

    def __init__(
        self,
        connection: "Connection",
        query: str,
        args: Sequence[object],
        record_class: type[Any] | None,
        *,
        may_read_ahead: bool,
    ) -> None:
        self._connection = connection
        self._query = query
        self._args = args
        self._record_class = record_class
        self._statement: Statement | None = None
        self._operation: RowStream | None = None
        self._may_read_ahead = may_read_ahead
        #: Who waited for rows the last time did not wait long.
        self._is_soon = False

    @property
    def was_cut(self) -> bool:
        """The connection has ended meanwhile, and nobody has been told why."""
        return self._operation is not None and self._operation.settled and self._operation.error is not None

    async def more(self, max_rows: int, timeout: float | None) -> list[Any]:
        """The next rows; [] at the end.

        Raises:
            PostgresError, ConnectionDoesNotExistError: the statement failed.
        """
        connection = self._connection
        if timeout is None and not connection._long_way:
            return await self._more(max_rows)
        async with (
            connection._logged(self._query, self._args, timeout),
            connection._limit(connection._deadline(timeout)),
        ):
            return await self._more(max_rows)

    async def _more(self, max_rows: int) -> list[Any]:
        if self._operation is None:
            return await self._begin(max_rows)
        rows = await self._read(self._operation, max_rows, may_read_ahead=self._may_read_ahead)
        if self._operation.error is not None:
            raise self._connection._failure(self._operation, self._query)
        return rows

    async def _begin(self, max_rows: int) -> list[Any]:
        """Send the statement, once more if what was known of it is outdated; the first rows."""
        connection = self._connection
        port, frontend = connection._port, connection._frontend
        port.guard()
        asked_again = repeated = False
        while True:
            statement = frontend.cached(self._query, port.clock())
            if statement is None:
                statement = await connection._prepare(self._query)
            connection._check_alone()
            try:
                operation = frontend.stream(statement, self._args, max_rows, self._record_class, owner=port.task())
            except DataError as error:
                if asked_again or not await connection._was_outdated(error):
                    raise
                asked_again = True
                continue
            connection._queries += 1
            self._statement, self._operation = statement, operation
            # Perhaps that is all that somebody wants.
            rows = await self._read(operation, max_rows, may_read_ahead=False)
            if operation.error is None:
                return rows
            if repeated or not connection._may_repeat(operation, statement):
                raise connection._failure(operation, self._query)
            repeated = True

    async def _read(self, operation: RowStream, max_rows: int, *, may_read_ahead: bool) -> list[Any]:
        """Rows that have come, or that are asked for; [] at the end, and when the operation has an error."""
        connection = self._connection
        try:
            while not operation.settled:
                operation.attention = False
                if operation.error is not None and not isinstance(operation.error, RowsKept):
                    break
                if not operation.is_asked:
                    if operation.error is not None:
                        break
                    if operation.rows:
                        # The last ones, too: else it would depend on their number whether the user's loop can use the
                        # connection.
                        rows, operation.rows = operation.rows, []
                        if may_read_ahead and self._is_soon:
                            connection._frontend.stream_on(operation, max_rows, is_ahead=True)
                            connection._port.flush()
                        return rows
                    if operation.is_complete:
                        break
                    connection._frontend.stream_on(operation, max_rows)
                await self._wait(operation)
            return await self._end(operation)
        except BaseException as error:
            await connection._give_up(operation, error)
            raise

    async def _wait(self, operation: RowStream) -> None:
        """Until something has come that was asked for."""
        port = self._connection._port
        operation.is_ahead = False
        since = port.clock()
        await port.progress(operation)
        self._is_soon = port.clock() - since < _SOON_SECONDS

    async def _end(self, operation: RowStream) -> list[Any]:
        """Sync, and the last rows."""
        connection = self._connection
        connection._frontend.finish(operation)
        await connection._port.wait(operation)
        if isinstance(operation.error, RowsKept):
            # Only now is the connection free to ask.
            assert self._statement is not None
            is_decoded = await connection._decode_kept(operation, self._statement.registry)
            if is_decoded and not operation.is_complete:
                error = InvalidValueError("cannot decode a value of a stream: its type was unknown, or has changed")
                error.hint = "It is known now: run the query again."
                operation.error = error
        rows, operation.rows = operation.rows, []
        return rows

    async def close(self, timeout: float | None) -> None:
        """End it, and hear what the server says about that.

        Raises:
            PostgresError: the server's word.
        """
        operation, connection = self._operation, self._connection
        if operation is None or operation.settled:
            return
        async with connection._limit(connection._deadline(timeout)):
            connection._frontend.finish(operation)
            await connection._finish(operation)
        if operation.error is not None:
            raise connection._failure(operation, self._query)

    def forget(self) -> None:
        """End it where nothing may be awaited; the next operation is written behind its end."""
        if self._operation is not None and not self._operation.settled:
            with suppress(InterfaceError):  # the collector may run in any thread
                self._connection._port.guard()
                self._connection._frontend.abandon(self._operation)
                self._connection._frontend.news = True
                self._connection._port.flush()
