"""Queries of a pool: each on a connection that it has for itself, or shares with others."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from pgsansio.client.connection import Connection
from pgsansio.client.copy import CopyMethods
from pgsansio.client.pool_work import NOT_READY, PoolWork, Waiter, as_ours
from pgsansio.client.port import ConcurrentPort
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.policy.pool_limits import PoolLimits
from pgsansio.policy.pool_one_shots import OneShots
from pgsansio.types import Result

__all__ = ["PoolQueries"]

Codecs: TypeAlias = Iterable[CodecDeclaration]

if TYPE_CHECKING:
    _CopyFace = CopyMethods
else:
    _CopyFace = object


class PoolQueries(PoolWork, _CopyFace):
    """The methods of a connection that a pool has, too."""

    def __init__(self, limits: PoolLimits, *, is_lazy: bool) -> None:
        super().__init__(limits, is_lazy=is_lazy)
        #: None: each query has its connection for itself.
        self._one_shots = OneShots() if limits.multiplex else None
        #: Each query has one without further ado.
        self._is_direct = False

    def _acquired(self) -> AbstractAsyncContextManager[Connection]:
        """A block with a connection that nobody else uses."""
        raise NotImplementedError

    async def _fetched(
        self,
        query: str,
        method: str,
        args: tuple[object, ...],
        max_rows: int,
        timeout: float | None,
        record_class: type[Any] | None,
        column: int | str = 0,
    ) -> Any:
        """Do what this method of a connection does, on one that nobody else uses, with the reset in the same write as
        the query.

        Args:
            max_rows: 0: all of them are returned; 1: the first, or what it has in this column.
        """
        connection = self._at_once() or (await self._waited(None))[0]
        reset = None
        try:
            operation = None
            if getattr(type(connection), method) is _OURS[method]:
                operation = connection._execute_known(query, args, max_rows, timeout, record_class)
            if operation is None:
                other = {"column": column} if method == "fetchval" else {"record_class": record_class}
                return await getattr(connection, method)(query, *args, timeout=timeout, **other)
            behind = connection._reset_behind(operation)
            try:
                await connection._port.wait(operation)
            except BaseException as error:
                if behind is not None and not operation.settled:  # it would be in the way of cancelling the query
                    connection._frontend.abandon(behind)
                await connection._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await connection._repeat(operation, query, args, max_rows)
            else:
                reset = behind
        finally:
            if reset is None:
                self._bring_back(connection, None)
            else:
                self._hand_on(connection, reset)
        rows = operation.rows
        if not max_rows:
            return rows
        row = rows[0] if rows else None
        return row if row is None or method == "fetchrow" else row[column]

    async def _run(self, query: object, method: str, *args: object, may_share: bool = True, **arguments: Any) -> Any:
        """Call this method of a connection."""
        if may_share and self._one_shots is not None and self._one_shots.fits(query):
            connection = self._shared_at_once() or await self._share()
            try:
                return await getattr(connection, method)(query, *args, **arguments)
            finally:
                self._shared_done(connection)
        if not self._is_plain:
            async with self._acquired() as connection:
                return await getattr(connection, method)(query, *args, **arguments)
        connection = self._at_once() or (await self._waited(None))[0]
        try:
            return await getattr(connection, method)(query, *args, **arguments)
        finally:
            self._bring_back(connection, None)

    # queries, each on a connection of its own

    async def execute(self, query: str, *args: object, timeout: float | None = None, codecs: Codecs = ()) -> str:
        """As `Connection.execute`, on a connection of the pool; with arguments and `multiplex` beside other queries on
        one."""
        status: str = await self._run(query, "execute", *args, may_share=bool(args), timeout=timeout, **_if_any(codecs))
        return status

    async def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, timeout: float | None = None, codecs: Codecs = ()
    ) -> None:
        """As `Connection.executemany`, on a connection of the pool."""
        async with self._acquired() as connection:
            await connection.executemany(command, args, timeout=timeout, **_if_any(codecs))

    async def fetchmany(
        self,
        query: str,
        args: Iterable[Sequence[object]],
        *,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """As `Connection.fetchmany`, on a connection of the pool."""
        async with self._acquired() as connection:
            return await connection.fetchmany(
                query, args, timeout=timeout, record_class=record_class, **_if_any(codecs)
            )

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """As `Connection.fetch`, on a connection of the pool, or with `multiplex` beside other queries on one."""
        rows: list[Any]
        if self._is_direct and not codecs:
            rows = await self._fetched(query, "fetch", args, 0, timeout, record_class)
        else:
            rows = await self._run(query, "fetch", *args, timeout=timeout, record_class=record_class, **_if_any(codecs))
        return rows

    async def fetchrow(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """As `Connection.fetchrow`, on a connection of the pool, or with `multiplex` beside other queries on one."""
        if self._is_direct and not codecs:
            return await self._fetched(query, "fetchrow", args, 1, timeout, record_class)
        return await self._run(query, "fetchrow", *args, timeout=timeout, record_class=record_class, **_if_any(codecs))

    async def fetchval(
        self,
        query: str,
        *args: object,
        column: int | str = 0,
        timeout: float | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """As `Connection.fetchval`, on a connection of the pool, or with `multiplex` beside other queries on one."""
        if self._is_direct and not codecs:
            return await self._fetched(query, "fetchval", args, 1, timeout, None, column)
        return await self._run(query, "fetchval", *args, column=column, timeout=timeout, **_if_any(codecs))

    async def query(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> Result:
        """As `Connection.query`, on a connection of the pool, or with `multiplex` beside other queries on one."""
        result: Result = await self._run(
            query, "query", *args, timeout=timeout, record_class=record_class, codecs=codecs
        )
        return result

    async def execute_script(
        self, script: str, *, timeout: float | None = None, record_class: type[Any] | None = None
    ) -> list[Result]:
        """As `Connection.execute_script`, on a connection of the pool."""
        async with self._acquired() as connection:
            return await connection.execute_script(script, timeout=timeout, record_class=record_class)

    # sharing connections

    def _shared_at_once(self) -> Connection | None:
        """A connection that other queries use, too; None: something has to be done before."""
        home = self._home
        if home is None:
            return None
        home.guard()
        return self._policy.share(home.clock())

    async def _share(self) -> Connection:
        """A connection that other queries use, too; to be given back by `_shared_done`."""
        home, deadline = await self._ready(None)
        waiter = Waiter()
        self._carry_out(self._policy.join(waiter, home.clock(), deadline))
        try:
            if waiter.connection is None and waiter.error is None:
                waiter.event = home.event()
                await waiter.event.wait()
        except BaseException:
            self._policy.leave(waiter, home.clock())
            if waiter.connection is not None:
                self._shared_done(waiter.connection)
            raise
        if waiter.connection is None:
            raise as_ours(cast(BaseException, waiter.error), NOT_READY)
        return waiter.connection

    def _shared_done(self, connection: Connection) -> None:
        home = cast(ConcurrentPort, self._home)
        self._carry_out(self._policy.shared_done(connection, home.clock(), connection._queries))


#: What is done here as well as there, unless somebody has put something else in the place.
_OURS: Final = {method: getattr(Connection, method) for method in ("fetch", "fetchrow", "fetchval")}


def _if_any(codecs: Codecs) -> dict[str, Any]:
    """An argument of which a user's class of connections, written for asyncpg, may know nothing."""
    return {"codecs": codecs} if codecs else {}


def _on_a_connection(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(self: PoolQueries, *args: Any, **kwargs: Any) -> Any:
        async with self._acquired() as connection:
            return await getattr(connection, name)(*args, **kwargs)

    return call


for _name, _method in inspect.getmembers(CopyMethods, inspect.isfunction):
    setattr(PoolQueries, _name, _on_a_connection(_name, _method))
