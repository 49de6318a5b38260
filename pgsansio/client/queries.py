"""Queries: the methods that run a statement and give its result.

How this works. A query that the statement cache knows is one coroutine frame: `fetch` makes the operation and awaits
what the port returns for it. Everything else (a statement to prepare, a time limit, a retry, an error) goes through
`_query`, which is the same conversation at length.
"""

from collections.abc import Sequence
from typing import Any

from pgsansio.client.callbacks import CallbackMethods
from pgsansio.client.core import TimeLimit
from pgsansio.client.elements import Arguments, Elements
from pgsansio.client.first_execution import FirstExecutions
from pgsansio.client.simple import SimpleStatements
from pgsansio.client.type_methods import Codecs
from pgsansio.engine.operations import Batch, Operation, RowsKept
from pgsansio.errors import DataError, InterfaceError
from pgsansio.kernel.contract import OutdatedTypeError
from pgsansio.statement import MAX_ARGUMENTS, Statement
from pgsansio.types import Result

__all__ = ["QueryMethods"]


class QueryMethods(FirstExecutions, SimpleStatements, CallbackMethods):
    """execute, fetch and their kin."""

    __slots__ = ()

    async def execute(self, query: str, *args: object, timeout: float | None = None, codecs: Codecs = ()) -> str:
        """Run a statement and return its command tag, 'INSERT 0 1'.

        Args:
            query: `$1` and so on stand for the arguments.
            args: their values.
            timeout: seconds for all of it; default: the connection's `command_timeout`.
            codecs: for this query only, over those of the connection.

        Without arguments the text may hold several statements; the last one's tag is returned, and "" if there is none.
        Rows are discarded.

        Raises:
            PostgresError: the server's word.
            DataError: an argument cannot be encoded; nothing was sent.
            InterfaceError: the connection cannot be used for this; nothing was sent.
            OperationTimeoutError: `timeout` seconds have passed.
        """
        if args:
            return (await self._query(query, args, 0, timeout, None, codecs)).status or ""
        if timeout is None and not self._long_way:
            if self._frontend.deferred is not None:
                return await self._script(query)
            operation = self._submit_script(query)
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                raise self._failure(operation, query)
            return operation.status or ""
        async with self._logged(query, args, timeout), TimeLimit(self, self._deadline(timeout)):
            return await self._script(query)

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """Run a statement and return its rows.

        Args:
            query: one statement; `$1` and so on stand for the arguments.
            args: their values.
            timeout: seconds for all of it; default: the connection's `command_timeout`.
            record_class: a subclass of Record for these rows.
            codecs: for this query only, over those of the connection.
        Returns:
            A list of Record.
        Raises: as `execute`.
        """
        operation = None if codecs else self._execute_known(query, args, 0, timeout, record_class)
        if operation is None:
            operation = await self._query(query, args, 0, timeout, record_class, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, 0)
        return operation.rows

    async def fetchrow(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """Run a statement and return its first row, or None. The server is asked for one row only.

        Raises: as `execute`.
        """
        operation = None if codecs else self._execute_known(query, args, 1, timeout, record_class)
        if operation is None:
            operation = await self._query(query, args, 1, timeout, record_class, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, 1)
        rows = operation.rows
        return rows[0] if rows else None

    async def query(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> Result:
        """As `fetch`, and return the command tag with the rows: `(await connection.query("UPDATE ...")).affected`.

        Raises: as `execute`.
        """
        operation = None if codecs else self._execute_known(query, args, 0, timeout, record_class)
        if operation is None:
            operation = await self._query(query, args, 0, timeout, record_class, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, 0)
        return Result(operation.rows, operation.status or "")

    async def fetchval(
        self,
        query: str,
        *args: object,
        column: int | str = 0,
        timeout: float | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """Run a statement and return one value of its first row, or None if there is no row.

        Args:
            column: index or name.
        Raises:
            IndexError, KeyError: the row has no such column. Else as `execute`.
        """
        operation = None if codecs else self._execute_known(query, args, 1, timeout, None)
        if operation is None:
            operation = await self._query(query, args, 1, timeout, None, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, 1)
        rows = operation.rows
        return rows[0][column] if rows else None

    async def executemany(
        self, command: str, args: Arguments, *, timeout: float | None = None, codecs: Codecs = ()
    ) -> None:
        """Run a statement once for each element of `args`, all under one Sync: outside a transaction all or nothing.

        Args:
            args: sequences of arguments, from an iterable or an asynchronous one; taken lazily, some 64 KiB of messages
                ahead. Others who use the connection wait meanwhile.
        Raises:
            DataError: an element is not a sequence, or an argument cannot be encoded; it names both. Outside a
                transaction nothing is kept; inside one, what was sent before stays.
            Else as `execute`, and whatever `args` raises.
        """
        async with self._logged(command, args, timeout), TimeLimit(self, self._deadline(timeout)):
            await self._many(command, args, codecs)

    async def fetchmany(
        self,
        query: str,
        args: Arguments,
        *,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """As `executemany`, and return the rows of all executions in one list.

        Args:
            record_class: a subclass of Record for these rows.
        Raises: as `executemany`.
        """
        async with self._logged(query, args, timeout), TimeLimit(self, self._deadline(timeout)):
            record_class = self._checked_record_class(record_class) or self._record_class
            return await self._many(query, args, codecs, record_class)

    #  conversations

    def _execute_known(
        self,
        query: str,
        args: Sequence[object],
        max_rows: int,
        timeout: float | None,
        record_class: type[Any] | None,
    ) -> Operation | None:
        """The short way: a statement that is prepared, no time limit, nothing special; None: it is not for this one."""
        if timeout is not None or record_class is not None or self._long_way:
            return None
        port, frontend = self._port, self._frontend
        port.guard()
        statement = frontend.cached(query, port.clock())
        if statement is None or frontend._barrier is not None:
            return None
        try:
            operation = frontend.execute(statement, args, max_rows)
        except DataError as error:
            if isinstance(error.__cause__, OutdatedTypeError):
                return None
            raise
        self._queries += 1
        return operation

    async def _repeat(self, operation: Operation, query: str, args: Sequence[object], max_rows: int) -> Operation:
        """Go on with an operation that went the short way and has an error: mend it, do it again, or raise it."""
        if isinstance(operation.error, RowsKept) and await self._decode_kept(operation, self._frontend.registry):
            return operation
        if not self._may_repeat(operation, self._frontend.cached(query, self._port.clock())):
            raise self._failure(operation, query)
        return await self._converse(query, args, max_rows, None, (), repeated=True)

    async def _query(
        self,
        query: str,
        args: Sequence[object],
        max_rows: int,
        timeout: float | None,
        record_class: type[Any] | None,
        codecs: Codecs,
    ) -> Operation:
        if timeout is None and not self._long_way:
            self._checked_record_class(record_class)
            return await self._converse(query, args, max_rows, record_class, codecs)
        async with self._logged(query, args, timeout), TimeLimit(self, self._deadline(timeout)):
            self._checked_record_class(record_class)
            return await self._converse(query, args, max_rows, record_class, codecs)

    async def _converse(
        self,
        query: str,
        args: Sequence[object],
        max_rows: int,
        record_class: type[Any] | None,
        codecs: Codecs,
        *,
        repeated: bool = False,
    ) -> Operation:
        """Prepare if need be, execute, and do both once more if what was known turned out to be outdated.

        Args:
            repeated: this is the second time.
        """
        port, frontend = self._port, self._frontend
        port.guard()
        if len(args) > MAX_ARGUMENTS:
            raise InterfaceError(f"the number of query arguments cannot exceed {MAX_ARGUMENTS}")
        asked_again = records_as_text = False
        while True:
            statement = frontend.cached(query, port.clock())
            if statement is None:
                if frontend.is_simple:
                    return await self._execute_simply(query, args, record_class, codecs)
                if not codecs and not repeated:
                    first = await self._execute_first(query, args, max_rows, record_class)
                    if first is not None:
                        return first
                statement = frontend.cached(query, port.clock()) or await self._prepare(query)
            if codecs:
                statement = self._with_codecs(statement, codecs)
            if records_as_text and statement.binary_records:
                statement.take_records_as_text()  # one that is prepared anew each time does not know it
            self._check_alone()
            try:
                operation = frontend.execute(statement, args, max_rows, record_class)
            except DataError as error:
                if asked_again or not await self._was_outdated(error):
                    raise
                asked_again = True
                continue
            self._queries += 1
            await self._finish(operation)
            if isinstance(operation.error, RowsKept) and await self._decode_kept(operation, statement.registry):
                return operation
            if operation.error is None:
                return operation
            if repeated or not self._may_repeat(operation, statement):
                raise self._failure(operation, query)
            repeated, records_as_text = True, statement.records_as_text

    async def _many(
        self,
        command: str,
        args: Arguments,
        codecs: Codecs,
        record_class: type[Any] | None = None,
        *,
        repeated: bool = False,
    ) -> list[Any]:
        """Prepare if need be, execute for each element, and do both once more if what was known turned out to be
        outdated and the elements can be had again.

        Args:
            record_class: of the rows; None: they are not wanted.
            repeated: this is the second time.
        Returns:
            The rows.
        """
        port, frontend = self._port, self._frontend
        port.guard()
        if frontend.is_simple:
            return await self._many_simply(command, args, codecs, record_class)
        repeated = repeated or not isinstance(args, Sequence)
        try:
            async with Elements(port, args) as elements:
                statement = frontend.cached(command, port.clock()) or await self._prepare(command)
                if codecs:
                    statement = self._with_codecs(statement, codecs)
                operation, failure = await self._batch(statement, elements, record_class)
        except DataError as error:
            if not await self._was_outdated(error) or repeated:
                raise
            return await self._many(command, args, codecs, record_class, repeated=True)
        if operation is None:
            return []
        if isinstance(operation.error, RowsKept):
            await self._decode_kept(operation, statement.registry)
        if operation.error is not None:
            if self._may_repeat(operation, statement) and not repeated and failure is None:
                return await self._many(command, args, codecs, record_class, repeated=True)
            failed = self._failure(operation, command)
            if failure is not None:
                failed.__cause__ = failure
            raise failed
        if failure is not None:
            raise failure
        return operation.rows

    async def _batch(
        self, statement: Statement, elements: Elements, record_class: type[Any] | None
    ) -> tuple[Batch | None, BaseException | None]:
        """Execute a statement for each element: the settled operation, and what the user's side raised meanwhile.

        Args:
            record_class: of the rows; None: they are not wanted.
        Returns:
            None for the operation if there are no elements.
        Raises:
            DataError, InterfaceError, and what `elements` raises: before anything was sent.
        """
        port = self._port
        self._check_alone()
        data, count, exhausted = await elements.take(statement, 0, first=True)
        if not count:
            await port.checkpoint()
            return None, None
        await self._begin_now()
        plan = None if record_class is None else statement.rows_as(record_class)
        operation = self._frontend.batch(statement, data, count, complete=exhausted, owner=port.task(), row_plan=plan)
        self._queries += 1
        try:
            failure = None if exhausted else await self._feed(operation, statement, elements, count)
            await port.wait(operation)
        except BaseException as error:
            await self._give_up(operation, error)
            raise
        return operation, failure

    async def _feed(
        self, operation: Batch, statement: Statement, elements: Elements, index: int
    ) -> BaseException | None:
        """Hand over the rest of a batch as the transport takes it, and end it; what the user's side raised."""
        session = self._frontend
        while not operation.written and not operation.settled:
            await self._port.progress(operation)
            operation.attention = False
        exhausted = False
        while not exhausted and not operation.refused and not operation.settled:
            await self._port.outbox_low()
            try:
                data, count, exhausted = await elements.take(statement, index, first=False)
            except BaseException as error:
                if elements.are_awaited and not isinstance(error, Exception):
                    raise  # a cancellation of this task, as at any other await
                session.give_up(operation)
                return error
            index += count
            session.extend(operation, data, count)
        session.finish(operation)
        return None
