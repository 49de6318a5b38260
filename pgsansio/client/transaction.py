"""Transaction: a transaction block, or a savepoint inside one."""

from types import TracebackType
from typing import TYPE_CHECKING

from pgsansio.errors import ProtocolError
from pgsansio.policy.transactions import Level, TransactionState

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["Transaction"]


class Transaction:
    """Made by `Connection.transaction()`.

    As `async with` it commits when the block ends, and rolls back when an exception leaves it (which goes on).
    """

    __slots__ = ("_connection", "_level", "_mark", "_shared")

    def __init__(
        self, connection: "Connection", *, isolation: str | None, readonly: bool, deferrable: bool, shared: bool
    ) -> None:
        self._connection = connection
        self._level = Level(isolation=isolation, readonly=readonly, deferrable=deferrable)
        self._shared = shared
        self._mark = 0

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self._level.describe()} {id(self):#x}>"

    async def __aenter__(self) -> None:
        self._level.enter()
        try:
            await self._start()
        except BaseException:
            self._level.leave()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection, level = self._connection, self._level
        try:
            if connection.is_closed():
                connection._levels.ended(level, TransactionState.FAILED)
                if exc is None:
                    connection._check_open()
            elif exc is None or isinstance(exc, Exception):
                await self._end(commit=exc is None)
            else:
                # A cancellation leaves the block: awaiting the rollback here would only be cancelled again.
                await self._abandon(exc)
        finally:
            level.leave()

    async def start(self) -> None:
        """Begin it.

        Raises:
            InterfaceError: it was started before; the user's own SQL has begun a transaction; another task is using the
                connection in a transaction.
            PostgresError: the server's word.
        """
        await self._start()

    async def commit(self) -> None:
        """End it and keep what was done.

        Raises:
            InterfaceError: it is not open, or not the innermost one, or belongs to an `async with` block.
            PostgresError: the server refused, and has rolled back.
        """
        self._level.check_manual("commit")
        await self._end(commit=True)

    async def rollback(self) -> None:
        """End it and undo what was done. Raises as `commit`."""
        self._level.check_manual("rollback")
        await self._end(commit=False)

    async def _start(self) -> None:
        connection, level = self._connection, self._level
        connection._check_open()
        connection._check_alone()
        levels, session = connection._levels, connection._frontend
        await self._ask_outer_isolation()
        self._mark = connection._subscriptions.mark()
        sql = levels.start(level, session.predicted_status)
        outermost = levels.depth == 1
        try:
            operation = connection._frontend.simple_query(sql, begins=outermost)
        except BaseException:
            levels.start_failed(level)
            raise
        try:
            await connection._port.wait(operation)
        except BaseException as error:
            levels.start_failed(level)
            if outermost and operation.written:
                await connection._give_up_block(operation, error)
            else:
                await connection._give_up(operation, error)
            raise
        if operation.error is not None:
            levels.start_failed(level)
            raise connection._failure(operation, sql)
        levels.began(level)
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

    async def _end(self, *, commit: bool) -> None:
        connection, level = self._connection, self._level
        levels, session = connection._levels, connection._frontend
        connection._check_open()
        sql = levels.end(level, commit=commit)
        outermost = levels.depth == 1
        operation = connection._frontend.simple_query(sql, begins=False)
        try:
            await connection._port.wait(operation)
        except BaseException as error:
            self._ended(TransactionState.FAILED, outermost)
            if outermost:
                await connection._give_up_block(operation, error)
            else:
                await connection._give_up(operation, error)
            if not outermost and not operation.written:
                await self._owe_undoing(error)
            raise
        # The server answers COMMIT of an aborted transaction with ROLLBACK.
        committed = commit and operation.error is None and operation.tag != b"ROLLBACK"
        if operation.error is not None:
            state = TransactionState.FAILED
        else:
            state = TransactionState.COMMITTED if committed else TransactionState.ROLLEDBACK
        self._ended(state, outermost)
        if session.is_open:
            await connection._restore_subscriptions(self._mark, ended=outermost, committed=committed)
        if operation.error is not None:
            raise connection._failure(operation, sql)

    async def _abandon(self, error: BaseException) -> None:
        """Leave without waiting; the rollback is owed."""
        connection = self._connection
        outermost = connection._levels.depth == 1
        started = self._level.state is TransactionState.STARTED
        self._ended(TransactionState.ROLLEDBACK, outermost)
        if outermost:
            await connection._owe_rollback(error)
        elif started:
            await self._owe_undoing(error)

    async def _owe_undoing(self, error: BaseException) -> None:
        """The transaction around this savepoint may go on and be committed; not so what was done in here."""
        if self._connection._frontend.is_open:
            await self._connection._owe_rollback(error, self._level.undo_sql(), self._mark)

    def _ended(self, state: TransactionState, outermost: bool) -> None:
        connection = self._connection
        connection._levels.ended(self._level, state)
        if outermost:
            connection._frontend.shared_transaction = False
