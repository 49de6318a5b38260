"""create_pool(): trio's pool."""

from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self

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


class Pool(client.Pool):
    """A pool of connections, for trio. Use `create_pool()` to make one: `async with`; no task of it outlives the block.

    Waiters are served first come first served, and get the connection that was used last.
    """

    _connect_here = staticmethod(connect)
    _connection_class_here = Connection
    _own: OwnNursery | None = None
    _nursery: trio.Nursery | None = None

    def _make_home(self) -> ConcurrentPort:
        return TrioPort(self._nursery)

    def __await__(self) -> Generator[Any, Any, Self]:
        if self._nursery is None:
            raise InterfaceError(
                "cannot await a pool: on trio its tasks need a block to live in",
                hint="Use `async with create_pool(...) as pool:`.",
            )
        return super().__await__()

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            return await self._start()
        self._own = OwnNursery()
        self._nursery = await self._own.open()
        try:
            return await self._start()
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
        return await self._own.close(exc)


def create_pool(
    dsn: str | None = None,
    *,
    init_size: int | None = None,
    min_size: int = 10,
    max_size: int = 10,
    max_queries: int = 50000,
    max_inactive_connection_lifetime: float = 300.0,
    connect: Callable[..., Any] | None = None,
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
        connect: called in place of `connect()`, with its arguments.
        setup: called with the connection at each acquire.
        init: called with each new connection.
        reset: called with the connection at each release, in place of the query that resets its session.
        connection_class, record_class: of the pool's connections.
        codecs, json: as for `connect()`; what is learned of types is shared by the pool's connections.
    Raises:
        ValueError: the numbers contradict each other.
        TypeError: a class is not one that is expected.
    """
    return Pool(
        dsn,
        init_size=init_size,
        min_size=min_size,
        max_size=max_size,
        max_queries=max_queries,
        max_inactive_connection_lifetime=max_inactive_connection_lifetime,
        connect=connect,
        setup=setup,
        init=init,
        reset=reset,
        connection_class=connection_class,
        record_class=record_class,
        codecs=codecs,
        json=json,
        **connect_kwargs,
    )
