"""What a task has in its hands while it has a pooled connection."""

import functools
import inspect
import sys
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from pgsansio.client.connection import Connection
from pgsansio.errors import InterfaceError

if TYPE_CHECKING:
    from pgsansio.client.pool import Pool

    _ConnectionFace = Connection
else:
    _ConnectionFace = object

__all__ = ["PoolAcquireContext", "PoolConnectionProxy"]


class PoolConnectionProxy(_ConnectionFace):
    """A pooled connection while one task has it: every public method of Connection, until it is released.

    `isinstance` takes it for an instance of the connection's class. After the release its methods raise InterfaceError.
    """

    __slots__ = ("_con", "_con_class", "_pool", "_timeout")

    def __init__(self, pool: "Pool", connection: Connection, timeout: float | None) -> None:
        self._con: Connection | None = connection
        self._con_class = type(connection)
        self._pool = pool
        self._timeout = timeout

    @property
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._con_class

    @__class__.setter
    def __class__(self, value: type[Any]) -> NoReturn:
        raise TypeError("the class of a PoolConnectionProxy cannot be changed")

    def __getattr__(self, name: str) -> Any:
        if self._con is None and not name.startswith("_"):
            raise _released(name)
        return getattr(self._con, name)

    def __repr__(self) -> str:
        return f"<PoolConnectionProxy {'[released]' if self._con is None else repr(self._con)} {id(self):#x}>"


def _released(name: str) -> InterfaceError:
    return InterfaceError(f"cannot call Connection.{name}(): connection has been released back to the pool")


def _forwarding(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: PoolConnectionProxy, *args: Any, **kwargs: Any) -> Any:
        connection = self._con
        if connection is None:
            raise _released(name)
        return getattr(connection, name)(*args, **kwargs)

    if sys.version_info >= (3, 12) and inspect.iscoroutinefunction(method):
        return inspect.markcoroutinefunction(call)
    return call


for _name in dir(Connection):
    if not _name.startswith("_") and inspect.isfunction(_method := getattr(Connection, _name)):
        setattr(PoolConnectionProxy, _name, _forwarding(_name, _method))


class PoolAcquireContext:
    """What `acquire()` returns: to be awaited, or an `async with` block that releases the connection again."""

    __slots__ = ("_done", "_pool", "_proxy", "_timeout")

    def __init__(self, pool: "Pool", timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._proxy: PoolConnectionProxy | None = None
        self._done = False

    def __await__(self) -> Generator[Any, Any, PoolConnectionProxy]:
        self._done = True
        return self._pool._acquire(self._timeout).__await__()

    async def __aenter__(self) -> PoolConnectionProxy:
        if self._proxy is not None or self._done:
            raise InterfaceError("a connection is already acquired")
        self._proxy = await self._pool._acquire(self._timeout)
        return self._proxy

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done = True
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            await self._pool.release(proxy)
