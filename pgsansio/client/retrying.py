"""Transactions that are tried again when others were in their way."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pgsansio.client.transaction import Transaction
from pgsansio.engine.operations import Operation
from pgsansio.errors import DeadlockDetectedError, InterfaceError, PostgresError, SerializationError
from pgsansio.policy.transactions import TransactionState

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["RETRIED", "RetriedTransaction", "Retrying"]

#: The server has undone the transaction because of another one, and it may succeed now.
RETRIED: Final = (SerializationError, DeadlockDetectedError)
#: Waiting longer does not help: then there is too much of it.
_MAX_DELAY: Final = 1.0


class RetriedTransaction(Transaction):
    """One attempt of `Connection.retrying()`: an `async with` block that hides an error after which it is repeated."""

    __slots__ = ("_is_last", "_retry_on", "is_due_again")

    def __init__(
        self,
        connection: "Connection",
        *,
        isolation: str | None,
        readonly: bool,
        deferrable: bool,
        retry_on: tuple[type[PostgresError], ...],
        is_last: bool,
    ) -> None:
        super().__init__(connection, isolation=isolation, readonly=readonly, deferrable=deferrable)
        self._retry_on = retry_on
        self._is_last = is_last
        #: Its block has failed, and is to be repeated.
        self.is_due_again = False

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        error = exc
        try:
            await super().__aexit__(exc_type, exc, traceback)
        except PostgresError as failure:
            if exc is not None or not self._may_hide(failure):
                raise
            error = failure
        self.is_due_again = self._may_hide(error)
        return self.is_due_again

    def _may_hide(self, error: BaseException | None) -> bool:
        return isinstance(error, self._retry_on) and not self._is_last and not self._connection.is_closed()


class Retrying:
    """Made by `Connection.retrying()`: `async for transaction in ...: async with transaction: ...`."""

    __slots__ = ("_attempts", "_connection", "_count", "_current", "_delay", "_options", "_retry_on")

    def __init__(
        self,
        connection: "Connection",
        attempts: int,
        isolation: str | None,
        readonly: bool,
        deferrable: bool,
        delay: float,
        retry_on: Sequence[type[PostgresError]],
    ) -> None:
        if attempts < 1:
            raise ValueError(f"attempts is expected to be at least 1, got {attempts!r}")
        if not delay >= 0:
            raise ValueError(f"delay is expected to be greater or equal to 0, got {delay!r}")
        self._connection = connection
        self._attempts = attempts
        self._options = (isolation, readonly, deferrable)
        self._delay = delay
        self._retry_on = tuple(retry_on)
        self._count = 0
        self._current = self._next()  # which complains at once

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RetriedTransaction:
        if self._count == 0:
            if self._connection.is_in_transaction():
                raise InterfaceError(
                    "cannot repeat a transaction inside of another one",
                    hint="Repeat the outermost one: what it has done is undone with it.",
                )
            await self._connection._port.checkpoint()
        else:
            if self._current._level.state is TransactionState.NEW:
                raise InterfaceError("the transaction was not used: `async with` it in the body of the loop")
            if not self._current.is_due_again:
                await self._connection._port.checkpoint()
                raise StopAsyncIteration
            await self._pause()
            self._current = self._next()
        self._count += 1
        return self._current

    def _next(self) -> RetriedTransaction:
        isolation, readonly, deferrable = self._options
        return RetriedTransaction(
            self._connection,
            isolation=isolation,
            readonly=readonly,
            deferrable=deferrable,
            retry_on=self._retry_on,
            is_last=self._count + 1 >= self._attempts,
        )

    async def _pause(self) -> None:
        port = self._connection._port
        # Those that were in each other's way would meet again if all of them waited equally long.
        share = sum(port.nonce().encode()) % 64 / 64
        delay = min(self._delay * 2 ** (self._count - 1), _MAX_DELAY) * (0.5 + share)
        never = Operation(b"", (), 0)
        try:
            async with port.deadline(port.clock() + delay):
                await port.progress(never)
        except TimeoutError:
            pass
