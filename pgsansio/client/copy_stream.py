"""A COPY under way: beginning it, its data, and its end, which may come from either side at any time.

How this works. The engine keeps everybody else's operations unsent while a COPY runs. `RunningCopy` is the conversation
itself; whoever leaves it early says so by `give_up`, which does what any abandoned operation needs. `CopyChunks` and
`CopyRecords` let a user's loop pull what COPY TO STDOUT sends; what is not pulled is not read from the server.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from operator import length_hint
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from pgsansio.client.resource import Resource
from pgsansio.client.rows import next_turn
from pgsansio.codecs.copy_format import end_of_header, is_trailer
from pgsansio.engine.operations import Copy, CopyDirection
from pgsansio.enums import Outcome
from pgsansio.errors import InterfaceError, InvalidValueError, ProtocolError
from pgsansio.kernel import RowsState, decode_copy
from pgsansio.kernel.contract import OutdatedTypeError, RowPlan, UnknownTypeError

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["CopyChunks", "CopyRecords", "Progress", "RunningCopy"]

#: Called with the rows so far (None: nobody has counted them) and the bytes of data so far.
Progress: TypeAlias = Callable[[int | None, int], Any]

#: The statement and its arguments, as query loggers are told of them.
LoggedAs: TypeAlias = tuple[str, Sequence[object]]

#: CopyData of a larger piece is sent as several.
PIECE_BYTES: Final = 1 << 19
_PENDING: Final = Outcome.PENDING
_REASON: Final = "COPY aborted due to an error on the client's side"


class RunningCopy:
    """One COPY statement with data to give or to take."""

    __slots__ = ("_connection", "_query", "operation", "size_bytes")

    def __init__(self, connection: "Connection", query: str, operation: Copy) -> None:
        self._connection = connection
        self._query = query
        self.operation = operation
        #: Of the data so far.
        self.size_bytes = 0

    @classmethod
    async def begin(cls, connection: "Connection", query: str, direction: CopyDirection) -> Self:
        """Send the statement and wait for the server to begin.

        Raises:
            PostgresError: the server refused it.
            InterfaceError: it is no such COPY; or as `Session.submit`.
        """
        port = connection._port
        port.guard()
        connection._check_alone()
        await connection._begin_now()
        operation = connection._frontend.copy(query, owner=port.task())
        connection._queries += 1
        copy = cls(connection, query, operation)
        try:
            while operation.direction is None and not operation.settled:
                await port.progress(operation)
                operation.attention = False
            if operation.settled and operation.error is not None:
                raise copy._failure()
            if operation.direction is not direction:
                raise InterfaceError(f"the statement is no COPY that has data to {_VERBS[direction]}")
        except BaseException as error:
            await copy.give_up(error)
            raise
        return copy

    def is_running(self) -> bool:
        """Whether the server still takes data."""
        operation = self.operation
        return operation.error is None and operation.outcome is _PENDING

    async def read(self) -> bytes:
        """All of the data that has come and was not read; b"" at the end.

        Raises:
            PostgresError, ConnectionDoesNotExistError: the COPY failed.
        """
        connection, operation = self._connection, self.operation
        operation.attention = False
        while not operation.chunks or operation.error is not None:
            if operation.settled:
                if operation.error is not None:
                    raise self._failure()
                return b""
            await connection._port.progress(operation)
            operation.attention = False
        data = connection._frontend.take_data(operation)
        self.size_bytes += len(data)
        return data

    async def write(self, pull: Callable[[], Awaitable[bytes | memoryview | None]]) -> None:
        """Send what `pull` gives until it gives None, then end the COPY; the server may end it before.

        Raises:
            PostgresError, ConnectionDoesNotExistError: the COPY failed.
            Whatever `pull` raises: the COPY was made to fail.
        """
        connection, operation = self._connection, self.operation
        port, frontend = connection._port, connection._frontend
        failure: Exception | None = None
        while self.is_running():
            try:
                data = await pull()
            except Exception as error:
                failure = error
                break
            if data is None:
                break
            for start in range(0, len(data), PIECE_BYTES):
                frontend.copy_data(operation, bytes(data[start : start + PIECE_BYTES]))
                await port.outbox_low()
                port.poll()
                if not self.is_running():
                    break
            self.size_bytes += len(data)
        if failure is None:
            frontend.copy_done(operation)
        else:
            frontend.copy_fail(operation, _REASON)
        await port.wait(operation)
        if failure is not None:
            raise failure
        if operation.error is not None:
            raise self._failure()

    async def give_up(self, error: BaseException) -> None:
        """Leave it because of this error; what is owed is carried out. Does nothing if it has ended."""
        if not self.operation.settled:
            await self._connection._give_up(self.operation, error)

    def forget(self) -> None:
        """Leave it where nothing may be awaited: it is cancelled, or drained, before the next operation is written."""
        if not self.operation.settled:
            with suppress(InterfaceError):  # the collector may run in any thread
                self._connection._port.guard()
                self._connection._frontend.abandon(self.operation)
                self._connection._frontend.news = True

    def _failure(self) -> BaseException:
        return self._connection._failure(self.operation, self._query)


_VERBS: Final = {CopyDirection.IN: "take", CopyDirection.OUT: "give"}


class _CopyStream(Resource):
    """What is common to those that a user's loop pulls."""

    __slots__ = ("_at", "_copy", "_ended", "_logged_as", "_progress", "_timeout")

    def __init__(
        self, connection: "Connection", logged_as: LoggedAs, timeout: float | None, progress: Progress | None
    ) -> None:
        super().__init__(connection)
        self._logged_as = logged_as
        self._timeout = timeout
        self._progress = progress
        self._copy: RunningCopy | None = None
        self._at: float | None = None
        self._ended = False

    def __del__(self) -> None:
        copy: RunningCopy | None = getattr(self, "_copy", None)
        if copy is not None:
            copy.forget()

    async def _statement(self) -> str:
        """The COPY statement; the connection may be asked what it needs."""
        raise NotImplementedError

    @property
    def status(self) -> str | None:
        """The command tag, 'COPY 100', once everything was read; else None."""
        return None if self._copy is None else self._copy.operation.status

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave(InterfaceError("the COPY was left") if exc is None else exc)

    async def aclose(self) -> None:
        """End it early; the COPY is cancelled on the server. Does nothing if it has ended."""
        await self._leave(InterfaceError("the COPY was closed"))

    async def _leave(self, error: BaseException) -> None:
        """Stop because of this error."""
        self._ended = True
        if self._copy is not None:
            await self._copy.give_up(error)
        if not isinstance(error, GeneratorExit):
            await self._connection._port.checkpoint()

    async def _begin(self) -> None:
        """Start it, unless it was."""
        connection = self._connection
        if not self._ended and connection._releases != self._releases:
            # Whoever released the connection has ended the COPY.
            self._check("__anext__")
        if self._copy is None and not self._ended:
            self._at = connection._deadline(self._timeout)
            self._ended = True  # unless it begins
            # Query loggers are told when it has begun: how long the rest takes is for the user's loop to decide.
            async with connection._logged(*self._logged_as, self._timeout), connection._limit(self._at):
                self._copy = await RunningCopy.begin(connection, await self._statement(), CopyDirection.OUT)
            self._ended = False


class CopyChunks(_CopyStream):
    """Data of COPY TO STDOUT: `async for chunk in connection.copy_chunks_from_table("t"): ...`.

    A chunk is what has come since the last one, which may be many rows; they do not end where rows do. What is not
    asked for is not read. Until its end the connection does nothing else; leaving early, by the end of an `async with`
    block or `aclose()`, cancels the COPY, and the connection can be used again. As the `source` of another
    connection's `copy_to_table()` it carries a table from one server to the other.
    """

    __slots__ = ("_make_statement",)

    def __init__(
        self,
        connection: "Connection",
        logged_as: LoggedAs,
        make_statement: Callable[[], Awaitable[str]],
        timeout: float | None,
        progress: Progress | None,
    ) -> None:
        super().__init__(connection, logged_as, timeout, progress)
        self._make_statement = make_statement

    async def _statement(self) -> str:
        return await self._make_statement()

    async def __anext__(self) -> bytes:
        await self._begin()
        copy = self._copy
        if copy is None or self._ended:
            await self._connection._port.checkpoint()
            raise StopAsyncIteration
        if self._at is None:
            data = await self._taken(copy)
        else:
            async with self._connection._limit(self._at):
                data = await self._taken(copy)
        if not data:
            self._ended = True
            raise StopAsyncIteration
        return data

    async def _taken(self, copy: RunningCopy) -> bytes:
        port = self._connection._port
        try:
            await port.checkpoint()
            data = await copy.read()
            if data and self._progress is not None:
                await port.call_user(self._progress, None, copy.size_bytes)
        except BaseException as error:
            self._ended = True
            await copy.give_up(error)
            raise
        return data


class CopyRecords(RowsState, _CopyStream):
    """Rows of COPY TO STDOUT: `async for record in connection.copy_records_from_query("SELECT ..."): ...`.

    They are sent in binary and decoded by the connection's codecs, some at a time; `batch()` gives what was decoded
    together, which is faster. Else as `CopyChunks`.
    """

    __slots__ = (
        "_batch_size",
        "_begun",
        "_data",
        "_error",
        "_make_plan",
        "_plan",
        "_position",
        "_ready",
        "_rows",
    )

    def __init__(
        self,
        connection: "Connection",
        logged_as: LoggedAs,
        make_plan: Callable[[], Awaitable[tuple[str, RowPlan]]],
        batch_size: int,
        timeout: float | None,
        progress: Progress | None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is expected to be 1 or more, got {batch_size!r}")
        super().__init__(connection, logged_as, timeout, progress)
        self._make_plan = make_plan
        self._batch_size = batch_size
        self._plan: RowPlan | None = None
        self._data = b""
        self._position = 0
        #: The header was read.
        self._begun = False
        #: Decoded and not given away; and those that may be before the next checkpoint.
        self._ready = self._turn = iter(())
        self._rows = 0
        #: Of the row behind those that were decoded.
        self._error: Exception | None = None

    async def _statement(self) -> str:
        statement, self._plan = await self._make_plan()
        return statement

    async def _leave(self, error: BaseException) -> None:
        self._ready = self._turn = iter(())
        await super()._leave(error)

    async def _further(self) -> Any:
        if length_hint(self._ready):
            await self._checkpoint()
        else:
            self._ready = iter(await self._next())
        self._turn = next_turn(self._ready, self._connection._port)
        for record in self._turn:
            return record
        raise StopAsyncIteration

    async def batch(self) -> list[Any]:
        """The next records, at most `batch_size`; [] at the end."""
        if length_hint(self._ready):
            await self._checkpoint()
            return list(self._ready)
        return await self._next()

    async def _checkpoint(self) -> None:
        try:
            await self._connection._port.checkpoint()
        except BaseException as error:
            self._ended = True
            if self._copy is not None:
                await self._copy.give_up(error)
            raise

    async def _next(self) -> list[Any]:
        await self._begin()
        copy = self._copy
        if copy is None or self._ended:
            await self._connection._port.checkpoint()
            return []
        if self._at is None:
            rows = await self._taken(copy)
        else:
            async with self._connection._limit(self._at):
                rows = await self._taken(copy)
        self._ended = not rows
        return rows

    async def _taken(self, copy: RunningCopy) -> list[Any]:
        port = self._connection._port
        try:
            await port.checkpoint()
            rows = await self._decoded(copy)
            self._rows += len(rows)
            if rows and self._progress is not None:
                await port.call_user(self._progress, self._rows, copy.size_bytes)
        except BaseException as error:
            self._ended = True
            await copy.give_up(error)
            if isinstance(error, UnknownTypeError | OutdatedTypeError):
                raise await self._learned(error) from error
            raise
        return rows

    async def _decoded(self, copy: RunningCopy) -> list[Any]:
        """Some rows; none at the end.

        Raises:
            As `RunningCopy.read`, and what refused the next row.
        """
        while True:
            rows = self._decode_some()
            if rows:
                return rows
            if self._error is not None:
                raise self._error
            data = await copy.read()
            if data:
                self._data = self._data[self._position :] + data
                self._position = 0
            elif self._begun and is_trailer(self._data, self._position):
                return rows
            else:
                raise ProtocolError("binary COPY data ends before its trailer")

    def _decode_some(self) -> list[Any]:
        rows: list[Any] = []
        if not self._begun:
            end = end_of_header(self._data)
            if end is None:
                return rows
            self._begun = True
            self._position = end
        if self._error is None:
            assert self._plan is not None
            data = self._data
            self._position, self._error = decode_copy(
                self._plan, data, self._position, len(data), rows, self._batch_size
            )
        return rows

    async def _learned(self, error: UnknownTypeError | OutdatedTypeError) -> Exception:
        """What to raise for a value whose type is not known, or not as it was; now it is."""
        connection = self._connection
        catalog = connection._frontend.registry.catalog
        if isinstance(error, UnknownTypeError):
            oids = error.oids
        else:
            oids = frozenset([error.oid])
            catalog.forget(oids)
        await connection._learn_types(oids)
        raised = InvalidValueError(f"cannot decode a value of a COPY: {error}")
        raised.hint = "A type was unknown when the COPY began, or was changed. It is known now: run the COPY again."
        return raised
