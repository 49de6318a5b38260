"""The client's classes with asyncpg's private names, which other libraries replace, call or read.

How this works. Tracing libraries replace methods of asyncpg's classes, private ones among them, and count calls: so
here `fetch` and its kin go through `_execute`, as does `execute` with arguments, and BEGIN, COMMIT, LISTEN and what
resets a session go through `execute` and `fetch`. The latter are conversations of the client, and their SQL is only
what is seen of them: a `_Conversation` is a str that carries along what is to be done.

They are subclasses, so that whoever replaces something in here does not touch connections that know nothing of asyncpg.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Final, Self, cast
from weakref import ref

from pgsansio import client
from pgsansio.client.cursor import BaseCursor as ClientBaseCursor
from pgsansio.client.elements import Arguments
from pgsansio.client.port import Address, Port
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.engine.operations import Operation
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.frontend import Frontend
from pgsansio.kernel import Record
from pgsansio.policy.conninfo import Settings, UnixAddress
from pgsansio.policy.subscriptions import Listen, Unlisten
from pgsansio.types.secret import Secret
from pgsansio_asyncio import connection as our_connection
from pgsansio_asyncio import pool as our_pool
from pgsansio_asyncio.connection import ConnectRequest

__all__ = [
    "BaseCursor",
    "Connection",
    "Cursor",
    "CursorFactory",
    "CursorIterator",
    "Pool",
    "PreparedStatement",
    "Protocol",
    "Transaction",
    "connect",
    "connect_utils",
    "create_pool",
]

#: asyncpg.connect_utils; `_connect_addr` is replaced in it, and looked up there for each attempt.
connect_utils: Final = ModuleType("asyncpg.connect_utils")


class _Conversation(str):
    """The SQL of a conversation, and the conversation; `execute` and `fetch` carry it out."""

    _work: Callable[[], Awaitable[Any]] | None

    def __new__(cls, sql: str, work: Callable[[], Awaitable[Any]]) -> Self:
        self = super().__new__(cls, sql)
        self._work = work
        return self

    async def carry_out(self) -> Any:
        # The text may be kept for long, by a span for example, and is not to keep the connection.
        work, self._work = self._work, None
        assert work is not None
        return await work()


def _addr(address: Address) -> tuple[str, int] | str:
    """As asyncpg has it: host and port, or the path of a socket."""
    return address.path if isinstance(address, UnixAddress) else (address.host, address.port)


def _if_any(codecs: Iterable[CodecDeclaration]) -> dict[str, Any]:
    """An argument that asyncpg does not have, for functions that may have been replaced."""
    return {"codecs": codecs} if codecs else {}


class _State:
    """What a method of `Protocol` is told of the statement: its text, as in asyncpg, and what is to be done."""

    __slots__ = ("query", "work")

    def __init__(self, query: str, work: Callable[[], Awaitable[Any]]) -> None:
        self.query = query
        self.work = work


class Protocol:
    """A connection's way to the server, as far as ddtrace replaces it, to see what goes there."""

    __module__ = "asyncpg.protocol.protocol"

    def __init__(self, connection: "Connection") -> None:
        # Weakly: a connection that its user has forgotten has to go.
        self._connection = ref(connection)

    async def query(self, query: str | _State, timeout: float | None) -> str:
        if isinstance(query, _State):
            await query.work()
            return ""
        connection = self._connection()
        assert connection is not None  # whose method calls this one
        return await our_connection.Connection.execute(connection, query, timeout=timeout)

    async def bind_execute(
        self,
        state: _State,
        args: Sequence[object],
        portal_name: str,
        limit: int,
        return_extra: bool,
        timeout: float | None,
    ) -> Any:
        return await state.work()

    async def bind_execute_many(
        self,
        state: _State,
        args: Arguments,
        portal_name: str,
        timeout: float | None,
        return_rows: bool,
    ) -> Any:
        return await state.work()

    async def execute(
        self, state: _State, portal_name: str, limit: int, return_extra: bool, timeout: float | None
    ) -> Any:
        return await state.work()


#: As long as nobody has replaced it, the most frequent queries do without it: a fifth less of the client's time.
_BIND_EXECUTE: Final = Protocol.bind_execute


def _protocol_of(connection: client.Connection) -> Protocol:
    return cast(Connection, connection)._protocol


class PreparedStatement(client.PreparedStatement):
    """Made by `Connection.prepare()`."""

    __module__ = "asyncpg.prepared_stmt"
    __slots__ = ()

    async def fetch(self, *args: object, timeout: float | None = None) -> list[Any]:
        return cast(list[Any], await self._bind_execute(super().fetch, args, 0, timeout))

    async def fetchrow(self, *args: object, timeout: float | None = None) -> Any:
        return await self._bind_execute(super().fetchrow, args, 1, timeout)

    async def fetchval(self, *args: object, column: int | str = 0, timeout: float | None = None) -> Any:
        return await self._bind_execute(functools.partial(super().fetchval, column=column), args, 1, timeout)

    async def fetchmany(self, args: Arguments, *, timeout: float | None = None) -> list[Any]:
        state = _State(self._query, functools.partial(super().fetchmany, args, timeout=timeout))
        rows = await _protocol_of(self._connection).bind_execute_many(state, args, "", timeout, True)
        return cast(list[Any], rows)

    async def executemany(self, args: Arguments, *, timeout: float | None = None) -> None:
        state = _State(self._query, functools.partial(super().executemany, args, timeout=timeout))
        await _protocol_of(self._connection).bind_execute_many(state, args, "", timeout, False)

    def _bind_execute(
        self, method: Callable[..., Awaitable[Any]], args: Sequence[object], limit: int, timeout: float | None
    ) -> Awaitable[Any]:
        if Protocol.bind_execute is _BIND_EXECUTE:
            return method(*args, timeout=timeout)
        state = _State(self._query, functools.partial(method, *args, timeout=timeout))
        return _protocol_of(self._connection).bind_execute(state, args, "", limit, True, timeout)


class BaseCursor(ClientBaseCursor):
    """What both kinds of cursors have."""

    __module__ = "asyncpg.cursor"
    __slots__ = ()

    async def _bind_exec(self, n: int, timeout: float | None) -> list[Any]:
        state = _State(self._query, functools.partial(super()._bind_exec, n, timeout))
        protocol = _protocol_of(self._connection)
        return cast(list[Any], await protocol.bind_execute(state, self._args, "", n, True, timeout))

    async def _exec(self, n: int, timeout: float | None) -> list[Any]:
        state = _State(self._query, functools.partial(super()._exec, n, timeout))
        rows = await _protocol_of(self._connection).execute(state, self._portal_name or "", n, True, timeout)
        return cast(list[Any], rows)

    def __repr__(self) -> str:
        return super().__repr__().replace("<asyncpg.cursor.", "<asyncpg.", 1)


class Cursor(BaseCursor, client.Cursor):
    """A cursor that is asked for rows: what awaiting `Connection.cursor()` gives."""

    __module__ = "asyncpg.cursor"
    __slots__ = ()


class CursorIterator(BaseCursor, client.CursorIterator):
    """A cursor's rows one by one."""

    __module__ = "asyncpg.cursor"
    __slots__ = ()


class CursorFactory(client.CursorFactory):
    """Made by `Connection.cursor()`."""

    __module__ = "asyncpg.cursor"
    __slots__ = ()

    _iterator_class = CursorIterator
    _cursor_class = Cursor


class Transaction(client.Transaction):
    """Made by `Connection.transaction()`."""

    __module__ = "asyncpg.transaction"
    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__().replace("<asyncpg.transaction.", "<asyncpg.", 1)

    async def _start(self, *, at_once: bool) -> None:
        connection = self._connection
        connection._check_open()
        await self._ask_outer_isolation()
        sql = connection._levels.starting_sql(self._level, connection._frontend.predicted_status)
        await _carry_out(connection, sql, functools.partial(super()._start, at_once=at_once))

    async def _end(self, *, commit: bool) -> bool:
        connection = self._connection
        connection._check_open()
        rolled_back = False
        end = super()._end

        async def work() -> None:
            nonlocal rolled_back
            rolled_back = await end(commit=commit)

        await _carry_out(connection, connection._levels.end(self._level, commit=commit), work)
        return rolled_back


async def _connect_addr(*, addr: object, params: Settings, attempt: Callable[[], Awaitable[Any]]) -> Any:
    """Make one attempt to connect. Who replaces it finds `addr` and `params` among its keyword arguments."""
    return await attempt()


connect_utils.__dict__["_connect_addr"] = _connect_addr


async def _carry_out(connection: client.Connection, sql: str, work: Callable[[], Awaitable[Any]]) -> None:
    """Have a conversation by way of `execute`: that of the class, which is not the user's own subclass's."""
    await Connection.execute(cast(Connection, connection), _Conversation(sql, work))


async def _around_attempt(asked: Address, settings: Settings, attempt: Callable[[], Awaitable[Any]]) -> Any:
    addr = _addr(asked)
    connection = await connect_utils._connect_addr(addr=addr, params=settings, attempt=attempt)
    connection._addr = addr  # the host's name, and not the address that it stands for
    return connection


class _Parameters:
    """Settings, with the password in plain text for who asks for it by name, as asyncpg has it."""

    __slots__ = ("_settings",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        value = getattr(object.__getattribute__(self, "_settings"), name)
        return cast(object, value.reveal()) if isinstance(value, Secret) else value

    def __repr__(self) -> str:
        return repr(self._settings)


class Connection(our_connection.Connection):
    """A connection to a PostgreSQL server. Use `connect()` to make one."""

    __module__ = "asyncpg.connection"
    __slots__ = ("_addr", "_protocol")

    _transaction_class = Transaction
    _prepared_statement_class = PreparedStatement
    _cursor_factory_class = CursorFactory
    _around_attempt = staticmethod(_around_attempt)

    def __init__(
        self, port: Port, frontend: Frontend, address: Address, settings: Settings, *, record_class: type[Any] = Record
    ) -> None:
        super().__init__(port, frontend, address, settings, record_class=record_class)
        self._addr: tuple[str, int] | str = _addr(address)
        self._protocol = Protocol(self)

    @property
    def _params(self) -> "_Parameters":
        return _Parameters(self._settings)

    async def execute(
        self, query: str, *args: object, timeout: float | None = None, codecs: Iterable[CodecDeclaration] = ()
    ) -> str:
        if args:
            _, tag, _ = await self._execute(query, args, 0, timeout, return_status=True, **_if_any(codecs))
            return (tag or b"").decode("utf-8", "replace")
        state = _State(query, query.carry_out) if isinstance(query, _Conversation) else query
        return await self._protocol.query(state, timeout)

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Iterable[CodecDeclaration] = (),
    ) -> list[Any]:
        rows = await self._execute(query, args, 0, timeout, record_class=record_class, **_if_any(codecs))
        return cast(list[Any], rows)

    async def fetchrow(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Iterable[CodecDeclaration] = (),
    ) -> Any:
        rows = await self._execute(query, args, 1, timeout, record_class=record_class, **_if_any(codecs))
        return rows[0] if rows else None

    async def fetchval(
        self,
        query: str,
        *args: object,
        column: int | str = 0,
        timeout: float | None = None,
        codecs: Iterable[CodecDeclaration] = (),
    ) -> Any:
        rows = await self._execute(query, args, 1, timeout, **_if_any(codecs))
        return rows[0][column] if rows else None

    async def executemany(
        self,
        command: str,
        args: Arguments,
        *,
        timeout: float | None = None,
        codecs: Iterable[CodecDeclaration] = (),
    ) -> None:
        await self._executemany(command, args, timeout, **_if_any(codecs))

    async def fetchmany(
        self,
        query: str,
        args: Arguments,
        *,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Iterable[CodecDeclaration] = (),
    ) -> list[Any]:
        rows: Any = await self._executemany(
            query, args, timeout, return_rows=True, record_class=record_class, **_if_any(codecs)
        )
        return cast(list[Any], rows)

    async def _execute(
        self,
        query: str,
        args: Sequence[object],
        limit: int,
        timeout: float | None,
        *,
        return_status: bool = False,
        ignore_custom_codec: bool = False,
        record_class: type[Any] | None = None,
        codecs: Iterable[CodecDeclaration] = (),
    ) -> Any:
        """The rows; with `return_status` also the command tag, as bytes, and whether there are no more rows."""
        if isinstance(query, _Conversation):
            return await self._protocol.bind_execute(_State(query, query.carry_out), args, "", limit, True, timeout)
        if ignore_custom_codec:
            raise UnsupportedClientFeatureError("custom codecs cannot be ignored")
        if Protocol.bind_execute is _BIND_EXECUTE:
            operation = await self._run(query, args, limit, timeout, record_class, codecs)
        else:
            state = _State(query, functools.partial(self._run, query, args, limit, timeout, record_class, codecs))
            operation = await self._protocol.bind_execute(state, args, "", limit, True, timeout)
        if return_status:
            return operation.rows, None if operation.tag is None else bytes(operation.tag), operation.tag is not None
        return operation.rows

    async def _run(
        self,
        query: str,
        args: Sequence[object],
        limit: int,
        timeout: float | None,
        record_class: type[Any] | None,
        codecs: Iterable[CodecDeclaration],
    ) -> Operation:
        # As in `fetch` of the client: a query that is known goes the short way.
        operation = None if codecs else self._execute_known(query, args, limit, timeout, record_class)
        if operation is None:
            operation = await self._query(query, args, limit, timeout, record_class, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, limit)
        return operation

    async def _executemany(
        self,
        query: str,
        args: Arguments,
        timeout: float | None,
        return_rows: bool = False,
        record_class: type[Any] | None = None,
        *,
        codecs: Iterable[CodecDeclaration] = (),
    ) -> list[Any] | None:
        work: Callable[[], Awaitable[Any]]
        if return_rows:
            work = functools.partial(
                super().fetchmany, query, args, timeout=timeout, record_class=record_class, codecs=codecs
            )
        else:
            work = functools.partial(super().executemany, query, args, timeout=timeout, codecs=codecs)
        rows = await self._protocol.bind_execute_many(_State(query, work), args, "", timeout, return_rows)
        return cast(list[Any] | None, rows)

    async def _carry_out(self, action: Listen | Unlisten) -> None:
        sql = action.sql.removesuffix(";")
        await Connection.fetch(self, _Conversation(sql, functools.partial(super()._carry_out, action)))

    async def _reset(self, query: str) -> None:
        if query:
            await _carry_out(self, query, functools.partial(super()._reset, query))
        else:
            await super()._reset(query)


def _describe(cls: type[Any], model: type[Any]) -> None:
    """What overrides a public method does the same."""
    for name, method in vars(cls).items():
        if not name.startswith("_") and inspect.isfunction(method):
            method.__doc__ = getattr(model, name).__doc__


_describe(Connection, our_connection.Connection)
_describe(PreparedStatement, client.PreparedStatement)


def connect(dsn: str | None = None, *, connection_class: Any = Connection, **arguments: Any) -> ConnectRequest[Any]:
    """As `pgsansio_asyncio.connect`."""
    return our_connection.connect(dsn, connection_class=connection_class, **arguments)


class Pool(our_pool.Pool):
    """A pool of connections. Use `create_pool()` to make one."""

    __module__ = "asyncpg.pool"

    _connect_here = staticmethod(connect)
    _connection_class_here = Connection
    #: So that who acquires one again gets the same one, on which the tests of `databases` rely.
    _release_waits = True


def create_pool(dsn: str | None = None, *, connection_class: Any = Connection, **arguments: Any) -> Pool:
    """As `pgsansio_asyncio.create_pool`."""
    return Pool(dsn, connection_class=connection_class, **arguments)


def _show_as(function: Callable[..., Any], module: str, model: Callable[..., Any]) -> None:
    """Show a function as this module's, with the parameters of `model`, which some look at (GINO, for one)."""
    signature = inspect.signature(model)
    parameters = [
        parameter.replace(default=Connection) if name == "connection_class" else parameter
        for name, parameter in signature.parameters.items()
    ]
    function.__module__ = module
    function.__dict__["__signature__"] = signature.replace(parameters=parameters)


_show_as(connect, "asyncpg.connection", our_connection.connect)
_show_as(create_pool, "asyncpg.pool", our_pool.create_pool)
