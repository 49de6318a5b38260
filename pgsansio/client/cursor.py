"""Cursors: the rows of a portal, some at a time, inside of a transaction.

How this works. A portal with a name lives until its transaction ends, so each fetch is an operation with a Sync of its
own, and other statements may come between. `BaseCursor` is the conversation about one portal; its underscored methods
have asyncpg's names, since tracing packages replace them.
"""

from collections.abc import Generator, Sequence
from operator import length_hint
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pgsansio.client.resource import Resource
from pgsansio.client.rows import next_turn
from pgsansio.engine.operations import Operation, RowsKept
from pgsansio.errors import DataError, InterfaceError, NoActiveSQLTransactionError
from pgsansio.kernel import RowsState
from pgsansio.kernel.contract import RowPlan
from pgsansio.statement import Statement

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection
    from pgsansio.client.statement import PreparedStatement

__all__ = ["BaseCursor", "Cursor", "CursorFactory", "CursorIterator"]

#: asyncpg's.
_PREFETCH: Final = 50
#: Execute counts rows with an Int32.
_MAX_ROWS: Final = (1 << 31) - 1


class CursorFactory(Resource):
    """Made by `Connection.cursor()`: iterate over it with `async for`, or await it for a `Cursor`."""

    __slots__ = ("_args", "_prefetch", "_prepared", "_query", "_record_class", "_timeout")

    #: What is made; for subclasses.
    _iterator_class: "ClassVar[type[CursorIterator]]"
    _cursor_class: "ClassVar[type[Cursor]]"

    def __init__(
        self,
        connection: "Connection",
        query: str,
        prepared: "PreparedStatement | None",
        args: Sequence[object],
        prefetch: int | None,
        timeout: float | None,
        record_class: type[Any] | None,
    ) -> None:
        super().__init__(connection)
        self._query = query
        self._prepared = prepared
        self._args = args
        self._prefetch = prefetch
        self._timeout = timeout
        self._record_class = record_class

    def __aiter__(self) -> "CursorIterator":
        self._check("__aiter__")
        return self._iterator_class(
            self._connection,
            self._query,
            self._prepared,
            self._args,
            self._record_class,
            _PREFETCH if self._prefetch is None else self._prefetch,
            self._timeout,
        )

    def __await__(self) -> Generator[Any, Any, "Cursor"]:
        self._check("__await__")
        if self._prefetch is not None:
            raise InterfaceError("prefetch argument can only be specified for iterable cursor")
        cursor = self._cursor_class(self._connection, self._query, self._prepared, self._args, self._record_class)
        return cursor._init(self._timeout).__await__()


class BaseCursor(Resource):
    """One portal: bound, fetched from, and closed."""

    __slots__ = (
        "_args",
        "_exhausted",
        "_is_lost",
        "_is_own",
        "_portal_name",
        "_prepared",
        "_query",
        "_record_class",
        "_row_plan",
        "_statement",
    )

    def __init__(
        self,
        connection: "Connection",
        query: str,
        prepared: "PreparedStatement | None",
        args: Sequence[object],
        record_class: type[Any] | None,
    ) -> None:
        super().__init__(connection)
        self._query = query
        self._prepared = prepared
        self._args = args
        self._record_class = record_class
        self._statement: Statement | None = None
        #: The statement is this cursor's alone.
        self._is_own = False
        self._portal_name: str | None = None
        self._row_plan: RowPlan | None = None
        self._exhausted = False
        #: Nobody knows where the portal stands.
        self._is_lost = False

    def __del__(self) -> None:
        if getattr(self, "_is_own", False) and self._statement is not None:
            self._connection._frontend.release(self._statement)

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__name__}"
        return f'<{name} "{self._query!s:.30}" {"exhausted " if self._exhausted else ""}{id(self):#x}>'

    async def aclose(self) -> None:
        """Close it now, and not when the transaction ends; there are no more rows. Does nothing the second time."""
        self._exhausted = True
        if self._connection._frontend.in_transaction and not self._connection.is_closed():
            await self._close_portal()
        self._portal_name = None
        await self._connection._port.checkpoint()

    def _check_ready(self) -> None:
        if not self._connection.is_in_transaction():
            raise NoActiveSQLTransactionError("cursor cannot be created outside of a transaction")
        if self._is_lost:
            raise InterfaceError("cursor: its place is lost, since fetching from it was interrupted")

    async def _more(self, max_rows: int, timeout: float | None) -> list[Any]:
        """The next rows, the portal bound for the first ones and closed behind the last ones; [] at the end."""
        was_exhausted = self._exhausted
        if was_exhausted:
            await self._close_portal()
            await self._connection._port.checkpoint()
            return []
        if self._portal_name is None:
            rows = await self._bind_exec(max_rows, timeout)
        else:
            rows = await self._exec(max_rows, timeout)
        if self._exhausted and self._connection._frontend.pipelining:  # else it takes waiting, with rows in hand
            await self._close_portal()
        return rows

    async def _bind_exec(self, n: int, timeout: float | None) -> list[Any]:
        """Bind the portal and fetch the first rows."""
        return await self._open(n, timeout)

    async def _bind(self, timeout: float | None) -> None:
        """Bind the portal."""
        await self._open(0, timeout)

    async def _exec(self, n: int, timeout: float | None) -> list[Any]:
        """Fetch the next rows."""
        self._check_ready()
        statement, portal = self._statement, self._portal_name
        if statement is None or portal is None:
            raise InterfaceError("cursor does not have an open portal")
        connection = self._connection
        if timeout is None and not connection._long_way:
            return await self._fetch(statement, portal, n)
        async with (
            connection._logged(self._query, self._args, timeout),
            connection._limit(connection._deadline(timeout)),
        ):
            return await self._fetch(statement, portal, n)

    async def _fetch(self, statement: Statement, portal: str, n: int) -> list[Any]:
        connection = self._connection
        connection._port.guard()
        connection._check_alone()
        operation = connection._frontend.fetch_portal(statement, portal, min(n, _MAX_ROWS), self._row_plan)
        rows = await self._finish(statement, operation)
        self._exhausted = not operation.suspended
        return rows

    async def _close_portal(self) -> None:
        """Close the portal, if there is one; whatever comes next goes behind it."""
        if self._portal_name is not None:
            connection = self._connection
            operation = connection._frontend.close_portal(self._portal_name)
            self._portal_name = None
            if connection._frontend.pipelining:
                connection._port.flush()
            else:
                await connection._finish(operation)

    async def _open(self, max_rows: int, timeout: float | None) -> list[Any]:
        """Bind the portal, and fetch so many rows unless that is 0."""
        self._check_ready()
        if self._portal_name is not None:
            raise InterfaceError("cursor already has an open portal")
        connection = self._connection
        async with (
            connection._logged(self._query, self._args, timeout),
            connection._limit(connection._deadline(timeout)),
        ):
            connection._port.guard()
            asked_again = False
            while True:
                statement = self._statement = await self._find_statement()
                connection._check_alone()
                try:
                    portal, operation = connection._frontend.open_portal(
                        statement, self._args, min(max_rows, _MAX_ROWS), self._plan_class
                    )
                except DataError as error:
                    if asked_again or not await self._was_outdated(error):
                        raise
                    asked_again = True
                    continue
                break
            rows = await self._finish(statement, operation)
        self._portal_name, self._row_plan = portal, operation.row_plan
        self._exhausted = max_rows > 0 and not operation.suspended
        return rows

    @property
    def _plan_class(self) -> type[Any] | None:
        """The class of its rows, if it is not the one that its statement has anyway."""
        return None if self._prepared is not None or self._is_own else self._record_class

    async def _find_statement(self) -> Statement:
        """Its statement, prepared if need be; with a name in any case, but for a user's own that has none."""
        if self._prepared is not None:
            await self._prepared._restore()
            return self._prepared._statement
        if self._is_own and self._statement is not None:
            return self._statement
        connection = self._connection
        statements = connection._frontend.statements
        if statements.cacheable(self._query):
            statement = connection._frontend.cached(self._query, connection._port.clock())
            return await connection._prepare(self._query) if statement is None else statement
        statement = await connection._prepare_own(
            self._query, name=None, always_named=True, record_class=self._record_class
        )
        self._is_own = True
        return statement

    async def _was_outdated(self, error: DataError) -> bool:
        """As `Connection._was_outdated`, and the statement uses what is known now."""
        if self._prepared is not None:
            return await self._prepared._was_outdated(error)
        is_news = await self._connection._was_outdated(error)
        if is_news and self._is_own and self._statement is not None:
            self._statement = self._statement.renewed()
        return is_news  # those in the cache were all forgotten

    async def _finish(self, statement: Statement, operation: Operation) -> list[Any]:
        connection = self._connection
        connection._queries += 1
        try:
            await connection._finish(operation)
            if isinstance(operation.error, RowsKept):
                await connection._decode_kept(operation, statement.registry)
        except BaseException:
            self._is_lost = True
            raise
        if operation.error is not None:
            # In a transaction nothing is done twice; but the next one gains from what the error says.
            if self._prepared is not None:
                await self._prepared._may_repeat(operation)
            else:
                connection._may_repeat(operation, statement)
            raise connection._failure(operation, self._query)
        return operation.rows


class CursorIterator(RowsState, BaseCursor):
    """A cursor's rows one by one; `aclose()` ends it early."""

    __slots__ = ("_prefetch", "_rows", "_timeout")

    def __init__(
        self,
        connection: "Connection",
        query: str,
        prepared: "PreparedStatement | None",
        args: Sequence[object],
        record_class: type[Any] | None,
        prefetch: int,
        timeout: float | None,
    ) -> None:
        super().__init__(connection, query, prepared, args, record_class)
        if prefetch <= 0:
            raise InterfaceError("prefetch argument must be greater than zero")
        #: Rows that are there, and those of them that may be given before the next checkpoint.
        self._rows = self._turn = iter(())
        self._prefetch = prefetch
        self._timeout = timeout

    def __aiter__(self) -> Self:
        self._check("__aiter__")
        return self

    async def _further(self) -> Any:
        connection = self._connection
        self._check("__anext__")
        if length_hint(self._rows):
            await connection._port.checkpoint()
        else:
            self._rows = iter(await self._more(self._prefetch, self._timeout))
        self._turn = next_turn(self._rows, connection._port)
        for row in self._turn:
            return row
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._rows = self._turn = iter(())
        await super().aclose()


class Cursor(BaseCursor):
    """A cursor that is asked for rows: what awaiting `Connection.cursor()` gives."""

    __slots__ = ()

    async def _init(self, timeout: float | None) -> Self:
        await self._bind(timeout)
        return self

    async def fetch(self, n: int, *, timeout: float | None = None) -> list[Any]:
        """The next `n` rows, or those that are left.

        Args:
            timeout: seconds; default: the connection's `command_timeout`.
        Raises:
            InterfaceError: `n` is not greater than zero.
            NoActiveSQLTransactionError: the transaction is over.
            Else as `Connection.fetch`.
        """
        self._check("fetch")
        self._check_ready()
        if n <= 0:
            raise InterfaceError("n must be greater than zero")
        if self._exhausted:
            await self._connection._port.checkpoint()
            return []
        return await self._exec(n, timeout)

    async def fetchrow(self, *, timeout: float | None = None) -> Any:
        """The next row, or None. Else as `fetch`."""
        self._check("fetchrow")
        self._check_ready()
        if self._exhausted:
            await self._connection._port.checkpoint()
            return None
        rows = await self._exec(1, timeout)
        return rows[0] if rows else None

    async def forward(self, n: int, *, timeout: float | None = None) -> int:
        """Skip the next `n` rows; returns how many there were. Else as `fetch`."""
        self._check("forward")
        self._check_ready()
        if n <= 0:
            raise InterfaceError("n must be greater than zero")
        connection = self._connection
        if self._portal_name is None:  # it was closed
            await connection._port.checkpoint()
            return 0
        move = f"MOVE FORWARD {n:d} {self._portal_name}"
        async with connection._logged(move, (), timeout), connection._limit(connection._deadline(timeout)):
            try:
                status = await connection._script(move)
            except BaseException:
                self._is_lost = True
                raise
        skipped = int(status.split()[1])
        if skipped < n:
            self._exhausted = True
        return skipped


CursorFactory._iterator_class = CursorIterator
CursorFactory._cursor_class = Cursor
