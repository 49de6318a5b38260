"""create_pool(): trio's pool."""

from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Final, Self

import trio

from pgsansio import client
from pgsansio.client import PoolAcquireContext, PoolConnectionProxy
from pgsansio.client.port import ConcurrentPort
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.errors import InterfaceError
from pgsansio.kernel import Record
from pgsansio_trio.connection import Connection, connect
from pgsansio_trio.nursery import OwnNursery
from pgsansio_trio.port import TrioPort

__all__ = ["Pool", "PoolAcquireContext", "PoolConnectionProxy", "create_pool"]

_BLOCK: Final = "Use `async with create_pool(...) as pool:`."


class Pool(client.Pool):
    """A pool of connections, for trio. Use `create_pool()` to make one: `async with`; no task of it outlives the block.

    Waiters are served first come first served, and get the connection that was used last.
    """

    _connect_here = staticmethod(connect)
    _connection_class_here = Connection
    _own: OwnNursery | None = None
    _nursery: trio.Nursery | None = None

    def _make_home(self) -> ConcurrentPort:
        if self._nursery is None:
            raise InterfaceError("cannot use a pool outside of its block: on trio its tasks need one", hint=_BLOCK)
        return TrioPort(self._nursery)

    def __await__(self) -> Generator[Any, Any, Self]:
        if self._nursery is None:
            raise InterfaceError(
                "cannot await a pool: on trio its tasks need a block to live in",
                hint=_BLOCK,
            )
        return super().__await__()

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            return await self._start()
        await trio.lowlevel.checkpoint()  # a lazy one waits for nothing
        self._own = OwnNursery()
        self._nursery = await self._own.open()
        try:
            return await super().__aenter__()
        except BaseException as error:
            await self._own.close(error)
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._own is not None
        try:
            await super().__aexit__(exc_type, exc, traceback)
        except BaseException as error:
            await self._own.close(error)
            raise
        handled = await self._own.close(exc)
        if exc is None:
            await trio.lowlevel.checkpoint()  # one that was closed before has perhaps waited for nothing
        return handled


def create_pool(
    dsn: str | None = None,
    *,
    init_size: int | None = None,
    min_size: int = 10,
    max_size: int = 10,
    max_queries: int = 50000,
    max_inactive_connection_lifetime: float = 300.0,
    max_lifetime: float | None = None,
    max_lifetime_jitter: float | None = None,
    max_waiting: int | None = None,
    acquire_timeout: float | None = None,
    check: float | Callable[[Any], Any] | None = None,
    multiplex: int = 0,
    lazy: bool = False,
    connect: Callable[..., Any] | None = None,
    connect_parameters: Callable[[], Any] | None = None,
    setup: Callable[[Any], Any] | None = None,
    init: Callable[[Any], Any] | None = None,
    reset: Callable[[Any], Any] | None = None,
    connection_class: type[client.Connection] = Connection,
    record_class: type[Any] = Record,
    codecs: CodecSet | Iterable[CodecDeclaration] = (),
    json: object = None,
    **connect_kwargs: Any,
) -> Pool:
    """A pool of connections: `async with create_pool(...) as pool:`; on asyncio also `pool = await create_pool(...)`.

    Args:
        dsn, connect_kwargs: as for `connect()`.
        init_size: connections opened at the start; default: `min_size`.
        min_size: connections kept while idle; lost ones are replaced.
        max_size: never more than these.
        max_queries: a connection that ran so many is replaced at its release.
        max_inactive_connection_lifetime: seconds after which an idle connection above `min_size` is closed; 0: never.
        max_lifetime: seconds after which a connection is replaced, when nobody uses it; None: never.
        max_lifetime_jitter: each connection's own limit is up to so many seconds lower; default: a tenth.
        max_waiting: tasks that may wait until others release their connections; more are refused; None: any number.
        acquire_timeout: seconds, the default of acquire's `timeout`; None: no limit.
        check: seconds, one that was idle for longer is asked whether it is alive before somebody gets it; or a
            function that is called each time with one that was idle, and rejects it by an error or False.
        multiplex: so many of `max_size` are kept for the pool's own fetch(), fetchrow(), fetchval() and execute() with
            arguments: queries of one statement each, which share them; 0: none. Not with `setup` or `reset`.
        lazy: start with the first use, and again with the next one if that fails.
        connect: called in place of `connect()`, with its arguments.
        connect_parameters: called for each new connection; returns a dict of arguments of `connect()`, over those here.
        setup: called with the connection at each acquire.
        init: called with each new connection.
        reset: called with the connection at each release, in place of the query that resets its session.
        connection_class, record_class: of the pool's connections.
        codecs, json: as for `connect()`; what is learned of types is shared by the pool's connections.
    Raises:
        ValueError: the numbers contradict each other.
        TypeError: a class is not one that is expected, or a value is none of its parameter's.
        ClientConfigurationError: `multiplex` with what it cannot be combined with.
    """
    return Pool(
        dsn,
        init_size=init_size,
        min_size=min_size,
        max_size=max_size,
        max_queries=max_queries,
        max_inactive_connection_lifetime=max_inactive_connection_lifetime,
        max_lifetime=max_lifetime,
        max_lifetime_jitter=max_lifetime_jitter,
        max_waiting=max_waiting,
        acquire_timeout=acquire_timeout,
        check=check,
        multiplex=multiplex,
        lazy=lazy,
        connect=connect,
        connect_parameters=connect_parameters,
        setup=setup,
        init=init,
        reset=reset,
        connection_class=connection_class,
        record_class=record_class,
        codecs=codecs,
        json=json,
        **connect_kwargs,
    )
