"""Transaction: a transaction block, or a savepoint inside one."""

import warnings
from collections.abc import Awaitable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from pgsansio.client.callbacks import QueryTimer
from pgsansio.errors import InterfaceError, InterfaceWarning, ProtocolError
from pgsansio.policy.transactions import Level, TransactionState

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["Transaction"]

# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_COMMITTED: Final = TransactionState.COMMITTED


class Transaction:
    """Made by `Connection.transaction()`.

    As `async with` it commits when the block ends, and rolls back when an exception leaves it (which goes on). BEGIN is
    sent with the block's first statement, which says so if the server refuses it; a block without any sends nothing.
    If the server has rolled back instead of committing, since a statement had failed, an InterfaceWarning says so.
    """

    __slots__ = ("_connection", "_level", "_mark", "_shared")

    def __init__(
        self,
        connection: "Connection",
        *,
        isolation: str | None,
        readonly: bool,
        deferrable: bool,
        shared: bool = False,
        prepare_as: str | None = None,
    ) -> None:
        self._connection = connection
        self._level = Level(isolation=isolation, readonly=readonly, deferrable=deferrable, prepare_as=prepare_as)
        self._shared = shared
        self._mark = 0

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self._level.describe()} {id(self):#x}>"

    async def __aenter__(self) -> None:
        self._level.enter()
        try:
            await self._start(at_once=False)
        except BaseException:
            self._level.leave()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        connection, level = self._connection, self._level
        try:
            if exc is None and connection._frontend.is_open:
                if await self._end(commit=True):
                    _warn_of_rollback()
            elif exc is None or connection.is_closed():
                connection._levels.ended(level, TransactionState.FAILED)
                if exc is None:
                    connection._check_open()
            elif isinstance(exc, Exception):
                await self._end(commit=False)
            else:
                # A cancellation leaves the block: awaiting the rollback here would only be cancelled again.
                await self._abandon(exc)
        finally:
            level.leave()
        return None

    async def start(self) -> None:
        """Begin it.

        Raises:
            InterfaceError: it was started before; the user's own SQL has begun a transaction; another task is using the
                connection in a transaction.
            PostgresError: the server's word.
            OperationTimeoutError: the connection's `command_timeout` has passed.
        """
        await self._start(at_once=True)

    async def commit(self) -> None:
        """End it and keep what was done; with `prepare_as`, prepare it for two-phase commit.

        Raises:
            InterfaceError: it is not open, or not the innermost one, or belongs to an `async with` block.
            PostgresError: the server refused, and has rolled back.
        """
        self._level.check_manual("commit")
        self._connection._check_open()
        if await self._end(commit=True):
            _warn_of_rollback()

    async def rollback(self) -> None:
        """End it and undo what was done. Raises as `commit`."""
        self._level.check_manual("rollback")
        self._connection._check_open()
        await self._end(commit=False)

    async def _start(self, *, at_once: bool) -> None:
        """Begin it; with `at_once` False, BEGIN may wait for the first statement."""
        connection, level = self._connection, self._level
        levels, session = connection._levels, connection._frontend
        connection._check_open()
        if session._barrier is not None:
            connection._check_alone()
        # Another task's statement, written behind a BEGIN that then fails, would be outside of the transaction.
        if at_once or self._shared or not session.pipelining or levels.depth or session.is_simple:
            if connection._command_timeout is None:
                await self._begin()
            else:
                async with connection._limit(connection._deadline(None)):
                    await self._begin()
            return
        if connection._port.has_checkpoints:
            await connection._port.checkpoint()
        self._mark = connection._subscriptions.mark()
        sql = levels.start(level, session.predicted_status)
        try:
            session.begin_with_next(sql)
        except BaseException:
            levels.start_failed(level)
            raise
        if connection._query_loggers:
            timer = QueryTimer(connection, sql, (), None)
            timer.begin()
            timer.end(None)  # as far as anybody knows: its time, and whether it fails, are the first statement's

    async def _begin(self) -> None:
        """Begin it now."""
        connection, level = self._connection, self._level
        levels, session = connection._levels, connection._frontend
        await self._ask_outer_isolation()
        self._mark = connection._subscriptions.mark()
        sql = levels.start(level, session.predicted_status)
        outermost = levels.depth == 1
        timer = QueryTimer(connection, sql, (), None)
        timer.begin()
        try:
            operation = session.simple_query(sql) if outermost else session.savepoint(sql)
        except BaseException:
            levels.start_failed(level)
            raise
        try:
            await connection._port.wait(operation)
        except BaseException as error:
            timer.end(error)
            levels.start_failed(level)
            if outermost and operation.written:
                await connection._give_up_block(operation, error)
            else:
                await connection._give_up(operation, error)
            raise
        if operation.error is not None:
            levels.start_failed(level)
            failure = connection._failure(operation, sql)
            timer.end(failure)
            raise failure
        timer.end(None)
        if self._shared:
            session.shared_transaction = True

    async def _ask_outer_isolation(self) -> None:
        """Ask for the isolation of the transaction around this savepoint, if that matters and nobody knows."""
        levels = self._connection._levels
        if levels.isolation_unknown(self._level):
            row = await self._connection.fetchrow("SHOW transaction_isolation")
            if not row or not isinstance(row[0], str):
                raise ProtocolError("the answer to SHOW transaction_isolation is not a text")
            levels.outer_isolation(row[0])

    def _end(self, *, commit: bool) -> Awaitable[bool]:
        """Whether it was rolled back instead of committed."""
        if self._connection._command_timeout is None:
            return self._finish(commit=commit)
        return self._finish_in_time(commit=commit)

    async def _finish_in_time(self, *, commit: bool) -> bool:
        async with self._connection._limit(self._connection._deadline(None)):
            return await self._finish(commit=commit)

    async def _finish(self, *, commit: bool) -> bool:
        connection, level = self._connection, self._level
        levels, session = connection._levels, connection._frontend
        connection._port.guard()
        if not session.is_open:  # the port has just found that out
            levels.ended(level, TransactionState.FAILED)
            raise session.closed_error()
        sql = levels.end(level, commit=commit)
        outermost = level.savepoint is None
        if outermost and (session.deferred is not None or session.beginning is not None):
            if commit and level.prepare_as is not None and session.begin_is_due:
                # Whoever ends it counts on it, even if nothing was done in it.
                try:
                    await connection._begin_now()
                except BaseException as error:
                    await self._abandon(error)
                    raise
            if session.deferred is not None:
                async with QueryTimer(connection, sql, (), None):
                    await self._end_unbegun(commit=commit)
                return False
            session.drop_begin()
        timer = None
        if connection._query_loggers:
            timer = QueryTimer(connection, sql, (), None)
            timer.begin()
        operation = session.command(sql)
        try:
            await connection._port.wait(operation)
        except BaseException as error:
            if timer is not None:
                timer.end(error)
            self._ended(TransactionState.FAILED, outermost)
            if outermost:
                await connection._give_up_block(operation, error)
            else:
                await connection._give_up(operation, error)
            if not outermost and not operation.written:
                await self._owe_undoing(error)
            elif not outermost and not commit and session.is_open:
                await connection._owe_restoring(error, self._mark)
            raise
        failure = None if operation.error is None else connection._failure(operation, sql)
        # The server answers COMMIT of an aborted transaction with ROLLBACK.
        committed = commit and failure is None and operation.tag != b"ROLLBACK"
        if committed:
            state = _COMMITTED if level.prepare_as is None else TransactionState.PREPARED
        else:
            state = TransactionState.ROLLEDBACK if failure is None else TransactionState.FAILED
        self._ended(state, outermost)
        if timer is not None:
            timer.end(failure)
        if connection._subscriptions.mark() and session.is_open:
            await connection._restore_subscriptions(self._mark, ended=outermost, committed=committed)
        if failure is not None:
            raise failure
        return commit and not committed

    async def _end_unbegun(self, *, commit: bool) -> None:
        """Nothing was done in the block, or nothing could be, for BEGIN was refused."""
        connection = self._connection
        refused = connection._frontend.begin_error
        connection._frontend.drop_begin()
        if refused is not None:
            self._ended(TransactionState.FAILED, outermost=True)
            if commit:
                raise InterfaceError("cannot commit; the transaction could not begin") from refused
        else:
            self._ended(TransactionState.COMMITTED if commit else TransactionState.ROLLEDBACK, outermost=True)
        await connection._port.checkpoint()

    async def _abandon(self, error: BaseException) -> None:
        """Leave without waiting; the rollback is owed."""
        if self._level.state is not TransactionState.STARTED:
            return  # the connection was reset meanwhile; it may be another task's by now
        connection = self._connection
        outermost = connection._levels.depth == 1
        self._ended(TransactionState.ROLLEDBACK, outermost)
        was_sent = not connection._frontend.begin_is_due and connection._frontend.begin_error is None
        if outermost:
            connection._frontend.drop_begin()
            if was_sent:
                await connection._owe_rollback(error)
        elif was_sent:
            await self._owe_undoing(error)

    async def _owe_undoing(self, error: BaseException) -> None:
        """The transaction around this savepoint may go on and be committed; not so what was done in here."""
        if self._connection._frontend.is_open:
            await self._connection._owe_rollback(error, self._level.undo_sql(), self._mark)

    def _ended(self, state: TransactionState, outermost: bool) -> None:
        connection = self._connection
        connection._levels.ended(self._level, state)
        if outermost and self._shared:
            connection._frontend.shared_transaction = False


def _warn_of_rollback() -> None:
    """To whoever has called the method that calls this."""
    warnings.warn(
        InterfaceWarning(
            "the transaction was rolled back instead of committed",
            detail="A statement in it had failed, and its error went no further than the block.",
            hint="Put a statement that may fail into a transaction() of its own inside of this one.",
        ),
        stacklevel=3,
    )
