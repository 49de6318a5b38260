"""What is told to callbacks besides notifications: notices, parameters that change, the end, and each query.

How this works. Callbacks are kept by equality, and handed to the port, which calls them outside of what happens at the
moment. Whoever runs a query at length does so within `_logged`; the short way is closed as long as there is a query
logger (`_long_way`), so that without one it does not cost anything.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeAlias

from pgsansio.client.core import ConnectionCore
from pgsansio.engine.events import Event, NoticeReceived, ParameterChanged
from pgsansio.errors import InterfaceError
from pgsansio.policy.conninfo import TcpAddress
from pgsansio.types.server import ConnectionParameters, LoggedQuery

__all__ = ["CallbackMethods", "QueryTimer", "check_callback"]

Callback: TypeAlias = Callable[..., Any]


class CallbackMethods(ConnectionCore):
    """Listeners that are no subscribers of a channel, and query loggers.

    Each is a function or coroutine function; the same one, by equality, counts once. Functions are called in the order
    of what happened, coroutine functions run as tasks beside each other. See `Port.deliver` for what they raise.
    """

    __slots__ = ()

    def add_log_listener(self, callback: Callback) -> None:
        """Call `callback(connection, message)` for each notice of the server: WARNING, NOTICE, INFO, LOG, DEBUG.

        Until the connection is reset or given back to its pool.

        Args:
            callback: is given a PostgresLogMessage, or PostgresWarning and the like, by SQLSTATE.
        Raises:
            InterfaceError: `callback` is not callable, or the connection is closed.
        """
        self._check_open()
        check_callback(callback)
        self._log_listeners[callback] = None

    def remove_log_listener(self, callback: Callback) -> None:
        """Undo `add_log_listener`; does nothing for an unknown callback."""
        check_callback(callback)
        self._log_listeners.pop(callback, None)

    def add_parameter_listener(self, callback: Callback) -> None:
        """Call `callback(connection, name, value)` when a setting changes that the server reports (TimeZone, ...).

        Until the connection is reset or given back to its pool.

        Raises:
            InterfaceError: `callback` is not callable, or the connection is closed.
        """
        self._check_open()
        check_callback(callback)
        self._parameter_listeners[callback] = None

    def remove_parameter_listener(self, callback: Callback) -> None:
        """Undo `add_parameter_listener`; does nothing for an unknown callback."""
        check_callback(callback)
        self._parameter_listeners.pop(callback, None)

    def add_termination_listener(self, callback: Callback) -> None:
        """Call `callback(connection)` once, when the connection has ended: it was closed, terminated or lost.

        On a connection that nobody reads while it is idle (on trio, outside of `async with connect()` and of a pool) a
        loss is noticed when it is used the next time. On trio the end of such a block cancels a coroutine function at
        its first await; a function is called.

        Raises:
            InterfaceError: `callback` is not callable.
        """
        check_callback(callback)
        self._termination_listeners[callback] = None

    def remove_termination_listener(self, callback: Callback) -> None:
        """Undo `add_termination_listener`; does nothing for an unknown callback."""
        check_callback(callback)
        self._termination_listeners.pop(callback, None)

    def add_query_logger(self, callback: Callback) -> None:
        """Call `callback(record)` with a LoggedQuery after each query, whether it has failed or not.

        That is every method that runs SQL of the user's, those of transactions, listeners, prepared statements and COPY
        among them. A cursor, or a stream, has one record for each time that it asks the server for rows.

        Raises:
            InterfaceError: `callback` is not callable.
        """
        check_callback(callback)
        self._query_loggers[callback] = None
        self._long_way = True

    def remove_query_logger(self, callback: Callback) -> None:
        """Undo `add_query_logger`; does nothing for an unknown callback."""
        check_callback(callback)
        self._query_loggers.pop(callback, None)
        self._long_way = bool(self._query_loggers) or self._command_timeout is not None

    @contextmanager
    def query_logger(self, callback: Callback) -> Generator[None]:
        """A `with` block in which `callback` is a query logger.

        Raises:
            InterfaceError: `callback` is not callable.
        """
        self.add_query_logger(callback)
        try:
            yield
        finally:
            self.remove_query_logger(callback)

    #  telling them

    def _logged(self, query: str, args: Any, timeout: float | None) -> "QueryTimer":
        """A block in which this query runs.

        Args:
            timeout: seconds; None: the connection's.
        """
        return QueryTimer(self, query, args, self._command_timeout if timeout is None else timeout)

    def _tell(self, listeners: dict[Callback, None], *arguments: object) -> None:
        connection = self if self._proxy is None else self._proxy
        for callback in listeners:
            self._port.deliver(callback, connection, *arguments)

    def _heard(self, event: Event) -> None:
        if isinstance(event, NoticeReceived):
            self._tell(self._log_listeners, event.notice)
        elif isinstance(event, ParameterChanged):
            self._tell(self._parameter_listeners, event.name, event.value)
        else:
            super()._heard(event)

    def _has_ended(self) -> None:
        listeners, self._termination_listeners = self._termination_listeners, {}
        self._tell(listeners)
        super()._has_ended()

    def _end_listening(self) -> list[tuple[str, int]]:
        """The session is over: nobody listens any more. Returns how many listeners there were, by kind."""
        if not self._log_listeners and not self._parameter_listeners:
            return []
        found = [("log", len(self._log_listeners)), ("parameter", len(self._parameter_listeners))]
        self._log_listeners.clear()
        self._parameter_listeners.clear()
        return [(kind, count) for kind, count in found if count]


class QueryTimer:
    """A block in which a query runs; query loggers are told of it when it ends."""

    __slots__ = ("_args", "_began", "_connection", "_timeout", "query")

    def __init__(self, connection: CallbackMethods, query: str, args: Any, timeout: float | None) -> None:
        self._connection = connection
        self.query = query
        self._args = args
        self._timeout = timeout
        self._began = 0.0

    async def __aenter__(self) -> None:
        self._connection._port.guard()
        self.begin()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(exc)

    def begin(self) -> None:
        """The query goes out now."""
        self._began = self._connection._port.stopwatch()

    def end(self, exc: BaseException | None) -> None:
        """It has ended, with this error; None: well."""
        connection = self._connection
        if not connection._query_loggers or isinstance(exc, GeneratorExit):
            return
        address, settings = connection._address, connection._settings
        record = LoggedQuery(
            self.query,
            self._args,
            self._timeout,
            connection._port.stopwatch() - self._began,
            exc,
            (address.host, address.port) if isinstance(address, TcpAddress) else address.path,
            ConnectionParameters(
                settings.user,
                settings.database,
                dict(settings.server_settings),
                settings.sslmode.word,
                settings.target_session_attrs.value,
            ),
        )
        for callback in connection._query_loggers:
            connection._port.deliver(callback, record)


def check_callback(callback: object) -> None:
    """Raises InterfaceError: it cannot be called."""
    if not callable(callback):
        raise InterfaceError(f"expected a callable or an `async def` function, got {callback!r}")
