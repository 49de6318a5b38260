"""connect(): asyncio's way to a `Connection`."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

from pgsansio import client
from pgsansio.client import connecting
from pgsansio.client.connection import check_connection_class
from pgsansio.client.core import check_record_class
from pgsansio.client.parameters import find_settings
from pgsansio.client.port import Address, Port
from pgsansio.codecs.codec_set import CodecSet, codec_set
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.enums import StatementMode
from pgsansio.errors import InterfaceError
from pgsansio.frontend import Frontend
from pgsansio.kernel import Record
from pgsansio.policy.conninfo import (
    UNSET,
    LibpqWords,
    PasswordSource,
    PathLike,
    SessionAttribute,
    Settings,
    Unset,
)
from pgsansio.policy.libpq_words import check_words
from pgsansio.types.secret import hide_arguments, hide_source
from pgsansio_asyncio.port import AsyncioPort
from pgsansio_asyncio.process import this_process

__all__ = ["Connection", "ConnectRequest", "connect"]


class Connection(client.Connection):
    """A connection to a PostgreSQL server, for asyncio. Use `connect()` to make one."""

    __slots__ = ()


if TYPE_CHECKING:
    # The default is what `connect()` without `connection_class` gives; at run time it would need Python 3.13.
    from typing_extensions import TypeVar as TypeVarWithDefault

    ConnectionT = TypeVarWithDefault("ConnectionT", bound=client.Connection, default=Connection)
else:
    ConnectionT = TypeVar("ConnectionT")


class ConnectRequest(Coroutine[Any, Any, ConnectionT], Generic[ConnectionT]):
    """What `connect()` returns: a coroutine that makes a connection, and an `async with` block that closes it again."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, ConnectionT]]) -> None:
        self._make = make
        self._coroutine: Coroutine[Any, Any, ConnectionT] | None = None
        self._connection: ConnectionT | None = None

    def _begun(self) -> Coroutine[Any, Any, ConnectionT]:
        if self._coroutine is None:
            self._coroutine = self._make()
        return self._coroutine

    def send(self, value: Any) -> Any:
        return self._begun().send(value)

    def throw(self, *args: Any) -> Any:
        return self._begun().throw(*args)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, ConnectionT]:
        return self._begun().__await__()

    async def __aenter__(self) -> ConnectionT:
        self._connection = await self._begun()
        return self._connection

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            if isinstance(exc, GeneratorExit):
                self._connection.terminate()
            elif exc is not None and not isinstance(exc, Exception):
                await self._connection._leave()
            else:
                await self._connection.close()


def connect(
    dsn: str | None = None,
    *,
    host: str | Sequence[str] | None = None,
    port: int | str | Sequence[int | str] | None = None,
    user: str | None = None,
    password: PasswordSource | None = None,
    passfile: str | PathLike | None = None,
    service: str | None = None,
    servicefile: str | PathLike | None = None,
    database: str | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    timeout: float | Unset | None = UNSET,
    statement_mode: str | StatementMode | None = None,
    statement_cache_size: int = 100,
    max_cached_statement_lifetime: float = 300,
    max_cacheable_statement_size: int = 1024 * 15,
    command_timeout: float | None = None,
    ssl: object = None,
    direct_tls: bool | None = None,
    connection_class: type[ConnectionT] = Connection,  # type: ignore[assignment]
    record_class: type[Any] = Record,
    server_settings: Mapping[str, str] | None = None,
    target_session_attrs: str | SessionAttribute | None = None,
    krbsrvname: str | None = None,
    gsslib: str | None = None,
    pipelining: bool = True,
    codecs: CodecSet | Iterable[CodecDeclaration] = (),
    json: object = None,
    connect_parameters: Callable[[], Any] | None = None,
    oauth_token: PasswordSource | None = None,
    **words: Unpack[LibpqWords],
) -> ConnectRequest[ConnectionT]:
    """Connect to a PostgreSQL server: `await connect(...)`, or `async with connect(...) as connection:`.

    Each parameter is taken from its keyword, else from `dsn`, else from the service, else from its environment variable
    (PGHOST, ...).

    Args:
        dsn: a URI 'postgresql://user:password@host:port/database?option=value', or 'host=... port=...' words.
        host: name, address, or folder of a Unix socket; several are tried in order.
        password: text, or a function or coroutine function that is called for each attempt.
        service: the name of a section of `servicefile` (default: ~/.pg_service.conf), or of the system's file.
        database: default: the user's name.
        timeout: seconds for connecting, all attempts together; default 60, or none with `connect_timeout`; None: no
            limit.
        statement_mode: how statements are sent. 'cached': they are prepared and kept; 'unnamed': they are parsed each
            time, for poolers that do not know prepared statements; 'simple': as text with the arguments written into
            it; None: the first of these that the server is good for, as far as that can be found out.
        statement_cache_size: prepared statements kept; 0: none are.
        command_timeout: seconds, the default of every operation's `timeout`.
        ssl: 'disable', 'allow', 'prefer' (the default), 'require', 'verify-ca', 'verify-full'; True: verify-full with
            the authorities of this machine; False: disable; an ssl.SSLContext. Only for TCP.
        direct_tls: TLS without asking for it first (PostgreSQL 17).
        server_settings: settings for this session.
        target_session_attrs: any, primary, standby, prefer-standby, read-write or read-only.
        pipelining: let several tasks use the connection at once; False gives them an InterfaceError.
        codecs: for the types they name (`TypeCodec`, `EnumCodec`, `CompositeCodec`, ...), or a `CodecSet` to share.
        json: how json and jsonb become Python objects: 'json', 'orjson', 'msgspec', a module with dumps and loads, or
            these two functions; None: they stay str.
        connect_parameters: a function or coroutine function that is called before connecting; it returns a dict of
            arguments that say how to connect, which replace those here: for credentials that change.
        oauth_token: a bearer token, or a function or coroutine function that is called for one when a server asks for
            it (PostgreSQL 18). It is never sent in plain text.
        words: libpq's other words, by their names: hostaddr, connect_timeout, application_name, sslrootcert,
            require_auth and so on; see `LibpqWords`.
    Raises:
        TypeError: there is no such argument.
        ClientConfigurationError: a parameter cannot be used; it says where it came from.
        OSError, PostgresError, OperationTimeoutError: the last attempt's error; all of them are in its `attempts`.
    """
    if connection_class is not Connection:
        check_connection_class(connection_class)
    if record_class is not Record:
        check_record_class(record_class)
    shared = None if codecs == () and json is None else codec_set(codecs, json)
    check_words(words)
    # Secrets are hidden at once: they are in the frames of whatever goes wrong from here on.
    arguments: dict[str, object] = {
        "dsn": hide_source(dsn),
        "host": host,
        "port": port,
        "user": user,
        "password": hide_source(password),
        "passfile": passfile,
        "service": service,
        "servicefile": servicefile,
        "database": database,
        "timeout": timeout,
        "statement_mode": statement_mode,
        "statement_cache_size": statement_cache_size,
        "max_cached_statement_lifetime": max_cached_statement_lifetime,
        "max_cacheable_statement_size": max_cacheable_statement_size,
        "command_timeout": command_timeout,
        "ssl": ssl,
        "direct_tls": direct_tls,
        "server_settings": server_settings,
        "target_session_attrs": target_session_attrs,
        "krbsrvname": krbsrvname,
        "gsslib": gsslib,
        "oauth_token": hide_source(oauth_token),
    }
    if words:
        arguments.update(hide_arguments(words))
    connect_parameters = hide_source(connect_parameters)
    around = connection_class._around_attempt

    def make_connection(port: Port, frontend: Frontend, address: Address, settings: Settings) -> ConnectionT:
        frontend.pipelining = pipelining
        return connection_class(port, frontend, address, settings, record_class=record_class)

    async def make() -> ConnectionT:
        if loop is not None and loop is not asyncio.get_running_loop():
            raise InterfaceError(f"connect(loop={loop!r}) was awaited in another event loop")
        home = AsyncioPort()
        began = home.clock()
        settings = await find_settings(home, this_process(), arguments, connect_parameters)
        return await connecting.connect(
            AsyncioPort,
            settings,
            make_connection,
            record_class=record_class,
            codecs=shared,
            around=None if around is client.Connection._around_attempt else around,
            home=home,
            began=began,
        )

    return ConnectRequest(make)
