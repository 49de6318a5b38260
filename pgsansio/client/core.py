"""What every conversation on one connection needs: its state, waiting, time limits, cancellation, failures.

Whatever is raised out of an await is a cancellation: `_give_up` first changes the state, then lets the port carry out
what is owed.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final
from weakref import ref

from pgsansio.client import cancelling
from pgsansio.client.encrypting import PLAIN
from pgsansio.client.port import Address, Port
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.codecs.registry import Registry
from pgsansio.engine.events import Event
from pgsansio.engine.operations import DescribedAgain, Operation, RowsKept
from pgsansio.enums import Outcome, TransactionStatus
from pgsansio.errors import (
    InterfaceError,
    InvalidCachedStatementError,
    InvalidValueError,
    OperationTimeoutError,
    PostgresError,
)
from pgsansio.frontend import Frontend
from pgsansio.frontend.statements import NOT_AS_KNOWN
from pgsansio.kernel import Record
from pgsansio.kernel.contract import OutdatedTypeError, UnknownTypeError
from pgsansio.policy.cancellation import Owed
from pgsansio.policy.conninfo import Settings
from pgsansio.policy.keywords import percent_placeholder_hint
from pgsansio.policy.statement_names import own_name_in
from pgsansio.policy.subscriptions import Subscriptions
from pgsansio.policy.transactions import Levels
from pgsansio.statement import Statement
from pgsansio.types import Notification

__all__ = [
    "CANCEL_SECONDS",
    "WRITTEN",
    "ConnectionCore",
    "TimeLimit",
    "check_query",
    "check_record_class",
    "misled",
    "undecodable",
]

#: How long cancelling what runs may take before the connection is given up; libpq has no such bound and hangs.
CANCEL_SECONDS: Final = 10.0

SEVERAL_STATEMENTS_HINT: Final = "Use execute() without arguments for a script, or one call for each statement."

#: A prepared statement does not exist, or exists already.
_OF_NAMES: Final = ("26000", "42P05")

#: Noted on the cancellation that ended the wait for an operation: whether the server may have seen anything of it.
WRITTEN: Final = "_pgsansio_written"


class ConnectionCore:
    """One connection, as the conversations on it see it."""

    __slots__ = (
        "__weakref__",
        "_address",
        "_asked",
        "_channel",
        "_command_timeout",
        "_frontend",
        "_introduced",
        "_layers",
        "_levels",
        "_log_listeners",
        "_long_way",
        "_on_end",
        "_on_reset",
        "_parameter_listeners",
        "_port",
        "_preparing",
        "_proxy",
        "_queries",
        "_query_loggers",
        "_record_class",
        "_releases",
        "_reset_query",
        "_resetting",
        "_settings",
        "_subscriptions",
        "_termination_listeners",
    )

    def __init__(
        self, port: Port, frontend: Frontend, address: Address, settings: Settings, *, record_class: type[Any] = Record
    ) -> None:
        self._port = port
        self._frontend = frontend
        self._address = address
        #: The address before its host name was resolved.
        self._asked = address
        #: How a stream to the same server is opened, for a CancelRequest.
        self._channel = PLAIN
        self._settings = settings
        self._record_class = record_class
        self._command_timeout = settings.command_timeout
        self._levels = Levels()
        self._subscriptions: Subscriptions[Notification] = Subscriptions()
        # Callbacks (`client.callbacks`), kept by equality and called in this order.
        self._log_listeners: dict[Callable[..., Any], None] = {}
        self._parameter_listeners: dict[Callable[..., Any], None] = {}
        self._termination_listeners: dict[Callable[..., Any], None] = {}
        self._query_loggers: dict[Callable[..., Any], None] = {}
        #: No query goes the short way: each has a time limit, or is to be told of.
        self._long_way = self._command_timeout is not None
        #: Statements that are being prepared (`client.preparing`).
        self._preparing: dict[str, Any] = {}
        #: Those that are prepared and executed at once (`client.first_execution`).
        self._introduced: set[str] = set()
        #: Codecs of single queries, over those of the connection.
        self._layers: dict[tuple[CodecDeclaration, ...], Registry] = {}
        self._queries: int = 0
        #: The pool's: what stands for this connection while a task has it, and who is told that it has ended.
        self._proxy: Any = None
        self._on_end: Callable[[Any], None] | None = None
        #: A reset that nobody waits for, and who is told that it has ended.
        self._resetting: Operation | None = None
        self._on_reset: Callable[[Any, Operation], None] | None = None
        self._reset_query: str | None = None
        #: How often it was given back to the pool; what was made on it before then is of no use any more.
        self._releases = 0
        # Weakly: the loop keeps the port while it is open, and a connection that its user has forgotten has to go.
        weak = ref(self)

        def on_news() -> None:
            connection = weak()
            if connection is not None:
                connection._news()

        async def on_cancel_due() -> None:
            connection = weak()
            if connection is not None:
                await connection._carry_out_cancel()

        port.on_news = on_news
        port.on_cancel_due = on_cancel_due

    def __del__(self) -> None:
        frontend: Frontend | None = getattr(self, "_frontend", None)  # None: a subclass's __init__ failed
        if frontend is not None and frontend.is_open:
            name = f"{type(self).__module__}.{type(self).__name__}"
            origin = self._port.origin
            warnings.warn(f"unclosed connection <{name} {id(self):#x}>; {origin}", ResourceWarning, 2, self)
            # The collector may run in any thread, and when the loop is gone; then the system closes the socket.
            with suppress(InterfaceError):
                self._port.guard()
                self.terminate()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {'closed ' if self.is_closed() else ''}{id(self):#x}>"

    def is_closed(self) -> bool:
        """Whether the connection was closed, or is known to be lost."""
        self._port.poll()
        return not self._frontend.is_open

    def terminate(self) -> None:
        """Close the connection now, without waiting.

        Raises:
            InterfaceError: called from another thread; nothing has happened.
        """
        self._port.guard_thread()
        if self._frontend.is_open:
            self._frontend.terminate()
            self._port.flush()
        self._port.abort()

    #  what every conversation needs

    async def _script(self, query: str, *, internal: bool = False) -> str:
        if self._frontend.deferred is not None:
            check_query(query)
            self._port.guard()
            self._check_alone()
            await self._begin_now()
        operation = self._submit_script(query, internal=internal)
        try:
            await self._port.wait(operation)
        except BaseException as error:
            await self._give_up(operation, error)
            raise
        if operation.error is not None:
            raise self._failure(operation, query)
        return operation.status or ""

    def _submit_script(self, query: str, *, internal: bool = False) -> Operation:
        check_query(query)
        frontend = self._frontend
        self._port.guard()
        if frontend._barrier is not None:
            self._check_alone()
        operation = frontend.simple_query(query, internal=internal)
        self._queries += 1
        return operation

    async def _begin_now(self) -> None:
        """Wait for a BEGIN that is due, before something that cannot share its Sync group.

        Raises:
            InterfaceError, PostgresError: it was refused.
        """
        if self._frontend.begin_is_due:
            operation = self._frontend.begin_now()
            await self._finish(operation)
            if operation.error is not None:
                raise self._failure(operation, "BEGIN")

    async def _finish(self, operation: Operation) -> None:
        """Wait until it is settled; if that is cancelled, see to what is owed."""
        try:
            await self._port.wait(operation)
        except BaseException as error:
            await self._give_up(operation, error)
            raise

    async def _give_up(self, operation: Operation, error: BaseException) -> None:
        """The task no longer waits for this operation. First the state changes, then what is owed is carried out."""
        owed = self._abandon(operation, error)
        if isinstance(error, GeneratorExit):
            # The coroutine is being thrown away: nothing may be awaited any more.
            if owed in (Owed.CANCEL, Owed.DRAIN):
                self._port.abort()
        elif owed is Owed.CANCEL:
            await self._port.owe(self._carry_out_cancel, CANCEL_SECONDS)

    def _abandon(self, operation: Operation, error: BaseException) -> Owed:
        """Nobody waits for it any more, because of `error`, which is told whether the server may have seen it."""
        owed = self._frontend.abandon(operation)
        error.__dict__[WRITTEN] = operation.written or error.__dict__.get(WRITTEN, False)
        return owed

    async def _carry_out_cancel(self) -> None:
        """Cancel what runs, all of it abandoned; when this fails or takes too long, the connection is given up.

        Raises:
            TimeoutError: it took too long.
        """
        # Not every port bounds what it does because of `cancel_due`, and a server that neither ends the statement nor
        # closes the connection of a CancelRequest would keep what comes after it from being written for ever.
        async with self._port.deadline(self._port.clock() + CANCEL_SECONDS):
            await cancelling.cancel_abandoned(self)

    def _check_open(self) -> None:
        self._port.guard()
        if not self._frontend.is_open:
            raise self._frontend.closed_error()

    def _check_alone(self) -> None:
        """A task whose own group is open would wait for itself."""
        exclusive = self._frontend.exclusive
        if exclusive is not None and not exclusive.abandoned and exclusive.owner == self._port.task():
            raise InterfaceError(
                "cannot perform operation: this task is in the middle of another one on the same connection",
                hint="An executemany() whose arguments come from an iterator, a COPY, or a stream() outside of a "
                "transaction keeps the connection to itself until it ends.",
            )

    def _checked_record_class(self, record_class: type[Any] | None) -> type[Any] | None:
        """Raises InterfaceError: it is no class of records."""
        if record_class is not None:
            check_record_class(record_class)
        return record_class

    def _seconds(self, timeout: object) -> float:
        # NaN is neither early nor late: it would mix up all the timers of a loop.
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
            raise ValueError(f"invalid timeout value: expected non-negative float (got {timeout!r})")
        return float(timeout)

    def _deadline(self, timeout: float | None) -> float | None:
        """When an operation with this time limit must end."""
        if timeout is None:
            timeout = self._command_timeout
            if timeout is None:
                return None
        seconds = self._seconds(timeout)
        if seconds <= 0:
            raise OperationTimeoutError(
                "the time limit of the operation has passed before it began",
                outcome=Outcome.CANCELLED,
                connection_usable=True,
            )
        return self._port.clock() + seconds

    def _limit(self, at: float | None) -> "TimeLimit":
        """A block that has to end by this time of the port's clock."""
        return TimeLimit(self, at)

    def _may_repeat(self, operation: Operation, statement: Statement | None) -> bool:
        """Take note of what an error says about a statement; whether that helps, and nothing has happened on the
        server.

        Args:
            statement: None if it was forgotten meanwhile.
        """
        return self._frontend.heed(operation, statement) and self._is_outside()

    def _is_outside(self) -> bool:
        """Whether nothing of a transaction is at stake: what the server has refused has left nothing behind."""
        return self._frontend.transaction_status is TransactionStatus.IDLE and not self._frontend.in_transaction

    def _failure(self, operation: Operation, query: str) -> BaseException:
        """The operation's error as it is raised to the user."""
        error = operation.error
        assert error is not None
        if isinstance(error, RowsKept):  # of rows that are none of a statement's of the user
            return undecodable(error.reason)
        if (
            isinstance(operation, DescribedAgain)
            and operation.is_outdated
            and isinstance(error, PostgresError)
            and error.sqlstate in NOT_AS_KNOWN
        ):
            outdated = misled(query)
            outdated.__cause__ = error
            return outdated
        if isinstance(error, PostgresError) and error.sqlstate is not None and error.query is None:
            error.query = query
            if error.sqlstate in ("42601", "42P18") and error.hint is None:
                # Told by the server's function, since its text is translated: a syntax error found after parsing.
                several = error.sqlstate == "42601" and error.server_source_function == "exec_parse_message"
                error.hint = SEVERAL_STATEMENTS_HINT if several else percent_placeholder_hint(query)
            if error.sqlstate in _OF_NAMES and own_name_in(error.message) is not None:
                # The user has not named it, and nothing of it was carried out.
                error.safe_to_retry = True
                if self._frontend.in_transaction:
                    error.hint = f"Run the transaction again.\n{error.hint}"
        return error

    def _news(self) -> None:
        """The engine has something to tell that is no answer."""
        frontend = self._frontend
        while (event := frontend.next_event()) is not None:
            self._heard(event)
        if not frontend.is_open:
            self._has_ended()
        resetting = self._resetting
        if resetting is not None and resetting.settled and self._on_reset is not None:
            self._resetting = None
            self._on_reset(self, resetting)

    def _heard(self, event: Event) -> None:
        """Something came that is no answer."""

    def _has_ended(self) -> None:
        """The connection was closed or lost. May be told more than once."""
        if self._on_end is not None:
            self._on_end(self)


class TimeLimit:
    """A block in which everything has to be done by a time.

    Raises:
        OperationTimeoutError: it was not; what was going on was cancelled.
    """

    __slots__ = ("_connection", "_inner", "_queries")

    def __init__(self, connection: ConnectionCore, at: float | None) -> None:
        self._connection = connection
        self._inner = connection._port.deadline(at)
        self._queries = connection._queries

    async def __aenter__(self) -> None:
        await self._inner.__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._inner.__aexit__(exc_type, exc, traceback)
        except TimeoutError as error:
            written = None if exc is None else exc.__dict__.get(WRITTEN)
            if written is None:
                # No operation was waited for: it has not begun, or was done, perhaps all of it.
                written = self._queries != self._connection._queries
            raise OperationTimeoutError(
                "the time limit of the operation has passed",
                outcome=Outcome.UNKNOWN if written else Outcome.CANCELLED,
                connection_usable=not self._connection.is_closed(),
            ) from error


def check_query(query: object) -> None:
    """Raises TypeError: not a str."""
    if not isinstance(query, str):
        raise TypeError(f"query is expected to be a str, got {type(query).__name__}")


def misled(query: str) -> InvalidCachedStatementError:
    """What the user is told of a statement that is not what it was known as, where it cannot be done again."""
    error = InvalidCachedStatementError(
        "the statement is not what another connection has known it as: a schema or a setting differs"
    )
    error.hint = "Run the transaction again: that is forgotten now."
    error.query = query
    return error


def check_record_class(record_class: object) -> None:
    """Raises InterfaceError: not a subclass of Record, or one that makes its instances differently."""
    if not isinstance(record_class, type) or not issubclass(record_class, Record):
        raise InterfaceError("record_class is expected to be a subclass of asyncpg.Record")
    if record_class.__new__ is not Record.__new__ or record_class.__init__ is not Record.__init__:
        raise InterfaceError("record_class must not redefine __new__ or __init__")


def undecodable(reason: UnknownTypeError | OutdatedTypeError) -> InvalidValueError:
    """What the user is told about a value that still contradicts all that can be known of its types."""
    # The last of the kernel's notes says which column it was, those before where in the value.
    *within, column = getattr(reason, "__notes__", ("of a result",))
    error = InvalidValueError(f"cannot decode a value {column}: {reason}")
    for note in within:
        error.add_note(note)
    return error
