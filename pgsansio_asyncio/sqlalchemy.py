"""SQLAlchemy's dialect `postgresql+pgsansio`: `create_async_engine("postgresql+pgsansio://user:password@host/database")`.

It is SQLAlchemy's dialect for asyncpg (types, compiler, cursors), with this library as the driver. What is its own: the
driver and its exceptions, options in the URL, and fewer round trips: BEGIN goes out with the first statement, and a
ping is one message.
"""

import inspect
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from sqlalchemy import util
from sqlalchemy.dialects.postgresql import asyncpg as base
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

import pgsansio_asyncio
from pgsansio import affected_rows, errors
from pgsansio.client.transaction import Transaction

try:
    from sqlalchemy.util.concurrency import await_
except ImportError:  # SQLAlchemy 2.0
    from sqlalchemy.util.concurrency import await_only as await_

__all__ = [
    "AsyncAdapt_pgsansio_connection",
    "AsyncAdapt_pgsansio_cursor",
    "AsyncAdapt_pgsansio_dbapi",
    "AsyncAdapt_pgsansio_ss_cursor",
    "PGDialect_pgsansio",
    "dialect",
]

#: The driver's exceptions that have one of their own in SQLAlchemy's DBAPI for asyncpg, and that one's name.
_TRANSLATED: Final = {
    errors.PostgresError: "Error",
    errors.InterfaceError: "InterfaceError",
    errors.SyntaxOrAccessError: "ProgrammingError",
    errors.IntegrityConstraintViolationError: "IntegrityError",
    errors.RestrictViolationError: "RestrictViolationError",
    errors.NotNullViolationError: "NotNullViolationError",
    errors.ForeignKeyViolationError: "ForeignKeyViolationError",
    errors.UniqueViolationError: "UniqueViolationError",
    errors.CheckViolationError: "CheckViolationError",
    errors.ExclusionViolationError: "ExclusionViolationError",
    errors.InvalidCachedStatementError: "InvalidCachedStatementError",
    errors.InternalServerError: "InternalServerError",
    errors.InternalClientError: "InternalClientError",
}

#: Options of a URL are texts; parameters of `connect()` that are something else.
_CONVERTED: Final = {
    "timeout": float,
    "command_timeout": float,
    "statement_cache_size": int,
    "max_cached_statement_lifetime": float,
    "max_cacheable_statement_size": int,
    "direct_tls": bool,
    "pipelining": bool,
}

#: Parameters of `connect()` that SQLAlchemy's side takes.
_OWN_OPTIONS: Final = ("prepared_statement_cache_size", "prepared_statement_name_func")
#: Beside a host it has to come from the same place, or the host counts.
_PARAMETERS: Final = {
    *inspect.signature(pgsansio_asyncio.connect).parameters,
    *_OWN_OPTIONS,
    "async_creator_fn",
    "hostaddr",
}


class AsyncAdapt_pgsansio_cursor(base.AsyncAdapt_asyncpg_cursor):
    """A cursor that has all rows of its statement."""

    __slots__ = ()

    async def _prepare_and_execute(self, operation: str, parameters: Sequence[Any] | None) -> None:
        connection: Any = self._adapt_connection
        own: Any = self
        async with connection._execute_mutex:
            if connection._transaction is None:
                await connection._start_transaction()
            try:
                prepared, attributes = await connection._prepare(operation, own._invalidate_schema_cache_asof)
                records = await prepared.fetch(*parameters) if parameters else await prepared.fetch()
            except Exception as error:
                connection._handle_exception(error)
                raise
        own._description = [(name, kind.oid, None, None, None, None, None) for name, kind in attributes] or None
        # Tuples are what SQLAlchemy makes of them anyway, one by one.
        own._rows = deque([record[:] for record in records])
        count = affected_rows(prepared.get_statusmsg() or "")
        own._rowcount = -1 if count is None else count


class AsyncAdapt_pgsansio_ss_cursor(base.AsyncAdapt_asyncpg_ss_cursor):
    """A cursor on the server. What goes wrong while it fetches is SQLAlchemy's error, as everywhere else."""

    __slots__ = ()

    def _fetch(self, how: str, *args: Any) -> Any:
        try:
            return getattr(super(), how)(*args)
        except Exception as error:
            connection: Any = self._adapt_connection
            return connection._handle_exception(error)

    def fetchone(self) -> Any:
        return self._fetch("fetchone")

    def fetchmany(self, size: int | None = None) -> Any:
        return self._fetch("fetchmany", size)

    def fetchall(self) -> Any:
        return self._fetch("fetchall")


class _Connection(base.AsyncAdapt_asyncpg_connection):
    """What SQLAlchemy 2.0 can have, too."""

    __slots__ = ()

    async def _async_ping(self) -> None:
        # An empty text by the simple protocol leaves no prepared statement behind, so it needs no transaction around it
        # to reach one and the same server through a pooler.
        await cast(pgsansio_asyncio.Connection, self._connection).execute("")


class AsyncAdapt_pgsansio_connection(_Connection):
    """A connection of this library with the face of a DBAPI connection."""

    __slots__ = ()

    _cursor_cls: Any = AsyncAdapt_pgsansio_cursor
    _ss_cursor_cls = AsyncAdapt_pgsansio_ss_cursor

    async def _start_transaction(self) -> None:
        own: Any = self
        if own.isolation_level == "autocommit":
            return
        try:
            transaction: Transaction = own._connection.transaction(
                isolation=own.isolation_level, readonly=own.readonly, deferrable=own.deferrable
            )
            # The statement that it is for follows: BEGIN goes out with it.
            await transaction._start(at_once=False)
        except Exception as error:
            own._handle_exception(error)
            raise
        own._transaction = transaction


class AsyncAdapt_pgsansio_dbapi(base.AsyncAdapt_asyncpg_dbapi):
    """`pgsansio_asyncio` with the face of a DBAPI module."""

    def connect(self, *args: Any, **parameters: Any) -> Any:
        """Connect, with the parameters of `pgsansio_asyncio.connect()` and these.

        Args:
            async_creator_fn: called in its place.
            prepared_statement_cache_size: statements kept prepared; default 100.
            prepared_statement_name_func: called for each one's name.
        Raises:
            ArgumentError: statement_mode="simple"; this side of SQLAlchemy prepares every statement.
        """
        if parameters.get("statement_mode") == "simple":
            raise ArgumentError(
                "statement_mode='simple' cannot be used with SQLAlchemy, which prepares every statement; "
                "where prepared statements get lost, nothing has to be said, or 'unnamed'"
            )
        make = parameters.pop("async_creator_fn", pgsansio_asyncio.connect)
        own = {name: parameters.pop(name) for name in _OWN_OPTIONS if name in parameters}
        connecting = make(*args, **parameters)
        del args, parameters  # so that no error has the password in this frame
        adapted: Any = AsyncAdapt_pgsansio_connection
        if hasattr(adapted, "create"):
            return await_(adapted.create(self, connecting, **own))
        adapted = _Connection
        return adapted(self, await_(connecting), **own)

    @property
    def exceptions_module(self) -> Any:
        """Where the driver's exceptions are."""
        return errors

    @util.memoized_property
    def _asyncpg_error_translate(self) -> Any:
        # SQLAlchemy 2.0 has fewer.
        return {ours: getattr(self, name) for ours, name in _TRANSLATED.items() if hasattr(self, name)}


class PGDialect_pgsansio(base.PGDialect_asyncpg):
    """The dialect."""

    driver = "pgsansio"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver, as SQLAlchemy wants it."""
        adapted: Any = AsyncAdapt_pgsansio_dbapi
        return adapted(pgsansio_asyncio)

    @classmethod
    def load_provisioning(cls) -> None:
        """What SQLAlchemy's tests need for PostgreSQL, which they look for beside the dialect's class."""
        cast(Any, base.PGDialect_asyncpg).load_provisioning()

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """Arguments for the driver's `connect()`.

        Options of the URL are its parameters; others are read as those of a DSN: sslmode, options, application_name and
        other settings of the server.
        """
        inherited: Any = super()
        options: dict[str, Any]
        _, options = inherited.create_connect_args(url)
        for name, kind in _CONVERTED.items():
            util.coerce_kw_type(options, name, kind)
        words = {name: options.pop(name) for name in url.query if name in options and name not in _PARAMETERS}
        if words:
            options["dsn"] = f"postgresql:///?{urlencode(words, quote_via=quote)}"
        return [], options


dialect = PGDialect_pgsansio
