"""Transactions of a connection, as a user asks for them; and the rollback that a cancelled one owes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, cast

from pgsansio.client import cancelling
from pgsansio.client.core import CANCEL_SECONDS, TimeLimit
from pgsansio.client.listening import ListenMethods
from pgsansio.client.queries import QueryMethods
from pgsansio.client.retrying import RETRIED, Retrying
from pgsansio.client.transaction import Transaction
from pgsansio.engine.operations import Operation
from pgsansio.errors import PostgresError
from pgsansio.policy.quoting import quote_literal
from pgsansio.types import PreparedTransaction

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["TransactionMethods"]

_PREPARED: Final = (
    "SELECT gid, prepared, owner::text, database::text FROM pg_catalog.pg_prepared_xacts "
    "WHERE database = pg_catalog.current_database() ORDER BY prepared, gid"
)


class TransactionMethods(QueryMethods, ListenMethods):
    """transaction() and what belongs to it."""

    __slots__ = ()

    #: What is made; for subclasses.
    _transaction_class: ClassVar[type[Transaction]] = Transaction

    def transaction(
        self,
        *,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        shared: bool = False,
        prepare_as: str | None = None,
    ) -> Transaction:
        """A transaction block, or a savepoint inside one; use it as `async with`, or by start(), commit(), rollback().

        Args:
            isolation: 'serializable', 'repeatable_read', 'read_committed' or 'read_uncommitted'.
            shared: let other tasks use the connection at the same time; what they do is part of this transaction.
            prepare_as: where it would be committed, prepare it for two-phase commit under this identifier. Then
                `commit_prepared` or `rollback_prepared` ends it, on whichever connection.
        Raises:
            InterfaceError: the connection is closed.
            ValueError: an unknown isolation level.
        """
        if not self._frontend.is_open:
            raise self._frontend.closed_error()
        return self._transaction_class(
            cast("Connection", self),
            isolation=isolation,
            readonly=readonly,
            deferrable=deferrable,
            shared=shared,
            prepare_as=prepare_as,
        )

    def retrying(
        self,
        *,
        attempts: int = 5,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        delay: float = 0.01,
        retry_on: Sequence[type[PostgresError]] = RETRIED,
    ) -> Retrying:
        """Transactions one after the other until one is committed that other transactions were not in the way of.

            async for transaction in connection.retrying(isolation="serializable"):
                async with transaction:
                    ...

        The block is run again if it, or its COMMIT, fails with one of these errors; any other error leaves the loop.

        Args:
            attempts: how often at most; the last one's error is raised.
            isolation, readonly, deferrable: as for `transaction`.
            delay: seconds before the second attempt, doubled each time up to a second, and varied by a half.
            retry_on: classes of errors; default: SerializationError and DeadlockDetectedError.
        Raises:
            InterfaceError: the connection is closed.
            ValueError: an unknown isolation level; `attempts` is less than one, or `delay` less than zero.
        """
        self._check_open()
        return Retrying(cast("Connection", self), attempts, isolation, readonly, deferrable, delay, retry_on)

    def is_in_transaction(self) -> bool:
        """Whether a transaction block is open (also a failed one), or about to be by a BEGIN that is on its way."""
        return self._frontend.in_transaction

    # two-phase commit

    async def commit_prepared(self, gid: str, *, timeout: float | None = None) -> None:
        """Commit a transaction that was prepared under this identifier, here or elsewhere.

        Raises:
            UndefinedObjectError: there is none. ActiveSQLTransactionError: in a transaction. Else as `execute`.
        """
        await self._end_prepared("COMMIT", gid, timeout)

    async def rollback_prepared(self, gid: str, *, timeout: float | None = None) -> None:
        """Roll it back. Else as `commit_prepared`."""
        await self._end_prepared("ROLLBACK", gid, timeout)

    async def _end_prepared(self, verb: str, gid: str, timeout: float | None) -> None:
        async with TimeLimit(self, self._deadline(timeout)):
            await self._script(f"{verb} PREPARED {quote_literal(gid)}")

    async def prepared_transactions(self, *, timeout: float | None = None) -> list[PreparedTransaction]:
        """Transactions in this database that are prepared and wait for their end, the oldest first."""
        return [PreparedTransaction(*row) for row in await self.fetch(_PREPARED, timeout=timeout)]

    # leaving a block by a cancellation

    async def _give_up_block(self, operation: Operation, error: BaseException) -> None:
        """As `_give_up`, where a transaction block may be open that nobody will end."""
        self._abandon(operation, error)
        if self._frontend.is_open:
            await self._owe_rollback(error)

    async def _owe_rollback(self, error: BaseException, savepoint: str | None = None, mark: int = 0) -> None:
        """A transaction block is left by a cancellation: whatever is submitted from now on comes after its rollback.

        Args:
            savepoint: only this is undone, by this SQL.
            mark: where it stands in the subscriptions.
        """
        if isinstance(error, GeneratorExit):
            self._port.abort()
            return
        if savepoint is None:
            operation = self._frontend.rollback()
        else:
            operation = self._frontend.simple_query(savepoint, internal=True)
        self._port.flush()

        async def carry_out() -> None:
            try:
                await cancelling.cancel_abandoned(self)
                await self._port.wait(operation)
                await self._restore_subscriptions(mark, ended=savepoint is None, committed=False)
            except BaseException:
                self.terminate()
                raise

        await self._port.owe(carry_out, CANCEL_SECONDS)

    async def _owe_restoring(self, error: BaseException, mark: int) -> None:
        """A savepoint was perhaps rolled back: LISTEN again for what that has undone."""
        if isinstance(error, GeneratorExit):
            return

        async def carry_out() -> None:
            try:
                await cancelling.cancel_abandoned(self)
                await self._restore_subscriptions(mark, ended=False, committed=False)
            except PostgresError:  # it was cancelled, and with it the transaction
                self.terminate()
            except BaseException:
                self.terminate()
                raise

        await self._port.owe(carry_out, CANCEL_SECONDS)
