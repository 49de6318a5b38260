"""Prepared statements as objects, and what a connection makes of a query besides its result.

How this works. A `PreparedStatement` owns a statement on the server, which the statement cache knows nothing of, and
releases it when it is forgotten: Close then goes out with the next statement that is prepared. `fetch` and its kin are
one coroutine frame, like those of `Connection`; whatever is not as usual goes through `_converse`.
"""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pgsansio.client.cursor import CursorFactory
from pgsansio.client.elements import Arguments, Elements
from pgsansio.client.resource import Resource
from pgsansio.client.simple import check_extended
from pgsansio.client.stream import Stream
from pgsansio.codecs.type_catalog import builtin_info
from pgsansio.codecs.type_description import describe_type
from pgsansio.engine.operations import Operation, RowsKept
from pgsansio.enums import TransactionStatus
from pgsansio.errors import DataError, InterfaceError, InvalidCachedStatementError, InvalidSQLStatementNameError
from pgsansio.kernel.contract import OutdatedTypeError
from pgsansio.statement import Statement
from pgsansio.types import Result
from pgsansio.types.description import Attribute, Column, Type

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["PreparedStatement", "StatementMethods"]


class PreparedStatement(Resource):
    """Made by `Connection.prepare()`; it lives until it is closed or forgotten, across transactions.

    `async with await connection.prepare(...) as statement` closes it when the block ends. After that, and after the
    connection was closed, or given back to its pool, every method but `close` raises InterfaceError.
    """

    __slots__ = (
        "_generation", "_given_name", "_is_closed", "_is_gone", "_query", "_record_class", "_statement", "_tag",
        "_types",
    )  # fmt: skip

    def __init__(
        self, connection: "Connection", statement: Statement, name: str | None, record_class: type[Any] | None
    ) -> None:
        super().__init__(connection)
        self._query = statement.query
        self._given_name = name
        self._record_class = record_class
        self._tag: bytes | bytearray | None = None
        self._is_closed = False
        self._take(statement)

    def _take(self, statement: Statement) -> None:
        self._statement = statement
        #: The server has it no more, or cannot execute it any more.
        self._is_gone = False
        # What is learned of a type may be forgotten again.
        catalog = statement.registry.catalog
        #: Of what is known of types, when it was made of that.
        self._generation = catalog.generation
        oids = {*statement.parameter_oids, *(field.type_oid for field in statement.fields)}
        self._types = {oid: describe_type(catalog, oid) for oid in oids if builtin_info(oid) is None}

    def __del__(self) -> None:
        statement: Statement | None = getattr(self, "_statement", None)
        if statement is not None and not self._is_gone:
            self._connection._frontend.release(statement)

    async def __aenter__(self) -> Self:
        self._check("__aenter__")
        await self._connection._port.checkpoint()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None or isinstance(exc, Exception):
            await self.close()
        elif (statement := self._end()) is not None:
            # A cancellation: waiting would only be cancelled again.
            self._connection._frontend.release(statement)

    async def close(self, *, timeout: float | None = None) -> None:
        """Close it on the server; nothing can be done with it any more. Idempotent.

        Where that cannot be done now it is done with the next statement that is prepared: when the connection is busy
        with a COPY or a stream of this task's own, and when the wait for it is cancelled.

        Args:
            timeout: seconds; default: the connection's `command_timeout`.
        Raises:
            OperationTimeoutError: `timeout` seconds have passed.
        """
        connection = self._connection
        frontend, port = connection._frontend, connection._port
        port.guard()
        is_ours = connection._releases == self._releases
        statement = self._end()
        if statement is None or not frontend.is_open:
            await port.checkpoint()
            return
        exclusive = frontend.exclusive
        if not is_ours or (exclusive is not None and exclusive.owner == port.task()):
            frontend.release(statement)
            await port.checkpoint()
            return
        operation: Operation | None = None
        try:
            async with connection._limit(connection._deadline(timeout)):
                operation = frontend.close_statement(statement.name)
                await connection._finish(operation)
        except BaseException:
            if operation is None or not operation.written:
                frontend.release(statement)
            raise

    def _end(self) -> Statement | None:
        """It is closed here; what is to be closed on the server."""
        if self._is_closed:
            return None
        self._is_closed = True
        self._releases = -1  # so that the short way sees it, too
        is_gone, self._is_gone = self._is_gone, True
        return None if is_gone or not self._statement.name else self._statement

    def _check(self, method: str) -> None:
        if self._is_closed:
            raise InterfaceError(f"cannot call PreparedStmt.{method}(): the prepared statement is closed")
        super()._check(method)

    # what it is

    def get_name(self) -> str:
        """Its name on the server; "" if it has none and is parsed again each time (`statement_cache_size=0`)."""
        self._check("get_name")
        return self._statement.name

    def get_query(self) -> str:
        """Its text."""
        self._check("get_query")
        return self._query

    def get_statusmsg(self) -> str | None:
        """The command tag of the last fetch, 'SELECT 3'; None if there is none: before it, and when the server was
        asked for one row only and had one."""
        self._check("get_statusmsg")
        return None if self._tag is None else self._tag.decode("utf-8", "replace")

    def get_parameters(self) -> tuple[Type, ...]:
        """The types of its arguments."""
        self._check("get_parameters")
        return tuple([self._type(oid) for oid in self._statement.parameter_oids])

    def get_attributes(self) -> tuple[Attribute, ...]:
        """Names and types of its columns."""
        self._check("get_attributes")
        return tuple([Attribute(field.name, self._type(field.type_oid)) for field in self._statement.fields])

    def get_columns(self) -> tuple[Column, ...]:
        """As `get_attributes`, and where each column comes from."""
        self._check("get_columns")
        return tuple(
            [
                Column(
                    field.name,
                    self._type(field.type_oid),
                    field.type_modifier if field.type_modifier != -1 else None,
                    field.table_oid or None,
                    field.column_number or None,
                )
                for field in self._statement.fields
            ]
        )

    def _type(self, oid: int) -> Type:
        return self._types.get(oid) or describe_type(self._statement.registry.catalog, oid)

    # executing it

    async def fetch(self, *args: object, timeout: float | None = None) -> list[Any]:
        """Execute it and return its rows.

        Args:
            args: values for `$1` and so on.
            timeout: seconds; default: the connection's `command_timeout`.
        Raises:
            InvalidCachedStatementError: its result has other columns since a table was changed. It is prepared again
                when it is used the next time.
            Else as `Connection.execute`.
        """
        operation = self._begin("fetch", args, 0, timeout)
        if operation is None:
            operation = await self._converse(args, 0, timeout)
        else:
            try:
                await self._connection._port.wait(operation)
            except BaseException as error:
                await self._connection._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._mend(operation, args, 0)
        self._tag = operation.tag
        return operation.rows

    async def fetchrow(self, *args: object, timeout: float | None = None) -> Any:
        """Execute it and return its first row, or None. The server is asked for one row only. Else as `fetch`."""
        operation = self._begin("fetchrow", args, 1, timeout)
        if operation is None:
            operation = await self._converse(args, 1, timeout)
        else:
            try:
                await self._connection._port.wait(operation)
            except BaseException as error:
                await self._connection._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._mend(operation, args, 1)
        self._tag = operation.tag
        rows = operation.rows
        return rows[0] if rows else None

    async def fetchval(self, *args: object, column: int | str = 0, timeout: float | None = None) -> Any:
        """Execute it and return one value of its first row, or None if there is no row.

        Args:
            column: index or name.
        Raises:
            IndexError, KeyError: the row has no such column. Else as `fetch`.
        """
        operation = self._begin("fetchval", args, 1, timeout)
        if operation is None:
            operation = await self._converse(args, 1, timeout)
        else:
            try:
                await self._connection._port.wait(operation)
            except BaseException as error:
                await self._connection._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._mend(operation, args, 1)
        self._tag = operation.tag
        rows = operation.rows
        return rows[0][column] if rows else None

    async def query(self, *args: object, timeout: float | None = None) -> Result:
        """Execute it and return its rows and its command tag. Else as `fetch`."""
        operation = self._begin("query", args, 0, timeout)
        if operation is None:
            operation = await self._converse(args, 0, timeout)
        else:
            try:
                await self._connection._port.wait(operation)
            except BaseException as error:
                await self._connection._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._mend(operation, args, 0)
        self._tag = operation.tag
        return Result(operation.rows, operation.status or "")

    async def execute(self, *args: object, timeout: float | None = None) -> str:
        """Execute it and return its command tag, 'INSERT 0 1'. Else as `fetch`."""
        self._check("execute")
        return (await self.query(*args, timeout=timeout)).status

    async def fetchmany(self, args: Arguments, *, timeout: float | None = None) -> list[Any]:
        """Execute it once for each element of `args`, as `Connection.fetchmany`, and return all rows."""
        self._check("fetchmany")
        return await self._many(args, timeout, self._record_class or self._connection._record_class)

    async def executemany(self, args: Arguments, *, timeout: float | None = None) -> None:
        """Execute it once for each element of `args`, as `Connection.executemany`."""
        self._check("executemany")
        await self._many(args, timeout, None)

    def cursor(self, *args: object, prefetch: int | None = None, timeout: float | None = None) -> CursorFactory:
        """As `Connection.cursor`, of this statement."""
        self._check("cursor")
        connection = self._connection
        factory = connection._cursor_factory_class
        return factory(connection, self._query, self, args, prefetch, timeout, self._record_class)

    async def explain(self, *args: object, analyze: bool = False) -> Any:
        """How the server would execute it: EXPLAIN's plan, as JSON's lists and dictionaries.

        Args:
            analyze: execute it, and undo that again.
        Raises: as `fetch`.
        """
        self._check("explain")
        connection = self._connection
        query = f"EXPLAIN (FORMAT JSON, VERBOSE{', ANALYZE' if analyze else ''}) {self._query}"
        if not analyze:
            return _parsed(await connection.fetchval(query, *args))
        plan: Any = None
        try:
            async with connection.transaction():
                plan = await connection.fetchval(query, *args)
                raise _Undo
        except _Undo:
            pass
        return _parsed(plan)

    # conversations

    def _begin(self, method: str, args: Sequence[object], max_rows: int, timeout: float | None) -> Operation | None:
        """The short way; None: it is not for this one."""
        connection = self._connection
        frontend = connection._frontend
        if connection._releases != self._releases or not frontend.is_open:
            self._check(method)
        if timeout is not None or connection._long_way or self._is_gone or frontend._barrier is not None:
            return None
        connection._port.guard()
        try:
            operation = frontend.execute(self._statement, args, max_rows)
        except DataError as error:
            if isinstance(error.__cause__, OutdatedTypeError):
                return None
            raise
        connection._queries += 1
        return operation

    async def _converse(self, args: Sequence[object], max_rows: int, timeout: float | None) -> Operation:
        connection = self._connection
        if timeout is None and not connection._long_way:
            return await self._execute(args, max_rows)
        async with connection._logged(self._query, args, timeout), connection._limit(connection._deadline(timeout)):
            return await self._execute(args, max_rows)

    async def _execute(self, args: Sequence[object], max_rows: int, *, repeated: bool = False) -> Operation:
        """Execute it, once more if what was known turned out to be outdated.

        Args:
            repeated: this is the second time.
        """
        connection = self._connection
        connection._port.guard()
        await self._restore()
        connection._check_alone()
        try:
            operation = connection._frontend.execute(self._statement, args, max_rows)
        except DataError as error:
            if repeated or not await self._was_outdated(error):
                raise
            return await self._execute(args, max_rows, repeated=True)
        connection._queries += 1
        await connection._finish(operation)
        return await self._mend(operation, args, max_rows, repeated=repeated)

    async def _mend(
        self, operation: Operation, args: Sequence[object], max_rows: int, *, repeated: bool = False
    ) -> Operation:
        """Go on with an operation that may have an error: mend it, do it again, or raise it."""
        await self._decode(operation)
        if operation.error is None:
            return operation
        if not await self._may_repeat(operation) or repeated:
            raise self._connection._failure(operation, self._query)
        return await self._execute(args, max_rows, repeated=True)

    async def _many(
        self,
        args: Arguments,
        timeout: float | None,
        record_class: type[Any] | None,
    ) -> list[Any]:
        connection = self._connection
        async with connection._logged(self._query, args, timeout), connection._limit(connection._deadline(timeout)):
            return await self._execute_many(args, record_class)

    async def _execute_many(
        self, args: Arguments, record_class: type[Any] | None, *, repeated: bool = False
    ) -> list[Any]:
        connection = self._connection
        connection._port.guard()
        repeated = repeated or not isinstance(args, Sequence)
        try:
            async with Elements(connection._port, args) as elements:
                await self._restore()
                operation, failure = await connection._batch(self._statement, elements, record_class)
        except DataError as error:
            if not await self._was_outdated(error) or repeated:
                raise
            return await self._execute_many(args, record_class, repeated=True)
        if operation is None:
            return []
        await self._decode(operation)
        if operation.error is not None:
            if await self._may_repeat(operation) and not repeated and failure is None:
                return await self._execute_many(args, record_class, repeated=True)
            failed = connection._failure(operation, self._query)
            if failure is not None:
                failed.__cause__ = failure
            raise failed
        if failure is not None:
            raise failure
        return operation.rows

    async def _decode(self, operation: Operation) -> None:
        """Go on with rows whose types are unknown, or not as they were."""
        if isinstance(kept := operation.error, RowsKept):
            await self._connection._decode_kept(operation, self._statement.registry)
            if isinstance(kept.reason, OutdatedTypeError):
                await self._renew()

    async def _may_repeat(self, operation: Operation) -> bool:
        """Take note of what an error says about the statement; whether executing it again helps and does no harm."""
        if isinstance(operation.error, InvalidSQLStatementNameError):
            may_repeat = self._connection._may_repeat(operation, self._statement)
            if not self._statement.name:
                # A pooler has lost it. It has no name any more, and the same columns unless this session says others.
                return may_repeat
        if isinstance(operation.error, InvalidCachedStatementError | InvalidSQLStatementNameError):
            # Who asked for it may have kept its columns: he is told, and finds others from now on.
            if not self._is_gone:
                self._is_gone = True
                self._connection._frontend.release(self._statement)
            return False
        may_repeat = self._connection._may_repeat(operation, self._statement)
        if may_repeat:
            await self._renew()
        return may_repeat

    async def _restore(self) -> None:
        """Prepare it again if the server has it no more."""
        if not self._is_gone:
            return
        gone = self._statement
        statement = await self._connection._prepare_own(
            self._query, name=self._given_name, record_class=self._record_class
        )
        if self._statement is gone:
            self._take(statement)
        else:  # another task was faster
            self._connection._frontend.release(statement)

    async def _was_outdated(self, error: DataError) -> bool:
        """Whether an argument was refused for what was known of its type, and something else is known of it now, which
        it then uses."""
        connection = self._connection
        frontend = connection._frontend
        if (
            not isinstance(error.__cause__, OutdatedTypeError)
            or frontend.transaction_status is TransactionStatus.FAILED
            or (self._generation == frontend.registry.catalog.generation and not await connection._was_outdated(error))
        ):
            return False
        await self._renew()
        return True

    async def _renew(self) -> None:
        """Use what is known of its types now; otherwise it keeps the codecs that it was prepared with."""
        connection, statement = self._connection, self._statement
        absent: frozenset[int] = frozenset()
        while missing := connection._frontend.missing_types(statement) - absent:
            absent |= await connection._learn_types(missing)
        self._generation = connection._frontend.registry.catalog.generation
        self._statement = statement.renewed()


class _Undo(Exception):
    """Leaves a transaction block that has served its purpose."""


def _parsed(plan: Any) -> Any:
    """A plan, which the codec of json may have parsed already."""
    return json.loads(plan) if isinstance(plan, str) else plan


class StatementMethods:
    """Prepared statements, cursors and streams of a connection."""

    __slots__ = ()

    #: What is made; for subclasses.
    _prepared_statement_class: ClassVar[type[PreparedStatement]] = PreparedStatement
    _cursor_factory_class: ClassVar[type[CursorFactory]] = CursorFactory

    async def prepare(
        self,
        query: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> PreparedStatement:
        """Prepare a statement, to be executed many times.

        Args:
            query: one statement; `$1` and so on stand for arguments.
            name: of the statement on the server, for EXECUTE in SQL; default: one is made, or none with
                `statement_cache_size=0`.
            timeout: seconds; default: the connection's `command_timeout`.
            record_class: a subclass of Record for its rows.
        Raises:
            DuplicatePreparedStatementError: there is a statement of this name.
            Else as `execute`.
        """
        connection = cast("Connection", self)
        check_extended(connection, "prepare()", "Pass the query to fetch() and its kin.")
        async with connection._limit(connection._deadline(timeout)):
            statement = await connection._prepare_own(query, name=name, record_class=record_class)
        return self._prepared_statement_class(connection, statement, name, record_class)

    def cursor(
        self,
        query: str,
        *args: object,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> CursorFactory:
        """A query's rows little by little, inside of a transaction.

        `async for row in connection.cursor(...)` gives them one by one; `cursor = await connection.cursor(...)` is a
        Cursor, which is asked for as many as are wanted.

        Args:
            query: one statement; `$1` and so on stand for the arguments.
            args: their values.
            prefetch: how many rows come at a time, only for `async for`; default 50.
            timeout: seconds for each time; default: the connection's `command_timeout`.
            record_class: a subclass of Record for these rows.
        Raises:
            InterfaceError: the connection is closed, or `record_class` is no class of records.
        """
        connection = cast("Connection", self)
        connection._check_open()
        check_extended(connection, "cursor()", "DECLARE a cursor and FETCH from it in SQL, or fetch() all rows.")
        checked = connection._checked_record_class(record_class)
        return self._cursor_factory_class(connection, query, None, args, prefetch, timeout, checked)

    def stream(
        self,
        query: str,
        *args: object,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> Stream:
        """A query's rows one by one, `async for row in connection.stream(...)`, inside or outside of a transaction.

        No more than `prefetch` rows are held at any time, and none are computed that were not asked for. Outside of a
        transaction the connection does nothing else until the stream ends. To leave it early, iterate within
        `async with connection.stream(...) as rows`.

        Args:
            query: one statement; `$1` and so on stand for the arguments.
            args: their values.
            prefetch: how many rows come at a time. Default: 1000; and outside of a transaction, while they come soon,
                the next 1000 are asked for when there are some, and computed and held as well.
            timeout: seconds for each time; default: the connection's `command_timeout`.
            record_class: a subclass of Record for these rows.
        Raises:
            InterfaceError: the connection is closed, `prefetch` is not greater than zero, or `record_class` is no class
                of records.
        """
        connection = cast("Connection", self)
        connection._check_open()
        check_extended(connection, "stream()", "DECLARE a cursor and FETCH from it in SQL, or fetch() all rows.")
        return Stream(connection, query, args, prefetch, timeout, connection._checked_record_class(record_class))
