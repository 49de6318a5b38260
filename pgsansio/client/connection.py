"""Connection: everything a user does with one connection, put together, and what concerns it as a whole."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

from pgsansio.client import cancelling
from pgsansio.client.copy import CopyMethods, CopyStreams
from pgsansio.client.core import CANCEL_SECONDS, TimeLimit
from pgsansio.client.listening import ListenMethods
from pgsansio.client.pipeline import PipelineMethods
from pgsansio.client.port import Address
from pgsansio.client.queries import QueryMethods
from pgsansio.client.scripts import ScriptMethods
from pgsansio.client.server import ServerMethods
from pgsansio.client.statement import StatementMethods
from pgsansio.client.time_limit import is_late
from pgsansio.client.transaction_methods import TransactionMethods
from pgsansio.engine.operations import Copy, Operation, RowStream
from pgsansio.enums import TransactionStatus
from pgsansio.errors import InterfaceError, OperationTimeoutError, ProtocolError
from pgsansio.policy import capabilities
from pgsansio.policy.conninfo import Settings
from pgsansio.types import ServerVersion, TlsInfo, parse_server_version

__all__ = ["Connection", "ConnectionSettings", "check_connection_class"]

#: How long Terminate may take to be written before the transport is dropped.
CLOSE_SECONDS: Final = 10.0
#: How long the server may take to end the session after that; servers end it at once, and imitations perhaps never.
FAREWELL_SECONDS: Final = 2.0

_logger: Final = logging.getLogger(__name__)


class ConnectionSettings:
    """What the server reports about the session (ParameterStatus), by attribute: `settings.TimeZone`.

    An unknown name is an AttributeError. The values are live.
    """

    __slots__ = ("_parameters",)

    def __init__(self, parameters: Any) -> None:
        self._parameters = parameters

    def __getattr__(self, name: str) -> str:
        if not name.startswith("_") and name in self._parameters:
            return cast(str, self._parameters[name])
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<ConnectionSettings {dict(self._parameters)!r}>"


class Connection(
    TransactionMethods,
    QueryMethods,
    ScriptMethods,
    PipelineMethods,
    StatementMethods,
    CopyMethods,
    CopyStreams,
    ListenMethods,
    ServerMethods,
):
    """A connection to a PostgreSQL server. Use `connect()` to make one.

    Many tasks may use it at once outside of transactions; their queries are pipelined, each with a Sync of its own.
    """

    __slots__ = ()

    @staticmethod
    async def _around_attempt(asked: Address, settings: Settings, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Make one attempt to connect to the host that was asked for, and return the connection; for subclasses."""
        return await attempt()

    def _forget_stream(self) -> None:
        """End a stream() or a COPY whose loop was left without another word."""
        exclusive = self._frontend.exclusive
        if isinstance(exclusive, RowStream | Copy):
            self._frontend.abandon(exclusive)
            self._frontend.news = True
            self._port.flush()

    #  state

    def get_server_pid(self) -> int:
        """Process id of the server process of this connection."""
        return self._frontend.process_id or 0

    def get_server_version(self) -> ServerVersion:
        """The server's version, as it reports it.

        Raises:
            ValueError: it reports a text without a number.
        """
        return parse_server_version(self._frontend.parameters.get("server_version", "0"))

    def get_settings(self) -> ConnectionSettings:
        """What the server reports about the session, live."""
        return ConnectionSettings(self._frontend.parameters)

    @property
    def tls(self) -> TlsInfo | None:
        """Version, cipher, the server's certificate and ALPN of an encrypted connection; None: it is not encrypted."""
        return self._frontend.tls

    async def close(self, *, timeout: float | None = None) -> None:
        """Close the connection: cancel what runs, say goodbye, and wait until the server has ended the session.

        Args:
            timeout: seconds for all of it; default: the connection's `command_timeout`, else 10.

        Operations of other tasks end with QueryCanceledError or ConnectionDoesNotExistError. Idempotent.

        Raises:
            OperationTimeoutError: it took longer; the transport was aborted.
        """
        if timeout is not None:
            timeout = self._seconds(timeout)
        elif self._command_timeout is not None:
            timeout = self._command_timeout
        port, frontend = self._port, self._frontend
        port.guard()
        at = port.clock() + (CLOSE_SECONDS if timeout is None else timeout)
        try:
            if frontend.is_open:
                runs = bool(frontend.in_flight)
                if runs and not frontend.cancel_under_way:
                    async with port.deadline(at):
                        await cancelling.send_cancel_request(port, frontend, self._address, self._channel)
                if await self._part(at, runs=runs):
                    return
            async with port.deadline(at):
                await port.close()
                await port.checkpoint()
        except BaseException as error:
            port.abort()
            if isinstance(error, Exception) and is_late(port, at, error):
                raise OperationTimeoutError("the time limit for closing has passed", connection_usable=False) from error
            raise

    async def _part(self, at: float, *, runs: bool) -> bool:
        """Say goodbye, and see the server end the session: what it has held, locks for example, is free then.

        Args:
            runs: a statement, for which a CancelRequest was sent.
        Returns: whether it has, in time.
        Raises:
            TimeoutError: it has not, and the time for all of it is over.
        """
        port = self._port
        farewell = self._frontend.part()
        until = min(at, port.clock() + FAREWELL_SECONDS)
        try:
            async with port.deadline(until):
                if runs:
                    with suppress(OSError, ProtocolError, InterfaceError):
                        await cancelling.cancel_until(self, farewell, is_sent=True)
                await port.wait(farewell)
                await port.close()
        except TimeoutError:
            if until == at:
                raise
            return False
        return True

    async def _leave(self) -> None:
        """End it at once, since its block is left by a cancellation; what runs is cancelled on the server, which would
        notice only at its end that nobody is there any more."""
        frontend = self._frontend
        if not (frontend.is_open and frontend.in_flight):
            self.terminate()
            return
        farewell = frontend.part()
        self._port.flush()

        async def cancel() -> None:
            try:
                with suppress(ProtocolError, InterfaceError):
                    await cancelling.cancel_until(self, farewell)
            finally:
                self.terminate()

        await self._port.owe(cancel, CANCEL_SECONDS, lingers=True)

    def get_reset_query(self) -> str:
        """SQL that brings the session back to where it started; a pool runs it when the connection is returned."""
        if self._reset_query is None:
            self._reset_query = capabilities.detect(self._frontend.parameters).reset_query
        return self._reset_query

    async def reset(self, *, timeout: float | None = None) -> None:
        """Bring the session back to where it started: listeners, transaction, locks, cursors, settings.

        A transaction that nobody would have ended is told of in the log, as a warning.
        """
        at = self._deadline(timeout)
        async with TimeLimit(self, at):
            await self._reset(self.get_reset_query())

    async def _reset(self, query: str) -> None:
        """End listeners and the transaction, then run `query`."""
        self._check_open()
        self._end_listening()
        query = self._return(query)
        if query:
            async with self._logged(query, (), None):
                await self._script(query, internal=True)

    def _return(self, query: str) -> str:
        """End the transaction, as far as that is done here; what is to be run to end it on the server, too."""
        session = self._frontend
        if session.in_transaction and not self._levels.managed:
            _logger.warning("Resetting connection with an active transaction")
        if session.transaction_status is not TransactionStatus.IDLE or not session.idle:
            # What is still on its way may begin a transaction; without one, ROLLBACK is only worth a warning.
            query = f"ROLLBACK;\n{query}"
        self._levels.reset()
        session.drop_begin()
        session.shared_transaction = False
        return query

    def _may_reset_alone(self) -> bool:
        """Whether `reset` does what it does here, and nobody wants to know of it: then `_reset_alone` is as good."""
        cls = type(self)
        return cls.reset is _RESET and cls._reset is _INNER_RESET and not self._query_loggers

    def _reset_alone(self) -> Operation | None:
        """As `reset`, without waiting for it, and with nobody who listens. None: there is nothing to do.

        Raises:
            InterfaceError: the connection is closed.
        """
        query = self._return(self.get_reset_query())
        if not query:
            return None
        operation = self._frontend.reset(query)
        self._queries += 1
        self._port.flush()
        return operation

    def _reset_behind(self, operation: Operation) -> Operation | None:
        """As `_reset_alone`, in the same write as a query that was just submitted; None: that cannot be.

        It went the short way, so nobody wants to know of queries.
        """
        cls = type(self)
        if cls.reset is not _RESET or cls._reset is not _INNER_RESET:
            return None
        query = self.get_reset_query()
        reset = self._frontend.reset_behind(query, operation) if query else None
        if reset is not None:
            self._queries += 1
        return reset


# What a subclass may have put something else in the place of.
_RESET: Final = Connection.reset
_INNER_RESET: Final = Connection._reset


def check_connection_class(connection_class: object) -> None:
    """Raises InterfaceError: not a subclass of Connection."""
    if not isinstance(connection_class, type) or not issubclass(connection_class, Connection):
        raise InterfaceError(
            f"connection_class is expected to be a subclass of asyncpg.Connection, got {connection_class!r}"
        )
